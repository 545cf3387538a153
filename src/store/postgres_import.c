/* Import into the PostgreSQL engine: the tables of a snapshot, row by row, into new empty ones. */
#include <inttypes.h>

#include "base/assert.h"
#include "store/postgres_engine.h"
#include "store/sqlite_engine.h"

/* Rows on their way at once, and about how many of their bytes. */
#define WINDOW       256
#define WINDOW_BYTES ((size_t)4 << 20)
#define COLUMNS_MAX  8

/* One table: each row of the query makes one of the statement. */
static const struct part {
    const char *query;
    enum hf_pg_statement insert;
} parts[] = {
    { "SELECT path, revision, seq, digest, body FROM record ORDER BY path", HF_PG_INSERT_RECORD },
    { "SELECT seq, epoch, realtime_ms, request_id, principal, digest, note, result FROM batch"
      " ORDER BY seq",
      HF_PG_INSERT_BATCH },
    { "SELECT seq, ordinal, path, revision, digest, link FROM change ORDER BY seq, ordinal",
      HF_PG_IMPORT_CHANGE },
    { "SELECT request_id, seq FROM request ORDER BY seq", HF_PG_INSERT_REQUEST },
    /* Nobody holds it, so it can be taken at once; the fence goes on growing. */
    { "SELECT name, holder, fence, 0, 0, 0 FROM lease ORDER BY name", HF_PG_PUT_LEASE },
};

struct import {
    struct hf_pg_link *link;
    struct hf_op *op;
    const struct hf_pg_limit *limit;
    struct hf_sqlite_connection from;
    size_t pending; /* rows sent since the last exchange */
    size_t bytes;
};

static struct hf_status await_rows(struct import *import)
{
    PGresult *results[WINDOW];
    size_t count = import->pending;

    import->pending = 0;
    import->bytes = 0;
    if (count == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_pg_exchange(import->link, import->op, import->limit, results, count));
    hf_pg_clear(results, count);
    return HF_SUCCESS;
}

/* libpq copies what it is given, so the row may go as soon as it is sent. */
static struct hf_status send_row(struct import *import, sqlite3_stmt *row,
                                 enum hf_pg_statement insert)
{
    struct hf_pg_params params = { 0 };
    int columns = sqlite3_column_count(row);

    hf_assert(columns <= COLUMNS_MAX);
    for (int i = 0; i < columns; i++) {
        if (sqlite3_column_type(row, i) == SQLITE_INTEGER) {
            hf_pg_param_u64(&params, hf_sqlite_column_u64(row, i));
        } else {
            struct hf_bytes bytes = hf_sqlite_column_bytes(row, i);

            hf_pg_param_bytes(&params, bytes);
            import->bytes += bytes.len;
        }
    }
    hf_pg_send(import->link, insert, &params);
    import->pending++;
    return import->pending == WINDOW || import->bytes >= WINDOW_BYTES ? await_rows(import)
                                                                      : HF_SUCCESS;
}

static struct hf_status send_rows(struct import *import, sqlite3_stmt *rows,
                                  enum hf_pg_statement insert)
{
    bool row = true;

    while (row) {
        HF_TRY(hf_sqlite_step(&import->from, import->op, rows, &row));
        if (row) {
            HF_TRY(send_row(import, rows, insert));
        }
    }
    return await_rows(import);
}

static struct hf_status prepare(struct import *import, const char *query, sqlite3_stmt **out)
{
    int result = sqlite3_prepare_v2(import->from.db, query, -1, out, NULL);

    if (result != SQLITE_OK) {
        return hf_fail(import->op, HF_CORRUPT, "the snapshot is not one of a store: %s",
                       sqlite3_errmsg(import->from.db));
    }
    return HF_SUCCESS;
}

static struct hf_status copy_part(struct import *import, const struct part *part)
{
    sqlite3_stmt *rows = NULL;
    PGresult *prepared = NULL;
    struct hf_status status;

    HF_TRY(prepare(import, part->query, &rows));
    hf_pg_send_prepare(import->link, part->insert);
    status = hf_pg_exchange(import->link, import->op, import->limit, &prepared, 1);
    PQclear(prepared);
    if (status.code == HF_OK) {
        status = send_rows(import, rows, part->insert);
    }
    (void)sqlite3_finalize(rows);
    return status;
}

static struct hf_status send_state(struct import *import, sqlite3_stmt *state)
{
    struct hf_pg_params params = { 0 };
    bool row;

    HF_TRY(hf_sqlite_step(&import->from, import->op, state, &row));
    if (!row) {
        return hf_fail(import->op, HF_CORRUPT, "the snapshot has no state of a store");
    }
    hf_pg_param_u64(&params, hf_sqlite_column_u64(state, 0));
    hf_pg_param_u64(&params, hf_sqlite_column_u64(state, 1));
    hf_pg_param_bytes(&params, hf_sqlite_column_bytes(state, 2));
    return hf_pg_run(import->link, import->op, import->limit, hf_pg_sql_set_epoch, &params, NULL);
}

static struct hf_status copy_state(struct import *import)
{
    sqlite3_stmt *state = NULL;
    struct hf_status status;

    HF_TRY(prepare(import, "SELECT seq, epoch, head FROM state", &state));
    status = send_state(import, state);
    (void)sqlite3_finalize(state);
    return status;
}

struct hf_status hf_pg_import(struct hf_pg_link *link, struct hf_op *op,
                              const struct hf_pg_limit *limit, const char *snapshot)
{
    struct import import = { .link = link, .op = op, .limit = limit };
    struct hf_status status = hf_sqlite_connect_plain(op, snapshot, &import.from);

    for (size_t i = 0; i < HF_COUNT(parts) && status.code == HF_OK; i++) {
        status = copy_part(&import, &parts[i]);
    }
    if (status.code == HF_OK) {
        status = copy_state(&import);
    }
    hf_sqlite_disconnect(&import.from, false);
    return status;
}

static struct hf_status read_id(struct import *import, uint8_t *out)
{
    sqlite3_stmt *state = NULL;
    struct hf_status status;
    bool row;

    HF_TRY(prepare(import, "SELECT store_id FROM state", &state));
    status = hf_sqlite_step(&import->from, import->op, state, &row);
    if (status.code == HF_OK) {
        status = row ? hf_sqlite_column_exact(import->op, state, 0, out, HF_STORE_ID_LEN)
                     : hf_fail(import->op, HF_CORRUPT, "the snapshot has no state of a store");
    }
    (void)sqlite3_finalize(state);
    return status;
}

struct hf_status hf_pg_import_id(struct hf_op *op, const char *snapshot,
                                 uint8_t out[HF_STORE_ID_LEN])
{
    struct import import = { .op = op };
    struct hf_status status = hf_sqlite_connect_plain(op, snapshot, &import.from);

    if (status.code == HF_OK) {
        status = read_id(&import, out);
    }
    hf_sqlite_disconnect(&import.from, false);
    return status;
}
