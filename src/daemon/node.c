/* One running node: opened bottom up, closed top down. */
#include "daemon/node_internal.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/text.h"
#include "protect/private_file.h"

#define MKDIR_MODE      0700
#define WORKER_HOT_KEYS 64
#define AUDIT_KEY_MAX   4096
/* A store that is away is not waited for at the end. */
#define LAST_WRITES_MS 5000

static struct hf_status make_directory(struct hf_op *op, const char *path)
{
    if (mkdir(path, MKDIR_MODE) != 0 && errno != EEXIST) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make %s: %s", path, strerror(errno));
    }
    return HF_SUCCESS;
}

static struct hf_status open_store(struct hf_node *node, struct hf_op *op)
{
    const struct hf_config *config = node->config;
    struct hf_mirror_guard guard;

    node->store = (struct hf_store_settings){
        .engine = config->store_engine,
        .directory = config->store_directory,
        .hosts = (const char *const *)config->store_hosts,
        .site = config->site,
        .synchronous = config->store_synchronous,
        .allow_fewer = config->store_allow_fewer,
        .mirror = config->store_mirror,
    };
    HF_TRY(hf_engine_open(op, &node->store, &node->engine));
    HF_TRY(hf_seal_open(node->crypto, op, node->engine, config->pin_file, &node->seal));
    guard = hf_seal_guard(node->seal);
    hf_mirror_set_guard(node->engine, &guard);
    return HF_SUCCESS;
}

static struct hf_status open_audit(struct hf_node *node, struct hf_op *op)
{
    const struct hf_config *config = node->config;
    HF_AUTO(secret) key = NULL;
    struct hf_audit_settings settings = {
        .directory = config->audit_directory,
        .node = config->node,
        .when_full = config->audit_go_on_when_full ? HF_AUDIT_FULL_GO_ON : HF_AUDIT_FULL_STOP,
        .max_file_bytes = config->audit_max_file_bytes,
    };

    HF_TRY(make_directory(op, config->audit_directory));
    HF_TRY(hf_private_file_read(op, config->audit_key_file, AUDIT_KEY_MAX, &key));
    HF_TRY(hf_pkey_from_private(node->crypto, op, hf_secret_bytes(key), &node->audit_signer));
    settings.signer = node->audit_signer;
    return hf_audit_open(node->crypto, op, &settings, &node->audit);
}

/* A name, or the number of a user who has none. */
static struct hf_status find_owner(struct hf_op *op, const struct hf_config *config, uint32_t *out)
{
    const struct passwd *owner = getpwnam(config->owner);
    uint64_t number = 0;

    if (owner != NULL) {
        *out = owner->pw_uid;
        return HF_SUCCESS;
    }
    if (hf_parse_u64(op, config->owner, UINT32_MAX - 1, &number).code != HF_OK) {
        return hf_fail(op, HF_INVALID, "owner = \"%s\": there is no such user", config->owner);
    }
    *out = (uint32_t)number;
    return HF_SUCCESS;
}

/* What one turn of a loop has recorded is written before its answers leave (promise P9). */
static bool end_of_turn(void *context, unsigned lane)
{
    struct hf_node *node = context;
    struct hf_op op;

    (void)lane;
    hf_op_init(&op, node->env);
    if (hf_audit_write(node->audit, &op).code != HF_OK) {
        HF_ERROR(node->env, "the audit trail cannot be written: %s", op.text);
        return false;
    }
    return true;
}

static struct hf_status open_upper_half(struct hf_node *node, struct hf_op *op)
{
    const struct hf_config *config = node->config;
    const struct hf_net_settings net = {
        .loops = config->loops,
        .workers = config->workers,
        .max_connections = config->max_connections,
    };
    struct hf_service_parts parts = { 0 };
    struct hf_admin_settings admin = { 0 };
    uint32_t owner = 0;

    HF_TRY(find_owner(op, config, &owner));
    HF_TRY(hf_net_new(op, node->env, &net, &node->net));
    hf_net_on_turn(node->net, end_of_turn, node);
    node->keys = hf_keys_new(node->seal, hf_net_lanes(node->net) + 1);
    /* Workers come and go between many keys: each keeps few contexts. */
    for (unsigned lane = hf_net_loops(node->net); lane < hf_net_lanes(node->net); lane++) {
        hf_keys_set_hot_limit(node->keys, lane, WORKER_HOT_KEYS);
    }
    node->policy = hf_policy_new(node->seal);
    node->cookies = hf_cookies_new(node->seal, config->cookie_validity_ms);
    hf_cookies_follow(node->cookies);
    HF_TRY(hf_peers_new(op, node, &node->peers));
    hf_node_make_drill_slots(node);
    parts = (struct hf_service_parts){ .seal = node->seal,
                                       .keys = node->keys,
                                       .policy = node->policy,
                                       .audit = node->audit,
                                       .cookies = node->cookies,
                                       .node = config->node,
                                       .shared_store = node->peers != NULL,
                                       .cluster = hf_peers_cluster(node->peers),
                                       .max_waiting = (config->workers + 1) / 2,
                                       .store = &node->store,
                                       .outside = hf_node_outside(node),
                                       .site = config->site,
                                       .signer = node->audit_signer,
                                       .slots = node->drill_slots,
                                       .slot_count = config->slot_count,
                                       .min_ways = config->min_ways,
                                       .drill_every_ms = config->drill_every_ms };
    node->service = hf_service_new(&parts);
    admin = (struct hf_admin_settings){ .service = node->service,
                                        .owner_uid = owner,
                                        .status = hf_node_status,
                                        .unlocked = hf_node_unlocked,
                                        .locked = hf_node_locked,
                                        .context = node };
    node->admin = hf_admin_new(&admin);
    hf_node_make_health(node);
    return HF_SUCCESS;
}

struct hf_status hf_node_new(struct hf_op *op, struct hf_env *env, const struct hf_config *config,
                             struct hf_node **out)
{
    struct hf_node *node = hf_alloc(sizeof *node);
    struct hf_status status;

    node->env = env;
    node->config = config;
    pthread_mutex_init(&node->lock, NULL);
    pthread_cond_init(&node->wake, NULL);
    status = hf_crypto_new(op, &node->crypto);
    if (status.code == HF_OK) {
        status = open_store(node, op);
    }
    if (status.code == HF_OK) {
        status = open_audit(node, op);
    }
    if (status.code == HF_OK) {
        status = open_upper_half(node, op);
    }
    if (status.code != HF_OK) {
        hf_node_stop(node, 0);
        return status;
    }
    *out = node;
    return HF_SUCCESS;
}

/* --- unlocking at start --- */

/*
 * Whoever altered the copy of a shared store has not altered the store: one copy made anew is tried
 * before anything is refused. False when that was no help, or this is no copy.
 */
static bool renew_copy(struct hf_node *node)
{
    struct hf_mirror_info info;
    struct hf_op op;

    hf_op_init(&op, node->env);
    if (!hf_mirror_info(node->engine, &info) || info.copies > 0) {
        return false;
    }
    if (hf_mirror_renew(node->engine, &op, info.copies).code != HF_OK) {
        HF_ERROR(node->env, "%s", op.text);
        return false;
    }
    return true;
}

/* From the store's copy, or from another one where this one is altered. */
static struct hf_status unlock_whole(struct hf_node *node, struct hf_op *op,
                                     struct hf_protector *protector, struct hf_slot_info *out)
{
    struct hf_status status = hf_seal_unlock(node->seal, op, protector, out);
    bool is_altered;

    /* A copy that cannot be read is made anew under its first reader, who is to ask again. */
    if (status.code == HF_UNAVAILABLE) {
        hf_op_clear(op);
        status = hf_seal_unlock(node->seal, op, protector, out);
    }
    is_altered = status.code == HF_CORRUPT ||
                 (status.code == HF_OK && hf_seal_damage(node->seal, NULL, NULL) > 0);
    if (!is_altered || !renew_copy(node)) {
        return status;
    }
    hf_op_clear(op);
    hf_seal_lock(node->seal);
    return hf_seal_unlock(node->seal, op, protector, out);
}

/* *out_refused: the store was looked at, and has no slot that this opens. */
static struct hf_status try_slot(struct hf_node *node, struct hf_op *op,
                                 const struct hf_config_slot *slot, bool *out_refused)
{
    const struct hf_protector_settings settings = { .kind = slot->protector, .file = slot->file };
    HF_AUTO(protector) protector = NULL;
    struct hf_slot_info opened = { 0 };
    struct hf_status status;

    HF_TRY(hf_protector_open(node->crypto, op, &settings, &protector));
    status = unlock_whole(node, op, protector, &opened);
    *out_refused = *out_refused || status.code == HF_NOT_FOUND || status.code == HF_DENIED;
    HF_TRY(status);
    HF_INFO(node->env, "slot %s has opened the root key", opened.name);
    /* For status only: the node serves without it. */
    if (hf_seal_slot_proven(node->seal, op, opened.id).code != HF_OK) {
        HF_WARNING(node->env, "cannot record that slot %s opened: %s", opened.name, op->text);
        hf_op_clear(op);
    }
    return HF_SUCCESS;
}

/* The words of the seal are true, but whoever has just joined wants to know what to do. */
static void report_closed(struct hf_node *node, struct hf_op *op, struct hf_status status,
                          const struct hf_config_slot *slot)
{
    bool is_new = strcmp(slot->protector, "node") == 0 &&
                  (status.code == HF_DENIED || status.code == HF_NOT_FOUND);

    HF_WARNING(node->env, "slot %s does not open: %s%s", slot->name, op->text,
               is_new ? "; this store has not approved this node, or has removed it: approve what "
                        "'holdfast node join' prints with 'holdfast node approve'"
                      : "");
    hf_op_clear(op);
}

/* One after another, until one has opened. Gives up where the store is not the one we know. */
static struct hf_status try_slots(struct hf_node *node, struct hf_op *op, bool *out_refused)
{
    *out_refused = false;
    for (size_t i = 0; i < node->config->slot_count; i++) {
        struct hf_status status = try_slot(node, op, &node->config->slots[i], out_refused);

        if (status.code == HF_OK || status.code == HF_CORRUPT || status.code == HF_WRONG_STATE) {
            return status;
        }
        report_closed(node, op, status, &node->config->slots[i]);
    }
    return HF_SUCCESS;
}

/*
 * A slot that does not open is no reason to stop: the next may, or a person unlocks. A store that
 * is not the one we know is.
 */
struct hf_status hf_node_unlock(struct hf_node *node, struct hf_op *op)
{
    bool is_refused;

    HF_TRY(try_slots(node, op, &is_refused));
    /* A copy that has lost the records of slots looks as if this node had none. */
    if (!hf_seal_is_unlocked(node->seal) && is_refused && renew_copy(node)) {
        HF_TRY(try_slots(node, op, &is_refused));
    }
    if (!hf_seal_is_unlocked(node->seal)) {
        HF_WARNING(node->env, "the node is locked; open it with: holdfast --dir %s unlock",
                   node->config->directory);
    }
    return HF_SUCCESS;
}

void hf_node_require_seq(struct hf_node *node, uint64_t min_seq)
{
    hf_seal_require_seq(node->seal, min_seq);
}

struct hf_status hf_node_start(struct hf_node *node, struct hf_op *op)
{
    HF_TRY(hf_node_unlock(node, op));
    if (hf_seal_is_unlocked(node->seal)) {
        hf_node_unlocked(node);
    }
    HF_TRY(hf_peers_start(node->peers, op));
    HF_TRY(hf_node_listen(node, op));
    HF_TRY(hf_net_start(node->net, op));
    HF_TRY(hf_node_start_jobs(node, op));
    return hf_node_start_background(node, op);
}

static void write_what_is_due(struct hf_node *node)
{
    struct hf_op op;

    hf_op_init(&op, node->env);
    if (node->service == NULL || !hf_seal_is_unlocked(node->seal)) {
        return;
    }
    op.deadline_ms = hf_env_boottime_ms(node->env) + LAST_WRITES_MS;
    if (hf_usage_merge(node->keys, &op).code != HF_OK) {
        HF_WARNING(node->env, "usage counts of the last minute are lost: %s", op.text);
    }
    if (hf_service_feed_audit(node->service, &op).code != HF_OK) {
        HF_WARNING(node->env, "the trail will be completed at the next start: %s", op.text);
    }
    if (hf_seal_pin(node->seal, &op).code != HF_OK) {
        HF_WARNING(node->env, "the pin is not written: %s", op.text);
    }
}

void hf_node_stop(struct hf_node *node, uint64_t limit_ms)
{
    if (node == NULL) {
        return;
    }
    if (node->service != NULL) {
        hf_service_drill_stop(node->service);
    }
    hf_peers_stop_waiting(node->peers);
    if (node->net != NULL) {
        hf_net_drain(node->net, limit_ms);
    }
    hf_node_stop_background(node);
    hf_node_stop_jobs(node);
    write_what_is_due(node);
    hf_net_free(node->net);
    hf_node_free_listeners(node);
    hf_node_free_loaded(node);
    hf_admin_free(node->admin);
    hf_service_free(node->service);
    if (node->seal != NULL) {
        hf_seal_lock(node->seal);
    }
    hf_cookies_free(node->cookies);
    hf_policy_free(node->policy);
    hf_keys_free(node->keys);
    hf_audit_free(node->audit);
    hf_pkey_free(node->audit_signer);
    hf_peers_free(node->peers);
    if (node->engine != NULL) {
        hf_mirror_set_guard(node->engine, NULL);
    }
    hf_seal_free(node->seal);
    hf_engine_free(node->engine);
    hf_crypto_free(node->crypto);
    free(node->drill_slots);
    pthread_cond_destroy(&node->wake);
    pthread_mutex_destroy(&node->lock);
    free(node);
}
