/*
 * Receipts: what a drill has found, as a JSON document that the node signs
 * (docs/formats/receipt.md).
 */
#pragma once

#include "service/ways.h"

struct hf_drill {
    struct hf_service *service;
    const char *keyring; /* NULL: all */
    uint64_t begun_ms;
    struct hf_slot_proofs proofs; /* of this run; a view into those of ways */
    struct hf_ways *ways;         /* with those of other nodes */
};

/* Green: all is proven; amber: in fewer ways than wanted; red: something does not open. */
enum hf_light hf_drill_light(const struct hf_drill *drill);
HF_STATUS hf_receipt_write(const struct hf_drill *drill, struct hf_op *op, struct hf_buf *out);

/*
 * Whether the receipt is signed, as it stands, by the owner of the public key (SPKI). Offline.
 * HF_CORRUPT when it was changed or is signed by another.
 */
HF_STATUS hf_receipt_verify(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes receipt,
                            struct hf_bytes public_key);
