/*
 * What clients were told, and what must hold of it. Rules are named as in docs/reliability.md;
 * those of the cluster layer alone are "lease", "proof" and "end".
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "sim.h"

/* By so much a time may differ on clocks that run 3 % too fast or too slow, with what is rounded.
 */
#define DRIFT_MS(ms) ((ms)*32 / 1000 + 3)
#define STEPS        1000000U

void sim_rules_done(struct sim *sim)
{
    for (size_t i = 0; i < SIM_KEYS; i++) {
        history_done(&sim->histories[i]);
    }
    free(sim->changes);
    sim->changes = NULL;
}

/* --- the history of a key (I9) --- */

uint64_t sim_step(struct sim *sim)
{
    hf_assert(sim->steps + 1 < STEPS);
    return sim->now_ms * STEPS + ++sim->steps;
}

static unsigned long long ms_of(uint64_t step)
{
    return step / STEPS;
}

size_t sim_note_change(struct sim *sim, uint64_t request, uint64_t begin)
{
    sim->changes = hf_realloc_array(sim->changes, sim->change_count + 1, sizeof *sim->changes);
    sim->changes[sim->change_count] = (struct sim_change){ request, begin, HISTORY_NEVER };
    return sim->change_count++;
}

void sim_note_answer(struct sim *sim, size_t change)
{
    sim->changes[change].end = sim_step(sim);
}

void sim_note_look(struct sim *sim, const struct sim_use *use, uint64_t shown)
{
    struct history_act act = { false, shown, use->begin, sim_step(sim) };

    history_add(&sim->histories[use->key], &act);
}

/* Which changes have happened is what the log says in the end. */
static void add_changes(struct sim *sim)
{
    for (size_t i = 0; i < sim->store.now.len; i++) {
        const struct sim_entry *entry = &sim->store.now.entries[i];
        size_t at = 0;

        if (entry->kind != SIM_BATCH || entry->record.key < 0 ||
            entry->record.shown != entry->record.revision) {
            continue;
        }
        while (at < sim->change_count && sim->changes[at].request != entry->request) {
            at++;
        }
        hf_assert(at < sim->change_count);
        history_add(&sim->histories[entry->record.key],
                    &(struct history_act){ true, entry->record.shown, sim->changes[at].begin,
                                           sim->changes[at].end });
    }
}

static void add_to_digest(struct sim *sim, const struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct history_act *act = &history->acts[i];

        sim->digest = (sim->digest ^ act->number) * 0x100000001b3U;
        sim->digest = (sim->digest ^ act->begin) * 0x100000001b3U;
        sim->digest = (sim->digest ^ act->end) * 0x100000001b3U;
    }
}

void sim_check_order(struct sim *sim)
{
    add_changes(sim);
    for (int key = 0; key < SIM_KEYS; key++) {
        struct history_act pair[2];
        const char *fault = history_find_fault(&sim->histories[key], pair);

        add_to_digest(sim, &sim->histories[key]);
        if (fault != NULL) {
            sim_fail(sim, "I9: key %d, revision %llu from %llu to %llu ms, %llu from %llu ms: %s",
                     key, (unsigned long long)pair[0].number, ms_of(pair[0].begin),
                     ms_of(pair[0].end), (unsigned long long)pair[1].number, ms_of(pair[1].begin),
                     fault);
        }
    }
}

/* --- what is revoked (I4) --- */

struct sim_use sim_begin_use(struct sim *sim, int key)
{
    return (struct sim_use){ key, sim_step(sim), sim->now_ms, sim->revoked[key] };
}

void sim_note_revoked(struct sim *sim, int key, uint64_t revision)
{
    if (revision > sim->revoked[key].revision) {
        sim->revoked[key] = (struct sim_revoked){ revision, sim->now_ms };
    }
}

void sim_note_restoring(struct sim *sim, int key, uint64_t revision)
{
    if (revision > sim->restoring[key]) {
        sim->restoring[key] = revision;
    }
}

/*
 * Nothing of a key is used by what begins after its revocation was acknowledged, until somebody
 * asks for the key again. The reference grants fresh nodes two seconds; the design grants none. One
 * without a lease may be as old as the keyring allows, and no older.
 */
void sim_check_use(struct sim_node *node, const struct sim_use *use,
                   const struct hf_standing *grant, uint64_t max_stale_ms)
{
    struct sim *sim = node->sim;
    const struct sim_revoked *revoked = &use->revoked;
    uint64_t grace_ms = grant->stale ? max_stale_ms + DRIFT_MS(max_stale_ms) : 0;

    if (revoked->revision == 0 || sim->restoring[use->key] > revoked->revision) {
        return;
    }
    if (!grant->stale || use->began_ms > revoked->at_ms + grace_ms) {
        sim_fail(sim, "I4: %s uses key %d%s, of which the revocation was acknowledged at %llu ms",
                 node->name, use->key, grant->stale ? " without a lease" : "",
                 (unsigned long long)revoked->at_ms);
    }
    sim->faults[SIM_USED_REVOKED]++;
}

/* --- what was handed out (I2, I5, I7) --- */

/* It has to exist for ever, with this material. */
static void check_durable(struct sim_node *node, int key, uint32_t version, uint64_t material)
{
    const struct sim_branch *branch = &node->sim->store.now;

    for (size_t i = 0; i < branch->durable; i++) {
        const struct sim_record *record = &branch->entries[i].record;

        if (branch->entries[i].kind == SIM_BATCH && record->key == key &&
            record->primary == version && record->newest == version &&
            record->material == material) {
            return;
        }
    }
    sim_fail(node->sim, "I7: %s gave out version %u of key %d, which is not durable", node->name,
             version, key);
}

void sim_hand_out(struct sim_node *node, int key, uint32_t version, uint64_t material, bool marked)
{
    struct sim *sim = node->sim;
    struct sim_handed *handed = &sim->handed[key][version % SIM_VERSIONS];

    check_durable(node, key, version, material);
    if (handed->is && handed->material != material) {
        sim_fail(sim, "I2: %s has another version %u of key %d", node->name, version, key);
    }
    *handed = (struct sim_handed){ true, material };
    if (version > sim->newest_handed[key]) {
        sim->newest_handed[key] = version;
    }
    if (!marked && version > sim->newest_shown[key]) {
        sim->newest_shown[key] = version;
    }
    sim_check_leases(sim, "when a data key was handed out");
}

bool sim_opens(const struct sim_node *node, int key, uint32_t version)
{
    return node->mirror.materials[key][version % SIM_VERSIONS] ==
           node->sim->handed[key][version % SIM_VERSIONS].material;
}

/*
 * What is handed out without a mark opens on every node with a lease. A marked answer says that
 * others may be behind: one who was sent away may have a lease for a while, and is not asked any
 * more. Versions come in order, so the newest speaks for all.
 */
static void check_handed(struct sim *sim, const struct sim_node *node, const char *when)
{
    for (int key = 0; key < SIM_KEYS; key++) {
        uint32_t version = sim->newest_shown[key];

        if (version != 0 && !sim_opens(node, key, version)) {
            sim_fail(sim, "I5: %s: %s cannot open what was wrapped with version %u of key %d", when,
                     node->name, version, key);
        }
    }
}

/* Whoever holds a lease has applied every change that was acknowledged. */
void sim_check_leases(struct sim *sim, const char *when)
{
    for (size_t i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &sim->nodes[i];

        if (node->cluster == NULL || node->dead || sim->ending ||
            hf_cluster_lease(node->cluster) == 0) {
            continue;
        }
        if (node->mirror.applied < sim->acked_seq) {
            sim_fail(sim, "lease: %s: %s holds one without change %llu, which was acknowledged",
                     when, node->name, (unsigned long long)sim->acked_seq);
        }
        check_handed(sim, node, when);
    }
}

/*
 * Born proven: a version is promoted only when each node that is waited for, and has had a lease
 * since before the candidate was committed, has opened it. Whoever can write to the table can make
 * a node seem dead, and so can a heartbeat of its own that comes late.
 */
void sim_check_proof(const struct sim_node *maker, const struct sim_record *record,
                     uint64_t committed_ms)
{
    struct sim *sim = maker->sim;
    const struct sim_record *list = &maker->mirror.list;
    uint64_t since_ms = sim->now_ms - committed_ms;

    for (size_t i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &sim->nodes[i];
        struct hf_cluster_view view = { 0 };

        if (node->cluster != NULL && !node->dead && sim->now_ms >= node->hidden_until_ms &&
            (list->members & ~list->away & 1U << i) != 0) {
            hf_cluster_look(node->cluster, &view, NULL, NULL);
        }
        if (view.lease != 0 && view.leased_ms > since_ms + DRIFT_MS(since_ms) &&
            node->opened[record->key][record->newest % SIM_VERSIONS] != record->material) {
            sim_fail(sim, "proof: version %u of key %d is promoted, and %s has not opened it",
                     record->newest, record->key, node->name);
        }
    }
}

/* --- the end: all is well again --- */

static bool is_settled(const struct sim *sim, const struct sim_node *node)
{
    const struct sim_branch *branch = &sim->store.now;
    const struct sim_record *list = &node->mirror.list;
    bool is_member = (list->members & 1U << node->index) != 0;

    return node->cluster != NULL && !node->dead && branch->len > 0 &&
           node->mirror.applied == branch->entries[branch->len - 1].seq &&
           (list->members & list->away) == 0 && (hf_cluster_lease(node->cluster) != 0) == is_member;
}

bool sim_is_settled(const struct sim *sim)
{
    for (size_t i = 0; i < SIM_NODES; i++) {
        if (!is_settled(sim, &sim->nodes[i])) {
            return false;
        }
    }
    return true;
}

void sim_check_all_open(struct sim *sim)
{
    for (size_t i = 0; i < SIM_NODES; i++) {
        for (int key = 0; key < SIM_KEYS; key++) {
            for (uint32_t version = 1; version <= sim->newest_handed[key]; version++) {
                if (sim->handed[key][version % SIM_VERSIONS].is &&
                    !sim_opens(&sim->nodes[i], key, version)) {
                    sim_fail(sim, "I5: in the end %s cannot open version %u of key %d",
                             sim->nodes[i].name, version, key);
                }
            }
        }
    }
}
