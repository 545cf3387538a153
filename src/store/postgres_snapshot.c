/* Snapshots of the PostgreSQL engine: one read transaction, copied into a store file of SQLite. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"
#include "store/sqlite_engine.h"

#define PAGE 256

struct copy_call {
    const char *file;
    uint64_t deadline_ms; /* of the operation, while a host gives what is asked */
    uint64_t begin_ms;    /* until when one has to be found that does */
    struct hf_sqlite_connection to;
    uint64_t seq;
    struct hf_buf last; /* the last path copied */
    uint64_t from;      /* the last batch copied */
};

static void bind(sqlite3_stmt *statement, int at, const PGresult *rows, int row, int column)
{
    hf_sqlite_bind_bytes(statement, at, hf_pg_bytes(rows, row, column));
}

/* Texts of SQLite: bytes that stay as long as the buffer does. */
static void bind_text(sqlite3_stmt *statement, int at, struct hf_buf *text, struct hf_bytes bytes)
{
    hf_buf_clear(text);
    hf_buf_add_bytes(text, bytes);
    hf_sqlite_bind_text(statement, at, hf_buf_text(text));
}

static struct hf_status copy_record(struct hf_op *op, struct copy_call *call, const PGresult *rows,
                                    int at)
{
    sqlite3_stmt *insert = call->to.statements[HF_SQLITE_INSERT_RECORD];

    bind_text(insert, 1, &call->last, hf_pg_bytes(rows, at, 0));
    hf_sqlite_bind_u64(insert, 2, hf_pg_u64(rows, at, 1));
    hf_sqlite_bind_u64(insert, 3, hf_pg_u64(rows, at, 2));
    bind(insert, 4, rows, at, 3);
    bind(insert, 5, rows, at, 4);
    return hf_sqlite_do(&call->to, op, HF_SQLITE_INSERT_RECORD);
}

static struct hf_status copy_batch(struct hf_op *op, struct copy_call *call, const PGresult *rows,
                                   int at)
{
    sqlite3_stmt *insert = call->to.statements[HF_SQLITE_INSERT_BATCH];
    HF_AUTO(buf) principal = hf_buf_new();

    for (int i = 0; i < 3; i++) {
        hf_sqlite_bind_u64(insert, i + 1, hf_pg_u64(rows, at, i));
    }
    bind(insert, 4, rows, at, 3);
    bind_text(insert, 5, principal, hf_pg_bytes(rows, at, 4));
    for (int i = 5; i < 8; i++) {
        bind(insert, i + 1, rows, at, i);
    }
    HF_TRY(hf_sqlite_do(&call->to, op, HF_SQLITE_INSERT_BATCH));

    insert = call->to.statements[HF_SQLITE_INSERT_REQUEST];
    bind(insert, 1, rows, at, 3);
    hf_sqlite_bind_u64(insert, 2, hf_pg_u64(rows, at, 0));
    return hf_sqlite_do(&call->to, op, HF_SQLITE_INSERT_REQUEST);
}

static struct hf_status copy_changes(struct hf_op *op, struct copy_call *call, const PGresult *rows)
{
    sqlite3_stmt *insert = call->to.statements[HF_SQLITE_INSERT_CHANGE];
    HF_AUTO(buf) path = hf_buf_new();
    uint64_t seq = 0;
    uint64_t ordinal = 0;

    for (int at = 0; at < PQntuples(rows); at++) {
        ordinal = hf_pg_u64(rows, at, 0) == seq ? ordinal + 1 : 0;
        seq = hf_pg_u64(rows, at, 0);
        hf_sqlite_bind_u64(insert, 1, seq);
        hf_sqlite_bind_u64(insert, 2, ordinal);
        bind_text(insert, 3, path, hf_pg_bytes(rows, at, 1));
        hf_sqlite_bind_u64(insert, 4, hf_pg_u64(rows, at, 2));
        bind(insert, 5, rows, at, 3);
        bind(insert, 6, rows, at, 4);
        HF_TRY(hf_sqlite_do(&call->to, op, HF_SQLITE_INSERT_CHANGE));
    }
    return HF_SUCCESS;
}

static struct hf_status copy_rows(struct hf_op *op, struct copy_call *call, const PGresult *rows,
                                  struct hf_status (*copy)(struct hf_op *, struct copy_call *,
                                                           const PGresult *, int))
{
    HF_TRY(hf_op_check_deadline(op));
    for (int at = 0; at < PQntuples(rows); at++) {
        HF_TRY(copy(op, call, rows, at));
    }
    return HF_SUCCESS;
}

static struct hf_status copy_records(struct hf_pg_reading *reading, struct copy_call *call)
{
    bool more = true;

    while (more) {
        struct hf_pg_params params = { 0 };
        PGresult *rows = NULL;
        struct hf_status status;

        hf_pg_param_bytes(&params, hf_buf_bytes(&call->last));
        hf_pg_param_u64(&params, PAGE);
        HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_COPY_RECORDS, &params,
                         &rows));
        status = copy_rows(reading->op, call, rows, copy_record);
        more = PQntuples(rows) == PAGE;
        PQclear(rows);
        HF_TRY(status);
    }
    return HF_SUCCESS;
}

/* Fences go on growing in the copy; nobody holds a lease there. */
static struct hf_status copy_lease(struct hf_op *op, struct copy_call *call, const PGresult *rows,
                                   int at)
{
    sqlite3_stmt *insert = call->to.statements[HF_SQLITE_PUT_LEASE];
    HF_AUTO(buf) name = hf_buf_new();
    HF_AUTO(buf) holder = hf_buf_new();

    bind_text(insert, 1, name, hf_pg_bytes(rows, at, 0));
    bind_text(insert, 2, holder, hf_pg_bytes(rows, at, 1));
    hf_sqlite_bind_u64(insert, 3, hf_pg_u64(rows, at, 2));
    hf_sqlite_bind_u64(insert, 4, 0);
    hf_sqlite_bind_u64(insert, 5, 0);
    return hf_sqlite_do(&call->to, op, HF_SQLITE_PUT_LEASE);
}

static struct hf_status copy_leases(struct hf_pg_reading *reading, struct copy_call *call)
{
    PGresult *rows = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_ask(reading->link, reading->op, &reading->limit, HF_PG_COPY_LEASES, NULL, &rows));
    status = copy_rows(reading->op, call, rows, copy_lease);
    PQclear(rows);
    return status;
}

/* The next batches of the log with their changes. */
static struct hf_status copy_log_page(struct hf_pg_reading *reading, struct copy_call *call,
                                      bool *out_more)
{
    struct hf_pg_params batches = { 0 };
    struct hf_pg_params changes = { 0 };
    PGresult *results[2];
    struct hf_status status;

    hf_pg_param_u64(&batches, call->from);
    hf_pg_param_u64(&batches, PAGE);
    hf_pg_send(reading->link, HF_PG_COPY_BATCHES, &batches);
    hf_pg_param_u64(&changes, call->from);
    hf_pg_param_u64(&changes, call->from + PAGE);
    hf_pg_send(reading->link, HF_PG_LOG_CHANGES, &changes);
    HF_TRY(hf_pg_exchange(reading->link, reading->op, &reading->limit, results, 2));
    status = copy_rows(reading->op, call, results[0], copy_batch);
    if (status.code == HF_OK) {
        status = copy_changes(reading->op, call, results[1]);
    }
    *out_more = PQntuples(results[0]) == PAGE;
    call->from += PAGE;
    hf_pg_clear(results, 2);
    return status;
}

static struct hf_status copy_state(struct hf_op *op, struct copy_call *call, const PGresult *state)
{
    HF_AUTO_STRING epoch = hf_format("UPDATE state SET epoch = %" PRIu64, hf_pg_u64(state, 0, 2));
    sqlite3_stmt *update = call->to.statements[HF_SQLITE_UPDATE_STATE];

    HF_TRY(hf_sqlite_run_text(&call->to, op, epoch));
    hf_sqlite_bind_u64(update, 1, call->seq);
    bind(update, 2, state, 0, 3);
    return hf_sqlite_do(&call->to, op, HF_SQLITE_UPDATE_STATE);
}

/* All in one transaction of the file as well. */
static struct hf_status copy_store(struct hf_pg_reading *reading, struct copy_call *call,
                                   const PGresult *state)
{
    struct hf_store_state stand;
    bool more;

    HF_TRY(hf_pg_take_state(reading, state, &stand, NULL));
    /* From here on it may take its time. */
    reading->op->deadline_ms = call->deadline_ms;
    more = stand.oldest_seq > 0;
    call->seq = stand.seq;
    call->from = more ? stand.oldest_seq - 1 : 0;
    HF_TRY(hf_sqlite_fill_copy(reading->op, call->file, stand.store_id, &call->to));
    HF_TRY(hf_sqlite_do(&call->to, reading->op, HF_SQLITE_BEGIN));
    HF_TRY(copy_records(reading, call));
    HF_TRY(copy_leases(reading, call));
    while (more) {
        HF_TRY(copy_log_page(reading, call, &more));
    }
    HF_TRY(copy_state(reading->op, call, state));
    return hf_sqlite_do(&call->to, reading->op, HF_SQLITE_COMMIT);
}

static struct hf_status write_file(struct hf_pg_reading *reading, struct copy_call *call,
                                   const PGresult *state)
{
    struct hf_status status;

    HF_TRY(hf_sqlite_make_file(reading->op, call->file));
    hf_buf_clear(&call->last);
    status = copy_store(reading, call, state);
    hf_sqlite_disconnect(&call->to, false);
    if (status.code == HF_OK) {
        status = hf_sqlite_prove_copy(reading->op, call->file, (int64_t)call->seq);
    }
    if (status.code != HF_OK) {
        hf_sqlite_remove_copy(call->file);
    }
    return status;
}

static struct hf_status read_all(struct hf_pg_reading *reading, void *context)
{
    struct copy_call *call = context;
    PGresult *state = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_begin_reading(reading, &state));
    status = write_file(reading, call, state);
    PQclear(state);
    hf_pg_end_reading(reading);
    reading->op->deadline_ms = call->begin_ms;
    return status;
}

struct hf_status hf_pg_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                                uint64_t *out_seq)
{
    struct copy_call call = { .file = file,
                              .deadline_ms = op->deadline_ms,
                              .begin_ms = hf_env_boottime_ms(op->env) + HF_PG_PATIENCE_MS };
    struct hf_status status;

    if (call.deadline_ms != 0 && call.deadline_ms < call.begin_ms) {
        call.begin_ms = call.deadline_ms;
    }
    op->deadline_ms = call.begin_ms;
    status = hf_pg_read(hf_pg_of(engine), op, read_all, &call);
    op->deadline_ms = call.deadline_ms;
    hf_buf_done(&call.last);
    HF_TRY(status);
    *out_seq = call.seq;
    return HF_SUCCESS;
}
