/* The simulation: its clock and its flows, the adversary, and what must hold of the log. */
#include "sim.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

const char *const sim_fault_names[SIM_FAULTS] = {
    "a message lost",
    "an answer lost",
    "a message late",
    "a message doubled",
    "an ambiguous commit",
    "a timeline that went back",
    "a node at the replaced primary",
    "a node stopped",
    "a node stopped between check and answer",
    "a lease that ended before the answer",
    "a heartbeat row deleted",
    "a heartbeat row forged",
    "a candidate that a node cannot open",
    "a copy of the store lost",
    "a change of members",
    "a member sent away",
    "a member that came back",
    "an acknowledgement by reports without one who is away",
    "an answer without a lease",
    "an acknowledgement by time",
    "an acknowledgement by reports",
    "an acknowledgement by the time that a candidate was known",
    "an answer that was held back",
    "a request repeated",
    "a revocation of a key",
    "a revocation taken back",
    "a use refused, since the key is revoked",
    "a use of a revoked key by a node without a lease",
    "an answer that waited until what it shows was in force",
    "an answer that was marked, since that took too long",
};

const char *const sim_call_names[SIM_CALLS] = {
    "the heartbeat for a lease", "a heartbeat with news", "a look at the heartbeats", "a commit",
    "a read of the feed",
};

const char *const sim_moment_names[SIM_MOMENTS] = { "before", "after" };

const char *const sim_mutation_names[SIM_MUTATIONS] = {
    "sound",
    "the lease counts from after the heartbeat was sent",
    "a change is acknowledged without waiting",
    "a change is acknowledged before the lease is over",
    "the lease is not asked for again before the answer",
    "another lease is taken for the one that ended",
    "what is not confirmed is applied",
    "every heartbeat row is believed",
    "a commit in doubt is taken for done",
    "a repeat has another request id",
    "applied is reported before it is",
    "a node that is away takes leases",
    "a node counts as back as soon as it asks to be",
    "whoever left the list is taken to have no lease any more",
    "a node tells of a key whatever candidate it knows of",
    "an answer shows what is not in force yet",
    "a revocation is acknowledged as a promotion is",
    "a node without a lease serves for as long as it likes",
    "a version is promoted when its maker has opened it",
    "a change is reported applied and was passed over",
    "a node that was sent away does not come back",
};

const char *const sim_mutation_rules[SIM_MUTATIONS] = {
    [SIM_ACK_AT_ONCE] = "lease:", [SIM_ACK_EARLY] = "lease:",    [SIM_NOT_ASKED_AGAIN] = "lease:",
    [SIM_ANY_LEASE] = "lease:",   [SIM_ABOVE_WATERMARK] = "I7:", [SIM_DOUBT_IS_SUCCESS] = "I1:",
    [SIM_REPEAT_ANEW] = "I6:",    [SIM_SHOWN_TOO_SOON] = "I9:",  [SIM_REVOKED_TOO_SOON] = "I4:",
    [SIM_ALWAYS_STALE] = "I4:",   [SIM_NOBODY_ASKED] = "proof:", [SIM_PASSED_OVER] = "I5:",
    [SIM_STAYS_AWAY] = "end:",
};

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    uint64_t z = sim->random += 0x9e3779b97f4a7c15U;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return (z ^ z >> 31) % below;
}

bool sim_chance(struct sim *sim, uint64_t once_in)
{
    return !sim->quiet && sim_random(sim, once_in * sim->calm) == 0;
}

bool sim_happens(struct sim *sim, enum sim_fault fault, uint64_t once_in)
{
    bool happens = sim_chance(sim, once_in);

    sim->faults[fault] += happens;
    return happens;
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    va_list arguments;

    if (sim->traced) {
        va_start(arguments, format);
        printf("%6llu ms  ", (unsigned long long)sim->now_ms);
        (void)vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list arguments;

    if (sim->problem[0] == '\0') {
        int len = snprintf(sim->problem, sizeof sim->problem, "at %llu ms ",
                           (unsigned long long)sim->now_ms);

        va_start(arguments, format);
        (void)vsnprintf(sim->problem + len, sizeof sim->problem - (size_t)len, format, arguments);
        va_end(arguments);
        sim_trace(sim, "BROKEN: %s", sim->problem);
    }
}

void sim_sleep_until(struct sim *sim, uint64_t at_ms)
{
    struct sim_fiber *self = sim->current;

    self->wake_ms = at_ms > sim->now_ms ? at_ms : sim->now_ms;
    fiber_pause(self->fiber);
}

void sim_sleep(struct sim *sim, uint64_t ms)
{
    sim_sleep_until(sim, sim->now_ms + ms);
}

/* --- the adversary --- */

static bool has_ended(const struct sim_node *node)
{
    for (size_t i = 0; i < SIM_FLOWS; i++) {
        if (fiber_is_running(node->flows[i].fiber)) {
            return false;
        }
    }
    return true;
}

static void look_after(struct sim *sim, struct sim_node *node)
{
    if (node->dead && has_ended(node) && node->cluster != NULL) {
        sim_node_stop(node);
    }
    if (node->cluster == NULL && sim->now_ms >= node->restart_ms) {
        sim_trace(sim, "%s starts", node->name);
        sim_node_start(node);
    }
    if (node->on_old && sim_random(sim, 12) == 0) {
        node->on_old = false;
    }
}

static void do_harm(struct sim *sim)
{
    size_t victim = sim_random(sim, SIM_NODES);

    switch (sim_random(sim, 60 * sim->calm)) {
    case 0:
    case 1:
        sim_failover(sim);
        break;
    case 2:
    case 3:
        sim_forge_row(sim, (int)victim);
        break;
    case 4:
        sim_delete_row(sim, (int)victim);
        break;
    case 5:
        sim->nodes[victim].stopped_until_ms = sim->now_ms + 300 + sim_random(sim, 8000);
        sim->faults[SIM_STOPPED]++;
        break;
    default:
        break;
    }
}

static void run_adversary(void *argument)
{
    struct sim_fiber *self = argument;
    struct sim *sim = self->sim;

    while (!sim->ending) {
        sim_deliver_late(sim);
        if (!sim->quiet) {
            do_harm(sim);
        }
        for (size_t i = 0; i < SIM_NODES; i++) {
            look_after(sim, &sim->nodes[i]);
        }
        sim_check_leases(sim, "at any time");
        sim_sleep(sim, 20 + sim_random(sim, 60));
    }
}

/* --- the clock --- */

/* When it can go on: not while its node stands still. */
static uint64_t due_ms(const struct sim_fiber *fiber)
{
    uint64_t at_ms = fiber->wake_ms;

    if (fiber->node != NULL && fiber->node->stopped_until_ms > at_ms && !fiber->sim->ending) {
        at_ms = fiber->node->stopped_until_ms;
    }
    return at_ms;
}

static void consider(struct sim_fiber *fiber, struct sim_fiber **best)
{
    if (fiber_is_running(fiber->fiber) && (*best == NULL || due_ms(fiber) < due_ms(*best))) {
        *best = fiber;
    }
}

static struct sim_fiber *next_fiber(struct sim *sim)
{
    struct sim_fiber *best = NULL;

    consider(&sim->adversary, &best);
    for (size_t i = 0; i < SIM_NODES; i++) {
        for (size_t j = 0; j < SIM_FLOWS; j++) {
            consider(&sim->nodes[i].flows[j], &best);
        }
    }
    return best;
}

static void end(struct sim *sim)
{
    sim->ending = true;
    sim->adversary.wake_ms = sim->now_ms;
    for (size_t i = 0; i < SIM_NODES; i++) {
        for (size_t j = 0; j < SIM_FLOWS; j++) {
            sim->nodes[i].flows[j].wake_ms = sim->now_ms;
        }
    }
}

/* Whoever is stopped goes on, and everybody finds the primary. */
static void calm_down(struct sim *sim)
{
    sim_trace(sim, "the faults are over");
    sim->quiet = true;
    for (size_t i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &sim->nodes[i];

        node->on_old = false;
        if (node->stopped_until_ms > sim->now_ms) {
            node->stopped_until_ms = sim->now_ms;
        }
    }
}

/* Between two steps: is it time to stop the faults, or all of it? */
static void look_at_the_clock(struct sim *sim)
{
    if (sim->ending || (sim->now_ms < SIM_END_MS && sim->problem[0] == '\0')) {
        return;
    }
    if (!sim->quiet && sim->problem[0] == '\0') {
        calm_down(sim);
        return;
    }
    if (sim->now_ms >= SIM_LIMIT_MS) {
        sim_fail(sim, "end: the faults are long over, and not every node has come right");
    }
    if (sim->problem[0] != '\0') {
        end(sim);
    } else if (sim_is_settled(sim)) {
        sim_trace(sim, "all is well");
        sim_check_all_open(sim);
        end(sim);
    }
}

static void run_all(struct sim *sim)
{
    struct sim_fiber *next;

    while ((next = next_fiber(sim)) != NULL) {
        uint64_t at_ms = due_ms(next);

        sim->now_ms = at_ms > sim->now_ms ? at_ms : sim->now_ms;
        look_at_the_clock(sim);
        sim->current = next;
        fiber_resume(next->fiber);
    }
}

/* --- the history --- */

static void check_acks(struct sim *sim)
{
    for (size_t i = 0; i < sim->ack_count; i++) {
        size_t at = 0;
        const struct sim_entry *entry = sim_batch(&sim->store.now, sim->acks[i].seq, &at);

        if (entry == NULL || entry->request != sim->acks[i].request ||
            at >= sim->store.now.durable) {
            sim_fail(sim, "I1: the acknowledged change %llu is lost",
                     (unsigned long long)sim->acks[i].seq);
        }
    }
}

/* One request one effect, and no number of a version twice. */
static void check_pair(struct sim *sim, const struct sim_entry *a, const struct sim_entry *b)
{
    bool both_make = a->record.pending && b->record.pending && a->record.key == b->record.key;

    if (a->request == b->request || (both_make && a->record.rotation == b->record.rotation)) {
        sim_fail(sim, "I6: one request had two effects, changes %llu and %llu",
                 (unsigned long long)a->seq, (unsigned long long)b->seq);
    }
    if (both_make && a->record.newest >= b->record.newest) {
        sim_fail(sim, "I6: version %u of key %d was made twice", b->record.newest, a->record.key);
    }
}

static void check_history(struct sim *sim)
{
    const struct sim_branch *branch = &sim->store.now;

    for (size_t i = 0; i < branch->len; i++) {
        for (size_t j = i + 1; j < branch->len && branch->entries[i].kind == SIM_BATCH; j++) {
            if (branch->entries[j].kind == SIM_BATCH) {
                check_pair(sim, &branch->entries[i], &branch->entries[j]);
            }
        }
    }
    check_acks(sim);
    sim_check_order(sim);
}

/* --- a run --- */

static void make_fibers(struct sim *sim)
{
    sim->adversary.sim = sim;
    sim->adversary.fiber = fiber_new();
    for (size_t i = 0; i < SIM_NODES; i++) {
        for (size_t j = 0; j < SIM_FLOWS; j++) {
            sim->nodes[i].flows[j].fiber = fiber_new();
        }
    }
}

static void free_all(struct sim *sim)
{
    fiber_free(sim->adversary.fiber);
    for (size_t i = 0; i < SIM_NODES; i++) {
        hf_cluster_free(sim->nodes[i].cluster);
        for (size_t j = 0; j < SIM_FLOWS; j++) {
            fiber_free(sim->nodes[i].flows[j].fiber);
        }
    }
    sim_rules_done(sim);
    sim_store_done(sim);
}

void sim_run(struct sim *sim, uint64_t seed, enum sim_mutation mutation, bool traced)
{
    memset(sim, 0, sizeof *sim);
    sim->seed = seed;
    sim->random = seed * 0x2545f4914f6cdd1dU + 1;
    sim->mutation = mutation;
    sim->traced = traced;
    sim->calm = 1U << 2 * sim_random(sim, 4);
    sim_store_init(sim);
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node_init(sim, i);
    }
    make_fibers(sim);
    fiber_start(sim->adversary.fiber, run_adversary, &sim->adversary);
    run_all(sim);
    check_history(sim);
    free_all(sim);
}
