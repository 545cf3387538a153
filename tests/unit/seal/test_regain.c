/* A node that was away during a whole rotation of the root opens on by a slot, and by no other's.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

static struct hf_status commit_staged(struct world *world,
                                      struct hf_status (*stage)(struct hf_seal *seal,
                                                                struct hf_op *op,
                                                                struct hf_txn *txn))
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(stage(world->seal, &world->op, txn));
    HF_TRY(hf_txn_commit(txn, &world->op, &commit));
    hf_secret_free(commit.result);
    return HF_SUCCESS;
}

static struct hf_status stage_root(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn)
{
    return hf_seal_root_stage(seal, op, txn, NULL);
}

struct slot_search {
    const char *name;
    char id[33];
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    struct slot_search *search = context;

    if (strcmp(slot->name, search->name) == 0) {
        memcpy(search->id, slot->id, sizeof search->id);
    }
}

static struct slot_search find_slot(struct world *world, const char *name)
{
    struct slot_search search = { .name = name };

    assert_ok(&world->op, hf_seal_slots(world->seal, &world->op, match_slot, &search));
    return search;
}

static struct hf_status stage_without_offline(struct hf_seal *seal, struct hf_op *op,
                                              struct hf_txn *txn)
{
    struct slot_search search = { .name = "offline" };

    HF_TRY(hf_seal_slots(seal, op, match_slot, &search));
    return hf_seal_slot_remove_stage(seal, op, txn, search.id, false);
}

static void finish(struct world *world)
{
    bool done = false;

    while (!done) {
        assert_ok(&world->op, hf_seal_root_move(world->seal, &world->op, 100, &done));
    }
    assert_ok(&world->op, commit_staged(world, hf_seal_root_end_stage));
}

/* A whole rotation, begun by that. */
static void rotate(struct world *world,
                   struct hf_status (*stage)(struct hf_seal *seal, struct hf_op *op,
                                             struct hf_txn *txn))
{
    assert_ok(&world->op, commit_staged(world, stage));
    finish(world);
}

/* A second node on the same store, unlocked now, which then sleeps. */
static struct world sleeper(struct world *world)
{
    struct world other = *world;
    struct hf_slot_info slot;

    other.seal = NULL;
    assert_ok(&world->op,
              hf_seal_open(world->crypto, &world->op, world->engine, NULL, &other.seal));
    assert_ok(&world->op, hf_seal_unlock(other.seal, &world->op, world->node, &slot));
    return other;
}

static struct hf_status follow(struct world *other)
{
    uint64_t seq = 0;

    return hf_seal_follow(other->seal, &other->op, &seq);
}

static void whoever_slept_through_rotations_opens_on_by_a_slot(void **state)
{
    struct world *world = *state;
    struct world other;
    struct diary diary;

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "before"));
    other = sleeper(world);
    diary_init(&diary);
    diary_attach(&diary, other.seal, HF_KIND_KEY);
    rotate(world, stage_root);
    rotate(world, stage_root);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/b", 0, "after"));

    assert_fails(&other.op, follow(&other), HF_WRONG_STATE);
    assert_true(hf_seal_root_is_lost(other.seal));
    assert_ok(&other.op, hf_seal_root_regain(other.seal, &other.op, world->node));
    assert_false(hf_seal_root_is_lost(other.seal));
    assert_int_equal(hf_seal_root_generation(other.seal), 3);
    assert_false(hf_seal_root_is_moving(other.seal));
    assert_ok(&other.op, follow(&other));
    /* What it slept through is told once, and nothing was forgotten for it. */
    assert_non_null(strstr(hf_buf_text(&diary.text), "key/b@1=after"));
    assert_int_equal(diary.cleared, 0);
    assert_int_equal(hf_seal_damage(other.seal, NULL, NULL), 0);
    world_expect(&other, HF_KIND_KEY, "key/b", 1, "after");
    assert_ok(&other.op, world_put(&other, HF_KIND_KEY, "key/c", 0, "by the other"));
    world_expect(world, HF_KIND_KEY, "key/c", 1, "by the other");
    hf_seal_free(other.seal);
    diary_done(&diary);
}

static void a_rotation_that_is_under_way_goes_on_there(void **state)
{
    struct world *world = *state;
    struct world other = sleeper(world);

    rotate(world, stage_root);
    assert_ok(&world->op, commit_staged(world, stage_root));
    assert_true(hf_seal_root_is_lost(other.seal));
    assert_ok(&other.op, hf_seal_root_regain(other.seal, &other.op, world->offline));
    assert_int_equal(hf_seal_root_generation(other.seal), 3);
    assert_true(hf_seal_root_is_moving(other.seal));
    assert_ok(&other.op, follow(&other));
    finish(&other);
    assert_false(hf_seal_root_is_moving(other.seal));
    hf_seal_free(other.seal);
}

static void nothing_is_taken_while_nothing_is_lost(void **state)
{
    struct world *world = *state;
    struct world other = sleeper(world);

    assert_ok(&other.op, hf_seal_root_regain(other.seal, &other.op, world->offline));
    /* In the middle of a rotation it follows by what it has. */
    assert_ok(&world->op, commit_staged(world, stage_root));
    assert_false(hf_seal_root_is_lost(other.seal));
    assert_int_equal(hf_seal_root_generation(other.seal), 2);
    hf_seal_lock(other.seal);
    assert_false(hf_seal_root_is_lost(other.seal));
    assert_fails(&other.op, hf_seal_root_regain(other.seal, &other.op, world->offline),
                 HF_WRONG_STATE);
    hf_seal_free(other.seal);
}

static void a_slot_that_was_removed_meanwhile_opens_nothing(void **state)
{
    struct world *world = *state;
    struct world other = sleeper(world);

    rotate(world, stage_without_offline);
    assert_fails(&other.op, hf_seal_root_regain(other.seal, &other.op, world->offline), HF_DENIED);
    assert_int_equal(hf_seal_root_generation(other.seal), 1);
    assert_true(hf_seal_is_unlocked(other.seal));
    assert_ok(&other.op, hf_seal_root_regain(other.seal, &other.op, world->node));
    assert_int_equal(hf_seal_root_generation(other.seal), 2);
    hf_seal_free(other.seal);
}

/* The public half of a slot is no secret, so anybody who can write the store can seal to it. */
static void a_root_that_does_not_know_ours_is_refused(void **state)
{
    struct world *world = *state;
    struct world other = sleeper(world);
    HF_AUTO_STRING path = hf_format("slot/%s", find_slot(world, "node-1").id);
    HF_AUTO(record) record = NULL;
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(secret) secret = NULL;
    HF_AUTO(buf) clear = hf_buf_new();
    HF_AUTO(buf) body = hf_buf_new();
    struct hf_record_place place = { .path = path };
    struct hf_root forged = { .generation = 2, .owner = 77 };
    struct hf_record_parts parts;
    struct hf_op *op = &world->op;

    rotate(world, stage_root);
    record = world_record(world, path);
    assert_ok(op, hf_record_parse(op, hf_buf_bytes(&record->body), &parts));
    assert_ok(op, hf_slot_parse(op, parts.clear, &slot));
    assert_ok(op, hf_random_secret(world->crypto, op, HF_ROOT_LEN, &secret));
    forged.secret = secret;
    assert_ok(op, hf_slot_reseal(world->seal->unlocked, op, slot, &forged));
    hf_slot_encode(slot, clear);
    place.revision = record->revision + 1;
    assert_ok(op, hf_record_seal_under(world->seal->unlocked, op, &forged, HF_KIND_SLOT,
                                       HF_RECORD_CLEAR, &place, hf_buf_bytes(clear), body));
    tamper_show(world->tamper, path, place.revision, hf_buf_bytes(body));
    assert_fails(&other.op, hf_seal_root_regain(other.seal, &other.op, world->node), HF_CORRUPT);
    assert_int_equal(other.op.cause, HF_CAUSE_ALTERED);
    assert_int_equal(hf_seal_root_generation(other.seal), 1);
    tamper_reset(world->tamper);
    assert_ok(&other.op, hf_seal_root_regain(other.seal, &other.op, world->node));
    hf_seal_free(other.seal);
}

static void a_fault_at_any_call_leaves_the_root_as_it_was(void **state)
{
    struct world *world = *state;
    struct world other = sleeper(world);
    bool happened = true;
    uint64_t at = 0;

    rotate(world, stage_root);
    while (happened) {
        struct hf_status status;

        at++;
        hf_op_clear(&other.op);
        hf_failing_set(world->engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, at);
        status = hf_seal_root_regain(other.seal, &other.op, world->node);
        happened = hf_failing_faults(world->engine) > 0;
        hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
        assert_int_equal(status.code, happened ? HF_UNAVAILABLE : HF_OK);
        assert_int_equal(hf_seal_root_generation(other.seal), happened ? 1 : 2);
    }
    assert_true(at > 3);
    hf_seal_free(other.seal);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(whoever_slept_through_rotations_opens_on_by_a_slot),
        CASE(a_rotation_that_is_under_way_goes_on_there),
        CASE(nothing_is_taken_while_nothing_is_lost),
        CASE(a_slot_that_was_removed_meanwhile_opens_nothing),
        CASE(a_root_that_does_not_know_ours_is_refused),
        CASE(a_fault_at_any_call_leaves_the_root_as_it_was),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("regain", tests, NULL, NULL);
}
