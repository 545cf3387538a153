/*
 * The small world of the seal's tests: a directory, two key files, a store in memory behind the
 * tampering and the failing engine, and a seal over it.
 */
#pragma once

#include "tamper.h"
#include "test.h"

#include "base/alloc.h"
#include "seal/seal_internal.h"

struct world {
    struct hf_env env;
    struct hf_op op;
    struct hf_crypto *crypto;
    char directory[64];
    char *pin_file;
    struct hf_protector *node;    /* opens the slot "node-1" */
    struct hf_protector *offline; /* opens the slot "offline" */
    struct hf_engine *memory;
    struct hf_engine *tamper;
    struct hf_engine *engine; /* the failing one, which owns the others */
    struct hf_seal *seal;
};

/* Secret memory and OpenSSL on it: once per program, first thing in main(). */
void world_start_process(size_t secret_bytes);

/* A new store with two slots and a main key of RSA-2048, unlocked. For cmocka's setup. */
int world_setup(void **state);
/* The same, but no store yet. */
int world_setup_empty(void **state);
int world_teardown(void **state);

/* An engine in memory behind the two others; *world gets all three. */
void world_new_engine(struct world *world, uint8_t id);
/* Creates the store on the world's engine. */
struct hf_status world_create(struct world *world);
/* Frees the seal and opens a locked one over the same store. */
void world_reopen(struct world *world);
struct hf_status world_unlock(struct world *world);

struct hf_protector *world_keyfile(struct world *world, const char *name);

/* Puts one record in a transaction of its own. */
struct hf_status world_put(struct world *world, enum hf_kind kind, const char *path,
                           uint64_t expected, const char *text);
/* The record holds exactly this text at this revision. */
void world_expect(struct world *world, enum hf_kind kind, const char *path, uint64_t revision,
                  const char *text);
/* A copy of the record as the store shows it. */
struct hf_record *world_record(struct world *world, const char *path);

/* A request id that differs by one byte. */
struct hf_request_id request(uint8_t number);
/* Bytes of a text that is hex. */
struct hf_buf *bytes_of_hex(const char *hex);
void expect_hex(const char *what, struct hf_bytes bytes, const char *hex);

/* A consumer that writes down what it is told: "path@revision=text" or "path@revision-text". */
struct diary {
    pthread_mutex_t lock; /* guards the rest */
    struct hf_buf text;
    size_t count;
    size_t cleared;
};
void diary_init(struct diary *diary);
void diary_done(struct diary *diary);
void diary_attach(struct diary *diary, struct hf_seal *seal, enum hf_kind kind);
/* Everything told so far, lines joined by spaces; then forgotten. */
void diary_expect(struct diary *diary, const char *text);
