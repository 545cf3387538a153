/* Born proven: trying candidates here, and deciding by what all nodes report. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

/* Of one turn, so that a heap of candidates does not delay the next heartbeat. */
#define TRY_MS 200

/* What a node says of one candidate. */
enum verdict { VERDICT_NONE, VERDICT_OPENED, VERDICT_FAILED };

void hf_cluster_candidate(struct hf_cluster *cluster, uint64_t seq)
{
    size_t at;

    pthread_mutex_lock(&cluster->lock);
    at = cluster->candidate_count;
    while (at > 0 && cluster->candidates[at - 1] > seq) {
        at--;
    }
    if (at == 0 || cluster->candidates[at - 1] != seq) {
        cluster->candidates = hf_realloc_array(cluster->candidates, cluster->candidate_count + 1,
                                               sizeof *cluster->candidates);
        memmove(cluster->candidates + at + 1, cluster->candidates + at,
                (cluster->candidate_count - at) * sizeof *cluster->candidates);
        cluster->candidates[at] = seq;
        cluster->candidate_count++;
    }
    pthread_mutex_unlock(&cluster->lock);
}

uint64_t hf_cluster_proved(const struct hf_cluster *cluster)
{
    if (cluster->candidate_count > 0 && cluster->candidates[0] <= cluster->applied) {
        return cluster->candidates[0] - 1;
    }
    return cluster->applied;
}

/* With the lock. The oldest failure makes room. */
static void note_failure(struct hf_cluster *cluster, uint64_t seq, enum hf_code code)
{
    struct hf_cluster_report *report = &cluster->report;
    struct hf_cluster_failure *failure;

    if (report->count == HF_CLUSTER_FAILURES) {
        report->forgotten = report->failures[0].seq;
        report->count--;
        memmove(report->failures, report->failures + 1, report->count * sizeof *report->failures);
    }
    failure = &report->failures[report->count++];
    *failure = (struct hf_cluster_failure){ .seq = seq };
    memcpy(failure->reason, hf_code_name(code), strlen(hf_code_name(code)) + 1);
}

/* The first candidate that was not tried; false: there is none. */
static bool next_candidate(struct hf_cluster *cluster, uint64_t *out)
{
    bool any;

    pthread_mutex_lock(&cluster->lock);
    any = cluster->candidate_count > 0;
    if (any) {
        *out = cluster->candidates[0];
    }
    pthread_mutex_unlock(&cluster->lock);
    return any;
}

/* With the lock: takes it out; false when it is not there (any more). */
static bool remove_candidate(struct hf_cluster *cluster, uint64_t seq)
{
    for (size_t i = 0; i < cluster->candidate_count; i++) {
        if (cluster->candidates[i] == seq) {
            cluster->candidate_count--;
            memmove(cluster->candidates + i, cluster->candidates + i + 1,
                    (cluster->candidate_count - i) * sizeof *cluster->candidates);
            return true;
        }
    }
    return false;
}

/* What was tried while the node was locked says nothing: it comes again with the next unlock. */
static void end_candidate(struct hf_cluster *cluster, uint64_t seq, enum hf_code code)
{
    pthread_mutex_lock(&cluster->lock);
    if (!cluster->forgotten && remove_candidate(cluster, seq) && code != HF_OK) {
        note_failure(cluster, seq, code);
    }
    pthread_mutex_unlock(&cluster->lock);
}

void hf_cluster_try_candidates(struct hf_cluster *cluster, struct hf_op *op)
{
    uint64_t until_ms = hf_cluster_now_ms(cluster) + TRY_MS;
    uint64_t seq = 0;

    while (hf_cluster_now_ms(cluster) < until_ms && next_candidate(cluster, &seq)) {
        struct hf_status status = cluster->calls->open_version(cluster->context, op, seq);

        if (status.code != HF_OK) {
            HF_WARNING(cluster->env, "this node cannot open the candidate of change %llu: %s",
                       (unsigned long long)seq, op->text);
            hf_op_clear(op);
        }
        end_candidate(cluster, seq, status.code);
    }
}

/* --- what was missed --- */

struct hf_status hf_cluster_open_missed(struct hf_cluster *cluster, struct hf_op *op)
{
    struct hf_cluster_missed *missed = &cluster->missed;
    struct hf_status status;
    uint64_t after;
    bool is_over;
    bool has_begun;
    bool is_left = true;

    pthread_mutex_lock(&cluster->lock);
    is_over = missed->is_over;
    has_begun = missed->has_begun;
    /* A store that begins anew has other commits of these numbers. */
    after = missed->after <= cluster->applied ? missed->after : 0;
    pthread_mutex_unlock(&cluster->lock);
    if (is_over) {
        return HF_SUCCESS;
    }
    status = cluster->calls->open_missed(cluster->context, op, after, !has_begun, &is_left);
    pthread_mutex_lock(&cluster->lock);
    /* What was walked while the node was locked was nothing: the next unlock begins anew. */
    if (!cluster->forgotten) {
        missed->has_begun = true;
        missed->is_over = status.code == HF_OK && !is_left;
    }
    pthread_mutex_unlock(&cluster->lock);
    return status;
}

void hf_cluster_unopened(struct hf_cluster *cluster, const char *text)
{
    struct hf_cluster_missed *missed = &cluster->missed;

    pthread_mutex_lock(&cluster->lock);
    /* What was tried while the node was locked says nothing. */
    if (!cluster->forgotten && missed->unopened++ == 0) {
        (void)snprintf(missed->text, sizeof missed->text, "%s", text);
    }
    pthread_mutex_unlock(&cluster->lock);
}

uint64_t hf_cluster_opened(const struct hf_cluster *cluster)
{
    bool is_all = cluster->missed.is_over && cluster->missed.unopened == 0;

    return is_all ? hf_cluster_proved(cluster) : cluster->missed.after;
}

/* --- deciding --- */

static enum verdict verdict_of(const struct hf_cluster_report *report, uint64_t seq,
                               const char **out_reason)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->failures[i].seq == seq) {
            *out_reason = report->failures[i].reason;
            return VERDICT_FAILED;
        }
    }
    return report->proved >= seq && report->forgotten < seq ? VERDICT_OPENED : VERDICT_NONE;
}

/* What is known of a candidate so far. */
struct count {
    struct hf_cluster *cluster;
    uint64_t seq;
    uint64_t now_ms;
    struct hf_cluster_proof proof;
    bool failed;
    const char *silent; /* a node alive that has not reported, */
    const char *mute;   /* and one that had the time to */
    uint64_t listen_ms; /* since then one of these was silent, as far as we hear */
    bool unheard;       /* one that does not seem to be alive has not reported either */
};

/* back_ms: since when it is alive. */
static void count_verdict(struct count *count, const char *node, enum verdict verdict,
                          const char *reason, bool alive, uint64_t back_ms)
{
    count->proof.of++;
    if (verdict == VERDICT_OPENED) {
        count->proof.proven_on++;
    } else if (verdict == VERDICT_FAILED && !count->failed) {
        count->failed = true;
        memcpy(count->proof.failed, node, strlen(node) + 1);
        memcpy(count->proof.reason, reason, strlen(reason) + 1);
    } else if (verdict == VERDICT_NONE && alive) {
        count->silent = node;
        if (count->now_ms - back_ms >= HF_CLUSTER_PROVE_MS) {
            count->mute = node;
        }
    } else if (verdict == VERDICT_NONE) {
        count->unheard = true;
    }
}

static bool serves(const char *node, const char *const *serve_on, size_t count)
{
    if (serve_on == NULL) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(serve_on[i], node) == 0) {
            return true;
        }
    }
    return false;
}

static void count_self(struct count *count)
{
    struct hf_cluster *cluster = count->cluster;
    struct hf_cluster_report own = cluster->report;
    const char *reason = "";
    enum verdict verdict;

    own.proved = hf_cluster_proved(cluster);
    verdict = verdict_of(&own, count->seq, &reason);
    count_verdict(count, cluster->node, verdict, reason, true, 0);
}

/* Silence counts for as long as we have listened: a look that hangs, or that a host answers which
 * is behind, says nothing of the others. */
static void count_peer(struct count *count, const struct hf_cluster_peer *peer)
{
    uint64_t silent_ms = peer->grew_ms + HF_CLUSTER_ACK_MS;
    bool alive = count->cluster->heard_ms < silent_ms;
    const char *reason = "";
    enum verdict verdict = VERDICT_NONE;

    if (peer->seen) {
        verdict = verdict_of(&peer->row.report, count->seq, &reason);
    }
    count_verdict(count, peer->name, verdict, reason, alive, peer->back_ms);
    if (verdict == VERDICT_NONE && count->now_ms >= silent_ms && silent_ms > count->listen_ms) {
        count->listen_ms = silent_ms;
    }
}

/* With the lock. */
static void count_all(struct count *count, const char *const *serve_on, size_t serving)
{
    struct hf_cluster *cluster = count->cluster;

    if (serves(cluster->node, serve_on, serving)) {
        count_self(count);
    }
    for (size_t i = 0; i < cluster->peer_count; i++) {
        if (serves(cluster->peers[i].name, serve_on, serving)) {
            count_peer(count, &cluster->peers[i]);
        }
    }
}

/*
 * With the lock. Whether others are dead or we are cut off only a lease can tell, and one that has
 * lasted for as long as a heartbeat counts.
 */
static bool hears_others(const struct count *count)
{
    struct hf_cluster *cluster = count->cluster;

    return hf_cluster_is_leased(cluster) &&
           count->now_ms - cluster->leased_since_ms >= HF_CLUSTER_ACK_MS;
}

/* One look: is it decided? With none alive that serves it there is nothing to decide yet. */
static bool decide(struct count *count, const char *const *serve_on, size_t serving, bool late,
                   uint64_t *out_news)
{
    struct hf_cluster *cluster = count->cluster;
    bool decided;

    pthread_mutex_lock(&cluster->lock);
    count->now_ms = hf_cluster_now_ms(cluster);
    count_all(count, serve_on, serving);
    decided = count->failed || (count->silent == NULL && count->proof.proven_on > 0 &&
                                (!count->unheard || hears_others(count)));
    count->proof.promote = decided && !count->failed;
    if (!decided && late && count->mute != NULL && hears_others(count) &&
        !atomic_load(&cluster->stopping)) {
        decided = true;
        memcpy(count->proof.failed, count->mute, strlen(count->mute) + 1);
        memcpy(count->proof.reason, "silent", sizeof "silent");
    }
    if (!decided && count->listen_ms > cluster->listen_ms) {
        cluster->listen_ms = count->listen_ms;
    }
    *out_news = cluster->news;
    pthread_mutex_unlock(&cluster->lock);
    return decided;
}

/* The deadline of the operation, or a limit for one that has none; and nobody waits at the end. */
static struct hf_status check_patience(struct hf_cluster *cluster, struct hf_op *op,
                                       uint64_t since_ms)
{
    uint64_t waited_ms = hf_cluster_now_ms(cluster) - since_ms;

    HF_TRY(hf_op_check_deadline(op));
    if (waited_ms >= HF_CLUSTER_PROVE_LIMIT_MS ||
        (waited_ms >= HF_CLUSTER_PROVE_MS && atomic_load(&cluster->stopping))) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "this node does not hear whether the others can open the new version");
    }
    return HF_SUCCESS;
}

struct hf_status hf_cluster_prove(struct hf_cluster *cluster, struct hf_op *op, uint64_t seq,
                                  const char *const *serve_on, size_t count,
                                  struct hf_cluster_proof *out)
{
    uint64_t since_ms = hf_cluster_now_ms(cluster);
    bool decided = false;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a new version waits for proofs, and this thread may not");
    }
    pthread_mutex_lock(&cluster->lock);
    hf_cluster_confirm(cluster, seq);
    pthread_mutex_unlock(&cluster->lock);
    cluster->calls->wake(cluster->context);
    while (!decided) {
        struct count counted = { .cluster = cluster, .seq = seq };
        bool late = hf_cluster_now_ms(cluster) - since_ms >= HF_CLUSTER_PROVE_MS;
        uint64_t news;

        decided = decide(&counted, serve_on, count, late, &news);
        *out = counted.proof;
        if (!decided) {
            HF_TRY(check_patience(cluster, op, since_ms));
            hf_cluster_sleep(cluster, news,
                             since_ms + (late ? HF_CLUSTER_PROVE_LIMIT_MS : HF_CLUSTER_PROVE_MS));
        }
    }
    return HF_SUCCESS;
}
