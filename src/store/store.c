/* The wrappers around every engine: deadlines, counts, times, and what a batch must look like. */
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/metrics.h"
#include "store/mirror_engine.h"

static const struct hf_engine_ops *const engines[] = {
    &hf_sqlite_engine,
    &hf_postgres_engine,
    &hf_memory_engine,
    &hf_failing_engine,
};

enum call {
    CALL_STATE,
    CALL_GET,
    CALL_LIST,
    CALL_APPLY,
    CALL_CHANGES,
    CALL_SNAPSHOT,
    CALL_BARRIER,
    CALL_LEASE,
    CALL_FORGET,
    CALL_RECALL,
    CALL_FIND,
    CALL_RETIRE,
    CALL_SETTLE,
    CALL_BEAT,
    CALL_BEATS,
};

static const char *const call_names[] = {
    [CALL_STATE] = "state",     [CALL_GET] = "get",         [CALL_LIST] = "list",
    [CALL_APPLY] = "apply",     [CALL_CHANGES] = "changes", [CALL_SNAPSHOT] = "snapshot",
    [CALL_BARRIER] = "barrier", [CALL_LEASE] = "lease",     [CALL_FORGET] = "forget",
    [CALL_RECALL] = "recall",   [CALL_FIND] = "find",       [CALL_RETIRE] = "retire",
    [CALL_SETTLE] = "settle",   [CALL_BEAT] = "beat",       [CALL_BEATS] = "beats",
};

/* How a call ended, as an operator reads it. */
enum outcome { OUTCOME_OK, OUTCOME_REFUSED, OUTCOME_FAILED };

static const char *const outcome_names[] = {
    [OUTCOME_OK] = "ok",
    [OUTCOME_REFUSED] = "refused", /* the answer to the caller's question is no */
    [OUTCOME_FAILED] = "failed",   /* the store could not answer */
};

struct hf_engine_counts {
    struct hf_metric *calls[HF_COUNT(call_names)][HF_COUNT(outcome_names)];
    struct hf_metric *milliseconds[HF_COUNT(call_names)];
};

static struct hf_engine_counts *counts_new(struct hf_metrics *metrics)
{
    struct hf_engine_counts *counts = hf_alloc(sizeof *counts);

    for (size_t i = 0; i < HF_COUNT(call_names); i++) {
        for (size_t j = 0; j < HF_COUNT(outcome_names); j++) {
            HF_AUTO_STRING labels =
                hf_format("call=\"%s\",outcome=\"%s\"", call_names[i], outcome_names[j]);

            counts->calls[i][j] =
                hf_metrics_series(metrics, HF_METRIC_COUNTER, "holdfast_store_calls_total", labels,
                                  "Calls to the storage engine by how they ended.");
        }
    }
    for (size_t i = 0; i < HF_COUNT(call_names); i++) {
        HF_AUTO_STRING labels = hf_format("call=\"%s\"", call_names[i]);

        counts->milliseconds[i] =
            hf_metrics_series(metrics, HF_METRIC_COUNTER, "holdfast_store_call_milliseconds_total",
                              labels, "Time spent in calls to the storage engine.");
    }
    return counts;
}

static enum outcome outcome_of(enum hf_code code)
{
    switch (code) {
    case HF_OK:
        return OUTCOME_OK;
    case HF_INVALID:
    case HF_UNAUTHENTICATED:
    case HF_DENIED:
    case HF_NOT_FOUND:
    case HF_EXISTS:
    case HF_CONFLICT:
    case HF_TOO_LARGE:
    case HF_LATER:
        return OUTCOME_REFUSED;
    case HF_WRONG_STATE:
    case HF_LIMITED:
    case HF_NO_SPACE:
    case HF_UNAVAILABLE:
    case HF_IN_DOUBT:
    case HF_UNSUPPORTED:
    case HF_CORRUPT:
    case HF_INTERNAL:
        break;
    }
    return OUTCOME_FAILED;
}

/* Before every call: may it start, and when did it. */
static struct hf_status enter(struct hf_op *op, uint64_t *out_began_ms)
{
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "the store may wait for its disk, and this thread may not");
    }
    HF_TRY(hf_op_check_deadline(op));
    *out_began_ms = hf_env_boottime_ms(op->env);
    return HF_SUCCESS;
}

/* After every call: count it and pass its status on. */
static struct hf_status leave(struct hf_engine *engine, struct hf_op *op, enum call call,
                              uint64_t began_ms, struct hf_status status)
{
    if (engine->counts != NULL) {
        uint64_t took_ms = hf_env_boottime_ms(op->env) - began_ms;

        hf_metric_add(engine->counts->calls[call][outcome_of(status.code)], 1);
        hf_metric_add(engine->counts->milliseconds[call], (int64_t)took_ms);
    }
    return status;
}

struct hf_status hf_engine_open(struct hf_op *op, const struct hf_store_settings *settings,
                                struct hf_engine **out)
{
    HF_TRY(settings->mirror != NULL ? hf_mirror_engine.open(op, settings, out)
                                    : hf_engine_open_uncounted(op, settings, out));
    if (op->env->metrics != NULL) {
        (*out)->counts = counts_new(op->env->metrics);
    }
    return HF_SUCCESS;
}

static struct hf_status find_engine(struct hf_op *op, const char *name,
                                    const struct hf_engine_ops **out)
{
    for (size_t i = 0; i < HF_COUNT(engines); i++) {
        if (strcmp(engines[i]->name, name) == 0) {
            *out = engines[i];
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID, "there is no store engine \"%s\"; use sqlite or postgres", name);
}

struct hf_status hf_engine_open_uncounted(struct hf_op *op,
                                          const struct hf_store_settings *settings,
                                          struct hf_engine **out)
{
    const struct hf_engine_ops *ops = NULL;

    HF_TRY(find_engine(op, settings->engine, &ops));
    return ops->open(op, settings, out);
}

struct hf_status hf_engine_retired(struct hf_op *op, const struct hf_store_settings *settings,
                                   uint8_t out_store_id[HF_STORE_ID_LEN])
{
    const struct hf_engine_ops *ops = NULL;

    HF_TRY(find_engine(op, settings->engine, &ops));
    return ops->retired(op, settings, out_store_id);
}

struct hf_status hf_engine_none_retired(struct hf_op *op, const struct hf_store_settings *settings,
                                        uint8_t out_store_id[HF_STORE_ID_LEN])
{
    (void)out_store_id;
    return hf_fail(op, HF_UNSUPPORTED, "the engine \"%s\" retires no store", settings->engine);
}

void hf_engine_free(struct hf_engine *engine)
{
    if (engine != NULL) {
        free(engine->counts);
        engine->ops->close(engine);
    }
}

void hf_record_free(struct hf_record *record)
{
    if (record != NULL) {
        free(record->path);
        hf_buf_done(&record->body);
        free(record);
    }
}

void hf_commit_init(struct hf_commit *commit)
{
    memset(commit, 0, sizeof *commit);
    hf_buf_init(&commit->result);
}

void hf_commit_done(struct hf_commit *commit)
{
    hf_buf_done(&commit->result);
}

static struct hf_status check_path(struct hf_op *op, const char *path)
{
    size_t len = strlen(path);

    if (len == 0 || len > HF_PATH_MAX) {
        return hf_fail(op, HF_INVALID, "a path has 1 to %d bytes, not %zu", HF_PATH_MAX, len);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)path[i];

        if (c < 0x20 || c == 0x7f) {
            return hf_fail(op, HF_INVALID, "a path has the control character 0x%02x at byte %zu", c,
                           i + 1);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status check_size(struct hf_op *op, struct hf_bytes bytes, const char *what)
{
    if (bytes.len > HF_BODY_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a %s of %zu bytes is over the limit of %u", what,
                       bytes.len, HF_BODY_MAX);
    }
    return HF_SUCCESS;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct hf_status check_paths_differ(struct hf_op *op, const struct hf_batch *batch)
{
    const char **paths = hf_alloc_array(batch->count, sizeof *paths);
    const char *twice = NULL;

    for (size_t i = 0; i < batch->count; i++) {
        paths[i] = batch->changes[i].path;
    }
    qsort(paths, batch->count, sizeof *paths, by_path);
    for (size_t i = 1; i < batch->count; i++) {
        if (strcmp(paths[i - 1], paths[i]) == 0) {
            twice = paths[i];
        }
    }
    free(paths);
    if (twice != NULL) {
        return hf_fail(op, HF_INVALID, "the batch changes %.200s twice", twice);
    }
    return HF_SUCCESS;
}

static struct hf_status check_batch(struct hf_op *op, const struct hf_batch *batch)
{
    if (!hf_request_id_is_set(&batch->request_id)) {
        return hf_fail(op, HF_INVALID, "a batch needs a request id");
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct hf_change *change = &batch->changes[i];

        HF_TRY(check_path(op, change->path));
        HF_TRY(check_size(op, change->body, "body"));
        if (change->expected >= INT64_MAX) {
            return hf_fail(op, HF_INVALID, "revision %" PRIu64 " of %.200s is out of range",
                           change->expected, change->path);
        }
    }
    HF_TRY(check_size(op, batch->note, "note"));
    HF_TRY(check_size(op, batch->result, "result"));
    return batch->count > 1 ? check_paths_differ(op, batch) : HF_SUCCESS;
}

struct hf_status hf_engine_state(struct hf_engine *engine, struct hf_op *op,
                                 struct hf_store_state *out, struct hf_buf *out_head)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_STATE, began_ms, engine->ops->state(engine, op, out, out_head));
}

struct hf_status hf_engine_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                               struct hf_record **out)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_GET, began_ms, engine->ops->get(engine, op, path, out));
}

struct hf_status hf_engine_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                const char *after, hf_record_visitor visit, void *context)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_LIST, began_ms,
                 engine->ops->list(engine, op, prefix, after, visit, context));
}

struct hf_status hf_engine_apply(struct hf_engine *engine, struct hf_op *op,
                                 const struct hf_batch *batch, struct hf_commit *out)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    HF_TRY(check_batch(op, batch));
    return leave(engine, op, CALL_APPLY, began_ms, engine->ops->apply(engine, op, batch, out));
}

struct hf_status hf_engine_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                   size_t max_batches, hf_log_visitor visit, void *context)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_CHANGES, began_ms,
                 engine->ops->changes(engine, op, from, max_batches, visit, context));
}

struct hf_status hf_engine_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                                    uint64_t *out_seq)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_SNAPSHOT, began_ms,
                 engine->ops->snapshot(engine, op, file, out_seq));
}

struct hf_status hf_engine_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_BARRIER, began_ms, engine->ops->barrier(engine, op, out_seq));
}

struct hf_status hf_engine_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                 const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    if (name[0] == '\0' || holder[0] == '\0') {
        return hf_fail(op, HF_INVALID, "a lease needs a name and a holder");
    }
    if (duration_ms > HF_LEASE_MAX_MS) {
        return hf_fail(op, HF_INVALID, "a lease of %" PRIu64 " ms is over the limit of %u",
                       duration_ms, HF_LEASE_MAX_MS);
    }
    return leave(engine, op, CALL_LEASE, began_ms,
                 engine->ops->lease(engine, op, name, holder, duration_ms, out_fence));
}

struct hf_status hf_engine_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_FORGET, began_ms, engine->ops->forget(engine, op, below_seq));
}

struct hf_status hf_engine_recall(struct hf_engine *engine, struct hf_op *op,
                                  const struct hf_batch *batch, struct hf_commit *out)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    if (!hf_request_id_is_set(&batch->request_id)) {
        return hf_fail(op, HF_INVALID, "a request is recalled by its id");
    }
    return leave(engine, op, CALL_RECALL, began_ms, engine->ops->recall(engine, op, batch, out));
}

struct hf_status hf_engine_find(struct hf_engine *engine, struct hf_op *op,
                                const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                uint64_t up_to_seq, struct hf_request_id *out)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_FIND, began_ms,
                 engine->ops->find(engine, op, digest, since_ms, up_to_seq, out));
}

struct hf_status hf_engine_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                                  const char *destination)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_RETIRE, began_ms,
                 engine->ops->retire(engine, op, seq, destination));
}

struct hf_status hf_engine_settle(struct hf_engine *engine, struct hf_op *op)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_SETTLE, began_ms, engine->ops->settle(engine, op));
}

struct hf_status hf_engine_beat(struct hf_engine *engine, struct hf_op *op,
                                const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    uint64_t began_ms = 0;
    size_t len = strlen(beat->node);

    HF_TRY(enter(op, &began_ms));
    if (len == 0 || len > HF_NODE_NAME_MAX) {
        return hf_fail(op, HF_INVALID, "the name of a node has 1 to %d bytes", HF_NODE_NAME_MAX);
    }
    if (beat->body.len > HF_BEAT_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a heartbeat of %zu bytes is over the limit of %u",
                       beat->body.len, HF_BEAT_MAX);
    }
    if (beat->number > INT64_MAX || beat->confirmed_seq > INT64_MAX ||
        beat->applied_seq > INT64_MAX) {
        return hf_fail(op, HF_INVALID, "a number in the heartbeat of %.100s is out of range",
                       beat->node);
    }
    return leave(engine, op, CALL_BEAT, began_ms,
                 engine->ops->beat(engine, op, beat, synchronous, out_seq));
}

struct hf_status hf_engine_beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                                 void *context, uint64_t *out_seq)
{
    uint64_t began_ms = 0;

    HF_TRY(enter(op, &began_ms));
    return leave(engine, op, CALL_BEATS, began_ms,
                 engine->ops->beats(engine, op, visit, context, out_seq));
}

void hf_engine_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context)
{
    engine->ops->hosts(engine, visit, context);
}

void hf_engine_no_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context)
{
    (void)engine;
    (void)visit;
    (void)context;
}

struct hf_status hf_engine_accept(struct hf_engine *engine, struct hf_op *op)
{
    return engine->ops->accept(engine, op);
}

struct hf_status hf_engine_accept_as_is(struct hf_engine *engine, struct hf_op *op)
{
    (void)engine;
    (void)op;
    return HF_SUCCESS;
}
