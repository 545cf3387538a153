/* Base64 in all its spellings, against a slow and obvious decoder. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "test.h"

#define LONGEST 200

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a character of either alphabet, or -1. */
static int slow_value(uint8_t c)
{
    const char *at = c != 0 ? strchr(standard, c == '-' ? '+' : c == '_' ? '/' : c) : NULL;

    return at != NULL ? (int)(at - standard) : -1;
}

/* One bit at a time, as commons-codec decodes: it stops at padding and skips what is foreign. */
static size_t slow_decode(struct hf_bytes text, uint8_t *out)
{
    size_t bits = 0;

    memset(out, 0, hf_base64_max(text.len));
    for (size_t i = 0; i < text.len && text.data[i] != '='; i++) {
        int value = slow_value(text.data[i]);

        for (int bit = 5; value >= 0 && bit >= 0; bit--, bits++) {
            if (bits / 8 < hf_base64_max(text.len)) {
                out[bits / 8] = (uint8_t)(out[bits / 8] | (value >> bit & 1) << (7 - bits % 8));
            }
        }
    }
    return bits / 8;
}

static void fill(uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525U + 1013904223U;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static void the_vectors_of_rfc_4648_hold(void **unused)
{
    static const struct {
        const char *plain;
        const char *encoded;
    } cases[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) out = hf_buf_new();
        uint8_t back[16];
        size_t len = 99;

        hf_base64_add(out, hf_bytes_of_text(cases[i].plain));
        assert_string_equal(hf_buf_text(out), cases[i].encoded);
        assert_true(hf_base64_decode_strict(hf_buf_bytes(out), back, &len));
        assert_true(hf_bytes_equal_text(hf_bytes_of(back, len), cases[i].plain));
    }
}

static void every_length_goes_both_ways(void **unused)
{
    (void)unused;
    for (size_t len = 0; len <= LONGEST; len++) {
        HF_AUTO(buf) padded = hf_buf_new();
        HF_AUTO(buf) safe = hf_buf_new();
        uint8_t *bytes = hf_alloc(len); /* exact, so that a sanitizer sees any step beyond */
        uint8_t *back = hf_alloc(len);
        size_t back_len = 0;

        fill(bytes, len, (uint32_t)len);
        hf_base64_add(padded, hf_bytes_of(bytes, len));
        hf_base64url_add(safe, hf_bytes_of(bytes, len));
        assert_int_equal(padded->len, (len + 2) / 3 * 4);
        assert_int_equal(hf_base64_max(safe->len), len);
        for (size_t i = 0; i < safe->len; i++) {
            assert_int_equal(slow_value(safe->data[i]), slow_value(padded->data[i]));
            assert_null(memchr("+/=", safe->data[i], 3));
            assert_null(memchr("-_=", padded->data[i], 3));
        }
        assert_true(hf_base64_decode_strict(hf_buf_bytes(padded), back, &back_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        memset(back, 0, len);
        assert_int_equal(hf_base64_decode_lenient(hf_buf_bytes(safe), back), len);
        assert_memory_equal(back, bytes, len);
        free(bytes);
        free(back);
    }
}

static void every_character_has_its_value_at_every_place(void **unused)
{
    (void)unused;
    for (unsigned c = 0; c < 256; c++) {
        for (size_t place = 0; place < 36; place++) {
            uint8_t text[36];
            uint8_t fast[27];
            uint8_t slow[27];
            size_t len;

            memset(text, 'A', sizeof text);
            text[place] = (uint8_t)c;
            len = hf_base64_decode_lenient(hf_bytes_of(text, sizeof text), fast);
            if (len != slow_decode(hf_bytes_of(text, sizeof text), slow) ||
                memcmp(fast, slow, len) != 0) {
                fail_msg("character %u at place %zu", c, place);
            }
        }
    }
}

static void lenient_decoding_follows_the_table(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
        const char *result;
    } cases[] = {
        { "nothing", "", "" },
        { "padding only", "====", "" },
        { "padded", "Zm9vYg==", "foob" },
        { "without padding", "Zm9vYg", "foob" },
        { "half of the padding", "Zm9vYg=", "foob" },
        { "one character is too few for a byte", "Zm9vY", "foo" },
        { "bits under the padding are dropped", "Zh==", "f" },
        { "stops at the padding", "Zg==Zm9v", "f" },
        { "line breaks", "Zm9v\r\nYmFy\r\n", "foobar" },
        { "long, with line breaks", "MDEyMzQ1Njc4OWFiY2Rl\nZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5",
          "0123456789abcdef0123456789abcdef0123456789" },
        { "foreign characters only", "!?*()", "" },
        { "foreign characters between", "Z.m.9.v", "foo" },
        { "both alphabets at once", "+_-/", "\xfb\xff\xbf" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        uint8_t *out = hf_alloc(hf_base64_max(strlen(cases[i].text)));
        size_t len = hf_base64_decode_lenient(hf_bytes_of_text(cases[i].text), out);

        if (!hf_bytes_equal_text(hf_bytes_of(out, len), cases[i].result)) {
            fail_msg("%s: %zu bytes", cases[i].says, len);
        }
        free(out);
    }
}

static void lenient_decoding_agrees_with_the_slow_one(void **unused)
{
    static const char mix[] = "ABCyz0189+/-_ABCyz0189+/-_ABCyz0189+/-_\n =";

    (void)unused;
    for (uint32_t seed = 0; seed < 3000; seed++) {
        uint8_t text[LONGEST];
        uint8_t fast[LONGEST];
        uint8_t slow[LONGEST];
        size_t len = seed % LONGEST;
        /* Ever fewer foreign characters, so that long clean runs occur as well. */
        size_t kinds = strlen(mix) - (seed / 64 % 4 == 0 ? 0 : seed / 64 % 4 == 1 ? 1 : 3);
        size_t got;

        fill(text, len, seed);
        for (size_t i = 0; i < len; i++) {
            text[i] = (uint8_t)mix[text[i] % kinds];
        }
        got = hf_base64_decode_lenient(hf_bytes_of(text, len), fast);
        if (got != slow_decode(hf_bytes_of(text, len), slow) || memcmp(fast, slow, got) != 0) {
            fail_msg("seed %u", seed);
        }
    }
}

static void strict_decoding_refuses(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
    } cases[] = {
        { "no padding", "Zg" },
        { "half of the padding", "Zg=" },
        { "too much padding", "Zg===" },
        { "a block of padding", "====" },
        { "three of padding", "Z===" },
        { "padding in front", "=Zg=" },
        { "padding in the middle", "Zg==Zm9v" },
        { "padding in an early block", "Zm9vYmFyZm9vYmFyZg==Zm9vYmFyZm9vYmFy" },
        { "bits under the padding", "Zh==" },
        { "bits under one padding character", "Zm9=" },
        { "a line break", "Zm9v\n" },
        { "a line break inside", "Zm9\n" },
        { "a space", "Zm 9" },
        { "the URL-safe 62", "ab-d" },
        { "the URL-safe 63", "ab_d" },
        { "the URL-safe 62 in a whole block", "abcdefghijklmno-" },
        { "a foreign character", "Zm9*" },
        { "a foreign character in a long text", "Zm9vYmFyZm9vYmFyZm9*YmFyZm9vYmFyZm9v" },
        { "a character that is not ASCII", "Zm9\xc3" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        uint8_t out[64];
        size_t len = 4711;

        if (hf_base64_decode_strict(hf_bytes_of_text(cases[i].text), out, &len) || len != 4711) {
            fail_msg("%s", cases[i].says);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_hold),
        cmocka_unit_test(every_length_goes_both_ways),
        cmocka_unit_test(every_character_has_its_value_at_every_place),
        cmocka_unit_test(lenient_decoding_follows_the_table),
        cmocka_unit_test(lenient_decoding_agrees_with_the_slow_one),
        cmocka_unit_test(strict_decoding_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
