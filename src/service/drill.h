/*
 * Drills of all nodes (docs/formats/drill.md). Whoever asks for one writes a record; each node that
 * it names sees that, does its own part and keeps it as a record; any node ends it once all parts
 * are there, or nothing has been heard of the missing ones for too long.
 */
#pragma once

#include "service/proof.h"

#define HF_DRILL_PLACES 32 /* the last drills; places are used again */
#define HF_DRILL_NODES  256
#define HF_DRILL_PROOFS 64 /* of one part */

struct hf_drill_node {
    char *name;
    char *site; /* "": none */
};

/* "drill/run/<place>": what was asked for. */
struct hf_drill_run {
    char id[HF_DRILL_ID];
    uint8_t place;
    uint64_t begun_ms;
    uint64_t wait_ms; /* how long nothing may be heard of a node */
    char *node;       /* where it was asked for */
    char *caller;
    char *keyring; /* "": all */
    struct hf_drill_node *nodes;
    size_t node_count;
    uint64_t ended_ms; /* 0: not yet; then the rest means nothing */
    enum hf_light light;
    uint32_t silent; /* nodes that did not answer */
    uint64_t revision;
};
void hf_drill_run_free(struct hf_drill_run *run);
HF_DEFINE_CLEANUP(drill_run)

enum hf_part_state { HF_PART_RUNS = 1, HF_PART_DONE = 2, HF_PART_FAILED = 3 };

/* "drill/part/<place>/<node>": what one node has done of it. */
struct hf_drill_part {
    char id[HF_DRILL_ID]; /* of the drill; another than the run's: an old part */
    char *node;
    enum hf_part_state state;
    uint64_t slots, slots_done;
    uint64_t versions, versions_done; /* of the slot at hand */
    char *text;                       /* why it failed; "" */
    struct hf_buf document;           /* what it says, as it is signed; done only, as the rest */
    struct hf_buf public_key;         /* SubjectPublicKeyInfo of the node's audit key */
    struct hf_buf signature;
    struct hf_slot_proofs proofs;
    uint64_t revision;
};
void hf_drill_part_free(struct hf_drill_part *part);
HF_DEFINE_CLEANUP(drill_part)

/* "drill/end/<place>": what came of it, signed by the node that ended it. */
struct hf_drill_end {
    char id[HF_DRILL_ID];
    char *node;
    struct hf_buf document;
    struct hf_buf public_key;
    struct hf_buf signature;
};
void hf_drill_end_free(struct hf_drill_end *end);
HF_DEFINE_CLEANUP(drill_end)

void hf_drill_run_encode(const struct hf_drill_run *run, struct hf_buf *out);
HF_STATUS hf_drill_run_decode(struct hf_op *op, struct hf_bytes content, struct hf_drill_run **out);
void hf_drill_part_encode(const struct hf_drill_part *part, struct hf_buf *out);
HF_STATUS hf_drill_part_decode(struct hf_op *op, struct hf_bytes content,
                               struct hf_drill_part **out);
/* Its proofs as hf_slot_proof_decode_head() reads them. */
HF_STATUS hf_drill_part_decode_heads(struct hf_op *op, struct hf_bytes content,
                                     struct hf_drill_part **out);
void hf_drill_end_encode(const struct hf_drill_end *end, struct hf_buf *out);
HF_STATUS hf_drill_end_decode(struct hf_op *op, struct hf_bytes content, struct hf_drill_end **out);
/* The place of the newest drill. */
void hf_drill_last_encode(uint8_t place, struct hf_buf *out);
HF_STATUS hf_drill_last_decode(struct hf_op *op, struct hf_bytes content, uint8_t *out);

/* --- in the store; all of these wait --- */

/* The drill at a place; *out is NULL when there has been none, or its record is unreadable. */
HF_STATUS hf_drill_run_read(struct hf_service *service, struct hf_op *op, uint8_t place,
                            struct hf_drill_run **out);
/* The newest one; NULL when there has been none. */
HF_STATUS hf_drill_last(struct hf_service *service, struct hf_op *op, struct hf_drill_run **out);
/* The one of that id, or the newest for "last"; HF_NOT_FOUND. */
HF_STATUS hf_drill_find(struct hf_service *service, struct hf_op *op, const char *id,
                        struct hf_drill_run **out);
/* *out is NULL while that node has begun none for this drill, or its part is unreadable. */
HF_STATUS hf_drill_part_read(struct hf_service *service, struct hf_op *op,
                             const struct hf_drill_run *run, const char *node,
                             struct hf_drill_part **out);
/* The parts of all nodes of the run, in its order; NULL: that node has begun none. */
struct hf_drill_parts {
    struct hf_drill_part **items;
    size_t count;
};
HF_STATUS hf_drill_parts_read(struct hf_service *service, struct hf_op *op,
                              const struct hf_drill_run *run, struct hf_drill_parts *out);
void hf_drill_parts_done(struct hf_drill_parts *parts);
/* The oldest commit that a proof of these parts speaks of; UINT64_MAX: there is none. */
uint64_t hf_drill_parts_since(const struct hf_drill_parts *parts);
/*
 * The same of the last drill of all keyrings that has ended: proofs that are older are of nodes
 * that were silent then. 0 where no drill was ever asked for.
 */
HF_STATUS hf_drill_since(struct hf_service *service, struct hf_op *op, uint64_t *out);
/* Done or failed. NULL is neither. */
bool hf_drill_part_is_over(const struct hf_drill_part *part);
HF_STATUS hf_drill_end_read(struct hf_service *service, struct hf_op *op,
                            const struct hf_drill_run *run, struct hf_drill_end **out);
/* These stage a record in place of whatever is there; the first also that it is the newest. */
HF_STATUS hf_drill_run_stage(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                             const struct hf_drill_run *run);
HF_STATUS hf_drill_part_stage(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                              const struct hf_drill_run *run, const struct hf_drill_part *part);
HF_STATUS hf_drill_end_stage(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                             const struct hf_drill_run *run, const struct hf_drill_end *end);

/* Whether the run names that node. */
bool hf_drill_asks(const struct hf_drill_run *run, const char *node);

/* --- drill.c: this node's part --- */

/* Whether it runs now; then how far it is. */
bool hf_drill_part_runs(struct hf_service *service, const char *id, struct hf_drill_part *out);
