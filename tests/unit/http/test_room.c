/* The room that connections share: who is refused, what is counted, and that all of it comes back.
 */
#include "test.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "http/http.h"

#define ROOM 100000

static struct hf_env env;
static struct hf_http_room room = { .max_bytes = ROOM };

static struct hf_http *connection(void)
{
    struct hf_http_limits limits;

    hf_http_limits_default(&limits);
    limits.room = &room;
    return hf_http_new(&limits);
}

static enum hf_code feed(struct hf_http *http, const struct hf_buf *bytes)
{
    struct hf_op op;

    hf_op_init(&op, &env);
    return hf_http_feed(http, &op, hf_buf_bytes(bytes)).code;
}

static enum hf_code feed_text(struct hf_http *http, const char *text)
{
    HF_AUTO(buf) bytes = hf_buf_new();

    hf_buf_add_text(bytes, text);
    return feed(http, bytes);
}

static enum hf_code feed_bytes(struct hf_http *http, size_t len)
{
    HF_AUTO(buf) bytes = hf_buf_new();

    memset(hf_buf_reserve(bytes, len), 'x', len);
    hf_buf_grew(bytes, len);
    return feed(http, bytes);
}

/* A connection that has sent a head with that length, and so much of the body. */
static struct hf_http *sender(size_t length, size_t sent)
{
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_http *http = connection();

    hf_buf_add_format(head, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", length);
    assert_int_equal(feed(http, head), HF_OK);
    if (sent > 0) {
        assert_int_equal(feed_bytes(http, sent), HF_OK);
    }
    return http;
}

static void expect_body(struct hf_http *http, size_t len)
{
    struct hf_request *request = hf_http_next(http);

    assert_non_null(request);
    assert_false(hf_request_found_no_room(request));
    assert_int_equal(hf_request_body(request).len, len);
}

/* The request is there for a door to answer, without a body, and is the connection's last. */
static void expect_refused(struct hf_http *http)
{
    const struct hf_request *request = hf_http_next(http);

    assert_non_null(request);
    assert_true(hf_request_found_no_room(request));
    assert_true(hf_request_body_is_refused(request));
    assert_false(hf_request_keeps_alive(request));
    assert_int_equal(hf_request_body(request).len, 0);
    assert_true(hf_bytes_equal(hf_request_path(request), hf_bytes_of_text("/a")));
    assert_true(hf_bytes_equal(hf_request_header(request, "Host"), hf_bytes_of_text("a")));
}

static void what_a_body_holds_is_counted_until_its_request_is_over(void **unused)
{
    HF_AUTO(http) http = sender(60000, 0);

    (void)unused;
    assert_int_equal(room.used_bytes, 0); /* what was announced is not there yet */
    assert_int_equal(feed_bytes(http, 30000), HF_OK);
    assert_in_range(room.used_bytes, 30000, 30100);
    assert_int_equal(feed_bytes(http, 30000), HF_OK);
    expect_body(http, 60000);
    assert_in_range(room.used_bytes, 60000, 60100);
    assert_null(hf_http_next(http));
    assert_int_equal(room.used_bytes, 0);
}

static void whoever_comes_when_the_room_is_full_is_refused_alone(void **unused)
{
    HF_AUTO(http) first = sender(80000, 70000);
    HF_AUTO(http) second = sender(80000, 20000);
    HF_AUTO(http) third = sender(80000, 0);

    (void)unused;
    assert_int_equal(feed_bytes(third, 20000), HF_OK);
    expect_refused(third);
    assert_int_equal(feed_bytes(second, 20000), HF_OK);
    expect_refused(second);
    assert_int_equal(feed_bytes(first, 10000), HF_OK);
    expect_body(first, 80000);
    assert_null(hf_http_next(first));
    assert_int_equal(room.used_bytes, 0);
}

static void a_connection_that_ends_gives_its_room_back(void **unused)
{
    struct hf_http *http = sender(80000, 70000);

    (void)unused;
    assert_in_range(room.used_bytes, 70000, 70100);
    hf_http_free(http);
    assert_int_equal(room.used_bytes, 0);
}

static void chunks_are_counted_too(void **unused)
{
    HF_AUTO(http) holder = sender(80000, 79000);
    HF_AUTO(http) http = connection();

    (void)unused;
    assert_int_equal(
        feed_text(http, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HF_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(feed_text(http, "2710\r\n"), HF_OK);
        assert_int_equal(feed_bytes(http, 10000), HF_OK);
        assert_int_equal(feed_text(http, "\r\n"), HF_OK);
    }
    expect_refused(http);
    assert_in_range(room.used_bytes, 79000, 79100);
}

static void small_requests_are_served_when_there_is_no_room(void **unused)
{
    HF_AUTO(http) holder = sender(100000, 99000);
    HF_AUTO(http) small = sender(15000, 0);
    HF_AUTO(http) slow = sender(1500, 1400);

    (void)unused;
    assert_int_equal(feed_bytes(small, 15000), HF_OK);
    expect_body(small, 15000);
    assert_int_equal(feed_bytes(slow, 100), HF_OK);
    expect_body(slow, 1500);
}

static void a_head_that_finds_no_room_ends_its_connection(void **unused)
{
    HF_AUTO(http) holder = sender(100000, 99000);
    HF_AUTO(http) http = connection();

    (void)unused;
    assert_int_equal(feed_text(http, "GET /a HTTP/1.1\r\nHost: a\r\nX: "), HF_OK);
    assert_int_equal(feed_bytes(http, 3000), HF_UNAVAILABLE);
    assert_int_equal(hf_http_error_status(http), 503);
    assert_null(hf_http_next(http));
}

/* Every way that bytes can arrive, on connections that end anywhere: nothing stays counted. */
static void all_room_comes_back_whatever_happens(void **unused)
{
    static const size_t pieces[] = { 1000, 3000, 17000, 60000, 200000 };
    HF_AUTO(buf) stream = hf_buf_new();

    (void)unused;
    for (size_t i = 0; i < 5; i++) {
        size_t len = 9000 * i;

        hf_buf_add_format(stream, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                          len);
        memset(hf_buf_reserve(stream, len), 'x', len);
        hf_buf_grew(stream, len);
    }
    for (size_t piece = 0; piece < HF_COUNT(pieces); piece++) {
        for (size_t end = 0; end <= stream->len; end += 4999) {
            HF_AUTO(http) holder = sender(80000, end % 79000);
            HF_AUTO(http) http = connection();

            for (size_t at = 0; at < end; at += pieces[piece]) {
                size_t len = end - at < pieces[piece] ? end - at : pieces[piece];
                struct hf_op op;

                hf_op_init(&op, &env);
                (void)hf_http_feed(http, &op, hf_bytes_of(stream->data + at, len)).code;
                assert_true(room.used_bytes <= ROOM);
                while (hf_http_next(http) != NULL) {
                }
            }
        }
        assert_int_equal(room.used_bytes, 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_body_holds_is_counted_until_its_request_is_over),
        cmocka_unit_test(whoever_comes_when_the_room_is_full_is_refused_alone),
        cmocka_unit_test(a_connection_that_ends_gives_its_room_back),
        cmocka_unit_test(chunks_are_counted_too),
        cmocka_unit_test(small_requests_are_served_when_there_is_no_room),
        cmocka_unit_test(a_head_that_finds_no_room_ends_its_connection),
        cmocka_unit_test(all_room_comes_back_whatever_happens),
    };

    return cmocka_run_group_tests_name("http room", tests, NULL, NULL);
}
