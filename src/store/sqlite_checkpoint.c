/*
 * Checkpoints of the SQLite engine: a thread copies the write-ahead log into the store file, so
 * that no writer has to wait for it.
 *
 * The bulk is copied beside the writers. What they added meanwhile is copied with the gate closed,
 * which lets the next commit start the log anew.
 */
#include "store/sqlite_engine.h"

#include "base/assert.h"
#include "base/log.h"

/* Frames (pages) in the log: when copying begins, and when the file of the log is cut as well. */
#define FRAMES_BEGIN    4096
#define FRAMES_TRUNCATE 32768
/* Even a short log is copied in the end. */
#define IDLE_MS 10000

void hf_sqlite_checkpointer_init(struct hf_sqlite_checkpointer *checkpointer)
{
    hf_assert(pthread_mutex_init(&checkpointer->gate, NULL) == 0);
    hf_assert(pthread_mutex_init(&checkpointer->lock, NULL) == 0);
    hf_wait_init(&checkpointer->work);
}

void hf_sqlite_checkpointer_done(struct hf_sqlite_checkpointer *checkpointer)
{
    hf_assert(pthread_cond_destroy(&checkpointer->work) == 0);
    hf_assert(pthread_mutex_destroy(&checkpointer->lock) == 0);
    hf_assert(pthread_mutex_destroy(&checkpointer->gate) == 0);
}

void hf_sqlite_checkpointer_tell(struct hf_sqlite_engine *engine, int frames)
{
    struct hf_sqlite_checkpointer *checkpointer = &engine->checkpointer;

    pthread_mutex_lock(&checkpointer->lock);
    checkpointer->frames = frames;
    if (frames >= FRAMES_BEGIN) {
        pthread_cond_signal(&checkpointer->work);
    }
    pthread_mutex_unlock(&checkpointer->lock);
}

/* Waits for enough frames, or for any when time has passed; 0 when the thread is to stop. */
static int await_frames(struct hf_sqlite_checkpointer *checkpointer)
{
    int frames = 0;

    pthread_mutex_lock(&checkpointer->lock);
    while (frames == 0 && !checkpointer->stop) {
        if (checkpointer->frames < FRAMES_BEGIN) {
            hf_wait_ms(&checkpointer->work, &checkpointer->lock, IDLE_MS);
        }
        frames = checkpointer->frames;
        checkpointer->frames = 0;
    }
    if (checkpointer->stop) {
        frames = 0;
    }
    pthread_mutex_unlock(&checkpointer->lock);
    return frames;
}

static void copy_log(struct hf_sqlite_engine *engine, int mode)
{
    int result =
        sqlite3_wal_checkpoint_v2(engine->checkpointer.connection.db, NULL, mode, NULL, NULL);

    /* Busy: a reader still needs the log; the next round gets further. */
    if (result == SQLITE_OK || result == SQLITE_BUSY) {
        return;
    }
    if (result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC) {
        hf_sqlite_refuse_writes(engine,
                                "the disk failed to make the store file durable (fsync); check the "
                                "disk, then restart the server");
        return;
    }
    HF_ERROR(engine->env,
             "cannot copy the write-ahead log into %s: %s (SQLite %d); it keeps growing",
             engine->file, sqlite3_errstr(result), result);
}

static void *checkpoint_main(void *context)
{
    struct hf_sqlite_engine *engine = context;
    struct hf_sqlite_checkpointer *checkpointer = &engine->checkpointer;
    int frames;

    while ((frames = await_frames(checkpointer)) > 0) {
        int mode =
            frames < FRAMES_TRUNCATE ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_TRUNCATE;

        if (hf_sqlite_refuses_writes(engine)) {
            continue;
        }
        copy_log(engine, SQLITE_CHECKPOINT_PASSIVE);
        pthread_mutex_lock(&checkpointer->gate);
        if (!hf_sqlite_refuses_writes(engine)) {
            copy_log(engine, mode);
        }
        pthread_mutex_unlock(&checkpointer->gate);
    }
    return NULL;
}

struct hf_status hf_sqlite_checkpointer_open(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    struct hf_sqlite_checkpointer *checkpointer = &engine->checkpointer;

    HF_TRY(hf_sqlite_connect_plain(op, engine->file, &checkpointer->connection));
    HF_TRY(hf_wait_thread_start(op, &checkpointer->thread, checkpoint_main, engine));
    checkpointer->started = true;
    return HF_SUCCESS;
}

void hf_sqlite_checkpointer_stop(struct hf_sqlite_engine *engine)
{
    struct hf_sqlite_checkpointer *checkpointer = &engine->checkpointer;

    if (checkpointer->started) {
        pthread_mutex_lock(&checkpointer->lock);
        checkpointer->stop = true;
        pthread_cond_signal(&checkpointer->work);
        pthread_mutex_unlock(&checkpointer->lock);
        hf_assert(pthread_join(checkpointer->thread, NULL) == 0);
        checkpointer->started = false;
    }
}
