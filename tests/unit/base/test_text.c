/* Hex, percent encoding, patterns, UTF-8, dates and numbers. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/utf8.h"
#include "test.h"

static struct hf_env env;

static struct hf_op *new_op(struct hf_op *op)
{
    hf_op_init(op, &env);
    return op;
}

static void hex_goes_both_ways(void **unused)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) back = hf_buf_new();
    uint8_t all[256];
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    hf_hex_add(text, hf_bytes_of(all, sizeof all));
    for (size_t i = 0; i < sizeof all; i++) {
        HF_AUTO_STRING expected = hf_format("%02zx", i);

        assert_memory_equal(text->data + 2 * i, expected, 2);
    }
    assert_ok(&op, hf_hex_decode(new_op(&op), hf_buf_bytes(text), back));
    assert_true(hf_bytes_equal(hf_buf_bytes(back), hf_bytes_of(all, sizeof all)));
}

static void hex_is_read_in_both_cases_and_nothing_else(void **unused)
{
    struct hf_op op;

    (void)unused;
    for (unsigned c = 0; c < 256; c++) {
        HF_AUTO(buf) out = hf_buf_new();
        const uint8_t text[2] = { '1', (uint8_t)c };
        const char *digit = c != 0 ? strchr("0123456789abcdefABCDEF", (int)c) : NULL;
        struct hf_status status = hf_hex_decode(new_op(&op), hf_bytes_of(text, 2), out);
        char *end;
        char one[2] = { (char)c, '\0' };

        if ((status.code == HF_OK) != (digit != NULL)) {
            fail_msg("character %u gives %s", c, hf_code_name(status.code));
        }
        assert_int_equal(out->len, digit != NULL);
        if (digit != NULL) {
            assert_int_equal(out->data[0], 16 + strtol(one, &end, 16));
        }
    }
}

static void an_odd_hex_text_is_refused(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op;

    (void)unused;
    assert_fails(&op, hf_hex_decode(new_op(&op), hf_bytes_of_text("abc"), out), HF_INVALID);
    assert_int_equal(out->len, 0);
    assert_ok(&op, hf_hex_decode(&op, HF_BYTES_NONE, out));
}

static void percent_encoding_leaves_unreserved_characters(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    hf_percent_add(out, hf_bytes_of("azAZ09-._~ /%+\"\xc3\xbc\0", 18));
    assert_string_equal(hf_buf_text(out), "azAZ09-._~%20%2F%25%2B%22%C3%BC%00");
}

static void percent_decoding_follows_the_table(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
        bool plus_is_space;
        const char *result; /* NULL: refused */
    } cases[] = {
        { "nothing", "", false, "" },
        { "plain", "orders", false, "orders" },
        { "an escape", "a%2Fb", false, "a/b" },
        { "lower-case digits", "%c3%bc", false, "\xc3\xbc" },
        { "an escape at the end", "a%20", false, "a " },
        { "a plus in a path", "a+b", false, "a+b" },
        { "a plus in a form", "a+b", true, "a b" },
        { "an escaped plus in a form", "a%2Bb", true, "a+b" },
        { "is decoded once", "%2541", false, "%41" },
        { "one digit", "%4", false, NULL },
        { "no digit", "%", false, NULL },
        { "one digit then another character", "%4g", false, NULL },
        { "a foreign digit first", "%g4", false, NULL },
        { "a percent sign instead of a digit", "%%41", false, NULL },
        { "a broken one behind a good one", "%41%", false, NULL },
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) out = hf_buf_new();
        struct hf_status status = hf_percent_decode(new_op(&op), hf_bytes_of_text(cases[i].text),
                                                    cases[i].plus_is_space, out);

        if ((status.code == HF_OK) != (cases[i].result != NULL)) {
            fail_msg("%s: %s", cases[i].says, hf_code_name(status.code));
        }
        if (strcmp(hf_buf_text(out), cases[i].result != NULL ? cases[i].result : "") != 0) {
            fail_msg("%s: got \"%s\"", cases[i].says, hf_buf_text(out));
        }
    }
}

static void patterns_match_whole_texts(void **unused)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        { "", "", true },
        { "", "a", false },
        { "*", "", true },
        { "*", "anything/at.all", true },
        { "**", "x", true },
        { "orders", "orders", true },
        { "orders", "orders2", false },
        { "orders2", "orders", false },
        { "orders-*", "orders-eu", true },
        { "orders-*", "orders-", true },
        { "orders-*", "orders", false },
        { "*-eu", "orders-eu", true },
        { "*-eu", "orders-eu-2", false },
        { "*-eu", "a-eu-eu", true },
        { "a*b*c", "a-b-b-c", true },
        { "a*b*c", "a-c-b", false },
        { "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
        { "a?c", "abc", false },
        { "[a]", "a", false },
        { "a\\*", "a*", false },
        { "Orders", "orders", false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_pattern_matches(cases[i].pattern, cases[i].text) != cases[i].matches) {
            fail_msg("pattern \"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
        }
    }
}

static const struct {
    const char *says;
    const char *text;
    size_t len;
    bool valid;
} utf8_cases[] = {
    { "empty", "", 0, true },
    { "ASCII", "plain", 5, true },
    { "long ASCII", "0123456789abcdef0123456789abcdef!", 33, true },
    { "the last ASCII character", "\x7f", 1, true },
    { "NUL", "a\0b", 3, false },
    { "NUL in a whole word", "abc\0efgh", 8, false },
    { "U+0080", "\xc2\x80", 2, true },
    { "U+07FF", "\xdf\xbf", 2, true },
    { "U+0800", "\xe0\xa0\x80", 3, true },
    { "U+D7FF", "\xed\x9f\xbf", 3, true },
    { "U+E000", "\xee\x80\x80", 3, true },
    { "U+FFFF", "\xef\xbf\xbf", 3, true },
    { "U+10000", "\xf0\x90\x80\x80", 4, true },
    { "U+10FFFF", "\xf4\x8f\xbf\xbf", 4, true },
    { "U+110000", "\xf4\x90\x80\x80", 4, false },
    { "a first byte that never is", "\xf5\x80\x80\x80", 4, false },
    { "0xff", "\xff", 1, false },
    { "a surrogate", "\xed\xa0\x80", 3, false },
    { "NUL in two bytes", "\xc0\x80", 2, false },
    { "a slash in two bytes", "\xc0\xaf", 2, false },
    { "overlong in two bytes", "\xc1\xbf", 2, false },
    { "overlong in three bytes", "\xe0\x9f\xbf", 3, false },
    { "overlong in four bytes", "\xf0\x8f\xbf\xbf", 4, false },
    { "a lone continuation", "\x80", 1, false },
    { "cut after one of two", "a\xc3", 2, false },
    { "cut after two of three", "\xe2\x82", 2, false },
    { "cut after three of four", "\xf0\x9f\x92", 3, false },
    { "continued by ASCII", "\xe2\x82 ", 3, false },
    { "bad behind eight good ones", "abcdefgh\xff", 9, false },
};

static void utf8_is_checked(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(utf8_cases); i++) {
        struct hf_bytes text = hf_bytes_of(utf8_cases[i].text, utf8_cases[i].len);

        if (hf_text_is_utf8(text) != utf8_cases[i].valid) {
            fail_msg("%s", utf8_cases[i].says);
        }
    }
}

static void every_code_point_is_written_as_it_is_read(void **unused)
{
    (void)unused;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        uint8_t bytes[HF_UTF8_MAX];
        size_t len = hf_utf8_put(code_point, bytes);
        bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;

        if (hf_utf8_len(hf_bytes_of(bytes, len), 0) != (surrogate ? 0 : len)) {
            fail_msg("U+%04X", code_point);
        }
    }
}

static void dates_are_gregorian(void **unused)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 999, "1970-01-01T00:00:00.999Z" },
        { 68169600000U, "1972-02-29T00:00:00.000Z" },
        { 951782399999U, "2000-02-28T23:59:59.999Z" },
        { 951782400000U, "2000-02-29T00:00:00.000Z" },
        { 951868800000U, "2000-03-01T00:00:00.000Z" },
        { 1735689599000U, "2024-12-31T23:59:59.000Z" },
        { 1795303860123U, "2026-11-21T23:31:00.123Z" },
        { 4107542399000U, "2100-02-28T23:59:59.000Z" },
        { 4107542400000U, "2100-03-01T00:00:00.000Z" },
        { 253402300799999U, "9999-12-31T23:59:59.999Z" },
        { 253402300800000U, "10000-01-01T00:00:00.000Z" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) out = hf_buf_new();

        hf_date_add(out, cases[i].ms);
        assert_string_equal(hf_buf_text(out), cases[i].text);
    }
}

static void numbers_are_whole_and_bounded(void **unused)
{
    static const struct {
        const char *text;
        uint64_t max;
        enum hf_code code;
        uint64_t value;
    } cases[] = {
        { "0", UINT64_MAX, HF_OK, 0 },
        { "7", 7, HF_OK, 7 },
        { "8", 7, HF_INVALID, 0 },
        { "10", 7, HF_INVALID, 0 },
        { "99", 100, HF_OK, 99 },
        { "100", 100, HF_OK, 100 },
        { "101", 100, HF_INVALID, 0 },
        { "1000", 100, HF_INVALID, 0 },
        { "18446744073709551615", UINT64_MAX, HF_OK, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, HF_INVALID, 0 },
        { "99999999999999999999999", UINT64_MAX, HF_INVALID, 0 },
        { "", 9, HF_INVALID, 0 },
        { "-1", 9, HF_INVALID, 0 },
        { "+1", 9, HF_INVALID, 0 },
        { " 1", 9, HF_INVALID, 0 },
        { "1 ", 9, HF_INVALID, 0 },
        { "1x", 99, HF_INVALID, 0 },
        { "0x1", 9, HF_INVALID, 0 },
        { "1e3", 9999, HF_INVALID, 0 },
        { "007", 9, HF_INVALID, 0 },
        { "00", 9, HF_INVALID, 0 },
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        uint64_t value = 4711;
        struct hf_status status = hf_parse_u64(new_op(&op), cases[i].text, cases[i].max, &value);

        if (status.code != cases[i].code ||
            value != (status.code == HF_OK ? cases[i].value : 4711)) {
            fail_msg("\"%s\" up to %llu: %s", cases[i].text, (unsigned long long)cases[i].max,
                     hf_code_name(status.code));
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(hex_is_read_in_both_cases_and_nothing_else),
        cmocka_unit_test(an_odd_hex_text_is_refused),
        cmocka_unit_test(percent_encoding_leaves_unreserved_characters),
        cmocka_unit_test(percent_decoding_follows_the_table),
        cmocka_unit_test(patterns_match_whole_texts),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(every_code_point_is_written_as_it_is_read),
        cmocka_unit_test(dates_are_gregorian),
        cmocka_unit_test(numbers_are_whole_and_bounded),
    };

    hf_env_system(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
