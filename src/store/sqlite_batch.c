/*
 * What jobs of the SQLite engine do inside a transaction.
 *
 * A batch first asks everything that could refuse it and writes only then, so a refused batch
 * leaves nothing behind in the transaction that it shares with others.
 */
#include "store/sqlite_engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"

/* Batches forgotten in one transaction. */
#define FORGET_CHUNK 500

struct apply_job {
    struct hf_sqlite_job job;
    const struct hf_batch *batch;
    struct hf_linked *linked;
    struct hf_commit commit;
};

struct barrier_job {
    struct hf_sqlite_job job;
    uint64_t seq;
};

struct lease_job {
    struct hf_sqlite_job job;
    const char *name;
    const char *holder;
    uint64_t duration_ms;
    uint64_t fence;
};

struct forget_job {
    struct hf_sqlite_job job;
    uint64_t below_seq;
};

static const char *principal_of(const struct hf_batch *batch)
{
    return batch->principal != NULL ? batch->principal : "";
}

struct hf_status hf_sqlite_read_first(struct hf_op *op, sqlite3_stmt *find,
                                      const struct hf_batch *batch, struct hf_commit *out)
{
    uint8_t digest[HF_DIGEST_LEN];

    HF_TRY(hf_sqlite_column_exact(op, find, 3, digest, sizeof digest));
    if (memcmp(digest, batch->digest, sizeof digest) != 0 ||
        strcmp(hf_sqlite_column_text(find, 2), principal_of(batch)) != 0) {
        return hf_fail(op, HF_CONFLICT, "this request id was used for another request");
    }
    out->seq = hf_sqlite_column_u64(find, 0);
    out->epoch = hf_sqlite_column_u64(find, 1);
    out->repeated = true;
    hf_buf_add_bytes(&out->result, hf_sqlite_column_bytes(find, 4));
    return HF_SUCCESS;
}

/* Has this request happened before? Then out->repeated is set. */
static struct hf_status look_for_first(struct hf_sqlite_connection *connection, struct hf_op *op,
                                       const struct hf_batch *batch, struct hf_commit *out)
{
    sqlite3_stmt *find = connection->statements[HF_SQLITE_FIND_REQUEST];
    struct hf_status status = HF_SUCCESS;
    bool row;

    hf_sqlite_bind_bytes(find, 1, hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN));
    HF_TRY(hf_sqlite_step(connection, op, find, &row));
    if (row) {
        status = hf_sqlite_read_first(op, find, batch, out);
    }
    hf_sqlite_reset(find);
    return status;
}

static struct hf_status compare(struct hf_op *op, sqlite3_stmt *find, bool row,
                                const struct hf_change *change, struct hf_linked *out)
{
    uint64_t revision = row ? hf_sqlite_column_u64(find, 0) : 0;

    if (revision != change->expected) {
        return hf_fail(op, HF_CONFLICT, "%.200s is at revision %" PRIu64 ", not %" PRIu64,
                       change->path, revision, change->expected);
    }
    memset(out, 0, sizeof *out);
    out->path = change->path;
    out->revision = revision + 1;
    memcpy(out->digest, change->digest, HF_DIGEST_LEN);
    out->replaces = row;
    out->old_revision = revision;
    return row ? hf_sqlite_column_exact(op, find, 1, out->old_digest, HF_DIGEST_LEN) : HF_SUCCESS;
}

static struct hf_status check_change(struct hf_sqlite_connection *connection, struct hf_op *op,
                                     const struct hf_change *change, struct hf_linked *out)
{
    sqlite3_stmt *find = connection->statements[HF_SQLITE_FIND_RECORD];
    struct hf_status status;
    bool row;

    hf_sqlite_bind_text(find, 1, change->path);
    HF_TRY(hf_sqlite_step(connection, op, find, &row));
    status = compare(op, find, row, change, out);
    hf_sqlite_reset(find);
    return status;
}

static struct hf_status check_batch(struct hf_sqlite_writer *writer, struct apply_job *job)
{
    const struct hf_batch *batch = job->batch;

    if (batch->epoch != 0 && batch->epoch != writer->current.epoch) {
        return hf_fail(job->job.op, HF_CONFLICT, "the store is in epoch %" PRIu64 ", not %" PRIu64,
                       writer->current.epoch, batch->epoch);
    }
    for (size_t i = 0; i < batch->count; i++) {
        HF_TRY(check_change(&writer->connection, job->job.op, &batch->changes[i], &job->linked[i]));
    }
    return HF_SUCCESS;
}

static struct hf_status link_batch(struct hf_sqlite_writer *writer, struct apply_job *job,
                                   struct hf_buf *out_head)
{
    const struct hf_batch *batch = job->batch;

    if (batch->linker == NULL) {
        hf_buf_add_bytes(out_head, hf_buf_bytes(&writer->current.head));
        return HF_SUCCESS;
    }
    return batch->linker->link(batch->linker->context, job->job.op, writer->current.seq + 1,
                               hf_buf_bytes(&writer->current.head), batch->note, job->linked,
                               batch->count, out_head);
}

static struct hf_status write_record(struct hf_sqlite_connection *connection, struct hf_op *op,
                                     const struct hf_change *change, const struct hf_linked *linked,
                                     uint64_t seq)
{
    enum hf_sqlite_statement which =
        linked->replaces ? HF_SQLITE_UPDATE_RECORD : HF_SQLITE_INSERT_RECORD;
    sqlite3_stmt *write = connection->statements[which];

    hf_sqlite_bind_text(write, 1, change->path);
    hf_sqlite_bind_u64(write, 2, linked->revision);
    hf_sqlite_bind_u64(write, 3, seq);
    hf_sqlite_bind_bytes(write, 4, hf_bytes_of(linked->digest, HF_DIGEST_LEN));
    hf_sqlite_bind_bytes(write, 5, change->body);
    return hf_sqlite_do(connection, op, which);
}

static struct hf_status write_change(struct hf_sqlite_connection *connection, struct hf_op *op,
                                     const struct hf_linked *linked, uint64_t seq, size_t ordinal)
{
    sqlite3_stmt *insert = connection->statements[HF_SQLITE_INSERT_CHANGE];

    hf_sqlite_bind_u64(insert, 1, seq);
    hf_sqlite_bind_u64(insert, 2, ordinal);
    hf_sqlite_bind_text(insert, 3, linked->path);
    hf_sqlite_bind_u64(insert, 4, linked->revision);
    hf_sqlite_bind_bytes(insert, 5, hf_bytes_of(linked->digest, HF_DIGEST_LEN));
    hf_sqlite_bind_bytes(insert, 6, hf_bytes_of(linked->link, HF_DIGEST_LEN));
    return hf_sqlite_do(connection, op, HF_SQLITE_INSERT_CHANGE);
}

static struct hf_status write_log(struct hf_sqlite_writer *writer, struct hf_op *op,
                                  const struct hf_batch *batch, uint64_t seq)
{
    struct hf_sqlite_connection *connection = &writer->connection;
    struct hf_bytes request_id = hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN);
    sqlite3_stmt *insert = connection->statements[HF_SQLITE_INSERT_BATCH];

    hf_sqlite_bind_u64(insert, 1, seq);
    hf_sqlite_bind_u64(insert, 2, writer->current.epoch);
    hf_sqlite_bind_u64(insert, 3, hf_env_realtime_ms(op->env));
    hf_sqlite_bind_bytes(insert, 4, request_id);
    hf_sqlite_bind_text(insert, 5, principal_of(batch));
    hf_sqlite_bind_bytes(insert, 6, hf_bytes_of(batch->digest, HF_DIGEST_LEN));
    hf_sqlite_bind_bytes(insert, 7, batch->note);
    hf_sqlite_bind_bytes(insert, 8, batch->result);
    HF_TRY(hf_sqlite_do(connection, op, HF_SQLITE_INSERT_BATCH));

    insert = connection->statements[HF_SQLITE_INSERT_REQUEST];
    hf_sqlite_bind_bytes(insert, 1, request_id);
    hf_sqlite_bind_u64(insert, 2, seq);
    return hf_sqlite_do(connection, op, HF_SQLITE_INSERT_REQUEST);
}

/* The batch applies and is linked. */
static struct hf_status write_batch(struct hf_sqlite_writer *writer, struct apply_job *job,
                                    const struct hf_buf *head)
{
    struct hf_sqlite_connection *connection = &writer->connection;
    const struct hf_batch *batch = job->batch;
    struct hf_op *op = job->job.op;
    uint64_t seq = writer->current.seq + 1;

    HF_TRY(write_log(writer, op, batch, seq));
    for (size_t i = 0; i < batch->count; i++) {
        HF_TRY(write_record(connection, op, &batch->changes[i], &job->linked[i], seq));
        HF_TRY(write_change(connection, op, &job->linked[i], seq, i));
    }
    writer->current.seq = seq;
    hf_buf_clear(&writer->current.head);
    hf_buf_add_bytes(&writer->current.head, hf_buf_bytes(head));
    writer->moved = true;
    job->commit.seq = seq;
    job->commit.epoch = writer->current.epoch;
    return HF_SUCCESS;
}

static struct hf_status run_apply(struct hf_sqlite_engine *engine, struct hf_sqlite_job *base)
{
    struct apply_job *job = (struct apply_job *)base;
    struct hf_sqlite_writer *writer = &engine->writer;
    HF_AUTO(buf) head = hf_buf_new();

    /* An earlier transaction with this job may have been given up. */
    hf_commit_done(&job->commit);
    hf_commit_init(&job->commit);
    HF_TRY(look_for_first(&writer->connection, base->op, job->batch, &job->commit));
    if (job->commit.repeated) {
        return HF_SUCCESS;
    }
    HF_TRY(check_batch(writer, job));
    HF_TRY(link_batch(writer, job, head));
    return write_batch(writer, job, head);
}

struct hf_status hf_sqlite_apply(struct hf_engine *engine, struct hf_op *op,
                                 const struct hf_batch *batch, struct hf_commit *out)
{
    struct apply_job job = {
        .job = { .run = run_apply, .op = op, .request_id = &batch->request_id }, .batch = batch
    };
    struct hf_status status;

    job.linked = hf_alloc_array(batch->count, sizeof *job.linked);
    hf_commit_init(&job.commit);
    status = hf_sqlite_submit(hf_sqlite_of(engine), &job.job);
    free(job.linked);
    if (status.code != HF_OK) {
        hf_commit_done(&job.commit);
        return status;
    }
    hf_commit_done(out);
    *out = job.commit;
    return HF_SUCCESS;
}

/* A commit without a change is not written at all, so the barrier counts itself. */
static struct hf_status run_barrier(struct hf_sqlite_engine *engine, struct hf_sqlite_job *base)
{
    struct hf_sqlite_writer *writer = &engine->writer;

    HF_TRY(hf_sqlite_do(&writer->connection, base->op, HF_SQLITE_TOUCH_STATE));
    ((struct barrier_job *)base)->seq = writer->current.seq;
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq)
{
    struct barrier_job job = { .job = { .run = run_barrier, .op = op } };

    HF_TRY(hf_sqlite_submit(hf_sqlite_of(engine), &job.job));
    *out_seq = job.seq;
    return HF_SUCCESS;
}

/* The fence the lease gets now; a lease of an earlier opening is over, whoever asks. */
static struct hf_status decide_lease(const struct hf_sqlite_engine *engine, struct lease_job *job,
                                     sqlite3_stmt *find, bool row, uint64_t now_ms)
{
    const char *holder = row ? hf_sqlite_column_text(find, 0) : "";
    bool same_opening = row && hf_sqlite_column_u64(find, 2) == engine->opening;

    job->fence = row ? hf_sqlite_column_u64(find, 1) : 0;
    if (same_opening && strcmp(holder, job->holder) == 0) {
        return HF_SUCCESS;
    }
    if (same_opening && now_ms < hf_sqlite_column_u64(find, 3)) {
        return hf_fail(job->job.op, HF_CONFLICT, "%.100s has the lease %.100s", holder, job->name);
    }
    job->fence++;
    return HF_SUCCESS;
}

static struct hf_status run_lease(struct hf_sqlite_engine *engine, struct hf_sqlite_job *base)
{
    struct lease_job *job = (struct lease_job *)base;
    struct hf_sqlite_connection *connection = &engine->writer.connection;
    sqlite3_stmt *find = connection->statements[HF_SQLITE_FIND_LEASE];
    sqlite3_stmt *put = connection->statements[HF_SQLITE_PUT_LEASE];
    uint64_t now_ms = hf_env_boottime_ms(base->op->env);
    struct hf_status status;
    bool row;

    hf_sqlite_bind_text(find, 1, job->name);
    HF_TRY(hf_sqlite_step(connection, base->op, find, &row));
    status = decide_lease(engine, job, find, row, now_ms);
    hf_sqlite_reset(find);
    HF_TRY(status);

    hf_sqlite_bind_text(put, 1, job->name);
    hf_sqlite_bind_text(put, 2, job->holder);
    hf_sqlite_bind_u64(put, 3, job->fence);
    hf_sqlite_bind_u64(put, 4, engine->opening);
    hf_sqlite_bind_u64(put, 5, now_ms + job->duration_ms);
    HF_TRY(hf_sqlite_do(connection, base->op, HF_SQLITE_PUT_LEASE));
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                 const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    struct lease_job job = { .job = { .run = run_lease, .op = op },
                             .name = name,
                             .holder = holder,
                             .duration_ms = duration_ms };

    HF_TRY(hf_sqlite_submit(hf_sqlite_of(engine), &job.job));
    *out_fence = job.fence;
    return HF_SUCCESS;
}

static struct hf_status run_forget(struct hf_sqlite_engine *engine, struct hf_sqlite_job *base)
{
    static const enum hf_sqlite_statement steps[] = { HF_SQLITE_FORGET_REQUESTS,
                                                      HF_SQLITE_FORGET_CHANGES,
                                                      HF_SQLITE_FORGET_BATCHES };
    struct forget_job *job = (struct forget_job *)base;
    struct hf_sqlite_connection *connection = &engine->writer.connection;

    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        hf_sqlite_bind_u64(connection->statements[steps[i]], 1, job->below_seq);
        HF_TRY(hf_sqlite_do(connection, base->op, steps[i]));
    }
    return HF_SUCCESS;
}

/* In chunks, so that other writers get their turn in between. */
struct hf_status hf_sqlite_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq)
{
    struct hf_store_state state;
    uint64_t at;

    HF_TRY(hf_sqlite_state(engine, op, &state, NULL));
    if (state.oldest_seq == 0) {
        return HF_SUCCESS;
    }
    if (below_seq > state.seq + 1) {
        below_seq = state.seq + 1;
    }
    for (at = state.oldest_seq; at < below_seq;) {
        struct forget_job job = { .job = { .run = run_forget, .op = op } };

        at = below_seq - at > FORGET_CHUNK ? at + FORGET_CHUNK : below_seq;
        job.below_seq = at;
        HF_TRY(hf_op_check_deadline(op));
        HF_TRY(hf_sqlite_submit(hf_sqlite_of(engine), &job.job));
    }
    return HF_SUCCESS;
}
