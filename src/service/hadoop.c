/* Data keys in Hadoop's form: AES-CTR under the raw key, with the counter NOT iv. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "service/internal.h"

#define GENERATE_MAX 10000U  /* new data keys of one call; clients ask for 500 at most */
#define BATCH_MAX    100000U /* Hadoop itself warns above 10000 */

static struct hf_status key_len(enum hf_algorithm algorithm, struct hf_op *op, size_t *out)
{
    if (algorithm == HF_ALG_AES_128) {
        *out = 16;
    } else if (algorithm == HF_ALG_AES_192) {
        *out = 24;
    } else if (algorithm == HF_ALG_AES_256) {
        *out = 32;
    } else {
        return hf_fail(op, HF_UNSUPPORTED, "Hadoop's data keys need an AES key, not %s",
                       hf_algorithm_name(algorithm));
    }
    return HF_SUCCESS;
}

static struct hf_status check_count(struct hf_op *op, size_t count, size_t max)
{
    if (count == 0 || count > max) {
        return hf_fail(op, HF_INVALID, "1 to %zu data keys at once are allowed, not %zu", max,
                       count);
    }
    return HF_SUCCESS;
}

static struct hf_status check_edek(struct hf_op *op, const struct hf_edek *edek)
{
    if (edek->len != 16 && edek->len != 24 && edek->len != 32) {
        return hf_fail(op, HF_INVALID, "a wrapped data key has 16, 24 or 32 bytes, not %zu",
                       edek->len);
    }
    return HF_SUCCESS;
}

static void use_version(struct hf_call *call, uint32_t version)
{
    call->has_version = true;
    call->version = version;
}

/* --- generate --- */

/* All under one version, whatever is rotated meanwhile. */
static struct hf_status generate(struct hf_call *call, struct hf_op *op, size_t count,
                                 struct hf_edek *out)
{
    struct hf_service *service = call->service;
    struct hf_crypto *crypto = hf_seal_crypto(service->seal);
    HF_AUTO(secret) fresh = NULL;
    enum hf_algorithm algorithm;
    uint32_t version;
    size_t len = 0;

    HF_TRY(check_count(op, count, GENERATE_MAX));
    HF_TRY(hf_key_algorithm(service->keys, op, call->keyring, call->key, &algorithm));
    HF_TRY(key_len(algorithm, op, &len));
    HF_TRY(hf_key_primary(service->keys, op, call->keyring, call->key, &version));
    HF_TRY(hf_random_secret(crypto, op, count * len, &fresh));
    for (size_t i = 0; i < count; i++) {
        struct hf_bytes plain = hf_bytes_of(hf_secret_data(fresh) + i * len, len);

        HF_TRY(hf_random_public(crypto, op, out[i].iv, sizeof out[i].iv));
        HF_TRY(hf_use_hadoop_wrap(service->keys, op, call->keyring, call->key, version, out[i].iv,
                                  plain, out[i].wrapped, &out[i].version));
        out[i].len = len;
    }
    use_version(call, version);
    hf_usage_count(service->keys, op, call->keyring, call->key, version, hf_op_caller_id(op), count,
                   0);
    return HF_SUCCESS;
}

struct hf_status hf_service_hadoop_generate(struct hf_service *service, struct hf_op *op,
                                            const char *keyring, const char *name, size_t count,
                                            struct hf_edek *out)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_GENERATE,
                            .keyring = keyring,
                            .key = name,
                            .count = count };

    HF_TRY(hf_call_allow(&call, op));
    return hf_call_end(&call, op, generate(&call, op, count, out));
}

/* --- decrypt --- */

static struct hf_status decrypt(struct hf_call *call, struct hf_op *op, const struct hf_edek *edek,
                                struct hf_secret **out)
{
    struct hf_keys *keys = call->service->keys;
    HF_AUTO(secret) plain = NULL;

    HF_TRY(check_edek(op, edek));
    HF_TRY(hf_secret_new(op, edek->len, &plain));
    HF_TRY(hf_use_hadoop_unwrap(keys, op, call->keyring, call->key, edek->version, edek->iv,
                                hf_bytes_of(edek->wrapped, edek->len), hf_secret_data(plain)));
    hf_usage_count(keys, op, call->keyring, call->key, edek->version, hf_op_caller_id(op), 0, 1);
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}

struct hf_status hf_service_hadoop_decrypt(struct hf_service *service, struct hf_op *op,
                                           const char *keyring, const char *name,
                                           const struct hf_edek *edek, struct hf_secret **out)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_UNWRAP,
                            .keyring = keyring,
                            .key = name,
                            .has_version = true,
                            .version = edek->version };
    HF_AUTO(secret) plain = NULL;

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end(&call, op, decrypt(&call, op, edek, &plain)));
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}

/* --- re-encrypt --- */

/* Usage, counted in runs of one version: batches come sorted by file, so mostly by age. */
static void count_moves(const struct hf_call *call, struct hf_op *op, const struct hf_edek *before,
                        size_t count, uint32_t target)
{
    struct hf_keys *keys = call->service->keys;
    const char *caller = hf_op_caller_id(op);
    uint64_t moved = 0;

    for (size_t i = 0; i < count;) {
        size_t end = i + 1;

        while (end < count && before[end].version == before[i].version) {
            end++;
        }
        if (before[i].version != target) {
            hf_usage_count(keys, op, call->keyring, call->key, before[i].version, caller, 0,
                           end - i);
            moved += end - i;
        }
        i = end;
    }
    if (moved > 0) {
        hf_usage_count(keys, op, call->keyring, call->key, target, caller, moved, 0);
    }
}

static struct hf_status reencrypt(struct hf_call *call, struct hf_op *op,
                                  const struct hf_edek *before, size_t count, struct hf_edek *out)
{
    struct hf_keys *keys = call->service->keys;
    uint32_t target = 0;

    HF_TRY(hf_key_primary(keys, op, call->keyring, call->key, &target));
    use_version(call, target);
    for (size_t i = 0; i < count; i++) {
        HF_TRY(check_edek(op, &before[i]));
        out[i] = before[i];
    }
    HF_TRY(hf_use_hadoop_move(keys, op, call->keyring, call->key, target, out, count));
    count_moves(call, op, before, count, target);
    return HF_SUCCESS;
}

struct hf_status hf_service_hadoop_reencrypt(struct hf_service *service, struct hf_op *op,
                                             const char *keyring, const char *name,
                                             struct hf_edek *edeks, size_t count)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_REENCRYPT,
                            .keyring = keyring,
                            .key = name,
                            .count = count };
    struct hf_edek *out;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = check_count(op, count, BATCH_MAX);
    if (status.code != HF_OK) {
        return hf_call_end(&call, op, status);
    }
    /* All or none: the caller's stay as they are until every one has moved and it is recorded. */
    out = hf_alloc_array(count, sizeof *out);
    status = hf_call_end(&call, op, reencrypt(&call, op, edeks, count, out));
    if (status.code == HF_OK) {
        memcpy(edeks, out, count * sizeof *out);
    }
    free(out);
    return status;
}

/* --- invalidation --- */

struct hf_status hf_service_hadoop_invalidate(struct hf_service *service, struct hf_op *op,
                                              const char *keyring, const char *name)
{
    struct hf_call call = { .service = service,
                            .action = HF_ACT_KEY_ROTATE,
                            .keyring = keyring,
                            .key = name,
                            .detail = "caches invalidated" };

    HF_TRY(hf_call_unlocked(service, op));
    if (!hf_call_may(&call, op, HF_ACT_KEY_ROTATE) && hf_call_may(&call, op, HF_ACT_KEY_DELETE)) {
        call.action = HF_ACT_KEY_DELETE;
    }
    HF_TRY(hf_call_allow(&call, op));
    return hf_call_end(&call, op, HF_SUCCESS);
}
