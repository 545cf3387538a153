/*
 * The small world of the tests of identity, policy and service: clocks that a test moves, a store
 * in memory behind the failing engine, two slots, and a seal. One per program.
 */
#pragma once

#include <stdatomic.h>

#include "test.h"

#include "base/alloc.h"
#include "seal/seal.h"

#define WORLD_START_MS 1800000000000U

struct small_world {
    struct hf_env env;
    _Atomic uint64_t now_ms;  /* realtime, as it stands */
    _Atomic uint64_t boot_ms; /* boottime, likewise */
    struct hf_op op;          /* of the server itself */
    struct hf_crypto *crypto;
    char directory[64];
    struct hf_protector *protector; /* opens the slot "node" */
    struct hf_protector *offline;
    struct hf_engine *tamper; /* under it: shows altered records */
    struct hf_engine *engine; /* the failing one */
    struct hf_seal *seal;
};
extern struct small_world small_world;

/* Secret memory, OpenSSL, a directory: once per program, for cmocka's group setup and teardown. */
int small_world_start(void **unused);
int small_world_stop(void **unused);

/* A new store, and a locked seal over it. */
void small_world_new_store(void);
/* A locked seal over the store there is; the one before must be closed. */
void small_world_open_seal(void);
void small_world_unlock(void);
void small_world_close_seal(void);
void small_world_drop_store(void);

/* The store shows that record with a bit changed, as one who can write its files would leave it. */
void small_world_alter(const char *path);
/* All records are as they were written. */
void small_world_restore(void);

/* An operation of the server itself on a lane. */
struct hf_op small_world_op(unsigned lane);
/* Both clocks go on. */
void small_world_pass(uint64_t ms);
/* The path of a file in the directory; the caller frees it. */
char *small_world_path(const char *name);
/* Commits one change of a record. */
struct hf_status small_world_put(enum hf_kind kind, const char *path, uint64_t expected,
                                 struct hf_bytes plain);
