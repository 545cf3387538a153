/*
 * Receipts: what a drill has found, as a JSON document that every node signs for its part, and the
 * node that ended the drill for all of it (docs/formats/receipt.md).
 */
#pragma once

#include "service/drill.h"
#include "service/ways.h"

/* What is left out of the end of a drill, or of a part, where a record has no room for it. */
enum hf_drill_trim {
    HF_DRILL_WHOLE,
    HF_DRILL_WITHOUT_LISTS, /* names of failures, and of keyrings that a node was not asked for */
    HF_DRILL_WITHOUT_CELLS, /* all but who answered, and the light: the parts have the rest */
};

/* A drill that ends: who answered, and what is known of all nodes together. */
struct hf_drill {
    struct hf_service *service;
    const struct hf_drill_run *run;
    struct hf_drill_part **parts; /* one for each node of the run; NULL: silent */
    struct hf_slot_proofs proofs; /* of this drill; a view into those of ways */
    struct hf_ways *ways;         /* with older ones */
    uint32_t silent;              /* nodes that did not answer, or could not do their part */
    enum hf_drill_trim trim;      /* of the document of its end */
};

/* Green: all is proven; amber: by fewer than wanted; red: something does not open. */
enum hf_light hf_drill_light(const struct hf_drill *drill);

/*
 * What one node says: the document of a part, to be signed, from the part's proofs. What a record
 * has no room for is left out of the document, and if need be of the proofs.
 */
void hf_receipt_write_part(struct hf_service *service, struct hf_op *op,
                           const struct hf_drill_run *run, uint64_t begun_ms,
                           struct hf_drill_part *part);
/* What is said of all of them, which names every part by its digest and key. */
HF_STATUS hf_receipt_write_end(const struct hf_drill *drill, struct hf_op *op, struct hf_buf *out);

enum hf_receipt_what { HF_RECEIPT_PART, HF_RECEIPT_END };
/* Signs a document with the node's audit key; without one both stay empty. */
HF_STATUS hf_receipt_sign(struct hf_service *service, struct hf_op *op, enum hf_receipt_what what,
                          struct hf_bytes document, struct hf_buf *out_public_key,
                          struct hf_buf *out_signature);
/* Whether that key has signed the document. */
HF_STATUS hf_receipt_check(struct hf_crypto *crypto, struct hf_op *op, enum hf_receipt_what what,
                           struct hf_bytes document, struct hf_bytes public_key,
                           struct hf_bytes signature, bool *out_valid);
/* The receipt as it is handed out: the end, then the parts of those who answered. */
void hf_receipt_join(const struct hf_drill_end *end, struct hf_drill_part *const *parts,
                     size_t count, struct hf_buf *out);

/* --- receipt_verify.c --- */

/* Who has signed a receipt. */
struct hf_receipt_signer {
    char node[HF_NODE_NAME_MAX + 1];
    char key[2 * HF_SHA256_LEN + 1]; /* SHA-256 of the public key, as audit checkpoints name it */
    bool trusted;                    /* the key is one of those given */
    bool ended;                      /* it signed all of it, and vouches for the others' keys */
};
struct hf_receipt_signers {
    struct hf_receipt_signer *items;
    size_t count;
};
void hf_receipt_signers_free(struct hf_receipt_signers *signers);
HF_DEFINE_CLEANUP(receipt_signers)

/*
 * Whether a receipt is, as it stands, what its nodes have signed: each its part, and one of the
 * trusted keys (SPKI) all of it. Offline. HF_CORRUPT when it was changed or is signed by another.
 */
HF_STATUS hf_receipt_verify(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes receipt,
                            const struct hf_bytes *trusted, size_t count,
                            struct hf_receipt_signers **out);
