/* Opening apart: through one slot, beside whoever serves, and whatever is wrong is told. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

struct told {
    size_t records;
};

static struct hf_status count(void *context, struct hf_op *op, const struct hf_opened_view *record)
{
    struct told *told = context;

    (void)op;
    (void)record;
    told->records++;
    return HF_SUCCESS;
}

static char *slot_id(struct world *world, const char *name)
{
    HF_AUTO(slot_records) records = NULL;
    struct hf_slot_info info = { .id = "" };

    assert_ok(&world->op, hf_slot_records_read(world->seal, &world->op, &records));
    for (size_t i = 0; i < records->count; i++) {
        hf_slot_describe(records->items[i].slot, true, &info);
        if (strcmp(info.name, name) == 0) {
            return hf_strdup(info.id);
        }
    }
    fail_msg("there is no slot %s", name);
    return NULL;
}

static struct hf_status open_apart(struct world *world, const char *slot,
                                   struct hf_protector *protector, struct told *told,
                                   struct hf_apart *found, struct hf_seal **out)
{
    const struct hf_consumer consumer = { .kind = HF_KIND_KEY, .apply = count, .context = told };

    return hf_seal_open_apart(world->crypto, &world->op, world->engine, slot, protector, &consumer,
                              1, found, out);
}

static void a_sound_store_opens_through_each_slot_beside_the_one_that_serves(void **state)
{
    struct world *world = *state;
    const char *const names[] = { "node-1", "offline" };

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        HF_AUTO_STRING id = slot_id(world, names[i]);
        HF_AUTO(seal) apart = NULL;
        struct told told = { 0 };
        struct hf_apart found;

        assert_ok(&world->op, open_apart(world, id, i == 0 ? world->node : world->offline, &told,
                                         &found, &apart));
        assert_true(found.whole);
        assert_int_equal(found.damaged, 0);
        assert_int_equal(found.seq, hf_seal_seq(world->seal));
        assert_int_equal(told.records, 1);
        assert_ptr_not_equal(apart->unlocked, world->seal->unlocked);
    }
    assert_true(hf_seal_is_unlocked(world->seal));
    world_expect(world, HF_KIND_KEY, "key/a", 1, "one");
}

static void a_slot_opens_with_its_own_secret_only(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING id = slot_id(world, "node-1");
    HF_AUTO(seal) apart = NULL;
    struct told told = { 0 };
    struct hf_apart found;

    assert_fails(&world->op, open_apart(world, id, world->offline, &told, &found, &apart),
                 HF_DENIED);
    assert_fails(
        &world->op,
        open_apart(world, "00000000000000000000000000000000", world->node, &told, &found, &apart),
        HF_NOT_FOUND);
    assert_null(apart);
}

/* --- what is altered --- */

static void alter(struct world *world, const char *path)
{
    struct hf_record *record = world_record(world, path);

    record->body.data[record->body.len - 1] ^= 1;
    tamper_show(world->tamper, path, record->revision, hf_buf_bytes(&record->body));
    hf_record_free(record);
}

static void expect_damage(void *context, const struct hf_damaged *record)
{
    assert_string_equal(record->path, context);
}

static void an_altered_record_of_any_kind_is_named_and_ends_nothing(void **state)
{
    static const struct {
        enum hf_kind kind;
        const char *path;
    } cases[] = {
        { HF_KIND_MAIN_KEY, "main/main" },
        { HF_KIND_MAIN_VERSION, "main/main/0000000001" },
        { HF_KIND_KEYRING, "keyring/r" },
        { HF_KIND_KEYRING_KEY, "keyring-key/r/0000000001" },
        { HF_KIND_KEY, "key/r/k" },
        { HF_KIND_VERSION, "version/r/k/0000000001" },
        { HF_KIND_POLICY, "policy/p" },
        { HF_KIND_SECRET, "secret/s" },
        { HF_KIND_USAGE, "usage/r/k/0000000001" },
        { HF_KIND_APPROVAL, "approval/a" },
        { HF_KIND_CHECKPOINT, "checkpoint/n" },
        { HF_KIND_REPEAT, "repeat/r" },
        { HF_KIND_PROOF, "proof/n/s" },
    };
    struct world *world = *state;
    HF_AUTO_STRING id = slot_id(world, "node-1");

    for (size_t i = 2; i < HF_COUNT(cases); i++) {
        assert_ok(&world->op, world_put(world, cases[i].kind, cases[i].path, 0, "content"));
    }
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(seal) apart = NULL;
        struct told told = { 0 };
        struct hf_apart found;

        alter(world, cases[i].path);
        assert_ok(&world->op, open_apart(world, id, world->node, &told, &found, &apart));
        if (found.whole || found.damaged != 1) {
            fail_msg("%s: %d damaged", cases[i].path, (int)found.damaged);
        }
        (void)hf_seal_damage(apart, expect_damage, (void *)cases[i].path);
        tamper_reset(world->tamper);
    }
}

static void what_keeps_anything_from_opening_is_the_status(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING id = slot_id(world, "node-1");
    HF_AUTO_STRING slot_path = hf_format("slot/%s", id);
    const char *const paths[] = { HF_STORE_SECRETS_PATH, slot_path };

    for (size_t i = 0; i < HF_COUNT(paths); i++) {
        HF_AUTO(seal) apart = NULL;
        struct told told = { 0 };
        struct hf_apart found;

        alter(world, paths[i]);
        assert_fails(&world->op, open_apart(world, id, world->node, &told, &found, &apart),
                     HF_CORRUPT);
        assert_int_equal(world->op.cause, HF_CAUSE_ALTERED);
        tamper_reset(world->tamper);
    }
}

static void a_record_that_is_gone_is_told_and_the_rest_opens(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING id = slot_id(world, "node-1");
    HF_AUTO(seal) apart = NULL;
    struct told told = { 0 };
    struct hf_apart found;

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/b", 0, "two"));
    tamper_hide(world->tamper, "key/a");
    assert_ok(&world->op, open_apart(world, id, world->node, &told, &found, &apart));
    assert_false(found.whole);
    assert_int_equal(found.damaged, 0);
    assert_int_equal(told.records, 1);
    assert_non_null(strstr(found.text, "records"));
}

/* --- while others write --- */

struct writer {
    struct world *world;
    unsigned lists; /* the first is that of the slots, the second that of everything */
};

static struct hf_status write_one(void *context)
{
    struct writer *writer = context;
    struct world *world = writer->world;

    if (++writer->lists != 2) {
        return HF_SUCCESS;
    }
    return world_put(world, HF_KIND_KEY, "key/zz", 0, "late");
}

static void what_is_written_meanwhile_does_not_disturb_the_view(void **state)
{
    struct world *world = *state;
    HF_AUTO_STRING id = slot_id(world, "node-1");
    HF_AUTO(seal) apart = NULL;
    struct writer writer = { .world = world };
    struct told told = { 0 };
    struct hf_apart found;

    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/a", 0, "one"));
    tamper_during_list(world->tamper, 0, write_one, &writer);
    assert_ok(&world->op, open_apart(world, id, world->node, &told, &found, &apart));
    assert_true(found.whole);
    assert_int_equal(writer.lists, 3); /* read again, since it was more than its head spoke of */
    assert_int_equal(found.seq, hf_seal_seq(world->seal));
    tamper_reset(world->tamper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_sound_store_opens_through_each_slot_beside_the_one_that_serves, world_setup,
            world_teardown),
        cmocka_unit_test_setup_teardown(a_slot_opens_with_its_own_secret_only, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_altered_record_of_any_kind_is_named_and_ends_nothing,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_keeps_anything_from_opening_is_the_status, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_record_that_is_gone_is_told_and_the_rest_opens,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_is_written_meanwhile_does_not_disturb_the_view,
                                        world_setup, world_teardown),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
