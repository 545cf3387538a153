/*
 * Following a store that other nodes change too: the local copy, and after it what is kept in
 * memory, twenty times a second.
 */
#include <string.h>

#include "daemon/node_internal.h"

#define FOLLOW_MS 50

/* Tells the log when the words change, not twenty times a second. */
static void report(struct hf_node *node, const struct hf_op *op, char last[HF_OP_TEXT_MAX])
{
    if (strcmp(op->text, last) == 0) {
        return;
    }
    if (op->text[0] != '\0') {
        HF_ERROR(node->env, "what other nodes changed is not in use here: %s", op->text);
    } else {
        HF_INFO(node->env, "what other nodes changed is in use again");
    }
    memcpy(last, op->text, HF_OP_TEXT_MAX);
}

void hf_node_follow(struct hf_node *node, struct hf_op *op, char last[HF_OP_TEXT_MAX])
{
    uint64_t seq = 0;

    /* What is wrong with the copy, the copy reports itself; what it has can still be told. */
    (void)hf_mirror_follow(node->engine, op, &seq).code;
    hf_op_clear(op);
    if (hf_seal_is_unlocked(node->seal) && hf_seal_follow(node->seal, op, &seq).code == HF_OK) {
        hf_op_clear(op);
    }
    report(node, op, last);
    hf_op_clear(op);
}

static void *run(void *context)
{
    struct hf_node *node = context;
    char last[HF_OP_TEXT_MAX] = "";
    struct hf_op op;

    hf_op_init(&op, node->env);
    op.lane = hf_net_lanes(node->net) + 1;
    while (hf_node_wait(node, FOLLOW_MS)) {
        hf_node_follow(node, &op, last);
    }
    return NULL;
}

struct hf_status hf_node_start_following(struct hf_node *node, struct hf_op *op)
{
    struct hf_mirror_info info;
    int error;

    /* A store that is this node's alone is changed by this node alone. */
    if (!hf_mirror_info(node->engine, &info)) {
        return HF_SUCCESS;
    }
    error = pthread_create(&node->follower, NULL, run, node);
    if (error != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    node->follower_runs = true;
    return HF_SUCCESS;
}
