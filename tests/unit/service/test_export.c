/* Export: nothing leaves before its record is on the disk, and only what was meant to. */
#include <string.h>

#include "world.h"

static const uint8_t bytes[32] = { 1, 2, 3 };

static int setup(void **unused)
{
    HF_AUTO(secret) material = NULL;
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };

    assert_int_equal(world_open(unused), 0);
    material = world_secret(bytes, sizeof bytes);
    plan.material = material;
    (void)world_key_planned("kept", &plan);
    plan.exportable = true;
    (void)world_key_planned("free", &plan);
    return 0;
}

static struct hf_status export_by(struct hf_op *op, const char *ring, const char *name,
                                  struct hf_secret **out)
{
    uint32_t version = 0;
    struct hf_status status =
        hf_service_key_export(world.service, op, ring, name, HF_LATEST, out, &version);

    if (status.code == HF_OK) {
        assert_int_equal(version, 1);
    }
    return status;
}

static void the_record_is_on_the_disk_before_the_material_is_given(void **unused)
{
    struct hf_op op = world_as(EVE);
    HF_AUTO(secret) material = NULL;
    unsigned syncs = world.syncs;

    (void)unused;
    assert_ok(&op, export_by(&op, RING, "free", &material));
    /* Read as it lies on the disk, without writing anything first. */
    assert_int_equal(
        world_lines_on_disk(EVENT("key.export", "ok", EVE), "\"key\":\"free\",\"version\":1", NULL),
        1);
    assert_true(world.syncs > syncs);
    assert_memory_equal(hf_secret_bytes(material).data, bytes, sizeof bytes);
}

static void without_a_record_on_the_disk_nothing_is_given(void **unused)
{
    static const struct {
        const char *says;
        enum hf_audit_full when_full;
    } cases[] = {
        { "a full disk stops the node", HF_AUDIT_FULL_STOP },
        { "a full disk stops exports only", HF_AUDIT_FULL_GO_ON },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(EVE);
        HF_AUTO(secret) material = NULL;

        world.when_full = cases[i].when_full;
        world_restart();
        world.disk_is_full = true;
        /* The first finds out that the disk is full, the second knows. */
        for (unsigned call = 0; call < 2; call++) {
            struct hf_status status = export_by(&op, RING, "free", &material);

            if (status.code != HF_NO_SPACE || material != NULL) {
                fail_msg("%s: export %u ended with %s", cases[i].says, call,
                         hf_code_name(status.code));
            }
        }
        world_make_room();
        assert_ok(&op, export_by(&op, RING, "free", &material));
    }
    world.when_full = HF_AUDIT_FULL_STOP;
}

static void a_disk_that_does_not_sync_gives_nothing(void **unused)
{
    struct hf_op op = world_as(EVE);
    HF_AUTO(secret) material = NULL;

    (void)unused;
    world.sync_fails = true;
    assert_int_not_equal(export_by(&op, RING, "free", &material).code, HF_OK);
    assert_null(material);
}

static void an_export_never_runs_where_it_may_not_wait(void **unused)
{
    struct hf_op op = world_as(EVE);
    HF_AUTO(secret) material = NULL;
    unsigned lines = world_lines(NULL, NULL, NULL);

    (void)unused;
    op.may_wait = false;
    assert_fails(&op, export_by(&op, RING, "free", &material), HF_LATER);
    assert_int_equal(world_lines(NULL, NULL, NULL), lines);
}

static void only_who_may_gets_only_what_was_meant_to_leave(void **unused)
{
    static const struct {
        const char *who;
        const char *key;
        enum hf_code code;
        const char *line;
    } cases[] = {
        { EVE, "kept", HF_DENIED, EVENT("key.export", "denied", EVE) },
        { EVE, "none", HF_NOT_FOUND, EVENT("key.export", "not_found", EVE) },
        { ALICE, "free", HF_DENIED, EVENT("key.export", "denied", ALICE) },
        { ROOT, "free", HF_DENIED, EVENT("key.export", "denied", ROOT) },
        { MALLORY, "free", HF_DENIED, EVENT("key.export", "denied", MALLORY) },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(cases[i].who);
        HF_AUTO(secret) material = NULL;
        struct hf_status status = export_by(&op, RING, cases[i].key, &material);

        if (status.code != cases[i].code || material != NULL ||
            world_lines(cases[i].line, NULL, NULL) != 1) {
            fail_msg("%s, %s: got %s", cases[i].who, cases[i].key, hf_code_name(status.code));
        }
    }
}

static void a_maker_gets_his_material_only_with_the_right_and_the_record(void **unused)
{
    static const struct {
        const char *says;
        const char *who;
        const char *name;
        bool exportable;
        bool disk_is_full;
        bool gets;
    } cases[] = {
        { "the right, and exportable", EVE, "a", true, false, true },
        { "not exportable", EVE, "b", false, false, false },
        { "no right", ROOT, "c", true, false, false },
        { "no record", EVE, "d", true, true, false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128,
                                    .exportable = cases[i].exportable };
        struct hf_op op = world_as(cases[i].who);
        HF_AUTO(secret) created = NULL;
        HF_AUTO(secret) rotated = NULL;
        uint32_t version = 9;

        world.disk_is_full = cases[i].disk_is_full;
        assert_ok(&op, hf_service_key_create(world.service, &op, RING, cases[i].name, &plan,
                                             &version, &created));
        assert_int_equal(version, 0);
        assert_ok(&op, hf_service_key_rotate(world.service, &op, RING, cases[i].name, NULL,
                                             &version, &rotated));
        assert_int_equal(version, 1);
        if ((created != NULL) != cases[i].gets || (rotated != NULL) != cases[i].gets) {
            fail_msg("%s: got %p and %p", cases[i].says, (void *)created, (void *)rotated);
        }
    }
    world_make_room();
    assert_int_equal(world_lines(EVENT("key.export", "ok", EVE), "\"key\":\"a\"", NULL), 2);
    assert_int_equal(world_lines(EVENT("key.export", "ok", EVE), NULL, NULL), 2);
}

static void a_repeated_creation_gives_the_same_material(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128, .exportable = true };
    HF_AUTO(secret) first = NULL;
    HF_AUTO(secret) second = NULL;
    uint32_t version = 9;

    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        struct hf_op op = world_as(EVE);

        op.request_id = world_request(1);
        assert_ok(&op, hf_service_key_create(world.service, &op, RING, "a", &plan, &version,
                                             i == 0 ? &first : &second));
    }
    assert_true(hf_secret_equal(first, second));
}

/* --- with a second person --- */

static void two_people_ring(void)
{
    struct hf_keyring_settings settings;
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256,
                                .first_version = 1,
                                .exportable = true };
    struct hf_op op = world_as(ROOT);
    uint32_t version;

    hf_keyring_settings_default(&settings);
    settings.approve_export = true;
    world_ring("two", &settings);
    assert_ok(&op, hf_service_key_create(world.service, &op, "two", "k", &plan, &version, NULL));
    world_policy("eve", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"" EVE "\"],"
                        "\"actions\":[\"key.export\",\"key.create\"],\"keyrings\":[\"two\"]}]}");
}

static void take_id(void *context, const struct hf_approval_info *info)
{
    memcpy(context, info->id, sizeof info->id);
}

static void an_approved_export_happens_once(void **unused)
{
    struct hf_op eve = world_as(EVE), root = world_as(ROOT);
    HF_AUTO(secret) material = NULL;
    HF_AUTO(secret) again = NULL;
    char id[33] = "";

    (void)unused;
    two_people_ring();
    assert_fails(&eve, export_by(&eve, "two", "k", &material), HF_WRONG_STATE);
    assert_ok(&root, hf_service_approval_list(world.service, &root, take_id, id));
    assert_non_null(strstr(eve.text, id));
    assert_fails(&eve, export_by(&eve, "two", "k", &material), HF_WRONG_STATE);
    assert_ok(&root, hf_service_approve(world.service, &root, id));
    assert_ok(&eve, export_by(&eve, "two", "k", &material));
    assert_non_null(material);
    assert_fails(&eve, export_by(&eve, "two", "k", &again), HF_WRONG_STATE);
    assert_int_equal(world_notes(EVENT("key.export", "ok", EVE), id), 1);
    assert_int_equal(world_lines(EVENT("key.export", "ok", EVE), "\"key\":\"k\"", NULL), 2);
}

static void a_maker_gets_no_material_where_two_people_are_asked_for(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .exportable = true };
    struct hf_op op = world_as(EVE);
    HF_AUTO(secret) material = NULL;
    uint32_t version;

    (void)unused;
    two_people_ring();
    assert_ok(&op,
              hf_service_key_create(world.service, &op, "two", "mine", &plan, &version, &material));
    assert_null(material);
}

static void nobody_is_asked_to_approve_what_can_never_leave(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256 };
    struct hf_op eve = world_as(EVE), root = world_as(ROOT);
    HF_AUTO(secret) material = NULL;
    char id[33] = "";
    uint32_t version;

    (void)unused;
    two_people_ring();
    assert_ok(&root,
              hf_service_key_create(world.service, &root, "two", "kept", &plan, &version, NULL));
    assert_fails(&eve, export_by(&eve, "two", "kept", &material), HF_DENIED);
    assert_ok(&root, hf_service_approval_list(world.service, &root, take_id, id));
    assert_string_equal(id, "");
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(the_record_is_on_the_disk_before_the_material_is_given),
        test_of(without_a_record_on_the_disk_nothing_is_given),
        test_of(a_disk_that_does_not_sync_gives_nothing),
        test_of(an_export_never_runs_where_it_may_not_wait),
        test_of(only_who_may_gets_only_what_was_meant_to_leave),
        test_of(a_maker_gets_his_material_only_with_the_right_and_the_record),
        test_of(a_repeated_creation_gives_the_same_material),
        test_of(an_approved_export_happens_once),
        test_of(a_maker_gets_no_material_where_two_people_are_asked_for),
        test_of(nobody_is_asked_to_approve_what_can_never_leave),
    };

    return cmocka_run_group_tests_name("service export", tests, world_start, world_stop);
}
