/* The end of versions and keys: waiting, the dark window, tombstones. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "keys/name.h"
#include "keys/stage.h"

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

    HF_TRY(hf_stored_key_read(keys, op, name, HF_LIVE, &stored_key));
    HF_TRY(hf_stored_version_read(keys, op, name, version, &stored));
    record = &stored->record;
    HF_TRY(hf_candidate_refuse(op, name, version, record));
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
    hf_version_bury(record, request->now_ms, request->reason);
    HF_TRY(hf_stage_version(op, txn, name, version, stored->opened->revision, record));
    return give_up_primary(op, txn, name, stored_key, version);
}

struct hf_status hf_key_keep(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                             const char *keyring, const char *key, uint32_t version)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored_key = NULL;
    HF_AUTO(stored_version) stored = NULL;

    HF_TRY(hf_stored_key_read(keys, op, &name, HF_LIVE, &stored_key));
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
    hf_version_bury(&stored->record, request->now_ms, request->reason);
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

    HF_TRY(hf_stored_key_read(keys, op, name, HF_OR_DELETED, &stored));
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
