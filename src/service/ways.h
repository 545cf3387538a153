/*
 * Ways: in how many independent manners a key version was proven to open, and what is left when
 * something is lost.
 *
 * A way is a set of things that must all be there: a node and a slot on it (and the node's site).
 * Whatever else a key may come to depend on (a customer's provider) is one more thing in the set.
 */
#pragma once

#include "service/proof.h"

enum hf_thing_kind { HF_THING_NODE, HF_THING_SLOT, HF_THING_SITE };
struct hf_thing {
    enum hf_thing_kind kind;
    char *name;
};
const char *hf_thing_kind_name(enum hf_thing_kind kind);

#define HF_WAY_THINGS 4

struct hf_way {
    size_t things[HF_WAY_THINGS]; /* places in the map's list: node, slot, site if any */
    size_t count;
    bool needs_people;
    const char *node;                  /* where */
    const struct hf_slot_proof *proof; /* NULL: a slot that needs people */
};

/* A keyring that names the nodes that serve it: on others nothing of it opens. */
struct hf_ways_served {
    char name[64];
    struct hf_serve_on serve_on;
    bool has_keys;
    struct hf_slot_proof_keyring unproven; /* stands for it where no proof speaks of it */
};

/* A keyring as it is now. */
struct hf_ways_ring {
    char name[64];
    uint32_t min_ways;                 /* that it wants; 0: it does not say */
    struct hf_keyring_content content; /* nothing before hf_ways_survey() */
};

struct hf_ways {
    struct hf_slot_proofs *proofs;
    uint64_t since; /* proofs that speak of an older commit are of nodes that were silent last */
    struct hf_ways_ring *rings; /* all of them, by name */
    size_t ring_count;
    bool is_surveyed;
    struct hf_ways_served *served;
    size_t served_count;
    uint32_t min_ways; /* of keyrings that do not say: this node's configuration */
    /* Those with versions, by name: each as the newest proof says that was asked for it. */
    const struct hf_slot_proof_keyring **keyrings;
    size_t keyring_count;
    struct hf_thing *things;
    size_t thing_count;
    struct hf_way *items;
    size_t count;
};
void hf_ways_free(struct hf_ways *ways);
HF_DEFINE_CLEANUP(ways)
/* From proofs, which it takes over, and the slots as they are now. */
HF_STATUS hf_ways_new(struct hf_service *service, struct hf_op *op, struct hf_slot_proofs **proofs,
                      struct hf_ways **out);
/* While a drill ends: proofs that speak of commits before since are not of it. */
HF_STATUS hf_ways_new_since(struct hf_service *service, struct hf_op *op,
                            struct hf_slot_proofs **proofs, uint64_t since, struct hf_ways **out);
/*
 * Counts what is in each keyring now: for who asks for that, since it goes through all keys. Done
 * already where a proof is not of the last drill.
 */
void hf_ways_survey(struct hf_ways *ways, struct hf_service *service, const struct hf_op *op);

/* "node:a", "slot:offline", "site:b". HF_INVALID; HF_NOT_FOUND when there is no such thing. */
HF_STATUS hf_ways_find(const struct hf_ways *ways, struct hf_op *op, const char *word,
                       size_t *out_thing);
/*
 * Whether the way was proven to open the version at path; NULL: any version of the keyring that is
 * in no list of failures; keyring NULL too: the store at all, as for a keyring that all nodes
 * serve. A proof of a node that was silent last says nothing of a keyring that was changed since.
 */
bool hf_way_opens(const struct hf_ways *ways, const struct hf_way *way, const char *keyring,
                  const char *path);
/* Whether it needs none of the lost things. */
bool hf_way_survives(const struct hf_way *way, const bool *lost);

/* Which ways a search is about. */
struct hf_cut_question {
    const char *path;    /* of a version; NULL: any that is in no list of failures */
    bool with_people;    /* ways that need people count too */
    bool with_sites;     /* a whole site can be lost at once */
    const char *keyring; /* without path: of this one; NULL: of one that all nodes serve */
};
/*
 * The smallest set of things without which no such way is left; things gets their places (room for
 * thing_count; NULL: nobody asks). With neither people nor sites its size is the number of
 * independent ways: no two of which share a node or a slot.
 */
size_t hf_ways_cut(const struct hf_ways *ways, const struct hf_cut_question *question,
                   size_t *out_things);
/* The least number of independent unattended ways over all versions of the keyring. */
size_t hf_ways_least(const struct hf_ways *ways, const char *keyring);
/* How many there should be: the keyring's own policy, or else this node's configuration. */
uint32_t hf_ways_wanted(const struct hf_ways *ways, const char *keyring);
/* The newest proof that opened a slot, by the commit that it speaks of; NULL: none. */
const struct hf_slot_proof *hf_ways_newest(const struct hf_ways *ways);
