/*
 * Revocations that are carried to a node by hand: the statement that a node with a lease makes, and
 * what a node keeps of those that it was given (docs/formats/revocation.md).
 */
#pragma once

#include "base/bytes.h"
#include "keys/revoked.h"

#define HF_REVOCATION_FORMAT 1

/* As a node with a lease says it of the store's newest state. */
struct hf_revocation {
    uint8_t store[HF_STORE_ID_LEN];
    char keyring[64];
    char key[HF_NAME_MAX + 1];
    uint32_t version; /* HF_LATEST: the key as a whole */
    enum hf_revoked_as as;
    uint64_t seq; /* the commit as of which it is so */
    char node[HF_NODE_NAME_MAX + 1];
    uint8_t mac[HF_SHA256_LEN];
};

/* One line of JSON. */
void hf_revocation_write(const struct hf_revocation *revocation, struct hf_buf *out);
/* HF_INVALID unless it is whole and nothing but that. Whether it is true, the MAC tells. */
HF_STATUS hf_revocation_read(struct hf_op *op, struct hf_bytes text, struct hf_revocation *out);
/* The MAC of all the rest, under a key that every node of the store derives. Waits. */
HF_STATUS hf_revocation_mac(struct hf_seal *seal, struct hf_op *op,
                            const struct hf_revocation *revocation, uint8_t out[HF_SHA256_LEN]);
