/*
 * What the store tests share: an engine in a directory of its own on a virtual clock, short ways to
 * change it, and a linker whose chain the tests can check.
 */
#pragma once

#include "store/store.h"
#include "test.h"
#include "test_env.h"

/* How to open one engine, and what it can do beyond the common contract. */
struct store_kind {
    const char *engine;
    bool lasts;           /* what it holds is there again after it was closed and opened */
    const char *snapshot; /* the engine that opens its snapshots; NULL: it writes none */
    bool is_remote;       /* on the database that HOLDFAST_TEST_POSTGRES names */
    bool is_mirrored;     /* behind a mirror */
};

extern const struct store_kind store_kinds[];
extern const size_t store_kind_count;
const struct store_kind *store_kind_named(const char *engine);

struct store_world {
    const struct store_kind *kind;
    struct test_env clock;
    struct hf_op op;
    char *root;      /* a new directory, gone with the world */
    char *directory; /* in it: of the engine */
    char *mirror;    /* in it: of the mirror's copy, if there is a mirror; else NULL */
    struct hf_engine *engine;
    uint32_t requests; /* made so far */
};

/* Makes the directory, not yet the engine. */
void store_world_init(struct store_world *world, const struct store_kind *kind);
/* The same in memory where there is a file system in memory: for tests that bring their own disk.
 */
void store_world_init_fast(struct store_world *world, const struct store_kind *kind);
void store_world_done(struct store_world *world);

/*
 * A world whose directory holds the files of another's store as they are now: what is left when the
 * process that has that store open is killed. On a database server it is a copy of the tables.
 */
void store_world_init_killed(struct store_world *world, const struct store_world *other);

/* Opens what is in the directory, or makes it. */
HF_STATUS store_world_open(struct store_world *world, bool create);
void store_world_close(struct store_world *world);

/* The same around a cmocka test; the initial state is the kind. */
int store_world_setup(void **state);
int store_world_teardown(void **state);

/* Stands in for SHA-256: another body gives another digest. */
void store_digest(struct hf_bytes bytes, uint8_t out[HF_DIGEST_LEN]);

/* A request id that is number everywhere. */
struct hf_request_id store_request_id(uint32_t number);

struct hf_change store_change(const char *path, uint64_t expected, const char *body);

/* A batch of these changes under a request id, with the linker below; digest is of the number. */
struct hf_batch store_batch(uint32_t request, const struct hf_change *changes, size_t count);

/* One change under a new request id. */
HF_STATUS store_put(struct store_world *world, const char *path, uint64_t expected,
                    const char *body);

/* The record's body must be this, at this revision. */
void assert_record(struct store_world *world, const char *path, uint64_t revision,
                   const char *body);

/*
 * A linker without a state of its own: link = mix(head, seq, path, revision, digest, old digest),
 * where head is the link before, and the new head is the last link.
 */
extern const struct hf_linker store_linker;
void store_link(struct hf_bytes before, uint64_t seq, const struct hf_linked *change,
                uint8_t out[HF_DIGEST_LEN]);

/* Everything an engine shows, as text: state, records, log. Equal texts are equal stores. */
char *store_dump(struct hf_engine *engine, struct hf_op *op);

/*
 * Runs each of these tests on each engine, or on those of a database if there is one to test with;
 * their setup is store_world_setup(). The result is that of main().
 */
int store_run_contract(const struct CMUnitTest *tests, size_t count);
