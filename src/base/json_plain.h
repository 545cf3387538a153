/*
 * How far a JSON string goes on with characters that mean themselves. It is the innermost loop of
 * the scanner and of the writer, so it looks at sixteen bytes at a time.
 */
#pragma once

#include <endian.h>

#include "base/bytes.h"

typedef uint8_t hf_json_lanes __attribute__((vector_size(16)));
typedef int8_t hf_json_signed_lanes __attribute__((vector_size(16)));
typedef uint64_t hf_json_words __attribute__((vector_size(16)));

/* Printable ASCII but quote and backslash. */
static inline bool hf_json_is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The place of the first byte from at on that is not plain, or text.len. */
static inline size_t hf_json_plain_end(struct hf_bytes text, size_t at)
{
    while (text.len - at >= sizeof(hf_json_lanes)) {
        hf_json_lanes c;
        hf_json_words special;

        memcpy(&c, text.data + at, sizeof c);
        /* Taken as signed, what is not ASCII is less than a space too. */
        special = (hf_json_words)((hf_json_signed_lanes)c < 0x20) | (hf_json_words)(c == '"') |
                  (hf_json_words)(c == '\\') | (hf_json_words)(c == 0x7f);
        if (special[0] != 0) {
            return at + (size_t)__builtin_ctzll(le64toh(special[0])) / 8;
        }
        if (special[1] != 0) {
            return at + 8 + (size_t)__builtin_ctzll(le64toh(special[1])) / 8;
        }
        at += sizeof c;
    }
    while (at < text.len && hf_json_is_plain(text.data[at])) {
        at++;
    }
    return at;
}
