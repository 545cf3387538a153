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

enum shows {
    SHOWS_NOTHING,
    SHOWS_STATE,
    SHOWS_PRIMARY, /* and makes something with it */
    SHOWS_REFUSAL, /* a change: in force when it succeeds, but its refusal tells of the key */
};

static const enum shows shows[HF_ACTION_COUNT] = {
    [HF_ACT_KEY_READ] = SHOWS_STATE,        [HF_ACT_KEY_GENERATE] = SHOWS_PRIMARY,
    [HF_ACT_KEY_REENCRYPT] = SHOWS_PRIMARY, [HF_ACT_KEY_ENCRYPT] = SHOWS_PRIMARY,
    [HF_ACT_KEY_SIGN] = SHOWS_PRIMARY,      [HF_ACT_KEY_MAC] = SHOWS_PRIMARY,
    [HF_ACT_KEY_CREATE] = SHOWS_REFUSAL,    [HF_ACT_KEY_IMPORT] = SHOWS_REFUSAL,
    [HF_ACT_KEY_ROTATE] = SHOWS_REFUSAL,    [HF_ACT_KEY_STATE] = SHOWS_REFUSAL,
    [HF_ACT_KEY_DELETE] = SHOWS_REFUSAL,    [HF_ACT_KEY_RECOVER] = SHOWS_REFUSAL,
    [HF_ACT_KEY_DESTROY] = SHOWS_REFUSAL,
};

/* The commit that the answer hangs on, if it is not known to be in force; else 0. */
static uint64_t find_change(const struct hf_call *call, struct hf_op *op)
{
    struct hf_service *service = call->service;
    uint64_t in_force;
    uint64_t seq;

    if (service->cluster == NULL || call->key == NULL || op->standing.stale ||
        shows[call->action] == SHOWS_NOTHING) {
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
    return (shows[call->action] == SHOWS_PRIMARY ? limits.max_stale_wrap_ms : limits.max_stale_ms) >
           0;
}

static void mark(struct hf_op *op)
{
    if (!op->standing.ahead) {
        op->standing.ahead = true;
        hf_standing_count_stale(op);
    }
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
    if (!op->may_wait && find_change(call, op) != 0) {
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

static bool tells(const struct hf_call *call, struct hf_status status)
{
    return (status.code == HF_OK && shows[call->action] != SHOWS_REFUSAL) ||
           status.code == HF_NOT_FOUND || status.code == HF_EXISTS || status.code == HF_WRONG_STATE;
}

struct hf_status hf_agreed_end(const struct hf_call *call, struct hf_op *op,
                               struct hf_status status)
{
    uint64_t seq = tells(call, status) && !op->standing.ahead ? find_change(call, op) : 0;
    struct hf_op other = *op;

    if (seq == 0) {
        return status;
    }
    /* What came of the call keeps its text. */
    if (!op->may_wait) {
        mark(op);
    } else if (agree(call, &other, seq).code != HF_OK) {
        *op = other;
        return (struct hf_status){ other.code };
    } else {
        op->standing = other.standing;
    }
    return status;
}
