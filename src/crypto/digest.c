/*
 * SHA-256, HMAC and HKDF.
 */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "crypto/crypto_internal.h"

/* RFC 5869, 2.3 */
#define HKDF_MAX_LEN ((size_t)255 * HF_SHA256_LEN)

struct hf_mac {
    EVP_MAC_CTX *context;
};

struct hf_status hf_sha256(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes data,
                           uint8_t out[HF_SHA256_LEN])
{
    HF_SECRET_SCOPE;

    if (!hf_crypto_ok(
            EVP_Digest(data.data, data.len, out, NULL, crypto->digests[HF_HASH_SHA256], NULL))) {
        return hf_crypto_fail(op, "SHA-256");
    }
    return HF_SUCCESS;
}

/*
 * An HMAC context under that key. OpenSSL takes an empty key for none at all, so one zero byte
 * stands for it: HMAC pads every key with zeroes (RFC 2104, 2).
 */
static EVP_MAC_CTX *keyed_hmac(struct hf_crypto *crypto, enum hf_hash hash, struct hf_bytes key)
{
    static const uint8_t zero;
    HF_OPENSSL(EVP_MAC_CTX) context = EVP_MAC_CTX_new(crypto->hmac);
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)hf_hash_name(hash), 0),
        OSSL_PARAM_construct_end(),
    };

    if (key.len == 0) {
        key = hf_bytes_of(&zero, 1);
    }
    if (context == NULL || !hf_crypto_ok(EVP_MAC_init(context, key.data, key.len, parameters))) {
        return NULL;
    }
    return HF_TAKE(context);
}

struct hf_status hf_mac_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                            struct hf_mac **out)
{
    HF_SECRET_SCOPE;
    EVP_MAC_CTX *context = keyed_hmac(crypto, HF_HASH_SHA256, key);

    if (context == NULL) {
        return hf_crypto_fail(op, "setting the key of HMAC-SHA-256");
    }
    *out = hf_alloc(sizeof **out);
    (*out)->context = context;
    return HF_SUCCESS;
}

void hf_mac_free(struct hf_mac *mac)
{
    if (mac != NULL) {
        EVP_MAC_CTX_free(mac->context);
        free(mac);
    }
}

struct hf_status hf_mac_compute(struct hf_mac *mac, struct hf_op *op, const struct hf_bytes *parts,
                                size_t count, uint8_t out[HF_SHA256_LEN])
{
    HF_SECRET_SCOPE;
    size_t len = 0;
    /* Without a key the context starts again under the one it has. */
    bool ok = EVP_MAC_init(mac->context, NULL, 0, NULL) == 1;

    for (size_t i = 0; ok && i < count; i++) {
        ok = parts[i].len == 0 || EVP_MAC_update(mac->context, parts[i].data, parts[i].len) == 1;
    }
    if (!ok || !hf_crypto_ok(EVP_MAC_final(mac->context, out, &len, HF_SHA256_LEN))) {
        return hf_crypto_fail(op, "HMAC-SHA-256");
    }
    return HF_SUCCESS;
}

struct hf_status hf_hmac(struct hf_crypto *crypto, struct hf_op *op, enum hf_hash hash,
                         struct hf_bytes key, struct hf_bytes message, struct hf_buf *out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_MAC_CTX) context = keyed_hmac(crypto, hash, key);
    size_t len = 0;
    bool ok = context != NULL;

    if (ok && message.len > 0) {
        ok = EVP_MAC_update(context, message.data, message.len) == 1;
    }
    if (!ok || !hf_crypto_ok(EVP_MAC_final(context, hf_buf_reserve(out, hf_hash_len(hash)), &len,
                                           hf_hash_len(hash)))) {
        return hf_crypto_fail(op, "HMAC");
    }
    hf_buf_grew(out, len);
    return HF_SUCCESS;
}

/* An octet string of the derivation; OpenSSL takes no empty one, and leaving it out means the same.
 */
static OSSL_PARAM *put_octets(OSSL_PARAM *at, const char *name, struct hf_bytes bytes)
{
    if (bytes.len > 0) {
        *at = OSSL_PARAM_construct_octet_string(name, (void *)bytes.data, bytes.len);
        at++;
    }
    return at;
}

struct hf_status hf_hkdf_run(struct hf_crypto *crypto, struct hf_op *op, int mode,
                             struct hf_bytes key, struct hf_bytes salt, struct hf_bytes info,
                             uint8_t *out, size_t len)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_KDF_CTX) context = EVP_KDF_CTX_new(crypto->hkdf);
    OSSL_PARAM parameters[6];
    OSSL_PARAM *at = parameters;

    *at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                             (char *)hf_hash_name(HF_HASH_SHA256), 0);
    at = put_octets(at, OSSL_KDF_PARAM_KEY, key);
    at = put_octets(at, OSSL_KDF_PARAM_SALT, salt);
    at = put_octets(at, OSSL_KDF_PARAM_INFO, info);
    *at = OSSL_PARAM_construct_end();
    if (context == NULL || !hf_crypto_ok(EVP_KDF_derive(context, out, len, parameters))) {
        return hf_crypto_fail(op, "HKDF");
    }
    return HF_SUCCESS;
}

struct hf_status hf_hkdf(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                         struct hf_bytes salt, struct hf_bytes info, size_t len,
                         struct hf_secret **out)
{
    HF_AUTO(secret) secret = NULL;

    if (key.len == 0 || len == 0 || len > HKDF_MAX_LEN) {
        return hf_fail(op, HF_INVALID, "HKDF needs a key, and gives 1 to %zu bytes", HKDF_MAX_LEN);
    }
    HF_TRY(hf_secret_new(op, len, &secret));
    HF_TRY(hf_hkdf_run(crypto, op, EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, key, salt, info,
                       hf_secret_data(secret), len));
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}
