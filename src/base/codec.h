/*
 * Our binary forms: fixed-width big-endian numbers and length-prefixed bytes.
 *
 * A reader never steps past its end: after the first short read it stays failed, gives zeroes and
 * empty views, and hf_reader_end() says HF_CORRUPT, so a parser checks once.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

void hf_put_u8(struct hf_buf *buf, uint8_t value);
void hf_put_u16(struct hf_buf *buf, uint16_t value);
void hf_put_u32(struct hf_buf *buf, uint32_t value);
void hf_put_u64(struct hf_buf *buf, uint64_t value);
/* A 32-bit length, then the bytes. */
void hf_put_bytes(struct hf_buf *buf, struct hf_bytes bytes);
void hf_put_text(struct hf_buf *buf, const char *text);

struct hf_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

void hf_reader_init(struct hf_reader *reader, struct hf_bytes bytes);
uint8_t hf_take_u8(struct hf_reader *reader);
uint16_t hf_take_u16(struct hf_reader *reader);
uint32_t hf_take_u32(struct hf_reader *reader);
uint64_t hf_take_u64(struct hf_reader *reader);
/* A view into the source of exactly len bytes. */
struct hf_bytes hf_take_raw(struct hf_reader *reader, size_t len);
/* A view into the source, its length read first. */
struct hf_bytes hf_take_bytes(struct hf_reader *reader);
/*
 * The same as a string of the caller's; an embedded zero byte fails the reader. "" once it has
 * failed, never NULL.
 */
char *hf_take_text(struct hf_reader *reader);
/* HF_CORRUPT if anything was short or anything is left over; what names the thing parsed. */
HF_STATUS hf_reader_end(struct hf_reader *reader, struct hf_op *op, const char *what);
