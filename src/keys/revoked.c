/* See revoked.h: the entries, what they refuse, and what a key's state makes of it. */
#include "keys/revoked.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/lane.h"
#include "keys/name.h"

/* What a use still may be, as the state of a version allows it everywhere (state.h). */
static const struct {
    const char *name;
    bool of_key;
    bool of_version;
    bool lets_process;
    bool lets_exist;
} rows[] = {
    [HF_REVOKED_DELETED] = { "deleted", true, false, false, false },
    [HF_REVOKED_DESTROYED] = { "destroyed", true, true, false, false },
    [HF_REVOKED_SUSPENDED] = { "suspended", false, true, false, true },
    [HF_REVOKED_DEACTIVATED] = { "deactivated", false, true, true, true },
    [HF_REVOKED_COMPROMISED] = { "compromised", false, true, true, true },
};

const char *hf_revoked_as_name(enum hf_revoked_as as)
{
    return rows[as].name;
}

struct hf_status hf_revoked_as_parse(struct hf_op *op, const char *name, bool whole_key,
                                     enum hf_revoked_as *out)
{
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0 && (whole_key ? rows[i].of_key : rows[i].of_version)) {
            *out = (enum hf_revoked_as)i;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID, "a %s is not revoked by being \"%.40s\"",
                   whole_key ? "key" : "version", name);
}

/* --- the entries --- */

static void empty(struct hf_revoked_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free((char *)list->items[i].keyring);
        free((char *)list->items[i].key);
    }
    free(list->items);
    *list = (struct hf_revoked_list){ 0 };
}

void hf_revoked_replace(struct hf_revoked_list *list, const struct hf_revoked *items, size_t count)
{
    empty(list);
    if (count == 0) {
        return;
    }
    list->items = hf_alloc_array(count, sizeof *list->items);
    for (; list->count < count; list->count++) {
        struct hf_revoked *place = &list->items[list->count];

        *place = items[list->count];
        place->keyring = hf_strdup(place->keyring);
        place->key = hf_strdup(place->key);
    }
}

static bool lets(enum hf_revoked_as as, enum hf_need need)
{
    switch (need) {
    case HF_NEED_PROTECT:
        return false;
    case HF_NEED_PROCESS:
        return rows[as].lets_process;
    case HF_NEED_EXISTS:
        return rows[as].lets_exist;
    case HF_NEED_PROOF: /* that it opens is no use of it */
        return true;
    }
    return false;
}

static bool is_of(const struct hf_revoked *item, const struct hf_name *name, uint32_t number)
{
    return (item->version == HF_LATEST || item->version == number) &&
           strcmp(item->key, name->key) == 0 && strcmp(item->keyring, name->keyring) == 0;
}

struct hf_status hf_revoked_check(const struct hf_revoked_list *list, struct hf_op *op,
                                  const struct hf_name *name, uint32_t number, enum hf_need need)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct hf_revoked *item = &list->items[i];

        /* The names come last: they may be long, and a text may be cut. */
        if (is_of(item, name, number) && !lets(item->as, need)) {
            return hf_fail(op, HF_WRONG_STATE,
                           "revoked on this node: it is %s as of commit %" PRIu64
                           ", which this node has not followed yet: version %u of the key %s/%s",
                           rows[item->as].name, item->seq, number, name->keyring, name->key);
        }
    }
    return HF_SUCCESS;
}

/* --- what the store says --- */

static struct hf_status state_of_version(struct hf_op *op, const struct hf_name *name,
                                         const struct hf_index_version *version,
                                         enum hf_revoked_as *out)
{
    switch ((enum hf_key_state)version->state) {
    case HF_KEY_SUSPENDED:
        *out = HF_REVOKED_SUSPENDED;
        return HF_SUCCESS;
    case HF_KEY_DEACTIVATED:
        *out = HF_REVOKED_DEACTIVATED;
        return HF_SUCCESS;
    case HF_KEY_COMPROMISED:
        *out = HF_REVOKED_COMPROMISED;
        return HF_SUCCESS;
    case HF_KEY_DESTROYED:
    case HF_KEY_DESTROYED_COMPROMISED:
        *out = HF_REVOKED_DESTROYED;
        return HF_SUCCESS;
    case HF_KEY_PRE_ACTIVE:
    case HF_KEY_ACTIVE:
        break;
    }
    return hf_fail(op, HF_WRONG_STATE,
                   "version %u of the key %s/%s is %s: it is revoked first, with 'holdfast key "
                   "state', and then told to others",
                   version->number, name->keyring, name->key,
                   hf_key_state_name((enum hf_key_state)version->state));
}

static struct hf_status state_of_live(struct hf_keys *keys, struct hf_op *op,
                                      const struct hf_name *name, const struct hf_index_key *key,
                                      uint32_t number, enum hf_revoked_as *out)
{
    HF_AUTO_STRING path = hf_version_path(name->keyring, name->key, number);
    const struct hf_index_version *version = NULL;

    if (number == HF_LATEST) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the key %s/%s is in use: delete it first, or say which of its versions was "
                       "revoked",
                       name->keyring, name->key);
    }
    HF_TRY(hf_check_unaltered(keys, op, path));
    version = hf_index_version(key, number);
    if (version == NULL) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "the key %s/%s has no version %u", name->keyring, name->key, number);
    }
    return state_of_version(op, name, version, out);
}

static struct hf_status state_of_key(struct hf_keys *keys, struct hf_op *op,
                                     const struct hf_name *name, const struct hf_index_key *key,
                                     uint32_t number, enum hf_revoked_as *out)
{
    bool is_gone = key != NULL &&
                   (key->presence == HF_PRESENCE_DELETED || key->presence == HF_PRESENCE_DESTROYED);

    if (!is_gone && (key == NULL || key->presence != HF_PRESENCE_LIVE)) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY, "there is no key %s/%s",
                             name->keyring, name->key);
    }
    if (!is_gone) {
        return state_of_live(keys, op, name, key, number, out);
    }
    *out = key->presence == HF_PRESENCE_DELETED ? HF_REVOKED_DELETED : HF_REVOKED_DESTROYED;
    return number == HF_LATEST ? HF_SUCCESS
                               : hf_fail(op, HF_WRONG_STATE,
                                         "the key %s/%s is %s as a whole: leave the version out",
                                         name->keyring, name->key, rows[*out].name);
}

struct hf_status hf_key_revoked_as(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                   const char *key, uint32_t number, enum hf_revoked_as *out,
                                   uint64_t *out_seq)
{
    HF_AUTO_STRING path = hf_key_path(keyring, key);
    struct hf_name name = { keyring, key };
    const struct hf_index_key *found = NULL;
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_status status = hf_check_unaltered(keys, op, path);
    enum hf_revoked_as as = HF_REVOKED_DELETED;

    if (status.code == HF_OK) {
        found = hf_index_key(keys->index, keyring, key);
        status = state_of_key(keys, op, &name, found, number, &as);
    }
    if (status.code == HF_OK && found != NULL) {
        *out = as;
        *out_seq = found->seq;
    }
    hf_lane_unlock(lane);
    return status;
}
