/* Fixed-width big-endian numbers and length-prefixed bytes. */
#include "base/codec.h"

#include "base/alloc.h"
#include "base/assert.h"

static void put_number(struct hf_buf *buf, uint64_t value, unsigned width)
{
    uint8_t *at = hf_buf_reserve(buf, width);

    for (unsigned i = 0; i < width; i++) {
        at[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
    hf_buf_grew(buf, width);
}

void hf_put_u8(struct hf_buf *buf, uint8_t value)
{
    put_number(buf, value, 1);
}

void hf_put_u16(struct hf_buf *buf, uint16_t value)
{
    put_number(buf, value, 2);
}

void hf_put_u32(struct hf_buf *buf, uint32_t value)
{
    put_number(buf, value, 4);
}

void hf_put_u64(struct hf_buf *buf, uint64_t value)
{
    put_number(buf, value, 8);
}

void hf_put_bytes(struct hf_buf *buf, struct hf_bytes bytes)
{
    hf_assert(bytes.len <= UINT32_MAX);
    hf_put_u32(buf, (uint32_t)bytes.len);
    hf_buf_add_bytes(buf, bytes);
}

void hf_put_text(struct hf_buf *buf, const char *text)
{
    hf_put_bytes(buf, hf_bytes_of_text(text));
}

void hf_reader_init(struct hf_reader *reader, struct hf_bytes bytes)
{
    reader->at = bytes.data;
    reader->end = bytes.len > 0 ? bytes.data + bytes.len : bytes.data;
    reader->failed = false;
}

struct hf_bytes hf_take_raw(struct hf_reader *reader, size_t len)
{
    struct hf_bytes taken;

    if (reader->failed || (size_t)(reader->end - reader->at) < len) {
        reader->failed = true;
        return HF_BYTES_NONE;
    }
    taken = hf_bytes_of(reader->at, len);
    reader->at = len > 0 ? reader->at + len : reader->at;
    return taken;
}

static uint64_t take_number(struct hf_reader *reader, unsigned width)
{
    struct hf_bytes raw = hf_take_raw(reader, width);
    uint64_t value = 0;

    for (size_t i = 0; i < raw.len; i++) {
        value = value << 8 | raw.data[i];
    }
    return value;
}

uint8_t hf_take_u8(struct hf_reader *reader)
{
    return (uint8_t)take_number(reader, 1);
}

uint16_t hf_take_u16(struct hf_reader *reader)
{
    return (uint16_t)take_number(reader, 2);
}

uint32_t hf_take_u32(struct hf_reader *reader)
{
    return (uint32_t)take_number(reader, 4);
}

uint64_t hf_take_u64(struct hf_reader *reader)
{
    return take_number(reader, 8);
}

struct hf_bytes hf_take_bytes(struct hf_reader *reader)
{
    return hf_take_raw(reader, hf_take_u32(reader));
}

char *hf_take_text(struct hf_reader *reader)
{
    struct hf_bytes raw = hf_take_bytes(reader);

    if (raw.len > 0 && memchr(raw.data, '\0', raw.len) != NULL) {
        reader->failed = true;
        raw = HF_BYTES_NONE;
    }
    return raw.len > 0 ? hf_strndup((const char *)raw.data, raw.len) : hf_strdup("");
}

struct hf_status hf_reader_end(struct hf_reader *reader, struct hf_op *op, const char *what)
{
    if (reader->failed) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%s is cut short", what);
    }
    if (reader->at != reader->end) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%s has bytes after its end", what);
    }
    return HF_SUCCESS;
}
