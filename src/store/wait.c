/* Waiting inside an engine: conditions with a limit, and threads that take no signals. */
#include "store/wait.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/wait.h"

/* How long a wait lasts at most before an operation's own clock is asked again. */
#define LOOK_AGAIN_MS 100

void hf_wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    hf_assert(pthread_condattr_init(&attributes) == 0);
    hf_assert(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    hf_assert(pthread_cond_init(condition, &attributes) == 0);
    hf_assert(pthread_condattr_destroy(&attributes) == 0);
}

void hf_wait_ms(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t ms)
{
    struct timespec until = hf_monotonic_in(ms);
    int result = pthread_cond_timedwait(condition, lock, &until);

    hf_assert(result == 0 || result == ETIMEDOUT);
}

void hf_wait_for(struct hf_op *op, pthread_cond_t *condition, pthread_mutex_t *lock)
{
    uint64_t left_ms = UINT64_MAX;

    if (op->deadline_ms == 0 && op->stop == NULL) {
        hf_assert(pthread_cond_wait(condition, lock) == 0);
        return;
    }
    if (op->deadline_ms != 0) {
        uint64_t now_ms = hf_env_boottime_ms(op->env);

        left_ms = now_ms < op->deadline_ms ? op->deadline_ms - now_ms : 0;
    }
    hf_wait_ms(condition, lock, left_ms < LOOK_AGAIN_MS ? left_ms : LOOK_AGAIN_MS);
}

struct hf_status hf_wait_thread_start(struct hf_op *op, pthread_t *out, void *(*run)(void *),
                                      void *context)
{
    sigset_t all;
    sigset_t old;
    int result;

    hf_assert(sigfillset(&all) == 0);
    hf_assert(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    result = pthread_create(out, NULL, run, context);
    hf_assert(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    if (result != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot start a thread of the store: %s",
                       strerror(result));
    }
    return HF_SUCCESS;
}
