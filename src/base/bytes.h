/*
 * Bytes: a view that owns nothing, and a buffer that grows and is wiped when freed.
 *
 * Threads: none of these is shared between threads.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

/* A view of somebody else's bytes; valid as long as they are. */
struct hf_bytes {
    const uint8_t *data;
    size_t len;
};

#define HF_BYTES_NONE ((struct hf_bytes){ NULL, 0 })

static inline struct hf_bytes hf_bytes_of(const void *data, size_t len)
{
    return (struct hf_bytes){ (const uint8_t *)data, len };
}

static inline struct hf_bytes hf_bytes_of_text(const char *text)
{
    return hf_bytes_of(text, strlen(text));
}

/* Equal in length and content; not in constant time. */
bool hf_bytes_equal(struct hf_bytes a, struct hf_bytes b);
/* Equal, in time that depends on the lengths only. */
bool hf_bytes_equal_constant_time(struct hf_bytes a, struct hf_bytes b);
bool hf_bytes_equal_text(struct hf_bytes bytes, const char *text);

/* A growing buffer of ordinary memory, wiped on growth and free. */
struct hf_buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
};

struct hf_buf *hf_buf_new(void);
void hf_buf_free(struct hf_buf *buf);
HF_DEFINE_CLEANUP(buf)

/* For a buffer inside another struct. */
void hf_buf_init(struct hf_buf *buf);
void hf_buf_done(struct hf_buf *buf);

/* Room for len more bytes; returns where they go. hf_buf_grew() then counts those written. */
uint8_t *hf_buf_reserve(struct hf_buf *buf, size_t len);
void hf_buf_grew(struct hf_buf *buf, size_t len);
void hf_buf_add(struct hf_buf *buf, const void *data, size_t len);
void hf_buf_add_bytes(struct hf_buf *buf, struct hf_bytes bytes);
void hf_buf_add_text(struct hf_buf *buf, const char *text);
void hf_buf_add_format(struct hf_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Empties it, wipes what was there and keeps the memory. */
void hf_buf_clear(struct hf_buf *buf);
/* The content as a terminated string; the terminator is not counted. */
const char *hf_buf_text(struct hf_buf *buf);

static inline struct hf_bytes hf_buf_bytes(const struct hf_buf *buf)
{
    return hf_bytes_of(buf->data, buf->len);
}
