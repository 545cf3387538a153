/* The failing engine: passes calls on to another engine and fails the n-th of them as told. */
#include "store/store.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

struct failing_engine {
    struct hf_engine base;
    struct hf_engine *inner;
    pthread_mutex_t lock; /* guards everything below */
    enum hf_fault fault;
    enum hf_code code;
    uint64_t at;
    uint64_t calls;
    uint64_t faults;
};

static struct failing_engine *failing_of(struct hf_engine *engine)
{
    return (struct failing_engine *)engine;
}

static struct hf_engine *inner_of(struct hf_engine *engine)
{
    return failing_of(engine)->inner;
}

/* Count a call; HF_FAULT_NONE unless it is the one that has to fail. */
static enum hf_fault count_call(struct hf_engine *engine, enum hf_code *out_code)
{
    struct failing_engine *failing = failing_of(engine);
    enum hf_fault fault = HF_FAULT_NONE;

    pthread_mutex_lock(&failing->lock);
    failing->calls++;
    if (failing->calls == failing->at && failing->fault != HF_FAULT_NONE) {
        failing->faults++;
        fault = failing->fault;
    }
    *out_code = failing->code;
    pthread_mutex_unlock(&failing->lock);
    return fault;
}

/* Fails when this call's turn has come to fail before anything happens. */
static struct hf_status before(struct hf_engine *engine, struct hf_op *op, const char *what,
                               bool *out_lose_answer)
{
    enum hf_code code;
    enum hf_fault fault = count_call(engine, &code);

    *out_lose_answer = fault == HF_FAULT_IN_DOUBT;
    if (fault == HF_FAULT_BEFORE) {
        return hf_fail(op, code, "the failing engine was told to fail this %s", what);
    }
    return HF_SUCCESS;
}

/* The call's own status, or doubt in place of its success. */
static struct hf_status after(struct hf_op *op, bool lose_answer, const char *what,
                              struct hf_status status)
{
    if (lose_answer && status.code == HF_OK) {
        return hf_fail(op, HF_IN_DOUBT, "the failing engine was told to lose the answer to this %s",
                       what);
    }
    return status;
}

static struct hf_status failing_state(struct hf_engine *engine, struct hf_op *op,
                                      struct hf_store_state *out, struct hf_buf *out_head)
{
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state state;
    bool lose;

    HF_TRY(before(engine, op, "state", &lose));
    HF_TRY(after(op, lose, "state", hf_engine_state(inner_of(engine), op, &state, head)));
    *out = state;
    if (out_head != NULL) {
        hf_buf_clear(out_head);
        hf_buf_add_bytes(out_head, hf_buf_bytes(head));
    }
    return HF_SUCCESS;
}

static struct hf_status failing_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                                    struct hf_record **out)
{
    HF_AUTO(record) record = NULL;
    bool lose;

    HF_TRY(before(engine, op, "get", &lose));
    HF_TRY(after(op, lose, "get", hf_engine_get(inner_of(engine), op, path, &record)));
    *out = HF_TAKE(record);
    return HF_SUCCESS;
}

static struct hf_status failing_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                     const char *after_path, hf_record_visitor visit, void *context)
{
    bool lose;

    HF_TRY(before(engine, op, "list", &lose));
    return after(op, lose, "list",
                 hf_engine_list(inner_of(engine), op, prefix, after_path, visit, context));
}

static struct hf_status failing_apply(struct hf_engine *engine, struct hf_op *op,
                                      const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_commit commit;
    struct hf_status status;
    bool lose;

    HF_TRY(before(engine, op, "apply", &lose));
    hf_commit_init(&commit);
    status = after(op, lose, "apply", hf_engine_apply(inner_of(engine), op, batch, &commit));
    if (status.code == HF_OK) {
        hf_commit_done(out);
        *out = commit;
    } else {
        hf_commit_done(&commit);
    }
    return status;
}

static struct hf_status failing_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                        size_t max_batches, hf_log_visitor visit, void *context)
{
    bool lose;

    HF_TRY(before(engine, op, "changes", &lose));
    return after(op, lose, "changes",
                 hf_engine_changes(inner_of(engine), op, from, max_batches, visit, context));
}

static struct hf_status failing_snapshot(struct hf_engine *engine, struct hf_op *op,
                                         const char *file, uint64_t *out_seq)
{
    uint64_t seq;
    bool lose;

    HF_TRY(before(engine, op, "snapshot", &lose));
    HF_TRY(after(op, lose, "snapshot", hf_engine_snapshot(inner_of(engine), op, file, &seq)));
    *out_seq = seq;
    return HF_SUCCESS;
}

static struct hf_status failing_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                                       const char *destination)
{
    bool lose;

    HF_TRY(before(engine, op, "retire", &lose));
    return after(op, lose, "retire", hf_engine_retire(inner_of(engine), op, seq, destination));
}

static struct hf_status failing_settle(struct hf_engine *engine, struct hf_op *op)
{
    bool lose;

    HF_TRY(before(engine, op, "settle", &lose));
    return after(op, lose, "settle", hf_engine_settle(inner_of(engine), op));
}

static struct hf_status failing_barrier(struct hf_engine *engine, struct hf_op *op,
                                        uint64_t *out_seq)
{
    uint64_t seq;
    bool lose;

    HF_TRY(before(engine, op, "barrier", &lose));
    HF_TRY(after(op, lose, "barrier", hf_engine_barrier(inner_of(engine), op, &seq)));
    *out_seq = seq;
    return HF_SUCCESS;
}

static struct hf_status failing_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                      const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    uint64_t fence;
    bool lose;

    HF_TRY(before(engine, op, "lease", &lose));
    HF_TRY(after(op, lose, "lease",
                 hf_engine_lease(inner_of(engine), op, name, holder, duration_ms, &fence)));
    *out_fence = fence;
    return HF_SUCCESS;
}

static struct hf_status failing_forget(struct hf_engine *engine, struct hf_op *op,
                                       uint64_t below_seq)
{
    bool lose;

    HF_TRY(before(engine, op, "forget", &lose));
    return after(op, lose, "forget", hf_engine_forget(inner_of(engine), op, below_seq));
}

static struct hf_status failing_recall(struct hf_engine *engine, struct hf_op *op,
                                       const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_commit commit;
    struct hf_status status;
    bool lose;

    HF_TRY(before(engine, op, "recall", &lose));
    hf_commit_init(&commit);
    status = after(op, lose, "recall", hf_engine_recall(inner_of(engine), op, batch, &commit));
    if (status.code == HF_OK) {
        hf_commit_done(out);
        *out = commit;
    } else {
        hf_commit_done(&commit);
    }
    return status;
}

static struct hf_status failing_find(struct hf_engine *engine, struct hf_op *op,
                                     const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                     uint64_t up_to_seq, struct hf_request_id *out)
{
    struct hf_request_id id;
    bool lose;

    HF_TRY(before(engine, op, "find", &lose));
    HF_TRY(after(op, lose, "find",
                 hf_engine_find(inner_of(engine), op, digest, since_ms, up_to_seq, &id)));
    *out = id;
    return HF_SUCCESS;
}

static struct hf_status failing_beat(struct hf_engine *engine, struct hf_op *op,
                                     const struct hf_beat *beat, bool synchronous,
                                     uint64_t *out_seq)
{
    uint64_t seq = 0;
    bool lose;

    HF_TRY(before(engine, op, "beat", &lose));
    HF_TRY(after(op, lose, "beat", hf_engine_beat(inner_of(engine), op, beat, synchronous, &seq)));
    if (synchronous) {
        *out_seq = seq;
    }
    return HF_SUCCESS;
}

static struct hf_status failing_beats(struct hf_engine *engine, struct hf_op *op,
                                      hf_beat_visitor visit, void *context, uint64_t *out_seq)
{
    uint64_t seq;
    bool lose;

    HF_TRY(before(engine, op, "beats", &lose));
    HF_TRY(after(op, lose, "beats", hf_engine_beats(inner_of(engine), op, visit, context, &seq)));
    *out_seq = seq;
    return HF_SUCCESS;
}

static void failing_close(struct hf_engine *engine)
{
    struct failing_engine *failing = failing_of(engine);

    hf_engine_free(failing->inner);
    hf_assert(pthread_mutex_destroy(&failing->lock) == 0);
    free(failing);
}

struct hf_engine *hf_failing_new(struct hf_engine *inner)
{
    struct failing_engine *failing = hf_alloc(sizeof *failing);

    failing->base.ops = &hf_failing_engine;
    failing->inner = inner;
    hf_assert(pthread_mutex_init(&failing->lock, NULL) == 0);
    return &failing->base;
}

/* By name it stands on a new store in memory. */
static struct hf_status failing_open(struct hf_op *op, const struct hf_store_settings *settings,
                                     struct hf_engine **out)
{
    struct hf_engine *inner;

    HF_TRY(hf_memory_engine.open(op, settings, &inner));
    *out = hf_failing_new(inner);
    return HF_SUCCESS;
}

void hf_failing_set(struct hf_engine *engine, enum hf_fault fault, enum hf_code code, uint64_t at)
{
    struct failing_engine *failing = failing_of(engine);

    pthread_mutex_lock(&failing->lock);
    failing->fault = fault;
    failing->code = code;
    failing->at = at;
    failing->calls = 0;
    failing->faults = 0;
    pthread_mutex_unlock(&failing->lock);
}

uint64_t hf_failing_calls(struct hf_engine *engine)
{
    struct failing_engine *failing = failing_of(engine);
    uint64_t calls;

    pthread_mutex_lock(&failing->lock);
    calls = failing->calls;
    pthread_mutex_unlock(&failing->lock);
    return calls;
}

uint64_t hf_failing_faults(struct hf_engine *engine)
{
    struct failing_engine *failing = failing_of(engine);
    uint64_t faults;

    pthread_mutex_lock(&failing->lock);
    faults = failing->faults;
    pthread_mutex_unlock(&failing->lock);
    return faults;
}

static void failing_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context)
{
    hf_engine_hosts(inner_of(engine), visit, context);
}

static struct hf_status failing_accept(struct hf_engine *engine, struct hf_op *op)
{
    return hf_engine_accept(inner_of(engine), op);
}

const struct hf_engine_ops hf_failing_engine = {
    .name = "failing",
    .open = failing_open,
    .state = failing_state,
    .get = failing_get,
    .list = failing_list,
    .apply = failing_apply,
    .changes = failing_changes,
    .snapshot = failing_snapshot,
    .barrier = failing_barrier,
    .lease = failing_lease,
    .forget = failing_forget,
    .recall = failing_recall,
    .find = failing_find,
    .retire = failing_retire,
    .settle = failing_settle,
    .retired = hf_engine_none_retired,
    .close = failing_close,
    .beat = failing_beat,
    .beats = failing_beats,
    .hosts = failing_hosts,
    .accept = failing_accept,
};
