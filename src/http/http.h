/*
 * HTTP/1.1 without a network: bytes in, requests out; replies in, bytes out. Knows no libevent
 * type.
 *
 * The rules are stricter than the RFC where that closes doors: one Content-Length at most, never
 * together with Transfer-Encoding, no space before a header's colon, no bare LF, no obsolete line
 * folding, Host exactly once in HTTP/1.1, no NUL or control character in names and values, limits
 * on target, header count, header bytes and body. A request that breaks a rule is answered once and
 * the connection is closed.
 *
 * Threads: a connection and its requests belong to one thread at a time.
 */
#pragma once

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/metrics.h"
#include "base/op.h"
#include "base/secret.h"

enum hf_method { HF_GET, HF_POST, HF_PUT, HF_DELETE, HF_OPTIONS, HF_HEAD, HF_PATCH, HF_LIST };

/*
 * What the requests of all connections may hold together, so that many connections with large
 * bodies cost themselves and not the server's memory. Small requests (2 KiB while they come,
 * 16 KiB when they are complete) are not counted, and find their place when there is no room.
 *
 * Threads: shared by all connections.
 */
struct hf_http_room {
    size_t max_bytes;
    _Atomic size_t used_bytes;
    struct hf_metric *refused; /* counts requests that found no room; NULL: nobody counts */
};

struct hf_http_limits {
    size_t max_target;         /* request target, bytes; default 16 KiB */
    size_t max_headers;        /* header lines; default 100 */
    size_t max_header_bytes;   /* all of them; default 64 KiB */
    size_t max_body;           /* the connection's ceiling; a route may set less; default 8 MiB */
    struct hf_http_room *room; /* borrowed, outlives the connections; NULL: no limit */
};

/* Fills in the defaults above. */
void hf_http_limits_default(struct hf_http_limits *limits);

/* One parsed request; views live until hf_http_next() is called again. */
struct hf_request;

enum hf_method hf_request_method(const struct hf_request *request);
const char *hf_method_name(enum hf_method method);
/* The path as sent, still percent-encoded, without the query. */
struct hf_bytes hf_request_path(const struct hf_request *request);
/* The query as sent, without '?'; empty if there is none. */
struct hf_bytes hf_request_query(const struct hf_request *request);
/* The first header of that name, ignoring case; HF_BYTES_NONE (data NULL) if there is none. */
struct hf_bytes hf_request_header(const struct hf_request *request, const char *name);
struct hf_bytes hf_request_body(const struct hf_request *request);
/* The value of a cookie, quotes stripped; data NULL if there is none. */
struct hf_bytes hf_request_cookie(const struct hf_request *request, const char *name);
/*
 * The nth value (from 0) of a query parameter, form-decoded, appended to out.
 * HF_NOT_FOUND if there is none; HF_INVALID on a broken escape. Names ignore case if asked to.
 */
HF_STATUS hf_request_parameter(struct hf_op *op, const struct hf_request *request, const char *name,
                               bool ignore_case, size_t nth, struct hf_buf *out);
/* A route's ":name" part, percent-decoded, terminated; NULL if the route has none of that name. */
const char *hf_request_segment(const struct hf_request *request, const char *name);
/* The same undecoded, for doors that must try more than one reading. */
struct hf_bytes hf_request_raw_segment(const struct hf_request *request, const char *name);
/* Whether the connection will be kept after this request, as the client asked. */
bool hf_request_keeps_alive(const struct hf_request *request);

/* The reply a handler fills. Owned by the connection code. Wiped when freed. */
struct hf_reply {
    int status;         /* 200, ... */
    const char *reason; /* NULL: the standard phrase of the status; else text owned by the reply */
    struct hf_buf headers; /* complete lines "Name: value\r\n" besides the standard ones */
    struct hf_buf body;
    const char *content_type; /* static text; NULL when there is no body */
    bool close;               /* close the connection after it */
    unsigned keep_alive_s;    /* how long clients are told it is kept open; 0: they are not told */
    char reason_text[256];
};

void hf_reply_init(struct hf_reply *reply);
void hf_reply_done(struct hf_reply *reply);
/* Control characters in value are dropped, so that a name from outside cannot split the reply. */
void hf_reply_header(struct hf_reply *reply, const char *name, const char *value);
/* A reason phrase of the caller's words, cleaned the same way and cut to fit. Never empty. */
void hf_reply_reason(struct hf_reply *reply, const char *text);
/* A size that the written reply does not exceed. */
size_t hf_reply_max(const struct hf_reply *reply);
/* The whole reply in one piece: status line, Date, Content-Length, headers, body. HEAD has no body.
 */
void hf_reply_write(const struct hf_reply *reply, const struct hf_request *request,
                    uint64_t realtime_ms, struct hf_buf *out);

/* The parser of one connection. */
struct hf_http;

struct hf_http *hf_http_new(const struct hf_http_limits *limits);
void hf_http_free(struct hf_http *http);
HF_DEFINE_CLEANUP(http)

/*
 * Takes bytes as they arrive; keeps what it needs. Returns HF_INVALID (400), HF_TOO_LARGE (413 for
 * the body, 431 for headers, 414 for the target: hf_http_error_status()), HF_UNSUPPORTED (417,
 * 501, 505) or HF_UNAVAILABLE (503: no room for the head) when the connection must be answered with
 * an error and closed. An error behind complete requests is told after they have been taken: feed
 * no bytes once hf_http_next() gave NULL.
 */
HF_STATUS hf_http_feed(struct hf_http *http, struct hf_op *op, struct hf_bytes bytes);
/* 0 while there is no error, or requests before it are still to be taken. */
int hf_http_error_status(const struct hf_http *http);

/*
 * A lower limit for one request's body, asked for as soon as the head of a request with a body
 * above 16 KiB or a chunked one is there (smaller limits are the caller's to check). A request
 * above it is complete at once: it has no body, hf_request_body_is_refused() says so, and the
 * connection ends with it.
 */
void hf_http_limit_bodies(struct hf_http *http,
                          size_t (*limit_of)(void *context, struct hf_request *head),
                          void *context);
bool hf_request_body_is_refused(const struct hf_request *request);
/* A body that found no room ends the same way, and is refused too. */
bool hf_request_found_no_room(const struct hf_request *request);

/* The next complete request, or NULL. Frees what the one before it held. */
struct hf_request *hf_http_next(struct hf_http *http);
/* True when a "100 Continue" is due; says so once. */
bool hf_http_wants_continue(struct hf_http *http);
/* True between the first byte of a request and its end: for the slow-sender timer. */
bool hf_http_is_mid_request(const struct hf_http *http);

/*
 * Routes are data. A pattern has literal segments, ":name" for one segment and "*name" at the end
 * for the rest of the path, slashes included. The first row that matches path and method wins; when
 * the path matches but no method does, out_other_method says so.
 */
enum hf_route_flags {
    HF_INLINE = 0, /* answered on the loop thread; never waits, says HF_LATER if it would */
    HF_WORKER = 1,
    HF_INLINE_SMALL = 2, /* HF_INLINE up to a body of HF_INLINE_BODY_MAX, HF_WORKER above */
};
/* About a millisecond of work for the heaviest: 1,400 data keys of a batch at 0.75 us each. */
#define HF_INLINE_BODY_MAX ((size_t)256 * 1024)

struct hf_exchange; /* what a handler gets; http/door.h */

struct hf_route {
    enum hf_method method;
    const char *pattern; /* NULL ends the table */
    size_t max_body;
    enum hf_route_flags flags;
    struct hf_status (*handle)(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply);
};

/*
 * True when the path has rows, but none for the request's method: out gets the methods it has, as
 * an Allow header lists them.
 */
bool hf_route_has_other_methods(const struct hf_route *routes, const struct hf_request *request,
                                struct hf_buf *out);
/* Finds the row and remembers its segments in the request. NULL when none matches. */
const struct hf_route *hf_route_find(const struct hf_route *routes, struct hf_request *request,
                                     bool *out_other_method);
