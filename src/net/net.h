/*
 * The network: event loops, listeners, connections and a bounded pool of workers. Protocols see
 * bytes only.
 *
 * One loop per thread, each with its own SO_REUSEPORT listener sockets; a connection stays on the
 * loop that accepted it. Replies of one turn are held back until the turn hook has run (the audit
 * trail is written there), then leave in one write per connection.
 *
 * Threads: what is named hf_conn_* is called on the connection's loop thread only, but for
 * hf_work_*; everything else from any thread unless said otherwise.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"
#include "tls/tls.h"

struct hf_net;
struct hf_conn;

struct hf_net_settings {
    unsigned loops;         /* 0: one per processor of the affinity mask */
    unsigned workers;       /* 0: 32 */
    size_t max_queue;       /* work waiting for a worker; 0: 4096. Beyond it: HF_LIMITED */
    size_t max_connections; /* of all loops together; 0: 20000. Beyond it new ones are held back */
    size_t max_new_handshakes; /* TLS handshakes under way per loop; 0: 256 */
};

/*
 * After each turn of a loop, before its replies leave; lane is the loop's number. False: what this
 * turn would answer could not be recorded, so its connections are closed without the answers.
 */
typedef bool (*hf_turn_hook)(void *context, unsigned lane);

HF_STATUS hf_net_new(struct hf_op *op, struct hf_env *env, const struct hf_net_settings *settings,
                     struct hf_net **out);
/* Loops are lanes 0 .. loops-1, workers the lanes after them. */
unsigned hf_net_lanes(const struct hf_net *net);
unsigned hf_net_loops(const struct hf_net *net);
void hf_net_on_turn(struct hf_net *net, hf_turn_hook hook, void *context);

/* What a listener serves. state is what open returned. */
struct hf_protocol {
    /* A new connection; NULL refuses it. */
    void *(*open)(void *context, struct hf_conn *conn);
    /* All bytes that have come; they are consumed. Not called while work of the connection runs:
     * its reading is paused then. */
    void (*input)(void *state, struct hf_conn *conn, struct hf_bytes bytes);
    /* Everything written so far has been handed to the kernel of a live socket. */
    void (*written)(void *state, struct hf_conn *conn);
    /* The connection is gone, for whatever reason; frees state. Called exactly once per open. */
    void (*closed)(void *state);
    void *context;
};

struct hf_listener_settings {
    const char *name;            /* for log and metrics */
    const char *address;         /* "127.0.0.1:9600", "[::1]:0", or "unix:/path" */
    unsigned unix_mode;          /* 0600 or 0660 for unix sockets */
    struct hf_tls *tls;          /* NULL: plain; borrowed */
    uint64_t idle_timeout_ms;    /* between requests; 0: 75 s */
    uint64_t request_timeout_ms; /* from first byte of a request (or accept) to its end; 0: 20 s */
    size_t max_unsent_bytes;     /* a reader slower than this is cut; 0: 32 MiB */
};

/* Binds before hf_net_start. HF_UNAVAILABLE names address and reason. */
HF_STATUS hf_net_listen(struct hf_net *net, struct hf_op *op,
                        const struct hf_listener_settings *settings,
                        const struct hf_protocol *protocol);
/* The port a listener got, for ":0"; 0 for unix sockets and unknown names. */
uint16_t hf_net_port(const struct hf_net *net, const char *listener_name);

/* Limits that may change at any time; zeroes mean the defaults, as above. */
struct hf_listener_limits {
    uint64_t idle_timeout_ms;
    uint64_t request_timeout_ms;
};
/* For timers that start from now on. A name that is not there is our own mistake. */
void hf_net_limit_listener(struct hf_net *net, const char *name,
                           const struct hf_listener_limits *limits);
/*
 * Connections above a lower limit live on. It is lowered to what the process's limit on open files
 * leaves. A unix socket takes a few more, so that a flood does not lock out the administrator.
 */
void hf_net_limit_connections(struct hf_net *net, size_t max_connections);

/* Starts the loops and workers. */
HF_STATUS hf_net_start(struct hf_net *net, struct hf_op *op);
/* Stops accepting, closes idle connections, lets requests under way end until the limit, then
 * closes everything and joins the threads. Idempotent. */
void hf_net_drain(struct hf_net *net, uint64_t limit_ms);
void hf_net_free(struct hf_net *net);
HF_DEFINE_CLEANUP(net)

/*
 * The bytes for the peer that are held until the end of the turn, to append len more or fewer to;
 * NULL when the peer gets no more.
 */
struct hf_buf *hf_conn_room(struct hf_conn *conn, size_t len);
/* Appends them there. */
void hf_conn_write(struct hf_conn *conn, struct hf_bytes bytes);
/* Close once everything written has left (lingering for a moment, so that the peer reads it). */
void hf_conn_close(struct hf_conn *conn);
/* The request timer runs while a request is under way; idle otherwise. */
void hf_conn_set_busy(struct hf_conn *conn, bool is_mid_request);
/* The server is being stopped: answer what is under way and say that the connection will close. */
bool hf_conn_is_draining(const struct hf_conn *conn);
/*
 * Asks the kernel whether the peer is still there: neither reset nor closed its side. For the few
 * answers where somebody must know; costs a system call.
 */
bool hf_conn_is_alive(const struct hf_conn *conn);
unsigned hf_conn_lane(const struct hf_conn *conn);
struct hf_env *hf_conn_env(const struct hf_conn *conn);
const char *hf_conn_listener(const struct hf_conn *conn);
/* "127.0.0.1:40000" or "unix". */
const char *hf_conn_peer_address(const struct hf_conn *conn);
bool hf_conn_is_loopback(const struct hf_conn *conn);
bool hf_conn_is_tls(const struct hf_conn *conn);
/* The verified client certificate (tls/tls.h); computed once per connection, then kept. */
HF_STATUS hf_conn_peer_certificate(struct hf_conn *conn, struct hf_op *op, const char **out_name,
                                   const char **out_fingerprint);
/* SO_PEERCRED of a unix socket; HF_UNAUTHENTICATED on others. */
HF_STATUS hf_conn_peer_user(struct hf_conn *conn, struct hf_op *op, uint32_t *out_uid,
                            uint32_t *out_gid);

/*
 * Run work on a worker lane, then done on the connection's loop. When the connection has gone
 * meanwhile, done is called with conn NULL (state may be gone too), on the loop all the same, so
 * that data is freed there. Reading of the connection is paused until done. HF_LIMITED when the
 * queue is full. One piece of work per connection at a time. Work that has not begun when the limit
 * of a drain is over is not begun: done is called with conn NULL.
 */
HF_STATUS hf_conn_submit(struct hf_conn *conn, struct hf_op *op,
                         void (*work)(void *data, unsigned lane),
                         void (*done)(void *data, struct hf_conn *conn), void *data);

/* Connections open now, for status. */
size_t hf_net_connections(const struct hf_net *net);
