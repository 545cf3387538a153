/*
 * The store's own authority, which signs the certificates of its nodes. Its private key is a sealed
 * record, so that any unlocked node can sign.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "seal/seal.h"

/* Makes it, with a certificate for 20 years: once, by init. */
HF_STATUS hf_authority_make(struct hf_seal *seal, struct hf_op *op);
/* Its certificate as PEM. HF_NOT_FOUND where the store has none. Waits. */
HF_STATUS hf_authority_certificate(struct hf_seal *seal, struct hf_op *op, struct hf_buf *out);

/* Whether it is to be an address, good or not; else it is a DNS name. */
bool hf_host_is_address(const char *host);

struct hf_authority_order {
    const char *common_name;
    const char *hosts; /* DNS names and IP addresses between commas: of a server; NULL: a client */
    const struct hf_pkey *key; /* its public half */
};
/* A certificate for two years as PEM. HF_INVALID for a host that is none; HF_NOT_FOUND. Waits. */
HF_STATUS hf_authority_issue(struct hf_seal *seal, struct hf_op *op,
                             const struct hf_authority_order *order, struct hf_buf *out);
/*
 * The same certificate for two years from now: same key, same names. HF_DENIED when this authority
 * has not signed it, HF_INVALID when it is none. Waits.
 */
HF_STATUS hf_authority_renew(struct hf_seal *seal, struct hf_op *op, struct hf_bytes pem,
                             struct hf_buf *out);
