/*
 * X.509 v3 certificates (RFC 5280) of the node's own authority.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "crypto/pkey_internal.h"

#define SERIAL_LEN 16
/* RFC 7093, 2 (1): the first 160 bits of SHA-256 over the public key. */
#define KEY_ID_LEN 20
/* RFC 5280, appendix A.1: ub-common-name. */
#define COMMON_NAME_MAX 64
#define DNS_NAME_MAX    253
#define X509_V3         2

HF_OPENSSL_CLEANUP(ASN1_BIT_STRING)
HF_OPENSSL_CLEANUP(ASN1_OCTET_STRING)
HF_OPENSSL_CLEANUP(ASN1_STRING)
HF_OPENSSL_CLEANUP(AUTHORITY_KEYID)
HF_OPENSSL_CLEANUP(BASIC_CONSTRAINTS)
HF_OPENSSL_CLEANUP(BIO)
HF_OPENSSL_CLEANUP(EXTENDED_KEY_USAGE)
HF_OPENSSL_CLEANUP(GENERAL_NAME)
HF_OPENSSL_CLEANUP(GENERAL_NAMES)
HF_OPENSSL_CLEANUP(X509)

static const char dns_characters[] = "abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*";

/* --- what is asked for --- */

static struct hf_status check_settings(struct hf_op *op,
                                       const struct hf_certificate_settings *settings)
{
    size_t len = settings->common_name != NULL ? strlen(settings->common_name) : 0;

    if (len == 0 || len > COMMON_NAME_MAX) {
        return hf_fail(op, HF_INVALID, "a certificate's common name has 1 to %d characters",
                       COMMON_NAME_MAX);
    }
    if (settings->not_after_ms <= settings->not_before_ms) {
        return hf_fail(op, HF_INVALID, "a certificate ends after it begins");
    }
    return HF_SUCCESS;
}

/* The first one, where there are several. */
static struct hf_status read_pem(struct hf_op *op, struct hf_bytes pem, const char *fault,
                                 X509 **out)
{
    HF_OPENSSL(BIO) bio = NULL;
    X509 *certificate;

    if (pem.len > INT32_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a certificate is too long");
    }
    bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (certificate == NULL) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE, fault);
    }
    *out = certificate;
    return HF_SUCCESS;
}

static struct hf_status read_issuer(struct hf_op *op, struct hf_bytes pem,
                                    const struct hf_pkey *key, X509 **out)
{
    HF_OPENSSL(X509) issuer = NULL;

    HF_TRY(read_pem(op, pem, "the issuer's certificate is not one in PEM", &issuer));
    if (X509_check_ca(issuer) != 1 || X509_get0_subject_key_id(issuer) == NULL) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE,
                                "the issuer's certificate is not that of an authority");
    }
    if (X509_check_private_key(issuer, key->key) != 1) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE,
                                "the issuer's certificate and key do not belong together");
    }
    *out = HF_TAKE(issuer);
    return HF_SUCCESS;
}

/* --- the body --- */

static bool set_serial(X509 *certificate, struct hf_bytes bytes)
{
    uint8_t positive[SERIAL_LEN];
    ASN1_INTEGER *serial = X509_get_serialNumber(certificate);

    memcpy(positive, bytes.data, SERIAL_LEN);
    /* RFC 5280, 4.1.2.2: positive, and never zero. */
    positive[0] = (uint8_t)((positive[0] & 0x7f) | 0x40);
    return ASN1_STRING_set(serial, positive, SERIAL_LEN) == 1;
}

static bool set_dates(X509 *certificate, uint64_t not_before_ms, uint64_t not_after_ms)
{
    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(not_before_ms / 1000)) !=
               NULL &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(not_after_ms / 1000)) != NULL;
}

static bool set_names(X509 *certificate, const char *common_name, const X509 *issuer)
{
    X509_NAME *subject = X509_get_subject_name(certificate);

    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate,
                                issuer != NULL ? X509_get_subject_name(issuer) : subject) == 1;
}

static struct hf_status set_body(struct hf_crypto *crypto, struct hf_op *op, X509 *certificate,
                                 const struct hf_certificate_settings *settings,
                                 const struct hf_pkey *subject, const X509 *issuer)
{
    uint8_t serial[SERIAL_LEN];

    HF_TRY(hf_random_public(crypto, op, serial, sizeof serial));
    if (X509_set_version(certificate, X509_V3) != 1 ||
        !set_serial(certificate, hf_bytes_of(serial, sizeof serial)) ||
        !set_dates(certificate, settings->not_before_ms, settings->not_after_ms) ||
        !set_names(certificate, settings->common_name, issuer) ||
        X509_set_pubkey(certificate, subject->key) != 1) {
        return hf_crypto_fail(op, "filling a certificate in");
    }
    return HF_SUCCESS;
}

/* --- the extensions --- */

static bool add(X509 *certificate, int nid, void *value, bool critical)
{
    return X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

static bool add_basic_constraints(X509 *certificate, bool is_ca)
{
    HF_OPENSSL(BASIC_CONSTRAINTS) constraints = BASIC_CONSTRAINTS_new();

    if (constraints == NULL) {
        return false;
    }
    if (is_ca) {
        constraints->ca = 0xff;
        /* It signs end certificates only; 0 is what a new integer holds. */
        constraints->pathlen = ASN1_INTEGER_new();
        if (constraints->pathlen == NULL) {
            return false;
        }
    }
    return add(certificate, NID_basic_constraints, constraints, true);
}

static bool add_key_usage(X509 *certificate, bool is_ca, bool is_rsa)
{
    /* The bits of RFC 5280, 4.2.1.3, by number. */
    enum { DIGITAL_SIGNATURE = 0, KEY_ENCIPHERMENT = 2, KEY_CERT_SIGN = 5, CRL_SIGN = 6 };
    HF_OPENSSL(ASN1_BIT_STRING) usage = ASN1_BIT_STRING_new();
    int first = is_ca ? KEY_CERT_SIGN : DIGITAL_SIGNATURE;
    int second = is_ca ? CRL_SIGN : KEY_ENCIPHERMENT;

    return usage != NULL && ASN1_BIT_STRING_set_bit(usage, first, 1) == 1 &&
           ASN1_BIT_STRING_set_bit(usage, second, is_ca || is_rsa) == 1 &&
           add(certificate, NID_key_usage, usage, true);
}

static bool add_purpose(X509 *certificate, bool is_client)
{
    HF_OPENSSL(EXTENDED_KEY_USAGE) purposes = EXTENDED_KEY_USAGE_new();
    ASN1_OBJECT *purpose = OBJ_nid2obj(is_client ? NID_client_auth : NID_server_auth);

    return purposes != NULL && sk_ASN1_OBJECT_push(purposes, purpose) > 0 &&
           add(certificate, NID_ext_key_usage, purposes, false);
}

static bool add_key_ids(struct hf_crypto *crypto, X509 *certificate, const X509 *issuer)
{
    const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(certificate);
    HF_OPENSSL(ASN1_OCTET_STRING) own = ASN1_OCTET_STRING_new();
    HF_OPENSSL(AUTHORITY_KEYID) authority = AUTHORITY_KEYID_new();
    uint8_t digest[HF_SHA256_LEN];

    if (own == NULL || authority == NULL ||
        EVP_Digest(key->data, (size_t)key->length, digest, NULL, crypto->digests[HF_HASH_SHA256],
                   NULL) != 1 ||
        ASN1_OCTET_STRING_set(own, digest, KEY_ID_LEN) != 1) {
        return false;
    }
    authority->keyid =
        ASN1_OCTET_STRING_dup(issuer != NULL ? X509_get0_subject_key_id((X509 *)issuer) : own);
    return authority->keyid != NULL && add(certificate, NID_subject_key_identifier, own, false) &&
           add(certificate, NID_authority_key_identifier, authority, false);
}

/* Takes the value over in any case. */
static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
    HF_OPENSSL(GENERAL_NAME) name = GENERAL_NAME_new();

    if (name == NULL) {
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        return false;
    }
    (void)HF_TAKE(name);
    return true;
}

static struct hf_status push_dns_name(struct hf_op *op, GENERAL_NAMES *names, const char *text)
{
    HF_OPENSSL(ASN1_STRING) value = NULL;
    size_t len = strlen(text);

    if (len == 0 || len > DNS_NAME_MAX || strspn(text, dns_characters) != len) {
        return hf_fail(op, HF_INVALID, "\"%.100s\" is not a DNS name", text);
    }
    value = ASN1_IA5STRING_new();
    if (value == NULL || ASN1_STRING_set(value, text, (int)len) != 1 ||
        !push_name(names, GEN_DNS, HF_TAKE(value))) {
        return hf_crypto_fail(op, "adding a DNS name to a certificate");
    }
    return HF_SUCCESS;
}

static struct hf_status push_address(struct hf_op *op, GENERAL_NAMES *names, const char *text)
{
    HF_OPENSSL(ASN1_STRING) value = a2i_IPADDRESS(text);

    if (value == NULL && !hf_secret_scope_starved()) {
        hf_crypto_forget_errors();
        return hf_fail(op, HF_INVALID, "\"%.100s\" is not an IP address", text);
    }
    if (value == NULL || !push_name(names, GEN_IPADD, HF_TAKE(value))) {
        return hf_crypto_fail(op, "adding an address to a certificate");
    }
    return HF_SUCCESS;
}

static struct hf_status add_alternative_names(struct hf_op *op, X509 *certificate,
                                              const struct hf_certificate_settings *settings)
{
    HF_OPENSSL(GENERAL_NAMES) names = GENERAL_NAMES_new();

    if (names == NULL) {
        return hf_crypto_fail(op, "naming a certificate");
    }
    for (size_t i = 0; settings->dns_names != NULL && settings->dns_names[i] != NULL; i++) {
        HF_TRY(push_dns_name(op, names, settings->dns_names[i]));
    }
    for (size_t i = 0; settings->addresses != NULL && settings->addresses[i] != NULL; i++) {
        HF_TRY(push_address(op, names, settings->addresses[i]));
    }
    if (sk_GENERAL_NAME_num(names) > 0 && !add(certificate, NID_subject_alt_name, names, false)) {
        return hf_crypto_fail(op, "naming a certificate");
    }
    return HF_SUCCESS;
}

static struct hf_status set_extensions(struct hf_crypto *crypto, struct hf_op *op,
                                       X509 *certificate,
                                       const struct hf_certificate_settings *settings,
                                       const struct hf_pkey *subject, const X509 *issuer)
{
    if (!add_basic_constraints(certificate, settings->is_ca) ||
        !add_key_usage(certificate, settings->is_ca, hf_pkey_is_rsa(subject)) ||
        (!settings->is_ca && !add_purpose(certificate, settings->is_client)) ||
        !add_key_ids(crypto, certificate, issuer)) {
        return hf_crypto_fail(op, "extending a certificate");
    }
    return add_alternative_names(op, certificate, settings);
}

/* --- the whole --- */

/* A hash as strong as the key; Ed25519 has its own. */
static const EVP_MD *signing_hash(const struct hf_crypto *crypto, enum hf_pkey_kind kind)
{
    switch (kind) {
    case HF_PKEY_RSA_2048:
    case HF_PKEY_RSA_3072:
    case HF_PKEY_RSA_4096:
    case HF_PKEY_P256:
        return crypto->digests[HF_HASH_SHA256];
    case HF_PKEY_P384:
        return crypto->digests[HF_HASH_SHA384];
    case HF_PKEY_P521:
        return crypto->digests[HF_HASH_SHA512];
    case HF_PKEY_ED25519:
        return NULL;
    }
    return NULL;
}

static struct hf_status write_pem(struct hf_op *op, const X509 *certificate, struct hf_buf *out)
{
    HF_OPENSSL(BIO) bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len;

    if (bio == NULL || !hf_crypto_ok(PEM_write_bio_X509(bio, (X509 *)certificate))) {
        return hf_crypto_fail(op, "writing a certificate");
    }
    len = BIO_get_mem_data(bio, &text);
    hf_buf_add(out, text, (size_t)len);
    return HF_SUCCESS;
}

struct hf_status hf_certificate_make(struct hf_crypto *crypto, struct hf_op *op,
                                     const struct hf_certificate_settings *settings,
                                     const struct hf_pkey *subject, const struct hf_pkey *issuer,
                                     struct hf_bytes issuer_certificate_pem, struct hf_buf *out_pem)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(X509) certificate = NULL;
    HF_OPENSSL(X509) authority = NULL;
    const struct hf_pkey *signer = issuer_certificate_pem.len > 0 ? issuer : subject;

    HF_TRY(check_settings(op, settings));
    HF_TRY(hf_pkey_need_private(signer, op));
    if (issuer_certificate_pem.len > 0) {
        HF_TRY(read_issuer(op, issuer_certificate_pem, issuer, &authority));
    }
    certificate = X509_new();
    if (certificate == NULL) {
        return hf_crypto_fail(op, "making a certificate");
    }
    HF_TRY(set_body(crypto, op, certificate, settings, subject, authority));
    HF_TRY(set_extensions(crypto, op, certificate, settings, subject, authority));
    if (X509_sign(certificate, signer->key, signing_hash(crypto, signer->kind)) == 0) {
        return hf_crypto_fail(op, "signing a certificate");
    }
    return write_pem(op, certificate, out_pem);
}

/* --- again, and checked --- */

static struct hf_status check_signed(struct hf_op *op, X509 *certificate, X509 *issuer)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    bool is_signed = key != NULL && X509_check_issued(issuer, certificate) == X509_V_OK &&
                     X509_verify(certificate, key) == 1;

    hf_crypto_forget_errors();
    return is_signed ? HF_SUCCESS
                     : hf_fail(op, HF_DENIED, "the certificate is signed by another authority");
}

struct hf_status hf_certificate_check(struct hf_op *op, struct hf_bytes pem,
                                      const struct hf_pkey *subject,
                                      struct hf_bytes issuer_certificate_pem)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(X509) certificate = NULL;
    HF_OPENSSL(X509) issuer = NULL;
    bool is_ours;

    HF_TRY(read_pem(op, pem, "the certificate is not one in PEM", &certificate));
    HF_TRY(read_pem(op, issuer_certificate_pem, "the authority's certificate is not one in PEM",
                    &issuer));
    HF_TRY(check_signed(op, certificate, issuer));
    is_ours = X509_check_private_key(certificate, subject->key) == 1;
    hf_crypto_forget_errors();
    return is_ours ? HF_SUCCESS : hf_fail(op, HF_DENIED, "the certificate is that of another key");
}

struct hf_status hf_certificate_renew(struct hf_crypto *crypto, struct hf_op *op,
                                      struct hf_bytes pem, const struct hf_pkey *issuer,
                                      struct hf_bytes issuer_certificate_pem,
                                      uint64_t not_before_ms, uint64_t not_after_ms,
                                      struct hf_buf *out_pem)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(X509) certificate = NULL;
    HF_OPENSSL(X509) authority = NULL;
    uint8_t serial[SERIAL_LEN];

    HF_TRY(hf_pkey_need_private(issuer, op));
    HF_TRY(read_pem(op, pem, "the certificate is not one in PEM", &certificate));
    HF_TRY(read_issuer(op, issuer_certificate_pem, issuer, &authority));
    HF_TRY(check_signed(op, certificate, authority));
    HF_TRY(hf_random_public(crypto, op, serial, sizeof serial));
    if (!set_serial(certificate, hf_bytes_of(serial, sizeof serial)) ||
        !set_dates(certificate, not_before_ms, not_after_ms) ||
        X509_sign(certificate, issuer->key, signing_hash(crypto, issuer->kind)) == 0) {
        return hf_crypto_fail(op, "signing a certificate");
    }
    return write_pem(op, certificate, out_pem);
}

struct hf_status hf_certificate_expires(struct hf_op *op, struct hf_bytes pem, uint64_t *out_ms)
{
    HF_SECRET_SCOPE;
    HF_OPENSSL(X509) certificate = NULL;
    struct tm end;
    time_t seconds;

    HF_TRY(read_pem(op, pem, "the certificate is not one in PEM", &certificate));
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) {
        return hf_crypto_refuse(op, HF_INVALID, HF_CAUSE_NONE, "a certificate has no end");
    }
    seconds = timegm(&end);
    *out_ms = seconds > 0 ? (uint64_t)seconds * 1000 : 0;
    return HF_SUCCESS;
}
