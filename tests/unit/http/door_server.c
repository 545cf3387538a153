/* A server for tests with two doors. */
#include "door_server.h"

#include "test.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

static void wait_at_gate(struct door_server *server)
{
    test_gate_add(&server->gate, DOOR_WAITING);
    test_gate_pass(&server->gate);
}

static void ended(void *context, bool written)
{
    test_gate_add(&((struct door_server *)context)->gate, written ? DOOR_WRITTEN : DOOR_UNWRITTEN);
}

/* ---- Handlers ---- */

static void say(struct hf_reply *reply, const char *text)
{
    reply->content_type = "text/plain";
    hf_buf_add_text(&reply->body, text);
}

static struct hf_status fixed(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)exchange;
    (void)request;
    say(reply, "fixed");
    return HF_SUCCESS;
}

static struct hf_status echo(struct hf_op *op, struct hf_exchange *exchange,
                             const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)exchange;
    reply->content_type = "text/plain";
    hf_buf_add_bytes(&reply->body, hf_request_body(request));
    return HF_SUCCESS;
}

/* Where it runs. */
static struct hf_status where(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply)
{
    (void)exchange;
    (void)request;
    reply->content_type = "text/plain";
    hf_buf_add_text(&reply->body, op->may_wait ? "worker" : "loop");
    return HF_SUCCESS;
}

static struct hf_status gated(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply)
{
    hf_assert(op->may_wait);
    wait_at_gate(hf_exchange_context(exchange));
    hf_exchange_on_end(exchange, ended, hf_exchange_context(exchange));
    say(reply, hf_request_segment(request, "word"));
    say(reply, " ");
    hf_buf_add_bytes(&reply->body, hf_request_body(request));
    return HF_SUCCESS;
}

/* Leaves traces in reply and operation before it says that it would have to wait. */
static struct hf_status later(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply)
{
    struct door_server *server = hf_exchange_context(exchange);

    (void)request;
    test_gate_add(&server->gate, DOOR_RUNS);
    say(reply, "now");
    if (!op->may_wait) {
        hf_assert(op->lane < hf_net_loops(server->net));
        reply->status = 500;
        hf_reply_header(reply, "X-Trace", "1");
        return hf_fail(op, HF_LATER, "not on a loop");
    }
    hf_assert(op->lane >= hf_net_loops(server->net) && op->code == HF_OK && op->text[0] == '\0');
    hf_assert(op->deadline_ms > hf_env_boottime_ms(op->env));
    return HF_SUCCESS;
}

static struct hf_status never(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply)
{
    (void)exchange;
    (void)request;
    (void)reply;
    return hf_fail(op, HF_LATER, "never satisfied");
}

static struct hf_status denied(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply)
{
    (void)exchange;
    (void)request;
    say(reply, "half an answer");
    hf_reply_header(reply, "X-Trace", "1");
    return hf_fail(op, HF_DENIED, "no");
}

static struct hf_status closing(struct hf_op *op, struct hf_exchange *exchange,
                                const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)exchange;
    (void)request;
    say(reply, "last");
    reply->close = true;
    return HF_SUCCESS;
}

static struct hf_status told(struct hf_op *op, struct hf_exchange *exchange,
                             const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)request;
    hf_exchange_on_end(exchange, ended, hf_exchange_context(exchange));
    say(reply, "told");
    return HF_SUCCESS;
}

/* Keeps its loop. */
static struct hf_status hold(struct hf_op *op, struct hf_exchange *exchange,
                             const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)request;
    wait_at_gate(hf_exchange_context(exchange));
    say(reply, "held");
    return HF_SUCCESS;
}

static struct hf_status big(struct hf_op *op, struct hf_exchange *exchange,
                            const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)request;
    hf_exchange_on_end(exchange, ended, hf_exchange_context(exchange));
    reply->content_type = "text/plain";
    memset(hf_buf_reserve(&reply->body, 20000000), 'x', 20000000);
    hf_buf_grew(&reply->body, 20000000);
    return HF_SUCCESS;
}

static const struct hf_route routes[] = {
    { HF_GET, "/t/fixed", 0, HF_INLINE, fixed },
    { HF_POST, "/t/echo", 100, HF_INLINE, echo },
    { HF_POST, "/t/none", 0, HF_INLINE, echo },
    { HF_POST, "/t/work", 1000000, HF_WORKER, echo },
    { HF_POST, "/t/gated/:word", 1000000, HF_WORKER, gated },
    { HF_POST, "/t/where", 1000000, HF_INLINE_SMALL, where },
    { HF_GET, "/t/later", 0, HF_INLINE, later },
    { HF_GET, "/t/never", 0, HF_INLINE, never },
    { HF_GET, "/t/denied", 0, HF_INLINE, denied },
    { HF_GET, "/t/denied-by-worker", 0, HF_WORKER, denied },
    { HF_GET, "/t/closing", 0, HF_INLINE, closing },
    { HF_GET, "/t/told", 0, HF_INLINE, told },
    { HF_GET, "/t/told-by-worker", 0, HF_WORKER, told },
    { HF_GET, "/t/hold", 0, HF_INLINE, hold },
    { HF_GET, "/t/big", 0, HF_INLINE, big },
    { HF_GET, NULL, 0, HF_INLINE, NULL },
};

/* ---- Doors ---- */

struct kept {
    struct door_server *server;
};

static void free_kept(void *object)
{
    struct kept *kept = object;

    test_gate_add(&kept->server->gate, DOOR_FREED);
    free(kept);
}

static struct hf_status admit(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply,
                              bool *out_answered)
{
    struct door_server *server = hf_exchange_context(exchange);
    struct kept *kept = hf_alloc(sizeof *kept);

    hf_assert(!op->may_wait && op->lane < hf_net_loops(server->net) && op->caller == NULL);
    hf_assert(strcmp(hf_exchange_peer_address(exchange),
                     hf_conn_peer_address(hf_exchange_conn(exchange))) == 0);
    kept->server = server;
    test_gate_add(&server->gate, DOOR_KEPT);
    hf_exchange_keep(exchange, kept, free_kept);
    if (hf_request_header(request, "X-Stranger").data != NULL) {
        return hf_fail(op, HF_UNAUTHENTICATED, "who are you");
    }
    if (hf_request_method(request) == HF_OPTIONS) {
        say(reply, "handshake");
        *out_answered = true;
    }
    return HF_SUCCESS;
}

static void failed(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                   const struct hf_request *request, struct hf_reply *reply)
{
    (void)request;
    hf_assert(reply->body.len == 0 && reply->headers.len == 0 && reply->status == 200);
    hf_assert(hf_exchange_conn(exchange) != NULL);
    reply->status = 400 + (int)status.code;
    say(reply, hf_code_name(status.code));
    say(reply, ": ");
    say(reply, op->text);
}

static void fill_doors(struct door_server *server, uint64_t deadline_ms)
{
    server->doors[0] = (struct hf_door){
        .name = "first",
        .prefix = "/t/",
        .routes = routes,
        .context = server,
        .admit = admit,
        .fail = failed,
        .deadline_ms = deadline_ms,
    };
    server->doors[1] = (struct hf_door){
        .name = "second",
        .prefix = "/other",
        .routes = routes,
        .context = server,
        .fail = failed,
    };
    server->list[0] = &server->doors[0];
    server->list[1] = &server->doors[1];
    server->list[2] = NULL;
    hf_http_limits_default(&server->served.limits);
    server->served.limits.max_body = 2000000;
    server->served.limits.room = &server->room;
    server->room.max_bytes = server->room.max_bytes != 0 ? server->room.max_bytes : 64U << 20;
    server->served.doors = server->list;
    atomic_store(&server->listener.served, &server->served);
}

void door_server_start(struct door_server *server, const struct hf_net_settings *net_settings,
                       const struct hf_listener_settings *listener_settings, uint64_t deadline_ms)
{
    struct hf_listener_settings listener = *listener_settings;
    struct hf_protocol protocol;

    hf_env_system(&server->env);
    server->env.metrics = hf_metrics_new();
    hf_op_init(&server->op, &server->env);
    test_gate_init(&server->gate);
    fill_doors(server, deadline_ms);
    protocol = hf_http_protocol(&server->listener);
    listener.name = "doors";
    listener.address = "127.0.0.1:0";
    assert_ok(&server->op, hf_net_new(&server->op, &server->env, net_settings, &server->net));
    assert_ok(&server->op, hf_net_listen(server->net, &server->op, &listener, &protocol));
    server->port = hf_net_port(server->net, "doors");
    assert_ok(&server->op, hf_net_start(server->net, &server->op));
}

void door_server_stop(struct door_server *server, uint64_t limit_ms)
{
    hf_net_drain(server->net, limit_ms);
    hf_net_free(server->net);
    assert_int_equal(server->gate.counts[DOOR_KEPT], server->gate.counts[DOOR_FREED]);
    assert_int_equal(server->room.used_bytes, 0);
    hf_metrics_free(server->env.metrics);
    test_gate_done(&server->gate);
}
