/*
 * Versions that are born proven: the second of the two transactions, which promotes a candidate
 * that every node has opened, or abandons one that a node could not.
 */
#include "base/alloc.h"
#include "keys/name.h"
#include "keys/stage.h"

/* --- the candidate --- */

static struct hf_status check_candidate(struct hf_op *op, const struct hf_name *name,
                                        uint32_t number, const struct hf_version_record *record)
{
    if (record->candidate) {
        return HF_SUCCESS;
    }
    if (record->wrapped.len == 0) {
        return hf_fail_cause(op, HF_WRONG_STATE, HF_CAUSE_VERSION_DESTROYED,
                             "version %u of the key %s/%s is destroyed: %.*s", number,
                             name->keyring, name->key, (int)record->reason.len,
                             record->reason.len > 0 ? (const char *)record->reason.data : "");
    }
    return hf_fail(op, HF_EXISTS, "version %u of the key %s/%s is promoted already", number,
                   name->keyring, name->key);
}

/* Its version first: one that was abandoned may have taken its key with it, and says why. */
static struct hf_status read_candidate(struct hf_keys *keys, struct hf_op *op,
                                       const struct hf_name *name, uint32_t number,
                                       struct hf_stored_version **out)
{
    HF_AUTO(stored_version) stored = NULL;

    HF_TRY(hf_keyring_name_check(op, name->keyring));
    HF_TRY(hf_key_name_check(op, name->key));
    HF_TRY(hf_stored_version_read(keys, op, name, number, &stored));
    HF_TRY(check_candidate(op, name, number, &stored->record));
    *out = HF_TAKE(stored);
    return HF_SUCCESS;
}

/* --- promoting --- */

/* Whether the promotion changes the key's record, and does so. */
static bool raise_key(struct hf_key_record *key, const struct hf_version_record *version,
                      uint32_t number)
{
    bool newer = key->primary == HF_LATEST || key->primary < number;
    bool changed = key->unborn;

    key->unborn = false;
    if (version->state == HF_KEY_ACTIVE && newer) {
        key->primary = number;
        changed = true;
    }
    return changed;
}

struct hf_status hf_key_promote(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                const char *keyring, const char *key, uint32_t version,
                                const char *reason)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored_key = NULL;
    HF_AUTO(stored_version) stored = NULL;
    struct hf_version_record *record = NULL;
    struct hf_bytes words;

    HF_TRY(hf_reason_check(op, reason, &words));
    HF_TRY(read_candidate(keys, op, &name, version, &stored));
    HF_TRY(hf_stored_key_read(keys, op, &name, HF_OR_UNBORN, &stored_key));
    record = &stored->record;
    if (!record->stays_pre_active) {
        record->state = HF_KEY_ACTIVE;
        record->activated_ms = hf_env_realtime_ms(op->env);
    }
    record->candidate = false;
    record->stays_pre_active = false;
    record->reason = words;
    HF_TRY(hf_stage_version(op, txn, &name, version, stored->opened->revision, record));
    if (!raise_key(&stored_key->record, record, version)) {
        return HF_SUCCESS;
    }
    return hf_stage_key(op, txn, &name, stored_key->opened->revision, &stored_key->record);
}

/* --- abandoning --- */

/* A key that was never born goes with its only version and leaves its name and numbers. */
static struct hf_status bury_key(struct hf_op *op, struct hf_txn *txn, const struct hf_name *name,
                                 struct hf_stored_key *stored, uint32_t version,
                                 const struct hf_version_record *buried)
{
    HF_AUTO(buf) check_values = hf_buf_new();
    struct hf_key_record *record = &stored->record;

    hf_put_u32(check_values, version);
    hf_buf_add(check_values, buried->check_value, HF_CHECK_VALUE_LEN);
    record->unborn = false;
    record->destroyed = true;
    record->destroyed_ms = buried->destroyed_ms;
    record->reason = buried->reason;
    record->check_value_count = 1;
    record->check_values = hf_buf_bytes(check_values);
    return hf_stage_key(op, txn, name, stored->opened->revision, record);
}

struct hf_status hf_key_abandon(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                const char *keyring, const char *key, uint32_t version,
                                const char *reason)
{
    struct hf_name name = { keyring, key };
    HF_AUTO_STRING text = hf_format("abandoned: %s", reason);
    HF_AUTO(stored_key) stored_key = NULL;
    HF_AUTO(stored_version) stored = NULL;
    struct hf_bytes words;

    HF_TRY(hf_reason_check(op, text, &words));
    HF_TRY(read_candidate(keys, op, &name, version, &stored));
    HF_TRY(hf_stored_key_read(keys, op, &name, HF_OR_UNBORN | HF_OR_DELETED, &stored_key));
    hf_version_bury(&stored->record, hf_env_realtime_ms(op->env), words);
    HF_TRY(hf_stage_version(op, txn, &name, version, stored->opened->revision, &stored->record));
    if (!stored_key->record.unborn) {
        return HF_SUCCESS;
    }
    return bury_key(op, txn, &name, stored_key, version, &stored->record);
}
