/*
 * HTTP: bytes that arrive whole and bytes that arrive in pieces give the same requests and the same
 * end; what a request says about itself keeps its promises; a reply cannot be split.
 */
#include "fuzz.h"

#include <string.h>

#include "http/http.h"

#define MAX_REQUESTS 64

static struct hf_status handle(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply)
{
    (void)exchange;
    (void)request;
    (void)reply;
    return hf_fail(op, HF_INTERNAL, "never called");
}

static const struct hf_route routes[] = {
    { HF_GET, "/a/:name", 16, HF_INLINE, handle },
    { HF_POST, "/a/:name/b/:other", 20000, HF_INLINE, handle },
    { HF_POST, "/r/*rest", 0, HF_INLINE, handle },
    { HF_GET, NULL, 0, HF_INLINE, NULL },
};

static void put(struct hf_buf *told, const char *what, struct hf_bytes bytes)
{
    hf_buf_add_format(told, " %s %zu ", what, bytes.len);
    hf_buf_add_bytes(told, bytes);
}

static void check_path(struct hf_bytes path)
{
    fuzz_require(path.len > 0 && (path.data[0] == '/' || hf_bytes_equal_text(path, "*")));
    for (size_t i = 0; i < path.len; i++) {
        fuzz_require(path.data[i] > ' ' && path.data[i] < 127 && path.data[i] != '?');
    }
}

static void check_value(struct hf_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        fuzz_require(value.data[i] == '\t' || (value.data[i] >= ' ' && value.data[i] != 127));
    }
}

static void tell_route(struct hf_request *request, struct hf_buf *told)
{
    bool other_method = false;
    const struct hf_route *route = hf_route_find(routes, request, &other_method);
    const char *name = hf_request_segment(request, "name");

    hf_buf_add_text(told, route != NULL ? route->pattern : "no route");
    if (route != NULL && strstr(route->pattern, ":name") != NULL) {
        fuzz_require(name != NULL && strlen(name) > 0);
        fuzz_require(strlen(name) <= hf_request_raw_segment(request, "name").len);
        put(told, "name", hf_bytes_of_text(name));
    } else {
        fuzz_require(name == NULL);
    }
}

/* A value from outside goes into a reply, which must stay one reply. */
static void check_reply(struct hf_request *request)
{
    HF_AUTO(buf) value = hf_buf_new();
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_reply reply;
    const uint8_t *end = NULL;

    hf_reply_init(&reply);
    hf_buf_add_bytes(value, hf_request_body(request));
    hf_reply_header(&reply, "X", hf_buf_text(value));
    hf_reply_reason(&reply, hf_buf_text(value));
    hf_buf_add_text(&reply.body, "body");
    hf_reply_write(&reply, request, 0, out);
    end = memmem(out->data, out->len, "\r\n\r\n", 4);
    fuzz_require(end != NULL);
    fuzz_require(end + 4 + (hf_request_method(request) == HF_HEAD ? 0 : 4) == out->data + out->len);
    fuzz_require(out->len > 13 && out->data[12] == ' ' && out->data[13] != '\r');
    hf_reply_done(&reply);
}

static void tell(struct hf_request *request, struct hf_buf *told)
{
    static const char *const headers[] = { "host", "content-length", "x", "connection" };
    HF_AUTO(buf) value = hf_buf_new();
    struct hf_status status;

    check_path(hf_request_path(request));
    hf_buf_add_text(told, hf_method_name(hf_request_method(request)));
    put(told, "path", hf_request_path(request));
    put(told, "query", hf_request_query(request));
    put(told, "body", hf_request_body(request));
    for (size_t i = 0; i < HF_COUNT(headers); i++) {
        struct hf_bytes header = hf_request_header(request, headers[i]);

        check_value(header);
        put(told, headers[i], header);
    }
    put(told, "cookie", hf_request_cookie(request, "a"));
    status = hf_request_parameter(fuzz_op(), request, "a", true, 1, value);
    hf_buf_add_text(told, hf_code_name(status.code));
    put(told, "parameter", hf_buf_bytes(value));
    hf_buf_add_text(told, hf_request_keeps_alive(request) ? " keeps " : " ends ");
    hf_buf_add_text(told, hf_request_body_is_refused(request) ? "refused " : "");
    tell_route(request, told);
    check_reply(request);
}

static size_t limit_of(void *context, struct hf_request *head)
{
    bool other_method = false;
    const struct hf_route *route = hf_route_find(routes, head, &other_method);

    (void)context;
    check_path(hf_request_path(head));
    return route != NULL ? route->max_body : 0;
}

static size_t take_all(struct hf_http *http, struct hf_buf *told, size_t count)
{
    struct hf_request *request = NULL;

    while (count < MAX_REQUESTS && (request = hf_http_next(http)) != NULL) {
        fuzz_require(!hf_http_is_mid_request(http));
        tell(request, told);
        count++;
    }
    return count;
}

static void parse(struct hf_bytes stream, size_t piece, bool ask_limit, struct hf_buf *told)
{
    const struct hf_http_limits limits = {
        .max_target = 200,
        .max_headers = 10,
        .max_header_bytes = 600,
        .max_body = 30000,
    };
    HF_AUTO(http) http = hf_http_new(&limits);
    struct hf_status status = HF_SUCCESS;
    size_t count = 0;

    if (ask_limit) {
        hf_http_limit_bodies(http, limit_of, NULL);
    }
    while (stream.len > 0 && status.code == HF_OK && count < MAX_REQUESTS) {
        size_t len = stream.len < piece ? stream.len : piece;

        status = hf_http_feed(http, fuzz_op(), hf_bytes_of(stream.data, len));
        fuzz_require((status.code == HF_OK) == (hf_http_error_status(http) == 0));
        (void)hf_http_wants_continue(http);
        count = take_all(http, told, count);
        stream.data += len;
        stream.len -= len;
    }
    if (count < MAX_REQUESTS) {
        hf_buf_add_format(told, " status %d %s", hf_http_error_status(http),
                          hf_http_is_mid_request(http) ? "midway" : "between");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes stream = hf_bytes_of(data, len);
    uint8_t choice = fuzz_take_byte(&stream);
    HF_AUTO(buf) whole = hf_buf_new();
    HF_AUTO(buf) pieces = hf_buf_new();

    parse(stream, SIZE_MAX, choice >= 128, whole);
    parse(stream, (size_t)(choice % 64) + 1, choice >= 128, pieces);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(whole), hf_buf_bytes(pieces)));
    return 0;
}
