/*
 * Finding a version in the index, with the refusals that callers see. For the files of this folder.
 */
#pragma once

#include "keys/index.h"

struct hf_lane;

struct hf_name {
    const char *keyring;
    const char *key;
};

enum hf_need {
    HF_NEED_PROTECT, /* HF_USE_PROTECT */
    HF_NEED_PROCESS, /* HF_USE_PROCESS */
    HF_NEED_EXISTS,  /* any state but destroyed */
    HF_NEED_PROOF,   /* the same, and candidates, also of a key that is not born */
};

/* What was found, copied out of the index. */
struct hf_found {
    enum hf_algorithm algorithm;
    bool exportable;
    uint32_t number;
    enum hf_key_state state;
    uint64_t changes;                       /* of the index */
    const struct hf_index_version *version; /* who it was; not to be followed without the lock */
    uint8_t blob_len;                       /* 0: the blob is in the store only */
    uint8_t blob[HF_INDEX_BLOB_MAX];
};

/* Whether any record of the store does not open: then those asked for are looked up among them. */
bool hf_has_altered(struct hf_keys *keys);
/* HF_CORRUPT (altered) when what the index has of the record at path is an older state, or nothing.
 */
HF_STATUS hf_check_unaltered(struct hf_keys *keys, struct hf_op *op, const char *path);

/*
 * The live key. HF_NOT_FOUND (unknown key, or version destroyed when all of it is), also for a
 * deleted key and one that is not born; HF_CORRUPT when its record is altered; HF_WRONG_STATE while
 * the seal is locked. The caller holds a lane's lock.
 */
HF_STATUS hf_find_live(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                       struct hf_index_key **out);
/* The same, and a key that is not born: for those who look after it or tell of it. */
HF_STATUS hf_find_there(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                        struct hf_index_key **out);
/* HF_WRONG_STATE for a key that has no primary version. */
HF_STATUS hf_refuse_primary(struct hf_op *op, const struct hf_name *name,
                            const struct hf_index_key *key);
/*
 * A version of a live key in a state that allows the need. HF_NOT_FOUND with cause unknown key or
 * version destroyed, HF_CORRUPT (altered; to protect with it also when the store has lost what the
 * index has of it), HF_WRONG_STATE otherwise. The caller holds a lane's lock.
 */
HF_STATUS hf_find_version(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                          uint32_t number, enum hf_need need, struct hf_index_key **out_key,
                          struct hf_index_version **out);
void hf_found_copy(const struct hf_keys *keys, const struct hf_index_key *key,
                   const struct hf_index_version *version, struct hf_found *out);
/* The same with the lock taken and given back. */
HF_STATUS hf_find(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                  uint32_t number, enum hf_need need, struct hf_found *out);

/*
 * The material of a found version, by the seal: from the index's blob or, where that is too big,
 * from the store, which waits: HF_LATER when op may not. No lane is locked.
 */
HF_STATUS hf_found_open(struct hf_keys *keys, struct hf_op *op, const struct hf_name *name,
                        const struct hf_found *found, struct hf_secret **out);

struct hf_revoked;
struct hf_revoked_list;
/* Whether this node may still use the version so: HF_WRONG_STATE says as of which commit not. */
HF_STATUS hf_revoked_check(const struct hf_revoked_list *list, struct hf_op *op,
                           const struct hf_name *name, uint32_t number, enum hf_need need);
/* Copies; the caller has locked all lanes. */
void hf_revoked_replace(struct hf_revoked_list *list, const struct hf_revoked *items, size_t count);

/* HF_LATER unless op may wait. */
HF_STATUS hf_need_waiting(struct hf_op *op);
