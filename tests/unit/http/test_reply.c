/* Replies as they leave: complete, and with nothing in them that a value from outside put there. */
#include "test.h"

#include "http/http.h"

static struct hf_env env;

static struct hf_http *parse(const char *text, struct hf_request **out)
{
    struct hf_http_limits limits;
    struct hf_http *http = NULL;
    struct hf_op op;

    hf_op_init(&op, &env);
    hf_http_limits_default(&limits);
    http = hf_http_new(&limits);
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of_text(text)));
    *out = hf_http_next(http);
    assert_non_null(*out);
    return http;
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static const struct {
    const char *says;
    const char *request;
    int status;
    const char *body;
    bool close;
    unsigned keep_alive_s;
    const char *written;
} replies[] = {
    { "a body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "xyz", false, 0,
      "HTTP/1.1 200 OK\r\n" DATE
      "Content-Type: text/plain\r\nContent-Length: 3\r\nX: y\r\n\r\nxyz" },
    { "HEAD has the length but not the body", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "xyz",
      false, 0,
      "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 3\r\nX: y\r\n\r\n" },
    { "an empty body has a length", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 201, NULL, false, 0,
      "HTTP/1.1 201 Created\r\n" DATE "Content-Length: 0\r\nX: y\r\n\r\n" },
    { "204 has no length", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 204, NULL, false, 0,
      "HTTP/1.1 204 No Content\r\n" DATE "X: y\r\n\r\n" },
    { "304 has no length", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 304, NULL, false, 0,
      "HTTP/1.1 304 Not Modified\r\n" DATE "X: y\r\n\r\n" },
    { "the server closes", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 503, "x", true, 0,
      "HTTP/1.1 503 Service Unavailable\r\n" DATE
      "Content-Type: text/plain\r\nContent-Length: 1\r\nConnection: close\r\nX: y\r\n\r\nx" },
    { "the client closes", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, NULL,
      false, 0,
      "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\nConnection: close\r\nX: y\r\n\r\n" },
    { "HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", 200, NULL, false, 0,
      "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\nConnection: close\r\nX: y\r\n\r\n" },
    { "HTTP/1.0 that stays is told so", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200,
      NULL, false, 0,
      "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\nConnection: keep-alive\r\nX: y\r\n\r\n" },
    { "an unknown status has a phrase too", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 499, NULL, false,
      0, "HTTP/1.1 499 Error\r\n" DATE "Content-Length: 0\r\nX: y\r\n\r\n" },
    { "a client is told how long the connection is kept", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200,
      NULL, false, 60,
      "HTTP/1.1 200 OK\r\n" DATE
      "Content-Length: 0\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\nX: y\r\n\r\n" },
    { "a connection that closes is not kept", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL, true,
      60, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\nConnection: close\r\nX: y\r\n\r\n" },
};

static void replies_are_written_as_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(replies); i++) {
        struct hf_request *request = NULL;
        HF_AUTO(http) http = parse(replies[i].request, &request);
        HF_AUTO(buf) out = hf_buf_new();
        struct hf_reply reply;

        hf_reply_init(&reply);
        reply.status = replies[i].status;
        reply.close = replies[i].close;
        reply.keep_alive_s = replies[i].keep_alive_s;
        hf_reply_header(&reply, "X", "y");
        if (replies[i].body != NULL) {
            reply.content_type = "text/plain";
            hf_buf_add_text(&reply.body, replies[i].body);
        }
        hf_reply_write(&reply, request, 784111777000, out);
        if (strcmp(hf_buf_text(out), replies[i].written) != 0) {
            fail_msg("%s: wrote\n%s", replies[i].says, hf_buf_text(out));
        }
        hf_reply_done(&reply);
        (void)http;
    }
}

static const struct {
    uint64_t ms;
    const char *date;
} dates[] = {
    { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
    { 951782399999, "Mon, 28 Feb 2000 23:59:59 GMT" },
    { 951782400000, "Tue, 29 Feb 2000 00:00:00 GMT" },
    { 951868800000, "Wed, 01 Mar 2000 00:00:00 GMT" },
    { 1703980799000, "Sat, 30 Dec 2023 23:59:59 GMT" },
    { 1704067199000, "Sun, 31 Dec 2023 23:59:59 GMT" },
    { 1709164800000, "Thu, 29 Feb 2024 00:00:00 GMT" },
    { 1795305599000, "Sat, 21 Nov 2026 23:59:59 GMT" },
    { 4107542400000, "Mon, 01 Mar 2100 00:00:00 GMT" },
    { 253402300799000, "Fri, 31 Dec 9999 23:59:59 GMT" },
};

static void dates_are_those_of_the_calendar(void **unused)
{
    struct hf_reply reply;

    (void)unused;
    hf_reply_init(&reply);
    for (size_t i = 0; i < HF_COUNT(dates); i++) {
        HF_AUTO(buf) out = hf_buf_new();

        hf_reply_write(&reply, NULL, dates[i].ms, out);
        if (strstr(hf_buf_text(out), dates[i].date) == NULL) {
            fail_msg("%s is missing in\n%s", dates[i].date, hf_buf_text(out));
        }
    }
    hf_reply_done(&reply);
}

static void a_value_from_outside_cannot_begin_a_line(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_reply reply;

    (void)unused;
    hf_reply_init(&reply);
    hf_reply_header(&reply, "Location", "/a\r\nSet-Cookie: x\n\r\n<html>\t\x7f");
    hf_reply_reason(&reply, "No\r\nX: y\r\n\r\nbody");
    hf_reply_write(&reply, NULL, 0, out);
    assert_null(strstr(hf_buf_text(out), "\nSet-Cookie"));
    assert_null(strstr(hf_buf_text(out), "\nX:"));
    assert_null(strstr(hf_buf_text(out), "\r\r"));
    assert_non_null(strstr(hf_buf_text(out), "\r\nLocation: /aSet-Cookie: x<html>\r\n"));
    assert_non_null(strstr(hf_buf_text(out), "HTTP/1.1 200 NoX: ybody\r\n"));
    hf_reply_done(&reply);
}

static const struct {
    const char *says;
    const char *text;
    const char *written;
} reasons[] = {
    { "its own words", "Invalid signature", "403 Invalid signature\r\n" },
    { "an empty one", "", "403 Forbidden\r\n" },
    { "only controls", "\r\n\t", "403 Forbidden\r\n" },
    { "only spaces", "  ", "403 Forbidden\r\n" },
    { "UTF-8", "Schl\xc3\xbcssel", "403 Schl\xc3\xbcssel\r\n" },
};

static void a_reason_is_never_empty(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(reasons); i++) {
        HF_AUTO(buf) out = hf_buf_new();
        struct hf_reply reply;

        hf_reply_init(&reply);
        reply.status = 403;
        hf_reply_reason(&reply, reasons[i].text);
        hf_reply_write(&reply, NULL, 0, out);
        if (strstr(hf_buf_text(out), reasons[i].written) == NULL) {
            fail_msg("%s: wrote\n%s", reasons[i].says, hf_buf_text(out));
        }
        hf_reply_done(&reply);
    }
}

static void a_long_reason_is_cut_between_characters(void **unused)
{
    struct hf_reply reply;

    (void)unused;
    for (size_t shift = 0; shift < 4; shift++) {
        HF_AUTO(buf) text = hf_buf_new();
        size_t len;

        for (size_t i = 0; i < shift; i++) {
            hf_buf_add_text(text, "x");
        }
        for (size_t i = 0; i < 100; i++) {
            hf_buf_add_text(text, "\xe2\x82\xac");
        }
        hf_reply_init(&reply);
        hf_reply_reason(&reply, hf_buf_text(text));
        len = strlen(reply.reason);
        assert_in_range(len, sizeof reply.reason_text - 4, sizeof reply.reason_text - 1);
        assert_int_equal((len - shift) % 3, 0);
        assert_memory_equal(reply.reason, hf_buf_text(text), len);
        hf_reply_done(&reply);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_written_as_the_table_says),
        cmocka_unit_test(dates_are_those_of_the_calendar),
        cmocka_unit_test(a_value_from_outside_cannot_begin_a_line),
        cmocka_unit_test(a_reason_is_never_empty),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
    };

    hf_env_system(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
