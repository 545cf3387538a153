/*
 * The cluster: heartbeats, leases, acknowledgement and proofs among the nodes on one store.
 *
 * A lease says that this node has applied every change that was acknowledged anywhere up to now. A
 * change is acknowledged when no node can hold a lease without it. Nothing here has a thread: the
 * daemon calls hf_cluster_tick() from one of its own, and waiting goes through its callbacks.
 *
 * Heartbeat rows lie in the untrusted store. One that does not carry the cluster's MAC counts as
 * absent, and an absent or old row can make this layer wait, never believe.
 *
 * Threads: hf_cluster_tick() belongs to one thread; the others may be called from any. Callbacks
 * are called without a lock held, by the thread that is in the call that needs them.
 */
#pragma once

#include "store/store.h"

#define HF_CLUSTER_LEASE_MS 2000
#define HF_CLUSTER_BEAT_MS  1000
/* The lease and 10 %: by then it is over on a clock that runs slower than ours. */
#define HF_CLUSTER_ACK_MS 2200
/* How long the nodes that are alive have to open a candidate. */
#define HF_CLUSTER_PROVE_MS 5000
/* How long one waits at most who does not hear the others. */
#define HF_CLUSTER_PROVE_LIMIT_MS 30000
#define HF_CLUSTER_MAC_LEN        32
#define HF_BOOT_ID_LEN            16
#define HF_CLUSTER_REASON_MAX     32

struct hf_cluster;

/* What the layer needs from above; context is that of the settings. */
struct hf_cluster_calls {
    /* A keyed digest under the cluster's key, which stays with the caller. */
    struct hf_status (*mac)(void *context, struct hf_op *op, struct hf_bytes text,
                            uint8_t out[HF_CLUSTER_MAC_LEN]);
    /*
     * Applies the change feed up to that seq and no further: what is above may be lost yet. What is
     * applied is durable here before the call returns; gives how far that is now. It comes back
     * within about a second, the next heartbeat waits for it; the next turn goes on. Calls
     * hf_cluster_candidate() and hf_cluster_set_members() for what it finds.
     */
    struct hf_status (*follow)(void *context, struct hf_op *op, uint64_t up_to,
                               uint64_t *out_applied);
    /* Opens the candidate that was noted with this seq; the code of a failure is its reason. */
    struct hf_status (*open_version)(void *context, struct hf_op *op, uint64_t seq);
    /*
     * Opens versions that came into use by commits after that one, for a while: from the beginning,
     * or from where the last call stopped. *out_left is false when none is left. What does not open
     * is told with hf_cluster_unopened().
     */
    struct hf_status (*open_missed)(void *context, struct hf_op *op, uint64_t after_seq,
                                    bool from_beginning, bool *out_left);
    /* Keeps the stamp of the last fresh moment where a restart finds it, unaltered. */
    struct hf_status (*keep)(void *context, struct hf_op *op, struct hf_bytes stamp);
    /* Returns once tell() was called with a higher number, or at that time of the boottime clock.
     */
    void (*wait)(void *context, uint64_t news, uint64_t until_ms);
    void (*tell)(void *context, uint64_t news);
    /* Somebody waits: hf_cluster_tick() should be called now. */
    void (*wake)(void *context);
};

struct hf_cluster_settings {
    struct hf_env *env;       /* outlives the cluster */
    struct hf_engine *engine; /* outlives the cluster */
    const char *node;
    const char *site; /* may be empty */
    uint8_t boot_id[HF_BOOT_ID_LEN];
    uint64_t poll_ms; /* between two looks at the heartbeats */
    uint64_t applied; /* where this node's copy of the store stands */
    const struct hf_cluster_calls *calls;
    void *context;
};

/* HF_INVALID for a name that is too long. */
HF_STATUS hf_cluster_new(struct hf_op *op, const struct hf_cluster_settings *settings,
                         struct hf_cluster **out);
void hf_cluster_free(struct hf_cluster *cluster);
HF_DEFINE_CLEANUP(cluster)

/*
 * After a restart: what keep() was last given. It counts until there is a lease, and what came into
 * use after it is opened before. HF_CORRUPT when it cannot be read.
 */
HF_STATUS hf_cluster_recall_stamp(struct hf_cluster *cluster, struct hf_op *op,
                                  struct hf_bytes stamp);

/*
 * The sealed list of members as applied here; names have 1 to HF_NODE_NAME_MAX bytes. A node that
 * is not in it gets no lease.
 */
void hf_cluster_set_members(struct hf_cluster *cluster, const char *const *names, size_t count);

/*
 * The node is locked: nothing that it knew is in its memory any more, and the store that it opens
 * next may stand elsewhere. Ends the lease; the last fresh moment stays.
 */
void hf_cluster_forget(struct hf_cluster *cluster);

/*
 * One turn: the heartbeat for the lease if it is due, a look at everybody's, the feed as far as it
 * is confirmed, candidates, and news of this node. *out_next_ms is when to call again, also after a
 * failure, of which the status is the first one; the turn goes on after it as far as it can.
 */
HF_STATUS hf_cluster_tick(struct hf_cluster *cluster, struct hf_op *op, uint64_t *out_next_ms);

/* --- the lease --- */

/*
 * The number of the lease that this node holds now, 0: none. As long as leases follow each other
 * without a gap they have one number.
 */
uint64_t hf_cluster_lease(struct hf_cluster *cluster);
/*
 * Returns once there is a lease. HF_UNAVAILABLE at the deadline, and once hf_cluster_stop() was
 * called; HF_LATER.
 */
HF_STATUS hf_cluster_wait_lease(struct hf_cluster *cluster, struct hf_op *op);
/* The node stops: nobody waits for a lease, or for an answer of the others, any more. */
void hf_cluster_stop(struct hf_cluster *cluster);

/*
 * Has the lease of that number lasted until now? Asked before anything is read for an answer
 * (hf_cluster_lease) and, with the number from then, immediately before the answer is queued.
 */
bool hf_cluster_has_lease(struct hf_cluster *cluster, uint64_t number);
/*
 * Does a lease last still that began before that commit? While a version is a candidate, this node
 * tells of its key without a mark only as long as this is so: then its maker has to wait for a
 * silent node once, from the candidate's commit on, and not again after the promotion.
 */
bool hf_cluster_leased_before(struct hf_cluster *cluster, uint64_t seq);

/* --- for people --- */

struct hf_cluster_member {
    const char *node;
    const char *site;
    bool self;
    bool seen;         /* by a heartbeat that is believed, since this process began */
    uint64_t quiet_ms; /* since its last news came here, or since it was listed */
    bool leased;       /* as it said of itself with them */
    uint64_t applied;
};
struct hf_cluster_view {
    bool listed;             /* this node is a member */
    bool able;               /* all that a lease takes is there, but for being listed maybe */
    uint64_t lease;          /* 0: none */
    uint64_t leased_ms;      /* how long it has had that */
    uint64_t stale_ms;       /* since the last fresh moment; UINT64_MAX: not known */
    uint64_t stale_until_ms; /* what hf_cluster_serve_stale() was given, on the boottime clock */
    uint64_t applied;
    uint64_t confirmed;
    bool opens_missed;       /* what came into use while it was away, before it has a lease */
    uint64_t unopened;       /* versions that do not open here, and others have promoted */
    char unopened_text[200]; /* the first of them, and why */
};
/* How it stands; visit (may be NULL) is shown each member, and must not call the cluster. */
void hf_cluster_look(struct hf_cluster *cluster, struct hf_cluster_view *out,
                     void (*visit)(void *context, const struct hf_cluster_member *member),
                     void *context);

/* --- service without a lease --- */

enum hf_cluster_use {
    HF_CLUSTER_OPEN,   /* existing versions */
    HF_CLUSTER_WRAP,   /* with the newest version applied here */
    HF_CLUSTER_CHANGE, /* anything */
};

/*
 * May this be done now? With a lease everything; without one opening for max_stale_ms after the
 * last fresh moment and wrapping for max_stale_wrap_ms; 0 is never. HF_UNAVAILABLE says why not.
 */
HF_STATUS hf_cluster_may(struct hf_cluster *cluster, struct hf_op *op, enum hf_cluster_use use,
                         uint64_t max_stale_ms, uint64_t max_stale_wrap_ms,
                         struct hf_standing *out);
/* Immediately before the answer is queued: does what was granted still hold? HF_UNAVAILABLE. */
HF_STATUS hf_cluster_still(struct hf_cluster *cluster, struct hf_op *op,
                           const struct hf_standing *grant);

/*
 * An operator lets this node open existing versions for so long though its staleness is unknown or
 * over. It does not concern keyrings whose max_stale is 0, nor wrapping. 0 ends it.
 */
void hf_cluster_serve_stale(struct hf_cluster *cluster, uint64_t for_ms);

/* --- acknowledgement --- */

/*
 * Call it once the commit of seq has ended without doubt, not before. Returns when the change is in
 * force: every member has reported it applied, or no lease of before can last any more. HF_IN_DOUBT
 * at the deadline: it is durable, and not known to be in force everywhere. HF_LATER.
 *
 * announced_ms: when, on the boottime clock, the commit had ended of the candidate that this change
 * promotes; 0: it promotes none. A node that knows of a candidate does not tell of its key as it
 * was (hf_cluster_leased_before()), so the silent ones are waited for from then on.
 */
HF_STATUS hf_cluster_wait_applied(struct hf_cluster *cluster, struct hf_op *op, uint64_t seq,
                                  uint64_t announced_ms);

/*
 * Up to which commit everything is known here to be in force on every node: no node that has a
 * lease shows less. It never goes back but with hf_cluster_forget(). No lock is taken.
 */
uint64_t hf_cluster_in_force(struct hf_cluster *cluster);
/*
 * Returns once done() says so, which is asked whenever there is news of this layer; false at that
 * time of the boottime clock, or at the stop.
 */
bool hf_cluster_wait_until(struct hf_cluster *cluster, bool (*done)(void *context), void *context,
                           uint64_t until_ms);

/* --- born proven --- */

/*
 * The feed has a version that every node has to try, committed as candidate with this seq; in any
 * order, but before follow() gives a higher seq as applied.
 */
void hf_cluster_candidate(struct hf_cluster *cluster, uint64_t seq);

/*
 * A version that others have promoted does not open here: for status, as text, until the node is
 * locked. A restart tries it again.
 */
void hf_cluster_unopened(struct hf_cluster *cluster, const char *text);

struct hf_cluster_proof {
    bool promote;     /* else abandon, and: */
    size_t proven_on; /* nodes that opened it, */
    size_t of;        /* of so many that serve it */
    char failed[HF_NODE_NAME_MAX + 1];
    char reason[HF_CLUSTER_REASON_MAX]; /* "corrupt", "unavailable", ...; "silent": no report */
};

/*
 * Waits for the reports on a candidate that has been committed without doubt, and decides: promote
 * when every node alive of those that serve it has opened it, and at least one has; abandon when
 * one says that it cannot, or is alive and silent for HF_CLUSTER_PROVE_MS: one that has come back,
 * or was started, has so long from then on. A node is alive while its heartbeats grow; nothing is
 * decided by silence unless this node has had a lease for a while, so that it is not the one who is
 * cut off. serve_on NULL: all members. HF_UNAVAILABLE at the deadline or after
 * HF_CLUSTER_PROVE_LIMIT_MS, HF_LATER.
 */
HF_STATUS hf_cluster_prove(struct hf_cluster *cluster, struct hf_op *op, uint64_t seq,
                           const char *const *serve_on, size_t count, struct hf_cluster_proof *out);
