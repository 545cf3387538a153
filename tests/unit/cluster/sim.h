/*
 * A cluster in one process: three nodes with the real cluster layer, a model of the replicated
 * store, a clock of its own, and faults, all out of one seed. The same seed gives the same run.
 *
 * sim_store.c is the model of the store, sim_node.c a node with its clients, sim.c the clock and
 * the adversary, sim_rules.c what must hold, history.c whether an order explains what was seen. In
 * the end the faults stop, and all has to come right by itself.
 */
#pragma once

#include <stdio.h>

#include "cluster/cluster.h"
#include "fiber.h"
#include "history.h"

#define SIM_NODES    3
#define SIM_KEYS     2
#define SIM_VERSIONS 64
#define SIM_END_MS   15000 /* of the faults */
#define SIM_LIMIT_MS 45000 /* by then all nodes have come right */
#define SIM_LATE     16
#define SIM_ACKS     256

enum sim_fault {
    SIM_LOST,            /* a message to the store */
    SIM_ANSWER_LOST,     /* it happened, nobody was told */
    SIM_LATE_MESSAGE,    /* it happens after its sender gave up */
    SIM_DOUBLED,         /* it happens twice */
    SIM_AMBIGUOUS,       /* a failover met a commit in flight */
    SIM_WENT_BACK,       /* a failover took what was above the durable part */
    SIM_OLD_PRIMARY,     /* a node still talked to the replaced one */
    SIM_STOPPED,         /* a node stood still */
    SIM_STOPPED_BETWEEN, /* between the check and the answer */
    SIM_LEASE_ENDED,     /* between the first question and the answer */
    SIM_ROW_DELETED,
    SIM_ROW_FORGED,
    SIM_OPEN_FAILED, /* a node could not open a candidate */
    SIM_MIRROR_LOST, /* a node came back without its copy */
    SIM_MEMBER_REMOVED,
    SIM_SENT_AWAY,      /* a member that was silent is waited for no longer */
    SIM_CAME_BACK,      /* and comes back by itself */
    SIM_ACKED_WITHOUT,  /* acknowledged by reports while one was away */
    SIM_STALE_ANSWER,   /* given without a lease */
    SIM_WAITED_OUT,     /* acknowledged by time */
    SIM_APPLIED_BY_ALL, /* acknowledged by reports */
    SIM_ANNOUNCED,      /* acknowledged by the time since the candidate was known */
    SIM_HELD_BACK,      /* not given: the key has a candidate, and no lease is old enough */
    SIM_REPEATED,       /* a request was repeated and had happened */
    SIM_REVOKED,        /* acknowledged: nothing of the key may be used */
    SIM_RESTORED,       /* acknowledged: it may again */
    SIM_REFUSED,        /* a use of a revoked key */
    SIM_USED_REVOKED,   /* without a lease, after its revocation was acknowledged */
    SIM_WAITED_TO_SHOW, /* an answer, until what it shows was in force */
    SIM_MARKED,         /* one that was given before */
    SIM_FAULTS,
};

extern const char *const sim_fault_names[SIM_FAULTS];

/* The calls of the store, in each of which a node may die. */
enum sim_call {
    SIM_CALL_BEAT, /* the heartbeat for the lease */
    SIM_CALL_NEWS, /* one that waits for no standby */
    SIM_CALL_LOOK, /* at everybody's heartbeats */
    SIM_CALL_COMMIT,
    SIM_CALL_READ, /* of the feed */
    SIM_CALLS,
};

extern const char *const sim_call_names[SIM_CALLS];

/* When it dies: nothing has happened yet, or it has and the node did not hear of it. */
enum sim_moment { SIM_BEFORE, SIM_AFTER, SIM_MOMENTS };

extern const char *const sim_moment_names[SIM_MOMENTS];

/* What a mutant does wrong. */
enum sim_mutation {
    SIM_SOUND,
    SIM_LEASE_FROM_AFTER, /* the lease counts from after the heartbeat was sent */
    SIM_ACK_AT_ONCE,      /* a change is acknowledged without waiting */
    SIM_ACK_EARLY,        /* or after most of the lease */
    SIM_NOT_ASKED_AGAIN,  /* an answer leaves though the lease has ended */
    SIM_ANY_LEASE,        /* or another lease is taken for the first one */
    SIM_ABOVE_WATERMARK,  /* what is not confirmed is applied */
    SIM_MAC_UNCHECKED,    /* every row is believed */
    SIM_DOUBT_IS_SUCCESS, /* a commit whose end was not seen is acknowledged */
    SIM_REPEAT_ANEW,      /* a repeat has another request id */
    SIM_APPLIED_TOO_SOON, /* what is reported applied is not yet */
    SIM_AWAY_LEASED,      /* a node that is away takes leases */
    SIM_BACK_TOO_SOON,    /* a node counts as back as soon as it asks to be */
    SIM_SHRUNK_AT_ONCE,   /* whoever left the list is taken to have no lease any more */
    SIM_NOT_HELD_BACK,    /* a node tells of a key whatever candidate it knows of */
    SIM_SHOWN_TOO_SOON,   /* an answer does not wait until what it shows is in force */
    SIM_REVOKED_TOO_SOON, /* a revocation is acknowledged as a promotion is */
    SIM_ALWAYS_STALE,     /* without a lease it serves for as long as it likes */
    SIM_NOBODY_ASKED,     /* a version is promoted when its maker has opened it */
    SIM_PASSED_OVER,      /* a change is reported applied and was passed over */
    SIM_STAYS_AWAY,       /* a node that was sent away does not come back */
    SIM_MUTATIONS,
};

extern const char *const sim_mutation_names[SIM_MUTATIONS];
/* The rule that finds it, NULL: any. */
extern const char *const sim_mutation_rules[SIM_MUTATIONS];

enum sim_kind { SIM_BATCH, SIM_BEAT, SIM_DELETE };

/* What a batch leaves. */
struct sim_record {
    int key;           /* -1: the list of members */
    uint64_t revision; /* of the record */
    uint32_t primary;  /* version */
    uint32_t newest;   /* the highest version number ever given */
    bool pending;      /* the newest is a candidate */
    bool revoked;      /* nothing of the key may be used */
    uint64_t shown;    /* revision of the last change that clients see */
    uint64_t material; /* of the newest */
    uint64_t rotation; /* what a client asked for once */
    unsigned members;  /* bits */
    unsigned away;     /* bits: members that nobody waits for */
};

/* One entry of the log that is replicated. */
struct sim_entry {
    enum sim_kind kind;
    uint64_t seq; /* of the last batch, this one included */
    uint64_t request;
    struct sim_record record;
    int node; /* of a heartbeat */
    struct hf_beat beat;
};

struct sim_branch {
    struct sim_entry *entries;
    size_t len;
    size_t room;
    size_t durable; /* entries that no failover can take */
    uint64_t epoch;
};

struct sim_late {
    bool used;
    uint64_t at_ms;
    struct sim_entry entry;
};

struct sim_store {
    struct sim_branch now;
    struct sim_branch old; /* of the replaced primary */
    bool has_old;
    struct sim_late late[SIM_LATE];
    uint8_t **bodies; /* of heartbeats, all */
    size_t body_count;
};

struct sim;
struct sim_node;

struct sim_fiber {
    struct fiber *fiber;
    struct sim *sim;
    struct sim_node *node; /* NULL: of nobody */
    uint64_t wake_ms;
    bool idle;    /* the ticker between two turns */
    bool waiting; /* for news higher than: */
    uint64_t news;
};

/* What lasts on a node. */
struct sim_mirror {
    uint64_t applied;
    struct sim_record keys[SIM_KEYS];
    uint64_t materials[SIM_KEYS][SIM_VERSIONS];
    uint64_t candidates[SIM_KEYS]; /* the commit of a pending one */
    uint64_t shown[SIM_KEYS];      /* the commit of the last change that clients see */
    struct sim_record list;        /* of members */
    uint8_t stamp[64];
    size_t stamp_len;
};

enum { SIM_TICKER, SIM_READER, SIM_WRITER, SIM_KEEPER, SIM_FLOWS };

struct sim_node {
    struct sim *sim;
    int index;
    char name[8];
    struct hf_engine engine; /* the wrappers of the store use it */
    struct hf_env env;
    struct hf_cluster *cluster; /* NULL: down */
    struct sim_mirror mirror;
    struct sim_fiber flows[SIM_FLOWS];
    bool dead;   /* its flows have to end */
    bool on_old; /* it can only reach the replaced primary */
    uint64_t seen_epoch;
    uint64_t confirmed; /* by commits of its own */
    uint64_t restart_ms;
    uint64_t stopped_until_ms;
    uint64_t hidden_until_ms; /* its row was written over: it may seem dead */
    uint64_t clock_offset_ms;
    uint64_t clock_rate; /* thousandths */
    uint64_t clock_lost_ms;
    uint64_t up_to;                          /* of a mutant: what it will have applied */
    uint64_t opened[SIM_KEYS][SIM_VERSIONS]; /* materials of the candidates that it has */
};

struct sim_ack {
    uint64_t seq;
    uint64_t request;
};

/* What clients see once it has happened. */
struct sim_change {
    uint64_t request;
    uint64_t begin;
    uint64_t end; /* when it was acknowledged */
};

/* The newest revocation that was acknowledged; revision 0: none was. */
struct sim_revoked {
    uint64_t revision;
    uint64_t at_ms;
};

/* A client asks for something of a key. */
struct sim_use {
    int key;
    uint64_t begin;
    uint64_t began_ms;
    struct sim_revoked revoked; /* by then */
};

/* Data keys were wrapped with the version. */
struct sim_handed {
    bool is;
    uint64_t material;
};

struct sim {
    uint64_t seed;
    uint64_t random;
    uint64_t calm; /* faults are so many times rarer than in the worst run */
    enum sim_mutation mutation;
    uint64_t now_ms;
    bool quiet; /* the faults are over */
    bool ending;
    struct sim_store store;
    struct sim_node nodes[SIM_NODES];
    struct sim_fiber adversary;
    struct sim_fiber *current;
    uint64_t next_request;
    uint32_t floor[SIM_KEYS]; /* the newest version whose rotation was acknowledged */
    uint64_t acked_seq;
    struct sim_ack acks[SIM_ACKS];
    size_t ack_count;
    uint64_t steps;
    struct history histories[SIM_KEYS]; /* the numbers are revisions */
    struct sim_change *changes;
    size_t change_count;
    struct sim_revoked revoked[SIM_KEYS];
    uint64_t restoring[SIM_KEYS]; /* the revision that somebody has asked for */
    struct sim_handed handed[SIM_KEYS][SIM_VERSIONS];
    uint32_t newest_handed[SIM_KEYS];
    uint32_t newest_shown[SIM_KEYS]; /* the newest handed out without a mark */
    uint64_t digest;                 /* of all histories */
    uint64_t answers;
    uint64_t opens;
    uint64_t faults[SIM_FAULTS];
    uint64_t crashes[SIM_CALLS][SIM_MOMENTS];
    bool traced;
    char problem[256]; /* empty: all is well */
};

/* sim.c */

/* Runs one seed; the first thing that does not hold is in problem. */
void sim_run(struct sim *sim, uint64_t seed, enum sim_mutation mutation, bool traced);
uint64_t sim_random(struct sim *sim, uint64_t below);
/* True once in about so many times. */
bool sim_chance(struct sim *sim, uint64_t once_in);
/* The same; counts the fault. */
bool sim_happens(struct sim *sim, enum sim_fault fault, uint64_t once_in);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of the flow that is running: time passes. */
void sim_sleep(struct sim *sim, uint64_t ms);
void sim_sleep_until(struct sim *sim, uint64_t at_ms);

/* sim_rules.c */
void sim_rules_done(struct sim *sim);
/* Now, as one of the moments of a history: each comes after the one before. */
uint64_t sim_step(struct sim *sim);
/* A change that clients will see is asked for under that request; gives its place. */
size_t sim_note_change(struct sim *sim, uint64_t request, uint64_t begin);
/* It is acknowledged. */
void sim_note_answer(struct sim *sim, size_t change);
void sim_note_revoked(struct sim *sim, int key, uint64_t revision);
void sim_note_restoring(struct sim *sim, int key, uint64_t revision);
struct sim_use sim_begin_use(struct sim *sim, int key);
/* Its answer leaves now, without a mark, and tells of the key as of that revision. */
void sim_note_look(struct sim *sim, const struct sim_use *use, uint64_t shown);
/* Its answer leaves now: a version of the key was used. */
void sim_check_use(struct sim_node *node, const struct sim_use *use,
                   const struct hf_standing *grant, uint64_t max_stale_ms);
/* A data key made with the version leaves. */
void sim_hand_out(struct sim_node *node, int key, uint32_t version, uint64_t material, bool marked);
/* Does the node have the version as it was handed out? */
bool sim_opens(const struct sim_node *node, int key, uint32_t version);
void sim_check_leases(struct sim *sim, const char *when);
/* The node promotes the version, the candidate of which was committed then. */
void sim_check_proof(const struct sim_node *maker, const struct sim_record *record,
                     uint64_t committed_ms);
/* Is each node up, has it applied all, and does each member have a lease? */
bool sim_is_settled(const struct sim *sim);
void sim_check_all_open(struct sim *sim);
void sim_check_order(struct sim *sim);

/* sim_store.c */
extern const struct hf_engine_ops sim_engine;
void sim_store_init(struct sim *sim);
void sim_store_done(struct sim *sim);
/* A batch of one record; HF_CONFLICT, HF_UNAVAILABLE, HF_IN_DOUBT. */
HF_STATUS sim_commit(struct sim_node *node, struct hf_op *op, uint64_t request,
                     const struct sim_record *record, uint64_t *out_seq);
/* The batch with the seq, as the node can read it now; false: it cannot. */
bool sim_read(struct sim_node *node, struct hf_op *op, uint64_t seq, struct sim_entry *out);
void sim_failover(struct sim *sim);
void sim_deliver_late(struct sim *sim);
void sim_forge_row(struct sim *sim, int node);
void sim_delete_row(struct sim *sim, int node);
/* What the key stands at on the primary. */
struct sim_record sim_newest(const struct sim *sim, int key);
const struct sim_entry *sim_batch(const struct sim_branch *branch, uint64_t seq, size_t *out_at);

/* sim_node.c */
void sim_node_init(struct sim *sim, int index);
void sim_node_start(struct sim_node *node);
void sim_node_stop(struct sim_node *node); /* once its flows have ended */
uint64_t sim_node_clock_ms(const struct sim_node *node);
uint64_t sim_node_true_ms(const struct sim_node *node, uint64_t clock_ms);
void sim_crash(struct sim_node *node);
