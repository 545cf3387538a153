/*
 * The seal's own parts, shared between the files of this folder and their tests; no other folder
 * includes it.
 *
 * While a root is open, everything that depends on it hangs on one struct hf_unlocked. Functions
 * that take one are called by somebody who has entered the seal (hf_seal_enter), so that locking
 * waits for them before it wipes.
 *
 * Locks, in the order in which they may be taken: change_lock, then feed.lock or pin_lock, then
 * those of consumers and engine, then mac_lock and the small ones of contexts, salts and tables.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/codec.h"
#include "seal/seal.h"

#ifdef __clang_analyzer__
/* It does not see into these two, and would follow failures that say HF_OK. */
#define hf_fail(op, code, ...)                                                                     \
    ((void)(hf_fail)((op), (code), __VA_ARGS__), (struct hf_status){ (code) })
#define hf_fail_cause(op, code, cause, ...)                                                        \
    ((void)(hf_fail_cause)((op), (code), (cause), __VA_ARGS__), (struct hf_status){ (code) })
#endif

/* Kinds that never stand at a path of their own (docs/formats/head.md). */
#define HF_KIND_RESULT 253
#define HF_KIND_NOTE   254
#define HF_KIND_HEAD   255

#define HF_ROOT_LEN     32
#define HF_SALT_LEN     16
#define HF_SLOT_ID_LEN  16
#define HF_SUBKEY_LEN   32
#define HF_CONTENT_MAX  ((size_t)1 << 20) /* of one record */
#define HF_KEYRING_MAX  255               /* bytes of a keyring's name in associated data */
#define HF_SALT_USES    ((uint64_t)1 << 30)
#define HF_REQUEST_TEXT (2 * HF_REQUEST_ID_LEN + 1)

/* --- contexts.c: cipher contexts by the salt of their subkey --- */

struct hf_context_key {
    uint64_t owner; /* whose subkey: a root generation, or a keyring key's number */
    uint8_t salt[HF_SALT_LEN];
};

/* A context belongs to whoever has taken it, until it is given back. */
struct hf_context {
    struct hf_context_key key;
    struct hf_aead *aead;
    unsigned shard;
    struct hf_context *next;  /* in its bucket */
    struct hf_context *newer; /* in the order of use */
    struct hf_context *older;
};

struct hf_contexts;
struct hf_contexts *hf_contexts_new(void);
void hf_contexts_free(struct hf_contexts *contexts);
/* An idle context under that key, or NULL. lane spreads threads over shards. */
struct hf_context *hf_contexts_take(struct hf_contexts *contexts, unsigned lane,
                                    const struct hf_context_key *key);
/* A new one, taken already; its subkey is HKDF-SHA-256 of parent under the key's salt and info. */
HF_STATUS hf_contexts_make(struct hf_contexts *contexts, struct hf_crypto *crypto, struct hf_op *op,
                           const struct hf_context_key *key, const struct hf_secret *parent,
                           struct hf_bytes info, struct hf_context **out);
/* Accepts NULL. */
void hf_contexts_give(struct hf_contexts *contexts, struct hf_context *context);
/* Gives up every idle context. */
void hf_contexts_shed(struct hf_contexts *contexts);

/* The salt under which this process seals; a new one after so many uses. */
struct hf_salt {
    pthread_mutex_t lock; /* guards the rest */
    uint8_t bytes[HF_SALT_LEN];
    uint64_t used;
    uint64_t max_uses;
};
HF_STATUS hf_salt_init(struct hf_salt *salt, struct hf_crypto *crypto, struct hf_op *op);
void hf_salt_done(struct hf_salt *salt);
HF_STATUS hf_salt_use(struct hf_salt *salt, struct hf_crypto *crypto, struct hf_op *op,
                      uint8_t out[HF_SALT_LEN]);

/* --- what exists only while a root is open --- */

struct hf_keyring_keys; /* keyring_key.c */
struct hf_main_keys;    /* main_key.c */

struct hf_root {
    uint32_t generation;
    uint64_t owner;           /* of its cipher contexts: the generation, once it is in force */
    struct hf_secret *secret; /* NULL: there is none */
};

/* The roots that are open: two while one takes over from the other (docs/formats/root.md). */
struct hf_roots {
    pthread_rwlock_t lock; /* guards both */
    struct hf_root current;
    struct hf_root old;
};

/* How far this process has moved the records to the root in force. */
struct hf_move {
    pthread_mutex_t running; /* one batch at a time; guards after and complete */
    char *after;             /* everything up to this path is moved; NULL: nothing is */
    bool complete;
    _Atomic uint32_t generation; /* the root they move to; the counts are for it */
    _Atomic uint64_t checked;
    _Atomic uint64_t moved;
    _Atomic uint64_t stuck; /* altered records, found by this pass */
};

struct hf_unlocked {
    struct hf_crypto *crypto;
    uint8_t store_id[HF_STORE_ID_LEN];
    struct hf_engine *engine; /* for roots that are not open; NULL until the unlock is done */
    struct hf_roots roots;
    struct hf_move move;
    struct hf_contexts *contexts;
    struct hf_salt record_salt;
    struct hf_salt wrap_salt;
    pthread_mutex_t mac_lock; /* guards the use of the three */
    struct hf_mac *check;
    struct hf_mac *link;
    struct hf_mac *digest;
    struct hf_keyring_keys *keyring_keys;
    struct hf_main_keys *main_keys;
};

/* root.c. Takes over root on success. The keys of the store secrets come with hf_secrets_use(). */
HF_STATUS hf_unlocked_new(struct hf_crypto *crypto, struct hf_op *op,
                          const uint8_t store_id[HF_STORE_ID_LEN], uint32_t generation,
                          struct hf_secret **root, struct hf_unlocked **out);
void hf_unlocked_free(struct hf_unlocked *unlocked);
HF_DEFINE_CLEANUP(unlocked)
HF_STATUS hf_root_commitment(struct hf_crypto *crypto, struct hf_op *op,
                             const struct hf_secret *root, const uint8_t store_id[HF_STORE_ID_LEN],
                             uint32_t generation, uint8_t out[HF_SHA256_LEN]);
/* The generation of the root in force: what is sealed now is sealed under it. */
uint32_t hf_root_generation(struct hf_unlocked *unlocked);
bool hf_root_is_open(struct hf_unlocked *unlocked, uint32_t generation);
/* Whether a rotation is under way, as far as this node knows. */
bool hf_root_is_moving(struct hf_unlocked *unlocked);
/* A copy of the root in force. */
HF_STATUS hf_root_copy(struct hf_unlocked *unlocked, struct hf_op *op, uint32_t *out_generation,
                       struct hf_secret **out);
/* From now on that root is in force, and the one before it is the old one. Takes over secret; does
 * nothing unless it is the next one. */
void hf_root_advance(struct hf_unlocked *unlocked, uint32_t generation, struct hf_secret **secret);
/* The same for the one before the root in force. */
void hf_root_keep_old(struct hf_unlocked *unlocked, uint32_t generation, struct hf_secret **secret);
/* The roots that are open in from, which is left without, where those are later; for regaining. */
void hf_root_take(struct hf_unlocked *unlocked, struct hf_unlocked *from);
/* The old root is wiped, with all that hangs on it: the rotation to generation has ended. */
void hf_root_drop_old(struct hf_unlocked *unlocked, uint32_t generation);
/* The commitment of the root in force. */
HF_STATUS hf_root_commit(struct hf_unlocked *unlocked, struct hf_op *op, uint32_t *out_generation,
                         uint8_t out[HF_SHA256_LEN]);

/* --- root_record.c (docs/formats/root.md) --- */

struct hf_root_record {
    uint32_t generation;
    uint64_t begun_ms;
    uint64_t ended_ms;    /* 0: not yet */
    struct hf_bytes root; /* a view; empty in a tombstone */
};
#define HF_ROOT_RECORD_LEN (1 + 4 + 8 + 8 + 4 + HF_ROOT_LEN)
/* "root/<generation>"; free it. */
char *hf_root_path(uint32_t generation);
HF_STATUS hf_root_record_encode(struct hf_op *op, const struct hf_root_record *record,
                                struct hf_secret **out);
HF_STATUS hf_root_record_parse(struct hf_op *op, struct hf_bytes content,
                               struct hf_root_record *out);
/* An earlier root, from its record under a later one. HF_NOT_FOUND. Waits. */
HF_STATUS hf_root_retired(struct hf_unlocked *unlocked, struct hf_engine *engine, struct hf_op *op,
                          uint32_t generation, struct hf_secret **out);
/*
 * Opens every root up to the one the store's head is sealed under. HF_WRONG_STATE when a rotation
 * has ended since the one that is open: then only a slot opens the next. Waits.
 */
HF_STATUS hf_roots_follow(struct hf_unlocked *unlocked, struct hf_engine *engine, struct hf_op *op);
/* At unlock: opens the old root too, if the rotation has not ended. */
HF_STATUS hf_roots_load_old(struct hf_unlocked *unlocked, struct hf_engine *engine,
                            struct hf_op *op);
/* What a committed record says about roots. */
HF_STATUS hf_roots_learn(struct hf_unlocked *unlocked, struct hf_op *op,
                         const struct hf_opened_view *view);

/* --- record.c (docs/formats/record.md) --- */

#define HF_RECORD_CLEAR     0x01
#define HF_RECORD_TOMBSTONE 0x02

/* What a tag binds besides the bytes. */
struct hf_record_place {
    const char *path;
    uint64_t revision;
};

/* A body taken apart; views into it. */
struct hf_record_parts {
    uint8_t kind;
    uint8_t flags;
    uint32_t generation;
    const uint8_t *salt;
    const uint8_t *nonce;
    struct hf_bytes clear;
    struct hf_bytes cipher;
    const uint8_t *tag;
};

/* HF_CORRUPT unless it has the form of a record; says nothing about its tag. */
HF_STATUS hf_record_parse(struct hf_op *op, struct hf_bytes body, struct hf_record_parts *out);
/* The generation it says it is sealed under; 0 when it has not the form of a record. */
uint32_t hf_record_generation(struct hf_bytes body);

/* Seals content (or, with HF_RECORD_CLEAR, leaves it readable under a tag). Appends to out. */
HF_STATUS hf_record_seal(struct hf_unlocked *unlocked, struct hf_op *op, uint8_t kind,
                         uint8_t flags, const struct hf_record_place *place,
                         struct hf_bytes content, struct hf_buf *out);
/* The same under a root that is not in force yet. */
HF_STATUS hf_record_seal_under(struct hf_unlocked *unlocked, struct hf_op *op,
                               const struct hf_root *root, uint8_t kind, uint8_t flags,
                               const struct hf_record_place *place, struct hf_bytes content,
                               struct hf_buf *out);
/* Under the root in force, a given salt and nonce, for test vectors. */
HF_STATUS hf_record_seal_with(struct hf_unlocked *unlocked, struct hf_op *op, uint8_t kind,
                              uint8_t flags, const struct hf_record_place *place,
                              struct hf_bytes content, const uint8_t salt[HF_SALT_LEN],
                              const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_buf *out);

/* Opens many records, keeping the context of the last salt at hand. One thread's. */
struct hf_record_opener {
    struct hf_unlocked *unlocked;
    struct hf_context *context; /* taken, or NULL */
};
void hf_record_opener_init(struct hf_record_opener *opener, struct hf_unlocked *unlocked);
void hf_record_opener_done(struct hf_record_opener *opener);
/* Writes parts->cipher.len bytes to out_plain. HF_CORRUPT, altered. */
HF_STATUS hf_record_opener_open(struct hf_record_opener *opener, struct hf_op *op,
                                const struct hf_record_place *place,
                                const struct hf_record_parts *parts, uint8_t *out_plain);

/* One record: parse and open; a clear record gives its clear part. *out is NULL when empty. */
HF_STATUS hf_record_open(struct hf_unlocked *unlocked, struct hf_op *op,
                         const struct hf_record_place *place, struct hf_bytes body,
                         struct hf_record_parts *out_parts, struct hf_secret **out);

/* Empty content has no secret. */
static inline struct hf_bytes hf_secret_or_none(const struct hf_secret *secret)
{
    return secret != NULL ? hf_secret_bytes(secret) : HF_BYTES_NONE;
}

static inline struct hf_bytes hf_opened_content(const struct hf_opened *opened)
{
    return opened != NULL ? hf_secret_or_none(opened->plain) : HF_BYTES_NONE;
}

/* --- head.c (docs/formats/head.md) --- */

/* A sum modulo 2^256; the first limb is the lowest. */
struct hf_sum {
    uint64_t limbs[4];
};
void hf_sum_add(struct hf_sum *sum, const uint8_t term[HF_DIGEST_LEN]);
void hf_sum_subtract(struct hf_sum *sum, const uint8_t term[HF_DIGEST_LEN]);
void hf_sum_bytes(const struct hf_sum *sum, uint8_t out[HF_DIGEST_LEN]);
void hf_sum_from(struct hf_sum *sum, const uint8_t bytes[HF_DIGEST_LEN]);
bool hf_sum_equal(const struct hf_sum *a, const struct hf_sum *b);

struct hf_head {
    uint64_t seq;
    uint8_t link[HF_DIGEST_LEN];
    struct hf_sum digest;
    uint64_t count;
};
/* next: the root to seal it under, when the batch puts one in force; else NULL. */
HF_STATUS hf_head_seal(struct hf_unlocked *unlocked, struct hf_op *op, const struct hf_root *next,
                       const struct hf_head *head, struct hf_buf *out);
/* The head a store shows at seq; HF_CORRUPT (altered) when it does not open or is of another seq.
 */
HF_STATUS hf_head_open(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                       struct hf_bytes sealed, struct hf_head *out);
void hf_head_encode(const struct hf_head *head, struct hf_buf *out);
HF_STATUS hf_head_parse(struct hf_op *op, struct hf_bytes content, struct hf_head *out);

/* One step of the chain: *link becomes the next. digest is of the change, or of the note. */
HF_STATUS hf_chain_step(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                        const struct hf_record_place *place, const uint8_t digest[HF_DIGEST_LEN],
                        uint8_t link[HF_DIGEST_LEN]);
HF_STATUS hf_chain_note(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                        struct hf_bytes note, uint8_t link[HF_DIGEST_LEN]);
/* What a record adds to the sum. */
HF_STATUS hf_digest_term(struct hf_unlocked *unlocked, struct hf_op *op,
                         const struct hf_record_place *place, const uint8_t digest[HF_DIGEST_LEN],
                         uint8_t out[HF_DIGEST_LEN]);

/* Adds a whole record to the sum. */
HF_STATUS hf_sum_record(struct hf_unlocked *unlocked, struct hf_op *op,
                        const struct hf_record_place *place, struct hf_bytes body,
                        struct hf_sum *sum);

/* What the linker of one batch works with and leaves behind. */
struct hf_link_job {
    struct hf_unlocked *unlocked;
    const struct hf_head
        *rebase;                /* digest and count to go on from instead of the head's, or NULL */
    uint32_t generation;        /* the oldest root its records are sealed under; 0: that in force */
    const struct hf_root *next; /* the root that the batch puts in force, or NULL */
    _Atomic uint64_t seq;       /* out: of the batch; 0 until the linker ran */
    atomic_bool outdated;       /* out: refused, because the store is under a later root already */
    uint64_t linked_seq;        /* out: of the batch that link is of; for whoever commits */
    uint8_t link[HF_DIGEST_LEN];
};
struct hf_status hf_link_batch(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head,
                               struct hf_bytes note, struct hf_linked *changes, size_t count,
                               struct hf_buf *out_head);

/* --- slot.c (docs/formats/wrapped.md, Slot) --- */

struct hf_slot {
    uint8_t id[HF_SLOT_ID_LEN];
    char *name;
    char *protector;
    bool offline;
    uint8_t public_key[HF_X25519_LEN];
    struct hf_buf wrapped_private;
    uint32_t root_generation;
    struct hf_buf sealed_root;
    uint64_t created_ms;
    uint64_t proven_ms;
    uint32_t proven_generation; /* the root it opened then; 0: never */
};
void hf_slot_free(struct hf_slot *slot);
HF_DEFINE_CLEANUP(slot)
void hf_slot_encode(const struct hf_slot *slot, struct hf_buf *out);
HF_STATUS hf_slot_parse(struct hf_op *op, struct hf_bytes clear, struct hf_slot **out);
/* A new key pair under the protector with the root sealed to it; proven by opening it again. */
HF_STATUS hf_slot_make(struct hf_unlocked *unlocked, struct hf_op *op,
                       const struct hf_slot_plan *plan, struct hf_slot **out);
/* Seals another root to the slot's public half; nobody is asked for its secret. */
HF_STATUS hf_slot_reseal(struct hf_unlocked *unlocked, struct hf_op *op, struct hf_slot *slot,
                         const struct hf_root *root);
/* The root that the protector opens through the slot. */
HF_STATUS hf_slot_open_root(struct hf_crypto *crypto, struct hf_op *op,
                            const uint8_t store_id[HF_STORE_ID_LEN], const struct hf_slot *slot,
                            struct hf_protector *protector, struct hf_secret **out);
/* "slot/<id in hex>"; free it. */
char *hf_slot_path(const uint8_t id[HF_SLOT_ID_LEN]);
void hf_slot_describe(const struct hf_slot *slot, bool verified, struct hf_slot_info *out);

/* A slot's record as the store shows it. */
struct hf_slot_record {
    struct hf_record *record;
    struct hf_slot *slot;
};
struct hf_slot_records {
    struct hf_slot_record *items;
    size_t count;
};
void hf_slot_records_free(struct hf_slot_records *records);
HF_DEFINE_CLEANUP(slot_records)
/* Every slot that has the form of one; what has not is logged and left out. */
HF_STATUS hf_slot_records_read(struct hf_seal *seal, struct hf_op *op,
                               struct hf_slot_records **out);
/* Whether the record's tag is right under the root. */
HF_STATUS hf_slot_verify(struct hf_unlocked *unlocked, struct hf_op *op,
                         const struct hf_record *record);

/* --- secrets.c --- */

#define HF_STORE_SECRETS_PATH "secret/store"
#define HF_STORE_SECRETS_LEN  (1 + 3 * 32)

/* Fresh ones: the content of "secret/store". */
HF_STATUS hf_secrets_make(struct hf_crypto *crypto, struct hf_op *op, struct hf_secret **out);
/* Puts check, link and digest key of that content in place. */
HF_STATUS hf_secrets_use(struct hf_unlocked *unlocked, struct hf_op *op, struct hf_bytes content);

/* --- pin.c (docs/formats/pin.md) --- */

struct hf_pin {
    uint8_t store_id[HF_STORE_ID_LEN];
    bool has_root;
    uint32_t generation;
    uint8_t commitment[HF_SHA256_LEN];
    bool has_head;
    uint64_t seq;
    uint8_t link[HF_DIGEST_LEN];
    bool accept_history; /* the operator takes the store as it is; until the next unlock */
};
/* HF_NOT_FOUND when there is no file, HF_CORRUPT when it is not a pin. */
HF_STATUS hf_pin_read(struct hf_op *op, const char *file, struct hf_pin *out);
HF_STATUS hf_pin_write(struct hf_op *op, const char *file, const struct hf_pin *pin);
HF_STATUS hf_pin_parse(struct hf_op *op, struct hf_bytes text, struct hf_pin *out);
void hf_pin_print(const struct hf_pin *pin, struct hf_buf *out);
/* Whether the opened head, and the history that led to it, fit the pin and the demanded seq. */
HF_STATUS hf_pin_check_head(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                            const struct hf_head *head);
/*
 * Whether the root in force is the pinned one or came after it. HF_CORRUPT, other_store, when it is
 * another; HF_WRONG_STATE when it came before.
 */
HF_STATUS hf_pin_check_root(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op);
HF_STATUS hf_pin_fail_went_back(struct hf_op *op, uint64_t stands, uint64_t seen);
/* Pins root and head; drops the mark of an accepted history. */
HF_STATUS hf_pin_keep(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                      const struct hf_head *head);
/* Pins the store's id alone: before a new store is filled, to know that pinning works. */
HF_STATUS hf_pin_keep_store(struct hf_seal *seal, struct hf_op *op);

/* --- feed.c: consumers, in the order of commits --- */

/* A commit under way. */
struct hf_flight {
    struct hf_link_job *job;
    struct hf_flight *next;
    struct hf_flight *previous;
};

struct hf_feed {
    pthread_mutex_t lock;        /* guards the rest; held while consumers are called */
    pthread_cond_t moved;        /* delivered or the flights have changed */
    _Atomic uint64_t delivered;  /* consumers know every commit up to here; read by anybody */
    uint8_t link[HF_DIGEST_LEN]; /* the chain after that commit */
    void *gaps;                  /* follow.c: of the commits before; NULL: there are none */
    struct hf_flight flights;    /* the list's head */
    struct hf_consumer *consumers;
    size_t count;
};
void hf_feed_init(struct hf_feed *feed);
void hf_feed_done(struct hf_feed *feed);
void hf_feed_depart(struct hf_feed *feed, struct hf_flight *flight, struct hf_link_job *job);
/* Its end was not seen: nobody waits for it any longer, until its linker runs again. */
void hf_feed_hold(struct hf_feed *feed, struct hf_flight *flight);
void hf_feed_abandon(struct hf_feed *feed, struct hf_flight *flight);
/*
 * The flight's commit got this seq: hands views over once everything before it is handed over.
 * A failure is a consumer's, or says that what was committed before could not be read.
 */
HF_STATUS hf_feed_deliver(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                          struct hf_flight *flight, uint64_t seq,
                          const struct hf_opened_view *views, size_t count);
/* One record to whoever wants its kind; during unlock, when nobody else feeds. */
HF_STATUS hf_feed_apply(struct hf_feed *feed, struct hf_op *op, const struct hf_opened_view *view);
/* Around many calls of hf_feed_apply() by one thread. */
void hf_feed_begin(struct hf_feed *feed);
void hf_feed_end(struct hf_feed *feed);
void hf_feed_clear(struct hf_feed *feed);
/* Everything up to this head is known: after an unlock. */
void hf_feed_start(struct hf_feed *feed, const struct hf_head *head);
/* The same; lock is held. */
void hf_feed_move(struct hf_feed *feed, uint64_t seq, const uint8_t link[HF_DIGEST_LEN]);
/* Views of committed records to roots and consumers; lock is held. The status is a consumer's. */
HF_STATUS hf_feed_tell(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                       const struct hf_opened_view *views, size_t count);
uint64_t hf_feed_wait(struct hf_feed *feed, uint64_t seq, uint64_t timeout_ms);

/* --- follow.c: what the store has and the consumers have not --- */

/*
 * Hands over what was committed up to seq at least. HF_CORRUPT, altered, when the log does not go
 * on from what is known; HF_IN_DOUBT when it could not be read, since seq was committed all the
 * same.
 */
HF_STATUS hf_feed_catch_up(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                           uint64_t seq);
/* The same; feed.lock is held. */
HF_STATUS hf_follow_log(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                        uint64_t seq);

/* reload.c: the same for one whose part of the log is gone. feed.lock is held. */
HF_STATUS hf_follow_anew(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op);
/* A record as the store shows it now, copied. */
struct hf_stored {
    char *path;
    uint64_t revision;
    uint64_t seq;
    struct hf_buf body;
    bool altered; /* its body is not the one that was committed */
};
void hf_stored_done(struct hf_stored *items, size_t count);
/* Tells roots and consumers; a record that does not open counts as damaged. */
HF_STATUS hf_follow_stored(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                           const struct hf_stored *item);
/* The head that a store shows, with the roots up to its own opened first. */
HF_STATUS hf_follow_head(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                         uint64_t seq, struct hf_bytes sealed, struct hf_head *out);

/* --- by_path.c --- */

/*
 * Records that something is wrong with, by their paths; an empty tree is NULL. What is found lives
 * until it is removed, and may be changed but for its path.
 */
struct hf_damaged *hf_by_path_find(void *const *tree, const char *path);
/* The path must not be in it; everything is copied. */
void hf_by_path_add(void **tree, const struct hf_damaged *record);
/* As it was found. */
void hf_by_path_remove(void **tree, struct hf_damaged *record);
void hf_by_path_clear(void **tree);
/* In the order of the paths. */
void hf_by_path_each(const void *tree,
                     void (*visit)(void *context, const struct hf_damaged *record), void *context);

/* --- damage: records that do not open --- */

struct hf_damage {
    pthread_mutex_t lock;   /* guards the rest */
    void *records;          /* all of them: one that nobody knew of would pass for whole */
    _Atomic uint64_t total; /* changed under the lock only */
};
void hf_damage_init(struct hf_damage *damage);
void hf_damage_done(struct hf_damage *damage);
void hf_damage_add(struct hf_seal *seal, const struct hf_damaged *record, const char *why);
/* The record was written anew as this revision, and the consumers know it. */
void hf_damage_heal(struct hf_seal *seal, const char *path, uint64_t revision);
/*
 * The record opens. What was told of it without a revision, by a reader who missed it, is over: the
 * consumers know it. A revision that they were not told of stays damaged.
 */
void hf_damage_read(struct hf_seal *seal, const char *path);
void hf_damage_clear(struct hf_damage *damage);

/* --- the seal itself --- */

struct hf_seal {
    struct hf_crypto *crypto;
    struct hf_env *env;
    struct hf_engine *engine; /* borrowed */
    char *pin_file;           /* NULL: none is kept */
    uint8_t store_id[HF_STORE_ID_LEN];

    pthread_mutex_t change_lock; /* one at a time opens or locks */
    pthread_mutex_t use_lock;    /* with idle: for the one who waits until users are 0 */
    pthread_cond_t idle;
    atomic_bool is_open;
    atomic_uint users;            /* inside, or about to see that it is not open */
    struct hf_unlocked *unlocked; /* read by users inside only */

    _Atomic uint64_t min_seq;
    _Atomic uint64_t next_number; /* for keyring keys; unlike any root generation */
    pthread_mutex_t pin_lock;     /* guards pin, has_pin and the file */
    struct hf_pin pin;
    bool has_pin;

    struct hf_feed feed;
    struct hf_damage damage;
    struct hf_apart *apart; /* not NULL while it is opened apart: for what is found */

    /* Of the guard, which is asked by one thread at a time. */
    struct hf_head guarded; /* the last commit that was checked */
    bool is_guarded;
};

HF_STATUS hf_seal_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_engine *engine,
                      const char *pin_file, const struct hf_store_state *state,
                      struct hf_seal **out);
/* HF_WRONG_STATE while locked. */
HF_STATUS hf_seal_enter(struct hf_seal *seal, struct hf_op *op, struct hf_unlocked **out);
/* The same for those who have no operation: NULL while locked. */
struct hf_unlocked *hf_seal_try_enter(struct hf_seal *seal);
void hf_seal_leave(struct hf_seal *seal);
/* Everybody may enter from now on. change_lock is held. Takes over unlocked. */
void hf_seal_start(struct hf_seal *seal, struct hf_unlocked *unlocked, const struct hf_head *head);

/* Being inside; a local of this type leaves on every way out. */
struct hf_inside {
    struct hf_seal *seal;
};
static inline void hf_inside_leave(struct hf_inside *inside)
{
    if (inside->seal != NULL) {
        hf_seal_leave(inside->seal);
    }
}
/* Enter, or fail; declares the two names. */
#define HF_ENTER(seal_, op_, unlocked_)                                                            \
    struct hf_unlocked *unlocked_ = NULL; /* NOLINT(bugprone-macro-parentheses): it is a name */   \
    __attribute__((cleanup(hf_inside_leave))) struct hf_inside inside_ = { NULL };                 \
    HF_TRY(hf_seal_enter((seal_), (op_), &(unlocked_)));                                           \
    inside_.seal = (seal_)

/* --- load.c: the scan at unlock --- */

struct hf_load_report {
    uint64_t last_seq; /* of the newest record */
    uint64_t count;    /* records the store shows */
    uint64_t damaged;  /* of them, do not open */
    struct hf_sum digest;
};
/* Opens every record, sums its digest, feeds the consumers. */
HF_STATUS hf_load(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                  struct hf_load_report *out);

/* --- unlock.c: parts of it, for opening apart --- */

/* slot_id NULL: any slot of the protector's kind. */
HF_STATUS hf_unlock(struct hf_seal *seal, struct hf_op *op, struct hf_protector *protector,
                    const char *slot_id, struct hf_slot_info *out_slot);

/* --- history.c --- */

/* One entry of the log: the links it keeps are those that follow from *link, which moves on. */
HF_STATUS hf_history_step(struct hf_unlocked *unlocked, struct hf_op *op,
                          const struct hf_logged_batch *batch, uint8_t link[HF_DIGEST_LEN]);
/*
 * Recomputes the chain over the log: from seq and link as known, up to head. HF_NOT_FOUND when the
 * log does not reach back to seq, HF_CORRUPT when it does not lead to the head.
 */
HF_STATUS hf_history_verify(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                            uint64_t seq, const uint8_t link[HF_DIGEST_LEN],
                            const struct hf_head *head);

/* --- txn.c --- */

/* Commits under this id whatever op->request_id says. */
HF_STATUS hf_txn_commit_as(struct hf_txn *txn, struct hf_op *op, const struct hf_request_id *id,
                           struct hf_txn_commit *out);
/* What is staged was made for this root: once another is in force the commit is HF_CONFLICT. */
void hf_txn_bind(struct hf_txn *txn, uint32_t generation);
/* The commit puts this root in force. Takes over its secret. */
void hf_txn_next_root(struct hf_txn *txn, const struct hf_root *root, struct hf_secret *secret);
/* hf_txn_put() under the root that the commit puts in force. */
HF_STATUS hf_txn_put_next(struct hf_txn *txn, struct hf_op *op, enum hf_kind kind, const char *path,
                          uint64_t expected, struct hf_bytes plain);
/* Under a fresh id: for what the seal does of its own accord inside somebody else's operation. */
HF_STATUS hf_txn_commit_own(struct hf_txn *txn, struct hf_op *op);
/* The keyring key of that number lives and dies with the transaction until it is committed. */
void hf_txn_adopt(struct hf_txn *txn, uint64_t number);
void hf_request_text(const struct hf_request_id *id, char out[HF_REQUEST_TEXT]);
/* What the store remembers of what was asked. */
HF_STATUS hf_request_digest(struct hf_unlocked *unlocked, struct hf_op *op, const char *principal,
                            struct hf_bytes request, uint8_t out[HF_DIGEST_LEN]);
/* The result that the store remembers of a request; *out is NULL when it is empty. */
HF_STATUS hf_result_open(struct hf_unlocked *unlocked, struct hf_op *op, const char *request,
                         struct hf_bytes sealed, struct hf_secret **out);

/* --- main_key.c (docs/formats/main-key.md) --- */

struct hf_main_key {
    uint32_t version;
    bool customer_managed;
    enum hf_hash hash; /* of OAEP and of MGF1 */
    struct hf_pkey *pkey;
    uint64_t created_ms;
};
struct hf_main_keys *hf_main_keys_new(void);
void hf_main_keys_free(struct hf_main_keys *keys);
/* Makes version 1 of a system-managed main key and stages both of its records. */
HF_STATUS hf_main_key_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                            const char *name, enum hf_pkey_kind kind);
/* "main/<name>/<version>"; free it. */
char *hf_main_key_path(const char *name, uint32_t version);
/* That version (0: the current one), with its private half; lives until the seal is locked. */
HF_STATUS hf_main_key_open(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                           const char *name, uint32_t version, const struct hf_main_key **out);

/* --- keyring_key.c (docs/formats/keyring-key.md) --- */

struct hf_keyring_keys *hf_keyring_keys_new(void);
void hf_keyring_keys_free(struct hf_keyring_keys *keys);
/* What a wrap needs: the key and a number that no other key of this unlock has. */
struct hf_keyring_key {
    struct hf_keyring_key *next;
    char *keyring;
    uint32_t version;
    uint64_t number;
    struct hf_secret *key;
    char main_key[65];
    uint32_t main_version;
    uint64_t created_ms;
    bool staged;     /* not committed; only the thread that staged it may use it */
    pthread_t owner; /* while staged */
};
/* The end of the transaction that staged it: from now on everybody's, or gone. */
void hf_keyring_key_settle(struct hf_unlocked *unlocked, uint64_t number, bool committed);
/* The open key, opened first if op may wait. Lives until the seal is locked. */
HF_STATUS hf_keyring_key_find(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                              const char *keyring, uint32_t version,
                              const struct hf_keyring_key **out);

/* --- wrap.c: under a given salt and nonce, for test vectors --- */

HF_STATUS hf_wrap_with(struct hf_unlocked *unlocked, struct hf_op *op,
                       const struct hf_wrap_place *place, const struct hf_keyring_key *parent,
                       struct hf_bytes material, const uint8_t salt[HF_SALT_LEN],
                       const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_buf *out);
