/*
 * Bytes as text: hex, base64 in both alphabets, percent encoding, patterns and dates.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

/* Adds lower-case hex. */
void hf_hex_add(struct hf_buf *buf, struct hf_bytes bytes);
/* Adds the bytes of a hex text; HF_INVALID on an odd length or a foreign character. */
HF_STATUS hf_hex_decode(struct hf_op *op, struct hf_bytes text, struct hf_buf *out);

/* RFC 4648: standard alphabet with padding, or URL-safe without. */
void hf_base64_add(struct hf_buf *buf, struct hf_bytes bytes);
void hf_base64url_add(struct hf_buf *buf, struct hf_bytes bytes);
/* The most bytes that len characters can give. */
size_t hf_base64_max(size_t len);
/*
 * Both alphabets, padding optional and the end of the text, foreign characters skipped, as
 * commons-codec does it for Hadoop. Writes at most hf_base64_max(text.len) bytes and returns how
 * many. Runs in time that does not depend on the values of the characters of the alphabet.
 */
size_t hf_base64_decode_lenient(struct hf_bytes text, uint8_t *out);
/* Standard alphabet, canonical padding, nothing else; false if it is not that. */
bool hf_base64_decode_strict(struct hf_bytes text, uint8_t *out, size_t *out_len);

/* RFC 3986 percent encoding of everything but unreserved characters. */
void hf_percent_add(struct hf_buf *buf, struct hf_bytes bytes);
/* Adds the decoded bytes; HF_INVALID on a broken escape. plus_is_space decodes form encoding. */
HF_STATUS hf_percent_decode(struct hf_op *op, struct hf_bytes text, bool plus_is_space,
                            struct hf_buf *out);

/* A pattern with '*' for any run of characters; everything else stands for itself. */
bool hf_pattern_matches(const char *pattern, const char *text);

/* Valid UTF-8 without NUL. */
bool hf_text_is_utf8(struct hf_bytes text);

/* "2026-11-21T23:31:00.123Z" from milliseconds since 1970. */
void hf_date_add(struct hf_buf *buf, uint64_t realtime_ms);

/* A number in decimal. */
void hf_decimal_add(struct hf_buf *buf, uint64_t value);

/* A whole number in decimal with nothing around it and no leading zeros, at most max. */
HF_STATUS hf_parse_u64(struct hf_op *op, const char *text, uint64_t max, uint64_t *out);
