/*
 * One connection: its bytes in and out, its timers and its end. Nothing is sent, told or freed in
 * the middle of a turn: callbacks leave marks, and hf_conn_settle() acts on them when the turn
 * ends.
 */
#include "net/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"

/* What a client may send ahead while its request is with a worker. */
#define MAX_AHEAD_BYTES 65536
/* A reader must take this much in each request_timeout_ms, or all there is. */
#define MIN_TAKEN_BYTES 65536
/* How long the last answer may take to be read before the socket is closed under it. */
#define LINGER_MS    2000
#define LINGER_READS 16
/* The plaintext of a record at most, and how many are read before others have their turn. */
#define RECORD_BYTES    16384
#define RECORDS_AT_ONCE 32

static size_t unsent(const struct hf_conn *conn)
{
    size_t held = conn->held != NULL ? conn->held->len : 0;

    return held + (conn->bev != NULL ? evbuffer_get_length(bufferevent_get_output(conn->bev)) : 0);
}

void hf_conn_touch(struct hf_conn *conn)
{
    if (!conn->is_touched) {
        conn->is_touched = true;
        conn->next_touched = conn->loop->touched;
        conn->loop->touched = conn;
    }
}

void hf_conn_cut(struct hf_conn *conn)
{
    conn->is_cut = true;
    hf_conn_touch(conn);
}

void hf_conn_drop_answers(struct hf_conn *conn)
{
    if (conn->held != NULL && conn->held->len > 0) {
        hf_loop_give_buffer(conn->loop, HF_TAKE(conn->held));
        conn->is_cut = true;
    }
}

static void restart_timer(struct hf_conn *conn)
{
    conn->deadline_ms =
        hf_loop_now(conn->loop) +
        (conn->is_busy ? conn->listener->request_timeout_ms : conn->listener->idle_timeout_ms);
}

void hf_conn_set_busy(struct hf_conn *conn, bool is_mid_request)
{
    if (conn->is_busy != is_mid_request) {
        conn->is_busy = is_mid_request;
        restart_timer(conn);
    }
}

/* ---- TLS buffers: kept while requests follow one another, wiped and freed when they rest ---- */

static void use_buffers(struct hf_conn *conn)
{
    conn->is_resting = false;
    if (conn->ssl != NULL && !conn->has_buffers) {
        conn->has_buffers = true;
        conn->loop->with_buffers++;
        hf_metric_add(conn->loop->net->buffered, 1);
    }
}

static void forget_buffers(struct hf_conn *conn)
{
    if (conn->has_buffers) {
        conn->has_buffers = false;
        conn->loop->with_buffers--;
        hf_metric_add(conn->loop->net->buffered, -1);
    }
}

/* Unless something is in them. */
static void free_buffers(struct hf_conn *conn)
{
    if (conn->has_buffers && SSL_free_buffers(conn->ssl) == 1) {
        forget_buffers(conn);
    }
}

static void check_buffers(struct hf_conn *conn)
{
    if (conn->is_resting) {
        free_buffers(conn);
    }
    conn->is_resting = true;
}

/* ---- Bytes in ---- */

static bool takes_input(const struct hf_conn *conn)
{
    return conn->work == NULL && !conn->is_closing && !conn->is_cut && conn->phase == HF_CONN_OPEN;
}

static void deliver(struct hf_conn *conn)
{
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    size_t len;

    while (takes_input(conn) && (len = evbuffer_get_contiguous_space(input)) > 0) {
        const uint8_t *data = evbuffer_pullup(input, (ssize_t)len);

        conn->listener->protocol.input(conn->state, conn, hf_bytes_of(data, len));
        (void)evbuffer_drain(input, len);
    }
}

/* Gives the protocol what it takes now, and sees to it that the rest does not grow. */
static void pass_on(struct hf_conn *conn)
{
    struct evbuffer *input = bufferevent_get_input(conn->bev);

    deliver(conn);
    if (conn->is_closing) {
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    } else if (evbuffer_get_length(input) > MAX_AHEAD_BYTES) {
        /* Reading goes on during work only so that a client that leaves is noticed. */
        (void)bufferevent_disable(conn->bev, EV_READ);
        conn->is_reading_paused = true;
    }
}

static bool read_record(struct hf_conn *conn)
{
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    struct evbuffer_iovec space;
    int error;

    if (evbuffer_reserve_space(input, RECORD_BYTES, &space, 1) != 1) {
        conn->is_cut = true;
        hf_conn_touch(conn);
        return false;
    }
    ERR_clear_error();
    if (SSL_read_ex(conn->ssl, space.iov_base, RECORD_BYTES, &space.iov_len) == 1) {
        return evbuffer_commit_space(input, &space, 1) == 0;
    }
    error = SSL_get_error(conn->ssl, 0);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        ERR_clear_error();
        conn->is_ended = true;
        hf_conn_touch(conn);
    }
    return false;
}

/*
 * OpenSSL reads ahead, which saves a system call for every record, but libevent asks SSL_pending()
 * and does not see what lies there; nor would the socket wake it up again.
 */
static void read_what_is_ahead(struct hf_conn *conn)
{
    for (unsigned i = 0; conn->ssl != NULL && conn->phase == HF_CONN_OPEN && !conn->is_ended &&
                         !conn->is_cut && !conn->is_reading_paused && SSL_has_pending(conn->ssl);
         i++) {
        if (i == RECORDS_AT_ONCE) {
            bufferevent_trigger(conn->bev, EV_READ,
                                BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
            return;
        }
        if (!read_record(conn)) {
            return;
        }
        pass_on(conn);
    }
}

static void on_readable(struct bufferevent *bev, void *context)
{
    struct hf_conn *conn = context;

    (void)bev;
    use_buffers(conn);
    pass_on(conn);
    read_what_is_ahead(conn);
}

void hf_conn_resume(struct hf_conn *conn)
{
    restart_timer(conn);
    if (conn->phase != HF_CONN_OPEN) {
        return;
    }
    deliver(conn);
    if (conn->is_reading_paused && conn->work == NULL && !conn->is_ended) {
        conn->is_reading_paused = false;
        (void)bufferevent_enable(conn->bev, EV_READ);
    }
    read_what_is_ahead(conn);
}

/* ---- Bytes out ---- */

struct hf_buf *hf_conn_room(struct hf_conn *conn, size_t len)
{
    if (conn->phase != HF_CONN_OPEN || conn->is_cut) {
        return NULL;
    }
    if (unsent(conn) + len > conn->listener->max_unsent_bytes) {
        HF_INFO(conn->loop->net->env, "%s: %s does not read its answers and is cut",
                conn->listener->name, conn->peer);
        hf_metric_add(conn->listener->timeouts, 1);
        hf_conn_cut(conn);
        return NULL;
    }
    if (conn->held == NULL) {
        conn->held = hf_loop_take_buffer(conn->loop);
    }
    conn->is_unsent = true;
    hf_conn_touch(conn);
    return conn->held;
}

void hf_conn_write(struct hf_conn *conn, struct hf_bytes bytes)
{
    struct hf_buf *held = hf_conn_room(conn, bytes.len);

    if (held != NULL) {
        hf_buf_add_bytes(held, bytes);
    }
}

/* What the socket takes at once, without a turn through epoll: 0 when it takes nothing now. */
static size_t send_tls(struct hf_conn *conn, struct hf_bytes bytes)
{
    size_t sent = 0;

    while (sent < bytes.len) {
        size_t taken = 0;
        int error;

        ERR_clear_error();
        if (SSL_write_ex(conn->ssl, bytes.data + sent, bytes.len - sent, &taken) == 1) {
            sent += taken;
            continue;
        }
        error = SSL_get_error(conn->ssl, 0);
        if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) {
            ERR_clear_error();
            conn->is_ended = true;
        }
        break;
    }
    return sent;
}

static size_t send_plain(struct hf_conn *conn, struct hf_bytes bytes)
{
    ssize_t sent = send(conn->fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent >= 0) {
        return (size_t)sent;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        conn->is_ended = true;
    }
    return 0;
}

/*
 * Most answers fit into the socket's buffer and leave here, in one record and one write; libevent
 * gets the rest and waits until the socket takes it. The rest is one piece that begins where the
 * refused write began, as OpenSSL demands of a repetition.
 */
static void send_held(struct hf_conn *conn)
{
    struct evbuffer *output = bufferevent_get_output(conn->bev);
    struct hf_bytes bytes = hf_buf_bytes(conn->held);
    size_t sent = 0;

    if (!conn->is_cut && evbuffer_get_length(output) == 0) {
        sent = conn->ssl != NULL ? send_tls(conn, bytes) : send_plain(conn, bytes);
    }
    if (!conn->is_cut && !conn->is_ended && sent < bytes.len) {
        if (evbuffer_add(output, bytes.data + sent, bytes.len - sent) != 0) {
            conn->is_cut = true;
        }
        conn->unsent_then += bytes.len - sent;
    }
    hf_loop_give_buffer(conn->loop, HF_TAKE(conn->held));
}

/* libevent has sent all it had. */
static void on_drained(struct bufferevent *bev, void *context)
{
    struct hf_conn *conn = context;

    if (evbuffer_get_length(bufferevent_get_output(bev)) == 0 && conn->is_unsent) {
        hf_conn_touch(conn);
    }
}

static void tell_written(struct hf_conn *conn)
{
    conn->is_unsent = false;
    conn->unsent_then = 0;
    conn->unsent_check_ms = 0;
    if (!conn->is_busy) {
        restart_timer(conn);
    }
    conn->listener->protocol.written(conn->state, conn);
}

/* ---- The end ---- */

void hf_conn_close(struct hf_conn *conn)
{
    conn->is_closing = true;
    hf_conn_touch(conn);
}

static void tell_closed(struct hf_conn *conn)
{
    if (conn->work != NULL) {
        conn->work->conn = NULL;
        conn->work = NULL;
    }
    if (conn->state != NULL) {
        conn->listener->protocol.closed(HF_TAKE(conn->state));
    }
}

static void drop_transport(struct hf_conn *conn)
{
    if (conn->bev != NULL) {
        bufferevent_free(HF_TAKE(conn->bev));
    }
    if (conn->ssl != NULL) {
        forget_buffers(conn);
        SSL_free(HF_TAKE(conn->ssl));
    }
}

static void leave_handshake(struct hf_conn *conn)
{
    if (conn->phase == HF_CONN_HANDSHAKE) {
        conn->loop->handshakes--;
        conn->phase = HF_CONN_OPEN;
        hf_ports_resume(conn->loop);
    }
}

static void unlink_conn(struct hf_conn *conn)
{
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        conn->loop->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
}

static void count_closed(struct hf_net *net)
{
    atomic_fetch_sub(&net->open, 1);
    hf_metric_add(net->connections, -1);
    if (atomic_load(&net->is_held) && atomic_exchange(&net->is_held, false)) {
        for (unsigned i = 0; i < net->settings.loops; i++) {
            hf_loop_wake(&net->loops[i]);
        }
    }
}

static void destroy(struct hf_conn *conn)
{
    leave_handshake(conn);
    unlink_conn(conn);
    drop_transport(conn);
    if (conn->linger != NULL) {
        event_free(conn->linger);
    }
    (void)close(conn->fd);
    count_closed(conn->loop->net);
    tell_closed(conn);
    if (conn->held != NULL) {
        hf_loop_give_buffer(conn->loop, conn->held);
    }
    hf_buf_done(&conn->peer_name);
    hf_buf_done(&conn->peer_fingerprint);
    free(conn);
}

/* Unread bytes would make close() reset the connection and take our last answer with it. */
static void on_linger(evutil_socket_t fd, short what, void *context)
{
    struct hf_conn *conn = context;
    uint8_t waste[16384];

    (void)what;
    for (unsigned i = 0; i < LINGER_READS; i++) {
        ssize_t got = recv(fd, waste, sizeof waste, MSG_DONTWAIT);

        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            break;
        }
        if (got <= 0) {
            hf_conn_cut(conn);
            break;
        }
    }
    hf_wipe(waste, sizeof waste);
}

static void begin_linger(struct hf_conn *conn)
{
    tell_closed(conn);
    if (conn->ssl != NULL) {
        ERR_clear_error();
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
    drop_transport(conn);
    conn->phase = HF_CONN_LINGER;
    conn->deadline_ms = hf_loop_now(conn->loop) + LINGER_MS;
    conn->linger = event_new(conn->loop->base, conn->fd, EV_READ | EV_PERSIST, on_linger, conn);
    if (shutdown(conn->fd, SHUT_WR) != 0 || conn->linger == NULL ||
        event_add(conn->linger, NULL) != 0) {
        hf_conn_cut(conn);
    }
}

void hf_conn_settle(struct hf_conn *conn)
{
    if (conn->held != NULL) {
        use_buffers(conn);
        send_held(conn);
    }
    if (conn->loop->with_buffers > HF_BUFFERED_CONNS) {
        free_buffers(conn);
    }
    if (conn->is_ended || conn->is_cut) {
        destroy(conn);
        return;
    }
    if (conn->is_unsent && unsent(conn) == 0) {
        tell_written(conn);
    } else if (conn->is_unsent && conn->unsent_check_ms == 0) {
        conn->unsent_check_ms = hf_loop_now(conn->loop) + conn->listener->request_timeout_ms;
    }
    if (conn->is_closing && conn->phase == HF_CONN_OPEN && unsent(conn) == 0) {
        begin_linger(conn);
    }
}

/* ---- Timers ---- */

static void time_out(struct hf_conn *conn, const char *what)
{
    HF_INFO(conn->loop->net->env, "%s: %s %s", conn->listener->name, conn->peer, what);
    hf_metric_add(conn->listener->timeouts, 1);
    hf_conn_cut(conn);
}

static void check_reader(struct hf_conn *conn, uint64_t now)
{
    size_t left = unsent(conn);

    if (now < conn->unsent_check_ms) {
        return;
    }
    if (conn->unsent_then < left + MIN_TAKEN_BYTES) {
        time_out(conn, "reads its answer too slowly and is cut");
        return;
    }
    conn->unsent_then = left;
    conn->unsent_check_ms = now + conn->listener->request_timeout_ms;
}

static void check_deadline(struct hf_conn *conn, uint64_t now)
{
    if (now < conn->deadline_ms) {
        return;
    }
    if (conn->phase == HF_CONN_LINGER) {
        hf_conn_cut(conn);
    } else if (conn->phase == HF_CONN_HANDSHAKE) {
        time_out(conn, "does not finish its TLS handshake and is cut");
    } else if (conn->is_busy) {
        time_out(conn, "sends its request too slowly and is cut");
    } else {
        hf_conn_close(conn);
    }
}

/* A request that is in the socket already is answered, even while the server stops. */
static bool has_input(const struct hf_conn *conn)
{
    uint8_t byte;

    return evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0 ||
           (conn->ssl != NULL && SSL_has_pending(conn->ssl)) ||
           recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void check_drain(struct hf_conn *conn, uint64_t now)
{
    if (!conn->loop->is_draining || now < conn->loop->drain_quiet_ms || conn->is_busy) {
        return;
    }
    if (conn->phase == HF_CONN_HANDSHAKE) {
        hf_conn_cut(conn);
    } else if (conn->phase == HF_CONN_OPEN && !has_input(conn)) {
        hf_conn_close(conn);
    }
}

void hf_conn_check(struct hf_conn *conn)
{
    uint64_t now = hf_loop_now(conn->loop);

    check_buffers(conn);
    if (conn->unsent_check_ms != 0) {
        check_reader(conn, now);
    } else if (conn->work == NULL) {
        check_deadline(conn, now);
        check_drain(conn, now);
    }
}

/* ---- The beginning ---- */

static void open_protocol(struct hf_conn *conn)
{
    const struct hf_protocol *protocol = &conn->listener->protocol;

    leave_handshake(conn);
    conn->phase = HF_CONN_OPEN;
    conn->state = protocol->open(protocol->context, conn);
    if (conn->state == NULL) {
        hf_conn_cut(conn);
    }
}

static void count_failed_handshake(struct hf_conn *conn, struct bufferevent *bev)
{
    unsigned long error = bufferevent_get_openssl_error(bev);
    const char *reason = ERR_reason_error_string(error);

    hf_metric_add(conn->listener->failed_handshakes, 1);
    HF_DEBUG(conn->loop->net->env, "%s: %s: no TLS handshake: %s", conn->listener->name, conn->peer,
             reason != NULL ? reason : "the client left");
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
    struct hf_conn *conn = context;

    if ((what & BEV_EVENT_CONNECTED) != 0) {
        open_protocol(conn);
        read_what_is_ahead(conn);
        return;
    }
    if (conn->phase == HF_CONN_HANDSHAKE) {
        count_failed_handshake(conn, bev);
    }
    conn->is_ended = true;
    hf_conn_touch(conn);
}

static bool open_transport(struct hf_conn *conn)
{
    struct event_base *base = conn->loop->base;

    /* Without BEV_OPT_CLOSE_ON_FREE: socket and SSL stay ours, because closing lingers. */
    if (conn->listener->tls == NULL) {
        conn->bev = bufferevent_socket_new(base, conn->fd, 0);
    } else {
        conn->ssl = hf_tls_accept(conn->listener->tls);
        if (conn->ssl != NULL) {
            use_buffers(conn);
            conn->bev = bufferevent_openssl_socket_new(base, conn->fd, conn->ssl,
                                                       BUFFEREVENT_SSL_ACCEPTING, 0);
        }
    }
    if (conn->bev == NULL) {
        return false;
    }
    bufferevent_setcb(conn->bev, on_readable, on_drained, on_event, conn);
    return bufferevent_enable(conn->bev, EV_READ | EV_WRITE) == 0;
}

static void link_conn(struct hf_conn *conn)
{
    struct hf_loop *loop = conn->loop;

    conn->next = loop->conns;
    if (conn->next != NULL) {
        conn->next->previous = conn;
    }
    loop->conns = conn;
    hf_metric_add(loop->net->connections, 1);
}

void hf_conn_accept(struct hf_loop *loop, struct hf_listener *listener, int fd,
                    const struct sockaddr_storage *address)
{
    struct hf_conn *conn = hf_alloc(sizeof *conn);

    conn->loop = loop;
    conn->listener = listener;
    conn->fd = fd;
    hf_address_write(address, conn->peer, &conn->is_loopback);
    conn->deadline_ms = hf_loop_now(loop) + listener->request_timeout_ms;
    link_conn(conn);
    if (listener->tls != NULL) {
        conn->phase = HF_CONN_HANDSHAKE;
        loop->handshakes++;
    } else {
        conn->phase = HF_CONN_OPEN;
    }
    if (!open_transport(conn)) {
        HF_ERROR(loop->net->env, "%s: no memory for a connection", listener->name);
        hf_conn_cut(conn);
    } else if (listener->tls == NULL) {
        open_protocol(conn);
    }
}

/* ---- Work ---- */

struct hf_status hf_conn_submit(struct hf_conn *conn, struct hf_op *op,
                                void (*work)(void *data, unsigned lane),
                                void (*done)(void *data, struct hf_conn *conn), void *data)
{
    struct hf_work *item = hf_alloc(sizeof *item);

    hf_assert(conn->work == NULL);
    item->loop = conn->loop;
    item->conn = conn;
    item->run = work;
    item->done = done;
    item->data = data;
    if (!hf_workers_add(&conn->loop->net->workers, item)) {
        free(item);
        return hf_fail(op, HF_LIMITED, "the queue of waiting requests is full");
    }
    conn->work = item;
    conn->loop->work_under_way++;
    return HF_SUCCESS;
}
