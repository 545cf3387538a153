/* The network as a whole: settings, listeners, start and stop. */
#include "net/net.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "net/internal.h"

#define DEFAULT_WORKERS            32
#define DEFAULT_QUEUE              4096
#define DEFAULT_CONNECTIONS        20000
#define DEFAULT_HANDSHAKES         256
#define DEFAULT_IDLE_TIMEOUT_MS    75000
#define DEFAULT_REQUEST_TIMEOUT_MS 20000
#define DEFAULT_UNSENT_BYTES       (32 * 1024 * 1024)
/* Descriptors that connections leave to databases, files, listeners, and callers at the socket. */
#define KEPT_DESCRIPTORS 96

static unsigned count_processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    return (unsigned)CPU_COUNT(&set);
}

static size_t or_default(size_t value, size_t absent)
{
    return value != 0 ? value : absent;
}

/* As many as leave the process descriptors to work with; under a very low limit, half. */
static size_t most_connections(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
        return SIZE_MAX;
    }
    return files.rlim_cur > 2 * KEPT_DESCRIPTORS ? (size_t)files.rlim_cur - KEPT_DESCRIPTORS
                                                 : (size_t)files.rlim_cur / 2;
}

void hf_net_limit_connections(struct hf_net *net, size_t max_connections)
{
    size_t wanted = or_default(max_connections, DEFAULT_CONNECTIONS);
    size_t most = most_connections();

    if (wanted > most) {
        HF_WARNING(net->env, "the limit on open files allows %zu connections, not %zu", most,
                   wanted);
    }
    atomic_store(&net->max_connections, wanted < most ? wanted : most);
}

static void set_limits(struct hf_listener *listener, const struct hf_listener_limits *limits)
{
    atomic_store(&listener->idle_timeout_ms,
                 or_default(limits->idle_timeout_ms, DEFAULT_IDLE_TIMEOUT_MS));
    atomic_store(&listener->request_timeout_ms,
                 or_default(limits->request_timeout_ms, DEFAULT_REQUEST_TIMEOUT_MS));
}

static void take_settings(struct hf_net *net, const struct hf_net_settings *settings)
{
    net->settings = (struct hf_net_settings){
        .loops = settings->loops != 0 ? settings->loops : count_processors(),
        .workers = settings->workers != 0 ? settings->workers : DEFAULT_WORKERS,
        .max_queue = or_default(settings->max_queue, DEFAULT_QUEUE),
        .max_new_handshakes = or_default(settings->max_new_handshakes, DEFAULT_HANDSHAKES),
    };
    hf_net_limit_connections(net, settings->max_connections);
}

struct hf_status hf_net_new(struct hf_op *op, struct hf_env *env,
                            const struct hf_net_settings *settings, struct hf_net **out)
{
    HF_AUTO(net) net = hf_alloc(sizeof *net);

    hf_net_own_memory();
    /* A peer that has gone is an error of write(), not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    net->env = env;
    take_settings(net, settings);
    (void)pthread_mutex_init(&net->lock, NULL);
    hf_workers_init(&net->workers, &net->settings, net->settings.loops);
    net->connections = hf_metrics_series(env->metrics, HF_METRIC_GAUGE, "holdfast_connections",
                                         NULL, "Connections that are open now.");
    net->buffered =
        hf_metrics_series(env->metrics, HF_METRIC_GAUGE, "holdfast_connections_buffered", NULL,
                          "Connections for which TLS keeps 33 KiB of buffers now.");
    net->held_back =
        hf_metrics_series(env->metrics, HF_METRIC_COUNTER, "holdfast_accept_held_total", NULL,
                          "How often new connections had to wait for a limit.");
    net->loops = hf_alloc_array(net->settings.loops, sizeof *net->loops);
    for (unsigned i = 0; i < net->settings.loops; i++) {
        HF_TRY(hf_loop_init(&net->loops[i], op, net, i));
    }
    *out = HF_TAKE(net);
    return HF_SUCCESS;
}

unsigned hf_net_lanes(const struct hf_net *net)
{
    return net->settings.loops + net->settings.workers;
}

unsigned hf_net_loops(const struct hf_net *net)
{
    return net->settings.loops;
}

void hf_net_on_turn(struct hf_net *net, hf_turn_hook hook, void *context)
{
    hf_assert(net->stage == HF_NET_NEW);
    net->hook = hook;
    net->hook_context = context;
}

static struct hf_metric *listener_counter(const struct hf_net *net, const char *listener,
                                          const char *name, const char *help)
{
    HF_AUTO_STRING labels = hf_format("listener=\"%s\"", listener);

    return hf_metrics_series(net->env->metrics, HF_METRIC_COUNTER, name, labels, help);
}

static void add_metrics(const struct hf_net *net, struct hf_listener *listener)
{
    listener->accepted = listener_counter(
        net, listener->name, "holdfast_connections_accepted_total", "Connections accepted.");
    listener->failed_handshakes =
        listener_counter(net, listener->name, "holdfast_tls_handshake_failures_total",
                         "Connections that ended before their TLS handshake did.");
    listener->timeouts = listener_counter(net, listener->name, "holdfast_connections_cut_total",
                                          "Connections cut for being too slow.");
}

static void free_listener(struct hf_listener *listener, unsigned loops)
{
    hf_address_unbind(listener, loops);
    free(listener->fds);
    free(listener->name);
    free(listener->address);
    free(listener->unix_path);
    free(listener);
}

struct hf_status hf_net_listen(struct hf_net *net, struct hf_op *op,
                               const struct hf_listener_settings *settings,
                               const struct hf_protocol *protocol)
{
    struct hf_listener *listener = hf_alloc(sizeof *listener);
    struct hf_status status;

    hf_assert(net->stage == HF_NET_NEW);
    listener->name = hf_strdup(settings->name);
    listener->address = hf_strdup(settings->address);
    listener->tls = settings->tls;
    listener->protocol = *protocol;
    set_limits(listener, &(struct hf_listener_limits){ settings->idle_timeout_ms,
                                                       settings->request_timeout_ms });
    listener->max_unsent_bytes = or_default(settings->max_unsent_bytes, DEFAULT_UNSENT_BYTES);
    status = hf_address_bind(op, listener, settings->unix_mode, net->settings.loops);
    if (status.code != HF_OK) {
        free_listener(listener, net->settings.loops);
        return status;
    }
    add_metrics(net, listener);
    listener->next = net->listeners;
    net->listeners = listener;
    return HF_SUCCESS;
}

static struct hf_listener *find_listener(const struct hf_net *net, const char *name)
{
    struct hf_listener *one = net->listeners;

    while (one != NULL && strcmp(one->name, name) != 0) {
        one = one->next;
    }
    return one;
}

uint16_t hf_net_port(const struct hf_net *net, const char *listener_name)
{
    const struct hf_listener *listener = find_listener(net, listener_name);

    return listener != NULL ? listener->port : 0;
}

void hf_net_limit_listener(struct hf_net *net, const char *name,
                           const struct hf_listener_limits *limits)
{
    struct hf_listener *listener = find_listener(net, name);

    hf_assert(listener != NULL);
    set_limits(listener, limits);
}

static struct hf_status start_threads(struct hf_net *net, struct hf_op *op)
{
    HF_TRY(hf_workers_start(&net->workers, op));
    for (unsigned i = 0; i < net->settings.loops; i++) {
        HF_TRY(hf_loop_start(&net->loops[i], op));
    }
    return HF_SUCCESS;
}

/* With the lock held: stops what was started, all of it or a part. */
static void stop(struct hf_net *net, uint64_t limit_ms)
{
    atomic_store(&net->drain_until_ms, hf_env_boottime_ms(net->env) + limit_ms);
    atomic_store(&net->is_draining, true);
    for (unsigned i = 0; i < net->settings.loops; i++) {
        if (net->loops[i].is_started) {
            hf_loop_wake(&net->loops[i]);
        }
    }
    for (unsigned i = 0; i < net->settings.loops; i++) {
        if (net->loops[i].is_started) {
            (void)pthread_join(net->loops[i].thread, NULL);
            net->loops[i].is_started = false;
        }
    }
    hf_workers_stop(&net->workers);
    net->stage = HF_NET_STOPPED;
}

struct hf_status hf_net_start(struct hf_net *net, struct hf_op *op)
{
    struct hf_status status;

    (void)pthread_mutex_lock(&net->lock);
    hf_assert(net->stage == HF_NET_NEW);
    net->stage = HF_NET_RUNNING;
    status = start_threads(net, op);
    if (status.code != HF_OK) {
        stop(net, 0);
    }
    (void)pthread_mutex_unlock(&net->lock);
    return status;
}

void hf_net_drain(struct hf_net *net, uint64_t limit_ms)
{
    (void)pthread_mutex_lock(&net->lock);
    if (net->stage == HF_NET_RUNNING) {
        stop(net, limit_ms);
    }
    for (struct hf_listener *one = net->listeners; one != NULL; one = one->next) {
        hf_address_unbind(one, net->settings.loops);
    }
    net->stage = HF_NET_STOPPED;
    (void)pthread_mutex_unlock(&net->lock);
}

void hf_net_free(struct hf_net *net)
{
    if (net == NULL) {
        return;
    }
    hf_net_drain(net, 0);
    for (unsigned i = 0; net->loops != NULL && i < net->settings.loops; i++) {
        hf_loop_done(&net->loops[i]);
    }
    while (net->listeners != NULL) {
        struct hf_listener *listener = net->listeners;

        net->listeners = listener->next;
        free_listener(listener, net->settings.loops);
    }
    hf_workers_done(&net->workers);
    (void)pthread_mutex_destroy(&net->lock);
    free(net->loops);
    free(net);
}

size_t hf_net_connections(const struct hf_net *net)
{
    return atomic_load(&net->open);
}
