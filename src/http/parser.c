/*
 * The parser of one connection. It cuts lines, has each checked by head.c, lets llhttp read the
 * whole head as a second opinion, and takes the body: plain by its length, chunked through llhttp.
 */
#include "http/internal.h"

#include <stdlib.h>

#include "base/alloc.h"

/* A request line is the target and this much: method, version and spaces. */
#define REQUEST_LINE_EXTRA 64
/* What an idle connection may keep of its buffer: enough for a usual request. */
#define IDLE_BYTES 2048
/* A body up to this size is taken without asking for its own limit: it is here already. */
#define SMALL_BODY_BYTES 16384
/* A body up to this size gets its room at once, which costs address space only until it comes. */
#define RESERVE_BYTES 262144

#define FAULT(name, fault_code, fault_status, fault_text)                                          \
    static const struct hf_http_fault name = { .code = (fault_code),                               \
                                               .status = (fault_status),                           \
                                               .text = (fault_text) }

FAULT(not_http, HF_INVALID, 400, "the first byte is not that of a request");
FAULT(bare_line_feed, HF_INVALID, 400, "a line ends without a carriage return");
FAULT(two_empty_lines, HF_INVALID, 400, "empty lines precede the request");
FAULT(long_target, HF_TOO_LARGE, 414, "the request target is too long");
FAULT(long_headers, HF_TOO_LARGE, 431, "the header lines are too long");
FAULT(long_body, HF_TOO_LARGE, 413, "the body is too large");
FAULT(no_room, HF_UNAVAILABLE, 503, "the server holds as many bytes of requests as it may");
FAULT(bad_framing, HF_INVALID, 400, "the header lines are not valid HTTP");
FAULT(bad_chunks, HF_INVALID, 400, "the chunked body is not valid");

void hf_http_limits_default(struct hf_http_limits *limits)
{
    *limits = (struct hf_http_limits){
        .max_target = 16 * 1024,
        .max_headers = 100,
        .max_header_bytes = 64 * 1024,
        .max_body = 8 * 1024 * 1024,
    };
}

struct hf_http *hf_http_new(const struct hf_http_limits *limits)
{
    struct hf_http *http = hf_alloc(sizeof *http);

    http->limits = *limits;
    return http;
}

void hf_http_free(struct hf_http *http)
{
    if (http != NULL) {
        hf_http_room_leave(http);
        hf_buf_done(&http->in);
        hf_buf_done(&http->later);
        hf_buf_done(&http->chunks);
        hf_buf_done(&http->request.text);
        free(http->request.headers);
        free(http);
    }
}

void hf_http_limit_bodies(struct hf_http *http,
                          size_t (*limit_of)(void *context, struct hf_request *head), void *context)
{
    http->limit_of = limit_of;
    http->limit_context = context;
}

static void fail(struct hf_http *http, const struct hf_http_fault *fault)
{
    http->fault = fault;
    http->stage = HF_HTTP_ENDED;
    http->start = 0;
    hf_buf_done(&http->in);
    hf_buf_done(&http->chunks);
}

/* The bytes of the request read now, and of what follows it. */
static struct hf_bytes bytes_of(const struct hf_http *http)
{
    return http->in.data == NULL
               ? HF_BYTES_NONE
               : hf_bytes_of(http->in.data + http->start, http->in.len - http->start);
}

/* ---- llhttp ---- */

static int on_head(llhttp_t *llhttp)
{
    struct hf_http *http = llhttp->data;
    bool is_chunked = (llhttp->flags & F_CHUNKED) != 0;

    /* We never change protocols, so an offer to do so is just a header. */
    llhttp->upgrade = 0;
    http->request.keeps_alive = llhttp_should_keep_alive(llhttp) != 0;
    return is_chunked == http->head.is_chunked && llhttp->content_length == http->head.length ? 0
                                                                                              : -1;
}

static int on_end(llhttp_t *llhttp)
{
    struct hf_http *http = llhttp->data;

    http->llhttp_is_done = true;
    return HPE_PAUSED;
}

static int on_chunk_data(llhttp_t *llhttp, const char *data, size_t len)
{
    struct hf_http *http = llhttp->data;

    if (len > http->body_limit - http->chunks.len) {
        http->request.body_is_refused = true;
        return -1;
    }
    hf_buf_add(&http->chunks, data, len);
    return 0;
}

/* Chunk extensions and trailers: nobody needs them, and proxies read them differently. */
static int refuse(llhttp_t *llhttp, const char *data, size_t len)
{
    (void)llhttp;
    (void)data;
    (void)len;
    return -1;
}

static const llhttp_settings_t head_settings = {
    .on_headers_complete = on_head,
    .on_message_complete = on_end,
};

static const llhttp_settings_t chunk_settings = {
    .on_body = on_chunk_data,
    .on_header_field = refuse,
    .on_chunk_extension_name = refuse,
    .on_message_complete = on_end,
};

/* Lets llhttp read the head; false when it does not accept it or frames it differently. */
static bool llhttp_agrees(struct hf_http *http)
{
    const char *head = (const char *)bytes_of(http).data;
    size_t from = 0;
    llhttp_errno_t error;

    llhttp_init(&http->llhttp, HTTP_REQUEST, &head_settings);
    http->llhttp.data = http;
    http->llhttp_is_done = false;
    if (http->request.method == HF_LIST) {
        /* llhttp does not know LIST, which is framed like GET. */
        from = http->head.target_at;
        (void)llhttp_execute(&http->llhttp, "GET ", 4);
    }
    error = llhttp_execute(&http->llhttp, head + from, http->parsed - from);
    http->llhttp.settings = (void *)&chunk_settings;
    return error == HPE_OK || (error == HPE_PAUSED && http->llhttp_is_done);
}

/* ---- The body ---- */

static void complete(struct hf_http *http)
{
    http->stage = HF_HTTP_READY;
}

static void refuse_body(struct hf_http *http)
{
    http->request.body_is_refused = true;
    http->request.keeps_alive = false;
    hf_buf_done(&http->chunks);
    complete(http);
}

/* Ends the request where it is: of its bytes only the head stays, so that a door can answer. */
static void give_up_for_room(struct hf_http *http)
{
    struct hf_buf head;

    if (http->stage != HF_HTTP_BODY && http->stage != HF_HTTP_READY) {
        fail(http, &no_room);
        return;
    }
    hf_buf_init(&head);
    hf_buf_add(&head, bytes_of(http).data, http->line_at);
    hf_buf_done(&http->in);
    http->in = head;
    http->start = 0;
    http->parsed = http->line_at;
    http->request.found_no_room = true;
    refuse_body(http);
}

static void read_plain_body(struct hf_http *http)
{
    struct hf_bytes bytes = bytes_of(http);

    if (bytes.len - http->parsed >= http->head.length) {
        http->parsed += http->head.length;
        complete(http);
    }
}

/* Takes raw chunk bytes out of the buffer; what follows them moves up behind the head. */
static void erase_raw(struct hf_http *http, size_t len)
{
    uint8_t *at = http->in.data + http->start + http->parsed;
    size_t rest = http->in.len - http->start - http->parsed - len;

    memmove(at, at + len, rest);
    hf_wipe(at + rest, len);
    http->in.len -= len;
}

static void read_chunked_body(struct hf_http *http)
{
    struct hf_bytes bytes = bytes_of(http);
    const char *from = (const char *)bytes.data + http->parsed;
    size_t len = bytes.len - http->parsed;
    llhttp_errno_t error;

    if (len == 0) {
        return;
    }
    error = llhttp_execute(&http->llhttp, from, len);
    if (error == HPE_OK) {
        erase_raw(http, len);
    } else if (error == HPE_PAUSED && http->llhttp_is_done) {
        erase_raw(http, (size_t)(llhttp_get_error_pos(&http->llhttp) - from));
        complete(http);
    } else if (!http->request.body_is_refused) {
        fail(http, &bad_chunks);
    } else if (http->body_limit < http->limits.max_body) {
        refuse_body(http);
    } else {
        fail(http, &long_body);
    }
}

static void read_body(struct hf_http *http)
{
    if (http->head.is_chunked) {
        read_chunked_body(http);
    } else {
        read_plain_body(http);
    }
}

/* ---- The head ---- */

static void resolve(struct hf_http *http)
{
    struct hf_request *request = &http->request;

    request->base = bytes_of(http).data;
    hf_head_split_target(http, request);
}

static void find_body_limit(struct hf_http *http)
{
    http->body_limit = http->limits.max_body;
    if (http->limit_of != NULL && (http->head.length > SMALL_BODY_BYTES || http->head.is_chunked)) {
        size_t limit;

        resolve(http);
        limit = http->limit_of(http->limit_context, &http->request);
        limit = limit < SMALL_BODY_BYTES ? SMALL_BODY_BYTES : limit;
        http->body_limit = limit < http->body_limit ? limit : http->body_limit;
    }
}

static void end_head(struct hf_http *http)
{
    const struct hf_http_fault *fault = hf_head_end(http);

    http->parsed = http->line_at;
    if (fault == NULL && http->head.length > http->limits.max_body) {
        fault = &long_body;
    }
    if (fault == NULL && !llhttp_agrees(http)) {
        fault = &bad_framing;
    }
    if (fault != NULL) {
        fail(http, fault);
        return;
    }
    find_body_limit(http);
    if (http->head.length > http->body_limit) {
        refuse_body(http);
        return;
    }
    if (http->head.length <= RESERVE_BYTES &&
        bytes_of(http).len < http->parsed + http->head.length) {
        (void)hf_buf_reserve(&http->in, http->parsed + http->head.length - bytes_of(http).len);
    }
    http->continue_is_due = http->head.wants_continue && !http->request.is_http_10;
    http->stage = HF_HTTP_BODY;
}

static const struct hf_http_fault *take_first_line(struct hf_http *http, struct hf_bytes line)
{
    const struct hf_http_fault *fault = NULL;

    if (line.len == 0) {
        /* RFC 9112, 2.2: one empty line may precede a request, left over from the body before. */
        if (http->had_empty_line) {
            return &two_empty_lines;
        }
        http->had_empty_line = true;
        http->start += 2;
        http->line_at = 0;
        return NULL;
    }
    http->stage = HF_HTTP_LINES;
    fault = hf_head_request_line(http, line);
    http->headers_at = line.len + 2;
    http->line_at = http->headers_at;
    return fault == NULL && http->head.target_len > http->limits.max_target ? &long_target : fault;
}

static const struct hf_http_fault *take_line(struct hf_http *http, struct hf_bytes line)
{
    const struct hf_http_fault *fault = NULL;

    if (http->stage == HF_HTTP_START) {
        return take_first_line(http, line);
    }
    if (line.len > 0) {
        fault = hf_head_header_line(http, line);
    }
    http->line_at += line.len + 2;
    if (line.len == 0) {
        end_head(http);
    }
    return fault;
}

/* Whether the line read now is too long or cannot be one, its end seen or not. */
static const struct hf_http_fault *check_start_of_line(const struct hf_http *http,
                                                       struct hf_bytes bytes, size_t seen)
{
    if (http->stage == HF_HTTP_LINES) {
        return seen - http->headers_at > http->limits.max_header_bytes ? &long_headers : NULL;
    }
    if (seen > 0 && bytes.data[0] != '\r' && !hf_head_is_token(bytes.data[0])) {
        return &not_http;
    }
    return seen > http->limits.max_target + REQUEST_LINE_EXTRA ? &long_target : NULL;
}

/* One more line of the head; false when it is not complete yet. */
static bool read_line(struct hf_http *http)
{
    struct hf_bytes bytes = bytes_of(http);
    const uint8_t *end = NULL;
    const struct hf_http_fault *fault = NULL;
    size_t seen;

    if (bytes.data == NULL || bytes.len == http->searched) {
        return false;
    }
    end = memchr(bytes.data + http->searched, '\n', bytes.len - http->searched);
    seen = end != NULL ? (size_t)(end - bytes.data) : bytes.len;
    fault = check_start_of_line(http, bytes, seen);
    if (fault == NULL && end != NULL) {
        if (seen == http->line_at || end[-1] != '\r') {
            fault = &bare_line_feed;
        } else {
            fault =
                take_line(http, hf_bytes_of(bytes.data + http->line_at, seen - http->line_at - 1));
            seen = http->line_at;
        }
    }
    http->searched = seen;
    if (fault != NULL) {
        fail(http, fault);
    }
    return end != NULL;
}

static void advance(struct hf_http *http)
{
    while ((http->stage == HF_HTTP_START || http->stage == HF_HTTP_LINES) && read_line(http)) {
    }
    if (http->stage == HF_HTTP_BODY) {
        read_body(http);
    }
}

/* ---- The connection ---- */

struct hf_status hf_http_feed(struct hf_http *http, struct hf_op *op, struct hf_bytes bytes)
{
    if (http->stage == HF_HTTP_GIVEN) {
        hf_buf_add_bytes(&http->later, bytes);
        /* Only what was on its way: nothing is read while a request is given. */
        (void)hf_http_room_settle(http);
        return HF_SUCCESS;
    }
    if (http->stage != HF_HTTP_ENDED) {
        hf_buf_add_bytes(&http->in, bytes);
        advance(http);
        if (!hf_http_room_settle(http)) {
            give_up_for_room(http);
            hf_http_room_give_back(http);
        }
    }
    if (http->fault != NULL) {
        return hf_fail(op, http->fault->code, "%s", http->fault->text);
    }
    return HF_SUCCESS;
}

int hf_http_error_status(const struct hf_http *http)
{
    return http->fault != NULL ? http->fault->status : 0;
}

/* A large buffer goes at once, so that it is wiped once. */
static void empty(struct hf_buf *buf)
{
    if (buf->capacity > IDLE_BYTES) {
        hf_buf_done(buf);
    } else {
        hf_buf_clear(buf);
    }
}

/* Forgets the request that was given; llhttp and the line arrays are set up again by the next. */
static void drop_given(struct hf_http *http)
{
    struct hf_request *request = &http->request;

    http->stage = request->keeps_alive ? HF_HTTP_START : HF_HTTP_ENDED;
    http->start += http->parsed;
    if (http->start == http->in.len || http->stage == HF_HTTP_ENDED) {
        empty(&http->in);
        http->start = 0;
    }
    if (http->later.len > 0) {
        hf_buf_add_bytes(&http->in, hf_buf_bytes(&http->later));
        hf_buf_done(&http->later);
    }
    http->line_at = 0;
    http->searched = 0;
    http->parsed = 0;
    http->had_empty_line = false;
    http->continue_is_due = false;
    http->head = (struct hf_head){ 0 };
    hf_buf_done(&http->chunks);
    hf_buf_clear(&request->text);
    request->header_count = 0;
    request->segment_count = 0;
    request->body_is_refused = false;
    request->found_no_room = false;
}

/* Between requests: what is read of the next one moves to the front, and large buffers go. */
static void tidy(struct hf_http *http)
{
    if (http->start > 0) {
        size_t rest = http->in.len - http->start;

        memmove(http->in.data, http->in.data + http->start, rest);
        hf_wipe(http->in.data + rest, http->start);
        http->in.len = rest;
        http->start = 0;
    }
    if (http->in.len == 0) {
        empty(&http->in);
    }
    if (http->request.text.capacity > IDLE_BYTES) {
        hf_buf_done(&http->request.text);
    }
}

struct hf_request *hf_http_next(struct hf_http *http)
{
    struct hf_request *request = &http->request;

    if (http->stage == HF_HTTP_GIVEN) {
        drop_given(http);
        advance(http);
    }
    hf_http_room_give_back(http);
    if (http->stage != HF_HTTP_READY) {
        tidy(http);
        return NULL;
    }
    http->stage = HF_HTTP_GIVEN;
    resolve(http);
    request->body =
        http->head.is_chunked
            ? hf_buf_bytes(&http->chunks)
            : hf_bytes_of(request->base + http->parsed - http->head.length, http->head.length);
    if (request->body_is_refused) {
        request->body = HF_BYTES_NONE;
    }
    return request;
}

bool hf_http_wants_continue(struct hf_http *http)
{
    bool is_due = http->continue_is_due && http->stage == HF_HTTP_BODY;

    if (is_due) {
        http->continue_is_due = false;
    }
    return is_due;
}

bool hf_http_is_mid_request(const struct hf_http *http)
{
    return http->stage == HF_HTTP_LINES || http->stage == HF_HTTP_BODY ||
           (http->stage == HF_HTTP_START && http->in.len > http->start);
}
