/*
 * Random bytes: secrets from OpenSSL's private generator, public ones from a buffer per thread.
 */
#include <limits.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/crypto_internal.h"

/* One call of the generator costs 600 ns whatever its size, so it is asked for many at a time. */
#define POOL_LEN 4096

struct pool {
    size_t left; /* unused bytes, at the end of bytes */
    uint8_t bytes[POOL_LEN];
};

static _Thread_local struct pool *pool; /* of this thread; NULL before its first use */
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_exit;

static void free_pool(void *memory)
{
    hf_wipe(memory, sizeof(struct pool));
    free(memory);
    pool = NULL;
}

/* Parent and child would go on with the same bytes; the child's one thread is the one here. */
void hf_random_forget(void)
{
    if (pool != NULL) {
        hf_wipe(pool, sizeof *pool);
    }
}

static void prepare(void)
{
    hf_assert(pthread_key_create(&at_thread_exit, free_pool) == 0);
    hf_assert(pthread_atfork(NULL, NULL, hf_random_forget) == 0);
}

static struct pool *own_pool(void)
{
    if (pool == NULL) {
        hf_assert(pthread_once(&prepared, prepare) == 0);
        pool = hf_alloc(sizeof *pool);
        hf_assert(pthread_setspecific(at_thread_exit, pool) == 0);
    }
    return pool;
}

static struct hf_status generate_public(struct hf_op *op, uint8_t *out, size_t len)
{
    HF_SECRET_SCOPE;

    if (!hf_crypto_ok(RAND_bytes(out, (int)len))) {
        return hf_crypto_fail(op, "making random bytes");
    }
    return HF_SUCCESS;
}

struct hf_status hf_random_public(struct hf_crypto *crypto, struct hf_op *op, uint8_t *out,
                                  size_t len)
{
    struct pool *mine = own_pool();
    uint8_t *taken;

    (void)crypto;
    while (len > POOL_LEN) {
        HF_TRY(generate_public(op, out, POOL_LEN));
        out += POOL_LEN;
        len -= POOL_LEN;
    }
    if (len > mine->left) {
        HF_TRY(generate_public(op, mine->bytes, POOL_LEN));
        mine->left = POOL_LEN;
    }
    taken = mine->bytes + POOL_LEN - mine->left;
    memcpy(out, taken, len);
    hf_wipe(taken, len);
    mine->left -= len;
    return HF_SUCCESS;
}

struct hf_status hf_random_secret(struct hf_crypto *crypto, struct hf_op *op, size_t len,
                                  struct hf_secret **out)
{
    HF_SECRET_SCOPE;
    HF_AUTO(secret) secret = NULL;

    (void)crypto;
    if (len > INT_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a secret of %zu bytes is too long", len);
    }
    HF_TRY(hf_secret_new(op, len, &secret));
    if (!hf_crypto_ok(RAND_priv_bytes(hf_secret_data(secret), (int)len))) {
        return hf_crypto_fail(op, "making a random secret");
    }
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}
