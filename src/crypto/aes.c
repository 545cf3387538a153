/*
 * AES-GCM and AES-CTR under one key: the key schedule is made once, each call sets only the nonce.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "crypto/crypto_internal.h"

/* OpenSSL counts in int; a power of two keeps the pieces on block borders. */
#define PIECE_LEN ((size_t)1 << 30)
/* NIST SP 800-38D, 5.2.1.1: 2^39 - 256 bits. */
#define GCM_MAX_LEN (((uint64_t)1 << 36) - 32)

struct hf_aead {
    EVP_CIPHER_CTX *seal;
    EVP_CIPHER_CTX *open;
};

struct hf_ctr {
    EVP_CIPHER_CTX *context;
};

static struct hf_status wrong_key_length(struct hf_op *op, size_t len)
{
    return hf_fail(op, HF_INVALID, "an AES key has 16, 24 or 32 bytes, not %zu", len);
}

/* A context with its key set, or NULL. */
static EVP_CIPHER_CTX *keyed(EVP_CIPHER *cipher, struct hf_bytes key, int encrypt)
{
    HF_OPENSSL(EVP_CIPHER_CTX) context = EVP_CIPHER_CTX_new();

    if (context == NULL ||
        !hf_crypto_ok(EVP_CipherInit_ex2(context, cipher, key.data, NULL, encrypt, NULL))) {
        return NULL;
    }
    return HF_TAKE(context);
}

/* Through the cipher, piece by piece; out is NULL for associated data. */
static bool update(EVP_CIPHER_CTX *context, struct hf_bytes in, uint8_t *out)
{
    int written = 0;

    while (in.len > 0) {
        size_t piece = in.len < PIECE_LEN ? in.len : PIECE_LEN;

        if (EVP_CipherUpdate(context, out, &written, in.data, (int)piece) != 1) {
            return false;
        }
        in = hf_bytes_of(in.data + piece, in.len - piece);
        out = out != NULL ? out + piece : NULL;
    }
    return true;
}

struct hf_status hf_aead_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                             struct hf_aead **out)
{
    HF_SECRET_SCOPE;
    HF_AUTO(aead) aead = NULL;
    size_t index = 0;

    if (!hf_aes_index(key.len, &index)) {
        return wrong_key_length(op, key.len);
    }
    aead = hf_alloc(sizeof *aead);
    aead->seal = keyed(crypto->gcm[index], key, 1);
    aead->open = keyed(crypto->gcm[index], key, 0);
    if (aead->seal == NULL || aead->open == NULL) {
        return hf_crypto_fail(op, "setting the key of AES-GCM");
    }
    *out = HF_TAKE(aead);
    return HF_SUCCESS;
}

void hf_aead_free(struct hf_aead *aead)
{
    if (aead != NULL) {
        EVP_CIPHER_CTX_free(aead->seal);
        EVP_CIPHER_CTX_free(aead->open);
        free(aead);
    }
}

static struct hf_status check_length(struct hf_op *op, struct hf_bytes bytes)
{
    if ((uint64_t)bytes.len > GCM_MAX_LEN) {
        return hf_fail(op, HF_TOO_LARGE, "AES-GCM takes 64 GiB at most under one nonce");
    }
    return HF_SUCCESS;
}

struct hf_status hf_aead_seal(struct hf_aead *aead, struct hf_op *op,
                              const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_bytes aad,
                              struct hf_bytes plain, uint8_t *out_cipher,
                              uint8_t out_tag[HF_GCM_TAG_LEN])
{
    HF_SECRET_SCOPE;
    EVP_CIPHER_CTX *context = aead->seal;
    uint8_t end[HF_AES_BLOCK_LEN];
    int written = 0;

    HF_TRY(check_length(op, plain));
    if (EVP_CipherInit_ex2(context, NULL, NULL, nonce, -1, NULL) != 1 ||
        !update(context, aad, NULL) || !update(context, plain, out_cipher) ||
        EVP_CipherFinal_ex(context, end, &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, HF_GCM_TAG_LEN, out_tag) != 1) {
        return hf_crypto_fail(op, "AES-GCM encryption");
    }
    return HF_SUCCESS;
}

struct hf_status hf_aead_open(struct hf_aead *aead, struct hf_op *op,
                              const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_bytes aad,
                              struct hf_bytes cipher, const uint8_t tag[HF_GCM_TAG_LEN],
                              uint8_t *out_plain)
{
    HF_SECRET_SCOPE;
    EVP_CIPHER_CTX *context = aead->open;
    uint8_t end[HF_AES_BLOCK_LEN];
    int written = 0;

    HF_TRY(check_length(op, cipher));
    if (EVP_CipherInit_ex2(context, NULL, NULL, nonce, -1, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, HF_GCM_TAG_LEN, (void *)tag) != 1 ||
        !update(context, aad, NULL) || !update(context, cipher, out_plain)) {
        hf_wipe(out_plain, cipher.len);
        return hf_crypto_fail(op, "AES-GCM decryption");
    }
    if (EVP_CipherFinal_ex(context, end, &written) != 1) {
        hf_wipe(out_plain, cipher.len);
        return hf_crypto_refuse(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                                "the AES-GCM tag is wrong: altered, or for another key or place");
    }
    return HF_SUCCESS;
}

struct hf_status hf_ctr_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                            struct hf_ctr **out)
{
    HF_SECRET_SCOPE;
    HF_AUTO(ctr) ctr = NULL;
    size_t index = 0;

    if (!hf_aes_index(key.len, &index)) {
        return wrong_key_length(op, key.len);
    }
    ctr = hf_alloc(sizeof *ctr);
    ctr->context = keyed(crypto->ctr[index], key, 1);
    if (ctr->context == NULL) {
        return hf_crypto_fail(op, "setting the key of AES-CTR");
    }
    *out = HF_TAKE(ctr);
    return HF_SUCCESS;
}

void hf_ctr_free(struct hf_ctr *ctr)
{
    if (ctr != NULL) {
        EVP_CIPHER_CTX_free(ctr->context);
        free(ctr);
    }
}

struct hf_status hf_ctr_crypt(struct hf_ctr *ctr, struct hf_op *op,
                              const uint8_t counter[HF_AES_BLOCK_LEN], struct hf_bytes in,
                              uint8_t *out)
{
    HF_SECRET_SCOPE;

    /* No final call: a stream cipher holds nothing back. */
    if (EVP_CipherInit_ex2(ctr->context, NULL, NULL, counter, -1, NULL) != 1 ||
        !update(ctr->context, in, out)) {
        return hf_crypto_fail(op, "AES-CTR");
    }
    return HF_SUCCESS;
}
