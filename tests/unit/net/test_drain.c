/* Stopping: what is under way ends well, what is idle goes, and there is an end. */
#include "test.h"

#include <sched.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

#include "base/alloc.h"
#include "line_server.h"
#include "net/internal.h"

static const struct test_offer plain = { 0 };

/* Drains from a thread of its own, so that the test can act meanwhile. */
struct drain {
    struct line_server *server;
    uint64_t limit_ms;
    pthread_t thread;
};

static void *run_drain(void *context)
{
    struct drain *drain = context;

    hf_net_drain(drain->server->net, drain->limit_ms);
    return NULL;
}

static void begin_drain(struct drain *drain, struct line_server *server, uint64_t limit_ms)
{
    drain->server = server;
    drain->limit_ms = limit_ms;
    assert_int_equal(pthread_create(&drain->thread, NULL, run_drain, drain), 0);
}

/* Until the loops may see it. */
static void wait_for_drain(const struct line_server *server)
{
    while (!atomic_load(&server->net->is_draining)) {
        (void)sched_yield();
    }
}

static void end_drain(struct drain *drain)
{
    assert_int_equal(pthread_join(drain->thread, NULL), 0);
}

static void idle_connections_are_closed_and_new_ones_refused(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 2, .workers = 1 } };
    struct line_server server = { 0 };
    struct test_client *clients[10];
    struct drain drain;

    (void)unused;
    line_server_start(&server, &settings);
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        clients[i] = test_client_open(server.port, &plain);
        test_client_say(clients[i], "echo a\n");
        test_client_expect(clients[i], "a\n");
    }
    begin_drain(&drain, &server, 20000);
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        test_client_expect_end(clients[i]);
        test_client_close(clients[i]);
    }
    end_drain(&drain);
    assert_null(test_client_try(server.port, &plain));
    line_server_stop(&server, 0);
}

static void a_request_under_way_is_answered_before_the_end(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 } };
    struct line_server server = { 0 };
    struct test_client *working = NULL;
    struct test_client *sending = NULL;
    struct drain drain;

    (void)unused;
    line_server_start(&server, &settings);
    test_gate_set(&server.gate, false);
    working = test_client_open(server.port, &plain);
    sending = test_client_open(server.port, &plain);
    test_client_say(working, "work a\n");
    test_client_say(sending, "echo b\necho ");
    test_client_expect(sending, "b\n");
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    begin_drain(&drain, &server, 20000);
    wait_for_drain(&server);
    test_gate_set(&server.gate, true);
    test_client_expect(working, "last a\n");
    test_client_expect_end(working);
    test_client_say(sending, "c\n");
    test_client_expect(sending, "last c\n");
    test_client_expect_end(sending);
    end_drain(&drain);
    test_client_close(working);
    test_client_close(sending);
    line_server_stop(&server, 0);
}

static void clients_that_are_connected_but_not_accepted_are_answered(void **unused)
{
    enum { MANY = 200 };
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 } };
    struct line_server server = { 0 };
    struct test_client *holding = NULL;
    struct test_client *clients[MANY];
    struct drain drain;

    (void)unused;
    line_server_start(&server, &settings);
    test_gate_set(&server.gate, false);
    holding = test_client_open(server.port, &plain);
    test_client_say(holding, "hold\n");
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    /* The loop does nothing now, so these wait in the kernel. */
    for (size_t i = 0; i < MANY; i++) {
        clients[i] = test_client_open(server.port, &plain);
        test_client_say(clients[i], "echo a\n");
    }
    begin_drain(&drain, &server, 20000);
    wait_for_drain(&server);
    test_gate_set(&server.gate, true);
    for (size_t i = 0; i < MANY; i++) {
        HF_AUTO(buf) got = hf_buf_new();

        test_client_read_all(clients[i], got);
        assert_string_equal(hf_buf_text(got), "last a\n");
        test_client_close(clients[i]);
    }
    end_drain(&drain);
    test_client_close(holding);
    line_server_stop(&server, 0);
}

static void after_the_limit_everything_ends(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 } };
    struct line_server server = { 0 };
    struct test_client *clients[3];
    struct drain drain;

    (void)unused;
    line_server_start(&server, &settings);
    test_gate_set(&server.gate, false);
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        clients[i] = test_client_open(server.port, &plain);
    }
    test_client_say(clients[0], "work a\n");
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    test_client_say(clients[1], "work b\n");
    test_client_say(clients[2], "echo half");
    begin_drain(&drain, &server, 100);
    for (size_t i = 0; i < HF_COUNT(clients); i++) {
        test_client_expect_end(clients[i]);
        test_client_close(clients[i]);
    }
    /* The worker is stuck behind the gate; only then may the threads end. */
    test_gate_wait(&server.gate, TEST_CLOSED, 3);
    test_gate_set(&server.gate, true);
    end_drain(&drain);
    assert_int_equal(test_gate_count(&server.gate, TEST_ORPHANS), 2);
    /* What waited in the queue was never begun. */
    assert_int_equal(test_gate_count(&server.gate, TEST_BEGUN), 1);
    line_server_stop(&server, 0);
}

static void draining_twice_or_without_a_start_is_fine(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 } };
    const struct hf_net_settings net_settings = { .loops = 2, .workers = 2 };
    struct line_server server = { 0 };
    struct hf_net *net = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    hf_net_drain(server.net, 1000);
    hf_net_drain(server.net, 1000);
    assert_ok(&server.op, hf_net_new(&server.op, &server.env, &net_settings, &net));
    hf_net_drain(net, 1000);
    hf_net_free(net);
    line_server_stop(&server, 0);
}

/* ---- Under load ---- */

struct load {
    struct line_server *server;
    bool is_tls;
    const char *verb;
    atomic_size_t *ready; /* clients that have had an answer */
    size_t answered;
    bool is_lost; /* a request was not answered */
    pthread_t thread;
};

/* One request and its answer; false when none came. */
static bool ask(struct test_client *client, const char *line, struct hf_buf *got)
{
    bool is_open = test_client_try_say(client, line);

    hf_buf_clear(got);
    while (is_open && (got->len == 0 || got->data[got->len - 1] != '\n')) {
        is_open = test_client_read(client, got);
    }
    return is_open;
}

/* Sends requests until an answer says that it is the last. */
static void *run_load(void *context)
{
    struct load *load = context;
    const struct test_offer offer = { .is_tls = load->is_tls };
    struct test_client *client = test_client_open(load->server->port, &offer);
    HF_AUTO(buf) got = hf_buf_new();
    bool is_last = false;

    while (!is_last && !load->is_lost) {
        HF_AUTO_STRING line = hf_format("%s %zu\n", load->verb, load->answered);
        const char *text = NULL;

        load->is_lost = !ask(client, line, got);
        text = hf_buf_text(got);
        is_last = strncmp(text, "last ", 5) == 0;
        if (strcmp(is_last ? text + 5 : text, strchr(line, ' ') + 1) != 0) {
            load->is_lost = true;
        }
        if (load->answered++ == 0) {
            atomic_fetch_add(load->ready, 1);
        }
    }
    test_client_close(client);
    return NULL;
}

static void no_request_is_lost_under_load(void **unused)
{
    enum { CLIENTS = 8 };

    (void)unused;
    for (unsigned round = 0; round < 6; round++) {
        const struct line_settings settings = {
            .net = { .loops = 2, .workers = 2 },
            .is_tls = round % 2 == 1,
        };
        struct line_server server = { 0 };
        struct load loads[CLIENTS];
        atomic_size_t ready = 0;
        size_t answered = 0;

        line_server_start(&server, &settings);
        for (size_t i = 0; i < CLIENTS; i++) {
            loads[i] = (struct load){ .server = &server,
                                      .is_tls = settings.is_tls,
                                      .verb = i % 2 == 0 ? "echo" : "work",
                                      .ready = &ready };
            assert_int_equal(pthread_create(&loads[i].thread, NULL, run_load, &loads[i]), 0);
        }
        while (atomic_load(&ready) < CLIENTS) {
            size_t turns = test_gate_count(&server.gate, TEST_TURNS);

            test_gate_wait(&server.gate, TEST_TURNS, turns + 1);
        }
        hf_net_drain(server.net, 20000);
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_int_equal(pthread_join(loads[i].thread, NULL), 0);
            assert_false(loads[i].is_lost);
            answered += loads[i].answered;
        }
        assert_true(answered >= CLIENTS);
        line_server_stop(&server, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_are_closed_and_new_ones_refused),
        cmocka_unit_test(a_request_under_way_is_answered_before_the_end),
        cmocka_unit_test(clients_that_are_connected_but_not_accepted_are_answered),
        cmocka_unit_test(after_the_limit_everything_ends),
        cmocka_unit_test(draining_twice_or_without_a_start_is_fine),
        cmocka_unit_test(no_request_is_lost_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
