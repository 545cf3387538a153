/*
 * What the files of the HTTP layer share: the request and the parser of a connection. Nothing
 * outside this folder includes it.
 *
 * Threads: as in http.h.
 */
#pragma once

#include <llhttp/llhttp.h>

#include "http/http.h"

#define HF_MAX_SEGMENTS 8

/* A header line, as offsets from the first byte of the request: the buffer may move. */
struct hf_header_line {
    uint32_t name_at;
    uint32_t name_len;
    uint32_t value_at;
    uint32_t value_len;
};

struct hf_segment {
    const char *name; /* in the pattern, without ':' */
    size_t name_len;
    struct hf_bytes raw;
    const char *text; /* decoded, terminated */
};

struct hf_request {
    const uint8_t *base; /* the first byte of the request line */
    enum hf_method method;
    bool is_http_10;
    bool keeps_alive;
    bool body_is_refused;
    bool found_no_room;
    struct hf_bytes path;
    struct hf_bytes query;
    struct hf_bytes body;
    struct hf_header_line *headers;
    size_t header_count;
    size_t header_room;
    struct hf_segment segments[HF_MAX_SEGMENTS];
    size_t segment_count;
    struct hf_buf text; /* decoded segments */
};

/* A rule that a request broke; NULL: none. All of them are in head.c and parser.c. */
struct hf_http_fault {
    enum hf_code code;
    int status;
    const char *text;
};

/* What the head says about framing, as our own reader sees it. */
struct hf_head {
    size_t target_at; /* offsets like those of header lines */
    size_t target_len;
    size_t length; /* of the body, when has_length */
    unsigned hosts;
    bool has_length;
    bool is_chunked;
    bool wants_continue;
};

enum hf_http_stage {
    HF_HTTP_START, /* nothing of a request yet, but perhaps one empty line */
    HF_HTTP_LINES, /* in its header lines */
    HF_HTTP_BODY,
    HF_HTTP_READY, /* complete, not yet taken */
    HF_HTTP_GIVEN, /* complete and taken: its bytes must not move */
    HF_HTTP_ENDED, /* broken, or the last one of the connection */
};

struct hf_http {
    struct hf_http_limits limits;
    enum hf_http_stage stage;
    const struct hf_http_fault *fault;
    struct hf_buf in;    /* from the first byte of the current request on */
    struct hf_buf later; /* what came while a request was given */
    size_t start;        /* in `in`: where the current request begins */
    size_t line_at;      /* after start: where the line begins that is read now */
    size_t searched;     /* after start: no line feed between line_at and here */
    size_t parsed;       /* after start: how far llhttp has come */
    size_t headers_at;   /* after start: where the header lines begin */
    size_t body_limit;   /* of this request */
    bool had_empty_line;
    bool continue_is_due;
    bool llhttp_is_done;
    struct hf_head head;
    struct hf_buf chunks; /* a chunked body, put together */
    struct hf_request request;
    llhttp_t llhttp;
    size_t room_taken; /* of limits.room */
    size_t (*limit_of)(void *context, struct hf_request *head);
    void *limit_context;
};

/* head.c: each checks one line, without its CR LF; the fault, or NULL. */
const struct hf_http_fault *hf_head_request_line(struct hf_http *http, struct hf_bytes line);
const struct hf_http_fault *hf_head_header_line(struct hf_http *http, struct hf_bytes line);
/* The rules that need the whole head. */
const struct hf_http_fault *hf_head_end(struct hf_http *http);
/* True for a byte that may stand in a method or a header name. */
bool hf_head_is_token(uint8_t byte);
/* Splits the target into path and query, and drops scheme and host of the absolute form. */
void hf_head_split_target(const struct hf_http *http, struct hf_request *request);

/* room.c: takes or gives back what the buffered bytes need now; false when there is no room. */
bool hf_http_room_settle(struct hf_http *http);
/* Gives back what is not needed any more. */
void hf_http_room_give_back(struct hf_http *http);
/* Gives all back: nothing is kept. */
void hf_http_room_leave(struct hf_http *http);

bool hf_ignore_case_equal(struct hf_bytes bytes, const char *text);
