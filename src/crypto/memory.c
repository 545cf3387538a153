/*
 * OpenSSL's allocator: arena memory inside our crypto calls, wiped ordinary memory outside of them.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto_internal.h"

/*
 * OpenSSL's hooks know no context, so what they need to know of the caller is kept per thread.
 * starved remembers a failed allocation because not every path of OpenSSL reports one as such.
 */
static _Thread_local unsigned depth;
static _Thread_local bool starved;

struct hf_secret_scope hf_secret_scope_enter(void)
{
    struct hf_secret_scope scope = { depth };

    if (depth == 0) {
        starved = false;
    }
    depth++;
    return scope;
}

void hf_secret_scope_leave(struct hf_secret_scope *scope)
{
    depth = scope->outer_depth;
    /* Not every path through a failed allocation ends in hf_crypto_fail(). */
    if (depth == 0 && starved) {
        hf_crypto_forget_errors();
    }
}

bool hf_secret_scope_starved(void)
{
    return starved;
}

void *hf_crypto_malloc(size_t len, const char *file, int line)
{
    void *block;

    (void)file;
    (void)line;
    if (len == 0) {
        return NULL;
    }
    block = depth > 0 ? hf_arena_alloc(len) : malloc(len);
    if (block == NULL) {
        starved = true;
    }
    return block;
}

void hf_crypto_free_block(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    if (block == NULL) {
        return;
    }
    /* By address, not by scope: thread-local state of OpenSSL is made inside and freed outside. */
    if (hf_arena_owns(block)) {
        hf_arena_free(block);
        return;
    }
    explicit_bzero(block, malloc_usable_size(block));
    free(block);
}

/* Not realloc(3): it may leave a copy behind unwiped. */
static void *move_ordinary(void *block, size_t len)
{
    size_t old_len = malloc_usable_size(block);
    void *moved = malloc(len);

    if (moved == NULL) {
        return NULL;
    }
    memcpy(moved, block, old_len < len ? old_len : len);
    explicit_bzero(block, old_len);
    free(block);
    return moved;
}

void *hf_crypto_realloc(void *block, size_t len, const char *file, int line)
{
    void *moved;

    if (block == NULL) {
        return hf_crypto_malloc(len, file, line);
    }
    if (len == 0) {
        hf_crypto_free_block(block, file, line);
        return NULL;
    }
    moved = hf_arena_owns(block) ? hf_arena_realloc(block, len) : move_ordinary(block, len);
    if (moved == NULL) {
        starved = true;
    }
    return moved;
}
