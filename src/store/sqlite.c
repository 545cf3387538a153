/* The SQLite engine: opening and closing a store in one file, and the table of its calls. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "store/sqlite_engine.h"

static struct hf_sqlite_engine *engine_new(struct hf_op *op,
                                           const struct hf_store_settings *settings)
{
    const char *directory = settings->directory;
    struct hf_sqlite_engine *engine = hf_alloc(sizeof *engine);

    engine->base.ops = &hf_sqlite_engine;
    engine->env = op->env;
    engine->file = hf_format("%s/%s.db", directory, settings->arriving ? "arriving" : "store");
    engine->settled_file = hf_format("%s/store.db", directory);
    engine->moved_file = hf_format("%s/moved", directory);
    engine->wal_file = hf_format("%s-wal", engine->file);
    engine->lock_fd = -1;
    hf_env_random(op->env, &engine->opening, sizeof engine->opening);
    engine->opening &= INT64_MAX;
    hf_assert(pthread_mutex_init(&engine->beats_lock, NULL) == 0);
    hf_sqlite_writer_init(&engine->writer);
    hf_sqlite_readers_init(&engine->readers);
    hf_sqlite_checkpointer_init(&engine->checkpointer);
    return engine;
}

static void engine_free(struct hf_sqlite_engine *engine)
{
    hf_sqlite_writer_done(&engine->writer);
    hf_sqlite_readers_done(&engine->readers);
    hf_sqlite_checkpointer_done(&engine->checkpointer);
    free(engine->moved_file);
    free(engine->settled_file);
    hf_beats_done(&engine->beats);
    hf_assert(pthread_mutex_destroy(&engine->beats_lock) == 0);
    free(engine->wal_file);
    free(engine->file);
    free(engine);
}

/* Nothing is touched in a directory that has no store, unless one is to be made. */
static struct hf_status look(struct hf_op *op, const struct hf_store_settings *settings,
                             const char *file)
{
    struct stat about;
    bool exists = stat(file, &about) == 0;
    int number = errno;

    if (!exists && number != ENOENT) {
        return hf_fail(op, hf_sqlite_errno_code(number), "cannot look at %.200s: %s", file,
                       strerror(number));
    }
    if (exists && settings->create && !settings->arriving) {
        return hf_fail(op, HF_EXISTS, "there is a store in %.200s already", settings->directory);
    }
    if (!exists && !settings->create) {
        return hf_fail(op, HF_NOT_FOUND, "there is no store in %.200s; make one with holdfast init",
                       settings->directory);
    }
    if (exists && (about.st_mode & 077) != 0) {
        HF_WARNING(op->env, "others may read %s; its mode should be 0600", file);
    }
    return HF_SUCCESS;
}

static struct hf_status make_directory(struct hf_op *op, const char *directory)
{
    if (mkdir(directory, 0700) != 0) {
        int number = errno;

        return number == EEXIST
                   ? HF_SUCCESS
                   : hf_fail(op, hf_sqlite_errno_code(number),
                             "cannot make the directory %.200s: %s", directory, strerror(number));
    }
    return hf_sqlite_sync_directory_of(op, directory);
}

static struct hf_status identify(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    HF_TRY(hf_sqlite_identify(op, engine->file, &engine->identity));
    return hf_sqlite_identify(op, engine->wal_file, &engine->wal_identity);
}

static struct hf_status open_parts(struct hf_sqlite_engine *engine, struct hf_op *op,
                                   const struct hf_store_settings *settings)
{
    if (!settings->arriving) {
        HF_TRY(hf_sqlite_check_moved(op, engine, settings->create));
    }
    HF_TRY(look(op, settings, engine->file));
    if (settings->create) {
        HF_TRY(make_directory(op, settings->directory));
    }
    HF_TRY(hf_sqlite_lock(op, settings->directory, &engine->lock_fd));
    if (settings->create && settings->arriving) {
        HF_TRY(hf_sqlite_await_arrival(op, engine, settings));
    }
    if (settings->create) {
        HF_TRY(hf_sqlite_create(engine, op, settings));
    }
    HF_TRY(hf_sqlite_check_header(engine, op));
    HF_TRY(hf_sqlite_writer_open(engine, op));
    HF_TRY(identify(engine, op));
    HF_TRY(hf_sqlite_readers_open(engine, op));
    HF_TRY(hf_sqlite_checkpointer_open(engine, op));
    return hf_sqlite_writer_start(engine, op);
}

void hf_sqlite_disconnect_all(struct hf_sqlite_engine *engine)
{
    bool keep_wal;

    hf_sqlite_writer_stop(engine);
    hf_sqlite_checkpointer_stop(engine);
    /* After a failure of the disk nothing is moved any more: the next opening looks at it afresh.
     */
    keep_wal = hf_sqlite_refuses_writes(engine);
    hf_sqlite_readers_close(engine, keep_wal);
    hf_sqlite_disconnect(&engine->checkpointer.connection, keep_wal);
    hf_sqlite_disconnect(&engine->writer.connection, keep_wal);
}

/* Also for an engine that was opened in part only. */
static void sqlite_close(struct hf_engine *base)
{
    struct hf_sqlite_engine *engine = hf_sqlite_of(base);

    hf_sqlite_disconnect_all(engine);
    if (engine->lock_fd >= 0) {
        (void)close(engine->lock_fd);
    }
    engine_free(engine);
}

static struct hf_status sqlite_open(struct hf_op *op, const struct hf_store_settings *settings,
                                    struct hf_engine **out)
{
    struct hf_sqlite_engine *engine = engine_new(op, settings);
    struct hf_status status;

    status = open_parts(engine, op, settings);
    if (status.code != HF_OK) {
        sqlite_close(&engine->base);
        return status;
    }
    *out = &engine->base;
    return HF_SUCCESS;
}

const struct hf_engine_ops hf_sqlite_engine = {
    .name = "sqlite",
    .open = sqlite_open,
    .state = hf_sqlite_state,
    .get = hf_sqlite_get,
    .list = hf_sqlite_list,
    .apply = hf_sqlite_apply,
    .changes = hf_sqlite_changes,
    .snapshot = hf_sqlite_snapshot,
    .barrier = hf_sqlite_barrier,
    .lease = hf_sqlite_lease,
    .forget = hf_sqlite_forget,
    .recall = hf_sqlite_recall,
    .find = hf_sqlite_find,
    .retire = hf_sqlite_retire,
    .settle = hf_sqlite_settle,
    .retired = hf_sqlite_retired,
    .close = sqlite_close,
    .beat = hf_sqlite_beat,
    .beats = hf_sqlite_beats,
    .hosts = hf_engine_no_hosts,
    .accept = hf_engine_accept_as_is,
};
