/*
 * The model of the store: a log that a primary writes and standbys copy. A commit appends at once,
 * where others may see it, and is durable later; a failover keeps the durable part and as much of
 * the rest as chance has it, while some nodes still talk to the replaced primary.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "sim.h"

/* Within this a node that is alive has written its row again, and others have seen that. */
#define HIDDEN_MS 5000

void sim_store_init(struct sim *sim)
{
    sim->store.now.epoch = 1;
}

void sim_store_done(struct sim *sim)
{
    for (size_t i = 0; i < sim->store.body_count; i++) {
        free(sim->store.bodies[i]);
    }
    free(sim->store.bodies);
    free(sim->store.now.entries);
    free(sim->store.old.entries);
}

static struct hf_bytes keep_body(struct sim_store *store, struct hf_bytes body)
{
    uint8_t *copy = hf_alloc(body.len + 1);

    if (body.len > 0) {
        memcpy(copy, body.data, body.len);
    }
    store->bodies = hf_realloc_array(store->bodies, store->body_count + 1, sizeof *store->bodies);
    store->bodies[store->body_count++] = copy;
    return hf_bytes_of(copy, body.len);
}

static uint64_t seq_at(const struct sim_branch *branch, size_t len)
{
    return len == 0 ? 0 : branch->entries[len - 1].seq;
}

static void append(struct sim_branch *branch, const struct sim_entry *entry)
{
    uint64_t seq = seq_at(branch, branch->len) + (entry->kind == SIM_BATCH ? 1 : 0);

    if (branch->len == branch->room) {
        branch->room = branch->room == 0 ? 256 : branch->room * 2;
        branch->entries = hf_realloc_array(branch->entries, branch->room, sizeof *branch->entries);
    }
    branch->entries[branch->len] = *entry;
    branch->entries[branch->len++].seq = seq;
}

const struct sim_entry *sim_batch(const struct sim_branch *branch, uint64_t seq, size_t *out_at)
{
    for (size_t i = 0; i < branch->len; i++) {
        if (branch->entries[i].kind == SIM_BATCH && branch->entries[i].seq == seq) {
            *out_at = i;
            return &branch->entries[i];
        }
    }
    return NULL;
}

static const struct sim_entry *request_of(const struct sim_branch *branch, uint64_t request)
{
    for (size_t i = branch->len; i-- > 0;) {
        if (branch->entries[i].kind == SIM_BATCH && branch->entries[i].request == request) {
            return &branch->entries[i];
        }
    }
    return NULL;
}

struct sim_record sim_newest(const struct sim *sim, int key)
{
    const struct sim_branch *branch = &sim->store.now;

    for (size_t i = branch->len; i-- > 0;) {
        if (branch->entries[i].kind == SIM_BATCH && branch->entries[i].record.key == key) {
            return branch->entries[i].record;
        }
    }
    return (struct sim_record){ .key = key };
}

static uint64_t revision_of(const struct sim_branch *branch, int key)
{
    for (size_t i = branch->len; i-- > 0;) {
        if (branch->entries[i].kind == SIM_BATCH && branch->entries[i].record.key == key) {
            return branch->entries[i].record.revision;
        }
    }
    return 0;
}

/* Where a message of the node arrives: whoever has seen the new primary never asks the old one. */
static struct sim_branch *branch_of(struct sim_node *node)
{
    struct sim_store *store = &node->sim->store;

    if (store->has_old && node->on_old && node->seen_epoch <= store->old.epoch) {
        node->sim->faults[SIM_OLD_PRIMARY]++;
        return &store->old;
    }
    if (node->seen_epoch < store->now.epoch) {
        node->seen_epoch = store->now.epoch;
    }
    return &store->now;
}

/* --- calls, as they go wrong --- */

static struct hf_status check_up(struct sim_node *node, struct hf_op *op)
{
    if (node->dead || node->sim->ending) {
        return hf_fail(op, HF_UNAVAILABLE, "the node is dead");
    }
    return hf_op_check_deadline(op);
}

static uint64_t some_delay(struct sim *sim)
{
    uint64_t kind = sim_random(sim, 40);

    return kind == 0 ? 100 + sim_random(sim, 1500) : sim_random(sim, kind < 8 ? 60 : 8);
}

/* Calls of the rarer kinds are died in more often, so that each is. */
static void may_crash(struct sim_node *node, enum sim_call call, enum sim_moment moment)
{
    static const uint64_t once_in[SIM_CALLS] = {
        [SIM_CALL_BEAT] = 400,   [SIM_CALL_NEWS] = 400, [SIM_CALL_LOOK] = 1600,
        [SIM_CALL_COMMIT] = 100, [SIM_CALL_READ] = 200,
    };

    if (!node->dead && sim_chance(node->sim, once_in[call])) {
        node->sim->crashes[call][moment]++;
        sim_crash(node);
    }
}

/* On the way to the store. */
static struct hf_status go_there(struct sim_node *node, struct hf_op *op, enum sim_call call)
{
    struct sim *sim = node->sim;

    HF_TRY(check_up(node, op));
    may_crash(node, call, SIM_BEFORE);
    sim_sleep(sim, some_delay(sim));
    HF_TRY(check_up(node, op));
    if (sim_happens(sim, SIM_LOST, 60)) {
        sim_sleep(sim, 200 + sim_random(sim, 800));
        return hf_fail(op, HF_UNAVAILABLE, "a message was lost");
    }
    return HF_SUCCESS;
}

/* And back: the effect is there. */
static struct hf_status come_back(struct sim_node *node, struct hf_op *op, enum sim_call call)
{
    struct sim *sim = node->sim;

    may_crash(node, call, SIM_AFTER);
    sim_sleep(sim, some_delay(sim));
    HF_TRY(check_up(node, op));
    if (sim_happens(sim, SIM_ANSWER_LOST, 60)) {
        sim_sleep(sim, 200 + sim_random(sim, 800));
        return hf_fail(op, HF_IN_DOUBT, "an answer was lost");
    }
    return HF_SUCCESS;
}

/* The entry will arrive when its sender has given up. */
static bool is_late(struct sim *sim, const struct sim_entry *entry)
{
    struct sim_late *free_slot = NULL;

    for (size_t i = 0; i < SIM_LATE; i++) {
        if (!sim->store.late[i].used) {
            free_slot = &sim->store.late[i];
        }
    }
    if (free_slot == NULL || !sim_happens(sim, SIM_LATE_MESSAGE, 80)) {
        return false;
    }
    *free_slot = (struct sim_late){ true, sim->now_ms + 50 + sim_random(sim, 4000), *entry };
    return true;
}

/* Waits for the standby. A failover in between leaves the end unknown. */
static struct hf_status replicate(struct sim_node *node, struct hf_op *op,
                                  struct sim_branch *branch, size_t at)
{
    struct sim *sim = node->sim;
    uint64_t epoch = branch->epoch;

    sim_sleep(sim, !sim->quiet && sim_random(sim, 50) == 0 ? 500 + sim_random(sim, 2500)
                                                           : sim_random(sim, 12));
    if (branch != &sim->store.now || sim->store.now.epoch != epoch) {
        sim->faults[SIM_AMBIGUOUS]++;
        sim_sleep(sim, 100 + sim_random(sim, 900));
        return hf_fail(op, HF_IN_DOUBT, "the primary was replaced");
    }
    if (sim->store.now.durable < at + 1) {
        sim->store.now.durable = at + 1;
    }
    return HF_SUCCESS;
}

/* --- heartbeats --- */

static struct sim_node *node_of(struct hf_engine *engine)
{
    return (struct sim_node *)((char *)engine - offsetof(struct sim_node, engine));
}

static struct hf_status put_beat(struct sim_node *node, struct hf_op *op,
                                 const struct sim_entry *entry, bool synchronous, uint64_t *out_seq)
{
    struct sim_branch *branch = branch_of(node);
    uint64_t seq = seq_at(branch, branch->len);

    append(branch, entry);
    if (sim_happens(node->sim, SIM_DOUBLED, 60)) {
        append(branch, entry);
    }
    if (synchronous) {
        HF_TRY(replicate(node, op, branch, branch->len - 1));
    }
    HF_TRY(come_back(node, op, synchronous ? SIM_CALL_BEAT : SIM_CALL_NEWS));
    if (synchronous) {
        *out_seq = seq;
        node->confirmed = seq > node->confirmed ? seq : node->confirmed;
    }
    return HF_SUCCESS;
}

static struct hf_status sim_beat(struct hf_engine *engine, struct hf_op *op,
                                 const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    struct sim_node *node = node_of(engine);
    struct sim_entry entry = { .kind = SIM_BEAT, .node = node->index, .beat = *beat };
    uint64_t began_ms = node->sim->now_ms;
    struct hf_status status;

    entry.beat.body = keep_body(&node->sim->store, beat->body);
    entry.beat.node = node->name;
    HF_TRY(go_there(node, op, synchronous ? SIM_CALL_BEAT : SIM_CALL_NEWS));
    if (is_late(node->sim, &entry)) {
        return hf_fail(op, HF_IN_DOUBT, "the heartbeat is late");
    }
    status = put_beat(node, op, &entry, synchronous, out_seq);
    if (node->sim->mutation == SIM_LEASE_FROM_AFTER && synchronous) {
        /* As if the clock had been read after the commit only. */
        node->clock_lost_ms += (node->sim->now_ms - began_ms) * node->clock_rate / 1000;
    }
    return status;
}

/* How much of the log the host that is asked shows: never less than this node has confirmed. */
static size_t choose_view(struct sim_node *node, const struct sim_branch *branch)
{
    size_t len = sim_random(node->sim, 3) == 0 ? branch->len : branch->durable;
    size_t lag = sim_random(node->sim, 4) == 0 ? sim_random(node->sim, 12) : 0;

    if (branch == &node->sim->store.old) {
        len = branch->len;
    }
    while (lag > 0 && len > 1 && seq_at(branch, len - 1) >= node->confirmed) {
        len--;
        lag--;
    }
    return len;
}

static struct hf_status sim_beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                                  void *context, uint64_t *out_seq)
{
    struct sim_node *node = node_of(engine);
    const struct sim_branch *branch;
    struct hf_beat rows[SIM_NODES] = { 0 };
    size_t len;
    uint64_t seq;

    HF_TRY(go_there(node, op, SIM_CALL_LOOK));
    branch = branch_of(node);
    len = choose_view(node, branch);
    seq = seq_at(branch, len);
    for (size_t i = 0; i < len; i++) {
        const struct sim_entry *entry = &branch->entries[i];

        if (entry->kind == SIM_BEAT) {
            rows[entry->node] = entry->beat;
        } else if (entry->kind == SIM_DELETE) {
            rows[entry->node] = (struct hf_beat){ 0 };
        }
    }
    HF_TRY(come_back(node, op, SIM_CALL_LOOK));
    for (size_t i = 0; i < SIM_NODES; i++) {
        if (rows[i].node != NULL) {
            HF_TRY(visit(context, &rows[i]));
        }
    }
    *out_seq = seq;
    return HF_SUCCESS;
}

const struct hf_engine_ops sim_engine = {
    .name = "model",
    .beat = sim_beat,
    .beats = sim_beats,
};

/* --- batches --- */

struct hf_status sim_commit(struct sim_node *node, struct hf_op *op, uint64_t request,
                            const struct sim_record *record, uint64_t *out_seq)
{
    struct sim_entry entry = { .kind = SIM_BATCH, .request = request, .record = *record };
    const struct sim_entry *first;
    struct sim_branch *branch;
    size_t at = 0;
    uint64_t seq;

    HF_TRY(go_there(node, op, SIM_CALL_COMMIT));
    if (is_late(node->sim, &entry)) {
        sim_sleep(node->sim, 300);
        return hf_fail(op, HF_IN_DOUBT, "the commit is late");
    }
    branch = branch_of(node);
    first = request_of(branch, request);
    if (first == NULL && revision_of(branch, record->key) + 1 != record->revision) {
        return hf_fail(op, HF_CONFLICT, "somebody else changed it");
    }
    if (first != NULL) {
        node->sim->faults[SIM_REPEATED]++;
        seq = first->seq;
        (void)sim_batch(branch, seq, &at);
    } else {
        append(branch, &entry);
        at = branch->len - 1;
        seq = branch->entries[at].seq;
    }
    HF_TRY(replicate(node, op, branch, at));
    HF_TRY(come_back(node, op, SIM_CALL_COMMIT));
    node->confirmed = seq > node->confirmed ? seq : node->confirmed;
    *out_seq = seq;
    return HF_SUCCESS;
}

bool sim_read(struct sim_node *node, struct hf_op *op, uint64_t seq, struct sim_entry *out)
{
    const struct sim_entry *entry;
    size_t at = 0;

    if (go_there(node, op, SIM_CALL_READ).code != HF_OK) {
        return false;
    }
    entry = sim_batch(branch_of(node), seq, &at);
    if (entry == NULL) {
        return false;
    }
    *out = *entry;
    return come_back(node, op, SIM_CALL_READ).code == HF_OK;
}

/* --- what the adversary does --- */

void sim_failover(struct sim *sim)
{
    struct sim_store *store = &sim->store;
    size_t keep = store->now.durable + sim_random(sim, store->now.len - store->now.durable + 1);

    if (keep < store->now.len) {
        sim->faults[SIM_WENT_BACK]++;
    }
    sim_trace(sim, "failover: %zu of %zu entries stay, %zu durable", keep, store->now.len,
              store->now.durable);
    free(store->old.entries);
    store->old = store->now;
    store->has_old = true;
    store->now.entries = hf_alloc_array(store->old.room + 1, sizeof *store->now.entries);
    if (keep > 0) {
        memcpy(store->now.entries, store->old.entries, keep * sizeof *store->now.entries);
    }
    store->now.room = store->old.room;
    store->now.len = keep;
    store->now.epoch++;
    for (size_t i = 0; i < SIM_NODES; i++) {
        sim->nodes[i].on_old = sim_random(sim, 2) == 0;
    }
}

void sim_deliver_late(struct sim *sim)
{
    struct sim_branch *branch = &sim->store.now;

    for (size_t i = 0; i < SIM_LATE; i++) {
        struct sim_late *late = &sim->store.late[i];
        const struct sim_record *record = &late->entry.record;

        if (!late->used || late->at_ms > sim->now_ms) {
            continue;
        }
        late->used = false;
        if (late->entry.kind == SIM_BEAT ||
            (request_of(branch, late->entry.request) == NULL &&
             revision_of(branch, record->key) + 1 == record->revision)) {
            append(branch, &late->entry);
        }
        if (late->entry.kind == SIM_BEAT) {
            sim->nodes[late->entry.node].hidden_until_ms = sim->now_ms + HIDDEN_MS;
        }
    }
}

/* Somebody writes into the table: columns that promise much, over a body he has seen. */
void sim_forge_row(struct sim *sim, int node)
{
    struct sim_branch *branch = &sim->store.now;
    struct sim_entry entry = { .kind = SIM_BEAT };

    for (size_t i = branch->len; i-- > 0 && entry.beat.node == NULL;) {
        if (branch->entries[i].kind == SIM_BEAT && branch->entries[i].node == node) {
            entry = branch->entries[i];
        }
    }
    if (entry.beat.node == NULL) {
        return;
    }
    entry.beat.number += 1 + sim_random(sim, 1000);
    entry.beat.applied_seq += 1000;
    entry.beat.confirmed_seq += sim_random(sim, 2) * 1000;
    append(branch, &entry);
    branch->durable = branch->durable == branch->len - 1 ? branch->len : branch->durable;
    sim_trace(sim, "the row of n%d is forged", node);
    sim->nodes[node].hidden_until_ms = sim->now_ms + HIDDEN_MS;
    sim->faults[SIM_ROW_FORGED]++;
}

void sim_delete_row(struct sim *sim, int node)
{
    struct sim_entry entry = { .kind = SIM_DELETE, .node = node };

    append(&sim->store.now, &entry);
    sim_trace(sim, "the row of n%d is deleted", node);
    sim->nodes[node].hidden_until_ms = sim->now_ms + HIDDEN_MS;
    sim->faults[SIM_ROW_DELETED]++;
}
