/*
 * What the files of the daemon share.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "admin/admin.h"
#include "daemon/node.h"
#include "hadoop/hadoop.h"
#include "http/door.h"
#include "identity/cookie.h"

#define MAX_DOORS 4
/* How long the server's own work waits for a store that is away: a stop waits for it. */
#define HF_NODE_PATIENCE_MS 15000

/* What a listener serves, by one configuration; a reload replaces it as a whole. */
struct served {
    const struct hf_config_listener *config;
    struct hf_hadoop *hadoop;
    const struct hf_door *doors[MAX_DOORS];
    struct hf_http_served http;
    struct served *older; /* requests may still be under way in it: freed with the listener */
};

struct listener {
    struct served *_Atomic served; /* changed by the main thread only */
    struct hf_tls *tls;            /* NULL: plain */
    struct hf_http_listener http;
    struct hf_protocol protocol;
};

/* A configuration that a reload has brought; the ones before stay, as listeners point into them. */
struct loaded {
    struct hf_config *config;
    struct loaded *older;
};

struct hf_node {
    struct hf_env *env;
    const struct hf_config *config; /* of the start */
    struct loaded *loaded;          /* since then, the last first; the main thread's */
    struct hf_crypto *crypto;
    struct hf_store_settings store; /* what engine was opened by; views of config */
    struct hf_engine *engine;
    struct hf_seal *seal;
    struct hf_keys *keys;
    struct hf_policy *policy;
    struct hf_audit *audit;
    struct hf_service *service;
    struct hf_cookies *cookies;
    struct hf_admin *admin;
    struct hf_pkey *audit_signer;
    struct hf_net *net;
    struct hf_door health;
    struct listener *listeners;
    struct hf_http_room room; /* for what requests of all listeners hold */

    struct hf_drill_slot *drill_slots; /* the configured ones, for the service */
    pthread_t jobs;
    bool jobs_run;
    pthread_t drill; /* this node's part of one, while it runs; the jobs' thread starts it */
    bool drill_runs;
    atomic_bool drill_ended;

    pthread_t background;
    bool background_runs;
    struct hf_peers *peers;
    pthread_t follower; /* makes the turns among the peers */
    bool follower_runs;
    atomic_bool follower_stops; /* whatever it waits for */
    pthread_mutex_t lock;       /* guards the rest */
    pthread_cond_t wake;
    bool turn_wanted;   /* of the follower, at once */
    bool chores_wanted; /* of the background, at once */
    bool may_be_out;    /* a key of the node's name was removed, perhaps its own */
    bool stopping;
};

/* --- listeners.c --- */
struct hf_status hf_node_listen(struct hf_node *node, struct hf_op *op);
void hf_node_free_listeners(struct hf_node *node);
/* Certificates as the configuration names them, loaded and checked; NULL for a plain listener. */
struct hf_status hf_listener_open_tls(struct hf_op *op, const struct hf_config_listener *config,
                                      struct hf_tls **out);
struct served *hf_served_new(struct hf_node *node, const struct hf_config_listener *config);
void hf_served_free(struct served *served);
/* From now on the listener serves this. */
void hf_listener_serve(struct hf_node *node, struct listener *listener, struct served *served);

/* --- reload.c --- */
void hf_node_free_loaded(struct hf_node *node);

/* --- health.c --- */
void hf_node_make_health(struct hf_node *node);

/* --- status.c: what only the daemon knows --- */
void hf_node_status(void *context, void (*visit)(void *context, const struct hf_status_item *item),
                    void *visit_context);

/* --- node.c --- */
/* Tries the configured slots; a node that none opens stays locked, which is no failure. */
struct hf_status hf_node_unlock(struct hf_node *node, struct hf_op *op);

/* --- site.c --- */
struct hf_service_outside hf_node_outside(struct hf_node *node);

/* --- revoked.c --- */
struct hf_status hf_node_keep_revocations(void *context, struct hf_op *op, struct hf_bytes content);
struct hf_status hf_node_recall_revocations(void *context, struct hf_op *op,
                                            struct hf_secret **out);

/* --- renew.c --- */
#define HF_RENEW_BEFORE_MS ((uint64_t)30 * 24 * 3600 * 1000)
/* Those of the configured listeners that the store's authority has signed and that end soon. */
void hf_node_renew_certificates(struct hf_node *node, struct hf_op *op);

/* --- jobs.c --- */
/* The configured slots as the service takes them. */
void hf_node_make_drill_slots(struct hf_node *node);
struct hf_status hf_node_start_jobs(struct hf_node *node, struct hf_op *op);
/* Waits for the end of what runs; hf_node_stop_background() has told it to come. */
void hf_node_stop_jobs(struct hf_node *node);

/* --- background.c --- */
/* After each unlock: cookie secrets, notes that the trail lacks, the pin, its place as a member. */
void hf_node_unlocked(void *node);
/* After each lock: cookie secrets go. */
void hf_node_locked(void *node);
/* When what is next due, on the boottime clock; 0: now, and for minutes first after each unlock. */
struct hf_chores {
    uint64_t minute_due_ms;
    uint64_t sign_due_ms;
    uint64_t regain_due_ms;
    uint64_t renew_due_ms;
    uint32_t proven_for; /* the root for which the slots were last proven */
};
/* Does what is due: the background thread calls it once a second, or again at once. */
void hf_node_do_chores(struct hf_node *node, struct hf_op *op, struct hf_chores *chores);
/* Logs what failed, unless that is because the node was locked meanwhile, and clears op. */
void hf_node_report(struct hf_node *node, struct hf_op *op, struct hf_status status,
                    const char *what);
/*
 * Sleeps so long, or until *wanted (of those that node->lock guards; NULL: none) is set, which it
 * resets; false, at once, when the node stops.
 */
bool hf_node_wait(struct hf_node *node, uint64_t wait_ms, bool *wanted);
struct hf_status hf_node_start_background(struct hf_node *node, struct hf_op *op);
/* And the thread that follows. */
void hf_node_stop_background(struct hf_node *node);

/* --- peers.c: this node among the others on a shared store; NULL for a store of its own --- */
struct hf_peers;

/* Leaves *out as it is for a store that is this node's alone. Before the unlock. */
struct hf_status hf_peers_new(struct hf_op *op, struct hf_node *node, struct hf_peers **out);
/* After everything that uses hf_peers_cluster(). */
void hf_peers_free(struct hf_peers *peers);
HF_DEFINE_CLEANUP(peers)
struct hf_cluster *hf_peers_cluster(struct hf_peers *peers);
/* After each unlock: the members as they are now, and how old the copy is. */
void hf_peers_unlocked(struct hf_peers *peers);
/* The thread that makes the turns. Waits a moment for the first lease. */
struct hf_status hf_peers_start(struct hf_peers *peers, struct hf_op *op);
/* Changes that wait for a lease are told that there will be none. */
void hf_peers_stop_waiting(struct hf_peers *peers);
/* One turn; gives how long to rest after it, in ms. */
uint64_t hf_peers_turn(struct hf_peers *peers, struct hf_op *op);
