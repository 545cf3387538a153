/* The record of the cookie secrets: its two formats, and what is no record. */
#include <string.h>

#include "small_world.h"

#include "base/codec.h"
#include "base/text.h"
#include "identity/cookie_record.h"

/* docs/formats/cookie.md */
static const char format_1[] =
    "01000001a31a81a10000000020000102030405060708090a0b0c0d0e0f1011121314"
    "15161718191a1b1c1d1e1f00000000";
static const char format_2[] =
    "02000001a31a81a100000000000225510000000020000102030405060708090a0b0c0d0e0f10111213141516171819"
    "1a"
    "1b1c1d1e1f000000000000000000000000000000000225510000000020202122232425262728292a2b2c2d2e2f3031"
    "32333435363738393a3b3c3d3e3f0000000200000005616c696365000001a31a8634e000000003626f62000001a31a"
    "8"
    "634e1";

static struct hf_status read_hex(const char *hex, struct hf_cookie_record *out)
{
    HF_AUTO(buf) plain = hf_buf_new();

    assert_ok(&small_world.op, hf_hex_decode(&small_world.op, hf_bytes_of_text(hex), plain));
    return hf_cookie_record_read(&small_world.op, hf_buf_bytes(plain), out);
}

static void format_2_is_that_of_the_document_and_is_written_as_it_was_read(void **unused)
{
    struct hf_cookie_record record = { 0 };
    HF_AUTO(secret) written = NULL;
    HF_AUTO(buf) hex = hf_buf_new();

    (void)unused;
    assert_ok(&small_world.op, read_hex(format_2, &record));
    assert_int_equal(record.rolls_at_ms, 1800036000000);
    assert_int_equal(record.secrets[HF_COOKIE_CURRENT].validity_ms, 36000000);
    assert_int_equal(hf_secret_bytes(record.secrets[HF_COOKIE_CURRENT].bytes).data[31], 0x1f);
    assert_null(record.secrets[HF_COOKIE_PREVIOUS].bytes);
    assert_int_equal(hf_secret_bytes(record.secrets[HF_COOKIE_NEXT].bytes).data[31], 0x3f);
    assert_int_equal(record.end_count, 2);
    assert_int_equal(hf_cookie_refused_until(&record, "alice"), 1800036300000);
    assert_int_equal(hf_cookie_refused_until(&record, "bob"), 1800036300001);
    assert_int_equal(hf_cookie_refused_until(&record, "carol"), 0);

    assert_ok(&small_world.op, hf_cookie_record_write(&small_world.op, &record, &written));
    hf_hex_add(hex, hf_secret_bytes(written));
    assert_string_equal(hf_buf_text(hex), format_2);
    hf_cookie_record_done(&record);
}

static void format_1_still_opens_and_gets_a_next_secret_that_does_not_sign_yet(void **unused)
{
    struct hf_cookie_record record = { 0 };
    struct hf_op *op = &small_world.op;
    bool changed = false;

    (void)unused;
    small_world.now_ms = WORLD_START_MS + 1000;
    assert_ok(op, read_hex(format_1, &record));
    assert_int_equal(record.rolls_at_ms, 1800036000000);
    assert_int_equal(record.secrets[HF_COOKIE_CURRENT].validity_ms, 0);
    assert_int_equal(hf_secret_bytes(record.secrets[HF_COOKIE_CURRENT].bytes).data[31], 0x1f);
    assert_null(record.secrets[HF_COOKIE_NEXT].bytes);
    /* Nobody knows how long the cookies of then live. */
    assert_fails(op, hf_cookie_record_end(op, "alice", &record), HF_WRONG_STATE);

    assert_ok(op, hf_cookie_record_update(small_world.crypto, op, 36000000, &record, &changed));
    assert_true(changed);
    assert_int_equal(hf_secret_bytes(record.secrets[HF_COOKIE_CURRENT].bytes).data[31], 0x1f);
    assert_non_null(record.secrets[HF_COOKIE_NEXT].bytes);
    assert_int_equal(record.rolls_at_ms, WORLD_START_MS + 1000 + 36000000);
    assert_ok(op, hf_cookie_record_update(small_world.crypto, op, 36000000, &record, &changed));
    assert_false(changed);
    hf_cookie_record_done(&record);
}

/* Replaces what stands once in the hex text. */
static struct hf_buf *with(const char *old, const char *fresh)
{
    struct hf_buf *out = hf_buf_new();
    const char *at = strstr(format_2, old);

    assert_non_null(at);
    hf_buf_add_bytes(out, hf_bytes_of(format_2, (size_t)(at - format_2)));
    hf_buf_add_text(out, fresh);
    hf_buf_add_text(out, at + strlen(old));
    return out;
}

static void what_is_no_record_is_refused(void **unused)
{
    static const struct {
        const char *says;
        const char *old;
        const char *fresh;
    } cases[] = {
        { "an unknown format", "02000001a31a81a1", "03000001a31a81a1" },
        { "format 2 said to be 1", "02000001a31a81a1", "01000001a31a81a1" },
        { "no current secret",
          "00000020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "00000000" },
        { "users out of order", "616c696365", "7a6c696365" },
        { "one user twice", "00000003626f62", "00000005616c696365" },
        { "a user without a name", "00000005616c696365", "00000000" },
        { "a name with a zero byte", "616c696365", "616c690065" },
        { "fewer users than it says", "00000002000000056", "00000003000000056" },
        { "more users than it says", "00000002000000056", "00000001000000056" },
        { "more users than there may be", "00000002000000056", "00002711000000056" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_cookie_record record = { 0 };
        HF_AUTO(buf) hex = with(cases[i].old, cases[i].fresh);
        struct hf_status status = read_hex(hf_buf_text(hex), &record);

        if (status.code != HF_CORRUPT) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
        hf_cookie_record_done(&record);
    }
}

static void a_record_cut_short_anywhere_is_refused(void **unused)
{
    HF_AUTO(buf) plain = hf_buf_new();

    (void)unused;
    assert_ok(&small_world.op, hf_hex_decode(&small_world.op, hf_bytes_of_text(format_2), plain));
    for (size_t len = 0; len < plain->len; len++) {
        struct hf_cookie_record record = { 0 };

        if (hf_cookie_record_read(&small_world.op, hf_bytes_of(plain->data, len), &record).code !=
            HF_CORRUPT) {
            fail_msg("the first %zu bytes are taken for a record", len);
        }
        hf_cookie_record_done(&record);
    }
}

static void the_list_has_a_limit_and_is_found_by_name_whatever_the_order(void **unused)
{
    struct hf_cookie_record record = { 0 };
    struct hf_op *op = &small_world.op;
    bool changed = false;

    (void)unused;
    small_world.now_ms = WORLD_START_MS;
    assert_ok(op, hf_cookie_record_update(small_world.crypto, op, 36000000, &record, &changed));
    for (unsigned i = 0; i < HF_COOKIE_ENDS_MAX; i++) {
        HF_AUTO_STRING user = hf_format("user%u", i * 7919 % HF_COOKIE_ENDS_MAX);

        assert_ok(op, hf_cookie_record_end(op, user, &record));
    }
    for (unsigned i = 0; i < HF_COOKIE_ENDS_MAX; i++) {
        HF_AUTO_STRING user = hf_format("user%u", i);

        assert_int_not_equal(hf_cookie_refused_until(&record, user), 0);
    }
    assert_fails(op, hf_cookie_record_end(op, "one-more", &record), HF_LIMITED);
    assert_int_equal(hf_cookie_refused_until(&record, "one-more"), 0);
    /* Who is on it already needs no room, and later there is room again. */
    assert_ok(op, hf_cookie_record_end(op, "user1", &record));
    small_world_pass(36000000 + 2 * HF_COOKIE_SKEW_MS + 2);
    assert_ok(op, hf_cookie_record_end(op, "one-more", &record));
    assert_int_equal(record.end_count, 1);
    hf_cookie_record_done(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_2_is_that_of_the_document_and_is_written_as_it_was_read),
        cmocka_unit_test(format_1_still_opens_and_gets_a_next_secret_that_does_not_sign_yet),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(a_record_cut_short_anywhere_is_refused),
        cmocka_unit_test(the_list_has_a_limit_and_is_found_by_name_whatever_the_order),
    };

    return cmocka_run_group_tests_name("identity cookie record", tests, small_world_start,
                                       small_world_stop);
}
