/*
 * What every node does once a second or once a minute for itself: audit feed, pin, cookie secrets,
 * usage, metrics, signatures of the trail. What one node does for all of them is in jobs.c.
 */
#include <errno.h>
#include <string.h>

#include "base/wait.h"
#include "daemon/node_internal.h"

#define SECOND_MS     1000
#define MINUTE_MS     60000
#define HOUR_MS       (60 * MINUTE_MS)
#define SIGN_EVERY_MS (10 * MINUTE_MS)

void hf_node_report(struct hf_node *node, struct hf_op *op, struct hf_status status,
                    const char *what)
{
    if (status.code != HF_OK && hf_seal_is_unlocked(node->seal)) {
        HF_WARNING(node->env, "%s: %s", what, op->text);
    }
    hf_op_clear(op);
}

void hf_node_unlocked(void *context)
{
    struct hf_node *node = context;
    struct hf_op op;

    hf_peers_unlocked(node->peers);
    hf_op_init(&op, node->env);
    hf_node_report(node, &op, hf_cookies_refresh(node->cookies, &op), "cookie secrets");
    hf_node_report(node, &op, hf_service_feed_audit(node->service, &op), "audit feed");
    hf_node_report(node, &op, hf_seal_pin(node->seal, &op), "pin");
    hf_node_report(node, &op, hf_service_node_enroll(node->service, &op), "membership");
    hf_node_report(node, &op, hf_service_node_leave(node->service, &op), "membership");
    hf_node_renew_certificates(node, &op);
}

void hf_node_locked(void *context)
{
    struct hf_node *node = context;

    hf_cookies_clear(node->cookies);
}

static void each_second(struct hf_node *node, struct hf_op *op)
{
    hf_node_report(node, op, hf_service_feed_audit(node->service, op), "audit feed");
    hf_node_report(node, op, hf_seal_pin(node->seal, op), "pin");
    hf_node_report(node, op, hf_service_node_presence(node->service, op), "members");
}

/*
 * So that the lines which no signature covers yet are some minutes old at most, whether the node is
 * locked or not. On a full disk it is tried again each time, until there is room.
 */
static void sign_trail(struct hf_node *node, struct hf_op *op, struct hf_chores *chores)
{
    uint64_t now_ms = hf_env_boottime_ms(node->env);
    HF_AUTO(buf) line = hf_buf_new();

    if (now_ms < chores->sign_due_ms) {
        return;
    }
    if (hf_audit_checkpoint(node->audit, op, line).code == HF_OK) {
        chores->sign_due_ms = now_ms + SIGN_EVERY_MS;
    }
    hf_op_clear(op);
}

static void each_minute(struct hf_node *node, struct hf_op *op)
{
    hf_node_report(node, op, hf_cookies_refresh(node->cookies, op), "cookie secrets");
    hf_node_report(node, op, hf_service_node_enroll(node->service, op), "membership");
    hf_node_report(node, op, hf_service_node_leave(node->service, op), "membership");
    hf_node_report(node, op, hf_usage_merge(node->keys, op), "usage counts");
    hf_node_report(node, op, hf_service_proof_metrics(node->service, op), "metrics of proofs");
}

static struct hf_status with_slot(struct hf_node *node, struct hf_op *op,
                                  const struct hf_config_slot *configured,
                                  struct hf_status (*call)(struct hf_seal *seal, struct hf_op *op,
                                                           struct hf_protector *protector))
{
    const struct hf_protector_settings settings = { .kind = configured->protector,
                                                    .file = configured->file };
    HF_AUTO(protector) protector = NULL;

    HF_TRY(hf_protector_open(node->crypto, op, &settings, &protector));
    return call(node->seal, op, protector);
}

/* What cannot be done now is tried again, but not so soon. */
static void renew_certificates(struct hf_node *node, struct hf_op *op, struct hf_chores *chores)
{
    uint64_t now_ms = hf_env_boottime_ms(node->env);

    if (now_ms >= chores->renew_due_ms) {
        chores->renew_due_ms = now_ms + HOUR_MS;
        hf_node_renew_certificates(node, op);
    }
}

/* Slots that open by themselves are proven for a new root by themselves. */
static void prove_slots(struct hf_node *node, struct hf_op *op)
{
    for (size_t i = 0; i < node->config->slot_count; i++) {
        hf_node_report(node, op, with_slot(node, op, &node->config->slots[i], hf_seal_prove_slots),
                       "proof of a slot");
    }
}

/*
 * While this node was away, a whole rotation of the root went by: its own slots open it again. The
 * keys that it has in memory are served meanwhile. What fails is tried again, but not so soon.
 */
static void regain_root(struct hf_node *node, struct hf_op *op, struct hf_chores *chores)
{
    uint64_t now_ms = hf_env_boottime_ms(node->env);

    if (now_ms < chores->regain_due_ms || !hf_seal_root_is_lost(node->seal)) {
        return;
    }
    chores->regain_due_ms = now_ms + MINUTE_MS;
    for (size_t i = 0; i < node->config->slot_count; i++) {
        struct hf_status status = with_slot(node, op, &node->config->slots[i], hf_seal_root_regain);

        if (status.code == HF_OK) {
            chores->regain_due_ms = now_ms;
            return;
        }
        hf_node_report(node, op, status,
                       "the root was rotated while this node was away, and its slot does not open "
                       "the new one");
    }
}

/* Everything at once after the next unlock. */
static void rest_while_locked(struct hf_node *node, struct hf_chores *chores)
{
    /* Again, for a refresh that was under way when the node was locked. */
    hf_cookies_clear(node->cookies);
    *chores = (struct hf_chores){ .sign_due_ms = chores->sign_due_ms };
}

/* Once for each news of it: what fails is looked at again within a minute, and by each unlock. */
static bool take_may_be_out(struct hf_node *node)
{
    bool may_be_out;

    pthread_mutex_lock(&node->lock);
    may_be_out = node->may_be_out;
    node->may_be_out = false;
    pthread_mutex_unlock(&node->lock);
    return may_be_out;
}

void hf_node_do_chores(struct hf_node *node, struct hf_op *op, struct hf_chores *chores)
{
    uint32_t generation;

    sign_trail(node, op, chores);
    if (take_may_be_out(node)) {
        hf_node_report(node, op, hf_service_node_leave(node->service, op), "membership");
    }
    if (!hf_seal_is_unlocked(node->seal)) {
        rest_while_locked(node, chores);
        return;
    }
    regain_root(node, op, chores);
    generation = hf_seal_root_generation(node->seal);
    each_second(node, op);
    if (generation != chores->proven_for) {
        chores->proven_for = generation;
        prove_slots(node, op);
    }
    renew_certificates(node, op, chores);
    if (hf_env_boottime_ms(node->env) >= chores->minute_due_ms) {
        chores->minute_due_ms = hf_env_boottime_ms(node->env) + MINUTE_MS;
        each_minute(node, op);
    }
}

bool hf_node_wait(struct hf_node *node, uint64_t wait_ms, bool *wanted)
{
    struct timespec until = hf_monotonic_in(wait_ms);
    bool stopping;

    pthread_mutex_lock(&node->lock);
    while (!node->stopping && (wanted == NULL || !*wanted) &&
           pthread_cond_clockwait(&node->wake, &node->lock, CLOCK_MONOTONIC, &until) == 0) {
    }
    if (wanted != NULL) {
        *wanted = false;
    }
    stopping = node->stopping;
    pthread_mutex_unlock(&node->lock);
    return !stopping;
}

static void *run(void *context)
{
    struct hf_node *node = context;
    struct hf_chores chores = { 0 };
    struct hf_op op;

    hf_op_init(&op, node->env);
    op.lane = hf_net_lanes(node->net);
    while (hf_node_wait(node, SECOND_MS, &node->chores_wanted)) {
        op.deadline_ms = hf_env_boottime_ms(node->env) + HF_NODE_PATIENCE_MS;
        hf_node_do_chores(node, &op, &chores);
    }
    return NULL;
}

struct hf_status hf_node_start_background(struct hf_node *node, struct hf_op *op)
{
    int error = pthread_create(&node->background, NULL, run, node);

    if (error != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    node->background_runs = true;
    return HF_SUCCESS;
}

void hf_node_stop_background(struct hf_node *node)
{
    pthread_mutex_lock(&node->lock);
    node->stopping = true;
    pthread_cond_broadcast(&node->wake);
    pthread_mutex_unlock(&node->lock);
    if (node->background_runs) {
        pthread_join(node->background, NULL);
        node->background_runs = false;
    }
    if (node->follower_runs) {
        /* It may be in the middle of a copy, or wait for a store that is gone. */
        atomic_store(&node->follower_stops, true);
        pthread_join(node->follower, NULL);
        node->follower_runs = false;
    }
}
