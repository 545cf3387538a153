/* What metrics say of proofs: the ways of each keyring, failures, and their age. */
#include "base/alloc.h"
#include "base/text.h"
#include "service/drill.h"
#include "service/ways.h"

static void set(struct hf_op *op, const char *name, const char *labels, const char *help,
                uint64_t value)
{
    hf_metric_set(hf_metrics_series(op->env->metrics, HF_METRIC_GAUGE, name, labels, help),
                  (int64_t)value);
}

static void set_paths_of(struct hf_op *op, const struct hf_ways *ways, const char *keyring,
                         uint64_t paths)
{
    HF_AUTO_STRING labels = hf_format("keyring=\"%s\"", keyring);

    set(op, "holdfast_open_paths", labels,
        "Independent ways in which every version of the keyring was proven to open.", paths);
    set(op, "holdfast_open_paths_wanted", labels,
        "Independent ways that the keyring wants, or else this node's configuration.",
        hf_ways_wanted(ways, keyring));
}

/* No slot has opened anything: what was true of the keyrings before must not stand. */
static void set_no_paths(struct hf_service *service, struct hf_op *op, struct hf_ways *ways)
{
    hf_ways_survey(ways, service, op);
    for (size_t i = 0; i < ways->ring_count; i++) {
        if (ways->rings[i].content.versions > 0) {
            set_paths_of(op, ways, ways->rings[i].name, 0);
        }
    }
}

/* Not of a keyring that had no versions when the last drill ran: nothing is known of it. */
static void set_open_paths(struct hf_service *service, struct hf_op *op, struct hf_ways *ways)
{
    if (hf_ways_newest(ways) == NULL) {
        set_no_paths(service, op, ways);
    }
    for (size_t i = 0; i < ways->keyring_count; i++) {
        const char *keyring = ways->keyrings[i]->name;

        set_paths_of(op, ways, keyring, hf_ways_least(ways, keyring));
    }
}

static uint64_t most_failed(const struct hf_slot_proofs *proofs)
{
    uint64_t most = 0;

    for (size_t i = 0; i < proofs->count; i++) {
        most = proofs->items[i]->failed > most ? proofs->items[i]->failed : most;
    }
    return most;
}

static uint64_t failed_slots(const struct hf_slot_proofs *proofs)
{
    uint64_t failed = 0;

    for (size_t i = 0; i < proofs->count; i++) {
        failed += !hf_slot_proof_is_good(proofs->items[i]);
    }
    return failed;
}

/* The oldest counts: it is the one that proves least of today. */
static uint64_t oldest(const struct hf_slot_proofs *proofs)
{
    uint64_t oldest_ms = proofs->items[0]->when_ms;

    for (size_t i = 1; i < proofs->count; i++) {
        oldest_ms = proofs->items[i]->when_ms < oldest_ms ? proofs->items[i]->when_ms : oldest_ms;
    }
    return oldest_ms;
}

/* Of the last drill that has ended; none has, or one is on the way: what was so before stays. */
static void set_silent(struct hf_op *op, const struct hf_drill_run *run)
{
    if (run != NULL && run->ended_ms != 0) {
        set(op, "holdfast_drill_silent_nodes", NULL,
            "Nodes that did not answer in the last drill, or could not do their part.",
            run->silent);
    }
}

static void set_age(struct hf_op *op, const struct hf_slot_proofs *proofs)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    uint64_t then_ms = oldest(proofs);

    set(op, "holdfast_drill_age_seconds", NULL, "Age of the oldest proof of a node and slot.",
        now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0);
}

/* Whether a drill of everything was the last one, so that no proofs say that nothing opens. */
static bool is_all_drilled(const struct hf_drill_run *run)
{
    return run != NULL && run->ended_ms != 0 && run->keyring[0] == '\0';
}

struct hf_status hf_service_proof_metrics(struct hf_service *service, struct hf_op *op)
{
    HF_AUTO(drill_run) run = NULL;
    HF_AUTO(slot_proofs) proofs = NULL;
    HF_AUTO(ways) ways = NULL;

    HF_TRY(hf_drill_last(service, op, &run));
    set_silent(op, run);
    HF_TRY(hf_slot_proofs_read(service, op, &proofs));
    if (proofs->count > 0) {
        set_age(op, proofs);
    } else if (!is_all_drilled(run)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_ways_new(service, op, &proofs, &ways));
    set(op, "holdfast_drill_failed_versions", NULL,
        "Key versions that did not open in the last drill, by the slot where most failed.",
        most_failed(ways->proofs));
    set(op, "holdfast_drill_failed_slots", NULL,
        "Slots and nodes where something did not open in the last drill.",
        failed_slots(ways->proofs));
    set_open_paths(service, op, ways);
    return HF_SUCCESS;
}
