/* The store's own keys ("secret/store"), what is computed with them, and small named secrets. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define FORMAT      1
#define KEY_LEN     32
#define CHECK_LABEL "holdfast kcv v1"
#define PREFIX      "secret/"
#define TRIES       8

struct hf_status hf_secrets_make(struct hf_crypto *crypto, struct hf_op *op, struct hf_secret **out)
{
    HF_AUTO(secret) keys = NULL;
    HF_AUTO(secret) content = NULL;

    HF_TRY(hf_random_secret(crypto, op, HF_STORE_SECRETS_LEN - 1, &keys));
    HF_TRY(hf_secret_new(op, HF_STORE_SECRETS_LEN, &content));
    hf_secret_data(content)[0] = FORMAT;
    memcpy(hf_secret_data(content) + 1, hf_secret_bytes(keys).data, hf_secret_len(keys));
    *out = HF_TAKE(content);
    return HF_SUCCESS;
}

struct hf_status hf_secrets_use(struct hf_unlocked *unlocked, struct hf_op *op,
                                struct hf_bytes content)
{
    const uint8_t *keys = content.data + 1;

    if (content.len != HF_STORE_SECRETS_LEN || content.data[0] != FORMAT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "%s is not in a form that this release knows", HF_STORE_SECRETS_PATH);
    }
    HF_TRY(hf_mac_new(unlocked->crypto, op, hf_bytes_of(keys, KEY_LEN), &unlocked->check));
    HF_TRY(hf_mac_new(unlocked->crypto, op, hf_bytes_of(keys + KEY_LEN, KEY_LEN), &unlocked->link));
    return hf_mac_new(unlocked->crypto, op, hf_bytes_of(keys + 2 * (size_t)KEY_LEN, KEY_LEN),
                      &unlocked->digest);
}

struct hf_status hf_seal_check_value(struct hf_seal *seal, struct hf_op *op,
                                     struct hf_bytes material, uint8_t out[HF_CHECK_VALUE_LEN])
{
    struct hf_bytes parts[] = { hf_bytes_of_text(CHECK_LABEL), material };
    uint8_t whole[HF_SHA256_LEN];
    struct hf_status status;

    HF_ENTER(seal, op, unlocked);
    pthread_mutex_lock(&unlocked->mac_lock);
    status = hf_mac_compute(unlocked->check, op, parts, HF_COUNT(parts), whole);
    pthread_mutex_unlock(&unlocked->mac_lock);
    HF_TRY(status);
    memcpy(out, whole, HF_CHECK_VALUE_LEN);
    return HF_SUCCESS;
}

static struct hf_status path_of(struct hf_op *op, const char *name, char **out)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, PREFIX);
    hf_percent_add(path, hf_bytes_of_text(name));
    if (name[0] == '\0' || strcmp(hf_buf_text(path), HF_STORE_SECRETS_PATH) == 0) {
        return hf_fail(op, HF_INVALID, "no secret may be called \"%s\"", name);
    }
    *out = hf_strdup(hf_buf_text(path));
    return HF_SUCCESS;
}

/* What stands there now: its revision, and its content unless it was buried. */
static struct hf_status read_secret(struct hf_seal *seal, struct hf_op *op, const char *path,
                                    uint64_t *out_revision, struct hf_secret **out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(seal, op, HF_KIND_SECRET, path, &opened);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        *out_revision = 0;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out_revision = opened->revision;
    if (!opened->tombstone) {
        *out = HF_TAKE(opened->plain);
    }
    return HF_SUCCESS;
}

static struct hf_status write_secret(struct hf_seal *seal, struct hf_op *op, const char *path,
                                     uint64_t revision, struct hf_bytes plain)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(seal, op, &txn));
    HF_TRY(hf_txn_put(txn, op, HF_KIND_SECRET, path, revision, plain));
    return hf_txn_commit_own(txn, op);
}

/* One try of get-or-create; HF_CONFLICT when somebody else was first. */
static struct hf_status get_or_make(struct hf_seal *seal, struct hf_op *op, const char *path,
                                    size_t len, struct hf_secret **out)
{
    HF_AUTO(secret) secret = NULL;
    uint64_t revision;

    HF_TRY(read_secret(seal, op, path, &revision, &secret));
    if (secret == NULL && len == 0) {
        return hf_fail(op, HF_NOT_FOUND, "there is no %s", path);
    }
    if (secret == NULL) {
        HF_TRY(hf_random_secret(seal->crypto, op, len, &secret));
        HF_TRY(write_secret(seal, op, path, revision, hf_secret_bytes(secret)));
    }
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}

struct hf_status hf_seal_secret(struct hf_seal *seal, struct hf_op *op, const char *name,
                                size_t len, struct hf_secret **out)
{
    HF_AUTO_STRING path = NULL;
    struct hf_status status = { HF_CONFLICT };

    HF_TRY(path_of(op, name, &path));
    for (int i = 0; i < TRIES && status.code == HF_CONFLICT; i++) {
        status = get_or_make(seal, op, path, len, out);
    }
    return status;
}

struct hf_status hf_seal_secret_put(struct hf_seal *seal, struct hf_op *op, const char *name,
                                    struct hf_bytes plain)
{
    HF_AUTO_STRING path = NULL;
    struct hf_status status = { HF_CONFLICT };

    HF_TRY(path_of(op, name, &path));
    for (int i = 0; i < TRIES && status.code == HF_CONFLICT; i++) {
        HF_AUTO(secret) old = NULL;
        uint64_t revision;

        HF_TRY(read_secret(seal, op, path, &revision, &old));
        status = write_secret(seal, op, path, revision, plain);
    }
    return status;
}
