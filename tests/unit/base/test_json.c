/* The JSON reader and writer. */
#include <malloc.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "test.h"
#include "test_env.h"
#include "test_secrets.h"

static struct hf_env env;

static struct hf_op *new_op(struct hf_op *op)
{
    hf_op_init(op, &env);
    return op;
}

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
    const char *says;
    const char *text;
    size_t len;
    const char *complaint; /* NULL: it is valid */
} texts[] = {
    { "an empty object", TEXT("{}"), NULL },
    { "an empty array", TEXT("[]"), NULL },
    { "space around", TEXT(" \t\r\n{ \"a\" : 1 } \n"), NULL },
    { "all kinds", TEXT("{\"a\":\"x\",\"b\":-1.5e3,\"c\":true,\"d\":false,\"e\":null,\"f\":[{}]}"),
      NULL },
    { "escapes", TEXT("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\\ud83d\\ude00\"]"), NULL },
    { "brackets in a string", TEXT("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]"), NULL },
    { "brackets behind an escaped quote", TEXT("[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]"),
      NULL },
    { "nesting of 32", TEXT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
      NULL },
    { "nesting of 33", TEXT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
      "deeper than 32 at byte 32" },
    { "nothing", TEXT(""), "not valid at line" },
    { "only space", TEXT("  "), "not valid at line" },
    { "a bare word", TEXT("true"), "not valid at line 1" },
    { "a duplicate name", TEXT("{\"a\":1,\"a\":2}"), "two members of one name" },
    { "a duplicate name by escape", TEXT("{\"a\":1,\"\\u0061\":2}"), "two members of one name" },
    { "something after the end", TEXT("{} x"), "follows after its end" },
    { "a second value", TEXT("{}{}"), "follows after its end" },
    { "a zero byte after the end", TEXT("{}\0"), "zero byte at byte 2" },
    { "a zero byte behind a number", TEXT("[0\0]"), "zero byte at byte 2" },
    { "a zero byte in a string", TEXT("[\"\0\"]"), "zero byte at byte 2" },
    { "an end too early", TEXT("{\"a\":"), "ends too early" },
    { "an open string", TEXT("[\"a"), "ends too early" },
    { "a trailing comma", TEXT("[1,]"), "not valid at line 1" },
    { "single quotes", TEXT("{'a':1}"), "not valid" },
    { "a comment", TEXT("{}// x"), "not valid" },
    { "a raw newline in a string", TEXT("[\"a\nb\"]"), "not valid" },
    { "not UTF-8", TEXT("[\"\xff\"]"), "not UTF-8" },
    { "an overlong form", TEXT("[\"\xc0\xaf\"]"), "not UTF-8" },
    { "an escaped zero", TEXT("[\"\\u0000\"]"), "zero character" },
    { "an escaped zero in a name", TEXT("{\"\\u0000\":1}"), "zero character" },
    { "a lone surrogate", TEXT("[\"\\ud83d\"]"), "not valid" },
    { "a leading zero", TEXT("[01]"), "not valid" },
    { "a plus sign", TEXT("[+1]"), "not valid" },
    { "NaN", TEXT("[NaN]"), "not valid" },
    { "a whole number too large", TEXT("[9223372036854775808]"), "too large" },
    { "a real number too large", TEXT("[1e999]"), "too large" },
    { "the second line", TEXT("{\n \"a\": x}"), "line 2" },
};

static void the_reader_takes_and_refuses_what_the_table_says(void **unused)
{
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        HF_AUTO(json) json = NULL;
        uint8_t *exact = hf_alloc(texts[i].len); /* so that a sanitizer sees reads beyond */
        struct hf_status status;

        memcpy(exact, texts[i].text, texts[i].len);
        status = hf_json_parse(new_op(&op), hf_bytes_of(exact, texts[i].len), &json);
        free(exact);
        if (status.code != (texts[i].complaint != NULL ? HF_INVALID : HF_OK)) {
            fail_msg("%s: %s %s", texts[i].says, hf_code_name(status.code), op.text);
        }
        if (texts[i].complaint != NULL && strstr(op.text, texts[i].complaint) == NULL) {
            fail_msg("%s: %s", texts[i].says, op.text);
        }
    }
}

static void a_complaint_does_not_quote_the_text(void **unused)
{
    static const char *const broken[] = {
        "{\"plaintext\":\"c2VjcmV0\" c2VjcmV0}",
        "{\"plaintext\":c2VjcmV0}",
        "{\"plaintext\":\"c2VjcmV0\",\"c2VjcmV0\":1,\"c2VjcmV0\":2}",
        "{\"plaintext\":\"c2VjcmV0",
        "{\"plaintext\":\"c2VjcmV0\\x\"}",
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(broken); i++) {
        HF_AUTO(json) json = NULL;

        assert_fails(&op, hf_json_parse(new_op(&op), hf_bytes_of_text(broken[i]), &json),
                     HF_INVALID);
        assert_null(strstr(op.text, "c2VjcmV0"));
    }
}

static struct hf_json *parse(const char *text)
{
    struct hf_json *json = NULL;
    struct hf_op op;

    assert_ok(&op, hf_json_parse(new_op(&op), hf_bytes_of_text(text), &json));
    return json;
}

static const char members[] =
    "{\"text\":\"T\\u00fcr\",\"empty\":\"\",\"number\":42,\"zero\":0,\"negative\":-1,\"real\":1.0,"
    "\"yes\":true,\"no\":false,\"null\":null,\"array\":[1,\"two\"],\"object\":{\"x\":1},"
    "\"biggest\":9223372036854775807}";

static void text_members_are_texts(void **unused)
{
    HF_AUTO(json) json = parse(members);
    const char *text = NULL;
    struct hf_op op;

    (void)unused;
    assert_ok(&op, hf_json_text(new_op(&op), json, "text", &text));
    assert_string_equal(text, "T\xc3\xbcr");
    assert_ok(&op, hf_json_text(&op, json, "empty", &text));
    assert_string_equal(text, "");
    assert_fails(&op, hf_json_text(&op, json, "absent", &text), HF_INVALID);
    assert_non_null(strstr(op.text, "\"absent\" is missing"));
    assert_fails(&op, hf_json_text(&op, json, "null", &text), HF_INVALID);
    assert_fails(&op, hf_json_text(&op, json, "number", &text), HF_INVALID);
    assert_non_null(strstr(op.text, "\"number\" is not a text"));
    assert_string_equal(text, "");
    assert_ok(&op, hf_json_text_or(&op, json, "text", "x", &text));
    assert_string_equal(text, "T\xc3\xbcr");
    assert_ok(&op, hf_json_text_or(&op, json, "absent", "x", &text));
    assert_string_equal(text, "x");
    assert_ok(&op, hf_json_text_or(&op, json, "null", "y", &text));
    assert_string_equal(text, "y");
    assert_fails(&op, hf_json_text_or(&op, json, "array", "x", &text), HF_INVALID);
}

static void number_members_are_whole_and_not_negative(void **unused)
{
    static const struct {
        const char *name;
        enum hf_code code;
        uint64_t value;
    } cases[] = {
        { "number", HF_OK, 42 },         { "zero", HF_OK, 0 },
        { "absent", HF_OK, 7 },          { "null", HF_OK, 7 },
        { "biggest", HF_OK, INT64_MAX }, { "negative", HF_INVALID, 0 },
        { "real", HF_INVALID, 0 },       { "text", HF_INVALID, 0 },
        { "yes", HF_INVALID, 0 },        { "object", HF_INVALID, 0 },
    };
    HF_AUTO(json) json = parse(members);
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        uint64_t value = 4711;
        struct hf_status status = hf_json_u64_or(new_op(&op), json, cases[i].name, 7, &value);

        if (status.code != cases[i].code ||
            value != (status.code == HF_OK ? cases[i].value : 4711)) {
            fail_msg("%s: %s %llu", cases[i].name, hf_code_name(status.code),
                     (unsigned long long)value);
        }
    }
}

static void truth_members_are_true_or_false(void **unused)
{
    HF_AUTO(json) json = parse(members);
    bool value = false;
    struct hf_op op;

    (void)unused;
    assert_ok(&op, hf_json_bool_or(new_op(&op), json, "yes", false, &value));
    assert_true(value);
    assert_ok(&op, hf_json_bool_or(&op, json, "no", true, &value));
    assert_false(value);
    assert_ok(&op, hf_json_bool_or(&op, json, "absent", true, &value));
    assert_true(value);
    assert_ok(&op, hf_json_bool_or(&op, json, "null", false, &value));
    assert_false(value);
    assert_fails(&op, hf_json_bool_or(&op, json, "number", false, &value), HF_INVALID);
    assert_fails(&op, hf_json_bool_or(&op, json, "text", false, &value), HF_INVALID);
}

static void arrays_and_objects_are_views(void **unused)
{
    HF_AUTO(json) json = parse(members);
    const struct hf_json *array = NULL;
    const struct hf_json *object = NULL;
    uint64_t x = 0;
    struct hf_op op;

    (void)unused;
    assert_true(hf_json_is_object(json));
    assert_false(hf_json_is_array(json));
    assert_ok(&op, hf_json_array_or(new_op(&op), json, "array", &array));
    assert_true(hf_json_is_array(array));
    assert_int_equal(hf_json_count(array), 2);
    assert_null(hf_json_string(hf_json_at(array, 0)));
    assert_string_equal(hf_json_string(hf_json_at(array, 1)), "two");
    assert_null(hf_json_at(array, 2));
    assert_ok(&op, hf_json_object_or(&op, json, "object", &object));
    assert_ok(&op, hf_json_u64_or(&op, object, "x", 0, &x));
    assert_int_equal(x, 1);
    assert_fails(&op, hf_json_array_or(&op, json, "object", &array), HF_INVALID);
    assert_fails(&op, hf_json_object_or(&op, json, "array", &object), HF_INVALID);
    assert_ok(&op, hf_json_array_or(&op, json, "null", &array));
    assert_null(array);
    assert_ok(&op, hf_json_object_or(&op, json, "absent", &object));
    assert_null(object);
}

static void members_are_known_or_named(void **unused)
{
    static const char *const all[] = { "a", "b", "c", NULL };
    static const char *const some[] = { "a", "c", NULL };
    HF_AUTO(json) json = parse("{\"a\":1,\"b\":null}");
    HF_AUTO(json) empty = parse("{}");
    struct hf_op op;

    (void)unused;
    assert_true(hf_json_has(json, "a"));
    assert_true(hf_json_has(json, "b"));
    assert_false(hf_json_has(json, "c"));
    assert_ok(&op, hf_json_only(new_op(&op), json, all));
    assert_ok(&op, hf_json_only(&op, empty, some));
    assert_fails(&op, hf_json_only(&op, json, some), HF_INVALID);
    assert_non_null(strstr(op.text, "\"b\""));
}

static void add_name(void *context, const char *name, const struct hf_json *value)
{
    hf_buf_add_format(context, "%s=%s;", name, hf_json_string(value));
}

static void each_walks_in_the_order_of_the_text(void **unused)
{
    HF_AUTO(json) json = parse("{\"z\":\"1\",\"a\":\"2\",\"m\":\"3\",\"b\":\"4\"}");
    HF_AUTO(buf) seen = hf_buf_new();

    (void)unused;
    hf_json_each(json, add_name, seen);
    assert_string_equal(hf_buf_text(seen), "z=1;a=2;m=3;b=4;");
}

static void secret_members_are_decoded_into_secret_memory(void **unused)
{
    HF_AUTO(json) json =
        parse("{\"padded\":\"c2VjcmV0cw==\",\"safe\":\"-_8\",\"empty\":\"\",\"number\":1}");
    HF_AUTO(secret) padded = NULL;
    HF_AUTO(secret) safe = NULL;
    HF_AUTO(secret) empty = NULL;
    struct hf_secret *none = NULL;
    struct hf_op op;

    (void)unused;
    assert_ok(&op, hf_json_secret(new_op(&op), json, "padded", &padded));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(padded), "secrets"));
    assert_true(hf_arena_owns(hf_secret_data(padded)));
    assert_ok(&op, hf_json_secret(&op, json, "safe", &safe));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(safe), "\xfb\xff"));
    assert_ok(&op, hf_json_secret(&op, json, "empty", &empty));
    assert_int_equal(hf_secret_len(empty), 0);
    assert_fails(&op, hf_json_secret(&op, json, "number", &none), HF_INVALID);
    assert_fails(&op, hf_json_secret(&op, json, "absent", &none), HF_INVALID);
    assert_null(none);
}

/* Watches what goes back to the allocator: Jansson's memory must arrive there empty. */
static const char planted[] = "planted-marker-0123456789-planted-marker-0123456789";
static bool watching;
static bool marker_was_freed;

void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
    if (watching && memory != NULL &&
        memmem(memory, malloc_usable_size(memory), planted, sizeof planted - 1) != NULL) {
        marker_was_freed = true;
    }
    __real_free(memory);
}

static void freed_memory_is_wiped(void **unused)
{
    HF_AUTO_STRING good = hf_format("{\"a\":\"%s\",\"%s\":[\"%s\"]}", planted, planted, planted);
    HF_AUTO_STRING bad = hf_format("{\"a\":\"%s\",\"%s\":[\"%s\"]", planted, planted, planted);
    char *control = hf_strdup(planted);
    struct hf_json *json = NULL;
    struct hf_op op;

    (void)unused;
    watching = true;
    free(control);
    assert_true(marker_was_freed); /* the watch works */
    marker_was_freed = false;
    json = parse(good);
    hf_json_free(json);
    json = NULL;
    assert_fails(&op, hf_json_parse(new_op(&op), hf_bytes_of_text(bad), &json), HF_INVALID);
    watching = false;
    assert_false(marker_was_freed);
}

static void the_writer_writes_exactly(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_json_writer writer;
    struct hf_bytes bytes = hf_bytes_of("\xfb\xff\xbf\x01", 4);

    (void)unused;
    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "text", "a\"b");
    hf_json_put_bytes_text(&writer, "bytes", hf_bytes_of("x\0y", 3));
    hf_json_put_base64(&writer, "base64", bytes);
    hf_json_put_base64url(&writer, "base64url", bytes);
    hf_json_put_hex(&writer, "hex", bytes);
    hf_json_put_u64(&writer, "number", UINT64_MAX);
    hf_json_put_bool(&writer, "yes", true);
    hf_json_put_bool(&writer, "no", false);
    hf_json_put_null(&writer, "null");
    hf_json_put_date(&writer, "date", 1795303860123U);
    hf_json_open_array(&writer, "array");
    hf_json_put_u64(&writer, NULL, 1);
    hf_json_open_object(&writer, NULL);
    hf_json_close_object(&writer);
    hf_json_open_array(&writer, NULL);
    hf_json_put_text(&writer, NULL, "two");
    hf_json_close_array(&writer);
    hf_json_close_array(&writer);
    hf_json_open_object(&writer, "a \"name\"");
    hf_json_put_null(&writer, "x");
    hf_json_close_object(&writer);
    hf_json_close_object(&writer);
    assert_string_equal(
        hf_buf_text(out),
        "{\"text\":\"a\\\"b\",\"bytes\":\"x\\u0000y\",\"base64\":\"+/+/AQ==\","
        "\"base64url\":\"-_-_AQ\",\"hex\":\"fbffbf01\",\"number\":18446744073709551615,"
        "\"yes\":true,\"no\":false,\"null\":null,\"date\":\"2026-11-21T23:31:00.123Z\","
        "\"array\":[1,{},[\"two\"]],\"a \\\"name\\\"\":{\"x\":null}}");
}

static void quoting_escapes_what_must_be(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
        const char *quoted;
    } cases[] = {
        { "nothing", "", "\"\"" },
        { "plain", "plain / text", "\"plain / text\"" },
        { "quote and backslash", "\"\\", "\"\\\"\\\\\"" },
        { "short escapes", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
        { "other controls", "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
        { "UTF-8", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80",
          "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "a control of two bytes", "\xc2\x9f\xc2\xa0", "\"\\u009f\xc2\xa0\"" },
        { "a stray byte",
          "a\xff"
          "b",
          "\"a\xef\xbf\xbd"
          "b\"" },
        { "a cut character", "a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "a surrogate", "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) out = hf_buf_new();

        hf_json_add_quoted(out, hf_bytes_of_text(cases[i].text));
        if (strcmp(hf_buf_text(out), cases[i].quoted) != 0) {
            fail_msg("%s: %s", cases[i].says, hf_buf_text(out));
        }
    }
}

static void what_is_quoted_reads_back_the_same(void **unused)
{
    (void)unused;
    for (uint32_t code_point = 1; code_point < 0x11000; code_point += code_point < 0x200 ? 1 : 97) {
        HF_AUTO(buf) text = hf_buf_new();
        HF_AUTO(buf) quoted = hf_buf_new();
        HF_AUTO(json) json = NULL;
        HF_AUTO(buf) escape = hf_buf_new();
        struct hf_op op;

        if (code_point >= 0xd800 && code_point <= 0xdfff) {
            continue;
        }
        /* Jansson makes the UTF-8 of the plane's characters from an escape of its own. */
        if (code_point < 0x10000) {
            HF_AUTO(json) escaped = NULL;

            hf_buf_add_format(escape, "[\"\\u%04x\"]", code_point);
            escaped = parse(hf_buf_text(escape));
            hf_buf_add_text(text, hf_json_string(hf_json_at(escaped, 0)));
        } else {
            hf_buf_add_text(text, "\xf0\x90\x80\x80");
        }
        hf_buf_add_text(quoted, "[");
        hf_json_add_quoted(quoted, hf_buf_bytes(text));
        hf_buf_add_text(quoted, "]");
        assert_ok(&op, hf_json_parse(new_op(&op), hf_buf_bytes(quoted), &json));
        assert_string_equal(hf_json_string(hf_json_at(json, 0)), hf_buf_text(text));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_takes_and_refuses_what_the_table_says),
        cmocka_unit_test(a_complaint_does_not_quote_the_text),
        cmocka_unit_test(text_members_are_texts),
        cmocka_unit_test(number_members_are_whole_and_not_negative),
        cmocka_unit_test(truth_members_are_true_or_false),
        cmocka_unit_test(arrays_and_objects_are_views),
        cmocka_unit_test(members_are_known_or_named),
        cmocka_unit_test(each_walks_in_the_order_of_the_text),
        cmocka_unit_test(secret_members_are_decoded_into_secret_memory),
        cmocka_unit_test(freed_memory_is_wiped),
        cmocka_unit_test(the_writer_writes_exactly),
        cmocka_unit_test(quoting_escapes_what_must_be),
        cmocka_unit_test(what_is_quoted_reads_back_the_same),
    };

    hf_env_system(&env);
    test_start_secrets();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
