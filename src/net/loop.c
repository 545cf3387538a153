/* One event loop: its turns, its clock, and what other threads hand to it. */
#include "net/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

/* How often timers are looked at: a quarter of the shortest, within these bounds. */
#define MIN_TICK_MS   5
#define MAX_TICK_MS   500
#define DRAIN_TICK_MS 10
/* A client that is at work sends its next request within this time and learns that we close. */
#define DRAIN_GRACE_MS 500

uint64_t hf_loop_now(struct hf_loop *loop)
{
    if (loop->now_ms == 0) {
        loop->now_ms = hf_env_boottime_ms(loop->net->env);
    }
    return loop->now_ms;
}

void hf_loop_wake(struct hf_loop *loop)
{
    uint64_t one = 1;

    /* A full counter wakes as well, so there is nothing to check. */
    (void)!write(loop->wake_fd, &one, sizeof one);
}

void hf_loop_complete(struct hf_loop *loop, struct hf_work *work)
{
    bool was_empty;

    (void)pthread_mutex_lock(&loop->lock);
    was_empty = loop->completed == NULL;
    *loop->completed_tail = work;
    loop->completed_tail = &work->next;
    (void)pthread_mutex_unlock(&loop->lock);
    if (was_empty) {
        hf_loop_wake(loop);
    }
}

struct hf_buf *hf_loop_take_buffer(struct hf_loop *loop)
{
    return loop->spare_count > 0 ? loop->spare[--loop->spare_count] : hf_buf_new();
}

void hf_loop_give_buffer(struct hf_loop *loop, struct hf_buf *buffer)
{
    if (loop->spare_count == HF_SPARE_BUFFERS || buffer->capacity > HF_SPARE_MAX_BYTES) {
        hf_buf_free(buffer);
        return;
    }
    hf_buf_clear(buffer);
    loop->spare[loop->spare_count++] = buffer;
}

static void finish(struct hf_loop *loop, struct hf_work *work)
{
    struct hf_conn *conn = work->conn;

    loop->work_under_way--;
    if (conn != NULL) {
        conn->work = NULL;
        if (!work->was_run) {
            hf_conn_cut(conn);
            conn = NULL;
        }
    }
    work->done(work->data, conn);
    free(work);
    if (conn != NULL) {
        hf_conn_resume(conn);
    }
}

static void finish_all(struct hf_loop *loop)
{
    struct hf_work *work = NULL;

    (void)pthread_mutex_lock(&loop->lock);
    work = loop->completed;
    loop->completed = NULL;
    loop->completed_tail = &loop->completed;
    (void)pthread_mutex_unlock(&loop->lock);
    while (work != NULL) {
        struct hf_work *next = work->next;

        finish(loop, work);
        work = next;
    }
}

static void set_tick(struct hf_loop *loop, uint64_t ms)
{
    struct timeval interval = { .tv_sec = (time_t)(ms / 1000),
                                .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    (void)event_add(loop->tick_event, &interval);
}

static void begin_drain(struct hf_loop *loop)
{
    uint64_t now = hf_loop_now(loop);
    uint64_t until = atomic_load(&loop->net->drain_until_ms);
    uint64_t grace = until > now ? (until - now) / 4 : 0;

    loop->is_draining = true;
    loop->drain_quiet_ms = now + (grace < DRAIN_GRACE_MS ? grace : DRAIN_GRACE_MS);
    while (loop->ports != NULL) {
        struct hf_port *port = loop->ports;

        loop->ports = port->next;
        hf_port_empty(port);
        hf_port_close(port);
    }
    set_tick(loop, DRAIN_TICK_MS);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct hf_loop *loop = context;
    uint64_t count;

    (void)what;
    (void)!read(fd, &count, sizeof count);
    finish_all(loop);
    if (!loop->is_draining && atomic_load(&loop->net->is_draining)) {
        begin_drain(loop);
    }
    hf_ports_resume(loop);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct hf_loop *loop = context;
    bool is_over =
        loop->is_draining && hf_loop_now(loop) >= atomic_load(&loop->net->drain_until_ms);

    (void)fd;
    (void)what;
    for (struct hf_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
        if (is_over) {
            hf_conn_cut(conn);
        } else {
            hf_conn_check(conn);
        }
    }
    if (is_over) {
        hf_workers_abandon(&loop->net->workers);
    }
    hf_ports_resume(loop);
}

/* The audit trail is written by the hook; only then may answers leave. */
static void end_turn(struct hf_loop *loop)
{
    bool may_answer =
        loop->net->hook == NULL || loop->net->hook(loop->net->hook_context, loop->lane);
    struct hf_conn *conn = loop->touched;

    loop->touched = NULL;
    while (conn != NULL) {
        struct hf_conn *next = conn->next_touched;

        conn->is_touched = false;
        if (!may_answer) {
            hf_conn_drop_answers(conn);
        }
        hf_conn_settle(conn);
        conn = next;
    }
    loop->now_ms = 0;
}

static bool is_finished(const struct hf_loop *loop)
{
    return loop->is_draining && loop->conns == NULL && loop->work_under_way == 0;
}

static void *run(void *context)
{
    struct hf_loop *loop = context;

    while (!is_finished(loop)) {
        int flags = EVLOOP_ONCE;

        /* The end of the turn itself left something to do: do not wait for the network. */
        if (loop->touched != NULL) {
            flags |= EVLOOP_NONBLOCK;
        }
        hf_assert(event_base_loop(loop->base, flags) >= 0);
        end_turn(loop);
    }
    return NULL;
}

static uint64_t tick_ms(const struct hf_net *net)
{
    uint64_t shortest = UINT64_MAX;

    for (const struct hf_listener *one = net->listeners; one != NULL; one = one->next) {
        shortest = one->idle_timeout_ms < shortest ? one->idle_timeout_ms : shortest;
        shortest = one->request_timeout_ms < shortest ? one->request_timeout_ms : shortest;
    }
    shortest /= 4;
    if (shortest < MIN_TICK_MS) {
        return MIN_TICK_MS;
    }
    return shortest > MAX_TICK_MS ? MAX_TICK_MS : shortest;
}

/*
 * With the changelist a socket that was closed is taken off the set a moment later. Its number may
 * be another file's by then, which is not in the set, so nothing happens; ThreadSanitizer takes the
 * number for the file and reports a race, so there each change is made at once.
 */
#ifdef __SANITIZE_THREAD__
#define BASE_FLAG EVENT_BASE_FLAG_NO_CACHE_TIME
#else
#define BASE_FLAG EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST
#endif

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config != NULL) {
        /* The changelist is safe because no socket of ours is ever duplicated. */
        if (event_config_set_flag(config, BASE_FLAG) == 0 &&
            event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0) {
            base = event_base_new_with_config(config);
        }
        event_config_free(config);
    }
    return base;
}

struct hf_status hf_loop_init(struct hf_loop *loop, struct hf_op *op, struct hf_net *net,
                              unsigned lane)
{
    loop->net = net;
    loop->lane = lane;
    loop->completed_tail = &loop->completed;
    (void)pthread_mutex_init(&loop->lock, NULL);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->base = new_base();
    if (loop->wake_fd < 0 || loop->base == NULL) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make an event loop: %s", strerror(errno));
    }
    loop->wake_event = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    loop->tick_event = event_new(loop->base, -1, EV_PERSIST, on_tick, loop);
    if (loop->wake_event == NULL || loop->tick_event == NULL ||
        event_add(loop->wake_event, NULL) != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make an event loop: no memory");
    }
    return HF_SUCCESS;
}

struct hf_status hf_loop_start(struct hf_loop *loop, struct hf_op *op)
{
    for (struct hf_listener *one = loop->net->listeners; one != NULL; one = one->next) {
        if (one->fds[loop->lane] >= 0) {
            HF_TRY(hf_port_new(op, loop, one));
        }
    }
    set_tick(loop, tick_ms(loop->net));
    HF_TRY(hf_thread_start(op, &loop->thread, "hf-loop", loop->lane, run, loop));
    loop->is_started = true;
    return HF_SUCCESS;
}

void hf_loop_done(struct hf_loop *loop)
{
    if (loop->net == NULL) {
        return;
    }
    hf_assert(loop->conns == NULL && loop->completed == NULL);
    while (loop->ports != NULL) {
        struct hf_port *port = loop->ports;

        loop->ports = port->next;
        hf_port_close(port);
    }
    if (loop->wake_event != NULL) {
        event_free(loop->wake_event);
    }
    if (loop->tick_event != NULL) {
        event_free(loop->tick_event);
    }
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    while (loop->spare_count > 0) {
        hf_buf_free(loop->spare[--loop->spare_count]);
    }
    (void)pthread_mutex_destroy(&loop->lock);
}
