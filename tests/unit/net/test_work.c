/* Work on worker threads: clients that leave meanwhile, a full queue, and lanes. */
#include "test.h"

#include <sched.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

#include "line_server.h"
#include "net/internal.h"

static const struct test_offer plain = { 0 };

static const struct {
    const char *says;
    bool is_tls;
    bool resets;
} leavers[] = {
    { "a client closes", false, false },
    { "a client resets", false, true },
    { "a TLS client closes", true, false },
    { "a TLS client resets", true, true },
};

static void a_client_may_leave_while_a_worker_works_for_it(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(leavers); i++) {
        const struct line_settings settings = {
            .net = { .loops = 1, .workers = 1 },
            .is_tls = leavers[i].is_tls,
        };
        const struct test_offer offer = { .is_tls = leavers[i].is_tls };
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        print_message("%s\n", leavers[i].says);
        line_server_start(&server, &settings);
        test_gate_set(&server.gate, false);
        client = test_client_open(server.port, &offer);
        test_client_say(client, "work a\n");
        test_gate_wait(&server.gate, TEST_BEGUN, 1);
        if (leavers[i].resets) {
            test_client_reset(client);
        } else {
            test_client_close(client);
        }
        test_gate_wait(&server.gate, TEST_CLOSED, 1);
        assert_int_equal(hf_net_connections(server.net), 0);
        assert_int_equal(test_gate_count(&server.gate, TEST_ORPHANS), 0);
        test_gate_set(&server.gate, true);
        test_gate_wait(&server.gate, TEST_ORPHANS, 1);
        assert_int_equal(test_gate_count(&server.gate, TEST_DONE), 0);
        line_server_stop(&server, 10000);
    }
}

static void a_full_queue_refuses_and_the_connection_lives(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1, .max_queue = 2 },
    };
    struct line_server server = { 0 };
    struct test_client *clients[4];

    (void)unused;
    line_server_start(&server, &settings);
    test_gate_set(&server.gate, false);
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        clients[i] = test_client_open(server.port, &plain);
    }
    test_client_say(clients[0], "work 0\n");
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    /* An answered echo shows that what was sent before it on this loop is in the queue. */
    test_client_say(clients[1], "work 1\n");
    test_client_say(clients[2], "work 2\n");
    for (unsigned n = 0; n < 2; n++) {
        test_client_say(clients[3], "echo 3\n");
        test_client_expect(clients[3], "3\n");
    }
    test_client_say(clients[3], "work 3\n");
    test_client_expect(clients[3], "the queue of waiting requests is full\n");
    assert_int_equal(test_gate_count(&server.gate, TEST_LIMITED), 1);
    test_gate_set(&server.gate, true);
    test_client_expect(clients[0], "0\n");
    test_client_expect(clients[1], "1\n");
    test_client_expect(clients[2], "2\n");
    test_client_say(clients[3], "work 3\n");
    test_client_expect(clients[3], "3\n");
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        test_client_close(clients[i]);
    }
    line_server_stop(&server, 10000);
}

/* ---- Bytes sent ahead ---- */

enum { LINE_BYTES = 8192, AHEAD_LINES = 4096 };

struct ahead {
    struct test_client *client;
    atomic_uint sent; /* lines */
    pthread_t thread;
};

static void *send_ahead(void *context)
{
    struct ahead *ahead = context;
    char line[LINE_BYTES + 1];

    memset(line, 'x', LINE_BYTES);
    memcpy(line, "echo ", 5);
    line[LINE_BYTES - 1] = '\n';
    line[LINE_BYTES] = '\0';
    for (unsigned n = 0; n < AHEAD_LINES; n++) {
        test_client_say(ahead->client, line);
        atomic_store(&ahead->sent, n + 1);
    }
    return NULL;
}

static void what_is_sent_ahead_is_not_hoarded_and_not_lost(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .listener = { .idle_timeout_ms = 40, .max_unsent_bytes = 100000000 },
    };
    struct line_server server = { 0 };
    struct ahead ahead = { 0 };
    size_t expected = (size_t)AHEAD_LINES * (LINE_BYTES - 5);
    size_t got_bytes = 0;
    HF_AUTO(buf) got = hf_buf_new();
    unsigned sent;

    (void)unused;
    line_server_start(&server, &settings);
    test_gate_set(&server.gate, false);
    ahead.client = test_client_open(server.port, &plain);
    test_client_say(ahead.client, "work a\n");
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    assert_int_equal(pthread_create(&ahead.thread, NULL, send_ahead, &ahead), 0);
    /* It comes to a stop, because the server takes little and sockets do not hold 32 MiB. */
    do {
        sent = atomic_load(&ahead.sent);
        line_server_wait_until(&server, hf_env_boottime_ms(&server.env) + 300);
    } while (atomic_load(&ahead.sent) != sent);
    assert_true(sent < AHEAD_LINES);
    test_gate_set(&server.gate, true);
    test_client_expect(ahead.client, "a\n");
    while (got_bytes < expected) {
        assert_true(test_client_read(ahead.client, got));
        got_bytes += got->len;
        hf_buf_clear(got);
    }
    assert_int_equal(got_bytes, expected);
    assert_int_equal(pthread_join(ahead.thread, NULL), 0);
    test_client_close(ahead.client);
    line_server_stop(&server, 10000);
}

/* TLS keeps what it has decrypted where epoll does not see it; nothing of it may be forgotten. */
static void what_is_sent_ahead_over_tls_is_not_forgotten(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .listener = { .idle_timeout_ms = 40 },
        .is_tls = true,
    };
    const struct test_offer offer = { .is_tls = true };
    struct line_server server = { 0 };
    struct test_client *client = NULL;
    HF_AUTO(buf) ahead = hf_buf_new();
    HF_AUTO(buf) expected = hf_buf_new();
    size_t turns;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &offer);
    for (unsigned n = 0; n < 15000; n++) {
        hf_buf_add_format(ahead, n % 1000 == 0 ? "work %u\n" : "echo %u\n", n);
        hf_buf_add_format(expected, "%u\n", n);
    }
    test_gate_set(&server.gate, false);
    test_client_say(client, hf_buf_text(ahead));
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    turns = test_gate_count(&server.gate, TEST_TURNS);
    test_gate_wait(&server.gate, TEST_TURNS, turns + 20);
    test_gate_set(&server.gate, true);
    test_client_expect(client, hf_buf_text(expected));
    test_client_close(client);
    line_server_stop(&server, 10000);
}

static void workers_have_lanes_after_those_of_loops(void **unused)
{
    enum { LOOPS = 2, WORKERS = 3 };
    const struct line_settings settings = { .net = { .loops = LOOPS, .workers = WORKERS } };
    struct line_server server = { 0 };
    struct test_client *clients[WORKERS];

    (void)unused;
    line_server_start(&server, &settings);
    assert_int_equal(hf_net_loops(server.net), LOOPS);
    assert_int_equal(hf_net_lanes(server.net), LOOPS + WORKERS);
    test_gate_set(&server.gate, false);
    for (size_t i = 0; i < WORKERS; i++) {
        clients[i] = test_client_open(server.port, &plain);
        test_client_say(clients[i], "work a\n");
    }
    /* The gate keeps every worker busy, so that each takes one. */
    test_gate_wait(&server.gate, TEST_BEGUN, WORKERS);
    test_gate_set(&server.gate, true);
    for (size_t i = 0; i < WORKERS; i++) {
        test_client_expect(clients[i], "a\n");
        test_client_close(clients[i]);
    }
    assert_int_equal(server.max_lane, LOOPS + WORKERS - 1);
    line_server_stop(&server, 10000);
}

static size_t idle_workers(struct hf_workers *workers)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&workers->lock);
    for (const struct hf_worker *worker = workers->idle; worker != NULL; worker = worker->below) {
        count++;
    }
    (void)pthread_mutex_unlock(&workers->lock);
    return count;
}

static unsigned last_lane(struct line_server *server)
{
    unsigned lane;

    (void)pthread_mutex_lock(&server->gate.lock);
    lane = server->last_lane;
    (void)pthread_mutex_unlock(&server->gate.lock);
    return lane;
}

/* One after another needs one worker, whose memory and contexts are at hand. */
static void the_worker_that_rests_the_shortest_is_next(void **unused)
{
    enum { WORKERS = 4, ROUNDS = 12 };
    const struct line_settings settings = { .net = { .loops = 1, .workers = WORKERS } };
    struct line_server server = { 0 };
    struct test_client *client = NULL;
    unsigned lane = 0;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &plain);
    for (int i = 0; i < ROUNDS; i++) {
        while (idle_workers(&server.net->workers) < WORKERS) {
            (void)sched_yield();
        }
        test_client_say(client, "work a\n");
        test_client_expect(client, "a\n");
        if (i > 0) {
            assert_int_equal(last_lane(&server), lane);
        }
        lane = last_lane(&server);
    }
    test_client_close(client);
    line_server_stop(&server, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_may_leave_while_a_worker_works_for_it),
        cmocka_unit_test(a_full_queue_refuses_and_the_connection_lives),
        cmocka_unit_test(what_is_sent_ahead_is_not_hoarded_and_not_lost),
        cmocka_unit_test(what_is_sent_ahead_over_tls_is_not_forgotten),
        cmocka_unit_test(workers_have_lanes_after_those_of_loops),
        cmocka_unit_test(the_worker_that_rests_the_shortest_is_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
