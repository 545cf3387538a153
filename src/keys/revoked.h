/*
 * What an operator has revoked on this node by hand (docs/cluster.md): keys and versions that the
 * store has taken out of use by a commit which this node has not followed yet.
 *
 * It only takes away: beside the index, which says what a version may be used for by the commits
 * that are followed, a version must get past every entry here.
 */
#pragma once

#include "keys/keys.h"

#define HF_REVOKED_MAX 256

/* What the store has made of it. */
enum hf_revoked_as {
    HF_REVOKED_DELETED,     /* the key as a whole */
    HF_REVOKED_DESTROYED,   /* the key as a whole, or a version; compromised before or not */
    HF_REVOKED_SUSPENDED,   /* a version, as are the rest */
    HF_REVOKED_DEACTIVATED, /* what it protects still opens, as everywhere */
    HF_REVOKED_COMPROMISED, /* likewise */
};
const char *hf_revoked_as_name(enum hf_revoked_as as);
/* HF_INVALID unless a key as a whole, or else a version, can be that. */
HF_STATUS hf_revoked_as_parse(struct hf_op *op, const char *name, bool whole_key,
                              enum hf_revoked_as *out);

struct hf_revoked {
    const char *keyring;
    const char *key;
    uint32_t version; /* HF_LATEST: the key as a whole */
    enum hf_revoked_as as;
    uint64_t seq; /* the commit as of which it is so */
};

/*
 * The entries from now on, in the place of those before; at most HF_REVOKED_MAX, copied. When this
 * returns no use that they refuse is begun any more, and contexts kept for them are gone. A lock
 * of the seal leaves them as they are.
 */
void hf_keys_set_revoked(struct hf_keys *keys, const struct hf_revoked *items, size_t count);

/*
 * What the index says of the key (HF_LATEST) or a version of a live key, if that is out of use, and
 * the last commit that changed the key. HF_NOT_FOUND when there is no such key or version,
 * HF_WRONG_STATE when it is in use (or never was), HF_CORRUPT (altered).
 */
HF_STATUS hf_key_revoked_as(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                            const char *name, uint32_t version, enum hf_revoked_as *out,
                            uint64_t *out_seq);
