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

/* The commit that the answer hangs on, if it is not known to be in force; else 0. */
static uint64_t find_change(const struct hf_call *call, struct hf_op *op)
{
    struct hf_service *service = call->service;
    uint64_t in_force = hf_cluster_in_force(service->cluster);
    uint64_t seq;

    if (hf_keys_changed(service->keys) <= in_force) {
        return 0;
    }
    seq = hf_key_changed(service->keys, op, call->keyring, call->key);
    return seq > in_force ? seq : 0;
}

/* Whether a candidate of the key may have been promoted and acknowledged without this node. */
static bool is_undecided(const struct hf_call *call, struct hf_op *op)
{
    struct hf_service *service = call->service;
    uint64_t seq;

    if (!hf_keys_have_candidates(service->keys)) {
        return false;
    }
    seq = hf_key_candidate(service->keys, op, call->keyring, call->key);
    return seq != 0 && !hf_cluster_leased_before(service->cluster, seq);
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

/* --- before: what became of a candidate --- */

static bool wait_for_decision(const struct hf_call *call, struct hf_op *op, uint64_t until_ms)
{
    struct hf_cluster *cluster = call->service->cluster;
    uint64_t news;

    if (hf_waiting_enter(call->service, op).code != HF_OK) {
        hf_op_clear(op);
        return false;
    }
    while (news = hf_cluster_news(cluster), is_undecided(call, op)) {
        if (hf_env_boottime_ms(op->env) >= until_ms || hf_cluster_is_stopping(cluster)) {
            hf_waiting_leave(call->service);
            return false;
        }
        hf_cluster_sleep(cluster, news, until_ms);
    }
    hf_waiting_leave(call->service);
    return true;
}

struct hf_status hf_agreed_begin(const struct hf_call *call, struct hf_op *op)
{
    enum hf_nature nature = hf_nature_of(call->action);
    bool changes = hf_nature_changes(nature);
    bool can_mark;

    if (!is_asked(call, op) || !is_of_key(call)) {
        return HF_SUCCESS;
    }
    if (!op->may_wait && (is_undecided(call, op) || (!changes && find_change(call, op) != 0))) {
        return hf_fail(op, HF_LATER,
                       "a change of the key is waited for, which this thread may not");
    }
    if (!is_undecided(call, op)) {
        return HF_SUCCESS;
    }
    /* A change may be what decides it: a repeat of the request that made the candidate. */
    can_mark = changes || may_mark(call, op);
    if (wait_for_decision(call, op, end_of_waiting(op, can_mark)) || changes) {
        return HF_SUCCESS;
    }
    return mark_or_fail(call, op, can_mark);
}

/* --- after: what others know of it --- */

static bool wait_for(struct hf_service *service, struct hf_op *op, uint64_t seq, uint64_t until_ms)
{
    bool in_force;

    if (hf_waiting_enter(service, op).code != HF_OK) {
        hf_op_clear(op);
        return false;
    }
    in_force = hf_cluster_wait_in_force(service->cluster, seq, until_ms);
    hf_waiting_leave(service);
    return in_force;
}

static struct hf_status agree(const struct hf_call *call, struct hf_op *op, uint64_t seq)
{
    bool can_mark = may_mark(call, op);

    if (seq != 0 && op->may_wait &&
        wait_for(call->service, op, seq, end_of_waiting(op, can_mark)) && !is_undecided(call, op)) {
        return HF_SUCCESS;
    }
    return mark_or_fail(call, op, can_mark);
}

struct hf_status hf_agreed_end(const struct hf_call *call, struct hf_op *op,
                               struct hf_status status)
{
    struct hf_op other;
    uint64_t seq;

    if (!is_asked(call, op) || !depends_on_key(call, status)) {
        return status;
    }
    seq = find_change(call, op);
    if (seq == 0 && !is_undecided(call, op)) {
        return status;
    }
    /* What came of the call keeps its text. */
    other = *op;
    if (agree(call, &other, seq).code != HF_OK) {
        *op = other;
        return (struct hf_status){ other.code };
    }
    op->standing = other.standing;
    return status;
}
