/* Acknowledgement: when a change is in force on every node that may hold a lease. */
#include "cluster/cluster_internal.h"

void hf_cluster_sleep(struct hf_cluster *cluster, uint64_t news, uint64_t until_ms)
{
    uint64_t look_again_ms = hf_cluster_now_ms(cluster) + cluster->poll_ms;

    cluster->calls->wait(cluster->context, news,
                         until_ms < look_again_ms ? until_ms : look_again_ms);
}

/*
 * With the lock: has every member reported it applied, or, where the candidate of a promotion will
 * do, is it of a build that holds back what it tells of a key with a candidate? The list has to be
 * the one as of the change at least, so it must be applied here; and one who has left it may have a
 * lease for a while, also one who left before this process began.
 */
static bool is_known_by_all(const struct hf_cluster *cluster, uint64_t seq, bool or_candidate,
                            uint64_t now_ms)
{
    if (cluster->applied < seq || now_ms - cluster->shrunk_ms < HF_CLUSTER_ACK_MS) {
        return false;
    }
    for (size_t i = 0; i < cluster->peer_count; i++) {
        const struct hf_cluster_peer *peer = &cluster->peers[i];

        if (!peer->seen || (peer->row.applied < seq && !(or_candidate && peer->row.holds))) {
            return false;
        }
    }
    return cluster->have_list;
}

/* With the lock. */
static void raise_in_force(struct hf_cluster *cluster, uint64_t seq)
{
    if (seq > atomic_load(&cluster->in_force)) {
        atomic_store(&cluster->in_force, seq);
    }
}

static uint64_t applied_by_all(const struct hf_cluster *cluster)
{
    uint64_t seq = cluster->have_list ? cluster->applied : 0;

    for (size_t i = 0; i < cluster->peer_count; i++) {
        const struct hf_cluster_peer *peer = &cluster->peers[i];
        uint64_t applied = peer->seen ? peer->row.applied : 0;

        seq = applied < seq ? applied : seq;
    }
    return seq;
}

/* What was applied here so long ago is in force whatever the others say: see is_in_force(). */
void hf_cluster_note_in_force(struct hf_cluster *cluster)
{
    uint64_t now_ms = hf_cluster_now_ms(cluster);

    if (cluster->forgotten) {
        return;
    }
    if (now_ms - cluster->left_ms >= HF_CLUSTER_ACK_MS) {
        raise_in_force(cluster, applied_by_all(cluster));
    }
    if (now_ms - cluster->mark_ms >= HF_CLUSTER_ACK_MS) {
        raise_in_force(cluster, cluster->mark_seq);
        cluster->mark_seq = cluster->applied;
        cluster->mark_ms = now_ms;
    }
}

/* A change that is waited for. */
struct awaited {
    uint64_t seq;
    uint64_t since_ms;
    uint64_t announced_ms;
};

/*
 * A lease that was granted without the change began before its commit, so before since_ms, and it
 * is over after its time on whatever clock; no row can make this wait shorter. That a promotion is
 * known says nothing of other changes before it.
 */
static bool is_in_force(struct hf_cluster *cluster, const struct awaited *change,
                        uint64_t *out_news)
{
    uint64_t now_ms;
    bool in_force;

    pthread_mutex_lock(&cluster->lock);
    now_ms = hf_cluster_now_ms(cluster);
    in_force = now_ms - change->since_ms >= HF_CLUSTER_ACK_MS ||
               is_known_by_all(cluster, change->seq, false, now_ms);
    if (in_force && !cluster->forgotten) {
        raise_in_force(cluster, change->seq);
    }
    /* Whoever has a lease so long after the candidate's commit knows of the candidate. */
    in_force = in_force ||
               (change->announced_ms != 0 && now_ms - change->announced_ms >= HF_CLUSTER_ACK_MS &&
                is_known_by_all(cluster, change->seq, true, now_ms));
    *out_news = cluster->news;
    pthread_mutex_unlock(&cluster->lock);
    return in_force;
}

/* When time alone may decide next. */
static uint64_t next_end(const struct awaited *change, uint64_t now_ms)
{
    uint64_t known_ms = change->announced_ms + HF_CLUSTER_ACK_MS;

    return change->announced_ms != 0 && known_ms > now_ms ? known_ms
                                                          : change->since_ms + HF_CLUSTER_ACK_MS;
}

struct hf_status hf_cluster_wait_applied(struct hf_cluster *cluster, struct hf_op *op, uint64_t seq,
                                         uint64_t announced_ms)
{
    const struct awaited change = { seq, hf_cluster_now_ms(cluster), announced_ms };
    uint64_t news;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for all nodes, and this thread may not");
    }
    pthread_mutex_lock(&cluster->lock);
    hf_cluster_confirm(cluster, seq);
    pthread_mutex_unlock(&cluster->lock);
    cluster->calls->wake(cluster->context);
    while (!is_in_force(cluster, &change, &news)) {
        if (hf_op_check_deadline(op).code != HF_OK) {
            return hf_fail(op, HF_IN_DOUBT,
                           "the change is durable, but it is not known yet to be in force on every "
                           "node; repeat it under the same request id");
        }
        hf_cluster_sleep(cluster, news, next_end(&change, hf_cluster_now_ms(cluster)));
    }
    return HF_SUCCESS;
}

uint64_t hf_cluster_in_force(struct hf_cluster *cluster)
{
    return atomic_load(&cluster->in_force);
}

bool hf_cluster_wait_until(struct hf_cluster *cluster, bool (*done)(void *context), void *context,
                           uint64_t until_ms)
{
    cluster->calls->wake(cluster->context);
    for (;;) {
        uint64_t news = hf_cluster_news(cluster);

        if (done(context)) {
            return true;
        }
        if (hf_cluster_now_ms(cluster) >= until_ms || atomic_load(&cluster->stopping)) {
            return false;
        }
        hf_cluster_sleep(cluster, news, until_ms);
    }
}
