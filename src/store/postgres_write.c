/*
 * Writes of the PostgreSQL engine: one thread locks the counter row of the store, takes all jobs
 * that are queued by then, asks what they have to know, and sends what they write with the commit,
 * in three round trips. The lock makes all writers of all nodes one after the other, and it is held
 * until a commit has ended, so whoever has it sees how every earlier one ended.
 *
 * A commit is never cancelled. One whose end is not seen (the connection broke, nobody waits any
 * more, another host became the primary, the server warned that it did not wait for its standby)
 * is in doubt: the same jobs run again in a new transaction, which finds those that happened by
 * their request ids.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "store/postgres_engine.h"

/* For the wait for the counter; the server ends it after lock_timeout. */
#define LOCK_MS 3000
/* Between two tries, unless there is news of the hosts. */
#define PAUSE_MS 50

/* The state, COMMIT, and what it waited for. */
#define AFTER_JOBS 3

/* How a transaction ended. */
enum ending {
    ENDING_COMMITTED,
    ENDING_NOTHING, /* for certain nothing has happened */
    ENDING_IN_DOUBT,
};

/* One transaction. */
struct transaction {
    struct hf_pg_engine *engine;
    struct hf_pg_link *link;
    struct hf_pg_group group;
    struct hf_op op;  /* of the writer: holds the text of what went wrong */
    bool must_commit; /* what the state says is not confirmed yet */
    PGresult **results;
    size_t result_count;
};

void hf_pg_confirm(struct hf_pg_engine *engine, uint64_t seq)
{
    uint64_t known = atomic_load(&engine->confirmed);

    while (known < seq && !atomic_compare_exchange_weak(&engine->confirmed, &known, seq)) {
    }
}

static struct hf_pg_limit limit_until(struct hf_pg_engine *engine, uint64_t ms)
{
    return (struct hf_pg_limit){ .until_ms = hf_pg_now_ms() + ms, .stop = &engine->stop };
}

/* A connection to the host that is the primary now. */
static struct hf_status get_ready(struct hf_pg_engine *engine, struct hf_op *op)
{
    struct hf_pg_link *link = &engine->writer.link;
    struct hf_pg_limit limit = limit_until(engine, HF_PG_CONNECT_MS);
    struct hf_status status;
    size_t host = 0;

    HF_TRY(hf_pg_primary(engine, op, &host));
    if (link->db != NULL && link->host == host && hf_pg_is_current(engine, link)) {
        return HF_SUCCESS;
    }
    hf_pg_disconnect(link);
    status = hf_pg_connect(engine, op, &limit, host, HF_PG_SHARED, HF_PG_STATEMENTS, link);
    if (status.code == HF_OK) {
        status = hf_pg_check_link(op, link);
    }
    if (status.code != HF_OK) {
        hf_pg_disconnect(link);
        hf_pg_watcher_wake(engine);
    }
    return status;
}

/* Takes what the state row says; it is the past if it says less than was confirmed. */
static struct hf_status take_position(struct transaction *transaction, const PGresult *state)
{
    struct hf_pg_engine *engine = transaction->engine;
    struct hf_pg_position *position = &engine->writer.position;
    const struct hf_pg_role *role = &transaction->link->role;
    uint64_t confirmed = atomic_load(&engine->confirmed);
    uint8_t store_id[HF_STORE_ID_LEN];

    if (PQntuples(state) != 1) {
        return hf_fail(&transaction->op, HF_CORRUPT, "the database has no state of the store");
    }
    HF_TRY(hf_pg_exact(&transaction->op, state, 0, 0, store_id, sizeof store_id));
    if (memcmp(store_id, engine->store_id, sizeof store_id) != 0) {
        return hf_fail(&transaction->op, HF_WRONG_STATE, "the database holds another store now");
    }
    HF_TRY(hf_pg_counter(&transaction->op, state, 0, 1, &position->seq));
    HF_TRY(hf_pg_counter(&transaction->op, state, 0, 2, &position->epoch));
    hf_buf_clear(&position->head);
    hf_buf_add_bytes(&position->head, hf_pg_bytes(state, 0, 3));
    if (position->seq < confirmed) {
        return hf_pg_fail_went_back(&transaction->op, position->seq, confirmed);
    }
    transaction->must_commit = position->seq > confirmed;
    if (hf_pg_u64(state, 0, 4) != role->timeline ||
        !hf_bytes_equal_text(hf_pg_bytes(state, 0, 5), role->started)) {
        /* What others hold above the watermark may be gone: the epoch tells them. */
        position->epoch++;
        transaction->must_commit = true;
    }
    return HF_SUCCESS;
}

static struct hf_status lock_counter(struct transaction *transaction)
{
    struct hf_pg_limit limit = limit_until(transaction->engine, LOCK_MS);
    PGresult *results[2];
    struct hf_status status;

    hf_pg_send(transaction->link, HF_PG_BEGIN, NULL);
    hf_pg_send(transaction->link, HF_PG_LOCK_STATE, NULL);
    HF_TRY(hf_pg_exchange(transaction->link, &transaction->op, &limit, results, 2));
    status = take_position(transaction, results[1]);
    hf_pg_clear(results, 2);
    return status;
}

static void grow_results(struct transaction *transaction, size_t count)
{
    transaction->results = hf_realloc_array(transaction->results, count + 1, sizeof(PGresult *));
    transaction->result_count = count;
}

/* Callers may go while the answers are on their way. */
static struct hf_status ask(struct transaction *transaction)
{
    struct hf_pg_writer *writer = &transaction->engine->writer;
    struct hf_pg_group *group = &transaction->group;
    struct hf_pg_limit limit = { .quiet_ms = HF_PG_READ_MS, .stop = &transaction->engine->stop };
    struct hf_status status;
    size_t count = 0;

    for (size_t i = 0; i < group->count; i++) {
        group->jobs[i]->asked = group->jobs[i]->ask(group->jobs[i], transaction->link);
        count += group->jobs[i]->asked;
    }
    grow_results(transaction, count);
    if (count == 0) {
        return HF_SUCCESS;
    }
    hf_pg_queue_lend(writer, group, HF_PG_ASKED);
    status =
        hf_pg_exchange(transaction->link, &transaction->op, &limit, transaction->results, count);
    hf_pg_queue_reclaim(writer, group);
    if (status.code != HF_OK) {
        transaction->result_count = 0;
    }
    return status;
}

/* Lets each job decide and send; gives the number of statements sent. */
static size_t write_jobs(struct transaction *transaction)
{
    struct hf_pg_group *group = &transaction->group;
    PGresult *const *answers = transaction->results;
    size_t sent = 0;

    transaction->engine->writer.pending_count = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct hf_pg_job *job = group->jobs[i];

        if (!job->abandoned) {
            job->status = job->write(transaction->engine, job, answers, &sent);
            transaction->must_commit = transaction->must_commit || job->writes || job->needs_commit;
        }
        answers += job->asked;
    }
    hf_pg_clear(transaction->results, transaction->result_count);
    return sent;
}

static void send_state(struct transaction *transaction)
{
    const struct hf_pg_position *position = &transaction->engine->writer.position;
    struct hf_pg_params params = { 0 };

    hf_pg_param_u64(&params, position->seq);
    hf_pg_param_u64(&params, position->epoch);
    hf_pg_param_bytes(&params, hf_buf_bytes(&position->head));
    hf_pg_param_u64(&params, transaction->link->role.timeline);
    hf_pg_param_bytes(&params, hf_bytes_of_text(transaction->link->role.started));
    hf_pg_send(transaction->link, HF_PG_UPDATE_STATE, &params);
}

/* Nothing is gained by waiting for a commit that nobody awaits, or of a host that was replaced. */
static bool commit_is_awaited(void *context)
{
    struct transaction *transaction = context;
    struct hf_pg_engine *engine = transaction->engine;

    return hf_pg_queue_is_awaited(&engine->writer, &transaction->group) &&
           hf_pg_is_current(engine, transaction->link);
}

/* What the failure of the exchange with the commit in it, at that place, means. */
static enum ending judge_failure(struct transaction *transaction, size_t commit_at)
{
    const struct hf_pg_link *link = transaction->link;

    if (link->failure != HF_PG_REFUSED) {
        return ENDING_IN_DOUBT;
    }
    if (link->failed_at != commit_at) {
        return link->failed_at < commit_at ? ENDING_NOTHING : ENDING_IN_DOUBT;
    }
    return hf_pg_is_ambiguous(link->sqlstate) ? ENDING_IN_DOUBT : ENDING_NOTHING;
}

/* HF_IN_DOUBT after a warning: the server may have stopped waiting for the standby. */
static struct hf_status check_commit(struct transaction *transaction, PGresult *commit,
                                     const PGresult *names)
{
    if (transaction->link->warned) {
        return hf_fail(&transaction->op, HF_IN_DOUBT, "the database warned: %s",
                       transaction->link->warning);
    }
    /* A transaction that failed answers COMMIT with ROLLBACK. */
    if (strcmp(PQcmdStatus(commit), "COMMIT") != 0) {
        return hf_fail(&transaction->op, HF_INTERNAL, "the transaction did not commit");
    }
    return hf_pg_check_names(transaction->engine, &transaction->op, names);
}

/* Sends what the jobs write with the commit, and waits for its end as long as anybody does. */
static enum ending commit(struct transaction *transaction, size_t sent)
{
    struct hf_pg_writer *writer = &transaction->engine->writer;
    struct hf_pg_limit limit = { .stop = &transaction->engine->stop,
                                 .go_on = commit_is_awaited,
                                 .context = transaction };
    size_t count = sent + AFTER_JOBS;
    struct hf_status status;
    bool is_whole;

    send_state(transaction);
    is_whole = !transaction->link->unsent;
    hf_pg_send(transaction->link, HF_PG_COMMIT, NULL);
    hf_pg_send(transaction->link, HF_PG_NAMES, NULL);
    grow_results(transaction, count);
    transaction->link->warned = false;
    hf_pg_queue_lend(writer, &transaction->group, HF_PG_WRITTEN);
    status =
        hf_pg_exchange(transaction->link, &transaction->op, &limit, transaction->results, count);
    hf_pg_queue_reclaim(writer, &transaction->group);
    if (status.code != HF_OK) {
        return is_whole ? judge_failure(transaction, count - 2) : ENDING_NOTHING;
    }
    status =
        check_commit(transaction, transaction->results[count - 2], transaction->results[count - 1]);
    hf_pg_clear(transaction->results, count);
    if (status.code != HF_OK) {
        return status.code == HF_IN_DOUBT ? ENDING_IN_DOUBT : ENDING_NOTHING;
    }
    return ENDING_COMMITTED;
}

static void count_commit(struct hf_pg_engine *engine)
{
    bool fewer;

    pthread_mutex_lock(&engine->view.lock);
    fewer = engine->view.fewer;
    pthread_mutex_unlock(&engine->view.lock);
    hf_metric_add(engine->weak_metric, fewer ? 1 : 0);
}

/* Something is wrong with the connection or the host; the watcher looks, and we wait for news. */
static void pause(struct hf_pg_engine *engine)
{
    hf_pg_watcher_wake(engine);
    hf_pg_await_news(engine, PAUSE_MS);
}

static void end_in_doubt(struct transaction *transaction)
{
    struct hf_pg_engine *engine = transaction->engine;

    HF_WARNING(engine->env, "the end of a commit was not seen, so it is repeated: %s",
               transaction->op.text);
    hf_metric_add(engine->doubt_metric, 1);
    hf_pg_disconnect(transaction->link);
    hf_pg_queue_return(&engine->writer, &transaction->group, true);
    pause(engine);
}

/* What is refused now may have happened before. */
static struct hf_status fail_refused(struct hf_pg_job *job, const struct hf_op *why)
{
    HF_AUTO(buf) hex = hf_buf_new();

    if (!job->doubtful) {
        return hf_fail(job->op, why->code, "%s", why->text);
    }
    if (job->request_id == NULL) {
        return hf_fail(job->op, HF_IN_DOUBT,
                       "this write may have happened before it was refused: %.200s", why->text);
    }
    hf_hex_add(hex, hf_bytes_of(job->request_id->bytes, sizeof job->request_id->bytes));
    return hf_fail(job->op, HF_IN_DOUBT,
                   "request %s may have happened before it was refused; repeat it under the same "
                   "id: %.180s",
                   hf_buf_text(hex), why->text);
}

/* The statements were refused, or never got there. */
static void end_with_nothing(struct transaction *transaction)
{
    struct hf_pg_engine *engine = transaction->engine;
    struct hf_pg_group *group = &transaction->group;
    struct hf_pg_limit limit = limit_until(engine, HF_PG_READ_MS);
    const struct hf_pg_link *link = transaction->link;
    bool definite =
        link->failure == HF_PG_REFUSED && hf_pg_class_of(link->sqlstate) == HF_PG_CLASS_DEFINITE;

    if (link->failure == HF_PG_REFUSED &&
        hf_pg_class_of(link->sqlstate) == HF_PG_CLASS_WRONG_HOST) {
        hf_pg_disconnect(transaction->link);
    }
    hf_pg_roll_back(transaction->link, &limit);
    if (definite && group->count == 1) {
        struct hf_pg_job *job = group->jobs[0];

        if (!job->abandoned) {
            job->status = fail_refused(job, &transaction->op);
        }
        hf_pg_queue_end(&engine->writer, group);
        return;
    }
    /* One that cannot be written must not take others with it. */
    engine->writer.alone = definite ? group->count : engine->writer.alone;
    hf_pg_queue_return(&engine->writer, group, false);
    if (!definite) {
        pause(engine);
    }
}

static void end_committed(struct transaction *transaction)
{
    struct hf_pg_engine *engine = transaction->engine;

    hf_pg_confirm(engine, engine->writer.position.seq);
    count_commit(engine);
    hf_pg_queue_end(&engine->writer, &transaction->group);
}

static void run_group(struct transaction *transaction)
{
    struct hf_pg_engine *engine = transaction->engine;
    struct hf_pg_limit limit = limit_until(engine, HF_PG_READ_MS);
    size_t sent;

    transaction->link->failure = HF_PG_FINE;
    if (ask(transaction).code != HF_OK) {
        end_with_nothing(transaction);
        return;
    }
    sent = write_jobs(transaction);
    if (!transaction->must_commit) {
        hf_pg_roll_back(transaction->link, &limit);
        hf_pg_queue_end(&engine->writer, &transaction->group);
        return;
    }
    switch (commit(transaction, sent)) {
    case ENDING_COMMITTED:
        end_committed(transaction);
        break;
    case ENDING_NOTHING:
        end_with_nothing(transaction);
        break;
    case ENDING_IN_DOUBT:
        end_in_doubt(transaction);
        break;
    }
}

/* The counter could not be had. */
static void give_up_lock(struct transaction *transaction)
{
    struct hf_pg_engine *engine = transaction->engine;
    struct hf_pg_limit limit = limit_until(engine, HF_PG_READ_MS);
    struct hf_pg_link *link = transaction->link;
    bool told =
        link->failure == HF_PG_FINE ||
        (link->failure == HF_PG_REFUSED && hf_pg_class_of(link->sqlstate) == HF_PG_CLASS_DEFINITE);

    if (link->failure == HF_PG_REFUSED &&
        hf_pg_class_of(link->sqlstate) == HF_PG_CLASS_WRONG_HOST) {
        hf_pg_disconnect(link);
    }
    hf_pg_roll_back(link, &limit);
    if (told) {
        HF_ERROR(engine->env, "writes are refused: %s", transaction->op.text);
        hf_pg_queue_refuse(&engine->writer, &transaction->op);
    }
    pause(engine);
}

/* There is a primary, and policy forbids to write to it: that is an answer, not a thing to await.
 */
static void refuse_if_policy_says_so(struct transaction *transaction)
{
    struct hf_pg_engine *engine = transaction->engine;

    if (hf_pg_policy_refuses(engine)) {
        hf_pg_queue_refuse(&engine->writer, &transaction->op);
    }
    pause(engine);
}

static void transact(struct hf_pg_engine *engine)
{
    struct transaction *transaction = hf_alloc(sizeof *transaction);

    transaction->engine = engine;
    transaction->link = &engine->writer.link;
    hf_op_init(&transaction->op, engine->env);
    if (get_ready(engine, &transaction->op).code != HF_OK) {
        refuse_if_policy_says_so(transaction);
    } else if (lock_counter(transaction).code != HF_OK) {
        give_up_lock(transaction);
    } else {
        hf_pg_queue_take(&engine->writer, &transaction->group);
        run_group(transaction);
    }
    free(transaction->results);
    free(transaction);
}

static void *writer_main(void *context)
{
    struct hf_pg_engine *engine = context;

    while (hf_pg_queue_await(engine)) {
        transact(engine);
    }
    hf_pg_disconnect(&engine->writer.link);
    return NULL;
}

struct hf_status hf_pg_writer_start(struct hf_pg_engine *engine, struct hf_op *op)
{
    HF_TRY(hf_wait_thread_start(op, &engine->writer.thread, writer_main, engine));
    engine->writer.started = true;
    return HF_SUCCESS;
}

void hf_pg_writer_stop(struct hf_pg_engine *engine)
{
    struct hf_pg_writer *writer = &engine->writer;

    if (writer->started) {
        pthread_mutex_lock(&writer->lock);
        pthread_cond_signal(&writer->work);
        pthread_mutex_unlock(&writer->lock);
        hf_assert(pthread_join(writer->thread, NULL) == 0);
        writer->started = false;
    }
}
