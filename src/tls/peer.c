/* Who the peer of a finished handshake is. */
#include "tls/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "tls/files.h"

/* An empty name or one with a NUL inside could pass for somebody else. */
static bool add_string(struct hf_buf *out, const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, string);
    bool usable = len > 0 && hf_text_is_utf8(hf_bytes_of(utf8, (size_t)len));

    if (usable) {
        hf_buf_add(out, utf8, (size_t)len);
    }
    if (len >= 0) {
        OPENSSL_free(utf8);
    }
    return usable;
}

/* The last common name is the most specific one. A certificate with an unusable one has none. */
static bool add_common_name(struct hf_buf *out, X509 *certificate, bool *out_present)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = -1;
    int last = -1;

    while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0) {
        last = at;
    }
    *out_present = last >= 0;
    return last >= 0 &&
           add_string(out, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
}

static bool add_dns_name(struct hf_buf *out, X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        found = name->type == GEN_DNS && add_string(out, name->d.dNSName);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static struct hf_status take_fingerprint(struct hf_op *op, X509 *certificate, struct hf_buf *out)
{
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    int done = sha256 != NULL ? X509_digest(certificate, sha256, digest, &len) : 0;

    EVP_MD_free(sha256);
    if (done != 1) {
        return hf_fail(op, HF_INTERNAL, "the client certificate cannot be digested");
    }
    hf_hex_add(out, hf_bytes_of(digest, len));
    return HF_SUCCESS;
}

static struct hf_status describe(struct hf_op *op, X509 *certificate, struct hf_buf *out_name,
                                 struct hf_buf *out_fingerprint)
{
    HF_AUTO(buf) name = hf_buf_new();
    bool has_common_name = false;

    /* A resumed session is not verified again, so the end of the certificate is looked at here. */
    if (hf_tls_date_ms(X509_get0_notAfter(certificate)) <= hf_env_realtime_ms(op->env)) {
        return hf_fail(op, HF_UNAUTHENTICATED, "the client certificate has expired");
    }
    if (!add_common_name(name, certificate, &has_common_name) &&
        (has_common_name || !add_dns_name(name, certificate))) {
        return hf_fail(op, HF_UNAUTHENTICATED,
                       "the client certificate has no usable common name or DNS name");
    }
    HF_TRY(take_fingerprint(op, certificate, out_fingerprint));
    hf_buf_add_bytes(out_name, hf_buf_bytes(name));
    return HF_SUCCESS;
}

struct hf_status hf_tls_peer(struct hf_op *op, SSL *ssl, struct hf_buf *out_name,
                             struct hf_buf *out_fingerprint)
{
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    struct hf_status status;

    if (certificate == NULL) {
        return hf_fail(op, HF_UNAUTHENTICATED, "the client gave no certificate");
    }
    if (SSL_get_verify_result(ssl) != X509_V_OK) {
        status = hf_fail(op, HF_UNAUTHENTICATED, "the client certificate was not verified");
    } else {
        status = describe(op, certificate, out_name, out_fingerprint);
    }
    X509_free(certificate);
    ERR_clear_error();
    return status;
}
