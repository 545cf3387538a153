/*
 * Key pairs: making them, taking foreign ones in after a close look, and writing them out.
 */
#include "crypto/pkey_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/alloc.h"

#define RSA_EXPONENT 65537
/* NIST SP 800-56B, 6.4.1.1: 2^16 < e < 2^256, odd. */
#define RSA_EXPONENT_MAX_BITS 256
/* Well above the PKCS#8 form of RSA-4096 (2.4 KiB) with attributes. */
#define DER_MAX 16384
#define PEM_MAX 32768

static void cleanup_number(BIGNUM **number)
{
    BN_clear_free(*number);
}

#define NUMBER __attribute__((cleanup(cleanup_number))) BIGNUM *

HF_OPENSSL_CLEANUP(BIO)
HF_OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO)

enum family { FAMILY_RSA, FAMILY_EC, FAMILY_ED25519 };

static const struct {
    enum family family;
    const char *type;  /* as OpenSSL names it */
    int bits;          /* RSA */
    const char *curve; /* EC, as OpenSSL names its group */
} kinds[] = {
    [HF_PKEY_RSA_2048] = { FAMILY_RSA, "RSA", 2048, NULL },
    [HF_PKEY_RSA_3072] = { FAMILY_RSA, "RSA", 3072, NULL },
    [HF_PKEY_RSA_4096] = { FAMILY_RSA, "RSA", 4096, NULL },
    [HF_PKEY_P256] = { FAMILY_EC, "EC", 0, "prime256v1" },
    [HF_PKEY_P384] = { FAMILY_EC, "EC", 0, "secp384r1" },
    [HF_PKEY_P521] = { FAMILY_EC, "EC", 0, "secp521r1" },
    [HF_PKEY_ED25519] = { FAMILY_ED25519, "ED25519", 0, NULL },
};

enum hf_pkey_kind hf_pkey_kind(const struct hf_pkey *pkey)
{
    return pkey->kind;
}

bool hf_pkey_is_rsa(const struct hf_pkey *pkey)
{
    return kinds[pkey->kind].family == FAMILY_RSA;
}

struct hf_status hf_pkey_need_private(const struct hf_pkey *pkey, struct hf_op *op)
{
    if (!pkey->has_private) {
        return hf_fail(op, HF_INVALID,
                       "this needs the private key, and only the public one is here");
    }
    return HF_SUCCESS;
}

void hf_pkey_free(struct hf_pkey *pkey)
{
    if (pkey != NULL) {
        EVP_PKEY_free(pkey->key);
        free(pkey);
    }
}

/* --- making --- */

static bool set_generation(EVP_PKEY_CTX *context, enum hf_pkey_kind kind)
{
    switch (kinds[kind].family) {
    case FAMILY_RSA:
        return EVP_PKEY_CTX_set_rsa_keygen_bits(context, kinds[kind].bits) == 1;
    case FAMILY_EC:
        return EVP_PKEY_CTX_set_group_name(context, kinds[kind].curve) == 1;
    case FAMILY_ED25519:
        return true;
    }
    return false;
}

struct hf_status hf_pkey_generate(struct hf_crypto *crypto, struct hf_op *op,
                                  enum hf_pkey_kind kind, struct hf_pkey **out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name(NULL, kinds[kind].type, NULL);
    HF_AUTO(pkey) pkey = hf_alloc(sizeof *pkey);

    (void)crypto;
    pkey->kind = kind;
    pkey->has_private = true;
    /* OpenSSL's own public exponent is 65537. */
    if (context == NULL || EVP_PKEY_keygen_init(context) != 1 || !set_generation(context, kind) ||
        !hf_crypto_ok(EVP_PKEY_generate(context, &pkey->key))) {
        return hf_crypto_fail(op, "making a key pair");
    }
    *out = HF_TAKE(pkey);
    return HF_SUCCESS;
}

/* --- looking closely at foreign keys --- */

/* Whether the exponent is one that everybody accepts, and the key has two primes. */
static const char *judge_rsa(const EVP_PKEY *key)
{
    NUMBER exponent = NULL;
    NUMBER third_factor = NULL;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1 || !BN_is_odd(exponent) ||
        BN_num_bits(exponent) > RSA_EXPONENT_MAX_BITS || BN_cmp(exponent, BN_value_one()) <= 0 ||
        BN_get_word(exponent) < RSA_EXPONENT) {
        return "an RSA public exponent is odd and from 65537 to 2^256";
    }
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR3, &third_factor) == 1) {
        return "an RSA key has two primes, not more";
    }
    return NULL;
}

static const char *judge_ec(const EVP_PKEY *key)
{
    int is_explicit = 0;

    if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &is_explicit) != 1 ||
        is_explicit != 0) {
        return "an EC key names its curve, and does not spell out its parameters";
    }
    return NULL;
}

static bool is_of_kind(const EVP_PKEY *key, enum hf_pkey_kind kind)
{
    char curve[32];

    if (!EVP_PKEY_is_a(key, kinds[kind].type)) {
        return false;
    }
    switch (kinds[kind].family) {
    case FAMILY_RSA:
        return EVP_PKEY_get_bits(key) == kinds[kind].bits;
    case FAMILY_EC:
        return EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) == 1 &&
               strcmp(curve, kinds[kind].curve) == 0;
    case FAMILY_ED25519:
        return true;
    }
    return false;
}

/* The kind of a foreign key; a text says why it has none. */
static const char *judge_kind(const EVP_PKEY *key, enum hf_pkey_kind *out)
{
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if (is_of_kind(key, (enum hf_pkey_kind)i)) {
            *out = (enum hf_pkey_kind)i;
            return NULL;
        }
    }
    return "a key is RSA of 2048, 3072 or 4096 bits, EC on P-256, P-384 or P-521, or Ed25519";
}

static const char *judge_family(const EVP_PKEY *key, enum hf_pkey_kind kind)
{
    switch (kinds[kind].family) {
    case FAMILY_RSA:
        return judge_rsa(key);
    case FAMILY_EC:
        return judge_ec(key);
    case FAMILY_ED25519:
        return NULL;
    }
    return NULL;
}

static bool is_sound(EVP_PKEY *key, bool has_private)
{
    HF_OPENSSL(EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

    if (context == NULL) {
        return false;
    }
    return has_private ? EVP_PKEY_check(context) == 1 : EVP_PKEY_public_check(context) == 1;
}

/* How a key came to us. */
struct origin {
    bool has_private;
    bool is_foreign;  /* its numbers must be proved sound */
    const char *form; /* what to say when it cannot be read */
};

/* Takes the key over in any case. */
static struct hf_status judge(struct hf_op *op, EVP_PKEY *key, const struct origin *origin,
                              struct hf_pkey **out)
{
    HF_AUTO(pkey) pkey = hf_alloc(sizeof *pkey);
    const char *fault;

    pkey->key = key;
    pkey->has_private = origin->has_private;
    fault = judge_kind(key, &pkey->kind);
    if (fault == NULL) {
        fault = judge_family(key, pkey->kind);
    }
    if (fault == NULL && origin->is_foreign && !is_sound(key, origin->has_private)) {
        fault = "the numbers of the key do not belong together";
    }
    if (fault != NULL || hf_secret_scope_starved()) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE, fault);
    }
    *out = HF_TAKE(pkey);
    return HF_SUCCESS;
}

/* --- DER in --- */

/* The type that a PKCS#8 names; OpenSSL then asks one decoder instead of all, at a third of the
 * time. */
static int named_type(const PKCS8_PRIV_KEY_INFO *info)
{
    const ASN1_OBJECT *type = NULL;

    return PKCS8_pkey_get0(&type, NULL, NULL, NULL, info) == 1 ? OBJ_obj2nid(type) : NID_undef;
}

static EVP_PKEY *decode_private(struct hf_bytes der)
{
    const unsigned char *at = der.data;
    HF_OPENSSL(PKCS8_PRIV_KEY_INFO) info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);

    /* More than PKCS#8 would be read below, so that it is one is made sure first. */
    if (info == NULL || at != der.data + der.len) {
        return NULL;
    }
    at = der.data;
    return d2i_PrivateKey_ex(named_type(info), NULL, &at, (long)der.len, NULL, NULL);
}

static EVP_PKEY *decode_public(struct hf_bytes der)
{
    const unsigned char *at = der.data;
    EVP_PKEY *key = d2i_PUBKEY_ex(NULL, &at, (long)der.len, NULL, NULL);

    if (key != NULL && at != der.data + der.len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static struct hf_status read_key(struct hf_op *op, struct hf_bytes der, const struct origin *origin,
                                 struct hf_pkey **out)
{
    HF_SECRET_SCOPE;
    EVP_PKEY *key = NULL;

    if (der.len > 0 && der.len <= DER_MAX) {
        key = origin->has_private ? decode_private(der) : decode_public(der);
    }
    if (key == NULL) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE, origin->form);
    }
    HF_TRY(judge(op, key, origin, out));
    hf_crypto_forget_errors();
    return HF_SUCCESS;
}

static const char private_form[] = "the private key is not PKCS#8 in DER, unencrypted and alone";
static const char public_form[] = "the public key is not a SubjectPublicKeyInfo in DER, alone";

struct hf_status hf_pkey_from_private(struct hf_crypto *crypto, struct hf_op *op,
                                      struct hf_bytes pkcs8, struct hf_pkey **out)
{
    static const struct origin origin = { true, true, private_form };

    (void)crypto;
    return read_key(op, pkcs8, &origin, out);
}

struct hf_status hf_pkey_from_public(struct hf_crypto *crypto, struct hf_op *op,
                                     struct hf_bytes spki, struct hf_pkey **out)
{
    static const struct origin origin = { false, true, public_form };

    (void)crypto;
    return read_key(op, spki, &origin, out);
}

struct hf_status hf_pkey_load_private(struct hf_crypto *crypto, struct hf_op *op,
                                      struct hf_bytes pkcs8, struct hf_pkey **out)
{
    static const struct origin origin = { true, false, private_form };

    (void)crypto;
    return read_key(op, pkcs8, &origin, out);
}

struct hf_status hf_pkey_load_public(struct hf_crypto *crypto, struct hf_op *op,
                                     struct hf_bytes spki, struct hf_pkey **out)
{
    static const struct origin origin = { false, false, public_form };

    (void)crypto;
    return read_key(op, spki, &origin, out);
}

/* --- PEM in --- */

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

struct hf_status hf_pkey_from_private_pem(struct hf_op *op, struct hf_bytes pem,
                                          struct hf_pkey **out)
{
    static const struct origin origin = { true, true, "" };
    HF_SECRET_SCOPE;
    HF_OPENSSL(BIO) bio = NULL;
    EVP_PKEY *key = NULL;

    if (pem.len > 0 && pem.len <= PEM_MAX) {
        bio = BIO_new_mem_buf(pem.data, (int)pem.len);
        key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    }
    if (key == NULL) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE,
                                "the private key is not one in PEM without a passphrase");
    }
    HF_TRY(judge(op, key, &origin, out));
    hf_crypto_forget_errors();
    return HF_SUCCESS;
}

/* --- DER and PEM out --- */

struct hf_status hf_pkey_private(const struct hf_pkey *pkey, struct hf_op *op,
                                 struct hf_secret **out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(PKCS8_PRIV_KEY_INFO) info = NULL;
    HF_AUTO(secret) secret = NULL;
    unsigned char *at;
    int len;

    HF_TRY(hf_pkey_need_private(pkey, op));
    info = EVP_PKEY2PKCS8(pkey->key);
    len = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
    if (len <= 0) {
        return hf_crypto_fail(op, "writing a private key");
    }
    HF_TRY(hf_secret_new(op, (size_t)len, &secret));
    at = hf_secret_data(secret);
    if (!hf_crypto_ok(i2d_PKCS8_PRIV_KEY_INFO(info, &at) == len)) {
        return hf_crypto_fail(op, "writing a private key");
    }
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}

struct hf_status hf_pkey_public(const struct hf_pkey *pkey, struct hf_op *op, struct hf_buf *out)
{
    HF_SECRET_SCOPE;
    int len = i2d_PUBKEY(pkey->key, NULL);
    unsigned char *at;

    if (len <= 0) {
        return hf_crypto_fail(op, "writing a public key");
    }
    at = hf_buf_reserve(out, (size_t)len);
    if (!hf_crypto_ok(i2d_PUBKEY(pkey->key, &at) == len)) {
        return hf_crypto_fail(op, "writing a public key");
    }
    hf_buf_grew(out, (size_t)len);
    return HF_SUCCESS;
}

struct hf_status hf_pkey_private_pem(const struct hf_pkey *pkey, struct hf_op *op,
                                     struct hf_secret **out)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(BIO) bio = NULL; /* in arena memory, by the scope */
    char *text = NULL;
    long len;

    HF_TRY(hf_pkey_need_private(pkey, op));
    bio = BIO_new(BIO_s_mem());
    if (bio == NULL ||
        !hf_crypto_ok(PEM_write_bio_PKCS8PrivateKey(bio, pkey->key, NULL, NULL, 0, NULL, NULL))) {
        return hf_crypto_fail(op, "writing a private key");
    }
    len = BIO_get_mem_data(bio, &text);
    return hf_secret_copy(op, hf_bytes_of(text, (size_t)len), out);
}
