/* Certificates for tests, made with OpenSSL. */
#include "certificates.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/assert.h"

struct test_authority {
    char dir[64];
    X509 *certificate;
    EVP_PKEY *key;
    long serial;
};

char *test_authority_path(const struct test_authority *authority, const char *file)
{
    return hf_format("%s/%s", authority->dir, file);
}

const char *test_authority_dir(const struct test_authority *authority)
{
    return authority->dir;
}

static EVP_PKEY *new_key(int kind)
{
    EVP_PKEY *key = kind == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen((unsigned)kind);

    hf_assert(key != NULL);
    return key;
}

static void add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);

    hf_assert(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void set_name(X509 *certificate, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(certificate);

    hf_assert(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
                                         (const unsigned char *)"Holdfast tests", -1, -1, 0) == 1);
    if (common_name != NULL) {
        hf_assert(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                             (const unsigned char *)common_name, -1, -1, 0) == 1);
    }
}

static X509 *new_certificate(struct test_authority *authority, const char *common_name,
                             long begins_s, long ends_s, EVP_PKEY *key)
{
    X509 *certificate = X509_new();

    hf_assert(certificate != NULL);
    hf_assert(X509_set_version(certificate, X509_VERSION_3) == 1);
    hf_assert(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++authority->serial) == 1);
    hf_assert(X509_gmtime_adj(X509_getm_notBefore(certificate), begins_s) != NULL);
    hf_assert(X509_gmtime_adj(X509_getm_notAfter(certificate), ends_s) != NULL);
    hf_assert(X509_set_pubkey(certificate, key) == 1);
    set_name(certificate, common_name);
    return certificate;
}

static FILE *create(const struct test_authority *authority, const char *file, const char *suffix)
{
    HF_AUTO_STRING path = hf_format("%s/%s%s", authority->dir, file, suffix);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

    hf_assert(out != NULL);
    return out;
}

static void save_certificate(const struct test_authority *authority, const char *file,
                             X509 *certificate)
{
    FILE *out = create(authority, file, ".pem");

    hf_assert(PEM_write_X509(out, certificate) == 1);
    hf_assert(fclose(out) == 0);
}

static void save_key(const struct test_authority *authority, const char *file, EVP_PKEY *key)
{
    FILE *out = create(authority, file, ".key");

    hf_assert(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
    hf_assert(fclose(out) == 0);
}

struct test_authority *test_authority_new(void)
{
    struct test_authority *authority = hf_alloc(sizeof *authority);
    X509V3_CTX context;

    (void)snprintf(authority->dir, sizeof authority->dir, "/tmp/holdfast-tls-XXXXXX");
    hf_assert(mkdtemp(authority->dir) != NULL);
    authority->key = new_key(0);
    authority->certificate =
        new_certificate(authority, "Test authority", -3600, 86400, authority->key);
    hf_assert(X509_set_issuer_name(authority->certificate,
                                   X509_get_subject_name(authority->certificate)) == 1);
    X509V3_set_ctx(&context, authority->certificate, authority->certificate, NULL, NULL, 0);
    add_extension(authority->certificate, &context, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(authority->certificate, &context, NID_key_usage, "critical,keyCertSign");
    hf_assert(X509_sign(authority->certificate, authority->key, EVP_sha256()) > 0);
    save_certificate(authority, "ca", authority->certificate);
    return authority;
}

void test_authority_issue(struct test_authority *authority, const struct test_subject *subject)
{
    EVP_PKEY *key = new_key(subject->kind);
    X509 *certificate =
        new_certificate(authority, subject->common_name, subject->begins_s, subject->ends_s, key);
    X509V3_CTX context;

    hf_assert(X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate)) ==
              1);
    X509V3_set_ctx(&context, authority->certificate, certificate, NULL, NULL, 0);
    add_extension(certificate, &context, NID_ext_key_usage,
                  subject->is_client ? "clientAuth" : "serverAuth");
    if (subject->dns_name != NULL) {
        HF_AUTO_STRING names = hf_format("DNS:%s", subject->dns_name);

        add_extension(certificate, &context, NID_subject_alt_name, names);
    }
    hf_assert(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
    save_certificate(authority, subject->file, certificate);
    save_key(authority, subject->file, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void test_authority_free(struct test_authority *authority)
{
    DIR *dir = opendir(authority->dir);
    struct dirent *entry = NULL;

    hf_assert(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
    hf_assert(rmdir(authority->dir) == 0);
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
    free(authority);
}
