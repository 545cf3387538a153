/* Sealing under a secret whose key check travels along. */
#include "protect/envelope.h"

#include "base/assert.h"
#include "base/codec.h"

#define WRAP_KEY_LEN 32
#define OVERHEAD                                                                                   \
    (HF_ENVELOPE_CHECK_LEN + HF_GCM_NONCE_LEN + HF_GCM_TAG_LEN + HF_ENVELOPE_DIGEST_LEN)

/* Both ends keep the salt last in the header. */
static struct hf_bytes salt_of(struct hf_bytes header)
{
    return hf_bytes_of(header.data + header.len - HF_ENVELOPE_SALT_LEN, HF_ENVELOPE_SALT_LEN);
}

/* HKDF-SHA-256(secret; salt; "holdfast protector <kind> <use>"). */
static struct hf_status derive(struct hf_crypto *crypto, struct hf_op *op,
                               const struct hf_envelope_kind *kind, const struct hf_secret *secret,
                               struct hf_bytes header, const char *use, size_t len,
                               struct hf_secret **out)
{
    HF_AUTO(buf) info = hf_buf_new();

    hf_buf_add_format(info, "holdfast protector %s %s", kind->name, use);
    return hf_hkdf(crypto, op, hf_secret_bytes(secret), salt_of(header), hf_buf_bytes(info), len,
                   out);
}

static struct hf_status derive_check(struct hf_crypto *crypto, struct hf_op *op,
                                     const struct hf_envelope_kind *kind,
                                     const struct hf_secret *secret, struct hf_bytes header,
                                     struct hf_secret **out)
{
    return derive(crypto, op, kind, secret, header, "check", HF_ENVELOPE_CHECK_LEN, out);
}

static struct hf_status derive_cipher(struct hf_crypto *crypto, struct hf_op *op,
                                      const struct hf_envelope_kind *kind,
                                      const struct hf_secret *secret, struct hf_bytes header,
                                      struct hf_aead **out)
{
    HF_AUTO(secret) key = NULL;

    HF_TRY(derive(crypto, op, kind, secret, header, "wrap", WRAP_KEY_LEN, &key));
    return hf_aead_new(crypto, op, hf_secret_bytes(key), out);
}

/* The header has a fixed length, so header and context together are unambiguous. */
static void bind(struct hf_bytes header, struct hf_bytes context, struct hf_buf *out)
{
    hf_buf_add_bytes(out, header);
    hf_buf_add_bytes(out, context);
}

struct hf_status hf_envelope_add_digest(struct hf_crypto *crypto, struct hf_op *op,
                                        struct hf_buf *buf)
{
    uint8_t digest[HF_SHA256_LEN];

    HF_TRY(hf_sha256(crypto, op, hf_buf_bytes(buf), digest));
    hf_buf_add(buf, digest, HF_ENVELOPE_DIGEST_LEN);
    return HF_SUCCESS;
}

struct hf_status hf_envelope_seal(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct hf_envelope_kind *kind,
                                  const struct hf_secret *secret,
                                  const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_bytes plain,
                                  struct hf_bytes context, struct hf_buf *buf)
{
    HF_AUTO(secret) check = NULL;
    HF_AUTO(aead) cipher = NULL;
    HF_AUTO(buf) aad = hf_buf_new();
    uint8_t *at;

    hf_assert(buf->len == kind->header_len && buf->data[0] == kind->version);
    if (plain.len == 0 || plain.len > HF_ENVELOPE_PLAIN_MAX) {
        return hf_fail(op, HF_INVALID, "a protector wraps 1 to %d bytes, not %zu",
                       HF_ENVELOPE_PLAIN_MAX, plain.len);
    }
    HF_TRY(derive_check(crypto, op, kind, secret, hf_buf_bytes(buf), &check));
    HF_TRY(derive_cipher(crypto, op, kind, secret, hf_buf_bytes(buf), &cipher));
    bind(hf_buf_bytes(buf), context, aad);
    hf_buf_add_bytes(buf, hf_secret_bytes(check));
    hf_buf_add(buf, nonce, HF_GCM_NONCE_LEN);
    at = hf_buf_reserve(buf, plain.len + HF_GCM_TAG_LEN);
    HF_TRY(hf_aead_seal(cipher, op, nonce, hf_buf_bytes(aad), plain, at, at + plain.len));
    hf_buf_grew(buf, plain.len + HF_GCM_TAG_LEN);
    return hf_envelope_add_digest(crypto, op, buf);
}

static struct hf_status damaged(struct hf_op *op)
{
    return hf_fail_cause(
        op, HF_CORRUPT, HF_CAUSE_ALTERED,
        "the wrapped bytes of this slot are cut or damaged; use another slot, or a "
        "backup");
}

struct hf_status hf_envelope_check(struct hf_crypto *crypto, struct hf_op *op,
                                   struct hf_bytes wrapped, uint8_t version, size_t least,
                                   size_t most)
{
    uint8_t digest[HF_SHA256_LEN];
    size_t body_len = wrapped.len - HF_ENVELOPE_DIGEST_LEN;

    if (wrapped.len <= HF_ENVELOPE_DIGEST_LEN) {
        return damaged(op);
    }
    HF_TRY(hf_sha256(crypto, op, hf_bytes_of(wrapped.data, body_len), digest));
    if (memcmp(digest, wrapped.data + body_len, HF_ENVELOPE_DIGEST_LEN) != 0) {
        return damaged(op);
    }
    /* Whole, so an unknown version is a later one and not damage. */
    if (wrapped.data[0] != version) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "this slot has version %u of its form; use a newer Holdfast",
                       wrapped.data[0]);
    }
    return wrapped.len < least || wrapped.len > most ? damaged(op) : HF_SUCCESS;
}

struct hf_status hf_envelope_inspect(struct hf_crypto *crypto, struct hf_op *op,
                                     const struct hf_envelope_kind *kind, struct hf_bytes wrapped,
                                     struct hf_bytes *out_header)
{
    size_t around = kind->header_len + OVERHEAD;

    HF_TRY(hf_envelope_check(crypto, op, wrapped, kind->version, around + 1,
                             around + HF_ENVELOPE_PLAIN_MAX));
    *out_header = hf_bytes_of(wrapped.data, kind->header_len);
    return HF_SUCCESS;
}

/* The parts of a wrapped form that hf_envelope_inspect() has measured. */
struct parts {
    struct hf_bytes header;
    struct hf_bytes check;
    struct hf_bytes nonce;
    struct hf_bytes body;
    struct hf_bytes tag;
};

static struct parts take_apart(const struct hf_envelope_kind *kind, struct hf_bytes wrapped)
{
    struct hf_reader reader;
    struct parts parts;

    hf_reader_init(&reader, wrapped);
    parts.header = hf_take_raw(&reader, kind->header_len);
    parts.check = hf_take_raw(&reader, HF_ENVELOPE_CHECK_LEN);
    parts.nonce = hf_take_raw(&reader, HF_GCM_NONCE_LEN);
    parts.body = hf_take_raw(&reader, wrapped.len - kind->header_len - OVERHEAD);
    parts.tag = hf_take_raw(&reader, HF_GCM_TAG_LEN);
    hf_assert(!reader.failed);
    return parts;
}

struct hf_status hf_envelope_open(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct hf_envelope_kind *kind,
                                  const struct hf_secret *secret, struct hf_bytes wrapped,
                                  struct hf_bytes context, struct hf_secret **out)
{
    struct parts parts = take_apart(kind, wrapped);
    HF_AUTO(secret) check = NULL;
    HF_AUTO(aead) cipher = NULL;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) aad = hf_buf_new();

    HF_TRY(derive_check(crypto, op, kind, secret, parts.header, &check));
    if (!hf_bytes_equal_constant_time(hf_secret_bytes(check), parts.check)) {
        return hf_fail(op, HF_DENIED, "%s", kind->denied);
    }
    HF_TRY(derive_cipher(crypto, op, kind, secret, parts.header, &cipher));
    HF_TRY(hf_secret_new(op, parts.body.len, &plain));
    bind(parts.header, context, aad);
    HF_TRY(hf_aead_open(cipher, op, parts.nonce.data, hf_buf_bytes(aad), parts.body, parts.tag.data,
                        hf_secret_data(plain)));
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}
