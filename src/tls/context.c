/* Server contexts: built from files, checked, and swapped while connections live. */
#include "tls/tls.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "tls/files.h"

/* Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else anyway. */
#define TLS12_CIPHERS                                                                              \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
#define GROUPS "X25519:P-256"

/* A resumed session skips the check of the client's certificate, so it must not live long. */
#define SESSION_SECONDS 3600

struct hf_tls {
    pthread_mutex_t lock; /* guards the rest */
    SSL_CTX *context;
    uint64_t expires_ms;
};

static struct hf_status check_dates(struct hf_op *op, const struct hf_tls_settings *settings,
                                    X509 *certificate, uint64_t *out_expires_ms)
{
    uint64_t now = hf_env_realtime_ms(op->env);
    uint64_t expires = hf_tls_date_ms(X509_get0_notAfter(certificate));

    if (now < hf_tls_date_ms(X509_get0_notBefore(certificate))) {
        return hf_fail(op, HF_INVALID, "%s is not valid yet: check its dates and the clock",
                       settings->certificate_file);
    }
    if (now >= expires) {
        return hf_fail(op, HF_INVALID, "%s has expired: put a new certificate in its place",
                       settings->certificate_file);
    }
    *out_expires_ms = expires;
    return HF_SUCCESS;
}

static struct hf_status use_pair(struct hf_op *op, const struct hf_tls_settings *settings,
                                 SSL_CTX *context, X509 *certificate, STACK_OF(X509) * chain,
                                 EVP_PKEY *key)
{
    if (X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        return hf_fail(op, HF_INVALID, "the key in %s does not belong to the certificate in %s",
                       settings->key_file, settings->certificate_file);
    }
    if (SSL_CTX_use_certificate(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_set1_chain(context, chain) != 1) {
        return hf_fail(op, HF_INVALID, "%s cannot be used: %s", settings->certificate_file,
                       hf_tls_reason());
    }
    return HF_SUCCESS;
}

static struct hf_status load_pair(struct hf_op *op, const struct hf_tls_settings *settings,
                                  SSL_CTX *context, uint64_t *out_expires_ms)
{
    X509 *certificate = NULL;
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    struct hf_status status;

    HF_TRY(hf_tls_read_chain(op, settings->certificate_file, &certificate, &chain));
    status = hf_tls_read_key(op, settings->key_file, &key);
    if (status.code == HF_OK) {
        status = use_pair(op, settings, context, certificate, chain, key);
    }
    if (status.code == HF_OK) {
        status = check_dates(op, settings, certificate, out_expires_ms);
    }
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    X509_free(certificate);
    return status;
}

/* Trusts every certificate of the list, and names them to clients that hold several. */
static bool trust_all(SSL_CTX *context, STACK_OF(X509) * list)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);

    for (int i = 0; i < sk_X509_num(list); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(list, i)) != 1 ||
            SSL_CTX_add_client_CA(context, sk_X509_value(list, i)) != 1) {
            return false;
        }
    }
    return true;
}

static struct hf_status load_clients(struct hf_op *op, const struct hf_tls_settings *settings,
                                     SSL_CTX *context)
{
    STACK_OF(X509) *list = NULL;
    int mode = SSL_VERIFY_PEER;
    bool trusted;

    if (settings->ca_file == NULL || settings->clients == HF_TLS_CLIENTS_NONE) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        return HF_SUCCESS;
    }
    HF_TRY(hf_tls_read_certificates(op, settings->ca_file, &list));
    trusted = trust_all(context, list);
    sk_X509_pop_free(list, X509_free);
    if (!trusted) {
        return hf_fail(op, HF_INVALID, "%s cannot be used: %s", settings->ca_file, hf_tls_reason());
    }
    if (settings->clients == HF_TLS_CLIENTS_REQUIRED) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(context, mode, NULL);
    return HF_SUCCESS;
}

static bool set_rules(SSL_CTX *context)
{
    static const unsigned char session_context[] = "holdfast";

    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_read_ahead(context, 1);
    /* The chain is what the file says; looking for one in the CA file would cost every handshake.
     */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_NO_AUTO_CHAIN);
    /* Tickets only: a cache would cost memory per session, and a lock. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, SESSION_SECONDS);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, TLS12_CIPHERS) == 1 &&
           SSL_CTX_set1_groups_list(context, GROUPS) == 1 &&
           SSL_CTX_set_num_tickets(context, 1) == 1 &&
           SSL_CTX_set_session_id_context(context, session_context, sizeof session_context - 1) ==
               1;
}

static struct hf_status build(struct hf_op *op, const struct hf_tls_settings *settings,
                              SSL_CTX **out, uint64_t *out_expires_ms)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    struct hf_status status;

    if (context == NULL || !set_rules(context)) {
        SSL_CTX_free(context);
        return hf_fail(op, HF_INTERNAL, "OpenSSL gives no TLS context: %s", hf_tls_reason());
    }
    status = load_pair(op, settings, context, out_expires_ms);
    if (status.code == HF_OK) {
        status = load_clients(op, settings, context);
    }
    if (status.code != HF_OK) {
        SSL_CTX_free(context);
        return status;
    }
    *out = context;
    return HF_SUCCESS;
}

struct hf_status hf_tls_new(struct hf_op *op, const struct hf_tls_settings *settings,
                            struct hf_tls **out)
{
    HF_AUTO(tls) tls = NULL;

    if (settings->clients != HF_TLS_CLIENTS_NONE && settings->ca_file == NULL) {
        return hf_fail(op, HF_INVALID, "client certificates are wanted, but no CA file is named");
    }
    tls = hf_alloc(sizeof *tls);
    (void)pthread_mutex_init(&tls->lock, NULL);
    HF_TRY(build(op, settings, &tls->context, &tls->expires_ms));
    *out = HF_TAKE(tls);
    return HF_SUCCESS;
}

void hf_tls_free(struct hf_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        (void)pthread_mutex_destroy(&tls->lock);
        free(tls);
    }
}

void hf_tls_take(struct hf_tls *tls, struct hf_tls *fresh)
{
    SSL_CTX *old = NULL;

    (void)pthread_mutex_lock(&tls->lock);
    old = tls->context;
    tls->context = fresh->context;
    tls->expires_ms = fresh->expires_ms;
    (void)pthread_mutex_unlock(&tls->lock);
    /* Connections that live on the old context hold references of their own. */
    fresh->context = old;
    hf_tls_free(fresh);
}

SSL *hf_tls_accept(struct hf_tls *tls)
{
    SSL_CTX *context = NULL;
    SSL *ssl = NULL;

    (void)pthread_mutex_lock(&tls->lock);
    context = tls->context;
    (void)SSL_CTX_up_ref(context);
    (void)pthread_mutex_unlock(&tls->lock);
    ssl = SSL_new(context);
    SSL_CTX_free(context);
    if (ssl == NULL) {
        ERR_clear_error();
    }
    return ssl;
}

uint64_t hf_tls_expires_ms(struct hf_tls *tls)
{
    uint64_t expires_ms;

    (void)pthread_mutex_lock(&tls->lock);
    expires_ms = tls->expires_ms;
    (void)pthread_mutex_unlock(&tls->lock);
    return expires_ms;
}
