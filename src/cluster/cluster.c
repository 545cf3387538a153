/* The turns of a node: its heartbeat, everybody's heartbeats, and the feed as far as confirmed. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

/* Between two stamps: a restart may believe to be staler than it is by so much. */
#define KEEP_MS 10000

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= HF_NODE_NAME_MAX;
}

struct hf_status hf_cluster_new(struct hf_op *op, const struct hf_cluster_settings *settings,
                                struct hf_cluster **out)
{
    struct hf_cluster *cluster;

    if (!is_name(settings->node) || strlen(settings->site) > HF_NODE_NAME_MAX) {
        return hf_fail(op, HF_INVALID, "the name of a node, or of a site, has at most %d bytes",
                       HF_NODE_NAME_MAX);
    }
    cluster = hf_alloc(sizeof *cluster);
    cluster->env = settings->env;
    cluster->engine = settings->engine;
    cluster->calls = settings->calls;
    cluster->context = settings->context;
    cluster->node = hf_strdup(settings->node);
    cluster->site = hf_strdup(settings->site);
    memcpy(cluster->boot_id, settings->boot_id, sizeof cluster->boot_id);
    hf_env_random(cluster->env, cluster->instance, sizeof cluster->instance);
    cluster->poll_ms = settings->poll_ms;
    cluster->applied = settings->applied;
    hf_assert(pthread_mutex_init(&cluster->lock, NULL) == 0);
    cluster->shrunk_ms = hf_cluster_now_ms(cluster);
    *out = cluster;
    return HF_SUCCESS;
}

struct hf_status hf_cluster_recall_stamp(struct hf_cluster *cluster, struct hf_op *op,
                                         struct hf_bytes stamp)
{
    struct hf_cluster_stamp recalled = { 0 };

    HF_TRY(hf_cluster_stamp_read(op, stamp, &recalled));
    pthread_mutex_lock(&cluster->lock);
    if (!cluster->fresh.known) {
        cluster->fresh = recalled;
    }
    cluster->missed.after = recalled.opened;
    pthread_mutex_unlock(&cluster->lock);
    return HF_SUCCESS;
}

static void free_peers(struct hf_cluster_peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(peers[i].name);
    }
    free(peers);
}

void hf_cluster_free(struct hf_cluster *cluster)
{
    if (cluster != NULL) {
        free_peers(cluster->peers, cluster->peer_count);
        free(cluster->candidates);
        free(cluster->site);
        free(cluster->node);
        hf_assert(pthread_mutex_destroy(&cluster->lock) == 0);
        free(cluster);
    }
}

void hf_cluster_confirm(struct hf_cluster *cluster, uint64_t seq)
{
    if (seq > cluster->confirmed) {
        cluster->confirmed = seq;
    }
}

uint64_t hf_cluster_news(struct hf_cluster *cluster)
{
    uint64_t news;

    pthread_mutex_lock(&cluster->lock);
    news = cluster->news;
    pthread_mutex_unlock(&cluster->lock);
    return news;
}

void hf_cluster_tell(struct hf_cluster *cluster)
{
    uint64_t news;

    pthread_mutex_lock(&cluster->lock);
    news = ++cluster->news;
    pthread_mutex_unlock(&cluster->lock);
    cluster->calls->tell(cluster->context, news);
}

/* --- members --- */

static struct hf_cluster_peer *peer_named(struct hf_cluster_peer *peers, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i].name != NULL && strcmp(peers[i].name, name) == 0) {
            return &peers[i];
        }
    }
    return NULL;
}

/* With the lock: takes over what is known of those who stay; gives how many these are. */
static size_t fill_peers(struct hf_cluster *cluster, struct hf_cluster_peer *peers,
                         const char *const *names, size_t count)
{
    size_t used = 0;
    size_t stay = 0;
    bool was_listed = cluster->listed;

    cluster->listed = false;
    for (size_t i = 0; i < count; i++) {
        struct hf_cluster_peer *known;

        hf_assert(is_name(names[i]));
        known = peer_named(cluster->peers, cluster->peer_count, names[i]);

        if (strcmp(names[i], cluster->node) == 0) {
            cluster->listed = true;
        } else if (known != NULL) {
            peers[used++] = *known;
            known->name = NULL;
            stay++;
        } else {
            peers[used].name = hf_strdup(names[i]);
            peers[used].grew_ms = hf_cluster_now_ms(cluster);
            peers[used].back_ms = peers[used].grew_ms;
            used++;
        }
    }
    /* What lists us counts once it is applied as a whole: see follow(). */
    cluster->lists += cluster->listed && !was_listed;
    cluster->have_list = true;
    cluster->peer_count = used;
    return stay;
}

void hf_cluster_set_members(struct hf_cluster *cluster, const char *const *names, size_t count)
{
    struct hf_cluster_peer *peers = hf_alloc_array(count + 1, sizeof *peers);
    struct hf_cluster_peer *old;
    size_t old_count;

    pthread_mutex_lock(&cluster->lock);
    old = cluster->peers;
    old_count = cluster->peer_count;
    if (fill_peers(cluster, peers, names, count) < old_count) {
        cluster->shrunk_ms = hf_cluster_now_ms(cluster);
        cluster->left_ms = cluster->shrunk_ms;
    }
    cluster->peers = peers;
    pthread_mutex_unlock(&cluster->lock);
    free_peers(old, old_count);
}

/* --- heartbeats --- */

static void fill_row(struct hf_cluster *cluster, struct hf_cluster_row *out)
{
    pthread_mutex_lock(&cluster->lock);
    out->number = ++cluster->number;
    out->confirmed = cluster->confirmed;
    out->applied = cluster->applied;
    out->leased = hf_cluster_is_leased(cluster);
    out->holds = true;
    out->report = cluster->report;
    out->report.proved = hf_cluster_proved(cluster);
    pthread_mutex_unlock(&cluster->lock);
    memcpy(out->node, cluster->node, strlen(cluster->node) + 1);
    memcpy(out->site, cluster->site, strlen(cluster->site) + 1);
    memcpy(out->instance, cluster->instance, sizeof out->instance);
    memcpy(out->boot_id, cluster->boot_id, sizeof out->boot_id);
}

/*
 * A call of the store that takes longer than a lease lasts is of no use, and would keep the next
 * heartbeat from being sent. Gives the deadline to put back.
 */
static uint64_t limit_time(struct hf_cluster *cluster, struct hf_op *op)
{
    uint64_t deadline_ms = op->deadline_ms;
    uint64_t limit_ms = hf_cluster_now_ms(cluster) + HF_CLUSTER_LEASE_MS;

    op->deadline_ms = deadline_ms != 0 && deadline_ms < limit_ms ? deadline_ms : limit_ms;
    return deadline_ms;
}

static struct hf_status send_row(struct hf_cluster *cluster, struct hf_op *op, bool synchronous,
                                 uint64_t *out_seq)
{
    HF_AUTO(buf) body = hf_buf_new();
    struct hf_cluster_row *row = hf_alloc(sizeof *row);
    struct hf_beat beat;
    struct hf_status status;

    fill_row(cluster, row);
    status = hf_cluster_row_write(cluster, op, row, body);
    if (status.code == HF_OK) {
        uint64_t deadline_ms = limit_time(cluster, op);

        beat = (struct hf_beat){ cluster->node, row->number, row->confirmed, row->applied,
                                 hf_buf_bytes(body) };
        status = hf_engine_beat(cluster->engine, op, &beat, synchronous, out_seq);
        op->deadline_ms = deadline_ms;
    }
    if (status.code == HF_OK) {
        cluster->told_confirmed = row->confirmed;
        cluster->told_applied = row->applied;
        cluster->told_proved = row->report.proved;
    }
    free(row);
    return status;
}

static struct hf_status beat_for_lease(struct hf_cluster *cluster, struct hf_op *op)
{
    uint64_t sent_ms = hf_cluster_now_ms(cluster);
    struct hf_status status;
    uint64_t seq = 0;

    cluster->tried_ms = sent_ms;
    status = send_row(cluster, op, true, &seq);
    if (status.code == HF_OK && seq < cluster->told_applied) {
        status = hf_fail(op, HF_WRONG_STATE,
                         "the store went back in time: it stands at commit %" PRIu64
                         ", and this node has applied commit %" PRIu64,
                         seq, cluster->told_applied);
    }
    if (status.code != HF_OK) {
        cluster->beat_due_ms = hf_cluster_now_ms(cluster) + cluster->poll_ms;
        return status;
    }
    cluster->beat_due_ms = sent_ms + HF_CLUSTER_BEAT_MS;
    cluster->echo = (struct hf_cluster_echo){ true, cluster->number, sent_ms, seq };
    pthread_mutex_lock(&cluster->lock);
    hf_cluster_confirm(cluster, seq);
    pthread_mutex_unlock(&cluster->lock);
    return HF_SUCCESS;
}

/* --- what the others say --- */

/* The rows of one look, copied, since nothing may be asked while the engine shows them. */
struct look {
    struct hf_cluster *cluster;
    struct look_row {
        char *node;
        struct hf_beat beat;
        struct hf_buf body;
    } * rows;
    size_t count;
    uint64_t seq;
    bool echoed; /* our own row is not older than the awaited echo */
};

static bool is_of_interest(struct hf_cluster *cluster, const char *node)
{
    bool yes;

    pthread_mutex_lock(&cluster->lock);
    yes = strcmp(node, cluster->node) == 0 ||
          peer_named(cluster->peers, cluster->peer_count, node) != NULL;
    pthread_mutex_unlock(&cluster->lock);
    return yes && strlen(node) <= HF_NODE_NAME_MAX;
}

static struct hf_status copy_row(void *context, const struct hf_beat *beat)
{
    struct look *look = context;
    struct look_row *row;

    if (!is_of_interest(look->cluster, beat->node)) {
        return HF_SUCCESS;
    }
    look->rows = hf_realloc_array(look->rows, look->count + 1, sizeof *look->rows);
    row = &look->rows[look->count++];
    *row = (struct look_row){ .node = hf_strdup(beat->node), .beat = *beat };
    hf_buf_add_bytes(&row->body, beat->body);
    row->beat.node = row->node;
    row->beat.body = hf_buf_bytes(&row->body);
    return HF_SUCCESS;
}

static void look_done(struct look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        free(look->rows[i].node);
        hf_buf_done(&look->rows[i].body);
    }
    free(look->rows);
}

static bool same_instance(const struct hf_cluster_row *row, const uint8_t *instance)
{
    return memcmp(row->instance, instance, sizeof row->instance) == 0;
}

/* With the lock. A row of the same process with a lower number came late. */
static void take_peer_row(struct hf_cluster *cluster, const struct hf_cluster_row *row)
{
    struct hf_cluster_peer *peer = peer_named(cluster->peers, cluster->peer_count, row->node);
    uint64_t now_ms = hf_cluster_now_ms(cluster);
    bool goes_on;

    if (peer == NULL) {
        return;
    }
    goes_on = peer->seen && same_instance(row, peer->row.instance);
    if (goes_on && row->number <= peer->row.number) {
        return;
    }
    if (!goes_on || now_ms - peer->grew_ms >= HF_CLUSTER_ACK_MS) {
        peer->back_ms = now_ms;
    }
    peer->row = *row;
    peer->seen = true;
    peer->grew_ms = now_ms;
}

static void take_row(struct look *look, const struct hf_cluster_row *row)
{
    struct hf_cluster *cluster = look->cluster;

    pthread_mutex_lock(&cluster->lock);
    hf_cluster_confirm(cluster, row->confirmed);
    if (strcmp(row->node, cluster->node) != 0) {
        take_peer_row(cluster, row);
    } else if (same_instance(row, cluster->instance) && row->number >= cluster->echo.number) {
        look->echoed = cluster->echo.awaited;
    }
    pthread_mutex_unlock(&cluster->lock);
}

/* Whether that is new: a row stays there for many looks, and the log has room for better. */
static bool changes_belief(struct hf_cluster *cluster, const char *node, bool disbelieved)
{
    struct hf_cluster_peer *peer;
    bool *was = &cluster->disbelieved;
    bool changes = false;

    pthread_mutex_lock(&cluster->lock);
    if (strcmp(node, cluster->node) != 0) {
        peer = peer_named(cluster->peers, cluster->peer_count, node);
        was = peer != NULL ? &peer->disbelieved : NULL;
    }
    if (was != NULL) {
        changes = *was != disbelieved;
        *was = disbelieved;
    }
    pthread_mutex_unlock(&cluster->lock);
    return changes;
}

/* One that is not of the cluster counts as absent: nobody can make the others wait less by it. */
static struct hf_status judge_rows(struct look *look, struct hf_op *op)
{
    struct hf_cluster_row *row = hf_alloc(sizeof *row);
    struct hf_status status = HF_SUCCESS;

    for (size_t i = 0; i < look->count && status.code == HF_OK; i++) {
        const char *node = look->rows[i].node;

        status = hf_cluster_row_read(look->cluster, op, &look->rows[i].beat, row);
        if (status.code == HF_OK) {
            (void)changes_belief(look->cluster, node, false);
            take_row(look, row);
        } else if (status.code == HF_CORRUPT || status.code == HF_UNSUPPORTED) {
            if (changes_belief(look->cluster, node, true)) {
                HF_WARNING(look->cluster->env, "a heartbeat is not believed: %s", op->text);
            }
            hf_op_clear(op);
            status = HF_SUCCESS;
        }
    }
    free(row);
    return status;
}

/* --- a turn --- */

/*
 * Whatever is confirmed of what the host shows. A list that names us anew and was set before the
 * call is part of what is applied when the call ends well; one that was set meanwhile may come from
 * the middle of a stretch of which the rest is not applied, so it counts from the next time on.
 */
static struct hf_status follow(struct hf_cluster *cluster, struct hf_op *op, uint64_t seq)
{
    uint64_t up_to;
    uint64_t applied;
    uint64_t lists;
    bool has_list_since;
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&cluster->lock);
    up_to = seq < cluster->confirmed ? seq : cluster->confirmed;
    applied = cluster->applied;
    lists = cluster->lists;
    has_list_since = cluster->lists_applied != lists;
    pthread_mutex_unlock(&cluster->lock);
    if (up_to > applied || has_list_since) {
        status = cluster->calls->follow(cluster->context, op, up_to > applied ? up_to : applied,
                                        &applied);
    }
    pthread_mutex_lock(&cluster->lock);
    /* If the node was locked meanwhile, what was applied is no more. */
    if (status.code == HF_OK && !cluster->forgotten) {
        cluster->applied = applied;
        cluster->lists_applied = lists;
    }
    pthread_mutex_unlock(&cluster->lock);
    return status;
}

/*
 * The echo came back and all that is confirmed of its snapshot is applied: so is all that was
 * acknowledged before the heartbeat was sent. The first lease waits for the candidates too, and for
 * what was promoted without this node.
 */
static bool is_up_to_date(struct hf_cluster *cluster, const struct look *look)
{
    return look->echoed && !cluster->forgotten && cluster->applied >= cluster->echo.seq &&
           (cluster->applied >= look->seq || cluster->applied >= cluster->confirmed) &&
           (hf_cluster_is_leased(cluster) ||
            (cluster->candidate_count == 0 && cluster->missed.is_over));
}

static void take_lease(struct hf_cluster *cluster, const struct look *look)
{
    pthread_mutex_lock(&cluster->lock);
    if (is_up_to_date(cluster, look)) {
        cluster->able_until_ms = cluster->echo.sent_ms + HF_CLUSTER_LEASE_MS;
        if (cluster->listed && cluster->lists_applied == cluster->lists) {
            hf_cluster_grant_lease(cluster, &cluster->echo);
            cluster->echo.awaited = false;
        }
    }
    pthread_mutex_unlock(&cluster->lock);
}

/*
 * The host that was asked may be behind, or one that has failed over: what it shows of the others
 * is as old as the synchronous heartbeat of our own that it shows, which all copies that count
 * have.
 */
static void note_heard(struct hf_cluster *cluster, const struct look *look)
{
    pthread_mutex_lock(&cluster->lock);
    if (look->echoed && cluster->echo.sent_ms > cluster->heard_ms) {
        cluster->heard_ms = cluster->echo.sent_ms;
    }
    pthread_mutex_unlock(&cluster->lock);
}

static struct hf_status use_look(struct look *look, struct hf_op *op)
{
    struct hf_cluster *cluster = look->cluster;

    HF_TRY(judge_rows(look, op));
    note_heard(cluster, look);
    HF_TRY(follow(cluster, op, look->seq));
    take_lease(cluster, look);
    hf_cluster_try_candidates(cluster, op);
    HF_TRY(hf_cluster_open_missed(cluster, op));
    take_lease(cluster, look);
    return HF_SUCCESS;
}

static struct hf_status look_around(struct hf_cluster *cluster, struct hf_op *op)
{
    struct look look = { .cluster = cluster };
    uint64_t deadline_ms = limit_time(cluster, op);
    struct hf_status status = hf_engine_beats(cluster->engine, op, copy_row, &look, &look.seq);

    op->deadline_ms = deadline_ms;
    if (status.code == HF_OK) {
        status = use_look(&look, op);
    }
    look_done(&look);
    return status;
}

/* News that the others wait for: they do not wait for the next heartbeat. */
static struct hf_status announce(struct hf_cluster *cluster, struct hf_op *op)
{
    bool changed;
    uint64_t ignored = 0;

    pthread_mutex_lock(&cluster->lock);
    changed = cluster->confirmed != cluster->told_confirmed ||
              cluster->applied != cluster->told_applied ||
              hf_cluster_proved(cluster) != cluster->told_proved;
    pthread_mutex_unlock(&cluster->lock);
    return changed ? send_row(cluster, op, false, &ignored) : HF_SUCCESS;
}

static struct hf_status keep_stamp(struct hf_cluster *cluster, struct hf_op *op)
{
    HF_AUTO(buf) bytes = hf_buf_new();
    struct hf_cluster_stamp stamp;

    pthread_mutex_lock(&cluster->lock);
    stamp = cluster->fresh;
    stamp.opened = hf_cluster_opened(cluster);
    pthread_mutex_unlock(&cluster->lock);
    if (!stamp.known || cluster->lease == 0 ||
        (cluster->kept && stamp.boottime_ms - cluster->kept_ms < KEEP_MS)) {
        return HF_SUCCESS;
    }
    hf_cluster_stamp_write(&stamp, bytes);
    HF_TRY(cluster->calls->keep(cluster->context, op, hf_buf_bytes(bytes)));
    cluster->kept = true;
    cluster->kept_ms = stamp.boottime_ms;
    return HF_SUCCESS;
}

void hf_cluster_forget(struct hf_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    cluster->applied = 0;
    cluster->mark_seq = 0;
    atomic_store(&cluster->in_force, 0);
    cluster->confirmed = 0;
    cluster->lease_until_ms = 0;
    memset(cluster->grants, 0, sizeof cluster->grants);
    cluster->able_until_ms = 0;
    cluster->candidate_count = 0;
    cluster->listed = false;
    cluster->have_list = false;
    memset(&cluster->report, 0, sizeof cluster->report);
    memset(&cluster->missed, 0, sizeof cluster->missed);
    /* What the others said was of that history. */
    for (size_t i = 0; i < cluster->peer_count; i++) {
        cluster->peers[i].seen = false;
        memset(&cluster->peers[i].row, 0, sizeof cluster->peers[i].row);
    }
    cluster->forgotten = true;
    pthread_mutex_unlock(&cluster->lock);
}

static void begin_anew_if_forgotten(struct hf_cluster *cluster)
{
    bool forgotten;

    pthread_mutex_lock(&cluster->lock);
    forgotten = cluster->forgotten;
    cluster->forgotten = false;
    pthread_mutex_unlock(&cluster->lock);
    if (forgotten) {
        cluster->echo.awaited = false;
        cluster->beat_due_ms = 0;
        cluster->told_confirmed = 0;
        cluster->told_applied = 0;
        cluster->told_proved = 0;
    }
}

/* The first failure is the one that is told. */
static void note_status(struct hf_op *op, struct hf_status status, struct hf_op *first,
                        struct hf_status *out)
{
    if (status.code != HF_OK && out->code == HF_OK) {
        *first = *op;
        *out = status;
    }
    hf_op_clear(op);
}

/* A proof that waits to hear that somebody is silent does not wait for the next one. */
static bool is_beat_due(struct hf_cluster *cluster)
{
    uint64_t listen_ms;

    pthread_mutex_lock(&cluster->lock);
    listen_ms = cluster->listen_ms;
    pthread_mutex_unlock(&cluster->lock);
    return cluster->tried_ms < listen_ms || hf_cluster_now_ms(cluster) >= cluster->beat_due_ms;
}

struct hf_status hf_cluster_tick(struct hf_cluster *cluster, struct hf_op *op,
                                 uint64_t *out_next_ms)
{
    static struct hf_status (*const steps[])(
        struct hf_cluster *, struct hf_op *) = { announce, look_around, announce, keep_stamp };
    struct hf_status status = HF_SUCCESS;
    struct hf_op first = *op;

    begin_anew_if_forgotten(cluster);
    if (is_beat_due(cluster)) {
        note_status(op, beat_for_lease(cluster, op), &first, &status);
    }
    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        note_status(op, steps[i](cluster, op), &first, &status);
    }
    pthread_mutex_lock(&cluster->lock);
    hf_cluster_note_in_force(cluster);
    pthread_mutex_unlock(&cluster->lock);
    hf_cluster_tell(cluster);
    *out_next_ms = hf_cluster_now_ms(cluster) + cluster->poll_ms;
    if (status.code != HF_OK) {
        *op = first;
    }
    return status;
}
