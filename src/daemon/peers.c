/*
 * This node among the others on a shared store: the thread that makes the turns of the cluster
 * layer, and what that layer needs from above.
 */
#include "cluster/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "base/wait.h"
#include "daemon/node_internal.h"
#include "protect/private_file.h"

/* Between two looks at the others; while something is under way here, and else. */
#define BUSY_MS 5
#define IDLE_MS 25
/* So long after the last news it counts as under way. */
#define LULL_MS 250
/* A turn opens what was missed for so long, so that the next heartbeat is not late. */
#define MISSED_MS 200
/* While the node is locked, and for what the turns of the cluster layer do not look at. */
#define LOOK_MS        200
#define FIRST_LEASE_MS 1000
#define STAMP_MAX      128
#define MAC_KEY        HF_CLUSTER_SECRET
#define MAC_KEY_LEN    32
#define BOOT_ID_FILE   "/proc/sys/kernel/random/boot_id"

struct member {
    char name[HF_NODE_NAME_MAX + 1];
    bool is_out; /* removed or away: nobody waits for it, and it has no lease */
};

/* A version that this node has to try. */
struct trial {
    uint64_t seq;
    char *keyring;
    char *key;
    uint32_t version;
    bool is_promoted; /* by the others */
};

struct hf_peers {
    struct hf_node *node;
    struct hf_cluster *cluster;
    char *stamp_file;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t news;
    uint64_t told;
    size_t waiting;
    struct hf_mac *mac; /* of heartbeats; NULL: not read since the unlock */
    struct member *members;
    size_t member_count;
    struct trial *trials; /* from next_trial on */
    size_t next_trial;
    size_t trial_count;

    /* of the thread that makes the turns */
    struct hf_key_place missed; /* where the walk over what was missed stands */
    uint64_t applied;
    uint64_t lull_ms; /* until then something is under way */
    uint64_t look_ms; /* when the store is looked at next, whatever the others say */
    char last[HF_OP_TEXT_MAX];
};

/* --- what the cluster layer needs --- */

static struct hf_status read_mac_key(struct hf_peers *peers, struct hf_op *op, struct hf_mac **out)
{
    HF_AUTO(secret) key = NULL;

    HF_TRY(hf_seal_secret(peers->node->seal, op, MAC_KEY, MAC_KEY_LEN, &key));
    return hf_mac_new(peers->node->crypto, op, hf_secret_bytes(key), out);
}

static struct hf_status compute_mac(void *context, struct hf_op *op, struct hf_bytes text,
                                    uint8_t out[HF_CLUSTER_MAC_LEN])
{
    struct hf_peers *peers = context;
    struct hf_mac *fresh = NULL;
    struct hf_status status;

    pthread_mutex_lock(&peers->lock);
    if (peers->mac == NULL) {
        /* The store may be asked for it, so not with the lock. */
        pthread_mutex_unlock(&peers->lock);
        HF_TRY(read_mac_key(peers, op, &fresh));
        pthread_mutex_lock(&peers->lock);
        hf_mac_free(peers->mac);
        peers->mac = fresh;
    }
    status = hf_mac_compute(peers->mac, op, &text, 1, out);
    pthread_mutex_unlock(&peers->lock);
    return status;
}

/* In the order of their commits, which is that in which they come, as a rule, and are taken. */
static void add_trial(struct hf_peers *peers, const struct trial *trial)
{
    size_t at = peers->trial_count;

    peers->trials = hf_realloc_array(peers->trials, peers->trial_count + 1, sizeof *peers->trials);
    while (at > peers->next_trial && peers->trials[at - 1].seq > trial->seq) {
        peers->trials[at] = peers->trials[at - 1];
        at--;
    }
    peers->trials[at] = *trial;
    peers->trial_count++;
}

static void note_candidate(void *context, const struct hf_candidate *candidate)
{
    struct hf_peers *peers = context;
    const struct trial trial = {
        .seq = candidate->seq,
        .keyring = hf_strdup(candidate->keyring),
        .key = hf_strdup(candidate->key),
        .version = candidate->version,
        .is_promoted = candidate->is_promoted,
    };

    pthread_mutex_lock(&peers->lock);
    add_trial(peers, &trial);
    pthread_mutex_unlock(&peers->lock);
    hf_cluster_candidate(peers->cluster, candidate->seq);
}

/* The commits of a stretch that was applied just now. */
struct stretch {
    struct hf_cluster *cluster;
    uint64_t after, up_to;
};

/*
 * A record that does not open tells nothing, not even that it is a candidate. So the commit that
 * brought it is to be tried: trying what was never noted fails.
 */
static void note_damaged(void *context, const struct hf_damaged *record)
{
    const struct stretch *stretch = context;

    if (record->seq > stretch->after && record->seq <= stretch->up_to) {
        hf_cluster_candidate(stretch->cluster, record->seq);
    }
}

static struct hf_status follow(void *context, struct hf_op *op, uint64_t up_to,
                               uint64_t *out_applied)
{
    struct hf_peers *peers = context;
    uint64_t applied;
    uint64_t seq;

    /* The engine shows nothing that is not confirmed, so going further does no harm. After a lock
     * the numbers may begin lower. */
    (void)up_to;
    HF_TRY(hf_mirror_follow(peers->node->engine, op, &seq));
    HF_TRY(hf_seal_follow(peers->node->seal, op, &applied));
    if (applied != peers->applied) {
        if (hf_seal_damage(peers->node->seal, NULL, NULL) > 0) {
            struct stretch stretch = { peers->cluster, peers->applied, applied };

            (void)hf_seal_damage(peers->node->seal, note_damaged, &stretch);
        }
        peers->applied = applied;
        peers->lull_ms = hf_env_boottime_ms(op->env) + LULL_MS;
    }
    *out_applied = applied;
    return HF_SUCCESS;
}

static void trial_done(struct trial *trial)
{
    free(trial->keyring);
    free(trial->key);
}

/* Takes one of that commit out of the list; false: there is none. */
static bool take_trial(struct hf_peers *peers, uint64_t seq, struct trial *out)
{
    size_t first;
    size_t at;
    bool found;

    pthread_mutex_lock(&peers->lock);
    first = peers->next_trial;
    at = first;
    while (at < peers->trial_count && peers->trials[at].seq < seq) {
        at++;
    }
    found = at < peers->trial_count && peers->trials[at].seq == seq;
    if (found) {
        *out = peers->trials[at];
        memmove(&peers->trials[first + 1], &peers->trials[first], (at - first) * sizeof *out);
        peers->next_trial++;
    }
    if (peers->next_trial == peers->trial_count) {
        peers->next_trial = 0;
        peers->trial_count = 0;
    }
    pthread_mutex_unlock(&peers->lock);
    return found;
}

/* What other nodes serve is theirs to prove: nobody counts what this one says of it. */
static struct hf_status try_version(struct hf_peers *peers, struct hf_op *op,
                                    const struct hf_candidate *version)
{
    struct hf_keys *keys = peers->node->keys;
    struct hf_status status;

    if (!hf_keyring_is_served_by(keys, op, version->keyring, peers->node->config->node)) {
        return HF_SUCCESS;
    }
    status = hf_key_prove(keys, op, version->keyring, version->key, version->version);
    /* A copy that is made anew under its reader wants to be asked again. */
    if (status.code == HF_UNAVAILABLE) {
        hf_op_clear(op);
        status = hf_key_prove(keys, op, version->keyring, version->key, version->version);
    }
    /* Deleted or destroyed since. */
    if (version->is_promoted && status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    if (version->is_promoted && status.code != HF_OK && hf_seal_is_unlocked(peers->node->seal)) {
        HF_AUTO_STRING text = hf_format("%.64s/%.64s@%" PRIu32 ": %.100s", version->keyring,
                                        version->key, version->version, op->text);

        HF_WARNING(op->env, "this node cannot open what others have promoted: %s", text);
        hf_cluster_unopened(peers->cluster, text);
    }
    return status;
}

static struct hf_status open_version(void *context, struct hf_op *op, uint64_t seq)
{
    struct hf_peers *peers = context;
    struct hf_status status = HF_SUCCESS;
    struct trial trial = { 0 };
    bool is_known = false;

    /* A root that moves writes many records with one commit. */
    while (take_trial(peers, seq, &trial)) {
        const struct hf_candidate version = { .keyring = trial.keyring,
                                              .key = trial.key,
                                              .version = trial.version,
                                              .is_promoted = trial.is_promoted };
        struct hf_status tried = try_version(peers, op, &version);

        status = tried.code != HF_OK ? tried : status;
        trial_done(&trial);
        is_known = true;
    }
    if (!is_known) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a record of commit %" PRIu64 " does not open", seq);
    }
    return status;
}

/* That one does not open keeps no other from being tried, nor this node from its lease. */
static struct hf_status open_one_missed(void *context, struct hf_op *op,
                                        const struct hf_candidate *version)
{
    struct hf_peers *peers = context;

    if (try_version(peers, op, version).code != HF_OK) {
        hf_op_clear(op);
    }
    return HF_SUCCESS;
}

static struct hf_status open_missed(void *context, struct hf_op *op, uint64_t after_seq,
                                    bool from_beginning, bool *out_left)
{
    struct hf_peers *peers = context;
    uint64_t until_ms = hf_env_boottime_ms(op->env) + MISSED_MS;
    bool is_done = false;

    if (from_beginning) {
        hf_key_place_done(&peers->missed);
        peers->missed = (struct hf_key_place){ 0 };
    }
    while (!is_done && hf_env_boottime_ms(op->env) < until_ms) {
        HF_TRY(hf_keys_each_newer(peers->node->keys, op, after_seq, &peers->missed, open_one_missed,
                                  peers, &is_done));
    }
    *out_left = !is_done;
    return HF_SUCCESS;
}

/* Beside the copy whose age it tells, with a MAC, so that nobody makes an old copy look fresh. */
static struct hf_status keep_stamp(void *context, struct hf_op *op, struct hf_bytes stamp)
{
    struct hf_peers *peers = context;
    HF_AUTO(buf) content = hf_buf_new();
    uint8_t mac[HF_CLUSTER_MAC_LEN];

    HF_TRY(compute_mac(peers, op, stamp, mac));
    hf_buf_add_bytes(content, stamp);
    hf_buf_add(content, mac, sizeof mac);
    return hf_private_file_replace(op, peers->stamp_file, hf_buf_bytes(content));
}

static struct hf_status read_stamp(struct hf_peers *peers, struct hf_op *op)
{
    HF_AUTO(secret) content = NULL;
    uint8_t mac[HF_CLUSTER_MAC_LEN];
    struct hf_bytes bytes;
    struct hf_bytes kept;

    if (access(peers->stamp_file, F_OK) != 0 && errno == ENOENT) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_private_file_read(op, peers->stamp_file, STAMP_MAX, &content));
    bytes = hf_secret_bytes(content);
    if (bytes.len <= sizeof mac) {
        return hf_fail(op, HF_CORRUPT, "%s is cut short", peers->stamp_file);
    }
    bytes.len -= sizeof mac;
    kept = hf_bytes_of(bytes.data + bytes.len, sizeof mac);
    HF_TRY(compute_mac(peers, op, bytes, mac));
    if (!hf_bytes_equal_constant_time(kept, hf_bytes_of(mac, sizeof mac))) {
        return hf_fail(op, HF_CORRUPT, "%s is not what this cluster has written",
                       peers->stamp_file);
    }
    return hf_cluster_recall_stamp(peers->cluster, op, bytes);
}

/* --- waiting --- */

static void wait_for_news(void *context, uint64_t news, uint64_t until_ms)
{
    struct hf_peers *peers = context;
    uint64_t now_ms = hf_env_boottime_ms(peers->node->env);
    struct timespec until = hf_monotonic_in(until_ms > now_ms ? until_ms - now_ms : 0);

    pthread_mutex_lock(&peers->lock);
    peers->waiting++;
    while (peers->told <= news &&
           pthread_cond_clockwait(&peers->news, &peers->lock, CLOCK_MONOTONIC, &until) == 0) {
    }
    peers->waiting--;
    pthread_mutex_unlock(&peers->lock);
}

static void tell(void *context, uint64_t news)
{
    struct hf_peers *peers = context;

    pthread_mutex_lock(&peers->lock);
    peers->told = news;
    pthread_cond_broadcast(&peers->news);
    pthread_mutex_unlock(&peers->lock);
}

static void wake(void *context)
{
    const struct hf_peers *peers = context;
    struct hf_node *node = peers->node;

    pthread_mutex_lock(&node->lock);
    node->turn_wanted = true;
    pthread_cond_broadcast(&node->wake);
    pthread_mutex_unlock(&node->lock);
}

static const struct hf_cluster_calls calls = {
    compute_mac, follow, open_version, open_missed, keep_stamp, wait_for_news, tell, wake,
};

/* --- the members --- */

static struct member *place_of(struct hf_peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->member_count; i++) {
        if (strcmp(peers->members[i].name, name) == 0) {
            return &peers->members[i];
        }
    }
    peers->members =
        hf_realloc_array(peers->members, peers->member_count + 1, sizeof *peers->members);
    return memset(&peers->members[peers->member_count++], 0, sizeof *peers->members);
}

static void hand_on_members(struct hf_peers *peers)
{
    const char **names;
    size_t count = 0;

    pthread_mutex_lock(&peers->lock);
    names = hf_alloc_array(peers->member_count + 1, sizeof *names);
    for (size_t i = 0; i < peers->member_count; i++) {
        if (!peers->members[i].is_out) {
            names[count++] = peers->members[i].name;
        }
    }
    hf_cluster_set_members(peers->cluster, names, count);
    pthread_mutex_unlock(&peers->lock);
    free(names);
}

/* The background looks whether it is this machine, or another one that has its name. */
static void note_own(struct hf_node *node, const struct hf_member *member)
{
    if (strcmp(member->node.name, node->config->node) != 0) {
        return;
    }
    pthread_mutex_lock(&node->lock);
    node->may_be_out = member->state == HF_MEMBER_REMOVED || member->former.len > 0;
    node->chores_wanted = node->may_be_out;
    pthread_cond_broadcast(&node->wake);
    pthread_mutex_unlock(&node->lock);
}

static struct hf_status take_member(void *context, struct hf_op *op,
                                    const struct hf_opened_view *record)
{
    struct hf_peers *peers = context;
    HF_AUTO(member) member = NULL;
    struct member *place;

    HF_TRY(hf_member_parse(op, record->plain, &member));
    note_own(peers->node, member);
    pthread_mutex_lock(&peers->lock);
    place = place_of(peers, member->node.name);
    memcpy(place->name, member->node.name, strlen(member->node.name) + 1);
    place->is_out =
        member->state == HF_MEMBER_REMOVED || hf_member_is_away(member) || record->tombstone;
    pthread_mutex_unlock(&peers->lock);
    /* During the unlock the list is not whole yet: hf_peers_unlocked() hands it on. */
    if (hf_seal_is_unlocked(peers->node->seal)) {
        hand_on_members(peers);
    }
    return HF_SUCCESS;
}

static void forget_mac(struct hf_peers *peers)
{
    pthread_mutex_lock(&peers->lock);
    hf_mac_free(peers->mac);
    peers->mac = NULL;
    pthread_mutex_unlock(&peers->lock);
}

static void forget(void *context)
{
    struct hf_peers *peers = context;

    pthread_mutex_lock(&peers->lock);
    peers->member_count = 0;
    while (peers->trial_count > peers->next_trial) {
        trial_done(&peers->trials[--peers->trial_count]);
    }
    peers->next_trial = 0;
    peers->trial_count = 0;
    pthread_mutex_unlock(&peers->lock);
    forget_mac(peers);
    hf_cluster_forget(peers->cluster);
}

void hf_peers_unlocked(struct hf_peers *peers)
{
    struct hf_op op;

    if (peers == NULL) {
        return;
    }
    hf_op_init(&op, peers->node->env);
    hand_on_members(peers);
    /* Without the stamp it opens nothing until it has followed the store: nor what was revoked. */
    if (hf_service_revocations_recall(peers->node->service, &op).code != HF_OK) {
        HF_ERROR(peers->node->env,
                 "which keys were revoked on this node cannot be read, so it opens nothing until "
                 "there is a lease: %s",
                 op.text);
    } else if (read_stamp(peers, &op).code != HF_OK) {
        HF_WARNING(peers->node->env,
                   "how old the copy of the store is, is not known until there is a lease: %s",
                   op.text);
    }
    wake(peers);
}

/* --- the thread --- */

/* Tells the log when the words change, not with each turn. */
static void report(struct hf_peers *peers, const struct hf_op *op)
{
    if (strcmp(op->text, peers->last) == 0) {
        return;
    }
    if (op->text[0] != '\0') {
        HF_ERROR(op->env, "what other nodes changed is not in use here: %s", op->text);
    } else {
        HF_INFO(op->env, "what other nodes changed is in use again");
    }
    memcpy(peers->last, op->text, sizeof peers->last);
}

/*
 * What the turns do not look at: the state of the copy, which reports itself what is wrong with it,
 * and a store that went back in time.
 */
static void look_at_store(struct hf_peers *peers, struct hf_op *op)
{
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    uint64_t seq;

    if (now_ms < peers->look_ms) {
        return;
    }
    (void)hf_mirror_follow(peers->node->engine, op, &seq).code;
    hf_op_clear(op);
    peers->look_ms = hf_env_boottime_ms(op->env) + LOOK_MS;
}

uint64_t hf_peers_turn(struct hf_peers *peers, struct hf_op *op)
{
    uint64_t now_ms;
    uint64_t next_ms;
    bool is_busy;

    look_at_store(peers, op);
    if (!hf_seal_is_unlocked(peers->node->seal)) {
        /* Again, for a turn that was under way when the node was locked. */
        forget_mac(peers);
        peers->applied = 0;
        return LOOK_MS;
    }
    (void)hf_cluster_tick(peers->cluster, op, &next_ms).code;
    /* It may have been locked meanwhile; and what the copy says of the store is in the log. */
    report(peers, op);
    hf_op_clear(op);
    hf_service_revocations_end(peers->node->service, op);
    now_ms = hf_env_boottime_ms(op->env);
    pthread_mutex_lock(&peers->lock);
    is_busy = peers->waiting > 0 || now_ms < peers->lull_ms;
    pthread_mutex_unlock(&peers->lock);
    return is_busy ? BUSY_MS : IDLE_MS;
}

static void *run(void *context)
{
    struct hf_peers *peers = context;
    uint64_t ms = 0;
    struct hf_op op;

    hf_op_init(&op, peers->node->env);
    op.lane = hf_net_lanes(peers->node->net) + 1;
    op.stop = &peers->node->follower_stops;
    while (hf_node_wait(peers->node, ms, &peers->node->turn_wanted)) {
        ms = hf_peers_turn(peers, &op);
    }
    return NULL;
}

/* Not before the listeners are open, so that a client finds a node that may answer; but no longer
 * than this, since without a lease it may open keys. */
static void await_first_lease(struct hf_peers *peers)
{
    struct hf_op op;

    hf_op_init(&op, peers->node->env);
    op.deadline_ms = hf_env_boottime_ms(op.env) + FIRST_LEASE_MS;
    if (hf_seal_is_unlocked(peers->node->seal)) {
        (void)hf_cluster_wait_lease(peers->cluster, &op).code;
    }
}

struct hf_status hf_peers_start(struct hf_peers *peers, struct hf_op *op)
{
    int error;

    if (peers == NULL) {
        return HF_SUCCESS;
    }
    error = pthread_create(&peers->node->follower, NULL, run, peers);
    if (error != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    peers->node->follower_runs = true;
    await_first_lease(peers);
    return HF_SUCCESS;
}

void hf_peers_stop_waiting(struct hf_peers *peers)
{
    if (peers != NULL) {
        hf_cluster_stop(peers->cluster);
    }
}

/* --- beginning and end --- */

/* "c1f2...-..." as 16 bytes. */
static struct hf_status read_boot_id(struct hf_op *op, uint8_t out[HF_BOOT_ID_LEN])
{
    HF_AUTO(buf) id = hf_buf_new();
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    char text[64] = "";
    size_t used = 0;
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    if (fd >= 0) {
        (void)close(fd);
    }
    for (ssize_t i = 0; i < len; i++) {
        if (text[i] != '-' && text[i] != '\n') {
            text[used++] = text[i];
        }
    }
    HF_TRY(hf_hex_decode(op, hf_bytes_of(text, used), id));
    if (id->len != HF_BOOT_ID_LEN) {
        return hf_fail(op, HF_UNAVAILABLE, "%s cannot be read", BOOT_ID_FILE);
    }
    memcpy(out, id->data, HF_BOOT_ID_LEN);
    return HF_SUCCESS;
}

struct hf_status hf_peers_new(struct hf_op *op, struct hf_node *node, struct hf_peers **out)
{
    HF_AUTO(peers) peers = NULL;
    struct hf_mirror_info info;
    struct hf_cluster_settings settings = {
        .env = node->env,
        .engine = node->engine,
        .node = node->config->node,
        .site = node->config->site != NULL ? node->config->site : "",
        .poll_ms = IDLE_MS,
        .calls = &calls,
    };
    struct hf_consumer consumer = { .kind = HF_KIND_MEMBER, .apply = take_member, .clear = forget };

    /* A store that is this node's alone is changed by this node alone. */
    if (!hf_mirror_info(node->engine, &info)) {
        return HF_SUCCESS;
    }
    peers = hf_alloc(sizeof *peers);
    peers->node = node;
    pthread_mutex_init(&peers->lock, NULL);
    pthread_cond_init(&peers->news, NULL);
    peers->stamp_file = hf_format("%s/fresh", node->config->store_mirror);
    HF_TRY(read_boot_id(op, settings.boot_id));
    settings.context = peers;
    HF_TRY(hf_cluster_new(op, &settings, &peers->cluster));
    consumer.context = peers;
    hf_seal_add_consumer(node->seal, &consumer);
    hf_keys_on_candidate(node->keys, note_candidate, peers);
    *out = HF_TAKE(peers);
    return HF_SUCCESS;
}

void hf_peers_free(struct hf_peers *peers)
{
    if (peers != NULL) {
        if (peers->cluster != NULL) {
            forget(peers);
        }
        hf_cluster_free(peers->cluster);
        pthread_cond_destroy(&peers->news);
        pthread_mutex_destroy(&peers->lock);
        free(peers->members);
        free(peers->trials);
        hf_key_place_done(&peers->missed);
        free(peers->stamp_file);
        free(peers);
    }
}

struct hf_cluster *hf_peers_cluster(struct hf_peers *peers)
{
    return peers != NULL ? peers->cluster : NULL;
}
