/* The memory engine: the same promises as the others but durability, for tests and drills. */
#include "store/store.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/beats.h"
#include "store/wait.h"

#define FIRST_EPOCH 1

struct entry {
    struct hf_record *record;
    uint8_t digest[HF_DIGEST_LEN];
};

struct logged {
    char *path;
    uint64_t revision;
    uint8_t digest[HF_DIGEST_LEN];
    uint8_t link[HF_DIGEST_LEN];
};

/* One batch of the change log, and the request it remembers. */
struct batch {
    uint64_t seq;
    uint64_t epoch;
    uint64_t realtime_ms;
    struct hf_buf note;
    struct logged *changes;
    size_t count;
    struct hf_request_id request_id;
    char *principal;
    uint8_t digest[HF_DIGEST_LEN];
    struct hf_buf result;
};

struct lease {
    char *name;
    char *holder;
    uint64_t fence;
    uint64_t expires_ms; /* boottime */
};

struct memory_engine {
    struct hf_engine base;
    pthread_mutex_t lock; /* guards busy */
    pthread_cond_t freed;
    bool busy; /* one call at a time has everything below */
    struct hf_store_state state;
    struct hf_buf head;
    struct entry *entries; /* by path */
    size_t entry_count;
    size_t entry_room;
    struct batch **log; /* by seq, without gaps */
    size_t log_count;
    size_t log_room;
    struct lease *leases;
    size_t lease_count;
    struct hf_kept_beats beats;
};

static struct memory_engine *memory_of(struct hf_engine *engine)
{
    return (struct memory_engine *)engine;
}

/* The engine for this call alone, for as long as the deadline allows to wait for it. */
static struct hf_status enter(struct memory_engine *memory, struct hf_op *op)
{
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&memory->lock);
    while (memory->busy && status.code == HF_OK) {
        hf_wait_for(op, &memory->freed, &memory->lock);
        /* One who was woken takes it even if late, or the wake-up would be lost to the others. */
        if (memory->busy) {
            status = hf_op_check_deadline(op);
        }
    }
    if (status.code == HF_OK) {
        memory->busy = true;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static void leave(struct memory_engine *memory)
{
    pthread_mutex_lock(&memory->lock);
    memory->busy = false;
    pthread_cond_signal(&memory->freed);
    pthread_mutex_unlock(&memory->lock);
}

/* Room for one more element. */
static void *grow(void *array, size_t count, size_t *room, size_t len)
{
    if (count == *room) {
        *room = *room < 16 ? 16 : *room * 2;
        array = hf_realloc_array(array, *room, len);
    }
    return array;
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->changes[i].path);
    }
    free(batch->changes);
    free(batch->principal);
    hf_buf_done(&batch->note);
    hf_buf_done(&batch->result);
    free(batch);
}

static struct hf_status memory_open(struct hf_op *op, const struct hf_store_settings *settings,
                                    struct hf_engine **out)
{
    struct memory_engine *memory;

    if (!settings->create) {
        return hf_fail(op, HF_NOT_FOUND, "a store in memory exists only while it is open");
    }
    if (settings->snapshot != NULL) {
        return hf_fail(op, HF_UNSUPPORTED, "a store in memory begins empty");
    }
    memory = hf_alloc(sizeof *memory);
    memory->base.ops = &hf_memory_engine;
    hf_assert(pthread_mutex_init(&memory->lock, NULL) == 0);
    hf_wait_init(&memory->freed);
    memcpy(memory->state.store_id, settings->store_id, HF_STORE_ID_LEN);
    memory->state.epoch = FIRST_EPOCH;
    *out = &memory->base;
    return HF_SUCCESS;
}

static void memory_close(struct hf_engine *engine)
{
    struct memory_engine *memory = memory_of(engine);

    for (size_t i = 0; i < memory->entry_count; i++) {
        hf_record_free(memory->entries[i].record);
    }
    for (size_t i = 0; i < memory->log_count; i++) {
        batch_free(memory->log[i]);
    }
    for (size_t i = 0; i < memory->lease_count; i++) {
        free(memory->leases[i].name);
        free(memory->leases[i].holder);
    }
    free(memory->entries);
    free(memory->log);
    free(memory->leases);
    hf_beats_done(&memory->beats);
    hf_buf_done(&memory->head);
    hf_assert(pthread_cond_destroy(&memory->freed) == 0);
    hf_assert(pthread_mutex_destroy(&memory->lock) == 0);
    free(memory);
}

static void stand(const struct memory_engine *memory, struct hf_store_state *out)
{
    *out = memory->state;
    out->oldest_seq = memory->log_count > 0 ? memory->log[0]->seq : 0;
}

static struct hf_status memory_state(struct hf_engine *engine, struct hf_op *op,
                                     struct hf_store_state *out, struct hf_buf *out_head)
{
    struct memory_engine *memory = memory_of(engine);

    HF_TRY(enter(memory, op));
    stand(memory, out);
    if (out_head != NULL) {
        hf_buf_clear(out_head);
        hf_buf_add_bytes(out_head, hf_buf_bytes(&memory->head));
    }
    leave(memory);
    return HF_SUCCESS;
}

/* Where path is, or where it would go. */
static size_t position_of(const struct memory_engine *memory, const char *path, bool *out_found)
{
    size_t low = 0;
    size_t high = memory->entry_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(memory->entries[middle].record->path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *out_found = low < memory->entry_count && strcmp(memory->entries[low].record->path, path) == 0;
    return low;
}

static struct entry *find(const struct memory_engine *memory, const char *path)
{
    bool found;
    size_t at = position_of(memory, path, &found);

    return found ? &memory->entries[at] : NULL;
}

static struct hf_record *copy_record(const struct hf_record *record)
{
    struct hf_record *copy = hf_alloc(sizeof *copy);

    copy->path = hf_strdup(record->path);
    copy->revision = record->revision;
    copy->seq = record->seq;
    hf_buf_add_bytes(&copy->body, hf_buf_bytes(&record->body));
    return copy;
}

static struct hf_status memory_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                                   struct hf_record **out)
{
    struct memory_engine *memory = memory_of(engine);
    const struct entry *entry;
    struct hf_record *copy = NULL;

    HF_TRY(enter(memory, op));
    entry = find(memory, path);
    if (entry != NULL) {
        copy = copy_record(entry->record);
    }
    leave(memory);
    if (copy == NULL) {
        return hf_fail(op, HF_NOT_FOUND, "there is no record %.200s", path);
    }
    *out = copy;
    return HF_SUCCESS;
}

static struct hf_status walk(const struct memory_engine *memory, const char *prefix,
                             const char *after, hf_record_visitor visit, void *context)
{
    bool found;
    size_t len = strlen(prefix);
    bool skip = after != NULL && strcmp(after, prefix) >= 0;
    size_t at = position_of(memory, skip ? after : prefix, &found);

    if (skip && found) {
        at++;
    }
    for (; at < memory->entry_count; at++) {
        const struct hf_record *record = memory->entries[at].record;
        struct hf_record_view view = { record->path, record->revision, record->seq,
                                       hf_buf_bytes(&record->body) };

        if (strncmp(record->path, prefix, len) != 0) {
            break;
        }
        HF_TRY(visit(context, &view));
    }
    return HF_SUCCESS;
}

static struct hf_status memory_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                    const char *after, hf_record_visitor visit, void *context)
{
    struct memory_engine *memory = memory_of(engine);
    struct hf_status status;

    HF_TRY(enter(memory, op));
    status = walk(memory, prefix, after, visit, context);
    leave(memory);
    return status;
}

static const struct batch *find_request(const struct memory_engine *memory,
                                        const struct hf_request_id *id)
{
    for (size_t i = 0; i < memory->log_count; i++) {
        if (memcmp(&memory->log[i]->request_id, id, sizeof *id) == 0) {
            return memory->log[i];
        }
    }
    return NULL;
}

static struct hf_status repeat(struct hf_op *op, const struct batch *first,
                               const struct hf_batch *batch, struct hf_commit *out)
{
    if (memcmp(first->digest, batch->digest, HF_DIGEST_LEN) != 0 ||
        strcmp(first->principal, batch->principal != NULL ? batch->principal : "") != 0) {
        return hf_fail(op, HF_CONFLICT, "this request id was used for another request");
    }
    out->seq = first->seq;
    out->epoch = first->epoch;
    out->repeated = true;
    hf_buf_clear(&out->result);
    hf_buf_add_bytes(&out->result, hf_buf_bytes(&first->result));
    return HF_SUCCESS;
}

static struct hf_status memory_recall(struct hf_engine *engine, struct hf_op *op,
                                      const struct hf_batch *batch, struct hf_commit *out)
{
    struct memory_engine *memory = memory_of(engine);
    const struct batch *first;
    struct hf_status status;

    HF_TRY(enter(memory, op));
    first = find_request(memory, &batch->request_id);
    status = first != NULL ? repeat(op, first, batch, out)
                           : hf_fail(op, HF_NOT_FOUND, "this request has not happened");
    leave(memory);
    return status;
}

static const struct batch *find_digest(const struct memory_engine *memory,
                                       const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                       uint64_t up_to_seq)
{
    for (size_t i = memory->log_count; i-- > 0 && memory->log[i]->realtime_ms >= since_ms;) {
        const struct batch *batch = memory->log[i];

        if ((up_to_seq == 0 || batch->seq <= up_to_seq) &&
            memcmp(batch->digest, digest, HF_DIGEST_LEN) == 0) {
            return batch;
        }
    }
    return NULL;
}

static struct hf_status memory_find(struct hf_engine *engine, struct hf_op *op,
                                    const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                    uint64_t up_to_seq, struct hf_request_id *out)
{
    struct memory_engine *memory = memory_of(engine);
    const struct batch *found;

    HF_TRY(enter(memory, op));
    found = find_digest(memory, digest, since_ms, up_to_seq);
    if (found != NULL) {
        *out = found->request_id;
    }
    leave(memory);
    return found != NULL ? HF_SUCCESS
                         : hf_fail(op, HF_NOT_FOUND, "nothing of the kind was asked lately");
}

static struct hf_status check_change(const struct memory_engine *memory, struct hf_op *op,
                                     const struct hf_change *change, struct hf_linked *out)
{
    const struct entry *entry = find(memory, change->path);
    uint64_t revision = entry != NULL ? entry->record->revision : 0;

    if (revision != change->expected) {
        return hf_fail(op, HF_CONFLICT, "%.200s is at revision %" PRIu64 ", not %" PRIu64,
                       change->path, revision, change->expected);
    }
    out->path = change->path;
    out->revision = revision + 1;
    memcpy(out->digest, change->digest, HF_DIGEST_LEN);
    out->replaces = entry != NULL;
    out->old_revision = revision;
    if (entry != NULL) {
        memcpy(out->old_digest, entry->digest, HF_DIGEST_LEN);
    }
    return HF_SUCCESS;
}

static void store_change(struct memory_engine *memory, const struct hf_change *change,
                         const struct hf_linked *linked, uint64_t seq)
{
    bool found;
    size_t at = position_of(memory, change->path, &found);
    struct entry *entry;

    if (!found) {
        memory->entries = grow(memory->entries, memory->entry_count, &memory->entry_room,
                               sizeof *memory->entries);
        memmove(memory->entries + at + 1, memory->entries + at,
                (memory->entry_count - at) * sizeof *memory->entries);
        memory->entry_count++;
        memory->entries[at].record = hf_alloc(sizeof *memory->entries[at].record);
        memory->entries[at].record->path = hf_strdup(change->path);
    }
    entry = &memory->entries[at];
    entry->record->revision = linked->revision;
    entry->record->seq = seq;
    memcpy(entry->digest, linked->digest, HF_DIGEST_LEN);
    hf_buf_clear(&entry->record->body);
    hf_buf_add_bytes(&entry->record->body, change->body);
}

static void log_batch(struct memory_engine *memory, struct hf_op *op, const struct hf_batch *batch,
                      const struct hf_linked *linked, uint64_t seq)
{
    struct batch *logged = hf_alloc(sizeof *logged);

    logged->seq = seq;
    logged->epoch = memory->state.epoch;
    logged->realtime_ms = hf_env_realtime_ms(op->env);
    hf_buf_add_bytes(&logged->note, batch->note);
    hf_buf_add_bytes(&logged->result, batch->result);
    logged->request_id = batch->request_id;
    logged->principal = hf_strdup(batch->principal != NULL ? batch->principal : "");
    memcpy(logged->digest, batch->digest, HF_DIGEST_LEN);
    logged->changes = hf_alloc_array(batch->count, sizeof *logged->changes);
    logged->count = batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        logged->changes[i].path = hf_strdup(linked[i].path);
        logged->changes[i].revision = linked[i].revision;
        memcpy(logged->changes[i].digest, linked[i].digest, HF_DIGEST_LEN);
        memcpy(logged->changes[i].link, linked[i].link, HF_DIGEST_LEN);
    }
    memory->log = grow(memory->log, memory->log_count, &memory->log_room, sizeof *memory->log);
    memory->log[memory->log_count++] = logged;
}

static struct hf_status check_and_link(struct memory_engine *memory, struct hf_op *op,
                                       const struct hf_batch *batch, struct hf_linked *linked,
                                       struct hf_buf *out_head)
{
    if (batch->epoch != 0 && batch->epoch != memory->state.epoch) {
        return hf_fail(op, HF_CONFLICT, "the store is in epoch %" PRIu64 ", not %" PRIu64,
                       memory->state.epoch, batch->epoch);
    }
    for (size_t i = 0; i < batch->count; i++) {
        HF_TRY(check_change(memory, op, &batch->changes[i], &linked[i]));
    }
    if (batch->linker == NULL) {
        hf_buf_add_bytes(out_head, hf_buf_bytes(&memory->head));
        return HF_SUCCESS;
    }
    return batch->linker->link(batch->linker->context, op, memory->state.seq + 1,
                               hf_buf_bytes(&memory->head), batch->note, linked, batch->count,
                               out_head);
}

static struct hf_status apply_alone(struct memory_engine *memory, struct hf_op *op,
                                    const struct hf_batch *batch, struct hf_linked *linked,
                                    struct hf_commit *out)
{
    const struct batch *first = find_request(memory, &batch->request_id);
    HF_AUTO(buf) head = hf_buf_new();
    uint64_t seq = memory->state.seq + 1;

    if (first != NULL) {
        return repeat(op, first, batch, out);
    }
    HF_TRY(check_and_link(memory, op, batch, linked, head));
    for (size_t i = 0; i < batch->count; i++) {
        store_change(memory, &batch->changes[i], &linked[i], seq);
    }
    log_batch(memory, op, batch, linked, seq);
    memory->state.seq = seq;
    hf_buf_clear(&memory->head);
    hf_buf_add_bytes(&memory->head, hf_buf_bytes(head));
    out->seq = seq;
    out->epoch = memory->state.epoch;
    out->repeated = false;
    hf_buf_clear(&out->result);
    return HF_SUCCESS;
}

static struct hf_status memory_apply(struct hf_engine *engine, struct hf_op *op,
                                     const struct hf_batch *batch, struct hf_commit *out)
{
    struct memory_engine *memory = memory_of(engine);
    struct hf_linked *linked;
    struct hf_status status;

    HF_TRY(enter(memory, op));
    linked = hf_alloc_array(batch->count, sizeof *linked);
    status = apply_alone(memory, op, batch, linked, out);
    leave(memory);
    free(linked);
    return status;
}

static struct hf_status show_batch(const struct memory_engine *memory, const struct batch *batch,
                                   hf_log_visitor visit, void *context)
{
    struct hf_logged_change *changes = hf_alloc_array(batch->count, sizeof *changes);
    struct hf_logged_batch view = { .seq = batch->seq,
                                    .epoch = batch->epoch,
                                    .realtime_ms = batch->realtime_ms,
                                    .note = hf_buf_bytes(&batch->note),
                                    .changes = changes,
                                    .count = batch->count,
                                    .request_id = batch->request_id,
                                    .principal = batch->principal,
                                    .digest = batch->digest,
                                    .result = hf_buf_bytes(&batch->result) };
    struct hf_store_state end;
    struct hf_status status;

    for (size_t i = 0; i < batch->count; i++) {
        const struct logged *logged = &batch->changes[i];
        const struct entry *entry = find(memory, logged->path);

        changes[i].path = logged->path;
        changes[i].revision = logged->revision;
        changes[i].digest = logged->digest;
        changes[i].link = logged->link;
        if (entry != NULL && entry->record->revision == logged->revision) {
            changes[i].body = hf_buf_bytes(&entry->record->body);
        }
    }
    if (batch->seq == memory->state.seq) {
        stand(memory, &end);
        view.end = &end;
        view.head = hf_buf_bytes(&memory->head);
    }
    status = visit(context, &view);
    free(changes);
    return status;
}

static struct hf_status follow(const struct memory_engine *memory, struct hf_op *op, uint64_t from,
                               size_t max_batches, hf_log_visitor visit, void *context)
{
    uint64_t oldest = memory->state.seq + 1 - memory->log_count;

    if (from >= memory->state.seq) {
        return HF_SUCCESS;
    }
    if (from + 1 < oldest) {
        return hf_fail(op, HF_NOT_FOUND, "changes after %" PRIu64 " are gone from the log", from);
    }
    for (size_t i = from + 1 - oldest; i < memory->log_count && max_batches > 0; i++) {
        HF_TRY(show_batch(memory, memory->log[i], visit, context));
        max_batches--;
    }
    return HF_SUCCESS;
}

static struct hf_status memory_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                       size_t max_batches, hf_log_visitor visit, void *context)
{
    struct memory_engine *memory = memory_of(engine);
    struct hf_status status;

    HF_TRY(enter(memory, op));
    status = follow(memory, op, from, max_batches, visit, context);
    leave(memory);
    return status;
}

static struct hf_status memory_snapshot(struct hf_engine *engine, struct hf_op *op,
                                        const char *file, uint64_t *out_seq)
{
    (void)engine;
    (void)file;
    (void)out_seq;
    return hf_fail(op, HF_UNSUPPORTED, "a store in memory writes no snapshots");
}

static struct hf_status memory_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                                      const char *destination)
{
    (void)engine;
    (void)seq;
    (void)destination;
    return hf_fail(op, HF_UNSUPPORTED, "a store in memory does not move");
}

static struct hf_status memory_settle(struct hf_engine *engine, struct hf_op *op)
{
    (void)engine;
    return hf_fail(op, HF_UNSUPPORTED, "a store in memory does not move");
}

static struct hf_status memory_barrier(struct hf_engine *engine, struct hf_op *op,
                                       uint64_t *out_seq)
{
    struct memory_engine *memory = memory_of(engine);

    HF_TRY(enter(memory, op));
    *out_seq = memory->state.seq;
    leave(memory);
    return HF_SUCCESS;
}

static struct lease *lease_named(struct memory_engine *memory, const char *name)
{
    for (size_t i = 0; i < memory->lease_count; i++) {
        if (strcmp(memory->leases[i].name, name) == 0) {
            return &memory->leases[i];
        }
    }
    memory->leases =
        hf_realloc_array(memory->leases, memory->lease_count + 1, sizeof *memory->leases);
    memory->leases[memory->lease_count] = (struct lease){ hf_strdup(name), hf_strdup(""), 0, 0 };
    return &memory->leases[memory->lease_count++];
}

static struct hf_status memory_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                     const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    struct memory_engine *memory = memory_of(engine);
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    struct hf_status status = HF_SUCCESS;
    struct lease *lease;

    HF_TRY(enter(memory, op));
    lease = lease_named(memory, name);
    if (strcmp(lease->holder, holder) != 0) {
        if (now_ms < lease->expires_ms) {
            status = hf_fail(op, HF_CONFLICT, "%.100s has the lease %.100s", lease->holder, name);
        } else {
            free(lease->holder);
            lease->holder = hf_strdup(holder);
            lease->fence++;
        }
    }
    if (status.code == HF_OK) {
        lease->expires_ms = now_ms + duration_ms;
        *out_fence = lease->fence;
    }
    leave(memory);
    return status;
}

static struct hf_status memory_forget(struct hf_engine *engine, struct hf_op *op,
                                      uint64_t below_seq)
{
    struct memory_engine *memory = memory_of(engine);
    size_t gone = 0;

    HF_TRY(enter(memory, op));
    while (gone < memory->log_count && memory->log[gone]->seq < below_seq) {
        batch_free(memory->log[gone]);
        gone++;
    }
    memory->log_count -= gone;
    if (gone > 0) {
        memmove(memory->log, memory->log + gone, memory->log_count * sizeof *memory->log);
    }
    leave(memory);
    return HF_SUCCESS;
}

static struct hf_status memory_beat(struct hf_engine *engine, struct hf_op *op,
                                    const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    struct memory_engine *memory = memory_of(engine);

    HF_TRY(enter(memory, op));
    hf_beats_put(&memory->beats, beat);
    if (synchronous) {
        *out_seq = memory->state.seq;
    }
    leave(memory);
    return HF_SUCCESS;
}

static struct hf_status memory_beats(struct hf_engine *engine, struct hf_op *op,
                                     hf_beat_visitor visit, void *context, uint64_t *out_seq)
{
    struct memory_engine *memory = memory_of(engine);
    struct hf_status status;

    HF_TRY(enter(memory, op));
    status = hf_beats_visit(&memory->beats, visit, context);
    if (status.code == HF_OK) {
        *out_seq = memory->state.seq;
    }
    leave(memory);
    return status;
}

const struct hf_engine_ops hf_memory_engine = {
    .name = "memory",
    .open = memory_open,
    .state = memory_state,
    .get = memory_get,
    .list = memory_list,
    .apply = memory_apply,
    .changes = memory_changes,
    .snapshot = memory_snapshot,
    .barrier = memory_barrier,
    .lease = memory_lease,
    .forget = memory_forget,
    .recall = memory_recall,
    .find = memory_find,
    .retire = memory_retire,
    .settle = memory_settle,
    .retired = hf_engine_none_retired,
    .close = memory_close,
    .beat = memory_beat,
    .beats = memory_beats,
    .hosts = hf_engine_no_hosts,
    .accept = hf_engine_accept_as_is,
};
