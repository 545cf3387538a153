/*
 * Rotation of the root: nothing is lost at any moment, a removed slot opens nothing afterwards, and
 * whoever was away follows.
 */
#include "world.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define KEYS   7
#define WRITES 200 /* of each writer, at most */

static struct hf_status begin(struct world *world, const char *without_slot)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_seal_root_stage(world->seal, &world->op, txn, without_slot));
    HF_TRY(hf_txn_commit(txn, &world->op, &commit));
    hf_secret_free(commit.result);
    return HF_SUCCESS;
}

static struct hf_status end(struct world *world)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_seal_root_end_stage(world->seal, &world->op, txn));
    HF_TRY(hf_txn_commit(txn, &world->op, &commit));
    hf_secret_free(commit.result);
    return HF_SUCCESS;
}

static struct hf_status move_all(struct world *world, size_t max)
{
    bool done = false;

    while (!done) {
        HF_TRY(hf_seal_root_move(world->seal, &world->op, max, &done));
    }
    return HF_SUCCESS;
}

/* From wherever it stands to the end of a rotation, begun if there is none. */
static struct hf_status rotate(struct world *world)
{
    if (!hf_seal_root_is_moving(world->seal)) {
        HF_TRY(begin(world, NULL));
    }
    HF_TRY(move_all(world, 100));
    return end(world);
}

static void fill(struct world *world)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    for (int i = 0; i < KEYS; i++) {
        HF_AUTO_STRING path = hf_format("key/ring/%d", i);

        assert_ok(&world->op, world_put(world, HF_KIND_KEY, path, 0, path));
    }
    assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
    assert_ok(&world->op, hf_txn_bury(txn, &world->op, HF_KIND_KEY, "key/ring/0", 1,
                                      hf_bytes_of_text("was there")));
    assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
}

/* Everything that fill() made is there, whatever its revision. */
static void expect_filled(struct world *world)
{
    for (int i = 0; i < KEYS; i++) {
        HF_AUTO_STRING path = hf_format("key/ring/%d", i);
        HF_AUTO(opened) opened = NULL;

        assert_ok(&world->op, hf_seal_get(world->seal, &world->op, HF_KIND_KEY, path, &opened));
        assert_int_equal(opened->tombstone, i == 0);
        world_expect(world, HF_KIND_KEY, path, opened->revision, i == 0 ? "was there" : path);
    }
}

struct census {
    uint32_t generation;
    size_t under;
    size_t others;
};

static struct hf_status count_record(void *context, const struct hf_record_view *view)
{
    struct census *census = context;

    if (hf_record_generation(view->body) == census->generation) {
        census->under++;
    } else {
        census->others++;
    }
    return HF_SUCCESS;
}

static struct census census_of(struct world *world, uint32_t generation)
{
    struct census census = { .generation = generation };

    assert_ok(&world->op,
              hf_engine_list(world->memory, &world->op, "", NULL, count_record, &census));
    return census;
}

static struct hf_status unlock_with(struct world *world, struct hf_protector *protector)
{
    struct hf_slot_info slot;

    return hf_seal_unlock(world->seal, &world->op, protector, &slot);
}

/* As after a crash: nothing in memory survives. */
static void crash_and_open(struct world *world, struct hf_protector *protector)
{
    world_reopen(world);
    assert_ok(&world->op, unlock_with(world, protector));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
}

static void a_rotation_moves_every_record(void **state)
{
    struct world *world = *state;
    struct hf_root_info info;
    uint64_t batches = 0;
    struct census census;

    fill(world);
    assert_ok(&world->op, begin(world, NULL));
    assert_int_equal(hf_seal_root_generation(world->seal), 2);
    expect_filled(world);
    assert_ok(&world->op, hf_seal_root_info(world->seal, &world->op, &info));
    assert_true(info.moving && info.generation == 2 && info.begun_ms > 0 && info.ended_ms == 0);
    assert_ok(&world->op, move_all(world, 2));
    assert_ok(&world->op, end(world));
    census = census_of(world, 2);
    assert_int_equal(census.others, 0);
    assert_ok(&world->op, hf_seal_root_info(world->seal, &world->op, &info));
    assert_false(info.moving);
    assert_true(info.ended_ms >= info.begun_ms && info.records == census.under);
    assert_true(info.moved >= KEYS && info.stuck == 0);
    assert_false(hf_root_is_open(world->seal->unlocked, 1));
    expect_filled(world);
    assert_ok(&world->op, hf_seal_verify_log(world->seal, &world->op, &batches));
    crash_and_open(world, world->offline);
    expect_filled(world);
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    assert_ok(&world->op, rotate(world));
    assert_int_equal(census_of(world, 3).others, 0);
    crash_and_open(world, world->node);
    expect_filled(world);
}

static void a_rotation_waits_for_the_one_before(void **state)
{
    struct world *world = *state;

    assert_fails(&world->op, end(world), HF_WRONG_STATE);
    assert_ok(&world->op, begin(world, NULL));
    assert_fails(&world->op, begin(world, NULL), HF_WRONG_STATE);
    assert_fails(&world->op, end(world), HF_WRONG_STATE);
    assert_ok(&world->op, move_all(world, 100));
    assert_ok(&world->op, end(world));
    assert_fails(&world->op, end(world), HF_WRONG_STATE);
}

/* What was written under the old root's name for it: notes and results of the log. */
static void notes_and_results_of_before_stay_readable(void **state)
{
    struct world *world = *state;
    struct hf_request_id id = request(7);
    struct hf_txn_commit commit = { 0 };

    for (int i = 0; i < 2; i++) {
        HF_AUTO(txn) txn = NULL;
        HF_AUTO(secret) result = NULL;

        world->op.request_id = id;
        assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
        assert_ok(&world->op, hf_txn_put(txn, &world->op, HF_KIND_KEY, "key/once", 0,
                                         hf_bytes_of_text("made")));
        hf_txn_note(txn, hf_bytes_of_text("it was made"));
        hf_txn_result(txn, hf_bytes_of_text("done"));
        assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
        result = commit.result;
        assert_int_equal(commit.repeated, i == 1);
        if (i == 1) {
            assert_true(hf_bytes_equal_text(hf_secret_bytes(result), "done"));
        }
        memset(&world->op.request_id, 0, sizeof world->op.request_id);
        if (i == 0) {
            assert_ok(&world->op, rotate(world));
            assert_ok(&world->op, rotate(world));
            crash_and_open(world, world->node);
        }
    }
}

static struct hf_status take_note(void *context, uint64_t seq, uint64_t realtime_ms,
                                  struct hf_bytes note)
{
    (void)seq;
    (void)realtime_ms;
    *(size_t *)context += note.len > 0;
    return HF_SUCCESS;
}

static void notes_of_every_root_are_fed(void **state)
{
    struct world *world = *state;
    size_t notes = 0;

    for (int i = 0; i < 3; i++) {
        HF_AUTO(txn) txn = NULL;
        struct hf_txn_commit commit = { 0 };

        assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
        hf_txn_note(txn, hf_bytes_of_text("a note"));
        assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
        hf_secret_free(commit.result);
        assert_ok(&world->op, rotate(world));
    }
    assert_ok(&world->op, hf_seal_notes(world->seal, &world->op, 0, SIZE_MAX, take_note, &notes));
    assert_int_equal(notes, 3);
}

/* kill -9 after the beginning, between any two batches, before the end, before the pin. */
static void a_crash_between_any_two_commits_leaves_an_open_store(void **state)
{
    struct world *world = *state;
    struct hf_protector *openers[] = { world->node, world->offline };
    bool done = false;
    size_t crashes = 0;

    fill(world);
    assert_ok(&world->op, begin(world, NULL));
    for (size_t i = 0; !done; i++) {
        crash_and_open(world, openers[i % 2]);
        assert_int_equal(hf_seal_root_generation(world->seal), 2);
        assert_true(hf_seal_root_is_moving(world->seal));
        expect_filled(world);
        assert_ok(&world->op, hf_seal_root_move(world->seal, &world->op, 1, &done));
        crashes++;
    }
    assert_true(crashes > KEYS);
    crash_and_open(world, world->offline);
    assert_ok(&world->op, move_all(world, 100));
    assert_ok(&world->op, end(world));
    crash_and_open(world, world->node);
    assert_false(hf_seal_root_is_moving(world->seal));
    assert_int_equal(census_of(world, 2).others, 0);
    expect_filled(world);
}

static const struct {
    const char *says;
    enum hf_fault fault;
    enum hf_code code;
} faults[] = {
    { "unavailable before", HF_FAULT_BEFORE, HF_UNAVAILABLE },
    { "in doubt, nothing happened", HF_FAULT_BEFORE, HF_IN_DOUBT },
    { "in doubt, it happened", HF_FAULT_IN_DOUBT, HF_IN_DOUBT },
};

/* A rotation with one fault, then a crash, then whatever is left of it; gives whether it failed. */
static bool fault_once(struct world *world, size_t fault, uint64_t at)
{
    struct hf_protector *opener = at % 2 == 0 ? world->node : world->offline;
    bool happened;
    struct hf_status status;

    hf_failing_set(world->engine, faults[fault].fault, faults[fault].code, at);
    status = rotate(world);
    happened = hf_failing_faults(world->engine) > 0;
    hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
    if (!happened && status.code != HF_OK) {
        fail_msg("it failed without a fault: %s", world->op.text);
    }
    world_reopen(world);
    if (unlock_with(world, opener).code != HF_OK) {
        fail_msg("call %" PRIu64 " %s: the store does not open: %s", at, faults[fault].says,
                 world->op.text);
    }
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    expect_filled(world);
    if (hf_seal_root_is_moving(world->seal)) {
        assert_ok(&world->op, rotate(world));
    }
    assert_int_equal(census_of(world, hf_seal_root_generation(world->seal)).others, 0);
    return happened;
}

static void a_fault_at_any_call_leaves_a_rotation_that_goes_on(void **state)
{
    struct world *world = *state;

    fill(world);
    for (size_t fault = 0; fault < HF_COUNT(faults); fault++) {
        uint64_t at = 1;

        while (fault_once(world, fault, at)) {
            at++;
        }
        assert_true(at > 8);
    }
}

/* --- slots --- */

struct found_slot {
    const char *name;
    size_t count;
    struct hf_slot_info info;
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    struct found_slot *found = context;

    found->count++;
    if (strcmp(slot->name, found->name) == 0) {
        found->info = *slot;
    }
}

static struct found_slot find_slot(struct world *world, const char *name)
{
    struct found_slot found = { .name = name };

    assert_ok(&world->op, hf_seal_slots(world->seal, &world->op, match_slot, &found));
    return found;
}

static struct hf_status remove_slot(struct world *world, const char *name, bool keep_root)
{
    struct found_slot found = find_slot(world, name);
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };

    HF_TRY(hf_txn_new(world->seal, &world->op, &txn));
    HF_TRY(hf_seal_slot_remove_stage(world->seal, &world->op, txn, found.info.id, keep_root));
    HF_TRY(hf_txn_commit(txn, &world->op, &commit));
    hf_secret_free(commit.result);
    return HF_SUCCESS;
}

static struct hf_status add_slot(struct world *world, const char *name,
                                 struct hf_protector *protector)
{
    struct hf_slot_plan plan = { name, protector, false };
    struct hf_slot_info info;

    return hf_seal_slot_add(world->seal, &world->op, &plan, &info);
}

static void a_rotation_makes_every_slot_unproven_until_it_opens(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot = find_slot(world, "offline").info;

    assert_true(hf_slot_is_proven(&slot, 1));
    assert_ok(&world->op, begin(world, NULL));
    slot = find_slot(world, "offline").info;
    assert_true(slot.root_generation == 2 && slot.proven_generation == 1 && slot.proven_ms > 0);
    assert_true(slot.verified);
    assert_false(hf_slot_is_proven(&slot, 2));
    assert_ok(&world->op, hf_seal_try_slot(world->seal, &world->op, slot.id, world->offline));
    assert_fails(&world->op, hf_seal_try_slot(world->seal, &world->op, slot.id, world->node),
                 HF_DENIED);
    assert_ok(&world->op, hf_seal_slot_proven(world->seal, &world->op, slot.id));
    slot = find_slot(world, "offline").info;
    assert_true(hf_slot_is_proven(&slot, 2));
    slot = find_slot(world, "node-1").info;
    assert_false(hf_slot_is_proven(&slot, 2));
}

static void the_last_slot_and_the_last_proven_one_stay(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot;

    assert_ok(&world->op, begin(world, NULL));
    assert_fails(&world->op, remove_slot(world, "offline", true), HF_WRONG_STATE);
    assert_non_null(strstr(world->op.text, "slot test"));
    slot = find_slot(world, "node-1").info;
    assert_ok(&world->op, hf_seal_slot_proven(world->seal, &world->op, slot.id));
    assert_fails(&world->op, remove_slot(world, "node-1", true), HF_WRONG_STATE);
    /* With the root kept it does not matter that a rotation is under way; otherwise it does. */
    assert_fails(&world->op, remove_slot(world, "offline", false), HF_WRONG_STATE);
    assert_ok(&world->op, remove_slot(world, "offline", true));
    assert_int_equal(find_slot(world, "node-1").count, 1);
    assert_fails(&world->op, remove_slot(world, "node-1", true), HF_WRONG_STATE);
    assert_non_null(strstr(world->op.text, "last slot"));
    assert_fails(&world->op, remove_slot(world, "nobody", true), HF_NOT_FOUND);
}

static void a_removed_slot_opens_nothing(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING path = hf_format("slot/%s", find_slot(world, "offline").info.id);
    HF_AUTO(record) before = world_record(world, path);

    fill(world);
    assert_ok(&world->op, remove_slot(world, "offline", false));
    assert_int_equal(hf_seal_root_generation(world->seal), 2);
    /* In the middle, at the end, and with its record put back. */
    world_reopen(world);
    assert_fails(&world->op, unlock_with(world, world->offline), HF_DENIED);
    crash_and_open(world, world->node);
    assert_ok(&world->op, move_all(world, 3));
    assert_ok(&world->op, end(world));
    assert_int_equal(census_of(world, 2).others, 0);
    world_reopen(world);
    assert_fails(&world->op, unlock_with(world, world->offline), HF_DENIED);
    tamper_show(world->tamper, path, before->revision, hf_buf_bytes(&before->body));
    assert_fails(&world->op, unlock_with(world, world->offline), HF_WRONG_STATE);
    /* Nor on a machine that never saw this store. */
    assert_int_equal(unlink(world->pin_file), 0);
    world_reopen(world);
    assert_fails(&world->op, unlock_with(world, world->offline), HF_WRONG_STATE);
    tamper_reset(world->tamper);
    crash_and_open(world, world->node);
    expect_filled(world);
}

static void a_removed_slot_with_the_root_kept_opens_nothing_either(void **state)
{
    struct world *world = *state;

    assert_ok(&world->op, remove_slot(world, "offline", true));
    assert_int_equal(hf_seal_root_generation(world->seal), 1);
    world_reopen(world);
    assert_fails(&world->op, unlock_with(world, world->offline), HF_DENIED);
    crash_and_open(world, world->node);
    assert_ok(&world->op, add_slot(world, "offline", world->offline));
    crash_and_open(world, world->offline);
}

/* The new root must not be sealed to a key that somebody put there. */
static void an_altered_slot_stops_a_rotation_and_can_be_removed(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING path = hf_format("slot/%s", find_slot(world, "offline").info.id);
    HF_AUTO(record) record = world_record(world, path);

    record->body.data[record->body.len - 1] ^= 1;
    tamper_show(world->tamper, path, record->revision, hf_buf_bytes(&record->body));
    assert_fails(&world->op, begin(world, NULL), HF_CORRUPT);
    assert_ok(&world->op, remove_slot(world, "offline", false));
    tamper_reset(world->tamper);
    assert_ok(&world->op, rotate(world));
    world_reopen(world);
    assert_fails(&world->op, unlock_with(world, world->offline), HF_DENIED);
}

/* --- the pin --- */

struct copy {
    struct hf_engine *tamper;
    struct hf_store_state state;
    struct hf_buf head;
    struct hf_record *records[64];
    size_t count;
};

static struct hf_status copy_record(void *context, const struct hf_record_view *view)
{
    struct copy *copy = context;
    struct hf_record *record = hf_alloc(sizeof *record);

    record->path = hf_strdup(view->path);
    record->revision = view->revision;
    hf_buf_add_bytes(&record->body, view->body);
    copy->records[copy->count++] = record;
    return HF_SUCCESS;
}

static void copy_store(struct world *world, struct copy *copy)
{
    assert_ok(&world->op, hf_engine_list(world->memory, &world->op, "", NULL, copy_record, copy));
    assert_ok(&world->op, hf_engine_state(world->memory, &world->op, &copy->state, &copy->head));
}

/* The store is as it was when it was copied. */
static void show_copy(struct world *world, const struct copy *copy, uint32_t generation)
{
    for (size_t i = 0; i < copy->count; i++) {
        tamper_show(world->tamper, copy->records[i]->path, copy->records[i]->revision,
                    hf_buf_bytes(&copy->records[i]->body));
    }
    for (uint32_t i = 1; i <= generation; i++) {
        HF_AUTO_STRING path = hf_root_path(i);

        tamper_hide(world->tamper, path);
    }
    tamper_head(world->tamper, copy->state.seq, hf_buf_bytes(&copy->head));
}

static void copy_done(struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        hf_record_free(copy->records[i]);
    }
    hf_buf_done(&copy->head);
}

static void an_old_copy_with_an_old_slot_is_refused(void **state)
{
    struct world *world = *state;
    struct copy copy = { 0 };

    fill(world);
    copy_store(world, &copy);
    assert_ok(&world->op, remove_slot(world, "offline", false));
    assert_ok(&world->op, move_all(world, 100));
    assert_ok(&world->op, end(world));
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    world_reopen(world);
    show_copy(world, &copy, 2);
    assert_fails(&world->op, unlock_with(world, world->offline), HF_WRONG_STATE);
    assert_non_null(strstr(world->op.text, "back in time"));
    assert_fails(&world->op, unlock_with(world, world->node), HF_WRONG_STATE);
    /* Unless the operator gives up what came after. */
    assert_ok(&world->op, hf_seal_accept_history(world->seal, &world->op));
    assert_ok(&world->op, unlock_with(world, world->node));
    assert_int_equal(hf_seal_root_generation(world->seal), 1);
    copy_done(&copy);
}

/* This node pinned root 1, and slept through two rotations of others. */
static void a_node_that_slept_accepts_the_successors_of_its_root_only(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING path = hf_root_path(1);
    struct hf_pin pinned;

    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    assert_ok(&world->op, hf_pin_read(&world->op, world->pin_file, &pinned));
    assert_ok(&world->op, rotate(world));
    assert_ok(&world->op, rotate(world));
    assert_ok(&world->op, hf_pin_write(&world->op, world->pin_file, &pinned));
    crash_and_open(world, world->node);

    world_reopen(world);
    pinned.commitment[0] ^= 1;
    assert_ok(&world->op, hf_pin_write(&world->op, world->pin_file, &pinned));
    world_reopen(world);
    assert_fails(&world->op, unlock_with(world, world->node), HF_CORRUPT);
    assert_int_equal(world->op.cause, HF_CAUSE_OTHER_STORE);
    pinned.commitment[0] ^= 1;
    assert_ok(&world->op, hf_pin_write(&world->op, world->pin_file, &pinned));
    world_reopen(world);
    tamper_hide(world->tamper, path);
    assert_fails(&world->op, unlock_with(world, world->node), HF_CORRUPT);
}

/* --- records that do not open --- */

static void an_altered_record_keeps_the_old_root_until_it_is_restored(void **state)
{
    struct world *world = *state;
    struct hf_root_info info;
    HF_AUTO(record) record = NULL;
    bool done = true;

    fill(world);
    assert_ok(&world->op, begin(world, NULL));
    record = world_record(world, "key/ring/3");
    record->body.data[record->body.len - 1] ^= 1;
    tamper_show(world->tamper, "key/ring/3", record->revision, hf_buf_bytes(&record->body));
    for (int i = 0; i < 3; i++) {
        /* In one stretch: the tampering engine shows its lies last. */
        assert_ok(&world->op, hf_seal_root_move(world->seal, &world->op, 100, &done));
        assert_false(done);
    }
    assert_fails(&world->op, end(world), HF_WRONG_STATE);
    assert_true(hf_seal_damage(world->seal, NULL, NULL) == 1);
    assert_ok(&world->op, hf_seal_root_move(world->seal, &world->op, 100, &done));
    assert_ok(&world->op, hf_seal_root_info(world->seal, &world->op, &info));
    assert_true(info.moving && info.stuck == 1);
    tamper_reset(world->tamper);
    assert_ok(&world->op, move_all(world, 100));
    assert_ok(&world->op, end(world));
    assert_true(hf_seal_damage(world->seal, NULL, NULL) == 0);
    crash_and_open(world, world->node);
    expect_filled(world);
}

/* --- others at the same time --- */

static struct hf_status count_told(void *context, struct hf_op *op,
                                   const struct hf_opened_view *view)
{
    (void)op;
    (void)view;
    *(size_t *)context += 1;
    return HF_SUCCESS;
}

/* A second node on the same store, unlocked before, that nobody tells anything. */
static void another_node_follows_in_the_middle(void **state)
{
    struct world *world = *state;
    struct world other = *world;
    HF_AUTO_STRING pin = hf_format("%s/other-pin", world->directory);
    size_t told = 0;
    struct hf_consumer consumer = { .kind = HF_KIND_KEY, .apply = count_told, .context = &told };

    fill(world);
    other.seal = NULL;
    assert_ok(&world->op, hf_seal_open(world->crypto, &world->op, world->engine, pin, &other.seal));
    hf_seal_add_consumer(other.seal, &consumer);
    assert_ok(&world->op, unlock_with(&other, world->node));
    told = 0;

    /* A write is the first thing it does after the beginning. */
    assert_ok(&world->op, begin(world, NULL));
    assert_int_equal(hf_seal_root_generation(other.seal), 1);
    assert_ok(&world->op, world_put(&other, HF_KIND_KEY, "key/other/1", 0, "by the other"));
    assert_int_equal(hf_seal_root_generation(other.seal), 2);
    assert_true(hf_seal_root_is_moving(other.seal));
    world_expect(world, HF_KIND_KEY, "key/other/1", 1, "by the other");
    assert_ok(&world->op, move_all(world, 2));
    assert_ok(&world->op, hf_seal_pin(other.seal, &world->op));
    assert_true(told >= KEYS);
    expect_filled(&other);
    /* It may end what the first one began, once it has looked itself. */
    assert_ok(&world->op, move_all(&other, 100));
    assert_ok(&world->op, end(&other));
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    assert_false(hf_seal_root_is_moving(world->seal));
    assert_false(hf_root_is_open(world->seal->unlocked, 1));

    /* Reading is the first thing it does after the next. */
    assert_ok(&world->op, begin(world, NULL));
    assert_ok(&world->op, move_all(world, 2));
    expect_filled(&other);
    assert_int_equal(hf_seal_root_generation(other.seal), 3);
    assert_ok(&world->op, end(world));
    assert_ok(&world->op, hf_seal_pin(other.seal, &world->op));
    assert_false(hf_seal_root_is_moving(other.seal));
    assert_int_equal(hf_seal_damage(other.seal, NULL, NULL), 0);

    /* A rotation that it slept through needs a slot. */
    assert_ok(&world->op, begin(world, NULL));
    assert_ok(&world->op, move_all(world, 100));
    assert_ok(&world->op, end(world));
    assert_fails(&world->op, world_put(&other, HF_KIND_KEY, "key/other/2", 0, "late"),
                 HF_WRONG_STATE);
    hf_seal_lock(other.seal);
    assert_ok(&world->op, unlock_with(&other, world->node));
    assert_ok(&world->op, world_put(&other, HF_KIND_KEY, "key/other/2", 0, "late"));
    hf_seal_free(other.seal);
}

static void start_rotation(void *context)
{
    struct world *world = context;

    tamper_before_apply(world->tamper, NULL, NULL);
    assert_ok(&world->op, begin(world, NULL));
}

/* Sealed under root 1, and root 2 is in force when it comes to the store. */
static void a_commit_that_a_rotation_overtakes_is_sealed_again(void **state)
{
    struct world *world = *state;

    tamper_before_apply(world->tamper, start_rotation, world);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/x", 0, "overtaken"));
    world_expect(world, HF_KIND_KEY, "key/x", 1, "overtaken");
    HF_AUTO(record) record = world_record(world, "key/x");

    assert_int_equal(hf_record_generation(hf_buf_bytes(&record->body)), 2);
    crash_and_open(world, world->node);
}

/* Its sealed root is of root 1, so it is made again. */
static void a_slot_that_a_rotation_overtakes_holds_the_new_root(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot;

    tamper_before_apply(world->tamper, start_rotation, world);
    assert_ok(&world->op, add_slot(world, "third", world->node));
    slot = find_slot(world, "third").info;
    assert_true(hf_slot_is_proven(&slot, 2));
}

static void add_third(void *context)
{
    struct world *world = context;

    tamper_before_apply(world->tamper, NULL, NULL);
    assert_ok(&world->op, add_slot(world, "third", world->offline));
}

/* The rotation did not see it: it opens root 1, and the job seals root 2 to it. */
static void a_slot_that_overtakes_a_rotation_opens_in_the_middle_and_after(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot;

    fill(world);
    assert_ok(&world->op, remove_slot(world, "offline", true));
    tamper_before_apply(world->tamper, add_third, world);
    assert_ok(&world->op, begin(world, NULL));
    assert_int_equal(find_slot(world, "third").info.root_generation, 1);
    crash_and_open(world, world->offline);
    assert_int_equal(hf_seal_root_generation(world->seal), 2);
    assert_ok(&world->op, move_all(world, 3));
    assert_ok(&world->op, end(world));
    slot = find_slot(world, "third").info;
    assert_true(slot.root_generation == 2 && slot.proven_generation == 1);
    crash_and_open(world, world->offline);
    expect_filled(world);
}

struct writer {
    struct world *world;
    pthread_t thread;
    unsigned number;
    atomic_bool *stop;
    atomic_uint written;
};

static void *write_on(void *context)
{
    struct writer *writer = context;
    struct hf_op op;

    hf_op_init(&op, &writer->world->env);
    op.lane = writer->number;
    for (unsigned i = 0; !atomic_load(writer->stop) && i < WRITES; i++) {
        HF_AUTO_STRING path = hf_format("key/w%u/%u", writer->number, i);
        HF_AUTO(txn) txn = NULL;
        HF_AUTO(opened) opened = NULL;
        struct hf_txn_commit commit = { 0 };

        assert_ok(&op, hf_txn_new(writer->world->seal, &op, &txn));
        assert_ok(&op, hf_txn_put(txn, &op, HF_KIND_KEY, path, 0, hf_bytes_of_text(path)));
        assert_ok(&op, hf_txn_commit(txn, &op, &commit));
        hf_secret_free(commit.result);
        assert_ok(&op, hf_seal_get(writer->world->seal, &op, HF_KIND_KEY, path, &opened));
        assert_true(hf_bytes_equal_text(hf_secret_bytes(opened->plain), path));
        atomic_fetch_add(&writer->written, 1);
    }
    return NULL;
}

static void others_write_and_read_all_the_time(void **state)
{
    struct world *world = *state;
    struct writer writers[3] = { { 0 } };
    atomic_bool stop = false;

    fill(world);
    for (unsigned i = 0; i < HF_COUNT(writers); i++) {
        writers[i] = (struct writer){ .world = world, .number = i + 1, .stop = &stop };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    for (unsigned i = 0; i < HF_COUNT(writers); i++) {
        while (atomic_load(&writers[i].written) == 0) {
            (void)sched_yield();
        }
    }
    for (int i = 0; i < 5; i++) {
        assert_ok(&world->op, rotate(world));
        assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < HF_COUNT(writers); i++) {
        pthread_join(writers[i].thread, NULL);
    }
    assert_int_equal(census_of(world, 6).others, 0);
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    crash_and_open(world, world->offline);
    expect_filled(world);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_rotation_moves_every_record),
        CASE(a_rotation_waits_for_the_one_before),
        CASE(notes_and_results_of_before_stay_readable),
        CASE(notes_of_every_root_are_fed),
        CASE(a_crash_between_any_two_commits_leaves_an_open_store),
        CASE(a_fault_at_any_call_leaves_a_rotation_that_goes_on),
        CASE(a_rotation_makes_every_slot_unproven_until_it_opens),
        CASE(the_last_slot_and_the_last_proven_one_stay),
        CASE(a_removed_slot_opens_nothing),
        CASE(a_removed_slot_with_the_root_kept_opens_nothing_either),
        CASE(an_altered_slot_stops_a_rotation_and_can_be_removed),
        CASE(an_old_copy_with_an_old_slot_is_refused),
        CASE(a_node_that_slept_accepts_the_successors_of_its_root_only),
        CASE(an_altered_record_keeps_the_old_root_until_it_is_restored),
        CASE(another_node_follows_in_the_middle),
        CASE(a_commit_that_a_rotation_overtakes_is_sealed_again),
        CASE(a_slot_that_a_rotation_overtakes_holds_the_new_root),
        CASE(a_slot_that_overtakes_a_rotation_opens_in_the_middle_and_after),
        CASE(others_write_and_read_all_the_time),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("rotate", tests, NULL, NULL);
}
