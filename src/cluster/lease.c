/* Leases, and what a node without one may do. */
#include <inttypes.h>

#include "cluster/cluster_internal.h"

bool hf_cluster_is_leased(struct hf_cluster *cluster)
{
    return hf_cluster_now_ms(cluster) < cluster->lease_until_ms;
}

void hf_cluster_grant_lease(struct hf_cluster *cluster, const struct hf_cluster_echo *echo)
{
    uint64_t now_ms = hf_cluster_now_ms(cluster);
    uint64_t until_ms = echo->sent_ms + HF_CLUSTER_LEASE_MS;

    /* After a gap it is another lease: what was read during the gap may be old. */
    if (now_ms >= cluster->lease_until_ms && now_ms < until_ms) {
        cluster->lease++;
        cluster->leased_since_ms = now_ms;
    }
    if (until_ms > cluster->lease_until_ms) {
        cluster->lease_until_ms = until_ms;
    }
    cluster->fresh = (struct hf_cluster_stamp){
        .known = true,
        .boottime_ms = echo->sent_ms,
        .realtime_ms = hf_env_realtime_ms(cluster->env) - (now_ms - echo->sent_ms),
    };
    memcpy(cluster->fresh.boot_id, cluster->boot_id, sizeof cluster->boot_id);
    cluster->grants[cluster->next_grant] = (struct hf_cluster_grant){ echo->seq, until_ms };
    cluster->next_grant = (cluster->next_grant + 1) % HF_CLUSTER_GRANTS;
}

bool hf_cluster_leased_before(struct hf_cluster *cluster, uint64_t seq)
{
    bool lasts = false;
    uint64_t now_ms;

    pthread_mutex_lock(&cluster->lock);
    now_ms = hf_cluster_now_ms(cluster);
    for (size_t i = 0; i < HF_CLUSTER_GRANTS; i++) {
        lasts = lasts || (cluster->grants[i].seq < seq && now_ms < cluster->grants[i].until_ms);
    }
    pthread_mutex_unlock(&cluster->lock);
    return lasts;
}

uint64_t hf_cluster_lease(struct hf_cluster *cluster)
{
    uint64_t number;

    pthread_mutex_lock(&cluster->lock);
    number = hf_cluster_is_leased(cluster) ? cluster->lease : 0;
    pthread_mutex_unlock(&cluster->lock);
    return number;
}

struct hf_status hf_cluster_wait_lease(struct hf_cluster *cluster, struct hf_op *op)
{
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "this node has no lease now, and this thread may not wait");
    }
    while (hf_cluster_lease(cluster) == 0) {
        if (atomic_load(&cluster->stopping) || hf_op_check_deadline(op).code != HF_OK) {
            return hf_fail(op, HF_UNAVAILABLE,
                           "this node has no lease, so it changes nothing; ask another node, or "
                           "look at the database");
        }
        hf_cluster_sleep(cluster, hf_cluster_news(cluster), UINT64_MAX);
    }
    return HF_SUCCESS;
}

void hf_cluster_stop(struct hf_cluster *cluster)
{
    atomic_store(&cluster->stopping, true);
    hf_cluster_tell(cluster);
}

bool hf_cluster_has_lease(struct hf_cluster *cluster, uint64_t number)
{
    return number != 0 && hf_cluster_lease(cluster) == number;
}

/* In another boot only wall clocks can tell, and one behind the stamp was set back, nobody knows
 * how far. */
uint64_t hf_cluster_staleness_ms(struct hf_cluster *cluster)
{
    const struct hf_cluster_stamp *fresh = &cluster->fresh;
    bool same_boot =
        fresh->known && memcmp(fresh->boot_id, cluster->boot_id, sizeof cluster->boot_id) == 0;
    uint64_t then_ms = same_boot ? fresh->boottime_ms : fresh->realtime_ms;
    uint64_t now_ms = same_boot ? hf_cluster_now_ms(cluster) : hf_env_realtime_ms(cluster->env);

    return fresh->known && now_ms >= then_ms ? now_ms - then_ms : UINT64_MAX;
}

/* With the lock, and without a lease. */
static struct hf_status may_stale(struct hf_cluster *cluster, struct hf_op *op, bool wrap,
                                  uint64_t limit_ms, struct hf_standing *out)
{
    const char *what = wrap ? "max_stale_wrap" : "max_stale";
    uint64_t now_ms = hf_cluster_now_ms(cluster);
    uint64_t stale_ms = hf_cluster_staleness_ms(cluster);

    if (limit_ms == 0) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "this node has no lease, and %s of the keyring is 0: no service without one",
                       what);
    }
    if (stale_ms != UINT64_MAX && stale_ms <= limit_ms) {
        uint64_t left_ms = limit_ms - stale_ms;

        *out = (struct hf_standing){
            .stale = true,
            .stale_ms = stale_ms,
            .until_ms = left_ms < UINT64_MAX - now_ms ? now_ms + left_ms : UINT64_MAX,
        };
        return HF_SUCCESS;
    }
    if (!wrap && now_ms < cluster->serve_stale_until_ms) {
        *out = (struct hf_standing){ .stale = true,
                                     .stale_ms = stale_ms,
                                     .until_ms = cluster->serve_stale_until_ms };
        return HF_SUCCESS;
    }
    if (stale_ms == UINT64_MAX) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "this node has no lease, and does not know since when: it never had one, or "
                       "its clock was set back; see holdfast node serve-stale");
    }
    return hf_fail(op, HF_UNAVAILABLE,
                   "this node has had no lease for %" PRIu64 " ms, more than %s of the keyring "
                   "(%" PRIu64 " ms)",
                   stale_ms, what, limit_ms);
}

struct hf_status hf_cluster_may(struct hf_cluster *cluster, struct hf_op *op,
                                enum hf_cluster_use use, uint64_t max_stale_ms,
                                uint64_t max_stale_wrap_ms, struct hf_standing *out)
{
    struct hf_status status = HF_SUCCESS;
    bool wrap = use == HF_CLUSTER_WRAP;

    pthread_mutex_lock(&cluster->lock);
    if (hf_cluster_is_leased(cluster)) {
        *out = (struct hf_standing){ .lease = cluster->lease };
    } else if (use == HF_CLUSTER_CHANGE) {
        status = hf_fail(op, HF_UNAVAILABLE,
                         "this node has no lease, so it changes nothing; ask another node, or "
                         "look at the database");
    } else {
        status = may_stale(cluster, op, wrap, wrap ? max_stale_wrap_ms : max_stale_ms, out);
    }
    pthread_mutex_unlock(&cluster->lock);
    return status;
}

struct hf_status hf_cluster_still(struct hf_cluster *cluster, struct hf_op *op,
                                  const struct hf_standing *grant)
{
    bool holds = grant->stale ? hf_cluster_now_ms(cluster) <= grant->until_ms
                              : hf_cluster_has_lease(cluster, grant->lease);

    if (!holds) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "what this node was allowed to do has ended before the answer; ask again");
    }
    return HF_SUCCESS;
}

void hf_cluster_serve_stale(struct hf_cluster *cluster, uint64_t for_ms)
{
    pthread_mutex_lock(&cluster->lock);
    cluster->serve_stale_until_ms = for_ms == 0 ? 0 : hf_cluster_now_ms(cluster) + for_ms;
    pthread_mutex_unlock(&cluster->lock);
}
