/* Server certificates of the store's own authority go on by themselves; others are left alone. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/node_internal.h"
#include "protect/private_file.h"
#include "seal/authority.h"

#define LISTENERS 2

/* A node whose listeners share a certificate that the store's authority signed for two years. */
struct scene {
    char *certificate, *key;
    struct hf_config_listener configs[LISTENERS];
    struct hf_config whole;
    struct served served[LISTENERS];
    struct listener listeners[LISTENERS];
    struct hf_node node;
};

static void make_pair(struct scene *scene)
{
    struct hf_op op = small_world_op(0);
    struct hf_authority_order order = { .common_name = "node-1", .hosts = "localhost" };
    HF_AUTO(pkey) key = NULL;
    HF_AUTO(secret) private_pem = NULL;
    HF_AUTO(buf) pem = hf_buf_new();

    assert_ok(&op, hf_authority_make(small_world.seal, &op));
    assert_ok(&op, hf_pkey_generate(small_world.crypto, &op, HF_PKEY_P256, &key));
    assert_ok(&op, hf_pkey_private_pem(key, &op, &private_pem));
    order.key = key;
    assert_ok(&op, hf_authority_issue(small_world.seal, &op, &order, pem));
    (void)unlink(scene->key);
    assert_ok(&op, hf_private_file_create(&op, scene->key, hf_secret_bytes(private_pem)));
    assert_ok(&op, hf_public_file_replace(&op, scene->certificate, hf_buf_bytes(pem)));
}

static void open_scene(struct scene *scene)
{
    struct hf_op op = small_world_op(0);

    *scene = (struct scene){ .certificate = small_world_path("server.crt"),
                             .key = small_world_path("server.key") };
    make_pair(scene);
    for (size_t i = 0; i < LISTENERS; i++) {
        scene->configs[i] = (struct hf_config_listener){
            .name = "hadoop", .tls = true, .certificate = scene->certificate, .key = scene->key
        };
        scene->served[i].config = &scene->configs[i];
        assert_ok(&op, hf_listener_open_tls(&op, &scene->configs[i], &scene->listeners[i].tls));
        atomic_store(&scene->listeners[i].served, &scene->served[i]);
    }
    scene->whole.listeners = scene->configs;
    scene->whole.listener_count = LISTENERS;
    scene->node = (struct hf_node){ .env = &small_world.env,
                                    .config = &scene->whole,
                                    .seal = small_world.seal,
                                    .service = world.service,
                                    .listeners = scene->listeners };
}

static void close_scene(struct scene *scene)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        hf_tls_free(scene->listeners[i].tls);
    }
    free(scene->certificate);
    free(scene->key);
}

static uint64_t days_left_on(struct scene *scene, size_t index)
{
    return (hf_tls_expires_ms(scene->listeners[index].tls) - small_world.now_ms + DAY / 2) / DAY;
}

/* On all of them. */
static uint64_t days_left(struct scene *scene)
{
    uint64_t days = days_left_on(scene, 0);

    for (size_t i = 1; i < LISTENERS; i++) {
        assert_int_equal(days_left_on(scene, i), days);
    }
    return days;
}

static void look(struct scene *scene)
{
    struct hf_op op = small_world_op(0);

    hf_node_renew_certificates(&scene->node, &op);
}

static void a_month_before_it_ends_a_certificate_is_renewed_and_shown(void **unused)
{
    struct scene scene;

    (void)unused;
    open_scene(&scene);
    look(&scene);
    small_world_pass(700 * DAY - DAY / 8);
    look(&scene);
    assert_int_equal(days_left(&scene), 30);
    assert_int_equal(world_lines(EVENT("node.change", "ok", "system"), NULL, NULL), 0);
    small_world_pass(DAY);
    look(&scene);
    assert_int_equal(days_left(&scene), 730);
    assert_int_equal(world_lines(EVENT("node.change", "ok", "system"), "goes on", NULL), 1);
    look(&scene);
    assert_int_equal(world_lines(EVENT("node.change", "ok", "system"), NULL, NULL), 1);
    close_scene(&scene);
}

/* Before the node listens: one that has ended would keep it from starting. */
static void one_that_ended_while_the_node_was_off_is_renewed_before_it_is_shown(void **unused)
{
    struct scene scene;
    struct hf_op op = small_world_op(0);
    struct hf_tls *tls = NULL;

    (void)unused;
    open_scene(&scene);
    scene.node.listeners = NULL;
    small_world_pass(800 * DAY);
    assert_fails(&op, hf_listener_open_tls(&op, &scene.configs[0], &tls), HF_INVALID);
    look(&scene);
    assert_ok(&op, hf_listener_open_tls(&op, &scene.configs[0], &tls));
    hf_tls_free(tls);
    close_scene(&scene);
}

static void what_could_not_be_loaded_once_is_shown_with_the_next_look(void **unused)
{
    struct scene scene;
    HF_AUTO_STRING away = small_world_path("elsewhere.key");

    (void)unused;
    open_scene(&scene);
    small_world_pass(720 * DAY);
    /* One of the two finds no key. */
    scene.configs[1].key = away;
    look(&scene);
    assert_int_equal(days_left_on(&scene, 0), 730);
    assert_int_equal(days_left_on(&scene, 1), 10);
    scene.configs[1].key = scene.key;
    look(&scene);
    assert_int_equal(days_left(&scene), 730);
    assert_int_equal(world_lines(EVENT("node.change", "ok", "system"), NULL, NULL), 1);
    close_scene(&scene);
}

static void one_that_was_put_there_meanwhile_is_shown(void **unused)
{
    struct scene scene;

    (void)unused;
    open_scene(&scene);
    small_world_pass(100 * DAY);
    look(&scene);
    assert_int_equal(days_left(&scene), 630);
    make_pair(&scene);
    look(&scene);
    assert_int_equal(days_left(&scene), 730);
    assert_int_equal(world_lines(EVENT("node.change", "ok", "system"), NULL, NULL), 0);
    close_scene(&scene);
}

static void what_another_authority_signed_is_left_alone(void **unused)
{
    struct scene scene;
    struct hf_op op = small_world_op(0);

    (void)unused;
    open_scene(&scene);
    assert_ok(&op, hf_authority_make(small_world.seal, &op));
    small_world_pass(720 * DAY);
    look(&scene);
    assert_int_equal(days_left(&scene), 10);
    assert_int_equal(world_lines(EVENT("node.change", "ok", "system"), NULL, NULL), 0);
    close_scene(&scene);
}

static void a_locked_node_renews_after_it_is_unlocked(void **unused)
{
    struct scene scene;

    (void)unused;
    open_scene(&scene);
    small_world_pass(720 * DAY);
    hf_seal_lock(small_world.seal);
    look(&scene);
    assert_int_equal(days_left(&scene), 10);
    small_world_unlock();
    look(&scene);
    assert_int_equal(days_left(&scene), 730);
    close_scene(&scene);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_month_before_it_ends_a_certificate_is_renewed_and_shown),
        CASE(one_that_ended_while_the_node_was_off_is_renewed_before_it_is_shown),
        CASE(what_could_not_be_loaded_once_is_shown_with_the_next_look),
        CASE(one_that_was_put_there_meanwhile_is_shown),
        CASE(what_another_authority_signed_is_left_alone),
        CASE(a_locked_node_renews_after_it_is_unlocked),
    };

    return cmocka_run_group_tests_name("renew", tests, world_start, world_stop);
}
