/* A node's own place on the list of members: who takes the first, once, and who never does. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "seal/join.h"
#include "world.h"

/* The node of the world on a store that others share, with a key pair of that name to make. */
struct me {
    char *file;
    struct hf_drill_slot slot;
};

static void set_site(const char *site)
{
    free(world.service->site);
    world.service->site = hf_strdup(site);
}

static struct me me(const char *slot, const char *file)
{
    struct me me = { .file = small_world_path(file) };

    me.slot = (struct hf_drill_slot){ slot, { .kind = "node", .file = me.file } };
    (void)unlink(me.file);
    world.service->shared_store = true;
    return me;
}

/* The service looks at the slot where it is. */
static void configure(const struct me *me)
{
    world.service->slots = &me->slot;
    world.service->slot_count = 1;
}

static void me_done(struct me *me)
{
    world.service->slot_count = 0;
    free(me->file);
}

#define ME __attribute__((cleanup(me_done))) struct me

static struct hf_status enroll(void)
{
    small_world.op = small_world_op(0);
    return hf_service_node_enroll(world.service, &small_world.op);
}

static struct hf_members *members_now(void)
{
    struct hf_members *members = NULL;

    assert_ok(&small_world.op, hf_members_read(small_world.seal, &small_world.op, &members));
    return members;
}

static enum hf_light light_now(void)
{
    struct world_item search = world_item("member");

    assert_int_equal(search.count, 1);
    return search.told.light;
}

static struct hf_status open_by(const char *file)
{
    struct hf_protector_settings settings = { .kind = "node", .file = file };
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;

    assert_ok(&root, hf_service_lock(world.service, &root));
    return hf_service_unlock(world.service, &root, &settings, &slot);
}

static void see_nothing(void *context, const struct hf_node_info *node)
{
    (void)context;
    (void)node;
}

/* A machine of that name, approved by a person. */
static void approve(const char *name, const char *key)
{
    struct hf_op root = world_as(ROOT);
    HF_AUTO_STRING file = small_world_path(key);
    HF_AUTO(buf) request = hf_buf_new();
    HF_AUTO(buf) bundle = hf_buf_new();
    char fingerprint[HF_FINGERPRINT_LEN];
    struct hf_join_request node = { 0 };

    (void)unlink(file);
    strcpy(node.name, name);
    assert_ok(&root, hf_node_key_create(small_world.crypto, &root, file));
    assert_ok(&root, hf_node_key_public(small_world.crypto, &root, file, node.public_key));
    assert_ok(&root, hf_join_request_print(small_world.crypto, &root, &node, request));
    assert_ok(&root, hf_service_node_approve(world.service, &root, hf_buf_text(request), NULL,
                                             see_nothing, NULL, bundle, fingerprint));
}

static void the_first_node_of_a_shared_store_becomes_a_member_by_itself(void **unused)
{
    ME first = me("node-1", "first.key");
    HF_AUTO(members) members = NULL;
    uint64_t before = world_seq();

    (void)unused;
    configure(&first);
    set_site("east");
    assert_int_equal(light_now(), HF_AMBER);
    assert_ok(&small_world.op, enroll());
    members = members_now();
    assert_int_equal(members->count, 1);
    assert_string_equal(members->items[0]->node.name, "node-1");
    assert_string_equal(members->items[0]->node.site, "east");
    assert_string_equal(members->items[0]->approved_by, "system");
    /* Slot and member in one commit, the proof of the slot in another. */
    assert_true(world_seq() == before + 2);
    assert_int_equal(world_notes(EVENT("node.approve", "ok", "system"), "the first node"), 1);
    assert_int_equal(light_now(), HF_GREEN);
    assert_int_equal(open_by(first.file).code, HF_OK);
    /* And again at each start, which changes nothing. */
    before = world_seq();
    assert_ok(&small_world.op, enroll());
    assert_true(world_seq() == before);
}

static void a_store_of_one_node_has_no_members(void **unused)
{
    ME alone = me("node-1", "alone.key");
    uint64_t before = world_seq();

    (void)unused;
    configure(&alone);
    world.service->shared_store = false;
    assert_ok(&small_world.op, enroll());
    assert_true(world_seq() == before);
    assert_true(access(alone.file, F_OK) != 0);
    assert_int_equal(world_item("member").count, 0);
}

/* Another node was there first. */
static void take_first_place(const char *name)
{
    struct hf_op op = small_world_op(0);
    struct hf_join_request node = { 0 };
    struct hf_slot_info slot = { 0 };
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;

    strcpy(node.name, name);
    strcpy(slot.name, name);
    /* Any public key that is none of a small order. */
    memset(node.public_key, 9, sizeof node.public_key);
    assert_ok(&op, hf_txn_new(small_world.seal, &op, &txn));
    assert_ok(&op, hf_member_first_stage(small_world.seal, &op, txn, &node, "system", &slot));
    assert_ok(&op, hf_txn_commit(txn, &op, &commit));
    hf_secret_free(commit.result);
}

static void nobody_adds_himself_once_the_first_place_is_taken(void **unused)
{
    ME late = me("node-1", "late.key");
    uint64_t before;

    (void)unused;
    configure(&late);
    take_first_place("node-2");
    before = world_seq();
    assert_ok(&small_world.op, enroll());
    assert_true(world_seq() == before);
    assert_int_equal(light_now(), HF_RED);
}

/* Whose own the store was is not kept out by whom it approved then, nor by whom it removed. */
static void a_node_whose_own_store_had_members_becomes_the_first_when_it_is_shared(void **unused)
{
    static const bool removed[] = { false, true };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(removed); i++) {
        ME first = me("node-1", "moved.key");
        struct hf_op root = world_as(ROOT);
        HF_AUTO(members) members = NULL;
        uint32_t generation = 0;

        configure(&first);
        world.service->shared_store = false;
        approve("node-2", "early.key");
        if (removed[i]) {
            assert_ok(&root,
                      hf_service_node_remove(world.service, &root, "node-2", true, &generation));
        }
        world.service->shared_store = true;
        assert_int_equal(light_now(), HF_AMBER);
        assert_ok(&small_world.op, enroll());
        assert_int_equal(light_now(), HF_GREEN);
        members = members_now();
        assert_int_equal(members->count, 2);
        assert_string_equal(members->items[0]->node.name, "node-1");
        assert_int_equal(members->items[0]->state, HF_MEMBER_APPROVED);
        assert_int_equal(world_close(unused), 0);
        assert_int_equal(world_open(unused), 0);
    }
}

/* --- who goes --- */

static void the_last_member_is_not_removed(void **unused)
{
    ME first = me("node-1", "last.key");
    struct hf_op root = world_as(ROOT);
    HF_AUTO(member) member = NULL;
    uint32_t generation = 0;
    uint64_t before;

    (void)unused;
    configure(&first);
    assert_ok(&small_world.op, enroll());
    approve("node-2", "other.key");
    assert_ok(&root, hf_member_get(small_world.seal, &root, "node-1", &member));
    before = member->revision;
    hf_member_free(HF_TAKE(member));
    assert_ok(&root, hf_service_node_remove(world.service, &root, "node-2", true, &generation));
    /* Whoever removes node-1 at the same time conflicts with this, and sees that it is the last. */
    assert_ok(&root, hf_member_get(small_world.seal, &root, "node-1", &member));
    assert_true(member->revision > before);
    assert_int_equal(member->state, HF_MEMBER_APPROVED);
    before = world_seq();
    for (int keep = 0; keep < 2; keep++) {
        assert_fails(&root,
                     hf_service_node_remove(world.service, &root, "node-1", keep != 0, &generation),
                     HF_WRONG_STATE);
        assert_non_null(strstr(root.text, "node-1 is the last member"));
    }
    assert_true(world_seq() == before);
}

static void a_node_that_is_away_remains(void **unused)
{
    ME first = me("node-1", "here.key");
    struct hf_op root = world_as(ROOT);
    HF_AUTO(member) other = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    uint32_t generation = 0;

    (void)unused;
    configure(&first);
    assert_ok(&small_world.op, enroll());
    approve("node-2", "away.key");
    assert_ok(&root, hf_member_get(small_world.seal, &root, "node-2", &other));
    assert_ok(&root, hf_txn_new(small_world.seal, &root, &txn));
    assert_ok(&root, hf_member_change_stage(&root, txn, HF_MEMBER_AWAY, other));
    assert_ok(&root, hf_txn_commit(txn, &root, &commit));
    hf_secret_free(commit.result);
    assert_ok(&root, hf_service_node_remove(world.service, &root, "node-1", true, &generation));
}

static struct hf_status leave(void)
{
    small_world.op = small_world_op(0);
    return hf_service_node_leave(world.service, &small_world.op);
}

static void a_member_stays_unlocked(void **unused)
{
    ME first = me("node-1", "stays.key");

    (void)unused;
    configure(&first);
    assert_ok(&small_world.op, leave());
    assert_ok(&small_world.op, enroll());
    assert_ok(&small_world.op, leave());
    assert_true(hf_seal_is_unlocked(small_world.seal));
}

/* The node of the world is on the list with another, and then it is not. */
static void be_removed(const struct me *first)
{
    struct hf_op root = world_as(ROOT);
    uint32_t generation = 0;

    configure(first);
    assert_ok(&small_world.op, enroll());
    approve("node-2", "stays-here.key");
    assert_ok(&root, hf_service_node_remove(world.service, &root, "node-1", true, &generation));
}

static void assert_left(void)
{
    struct hf_op root = world_as(ROOT);
    struct world_item seal;

    assert_ok(&small_world.op, leave());
    assert_false(hf_seal_is_unlocked(small_world.seal));
    assert_fails(&root, hf_service_ready(world.service, &root), HF_WRONG_STATE);
    assert_non_null(strstr(root.text, "it was removed from its store"));
    seal = world_item("seal");
    assert_int_equal(seal.told.light, HF_RED);
    assert_non_null(strstr(seal.told.text, "this node was removed from its store"));
    assert_int_equal(
        world_lines_on_disk(EVENT("node.lock", "ok", "system"), "was removed from its store", NULL),
        1);
}

static void a_node_that_was_removed_locks_itself_and_says_why(void **unused)
{
    ME first = me("node-1", "left.key");

    (void)unused;
    be_removed(&first);
    assert_left();
}

static void a_node_whose_name_has_a_new_owner_locks_itself_too(void **unused)
{
    ME first = me("node-1", "former.key");

    (void)unused;
    be_removed(&first);
    approve("node-1", "successor.key");
    assert_left();
}

static void a_node_that_cannot_record_it_locks_itself_all_the_same(void **unused)
{
    ME first = me("node-1", "unrecorded.key");

    (void)unused;
    be_removed(&first);
    atomic_store(&world.sync_fails, true);
    assert_ok(&small_world.op, leave());
    atomic_store(&world.sync_fails, false);
    assert_false(hf_seal_is_unlocked(small_world.seal));
}

static void a_name_with_another_key_is_another_machine(void **unused)
{
    ME other = me("node-1", "other.key");
    uint64_t before;

    (void)unused;
    configure(&other);
    approve("node-1", "real.key");
    assert_ok(&small_world.op, hf_node_key_create(small_world.crypto, &small_world.op, other.file));
    before = world_seq();
    assert_ok(&small_world.op, enroll());
    assert_true(world_seq() == before);
    assert_int_equal(light_now(), HF_RED);
}

static void a_removed_node_does_not_come_back_by_itself(void **unused)
{
    ME first = me("node-1", "gone.key");
    struct hf_op root = world_as(ROOT);
    uint32_t generation = 0;
    uint64_t before;

    (void)unused;
    configure(&first);
    assert_ok(&small_world.op, enroll());
    approve("node-2", "stays-on.key");
    assert_ok(&root, hf_service_node_remove(world.service, &root, "node-1", true, &generation));
    before = world_seq();
    assert_ok(&small_world.op, enroll());
    assert_true(world_seq() == before);
    assert_int_equal(light_now(), HF_RED);
}

static void of_two_that_see_an_empty_list_one_becomes_the_first(void **unused)
{
    struct hf_op *op = &small_world.op;
    struct hf_join_request nodes[] = { { .name = "node-a" }, { .name = "node-b" } };
    HF_AUTO(members) members = NULL;

    (void)unused;
    *op = small_world_op(0);
    for (size_t i = 0; i < HF_COUNT(nodes); i++) {
        HF_AUTO(txn) txn = NULL;
        struct hf_slot_info slot = { 0 };
        struct hf_txn_commit commit = { 0 };
        struct hf_status status;

        /* Any public key that is none of a small order. */
        memset(nodes[i].public_key, 9 + (int)i, sizeof nodes[i].public_key);
        strcpy(slot.name, nodes[i].name);
        assert_ok(op, hf_txn_new(small_world.seal, op, &txn));
        assert_ok(op, hf_member_first_stage(small_world.seal, op, txn, &nodes[i], "system", &slot));
        status = hf_txn_commit(txn, op, &commit);
        hf_secret_free(commit.result);
        assert_int_equal(status.code, i == 0 ? HF_OK : HF_CONFLICT);
        hf_op_clear(op);
    }
    members = members_now();
    assert_int_equal(members->count, 1);
    assert_string_equal(members->items[0]->node.name, "node-a");
}

static void a_slot_that_init_made_for_the_key_is_taken_over(void **unused)
{
    ME first = me("node-1", "made.key");
    struct hf_op *op = &small_world.op;
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(members) members = NULL;
    struct hf_slot_plan plan = { .name = "node-1" };
    struct hf_slot_info slot;

    (void)unused;
    configure(&first);
    assert_ok(op, hf_node_key_create(small_world.crypto, op, first.file));
    assert_ok(op, hf_protector_open(small_world.crypto, op, &first.slot.protector, &protector));
    plan.protector = protector;
    assert_ok(op, hf_seal_slot_add(small_world.seal, op, &plan, &slot));
    assert_ok(op, enroll());
    members = members_now();
    assert_string_equal(members->items[0]->slot, slot.id);
}

static void a_slot_of_that_name_that_another_key_opens_is_not_taken_over(void **unused)
{
    ME first = me("node-1", "mine.key");
    HF_AUTO_STRING file = small_world_path("foreign.key");
    struct hf_op *op = &small_world.op;
    struct hf_protector_settings settings = { .kind = "node", .file = file };
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(members) members = NULL;
    struct hf_slot_plan plan = { .name = "node-1" };
    struct hf_slot_info slot;

    (void)unused;
    configure(&first);
    (void)unlink(file);
    assert_ok(op, hf_node_key_create(small_world.crypto, op, file));
    assert_ok(op, hf_protector_open(small_world.crypto, op, &settings, &protector));
    plan.protector = protector;
    assert_ok(op, hf_seal_slot_add(small_world.seal, op, &plan, &slot));
    assert_int_equal(enroll().code, HF_DENIED);
    members = members_now();
    assert_int_equal(members->count, 0);
}

static void a_configuration_without_the_slot_says_so(void **unused)
{
    (void)unused;
    world.service->shared_store = true;
    assert_ok(&small_world.op, enroll());
    assert_int_equal(light_now(), HF_RED);
    assert_non_null(strstr(world_item("member").told.text, "protector = \"node\""));
}

static void a_node_that_moves_to_another_site_is_recorded_there(void **unused)
{
    ME first = me("node-1", "moving.key");
    static const char *const sites[] = { "east", "west", "" };

    (void)unused;
    configure(&first);
    assert_ok(&small_world.op, enroll());
    for (size_t i = 0; i < HF_COUNT(sites); i++) {
        HF_AUTO(members) members = NULL;
        uint64_t before = world_seq();

        set_site(sites[i]);
        assert_ok(&small_world.op, enroll());
        assert_ok(&small_world.op, enroll());
        assert_true(world_seq() == before + 1);
        members = members_now();
        assert_string_equal(members->items[0]->node.site, sites[i]);
        assert_int_equal(members->items[0]->state, HF_MEMBER_APPROVED);
    }
    assert_int_equal(world_notes(EVENT("node.change", "ok", "system"), "to 'west'"), 1);
}

static void names_that_cannot_be_are_refused_before_anything_is_made(void **unused)
{
    ME first = me("node-1", "odd.key");
    uint64_t before = world_seq();

    (void)unused;
    configure(&first);
    set_site("two words");
    assert_int_equal(enroll().code, HF_INVALID);
    assert_true(world_seq() == before);
}

static void a_node_that_also_opens_by_a_key_file_is_not_removed_with_it_left(void **unused)
{
    ME first = me("node-1-own", "both.key");
    HF_AUTO_STRING file = small_world_path("another.key");
    struct hf_protector_settings settings = { .kind = "keyfile", .file = file };
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;
    uint32_t generation = 0;

    (void)unused;
    configure(&first);
    (void)unlink(file);
    assert_ok(&root, hf_keyfile_create(small_world.crypto, &root, file));
    assert_ok(&root, hf_service_slot_add(world.service, &root, "node-1", false, &settings, &slot));
    assert_ok(&small_world.op, enroll());
    approve("node-2", "with-it.key");
    assert_fails(&root, hf_service_node_remove(world.service, &root, "node-1", false, &generation),
                 HF_WRONG_STATE);
    assert_non_null(strstr(root.text, "holdfast slot remove node-1"));
    assert_ok(&root, hf_service_slot_remove(world.service, &root, "node-1", true, &generation));
    assert_ok(&root, hf_service_node_remove(world.service, &root, "node-1", false, &generation));
    assert_int_equal(generation, 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_first_node_of_a_shared_store_becomes_a_member_by_itself),
        CASE(a_store_of_one_node_has_no_members),
        CASE(nobody_adds_himself_once_the_first_place_is_taken),
        CASE(a_node_whose_own_store_had_members_becomes_the_first_when_it_is_shared),
        CASE(the_last_member_is_not_removed),
        CASE(a_node_that_is_away_remains),
        CASE(a_member_stays_unlocked),
        CASE(a_node_that_was_removed_locks_itself_and_says_why),
        CASE(a_node_whose_name_has_a_new_owner_locks_itself_too),
        CASE(a_node_that_cannot_record_it_locks_itself_all_the_same),
        CASE(a_name_with_another_key_is_another_machine),
        CASE(a_removed_node_does_not_come_back_by_itself),
        CASE(of_two_that_see_an_empty_list_one_becomes_the_first),
        CASE(a_slot_that_init_made_for_the_key_is_taken_over),
        CASE(a_slot_of_that_name_that_another_key_opens_is_not_taken_over),
        CASE(a_configuration_without_the_slot_says_so),
        CASE(a_node_that_moves_to_another_site_is_recorded_there),
        CASE(names_that_cannot_be_are_refused_before_anything_is_made),
        CASE(a_node_that_also_opens_by_a_key_file_is_not_removed_with_it_left),
    };

    return cmocka_run_group_tests_name("enroll", tests, world_start, world_stop);
}
