/* The mirror: reads from a local copy, everything else at the engine behind it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "store/mirror_engine.h"

/* --- reads --- */

struct hf_status hf_mirror_use_copy(struct hf_mirror *mirror, struct hf_op *op,
                                    struct hf_engine **out)
{
    hf_assert(pthread_rwlock_rdlock(&mirror->copy_lock) == 0);
    if (mirror->copy == NULL) {
        hf_mirror_release_copy(mirror);
        return hf_fail(op, HF_UNAVAILABLE, "there is no copy of the store in %.200s that works",
                       mirror->directory);
    }
    *out = mirror->copy;
    return HF_SUCCESS;
}

void hf_mirror_release_copy(struct hf_mirror *mirror)
{
    hf_assert(pthread_rwlock_unlock(&mirror->copy_lock) == 0);
}

static uint64_t count_copies(struct hf_mirror *mirror)
{
    uint64_t copies;

    pthread_mutex_lock(&mirror->lock);
    copies = mirror->info.copies;
    pthread_mutex_unlock(&mirror->lock);
    return copies;
}

/*
 * After a read that failed because the copy is damaged: once more from another one. The engine may
 * be away; then the first failure is the better text.
 */
static bool is_replaced(struct hf_mirror *mirror, struct hf_op *op, uint64_t copies,
                        struct hf_status failed)
{
    struct hf_op other;

    if (failed.code != HF_CORRUPT) {
        return false;
    }
    hf_op_init(&other, op->env);
    other.deadline_ms = op->deadline_ms;
    if (hf_mirror_replace(mirror, &other, copies, "the copy of the store is damaged").code !=
        HF_OK) {
        HF_ERROR(mirror->env, "%s", other.text);
        return false;
    }
    hf_op_clear(op);
    return true;
}

static struct hf_status state_of_copy(struct hf_mirror *mirror, struct hf_op *op,
                                      struct hf_store_state *out, struct hf_buf *out_head)
{
    struct hf_engine *copy = NULL;
    struct hf_status status;

    HF_TRY(hf_mirror_use_copy(mirror, op, &copy));
    status = hf_engine_state(copy, op, out, out_head);
    hf_mirror_release_copy(mirror);
    return status;
}

static struct hf_status mirror_state(struct hf_engine *engine, struct hf_op *op,
                                     struct hf_store_state *out, struct hf_buf *out_head)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    uint64_t copies = count_copies(mirror);
    struct hf_status status = state_of_copy(mirror, op, out, out_head);

    return is_replaced(mirror, op, copies, status) ? state_of_copy(mirror, op, out, out_head)
                                                   : status;
}

static struct hf_status get_from_copy(struct hf_mirror *mirror, struct hf_op *op, const char *path,
                                      struct hf_record **out)
{
    struct hf_engine *copy = NULL;
    struct hf_status status;

    HF_TRY(hf_mirror_use_copy(mirror, op, &copy));
    status = hf_engine_get(copy, op, path, out);
    hf_mirror_release_copy(mirror);
    return status;
}

static struct hf_status mirror_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                                   struct hf_record **out)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    uint64_t copies = count_copies(mirror);
    struct hf_status status = get_from_copy(mirror, op, path, out);

    return is_replaced(mirror, op, copies, status) ? get_from_copy(mirror, op, path, out) : status;
}

/*
 * What a visitor was shown is not shown again, and its own failure is not the copy's: damage that a
 * walk meets is mended for the next one.
 */
struct watched {
    hf_record_visitor visit_record;
    hf_log_visitor visit_batch;
    void *context;
    uint64_t copies; /* that had been made before */
    bool refused;
};

static struct hf_status watch_record(void *context, const struct hf_record_view *record)
{
    struct watched *watched = context;
    struct hf_status status = watched->visit_record(watched->context, record);

    watched->refused = status.code != HF_OK;
    return status;
}

static struct hf_status watch_batch(void *context, const struct hf_logged_batch *batch)
{
    struct watched *watched = context;
    struct hf_status status = watched->visit_batch(watched->context, batch);

    watched->refused = status.code != HF_OK;
    return status;
}

static struct hf_status end_walk(struct hf_mirror *mirror, struct hf_op *op,
                                 const struct watched *watched, struct hf_status status)
{
    if (status.code == HF_CORRUPT && !watched->refused) {
        struct hf_op failed = *op;

        if (is_replaced(mirror, op, watched->copies, status)) {
            return hf_fail(op, HF_UNAVAILABLE,
                           "the copy of the store was damaged and is made anew; ask again");
        }
        *op = failed;
    }
    return status;
}

static struct hf_status mirror_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                    const char *after, hf_record_visitor visit, void *context)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct watched watched = { .visit_record = visit,
                               .context = context,
                               .copies = count_copies(mirror) };
    struct hf_engine *copy = NULL;
    struct hf_status status;

    HF_TRY(hf_mirror_use_copy(mirror, op, &copy));
    status = hf_engine_list(copy, op, prefix, after, watch_record, &watched);
    hf_mirror_release_copy(mirror);
    return end_walk(mirror, op, &watched, status);
}

static struct hf_status mirror_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                       size_t max_batches, hf_log_visitor visit, void *context)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct watched watched = { .visit_batch = visit,
                               .context = context,
                               .copies = count_copies(mirror) };
    struct hf_engine *copy = NULL;
    struct hf_status status;

    HF_TRY(hf_mirror_use_copy(mirror, op, &copy));
    status = hf_engine_changes(copy, op, from, max_batches, watch_batch, &watched);
    hf_mirror_release_copy(mirror);
    return end_walk(mirror, op, &watched, status);
}

static struct hf_status mirror_snapshot(struct hf_engine *engine, struct hf_op *op,
                                        const char *file, uint64_t *out_seq)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_engine *copy = NULL;
    struct hf_status status;

    HF_TRY(hf_mirror_use_copy(mirror, op, &copy));
    status = hf_engine_snapshot(copy, op, file, out_seq);
    hf_mirror_release_copy(mirror);
    return status;
}

/* --- everything else --- */

/* The engine behind; opening it is for one at a time. */
static struct hf_status reach(struct hf_mirror *mirror, struct hf_op *op, struct hf_engine **out)
{
    *out = atomic_load(&mirror->behind);
    if (*out == NULL) {
        HF_TRY(hf_mirror_catch_up(mirror, op, 0));
        *out = atomic_load(&mirror->behind);
    }
    return HF_SUCCESS;
}

static struct hf_status reach_to_write(struct hf_mirror *mirror, struct hf_op *op,
                                       struct hf_engine **out)
{
    HF_TRY(hf_mirror_check_writes(mirror, op));
    return reach(mirror, op, out);
}

/* The store's own words, and what still works. */
static struct hf_status explain(struct hf_op *op, struct hf_status status)
{
    if (status.code == HF_UNAVAILABLE) {
        HF_AUTO_STRING reason = hf_strdup(op->text);

        return hf_fail(op, HF_UNAVAILABLE,
                       "nothing can be changed while the store does not answer, keys are opened "
                       "from its copy: %.200s",
                       reason);
    }
    return status;
}

/* It is stored; what the caller reads next must show it. */
static struct hf_status bring_up(struct hf_mirror *mirror, struct hf_op *op, uint64_t seq)
{
    struct hf_status status = hf_mirror_catch_up(mirror, op, seq);

    if (status.code != HF_OK) {
        HF_AUTO_STRING reason = hf_strdup(op->text);

        return hf_fail(op, HF_IN_DOUBT,
                       "it is stored, but not in this node's copy; repeat the request: %.200s",
                       reason);
    }
    return status;
}

/* Somebody else was first, perhaps on another node: what they did is what to build on next. */
static struct hf_status after_conflict(struct hf_mirror *mirror, struct hf_op *op)
{
    struct hf_op other;

    hf_op_init(&other, op->env);
    other.deadline_ms = op->deadline_ms;
    if (hf_mirror_catch_up(mirror, &other, 0).code != HF_OK) {
        HF_DEBUG(mirror->env, "after a conflict: %s", other.text);
    }
    return (struct hf_status){ HF_CONFLICT };
}

static struct hf_status mirror_apply(struct hf_engine *engine, struct hf_op *op,
                                     const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_engine *behind = NULL;
    struct hf_commit commit;
    struct hf_status status = reach_to_write(mirror, op, &behind);

    if (status.code != HF_OK) {
        return explain(op, status);
    }
    hf_commit_init(&commit);
    status = hf_engine_apply(behind, op, batch, &commit);
    if (status.code == HF_CONFLICT) {
        status = after_conflict(mirror, op);
    } else if (status.code == HF_OK) {
        status = bring_up(mirror, op, commit.seq);
    } else {
        status = explain(op, status);
    }
    if (status.code != HF_OK) {
        hf_commit_done(&commit);
        return status;
    }
    hf_commit_done(out);
    *out = commit;
    return HF_SUCCESS;
}

static struct hf_status mirror_recall(struct hf_engine *engine, struct hf_op *op,
                                      const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_engine *behind = NULL;
    struct hf_commit commit;
    struct hf_status status;

    HF_TRY(reach(mirror, op, &behind));
    hf_commit_init(&commit);
    status = hf_engine_recall(behind, op, batch, &commit);
    if (status.code == HF_OK) {
        status = hf_mirror_catch_up(mirror, op, commit.seq);
    }
    if (status.code != HF_OK) {
        hf_commit_done(&commit);
        return status;
    }
    hf_commit_done(out);
    *out = commit;
    return HF_SUCCESS;
}

static struct hf_status mirror_find(struct hf_engine *engine, struct hf_op *op,
                                    const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                    uint64_t up_to_seq, struct hf_request_id *out)
{
    struct hf_engine *behind = NULL;

    HF_TRY(reach(hf_mirror_of(engine), op, &behind));
    return hf_engine_find(behind, op, digest, since_ms, up_to_seq, out);
}

static struct hf_status mirror_barrier(struct hf_engine *engine, struct hf_op *op,
                                       uint64_t *out_seq)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_engine *behind = NULL;
    uint64_t seq = 0;

    HF_TRY(reach_to_write(mirror, op, &behind));
    HF_TRY(hf_engine_barrier(behind, op, &seq));
    HF_TRY(hf_mirror_catch_up(mirror, op, seq));
    *out_seq = seq;
    return HF_SUCCESS;
}

static struct hf_status mirror_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                     const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    struct hf_engine *behind = NULL;

    HF_TRY(reach_to_write(hf_mirror_of(engine), op, &behind));
    return hf_engine_lease(behind, op, name, holder, duration_ms, out_fence);
}

/* The copy forgets what the store has forgotten, as it does of other nodes' accord. */
static struct hf_status mirror_forget(struct hf_engine *engine, struct hf_op *op,
                                      uint64_t below_seq)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_engine *behind = NULL;

    HF_TRY(reach_to_write(mirror, op, &behind));
    HF_TRY(hf_mirror_catch_up(mirror, op, 0));
    HF_TRY(hf_engine_forget(behind, op, below_seq));
    return hf_mirror_catch_up(mirror, op, 0);
}

/* --- opening and closing --- */

static char *copy_text(const char *text)
{
    return text != NULL ? hf_strdup(text) : NULL;
}

static char **copy_texts(const char *const *texts)
{
    size_t count = 0;
    char **copies;

    while (texts != NULL && texts[count] != NULL) {
        count++;
    }
    copies = hf_alloc_array(count + 1, sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i] = hf_strdup(texts[i]);
    }
    return copies;
}

static void keep_settings(struct hf_mirror *mirror, const struct hf_store_settings *settings)
{
    mirror->behind_engine = copy_text(settings->engine);
    mirror->behind_directory = copy_text(settings->directory);
    mirror->behind_hosts = copy_texts(settings->hosts);
    mirror->behind_site = copy_text(settings->site);
    mirror->settings = *settings;
    mirror->settings.engine = mirror->behind_engine;
    mirror->settings.directory = mirror->behind_directory;
    mirror->settings.hosts = (const char *const *)mirror->behind_hosts;
    mirror->settings.site = mirror->behind_site;
    mirror->settings.mirror = NULL;
    mirror->settings.create = false;
}

static void settings_done(struct hf_mirror *mirror)
{
    for (size_t i = 0; mirror->behind_hosts[i] != NULL; i++) {
        free(mirror->behind_hosts[i]);
    }
    free(mirror->behind_hosts);
    free(mirror->behind_site);
    free(mirror->behind_engine);
    free(mirror->behind_directory);
}

static struct hf_mirror *mirror_alloc(struct hf_op *op, const struct hf_store_settings *settings)
{
    struct hf_mirror *mirror = hf_alloc(sizeof *mirror);

    mirror->base.ops = &hf_mirror_engine;
    mirror->env = op->env;
    mirror->directory = hf_strdup(settings->mirror);
    mirror->file = hf_format("%s/store.db", settings->mirror);
    keep_settings(mirror, settings);
    hf_assert(pthread_rwlock_init(&mirror->copy_lock, NULL) == 0);
    hf_assert(pthread_mutex_init(&mirror->lock, NULL) == 0);
    hf_wait_init(&mirror->freed);
    return mirror;
}

static void mirror_close(struct hf_engine *engine)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);

    hf_engine_free(mirror->copy);
    hf_engine_free(atomic_load(&mirror->behind));
    hf_assert(pthread_cond_destroy(&mirror->freed) == 0);
    hf_assert(pthread_mutex_destroy(&mirror->lock) == 0);
    hf_assert(pthread_rwlock_destroy(&mirror->copy_lock) == 0);
    settings_done(mirror);
    free(mirror->file);
    free(mirror->directory);
    free(mirror);
}

/* Without a copy the engine must answer; with one it is enough to have tried. */
static struct hf_status start(struct hf_mirror *mirror, struct hf_op *op)
{
    struct hf_status status = hf_mirror_open_copy(mirror, op);
    HF_AUTO_STRING why = hf_format("the copy of the store cannot be used: %.200s", op->text);

    if (status.code == HF_NOT_FOUND || status.code == HF_CORRUPT || status.code == HF_UNSUPPORTED) {
        hf_op_clear(op);
        HF_TRY(hf_mirror_make_copy(mirror, op, why));
    } else {
        HF_TRY(status);
    }
    if (hf_mirror_catch_up(mirror, op, 0).code != HF_OK) {
        HF_DEBUG(mirror->env, "the copy does not follow yet: %s", op->text);
        hf_op_clear(op);
    }
    return HF_SUCCESS;
}

struct hf_status hf_mirror_new(struct hf_op *op, struct hf_engine *behind, const char *directory,
                               struct hf_engine **out)
{
    const struct hf_store_settings settings = { .mirror = directory };
    struct hf_mirror *mirror = mirror_alloc(op, &settings);
    struct hf_status status;

    atomic_store(&mirror->behind, behind);
    status = start(mirror, op);
    if (status.code != HF_OK) {
        mirror_close(&mirror->base);
        return status;
    }
    *out = &mirror->base;
    return HF_SUCCESS;
}

/* A new store behind must not meet the copy of an old one. */
static struct hf_status create_behind(struct hf_mirror *mirror, struct hf_op *op,
                                      const struct hf_store_settings *settings)
{
    struct hf_store_settings plain = *settings;
    struct hf_engine *behind = NULL;

    if (hf_mirror_open_copy(mirror, op).code != HF_NOT_FOUND) {
        return hf_fail(op, HF_EXISTS,
                       "there is the copy of a store in %.200s already; move it away",
                       mirror->directory);
    }
    hf_op_clear(op);
    plain.mirror = NULL;
    HF_TRY(hf_engine_open_uncounted(op, &plain, &behind));
    atomic_store(&mirror->behind, behind);
    return HF_SUCCESS;
}

static struct hf_status mirror_open(struct hf_op *op, const struct hf_store_settings *settings,
                                    struct hf_engine **out)
{
    struct hf_status status = HF_SUCCESS;
    struct hf_mirror *mirror;

    if (settings->mirror == NULL) {
        return hf_fail(op, HF_INVALID, "a mirror needs a directory for its copy");
    }
    mirror = mirror_alloc(op, settings);
    if (settings->create) {
        status = create_behind(mirror, op, settings);
    }
    if (status.code == HF_OK) {
        status = start(mirror, op);
    }
    if (status.code != HF_OK) {
        mirror_close(&mirror->base);
        return status;
    }
    *out = &mirror->base;
    return HF_SUCCESS;
}

/* --- what only a mirror has --- */

struct hf_status hf_mirror_follow(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq)
{
    struct hf_store_state state;

    if (engine->ops != &hf_mirror_engine) {
        HF_TRY(hf_engine_state(engine, op, &state, NULL));
        *out_seq = state.seq;
        return HF_SUCCESS;
    }
    HF_TRY(hf_mirror_catch_up(hf_mirror_of(engine), op, 0));
    *out_seq = atomic_load(&hf_mirror_of(engine)->seq);
    return HF_SUCCESS;
}

struct hf_status hf_mirror_behind(struct hf_engine *engine, struct hf_op *op,
                                  struct hf_engine **out)
{
    struct hf_engine *behind = NULL;

    if (engine->ops == &hf_mirror_engine) {
        HF_TRY(reach(hf_mirror_of(engine), op, &behind));
    }
    *out = behind;
    return HF_SUCCESS;
}

struct hf_status hf_mirror_renew(struct hf_engine *engine, struct hf_op *op, uint64_t copies)
{
    if (engine->ops != &hf_mirror_engine) {
        return hf_fail(op, HF_UNSUPPORTED, "this store is no copy of another");
    }
    return hf_mirror_replace(hf_mirror_of(engine), op, copies, "the copy of the store is damaged");
}

bool hf_mirror_info(struct hf_engine *engine, struct hf_mirror_info *out)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);

    if (engine->ops != &hf_mirror_engine) {
        return false;
    }
    pthread_mutex_lock(&mirror->lock);
    *out = mirror->info;
    pthread_mutex_unlock(&mirror->lock);
    out->seq = atomic_load(&mirror->seq);
    return true;
}

/* Who follows now has the old one: it is waited for. */
void hf_mirror_set_guard(struct hf_engine *engine, const struct hf_mirror_guard *guard)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);

    if (engine->ops != &hf_mirror_engine) {
        return;
    }
    pthread_mutex_lock(&mirror->lock);
    while (mirror->busy) {
        hf_assert(pthread_cond_wait(&mirror->freed, &mirror->lock) == 0);
    }
    mirror->guard = guard != NULL ? *guard : (struct hf_mirror_guard){ 0 };
    pthread_cond_signal(&mirror->freed);
    pthread_mutex_unlock(&mirror->lock);
}

/* Moving a store is the affair of the engine behind; the copy is of no use afterwards. */
static struct hf_status mirror_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                                      const char *destination)
{
    struct hf_engine *behind = NULL;

    HF_TRY(reach_to_write(hf_mirror_of(engine), op, &behind));
    return hf_engine_retire(behind, op, seq, destination);
}

static struct hf_status mirror_settle(struct hf_engine *engine, struct hf_op *op)
{
    struct hf_engine *behind = NULL;

    HF_TRY(reach_to_write(hf_mirror_of(engine), op, &behind));
    return hf_engine_settle(behind, op);
}

/*
 * Heartbeats speak of the store that is shared: none is kept here. A node that does not follow the
 * store, or cannot write its copy, sends none: it is not to have a lease.
 */
static struct hf_status mirror_beat(struct hf_engine *engine, struct hf_op *op,
                                    const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    struct hf_engine *behind = NULL;

    HF_TRY(reach_to_write(hf_mirror_of(engine), op, &behind));
    return hf_engine_beat(behind, op, beat, synchronous, out_seq);
}

static struct hf_status mirror_beats(struct hf_engine *engine, struct hf_op *op,
                                     hf_beat_visitor visit, void *context, uint64_t *out_seq)
{
    struct hf_engine *behind = NULL;

    HF_TRY(reach(hf_mirror_of(engine), op, &behind));
    return hf_engine_beats(behind, op, visit, context, out_seq);
}

/* As far as is known: nobody waits here for a store that was never reached. */
static void mirror_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_engine *behind = atomic_load(&mirror->behind);

    if (behind != NULL) {
        hf_engine_hosts(behind, visit, context);
    } else if (mirror->settings.hosts[0] != NULL) {
        hf_sites_named(mirror->env, &mirror->settings, visit, context);
    }
}

const struct hf_engine_ops hf_mirror_engine = {
    .name = "mirror",
    .open = mirror_open,
    .state = mirror_state,
    .get = mirror_get,
    .list = mirror_list,
    .apply = mirror_apply,
    .changes = mirror_changes,
    .snapshot = mirror_snapshot,
    .barrier = mirror_barrier,
    .lease = mirror_lease,
    .forget = mirror_forget,
    .recall = mirror_recall,
    .find = mirror_find,
    .retire = mirror_retire,
    .settle = mirror_settle,
    .retired = hf_engine_none_retired,
    .close = mirror_close,
    .beat = mirror_beat,
    .beats = mirror_beats,
    .hosts = mirror_hosts,
    .accept = hf_mirror_accept,
};
