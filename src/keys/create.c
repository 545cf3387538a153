/* New keys, also under the name of one that was destroyed. */
#include "base/alloc.h"
#include "base/text.h"
#include "keys/name.h"
#include "keys/stage.h"

#define DESCRIPTION_MAX 4096
#define CIPHER_MAX      64
#define ATTRIBUTES_MAX  64
#define ATTRIBUTE_MAX   4096 /* bytes of a value */
/* Far from HF_LATEST, so that there is always a next number. */
#define FIRST_VERSION_MAX 2147483647u

static struct hf_status check_text(struct hf_op *op, const char *what, const char *text, size_t max)
{
    struct hf_bytes bytes = hf_bytes_of_text(text);

    if (bytes.len > max || !hf_text_is_utf8(bytes)) {
        return hf_fail(op, HF_INVALID, "%s is UTF-8 of at most %zu bytes", what, max);
    }
    return HF_SUCCESS;
}

static struct hf_status check_attributes(struct hf_op *op, const struct hf_key_plan *plan)
{
    if (plan->attribute_count > ATTRIBUTES_MAX) {
        return hf_fail(op, HF_INVALID, "a key has at most %d attributes", ATTRIBUTES_MAX);
    }
    for (size_t i = 0; i < plan->attribute_count; i++) {
        const struct hf_attribute *attribute = &plan->attributes[i];

        if (attribute->name[0] == '\0') {
            return hf_fail(op, HF_INVALID, "an attribute must have a name");
        }
        HF_TRY(check_text(op, "an attribute's name", attribute->name, HF_NAME_MAX));
        HF_TRY(check_text(op, "an attribute's value", attribute->value, ATTRIBUTE_MAX));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(plan->attributes[j].name, attribute->name) == 0) {
                return hf_fail(op, HF_INVALID, "the attribute %s is given twice", attribute->name);
            }
        }
    }
    return HF_SUCCESS;
}

static struct hf_status check_plan(struct hf_op *op, const char *name,
                                   const struct hf_key_plan *plan)
{
    HF_TRY(hf_key_name_check(op, name));
    if (hf_algorithm_row(plan->algorithm) == NULL) {
        return hf_fail(op, HF_INVALID, "there is no algorithm number %d", (int)plan->algorithm);
    }
    if (plan->first_version > FIRST_VERSION_MAX) {
        return hf_fail(op, HF_INVALID, "a key's first version is at most %u", FIRST_VERSION_MAX);
    }
    if (plan->description != NULL) {
        HF_TRY(check_text(op, "a description", plan->description, DESCRIPTION_MAX));
    }
    if (plan->cipher != NULL) {
        HF_TRY(check_text(op, "a cipher", plan->cipher, CIPHER_MAX));
    }
    return check_attributes(op, plan);
}

/* HF_EXISTS when the name is in use. *out_is_new: there never was a key of this name. */
static struct hf_status check_free(struct hf_keys *keys, struct hf_op *op,
                                   const struct hf_name *name, bool *out_is_new)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_key *key = hf_index_key(keys->index, name->keyring, name->key);
    unsigned presence = key != NULL ? key->presence : HF_PRESENCE_AWAITED;
    bool is_new = key == NULL && !hf_has_altered(keys);

    hf_lane_unlock(lane);
    if (presence == HF_PRESENCE_LIVE) {
        return hf_fail(op, HF_EXISTS, "there is a key %s/%s already", name->keyring, name->key);
    }
    if (presence == HF_PRESENCE_UNBORN) {
        return hf_fail(op, HF_EXISTS,
                       "a key %s/%s is just being made: its first version is not proven yet",
                       name->keyring, name->key);
    }
    if (presence == HF_PRESENCE_DELETED) {
        return hf_fail(op, HF_EXISTS,
                       "the key %s/%s is deleted and still holds its name; recover it, or wait "
                       "until it is destroyed",
                       name->keyring, name->key);
    }
    *out_is_new = is_new;
    return HF_SUCCESS;
}

/* What stands at the key's path: nothing, or the tombstone of an earlier key of this name. */
static struct hf_status read_predecessor(struct hf_keys *keys, struct hf_op *op,
                                         const struct hf_name *name, uint64_t *out_revision,
                                         uint32_t *out_next_version)
{
    HF_AUTO_STRING path = hf_key_path(name->keyring, name->key);
    HF_AUTO(opened) opened = NULL;
    struct hf_key_record record;
    struct hf_status status = hf_seal_get(keys->seal, op, HF_KIND_KEY, path, &opened);

    *out_revision = 0;
    *out_next_version = 0;
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    if (!opened->tombstone) {
        return hf_fail(op, HF_EXISTS, "there is a key %s/%s already", name->keyring, name->key);
    }
    HF_TRY(hf_key_record_decode(
        op, opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE, &record));
    *out_revision = opened->revision;
    *out_next_version = record.next_version;
    return HF_SUCCESS;
}

static struct hf_status stage_key(struct hf_op *op, struct hf_txn *txn, const struct hf_name *name,
                                  const struct hf_key_plan *plan, uint64_t expected,
                                  uint32_t number)
{
    HF_AUTO(buf) attributes = hf_buf_new();
    struct hf_key_record record = {
        .algorithm = plan->algorithm,
        .exportable = plan->exportable,
        .has_description = plan->description != NULL,
        .has_cipher = plan->cipher != NULL,
        .unborn = plan->candidate,
        .primary = plan->pre_active || plan->candidate ? HF_LATEST : number,
        .first_version = number,
        .next_version = number + 1,
        .created_ms = hf_env_realtime_ms(op->env),
        .description = hf_bytes_of_text(plan->description != NULL ? plan->description : ""),
        .cipher = hf_bytes_of_text(plan->cipher != NULL ? plan->cipher : ""),
        .attribute_count = (uint32_t)plan->attribute_count,
    };

    for (size_t i = 0; i < plan->attribute_count; i++) {
        hf_attribute_put(attributes, hf_bytes_of_text(plan->attributes[i].name),
                         hf_bytes_of_text(plan->attributes[i].value));
    }
    record.attributes = hf_buf_bytes(attributes);
    return hf_stage_key(op, txn, name, expected, &record);
}

struct hf_status hf_key_create(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                               const char *keyring, const char *key, const struct hf_key_plan *plan,
                               uint32_t *out_version)
{
    struct hf_name name = { keyring, key };
    struct hf_keyring_info info;
    struct hf_new_version wanted = {
        .algorithm = hf_algorithm_row(plan->algorithm),
        .material = plan->material,
        .material_len = plan->material_len,
        .pre_active = plan->pre_active,
        .candidate = plan->candidate,
    };
    uint64_t expected = 0;
    uint32_t next = 0;
    bool is_new = false;

    HF_TRY(check_plan(op, key, plan));
    HF_TRY(hf_keyring_get(keys, op, keyring, &info));
    HF_TRY(check_free(keys, op, &name, &is_new));
    HF_TRY(hf_need_waiting(op));
    /* Where the index lags behind the store, the commit finds the revision and conflicts. */
    if (!is_new) {
        HF_TRY(read_predecessor(keys, op, &name, &expected, &next));
    }
    wanted.number = next > plan->first_version ? next : plan->first_version;
    HF_TRY(hf_stage_new_version(keys, op, txn, &name, &wanted));
    HF_TRY(stage_key(op, txn, &name, plan, expected, wanted.number));
    *out_version = wanted.number;
    return HF_SUCCESS;
}
