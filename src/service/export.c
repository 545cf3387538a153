/* Export: material leaves only when the record of it is on disk. */
#include "base/alloc.h"
#include "base/codec.h"
#include "service/internal.h"

/* The number that HF_LATEST stands for now. */
static struct hf_status settle_version(struct hf_call *call, struct hf_op *op, uint32_t version)
{
    if (version == HF_LATEST) {
        HF_TRY(hf_key_primary(call->service->keys, op, call->keyring, call->key, &version));
    }
    call->has_version = true;
    call->version = version;
    return HF_SUCCESS;
}

/* Takes the material out, has the export on disk, and only then hands it over. */
static struct hf_status export_recorded(const struct hf_call *call, struct hf_op *op,
                                        struct hf_secret **out)
{
    HF_AUTO(secret) material = NULL;
    struct hf_status status =
        hf_key_export(call->service->keys, op, call->keyring, call->key, call->version, &material);

    HF_TRY(hf_call_end_on_disk(call, op, status));
    *out = HF_TAKE(material);
    return HF_SUCCESS;
}

struct hf_status hf_export_made(const struct hf_call *call, struct hf_op *op, uint32_t version,
                                struct hf_secret **out)
{
    struct hf_call export_call = *call;
    struct hf_keyring_info keyring;
    bool may_leave = false;

    HF_TRY(hf_key_may_leave(call->service->keys, op, call->keyring, call->key, &may_leave));
    HF_TRY(hf_keyring_get(call->service->keys, op, call->keyring, &keyring));
    if (!may_leave || keyring.settings.approve_export) {
        return hf_fail(op, HF_DENIED, "the material stays here");
    }
    export_call.action = HF_ACT_KEY_EXPORT;
    export_call.has_version = true;
    export_call.version = version;
    return export_recorded(&export_call, op, out);
}

/* --- with a second person --- */

struct approved_export {
    char approval[HF_APPROVAL_ID];
};

static struct hf_status stage_use(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    const struct approved_export *use = control->context;

    return hf_approval_use(control->call.service, op, txn, use->approval);
}

/* Uses the approval up. Its note says so in the store too, whatever becomes of the audit file. */
static struct hf_status use_approval(const struct hf_call *call, struct hf_op *op,
                                     struct approved_export *use)
{
    HF_AUTO_STRING detail = hf_format("uses up approval %s", use->approval);
    struct hf_request_id request_id = op->request_id;
    struct hf_control control = { .call = *call, .stage = stage_use, .context = use };
    struct hf_status status;

    control.call.detail = detail;
    op->request_id = (struct hf_request_id){ { 0 } };
    status = hf_control_run(&control, op);
    op->request_id = request_id;
    return status;
}

static struct hf_status describe(const struct hf_call *call, struct hf_op *op, struct hf_ask *out)
{
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(buf) parts = hf_buf_new();
    bool may_leave = false;

    HF_TRY(hf_key_get(call->service->keys, op, call->keyring, call->key, false, &info));
    HF_TRY(hf_key_may_leave(call->service->keys, op, call->keyring, call->key, &may_leave));
    if (!may_leave) {
        return hf_fail(op, HF_DENIED, "the key was not made exportable, and never will be");
    }
    hf_put_u64(parts, info->created_ms);
    *out = (struct hf_ask){ .operation = hf_action_name(call->action),
                            .keyring = call->keyring,
                            .key = call->key,
                            .version = call->version };
    return hf_ask_digest(call->service, op, out, hf_buf_bytes(parts));
}

/* Where the keyring asks for two people: uses an approval, or asks for one and fails. */
static struct hf_status pass_approval(const struct hf_call *call, struct hf_op *op)
{
    struct approved_export use = { "" };
    struct hf_keyring_info keyring;
    struct hf_ask ask;
    struct hf_status status = hf_keyring_get(call->service->keys, op, call->keyring, &keyring);

    if (status.code == HF_OK && !keyring.settings.approve_export) {
        return status;
    }
    if (status.code == HF_OK) {
        status = describe(call, op, &ask);
    }
    if (status.code == HF_OK) {
        status = hf_approval_find(call->service, op, &ask, use.approval);
    }
    if (status.code != HF_OK) {
        return hf_call_end(call, op, status);
    }
    return use.approval[0] != '\0' ? use_approval(call, op, &use)
                                   : hf_approval_wait(call, op, &ask, HF_WRONG_STATE);
}

struct hf_status hf_service_key_export(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name, uint32_t version,
                                       struct hf_secret **out, uint32_t *out_version)
{
    struct hf_call call = {
        .service = service, .action = HF_ACT_KEY_EXPORT, .keyring = keyring, .key = name
    };
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "an export waits until its record is on disk");
    }
    HF_TRY(hf_call_allow(&call, op));
    status = settle_version(&call, op, version);
    if (status.code != HF_OK) {
        return hf_call_end(&call, op, status);
    }
    HF_TRY(pass_approval(&call, op));
    HF_TRY(export_recorded(&call, op, out));
    *out_version = call.version;
    return HF_SUCCESS;
}
