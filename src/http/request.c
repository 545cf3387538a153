/* What a door may ask about a request. */
#include "http/internal.h"

#include "base/text.h"

enum hf_method hf_request_method(const struct hf_request *request)
{
    return request->method;
}

struct hf_bytes hf_request_path(const struct hf_request *request)
{
    return request->path;
}

struct hf_bytes hf_request_query(const struct hf_request *request)
{
    return request->query;
}

struct hf_bytes hf_request_body(const struct hf_request *request)
{
    return request->body;
}

bool hf_request_body_is_refused(const struct hf_request *request)
{
    return request->body_is_refused;
}

bool hf_request_found_no_room(const struct hf_request *request)
{
    return request->found_no_room;
}

bool hf_request_keeps_alive(const struct hf_request *request)
{
    return request->keeps_alive;
}

/* The value of the header line at an index, if it has that name. */
static bool value_at(const struct hf_request *request, size_t index, const char *name,
                     struct hf_bytes *out)
{
    const struct hf_header_line *line = &request->headers[index];

    if (!hf_ignore_case_equal(hf_bytes_of(request->base + line->name_at, line->name_len), name)) {
        return false;
    }
    *out = hf_bytes_of(request->base + line->value_at, line->value_len);
    return true;
}

struct hf_bytes hf_request_header(const struct hf_request *request, const char *name)
{
    struct hf_bytes value = HF_BYTES_NONE;

    for (size_t i = 0; i < request->header_count; i++) {
        if (value_at(request, i, name, &value)) {
            break;
        }
    }
    return value;
}

/* ---- Cookies: RFC 6265, 4.2.1, and quotes around the value ---- */

/* Cuts off and returns what stands before the separator. */
static struct hf_bytes take_until(struct hf_bytes *rest, char separator)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
    struct hf_bytes first = hf_bytes_of(rest->data, len);

    rest->data += end != NULL ? len + 1 : len;
    rest->len -= end != NULL ? len + 1 : len;
    return first;
}

static struct hf_bytes without_spaces(struct hf_bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

static bool find_cookie(struct hf_bytes header, const char *name, struct hf_bytes *out)
{
    while (header.len > 0) {
        struct hf_bytes value = without_spaces(take_until(&header, ';'));
        struct hf_bytes pair = value;
        struct hf_bytes found = take_until(&value, '=');

        if (found.len == pair.len || !hf_bytes_equal_text(found, name)) {
            continue;
        }
        if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
            value = hf_bytes_of(value.data + 1, value.len - 2);
        }
        *out = value;
        return true;
    }
    return false;
}

struct hf_bytes hf_request_cookie(const struct hf_request *request, const char *name)
{
    struct hf_bytes header;
    struct hf_bytes value = HF_BYTES_NONE;

    for (size_t i = 0; i < request->header_count; i++) {
        if (value_at(request, i, "cookie", &header) && find_cookie(header, name, &value)) {
            break;
        }
    }
    return value;
}

/* ---- Query parameters ---- */

static bool has_escapes(struct hf_bytes text)
{
    return text.len > 0 &&
           (memchr(text.data, '%', text.len) != NULL || memchr(text.data, '+', text.len) != NULL);
}

static bool is_same_name(struct hf_bytes found, const char *name, bool ignore_case)
{
    return ignore_case ? hf_ignore_case_equal(found, name) : hf_bytes_equal_text(found, name);
}

static struct hf_status matches_name(struct hf_op *op, struct hf_bytes raw, const char *name,
                                     bool ignore_case, bool *out)
{
    HF_AUTO(buf) decoded = NULL;

    if (!has_escapes(raw)) {
        *out = is_same_name(raw, name, ignore_case);
        return HF_SUCCESS;
    }
    decoded = hf_buf_new();
    HF_TRY(hf_percent_decode(op, raw, true, decoded));
    *out = is_same_name(hf_buf_bytes(decoded), name, ignore_case);
    return HF_SUCCESS;
}

struct hf_status hf_request_parameter(struct hf_op *op, const struct hf_request *request,
                                      const char *name, bool ignore_case, size_t nth,
                                      struct hf_buf *out)
{
    struct hf_bytes query = request->query;

    while (query.len > 0) {
        struct hf_bytes value = take_until(&query, '&');
        struct hf_bytes found = take_until(&value, '=');
        bool is_it = false;

        HF_TRY(matches_name(op, found, name, ignore_case, &is_it));
        if (is_it && nth-- == 0) {
            return hf_percent_decode(op, value, true, out);
        }
    }
    return hf_fail(op, HF_NOT_FOUND, "the query has no parameter %s", name);
}

/* ---- Segments ---- */

static const struct hf_segment *find_segment(const struct hf_request *request, const char *name)
{
    for (size_t i = 0; i < request->segment_count; i++) {
        const struct hf_segment *segment = &request->segments[i];

        if (hf_bytes_equal_text(hf_bytes_of(segment->name, segment->name_len), name)) {
            return segment;
        }
    }
    return NULL;
}

const char *hf_request_segment(const struct hf_request *request, const char *name)
{
    const struct hf_segment *segment = find_segment(request, name);

    return segment != NULL ? segment->text : NULL;
}

struct hf_bytes hf_request_raw_segment(const struct hf_request *request, const char *name)
{
    const struct hf_segment *segment = find_segment(request, name);

    return segment != NULL ? segment->raw : HF_BYTES_NONE;
}
