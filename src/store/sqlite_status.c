/* Results of SQLite as statuses, and the handling of statements. */
#include "store/sqlite_engine.h"

#include "base/assert.h"

static enum hf_code io_code(int result)
{
    switch (result) {
    case SQLITE_IOERR_CORRUPTFS:
    case SQLITE_IOERR_DATA:
    case SQLITE_IOERR_SHORT_READ:
        return HF_CORRUPT;
    default:
        return HF_UNAVAILABLE;
    }
}

enum hf_code hf_sqlite_code(int result)
{
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return HF_OK;
    case SQLITE_FULL:
        return HF_NO_SPACE;
    case SQLITE_IOERR:
        return io_code(result);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT: /* our own checks come first, so the tables contradict each other */
        return HF_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
    case SQLITE_PROTOCOL:
        return HF_UNAVAILABLE;
    case SQLITE_TOOBIG:
        return HF_TOO_LARGE;
    default:
        return HF_INTERNAL;
    }
}

/* What an operator can do about it. */
static const char *advice(enum hf_code code)
{
    if (code == HF_NO_SPACE) {
        return "; make room on the disk";
    }
    if (code == HF_CORRUPT) {
        return "; the store file is damaged: restore a backup, and check the disk";
    }
    if (code == HF_UNAVAILABLE) {
        return "; check the disk and the rights of the store directory";
    }
    return "";
}

struct hf_status hf_sqlite_fail(struct hf_sqlite_connection *connection, struct hf_op *op,
                                int result, const char *what)
{
    enum hf_code code = hf_sqlite_code(result);

    connection->failure = result;
    return hf_fail(op, code, "%s (SQLite %d) in the store file%s (at: %.60s)",
                   sqlite3_errstr(result), result, advice(code), what);
}

struct hf_status hf_sqlite_run_text(struct hf_sqlite_connection *connection, struct hf_op *op,
                                    const char *sql)
{
    int result = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);

    if (result != SQLITE_OK) {
        return hf_sqlite_fail(connection, op, sqlite3_extended_errcode(connection->db), sql);
    }
    return HF_SUCCESS;
}

/* Prepares sql and steps to its first row; the caller finalizes. */
static struct hf_status first_row(struct hf_sqlite_connection *connection, struct hf_op *op,
                                  const char *sql, sqlite3_stmt **out)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    if (result != SQLITE_ROW) {
        (void)sqlite3_finalize(statement);
        return hf_sqlite_fail(connection, op, result == SQLITE_DONE ? SQLITE_CORRUPT : result, sql);
    }
    *out = statement;
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_ask(struct hf_sqlite_connection *connection, struct hf_op *op,
                               const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;

    HF_TRY(first_row(connection, op, sql, &statement));
    *out = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_ask_text(struct hf_sqlite_connection *connection, struct hf_op *op,
                                    const char *sql, char *out_text, size_t len)
{
    sqlite3_stmt *statement = NULL;

    HF_TRY(first_row(connection, op, sql, &statement));
    (void)sqlite3_snprintf((int)len, out_text, "%s", hf_sqlite_column_text(statement, 0));
    (void)sqlite3_finalize(statement);
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_step(struct hf_sqlite_connection *connection, struct hf_op *op,
                                sqlite3_stmt *statement, bool *out_row)
{
    int result = sqlite3_step(statement);

    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        hf_sqlite_reset(statement);
        return hf_sqlite_fail(connection, op, result, sqlite3_sql(statement));
    }
    *out_row = result == SQLITE_ROW;
    return HF_SUCCESS;
}

struct hf_status hf_sqlite_do(struct hf_sqlite_connection *connection, struct hf_op *op,
                              enum hf_sqlite_statement statement)
{
    bool row;

    HF_TRY(hf_sqlite_step(connection, op, connection->statements[statement], &row));
    hf_sqlite_reset(connection->statements[statement]);
    return HF_SUCCESS;
}

void hf_sqlite_end_read(struct hf_sqlite_connection *connection)
{
    if (sqlite3_get_autocommit(connection->db) == 0) {
        (void)sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

void hf_sqlite_reset(sqlite3_stmt *statement)
{
    /* The result repeats that of the last step, which has been answered. */
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

void hf_sqlite_bind_bytes(sqlite3_stmt *statement, int at, struct hf_bytes bytes)
{
    /* A NULL pointer would bind NULL, which is not an empty blob. */
    const void *data = bytes.len > 0 ? (const void *)bytes.data : "";

    hf_assert(sqlite3_bind_blob64(statement, at, data, bytes.len, SQLITE_STATIC) == SQLITE_OK);
}

void hf_sqlite_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    hf_assert(sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC) == SQLITE_OK);
}

void hf_sqlite_bind_u64(sqlite3_stmt *statement, int at, uint64_t value)
{
    hf_assert(value <= INT64_MAX);
    hf_assert(sqlite3_bind_int64(statement, at, (sqlite3_int64)value) == SQLITE_OK);
}

struct hf_bytes hf_sqlite_column_bytes(sqlite3_stmt *statement, int at)
{
    const void *data = sqlite3_column_blob(statement, at);

    return hf_bytes_of(data, (size_t)sqlite3_column_bytes(statement, at));
}

const char *hf_sqlite_column_text(sqlite3_stmt *statement, int at)
{
    const unsigned char *text = sqlite3_column_text(statement, at);

    return text != NULL ? (const char *)text : "";
}

uint64_t hf_sqlite_column_u64(sqlite3_stmt *statement, int at)
{
    sqlite3_int64 value = sqlite3_column_int64(statement, at);

    return value > 0 ? (uint64_t)value : 0;
}

struct hf_status hf_sqlite_column_exact(struct hf_op *op, sqlite3_stmt *statement, int at,
                                        void *out, size_t len)
{
    struct hf_bytes bytes = hf_sqlite_column_bytes(statement, at);

    if (bytes.len != len) {
        return hf_fail(op, HF_CORRUPT, "the store file has %s of %zu bytes where %zu belong",
                       sqlite3_column_name(statement, at), bytes.len, len);
    }
    memcpy(out, bytes.data, len);
    return HF_SUCCESS;
}
