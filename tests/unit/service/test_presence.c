/* Members that are silent, sent away by a commit, and back by one of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cluster/cluster.h"
#include "idle.h"
#include "world.h"

#define OTHERS    2
#define SILENT_MS 6000

/*
 * This node among others that only its test speaks for: the heartbeat table holds its own row, and
 * the list of members is that of the store, as the daemon hands it on.
 */
struct scene {
    struct hf_engine table;
    struct hf_cluster *cluster;
    bool reached; /* the database answers */
    struct hf_beat beat;
    struct hf_buf body;
    char *file;
    struct hf_drill_slot slot;
};

static struct scene scene;

static struct hf_status beat(struct hf_engine *engine, struct hf_op *op, const struct hf_beat *row,
                             bool synchronous, uint64_t *out_seq)
{
    (void)engine;
    if (!scene.reached) {
        return hf_fail(op, HF_UNAVAILABLE, "the database does not answer");
    }
    hf_buf_clear(&scene.body);
    hf_buf_add_bytes(&scene.body, row->body);
    scene.beat = *row;
    scene.beat.body = hf_buf_bytes(&scene.body);
    if (synchronous) {
        *out_seq = world_seq();
    }
    return HF_SUCCESS;
}

static struct hf_status beats(struct hf_engine *engine, struct hf_op *op, hf_beat_visitor visit,
                              void *context, uint64_t *out_seq)
{
    (void)engine;
    if (!scene.reached) {
        return hf_fail(op, HF_UNAVAILABLE, "the database does not answer");
    }
    *out_seq = world_seq();
    return scene.beat.node != NULL ? visit(context, &scene.beat) : HF_SUCCESS;
}

static const struct hf_engine_ops table_ops = { .name = "table", .beat = beat, .beats = beats };

static struct hf_status mac(void *context, struct hf_op *op, struct hf_bytes text,
                            uint8_t out[HF_CLUSTER_MAC_LEN])
{
    (void)context;
    (void)op;
    (void)text;
    memset(out, 7, HF_CLUSTER_MAC_LEN);
    return HF_SUCCESS;
}

static struct hf_members *members_now(struct hf_op *op)
{
    struct hf_members *members = NULL;

    assert_ok(op, hf_members_read(small_world.seal, op, &members));
    return members;
}

static void hand_on_members(struct hf_op *op)
{
    HF_AUTO(members) members = members_now(op);
    const char *names[OTHERS + 1];
    size_t count = 0;

    for (size_t i = 0; i < members->count; i++) {
        if (members->items[i]->state != HF_MEMBER_REMOVED &&
            !hf_member_is_away(members->items[i])) {
            assert_true(count < HF_COUNT(names));
            names[count++] = members->items[i]->node.name;
        }
    }
    hf_cluster_set_members(scene.cluster, names, count);
}

static struct hf_status follow(void *context, struct hf_op *op, uint64_t up_to,
                               uint64_t *out_applied)
{
    (void)context;
    hand_on_members(op);
    *out_applied = up_to;
    return HF_SUCCESS;
}

static void turn(void)
{
    struct hf_op op = small_world_op(3);
    uint64_t next_ms;

    (void)hf_cluster_tick(scene.cluster, &op, &next_ms).code;
}

static void wait_for_news(void *context, uint64_t news, uint64_t until_ms)
{
    (void)context;
    (void)news;
    (void)until_ms;
    small_world_pass(50);
    turn();
}

static void wake(void *context)
{
    (void)context;
}

static const struct hf_cluster_calls calls = {
    mac, follow, idle_open_version, idle_open_missed, idle_keep, wait_for_news, idle_tell, wake
};

/* --- the scene --- */

/* Another member, whose machine is nowhere. */
static void add_other(const char *name)
{
    struct hf_op *op = &small_world.op;
    struct hf_join_request node = { 0 };
    HF_AUTO_STRING key = hf_format("%s.other", name);
    HF_AUTO_STRING file = small_world_path(key);
    HF_AUTO(member) member = hf_alloc(sizeof *member);
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    strcpy(node.name, name);
    (void)unlink(file);
    assert_ok(op, hf_node_key_create(small_world.crypto, op, file));
    assert_ok(op, hf_node_key_public(small_world.crypto, op, file, node.public_key));
    assert_ok(op, hf_txn_new(small_world.seal, op, &txn));
    assert_ok(op, hf_member_add_stage(small_world.seal, op, txn, &node, "unix:root", member));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    hf_secret_free(commit.result);
}

static void put_state(const char *name, enum hf_member_state state)
{
    struct hf_op *op = &small_world.op;
    HF_AUTO(member) member = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    assert_ok(op, hf_member_get(small_world.seal, op, name, &member));
    assert_ok(op, hf_txn_new(small_world.seal, op, &txn));
    assert_ok(op, hf_member_change_stage(op, txn, state, member));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    hf_secret_free(commit.result);
}

static void start_cluster(void)
{
    struct hf_cluster_settings settings = {
        .env = &small_world.env,
        .engine = &scene.table,
        .node = "node-1",
        .site = "",
        .poll_ms = 50,
        .calls = &calls,
    };

    assert_ok(&small_world.op, hf_cluster_new(&small_world.op, &settings, &scene.cluster));
    hand_on_members(&small_world.op);
    world.service->cluster = scene.cluster;
}

static int open_scene(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    small_world.op = small_world_op(0);
    scene = (struct scene){ .table = { .ops = &table_ops },
                            .reached = true,
                            .file = small_world_path("me.key") };
    scene.slot = (struct hf_drill_slot){ "node-1", { .kind = "node", .file = scene.file } };
    (void)unlink(scene.file);
    world.service->shared_store = true;
    world.service->slots = &scene.slot;
    world.service->slot_count = 1;
    assert_ok(&small_world.op, hf_service_node_enroll(world.service, &small_world.op));
    add_other("node-2");
    add_other("node-3");
    start_cluster();
    return 0;
}

static int close_scene(void **unused)
{
    world.service->cluster = NULL;
    world.service->slot_count = 0;
    hf_cluster_free(scene.cluster);
    hf_buf_done(&scene.body);
    free(scene.file);
    return world_close(unused);
}

/* Turns and what the daemon does once a second, for so long. */
static void run(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 250) {
        turn();
        if (passed % 1000 == 0) {
            struct hf_op op = small_world_op(4);

            assert_ok(&op, hf_service_node_presence(world.service, &op));
        }
        small_world_pass(250);
    }
}

static enum hf_member_state state_of(const char *name)
{
    HF_AUTO(member) member = NULL;

    assert_ok(&small_world.op, hf_member_get(small_world.seal, &small_world.op, name, &member));
    return member->state;
}

static struct hf_cluster_view view_now(void)
{
    struct hf_cluster_view view;

    hf_cluster_look(scene.cluster, &view, NULL, NULL);
    return view;
}

static void see_nothing(void *context, const struct hf_node_info *node)
{
    (void)context;
    (void)node;
}

/* Without a lease a change waits for one. */
static struct hf_op as_root(void)
{
    struct hf_op root = world_as(ROOT);

    root.deadline_ms = small_world.boot_ms + 30000;
    return root;
}

static struct hf_status drain(const char *name, bool draining)
{
    struct hf_op root = as_root();

    return hf_service_node_drain(world.service, &root, name, draining, see_nothing, NULL);
}

/* --- who is sent away --- */

static void members_that_are_silent_are_away_after_some_seconds_by_one_commit(void **unused)
{
    uint64_t before = world_seq();

    (void)unused;
    run(SILENT_MS - 1000);
    assert_true(view_now().lease != 0);
    assert_true(world_seq() == before);
    run(3000);
    assert_true(world_seq() == before + 1);
    assert_int_equal(state_of("node-1"), HF_MEMBER_APPROVED);
    assert_int_equal(state_of("node-2"), HF_MEMBER_AWAY);
    assert_int_equal(state_of("node-3"), HF_MEMBER_AWAY);
    assert_int_equal(world_notes(EVENT("node.change", "ok", "system"), "node 'node-2' is away"), 1);
    /* And that is all, however long they stay silent. */
    run((uint64_t)60 * 1000);
    assert_true(world_seq() == before + 1);
    assert_true(view_now().lease != 0);
}

static void a_change_does_not_wait_for_members_that_are_away(void **unused)
{
    struct hf_op op = small_world_op(0);
    uint64_t began_ms;

    (void)unused;
    run(SILENT_MS + 6000);
    assert_int_equal(state_of("node-2"), HF_MEMBER_AWAY);
    put_state("node-3", HF_MEMBER_REMOVED);
    run(4000);
    began_ms = small_world.boot_ms;
    put_state("node-2", HF_MEMBER_AWAY_DRAINING);
    assert_ok(&op, hf_cluster_wait_applied(scene.cluster, &op, world_seq(), 0));
    assert_true(small_world.boot_ms - began_ms < HF_CLUSTER_LEASE_MS / 4);
}

static void a_version_is_proven_on_so_many_of_all_with_those_who_are_away(void **unused)
{
    (void)unused;
    run(SILENT_MS + 3000);
    assert_int_equal(state_of("node-3"), HF_MEMBER_AWAY);
    (void)world_key("made-meanwhile", HF_ALG_AES_256);
    assert_int_equal(world_notes(EVENT("key.create", "ok", ROOT), "proven on 1 of 3 nodes"), 1);
}

static void a_node_without_a_lease_sends_nobody_away(void **unused)
{
    uint64_t before = world_seq();

    (void)unused;
    scene.reached = false;
    run((uint64_t)30 * 1000);
    assert_int_equal(view_now().lease, 0);
    assert_true(world_seq() == before);
}

static void after_an_outage_the_others_have_the_same_time_to_be_heard_again(void **unused)
{
    uint64_t before = world_seq();

    (void)unused;
    run(1000);
    scene.reached = false;
    run((uint64_t)30 * 1000);
    scene.reached = true;
    run(SILENT_MS - 1000);
    assert_true(view_now().lease != 0);
    assert_true(world_seq() == before);
    run(3000);
    assert_int_equal(state_of("node-2"), HF_MEMBER_AWAY);
}

static void who_is_to_leave_goes_away_too_and_is_still_to_leave_afterwards(void **unused)
{
    (void)unused;
    run(1000);
    put_state("node-2", HF_MEMBER_DRAINING);
    run(SILENT_MS + 3000);
    assert_int_equal(state_of("node-2"), HF_MEMBER_AWAY_DRAINING);
    assert_int_equal(state_of("node-3"), HF_MEMBER_AWAY);
}

static void what_another_node_has_done_already_is_no_failure(void **unused)
{
    struct hf_op op = small_world_op(4);
    uint64_t before;

    (void)unused;
    /* The others are away in the store, and this node has not heard of it. */
    put_state("node-2", HF_MEMBER_AWAY);
    put_state("node-3", HF_MEMBER_AWAY);
    before = world_seq();
    turn();
    hf_cluster_set_members(scene.cluster, (const char *const[]){ "node-1", "node-2", "node-3" }, 3);
    for (uint64_t passed = 0; passed <= SILENT_MS; passed += 250) {
        small_world_pass(250);
        turn();
    }
    assert_true(view_now().leased_ms >= SILENT_MS);
    assert_ok(&op, hf_service_node_presence(world.service, &op));
    assert_true(world_seq() == before);
    assert_int_equal(world_lines(EVENT("node.change", "wrong_state", "system"), NULL, NULL), 1);
}

/* --- who comes back --- */

static void a_node_that_finds_itself_away_comes_back_and_has_its_lease_then(void **unused)
{
    (void)unused;
    put_state("node-1", HF_MEMBER_AWAY);
    run(1000);
    assert_true(view_now().listed);
    assert_int_equal(state_of("node-1"), HF_MEMBER_APPROVED);
    assert_int_equal(world_notes(EVENT("node.change", "ok", "system"), "node 'node-1' is back"), 1);
    run(1000);
    assert_true(view_now().lease != 0);
}

static void while_it_is_away_it_has_no_lease_and_could_have_one(void **unused)
{
    (void)unused;
    put_state("node-1", HF_MEMBER_AWAY);
    turn();
    turn();
    assert_false(view_now().listed);
    assert_true(view_now().able);
    assert_int_equal(view_now().lease, 0);
}

static void a_node_that_does_not_reach_the_store_does_not_try(void **unused)
{
    uint64_t before;

    (void)unused;
    put_state("node-1", HF_MEMBER_AWAY);
    turn();
    scene.reached = false;
    small_world_pass(HF_CLUSTER_LEASE_MS);
    before = world_seq();
    run(5000);
    assert_true(world_seq() == before);
    scene.reached = true;
    run(2000);
    assert_int_equal(state_of("node-1"), HF_MEMBER_APPROVED);
}

static void who_was_to_leave_comes_back_to_leave(void **unused)
{
    (void)unused;
    put_state("node-1", HF_MEMBER_AWAY_DRAINING);
    run(1000);
    assert_int_equal(state_of("node-1"), HF_MEMBER_DRAINING);
}

static void neither_a_removed_node_nor_another_key_comes_back(void **unused)
{
    uint64_t before;

    (void)unused;
    put_state("node-1", HF_MEMBER_REMOVED);
    before = world_seq();
    run(5000);
    assert_true(world_seq() == before);
    put_state("node-1", HF_MEMBER_AWAY);
    before = world_seq();
    assert_int_equal(unlink(scene.file), 0);
    assert_ok(&small_world.op, hf_node_key_create(small_world.crypto, &small_world.op, scene.file));
    run(5000);
    assert_true(world_seq() == before);
    assert_int_equal(state_of("node-1"), HF_MEMBER_AWAY);
}

static void a_store_of_one_node_has_nobody_to_send_away(void **unused)
{
    uint64_t before = world_seq();

    (void)unused;
    world.service->cluster = NULL;
    assert_ok(&small_world.op, hf_service_node_presence(world.service, &small_world.op));
    assert_true(world_seq() == before);
}

/* --- what people do with them, and see --- */

static void draining_is_kept_apart_from_being_away(void **unused)
{
    struct hf_op root = as_root();
    uint32_t generation = 0;

    (void)unused;
    run(SILENT_MS + 3000);
    assert_int_equal(drain("node-2", true).code, HF_OK);
    assert_int_equal(state_of("node-2"), HF_MEMBER_AWAY_DRAINING);
    assert_int_equal(drain("node-2", false).code, HF_OK);
    assert_int_equal(state_of("node-2"), HF_MEMBER_AWAY);
    assert_ok(&root, hf_service_node_remove(world.service, &root, "node-2", true, &generation));
    assert_int_equal(state_of("node-2"), HF_MEMBER_REMOVED);
}

static void status_is_amber_for_each_member_that_is_away(void **unused)
{
    struct world_item item;

    (void)unused;
    assert_int_equal(world_item("member node-2").count, 0);
    run(SILENT_MS + 3000);
    item = world_item("member node-2");
    assert_int_equal(item.count, 1);
    assert_int_equal(item.told.light, HF_AMBER);
    assert_non_null(strstr(item.told.text, "node-2 is away: no news for "));
    assert_int_equal(world_item("member node-3").count, 1);
    assert_int_equal(world_item("member node-1").count, 0);
    put_state("node-1", HF_MEMBER_AWAY);
    assert_non_null(strstr(world_item("member node-1").told.text, "this node is away"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(members_that_are_silent_are_away_after_some_seconds_by_one_commit),
        CASE(a_change_does_not_wait_for_members_that_are_away),
        CASE(a_version_is_proven_on_so_many_of_all_with_those_who_are_away),
        CASE(a_node_without_a_lease_sends_nobody_away),
        CASE(after_an_outage_the_others_have_the_same_time_to_be_heard_again),
        CASE(who_is_to_leave_goes_away_too_and_is_still_to_leave_afterwards),
        CASE(what_another_node_has_done_already_is_no_failure),
        CASE(a_node_that_finds_itself_away_comes_back_and_has_its_lease_then),
        CASE(while_it_is_away_it_has_no_lease_and_could_have_one),
        CASE(a_node_that_does_not_reach_the_store_does_not_try),
        CASE(who_was_to_leave_comes_back_to_leave),
        CASE(neither_a_removed_node_nor_another_key_comes_back),
        CASE(a_store_of_one_node_has_nobody_to_send_away),
        CASE(draining_is_kept_apart_from_being_away),
        CASE(status_is_amber_for_each_member_that_is_away),
    };

    return cmocka_run_group_tests_name("members away", tests, world_start, world_stop);
}
