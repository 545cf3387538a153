/*
 * Our own reading of a request's head, stricter than llhttp's. Both must accept it: what two
 * readers understand differently is what request smuggling is made of.
 */
#include "http/internal.h"

#include "base/alloc.h"

enum byte_kind {
    IS_TOKEN = 1,  /* RFC 9110, 5.6.2 */
    IS_TARGET = 2, /* visible ASCII but '#' */
    IS_VALUE = 4,  /* visible, space, tab and the bytes above 127 */
    IS_HOST = 8,
    IS_HEX = 16,
};

#define X IS_HEX
#define T IS_TOKEN
#define U IS_TARGET
#define V IS_VALUE
#define H IS_HOST

static const uint8_t kinds[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | U | V | H,
    ['"'] = U | V,
    ['#'] = T | V,
    ['$' ... '\''] = T | U | V | H,
    ['(' ... ')'] = U | V | H,
    ['*'] = T | U | V | H,
    ['+'] = T | U | V | H,
    [','] = U | V,
    ['-' ... '.'] = T | U | V | H,
    ['/'] = U | V,
    ['0' ... '9'] = T | U | V | H | X,
    [':'] = U | V | H,
    [';'] = U | V | H,
    ['<'] = U | V,
    ['='] = U | V | H,
    ['>' ... '@'] = U | V,
    ['A' ... 'F'] = T | U | V | H | X,
    ['G' ... 'Z'] = T | U | V | H,
    ['['] = U | V | H,
    ['\\'] = U | V,
    [']'] = U | V | H,
    ['^'] = T | U | V,
    ['_'] = T | U | V | H,
    ['`'] = T | U | V,
    ['a' ... 'f'] = T | U | V | H | X,
    ['g' ... 'z'] = T | U | V | H,
    ['{'] = U | V,
    ['|'] = T | U | V,
    ['}'] = U | V,
    ['~'] = T | U | V | H,
    [128 ... 255] = V,
};

#undef X
#undef T
#undef U
#undef V
#undef H

#define FAULT(name, fault_code, fault_status, fault_text)                                          \
    static const struct hf_http_fault name = { .code = (fault_code),                               \
                                               .status = (fault_status),                           \
                                               .text = (fault_text) }

FAULT(bad_request_line, HF_INVALID, 400, "the request line is not METHOD TARGET HTTP/1.1");
FAULT(bad_target, HF_INVALID, 400, "the request target is not a path");
FAULT(bad_escape, HF_INVALID, 400, "the path has a broken escape or an escaped zero byte");
FAULT(unknown_method, HF_UNSUPPORTED, 501, "the method is not known");
FAULT(unknown_version, HF_UNSUPPORTED, 505, "the version of HTTP is neither 1.0 nor 1.1");
FAULT(bad_header, HF_INVALID, 400, "a header line is not Name: value");
FAULT(folded_header, HF_INVALID, 400, "a header line begins with a space");
FAULT(too_many_headers, HF_TOO_LARGE, 431, "the request has too many header lines");
FAULT(bad_length, HF_INVALID, 400, "Content-Length is not a number");
FAULT(two_lengths, HF_INVALID, 400, "Content-Length is there twice");
FAULT(two_framings, HF_INVALID, 400, "Content-Length and Transfer-Encoding are both there");
FAULT(two_encodings, HF_INVALID, 400, "Transfer-Encoding is there twice");
FAULT(old_encoding, HF_INVALID, 400, "Transfer-Encoding is there in HTTP/1.0");
FAULT(unknown_encoding, HF_UNSUPPORTED, 501, "the transfer encoding is not chunked");
FAULT(unknown_expectation, HF_UNSUPPORTED, 417, "the expectation is not 100-continue");
FAULT(bad_host, HF_INVALID, 400, "Host is no host");
FAULT(not_one_host, HF_INVALID, 400, "Host is not there exactly once");

static const struct {
    const char *name;
    enum hf_method method;
} methods[] = {
    { "GET", HF_GET },         { "POST", HF_POST }, { "PUT", HF_PUT },     { "DELETE", HF_DELETE },
    { "OPTIONS", HF_OPTIONS }, { "HEAD", HF_HEAD }, { "PATCH", HF_PATCH }, { "LIST", HF_LIST },
};

const char *hf_method_name(enum hf_method method)
{
    const char *name = "";

    for (size_t i = 0; i < HF_COUNT(methods); i++) {
        if (methods[i].method == method) {
            name = methods[i].name;
        }
    }
    return name;
}

bool hf_head_is_token(uint8_t byte)
{
    return (kinds[byte] & IS_TOKEN) != 0;
}

static bool all_are(struct hf_bytes bytes, enum byte_kind kind)
{
    unsigned seen = ~0U;

    for (size_t i = 0; i < bytes.len; i++) {
        seen &= kinds[bytes.data[i]];
    }
    return (seen & kind) != 0;
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

bool hf_ignore_case_equal(struct hf_bytes bytes, const char *text)
{
    if (strlen(text) != bytes.len) {
        return false;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        if (lower(bytes.data[i]) != lower((uint8_t)text[i])) {
            return false;
        }
    }
    return true;
}

static struct hf_bytes part(struct hf_bytes bytes, size_t from, size_t to)
{
    return hf_bytes_of(bytes.data + from, to - from);
}

/* ---- The request line ---- */

static const struct hf_http_fault *read_method(struct hf_bytes name, enum hf_method *out)
{
    if (name.len == 0 || !all_are(name, IS_TOKEN)) {
        return &bad_request_line;
    }
    for (size_t i = 0; i < HF_COUNT(methods); i++) {
        if (hf_bytes_equal_text(name, methods[i].name)) {
            *out = methods[i].method;
            return NULL;
        }
    }
    return &unknown_method;
}

static const struct hf_http_fault *read_version(struct hf_bytes version, bool *out_is_10)
{
    if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.' ||
        version.data[5] < '0' || version.data[5] > '9' || version.data[7] < '0' ||
        version.data[7] > '9') {
        return &bad_request_line;
    }
    *out_is_10 = version.data[7] == '0';
    return version.data[5] == '1' && version.data[7] <= '1' ? NULL : &unknown_version;
}

/* Where the path of an absolute target begins; 0 when it is not one. */
static size_t skip_authority(struct hf_bytes target)
{
    static const char *const schemes[] = { "http://", "https://" };

    for (size_t i = 0; i < HF_COUNT(schemes); i++) {
        size_t len = strlen(schemes[i]);
        size_t at = len;

        if (target.len <= len || !hf_ignore_case_equal(part(target, 0, len), schemes[i])) {
            continue;
        }
        while (at < target.len && (kinds[target.data[at]] & IS_HOST) != 0) {
            at++;
        }
        return at > len && (at == target.len || target.data[at] == '/' || target.data[at] == '?')
                   ? at
                   : 0;
    }
    return 0;
}

static const struct hf_http_fault *check_escapes(struct hf_bytes path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] != '%') {
            continue;
        }
        if (path.len - i < 3 || !all_are(part(path, i + 1, i + 3), IS_HEX) ||
            (path.data[i + 1] == '0' && path.data[i + 2] == '0')) {
            return &bad_escape;
        }
    }
    return NULL;
}

/* The path in a target that is known to be well-formed. */
static struct hf_bytes path_of(struct hf_bytes target, size_t *out_query_at)
{
    size_t from = target.data[0] == '/' || target.data[0] == '*' ? 0 : skip_authority(target);
    const uint8_t *mark = memchr(target.data + from, '?', target.len - from);
    size_t to = mark != NULL ? (size_t)(mark - target.data) : target.len;

    *out_query_at = to < target.len ? to + 1 : target.len;
    return to > from ? part(target, from, to) : hf_bytes_of_text("/");
}

static const struct hf_http_fault *check_target(struct hf_bytes target, enum hf_method method)
{
    size_t query_at = 0;

    if (target.len == 0 || !all_are(target, IS_TARGET)) {
        return &bad_target;
    }
    if (target.data[0] == '*') {
        return target.len == 1 && method == HF_OPTIONS ? NULL : &bad_target;
    }
    if (target.data[0] != '/' && skip_authority(target) == 0) {
        return &bad_target;
    }
    return check_escapes(path_of(target, &query_at));
}

const struct hf_http_fault *hf_head_request_line(struct hf_http *http, struct hf_bytes line)
{
    const uint8_t *first = memchr(line.data, ' ', line.len);
    const uint8_t *last = memrchr(line.data, ' ', line.len);
    struct hf_request *request = &http->request;
    struct hf_bytes target;
    const struct hf_http_fault *fault = NULL;

    if (first == NULL || first == last) {
        return &bad_request_line;
    }
    fault =
        read_version(part(line, (size_t)(last - line.data) + 1, line.len), &request->is_http_10);
    if (fault == NULL) {
        fault = read_method(part(line, 0, (size_t)(first - line.data)), &request->method);
    }
    if (fault != NULL) {
        return fault;
    }
    target = hf_bytes_of(first + 1, (size_t)(last - first) - 1);
    http->head.target_at = http->line_at + (size_t)(target.data - line.data);
    http->head.target_len = target.len;
    return check_target(target, request->method);
}

void hf_head_split_target(const struct hf_http *http, struct hf_request *request)
{
    struct hf_bytes target =
        hf_bytes_of(request->base + http->head.target_at, http->head.target_len);
    size_t query_at = 0;

    request->path = path_of(target, &query_at);
    request->query = part(target, query_at, target.len);
}

/* ---- Header lines ---- */

static const struct hf_http_fault *read_length(struct hf_head *head, struct hf_bytes value)
{
    size_t length = 0;

    if (head->has_length) {
        return &two_lengths;
    }
    if (value.len == 0) {
        return &bad_length;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return &bad_length;
        }
        /* What does not fit is above every limit, so it may stay at the largest number. */
        if (__builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, (size_t)(value.data[i] - '0'), &length)) {
            length = SIZE_MAX / 16;
        }
    }
    head->has_length = true;
    head->length = length;
    return NULL;
}

static const struct hf_http_fault *read_encoding(struct hf_head *head, struct hf_bytes value)
{
    if (head->is_chunked) {
        return &two_encodings;
    }
    if (!hf_ignore_case_equal(value, "chunked")) {
        return &unknown_encoding;
    }
    head->is_chunked = true;
    return NULL;
}

static const struct hf_http_fault *read_host(struct hf_head *head, struct hf_bytes value)
{
    head->hosts++;
    return all_are(value, IS_HOST) ? NULL : &bad_host;
}

static const struct hf_http_fault *read_expectation(struct hf_head *head, struct hf_bytes value)
{
    head->wants_continue = true;
    return hf_ignore_case_equal(value, "100-continue") ? NULL : &unknown_expectation;
}

/* The headers that decide where a request ends; the others are for the doors. */
static const struct {
    size_t len; /* of the name: most headers are told apart by it */
    const char *name;
    const struct hf_http_fault *(*read)(struct hf_head *head, struct hf_bytes value);
} framing[] = {
    { 4, "host", read_host },
    { 6, "expect", read_expectation },
    { 14, "content-length", read_length },
    { 17, "transfer-encoding", read_encoding },
};

static const struct hf_http_fault *read_framing(struct hf_head *head, struct hf_bytes name,
                                                struct hf_bytes value)
{
    for (size_t i = 0; i < HF_COUNT(framing); i++) {
        if (name.len == framing[i].len && hf_ignore_case_equal(name, framing[i].name)) {
            return framing[i].read(head, value);
        }
    }
    return NULL;
}

static struct hf_bytes trim(struct hf_bytes value)
{
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value.data++;
        value.len--;
    }
    while (value.len > 0 &&
           (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t')) {
        value.len--;
    }
    return value;
}

static void add_header(struct hf_http *http, struct hf_bytes name, struct hf_bytes value)
{
    struct hf_request *request = &http->request;
    const uint8_t *base = http->in.data + http->start;

    if (request->header_count == request->header_room) {
        request->header_room = request->header_room == 0 ? 16 : request->header_room * 2;
        request->headers =
            hf_realloc_array(request->headers, request->header_room, sizeof *request->headers);
    }
    request->headers[request->header_count++] = (struct hf_header_line){
        .name_at = (uint32_t)(name.data - base),
        .name_len = (uint32_t)name.len,
        .value_at = (uint32_t)(value.data - base),
        .value_len = (uint32_t)value.len,
    };
}

const struct hf_http_fault *hf_head_header_line(struct hf_http *http, struct hf_bytes line)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    struct hf_bytes name;
    struct hf_bytes value;

    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return &folded_header;
    }
    if (http->request.header_count == http->limits.max_headers) {
        return &too_many_headers;
    }
    if (colon == NULL || colon == line.data) {
        return &bad_header;
    }
    name = part(line, 0, (size_t)(colon - line.data));
    value = trim(part(line, name.len + 1, line.len));
    if (!all_are(name, IS_TOKEN) || !all_are(value, IS_VALUE)) {
        return &bad_header;
    }
    add_header(http, name, value);
    return read_framing(&http->head, name, value);
}

const struct hf_http_fault *hf_head_end(struct hf_http *http)
{
    const struct hf_head *head = &http->head;

    if (head->has_length && head->is_chunked) {
        return &two_framings;
    }
    if (head->is_chunked && http->request.is_http_10) {
        return &old_encoding;
    }
    if (head->hosts != 1 && (head->hosts != 0 || !http->request.is_http_10)) {
        return &not_one_host;
    }
    return NULL;
}
