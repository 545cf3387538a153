/* The cluster layer, case by case: nodes on one store in memory, and a clock that tests move. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/cluster_internal.h"
#include "test.h"
#include "test_env.h"

#define NODES      3
#define CANDIDATES 64

struct world;

struct node {
    struct world *world;
    const char *name;
    struct hf_cluster *cluster; /* NULL: it is down */
    bool lags;                  /* it applies nothing, */
    uint64_t lags_until_ms;     /* or not before then */
    bool mute;                  /* it makes no turns, */
    uint64_t mute_until_ms;     /* or not before then */
    enum hf_code opens;         /* how it opens candidates */
    bool is_locked_in_trial;    /* somebody locks it while it opens one, */
    bool is_locked_in_follow;   /* or while it follows the feed */
    uint64_t open_ms;           /* how long that takes */
    size_t opened;
    size_t missed_left;          /* so many more turns to open what it has missed, */
    const char *missed_unopened; /* of which this does not open; NULL: all does */
    enum hf_code missed_fails;
    uint64_t missed_after; /* what it was asked for last, */
    size_t missed_begun;   /* and how often from the beginning */
    uint8_t stamp[64];
    size_t stamp_len;
};

struct world {
    struct test_env clock;
    struct hf_op op;
    struct hf_engine base; /* of slow_engine: passes on to store, which takes beat_ms for a beat */
    struct hf_engine *store;
    uint64_t beat_ms;
    bool beats_fail;
    size_t beats;             /* synchronous ones */
    const struct node *looks; /* makes a turn; */
    const struct node *far;   /* if it is this one, it sees heartbeats only after */
    uint64_t lag_ms;
    struct sent {
        uint64_t at_ms;
        size_t node;
        struct hf_beat beat;
        struct hf_buf body;
    } * sent; /* all heartbeats */
    size_t sent_count;
    struct node nodes[NODES];
    uint64_t candidates[CANDIDATES];
    size_t candidate_count;
    uint32_t requests;
};

static const char *const names[NODES] = { "n1", "n2", "n3" };

/* --- a store whose heartbeats take their time, and one of whose hosts is behind --- */

static struct world *world_of(struct hf_engine *engine)
{
    return (struct world *)((char *)engine - offsetof(struct world, base));
}

static void remember(struct world *world, const struct hf_beat *beat)
{
    struct sent *sent;
    size_t node = 0;

    while (strcmp(names[node], beat->node) != 0) {
        node++;
    }
    world->sent = hf_realloc_array(world->sent, world->sent_count + 1, sizeof *world->sent);
    sent = &world->sent[world->sent_count++];
    *sent = (struct sent){ .at_ms = world->clock.boottime_ms, .node = node, .beat = *beat };
    sent->beat.node = names[node];
    hf_buf_add_bytes(&sent->body, beat->body);
}

static struct hf_status slow_beat(struct hf_engine *engine, struct hf_op *op,
                                  const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    struct world *world = world_of(engine);

    if (synchronous) {
        world->clock.boottime_ms += world->beat_ms;
        world->beats++;
    }
    if (world->beats_fail) {
        return hf_fail(op, HF_UNAVAILABLE, "the database is gone");
    }
    remember(world, beat);
    return hf_engine_beat(world->store, op, beat, synchronous, out_seq);
}

/* The last heartbeat of that node that is old enough to be seen there. */
static struct hf_status show_behind(struct world *world, size_t node, hf_beat_visitor visit,
                                    void *context)
{
    for (size_t i = world->sent_count; i > 0; i--) {
        struct sent *sent = &world->sent[i - 1];

        if (sent->node == node && sent->at_ms + world->lag_ms <= world->clock.boottime_ms) {
            sent->beat.body = hf_buf_bytes(&sent->body);
            return visit(context, &sent->beat);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status ignore_beat(void *context, const struct hf_beat *beat)
{
    (void)context;
    (void)beat;
    return HF_SUCCESS;
}

static struct hf_status slow_beats(struct hf_engine *engine, struct hf_op *op,
                                   hf_beat_visitor visit, void *context, uint64_t *out_seq)
{
    struct world *world = world_of(engine);

    if (world->far == NULL || world->looks != world->far) {
        return hf_engine_beats(world->store, op, visit, context, out_seq);
    }
    HF_TRY(hf_engine_beats(world->store, op, ignore_beat, NULL, out_seq));
    for (size_t i = 0; i < NODES; i++) {
        HF_TRY(show_behind(world, i, visit, context));
    }
    return HF_SUCCESS;
}

static const struct hf_engine_ops slow_engine = { .name = "slow",
                                                  .beat = slow_beat,
                                                  .beats = slow_beats };

/* --- what a node gives the layer --- */

static struct hf_status mac(void *context, struct hf_op *op, struct hf_bytes text,
                            uint8_t out[HF_CLUSTER_MAC_LEN])
{
    uint64_t hash = 14695981039346656037U;

    (void)context;
    (void)op;
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ text.data[i]) * 1099511628211U;
    }
    for (size_t i = 0; i < HF_CLUSTER_MAC_LEN; i++) {
        out[i] = (uint8_t)(hash >> (i % 8 * 8));
    }
    return HF_SUCCESS;
}

static struct hf_status follow(void *context, struct hf_op *op, uint64_t up_to,
                               uint64_t *out_applied)
{
    struct node *node = context;
    struct world *world = node->world;

    if (node->is_locked_in_follow) {
        hf_cluster_forget(node->cluster);
    }
    if (node->lags || world->clock.boottime_ms < node->lags_until_ms) {
        return hf_fail(op, HF_UNAVAILABLE, "the feed cannot be read");
    }
    for (size_t i = 0; i < world->candidate_count; i++) {
        if (world->candidates[i] <= up_to) {
            hf_cluster_candidate(node->cluster, world->candidates[i]);
        }
    }
    *out_applied = up_to;
    return HF_SUCCESS;
}

static struct hf_status open_version(void *context, struct hf_op *op, uint64_t seq)
{
    struct node *node = context;

    (void)seq;
    node->opened++;
    node->world->clock.boottime_ms += node->open_ms;
    if (node->is_locked_in_trial) {
        hf_cluster_forget(node->cluster);
        return hf_fail(op, HF_WRONG_STATE, "it is locked");
    }
    return node->opens == HF_OK ? HF_SUCCESS : hf_fail(op, node->opens, "it does not open");
}

static struct hf_status open_missed(void *context, struct hf_op *op, uint64_t after_seq,
                                    bool from_beginning, bool *out_left)
{
    struct node *node = context;

    node->missed_after = after_seq;
    node->missed_begun += from_beginning;
    if (node->is_locked_in_trial) {
        hf_cluster_forget(node->cluster);
    }
    if (node->missed_fails != HF_OK) {
        return hf_fail(op, node->missed_fails, "it cannot be looked for");
    }
    if (node->missed_unopened != NULL) {
        hf_cluster_unopened(node->cluster, node->missed_unopened);
    }
    *out_left = node->missed_left > 0;
    node->missed_left -= node->missed_left > 0;
    return HF_SUCCESS;
}

static struct hf_status keep(void *context, struct hf_op *op, struct hf_bytes stamp)
{
    struct node *node = context;

    (void)op;
    assert_true(stamp.len <= sizeof node->stamp);
    memcpy(node->stamp, stamp.data, stamp.len);
    node->stamp_len = stamp.len;
    return HF_SUCCESS;
}

static void turn(struct node *node)
{
    struct hf_op op;
    uint64_t next_ms;

    hf_op_init(&op, &node->world->clock.env);
    node->world->looks = node;
    if (node->cluster != NULL && !node->mute &&
        node->world->clock.boottime_ms >= node->mute_until_ms) {
        (void)hf_cluster_tick(node->cluster, &op, &next_ms).code;
    }
}

static void turn_all(struct world *world)
{
    for (size_t i = 0; i < NODES; i++) {
        turn(&world->nodes[i]);
    }
}

/* Whoever waits lets the others work. */
static void wait_news(void *context, uint64_t news, uint64_t until_ms)
{
    struct node *node = context;
    struct world *world = node->world;

    (void)news;
    turn_all(world);
    if (world->clock.boottime_ms < until_ms) {
        world->clock.boottime_ms +=
            until_ms - world->clock.boottime_ms < 50 ? until_ms - world->clock.boottime_ms : 50;
    }
}

static void tell(void *context, uint64_t news)
{
    (void)context;
    (void)news;
}

static void wake(void *context)
{
    turn(context);
}

static const struct hf_cluster_calls calls = { mac,  follow,    open_version, open_missed,
                                               keep, wait_news, tell,         wake };

/* --- the world --- */

static void start_in_boot(struct node *node, uint8_t boot)
{
    struct world *world = node->world;
    struct hf_cluster_settings settings = {
        .env = &world->clock.env,
        .engine = &world->base,
        .node = node->name,
        .site = "hall 1",
        .boot_id = { boot },
        .poll_ms = 100,
        .calls = &calls,
        .context = node,
    };

    hf_cluster_free(node->cluster);
    node->cluster = NULL;
    assert_ok(&world->op, hf_cluster_new(&world->op, &settings, &node->cluster));
    if (node->stamp_len > 0) {
        assert_ok(&world->op, hf_cluster_recall_stamp(node->cluster, &world->op,
                                                      hf_bytes_of(node->stamp, node->stamp_len)));
    }
    hf_cluster_set_members(node->cluster, names, NODES);
}

static void start(struct node *node)
{
    start_in_boot(node, 1);
}

static int set_up(void **state)
{
    struct world *world = hf_alloc(sizeof *world);
    struct hf_store_settings settings = { .engine = "memory", .create = true };

    test_env_init(&world->clock);
    hf_op_init(&world->op, &world->clock.env);
    world->base.ops = &slow_engine;
    assert_ok(&world->op, hf_engine_open(&world->op, &settings, &world->store));
    for (size_t i = 0; i < NODES; i++) {
        world->nodes[i].world = world;
        world->nodes[i].name = names[i];
        start(&world->nodes[i]);
    }
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < NODES; i++) {
        hf_cluster_free(world->nodes[i].cluster);
    }
    for (size_t i = 0; i < world->sent_count; i++) {
        hf_buf_done(&world->sent[i].body);
    }
    free(world->sent);
    hf_engine_free(world->store);
    free(world);
    return 0;
}

static void pass(struct world *world, uint64_t ms)
{
    world->clock.boottime_ms += ms;
    world->clock.realtime_ms += ms;
}

/* Turns for so long. */
static void run(struct world *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        turn_all(world);
        pass(world, 100);
    }
}

static uint64_t commit_change(struct world *world, bool candidate)
{
    struct hf_batch batch = { .principal = "test" };
    struct hf_commit done;
    uint64_t seq;

    world->requests++;
    memcpy(batch.request_id.bytes, &world->requests, sizeof world->requests);
    hf_commit_init(&done);
    assert_ok(&world->op, hf_engine_apply(world->store, &world->op, &batch, &done));
    seq = done.seq;
    hf_commit_done(&done);
    if (candidate) {
        assert_true(world->candidate_count < CANDIDATES);
        world->candidates[world->candidate_count++] = seq;
    }
    return seq;
}

static void down(struct node *node)
{
    hf_cluster_free(node->cluster);
    node->cluster = NULL;
}

/* How long the acknowledgement of a change takes at the first node. */
static uint64_t acknowledge(struct world *world)
{
    uint64_t began_ms;
    uint64_t seq = commit_change(world, false);

    began_ms = world->clock.boottime_ms;
    assert_ok(&world->op, hf_cluster_wait_applied(world->nodes[0].cluster, &world->op, seq, 0));
    return world->clock.boottime_ms - began_ms;
}

/* --- leases --- */

static void a_lease_counts_from_before_the_heartbeat_was_sent(void **state)
{
    static const struct {
        const char *says;
        uint64_t beat_ms;
        uint64_t left_ms;
    } cases[] = {
        { "a commit at once leaves all of it", 0, 2000 },
        { "a slow commit has used it up in part", 1500, 500 },
        { "or all but the last moment", 1999, 1 },
        { "or all", 2000, 0 },
        { "and more", 9000, 0 },
    };
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        bool held;

        start(node);
        world->beat_ms = cases[i].beat_ms;
        assert_int_equal(hf_cluster_lease(node->cluster), 0);
        turn(node);
        held = hf_cluster_lease(node->cluster) != 0;
        if (held != (cases[i].left_ms > 0)) {
            fail_msg("%s", cases[i].says);
        }
        if (held) {
            pass(world, cases[i].left_ms - 1);
            held = hf_cluster_lease(node->cluster) != 0;
            pass(world, 1);
            if (!held || hf_cluster_lease(node->cluster) != 0) {
                fail_msg("%s", cases[i].says);
            }
        }
    }
}

static void leases_without_a_gap_have_one_number_and_after_a_gap_another(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    uint64_t first;

    turn(node);
    first = hf_cluster_lease(node->cluster);
    run(world, 5000);
    assert_true(hf_cluster_has_lease(node->cluster, first));
    pass(world, 2000); /* stopped, and continued */
    assert_false(hf_cluster_has_lease(node->cluster, first));
    turn(node);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
    assert_false(hf_cluster_has_lease(node->cluster, first));
    assert_false(hf_cluster_has_lease(node->cluster, 0));
}

static void no_lease_without_the_whole_snapshot(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    (void)commit_change(world, false);
    node->lags = true;
    turn(node);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    node->lags = false;
    turn(node);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
}

static void only_members_get_leases(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    hf_cluster_set_members(node->cluster, names + 1, 2);
    run(world, 3000);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    hf_cluster_set_members(node->cluster, names, NODES);
    run(world, 1100);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
}

static struct hf_cluster_view view_of(const struct node *node)
{
    struct hf_cluster_view view;

    hf_cluster_look(node->cluster, &view, NULL, NULL);
    return view;
}

static void who_is_not_listed_is_told_that_it_could_have_a_lease(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    hf_cluster_set_members(node->cluster, names + 1, 2);
    assert_false(view_of(node).able);
    turn(node);
    assert_true(view_of(node).able);
    assert_false(view_of(node).listed);
    assert_int_equal(view_of(node).lease, 0);
    node->mute = true;
    run(world, HF_CLUSTER_LEASE_MS);
    assert_false(view_of(node).able);
    node->mute = false;
    node->lags = true;
    (void)commit_change(world, false);
    run(world, 3000);
    assert_false(view_of(node).able);
}

static void a_list_counts_for_who_is_on_it_once_all_before_it_is_applied(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    hf_cluster_set_members(node->cluster, names + 1, 2);
    run(world, 3000);
    /* The feed broke off in the middle of what brought the list. */
    node->lags = true;
    hf_cluster_set_members(node->cluster, names, NODES);
    run(world, 3000);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    node->lags = false;
    run(world, 200);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
}

static void how_long_a_lease_has_lasted_is_told(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    run(world, 5000);
    assert_int_equal(view_of(node).leased_ms, 5000);
    pass(world, HF_CLUSTER_LEASE_MS);
    assert_int_equal(view_of(node).leased_ms, 0);
    turn(node);
    assert_int_equal(view_of(node).leased_ms, 0);
    run(world, 1000);
    assert_int_equal(view_of(node).leased_ms, 1000);
}

static void the_first_lease_waits_for_candidates_and_later_ones_do_not(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    (void)commit_change(world, true);
    turn(node);
    assert_int_equal(node->opened, 1);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);

    /* More than one turn tries; the lease is renewed all the same. */
    node->open_ms = 20;
    for (size_t i = 0; i < 40; i++) {
        (void)commit_change(world, true);
    }
    pass(world, 1500);
    turn(node);
    assert_true(node->opened < 41);
    pass(world, 600);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);

    start(node);
    turn(node);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    run(world, 1000);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
}

static void the_first_lease_waits_for_what_was_promoted_meanwhile(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct hf_cluster_view view;
    uint64_t seq = commit_change(world, false);

    node->missed_fails = HF_UNAVAILABLE;
    run(world, 500);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    node->missed_fails = HF_OK;
    node->missed_left = 3;
    for (size_t left = 3; left > 0; left--) {
        turn(node);
        hf_cluster_look(node->cluster, &view, NULL, NULL);
        assert_true(view.opens_missed);
        assert_int_equal(hf_cluster_lease(node->cluster), 0);
    }
    turn(node);
    hf_cluster_look(node->cluster, &view, NULL, NULL);
    assert_false(view.opens_missed);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
    assert_int_equal(node->missed_after, 0);
    assert_int_equal(node->missed_begun, 1);

    /* The next start looks for what is newer than all that was opened before. */
    assert_true(node->stamp_len > 0);
    start(node);
    turn(node);
    assert_int_equal(node->missed_after, seq);
    assert_int_equal(node->missed_begun, 2);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
    hf_cluster_forget(node->cluster);
    hf_cluster_set_members(node->cluster, names, NODES);
    turn(node);
    assert_int_equal(node->missed_begun, 3);
}

/* Also when that comes between two parts of it, or just before the first. */
static void a_node_that_is_locked_while_it_opens_what_it_missed_begins_anew(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    node->missed_left = 9;
    turn(node);
    assert_int_equal(node->missed_begun, 1);
    turn(node);
    assert_int_equal(node->missed_begun, 1);
    node->is_locked_in_trial = true;
    turn(node);
    node->is_locked_in_trial = false;
    hf_cluster_set_members(node->cluster, names, NODES);
    turn(node);
    assert_int_equal(node->missed_begun, 2);
    node->is_locked_in_follow = true;
    hf_cluster_forget(node->cluster);
    hf_cluster_set_members(node->cluster, names, NODES);
    turn(node);
    assert_int_equal(node->missed_begun, 3);
    node->is_locked_in_follow = false;
    hf_cluster_set_members(node->cluster, names, NODES);
    turn(node);
    assert_int_equal(node->missed_begun, 4);
}

static void what_does_not_open_is_told_and_tried_again_by_the_next_start(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct hf_cluster_view view;
    uint64_t first = commit_change(world, false);

    turn(node);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
    down(node);
    (void)commit_change(world, false);
    for (size_t i = 0; i < 2; i++) {
        start(node);
        node->missed_unopened = "bank/x@3: it is altered";
        turn(node);
        assert_int_equal(node->missed_after, first);
        assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
        hf_cluster_look(node->cluster, &view, NULL, NULL);
        assert_int_equal(view.unopened, 1);
        assert_string_equal(view.unopened_text, "bank/x@3: it is altered");
    }
}

/* Another history may have the same numbers. */
static void a_stamp_from_beyond_the_store_spares_nothing(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct hf_cluster_stamp stamp = { .known = true, .opened = 1000 };
    HF_AUTO(buf) bytes = hf_buf_new();

    (void)commit_change(world, false);
    hf_cluster_stamp_write(&stamp, bytes);
    node->stamp_len = bytes->len;
    memcpy(node->stamp, bytes->data, bytes->len);
    start(node);
    node->missed_after = 7;
    turn(node);
    assert_int_equal(node->missed_after, 0);
    assert_int_equal(node->missed_begun, 1);
}

/* --- without a lease --- */

static void what_a_node_without_a_lease_may_do(void **state)
{
    enum { HOUR = 3600000, STALE = 60000, WRAP = 10000 };
    static const struct {
        const char *says;
        uint64_t later_ms; /* after the last fresh moment, on both clocks */
        int64_t wall_ms;   /* and on the wall clock alone */
        uint8_t boot;      /* 0: the process goes on */
        enum hf_cluster_use use;
        uint64_t max_stale_ms;
        uint64_t max_stale_wrap_ms;
        enum hf_code code;
        uint64_t stale_ms;
    } cases[] = {
        { "with a lease anything goes", 1999, 0, 0, HF_CLUSTER_CHANGE, 0, 0, HF_OK, 0 },
        { "without it nothing changes", 2000, 0, 0, HF_CLUSTER_CHANGE, STALE, WRAP, HF_UNAVAILABLE,
          0 },
        { "what exists opens", 2000, 0, 0, HF_CLUSTER_OPEN, STALE, WRAP, HF_OK, 2000 },
        { "for its time", STALE, 0, 0, HF_CLUSTER_OPEN, STALE, WRAP, HF_OK, STALE },
        { "and no longer", STALE + 1, 0, 0, HF_CLUSTER_OPEN, STALE, WRAP, HF_UNAVAILABLE, 0 },
        { "wrapping has a time of its own", WRAP, 0, 0, HF_CLUSTER_WRAP, STALE, WRAP, HF_OK, WRAP },
        { "a shorter one", WRAP + 1, 0, 0, HF_CLUSTER_WRAP, STALE, WRAP, HF_UNAVAILABLE, 0 },
        { "0 is never", 2000, 0, 0, HF_CLUSTER_OPEN, 0, WRAP, HF_UNAVAILABLE, 0 },
        { "for wrapping too", 2000, 0, 0, HF_CLUSTER_WRAP, STALE, 0, HF_UNAVAILABLE, 0 },
        { "the wall clock does not count in the process", 2000, HOUR, 0, HF_CLUSTER_OPEN, STALE,
          WRAP, HF_OK, 2000 },
        { "nor after a restart in the same boot", 5000, -HOUR, 1, HF_CLUSTER_OPEN, STALE, WRAP,
          HF_OK, 5000 },
        { "in another boot it is all there is", 5000, 0, 2, HF_CLUSTER_OPEN, STALE, WRAP, HF_OK,
          5000 },
        { "also if it was set forward", 5000, HOUR, 2, HF_CLUSTER_OPEN, STALE, WRAP, HF_UNAVAILABLE,
          0 },
        { "behind the stamp it says nothing", 5000, -HOUR, 2, HF_CLUSTER_OPEN, UINT64_MAX, WRAP,
          HF_UNAVAILABLE, 0 },
    };
    struct world *world = *state;
    struct node *node = &world->nodes[0];

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_standing grant = { 0 };
        struct hf_status status;

        node->stamp_len = 0;
        start(node);
        turn(node);
        pass(world, cases[i].later_ms);
        world->clock.realtime_ms += (uint64_t)cases[i].wall_ms;
        if (cases[i].boot != 0) {
            start_in_boot(node, cases[i].boot);
        }
        status = hf_cluster_may(node->cluster, &world->op, cases[i].use, cases[i].max_stale_ms,
                                cases[i].max_stale_wrap_ms, &grant);
        if (status.code != cases[i].code ||
            (status.code == HF_OK &&
             (grant.stale_ms != cases[i].stale_ms || grant.stale != (grant.stale_ms > 0)))) {
            fail_msg("%s: code %d, stale %llu", cases[i].says, status.code,
                     (unsigned long long)grant.stale_ms);
        }
    }
}

static void an_operator_can_let_a_node_open_for_a_time(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct hf_standing grant;

    assert_fails(&world->op,
                 hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_OPEN, 1000, 1000, &grant),
                 HF_UNAVAILABLE);
    hf_cluster_serve_stale(node->cluster, 5000);
    assert_ok(&world->op,
              hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_OPEN, 1000, 1000, &grant));
    assert_true(grant.stale && grant.stale_ms == UINT64_MAX);
    assert_fails(&world->op,
                 hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_OPEN, 0, 1000, &grant),
                 HF_UNAVAILABLE);
    assert_fails(&world->op,
                 hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_WRAP, 1000, 1000, &grant),
                 HF_UNAVAILABLE);
    pass(world, 5000);
    assert_fails(&world->op,
                 hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_OPEN, 1000, 1000, &grant),
                 HF_UNAVAILABLE);
}

static void what_was_granted_ends_before_the_answer(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct hf_standing fresh;
    struct hf_standing stale;

    turn(node);
    assert_ok(&world->op, hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_WRAP, 0, 0, &fresh));
    pass(world, 1999);
    assert_ok(&world->op, hf_cluster_still(node->cluster, &world->op, &fresh));
    pass(world, 1);
    assert_fails(&world->op, hf_cluster_still(node->cluster, &world->op, &fresh), HF_UNAVAILABLE);
    assert_ok(&world->op,
              hf_cluster_may(node->cluster, &world->op, HF_CLUSTER_WRAP, 0, 3000, &stale));
    pass(world, 1000);
    assert_ok(&world->op, hf_cluster_still(node->cluster, &world->op, &stale));
    pass(world, 1);
    assert_fails(&world->op, hf_cluster_still(node->cluster, &world->op, &stale), HF_UNAVAILABLE);
}

/* --- acknowledgement --- */

static void a_change_is_acknowledged_when_all_have_applied_it_or_no_lease_can_last(void **state)
{
    struct world *world = *state;

    run(world, 3000);
    assert_true(acknowledge(world) < 500);
    world->nodes[2].lags = true;
    assert_int_equal(acknowledge(world), HF_CLUSTER_ACK_MS);
    world->nodes[2].lags = false;
    assert_true(acknowledge(world) < 500);
    down(&world->nodes[2]);
    assert_int_equal(acknowledge(world), HF_CLUSTER_ACK_MS);
}

static struct hf_status take_beat(void *context, const struct hf_beat *beat)
{
    struct hf_beat *out = context;

    if (strcmp(beat->node, "n3") == 0) {
        *out = *beat;
        out->body.data = memcpy(hf_alloc(beat->body.len), beat->body.data, beat->body.len);
    }
    return HF_SUCCESS;
}

static void no_row_makes_a_change_acknowledged_sooner(void **state)
{
    struct world *world = *state;
    struct hf_beat forged = { 0 };
    uint64_t seq;

    run(world, 3000);
    assert_ok(&world->op, hf_engine_beats(world->store, &world->op, take_beat, &forged, &seq));
    down(&world->nodes[2]);
    forged.node = "n3";
    forged.number += 100;
    forged.applied_seq = 1000;
    forged.confirmed_seq = 1000;
    assert_ok(&world->op, hf_engine_beat(world->store, &world->op, &forged, false, &seq));
    assert_int_equal(acknowledge(world), HF_CLUSTER_ACK_MS);
    free((void *)(uintptr_t)forged.body.data);

    /* Nothing of a row is believed when it is not signed at all. */
    forged.body = HF_BYTES_NONE;
    assert_ok(&world->op, hf_engine_beat(world->store, &world->op, &forged, false, &seq));
    assert_int_equal(acknowledge(world), HF_CLUSTER_ACK_MS);
}

static void one_who_has_left_may_have_a_lease_for_a_while(void **state)
{
    struct world *world = *state;

    run(world, 3000);
    for (size_t i = 0; i < NODES; i++) {
        hf_cluster_set_members(world->nodes[i].cluster, names, 2);
    }
    assert_int_equal(acknowledge(world), HF_CLUSTER_ACK_MS);
    assert_true(acknowledge(world) < 500);

    /* A process that has just begun does not know who has left before. */
    start(&world->nodes[0]);
    hf_cluster_set_members(world->nodes[0].cluster, names, 2);
    turn(&world->nodes[0]);
    assert_int_equal(acknowledge(world), HF_CLUSTER_ACK_MS);
    assert_true(acknowledge(world) < 500);
}

static uint64_t in_force(const struct node *node)
{
    return hf_cluster_in_force(node->cluster);
}

/* A commit, and the node that is to know it in force. */
struct awaited {
    const struct node *node;
    uint64_t seq;
};

static bool is_in_force(void *context)
{
    const struct awaited *awaited = context;

    return in_force(awaited->node) >= awaited->seq;
}

static bool wait_in_force(struct world *world, const struct node *node, uint64_t seq, uint64_t ms)
{
    struct awaited awaited = { node, seq };

    return hf_cluster_wait_until(node->cluster, is_in_force, &awaited,
                                 world->clock.boottime_ms + ms);
}

static void how_far_everything_is_in_force_is_known(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    uint64_t seq;

    run(world, 3000);
    seq = commit_change(world, false);
    assert_true(in_force(node) < seq);
    assert_true(wait_in_force(world, node, seq, 500));
    assert_int_equal(in_force(node), seq);

    /* One who does not follow has no lease in the end. */
    world->nodes[2].lags = true;
    seq = commit_change(world, false);
    assert_false(wait_in_force(world, node, seq, 1000));
    run(world, 1000);
    assert_true(in_force(node) < seq);
    run(world, 2 * HF_CLUSTER_ACK_MS);
    assert_int_equal(in_force(node), seq);

    /* One who has left may have one for a while, and nobody asks it any more. */
    seq = commit_change(world, false);
    for (size_t i = 0; i < NODES; i++) {
        hf_cluster_set_members(world->nodes[i].cluster, names, 2);
    }
    turn_all(world);
    turn_all(world);
    assert_true(in_force(node) < seq);
    run(world, HF_CLUSTER_ACK_MS + 200);
    assert_int_equal(in_force(node), seq);

    /* What was acknowledged here is in force. */
    world->nodes[1].lags = true;
    seq = commit_change(world, false);
    assert_ok(&world->op, hf_cluster_wait_applied(node->cluster, &world->op, seq, 0));
    assert_int_equal(in_force(node), seq);
    hf_cluster_forget(node->cluster);
    assert_int_equal(in_force(node), 0);
}

/* A candidate, and how long after its commit the promotion is acknowledged at the first node. */
static uint64_t promote(struct world *world)
{
    struct hf_cluster *cluster = world->nodes[0].cluster;
    uint64_t candidate = commit_change(world, true);
    uint64_t announced_ms = world->clock.boottime_ms;
    struct hf_cluster_proof proof = { 0 };
    uint64_t seq;

    assert_ok(&world->op, hf_cluster_prove(cluster, &world->op, candidate, NULL, 0, &proof));
    assert_true(proof.promote);
    seq = commit_change(world, false);
    assert_ok(&world->op, hf_cluster_wait_applied(cluster, &world->op, seq, announced_ms));
    assert_int_equal(view_of(&world->nodes[0]).applied, seq);
    return world->clock.boottime_ms - announced_ms;
}

static void a_promotion_waits_for_a_silent_node_from_the_candidate_on(void **state)
{
    struct world *world = *state;
    struct hf_cluster *cluster = world->nodes[0].cluster;
    const struct hf_beat unsigned_row = { .node = "n2", .number = 1000 };
    uint64_t seq;

    run(world, 3000);
    assert_true(promote(world) < 500);
    assert_int_equal(in_force(&world->nodes[0]), view_of(&world->nodes[0]).applied);

    /* It died just now: both waits are one. */
    down(&world->nodes[1]);
    assert_in_range(promote(world), HF_CLUSTER_ACK_MS, HF_CLUSTER_ACK_MS + 300);
    /* Of all the other changes before this one nothing is known by it. */
    assert_true(in_force(&world->nodes[0]) < view_of(&world->nodes[0]).applied);
    assert_in_range(promote(world), HF_CLUSTER_ACK_MS, HF_CLUSTER_ACK_MS + 300);

    start(&world->nodes[1]);
    run(world, 3000);
    assert_true(promote(world) < 500);

    /* Of an older build, which does not hold back what it tells of a key. */
    down(&world->nodes[1]);
    run(world, 100);
    cluster->peers[0].row.holds = false;
    assert_in_range(promote(world), 2 * HF_CLUSTER_ACK_MS - 300, 2 * HF_CLUSTER_ACK_MS + 300);
    /* Or of a build that is not known. */
    assert_ok(&world->op, hf_engine_beat(world->store, &world->op, &unsigned_row, false, &seq));
    hf_cluster_set_members(cluster, names, 1);
    hf_cluster_set_members(cluster, names, NODES);
    assert_in_range(promote(world), 2 * HF_CLUSTER_ACK_MS - 300, 2 * HF_CLUSTER_ACK_MS + 300);
}

static void a_lease_from_before_a_commit_ends_though_leases_go_on(void **state)
{
    struct world *world = *state;
    struct hf_cluster *cluster = world->nodes[0].cluster;
    uint64_t seq;

    run(world, 3000);
    seq = commit_change(world, true);
    assert_true(hf_cluster_leased_before(cluster, seq));
    turn_all(world);
    assert_true(hf_cluster_leased_before(cluster, seq));
    run(world, HF_CLUSTER_LEASE_MS);
    assert_int_not_equal(hf_cluster_lease(cluster), 0);
    assert_false(hf_cluster_leased_before(cluster, seq));
    assert_true(hf_cluster_leased_before(cluster, seq + 1));
    hf_cluster_forget(cluster);
    assert_false(hf_cluster_leased_before(cluster, seq + 1));
}

static void waiting_ends_at_the_deadline_in_doubt(void **state)
{
    struct world *world = *state;
    uint64_t seq;

    run(world, 3000);
    down(&world->nodes[1]);
    seq = commit_change(world, false);
    world->op.deadline_ms = world->clock.boottime_ms + 500;
    assert_fails(&world->op, hf_cluster_wait_applied(world->nodes[0].cluster, &world->op, seq, 0),
                 HF_IN_DOUBT);
    world->op.may_wait = false;
    assert_fails(&world->op, hf_cluster_wait_applied(world->nodes[0].cluster, &world->op, seq, 0),
                 HF_LATER);
}

/* --- born proven --- */

static struct hf_cluster_proof prove(struct world *world, const char *const *serve_on, size_t count)
{
    struct hf_cluster_proof proof = { 0 };
    uint64_t seq = commit_change(world, true);

    assert_ok(&world->op,
              hf_cluster_prove(world->nodes[0].cluster, &world->op, seq, serve_on, count, &proof));
    return proof;
}

static void a_candidate_is_promoted_when_all_who_are_alive_have_opened_it(void **state)
{
    struct world *world = *state;
    struct hf_cluster_proof proof;

    run(world, 3000);
    proof = prove(world, NULL, 0);
    assert_true(proof.promote);
    assert_int_equal(proof.proven_on, 3);
    assert_int_equal(proof.of, 3);

    down(&world->nodes[1]);
    down(&world->nodes[2]);
    run(world, 3000);
    proof = prove(world, NULL, 0);
    assert_true(proof.promote);
    assert_int_equal(proof.proven_on, 1);
    assert_int_equal(proof.of, 3);
}

static void a_candidate_that_one_cannot_open_is_abandoned(void **state)
{
    static const char *const without_n3[] = { "n1", "n2" };
    struct world *world = *state;
    struct hf_cluster_proof proof;

    run(world, 3000);
    world->nodes[2].opens = HF_UNAVAILABLE;
    proof = prove(world, NULL, 0);
    assert_false(proof.promote);
    assert_string_equal(proof.failed, "n3");
    assert_string_equal(proof.reason, "unavailable");

    /* It goes on applying, and has its lease; and where it does not serve it has no say. */
    assert_true(acknowledge(world) < 500);
    assert_int_not_equal(hf_cluster_lease(world->nodes[2].cluster), 0);
    proof = prove(world, without_n3, 2);
    assert_true(proof.promote);
    assert_int_equal(proof.proven_on, 2);
    assert_int_equal(proof.of, 2);
}

static void one_who_is_alive_and_silent_ends_a_candidate(void **state)
{
    struct world *world = *state;
    struct hf_cluster_proof proof;

    run(world, 3000);
    world->nodes[1].lags = true;
    proof = prove(world, NULL, 0);
    assert_false(proof.promote);
    assert_string_equal(proof.failed, "n2");
    assert_string_equal(proof.reason, "silent");
    assert_int_equal(proof.proven_on, 2);
}

/* n1 has a lease of some age again when n2 has been back for less than a second. */
static void one_who_has_come_back_has_time_to_report(void **state)
{
    struct world *world = *state;
    struct hf_cluster_proof proof;
    uint64_t now_ms;

    run(world, 3000);
    now_ms = world->clock.boottime_ms;
    world->nodes[0].mute_until_ms = now_ms + HF_CLUSTER_PROVE_MS + 500;
    world->nodes[1].mute_until_ms = world->nodes[0].mute_until_ms + HF_CLUSTER_ACK_MS - 800;
    world->nodes[1].lags_until_ms = world->nodes[1].mute_until_ms + HF_CLUSTER_PROVE_MS - 1000;
    proof = prove(world, NULL, 0);
    assert_true(proof.promote);
    assert_int_equal(proof.proven_on, 3);
    assert_true(world->clock.boottime_ms >= world->nodes[1].lags_until_ms);

    /* And no more than that. */
    now_ms = world->clock.boottime_ms;
    world->nodes[0].mute_until_ms = now_ms + HF_CLUSTER_PROVE_MS + 500;
    world->nodes[1].mute_until_ms = world->nodes[0].mute_until_ms + HF_CLUSTER_ACK_MS - 800;
    world->nodes[1].lags = true;
    proof = prove(world, NULL, 0);
    assert_false(proof.promote);
    assert_string_equal(proof.reason, "silent");
    assert_true(world->clock.boottime_ms >= world->nodes[1].mute_until_ms + HF_CLUSTER_PROVE_MS);
}

static void failures_that_were_forgotten_are_not_taken_for_proofs(void **state)
{
    struct world *world = *state;
    struct hf_cluster_proof proof;
    uint64_t first;

    run(world, 3000);
    world->nodes[2].opens = HF_CORRUPT;
    first = commit_change(world, true);
    for (size_t i = 0; i < HF_CLUSTER_FAILURES; i++) {
        (void)commit_change(world, true);
    }
    run(world, 1000);
    assert_ok(&world->op,
              hf_cluster_prove(world->nodes[0].cluster, &world->op, first, NULL, 0, &proof));
    assert_false(proof.promote);
    assert_string_equal(proof.failed, "n3");
}

/* Heartbeats of the others may only be late here: it takes a lease of some age to know. */
static void one_who_may_be_cut_off_promotes_nothing_alone(void **state)
{
    struct world *world = *state;
    struct hf_cluster_proof proof;
    uint64_t began_ms;
    uint64_t seq;

    down(&world->nodes[1]);
    down(&world->nodes[2]);
    run(world, 3000);
    start(&world->nodes[0]);
    pass(world, HF_CLUSTER_ACK_MS);
    seq = commit_change(world, true);
    began_ms = world->clock.boottime_ms;
    assert_ok(&world->op,
              hf_cluster_prove(world->nodes[0].cluster, &world->op, seq, NULL, 0, &proof));
    assert_true(proof.promote && proof.proven_on == 1);
    assert_true(world->clock.boottime_ms - began_ms >= HF_CLUSTER_ACK_MS);

    /* Without a lease nobody's silence ends anything, however long it lasts. */
    seq = commit_change(world, true);
    world->nodes[0].mute = true;
    pass(world, HF_CLUSTER_LEASE_MS);
    assert_fails(&world->op,
                 hf_cluster_prove(world->nodes[0].cluster, &world->op, seq, NULL, 0, &proof),
                 HF_UNAVAILABLE);
}

/* What the host shows that this node asks is older than its last look at it. */
static void nobody_is_taken_for_dead_because_a_host_is_behind(void **state)
{
    static const char *const both[] = { "n1", "n2" };
    struct world *world = *state;
    struct node *other = &world->nodes[1];
    struct hf_cluster_proof proof;

    run(world, 5000);
    turn_all(world); /* all of them send a heartbeat, */
    turn(&world->nodes[0]);
    world->far = &world->nodes[0]; /* which is the last that is seen at once */
    world->lag_ms = 700;
    other->mute = true;
    run(world, 1600);
    other->mute = false;
    turn(other);
    other->mute = true;
    run(world, 600);
    pass(world, 50);
    other->mute = false;
    assert_true(view_of(other).leased_ms > HF_CLUSTER_ACK_MS);
    proof = prove(world, both, 2);
    assert_true(proof.promote);
    assert_int_equal(proof.proven_on, 2);

    /* One that is dead is not waited for any longer than it takes to hear so. */
    down(other);
    world->lag_ms = 300;
    assert_in_range(promote(world), HF_CLUSTER_ACK_MS, HF_CLUSTER_ACK_MS + 700);
}

static void a_heartbeat_that_a_proof_waits_for_is_not_sent_in_a_rush_when_it_fails(void **state)
{
    struct world *world = *state;
    struct hf_cluster *cluster = world->nodes[0].cluster;

    run(world, 3000);
    turn(&world->nodes[0]);
    pass(world, 50);
    cluster->listen_ms = world->clock.boottime_ms;
    world->beats_fail = true;
    world->beats = 0;
    for (size_t i = 0; i < 5; i++) {
        turn(&world->nodes[0]);
    }
    assert_int_equal(world->beats, 1);
    world->beats_fail = false;
    pass(world, 100);
    turn(&world->nodes[0]);
    assert_int_equal(world->beats, 2);
    assert_int_equal(cluster->heard_ms, world->clock.boottime_ms);
}

/* The others go on meanwhile, and one of them cannot open it. */
static void nobody_is_taken_for_dead_because_this_node_has_not_looked(void **state)
{
    struct world *world = *state;
    struct node *maker = &world->nodes[0];
    struct hf_cluster_proof proof;
    uint64_t seq;

    run(world, 3000);
    world->nodes[1].mute = world->nodes[2].mute = true;
    seq = commit_change(world, true);
    run(world, HF_CLUSTER_BEAT_MS + 100);
    maker->mute = true;
    world->nodes[1].mute = world->nodes[2].mute = false;
    world->nodes[2].opens = HF_CORRUPT;
    run(world, HF_CLUSTER_ACK_MS - HF_CLUSTER_BEAT_MS);
    assert_int_not_equal(hf_cluster_lease(maker->cluster), 0);
    assert_fails(&world->op, hf_cluster_prove(maker->cluster, &world->op, seq, NULL, 0, &proof),
                 HF_UNAVAILABLE);

    maker->mute = false;
    assert_ok(&world->op, hf_cluster_prove(maker->cluster, &world->op, seq, NULL, 0, &proof));
    assert_false(proof.promote);
    assert_string_equal(proof.failed, "n3");
}

static void who_stops_abandons_nothing(void **state)
{
    struct world *world = *state;
    struct hf_cluster_proof proof;
    uint64_t seq;

    run(world, 3000);
    world->nodes[1].lags = true;
    seq = commit_change(world, true);
    hf_cluster_stop(world->nodes[0].cluster);
    assert_fails(&world->op,
                 hf_cluster_prove(world->nodes[0].cluster, &world->op, seq, NULL, 0, &proof),
                 HF_UNAVAILABLE);
}

/* --- a node that is locked --- */

static void a_node_that_is_locked_while_it_tries_a_candidate_tries_it_again(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[2];
    struct hf_cluster_proof proof;
    uint64_t seq;

    run(world, 3000);
    node->is_locked_in_trial = true;
    seq = commit_change(world, true);
    run(world, 100);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    node->is_locked_in_trial = false;
    hf_cluster_set_members(node->cluster, names, NODES);
    assert_ok(&world->op,
              hf_cluster_prove(world->nodes[0].cluster, &world->op, seq, NULL, 0, &proof));
    assert_true(proof.promote && proof.proven_on == NODES);
    assert_int_equal(node->opened, 2);
}

/* Between the unlock and the list it does not know who is a member, itself included. */
static void a_node_that_was_locked_has_no_lease_before_it_is_listed_again(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[2];

    run(world, 3000);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
    hf_cluster_forget(node->cluster);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    run(world, 3000);
    assert_int_equal(hf_cluster_lease(node->cluster), 0);
    hf_cluster_set_members(node->cluster, names, NODES);
    run(world, 1100);
    assert_int_not_equal(hf_cluster_lease(node->cluster), 0);
}

/* --- rows and stamps --- */

static void a_row_is_read_as_it_was_written_and_no_altered_one_is(void **state)
{
    struct world *world = *state;
    struct hf_cluster *cluster = world->nodes[0].cluster;
    struct hf_cluster_row row = {
        .node = "n1", .site = "hall 1", .holds = true, .number = 7, .confirmed = 5, .applied = 4
    };
    struct hf_cluster_row *found = hf_alloc(sizeof *found);
    HF_AUTO(buf) body = hf_buf_new();
    struct hf_beat beat;

    row.report = (struct hf_cluster_report){ .proved = 3, .forgotten = 1, .count = 1 };
    row.report.failures[0] = (struct hf_cluster_failure){ 2, "corrupt" };
    assert_ok(&world->op, hf_cluster_row_write(cluster, &world->op, &row, body));
    beat = (struct hf_beat){ "n1", 7, 5, 4, hf_buf_bytes(body) };
    assert_ok(&world->op, hf_cluster_row_read(cluster, &world->op, &beat, found));
    assert_memory_equal(found, &row, sizeof row);

    for (size_t i = 0; i < body->len; i++) {
        body->data[i] ^= 1;
        assert_fails(&world->op, hf_cluster_row_read(cluster, &world->op, &beat, found),
                     HF_CORRUPT);
        body->data[i] ^= 1;
    }
    beat.node = "n2";
    assert_fails(&world->op, hf_cluster_row_read(cluster, &world->op, &beat, found), HF_CORRUPT);
    beat.node = "n1";
    beat.applied_seq++;
    assert_fails(&world->op, hf_cluster_row_read(cluster, &world->op, &beat, found), HF_CORRUPT);
    beat.applied_seq--;
    for (beat.body.len = 0; beat.body.len < body->len; beat.body.len++) {
        assert_fails(&world->op, hf_cluster_row_read(cluster, &world->op, &beat, found),
                     HF_CORRUPT);
    }
    free(found);
}

static void names_have_their_limits(void **state)
{
    struct world *world = *state;
    char *longest = hf_alloc(HF_NODE_NAME_MAX + 2);
    struct hf_cluster_settings settings = { .env = &world->clock.env,
                                            .engine = &world->base,
                                            .node = longest,
                                            .site = "",
                                            .calls = &calls };
    struct hf_cluster *cluster = NULL;

    assert_fails(&world->op, hf_cluster_new(&world->op, &settings, &cluster), HF_INVALID);
    memset(longest, 'n', HF_NODE_NAME_MAX);
    assert_ok(&world->op, hf_cluster_new(&world->op, &settings, &cluster));
    hf_cluster_free(cluster);
    longest[HF_NODE_NAME_MAX] = 'n';
    assert_fails(&world->op, hf_cluster_new(&world->op, &settings, &cluster), HF_INVALID);
    settings.node = "n1";
    settings.site = longest;
    assert_fails(&world->op, hf_cluster_new(&world->op, &settings, &cluster), HF_INVALID);
    free(longest);
}

static void a_stamp_that_cannot_be_read_is_refused(void **state)
{
    struct world *world = *state;
    struct hf_cluster_stamp stamp;
    HF_AUTO(buf) bytes = hf_buf_new();
    struct hf_cluster_stamp given = {
        .known = true, .boottime_ms = 1, .realtime_ms = 2, .opened = 3
    };
    HF_AUTO(buf) older = hf_buf_new();

    hf_cluster_stamp_write(&given, bytes);
    assert_ok(&world->op, hf_cluster_stamp_read(&world->op, hf_buf_bytes(bytes), &stamp));
    assert_int_equal(stamp.boottime_ms, 1);
    assert_int_equal(stamp.realtime_ms, 2);
    assert_int_equal(stamp.opened, 3);
    for (size_t len = 0; len < bytes->len; len++) {
        assert_fails(&world->op,
                     hf_cluster_stamp_read(&world->op, hf_bytes_of(bytes->data, len), &stamp),
                     HF_CORRUPT);
    }
    /* Version 1 ended before what had been opened. */
    hf_buf_add(older, bytes->data, bytes->len - 8);
    older->data[0] = 1;
    assert_ok(&world->op, hf_cluster_stamp_read(&world->op, hf_buf_bytes(older), &stamp));
    assert_int_equal(stamp.realtime_ms, 2);
    assert_int_equal(stamp.opened, 0);
    for (unsigned version = 0; version < 256; version += 3) {
        bytes->data[0] = (uint8_t)version;
        assert_fails(&world->op, hf_cluster_stamp_read(&world->op, hf_buf_bytes(bytes), &stamp),
                     HF_CORRUPT);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(a_lease_counts_from_before_the_heartbeat_was_sent),
        CASE(leases_without_a_gap_have_one_number_and_after_a_gap_another),
        CASE(no_lease_without_the_whole_snapshot),
        CASE(only_members_get_leases),
        CASE(who_is_not_listed_is_told_that_it_could_have_a_lease),
        CASE(a_list_counts_for_who_is_on_it_once_all_before_it_is_applied),
        CASE(how_long_a_lease_has_lasted_is_told),
        CASE(the_first_lease_waits_for_candidates_and_later_ones_do_not),
        CASE(the_first_lease_waits_for_what_was_promoted_meanwhile),
        CASE(a_node_that_is_locked_while_it_opens_what_it_missed_begins_anew),
        CASE(what_does_not_open_is_told_and_tried_again_by_the_next_start),
        CASE(a_stamp_from_beyond_the_store_spares_nothing),
        CASE(what_a_node_without_a_lease_may_do),
        CASE(an_operator_can_let_a_node_open_for_a_time),
        CASE(what_was_granted_ends_before_the_answer),
        CASE(a_change_is_acknowledged_when_all_have_applied_it_or_no_lease_can_last),
        CASE(no_row_makes_a_change_acknowledged_sooner),
        CASE(one_who_has_left_may_have_a_lease_for_a_while),
        CASE(how_far_everything_is_in_force_is_known),
        CASE(a_promotion_waits_for_a_silent_node_from_the_candidate_on),
        CASE(a_lease_from_before_a_commit_ends_though_leases_go_on),
        CASE(waiting_ends_at_the_deadline_in_doubt),
        CASE(a_candidate_is_promoted_when_all_who_are_alive_have_opened_it),
        CASE(a_candidate_that_one_cannot_open_is_abandoned),
        CASE(one_who_is_alive_and_silent_ends_a_candidate),
        CASE(one_who_has_come_back_has_time_to_report),
        CASE(failures_that_were_forgotten_are_not_taken_for_proofs),
        CASE(one_who_may_be_cut_off_promotes_nothing_alone),
        CASE(nobody_is_taken_for_dead_because_a_host_is_behind),
        CASE(a_heartbeat_that_a_proof_waits_for_is_not_sent_in_a_rush_when_it_fails),
        CASE(nobody_is_taken_for_dead_because_this_node_has_not_looked),
        CASE(who_stops_abandons_nothing),
        CASE(a_node_that_is_locked_while_it_tries_a_candidate_tries_it_again),
        CASE(a_node_that_was_locked_has_no_lease_before_it_is_listed_again),
        CASE(a_row_is_read_as_it_was_written_and_no_altered_one_is),
        CASE(names_have_their_limits),
        CASE(a_stamp_that_cannot_be_read_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
