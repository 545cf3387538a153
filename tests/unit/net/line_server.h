/*
 * A server for tests that speaks lines, with counters that tests wait on and a gate that holds its
 * workers.
 *
 * Commands, one a line: "echo X" answers X; "work X" answers X from a worker, once the gate is
 * open; "hold" keeps its loop until the gate is open; "big N" answers N bytes; "bye" answers bye
 * and closes; "who" tells what is known of the peer. While the server stops, answers begin with
 * "last " and the connection is closed behind them.
 *
 * Threads: the test's thread calls; counters are the loops' and workers' to change.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "certificates.h"
#include "client.h"
#include "gate.h"
#include "net/net.h"

enum test_count {
    TEST_OPENED,
    TEST_CLOSED,
    TEST_WRITTEN,
    TEST_BEGUN,   /* pieces of work that a worker runs or ran, and holds */
    TEST_DONE,    /* of them, or of those never begun: given back with a connection */
    TEST_ORPHANS, /* given back without one */
    TEST_LIMITED, /* refused by hf_conn_submit() */
    TEST_TURNS,
    TEST_COUNTS,
};

struct line_server {
    struct hf_env env;
    struct hf_op op;
    struct hf_net *net;
    struct hf_tls *tls;
    struct test_authority *authority;
    uint16_t port;
    bool refuses;                /* open() answers NULL */
    atomic_bool forgets;         /* the turn hook says that answers could not be recorded */
    struct test_client *watched; /* the turn hook looks whether bytes reached it too early */
    bool is_answered;            /* in this turn, whose hook has not run yet */
    bool saw_early_bytes;
    unsigned last_lane;    /* of the worker seen last */
    unsigned max_lane;     /* of workers seen */
    struct test_gate gate; /* its lock guards the lanes and what the hook looks at, too */
};

struct line_settings {
    struct hf_net_settings net;
    struct hf_listener_settings listener; /* name and address have defaults */
    bool is_tls;
    enum hf_tls_clients clients;
    struct hf_log *log;         /* NULL: nothing is logged */
    struct hf_metrics *metrics; /* NULL: nothing is counted */
};

/* Starts; the gate is open. */
void line_server_start(struct line_server *server, const struct line_settings *settings);
/* The authority's files of now, for new connections; no client certificates are asked for. */
void line_server_reload_tls(struct line_server *server);
/* Drains with that limit, frees, and checks that every connection opened was closed. */
void line_server_stop(struct line_server *server, uint64_t limit_ms);

/* Waits for a time on the boottime clock, turn by turn: the loops must make turns (ticks do). */
void line_server_wait_until(struct line_server *server, uint64_t boottime_ms);
