/*
 * Doors on connections: the HTTP layer bound to the network. A listener serves one or more doors,
 * told apart by the beginning of the path.
 *
 * A request goes: parse, find the door, admit (who calls), find the route, handle, reply. An
 * INLINE handler that answers HF_LATER is run again on a worker from the start. Requests of one
 * connection are answered in order, one at a time.
 *
 * Threads: handlers run on loop or worker threads; an exchange belongs to one thread at a time.
 */
#pragma once

#include <stdatomic.h>

#include "http/http.h"
#include "net/net.h"

struct hf_exchange;

struct hf_door {
    const char *name;   /* "hadoop", "admin": for log and metrics */
    const char *prefix; /* "/kms/", "/api/v1/", "/health" */
    const struct hf_route *routes;
    void *context;
    /*
     * Says who calls: sets op->caller (kept alive with hf_exchange_keep()), on the loop thread, for
     * every request before its route is looked at. A door that answers by itself (a handshake)
     * fills the reply and sets *out_answered. NULL: nobody is asked.
     */
    struct hf_status (*admit)(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply,
                              bool *out_answered);
    /*
     * Puts a failure into the protocol's own form. Also called with HF_NOT_FOUND for a path without
     * a route, HF_UNSUPPORTED for a method a path does not have, HF_TOO_LARGE for a body above the
     * route's limit, HF_UNAVAILABLE for a body that found no room (its status is 503 then, whatever
     * the door puts), HF_LIMITED when the workers' queue is full. reply is empty when it comes.
     */
    void (*fail)(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                 const struct hf_request *request, struct hf_reply *reply);
    uint64_t deadline_ms; /* of one operation; 0: 30 s */
};

struct hf_http_served {
    struct hf_http_limits limits;       /* of connections that come */
    const struct hf_door *const *doors; /* NULL-terminated; the first prefix that matches wins */
};
struct hf_http_listener {
    /* May be replaced at any time: each request looks anew, and those under way keep the old one.
     */
    const struct hf_http_served *_Atomic served;
};

/*
 * The protocol to hand to hf_net_listen(); the listener and all it has served must outlive the net.
 * Counts requests per door and status class in the metrics of the net's environment.
 */
struct hf_protocol hf_http_protocol(const struct hf_http_listener *listener);

void *hf_exchange_context(const struct hf_exchange *exchange); /* the door's */
/*
 * The connection, for its peer and address (net/net.h); only from admit, or on a loop lane. On a
 * worker use what admit kept.
 */
struct hf_conn *hf_exchange_conn(const struct hf_exchange *exchange);
const char *hf_exchange_peer_address(const struct hf_exchange *exchange);
/* Ties an object to the exchange; it is freed after the reply. */
void hf_exchange_keep(struct hf_exchange *exchange, void *object, void (*free_object)(void *));
/*
 * Told once, on the loop, whether the whole reply was handed to the kernel of a live socket
 * (true), or the connection ended before that (false). One callback per exchange.
 */
void hf_exchange_on_end(struct hf_exchange *exchange, void (*ended)(void *context, bool written),
                        void *context);
