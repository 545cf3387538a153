/*
 * The parts of the cluster layer, for its own files only.
 *
 * cluster.c makes the turns, row.c writes and reads heartbeat rows, lease.c has leases and service
 * without one, wait.c acknowledgement, proof.c candidates.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "cluster/cluster.h"

#define HF_CLUSTER_INSTANCE_LEN 16
/* Failures a row tells of; older ones count as not reported. */
#define HF_CLUSTER_FAILURES 32

struct hf_cluster_failure {
    uint64_t seq;
    char reason[HF_CLUSTER_REASON_MAX];
};

/* What a node says of candidates: those up to proved were tried, and all but these opened. */
struct hf_cluster_report {
    uint64_t proved;
    uint64_t forgotten; /* candidates up to here may have failed without being named */
    struct hf_cluster_failure failures[HF_CLUSTER_FAILURES];
    size_t count;
};

/* A heartbeat row. */
struct hf_cluster_row {
    char node[HF_NODE_NAME_MAX + 1];
    char site[HF_NODE_NAME_MAX + 1];
    uint8_t instance[HF_CLUSTER_INSTANCE_LEN]; /* of the process */
    uint8_t boot_id[HF_BOOT_ID_LEN];
    bool leased; /* as of the writing; for people */
    bool holds;  /* keeps to hf_cluster_leased_before() */
    uint64_t number;
    uint64_t confirmed;
    uint64_t applied;
    struct hf_cluster_report report;
};

/* Another member. */
struct hf_cluster_peer {
    char *name;
    bool seen;
    struct hf_cluster_row row; /* the last one believed */
    uint64_t grew_ms; /* when it last differed, on our clock; at first: when it was listed */
    uint64_t back_ms; /* since when it grows without a silence in between, by the same process */
    bool disbelieved; /* the row there was at the last look */
};

/* The last fresh moment, as it is kept. */
struct hf_cluster_stamp {
    bool known;
    uint8_t boot_id[HF_BOOT_ID_LEN];
    uint64_t boottime_ms;
    uint64_t realtime_ms;
    uint64_t opened; /* all versions of commits up to there had been opened */
};

/* What came into use while this node was not there to open it as a candidate. */
struct hf_cluster_missed {
    uint64_t after; /* by commits after this one; */
    bool has_begun; /* some of it was tried, */
    bool is_over;   /* all of it was */
    uint64_t unopened;
    char text[200]; /* of the first that did not open */
};

/* As many as can last at one time: one begins with each heartbeat. */
#define HF_CLUSTER_GRANTS (HF_CLUSTER_LEASE_MS / HF_CLUSTER_BEAT_MS + 2)

/* A time of lease: from a heartbeat that saw the store at seq. */
struct hf_cluster_grant {
    uint64_t seq;
    uint64_t until_ms;
};

/* The synchronous heartbeat whose echo is awaited. */
struct hf_cluster_echo {
    bool awaited;
    uint64_t number;
    uint64_t sent_ms;
    uint64_t seq; /* of the store at its commit */
};

struct hf_cluster {
    struct hf_env *env;
    struct hf_engine *engine;
    const struct hf_cluster_calls *calls;
    void *context;
    char *node;
    char *site;
    uint8_t boot_id[HF_BOOT_ID_LEN];
    uint8_t instance[HF_CLUSTER_INSTANCE_LEN];
    uint64_t poll_ms;

    /* of the thread that ticks */
    uint64_t number; /* of the last heartbeat */
    uint64_t beat_due_ms;
    uint64_t tried_ms; /* when the last synchronous heartbeat was begun, whatever became of it */
    uint64_t kept_ms;  /* the fresh moment that was kept last */
    bool kept;
    struct hf_cluster_echo echo;
    uint64_t told_confirmed, told_applied, told_proved;

    atomic_bool stopping;
    _Atomic uint64_t in_force; /* grows with the lock held */
    pthread_mutex_t lock;      /* guards everything below */
    uint64_t news;             /* grows with whatever a waiter may wait for */
    bool listed;               /* we are a member */
    bool disbelieved;          /* our own row as the last look showed it */
    bool have_list;
    uint64_t lists;         /* how often a list named us that did not before, */
    uint64_t lists_applied; /* and how many of these with all that comes before are applied */
    bool forgotten;         /* hf_cluster_forget() was called since the last turn */
    struct hf_cluster_peer *peers; /* the other members */
    size_t peer_count;
    uint64_t heard_ms;  /* whatever the others had sent by then has been looked at */
    uint64_t listen_ms; /* a proof waits for a heartbeat of our own from then on */
    uint64_t shrunk_ms; /* until a while after this, one who left may have a lease, */
    uint64_t left_ms;   /* the same, leaving out who left before this process began */
    uint64_t confirmed; /* the watermark */
    uint64_t applied;
    uint64_t mark_seq;                                 /* what was applied here */
    uint64_t mark_ms;                                  /* at that time */
    uint64_t lease;                                    /* its number */
    uint64_t leased_since_ms;                          /* since when there is one of that number */
    uint64_t lease_until_ms;                           /* 0: there never was one */
    struct hf_cluster_grant grants[HF_CLUSTER_GRANTS]; /* the last ones */
    size_t next_grant;
    uint64_t able_until_ms; /* until then it would have one if it were listed */
    struct hf_cluster_stamp fresh;
    uint64_t serve_stale_until_ms;
    uint64_t *candidates; /* not tried yet, in order */
    size_t candidate_count;
    struct hf_cluster_report report;
    struct hf_cluster_missed missed;
};

static inline uint64_t hf_cluster_now_ms(struct hf_cluster *cluster)
{
    return hf_env_boottime_ms(cluster->env);
}

/* Wakes whoever waits; without the lock. */
void hf_cluster_tell(struct hf_cluster *cluster);
/* How much news there has been so far. */
uint64_t hf_cluster_news(struct hf_cluster *cluster);
/* The common waiting: until news come, at most poll_ms or until until_ms. */
void hf_cluster_sleep(struct hf_cluster *cluster, uint64_t news, uint64_t until_ms);
/* With the lock: the watermark is at least that. */
void hf_cluster_confirm(struct hf_cluster *cluster, uint64_t seq);

/* wait.c */

/* With the lock: looks how far everything is in force by now. */
void hf_cluster_note_in_force(struct hf_cluster *cluster);

/* row.c */

/* Our own row as the body of a heartbeat; the numbers are those of row. */
HF_STATUS hf_cluster_row_write(struct hf_cluster *cluster, struct hf_op *op,
                               const struct hf_cluster_row *row, struct hf_buf *out);
/* HF_CORRUPT for one that was not written by a node of this cluster. */
HF_STATUS hf_cluster_row_read(struct hf_cluster *cluster, struct hf_op *op,
                              const struct hf_beat *beat, struct hf_cluster_row *out);
void hf_cluster_stamp_write(const struct hf_cluster_stamp *stamp, struct hf_buf *out);
HF_STATUS hf_cluster_stamp_read(struct hf_op *op, struct hf_bytes bytes,
                                struct hf_cluster_stamp *out);

/* lease.c */

/* With the lock: all of what was acknowledged before the heartbeat was sent is applied here. */
void hf_cluster_grant_lease(struct hf_cluster *cluster, const struct hf_cluster_echo *echo);
/* With the lock: is there a lease? */
bool hf_cluster_is_leased(struct hf_cluster *cluster);
/* With the lock: since the last fresh moment; UINT64_MAX: not known. */
uint64_t hf_cluster_staleness_ms(struct hf_cluster *cluster);

/* proof.c */

/* Tries the candidates that are noted, for a while. */
void hf_cluster_try_candidates(struct hf_cluster *cluster, struct hf_op *op);
/* With the lock. */
uint64_t hf_cluster_proved(const struct hf_cluster *cluster);
/* Opens some of what was missed, unless that is over. */
HF_STATUS hf_cluster_open_missed(struct hf_cluster *cluster, struct hf_op *op);
/* With the lock: up to which commit everything has been opened here; for the stamp. */
uint64_t hf_cluster_opened(const struct hf_cluster *cluster);
