/* The end of versions and keys: waiting, the dark window, tombstones, and the job's list. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "keys/name.h"
#include "keys/stage.h"

#define PAGE 256 /* names looked at under one lock */

static struct hf_status not_before(struct hf_op *op, const char *what, const char *since,
                                   uint64_t time_ms)
{
    HF_AUTO(buf) date = hf_buf_new();

    hf_date_add(date, time_ms);
    return hf_fail(op, HF_WRONG_STATE, "%s; it is due at %s %s", what, hf_buf_text(date), since);
}

/*
 * P8: a version that somebody used a moment ago is not given up. A node that is cut off may have
 * used it within the window without having said so.
 */
static struct hf_status check_dark(struct hf_keys *keys, struct hf_op *op,
                                   const struct hf_name *name, uint32_t number, uint64_t window_ms)
{
    struct hf_usage usage;
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    HF_AUTO(buf) date = NULL;

    HF_TRY(hf_usage_get(keys, op, name->keyring, name->key, number, &usage));
    if (usage.last_ms == 0 || usage.last_ms + window_ms <= now_ms) {
        return HF_SUCCESS;
    }
    date = hf_buf_new();
    hf_date_add(date, usage.last_ms);
    return hf_fail(op, HF_WRONG_STATE,
                   "version %u of the key %s/%s was last used at %s, within the dark window of "
                   "%llu s; stop its users first",
                   number, name->keyring, name->key, hf_buf_text(date),
                   (unsigned long long)(window_ms / 1000));
}

/* What is left of a version: all but its material. */
static void bury(struct hf_version_record *record, uint64_t now_ms, struct hf_bytes reason)
{
    bool compromised = record->state == HF_KEY_COMPROMISED;

    record->state = compromised ? HF_KEY_DESTROYED_COMPROMISED : HF_KEY_DESTROYED;
    record->destroyed_ms = now_ms;
    record->destroy_at_ms = 0;
    record->reason = reason;
    record->wrapped = HF_BYTES_NONE;
}

/* --- one version --- */

static struct hf_status give_up_primary(struct hf_op *op, struct hf_txn *txn,
                                        const struct hf_name *name, struct hf_stored_key *stored,
                                        uint32_t version)
{
    if (stored->record.primary != version) {
        return HF_SUCCESS;
    }
    stored->record.primary = HF_LATEST;
    return hf_stage_key(op, txn, name, stored->opened->revision, &stored->record);
}

struct request {
    bool force;
    struct hf_bytes reason;
    uint64_t now_ms;
    struct hf_keyring_info keyring;
};

static struct hf_status destroy_version(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                        const struct hf_name *name, uint32_t version,
                                        const struct request *request)
{
    HF_AUTO(stored_key) stored_key = NULL;
    HF_AUTO(stored_version) stored = NULL;
    struct hf_version_record *record = NULL;
    enum hf_key_state state;

    HF_TRY(hf_stored_key_read(keys, op, name, false, &stored_key));
    HF_TRY(hf_stored_version_read(keys, op, name, version, &stored));
    record = &stored->record;
    state = record->state;
    HF_TRY(hf_key_step(op, &state, HF_KEY_DESTROY));
    if (!request->force && record->destroy_at_ms == 0 &&
        request->keyring.settings.destroy_wait_ms > 0) {
        record->destroy_at_ms = request->now_ms + request->keyring.settings.destroy_wait_ms;
        record->reason = request->reason;
        return hf_stage_version(op, txn, name, version, stored->opened->revision, record);
    }
    if (!request->force) {
        if (record->destroy_at_ms > request->now_ms) {
            return not_before(op, "the version waits to be destroyed", "and can be kept until then",
                              record->destroy_at_ms);
        }
        HF_TRY(check_dark(keys, op, name, version, request->keyring.settings.dark_window_ms));
    }
    bury(record, request->now_ms, request->reason);
    HF_TRY(hf_stage_version(op, txn, name, version, stored->opened->revision, record));
    return give_up_primary(op, txn, name, stored_key, version);
}

struct hf_status hf_key_keep(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                             const char *keyring, const char *key, uint32_t version)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored_key = NULL;
    HF_AUTO(stored_version) stored = NULL;

    HF_TRY(hf_stored_key_read(keys, op, &name, false, &stored_key));
    HF_TRY(hf_stored_version_read(keys, op, &name, version, &stored));
    if (stored->record.destroy_at_ms == 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "version %u of the key %s/%s does not wait to be destroyed", version,
                       keyring, key);
    }
    stored->record.destroy_at_ms = 0;
    return hf_stage_version(op, txn, &name, version, stored->opened->revision, &stored->record);
}

/* --- a whole key --- */

/* The versions that the index knows of a deleted key; free them. */
static uint32_t *numbers_of(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                            uint32_t *out_count)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_key *key = hf_index_key(keys->index, name->keyring, name->key);
    uint32_t count = key != NULL ? key->version_count : 0;
    uint32_t *numbers = hf_alloc_array(count, sizeof *numbers);

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = hf_index_version_at(key, i)->number;
    }
    hf_lane_unlock(lane);
    *out_count = count;
    return numbers;
}

static struct hf_status bury_version(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                     const struct hf_name *name, uint32_t number,
                                     const struct request *request, struct hf_buf *check_values)
{
    HF_AUTO(stored_version) stored = NULL;

    HF_TRY(hf_stored_version_read(keys, op, name, number, &stored));
    hf_put_u32(check_values, number);
    hf_buf_add(check_values, stored->record.check_value, HF_CHECK_VALUE_LEN);
    if (stored->opened->tombstone) {
        return HF_SUCCESS;
    }
    if (!request->force) {
        HF_TRY(check_dark(keys, op, name, number, request->keyring.settings.dark_window_ms));
    }
    bury(&stored->record, request->now_ms, request->reason);
    return hf_stage_version(op, txn, name, number, stored->opened->revision, &stored->record);
}

static struct hf_status bury_versions(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                      const struct hf_name *name, uint32_t first,
                                      const struct request *request, struct hf_buf *check_values,
                                      uint32_t *out_listed)
{
    uint32_t count = 0;
    uint32_t *numbers = numbers_of(keys, op, name, &count);
    struct hf_status status = HF_SUCCESS;

    *out_listed = 0;
    for (uint32_t i = 0; i < count && status.code == HF_OK; i++) {
        /* Smaller numbers belong to an earlier key of this name, whose tombstones stand. */
        if (numbers[i] >= first) {
            status = bury_version(keys, op, txn, name, numbers[i], request, check_values);
            (*out_listed)++;
        }
    }
    free(numbers);
    return status;
}

static struct hf_status destroy_key(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                    const struct hf_name *name, const struct request *request)
{
    HF_AUTO(stored_key) stored = NULL;
    HF_AUTO(buf) check_values = hf_buf_new();
    struct hf_key_record *record = NULL;
    uint32_t listed = 0;

    HF_TRY(hf_stored_key_read(keys, op, name, true, &stored));
    record = &stored->record;
    if (!record->deleted) {
        return hf_fail(op, HF_WRONG_STATE, "the key %s/%s is in use; delete it first",
                       name->keyring, name->key);
    }
    if (!request->force && record->destroy_at_ms > request->now_ms) {
        return not_before(op, "the key waits to be destroyed", "and can be recovered until then",
                          record->destroy_at_ms);
    }
    HF_TRY(
        bury_versions(keys, op, txn, name, record->first_version, request, check_values, &listed));
    record->destroyed = true;
    record->destroyed_ms = request->now_ms;
    record->primary = HF_LATEST;
    record->reason = request->reason.len > 0 ? request->reason : record->reason;
    record->check_value_count = listed;
    record->check_values = hf_buf_bytes(check_values);
    return hf_stage_key(op, txn, name, stored->opened->revision, record);
}

struct hf_status hf_key_destroy(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                const char *keyring, const char *key, uint32_t version, bool force,
                                const char *reason)
{
    struct hf_name name = { keyring, key };
    struct request request = { .force = force, .now_ms = hf_env_realtime_ms(op->env) };

    HF_TRY(hf_reason_check(op, reason, &request.reason));
    HF_TRY(hf_keyring_get(keys, op, keyring, &request.keyring));
    HF_TRY(hf_need_waiting(op));
    if (version == HF_LATEST) {
        return destroy_key(keys, op, txn, &name, &request);
    }
    return destroy_version(keys, op, txn, &name, version, &request);
}

/* --- what is due --- */

/* Candidates: names, each with the versions that are scheduled; copied out of the index. */
struct candidates {
    struct hf_buf items; /* text keyring, text name, version */
};

static void add_candidate(struct candidates *candidates, const struct hf_index_key *key,
                          uint32_t version)
{
    hf_put_text(&candidates->items, key->keyring->name);
    hf_put_text(&candidates->items, key->name);
    hf_put_u32(&candidates->items, version);
}

static void add_key(struct candidates *candidates, const struct hf_index_key *key)
{
    if (key->presence == HF_PRESENCE_DELETED) {
        add_candidate(candidates, key, HF_LATEST);
        return;
    }
    for (uint32_t i = 0; i < key->version_count; i++) {
        const struct hf_index_version *version = hf_index_version_at(key, i);

        if (version->due) {
            add_candidate(candidates, key, version->number);
        }
    }
}

/* A page of one list of one keyring; after moves on. False at its end. */
static bool add_page(struct hf_keys *keys, struct hf_op *op, size_t keyring_at, bool deleted,
                     struct hf_buf *after, struct candidates *candidates)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_keyring *keyring = hf_index_keyring_at(keys->index, keyring_at);
    struct hf_bytes from = hf_buf_bytes(after);
    struct hf_index_key *key = NULL;

    if (keyring != NULL) {
        const struct hf_sorted *list = deleted ? &keyring->deleted : &keyring->waiting;
        struct hf_sorted_place place = hf_sorted_after(list, from.len > 0 ? &from : NULL);

        for (size_t i = 0; i < PAGE && (key = hf_sorted_next(list, &place)) != NULL; i++) {
            add_key(candidates, key);
            hf_buf_clear(after);
            hf_buf_add(after, key->name, key->name_len);
        }
    }
    hf_lane_unlock(lane);
    return key != NULL;
}

static bool keyring_is_there(struct hf_keys *keys, struct hf_op *op, size_t at)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    bool there = hf_index_keyring_at(keys->index, at) != NULL;

    hf_lane_unlock(lane);
    return there;
}

static void collect(struct hf_keys *keys, struct hf_op *op, struct candidates *candidates)
{
    for (size_t at = 0; keyring_is_there(keys, op, at); at++) {
        for (int deleted = 0; deleted < 2; deleted++) {
            HF_AUTO(buf) after = hf_buf_new();

            while (add_page(keys, op, at, deleted != 0, after, candidates)) {
            }
        }
    }
}

/* The times are in the records only. What has gone or changed meanwhile is not due. */
static struct hf_status is_due(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                               uint32_t version, bool *out)
{
    HF_AUTO(stored_key) key = NULL;
    HF_AUTO(stored_version) one = NULL;
    uint64_t at_ms = 0;
    struct hf_status status = hf_stored_key_read(keys, op, name, version == HF_LATEST, &key);

    if (status.code == HF_OK && version != HF_LATEST) {
        status = hf_stored_version_read(keys, op, name, version, &one);
    }
    *out = false;
    if (status.code == HF_NOT_FOUND || status.code == HF_CONFLICT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    at_ms = one != NULL ? one->record.destroy_at_ms : key->record.destroy_at_ms;
    *out = at_ms != 0 && at_ms <= hf_env_realtime_ms(op->env);
    return HF_SUCCESS;
}

static struct hf_status visit_due(struct hf_keys *keys, struct hf_op *op, struct hf_reader *reader,
                                  struct hf_status (*visit)(void *context, const char *keyring,
                                                            const char *name, uint32_t version),
                                  void *context)
{
    HF_AUTO_STRING keyring = hf_take_text(reader);
    HF_AUTO_STRING name = hf_take_text(reader);
    uint32_t version = hf_take_u32(reader);
    bool due = false;

    HF_TRY(is_due(keys, op, &(struct hf_name){ keyring, name }, version, &due));
    return due ? visit(context, keyring, name, version) : HF_SUCCESS;
}

struct hf_status hf_key_purge_due(struct hf_keys *keys, struct hf_op *op,
                                  struct hf_status (*visit)(void *context, const char *keyring,
                                                            const char *name, uint32_t version),
                                  void *context)
{
    struct candidates candidates = { 0 };
    struct hf_reader reader;
    struct hf_status status = HF_SUCCESS;

    HF_TRY(hf_need_waiting(op));
    hf_buf_init(&candidates.items);
    collect(keys, op, &candidates);
    hf_reader_init(&reader, hf_buf_bytes(&candidates.items));
    while (reader.at != reader.end && status.code == HF_OK) {
        status = visit_due(keys, op, &reader, visit, context);
    }
    hf_buf_done(&candidates.items);
    return status;
}
