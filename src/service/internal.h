/*
 * What the operations share: a call as policy and audit see it, the shape of control operations,
 * approvals and the memory of repeats.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/metrics.h"
#include "service/service.h"

struct hf_cluster;
struct hf_cookies;
struct hf_repeats;

struct hf_job;
struct hf_drill_watch;

#define HF_OUTCOMES 3 /* ok, denied, failed */
#define HF_JOBS     6

struct hf_service {
    struct hf_seal *seal;
    struct hf_keys *keys;
    struct hf_policy *policy;
    struct hf_audit *audit;
    struct hf_cookies *cookies; /* NULL: none are issued */
    struct hf_cluster *cluster; /* NULL: the store is this node's alone */
    unsigned max_waiting;       /* 0: no limit */
    atomic_uint waiting;        /* changes that wait: hf_waiting_enter() */
    char *node;
    bool shared_store;
    atomic_bool removed;    /* from the list of members, as last seen: hf_service_node_leave() */
    pthread_mutex_t feeder; /* guards the next two; one at a time brings notes into the trail */
    uint64_t fed;           /* the commit up to which there is nothing more to bring */
    uint64_t fed_note;      /* as long as this is the last note of the trail */
    struct hf_repeats *repeats;
    struct hf_revocations *revocations;
    const struct hf_store_settings *store;
    struct hf_service_outside outside;
    char *site;
    const struct hf_pkey *signer;
    const struct hf_drill_slot *slots;
    size_t slot_count;
    uint32_t min_ways;
    uint64_t drill_every_ms;
    struct {
        pthread_mutex_t lock; /* guards running and id */
        bool running;         /* this node's part, one at a time */
        char id[17];          /* of the drill that it is of */
        atomic_bool stop;     /* it, and the jobs */
        _Atomic uint64_t slots, slots_done, versions, versions_done;
        _Atomic uint64_t looked_seq; /* up to this commit no part is asked of this node */
    } drill;
    struct hf_drill_watch *watch; /* of the thread that runs jobs; drill_run.c */
    struct hf_job *jobs;          /* HF_JOBS; job.h */
    struct hf_metric *_Atomic metrics[HF_ACTION_COUNT][HF_OUTCOMES];
};

/* --- call.c --- */

/* One call: who is in op, what and on which key is here. Strings are the caller's. */
struct hf_call {
    struct hf_service *service;
    enum hf_action action;
    const char *keyring; /* NULL: none */
    const char *key;
    bool has_version;
    uint32_t version;
    uint64_t count; /* of a batch; 0: no batch */
    const char *detail;
};

/* HF_WRONG_STATE while locked. */
HF_STATUS hf_call_unlocked(struct hf_service *service, struct hf_op *op);
/*
 * The node is unlocked and policy allows the call. A denial is audited with the rule that denied,
 * and op keeps only the sentence that every denied caller gets.
 */
HF_STATUS hf_call_allow(const struct hf_call *call, struct hf_op *op);
/* The same question without a record: for what an answer may also hold. */
bool hf_call_may(const struct hf_call *call, struct hf_op *op, enum hf_action action);
/* Records how a call that was allowed ended; a success that cannot be recorded becomes a failure.
 */
HF_STATUS hf_call_end(const struct hf_call *call, struct hf_op *op, struct hf_status status);
/* The same, and the record is on disk before it returns, unless the node goes on without records.
 */
HF_STATUS hf_call_end_synced(const struct hf_call *call, struct hf_op *op, struct hf_status status);
/* The same, and without its record on disk the call fails, whatever the setting says. */
HF_STATUS hf_call_end_on_disk(const struct hf_call *call, struct hf_op *op,
                              struct hf_status status);
/* Counts in the metrics only. */
void hf_call_count(const struct hf_call *call, struct hf_op *op, enum hf_code code);
void hf_call_event(const struct hf_call *call, const struct hf_op *op, const char *outcome,
                   struct hf_audit_event *out);

/* --- nature.c --- */

/* What an action is, to leases and to the nodes that serve a keyring. */
enum hf_nature {
    HF_NATURE_OWN,    /* this node's own affair, or tells of it */
    HF_NATURE_LOOK,   /* tells of keyrings and keys */
    HF_NATURE_OPEN,   /* uses the version that the caller names */
    HF_NATURE_WRAP,   /* uses the newest one */
    HF_NATURE_CHANGE, /* without key material */
    HF_NATURE_MAKE,   /* changes, or gives away, with it */
};
enum hf_nature hf_nature_of(enum hf_action action);
/* Whether that takes a lease: HF_NATURE_CHANGE and HF_NATURE_MAKE. */
bool hf_nature_changes(enum hf_nature nature);

/* --- standing.c --- */

/*
 * Whether the call needs no lease, or this node holds one now: noted in op->standing. Asked before
 * anything is read for the answer.
 */
bool hf_standing_is_leased(const struct hf_call *call, struct hf_op *op);
/*
 * Without a lease: waits for one where something is to be changed, else looks whether the call may
 * be served without. HF_UNAVAILABLE says why not; HF_LATER.
 */
HF_STATUS hf_standing_get(const struct hf_call *call, struct hf_op *op);
/* How long the keyring of the call may be served without a lease. */
void hf_standing_limits(const struct hf_call *call, struct hf_op *op,
                        struct hf_keyring_settings *out);
void hf_standing_count_stale(struct hf_op *op);
/* A refusal that speaks of what this node does not know of: HF_NOT_FOUND, HF_WRONG_STATE. */
bool hf_standing_is_doubtful(struct hf_status status);
/* Makes it HF_UNAVAILABLE, so that clients go on to another node. why: "this node ..." */
HF_STATUS hf_standing_unsure(struct hf_op *op, const char *why);
/* What a node without a lease does not find, or may not use, may be there by now. */
HF_STATUS hf_standing_doubt(struct hf_op *op, struct hf_status status);
/* Immediately before the answer: does what was noted still hold? HF_UNAVAILABLE. */
HF_STATUS hf_standing_check(const struct hf_call *call, struct hf_op *op);
/*
 * Whoever waits for something that may never come holds a worker, and without one nobody opens what
 * is not at hand: only so many at a time. HF_UNAVAILABLE.
 */
HF_STATUS hf_waiting_enter(struct hf_service *service, struct hf_op *op);
void hf_waiting_leave(struct hf_service *service);
/* Returns when the commit is in force on every node; HF_IN_DOUBT as hf_cluster_wait_applied(). */
HF_STATUS hf_standing_in_force(struct hf_service *service, struct hf_op *op, uint64_t seq,
                               uint64_t announced_ms);

/* --- agreed.c --- */

/*
 * Before anything is read for an answer that tells of a key: waits a moment for what becomes of its
 * candidate, if that may have been promoted without this node. HF_LATER when that, or the answer
 * in the end, would have to wait for the other nodes, and may not; HF_UNAVAILABLE as below.
 */
HF_STATUS hf_agreed_begin(const struct hf_call *call, struct hf_op *op);
/*
 * Before an answer tells of a key what this node knows: waits a moment until every node that has a
 * lease knows it too, so that none shows an older state later. Gives back the status, or
 * HF_UNAVAILABLE where that was in vain and the keyring allows no marked answers (op->standing).
 */
HF_STATUS hf_agreed_end(const struct hf_call *call, struct hf_op *op, struct hf_status status);

/* --- serve_on.c --- */

/*
 * Whether this node serves the keyring. A store that is this node's alone is served by it, whatever
 * its keyrings say: nobody else is there.
 */
bool hf_serve_on_is_ours(struct hf_service *service, const struct hf_op *op, const char *keyring);
/* HF_UNAVAILABLE names the nodes that serve the keyring, when this one does not. */
HF_STATUS hf_serve_on_need(struct hf_service *service, struct hf_op *op, const char *keyring);
/* The same for calls that use key material, recorded; all others pass. */
HF_STATUS hf_serve_on_check(const struct hf_call *call, struct hf_op *op);
/*
 * Settings of the keyring that are to be: a list that is not the one of before names members only.
 * HF_INVALID names the one that is none, or was removed. Waits.
 */
HF_STATUS hf_serve_on_check_settings(struct hf_service *service, struct hf_op *op,
                                     const char *keyring,
                                     const struct hf_keyring_settings *settings);
/* HF_WRONG_STATE names the keyrings that nobody would serve without that member. Waits. */
HF_STATUS hf_serve_on_check_removal(struct hf_service *service, struct hf_op *op, const char *node);

/* --- feed.c --- */

/* The history is another one from this commit on: what follows is brought into the trail, too. */
void hf_service_feed_from(struct hf_service *service, uint64_t seq);

/* --- control.c --- */

/*
 * A change: staged by stage() (again, when somebody else was first), committed with its note, and
 * answered with number: a version, or how many. The caller has asked policy before.
 */
struct hf_control {
    struct hf_call call;
    struct hf_status (*stage)(struct hf_control *control, struct hf_op *op, struct hf_txn *txn);
    void *context;
    struct hf_buf *asked; /* what tells this request from others, besides action, keyring and key */
    bool gives_version;   /* number is a version, and the record names it */
    uint32_t number;      /* set by stage(), or remembered from the first time */
    uint64_t seq;         /* of the commit */
    bool repeated;
    bool is_abandoned; /* the version it made is not used, for good */
};
/* Takes the call through; failures are audited. HF_LATER where op may not wait. */
HF_STATUS hf_control_run(struct hf_control *control, struct hf_op *op);
/*
 * Only the commit, or what is remembered of it: nobody waits until it is in force, and a failure is
 * not audited.
 */
HF_STATUS hf_control_commit(struct hf_control *control, struct hf_op *op);
/* The record of how it ended; a repeat is answered once the first time is in force everywhere. */
HF_STATUS hf_control_end(const struct hf_control *control, struct hf_op *op,
                         struct hf_status status);
/*
 * Whether the request under op's id went through before; number is set then. Asked first by those
 * who look at the state of things before they change it. Waits.
 */
bool hf_control_has_happened(struct hf_control *control, struct hf_op *op);
/*
 * Records that the first result was given again, once that is in force everywhere: its note tells
 * of the first time only.
 */
HF_STATUS hf_control_end_repeated(const struct hf_control *control, struct hf_op *op);
/* From stage(): what the change answers. */
void hf_control_answer(struct hf_control *control, uint32_t number);
/* Puts a secret into what was asked, as a value that tells nothing about it. */
HF_STATUS hf_control_ask_secret(struct hf_control *control, struct hf_op *op,
                                const struct hf_secret *secret);

/* --- born.c --- */

/*
 * A change that makes a version. On a store of this node's own that is hf_control_run(). Else
 * stage() has staged a candidate: this promotes it once every node alive has opened it, and
 * abandons it when one cannot (HF_UNAVAILABLE names the node and its reason). The same request
 * again makes another one then.
 */
HF_STATUS hf_born_run(struct hf_control *control, struct hf_op *op);

/* --- approval.c --- */

/* What needs two people, exactly as it was asked. */
struct hf_ask {
    const char *operation; /* the action's name */
    const char *keyring;   /* "" where there is none */
    const char *key;
    uint32_t version;
    uint8_t digest[HF_DIGEST_LEN]; /* of everything else that was asked */
};
#define HF_APPROVAL_ID 33 /* hex and terminator */
/* The parts, unambiguously, into ask->digest. */
HF_STATUS hf_ask_digest(struct hf_service *service, struct hf_op *op, struct hf_ask *ask,
                        struct hf_bytes parts);
/* Gives the id of an approval of exactly this for the caller that can be used now, or "". */
HF_STATUS hf_approval_find(struct hf_service *service, struct hf_op *op, const struct hf_ask *ask,
                           char out_id[HF_APPROVAL_ID]);
/* Stages that the approval is used up. HF_WRONG_STATE when somebody was quicker. */
HF_STATUS hf_approval_use(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                          const char *id);
/* Asks for an approval, or finds the one that waits. Never succeeds: code, and the id in the text.
 */
HF_STATUS hf_approval_wait(const struct hf_call *call, struct hf_op *op, const struct hf_ask *ask,
                           enum hf_code code);

/* --- slot.c --- */

/* HF_EXISTS when a slot has the name, or it as its id. */
HF_STATUS hf_slot_check_name(struct hf_service *service, struct hf_op *op, const char *name);
/*
 * Who may open the root is the affair of two people where any keyring says so. Gives the id of the
 * approval to be used by stage(), or "" where none is needed; key and parts are what is asked.
 * Fails when the approval still has to be given; nobody is asked for what stage(), run here for a
 * trial while out_approval is "", refuses. Failures are audited.
 */
HF_STATUS hf_slot_pass_approval(struct hf_control *control, struct hf_op *op, const char *key,
                                struct hf_bytes parts, char out_approval[HF_APPROVAL_ID]);

/* --- member.c --- */

/* HF_WRONG_STATE while this node is to leave. Waits. */
HF_STATUS hf_node_check_serving(struct hf_service *service, struct hf_op *op);

/* --- enroll.c --- */

enum hf_membership {
    HF_STANDS_ALONE,   /* the store is this node's: it has no members */
    HF_STANDS_FIRST,   /* nobody has taken the first place yet, so this node may */
    HF_STANDS_MEMBER,  /* it is on the list, with the key that it has */
    HF_STANDS_KEYLESS, /* its configuration names no slot of protector "node" */
    HF_STANDS_REMOVED, /* its key was, whoever has its name now */
    HF_STANDS_APART,   /* there is a list, and it is not on it */
};
/* Where this node stands in the list of members, and how long that is. Waits. */
HF_STATUS hf_node_membership(struct hf_service *service, struct hf_op *op, enum hf_membership *out,
                             size_t *out_members);

/* --- export.c --- */

/*
 * The material of a version that the caller of call has just made: recorded on disk as an export
 * before *out is set. HF_DENIED where the keyring asks for two people.
 */
HF_STATUS hf_export_made(const struct hf_call *call, struct hf_op *op, uint32_t version,
                         struct hf_secret **out);

/* --- job.c --- */

void hf_jobs_start(struct hf_service *service);
void hf_jobs_stop(struct hf_service *service);

/* --- drill_run.c --- */

void hf_drill_watch_free(struct hf_drill_watch *watch);

/* --- repeat.c --- */

/* max: how many requests are remembered at most. */
struct hf_repeats *hf_repeats_new(size_t max);
void hf_repeats_free(struct hf_repeats *repeats);
/* The digest of what was asked under this id, if a door has begun it as repeatable. */
bool hf_repeats_asked(struct hf_repeats *repeats, const struct hf_request_id *id,
                      uint8_t out[HF_CHECK_VALUE_LEN]);
/* How the change of such a request has ended. */
void hf_repeats_conclude(struct hf_repeats *repeats, const struct hf_request_id *id,
                         struct hf_status status);

/* --- revocation.c --- */

struct hf_revocations *hf_revocations_new(void);
void hf_revocations_free(struct hf_revocations *revocations);
struct hf_revocations_view {
    size_t count;
    uint64_t until_seq; /* none of them lasts beyond this commit */
    bool unread;        /* what was kept cannot be read */
};
/* Another history is followed from now on: their commits' numbers mean something else in it. */
void hf_revocations_warn(struct hf_revocations *revocations, const struct hf_op *op);
void hf_revocations_look(struct hf_revocations *revocations, struct hf_revocations_view *out);

/* --- repeat_id.c --- */

/*
 * Between staging a change of the key and its commit. Where the key has moved on since the id of
 * such a request was derived, another node may have done the same request on top of that: then
 * op->request_id becomes that one's id. What moves the key on afterwards, the commit conflicts
 * with.
 */
HF_STATUS hf_repeats_check(struct hf_service *service, struct hf_op *op, const char *keyring,
                           const char *key);
