/*
 * A store file of SQLite as the copy of another engine's store: takes over its log in one
 * transaction, as it was committed there.
 *
 * The bodies of changes that were overtaken are gone from the log, so what is in between two states
 * of the source cannot be had: the file moves from one of them to the next, or not at all.
 */
#include "store/sqlite_engine.h"

#include <inttypes.h>

struct follow_job {
    struct hf_sqlite_job job;
    const struct hf_sqlite_source *source;
    struct hf_sqlite_writer *writer;
    uint64_t began; /* where the file stood */
    bool ended;     /* the last batch that was taken is the source's last */
};

static struct hf_status other_history(struct hf_op *op, uint64_t seq)
{
    return hf_fail(op, HF_WRONG_STATE,
                   "the store has another history: its commit %" PRIu64
                   " is not the one that this node has copied",
                   seq);
}

static void add_batch(sqlite3_stmt *insert, const struct hf_logged_batch *batch)
{
    hf_sqlite_bind_u64(insert, 1, batch->seq);
    hf_sqlite_bind_u64(insert, 2, batch->epoch);
    hf_sqlite_bind_u64(insert, 3, batch->realtime_ms);
    hf_sqlite_bind_bytes(insert, 4, hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN));
    hf_sqlite_bind_text(insert, 5, batch->principal);
    hf_sqlite_bind_bytes(insert, 6, hf_bytes_of(batch->digest, HF_DIGEST_LEN));
    hf_sqlite_bind_bytes(insert, 7, batch->note);
    hf_sqlite_bind_bytes(insert, 8, batch->result);
}

static struct hf_status take_batch(struct follow_job *job, const struct hf_logged_batch *batch)
{
    struct hf_sqlite_connection *connection = &job->writer->connection;
    sqlite3_stmt *insert = connection->statements[HF_SQLITE_INSERT_REQUEST];

    add_batch(connection->statements[HF_SQLITE_INSERT_BATCH], batch);
    HF_TRY(hf_sqlite_do(connection, job->job.op, HF_SQLITE_INSERT_BATCH));
    hf_sqlite_bind_bytes(insert, 1, hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN));
    hf_sqlite_bind_u64(insert, 2, batch->seq);
    return hf_sqlite_do(connection, job->job.op, HF_SQLITE_INSERT_REQUEST);
}

static struct hf_status revision_of(struct follow_job *job, const char *path, uint64_t *out)
{
    struct hf_sqlite_connection *connection = &job->writer->connection;
    sqlite3_stmt *find = connection->statements[HF_SQLITE_FIND_RECORD];
    bool row;

    hf_sqlite_bind_text(find, 1, path);
    HF_TRY(hf_sqlite_step(connection, job->job.op, find, &row));
    *out = row ? hf_sqlite_column_u64(find, 0) : 0;
    hf_sqlite_reset(find);
    return HF_SUCCESS;
}

/* A revision never goes back, and none is left out. */
static struct hf_status check_revision(struct follow_job *job,
                                       const struct hf_logged_change *change, uint64_t seq)
{
    uint64_t revision = 0;

    HF_TRY(revision_of(job, change->path, &revision));
    if (change->revision != revision + 1) {
        return hf_fail(job->job.op, HF_WRONG_STATE,
                       "commit %" PRIu64 " of the store takes %.150s to revision %" PRIu64
                       ", and the copy has it at %" PRIu64,
                       seq, change->path, change->revision, revision);
    }
    return HF_SUCCESS;
}

static struct hf_status take_change(struct follow_job *job, const struct hf_logged_change *change,
                                    uint64_t seq, size_t ordinal)
{
    struct hf_sqlite_connection *connection = &job->writer->connection;
    enum hf_sqlite_statement which =
        change->revision > 1 ? HF_SQLITE_UPDATE_RECORD : HF_SQLITE_INSERT_RECORD;
    sqlite3_stmt *write = connection->statements[which];

    HF_TRY(check_revision(job, change, seq));
    hf_sqlite_bind_text(write, 1, change->path);
    hf_sqlite_bind_u64(write, 2, change->revision);
    hf_sqlite_bind_u64(write, 3, seq);
    hf_sqlite_bind_bytes(write, 4, hf_bytes_of(change->digest, HF_DIGEST_LEN));
    hf_sqlite_bind_bytes(write, 5, change->body);
    HF_TRY(hf_sqlite_do(connection, job->job.op, which));

    write = connection->statements[HF_SQLITE_INSERT_CHANGE];
    hf_sqlite_bind_u64(write, 1, seq);
    hf_sqlite_bind_u64(write, 2, ordinal);
    hf_sqlite_bind_text(write, 3, change->path);
    hf_sqlite_bind_u64(write, 4, change->revision);
    hf_sqlite_bind_bytes(write, 5, hf_bytes_of(change->digest, HF_DIGEST_LEN));
    hf_sqlite_bind_bytes(write, 6, hf_bytes_of(change->link, HF_DIGEST_LEN));
    return hf_sqlite_do(connection, job->job.op, HF_SQLITE_INSERT_CHANGE);
}

/* The state is written by the writer, at the end of the transaction. */
static struct hf_status take_end(struct follow_job *job, const struct hf_logged_batch *batch)
{
    struct hf_sqlite_connection *connection = &job->writer->connection;
    struct hf_sqlite_position *current = &job->writer->current;

    if (current->epoch != batch->end->epoch) {
        current->epoch = batch->end->epoch;
        hf_sqlite_bind_u64(connection->statements[HF_SQLITE_UPDATE_EPOCH], 1, current->epoch);
        HF_TRY(hf_sqlite_do(connection, job->job.op, HF_SQLITE_UPDATE_EPOCH));
    }
    hf_buf_clear(&current->head);
    hf_buf_add_bytes(&current->head, batch->head);
    job->ended = true;
    return HF_SUCCESS;
}

static struct hf_status compare_batch(struct follow_job *job, sqlite3_stmt *find,
                                      const struct hf_logged_batch *batch)
{
    struct hf_request_id id = { 0 };

    HF_TRY(hf_sqlite_column_exact(job->job.op, find, 1, id.bytes, sizeof id.bytes));
    return hf_sqlite_column_u64(find, 0) == batch->epoch &&
                   memcmp(&id, &batch->request_id, sizeof id) == 0
               ? HF_SUCCESS
               : other_history(job->job.op, batch->seq);
}

/* The last batch of the file, which the source must show as it was. */
static struct hf_status check_last(struct follow_job *job, const struct hf_logged_batch *batch)
{
    struct hf_sqlite_connection *connection = &job->writer->connection;
    sqlite3_stmt *find = connection->statements[HF_SQLITE_FIND_BATCH];
    struct hf_status status = HF_SUCCESS;
    bool row;

    hf_sqlite_bind_u64(find, 1, batch->seq);
    HF_TRY(hf_sqlite_step(connection, job->job.op, find, &row));
    if (row) {
        status = compare_batch(job, find, batch);
    }
    hf_sqlite_reset(find);
    HF_TRY(status);
    if (batch->end != NULL &&
        !hf_bytes_equal(batch->head, hf_buf_bytes(&job->writer->current.head))) {
        return other_history(job->job.op, batch->seq);
    }
    return HF_SUCCESS;
}

static struct hf_status take(void *context, const struct hf_logged_batch *batch)
{
    struct follow_job *job = context;
    struct hf_sqlite_position *current = &job->writer->current;

    if (batch->seq == job->began) {
        HF_TRY(check_last(job, batch));
    } else if (batch->seq != current->seq + 1) {
        return hf_fail(job->job.op, HF_WRONG_STATE,
                       "the log of the store shows commit %" PRIu64 " after %" PRIu64, batch->seq,
                       current->seq);
    } else {
        HF_TRY(take_batch(job, batch));
        for (size_t i = 0; i < batch->count; i++) {
            HF_TRY(take_change(job, &batch->changes[i], batch->seq, i));
        }
        current->seq = batch->seq;
        job->writer->moved = true;
    }
    job->ended = false;
    return batch->end != NULL ? take_end(job, batch) : HF_SUCCESS;
}

/* From the file's last batch on, to compare it; or from the next, if the log begins with that. */
static struct hf_status read_source(struct follow_job *job)
{
    const struct hf_sqlite_source *source = job->source;
    struct hf_op *op = job->job.op;
    struct hf_status status = { HF_NOT_FOUND };

    if (job->began > 0) {
        status = source->changes(source->context, op, job->began - 1, take, job);
    }
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        status = source->changes(source->context, op, job->began, take, job);
    }
    HF_TRY(status);
    if (job->writer->moved && !job->ended) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the log of the store ends at commit %" PRIu64 ", and the store does not",
                       job->writer->current.seq);
    }
    return HF_SUCCESS;
}

static struct hf_status run_follow(struct hf_sqlite_engine *engine, struct hf_sqlite_job *base)
{
    struct follow_job *job = (struct follow_job *)base;
    struct hf_sqlite_writer *writer = &engine->writer;
    struct hf_status status;

    job->writer = writer;
    job->began = writer->current.seq;
    job->ended = false;
    status = read_source(job);
    /* A part of it must not be committed: that is what a failure of the file does as well. */
    if (status.code != HF_OK && writer->connection.failure == SQLITE_OK) {
        writer->connection.failure = SQLITE_ABORT;
    }
    return status;
}

struct hf_status hf_sqlite_follow(struct hf_engine *engine, struct hf_op *op,
                                  const struct hf_sqlite_source *source, uint64_t *out_seq)
{
    struct hf_store_state state;
    struct follow_job job = { .job = { .run = run_follow, .op = op }, .source = source };

    HF_TRY(hf_sqlite_submit(hf_sqlite_of(engine), &job.job));
    HF_TRY(hf_sqlite_state(engine, op, &state, NULL));
    *out_seq = state.seq;
    return HF_SUCCESS;
}
