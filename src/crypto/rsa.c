/*
 * Wrapping by RSA-OAEP (RFC 8017, 7.1), with one hash for the label and for MGF1.
 */
#include <openssl/rsa.h>

#include "crypto/pkey_internal.h"

static struct hf_status need_rsa(const struct hf_pkey *pkey, struct hf_op *op)
{
    if (!hf_pkey_is_rsa(pkey)) {
        return hf_fail(op, HF_UNSUPPORTED, "only an RSA key wraps and unwraps");
    }
    return HF_SUCCESS;
}

static bool set_padding(EVP_PKEY_CTX *context, enum hf_hash hash)
{
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md_name(context, hf_hash_name(hash), NULL) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, hf_hash_name(hash), NULL) == 1;
}

struct hf_status hf_rsa_wrap(const struct hf_pkey *pkey, struct hf_op *op, enum hf_hash hash,
                             struct hf_bytes plain, struct hf_buf *out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_PKEY_CTX) context = NULL;
    size_t len;
    size_t max_len;

    HF_TRY(need_rsa(pkey, op));
    len = (size_t)EVP_PKEY_get_size(pkey->key);
    /* RFC 8017, 7.1.1 */
    max_len = len - 2 * hf_hash_len(hash) - 2;
    if (plain.len > max_len) {
        return hf_fail(op, HF_TOO_LARGE, "this RSA key wraps %zu bytes at most, not %zu", max_len,
                       plain.len);
    }
    context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey->key, NULL);
    if (context == NULL || EVP_PKEY_encrypt_init(context) != 1 || !set_padding(context, hash) ||
        !hf_crypto_ok(
            EVP_PKEY_encrypt(context, hf_buf_reserve(out, len), &len, plain.data, plain.len))) {
        return hf_crypto_fail(op, "RSA-OAEP wrapping");
    }
    hf_buf_grew(out, len);
    return HF_SUCCESS;
}

struct hf_status hf_rsa_unwrap(const struct hf_pkey *pkey, struct hf_op *op, enum hf_hash hash,
                               struct hf_bytes wrapped, struct hf_secret **out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_PKEY_CTX) context = NULL;
    HF_AUTO(secret) plain = NULL;
    size_t len;

    HF_TRY(need_rsa(pkey, op));
    HF_TRY(hf_pkey_need_private(pkey, op));
    len = (size_t)EVP_PKEY_get_size(pkey->key);
    HF_TRY(hf_secret_new(op, len, &plain));
    context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey->key, NULL);
    if (context == NULL || EVP_PKEY_decrypt_init(context) != 1 || !set_padding(context, hash)) {
        return hf_crypto_fail(op, "RSA-OAEP unwrapping");
    }
    /* One answer for every reason, or the difference would open messages (Manger's attack). */
    if (!hf_crypto_ok(
            EVP_PKEY_decrypt(context, hf_secret_data(plain), &len, wrapped.data, wrapped.len))) {
        return hf_crypto_refuse(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                                "the RSA-wrapped bytes are altered, or for another key or hash");
    }
    hf_secret_truncate(plain, len);
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}
