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
    (void)pthread_cond_init(&workers->wake, NULL);
    workers->tail = &workers->first;
    workers->max_queued = settings->max_queue;
    workers->first_lane = first_lane;
    workers->threads = hf_alloc_array(settings->workers, sizeof *workers->threads);
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

/* The next piece, or NULL when there is none and the pool ends. */
static struct hf_work *wait_for_work(struct hf_workers *workers, bool *out_run)
{
    struct hf_work *work = NULL;

    (void)pthread_mutex_lock(&workers->lock);
    while (workers->first == NULL && !workers->is_stopping) {
        (void)pthread_cond_wait(&workers->wake, &workers->lock);
    }
    work = take_first(workers);
    *out_run = !workers->is_abandoning;
    (void)pthread_mutex_unlock(&workers->lock);
    return work;
}

struct worker {
    struct hf_workers *workers;
    unsigned lane;
};

static void *run_worker(void *context)
{
    struct worker worker = *(struct worker *)context;
    struct hf_work *work = NULL;
    bool run = false;

    free(context);
    while ((work = wait_for_work(worker.workers, &run)) != NULL) {
        if (run) {
            work->run(work->data, worker.lane);
            work->was_run = true;
        }
        hf_loop_complete(work->loop, work);
    }
    return NULL;
}

struct hf_status hf_workers_start(struct hf_workers *workers, struct hf_op *op, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct worker *worker = hf_alloc(sizeof *worker);
        struct hf_status status;

        worker->workers = workers;
        worker->lane = workers->first_lane + i;
        status = hf_thread_start(op, &workers->threads[i], "hf-worker", i, run_worker, worker);
        if (status.code != HF_OK) {
            free(worker);
            return status;
        }
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
        (void)pthread_cond_signal(&workers->wake);
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
    (void)pthread_cond_broadcast(&workers->wake);
    (void)pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->started; i++) {
        (void)pthread_join(workers->threads[i], NULL);
    }
    workers->started = 0;
}

void hf_workers_done(struct hf_workers *workers)
{
    hf_assert(workers->first == NULL && workers->started == 0);
    (void)pthread_cond_destroy(&workers->wake);
    (void)pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
}
