/*
 * Heartbeats of the PostgreSQL engine. A synchronous one goes through the writer, so it is a
 * barrier too. Another has a connection of its own and a transaction that waits for no standby: it
 * must not queue behind a commit that waits for one.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"

/* BEGIN, how to commit, the row, COMMIT. */
#define LOCAL_STATEMENTS 4

struct beat_job {
    struct hf_pg_job job;
    char *node;
    struct hf_buf body; /* of beat */
    struct hf_beat beat;
    uint64_t seq;
};

static void send_beat(struct hf_pg_link *link, const struct hf_beat *beat)
{
    struct hf_pg_params params = { 0 };

    hf_pg_param_bytes(&params, hf_bytes_of_text(beat->node));
    hf_pg_param_u64(&params, beat->number);
    hf_pg_param_u64(&params, beat->confirmed_seq);
    hf_pg_param_u64(&params, beat->applied_seq);
    hf_pg_param_bytes(&params, beat->body);
    hf_pg_send(link, HF_PG_PUT_BEAT, &params);
}

/* --- synchronous --- */

static size_t ask_nothing(struct hf_pg_job *job, struct hf_pg_link *link)
{
    (void)job;
    (void)link;
    return 0;
}

static struct hf_status write_beat(struct hf_pg_engine *engine, struct hf_pg_job *base,
                                   PGresult *const *answers, size_t *out_sent)
{
    struct beat_job *job = (struct beat_job *)base;

    (void)answers;
    send_beat(&engine->writer.link, &job->beat);
    *out_sent += 1;
    base->writes = true;
    job->seq = engine->writer.position.seq;
    return HF_SUCCESS;
}

static void free_beat(struct hf_pg_job *base)
{
    struct beat_job *job = (struct beat_job *)base;

    free(job->node);
    hf_buf_done(&job->body);
    free(job);
}

static struct hf_status beat_synchronously(struct hf_pg_engine *engine, struct hf_op *op,
                                           const struct hf_beat *beat, uint64_t *out_seq)
{
    struct beat_job *job = hf_alloc(sizeof *job);
    struct hf_status status;
    bool gone;

    job->job =
        (struct hf_pg_job){ .ask = ask_nothing, .write = write_beat, .free = free_beat, .op = op };
    job->node = hf_strdup(beat->node);
    hf_buf_add_bytes(&job->body, beat->body);
    job->beat = *beat;
    job->beat.node = job->node;
    job->beat.body = hf_buf_bytes(&job->body);
    job->job.size = beat->body.len;
    status = hf_pg_submit(engine, &job->job, &gone);
    if (gone) {
        return status;
    }
    if (status.code == HF_OK) {
        *out_seq = job->seq;
    }
    hf_pg_job_free(&job->job);
    return status;
}

/* --- without waiting for standbys --- */

static struct hf_status connect_beater(struct hf_pg_engine *engine, struct hf_op *op,
                                       const struct hf_pg_limit *limit)
{
    struct hf_pg_link *link = &engine->beater.link;
    size_t host = 0;

    HF_TRY(hf_pg_primary(engine, op, &host));
    if (link->db != NULL && link->host == host && hf_pg_is_current(engine, link)) {
        return HF_SUCCESS;
    }
    return hf_pg_connect(engine, op, limit, host, HF_PG_SHARED, HF_PG_STATEMENTS, link);
}

static struct hf_status beat_on(struct hf_pg_link *link, struct hf_op *op,
                                const struct hf_pg_limit *limit, const struct hf_beat *beat)
{
    PGresult *results[LOCAL_STATEMENTS];
    struct hf_status status = HF_SUCCESS;

    hf_pg_send(link, HF_PG_BEGIN, NULL);
    hf_pg_send(link, HF_PG_COMMIT_LOCALLY, NULL);
    send_beat(link, beat);
    hf_pg_send(link, HF_PG_COMMIT, NULL);
    HF_TRY(hf_pg_exchange(link, op, limit, results, LOCAL_STATEMENTS));
    if (strcmp(PQcmdStatus(results[LOCAL_STATEMENTS - 1]), "COMMIT") != 0) {
        status = hf_fail(op, HF_UNAVAILABLE, "the database did not take the heartbeat");
    }
    hf_pg_clear(results, LOCAL_STATEMENTS);
    return status;
}

static struct hf_status beat_locally(struct hf_pg_engine *engine, struct hf_op *op,
                                     const struct hf_beat *beat)
{
    struct hf_pg_link *link = &engine->beater.link;
    struct hf_pg_limit limit = { .op = op,
                                 .until_ms = hf_pg_now_ms() + HF_PG_READ_MS,
                                 .stop = &engine->stop };
    struct hf_status status;

    pthread_mutex_lock(&engine->beater.lock);
    link->failure = HF_PG_FINE;
    status = connect_beater(engine, op, &limit);
    if (status.code == HF_OK) {
        status = beat_on(link, op, &limit, beat);
    }
    if (status.code != HF_OK) {
        hf_pg_disconnect(link);
        hf_pg_watcher_wake(engine);
    }
    pthread_mutex_unlock(&engine->beater.lock);
    return status;
}

struct hf_status hf_pg_beat(struct hf_engine *base, struct hf_op *op, const struct hf_beat *beat,
                            bool synchronous, uint64_t *out_seq)
{
    struct hf_pg_engine *engine = hf_pg_of(base);

    return synchronous ? beat_synchronously(engine, op, beat, out_seq)
                       : beat_locally(engine, op, beat);
}

/* --- reading them --- */

struct beats_call {
    hf_beat_visitor visit;
    void *visitor;
    uint64_t seq;
};

static struct hf_status show_beat(struct hf_pg_reading *reading, const struct beats_call *call,
                                  const PGresult *rows, int at)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_beat beat = { .number = hf_pg_u64(rows, at, 3),
                            .confirmed_seq = hf_pg_u64(rows, at, 4),
                            .applied_seq = hf_pg_u64(rows, at, 5),
                            .body = hf_pg_bytes(rows, at, 6) };

    hf_buf_add_bytes(name, hf_pg_bytes(rows, at, 2));
    beat.node = hf_buf_text(name);
    hf_pg_note_shown(reading);
    return call->visit(call->visitor, &beat);
}

static struct hf_status show_beats(struct hf_pg_reading *reading, const PGresult *rows,
                                   struct beats_call *call)
{
    if (PQntuples(rows) == 0) {
        return hf_fail(reading->op, HF_CORRUPT, "the database has no state of the store");
    }
    call->seq = hf_pg_u64(rows, 0, 0);
    HF_TRY(hf_pg_check_stand(reading, call->seq, hf_pg_u64(rows, 0, 1), 0));
    for (int at = 0; at < PQntuples(rows); at++) {
        /* Without any heartbeat there is one row, of the counter alone. */
        if (PQgetisnull(rows, at, 2) == 0) {
            HF_TRY(show_beat(reading, call, rows, at));
        }
    }
    return HF_SUCCESS;
}

static struct hf_status read_beats(struct hf_pg_reading *reading, void *context)
{
    PGresult *rows = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_BEATS, NULL, &rows));
    status = show_beats(reading, rows, context);
    PQclear(rows);
    return status;
}

struct hf_status hf_pg_beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                             void *context, uint64_t *out_seq)
{
    struct beats_call call = { .visit = visit, .visitor = context };

    HF_TRY(hf_pg_read(hf_pg_of(engine), op, read_beats, &call));
    *out_seq = call.seq;
    return HF_SUCCESS;
}
