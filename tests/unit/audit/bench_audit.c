/* Prints what a line of the trail costs: appended, chained, and written once per turn. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fixture.h"

#define LINES 400000U
#define TURN  32U

/* Of the processor, so that other work on this machine does not count. */
static double now_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

struct lane {
    struct fixture *fixture;
    unsigned lines;
};

static void *append_lines(void *argument)
{
    const struct lane *lane = argument;
    struct hf_request_id id = { { 1, 2, 3 } };
    const struct hf_audit_event event = {
        .operation = "hadoop.decrypt",
        .outcome = "ok",
        .caller = "pseudo:hdfs",
        .address = "192.0.2.7",
        .door = "hadoop",
        .keyring = "default",
        .key = "orders",
        .has_version = true,
        .version = 3,
        .request_id = &id,
    };
    struct hf_op op;

    hf_op_init(&op, &lane->fixture->env.env);
    for (unsigned i = 0; i < lane->lines; i++) {
        assert_ok(&op, hf_audit_append(lane->fixture->audit, &op, &event));
        if (i % TURN == TURN - 1) {
            assert_ok(&op, hf_audit_write(lane->fixture->audit, &op));
        }
    }
    return NULL;
}

static void run(struct fixture *fixture, unsigned threads)
{
    pthread_t running[8];
    struct lane lane = { fixture, LINES / threads };
    double start = now_ns();

    for (unsigned i = 0; i < threads; i++) {
        assert_int_equal(pthread_create(&running[i], NULL, append_lines, &lane), 0);
    }
    for (unsigned i = 0; i < threads; i++) {
        assert_int_equal(pthread_join(running[i], NULL), 0);
    }
    (void)printf(
        "audit_line_%u_threads %.0f ns of CPU (appended, chained, written every %u lines)\n",
        threads, (now_ns() - start) / LINES, TURN);
}

static void print_costs(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    double start;

    hf_env_system(&fixture->env.env);
    fixture->settings.checkpoint_every = 10000;
    fixture->settings.max_file_bytes = (uint64_t)1 << 30; /* all of it in one file */
    fixture_open(fixture);
    run(fixture, 1);
    run(fixture, 2);
    run(fixture, 8);
    fixture_close(fixture);
    start = now_ns();
    fixture_assert_whole(fixture, &report);
    (void)printf("audit_verify_line %.0f ns of CPU\n", (now_ns() - start) / (double)report.lines);
    start = now_ns();
    fixture_open(fixture);
    (void)printf("audit_open_line %.0f ns of CPU\n", (now_ns() - start) / (double)report.lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(print_costs, fixture_new, fixture_free),
    };

    return cmocka_run_group_tests_name("audit costs", tests, fixture_start, fixture_stop);
}
