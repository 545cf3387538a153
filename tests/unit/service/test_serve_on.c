/* Keyrings that name the nodes that serve them: who may be named, and what is left to those. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "neighbour.h"
#include "service/drill.h"

#define PAYROLL "payroll"
#define DAY     ((uint64_t)24 * 3600 * 1000)

static struct neighbour second;

/* The keyring of the world is served by both nodes, a second one by the other node only. */
static int setup(void **unused)
{
    static const char *const nodes[] = { "node-2" };
    struct hf_keyring_settings settings;
    struct hf_op op;
    uint32_t version = 0;
    const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256,
                                      .first_version = 1,
                                      .exportable = true };

    assert_int_equal(world_open(unused), 0);
    world_take_part();
    world.service->shared_store = true;
    (void)world_key("sales", HF_ALG_AES_256);
    hf_keyring_settings_default(&settings);
    world_ring(PAYROLL, &settings);
    op = world_as(ROOT);
    assert_ok(&op,
              hf_service_key_create(world.service, &op, PAYROLL, "wages", &plan, &version, NULL));
    neighbour_enlist("node-1", "", HF_MEMBER_APPROVED);
    neighbour_enlist("node-2", "", HF_MEMBER_AWAY);
    neighbour_enlist("node-4", "", HF_MEMBER_REMOVED);
    world_serve_on(PAYROLL, nodes, HF_COUNT(nodes));
    neighbour_start(&second, "node-2");
    return 0;
}

static int teardown(void **unused)
{
    neighbour_stop(&second);
    world_leave();
    small_world_restore();
    return world_close(unused);
}

/* --- what is left to others --- */

static struct hf_status create(struct hf_service *service, struct hf_op *op)
{
    const struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    uint32_t version = 0;

    return hf_service_key_create(service, op, PAYROLL, "bonus", &plan, &version, NULL);
}

static struct hf_status rotate(struct hf_service *service, struct hf_op *op)
{
    uint32_t version = 0;

    return hf_service_key_rotate(service, op, PAYROLL, "wages", NULL, &version, NULL);
}

static struct hf_status rewrap(struct hf_service *service, struct hf_op *op)
{
    uint32_t moved = 0;

    return hf_service_key_rewrap(service, op, PAYROLL, "wages", &moved);
}

static struct hf_status rotate_keyring(struct hf_service *service, struct hf_op *op)
{
    uint32_t version = 0;

    return hf_service_keyring_rotate(service, op, PAYROLL, &version);
}

static void what_makes_or_moves_versions_is_left_to_the_nodes_that_serve(void **unused)
{
    static const struct {
        const char *says;
        struct hf_status (*call)(struct hf_service *service, struct hf_op *op);
    } calls[] = {
        { "create", create },
        { "rotate", rotate },
        { "rewrap", rewrap },
        { "a new keyring key", rotate_keyring },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(calls); i++) {
        struct hf_op op = world_as(ROOT);
        struct hf_status status = calls[i].call(world.service, &op);

        if (status.code != HF_UNAVAILABLE || strstr(op.text, "node-2") == NULL) {
            fail_msg("%s: got %s: %s", calls[i].says, hf_code_name(status.code), op.text);
        }
        op = world_as(ROOT);
        world_follow();
        neighbour_follow(&second);
        status = calls[i].call(second.service, &op);
        if (status.code != HF_OK) {
            fail_msg("%s there: got %s: %s", calls[i].says, hf_code_name(status.code), op.text);
        }
    }
}

static void nor_does_material_leave_elsewhere(void **unused)
{
    static const char *const nodes[] = { "node-2" };
    struct hf_op op;
    HF_AUTO(secret) material = NULL;
    uint32_t version = 0;

    (void)unused;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    op = world_as(EVE);
    assert_fails(
        &op,
        hf_service_key_export(world.service, &op, RING, "sales", HF_LATEST, &material, &version),
        HF_UNAVAILABLE);
    assert_int_equal(
        world_lines("\"operation\":\"key.export\",\"outcome\":\"unavailable\"", "node-2", NULL), 1);
}

static void take_nothing(void *context, const struct hf_version_info *info)
{
    (void)info;
    ++*(size_t *)context;
}

static void reading_and_administration_go_on_everywhere(void **unused)
{
    struct hf_op op = world_as(ROOT);
    HF_AUTO(key_info) key = NULL;
    struct hf_keyring_info info;
    size_t versions = 0;

    (void)unused;
    assert_ok(&op, hf_service_keyring_get(world.service, &op, PAYROLL, &info));
    assert_ok(&op, hf_service_key_get(world.service, &op, PAYROLL, "wages", false, &key));
    assert_ok(&op, hf_service_key_versions(world.service, &op, PAYROLL, "wages", take_nothing,
                                           &versions));
    assert_int_equal(versions, 1);
    assert_ok(&op, hf_service_key_delete(world.service, &op, PAYROLL, "wages", "unused"));
    op = world_as(ROOT);
    assert_ok(&op, hf_service_key_recover(world.service, &op, PAYROLL, "wages"));
    info.settings.max_stale_wrap_ms = 1;
    op = world_as(ROOT);
    assert_ok(&op, hf_service_keyring_change(world.service, &op, PAYROLL, &info.settings));
}

/* The material of a version is altered here: only who opens it would notice. */
static void a_node_is_ready_by_what_it_serves(void **unused)
{
    struct hf_op op = small_world_op(0);

    (void)unused;
    assert_ok(&op, hf_service_ready(world.service, &op));
    small_world_alter("version/payroll/wages/0000000001");
    assert_ok(&op, hf_service_ready(world.service, &op));
    world_serve_on(PAYROLL, NULL, 0);
    assert_int_not_equal(hf_service_ready(world.service, &op).code, HF_OK);
}

static void note_keyring_key(void *context, const struct hf_version_info *info)
{
    *(uint32_t *)context = info->keyring_key;
}

static uint32_t keyring_key_of_wages(void)
{
    struct hf_op op = small_world_op(0);
    uint32_t version = 0;

    assert_ok(&op, hf_key_versions(world.keys, &op, PAYROLL, "wages", note_keyring_key, &version));
    return version;
}

static void a_new_keyring_key_is_taken_over_by_the_nodes_that_serve(void **unused)
{
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_ok(&op, rotate_keyring(second.service, &op));
    world_follow();
    world_jobs();
    assert_int_equal(keyring_key_of_wages(), 1);
    neighbour_turn(&second);
    world_follow();
    assert_int_equal(keyring_key_of_wages(), 2);
}

static void jobs_leave_keyrings_to_the_nodes_that_serve_them(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_info info;
    uint32_t version = 0;

    (void)unused;
    assert_ok(&op, hf_service_keyring_get(world.service, &op, PAYROLL, &info));
    info.settings.rotate_every_ms = DAY;
    assert_ok(&op, hf_service_keyring_change(world.service, &op, PAYROLL, &info.settings));
    small_world_pass(2 * DAY);
    world_jobs();
    assert_ok(&op, hf_key_primary(world.keys, &op, PAYROLL, "wages", &version));
    assert_int_equal(version, 1);
    neighbour_turn(&second);
    world_follow();
    assert_ok(&op, hf_key_primary(world.keys, &op, PAYROLL, "wages", &version));
    assert_int_equal(version, 2);
}

/* --- who may be named --- */

static struct hf_status name_node(struct hf_op *op, const char *name)
{
    struct hf_keyring_info info;

    HF_TRY(hf_service_keyring_get(world.service, op, PAYROLL, &info));
    HF_TRY(hf_serve_on_add(op, &info.settings.serve_on, name));
    return hf_service_keyring_change(world.service, op, PAYROLL, &info.settings);
}

static void only_members_are_named(void **unused)
{
    static const char *const strangers[] = { "node-3", "node-4", "Node-1" };
    struct hf_keyring_settings settings;
    struct hf_keyring_info info;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(strangers); i++) {
        struct hf_op op = world_as(ROOT);

        assert_fails(&op, name_node(&op, strangers[i]), HF_INVALID);
        assert_non_null(strstr(op.text, strangers[i]));
        hf_keyring_settings_default(&settings);
        assert_ok(&op, hf_serve_on_add(&op, &settings.serve_on, strangers[i]));
        op = world_as(ROOT);
        assert_fails(&op, hf_service_keyring_create(world.service, &op, "new", &settings, NULL),
                     HF_INVALID);
    }
    {
        struct hf_op op = world_as(ROOT);

        assert_ok(&op, name_node(&op, "node-1"));
        assert_ok(&op, hf_service_keyring_get(world.service, &op, PAYROLL, &info));
        assert_int_equal(info.settings.serve_on.count, 2);
        op = world_as(ROOT);
        assert_ok(&op, rotate(world.service, &op));
    }
}

static struct hf_status remove_node(struct hf_op *op, const char *name)
{
    uint32_t generation = 0;

    return hf_service_node_remove(world.service, op, name, true, &generation);
}

static void the_last_node_that_serves_a_keyring_is_not_removed(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_info info;

    (void)unused;
    assert_fails(&op, remove_node(&op, "node-2"), HF_WRONG_STATE);
    assert_non_null(strstr(op.text, PAYROLL));
    assert_null(strstr(op.text, RING));
    /* A member that was removed serves nothing, though it is named still. */
    op = world_as(ROOT);
    neighbour_enlist("node-3", "", HF_MEMBER_APPROVED);
    assert_ok(&op, name_node(&op, "node-3"));
    op = world_as(ROOT);
    assert_ok(&op, remove_node(&op, "node-3"));
    op = world_as(ROOT);
    assert_fails(&op, remove_node(&op, "node-2"), HF_WRONG_STATE);
    /* That it stays named hinders no other change, but a new list is one of members. */
    op = world_as(ROOT);
    assert_ok(&op, hf_service_keyring_get(world.service, &op, PAYROLL, &info));
    assert_int_equal(info.settings.serve_on.count, 2);
    info.settings.max_stale_wrap_ms = 1;
    assert_ok(&op, hf_service_keyring_change(world.service, &op, PAYROLL, &info.settings));
    op = world_as(ROOT);
    assert_fails(&op, name_node(&op, "node-1"), HF_INVALID);
    assert_non_null(strstr(op.text, "node-3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_makes_or_moves_versions_is_left_to_the_nodes_that_serve),
        TEST(nor_does_material_leave_elsewhere),
        TEST(reading_and_administration_go_on_everywhere),
        TEST(a_node_is_ready_by_what_it_serves),
        TEST(a_new_keyring_key_is_taken_over_by_the_nodes_that_serve),
        TEST(jobs_leave_keyrings_to_the_nodes_that_serve_them),
        TEST(only_members_are_named),
        TEST(the_last_node_that_serves_a_keyring_is_not_removed),
    };

    return cmocka_run_group_tests_name("service serve on", tests, world_start, world_stop);
}
