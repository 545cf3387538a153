/*
 * Cryptography by OpenSSL 3, EVP only: algorithms are fetched once, contexts are cached by callers.
 *
 * Key bytes come and go as secrets. All memory that OpenSSL takes inside these calls is arena
 * memory (base/secret.h); outside of them, in TLS, it is ordinary memory that is wiped on free.
 *
 * Threads: hf_crypto is shared by all; a context object (aead, ctr, mac) belongs to one thread at
 * a time; keys (hf_pkey) may be used by several at once.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"
#include "base/secret.h"

#define HF_SHA256_LEN    32
#define HF_GCM_NONCE_LEN 12
#define HF_GCM_TAG_LEN   16
#define HF_AES_BLOCK_LEN 16
#define HF_X25519_LEN    32

struct hf_crypto;

/*
 * Puts OpenSSL's allocator on our memory. Once per process, after hf_secret_start() and before any
 * other OpenSSL call, TLS included; HF_INTERNAL if it is too late.
 */
HF_STATUS hf_crypto_start(struct hf_op *op);

/* Fetches every algorithm used here; HF_UNSUPPORTED names the one that is missing. */
HF_STATUS hf_crypto_new(struct hf_op *op, struct hf_crypto **out);
void hf_crypto_free(struct hf_crypto *crypto);
HF_DEFINE_CLEANUP(crypto)

/* --- random --- */

/* A fresh secret from the private generator (RAND_priv_bytes). */
HF_STATUS hf_random_secret(struct hf_crypto *crypto, struct hf_op *op, size_t len,
                           struct hf_secret **out);
/* Bytes that become public: nonces, salts, ids. From a per-thread buffer that is wiped as used. */
HF_STATUS hf_random_public(struct hf_crypto *crypto, struct hf_op *op, uint8_t *out, size_t len);

/* --- digests and MACs --- */

HF_STATUS hf_sha256(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes data,
                    uint8_t out[HF_SHA256_LEN]);

struct hf_mac; /* HMAC-SHA-256 under one key */
HF_STATUS hf_mac_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                     struct hf_mac **out);
void hf_mac_free(struct hf_mac *mac);
HF_DEFINE_CLEANUP(mac)
/* Over the parts one after another; callers make the parts unambiguous. */
HF_STATUS hf_mac_compute(struct hf_mac *mac, struct hf_op *op, const struct hf_bytes *parts,
                         size_t count, uint8_t out[HF_SHA256_LEN]);

/* HKDF-SHA-256 (RFC 5869), extract and expand; salt may be empty. */
HF_STATUS hf_hkdf(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                  struct hf_bytes salt, struct hf_bytes info, size_t len, struct hf_secret **out);

/* Argon2id (RFC 9106). memory_kib, passes and lanes as recorded with what it protects. */
HF_STATUS hf_argon2id(struct hf_op *op, struct hf_bytes password, struct hf_bytes salt,
                      uint32_t memory_kib, uint32_t passes, uint32_t lanes, size_t len,
                      struct hf_secret **out);

/* --- AES --- */

/* AES-128/192/256-GCM under one key, both directions, with cached key schedules. */
struct hf_aead;
HF_STATUS hf_aead_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                      struct hf_aead **out);
void hf_aead_free(struct hf_aead *aead);
HF_DEFINE_CLEANUP(aead)
/* Writes plain.len bytes to out_cipher (may be plain.data) and the tag. */
HF_STATUS hf_aead_seal(struct hf_aead *aead, struct hf_op *op,
                       const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_bytes aad,
                       struct hf_bytes plain, uint8_t *out_cipher, uint8_t out_tag[HF_GCM_TAG_LEN]);
/* Writes cipher.len bytes to out_plain, wiped again when the tag is wrong: HF_CORRUPT, altered. */
HF_STATUS hf_aead_open(struct hf_aead *aead, struct hf_op *op,
                       const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_bytes aad,
                       struct hf_bytes cipher, const uint8_t tag[HF_GCM_TAG_LEN],
                       uint8_t *out_plain);

/* AES-CTR with a 128-bit big-endian counter (NIST SP 800-38A), as Hadoop uses it. */
struct hf_ctr;
HF_STATUS hf_ctr_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes key,
                     struct hf_ctr **out);
void hf_ctr_free(struct hf_ctr *ctr);
HF_DEFINE_CLEANUP(ctr)
/* Encrypts or decrypts: the same operation. counter is the first block; out may be in.data. */
HF_STATUS hf_ctr_crypt(struct hf_ctr *ctr, struct hf_op *op,
                       const uint8_t counter[HF_AES_BLOCK_LEN], struct hf_bytes in, uint8_t *out);
/*
 * The two halves of it, for many texts at once: count blocks that count up from counter (which may
 * be out_blocks), and the key stream of so many blocks, to be added (XOR) to the text. The stream
 * is as secret as the text.
 */
void hf_ctr_count(const uint8_t counter[HF_AES_BLOCK_LEN], uint8_t *out_blocks, size_t count);
HF_STATUS hf_ctr_stream(struct hf_ctr *ctr, struct hf_op *op, struct hf_bytes blocks, uint8_t *out);

/* --- HPKE (RFC 9180) base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM --- */

HF_STATUS hf_x25519_generate(struct hf_crypto *crypto, struct hf_op *op,
                             struct hf_secret **out_private, uint8_t out_public[HF_X25519_LEN]);
HF_STATUS hf_x25519_public(struct hf_crypto *crypto, struct hf_op *op,
                           const struct hf_secret *private_key, uint8_t out_public[HF_X25519_LEN]);
/* Appends enc (32 bytes), ciphertext and tag to out. */
HF_STATUS hf_hpke_seal(struct hf_crypto *crypto, struct hf_op *op,
                       const uint8_t public_key[HF_X25519_LEN], struct hf_bytes info,
                       struct hf_bytes aad, struct hf_bytes plain, struct hf_buf *out);
/* Opens what hf_hpke_seal() made; HF_CORRUPT (altered) when it is not for this key or changed. */
HF_STATUS hf_hpke_open(struct hf_crypto *crypto, struct hf_op *op,
                       const struct hf_secret *private_key, struct hf_bytes info,
                       struct hf_bytes aad, struct hf_bytes sealed, struct hf_secret **out);

/* --- key pairs --- */

enum hf_pkey_kind {
    HF_PKEY_RSA_2048,
    HF_PKEY_RSA_3072,
    HF_PKEY_RSA_4096,
    HF_PKEY_P256,
    HF_PKEY_P384,
    HF_PKEY_P521,
    HF_PKEY_ED25519,
};

enum hf_hash { HF_HASH_SHA256, HF_HASH_SHA384, HF_HASH_SHA512 };

enum hf_signature {
    HF_SIGN_RSA_PKCS1, /* RFC 8017, 8.2 */
    HF_SIGN_RSA_PSS,   /* salt as long as the hash */
    HF_SIGN_ECDSA,     /* DER */
    HF_SIGN_ED25519,
};

struct hf_pkey;
HF_STATUS hf_pkey_generate(struct hf_crypto *crypto, struct hf_op *op, enum hf_pkey_kind kind,
                           struct hf_pkey **out);
/* PKCS#8 DER; HF_INVALID unless it is a sound key of a kind above. */
HF_STATUS hf_pkey_from_private(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes pkcs8,
                               struct hf_pkey **out);
/* SubjectPublicKeyInfo DER. */
HF_STATUS hf_pkey_from_public(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes spki,
                              struct hf_pkey **out);
/*
 * The same for bytes that hf_pkey_private() or hf_pkey_public() wrote and a seal has kept: without
 * the proof that the numbers are sound, which takes 30 to 200 ms for an RSA key.
 */
HF_STATUS hf_pkey_load_private(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes pkcs8,
                               struct hf_pkey **out);
HF_STATUS hf_pkey_load_public(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes spki,
                              struct hf_pkey **out);
void hf_pkey_free(struct hf_pkey *pkey);
HF_DEFINE_CLEANUP(pkey)
enum hf_pkey_kind hf_pkey_kind(const struct hf_pkey *pkey);
HF_STATUS hf_pkey_private(const struct hf_pkey *pkey, struct hf_op *op, struct hf_secret **out);
HF_STATUS hf_pkey_public(const struct hf_pkey *pkey, struct hf_op *op, struct hf_buf *out);

/* RSA-OAEP with the hash for both OAEP and MGF1. */
HF_STATUS hf_rsa_wrap(const struct hf_pkey *pkey, struct hf_op *op, enum hf_hash hash,
                      struct hf_bytes plain, struct hf_buf *out);
HF_STATUS hf_rsa_unwrap(const struct hf_pkey *pkey, struct hf_op *op, enum hf_hash hash,
                        struct hf_bytes wrapped, struct hf_secret **out);

/* Over the message itself; the hash is ignored by Ed25519. */
HF_STATUS hf_pkey_sign(const struct hf_pkey *pkey, struct hf_op *op, enum hf_signature scheme,
                       enum hf_hash hash, struct hf_bytes message, struct hf_buf *out);
/* HF_OK with *out_valid false when the signature is wrong. */
HF_STATUS hf_pkey_verify(const struct hf_pkey *pkey, struct hf_op *op, enum hf_signature scheme,
                         enum hf_hash hash, struct hf_bytes message, struct hf_bytes signature,
                         bool *out_valid);

/* HMAC with SHA-256, -384 or -512 for HMAC keys that callers own. */
HF_STATUS hf_hmac(struct hf_crypto *crypto, struct hf_op *op, enum hf_hash hash,
                  struct hf_bytes key, struct hf_bytes message, struct hf_buf *out);

/* --- certificates of the node's own authority --- */

struct hf_certificate_settings {
    const char *common_name;
    const char *const *dns_names; /* NULL-terminated; may be NULL */
    const char *const *addresses; /* textual IP addresses; likewise */
    bool is_ca;
    bool is_client; /* else server */
    uint64_t not_before_ms;
    uint64_t not_after_ms;
};

/* Self-signed when issuer_certificate is empty, else by the issuer. PEM out. */
HF_STATUS hf_certificate_make(struct hf_crypto *crypto, struct hf_op *op,
                              const struct hf_certificate_settings *settings,
                              const struct hf_pkey *subject, const struct hf_pkey *issuer,
                              struct hf_bytes issuer_certificate_pem, struct hf_buf *out_pem);
/*
 * The same certificate, key and names and all, with other dates and another number. HF_INVALID when
 * pem is none or the issuer's is not that of issuer, HF_DENIED when the issuer has not signed it.
 */
HF_STATUS hf_certificate_renew(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes pem,
                               const struct hf_pkey *issuer, struct hf_bytes issuer_certificate_pem,
                               uint64_t not_before_ms, uint64_t not_after_ms,
                               struct hf_buf *out_pem);
/* HF_DENIED unless the issuer has signed it and it is that of subject. Dates are not looked at. */
HF_STATUS hf_certificate_check(struct hf_op *op, struct hf_bytes pem, const struct hf_pkey *subject,
                               struct hf_bytes issuer_certificate_pem);
/* When it ends, ms since 1970. HF_INVALID when it is none. */
HF_STATUS hf_certificate_expires(struct hf_op *op, struct hf_bytes pem, uint64_t *out_ms);
/* The private key as PEM (PKCS#8), for files that TLS reads. */
HF_STATUS hf_pkey_private_pem(const struct hf_pkey *pkey, struct hf_op *op, struct hf_secret **out);
/* Out of such a file. HF_INVALID when it is none, or has a passphrase. */
HF_STATUS hf_pkey_from_private_pem(struct hf_op *op, struct hf_bytes pem, struct hf_pkey **out);
