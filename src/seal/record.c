/* Sealed records: the bytes of docs/formats/record.md, and the subkeys that seal and open them. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "seal/seal_internal.h"

#define FORMAT 1
#define LABEL  "holdfast record v1"

/* label, store id, kind, flags, generation, length and path, revision, length of the clear part */
#define AAD_FIXED (sizeof LABEL - 1 + HF_STORE_ID_LEN + 1 + 1 + 4 + 4 + 8 + 4)
#define AAD_MAX   (AAD_FIXED + HF_PATH_MAX) /* of a record without a clear part */

struct hf_status hf_record_parse(struct hf_op *op, struct hf_bytes body,
                                 struct hf_record_parts *out)
{
    struct hf_reader reader;
    struct hf_record_parts parts;
    uint8_t format;
    size_t rest;
    bool is_clear;

    hf_reader_init(&reader, body);
    format = hf_take_u8(&reader);
    if (!reader.failed && format != FORMAT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a record has format %u, which this release does not know", format);
    }
    parts.kind = hf_take_u8(&reader);
    parts.flags = hf_take_u8(&reader);
    parts.generation = hf_take_u32(&reader);
    parts.salt = hf_take_raw(&reader, HF_SALT_LEN).data;
    parts.nonce = hf_take_raw(&reader, HF_GCM_NONCE_LEN).data;
    parts.clear = hf_take_bytes(&reader);
    rest = (size_t)(reader.end - reader.at);
    parts.cipher = hf_take_raw(&reader, rest < HF_GCM_TAG_LEN ? 0 : rest - HF_GCM_TAG_LEN);
    parts.tag = hf_take_raw(&reader, HF_GCM_TAG_LEN).data;
    HF_TRY(hf_reader_end(&reader, op, "a record"));

    is_clear = (parts.flags & HF_RECORD_CLEAR) != 0;
    if ((parts.flags & ~(HF_RECORD_CLEAR | HF_RECORD_TOMBSTONE)) != 0 ||
        (is_clear ? parts.cipher.len : parts.clear.len) != 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a record has flags %#x that do not fit what it holds", parts.flags);
    }
    *out = parts;
    return HF_SUCCESS;
}

uint32_t hf_record_generation(struct hf_bytes body)
{
    struct hf_op scratch = { 0 };
    struct hf_record_parts parts;

    return hf_record_parse(&scratch, body, &parts).code == HF_OK ? parts.generation : 0;
}

static uint8_t *add(uint8_t *at, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(at, data, len);
    }
    return at + len;
}

static uint8_t *add_number(uint8_t *at, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        *at++ = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
    return at;
}

/* Built by hand: this runs once for every record at unlock. Gives the length. */
static size_t write_aad(uint8_t *out, const struct hf_unlocked *unlocked,
                        const struct hf_record_place *place, const struct hf_record_parts *parts)
{
    size_t path_len = strlen(place->path);
    uint8_t *at = add(out, LABEL, sizeof LABEL - 1);

    at = add(at, unlocked->store_id, HF_STORE_ID_LEN);
    *at++ = parts->kind;
    *at++ = parts->flags;
    at = add_number(at, parts->generation, 4);
    at = add_number(at, path_len, 4);
    at = add(at, place->path, path_len);
    at = add_number(at, place->revision, 8);
    at = add_number(at, parts->clear.len, 4);
    at = add(at, parts->clear.data, parts->clear.len);
    return (size_t)(at - out);
}

static struct hf_status make_context(struct hf_unlocked *unlocked, struct hf_op *op,
                                     const struct hf_context_key *key, const struct hf_secret *root,
                                     struct hf_context **out)
{
    uint8_t info[sizeof LABEL - 1 + HF_STORE_ID_LEN];

    add(add(info, LABEL, sizeof LABEL - 1), unlocked->store_id, HF_STORE_ID_LEN);
    return hf_contexts_make(unlocked->contexts, unlocked->crypto, op, key, root,
                            hf_bytes_of(info, sizeof info), out);
}

static struct hf_context_key key_of(uint64_t owner, const uint8_t salt[HF_SALT_LEN])
{
    struct hf_context_key key = { .owner = owner };

    memcpy(key.salt, salt, HF_SALT_LEN);
    return key;
}

/* The context under one of the roots that are open. HF_NOT_FOUND when it is none of them. */
static struct hf_status take_open(struct hf_unlocked *unlocked, struct hf_op *op,
                                  uint32_t generation, const uint8_t salt[HF_SALT_LEN],
                                  struct hf_context **out)
{
    struct hf_context_key key = key_of(generation, salt);
    struct hf_roots *roots = &unlocked->roots;
    struct hf_status status = { HF_NOT_FOUND };
    const struct hf_root *root;

    pthread_rwlock_rdlock(&roots->lock);
    root = roots->current.generation == generation ? &roots->current : &roots->old;
    if (root->secret != NULL && root->generation == generation) {
        *out = hf_contexts_take(unlocked->contexts, op->lane, &key);
        status = *out != NULL ? HF_SUCCESS : make_context(unlocked, op, &key, root->secret, out);
    }
    pthread_rwlock_unlock(&roots->lock);
    return status;
}

/* The log keeps notes and results of earlier roots, which nobody seals anew: they are linked. */
static struct hf_status take_retired(struct hf_unlocked *unlocked, struct hf_op *op,
                                     uint32_t generation, const uint8_t salt[HF_SALT_LEN],
                                     struct hf_context **out)
{
    struct hf_context_key key = key_of(generation, salt);
    HF_AUTO(secret) root = NULL;

    *out = hf_contexts_take(unlocked->contexts, op->lane, &key);
    if (*out != NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_root_retired(unlocked, unlocked->engine, op, generation, &root));
    return make_context(unlocked, op, &key, root, out);
}

/* The context for records of this kind, generation and salt, taken. */
static struct hf_status take_context(struct hf_unlocked *unlocked, struct hf_op *op, uint8_t kind,
                                     uint32_t generation, const uint8_t salt[HF_SALT_LEN],
                                     struct hf_context **out)
{
    bool is_logged = kind == HF_KIND_NOTE || kind == HF_KIND_RESULT;
    struct hf_status status = take_open(unlocked, op, generation, salt, out);

    if (status.code == HF_NOT_FOUND && unlocked->engine != NULL &&
        generation > hf_root_generation(unlocked)) {
        HF_TRY(hf_roots_follow(unlocked, unlocked->engine, op));
        status = take_open(unlocked, op, generation, salt, out);
    }
    if (status.code == HF_NOT_FOUND && unlocked->engine != NULL && is_logged) {
        status = take_retired(unlocked, op, generation, salt, out);
    }
    if (status.code == HF_NOT_FOUND) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a record is sealed under root %u, and the open one is root %u",
                             generation, hf_root_generation(unlocked));
    }
    return status;
}

static struct hf_status check_size(struct hf_op *op, const struct hf_record_place *place,
                                   struct hf_bytes content)
{
    if (content.len > HF_CONTENT_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a record may hold %zu bytes, not %zu", HF_CONTENT_MAX,
                       content.len);
    }
    if (strlen(place->path) > HF_PATH_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "the path of a record may have %d bytes, not %zu",
                       HF_PATH_MAX, strlen(place->path));
    }
    return HF_SUCCESS;
}

/* Everything before the ciphertext; parts get views of the salt and nonce given. */
static void put_header(struct hf_buf *out, const struct hf_record_parts *parts)
{
    hf_put_u8(out, FORMAT);
    hf_put_u8(out, parts->kind);
    hf_put_u8(out, parts->flags);
    hf_put_u32(out, parts->generation);
    hf_buf_add(out, parts->salt, HF_SALT_LEN);
    hf_buf_add(out, parts->nonce, HF_GCM_NONCE_LEN);
    hf_put_bytes(out, parts->clear);
}

static struct hf_status seal_in(struct hf_context *context, struct hf_unlocked *unlocked,
                                struct hf_op *op, const struct hf_record_place *place,
                                const struct hf_record_parts *parts, struct hf_bytes content,
                                struct hf_buf *out)
{
    struct hf_bytes secret_part = (parts->flags & HF_RECORD_CLEAR) ? HF_BYTES_NONE : content;
    size_t before = out->len;
    HF_AUTO(buf) aad = hf_buf_new();
    struct hf_status status;
    uint8_t *at;

    hf_buf_grew(aad,
                write_aad(hf_buf_reserve(aad, AAD_MAX + parts->clear.len), unlocked, place, parts));
    put_header(out, parts);
    at = hf_buf_reserve(out, secret_part.len + HF_GCM_TAG_LEN);
    status = hf_aead_seal(context->aead, op, parts->nonce, hf_buf_bytes(aad), secret_part, at,
                          at + secret_part.len);
    if (status.code != HF_OK) {
        out->len = before;
        return status;
    }
    hf_buf_grew(out, secret_part.len + HF_GCM_TAG_LEN);
    return HF_SUCCESS;
}

/* Seals in the context, which is given back. */
static struct hf_status seal_with(struct hf_unlocked *unlocked, struct hf_op *op,
                                  struct hf_context *context, const struct hf_record_place *place,
                                  struct hf_record_parts *parts, struct hf_bytes content,
                                  struct hf_buf *out)
{
    struct hf_status status;

    parts->clear = (parts->flags & HF_RECORD_CLEAR) ? content : HF_BYTES_NONE;
    status = seal_in(context, unlocked, op, place, parts, content, out);
    hf_contexts_give(unlocked->contexts, context);
    return status;
}

struct hf_status hf_record_seal_with(struct hf_unlocked *unlocked, struct hf_op *op, uint8_t kind,
                                     uint8_t flags, const struct hf_record_place *place,
                                     struct hf_bytes content, const uint8_t salt[HF_SALT_LEN],
                                     const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_buf *out)
{
    struct hf_record_parts parts = {
        .kind = kind,
        .flags = flags,
        .generation = hf_root_generation(unlocked),
        .salt = salt,
        .nonce = nonce,
    };
    struct hf_context *context = NULL;

    HF_TRY(check_size(op, place, content));
    HF_TRY(take_context(unlocked, op, kind, parts.generation, salt, &context));
    return seal_with(unlocked, op, context, place, &parts, content, out);
}

static struct hf_status draw(struct hf_unlocked *unlocked, struct hf_op *op,
                             uint8_t salt[HF_SALT_LEN], uint8_t nonce[HF_GCM_NONCE_LEN])
{
    HF_TRY(hf_salt_use(&unlocked->record_salt, unlocked->crypto, op, salt));
    return hf_random_public(unlocked->crypto, op, nonce, HF_GCM_NONCE_LEN);
}

struct hf_status hf_record_seal(struct hf_unlocked *unlocked, struct hf_op *op, uint8_t kind,
                                uint8_t flags, const struct hf_record_place *place,
                                struct hf_bytes content, struct hf_buf *out)
{
    uint8_t salt[HF_SALT_LEN];
    uint8_t nonce[HF_GCM_NONCE_LEN];

    HF_TRY(draw(unlocked, op, salt, nonce));
    return hf_record_seal_with(unlocked, op, kind, flags, place, content, salt, nonce, out);
}

struct hf_status hf_record_seal_under(struct hf_unlocked *unlocked, struct hf_op *op,
                                      const struct hf_root *root, uint8_t kind, uint8_t flags,
                                      const struct hf_record_place *place, struct hf_bytes content,
                                      struct hf_buf *out)
{
    uint8_t salt[HF_SALT_LEN];
    uint8_t nonce[HF_GCM_NONCE_LEN];
    struct hf_record_parts parts = {
        .kind = kind,
        .flags = flags,
        .generation = root->generation,
        .salt = salt,
        .nonce = nonce,
    };
    struct hf_context_key key;
    struct hf_context *context;

    HF_TRY(check_size(op, place, content));
    HF_TRY(draw(unlocked, op, salt, nonce));
    key = key_of(root->owner, salt);
    context = hf_contexts_take(unlocked->contexts, op->lane, &key);
    if (context == NULL) {
        HF_TRY(make_context(unlocked, op, &key, root->secret, &context));
    }
    return seal_with(unlocked, op, context, place, &parts, content, out);
}

void hf_record_opener_init(struct hf_record_opener *opener, struct hf_unlocked *unlocked)
{
    opener->unlocked = unlocked;
    opener->context = NULL;
}

void hf_record_opener_done(struct hf_record_opener *opener)
{
    hf_contexts_give(opener->unlocked->contexts, opener->context);
    opener->context = NULL;
}

static struct hf_status use_context_of(struct hf_record_opener *opener, struct hf_op *op,
                                       const struct hf_record_parts *parts)
{
    const struct hf_context *held = opener->context;

    if (held != NULL && held->key.owner == parts->generation &&
        memcmp(held->key.salt, parts->salt, HF_SALT_LEN) == 0) {
        return HF_SUCCESS;
    }
    hf_record_opener_done(opener);
    return take_context(opener->unlocked, op, parts->kind, parts->generation, parts->salt,
                        &opener->context);
}

struct hf_status hf_record_opener_open(struct hf_record_opener *opener, struct hf_op *op,
                                       const struct hf_record_place *place,
                                       const struct hf_record_parts *parts, uint8_t *out_plain)
{
    uint8_t aad[AAD_MAX];
    HF_AUTO(buf) long_aad = NULL;
    uint8_t *at = aad;
    size_t len;

    HF_TRY(check_size(op, place, parts->cipher));
    HF_TRY(use_context_of(opener, op, parts));
    if (parts->clear.len > 0) {
        long_aad = hf_buf_new();
        at = hf_buf_reserve(long_aad, AAD_MAX + parts->clear.len);
    }
    len = write_aad(at, opener->unlocked, place, parts);
    return hf_aead_open(opener->context->aead, op, parts->nonce, hf_bytes_of(at, len),
                        parts->cipher, parts->tag, out_plain);
}

static struct hf_status open_content(struct hf_record_opener *opener, struct hf_op *op,
                                     const struct hf_record_place *place,
                                     const struct hf_record_parts *parts, struct hf_secret **out)
{
    HF_AUTO(secret) plain = NULL;
    uint8_t nothing[1] = { 0 };

    if (parts->cipher.len > 0) {
        HF_TRY(check_size(op, place, parts->cipher));
        HF_TRY(hf_secret_new(op, parts->cipher.len, &plain));
    }
    HF_TRY(hf_record_opener_open(opener, op, place, parts,
                                 plain != NULL ? hf_secret_data(plain) : nothing));
    if (parts->clear.len > 0) {
        HF_TRY(hf_secret_copy(op, parts->clear, &plain));
    }
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}

struct hf_status hf_record_open(struct hf_unlocked *unlocked, struct hf_op *op,
                                const struct hf_record_place *place, struct hf_bytes body,
                                struct hf_record_parts *out_parts, struct hf_secret **out)
{
    struct hf_record_opener opener;
    struct hf_record_parts parts = { 0 };
    struct hf_status status;

    HF_TRY(hf_record_parse(op, body, &parts));
    hf_record_opener_init(&opener, unlocked);
    status = open_content(&opener, op, place, &parts, out);
    hf_record_opener_done(&opener);
    if (status.code == HF_OK) {
        *out_parts = parts;
    }
    return status;
}
