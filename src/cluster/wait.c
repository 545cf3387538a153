/* Acknowledgement: when a change is in force on every node that may hold a lease. */
#include "cluster/cluster_internal.h"

void hf_cluster_sleep(struct hf_cluster *cluster, uint64_t news, uint64_t until_ms)
{
    uint64_t look_again_ms = hf_cluster_now_ms(cluster) + cluster->poll_ms;

    cluster->calls->wait(cluster->context, news,
                         until_ms < look_again_ms ? until_ms : look_again_ms);
}

/*
 * With the lock: has every member reported it applied? The list has to be the one as of the change
 * at least, so it must be applied here; and one who has left it may have a lease for a while, also
 * one who left before this process began.
 */
static bool is_applied_by_all(const struct hf_cluster *cluster, uint64_t seq, uint64_t now_ms)
{
    if (cluster->applied < seq || now_ms - cluster->shrunk_ms < HF_CLUSTER_ACK_MS) {
        return false;
    }
    for (size_t i = 0; i < cluster->peer_count; i++) {
        if (!cluster->peers[i].seen || cluster->peers[i].row.applied < seq) {
            return false;
        }
    }
    return cluster->have_list;
}

/*
 * A lease that was granted without the change began before its commit, so before since_ms, and it
 * is over after its time on whatever clock; no row can make this wait shorter.
 */
static bool is_in_force(struct hf_cluster *cluster, uint64_t seq, uint64_t since_ms,
                        uint64_t *out_news)
{
    uint64_t now_ms;
    bool in_force;

    pthread_mutex_lock(&cluster->lock);
    now_ms = hf_cluster_now_ms(cluster);
    in_force = now_ms - since_ms >= HF_CLUSTER_ACK_MS || is_applied_by_all(cluster, seq, now_ms);
    *out_news = cluster->news;
    pthread_mutex_unlock(&cluster->lock);
    return in_force;
}

struct hf_status hf_cluster_wait_applied(struct hf_cluster *cluster, struct hf_op *op, uint64_t seq)
{
    uint64_t since_ms = hf_cluster_now_ms(cluster);
    uint64_t news;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for all nodes, and this thread may not");
    }
    pthread_mutex_lock(&cluster->lock);
    hf_cluster_confirm(cluster, seq);
    pthread_mutex_unlock(&cluster->lock);
    cluster->calls->wake(cluster->context);
    while (!is_in_force(cluster, seq, since_ms, &news)) {
        if (hf_op_check_deadline(op).code != HF_OK) {
            return hf_fail(op, HF_IN_DOUBT,
                           "the change is durable, but it is not known yet to be in force on every "
                           "node; repeat it under the same request id");
        }
        hf_cluster_sleep(cluster, news, since_ms + HF_CLUSTER_ACK_MS);
    }
    return HF_SUCCESS;
}
