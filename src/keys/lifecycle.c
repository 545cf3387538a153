/* Changes of state of a version, soft deletion of a key and its recovery. */
#include "keys/stage.h"

static void stamp(struct hf_version_record *record, enum hf_key_event event, uint64_t now_ms)
{
    switch (event) {
    case HF_KEY_ACTIVATE:
        record->activated_ms = now_ms;
        break;
    case HF_KEY_DEACTIVATE:
        record->deactivated_ms = now_ms;
        break;
    case HF_KEY_COMPROMISE:
        record->compromised_ms = now_ms;
        break;
    case HF_KEY_DESTROY:
        record->destroyed_ms = now_ms;
        break;
    case HF_KEY_SUSPEND:
    case HF_KEY_RESUME:
        break;
    }
}

struct hf_status hf_key_change_state(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                     const char *keyring, const char *key, uint32_t version,
                                     enum hf_key_event event, const char *reason)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored_key = NULL;
    HF_AUTO(stored_version) stored = NULL;
    struct hf_bytes words;

    if (event == HF_KEY_DESTROY) {
        return hf_fail(op, HF_INVALID,
                       "destroying a version is not a change of state alone; "
                       "ask for its destruction");
    }
    HF_TRY(hf_reason_check(op, reason, &words));
    HF_TRY(hf_stored_key_read(keys, op, &name, HF_LIVE, &stored_key));
    HF_TRY(hf_stored_version_read(keys, op, &name, version, &stored));
    HF_TRY(hf_candidate_refuse(op, &name, version, &stored->record));
    HF_TRY(hf_key_step(op, &stored->record.state, event));
    stamp(&stored->record, event, hf_env_realtime_ms(op->env));
    stored->record.reason = words;
    HF_TRY(hf_stage_version(op, txn, &name, version, stored->opened->revision, &stored->record));
    if (event == HF_KEY_ACTIVATE && stored_key->record.primary == HF_LATEST) {
        stored_key->record.primary = version;
        return hf_stage_key(op, txn, &name, stored_key->opened->revision, &stored_key->record);
    }
    return HF_SUCCESS;
}

struct hf_status hf_key_delete(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                               const char *keyring, const char *key, const char *reason)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored = NULL;
    struct hf_keyring_info info;
    struct hf_bytes words;

    HF_TRY(hf_reason_check(op, reason, &words));
    HF_TRY(hf_stored_key_read(keys, op, &name, HF_LIVE, &stored));
    HF_TRY(hf_keyring_get(keys, op, keyring, &info));
    stored->record.deleted = true;
    stored->record.deleted_ms = hf_env_realtime_ms(op->env);
    stored->record.destroy_at_ms = stored->record.deleted_ms + info.settings.destroy_wait_ms;
    stored->record.reason = words;
    return hf_stage_key(op, txn, &name, stored->opened->revision, &stored->record);
}

struct hf_status hf_key_recover(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                const char *keyring, const char *key)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored = NULL;

    HF_TRY(hf_stored_key_read(keys, op, &name, HF_OR_DELETED, &stored));
    if (!stored->record.deleted) {
        return hf_fail(op, HF_WRONG_STATE, "the key %s/%s is not deleted", keyring, key);
    }
    stored->record.deleted = false;
    stored->record.deleted_ms = 0;
    stored->record.destroy_at_ms = 0;
    stored->record.reason = HF_BYTES_NONE;
    return hf_stage_key(op, txn, &name, stored->opened->revision, &stored->record);
}
