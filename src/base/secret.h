/*
 * Secret memory: key material that is locked, guarded, wiped, not dumped and not inherited.
 *
 * Blocks come from slab arenas between guard pages, backed by memfd_secret(2) with MADV_DONTFORK,
 * or by mlock(2) with MADV_DONTDUMP and MADV_WIPEONFORK where the kernel has none. A block that is
 * freed is wiped at once. A guard word behind each block is checked on free.
 *
 * The arenas are the process's only mutable globals: OpenSSL's allocator hooks know no context.
 *
 * Threads: every function may be called from any thread; one secret is not changed by two at once.
 */
#pragma once

#include <stddef.h>

#include "base/bytes.h"
#include "base/op.h"

enum hf_secret_backing {
    HF_SECRET_MEMFD,    /* memfd_secret: not even the kernel maps it */
    HF_SECRET_MLOCK,    /* locked ordinary memory */
    HF_SECRET_UNLOCKED, /* only where the configuration says so; status shows it */
};

struct hf_secret_settings {
    size_t max_bytes;    /* of all arenas together; 0: 64 MiB */
    bool allow_unlocked; /* go on when memory cannot be locked, or swap is on and nothing locked */
};

/*
 * Sets the arenas up, once per process, before any thread starts and before any OpenSSL call.
 * Also makes the process non-dumpable and sets the core limit to 0.
 * Where less may be locked than max_bytes, but 1 MiB at least, that becomes the limit.
 * Fails with HF_NO_SPACE when memory cannot be locked, or swap is on, and that is not allowed.
 */
HF_STATUS hf_secret_start(struct hf_op *op, const struct hf_secret_settings *settings);

enum hf_secret_backing hf_secret_backing(void);
/* Bytes of the blocks handed out (with their rounding) and the limit, for status and metrics. */
void hf_secret_usage(size_t *out_used, size_t *out_max);

struct hf_secret;

/* Zeroed secret memory of len bytes; HF_NO_SPACE when the arenas are full. */
HF_STATUS hf_secret_new(struct hf_op *op, size_t len, struct hf_secret **out);
/* A secret with a copy of these bytes; the caller still wipes its own. */
HF_STATUS hf_secret_copy(struct hf_op *op, struct hf_bytes bytes, struct hf_secret **out);
void hf_secret_free(struct hf_secret *secret);
HF_DEFINE_CLEANUP(secret)

struct hf_bytes hf_secret_bytes(const struct hf_secret *secret);
uint8_t *hf_secret_data(struct hf_secret *secret);
size_t hf_secret_len(const struct hf_secret *secret);
/* Makes it shorter; the cut-off bytes are wiped. */
void hf_secret_truncate(struct hf_secret *secret, size_t len);
/* Equal, in time that depends on the lengths only. */
bool hf_secret_equal(const struct hf_secret *a, const struct hf_secret *b);

/*
 * Raw blocks of the arenas, for OpenSSL's hooks and for structs that hold cipher contexts.
 * NULL when the arenas are full or not set up. hf_arena_owns() says whether a pointer came from
 * here. In a forked child the blocks are gone: there nothing can be had, and free does nothing.
 * New bytes are zero, also those that realloc adds. A damaged or foreign block ends the process.
 */
void *hf_arena_alloc(size_t len);
void *hf_arena_realloc(void *block, size_t len);
void hf_arena_free(void *block);
bool hf_arena_owns(const void *block);
