/* A real loop over loopback: bytes, TLS, order, reload, and what is known of a peer. */
#include "test.h"

#include <unistd.h>

#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "line_server.h"

static const struct {
    const char *says;
    bool server_is_tls;
    enum hf_tls_clients clients;
    struct test_offer offer;
    bool has_certificate;
    const char *who;
} kinds[] = {
    { "plain", false, HF_TLS_CLIENTS_NONE, { 0 }, false, "lines plain nobody 0 near\n" },
    { "TLS 1.2",
      true,
      HF_TLS_CLIENTS_NONE,
      { .is_tls = true, .version = TLS1_2_VERSION },
      false,
      "lines tls nobody 0 near\n" },
    { "TLS 1.3",
      true,
      HF_TLS_CLIENTS_NONE,
      { .is_tls = true, .version = TLS1_3_VERSION },
      false,
      "lines tls nobody 0 near\n" },
    { "mutual TLS 1.2",
      true,
      HF_TLS_CLIENTS_REQUIRED,
      { .is_tls = true, .version = TLS1_2_VERSION },
      true,
      "lines tls alice 64 near\n" },
    { "mutual TLS 1.3",
      true,
      HF_TLS_CLIENTS_REQUIRED,
      { .is_tls = true, .version = TLS1_3_VERSION },
      true,
      "lines tls alice 64 near\n" },
};

static struct test_client *open_kind(struct line_server *server, size_t kind)
{
    struct test_offer offer = kinds[kind].offer;
    struct test_client *client = NULL;

    if (kinds[kind].has_certificate) {
        HF_AUTO_STRING certificate = test_authority_path(server->authority, "alice.pem");
        HF_AUTO_STRING key = test_authority_path(server->authority, "alice.key");

        offer.certificate = certificate;
        offer.key = key;
        client = test_client_open(server->port, &offer);
    } else {
        client = test_client_open(server->port, &offer);
    }
    return client;
}

static void start_kind(struct line_server *server, size_t kind, unsigned loops)
{
    const struct line_settings settings = {
        .net = { .loops = loops, .workers = 2 },
        .is_tls = kinds[kind].server_is_tls,
        .clients = kinds[kind].clients,
    };

    line_server_start(server, &settings);
}

static void every_kind_of_client_is_answered(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        print_message("%s\n", kinds[i].says);
        start_kind(&server, i, 1);
        client = open_kind(&server, i);
        test_client_say(client, "echo hello\n");
        test_client_expect(client, "hello\n");
        test_client_say(client, "who\nwho\n");
        test_client_expect(client, kinds[i].who);
        test_client_expect(client, kinds[i].who);
        test_client_say(client, "work hard\n");
        test_client_expect(client, "hard\n");
        test_client_say(client, "bye\n");
        test_client_expect(client, "bye\n");
        test_client_expect_end(client);
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void requests_sent_ahead_are_answered_in_order(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        HF_AUTO(buf) sent = hf_buf_new();
        HF_AUTO(buf) expected = hf_buf_new();
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        start_kind(&server, i, 1);
        client = open_kind(&server, i);
        for (unsigned n = 0; n < 300; n++) {
            hf_buf_add_format(sent, n % 3 == 0 ? "work %u\n" : "echo %u\n", n);
            hf_buf_add_format(expected, "%u\n", n);
        }
        test_client_say(client, hf_buf_text(sent));
        test_client_expect(client, hf_buf_text(expected));
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void large_answers_arrive_whole(void **unused)
{
    enum { LEN = 5000000 };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        HF_AUTO(buf) got = hf_buf_new();
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        start_kind(&server, i, 1);
        client = open_kind(&server, i);
        test_client_say(client, "big 5000000\nbig 1\nbye\n");
        test_client_read_all(client, got);
        assert_int_equal(got->len, LEN + 5);
        for (size_t at = 0; at < LEN; at++) {
            if (got->data[at] != 'a' + at % 23) {
                fail_msg("%s: byte %zu is wrong", kinds[i].says, at);
            }
        }
        assert_memory_equal(got->data + LEN, "abye\n", 5);
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void many_connections_are_served_at_once(void **unused)
{
    enum { MANY = 200 };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        struct line_server server = { 0 };
        struct test_client *clients[MANY];

        start_kind(&server, i, 2);
        for (size_t n = 0; n < MANY; n++) {
            clients[n] = open_kind(&server, i);
        }
        for (size_t n = 0; n < MANY; n++) {
            test_client_say(clients[n], n % 2 == 0 ? "echo a\n" : "work b\n");
        }
        for (size_t n = 0; n < MANY; n++) {
            test_client_expect(clients[n], n % 2 == 0 ? "a\n" : "b\n");
        }
        assert_int_equal(hf_net_connections(server.net), MANY);
        for (size_t n = 0; n < MANY; n++) {
            test_client_close(clients[n]);
        }
        test_gate_wait(&server.gate, TEST_CLOSED, MANY);
        line_server_stop(&server, 10000);
    }
}

static void no_byte_leaves_before_the_turn_hook_has_run(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        start_kind(&server, i, 1);
        client = open_kind(&server, i);
        /* What TLS sends by itself is read before the watching begins. */
        test_client_say(client, "echo first\n");
        test_client_expect(client, "first\n");
        for (unsigned n = 0; n < 50; n++) {
            (void)pthread_mutex_lock(&server.gate.lock);
            server.watched = client;
            (void)pthread_mutex_unlock(&server.gate.lock);
            test_client_say(client, n % 2 == 0 ? "echo x\n" : "work x\n");
            test_gate_wait(&server.gate, TEST_WRITTEN, n + 2);
            test_client_expect(client, "x\n");
        }
        (void)pthread_mutex_lock(&server.gate.lock);
        assert_false(server.saw_early_bytes);
        (void)pthread_mutex_unlock(&server.gate.lock);
        assert_true(test_gate_count(&server.gate, TEST_TURNS) >= 50);
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void what_could_not_be_recorded_is_not_answered(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        HF_AUTO(buf) got = hf_buf_new();
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        start_kind(&server, i, 1);
        client = open_kind(&server, i);
        test_client_say(client, "echo first\n");
        test_client_expect(client, "first\n");
        test_gate_wait(&server.gate, TEST_WRITTEN, 1);
        atomic_store(&server.forgets, true);
        test_client_say(client, i % 2 == 0 ? "echo secret\n" : "work secret\n");
        test_client_read_all(client, got);
        assert_string_equal(hf_buf_text(got), "");
        test_gate_wait(&server.gate, TEST_CLOSED, 1);
        assert_int_equal(test_gate_count(&server.gate, TEST_WRITTEN), 1);
        test_client_close(client);
        /* The next turn that can be recorded answers again. */
        atomic_store(&server.forgets, false);
        client = open_kind(&server, i);
        test_client_say(client, "echo again\n");
        test_client_expect(client, "again\n");
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void certificates_are_replaced_while_connections_live(void **unused)
{
    static const struct test_subject fresh = { "server", "localhost", "localhost",
                                               -60,      2L * 86400,  false,
                                               0 };
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 }, .is_tls = true };
    const struct test_offer offer = { .is_tls = true };
    struct line_server server = { 0 };
    struct test_client *before = NULL;
    struct test_client *after = NULL;
    uint64_t expires;

    (void)unused;
    line_server_start(&server, &settings);
    before = test_client_open(server.port, &offer);
    test_client_say(before, "echo 1\n");
    test_client_expect(before, "1\n");
    expires = hf_tls_expires_ms(server.tls);
    test_authority_issue(server.authority, &fresh);
    line_server_reload_tls(&server);
    assert_true(hf_tls_expires_ms(server.tls) > expires);
    after = test_client_open(server.port, &offer);
    test_client_say(before, "work 2\n");
    test_client_expect(before, "2\n");
    test_client_say(after, "echo 3\n");
    test_client_expect(after, "3\n");
    test_client_close(before);
    test_client_close(after);
    line_server_stop(&server, 10000);
}

static void a_client_without_a_certificate_is_not_let_in_where_one_is_required(void **unused)
{
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .is_tls = true,
        .clients = HF_TLS_CLIENTS_REQUIRED,
    };
    const struct test_offer offer = { .is_tls = true, .version = TLS1_2_VERSION };
    struct line_server server = { 0 };

    (void)unused;
    line_server_start(&server, &settings);
    assert_null(test_client_try(server.port, &offer));
    assert_int_equal(test_gate_count(&server.gate, TEST_OPENED), 0);
    line_server_stop(&server, 10000);
}

static void a_client_that_speaks_no_tls_is_cut(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 }, .is_tls = true };
    const struct test_offer plain = { 0 };
    HF_AUTO(buf) got = hf_buf_new();
    struct line_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &plain);
    test_client_say(client, "echo this is not a TLS record\n");
    /* An alert may come first. */
    test_client_read_all(client, got);
    assert_null(memmem(got->data, got->len, "not", 3));
    test_client_close(client);
    assert_int_equal(test_gate_count(&server.gate, TEST_OPENED), 0);
    line_server_stop(&server, 10000);
}

static void a_protocol_may_refuse_a_connection(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 } };
    const struct test_offer plain = { 0 };
    struct line_server server = { .refuses = true };
    struct test_client *client = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &plain);
    test_client_expect_end(client);
    test_client_close(client);
    line_server_stop(&server, 10000);
}

static void a_last_answer_is_read_although_the_client_still_sends(void **unused)
{
    enum { MUCH = 1000000 };
    HF_AUTO(buf) much = hf_buf_new();

    (void)unused;
    hf_buf_add_text(much, "bye\n");
    memset(hf_buf_reserve(much, MUCH), 'x', MUCH);
    hf_buf_grew(much, MUCH);
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        HF_AUTO(buf) got = hf_buf_new();
        struct line_server server = { 0 };
        struct test_client *client = NULL;

        start_kind(&server, i, 1);
        client = open_kind(&server, i);
        test_client_send(client, hf_buf_bytes(much));
        test_client_read_all(client, got);
        assert_string_equal(hf_buf_text(got), "bye\n");
        /* A reset would take the answer along wherever it overtakes it. */
        if (!test_client_ended_well(client)) {
            fail_msg("%s: the connection was reset", kinds[i].says);
        }
        test_client_close(client);
        line_server_stop(&server, 10000);
    }
}

static void a_client_that_has_sent_all_and_said_so_is_answered(void **unused)
{
    const struct line_settings settings = { .net = { .loops = 1, .workers = 1 } };
    const struct test_offer plain = { 0 };
    struct line_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &plain);
    test_client_say(client, "echo half\n");
    test_client_finish_sending(client);
    test_client_expect(client, "half\n");
    test_client_expect_end(client);
    test_client_close(client);
    line_server_stop(&server, 10000);
}

/* OpenSSL has read what libevent does not ask for, and the socket stays silent. */
static void what_comes_with_the_end_of_the_handshake_is_answered(void **unused)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(versions); i++) {
        const struct test_offer offer = { .is_tls = true, .version = versions[i] };
        const struct line_settings settings = {
            .net = { .loops = 1, .workers = 1 },
            .is_tls = true,
            .clients = HF_TLS_CLIENTS_NONE,
        };
        struct line_server server = { 0 };

        line_server_start(&server, &settings);
        for (int n = 0; n < 20; n++) {
            struct test_client *client =
                test_client_open_saying(server.port, &offer, "work 1\necho 2\n");

            test_client_expect(client, "1\n");
            test_client_expect(client, "2\n");
            test_client_close(client);
        }
        line_server_stop(&server, 10000);
    }
}

/* Until OpenSSL keeps no room for any connection. */
struct rest {
    struct line_server *server;
    struct hf_metric *buffered;
    size_t rests;
};

static void rest(void *context)
{
    struct rest *rest = context;

    while (hf_metric_get(rest->buffered) > 0) {
        test_gate_wait(&rest->server->gate, TEST_TURNS,
                       test_gate_count(&rest->server->gate, TEST_TURNS) + 1);
    }
    rest->rests++;
}

static void a_handshake_that_rests_in_the_middle_goes_on(void **unused)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(versions); i++) {
        const struct test_offer offer = { .is_tls = true, .version = versions[i] };
        struct hf_metrics *metrics = hf_metrics_new();
        const struct line_settings settings = {
            .net = { .loops = 1, .workers = 1 },
            .is_tls = true,
            .clients = HF_TLS_CLIENTS_NONE,
            .metrics = metrics,
        };
        struct line_server server = { 0 };
        struct rest resting = { .server = &server,
                                .buffered =
                                    hf_metrics_series(metrics, HF_METRIC_GAUGE,
                                                      "holdfast_connections_buffered", NULL, "") };
        struct test_client *client = NULL;

        line_server_start(&server, &settings);
        client = test_client_open_resting(server.port, &offer, "echo 1\n", rest, &resting);
        assert_true(resting.rests > 0);
        test_client_expect(client, "1\n");
        test_client_close(client);
        line_server_stop(&server, 10000);
        hf_metrics_free(metrics);
    }
}

/* Many records in one packet, more than are read in one turn, and more than wait during work. */
static void records_that_were_read_ahead_are_all_answered(void **unused)
{
    enum { RECORDS = 5000 };
    const struct test_offer offer = { .is_tls = true, .version = TLS1_3_VERSION };
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1 },
        .is_tls = true,
        .clients = HF_TLS_CLIENTS_NONE,
    };
    struct line_server server = { 0 };
    struct test_client *client = NULL;

    (void)unused;
    line_server_start(&server, &settings);
    client = test_client_open(server.port, &offer);
    for (unsigned n = 0; n < RECORDS; n++) {
        test_client_say(client, n % 100 == 0 ? "work long\n" : "echo one\n");
    }
    for (unsigned n = 0; n < RECORDS; n++) {
        test_client_expect(client, n % 100 == 0 ? "long\n" : "one\n");
    }
    test_client_close(client);
    line_server_stop(&server, 10000);
}

/* More connections than may keep buffers: those above the limit give theirs back at once. */
static void tls_buffers_go_when_a_connection_rests(void **unused)
{
    enum { CLIENTS = 600, MOST = 512 };
    static struct test_client *clients[CLIENTS];
    const struct test_offer offer = { .is_tls = true, .version = TLS1_3_VERSION };
    struct hf_metrics *metrics = hf_metrics_new();
    struct hf_metric *buffered =
        hf_metrics_series(metrics, HF_METRIC_GAUGE, "holdfast_connections_buffered", NULL, "");
    const struct line_settings settings = {
        .net = { .loops = 1, .workers = 1, .max_connections = CLIENTS },
        .is_tls = true,
        .clients = HF_TLS_CLIENTS_NONE,
        .metrics = metrics,
    };
    struct line_server server = { 0 };

    (void)unused;
    line_server_start(&server, &settings);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            if (round == 0) {
                clients[i] = test_client_open(server.port, &offer);
            }
            test_client_say(clients[i], "echo once\nwork twice\n");
            test_client_expect(clients[i], "once\n");
            test_client_expect(clients[i], "twice\n");
            /* The loop may still be at the end of this one's turn. */
            assert_in_range(hf_metric_get(buffered), 0, MOST + 1);
        }
        while (hf_metric_get(buffered) > 0) {
            test_gate_wait(&server.gate, TEST_TURNS, test_gate_count(&server.gate, TEST_TURNS) + 1);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        test_client_close(clients[i]);
    }
    line_server_stop(&server, 10000);
    hf_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_client_is_answered),
        cmocka_unit_test(requests_sent_ahead_are_answered_in_order),
        cmocka_unit_test(large_answers_arrive_whole),
        cmocka_unit_test(many_connections_are_served_at_once),
        cmocka_unit_test(what_comes_with_the_end_of_the_handshake_is_answered),
        cmocka_unit_test(a_handshake_that_rests_in_the_middle_goes_on),
        cmocka_unit_test(records_that_were_read_ahead_are_all_answered),
        cmocka_unit_test(tls_buffers_go_when_a_connection_rests),
        cmocka_unit_test(no_byte_leaves_before_the_turn_hook_has_run),
        cmocka_unit_test(what_could_not_be_recorded_is_not_answered),
        cmocka_unit_test(certificates_are_replaced_while_connections_live),
        cmocka_unit_test(a_client_without_a_certificate_is_not_let_in_where_one_is_required),
        cmocka_unit_test(a_client_that_speaks_no_tls_is_cut),
        cmocka_unit_test(a_protocol_may_refuse_a_connection),
        cmocka_unit_test(a_last_answer_is_read_although_the_client_still_sends),
        cmocka_unit_test(a_client_that_has_sent_all_and_said_so_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
