/* UTF-8 as RFC 3629 has it. */
#include "base/utf8.h"

static bool is_continuation(uint8_t c)
{
    return (c & 0xc0U) == 0x80U;
}

/* The range of the second byte excludes overlong forms, surrogates and what is above U+10FFFF. */
static bool second_is_allowed(uint8_t first, uint8_t second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_continuation(second);
    }
}

static size_t len_by_first(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        return 3;
    }
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t hf_utf8_len(struct hf_bytes text, size_t at)
{
    const uint8_t *c = text.data + at;
    size_t len = len_by_first(c[0]);

    if (len <= 1) {
        return len;
    }
    if (text.len - at < len || !second_is_allowed(c[0], c[1])) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (!is_continuation(c[i])) {
            return 0;
        }
    }
    return len;
}

size_t hf_utf8_put(uint32_t code_point, uint8_t out[HF_UTF8_MAX])
{
    if (code_point < 0x80) {
        out[0] = (uint8_t)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (uint8_t)(0xc0U | code_point >> 6);
        out[1] = (uint8_t)(0x80U | (code_point & 0x3fU));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = (uint8_t)(0xe0U | code_point >> 12);
        out[1] = (uint8_t)(0x80U | (code_point >> 6 & 0x3fU));
        out[2] = (uint8_t)(0x80U | (code_point & 0x3fU));
        return 3;
    }
    out[0] = (uint8_t)(0xf0U | code_point >> 18);
    out[1] = (uint8_t)(0x80U | (code_point >> 12 & 0x3fU));
    out[2] = (uint8_t)(0x80U | (code_point >> 6 & 0x3fU));
    out[3] = (uint8_t)(0x80U | (code_point & 0x3fU));
    return 4;
}
