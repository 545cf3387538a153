/*
 * The seal: the key hierarchy over one store, and the only place where store, protectors and
 * crypto meet.
 *
 *     data key <- key version <- keyring key version <- main key version <- root key <- slot
 *
 * Every record is sealed under the root and bound to its place (docs/formats/record.md); every
 * commit extends a keyed chain and the sealed head (docs/formats/head.md). A seal is locked until
 * a slot has opened the root; locked, it can list slots and nothing else.
 *
 * Threads: every function may be called from any thread unless said otherwise; a transaction
 * belongs to one thread.
 */
#pragma once

#include "crypto/crypto.h"
#include "protect/protector.h"
#include "store/store.h"

enum hf_kind {
    HF_KIND_STORE_SECRETS = 1, /* "secret/store": check, link and digest keys */
    HF_KIND_SLOT = 2,          /* "slot/<id>": clear, so that a locked node can read it */
    HF_KIND_MAIN_KEY = 3,      /* "main/<name>": which version is current */
    HF_KIND_MAIN_VERSION = 4,  /* "main/<name>/<version>" */
    HF_KIND_KEYRING = 5,       /* "keyring/<keyring>" */
    HF_KIND_KEYRING_KEY = 6,   /* "keyring-key/<keyring>/<version>" */
    HF_KIND_KEY = 7,           /* "key/<keyring>/<key>" */
    HF_KIND_VERSION = 8,       /* "version/<keyring>/<key>/<version>" */
    HF_KIND_POLICY = 9,        /* "policy/<name>" */
    HF_KIND_SECRET = 10,       /* "secret/<name>": cookie secrets, the authority's private key */
    HF_KIND_USAGE = 11,        /* "usage/<keyring>/<key>/<version>" */
    HF_KIND_APPROVAL = 12,     /* "approval/<id>" */
    HF_KIND_CHECKPOINT = 13,   /* "checkpoint/<node>": the last signed audit checkpoint */
    HF_KIND_REPEAT = 14,       /* "repeat/<id>": a door's memory of a first answer */
    HF_KIND_ROOT = 15,         /* "root/<generation>": a root under the one before or after it */
    HF_KIND_PROOF = 16,        /* "proof/<node>/<slot>": what a drill opened there, and when */
    HF_KIND_MEMBER = 17,       /* "member/<name>": a node that was approved (seal/member.h) */
    HF_KIND_JOB = 18,          /* "job/<name>": who does it, how far it is, how it last ended */
    HF_KIND_DRILL = 19,        /* "drill/...": drills that were asked for, and what came of them */
};

/* Names in paths are percent-encoded; numbers have ten digits, so that they sort. */

struct hf_seal;
struct hf_txn;

/* --- making a store --- */

struct hf_slot_plan {
    const char *name; /* "node-1", "offline" */
    struct hf_protector *protector;
    bool offline; /* kept apart, by people; status is amber while its secret lies in D/offline */
};

struct hf_init_plan {
    const struct hf_slot_plan *slots;
    size_t slot_count; /* at least 2, or 1 with allow_single_slot */
    bool allow_single_slot;
    const char *main_key;            /* its name; NULL: "main" */
    enum hf_pkey_kind main_key_kind; /* RSA */
};

/*
 * Fills a new, empty store: root key, slots, store secrets, main key. The seal is left unlocked.
 * HF_EXISTS when the store holds anything. One batch: all of it or nothing.
 */
HF_STATUS hf_seal_create(struct hf_crypto *crypto, struct hf_op *op, struct hf_engine *engine,
                         const char *pin_file, const struct hf_init_plan *plan,
                         struct hf_seal **out);

/* --- opening --- */

/* A locked seal over an existing store. engine is borrowed. pin_file: see hf_pin below. */
HF_STATUS hf_seal_open(struct hf_crypto *crypto, struct hf_op *op, struct hf_engine *engine,
                       const char *pin_file, struct hf_seal **out);
void hf_seal_free(struct hf_seal *seal); /* locks first; the caller has stopped all users */
HF_DEFINE_CLEANUP(seal)

/* What a locked node can say about a slot. Unverified until the seal is unlocked. */
struct hf_slot_info {
    char id[33]; /* hex */
    char name[65];
    char protector[33];
    bool offline;
    bool needs_human;
    uint32_t root_generation;
    uint64_t created_ms;
    uint64_t proven_ms;         /* when it last opened the root, as recorded; 0: never */
    uint32_t proven_generation; /* the root it opened then */
    bool verified;              /* its record's tag is right under the root */
};
/* Whether it has been seen to open the root of that generation, which it holds. */
bool hf_slot_is_proven(const struct hf_slot_info *slot, uint32_t generation);
HF_STATUS hf_seal_slots(struct hf_seal *seal, struct hf_op *op,
                        void (*visit)(void *context, const struct hf_slot_info *slot),
                        void *context);

/*
 * Opens the root through any slot of the protector's kind that it can open, checks commitment and
 * pin, verifies the slot record and every record of the store (head digest), and hands each opened
 * record to the consumers. out_slot gets the slot that opened; remember it with
 * hf_seal_slot_proven(). HF_DENIED (wrong passphrase), HF_UNAVAILABLE (protector), HF_CORRUPT with
 * cause altered or other_store; HF_WRONG_STATE when already unlocked or when the store went back
 * in time.
 */
HF_STATUS hf_seal_unlock(struct hf_seal *seal, struct hf_op *op, struct hf_protector *protector,
                         struct hf_slot_info *out_slot);

/* Wipes the root and everything below it. Users see HF_WRONG_STATE from then on. */
void hf_seal_lock(struct hf_seal *seal);
bool hf_seal_is_unlocked(const struct hf_seal *seal);
/* Whether this protector opens that slot to the root in force, changing nothing: for proofs. */
HF_STATUS hf_seal_try_slot(struct hf_seal *seal, struct hf_op *op, const char *slot_id,
                           struct hf_protector *protector);
/* Records that a slot has opened the root now. One commit. */
HF_STATUS hf_seal_slot_proven(struct hf_seal *seal, struct hf_op *op, const char *slot_id);
/* Proves every slot of the protector's kind that is not proven for the root in force yet; one that
 * the protector does not open is another's. */
HF_STATUS hf_seal_prove_slots(struct hf_seal *seal, struct hf_op *op,
                              struct hf_protector *protector);
/*
 * A new slot, in a commit of its own: once per op->request_id. It is proven by opening it, unless
 * the protector only wraps: then it is whoever has the private half who proves it.
 */
HF_STATUS hf_seal_slot_add(struct hf_seal *seal, struct hf_op *op, const struct hf_slot_plan *plan,
                           struct hf_slot_info *out);
/* The same in a transaction of the caller's, who adds what is to commit with it. */
HF_STATUS hf_seal_slot_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                             const struct hf_slot_plan *plan, struct hf_slot_info *out);

/*
 * Stages that the slot goes, and, unless keep_root, that a new root takes over
 * (hf_seal_root_stage). HF_WRONG_STATE for the last slot, and for the last one that is proven for
 * the root in force. Without a new root, whoever has the slot's secret and a copy of the store
 * still has the root.
 */
HF_STATUS hf_seal_slot_remove_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                    const char *slot_id, bool keep_root);

/* --- rotation of the root (docs/formats/root.md) --- */

/*
 * Stages a new root, sealed to every slot but without_slot (an id, or NULL): with the commit it is
 * in force, and both are open until every record is moved. HF_WRONG_STATE while the rotation before
 * has not ended, HF_CORRUPT when a slot's record is altered: it must be removed first. The commit
 * is HF_CONFLICT when another rotation was quicker.
 */
HF_STATUS hf_seal_root_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                             const char *without_slot);
/*
 * Moves at most max records to the root in force, in a commit of their own. *out_done once all are:
 * then the rotation can end. Any node may call it at any time, also several; it goes on wherever a
 * process before it stopped. Records that do not open are left, reported as damaged, and keep the
 * rotation from ending, since their copy in a backup is under the old root.
 */
HF_STATUS hf_seal_root_move(struct hf_seal *seal, struct hf_op *op, size_t max, bool *out_done);
/* Stages the end: with the commit the old root opens no record any longer and is wiped. */
HF_STATUS hf_seal_root_end_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn);
/*
 * Whether a rotation has ended since the root that is open was in force, so that this seal cannot
 * follow: it was away too long. What is in memory is served, nothing else.
 */
bool hf_seal_root_is_lost(struct hf_seal *seal);
/*
 * Then a slot of the protector's kind gives the root in force, while everything stays open: taken
 * only if it opens the record of the root that is open here, so that it is its successor, and
 * nobody else's. Fails as hf_seal_unlock() does; HF_SUCCESS when nothing is lost.
 */
HF_STATUS hf_seal_root_regain(struct hf_seal *seal, struct hf_op *op,
                              struct hf_protector *protector);
struct hf_root_info {
    uint32_t generation;
    bool moving;       /* the rotation to it has not ended */
    uint64_t begun_ms; /* 0: the store's first root */
    uint64_t ended_ms; /* 0: not yet, or the first */
    uint64_t records;  /* of the store */
    uint64_t checked;  /* of them, by this process, in this rotation */
    uint64_t moved;
    uint64_t stuck; /* altered, so that they cannot be moved */
};
HF_STATUS hf_seal_root_info(struct hf_seal *seal, struct hf_op *op, struct hf_root_info *out);
/* Whether there is something to move. */
bool hf_seal_root_is_moving(struct hf_seal *seal);

/* The store's id (HF_STORE_ID_LEN bytes) and where it stands. */
struct hf_bytes hf_seal_store_id(const struct hf_seal *seal);
uint64_t hf_seal_seq(const struct hf_seal *seal);
uint32_t hf_seal_root_generation(const struct hf_seal *seal);
struct hf_engine *hf_seal_engine(struct hf_seal *seal);
struct hf_crypto *hf_seal_crypto(struct hf_seal *seal);

/*
 * The pin: outside the store, this node remembers store id, root commitment and the highest head it
 * has seen, and refuses another or an older one. hf_seal_pin() follows the store and writes it
 * (atomically, fsync) if the head has moved; the daemon calls it once a second and at the end.
 */
HF_STATUS hf_seal_pin(struct hf_seal *seal, struct hf_op *op);
/*
 * The operator's way past a store that went back in time, has another history, or lacks records:
 * drops the pinned head and takes the store as it is, once, at the next unlock. Remembered in the
 * pin file, so it may be another process that unlocks. HF_WRONG_STATE while unlocked.
 * Auditing it is the caller's affair.
 */
HF_STATUS hf_seal_accept_history(struct hf_seal *seal, struct hf_op *op);
/* Refuse at unlock any store below this seq (an outside checkpoint). */
void hf_seal_require_seq(struct hf_seal *seal, uint64_t min_seq);

struct hf_damaged {
    const char *path;
    uint64_t revision; /* 0: a reader missed it; the consumers know it */
    uint64_t seq;      /* of the commit that wrote it */
};
/*
 * How many records were found that do not open, by the unlock or since; visit sees each, in the
 * order of their paths. Without visit (NULL) it takes no lock and costs next to nothing. Anything
 * above 0 is status red: those records were altered, and whether others are missing cannot be told
 * until they are restored. A consumer was not told of them, so whoever decides by records of a kind
 * (policy, keys) must look here too and refuse. visit must not call the seal.
 */
uint64_t hf_seal_damage(struct hf_seal *seal,
                        void (*visit)(void *context, const struct hf_damaged *record),
                        void *context);
enum hf_harm {
    HF_HARM_NONE,   /* none is known */
    HF_HARM_MISSED, /* a reader could not read it; what the consumers know of it is right */
    HF_HARM_UNTOLD, /* and the consumers were not told of it, or of its last revision */
};
/* What is wrong with the record at path. It takes no lock while nothing is with any. */
enum hf_harm hf_seal_harm(struct hf_seal *seal, const char *path);

/*
 * Recomputes the chain over the whole change log up to the head. HF_CORRUPT names the first commit
 * that does not fit; HF_NOT_FOUND when the start of the log was dropped.
 */
HF_STATUS hf_seal_verify_log(struct hf_seal *seal, struct hf_op *op, uint64_t *out_batches);

/* --- consumers: who keeps opened records in memory --- */

/*
 * Told of every live or buried record, at unlock (seq order is not kept, each path once) and after
 * each commit, other nodes' included (in the order of commits; calls never overlap). plain is the
 * record's content, empty for a tombstone without one, and lives until the call returns; copy what
 * you keep, never key bytes into ordinary memory.
 *
 * apply and clear must not call the seal's transactions or readers, and a caller of hf_txn_commit()
 * must not hold a lock that they take. A failure of apply at unlock ends the unlock, unless it is
 * HF_CORRUPT: then the record counts as damaged. After a commit it is the commit's status, though
 * the commit stands, and nobody is held up by it.
 */
struct hf_opened_view {
    enum hf_kind kind;
    const char *path;
    uint64_t revision;
    uint64_t seq;
    bool tombstone;
    struct hf_bytes plain;
};
struct hf_consumer {
    enum hf_kind kind; /* which records */
    struct hf_status (*apply)(void *context, struct hf_op *op, const struct hf_opened_view *record);
    void (*clear)(void *context); /* the seal is locked: forget everything */
    void *context;
    /*
     * May be NULL: at unlock, around some hundred calls of apply of any kind by one thread, so that
     * locks are taken once for all of them.
     */
    void (*begin)(void *context);
    void (*end)(void *context);
};
/* Before unlock; or right after hf_seal_create(), when there is nothing to tell yet. */
void hf_seal_add_consumer(struct hf_seal *seal, const struct hf_consumer *consumer);

/* --- opening apart, for proofs --- */

/* What opening apart has found besides the records that its consumers were told of. */
struct hf_apart {
    uint64_t seq;              /* of the head it was compared with */
    uint32_t root_generation;  /* in force there */
    uint64_t records;          /* that the store shows, of all kinds */
    uint64_t damaged;          /* of them, do not open: hf_seal_damage() names them */
    bool whole;                /* the records are those that the head speaks of */
    char text[HF_OP_TEXT_MAX]; /* what is wrong when they are not; else empty */
};
/*
 * For proofs: a seal of its own over the engine, opened through that one slot, sharing no memory of
 * keys with any other and leaving the pin alone. Every record is opened and told to the consumers;
 * records that are altered or gone do not end it, they are what it is to find. The view is the
 * store's at one commit, however much is written meanwhile. hf_seal_free() wipes it.
 *
 * Fails as hf_seal_unlock() does when the slot does not open the root in force, or the head or the
 * store's secrets do not open; HF_NOT_FOUND when there is no such slot.
 */
HF_STATUS hf_seal_open_apart(struct hf_crypto *crypto, struct hf_op *op, struct hf_engine *engine,
                             const char *slot_id, struct hf_protector *protector,
                             const struct hf_consumer *consumers, size_t count,
                             struct hf_apart *out_found, struct hf_seal **out);

/* What a store has that is shared, and that this node reads from a copy. */
struct hf_shared {
    uint64_t records;          /* 0: this store is no copy of another */
    bool whole;                /* they are those that the head speaks of */
    uint64_t differing;        /* of them and of those that are gone: not as they were copied */
    char text[HF_OP_TEXT_MAX]; /* what is wrong when they are not whole; else empty */
};
struct hf_shared_plan {
    void (*differs)(void *context, const char *path);
    /* For each record. A failure ends the work and is its status. Must not call the seal. */
    struct hf_status (*go_on)(void *context, struct hf_op *op);
    void *context;
};
/*
 * Reads all records of the store behind the copy and compares them with its sealed head; where they
 * are not those, names the ones that differ from the copy. HF_UNAVAILABLE; what is altered there is
 * no failure.
 */
HF_STATUS hf_seal_check_shared(struct hf_seal *seal, struct hf_op *op,
                               const struct hf_shared_plan *plan, struct hf_shared *out);

/* --- records --- */

struct hf_opened {
    enum hf_kind kind;
    uint64_t revision;
    uint64_t seq;
    bool tombstone;
    struct hf_secret *plain; /* NULL when empty */
};
/* One record from the store, opened and checked. HF_NOT_FOUND; HF_CORRUPT (altered). Waits. */
HF_STATUS hf_seal_get(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind, const char *path,
                      struct hf_opened **out);
/*
 * One that is known to be there. If it is missing or altered it is read once more, from a new copy
 * where the store is a copy of another; if that is no help the record counts as damaged until it is
 * read again, and no copy is made for it a second time. HF_CORRUPT (altered), never HF_NOT_FOUND;
 * HF_UNAVAILABLE while no copy can be made.
 */
HF_STATUS hf_seal_get_known(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind,
                            const char *path, struct hf_opened **out);
void hf_opened_free(struct hf_opened *opened);
HF_DEFINE_CLEANUP(opened)

/* Opened records under a prefix, in order of path, after a path (NULL: from the first). */
HF_STATUS hf_seal_list(struct hf_seal *seal, struct hf_op *op, enum hf_kind kind,
                       const char *prefix, const char *after,
                       struct hf_status (*visit)(void *context, const struct hf_opened_view *),
                       void *context);

/* --- transactions: staged changes that commit as one batch --- */

HF_STATUS hf_txn_new(struct hf_seal *seal, struct hf_op *op, struct hf_txn **out);
void hf_txn_free(struct hf_txn *txn);
HF_DEFINE_CLEANUP(txn)
/* expected: the revision the change builds on; 0: the record must be new. plain is copied. */
HF_STATUS hf_txn_put(struct hf_txn *txn, struct hf_op *op, enum hf_kind kind, const char *path,
                     uint64_t expected, struct hf_bytes plain);
/* A sealed tombstone: it keeps what plain says of the departed (name, fingerprint, reason). */
HF_STATUS hf_txn_bury(struct hf_txn *txn, struct hf_op *op, enum hf_kind kind, const char *path,
                      uint64_t expected, struct hf_bytes plain);
/* The audit record that commits with the changes (promise P9). Sealed by us. */
void hf_txn_note(struct hf_txn *txn, struct hf_bytes note);
/* What a repeat under the same request id is given back. Sealed by us. */
void hf_txn_result(struct hf_txn *txn, struct hf_bytes result);
/* What was asked, so that another request under the same id is refused. */
void hf_txn_asked(struct hf_txn *txn, const char *principal, struct hf_bytes request);

struct hf_txn_commit {
    uint64_t seq;
    bool repeated;            /* the request had happened before; nothing was changed now */
    struct hf_secret *result; /* of the first time, when repeated; the caller frees it */
};
/*
 * Seals, applies under op->request_id (a fresh one when unset), and hands the changes to the
 * consumers before it returns. HF_CONFLICT when a revision has moved on. HF_IN_DOUBT is resolved
 * here by repeating, until the deadline.
 */
HF_STATUS hf_txn_commit(struct hf_txn *txn, struct hf_op *op, struct hf_txn_commit *out);

/*
 * A fence: a record that every commit under op->fence writes anew, in the same batch. So whoever
 * has claimed it by writing it shuts out all others: their commits find another revision, and
 * nothing of them happens (HF_CONFLICT).
 */
struct hf_fence {
    enum hf_kind kind;
    const char *path;
    uint64_t revision;      /* that the next commit builds on; it moves on with each */
    struct hf_buf *content; /* what the next commit writes there */
};

/*
 * What the request under op->request_id was given, if it has happened: for who finds things as a
 * repeat would leave them. principal and request as hf_txn_asked() had them. HF_NOT_FOUND when it
 * has not happened, HF_CONFLICT when the id was used for something else. Waits.
 */
HF_STATUS hf_seal_recall(struct hf_seal *seal, struct hf_op *op, const char *principal,
                         struct hf_bytes request, struct hf_txn_commit *out);
/*
 * The id under which the principal asked just this at or after since_ms (realtime), in a commit not
 * after up_to_seq (0: any); the latest. HF_NOT_FOUND. Waits.
 */
HF_STATUS hf_seal_find_request(struct hf_seal *seal, struct hf_op *op, const char *principal,
                               struct hf_bytes request, uint64_t since_ms, uint64_t up_to_seq,
                               struct hf_request_id *out);

/*
 * Commits with seq > from in order, at most max, each with its note opened (empty when it has none,
 * so that the feeder moves on). HF_NOT_FOUND when the log does not reach back that far,
 * HF_CORRUPT at a note that was altered.
 */
HF_STATUS hf_seal_notes(struct hf_seal *seal, struct hf_op *op, uint64_t from, size_t max,
                        struct hf_status (*visit)(void *context, uint64_t seq, uint64_t realtime_ms,
                                                  struct hf_bytes note),
                        void *context);
/*
 * Looks where the store stands and tells the consumers what other nodes have committed since the
 * last look; *out_seq is the commit they know then. The chain must lead from what is known to the
 * store's head: HF_CORRUPT, altered, when it does not, HF_WRONG_STATE for a store that went back in
 * time; then nothing of it is taken. Where the log no longer reaches back, all records are read
 * instead. Waits.
 */
HF_STATUS hf_seal_follow(struct hf_seal *seal, struct hf_op *op, uint64_t *out_seq);
/*
 * For a mirror under the seal: checks the chain of what it is about to copy, while the seal is
 * open. What is copied while it is locked is checked by the unlock. The seal must outlive its use.
 */
struct hf_mirror_guard hf_seal_guard(struct hf_seal *seal);
/* Blocks until a commit beyond seq or until the timeout; gives the seq now. For the feeder. */
uint64_t hf_seal_wait(struct hf_seal *seal, uint64_t seq, uint64_t timeout_ms);

/* --- main keys and keyring keys --- */

struct hf_main_key_info {
    char name[65];
    uint32_t version;
    enum hf_pkey_kind kind;
    bool customer_managed;
    uint64_t created_ms;
};
HF_STATUS hf_seal_main_keys(struct hf_seal *seal, struct hf_op *op,
                            void (*visit)(void *context, const struct hf_main_key_info *info),
                            void *context);

/*
 * A keyring key: AES-256, wrapped by a main key version with RSA-OAEP. Opened once (RSA, worker
 * work), then kept in locked memory; wraps key versions (docs/formats/wrapped.md).
 */
struct hf_keyring_key_info {
    uint32_t version;
    char main_key[65];
    uint32_t main_version;
    uint64_t created_ms;
    bool is_open;
};

/* Stages a new keyring key version in txn, proven (opened and compared) before it is staged. */
HF_STATUS hf_seal_keyring_key_create(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                     const char *keyring, uint32_t version, const char *main_key);
/* Opens it if it is not open yet. HF_LATER when op may not wait. */
HF_STATUS hf_seal_keyring_key_open(struct hf_seal *seal, struct hf_op *op, const char *keyring,
                                   uint32_t version);
HF_STATUS hf_seal_keyring_key_info(struct hf_seal *seal, struct hf_op *op, const char *keyring,
                                   uint32_t version, struct hf_keyring_key_info *out);

/*
 * Which record below that keyring key stands in its way when it does not open: its own or that of
 * its main key. Free *out_path. Waits.
 */
HF_STATUS hf_seal_keyring_key_blame(struct hf_seal *seal, struct hf_op *op, const char *keyring,
                                    uint32_t version, char **out_path);

/* Where a wrapped key version belongs; bound as associated data. */
struct hf_wrap_place {
    const char *keyring;
    const char *path; /* of the version record */
    uint32_t version;
};
/*
 * Wraps a key version's material under the given keyring key version, which must be open or
 * openable. Appends the blob to out. A keyring key staged in the same txn is not committed yet but
 * usable.
 */
HF_STATUS hf_seal_wrap(struct hf_seal *seal, struct hf_op *op, const struct hf_wrap_place *place,
                       uint32_t keyring_key, const struct hf_secret *material, struct hf_buf *out);
/* HF_LATER when op may not wait and the keyring key is not open. Takes a few microseconds. */
HF_STATUS hf_seal_unwrap(struct hf_seal *seal, struct hf_op *op, const struct hf_wrap_place *place,
                         struct hf_bytes wrapped, struct hf_secret **out);
/* The keyring key version a wrapped blob is under. */
HF_STATUS hf_seal_wrapped_parent(struct hf_op *op, struct hf_bytes wrapped, uint32_t *out);

/* Key check value: 16 bytes of HMAC under the store-wide check key. */
#define HF_CHECK_VALUE_LEN 16
HF_STATUS hf_seal_check_value(struct hf_seal *seal, struct hf_op *op, struct hf_bytes material,
                              uint8_t out[HF_CHECK_VALUE_LEN]);

/*
 * A subkey for a use (design section 2): HKDF-SHA-256 over the material, with a label that names
 * use and format version, and store, keyring, key and version as context.
 */
HF_STATUS hf_seal_subkey(struct hf_seal *seal, struct hf_op *op, const struct hf_secret *material,
                         const char *use, const struct hf_wrap_place *place, struct hf_bytes salt,
                         size_t len, struct hf_secret **out);

/* --- small secrets of the server, kept as sealed records "secret/<name>" --- */

/* The secret of that name; made from random bytes (len) when it does not exist and len > 0. */
HF_STATUS hf_seal_secret(struct hf_seal *seal, struct hf_op *op, const char *name, size_t len,
                         struct hf_secret **out);
HF_STATUS hf_seal_secret_put(struct hf_seal *seal, struct hf_op *op, const char *name,
                             struct hf_bytes plain);
