/* A lane's contexts: a hash table with an order of use, loans, and how a context is made. */
#include "keys/hot.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/algorithm.h"
#include "keys/lane.h"
#include "keys/name.h"

/* The format is in the label, so a later format never shares a key with this one. */
#define ENCRYPT_LABEL "encrypt v1"
#define MAC_LABEL     "mac v1"

static const uint8_t no_salt[HF_SALT_LEN];

/* --- the table --- */

static void entry_free(struct hf_hot_entry *entry)
{
    switch (entry->kind) {
    case HF_HOT_HADOOP:
        hf_ctr_free(entry->what.ctr);
        break;
    case HF_HOT_ENCRYPT:
        hf_aead_free(entry->what.aead);
        break;
    case HF_HOT_PRIVATE:
    case HF_HOT_PUBLIC:
        hf_pkey_free(entry->what.pkey);
        break;
    case HF_HOT_MAC:
        hf_secret_free(entry->what.secret);
        break;
    }
    free(entry);
}

void hf_hot_init(struct hf_hot *hot, size_t limit)
{
    memset(hot, 0, sizeof *hot);
    hot->order.newer = &hot->order;
    hot->order.older = &hot->order;
    hot->limit = limit;
}

static struct hf_hot_entry **bucket_of(const struct hf_hot *hot,
                                       const struct hf_index_version *version,
                                       enum hf_hot_kind kind, const uint8_t *salt)
{
    uint64_t word = 0;

    /* Only salts that have opened something get here, so nobody chooses them to collide. */
    memcpy(&word, salt, sizeof word);
    word ^= (uint64_t)(uintptr_t)version >> 3;
    word = (word + (uint64_t)kind) * UINT64_C(0x9e3779b97f4a7c15);
    return &hot->buckets[(word >> 32) & (hot->bucket_count - 1)];
}

static void unlink_order(struct hf_hot_entry *entry)
{
    entry->newer->older = entry->older;
    entry->older->newer = entry->newer;
}

/* "older" of the head is the newest of all. */
static void link_newest(struct hf_hot *hot, struct hf_hot_entry *entry)
{
    entry->newer = &hot->order;
    entry->older = hot->order.older;
    entry->older->newer = entry;
    hot->order.older = entry;
}

static void take_out(struct hf_hot *hot, struct hf_hot_entry *entry)
{
    struct hf_hot_entry **at = bucket_of(hot, entry->version, entry->kind, entry->salt);

    while (*at != entry) {
        at = &(*at)->next;
    }
    *at = entry->next;
    unlink_order(entry);
    hot->count--;
    entry->kept = false;
    if (!entry->lent) {
        entry_free(entry);
    }
}

static void shrink(struct hf_hot *hot, size_t limit)
{
    struct hf_hot_entry *oldest = hot->order.newer;

    while (hot->count > limit) {
        struct hf_hot_entry *following = oldest->newer;

        take_out(hot, oldest);
        oldest = following;
    }
}

void hf_hot_done(struct hf_hot *hot)
{
    shrink(hot, 0);
    free(hot->buckets);
}

void hf_hot_set_limit(struct hf_hot *hot, size_t limit)
{
    hot->limit = limit;
    shrink(hot, limit);
}

void hf_hot_drop(struct hf_hot *hot, const struct hf_index_version *version)
{
    struct hf_hot_entry *entry = hot->order.older;

    while (entry != &hot->order) {
        struct hf_hot_entry *following = entry->older;

        if (version == NULL || entry->version == version) {
            take_out(hot, entry);
        }
        entry = following;
    }
}

static struct hf_hot_entry *look_up(const struct hf_hot *hot,
                                    const struct hf_index_version *version, enum hf_hot_kind kind,
                                    const uint8_t *salt)
{
    struct hf_hot_entry *entry =
        hot->bucket_count > 0 ? *bucket_of(hot, version, kind, salt) : NULL;

    while (entry != NULL && (entry->version != version || entry->kind != kind ||
                             memcmp(entry->salt, salt, HF_SALT_LEN) != 0)) {
        entry = entry->next;
    }
    return entry;
}

static void grow(struct hf_hot *hot)
{
    size_t old_count = hot->bucket_count;
    struct hf_hot_entry **old = hot->buckets;

    hot->bucket_count = old_count > 0 ? 2 * old_count : 16;
    hot->buckets = hf_alloc_array(hot->bucket_count, sizeof(struct hf_hot_entry *));
    free(old);
    for (struct hf_hot_entry *entry = hot->order.older; entry != &hot->order;
         entry = entry->older) {
        struct hf_hot_entry **at = bucket_of(hot, entry->version, entry->kind, entry->salt);

        entry->next = *at;
        *at = entry;
    }
}

static void keep(struct hf_hot *hot, struct hf_hot_entry *entry)
{
    struct hf_hot_entry **at = NULL;

    if (hot->limit == 0) {
        entry_free(entry);
        return;
    }
    shrink(hot, hot->limit - 1);
    if (hot->count >= hot->bucket_count) {
        grow(hot);
    }
    at = bucket_of(hot, entry->version, entry->kind, entry->salt);
    entry->next = *at;
    *at = entry;
    link_newest(hot, entry);
    hot->count++;
    entry->kept = true;
}

/* --- making a context --- */

static struct hf_status make_encrypt(struct hf_keys *keys, struct hf_op *op,
                                     const struct hf_hot_ask *ask, const struct hf_secret *material,
                                     struct hf_hot_entry *entry)
{
    HF_AUTO_STRING path = hf_version_path(ask->name.keyring, ask->name.key, entry->number);
    HF_AUTO(secret) subkey = NULL;
    struct hf_wrap_place place = {
        .keyring = ask->name.keyring,
        .path = path,
        .version = entry->number,
    };

    HF_TRY(hf_seal_subkey(keys->seal, op, material, ENCRYPT_LABEL, &place,
                          hf_bytes_of(entry->salt, HF_SALT_LEN), 32, &subkey));
    return hf_aead_new(keys->crypto, op, hf_secret_bytes(subkey), &entry->what.aead);
}

/* HMAC is the one use of an HMAC key's own bytes; other keys lend it a subkey. */
static struct hf_status make_mac(struct hf_keys *keys, struct hf_op *op,
                                 const struct hf_hot_ask *ask, const struct hf_secret *material,
                                 struct hf_hot_entry *entry)
{
    HF_AUTO_STRING path = hf_version_path(ask->name.keyring, ask->name.key, entry->number);
    struct hf_wrap_place place = {
        .keyring = ask->name.keyring,
        .path = path,
        .version = entry->number,
    };

    if (entry->algorithm == HF_ALG_HMAC) {
        return hf_secret_copy(op, hf_secret_bytes(material), &entry->what.secret);
    }
    return hf_seal_subkey(keys->seal, op, material, MAC_LABEL, &place, HF_BYTES_NONE, 32,
                          &entry->what.secret);
}

/* The public half is in the record in the clear, so that checking a signature opens nothing. */
static struct hf_status make_public(struct hf_keys *keys, struct hf_op *op,
                                    const struct hf_hot_ask *ask, struct hf_hot_entry *entry)
{
    HF_AUTO_STRING path = hf_version_path(ask->name.keyring, ask->name.key, entry->number);
    HF_AUTO(opened) opened = NULL;
    struct hf_version_record record;

    HF_TRY(hf_need_waiting(op));
    HF_TRY(hf_seal_get_known(keys->seal, op, HF_KIND_VERSION, path, &opened));
    if (opened->plain == NULL) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED,
                             "version %u is destroyed", entry->number);
    }
    HF_TRY(hf_version_record_decode(op, hf_secret_bytes(opened->plain), &record));
    return hf_pkey_from_public(keys->crypto, op, record.public_half, &entry->what.pkey);
}

static struct hf_status make_with_material(struct hf_keys *keys, struct hf_op *op,
                                           const struct hf_hot_ask *ask,
                                           const struct hf_found *found, struct hf_hot_entry *entry)
{
    HF_AUTO(secret) material = NULL;

    HF_TRY(hf_found_open(keys, op, &ask->name, found, &material));
    switch (entry->kind) {
    case HF_HOT_HADOOP:
        return hf_ctr_new(keys->crypto, op, hf_secret_bytes(material), &entry->what.ctr);
    case HF_HOT_ENCRYPT:
        return make_encrypt(keys, op, ask, material, entry);
    case HF_HOT_PRIVATE:
        return hf_pkey_from_private(keys->crypto, op, hf_secret_bytes(material), &entry->what.pkey);
    case HF_HOT_MAC:
        return make_mac(keys, op, ask, material, entry);
    case HF_HOT_PUBLIC:
        break;
    }
    return hf_fail(op, HF_INTERNAL, "a public half is not made from material");
}

static struct hf_status make_entry(struct hf_keys *keys, struct hf_op *op,
                                   const struct hf_hot_ask *ask, const struct hf_found *found,
                                   const uint8_t *salt, struct hf_hot_entry **out)
{
    struct hf_hot_entry *entry = hf_alloc(sizeof *entry);
    struct hf_status status;

    entry->version = found->version;
    entry->kind = ask->kind;
    entry->changes = found->changes;
    entry->number = found->number;
    entry->algorithm = found->algorithm;
    entry->lent = true;
    memcpy(entry->salt, salt, HF_SALT_LEN);
    status = ask->kind == HF_HOT_PUBLIC ? make_public(keys, op, ask, entry)
                                        : make_with_material(keys, op, ask, found, entry);
    if (status.code != HF_OK) {
        free(entry);
        return status;
    }
    *out = entry;
    return HF_SUCCESS;
}

/* --- loans --- */

static bool has_use(enum hf_algorithm algorithm, enum hf_hot_kind kind)
{
    const struct hf_algorithm_row *row = hf_algorithm_row(algorithm);

    hf_assert(row != NULL);
    switch (kind) {
    case HF_HOT_HADOOP:
    case HF_HOT_ENCRYPT:
        return row->family == HF_FAMILY_AES;
    case HF_HOT_PRIVATE:
    case HF_HOT_PUBLIC:
        return hf_algorithm_is_pair(row);
    case HF_HOT_MAC:
        return row->family == HF_FAMILY_AES || row->family == HF_FAMILY_HMAC;
    }
    return false;
}

/* The version asked for, if it may be used so. The lane is locked. */
static struct hf_status find_for(struct hf_keys *keys, struct hf_op *op,
                                 const struct hf_hot_ask *ask, struct hf_index_key **out_key,
                                 struct hf_index_version **out)
{
    struct hf_index_key *key = NULL;

    HF_TRY(hf_find_version(keys, op, &ask->name, ask->version, ask->need, &key, out));
    if (!has_use((enum hf_algorithm)key->algorithm, ask->kind)) {
        return hf_fail(op, HF_INVALID, "the key %s/%s is of the kind %s, which has no such use",
                       ask->name.keyring, ask->name.key,
                       hf_algorithm_name((enum hf_algorithm)key->algorithm));
    }
    *out_key = key;
    return HF_SUCCESS;
}

/*
 * The salt this lane encrypts under now. It serves all versions, and each has a subkey of its own
 * under it, so counting the lane's uses keeps every subkey below the limit.
 */
static struct hf_status use_lane_salt(struct hf_keys *keys, struct hf_op *op, struct hf_lane *lane)
{
    if (lane->salt_left == 0) {
        HF_TRY(hf_random_public(keys->crypto, op, lane->salt, HF_SALT_LEN));
        lane->salt_left = HF_SALT_USES;
    }
    lane->salt_left--;
    return HF_SUCCESS;
}

/* A kept context, or what is needed to make one. The lane is locked. */
static struct hf_status look(struct hf_keys *keys, struct hf_op *op, struct hf_lane *lane,
                             const struct hf_hot_ask *ask, uint8_t salt[HF_SALT_LEN],
                             struct hf_found *found, struct hf_hot_entry **out)
{
    struct hf_index_key *key = NULL;
    struct hf_index_version *version = NULL;
    struct hf_hot_entry *entry = NULL;

    HF_TRY(find_for(keys, op, ask, &key, &version));
    if (ask->kind == HF_HOT_ENCRYPT && ask->salt == NULL) {
        HF_TRY(use_lane_salt(keys, op, lane));
        memcpy(salt, lane->salt, HF_SALT_LEN);
    } else {
        memcpy(salt, ask->salt != NULL ? ask->salt : no_salt, HF_SALT_LEN);
    }
    entry = look_up(&lane->hot, version, ask->kind, salt);
    if (entry == NULL || entry->lent) {
        hf_found_copy(keys, key, version, found);
        return HF_SUCCESS;
    }
    unlink_order(entry);
    link_newest(&lane->hot, entry);
    entry->lent = true;
    *out = entry;
    return HF_SUCCESS;
}

/* All of them, because secret memory goes back in pages and only empty ones can serve others. */
static void give_up_kept(struct hf_keys *keys, struct hf_op *op)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);

    hf_hot_drop(&lane->hot, NULL);
    hf_lane_unlock(lane);
}

struct hf_status hf_hot_borrow(struct hf_keys *keys, struct hf_op *op, const struct hf_hot_ask *ask,
                               struct hf_hot_entry **out)
{
    struct hf_found found;
    uint8_t salt[HF_SALT_LEN];
    struct hf_hot_entry *entry = NULL;
    struct hf_lane *lane = hf_lane_lock(keys, op);
    struct hf_status status = look(keys, op, lane, ask, salt, &found, &entry);

    hf_lane_unlock(lane);
    HF_TRY(status);
    if (entry == NULL) {
        status = make_entry(keys, op, ask, &found, salt, &entry);
        if (status.code == HF_NO_SPACE) {
            /* What others keep warm is worth less than this use. */
            give_up_kept(keys, op);
            hf_op_clear(op);
            status = make_entry(keys, op, ask, &found, salt, &entry);
        }
        HF_TRY(status);
    }
    *out = entry;
    return HF_SUCCESS;
}

/*
 * A fresh context stays if nothing has changed since its version was looked at: only then is the
 * version still there and the same. Otherwise the next use makes it again.
 */
static bool is_worth_keeping(const struct hf_keys *keys, const struct hf_lane *lane,
                             const struct hf_hot_entry *entry)
{
    return entry->changes == hf_index_changes(keys->index) &&
           look_up(&lane->hot, entry->version, entry->kind, entry->salt) == NULL;
}

void hf_hot_return(struct hf_keys *keys, struct hf_op *op, struct hf_hot_entry *entry, bool wanted)
{
    struct hf_lane *lane = hf_lane_lock(keys, op);
    bool gone = false;

    entry->lent = false;
    if (!entry->kept) {
        gone = !wanted || !is_worth_keeping(keys, lane, entry);
        if (!gone) {
            struct hf_index_version *version = (struct hf_index_version *)entry->version;

            atomic_store_explicit(&version->hot, 1, memory_order_relaxed);
            keep(&lane->hot, entry);
        }
    }
    hf_lane_unlock(lane);
    if (gone) {
        entry_free(entry);
    }
}

bool hf_hot_crypt(struct hf_keys *keys, struct hf_op *op, const struct hf_hot_ask *ask,
                  const uint8_t counter[HF_AES_BLOCK_LEN], struct hf_bytes in, uint8_t *out,
                  uint32_t *out_version, struct hf_status *out_status)
{
    struct hf_index_key *key = NULL;
    struct hf_index_version *version = NULL;
    struct hf_hot_entry *entry = NULL;
    struct hf_lane *lane = hf_lane_lock(keys, op);

    *out_status = find_for(keys, op, ask, &key, &version);
    if (out_status->code == HF_OK) {
        entry = look_up(&lane->hot, version, ask->kind, no_salt);
        if (entry != NULL && !entry->lent &&
            in.len == hf_algorithm_row(entry->algorithm)->min_len) {
            unlink_order(entry);
            link_newest(&lane->hot, entry);
            *out_version = version->number;
            *out_status = hf_ctr_crypt(entry->what.ctr, op, counter, in, out);
        } else {
            entry = NULL;
        }
    }
    hf_lane_unlock(lane);
    return entry != NULL || out_status->code != HF_OK;
}
