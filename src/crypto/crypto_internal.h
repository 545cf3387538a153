/*
 * What the files of this folder share: the fetched algorithms, the secret scope, and how a failure
 * of OpenSSL becomes ours. Nobody outside of src/crypto and its tests includes it.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "crypto/crypto.h"

/* AES-128, -192 and -256, in this order. */
#define HF_AES_SIZES 3
/* In the order of enum hf_hash. */
#define HF_HASHES 3

struct hf_crypto {
    EVP_CIPHER *gcm[HF_AES_SIZES];
    EVP_CIPHER *ecb[HF_AES_SIZES]; /* for AES-CTR */
    EVP_MD *digests[HF_HASHES];
    EVP_MAC *hmac;
    EVP_KDF *hkdf;
};

/* "SHA2-256", ... as OpenSSL's parameters name a hash. */
const char *hf_hash_name(enum hf_hash hash);
size_t hf_hash_len(enum hf_hash hash);

/*
 * Whether a key length is one of AES; *out_index is its place in the arrays above.
 */
bool hf_aes_index(size_t key_len, size_t *out_index);

/*
 * From here to the end of the block, what OpenSSL allocates on this thread is arena memory. Every
 * public function that touches a key opens one; they nest.
 */
#define HF_SECRET_SCOPE                                                                            \
    __attribute__((cleanup(hf_secret_scope_leave), unused)) struct hf_secret_scope secret_scope =  \
        hf_secret_scope_enter()

struct hf_secret_scope {
    unsigned outer_depth;
};
struct hf_secret_scope hf_secret_scope_enter(void);
void hf_secret_scope_leave(struct hf_secret_scope *scope);
/* Whether an allocation failed since the outermost scope of this thread was entered. */
bool hf_secret_scope_starved(void);
/*
 * Whether an OpenSSL call that answers 1 for success did succeed, and with all the memory it asked
 * for: some report success and a length of -1 when they ran out of it.
 */
static inline bool hf_crypto_ok(int result)
{
    return result == 1 && !hf_secret_scope_starved();
}

/*
 * The failure of an OpenSSL call that should not fail: HF_NO_SPACE when the arenas were full, else
 * HF_INTERNAL with OpenSSL's reason. Empties OpenSSL's error queue, which TLS shares.
 */
HF_STATUS hf_crypto_fail(struct hf_op *op, const char *doing);
/*
 * The failure of an OpenSSL call that judged foreign bytes: HF_NO_SPACE as above, else that code
 * and cause with the text alone, so that nothing of OpenSSL's reason tells one case from another.
 */
HF_STATUS hf_crypto_refuse(struct hf_op *op, enum hf_code code, enum hf_cause cause,
                           const char *text);

/* Empties OpenSSL's error queue after a call that may leave something in it. */
void hf_crypto_forget_errors(void);

/* OpenSSL objects as locals: HF_OPENSSL(EVP_PKEY_CTX) context = NULL. */
#define HF_OPENSSL(type) __attribute__((cleanup(hf_openssl_##type##_cleanup))) __typeof__(type) *
#define HF_OPENSSL_CLEANUP(type)                                                                   \
    static inline void hf_openssl_##type##_cleanup(__typeof__(type) **object)                      \
    {                                                                                              \
        type##_free(*object);                                                                      \
    }

HF_OPENSSL_CLEANUP(EVP_CIPHER_CTX)
HF_OPENSSL_CLEANUP(EVP_KDF_CTX)
HF_OPENSSL_CLEANUP(EVP_MAC_CTX)
HF_OPENSSL_CLEANUP(EVP_MD_CTX)
HF_OPENSSL_CLEANUP(EVP_PKEY)
HF_OPENSSL_CLEANUP(EVP_PKEY_CTX)

/* For tests: what the allocator hooks do, without OpenSSL between. */
void *hf_crypto_malloc(size_t len, const char *file, int line);
void *hf_crypto_realloc(void *block, size_t len, const char *file, int line);
void hf_crypto_free_block(void *block, const char *file, int line);

/*
 * HKDF-SHA-256 in one of the modes EVP_KDF_HKDF_MODE_*; out is secret or arena memory.
 */
HF_STATUS hf_hkdf_run(struct hf_crypto *crypto, struct hf_op *op, int mode, struct hf_bytes key,
                      struct hf_bytes salt, struct hf_bytes info, uint8_t *out, size_t len);

/* Drops this thread's buffer of random bytes; after fork(2) and at the end of a thread. */
void hf_random_forget(void);
