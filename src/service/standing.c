/*
 * What entitles this node to answer (promise P5): its lease, or for a while without one what the
 * keyring allows. A store that is this node's alone has no cluster, and asks nobody.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "service/internal.h"

#define MS_PER_S           1000
#define SERVE_STALE_MAX_MS ((uint64_t)30 * 24 * 3600 * MS_PER_S)

void hf_standing_limits(const struct hf_call *call, struct hf_op *op,
                        struct hf_keyring_settings *out)
{
    struct hf_keyring_info info;

    hf_keyring_settings_default(out);
    if (call->keyring == NULL) {
        return;
    }
    /* One that is not there is the operation's affair. */
    if (hf_keyring_get(call->service->keys, op, call->keyring, &info).code == HF_OK) {
        *out = info.settings;
    }
    hf_op_clear(op);
}

void hf_standing_count_stale(struct hf_op *op)
{
    hf_metric_add(hf_metrics_series(op->env->metrics, HF_METRIC_COUNTER,
                                    "holdfast_stale_calls_total", NULL,
                                    "Calls that were answered with the mark that another "
                                    "node may show something else: without a lease, mostly."),
                  1);
}

static struct hf_status serve_stale(const struct hf_call *call, struct hf_op *op,
                                    enum hf_nature nature)
{
    struct hf_keyring_settings limits;

    hf_standing_limits(call, op, &limits);
    HF_TRY(hf_cluster_may(call->service->cluster, op,
                          nature == HF_NATURE_WRAP ? HF_CLUSTER_WRAP : HF_CLUSTER_OPEN,
                          limits.max_stale_ms, limits.max_stale_wrap_ms, &op->standing));
    if (op->standing.stale) {
        hf_standing_count_stale(op);
    }
    return HF_SUCCESS;
}

bool hf_standing_is_leased(const struct hf_call *call, struct hf_op *op)
{
    struct hf_cluster *cluster = call->service->cluster;

    /* Of the calls of one answer each may have marked it. */
    op->standing = (struct hf_standing){ .ahead = op->standing.ahead };
    if (cluster == NULL || hf_nature_of(call->action) == HF_NATURE_OWN) {
        return true;
    }
    op->standing.lease = hf_cluster_lease(cluster);
    return op->standing.lease != 0;
}

struct hf_status hf_waiting_enter(struct hf_service *service, struct hf_op *op)
{
    if (atomic_fetch_add(&service->waiting, 1) < service->max_waiting ||
        service->max_waiting == 0) {
        return HF_SUCCESS;
    }
    hf_waiting_leave(service);
    return hf_fail(op, HF_UNAVAILABLE,
                   "%u changes wait already, for a lease of this node or for the same change; ask "
                   "again, or ask another node",
                   service->max_waiting);
}

void hf_waiting_leave(struct hf_service *service)
{
    atomic_fetch_sub(&service->waiting, 1);
}

static struct hf_status wait_for_lease(struct hf_service *service, struct hf_op *op)
{
    struct hf_status status;

    HF_TRY(hf_waiting_enter(service, op));
    status = hf_cluster_wait_lease(service->cluster, op);
    hf_waiting_leave(service);
    return status;
}

struct hf_status hf_standing_get(const struct hf_call *call, struct hf_op *op)
{
    enum hf_nature nature = hf_nature_of(call->action);

    if (hf_nature_changes(nature)) {
        HF_TRY(wait_for_lease(call->service, op));
        op->standing.lease = hf_cluster_lease(call->service->cluster);
        return HF_SUCCESS;
    }
    return serve_stale(call, op, nature);
}

struct hf_status hf_standing_check(const struct hf_call *call, struct hf_op *op)
{
    struct hf_cluster *cluster = call->service->cluster;
    struct hf_standing standing = op->standing;
    enum hf_nature nature = hf_nature_of(call->action);
    bool is_export = call->action == HF_ACT_KEY_EXPORT;

    /* What was changed is durable, whatever has become of the lease meanwhile. */
    if ((standing.lease == 0 && !standing.stale) || (hf_nature_changes(nature) && !is_export)) {
        return HF_SUCCESS;
    }
    if (standing.stale || is_export || hf_cluster_has_lease(cluster, standing.lease)) {
        return hf_cluster_still(cluster, op, &standing);
    }
    /* Its lease has ended meanwhile: an answer without one, if the keyring has such. Another lease
     * says nothing of what was read before it. */
    HF_TRY(serve_stale(call, op, nature));
    return op->standing.stale ? HF_SUCCESS : hf_cluster_still(cluster, op, &standing);
}

bool hf_standing_is_doubtful(struct hf_status status)
{
    return status.code == HF_NOT_FOUND || status.code == HF_WRONG_STATE;
}

struct hf_status hf_standing_unsure(struct hf_op *op, const char *why)
{
    HF_AUTO_STRING reason = hf_strdup(op->text);

    return hf_fail(op, HF_UNAVAILABLE,
                   "this node %s, so another may know better; ask that. Here: %.200s", why, reason);
}

struct hf_status hf_standing_doubt(struct hf_op *op, struct hf_status status)
{
    return op->standing.stale && hf_standing_is_doubtful(status)
               ? hf_standing_unsure(op, "has no lease")
               : status;
}

struct hf_status hf_standing_in_force(struct hf_service *service, struct hf_op *op, uint64_t seq,
                                      uint64_t announced_ms)
{
    /* A job answers nobody, so nobody has to wait until what it did is in force everywhere. */
    return service->cluster != NULL && op->fence == NULL
               ? hf_cluster_wait_applied(service->cluster, op, seq, announced_ms)
               : HF_SUCCESS;
}

struct hf_status hf_service_serve_stale(struct hf_service *service, struct hf_op *op,
                                        uint64_t for_ms)
{
    HF_AUTO_STRING detail = hf_format("for %" PRIu64 " s", for_ms / MS_PER_S);
    struct hf_call call = { .service = service, .action = HF_ACT_SERVE_STALE, .detail = detail };

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "it is recorded on disk first");
    }
    if (for_ms > SERVE_STALE_MAX_MS) {
        return hf_call_end(&call, op,
                           hf_fail(op, HF_INVALID, "a node may serve so for 30 days at most"));
    }
    if (service->cluster == NULL) {
        return hf_call_end(&call, op,
                           hf_fail(op, HF_WRONG_STATE,
                                   "the store is this node's alone: it needs no lease to serve"));
    }
    /* What is not recorded must not happen. */
    HF_TRY(hf_call_end_synced(&call, op, HF_SUCCESS));
    hf_cluster_serve_stale(service->cluster, for_ms);
    return HF_SUCCESS;
}
