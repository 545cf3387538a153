/* Counters and a gate for servers of tests. */
#include "gate.h"

#include "test.h"

#include <time.h>

void test_gate_init(struct test_gate *gate)
{
    *gate = (struct test_gate){ .is_open = true };
    (void)pthread_mutex_init(&gate->lock, NULL);
    (void)pthread_cond_init(&gate->changed, NULL);
}

void test_gate_done(struct test_gate *gate)
{
    (void)pthread_cond_destroy(&gate->changed);
    (void)pthread_mutex_destroy(&gate->lock);
}

void test_gate_add(struct test_gate *gate, unsigned what)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->counts[what]++;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

size_t test_gate_count(struct test_gate *gate, unsigned what)
{
    size_t value;

    (void)pthread_mutex_lock(&gate->lock);
    value = gate->counts[what];
    (void)pthread_mutex_unlock(&gate->lock);
    return value;
}

void test_gate_wait(struct test_gate *gate, unsigned what, size_t at_least)
{
    struct timespec until;
    int error = 0;
    size_t value;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->counts[what] < at_least && error == 0) {
        error = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
    }
    value = gate->counts[what];
    (void)pthread_mutex_unlock(&gate->lock);
    if (value < at_least) {
        fail_msg("count %u is %zu, wanted %zu", what, value, at_least);
    }
}

void test_gate_set(struct test_gate *gate, bool is_open)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->is_open = is_open;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

void test_gate_pass(struct test_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    while (!gate->is_open) {
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    }
    (void)pthread_mutex_unlock(&gate->lock);
}
