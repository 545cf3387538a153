/* Locking and unlocking, slots, readiness, and what status says of each part. */
#include <stdio.h>
#include <string.h>

#include "world.h"

static void expect_light(const char *name, enum hf_light light, const char *words)
{
    struct world_item item = world_item(name);

    if (item.count == 0 || item.told.light != light || strstr(item.told.text, words) == NULL) {
        fail_msg("%s: %u of it, %d: %s", name, item.count, (int)item.told.light, item.told.text);
    }
}

static struct hf_protector_settings node_key(char **out_file)
{
    *out_file = small_world_path("node.key");
    return (struct hf_protector_settings){ .kind = "keyfile", .file = *out_file };
}

static struct hf_protector_settings people(const struct hf_secret *passphrase)
{
    return (struct hf_protector_settings){ .kind = "passphrase",
                                           .passphrase = passphrase,
                                           .argon2_memory_kib = 8192,
                                           .argon2_passes = 1 };
}

static struct hf_status unlock_by(struct hf_op *op, const struct hf_protector_settings *settings,
                                  struct hf_slot_info *out)
{
    return hf_service_unlock(world.service, op, settings, out);
}

static void a_locked_node_serves_nothing_until_it_is_unlocked(void **unused)
{
    HF_AUTO_STRING file = NULL;
    struct hf_protector_settings settings = node_key(&file);
    struct hf_op root = world_as(ROOT), alice = world_as(ALICE);
    struct hf_edek edek;
    struct hf_slot_info slot;

    (void)unused;
    (void)world_key("k", HF_ALG_AES_256);
    assert_ok(&alice, hf_service_hadoop_generate(world.service, &alice, RING, "k", 1, &edek));
    assert_ok(&root, hf_service_lock(world.service, &root));
    assert_int_equal(world_lines_on_disk(EVENT("node.lock", "ok", ROOT), NULL, NULL), 1);

    assert_fails(&alice, hf_service_hadoop_generate(world.service, &alice, RING, "k", 1, &edek),
                 HF_WRONG_STATE);
    assert_fails(&root, hf_service_ready(world.service, &root), HF_WRONG_STATE);
    assert_fails(&root, hf_service_lock(world.service, &root), HF_WRONG_STATE);
    expect_light("seal", HF_RED, "locked");

    assert_ok(&root, unlock_by(&root, &settings, &slot));
    assert_string_equal(slot.name, "node");
    assert_int_equal(
        world_lines_on_disk(EVENT("node.unlock", "ok", ROOT), "by slot 'node' (keyfile)", NULL), 1);
    assert_ok(&alice, hf_service_hadoop_generate(world.service, &alice, RING, "k", 1, &edek));
    assert_ok(&root, hf_service_ready(world.service, &root));
    expect_light("seal", HF_GREEN, "unlocked");
}

static void a_wrong_secret_unlocks_nothing_and_is_recorded(void **unused)
{
    HF_AUTO(secret) right = world_secret("right", 5);
    HF_AUTO(secret) wrong = world_secret("wrong", 5);
    struct hf_protector_settings settings = people(right);
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;

    (void)unused;
    assert_ok(&root, hf_service_slot_add(world.service, &root, "people", true, &settings, &slot));
    assert_string_equal(slot.name, "people");
    assert_true(slot.needs_human);
    assert_int_equal(world_notes(EVENT("slot.change", "ok", ROOT), "people"), 1);
    assert_ok(&root, hf_service_lock(world.service, &root));
    settings = people(wrong);
    assert_fails(&root, unlock_by(&root, &settings, &slot), HF_DENIED);
    assert_int_equal(world_lines_on_disk(EVENT("node.unlock", "denied", ROOT), NULL, NULL), 1);
    settings = people(right);
    assert_ok(&root, unlock_by(&root, &settings, &slot));
    assert_string_equal(slot.name, "people");
}

static void an_unlocked_node_asks_policy_before_anything_else(void **unused)
{
    HF_AUTO_STRING file = NULL;
    struct hf_protector_settings settings = node_key(&file);
    struct hf_op mallory = world_as(MALLORY), root = world_as(ROOT);
    struct hf_slot_info slot;
    struct world_item search = { .name = "seal" };

    (void)unused;
    assert_fails(&mallory, hf_service_lock(world.service, &mallory), HF_DENIED);
    assert_true(hf_seal_is_unlocked(small_world.seal));
    assert_fails(&mallory, unlock_by(&mallory, &settings, &slot), HF_DENIED);
    assert_fails(&mallory,
                 hf_service_slot_add(world.service, &mallory, "mine", false, &settings, &slot),
                 HF_DENIED);
    assert_fails(&mallory, hf_service_status(world.service, &mallory, world_take_item, &search),
                 HF_DENIED);
    assert_int_equal(search.count, 0);
    assert_fails(&root, unlock_by(&root, &settings, &slot), HF_WRONG_STATE);
}

static void an_opening_that_cannot_be_recorded_did_not_happen(void **unused)
{
    HF_AUTO_STRING file = NULL;
    struct hf_protector_settings settings = node_key(&file);
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;

    (void)unused;
    assert_ok(&root, hf_service_lock(world.service, &root));
    world.disk_is_full = true;
    assert_fails(&root, unlock_by(&root, &settings, &slot), HF_NO_SPACE);
    assert_false(hf_seal_is_unlocked(small_world.seal));
    world_make_room();
    assert_ok(&root, unlock_by(&root, &settings, &slot));
}

static void waiting_work_is_not_done_on_a_thread_that_may_not_wait(void **unused)
{
    HF_AUTO_STRING file = NULL;
    struct hf_protector_settings settings = node_key(&file);
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;
    struct world_item search = { .name = "seal" };

    (void)unused;
    root.may_wait = false;
    assert_fails(&root, hf_service_lock(world.service, &root), HF_LATER);
    assert_fails(&root, unlock_by(&root, &settings, &slot), HF_LATER);
    assert_fails(&root, hf_service_status(world.service, &root, world_take_item, &search),
                 HF_LATER);
    assert_fails(&root, hf_service_slot_add(world.service, &root, "s", false, &settings, &slot),
                 HF_LATER);
    assert_true(hf_seal_is_unlocked(small_world.seal));
}

static void count_slot(void *context, const struct hf_slot_info *slot)
{
    (void)slot;
    (*(size_t *)context)++;
}

static void slots_are_listed_to_who_may(void **unused)
{
    struct hf_op carol = world_as(CAROL), alice = world_as(ALICE);
    size_t count = 0;

    (void)unused;
    assert_ok(&carol, hf_service_slots(world.service, &carol, count_slot, &count));
    assert_int_equal(count, 2);
    assert_fails(&alice, hf_service_slots(world.service, &alice, count_slot, &count), HF_DENIED);
    assert_int_equal(count, 2);
}

static void the_audit_item_follows_the_disk(void **unused)
{
    (void)unused;
    expect_light("audit", HF_GREEN, "every line");
    world.disk_is_full = true;
    {
        struct hf_op carol = world_as(CAROL), mallory = world_as(MALLORY);
        struct world_item search = { .name = "audit" };

        /* The answer itself cannot be recorded. The first finds that out, the second is told. */
        assert_ok(&carol, hf_service_status(world.service, &carol, world_take_item, &search));
        assert_ok(&carol, hf_service_status(world.service, &carol, world_take_item, &search));
        assert_fails(&mallory, hf_service_status(world.service, &mallory, world_take_item, &search),
                     HF_DENIED);
        assert_int_equal(search.told.light, HF_RED);
        assert_non_null(strstr(search.told.text, "make room"));
    }
    world_make_room();
    assert_int_not_equal(world_item("audit").told.light, HF_RED);
}

static void the_slots_item_wants_two_that_have_opened(void **unused)
{
    struct hf_op *op = &small_world.op;
    struct hf_slot_info slot;

    (void)unused;
    /* "node" opens at every start; "offline" opened when it was made, or has to once. */
    assert_ok(op, hf_service_lock(world.service, op));
    assert_ok(op, hf_seal_unlock(small_world.seal, op, small_world.offline, &slot));
    assert_ok(op, hf_seal_slot_proven(small_world.seal, op, slot.id));
    assert_ok(op, hf_service_lock(world.service, op));
    assert_ok(op, hf_seal_unlock(small_world.seal, op, small_world.protector, &slot));
    assert_ok(op, hf_seal_slot_proven(small_world.seal, op, slot.id));
    expect_light("slots", HF_GREEN, "2 slots, all proven");
}

static void alter(const char *path)
{
    HF_AUTO(record) record = NULL;
    struct hf_change change = { .path = path };
    struct hf_batch batch = { .principal = "thief", .changes = &change, .count = 1 };
    struct hf_commit commit;
    struct hf_op *op = &small_world.op;

    assert_ok(op, hf_engine_get(small_world.engine, op, path, &record));
    record->body.data[record->body.len - 1] ^= 1;
    change.expected = record->revision;
    change.body = hf_buf_bytes(&record->body);
    batch.request_id = world_request(99);
    hf_commit_init(&commit);
    assert_ok(op, hf_engine_apply(small_world.engine, op, &batch, &commit));
    hf_commit_done(&commit);
}

static void a_canary_that_does_not_open_is_red_and_not_ready(void **unused)
{
    struct hf_op op = world_as(ROOT);

    (void)unused;
    (void)world_key("a-first", HF_ALG_AES_256);
    (void)world_key("b-second", HF_ALG_AES_256);
    assert_ok(&op, hf_service_ready(world.service, &op));
    expect_light("keyring " RING, HF_GREEN, "opens");
    alter("version/hdfs/a-first/0000000001");
    assert_fails(&op, hf_service_ready(world.service, &op), HF_CORRUPT);
    assert_non_null(strstr(op.text, "keyring 'hdfs'"));
    expect_light("keyring " RING, HF_RED, "does not open");
}

static void every_keyring_has_its_canary_also_an_empty_one(void **unused)
{
    struct hf_keyring_settings settings;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    hf_keyring_settings_default(&settings);
    world_ring("empty", &settings);
    world_restart();
    assert_ok(&op, hf_service_ready(world.service, &op));
    expect_light("keyring empty", HF_GREEN, "opens");
    expect_light("keyring " RING, HF_GREEN, "opens");
}

static void memory_and_policy_have_their_items(void **unused)
{
    (void)unused;
    expect_light("policy", HF_GREEN, "in force");
    assert_int_equal(world_item("memory").told.light,
                     hf_secret_backing() == HF_SECRET_UNLOCKED ? HF_AMBER : HF_GREEN);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(a_locked_node_serves_nothing_until_it_is_unlocked),
        test_of(a_wrong_secret_unlocks_nothing_and_is_recorded),
        test_of(an_unlocked_node_asks_policy_before_anything_else),
        test_of(an_opening_that_cannot_be_recorded_did_not_happen),
        test_of(waiting_work_is_not_done_on_a_thread_that_may_not_wait),
        test_of(slots_are_listed_to_who_may),
        test_of(the_audit_item_follows_the_disk),
        test_of(the_slots_item_wants_two_that_have_opened),
        test_of(a_canary_that_does_not_open_is_red_and_not_ready),
        test_of(every_keyring_has_its_canary_also_an_empty_one),
        test_of(memory_and_policy_have_their_items),
    };

    return cmocka_run_group_tests_name("service lock", tests, world_start, world_stop);
}
