/* /health/live, /health/ready and /health/metrics: for load balancers and Prometheus, without a
 * caller. */
#include "base/metrics.h"
#include "cluster/cluster.h"
#include "daemon/node_internal.h"

static void put_plain(struct hf_reply *reply, int status, const char *text)
{
    reply->status = status;
    reply->content_type = "text/plain; charset=utf-8";
    hf_buf_add_text(&reply->body, text);
    hf_buf_add_text(&reply->body, "\n");
}

static struct hf_status live(struct hf_op *op, struct hf_exchange *exchange,
                             const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)exchange;
    (void)request;
    put_plain(reply, 200, "live");
    return HF_SUCCESS;
}

/* Green only if this node opens a canary of every keyring now. The reason is in the log. */
static struct hf_status ready(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_node *node = hf_exchange_context(exchange);
    struct hf_status status = hf_service_ready(node->service, op);

    (void)request;
    if (status.code == HF_LATER) {
        return status;
    }
    if (status.code != HF_OK) {
        HF_WARNING(node->env, "not ready: %s", op->text);
        put_plain(reply, 503, "not ready");
    } else {
        put_plain(reply, 200, "ready");
    }
    return HF_SUCCESS;
}

static void count_memory(struct hf_node *node)
{
    size_t used;
    size_t max;

    hf_secret_usage(&used, &max);
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE, "holdfast_secret_bytes",
                                    NULL, "Locked memory in use."),
                  (int64_t)used);
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE,
                                    "holdfast_secret_bytes_max", NULL, "Locked memory allowed."),
                  (int64_t)max);
}

/* Nothing for a store that is this node's alone. */
static void count_lease(struct hf_node *node)
{
    struct hf_cluster *cluster = hf_peers_cluster(node->peers);
    struct hf_cluster_view view;

    if (cluster == NULL) {
        return;
    }
    hf_cluster_look(cluster, &view, NULL, NULL);
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE, "holdfast_lease", NULL,
                                    "1 while this node holds a lease."),
                  view.lease != 0 ? 1 : 0);
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE, "holdfast_stale_seconds",
                                    NULL, "Since this node last knew every change; -1: not known."),
                  view.stale_ms == UINT64_MAX ? -1 : (int64_t)(view.stale_ms / 1000));
    /* Not what the others were told: they are told nothing while the store is away. */
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE, "holdfast_applied_seq",
                                    NULL, "The last commit of the store that is in use here."),
                  (int64_t)hf_seal_seq(node->seal));
}

/* Written anew each time: an item that is told no more must not keep its last light. */
static void put_item(void *context, const struct hf_status_item *item)
{
    hf_buf_add_format(context, "holdfast_status{item=\"%s\"} %d\n", item->name, (int)item->light);
}

static void put_status(struct hf_node *node, struct hf_buf *out)
{
    hf_buf_add_text(out, "# HELP holdfast_status 0 green, 1 amber, 2 red.\n"
                         "# TYPE holdfast_status gauge\n");
    hf_node_status(node, put_item, out);
}

static struct hf_status metrics(struct hf_op *op, struct hf_exchange *exchange,
                                const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_node *node = hf_exchange_context(exchange);

    (void)op;
    (void)request;
    count_memory(node);
    count_lease(node);
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE, "holdfast_unlocked", NULL,
                                    "1 while the root key is open."),
                  hf_seal_is_unlocked(node->seal) ? 1 : 0);
    hf_metric_set(hf_metrics_series(node->env->metrics, HF_METRIC_GAUGE,
                                    "holdfast_http_buffered_bytes", NULL,
                                    "What requests that are not answered hold."),
                  (int64_t)atomic_load(&node->room.used_bytes));
    reply->status = 200;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    hf_metrics_write(node->env->metrics, &reply->body);
    put_status(node, &reply->body);
    return HF_SUCCESS;
}

static const struct hf_route routes[] = {
    { HF_GET, "/health/live", 0, HF_INLINE, live },
    { HF_GET, "/health/ready", 0, HF_WORKER, ready },
    { HF_GET, "/health/metrics", 0, HF_WORKER, metrics },
    { 0 },
};

static void fail(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                 const struct hf_request *request, struct hf_reply *reply)
{
    (void)op;
    (void)exchange;
    (void)request;
    put_plain(reply, status.code == HF_NOT_FOUND ? 404 : 503, hf_code_sentence(status.code));
}

void hf_node_make_health(struct hf_node *node)
{
    node->health = (struct hf_door){
        .name = "health",
        .prefix = "/health/",
        .routes = routes,
        .context = node,
        .fail = fail,
    };
}
