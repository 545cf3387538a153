/*
 * Counters that a test waits on, and a gate that holds a server's threads.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define GATE_COUNTS 16

struct test_gate {
    pthread_mutex_t lock; /* guards the rest, and what the server puts under it */
    pthread_cond_t changed;
    size_t counts[GATE_COUNTS]; /* what each is, is the server's to say */
    bool is_open;
};

/* With the gate open. */
void test_gate_init(struct test_gate *gate);
void test_gate_done(struct test_gate *gate);
void test_gate_add(struct test_gate *gate, unsigned what);
size_t test_gate_count(struct test_gate *gate, unsigned what);
/* Waits until the count is at least that; the test fails after 20 seconds. */
void test_gate_wait(struct test_gate *gate, unsigned what, size_t at_least);
void test_gate_set(struct test_gate *gate, bool is_open);
/* Returns once the gate is open. */
void test_gate_pass(struct test_gate *gate);
