/*
 * The store: sealed records at paths, changed in batches that happen once.
 *
 * The store is untrusted: it never sees plaintext, and the seal checks whatever it gives back. All
 * engines keep one counter: every batch that commits takes the next sequence number, with no gaps,
 * and leaves one entry in the change log and one remembered request.
 *
 * A record is never removed: a deletion is a record that the seal marks as a tombstone. So a
 * record's revision only grows: 1 when it is made, then one more with each change.
 *
 * Threads: every function may be called from any thread, except open and close.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

#define HF_STORE_ID_LEN  16
#define HF_DIGEST_LEN    32
#define HF_PATH_MAX      1024
#define HF_BODY_MAX      (16U << 20) /* of a body, a note and a result each */
#define HF_LEASE_MAX_MS  86400000U
#define HF_NODE_NAME_MAX 64
#define HF_BEAT_MAX      65536U /* of a heartbeat's body */

struct hf_engine;

struct hf_record {
    char *path;
    uint64_t revision; /* of this record: 1, 2, 3 ... */
    uint64_t seq;      /* of the batch that wrote it */
    struct hf_buf body;
};

void hf_record_free(struct hf_record *record);
HF_DEFINE_CLEANUP(record)

/* One record as a scan shows it; views live until the callback returns. */
struct hf_record_view {
    const char *path;
    uint64_t revision;
    uint64_t seq;
    struct hf_bytes body;
};

/* One change of a batch: the record at path goes from revision expected to expected + 1. */
struct hf_change {
    const char *path;
    uint64_t expected; /* 0: no record may be there yet */
    struct hf_bytes body;
    uint8_t
        digest[HF_DIGEST_LEN]; /* SHA-256 of body; the caller computes it, the engine keeps it */
};

/* What the linker is told about one change, in the order of the batch. */
struct hf_linked {
    const char *path;
    uint64_t revision;             /* the new one */
    uint8_t digest[HF_DIGEST_LEN]; /* SHA-256 of the new body */
    bool replaces;                 /* there was a record: */
    uint64_t old_revision;
    uint8_t old_digest[HF_DIGEST_LEN];
    uint8_t link[HF_DIGEST_LEN]; /* out: chain value after this change, kept in the change log */
};

/*
 * Called by the engine inside its transaction, once the batch is known to apply and its sequence
 * number is fixed: computes the chain and the next head. head is the one left by the batch before
 * (empty in a new store). note is the batch's note. The engine keeps out_head, opaque to it, in the
 * same transaction. Must not call the engine. A failure abandons the batch.
 *
 * It may run on a thread of the engine while the caller waits, never twice at the same time, and
 * again for the same batch when its first transaction had to be given up.
 */
struct hf_linker {
    struct hf_status (*link)(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head,
                             struct hf_bytes note, struct hf_linked *changes, size_t count,
                             struct hf_buf *out_head);
    void *context;
};

/* All or nothing, once per request id. Views live until apply returns. */
struct hf_batch {
    struct hf_request_id request_id; /* must be set */
    const char *principal;           /* who asked, as the request table remembers it */
    uint8_t digest[HF_DIGEST_LEN];   /* of what was asked; another digest under the id conflicts */
    uint64_t epoch;                  /* 0: any; else the epoch the writer believes in */
    const struct hf_change *changes;
    size_t count;
    struct hf_bytes note;           /* sealed audit record, kept in the log; may be empty */
    struct hf_bytes result;         /* sealed, given back to whoever repeats the request */
    const struct hf_linker *linker; /* NULL: links are zero and the head stays */
};

struct hf_commit {
    uint64_t seq;
    uint64_t epoch;
    bool repeated;        /* the request had happened before: nothing was changed now */
    struct hf_buf result; /* of the first time; empty unless repeated */
};

void hf_commit_init(struct hf_commit *commit);
void hf_commit_done(struct hf_commit *commit);

/* One entry of the change log. */
struct hf_logged_change {
    const char *path;
    uint64_t revision;
    const uint8_t *digest; /* HF_DIGEST_LEN */
    const uint8_t *link;   /* HF_DIGEST_LEN */
    struct hf_bytes body;  /* empty if the record has moved on since */
};
struct hf_store_state {
    uint8_t store_id[HF_STORE_ID_LEN];
    uint64_t seq; /* of the last commit; 0 in a new store */
    uint64_t epoch;
    uint64_t oldest_seq; /* the oldest batch that is still in the change log; 0: none */
};

struct hf_logged_batch {
    uint64_t seq;
    uint64_t epoch;
    uint64_t realtime_ms; /* when the engine committed it */
    struct hf_bytes note;
    const struct hf_logged_change *changes;
    size_t count;

    /* the request that it remembers */
    struct hf_request_id request_id;
    const char *principal;
    const uint8_t *digest; /* HF_DIGEST_LEN, of what was asked */
    struct hf_bytes result;

    /* With the last batch of the store, from the same consistent state; else NULL and empty. */
    const struct hf_store_state *end;
    struct hf_bytes head;
};

/*
 * The heartbeat row of a node: each one takes the place of the one before. The store believes none
 * of it but confirmed_seq, and that only as far as its own counter goes.
 */
struct hf_beat {
    const char *node;
    uint64_t number;        /* grows with each heartbeat of a node */
    uint64_t confirmed_seq; /* commits up to here were answered without doubt */
    uint64_t applied_seq;   /* what the node has applied of them */
    struct hf_bytes body;   /* whatever else nodes tell each other */
};

typedef struct hf_status (*hf_beat_visitor)(void *context, const struct hf_beat *beat);
typedef struct hf_status (*hf_record_visitor)(void *context, const struct hf_record_view *record);
typedef struct hf_status (*hf_log_visitor)(void *context, const struct hf_logged_batch *batch);

struct hf_store_settings {
    const char *engine;                /* "sqlite", "postgres", "memory", "failing" */
    const char *directory;             /* where an embedded engine keeps its files */
    bool create;                       /* make a new store; HF_EXISTS when there is one */
    uint8_t store_id[HF_STORE_ID_LEN]; /* for create */
    const char *snapshot; /* for create: what a new store begins as, its id included; NULL: empty */
    bool arriving;        /* the one that is being moved here; see hf_engine_settle() */

    /* of a store on database hosts */
    /*
     * How to connect, in libpq's words, one each; NULL-terminated. Before them may stand where the
     * host is and how to reach its Patroni: "site='east' patroni='https://db1:8008' host='db1'".
     */
    const char *const *hosts;
    const char *site;     /* where we are: hosts of it are read first; NULL: no such order */
    unsigned synchronous; /* standbys that confirm every commit before it is answered */
    bool allow_fewer;     /* with fewer of them write all the same, and say so; else refuse */

    uint64_t confirmed_seq; /* the store was seen to stand there; 0: not known */

    const char *mirror; /* where a local copy is kept that follows the engine; NULL: none */
};

enum hf_host_state {
    HF_HOST_PRIMARY,
    HF_HOST_STANDBY,
    HF_HOST_LEFT,    /* on a timeline that another has left, or of another cluster: not used */
    HF_HOST_AWAY,    /* does not answer */
    HF_HOST_UNKNOWN, /* nobody has asked it: the store was not reached since it was opened */
};

/* A database host, as this node sees it. */
struct hf_host {
    char name[128];
    char site[HF_NODE_NAME_MAX + 1]; /* "": not told */
    enum hf_host_state state;
    bool is_near;      /* of our own site */
    bool lags;         /* a standby that is behind by a second or more: not read first */
    bool says_primary; /* whatever we think of it */
    uint64_t timeline; /* the last one heard; 0: none */
    char problem[160]; /* of a host that is not used */
};
typedef void (*hf_host_visitor)(void *context, const struct hf_host *host);

struct hf_engine_ops {
    const char *name; /* as written in holdfast.conf */

    struct hf_status (*open)(struct hf_op *op, const struct hf_store_settings *settings,
                             struct hf_engine **out);
    struct hf_status (*state)(struct hf_engine *engine, struct hf_op *op,
                              struct hf_store_state *out, struct hf_buf *out_head);
    struct hf_status (*get)(struct hf_engine *engine, struct hf_op *op, const char *path,
                            struct hf_record **out);
    struct hf_status (*list)(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                             const char *after, hf_record_visitor visit, void *context);
    struct hf_status (*apply)(struct hf_engine *engine, struct hf_op *op,
                              const struct hf_batch *batch, struct hf_commit *out);
    struct hf_status (*changes)(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                size_t max_batches, hf_log_visitor visit, void *context);
    struct hf_status (*snapshot)(struct hf_engine *engine, struct hf_op *op, const char *file,
                                 uint64_t *out_seq);
    struct hf_status (*barrier)(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq);
    struct hf_status (*lease)(struct hf_engine *engine, struct hf_op *op, const char *name,
                              const char *holder, uint64_t duration_ms, uint64_t *out_fence);
    struct hf_status (*forget)(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq);
    struct hf_status (*recall)(struct hf_engine *engine, struct hf_op *op,
                               const struct hf_batch *batch, struct hf_commit *out);
    struct hf_status (*find)(struct hf_engine *engine, struct hf_op *op,
                             const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                             uint64_t up_to_seq, struct hf_request_id *out);
    struct hf_status (*retire)(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                               const char *destination);
    struct hf_status (*settle)(struct hf_engine *engine, struct hf_op *op);
    struct hf_status (*retired)(struct hf_op *op, const struct hf_store_settings *settings,
                                uint8_t out_store_id[HF_STORE_ID_LEN]);
    void (*close)(struct hf_engine *engine);

    /* database hosts */
    void (*hosts)(struct hf_engine *engine, hf_host_visitor visit, void *context);
    struct hf_status (*accept)(struct hf_engine *engine, struct hf_op *op);

    /* heartbeats */
    struct hf_status (*beat)(struct hf_engine *engine, struct hf_op *op, const struct hf_beat *beat,
                             bool synchronous, uint64_t *out_seq);
    struct hf_status (*beats)(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                              void *context, uint64_t *out_seq);
};

struct hf_engine_counts;

/* Engines put this first in their own struct and set ops. */
struct hf_engine {
    const struct hf_engine_ops *ops;
    struct hf_engine_counts *counts; /* of hf_engine_open(); NULL: nothing is counted */
};

/*
 * Opens the engine that settings name. HF_INVALID for an unknown name, HF_NOT_FOUND when there is
 * no store and create is off, HF_WRONG_STATE when another process has it open, HF_CONFLICT when it
 * has moved elsewhere (the text says where), HF_CORRUPT or HF_UNSUPPORTED for a file that is not
 * ours or newer than we are. The environment of op must outlive the engine.
 */
HF_STATUS hf_engine_open(struct hf_op *op, const struct hf_store_settings *settings,
                         struct hf_engine **out);
void hf_engine_free(struct hf_engine *engine);
HF_DEFINE_CLEANUP(engine)

/*
 * All calls below fail with HF_UNAVAILABLE once the deadline has passed, and with HF_LATER where
 * the operation may not wait.
 */

/* Where the store stands, from one consistent state; out_head may be NULL. */
HF_STATUS hf_engine_state(struct hf_engine *engine, struct hf_op *op, struct hf_store_state *out,
                          struct hf_buf *out_head);

/* The record at path, tombstones included; HF_NOT_FOUND. */
HF_STATUS hf_engine_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                        struct hf_record **out);

/*
 * Every record whose path begins with prefix and sorts (by byte) after the given one (NULL: from
 * the first), in order of path, from one consistent state. A visitor that fails ends the walk with
 * its status. The visitor must not call the engine.
 */
HF_STATUS hf_engine_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                         const char *after, hf_record_visitor visit, void *context);

/*
 * All changes or none, once per request id, durable before it returns. A repeat under the same id,
 * digest and principal gives the first commit and its result; under others HF_CONFLICT.
 * HF_INVALID for a batch without a request id, or with a path that is empty, too long, twice there
 * or has control characters; HF_TOO_LARGE for bytes beyond HF_BODY_MAX. HF_CONFLICT when a revision
 * or the epoch has moved on, HF_IN_DOUBT when the end was not seen, HF_NO_SPACE or HF_UNAVAILABLE
 * when nothing has happened. Writers in several threads share commits.
 */
HF_STATUS hf_engine_apply(struct hf_engine *engine, struct hf_op *op, const struct hf_batch *batch,
                          struct hf_commit *out);

/*
 * At most max_batches log entries with seq > from, in order. HF_NOT_FOUND when some of them are
 * gone from the log (start from a snapshot instead).
 */
HF_STATUS hf_engine_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                            size_t max_batches, hf_log_visitor visit, void *context);

/*
 * A consistent copy of the store in a new file (mode 0600), with the seq it stands at. Of leases it
 * has the fences; nobody holds them.
 */
HF_STATUS hf_engine_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                             uint64_t *out_seq);

/* Proves that everything seen so far is durable where writes are decided; gives the seq. */
HF_STATUS hf_engine_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq);

/*
 * Takes or renews the named lease for holder; *out_fence grows each time it changes hands.
 * HF_CONFLICT while another holder has it. A duration of 0 gives it up. In an embedded engine a
 * lease ends with the process that took it, and whoever takes it next gets a new fence.
 */
HF_STATUS hf_engine_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                          const char *holder, uint64_t duration_ms, uint64_t *out_fence);

/* Drops log entries and remembered requests of batches with seq < below_seq. */
HF_STATUS hf_engine_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq);

/*
 * What a repeat of the batch would be given, changing nothing: of the batch only request id,
 * principal and digest count. HF_NOT_FOUND when the request has not happened (or is forgotten),
 * HF_CONFLICT when its id was used for another.
 */
HF_STATUS hf_engine_recall(struct hf_engine *engine, struct hf_op *op, const struct hf_batch *batch,
                           struct hf_commit *out);

/*
 * The id of the latest remembered request with this digest that was committed at or after since_ms
 * (realtime, as the log has it) and not after up_to_seq (0: any); HF_NOT_FOUND. Meant for the last
 * seconds: an engine may look through them one by one.
 */
HF_STATUS hf_engine_find(struct hf_engine *engine, struct hf_op *op,
                         const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms, uint64_t up_to_seq,
                         struct hf_request_id *out);

/*
 * Moving a store, in an order in which there are never two and a crash loses none: make one out of
 * a snapshot, arriving, which nobody opens by mistake; compare; retire the old one; settle the new.
 * Both calls may be made again after a crash, and leave an engine that can only be closed.
 */

/*
 * Nobody opens this store any more: he is told its destination. HF_CONFLICT when it is no longer at
 * seq: somebody else writes to it.
 */
HF_STATUS hf_engine_retire(struct hf_engine *engine, struct hf_op *op, uint64_t seq,
                           const char *destination);
/* An arriving store becomes the one of its place; HF_EXISTS when there is one that is not retired.
 */
HF_STATUS hf_engine_settle(struct hf_engine *engine, struct hf_op *op);
/*
 * Which store it was that was retired at this place, where nothing opens any more. HF_NOT_FOUND
 * when none was, or nothing is left that tells.
 */
HF_STATUS hf_engine_retired(struct hf_op *op, const struct hf_store_settings *settings,
                            uint8_t out_store_id[HF_STORE_ID_LEN]);
/* Of engines whose stores do not move by themselves. */
struct hf_status hf_engine_none_retired(struct hf_op *op, const struct hf_store_settings *settings,
                                        uint8_t out_store_id[HF_STORE_ID_LEN]);

struct hf_store_counts {
    uint64_t records, batches, changes, requests, leases;
};
/*
 * Do two snapshots hold the same, but for who holds a lease? HF_CORRUPT says what differs. The
 * files lie still meanwhile.
 */
HF_STATUS hf_store_compare(struct hf_op *op, const char *file, const char *other,
                           struct hf_store_counts *out);

/*
 * Puts the node's heartbeat in place of its last one. A synchronous one is a barrier too: it is
 * durable before the call returns, as is everything up to *out_seq, and only then is *out_seq set.
 * Another one waits for no standby and can be lost with a failover, so it may speak of the past
 * only. HF_IN_DOUBT when the end was not seen: it may still take the place of a later one.
 */
HF_STATUS hf_engine_beat(struct hf_engine *engine, struct hf_op *op, const struct hf_beat *beat,
                         bool synchronous, uint64_t *out_seq);

/*
 * The last heartbeat of every node, in order of name, and the seq of the store, from one consistent
 * state of the host that is read from; that state may not be confirmed. An embedded engine forgets
 * heartbeats when it is closed. The visitor must not call the engine.
 */
HF_STATUS hf_engine_beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                          void *context, uint64_t *out_seq);

/*
 * The hosts of a store that has some, in the order of the settings, as they were last seen: at most
 * a few seconds ago. None while it has not been reached.
 */
void hf_engine_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context);
/* Of engines without hosts. */
void hf_engine_no_hosts(struct hf_engine *engine, hf_host_visitor visit, void *context);

/*
 * From now on the store is taken as it stands, whatever this process has seen of it: the way past
 * HF_WRONG_STATE for a store that went back in time or has another history. A mirror keeps the copy
 * of what is given up beside the new one. Nobody may read meanwhile who relies on what he has seen.
 */
HF_STATUS hf_engine_accept(struct hf_engine *engine, struct hf_op *op);
/* Of engines that remember nothing. */
struct hf_status hf_engine_accept_as_is(struct hf_engine *engine, struct hf_op *op);

/*
 * A look at the database hosts by connections of its own, also while no engine can be opened: for
 * giving the writes to another site.
 */
struct hf_sites;
/* Waits until each host has answered, or not in time. HF_UNSUPPORTED for a store without hosts. */
HF_STATUS hf_sites_open(struct hf_op *op, const struct hf_store_settings *settings,
                        struct hf_sites **out);
void hf_sites_free(struct hf_sites *sites);
HF_DEFINE_CLEANUP(sites)
void hf_sites_each(struct hf_sites *sites, hf_host_visitor visit, void *context);
/* The hosts that the settings name, as HF_HOST_UNKNOWN: no connection is made. */
void hf_sites_named(struct hf_env *env, const struct hf_store_settings *settings,
                    hf_host_visitor visit, void *context);

/* The standby of a site that would take over. */
struct hf_site_stand {
    size_t host;    /* its place in the settings */
    char name[128]; /* "db1:5432" */
    uint64_t timeline;
    uint8_t store_id[HF_STORE_ID_LEN];
    uint64_t seq;           /* where the store stands there */
    uint64_t committed_ms;  /* when that commit was made; 0: its log does not have it */
    uint64_t confirmed_seq; /* what nodes had confirmed, as far as that has come there */

    uint64_t shared_seq;            /* the newest commit that it and who asks should both have, */
    bool has_shared;                /* whether its log has that one, */
    struct hf_request_id shared_id; /* and under which request id */

    uint64_t waiting_bytes; /* of the log, received and not in force yet: a promotion does that */
    const char *patroni;    /* how its Patroni is reached; NULL: it is promoted through SQL */
    const char *ca, *certificate, *key; /* for that; "" where there is none */
};
/*
 * The one that has received most, as seen by who has the commits up to copy_seq. HF_NOT_FOUND for a
 * site that no host names, HF_WRONG_STATE when the primary is there already, or when a standby on
 * an earlier timeline has received more than the one on the latest; HF_UNAVAILABLE when no standby
 * of it answers.
 */
HF_STATUS hf_sites_stand(struct hf_sites *sites, struct hf_op *op, const char *site,
                         uint64_t copy_seq, struct hf_site_stand *out);
/* Promotes it through SQL; HF_IN_DOUBT when the answer was not seen. */
HF_STATUS hf_sites_promote(struct hf_sites *sites, struct hf_op *op,
                           const struct hf_site_stand *stand);
/* Waits until a host of the site is the primary; *out_timeline is the one it is on. */
HF_STATUS hf_sites_await(struct hf_sites *sites, struct hf_op *op, const char *site,
                         uint64_t *out_timeline);

extern const struct hf_engine_ops hf_sqlite_engine;
extern const struct hf_engine_ops hf_postgres_engine;
extern const struct hf_engine_ops hf_memory_engine;
extern const struct hf_engine_ops hf_failing_engine;
extern const struct hf_engine_ops hf_mirror_engine;

/*
 * The mirror is a wrapper around an engine that several nodes share: it keeps a copy of the store
 * in a local file of SQLite and follows the engine's change log with it. State, get, list, changes
 * and snapshot are answered from the copy, also while the engine does not answer; everything else
 * goes to the engine. What this node writes is in the copy before it is answered; then HF_IN_DOUBT
 * says that it is stored, but could not be copied. hf_engine_open() makes one where
 * settings->mirror is set; without a copy it needs the engine, and with one it does not wait for it
 * for long.
 *
 * The copy takes only what the engine shows, which is durable where writes are decided; so nothing
 * of it is ever taken back. A store that went back in time or has another history is not followed,
 * and not written to.
 */

/* Takes over behind, also when it fails. */
HF_STATUS hf_mirror_new(struct hf_op *op, struct hf_engine *behind, const char *directory,
                        struct hf_engine **out);
/*
 * Brings the copy to where the engine stands; *out_seq is where that is. For another engine it
 * gives the seq. HF_UNAVAILABLE while the engine does not answer, HF_WRONG_STATE for a store that
 * is not to be followed, the codes of writes when the copy cannot be written.
 */
HF_STATUS hf_mirror_follow(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq);
/*
 * The engine that the mirror copies, for who looks past the copy; it is the mirror's. *out is NULL
 * for what is no mirror. HF_UNAVAILABLE while it has never answered.
 */
HF_STATUS hf_mirror_behind(struct hf_engine *engine, struct hf_op *op, struct hf_engine **out);
/*
 * Makes the copy anew from the engine: for who found that the one that was there when so many had
 * been made (hf_mirror_info()) is damaged. Nothing is done when that is another one by now.
 * HF_UNSUPPORTED for what is no mirror.
 */
HF_STATUS hf_mirror_renew(struct hf_engine *engine, struct hf_op *op, uint64_t copies);

enum hf_mirror_problem {
    HF_MIRROR_FINE,
    HF_MIRROR_AWAY,    /* the engine does not answer */
    HF_MIRROR_REFUSED, /* the engine shows what must not be followed */
    HF_MIRROR_LOCAL,   /* the copy cannot be written */
};
struct hf_mirror_info {
    uint64_t seq;        /* of the copy */
    uint64_t behind_seq; /* of the engine, when it last answered; 0: it has not yet */
    enum hf_mirror_problem problem;
    uint64_t since_ms; /* realtime: since when it is so */
    uint64_t copies;   /* made anew since the engine was opened */
    char text[HF_OP_TEXT_MAX];
};
/* False for another engine. */
bool hf_mirror_info(struct hf_engine *engine, struct hf_mirror_info *out);

/*
 * Whoever can check the chain is asked before a stretch of the log is taken over: begin is told
 * where the copy stands, then check is shown each batch. A failure leaves the copy as it was, and
 * the store counts as one that is not to be followed. Both may run on a thread of the engine, never
 * twice at the same time, and must not call the engine.
 */
struct hf_mirror_guard {
    struct hf_status (*begin)(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head);
    struct hf_status (*check)(void *context, struct hf_op *op, const struct hf_logged_batch *batch);
    void *context;
};
/* NULL: nobody is asked any more. Does nothing for another engine. */
void hf_mirror_set_guard(struct hf_engine *engine, const struct hf_mirror_guard *guard);

/*
 * The failing engine is a wrapper for tests: it passes calls on to another engine and fails the
 * n-th of them as told.
 */
enum hf_fault {
    HF_FAULT_NONE,
    HF_FAULT_BEFORE,   /* fails with the code, nothing has happened */
    HF_FAULT_IN_DOUBT, /* it happened, but the answer is HF_IN_DOUBT */
};
/* Takes over inner. */
struct hf_engine *hf_failing_new(struct hf_engine *inner);
/* Fail call number at (counted from 1 from now on, all calls of all ops). 0: never. */
void hf_failing_set(struct hf_engine *engine, enum hf_fault fault, enum hf_code code, uint64_t at);
/* How many calls have been counted since, and how many faults happened. */
uint64_t hf_failing_calls(struct hf_engine *engine);
uint64_t hf_failing_faults(struct hf_engine *engine);
