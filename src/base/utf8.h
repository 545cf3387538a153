/*
 * One UTF-8 character at a time, for those who walk texts byte by byte.
 */
#pragma once

#include "base/bytes.h"

#define HF_UTF8_MAX 4

/*
 * The length of the valid character at an offset within text, or 0 when there is none: a stray or
 * missing continuation, an overlong form, a surrogate, or something above U+10FFFF. NUL has
 * length 1.
 */
size_t hf_utf8_len(struct hf_bytes text, size_t at);

/* Writes a code point up to U+10FFFF and returns its length. */
size_t hf_utf8_put(uint32_t code_point, uint8_t out[HF_UTF8_MAX]);
