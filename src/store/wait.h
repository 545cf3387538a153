/*
 * Waiting inside an engine: conditions with a limit, and threads that take no signals.
 */
#pragma once

#include <pthread.h>

#include "base/op.h"

/* A condition on the monotonic clock. */
void hf_wait_init(pthread_cond_t *condition);

/* Waits until signalled or, at the latest, for about that long. */
void hf_wait_ms(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t ms);

/*
 * The same until the operation's deadline, or its thread is to stop; wakes now and then, because
 * its clock may be a virtual one. The caller asks hf_op_check_deadline() afterwards.
 */
void hf_wait_for(struct hf_op *op, pthread_cond_t *condition, pthread_mutex_t *lock);

/* A thread that takes no signals; those are for the threads of the program. */
HF_STATUS hf_wait_thread_start(struct hf_op *op, pthread_t *out, void *(*run)(void *),
                               void *context);
