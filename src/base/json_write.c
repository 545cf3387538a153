/* Writes JSON straight into a buffer. */
#include "base/json.h"

#include "base/json_plain.h"
#include "base/text.h"
#include "base/utf8.h"

void hf_json_writer_init(struct hf_json_writer *writer, struct hf_buf *out)
{
    writer->out = out;
    writer->comma = false;
}

/* The characters that JSON gives a short escape, each followed by its letter. */
static char short_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return '\0';
    }
}

/* Adds the character that starts here and is not plain ASCII; returns its length. */
static size_t add_special(struct hf_buf *out, struct hf_bytes text, size_t at)
{
    uint8_t c = text.data[at];
    char letter = short_escape(c);
    size_t len = hf_utf8_len(text, at);

    if (letter != '\0') {
        const char escape[2] = { '\\', letter };

        hf_buf_add(out, escape, sizeof escape);
    } else if (c < 0x20 || c == 0x7f) {
        hf_buf_add_format(out, "\\u%04x", c);
    } else if (len == 2 && c == 0xc2 && text.data[at + 1] < 0xa0) {
        /* The controls C1 are valid as they are, but would drive the terminal that shows them. */
        hf_buf_add_format(out, "\\u%04x", text.data[at + 1]);
    } else if (len == 0) {
        hf_buf_add_text(out, "\xef\xbf\xbd"); /* U+FFFD */
    } else {
        hf_buf_add(out, text.data + at, len);
    }
    return len > 0 ? len : 1;
}

/* The rest of a text in which something is not plain. */
static void add_rest(struct hf_buf *out, struct hf_bytes text, size_t at)
{
    while (at < text.len) {
        size_t plain = hf_json_plain_end(text, at);

        hf_buf_add(out, text.data + at, plain - at);
        at = plain;
        if (at < text.len) {
            at += add_special(out, text, at);
        }
    }
}

void hf_json_add_quoted(struct hf_buf *out, struct hf_bytes text)
{
    size_t plain = hf_json_plain_end(text, 0);
    uint8_t *at = hf_buf_reserve(out, plain + 2);

    *at++ = '"';
    if (plain > 0) {
        memcpy(at, text.data, plain);
    }
    if (plain == text.len) {
        at[plain] = '"';
        hf_buf_grew(out, plain + 2);
        return;
    }
    hf_buf_grew(out, plain + 1);
    add_rest(out, text, plain);
    hf_buf_add(out, "\"", 1);
}

/* Everything that stands before a value. */
static void begin(struct hf_json_writer *writer, const char *name)
{
    if (writer->comma) {
        hf_buf_add(writer->out, ",", 1);
    }
    if (name != NULL) {
        hf_json_add_quoted(writer->out, hf_bytes_of_text(name));
        hf_buf_add(writer->out, ":", 1);
    }
    writer->comma = true;
}

static void open_with(struct hf_json_writer *writer, const char *name, char bracket)
{
    begin(writer, name);
    hf_buf_add(writer->out, &bracket, 1);
    writer->comma = false;
}

static void close_with(struct hf_json_writer *writer, char bracket)
{
    hf_buf_add(writer->out, &bracket, 1);
    writer->comma = true;
}

void hf_json_open_object(struct hf_json_writer *writer, const char *name)
{
    open_with(writer, name, '{');
}

void hf_json_close_object(struct hf_json_writer *writer)
{
    close_with(writer, '}');
}

void hf_json_open_array(struct hf_json_writer *writer, const char *name)
{
    open_with(writer, name, '[');
}

void hf_json_close_array(struct hf_json_writer *writer)
{
    close_with(writer, ']');
}

void hf_json_put_text(struct hf_json_writer *writer, const char *name, const char *text)
{
    hf_json_put_bytes_text(writer, name, hf_bytes_of_text(text));
}

void hf_json_put_bytes_text(struct hf_json_writer *writer, const char *name, struct hf_bytes text)
{
    begin(writer, name);
    hf_json_add_quoted(writer->out, text);
}

static void put_encoded(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes,
                        void (*add)(struct hf_buf *buf, struct hf_bytes bytes))
{
    begin(writer, name);
    hf_buf_add(writer->out, "\"", 1);
    add(writer->out, bytes);
    hf_buf_add(writer->out, "\"", 1);
}

void hf_json_put_base64(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes)
{
    put_encoded(writer, name, bytes, hf_base64_add);
}

void hf_json_put_base64url(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes)
{
    put_encoded(writer, name, bytes, hf_base64url_add);
}

void hf_json_put_hex(struct hf_json_writer *writer, const char *name, struct hf_bytes bytes)
{
    put_encoded(writer, name, bytes, hf_hex_add);
}

void hf_json_put_u64(struct hf_json_writer *writer, const char *name, uint64_t value)
{
    begin(writer, name);
    hf_decimal_add(writer->out, value);
}

void hf_json_put_bool(struct hf_json_writer *writer, const char *name, bool value)
{
    begin(writer, name);
    hf_buf_add_text(writer->out, value ? "true" : "false");
}

void hf_json_put_null(struct hf_json_writer *writer, const char *name)
{
    begin(writer, name);
    hf_buf_add_text(writer->out, "null");
}

void hf_json_put_text_or_null(struct hf_json_writer *writer, const char *name, const char *text)
{
    if (text[0] != '\0') {
        hf_json_put_text(writer, name, text);
    } else {
        hf_json_put_null(writer, name);
    }
}

void hf_json_put_date(struct hf_json_writer *writer, const char *name, uint64_t realtime_ms)
{
    begin(writer, name);
    hf_buf_add(writer->out, "\"", 1);
    hf_date_add(writer->out, realtime_ms);
    hf_buf_add(writer->out, "\"", 1);
}
