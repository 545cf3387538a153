/*
 * Keyrings, keys and versions: names, states, rotation, and the index that serves them from
 * memory.
 *
 * The index holds, for every key and version, what a request needs (state, primary, wrapped
 * material of small versions); it is a consumer of the seal. Changes are staged in a transaction
 * of the seal; hf_txn_commit() makes them real, and the index follows from there. Many keys start
 * in little memory: rest (dates, description, attributes) is read from the store when asked for.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "keys/state.h"
#include "seal/seal.h"

#define HF_LATEST       UINT32_MAX
#define HF_NAME_MAX     255   /* bytes of UTF-8 in a key name; keyrings: 63 of [a-z0-9-_.] */
#define HF_MATERIAL_MAX 65536 /* opaque secrets */

enum hf_algorithm {
    HF_ALG_AES_128 = 1,
    HF_ALG_AES_192 = 2,
    HF_ALG_AES_256 = 3,
    HF_ALG_RSA_2048 = 10,
    HF_ALG_RSA_3072 = 11,
    HF_ALG_RSA_4096 = 12,
    HF_ALG_P256 = 20,
    HF_ALG_P384 = 21,
    HF_ALG_P521 = 22,
    HF_ALG_ED25519 = 23,
    HF_ALG_HMAC = 30,   /* 16 to 64 bytes; 32 unless told */
    HF_ALG_OPAQUE = 40, /* a secret that is only stored and given back */
};
/* "aes-256", "rsa-3072", "ec-p256", "ed25519", "hmac", "opaque"; NULL for an unknown number. */
const char *hf_algorithm_name(enum hf_algorithm algorithm);
/* HF_INVALID lists the names. */
HF_STATUS hf_algorithm_parse(struct hf_op *op, const char *name, enum hf_algorithm *out);

struct hf_keys;

/*
 * Registers with the seal, before unlock. lanes: how many threads have a number of their own
 * (hf_op's lane); all others share one more lane.
 */
struct hf_keys *hf_keys_new(struct hf_seal *seal, unsigned lanes);
/* Locks the seal, which would call us otherwise, and is called before hf_seal_free(). */
void hf_keys_free(struct hf_keys *keys);
HF_DEFINE_CLEANUP(keys)
struct hf_seal *hf_keys_seal(struct hf_keys *keys);
/* How many cipher contexts a lane keeps ready; 4096 unless told, 64 in the shared lane. */
void hf_keys_set_hot_limit(struct hf_keys *keys, unsigned lane, size_t limit);

/* --- keyrings --- */

/* The nodes that serve a keyring; none: all of them. */
#define HF_SERVE_ON_MAX 32
struct hf_serve_on {
    size_t count;
    char names[HF_SERVE_ON_MAX][HF_NODE_NAME_MAX + 1];
};
/* HF_INVALID for a name that none can have, one that is there already, or one too many. */
HF_STATUS hf_serve_on_add(struct hf_op *op, struct hf_serve_on *list, const char *name);
bool hf_serve_on_names(const struct hf_serve_on *list, const char *node);
/* Names it, or names nobody. */
bool hf_serve_on_serves(const struct hf_serve_on *list, const char *node);
bool hf_serve_on_equal(const struct hf_serve_on *a, const struct hf_serve_on *b);

/* Independent ways to open a version that a keyring can want. */
#define HF_MIN_WAYS_MAX 1000

struct hf_keyring_settings {
    const char *main_key; /* NULL: "main" */
    bool approve_destroy; /* two people for destroy */
    bool approve_export;
    bool approve_slot_removal;
    uint64_t destroy_wait_ms;   /* from soft delete or request to destruction; default 30 days */
    uint64_t dark_window_ms;    /* destroy refused while used within; default 2 h */
    uint64_t max_stale_ms;      /* default 1 h */
    uint64_t max_stale_wrap_ms; /* default 10 min */
    uint64_t rotate_every_ms;   /* keys get a new version when the primary is so old; 0: never */
    struct hf_serve_on serve_on;
    uint64_t min_ways; /* fewer are amber; 0: what the nodes are configured to want */
};
void hf_keyring_settings_default(struct hf_keyring_settings *settings);

struct hf_keyring_info {
    char name[64];
    struct hf_keyring_settings settings; /* main_key points into main_key_name */
    char main_key_name[65];
    uint32_t key_version; /* of the keyring key in force */
    uint64_t created_ms;
    uint64_t revision;
    size_t keys; /* live ones */
};
HF_STATUS hf_keyring_create(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                            const char *name, const struct hf_keyring_settings *settings);
HF_STATUS hf_keyring_get(struct hf_keys *keys, struct hf_op *op, const char *name,
                         struct hf_keyring_info *out);
/*
 * Whether that node serves the keyring, as the setting is applied here; for every request. A
 * keyring that is not there is served by all.
 */
bool hf_keyring_is_served_by(struct hf_keys *keys, const struct hf_op *op, const char *name,
                             const char *node);
HF_STATUS hf_keyring_change(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                            const char *name, const struct hf_keyring_settings *settings);
/* A new keyring key version; key versions move over by hf_key_rewrap(). */
HF_STATUS hf_keyring_rotate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                            const char *name, uint32_t *out_version);
void hf_keyring_each(struct hf_keys *keys,
                     void (*visit)(void *context, const struct hf_keyring_info *info),
                     void *context);
struct hf_keyring_content {
    uint64_t versions; /* of live keys and of deleted ones: those with something left to open */
    uint64_t changed;  /* the last commit that changed such a key, or a version in use; 0: none */
};
/*
 * Goes through all its keys, page by page: others use the keyring meanwhile, and what is made or
 * destroyed during the walk may count or not. Nothing, for one that is not there.
 */
void hf_keyring_survey(struct hf_keys *keys, const struct hf_op *op, const char *name,
                       struct hf_keyring_content *out);

/* --- keys: a transaction holds one change of a key at most --- */

struct hf_attribute {
    const char *name;
    const char *value;
};

struct hf_key_plan {
    enum hf_algorithm algorithm;
    uint32_t first_version;  /* number of the first version: 0 in the Hadoop door, else 1 */
    bool exportable;         /* for ever; cannot be turned on later */
    uint32_t material_len;   /* HMAC, opaque when made here; 0: default */
    const char *description; /* NULL: none (not the same as empty) */
    const struct hf_attribute *attributes;
    size_t attribute_count;
    const char *cipher;               /* as the Hadoop door was told it; NULL: none */
    const struct hf_secret *material; /* imported (PKCS#8 for key pairs); NULL: made here */
    bool pre_active;                  /* do not activate the first version */
    bool candidate;                   /* stage it as a candidate, see below */
};

/* What listing and metadata show. Strings belong to the info. */
struct hf_key_info {
    char *keyring;
    char *name;
    enum hf_algorithm algorithm;
    bool exportable;
    bool deleted;           /* soft deleted: recoverable until destroy_at_ms */
    bool unborn;            /* its first version is a candidate: nobody can use it */
    uint64_t destroy_at_ms; /* 0: no destruction is due */
    uint32_t primary;       /* HF_LATEST: none */
    uint32_t version_count; /* ever made */
    uint32_t first_version;
    uint32_t last_version;
    uint64_t created_ms;
    uint64_t revision;
    char *description; /* NULL: none */
    char *cipher;      /* NULL: none */
    struct hf_attribute *attributes;
    size_t attribute_count;
};
void hf_key_info_free(struct hf_key_info *info);
HF_DEFINE_CLEANUP(key_info)

struct hf_version_info {
    uint32_t version;
    enum hf_key_state state;
    bool candidate; /* Pre-Active, and not proven on every node yet */
    bool imported;
    bool primary;
    uint64_t created_ms, activated_ms, deactivated_ms, compromised_ms, destroyed_ms;
    uint64_t destroy_at_ms;
    uint32_t keyring_key; /* the keyring key version that wraps it; 0 when destroyed */
    uint8_t check_value[HF_CHECK_VALUE_LEN];
    char reason[256]; /* of the last change of state, in the operator's words */
};

/*
 * Stages a new key with its first version, proven: opened from its wrapped form and compared before
 * it is staged. HF_EXISTS when the name is in use, also by a deleted key that can be recovered. A
 * name whose key was destroyed may be used again; numbering goes on after its last version.
 * *out_version gets the number. Material is checked against the algorithm: HF_INVALID names the
 * length wanted and got.
 */
HF_STATUS hf_key_create(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                        const char *keyring, const char *name, const struct hf_key_plan *plan,
                        uint32_t *out_version);
/* A new version that becomes primary, made here or from material. HF_NOT_FOUND, HF_WRONG_STATE. */
HF_STATUS hf_key_rotate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                        const char *keyring, const char *name, const struct hf_secret *material,
                        uint32_t *out_version);

/*
 * Born proven: on a store of several nodes a new version is first a candidate, committed by
 * hf_key_create() with the plan's candidate, or by hf_key_rotate_candidate(). Every node opens it
 * (hf_key_prove); then a second transaction promotes or abandons it.
 *
 * A candidate is Pre-Active and takes no part in anything: every use and every change of it is
 * refused (HF_WRONG_STATE, "not proven yet") but its proof, rewrap, and the destruction of its
 * whole key. A key whose first version is a candidate is not born: its name is taken (HF_EXISTS),
 * hf_key_get(), hf_key_versions(), hf_key_names(), hf_key_check_version() and hf_key_acl_name()
 * tell of it, and to all others it is not there (HF_NOT_FOUND, unknown key).
 *
 * The key may be rotated again meanwhile: candidates are numbered one after another and promoted in
 * any order, and a promotion never moves the primary version to a smaller number.
 */
HF_STATUS hf_key_rotate_candidate(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                                  const char *keyring, const char *name,
                                  const struct hf_secret *material, uint32_t *out_version);
/*
 * Makes a candidate Active and, unless a later one is it already, primary. One of a plan with
 * pre_active stays Pre-Active. reason, of at most 255 bytes and empty for none, is kept as that of
 * its state: who has not opened it yet. HF_EXISTS: it is promoted already. HF_WRONG_STATE with
 * cause version destroyed: it was abandoned, or destroyed with its key; the text has the reason.
 * HF_NOT_FOUND: its key is deleted, or there never was such a version.
 */
HF_STATUS hf_key_promote(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                         const char *keyring, const char *name, uint32_t version,
                         const char *reason);
/*
 * Destroys a candidate, also of a deleted key: the tombstone's reason is "abandoned: " and reason,
 * together at most 255 bytes. Its number is never used again. A key that was not born is destroyed
 * with it and gives its name back. Fails as hf_key_promote() does.
 */
HF_STATUS hf_key_abandon(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                         const char *keyring, const char *name, uint32_t version,
                         const char *reason);

struct hf_candidate {
    const char *keyring;
    const char *key;
    uint32_t version;
    uint64_t seq;        /* of the commit that wrote its record as it is now */
    uint64_t created_ms; /* by the clock of the node that made it */
    bool is_promoted;    /* without this node: it was away, and saw no candidate */
};
/*
 * Set before unlock. tell is called for each candidate that is found at unlock or comes with a
 * commit of this node or another, and again when its record is written anew (rewrap, root
 * rotation), with that commit's seq. It is also told of a version that comes with a commit after
 * the unlock and was promoted before this node saw it; for those found at unlock there is
 * hf_keys_each_newer(). It is called within the seal's feed and must call neither keys nor seal;
 * what it is given lives until it returns.
 */
void hf_keys_on_candidate(struct hf_keys *keys,
                          void (*tell)(void *context, const struct hf_candidate *candidate),
                          void *context);

/* A place in a walk over all keys; all zero: the beginning. */
struct hf_key_place {
    size_t keyring;
    struct hf_buf after; /* the name of the last key */
};
void hf_key_place_done(struct hf_key_place *place);
/*
 * For a node that was away: visits a page of the versions in use of keys that are not deleted and
 * that a commit after that one has changed, each with the seq of its key's last commit. *place
 * moves on; *out_done: there is none behind it. The visitor may call keys; what it fails with ends
 * the page.
 */
HF_STATUS hf_keys_each_newer(struct hf_keys *keys, struct hf_op *op, uint64_t after_seq,
                             struct hf_key_place *place,
                             struct hf_status (*visit)(void *context, struct hf_op *op,
                                                       const struct hf_candidate *version),
                             void *context, bool *out_done);
/*
 * For a job: visits the candidates of keys that are not deleted, made at or before that time: those
 * whose writer has died between the two transactions. The visitor promotes or abandons each in a
 * transaction of its own; one that fails ends the walk. What is altered is passed over.
 */
HF_STATUS hf_key_candidates_older(struct hf_keys *keys, struct hf_op *op, uint64_t before_ms,
                                  struct hf_status (*visit)(void *context,
                                                            const struct hf_candidate *candidate),
                                  void *context);

/* Makes an Active version the one that encrypts. */
HF_STATUS hf_key_set_primary(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                             const char *keyring, const char *name, uint32_t version);
/* Moves every version of the key under the keyring key in force. Same material. */
HF_STATUS hf_key_rewrap(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                        const char *keyring, const char *name, uint32_t *out_moved);
/* Activate, suspend, resume, deactivate, mark compromised (state.h). */
HF_STATUS hf_key_change_state(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                              const char *keyring, const char *name, uint32_t version,
                              enum hf_key_event event, const char *reason);
/* Soft delete: hidden, refused, recoverable until it is destroyed after the waiting time. */
HF_STATUS hf_key_delete(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                        const char *keyring, const char *name, const char *reason);
HF_STATUS hf_key_recover(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                         const char *keyring, const char *name);
/*
 * Destroys all versions of a soft-deleted key (HF_LATEST), or one version that is deactivated,
 * compromised or was never active: their material is gone from the record, a tombstone keeps name,
 * check value, dates and reason for ever. For one version the first call only schedules it, after
 * the keyring's waiting time (its destroy_at_ms); the call after that time does it.
 * HF_WRONG_STATE before the waiting time ends (the text says when it does) and while a version was
 * used within the dark window, unless force (policy and approvals are the service's affair).
 */
HF_STATUS hf_key_destroy(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                         const char *keyring, const char *name, uint32_t version, bool force,
                         const char *reason);
/* Takes the scheduled destruction of one version back. */
HF_STATUS hf_key_keep(struct hf_keys *keys, struct hf_op *op, struct hf_txn *txn,
                      const char *keyring, const char *name, uint32_t version);
/*
 * For a job: visits every key (version HF_LATEST) and every version whose time to be destroyed has
 * come; the visitor destroys it in a transaction of its own. A visitor that fails ends the walk.
 * What is altered is passed over.
 */
HF_STATUS hf_key_purge_due(struct hf_keys *keys, struct hf_op *op,
                           struct hf_status (*visit)(void *context, const char *keyring,
                                                     const char *name, uint32_t version),
                           void *context);

/*
 * For jobs: each visitor is told of the keys of the keyring that are due, and does what is to be
 * done in a transaction of its own. A visitor that fails ends the walk.
 */
typedef struct hf_status (*hf_due_visitor)(void *context, const char *keyring, const char *name);
/* Live keys whose primary was made here rotate_every_ms ago or earlier; no opaque secrets. */
HF_STATUS hf_key_rotations_due(struct hf_keys *keys, struct hf_op *op,
                               const struct hf_keyring_info *keyring, hf_due_visitor visit,
                               void *context);
/* The same of one key, by what is known now: asked again while a rotation is staged. */
HF_STATUS hf_key_rotation_is_due(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                 const char *name, bool *out);
/* Live keys with versions that are not under the keyring key in force. */
HF_STATUS hf_key_rewraps_due(struct hf_keys *keys, struct hf_op *op,
                             const struct hf_keyring_info *keyring, hf_due_visitor visit,
                             void *context);

/* --- reading --- */

/*
 * Whether a live key has, or has had, that version: HF_NOT_FOUND, or HF_CORRUPT (altered) when its
 * record or the key's is known not to open.
 */
HF_STATUS hf_key_check_version(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                               const char *name, uint32_t version);

/* HF_NOT_FOUND for missing, and for deleted keys unless include_deleted. HF_LATER when it must
 * read the store and op may not wait. */
HF_STATUS hf_key_get(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *name,
                     bool include_deleted, struct hf_key_info **out);
/*
 * The revision of the key's record, whatever stands there: a key that is deleted, not born, or the
 * tombstone of one. 0: the name was never used. HF_CORRUPT (altered). Waits.
 */
HF_STATUS hf_key_revision(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                          const char *name, uint64_t *out);
/* Every version of this key, destroyed ones too, in order of number. */
HF_STATUS hf_key_versions(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                          const char *name,
                          void (*visit)(void *context, const struct hf_version_info *info),
                          void *context);
/* Names of live keys and those not born (or of deleted ones) in byte order, after a name (NULL), at
 * most limit. */
HF_STATUS hf_key_names(struct hf_keys *keys, struct hf_op *op, const char *keyring, bool deleted,
                       const char *after, size_t limit,
                       void (*visit)(void *context, const char *name), void *context);
/* Commits that an answer about a key hangs on. */
struct hf_key_commits {
    uint64_t changed;   /* the last that changed what is told of it, or can be done; 0: none ever */
    uint64_t candidate; /* that of its oldest candidate that is to be decided on; 0: none */
};
void hf_key_commits(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *key,
                    struct hf_key_commits *out);
/* The last change of any key, and whether any has a candidate: they take no lock. */
uint64_t hf_keys_changed(const struct hf_keys *keys);
bool hf_keys_have_candidates(const struct hf_keys *keys);
/* The version's number that HF_LATEST stands for now; checks existence and deletion only. */
HF_STATUS hf_key_primary(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                         const char *name, uint32_t *out_version);
/*
 * The name that access lists know a live key by: its attribute "key.acl.name", or else its own.
 * Appended to out without reading the store. HF_NOT_FOUND.
 */
HF_STATUS hf_key_acl_name(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                          const char *name, struct hf_buf *out);

/* --- use: from memory, hot versions with cached contexts per lane --- */

/*
 * What a version may be used for now (state.h): HF_USE_PROTECT needs Active, HF_USE_PROCESS allows
 * Deactivated and Compromised too. Failures carry the cause for those who may know.
 */

/* Hadoop EEKs: AES-CTR with the raw key and NOT iv. dek is as long as the key. */
HF_STATUS hf_use_hadoop_wrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                             const char *name, uint32_t version, const uint8_t iv[16],
                             struct hf_bytes dek, uint8_t *out, uint32_t *out_version);
HF_STATUS hf_use_hadoop_unwrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                               const char *name, uint32_t version, const uint8_t iv[16],
                               struct hf_bytes wrapped, uint8_t *out);
/* A data key in Hadoop's form: iv and wrapped bytes (an "EDEK"). Plain memory: it is ciphertext. */
struct hf_edek {
    uint32_t version;
    uint8_t iv[16];
    uint8_t wrapped[32];
    size_t len; /* 16, 24 or 32 */
};
/*
 * Moves data keys in place from their own versions to the target, under the same iv; those that are
 * there already stay. On failure some are moved and some are not: give a copy.
 */
HF_STATUS hf_use_hadoop_move(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                             const char *name, uint32_t target, struct hf_edek *edeks,
                             size_t count);
/* The algorithm of a live key, for lengths: HF_NOT_FOUND. */
HF_STATUS hf_key_algorithm(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                           const char *name, enum hf_algorithm *out);

/*
 * Our own ciphertext (docs/formats/ciphertext.md): version byte, key version, salt, nonce,
 * AES-256-GCM under a subkey of the version; aad is bound and kept through rewrap. What does not
 * open is HF_INVALID with cause altered: the caller brought it.
 */
HF_STATUS hf_use_encrypt(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                         const char *name, uint32_t version, struct hf_bytes aad,
                         struct hf_bytes plain, struct hf_buf *out);
HF_STATUS hf_use_decrypt(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                         const char *name, struct hf_bytes aad, struct hf_bytes ciphertext,
                         struct hf_secret **out, uint32_t *out_version);
/* Decrypts and encrypts under the primary version; already there: copied unchanged. */
HF_STATUS hf_use_rewrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                        const char *name, struct hf_bytes aad, struct hf_bytes ciphertext,
                        struct hf_buf *out, uint32_t *out_version);

HF_STATUS hf_use_sign(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *name,
                      uint32_t version, enum hf_signature scheme, enum hf_hash hash,
                      struct hf_bytes message, struct hf_buf *out, uint32_t *out_version);
HF_STATUS hf_use_verify(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                        const char *name, uint32_t version, enum hf_signature scheme,
                        enum hf_hash hash, struct hf_bytes message, struct hf_bytes signature,
                        bool *out_valid);
HF_STATUS hf_use_mac(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *name,
                     uint32_t version, enum hf_hash hash, struct hf_bytes message,
                     struct hf_buf *out, uint32_t *out_version);
/* HF_OK with *out_valid false when the MAC is wrong; compared in constant time. */
HF_STATUS hf_use_mac_verify(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                            const char *name, uint32_t version, enum hf_hash hash,
                            struct hf_bytes message, struct hf_bytes mac, bool *out_valid);
/* RSA-OAEP unwrap of something wrapped outside to the public half. Worker work. */
HF_STATUS hf_use_rsa_unwrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                            const char *name, uint32_t version, enum hf_hash hash,
                            struct hf_bytes wrapped, struct hf_secret **out);
HF_STATUS hf_key_public(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                        const char *name, uint32_t version, struct hf_buf *out_spki);

/*
 * Whether the material of a live key may ever leave: settled at its creation, and always so for a
 * stored secret, which is there to be read. Read from memory. HF_NOT_FOUND.
 */
HF_STATUS hf_key_may_leave(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                           const char *name, bool *out);
/* The material itself; HF_DENIED unless the key is exportable. Policy is the service's affair. */
HF_STATUS hf_key_export(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                        const char *name, uint32_t version, struct hf_secret **out);
/*
 * Opens a version through the whole chain and compares its check value: for proofs and canaries.
 * Candidates too.
 */
HF_STATUS hf_key_prove(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                       const char *name, uint32_t version);

/* --- usage per version --- */

struct hf_usage {
    uint64_t wraps, unwraps;
    uint64_t first_ms, last_ms; /* 0: never */
    struct {
        char caller[128];
        uint64_t count;
        uint64_t last_ms;
    } callers[8]; /* the last ones by time; others are only in the sums */
    size_t caller_count;
};
/* Counted on the lane without a lock others wait for. wraps: protecting uses (also sign, MAC). */
void hf_usage_count(struct hf_keys *keys, struct hf_op *op, const char *keyring, const char *name,
                    uint32_t version, const char *caller, uint64_t wraps, uint64_t unwraps);
/* What the store and the lanes know together. */
HF_STATUS hf_usage_get(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                       const char *name, uint32_t version, struct hf_usage *out);
/* Writes what the lanes have counted into the store: the daemon does it every minute and at the
 * end. */
HF_STATUS hf_usage_merge(struct hf_keys *keys, struct hf_op *op);
