/* Reading about keys and keyrings: only what the caller may see, page by page. */
#include <stdio.h>
#include <string.h>

#include "world.h"

static void add_name(void *context, const char *name)
{
    hf_buf_add_format(context, "%s ", name);
}

static int setup(void **unused)
{
    static const char *const names[] = { "hr-1", "sales-1", "sales-2", "sales-3" };
    struct hf_keyring_settings settings;

    assert_int_equal(world_open(unused), 0);
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        (void)world_key(names[i], HF_ALG_AES_128);
    }
    hf_keyring_settings_default(&settings);
    world_ring("other", &settings);
    world_policy("sales", "{\"rules\":["
                          "{\"effect\":\"allow\",\"who\":[\"cert:sales\"],\"actions\":"
                          "[\"key.list\",\"key.read\"],\"keys\":[\"sales-*\"]},"
                          "{\"effect\":\"deny\",\"who\":[\"cert:sales\"],\"actions\":"
                          "[\"key.list\"],\"keys\":[\"sales-2\"]}]}");
    return 0;
}

static void names_are_only_those_the_caller_may_list(void **unused)
{
    static const struct {
        const char *who;
        const char *after;
        size_t limit;
        const char *names;
    } cases[] = {
        { ALICE, NULL, 100, "hr-1 sales-1 sales-2 sales-3 " },
        { ALICE, NULL, 2, "hr-1 sales-1 " },
        { ALICE, "sales-1", 2, "sales-2 sales-3 " },
        { ALICE, "zebra", 2, "" },
        { "cert:sales", NULL, 100, "sales-1 sales-3 " },
        /* Names that are hidden take no place in a page. */
        { "cert:sales", NULL, 2, "sales-1 sales-3 " },
        { "cert:sales", "sales-1", 1, "sales-3 " },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(cases[i].who);
        HF_AUTO(buf) names = hf_buf_new();

        assert_ok(&op, hf_service_key_names(world.service, &op, RING, false, cases[i].after,
                                            cases[i].limit, add_name, names));
        assert_string_equal(hf_buf_text(names), cases[i].names);
    }
}

static void long_lists_are_whole(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_op sales = world_as("cert:sales");
    HF_AUTO(buf) all = hf_buf_new();
    HF_AUTO(buf) last = hf_buf_new();

    (void)unused;
    for (unsigned i = 0; i < 700; i++) {
        HF_AUTO_STRING name = hf_format("k-%03u", i);

        (void)world_key(name, HF_ALG_AES_128);
    }
    assert_ok(&op,
              hf_service_key_names(world.service, &op, RING, false, NULL, SIZE_MAX, add_name, all));
    assert_int_equal(all->len, strlen("hr-1 sales-1 sales-2 sales-3 ") + 700 * strlen("k-000 "));
    /* What comes after more than a page of hidden names is still found. */
    assert_ok(&sales,
              hf_service_key_names(world.service, &sales, RING, false, NULL, 2, add_name, last));
    assert_string_equal(hf_buf_text(last), "sales-1 sales-3 ");
}

static void deleted_names_are_listed_apart(void **unused)
{
    struct hf_op root = world_as(ROOT);
    HF_AUTO(buf) live = hf_buf_new();
    HF_AUTO(buf) deleted = hf_buf_new();

    (void)unused;
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "hr-1", ""));
    assert_ok(&root,
              hf_service_key_names(world.service, &root, RING, false, NULL, 9, add_name, live));
    assert_ok(&root,
              hf_service_key_names(world.service, &root, RING, true, NULL, 9, add_name, deleted));
    assert_string_equal(hf_buf_text(live), "sales-1 sales-2 sales-3 ");
    assert_string_equal(hf_buf_text(deleted), "hr-1 ");
}

static void add_ring(void *context, const struct hf_keyring_info *info)
{
    hf_buf_add_format(context, "%s:%zu ", info->name, info->keys);
}

static void keyrings_are_only_those_the_caller_may_read(void **unused)
{
    struct hf_op root = world_as(ROOT), ring = world_as("cert:ring"), alice = world_as(ALICE);
    struct hf_keyring_info info;
    HF_AUTO(buf) all = hf_buf_new();
    HF_AUTO(buf) some = hf_buf_new();

    (void)unused;
    world_policy("ring", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"cert:ring\"],"
                         "\"actions\":[\"keyring.read\"],\"keyrings\":[\"oth*\"]}]}");
    assert_ok(&root, hf_service_keyring_list(world.service, &root, add_ring, all));
    assert_non_null(strstr(hf_buf_text(all), RING ":4 "));
    assert_non_null(strstr(hf_buf_text(all), "other:0 "));
    assert_ok(&ring, hf_service_keyring_list(world.service, &ring, add_ring, some));
    assert_string_equal(hf_buf_text(some), "other:0 ");
    assert_ok(&ring, hf_service_keyring_get(world.service, &ring, "other", &info));
    assert_fails(&ring, hf_service_keyring_get(world.service, &ring, RING, &info), HF_DENIED);
    assert_fails(&alice, hf_service_keyring_list(world.service, &alice, add_ring, some), HF_DENIED);
    assert_string_equal(hf_buf_text(some), "other:0 ");
}

static void count_version(void *context, const struct hf_version_info *info)
{
    assert_int_equal(info->version, ++*(uint32_t *)context);
}

static void keys_and_versions_are_shown_to_who_may(void **unused)
{
    struct hf_op sales = world_as("cert:sales"), root = world_as(ROOT);
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(key_info) hidden = NULL;
    uint32_t versions = 0, version;
    struct hf_usage usage;

    (void)unused;
    assert_ok(&root,
              hf_service_key_rotate(world.service, &root, RING, "sales-1", NULL, &version, NULL));
    assert_ok(&sales, hf_service_key_get(world.service, &sales, RING, "sales-1", false, &info));
    assert_int_equal(info->primary, 2);
    assert_ok(&sales, hf_service_key_versions(world.service, &sales, RING, "sales-1", count_version,
                                              &versions));
    assert_int_equal(versions, 2);
    assert_fails(&sales, hf_service_key_get(world.service, &sales, RING, "hr-1", false, &hidden),
                 HF_DENIED);
    assert_fails(&sales, hf_service_key_get(world.service, &sales, RING, "none", false, &hidden),
                 HF_DENIED);
    assert_fails(&sales, hf_service_key_get(world.service, &sales, RING, "sales-9", false, &hidden),
                 HF_NOT_FOUND);
    assert_fails(
        &sales,
        hf_service_key_versions(world.service, &sales, RING, "hr-1", count_version, &versions),
        HF_DENIED);
    assert_fails(&sales, hf_service_key_usage(world.service, &sales, RING, "hr-1", 1, &usage),
                 HF_DENIED);
    assert_null(hidden);
    assert_int_equal(world_lines(EVENT("key.read", "denied", "cert:sales"), NULL, NULL), 4);
    assert_int_equal(
        world_lines(EVENT("key.read", "ok", "cert:sales"), "\"key\":\"sales-1\"", NULL), 2);
}

static void whether_a_name_exists_is_known_without_waiting(void **unused)
{
    struct hf_op root = world_as(ROOT);

    (void)unused;
    assert_true(hf_service_key_exists(world.service, RING, "hr-1"));
    assert_false(hf_service_key_exists(world.service, RING, "hr 1"));
    assert_false(hf_service_key_exists(world.service, "none", "hr-1"));
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "hr-1", ""));
    assert_false(hf_service_key_exists(world.service, RING, "hr-1"));
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(names_are_only_those_the_caller_may_list),
        test_of(long_lists_are_whole),
        test_of(deleted_names_are_listed_apart),
        test_of(keyrings_are_only_those_the_caller_may_read),
        test_of(keys_and_versions_are_shown_to_who_may),
        test_of(whether_a_name_exists_is_known_without_waiting),
    };

    return cmocka_run_group_tests_name("service read", tests, world_start, world_stop);
}
