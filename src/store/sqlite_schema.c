/* The tables of the SQLite engine: making the file, knowing it again, and opening it. */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

/* In the header of the file, at the places the file format gives them (sqlite.org, fileformat2). */
#define HEADER_LEN      100
#define WRITE_FORMAT_AT 18 /* 1: rollback journal, 2: write-ahead log */
#define VERSION_AT      60
#define APPLICATION_AT  68
#define APPLICATION_ID  0x48464b53 /* "HFKS" */
#define SCHEMA_VERSION  1
#define FIRST_EPOCH     1

static const char tables[] = "CREATE TABLE state ("
                             " one INTEGER PRIMARY KEY CHECK (one = 1),"
                             " store_id BLOB NOT NULL,"
                             " seq INTEGER NOT NULL,"
                             " epoch INTEGER NOT NULL,"
                             " head BLOB NOT NULL,"
                             " barriers INTEGER NOT NULL);"
                             "CREATE TABLE record ("
                             " number INTEGER PRIMARY KEY,"
                             " path TEXT NOT NULL UNIQUE,"
                             " revision INTEGER NOT NULL,"
                             " seq INTEGER NOT NULL,"
                             " digest BLOB NOT NULL,"
                             " body BLOB NOT NULL);"
                             "CREATE TABLE batch ("
                             " seq INTEGER PRIMARY KEY,"
                             " epoch INTEGER NOT NULL,"
                             " realtime_ms INTEGER NOT NULL,"
                             " request_id BLOB NOT NULL,"
                             " principal TEXT NOT NULL,"
                             " digest BLOB NOT NULL,"
                             " note BLOB NOT NULL,"
                             " result BLOB NOT NULL);"
                             "CREATE TABLE change ("
                             " seq INTEGER NOT NULL,"
                             " ordinal INTEGER NOT NULL,"
                             " path TEXT NOT NULL,"
                             " revision INTEGER NOT NULL,"
                             " digest BLOB NOT NULL,"
                             " link BLOB NOT NULL,"
                             " PRIMARY KEY (seq, ordinal)) WITHOUT ROWID;"
                             "CREATE TABLE request ("
                             " request_id BLOB PRIMARY KEY NOT NULL,"
                             " seq INTEGER NOT NULL) WITHOUT ROWID;"
                             "CREATE TABLE lease ("
                             " name TEXT PRIMARY KEY NOT NULL,"
                             " holder TEXT NOT NULL,"
                             " fence INTEGER NOT NULL,"
                             " opening INTEGER NOT NULL,"
                             " expires_ms INTEGER NOT NULL) WITHOUT ROWID;";

static const char *const statement_texts[] = {
    [HF_SQLITE_STATE] =
        "SELECT store_id, seq, epoch, head, coalesce((SELECT min(seq) FROM batch), 0) FROM state",
    [HF_SQLITE_SEQ] = "SELECT seq FROM state",
    [HF_SQLITE_GET] = "SELECT path, revision, seq, body FROM record WHERE path = ?",
    [HF_SQLITE_LIST_FROM] =
        "SELECT path, revision, seq, body FROM record WHERE path >= ? ORDER BY path",
    [HF_SQLITE_LIST_AFTER] =
        "SELECT path, revision, seq, body FROM record WHERE path > ? ORDER BY path",
    [HF_SQLITE_LOG] = "SELECT seq, epoch, realtime_ms, note, request_id, principal, digest, result"
                      " FROM batch WHERE seq > ? ORDER BY seq LIMIT ?",
    [HF_SQLITE_LOG_CHANGES] =
        "SELECT c.path, c.revision, c.digest, c.link,"
        " CASE WHEN r.revision = c.revision THEN r.body END, coalesce(r.revision, 0)"
        " FROM change c LEFT JOIN record r ON r.path = c.path WHERE c.seq = ? ORDER BY c.ordinal",
    [HF_SQLITE_RECALL] = "SELECT b.seq, b.epoch, b.principal, b.digest, b.result FROM request r"
                         " JOIN batch b ON b.seq = r.seq WHERE r.request_id = ?",
    /* The last seconds are looked through: an index would cost every commit a page. */
    [HF_SQLITE_LATEST_REQUESTS] = "SELECT request_id, digest, realtime_ms FROM batch"
                                  " WHERE seq <= ? ORDER BY seq DESC",
    [HF_SQLITE_READ_BEGIN] = "BEGIN",

    [HF_SQLITE_BEGIN] = "BEGIN IMMEDIATE",
    [HF_SQLITE_POSITION] =
        "SELECT seq, epoch, head, coalesce((SELECT max(seq) FROM batch), 0) FROM state",
    [HF_SQLITE_COMMIT] = "COMMIT",
    [HF_SQLITE_FIND_REQUEST] =
        "SELECT b.seq, b.epoch, b.principal, b.digest, b.result FROM request r"
        " LEFT JOIN batch b ON b.seq = r.seq WHERE r.request_id = ?",
    [HF_SQLITE_FIND_RECORD] = "SELECT revision, digest FROM record WHERE path = ?",
    [HF_SQLITE_INSERT_RECORD] =
        "INSERT INTO record (path, revision, seq, digest, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    [HF_SQLITE_UPDATE_RECORD] =
        "UPDATE record SET revision = ?2, seq = ?3, digest = ?4, body = ?5 WHERE path = ?1",
    [HF_SQLITE_INSERT_BATCH] =
        "INSERT INTO batch"
        " (seq, epoch, realtime_ms, request_id, principal, digest, note, result)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [HF_SQLITE_INSERT_CHANGE] =
        "INSERT INTO change (seq, ordinal, path, revision, digest, link) VALUES (?, ?, ?, ?, ?, ?)",
    [HF_SQLITE_INSERT_REQUEST] = "INSERT INTO request (request_id, seq) VALUES (?, ?)",
    [HF_SQLITE_UPDATE_STATE] = "UPDATE state SET seq = ?, head = ?",
    [HF_SQLITE_UPDATE_EPOCH] = "UPDATE state SET epoch = ?",
    [HF_SQLITE_FIND_BATCH] = "SELECT epoch, request_id FROM batch WHERE seq = ?",
    [HF_SQLITE_TOUCH_STATE] = "UPDATE state SET barriers = barriers + 1",
    [HF_SQLITE_FIND_LEASE] = "SELECT holder, fence, opening, expires_ms FROM lease WHERE name = ?",
    [HF_SQLITE_PUT_LEASE] = "INSERT INTO lease (name, holder, fence, opening, expires_ms)"
                            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                            " holder = excluded.holder, fence = excluded.fence,"
                            " opening = excluded.opening, expires_ms = excluded.expires_ms",
    [HF_SQLITE_FORGET_REQUESTS] = "DELETE FROM request WHERE request_id IN"
                                  " (SELECT request_id FROM batch WHERE seq < ?)",
    [HF_SQLITE_FORGET_CHANGES] = "DELETE FROM change WHERE seq < ?",
    [HF_SQLITE_FORGET_BATCHES] = "DELETE FROM batch WHERE seq < ?",
};

/* Another program may look into the file for a moment. */
static const char reader_settings[] = "PRAGMA busy_timeout = 2000;"
                                      "PRAGMA cache_size = -2000;"
                                      "PRAGMA mmap_size = 0;"
                                      "PRAGMA temp_store = MEMORY;"
                                      "PRAGMA trusted_schema = OFF;"
                                      "PRAGMA cell_size_check = ON;";

/* Checkpoints are made by a thread of their own, never inside somebody's commit. */
static const char writer_settings[] = "PRAGMA cache_size = -8000;"
                                      "PRAGMA mmap_size = 0;"
                                      "PRAGMA temp_store = MEMORY;"
                                      "PRAGMA trusted_schema = OFF;"
                                      "PRAGMA cell_size_check = ON;"
                                      "PRAGMA synchronous = FULL;"
                                      "PRAGMA secure_delete = ON;"
                                      "PRAGMA wal_autocheckpoint = 0;";

static uint32_t u32_at(const uint8_t *header, size_t at)
{
    return (uint32_t)header[at] << 24 | (uint32_t)header[at + 1] << 16 |
           (uint32_t)header[at + 2] << 8 | header[at + 3];
}

static struct hf_status judge_header(struct hf_op *op, const char *file, const uint8_t *header,
                                     size_t len)
{
    uint32_t version;

    if (len < HEADER_LEN || memcmp(header, "SQLite format 3", 16) != 0) {
        return hf_fail(op, HF_CORRUPT, "%.200s is not a store: it is no SQLite database", file);
    }
    if (u32_at(header, APPLICATION_AT) != APPLICATION_ID) {
        return hf_fail(op, HF_CORRUPT, "%.200s is not a store: it is another program's database",
                       file);
    }
    version = u32_at(header, VERSION_AT);
    if (version > SCHEMA_VERSION) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "%.200s has format %" PRIu32 ", and this program knows up to %d; "
                       "use a newer Holdfast",
                       file, version, SCHEMA_VERSION);
    }
    if (version == 0) {
        return hf_fail(op, HF_CORRUPT, "%.200s is not a store: it has no format number", file);
    }
    return HF_SUCCESS;
}

static struct hf_status read_header(struct hf_op *op, const char *file, uint8_t *out,
                                    size_t *out_len)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0) {
        int number = errno;

        return hf_fail(op, hf_sqlite_errno_code(number), "cannot open %.200s: %s", file,
                       strerror(number));
    }
    len = pread(fd, out, HEADER_LEN, 0);
    (void)close(fd);
    if (len < 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot read %.200s; check the disk", file);
    }
    *out_len = (size_t)len;
    return HF_SUCCESS;
}

/*
 * By hand, because SQLite may write beside a database as soon as it opens it. It would also apply a
 * log to any file of the name, so a snapshot put in place of a store must not meet the old log.
 */
struct hf_status hf_sqlite_check_header(struct hf_sqlite_engine *engine, struct hf_op *op)
{
    uint8_t header[HEADER_LEN] = { 0 };
    struct stat about;
    size_t len = 0;

    HF_TRY(read_header(op, engine->file, header, &len));
    HF_TRY(judge_header(op, engine->file, header, len));
    if (header[WRITE_FORMAT_AT] == 1 && stat(engine->wal_file, &about) == 0 && about.st_size > 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "%.200s is a snapshot, but the log of another store lies beside it; move "
                       "store.db-wal and store.db-shm away",
                       engine->file);
    }
    return HF_SUCCESS;
}

static struct hf_status connect_with(struct hf_op *op, const char *file, int flags,
                                     const char *settings, struct hf_sqlite_connection *out)
{
    int result =
        sqlite3_open_v2(file, &out->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

    if (result != SQLITE_OK) {
        return hf_sqlite_fail(out, op, result, "open the store file");
    }
    return hf_sqlite_run_text(out, op, settings);
}

static struct hf_status prepare(struct hf_op *op, struct hf_sqlite_connection *connection,
                                enum hf_sqlite_statement from, enum hf_sqlite_statement to)
{
    for (size_t i = from; i < to; i++) {
        int result =
            sqlite3_prepare_v3(connection->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &connection->statements[i], NULL);

        if (result == SQLITE_ERROR) {
            return hf_fail(op, HF_CORRUPT, "the store file lacks a table: %s",
                           sqlite3_errmsg(connection->db));
        }
        if (result != SQLITE_OK) {
            return hf_sqlite_fail(connection, op, result, "read the tables of the store file");
        }
    }
    return HF_SUCCESS;
}

static struct hf_status use_wal(struct hf_op *op, struct hf_sqlite_connection *connection)
{
    char mode[16] = "";

    HF_TRY(hf_sqlite_ask_text(connection, op, "PRAGMA journal_mode = WAL", mode, sizeof mode));
    if (strcmp(mode, "wal") != 0) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "the file system of the store has no shared memory for SQLite's "
                       "write-ahead log; use a local disk");
    }
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_connect_writer(struct hf_sqlite_engine *engine, struct hf_op *op,
                                          struct hf_sqlite_connection *out)
{
    HF_TRY(connect_with(op, engine->file, SQLITE_OPEN_READWRITE, writer_settings, out));
    /* SQLite opens what it may not write for reading only, and would say so at the first write. */
    if (sqlite3_db_readonly(out->db, "main") != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "%.200s cannot be written; check its owner and mode",
                       engine->file);
    }
    HF_TRY(use_wal(op, out));
    return prepare(op, out, HF_SQLITE_BEGIN, HF_SQLITE_STATEMENTS);
}

struct hf_status hf_sqlite_connect_reader(struct hf_sqlite_engine *engine, struct hf_op *op,
                                          struct hf_sqlite_connection *out)
{
    HF_TRY(connect_with(op, engine->file, SQLITE_OPEN_READONLY, reader_settings, out));
    return prepare(op, out, 0, HF_SQLITE_READER_STATEMENTS);
}

struct hf_status hf_sqlite_connect_plain(struct hf_op *op, const char *file,
                                         struct hf_sqlite_connection *out)
{
    return connect_with(op, file, SQLITE_OPEN_READWRITE, writer_settings, out);
}

void hf_sqlite_disconnect(struct hf_sqlite_connection *connection, bool keep_wal)
{
    if (connection->db != NULL && keep_wal) {
        (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    for (size_t i = 0; i < HF_COUNT(connection->statements); i++) {
        (void)sqlite3_finalize(connection->statements[i]);
        connection->statements[i] = NULL;
    }
    hf_assert(sqlite3_close(connection->db) == SQLITE_OK);
    connection->db = NULL;
}

static struct hf_status insert_state(struct hf_op *op, struct hf_sqlite_connection *connection,
                                     const uint8_t *store_id)
{
    sqlite3_stmt *statement = NULL;
    struct hf_status status;
    bool row;
    int result = sqlite3_prepare_v2(connection->db,
                                    "INSERT INTO state (one, store_id, seq, epoch, head, barriers)"
                                    " VALUES (1, ?, 0, ?, x'', 0)",
                                    -1, &statement, NULL);

    if (result != SQLITE_OK) {
        return hf_sqlite_fail(connection, op, result, "make the tables of the store file");
    }
    hf_sqlite_bind_bytes(statement, 1, hf_bytes_of(store_id, HF_STORE_ID_LEN));
    hf_sqlite_bind_u64(statement, 2, FIRST_EPOCH);
    status = hf_sqlite_step(connection, op, statement, &row);
    (void)sqlite3_finalize(statement);
    return status;
}

static struct hf_status fill(struct hf_op *op, struct hf_sqlite_connection *connection,
                             const char *file, const uint8_t *store_id)
{
    HF_AUTO_STRING marks = hf_format("PRAGMA application_id = %d; PRAGMA user_version = %d",
                                     APPLICATION_ID, SCHEMA_VERSION);

    HF_TRY(connect_with(op, file, SQLITE_OPEN_READWRITE, writer_settings, connection));
    HF_TRY(hf_sqlite_run_text(connection, op, "BEGIN IMMEDIATE"));
    HF_TRY(hf_sqlite_run_text(connection, op, marks));
    HF_TRY(hf_sqlite_run_text(connection, op, tables));
    HF_TRY(insert_state(op, connection, store_id));
    return hf_sqlite_run_text(connection, op, "COMMIT");
}

struct hf_status hf_sqlite_fill_copy(struct hf_op *op, const char *file, const uint8_t *store_id,
                                     struct hf_sqlite_connection *out)
{
    HF_TRY(fill(op, out, file, store_id));
    return prepare(op, out, HF_SQLITE_BEGIN, HF_SQLITE_STATEMENTS);
}

static struct hf_status make_aside(struct hf_op *op, const char *file,
                                   const struct hf_store_settings *settings)
{
    struct hf_sqlite_connection connection = { 0 };
    struct hf_status status;

    HF_TRY(hf_sqlite_make_file(op, file));
    if (settings->snapshot != NULL) {
        return hf_sqlite_copy_snapshot(op, settings->snapshot, file);
    }
    status = fill(op, &connection, file, settings->store_id);
    hf_sqlite_disconnect(&connection, false);
    HF_TRY(status);
    return hf_sqlite_sync_file(op, file);
}

/*
 * The file is made under another name and renamed when it is whole, so that a crash leaves no half
 * store. The lock is held, so a leftover of an earlier try belongs to nobody.
 */
struct hf_status hf_sqlite_create(struct hf_sqlite_engine *engine, struct hf_op *op,
                                  const struct hf_store_settings *settings)
{
    HF_AUTO_STRING aside = hf_format("%s.new", engine->file);
    HF_AUTO_STRING journal = hf_format("%s-journal", aside);
    struct hf_status status;

    (void)unlink(journal);
    (void)unlink(aside);
    status = make_aside(op, aside, settings);
    if (status.code == HF_OK &&
        renameat2(AT_FDCWD, aside, AT_FDCWD, engine->file, RENAME_NOREPLACE) != 0) {
        int number = errno;

        status = hf_fail(op, hf_sqlite_errno_code(number), "cannot make the store %.200s: %s",
                         engine->file, strerror(number));
    }
    if (status.code != HF_OK) {
        (void)unlink(journal);
        (void)unlink(aside);
        return status;
    }
    return hf_sqlite_sync_directory_of(op, engine->file);
}
