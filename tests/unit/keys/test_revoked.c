/* What was revoked on a node by hand is refused there, whatever the index says, and nothing else.
 */
#include "world.h"

#include <stdlib.h>

static const uint8_t zeros[32];

static int clean(void **unused)
{
    (void)unused;
    hf_keys_set_revoked(world.keys, NULL, 0);
    return 0;
}

static struct hf_status wrap(struct hf_op *op, const char *name, uint32_t version)
{
    uint8_t out[32];
    uint32_t used = 0;

    return hf_use_hadoop_wrap(world.keys, op, RING, name, version, zeros, hf_bytes_of(zeros, 32),
                              out, &used);
}

static struct hf_status unwrap(struct hf_op *op, const char *name, uint32_t version)
{
    uint8_t out[32];

    return hf_use_hadoop_unwrap(world.keys, op, RING, name, version, zeros, hf_bytes_of(zeros, 32),
                                out);
}

static struct hf_status export(struct hf_op *op, const char *name, uint32_t version)
{
    HF_AUTO(secret) material = NULL;

    return hf_key_export(world.keys, op, RING, name, version, &material);
}

static void revoke_in(const char *keyring, const char *name, uint32_t version,
                      enum hf_revoked_as as)
{
    const struct hf_revoked item = {
        .keyring = keyring, .key = name, .version = version, .as = as, .seq = 4711
    };

    hf_keys_set_revoked(world.keys, &item, 1);
}

static void revoke(const char *name, uint32_t version, enum hf_revoked_as as)
{
    revoke_in(RING, name, version, as);
}

static void each_state_leaves_what_it_leaves_everywhere(void **unused)
{
    static const struct {
        enum hf_revoked_as as;
        bool whole_key;
        bool opens;
    } cases[] = {
        { HF_REVOKED_DELETED, true, false },     { HF_REVOKED_DESTROYED, true, false },
        { HF_REVOKED_DESTROYED, false, false },  { HF_REVOKED_SUSPENDED, false, false },
        { HF_REVOKED_DEACTIVATED, false, true }, { HF_REVOKED_COMPROMISED, false, true },
    };
    struct hf_op op = world_op(0);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING name = hf_format("state-%zu", i);
        enum hf_code opens = cases[i].opens ? HF_OK : HF_WRONG_STATE;
        enum hf_code others = cases[i].whole_key ? HF_WRONG_STATE : HF_OK;
        enum hf_code unwrapped, wrapped;

        new_key(name, HF_ALG_AES_256);
        (void)rotate(name);
        revoke(name, cases[i].whole_key ? HF_LATEST : 1, cases[i].as);
        unwrapped = unwrap(&op, name, 1).code;
        wrapped = wrap(&op, name, 1).code;
        if (unwrapped != opens || wrapped != HF_WRONG_STATE) {
            fail_msg("%s: opening gave %s, wrapping %s", hf_revoked_as_name(cases[i].as),
                     hf_code_name(unwrapped), hf_code_name(wrapped));
        }
        assert_non_null(strstr(op.text, "commit 4711, which this node has not followed yet"));
        assert_non_null(strstr(op.text, hf_revoked_as_name(cases[i].as)));
        /* The version that was not named, by its number and as the newest. */
        assert_int_equal(unwrap(&op, name, 2).code, others);
        assert_int_equal(wrap(&op, name, HF_LATEST).code, others);
    }
}

/* A proof says that it would open, and another key of the same beginning is another key. */
static void nothing_else_is_refused(void **unused)
{
    struct hf_op op = world_op(0);

    (void)unused;
    new_key("told", HF_ALG_AES_256);
    new_key("told-of", HF_ALG_AES_256);
    revoke("told", HF_LATEST, HF_REVOKED_DESTROYED);
    assert_fails(&op, unwrap(&op, "told", 1), HF_WRONG_STATE);
    assert_fails(&op, export(&op, "told", 1), HF_WRONG_STATE);
    assert_ok(&op, unwrap(&op, "told-of", 1));
    assert_ok(&op, hf_key_prove(world.keys, &op, RING, "told", 1));
    revoke_in("other", "told", HF_LATEST, HF_REVOKED_DESTROYED);
    assert_ok(&op, unwrap(&op, "told", 1));
    hf_keys_set_revoked(world.keys, NULL, 0);
    assert_ok(&op, unwrap(&op, "told", 1));
}

static void contexts_that_were_kept_are_gone_and_none_is_kept_anew(void **unused)
{
    struct hf_op op = world_op(1);
    const struct hf_hot *hot = NULL;

    (void)unused;
    world_restart();
    hot = &world.keys->lanes[1].hot;
    new_key("warm", HF_ALG_AES_256);
    new_key("other", HF_ALG_AES_256);
    assert_ok(&op, wrap(&op, "warm", 1));
    assert_ok(&op, wrap(&op, "other", 1));
    assert_int_equal(hot->count, 2);
    revoke("warm", 1, HF_REVOKED_SUSPENDED);
    assert_int_equal(hot->count, 1);
    assert_fails(&op, wrap(&op, "warm", 1), HF_WRONG_STATE);
    assert_int_equal(hot->count, 1);
}

/* A context that a thread has borrowed meanwhile is not put back. */
static void what_was_lent_does_not_come_back(void **unused)
{
    struct hf_op op = world_op(1);
    const struct hf_hot_ask ask = {
        .name = { RING, "lent-out" },
        .version = 1,
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_HADOOP,
    };
    struct hf_hot_entry *entry = NULL;

    (void)unused;
    world_restart();
    new_key("lent-out", HF_ALG_AES_256);
    assert_ok(&op, hf_hot_borrow(world.keys, &op, &ask, &entry));
    revoke("lent-out", HF_LATEST, HF_REVOKED_DELETED);
    hf_hot_return(world.keys, &op, entry, true);
    assert_int_equal(world.keys->lanes[1].hot.count, 0);
}

static void a_lock_leaves_it_in_force(void **unused)
{
    struct hf_op op = world_op(0);
    struct hf_slot_info slot;

    (void)unused;
    new_key("locked", HF_ALG_AES_256);
    revoke("locked", 1, HF_REVOKED_SUSPENDED);
    hf_seal_lock(world.seal);
    assert_ok(&world.op, hf_seal_unlock(world.seal, &world.op, world.protector, &slot));
    assert_fails(&op, unwrap(&op, "locked", 1), HF_WRONG_STATE);
}

static void what_is_out_of_use_is_told_with_its_last_commit(void **unused)
{
    static const struct {
        const char *says;
        const char *name;
        uint32_t version;
        enum hf_code code;
        enum hf_revoked_as as;
    } cases[] = {
        { "suspended", "mixed", 1, HF_OK, HF_REVOKED_SUSPENDED },
        { "deactivated", "mixed", 2, HF_OK, HF_REVOKED_DEACTIVATED },
        { "compromised", "mixed", 3, HF_OK, HF_REVOKED_COMPROMISED },
        { "active", "mixed", 4, HF_WRONG_STATE, 0 },
        { "no such version", "mixed", 5, HF_NOT_FOUND, 0 },
        { "a live key as a whole", "mixed", HF_LATEST, HF_WRONG_STATE, 0 },
        { "a deleted key", "deleted", HF_LATEST, HF_OK, HF_REVOKED_DELETED },
        { "a version of one", "deleted", 1, HF_WRONG_STATE, 0 },
        { "a destroyed key", "destroyed", HF_LATEST, HF_OK, HF_REVOKED_DESTROYED },
        { "no such key", "nowhere", HF_LATEST, HF_NOT_FOUND, 0 },
        { "no such key's version", "nowhere", 1, HF_NOT_FOUND, 0 },
    };
    struct hf_op op = world_op(0);

    (void)unused;
    new_key("mixed", HF_ALG_AES_256);
    for (int i = 0; i < 3; i++) {
        (void)rotate("mixed");
    }
    set_state("mixed", 1, HF_KEY_SUSPEND);
    set_state("mixed", 2, HF_KEY_DEACTIVATE);
    set_state("mixed", 3, HF_KEY_COMPROMISE);
    new_key("deleted", HF_ALG_AES_256);
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "deleted" });
    new_key("destroyed", HF_ALG_AES_256);
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "destroyed" });
    must(&(struct change){
        .kind = CHANGE_DESTROY, .name = "destroyed", .version = HF_LATEST, .force = true });
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_key_commits commits;
        enum hf_revoked_as as = HF_REVOKED_DELETED;
        uint64_t seq = 0;
        struct hf_status status =
            hf_key_revoked_as(world.keys, &op, RING, cases[i].name, cases[i].version, &as, &seq);

        hf_key_commits(world.keys, &op, RING, cases[i].name, &commits);
        if (status.code != cases[i].code ||
            (status.code == HF_OK && (as != cases[i].as || seq != commits.changed || seq == 0))) {
            fail_msg("%s: got %s, %s, commit %d", cases[i].says, hf_code_name(status.code),
                     hf_revoked_as_name(as), (int)seq);
        }
    }
}

static void the_words_are_read_back_for_what_they_can_be_of(void **unused)
{
    static const struct {
        enum hf_revoked_as as;
        bool of_key, of_version;
    } cases[] = {
        { HF_REVOKED_DELETED, true, false },     { HF_REVOKED_DESTROYED, true, true },
        { HF_REVOKED_SUSPENDED, false, true },   { HF_REVOKED_DEACTIVATED, false, true },
        { HF_REVOKED_COMPROMISED, false, true },
    };
    enum hf_revoked_as as = HF_REVOKED_DELETED;
    struct hf_op op = world_op(0);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const char *name = hf_revoked_as_name(cases[i].as);
        enum hf_code key = hf_revoked_as_parse(&op, name, true, &as).code;

        assert_int_equal(key, cases[i].of_key ? HF_OK : HF_INVALID);
        assert_true(key != HF_OK || as == cases[i].as);
        key = hf_revoked_as_parse(&op, name, false, &as).code;
        assert_int_equal(key, cases[i].of_version ? HF_OK : HF_INVALID);
        assert_true(key != HF_OK || as == cases[i].as);
    }
    assert_fails(&op, hf_revoked_as_parse(&op, "active", false, &as), HF_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_state_leaves_what_it_leaves_everywhere, clean),
        cmocka_unit_test_teardown(nothing_else_is_refused, clean),
        cmocka_unit_test_teardown(contexts_that_were_kept_are_gone_and_none_is_kept_anew, clean),
        cmocka_unit_test_teardown(what_was_lent_does_not_come_back, clean),
        cmocka_unit_test_teardown(a_lock_leaves_it_in_force, clean),
        cmocka_unit_test(what_is_out_of_use_is_told_with_its_last_commit),
        cmocka_unit_test(the_words_are_read_back_for_what_they_can_be_of),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
