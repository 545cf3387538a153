/*
 * Doors on connections: takes requests off the parser one at a time, finds door and route, runs the
 * handler here or on a worker, and writes the reply.
 */
#include "http/door.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"

#define DEFAULT_DEADLINE_MS 30000
/* Bodies of most replies fit, so that their buffer grows once. */
#define USUAL_BODY_BYTES 512
#define STATUS_CLASSES   5
#define PEER_ADDRESS_MAX 64
/* Others' requests end within seconds. */
#define RETRY_AFTER_S "1"
#define MS_PER_S      1000

/* An object that a door wants to live as long as the exchange. */
struct kept {
    struct kept *next;
    void *object;
    void (*free_object)(void *);
};

/* Somebody who waits to hear whether a reply was written. */
struct waiter {
    struct waiter *next;
    void (*ended)(void *context, bool written);
    void *context;
};

struct hf_exchange {
    struct session *session;
    const struct hf_door *door; /* NULL: no door serves this path */
    const struct hf_route *route;
    struct hf_request *request;
    struct hf_op op;
    struct hf_reply reply;
    struct hf_status status; /* of the handler */
    bool found_no_room;
    struct kept *kept;
    struct waiter *waiter;
};

/* One connection. It outlives the connection while a worker uses its request. */
struct session {
    const struct hf_http_listener *listener;
    struct hf_conn *conn; /* the loop's to read and write; NULL once the connection is gone */
    struct hf_http *http;
    struct hf_exchange exchange; /* the one under way */
    struct waiter *waiting;      /* for written(), or the end */
    bool is_working;
    bool is_closing;
    char peer[PEER_ADDRESS_MAX];
    /* Counters this connection has used: for door, then class of status. */
    const struct hf_door *counted_door;
    struct hf_metric *counters[STATUS_CLASSES];
};

void *hf_exchange_context(const struct hf_exchange *exchange)
{
    return exchange->door->context;
}

struct hf_conn *hf_exchange_conn(const struct hf_exchange *exchange)
{
    return exchange->session->conn;
}

const char *hf_exchange_peer_address(const struct hf_exchange *exchange)
{
    return exchange->session->peer;
}

void hf_exchange_keep(struct hf_exchange *exchange, void *object, void (*free_object)(void *))
{
    struct kept *kept = hf_alloc(sizeof *kept);

    kept->object = object;
    kept->free_object = free_object;
    kept->next = exchange->kept;
    exchange->kept = kept;
}

void hf_exchange_on_end(struct hf_exchange *exchange, void (*ended)(void *context, bool written),
                        void *context)
{
    hf_assert(exchange->waiter == NULL);
    exchange->waiter = hf_alloc(sizeof *exchange->waiter);
    exchange->waiter->ended = ended;
    exchange->waiter->context = context;
}

/* ---- Counting ---- */

static struct hf_metric *counter(struct session *session, const struct hf_door *door, size_t class)
{
    struct hf_metrics *metrics = hf_conn_env(session->conn)->metrics;

    if (session->counted_door != door) {
        session->counted_door = door;
        memset(session->counters, 0, sizeof session->counters);
    }
    if (session->counters[class] == NULL && metrics != NULL) {
        HF_AUTO_STRING labels =
            hf_format("door=\"%s\",class=\"%zuxx\"", door != NULL ? door->name : "none", class + 1);

        session->counters[class] =
            hf_metrics_series(metrics, HF_METRIC_COUNTER, "holdfast_http_requests_total", labels,
                              "Requests answered, by door and class of status.");
    }
    return session->counters[class];
}

static void count(struct session *session, const struct hf_door *door, int status)
{
    if (status >= 100 && status < 100 * (STATUS_CLASSES + 1)) {
        hf_metric_add(counter(session, door, (size_t)(status / 100 - 1)), 1);
    }
}

/* ---- Beginning and end of an exchange ---- */

static void begin(struct session *session, const struct hf_door *door, struct hf_request *request)
{
    struct hf_exchange *exchange = &session->exchange;
    struct hf_env *env = hf_conn_env(session->conn);
    uint64_t allowed = DEFAULT_DEADLINE_MS;

    if (door != NULL && door->deadline_ms != 0) {
        allowed = door->deadline_ms;
    }
    exchange->session = session;
    exchange->door = door;
    exchange->route = NULL;
    exchange->found_no_room = false;
    exchange->request = request;
    hf_op_init(&exchange->op, env);
    exchange->op.lane = hf_conn_lane(session->conn);
    exchange->op.may_wait = false;
    exchange->op.arrived_ms = hf_env_realtime_ms(env);
    exchange->op.deadline_ms = hf_env_boottime_ms(env) + allowed;
    hf_reply_init(&exchange->reply);
    (void)hf_buf_reserve(&exchange->reply.body, USUAL_BODY_BYTES);
}

static void end_waiter(struct waiter *waiter, bool written)
{
    waiter->ended(waiter->context, written);
    free(waiter);
}

static void end_waiting(struct session *session, bool written)
{
    while (session->waiting != NULL) {
        struct waiter *waiter = session->waiting;

        session->waiting = waiter->next;
        end_waiter(waiter, written);
    }
}

/* Frees what the exchange held. Its waiter has been handed on, or hears that nothing was written.
 */
static void end(struct hf_exchange *exchange)
{
    if (exchange->waiter != NULL) {
        end_waiter(HF_TAKE(exchange->waiter), false);
    }
    while (exchange->kept != NULL) {
        struct kept *kept = exchange->kept;

        exchange->kept = kept->next;
        kept->free_object(kept->object);
        free(kept);
    }
    exchange->op.caller = NULL;
    hf_reply_done(&exchange->reply);
}

static void empty_reply(struct hf_reply *reply)
{
    hf_reply_done(reply);
    hf_reply_init(reply);
}

static void write_reply(struct session *session, const struct hf_door *door,
                        const struct hf_reply *reply, const struct hf_request *request)
{
    struct hf_buf *out = hf_conn_room(session->conn, hf_reply_max(reply));

    if (out != NULL) {
        hf_reply_write(reply, request, hf_env_realtime_ms(hf_conn_env(session->conn)), out);
    }
    count(session, door, reply->status);
    if (reply->close || request == NULL || !hf_request_keeps_alive(request)) {
        session->is_closing = true;
        hf_conn_close(session->conn);
    }
}

/*
 * Without a lease the node may not know the latest change (promise P5), or the others may not know
 * what this answer shows: it says so.
 */
static void tell_staleness(struct hf_exchange *exchange)
{
    const struct hf_standing *standing = &exchange->op.standing;
    char seconds[24] = "unknown";

    if (!standing->stale && !standing->ahead) {
        return;
    }
    if (standing->stale_ms != UINT64_MAX) {
        (void)snprintf(seconds, sizeof seconds, "%" PRIu64, standing->stale_ms / MS_PER_S);
    }
    hf_reply_header(&exchange->reply, "X-Holdfast-Stale", seconds);
}

/* A version that some node has still to open says so (docs/cluster.md). */
static void tell_proof(struct hf_exchange *exchange)
{
    const struct hf_op *op = &exchange->op;
    char text[32];

    if (op->proven_on < op->proven_of) {
        (void)snprintf(text, sizeof text, "%u of %u", op->proven_on, op->proven_of);
        hf_reply_header(&exchange->reply, "X-Holdfast-Proven", text);
    }
}

static void send_reply(struct hf_exchange *exchange)
{
    struct session *session = exchange->session;

    tell_staleness(exchange);
    tell_proof(exchange);
    if (hf_conn_is_draining(session->conn)) {
        exchange->reply.close = true;
    }
    write_reply(session, exchange->door, &exchange->reply, exchange->request);
    if (exchange->waiter != NULL) {
        exchange->waiter->next = session->waiting;
        session->waiting = HF_TAKE(exchange->waiter);
    }
}

/* ---- Answers of our own ---- */

static void fill_plain(struct hf_reply *reply, int status, const char *text)
{
    reply->status = status;
    reply->content_type = "text/plain; charset=utf-8";
    hf_buf_add_text(&reply->body, text);
    hf_buf_add(&reply->body, "\n", 1);
}

/* A request that broke a rule of HTTP: no door has seen it. */
static void answer_fault(struct session *session)
{
    struct hf_reply reply;
    struct hf_op op;

    hf_op_init(&op, hf_conn_env(session->conn));
    /* Asks for the text only; the fault is there already. */
    if (hf_http_feed(session->http, &op, HF_BYTES_NONE).code != HF_OK) {
        HF_DEBUG(op.env, "%s: %s: request refused: %s", hf_conn_listener(session->conn),
                 session->peer, op.text);
    }
    hf_reply_init(&reply);
    fill_plain(&reply, hf_http_error_status(session->http), op.text);
    if (reply.status == 503) {
        hf_reply_header(&reply, "Retry-After", RETRY_AFTER_S);
    }
    reply.close = true;
    write_reply(session, NULL, &reply, NULL);
    hf_reply_done(&reply);
}

static void fail_exchange(struct hf_exchange *exchange, struct hf_status status)
{
    empty_reply(&exchange->reply);
    exchange->door->fail(&exchange->op, status, exchange, exchange->request, &exchange->reply);
    /* The door's own words under the status that every client and proxy takes for "again". */
    if (exchange->found_no_room) {
        exchange->reply.status = 503;
        hf_reply_header(&exchange->reply, "Retry-After", RETRY_AFTER_S);
    }
}

/* ---- Doors and routes ---- */

static const struct hf_door *find_door(const struct hf_http_listener *listener,
                                       const struct hf_request *request)
{
    struct hf_bytes path = hf_request_path(request);

    for (const struct hf_door *const *door = atomic_load(&listener->served)->doors; *door != NULL;
         door++) {
        size_t len = strlen((*door)->prefix);

        if (path.len >= len && memcmp(path.data, (*door)->prefix, len) == 0) {
            return *door;
        }
    }
    return NULL;
}

/* Asked for large bodies as soon as their head is there; what no route takes has none to read. */
static size_t body_limit_of(void *context, struct hf_request *head)
{
    const struct session *session = context;
    const struct hf_door *door = find_door(session->listener, head);
    const struct hf_route *route = NULL;
    bool other_method = false;

    if (door != NULL) {
        route = hf_route_find(door->routes, head, &other_method);
    }
    return route != NULL ? route->max_body : 0;
}

static struct hf_status find_route(struct hf_exchange *exchange)
{
    bool other_method = false;

    exchange->route = hf_route_find(exchange->door->routes, exchange->request, &other_method);
    if (exchange->route == NULL && other_method) {
        return hf_fail(&exchange->op, HF_UNSUPPORTED, "this path has no method %s",
                       hf_method_name(hf_request_method(exchange->request)));
    }
    if (exchange->route == NULL) {
        return hf_fail(&exchange->op, HF_NOT_FOUND, "there is nothing at this path");
    }
    if (hf_request_found_no_room(exchange->request)) {
        exchange->found_no_room = true;
        return hf_fail(&exchange->op, HF_UNAVAILABLE,
                       "the server holds as many bytes of requests as it may; ask again");
    }
    if (hf_request_body_is_refused(exchange->request) ||
        hf_request_body(exchange->request).len > exchange->route->max_body) {
        return hf_fail(&exchange->op, HF_TOO_LARGE, "the body is larger than %zu bytes",
                       exchange->route->max_body);
    }
    return HF_SUCCESS;
}

static struct hf_status handle(struct hf_exchange *exchange)
{
    return exchange->route->handle(&exchange->op, exchange, exchange->request, &exchange->reply);
}

/* ---- Work ---- */

static void run_on_worker(void *data, unsigned lane)
{
    struct session *session = data;
    struct hf_exchange *exchange = &session->exchange;

    exchange->op.lane = lane;
    exchange->op.may_wait = true;
    exchange->status = hf_op_check_deadline(&exchange->op);
    if (exchange->status.code == HF_OK) {
        exchange->status = handle(exchange);
    }
    if (exchange->status.code == HF_LATER) {
        exchange->status = hf_fail(&exchange->op, HF_INTERNAL,
                                   "a handler wants to be run later, but may wait already");
    }
}

static void free_session(struct session *session)
{
    hf_http_free(session->http);
    free(session);
}

static void serve_next(struct session *session);

static void done_by_worker(void *data, struct hf_conn *conn)
{
    struct session *session = data;
    struct hf_exchange *exchange = &session->exchange;

    session->is_working = false;
    if (conn == NULL) {
        end(exchange);
        if (session->conn == NULL) {
            free_session(session);
        }
        return;
    }
    exchange->op.lane = hf_conn_lane(conn);
    exchange->op.may_wait = false;
    if (exchange->status.code != HF_OK) {
        fail_exchange(exchange, exchange->status);
    }
    send_reply(exchange);
    end(exchange);
    serve_next(session);
}

static struct hf_status submit(struct hf_exchange *exchange)
{
    struct session *session = exchange->session;

    HF_TRY(hf_conn_submit(session->conn, &exchange->op, run_on_worker, done_by_worker, session));
    session->is_working = true;
    return HF_SUCCESS;
}

/* What a handler put into the reply goes; the headers that admit put there (a cookie) stay. */
static void begin_anew(struct hf_reply *reply, size_t admitted)
{
    struct hf_buf headers = reply->headers;

    hf_buf_init(&reply->headers);
    empty_reply(reply);
    headers.len = admitted;
    reply->headers = headers;
}

/* Others of the same loop wait for what runs inline, so it must be short. */
static bool runs_inline(const struct hf_exchange *exchange)
{
    return exchange->route->flags == HF_INLINE ||
           (exchange->route->flags == HF_INLINE_SMALL &&
            hf_request_body(exchange->request).len <= HF_INLINE_BODY_MAX);
}

/* An inline handler that would have to wait has done nothing yet and starts anew on a worker. */
static struct hf_status run(struct hf_exchange *exchange)
{
    struct hf_status status = { HF_LATER };
    size_t admitted = exchange->reply.headers.len;

    if (runs_inline(exchange)) {
        status = handle(exchange);
    }
    if (status.code == HF_LATER) {
        hf_op_clear(&exchange->op);
        begin_anew(&exchange->reply, admitted);
        status = submit(exchange);
    }
    return status;
}

/* ---- Requests ---- */

static struct hf_status admit_and_run(struct hf_exchange *exchange)
{
    const struct hf_door *door = exchange->door;
    bool answered = false;

    if (door->admit != NULL) {
        HF_TRY(
            door->admit(&exchange->op, exchange, exchange->request, &exchange->reply, &answered));
    }
    if (answered) {
        return HF_SUCCESS;
    }
    HF_TRY(find_route(exchange));
    return run(exchange);
}

static void serve_request(struct session *session, struct hf_request *request)
{
    struct hf_exchange *exchange = &session->exchange;
    const struct hf_door *door = find_door(session->listener, request);
    struct hf_status status;

    begin(session, door, request);
    if (door == NULL) {
        fill_plain(&exchange->reply, 404, hf_code_sentence(HF_NOT_FOUND));
    } else {
        status = admit_and_run(exchange);
        if (session->is_working) {
            return;
        }
        if (status.code != HF_OK) {
            fail_exchange(exchange, status);
        }
    }
    send_reply(exchange);
    end(exchange);
}

/* Answers what has come, in order, until a worker is asked, the connection ends or bytes lack. */
static void serve_next(struct session *session)
{
    struct hf_request *request = NULL;

    while (!session->is_closing && (request = hf_http_next(session->http)) != NULL) {
        hf_conn_set_busy(session->conn, true);
        serve_request(session, request);
        if (session->is_working) {
            return;
        }
        hf_conn_set_busy(session->conn, false);
    }
    if (session->is_closing) {
        return;
    }
    if (hf_http_error_status(session->http) != 0) {
        answer_fault(session);
        return;
    }
    if (hf_http_wants_continue(session->http)) {
        hf_conn_write(session->conn, hf_bytes_of_text("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    hf_conn_set_busy(session->conn, hf_http_is_mid_request(session->http));
}

/* ---- The protocol ---- */

static void *open_session(void *context, struct hf_conn *conn)
{
    struct session *session = hf_alloc(sizeof *session);
    const char *peer = hf_conn_peer_address(conn);

    session->listener = context;
    session->conn = conn;
    session->http = hf_http_new(&atomic_load(&session->listener->served)->limits);
    hf_http_limit_bodies(session->http, body_limit_of, session);
    hf_assert(strlen(peer) < sizeof session->peer);
    memcpy(session->peer, peer, strlen(peer) + 1);
    return session;
}

static void take_input(void *state, struct hf_conn *conn, struct hf_bytes bytes)
{
    struct session *session = state;
    struct hf_status status;
    struct hf_op op;

    hf_op_init(&op, hf_conn_env(conn));
    status = hf_http_feed(session->http, &op, bytes);
    /* The parser keeps a fault; it is answered behind the requests that came before it. */
    hf_assert(status.code == HF_OK || hf_http_error_status(session->http) != 0);
    serve_next(session);
}

static void reply_written(void *state, struct hf_conn *conn)
{
    struct session *session = state;

    if (session->waiting != NULL) {
        end_waiting(session, hf_conn_is_alive(conn));
    }
}

static void close_session(void *state)
{
    struct session *session = state;

    session->conn = NULL;
    session->is_closing = true;
    end_waiting(session, false);
    if (!session->is_working) {
        free_session(session);
    }
}

struct hf_protocol hf_http_protocol(const struct hf_http_listener *listener)
{
    return (struct hf_protocol){
        .open = open_session,
        .input = take_input,
        .written = reply_written,
        .closed = close_session,
        .context = (void *)listener,
    };
}
