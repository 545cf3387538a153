/*
 * Every call to the store fails once, in every way: the state is the old one or the new one, and
 * what was acknowledged is there.
 */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static const struct {
    const char *says;
    enum hf_fault fault;
    enum hf_code code;
} faults[] = {
    { "unavailable before", HF_FAULT_BEFORE, HF_UNAVAILABLE },
    { "no space before", HF_FAULT_BEFORE, HF_NO_SPACE },
    { "in doubt, nothing happened", HF_FAULT_BEFORE, HF_IN_DOUBT },
    { "in doubt, it happened", HF_FAULT_IN_DOUBT, HF_IN_DOUBT },
};

/* One try after another on the same store, each with names of its own. */
struct rounds {
    struct world *world;
    unsigned number;
    size_t slots; /* before the action */
};

/* What is done, and what must be true of the store whether it worked or not. */
struct action {
    const char *says;
    struct hf_status (*run)(struct rounds *rounds);
    void (*check)(struct rounds *rounds, bool done);
};

static char *name_of(const struct rounds *rounds, const char *prefix, const char *rest)
{
    return hf_format("%s%u%s", prefix, rounds->number, rest);
}

static const char *const three[] = { "/a", "/b", "/c" };

static void put_old(struct rounds *rounds)
{
    struct hf_op *op = &rounds->world->op;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    assert_ok(op, hf_txn_new(rounds->world->seal, op, &txn));
    for (size_t i = 0; i < HF_COUNT(three); i++) {
        HF_AUTO_STRING path = name_of(rounds, "key/", three[i]);

        assert_ok(op, hf_txn_put(txn, op, HF_KIND_KEY, path, 0, hf_bytes_of_text("old")));
    }
    assert_ok(op, hf_txn_commit(txn, op, &commit));
}

static struct hf_status put_three(struct rounds *rounds)
{
    struct hf_op *op = &rounds->world->op;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    HF_AUTO_STRING last = name_of(rounds, "key/", three[2]);

    HF_TRY(hf_txn_new(rounds->world->seal, op, &txn));
    for (size_t i = 0; i < 2; i++) {
        HF_AUTO_STRING path = name_of(rounds, "key/", three[i]);

        HF_TRY(hf_txn_put(txn, op, HF_KIND_KEY, path, 1, hf_bytes_of_text("new")));
    }
    HF_TRY(hf_txn_bury(txn, op, HF_KIND_KEY, last, 1, hf_bytes_of_text("new")));
    return hf_txn_commit(txn, op, &commit);
}

static void check_three(struct rounds *rounds, bool done)
{
    struct world *world = rounds->world;
    uint64_t revision = 0;

    for (size_t i = 0; i < HF_COUNT(three); i++) {
        HF_AUTO_STRING path = name_of(rounds, "key/", three[i]);
        HF_AUTO(opened) opened = NULL;

        assert_ok(&world->op, hf_seal_get(world->seal, &world->op, HF_KIND_KEY, path, &opened));
        assert_true(revision == 0 || opened->revision == revision);
        revision = opened->revision;
        world_expect(world, HF_KIND_KEY, path, revision, revision == 2 ? "new" : "old");
    }
    assert_true(!done || revision == 2);
}

static struct hf_status make_secret(struct rounds *rounds)
{
    HF_AUTO_STRING name = name_of(rounds, "cookie", "");
    HF_AUTO(secret) secret = NULL;

    return hf_seal_secret(rounds->world->seal, &rounds->world->op, name, 32, &secret);
}

static void check_secret(struct rounds *rounds, bool done)
{
    HF_AUTO_STRING path = name_of(rounds, "secret/cookie", "");
    HF_AUTO(opened) opened = NULL;
    struct hf_status status =
        hf_seal_get(rounds->world->seal, &rounds->world->op, HF_KIND_SECRET, path, &opened);

    assert_true(status.code == HF_OK || (!done && status.code == HF_NOT_FOUND));
    assert_true(status.code != HF_OK ||
                (opened->revision == 1 && hf_secret_len(opened->plain) == 32));
}

struct counted {
    size_t slots;
    char id[33];
};

static void count_slot(void *context, const struct hf_slot_info *slot)
{
    struct counted *counted = context;

    assert_true(slot->verified);
    counted->slots++;
    memcpy(counted->id, slot->id, sizeof counted->id);
}

static struct counted count_slots(struct world *world)
{
    struct counted counted = { .slots = 0 };

    assert_ok(&world->op, hf_seal_slots(world->seal, &world->op, count_slot, &counted));
    return counted;
}

static struct hf_status add_slot(struct rounds *rounds)
{
    struct hf_slot_plan plan = { "third", rounds->world->offline, false };
    struct hf_slot_info slot;

    return hf_seal_slot_add(rounds->world->seal, &rounds->world->op, &plan, &slot);
}

static void check_added_slot(struct rounds *rounds, bool done)
{
    size_t slots = count_slots(rounds->world).slots;

    assert_true(slots == rounds->slots + 1 || (!done && slots == rounds->slots));
}

static struct hf_status prove_slot(struct rounds *rounds)
{
    struct counted counted = { .slots = 0 };

    HF_TRY(hf_seal_slots(rounds->world->seal, &rounds->world->op, count_slot, &counted));
    return hf_seal_slot_proven(rounds->world->seal, &rounds->world->op, counted.id);
}

static void check_same_slots(struct rounds *rounds, bool done)
{
    (void)done;
    assert_int_equal(count_slots(rounds->world).slots, rounds->slots);
}

static struct hf_status make_keyring_key(struct rounds *rounds)
{
    struct world *world = rounds->world;
    HF_AUTO_STRING name = name_of(rounds, "keyring-", "");
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_seal_keyring_key_create(world->seal, &world->op, txn, name, 1, "main"));
    return hf_txn_commit(txn, &world->op, &commit);
}

static void check_keyring_key(struct rounds *rounds, bool done)
{
    HF_AUTO_STRING name = name_of(rounds, "keyring-", "");
    struct hf_status status =
        hf_seal_keyring_key_open(rounds->world->seal, &rounds->world->op, name, 1);

    assert_true(status.code == HF_OK || (!done && status.code == HF_NOT_FOUND));
}

static struct hf_status unlock_again(struct rounds *rounds)
{
    hf_seal_lock(rounds->world->seal);
    return world_unlock(rounds->world);
}

static void check_old(struct rounds *rounds, bool done)
{
    HF_AUTO_STRING path = name_of(rounds, "key/", three[0]);

    (void)done;
    world_expect(rounds->world, HF_KIND_KEY, path, 1, "old");
}

static struct hf_status pin(struct rounds *rounds)
{
    return hf_seal_pin(rounds->world->seal, &rounds->world->op);
}

static const struct action actions[] = {
    { "a transaction with three changes", put_three, check_three },
    { "a secret made on demand", make_secret, check_secret },
    { "a slot added", add_slot, check_added_slot },
    { "a slot proven", prove_slot, check_same_slots },
    { "a keyring key", make_keyring_key, check_keyring_key },
    { "an unlock", unlock_again, check_old },
    { "a pin", pin, check_old },
};

/* One action with one fault at one call; gives whether the fault happened. */
static bool run_once(struct rounds *rounds, const struct action *action, size_t fault, uint64_t at)
{
    struct world *world = rounds->world;
    struct hf_status status;
    uint64_t batches;
    bool happened;

    rounds->number++;
    rounds->slots = count_slots(world).slots;
    put_old(rounds);
    hf_failing_set(world->engine, faults[fault].fault, faults[fault].code, at);
    status = action->run(rounds);
    happened = hf_failing_faults(world->engine) > 0;
    hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
    if (!happened && status.code != HF_OK) {
        fail_msg("%s failed without a fault: %s", action->says, world->op.text);
    }
    /* As after a crash: nothing in memory survives. */
    world_reopen(world);
    if (world_unlock(world).code != HF_OK) {
        fail_msg("%s, call %" PRIu64 " %s: the store does not open: %s", action->says, at,
                 faults[fault].says, world->op.text);
    }
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    action->check(rounds, status.code == HF_OK);
    assert_ok(&world->op, hf_seal_verify_log(world->seal, &world->op, &batches));
    return happened;
}

static void a_fault_at_any_call_leaves_the_old_state_or_the_new(void **state)
{
    struct rounds rounds = { .world = *state };

    for (size_t i = 0; i < HF_COUNT(actions); i++) {
        for (size_t fault = 0; fault < HF_COUNT(faults); fault++) {
            uint64_t at = 1;

            while (run_once(&rounds, &actions[i], fault, at)) {
                at++;
            }
            assert_true(at > 1);
        }
    }
}

/* An answer that was lost is found again, so a commit never fails for that. */
static void a_lost_answer_to_a_commit_is_no_failure(void **state)
{
    struct rounds rounds = { .world = *state };

    put_old(&rounds);
    hf_failing_set(rounds.world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    assert_ok(&rounds.world->op, put_three(&rounds));
    assert_int_equal(hf_failing_faults(rounds.world->engine), 1);
    check_three(&rounds, true);
}

static void a_fault_while_a_store_is_made_leaves_none_or_a_whole_one(void **state)
{
    struct world *world = *state;

    hf_engine_free(world->engine);
    for (size_t fault = 0; fault < HF_COUNT(faults); fault++) {
        bool happened = true;

        for (uint64_t at = 1; happened; at++) {
            struct hf_store_state store;
            HF_AUTO(buf) head = hf_buf_new();
            struct hf_status status;

            world_new_engine(world, 0x11);
            hf_failing_set(world->engine, faults[fault].fault, faults[fault].code, at);
            status = world_create(world);
            happened = hf_failing_faults(world->engine) > 0;
            hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
            assert_true(happened || status.code == HF_OK);
            assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &store, head));
            if (store.seq == 0) {
                /* And it can be tried again, over the pin that was left. */
                assert_true(status.code != HF_OK);
                assert_ok(&world->op, world_create(world));
            }
            world_reopen(world);
            assert_ok(&world->op, world_unlock(world));
            assert_int_equal(count_slots(world).slots, 2);
            hf_seal_free(world->seal);
            world->seal = NULL;
            hf_engine_free(world->engine);
            assert_int_equal(unlink(world->pin_file), 0);
        }
    }
    world_new_engine(world, 0x11);
}

/* Takes all the locked memory there is, in pieces that get smaller; gives how many. */
static size_t fill_arena(struct world *world, struct hf_secret **out, size_t max)
{
    struct hf_op op;
    size_t count = 0;

    hf_op_init(&op, &world->env);
    for (size_t len = (size_t)1 << 20; len >= 64; len /= 2) {
        while (count < max && hf_secret_new(&op, len, &out[count]).code == HF_OK) {
            count++;
        }
    }
    return count;
}

/* Locked memory runs out at any point: a refusal, and nothing is lost. */
static void full_locked_memory_at_any_point_is_a_refusal(void **state)
{
    struct rounds rounds = { .world = *state };
    size_t max = 1 << 16;
    struct hf_secret **all = hf_alloc_array(max, sizeof *all);
    bool worked = false;

    put_old(&rounds);
    for (size_t room = 0; room < 400 && !worked; room += 8) {
        size_t count = fill_arena(rounds.world, all, max);
        struct hf_status status;

        for (size_t i = 0; i < room && count > 0; i++) {
            hf_secret_free(all[--count]);
        }
        status = put_three(&rounds);
        worked = status.code == HF_OK;
        assert_true(worked || status.code == HF_NO_SPACE);
        while (count > 0) {
            hf_secret_free(all[--count]);
        }
        check_three(&rounds, worked);
    }
    free(all);
    assert_true(worked);
    assert_ok(&rounds.world->op, unlock_again(&rounds));
    check_three(&rounds, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fault_at_any_call_leaves_the_old_state_or_the_new,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_lost_answer_to_a_commit_is_no_failure, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_fault_while_a_store_is_made_leaves_none_or_a_whole_one,
                                        world_setup_empty, world_teardown),
        cmocka_unit_test_setup_teardown(full_locked_memory_at_any_point_is_a_refusal, world_setup,
                                        world_teardown),
    };

    world_start_process((size_t)4 << 20);
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
