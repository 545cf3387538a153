/* Making a store, and opening and locking it through its slots. */
#include "world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct slots {
    struct hf_slot_info items[8];
    size_t count;
};

static void note_slot(void *context, const struct hf_slot_info *slot)
{
    struct slots *slots = context;

    assert_true(slots->count < HF_COUNT(slots->items));
    slots->items[slots->count++] = *slot;
}

static struct slots list_slots(struct world *world)
{
    struct slots slots = { .count = 0 };

    assert_ok(&world->op, hf_seal_slots(world->seal, &world->op, note_slot, &slots));
    return slots;
}

static struct hf_slot_info slot_named(struct world *world, const char *name)
{
    struct slots slots = list_slots(world);

    for (size_t i = 0; i < slots.count; i++) {
        if (strcmp(slots.items[i].name, name) == 0) {
            return slots.items[i];
        }
    }
    fail_msg("there is no slot %s", name);
    return slots.items[0];
}

static void a_new_store_is_unlocked_and_has_its_slots_and_main_key(void **state)
{
    struct world *world = *state;
    struct slots slots = list_slots(world);
    struct hf_slot_info offline = slot_named(world, "offline");

    assert_true(hf_seal_is_unlocked(world->seal));
    assert_int_equal(slots.count, 2);
    assert_true(offline.offline && offline.verified);
    assert_false(slot_named(world, "node-1").offline);
    assert_string_equal(offline.protector, "keyfile");
    assert_int_equal(offline.root_generation, 1);
    assert_true(offline.proven_ms >= offline.created_ms && offline.created_ms > 0);
    assert_int_equal(hf_seal_seq(world->seal), 1);
    assert_int_equal(hf_seal_root_generation(world->seal), 1);
    assert_int_equal(hf_seal_store_id(world->seal).data[3], 0x11);
    assert_int_equal(access(world->pin_file, R_OK), 0);
}

static void each_slot_opens_what_was_written(void **state)
{
    struct world *world = *state;
    struct hf_protector *protectors[] = { world->node, world->offline };
    static const char *const names[] = { "node-1", "offline" };

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/sales/orders", 0, "one"));
    for (size_t i = 0; i < HF_COUNT(protectors); i++) {
        struct hf_slot_info slot;

        world_reopen(world);
        assert_ok(&world->op, hf_seal_unlock(world->seal, &world->op, protectors[i], &slot));
        assert_string_equal(slot.name, names[i]);
        assert_true(slot.verified);
        world_expect(world, HF_KIND_KEY, "key/sales/orders", 1, "one");
    }
}

static void a_locked_seal_lists_slots_and_nothing_else(void **state)
{
    struct world *world = *state;
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(secret) secret = NULL;
    uint8_t check[HF_CHECK_VALUE_LEN];
    struct hf_op *op = &world->op;

    hf_seal_lock(world->seal);
    assert_false(hf_seal_is_unlocked(world->seal));
    assert_int_equal(list_slots(world).count, 2);
    assert_false(slot_named(world, "node-1").verified);
    assert_int_equal(hf_seal_root_generation(world->seal), 0);
    assert_fails(op, hf_seal_get(world->seal, op, HF_KIND_KEY, "key/a", &opened), HF_WRONG_STATE);
    assert_fails(op, hf_txn_new(world->seal, op, &txn), HF_WRONG_STATE);
    assert_fails(op, hf_seal_check_value(world->seal, op, hf_bytes_of_text("x"), check),
                 HF_WRONG_STATE);
    assert_fails(op, hf_seal_secret(world->seal, op, "cookie", 32, &secret), HF_WRONG_STATE);
    assert_fails(op, hf_seal_pin(world->seal, op), HF_WRONG_STATE);
    assert_ok(op, world_unlock(world));
    assert_fails(op, world_unlock(world), HF_WRONG_STATE);
}

static void a_wrong_secret_is_denied(void **state)
{
    struct world *world = *state;
    struct hf_protector *stranger = world_keyfile(world, "stranger");
    struct hf_slot_info slot;

    hf_seal_lock(world->seal);
    assert_fails(&world->op, hf_seal_unlock(world->seal, &world->op, stranger, &slot), HF_DENIED);
    assert_false(hf_seal_is_unlocked(world->seal));
    hf_protector_free(stranger);
}

static struct hf_protector *passphrase(struct world *world, const char *text)
{
    HF_AUTO(secret) secret = NULL;
    struct hf_protector *protector = NULL;
    struct hf_protector_settings settings = {
        .kind = "passphrase",
        .argon2_memory_kib = 8192,
        .argon2_passes = 1,
    };

    assert_ok(&world->op, hf_secret_copy(&world->op, hf_bytes_of_text(text), &secret));
    settings.passphrase = secret;
    assert_ok(&world->op, hf_protector_open(world->crypto, &world->op, &settings, &protector));
    return protector;
}

static void a_slot_of_another_kind_can_be_added_and_opens(void **state)
{
    struct world *world = *state;
    struct hf_protector *right = passphrase(world, "correct horse");
    struct hf_protector *wrong = passphrase(world, "correct horst");
    struct hf_slot_plan plan = { "captain", right, true };
    struct hf_slot_info slot;
    struct hf_slot_info added;
    struct hf_op *op = &world->op;

    hf_seal_lock(world->seal);
    assert_fails(op, hf_seal_unlock(world->seal, op, right, &slot), HF_NOT_FOUND);
    assert_ok(op, world_unlock(world));
    assert_ok(op, hf_seal_slot_add(world->seal, op, &plan, &added));
    assert_string_equal(added.name, "captain");
    assert_true(added.needs_human && added.offline && added.verified);
    hf_seal_lock(world->seal);
    assert_fails(op, hf_seal_unlock(world->seal, op, wrong, &slot), HF_DENIED);
    assert_ok(op, hf_seal_unlock(world->seal, op, right, &slot));
    assert_string_equal(slot.id, added.id);
    hf_protector_free(right);
    hf_protector_free(wrong);
}

static void a_slot_can_be_staged_with_what_belongs_to_it(void **state)
{
    struct world *world = *state;
    struct hf_protector *third = world_keyfile(world, "third");
    struct hf_slot_plan plan = { "third", third, false };
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_slot_info slot;
    struct hf_slot_info opened;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_slot_stage(world->seal, op, txn, &plan, &slot));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_KEY, "key/a", 0, hf_bytes_of_text("with it")));
    assert_int_equal(list_slots(world).count, 2);
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_int_equal(list_slots(world).count, 3);
    world_expect(world, HF_KIND_KEY, "key/a", 1, "with it");
    hf_seal_lock(world->seal);
    assert_ok(op, hf_seal_unlock(world->seal, op, third, &opened));
    assert_string_equal(opened.id, slot.id);
    hf_protector_free(third);
}

/* Sealed in order, but holding something else: as after a restore of the wrong slot. */
static void a_slot_with_another_root_is_no_proof(void **state)
{
    struct world *world = *state;
    struct hf_protector *third = world_keyfile(world, "third");
    struct hf_slot_plan plan = { "third", third, false };
    HF_AUTO(secret) root = NULL;
    HF_AUTO(unlocked) other = NULL;
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(buf) clear = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_slot_info opened;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_random_secret(world->crypto, op, HF_ROOT_LEN, &root));
    assert_ok(op, hf_unlocked_new(world->crypto, op, world->seal->store_id, 1, &root, &other));
    assert_ok(op, hf_slot_make(other, op, &plan, &slot));
    hf_slot_encode(slot, clear);
    path = hf_slot_path(slot->id);
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_SLOT, path, 0, hf_buf_bytes(clear)));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_true(slot_named(world, "third").verified);
    assert_fails(op, hf_seal_try_slot(world->seal, op, slot_named(world, "third").id, third),
                 HF_CORRUPT);
    hf_seal_lock(world->seal);
    assert_fails(op, hf_seal_unlock(world->seal, op, third, &opened), HF_CORRUPT);
    assert_int_equal(op->cause, HF_CAUSE_OTHER_STORE);
    assert_ok(op, world_unlock(world));
    hf_protector_free(third);
}

static void adding_a_slot_twice_under_one_request_adds_it_once(void **state)
{
    struct world *world = *state;
    struct hf_protector *third = world_keyfile(world, "third");
    struct hf_slot_plan plan = { "third", third, false };
    struct hf_slot_info first;
    struct hf_slot_info again;

    world->op.request_id = request(7);
    assert_ok(&world->op, hf_seal_slot_add(world->seal, &world->op, &plan, &first));
    assert_ok(&world->op, hf_seal_slot_add(world->seal, &world->op, &plan, &again));
    assert_string_equal(first.id, again.id);
    assert_int_equal(list_slots(world).count, 3);
    hf_protector_free(third);
}

static void a_slot_is_tried_without_a_change_and_its_proof_recorded_with_one(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot = slot_named(world, "offline");
    struct hf_op *op = &world->op;
    uint64_t proven = slot.proven_ms;

    assert_ok(op, hf_seal_try_slot(world->seal, op, slot.id, world->offline));
    assert_fails(op, hf_seal_try_slot(world->seal, op, slot.id, world->node), HF_DENIED);
    assert_fails(op,
                 hf_seal_try_slot(world->seal, op, "00112233445566778899aabbccddeeff", world->node),
                 HF_NOT_FOUND);
    assert_fails(op, hf_seal_try_slot(world->seal, op, "short", world->node), HF_NOT_FOUND);
    assert_int_equal(hf_seal_seq(world->seal), 1);

    while (hf_env_realtime_ms(&world->env) <= proven) {
    }
    assert_ok(op, hf_seal_slot_proven(world->seal, op, slot.id));
    assert_int_equal(hf_seal_seq(world->seal), 2);
    slot = slot_named(world, "offline");
    assert_true(slot.proven_ms > proven && slot.verified);
    world_reopen(world);
    assert_ok(op, hf_seal_unlock(world->seal, op, world->offline, &slot));
}

static void a_proof_of_a_slot_survives_a_writer_that_is_faster(void **state);

struct rival {
    struct world *world;
    char id[33];
    unsigned left;
};

static void prove_first(void *context)
{
    struct rival *rival = context;
    struct hf_op op;

    hf_op_init(&op, &rival->world->env);
    assert_ok(&op, hf_seal_slot_proven(rival->world->seal, &op, rival->id));
    rival->left--;
}

static void a_proof_of_a_slot_survives_a_writer_that_is_faster(void **state)
{
    struct world *world = *state;
    struct hf_slot_info slot = slot_named(world, "offline");
    struct rival rival = { world, { 0 }, 1 };

    memcpy(rival.id, slot.id, sizeof rival.id);
    tamper_before_apply(world->tamper, prove_first, &rival);
    assert_ok(&world->op, hf_seal_slot_proven(world->seal, &world->op, slot.id));
    assert_int_equal(rival.left, 0);
    assert_int_equal(hf_seal_seq(world->seal), 3);
}

static const struct {
    const char *says;
    size_t slots;
    bool allow_single;
    const char *slot_name;
    enum hf_pkey_kind kind;
    enum hf_code code;
} plans[] = {
    { "no slot at all", 0, true, "a", HF_PKEY_RSA_2048, HF_INVALID },
    { "one slot where two are needed", 1, false, "a", HF_PKEY_RSA_2048, HF_INVALID },
    { "one slot where that is allowed", 1, true, "a", HF_PKEY_RSA_2048, HF_OK },
    { "a slot without a name", 1, true, "", HF_PKEY_RSA_2048, HF_INVALID },
    { "a slot with a control character in its name", 1, true, "a\nb", HF_PKEY_RSA_2048,
      HF_INVALID },
    { "a main key that cannot wrap", 1, true, "a", HF_PKEY_P256, HF_INVALID },
};

static void a_store_is_made_only_by_a_sound_plan(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < HF_COUNT(plans); i++) {
        struct hf_slot_plan slot = { plans[i].slot_name, world->node, false };
        struct hf_init_plan plan = {
            .slots = &slot,
            .slot_count = plans[i].slots,
            .allow_single_slot = plans[i].allow_single,
            .main_key_kind = plans[i].kind,
        };
        struct hf_seal *seal = NULL;
        struct hf_store_state store;
        HF_AUTO(buf) head = hf_buf_new();
        struct hf_status status =
            hf_seal_create(world->crypto, &world->op, world->engine, NULL, &plan, &seal);

        if (status.code != plans[i].code) {
            fail_msg("%s: got %s: %s", plans[i].says, hf_code_name(status.code), world->op.text);
        }
        assert_ok(&world->op, hf_engine_state(world->memory, &world->op, &store, head));
        assert_int_equal(store.seq, plans[i].code == HF_OK ? 1 : 0);
        hf_seal_free(seal);
        hf_engine_free(world->engine);
        world_new_engine(world, 0x11);
    }
}

static void a_store_that_is_in_use_is_not_filled_again(void **state)
{
    struct world *world = *state;
    struct hf_seal *first = world->seal;

    world->seal = NULL;
    assert_fails(&world->op, world_create(world), HF_EXISTS);
    world->seal = first;
    world_reopen(world);
    assert_ok(&world->op, world_unlock(world));
}

static void an_empty_store_cannot_be_opened(void **state)
{
    struct world *world = *state;

    assert_fails(&world->op,
                 hf_seal_open(world->crypto, &world->op, world->engine, NULL, &world->seal),
                 HF_NOT_FOUND);
}

/* A store whose pinned history is gone was emptied; making it anew would hide that. */
static void an_emptied_store_is_not_made_anew_over_its_pin(void **state)
{
    struct world *world = *state;

    hf_seal_free(world->seal);
    world->seal = NULL;
    hf_engine_free(world->engine);
    world_new_engine(world, 0x11);
    assert_fails(&world->op, world_create(world), HF_EXISTS);
    assert_non_null(strstr(world->op.text, world->pin_file));
}

static void a_protector_that_fails_says_so_rather_than_denied(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING key = hf_format("%s/node.key", world->directory);
    HF_AUTO_STRING plan = hf_format("1:unavailable:%s", key);
    struct hf_protector_settings settings = { .kind = "failing", .file = plan };
    struct hf_protector *failing = NULL;
    struct hf_slot_plan slot_plan = { "token", NULL, false };
    struct hf_slot_info slot;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_protector_open(world->crypto, op, &settings, &failing));
    slot_plan.protector = failing;
    assert_fails(op, hf_seal_slot_add(world->seal, op, &slot_plan, &slot), HF_UNAVAILABLE);
    assert_ok(op, hf_seal_slot_add(world->seal, op, &slot_plan, &slot));
    hf_protector_free(failing);

    assert_ok(op, hf_protector_open(world->crypto, op, &settings, &failing));
    hf_seal_lock(world->seal);
    assert_fails(op, hf_seal_unlock(world->seal, op, failing, &slot), HF_UNAVAILABLE);
    assert_ok(op, hf_seal_unlock(world->seal, op, failing, &slot));
    assert_string_equal(slot.name, "token");
    hf_protector_free(failing);
}

/* What a thief gets: every byte of every record, and none of the key files. */
static struct hf_status look_for_secrets(void *context, const struct hf_record_view *record)
{
    static const char planted[] = "a very secret thing";

    if (memmem(record->body.data, record->body.len, planted, sizeof planted - 1) != NULL) {
        ++*(size_t *)context;
    }
    return HF_SUCCESS;
}

static void a_stolen_copy_opens_nothing(void **state)
{
    struct world *world = *state;
    struct hf_protector *thief = world_keyfile(world, "thief");
    struct hf_slot_info slot;
    size_t found = 0;
    struct hf_record_view planted = { "x", 1, 1, hf_bytes_of_text("..a very secret thing..") };

    assert_int_equal(look_for_secrets(&found, &planted).code, HF_OK);
    assert_int_equal(found, 1);
    assert_ok(&world->op, world_put(world, HF_KIND_SECRET, "secret/x", 0, "a very secret thing"));
    hf_seal_free(world->seal);
    world->seal = NULL;
    assert_ok(&world->op,
              hf_seal_open(world->crypto, &world->op, world->engine, NULL, &world->seal));
    assert_fails(&world->op, hf_seal_unlock(world->seal, &world->op, thief, &slot), HF_DENIED);
    assert_ok(&world->op,
              hf_engine_list(world->memory, &world->op, "", NULL, look_for_secrets, &found));
    assert_int_equal(found, 1);
    hf_protector_free(thief);
}

static void consumers_hear_of_every_record_at_unlock_and_forget_at_lock(void **state)
{
    struct world *world = *state;
    struct diary diary;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    diary_init(&diary);
    assert_ok(op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    assert_ok(op, world_put(world, HF_KIND_KEY, "key/b", 0, "two"));
    assert_ok(op, world_put(world, HF_KIND_POLICY, "policy/p", 0, "not a key"));
    assert_ok(op, world_put(world, HF_KIND_KEY, "key/a", 1, "three"));
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_txn_bury(txn, op, HF_KIND_KEY, "key/b", 1, hf_bytes_of_text("gone")));
    assert_ok(op, hf_txn_commit(txn, op, &commit));

    world_reopen(world);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    assert_ok(op, world_unlock(world));
    diary_expect(&diary, "key/a@2=three key/b@2-gone");
    assert_int_equal(diary.cleared, 0);
    hf_seal_lock(world->seal);
    assert_int_equal(diary.cleared, 1);
    assert_ok(op, world_unlock(world));
    diary_expect(&diary, "key/a@2=three key/b@2-gone");
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_store_is_unlocked_and_has_its_slots_and_main_key,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(each_slot_opens_what_was_written, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_locked_seal_lists_slots_and_nothing_else, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_wrong_secret_is_denied, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_slot_of_another_kind_can_be_added_and_opens, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_slot_can_be_staged_with_what_belongs_to_it, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_slot_with_another_root_is_no_proof, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(adding_a_slot_twice_under_one_request_adds_it_once,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(
            a_slot_is_tried_without_a_change_and_its_proof_recorded_with_one, world_setup,
            world_teardown),
        cmocka_unit_test_setup_teardown(a_proof_of_a_slot_survives_a_writer_that_is_faster,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_store_is_made_only_by_a_sound_plan, world_setup_empty,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_store_that_is_in_use_is_not_filled_again, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_empty_store_cannot_be_opened, world_setup_empty,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_emptied_store_is_not_made_anew_over_its_pin, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_protector_that_fails_says_so_rather_than_denied,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_stolen_copy_opens_nothing, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(consumers_hear_of_every_record_at_unlock_and_forget_at_lock,
                                        world_setup, world_teardown),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("unlock", tests, NULL, NULL);
}
