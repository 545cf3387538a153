/*
 * What the files of the network share: loops, ports, connections and workers. Nothing outside this
 * folder includes it.
 *
 * Threads: a loop and everything that hangs on it belong to the loop's thread from hf_net_start()
 * on. Other threads reach a loop through its completed list and its eventfd only.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/metrics.h"
#include "net/net.h"

#define HF_PEER_ADDRESS_MAX 64
/* Buffers for held replies that a loop keeps for the next turn; larger ones are given back. */
#define HF_SPARE_BUFFERS   64
#define HF_SPARE_MAX_BYTES 16384
/* Connections of a loop that keep their TLS buffers (33 KiB) from one request to the next. */
#define HF_BUFFERED_CONNS 512

struct hf_loop;

/* One kind of service at one address. */
struct hf_listener {
    struct hf_listener *next;
    char *name;
    char *address;
    char *unix_path; /* NULL for TCP */
    struct hf_tls *tls;
    struct hf_protocol protocol;
    _Atomic uint64_t idle_timeout_ms;
    _Atomic uint64_t request_timeout_ms;
    size_t max_unsent_bytes;
    uint16_t port;
    dev_t unix_device; /* of the socket file we made, so that we unlink no other */
    ino_t unix_inode;
    int *fds; /* one per loop; -1 where a loop does not accept (unix sockets: loop 0 only) */
    struct hf_metric *accepted;
    struct hf_metric *failed_handshakes;
    struct hf_metric *timeouts;
};

/* A listener on one loop. */
struct hf_port {
    struct hf_port *next;
    struct hf_loop *loop;
    struct hf_listener *listener;
    struct event *event;
    int fd;
    bool is_held; /* accepting waits for a limit */
};

enum hf_conn_phase {
    HF_CONN_HANDSHAKE, /* TLS is not ready; the protocol knows nothing yet */
    HF_CONN_OPEN,
    HF_CONN_LINGER, /* all is written and shut down; what the peer still sends is thrown away */
};

struct hf_conn {
    struct hf_conn *next; /* all of the loop */
    struct hf_conn *previous;
    struct hf_conn *next_touched;
    struct hf_loop *loop;
    struct hf_listener *listener;
    struct bufferevent *bev; /* NULL while lingering */
    struct event *linger;    /* while lingering */
    SSL *ssl;
    int fd;
    enum hf_conn_phase phase;
    void *state;              /* of the protocol; NULL before open */
    struct hf_work *work;     /* under way, or NULL */
    struct hf_buf *held;      /* written in this turn; NULL: nothing */
    uint64_t deadline_ms;     /* idle or request, whichever runs now */
    uint64_t unsent_check_ms; /* when a slow reader is looked at next; 0: nothing is unsent */
    size_t unsent_then;       /* at the last look, plus what was added since */
    bool is_touched;          /* on the loop's list of this turn */
    bool is_busy;             /* a request is under way */
    bool is_unsent;           /* the protocol waits for written() */
    bool is_closing;          /* close once all is written */
    bool is_ended;            /* the peer is gone */
    bool is_cut;              /* we end it without sending what is left */
    bool is_reading_paused;
    bool has_buffers;     /* OpenSSL keeps a record's room each way for it */
    bool is_resting;      /* no byte went either way since the last tick */
    bool has_certificate; /* of the peer: what follows is filled in */
    bool is_loopback;
    char peer[HF_PEER_ADDRESS_MAX];
    struct hf_buf peer_name;
    struct hf_buf peer_fingerprint;
};

struct hf_loop {
    struct hf_net *net;
    unsigned lane;
    pthread_t thread;
    bool is_started; /* the main thread's to read and write */
    struct event_base *base;
    struct event *wake_event;
    struct event *tick_event;
    int wake_fd;
    struct hf_port *ports;
    struct hf_conn *conns;
    struct hf_conn *touched;
    size_t handshakes;
    size_t with_buffers; /* connections for which OpenSSL keeps room */
    size_t work_under_way;
    uint64_t warn_again_ms; /* when held back connections may be logged again */
    uint64_t now_ms;        /* of this turn; 0: not asked yet */
    struct hf_buf *spare[HF_SPARE_BUFFERS];
    size_t spare_count;
    bool is_draining;
    uint64_t drain_quiet_ms; /* connections between requests are closed from then on */

    pthread_mutex_t lock; /* guards completed */
    struct hf_work *completed;
    struct hf_work **completed_tail;
};

/* One piece of work for a worker; made and freed on its loop. */
struct hf_work {
    struct hf_work *next;
    struct hf_loop *loop;
    struct hf_conn *conn; /* the loop's to read and write; NULL once the connection is gone */
    void (*run)(void *data, unsigned lane);
    void (*done)(void *data, struct hf_conn *conn);
    void *data;
    bool was_run; /* written by the worker, read by the loop afterwards */
};

struct hf_worker {
    struct hf_workers *workers;
    pthread_t thread;
    pthread_cond_t wake;
    unsigned lane;
    bool is_idle; /* the pool's lock guards this and below */
    struct hf_worker *below;
};

struct hf_workers {
    pthread_mutex_t lock;   /* guards what follows */
    struct hf_worker *idle; /* the latest on top: what it needs is still in the caches */
    struct hf_work *first;
    struct hf_work **tail;
    size_t queued;
    size_t max_queued;
    bool is_stopping;
    bool is_abandoning; /* what has not begun is handed back unrun */
    unsigned started;
    unsigned count;
    struct hf_worker *all;
};

enum hf_net_stage { HF_NET_NEW, HF_NET_RUNNING, HF_NET_STOPPED };

struct hf_net {
    struct hf_env *env;
    struct hf_net_settings settings; /* zeroes replaced by defaults; max_connections: below */
    struct hf_loop *loops;
    struct hf_workers workers;
    struct hf_listener *listeners;
    hf_turn_hook hook;
    void *hook_context;
    pthread_mutex_t lock; /* guards stage: drain and free may come from several threads */
    enum hf_net_stage stage;
    atomic_size_t max_connections;
    atomic_size_t open;  /* connections of all loops */
    atomic_bool is_held; /* some loop holds back accept because of max_connections */
    atomic_bool is_draining;
    _Atomic uint64_t drain_until_ms; /* set before is_draining */
    struct hf_metric *connections;
    struct hf_metric *buffered;
    struct hf_metric *held_back;
};

/* memory.c: libevent's memory is wiped when freed; to be called before any other libevent call. */
void hf_net_own_memory(void);

/* address.c */
/* Makes the sockets of a listener, one per loop, bound and listening. */
HF_STATUS hf_address_bind(struct hf_op *op, struct hf_listener *listener, unsigned unix_mode,
                          unsigned loops);
/* Closes the sockets that no loop has taken over, and removes the socket file. */
void hf_address_unbind(struct hf_listener *listener, unsigned loops);
/* "127.0.0.1:40000" or "unix"; says whether the peer is on this machine. */
void hf_address_write(const struct sockaddr_storage *address, char out[HF_PEER_ADDRESS_MAX],
                      bool *out_is_loopback);

/* accept.c */
HF_STATUS hf_port_new(struct hf_op *op, struct hf_loop *loop, struct hf_listener *listener);
/* Accepts what the kernel holds ready: those clients are connected, closing would reset them. */
void hf_port_empty(struct hf_port *port);
void hf_port_close(struct hf_port *port);
/* Goes on accepting where a limit held it back and allows it now. */
void hf_ports_resume(struct hf_loop *loop);

/* conn.c */
/* Takes the socket over, also on failure. */
void hf_conn_accept(struct hf_loop *loop, struct hf_listener *listener, int fd,
                    const struct sockaddr_storage *address);
/* Puts the connection on the list that the end of the turn walks. */
void hf_conn_touch(struct hf_conn *conn);
/* End it at the end of this turn, whatever is unsent. */
void hf_conn_cut(struct hf_conn *conn);
/* What is held leaves no more, and the connection ends. */
void hf_conn_drop_answers(struct hf_conn *conn);
/* End of turn: send what is held, tell the protocol, close what is to be closed. */
void hf_conn_settle(struct hf_conn *conn);
/* After work: restarts the timer, reads on and hands over what has come meanwhile. */
void hf_conn_resume(struct hf_conn *conn);
/* The timers of one connection. */
void hf_conn_check(struct hf_conn *conn);

/* loop.c */
HF_STATUS hf_loop_init(struct hf_loop *loop, struct hf_op *op, struct hf_net *net, unsigned lane);
void hf_loop_done(struct hf_loop *loop);
HF_STATUS hf_loop_start(struct hf_loop *loop, struct hf_op *op);
/* The loop's boot time of this turn. */
uint64_t hf_loop_now(struct hf_loop *loop);
/* From any thread: makes the loop run a turn. */
void hf_loop_wake(struct hf_loop *loop);
/* From any thread: the work has been run, or is handed back unrun. */
void hf_loop_complete(struct hf_loop *loop, struct hf_work *work);
/* An empty buffer for held replies, and back. */
struct hf_buf *hf_loop_take_buffer(struct hf_loop *loop);
void hf_loop_give_buffer(struct hf_loop *loop, struct hf_buf *buffer);

/* workers.c */
void hf_workers_init(struct hf_workers *workers, const struct hf_net_settings *settings,
                     unsigned first_lane);
HF_STATUS hf_workers_start(struct hf_workers *workers, struct hf_op *op);
/* False when the queue is full. */
bool hf_workers_add(struct hf_workers *workers, struct hf_work *work);
/* What has not begun is handed back to its loop unrun, now and from now on. */
void hf_workers_abandon(struct hf_workers *workers);
/* Ends the threads once the queue is empty and waits for them. */
void hf_workers_stop(struct hf_workers *workers);
void hf_workers_done(struct hf_workers *workers);

/* Starts a thread that takes no signals; what names it in the process list. */
HF_STATUS hf_thread_start(struct hf_op *op, pthread_t *out, const char *what, unsigned number,
                          void *(*run)(void *), void *context);
