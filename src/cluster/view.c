/* What people are shown of the cluster. */
#include "cluster/cluster_internal.h"

static void show_peers(struct hf_cluster *cluster,
                       void (*visit)(void *context, const struct hf_cluster_member *member),
                       void *context)
{
    uint64_t now_ms = hf_cluster_now_ms(cluster);

    for (size_t i = 0; i < cluster->peer_count; i++) {
        const struct hf_cluster_peer *peer = &cluster->peers[i];
        const struct hf_cluster_member member = {
            .node = peer->name,
            .site = peer->row.site,
            .seen = peer->seen,
            .quiet_ms = now_ms - peer->grew_ms,
            .leased = peer->seen && peer->row.leased,
            .applied = peer->row.applied,
        };

        visit(context, &member);
    }
}

void hf_cluster_look(struct hf_cluster *cluster, struct hf_cluster_view *out,
                     void (*visit)(void *context, const struct hf_cluster_member *member),
                     void *context)
{
    pthread_mutex_lock(&cluster->lock);
    *out = (struct hf_cluster_view){
        .listed = cluster->listed,
        .able = hf_cluster_now_ms(cluster) < cluster->able_until_ms,
        .lease = hf_cluster_is_leased(cluster) ? cluster->lease : 0,
        .leased_ms = hf_cluster_is_leased(cluster)
                         ? hf_cluster_now_ms(cluster) - cluster->leased_since_ms
                         : 0,
        .stale_ms = hf_cluster_staleness_ms(cluster),
        .stale_until_ms = cluster->serve_stale_until_ms,
        .applied = cluster->applied,
        .confirmed = cluster->confirmed,
        .opens_missed = !cluster->missed.is_over,
        .unopened = cluster->missed.unopened,
    };
    memcpy(out->unopened_text, cluster->missed.text, sizeof out->unopened_text);
    if (visit != NULL && cluster->listed) {
        const struct hf_cluster_member self = {
            .node = cluster->node,
            .site = cluster->site,
            .self = true,
            .seen = true,
            .leased = out->lease != 0,
            .applied = cluster->applied,
        };

        visit(context, &self);
    }
    if (visit != NULL) {
        show_peers(cluster, visit, context);
    }
    pthread_mutex_unlock(&cluster->lock);
}
