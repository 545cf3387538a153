/* The strict flat scanner. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/scan.h"
#include "test.h"

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
    { "space everywhere", TEXT(" \t\r\n{ \"a\" : 1 , \"b\" : { } } \n"), NULL },
    { "all kinds", TEXT("{\"a\":\"x\",\"b\":-1.5e3,\"c\":true,\"d\":false,\"e\":null,\"f\":[]}"),
      NULL },
    { "an object within", TEXT("{\"a\":{\"b\":\"c\",\"d\":null}}"), NULL },
    { "an array of objects", TEXT("{\"a\":[{\"b\":1},{\"b\":2}]}"), NULL },
    { "one name at two depths", TEXT("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), NULL },
    { "escapes", TEXT("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\\uD83D\\uDE00\"}"), NULL },
    { "UTF-8", TEXT("{\"\xc3\xbc\":\"\xf0\x9f\x98\x80\"}"), NULL },
    { "numbers", TEXT("{\"a\":0,\"b\":-0,\"c\":10,\"d\":0.5,\"e\":1E+9,\"f\":1e-9,\"g\":-1.0e0}"),
      NULL },
    { "depth four", TEXT("{\"a\":[[[]]]}"), NULL },
    { "depth five", TEXT("{\"a\":[[[[]]]]}"), "byte 8: it nests too deeply" },
    { "depth five in objects", TEXT("{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}"), "nests too deeply" },
    { "nothing", TEXT(""), "byte 0: an object is expected" },
    { "an array", TEXT("[]"), "an object is expected" },
    { "a string", TEXT("\"a\""), "an object is expected" },
    { "a byte order mark", TEXT("\xef\xbb\xbf{}"), "byte 0: an object is expected" },
    { "no end", TEXT("{"), "name is expected" },
    { "no end behind a member", TEXT("{\"a\":1"), "byte 6: a comma or the end" },
    { "the wrong end", TEXT("{\"a\":1]"), "a comma or the end of an object" },
    { "the wrong end of an array", TEXT("{\"a\":[1}}"), "a comma or the end of an array" },
    { "no value", TEXT("{\"a\":}"), "a number is broken" },
    { "no colon", TEXT("{\"a\" 1}"), "a colon is expected" },
    { "no name", TEXT("{1:1}"), "name is expected" },
    { "a bare name", TEXT("{a:1}"), "name is expected" },
    { "single quotes", TEXT("{'a':1}"), "name is expected" },
    { "a trailing comma", TEXT("{\"a\":1,}"), "name is expected" },
    { "a trailing comma in an array", TEXT("{\"a\":[1,]}"), "a number is broken" },
    { "a leading comma", TEXT("{,\"a\":1}"), "name is expected" },
    { "something after the end", TEXT("{}x"), "byte 2: something follows after its end" },
    { "a second object", TEXT("{} {}"), "byte 3: something follows after its end" },
    { "a zero byte after the end", TEXT("{}\0"), "something follows after its end" },
    { "a zero byte behind a number", TEXT("{\"a\":0\0}"), "a comma or the end" },
    { "a zero byte between", TEXT("{\0}"), "name is expected" },
    { "a form feed as space", TEXT("{\f}"), "name is expected" },
    { "a comment", TEXT("{/**/}"), "name is expected" },
    { "a duplicate", TEXT("{\"a\":1,\"a\":2}"), "two members of one name" },
    { "a late duplicate", TEXT("{\"a\":1,\"b\":2,\"c\":3,\"a\":4}"), "two members of one name" },
    { "an inner duplicate", TEXT("{\"a\":{\"b\":1,\"b\":2}}"), "two members of one name" },
    { "an empty duplicate", TEXT("{\"\":1,\"\":2}"), "two members of one name" },
    { "a duplicate by escape", TEXT("{\"a\":1,\"\\u0061\":2}"), "two members of one name" },
    { "a duplicate by both escaped", TEXT("{\"\\/a\":1,\"\\u002fa\":2}"), "two members of" },
    { "a duplicate by UTF-8", TEXT("{\"\xc3\xbc\":1,\"\\u00fc\":2}"), "two members of one name" },
    { "a duplicate by surrogates", TEXT("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}"),
      "two members of one name" },
    { "one name begins another", TEXT("{\"ab\":1,\"\\u0061\":2,\"abc\":3}"), NULL },
    { "a raw newline", TEXT("{\"a\":\"x\ny\"}"), "control character" },
    { "a raw zero", TEXT("{\"a\":\"x\0y\"}"), "control character" },
    { "a control in a long string", TEXT("{\"a\":\"0123456789abcdef0123456789abcde\x1f\"}"),
      "control character" },
    { "delete is not a control in JSON", TEXT("{\"a\":\"\x7f\"}"), NULL },
    { "an unknown escape", TEXT("{\"a\":\"\\x\"}"), "escape is broken" },
    { "an escape of nothing", TEXT("{\"a\":\"\\"), "escape is broken" },
    { "an escaped zero byte", TEXT("{\"a\":\"\\\0\"}"), "escape is broken" },
    { "three hex digits", TEXT("{\"a\":\"\\u00f\"}"), "escape is broken" },
    { "a foreign hex digit", TEXT("{\"a\":\"\\u00fg\"}"), "escape is broken" },
    { "a cut hex escape", TEXT("{\"a\":\"\\u00"), "escape is broken" },
    { "an escaped zero", TEXT("{\"a\":\"\\u0000\"}"), "escape is broken" },
    { "a lone high surrogate", TEXT("{\"a\":\"\\ud83d\"}"), "escape is broken" },
    { "a lone low surrogate", TEXT("{\"a\":\"\\ude00\"}"), "escape is broken" },
    { "two high surrogates", TEXT("{\"a\":\"\\ud83d\\ud83d\"}"), "escape is broken" },
    { "a high surrogate and a letter", TEXT("{\"a\":\"\\ud83d\\u0061\"}"), "escape is broken" },
    { "not UTF-8", TEXT("{\"a\":\"\xff\"}"), "not UTF-8" },
    { "not UTF-8 in a name", TEXT("{\"\xc3\":1}"), "not UTF-8" },
    { "an overlong form", TEXT("{\"a\":\"\xc0\xaf\"}"), "not UTF-8" },
    { "a raw surrogate", TEXT("{\"a\":\"\xed\xa0\x80\"}"), "not UTF-8" },
    { "a character cut by the end", TEXT("{\"a\":\"\xe2\x82"), "not UTF-8" },
    { "an open string", TEXT("{\"a\":\"b}"), "a string has no end" },
    { "an open name", TEXT("{\"a"), "a string has no end" },
    { "a leading zero", TEXT("{\"a\":01}"), "a comma or the end" },
    { "a plus sign", TEXT("{\"a\":+1}"), "a number is broken" },
    { "a lone minus", TEXT("{\"a\":-}"), "a number is broken" },
    { "a point at the end", TEXT("{\"a\":1.}"), "a number is broken" },
    { "a point at the start", TEXT("{\"a\":.5}"), "a number is broken" },
    { "an empty exponent", TEXT("{\"a\":1e}"), "a number is broken" },
    { "an empty signed exponent", TEXT("{\"a\":1e+}"), "a number is broken" },
    { "a hexadecimal number", TEXT("{\"a\":0x10}"), "a comma or the end" },
    { "NaN", TEXT("{\"a\":NaN}"), "a number is broken" },
    { "a capital word", TEXT("{\"a\":True}"), "a number is broken" },
    { "a wrong word", TEXT("{\"a\":trux}"), "a value is expected" },
    { "a cut word", TEXT("{\"a\":nul"), "a value is expected" },
    { "two words in one", TEXT("{\"a\":nullnull}"), "a comma or the end" },
};

/* A copy of exactly this length, so that a sanitizer sees reads beyond its end. */
static struct hf_bytes exact_copy(const char *text, size_t len)
{
    uint8_t *copy = hf_alloc(len);

    memcpy(copy, text, len);
    return hf_bytes_of(copy, len);
}

static void drop_copy(struct hf_bytes copy)
{
    free((void *)copy.data);
}

static void objects_are_valid_or_refused_as_the_table_says(void **unused)
{
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        struct hf_bytes text = exact_copy(texts[i].text, texts[i].len);
        struct hf_status status = hf_scan_object(new_op(&op), text, NULL, 0);

        drop_copy(text);
        if (status.code != (texts[i].complaint != NULL ? HF_INVALID : HF_OK)) {
            fail_msg("%s: %s %s", texts[i].says, hf_code_name(status.code), op.text);
        }
        if (texts[i].complaint != NULL && strstr(op.text, texts[i].complaint) == NULL) {
            fail_msg("%s: %s", texts[i].says, op.text);
        }
    }
}

static void a_valid_object_cut_anywhere_is_refused(void **unused)
{
    static const char whole[] =
        "{\"a\":\"\\u00fc\xc3\xbc 0123456789abcdef\",\"b\":[-1.5e3,true,null],\"c\":{\"d\":false}}";
    struct hf_op op;

    (void)unused;
    assert_ok(&op, hf_scan_object(new_op(&op), hf_bytes_of_text(whole), NULL, 0));
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        struct hf_bytes text = exact_copy(whole, len);

        assert_fails(&op, hf_scan_object(new_op(&op), text, NULL, 0), HF_INVALID);
        drop_copy(text);
    }
}

static void the_number_of_members_is_bounded(void **unused)
{
    struct hf_op op;

    (void)unused;
    for (unsigned count = 63; count <= 65; count++) {
        HF_AUTO(buf) text = hf_buf_new();

        for (unsigned i = 0; i < count; i++) {
            hf_buf_add_format(text, "%s\"m%u\":%u", i == 0 ? "{" : ",", i, i);
        }
        hf_buf_add_text(text, "}");
        if ((hf_scan_object(new_op(&op), hf_buf_bytes(text), NULL, 0).code == HF_OK) !=
            (count <= 64)) {
            fail_msg("%u members: %s", count, op.text);
        }
    }
}

static void members_come_back_as_raw_views(void **unused)
{
    static const char text[] = "{\"versionName\" : \"k@1\", \"iv\":\"a\\\"b\", \"number\": -1.5 ,"
                               "\"inner\" : { \"x\" : [1] } ,\"list\":[ 1, 2 ],\"yes\":true,"
                               "\"no\":false,\"nothing\":null,\"e\\u0073caped\":\"\"}";
    static const struct {
        const char *name;
        enum hf_scan_kind kind;
        const char *raw;
        bool escaped;
    } expected[] = {
        { "versionName", HF_SCAN_STRING, "k@1", false },
        { "iv", HF_SCAN_STRING, "a\\\"b", true },
        { "number", HF_SCAN_NUMBER, "-1.5", false },
        { "inner", HF_SCAN_OBJECT, "{ \"x\" : [1] }", false },
        { "list", HF_SCAN_ARRAY, "[ 1, 2 ]", false },
        { "yes", HF_SCAN_TRUE, "true", false },
        { "no", HF_SCAN_FALSE, "false", false },
        { "nothing", HF_SCAN_NULL, "null", false },
        { "escaped", HF_SCAN_STRING, "", false },
    };
    struct hf_scan_member members[HF_COUNT(expected) + 1];
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        members[i] = (struct hf_scan_member){ .name = expected[i].name };
    }
    members[HF_COUNT(expected)] =
        (struct hf_scan_member){ .name = "absent", .value = { .present = true } };
    assert_ok(&op, hf_scan_object(new_op(&op), hf_bytes_of_text(text), members, HF_COUNT(members)));
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        const struct hf_scan_value *value = &members[i].value;

        if (!value->present || value->kind != expected[i].kind ||
            value->escaped != expected[i].escaped ||
            !hf_bytes_equal_text(value->raw, expected[i].raw)) {
            fail_msg("%s: kind %d, \"%.*s\"", expected[i].name, (int)value->kind,
                     (int)value->raw.len, (const char *)value->raw.data);
        }
    }
    assert_false(members[HF_COUNT(expected)].value.present);
}

static void texts_have_their_escapes_resolved(void **unused)
{
    static const struct {
        const char *raw;
        const char *text;
    } cases[] = {
        { "", "" },
        { "plain", "plain" },
        { "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
        { "\\u0041\\u00fC\\u20ac", "A\xc3\xbc\xe2\x82\xac" },
        { "x\\ud83d\\ude00y", "x\xf0\x9f\x98\x80y" },
        { "\\udbff\\udfff", "\xf4\x8f\xbf\xbf" },
        { "\xc3\xbc\\n\xe2\x82\xac\\n\xf0\x9f\x98\x80",
          "\xc3\xbc\n\xe2\x82\xac\n\xf0\x9f\x98\x80" },
        { "\\u005cu0041", "\\u0041" },
        { "\\ud7ff\\ue000\\uffff", "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf" },
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING text = hf_format("{\"a\":\"%s\"}", cases[i].raw);
        HF_AUTO(buf) out = hf_buf_new();
        struct hf_scan_member member = { .name = "a" };

        hf_buf_add_text(out, "before:");
        assert_ok(&op, hf_scan_object(new_op(&op), hf_bytes_of_text(text), &member, 1));
        assert_ok(&op, hf_scan_text(&op, &member.value, out));
        assert_string_equal(hf_buf_text(out) + 7, cases[i].text);
    }
}

static void only_strings_are_texts(void **unused)
{
    struct hf_scan_member member = { .name = "a" };
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op;

    (void)unused;
    assert_ok(&op, hf_scan_object(new_op(&op), hf_bytes_of_text("{\"a\":1}"), &member, 1));
    assert_fails(&op, hf_scan_text(&op, &member.value, out), HF_INVALID);
    assert_ok(&op, hf_scan_object(new_op(&op), hf_bytes_of_text("{}"), &member, 1));
    assert_fails(&op, hf_scan_text(&op, &member.value, out), HF_INVALID);
    assert_int_equal(out->len, 0);
}

/* The elements joined by '|', or NULL when the walk ends in a refusal. */
static const char *walk(const char *text, struct hf_buf *out, struct hf_op *op)
{
    struct hf_bytes copy = exact_copy(text, strlen(text));
    struct hf_scan_array array;
    struct hf_scan_value value = { .present = true };
    struct hf_status status = HF_SUCCESS;

    hf_scan_array_init(&array, copy);
    while (status.code == HF_OK && value.present) {
        status = hf_scan_array_next(new_op(op), &array, &value);
        if (status.code == HF_OK && value.present) {
            hf_buf_add_bytes(out, value.raw);
            hf_buf_add_text(out, "|");
        }
    }
    if (status.code == HF_OK) {
        /* Behind the end it stays at the end. */
        status = hf_scan_array_next(op, &array, &value);
        assert_false(value.present);
    }
    drop_copy(copy);
    return status.code == HF_OK ? hf_buf_text(out) : NULL;
}

static void arrays_are_walked_to_their_end(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
        const char *elements; /* NULL: refused */
    } cases[] = {
        { "empty", "[]", "" },
        { "empty with space", " [ ] ", "" },
        { "one", "[1]", "1|" },
        { "objects", "[{\"a\":1}, {\"b\":{\"c\":2}} ]\n", "{\"a\":1}|{\"b\":{\"c\":2}}|" },
        { "strings", "[ \"a\" , \"b]\" ]", "a|b]|" },
        { "mixed", "[null,true,[1,2]]", "null|true|[1,2]|" },
        { "an object", "{}", NULL },
        { "nothing", "", NULL },
        { "no end", "[1", NULL },
        { "no end of nothing", "[", NULL },
        { "the wrong end", "[1}", NULL },
        { "a trailing comma", "[1,]", NULL },
        { "a leading comma", "[,1]", NULL },
        { "no comma", "[1 2]", NULL },
        { "something after the end", "[1]x", NULL },
        { "something after nothing", "[]x", NULL },
        { "a second array", "[1][2]", NULL },
        { "a broken element", "[1,{\"a\"}]", NULL },
        { "a duplicate in an element", "[{\"a\":1,\"a\":1}]", NULL },
        { "depth four", "[[[[]]]]", "[[[]]]|" },
        { "depth five", "[[[[[]]]]]", NULL },
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) out = hf_buf_new();
        const char *elements = walk(cases[i].text, out, &op);

        if ((elements == NULL) != (cases[i].elements == NULL) ||
            (elements != NULL && strcmp(elements, cases[i].elements) != 0)) {
            fail_msg("%s: %s %s", cases[i].says, elements != NULL ? elements : "refused", op.text);
        }
    }
}

/*
 * The second element of an array whose first is {"a":"AAAA","b":{"c":"BB"},"d":"x"}, the strings a
 * and c being those that may differ.
 */
static void only_elements_alike_are_stepped_over(void **unused)
{
    static const struct {
        const char *says;
        const char *rest;   /* of the array, behind the first element */
        const char *values; /* NULL: not alike */
    } cases[] = {
        { "the same", ",{\"a\":\"AAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", "AAAA|BB|" },
        { "others", ",{\"a\":\"1+/=\",\"b\":{\"c\":\"  \"},\"d\":\"x\"}]", "1+/=|  |" },
        { "before more", ",{\"a\":\"abcd\",\"b\":{\"c\":\"ef\"},\"d\":\"x\"},1]", "abcd|ef|" },
        { "the end", "]", NULL },
        { "cut off", ",{\"a\":\"AAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"", NULL },
        { "no comma", " {\"a\":\"AAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "longer", ",{\"a\":\"AAAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "shorter", ",{\"a\":\"AAA\",\"b\":{\"c\":\"BBB\"},\"d\":\"x\"}]", NULL },
        { "ended early", ",{\"a\":\"AA\"A\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "an escape", ",{\"a\":\"AA\\n\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "a control", ",{\"a\":\"AA\nA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "not ASCII", ",{\"a\":\"AA\xc3\xa4\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "another name", ",{\"e\":\"AAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "between", ",{\"a\":\"AAAA\",\"b\":{\"e\":\"BB\"},\"d\":\"x\"}]", NULL },
        { "behind", ",{\"a\":\"AAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"y\"}]", NULL },
    };
    struct hf_scan_member inner = { .name = "c" };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING text =
            hf_format("[{\"a\":\"AAAA\",\"b\":{\"c\":\"BB\"},\"d\":\"x\"}%s", cases[i].rest);
        struct hf_bytes copy = exact_copy(text, strlen(text));
        struct hf_scan_member members[] = { { .name = "a" },
                                            { .name = "b", .inner = &inner, .inner_count = 1 } };
        struct hf_bytes values[HF_SCAN_VALUES_MAX];
        HF_AUTO(buf) out = hf_buf_new();
        struct hf_scan_likeness likeness;
        struct hf_scan_array array;
        struct hf_scan_value first;
        size_t before;

        hf_scan_array_init(&array, copy);
        assert_ok(&op, hf_scan_array_next_object(new_op(&op), &array, members, 2, &first));
        hf_scan_likeness_init(&likeness, first.raw);
        hf_scan_likeness_add(&likeness, &members[0].value);
        hf_scan_likeness_add(&likeness, &inner.value);
        before = array.at;
        if (hf_scan_array_next_alike(&array, &likeness, values)) {
            hf_buf_add_bytes(out, values[0]);
            hf_buf_add_text(out, "|");
            hf_buf_add_bytes(out, values[1]);
            hf_buf_add_text(out, "|");
        } else {
            assert_int_equal(array.at, before);
        }
        if (strcmp(hf_buf_text(out), cases[i].values != NULL ? cases[i].values : "") != 0) {
            fail_msg("%s: '%s'", cases[i].says, hf_buf_text(out));
        }
        drop_copy(copy);
    }
}

static void what_has_no_plain_values_is_like_nothing(void **unused)
{
    static const char *const arrays[] = {
        "[{\"a\":1,\"b\":\"x\"},{\"a\":1,\"b\":\"x\"}]",             /* no string */
        "[{\"a\":\"\\n\",\"b\":\"x\"},{\"a\":\"\\n\",\"b\":\"x\"}]", /* an escape */
        "[{\"b\":\"x\",\"a\":\"y\"},{\"b\":\"x\",\"a\":\"y\"}]",     /* out of order */
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(arrays); i++) {
        struct hf_scan_member members[] = { { .name = "a" }, { .name = "b" } };
        struct hf_bytes values[HF_SCAN_VALUES_MAX];
        struct hf_scan_likeness likeness;
        struct hf_scan_array array;
        struct hf_scan_value first;

        hf_scan_array_init(&array, hf_bytes_of_text(arrays[i]));
        assert_ok(&op, hf_scan_array_next_object(new_op(&op), &array, members, 2, &first));
        hf_scan_likeness_init(&likeness, first.raw);
        hf_scan_likeness_add(&likeness, &members[0].value);
        hf_scan_likeness_add(&likeness, &members[1].value);
        assert_false(hf_scan_array_next_alike(&array, &likeness, values));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_valid_or_refused_as_the_table_says),
        cmocka_unit_test(a_valid_object_cut_anywhere_is_refused),
        cmocka_unit_test(the_number_of_members_is_bounded),
        cmocka_unit_test(members_come_back_as_raw_views),
        cmocka_unit_test(texts_have_their_escapes_resolved),
        cmocka_unit_test(only_strings_are_texts),
        cmocka_unit_test(arrays_are_walked_to_their_end),
        cmocka_unit_test(only_elements_alike_are_stepped_over),
        cmocka_unit_test(what_has_no_plain_values_is_like_nothing),
    };

    hf_env_system(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
