/* Limits: what is slow is cut, what is too much waits, and the rest goes on. */
#include "test.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/log.h"
#include "line_server.h"

static const struct test_offer plain = { 0 };
static const struct test_offer tls = { .is_tls = true };

/* "sends" is all the client ever says; then the server must end the connection by itself. */
static const struct {
    const char *says;
    bool server_is_tls;
    struct test_offer offer;
    const char *sends;
    uint64_t idle_timeout_ms;
    uint64_t request_timeout_ms;
    const char *answer;
} slow[] = {
    { "a client that never sends", false, { 0 }, "", 60000, 60, "" },
    { "half a request", false, { 0 }, "echo hal", 60000, 60, "" },
    { "half a request behind a whole one", false, { 0 }, "echo a\necho b", 60000, 60, "a\n" },
    { "a client that sends no more", false, { 0 }, "echo a\n", 60, 60000, "a\n" },
    { "half a request over TLS", true, { .is_tls = true }, "echo hal", 60000, 60, "" },
    { "no more over TLS", true, { .is_tls = true }, "echo a\n", 60, 60000, "a\n" },
    { "no TLS handshake", true, { 0 }, "", 60000, 60, "" },
    { "half a TLS record", true, { 0 }, "\x16\x03\x01", 60000, 60, "" },
};

static void a_slow_sender_is_cut(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(slow); i++) {
        const struct line_settings settings = {
            .net = { .loops = 1, .workers = 1 },
            .listener = { .idle_timeout_ms = slow[i].idle_timeout_ms,
                          .request_timeout_ms = slow[i].request_timeout_ms },
            .is_tls = slow[i].server_is_tls,
        };
        HF_AUTO(buf) got = hf_buf_new();
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        line_server_start(&server, &settings);
        client = test_client_open(server.port, &slow[i].offer);
        test_client_say(client, slow[i].sends);
        test_client_read_all(client, got);
        if (strcmp(hf_buf_text(got), slow[i].answer) != 0) {
            fail_msg("%s: got '%s'", slow[i].says, hf_buf_text(got));
        }
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void a_client_that_sends_now_and_then_is_not_cut(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .listener = { .idle_timeout_ms = 400, .request_timeout_ms = 60 },
    };
    struct line_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &plain);
    for (unsigned n = 0; n < 10; n++) {
        size_t turns;

        test_client_say(client, "echo a\n");
        test_client_expect(client, "a\n");
        /* Let timers be looked at several times in between. */
        turns = test_gate_count(&server.gate, TEST_TURNS);
        test_gate_wait(&server.gate, TEST_TURNS, turns + 5);
    }
    test_client_close(client);
    line_server_stop(&server, 10000);
}

static void work_has_no_slow_sender(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .listener = { .idle_timeout_ms = 60, .request_timeout_ms = 40 },
    };
    struct line_server server = { 0 };
    struct test_client *client = NULL;
    size_t turns;

    (void)unused;
    line_server_start(&server, &settings);
    test_gate_set(&server.gate, false);
    client = test_client_open(server.port, &plain);
    test_client_say(client, "work a\n");
    test_gate_wait(&server.gate, TEST_BEGUN, 1);
    /* Ticks come every 10 ms: both timeouts pass while the worker works. */
    turns = test_gate_count(&server.gate, TEST_TURNS);
    test_gate_wait(&server.gate, TEST_TURNS, turns + 12);
    test_gate_set(&server.gate, true);
    test_client_expect(client, "a\n");
    test_client_close(client);
    line_server_stop(&server, 10000);
}

static const struct {
    const char *says;
    bool is_tls;
    const char *asks;
    size_t max_unsent;
    uint64_t request_timeout_ms;
} readers[] = {
    { "more unsent than allowed", false, "big 3000000\nbig 3000000\nbig 3000000\nbig 3000000\n",
      4000000, 60000 },
    { "more unsent than allowed over TLS", true,
      "big 3000000\nbig 3000000\nbig 3000000\nbig 3000000\n", 4000000, 60000 },
    { "nothing read in time", false, "big 20000000\n", 0, 60 },
    { "nothing read in time over TLS", true, "big 20000000\n", 0, 60 },
};

static void a_slow_reader_is_cut(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(readers); i++) {
        const struct line_settings settings = {
            .net = { .loops = 1, .workers = 1 },
            .listener = { .max_unsent_bytes = readers[i].max_unsent,
                          .request_timeout_ms = readers[i].request_timeout_ms },
            .is_tls = readers[i].is_tls,
        };
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        print_message("%s\n", readers[i].says);
        line_server_start(&server, &settings);
        client = test_client_open(server.port, readers[i].is_tls ? &tls : &plain);
        test_client_say(client, readers[i].asks);
        test_gate_wait(&server.gate, TEST_CLOSED, 1);
        assert_int_equal(test_gate_count(&server.gate, TEST_WRITTEN), 0);
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void a_reader_that_takes_its_time_is_served(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .listener = { .idle_timeout_ms = 60, .request_timeout_ms = 2000 },
    };
    HF_AUTO(buf) got = hf_buf_new();
    struct line_server server = { 0 };
    struct test_client *client = NULL;
    size_t turns;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &plain);
    test_client_say(client, "big 20000000\n");
    /* The idle timeout passes, but the answer is not taken yet. */
    test_gate_wait(&server.gate, TEST_OPENED, 1);
    turns = test_gate_count(&server.gate, TEST_TURNS);
    test_gate_wait(&server.gate, TEST_TURNS, turns + 10);
    test_client_read_all(client, got);
    assert_int_equal(got->len, 20000000);
    test_client_close(client);
    line_server_stop(&server, 10000);
}

static void a_reader_that_goes_on_taking_is_not_cut(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .listener = { .idle_timeout_ms = 100, .request_timeout_ms = 1000 },
    };
    const struct test_offer small = { .receive_bytes = 65536 };
    HF_AUTO(buf) got = hf_buf_new();
    struct line_server server = { 0 };
    struct test_client *client = NULL;
    size_t total = 0;
    size_t rest = 30000000;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &small);
    test_client_say(client, "big 30000000\n");
    /* Half a megabyte every 25 ms: the whole takes longer than a request may. */
    while (total < rest) {
        uint64_t next_ms = hf_env_boottime_ms(&server.env) + 25;

        while (got->len < 500000 && total + got->len < rest) {
            assert_true(test_client_read(client, got));
        }
        total += got->len;
        hf_buf_clear(got);
        line_server_wait_until(&server, next_ms);
    }
    test_client_close(client);
    line_server_stop(&server, 10000);
}

static void beyond_the_limit_new_connections_wait_until_one_closes(void **unused)
{
    enum { LIMIT = 3, MORE = 9 };
    const struct line_settings settings = {
        .net = { .loops = 2, .workers = 1, .max_connections = LIMIT },
    };
    struct line_server server = { 0 };
    struct test_client *clients[LIMIT + MORE];
    bool has_answered[LIMIT + MORE] = { false };
    size_t answered = 0;

    (void)unused;
    line_server_start(&server, &settings);
    for (size_t i = 0; i < LIMIT + MORE; i++) {
        clients[i] = test_client_open(server.port, &plain);
        test_client_say(clients[i], "echo a\n");
    }
    /* One that is served leaves, one that waits comes: in the end all have been served. */
    while (answered < LIMIT + MORE) {
        assert_true(hf_net_connections(server.net) <= LIMIT);
        for (size_t i = 0; i < LIMIT + MORE; i++) {
            if (has_answered[i] || !test_client_is_readable(clients[i])) {
                continue;
            }
            test_client_expect(clients[i], "a\n");
            test_client_close(clients[i]);
            has_answered[i] = true;
            answered++;
        }
    }
    test_gate_wait(&server.gate, TEST_CLOSED, LIMIT + MORE);
    line_server_stop(&server, 10000);
}

static void while_all_are_in_use_nobody_is_accepted(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1, .max_connections = 1 },
    };
    struct line_server server = { 0 };
    struct test_client *first = NULL;
    struct test_client *second = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    first = test_client_open(server.port, &plain);
    test_client_say(first, "echo 1\n");
    test_client_expect(first, "1\n");
    second = test_client_open(server.port, &plain);
    test_client_say(second, "echo 2\n");
    for (unsigned n = 0; n < 100; n++) {
        test_client_say(first, "echo 1\n");
        test_client_expect(first, "1\n");
    }
    assert_false(test_client_is_readable(second));
    assert_int_equal(test_gate_count(&server.gate, TEST_OPENED), 1);
    test_client_close(first);
    test_client_expect(second, "2\n");
    test_client_close(second);
    line_server_stop(&server, 10000);
}

static void a_handshake_that_hangs_holds_back_the_next_until_it_is_cut(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1, .max_new_handshakes = 1 },
        .listener = { .request_timeout_ms = 200 },
        .is_tls = true,
    };
    struct line_server server = { 0 };
    struct test_client *hanging = NULL;
    struct test_client *client = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    hanging = test_client_open(server.port, &plain);
    client = test_client_open(server.port, &tls);
    test_client_expect_end(hanging);
    test_client_say(client, "echo a\n");
    test_client_expect(client, "a\n");
    test_client_close(hanging);
    test_client_close(client);
    line_server_stop(&server, 10000);
}

/* ---- File descriptors ---- */

/* A client in a process of its own, which has descriptors when the server has none. */
static pid_t start_client(int *out_start)
{
    int ends[2];
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct test_client *client = NULL;
        uint16_t port = 0;

        if (read(ends[0], &port, sizeof port) != sizeof port) {
            _exit(1);
        }
        client = test_client_open(port, &plain);
        test_client_say(client, "echo a\n");
        test_client_expect(client, "a\n");
        _exit(0);
    }
    (void)close(ends[0]);
    *out_start = ends[1];
    return child;
}

/* The next descriptor would be the first above the limit. */
static void leave_no_descriptor(struct rlimit *out_before)
{
    struct rlimit limit;
    int next = dup(0);

    assert_true(next >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, out_before), 0);
    limit = *out_before;
    limit.rlim_cur = (rlim_t)next;
    (void)close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void without_descriptors_accepting_waits_and_goes_on(void **unused)
{
    HF_AUTO(log) log = NULL;
    struct line_settings settings = {
        .net = { .loops = 1, .workers = 1, .max_connections = 16 },
        .listener = { .idle_timeout_ms = 100 },
    };
    struct line_server server = { 0 };
    struct rlimit before;
    int start = -1;
    pid_t child = start_client(&start);
    int log_ends[2];
    char line[500] = "";
    int result = 1;
    uint64_t since;
    size_t turns;

    (void)unused;
    assert_int_equal(pipe2(log_ends, O_CLOEXEC), 0);
    log = hf_log_new(log_ends[1], HF_LOG_TEXT, HF_LOG_WARNING);
    settings.log = log;
    line_server_start(&server, &settings);
    leave_no_descriptor(&before);
    assert_int_equal(write(start, &server.port, sizeof server.port), sizeof server.port);
    assert_true(read(log_ends[0], line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "Too many open files"));
    /* Ticks come every 25 ms; a loop that spins on the ready socket makes them in no time. */
    since = hf_env_boottime_ms(&server.env);
    turns = test_gate_count(&server.gate, TEST_TURNS);
    test_gate_wait(&server.gate, TEST_TURNS, turns + 20);
    assert_true(hf_env_boottime_ms(&server.env) - since >= 100);
    assert_int_equal(test_gate_count(&server.gate, TEST_OPENED), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    (void)close(start);
    line_server_stop(&server, 10000);
    (void)close(log_ends[0]);
    (void)close(log_ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_sender_is_cut),
        cmocka_unit_test(a_client_that_sends_now_and_then_is_not_cut),
        cmocka_unit_test(work_has_no_slow_sender),
        cmocka_unit_test(a_slow_reader_is_cut),
        cmocka_unit_test(a_reader_that_takes_its_time_is_served),
        cmocka_unit_test(a_reader_that_goes_on_taking_is_not_cut),
        cmocka_unit_test(beyond_the_limit_new_connections_wait_until_one_closes),
        cmocka_unit_test(while_all_are_in_use_nobody_is_accepted),
        cmocka_unit_test(a_handshake_that_hangs_holds_back_the_next_until_it_is_cut),
        cmocka_unit_test(without_descriptors_accepting_waits_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
