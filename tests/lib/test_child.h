/*
 * Runs a piece of a test in a child process, for what ends a process or can be set up only once in
 * one. The child has no cmocka: it says what is wrong with child_require().
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define child_require(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);        \
            _exit(2);                                                                              \
        }                                                                                          \
    } while (0)

/* The wait status of a child that runs this. Signals end it, also where a sanitizer handles them.
 */
static inline int test_child(void (*run)(void *context), void *context, bool quiet)
{
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };
    static const struct rlimit no_core = { 0, 0 };
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        for (size_t i = 0; i < HF_COUNT(deadly); i++) {
            (void)signal(deadly[i], SIG_DFL);
        }
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (quiet) {
            (void)dup2(null, STDERR_FILENO);
        }
        run(context);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    return status;
}

/* The child must come to its end with every child_require() true. */
static inline void assert_child_succeeds(void (*run)(void *context), void *context)
{
    int status = test_child(run, context, false);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("the child ended with wait status %d", status);
    }
}

/* The child must be ended by this signal. */
static inline void assert_child_dies(void (*run)(void *context), void *context, int signal_number)
{
    int status = test_child(run, context, true);

    if (!WIFSIGNALED(status) || WTERMSIG(status) != signal_number) {
        fail_msg("the child ended with wait status %d instead of signal %d", status, signal_number);
    }
}

/* A test that is a child from start to end, as a row of a table. */
struct test_lone {
    const char *says;
    void (*run)(void *context);
    const void *context;
    int signal;            /* that must end it; 0: it comes to its end */
    bool (*can_run)(void); /* NULL: everywhere */
};

static inline void test_lone_run(void **state)
{
    const struct test_lone *row = *state;
    void *context = (void *)row->context;

    if (row->can_run != NULL && !row->can_run()) {
        print_message("skip: %s: this kernel cannot\n", row->says);
        skip();
    }
    if (row->signal == 0) {
        assert_child_succeeds(row->run, context);
    } else {
        assert_child_dies(row->run, context, row->signal);
    }
}

/* The rows as tests for cmocka. */
static inline void test_lone_fill(struct CMUnitTest *out, const struct test_lone *rows,
                                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct CMUnitTest){ .name = rows[i].says,
                                      .test_func = test_lone_run,
                                      .initial_state = (void *)&rows[i] };
    }
}
