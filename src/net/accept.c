/* Accepting: as many as the limits allow; the rest waits in the kernel's backlog. */
#include "net/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

/* So that a flood of connections does not starve those that exist. */
#define MAX_PER_TURN 64

/* At a limit every closed connection lets one in and the next one waits: say so now and then. */
#define WARN_EVERY_MS 10000

/* Over a unix socket come administrators and health checks: a flood from outside leaves them room.
 */
#define KEPT_FOR_UNIX 16

enum accepted { ACCEPTED, NONE_READY, HELD };

static size_t limit_of(const struct hf_port *port)
{
    size_t limit = atomic_load(&port->loop->net->max_connections);

    return port->listener->unix_path != NULL ? limit + KEPT_FOR_UNIX : limit;
}

static bool may_accept(const struct hf_port *port)
{
    return atomic_load(&port->loop->net->open) < limit_of(port) &&
           (port->listener->tls == NULL ||
            port->loop->handshakes < port->loop->net->settings.max_new_handshakes);
}

/* Counts the connection before it exists, so that loops together never pass the limit. */
static bool reserve(const struct hf_port *port)
{
    struct hf_net *net = port->loop->net;
    size_t open = atomic_load(&net->open);

    while (open < limit_of(port)) {
        if (atomic_compare_exchange_weak(&net->open, &open, open + 1)) {
            return true;
        }
    }
    return false;
}

static void stop_accepting(struct hf_port *port, const char *why)
{
    struct hf_loop *loop = port->loop;
    uint64_t now = hf_loop_now(loop);

    if (port->is_held) {
        return;
    }
    port->is_held = true;
    (void)event_del(port->event);
    hf_metric_add(loop->net->held_back, 1);
    if (loop->warn_again_ms <= now) {
        loop->warn_again_ms = now + WARN_EVERY_MS;
        HF_WARNING(loop->net->env,
                   "%s: new connections are held back, because %s: %zu are open, %zu shake hands",
                   port->listener->name, why, atomic_load(&loop->net->open), loop->handshakes);
    }
}

static void hold(struct hf_port *port)
{
    stop_accepting(port, "a limit is reached");
    /* Then look once more: the last connection may have closed before it could see the flag. */
    atomic_store(&port->loop->net->is_held, true);
    if (may_accept(port)) {
        hf_loop_wake(port->loop);
    }
}

/* What concerns this one client only: the next may be accepted. */
static bool is_of_the_client(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM;
}

static enum accepted accept_one(struct hf_port *port)
{
    struct hf_net *net = port->loop->net;
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof address;
    int fd;

    if (!may_accept(port) || !reserve(port)) {
        hold(port);
        return HELD;
    }
    fd = accept4(port->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        hf_metric_add(port->listener->accepted, 1);
        hf_conn_accept(port->loop, port->listener, fd, &address);
        return ACCEPTED;
    }
    atomic_fetch_sub(&net->open, 1);
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* The next tick tries again; without a pause the loop would spin on the ready socket. */
        stop_accepting(port, strerror(errno));
        return HELD;
    }
    return is_of_the_client(errno) ? ACCEPTED : NONE_READY;
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct hf_port *port = context;
    enum accepted result = ACCEPTED;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < MAX_PER_TURN && result == ACCEPTED; i++) {
        result = accept_one(port);
    }
}

struct hf_status hf_port_new(struct hf_op *op, struct hf_loop *loop, struct hf_listener *listener)
{
    struct hf_port *port = hf_alloc(sizeof *port);

    port->loop = loop;
    port->listener = listener;
    port->fd = listener->fds[loop->lane];
    listener->fds[loop->lane] = -1;
    port->event = event_new(loop->base, port->fd, EV_READ | EV_PERSIST, on_ready, port);
    port->next = loop->ports;
    loop->ports = port;
    if (port->event == NULL || event_add(port->event, NULL) != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot watch the socket of %s", listener->address);
    }
    return HF_SUCCESS;
}

void hf_port_empty(struct hf_port *port)
{
    while (accept_one(port) == ACCEPTED) {
    }
}

void hf_port_close(struct hf_port *port)
{
    if (port->event != NULL) {
        event_free(port->event);
    }
    (void)close(port->fd);
    free(port);
}

void hf_ports_resume(struct hf_loop *loop)
{
    for (struct hf_port *port = loop->ports; port != NULL; port = port->next) {
        if (port->is_held && may_accept(port)) {
            port->is_held = false;
            (void)event_add(port->event, NULL);
        }
    }
}
