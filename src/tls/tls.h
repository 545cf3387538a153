/*
 * TLS: server contexts that can be replaced while connections live, and who the peer is.
 *
 * TLS 1.2 and 1.3, session tickets on, renegotiation off, compression off. Two settings ask
 * something of who holds the connections. Read-ahead is on: records may wait in OpenSSL that
 * neither the socket nor SSL_pending() tells of, only SSL_has_pending(). SSL_MODE_RELEASE_BUFFERS
 * is off: call SSL_free_buffers() on connections that rest, since wiping and freeing 33 KiB after
 * every request costs more than the request's own crypto.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

enum hf_tls_clients {
    HF_TLS_CLIENTS_NONE,     /* no client certificate is asked for */
    HF_TLS_CLIENTS_OPTIONAL, /* asked for; a bad one is refused, none is accepted */
    HF_TLS_CLIENTS_REQUIRED,
};

struct hf_tls_settings {
    const char *certificate_file; /* PEM, chain included */
    const char *key_file;         /* PEM; refused when others may read it */
    const char *ca_file; /* PEM, who must have signed clients; NULL: no client certificates */
    enum hf_tls_clients clients;
};

struct hf_tls;

/* Loads and checks everything (key matches certificate, dates). HF_INVALID names the file. */
HF_STATUS hf_tls_new(struct hf_op *op, const struct hf_tls_settings *settings, struct hf_tls **out);
void hf_tls_free(struct hf_tls *tls);
HF_DEFINE_CLEANUP(tls)

/*
 * Serves new connections with what fresh has loaded and checked from now on; fresh is taken over.
 * Connections that live go on as they are, and no session ticket of before is good any more.
 */
void hf_tls_take(struct hf_tls *tls, struct hf_tls *fresh);

/* A new server connection on the context of now; NULL when memory is gone. The caller frees it. */
SSL *hf_tls_accept(struct hf_tls *tls);

/* When the server certificate ends, milliseconds since 1970. */
uint64_t hf_tls_expires_ms(struct hf_tls *tls);

/*
 * The verified client certificate of a finished handshake: common name or, where there is none,
 * the first DNS name, in out_name; SHA-256 of the certificate in hex in out_fingerprint.
 * HF_UNAUTHENTICATED when there is none.
 */
HF_STATUS hf_tls_peer(struct hf_op *op, SSL *ssl, struct hf_buf *out_name,
                      struct hf_buf *out_fingerprint);
