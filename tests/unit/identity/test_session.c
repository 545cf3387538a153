/* Cookies taken back, and secrets that are known before they sign: on this node and on others. */
#include <stdio.h>
#include <string.h>

#include "small_world.h"

#include "base/alloc.h"
#include "base/text.h"
#include "identity/cookie.h"
#include "identity/cookie_record.h"

#define VALIDITY_MS 36000000U
#define MINUTE_MS   60000U
#define PATH        "secret/hadoop-cookie"

/* Two nodes on one store: each takes the record over when it is applied, neither refreshes. */
static struct hf_cookies *here;
static struct hf_cookies *there;

static int setup(void **unused)
{
    (void)unused;
    small_world.now_ms = WORLD_START_MS;
    small_world_new_store();
    here = hf_cookies_new(small_world.seal, 0);
    there = hf_cookies_new(small_world.seal, 0);
    hf_cookies_follow(here);
    hf_cookies_follow(there);
    small_world_unlock();
    assert_ok(&small_world.op, hf_cookies_refresh(here, &small_world.op));
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    hf_seal_lock(small_world.seal);
    hf_cookies_free(here);
    hf_cookies_free(there);
    small_world_drop_store();
    return 0;
}

static struct hf_buf *made_by(struct hf_cookies *cookies, const char *user)
{
    struct hf_buf *value = hf_buf_new();

    assert_ok(&small_world.op,
              hf_cookies_make(cookies, &small_world.op, user, HF_COOKIE_PSEUDO, value));
    return value;
}

static struct hf_status verify(struct hf_cookies *cookies, const struct hf_buf *value)
{
    struct hf_cookie cookie;

    return hf_cookies_verify(cookies, &small_world.op, hf_buf_bytes(value), &cookie);
}

static struct hf_status end(struct hf_cookies *cookies, const char *user)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_op *op = &small_world.op;
    struct hf_status status;

    HF_TRY(hf_txn_new(small_world.seal, op, &txn));
    HF_TRY(hf_cookies_end_stage(cookies, op, txn, user));
    status = hf_txn_commit(txn, op, &commit);
    hf_secret_free(commit.result);
    return status;
}

/* As it is in the store; the caller is done with it. */
static uint64_t stored(struct hf_cookie_record *out)
{
    HF_AUTO(opened) opened = NULL;

    *out = (struct hf_cookie_record){ 0 };
    assert_ok(&small_world.op,
              hf_seal_get(small_world.seal, &small_world.op, HF_KIND_SECRET, PATH, &opened));
    assert_ok(&small_world.op,
              hf_cookie_record_read(&small_world.op, hf_secret_bytes(opened->plain), out));
    return opened->revision;
}

static struct hf_buf *signed_by(unsigned secret, const char *text)
{
    struct hf_buf *value = hf_buf_new();
    struct hf_cookie_record record;

    (void)stored(&record);
    hf_buf_add_format(value, "%s&s=", text);
    assert_ok(&small_world.op, hf_cookie_sign(small_world.crypto, &small_world.op,
                                              hf_secret_bytes(record.secrets[secret].bytes),
                                              hf_bytes_of_text(text), value));
    hf_cookie_record_done(&record);
    return value;
}

static void what_one_node_makes_is_good_on_another_that_looks_at_nothing(void **unused)
{
    HF_AUTO(buf) value = made_by(here, "alice");

    (void)unused;
    assert_ok(&small_world.op, verify(there, value));
}

static void the_next_secret_is_good_before_it_signs(void **unused)
{
    HF_AUTO(buf) next = signed_by(HF_COOKIE_NEXT, "u=a&p=a&t=simple-dt&e=9999999999999");

    (void)unused;
    assert_ok(&small_world.op, verify(here, next));
    assert_ok(&small_world.op, verify(there, next));
}

static void a_roll_makes_current_what_was_next(void **unused)
{
    struct hf_cookie_record before;
    struct hf_cookie_record after;

    (void)unused;
    (void)stored(&before);
    small_world_pass(VALIDITY_MS);
    assert_ok(&small_world.op, hf_cookies_refresh(here, &small_world.op));
    (void)stored(&after);
    assert_true(hf_secret_equal(after.secrets[HF_COOKIE_PREVIOUS].bytes,
                                before.secrets[HF_COOKIE_CURRENT].bytes));
    assert_true(hf_secret_equal(after.secrets[HF_COOKIE_CURRENT].bytes,
                                before.secrets[HF_COOKIE_NEXT].bytes));
    assert_false(
        hf_secret_equal(after.secrets[HF_COOKIE_NEXT].bytes, before.secrets[HF_COOKIE_NEXT].bytes));
    assert_int_equal(after.rolls_at_ms, small_world.now_ms + VALIDITY_MS);
    hf_cookie_record_done(&before);
    hf_cookie_record_done(&after);
}

static void cookies_of_a_user_are_taken_back_everywhere_at_once(void **unused)
{
    HF_AUTO(buf) alice = made_by(here, "alice");
    HF_AUTO(buf) bob = made_by(here, "bob");

    (void)unused;
    /* Remembered as good by both. */
    assert_ok(&small_world.op, verify(here, alice));
    assert_ok(&small_world.op, verify(there, alice));

    assert_ok(&small_world.op, end(here, "alice"));
    assert_fails(&small_world.op, verify(here, alice), HF_UNAUTHENTICATED);
    assert_string_equal(small_world.op.text, "AuthenticationToken expired");
    assert_fails(&small_world.op, verify(there, alice), HF_UNAUTHENTICATED);
    assert_ok(&small_world.op, verify(here, bob));
    assert_ok(&small_world.op, verify(there, bob));
}

static void a_cookie_made_after_that_is_good_at_once_and_can_be_taken_back_again(void **unused)
{
    (void)unused;
    for (int turn = 0; turn < 5; turn++) {
        HF_AUTO(buf) old = made_by(here, "alice");
        HF_AUTO(buf) fresh = NULL;

        assert_ok(&small_world.op, end(there, "alice"));
        fresh = made_by(turn % 2 == 0 ? here : there, "alice");
        assert_fails(&small_world.op, verify(here, old), HF_UNAUTHENTICATED);
        assert_ok(&small_world.op, verify(here, fresh));
        assert_ok(&small_world.op, verify(there, fresh));
    }
}

static void a_clock_that_is_ahead_does_not_save_a_cookie(void **unused)
{
    HF_AUTO(buf) value = NULL;

    (void)unused;
    small_world.now_ms += HF_COOKIE_SKEW_MS;
    value = made_by(there, "alice");
    small_world.now_ms -= HF_COOKIE_SKEW_MS;
    assert_ok(&small_world.op, end(here, "alice"));
    assert_fails(&small_world.op, verify(here, value), HF_UNAUTHENTICATED);
}

static void a_roll_does_not_save_a_cookie(void **unused)
{
    HF_AUTO(buf) value = NULL;

    (void)unused;
    small_world_pass(VALIDITY_MS - MINUTE_MS);
    value = made_by(here, "alice");
    assert_ok(&small_world.op, end(here, "alice"));
    small_world_pass(MINUTE_MS);
    assert_ok(&small_world.op, hf_cookies_refresh(there, &small_world.op));
    assert_fails(&small_world.op, verify(here, value), HF_UNAUTHENTICATED);
    assert_string_equal(small_world.op.text, "AuthenticationToken expired");
}

static void all_cookies_are_taken_back_by_new_secrets(void **unused)
{
    HF_AUTO(buf) alice = made_by(here, "alice");
    HF_AUTO(buf) next = signed_by(HF_COOKIE_NEXT, "u=a&p=a&t=simple-dt&e=9999999999999");
    HF_AUTO(buf) fresh = NULL;

    (void)unused;
    assert_ok(&small_world.op, verify(there, alice));
    assert_ok(&small_world.op, end(here, NULL));
    assert_fails(&small_world.op, verify(here, alice), HF_UNAUTHENTICATED);
    assert_fails(&small_world.op, verify(there, alice), HF_UNAUTHENTICATED);
    assert_fails(&small_world.op, verify(there, next), HF_UNAUTHENTICATED);
    fresh = made_by(here, "alice");
    assert_ok(&small_world.op, verify(there, fresh));
}

static void a_refresh_brings_nothing_back(void **unused)
{
    HF_AUTO(buf) alice = made_by(here, "alice");

    (void)unused;
    assert_ok(&small_world.op, end(here, "alice"));
    assert_ok(&small_world.op, hf_cookies_refresh(there, &small_world.op));
    assert_fails(&small_world.op, verify(there, alice), HF_UNAUTHENTICATED);
}

static void the_list_is_there_again_after_the_next_unlock(void **unused)
{
    HF_AUTO(buf) alice = made_by(here, "alice");
    HF_AUTO(buf) bob = made_by(here, "bob");

    (void)unused;
    assert_ok(&small_world.op, end(here, "alice"));
    hf_seal_lock(small_world.seal);
    assert_fails(&small_world.op, verify(here, bob), HF_WRONG_STATE);
    small_world_unlock();
    assert_fails(&small_world.op, verify(here, alice), HF_UNAUTHENTICATED);
    assert_ok(&small_world.op, verify(here, bob));
}

static void a_user_is_taken_off_the_list_when_his_last_cookie_has_ended(void **unused)
{
    static const uint64_t kept_ms = VALIDITY_MS + 2 * (uint64_t)HF_COOKIE_SKEW_MS;
    struct hf_cookie_record record;

    (void)unused;
    assert_ok(&small_world.op, end(here, "alice"));
    small_world_pass(kept_ms);
    assert_ok(&small_world.op, hf_cookies_refresh(here, &small_world.op));
    (void)stored(&record);
    assert_int_equal(record.end_count, 1);
    assert_string_equal(record.ends[0].user, "alice");
    hf_cookie_record_done(&record);

    small_world_pass(1);
    assert_ok(&small_world.op, hf_cookies_refresh(here, &small_world.op));
    (void)stored(&record);
    assert_int_equal(record.end_count, 0);
    hf_cookie_record_done(&record);
}

static void names_that_no_cookie_has_cannot_be_ended(void **unused)
{
    static const char *const names[] = { "", "a&b", "a=b" };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        assert_fails(&small_world.op, end(here, names[i]), HF_INVALID);
    }
}

static void what_cannot_be_read_makes_no_cookie_good(void **unused)
{
    HF_AUTO(buf) alice = made_by(here, "alice");
    struct hf_cookie_record record;
    uint64_t revision = stored(&record);

    (void)unused;
    hf_cookie_record_done(&record);
    assert_fails(&small_world.op,
                 small_world_put(HF_KIND_SECRET, PATH, revision, hf_bytes_of_text("\x03 later")),
                 HF_CORRUPT);
    assert_fails(&small_world.op, verify(here, alice), HF_WRONG_STATE);
    assert_fails(&small_world.op, verify(there, alice), HF_WRONG_STATE);
    assert_fails(&small_world.op, hf_cookies_refresh(here, &small_world.op), HF_CORRUPT);
}

/* --- nodes with different settings --- */

static void a_node_makes_no_cookie_that_lives_longer_than_the_record_says(void **unused)
{
    struct hf_cookies *longer = hf_cookies_new(small_world.seal, 2 * (uint64_t)VALIDITY_MS);
    struct hf_cookie_record record;
    struct hf_cookie cookie;
    HF_AUTO(buf) before = NULL;
    HF_AUTO(buf) after = NULL;
    struct hf_op *op = &small_world.op;

    (void)unused;
    hf_cookies_follow(longer);
    hf_seal_lock(small_world.seal);
    small_world_unlock();
    before = made_by(longer, "alice");
    assert_ok(op, hf_cookies_verify(here, op, hf_buf_bytes(before), &cookie));
    assert_int_equal(cookie.expires_ms, WORLD_START_MS + VALIDITY_MS);

    assert_ok(op, hf_cookies_refresh(longer, op));
    (void)stored(&record);
    assert_int_equal(record.secrets[HF_COOKIE_CURRENT].validity_ms, 2 * (uint64_t)VALIDITY_MS);
    assert_int_equal(record.rolls_at_ms, WORLD_START_MS + 2 * (uint64_t)VALIDITY_MS);
    hf_cookie_record_done(&record);
    after = made_by(longer, "alice");
    assert_ok(op, hf_cookies_verify(here, op, hf_buf_bytes(after), &cookie));
    assert_int_equal(cookie.expires_ms, WORLD_START_MS + 2 * (uint64_t)VALIDITY_MS);

    /* The node with the short setting takes back what the other has made, and both go on. */
    assert_ok(op, end(here, "alice"));
    assert_fails(op, verify(here, after), HF_UNAUTHENTICATED);
    hf_buf_free(HF_TAKE(after));
    after = made_by(here, "alice");
    assert_ok(op, verify(longer, after));
    assert_ok(op, hf_cookies_refresh(here, op));
    assert_ok(op, verify(here, after));

    hf_seal_lock(small_world.seal);
    hf_cookies_free(longer);
    /* The seal would tell it of the next unlock. */
    small_world_close_seal();
    small_world_open_seal();
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(what_one_node_makes_is_good_on_another_that_looks_at_nothing),
        test_of(the_next_secret_is_good_before_it_signs),
        test_of(a_roll_makes_current_what_was_next),
        test_of(cookies_of_a_user_are_taken_back_everywhere_at_once),
        test_of(a_cookie_made_after_that_is_good_at_once_and_can_be_taken_back_again),
        test_of(a_clock_that_is_ahead_does_not_save_a_cookie),
        test_of(a_roll_does_not_save_a_cookie),
        test_of(all_cookies_are_taken_back_by_new_secrets),
        test_of(a_refresh_brings_nothing_back),
        test_of(the_list_is_there_again_after_the_next_unlock),
        test_of(a_user_is_taken_off_the_list_when_his_last_cookie_has_ended),
        test_of(names_that_no_cookie_has_cannot_be_ended),
        test_of(what_cannot_be_read_makes_no_cookie_good),
        test_of(a_node_makes_no_cookie_that_lives_longer_than_the_record_says),
    };

    return cmocka_run_group_tests_name("identity session", tests, small_world_start,
                                       small_world_stop);
}
