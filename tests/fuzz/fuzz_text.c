/* Base64, hex, percent encoding, patterns, UTF-8 and numbers, against slow and obvious versions. */
#include "fuzz.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int slow_value(uint8_t c)
{
    const char *at = c != 0 ? strchr(alphabet, c == '-' ? '+' : c == '_' ? '/' : c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* One bit at a time. */
static size_t slow_decode(struct hf_bytes text, uint8_t *out)
{
    size_t bits = 0;
    size_t max = hf_base64_max(text.len);

    memset(out, 0, max);
    for (size_t i = 0; i < text.len && text.data[i] != '='; i++) {
        int value = slow_value(text.data[i]);

        for (int bit = 5; value >= 0 && bit >= 0; bit--, bits++) {
            if (bits / 8 < max) {
                out[bits / 8] = (uint8_t)(out[bits / 8] | (value >> bit & 1) << (7 - bits % 8));
            }
        }
    }
    return bits / 8;
}

static void check_base64_decoding(struct hf_bytes text)
{
    uint8_t *fast = hf_alloc(hf_base64_max(text.len));
    uint8_t *slow = hf_alloc(hf_base64_max(text.len));
    size_t len = hf_base64_decode_lenient(text, fast);
    size_t strict_len = 0;
    bool strict;

    fuzz_require(len == slow_decode(text, slow) && memcmp(fast, slow, len) == 0);
    strict = hf_base64_decode_strict(text, fast, &strict_len);
    if (strict) {
        HF_AUTO(buf) again = hf_buf_new();

        hf_base64_add(again, hf_bytes_of(fast, strict_len));
        fuzz_require(hf_bytes_equal(hf_buf_bytes(again), text));
    }
    free(fast);
    free(slow);
}

static void check_base64_encoding(struct hf_bytes bytes)
{
    HF_AUTO(buf) padded = hf_buf_new();
    HF_AUTO(buf) safe = hf_buf_new();
    uint8_t *back = hf_alloc(bytes.len);
    size_t len = 0;

    hf_base64_add(padded, bytes);
    hf_base64url_add(safe, bytes);
    fuzz_require(hf_base64_decode_strict(hf_buf_bytes(padded), back, &len));
    fuzz_require(hf_bytes_equal(hf_bytes_of(back, len), bytes));
    fuzz_require(hf_base64_max(safe->len) == bytes.len);
    fuzz_require(hf_base64_decode_lenient(hf_buf_bytes(safe), back) == bytes.len);
    fuzz_require(hf_bytes_equal(hf_bytes_of(back, len), bytes));
    free(back);
}

static void check_hex(struct hf_bytes bytes)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) back = hf_buf_new();
    HF_AUTO(buf) direct = hf_buf_new();

    hf_hex_add(text, bytes);
    fuzz_require(hf_hex_decode(fuzz_op(), hf_buf_bytes(text), back).code == HF_OK);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(back), bytes));
    if (hf_hex_decode(fuzz_op(), bytes, direct).code == HF_OK) {
        fuzz_require(direct->len * 2 == bytes.len);
    } else {
        fuzz_require(direct->len == 0);
    }
}

static void check_percent(struct hf_bytes bytes)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) back = hf_buf_new();
    HF_AUTO(buf) direct = hf_buf_new();

    hf_percent_add(text, bytes);
    fuzz_require(hf_percent_decode(fuzz_op(), hf_buf_bytes(text), true, back).code == HF_OK);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(back), bytes));
    if (hf_percent_decode(fuzz_op(), bytes, false, direct).code == HF_OK) {
        fuzz_require(direct->len <= bytes.len);
    } else {
        fuzz_require(direct->len == 0 && memchr(bytes.data, '%', bytes.len) != NULL);
    }
}

static bool slow_match(const char *pattern, const char *text)
{
    if (*pattern == '*') {
        return slow_match(pattern + 1, text) || (*text != '\0' && slow_match(pattern, text + 1));
    }
    return *pattern == *text && (*text == '\0' || slow_match(pattern + 1, text + 1));
}

/* The pattern is what stands before the first newline. */
static void check_pattern(struct hf_bytes bytes)
{
    HF_AUTO_STRING pattern = hf_strndup((const char *)bytes.data, bytes.len < 24 ? bytes.len : 24);
    char *newline = strchr(pattern, '\n');

    if (newline != NULL) {
        *newline = '\0';
        fuzz_require(hf_pattern_matches(pattern, newline + 1) == slow_match(pattern, newline + 1));
    }
}

/* How many bytes a character takes by its value: what is not the shortest form is not valid. */
static size_t shortest_form(uint32_t value)
{
    if (value < 0x80) {
        return 1;
    }
    if (value < 0x800) {
        return 2;
    }
    return value < 0x10000 ? 3 : 4;
}

/* The value of the character of this length at the front, or 0 when its bytes are not of that form.
 */
static uint32_t slow_value_of(struct hf_bytes text, size_t len)
{
    uint32_t value = len == 1 ? text.data[0] : text.data[0] & (0x7fU >> len);

    if (text.len < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if (text.data[i] >> 6 != 2) {
            return 0;
        }
        value = value << 6 | (text.data[i] & 0x3fU);
    }
    return shortest_form(value) == len ? value : 0;
}

static bool slow_is_utf8(struct hf_bytes text)
{
    while (text.len > 0) {
        uint8_t first = text.data[0];
        size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        uint32_t value = slow_value_of(text, len);
        bool stray = (first >= 0x80 && first < 0xc0) || first >= 0xf8;

        if (stray || value == 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
            return false;
        }
        text = hf_bytes_of(text.data + len, text.len - len);
    }
    return true;
}

static void check_number(struct hf_bytes bytes)
{
    HF_AUTO_STRING text = hf_strndup((const char *)bytes.data, bytes.len);
    HF_AUTO_STRING canonical = NULL;
    uint64_t value = 0;
    bool good = hf_parse_u64(fuzz_op(), text, UINT64_MAX, &value).code == HF_OK;

    /* A text is a number exactly if it is how that number is written. */
    if (!good) {
        errno = 0;
        value = strtoull(text, NULL, 10);
    }
    canonical = hf_format("%" PRIu64, value);
    fuzz_require(good == (strcmp(canonical, text) == 0 && (good || errno == 0)));
}

static void check_date(struct hf_bytes bytes)
{
    HF_AUTO(buf) out = hf_buf_new();
    uint64_t ms = 0;

    memcpy(&ms, bytes.data, bytes.len < sizeof ms ? bytes.len : sizeof ms);
    hf_date_add(out, ms);
    fuzz_require(out->len >= 24 && out->data[out->len - 1] == 'Z');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const checks[])(struct hf_bytes bytes) = {
        check_base64_decoding, check_base64_encoding, check_hex,  check_percent,
        check_pattern,         check_number,          check_date,
    };
    struct hf_bytes input = hf_bytes_of(data, len);
    uint8_t choice = fuzz_take_byte(&input);

    if (input.len > 0) {
        checks[choice % HF_COUNT(checks)](input);
        fuzz_require(hf_text_is_utf8(input) == slow_is_utf8(input));
    }
    return 0;
}
