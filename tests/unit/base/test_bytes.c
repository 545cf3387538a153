/* Views, growing buffers and the binary codec. */
#include <malloc.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/codec.h"
#include "test.h"
#include "test_env.h"

static struct test_env test;

static struct hf_op *new_op(struct hf_op *op)
{
    hf_op_init(op, &test.env);
    return op;
}

static void views_are_equal_by_length_and_content(void **unused)
{
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        { "", "", true },      { "a", "a", true },
        { "a", "b", false },   { "a", "", false },
        { "ab", "a", false },  { "sixteen bytes xx", "sixteen bytes xy", false },
        { "xa", "ya", false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_bytes a = hf_bytes_of_text(cases[i].a);
        struct hf_bytes b = hf_bytes_of_text(cases[i].b);

        assert_int_equal(hf_bytes_equal(a, b), cases[i].equal);
        assert_int_equal(hf_bytes_equal_constant_time(a, b), cases[i].equal);
        assert_int_equal(hf_bytes_equal_text(a, cases[i].b), cases[i].equal);
    }
    assert_true(hf_bytes_equal(HF_BYTES_NONE, hf_bytes_of_text("")));
    assert_true(hf_bytes_equal_constant_time(HF_BYTES_NONE, hf_bytes_of_text("")));
    assert_false(hf_bytes_equal(hf_bytes_of("a\0b", 3), hf_bytes_of("a\0c", 3)));
}

/* Compared several bytes at a time, and what is left one by one. */
static void a_difference_in_any_byte_counts(void **unused)
{
    uint8_t a[40] = { 0 };
    uint8_t b[40] = { 0 };

    (void)unused;
    for (size_t len = 1; len <= sizeof a; len++) {
        assert_true(hf_bytes_equal_constant_time(hf_bytes_of(a, len), hf_bytes_of(b, len)));
        for (size_t at = 0; at < len; at++) {
            b[at] = 0x80;
            if (hf_bytes_equal_constant_time(hf_bytes_of(a, len), hf_bytes_of(b, len))) {
                fail_msg("byte %zu of %zu does not count", at, len);
            }
            b[at] = 0;
        }
    }
}

static void buffers_grow_and_keep_their_content(void **unused)
{
    HF_AUTO(buf) buf = hf_buf_new();

    (void)unused;
    assert_int_equal(buf->len, 0);
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t byte = (uint8_t)(i * 7);

        hf_buf_add(buf, &byte, 1);
    }
    assert_int_equal(buf->len, 5000);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(buf->data[i], (uint8_t)(i * 7));
    }
    hf_buf_clear(buf);
    assert_int_equal(buf->len, 0);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(buf->data[i], 0);
    }
}

static void buffers_take_all_kinds(void **unused)
{
    struct hf_buf buf;
    uint8_t *room;

    (void)unused;
    hf_buf_init(&buf);
    hf_buf_add_text(&buf, "text ");
    hf_buf_add_bytes(&buf, hf_bytes_of_text("bytes "));
    hf_buf_add_bytes(&buf, HF_BYTES_NONE);
    hf_buf_add_format(&buf, "%s-%d ", "format", 7);
    room = hf_buf_reserve(&buf, 100);
    memcpy(room, "room", 4);
    hf_buf_grew(&buf, 4);
    assert_string_equal(hf_buf_text(&buf), "text bytes format-7 room");
    assert_int_equal(buf.len, 24);
    /* The terminator is not part of the content. */
    hf_buf_add_text(&buf, "!");
    assert_string_equal(hf_buf_text(&buf), "text bytes format-7 room!");
    hf_buf_done(&buf);
    assert_null(buf.data);
    hf_buf_done(&buf);
    hf_buf_free(NULL);
}

static void a_long_format_fits(void **unused)
{
    HF_AUTO(buf) buf = hf_buf_new();

    (void)unused;
    hf_buf_add_format(buf, "%5000d|", 1);
    assert_int_equal(buf->len, 5001);
    assert_memory_equal(buf->data + 4998, " 1|", 3);
}

static const char planted[] = "planted-marker-0123456789-planted-marker";
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

static void buffers_wipe_what_they_leave_behind(void **unused)
{
    char *control = hf_strdup(planted);
    struct hf_buf *buf = hf_buf_new();

    (void)unused;
    watching = true;
    free(control);
    assert_true(marker_was_freed); /* the watch works */
    marker_was_freed = false;
    hf_buf_add_text(buf, planted);
    for (unsigned i = 0; i < 1000; i++) {
        hf_buf_add_text(buf, "more");
    }
    hf_buf_free(buf);
    watching = false;
    assert_false(marker_was_freed);
}

static void numbers_are_big_endian(void **unused)
{
    static const uint8_t expected[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                        0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
                                        /* then a length and its bytes */
                                        0, 0, 0, 2, 'h', 'i',
                                        /* and a text */
                                        0, 0, 0, 0 };
    HF_AUTO(buf) buf = hf_buf_new();
    HF_AUTO_STRING text = NULL;
    struct hf_reader reader;
    struct hf_op op;

    (void)unused;
    hf_put_u8(buf, 0x01);
    hf_put_u16(buf, 0x0203);
    hf_put_u32(buf, 0x04050607);
    hf_put_u64(buf, 0x08090a0b0c0d0e0f);
    hf_put_bytes(buf, hf_bytes_of_text("hi"));
    hf_put_text(buf, "");
    assert_true(hf_bytes_equal(hf_buf_bytes(buf), hf_bytes_of(expected, sizeof expected)));
    hf_reader_init(&reader, hf_buf_bytes(buf));
    assert_int_equal(hf_take_u8(&reader), 0x01);
    assert_int_equal(hf_take_u16(&reader), 0x0203);
    assert_int_equal(hf_take_u32(&reader), 0x04050607);
    assert_int_equal(hf_take_u64(&reader), 0x08090a0b0c0d0e0f);
    assert_true(hf_bytes_equal_text(hf_take_bytes(&reader), "hi"));
    text = hf_take_text(&reader);
    assert_string_equal(text, "");
    assert_ok(&op, hf_reader_end(&reader, new_op(&op), "it"));
}

static void a_cut_text_is_corrupt_wherever_it_is_cut(void **unused)
{
    HF_AUTO(buf) buf = hf_buf_new();
    struct hf_op op;

    (void)unused;
    hf_put_u16(buf, 7);
    hf_put_bytes(buf, hf_bytes_of_text("bytes"));
    hf_put_u64(buf, 9);
    for (size_t len = 0; len <= buf->len; len++) {
        uint8_t *cut = hf_alloc(len);
        struct hf_reader reader;

        memcpy(cut, buf->data, len);
        hf_reader_init(&reader, hf_bytes_of(cut, len));
        (void)hf_take_u16(&reader);
        (void)hf_take_bytes(&reader);
        assert_int_equal(hf_take_u64(&reader), len == buf->len ? 9 : 0);
        assert_fails(&op, hf_reader_end(&reader, new_op(&op), "the record"),
                     len == buf->len ? HF_OK : HF_CORRUPT);
        if (len < buf->len) {
            assert_int_equal(op.cause, HF_CAUSE_ALTERED);
            assert_string_equal(op.text, "the record is cut short");
        }
        free(cut);
    }
}

static void what_is_left_over_is_corrupt(void **unused)
{
    struct hf_reader reader;
    struct hf_op op;

    (void)unused;
    hf_reader_init(&reader, hf_bytes_of("\0\1\2", 3));
    assert_int_equal(hf_take_u16(&reader), 1);
    assert_fails(&op, hf_reader_end(&reader, new_op(&op), "the record"), HF_CORRUPT);
    assert_string_equal(op.text, "the record has bytes after its end");
}

static void a_reader_that_failed_stays_failed(void **unused)
{
    struct hf_reader reader;
    struct hf_op op;

    (void)unused;
    hf_reader_init(&reader, hf_bytes_of("\xff\xff\xff\xff"
                                        "abcd",
                                        8));
    assert_int_equal(hf_take_bytes(&reader).len, 0);
    assert_int_equal(hf_take_u8(&reader), 0); /* though there are bytes left */
    assert_int_equal(hf_take_raw(&reader, 1).len, 0);
    assert_fails(&op, hf_reader_end(&reader, new_op(&op), "it"), HF_CORRUPT);
}

static void a_text_with_a_zero_byte_fails_the_reader(void **unused)
{
    HF_AUTO_STRING text = NULL;
    struct hf_reader reader;
    struct hf_op op;

    (void)unused;
    hf_reader_init(&reader, hf_bytes_of("\0\0\0\3a\0b", 7));
    text = hf_take_text(&reader);
    assert_string_equal(text, "");
    assert_fails(&op, hf_reader_end(&reader, new_op(&op), "it"), HF_CORRUPT);
}

static void nothing_can_be_read_from_nothing(void **unused)
{
    struct hf_reader reader;
    struct hf_op op;

    (void)unused;
    hf_reader_init(&reader, HF_BYTES_NONE);
    assert_int_equal(hf_take_raw(&reader, 0).len, 0);
    assert_ok(&op, hf_reader_end(&reader, new_op(&op), "it"));
    assert_int_equal(hf_take_u8(&reader), 0);
    assert_fails(&op, hf_reader_end(&reader, new_op(&op), "it"), HF_CORRUPT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_equal_by_length_and_content),
        cmocka_unit_test(a_difference_in_any_byte_counts),
        cmocka_unit_test(buffers_grow_and_keep_their_content),
        cmocka_unit_test(buffers_take_all_kinds),
        cmocka_unit_test(a_long_format_fits),
        cmocka_unit_test(buffers_wipe_what_they_leave_behind),
        cmocka_unit_test(numbers_are_big_endian),
        cmocka_unit_test(a_cut_text_is_corrupt_wherever_it_is_cut),
        cmocka_unit_test(what_is_left_over_is_corrupt),
        cmocka_unit_test(a_reader_that_failed_stays_failed),
        cmocka_unit_test(a_text_with_a_zero_byte_fails_the_reader),
        cmocka_unit_test(nothing_can_be_read_from_nothing),
    };

    test_env_init(&test);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
