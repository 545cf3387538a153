/*
 * The server's own work, on threads of its own, so that feed and pin go on each second: one that
 * runs the jobs, and one while this node does its part of a drill.
 */
#include <string.h>

#include "base/alloc.h"
#include "daemon/node_internal.h"

#define TURN_MS 200

void hf_node_make_drill_slots(struct hf_node *node)
{
    const struct hf_config *config = node->config;

    node->drill_slots = hf_alloc_array(config->slot_count + 1, sizeof *node->drill_slots);
    for (size_t i = 0; i < config->slot_count; i++) {
        node->drill_slots[i] = (struct hf_drill_slot){
            .name = config->slots[i].name,
            .protector = { .kind = config->slots[i].protector, .file = config->slots[i].file },
        };
    }
}

/* --- this node's part of a drill --- */

static void *run_drill(void *context)
{
    struct hf_node *node = context;
    struct hf_op op;

    hf_op_init(&op, node->env);
    op.lane = hf_net_lanes(node->net);
    hf_node_report(node, &op, hf_service_drill_part(node->service, &op), "a part of a drill");
    atomic_store(&node->drill_ended, true);
    return NULL;
}

static void stop_drill(struct hf_node *node)
{
    if (node->drill_runs) {
        pthread_join(node->drill, NULL);
        node->drill_runs = false;
    }
}

static void start_drill(struct hf_node *node, struct hf_op *op)
{
    bool asked = false;
    int error;

    if (node->drill_runs && !atomic_load(&node->drill_ended)) {
        return;
    }
    stop_drill(node);
    hf_node_report(node, op, hf_service_drill_is_asked(node->service, op, &asked), "drills");
    if (!asked) {
        return;
    }
    atomic_store(&node->drill_ended, false);
    error = pthread_create(&node->drill, NULL, run_drill, node);
    node->drill_runs = error == 0;
    if (error != 0) {
        hf_node_report(node, op,
                       hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error)),
                       "a part of a drill");
    }
}

/* --- jobs --- */

static void *run(void *context)
{
    struct hf_node *node = context;
    bool more = false;
    struct hf_op op;

    hf_op_init(&op, node->env);
    op.lane = hf_net_lanes(node->net);
    while (hf_node_wait(node, more ? 0 : TURN_MS, NULL)) {
        more = false;
        op.deadline_ms = hf_env_boottime_ms(node->env) + HF_NODE_PATIENCE_MS;
        if (hf_seal_is_unlocked(node->seal)) {
            start_drill(node, &op);
            hf_service_run_jobs(node->service, &op, &more);
        }
    }
    stop_drill(node);
    return NULL;
}

struct hf_status hf_node_start_jobs(struct hf_node *node, struct hf_op *op)
{
    int error = pthread_create(&node->jobs, NULL, run, node);

    if (error != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    node->jobs_run = true;
    return HF_SUCCESS;
}

void hf_node_stop_jobs(struct hf_node *node)
{
    if (node->jobs_run) {
        pthread_join(node->jobs, NULL);
        node->jobs_run = false;
    }
}
