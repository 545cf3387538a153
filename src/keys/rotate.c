/* New versions of a key, which of them encrypts, and moving them under a newer keyring key. */
#include <stdlib.h>

#include "base/alloc.h"
#include "keys/name.h"
#include "keys/stage.h"

/* So that the tombstone of a key, which lists its versions, always fits into a record. */
#define VERSIONS_MAX 32768

static struct hf_status rotate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                               const struct hf_name *name, struct hf_new_version *wanted)
{
    HF_AUTO(stored_key) stored = NULL;

    HF_TRY(hf_stored_key_read(keys, op, name, HF_LIVE, &stored));
    if (stored->record.next_version - stored->record.first_version >= VERSIONS_MAX) {
        return hf_fail(op, HF_LIMITED, "a key has at most %d versions; make a new key",
                       VERSIONS_MAX);
    }
    wanted->algorithm = hf_algorithm_row(stored->record.algorithm);
    wanted->number = stored->record.next_version;
    HF_TRY(hf_stage_new_version(keys, op, txn, name, wanted));
    if (!wanted->candidate) {
        stored->record.primary = wanted->number;
    }
    stored->record.next_version++;
    return hf_stage_key(op, txn, name, stored->opened->revision, &stored->record);
}

struct hf_status hf_key_rotate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                               const char *keyring, const char *key,
                               const struct hf_secret *material, uint32_t *out_version)
{
    struct hf_name name = { keyring, key };
    struct hf_new_version wanted = { .material = material };

    HF_TRY(rotate(keys, op, txn, &name, &wanted));
    *out_version = wanted.number;
    return HF_SUCCESS;
}

struct hf_status hf_key_rotate_candidate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                         const char *keyring, const char *key,
                                         const struct hf_secret *material, uint32_t *out_version)
{
    struct hf_name name = { keyring, key };
    struct hf_new_version wanted = { .material = material, .candidate = true };

    HF_TRY(rotate(keys, op, txn, &name, &wanted));
    *out_version = wanted.number;
    return HF_SUCCESS;
}

struct hf_status hf_key_set_primary(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                    const char *keyring, const char *key, uint32_t version)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored = NULL;
    HF_AUTO(stored_version) chosen = NULL;

    HF_TRY(hf_stored_key_read(keys, op, &name, HF_LIVE, &stored));
    HF_TRY(hf_stored_version_read(keys, op, &name, version, &chosen));
    HF_TRY(hf_candidate_refuse(op, &name, version, &chosen->record));
    if (chosen->record.state != HF_KEY_ACTIVE) {
        return hf_fail(op, HF_WRONG_STATE,
                       "version %u of the key %s/%s is %s; only an active one can be primary",
                       version, keyring, key, hf_key_state_name(chosen->record.state));
    }
    stored->record.primary = version;
    /* The version is written too, unchanged: if it is suspended meanwhile, one of the two loses. */
    HF_TRY(hf_stage_version(op, txn, &name, version, chosen->opened->revision, &chosen->record));
    return hf_stage_key(op, txn, &name, stored->opened->revision, &stored->record);
}

/* The numbers of the versions that can be opened and are under an older keyring key. */
static struct hf_status versions_to_move(struct hf_keys *keys, struct hf_op *op,
                                         const struct hf_name *name, uint32_t **out,
                                         uint32_t *out_count)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *key = NULL;
    struct hf_status status = hf_find_there(keys, op, name, &key);
    uint32_t count = 0;

    if (status.code == HF_OK) {
        *out = hf_alloc_array(key->version_count, sizeof **out);
        for (uint32_t i = 0; i < key->version_count; i++) {
            const struct hf_index_version *version = hf_index_version_at(key, i);

            if (version->state != HF_KEY_DESTROYED &&
                version->state != HF_KEY_DESTROYED_COMPROMISED) {
                (*out)[count++] = version->number;
            }
        }
        *out_count = count;
    }
    hf_lane_unlock(lane);
    return status;
}

static struct hf_status move_version(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                     const struct hf_name *name, uint32_t number,
                                     uint32_t keyring_key, uint32_t *moved)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, number);
    struct hf_wrap_place place = { .keyring = name->keyring, .path = path, .version = number };
    HF_AUTO(stored_version) stored = NULL;
    HF_AUTO(secret) material = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    uint8_t check_value[HF_CHECK_VALUE_LEN];
    uint32_t parent = 0;

    HF_TRY(hf_stored_version_read(keys, op, name, number, &stored));
    HF_TRY(hf_seal_wrapped_parent(op, stored->record.wrapped, &parent));
    if (parent == keyring_key) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_seal_unwrap(keys->seal, op, &place, stored->record.wrapped, &material));
    HF_TRY(hf_wrap_proven(keys, op, name, number, keyring_key, material, check_value, wrapped));
    if (memcmp(check_value, stored->record.check_value, sizeof check_value) != 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "%s/%s@%u opens to another key than its check value tells of",
                             name->keyring, name->key, number);
    }
    stored->record.wrapped = hf_buf_bytes(wrapped);
    (*moved)++;
    return hf_stage_version(op, txn, name, number, stored->opened->revision, &stored->record);
}

struct hf_status hf_key_rewrap(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                               const char *keyring, const char *key, uint32_t *out_moved)
{
    struct hf_name name = { keyring, key };
    struct hf_keyring_info info;
    uint32_t *numbers = NULL;
    uint32_t count = 0;
    uint32_t moved = 0;
    struct hf_status status = HF_SUCCESS;

    HF_TRY(hf_keyring_get(keys, op, keyring, &info));
    HF_TRY(hf_need_waiting(op));
    HF_TRY(versions_to_move(keys, op, &name, &numbers, &count));
    for (uint32_t i = 0; i < count && status.code == HF_OK; i++) {
        status = move_version(keys, op, txn, &name, numbers[i], info.key_version, &moved);
    }
    free(numbers);
    HF_TRY(status);
    *out_moved = moved;
    return HF_SUCCESS;
}
