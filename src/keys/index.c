/* Tables of keys by hash, versions inline, names in order. */
#include "keys/index.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "keys/name.h"

#define ACL_ATTRIBUTE "key.acl.name"

/* Many small tables, so that one that grows holds everybody up for a moment only. */
#define TABLES    256
#define TABLE_MIN 8

struct table {
    /*
     * Linear probing, at most three quarters full. A tag is a piece of the hash of the key in the
     * slot, 0 where there is none: looking through tags touches no key but the right one.
     */
    uint8_t *tags;
    struct hf_index_key **slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

struct hf_index {
    struct hf_siphash_seed seed;
    struct table tables[TABLES];
    struct hf_index_keyring **keyrings; /* in byte order of names */
    size_t keyring_count;
    struct hf_index_keyring *last; /* of the last change: records come grouped by keyring */
    uint64_t changes;
    _Atomic uint64_t seq;
    _Atomic size_t serve_on;   /* keyrings that name the nodes that serve them */
    _Atomic size_t candidates; /* keys that have any */
    struct hf_index_watcher watcher;
};

struct hf_index *hf_index_new(const struct hf_index_watcher *watcher)
{
    struct hf_index *index = hf_alloc(sizeof *index);
    struct hf_env env;

    /* Not a client's business and in no result, so the system's randomness does in tests too. */
    hf_env_system(&env);
    hf_env_random(&env, &index->seed, sizeof index->seed);
    index->watcher = *watcher;
    return index;
}

void hf_index_free(struct hf_index *index)
{
    if (index != NULL) {
        hf_index_clear(index);
        free(index);
    }
}

uint64_t hf_index_changes(const struct hf_index *index)
{
    return index->changes;
}

const struct hf_siphash_seed *hf_index_seed(const struct hf_index *index)
{
    return &index->seed;
}

/* --- keyrings --- */

/* Where the keyring is or belongs; *found tells which. */
static size_t keyring_place(const struct hf_index *index, const char *name, bool *found)
{
    size_t low = 0;
    size_t high = index->keyring_count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(index->keyrings[middle]->name, name);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct hf_index_keyring *hf_index_keyring(const struct hf_index *index, const char *keyring)
{
    bool found = false;
    size_t at = keyring_place(index, keyring, &found);

    return found && index->keyrings[at]->exists ? index->keyrings[at] : NULL;
}

bool hf_index_has_serve_on(const struct hf_index *index)
{
    return atomic_load_explicit(&index->serve_on, memory_order_acquire) > 0;
}

struct hf_index_keyring *hf_index_keyring_at(const struct hf_index *index, size_t at)
{
    return at < index->keyring_count ? index->keyrings[at] : NULL;
}

static struct hf_index_keyring *need_keyring(struct hf_index *index, const char *name)
{
    struct hf_index_keyring *keyring = NULL;
    bool found = false;
    size_t at = 0;

    if (index->last != NULL && strcmp(index->last->name, name) == 0) {
        return index->last;
    }
    at = keyring_place(index, name, &found);
    if (!found) {
        keyring = hf_alloc(sizeof *keyring);
        memcpy(keyring->name, name, strlen(name) + 1);
        index->keyrings = hf_realloc_array(index->keyrings, index->keyring_count + 1,
                                           sizeof(struct hf_index_keyring *));
        memmove(index->keyrings + at + 1, index->keyrings + at,
                (index->keyring_count - at) * sizeof(struct hf_index_keyring *));
        index->keyrings[at] = keyring;
        index->keyring_count++;
    }
    index->last = index->keyrings[at];
    return index->last;
}

void hf_index_put_keyring(struct hf_index *index, const char *name, uint64_t revision,
                          const struct hf_keyring_record *record)
{
    struct hf_index_keyring *keyring = need_keyring(index, name);

    atomic_fetch_sub(&index->serve_on, keyring->record.serve_on.count > 0);
    atomic_fetch_add(&index->serve_on, record->serve_on.count > 0);
    keyring->exists = true;
    keyring->revision = revision;
    keyring->record = *record;
    memcpy(keyring->main_key, record->main_key.data, record->main_key.len);
    keyring->main_key[record->main_key.len] = '\0';
    keyring->record.main_key = hf_bytes_of(keyring->main_key, record->main_key.len);
}

/* --- keys --- */

static struct table *table_of(const struct hf_index *index, uint64_t hash)
{
    return (struct table *)&index->tables[hash >> 56];
}

static uint8_t tag_of(uint32_t hash)
{
    return (uint8_t)(hash >> 24 | 1);
}

static bool is_key(const struct hf_index_key *key, uint32_t hash, const char *keyring,
                   struct hf_bytes name)
{
    return key->hash == hash && key->name_len == name.len &&
           memcmp(key->name, name.data, name.len) == 0 && strcmp(key->keyring->name, keyring) == 0;
}

static struct hf_index_key *find_key(const struct hf_index *index, uint64_t hash,
                                     const char *keyring, struct hf_bytes name)
{
    const struct table *table = table_of(index, hash);
    size_t mask = table->capacity - 1;
    uint8_t tag = tag_of((uint32_t)hash);

    if (table->capacity == 0) {
        return NULL;
    }
    for (size_t at = hash & mask; table->tags[at] != 0; at = (at + 1) & mask) {
        if (table->tags[at] == tag && is_key(table->slots[at], (uint32_t)hash, keyring, name)) {
            return table->slots[at];
        }
    }
    return NULL;
}

struct hf_index_key *hf_index_key(const struct hf_index *index, const char *keyring,
                                  const char *name)
{
    struct hf_bytes bytes = hf_bytes_of_text(name);

    if (bytes.len > HF_NAME_MAX || strlen(keyring) > HF_KEYRING_NAME_MAX) {
        return NULL;
    }
    return find_key(index, hf_siphash_name(&index->seed, keyring, bytes), keyring, bytes);
}

static void place_key(struct table *table, struct hf_index_key *key)
{
    size_t mask = table->capacity - 1;
    size_t at = key->hash & mask;

    while (table->tags[at] != 0) {
        at = (at + 1) & mask;
    }
    table->tags[at] = tag_of(key->hash);
    table->slots[at] = key;
}

static void grow_table(struct table *table)
{
    struct table grown = { .capacity = table->capacity > 0 ? 2 * table->capacity : TABLE_MIN,
                           .count = table->count };

    grown.tags = hf_alloc(grown.capacity);
    grown.slots = hf_alloc_array(grown.capacity, sizeof(struct hf_index_key *));
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i] != NULL) {
            place_key(&grown, table->slots[i]);
        }
    }
    free(table->tags);
    free(table->slots);
    *table = grown;
}

static struct hf_index_key *need_key(struct hf_index *index, const char *keyring,
                                     struct hf_bytes name)
{
    uint64_t hash = hf_siphash_name(&index->seed, keyring, name);
    struct hf_index_key *key = find_key(index, hash, keyring, name);
    struct table *table = table_of(index, hash);

    if (key != NULL) {
        return key;
    }
    key = hf_alloc(sizeof *key + name.len + 1);
    key->keyring = need_keyring(index, keyring);
    key->hash = (uint32_t)hash;
    key->primary = HF_LATEST;
    key->name_len = (uint8_t)name.len;
    memcpy(key->name, name.data, name.len);
    if (4 * (table->count + 1) > 3 * table->capacity) {
        grow_table(table);
    }
    place_key(table, key);
    table->count++;
    return key;
}

/* The list that shows keys of that presence, or NULL. */
static struct hf_sorted *list_of(struct hf_index_keyring *keyring, unsigned presence)
{
    if (presence == HF_PRESENCE_LIVE || presence == HF_PRESENCE_UNBORN) {
        return &keyring->live;
    }
    return presence == HF_PRESENCE_DELETED ? &keyring->deleted : NULL;
}

static bool waits(const struct hf_index_version *version)
{
    return version->due || version->candidate;
}

static bool is_waiting(const struct hf_index_key *key)
{
    bool is_there = list_of(key->keyring, key->presence) == &key->keyring->live;

    for (uint32_t i = 0; is_there && i < key->version_count; i++) {
        if (waits(hf_index_version_at(key, i))) {
            return true;
        }
    }
    return false;
}

static void update_waiting(struct hf_index_key *key)
{
    bool waiting = is_waiting(key);

    if (waiting && !key->waiting) {
        hf_sorted_add(&key->keyring->waiting, key);
    } else if (!waiting && key->waiting) {
        hf_sorted_remove(&key->keyring->waiting, key);
    }
    key->waiting = waiting;
}

static void set_presence(struct hf_index_key *key, enum hf_presence presence)
{
    struct hf_sorted *from = list_of(key->keyring, key->presence);
    struct hf_sorted *to = list_of(key->keyring, presence);

    if (from != to) {
        if (from != NULL) {
            hf_sorted_remove(from, key);
        }
        if (to != NULL) {
            hf_sorted_add(to, key);
        }
    }
    key->presence = presence & 7;
    update_waiting(key);
}

/* The name access lists know the key by, where it is another one than its own. */
static char *acl_name_of(const struct hf_key_record *record, struct hf_bytes own)
{
    struct hf_bytes rest = record->attributes;
    struct hf_bytes name;
    struct hf_bytes value;

    while (hf_key_record_attribute(&rest, &name, &value)) {
        if (hf_bytes_equal_text(name, ACL_ATTRIBUTE)) {
            return hf_bytes_equal(value, own) ? NULL
                                              : hf_strndup((const char *)value.data, value.len);
        }
    }
    return NULL;
}

static void drop(struct hf_index *index, const struct hf_index_version *version)
{
    index->changes++;
    if (atomic_load_explicit(&version->hot, memory_order_relaxed) != 0) {
        index->watcher.drop(index->watcher.context, version);
    }
}

static void drop_all_of(struct hf_index *index, const struct hf_index_key *key)
{
    for (uint32_t i = 0; i < key->version_count; i++) {
        drop(index, hf_index_version_at(key, i));
    }
}

void hf_index_drop(struct hf_index *index, const char *keyring, const char *name, uint32_t number)
{
    const struct hf_index_key *key = hf_index_key(index, keyring, name);

    for (uint32_t i = 0; key != NULL && i < key->version_count; i++) {
        const struct hf_index_version *version = hf_index_version_at(key, i);

        if (number == HF_LATEST || version->number == number) {
            drop(index, version);
        }
    }
}

static enum hf_presence presence_of(const struct hf_key_record *record)
{
    if (record->unborn) {
        return HF_PRESENCE_UNBORN;
    }
    return record->deleted ? HF_PRESENCE_DELETED : HF_PRESENCE_LIVE;
}

uint64_t hf_index_seq(const struct hf_index *index)
{
    return atomic_load(&index->seq);
}

bool hf_index_has_candidates(const struct hf_index *index)
{
    return atomic_load_explicit(&index->candidates, memory_order_acquire) > 0;
}

static void note_seq(struct hf_index *index, struct hf_index_key *key, uint64_t seq)
{
    if (seq > key->seq) {
        key->seq = seq;
    }
    if (seq > atomic_load(&index->seq)) {
        atomic_store(&index->seq, seq);
    }
}

void hf_index_put_key(struct hf_index *index, const char *keyring, struct hf_bytes name,
                      uint64_t seq, const struct hf_key_record *record)
{
    struct hf_index_key *key = need_key(index, keyring, name);

    note_seq(index, key, seq);
    free(key->acl_name);
    key->acl_name = NULL;
    if (record == NULL) {
        key->primary = HF_LATEST;
        set_presence(key, HF_PRESENCE_DESTROYED);
    } else {
        key->acl_name = acl_name_of(record, name);
        key->primary = record->primary;
        key->algorithm = (uint8_t)record->algorithm;
        key->exportable = record->exportable;
        set_presence(key, presence_of(record));
    }
    if (key->presence != HF_PRESENCE_LIVE) {
        drop_all_of(index, key);
    }
}

/* --- versions --- */

struct hf_index_version *hf_index_version_at(const struct hf_index_key *key, uint32_t at)
{
    return key->version_count == 1 ? key->versions.one : key->versions.many[at];
}

/* How many versions have smaller numbers. */
static uint32_t version_place(const struct hf_index_key *key, uint32_t number)
{
    uint32_t low = 0;
    uint32_t high = key->version_count;

    /* Numbers follow one another in nearly every key, so the guess is nearly always right. */
    if (high > 0) {
        uint32_t guess = number - hf_index_version_at(key, 0)->number;

        if (guess < high && hf_index_version_at(key, guess)->number == number) {
            return guess;
        }
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (hf_index_version_at(key, middle)->number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct hf_index_version *hf_index_version(const struct hf_index_key *key, uint32_t number)
{
    uint32_t at = version_place(key, number);
    struct hf_index_version *version =
        at < key->version_count ? hf_index_version_at(key, at) : NULL;

    return version != NULL && version->number == number ? version : NULL;
}

static struct hf_index_version *version_new(uint32_t number, const struct hf_version_record *record)
{
    size_t blob_len =
        record != NULL && record->wrapped.len <= HF_INDEX_BLOB_MAX ? record->wrapped.len : 0;
    size_t len = offsetof(struct hf_index_version, blob) + blob_len;
    struct hf_index_version *version = hf_alloc(len > sizeof *version ? len : sizeof *version);

    version->number = number;
    version->state = (record != NULL ? record->state : HF_KEY_DESTROYED) & 7;
    version->due = record != NULL && record->destroy_at_ms != 0;
    version->candidate = record != NULL && record->candidate;
    version->elsewhere = record != NULL && record->wrapped.len > HF_INDEX_BLOB_MAX;
    version->blob_len = (uint8_t)blob_len;
    if (blob_len > 0) {
        memcpy(version->blob, record->wrapped.data, blob_len);
    }
    return version;
}

static void insert_version(struct hf_index_key *key, uint32_t at, struct hf_index_version *version)
{
    uint32_t count = key->version_count;

    if (count == 0) {
        key->versions.one = version;
    } else if (count == 1) {
        struct hf_index_version *other = key->versions.one;

        key->versions.many = hf_alloc_array(2, sizeof(struct hf_index_version *));
        key->versions.many[at] = version;
        key->versions.many[1 - at] = other;
    } else {
        if ((count & (count - 1)) == 0) {
            key->versions.many = hf_realloc_array(key->versions.many, 2 * (size_t)count,
                                                  sizeof(struct hf_index_version *));
        }
        memmove(key->versions.many + at + 1, key->versions.many + at,
                (count - at) * sizeof(struct hf_index_version *));
        key->versions.many[at] = version;
    }
    key->version_count++;
}

static void replace_version(struct hf_index *index, struct hf_index_key *key, uint32_t at,
                            struct hf_index_version *version)
{
    struct hf_index_version **place =
        key->version_count == 1 ? &key->versions.one : &key->versions.many[at];

    drop(index, *place);
    free(*place);
    *place = version;
}

static bool has_candidate(const struct hf_index_key *key)
{
    for (uint32_t i = 0; i < key->version_count; i++) {
        if (hf_index_version_at(key, i)->candidate) {
            return true;
        }
    }
    return false;
}

/* After a version that is or was a candidate was put in its place. */
static void update_candidate(struct hf_index *index, struct hf_index_key *key, uint64_t seq)
{
    bool had = key->candidate_seq != 0;

    if (!has_candidate(key)) {
        key->candidate_seq = 0;
    } else if (!had || seq < key->candidate_seq) {
        key->candidate_seq = seq;
    }
    atomic_fetch_add(&index->candidates, !had && key->candidate_seq != 0);
    atomic_fetch_sub(&index->candidates, had && key->candidate_seq == 0);
}

bool hf_index_put_version(struct hf_index *index, const char *keyring, struct hf_bytes name,
                          uint64_t seq, uint32_t number, const struct hf_version_record *record)
{
    struct hf_index_key *key = need_key(index, keyring, name);
    struct hf_index_version *version = version_new(number, record);
    uint32_t at = version_place(key, number);
    bool waited = false;
    bool was_candidate = false;
    bool is_new = true;

    if (!version->candidate) {
        note_seq(index, key, seq);
    }
    if (at < key->version_count && hf_index_version_at(key, at)->number == number) {
        is_new = false;
        waited = waits(hf_index_version_at(key, at));
        was_candidate = hf_index_version_at(key, at)->candidate;
        replace_version(index, key, at, version);
    } else {
        insert_version(key, at, version);
    }
    if (waits(version) != waited) {
        update_waiting(key);
    }
    if (version->candidate || was_candidate) {
        update_candidate(index, key, seq);
    }
    return is_new;
}

/* --- the end --- */

static void key_free(struct hf_index_key *key)
{
    for (uint32_t i = 0; i < key->version_count; i++) {
        free(hf_index_version_at(key, i));
    }
    if (key->version_count > 1) {
        free(key->versions.many);
    }
    free(key->acl_name);
    free(key);
}

static void keyring_free(struct hf_index_keyring *keyring)
{
    hf_sorted_done(&keyring->live);
    hf_sorted_done(&keyring->deleted);
    hf_sorted_done(&keyring->waiting);
    free(keyring);
}

void hf_index_clear(struct hf_index *index)
{
    for (size_t i = 0; i < TABLES; i++) {
        struct table *table = &index->tables[i];

        for (size_t at = 0; at < table->capacity; at++) {
            if (table->slots[at] != NULL) {
                key_free(table->slots[at]);
            }
        }
        free(table->tags);
        free(table->slots);
        *table = (struct table){ 0 };
    }
    for (size_t i = 0; i < index->keyring_count; i++) {
        keyring_free(index->keyrings[i]);
    }
    free(index->keyrings);
    index->keyrings = NULL;
    index->keyring_count = 0;
    atomic_store(&index->serve_on, 0);
    atomic_store(&index->candidates, 0);
    index->last = NULL;
    atomic_store(&index->seq, 0);
    index->changes++;
}
