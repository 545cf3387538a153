/* What people and doors ask about keys: information, versions, names. */
#include <stdlib.h>

#include "base/alloc.h"
#include "keys/name.h"
#include "keys/stage.h"

#define PAGE 1000 /* names copied under one lock */

void hf_key_info_free(struct hf_key_info *info)
{
    if (info == NULL) {
        return;
    }
    for (size_t i = 0; i < info->attribute_count; i++) {
        free((char *)info->attributes[i].name);
        free((char *)info->attributes[i].value);
    }
    free(info->attributes);
    free(info->keyring);
    free(info->name);
    free(info->description);
    free(info->cipher);
    free(info);
}

static char *text_of(struct hf_bytes bytes)
{
    return hf_strndup((const char *)bytes.data, bytes.len);
}

static void copy_attributes(const struct hf_key_record *record, struct hf_key_info *info)
{
    struct hf_bytes rest = record->attributes;
    struct hf_bytes name;
    struct hf_bytes value;

    info->attributes = hf_alloc_array(record->attribute_count, sizeof *info->attributes);
    while (hf_key_record_attribute(&rest, &name, &value)) {
        info->attributes[info->attribute_count].name = text_of(name);
        info->attributes[info->attribute_count].value = text_of(value);
        info->attribute_count++;
    }
}

struct hf_status hf_key_get(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                            const char *key, bool include_deleted, struct hf_key_info **out)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored = NULL;
    const struct hf_key_record *record = NULL;
    struct hf_key_info *info = NULL;

    HF_TRY(hf_stored_key_read(keys, op, &name, HF_OR_UNBORN | (include_deleted ? HF_OR_DELETED : 0),
                              &stored));
    record = &stored->record;
    info = hf_alloc(sizeof *info);
    info->keyring = hf_strdup(keyring);
    info->name = hf_strdup(key);
    info->algorithm = record->algorithm;
    info->exportable = record->exportable;
    info->deleted = record->deleted;
    info->unborn = record->unborn;
    info->destroy_at_ms = record->destroy_at_ms;
    info->primary = record->primary;
    info->first_version = record->first_version;
    info->last_version = record->next_version - 1;
    info->version_count = record->next_version - record->first_version;
    info->created_ms = record->created_ms;
    info->revision = stored->opened->revision;
    info->description = record->has_description ? text_of(record->description) : NULL;
    info->cipher = record->has_cipher ? text_of(record->cipher) : NULL;
    copy_attributes(record, info);
    *out = info;
    return HF_SUCCESS;
}

struct hf_status hf_key_revision(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                 const char *key, uint64_t *out)
{
    HF_AUTO_STRING path = hf_key_path(keyring, key);
    HF_AUTO(opened) opened = NULL;
    struct hf_lane *lane = hf_lane_lock(keys, op);
    bool is_known = hf_index_key(keys->index, keyring, key) != NULL;
    struct hf_status status;

    hf_lane_unlock(lane);
    *out = 0;
    HF_TRY(hf_check_unaltered(keys, op, path));
    HF_TRY(hf_need_waiting(op));
    status = is_known ? hf_seal_get_known(keys->seal, op, HF_KIND_KEY, path, &opened)
                      : hf_seal_get(keys->seal, op, HF_KIND_KEY, path, &opened);
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out = opened->revision;
    return HF_SUCCESS;
}

/* --- versions --- */

static struct hf_status version_info(struct hf_op *op, const struct hf_stored_version *stored,
                                     uint32_t number, uint32_t primary, struct hf_version_info *out)
{
    const struct hf_version_record *record = &stored->record;

    memset(out, 0, sizeof *out);
    out->version = number;
    out->state = record->state;
    out->imported = record->imported;
    out->candidate = record->candidate;
    out->primary = number == primary;
    out->created_ms = record->created_ms;
    out->activated_ms = record->activated_ms;
    out->deactivated_ms = record->deactivated_ms;
    out->compromised_ms = record->compromised_ms;
    out->destroyed_ms = record->destroyed_ms;
    out->destroy_at_ms = record->destroy_at_ms;
    memcpy(out->check_value, record->check_value, HF_CHECK_VALUE_LEN);
    if (record->reason.len >= sizeof out->reason) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "a reason is too long to be ours");
    }
    if (record->reason.len > 0) {
        memcpy(out->reason, record->reason.data, record->reason.len);
    }
    if (record->wrapped.len > 0) {
        HF_TRY(hf_seal_wrapped_parent(op, record->wrapped, &out->keyring_key));
    }
    return HF_SUCCESS;
}

struct numbers {
    uint32_t *items;
    uint32_t count;
    uint32_t primary;
};

/* From first on: smaller numbers belong to an earlier key of this name. */
static struct hf_status numbers_of(struct hf_keys *keys, struct hf_op *op,
                                   const struct hf_name *name, uint32_t first, struct numbers *out)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *key = NULL;
    struct hf_status status = hf_find_there(keys, op, name, &key);

    if (status.code == HF_OK) {
        out->items = hf_alloc_array(key->version_count, sizeof *out->items);
        out->primary = key->primary;
        for (uint32_t i = 0; i < key->version_count; i++) {
            uint32_t number = hf_index_version_at(key, i)->number;

            if (number >= first) {
                out->items[out->count++] = number;
            }
        }
    }
    hf_lane_unlock(lane);
    return status;
}

struct hf_status hf_key_versions(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                 const char *key,
                                 void (*visit)(void *context, const struct hf_version_info *info),
                                 void *context)
{
    struct hf_name name = { keyring, key };
    HF_AUTO(stored_key) stored_key = NULL;
    struct numbers numbers = { 0 };
    struct hf_status status = HF_SUCCESS;

    HF_TRY(hf_stored_key_read(keys, op, &name, HF_OR_UNBORN, &stored_key));
    HF_TRY(numbers_of(keys, op, &name, stored_key->record.first_version, &numbers));
    for (uint32_t i = 0; i < numbers.count && status.code == HF_OK; i++) {
        HF_AUTO(stored_version) stored = NULL;
        struct hf_version_info info;

        status = hf_stored_version_read(keys, op, &name, numbers.items[i], &stored);
        if (status.code == HF_OK) {
            status = version_info(op, stored, numbers.items[i], numbers.primary, &info);
        }
        if (status.code == HF_OK) {
            visit(context, &info);
        }
    }
    free(numbers.items);
    return status;
}

/* --- names --- */

/* At most count names after *after as texts in out; *after moves on. Gives how many. */
static size_t copy_names(struct hf_keys *keys, struct hf_op *op, const char *keyring_name,
                         bool deleted, struct hf_buf *after, size_t count, struct hf_buf *out)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_keyring *keyring = hf_index_keyring(keys->index, keyring_name);
    struct hf_bytes from = hf_buf_bytes(after);
    size_t copied = 0;

    if (keyring != NULL) {
        const struct hf_sorted *list = deleted ? &keyring->deleted : &keyring->live;
        struct hf_sorted_place place = hf_sorted_after(list, from.len > 0 ? &from : NULL);
        const struct hf_index_key *key = NULL;
        const struct hf_index_key *last = NULL;

        while (copied < count && (key = hf_sorted_next(list, &place)) != NULL) {
            hf_buf_add(out, key->name, (size_t)key->name_len + 1);
            last = key;
            copied++;
        }
        if (last != NULL) {
            hf_buf_clear(after);
            hf_buf_add(after, last->name, last->name_len);
        }
    }
    hf_lane_unlock(lane);
    return copied;
}

struct hf_status hf_key_names(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                              bool deleted, const char *after, size_t limit,
                              void (*visit)(void *context, const char *name), void *context)
{
    HF_AUTO(buf) last = hf_buf_new();
    HF_AUTO(buf) names = hf_buf_new();
    struct hf_keyring_info info;
    size_t copied = PAGE;

    HF_TRY(hf_keyring_get(keys, op, keyring, &info));
    hf_buf_add_text(last, after != NULL ? after : "");
    while (limit > 0 && copied == PAGE) {
        const char *at = NULL;

        hf_buf_clear(names);
        copied = copy_names(keys, op, keyring, deleted, last, limit < PAGE ? limit : PAGE, names);
        at = (const char *)names->data;
        for (size_t i = 0; i < copied; i++) {
            visit(context, at);
            at += strlen(at) + 1;
        }
        limit -= copied;
    }
    return HF_SUCCESS;
}

/* --- from the index alone --- */

void hf_key_commits(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *key,
                    struct hf_key_commits *out)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    const struct hf_index_key *found = hf_index_key(keys->index, keyring, key);

    *out = (struct hf_key_commits){ 0 };
    if (found != NULL) {
        out->changed = found->seq;
    }
    /* Of a key that is deleted nothing is decided until it is recovered. */
    if (found != NULL &&
        (found->presence == HF_PRESENCE_LIVE || found->presence == HF_PRESENCE_UNBORN)) {
        out->candidate = found->candidate_seq;
    }
    hf_lane_unlock(lane);
}

uint64_t hf_keys_changed(const struct hf_keys *keys)
{
    return hf_index_seq(keys->index);
}

bool hf_keys_have_candidates(const struct hf_keys *keys)
{
    return hf_index_has_candidates(keys->index);
}

struct hf_status hf_key_primary(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                const char *key, uint32_t *out_version)
{
    struct hf_name name = { keyring, key };
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *found = NULL;
    struct hf_status status = hf_find_live(keys, op, &name, &found);

    if (status.code == HF_OK && found->primary == HF_LATEST) {
        status = hf_refuse_primary(op, &name, found);
    }
    if (status.code == HF_OK) {
        *out_version = found->primary;
    }
    hf_lane_unlock(lane);
    return status;
}

struct hf_status hf_key_algorithm(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                  const char *key, enum hf_algorithm *out)
{
    struct hf_name name = { keyring, key };
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *found = NULL;
    struct hf_status status = hf_find_live(keys, op, &name, &found);

    if (status.code == HF_OK) {
        *out = (enum hf_algorithm)found->algorithm;
    }
    hf_lane_unlock(lane);
    return status;
}

struct hf_status hf_key_may_leave(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                  const char *key, bool *out)
{
    struct hf_name name = { keyring, key };
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *found = NULL;
    struct hf_status status = hf_find_live(keys, op, &name, &found);

    if (status.code == HF_OK) {
        *out = found->exportable || found->algorithm == HF_ALG_OPAQUE;
    }
    hf_lane_unlock(lane);
    return status;
}

struct hf_status hf_key_acl_name(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                 const char *key, struct hf_buf *out)
{
    struct hf_name name = { keyring, key };
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_index_key *found = NULL;
    struct hf_status status = hf_find_there(keys, op, &name, &found);

    if (status.code == HF_OK) {
        hf_buf_add_text(out, found->acl_name != NULL ? found->acl_name : found->name);
    }
    hf_lane_unlock(lane);
    return status;
}
