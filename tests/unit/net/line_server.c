/* A server for tests that speaks lines. */
#include "line_server.h"

#include "test.h"

#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"

struct line_conn {
    struct line_server *server;
    struct hf_conn *conn;
    struct hf_buf line;
    struct hf_buf waiting; /* what came behind a line that a worker has */
    unsigned sum;          /* of the bytes of a line that a worker has read */
    bool is_working;
    bool is_gone;
};

static void count(struct line_server *server, enum test_count what)
{
    (void)pthread_mutex_lock(&server->lock);
    server->counts[what]++;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->lock);
}

size_t line_server_count(struct line_server *server, enum test_count what)
{
    size_t value;

    (void)pthread_mutex_lock(&server->lock);
    value = server->counts[what];
    (void)pthread_mutex_unlock(&server->lock);
    return value;
}

void line_server_wait(struct line_server *server, enum test_count what, size_t at_least)
{
    struct timespec until;
    int error = 0;
    size_t value;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&server->lock);
    while (server->counts[what] < at_least && error == 0) {
        error = pthread_cond_timedwait(&server->changed, &server->lock, &until);
    }
    value = server->counts[what];
    (void)pthread_mutex_unlock(&server->lock);
    if (value < at_least) {
        fail_msg("count %d is %zu, wanted %zu", (int)what, value, at_least);
    }
}

void line_server_wait_until(struct line_server *server, uint64_t boottime_ms)
{
    while (hf_env_boottime_ms(&server->env) < boottime_ms) {
        size_t turns = line_server_count(server, TEST_TURNS);

        line_server_wait(server, TEST_TURNS, turns + 1);
    }
}

void line_server_set_gate(struct line_server *server, bool is_open)
{
    (void)pthread_mutex_lock(&server->lock);
    server->gate_is_open = is_open;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->lock);
}

/* ---- Commands ---- */

/* While the server stops, an answer says that it is the last one. */
static void answer(struct line_conn *self, struct hf_bytes text)
{
    struct line_server *server = self->server;

    (void)pthread_mutex_lock(&server->lock);
    server->is_answered = true;
    (void)pthread_mutex_unlock(&server->lock);
    if (hf_conn_is_draining(self->conn)) {
        hf_conn_write(self->conn, hf_bytes_of_text("last "));
        hf_conn_close(self->conn);
    }
    hf_conn_write(self->conn, text);
}

static void wait_for_gate(struct line_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    while (!server->gate_is_open) {
        (void)pthread_cond_wait(&server->changed, &server->lock);
    }
    (void)pthread_mutex_unlock(&server->lock);
}

static void run_work(void *data, unsigned lane)
{
    struct line_conn *self = data;
    struct line_server *server = self->server;

    count(server, TEST_BEGUN);
    (void)pthread_mutex_lock(&server->lock);
    if (lane > server->max_lane) {
        server->max_lane = lane;
    }
    (void)pthread_mutex_unlock(&server->lock);
    wait_for_gate(server);
    /* The request's bytes are the worker's to use, also when the client has gone. */
    for (size_t i = 0; i < self->line.len; i++) {
        self->sum += self->line.data[i];
    }
}

static void free_line_conn(struct line_conn *self)
{
    hf_buf_done(&self->line);
    hf_buf_done(&self->waiting);
    free(self);
}

static void take(struct line_conn *self, struct hf_bytes bytes);

static void work_done(void *data, struct hf_conn *conn)
{
    struct line_conn *self = data;
    HF_AUTO(buf) rest = NULL;

    self->is_working = false;
    count(self->server, conn != NULL ? TEST_DONE : TEST_ORPHANS);
    if (conn == NULL) {
        if (self->is_gone) {
            free_line_conn(self);
        }
        return;
    }
    answer(self, hf_bytes_of(self->line.data + 5, self->line.len - 5));
    hf_buf_clear(&self->line);
    rest = hf_buf_new();
    hf_buf_add_bytes(rest, hf_buf_bytes(&self->waiting));
    hf_buf_clear(&self->waiting);
    take(self, hf_buf_bytes(rest));
}

static void submit(struct line_conn *self)
{
    struct hf_op op;

    hf_op_init(&op, hf_conn_env(self->conn));
    if (hf_conn_submit(self->conn, &op, run_work, work_done, self).code == HF_OK) {
        self->is_working = true;
        return;
    }
    count(self->server, TEST_LIMITED);
    answer(self, hf_bytes_of_text(op.text));
    answer(self, hf_bytes_of_text("\n"));
}

static void answer_big(struct line_conn *self, size_t len)
{
    HF_AUTO(buf) big = hf_buf_new();
    uint8_t *at = hf_buf_reserve(big, len);

    for (size_t i = 0; i < len; i++) {
        at[i] = (uint8_t)('a' + i % 23);
    }
    hf_buf_grew(big, len);
    answer(self, hf_buf_bytes(big));
}

static void answer_who(struct line_conn *self)
{
    HF_AUTO(buf) out = hf_buf_new();
    const char *name = "nobody";
    const char *fingerprint = "";
    uint32_t uid = 0;
    uint32_t gid = 0;
    struct hf_op op;

    hf_op_init(&op, hf_conn_env(self->conn));
    if (hf_conn_peer_certificate(self->conn, &op, &name, &fingerprint).code != HF_OK) {
        name = "nobody";
    }
    hf_buf_add_format(out, "%s %s %s %zu", hf_conn_listener(self->conn),
                      hf_conn_is_tls(self->conn) ? "tls" : "plain", name, strlen(fingerprint));
    if (hf_conn_peer_user(self->conn, &op, &uid, &gid).code == HF_OK) {
        hf_buf_add_format(out, " %u:%u", uid, gid);
    }
    hf_buf_add_format(out, " %s\n", hf_conn_is_loopback(self->conn) ? "near" : "far");
    answer(self, hf_buf_bytes(out));
}

static void command(struct line_conn *self)
{
    const char *line = hf_buf_text(&self->line);

    if (strncmp(line, "work ", 5) == 0) {
        submit(self);
        if (self->is_working) {
            return;
        }
    } else if (strncmp(line, "echo ", 5) == 0) {
        answer(self, hf_bytes_of(self->line.data + 5, self->line.len - 5));
    } else if (strcmp(line, "hold\n") == 0) {
        count(self->server, TEST_BEGUN);
        wait_for_gate(self->server);
        answer(self, hf_bytes_of_text("held\n"));
    } else if (strncmp(line, "big ", 4) == 0) {
        answer_big(self, (size_t)strtoul(line + 4, NULL, 10));
    } else if (strcmp(line, "who\n") == 0) {
        answer_who(self);
    } else {
        answer(self, hf_bytes_of_text("bye\n"));
        hf_conn_close(self->conn);
    }
    hf_buf_clear(&self->line);
}

static void take(struct line_conn *self, struct hf_bytes bytes)
{
    while (bytes.len > 0 && !self->is_working) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
        size_t len = end != NULL ? (size_t)(end - bytes.data) + 1 : bytes.len;

        hf_buf_add(&self->line, bytes.data, len);
        bytes = hf_bytes_of(bytes.data + len, bytes.len - len);
        if (end != NULL) {
            command(self);
        }
    }
    hf_buf_add_bytes(&self->waiting, bytes);
    hf_conn_set_busy(self->conn, self->line.len > 0);
}

/* ---- The protocol ---- */

static void *line_open(void *context, struct hf_conn *conn)
{
    struct line_server *server = context;
    struct line_conn *self = NULL;

    count(server, TEST_OPENED);
    if (server->refuses) {
        count(server, TEST_CLOSED);
        return NULL;
    }
    self = hf_alloc(sizeof *self);
    self->server = server;
    self->conn = conn;
    return self;
}

static void line_input(void *state, struct hf_conn *conn, struct hf_bytes bytes)
{
    struct line_conn *self = state;

    hf_assert(self->conn == conn && !self->is_working);
    take(self, bytes);
}

static void line_written(void *state, struct hf_conn *conn)
{
    struct line_conn *self = state;

    (void)conn;
    (void)pthread_mutex_lock(&self->server->lock);
    if (self->server->is_answered) {
        self->server->saw_early_bytes = true;
    }
    (void)pthread_mutex_unlock(&self->server->lock);
    count(self->server, TEST_WRITTEN);
}

static void line_closed(void *state)
{
    struct line_conn *self = state;
    struct line_server *server = self->server;

    hf_assert(!self->is_gone);
    self->is_gone = true;
    if (!self->is_working) {
        free_line_conn(self);
    }
    count(server, TEST_CLOSED);
}

static bool on_turn(void *context, unsigned lane)
{
    struct line_server *server = context;

    hf_assert(lane < hf_net_loops(server->net));
    (void)pthread_mutex_lock(&server->lock);
    if (server->is_answered && server->watched != NULL &&
        test_client_is_readable(server->watched)) {
        server->saw_early_bytes = true;
    }
    server->is_answered = false;
    (void)pthread_mutex_unlock(&server->lock);
    count(server, TEST_TURNS);
    return !atomic_load(&server->forgets);
}

/* ---- Start and stop ---- */

static void start_tls(struct line_server *server, enum hf_tls_clients clients)
{
    static const struct test_subject subjects[] = {
        { "server", "localhost", "localhost", -60, 86400, false, 0 },
        { "alice", "alice", NULL, -60, 86400, true, 0 },
    };

    server->authority = test_authority_new();
    for (size_t i = 0; i < HF_COUNT(subjects); i++) {
        test_authority_issue(server->authority, &subjects[i]);
    }
    {
        HF_AUTO_STRING certificate = test_authority_path(server->authority, "server.pem");
        HF_AUTO_STRING key = test_authority_path(server->authority, "server.key");
        HF_AUTO_STRING ca = test_authority_path(server->authority, "ca.pem");
        const struct hf_tls_settings settings = {
            .certificate_file = certificate,
            .key_file = key,
            .ca_file = ca,
            .clients = clients,
        };

        assert_ok(&server->op, hf_tls_new(&server->op, &settings, &server->tls));
    }
}

void line_server_start(struct line_server *server, const struct line_settings *settings)
{
    struct hf_listener_settings listener = settings->listener;
    const struct hf_protocol protocol = {
        .open = line_open,
        .input = line_input,
        .written = line_written,
        .closed = line_closed,
        .context = server,
    };

    hf_env_system(&server->env);
    server->env.log = settings->log;
    server->env.metrics = settings->metrics;
    hf_op_init(&server->op, &server->env);
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_cond_init(&server->changed, NULL);
    server->gate_is_open = true;
    if (settings->is_tls) {
        start_tls(server, settings->clients);
        listener.tls = server->tls;
    }
    listener.name = listener.name != NULL ? listener.name : "lines";
    listener.address = listener.address != NULL ? listener.address : "127.0.0.1:0";
    assert_ok(&server->op, hf_net_new(&server->op, &server->env, &settings->net, &server->net));
    assert_ok(&server->op, hf_net_listen(server->net, &server->op, &listener, &protocol));
    server->port = hf_net_port(server->net, listener.name);
    hf_net_on_turn(server->net, on_turn, server);
    assert_ok(&server->op, hf_net_start(server->net, &server->op));
}

void line_server_stop(struct line_server *server, uint64_t limit_ms)
{
    hf_net_drain(server->net, limit_ms);
    assert_int_equal(hf_net_connections(server->net), 0);
    hf_net_free(server->net);
    hf_tls_free(server->tls);
    if (server->authority != NULL) {
        test_authority_free(server->authority);
    }
    assert_int_equal(server->counts[TEST_OPENED], server->counts[TEST_CLOSED]);
    (void)pthread_cond_destroy(&server->changed);
    (void)pthread_mutex_destroy(&server->lock);
}
