/*
 * The index: what a request needs to know of every key and version, in little memory.
 *
 * It follows the store: records of keyrings, keys and versions are applied to it in any order
 * between different paths. For the files of this folder.
 *
 * Threads: whoever reads holds the lock of any one lane, whoever changes holds those of all
 * (lane.h).
 */
#pragma once

#include <stdatomic.h>

#include "keys/record.h"
#include "keys/siphash.h"
#include "keys/sorted.h"

/* Wrapped material up to this size stays in memory: AES, HMAC and Ed25519 do. */
#define HF_INDEX_BLOB_MAX 128

enum hf_presence {
    HF_PRESENCE_AWAITED = 0, /* a version was seen before its key */
    HF_PRESENCE_UNBORN,      /* its only version is a candidate */
    HF_PRESENCE_LIVE,
    HF_PRESENCE_DELETED,   /* can be recovered */
    HF_PRESENCE_DESTROYED, /* a tombstone */
};

/* Allocated only as long as its blob is. */
struct hf_index_version {
    uint32_t number;
    uint8_t state : 3;     /* enum hf_key_state */
    uint8_t due : 1;       /* its destruction is scheduled */
    uint8_t candidate : 1; /* not proven on every node yet */
    uint8_t elsewhere : 1; /* the blob is too big and is read from the store */
    uint8_t blob_len;
    _Atomic uint8_t hot; /* some lane may hold a context of it; set under one lane's lock */
    uint8_t blob[];
};

struct hf_index_keyring {
    char name[64];
    bool exists; /* else only keys of it were seen so far */
    uint64_t revision;
    struct hf_keyring_record record; /* main_key points into main_key */
    char main_key[65];
    struct hf_sorted live; /* and unborn ones */
    struct hf_sorted deleted;
    struct hf_sorted waiting; /* of those in live: with versions that are due or candidates */
};

struct hf_index_key {
    struct hf_index_keyring *keyring;
    union {
        struct hf_index_version *one;   /* version_count 1 */
        struct hf_index_version **many; /* more: sorted by number, room for a power of two */
    } versions;
    char *acl_name;         /* NULL: the name itself */
    uint64_t seq;           /* of the last commit that changed it, or a version that is in use */
    uint64_t candidate_seq; /* of the oldest commit of a candidate, 0: it has none */
    uint32_t hash;
    uint32_t primary;
    uint32_t version_count;
    uint8_t algorithm;
    uint8_t presence : 3;
    uint8_t exportable : 1;
    uint8_t waiting : 1;
    uint8_t name_len;
    char name[]; /* terminated */
};

/* Told before a version's entry changes or goes away, if a lane may hold a context of it. */
struct hf_index_watcher {
    void (*drop)(void *context, const struct hf_index_version *version);
    void *context;
};

struct hf_index;
struct hf_index *hf_index_new(const struct hf_index_watcher *watcher);
void hf_index_free(struct hf_index *index);

/* --- reading --- */

/* NULL if it is not there. A key may be of any presence. */
struct hf_index_keyring *hf_index_keyring(const struct hf_index *index, const char *keyring);
struct hf_index_key *hf_index_key(const struct hf_index *index, const char *keyring,
                                  const char *name);
struct hf_index_version *hf_index_version(const struct hf_index_key *key, uint32_t number);
/* The version at a place from 0 to version_count - 1, in order of number. */
struct hf_index_version *hf_index_version_at(const struct hf_index_key *key, uint32_t at);
/* The keyring at a place, in byte order of names; NULL after the last. */
struct hf_index_keyring *hf_index_keyring_at(const struct hf_index *index, size_t at);
/* Whether any keyring names the nodes that serve it; asked without a lock. */
bool hf_index_has_serve_on(const struct hf_index *index);
/* Grows with every change of something that a cached context was made from. */
uint64_t hf_index_changes(const struct hf_index *index);
/* The highest seq of any key since the last clearing. May be called without a lock. */
uint64_t hf_index_seq(const struct hf_index *index);
/* Whether any key has a candidate. May be called without a lock. */
bool hf_index_has_candidates(const struct hf_index *index);
const struct hf_siphash_seed *hf_index_seed(const struct hf_index *index);

/* --- changing: decoded records with the names from their paths --- */

void hf_index_put_keyring(struct hf_index *index, const char *keyring, uint64_t revision,
                          const struct hf_keyring_record *record);
/* seq: of the commit that wrote it; record NULL: a tombstone. */
void hf_index_put_key(struct hf_index *index, const char *keyring, struct hf_bytes name,
                      uint64_t seq, const struct hf_key_record *record);
/* The same; true: no version of that number was there. */
bool hf_index_put_version(struct hf_index *index, const char *keyring, struct hf_bytes name,
                          uint64_t seq, uint32_t number, const struct hf_version_record *record);
/* What was made from that version, or with HF_LATEST from any of the key, is made anew if at all.
 */
void hf_index_drop(struct hf_index *index, const char *keyring, const char *name, uint32_t number);
void hf_index_clear(struct hf_index *index);
