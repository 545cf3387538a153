/*
 * A server for tests with two doors, whose handlers do what their path says, and counters and a
 * gate as in tests/unit/net/line_server.h.
 *
 * Threads: the test's thread calls.
 */
#pragma once

#include <pthread.h>

#include "base/metrics.h"
#include "client.h"
#include "gate.h"
#include "http/door.h"

enum door_count {
    DOOR_KEPT,      /* objects tied to an exchange */
    DOOR_FREED,     /* of them */
    DOOR_WRITTEN,   /* replies told as written */
    DOOR_UNWRITTEN, /* and as not written */
    DOOR_WAITING,   /* handlers that have come to the gate */
    DOOR_RUNS,      /* of the handler that wants to run later */
    DOOR_COUNTS,
};

struct door_server {
    struct hf_env env;
    struct hf_op op;
    struct hf_net *net;
    struct hf_http_served served;
    struct hf_http_listener listener;
    struct hf_http_room room; /* max_bytes 0 before the start: as much as the daemon's */
    struct hf_door doors[2];
    const struct hf_door *list[3];
    uint16_t port;
    struct test_gate gate;
};

/* Starts with the gate open. deadline_ms 0: the default. */
void door_server_start(struct door_server *server, const struct hf_net_settings *net_settings,
                       const struct hf_listener_settings *listener_settings, uint64_t deadline_ms);
void door_server_stop(struct door_server *server, uint64_t limit_ms);
