/* Data in our own form of ciphertext: data keys, encrypt, decrypt, re-encrypt. */
#include "service/internal.h"

#define DATA_KEY_MIN 16
#define DATA_KEY_MAX 512

static void use_version(struct hf_call *call, uint32_t version)
{
    call->has_version = true;
    call->version = version;
}

static void count_use(const struct hf_call *call, struct hf_op *op, uint64_t wraps,
                      uint64_t unwraps)
{
    hf_usage_count(call->service->keys, op, call->keyring, call->key, call->version,
                   hf_op_caller_id(op), wraps, unwraps);
}

/* Encrypts under one version, settled first so that usage and audit name the right one. */
static struct hf_status encrypt(struct hf_call *call, struct hf_op *op, uint32_t version,
                                struct hf_bytes aad, struct hf_bytes plain, struct hf_buf *out)
{
    struct hf_keys *keys = call->service->keys;

    if (version == HF_LATEST) {
        HF_TRY(hf_key_primary(keys, op, call->keyring, call->key, &version));
    }
    use_version(call, version);
    HF_TRY(hf_use_encrypt(keys, op, call->keyring, call->key, version, aad, plain, out));
    count_use(call, op, 1, 0);
    return HF_SUCCESS;
}

/* Appends what a call made only when it is recorded; until then it stays here. */
static struct hf_status deliver(const struct hf_call *call, struct hf_op *op,
                                struct hf_status status, const struct hf_buf *made,
                                struct hf_buf *out)
{
    HF_TRY(hf_call_end(call, op, status));
    hf_buf_add_bytes(out, hf_buf_bytes(made));
    return HF_SUCCESS;
}

/* --- data keys --- */

static struct hf_status generate(struct hf_call *call, struct hf_op *op, size_t len,
                                 struct hf_bytes aad, struct hf_secret **out_plain,
                                 struct hf_buf *out_wrapped)
{
    HF_AUTO(secret) plain = NULL;

    if (len < DATA_KEY_MIN || len > DATA_KEY_MAX) {
        return hf_fail(op, HF_INVALID, "a data key has %d to %d bytes, not %zu", DATA_KEY_MIN,
                       DATA_KEY_MAX, len);
    }
    HF_TRY(hf_random_secret(hf_seal_crypto(call->service->seal), op, len, &plain));
    HF_TRY(encrypt(call, op, HF_LATEST, aad, hf_secret_bytes(plain), out_wrapped));
    *out_plain = HF_TAKE(plain);
    return HF_SUCCESS;
}

struct hf_status hf_service_data_key_generate(struct hf_service *service, struct hf_op *op,
                                              const char *keyring, const char *name, size_t len,
                                              struct hf_bytes aad, struct hf_secret **out_plain,
                                              struct hf_buf *out_wrapped)
{
    struct hf_call call = {
        .service = service, .action = HF_ACT_KEY_GENERATE, .keyring = keyring, .key = name
    };
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    bool gives_plain;

    HF_TRY(hf_call_allow(&call, op));
    gives_plain = out_plain != NULL && hf_call_may(&call, op, HF_ACT_KEY_DECRYPT);
    call.detail = gives_plain ? "with plaintext" : NULL;
    HF_TRY(
        deliver(&call, op, generate(&call, op, len, aad, &plain, wrapped), wrapped, out_wrapped));
    if (out_plain != NULL) {
        *out_plain = gives_plain ? HF_TAKE(plain) : NULL;
    }
    return HF_SUCCESS;
}

/* --- encrypt, decrypt --- */

struct hf_status hf_service_encrypt(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *name, uint32_t version,
                                    struct hf_bytes aad, const struct hf_secret *plain,
                                    struct hf_buf *out)
{
    struct hf_call call = {
        .service = service, .action = HF_ACT_KEY_ENCRYPT, .keyring = keyring, .key = name
    };
    HF_AUTO(buf) made = hf_buf_new();

    HF_TRY(hf_call_allow(&call, op));
    return deliver(&call, op, encrypt(&call, op, version, aad, hf_secret_bytes(plain), made), made,
                   out);
}

static struct hf_status decrypt(struct hf_call *call, struct hf_op *op, struct hf_bytes aad,
                                struct hf_bytes ciphertext, struct hf_secret **out)
{
    uint32_t version;

    HF_TRY(hf_use_decrypt(call->service->keys, op, call->keyring, call->key, aad, ciphertext, out,
                          &version));
    use_version(call, version);
    count_use(call, op, 0, 1);
    return HF_SUCCESS;
}

struct hf_status hf_service_decrypt(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *name, struct hf_bytes aad,
                                    struct hf_bytes ciphertext, struct hf_secret **out)
{
    struct hf_call call = {
        .service = service, .action = HF_ACT_KEY_DECRYPT, .keyring = keyring, .key = name
    };
    HF_AUTO(secret) plain = NULL;

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end(&call, op, decrypt(&call, op, aad, ciphertext, &plain)));
    *out = HF_TAKE(plain);
    return HF_SUCCESS;
}

/* --- re-encrypt --- */

static struct hf_status reencrypt(struct hf_call *call, struct hf_op *op, struct hf_bytes aad,
                                  struct hf_bytes ciphertext, struct hf_buf *out)
{
    uint32_t version;

    HF_TRY(hf_use_rewrap(call->service->keys, op, call->keyring, call->key, aad, ciphertext, out,
                         &version));
    use_version(call, version);
    /* What was there already comes back unchanged and is no use of the key. */
    if (!hf_bytes_equal(hf_buf_bytes(out), ciphertext)) {
        count_use(call, op, 1, 0);
    }
    return HF_SUCCESS;
}

struct hf_status hf_service_reencrypt(struct hf_service *service, struct hf_op *op,
                                      const char *keyring, const char *name, struct hf_bytes aad,
                                      struct hf_bytes ciphertext, struct hf_buf *out,
                                      uint32_t *out_version)
{
    struct hf_call call = {
        .service = service, .action = HF_ACT_KEY_REENCRYPT, .keyring = keyring, .key = name
    };
    HF_AUTO(buf) made = hf_buf_new();

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(deliver(&call, op, reencrypt(&call, op, aad, ciphertext, made), made, out));
    *out_version = call.version;
    return HF_SUCCESS;
}
