/*
 * Signatures over whole messages: RSA (PKCS#1 v1.5 and PSS), ECDSA and Ed25519.
 */
#include <openssl/rsa.h>

#include "crypto/pkey_internal.h"

static bool fits(const struct hf_pkey *pkey, enum hf_signature scheme)
{
    switch (scheme) {
    case HF_SIGN_RSA_PKCS1:
    case HF_SIGN_RSA_PSS:
        return hf_pkey_is_rsa(pkey);
    case HF_SIGN_ECDSA:
        return !hf_pkey_is_rsa(pkey) && pkey->kind != HF_PKEY_ED25519;
    case HF_SIGN_ED25519:
        return pkey->kind == HF_PKEY_ED25519;
    }
    return false;
}

static struct hf_status need_fitting(const struct hf_pkey *pkey, struct hf_op *op,
                                     enum hf_signature scheme)
{
    if (!fits(pkey, scheme)) {
        return hf_fail(op, HF_UNSUPPORTED, "this kind of key does not sign in this scheme");
    }
    return HF_SUCCESS;
}

/* Ed25519 has its hash inside (RFC 8032, 5.1). */
static const char *outer_hash(enum hf_signature scheme, enum hf_hash hash)
{
    return scheme == HF_SIGN_ED25519 ? NULL : hf_hash_name(hash);
}

static bool set_padding(EVP_PKEY_CTX *context, enum hf_signature scheme, enum hf_hash hash)
{
    switch (scheme) {
    case HF_SIGN_RSA_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    case HF_SIGN_RSA_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, hf_hash_name(hash), NULL) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
    case HF_SIGN_ECDSA:
    case HF_SIGN_ED25519:
        return true;
    }
    return false;
}

struct hf_status hf_pkey_sign(const struct hf_pkey *pkey, struct hf_op *op,
                              enum hf_signature scheme, enum hf_hash hash, struct hf_bytes message,
                              struct hf_buf *out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_MD_CTX) context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters = NULL; /* belongs to context */
    size_t len;

    HF_TRY(hf_pkey_need_private(pkey, op));
    HF_TRY(need_fitting(pkey, op, scheme));
    len = (size_t)EVP_PKEY_get_size(pkey->key);
    if (context == NULL ||
        EVP_DigestSignInit_ex(context, &parameters, outer_hash(scheme, hash), NULL, NULL, pkey->key,
                              NULL) != 1 ||
        !set_padding(parameters, scheme, hash) ||
        !hf_crypto_ok(
            EVP_DigestSign(context, hf_buf_reserve(out, len), &len, message.data, message.len))) {
        return hf_crypto_fail(op, "signing");
    }
    hf_buf_grew(out, len);
    return HF_SUCCESS;
}

struct hf_status hf_pkey_verify(const struct hf_pkey *pkey, struct hf_op *op,
                                enum hf_signature scheme, enum hf_hash hash,
                                struct hf_bytes message, struct hf_bytes signature, bool *out_valid)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_MD_CTX) context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters = NULL; /* belongs to context */
    bool valid;

    HF_TRY(need_fitting(pkey, op, scheme));
    if (context == NULL ||
        EVP_DigestVerifyInit_ex(context, &parameters, outer_hash(scheme, hash), NULL, NULL,
                                pkey->key, NULL) != 1 ||
        !set_padding(parameters, scheme, hash)) {
        return hf_crypto_fail(op, "checking a signature");
    }
    /* A malformed signature is reported like a wrong one; running out of memory is not. */
    valid =
        EVP_DigestVerify(context, signature.data, signature.len, message.data, message.len) == 1;
    if (hf_secret_scope_starved()) {
        return hf_crypto_fail(op, "checking a signature");
    }
    hf_crypto_forget_errors();
    *out_valid = valid;
    return HF_SUCCESS;
}
