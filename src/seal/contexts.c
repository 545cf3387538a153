/*
 * Cipher contexts by the salt of their subkey, and the salt that this process seals under.
 *
 * Making a subkey and a context costs ten times a use, so idle contexts are kept, the least
 * recently used go first. Several contexts of one subkey may be there, one per thread that needed
 * it at the same time. Shards keep the threads of different lanes out of each other's way.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define SHARDS   8
#define BUCKETS  256
#define IDLE_MAX 256 /* per shard; a context takes about 2.5 KiB of locked memory */

struct shard {
    _Alignas(64) pthread_mutex_t lock; /* guards the rest */
    struct hf_context *buckets[BUCKETS];
    struct hf_context *newest;
    struct hf_context *oldest;
    size_t idle;
};

struct hf_contexts {
    struct shard shards[SHARDS];
};

/* Salts are random, so a piece of one is a good hash. */
static size_t bucket_of(const struct hf_context_key *key)
{
    uint64_t piece;

    memcpy(&piece, key->salt, sizeof piece);
    return (size_t)((piece ^ key->owner) % BUCKETS);
}

static bool same_key(const struct hf_context_key *a, const struct hf_context_key *b)
{
    return a->owner == b->owner && memcmp(a->salt, b->salt, HF_SALT_LEN) == 0;
}

struct hf_contexts *hf_contexts_new(void)
{
    struct hf_contexts *contexts = NULL;

    if (posix_memalign((void **)&contexts, 64, sizeof *contexts) != 0) {
        abort();
    }
    memset(contexts, 0, sizeof *contexts);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&contexts->shards[i].lock, NULL);
    }
    return contexts;
}

static void context_free(struct hf_context *context)
{
    hf_aead_free(context->aead);
    free(context);
}

void hf_contexts_free(struct hf_contexts *contexts)
{
    if (contexts == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct hf_context *context = contexts->shards[i].newest;

        while (context != NULL) {
            struct hf_context *older = context->older;

            context_free(context);
            context = older;
        }
        pthread_mutex_destroy(&contexts->shards[i].lock);
    }
    free(contexts);
}

static void unlink_context(struct shard *shard, struct hf_context *context)
{
    struct hf_context **at = &shard->buckets[bucket_of(&context->key)];

    while (*at != context) {
        at = &(*at)->next;
    }
    *at = context->next;
    *(context->newer != NULL ? &context->newer->older : &shard->newest) = context->older;
    *(context->older != NULL ? &context->older->newer : &shard->oldest) = context->newer;
    shard->idle--;
}

static void link_context(struct shard *shard, struct hf_context *context)
{
    struct hf_context **bucket = &shard->buckets[bucket_of(&context->key)];

    context->next = *bucket;
    *bucket = context;
    context->newer = NULL;
    context->older = shard->newest;
    *(shard->newest != NULL ? &shard->newest->newer : &shard->oldest) = context;
    shard->newest = context;
    shard->idle++;
}

struct hf_context *hf_contexts_take(struct hf_contexts *contexts, unsigned lane,
                                    const struct hf_context_key *key)
{
    struct shard *shard = &contexts->shards[lane % SHARDS];
    struct hf_context *context;

    pthread_mutex_lock(&shard->lock);
    context = shard->buckets[bucket_of(key)];
    while (context != NULL && !same_key(&context->key, key)) {
        context = context->next;
    }
    if (context != NULL) {
        unlink_context(shard, context);
    }
    pthread_mutex_unlock(&shard->lock);
    return context;
}

/* They are kept for speed only, so they never cost anybody memory. */
void hf_contexts_shed(struct hf_contexts *contexts)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &contexts->shards[i];

        pthread_mutex_lock(&shard->lock);
        while (shard->newest != NULL) {
            struct hf_context *context = shard->newest;

            unlink_context(shard, context);
            context_free(context);
        }
        pthread_mutex_unlock(&shard->lock);
    }
}

static struct hf_status make_aead(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct hf_context_key *key, const struct hf_secret *parent,
                                  struct hf_bytes info, struct hf_aead **out)
{
    HF_AUTO(secret) subkey = NULL;

    HF_TRY(hf_hkdf(crypto, op, hf_secret_bytes(parent), hf_bytes_of(key->salt, HF_SALT_LEN), info,
                   HF_SUBKEY_LEN, &subkey));
    return hf_aead_new(crypto, op, hf_secret_bytes(subkey), out);
}

struct hf_status hf_contexts_make(struct hf_contexts *contexts, struct hf_crypto *crypto,
                                  struct hf_op *op, const struct hf_context_key *key,
                                  const struct hf_secret *parent, struct hf_bytes info,
                                  struct hf_context **out)
{
    HF_AUTO(aead) aead = NULL;
    struct hf_status status = make_aead(crypto, op, key, parent, info, &aead);

    if (status.code == HF_NO_SPACE) {
        hf_contexts_shed(contexts);
        hf_op_clear(op);
        status = make_aead(crypto, op, key, parent, info, &aead);
    }
    HF_TRY(status);
    *out = hf_alloc(sizeof **out);
    (*out)->key = *key;
    (*out)->aead = HF_TAKE(aead);
    (*out)->shard = op->lane % SHARDS;
    return HF_SUCCESS;
}

void hf_contexts_give(struct hf_contexts *contexts, struct hf_context *context)
{
    struct hf_context *evicted = NULL;
    struct shard *shard;

    if (context == NULL) {
        return;
    }
    shard = &contexts->shards[context->shard];
    pthread_mutex_lock(&shard->lock);
    if (shard->idle == IDLE_MAX) {
        evicted = shard->oldest;
        unlink_context(shard, evicted);
    }
    link_context(shard, context);
    pthread_mutex_unlock(&shard->lock);
    if (evicted != NULL) {
        context_free(evicted);
    }
}

struct hf_status hf_salt_init(struct hf_salt *salt, struct hf_crypto *crypto, struct hf_op *op)
{
    HF_TRY(hf_random_public(crypto, op, salt->bytes, HF_SALT_LEN));
    pthread_mutex_init(&salt->lock, NULL);
    salt->used = 0;
    salt->max_uses = HF_SALT_USES;
    return HF_SUCCESS;
}

void hf_salt_done(struct hf_salt *salt)
{
    pthread_mutex_destroy(&salt->lock);
}

struct hf_status hf_salt_use(struct hf_salt *salt, struct hf_crypto *crypto, struct hf_op *op,
                             uint8_t out[HF_SALT_LEN])
{
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&salt->lock);
    if (salt->used >= salt->max_uses) {
        status = hf_random_public(crypto, op, salt->bytes, HF_SALT_LEN);
        salt->used = status.code == HF_OK ? 0 : salt->used;
    }
    if (status.code == HF_OK) {
        salt->used++;
        memcpy(out, salt->bytes, HF_SALT_LEN);
    }
    pthread_mutex_unlock(&salt->lock);
    return status;
}
