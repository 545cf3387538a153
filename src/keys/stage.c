/* Records as the store has them, and changes of them put into a transaction. */
#include "keys/stage.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "keys/name.h"

void hf_stored_key_free(struct hf_stored_key *stored)
{
    if (stored != NULL) {
        hf_opened_free(stored->opened);
        free(stored);
    }
}

void hf_stored_version_free(struct hf_stored_version *stored)
{
    if (stored != NULL) {
        hf_opened_free(stored->opened);
        free(stored);
    }
}

static struct hf_bytes content_of(const struct hf_opened *opened)
{
    return opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE;
}

static bool is_allowed(const struct hf_index_key *key, unsigned allowed)
{
    return key != NULL &&
           ((key->presence == HF_PRESENCE_DELETED && (allowed & HF_OR_DELETED) != 0) ||
            (key->presence == HF_PRESENCE_UNBORN && (allowed & HF_OR_UNBORN) != 0));
}

/* The index answers for what is not there, so that a refusal never costs a read. */
static struct hf_status check_there(struct hf_keys *keys, struct hf_op *op,
                                    const struct hf_name *name, unsigned allowed)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *key = NULL;
    struct hf_status status = hf_find_live(keys, op, name, &key);

    if (status.code == HF_NOT_FOUND &&
        is_allowed(hf_index_key(keys->index, name->keyring, name->key), allowed)) {
        hf_op_clear(op);
        status = HF_SUCCESS;
    }
    hf_lane_unlock(lane);
    return status;
}

/* Whether the record is of a kind that may be given, though the index was right a moment ago. */
static struct hf_status check_still(struct hf_op *op, const struct hf_name *name, unsigned allowed,
                                    const struct hf_stored_key *stored)
{
    const struct hf_key_record *record = &stored->record;

    if (stored->opened->tombstone || (record->deleted && (allowed & HF_OR_DELETED) == 0)) {
        return hf_fail(op, HF_CONFLICT, "the key %s/%s was deleted just now", name->keyring,
                       name->key);
    }
    if (record->unborn && (allowed & HF_OR_UNBORN) == 0) {
        return hf_fail(op, HF_CONFLICT, "the key %s/%s was made anew just now", name->keyring,
                       name->key);
    }
    return HF_SUCCESS;
}

struct hf_status hf_stored_key_read(struct hf_keys *keys, struct hf_op *op,
                                    const struct hf_name *name, unsigned allowed,
                                    struct hf_stored_key **out)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(stored_key) stored = hf_alloc(sizeof *stored);

    HF_TRY(check_there(keys, op, name, allowed));
    HF_TRY(hf_need_waiting(op));
    path = hf_key_path(name->keyring, name->key);
    HF_TRY(hf_seal_get_known(keys->seal, op, HF_KIND_KEY, path, &stored->opened));
    HF_TRY(hf_key_record_decode(op, content_of(stored->opened), &stored->record));
    HF_TRY(check_still(op, name, allowed, stored));
    *out = HF_TAKE(stored);
    return HF_SUCCESS;
}

static struct hf_status check_version(struct hf_keys *keys, struct hf_op *op,
                                      const struct hf_name *name, uint32_t number, const char *path)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_key *key = hf_index_key(keys->index, name->keyring, name->key);
    bool is_there = key != NULL && hf_index_version(key, number) != NULL;

    hf_lane_unlock(lane);
    HF_TRY(hf_check_unaltered(keys, op, path));
    if (!is_there) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "the key %s/%s has no version %u", name->keyring, name->key, number);
    }
    return HF_SUCCESS;
}

struct hf_status hf_stored_version_read(struct hf_keys *keys, struct hf_op *op,
                                        const struct hf_name *name, uint32_t number,
                                        struct hf_stored_version **out)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, number);
    HF_AUTO(stored_version) stored = hf_alloc(sizeof *stored);

    HF_TRY(check_version(keys, op, name, number, path));
    HF_TRY(hf_need_waiting(op));
    HF_TRY(hf_seal_get_known(keys->seal, op, HF_KIND_VERSION, path, &stored->opened));
    HF_TRY(hf_version_record_decode(op, content_of(stored->opened), &stored->record));
    *out = HF_TAKE(stored);
    return HF_SUCCESS;
}

struct hf_status hf_stage_key(struct hf_op *op, struct hf_txn *txn, const struct hf_name *name,
                              uint64_t expected, const struct hf_key_record *record)
{
    HF_AUTO_STRING path = hf_key_path(name->keyring, name->key);
    HF_AUTO(buf) content = hf_buf_new();

    hf_key_record_encode(record, content);
    if (record->destroyed) {
        return hf_txn_bury(txn, op, HF_KIND_KEY, path, expected, hf_buf_bytes(content));
    }
    return hf_txn_put(txn, op, HF_KIND_KEY, path, expected, hf_buf_bytes(content));
}

struct hf_status hf_stage_version(struct hf_op *op, struct hf_txn *txn, const struct hf_name *name,
                                  uint32_t number, uint64_t expected,
                                  const struct hf_version_record *record)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, number);
    HF_AUTO(buf) content = hf_buf_new();

    hf_version_record_encode(record, content);
    if (record->wrapped.len == 0) {
        return hf_txn_bury(txn, op, HF_KIND_VERSION, path, expected, hf_buf_bytes(content));
    }
    return hf_txn_put(txn, op, HF_KIND_VERSION, path, expected, hf_buf_bytes(content));
}

struct hf_status hf_wrap_proven(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                                uint32_t number, uint32_t keyring_key,
                                const struct hf_secret *material,
                                uint8_t out_check_value[HF_CHECK_VALUE_LEN], struct hf_buf *out)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, number);
    struct hf_wrap_place place = { .keyring = name->keyring, .path = path, .version = number };
    HF_AUTO(secret) proof = NULL;
    uint8_t proof_value[HF_CHECK_VALUE_LEN];
    uint8_t value[HF_CHECK_VALUE_LEN];

    HF_TRY(hf_seal_wrap(keys->seal, op, &place, keyring_key, material, out));
    HF_TRY(hf_seal_unwrap(keys->seal, op, &place, hf_buf_bytes(out), &proof));
    HF_TRY(hf_seal_check_value(keys->seal, op, hf_secret_bytes(material), value));
    HF_TRY(hf_seal_check_value(keys->seal, op, hf_secret_bytes(proof), proof_value));
    if (memcmp(value, proof_value, sizeof value) != 0) {
        return hf_fail(op, HF_CORRUPT,
                       "the wrapped form of %s/%s@%u did not open to what was wrapped; nothing "
                       "was changed",
                       name->keyring, name->key, number);
    }
    memcpy(out_check_value, value, sizeof value);
    return HF_SUCCESS;
}

struct hf_status hf_stage_new_version(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                      const struct hf_name *name,
                                      const struct hf_new_version *wanted)
{
    HF_AUTO(secret) material = NULL;
    HF_AUTO(buf) public_half = hf_buf_new();
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_keyring_info keyring;
    bool active = !wanted->pre_active && !wanted->candidate;
    struct hf_version_record record = {
        .state = active ? HF_KEY_ACTIVE : HF_KEY_PRE_ACTIVE,
        .imported = wanted->material != NULL,
        .candidate = wanted->candidate,
        .stays_pre_active = wanted->candidate && wanted->pre_active,
        .created_ms = hf_env_realtime_ms(op->env),
    };

    HF_TRY(hf_keyring_get(keys, op, name->keyring, &keyring));
    HF_TRY(hf_material_get(keys->crypto, op, wanted->algorithm, wanted->material,
                           wanted->material_len, &material, public_half));
    HF_TRY(hf_wrap_proven(keys, op, name, wanted->number, keyring.key_version, material,
                          record.check_value, wrapped));
    record.activated_ms = active ? record.created_ms : 0;
    record.public_half = hf_buf_bytes(public_half);
    record.wrapped = hf_buf_bytes(wrapped);
    return hf_stage_version(op, txn, name, wanted->number, 0, &record);
}

struct hf_status hf_candidate_refuse(struct hf_op *op, const struct hf_name *name, uint32_t number,
                                     const struct hf_version_record *record)
{
    if (record->candidate) {
        return hf_fail_cause(op, HF_WRONG_STATE, HF_CAUSE_NOT_PROVEN,
                             "version %u of the key %s/%s is not proven yet; it is promoted or "
                             "abandoned first",
                             number, name->keyring, name->key);
    }
    return HF_SUCCESS;
}

void hf_version_bury(struct hf_version_record *record, uint64_t now_ms, struct hf_bytes reason)
{
    bool compromised = record->state == HF_KEY_COMPROMISED;

    record->state = compromised ? HF_KEY_DESTROYED_COMPROMISED : HF_KEY_DESTROYED;
    record->candidate = false;
    record->stays_pre_active = false;
    record->destroyed_ms = now_ms;
    record->destroy_at_ms = 0;
    record->reason = reason;
    record->wrapped = HF_BYTES_NONE;
}

struct hf_status hf_reason_check(struct hf_op *op, const char *reason, struct hf_bytes *out)
{
    struct hf_bytes bytes = hf_bytes_of_text(reason != NULL ? reason : "");

    if (bytes.len >= sizeof((struct hf_version_info *)0)->reason || !hf_text_is_utf8(bytes)) {
        return hf_fail(op, HF_INVALID, "a reason is UTF-8 of at most 255 bytes");
    }
    *out = bytes;
    return HF_SUCCESS;
}
