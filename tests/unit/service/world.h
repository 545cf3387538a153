/*
 * The world of the service's tests: a store in memory, an unlocked node with keys, policy, an audit
 * trail on a disk that can be made to fail, a keyring "hdfs", and people who call. One per program.
 */
#pragma once

#include "small_world.h"

#include "audit/trail.h"
#include "service/internal.h"

#define RING "hdfs"
#define DAY  ((uint64_t)24 * 3600 * 1000)

/* Who calls, and what the first policies let them do. */
#define ROOT    "unix:root"      /* operator and key-admin */
#define CERT    "cert:of-root"   /* the same person as ROOT, by the first policy; no rights */
#define ADMIN   "cert:admin"     /* like ROOT: the second person */
#define ALICE   "pseudo:alice"   /* key-user on the keyring */
#define CAROL   "krb5:carol"     /* auditor */
#define EVE     "cert:eve"       /* exports and reads keys of the keyring */
#define MALLORY "pseudo:mallory" /* nothing */

struct world {
    struct hf_keys *keys;
    struct hf_policy *policy;
    struct hf_audit *audit;
    struct hf_service *service;
    struct hf_pkey *signer;
    struct hf_metrics *metrics;
    struct hf_audit_disk disk;
    enum hf_audit_full when_full; /* of the trail, from the next start on */
    _Atomic bool disk_is_full;
    _Atomic bool sync_fails;
    _Atomic unsigned syncs;
};
extern struct world world;

/* For cmocka: group setup and teardown, then those of each test. */
int world_start(void **unused);
int world_stop(void **unused);
int world_open(void **unused);
int world_close(void **unused);

/* The process ends and comes back, with its files; the node is unlocked again. */
void world_restart(void);
/* The same in two steps, for what happens to files in between. */
void world_stop_node(void);
void world_start_node(void);

/* An operation of that caller ("unix:root"), on lane 0, under the door "test". */
struct hf_op world_as(const char *who);
/* The caller object of an id. */
const struct hf_caller *world_caller(const char *who);

/* The disk of the trail takes lines again, and the trail has seen it. */
void world_make_room(void);

/* A key made by ROOT that must be made. */
uint32_t world_key(const char *name, enum hf_algorithm algorithm);
uint32_t world_key_planned(const char *name, const struct hf_key_plan *plan);
void world_ring(const char *name, const struct hf_keyring_settings *settings);
/* The nodes that serve the keyring from now on, set by ROOT as it must be; none: all. */
void world_serve_on(const char *ring, const char *const *nodes, size_t count);
void world_policy(const char *name, const char *document);
struct hf_secret *world_secret(const void *data, size_t len);
struct hf_secret *world_secret_hex(const char *hex);

/*
 * How many lines of the trail, as it is on the disk with all notes brought over, hold all of these
 * texts (NULL: fewer).
 */
unsigned world_lines(const char *a, const char *b, const char *c);
/* The same without bringing notes over or writing: what is on the disk this moment. */
unsigned world_lines_on_disk(const char *a, const char *b, const char *c);
/* The daemon's jobs, as often as there is something to do now, whenever they last looked. */
void world_jobs(void);
/* How many notes in the store hold these texts. */
unsigned world_notes(const char *a, const char *b);
/* What status tells ROOT under that name: how often, and the last of it. */
struct world_item {
    const char *name;
    struct hf_status_item told;
    unsigned count;
};
struct world_item world_item(const char *name);
/* The same for one who visits the items himself; context is a struct world_item with its name. */
void world_take_item(void *context, const struct hf_status_item *item);
/* The commit the store stands at. */
uint64_t world_seq(void);

/* A line's beginning, as events are written. */
#define EVENT(operation, outcome, caller)                                                          \
    "\"operation\":\"" operation "\",\"outcome\":\"" outcome "\",\"caller\":\"" caller "\""

/* An id that differs by one byte. */
struct hf_request_id world_request(uint8_t number);
