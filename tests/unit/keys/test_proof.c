/*
 * No version is kept that was not opened from its wrapped form: here the seal opens wrappings to
 * something else, as broken memory or a broken token would.
 */
#include "world.h"

/* The linker puts ours in place of the seal's, and names the seal's own so. */
struct hf_status __real_hf_seal_unwrap(struct hf_seal *seal, struct hf_op *op,
                                       const struct hf_wrap_place *place, struct hf_bytes wrapped,
                                       struct hf_secret **out);
struct hf_status __wrap_hf_seal_unwrap(struct hf_seal *seal, struct hf_op *op,
                                       const struct hf_wrap_place *place, struct hf_bytes wrapped,
                                       struct hf_secret **out);

static unsigned unwraps;
static unsigned broken; /* the number of the unwrap that gives one wrong bit; 0: none */

struct hf_status __wrap_hf_seal_unwrap(struct hf_seal *seal, struct hf_op *op,
                                       const struct hf_wrap_place *place, struct hf_bytes wrapped,
                                       struct hf_secret **out)
{
    HF_TRY(__real_hf_seal_unwrap(seal, op, place, wrapped, out));
    unwraps++;
    if (unwraps == broken) {
        hf_secret_data(*out)[0] ^= 1;
    }
    return HF_SUCCESS;
}

static void break_unwrap(unsigned number)
{
    unwraps = 0;
    broken = number;
}

static void a_wrapping_that_opens_to_something_else_is_never_stored(void **unused)
{
    static const struct {
        const char *says;
        struct change change;
        unsigned broken;
    } cases[] = {
        { "create", { .kind = CHANGE_CREATE, .name = "unborn" }, 1 },
        { "rotate", { .kind = CHANGE_ROTATE, .name = "proven" }, 1 },
        { "rotate by candidate", { .kind = CHANGE_ROTATE_CANDIDATE, .name = "proven" }, 1 },
        { "rewrap: the old form opens wrong", { .kind = CHANGE_REWRAP, .name = "proven" }, 1 },
        { "rewrap: the new form opens wrong", { .kind = CHANGE_REWRAP, .name = "proven" }, 2 },
    };
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_key_info *info = NULL;
    uint32_t version = 0;

    (void)unused;
    new_key("proven", HF_ALG_AES_256);
    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_ok(&world.op, hf_keyring_rotate(world.keys, &world.op, txn, RING, &version));
    assert_ok(&world.op, hf_txn_commit(txn, &world.op, &commit));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;

        break_unwrap(cases[i].broken);
        status = do_change(&world.op, &cases[i].change, NULL);
        break_unwrap(0);
        if (status.code != HF_CORRUPT) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
    assert_fails(&world.op, hf_key_get(world.keys, &world.op, RING, "unborn", true, &info),
                 HF_NOT_FOUND);
    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, "proven", &version));
    assert_int_equal(version, 1);
    assert_int_equal(must(&(struct change){ .kind = CHANGE_REWRAP, .name = "proven" }), 1);
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "proven", 1));
}

static void a_proof_compares_what_opens_with_the_check_value(void **unused)
{
    (void)unused;
    new_key("checked", HF_ALG_AES_256);
    break_unwrap(1);
    expect("a proof of a version that opens wrong",
           hf_key_prove(world.keys, &world.op, RING, "checked", 1), HF_CORRUPT, HF_CAUSE_ALTERED);
    break_unwrap(0);
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "checked", 1));
    must(&(struct change){ .kind = CHANGE_ROTATE_CANDIDATE, .name = "checked" });
    break_unwrap(1);
    expect("a proof of a candidate that opens wrong",
           hf_key_prove(world.keys, &world.op, RING, "checked", 2), HF_CORRUPT, HF_CAUSE_ALTERED);
    break_unwrap(0);
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "checked", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrapping_that_opens_to_something_else_is_never_stored),
        cmocka_unit_test(a_proof_compares_what_opens_with_the_check_value),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
