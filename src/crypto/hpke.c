/*
 * HPKE (RFC 9180) in base mode, for one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-GCM.
 */
#include "crypto/hpke_internal.h"

#include <openssl/kdf.h>

#include "base/codec.h"
#include "crypto/crypto_internal.h"

#define KEM_X25519_SHA256 0x0020
#define KDF_SHA256        0x0001
#define MODE_BASE         0x00

#define ENC_LEN HF_X25519_LEN

/* RFC 9180, 4.1 and 5.1: what every label is prefixed with. */
struct suite {
    uint8_t id[10];
    size_t len;
    size_t key_len;
};

static const struct suite kem_suite = {
    { 'K', 'E', 'M', KEM_X25519_SHA256 >> 8, KEM_X25519_SHA256 & 0xff }, 5, 0
};

static struct suite hpke_suite(uint16_t aead)
{
    return (struct suite){ { 'H', 'P', 'K', 'E', KEM_X25519_SHA256 >> 8, KEM_X25519_SHA256 & 0xff,
                             KDF_SHA256 >> 8, KDF_SHA256 & 0xff, (uint8_t)(aead >> 8),
                             (uint8_t)aead },
                           10,
                           aead == HF_HPKE_AES_128_GCM ? 16 : 32 };
}

/* --- X25519 --- */

static struct hf_status load_private(struct hf_op *op, const struct hf_secret *private_key,
                                     EVP_PKEY **out)
{
    struct hf_bytes raw = hf_secret_bytes(private_key);

    if (raw.len != HF_X25519_LEN) {
        return hf_fail(op, HF_INVALID, "an X25519 private key has %d bytes, not %zu", HF_X25519_LEN,
                       raw.len);
    }
    *out = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, raw.data, raw.len);
    if (*out == NULL) {
        return hf_crypto_fail(op, "loading an X25519 private key");
    }
    return HF_SUCCESS;
}

struct hf_status hf_x25519_public(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct hf_secret *private_key,
                                  uint8_t out_public[HF_X25519_LEN])
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_PKEY) key = NULL;
    size_t len = HF_X25519_LEN;

    (void)crypto;
    HF_TRY(load_private(op, private_key, &key));
    if (!hf_crypto_ok(EVP_PKEY_get_raw_public_key(key, out_public, &len)) || len != HF_X25519_LEN) {
        return hf_crypto_fail(op, "deriving an X25519 public key");
    }
    return HF_SUCCESS;
}

struct hf_status hf_x25519_generate(struct hf_crypto *crypto, struct hf_op *op,
                                    struct hf_secret **out_private,
                                    uint8_t out_public[HF_X25519_LEN])
{
    HF_AUTO(secret) private_key = NULL;

    /* RFC 7748, 5: any 32 bytes are a private key. */
    HF_TRY(hf_random_secret(crypto, op, HF_X25519_LEN, &private_key));
    HF_TRY(hf_x25519_public(crypto, op, private_key, out_public));
    *out_private = HF_TAKE(private_key);
    return HF_SUCCESS;
}

static bool is_all_zero(struct hf_bytes bytes)
{
    static const uint8_t zeroes[HF_X25519_LEN];

    return hf_bytes_equal_constant_time(bytes, hf_bytes_of(zeroes, sizeof zeroes));
}

static struct hf_status diffie_hellman(struct hf_op *op, const struct hf_secret *private_key,
                                       const uint8_t public_key[HF_X25519_LEN],
                                       struct hf_secret **out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_PKEY) own = NULL;
    HF_OPENSSL(EVP_PKEY) peer = NULL;
    HF_OPENSSL(EVP_PKEY_CTX) context = NULL;
    HF_AUTO(secret) shared = NULL;
    size_t len = HF_X25519_LEN;

    HF_TRY(load_private(op, private_key, &own));
    HF_TRY(hf_secret_new(op, HF_X25519_LEN, &shared));
    peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, public_key, HF_X25519_LEN);
    context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    if (peer == NULL || context == NULL || EVP_PKEY_derive_init(context) != 1 ||
        EVP_PKEY_derive_set_peer(context, peer) != 1) {
        return hf_crypto_fail(op, "X25519");
    }
    /* RFC 9180, 7.1.4: a point of small order gives all zeroes and must be refused. */
    if (!hf_crypto_ok(EVP_PKEY_derive(context, hf_secret_data(shared), &len)) ||
        len != HF_X25519_LEN || is_all_zero(hf_secret_bytes(shared))) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE,
                                "the X25519 public key is a point of small order");
    }
    *out = HF_TAKE(shared);
    return HF_SUCCESS;
}

/* --- labelled HKDF (RFC 9180, 4) --- */

static void add_label(struct hf_buf *buf, const struct suite *suite, const char *label)
{
    hf_buf_add_text(buf, "HPKE-v1");
    hf_buf_add(buf, suite->id, suite->len);
    hf_buf_add_text(buf, label);
}

static struct hf_status labeled_extract(struct hf_crypto *crypto, struct hf_op *op,
                                        const struct suite *suite, struct hf_bytes salt,
                                        const char *label, struct hf_bytes key,
                                        struct hf_secret **out)
{
    HF_AUTO(buf) labeled = hf_buf_new();
    HF_AUTO(secret) secret = NULL;

    add_label(labeled, suite, label);
    hf_buf_add_bytes(labeled, key);
    HF_TRY(hf_secret_new(op, HF_SHA256_LEN, &secret));
    HF_TRY(hf_hkdf_run(crypto, op, EVP_KDF_HKDF_MODE_EXTRACT_ONLY, hf_buf_bytes(labeled), salt,
                       HF_BYTES_NONE, hf_secret_data(secret), HF_SHA256_LEN));
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}

static struct hf_status labeled_expand(struct hf_crypto *crypto, struct hf_op *op,
                                       const struct suite *suite, const struct hf_secret *key,
                                       const char *label, struct hf_bytes info, uint8_t *out,
                                       size_t len)
{
    HF_AUTO(buf) labeled = hf_buf_new();

    hf_put_u16(labeled, (uint16_t)len);
    add_label(labeled, suite, label);
    hf_buf_add_bytes(labeled, info);
    return hf_hkdf_run(crypto, op, EVP_KDF_HKDF_MODE_EXPAND_ONLY, hf_secret_bytes(key),
                       HF_BYTES_NONE, hf_buf_bytes(labeled), out, len);
}

/* --- the KEM (RFC 9180, 4.1) --- */

static struct hf_status extract_and_expand(struct hf_crypto *crypto, struct hf_op *op,
                                           const struct hf_secret *dh,
                                           const uint8_t enc[HF_X25519_LEN],
                                           const uint8_t recipient[HF_X25519_LEN],
                                           struct hf_secret **out_shared)
{
    HF_AUTO(secret) prk = NULL;
    HF_AUTO(secret) shared = NULL;
    uint8_t context[2 * HF_X25519_LEN];

    memcpy(context, enc, HF_X25519_LEN);
    memcpy(context + HF_X25519_LEN, recipient, HF_X25519_LEN);
    HF_TRY(labeled_extract(crypto, op, &kem_suite, HF_BYTES_NONE, "eae_prk", hf_secret_bytes(dh),
                           &prk));
    HF_TRY(hf_secret_new(op, HF_SHA256_LEN, &shared));
    HF_TRY(labeled_expand(crypto, op, &kem_suite, prk, "shared_secret",
                          hf_bytes_of(context, sizeof context), hf_secret_data(shared),
                          HF_SHA256_LEN));
    *out_shared = HF_TAKE(shared);
    return HF_SUCCESS;
}

struct hf_status hf_hpke_encap(struct hf_crypto *crypto, struct hf_op *op,
                               const struct hf_secret *ephemeral,
                               const uint8_t public_key[HF_X25519_LEN],
                               uint8_t out_enc[HF_X25519_LEN], struct hf_secret **out_shared)
{
    HF_AUTO(secret) dh = NULL;

    HF_TRY(diffie_hellman(op, ephemeral, public_key, &dh));
    HF_TRY(hf_x25519_public(crypto, op, ephemeral, out_enc));
    return extract_and_expand(crypto, op, dh, out_enc, public_key, out_shared);
}

struct hf_status hf_hpke_decap(struct hf_crypto *crypto, struct hf_op *op,
                               const struct hf_secret *private_key,
                               const uint8_t enc[HF_X25519_LEN], struct hf_secret **out_shared)
{
    HF_AUTO(secret) dh = NULL;
    uint8_t own_public[HF_X25519_LEN];

    HF_TRY(diffie_hellman(op, private_key, enc, &dh));
    HF_TRY(hf_x25519_public(crypto, op, private_key, own_public));
    return extract_and_expand(crypto, op, dh, enc, own_public, out_shared);
}

/* --- the key schedule (RFC 9180, 5.1) and one message --- */

/* key_schedule_context: mode, psk_id_hash of no psk_id, info_hash. */
static struct hf_status schedule_context(struct hf_crypto *crypto, struct hf_op *op,
                                         const struct suite *suite, struct hf_bytes info,
                                         struct hf_buf *out)
{
    HF_AUTO(secret) psk_id_hash = NULL;
    HF_AUTO(secret) info_hash = NULL;

    HF_TRY(labeled_extract(crypto, op, suite, HF_BYTES_NONE, "psk_id_hash", HF_BYTES_NONE,
                           &psk_id_hash));
    HF_TRY(labeled_extract(crypto, op, suite, HF_BYTES_NONE, "info_hash", info, &info_hash));
    hf_put_u8(out, MODE_BASE);
    hf_buf_add_bytes(out, hf_secret_bytes(psk_id_hash));
    hf_buf_add_bytes(out, hf_secret_bytes(info_hash));
    return HF_SUCCESS;
}

struct hf_status hf_hpke_schedule(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                                  const struct hf_secret *shared, struct hf_bytes info,
                                  struct hf_secret **out_key, uint8_t out_nonce[HF_GCM_NONCE_LEN])
{
    const struct suite suite = hpke_suite(aead);
    HF_AUTO(buf) context = hf_buf_new();
    HF_AUTO(secret) secret = NULL;
    HF_AUTO(secret) key = NULL;

    HF_TRY(schedule_context(crypto, op, &suite, info, context));
    HF_TRY(labeled_extract(crypto, op, &suite, hf_secret_bytes(shared), "secret", HF_BYTES_NONE,
                           &secret));
    HF_TRY(hf_secret_new(op, suite.key_len, &key));
    HF_TRY(labeled_expand(crypto, op, &suite, secret, "key", hf_buf_bytes(context),
                          hf_secret_data(key), suite.key_len));
    HF_TRY(labeled_expand(crypto, op, &suite, secret, "base_nonce", hf_buf_bytes(context),
                          out_nonce, HF_GCM_NONCE_LEN));
    *out_key = HF_TAKE(key);
    return HF_SUCCESS;
}

static struct hf_status message_key(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                                    const struct hf_secret *shared, struct hf_bytes info,
                                    struct hf_aead **out, uint8_t out_nonce[HF_GCM_NONCE_LEN])
{
    HF_AUTO(secret) key = NULL;

    HF_TRY(hf_hpke_schedule(crypto, op, aead, shared, info, &key, out_nonce));
    return hf_aead_new(crypto, op, hf_secret_bytes(key), out);
}

struct hf_status hf_hpke_seal_with(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                                   const struct hf_secret *ephemeral,
                                   const uint8_t public_key[HF_X25519_LEN], struct hf_bytes info,
                                   struct hf_bytes aad, struct hf_bytes plain, struct hf_buf *out)
{
    HF_AUTO(secret) shared = NULL;
    HF_AUTO(aead) cipher = NULL;
    uint8_t enc[ENC_LEN];
    uint8_t nonce[HF_GCM_NONCE_LEN];
    uint8_t *at;

    HF_TRY(hf_hpke_encap(crypto, op, ephemeral, public_key, enc, &shared));
    HF_TRY(message_key(crypto, op, aead, shared, info, &cipher, nonce));
    at = hf_buf_reserve(out, ENC_LEN + plain.len + HF_GCM_TAG_LEN);
    memcpy(at, enc, ENC_LEN);
    HF_TRY(hf_aead_seal(cipher, op, nonce, aad, plain, at + ENC_LEN, at + ENC_LEN + plain.len));
    hf_buf_grew(out, ENC_LEN + plain.len + HF_GCM_TAG_LEN);
    return HF_SUCCESS;
}

struct hf_status hf_hpke_seal(struct hf_crypto *crypto, struct hf_op *op,
                              const uint8_t public_key[HF_X25519_LEN], struct hf_bytes info,
                              struct hf_bytes aad, struct hf_bytes plain, struct hf_buf *out)
{
    HF_AUTO(secret) ephemeral = NULL;

    HF_TRY(hf_random_secret(crypto, op, HF_X25519_LEN, &ephemeral));
    return hf_hpke_seal_with(crypto, op, HF_HPKE_AES_256_GCM, ephemeral, public_key, info, aad,
                             plain, out);
}

static struct hf_status not_for_this_key(struct hf_op *op)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the HPKE message is altered, or for another key or place");
}

struct hf_status hf_hpke_open_with(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                                   const struct hf_secret *private_key, struct hf_bytes info,
                                   struct hf_bytes aad, struct hf_bytes sealed,
                                   struct hf_secret **out)
{
    HF_AUTO(secret) shared = NULL;
    HF_AUTO(aead) cipher = NULL;
    HF_AUTO(secret) plain = NULL;
    uint8_t nonce[HF_GCM_NONCE_LEN];
    struct hf_bytes body;
    struct hf_status status;

    if (sealed.len < ENC_LEN + HF_GCM_TAG_LEN) {
        return not_for_this_key(op);
    }
    status = hf_hpke_decap(crypto, op, private_key, sealed.data, &shared);
    if (status.code == HF_INVALID && hf_secret_len(private_key) == HF_X25519_LEN) {
        return not_for_this_key(op);
    }
    HF_TRY(status);
    HF_TRY(message_key(crypto, op, aead, shared, info, &cipher, nonce));
    body = hf_bytes_of(sealed.data + ENC_LEN, sealed.len - ENC_LEN - HF_GCM_TAG_LEN);
    HF_TRY(hf_secret_new(op, body.len, &plain));
    status =
        hf_aead_open(cipher, op, nonce, aad, body, body.data + body.len, hf_secret_data(plain));
    if (status.code == HF_CORRUPT) {
        return not_for_this_key(op);
    }
    HF_TRY(status);
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}

struct hf_status hf_hpke_open(struct hf_crypto *crypto, struct hf_op *op,
                              const struct hf_secret *private_key, struct hf_bytes info,
                              struct hf_bytes aad, struct hf_bytes sealed, struct hf_secret **out)
{
    return hf_hpke_open_with(crypto, op, HF_HPKE_AES_256_GCM, private_key, info, aad, sealed, out);
}
