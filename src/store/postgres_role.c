/*
 * What each database host is, and which of them counts: the primary with the highest timeline. A
 * host on a lower one is the past, whatever it says of itself, and is not even read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/postgres_engine.h"

/* Digits of the timeline at the start of the name of a log file. */
#define TIMELINE_DIGITS 8
/* After a failover the new primary is without its standbys for a while: so long writes wait. */
#define LENIENT_MS 10000
/* Between two marks of where the primary stands; less than the watcher's time between two looks. */
#define MARK_MS 900
/* More than any host is worth for where it stands. */
#define WORTH_MOST 5

static const char *skip_spaces(const char *at)
{
    return at + strspn(at, " \t\n");
}

/* "ANY 2 (a, b, c)", "FIRST 1 (a)", "2 (a, b)", or a list, which is as FIRST 1 of it. */
unsigned hf_pg_names_demand(const char *names)
{
    const char *at = skip_spaces(names);
    const char *number;
    char *end;
    unsigned long count;

    if (*at == '\0') {
        return 0;
    }
    number = at;
    if (strncasecmp(at, "ANY", 3) == 0 || strncasecmp(at, "FIRST", 5) == 0) {
        number = skip_spaces(at + (at[0] == 'a' || at[0] == 'A' ? 3 : 5));
    }
    if (*number < '0' || *number > '9') {
        return 1;
    }
    count = strtoul(number, &end, 10);
    return *skip_spaces(end) == '(' && count <= INT32_MAX ? (unsigned)count : 1;
}

static const char *text_at(const PGresult *probe, enum hf_pg_probe_column column)
{
    return PQgetvalue(probe, 0, (int)column);
}

static bool is_yes(const PGresult *probe, enum hf_pg_probe_column column)
{
    return strcmp(text_at(probe, column), "t") == 0;
}

static uint64_t timeline_of(const PGresult *probe, bool primary)
{
    char digits[TIMELINE_DIGITS + 1] = "";

    if (!primary) {
        return strtoul(text_at(probe, HF_PG_PROBE_TIMELINE), NULL, 10);
    }
    memcpy(digits, text_at(probe, HF_PG_PROBE_TIMELINE),
           strnlen(text_at(probe, HF_PG_PROBE_TIMELINE), TIMELINE_DIGITS));
    return strtoul(digits, NULL, 16);
}

struct hf_status hf_pg_role_read(struct hf_op *op, const PGresult *probe, struct hf_pg_role *out)
{
    const char *commit;

    if (PQntuples(probe) != 1 || PQnfields(probe) != HF_PG_PROBE_COLUMNS) {
        return hf_fail(op, HF_UNSUPPORTED, "the database does not say what it is");
    }
    commit = text_at(probe, HF_PG_PROBE_COMMIT);
    *out = (struct hf_pg_role){
        .primary = !is_yes(probe, HF_PG_PROBE_RECOVERY),
        .system = strtoull(text_at(probe, HF_PG_PROBE_SYSTEM), NULL, 10),
        .names_demand = hf_pg_names_demand(text_at(probe, HF_PG_PROBE_NAMES)),
        .standbys = (unsigned)strtoul(text_at(probe, HF_PG_PROBE_STANDBYS), NULL, 10),
        .may_see = is_yes(probe, HF_PG_PROBE_MAY_SEE),
        .commits_synchronously = strcmp(commit, "on") == 0 || strcmp(commit, "remote_apply") == 0,
        .syncs_disk = strcmp(text_at(probe, HF_PG_PROBE_FSYNC), "on") == 0,
    };
    out->timeline = timeline_of(probe, out->primary);
    (void)snprintf(out->started, sizeof out->started, "%s", text_at(probe, HF_PG_PROBE_STARTED));
    out->replayed = strtoull(text_at(probe, HF_PG_PROBE_REPLAYED), NULL, 10);
    out->received = strtoull(text_at(probe, HF_PG_PROBE_RECEIVED), NULL, 10);
    /* After a restart of its receiver a standby counts from the begin of a log file again. */
    out->received = out->received > out->replayed ? out->received : out->replayed;
    return HF_SUCCESS;
}

struct hf_status hf_pg_check_names(const struct hf_pg_engine *engine, struct hf_op *op,
                                   const PGresult *row)
{
    HF_AUTO(buf) names = hf_buf_new();
    unsigned demand;

    if (engine->allow_fewer) {
        return HF_SUCCESS;
    }
    hf_buf_add_bytes(names, hf_pg_bytes(row, 0, 0));
    demand = hf_pg_names_demand(hf_buf_text(names));
    if (demand < engine->synchronous) {
        return hf_fail(op, HF_IN_DOUBT,
                       "it waited for %u synchronous standbys, and the settings require %u", demand,
                       engine->synchronous);
    }
    return HF_SUCCESS;
}

struct hf_status hf_pg_check_link(struct hf_op *op, const struct hf_pg_link *link)
{
    if (!link->role.primary) {
        return hf_fail(op, HF_UNAVAILABLE, "the database host is not the primary any more");
    }
    if (!link->role.commits_synchronously) {
        return hf_fail(op, HF_UNAVAILABLE, "synchronous_commit cannot be set to on");
    }
    return HF_SUCCESS;
}

void hf_pg_view_init(struct hf_pg_view *view)
{
    hf_assert(pthread_mutex_init(&view->lock, NULL) == 0);
    hf_wait_init(&view->changed);
    view->primary = -1;
}

void hf_pg_view_done(struct hf_pg_view *view)
{
    hf_assert(pthread_cond_destroy(&view->changed) == 0);
    hf_assert(pthread_mutex_destroy(&view->lock) == 0);
}

/* Called with the lock, as all below: a host that is another cluster, or the past, is no help. */
static const char *fault_of(const struct hf_pg_engine *engine, const struct hf_pg_host *host)
{
    if (host->role.system != engine->view.system) {
        return "it is another database cluster";
    }
    if (host->role.timeline < engine->view.timeline) {
        return "it is on a timeline that another host has left";
    }
    if (host->role.primary && !host->role.commits_synchronously) {
        return "synchronous_commit cannot be set to on";
    }
    return NULL;
}

bool hf_pg_is_further(const struct hf_pg_role *role, const struct hf_pg_role *than)
{
    return role->timeline != than->timeline ? role->timeline > than->timeline
                                            : role->received > than->received;
}

static void raise_timeline(struct hf_pg_engine *engine, const struct hf_pg_role *role)
{
    if (role->primary && role->system == engine->view.system &&
        role->timeline > engine->view.timeline) {
        if (engine->view.timeline != 0) {
            HF_WARNING(engine->env, "the database is on timeline %" PRIu64 " now, after %" PRIu64,
                       role->timeline, engine->view.timeline);
        }
        engine->view.timeline = role->timeline;
    }
}

static void judge_host(struct hf_pg_engine *engine, struct hf_pg_host *host)
{
    const char *fault = fault_of(engine, host);

    if (host->answers && fault != NULL) {
        if (!host->quarantined) {
            HF_ERROR(engine->env, "database host %s is not used: %s", host->name, fault);
        }
        (void)snprintf(host->problem, sizeof host->problem, "%s", fault);
    }
    host->quarantined = host->answers && fault != NULL;
}

/* Two servers that are primary on one timeline contradict each other, and neither is believed. */
static int find_primary(struct hf_pg_engine *engine)
{
    int found = -1;

    for (size_t i = 0; i < engine->host_count; i++) {
        struct hf_pg_host *host = &engine->hosts[i];

        if (!host->answers || host->quarantined || !host->role.primary) {
            continue;
        }
        if (found >= 0 && strcmp(engine->hosts[found].role.started, host->role.started) != 0) {
            (void)snprintf(engine->view.why, sizeof engine->view.why,
                           "%.80s and %.80s both say that they are the primary; stop one of them",
                           engine->hosts[found].name, host->name);
            return -1;
        }
        found = found >= 0 ? found : (int)i;
    }
    return found;
}

static void explain_no_primary(struct hf_pg_engine *engine)
{
    char *why = engine->view.why;
    size_t room = sizeof engine->view.why;

    (void)snprintf(why, room, "no database host is the primary:");
    for (size_t i = 0; i < engine->host_count; i++) {
        const struct hf_pg_host *host = &engine->hosts[i];
        const char *is = host->answers && !host->quarantined ? "a standby" : host->problem;
        size_t used = strlen(why);

        (void)snprintf(why + used, room - used, "%s %.60s: %.100s", i > 0 ? ";" : "", host->name,
                       host->tried ? is : "not tried yet");
    }
}

/* Is every commit on as many standbys as the settings demand before it is answered? */
static void judge_standbys(struct hf_pg_engine *engine, const struct hf_pg_host *host)
{
    const struct hf_pg_role *role = &host->role;
    unsigned count = role->standbys < role->names_demand ? role->standbys : role->names_demand;
    bool fewer = count < engine->synchronous;

    hf_metric_set(engine->standbys_metric, count);
    if (fewer) {
        (void)snprintf(engine->view.why, sizeof engine->view.why,
                       "%.60s has %u synchronous standbys (%u are demanded by its "
                       "synchronous_standby_names), and the settings require %u%s",
                       host->name, role->standbys, role->names_demand, engine->synchronous,
                       role->may_see ? ""
                                     : "; our role may not see them: grant it pg_read_all_stats");
    }
    if (fewer && !engine->view.fewer) {
        HF_ERROR(engine->env, "%s: writes are %s", engine->view.why,
                 engine->allow_fewer ? "allowed all the same and may be lost with one disk"
                                     : "refused");
        engine->view.lenient_until_ms =
            engine->view.had_enough ? hf_pg_now_ms() + LENIENT_MS : hf_pg_now_ms();
    }
    engine->view.had_enough = engine->view.had_enough || !fewer;
    if (!fewer && engine->view.fewer) {
        HF_INFO(engine->env, "%s has its synchronous standbys again", host->name);
    }
    engine->view.fewer = fewer;
}

static void judge(struct hf_pg_engine *engine)
{
    int before = engine->view.primary;

    for (size_t i = 0; i < engine->host_count; i++) {
        if (engine->hosts[i].answers) {
            judge_host(engine, &engine->hosts[i]);
        }
    }
    engine->view.why[0] = '\0';
    engine->view.primary = find_primary(engine);
    if (engine->view.primary >= 0) {
        judge_standbys(engine, &engine->hosts[engine->view.primary]);
    } else if (engine->view.why[0] == '\0') {
        explain_no_primary(engine);
    }
    if (engine->view.primary >= 0 && engine->view.primary != before) {
        HF_INFO(engine->env, "database host %s is the primary",
                engine->hosts[engine->view.primary].name);
    }
}

/* With marks a second apart, a standby that follows at all is past the older one. */
static void note_position(struct hf_pg_engine *engine, struct hf_pg_host *host)
{
    struct hf_pg_view *view = &engine->view;
    uint64_t now_ms = hf_pg_now_ms();

    if (!host->role.primary) {
        host->lags = host->role.replayed < view->mark.position;
        return;
    }
    host->lags = false;
    if (!host->quarantined && now_ms - view->next_mark.at_ms >= MARK_MS) {
        view->mark = view->next_mark;
        view->next_mark.position = host->role.replayed;
        view->next_mark.at_ms = now_ms;
    }
}

/* What those who wait for news do something about; the rest wakes nobody. */
struct news {
    int primary;
    uint64_t timeline;
    bool fewer, tried, answers, quarantined, lags;
    char started[sizeof(((struct hf_pg_role *)NULL)->started)];
};

static struct news news_of(const struct hf_pg_engine *engine, const struct hf_pg_host *host)
{
    struct news news = { .primary = engine->view.primary,
                         .timeline = engine->view.timeline,
                         .fewer = engine->view.fewer,
                         .tried = host->tried,
                         .answers = host->answers,
                         .quarantined = host->quarantined,
                         .lags = host->lags };

    memcpy(news.started, host->role.started, sizeof news.started);
    return news;
}

static bool is_news(const struct news *before, const struct hf_pg_engine *engine,
                    const struct hf_pg_host *host)
{
    struct news now = news_of(engine, host);

    return before->primary != now.primary || before->timeline != now.timeline ||
           before->fewer != now.fewer || before->tried != now.tried ||
           before->answers != now.answers || before->quarantined != now.quarantined ||
           before->lags != now.lags || strcmp(before->started, now.started) != 0;
}

void hf_pg_publish(struct hf_pg_engine *engine, size_t host, const struct hf_pg_role *role,
                   const char *problem)
{
    struct hf_pg_host *about = &engine->hosts[host];
    struct news before;

    pthread_mutex_lock(&engine->view.lock);
    before = news_of(engine, about);
    about->tried = true;
    about->answers = role != NULL;
    if (role != NULL) {
        if (!role->syncs_disk && role->primary && !about->role.primary) {
            HF_ERROR(engine->env,
                     "database host %s runs with fsync off: a power failure loses commits",
                     about->name);
        }
        about->role = *role;
        engine->view.system = engine->view.system != 0 ? engine->view.system : role->system;
        raise_timeline(engine, role);
    } else {
        about->quarantined = false;
        hf_pg_reasons(problem, about->problem, sizeof about->problem);
    }
    judge(engine);
    if (role != NULL) {
        note_position(engine, about);
    }
    if (is_news(&before, engine, about)) {
        pthread_cond_broadcast(&engine->view.changed);
    }
    pthread_mutex_unlock(&engine->view.lock);
}

bool hf_pg_is_current(struct hf_pg_engine *engine, const struct hf_pg_link *link)
{
    const struct hf_pg_host *host = &engine->hosts[link->host];
    bool current;

    pthread_mutex_lock(&engine->view.lock);
    current = !host->quarantined && link->role.timeline >= engine->view.timeline &&
              (!host->answers || strcmp(host->role.started, link->role.started) == 0);
    if (link->role.primary) {
        current = current && (engine->view.primary < 0 || engine->view.primary == (int)link->host);
    }
    pthread_mutex_unlock(&engine->view.lock);
    return current;
}

struct hf_status hf_pg_primary(struct hf_pg_engine *engine, struct hf_op *op, size_t *out_host)
{
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&engine->view.lock);
    if (engine->view.primary < 0 || (engine->view.fewer && !engine->allow_fewer)) {
        status = hf_fail(op, HF_UNAVAILABLE, "%s", engine->view.why);
    } else {
        *out_host = (size_t)engine->view.primary;
    }
    pthread_mutex_unlock(&engine->view.lock);
    return status;
}

bool hf_pg_policy_refuses(struct hf_pg_engine *engine)
{
    bool refuses;

    pthread_mutex_lock(&engine->view.lock);
    refuses = engine->view.primary >= 0 && engine->view.fewer && !engine->allow_fewer &&
              hf_pg_now_ms() >= engine->view.lenient_until_ms;
    pthread_mutex_unlock(&engine->view.lock);
    return refuses;
}

/*
 * How good a host is to read from; 0: not at all. Near ones come first, unless they lag: then
 * another is quicker than waiting. A host that says primary and is not ours is one of two: neither
 * is believed.
 */
static unsigned worth(const struct hf_pg_engine *engine, size_t at, bool newest)
{
    const struct hf_pg_host *host = &engine->hosts[at];
    bool primary = engine->view.primary == (int)at;

    if (!host->answers || host->quarantined || (host->role.primary && !primary)) {
        return 0;
    }
    if (newest && primary) {
        return WORTH_MOST;
    }
    return 1U + (primary ? 1U : 0U) + (host->is_near && !host->lags ? 2U : 0U);
}

bool hf_pg_reader_host(struct hf_pg_engine *engine, uint32_t without, bool newest, size_t *out_host)
{
    unsigned best = 0;

    pthread_mutex_lock(&engine->view.lock);
    for (size_t i = 0; i < engine->host_count; i++) {
        unsigned is_worth = (without & 1U << i) == 0 ? worth(engine, i, newest) : 0;

        if (is_worth > best) {
            *out_host = i;
            best = is_worth;
        }
    }
    pthread_mutex_unlock(&engine->view.lock);
    return best > 0;
}

void hf_pg_await_news(struct hf_pg_engine *engine, uint64_t ms)
{
    pthread_mutex_lock(&engine->view.lock);
    hf_wait_ms(&engine->view.changed, &engine->view.lock, ms);
    pthread_mutex_unlock(&engine->view.lock);
}

bool hf_pg_all_tried(struct hf_pg_engine *engine)
{
    bool all = true;

    pthread_mutex_lock(&engine->view.lock);
    for (size_t i = 0; i < engine->host_count; i++) {
        all = all && engine->hosts[i].tried;
    }
    pthread_mutex_unlock(&engine->view.lock);
    return all;
}

/* One that says that it is the primary and is not believed: there are two, or it is named twice. */
static void explain_left(const struct hf_pg_engine *engine, struct hf_host *out)
{
    const struct hf_pg_view *view = &engine->view;

    if (view->primary < 0) {
        (void)snprintf(out->problem, sizeof out->problem, "%.159s", view->why);
    } else {
        (void)snprintf(out->problem, sizeof out->problem, "it is the same server as %.100s",
                       engine->hosts[view->primary].name);
    }
}

static void describe(const struct hf_pg_engine *engine, size_t at, struct hf_host *out)
{
    const struct hf_pg_host *host = &engine->hosts[at];

    *out = (struct hf_host){ .state = HF_HOST_AWAY,
                             .is_near = host->is_near,
                             .lags = host->lags,
                             .timeline = host->role.timeline };
    (void)snprintf(out->name, sizeof out->name, "%s", host->name);
    (void)snprintf(out->site, sizeof out->site, "%s", host->site != NULL ? host->site : "");
    if (!host->answers || host->quarantined) {
        (void)snprintf(out->problem, sizeof out->problem, "%s",
                       host->tried ? host->problem : "not tried yet");
    }
    if (!host->answers) {
        return;
    }
    out->says_primary = host->role.primary;
    out->state = engine->view.primary == (int)at ? HF_HOST_PRIMARY : HF_HOST_STANDBY;
    if (host->quarantined || (host->role.primary && out->state != HF_HOST_PRIMARY)) {
        out->state = HF_HOST_LEFT;
    }
    if (out->state == HF_HOST_LEFT && !host->quarantined) {
        explain_left(engine, out);
    }
}

void hf_pg_hosts(struct hf_engine *base, hf_host_visitor visit, void *context)
{
    struct hf_pg_engine *engine = hf_pg_of(base);

    for (size_t i = 0; i < engine->host_count; i++) {
        struct hf_host host;

        pthread_mutex_lock(&engine->view.lock);
        describe(engine, i, &host);
        pthread_mutex_unlock(&engine->view.lock);
        visit(context, &host);
    }
}
