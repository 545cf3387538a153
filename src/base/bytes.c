/* Views and growing buffers; buffers wipe what they leave behind. */
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

bool hf_bytes_equal(struct hf_bytes a, struct hf_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool hf_bytes_equal_constant_time(struct hf_bytes a, struct hf_bytes b)
{
    volatile uint64_t difference = 0;
    uint64_t left, right;
    size_t at = 0;

    if (a.len != b.len) {
        return false;
    }
    for (; at + sizeof left <= a.len; at += sizeof left) {
        memcpy(&left, a.data + at, sizeof left);
        memcpy(&right, b.data + at, sizeof right);
        difference = difference | (left ^ right);
    }
    for (; at < a.len; at++) {
        difference = difference | (uint64_t)(a.data[at] ^ b.data[at]);
    }
    return difference == 0;
}

bool hf_bytes_equal_text(struct hf_bytes bytes, const char *text)
{
    return hf_bytes_equal(bytes, hf_bytes_of_text(text));
}

struct hf_buf *hf_buf_new(void)
{
    return hf_alloc(sizeof(struct hf_buf));
}

void hf_buf_free(struct hf_buf *buf)
{
    if (buf != NULL) {
        hf_buf_done(buf);
        free(buf);
    }
}

void hf_buf_init(struct hf_buf *buf)
{
    memset(buf, 0, sizeof *buf);
}

void hf_buf_done(struct hf_buf *buf)
{
    hf_wipe(buf->data, buf->capacity);
    free(buf->data);
    memset(buf, 0, sizeof *buf);
}

/* Apart from hf_buf_reserve(), so that the way that is nearly always taken stays short. */
__attribute__((noinline)) static void grow(struct hf_buf *buf, size_t len)
{
    /* The first time just what is asked for: who knows how much it will be says so at once. */
    size_t first = len < 64 ? 64 : len;
    size_t capacity = buf->capacity == 0 ? first : buf->capacity;
    uint8_t *data;

    hf_assert(len < SIZE_MAX / 4 && buf->len < SIZE_MAX / 4);
    while (capacity - buf->len < len) {
        capacity *= 2;
    }
    /* Not realloc: it may leave a copy of a plaintext behind. */
    data = malloc(capacity); /* not zeroed: what counts is written before it is counted */
    hf_assert(data != NULL);
    if (buf->data != NULL) {
        memcpy(data, buf->data, buf->len);
    }
    hf_wipe(buf->data, buf->capacity);
    free(buf->data);
    buf->data = data;
    buf->capacity = capacity;
}

uint8_t *hf_buf_reserve(struct hf_buf *buf, size_t len)
{
    /* Memory even for nothing, so that nobody counts from a null pointer. */
    if (buf->data == NULL || len > buf->capacity - buf->len) {
        grow(buf, len);
    }
    return buf->data + buf->len;
}

void hf_buf_grew(struct hf_buf *buf, size_t len)
{
    hf_assert(len <= buf->capacity - buf->len);
    buf->len += len;
}

void hf_buf_add(struct hf_buf *buf, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(hf_buf_reserve(buf, len), data, len);
        buf->len += len;
    }
}

void hf_buf_add_bytes(struct hf_buf *buf, struct hf_bytes bytes)
{
    hf_buf_add(buf, bytes.data, bytes.len);
}

void hf_buf_add_text(struct hf_buf *buf, const char *text)
{
    hf_buf_add(buf, text, strlen(text));
}

void hf_buf_add_format(struct hf_buf *buf, const char *format, ...)
{
    va_list arguments;
    int len;

    hf_assert(format != NULL);
    va_start(arguments, format);
    len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    hf_assert(len >= 0);
    va_start(arguments, format);
    (void)vsnprintf((char *)hf_buf_reserve(buf, (size_t)len + 1), (size_t)len + 1, format,
                    arguments);
    va_end(arguments);
    buf->len += (size_t)len;
}

void hf_buf_clear(struct hf_buf *buf)
{
    hf_wipe(buf->data, buf->len);
    buf->len = 0;
}

const char *hf_buf_text(struct hf_buf *buf)
{
    *hf_buf_reserve(buf, 1) = '\0';
    return (const char *)buf->data;
}
