/*
 * The small world of the tests of keys: a store in memory behind the failing engine, an unlocked
 * seal, keys with one keyring "ring", and a clock that moves only when told. One per program.
 */
#pragma once

#include <stdatomic.h>

#include "test.h"

#include "base/alloc.h"
#include "keys/lane.h"

#define LANES 4
#define RING  "ring"
#define DAY   ((uint64_t)24 * 3600 * 1000)

struct world {
    struct hf_env env;
    _Atomic uint64_t now_ms; /* what the environment's realtime says */
    /* After so many looks at the clock of deadlines an hour is over; 0: never. */
    _Atomic uint64_t looks_before_the_hour;
    _Atomic uint64_t looks;
    struct hf_op op; /* of lane 0 */
    struct hf_crypto *crypto;
    char directory[64];
    struct hf_protector *protector;
    struct hf_engine *engine; /* the failing one */
    const char *pin_file;     /* NULL: none */
    struct hf_seal *seal;
    struct hf_keys *keys;
};
extern struct world world;

/* For cmocka's group setup and teardown. */
int world_open(void **unused);
int world_close(void **unused);
/* What a restart does: keys and seal go, and come back from the store. */
void world_restart(void);
/*
 * For who brings a store of his own: world.engine and world.pin_file are his while keys and seal
 * are closed. Filling an empty store leaves it open, with the keyring.
 */
void world_close_keys(void);
void world_fill_store(void);
HF_STATUS world_open_keys(void);
/* Another operation on the world's environment. */
struct hf_op world_op(unsigned lane);

/* Every change of a key, in one form, so that tests can go through all of them. */
enum change_kind {
    CHANGE_CREATE,
    CHANGE_ROTATE,
    CHANGE_SET_PRIMARY,
    CHANGE_REWRAP,
    CHANGE_STATE,
    CHANGE_DELETE,
    CHANGE_RECOVER,
    CHANGE_DESTROY,
    CHANGE_KEEP,
    CHANGE_ROTATE_CANDIDATE,
    CHANGE_PROMOTE,
    CHANGE_ABANDON,
};
struct change {
    enum change_kind kind;
    const char *name;
    uint32_t version;
    enum hf_key_event event;
    const struct hf_key_plan *plan; /* NULL: aes-256 */
    const struct hf_secret *material;
    bool force;
    const char *reason;
};
/* Stages it in a transaction, whose number of a new version or of moved ones goes to *out. */
struct hf_status stage_change(struct hf_op *op, struct hf_txn *txn, const struct change *change,
                              uint32_t *out);
/* Stages and commits it under a fresh request id. out may be NULL. */
struct hf_status do_change(struct hf_op *op, const struct change *change, uint32_t *out);

/* The change must work; gives the number. */
uint32_t must(const struct change *change);
uint32_t new_key(const char *name, enum hf_algorithm algorithm);
uint32_t rotate(const char *name);
void set_state(const char *name, uint32_t version, enum hf_key_event event);

struct hf_keyring_settings ring_settings(void);
void new_ring(const char *name, const struct hf_keyring_settings *settings);

/* The version as hf_key_versions() shows it; the test fails if it does not. */
struct hf_version_info version_of(const char *name, uint32_t version);
struct hf_key_info *info_of(const char *name);

struct hf_buf *unhex(const char *text);
struct hf_secret *secret_of(struct hf_bytes bytes);
/* Fails unless the call gave this code and this cause. */
void expect(const char *says, struct hf_status status, enum hf_code code, enum hf_cause cause);
