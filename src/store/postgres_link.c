/*
 * Connections of the PostgreSQL engine: connecting, exchanging statements for results, and giving
 * up in time. Nothing here waits without a limit of ours, and nothing sends a cancel: one that
 * meets a commit would end its wait for the standby, and the server would call that a success.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/postgres_engine.h"

/* How long a wait lasts at most before limits that nobody wakes us for are asked again. */
#define LOOK_AGAIN_MS 50
/* The types of everything of ours, as PostgreSQL numbers them (pg_type.dat). */
#define TYPE_BIGINT 20
#define TYPE_BYTEA  17

uint64_t hf_pg_now_ms(void)
{
    struct timespec now;

    hf_assert(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct hf_status out_of_time(struct hf_op *op)
{
    return hf_fail(op, HF_UNAVAILABLE, "the database did not answer in time");
}

struct hf_status hf_pg_limit_check(const struct hf_pg_limit *limit, struct hf_op *op)
{
    if (limit->stop != NULL && atomic_load(limit->stop)) {
        return hf_fail(op, HF_UNAVAILABLE, "the store is being closed");
    }
    if (limit->until_ms != 0 && hf_pg_now_ms() >= limit->until_ms) {
        return out_of_time(op);
    }
    if (limit->go_on != NULL && !limit->go_on(limit->context)) {
        return out_of_time(op);
    }
    return limit->op != NULL ? hf_op_check_deadline(limit->op) : HF_SUCCESS;
}

/* How long to sleep before the limit is asked again. */
static int slice_ms(const struct hf_pg_limit *limit)
{
    uint64_t slice = LOOK_AGAIN_MS;
    uint64_t now_ms = hf_pg_now_ms();

    if (limit->until_ms != 0 && limit->until_ms < now_ms + slice) {
        slice = limit->until_ms > now_ms ? limit->until_ms - now_ms : 0;
    }
    if (limit->op != NULL && limit->op->deadline_ms != 0) {
        uint64_t clock_ms = hf_env_boottime_ms(limit->op->env);
        uint64_t left = limit->op->deadline_ms > clock_ms ? limit->op->deadline_ms - clock_ms : 0;

        slice = left < slice ? left : slice;
    }
    return (int)slice;
}

static struct hf_status lost(struct hf_pg_link *link, struct hf_op *op)
{
    char text[160];

    (void)snprintf(text, sizeof text, "%s", PQerrorMessage(link->db));
    text[strcspn(text, "\n")] = '\0';
    hf_pg_disconnect(link);
    link->failure = HF_PG_LOST;
    return hf_fail(op, HF_UNAVAILABLE, "the connection to the database broke: %s", text);
}

/* The limit is over: the socket is closed, whatever the server may still be doing. */
static struct hf_status late(struct hf_pg_link *link, struct hf_status status)
{
    hf_pg_disconnect(link);
    link->failure = HF_PG_LATE;
    return status;
}

/* Waits until the socket is ready for one of events, or the limit is over. */
static struct hf_status await_socket(struct hf_pg_link *link, struct hf_op *op,
                                     const struct hf_pg_limit *limit, short events)
{
    uint64_t began_ms = hf_pg_now_ms();

    for (;;) {
        struct pollfd ready = { .fd = PQsocket(link->db), .events = events };
        struct hf_status status;

        if (poll(&ready, 1, slice_ms(limit)) > 0) {
            return HF_SUCCESS;
        }
        status = hf_pg_limit_check(limit, op);
        if (status.code == HF_OK && limit->quiet_ms != 0 &&
            hf_pg_now_ms() - began_ms >= limit->quiet_ms) {
            status = out_of_time(op);
        }
        if (status.code != HF_OK) {
            return late(link, status);
        }
    }
}

/* Sends what waits to be sent and takes what has come; at least one of the two moves on. */
static struct hf_status move_bytes(struct hf_pg_link *link, struct hf_op *op,
                                   const struct hf_pg_limit *limit)
{
    int unsent = PQflush(link->db);

    if (unsent < 0) {
        return lost(link, op);
    }
    HF_TRY(await_socket(link, op, limit, (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN)));
    return PQconsumeInput(link->db) == 1 ? HF_SUCCESS : lost(link, op);
}

static void take_notice(void *context, const PGresult *notice)
{
    struct hf_pg_link *link = context;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

    if (severity != NULL && strcmp(severity, "WARNING") == 0) {
        link->warned = true;
        (void)snprintf(link->warning, sizeof link->warning, "%s", text != NULL ? text : "");
    }
}

static void ignore_notice(void *context, const PGresult *notice)
{
    (void)context;
    (void)notice;
}

PGconn *hf_pg_start_connect(const struct hf_pg_host *host)
{
    PGconn *db = PQconnectStartParams(host->keywords, host->values, 0);

    /* Without a receiver libpq would write notices to standard error. */
    if (db != NULL) {
        (void)PQsetNoticeReceiver(db, ignore_notice, NULL);
    }
    return db;
}

static struct hf_status drive_connect(struct hf_pg_link *link, struct hf_op *op,
                                      const struct hf_pg_limit *limit)
{
    PostgresPollingStatusType polling = PGRES_POLLING_WRITING;

    if (link->db == NULL || PQstatus(link->db) == CONNECTION_BAD) {
        return lost(link, op);
    }
    while (polling != PGRES_POLLING_OK) {
        short events = polling == PGRES_POLLING_READING ? POLLIN : POLLOUT;

        HF_TRY(await_socket(link, op, limit, events));
        polling = PQconnectPoll(link->db);
        if (polling == PGRES_POLLING_FAILED) {
            return lost(link, op);
        }
    }
    return HF_SUCCESS;
}

static void note_sent(struct hf_pg_link *link, int sent)
{
    link->unsent = link->unsent || sent != 1;
}

static struct hf_status set_up(struct hf_pg_link *link, struct hf_op *op,
                               const struct hf_pg_limit *limit, const char *session,
                               enum hf_pg_statement from, enum hf_pg_statement to)
{
    PGresult *results[2 + HF_PG_STATEMENTS];
    size_t count = 2;
    struct hf_status status;

    if (PQsetnonblocking(link->db, 1) != 0 || PQenterPipelineMode(link->db) != 1) {
        return lost(link, op);
    }
    (void)PQsetNoticeReceiver(link->db, take_notice, link);
    hf_pg_send_text(link, session, NULL);
    note_sent(link, PQsendQueryParams(link->db, hf_pg_sql_probe, 0, NULL, NULL, NULL, NULL, 0));
    for (size_t i = from; i < to; i++, count++) {
        hf_pg_send_prepare(link, (enum hf_pg_statement)i);
    }
    HF_TRY(hf_pg_exchange(link, op, limit, results, count));
    status = hf_pg_role_read(op, results[1], &link->role);
    hf_pg_clear(results, count);
    return status;
}

struct hf_status hf_pg_connect(struct hf_pg_engine *engine, struct hf_op *op,
                               const struct hf_pg_limit *limit, size_t host,
                               enum hf_pg_statement from, enum hf_pg_statement to,
                               struct hf_pg_link *out)
{
    const char *session =
        atomic_load(&engine->arriving) ? hf_pg_sql_session_arriving : hf_pg_sql_session;
    struct hf_pg_limit own = *limit;
    uint64_t until_ms = hf_pg_now_ms() + HF_PG_CONNECT_MS;
    struct hf_status status;

    if (own.until_ms == 0 || own.until_ms > until_ms) {
        own.until_ms = until_ms;
    }
    hf_pg_disconnect(out);
    *out = (struct hf_pg_link){ .host = host };
    out->db = hf_pg_start_connect(&engine->hosts[host]);
    status = drive_connect(out, op, &own);
    if (status.code == HF_OK) {
        status = set_up(out, op, &own, session, from, to);
    }
    if (status.code != HF_OK) {
        hf_pg_disconnect(out);
    }
    return status;
}

void hf_pg_disconnect(struct hf_pg_link *link)
{
    PQfinish(link->db);
    link->db = NULL;
    link->unsent = false;
    link->mixed = false;
}

void hf_pg_param_u64(struct hf_pg_params *params, uint64_t value)
{
    int at = params->count++;

    hf_assert(value <= INT64_MAX && at < (int)HF_COUNT(params->values));
    for (int i = 0; i < 8; i++) {
        params->numbers[at][i] = (uint8_t)(value >> (56 - 8 * i));
    }
    params->values[at] = (const char *)params->numbers[at];
    params->lengths[at] = 8;
    params->formats[at] = 1;
}

void hf_pg_param_bytes(struct hf_pg_params *params, struct hf_bytes bytes)
{
    int at = params->count++;

    hf_assert(bytes.len <= INT32_MAX && at < (int)HF_COUNT(params->values));
    /* A NULL pointer would mean NULL, which is not an empty value. */
    params->values[at] = bytes.len > 0 ? (const char *)bytes.data : "";
    params->lengths[at] = (int)bytes.len;
    params->formats[at] = 1;
}

static const struct hf_pg_params no_params;

void hf_pg_send(struct hf_pg_link *link, enum hf_pg_statement statement,
                const struct hf_pg_params *params)
{
    params = params != NULL ? params : &no_params;
    if (!link->unsent) {
        note_sent(link, PQsendQueryPrepared(link->db, hf_pg_sql[statement].name, params->count,
                                            params->values, params->lengths, params->formats, 1));
    }
}

void hf_pg_send_text(struct hf_pg_link *link, const char *sql, const struct hf_pg_params *params)
{
    params = params != NULL ? params : &no_params;
    link->mixed = true;
    if (!link->unsent) {
        note_sent(link, PQsendQueryParams(link->db, sql, params->count, NULL, params->values,
                                          params->lengths, params->formats, 1));
    }
}

void hf_pg_send_prepare(struct hf_pg_link *link, enum hf_pg_statement statement)
{
    if (!link->unsent) {
        note_sent(link, PQsendPrepare(link->db, hf_pg_sql[statement].name,
                                      hf_pg_sql[statement].text, 0, NULL));
    }
}

void hf_pg_clear(PGresult **results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PQclear(results[i]);
        results[i] = NULL;
    }
}

/* The connection ends; a result may say why. */
static struct hf_status lost_with(struct hf_pg_link *link, struct hf_op *op, PGresult *result)
{
    const char *sqlstate = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

    (void)snprintf(link->sqlstate, sizeof link->sqlstate, "%s",
                   sqlstate != NULL ? sqlstate : "08006");
    PQclear(result);
    return lost(link, op);
}

/* The next result that is one; NULL only when a statement was never sent. */
static struct hf_status take_result(struct hf_pg_link *link, struct hf_op *op,
                                    const struct hf_pg_limit *limit, PGresult **out)
{
    PGresult *result = NULL;

    /* One NULL ends the results of the statement before. */
    for (int tries = 0; tries < 3 && result == NULL; tries++) {
        while (PQisBusy(link->db) == 1) {
            HF_TRY(move_bytes(link, op, limit));
        }
        result = PQgetResult(link->db);
    }
    if (result == NULL || PQstatus(link->db) == CONNECTION_BAD) {
        return lost_with(link, op, result);
    }
    *out = result;
    return HF_SUCCESS;
}

static void refuse(struct hf_pg_link *link, struct hf_op *op, const char *sqlstate,
                   const char *text, size_t at, struct hf_status *status)
{
    /* The statements after the first that failed were not run. */
    if (link->failure == HF_PG_REFUSED) {
        return;
    }
    link->failure = HF_PG_REFUSED;
    link->failed_at = at;
    (void)snprintf(link->sqlstate, sizeof link->sqlstate, "%s", sqlstate);
    *status = hf_pg_fail(op, link->sqlstate, text != NULL ? text : "no reason");
}

static bool is_good(const PGresult *result)
{
    ExecStatusType kind = PQresultStatus(result);

    return kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK;
}

/* An error that has no code is libpq's own: it could not take what the server sent. */
static bool is_torn(const struct hf_pg_link *link, const PGresult *result)
{
    return link->failure != HF_PG_REFUSED && !is_good(result) &&
           PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL;
}

/* Whoever may alter our tables must not make us read something else out of them. */
static void check_types(struct hf_pg_link *link, struct hf_op *op, const PGresult *result,
                        size_t at, struct hf_status *status)
{
    for (int i = 0; i < PQnfields(result) && !link->mixed; i++) {
        if (PQftype(result, i) != TYPE_BIGINT && PQftype(result, i) != TYPE_BYTEA) {
            HF_AUTO_STRING text =
                hf_format("the column %.60s is neither BIGINT nor BYTEA", PQfname(result, i));

            refuse(link, op, "XX000", text, at, status);
        }
    }
}

/* All results up to the end of the pipeline; those of statements that worked are kept. */
static struct hf_status take_results(struct hf_pg_link *link, struct hf_op *op,
                                     const struct hf_pg_limit *limit, PGresult **results,
                                     size_t count)
{
    struct hf_status outcome = HF_SUCCESS;

    for (size_t at = 0;;) {
        PGresult *result = NULL;

        HF_TRY(take_result(link, op, limit, &result));
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            /* Fewer than were sent: libpq could not take one for want of memory. */
            return outcome.code != HF_OK || at == count ? outcome : lost(link, op);
        }
        /* One more than was asked for: a server that ends says so between the answers and the sync.
         */
        if (at == count || is_torn(link, result)) {
            return lost_with(link, op, result);
        }
        if (is_good(result)) {
            check_types(link, op, result, at, &outcome);
        } else {
            refuse(link, op, PQresultErrorField(result, PG_DIAG_SQLSTATE),
                   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), at, &outcome);
        }
        results[at++] = result;
    }
}

struct hf_status hf_pg_exchange(struct hf_pg_link *link, struct hf_op *op,
                                const struct hf_pg_limit *limit, PGresult **results, size_t count)
{
    struct hf_status status;

    memset(results, 0, count * sizeof(PGresult *));
    link->failure = HF_PG_FINE;
    link->sqlstate[0] = '\0';
    if (link->db == NULL || link->unsent || PQpipelineSync(link->db) != 1) {
        return lost(link, op);
    }
    status = take_results(link, op, limit, results, count);
    link->mixed = false;
    if (status.code != HF_OK) {
        hf_pg_clear(results, count);
    }
    if (link->failure == HF_PG_REFUSED && hf_pg_class_of(link->sqlstate) == HF_PG_CLASS_LOST) {
        hf_pg_disconnect(link);
        link->failure = HF_PG_LOST;
    }
    return status;
}

struct hf_status hf_pg_ask(struct hf_pg_link *link, struct hf_op *op,
                           const struct hf_pg_limit *limit, enum hf_pg_statement statement,
                           const struct hf_pg_params *params, PGresult **out)
{
    hf_pg_send(link, statement, params);
    return hf_pg_exchange(link, op, limit, out, 1);
}

void hf_pg_roll_back(struct hf_pg_link *link, const struct hf_pg_limit *limit)
{
    struct hf_pg_limit own = *limit;
    PGresult *result = NULL;
    struct hf_op op;

    if (link->db == NULL || PQtransactionStatus(link->db) == PQTRANS_IDLE) {
        return;
    }
    own.until_ms = hf_pg_now_ms() + HF_PG_READ_MS;
    hf_op_init(&op, NULL);
    if (hf_pg_ask(link, &op, &own, HF_PG_ROLLBACK, NULL, &result).code != HF_OK) {
        hf_pg_disconnect(link);
    }
    PQclear(result);
}
