/*
 * The start of OpenSSL: its allocator, the algorithms fetched once, and how its failures are told.
 */
#include "crypto/crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "crypto/crypto_internal.h"

static const char *const gcm_names[HF_AES_SIZES] = { "AES-128-GCM", "AES-192-GCM", "AES-256-GCM" };
static const char *const ecb_names[HF_AES_SIZES] = { "AES-128-ECB", "AES-192-ECB", "AES-256-ECB" };

static const struct {
    const char *name;
    size_t len;
} hashes[HF_HASHES] = {
    [HF_HASH_SHA256] = { "SHA2-256", 32 },
    [HF_HASH_SHA384] = { "SHA2-384", 48 },
    [HF_HASH_SHA512] = { "SHA2-512", 64 },
};

/* Fetched and dropped at the start, so that a missing one is told then and not by a request. */
static const char *const key_types[] = { "RSA", "EC", "ED25519", "X25519" };

const char *hf_hash_name(enum hf_hash hash)
{
    return hashes[hash].name;
}

size_t hf_hash_len(enum hf_hash hash)
{
    return hashes[hash].len;
}

bool hf_aes_index(size_t key_len, size_t *out_index)
{
    if (key_len != 16 && key_len != 24 && key_len != 32) {
        return false;
    }
    *out_index = key_len / 8 - 2;
    return true;
}

struct hf_status hf_crypto_start(struct hf_op *op)
{
    CRYPTO_malloc_fn current = NULL;

    CRYPTO_get_mem_functions(&current, NULL, NULL);
    if (current == hf_crypto_malloc) {
        return HF_SUCCESS;
    }
    if (CRYPTO_set_mem_functions(hf_crypto_malloc, hf_crypto_realloc, hf_crypto_free_block) != 1) {
        return hf_fail(op, HF_INTERNAL,
                       "OpenSSL was used before hf_crypto_start(): its memory cannot be moved");
    }
    return HF_SUCCESS;
}

static struct hf_status missing(struct hf_op *op, const char *name)
{
    ERR_clear_error();
    return hf_fail(op, HF_UNSUPPORTED,
                   "this OpenSSL offers no %s; check the providers in its openssl.cnf", name);
}

static struct hf_status fetch_ciphers(struct hf_op *op, const char *const names[HF_AES_SIZES],
                                      EVP_CIPHER *out[HF_AES_SIZES])
{
    for (size_t i = 0; i < HF_AES_SIZES; i++) {
        out[i] = EVP_CIPHER_fetch(NULL, names[i], NULL);
        if (out[i] == NULL) {
            return missing(op, names[i]);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status fetch_digests(struct hf_op *op, EVP_MD *out[HF_HASHES])
{
    for (size_t i = 0; i < HF_HASHES; i++) {
        out[i] = EVP_MD_fetch(NULL, hashes[i].name, NULL);
        if (out[i] == NULL) {
            return missing(op, hashes[i].name);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status check_key_types(struct hf_op *op)
{
    for (size_t i = 0; i < HF_COUNT(key_types); i++) {
        EVP_KEYMGMT *manager = EVP_KEYMGMT_fetch(NULL, key_types[i], NULL);

        if (manager == NULL) {
            return missing(op, key_types[i]);
        }
        EVP_KEYMGMT_free(manager);
    }
    return HF_SUCCESS;
}

/*
 * The generators are made at their first use: here, inside a scope, so that the state that all
 * later keys come from is arena memory.
 */
static struct hf_status start_generators(struct hf_op *op)
{
    HF_SECRET_SCOPE;
    uint8_t sample[HF_AES_BLOCK_LEN];

    if (RAND_priv_bytes(sample, sizeof sample) != 1 || RAND_bytes(sample, sizeof sample) != 1) {
        return hf_crypto_fail(op, "starting the random generators");
    }
    hf_wipe(sample, sizeof sample);
    return HF_SUCCESS;
}

/*
 * No scope here: fetching loads providers and tables, hundreds of kilobytes without a secret that
 * would fill locked memory.
 */
struct hf_status hf_crypto_new(struct hf_op *op, struct hf_crypto **out)
{
    HF_AUTO(crypto) crypto = hf_alloc(sizeof *crypto);

    HF_TRY(fetch_ciphers(op, gcm_names, crypto->gcm));
    HF_TRY(fetch_ciphers(op, ecb_names, crypto->ecb));
    HF_TRY(fetch_digests(op, crypto->digests));
    crypto->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (crypto->hmac == NULL) {
        return missing(op, "HMAC");
    }
    crypto->hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    if (crypto->hkdf == NULL) {
        return missing(op, "HKDF");
    }
    HF_TRY(check_key_types(op));
    HF_TRY(start_generators(op));
    *out = HF_TAKE(crypto);
    return HF_SUCCESS;
}

void hf_crypto_free(struct hf_crypto *crypto)
{
    if (crypto == NULL) {
        return;
    }
    for (size_t i = 0; i < HF_AES_SIZES; i++) {
        EVP_CIPHER_free(crypto->gcm[i]);
        EVP_CIPHER_free(crypto->ecb[i]);
    }
    for (size_t i = 0; i < HF_HASHES; i++) {
        EVP_MD_free(crypto->digests[i]);
    }
    EVP_MAC_free(crypto->hmac);
    EVP_KDF_free(crypto->hkdf);
    free(crypto);
}

void hf_crypto_forget_errors(void)
{
    ERR_clear_error();
}

static struct hf_status no_space(struct hf_op *op)
{
    ERR_clear_error();
    return hf_fail(op, HF_NO_SPACE, "locked memory is used up; raise its limit or the load falls");
}

struct hf_status hf_crypto_fail(struct hf_op *op, const char *doing)
{
    const char *reason;

    if (hf_secret_scope_starved()) {
        return no_space(op);
    }
    reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return hf_fail(op, HF_INTERNAL, "%s failed in OpenSSL: %s", doing,
                   reason != NULL ? reason : "no reason given");
}

struct hf_status hf_crypto_refuse(struct hf_op *op, enum hf_code code, enum hf_cause cause,
                                  const char *text)
{
    if (hf_secret_scope_starved()) {
        return no_space(op);
    }
    ERR_clear_error();
    return hf_fail_cause(op, code, cause, "%s", text);
}
