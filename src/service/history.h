/*
 * Histories that part: what this node's copy of the store has, and another state of the store does
 * not have.
 */
#pragma once

#include "base/json.h"
#include "service/internal.h"

/* A commit that would be lost. */
struct hf_lost_commit {
    uint64_t seq;
    uint64_t when_ms;
    char operation[48]; /* the action that was recorded with it, or what kind of record it wrote */
    char *what;         /* "hadoop/orders", "policy/p"; of several records the first */
    bool takes_away;    /* a deletion, a state, a right: undoing it would give something back */
    bool is_listed;     /* told one by one: all that take away, and the first thousand others */
};
struct hf_lost {
    struct hf_lost_commit *items;
    size_t count;
    size_t taking;     /* how many of them take something away */
    size_t unlisted;   /* how many are not told one by one */
    uint64_t first_ms; /* of the oldest and newest; 0: there is none */
    uint64_t newest_ms;
    bool is_cut; /* the log begins later: there were more, of which nothing is known */
};
void hf_lost_free(struct hf_lost *lost);
HF_DEFINE_CLEANUP(lost)
/* All commits of the copy after that one. */
HF_STATUS hf_lost_read(struct hf_service *service, struct hf_op *op, uint64_t after,
                       struct hf_lost **out);
/* As an object of this name: count, newest, how many take away, and each that is listed. */
void hf_lost_put(const struct hf_lost *lost, struct hf_json_writer *writer, const char *name);

/*
 * The last commit that both logs have: their copies of the same commit carry the same request id.
 * *out_found is false when the logs do not reach back to one.
 */
HF_STATUS hf_history_meet(struct hf_op *op, struct hf_engine *one, struct hf_engine *other,
                          uint64_t *out_seq, bool *out_found);
/* An empty commit with the call's record, once the store takes writes again. */
HF_STATUS hf_history_mark(const struct hf_call *call, struct hf_op *op);
/* Whether the engine's log has the commit under this request id; HF_NOT_FOUND when it is cut. */
HF_STATUS hf_history_has(struct hf_op *op, struct hf_engine *engine, uint64_t seq,
                         const struct hf_request_id *id, bool *out);
