/* Main keys: RSA key pairs that wrap keyring keys (docs/formats/main-key.md). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define FORMAT           1
#define PREFIX           "main/"
#define FIRST_VERSION    1
#define NAME_MAX_LEN     64
#define SYSTEM_MANAGED   1
#define CUSTOMER_MANAGED 2
#define PROOF_LEN        32

/* Numbers in records, which stay when the enums change. */
static const struct {
    uint8_t number;
    enum hf_pkey_kind kind;
} kinds[] = {
    { 1, HF_PKEY_RSA_2048 },
    { 2, HF_PKEY_RSA_3072 },
    { 3, HF_PKEY_RSA_4096 },
};
static const struct {
    uint8_t number;
    enum hf_hash hash;
} hashes[] = {
    { 1, HF_HASH_SHA256 },
    { 2, HF_HASH_SHA384 },
    { 3, HF_HASH_SHA512 },
};

/* A version that is open, kept until the seal is locked. */
struct open_key {
    struct open_key *next;
    char *name;
    struct hf_main_key key;
};

struct hf_main_keys {
    pthread_mutex_t lock; /* guards first; what is in the list stays as it is */
    struct open_key *first;
};

struct hf_main_keys *hf_main_keys_new(void)
{
    struct hf_main_keys *keys = hf_alloc(sizeof *keys);

    pthread_mutex_init(&keys->lock, NULL);
    return keys;
}

static void open_key_free(struct open_key *key)
{
    hf_pkey_free(key->key.pkey);
    free(key->name);
    free(key);
}

void hf_main_keys_free(struct hf_main_keys *keys)
{
    while (keys->first != NULL) {
        struct open_key *next = keys->first->next;

        open_key_free(keys->first);
        keys->first = next;
    }
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}

/* --- the record of a version --- */

/* As it stands in the record; views into it. */
struct version_record {
    enum hf_pkey_kind kind;
    bool customer_managed;
    enum hf_hash hash;
    uint64_t created_ms;
    struct hf_bytes public_key;  /* SubjectPublicKeyInfo */
    struct hf_bytes private_key; /* PKCS#8; empty when customer-managed */
};

static bool kind_of(uint8_t number, enum hf_pkey_kind *out)
{
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if (kinds[i].number == number) {
            *out = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static bool hash_of(uint8_t number, enum hf_hash *out)
{
    for (size_t i = 0; i < HF_COUNT(hashes); i++) {
        if (hashes[i].number == number) {
            *out = hashes[i].hash;
            return true;
        }
    }
    return false;
}

static uint8_t number_of_kind(enum hf_pkey_kind kind)
{
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if (kinds[i].kind == kind) {
            return kinds[i].number;
        }
    }
    return 0;
}

static uint8_t number_of_hash(enum hf_hash hash)
{
    for (size_t i = 0; i < HF_COUNT(hashes); i++) {
        if (hashes[i].hash == hash) {
            return hashes[i].number;
        }
    }
    return 0;
}

static struct hf_status parse_version(struct hf_op *op, struct hf_bytes content,
                                      struct version_record *out)
{
    struct hf_reader reader;
    uint8_t format, kind, management, hash, mask_hash;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    kind = hf_take_u8(&reader);
    management = hf_take_u8(&reader);
    hash = hf_take_u8(&reader);
    mask_hash = hf_take_u8(&reader);
    out->created_ms = hf_take_u64(&reader);
    out->public_key = hf_take_bytes(&reader);
    out->private_key = hf_take_bytes(&reader);
    HF_TRY(hf_reader_end(&reader, op, "a main key version"));
    out->customer_managed = management == CUSTOMER_MANAGED;
    if (format != FORMAT || !kind_of(kind, &out->kind) || !hash_of(hash, &out->hash) ||
        mask_hash != hash || (management != SYSTEM_MANAGED && !out->customer_managed)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a main key version is not in a form that this release knows");
    }
    return HF_SUCCESS;
}

static struct hf_status encode_version(struct hf_op *op, const struct hf_pkey *pkey,
                                       enum hf_hash hash, struct hf_secret **out)
{
    HF_AUTO(secret) private_key = NULL;
    HF_AUTO(buf) public_key = hf_buf_new();
    HF_AUTO(buf) start = hf_buf_new();
    HF_AUTO(secret) content = NULL;
    struct hf_bytes tail;

    HF_TRY(hf_pkey_private(pkey, op, &private_key));
    HF_TRY(hf_pkey_public(pkey, op, public_key));
    tail = hf_secret_bytes(private_key);
    hf_put_u8(start, FORMAT);
    hf_put_u8(start, number_of_kind(hf_pkey_kind(pkey)));
    hf_put_u8(start, SYSTEM_MANAGED);
    hf_put_u8(start, number_of_hash(hash));
    hf_put_u8(start, number_of_hash(hash));
    hf_put_u64(start, hf_env_realtime_ms(op->env));
    hf_put_bytes(start, hf_buf_bytes(public_key));
    hf_put_u32(start, (uint32_t)tail.len);

    /* The private half goes from locked memory to locked memory. */
    HF_TRY(hf_secret_new(op, start->len + tail.len, &content));
    memcpy(hf_secret_data(content), start->data, start->len);
    memcpy(hf_secret_data(content) + start->len, tail.data, tail.len);
    *out = HF_TAKE(content);
    return HF_SUCCESS;
}

/* --- paths --- */

static char *path_of_name(const char *name)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, PREFIX);
    hf_percent_add(path, hf_bytes_of_text(name));
    return hf_strdup(hf_buf_text(path));
}

char *hf_main_key_path(const char *name, uint32_t version)
{
    HF_AUTO_STRING path = path_of_name(name);

    return hf_format("%s/%010" PRIu32, path, version);
}

/* --- making --- */

/* What the public half wraps, the private half as it is stored must open. */
static struct hf_status prove(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes content)
{
    struct version_record record;
    HF_AUTO(pkey) public_key = NULL;
    HF_AUTO(pkey) private_key = NULL;
    HF_AUTO(secret) sample = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(secret) opened = NULL;

    HF_TRY(parse_version(op, content, &record));
    HF_TRY(hf_pkey_from_public(crypto, op, record.public_key, &public_key));
    HF_TRY(hf_pkey_from_private(crypto, op, record.private_key, &private_key));
    HF_TRY(hf_random_secret(crypto, op, PROOF_LEN, &sample));
    HF_TRY(hf_rsa_wrap(public_key, op, record.hash, hf_secret_bytes(sample), wrapped));
    HF_TRY(hf_rsa_unwrap(private_key, op, record.hash, hf_buf_bytes(wrapped), &opened));
    return hf_secret_equal(sample, opened)
               ? HF_SUCCESS
               : hf_fail(op, HF_CORRUPT, "the new main key does not open what it wraps");
}

struct hf_status hf_main_key_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                   const char *name, enum hf_pkey_kind kind)
{
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(secret) content = NULL;
    HF_AUTO(buf) current = hf_buf_new();
    HF_AUTO_STRING path = path_of_name(name);
    HF_AUTO_STRING version_path = hf_main_key_path(name, FIRST_VERSION);

    if (name[0] == '\0' || strlen(name) > NAME_MAX_LEN) {
        return hf_fail(op, HF_INVALID, "a main key's name has 1 to %d bytes", NAME_MAX_LEN);
    }
    if (number_of_kind(kind) == 0) {
        return hf_fail(op, HF_INVALID, "a main key is RSA with 2048, 3072 or 4096 bits");
    }
    HF_TRY(hf_pkey_generate(seal->crypto, op, kind, &pkey));
    HF_TRY(encode_version(op, pkey, HF_HASH_SHA256, &content));
    HF_TRY(prove(seal->crypto, op, hf_secret_bytes(content)));
    hf_put_u8(current, FORMAT);
    hf_put_u32(current, FIRST_VERSION);
    HF_TRY(hf_txn_put(txn, op, HF_KIND_MAIN_VERSION, version_path, 0, hf_secret_bytes(content)));
    return hf_txn_put(txn, op, HF_KIND_MAIN_KEY, path, 0, hf_buf_bytes(current));
}

/* --- opening --- */

static struct hf_status parse_current(struct hf_op *op, struct hf_bytes content, uint32_t *out)
{
    struct hf_reader reader;
    uint8_t format;
    uint32_t version;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    version = hf_take_u32(&reader);
    HF_TRY(hf_reader_end(&reader, op, "a main key"));
    if (format != FORMAT || version == 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a main key is not in a form that this release knows");
    }
    *out = version;
    return HF_SUCCESS;
}

static struct hf_status read_live(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind,
                                  const char *path, const char *name, struct hf_opened **out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(seal, op, kind, path, &opened);

    if (status.code == HF_NOT_FOUND || (status.code == HF_OK && opened->tombstone)) {
        return hf_fail(op, HF_NOT_FOUND, "there is no main key \"%s\" of that version", name);
    }
    HF_TRY(status);
    *out = HF_TAKE(opened);
    return HF_SUCCESS;
}

static struct hf_status current_version(struct hf_seal *seal, struct hf_op *op, const char *name,
                                        uint32_t *out)
{
    HF_AUTO(opened) opened = NULL;
    HF_AUTO_STRING path = path_of_name(name);

    HF_TRY(read_live(seal, op, HF_KIND_MAIN_KEY, path, name, &opened));
    return parse_current(op, hf_opened_content(opened), out);
}

static const struct hf_main_key *find_open(struct hf_main_keys *keys, const char *name,
                                           uint32_t version)
{
    const struct open_key *key;

    pthread_mutex_lock(&keys->lock);
    key = keys->first;
    while (key != NULL && (key->key.version != version || strcmp(key->name, name) != 0)) {
        key = key->next;
    }
    pthread_mutex_unlock(&keys->lock);
    return key != NULL ? &key->key : NULL;
}

static struct hf_status load_version(struct hf_seal *seal, struct hf_op *op, const char *name,
                                     uint32_t version, struct hf_main_key *out)
{
    HF_AUTO(opened) opened = NULL;
    HF_AUTO_STRING path = hf_main_key_path(name, version);
    struct version_record record;

    HF_TRY(read_live(seal, op, HF_KIND_MAIN_VERSION, path, name, &opened));
    HF_TRY(parse_version(op, hf_opened_content(opened), &record));
    if (record.customer_managed) {
        return hf_fail_cause(op, HF_UNAVAILABLE, HF_CAUSE_PROTECTOR_UNAVAILABLE,
                             "main key \"%s\" version %" PRIu32
                             " is customer-managed, and no provider for it is configured",
                             name, version);
    }
    *out = (struct hf_main_key){
        .version = version,
        .hash = record.hash,
        .created_ms = record.created_ms,
    };
    return hf_pkey_from_private(seal->crypto, op, record.private_key, &out->pkey);
}

struct hf_status hf_main_key_open(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, const char *name, uint32_t version,
                                  const struct hf_main_key **out)
{
    struct hf_main_keys *keys = unlocked->main_keys;
    struct open_key *loaded;

    if (version == 0) {
        HF_TRY(current_version(seal, op, name, &version));
    }
    *out = find_open(keys, name, version);
    if (*out != NULL) {
        return HF_SUCCESS;
    }
    loaded = hf_alloc(sizeof *loaded);
    loaded->name = hf_strdup(name);
    struct hf_status status = load_version(seal, op, name, version, &loaded->key);

    if (status.code != HF_OK) {
        open_key_free(loaded);
        return status;
    }
    /* Two threads may both come here; a second copy of the same key does no harm. */
    pthread_mutex_lock(&keys->lock);
    loaded->next = keys->first;
    keys->first = loaded;
    pthread_mutex_unlock(&keys->lock);
    *out = &loaded->key;
    return HF_SUCCESS;
}

/* --- listing --- */

struct listing {
    struct hf_seal *seal;
    struct hf_op *op;
    void (*visit)(void *context, const struct hf_main_key_info *info);
    void *context;
};

/* "main/<name>" has one slash only, so the rest is the encoded name. */
static struct hf_status name_of(struct hf_op *op, const char *path, char out[NAME_MAX_LEN + 1])
{
    HF_AUTO(buf) name = hf_buf_new();

    HF_TRY(hf_percent_decode(op, hf_bytes_of_text(path + strlen(PREFIX)), false, name));
    if (name->len > NAME_MAX_LEN) {
        return hf_fail(op, HF_INTERNAL, "the name of a main key is longer than it may be");
    }
    memcpy(out, hf_buf_text(name), name->len + 1);
    return HF_SUCCESS;
}

static struct hf_status visit_main_key(void *context, const struct hf_opened_view *view)
{
    const struct listing *listing = context;
    struct hf_main_key_info info = { .version = 0 };
    HF_AUTO(opened) opened = NULL;
    HF_AUTO_STRING path = NULL;
    struct version_record record = { .created_ms = 0 };

    if (view->tombstone) {
        return HF_SUCCESS;
    }
    HF_TRY(name_of(listing->op, view->path, info.name));
    HF_TRY(parse_current(listing->op, view->plain, &info.version));
    path = hf_main_key_path(info.name, info.version);
    HF_TRY(read_live(listing->seal, listing->op, HF_KIND_MAIN_VERSION, path, info.name, &opened));
    HF_TRY(parse_version(listing->op, hf_opened_content(opened), &record));
    info.kind = record.kind;
    info.customer_managed = record.customer_managed;
    info.created_ms = record.created_ms;
    listing->visit(listing->context, &info);
    return HF_SUCCESS;
}

struct hf_status hf_seal_main_keys(struct hf_seal *seal, struct hf_op *op,
                                   void (*visit)(void *context,
                                                 const struct hf_main_key_info *info),
                                   void *context)
{
    struct listing listing = { seal, op, visit, context };

    return hf_seal_list(seal, op, HF_KIND_MAIN_KEY, PREFIX, NULL, visit_main_key, &listing);
}
