/* A node of the simulation: its clock, its copy of the store, and the clients that it serves. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/cluster_internal.h"
#include "sim.h"

#define MAX_STALE_MS      6000
#define MAX_STALE_WRAP_MS 3000
#define POLL_MS           100
/* How long an answer waits until it is marked. */
#define SHOW_WAIT_MS 300
/* Sooner than a daemon would: what is promised does not depend on who is really silent. */
#define AWAY_MS 1500
/* What a dead node reads: whatever waits there is over. */
#define END_OF_TIME (UINT64_MAX / 4)

static const struct sim_record first_list = { .key = -1, .members = (1U << SIM_NODES) - 1 };

/* --- the clock --- */

uint64_t sim_node_clock_ms(const struct sim_node *node)
{
    return node->clock_offset_ms + node->sim->now_ms * node->clock_rate / 1000 -
           node->clock_lost_ms;
}

uint64_t sim_node_true_ms(const struct sim_node *node, uint64_t clock_ms)
{
    uint64_t since = clock_ms + node->clock_lost_ms - node->clock_offset_ms;

    return since * 1000 / node->clock_rate + 1;
}

static struct sim_node *node_of_env(struct hf_env *env)
{
    return env->context;
}

static bool is_over(const struct sim_node *node)
{
    return node->dead || node->sim->ending;
}

static uint64_t boottime_ms(struct hf_env *env)
{
    struct sim_node *node = node_of_env(env);

    return is_over(node) ? END_OF_TIME : sim_node_clock_ms(node);
}

static uint64_t realtime_ms(struct hf_env *env)
{
    return 1795303860123U + node_of_env(env)->sim->now_ms;
}

static void random_bytes(struct hf_env *env, void *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)out)[i] = (uint8_t)sim_random(node_of_env(env)->sim, 256);
    }
}

static const struct hf_env_ops env_ops = { realtime_ms, boottime_ms, random_bytes };

/* --- what the cluster layer asks for --- */

static struct hf_status mac(void *context, struct hf_op *op, struct hf_bytes text,
                            uint8_t out[HF_CLUSTER_MAC_LEN])
{
    struct sim_node *node = context;
    uint64_t hash = 0x9e3779b97f4a7c15U;

    (void)op;
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ text.data[i]) * 0x100000001b3U;
    }
    if (node->sim->mutation == SIM_MAC_UNCHECKED) {
        hash = 0;
    }
    for (size_t i = 0; i < HF_CLUSTER_MAC_LEN; i++) {
        out[i] = (uint8_t)(hash >> (i % 8 * 8));
    }
    return HF_SUCCESS;
}

static void tell_members(struct sim_node *node, unsigned waited_for)
{
    static const char *const all[SIM_NODES] = { "n0", "n1", "n2" };
    const char *names[SIM_NODES];
    size_t count = 0;

    for (size_t i = 0; i < SIM_NODES; i++) {
        if ((waited_for & 1U << i) != 0) {
            names[count++] = all[i];
        }
    }
    hf_cluster_set_members(node->cluster, names, count);
    if (node->sim->mutation == SIM_SHRUNK_AT_ONCE) {
        node->cluster->shrunk_ms = 0;
    }
}

/* Those that the list names, but for those who are away. */
static void tell_list(struct sim_node *node)
{
    const struct sim_record *list = &node->mirror.list;
    unsigned away = list->away;

    if (node->sim->mutation == SIM_AWAY_LEASED) {
        away &= ~(1U << node->index);
    }
    tell_members(node, list->members & ~away);
}

/* A node that starts loads its copy, and tries the candidates in it. */
static void tell_candidates(struct sim_node *node)
{
    for (size_t i = 0; i < SIM_KEYS; i++) {
        if (node->mirror.candidates[i] != 0) {
            hf_cluster_candidate(node->cluster, node->mirror.candidates[i]);
        }
    }
}

/* Nothing may be applied that a failover could still take. */
static void check_durable(struct sim_node *node, const struct sim_entry *entry)
{
    const struct sim_branch *branch = &node->sim->store.now;
    size_t at = 0;
    const struct sim_entry *truth = sim_batch(branch, entry->seq, &at);

    if (truth == NULL || truth->request != entry->request || at >= branch->durable) {
        sim_fail(node->sim, "I7: %s applies change %llu, which is not confirmed", node->name,
                 (unsigned long long)entry->seq);
    }
}

static void apply(struct sim_node *node, const struct sim_entry *entry)
{
    const struct sim_record *record = &entry->record;
    struct sim_mirror *mirror = &node->mirror;

    check_durable(node, entry);
    mirror->applied = entry->seq;
    if (node->sim->mutation == SIM_PASSED_OVER && sim_random(node->sim, 50) == 0) {
        return;
    }
    if (record->key < 0) {
        mirror->list = *record;
        tell_list(node);
        return;
    }
    if (record->primary < mirror->keys[record->key].primary) {
        sim_fail(node->sim, "I3: the primary of key %d goes back on %s", record->key, node->name);
    }
    mirror->keys[record->key] = *record;
    mirror->materials[record->key][record->newest % SIM_VERSIONS] = record->material;
    mirror->candidates[record->key] = record->pending ? entry->seq : 0;
    if (record->shown == record->revision) {
        mirror->shown[record->key] = entry->seq;
    }
    if (record->pending) {
        hf_cluster_candidate(node->cluster, entry->seq);
    }
}

/* A mutant says that it has applied what it will apply the next time. */
static uint64_t choose_end(struct sim_node *node, uint64_t up_to)
{
    uint64_t end = up_to;

    if (node->sim->mutation == SIM_ABOVE_WATERMARK) {
        end = UINT64_MAX;
    }
    if (node->sim->mutation == SIM_APPLIED_TOO_SOON) {
        end = node->up_to;
        node->up_to = up_to;
    }
    return end;
}

static struct hf_status follow(void *context, struct hf_op *op, uint64_t up_to,
                               uint64_t *out_applied)
{
    struct sim_node *node = context;
    uint64_t end = choose_end(node, up_to);

    while (node->mirror.applied < end) {
        struct sim_entry entry;

        if (!sim_read(node, op, node->mirror.applied + 1, &entry) || is_over(node)) {
            break;
        }
        apply(node, &entry);
    }
    *out_applied = node->sim->mutation == SIM_APPLIED_TOO_SOON ? up_to : node->mirror.applied;
    return HF_SUCCESS;
}

static struct hf_status open_version(void *context, struct hf_op *op, uint64_t seq)
{
    struct sim_node *node = context;
    size_t at = 0;
    const struct sim_entry *entry = sim_batch(&node->sim->store.now, seq, &at);
    struct sim_record record = entry != NULL ? entry->record : (struct sim_record){ .key = -1 };

    sim_sleep(node->sim, sim_random(node->sim, 10));
    if (record.material % 40 == (uint64_t)node->index) {
        node->sim->faults[SIM_OPEN_FAILED]++;
        return hf_fail(op, HF_CORRUPT, "a bad record");
    }
    if (record.key >= 0) {
        node->opened[record.key][record.newest % SIM_VERSIONS] = record.material;
    }
    return HF_SUCCESS;
}

static struct hf_status keep(void *context, struct hf_op *op, struct hf_bytes stamp)
{
    struct sim_node *node = context;

    (void)op;
    hf_assert(stamp.len <= sizeof node->mirror.stamp);
    memcpy(node->mirror.stamp, stamp.data, stamp.len);
    node->mirror.stamp_len = stamp.len;
    return HF_SUCCESS;
}

static void wait_news(void *context, uint64_t news, uint64_t until_ms)
{
    struct sim_node *node = context;
    struct sim_fiber *self = node->sim->current;

    if (is_over(node)) {
        sim_sleep(node->sim, 1);
        return;
    }
    self->waiting = true;
    self->news = news;
    sim_sleep_until(node->sim, sim_node_true_ms(node, until_ms));
    self->waiting = false;
}

static void tell(void *context, uint64_t news)
{
    struct sim_node *node = context;

    for (size_t i = 0; i < SIM_FLOWS; i++) {
        if (node->flows[i].waiting && node->flows[i].news < news) {
            node->flows[i].wake_ms = node->sim->now_ms;
        }
    }
}

static void wake(void *context)
{
    struct sim_node *node = context;

    if (node->flows[SIM_TICKER].idle) {
        node->flows[SIM_TICKER].wake_ms = node->sim->now_ms;
    }
}

/* A node of the model opens with follow() whatever it shows: there is nothing that it missed. */
static struct hf_status open_missed(void *context, struct hf_op *op, uint64_t after_seq,
                                    bool from_beginning, bool *out_left)
{
    (void)context;
    (void)op;
    (void)after_seq;
    (void)from_beginning;
    *out_left = false;
    return HF_SUCCESS;
}

static const struct hf_cluster_calls calls = {
    .mac = mac,
    .follow = follow,
    .open_version = open_version,
    .open_missed = open_missed,
    .keep = keep,
    .wait = wait_news,
    .tell = tell,
    .wake = wake,
};

/* --- its flows --- */

static void run_ticker(void *argument)
{
    struct sim_fiber *self = argument;
    struct sim_node *node = self->node;

    while (!is_over(node)) {
        struct hf_op op;
        uint64_t next_ms = 0;

        hf_op_init(&op, &node->env);
        (void)hf_cluster_tick(node->cluster, &op, &next_ms).code;
        sim_check_leases(node->sim, "after a turn");
        if (!is_over(node)) {
            self->idle = true;
            sim_sleep_until(node->sim, sim_node_true_ms(node, next_ms));
            self->idle = false;
        }
    }
}

/* The node may stand still here, as a process that is stopped does. */
static void think(struct sim_node *node)
{
    struct sim *sim = node->sim;

    if (!sim->quiet && sim_random(sim, 300) == 0) {
        sim->faults[SIM_STOPPED_BETWEEN]++;
        node->stopped_until_ms = sim->now_ms + 300 + sim_random(sim, 8000);
    }
    sim_sleep(sim, sim_random(sim, sim_random(sim, 3) == 0 ? 800 : 5));
}

/* Asked again as the mutation has it. */
static bool still_holds(struct sim_node *node, struct hf_op *op, const struct hf_standing *grant)
{
    struct sim *sim = node->sim;
    bool holds = hf_cluster_still(node->cluster, op, grant).code == HF_OK;

    sim->faults[SIM_LEASE_ENDED] += !holds;
    if (sim->mutation == SIM_ANY_LEASE) {
        holds = holds || hf_cluster_lease(node->cluster) != 0;
    }
    return holds || sim->mutation == SIM_NOT_ASKED_AGAIN;
}

/* A candidate of the key may be promoted and acknowledged without this node. */
static bool is_held_back(struct sim_node *node, int key)
{
    struct sim *sim = node->sim;
    uint64_t seq = node->mirror.candidates[key];
    bool held = seq != 0 && !hf_cluster_leased_before(node->cluster, seq);

    return held && sim->mutation != SIM_NOT_HELD_BACK;
}

/* --- what one node shows, no other shows older: as service/agreed.c does --- */

struct waiting {
    struct sim_node *node;
    int key;
    uint64_t seq;
};

static bool is_decided(void *context)
{
    const struct waiting *waiting = context;

    return is_over(waiting->node) || !is_held_back(waiting->node, waiting->key);
}

static bool is_in_force(void *context)
{
    const struct waiting *waiting = context;

    return is_over(waiting->node) || hf_cluster_in_force(waiting->node->cluster) >= waiting->seq;
}

static bool wait_to_show(struct waiting *waiting, bool (*done)(void *context))
{
    struct sim_node *node = waiting->node;

    return hf_cluster_wait_until(node->cluster, done, waiting,
                                 sim_node_clock_ms(node) + SHOW_WAIT_MS);
}

/* Before anything is read: false, if the answer needs a mark. */
static bool hear_of_candidate(struct sim_node *node, int key)
{
    struct waiting waiting = { node, key, 0 };

    if (is_decided(&waiting)) {
        return true;
    }
    node->sim->faults[SIM_HELD_BACK]++;
    return wait_to_show(&waiting, is_decided);
}

/* Before the answer, which shows the key as of that commit. */
static bool is_agreed(struct sim_node *node, int key, uint64_t seq)
{
    struct waiting waiting = { node, key, seq };

    if (!is_in_force(&waiting) && node->sim->mutation != SIM_SHOWN_TOO_SOON) {
        node->sim->faults[SIM_WAITED_TO_SHOW]++;
        if (!wait_to_show(&waiting, is_in_force)) {
            return false;
        }
    }
    return is_decided(&waiting);
}

/* --- what clients ask for --- */

/* What a node tells of a key, or a data key that it makes with the primary version. */
struct shown {
    struct sim_record record;
    uint64_t seq;
    uint64_t material;
    uint32_t floor; /* acknowledged by the time it was read */
};

static struct shown read_key(struct sim_node *node, int key)
{
    const struct sim_mirror *mirror = &node->mirror;
    struct sim_record record = mirror->keys[key];

    return (struct shown){ record, mirror->shown[key],
                           mirror->materials[key][record.primary % SIM_VERSIONS],
                           node->sim->floor[key] };
}

static bool may_use(struct sim_node *node, struct hf_op *op, enum hf_cluster_use use,
                    struct hf_standing *out)
{
    bool always = node->sim->mutation == SIM_ALWAYS_STALE;

    return hf_cluster_may(node->cluster, op, use, always ? UINT64_MAX - 1 : MAX_STALE_MS,
                          always ? UINT64_MAX - 1 : MAX_STALE_WRAP_MS, out)
               .code == HF_OK;
}

/* The answer leaves: what is marked says itself that others may know better. */
static void leave(struct sim_node *node, const struct sim_use *use, const struct shown *shown,
                  const struct hf_standing *grant)
{
    struct sim *sim = node->sim;
    uint32_t version = shown->record.primary;
    bool marked = grant->stale || grant->ahead;

    if (!marked) {
        sim_note_look(sim, use, shown->record.shown);
    }
    sim->faults[SIM_STALE_ANSWER] += grant->stale;
    sim->faults[SIM_MARKED] += grant->ahead;
    sim->faults[SIM_REFUSED] += shown->record.revoked;
    if (version == 0 || shown->record.revoked) {
        return;
    }
    sim->answers++;
    sim_check_use(node, use, grant, MAX_STALE_WRAP_MS);
    sim_hand_out(node, use->key, version, shown->material, marked);
    if (!marked && version < shown->floor) {
        sim_fail(sim, "lease: %s generates with version %u of key %d after %u was acknowledged",
                 node->name, version, use->key, shown->floor);
    }
}

static void generate(struct sim_node *node, struct hf_op *op, int key)
{
    struct sim *sim = node->sim;
    struct sim_use use = sim_begin_use(sim, key);
    struct hf_standing grant;
    struct shown shown;

    if (!may_use(node, op, HF_CLUSTER_WRAP, &grant)) {
        return;
    }
    think(node);
    if (is_over(node)) {
        return;
    }
    grant.ahead = !grant.stale && !hear_of_candidate(node, key);
    if (is_over(node)) {
        return;
    }
    shown = read_key(node, key);
    think(node);
    if (is_over(node)) {
        return;
    }
    grant.ahead = grant.ahead || (!grant.stale && !is_agreed(node, key, shown.seq));
    if (!is_over(node) && still_holds(node, op, &grant)) {
        leave(node, &use, &shown, &grant);
    }
}

/* Somebody brings a data key that was handed out before, by whichever node. */
static void open_data_key(struct sim_node *node, struct hf_op *op, int key)
{
    struct sim *sim = node->sim;
    struct sim_use use = sim_begin_use(sim, key);
    uint32_t newest = sim->newest_handed[key];
    uint32_t newest_shown = sim->newest_shown[key];
    struct hf_standing grant;
    uint32_t version;
    bool revoked;
    bool opens;

    if (newest == 0 || !may_use(node, op, HF_CLUSTER_OPEN, &grant)) {
        return;
    }
    version = newest - (uint32_t)sim_random(sim, newest < 3 ? newest : 3);
    think(node);
    if (is_over(node) || !sim->handed[key][version % SIM_VERSIONS].is) {
        return;
    }
    revoked = node->mirror.keys[key].revoked;
    opens = sim_opens(node, key, version);
    think(node);
    if (is_over(node) || !still_holds(node, op, &grant)) {
        return;
    }
    sim->faults[SIM_REFUSED] += revoked;
    if (!opens && !grant.stale && version <= newest_shown) {
        sim_fail(sim, "I5: %s cannot open what was wrapped with version %u of key %d", node->name,
                 version, key);
    }
    if (opens && !revoked) {
        sim->opens++;
        sim_check_use(node, &use, &grant, MAX_STALE_MS);
    }
}

static void run_reader(void *argument)
{
    struct sim_fiber *self = argument;
    struct sim_node *node = self->node;

    while (!is_over(node)) {
        struct hf_op op;

        sim_sleep(node->sim, 10 + sim_random(node->sim, 100));
        hf_op_init(&op, &node->env);
        if (is_over(node) || node->sim->quiet) {
            continue;
        }
        if (sim_random(node->sim, 3) == 0) {
            open_data_key(node, &op, (int)sim_random(node->sim, SIM_KEYS));
        } else {
            generate(node, &op, (int)sim_random(node->sim, SIM_KEYS));
        }
    }
}

/* --- changes --- */

/* A mutant repeats as somebody would who asks anew. */
static void ask_anew(struct sim *sim, struct sim_record *record, uint64_t *request)
{
    struct sim_record now = sim_newest(sim, record->key);

    if (sim->mutation == SIM_REPEAT_ANEW && record->key >= 0 && record->pending) {
        *request = ++sim->next_request;
        record->revision = now.revision + 1;
        record->newest = now.newest + 1;
    }
}

/* Commits, and repeats under the same id for as long as a client would. */
static struct hf_status commit(struct sim_node *node, struct hf_op *op, uint64_t *request,
                               struct sim_record *record, uint64_t *out_seq)
{
    struct sim *sim = node->sim;
    struct hf_status status = sim_commit(node, op, *request, record, out_seq);

    for (int i = 0; i < 6 && (status.code == HF_IN_DOUBT || status.code == HF_UNAVAILABLE); i++) {
        if (is_over(node)) {
            return status;
        }
        if (status.code == HF_IN_DOUBT && sim->mutation == SIM_DOUBT_IS_SUCCESS) {
            *out_seq = node->mirror.applied;
            return HF_SUCCESS;
        }
        sim_sleep(sim, 20 + sim_random(sim, 300));
        ask_anew(sim, record, request);
        status = sim_commit(node, op, *request, record, out_seq);
    }
    return status;
}

/* Asks whether all can open the candidate; false: nobody knows, or nobody is left who asked. */
static bool prove(struct sim_node *node, struct hf_op *op, const struct sim_record *record,
                  uint64_t seq, bool *out_promote)
{
    struct sim *sim = node->sim;
    uint64_t committed_ms = sim->now_ms;
    struct hf_cluster_proof proof = { .promote = true, .proven_on = 1 };

    if (sim->mutation == SIM_NOBODY_ASKED) {
        sim_sleep(sim, sim_random(sim, 50));
    } else if (hf_cluster_prove(node->cluster, op, seq, NULL, 0, &proof).code != HF_OK) {
        return false;
    }
    if (is_over(node)) {
        return false;
    }
    if (proof.promote && proof.proven_on == 0) {
        sim_fail(sim, "proof: %s promotes what nobody has opened", node->name);
    }
    if (proof.promote) {
        sim_check_proof(node, record, committed_ms);
    }
    *out_promote = proof.promote;
    return true;
}

/* Waits as the mutation has it; false: nobody was answered. */
static bool wait_in_force(struct sim_node *node, struct hf_op *op, uint64_t seq,
                          uint64_t announced_ms)
{
    struct sim *sim = node->sim;
    uint64_t began_ms = sim_node_clock_ms(node);
    struct hf_status status = HF_SUCCESS;

    if (sim->mutation == SIM_ACK_EARLY) {
        sim_sleep(sim, 1500);
    } else if (sim->mutation != SIM_ACK_AT_ONCE) {
        status = hf_cluster_wait_applied(node->cluster, op, seq, announced_ms);
    }
    if (is_over(node) || status.code != HF_OK) {
        return false;
    }
    if (hf_cluster_in_force(node->cluster) < seq) {
        sim->faults[SIM_ANNOUNCED]++;
    } else if (sim_node_clock_ms(node) - began_ms >= HF_CLUSTER_ACK_MS) {
        sim->faults[SIM_WAITED_OUT]++;
    } else {
        sim->faults[SIM_APPLIED_BY_ALL]++;
        sim->faults[SIM_ACKED_WITHOUT] += (node->mirror.list.members & node->mirror.list.away) != 0;
    }
    return true;
}

/* Whoever has a lease has applied known_seq. */
static void acknowledge(struct sim_node *node, uint64_t seq, uint64_t known_seq, uint64_t request)
{
    struct sim *sim = node->sim;

    sim_trace(sim, "%s acknowledges change %llu", node->name, (unsigned long long)seq);
    hf_assert(sim->ack_count < SIM_ACKS);
    sim->acks[sim->ack_count++] = (struct sim_ack){ seq, request };
    if (known_seq > sim->acked_seq) {
        sim->acked_seq = known_seq;
    }
    sim_check_leases(sim, "at an acknowledgement");
}

static void rotate(struct sim_node *node, struct hf_op *op, int key)
{
    struct sim *sim = node->sim;
    struct sim_record record = node->mirror.keys[key];
    uint64_t request = ++sim->next_request;
    uint64_t begin = sim_step(sim);
    uint64_t candidate_seq = 0;
    uint64_t announced_ms;
    uint64_t seq = 0;
    size_t change = 0;
    bool promote = false;

    record.key = key;
    record.revision++;
    record.newest++;
    record.pending = true;
    record.material = sim_random(sim, UINT32_MAX);
    record.rotation = request;
    if (commit(node, op, &request, &record, &candidate_seq).code != HF_OK || is_over(node)) {
        return;
    }
    announced_ms = sim_node_clock_ms(node);
    if (!prove(node, op, &record, candidate_seq, &promote)) {
        return;
    }
    record.revision++;
    record.pending = false;
    request = ++sim->next_request;
    if (promote) {
        record.primary = record.newest;
        record.shown = record.revision;
        change = sim_note_change(sim, request, begin);
    }
    if (commit(node, op, &request, &record, &seq).code != HF_OK ||
        !wait_in_force(node, op, seq, announced_ms)) {
        return;
    }
    if (record.primary > sim->floor[key]) {
        sim->floor[key] = record.primary;
    }
    if (promote) {
        sim_note_answer(sim, change);
    }
    acknowledge(node, seq, hf_cluster_in_force(node->cluster) < seq ? candidate_seq : seq, request);
}

/*
 * Revokes the key or restores it, as deletion and recovery do. A candidate that is pending ends
 * with it: its promotion finds that somebody else has changed the key.
 */
static void change_state(struct sim_node *node, struct hf_op *op, int key)
{
    struct sim *sim = node->sim;
    struct sim_record record = node->mirror.keys[key];
    uint64_t request = ++sim->next_request;
    size_t change = sim_note_change(sim, request, sim_step(sim));
    uint64_t announced_ms = 0;
    uint64_t seq = 0;

    record.key = key;
    record.revision++;
    record.pending = false;
    record.revoked = !record.revoked;
    record.shown = record.revision;
    if (!record.revoked) {
        sim_note_restoring(sim, key, record.revision);
    }
    if (commit(node, op, &request, &record, &seq).code != HF_OK) {
        return;
    }
    if (sim->mutation == SIM_REVOKED_TOO_SOON) {
        announced_ms = sim_node_clock_ms(node) - HF_CLUSTER_ACK_MS;
    }
    if (!wait_in_force(node, op, seq, announced_ms)) {
        return;
    }
    sim->faults[record.revoked ? SIM_REVOKED : SIM_RESTORED]++;
    sim_note_answer(sim, change);
    if (record.revoked) {
        sim_note_revoked(sim, key, record.revision);
    }
    acknowledge(node, seq, announced_ms != 0 ? 0 : seq, request);
}

/* Of a key that is revoked nobody makes versions. */
static void change_key(struct sim_node *node, struct hf_op *op, int key)
{
    const struct sim_record *record = &node->mirror.keys[key];

    if (record->revoked || (record->primary > 0 && sim_random(node->sim, 4) == 0)) {
        change_state(node, op, key);
    } else {
        rotate(node, op, key);
    }
}

static void change_members(struct sim_node *node, struct hf_op *op)
{
    struct sim *sim = node->sim;
    struct sim_record record = node->mirror.list;
    uint64_t request = ++sim->next_request;
    uint64_t seq = 0;

    record.revision++;
    record.members = record.members == (1U << SIM_NODES) - 1
                         ? record.members & ~(1U << sim_random(sim, SIM_NODES))
                         : (1U << SIM_NODES) - 1;
    if (commit(node, op, &request, &record, &seq).code == HF_OK &&
        wait_in_force(node, op, seq, 0)) {
        sim->faults[SIM_MEMBER_REMOVED]++;
        acknowledge(node, seq, seq, request);
    }
}

static void run_writer(void *argument)
{
    struct sim_fiber *self = argument;
    struct sim_node *node = self->node;
    struct sim *sim = node->sim;

    while (!is_over(node)) {
        struct hf_standing grant;
        struct hf_op op;

        sim_sleep(sim, 50 + sim_random(sim, 800));
        hf_op_init(&op, &node->env);
        if (is_over(node) || sim->quiet || sim->ack_count + 2 * SIM_NODES >= SIM_ACKS ||
            hf_cluster_may(node->cluster, &op, HF_CLUSTER_CHANGE, 0, 0, &grant).code != HF_OK) {
            continue;
        }
        if (sim_random(sim, 12) == 0) {
            change_members(node, &op);
        } else {
            change_key(node, &op, (int)sim_random(sim, SIM_KEYS));
        }
    }
}

/* --- members that go away and come back --- */

/* One whose silence was noticed. */
struct silence {
    const struct sim_node *node;
    unsigned silent; /* bits */
};

static void notice(void *context, const struct hf_cluster_member *member)
{
    struct silence *silence = context;

    if (!member->self && member->quiet_ms >= AWAY_MS) {
        silence->silent |= 1U << (member->node[1] - '0');
    }
}

static void send_away(struct sim_node *node, struct hf_op *op, unsigned silent)
{
    struct sim *sim = node->sim;
    struct sim_record record = node->mirror.list;
    uint64_t request = ++sim->next_request;
    uint64_t seq = 0;

    record.revision++;
    record.away |= silent;
    sim_trace(sim, "%s sends away %x", node->name, silent);
    if (commit(node, op, &request, &record, &seq).code == HF_OK &&
        wait_in_force(node, op, seq, 0)) {
        sim->faults[SIM_SENT_AWAY]++;
        acknowledge(node, seq, seq, request);
    }
}

/* The one change that a node makes without a lease. */
static void come_back(struct sim_node *node, struct hf_op *op)
{
    struct sim *sim = node->sim;
    struct sim_record record = node->mirror.list;
    uint64_t request = ++sim->next_request;
    uint64_t seq = 0;

    record.revision++;
    record.away &= ~(1U << node->index);
    sim_trace(sim, "%s wants to come back", node->name);
    if (sim->mutation == SIM_BACK_TOO_SOON) {
        tell_members(node, record.members & ~record.away);
    }
    if (commit(node, op, &request, &record, &seq).code == HF_OK &&
        wait_in_force(node, op, seq, 0)) {
        sim->faults[SIM_CAME_BACK]++;
        acknowledge(node, seq, seq, request);
    }
}

static void keep_list(struct sim_node *node, struct hf_op *op)
{
    struct silence silence = { .node = node };
    struct hf_cluster_view view;

    hf_cluster_look(node->cluster, &view, notice, &silence);
    if (view.able && node->sim->mutation != SIM_STAYS_AWAY &&
        (node->mirror.list.away & 1U << node->index) != 0) {
        come_back(node, op);
    } else if (view.lease != 0 && (silence.silent & ~node->mirror.list.away) != 0) {
        send_away(node, op, silence.silent);
    }
}

static void run_keeper(void *argument)
{
    struct sim_fiber *self = argument;
    struct sim_node *node = self->node;

    while (!is_over(node)) {
        struct hf_op op;

        sim_sleep(node->sim, 50 + sim_random(node->sim, 400));
        hf_op_init(&op, &node->env);
        if (!is_over(node) && node->sim->ack_count + 2 * SIM_NODES < SIM_ACKS) {
            keep_list(node, &op);
        }
    }
}

/* --- its life --- */

void sim_node_init(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];

    node->sim = sim;
    node->index = index;
    (void)snprintf(node->name, sizeof node->name, "n%d", index);
    node->engine.ops = &sim_engine;
    node->env = (struct hf_env){ .ops = &env_ops, .context = node };
    node->mirror.list = first_list;
    node->clock_offset_ms = 100000 + sim_random(sim, 1000000);
    node->clock_rate = 970 + sim_random(sim, 61);
    for (size_t i = 0; i < SIM_FLOWS; i++) {
        node->flows[i].sim = sim;
        node->flows[i].node = node;
    }
}

void sim_node_start(struct sim_node *node)
{
    static void (*const runs[SIM_FLOWS])(void *) = { run_ticker, run_reader, run_writer,
                                                     run_keeper };
    struct hf_cluster_settings settings = {
        .env = &node->env,
        .engine = &node->engine,
        .node = node->name,
        .site = "here",
        .boot_id = { (uint8_t)node->index },
        .poll_ms = POLL_MS,
        .calls = &calls,
        .context = node,
    };
    struct hf_op op;

    node->dead = false;
    if (node->restart_ms > 0 && sim_random(node->sim, 4) == 0) {
        node->sim->faults[SIM_MIRROR_LOST]++;
        node->mirror = (struct sim_mirror){ .list = first_list };
    }
    node->up_to = node->mirror.applied;
    settings.applied = node->mirror.applied;
    hf_op_init(&op, &node->env);
    hf_assert(hf_cluster_new(&op, &settings, &node->cluster).code == HF_OK);
    if (node->mirror.stamp_len > 0) {
        struct hf_bytes stamp = hf_bytes_of(node->mirror.stamp, node->mirror.stamp_len);

        hf_assert(hf_cluster_recall_stamp(node->cluster, &op, stamp).code == HF_OK);
    }
    tell_list(node);
    tell_candidates(node);
    for (size_t i = 0; i < SIM_FLOWS; i++) {
        node->flows[i].wake_ms = node->sim->now_ms;
        fiber_start(node->flows[i].fiber, runs[i], &node->flows[i]);
    }
}

void sim_crash(struct sim_node *node)
{
    sim_trace(node->sim, "%s dies", node->name);
    node->dead = true;
    node->restart_ms = node->sim->now_ms + 100 + sim_random(node->sim, 3000);
    for (size_t i = 0; i < SIM_FLOWS; i++) {
        node->flows[i].wake_ms = node->sim->now_ms;
    }
}

void sim_node_stop(struct sim_node *node)
{
    hf_cluster_free(node->cluster);
    node->cluster = NULL;
    node->confirmed = 0;
    node->seen_epoch = 0;
}
