/* Wrapping the material of key versions, and subkeys for its uses: docs/formats/wrapped.md. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define FORMAT     1
#define LABEL      "holdfast wrap v1"
#define USE_LABEL  "holdfast use v1"
#define HEADER_LEN (1 + 4 + HF_SALT_LEN + HF_GCM_NONCE_LEN)
#define USE_MAX    64

/* label, store id, keyring, path, version, parent */
#define AAD_MAX (sizeof LABEL - 1 + HF_STORE_ID_LEN + 4 + HF_KEYRING_MAX + 4 + HF_PATH_MAX + 4 + 4)

/* Bytes put together on the stack: this runs for every key that is opened. */
struct joined {
    uint8_t bytes[AAD_MAX + USE_MAX];
    size_t len;
};

static void join(struct joined *joined, const void *data, size_t len)
{
    memcpy(joined->bytes + joined->len, data, len);
    joined->len += len;
}

static void join_u32(struct joined *joined, uint32_t value)
{
    uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                         (uint8_t)value };

    join(joined, bytes, sizeof bytes);
}

static void join_text(struct joined *joined, const char *text)
{
    size_t len = strlen(text);

    join_u32(joined, (uint32_t)len);
    join(joined, text, len);
}

static struct hf_bytes joined_bytes(const struct joined *joined)
{
    return hf_bytes_of(joined->bytes, joined->len);
}

static struct hf_status check_place(struct hf_op *op, const struct hf_wrap_place *place)
{
    if (strlen(place->keyring) > HF_KEYRING_MAX || strlen(place->path) > HF_PATH_MAX) {
        return hf_fail(op, HF_INVALID,
                       "the name of a keyring or the path of a version is too long");
    }
    return HF_SUCCESS;
}

static void fill_aad(struct joined *aad, const struct hf_unlocked *unlocked,
                     const struct hf_wrap_place *place, uint32_t parent)
{
    aad->len = 0;
    join(aad, LABEL, sizeof LABEL - 1);
    join(aad, unlocked->store_id, HF_STORE_ID_LEN);
    join_text(aad, place->keyring);
    join_text(aad, place->path);
    join_u32(aad, place->version);
    join_u32(aad, parent);
}

static struct hf_status make_context(struct hf_unlocked *unlocked, struct hf_op *op,
                                     const struct hf_keyring_key *parent,
                                     const struct hf_context_key *key, struct hf_context **out)
{
    struct joined info = { .len = 0 };

    join(&info, LABEL, sizeof LABEL - 1);
    join(&info, unlocked->store_id, HF_STORE_ID_LEN);
    join_text(&info, parent->keyring);
    join_u32(&info, parent->version);
    return hf_contexts_make(unlocked->contexts, unlocked->crypto, op, key, parent->key,
                            joined_bytes(&info), out);
}

static struct hf_status take_context(struct hf_unlocked *unlocked, struct hf_op *op,
                                     const struct hf_keyring_key *parent,
                                     const uint8_t salt[HF_SALT_LEN], struct hf_context **out)
{
    struct hf_context_key key = { .owner = parent->number };

    memcpy(key.salt, salt, HF_SALT_LEN);
    *out = hf_contexts_take(unlocked->contexts, op->lane, &key);
    return *out != NULL ? HF_SUCCESS : make_context(unlocked, op, parent, &key, out);
}

struct hf_status hf_wrap_with(struct hf_unlocked *unlocked, struct hf_op *op,
                              const struct hf_wrap_place *place,
                              const struct hf_keyring_key *parent, struct hf_bytes material,
                              const uint8_t salt[HF_SALT_LEN],
                              const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_buf *out)
{
    size_t before = out->len;
    struct hf_context *context = NULL;
    struct hf_status status;
    struct joined aad;
    uint8_t *at;

    HF_TRY(take_context(unlocked, op, parent, salt, &context));
    fill_aad(&aad, unlocked, place, parent->version);
    hf_put_u8(out, FORMAT);
    hf_put_u32(out, parent->version);
    hf_buf_add(out, salt, HF_SALT_LEN);
    hf_buf_add(out, nonce, HF_GCM_NONCE_LEN);
    at = hf_buf_reserve(out, material.len + HF_GCM_TAG_LEN);
    status =
        hf_aead_seal(context->aead, op, nonce, joined_bytes(&aad), material, at, at + material.len);
    hf_contexts_give(unlocked->contexts, context);
    if (status.code != HF_OK) {
        out->len = before;
        return status;
    }
    hf_buf_grew(out, material.len + HF_GCM_TAG_LEN);
    return HF_SUCCESS;
}

struct hf_status hf_seal_wrap(struct hf_seal *seal, struct hf_op *op,
                              const struct hf_wrap_place *place, uint32_t keyring_key,
                              const struct hf_secret *material, struct hf_buf *out)
{
    const struct hf_keyring_key *parent;
    uint8_t salt[HF_SALT_LEN];
    uint8_t nonce[HF_GCM_NONCE_LEN];

    HF_ENTER(seal, op, unlocked);
    HF_TRY(check_place(op, place));
    if (hf_secret_len(material) == 0 || hf_secret_len(material) > HF_CONTENT_MAX) {
        return hf_fail(op, HF_INVALID, "material has 1 to %zu bytes, not %zu", HF_CONTENT_MAX,
                       hf_secret_len(material));
    }
    HF_TRY(hf_keyring_key_find(seal, unlocked, op, place->keyring, keyring_key, &parent));
    HF_TRY(hf_salt_use(&unlocked->wrap_salt, unlocked->crypto, op, salt));
    HF_TRY(hf_random_public(unlocked->crypto, op, nonce, sizeof nonce));
    return hf_wrap_with(unlocked, op, place, parent, hf_secret_bytes(material), salt, nonce, out);
}

/* A blob taken apart; views into it. */
struct blob {
    uint32_t parent;
    const uint8_t *salt;
    const uint8_t *nonce;
    struct hf_bytes cipher;
    const uint8_t *tag;
};

static struct hf_status parse(struct hf_op *op, struct hf_bytes wrapped, struct blob *out)
{
    struct hf_reader reader;

    if (wrapped.len <= HEADER_LEN + HF_GCM_TAG_LEN || wrapped.data[0] != FORMAT ||
        wrapped.len > HEADER_LEN + HF_CONTENT_MAX + HF_GCM_TAG_LEN) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a wrapped key version is not in a form that this release knows");
    }
    hf_reader_init(&reader, wrapped);
    (void)hf_take_u8(&reader);
    out->parent = hf_take_u32(&reader);
    out->salt = hf_take_raw(&reader, HF_SALT_LEN).data;
    out->nonce = hf_take_raw(&reader, HF_GCM_NONCE_LEN).data;
    out->cipher = hf_take_raw(&reader, wrapped.len - HEADER_LEN - HF_GCM_TAG_LEN);
    out->tag = hf_take_raw(&reader, HF_GCM_TAG_LEN).data;
    return hf_reader_end(&reader, op, "a wrapped key version");
}

static struct hf_status open_blob(struct hf_unlocked *unlocked, struct hf_op *op,
                                  const struct hf_wrap_place *place,
                                  const struct hf_keyring_key *parent, const struct blob *blob,
                                  struct hf_secret **out)
{
    HF_AUTO(secret) material = NULL;
    struct hf_context *context = NULL;
    struct hf_status status;
    struct joined aad;

    HF_TRY(hf_secret_new(op, blob->cipher.len, &material));
    HF_TRY(take_context(unlocked, op, parent, blob->salt, &context));
    fill_aad(&aad, unlocked, place, parent->version);
    status = hf_aead_open(context->aead, op, blob->nonce, joined_bytes(&aad), blob->cipher,
                          blob->tag, hf_secret_data(material));
    hf_contexts_give(unlocked->contexts, context);
    if (status.code == HF_CORRUPT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the wrapped material at %.200s is altered, or not of that key",
                             place->path);
    }
    HF_TRY(status);
    *out = HF_TAKE(material);
    return HF_SUCCESS;
}

struct hf_status hf_seal_unwrap(struct hf_seal *seal, struct hf_op *op,
                                const struct hf_wrap_place *place, struct hf_bytes wrapped,
                                struct hf_secret **out)
{
    const struct hf_keyring_key *parent;
    struct blob blob = { .parent = 0 };

    HF_ENTER(seal, op, unlocked);
    HF_TRY(check_place(op, place));
    HF_TRY(parse(op, wrapped, &blob));
    HF_TRY(hf_keyring_key_find(seal, unlocked, op, place->keyring, blob.parent, &parent));
    return open_blob(unlocked, op, place, parent, &blob, out);
}

struct hf_status hf_seal_wrapped_parent(struct hf_op *op, struct hf_bytes wrapped, uint32_t *out)
{
    struct blob blob = { .parent = 0 };

    HF_TRY(parse(op, wrapped, &blob));
    *out = blob.parent;
    return HF_SUCCESS;
}

struct hf_status hf_seal_subkey(struct hf_seal *seal, struct hf_op *op,
                                const struct hf_secret *material, const char *use,
                                const struct hf_wrap_place *place, struct hf_bytes salt, size_t len,
                                struct hf_secret **out)
{
    struct joined info = { .len = 0 };

    HF_ENTER(seal, op, unlocked);
    HF_TRY(check_place(op, place));
    if (strlen(use) > USE_MAX) {
        return hf_fail(op, HF_INVALID, "the name of a use has up to %d bytes", USE_MAX);
    }
    join(&info, USE_LABEL, sizeof USE_LABEL - 1);
    join_text(&info, use);
    join(&info, unlocked->store_id, HF_STORE_ID_LEN);
    join_text(&info, place->keyring);
    join_text(&info, place->path);
    join_u32(&info, place->version);
    return hf_hkdf(seal->crypto, op, hf_secret_bytes(material), salt, joined_bytes(&info), len,
                   out);
}
