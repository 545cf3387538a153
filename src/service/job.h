/*
 * Jobs: the server's own work on a store that several nodes share. One node at a time does each,
 * and another one goes on where it stopped (docs/jobs.md).
 *
 * A lease of the store says who may begin. What keeps a node from going on that has lost it without
 * knowing is the job's record: every commit of a job writes it anew, and so does whoever claims the
 * job; a commit that builds on an older revision does not happen (the seal's fence).
 */
#pragma once

#include "service/internal.h"

/* The content of "job/<name>" (docs/formats/job.md). */
struct hf_job_record {
    char *node;         /* who did it last, or does it now */
    uint64_t fence;     /* of the lease under which it was claimed */
    uint64_t begun_ms;  /* when this run was begun, by whatever node */
    uint64_t active_ms; /* the last claim or commit */
    uint64_t ended_ms;  /* 0: it is under way */
    uint64_t done;      /* of this run: things */
    uint64_t total;     /* 0: not known */
    char *text;         /* why the last run failed; "" */
};
void hf_job_record_done(struct hf_job_record *record);
void hf_job_record_encode(const struct hf_job_record *record, struct hf_buf *out);
/* Into *out, which the caller ends with hf_job_record_done() also on failure. */
HF_STATUS hf_job_record_decode(struct hf_op *op, struct hf_bytes content,
                               struct hf_job_record *out);

/* A row of the table of jobs. */
struct hf_job_row {
    const char *name;
    uint64_t every_ms; /* how often a node looks whether there is something to do; 0: each turn */
    /*
     * Looks, and works for about a slice. Calls hf_job_claim() before it changes anything, and
     * nothing of it is done when that says no. *out_more: there is more to do now.
     */
    struct hf_status (*work)(struct hf_job *job, struct hf_op *op, bool *out_more);
};

/* What this node knows of a job. The thread that runs jobs owns it, but for what is atomic. */
struct hf_job {
    const struct hf_job_row *row;
    struct hf_service *service;
    struct hf_job_record record;
    struct hf_fence fence;
    char *path;
    char *lease;
    struct hf_buf *seen; /* what the work has to know at the next look */
    bool is_ours;
    bool is_wanted;                /* there was something to do in this turn */
    uint64_t renewed_ms;           /* boottime */
    uint64_t slice_until_ms;       /* boottime */
    uint64_t look_ms;              /* boottime: not before */
    uint64_t retry_ms;             /* look again in so long at the earliest; 0: as every_ms says */
    bool has_left;                 /* something that was due and could not be done */
    _Atomic uint64_t due_since_ms; /* realtime; 0: nothing to do that is known here */
    _Atomic uint64_t next_look_ms; /* realtime */
};

/*
 * This node is to do the job now; false when another node does. From then on every commit under op
 * is the job's. Asked again before each change: it also keeps the lease.
 */
HF_STATUS hf_job_claim(struct hf_job *job, struct hf_op *op, bool *out_ours);
/* How far it is; the next commit tells the others. */
void hf_job_tell(struct hf_job *job, const struct hf_op *op, uint64_t done, uint64_t total);
/*
 * What came of one key among many: a failure that is only its own keeps no other from its turn, is
 * in the trail, and is tried again in an hour. Others are given back.
 */
HF_STATUS hf_job_pass(struct hf_job *job, struct hf_op *op, struct hf_status status,
                      const char *keyring, const char *name);
/* Whether the slice is over, or the node stops. */
bool hf_job_must_rest(const struct hf_job *job, const struct hf_op *op);

extern const struct hf_job_row hf_job_rows[HF_JOBS];

/* --- the work --- */
/* root.c */
HF_STATUS hf_job_move_root(struct hf_job *job, struct hf_op *op, bool *out_more);
/* key_make.c */
HF_STATUS hf_job_rotate(struct hf_job *job, struct hf_op *op, bool *out_more);
/* key_change.c */
HF_STATUS hf_job_rewrap(struct hf_job *job, struct hf_op *op, bool *out_more);
/* key_destroy.c */
HF_STATUS hf_job_purge(struct hf_job *job, struct hf_op *op, bool *out_more);
/* born.c */
HF_STATUS hf_job_settle(struct hf_job *job, struct hf_op *op, bool *out_more);
/* drill_run.c */
HF_STATUS hf_job_drill(struct hf_job *job, struct hf_op *op, bool *out_more);
