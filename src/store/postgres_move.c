/*
 * Stores of the PostgreSQL engine that come and go. One that arrives has its tables in a schema
 * beside the store's, <schema>_arriving, until they are moved over in one transaction. One that has
 * gone elsewhere lacks the tables without which nothing can be read or written, by nodes that run
 * and by those that start: they are in <schema>_moved, with the destination.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/postgres_engine.h"

/* The schemas of one store, as they are written in SQL. */
struct schemas {
    char *main, *arriving, *moved;
    char *plain_arriving; /* as it is written in a table */
    bool has_arriving, has_moved;
};

/* One call of this file, on a connection whose current schema is that of the store. */
struct moving {
    struct hf_pg_link *link;
    struct hf_op *op;
    const struct hf_pg_limit *limit;
    struct schemas schemas;
};

static void schemas_done(struct schemas *schemas)
{
    free(schemas->main);
    free(schemas->arriving);
    free(schemas->moved);
    free(schemas->plain_arriving);
}

/* A name as it is written in SQL; freed by the caller. */
static char *quoted(const char *name, const char *ending)
{
    HF_AUTO(buf) out = hf_buf_new();

    hf_buf_add_text(out, "\"");
    for (const char *c = name; *c != '\0'; c++) {
        hf_buf_add(out, c, 1);
        if (*c == '"') {
            hf_buf_add(out, c, 1);
        }
    }
    hf_buf_add_format(out, "%s\"", ending);
    return hf_strdup(hf_buf_text(out));
}

static struct hf_status run(struct moving *moving, const char *sql,
                            const struct hf_pg_params *params, PGresult **out)
{
    return hf_pg_run(moving->link, moving->op, moving->limit, sql, params, out);
}

/* A statement with a name of schema or table in place of each '%'. */
struct names {
    const char *names[3];
};
static struct hf_status run_on(struct moving *moving, const char *sql, struct names names,
                               const struct hf_pg_params *params, PGresult **out)
{
    HF_AUTO(buf) text = hf_buf_new();
    size_t used = 0;

    for (const char *c = sql; *c != '\0'; c++) {
        if (*c == '%') {
            hf_buf_add_text(text, names.names[used++]);
        } else {
            hf_buf_add(text, c, 1);
        }
    }
    return run(moving, hf_buf_text(text), params, out);
}

/* The same with one name and no result. */
static struct hf_status run_in(struct moving *moving, const char *sql, const char *schema)
{
    return run_on(moving, sql, (struct names){ { schema } }, NULL, NULL);
}

/* Without a current schema all names stay NULL. */
static struct hf_status look_beside(struct moving *moving)
{
    struct schemas *schemas = &moving->schemas;
    HF_AUTO(buf) name = hf_buf_new();
    PGresult *row = NULL;

    HF_TRY(run(moving, hf_pg_sql_look_beside, NULL, &row));
    if (PQntuples(row) == 1 && PQgetisnull(row, 0, 0) == 0) {
        hf_buf_add_bytes(name, hf_pg_bytes(row, 0, 0));
        schemas->main = quoted(hf_buf_text(name), "");
        schemas->arriving = quoted(hf_buf_text(name), "_arriving");
        schemas->moved = quoted(hf_buf_text(name), "_moved");
        schemas->plain_arriving = hf_format("%s_arriving", hf_buf_text(name));
        schemas->has_arriving = hf_pg_u64(row, 0, 1) > 0;
        schemas->has_moved = hf_pg_u64(row, 0, 2) > 0;
    }
    PQclear(row);
    return HF_SUCCESS;
}

static struct hf_status need_schema(const struct moving *moving)
{
    return moving->schemas.main != NULL
               ? HF_SUCCESS
               : hf_fail(moving->op, HF_NOT_FOUND, "the database has no schema for our tables");
}

/* --- arriving --- */

/* What arrives may be all there is of a store that was retired already. */
static struct hf_status check_same(struct moving *moving, const uint8_t *store_id)
{
    const char *arriving = moving->schemas.arriving;
    PGresult *row = NULL;
    bool same;

    HF_TRY(run_on(moving, hf_pg_sql_in_store_id, (struct names){ { arriving } }, NULL, &row));
    same = PQntuples(row) == 1 &&
           hf_bytes_equal(hf_pg_bytes(row, 0, 0), hf_bytes_of(store_id, HF_STORE_ID_LEN));
    PQclear(row);
    return same ? HF_SUCCESS
                : hf_fail(moving->op, HF_EXISTS,
                          "another store is on its way into this database; end its migration, or "
                          "drop the schema %s",
                          arriving);
}

static struct hf_status make_room(struct moving *moving, const uint8_t *store_id)
{
    const char *arriving;

    HF_TRY(look_beside(moving));
    HF_TRY(need_schema(moving));
    arriving = moving->schemas.arriving;
    if (moving->schemas.has_arriving) {
        HF_TRY(check_same(moving, store_id));
    }
    HF_TRY(run_in(moving, hf_pg_sql_drop_schema, arriving));
    HF_TRY(run_in(moving, hf_pg_sql_make_schema, arriving));
    return run_in(moving, hf_pg_sql_use_schema, arriving);
}

struct hf_status hf_pg_make_room(struct hf_pg_link *link, struct hf_op *op,
                                 const struct hf_pg_limit *limit, const uint8_t *store_id)
{
    struct moving moving = { .link = link, .op = op, .limit = limit };
    struct hf_status status = make_room(&moving, store_id);

    schemas_done(&moving.schemas);
    return status;
}

/* --- moved away --- */

static struct hf_status tell_destination(struct moving *moving, enum hf_code code)
{
    HF_AUTO(buf) destination = hf_buf_new();
    struct names moved = { { moving->schemas.moved } };
    PGresult *row = NULL;

    HF_TRY(run_on(moving, hf_pg_sql_in_destination, moved, NULL, &row));
    if (PQntuples(row) > 0) {
        hf_buf_add_bytes(destination, hf_pg_bytes(row, 0, 0));
    }
    PQclear(row);
    return hf_fail(moving->op, code, "the store of this database was moved to %.300s; use it there",
                   hf_buf_text(destination));
}

struct hf_status hf_pg_check_moved(struct hf_pg_link *link, struct hf_op *op,
                                   const struct hf_pg_limit *limit, enum hf_code code)
{
    struct moving moving = { .link = link, .op = op, .limit = limit };
    struct hf_status status = look_beside(&moving);

    if (status.code == HF_OK && moving.schemas.has_moved) {
        status = tell_destination(&moving, code);
    }
    schemas_done(&moving.schemas);
    return status;
}

/* --- which one it was --- */

static struct hf_status read_retired(struct moving *moving, uint8_t *out_store_id)
{
    struct names moved = { { moving->schemas.moved } };
    PGresult *row = NULL;
    struct hf_status status;

    if (!moving->schemas.has_moved) {
        return hf_fail(moving->op, HF_NOT_FOUND, "no store of this database was retired");
    }
    HF_TRY(run_on(moving, hf_pg_sql_in_store_id, moved, NULL, &row));
    status = PQntuples(row) == 1 ? hf_pg_exact(moving->op, row, 0, 0, out_store_id, HF_STORE_ID_LEN)
                                 : hf_fail(moving->op, HF_CORRUPT, "the schema %s has no state",
                                           moving->schemas.moved);
    PQclear(row);
    return status;
}

static struct hf_status find_retired(struct hf_pg_engine *engine, struct hf_op *op,
                                     uint8_t *out_store_id)
{
    struct hf_pg_limit limit = hf_pg_limit_of(engine, op);
    struct hf_pg_link link = { 0 };
    struct moving moving = { .link = &link, .op = op, .limit = &limit };
    struct hf_status status = hf_pg_connect_primary(engine, op, &limit, &link);

    if (status.code == HF_OK) {
        status = look_beside(&moving);
    }
    if (status.code == HF_OK) {
        status = read_retired(&moving, out_store_id);
    }
    hf_pg_disconnect(&link);
    schemas_done(&moving.schemas);
    return status;
}

struct hf_status hf_pg_retired(struct hf_op *op, const struct hf_store_settings *settings,
                               uint8_t out_store_id[HF_STORE_ID_LEN])
{
    struct hf_pg_engine *engine = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_watch(op, settings, &engine));
    status = find_retired(engine, op, out_store_id);
    hf_pg_close(engine);
    return status;
}

/* --- retiring --- */

static struct hf_status check_seq(struct moving *moving, uint64_t seq)
{
    PGresult *row = NULL;
    uint64_t stands;

    HF_TRY(run(moving, hf_pg_sql[HF_PG_LOCK_STATE].text, NULL, &row));
    stands = PQntuples(row) == 1 ? hf_pg_u64(row, 0, 1) : 0;
    PQclear(row);
    if (stands != seq) {
        return hf_fail(moving->op, HF_CONFLICT,
                       "the store stands at %" PRIu64 " and no longer at %" PRIu64
                       ": stop all nodes first",
                       stands, seq);
    }
    return HF_SUCCESS;
}

static struct hf_status close_doors(struct moving *moving, const char *destination)
{
    const struct schemas *schemas = &moving->schemas;
    struct names moved = { { schemas->moved } };
    struct hf_pg_params params = { 0 };

    HF_TRY(run_in(moving, hf_pg_sql_make_schema, schemas->moved));
    HF_TRY(run_in(moving, hf_pg_sql_make_moved, schemas->moved));
    hf_pg_param_bytes(&params, hf_bytes_of_text(destination));
    HF_TRY(run_on(moving, hf_pg_sql_put_destination, moved, &params, NULL));
    for (size_t i = 0; i < HF_COUNT(hf_pg_sql_door_tables); i++) {
        struct names names = { { schemas->main, hf_pg_sql_door_tables[i], schemas->moved } };

        HF_TRY(run_on(moving, hf_pg_sql_move_table, names, NULL, NULL));
    }
    return HF_SUCCESS;
}

static struct hf_status retire(const struct hf_pg_engine *engine, struct moving *moving,
                               uint64_t seq, const char *destination)
{
    HF_TRY(look_beside(moving));
    HF_TRY(need_schema(moving));
    HF_TRY(run(moving, hf_pg_sql_begin, NULL, NULL));
    HF_TRY(check_seq(moving, seq));
    HF_TRY(close_doors(moving, destination));
    return hf_pg_commit(engine, moving->link, moving->op, moving->limit);
}

struct hf_status hf_pg_retire(struct hf_engine *base, struct hf_op *op, uint64_t seq,
                              const char *destination)
{
    struct hf_pg_engine *engine = hf_pg_of(base);
    struct hf_pg_limit limit = hf_pg_limit_of(engine, op);
    struct hf_pg_link link = { 0 };
    struct moving moving = { .link = &link, .op = op, .limit = &limit };
    struct hf_status status = hf_pg_connect_primary(engine, op, &limit, &link);

    if (status.code == HF_OK) {
        status = retire(engine, &moving, seq, destination);
    }
    hf_pg_disconnect(&link);
    schemas_done(&moving.schemas);
    return status;
}

/* --- settling --- */

/* What is left of a store that went makes room for the same of the store that comes. */
static struct hf_status settle_table(struct moving *moving, const char *name)
{
    const struct schemas *schemas = &moving->schemas;
    HF_AUTO_STRING table = quoted(name, "");
    struct names here = { { schemas->main, table } };
    struct names there = { { schemas->arriving, table, schemas->main } };

    if (schemas->has_moved) {
        HF_TRY(run_on(moving, hf_pg_sql_drop_table, here, NULL, NULL));
    }
    return run_on(moving, hf_pg_sql_move_table, there, NULL, NULL);
}

static struct hf_status settle_tables(struct moving *moving)
{
    struct hf_pg_params params = { 0 };
    PGresult *names = NULL;
    struct hf_status status = HF_SUCCESS;

    hf_assert(moving->schemas.plain_arriving != NULL);
    hf_pg_param_bytes(&params, hf_bytes_of_text(moving->schemas.plain_arriving));
    HF_TRY(run(moving, hf_pg_sql_list_tables, &params, &names));
    for (int i = 0; i < PQntuples(names) && status.code == HF_OK; i++) {
        HF_AUTO(buf) name = hf_buf_new();

        hf_buf_add_bytes(name, hf_pg_bytes(names, i, 0));
        status = settle_table(moving, hf_buf_text(name));
    }
    PQclear(names);
    return status;
}

static struct hf_status settle(const struct hf_pg_engine *engine, struct moving *moving)
{
    uint64_t count = 0;

    HF_TRY(look_beside(moving));
    HF_TRY(need_schema(moving));
    HF_TRY(hf_pg_look(moving->link, moving->op, moving->limit, &count));
    if (count > 0) {
        return hf_fail(moving->op, HF_EXISTS, "there is a store in this database already");
    }
    HF_TRY(run(moving, hf_pg_sql_begin, NULL, NULL));
    HF_TRY(check_same(moving, engine->store_id));
    HF_TRY(settle_tables(moving));
    HF_TRY(run_in(moving, hf_pg_sql_drop_schema, moving->schemas.arriving));
    HF_TRY(run_in(moving, hf_pg_sql_drop_schema, moving->schemas.moved));
    return hf_pg_commit(engine, moving->link, moving->op, moving->limit);
}

struct hf_status hf_pg_settle(struct hf_engine *base, struct hf_op *op)
{
    struct hf_pg_engine *engine = hf_pg_of(base);
    struct hf_pg_limit limit = hf_pg_limit_of(engine, op);
    struct hf_pg_link link = { 0 };
    struct moving moving = { .link = &link, .op = op, .limit = &limit };
    struct hf_status status;

    atomic_store(&engine->arriving, false);
    status = hf_pg_connect_primary(engine, op, &limit, &link);
    if (status.code == HF_OK) {
        status = settle(engine, &moving);
    }
    hf_pg_disconnect(&link);
    schemas_done(&moving.schemas);
    return status;
}
