/*
 * Every key version opened apart from the node that serves, through one slot, from the store's
 * records alone: what a drill stands on.
 *
 * Threads: a call belongs to one thread; it takes nothing from, and leaves nothing to, the keys
 * that are served meanwhile.
 */
#pragma once

#include "keys/keys.h"

/* One key version that should open. */
struct hf_version_proof {
    const char *path;      /* of its record */
    const char *keyring;   /* "" where the path tells none */
    uint64_t seq;          /* of the commit that wrote it; 0: its record is not readable */
    enum hf_cause cause;   /* HF_CAUSE_NONE: it opened, and its check value is right */
    const char *failed_at; /* the record that stands in the way, when it did not */
};

struct hf_apart_plan {
    struct hf_crypto *crypto;
    struct hf_engine *engine;
    const char *slot_id;
    struct hf_protector *protector;
    const char *keyring; /* its versions only; NULL: all */
    /* Whether versions of the keyring are opened; NULL: those of all are. */
    bool (*is_asked)(void *context, const char *keyring);

    void (*visit)(void *context, const struct hf_version_proof *proof);
    /* A record of another kind that does not open. */
    void (*damaged)(void *context, const char *path);
    /* Now and then; total is 0 until it is known. A failure ends the work and is its status. */
    struct hf_status (*go_on)(void *context, struct hf_op *op, uint64_t done, uint64_t total);
    void *context;
};

/*
 * Tells of each version exactly once, in order of path. Fails as hf_seal_open_apart() does; what
 * is wrong with single records is no failure. Nothing stays open.
 */
HF_STATUS hf_keys_open_apart(const struct hf_apart_plan *plan, struct hf_op *op,
                             struct hf_apart *out_found);
