/* The pool of workers: a bounded queue, and threads that may wait. */
#include "net/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

struct hf_status hf_thread_start(struct hf_op *op, pthread_t *out, const char *what,
                                 unsigned number, void *(*run)(void *), void *context)
{
    sigset_t all;
    sigset_t before;
    char name[16];
    int error;

    /* Signals are the main thread's affair; a new thread inherits the mask. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(out, NULL, run, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    (void)snprintf(name, sizeof name, "%s-%u", what, number);
    (void)pthread_setname_np(*out, name);
    return HF_SUCCESS;
}

void hf_workers_init(struct hf_workers *workers, const struct hf_net_settings *settings,
                     unsigned first_lane)
{
    (void)pthread_mutex_init(&workers->lock, NULL);
    workers->tail = &workers->first;
    workers->max_queued = settings->max_queue;
    workers->count = settings->workers;
    workers->all = hf_alloc_array(workers->count, sizeof *workers->all);
    for (unsigned i = 0; i < workers->count; i++) {
        workers->all[i].workers = workers;
        workers->all[i].lane = first_lane + i;
        (void)pthread_cond_init(&workers->all[i].wake, NULL);
    }
}

/* With the lock held. */
static struct hf_work *take_first(struct hf_workers *workers)
{
    struct hf_work *work = workers->first;

    if (work != NULL) {
        workers->first = work->next;
        if (workers->first == NULL) {
            workers->tail = &workers->first;
        }
        work->next = NULL;
        workers->queued--;
    }
    return work;
}

/* With the lock held: until there is work or the pool ends. */
static void be_idle(struct hf_workers *workers, struct hf_worker *worker)
{
    worker->is_idle = true;
    worker->below = workers->idle;
    workers->idle = worker;
    while (worker->is_idle && !workers->is_stopping) {
        (void)pthread_cond_wait(&worker->wake, &workers->lock);
    }
}

/* With the lock held. */
static void wake_latest(struct hf_workers *workers)
{
    struct hf_worker *worker = workers->idle;

    if (worker != NULL) {
        workers->idle = worker->below;
        worker->is_idle = false;
        (void)pthread_cond_signal(&worker->wake);
    }
}

/* The next piece, or NULL when there is none and the pool ends. */
static struct hf_work *wait_for_work(struct hf_worker *worker, bool *out_run)
{
    struct hf_workers *workers = worker->workers;
    struct hf_work *work = NULL;

    (void)pthread_mutex_lock(&workers->lock);
    /* One that was not idle may have been quicker. */
    while (workers->first == NULL && !workers->is_stopping) {
        be_idle(workers, worker);
    }
    work = take_first(workers);
    *out_run = !workers->is_abandoning;
    (void)pthread_mutex_unlock(&workers->lock);
    return work;
}

static void *run_worker(void *context)
{
    struct hf_worker *worker = context;
    struct hf_work *work = NULL;
    bool run = false;

    while ((work = wait_for_work(worker, &run)) != NULL) {
        if (run) {
            work->run(work->data, worker->lane);
            work->was_run = true;
        }
        hf_loop_complete(work->loop, work);
    }
    return NULL;
}

struct hf_status hf_workers_start(struct hf_workers *workers, struct hf_op *op)
{
    for (unsigned i = 0; i < workers->count; i++) {
        struct hf_worker *worker = &workers->all[i];

        HF_TRY(hf_thread_start(op, &worker->thread, "hf-worker", i, run_worker, worker));
        workers->started = i + 1;
    }
    return HF_SUCCESS;
}

bool hf_workers_add(struct hf_workers *workers, struct hf_work *work)
{
    bool has_room;

    (void)pthread_mutex_lock(&workers->lock);
    has_room = workers->queued < workers->max_queued;
    if (has_room) {
        *workers->tail = work;
        workers->tail = &work->next;
        workers->queued++;
        wake_latest(workers);
    }
    (void)pthread_mutex_unlock(&workers->lock);
    return has_room;
}

void hf_workers_abandon(struct hf_workers *workers)
{
    (void)pthread_mutex_lock(&workers->lock);
    workers->is_abandoning = true;
    (void)pthread_mutex_unlock(&workers->lock);
}

void hf_workers_stop(struct hf_workers *workers)
{
    (void)pthread_mutex_lock(&workers->lock);
    workers->is_stopping = true;
    for (unsigned i = 0; i < workers->count; i++) {
        (void)pthread_cond_signal(&workers->all[i].wake);
    }
    (void)pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->started; i++) {
        (void)pthread_join(workers->all[i].thread, NULL);
    }
    workers->started = 0;
}

void hf_workers_done(struct hf_workers *workers)
{
    hf_assert(workers->first == NULL && workers->started == 0);
    for (unsigned i = 0; i < workers->count; i++) {
        (void)pthread_cond_destroy(&workers->all[i].wake);
    }
    (void)pthread_mutex_destroy(&workers->lock);
    free(workers->all);
}
