/* The scheduled drill: on a thread of its own, so that feed and pin go on each second. */
#include <string.h>

#include "base/alloc.h"
#include "daemon/node_internal.h"

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

static void *run(void *context)
{
    struct hf_node *node = context;
    bool ran = false;
    struct hf_op op;

    hf_op_init(&op, node->env);
    op.lane = node->drill_lane;
    hf_node_report(node, &op, hf_service_drill_job(node->service, &op, &ran),
                   "the scheduled drill");
    atomic_store(&node->drill_ended, true);
    return NULL;
}

void hf_node_drill(struct hf_node *node, struct hf_op *op)
{
    bool due = false;
    int error;

    if (node->drill_runs && !atomic_load(&node->drill_ended)) {
        return;
    }
    hf_node_stop_drill(node);
    hf_node_report(node, op, hf_service_proof_metrics(node->service, op), "metrics of proofs");
    hf_node_report(node, op, hf_service_drill_is_due(node->service, op, &due),
                   "the scheduled drill");
    if (!due) {
        return;
    }
    node->drill_lane = op->lane;
    atomic_store(&node->drill_ended, false);
    error = pthread_create(&node->drill, NULL, run, node);
    node->drill_runs = error == 0;
    if (error != 0) {
        hf_node_report(node, op,
                       hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error)),
                       "the scheduled drill");
    }
}

void hf_node_stop_drill(struct hf_node *node)
{
    if (node->drill_runs) {
        pthread_join(node->drill, NULL);
        node->drill_runs = false;
    }
}
