/* The store's own authority: what it signs, what it signs again, and what it does not. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "seal/authority.h"

#define DAY_MS ((uint64_t)24 * 3600 * 1000)

static struct hf_pkey *new_key(struct world *world)
{
    struct hf_pkey *key = NULL;

    assert_ok(&world->op, hf_pkey_generate(world->crypto, &world->op, HF_PKEY_P256, &key));
    return key;
}

static uint64_t days_left(struct world *world, const struct hf_buf *pem)
{
    uint64_t expires_ms = 0;

    assert_ok(&world->op, hf_certificate_expires(&world->op, hf_buf_bytes(pem), &expires_ms));
    return (expires_ms - hf_env_realtime_ms(world->op.env) + DAY_MS / 2) / DAY_MS;
}

static struct hf_status issue(struct world *world, const struct hf_pkey *key, const char *hosts,
                              struct hf_buf *out)
{
    struct hf_authority_order order = { .common_name = "node-2", .hosts = hosts, .key = key };

    return hf_authority_issue(world->seal, &world->op, &order, out);
}

static void it_signs_what_any_node_can_check(void **state)
{
    struct world *world = *state;
    HF_AUTO(pkey) key = new_key(world);
    HF_AUTO(pkey) other = new_key(world);
    HF_AUTO(buf) authority = hf_buf_new();
    HF_AUTO(buf) pem = hf_buf_new();
    struct hf_bytes issuer;

    assert_fails(&world->op, issue(world, key, "a", pem), HF_NOT_FOUND);
    assert_fails(&world->op, hf_authority_certificate(world->seal, &world->op, authority),
                 HF_NOT_FOUND);
    assert_ok(&world->op, hf_authority_make(world->seal, &world->op));
    assert_ok(&world->op, hf_authority_certificate(world->seal, &world->op, authority));
    issuer = hf_buf_bytes(authority);
    assert_int_equal(days_left(world, authority), 20 * 365);
    assert_ok(&world->op, issue(world, key, "kms2.example.net,192.0.2.2,2001:db8::2", pem));
    assert_int_equal(days_left(world, pem), 2 * 365);
    assert_ok(&world->op, hf_certificate_check(&world->op, hf_buf_bytes(pem), key, issuer));
    assert_fails(&world->op, hf_certificate_check(&world->op, hf_buf_bytes(pem), other, issuer),
                 HF_DENIED);
    assert_fails(&world->op, hf_certificate_check(&world->op, HF_BYTES_NONE, key, issuer),
                 HF_INVALID);
    assert_fails(&world->op,
                 hf_certificate_check(&world->op, hf_buf_bytes(pem), key, HF_BYTES_NONE),
                 HF_INVALID);
}

static void hosts_that_a_certificate_cannot_hold_are_refused(void **state)
{
    static const char *const hosts[] = { "1.2.3", "a:b", "ok,300.0.0.1", "bad_\xc3\xb6" };
    struct world *world = *state;
    HF_AUTO(pkey) key = new_key(world);

    assert_ok(&world->op, hf_authority_make(world->seal, &world->op));
    for (size_t i = 0; i < HF_COUNT(hosts); i++) {
        HF_AUTO(buf) pem = hf_buf_new();

        assert_fails(&world->op, issue(world, key, hosts[i], pem), HF_INVALID);
    }
}

/* One that the authority has signed for ten days only. */
static void issue_short(struct world *world, const struct hf_pkey *key, struct hf_bytes issuer,
                        struct hf_buf *out)
{
    uint64_t now_ms = hf_env_realtime_ms(world->op.env);
    struct hf_certificate_settings settings = {
        .common_name = "node-2",
        .not_before_ms = now_ms - DAY_MS,
        .not_after_ms = now_ms + 10 * DAY_MS,
    };
    HF_AUTO(secret) pkcs8 = NULL;
    HF_AUTO(pkey) authority = NULL;

    assert_ok(&world->op, hf_seal_secret(world->seal, &world->op, "authority-key", 0, &pkcs8));
    assert_ok(&world->op,
              hf_pkey_load_private(world->crypto, &world->op, hf_secret_bytes(pkcs8), &authority));
    assert_ok(&world->op, hf_certificate_make(world->crypto, &world->op, &settings, key, authority,
                                              issuer, out));
}

static void what_it_signed_it_signs_again_for_the_same_key(void **state)
{
    struct world *world = *state;
    HF_AUTO(pkey) key = new_key(world);
    HF_AUTO(buf) authority = hf_buf_new();
    HF_AUTO(buf) pem = hf_buf_new();
    HF_AUTO(buf) renewed = hf_buf_new();

    assert_ok(&world->op, hf_authority_make(world->seal, &world->op));
    assert_ok(&world->op, hf_authority_certificate(world->seal, &world->op, authority));
    issue_short(world, key, hf_buf_bytes(authority), pem);
    assert_int_equal(days_left(world, pem), 10);
    assert_ok(&world->op, hf_authority_renew(world->seal, &world->op, hf_buf_bytes(pem), renewed));
    assert_int_equal(days_left(world, renewed), 2 * 365);
    assert_ok(&world->op, hf_certificate_check(&world->op, hf_buf_bytes(renewed), key,
                                               hf_buf_bytes(authority)));
}

static void what_another_signed_it_does_not(void **state)
{
    struct world *world = *state;
    HF_AUTO(pkey) key = new_key(world);
    HF_AUTO(buf) foreign = hf_buf_new();
    HF_AUTO(buf) own = hf_buf_new();
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_certificate_settings settings = {
        .common_name = "Holdfast authority", /* the same name proves nothing */
        .not_before_ms = hf_env_realtime_ms(world->op.env),
        .not_after_ms = hf_env_realtime_ms(world->op.env) + DAY_MS,
    };

    assert_ok(&world->op, hf_authority_make(world->seal, &world->op));
    /* Of an authority that was there before, with the same name. */
    assert_ok(&world->op, issue(world, key, "a", foreign));
    assert_ok(&world->op, hf_authority_make(world->seal, &world->op));
    assert_ok(&world->op, hf_certificate_make(world->crypto, &world->op, &settings, key, key,
                                              HF_BYTES_NONE, own));
    assert_fails(&world->op,
                 hf_authority_renew(world->seal, &world->op, hf_buf_bytes(foreign), out),
                 HF_DENIED);
    assert_fails(&world->op, hf_authority_renew(world->seal, &world->op, hf_buf_bytes(own), out),
                 HF_DENIED);
    assert_fails(&world->op, hf_authority_renew(world->seal, &world->op, HF_BYTES_NONE, out),
                 HF_INVALID);
    assert_int_equal(out->len, 0);
}

static void a_key_goes_into_a_file_and_comes_back(void **state)
{
    struct world *world = *state;
    HF_AUTO(pkey) key = new_key(world);
    HF_AUTO(pkey) back = NULL;
    HF_AUTO(secret) pem = NULL;
    HF_AUTO(buf) first = hf_buf_new();
    HF_AUTO(buf) second = hf_buf_new();

    assert_ok(&world->op, hf_pkey_private_pem(key, &world->op, &pem));
    assert_ok(&world->op, hf_pkey_from_private_pem(&world->op, hf_secret_bytes(pem), &back));
    assert_ok(&world->op, hf_pkey_public(key, &world->op, first));
    assert_ok(&world->op, hf_pkey_public(back, &world->op, second));
    assert_true(hf_bytes_equal(hf_buf_bytes(first), hf_buf_bytes(second)));
    hf_pkey_free(HF_TAKE(back));
    assert_fails(&world->op, hf_pkey_from_private_pem(&world->op, hf_buf_bytes(first), &back),
                 HF_INVALID);
    assert_fails(&world->op, hf_pkey_from_private_pem(&world->op, HF_BYTES_NONE, &back),
                 HF_INVALID);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_signs_what_any_node_can_check),
        CASE(hosts_that_a_certificate_cannot_hold_are_refused),
        CASE(what_it_signed_it_signs_again_for_the_same_key),
        CASE(what_another_signed_it_does_not),
        CASE(a_key_goes_into_a_file_and_comes_back),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("authority", tests, NULL, NULL);
}
