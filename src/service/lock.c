/* Unlocking and locking. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "service/internal.h"

/* While locked there is no policy to ask; the daemon has let in only who owns the node. */
static struct hf_status allow_if_unlocked(const struct hf_call *call, struct hf_op *op)
{
    return hf_seal_is_unlocked(call->service->seal) ? hf_call_allow(call, op) : HF_SUCCESS;
}

static struct hf_status open_seal(struct hf_service *service, struct hf_op *op,
                                  const struct hf_protector_settings *settings,
                                  struct hf_slot_info *out_slot)
{
    HF_AUTO(protector) protector = NULL;

    HF_TRY(hf_protector_open(hf_seal_crypto(service->seal), op, settings, &protector));
    return hf_seal_unlock(service->seal, op, protector, out_slot);
}

/* What cannot be recorded must not have happened: then the node is locked again. */
static struct hf_status record_opening(const struct hf_call *call, struct hf_op *op,
                                       struct hf_status opened)
{
    struct hf_status recorded = hf_call_end_synced(call, op, opened);

    if (opened.code == HF_OK && recorded.code != HF_OK) {
        hf_seal_lock(call->service->seal);
    }
    return recorded;
}

struct hf_status hf_service_unlock(struct hf_service *service, struct hf_op *op,
                                   const struct hf_protector_settings *protector,
                                   struct hf_slot_info *out_slot)
{
    struct hf_call call = { .service = service, .action = HF_ACT_UNLOCK };
    struct hf_slot_info slot = { 0 };
    char detail[128];
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "opening a slot takes a while");
    }
    HF_TRY(allow_if_unlocked(&call, op));
    status = open_seal(service, op, protector, &slot);
    if (status.code == HF_OK) {
        (void)snprintf(detail, sizeof detail, "by slot '%s' (%s)", slot.name, slot.protector);
        call.detail = detail;
    }
    HF_TRY(record_opening(&call, op, status));
    /* The node is open either way; that the slot was proven is worth a try. */
    if (hf_seal_slot_proven(service->seal, op, slot.id).code != HF_OK) {
        HF_WARNING(op->env, "slot '%s' opened the root, which could not be recorded: %s", slot.name,
                   op->text);
        hf_op_clear(op);
    }
    *out_slot = slot;
    return HF_SUCCESS;
}

struct hf_status hf_service_lock(struct hf_service *service, struct hf_op *op)
{
    struct hf_call call = { .service = service, .action = HF_ACT_LOCK };

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "locking waits for those at work");
    }
    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end_synced(&call, op, HF_SUCCESS));
    hf_seal_lock(service->seal);
    return HF_SUCCESS;
}
