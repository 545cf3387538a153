/* Snapshots of the SQLite engine: one consistent copy in a file of its own, proved before it
 * counts. */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

/* Pages copied between two looks at the clock. */
#define STRIDE 2000

static struct hf_status copy_pages(struct hf_op *op, sqlite3_backup *backup,
                                   struct hf_sqlite_connection *to)
{
    int result = SQLITE_OK;

    while (result == SQLITE_OK) {
        HF_TRY(hf_op_check_deadline(op));
        result = sqlite3_backup_step(backup, STRIDE);
    }
    if (result != SQLITE_DONE) {
        return hf_sqlite_fail(to, op, result, "copy the store into the snapshot");
    }
    return HF_SUCCESS;
}

static struct hf_status copy_store(struct hf_op *op, struct hf_sqlite_connection *from,
                                   struct hf_sqlite_connection *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");
    struct hf_status status;
    int result;

    if (backup == NULL) {
        return hf_sqlite_fail(to, op, sqlite3_extended_errcode(to->db), "begin the snapshot");
    }
    status = copy_pages(op, backup, to);
    result = sqlite3_backup_finish(backup);
    HF_TRY(status);
    if (result != SQLITE_OK) {
        return hf_sqlite_fail(to, op, result, "end the snapshot");
    }
    return HF_SUCCESS;
}

/* The read transaction holds the state that seq names until the last page is copied. */
static struct hf_status copy_at_seq(struct hf_op *op, struct hf_sqlite_connection *from,
                                    struct hf_sqlite_connection *to, int64_t *out_seq)
{
    HF_TRY(hf_sqlite_run_text(from, op, "BEGIN"));
    HF_TRY(hf_sqlite_ask(from, op, "SELECT seq FROM state", out_seq));
    return copy_store(op, from, to);
}

/* As one file that needs no write-ahead log beside it, every page looked at. */
static struct hf_status prove(struct hf_op *op, struct hf_sqlite_connection *copy, int64_t seq)
{
    char answer[64];
    int64_t found;

    HF_TRY(hf_sqlite_ask_text(copy, op, "PRAGMA journal_mode = DELETE", answer, sizeof answer));
    HF_TRY(hf_sqlite_ask_text(copy, op, "PRAGMA integrity_check(1)", answer, sizeof answer));
    if (strcmp(answer, "ok") != 0) {
        return hf_fail(op, HF_CORRUPT, "the snapshot is damaged, so the store may be: %s", answer);
    }
    HF_TRY(hf_sqlite_ask(copy, op, "SELECT seq FROM state", &found));
    if (found != seq) {
        return hf_fail(op, HF_CORRUPT, "the snapshot stands at %" PRId64 " and not at %" PRId64,
                       found, seq);
    }
    return HF_SUCCESS;
}

static struct hf_status copy_into(struct hf_op *op, struct hf_sqlite_connection *from,
                                  const char *file, int64_t *out_seq)
{
    struct hf_sqlite_connection to = { 0 };
    struct hf_status status = hf_sqlite_connect_plain(op, file, &to);

    if (status.code == HF_OK) {
        status = copy_at_seq(op, from, &to, out_seq);
    }
    hf_sqlite_disconnect(&to, false);
    hf_sqlite_end_read(from);
    return status;
}

struct hf_status hf_sqlite_prove_copy(struct hf_op *op, const char *file, int64_t seq)
{
    struct hf_sqlite_connection copy = { 0 };
    struct hf_status status = hf_sqlite_connect_plain(op, file, &copy);

    if (status.code == HF_OK) {
        status = prove(op, &copy, seq);
    }
    hf_sqlite_disconnect(&copy, false);
    HF_TRY(status);
    HF_TRY(hf_sqlite_sync_file(op, file));
    return hf_sqlite_sync_directory_of(op, file);
}

struct hf_status hf_sqlite_copy_snapshot(struct hf_op *op, const char *snapshot, const char *file)
{
    struct hf_sqlite_connection from = { 0 };
    struct hf_status status = hf_sqlite_connect_plain(op, snapshot, &from);
    int64_t seq = 0;

    if (status.code == HF_OK) {
        status = copy_into(op, &from, file, &seq);
    }
    hf_sqlite_disconnect(&from, false);
    HF_TRY(status);
    return hf_sqlite_prove_copy(op, file, seq);
}

void hf_sqlite_remove_copy(const char *file)
{
    static const char *const endings[] = { "", "-journal", "-wal", "-shm" };

    for (size_t i = 0; i < HF_COUNT(endings); i++) {
        HF_AUTO_STRING name = hf_format("%s%s", file, endings[i]);

        (void)unlink(name);
    }
}

static struct hf_status make_snapshot(struct hf_sqlite_engine *engine, struct hf_op *op,
                                      const char *file, int64_t *out_seq)
{
    uint64_t committed = atomic_load(&engine->committed);
    struct hf_status status;

    HF_TRY(hf_sqlite_make_file(op, file));
    status = copy_into(op, &engine->readers.snapshot, file, out_seq);
    if (status.code == HF_OK) {
        status = hf_sqlite_check_seq(op, (uint64_t)*out_seq, committed);
    }
    if (status.code == HF_OK) {
        status = hf_sqlite_prove_copy(op, file, *out_seq);
    }
    if (status.code != HF_OK) {
        hf_sqlite_remove_copy(file);
    }
    return status;
}

struct hf_status hf_sqlite_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                                    uint64_t *out_seq)
{
    struct hf_sqlite_readers *readers = &hf_sqlite_of(engine)->readers;
    struct hf_status status;
    int64_t seq = 0;

    if (pthread_mutex_trylock(&readers->snapshot_lock) != 0) {
        return hf_fail(op, HF_LIMITED, "another snapshot is being made; wait for its end");
    }
    status = make_snapshot(hf_sqlite_of(engine), op, file, &seq);
    pthread_mutex_unlock(&readers->snapshot_lock);
    HF_TRY(status);
    *out_seq = (uint64_t)seq;
    return HF_SUCCESS;
}
