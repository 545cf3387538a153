/* Promise P7: what one who can write the store may try, and what he gets for it. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define A "key/sales/a"
#define B "key/sales/b"

/* Two keys and a policy; a has been changed twice. */
static int setup(void **state)
{
    struct world *world;

    world_setup(state);
    world = *state;
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, A, 0, "a one"));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, A, 1, "a two"));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, B, 0, "b one"));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, A, 2, "a three"));
    assert_ok(&world->op, world_put(world, HF_KIND_POLICY, "policy/p", 0, "p one"));
    return 0;
}

/* What an attacker keeps from earlier: records of a as they were. */
struct loot {
    struct hf_record *first;
    struct hf_record *second;
    struct hf_record *b;
    struct hf_record *other_store;
    struct hf_buf head;
    struct hf_store_state state;
};

static void show(struct world *world, const char *path, uint64_t revision,
                 const struct hf_record *record)
{
    tamper_show(world->tamper, path, revision, hf_buf_bytes(&record->body));
}

static void leave_alone(struct world *world, const struct loot *loot)
{
    (void)world;
    (void)loot;
}

static void move_b_to_a(struct world *world, const struct loot *loot)
{
    show(world, A, 3, loot->b);
}

static void move_b_with_its_revision(struct world *world, const struct loot *loot)
{
    show(world, A, 1, loot->b);
}

static void put_older_body_back(struct world *world, const struct loot *loot)
{
    show(world, A, 3, loot->second);
}

static void put_older_record_back(struct world *world, const struct loot *loot)
{
    show(world, A, 2, loot->second);
}

static void put_first_record_back(struct world *world, const struct loot *loot)
{
    show(world, A, 1, loot->first);
}

static void put_body_of_other_store(struct world *world, const struct loot *loot)
{
    show(world, A, 3, loot->other_store);
}

static void flip_a_bit(struct world *world, const struct loot *loot)
{
    struct hf_record *record = world_record(world, A);

    (void)loot;
    record->body.data[record->body.len - 20] ^= 4;
    show(world, A, 3, record);
    hf_record_free(record);
}

static void empty_the_body(struct world *world, const struct loot *loot)
{
    (void)loot;
    tamper_show(world->tamper, A, 3, HF_BYTES_NONE);
}

static void remove_b(struct world *world, const struct loot *loot)
{
    (void)loot;
    tamper_hide(world->tamper, B);
}

static void remove_b_and_alter_a(struct world *world, const struct loot *loot)
{
    flip_a_bit(world, loot);
    tamper_hide(world->tamper, B);
}

static void remove_all(struct world *world, const struct loot *loot)
{
    remove_b(world, loot);
    tamper_hide(world->tamper, A);
    tamper_hide(world->tamper, "policy/p");
}

static void add_a_copy(struct world *world, const struct loot *loot)
{
    show(world, "key/sales/c", 1, loot->b);
}

static void put_old_head_back(struct world *world, const struct loot *loot)
{
    tamper_head(world->tamper, loot->state.seq, hf_buf_bytes(&loot->head));
}

static void put_old_head_at_new_seq(struct world *world, const struct loot *loot)
{
    tamper_head(world->tamper, 6, hf_buf_bytes(&loot->head));
}

static void put_head_and_record_back(struct world *world, const struct loot *loot)
{
    put_old_head_back(world, loot);
    put_older_record_back(world, loot);
    tamper_hide(world->tamper, "policy/p");
}

static void take_head_away(struct world *world, const struct loot *loot)
{
    (void)loot;
    tamper_head(world->tamper, 6, HF_BYTES_NONE);
}

static void say_the_store_is_empty(struct world *world, const struct loot *loot)
{
    (void)loot;
    tamper_head(world->tamper, 0, HF_BYTES_NONE);
}

static void hide_the_store_secrets(struct world *world, const struct loot *loot)
{
    (void)loot;
    tamper_hide(world->tamper, "secret/store");
}

static void put_a_key_in_place_of_the_store_secrets(struct world *world, const struct loot *loot)
{
    show(world, "secret/store", 1, loot->b);
}

enum outcome { FINE, DAMAGED, REFUSED };

static const struct {
    const char *says;
    void (*attack)(struct world *world, const struct loot *loot);
    bool with_pin;
    enum outcome outcome;
    enum hf_code code; /* of the refusal */
} attacks[] = {
    { "nothing is touched", leave_alone, true, FINE, HF_OK },
    { "a record moved to another path", move_b_to_a, true, DAMAGED, HF_OK },
    { "a record moved with its revision", move_b_with_its_revision, true, DAMAGED, HF_OK },
    { "an older body under the revision of now", put_older_body_back, true, DAMAGED, HF_OK },
    { "an older body with its older revision", put_older_record_back, true, REFUSED, HF_CORRUPT },
    { "the very first body with its revision", put_first_record_back, true, REFUSED, HF_CORRUPT },
    { "a body from another store", put_body_of_other_store, true, DAMAGED, HF_OK },
    { "a bit is flipped", flip_a_bit, true, DAMAGED, HF_OK },
    { "a body without bytes", empty_the_body, true, DAMAGED, HF_OK },
    { "a record removed", remove_b, true, REFUSED, HF_CORRUPT },
    { "a record removed, another altered to explain it", remove_b_and_alter_a, true, REFUSED,
      HF_CORRUPT },
    { "every key removed", remove_all, true, REFUSED, HF_CORRUPT },
    { "a copy of a record added", add_a_copy, true, REFUSED, HF_CORRUPT },
    { "an old head with the records of now", put_old_head_back, false, REFUSED, HF_CORRUPT },
    { "an old head under the seq of now", put_old_head_at_new_seq, true, REFUSED, HF_CORRUPT },
    { "an old head with all records of then", put_head_and_record_back, true, REFUSED,
      HF_WRONG_STATE },
    { "the same to a node that never saw the newer one", put_head_and_record_back, false, FINE,
      HF_OK },
    { "no head", take_head_away, true, REFUSED, HF_CORRUPT },
    { "the store says it is empty", say_the_store_is_empty, true, REFUSED, HF_NOT_FOUND },
    { "the store secrets removed", hide_the_store_secrets, true, REFUSED, HF_CORRUPT },
    { "a key in place of the store secrets", put_a_key_in_place_of_the_store_secrets, true, REFUSED,
      HF_CORRUPT },
};

static void note_damage(void *context, const struct hf_damaged *record)
{
    assert_true(strcmp(record->path, A) == 0);
    ++*(size_t *)context;
}

static void expect_refusal(struct world *world, size_t row)
{
    struct hf_status status;

    world->seal = NULL;
    status = hf_seal_open(world->crypto, &world->op, world->engine, world->pin_file, &world->seal);
    if (status.code == HF_OK) {
        status = world_unlock(world);
    }
    if (status.code != attacks[row].code ||
        (status.code == HF_CORRUPT && world->op.cause != HF_CAUSE_ALTERED)) {
        fail_msg("%s: got %s: %s", attacks[row].says, hf_code_name(status.code), world->op.text);
    }
    assert_true(world->seal == NULL || !hf_seal_is_unlocked(world->seal));
}

static void expect_opening(struct world *world, size_t row)
{
    struct hf_status status;
    HF_AUTO(opened) opened = NULL;
    uint64_t total;
    size_t seen = 0;

    world->seal = NULL;
    assert_ok(&world->op, hf_seal_open(world->crypto, &world->op, world->engine, world->pin_file,
                                       &world->seal));
    status = world_unlock(world);
    total = hf_seal_damage(world->seal, note_damage, &seen);
    if (status.code != HF_OK || total != seen ||
        total != (attacks[row].outcome == DAMAGED ? 1 : 0)) {
        fail_msg("%s: got %s with %zu damaged: %s", attacks[row].says, hf_code_name(status.code),
                 seen, world->op.text);
    }
    status = hf_seal_get(world->seal, &world->op, HF_KIND_KEY, A, &opened);
    if (status.code != (attacks[row].outcome == DAMAGED ? HF_CORRUPT : HF_OK)) {
        fail_msg("%s: reading a: %s", attacks[row].says, hf_code_name(status.code));
    }
    world_expect(world, HF_KIND_KEY, B, 1, "b one");
}

static struct hf_record *record_of_other_store(struct world *world)
{
    struct world other = *world;
    struct hf_record *record;

    world_new_engine(&other, 0x22);
    other.pin_file = NULL;
    assert_ok(&other.op, world_create(&other));
    assert_ok(&other.op, world_put(&other, HF_KIND_KEY, A, 0, "x"));
    assert_ok(&other.op, world_put(&other, HF_KIND_KEY, A, 1, "x"));
    assert_ok(&other.op, world_put(&other, HF_KIND_KEY, A, 2, "x"));
    record = world_record(&other, A);
    hf_seal_free(other.seal);
    hf_engine_free(other.engine);
    return record;
}

/* Rebuilds the same history, taking what an attacker could have copied on the way. */
static struct loot gather(struct world *world)
{
    struct loot loot = { .other_store = record_of_other_store(world) };

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, A, 0, "a one"));
    loot.first = world_record(world, A);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, A, 1, "a two"));
    loot.second = world_record(world, A);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, B, 0, "b one"));
    loot.b = world_record(world, B);
    assert_ok(&world->op, hf_engine_state(world->memory, &world->op, &loot.state, &loot.head));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, A, 2, "a three"));
    assert_ok(&world->op, world_put(world, HF_KIND_POLICY, "policy/p", 0, "p one"));
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    return loot;
}

static void each_attack_ends_as_the_table_says(void **state)
{
    struct world *world = *state;
    struct loot loot = gather(world);
    HF_AUTO_STRING kept = hf_format("%s.kept", world->pin_file);

    assert_int_equal(rename(world->pin_file, kept), 0);
    for (size_t i = 0; i < HF_COUNT(attacks); i++) {
        hf_seal_free(world->seal);
        (void)unlink(world->pin_file);
        if (attacks[i].with_pin) {
            assert_int_equal(link(kept, world->pin_file), 0);
        }
        attacks[i].attack(world, &loot);
        if (attacks[i].outcome == REFUSED) {
            expect_refusal(world, i);
        } else {
            expect_opening(world, i);
        }
        tamper_reset(world->tamper);
    }
    hf_record_free(loot.first);
    hf_record_free(loot.second);
    hf_record_free(loot.b);
    hf_record_free(loot.other_store);
    hf_buf_done(&loot.head);
}

static void every_flipped_bit_of_a_stored_slot_is_told(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot;
    struct hf_record *record;
    HF_AUTO_STRING path = NULL;
    struct hf_op *op = &world->op;

    world_reopen(world);
    assert_ok(op, hf_seal_unlock(world->seal, op, world->offline, &slot));
    path = hf_format("slot/%s", slot.id);
    record = world_record(world, path);
    for (size_t i = 0; i < record->body.len; i++) {
        struct hf_status status;

        record->body.data[i] ^= 1;
        show(world, path, record->revision, record);
        record->body.data[i] ^= 1;

        /* Open already: the slot is not used. */
        status = hf_seal_try_slot(world->seal, op, slot.id, world->offline);
        if (status.code != HF_CORRUPT) {
            fail_msg("byte %zu: tried: %s", i, hf_code_name(status.code));
        }
    }
    tamper_reset(world->tamper);
    assert_ok(op, hf_seal_try_slot(world->seal, op, slot.id, world->offline));
    hf_record_free(record);
}

struct seen_slots {
    size_t count;
    size_t verified;
};

static void count_slot(void *context, const struct hf_slot_info *slot)
{
    struct seen_slots *seen = context;

    seen->count++;
    seen->verified += slot->verified ? 1 : 0;
}

/* The other slot still opens, and the altered one is shown as what it is. */
static void an_altered_slot_does_not_open_and_the_other_does(void **state)
{
    struct world *world = *state;
    struct seen_slots seen = { 0, 0 };
    struct hf_slot_info slot;
    struct hf_record *record;
    HF_AUTO_STRING path = NULL;
    struct hf_op *op = &world->op;

    world_reopen(world);
    assert_ok(op, hf_seal_unlock(world->seal, op, world->offline, &slot));
    path = hf_format("slot/%s", slot.id);
    record = world_record(world, path);
    /* The name is not needed to open it, so only the tag can tell. */
    *(uint8_t *)memmem(record->body.data, record->body.len, "offline", 7) = 'O';
    hf_seal_lock(world->seal);
    show(world, path, record->revision, record);
    hf_record_free(record);

    assert_fails(op, hf_seal_unlock(world->seal, op, world->offline, &slot), HF_CORRUPT);
    assert_int_equal(op->cause, HF_CAUSE_ALTERED);
    assert_ok(op, hf_seal_unlock(world->seal, op, world->node, &slot));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 1);
    assert_ok(op, hf_seal_slots(world->seal, op, count_slot, &seen));
    assert_true(seen.count == 2 && seen.verified == 1);
}

/* A slot of the same custodian from another store would hand over that store's root. */
static void a_slot_planted_from_another_store_opens_nothing(void **state)
{
    struct world *world = *state;
    struct world other = *world;
    struct hf_slot_info slot;
    struct hf_record *planted;
    HF_AUTO_STRING path = NULL;
    HF_AUTO(slot_records) records = NULL;

    world_new_engine(&other, 0x22);
    other.pin_file = NULL;
    assert_ok(&other.op, world_create(&other));
    hf_seal_lock(other.seal);
    assert_ok(&other.op, hf_seal_unlock(other.seal, &other.op, other.offline, &slot));
    path = hf_format("slot/%s", slot.id);
    planted = world_record(&other, path);
    hf_seal_free(other.seal);
    hf_engine_free(other.engine);

    world_reopen(world);
    assert_ok(&world->op, hf_slot_records_read(world->seal, &world->op, &records));
    for (size_t i = 0; i < records->count; i++) {
        tamper_hide(world->tamper, records->items[i].record->path);
    }
    show(world, path, 1, planted);
    hf_record_free(planted);
    assert_true(hf_seal_unlock(world->seal, &world->op, world->offline, &slot).code != HF_OK);
    assert_false(hf_seal_is_unlocked(world->seal));
}

static void the_operator_can_take_the_store_as_it_is(void **state)
{
    struct world *world = *state;
    struct diary diary;
    struct hf_op *op = &world->op;

    diary_init(&diary);
    world_reopen(world);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    tamper_hide(world->tamper, B);
    assert_fails(op, world_unlock(world), HF_CORRUPT);
    /* Counts, and both ways on. */
    assert_non_null(strstr(op->text, "says 8 records, and the store has 7"));
    assert_non_null(strstr(op->text, "restore"));
    assert_non_null(strstr(op->text, "accept-history"));
    assert_true(diary.cleared > 0);
    diary_expect(&diary, A "@3=a three");

    assert_ok(op, hf_seal_accept_history(world->seal, op));
    assert_ok(op, world_unlock(world));
    diary_expect(&diary, A "@3=a three");
    world_expect(world, HF_KIND_KEY, A, 3, "a three");
    assert_int_equal(hf_seal_seq(world->seal), 7);
    assert_ok(op, world_put(world, HF_KIND_KEY, A, 3, "a four"));

    /* From then on it is whole again, without a further acceptance. */
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    world_expect(world, HF_KIND_KEY, A, 4, "a four");
    diary_done(&diary);
}

/* Commits go on in a damaged store, and a restored record makes it whole. */
static void an_altered_record_can_be_written_over(void **state)
{
    struct world *world = *state;
    struct hf_op *op = &world->op;

    flip_a_bit(world, NULL);
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 1);
    assert_ok(op, world_put(world, HF_KIND_KEY, B, 1, "b two"));
    assert_ok(op, world_put(world, HF_KIND_KEY, A, 3, "a restored"));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    tamper_reset(world->tamper);
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    world_expect(world, HF_KIND_KEY, A, 4, "a restored");
}

static struct hf_status count_view(void *context, const struct hf_opened_view *view)
{
    (void)view;
    ++*(size_t *)context;
    return HF_SUCCESS;
}

/* A list that left an altered record out would hide an explicit deny. */
static void a_list_with_an_altered_record_fails(void **state)
{
    struct world *world = *state;
    size_t count = 0;

    assert_ok(&world->op,
              hf_seal_list(world->seal, &world->op, HF_KIND_KEY, "key/", NULL, count_view, &count));
    assert_int_equal(count, 2);
    flip_a_bit(world, NULL);
    assert_fails(
        &world->op,
        hf_seal_list(world->seal, &world->op, HF_KIND_KEY, "key/", NULL, count_view, &count),
        HF_CORRUPT);
    assert_non_null(strstr(world->op.text, A));
}

static void a_record_of_another_kind_is_not_what_was_asked_for(void **state)
{
    struct world *world = *state;
    HF_AUTO(opened) opened = NULL;

    assert_fails(&world->op, hf_seal_get(world->seal, &world->op, HF_KIND_VERSION, A, &opened),
                 HF_CORRUPT);
}

static const struct {
    const char *says;
    uint64_t seq;
    enum tamper_log how;
    enum hf_code code;
} logs[] = {
    { "another digest", 3, TAMPER_LOG_DIGEST, HF_CORRUPT },
    { "another link", 3, TAMPER_LOG_LINK, HF_CORRUPT },
    { "another path", 3, TAMPER_LOG_PATH, HF_CORRUPT },
    { "a commit dropped", 3, TAMPER_LOG_DROP, HF_CORRUPT },
    { "the last commit dropped", 7, TAMPER_LOG_DROP, HF_CORRUPT },
    { "a note cut short", 7, TAMPER_LOG_NOTE, HF_CORRUPT },
    { "the first commit altered", 1, TAMPER_LOG_DIGEST, HF_CORRUPT },
    { "nothing altered", 0, TAMPER_LOG_DIGEST, HF_OK },
};

static void the_change_log_is_checked_link_by_link(void **state)
{
    struct world *world = *state;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    uint64_t batches = 0;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_KEY, B, 1, hf_bytes_of_text("b two")));
    hf_txn_note(txn, hf_bytes_of_text("who did what"));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    for (size_t i = 0; i < HF_COUNT(logs); i++) {
        struct hf_status status;

        tamper_log(world->tamper, logs[i].seq, logs[i].how);
        status = hf_seal_verify_log(world->seal, op, &batches);
        if (status.code != logs[i].code) {
            fail_msg("%s: got %s: %s", logs[i].says, hf_code_name(status.code), op->text);
        }
    }
    assert_int_equal(batches, 7);
    tamper_log_start(world->tamper, 2);
    assert_fails(op, hf_seal_verify_log(world->seal, op, &batches), HF_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_attack_ends_as_the_table_says, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_of_a_stored_slot_is_told, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_altered_slot_does_not_open_and_the_other_does, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_slot_planted_from_another_store_opens_nothing, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(the_operator_can_take_the_store_as_it_is, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_altered_record_can_be_written_over, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_list_with_an_altered_record_fails, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_record_of_another_kind_is_not_what_was_asked_for, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(the_change_log_is_checked_link_by_link, setup,
                                        world_teardown),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("attacks", tests, NULL, NULL);
}
