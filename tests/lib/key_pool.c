/*
 * RSA keys for tests that look at something else: making one takes longer than the rest of such a
 * test. A program makes the first few of a kind, and gets these by turns from then on. Linked with
 * --wrap=hf_pkey_generate.
 */
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/crypto.h"

/* As many different ones as a test may compare with each other. */
#define KEYS    6
#define KINDS   (HF_PKEY_RSA_4096 + 1)
#define DER_MAX 2600

HF_STATUS __real_hf_pkey_generate(struct hf_crypto *crypto, struct hf_op *op,
                                  enum hf_pkey_kind kind, struct hf_pkey **out);
HF_STATUS __wrap_hf_pkey_generate(struct hf_crypto *crypto, struct hf_op *op,
                                  enum hf_pkey_kind kind, struct hf_pkey **out);

static struct pool {
    size_t made;
    size_t next;
    size_t len[KEYS];
    uint8_t der[KEYS][DER_MAX];
} pools[KINDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct hf_status keep(struct pool *pool, struct hf_op *op, const struct hf_pkey *pkey)
{
    HF_AUTO(secret) der = NULL;
    struct hf_bytes bytes;

    HF_TRY(hf_pkey_private(pkey, op, &der));
    bytes = hf_secret_bytes(der);
    hf_assert(bytes.len <= DER_MAX);
    memcpy(pool->der[pool->made], bytes.data, bytes.len);
    pool->len[pool->made++] = bytes.len;
    return HF_SUCCESS;
}

static struct hf_status take(struct pool *pool, struct hf_crypto *crypto, struct hf_op *op,
                             enum hf_pkey_kind kind, struct hf_pkey **out)
{
    HF_AUTO(pkey) made = NULL;
    size_t at;

    if (pool->made < KEYS) {
        HF_TRY(__real_hf_pkey_generate(crypto, op, kind, &made));
        HF_TRY(keep(pool, op, made));
        *out = HF_TAKE(made);
        return HF_SUCCESS;
    }
    at = pool->next++ % KEYS;
    return hf_pkey_load_private(crypto, op, hf_bytes_of(pool->der[at], pool->len[at]), out);
}

struct hf_status __wrap_hf_pkey_generate(struct hf_crypto *crypto, struct hf_op *op,
                                         enum hf_pkey_kind kind, struct hf_pkey **out)
{
    struct hf_status status;

    if (kind != HF_PKEY_RSA_2048 && kind != HF_PKEY_RSA_3072 && kind != HF_PKEY_RSA_4096) {
        return __real_hf_pkey_generate(crypto, op, kind, out);
    }
    pthread_mutex_lock(&lock);
    status = take(&pools[kind], crypto, op, kind, out);
    pthread_mutex_unlock(&lock);
    return status;
}
