/* The parser: what it accepts, what it refuses, and that the way bytes arrive changes nothing. */
#include "test.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "http/http.h"

#define HOST     "Host: a\r\n"
#define BIG_BODY "0123456789abcdef"

static struct hf_env env;

/* Small, so that each limit can be reached exactly. */
static const struct hf_http_limits small_limits = {
    .max_target = 20,
    .max_headers = 4,
    .max_header_bytes = 80,
    .max_body = 16,
};

/* "POST /a?b body" for each request taken, then "error 400" or "open" or "midway". */
static void tell_request(struct hf_buf *told, const struct hf_request *request)
{
    struct hf_bytes query = hf_request_query(request);

    hf_buf_add_text(told, hf_method_name(hf_request_method(request)));
    hf_buf_add_text(told, " ");
    hf_buf_add_bytes(told, hf_request_path(request));
    if (query.len > 0) {
        hf_buf_add_text(told, "?");
        hf_buf_add_bytes(told, query);
    }
    hf_buf_add_text(told, " [");
    hf_buf_add_bytes(told, hf_request_body(request));
    hf_buf_add_text(told, hf_request_keeps_alive(request) ? "]; " : "] last; ");
}

static void take_all(struct hf_http *http, struct hf_buf *told)
{
    struct hf_request *request = NULL;

    while ((request = hf_http_next(http)) != NULL) {
        tell_request(told, request);
    }
}

/* Feeds the bytes in pieces of that size and tells what came out. */
static void parse(const struct hf_http_limits *limits, struct hf_bytes bytes, size_t piece,
                  struct hf_buf *told)
{
    HF_AUTO(http) http = hf_http_new(limits);
    struct hf_op op;
    bool is_fine = true;

    hf_op_init(&op, &env);
    for (size_t at = 0; at < bytes.len && is_fine; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;

        is_fine = hf_http_feed(http, &op, hf_bytes_of(bytes.data + at, len)).code == HF_OK;
        take_all(http, told);
    }
    if (hf_http_error_status(http) != 0) {
        hf_buf_add_format(told, "error %d", hf_http_error_status(http));
        /* The fault stays, and comes with words. */
        assert_int_not_equal(hf_http_feed(http, &op, HF_BYTES_NONE).code, HF_OK);
        assert_true(op.text[0] != '\0');
        assert_null(hf_http_next(http));
        assert_false(hf_http_is_mid_request(http));
    } else {
        hf_buf_add_text(told, hf_http_is_mid_request(http) ? "midway" : "open");
    }
}

static void check(const char *says, const struct hf_http_limits *limits, struct hf_bytes bytes,
                  const char *expected)
{
    /* Whole, byte by byte, and in pieces that cut names, values, CR LF and chunks apart. */
    static const size_t pieces[] = { 1000000, 1, 2, 3, 7, 16, 61 };

    for (size_t i = 0; i < HF_COUNT(pieces); i++) {
        HF_AUTO(buf) told = hf_buf_new();

        parse(limits, bytes, pieces[i], told);
        if (strcmp(hf_buf_text(told), expected) != 0) {
            fail_msg("%s: in pieces of %zu: got '%s', wanted '%s'", says, pieces[i],
                     hf_buf_text(told), expected);
        }
    }
}

#define BYTES(text) .bytes = (text), .len = sizeof(text) - 1

static const struct {
    const char *says;
    const char *bytes;
    size_t len;
    const char *told;
} cases[] = {
    /* What is right. */
    { "a plain request", BYTES("GET / HTTP/1.1\r\n" HOST "\r\n"), "GET / []; open" },
    { "a query", BYTES("GET /a?b=c&d HTTP/1.1\r\n" HOST "\r\n"), "GET /a?b=c&d []; open" },
    { "an empty query", BYTES("GET /a? HTTP/1.1\r\n" HOST "\r\n"), "GET /a []; open" },
    { "a body", BYTES("POST /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nxyz"),
      "POST /a [xyz]; open" },
    { "a POST without Content-Length has no body", BYTES("POST /a HTTP/1.1\r\n" HOST "\r\n"),
      "POST /a []; open" },
    { "a PUT without Content-Length has no body", BYTES("PUT /a HTTP/1.1\r\n" HOST "\r\n"),
      "PUT /a []; open" },
    { "a DELETE with a body", BYTES("DELETE /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx"),
      "DELETE /a [x]; open" },
    { "a GET with a body", BYTES("GET /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx"),
      "GET /a [x]; open" },
    { "LIST, which llhttp does not know", BYTES("LIST /v1/x HTTP/1.1\r\n" HOST "\r\n"),
      "LIST /v1/x []; open" },
    { "LIST with a body", BYTES("LIST /a HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nxy"),
      "LIST /a [xy]; open" },
    { "PATCH", BYTES("PATCH /a HTTP/1.1\r\n" HOST "\r\n"), "PATCH /a []; open" },
    { "HEAD", BYTES("HEAD /a HTTP/1.1\r\n" HOST "\r\n"), "HEAD /a []; open" },
    { "OPTIONS *", BYTES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), "OPTIONS * []; open" },
    { "the absolute form", BYTES("GET http://h:1/a?b HTTP/1.1\r\n" HOST "\r\n"),
      "GET /a?b []; open" },
    { "the absolute form without a path", BYTES("GET HTTPS://h HTTP/1.1\r\n" HOST "\r\n"),
      "GET / []; open" },
    { "the absolute form with a query only", BYTES("GET http://h?b HTTP/1.1\r\n" HOST "\r\n"),
      "GET /?b []; open" },
    { "spaces around a value", BYTES("GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n"), "GET / []; open" },
    { "an empty Host", BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "GET / []; open" },
    { "leading zeros", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 0002\r\n\r\nxy"),
      "POST / [xy]; open" },
    { "HTTP/1.0 without Host", BYTES("GET / HTTP/1.0\r\n\r\n"), "GET / [] last; open" },
    { "HTTP/1.0 that keeps the connection",
      BYTES("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "GET / []; open" },
    { "Connection: close", BYTES("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"),
      "GET / [] last; open" },
    { "close among others", BYTES("GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n"),
      "GET / [] last; open" },
    { "nothing counts after the last request",
      BYTES("GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
      "GET /a [] last; open" },
    { "an offer of another protocol is only a header",
      BYTES("GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"
            "GET /b HTTP/1.1\r\n" HOST "\r\n"),
      "GET / []; GET /b []; open" },
    { "one empty line before a request", BYTES("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
      "GET / []; open" },
    { "bytes above 127 in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: \xc3\xa4\r\n\r\n"),
      "GET / []; open" },
    { "escapes in the path", BYTES("GET /k1%400%2F HTTP/1.1\r\n" HOST "\r\n"),
      "GET /k1%400%2F []; open" },
    { "a broken escape in the query is the door's affair",
      BYTES("GET /?a=%zz HTTP/1.1\r\n" HOST "\r\n"), "GET /?a=%zz []; open" },

    /* Chunked bodies. */
    { "a chunked body",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
            "3\r\nabc\r\n0b\r\nABCDEFGHIJK\r\n0\r\n\r\n"),
      "POST / [abcABCDEFGHIJK]; open" },
    { "an empty chunked body",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
      "POST / []; open" },
    { "requests around a chunked body",
      BYTES("GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n"),
      "GET /1 []; POST /2 [x]; GET /3 []; open" },
    { "a chunk size that is no number",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n"), "error 400" },
    { "a negative chunk size",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\n"), "error 400" },
    { "a chunk size beyond 64 bits",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nx"),
      "error 400" },
    { "a bare line feed behind a chunk size",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"),
      "error 400" },
    { "something else than a line feed behind a chunk size",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\rXx\r\n0\r\n\r\n"),
      "error 400" },
    { "a chunk longer than its size",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n"),
      "error 400" },
    { "a chunk extension",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n"),
      "error 400" },
    { "a trailer",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n"),
      "error 400" },
    { "a chunked body one byte over the limit",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
            "8\r\n01234567\r\n9\r\n012345678\r\n0\r\n\r\n"),
      "error 413" },

    /* Pipelining. */
    { "three requests at once",
      BYTES("GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST
            "Content-Length: 2\r\n\r\nxyGET /3 HTTP/1.1\r\n" HOST "\r\n"),
      "GET /1 []; POST /2 [xy]; GET /3 []; open" },
    { "a request behind which another begins", BYTES("GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HT"),
      "GET /1 []; midway" },
    { "an error behind a good request comes after it",
      BYTES("GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2\r\n"), "GET /1 []; error 400" },
    { "a body that is not there yet",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nxyz"), "midway" },

    /* Request smuggling. */
    { "two equal Content-Length lines",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
      "error 400" },
    { "two different Content-Length lines",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\ncontent-length: 2\r\n\r\nxy"),
      "error 400" },
    { "a list of lengths", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\nx"),
      "error 400" },
    { "Content-Length with Transfer-Encoding",
      BYTES("POST / HTTP/1.1\r\n" HOST
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      "error 400" },
    { "Transfer-Encoding with Content-Length",
      BYTES("POST / HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"),
      "error 400" },
    { "Transfer-Encoding twice",
      BYTES("POST / HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      "error 400" },
    { "Transfer-Encoding: xchunked",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
      "error 501" },
    { "Transfer-Encoding: gzip, chunked",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
      "error 501" },
    { "Transfer-Encoding: identity",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"), "error 501" },
    { "Transfer-Encoding with a vertical tab",
      BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
            "chunked\r\n\r\n0\r\n\r\n"),
      "error 400" },
    { "Transfer-Encoding in HTTP/1.0",
      BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "error 400" },
    { "a space before the colon", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length : 1\r\n\r\nx"),
      "error 400" },
    { "a tab before the colon", BYTES("GET / HTTP/1.1\r\n" HOST "A\t: b\r\n\r\n"), "error 400" },
    { "a header without a colon", BYTES("GET / HTTP/1.1\r\n" HOST "Abc\r\n\r\n"), "error 400" },
    { "a header without a name", BYTES("GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n"), "error 400" },
    { "a bare line feed behind the request line", BYTES("GET / HTTP/1.1\n" HOST "\r\n"),
      "error 400" },
    { "a bare line feed behind a header", BYTES("GET / HTTP/1.1\r\nHost: a\n\r\n"), "error 400" },
    { "a bare line feed for the empty line", BYTES("GET / HTTP/1.1\r\n" HOST "\n"), "error 400" },
    { "a bare carriage return in a value", BYTES("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
      "error 400" },
    { "a folded header", BYTES("GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n"), "error 400" },
    { "a folded first header", BYTES("GET / HTTP/1.1\r\n A: b\r\n" HOST "\r\n"), "error 400" },
    { "a header folded by a tab", BYTES("GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n"),
      "error 400" },
    { "NUL in a value", BYTES("GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n"), "error 400" },
    { "NUL in a name", BYTES("GET / HTTP/1.1\r\n" HOST "A\0: b\r\n\r\n"), "error 400" },
    { "NUL in the target", BYTES("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "DEL in a value", BYTES("GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n"), "error 400" },
    { "no Host", BYTES("GET / HTTP/1.1\r\n\r\n"), "error 400" },
    { "two Hosts", BYTES("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), "error 400" },
    { "two Hosts in HTTP/1.0", BYTES("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), "error 400" },
    { "a Host with a space", BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "error 400" },
    { "a Host with a path", BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), "error 400" },

    /* Lengths. */
    { "a negative length", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"),
      "error 400" },
    { "a length with a sign", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\nx"),
      "error 400" },
    { "a length in hex", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\nx"),
      "error 400" },
    { "an empty length", BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"), "error 400" },
    { "a length of 2^64",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n"),
      "error 413" },
    { "a length of 2^64 + 1",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\nx"),
      "error 413" },
    { "a length of 40 digits",
      BYTES("POST / HTTP/1.1\r\n" HOST
            "Content-Length: 1000000000000000000000000000000000000001\r\n\r\nx"),
      "error 413" },
    { "a body at the limit",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 16\r\n\r\n" BIG_BODY),
      "POST / [" BIG_BODY "]; open" },
    { "a body one byte over the limit",
      BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 17\r\n\r\n"), "error 413" },

    /* Request lines. */
    { "HTTP/0.9", BYTES("GET /\r\n"), "error 400" },
    { "HTTP/0.9 with a version", BYTES("GET / HTTP/0.9\r\n\r\n"), "error 505" },
    { "the preface of HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "error 505" },
    { "HTTP/1.2", BYTES("GET / HTTP/1.2\r\n" HOST "\r\n"), "error 505" },
    { "HTTP/11", BYTES("GET / HTTP/11\r\n"), "error 400" },
    { "http/1.1", BYTES("GET / http/1.1\r\n"), "error 400" },
    { "an unknown method", BYTES("BREW / HTTP/1.1\r\n" HOST "\r\n"), "error 501" },
    { "a method in lower case", BYTES("get / HTTP/1.1\r\n" HOST "\r\n"), "error 501" },
    { "CONNECT", BYTES("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), "error 501" },
    { "TRACE", BYTES("TRACE / HTTP/1.1\r\n" HOST "\r\n"), "error 501" },
    { "two spaces", BYTES("GET  / HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "a space in the target", BYTES("GET /a b HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "a space behind the version", BYTES("GET / HTTP/1.1 \r\n" HOST "\r\n"), "error 400" },
    { "a tab instead of a space", BYTES("GET\t/\tHTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "a target without a slash", BYTES("GET a HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "a fragment", BYTES("GET /#a HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "a byte above 127 in the target", BYTES("GET /\xc3 HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "an asterisk without OPTIONS", BYTES("GET * HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "an asterisk and more", BYTES("OPTIONS *a HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "the absolute form without a host", BYTES("GET http:///a HTTP/1.1\r\n" HOST "\r\n"),
      "error 400" },
    { "the absolute form with a user", BYTES("GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n"),
      "error 400" },
    { "the absolute form of another scheme", BYTES("GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"),
      "error 400" },
    { "a broken escape in the path", BYTES("GET /%4 HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "an escape that is not hex", BYTES("GET /%4g HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "an escaped zero byte", BYTES("GET /a%00b HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "two empty lines", BYTES("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), "error 400" },
    { "a TLS greeting on a plain port", BYTES("\x16\x03\x01\x02"), "error 400" },
    { "a space before the method", BYTES(" GET / HTTP/1.1\r\n"), "error 400" },
    { "nothing", BYTES(""), "open" },
    { "half a word", BYTES("GE"), "midway" },

    /* Limits. */
    { "a target at the limit", BYTES("GET /2345678901234567890 HTTP/1.1\r\n" HOST "\r\n"),
      "GET /2345678901234567890 []; open" },
    { "a target one byte over the limit", BYTES("GET /23456789012345678901 HTTP/1.1\r\n"),
      "error 414" },
    { "as many headers as allowed", BYTES("GET / HTTP/1.1\r\n" HOST "A:\r\nB:\r\nC:\r\n\r\n"),
      "GET / []; open" },
    { "one header too many", BYTES("GET / HTTP/1.1\r\n" HOST "A:\r\nB:\r\nC:\r\nD:\r\n\r\n"),
      "error 431" },
    { "a header line that does not end within the limit",
      BYTES("GET / HTTP/1.1\r\nA: 0123456789012345678901234567890123456789"
            "01234567890123456789012345678901234567890123456789"),
      "error 431" },
    { "a target that does not end within the limit",
      BYTES("GET /0123456789012345678901234567890123456789012345678901234567890123456789"
            "01234567890123456789"),
      "error 414" },

    /* Expectations. */
    { "an expectation that is not 100-continue",
      BYTES("POST / HTTP/1.1\r\n" HOST "Expect: wonders\r\n\r\n"), "error 417" },
};

static void each_stream_is_read_as_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        check(cases[i].says, &small_limits, hf_bytes_of(cases[i].bytes, cases[i].len),
              cases[i].told);
    }
}

static void a_flood_of_headers_ends_at_the_default_limits(void **unused)
{
    HF_AUTO(buf) many = hf_buf_new();
    HF_AUTO(buf) giant = hf_buf_new();
    HF_AUTO(buf) target = hf_buf_new();
    struct hf_http_limits limits;

    (void)unused;
    hf_http_limits_default(&limits);
    hf_buf_add_text(many, "GET / HTTP/1.1\r\n");
    for (unsigned i = 0; i < 200; i++) {
        hf_buf_add_format(many, "X%u: y\r\n", i);
    }
    check("200 header lines", &limits, hf_buf_bytes(many), "error 431");
    hf_buf_add_text(giant, "GET / HTTP/1.1\r\nX: ");
    for (unsigned i = 0; i < 70000; i++) {
        hf_buf_add(giant, "y", 1);
    }
    check("a header of 70 kB", &limits, hf_buf_bytes(giant), "error 431");
    hf_buf_add_text(target, "GET /");
    for (unsigned i = 0; i < 17000; i++) {
        hf_buf_add(target, "y", 1);
    }
    hf_buf_add_text(target, " HTTP/1.1\r\n");
    check("a target of 17 kB", &limits, hf_buf_bytes(target), "error 414");
}

static void a_large_body_comes_through_unchanged(void **unused)
{
    static const size_t pieces[] = { 100000000, 16384, 4093 };
    HF_AUTO(buf) bytes = hf_buf_new();
    struct hf_http_limits limits;
    size_t len = 3000000;
    size_t head;

    (void)unused;
    hf_http_limits_default(&limits);
    hf_buf_add_format(bytes, "PUT /x HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", len);
    head = bytes->len;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)(i * 7 + i / 251);

        hf_buf_add(bytes, &byte, 1);
    }
    for (size_t i = 0; i < HF_COUNT(pieces); i++) {
        HF_AUTO(http) http = hf_http_new(&limits);
        struct hf_request *request = NULL;
        struct hf_op op;

        hf_op_init(&op, &env);
        for (size_t at = 0; at < bytes->len; at += pieces[i]) {
            size_t left = bytes->len - at;

            assert_null(request);
            assert_ok(&op, hf_http_feed(
                               http, &op,
                               hf_bytes_of(bytes->data + at, left < pieces[i] ? left : pieces[i])));
            request = hf_http_next(http);
        }
        assert_non_null(request);
        assert_true(hf_bytes_equal(hf_request_body(request), hf_bytes_of(bytes->data + head, len)));
    }
}

static void views_stay_valid_while_more_bytes_come(void **unused)
{
    HF_AUTO(http) http = NULL;
    struct hf_http_limits limits;
    struct hf_request *request = NULL;
    struct hf_bytes body;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    hf_http_limits_default(&limits);
    http = hf_http_new(&limits);
    assert_ok(&op, hf_http_feed(http, &op,
                                hf_bytes_of_text("POST /a HTTP/1.1\r\n" HOST
                                                 "Content-Length: 3\r\n\r\nxyz")));
    request = hf_http_next(http);
    body = hf_request_body(request);
    for (unsigned i = 0; i < 1000; i++) {
        assert_ok(&op,
                  hf_http_feed(http, &op, hf_bytes_of_text("GET /b HTTP/1.1\r\n" HOST "\r\n")));
    }
    assert_true(hf_bytes_equal_text(body, "xyz"));
    assert_true(hf_bytes_equal_text(hf_request_path(request), "/a"));
    for (unsigned i = 0; i < 1000; i++) {
        request = hf_http_next(http);
        assert_non_null(request);
        assert_true(hf_bytes_equal_text(hf_request_path(request), "/b"));
    }
    assert_null(hf_http_next(http));
}

static void continue_is_due_once_and_only_before_the_body(void **unused)
{
    static const char head[] =
        "POST /a HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    HF_AUTO(http) http = hf_http_new(&small_limits);
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of(head, sizeof head - 3)));
    assert_false(hf_http_wants_continue(http));
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of_text("\r\n")));
    assert_true(hf_http_wants_continue(http));
    assert_false(hf_http_wants_continue(http));
    assert_true(hf_http_is_mid_request(http));
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of_text("xyz")));
    assert_non_null(hf_http_next(http));
    assert_false(hf_http_wants_continue(http));
    assert_null(hf_http_next(http));
    /* The body is there already: nothing to wait for. */
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of(head, sizeof head - 1)));
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of_text("xyz")));
    assert_false(hf_http_wants_continue(http));
    assert_non_null(hf_http_next(http));
}

static size_t limit_by_path(void *context, struct hf_request *head)
{
    unsigned *asked = context;

    (*asked)++;
    return hf_bytes_equal_text(hf_request_path(head), "/large") ? SIZE_MAX : 20000;
}

static const struct {
    const char *says;
    const char *head;
    size_t body;
    bool is_chunked;
    bool is_refused;
    unsigned asked;
} bodies[] = {
    { "a small body is not asked about", "POST /a HTTP/1.1\r\n", 16384, false, false, 0 },
    { "a body at the route's limit", "POST /a HTTP/1.1\r\n", 20000, false, false, 1 },
    { "a body above the route's limit", "POST /a HTTP/1.1\r\n", 20001, false, true, 1 },
    { "a large body where it is allowed", "POST /large HTTP/1.1\r\n", 300000, false, false, 1 },
    { "a chunked body at the route's limit", "POST /a HTTP/1.1\r\n", 20000, true, false, 1 },
    { "a chunked body above the route's limit", "POST /a HTTP/1.1\r\n", 20001, true, true, 1 },
};

static void a_body_above_the_limit_of_its_route_is_not_read(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(bodies); i++) {
        HF_AUTO(buf) bytes = hf_buf_new();
        HF_AUTO(http) http = NULL;
        struct hf_http_limits limits;
        struct hf_request *request = NULL;
        struct hf_op op;
        unsigned asked = 0;

        hf_op_init(&op, &env);
        hf_http_limits_default(&limits);
        http = hf_http_new(&limits);
        hf_http_limit_bodies(http, limit_by_path, &asked);
        hf_buf_add_text(bytes, bodies[i].head);
        if (bodies[i].is_chunked) {
            hf_buf_add_format(bytes, HOST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                              bodies[i].body);
        } else {
            hf_buf_add_format(bytes, HOST "Content-Length: %zu\r\n\r\n", bodies[i].body);
        }
        memset(hf_buf_reserve(bytes, bodies[i].body), 'x', bodies[i].body);
        hf_buf_grew(bytes, bodies[i].body);
        hf_buf_add_text(bytes, bodies[i].is_chunked ? "\r\n0\r\n\r\n" : "");
        assert_ok(&op, hf_http_feed(http, &op, hf_buf_bytes(bytes)));
        request = hf_http_next(http);
        if (request == NULL || hf_request_body_is_refused(request) != bodies[i].is_refused ||
            hf_request_keeps_alive(request) == bodies[i].is_refused ||
            hf_request_body(request).len != (bodies[i].is_refused ? 0 : bodies[i].body) ||
            asked != bodies[i].asked) {
            fail_msg("%s", bodies[i].says);
        }
        assert_null(hf_http_next(http));
        assert_int_equal(hf_http_error_status(http), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stream_is_read_as_the_table_says),
        cmocka_unit_test(a_flood_of_headers_ends_at_the_default_limits),
        cmocka_unit_test(a_large_body_comes_through_unchanged),
        cmocka_unit_test(views_stay_valid_while_more_bytes_come),
        cmocka_unit_test(continue_is_due_once_and_only_before_the_body),
        cmocka_unit_test(a_body_above_the_limit_of_its_route_is_not_read),
    };

    hf_env_system(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
