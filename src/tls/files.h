/*
 * The files a TLS context is made of, read into objects; every failure names the file.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include <openssl/x509.h>

#include "base/op.h"

/* A PEM certificate chain: the first is the server's own. The caller frees *out and *out_chain. */
HF_STATUS hf_tls_read_chain(struct hf_op *op, const char *path, X509 **out,
                            STACK_OF(X509) * *out_chain);
/* All certificates of a PEM file as a list of at least one. */
HF_STATUS hf_tls_read_certificates(struct hf_op *op, const char *path, STACK_OF(X509) * *out);
/*
 * An unencrypted PEM private key. HF_INVALID when others than owner and group may read the file, or
 * when the group may write it.
 */
HF_STATUS hf_tls_read_key(struct hf_op *op, const char *path, EVP_PKEY **out);

/* Milliseconds since 1970; 0 for a date before that. */
uint64_t hf_tls_date_ms(const ASN1_TIME *date);
/* What OpenSSL said last on this thread, as text; the queue is empty afterwards. */
const char *hf_tls_reason(void);
