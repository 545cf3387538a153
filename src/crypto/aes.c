/*
 * AES-GCM and AES-CTR under one key: the key schedule is made once. A GCM call sets only the nonce;
 * CTR is the block cipher over counters of our own, since OpenSSL takes longer to set a counter
 * than to encrypt the two blocks that a data key needs.
 */
#include <endian.h>
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

/* Counter blocks at a time: those of most data keys. */
#define STREAM_BLOCKS 4

struct hf_ctr {
    EVP_CIPHER_CTX *context;  /* AES-ECB without padding */
    struct hf_secret *stream; /* STREAM_BLOCKS blocks, while they are added to the text */
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
    HF_TRY(hf_secret_new(op, (size_t)STREAM_BLOCKS * HF_AES_BLOCK_LEN, &ctr->stream));
    ctr->context = keyed(crypto->ecb[index], key, 1);
    if (ctr->context == NULL || EVP_CIPHER_CTX_set_padding(ctr->context, 0) != 1) {
        return hf_crypto_fail(op, "setting the key of AES-CTR");
    }
    *out = HF_TAKE(ctr);
    return HF_SUCCESS;
}

void hf_ctr_free(struct hf_ctr *ctr)
{
    if (ctr != NULL) {
        EVP_CIPHER_CTX_free(ctr->context);
        hf_secret_free(ctr->stream);
        free(ctr);
    }
}

void hf_ctr_count(const uint8_t counter[HF_AES_BLOCK_LEN], uint8_t *out_blocks, size_t count)
{
    uint64_t high;
    uint64_t low;

    memcpy(&high, counter, sizeof high);
    memcpy(&low, counter + sizeof high, sizeof low);
    high = be64toh(high);
    low = be64toh(low);
    for (size_t i = 0; i < count; i++, out_blocks += HF_AES_BLOCK_LEN) {
        uint64_t words[2] = { htobe64(high), htobe64(low) };

        memcpy(out_blocks, words, sizeof words);
        low++;
        high += low == 0;
    }
}

struct hf_status hf_ctr_stream(struct hf_ctr *ctr, struct hf_op *op, struct hf_bytes blocks,
                               uint8_t *out)
{
    HF_SECRET_SCOPE;

    /* No final call: without padding nothing is held back after whole blocks. */
    if (blocks.len % HF_AES_BLOCK_LEN != 0 || !update(ctr->context, blocks, out)) {
        return hf_crypto_fail(op, "AES-CTR");
    }
    return HF_SUCCESS;
}

struct hf_status hf_ctr_crypt(struct hf_ctr *ctr, struct hf_op *op,
                              const uint8_t counter[HF_AES_BLOCK_LEN], struct hf_bytes in,
                              uint8_t *out)
{
    uint8_t *stream = hf_secret_data(ctr->stream);
    uint8_t blocks[(STREAM_BLOCKS + 1) * HF_AES_BLOCK_LEN];
    struct hf_status status = HF_SUCCESS;

    memcpy(blocks, counter, HF_AES_BLOCK_LEN);
    for (size_t at = 0; at < in.len && status.code == HF_OK;) {
        size_t left = in.len - at;
        size_t count = (left + HF_AES_BLOCK_LEN - 1) / HF_AES_BLOCK_LEN;
        size_t len;

        count = count < STREAM_BLOCKS ? count : STREAM_BLOCKS;
        len = left < count * HF_AES_BLOCK_LEN ? left : count * HF_AES_BLOCK_LEN;
        /* One more than is used: the first of the next round. */
        hf_ctr_count(blocks, blocks, count + 1);
        status = hf_ctr_stream(ctr, op, hf_bytes_of(blocks, count * HF_AES_BLOCK_LEN), stream);
        for (size_t i = 0; i < len && status.code == HF_OK; i++) {
            out[at + i] = in.data[at + i] ^ stream[i];
        }
        memcpy(blocks, blocks + count * HF_AES_BLOCK_LEN, HF_AES_BLOCK_LEN);
        at += len;
    }
    hf_wipe(stream, (size_t)STREAM_BLOCKS * HF_AES_BLOCK_LEN);
    return status;
}
