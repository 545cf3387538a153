/* The tables of a PostgreSQL store: made, known again, and brought up to date step by step. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "store/postgres_engine.h"

#define FIRST_EPOCH 1

struct version {
    uint64_t version;
    uint64_t min_reader;
    uint64_t min_writer;
};

struct hf_pg_limit hf_pg_limit_of(struct hf_pg_engine *engine, struct hf_op *op)
{
    return (struct hf_pg_limit){ .op = op,
                                 .until_ms = hf_pg_now_ms() + HF_PG_PATIENCE_MS,
                                 .stop = &engine->stop };
}

struct hf_status hf_pg_run(struct hf_pg_link *link, struct hf_op *op,
                           const struct hf_pg_limit *limit, const char *sql,
                           const struct hf_pg_params *params, PGresult **out)
{
    PGresult *result = NULL;

    hf_pg_send_text(link, sql, params);
    HF_TRY(hf_pg_exchange(link, op, limit, &result, 1));
    if (out != NULL) {
        *out = result;
    } else {
        PQclear(result);
    }
    return HF_SUCCESS;
}

struct hf_status hf_pg_look(struct hf_pg_link *link, struct hf_op *op,
                            const struct hf_pg_limit *limit, uint64_t *out_count)
{
    PGresult *result = NULL;

    HF_TRY(hf_pg_run(link, op, limit, hf_pg_sql_has_schema, NULL, &result));
    *out_count = PQntuples(result) == 1 ? hf_pg_u64(result, 0, 0) : 0;
    PQclear(result);
    return HF_SUCCESS;
}

static struct hf_status read_version(struct hf_pg_link *link, struct hf_op *op,
                                     const struct hf_pg_limit *limit, const char *sql,
                                     struct version *out)
{
    PGresult *result = NULL;
    bool found;

    HF_TRY(hf_pg_run(link, op, limit, sql, NULL, &result));
    found = PQntuples(result) == 1;
    if (found) {
        *out = (struct version){ hf_pg_u64(result, 0, 0), hf_pg_u64(result, 0, 1),
                                 hf_pg_u64(result, 0, 2) };
    }
    PQclear(result);
    return found ? HF_SUCCESS
                 : hf_fail(op, HF_CORRUPT, "the database has our tables but no version");
}

/* Old and new programs share a store as long as its tables allow both. */
static struct hf_status check_version(struct hf_op *op, const struct version *version)
{
    uint64_t ours = hf_pg_migration_count;

    if (ours < version->min_reader || ours < version->min_writer) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "the store has format %" PRIu64 ", which programs that know %" PRIu64
                       " may use, and this one knows %" PRIu64 "; use a newer Holdfast",
                       version->version,
                       version->min_reader > version->min_writer ? version->min_reader
                                                                 : version->min_writer,
                       ours);
    }
    return HF_SUCCESS;
}

static struct hf_status migrate_one(struct hf_pg_link *link, struct hf_op *op,
                                    const struct hf_pg_limit *limit, uint64_t from)
{
    const struct hf_pg_migration *migration = &hf_pg_migrations[from];
    struct hf_pg_params params = { 0 };

    for (size_t i = 0; migration->steps[i] != NULL; i++) {
        HF_TRY(hf_pg_run(link, op, limit, migration->steps[i], NULL, NULL));
    }
    hf_pg_param_u64(&params, from + 1);
    hf_pg_param_u64(&params, migration->min_reader);
    hf_pg_param_u64(&params, migration->min_writer);
    return hf_pg_run(link, op, limit, hf_pg_sql_put_schema, &params, NULL);
}

static struct hf_status insert_state(struct hf_pg_link *link, struct hf_op *op,
                                     const struct hf_pg_limit *limit, const uint8_t *store_id)
{
    struct hf_pg_params params = { 0 };

    hf_pg_param_bytes(&params, hf_bytes_of(store_id, HF_STORE_ID_LEN));
    hf_pg_param_u64(&params, FIRST_EPOCH);
    hf_pg_param_u64(&params, link->role.timeline);
    hf_pg_param_bytes(&params, hf_bytes_of_text(link->role.started));
    return hf_pg_run(link, op, limit, hf_pg_sql_insert_state, &params, NULL);
}

/* A warning tells that the commit did not wait for its standby, so it counts as no success. */
struct hf_status hf_pg_commit(const struct hf_pg_engine *engine, struct hf_pg_link *link,
                              struct hf_op *op, const struct hf_pg_limit *limit)
{
    PGresult *results[2];
    struct hf_status status;

    link->warned = false;
    hf_pg_send_text(link, hf_pg_sql_commit, NULL);
    hf_pg_send_text(link, hf_pg_sql[HF_PG_NAMES].text, NULL);
    status = hf_pg_exchange(link, op, limit, results, 2);
    if (status.code == HF_OK) {
        status = hf_pg_check_names(engine, op, results[1]);
        hf_pg_clear(results, 2);
    }
    if (status.code == HF_OK && !link->warned) {
        return HF_SUCCESS;
    }
    return hf_fail(op, HF_IN_DOUBT,
                   "it is not known whether the tables were changed: %.200s; look at the database "
                   "and try again",
                   link->warned ? link->warning : op->text);
}

static struct hf_status make_tables(struct hf_pg_link *link, struct hf_op *op,
                                    const struct hf_pg_limit *limit,
                                    const struct hf_store_settings *settings)
{
    uint8_t store_id[HF_STORE_ID_LEN];

    memcpy(store_id, settings->store_id, sizeof store_id);
    if (settings->snapshot != NULL) {
        HF_TRY(hf_pg_import_id(op, settings->snapshot, store_id));
    }
    if (settings->arriving) {
        HF_TRY(hf_pg_make_room(link, op, limit, store_id));
    }
    for (uint64_t from = 0; from < hf_pg_migration_count; from++) {
        HF_TRY(migrate_one(link, op, limit, from));
    }
    HF_TRY(insert_state(link, op, limit, store_id));
    return settings->snapshot != NULL ? hf_pg_import(link, op, limit, settings->snapshot)
                                      : HF_SUCCESS;
}

/* All in one transaction, however much there is to import: a crash leaves nothing. */
static struct hf_status create(const struct hf_pg_engine *engine, struct hf_pg_link *link,
                               struct hf_op *op, const struct hf_pg_limit *limit,
                               const struct hf_store_settings *settings)
{
    uint64_t count = 0;

    HF_TRY(hf_pg_look(link, op, limit, &count));
    if (count > 0) {
        return hf_fail(op, HF_EXISTS, "there is a store in this database already");
    }
    if (!settings->arriving) {
        HF_TRY(hf_pg_check_moved(link, op, limit, HF_EXISTS));
    }
    HF_TRY(hf_pg_run(link, op, limit, hf_pg_sql_begin, NULL, NULL));
    HF_TRY(make_tables(link, op, limit, settings));
    return hf_pg_commit(engine, link, op, limit);
}

/* Two who make the same table at once: the second is refused by the server. */
static bool was_first(const struct hf_pg_link *link)
{
    return link->failure == HF_PG_REFUSED &&
           (strcmp(link->sqlstate, "42P07") == 0 || strcmp(link->sqlstate, "42P06") == 0 ||
            strcmp(link->sqlstate, "42710") == 0 || strcmp(link->sqlstate, "23505") == 0);
}

struct hf_status hf_pg_connect_primary(struct hf_pg_engine *engine, struct hf_op *op,
                                       const struct hf_pg_limit *limit, struct hf_pg_link *out)
{
    size_t host = 0;

    HF_TRY(hf_pg_primary(engine, op, &host));
    HF_TRY(hf_pg_connect(engine, op, limit, host, 0, 0, out));
    return hf_pg_check_link(op, out);
}

struct hf_status hf_pg_create(struct hf_pg_engine *engine, struct hf_op *op,
                              const struct hf_store_settings *settings)
{
    struct hf_pg_limit limit = hf_pg_limit_of(engine, op);
    struct hf_pg_link link = { 0 };
    struct hf_status status;

    /* A large import takes its time, as long as the server goes on answering. */
    if (settings->snapshot != NULL) {
        limit.quiet_ms = HF_PG_PATIENCE_MS;
        limit.until_ms = 0;
    }
    status = hf_pg_connect_primary(engine, op, &limit, &link);

    if (status.code == HF_OK) {
        status = create(engine, &link, op, &limit, settings);
    }
    if (status.code != HF_OK && was_first(&link)) {
        status = hf_fail(op, HF_EXISTS, "somebody else is making a store in this database");
    }
    hf_pg_disconnect(&link);
    return status;
}

static struct hf_status migrate(const struct hf_pg_engine *engine, struct hf_pg_link *link,
                                struct hf_op *op, const struct hf_pg_limit *limit)
{
    struct version version = { 0 };

    HF_TRY(hf_pg_run(link, op, limit, hf_pg_sql_begin, NULL, NULL));
    HF_TRY(read_version(link, op, limit, hf_pg_sql_lock_schema, &version));
    HF_TRY(check_version(op, &version));
    for (uint64_t from = version.version; from < hf_pg_migration_count; from++) {
        HF_TRY(migrate_one(link, op, limit, from));
    }
    return hf_pg_commit(engine, link, op, limit);
}

static struct hf_status bring_up_to_date(struct hf_pg_engine *engine, struct hf_op *op,
                                         const struct hf_pg_limit *limit, uint64_t from)
{
    struct hf_pg_link link = { 0 };
    struct hf_status status = hf_pg_connect_primary(engine, op, limit, &link);

    if (status.code == HF_OK) {
        status = migrate(engine, &link, op, limit);
    }
    hf_pg_disconnect(&link);
    if (status.code == HF_OK) {
        HF_INFO(engine->env, "the tables of the store were brought from format %" PRIu64 " to %zu",
                from, hf_pg_migration_count);
    }
    return status;
}

static struct hf_status read_store_id(struct hf_pg_link *link, struct hf_op *op,
                                      const struct hf_pg_limit *limit, uint8_t *out)
{
    PGresult *result = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_run(link, op, limit, hf_pg_sql_store_id, NULL, &result));
    status = PQntuples(result) == 1
                 ? hf_pg_exact(op, result, 0, 0, out, HF_STORE_ID_LEN)
                 : hf_fail(op, HF_CORRUPT, "the database has our tables but no state");
    PQclear(result);
    return status;
}

static struct hf_status check(struct hf_pg_engine *engine, struct hf_op *op,
                              const struct hf_pg_limit *limit, struct hf_pg_link *link)
{
    struct version version = { 0 };
    uint64_t count = 0;
    size_t host = 0;

    if (!hf_pg_reader_host(engine, 0, true, &host)) {
        return hf_pg_primary(engine, op, &host);
    }
    HF_TRY(hf_pg_connect(engine, op, limit, host, 0, 0, link));
    HF_TRY(hf_pg_look(link, op, limit, &count));
    if (count == 0) {
        HF_TRY(hf_pg_check_moved(link, op, limit, HF_CONFLICT));
        return hf_fail(op, HF_NOT_FOUND, "there is no store in this database; make one first");
    }
    HF_TRY(read_version(link, op, limit, hf_pg_sql_read_schema, &version));
    HF_TRY(check_version(op, &version));
    if (version.version < hf_pg_migration_count) {
        HF_TRY(bring_up_to_date(engine, op, limit, version.version));
    }
    return read_store_id(link, op, limit, engine->store_id);
}

struct hf_status hf_pg_check_schema(struct hf_pg_engine *engine, struct hf_op *op)
{
    struct hf_pg_limit limit = hf_pg_limit_of(engine, op);
    struct hf_pg_link link = { 0 };
    struct hf_status status = check(engine, op, &limit, &link);

    hf_pg_disconnect(&link);
    return status;
}
