/*
 * Proofs: what a drill has opened on one node through one slot (docs/formats/proof.md). One sealed
 * record for each node and slot: all versions up to a commit, but these.
 */
#pragma once

#include "service/internal.h"

#define HF_SLOT_PROOF_KEYRINGS 4096 /* named by one proof */
#define HF_SLOT_PROOF_FAILURES 2000 /* likewise */

struct hf_failed_version {
    char *path; /* of the version's record */
    enum hf_cause cause;
    char *failed_at; /* the record that stands in the way */
};

struct hf_slot_proof_keyring {
    char *name;
    uint64_t versions;
    uint64_t failed;
};

struct hf_slot_proof {
    char *node;
    char *site; /* "": none */
    char *slot; /* its id */
    char *slot_name;
    uint64_t when_ms;
    uint64_t seq; /* of the head it was compared with */
    uint32_t root_generation;
    bool opened; /* the slot opened the root */
    enum hf_cause cause;
    char *text;       /* what is wrong with slot, head or store; "" */
    uint64_t records; /* of all kinds */
    uint64_t damaged;
    bool whole; /* the records are those that the head speaks of */
    uint64_t versions;
    uint64_t failed;
    struct hf_slot_proof_keyring *keyrings;
    size_t keyring_count;
    struct hf_failed_version *failures; /* versions and other records that do not open */
    size_t failure_count;
    uint64_t unnamed; /* failures that found no room in the list */
    char **not_asked; /* keyrings that other nodes serve: nothing of them was opened */
    size_t not_asked_count;
};
void hf_slot_proof_free(struct hf_slot_proof *proof);
HF_DEFINE_CLEANUP(slot_proof)

/* Whether everything that it speaks of opened. */
bool hf_slot_proof_is_good(const struct hf_slot_proof *proof);
/* Whether the record is among those that it names as failed. */
bool hf_slot_proof_names(const struct hf_slot_proof *proof, const char *path);
/* Whether it says that this version opened. */
bool hf_slot_proof_covers(const struct hf_slot_proof *proof, const char *path);
/* What it says of the keyring; NULL: nothing. */
const struct hf_slot_proof_keyring *hf_slot_proof_row(const struct hf_slot_proof *proof,
                                                      const char *keyring);
/*
 * Whether it says that versions of the keyring opened, and names all that did not: what is beyond
 * its list of names could be any.
 */
bool hf_slot_proof_vouches(const struct hf_slot_proof *proof, const char *keyring);
/* Versions of keyrings that found no room in its rows. */
uint64_t hf_slot_proof_unlisted(const struct hf_slot_proof *proof);
/* Whether one is the later word: by the store's commits, since the clocks of nodes differ. */
bool hf_slot_proof_is_later(const struct hf_slot_proof *proof, const struct hf_slot_proof *than);
/* Whether it was asked for versions of that keyring at all. */
bool hf_slot_proof_was_asked(const struct hf_slot_proof *proof, const char *keyring);
void hf_slot_proof_add_not_asked(struct hf_slot_proof *proof, const char *keyring);
void hf_slot_proof_add_keyring(struct hf_slot_proof *proof, const char *keyring, bool failed);
void hf_slot_proof_add_failure(struct hf_slot_proof *proof, const char *path, enum hf_cause cause,
                               const char *failed_at);

/* Leaves out the names of failures beyond so many bytes: fewer are named, none is uncounted. */
void hf_slot_proof_trim(struct hf_slot_proof *proof, size_t bytes);
/*
 * Leaves out rows of keyrings, and those that were not asked for, each beyond so many bytes. The
 * proof claims nothing of either then; hf_slot_proof_unlisted() counts what the rows were of.
 */
void hf_slot_proof_trim_keyrings(struct hf_slot_proof *proof, size_t bytes);

/* As much as a record has room for. */
void hf_slot_proof_encode(const struct hf_slot_proof *proof, struct hf_buf *out);
HF_STATUS hf_slot_proof_decode(struct hf_op *op, struct hf_bytes content,
                               struct hf_slot_proof **out);
/* Only what stands before its lists, up to whole, versions and failed: the rest is left empty. */
HF_STATUS hf_slot_proof_decode_head(struct hf_op *op, struct hf_bytes content,
                                    struct hf_slot_proof **out);
/* "version/<keyring>/<name>/<number>", without the number for HF_LATEST; free it. */
char *hf_version_record_path(const char *keyring, const char *name, uint32_t version);
/* Whether the record at path is a version of the keyring. */
bool hf_version_is_of(const char *path, const char *keyring);
/* "keyring/name@3" of a version's record, the path itself of any other. */
void hf_record_label(const char *path, struct hf_buf *out);
/* "proof/<node>/<slot>"; free it. */
char *hf_slot_proof_path(const char *node, const char *slot);

struct hf_slot_proofs {
    struct hf_slot_proof **items;
    size_t count;
};
void hf_slot_proofs_free(struct hf_slot_proofs *proofs);
HF_DEFINE_CLEANUP(slot_proofs)
void hf_slot_proofs_add(struct hf_slot_proofs *proofs, struct hf_slot_proof *proof);
/* The last proof of each node and slot, of nodes and slots that there still are. Waits. */
HF_STATUS hf_slot_proofs_read(struct hf_service *service, struct hf_op *op,
                              struct hf_slot_proofs **out);
/*
 * Stages the proofs, which are all of this node, in place of those before; drops those of its slots
 * that they do not renew, of slots that are gone and of nodes that were removed.
 */
HF_STATUS hf_slot_proofs_stage(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                               const struct hf_slot_proofs *proofs);
/* Drops those of a node that is removed: another one may come under its name. */
HF_STATUS hf_slot_proofs_drop(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                              const char *node);
