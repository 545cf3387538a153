/* Finding versions, refusing in words that say why, and opening their material. */
#include "keys/find.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/lane.h"
#include "keys/name.h"

struct hf_status hf_need_waiting(struct hf_op *op)
{
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "this must read the store");
    }
    return HF_SUCCESS;
}

/* --- altered records --- */

bool hf_has_altered(struct hf_keys *keys)
{
    return hf_seal_damage(keys->seal, NULL, NULL) > 0;
}

static struct hf_status refuse_altered(struct hf_op *op, const char *path)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the record %.200s is altered; restore it from a backup", path);
}

struct hf_status hf_check_unaltered(struct hf_keys *keys, struct hf_op *op, const char *path)
{
    return hf_seal_harm(keys->seal, path) == HF_HARM_UNTOLD ? refuse_altered(op, path) : HF_SUCCESS;
}

static struct hf_status check_key(struct hf_keys *keys, struct hf_op *op,
                                  const struct hf_name *name)
{
    HF_AUTO_STRING path = hf_key_path(name->keyring, name->key);

    return hf_check_unaltered(keys, op, path);
}

static struct hf_status check_version(struct hf_keys *keys, struct hf_op *op,
                                      const struct hf_name *name, uint32_t number)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, number);

    return hf_check_unaltered(keys, op, path);
}

/* --- finding --- */

static struct hf_status refuse_key(struct hf_op *op, const struct hf_name *name,
                                   const struct hf_index_key *key)
{
    if (key != NULL && key->presence == HF_PRESENCE_DESTROYED) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED,
                             "the key %s/%s is destroyed", name->keyring, name->key);
    }
    if (key != NULL && key->presence == HF_PRESENCE_DELETED) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "the key %s/%s is deleted; it can be recovered until it is destroyed",
                             name->keyring, name->key);
    }
    if (key != NULL && key->presence == HF_PRESENCE_UNBORN) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "the key %s/%s is not there yet: its first version is not proven yet",
                             name->keyring, name->key);
    }
    return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY, "there is no key %s/%s",
                         name->keyring, name->key);
}

static struct hf_status find_key(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                                 bool or_unborn, struct hf_index_key **out)
{
    struct hf_index_key *key = NULL;
    bool found;

    /* While records are loaded the index is half full and knows nothing for certain. */
    if (!hf_seal_is_unlocked(keys->seal)) {
        return hf_fail(op, HF_WRONG_STATE, "the store is locked; open it with 'holdfast unlock'");
    }
    if (hf_has_altered(keys)) {
        HF_TRY(check_key(keys, op, name));
    }
    key = hf_index_key(keys->index, name->keyring, name->key);
    found = key != NULL && (key->presence == HF_PRESENCE_LIVE ||
                            (or_unborn && key->presence == HF_PRESENCE_UNBORN));
    if (!found) {
        return refuse_key(op, name, key);
    }
    *out = key;
    return HF_SUCCESS;
}

struct hf_status hf_find_live(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                              struct hf_index_key **out)
{
    return find_key(keys, op, name, false, out);
}

struct hf_status hf_find_there(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                               struct hf_index_key **out)
{
    return find_key(keys, op, name, true, out);
}

/* A version of the key as the index has it. */
static struct hf_status find_number(struct hf_keys *keys, struct hf_op *op,
                                    const struct hf_name *name, const struct hf_index_key *key,
                                    uint32_t number, struct hf_index_version **out)
{
    struct hf_index_version *version = NULL;

    if (hf_has_altered(keys)) {
        HF_TRY(check_version(keys, op, name, number));
    }
    version = hf_index_version(key, number);
    if (version == NULL) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "the key %s/%s has no version %u", name->keyring, name->key, number);
    }
    *out = version;
    return HF_SUCCESS;
}

struct hf_status hf_key_check_version(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                      const char *key, uint32_t number)
{
    struct hf_name name = { keyring, key };
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_version *version = NULL;
    struct hf_index_key *found = NULL;
    struct hf_status status = hf_find_there(keys, op, &name, &found);

    if (status.code == HF_OK) {
        status = find_number(keys, op, &name, found, number, &version);
    }
    hf_lane_unlock(lane);
    return status;
}

/*
 * What the store has lost can be opened with as long as somebody remembers it, but nothing new may
 * come to hang on it.
 */
static struct hf_status check_lasts(struct hf_keys *keys, struct hf_op *op,
                                    const struct hf_name *name, uint32_t number)
{
    HF_AUTO_STRING key_path = hf_key_path(name->keyring, name->key);
    HF_AUTO_STRING version_path = hf_version_path(name->keyring, name->key, number);

    if (hf_seal_harm(keys->seal, key_path) != HF_HARM_NONE) {
        return refuse_altered(op, key_path);
    }
    return hf_seal_harm(keys->seal, version_path) != HF_HARM_NONE ? refuse_altered(op, version_path)
                                                                  : HF_SUCCESS;
}

static bool state_allows(enum hf_key_state state, enum hf_need need)
{
    switch (need) {
    case HF_NEED_PROTECT:
        return hf_key_state_allows(state, HF_USE_PROTECT);
    case HF_NEED_PROCESS:
        return hf_key_state_allows(state, HF_USE_PROCESS);
    case HF_NEED_EXISTS:
    case HF_NEED_PROOF:
        return true;
    }
    return false;
}

struct hf_status hf_refuse_primary(struct hf_op *op, const struct hf_name *name,
                                   const struct hf_index_key *key)
{
    if (key->candidate_seq != 0) {
        return hf_fail_cause(op, HF_WRONG_STATE, HF_CAUSE_NOT_PROVEN,
                             "the key %s/%s has no primary version; one is not proven yet",
                             name->keyring, name->key);
    }
    return hf_fail(op, HF_WRONG_STATE,
                   "the key %s/%s has no primary version; activate one or rotate it", name->keyring,
                   name->key);
}

struct hf_status hf_find_version(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                                 uint32_t number, enum hf_need need, struct hf_index_key **out_key,
                                 struct hf_index_version **out)
{
    struct hf_index_key *key = NULL;
    struct hf_index_version *version = NULL;
    enum hf_key_state state = HF_KEY_DESTROYED;
    struct hf_status status;

    HF_TRY(find_key(keys, op, name, need == HF_NEED_PROOF, &key));
    hf_assert(key != NULL);
    number = number == HF_LATEST ? key->primary : number;
    if (number == HF_LATEST) {
        return hf_refuse_primary(op, name, key);
    }
    status = find_number(keys, op, name, key, number, &version);
    if (status.code != HF_OK || version == NULL) {
        return status;
    }
    state = (enum hf_key_state)version->state;
    if (state == HF_KEY_DESTROYED || state == HF_KEY_DESTROYED_COMPROMISED) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED,
                             "version %u of the key %s/%s is destroyed", number, name->keyring,
                             name->key);
    }
    if (version->candidate && need != HF_NEED_PROOF) {
        return hf_fail_cause(op, HF_WRONG_STATE, HF_CAUSE_NOT_PROVEN,
                             "version %u of the key %s/%s is not proven yet", number, name->keyring,
                             name->key);
    }
    if (!state_allows(state, need)) {
        return hf_fail(op, HF_WRONG_STATE, "version %u of the key %s/%s is %s", number,
                       name->keyring, name->key, hf_key_state_name(state));
    }
    if (keys->revoked.count > 0) {
        HF_TRY(hf_revoked_check(&keys->revoked, op, name, number, need));
    }
    if (need == HF_NEED_PROTECT && hf_has_altered(keys)) {
        HF_TRY(check_lasts(keys, op, name, number));
    }
    *out_key = key;
    *out = version;
    return HF_SUCCESS;
}

void hf_found_copy(const struct hf_keys *keys, const struct hf_index_key *key,
                   const struct hf_index_version *version, struct hf_found *out)
{
    out->algorithm = (enum hf_algorithm)key->algorithm;
    out->exportable = key->exportable;
    out->number = version->number;
    out->state = (enum hf_key_state)version->state;
    out->changes = hf_index_changes(keys->index);
    out->version = version;
    out->blob_len = version->blob_len;
    memcpy(out->blob, version->blob, version->blob_len);
}

struct hf_status hf_find(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                         uint32_t number, enum hf_need need, struct hf_found *out)
{
    struct hf_index_key *key = NULL;
    struct hf_index_version *version = NULL;
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_status status = hf_find_version(keys, op, name, number, need, &key, &version);

    if (status.code == HF_OK && key != NULL && version != NULL) {
        hf_found_copy(keys, key, version, out);
    }
    hf_lane_unlock(lane);
    return status;
}

static struct hf_status open_from_store(struct hf_keys *keys, struct hf_op *op,
                                        const struct hf_wrap_place *place, struct hf_secret **out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_version_record record;

    HF_TRY(hf_need_waiting(op));
    HF_TRY(hf_seal_get_known(keys->seal, op, HF_KIND_VERSION, place->path, &opened));
    if (opened->tombstone || opened->plain == NULL) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED,
                             "version %u is destroyed", place->version);
    }
    HF_TRY(hf_version_record_decode(op, hf_secret_bytes(opened->plain), &record));
    return hf_seal_unwrap(keys->seal, op, place, record.wrapped, out);
}

struct hf_status hf_found_open(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                               const struct hf_found *found, struct hf_secret **out)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, found->number);
    struct hf_wrap_place place = {
        .keyring = name->keyring,
        .path = path,
        .version = found->number,
    };

    if (found->blob_len == 0) {
        return open_from_store(keys, op, &place, out);
    }
    return hf_seal_unwrap(keys->seal, op, &place, hf_bytes_of(found->blob, found->blob_len), out);
}
