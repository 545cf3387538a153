/* Waiting inside an engine: what ends it. */
#include "store/wait.h"

#include <stdatomic.h>

#include "test.h"
#include "test_env.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition;

/* Nobody ever signals the condition: a wait that goes on is ended by the time limit of the test. */
static void who_is_to_stop_waits_no_longer(void **state)
{
    static const uint64_t deadlines_ms[] = { 0, UINT64_MAX };
    struct test_env clock;
    struct hf_op op;
    atomic_bool stop = true;

    (void)state;
    test_env_init(&clock);
    for (size_t i = 0; i < HF_COUNT(deadlines_ms); i++) {
        hf_op_init(&op, &clock.env);
        op.stop = &stop;
        op.deadline_ms = deadlines_ms[i];
        pthread_mutex_lock(&lock);
        hf_wait_for(&op, &condition, &lock);
        pthread_mutex_unlock(&lock);
        assert_fails(&op, hf_op_check_deadline(&op), HF_UNAVAILABLE);
    }
}

static void a_deadline_that_is_over_ends_a_wait(void **state)
{
    struct test_env clock;
    struct hf_op op;

    (void)state;
    test_env_init(&clock);
    hf_op_init(&op, &clock.env);
    op.deadline_ms = clock.boottime_ms;
    pthread_mutex_lock(&lock);
    hf_wait_for(&op, &condition, &lock);
    pthread_mutex_unlock(&lock);
    assert_fails(&op, hf_op_check_deadline(&op), HF_UNAVAILABLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_to_stop_waits_no_longer),
        cmocka_unit_test(a_deadline_that_is_over_ends_a_wait),
    };

    hf_wait_init(&condition);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
