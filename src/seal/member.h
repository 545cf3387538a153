/*
 * The sealed list of members: one record per node that was approved, "member/<name>"
 * (docs/formats/member.md). It outlives the node, so that a key that was removed never comes back.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "seal/join.h"

enum hf_member_state {
    HF_MEMBER_APPROVED = 1,
    HF_MEMBER_DRAINING = 2, /* it is to leave: it says that it is not ready */
    HF_MEMBER_REMOVED = 3,  /* its slot is gone */
    HF_MEMBER_AWAY = 4,     /* it was silent: nobody waits for it until it says that it is back */
    HF_MEMBER_AWAY_DRAINING = 5, /* both */
};

struct hf_member {
    struct hf_join_request node;
    char slot[33]; /* hex; of a removed node: the one that it had */
    uint64_t approved_ms;
    char approved_by[256]; /* who, cut to what fits */
    enum hf_member_state state;
    uint64_t changed_ms;
    struct hf_buf former; /* public keys of earlier nodes of that name, one after another */
    uint64_t revision;    /* of the record; 0: there is none yet */
};
void hf_member_free(struct hf_member *member);
HF_DEFINE_CLEANUP(member)

const char *hf_member_state_name(enum hf_member_state state);
bool hf_member_is_away(const struct hf_member *member);
bool hf_member_is_draining(const struct hf_member *member);
/* The state of a member that is not removed. */
enum hf_member_state hf_member_state_of(bool away, bool draining);

/* HF_NOT_FOUND; HF_CORRUPT. Waits. */
HF_STATUS hf_member_get(struct hf_seal *seal, struct hf_op *op, const char *name,
                        struct hf_member **out);
struct hf_members {
    struct hf_member **items;
    size_t count;
};
void hf_members_free(struct hf_members *members);
HF_DEFINE_CLEANUP(members)
/* All of them, in the order of their names. Waits. */
HF_STATUS hf_members_read(struct hf_seal *seal, struct hf_op *op, struct hf_members **out);
/* Whether that public key is the one of an earlier node of this name. */
bool hf_member_had_key(const struct hf_member *member, const uint8_t public_key[HF_X25519_LEN]);

/*
 * Stages a slot for the node's public key and its record as approved: one commit, or neither. What
 * is known of an earlier node of that name is given in *member (revision, node, former) and kept;
 * the rest of it is filled in. Nobody has proven the slot until the node opens it.
 */
HF_STATUS hf_member_add_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                              const struct hf_join_request *node, const char *approved_by,
                              struct hf_member *member);
/*
 * The first node of a store takes its place by itself, with a slot of slot->name, or with that of
 * slot->id when it has one. This happens once in the life of a store: whoever comes second has
 * HF_CONFLICT at the commit, however the list looked to him.
 */
HF_STATUS hf_member_first_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                const struct hf_join_request *node, const char *approved_by,
                                const struct hf_slot_info *slot);
/* Whether some node has taken its place in that way: not while a store is one node's own. */
HF_STATUS hf_member_first_is_taken(struct hf_seal *seal, struct hf_op *op, bool *out);
/* Stages the record as it is in *member, in a new state. */
HF_STATUS hf_member_change_stage(struct hf_op *op, struct hf_txn *txn, enum hf_member_state state,
                                 struct hf_member *member);

/* The content of the record. */
HF_STATUS hf_member_encode(struct hf_op *op, const struct hf_member *member, struct hf_buf *out);
HF_STATUS hf_member_parse(struct hf_op *op, struct hf_bytes content, struct hf_member **out);
