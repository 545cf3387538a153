/* The queue of the PostgreSQL writer: how callers wait for their jobs, and when they stop. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/text.h"
#include "store/postgres_engine.h"

/* How long a caller without a deadline sleeps before he asks the clock again. */
#define LOOK_AGAIN_MS 100

void hf_pg_writer_init(struct hf_pg_writer *writer)
{
    hf_assert(pthread_mutex_init(&writer->lock, NULL) == 0);
    hf_wait_init(&writer->work);
    writer->last = &writer->first;
}

void hf_pg_writer_done(struct hf_pg_writer *writer)
{
    hf_buf_done(&writer->position.head);
    free(writer->pending);
    hf_assert(pthread_cond_destroy(&writer->work) == 0);
    hf_assert(pthread_mutex_destroy(&writer->lock) == 0);
}

void hf_pg_job_free(struct hf_pg_job *job)
{
    hf_assert(pthread_cond_destroy(&job->ended) == 0);
    job->free(job);
}

static void enqueue(struct hf_pg_writer *writer, struct hf_pg_job *job)
{
    job->stage = HF_PG_QUEUED;
    job->next = NULL;
    *writer->last = job;
    writer->last = &job->next;
    pthread_cond_signal(&writer->work);
}

static void unlink_job(struct hf_pg_writer *writer, struct hf_pg_job *job)
{
    struct hf_pg_job **at = &writer->first;

    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    if (writer->last == &job->next) {
        writer->last = at;
    }
}

static bool is_late(const struct hf_pg_job *job)
{
    return hf_op_check_deadline(job->op).code != HF_OK ||
           (job->op->deadline_ms == 0 && hf_pg_now_ms() >= job->until_ms);
}

static void sleep_on(struct hf_pg_writer *writer, struct hf_pg_job *job)
{
    if (job->stage == HF_PG_BUSY) {
        hf_assert(pthread_cond_wait(&job->ended, &writer->lock) == 0);
    } else if (job->op->deadline_ms != 0) {
        hf_wait_for(job->op, &job->ended, &writer->lock);
    } else {
        hf_wait_ms(&job->ended, &writer->lock, LOOK_AGAIN_MS);
    }
}

/* With the lock held: the caller goes, and the writer frees a job that it has. */
static bool leave(struct hf_pg_writer *writer, struct hf_pg_job *job, bool *out_gone)
{
    bool doubt = job->doubtful || (job->stage == HF_PG_WRITTEN && job->writes);

    *out_gone = job->stage != HF_PG_QUEUED;
    if (*out_gone) {
        job->abandoned = true;
    } else {
        unlink_job(writer, job);
    }
    return doubt;
}

static struct hf_status fail_in_doubt(struct hf_op *op, const struct hf_request_id *id)
{
    HF_AUTO(buf) hex = hf_buf_new();

    if (id == NULL) {
        return hf_fail(op, HF_IN_DOUBT, "the end of this write was not seen in time");
    }
    hf_hex_add(hex, hf_bytes_of(id->bytes, sizeof id->bytes));
    return hf_fail(op, HF_IN_DOUBT,
                   "the end of request %s was not seen in time; repeat it under the same id",
                   hf_buf_text(hex));
}

static struct hf_status fail_late(struct hf_pg_engine *engine, struct hf_op *op)
{
    size_t host;

    /* If there is a reason on record, it is the better text. */
    HF_TRY(hf_pg_primary(engine, op, &host));
    return hf_fail(op, HF_UNAVAILABLE,
                   "the time for this write is over; the database did not take it");
}

struct hf_status hf_pg_submit(struct hf_pg_engine *engine, struct hf_pg_job *job, bool *out_gone)
{
    const struct hf_request_id *id = job->request_id;
    struct hf_pg_writer *writer = &engine->writer;
    struct hf_status status = HF_SUCCESS;
    struct hf_op *op = job->op;
    bool left = false;
    bool doubt = false;

    hf_wait_init(&job->ended);
    job->until_ms = hf_pg_now_ms() + HF_PG_PATIENCE_MS;
    *out_gone = false;
    pthread_mutex_lock(&writer->lock);
    enqueue(writer, job);
    while (job->stage != HF_PG_ENDED && !left) {
        sleep_on(writer, job);
        if (job->stage != HF_PG_ENDED && job->stage != HF_PG_BUSY && is_late(job)) {
            doubt = leave(writer, job, out_gone);
            left = true;
        }
    }
    if (!left) {
        status = job->status;
    }
    pthread_mutex_unlock(&writer->lock);
    if (!left) {
        return status;
    }
    return doubt ? fail_in_doubt(op, id) : fail_late(engine, op);
}

/* --- what the writer does with the queue --- */

bool hf_pg_queue_await(struct hf_pg_engine *engine)
{
    struct hf_pg_writer *writer = &engine->writer;

    pthread_mutex_lock(&writer->lock);
    while (writer->first == NULL && !atomic_load(&engine->stop)) {
        hf_assert(pthread_cond_wait(&writer->work, &writer->lock) == 0);
    }
    pthread_mutex_unlock(&writer->lock);
    return !atomic_load(&engine->stop);
}

static bool are_twins(const struct hf_pg_job *a, const struct hf_pg_job *b)
{
    if (a->lease != NULL && b->lease != NULL) {
        return strcmp(a->lease, b->lease) == 0;
    }
    return a->request_id != NULL && b->request_id != NULL &&
           memcmp(a->request_id, b->request_id, sizeof *a->request_id) == 0;
}

/*
 * Two with one request id, or for one lease, go into two groups: the second finds what the first
 * has done.
 */
static bool is_twin(const struct hf_pg_group *group, const struct hf_pg_job *job)
{
    for (size_t i = 0; i < group->count; i++) {
        if (are_twins(group->jobs[i], job)) {
            return true;
        }
    }
    return false;
}

void hf_pg_queue_take(struct hf_pg_writer *writer, struct hf_pg_group *out)
{
    size_t most = writer->alone > 0 ? 1 : HF_PG_GROUP_MAX;
    size_t bytes = 0;

    writer->alone -= writer->alone > 0;
    out->count = 0;
    pthread_mutex_lock(&writer->lock);
    for (struct hf_pg_job **at = &writer->first; *at != NULL;) {
        struct hf_pg_job *job = *at;

        if (out->count == most || (bytes > 0 && bytes + job->size > HF_PG_GROUP_BYTES)) {
            break;
        }
        if (is_twin(out, job)) {
            at = &job->next;
            continue;
        }
        unlink_job(writer, job);
        job->stage = HF_PG_BUSY;
        job->writes = false;
        job->needs_commit = false;
        out->jobs[out->count++] = job;
        bytes += job->size;
    }
    pthread_mutex_unlock(&writer->lock);
}

void hf_pg_queue_lend(struct hf_pg_writer *writer, struct hf_pg_group *group,
                      enum hf_pg_stage stage)
{
    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < group->count; i++) {
        group->jobs[i]->stage = stage;
        /* One who waits without a limit has to learn that he has one again. */
        pthread_cond_signal(&group->jobs[i]->ended);
    }
    pthread_mutex_unlock(&writer->lock);
}

void hf_pg_queue_reclaim(struct hf_pg_writer *writer, struct hf_pg_group *group)
{
    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < group->count; i++) {
        group->jobs[i]->stage = HF_PG_BUSY;
    }
    pthread_mutex_unlock(&writer->lock);
}

void hf_pg_queue_end(struct hf_pg_writer *writer, struct hf_pg_group *group)
{
    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < group->count; i++) {
        struct hf_pg_job *job = group->jobs[i];

        if (job->abandoned) {
            hf_pg_job_free(job);
            continue;
        }
        job->stage = HF_PG_ENDED;
        pthread_cond_signal(&job->ended);
    }
    pthread_mutex_unlock(&writer->lock);
    group->count = 0;
}

void hf_pg_queue_return(struct hf_pg_writer *writer, struct hf_pg_group *group, bool doubtful)
{
    pthread_mutex_lock(&writer->lock);
    for (size_t i = group->count; i-- > 0;) {
        struct hf_pg_job *job = group->jobs[i];

        if (job->abandoned) {
            hf_pg_job_free(job);
            continue;
        }
        job->doubtful = job->doubtful || (doubtful && job->writes);
        job->stage = HF_PG_QUEUED;
        job->next = writer->first;
        writer->first = job;
        if (writer->last == &writer->first) {
            writer->last = &job->next;
        }
        pthread_cond_signal(&job->ended);
    }
    pthread_mutex_unlock(&writer->lock);
    group->count = 0;
}

void hf_pg_queue_refuse(struct hf_pg_writer *writer, const struct hf_op *why)
{
    pthread_mutex_lock(&writer->lock);
    for (struct hf_pg_job **at = &writer->first; *at != NULL;) {
        struct hf_pg_job *job = *at;

        /* How an earlier try of it ended can still be found out, until its deadline. */
        if (job->doubtful) {
            at = &job->next;
            continue;
        }
        unlink_job(writer, job);
        job->status = hf_fail(job->op, why->code, "%s", why->text);
        job->stage = HF_PG_ENDED;
        pthread_cond_signal(&job->ended);
    }
    pthread_mutex_unlock(&writer->lock);
}

bool hf_pg_queue_is_awaited(struct hf_pg_writer *writer, const struct hf_pg_group *group)
{
    bool awaited = false;

    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < group->count; i++) {
        awaited = awaited || !group->jobs[i]->abandoned;
    }
    pthread_mutex_unlock(&writer->lock);
    return awaited;
}
