/*
 * A cluster in one process: three nodes with the real cluster layer, a model of the replicated
 * store, a clock of its own, and faults, all out of one seed. The same seed gives the same run.
 *
 * sim_store.c is the model of the store, sim_node.c a node with its clients, sim.c the clock, the
 * adversary and what must always hold.
 */
#pragma once

#include <stdio.h>

#include "cluster/cluster.h"
#include "fiber.h"

#define SIM_NODES    3
#define SIM_KEYS     2
#define SIM_VERSIONS 64
#define SIM_END_MS   15000
#define SIM_LATE     16
#define SIM_ACKS     256

enum sim_fault {
    SIM_LOST,            /* a message to the store */
    SIM_ANSWER_LOST,     /* it happened, nobody was told */
    SIM_LATE_MESSAGE,    /* it happens after its sender gave up */
    SIM_DOUBLED,         /* it happens twice */
    SIM_CRASH_BEFORE,    /* of a node in a store call, before its effect */
    SIM_CRASH_AFTER,     /* the same after its effect */
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
    SIM_FAULTS,
};

extern const char *const sim_fault_names[SIM_FAULTS];

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
    SIM_MUTATIONS,
};

extern const char *const sim_mutation_names[SIM_MUTATIONS];

enum sim_kind { SIM_BATCH, SIM_BEAT, SIM_DELETE };

/* What a batch leaves. */
struct sim_record {
    int key;           /* -1: the list of members */
    uint64_t revision; /* of the record */
    uint32_t primary;  /* version */
    uint32_t newest;   /* the highest version number ever given */
    bool pending;      /* the newest is a candidate */
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
    uint64_t clock_offset_ms;
    uint64_t clock_rate; /* thousandths */
    uint64_t clock_lost_ms;
    uint64_t up_to; /* of a mutant: what it will have applied */
};

struct sim_ack {
    uint64_t seq;
    uint64_t request;
};

struct sim {
    uint64_t seed;
    uint64_t random;
    uint64_t calm; /* faults are so many times rarer than in the worst run */
    enum sim_mutation mutation;
    uint64_t now_ms;
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
    uint64_t answers;
    uint64_t faults[SIM_FAULTS];
    bool traced;
    char problem[256]; /* empty: all is well */
};

/* sim.c */

/* Runs one seed; the first thing that does not hold is in problem. */
void sim_run(struct sim *sim, uint64_t seed, enum sim_mutation mutation, bool traced);
uint64_t sim_random(struct sim *sim, uint64_t below);
/* True once in about so many times; counts the fault. */
bool sim_happens(struct sim *sim, enum sim_fault fault, uint64_t once_in);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of the flow that is running: time passes. */
void sim_sleep(struct sim *sim, uint64_t ms);
void sim_sleep_until(struct sim *sim, uint64_t at_ms);
void sim_check_leases(struct sim *sim, const char *when);

/* sim_store.c */
extern const struct hf_engine_ops sim_engine;
void sim_store_init(struct sim *sim);
void sim_store_done(struct sim *sim);
/* A batch of one record; HF_CONFLICT, HF_UNAVAILABLE, HF_IN_DOUBT. */
HF_STATUS sim_commit(struct sim_node *node, struct hf_op *op, uint64_t request,
                     const struct sim_record *record, uint64_t *out_seq);
/* The batch with the seq, as the node can read it now; NULL: it cannot. */
const struct sim_entry *sim_read(struct sim_node *node, struct hf_op *op, uint64_t seq);
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
