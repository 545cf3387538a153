/* Doors on a real connection: who answers, in which order, and what is told afterwards. */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "door_server.h"

#define HOST "Host: a\r\n"

static const struct test_offer plain = { 0 };
static const struct hf_net_settings usual_net = { .loops = 1, .workers = 1 };
static const struct hf_listener_settings usual_listener = { 0 };

/* ---- Reading replies ---- */

/* Reads one reply's head and body, of which rest holds what has come; false at the end. */
static bool read_reply(struct test_client *client, struct hf_buf *rest, struct hf_buf *told)
{
    const char *head_end = NULL;
    const char *length = NULL;
    size_t head;
    size_t body = 0;
    HF_AUTO(buf) left = NULL;

    while ((head_end = strstr(hf_buf_text(rest), "\r\n\r\n")) == NULL) {
        if (!test_client_read(client, rest)) {
            assert_int_equal(rest->len, 0);
            return false;
        }
    }
    head = (size_t)(head_end - (const char *)rest->data) + 4;
    length = strstr(hf_buf_text(rest), "Content-Length: ");
    if (length != NULL && (const uint8_t *)length < rest->data + head) {
        body = strtoul(length + 16, NULL, 10);
    }
    while (rest->len < head + body) {
        assert_true(test_client_read(client, rest));
    }
    assert_memory_equal(rest->data, "HTTP/1.1 ", 9);
    hf_buf_add(told, rest->data + 9, 3);
    hf_buf_add_text(told, memmem(rest->data, head, "Connection: close", 17) ? " last (" : " (");
    hf_buf_add(told, rest->data + head, body);
    hf_buf_add_text(told, ") ");
    left = hf_buf_new();
    hf_buf_add(left, rest->data + head + body, rest->len - head - body);
    hf_buf_clear(rest);
    hf_buf_add_bytes(rest, hf_buf_bytes(left));
    return true;
}

/* One reply, and nothing behind it yet. */
static void expect_reply(struct test_client *client, const char *expected)
{
    HF_AUTO(buf) rest = hf_buf_new();
    HF_AUTO(buf) told = hf_buf_new();

    assert_true(read_reply(client, rest, told));
    assert_int_equal(rest->len, 0);
    assert_string_equal(hf_buf_text(told), expected);
}

/* Says it and tells all replies until the connection ends. */
static void converse(struct door_server *server, const char *says, struct hf_buf *told)
{
    HF_AUTO(buf) rest = hf_buf_new();
    struct test_client *client = test_client_open(server->port, &plain);

    test_client_say(client, says);
    while (read_reply(client, rest, told)) {
    }
    test_client_close(client);
}

#define GET(path)        "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define POST(path, body) "POST " path " HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n" body
#define LAST             GET("/t/closing")

/* Statuses of failures are 400 plus the code, so that the table sees which one the door got. */
static const struct {
    const char *says;
    const char *sends;
    const char *told;
} talks[] = {
    { "an inline handler", GET("/t/fixed") LAST, "200 (fixed) 200 last (last) " },
    { "a worker", POST("/t/work", "x") LAST, "200 (x) 200 last (last) " },
    { "replies in order, whoever answers",
      POST("/t/work", "1") POST("/t/echo", "2") POST("/t/work", "3") POST("/t/echo", "4") LAST,
      "200 (1) 200 (2) 200 (3) 200 (4) 200 last (last) " },
    { "an inline handler that would have to wait", GET("/t/later") LAST,
      "200 (now) 200 last (last) " },
    { "a handler that wants to run later even on a worker", GET("/t/never") LAST,
      "416 (internal: a handler wants to be run later, but may wait already) "
      "200 last (last) " },
    { "a failure leaves nothing of the handler's reply", GET("/t/denied") LAST,
      "403 (denied: no) 200 last (last) " },
    { "a failure on a worker", GET("/t/denied-by-worker") LAST,
      "403 (denied: no) 200 last (last) " },
    { "a path without a route", GET("/t/nothing") LAST,
      "404 (not_found: there is nothing at this path) 200 last (last) " },
    { "a method that the path does not have", "DELETE /t/fixed HTTP/1.1\r\n" HOST "\r\n" LAST,
      "413 (unsupported: this path has no method DELETE) 200 last (last) " },
    { "a small body above the route's limit", POST("/t/none", "x") LAST,
      "408 (too_large: the body is larger than 0 bytes) 200 last (last) " },
    { "a large body above the route's limit is not waited for",
      "POST /t/echo HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n0123",
      "408 last (too_large: the body is larger than 100 bytes) " },
    { "nor is one for a path without a route",
      "POST /t/nothing HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n0123",
      "404 last (not_found: there is nothing at this path) " },
    { "nor is one of somebody who is not let in",
      "POST /t/echo HTTP/1.1\r\n" HOST "X-Stranger: 1\r\nContent-Length: 1000000\r\n\r\n0123",
      "402 last (unauthenticated: who are you) " },
    { "a body above the listener's limit",
      "POST /t/work HTTP/1.1\r\n" HOST "Content-Length: 2000001\r\n\r\n",
      "413 last (the body is too large\n) " },
    { "somebody who is not let in", "GET /t/fixed HTTP/1.1\r\n" HOST "X-Stranger: 1\r\n\r\n" LAST,
      "402 (unauthenticated: who are you) 200 last (last) " },
    { "a stranger does not learn which routes exist",
      "GET /t/nothing HTTP/1.1\r\n" HOST "X-Stranger: 1\r\n\r\n" LAST,
      "402 (unauthenticated: who are you) 200 last (last) " },
    { "a handshake that the door answers by itself",
      "OPTIONS /t/whatever HTTP/1.1\r\n" HOST "\r\n" LAST, "200 (handshake) 200 last (last) " },
    { "a path that no door serves", GET("/nowhere") LAST,
      "404 (There is no such thing.\n) 200 last (last) " },
    { "the asterisk, which no door serves", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n" LAST,
      "404 (There is no such thing.\n) 200 last (last) " },
    { "the second door", GET("/other/x") LAST,
      "404 (not_found: there is nothing at this path) 200 last (last) " },
    { "what follows the last request is not answered", LAST LAST, "200 last (last) " },
    { "a client that closes",
      "GET /t/fixed HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" GET("/t/fixed"),
      "200 last (fixed) " },
    { "HTTP/1.0", "GET /t/fixed HTTP/1.0\r\n\r\n", "200 last (fixed) " },
    { "a broken request behind a good one", GET("/t/fixed") "GET /t/fixed\r\n",
      "200 (fixed) 400 last (the request line is not METHOD TARGET HTTP/1.1\n) " },
    { "a broken request behind one of a worker", POST("/t/work", "x") "GET /t/fixed\r\n",
      "200 (x) 400 last (the request line is not METHOD TARGET HTTP/1.1\n) " },
    { "two lengths",
      "POST /t/echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" LAST,
      "400 last (Content-Length is there twice\n) " },
    { "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "505 last (the version of HTTP is neither 1.0 nor 1.1\n) " },
};

static void each_talk_goes_as_the_table_says(void **unused)
{
    struct door_server server = { 0 };

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    for (size_t i = 0; i < HF_COUNT(talks); i++) {
        HF_AUTO(buf) told = hf_buf_new();

        converse(&server, talks[i].sends, told);
        if (strcmp(hf_buf_text(told), talks[i].told) != 0) {
            fail_msg("%s: got\n%s\nwanted\n%s", talks[i].says, hf_buf_text(told), talks[i].told);
        }
    }
    assert_int_equal(test_gate_count(&server.gate, DOOR_RUNS), 2);
    door_server_stop(&server, 10000);
}

static void a_large_body_goes_to_a_worker_where_the_route_says_so(void **unused)
{
    static const struct {
        size_t len;
        const char *told;
    } cases[] = {
        { 0, "200 (loop) " },
        { HF_INLINE_BODY_MAX, "200 (loop) " },
        { HF_INLINE_BODY_MAX + 1, "200 (worker) " },
    };
    struct door_server server = { 0 };

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct test_client *client = test_client_open(server.port, &plain);
        HF_AUTO(buf) request = hf_buf_new();

        hf_buf_add_format(request, "POST /t/where HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                          cases[i].len);
        memset(hf_buf_reserve(request, cases[i].len), 'x', cases[i].len);
        hf_buf_grew(request, cases[i].len);
        test_client_send(client, hf_buf_bytes(request));
        expect_reply(client, cases[i].told);
        test_client_close(client);
    }
    door_server_stop(&server, 0);
}

static void head_gets_the_length_but_not_the_body(void **unused)
{
    struct door_server server = { 0 };
    HF_AUTO(buf) got = hf_buf_new();
    struct test_client *client = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    client = test_client_open(server.port, &plain);
    test_client_say(client, "HEAD /t/fixed HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    test_client_read_all(client, got);
    assert_non_null(strstr(hf_buf_text(got), "\r\nContent-Length: 5\r\n"));
    assert_null(strstr(hf_buf_text(got), "fixed"));
    test_client_close(client);
    door_server_stop(&server, 10000);
}

static void a_body_is_asked_for_when_the_client_waits_to_be_asked(void **unused)
{
    struct door_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    client = test_client_open(server.port, &plain);
    test_client_say(client, "POST /t/echo HTTP/1.1\r\n" HOST
                            "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    test_client_expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
    test_client_say(client, "xy");
    expect_reply(client, "200 (xy) ");
    /* One that will not be taken is not asked for. */
    test_client_say(client, "POST /t/echo HTTP/1.1\r\n" HOST
                            "Expect: 100-continue\r\nContent-Length: 50000\r\n\r\n");
    expect_reply(client, "408 last (too_large: the body is larger than 100 bytes) ");
    test_client_expect_end(client);
    test_client_close(client);
    door_server_stop(&server, 10000);
}

static void ask_until_alone(struct door_server *server)
{
    struct test_client *client = test_client_open(server->port, &plain);

    do {
        test_client_say(client, GET("/t/fixed"));
        expect_reply(client, "200 (fixed) ");
    } while (hf_net_connections(server->net) > 1);
    test_client_close(client);
}

static void a_request_lives_as_long_as_its_worker(void **unused)
{
    struct door_server server = { 0 };
    HF_AUTO(buf) request = hf_buf_new();

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    hf_buf_add_text(request,
                    "POST /t/gated/word HTTP/1.1\r\n" HOST "Content-Length: 900000\r\n\r\n");
    memset(hf_buf_reserve(request, 900000), 'x', 900000);
    hf_buf_grew(request, 900000);
    for (size_t i = 0; i < 4; i++) {
        struct test_client *client = test_client_open(server.port, &plain);

        test_gate_set(&server.gate, false);
        test_client_send(client, hf_buf_bytes(request));
        test_gate_wait(&server.gate, DOOR_WAITING, i + 1);
        if (i % 2 == 0) {
            test_client_close(client);
        } else {
            test_client_reset(client);
        }
        /* Each of these is a turn of the loop; in the end only the asking connection is left. */
        ask_until_alone(&server);
        /* The handler reads segment and body now. */
        test_gate_set(&server.gate, true);
        test_gate_wait(&server.gate, DOOR_UNWRITTEN, i + 1);
    }
    assert_int_equal(test_gate_count(&server.gate, DOOR_WRITTEN), 0);
    door_server_stop(&server, 10000);
}

static void what_is_kept_is_freed_after_the_reply(void **unused)
{
    struct door_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    client = test_client_open(server.port, &plain);
    for (size_t i = 0; i < 3; i++) {
        test_client_say(client, GET("/t/later"));
        expect_reply(client, "200 (now) ");
        assert_int_equal(test_gate_count(&server.gate, DOOR_FREED), i + 1);
    }
    test_client_close(client);
    door_server_stop(&server, 10000);
}

/* ---- Whether a reply was written ---- */

static void a_reply_that_the_kernel_took_is_told_as_written(void **unused)
{
    struct door_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    client = test_client_open(server.port, &plain);
    test_client_say(client, GET("/t/told") GET("/t/told-by-worker") GET("/t/told"));
    test_gate_wait(&server.gate, DOOR_WRITTEN, 3);
    test_client_say(client, GET("/t/big"));
    {
        HF_AUTO(buf) got = hf_buf_new();

        while (got->len < 20000000) {
            assert_true(test_client_read(client, got));
        }
    }
    test_gate_wait(&server.gate, DOOR_WRITTEN, 4);
    test_client_close(client);
    door_server_stop(&server, 10000);
    assert_int_equal(server.gate.counts[DOOR_WRITTEN], 4);
    assert_int_equal(server.gate.counts[DOOR_UNWRITTEN], 0);
}

static void a_reply_to_a_client_that_left_is_told_as_not_written(void **unused)
{
    struct door_server server = { 0 };

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    for (size_t i = 0; i < 6; i++) {
        struct test_client *client = test_client_open(server.port, &plain);

        test_gate_set(&server.gate, false);
        test_client_say(client, POST("/t/gated/a", "x"));
        test_gate_wait(&server.gate, DOOR_WAITING, i + 1);
        if (i % 2 == 0) {
            test_client_close(client);
        } else {
            test_client_reset(client);
        }
        /* Whether the loop sees the end before the answer or at it, nothing was written. */
        test_gate_set(&server.gate, true);
        test_gate_wait(&server.gate, DOOR_UNWRITTEN, i + 1);
    }
    door_server_stop(&server, 10000);
    assert_int_equal(server.gate.counts[DOOR_WRITTEN], 0);
}

static void a_reply_that_nobody_is_there_to_read_is_told_as_not_written(void **unused)
{
    struct door_server server = { 0 };
    struct test_client *holding = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    holding = test_client_open(server.port, &plain);
    for (size_t i = 0; i < 10; i++) {
        struct test_client *client = test_client_open(server.port, &plain);

        test_gate_set(&server.gate, false);
        test_client_say(holding, GET("/t/hold"));
        test_gate_wait(&server.gate, DOOR_WAITING, i + 1);
        /* When the loop goes on, request and end are both there, and the socket takes a reply. */
        test_client_say(client, GET("/t/told"));
        test_client_close(client);
        test_gate_set(&server.gate, true);
        expect_reply(holding, "200 (held) ");
        test_gate_wait(&server.gate, DOOR_UNWRITTEN, i + 1);
    }
    test_client_close(holding);
    door_server_stop(&server, 10000);
    assert_int_equal(server.gate.counts[DOOR_WRITTEN], 0);
}

static void a_reply_that_was_not_taken_whole_is_told_as_not_written(void **unused)
{
    struct door_server server = { 0 };
    struct test_client *client = NULL;
    HF_AUTO(buf) got = hf_buf_new();

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    client = test_client_open(server.port, &plain);
    test_client_say(client, GET("/t/big"));
    /* It has begun to come, but the sockets do not hold it all. */
    assert_true(test_client_read(client, got));
    assert_int_equal(test_gate_count(&server.gate, DOOR_WRITTEN), 0);
    test_client_reset(client);
    test_gate_wait(&server.gate, DOOR_UNWRITTEN, 1);
    door_server_stop(&server, 10000);
    assert_int_equal(server.gate.counts[DOOR_WRITTEN], 0);
}

static void a_reply_above_what_may_be_unsent_is_told_as_not_written(void **unused)
{
    const struct hf_listener_settings settings = { .max_unsent_bytes = 1000000 };
    struct door_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &settings, 0);
    client = test_client_open(server.port, &plain);
    test_client_say(client, GET("/t/big"));
    test_gate_wait(&server.gate, DOOR_UNWRITTEN, 1);
    test_client_expect_end(client);
    test_client_close(client);
    door_server_stop(&server, 10000);
    assert_int_equal(server.gate.counts[DOOR_WRITTEN], 0);
}

/* ---- Limits and the end ---- */

static void a_full_queue_and_a_passed_deadline_are_the_doors_to_tell(void **unused)
{
    const struct hf_net_settings settings = { .loops = 1, .workers = 1, .max_queue = 1 };
    struct door_server server = { 0 };
    struct test_client *clients[3];
    uint64_t passed;

    (void)unused;
    door_server_start(&server, &settings, &usual_listener, 50);
    test_gate_set(&server.gate, false);
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        clients[i] = test_client_open(server.port, &plain);
    }
    test_client_say(clients[0], POST("/t/gated/a", "1"));
    test_gate_wait(&server.gate, DOOR_WAITING, 1);
    test_client_say(clients[1], POST("/t/work", "2"));
    /* Behind an answer on the same loop, the queue has the second. */
    for (unsigned n = 0; n < 2; n++) {
        test_client_say(clients[2], GET("/t/fixed"));
        expect_reply(clients[2], "200 (fixed) ");
    }
    test_client_say(clients[2], POST("/t/work", "3"));
    expect_reply(clients[2], "409 (limited: the queue of waiting requests is full) ");
    passed = hf_env_boottime_ms(&server.env) + 60;
    while (hf_env_boottime_ms(&server.env) < passed) {
        test_client_say(clients[2], GET("/t/fixed"));
        expect_reply(clients[2], "200 (fixed) ");
    }
    test_gate_set(&server.gate, true);
    expect_reply(clients[0], "200 (a 1) ");
    expect_reply(clients[1], "411 (unavailable: the time for this operation is over) ");
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        test_client_close(clients[i]);
    }
    door_server_stop(&server, 10000);
}

static void *drain(void *context)
{
    struct door_server *server = context;

    hf_net_drain(server->net, 20000);
    return NULL;
}

static void while_the_server_stops_replies_say_that_the_connection_ends(void **unused)
{
    struct door_server server = { 0 };
    struct test_client *client = NULL;
    pthread_t thread;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    test_gate_set(&server.gate, false);
    client = test_client_open(server.port, &plain);
    test_client_say(client, POST("/t/gated/a", "x") GET("/t/fixed"));
    test_gate_wait(&server.gate, DOOR_WAITING, 1);
    assert_int_equal(pthread_create(&thread, NULL, drain, &server), 0);
    for (;;) {
        struct test_client *late = test_client_try(server.port, &plain);

        if (late == NULL) {
            break;
        }
        test_client_close(late);
    }
    test_gate_set(&server.gate, true);
    expect_reply(client, "200 last (a x) ");
    test_client_expect_end(client);
    assert_int_equal(pthread_join(thread, NULL), 0);
    test_client_close(client);
    door_server_stop(&server, 0);
}

static void requests_are_counted_by_door_and_class(void **unused)
{
    struct door_server server = { 0 };
    HF_AUTO(buf) told = hf_buf_new();
    HF_AUTO(buf) metrics = hf_buf_new();

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    converse(&server,
             GET("/t/fixed") GET("/t/fixed") GET("/t/denied") GET("/other/x") GET("/nowhere")
                 GET("/t/fixed") "BREW / HTTP/1.1\r\n",
             told);
    hf_metrics_write(server.env.metrics, metrics);
    assert_non_null(strstr(hf_buf_text(metrics),
                           "holdfast_http_requests_total{door=\"first\",class=\"2xx\"} 3\n"));
    assert_non_null(strstr(hf_buf_text(metrics),
                           "holdfast_http_requests_total{door=\"first\",class=\"4xx\"} 1\n"));
    assert_non_null(strstr(hf_buf_text(metrics),
                           "holdfast_http_requests_total{door=\"second\",class=\"4xx\"} 1\n"));
    assert_non_null(strstr(hf_buf_text(metrics),
                           "holdfast_http_requests_total{door=\"none\",class=\"4xx\"} 1\n"));
    assert_non_null(strstr(hf_buf_text(metrics),
                           "holdfast_http_requests_total{door=\"none\",class=\"5xx\"} 1\n"));
    assert_non_null(strstr(hf_buf_text(metrics),
                           "holdfast_connections_accepted_total{listener=\"doors\"} 1\n"));
    door_server_stop(&server, 10000);
}

/* ---- Room for bytes ---- */

/* A POST of that many bytes, all but the last missing of them. */
static struct test_client *post(const struct door_server *server, const char *path, size_t len,
                                size_t missing)
{
    struct test_client *client = test_client_open(server->port, &plain);
    HF_AUTO(buf) request = hf_buf_new();

    hf_buf_add_format(request, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", path,
                      len);
    memset(hf_buf_reserve(request, len - missing), 'x', len - missing);
    hf_buf_grew(request, len - missing);
    test_client_send(client, hf_buf_bytes(request));
    return client;
}

static void wait_for_used(struct door_server *server, size_t at_least)
{
    for (int i = 0; i < 20000 && atomic_load(&server->room.used_bytes) < at_least; i++) {
        (void)usleep(1000);
    }
    assert_true(atomic_load(&server->room.used_bytes) >= at_least);
}

static void expect_no_room(struct test_client *client)
{
    HF_AUTO(buf) told = hf_buf_new();

    test_client_read_all(client, told);
    assert_memory_equal(told->data, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_non_null(strstr(hf_buf_text(told), "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(hf_buf_text(told), "\r\nConnection: close\r\n"));
    /* In the door's own form. */
    assert_non_null(strstr(hf_buf_text(told), "unavailable: the server holds as many bytes"));
    test_client_close(client);
}

static void large_bodies_that_find_no_room_are_told_to_come_again(void **unused)
{
    struct door_server server = { .room.max_bytes = 100000 };
    struct test_client *at_work = NULL;
    struct test_client *slow = NULL;
    struct test_client *client = NULL;

    (void)unused;
    door_server_start(&server, &usual_net, &usual_listener, 0);
    test_gate_set(&server.gate, false);
    at_work = post(&server, "/t/gated/a", 50000, 0);
    test_gate_wait(&server.gate, DOOR_WAITING, 1);
    slow = post(&server, "/t/work", 40000, 1);
    wait_for_used(&server, 90000);

    expect_no_room(post(&server, "/t/work", 30000, 0));
    expect_no_room(post(&server, "/t/work", 30000, 1)); /* the whole of it is not waited for */
    client = test_client_open(server.port, &plain);
    test_client_say(client, GET("/t/fixed") POST("/t/echo", "x"));
    {
        HF_AUTO(buf) rest = hf_buf_new();
        HF_AUTO(buf) told = hf_buf_new();

        assert_true(read_reply(client, rest, told));
        assert_true(read_reply(client, rest, told));
        assert_string_equal(hf_buf_text(told), "200 (fixed) 200 (x) ");
    }
    test_client_close(client);

    /* Who goes away, and whose answer has left, make room. */
    test_client_reset(slow);
    test_gate_set(&server.gate, true);
    test_gate_wait(&server.gate, DOOR_WRITTEN, 1);
    client = post(&server, "/t/gated/b", 60000, 0);
    test_gate_wait(&server.gate, DOOR_WRITTEN, 2);
    test_client_close(client);
    test_client_close(at_work);
    door_server_stop(&server, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_talk_goes_as_the_table_says),
        cmocka_unit_test(a_large_body_goes_to_a_worker_where_the_route_says_so),
        cmocka_unit_test(head_gets_the_length_but_not_the_body),
        cmocka_unit_test(a_body_is_asked_for_when_the_client_waits_to_be_asked),
        cmocka_unit_test(a_request_lives_as_long_as_its_worker),
        cmocka_unit_test(what_is_kept_is_freed_after_the_reply),
        cmocka_unit_test(a_reply_that_the_kernel_took_is_told_as_written),
        cmocka_unit_test(a_reply_to_a_client_that_left_is_told_as_not_written),
        cmocka_unit_test(a_reply_that_nobody_is_there_to_read_is_told_as_not_written),
        cmocka_unit_test(a_reply_that_was_not_taken_whole_is_told_as_not_written),
        cmocka_unit_test(a_reply_above_what_may_be_unsent_is_told_as_not_written),
        cmocka_unit_test(a_full_queue_and_a_passed_deadline_are_the_doors_to_tell),
        cmocka_unit_test(while_the_server_stops_replies_say_that_the_connection_ends),
        cmocka_unit_test(requests_are_counted_by_door_and_class),
        cmocka_unit_test(large_bodies_that_find_no_room_are_told_to_come_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
