/* The PostgreSQL engine: opening and closing a store on database hosts, and the table of calls. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/metrics.h"
#include "store/postgres_engine.h"

/* How long opening waits for the hosts to say what they are. */
#define OPEN_MS 5000

static struct hf_pg_engine *engine_new(struct hf_op *op)
{
    struct hf_pg_engine *engine = hf_alloc(sizeof *engine);
    struct hf_metrics *metrics = op->env->metrics;

    engine->base.ops = &hf_postgres_engine;
    engine->env = op->env;
    engine->watcher.wake_fd = -1;
    hf_env_random(op->env, &engine->opening, sizeof engine->opening);
    engine->opening &= INT64_MAX;
    atomic_init(&engine->stop, false);
    atomic_init(&engine->confirmed, 0);
    hf_assert(pthread_mutex_init(&engine->leases_lock, NULL) == 0);
    hf_pg_view_init(&engine->view);
    hf_pg_writer_init(&engine->writer);
    hf_pg_readers_init(&engine->readers);
    hf_assert(pthread_mutex_init(&engine->beater.lock, NULL) == 0);
    engine->standbys_metric = hf_metrics_series(
        metrics, HF_METRIC_GAUGE, "holdfast_store_synchronous_standbys", NULL,
        "Standbys that confirm each commit of the PostgreSQL store before it is answered.");
    engine->weak_metric = hf_metrics_series(
        metrics, HF_METRIC_COUNTER, "holdfast_store_weak_commits_total", NULL,
        "Commits made with fewer synchronous standbys than the settings require.");
    engine->doubt_metric = hf_metrics_series(
        metrics, HF_METRIC_COUNTER, "holdfast_store_ambiguous_commits_total", NULL,
        "Commits of the PostgreSQL store whose end was not seen; they are repeated.");
    return engine;
}

void hf_pg_close(struct hf_pg_engine *engine)
{
    atomic_store(&engine->stop, true);
    hf_pg_writer_stop(engine);
    hf_pg_watcher_stop(engine);
    hf_pg_readers_close(&engine->readers);
    hf_pg_disconnect(&engine->beater.link);
    hf_assert(pthread_mutex_destroy(&engine->beater.lock) == 0);
    hf_pg_readers_done(&engine->readers);
    hf_pg_writer_done(&engine->writer);
    hf_pg_view_done(&engine->view);
    hf_pg_leases_done(engine);
    hf_assert(pthread_mutex_destroy(&engine->leases_lock) == 0);
    hf_pg_settings_done(engine);
    free(engine);
}

static void postgres_close(struct hf_engine *base)
{
    hf_pg_close(hf_pg_of(base));
}

/* All of them, since the one that says it is the primary may be the past. */
static struct hf_status await_hosts(struct hf_pg_engine *engine, struct hf_op *op)
{
    uint64_t until_ms = hf_pg_now_ms() + OPEN_MS;

    while (!hf_pg_all_tried(engine) && hf_pg_now_ms() < until_ms) {
        HF_TRY(hf_op_check_deadline(op));
        hf_pg_await_news(engine, 100);
    }
    return HF_SUCCESS;
}

static struct hf_status start_watching(struct hf_pg_engine *engine, struct hf_op *op,
                                       const struct hf_store_settings *settings)
{
    HF_TRY(hf_pg_settings_take(engine, op, settings));
    HF_TRY(hf_pg_watcher_start(engine, op));
    return await_hosts(engine, op);
}

struct hf_status hf_pg_watch(struct hf_op *op, const struct hf_store_settings *settings,
                             struct hf_pg_engine **out)
{
    struct hf_pg_engine *engine = engine_new(op);
    struct hf_status status = start_watching(engine, op, settings);

    if (status.code != HF_OK) {
        hf_pg_close(engine);
        return status;
    }
    *out = engine;
    return HF_SUCCESS;
}

static struct hf_status open_parts(struct hf_pg_engine *engine, struct hf_op *op,
                                   const struct hf_store_settings *settings)
{
    HF_TRY(start_watching(engine, op, settings));
    if (settings->create) {
        HF_TRY(hf_pg_create(engine, op, settings));
    }
    atomic_store(&engine->confirmed, settings->confirmed_seq);
    atomic_store(&engine->arriving, settings->arriving);
    HF_TRY(hf_pg_check_schema(engine, op));
    return hf_pg_writer_start(engine, op);
}

static struct hf_status postgres_open(struct hf_op *op, const struct hf_store_settings *settings,
                                      struct hf_engine **out)
{
    struct hf_pg_engine *engine = engine_new(op);
    struct hf_status status = open_parts(engine, op, settings);

    if (status.code != HF_OK) {
        postgres_close(&engine->base);
        return status;
    }
    *out = &engine->base;
    return HF_SUCCESS;
}

const struct hf_engine_ops hf_postgres_engine = {
    .name = "postgres",
    .open = postgres_open,
    .state = hf_pg_state,
    .get = hf_pg_get,
    .list = hf_pg_list,
    .apply = hf_pg_apply,
    .changes = hf_pg_changes,
    .snapshot = hf_pg_snapshot,
    .barrier = hf_pg_barrier,
    .lease = hf_pg_lease,
    .forget = hf_pg_forget,
    .recall = hf_pg_recall,
    .find = hf_pg_find,
    .retire = hf_pg_retire,
    .settle = hf_pg_settle,
    .retired = hf_pg_retired,
    .close = postgres_close,
    .beat = hf_pg_beat,
    .beats = hf_pg_beats,
    .hosts = hf_pg_hosts,
    .accept = hf_pg_accept,
};
