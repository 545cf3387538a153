/* A server for tests that speaks lines. */
#include "line_server.h"

#include "test.h"

#include <stdlib.h>

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

void line_server_wait_until(struct line_server *server, uint64_t boottime_ms)
{
    while (hf_env_boottime_ms(&server->env) < boottime_ms) {
        size_t turns = test_gate_count(&server->gate, TEST_TURNS);

        test_gate_wait(&server->gate, TEST_TURNS, turns + 1);
    }
}

/* ---- Commands ---- */

/* While the server stops, an answer says that it is the last one. */
static void answer(struct line_conn *self, struct hf_bytes text)
{
    struct line_server *server = self->server;

    (void)pthread_mutex_lock(&server->gate.lock);
    server->is_answered = true;
    (void)pthread_mutex_unlock(&server->gate.lock);
    if (hf_conn_is_draining(self->conn)) {
        hf_conn_write(self->conn, hf_bytes_of_text("last "));
        hf_conn_close(self->conn);
    }
    hf_conn_write(self->conn, text);
}

static void run_work(void *data, unsigned lane)
{
    struct line_conn *self = data;
    struct line_server *server = self->server;

    test_gate_add(&server->gate, TEST_BEGUN);
    (void)pthread_mutex_lock(&server->gate.lock);
    server->last_lane = lane;
    if (lane > server->max_lane) {
        server->max_lane = lane;
    }
    (void)pthread_mutex_unlock(&server->gate.lock);
    test_gate_pass(&server->gate);
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
    test_gate_add(&self->server->gate, conn != NULL ? TEST_DONE : TEST_ORPHANS);
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
    test_gate_add(&self->server->gate, TEST_LIMITED);
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
        test_gate_add(&self->server->gate, TEST_BEGUN);
        test_gate_pass(&self->server->gate);
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

    test_gate_add(&server->gate, TEST_OPENED);
    if (server->refuses) {
        test_gate_add(&server->gate, TEST_CLOSED);
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
    (void)pthread_mutex_lock(&self->server->gate.lock);
    if (self->server->is_answered) {
        self->server->saw_early_bytes = true;
    }
    (void)pthread_mutex_unlock(&self->server->gate.lock);
    test_gate_add(&self->server->gate, TEST_WRITTEN);
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
    test_gate_add(&server->gate, TEST_CLOSED);
}

static bool on_turn(void *context, unsigned lane)
{
    struct line_server *server = context;

    hf_assert(lane < hf_net_loops(server->net));
    (void)pthread_mutex_lock(&server->gate.lock);
    if (server->is_answered && server->watched != NULL &&
        test_client_is_readable(server->watched)) {
        server->saw_early_bytes = true;
    }
    server->is_answered = false;
    (void)pthread_mutex_unlock(&server->gate.lock);
    test_gate_add(&server->gate, TEST_TURNS);
    return !atomic_load(&server->forgets);
}

/* ---- Start and stop ---- */

static void load_tls(struct line_server *server, enum hf_tls_clients clients, struct hf_tls **out)
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

    assert_ok(&server->op, hf_tls_new(&server->op, &settings, out));
}

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
    load_tls(server, clients, &server->tls);
}

void line_server_reload_tls(struct line_server *server)
{
    struct hf_tls *fresh = NULL;

    load_tls(server, HF_TLS_CLIENTS_NONE, &fresh);
    hf_tls_take(server->tls, fresh);
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
    test_gate_init(&server->gate);
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
    assert_int_equal(server->gate.counts[TEST_OPENED], server->gate.counts[TEST_CLOSED]);
    test_gate_done(&server->gate);
}
