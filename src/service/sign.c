/* Signatures and MACs. */
#include "service/internal.h"

static struct hf_call call_of(struct hf_service *service, enum hf_action action,
                              const char *keyring, const char *name)
{
    return (
        struct hf_call){ .service = service, .action = action, .keyring = keyring, .key = name };
}

static void used(struct hf_call *call, struct hf_op *op, uint32_t version, uint64_t wraps,
                 uint64_t unwraps)
{
    call->has_version = true;
    call->version = version;
    hf_usage_count(call->service->keys, op, call->keyring, call->key, version, hf_op_caller_id(op),
                   wraps, unwraps);
}

static struct hf_status deliver(const struct hf_call *call, struct hf_op *op,
                                struct hf_status status, const struct hf_buf *made,
                                struct hf_buf *out, uint32_t *out_version)
{
    HF_TRY(hf_call_end(call, op, status));
    hf_buf_add_bytes(out, hf_buf_bytes(made));
    *out_version = call->version;
    return HF_SUCCESS;
}

struct hf_status hf_service_sign(struct hf_service *service, struct hf_op *op, const char *keyring,
                                 const char *name, uint32_t version, enum hf_signature scheme,
                                 enum hf_hash hash, struct hf_bytes message, struct hf_buf *out,
                                 uint32_t *out_version)
{
    struct hf_call call = call_of(service, HF_ACT_KEY_SIGN, keyring, name);
    HF_AUTO(buf) made = hf_buf_new();
    uint32_t number = 0;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = hf_use_sign(service->keys, op, keyring, name, version, scheme, hash, message, made,
                         &number);
    if (status.code == HF_OK) {
        used(&call, op, number, 1, 0);
    }
    return deliver(&call, op, status, made, out, out_version);
}

struct hf_status hf_service_mac(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *name, uint32_t version, enum hf_hash hash,
                                struct hf_bytes message, struct hf_buf *out, uint32_t *out_version)
{
    struct hf_call call = call_of(service, HF_ACT_KEY_MAC, keyring, name);
    HF_AUTO(buf) made = hf_buf_new();
    uint32_t number = 0;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = hf_use_mac(service->keys, op, keyring, name, version, hash, message, made, &number);
    if (status.code == HF_OK) {
        used(&call, op, number, 1, 0);
    }
    return deliver(&call, op, status, made, out, out_version);
}

/* --- checking --- */

/* A wrong signature is an answer, and the trail has it too. */
static struct hf_status answer(struct hf_call *call, struct hf_op *op, struct hf_status status,
                               bool valid, bool *out_valid)
{
    call->detail = status.code == HF_OK && !valid ? "not valid" : NULL;
    HF_TRY(hf_call_end(call, op, status));
    *out_valid = valid;
    return HF_SUCCESS;
}

static struct hf_status verify(struct hf_call *call, struct hf_op *op, uint32_t version,
                               enum hf_signature scheme, enum hf_hash hash, struct hf_bytes message,
                               struct hf_bytes signature, bool *out_valid)
{
    struct hf_keys *keys = call->service->keys;

    if (version == HF_LATEST) {
        HF_TRY(hf_key_primary(keys, op, call->keyring, call->key, &version));
    }
    HF_TRY(hf_use_verify(keys, op, call->keyring, call->key, version, scheme, hash, message,
                         signature, out_valid));
    used(call, op, version, 0, 1);
    return HF_SUCCESS;
}

struct hf_status hf_service_verify(struct hf_service *service, struct hf_op *op,
                                   const char *keyring, const char *name, uint32_t version,
                                   enum hf_signature scheme, enum hf_hash hash,
                                   struct hf_bytes message, struct hf_bytes signature,
                                   bool *out_valid)
{
    struct hf_call call = call_of(service, HF_ACT_KEY_VERIFY, keyring, name);
    bool valid = false;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = verify(&call, op, version, scheme, hash, message, signature, &valid);
    return answer(&call, op, status, valid, out_valid);
}

static struct hf_status verify_mac(struct hf_call *call, struct hf_op *op, uint32_t version,
                                   enum hf_hash hash, struct hf_bytes message, struct hf_bytes mac,
                                   bool *out_valid)
{
    struct hf_keys *keys = call->service->keys;

    if (version == HF_LATEST) {
        HF_TRY(hf_key_primary(keys, op, call->keyring, call->key, &version));
    }
    HF_TRY(hf_use_mac_verify(keys, op, call->keyring, call->key, version, hash, message, mac,
                             out_valid));
    used(call, op, version, 0, 1);
    return HF_SUCCESS;
}

struct hf_status hf_service_mac_verify(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name, uint32_t version,
                                       enum hf_hash hash, struct hf_bytes message,
                                       struct hf_bytes mac, bool *out_valid)
{
    struct hf_call call = call_of(service, HF_ACT_KEY_VERIFY, keyring, name);
    bool valid = false;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = verify_mac(&call, op, version, hash, message, mac, &valid);
    return answer(&call, op, status, valid, out_valid);
}
