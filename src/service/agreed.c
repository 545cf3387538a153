/*
 * What a node shows of a key, no other node that has a lease shows older afterwards: the answer
 * waits until the last change of the key is in force. That takes a turn of the others, as a rule.
 * When one of them is silent it could take as long as a lease, and clients do better with an answer
 * at once that is marked: another node may still show the state before.
 *
 * The other way round, a node that knows of a candidate and has had no lease from before it for
 * long may be one of the silent ones itself: the version may be promoted and acknowledged without
 * it. So it waits to hear what became of the candidate before it tells of the key.
 *
 * Opening is left out: it hangs on the version that the caller names, and must not wait.
 */
#include "cluster/cluster.h"
#include "service/internal.h"

#define WAIT_MS 300

/* Whether the call hangs on what the key is now. */
static bool is_of_key(const struct hf_call *call)
{
    enum hf_nature nature = hf_nature_of(call->action);

    return call->key != NULL && nature != HF_NATURE_OWN && nature != HF_NATURE_OPEN;
}

/*
 * What tells of a key, makes something with its newest version, or refuses a change because of what
 * the key is. A change that succeeds is in force.
 */
static bool depends_on_key(const struct hf_call *call, struct hf_status status)
{
    return is_of_key(call) &&
           ((status.code == HF_OK && !hf_nature_changes(hf_nature_of(call->action))) ||
            status.code == HF_NOT_FOUND || status.code == HF_EXISTS ||
            status.code == HF_WRONG_STATE);
}

/* Whether agreement is asked for at all: an answer without a lease, or with the mark, says so. */
static bool is_asked(const struct hf_call *call, const struct hf_op *op)
{
    return call->service->cluster != NULL && !op->standing.stale && !op->standing.ahead;
}

/* What stands between the key as this node knows it and an answer that no other contradicts. */
struct doubt {
    uint64_t seq;   /* its last change, if that is not known to be in force; else 0 */
    bool undecided; /* a candidate may have been promoted and acknowledged without this node */
};

static struct doubt find_doubt(const struct hf_call *call, struct hf_op *op)
{
    struct hf_service *service = call->service;
    uint64_t in_force = hf_cluster_in_force(service->cluster);
    struct hf_key_commits commits;

    if (hf_keys_changed(service->keys) <= in_force && !hf_keys_have_candidates(service->keys)) {
        return (struct doubt){ 0 };
    }
    hf_key_commits(service->keys, op, call->keyring, call->key, &commits);
    return (struct doubt){
        .seq = commits.changed > in_force ? commits.changed : 0,
        .undecided = commits.candidate != 0 &&
                     !hf_cluster_leased_before(service->cluster, commits.candidate),
    };
}

/* A keyring that is never served stale has no marked answers either. */
static bool may_mark(const struct hf_call *call, struct hf_op *op)
{
    struct hf_keyring_settings limits;

    hf_standing_limits(call, op, &limits);
    return (hf_nature_of(call->action) == HF_NATURE_WRAP ? limits.max_stale_wrap_ms
                                                         : limits.max_stale_ms) > 0;
}

static struct hf_status mark_or_fail(const struct hf_call *call, struct hf_op *op, bool can_mark)
{
    if (!can_mark) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "a change of the key %.100s/%.100s is not known to be in force on every "
                       "node yet; ask again",
                       call->keyring, call->key);
    }
    op->standing.ahead = true;
    hf_standing_count_stale(op);
    return HF_SUCCESS;
}

static uint64_t end_of_waiting(struct hf_op *op, bool can_give_up)
{
    uint64_t until_ms = can_give_up ? hf_env_boottime_ms(op->env) + WAIT_MS : UINT64_MAX;

    return op->deadline_ms != 0 && op->deadline_ms < until_ms ? op->deadline_ms : until_ms;
}

/* --- waiting --- */

struct waiting {
    const struct hf_call *call;
    struct hf_op *op;
    uint64_t seq;
};

static bool is_decided(void *context)
{
    const struct waiting *waiting = context;

    return !find_doubt(waiting->call, waiting->op).undecided;
}

static bool is_in_force(void *context)
{
    const struct waiting *waiting = context;

    return hf_cluster_in_force(waiting->call->service->cluster) >= waiting->seq;
}

static bool wait_until(bool (*done)(void *context), struct waiting *waiting, uint64_t until_ms)
{
    struct hf_service *service = waiting->call->service;
    bool is_done;

    if (hf_waiting_enter(service, waiting->op).code != HF_OK) {
        hf_op_clear(waiting->op);
        return false;
    }
    is_done = hf_cluster_wait_until(service->cluster, done, waiting, until_ms);
    hf_waiting_leave(service);
    return is_done;
}

/* --- before: what became of a candidate --- */

struct hf_status hf_agreed_begin(const struct hf_call *call, struct hf_op *op)
{
    bool changes = hf_nature_changes(hf_nature_of(call->action));
    struct waiting waiting = { .call = call, .op = op };
    struct doubt doubt;
    bool can_mark;

    if (!is_asked(call, op) || !is_of_key(call)) {
        return HF_SUCCESS;
    }
    doubt = find_doubt(call, op);
    if (!op->may_wait && (doubt.undecided || (doubt.seq != 0 && !changes))) {
        return hf_fail(op, HF_LATER,
                       "a change of the key is waited for, which this thread may not");
    }
    if (!doubt.undecided) {
        return HF_SUCCESS;
    }
    /* A change may be what decides it: a repeat of the request that made the candidate. */
    can_mark = changes || may_mark(call, op);
    if (wait_until(is_decided, &waiting, end_of_waiting(op, can_mark)) || changes) {
        return HF_SUCCESS;
    }
    return mark_or_fail(call, op, can_mark);
}

/* --- after: what others know of it --- */

static struct hf_status agree(const struct hf_call *call, struct hf_op *op, struct doubt doubt)
{
    struct waiting waiting = { call, op, doubt.seq };
    bool can_mark = may_mark(call, op);

    /* A candidate that became doubtful meanwhile is not waited for: the answer is made already. */
    if (!doubt.undecided && op->may_wait &&
        wait_until(is_in_force, &waiting, end_of_waiting(op, can_mark)) && is_decided(&waiting)) {
        return HF_SUCCESS;
    }
    return mark_or_fail(call, op, can_mark);
}

/* A refusal that what becomes of a candidate would change; a job just tries again. */
static bool hangs_on_candidate(const struct hf_op *op, struct hf_status status)
{
    return hf_standing_is_doubtful(status) && op->fence == NULL &&
           (op->cause == HF_CAUSE_UNKNOWN_KEY || op->cause == HF_CAUSE_NOT_PROVEN);
}

struct hf_status hf_agreed_end(const struct hf_call *call, struct hf_op *op,
                               struct hf_status status)
{
    struct hf_op other;
    struct doubt doubt;
    bool depends;

    if (call->service->cluster == NULL || op->standing.stale || call->key == NULL) {
        return status;
    }
    depends = depends_on_key(call, status);
    if (!depends && !hf_standing_is_doubtful(status)) {
        return status;
    }
    doubt = find_doubt(call, op);
    /* Of opening, too: the version may be proven by now, and the caller holds it from another. */
    if (doubt.undecided && hangs_on_candidate(op, status)) {
        return hf_standing_unsure(op, "has not heard what became of a new version");
    }
    if (!depends || op->standing.ahead || (doubt.seq == 0 && !doubt.undecided)) {
        return status;
    }
    /* What came of the call keeps its text. */
    other = *op;
    if (agree(call, &other, doubt).code != HF_OK) {
        *op = other;
        return (struct hf_status){ other.code };
    }
    op->standing = other.standing;
    return status;
}
