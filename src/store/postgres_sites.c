/*
 * Giving the writes to another site: where its standby stands, and promoting it. The hosts are
 * watched as an engine watches them, but nothing else of an engine is needed: it may be that none
 * can be opened.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/postgres_engine.h"

/* How long a standby may take to put in force what it has received. */
#define REPLAY_MS 3000
/* The server itself gives up after 30 s. */
#define PROMOTE_MS 35000
/* Patroni looks at its configuration every loop_wait, and a promotion follows. */
#define AWAIT_MS 90000
#define LOOK_MS  100

struct hf_status hf_sites_open(struct hf_op *op, const struct hf_store_settings *settings,
                               struct hf_sites **out)
{
    struct hf_pg_engine *engine = NULL;

    if (settings->hosts == NULL || settings->hosts[0] == NULL) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "this store has no database hosts, so there is no site to promote");
    }
    HF_TRY(hf_pg_watch(op, settings, &engine));
    *out = hf_alloc(sizeof **out);
    (*out)->engine = engine;
    return HF_SUCCESS;
}

void hf_sites_free(struct hf_sites *sites)
{
    if (sites != NULL) {
        hf_pg_close(sites->engine);
        free(sites);
    }
}

void hf_sites_each(struct hf_sites *sites, hf_host_visitor visit, void *context)
{
    hf_pg_hosts(&sites->engine->base, visit, context);
}

/* --- choosing --- */

struct choice {
    const char *site;
    bool named;   /* a host stands there, */
    bool primary; /* the primary does, */
    bool found;   /* a standby that answers does: */
    size_t host;  /* the one that is furthest, */
    struct hf_pg_role role;
    size_t longest; /* and the one that has received most */
    struct hf_pg_role longest_role;
};

static bool is_in(const struct hf_pg_host *host, const char *site)
{
    return host->site != NULL && strcmp(host->site, site) == 0;
}

static void consider(const struct hf_pg_engine *engine, size_t at, struct choice *choice)
{
    const struct hf_pg_host *host = &engine->hosts[at];
    bool is_standby = host->answers && !host->quarantined && !host->role.primary;

    if (!is_in(host, choice->site)) {
        return;
    }
    choice->named = true;
    choice->primary = choice->primary || engine->view.primary == (int)at;
    if (!is_standby) {
        return;
    }
    if (!choice->found || hf_pg_is_further(&host->role, &choice->role)) {
        choice->host = at;
        choice->role = host->role;
    }
    if (!choice->found || host->role.received > choice->longest_role.received) {
        choice->longest = at;
        choice->longest_role = host->role;
    }
    choice->found = true;
}

static struct choice choose(struct hf_pg_engine *engine, const char *site)
{
    struct choice choice = { .site = site };

    pthread_mutex_lock(&engine->view.lock);
    for (size_t i = 0; i < engine->host_count; i++) {
        consider(engine, i, &choice);
    }
    pthread_mutex_unlock(&engine->view.lock);
    return choice;
}

/* What was received counts once it is in force; a standby that is not held back is there at once.
 */
static struct choice await_replay(struct hf_pg_engine *engine, const char *site)
{
    uint64_t until_ms = hf_pg_now_ms() + REPLAY_MS;
    struct choice choice = choose(engine, site);

    while (choice.found && choice.role.replayed < choice.role.received &&
           hf_pg_now_ms() < until_ms) {
        hf_pg_watcher_wake(engine);
        hf_pg_await_news(engine, LOOK_MS);
        choice = choose(engine, site);
    }
    return choice;
}

/* --- where it stands --- */

static struct hf_status take_stand(struct hf_op *op, const PGresult *row, struct hf_site_stand *out)
{
    if (PQntuples(row) != 1) {
        return hf_fail(op, HF_NOT_FOUND, "there is no store in the database of %s", out->name);
    }
    if (PQgetlength(row, 0, 3) != HF_STORE_ID_LEN) {
        return hf_fail(op, HF_CORRUPT, "the store in the database of %s has no id", out->name);
    }
    out->seq = hf_pg_u64(row, 0, 0);
    out->confirmed_seq = hf_pg_u64(row, 0, 1);
    out->committed_ms = hf_pg_u64(row, 0, 2);
    memcpy(out->store_id, PQgetvalue(row, 0, 3), HF_STORE_ID_LEN);
    out->shared_seq = hf_pg_u64(row, 0, 4);
    out->has_shared = PQgetlength(row, 0, 5) == HF_REQUEST_ID_LEN;
    if (out->has_shared) {
        memcpy(out->shared_id.bytes, PQgetvalue(row, 0, 5), HF_REQUEST_ID_LEN);
    }
    return HF_SUCCESS;
}

static struct hf_status read_stand(struct hf_pg_link *link, struct hf_op *op,
                                   const struct hf_pg_limit *limit, uint64_t copy_seq,
                                   struct hf_site_stand *out)
{
    struct hf_pg_params params = { 0 };
    PGresult *row = NULL;
    struct hf_status status;

    hf_pg_param_u64(&params, copy_seq);
    HF_TRY(hf_pg_run(link, op, limit, hf_pg_sql_stand, &params, &row));
    status = take_stand(op, row, out);
    PQclear(row);
    return status;
}

static struct hf_status ask_stand(struct hf_pg_engine *engine, struct hf_op *op, uint64_t copy_seq,
                                  struct hf_site_stand *out)
{
    struct hf_pg_limit limit = hf_pg_limit_of(engine, op);
    struct hf_pg_link link = { 0 };
    struct hf_status status;

    limit.until_ms = hf_pg_now_ms() + HF_PG_CONNECT_MS + HF_PG_READ_MS;
    status = hf_pg_connect(engine, op, &limit, out->host, 0, 0, &link);
    if (status.code == HF_OK) {
        out->timeline = link.role.timeline;
        status = read_stand(&link, op, &limit, copy_seq, out);
    }
    hf_pg_disconnect(&link);
    return status;
}

/*
 * One that was promoted by hand and is a standby again may lack what another has and was confirmed.
 * While the primary answers, whose timeline was left is known, and that one is not considered.
 */
static struct hf_status check_agree(struct hf_op *op, const struct hf_pg_engine *engine,
                                    const struct choice *choice)
{
    const struct hf_pg_role *role = &choice->role;
    const struct hf_pg_role *other = &choice->longest_role;

    if (other->received <= role->received) {
        return HF_SUCCESS;
    }
    return hf_fail(op, HF_WRONG_STATE,
                   "%.50s is on timeline %" PRIu64 " with its log up to %" PRIX64 "/%" PRIX64
                   ", and %.50s on timeline %" PRIu64 " with more, up to %" PRIX64 "/%" PRIX64
                   "; which of them has all that was confirmed is not certain: stop the one that "
                   "is not to take over, and repeat this",
                   engine->hosts[choice->host].name, role->timeline, role->received >> 32,
                   role->received & UINT32_MAX, engine->hosts[choice->longest].name,
                   other->timeline, other->received >> 32, other->received & UINT32_MAX);
}

static struct hf_status check_choice(struct hf_op *op, const struct hf_pg_engine *engine,
                                     const struct choice *choice)
{
    if (!choice->named) {
        return hf_fail(op, HF_NOT_FOUND,
                       "no database host of holdfast.conf is in site %.64s; say so there: "
                       "\"db1:5432 site=%.64s\"",
                       choice->site, choice->site);
    }
    if (choice->primary) {
        return hf_fail(op, HF_WRONG_STATE, "the primary is in site %.64s already", choice->site);
    }
    if (!choice->found) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "no standby of site %.64s answers; start one, or take the store from a "
                       "backup",
                       choice->site);
    }
    return check_agree(op, engine, choice);
}

struct hf_status hf_sites_stand(struct hf_sites *sites, struct hf_op *op, const char *site,
                                uint64_t copy_seq, struct hf_site_stand *out)
{
    struct choice choice = await_replay(sites->engine, site);
    const struct hf_pg_host *host;
    struct hf_site_stand stand = { .host = choice.host };

    HF_TRY(check_choice(op, sites->engine, &choice));
    host = &sites->engine->hosts[choice.host];
    (void)snprintf(stand.name, sizeof stand.name, "%s", host->name);
    stand.waiting_bytes = choice.role.received - choice.role.replayed;
    stand.patroni = host->patroni;
    stand.ca = hf_pg_setting(host, "sslrootcert");
    stand.certificate = hf_pg_setting(host, "sslcert");
    stand.key = hf_pg_setting(host, "sslkey");
    HF_TRY(ask_stand(sites->engine, op, copy_seq, &stand));
    *out = stand;
    return HF_SUCCESS;
}

/* --- promoting --- */

static struct hf_status check_promoted(struct hf_op *op, const PGresult *row, const char *name)
{
    bool is_promoted =
        PQntuples(row) == 1 && PQgetlength(row, 0, 0) == 1 && PQgetvalue(row, 0, 0)[0] == 1;

    return is_promoted ? HF_SUCCESS
                       : hf_fail(op, HF_IN_DOUBT,
                                 "%s was told to take over and has not within 30 s; look at its "
                                 "log, and at 'holdfast status'",
                                 name);
}

static struct hf_status promote(struct hf_pg_engine *engine, struct hf_op *op,
                                const struct hf_pg_limit *limit, const struct hf_site_stand *stand,
                                struct hf_pg_link *link)
{
    PGresult *row = NULL;
    struct hf_status status;

    HF_TRY(hf_pg_connect(engine, op, limit, stand->host, 0, 0, link));
    status = hf_pg_run(link, op, limit, hf_pg_sql_promote, NULL, &row);
    if (status.code != HF_OK && strcmp(link->sqlstate, "42501") == 0) {
        return hf_fail(op, HF_DENIED,
                       "our role may not promote %s; on the primary, or there as superuser: GRANT "
                       "EXECUTE ON FUNCTION pg_promote TO our role",
                       stand->name);
    }
    if (status.code != HF_OK && link->failure != HF_PG_REFUSED) {
        HF_AUTO_STRING reason = hf_strdup(op->text);

        return hf_fail(op, HF_IN_DOUBT, "whether %s takes over is not known: %.200s", stand->name,
                       reason);
    }
    HF_TRY(status);
    status = check_promoted(op, row, stand->name);
    PQclear(row);
    return status;
}

struct hf_status hf_sites_promote(struct hf_sites *sites, struct hf_op *op,
                                  const struct hf_site_stand *stand)
{
    struct hf_pg_limit limit = { .until_ms = hf_pg_now_ms() + PROMOTE_MS,
                                 .stop = &sites->engine->stop };
    struct hf_pg_link link = { 0 };
    struct hf_status status = promote(sites->engine, op, &limit, stand, &link);

    hf_pg_disconnect(&link);
    return status;
}

struct hf_status hf_sites_await(struct hf_sites *sites, struct hf_op *op, const char *site,
                                uint64_t *out_timeline)
{
    struct hf_pg_engine *engine = sites->engine;
    uint64_t until_ms = hf_pg_now_ms() + AWAIT_MS;
    struct choice choice = choose(engine, site);

    while (!choice.primary) {
        HF_TRY(hf_op_check_deadline(op));
        if (hf_pg_now_ms() >= until_ms) {
            return hf_fail(op, HF_IN_DOUBT,
                           "site %.64s was told to take over, and none of its hosts is the primary "
                           "yet; 'holdfast status' shows when one is",
                           site);
        }
        hf_pg_watcher_wake(engine);
        hf_pg_await_news(engine, LOOK_MS);
        choice = choose(engine, site);
    }
    pthread_mutex_lock(&engine->view.lock);
    *out_timeline = engine->view.timeline;
    pthread_mutex_unlock(&engine->view.lock);
    return HF_SUCCESS;
}

/* --- another history --- */

struct hf_status hf_pg_accept(struct hf_engine *base, struct hf_op *op)
{
    struct hf_pg_engine *engine = hf_pg_of(base);

    (void)op;
    HF_WARNING(engine->env, "the store is taken as it stands: what was confirmed before counts no "
                            "more");
    atomic_store(&engine->confirmed, 0);
    return HF_SUCCESS;
}
