/* Reads of the SQLite engine: a small pool of connections, each lent to one call at a time. */
#include "store/sqlite_engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

/* Records a list shows between two looks at the clock. */
#define LIST_STRIDE 1024

void hf_sqlite_readers_init(struct hf_sqlite_readers *readers)
{
    hf_assert(pthread_mutex_init(&readers->lock, NULL) == 0);
    hf_assert(pthread_mutex_init(&readers->snapshot_lock, NULL) == 0);
    hf_wait_init(&readers->returned);
}

void hf_sqlite_readers_done(struct hf_sqlite_readers *readers)
{
    hf_assert(pthread_cond_destroy(&readers->returned) == 0);
    hf_assert(pthread_mutex_destroy(&readers->snapshot_lock) == 0);
    hf_assert(pthread_mutex_destroy(&readers->lock) == 0);
}

struct hf_status hf_sqlite_readers_open(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    struct hf_sqlite_readers *readers = &engine->readers;

    for (size_t i = 0; i < HF_COUNT(readers->connections); i++) {
        HF_TRY(hf_sqlite_connect_reader(engine, op, &readers->connections[i]));
        readers->free[readers->free_count++] = &readers->connections[i];
    }
    return hf_sqlite_connect_reader(engine, op, &readers->snapshot);
}

void hf_sqlite_readers_close(struct hf_sqlite_engine *engine, bool keep_wal)
{
    for (size_t i = 0; i < HF_COUNT(engine->readers.connections); i++) {
        hf_sqlite_disconnect(&engine->readers.connections[i], keep_wal);
    }
    hf_sqlite_disconnect(&engine->readers.snapshot, keep_wal);
}

struct hf_status hf_sqlite_borrow(struct hf_engine *engine, struct hf_op *op,
                                  struct hf_sqlite_connection **out)
{
    struct hf_sqlite_readers *readers = &hf_sqlite_of(engine)->readers;
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&readers->lock);
    while (readers->free_count == 0 && status.code == HF_OK) {
        hf_wait_for(op, &readers->returned, &readers->lock);
        /* One who was woken takes it even if late, or the wake-up would be lost to the others. */
        if (readers->free_count == 0) {
            status = hf_op_check_deadline(op);
        }
    }
    if (status.code == HF_OK) {
        *out = readers->free[--readers->free_count];
    }
    pthread_mutex_unlock(&readers->lock);
    return status;
}

void hf_sqlite_give_back(struct hf_engine *engine, struct hf_sqlite_connection *connection)
{
    struct hf_sqlite_readers *readers = &hf_sqlite_of(engine)->readers;

    pthread_mutex_lock(&readers->lock);
    readers->free[readers->free_count++] = connection;
    pthread_cond_signal(&readers->returned);
    pthread_mutex_unlock(&readers->lock);
}

struct hf_status hf_sqlite_check_seq(struct hf_op *op, uint64_t seq, uint64_t committed)
{
    if (seq < committed) {
        return hf_fail(op, HF_CORRUPT,
                       "the store file lost what was committed to it: it stands at %" PRIu64
                       ", and stood at %" PRIu64 "; restore a backup",
                       seq, committed);
    }
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_check_position(struct hf_sqlite_connection *connection, struct hf_op *op,
                                          enum hf_sqlite_statement which, uint64_t committed)
{
    sqlite3_stmt *read = connection->statements[which];
    uint64_t seq = 0;
    bool row;

    HF_TRY(hf_sqlite_step(connection, op, read, &row));
    if (row) {
        seq = hf_sqlite_column_u64(read, 0);
    }
    hf_sqlite_reset(read);
    return hf_sqlite_check_seq(op, seq, committed);
}

static struct hf_status read_state(struct hf_sqlite_connection *connection, struct hf_op *op,
                                   struct hf_store_state *out, struct hf_buf *out_head)
{
    sqlite3_stmt *read = connection->statements[HF_SQLITE_STATE];
    struct hf_store_state state;
    struct hf_status status;
    bool row;

    HF_TRY(hf_sqlite_step(connection, op, read, &row));
    if (!row) {
        hf_sqlite_reset(read);
        return hf_fail(op, HF_CORRUPT, "the store file has no state; restore a backup");
    }
    status = hf_sqlite_column_exact(op, read, 0, state.store_id, HF_STORE_ID_LEN);
    if (status.code == HF_OK) {
        state.seq = hf_sqlite_column_u64(read, 1);
        state.epoch = hf_sqlite_column_u64(read, 2);
        state.oldest_seq = hf_sqlite_column_u64(read, 4);
        *out = state;
        if (out_head != NULL) {
            hf_buf_clear(out_head);
            hf_buf_add_bytes(out_head, hf_sqlite_column_bytes(read, 3));
        }
    }
    hf_sqlite_reset(read);
    return status;
}

struct hf_status hf_sqlite_state(struct hf_engine *engine, struct hf_op *op,
                                 struct hf_store_state *out, struct hf_buf *out_head)
{
    uint64_t committed = atomic_load(&hf_sqlite_of(engine)->committed);
    struct hf_sqlite_connection *connection;
    struct hf_status status;

    HF_TRY(hf_sqlite_borrow(engine, op, &connection));
    status = read_state(connection, op, out, out_head);
    hf_sqlite_give_back(engine, connection);
    HF_TRY(status);
    return hf_sqlite_check_seq(op, out->seq, committed);
}

struct hf_status hf_sqlite_view(struct hf_engine *engine, struct hf_op *op,
                                struct hf_sqlite_connection **out)
{
    uint64_t committed = atomic_load(&hf_sqlite_of(engine)->committed);
    struct hf_status status;

    HF_TRY(hf_sqlite_borrow(engine, op, out));
    status = hf_sqlite_do(*out, op, HF_SQLITE_READ_BEGIN);
    if (status.code == HF_OK) {
        status = hf_sqlite_check_position(*out, op, HF_SQLITE_SEQ, committed);
    }
    if (status.code != HF_OK) {
        hf_sqlite_end_view(engine, *out);
    }
    return status;
}

void hf_sqlite_end_view(struct hf_engine *engine, struct hf_sqlite_connection *connection)
{
    hf_sqlite_end_read(connection);
    hf_sqlite_give_back(engine, connection);
}

/* The record a statement stands at; views live until its next step. */
static struct hf_status view_record(struct hf_op *op, sqlite3_stmt *at, struct hf_record_view *out)
{
    out->path = hf_sqlite_column_text(at, 0);
    out->revision = hf_sqlite_column_u64(at, 1);
    out->seq = hf_sqlite_column_u64(at, 2);
    out->body = hf_sqlite_column_bytes(at, 3);
    if (out->path[0] == '\0' || out->revision == 0 || out->seq == 0) {
        return hf_fail(op, HF_CORRUPT, "the store file has a broken record near %.200s", out->path);
    }
    return HF_SUCCESS;
}

static struct hf_status read_record(struct hf_sqlite_connection *connection, struct hf_op *op,
                                    const char *path, struct hf_record **out)
{
    sqlite3_stmt *get = connection->statements[HF_SQLITE_GET];
    struct hf_record_view view;
    struct hf_status status;
    bool row;

    hf_sqlite_bind_text(get, 1, path);
    HF_TRY(hf_sqlite_step(connection, op, get, &row));
    if (!row) {
        hf_sqlite_reset(get);
        return hf_fail(op, HF_NOT_FOUND, "there is no record %.200s", path);
    }
    status = view_record(op, get, &view);
    if (status.code == HF_OK) {
        struct hf_record *record = hf_alloc(sizeof *record);

        record->path = hf_strdup(view.path);
        record->revision = view.revision;
        record->seq = view.seq;
        hf_buf_add_bytes(&record->body, view.body);
        *out = record;
    }
    hf_sqlite_reset(get);
    return status;
}

struct hf_status hf_sqlite_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                               struct hf_record **out)
{
    struct hf_sqlite_connection *connection;
    struct hf_status status;

    HF_TRY(hf_sqlite_view(engine, op, &connection));
    status = read_record(connection, op, path, out);
    hf_sqlite_end_view(engine, connection);
    return status;
}

/* Walks from where the statement starts to the last path with the prefix. */
static struct hf_status walk(struct hf_sqlite_connection *connection, struct hf_op *op,
                             sqlite3_stmt *list, const char *prefix, hf_record_visitor visit,
                             void *context)
{
    size_t len = strlen(prefix);

    for (size_t count = 1;; count++) {
        struct hf_record_view view;
        bool row;

        HF_TRY(hf_sqlite_step(connection, op, list, &row));
        if (!row) {
            return HF_SUCCESS;
        }
        HF_TRY(view_record(op, list, &view));
        if (strncmp(view.path, prefix, len) != 0) {
            return HF_SUCCESS;
        }
        HF_TRY(visit(context, &view));
        if (count % LIST_STRIDE == 0) {
            HF_TRY(hf_op_check_deadline(op));
        }
    }
}

struct hf_status hf_sqlite_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                const char *after, hf_record_visitor visit, void *context)
{
    bool skip = after != NULL && strcmp(after, prefix) >= 0;
    struct hf_sqlite_connection *connection;
    struct hf_status status;
    sqlite3_stmt *list;

    HF_TRY(hf_sqlite_view(engine, op, &connection));
    list = connection->statements[skip ? HF_SQLITE_LIST_AFTER : HF_SQLITE_LIST_FROM];
    hf_sqlite_bind_text(list, 1, skip ? after : prefix);
    status = walk(connection, op, list, prefix, visit, context);
    hf_sqlite_reset(list);
    hf_sqlite_end_view(engine, connection);
    return status;
}

/* The changes of one batch, copied, so that all of them can be shown together. */
struct copied_change {
    char *path;
    uint64_t revision;
    uint8_t digest[HF_DIGEST_LEN];
    uint8_t link[HF_DIGEST_LEN];
    struct hf_buf body;
};

struct copied_changes {
    struct copied_change *changes;
    size_t count;
    size_t room;
};

static void copied_done(struct copied_changes *copied)
{
    for (size_t i = 0; i < copied->count; i++) {
        free(copied->changes[i].path);
        hf_buf_done(&copied->changes[i].body);
    }
    free(copied->changes);
}

static struct hf_status copy_change(struct hf_op *op, sqlite3_stmt *at,
                                    struct copied_changes *copied)
{
    struct copied_change *change;

    if (copied->count == copied->room) {
        copied->room = copied->room < 8 ? 8 : copied->room * 2;
        copied->changes = hf_realloc_array(copied->changes, copied->room, sizeof *copied->changes);
    }
    change = &copied->changes[copied->count++];
    memset(change, 0, sizeof *change);
    change->path = hf_strdup(hf_sqlite_column_text(at, 0));
    change->revision = hf_sqlite_column_u64(at, 1);
    hf_buf_add_bytes(&change->body, hf_sqlite_column_bytes(at, 4));
    if (hf_sqlite_column_u64(at, 5) < change->revision) {
        return hf_fail(op, HF_CORRUPT,
                       "the store file lost %.200s as it was committed; restore a backup",
                       change->path);
    }
    HF_TRY(hf_sqlite_column_exact(op, at, 2, change->digest, HF_DIGEST_LEN));
    return hf_sqlite_column_exact(op, at, 3, change->link, HF_DIGEST_LEN);
}

static struct hf_status copy_changes(struct hf_sqlite_connection *connection, struct hf_op *op,
                                     uint64_t seq, struct copied_changes *copied)
{
    sqlite3_stmt *read = connection->statements[HF_SQLITE_LOG_CHANGES];
    struct hf_status status;
    bool row = false;

    hf_sqlite_bind_u64(read, 1, seq);
    do {
        status = hf_sqlite_step(connection, op, read, &row);
        if (status.code == HF_OK && row) {
            status = copy_change(op, read, copied);
        }
    } while (status.code == HF_OK && row);
    hf_sqlite_reset(read);
    return status;
}

static struct hf_status show_copied(struct hf_logged_batch *batch,
                                    const struct copied_changes *copied, hf_log_visitor visit,
                                    void *context)
{
    struct hf_logged_change *changes = hf_alloc_array(copied->count, sizeof *changes);
    struct hf_status status;

    for (size_t i = 0; i < copied->count; i++) {
        const struct copied_change *from = &copied->changes[i];

        changes[i] = (struct hf_logged_change){ from->path, from->revision, from->digest,
                                                from->link, hf_buf_bytes(&from->body) };
    }
    batch->changes = changes;
    batch->count = copied->count;
    status = visit(context, batch);
    free(changes);
    return status;
}

/* Where the log ends, and who looks at it. */
struct log_walk {
    struct hf_store_state end;
    struct hf_buf head;
    hf_log_visitor visit;
    void *context;
};

static struct hf_status show_batch(struct hf_sqlite_connection *connection, struct hf_op *op,
                                   sqlite3_stmt *log, const struct log_walk *walk)
{
    struct copied_changes copied = { 0 };
    struct hf_logged_batch batch = { .seq = hf_sqlite_column_u64(log, 0),
                                     .epoch = hf_sqlite_column_u64(log, 1),
                                     .realtime_ms = hf_sqlite_column_u64(log, 2),
                                     .note = hf_sqlite_column_bytes(log, 3),
                                     .principal = hf_sqlite_column_text(log, 5),
                                     .result = hf_sqlite_column_bytes(log, 7) };
    uint8_t digest[HF_DIGEST_LEN];
    struct hf_status status;

    HF_TRY(hf_sqlite_column_exact(op, log, 4, batch.request_id.bytes, HF_REQUEST_ID_LEN));
    HF_TRY(hf_sqlite_column_exact(op, log, 6, digest, sizeof digest));
    batch.digest = digest;
    if (batch.seq == walk->end.seq) {
        batch.end = &walk->end;
        batch.head = hf_buf_bytes(&walk->head);
    }
    status = copy_changes(connection, op, batch.seq, &copied);
    if (status.code == HF_OK) {
        status = show_copied(&batch, &copied, walk->visit, walk->context);
    }
    copied_done(&copied);
    return status;
}

/* Entries from+1 and on; each must follow the one before. */
static struct hf_status follow_log(struct hf_sqlite_connection *connection, struct hf_op *op,
                                   uint64_t from, size_t max_batches, const struct log_walk *walk)
{
    sqlite3_stmt *log = connection->statements[HF_SQLITE_LOG];

    hf_sqlite_bind_u64(log, 1, from);
    hf_sqlite_bind_u64(log, 2, max_batches < INT64_MAX ? max_batches : INT64_MAX);
    for (uint64_t seq = from + 1;; seq++) {
        bool row;

        HF_TRY(hf_sqlite_step(connection, op, log, &row));
        if (!row) {
            return HF_SUCCESS;
        }
        if (hf_sqlite_column_u64(log, 0) != seq) {
            return hf_fail(op, HF_CORRUPT, "the change log lacks batch %" PRIu64, seq);
        }
        HF_TRY(show_batch(connection, op, log, walk));
        HF_TRY(hf_op_check_deadline(op));
    }
}

static struct hf_status read_changes(struct hf_sqlite_connection *connection, struct hf_op *op,
                                     uint64_t from, size_t max_batches, struct log_walk *walk)
{
    struct hf_status status;

    HF_TRY(read_state(connection, op, &walk->end, &walk->head));
    if (from >= walk->end.seq) {
        return HF_SUCCESS;
    }
    if (walk->end.oldest_seq == 0 || from + 1 < walk->end.oldest_seq) {
        return hf_fail(op, HF_NOT_FOUND, "changes after %" PRIu64 " are gone from the log", from);
    }
    status = follow_log(connection, op, from, max_batches, walk);
    hf_sqlite_reset(connection->statements[HF_SQLITE_LOG]);
    return status;
}

struct hf_status hf_sqlite_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                   size_t max_batches, hf_log_visitor visit, void *context)
{
    struct log_walk walk = { .visit = visit, .context = context };
    struct hf_sqlite_connection *connection;
    struct hf_status status;

    HF_TRY(hf_sqlite_view(engine, op, &connection));
    status = read_changes(connection, op, from, max_batches, &walk);
    hf_sqlite_end_view(engine, connection);
    hf_buf_done(&walk.head);
    return status;
}
