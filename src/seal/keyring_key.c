/*
 * Keyring keys: AES-256 keys that wrap key versions (docs/formats/keyring-key.md). An open one
 * stays in locked memory until the seal is locked.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define FORMAT  1
#define PREFIX  "keyring-key/"
#define KEY_LEN 32
#define BUCKETS 4096

struct hf_keyring_keys {
    pthread_rwlock_t lock; /* guards buckets; a key that is not staged never changes */
    struct hf_keyring_key *buckets[BUCKETS];
};

struct hf_keyring_keys *hf_keyring_keys_new(void)
{
    struct hf_keyring_keys *keys = hf_alloc(sizeof *keys);

    pthread_rwlock_init(&keys->lock, NULL);
    return keys;
}

static void key_free(struct hf_keyring_key *key)
{
    if (key != NULL) {
        hf_secret_free(key->key);
        free(key->keyring);
        free(key);
    }
}

void hf_keyring_keys_free(struct hf_keyring_keys *keys)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (keys->buckets[i] != NULL) {
            struct hf_keyring_key *next = keys->buckets[i]->next;

            key_free(keys->buckets[i]);
            keys->buckets[i] = next;
        }
    }
    pthread_rwlock_destroy(&keys->lock);
    free(keys);
}

/* FNV-1a. Names are chosen by administrators, not by clients. */
static size_t bucket_of(const char *keyring, uint32_t version)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (const char *at = keyring; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3;
    }
    return (size_t)((hash ^ version) * 0x100000001b3 % BUCKETS);
}

/* Committed before staged; a staged one only for its own thread. lock is held. */
static struct hf_keyring_key *find(const struct hf_keyring_keys *keys, const char *keyring,
                                   uint32_t version)
{
    struct hf_keyring_key *staged = NULL;

    for (struct hf_keyring_key *key = keys->buckets[bucket_of(keyring, version)]; key != NULL;
         key = key->next) {
        if (key->version != version || strcmp(key->keyring, keyring) != 0) {
            continue;
        }
        if (!key->staged) {
            return key;
        }
        staged = pthread_equal(key->owner, pthread_self()) ? key : staged;
    }
    return staged;
}

static const struct hf_keyring_key *find_open(struct hf_keyring_keys *keys, const char *keyring,
                                              uint32_t version)
{
    const struct hf_keyring_key *key;

    pthread_rwlock_rdlock(&keys->lock);
    key = find(keys, keyring, version);
    pthread_rwlock_unlock(&keys->lock);
    return key;
}

/* Takes over key, or drops it if the same one is there already; gives the one to use. */
static const struct hf_keyring_key *insert(struct hf_keyring_keys *keys, struct hf_keyring_key *key)
{
    struct hf_keyring_key **bucket = &keys->buckets[bucket_of(key->keyring, key->version)];
    struct hf_keyring_key *there;

    pthread_rwlock_wrlock(&keys->lock);
    there = find(keys, key->keyring, key->version);
    if (there == NULL || (there->staged && !key->staged)) {
        key->next = *bucket;
        *bucket = key;
        there = key;
    }
    pthread_rwlock_unlock(&keys->lock);
    if (there != key) {
        key_free(key);
    }
    return there;
}

static struct hf_keyring_key **place_of_number(struct hf_keyring_keys *keys, uint64_t number)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct hf_keyring_key **at = &keys->buckets[i];

        while (*at != NULL && (*at)->number != number) {
            at = &(*at)->next;
        }
        if (*at != NULL) {
            return at;
        }
    }
    return NULL;
}

void hf_keyring_key_settle(struct hf_unlocked *unlocked, uint64_t number, bool committed)
{
    struct hf_keyring_keys *keys = unlocked->keyring_keys;
    struct hf_keyring_key *dropped = NULL;
    struct hf_keyring_key **at;

    pthread_rwlock_wrlock(&keys->lock);
    at = place_of_number(keys, number);
    if (at != NULL) {
        struct hf_keyring_key *there = find(keys, (*at)->keyring, (*at)->version);

        /* Another thread may have opened it from the store between the commit and now. */
        if (committed && there == *at) {
            there->staged = false;
        } else {
            dropped = *at;
            *at = dropped->next;
        }
    }
    pthread_rwlock_unlock(&keys->lock);
    key_free(dropped);
}

/* --- the record --- */

struct key_record {
    char *main_key;
    uint32_t main_version;
    uint64_t created_ms;
    struct hf_bytes wrapped; /* a view */
};

static struct hf_status parse(struct hf_op *op, struct hf_bytes content, struct key_record *out)
{
    struct key_record record;
    struct hf_reader reader;
    struct hf_status status;
    uint8_t format;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    record.main_key = hf_take_text(&reader);
    record.main_version = hf_take_u32(&reader);
    record.created_ms = hf_take_u64(&reader);
    record.wrapped = hf_take_bytes(&reader);
    status = hf_reader_end(&reader, op, "a keyring key");
    if (status.code == HF_OK &&
        (format != FORMAT ||
         strlen(record.main_key) >= sizeof((struct hf_keyring_key *)0)->main_key)) {
        status = hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                               "a keyring key is not in a form that this release knows");
    }
    if (status.code != HF_OK) {
        free(record.main_key);
        return status;
    }
    *out = record;
    return HF_SUCCESS;
}

static char *path_of(const char *keyring, uint32_t version)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, PREFIX);
    hf_percent_add(path, hf_bytes_of_text(keyring));
    hf_buf_add_format(path, "/%010" PRIu32, version);
    return hf_strdup(hf_buf_text(path));
}

/* A key object that nobody shares yet. */
static struct hf_keyring_key *new_key(struct hf_seal *seal, const char *keyring, uint32_t version,
                                      const char *main_key, uint32_t main_version,
                                      uint64_t created_ms)
{
    struct hf_keyring_key *key = hf_alloc(sizeof *key);

    key->keyring = hf_strdup(keyring);
    key->version = version;
    key->number = atomic_fetch_add(&seal->next_number, 1);
    key->main_version = main_version;
    key->created_ms = created_ms;
    (void)strncpy(key->main_key, main_key, sizeof key->main_key - 1);
    return key;
}

/* --- making --- */

static struct hf_status wrap_and_prove(struct hf_op *op, const struct hf_main_key *main_key,
                                       const struct hf_secret *key, struct hf_buf *out)
{
    HF_AUTO(secret) proof = NULL;

    HF_TRY(hf_rsa_wrap(main_key->pkey, op, main_key->hash, hf_secret_bytes(key), out));
    HF_TRY(hf_rsa_unwrap(main_key->pkey, op, main_key->hash, hf_buf_bytes(out), &proof));
    return hf_secret_equal(key, proof)
               ? HF_SUCCESS
               : hf_fail(op, HF_CORRUPT, "the main key does not open the keyring key it wrapped");
}

static struct hf_status check_new(struct hf_unlocked *unlocked, struct hf_op *op,
                                  const char *keyring, uint32_t version)
{
    if (keyring[0] == '\0' || strlen(keyring) > HF_KEYRING_MAX) {
        return hf_fail(op, HF_INVALID, "a keyring's name has 1 to %d bytes", HF_KEYRING_MAX);
    }
    if (find_open(unlocked->keyring_keys, keyring, version) != NULL) {
        return hf_fail(op, HF_CONFLICT, "keyring \"%.64s\" has a key version %" PRIu32 " already",
                       keyring, version);
    }
    return HF_SUCCESS;
}

struct hf_status hf_seal_keyring_key_create(struct hf_seal *seal, struct hf_op *op,
                                            struct hf_txn *txn, const char *keyring,
                                            uint32_t version, const char *main_name)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    HF_AUTO_STRING path = path_of(keyring, version);
    HF_AUTO(secret) secret = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(buf) content = hf_buf_new();
    const struct hf_main_key *main_key;
    struct hf_keyring_key *key;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(check_new(unlocked, op, keyring, version));
    HF_TRY(hf_main_key_open(seal, unlocked, op, main_name, 0, &main_key));
    HF_TRY(hf_random_secret(seal->crypto, op, KEY_LEN, &secret));
    HF_TRY(wrap_and_prove(op, main_key, secret, wrapped));
    hf_put_u8(content, FORMAT);
    hf_put_text(content, main_name);
    hf_put_u32(content, main_key->version);
    hf_put_u64(content, now_ms);
    hf_put_bytes(content, hf_buf_bytes(wrapped));
    HF_TRY(hf_txn_put(txn, op, HF_KIND_KEYRING_KEY, path, 0, hf_buf_bytes(content)));

    key = new_key(seal, keyring, version, main_name, main_key->version, now_ms);
    key->key = HF_TAKE(secret);
    key->staged = true;
    key->owner = pthread_self();
    hf_txn_adopt(txn, key->number);
    (void)insert(unlocked->keyring_keys, key);
    return HF_SUCCESS;
}

/* --- opening --- */

static struct hf_status read_record(struct hf_seal *seal, struct hf_op *op, const char *keyring,
                                    uint32_t version, struct hf_opened **out)
{
    HF_AUTO_STRING path = path_of(keyring, version);
    HF_AUTO(opened) opened = NULL;
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "the keyring key is not open yet");
    }
    status = hf_seal_get(seal, op, HF_KIND_KEYRING_KEY, path, &opened);
    if (status.code == HF_NOT_FOUND || (status.code == HF_OK && opened->tombstone)) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY,
                             "keyring \"%.64s\" has no key version %" PRIu32, keyring, version);
    }
    HF_TRY(status);
    *out = HF_TAKE(opened);
    return HF_SUCCESS;
}

static struct hf_status unwrap_key(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                   struct hf_op *op, const struct key_record *record,
                                   struct hf_secret **out)
{
    const struct hf_main_key *main_key;
    HF_AUTO(secret) key = NULL;

    HF_TRY(hf_main_key_open(seal, unlocked, op, record->main_key, record->main_version, &main_key));
    HF_TRY(hf_rsa_unwrap(main_key->pkey, op, main_key->hash, record->wrapped, &key));
    if (hf_secret_len(key) != KEY_LEN) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "what was wrapped as a keyring key is not one");
    }
    *out = HF_TAKE(key);
    return HF_SUCCESS;
}

static struct hf_status open_key(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, const char *keyring, uint32_t version,
                                 const struct hf_keyring_key **out)
{
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(secret) secret = NULL;
    struct key_record record;
    struct hf_status status;

    HF_TRY(read_record(seal, op, keyring, version, &opened));
    HF_TRY(parse(op, hf_opened_content(opened), &record));
    status = unwrap_key(seal, unlocked, op, &record, &secret);
    if (status.code == HF_OK) {
        struct hf_keyring_key *key = new_key(seal, keyring, version, record.main_key,
                                             record.main_version, record.created_ms);

        key->key = HF_TAKE(secret);
        *out = insert(unlocked->keyring_keys, key);
    }
    free(record.main_key);
    return status;
}

struct hf_status hf_keyring_key_find(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                     struct hf_op *op, const char *keyring, uint32_t version,
                                     const struct hf_keyring_key **out)
{
    const struct hf_keyring_key *key = find_open(unlocked->keyring_keys, keyring, version);

    if (key == NULL) {
        return open_key(seal, unlocked, op, keyring, version, out);
    }
    *out = key;
    return HF_SUCCESS;
}

struct hf_status hf_seal_keyring_key_open(struct hf_seal *seal, struct hf_op *op,
                                          const char *keyring, uint32_t version)
{
    const struct hf_keyring_key *key;

    HF_ENTER(seal, op, unlocked);
    return hf_keyring_key_find(seal, unlocked, op, keyring, version, &key);
}

/* --- what can be said of it --- */

static struct hf_status info_from_record(struct hf_seal *seal, struct hf_op *op,
                                         const char *keyring, uint32_t version,
                                         struct hf_keyring_key_info *out)
{
    HF_AUTO(opened) opened = NULL;
    struct key_record record;

    HF_TRY(read_record(seal, op, keyring, version, &opened));
    HF_TRY(parse(op, hf_opened_content(opened), &record));
    memset(out, 0, sizeof *out);
    out->version = version;
    out->main_version = record.main_version;
    out->created_ms = record.created_ms;
    memcpy(out->main_key, record.main_key, strlen(record.main_key) + 1);
    free(record.main_key);
    return HF_SUCCESS;
}

struct hf_status hf_seal_keyring_key_info(struct hf_seal *seal, struct hf_op *op,
                                          const char *keyring, uint32_t version,
                                          struct hf_keyring_key_info *out)
{
    const struct hf_keyring_key *key;

    HF_ENTER(seal, op, unlocked);
    key = find_open(unlocked->keyring_keys, keyring, version);
    if (key == NULL) {
        return info_from_record(seal, op, keyring, version, out);
    }
    memset(out, 0, sizeof *out);
    out->version = version;
    out->main_version = key->main_version;
    out->created_ms = key->created_ms;
    out->is_open = true;
    memcpy(out->main_key, key->main_key, sizeof out->main_key);
    return HF_SUCCESS;
}

/* --- what stands in its way --- */

struct hf_status hf_seal_keyring_key_blame(struct hf_seal *seal, struct hf_op *op,
                                           const char *keyring, uint32_t version, char **out_path)
{
    HF_AUTO_STRING own = path_of(keyring, version);
    struct hf_keyring_key_info info;
    const struct hf_main_key *main_key;
    struct hf_status status;

    HF_ENTER(seal, op, unlocked);
    status = info_from_record(seal, op, keyring, version, &info);
    if (status.code == HF_OK &&
        hf_main_key_open(seal, unlocked, op, info.main_key, info.main_version, &main_key).code !=
            HF_OK) {
        *out_path = hf_main_key_path(info.main_key, info.main_version);
    } else {
        *out_path = HF_TAKE(own);
    }
    hf_op_clear(op);
    return HF_SUCCESS;
}
