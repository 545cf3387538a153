/* Finds the row of a route table that a request asks for. */
#include "http/internal.h"

#include "base/assert.h"

static size_t segment_len(const char *text)
{
    return strcspn(text, "/");
}

static void remember(struct hf_request *request, const char *name, size_t name_len,
                     struct hf_bytes raw)
{
    hf_assert(request->segment_count < HF_MAX_SEGMENTS);
    request->segments[request->segment_count++] = (struct hf_segment){
        .name = name,
        .name_len = name_len,
        .raw = raw,
    };
}

/* Steps over "/segment" in both; false when they differ. */
static bool step(struct hf_request *request, const char **pattern, struct hf_bytes *path)
{
    const char *wanted = *pattern + 1;
    size_t wanted_len = segment_len(wanted);
    const uint8_t *at = path->data + 1;
    const uint8_t *slash = path->len > 1 ? memchr(at, '/', path->len - 1) : NULL;
    struct hf_bytes found = hf_bytes_of(at, slash != NULL ? (size_t)(slash - at) : path->len - 1);

    if (wanted[0] == ':') {
        if (found.len == 0) {
            return false;
        }
        remember(request, wanted + 1, wanted_len - 1, found);
    } else if (!hf_bytes_equal(found, hf_bytes_of(wanted, wanted_len))) {
        return false;
    }
    *pattern = wanted + wanted_len;
    *path = hf_bytes_of(found.data + found.len, path->len - 1 - found.len);
    return true;
}

/* Remembers raw segments on the way; they count only when the whole path matches. */
static bool matches(struct hf_request *request, const char *pattern)
{
    struct hf_bytes path = request->path;

    request->segment_count = 0;
    while (pattern[0] == '/' && path.len > 0 && path.data[0] == '/') {
        if (pattern[1] == '*') {
            remember(request, pattern + 2, strlen(pattern + 2),
                     hf_bytes_of(path.data + 1, path.len - 1));
            return true;
        }
        if (!step(request, &pattern, &path)) {
            return false;
        }
    }
    return pattern[0] == '\0' && path.len == 0;
}

static uint8_t hex_digit(uint8_t digit)
{
    return (uint8_t)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
}

/* The parser has refused broken escapes and escaped zero bytes in paths. */
static void decode_segments(struct hf_request *request)
{
    uint8_t *out = NULL;

    if (request->segment_count == 0) {
        return;
    }
    hf_buf_clear(&request->text);
    out = hf_buf_reserve(&request->text, request->path.len + HF_MAX_SEGMENTS);
    for (size_t i = 0; i < request->segment_count; i++) {
        struct hf_bytes raw = request->segments[i].raw;

        request->segments[i].text = (const char *)out;
        for (size_t at = 0; at < raw.len; at++) {
            if (raw.data[at] == '%') {
                *out++ = (uint8_t)(hex_digit(raw.data[at + 1]) << 4 | hex_digit(raw.data[at + 2]));
                at += 2;
            } else {
                *out++ = raw.data[at];
            }
        }
        *out++ = '\0';
    }
    hf_buf_grew(&request->text, (size_t)(out - request->text.data));
}

static bool serves(const struct hf_route *route, enum hf_method method)
{
    return route->method == method || (method == HF_HEAD && route->method == HF_GET);
}

const struct hf_route *hf_route_find(const struct hf_route *routes, struct hf_request *request,
                                     bool *out_other_method)
{
    *out_other_method = false;
    for (const struct hf_route *route = routes; route->pattern != NULL; route++) {
        if (!matches(request, route->pattern)) {
            continue;
        }
        if (serves(route, request->method)) {
            *out_other_method = false;
            decode_segments(request);
            return route;
        }
        *out_other_method = true;
    }
    request->segment_count = 0;
    return NULL;
}

bool hf_route_has_other_methods(const struct hf_route *routes, const struct hf_request *request,
                                struct hf_buf *out)
{
    /* A copy, as matching leaves segments behind. */
    struct hf_request copy = *request;

    for (const struct hf_route *route = routes; route->pattern != NULL; route++) {
        if (!matches(&copy, route->pattern)) {
            continue;
        }
        if (serves(route, request->method)) {
            return false;
        }
        hf_buf_add_format(out, "%s%s%s", out->len > 0 ? ", " : "", hf_method_name(route->method),
                          route->method == HF_GET ? ", HEAD" : "");
    }
    return out->len > 0;
}
