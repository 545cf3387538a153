/*
 * What a node shows of a key, no other node that has a lease shows older afterwards: the answer
 * waits until the last change of the key is in force. That takes a turn of the others, as a rule.
 * When one of them is silent it could take as long as a lease, and clients do better with an answer
 * at once that is marked: another node may still show the state before.
 *
 * Opening is left out: it hangs on the version that the caller names, and must not wait.
 */
#include "cluster/cluster.h"
#include "service/internal.h"

#define WAIT_MS 300

/*
 * What tells of a key, makes something with its newest version, or refuses a change because of what
 * the key is. A change that succeeds is in force.
 */
static bool depends_on_key(const struct hf_call *call, struct hf_status status)
{
    enum hf_nature nature = hf_nature_of(call->action);

    if (call->key == NULL || nature == HF_NATURE_OWN || nature == HF_NATURE_OPEN) {
        return false;
    }
    return (status.code == HF_OK && !hf_nature_changes(nature)) || status.code == HF_NOT_FOUND ||
           status.code == HF_EXISTS || status.code == HF_WRONG_STATE;
}

/* The commit that the answer hangs on, if it is not known to be in force; else 0. */
static uint64_t find_change(const struct hf_call *call, struct hf_op *op, struct hf_status status)
{
    struct hf_service *service = call->service;
    uint64_t in_force;
    uint64_t seq;

    if (service->cluster == NULL || op->standing.stale || op->standing.ahead ||
        !depends_on_key(call, status)) {
        return 0;
    }
    in_force = hf_cluster_in_force(service->cluster);
    if (hf_keys_changed(service->keys) <= in_force) {
        return 0;
    }
    seq = hf_key_changed(service->keys, op, call->keyring, call->key);
    return seq > in_force ? seq : 0;
}

/* A keyring that is never served stale has no marked answers either. */
static bool may_mark(const struct hf_call *call, struct hf_op *op)
{
    struct hf_keyring_settings limits;

    hf_standing_limits(call, op, &limits);
    return (hf_nature_of(call->action) == HF_NATURE_WRAP ? limits.max_stale_wrap_ms
                                                         : limits.max_stale_ms) > 0;
}

static void mark(struct hf_op *op)
{
    op->standing.ahead = true;
    hf_standing_count_stale(op);
}

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

struct hf_status hf_agreed_begin(const struct hf_call *call, struct hf_op *op)
{
    if (!op->may_wait && find_change(call, op, HF_SUCCESS) != 0) {
        return hf_fail(op, HF_LATER,
                       "a change of the key is waited for, which this thread may not");
    }
    return HF_SUCCESS;
}

static struct hf_status agree(const struct hf_call *call, struct hf_op *op, uint64_t seq)
{
    bool can_mark = may_mark(call, op);
    uint64_t until_ms = can_mark ? hf_env_boottime_ms(op->env) + WAIT_MS : UINT64_MAX;

    if (op->deadline_ms != 0 && op->deadline_ms < until_ms) {
        until_ms = op->deadline_ms;
    }
    if (wait_for(call->service, op, seq, until_ms)) {
        return HF_SUCCESS;
    }
    if (!can_mark) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "a change of the key %.100s/%.100s is not known to be in force on every "
                       "node yet; ask again",
                       call->keyring, call->key);
    }
    mark(op);
    return HF_SUCCESS;
}

/* What came of the call keeps its text. */
static struct hf_status agree_after(const struct hf_call *call, struct hf_op *op, uint64_t seq,
                                    struct hf_status status)
{
    struct hf_op other = *op;

    if (agree(call, &other, seq).code != HF_OK) {
        *op = other;
        return (struct hf_status){ other.code };
    }
    op->standing = other.standing;
    return status;
}

struct hf_status hf_agreed_end(const struct hf_call *call, struct hf_op *op,
                               struct hf_status status)
{
    uint64_t seq = find_change(call, op, status);

    if (seq == 0) {
        return status;
    }
    if (!op->may_wait) {
        mark(op);
        return status;
    }
    return agree_after(call, op, seq, status);
}
