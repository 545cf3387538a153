/* Small named secrets, and the keys that the store keeps for itself. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

static void a_secret_is_made_once_and_kept(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) first = NULL;
    HF_AUTO(secret) again = NULL;
    HF_AUTO(secret) later = NULL;
    HF_AUTO(secret) other = NULL;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_seal_secret(world->seal, op, "cookie", 32, &first));
    assert_int_equal(hf_secret_len(first), 32);
    assert_ok(op, hf_seal_secret(world->seal, op, "cookie", 32, &again));
    assert_true(hf_secret_equal(first, again));
    assert_ok(op, hf_seal_secret(world->seal, op, "other", 32, &other));
    assert_false(hf_secret_equal(first, other));
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_ok(op, hf_seal_secret(world->seal, op, "cookie", 0, &later));
    assert_true(hf_secret_equal(first, later));
}

static void a_secret_that_is_not_there_is_not_found_when_none_may_be_made(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) secret = NULL;

    assert_fails(&world->op, hf_seal_secret(world->seal, &world->op, "cookie", 0, &secret),
                 HF_NOT_FOUND);
    assert_null(secret);
}

static void a_secret_can_be_put_and_put_again(void **state)
{
    struct world *world = *state;
    struct hf_op *op = &world->op;

    for (int i = 0; i < 3; i++) {
        HF_AUTO(secret) secret = NULL;
        HF_AUTO_STRING text = hf_format("pem %d", i);

        assert_ok(op,
                  hf_seal_secret_put(world->seal, op, "ca/private key", hf_bytes_of_text(text)));
        assert_ok(op, hf_seal_secret(world->seal, op, "ca/private key", 0, &secret));
        assert_true(hf_bytes_equal_text(hf_secret_bytes(secret), text));
    }
    world_expect(world, HF_KIND_SECRET, "secret/ca%2Fprivate%20key", 3, "pem 2");
}

static void the_stores_own_keys_have_no_name(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) secret = NULL;
    struct hf_op *op = &world->op;

    assert_fails(op, hf_seal_secret(world->seal, op, "store", 32, &secret), HF_INVALID);
    assert_fails(op, hf_seal_secret_put(world->seal, op, "store", hf_bytes_of_text("x")),
                 HF_INVALID);
    assert_fails(op, hf_seal_secret(world->seal, op, "", 32, &secret), HF_INVALID);
}

static void a_secret_does_not_use_up_the_callers_request_id(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) secret = NULL;
    struct hf_op *op = &world->op;

    op->request_id = request(5);
    assert_ok(op, hf_seal_secret(world->seal, op, "cookie", 32, &secret));
    assert_ok(op, world_put(world, HF_KIND_KEY, "key/a", 0, "mine"));
    world_expect(world, HF_KIND_KEY, "key/a", 1, "mine");
}

/* Somebody else makes the same secret between our look and our commit. */
struct rival {
    struct world *world;
    struct hf_secret *made;
    bool put;
};

static void be_faster(void *context)
{
    struct rival *rival = context;
    struct hf_op op;

    hf_op_init(&op, &rival->world->env);
    if (rival->put) {
        assert_ok(&op, hf_seal_secret_put(rival->world->seal, &op, "cookie",
                                          hf_bytes_of_text("rival's")));
    } else {
        assert_ok(&op, hf_seal_secret(rival->world->seal, &op, "cookie", 32, &rival->made));
    }
}

static void two_who_make_a_secret_get_the_same_one(void **state)
{
    struct world *world = *state;
    struct rival rival = { world, NULL, false };
    HF_AUTO(secret) secret = NULL;

    tamper_before_apply(world->tamper, be_faster, &rival);
    assert_ok(&world->op, hf_seal_secret(world->seal, &world->op, "cookie", 32, &secret));
    assert_true(hf_secret_equal(secret, rival.made));
    hf_secret_free(rival.made);
}

static void of_two_who_put_a_secret_the_later_one_stays(void **state)
{
    struct world *world = *state;
    struct rival rival = { world, NULL, true };

    tamper_before_apply(world->tamper, be_faster, &rival);
    assert_ok(&world->op,
              hf_seal_secret_put(world->seal, &world->op, "cookie", hf_bytes_of_text("mine")));
    world_expect(world, HF_KIND_SECRET, "secret/cookie", 2, "mine");
}

static void a_buried_secret_is_made_anew(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) first = NULL;
    HF_AUTO(secret) second = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_seal_secret(world->seal, op, "cookie", 32, &first));
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_txn_bury(txn, op, HF_KIND_SECRET, "secret/cookie", 1, HF_BYTES_NONE));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_ok(op, hf_seal_secret(world->seal, op, "cookie", 32, &second));
    assert_false(hf_secret_equal(first, second));
}

static void check_values_tell_materials_apart(void **state)
{
    struct world *world = *state;
    uint8_t one[HF_CHECK_VALUE_LEN];
    uint8_t same[HF_CHECK_VALUE_LEN];
    uint8_t other[HF_CHECK_VALUE_LEN];
    struct hf_op *op = &world->op;

    assert_ok(op, hf_seal_check_value(world->seal, op, hf_bytes_of_text("material"), one));
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_ok(op, hf_seal_check_value(world->seal, op, hf_bytes_of_text("material"), same));
    assert_ok(op, hf_seal_check_value(world->seal, op, hf_bytes_of_text("materia1"), other));
    assert_memory_equal(one, same, sizeof one);
    assert_memory_not_equal(one, other, sizeof one);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_secret_is_made_once_and_kept),
        WORLD(a_secret_that_is_not_there_is_not_found_when_none_may_be_made),
        WORLD(a_secret_can_be_put_and_put_again),
        WORLD(the_stores_own_keys_have_no_name),
        WORLD(a_secret_does_not_use_up_the_callers_request_id),
        WORLD(two_who_make_a_secret_get_the_same_one),
        WORLD(of_two_who_put_a_secret_the_later_one_stays),
        WORLD(a_buried_secret_is_made_anew),
        WORLD(check_values_tell_materials_apart),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
