/*
 * What jobs of the PostgreSQL engine do inside a transaction.
 *
 * A batch first asks everything that could refuse it and writes only then, so a refused batch
 * leaves nothing behind in the transaction that it shares with others.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"

/* Batches forgotten in one transaction. */
#define FORGET_CHUNK 500

struct apply_job {
    struct hf_pg_job job;
    const struct hf_batch *batch;
    struct hf_linked *linked;
    struct hf_commit commit;
};

struct barrier_job {
    struct hf_pg_job job;
    uint64_t seq;
    uint64_t timeline;
};

struct forget_job {
    struct hf_pg_job job;
    uint64_t below_seq;
};

static const char *principal_of(const struct hf_batch *batch)
{
    return batch->principal != NULL ? batch->principal : "";
}

struct hf_status hf_pg_read_first(struct hf_op *op, const PGresult *row,
                                  const struct hf_batch *batch, struct hf_commit *out)
{
    uint8_t digest[HF_DIGEST_LEN];

    HF_TRY(hf_pg_exact(op, row, 0, 3, digest, sizeof digest));
    if (memcmp(digest, batch->digest, sizeof digest) != 0 ||
        !hf_bytes_equal_text(hf_pg_bytes(row, 0, 2), principal_of(batch))) {
        return hf_fail(op, HF_CONFLICT, "this request id was used for another request");
    }
    out->seq = hf_pg_u64(row, 0, 0);
    out->epoch = hf_pg_u64(row, 0, 1);
    out->repeated = true;
    hf_buf_clear(&out->result);
    hf_buf_add_bytes(&out->result, hf_pg_bytes(row, 0, 4));
    return HF_SUCCESS;
}

/* --- apply --- */

static size_t ask_apply(struct hf_pg_job *base, struct hf_pg_link *link)
{
    const struct hf_batch *batch = ((struct apply_job *)base)->batch;
    struct hf_pg_params id = { 0 };

    hf_pg_param_bytes(&id, hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN));
    hf_pg_send(link, HF_PG_FIND_REQUEST, &id);
    for (size_t i = 0; i < batch->count; i++) {
        struct hf_pg_params path = { 0 };

        hf_pg_param_bytes(&path, hf_bytes_of_text(batch->changes[i].path));
        hf_pg_send(link, HF_PG_FIND_RECORD, &path);
    }
    return 1 + batch->count;
}

/* FNV-1a. */
static uint64_t hash_of(const char *path)
{
    uint64_t hash = 0xcbf29ce484222325U;

    for (; *path != '\0'; path++) {
        hash = (hash ^ (uint8_t)*path) * 0x100000001b3U;
    }
    return hash;
}

/* What an earlier batch of this transaction has made of the record; the latest counts. */
static const struct hf_pg_pending *find_pending(const struct hf_pg_writer *writer, const char *path)
{
    uint64_t hash = hash_of(path);

    for (size_t i = writer->pending_count; i-- > 0;) {
        if (writer->pending[i].hash == hash && strcmp(writer->pending[i].path, path) == 0) {
            return &writer->pending[i];
        }
    }
    return NULL;
}

static void add_pending(struct hf_pg_writer *writer, const struct hf_linked *linked)
{
    if (writer->pending_count == writer->pending_room) {
        writer->pending_room = writer->pending_room < 64 ? 64 : writer->pending_room * 2;
        writer->pending =
            hf_realloc_array(writer->pending, writer->pending_room, sizeof *writer->pending);
    }
    writer->pending[writer->pending_count++] =
        (struct hf_pg_pending){ hash_of(linked->path), linked->path, linked->revision,
                                linked->digest };
}

/* The record as it stands in this transaction. */
static struct hf_status look_at(struct hf_pg_writer *writer, struct hf_op *op, const char *path,
                                const PGresult *row, uint64_t *out_revision, uint8_t *out_digest)
{
    const struct hf_pg_pending *pending = find_pending(writer, path);

    *out_revision = 0;
    if (pending != NULL) {
        *out_revision = pending->revision;
        memcpy(out_digest, pending->digest, HF_DIGEST_LEN);
        return HF_SUCCESS;
    }
    if (PQntuples(row) == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_pg_counter(op, row, 0, 0, out_revision));
    return hf_pg_exact(op, row, 0, 1, out_digest, HF_DIGEST_LEN);
}

static struct hf_status check_change(struct hf_pg_writer *writer, struct hf_op *op,
                                     const struct hf_change *change, const PGresult *row,
                                     struct hf_linked *out)
{
    uint64_t revision = 0;

    memset(out, 0, sizeof *out);
    HF_TRY(look_at(writer, op, change->path, row, &revision, out->old_digest));
    if (revision != change->expected) {
        return hf_fail(op, HF_CONFLICT, "%.200s is at revision %" PRIu64 ", not %" PRIu64,
                       change->path, revision, change->expected);
    }
    out->path = change->path;
    out->revision = revision + 1;
    memcpy(out->digest, change->digest, HF_DIGEST_LEN);
    out->replaces = revision > 0;
    out->old_revision = revision;
    return HF_SUCCESS;
}

static struct hf_status check_batch(struct hf_pg_writer *writer, struct apply_job *job,
                                    PGresult *const *answers)
{
    const struct hf_batch *batch = job->batch;

    if (batch->epoch != 0 && batch->epoch != writer->position.epoch) {
        return hf_fail(job->job.op, HF_CONFLICT, "the store is in epoch %" PRIu64 ", not %" PRIu64,
                       writer->position.epoch, batch->epoch);
    }
    for (size_t i = 0; i < batch->count; i++) {
        HF_TRY(
            check_change(writer, job->job.op, &batch->changes[i], answers[1 + i], &job->linked[i]));
    }
    return HF_SUCCESS;
}

static struct hf_status link_batch(struct hf_pg_writer *writer, struct apply_job *job,
                                   struct hf_buf *out_head)
{
    const struct hf_batch *batch = job->batch;

    if (batch->linker == NULL) {
        hf_buf_add_bytes(out_head, hf_buf_bytes(&writer->position.head));
        return HF_SUCCESS;
    }
    return batch->linker->link(batch->linker->context, job->job.op, writer->position.seq + 1,
                               hf_buf_bytes(&writer->position.head), batch->note, job->linked,
                               batch->count, out_head);
}

static void send_log(struct hf_pg_writer *writer, struct hf_op *op, const struct hf_batch *batch,
                     uint64_t seq)
{
    struct hf_bytes request_id = hf_bytes_of(batch->request_id.bytes, HF_REQUEST_ID_LEN);
    struct hf_pg_params entry = { 0 };
    struct hf_pg_params request = { 0 };

    /* First the id: its primary key refuses what the look under the lock should have found. */
    hf_pg_param_bytes(&request, request_id);
    hf_pg_param_u64(&request, seq);
    hf_pg_send(&writer->link, HF_PG_INSERT_REQUEST, &request);

    hf_pg_param_u64(&entry, seq);
    hf_pg_param_u64(&entry, writer->position.epoch);
    hf_pg_param_u64(&entry, hf_env_realtime_ms(op->env));
    hf_pg_param_bytes(&entry, request_id);
    hf_pg_param_bytes(&entry, hf_bytes_of_text(principal_of(batch)));
    hf_pg_param_bytes(&entry, hf_bytes_of(batch->digest, HF_DIGEST_LEN));
    hf_pg_param_bytes(&entry, batch->note);
    hf_pg_param_bytes(&entry, batch->result);
    hf_pg_send(&writer->link, HF_PG_INSERT_BATCH, &entry);
}

static void send_change(struct hf_pg_link *link, const struct hf_change *change,
                        const struct hf_linked *linked, uint64_t seq, size_t ordinal)
{
    struct hf_bytes path = hf_bytes_of_text(change->path);
    struct hf_bytes digest = hf_bytes_of(linked->digest, HF_DIGEST_LEN);
    struct hf_pg_params record = { 0 };
    struct hf_pg_params entry = { 0 };

    hf_pg_param_bytes(&record, path);
    hf_pg_param_u64(&record, linked->revision);
    hf_pg_param_u64(&record, seq);
    hf_pg_param_bytes(&record, digest);
    hf_pg_param_bytes(&record, change->body);
    hf_pg_send(link, linked->replaces ? HF_PG_UPDATE_RECORD : HF_PG_INSERT_RECORD, &record);

    hf_pg_param_u64(&entry, seq);
    hf_pg_param_u64(&entry, ordinal);
    hf_pg_param_bytes(&entry, path);
    hf_pg_param_u64(&entry, linked->revision);
    hf_pg_param_bytes(&entry, digest);
    hf_pg_param_bytes(&entry, hf_bytes_of(linked->link, HF_DIGEST_LEN));
    hf_pg_send(link, HF_PG_INSERT_CHANGE, &entry);
}

/* The batch applies and is linked. */
static void send_batch(struct hf_pg_writer *writer, struct apply_job *job,
                       const struct hf_buf *head, size_t *out_sent)
{
    const struct hf_batch *batch = job->batch;
    uint64_t seq = writer->position.seq + 1;

    send_log(writer, job->job.op, batch, seq);
    for (size_t i = 0; i < batch->count; i++) {
        send_change(&writer->link, &batch->changes[i], &job->linked[i], seq, i);
        add_pending(writer, &job->linked[i]);
    }
    *out_sent += 2 + 2 * batch->count;
    writer->position.seq = seq;
    hf_buf_clear(&writer->position.head);
    hf_buf_add_bytes(&writer->position.head, hf_buf_bytes(head));
    job->job.writes = true;
    job->commit.seq = seq;
    job->commit.epoch = writer->position.epoch;
}

static struct hf_status write_apply(struct hf_pg_engine *engine, struct hf_pg_job *base,
                                    PGresult *const *answers, size_t *out_sent)
{
    struct apply_job *job = (struct apply_job *)base;
    HF_AUTO(buf) head = hf_buf_new();

    /* An earlier transaction with this job may have been given up. */
    hf_commit_done(&job->commit);
    hf_commit_init(&job->commit);
    if (PQntuples(answers[0]) > 0) {
        return hf_pg_read_first(base->op, answers[0], job->batch, &job->commit);
    }
    HF_TRY(check_batch(&engine->writer, job, answers));
    HF_TRY(link_batch(&engine->writer, job, head));
    send_batch(&engine->writer, job, head, out_sent);
    return HF_SUCCESS;
}

static void free_apply(struct hf_pg_job *base)
{
    struct apply_job *job = (struct apply_job *)base;

    hf_commit_done(&job->commit);
    free(job->linked);
    free(job);
}

static size_t size_of(const struct hf_batch *batch)
{
    size_t size = batch->note.len + batch->result.len;

    for (size_t i = 0; i < batch->count; i++) {
        size += batch->changes[i].body.len;
    }
    return size;
}

struct hf_status hf_pg_apply(struct hf_engine *engine, struct hf_op *op,
                             const struct hf_batch *batch, struct hf_commit *out)
{
    struct apply_job *job = hf_alloc(sizeof *job);
    struct hf_status status;
    bool gone;

    job->job = (struct hf_pg_job){ .ask = ask_apply,
                                   .write = write_apply,
                                   .free = free_apply,
                                   .op = op,
                                   .request_id = &batch->request_id,
                                   .size = size_of(batch) };
    job->batch = batch;
    job->linked = hf_alloc_array(batch->count, sizeof *job->linked);
    hf_commit_init(&job->commit);
    status = hf_pg_submit(hf_pg_of(engine), &job->job, &gone);
    if (gone) {
        return status;
    }
    if (status.code == HF_OK) {
        hf_commit_done(out);
        *out = job->commit;
        hf_commit_init(&job->commit);
    }
    hf_pg_job_free(&job->job);
    return status;
}

/* --- barrier --- */

static size_t ask_nothing(struct hf_pg_job *job, struct hf_pg_link *link)
{
    (void)job;
    (void)link;
    return 0;
}

static struct hf_status write_barrier(struct hf_pg_engine *engine, struct hf_pg_job *base,
                                      PGresult *const *answers, size_t *out_sent)
{
    struct barrier_job *job = (struct barrier_job *)base;

    (void)answers;
    (void)out_sent;
    base->needs_commit = true;
    job->seq = engine->writer.position.seq;
    job->timeline = engine->writer.link.role.timeline;
    return HF_SUCCESS;
}

static void free_plain(struct hf_pg_job *job)
{
    free(job);
}

struct hf_status hf_pg_barrier_on(struct hf_pg_engine *engine, struct hf_op *op, uint64_t *out_seq,
                                  uint64_t *out_timeline)
{
    struct barrier_job *job = hf_alloc(sizeof *job);
    struct hf_status status;
    bool gone;

    job->job = (struct hf_pg_job){
        .ask = ask_nothing, .write = write_barrier, .free = free_plain, .op = op
    };
    status = hf_pg_submit(engine, &job->job, &gone);
    if (gone) {
        return status;
    }
    if (status.code == HF_OK) {
        *out_seq = job->seq;
        *out_timeline = job->timeline;
    }
    hf_pg_job_free(&job->job);
    return status;
}

struct hf_status hf_pg_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq)
{
    uint64_t timeline;

    return hf_pg_barrier_on(hf_pg_of(engine), op, out_seq, &timeline);
}

/* --- forget --- */

static struct hf_status write_forget(struct hf_pg_engine *engine, struct hf_pg_job *base,
                                     PGresult *const *answers, size_t *out_sent)
{
    static const enum hf_pg_statement steps[] = { HF_PG_FORGET_REQUESTS, HF_PG_FORGET_CHANGES,
                                                  HF_PG_FORGET_BATCHES };

    (void)answers;
    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        struct hf_pg_params params = { 0 };

        hf_pg_param_u64(&params, ((struct forget_job *)base)->below_seq);
        hf_pg_send(&engine->writer.link, steps[i], &params);
    }
    *out_sent += HF_COUNT(steps);
    base->writes = true;
    return HF_SUCCESS;
}

static struct hf_status forget_below(struct hf_pg_engine *engine, struct hf_op *op,
                                     uint64_t below_seq)
{
    struct forget_job *job = hf_alloc(sizeof *job);
    struct hf_status status;
    bool gone;

    job->job = (struct hf_pg_job){
        .ask = ask_nothing, .write = write_forget, .free = free_plain, .op = op
    };
    job->below_seq = below_seq;
    status = hf_pg_submit(engine, &job->job, &gone);
    if (!gone) {
        hf_pg_job_free(&job->job);
    }
    return status;
}

/* In chunks, so that other writers get their turn in between. */
struct hf_status hf_pg_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq)
{
    struct hf_store_state state;
    uint64_t at;

    HF_TRY(hf_pg_state(engine, op, &state, NULL));
    if (state.oldest_seq == 0) {
        return HF_SUCCESS;
    }
    if (below_seq > state.seq + 1) {
        below_seq = state.seq + 1;
    }
    for (at = state.oldest_seq; at < below_seq;) {
        at = below_seq - at > FORGET_CHUNK ? at + FORGET_CHUNK : below_seq;
        HF_TRY(hf_op_check_deadline(op));
        HF_TRY(forget_below(hf_pg_of(engine), op, at));
    }
    return HF_SUCCESS;
}
