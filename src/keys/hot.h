/*
 * Hot versions: the cipher contexts that a lane keeps ready, a bounded number of them, the least
 * recently used going first.
 *
 * A use borrows a context: state, existence and deletion are checked in the index at that moment.
 * It gives it back when it is done, and only then may another use of the lane borrow it. A version
 * that changes has its contexts wiped on all lanes before the change is acknowledged; those that
 * are lent out are wiped as soon as they come back.
 *
 * For the files of this folder.
 */
#pragma once

#include "keys/find.h"

#define HF_SALT_LEN  16
#define HF_SALT_USES ((uint64_t)1 << 30)

enum hf_hot_kind {
    HF_HOT_HADOOP,  /* AES-CTR under the raw key */
    HF_HOT_ENCRYPT, /* AES-256-GCM under the subkey of a salt */
    HF_HOT_PRIVATE, /* a key pair */
    HF_HOT_PUBLIC,  /* its public half */
    HF_HOT_MAC,     /* the key for HMAC */
};

struct hf_hot_entry {
    struct hf_hot_entry *next;  /* in its bucket */
    struct hf_hot_entry *newer; /* in the order of use */
    struct hf_hot_entry *older;
    const struct hf_index_version *version; /* who it belongs to; never followed */
    enum hf_hot_kind kind;
    uint8_t salt[HF_SALT_LEN];
    bool kept; /* in the table; else it is freed when given back */
    bool lent;
    uint64_t changes; /* of the index when it was made */
    uint32_t number;
    enum hf_algorithm algorithm;
    union {
        struct hf_ctr *ctr;
        struct hf_aead *aead;
        struct hf_pkey *pkey;
        struct hf_secret *secret;
    } what;
};

/* One lane's table. */
struct hf_hot {
    struct hf_hot_entry **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
    size_t limit;
    struct hf_hot_entry order; /* the list's head: newer is the oldest, older the newest */
};
void hf_hot_init(struct hf_hot *hot, size_t limit);
void hf_hot_done(struct hf_hot *hot);
void hf_hot_set_limit(struct hf_hot *hot, size_t limit);
/* Forget all contexts of a version, or of all of them (NULL). The lane is locked. */
void hf_hot_drop(struct hf_hot *hot, const struct hf_index_version *version);

struct hf_hot_ask {
    struct hf_name name;
    uint32_t version; /* or HF_LATEST */
    enum hf_need need;
    enum hf_hot_kind kind;
    const uint8_t *salt; /* HF_HOT_ENCRYPT: the ciphertext's; NULL: the lane's own */
};

/*
 * Lends a context. Besides the refusals of hf_find: HF_INVALID when the key's algorithm has no
 * such use, HF_LATER when making it would wait and op may not.
 */
HF_STATUS hf_hot_borrow(struct hf_keys *keys, struct hf_op *op, const struct hf_hot_ask *ask,
                        struct hf_hot_entry **out);
/* Ends the loan. keep: worth keeping (a salt from outside has shown to be real). */
void hf_hot_return(struct hf_keys *keys, struct hf_op *op, struct hf_hot_entry *entry, bool keep);
/*
 * Runs AES-CTR under the raw key without a loan: the shortest way. False if the version is not hot
 * or the input is not as long as its key.
 */
bool hf_hot_crypt(struct hf_keys *keys, struct hf_op *op, const struct hf_hot_ask *ask,
                  const uint8_t counter[HF_AES_BLOCK_LEN], struct hf_bytes in, uint8_t *out,
                  uint32_t *out_version, struct hf_status *out_status);
