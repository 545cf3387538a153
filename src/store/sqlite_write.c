/*
 * Writes of the SQLite engine: one thread takes all jobs that are queued, runs them in one
 * transaction, commits once and wakes those who wait. A caller who finds nobody at it writes by
 * itself: alone, it would only wait for that thread.
 */
#include "store/sqlite_engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"

#define GROUP_MAX 256
/* How long opening and writing wait for another program that looks into the file. */
#define OTHERS_MS 10000

struct group {
    struct hf_sqlite_job *jobs[GROUP_MAX];
    size_t count;
};

/* How a transaction ended. */
enum ending {
    ENDING_COMMITTED,
    ENDING_REFUSED,  /* it was not even tried */
    ENDING_NOTHING,  /* for certain nothing has happened */
    ENDING_IN_DOUBT, /* it may be found in the file after the next opening, or not */
};

void hf_sqlite_writer_init(struct hf_sqlite_writer *writer)
{
    hf_assert(pthread_mutex_init(&writer->lock, NULL) == 0);
    hf_wait_init(&writer->work);
    writer->last = &writer->first;
}

void hf_sqlite_writer_done(struct hf_sqlite_writer *writer)
{
    hf_buf_done(&writer->durable.head);
    hf_buf_done(&writer->current.head);
    free(writer->doubtful);
    hf_assert(pthread_cond_destroy(&writer->work) == 0);
    hf_assert(pthread_mutex_destroy(&writer->lock) == 0);
}

void hf_sqlite_refuse_writes(struct hf_sqlite_engine *engine, const char *text)
{
    struct hf_sqlite_writer *writer = &engine->writer;
    bool first;

    pthread_mutex_lock(&writer->lock);
    first = writer->refusal[0] == '\0';
    if (first) {
        (void)sqlite3_snprintf((int)sizeof writer->refusal, writer->refusal, "%s", text);
    }
    pthread_mutex_unlock(&writer->lock);
    if (first) {
        HF_ERROR(engine->env, "the store takes no more writes: %s", text);
    }
}

bool hf_sqlite_refuses_writes(struct hf_sqlite_engine *engine)
{
    bool refuses;

    pthread_mutex_lock(&engine->writer.lock);
    refuses = engine->writer.refusal[0] != '\0';
    pthread_mutex_unlock(&engine->writer.lock);
    return refuses;
}

/* With the lock held. A request whose end was not seen stays in doubt until the next opening. */
static struct hf_status check_refusal(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    if (writer->refusal[0] == '\0') {
        return HF_SUCCESS;
    }
    for (size_t i = 0; job->request_id != NULL && i < writer->doubtful_count; i++) {
        if (memcmp(&writer->doubtful[i], job->request_id, sizeof *job->request_id) == 0) {
            return hf_fail(job->op, HF_IN_DOUBT, "it is still not known how this request ended: %s",
                           writer->refusal);
        }
    }
    return hf_fail(job->op, HF_UNAVAILABLE, "%s", writer->refusal);
}

static struct hf_status enqueue(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    HF_TRY(check_refusal(writer, job));
    job->stage = HF_SQLITE_QUEUED;
    job->next = NULL;
    *writer->last = job;
    writer->last = &job->next;
    pthread_cond_signal(&writer->work);
    return HF_SUCCESS;
}

static void unlink_job(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    struct hf_sqlite_job **at = &writer->first;

    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    if (writer->last == &job->next) {
        writer->last = at;
    }
}

/* A job that is taken is waited for: a local commit ends, and only its end tells the truth. */
static struct hf_status await(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    while (job->stage != HF_SQLITE_ENDED) {
        if (job->stage == HF_SQLITE_TAKEN) {
            hf_assert(pthread_cond_wait(&job->ended, &writer->lock) == 0);
            continue;
        }
        hf_wait_for(job->op, &job->ended, &writer->lock);
        if (job->stage == HF_SQLITE_QUEUED) {
            struct hf_status status = hf_op_check_deadline(job->op);

            if (status.code != HF_OK) {
                unlink_job(writer, job);
                return status;
            }
        }
    }
    return job->status;
}

/* Waits for work; false when the thread is to stop. */
static bool take_group(struct hf_sqlite_writer *writer, struct group *out)
{
    out->count = 0;
    pthread_mutex_lock(&writer->lock);
    while (writer->busy || (writer->first == NULL && !writer->stop)) {
        hf_assert(pthread_cond_wait(&writer->work, &writer->lock) == 0);
    }
    while (writer->first != NULL && out->count < GROUP_MAX) {
        struct hf_sqlite_job *job = writer->first;

        writer->first = job->next;
        job->stage = HF_SQLITE_TAKEN;
        out->jobs[out->count++] = job;
    }
    if (writer->first == NULL) {
        writer->last = &writer->first;
    }
    writer->busy = out->count > 0;
    pthread_mutex_unlock(&writer->lock);
    return out->count > 0;
}

static void end_group(struct hf_sqlite_writer *writer, struct group *group)
{
    pthread_mutex_lock(&writer->lock);
    writer->busy = false;
    for (size_t i = 0; i < group->count; i++) {
        group->jobs[i]->stage = HF_SQLITE_ENDED;
        pthread_cond_signal(&group->jobs[i]->ended);
    }
    pthread_mutex_unlock(&writer->lock);
}

/* The log and the file are found by name after a restart, so commits into lost files are lost. */
static bool files_are_there(struct hf_sqlite_engine *engine)
{
    if (hf_sqlite_is_same_file(engine->file, &engine->identity) &&
        hf_sqlite_is_same_file(engine->wal_file, &engine->wal_identity)) {
        return true;
    }
    hf_sqlite_refuse_writes(engine, "the store file or its write-ahead log was removed or replaced "
                                    "while in use; save what is still readable with a snapshot, "
                                    "then stop the server and put the file back");
    return false;
}

static bool is_sync_failure(int result)
{
    return result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC;
}

static void refuse_after_sync_failure(struct hf_sqlite_engine *engine)
{
    hf_sqlite_refuse_writes(engine, "the disk failed to make a write durable (fsync), and may have "
                                    "dropped it without a trace; check the disk, then restart the "
                                    "server, which looks at the store afresh");
}

static void roll_back(struct hf_sqlite_engine *engine)
{
    sqlite3 *db = engine->writer.connection.db;

    /* Some failures have rolled back already; whether this worked is asked below. */
    if (sqlite3_get_autocommit(db) == 0) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    if (sqlite3_get_autocommit(db) == 0) {
        hf_sqlite_refuse_writes(engine, "a failed transaction cannot be rolled back; restart the "
                                        "server");
    }
}

/*
 * A commit that failed after its last frame was written could come back to life when the log is
 * read again. Another commit goes to the same place in the log and so ends that possibility.
 */
static bool overwrite_failed_commit(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    struct hf_sqlite_connection *connection = &engine->writer.connection;
    struct hf_status status = hf_sqlite_do(connection, op, HF_SQLITE_BEGIN);

    if (status.code == HF_OK) {
        status = hf_sqlite_do(connection, op, HF_SQLITE_TOUCH_STATE);
    }
    if (status.code == HF_OK) {
        status = hf_sqlite_do(connection, op, HF_SQLITE_COMMIT);
    }
    if (status.code != HF_OK) {
        roll_back(engine);
    }
    return status.code == HF_OK;
}

/* After a failed COMMIT: what is certain? */
static enum ending judge_failed_commit(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    int result = engine->writer.connection.failure;
    struct hf_op other;

    roll_back(engine);
    if (is_sync_failure(result)) {
        refuse_after_sync_failure(engine);
        return ENDING_IN_DOUBT;
    }
    /* The frame that makes the transaction count was not written whole. */
    if (result == SQLITE_FULL || result == SQLITE_IOERR_WRITE) {
        return ENDING_NOTHING;
    }
    hf_op_init(&other, op->env);
    if (overwrite_failed_commit(engine, &other)) {
        return ENDING_NOTHING;
    }
    hf_sqlite_refuse_writes(engine, "a commit failed and its traces could not be removed; check "
                                    "the disk, then restart the server");
    return ENDING_IN_DOUBT;
}

static struct hf_status run_jobs(struct hf_sqlite_engine *engine, struct hf_op *op,
                                 struct hf_sqlite_job *const *jobs, size_t count)
{
    struct hf_sqlite_writer *writer = &engine->writer;
    struct hf_sqlite_connection *connection = &writer->connection;

    HF_TRY(hf_sqlite_do(connection, op, HF_SQLITE_BEGIN));
    /* A file that lost what was committed to it (its log was damaged, say) is not built on. */
    HF_TRY(hf_sqlite_check_position(connection, op, HF_SQLITE_POSITION, writer->durable.seq));
    for (size_t i = 0; i < count; i++) {
        jobs[i]->status = jobs[i]->run(engine, jobs[i]);
        if (connection->failure != SQLITE_OK) {
            return hf_fail(op, jobs[i]->op->code, "%s", jobs[i]->op->text);
        }
    }
    if (writer->moved) {
        sqlite3_stmt *update = connection->statements[HF_SQLITE_UPDATE_STATE];

        hf_sqlite_bind_u64(update, 1, writer->current.seq);
        hf_sqlite_bind_bytes(update, 2, hf_buf_bytes(&writer->current.head));
        return hf_sqlite_do(connection, op, HF_SQLITE_UPDATE_STATE);
    }
    return HF_SUCCESS;
}

static void start_position(struct hf_sqlite_writer *writer)
{
    writer->moved = false;
    writer->current.seq = writer->durable.seq;
    writer->current.epoch = writer->durable.epoch;
    hf_buf_clear(&writer->current.head);
    hf_buf_add_bytes(&writer->current.head, hf_buf_bytes(&writer->durable.head));
}

static void keep_position(struct hf_sqlite_writer *writer)
{
    struct hf_buf head = writer->durable.head;

    writer->durable = writer->current;
    writer->current.head = head;
}

static enum ending transact(struct hf_sqlite_engine *engine, struct hf_op *op,
                            struct hf_sqlite_job *const *jobs, size_t count)
{
    struct hf_sqlite_writer *writer = &engine->writer;
    struct hf_status status;

    start_position(writer);
    writer->connection.failure = SQLITE_OK;
    status = run_jobs(engine, op, jobs, count);
    if (status.code != HF_OK) {
        roll_back(engine);
        if (is_sync_failure(writer->connection.failure)) {
            refuse_after_sync_failure(engine);
        }
        return ENDING_NOTHING;
    }
    status = hf_sqlite_do(&writer->connection, op, HF_SQLITE_COMMIT);
    if (status.code != HF_OK) {
        return judge_failed_commit(engine, op);
    }
    keep_position(writer);
    atomic_store(&engine->committed, writer->durable.seq);
    if (!files_are_there(engine)) {
        return ENDING_IN_DOUBT;
    }
    return ENDING_COMMITTED;
}

static void remember_doubt(struct hf_sqlite_writer *writer, const struct hf_request_id *id)
{
    pthread_mutex_lock(&writer->lock);
    writer->doubtful =
        hf_realloc_array(writer->doubtful, writer->doubtful_count + 1, sizeof *writer->doubtful);
    writer->doubtful[writer->doubtful_count++] = *id;
    pthread_mutex_unlock(&writer->lock);
}

/*
 * A job that did nothing compared itself with a state that is in doubt, so its answer is void too.
 * The refusal is set by now and does not change any more.
 */
static void answer_doubt(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    if (job->status.code != HF_OK) {
        job->status = hf_fail(job->op, HF_UNAVAILABLE, "%s", writer->refusal);
        return;
    }
    if (job->request_id != NULL) {
        remember_doubt(writer, job->request_id);
    }
    job->status =
        hf_fail(job->op, HF_IN_DOUBT, "the end of this write was not seen: %s", writer->refusal);
}

static void answer_refusal(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    pthread_mutex_lock(&writer->lock);
    job->status = check_refusal(writer, job);
    pthread_mutex_unlock(&writer->lock);
}

static enum ending run_together(struct hf_sqlite_engine *engine, struct hf_sqlite_job *const *jobs,
                                size_t count)
{
    enum ending ending = ENDING_REFUSED;
    struct hf_op op;

    hf_op_init(&op, engine->env);
    pthread_mutex_lock(&engine->checkpointer.gate);
    if (files_are_there(engine) && !hf_sqlite_refuses_writes(engine)) {
        ending = transact(engine, &op, jobs, count);
    }
    pthread_mutex_unlock(&engine->checkpointer.gate);
    for (size_t i = 0; i < count; i++) {
        switch (ending) {
        case ENDING_COMMITTED:
            break;
        case ENDING_REFUSED:
            answer_refusal(&engine->writer, jobs[i]);
            break;
        case ENDING_NOTHING:
            jobs[i]->status = hf_fail(jobs[i]->op, op.code, "%s", op.text);
            break;
        case ENDING_IN_DOUBT:
            answer_doubt(&engine->writer, jobs[i]);
            break;
        }
    }
    return ending;
}

static void run_group(struct hf_sqlite_engine *engine, struct group *group)
{
    enum ending ending = run_together(engine, group->jobs, group->count);

    /* One that cannot be written, too large for the disk perhaps, must not take others with it. */
    if (ending == ENDING_NOTHING && group->count > 1) {
        for (size_t i = 0; i < group->count; i++) {
            (void)run_together(engine, &group->jobs[i], 1);
        }
    }
}

/* With the lock held, which is given up meanwhile. Whoever came meanwhile is the thread's. */
static struct hf_status run_alone(struct hf_sqlite_engine *engine, struct hf_sqlite_job *job)
{
    struct hf_sqlite_writer *writer = &engine->writer;
    struct group alone = { .jobs = { job }, .count = 1 };

    HF_TRY(check_refusal(writer, job));
    writer->busy = true;
    pthread_mutex_unlock(&writer->lock);
    run_group(engine, &alone);
    pthread_mutex_lock(&writer->lock);
    writer->busy = false;
    if (writer->first != NULL || writer->stop) {
        pthread_cond_signal(&writer->work);
    }
    return job->status;
}

static struct hf_status run_queued(struct hf_sqlite_writer *writer, struct hf_sqlite_job *job)
{
    struct hf_status status;

    hf_wait_init(&job->ended);
    status = enqueue(writer, job);
    if (status.code == HF_OK) {
        status = await(writer, job);
    }
    hf_assert(pthread_cond_destroy(&job->ended) == 0);
    return status;
}

struct hf_status hf_sqlite_submit(struct hf_sqlite_engine *engine, struct hf_sqlite_job *job)
{
    struct hf_sqlite_writer *writer = &engine->writer;
    struct hf_status status;

    pthread_mutex_lock(&writer->lock);
    if (writer->busy || writer->first != NULL) {
        status = run_queued(writer, job);
    } else {
        status = run_alone(engine, job);
    }
    pthread_mutex_unlock(&writer->lock);
    return status;
}

static void *writer_main(void *context)
{
    struct hf_sqlite_engine *engine = context;
    struct group group;

    while (take_group(&engine->writer, &group)) {
        run_group(engine, &group);
        end_group(&engine->writer, &group);
    }
    return NULL;
}

static int on_commit(void *context, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    hf_sqlite_checkpointer_tell(context, frames);
    return SQLITE_OK;
}

/*
 * What was found in the log need not have reached the disk: a process that was killed wrote it, but
 * perhaps never made it durable. It counts from now on, so it is made durable first.
 */
static struct hf_status make_found_durable(struct hf_sqlite_connection *connection,
                                           struct hf_op *op)
{
    int result;

    (void)sqlite3_busy_timeout(connection->db, OTHERS_MS);
    result =
        sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (result == SQLITE_BUSY) {
        return hf_fail(op, HF_WRONG_STATE,
                       "another program is reading the store file; close it first");
    }
    if (result != SQLITE_OK) {
        return hf_sqlite_fail(connection, op, result, "make the write-ahead log durable");
    }
    return HF_SUCCESS;
}

static struct hf_status load_position(struct hf_sqlite_connection *connection, struct hf_op *op,
                                      struct hf_sqlite_position *out)
{
    sqlite3_stmt *read = connection->statements[HF_SQLITE_POSITION];
    uint64_t newest;
    bool row;

    HF_TRY(hf_sqlite_step(connection, op, read, &row));
    if (!row) {
        hf_sqlite_reset(read);
        return hf_fail(op, HF_CORRUPT, "the store file has no state; restore a backup");
    }
    out->seq = hf_sqlite_column_u64(read, 0);
    out->epoch = hf_sqlite_column_u64(read, 1);
    hf_buf_add_bytes(&out->head, hf_sqlite_column_bytes(read, 2));
    newest = hf_sqlite_column_u64(read, 3);
    hf_sqlite_reset(read);
    if (newest != 0 && newest != out->seq) {
        return hf_fail(op, HF_CORRUPT,
                       "the store file stands at %" PRIu64 " but its log ends at %" PRIu64
                       "; restore a backup",
                       out->seq, newest);
    }
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_writer_open(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    struct hf_sqlite_writer *writer = &engine->writer;

    HF_TRY(hf_sqlite_connect_writer(engine, op, &writer->connection));
    HF_TRY(make_found_durable(&writer->connection, op));
    HF_TRY(load_position(&writer->connection, op, &writer->durable));
    atomic_store(&engine->committed, writer->durable.seq);
    (void)sqlite3_wal_hook(writer->connection.db, on_commit, engine);
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_writer_start(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    HF_TRY(hf_wait_thread_start(op, &engine->writer.thread, writer_main, engine));
    engine->writer.started = true;
    return HF_SUCCESS;
}

void hf_sqlite_writer_stop(struct hf_sqlite_engine *engine)
{
    struct hf_sqlite_writer *writer = &engine->writer;

    if (writer->started) {
        pthread_mutex_lock(&writer->lock);
        writer->stop = true;
        pthread_cond_signal(&writer->work);
        pthread_mutex_unlock(&writer->lock);
        hf_assert(pthread_join(writer->thread, NULL) == 0);
        writer->started = false;
    }
}
