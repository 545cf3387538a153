/* The keys as an object: lanes, and the records that the seal hands to the index. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/find.h"
#include "keys/lane.h"
#include "keys/name.h"

#define HOT_LIMIT        4096
#define HOT_LIMIT_SHARED 64

struct hf_lane *hf_lane_of(struct hf_keys *keys, const struct hf_op *op)
{
    unsigned last = keys->lane_count - 1;

    return &keys->lanes[op->lane < last ? op->lane : last];
}

struct hf_lane *hf_lane_lock(struct hf_keys *keys, const struct hf_op *op)
{
    struct hf_lane *lane = hf_lane_of(keys, op);

    pthread_mutex_lock(&lane->lock);
    return lane;
}

void hf_lane_unlock(struct hf_lane *lane)
{
    pthread_mutex_unlock(&lane->lock);
}

/* Nobody reads the index or uses a kept context from here on, until unlock_all(). */
static void lock_all(struct hf_keys *keys)
{
    pthread_mutex_lock(&keys->change_lock);
    for (unsigned i = 0; i < keys->lane_count; i++) {
        pthread_mutex_lock(&keys->lanes[i].lock);
    }
}

static void unlock_all(struct hf_keys *keys)
{
    for (unsigned i = 0; i < keys->lane_count; i++) {
        pthread_mutex_unlock(&keys->lanes[i].lock);
    }
    pthread_mutex_unlock(&keys->change_lock);
}

/* Around many changes, at unlock. */
static void begin(void *context)
{
    struct hf_keys *keys = context;

    lock_all(keys);
    keys->is_loading = true;
}

static void end(void *context)
{
    struct hf_keys *keys = context;

    keys->is_loading = false;
    unlock_all(keys);
}

static void begin_change(struct hf_keys *keys)
{
    if (!keys->is_loading) {
        lock_all(keys);
    }
}

static void end_change(struct hf_keys *keys)
{
    if (!keys->is_loading) {
        unlock_all(keys);
    }
}

/* Called by the index while all lanes are locked. */
static void drop_everywhere(void *context, const struct hf_index_version *version)
{
    struct hf_keys *keys = context;

    for (unsigned i = 0; i < keys->lane_count; i++) {
        hf_hot_drop(&keys->lanes[i].hot, version);
    }
}

static struct hf_status apply_keyring(void *context, struct hf_op *op,
                                      const struct hf_opened_view *view)
{
    struct hf_keys *keys = context;
    struct hf_path_parts parts;
    struct hf_keyring_record record;

    HF_TRY(hf_keyring_path_parse(op, view->path, &parts));
    HF_TRY(hf_keyring_record_decode(op, view->plain, &record));
    begin_change(keys);
    hf_index_put_keyring(keys->index, parts.keyring, view->revision, &record);
    end_change(keys);
    return HF_SUCCESS;
}

static struct hf_status apply_key(void *context, struct hf_op *op,
                                  const struct hf_opened_view *view)
{
    struct hf_keys *keys = context;
    struct hf_path_parts parts;
    struct hf_key_record record;

    HF_TRY(hf_key_path_parse(op, view->path, &parts));
    if (!view->tombstone) {
        HF_TRY(hf_key_record_decode(op, view->plain, &record));
    }
    begin_change(keys);
    hf_index_put_key(keys->index, parts.keyring, parts.name, view->seq,
                     view->tombstone ? NULL : &record);
    end_change(keys);
    return HF_SUCCESS;
}

static void tell_candidate(struct hf_keys *keys, const struct hf_path_parts *parts,
                           const struct hf_version_record *record, uint64_t seq)
{
    HF_AUTO_STRING key = hf_strndup((const char *)parts->name.data, parts->name.len);
    struct hf_candidate candidate = {
        .keyring = parts->keyring,
        .key = key,
        .version = parts->version,
        .seq = seq,
        .created_ms = record->created_ms,
        .is_promoted = !record->candidate,
    };

    if (keys->on_candidate != NULL) {
        keys->on_candidate(keys->on_candidate_context, &candidate);
    }
}

static struct hf_status apply_version(void *context, struct hf_op *op,
                                      const struct hf_opened_view *view)
{
    struct hf_keys *keys = context;
    struct hf_path_parts parts;
    struct hf_version_record record = { 0 };
    bool is_new;

    HF_TRY(hf_version_path_parse(op, view->path, &parts));
    if (!view->tombstone) {
        HF_TRY(hf_version_record_decode(op, view->plain, &record));
    }
    begin_change(keys);
    is_new = hf_index_put_version(keys->index, parts.keyring, parts.name, view->seq, parts.version,
                                  view->tombstone ? NULL : &record);
    end_change(keys);
    if (record.candidate || (is_new && !keys->is_loading && record.wrapped.len > 0)) {
        tell_candidate(keys, &parts, &record, view->seq);
    }
    return HF_SUCCESS;
}

static void clear(void *context)
{
    struct hf_keys *keys = context;

    lock_all(keys);
    drop_everywhere(keys, NULL);
    hf_index_clear(keys->index);
    unlock_all(keys);
}

void hf_keys_set_revoked(struct hf_keys *keys, const struct hf_revoked *items, size_t count)
{
    hf_assert(count <= HF_REVOKED_MAX);
    lock_all(keys);
    hf_revoked_replace(&keys->revoked, items, count);
    for (size_t i = 0; i < count; i++) {
        hf_index_drop(keys->index, items[i].keyring, items[i].key, items[i].version);
    }
    unlock_all(keys);
}

static struct hf_lane *lanes_new(unsigned count)
{
    void *memory = NULL;
    struct hf_lane *lanes = NULL;

    hf_assert(posix_memalign(&memory, _Alignof(struct hf_lane), count * sizeof *lanes) == 0);
    memset(memory, 0, count * sizeof *lanes);
    lanes = memory;
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_init(&lanes[i].lock, NULL);
        hf_hot_init(&lanes[i].hot, i + 1 < count ? HOT_LIMIT : HOT_LIMIT_SHARED);
        hf_usage_lane_init(&lanes[i].usage);
    }
    return lanes;
}

struct hf_keys *hf_keys_new(struct hf_seal *seal, unsigned lanes)
{
    struct hf_keys *keys = hf_alloc(sizeof *keys);
    struct hf_index_watcher watcher = { drop_everywhere, keys };

    keys->seal = seal;
    keys->crypto = hf_seal_crypto(seal);
    keys->index = hf_index_new(&watcher);
    pthread_mutex_init(&keys->change_lock, NULL);
    keys->lane_count = lanes + 1;
    keys->lanes = lanes_new(keys->lane_count);
    keys->usage = hf_usage_book_new();
    keys->consumers[0] =
        (struct hf_consumer){ HF_KIND_KEYRING, apply_keyring, clear, keys, begin, end };
    keys->consumers[1] = (struct hf_consumer){ HF_KIND_KEY, apply_key, NULL, keys, NULL, NULL };
    keys->consumers[2] =
        (struct hf_consumer){ HF_KIND_VERSION, apply_version, NULL, keys, NULL, NULL };
    for (size_t i = 0; i < HF_COUNT(keys->consumers); i++) {
        hf_seal_add_consumer(seal, &keys->consumers[i]);
    }
    return keys;
}

void hf_keys_free(struct hf_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    hf_seal_lock(keys->seal);
    for (unsigned i = 0; i < keys->lane_count; i++) {
        hf_hot_done(&keys->lanes[i].hot);
        hf_usage_lane_done(&keys->lanes[i].usage);
        pthread_mutex_destroy(&keys->lanes[i].lock);
    }
    free(keys->lanes);
    hf_revoked_replace(&keys->revoked, NULL, 0);
    hf_index_free(keys->index);
    hf_usage_book_free(keys->usage);
    pthread_mutex_destroy(&keys->change_lock);
    free(keys);
}

void hf_keys_on_candidate(struct hf_keys *keys,
                          void (*tell)(void *context, const struct hf_candidate *candidate),
                          void *context)
{
    keys->on_candidate = tell;
    keys->on_candidate_context = context;
}

struct hf_seal *hf_keys_seal(struct hf_keys *keys)
{
    return keys->seal;
}

void hf_keys_set_hot_limit(struct hf_keys *keys, unsigned lane, size_t limit)
{
    struct hf_op op = { .lane = lane };
    struct hf_lane *locked = hf_lane_lock(keys, &op);

    hf_hot_set_limit(&locked->hot, limit);
    hf_lane_unlock(locked);
}
