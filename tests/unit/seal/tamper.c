/* The engine of the attacks: see tamper.h. */
#include "tamper.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct lie {
    char *path;
    bool hidden;
    uint64_t revision;
    struct hf_buf body;
};

/* Called once, at some place. */
struct hook {
    void (*call)(void *context);
    void *context;
};

struct tamper_engine {
    struct hf_engine base;
    struct hf_engine *inner;
    struct lie *lies;
    size_t count;
    bool has_head;
    uint64_t seq;
    struct hf_buf head;
    uint64_t log_seq; /* 0: the log is true */
    enum tamper_log log_how;
    uint64_t log_start;
    bool ignore_after;
    uint64_t list_at;
    struct hf_status (*during_list)(void *context);
    void *list_context;
    pthread_mutex_t lock; /* guards the rest; threads read and write, but nobody tampers then */
    struct hook before_apply;
    struct hook after_find;
    uint8_t last_digest[HF_DIGEST_LEN];
};

static struct tamper_engine *of(struct hf_engine *engine)
{
    return (struct tamper_engine *)engine;
}

static void set_hook(struct tamper_engine *tamper, struct hook *hook, void (*call)(void *context),
                     void *context)
{
    pthread_mutex_lock(&tamper->lock);
    *hook = (struct hook){ call, context };
    pthread_mutex_unlock(&tamper->lock);
}

static void run_hook(struct tamper_engine *tamper, struct hook *hook)
{
    struct hook taken;

    pthread_mutex_lock(&tamper->lock);
    taken = *hook;
    *hook = (struct hook){ 0 };
    pthread_mutex_unlock(&tamper->lock);
    if (taken.call != NULL) {
        taken.call(taken.context);
    }
}

static const struct lie *lie_about(const struct tamper_engine *tamper, const char *path)
{
    for (size_t i = 0; i < tamper->count; i++) {
        if (strcmp(tamper->lies[i].path, path) == 0) {
            return &tamper->lies[i];
        }
    }
    return NULL;
}

static struct hf_status tamper_state(struct hf_engine *engine, struct hf_op *op,
                                     struct hf_store_state *out, struct hf_buf *out_head)
{
    struct tamper_engine *tamper = of(engine);

    HF_TRY(hf_engine_state(tamper->inner, op, out, out_head));
    if (tamper->has_head) {
        out->seq = tamper->seq;
        hf_buf_clear(out_head);
        hf_buf_add_bytes(out_head, hf_buf_bytes(&tamper->head));
    }
    out->oldest_seq = tamper->log_start > 0 ? tamper->log_start : out->oldest_seq;
    return HF_SUCCESS;
}

static struct hf_status tamper_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                                   struct hf_record **out)
{
    struct tamper_engine *tamper = of(engine);
    const struct lie *lie = lie_about(tamper, path);

    if (lie == NULL) {
        return hf_engine_get(tamper->inner, op, path, out);
    }
    if (lie->hidden) {
        return hf_fail(op, HF_NOT_FOUND, "there is no record %.200s", path);
    }
    *out = hf_alloc(sizeof **out);
    (*out)->path = hf_strdup(path);
    (*out)->revision = lie->revision;
    (*out)->seq = 1;
    hf_buf_add_bytes(&(*out)->body, hf_buf_bytes(&lie->body));
    return HF_SUCCESS;
}

struct listing {
    const struct tamper_engine *tamper;
    hf_record_visitor visit;
    void *context;
    uint64_t count;
};

/* The hook, if it is its turn. */
static struct hf_status interrupt(const struct tamper_engine *tamper, uint64_t count)
{
    return tamper->during_list != NULL && count == tamper->list_at
               ? tamper->during_list(tamper->list_context)
               : HF_SUCCESS;
}

static struct hf_status show_true(void *context, const struct hf_record_view *record)
{
    struct listing *listing = context;

    HF_TRY(interrupt(listing->tamper, ++listing->count));
    if (lie_about(listing->tamper, record->path) != NULL) {
        return HF_SUCCESS;
    }
    return listing->visit(listing->context, record);
}

/* The lies come after the truth, so lists are out of order: nobody may rely on a store for that. */
static struct hf_status tamper_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                    const char *after, hf_record_visitor visit, void *context)
{
    struct tamper_engine *tamper = of(engine);
    struct listing listing = { tamper, visit, context, 0 };

    HF_TRY(interrupt(tamper, 0));
    after = tamper->ignore_after ? NULL : after;
    HF_TRY(hf_engine_list(tamper->inner, op, prefix, after, show_true, &listing));
    for (size_t i = 0; i < tamper->count; i++) {
        const struct lie *lie = &tamper->lies[i];
        struct hf_record_view view = { lie->path, lie->revision, 1, hf_buf_bytes(&lie->body) };

        if (!lie->hidden && strncmp(lie->path, prefix, strlen(prefix)) == 0 &&
            (after == NULL || strcmp(lie->path, after) > 0)) {
            HF_TRY(visit(context, &view));
        }
    }
    return HF_SUCCESS;
}

static struct hf_status tamper_apply(struct hf_engine *engine, struct hf_op *op,
                                     const struct hf_batch *batch, struct hf_commit *out)
{
    struct tamper_engine *tamper = of(engine);

    pthread_mutex_lock(&tamper->lock);
    memcpy(tamper->last_digest, batch->digest, HF_DIGEST_LEN);
    pthread_mutex_unlock(&tamper->lock);
    run_hook(tamper, &tamper->before_apply);
    return hf_engine_apply(tamper->inner, op, batch, out);
}

struct following {
    struct tamper_engine *tamper;
    hf_log_visitor visit;
    void *context;
};

static struct hf_status show_changed(const struct following *following,
                                     const struct hf_logged_batch *batch)
{
    struct hf_logged_batch shown = *batch;
    struct hf_logged_change *changes = hf_alloc_array(batch->count, sizeof *changes);
    uint8_t other[HF_DIGEST_LEN];
    struct hf_status status;

    memcpy(changes, batch->changes, batch->count * sizeof *changes);
    shown.changes = changes;
    switch (following->tamper->log_how) {
    case TAMPER_LOG_DIGEST:
        memcpy(other, changes[0].digest, sizeof other);
        other[31] ^= 1;
        changes[0].digest = other;
        break;
    case TAMPER_LOG_LINK:
        memcpy(other, changes[0].link, sizeof other);
        other[0] ^= 0x80;
        changes[0].link = other;
        break;
    case TAMPER_LOG_NOTE:
        shown.note = hf_bytes_of(batch->note.data, batch->note.len - 1);
        break;
    case TAMPER_LOG_PATH:
        changes[0].path = "key/other/path";
        break;
    case TAMPER_LOG_BODY:
        changes[0].body = hf_bytes_of_text("not what was sealed");
        break;
    case TAMPER_LOG_NO_BODY:
        changes[0].body = HF_BYTES_NONE;
        break;
    case TAMPER_LOG_DROP:
        free(changes);
        return HF_SUCCESS;
    }
    status = following->visit(following->context, &shown);
    free(changes);
    return status;
}

static struct hf_status show_batch(void *context, const struct hf_logged_batch *batch)
{
    const struct following *following = context;

    if (batch->seq == following->tamper->log_seq) {
        return show_changed(following, batch);
    }
    return following->visit(following->context, batch);
}

static struct hf_status tamper_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                       size_t max_batches, hf_log_visitor visit, void *context)
{
    struct tamper_engine *tamper = of(engine);
    struct following following = { tamper, visit, context };

    if (tamper->log_start > from + 1) {
        return hf_fail(op, HF_NOT_FOUND, "the log does not reach back that far");
    }
    return hf_engine_changes(tamper->inner, op, from, max_batches, show_batch, &following);
}

static struct hf_status tamper_snapshot(struct hf_engine *engine, struct hf_op *op,
                                        const char *file, uint64_t *out_seq)
{
    return hf_engine_snapshot(of(engine)->inner, op, file, out_seq);
}

static struct hf_status tamper_barrier(struct hf_engine *engine, struct hf_op *op,
                                       uint64_t *out_seq)
{
    return hf_engine_barrier(of(engine)->inner, op, out_seq);
}

static struct hf_status tamper_beat(struct hf_engine *engine, struct hf_op *op,
                                    const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    return hf_engine_beat(of(engine)->inner, op, beat, synchronous, out_seq);
}

static struct hf_status tamper_beats(struct hf_engine *engine, struct hf_op *op,
                                     hf_beat_visitor visit, void *context, uint64_t *out_seq)
{
    return hf_engine_beats(of(engine)->inner, op, visit, context, out_seq);
}

static struct hf_status tamper_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                     const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    return hf_engine_lease(of(engine)->inner, op, name, holder, duration_ms, out_fence);
}

static struct hf_status tamper_forget(struct hf_engine *engine, struct hf_op *op,
                                      uint64_t below_seq)
{
    return hf_engine_forget(of(engine)->inner, op, below_seq);
}

static struct hf_status tamper_recall(struct hf_engine *engine, struct hf_op *op,
                                      const struct hf_batch *batch, struct hf_commit *out)
{
    return hf_engine_recall(of(engine)->inner, op, batch, out);
}

static struct hf_status tamper_find(struct hf_engine *engine, struct hf_op *op,
                                    const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                    uint64_t up_to_seq, struct hf_request_id *out)
{
    struct tamper_engine *tamper = of(engine);
    struct hf_status status = hf_engine_find(tamper->inner, op, digest, since_ms, up_to_seq, out);

    run_hook(tamper, &tamper->after_find);
    return status;
}

void tamper_reset(struct hf_engine *engine)
{
    struct tamper_engine *tamper = of(engine);

    for (size_t i = 0; i < tamper->count; i++) {
        free(tamper->lies[i].path);
        hf_buf_done(&tamper->lies[i].body);
    }
    free(tamper->lies);
    tamper->lies = NULL;
    tamper->count = 0;
    tamper->has_head = false;
    hf_buf_clear(&tamper->head);
    tamper->log_seq = 0;
    tamper->log_start = 0;
    tamper->before_apply = (struct hook){ 0 };
    tamper->after_find = (struct hook){ 0 };
    tamper->during_list = NULL;
    tamper->ignore_after = false;
}

static void tamper_close(struct hf_engine *engine)
{
    struct tamper_engine *tamper = of(engine);

    tamper_reset(engine);
    hf_buf_done(&tamper->head);
    hf_engine_free(tamper->inner);
    pthread_mutex_destroy(&tamper->lock);
    free(tamper);
}

static const struct hf_engine_ops tamper_ops = {
    .name = "tamper",
    .state = tamper_state,
    .get = tamper_get,
    .list = tamper_list,
    .apply = tamper_apply,
    .changes = tamper_changes,
    .snapshot = tamper_snapshot,
    .barrier = tamper_barrier,
    .lease = tamper_lease,
    .beat = tamper_beat,
    .beats = tamper_beats,
    .forget = tamper_forget,
    .recall = tamper_recall,
    .find = tamper_find,
    .close = tamper_close,
};

struct hf_engine *tamper_new(struct hf_engine *inner)
{
    struct tamper_engine *tamper = hf_alloc(sizeof *tamper);

    tamper->base.ops = &tamper_ops;
    tamper->inner = inner;
    pthread_mutex_init(&tamper->lock, NULL);
    return &tamper->base;
}

static struct lie *new_lie(struct hf_engine *engine, const char *path)
{
    struct tamper_engine *tamper = of(engine);
    struct lie *lie = (struct lie *)lie_about(tamper, path);

    if (lie == NULL) {
        tamper->lies = hf_realloc_array(tamper->lies, tamper->count + 1, sizeof *tamper->lies);
        lie = &tamper->lies[tamper->count++];
        *lie = (struct lie){ .path = hf_strdup(path) };
    }
    return lie;
}

void tamper_show(struct hf_engine *engine, const char *path, uint64_t revision,
                 struct hf_bytes body)
{
    struct lie *lie = new_lie(engine, path);

    lie->hidden = false;
    lie->revision = revision;
    hf_buf_clear(&lie->body);
    hf_buf_add_bytes(&lie->body, body);
}

void tamper_hide(struct hf_engine *engine, const char *path)
{
    new_lie(engine, path)->hidden = true;
}

void tamper_head(struct hf_engine *engine, uint64_t seq, struct hf_bytes head)
{
    struct tamper_engine *tamper = of(engine);

    tamper->has_head = true;
    tamper->seq = seq;
    hf_buf_clear(&tamper->head);
    hf_buf_add_bytes(&tamper->head, head);
}

void tamper_log(struct hf_engine *engine, uint64_t seq, enum tamper_log how)
{
    of(engine)->log_seq = seq;
    of(engine)->log_how = how;
}

void tamper_log_start(struct hf_engine *engine, uint64_t seq)
{
    of(engine)->log_start = seq;
}

void tamper_after_find(struct hf_engine *engine, void (*call)(void *context), void *context)
{
    set_hook(of(engine), &of(engine)->after_find, call, context);
}

void tamper_before_apply(struct hf_engine *engine, void (*call)(void *context), void *context)
{
    set_hook(of(engine), &of(engine)->before_apply, call, context);
}

void tamper_during_list(struct hf_engine *engine, uint64_t at,
                        struct hf_status (*call)(void *context), void *context)
{
    of(engine)->list_at = at;
    of(engine)->during_list = call;
    of(engine)->list_context = context;
}

void tamper_ignore_after(struct hf_engine *engine)
{
    of(engine)->ignore_after = true;
}

const uint8_t *tamper_last_digest(struct hf_engine *engine)
{
    return of(engine)->last_digest;
}
