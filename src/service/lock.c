/* Unlocking, locking, and the slots that unlock. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
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

struct hf_status hf_service_slots(struct hf_service *service, struct hf_op *op,
                                  void (*visit)(void *context, const struct hf_slot_info *slot),
                                  void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_SLOT_LIST };

    HF_TRY(allow_if_unlocked(&call, op));
    return hf_call_end(&call, op, hf_seal_slots(service->seal, op, visit, context));
}

/* --- a new slot --- */

struct slot_adding {
    struct hf_slot_plan plan;
    struct hf_slot_info info;
};

static struct hf_status stage_slot(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    struct slot_adding *adding = control->context;

    return hf_seal_slot_stage(control->call.service->seal, op, txn, &adding->plan, &adding->info);
}

struct named_slot {
    const char *name;
    struct hf_slot_info *out;
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    struct named_slot *named = context;

    if (strcmp(slot->name, named->name) == 0) {
        *named->out = *slot;
    }
}

struct hf_status hf_service_slot_add(struct hf_service *service, struct hf_op *op, const char *name,
                                     bool offline, const struct hf_protector_settings *protector,
                                     struct hf_slot_info *out)
{
    HF_AUTO(protector) opened = NULL;
    HF_AUTO(buf) asked = hf_buf_new();
    HF_AUTO_STRING detail = hf_format("added slot '%.64s' (%.32s)", name, protector->kind);
    struct slot_adding adding = { .plan = { .name = name, .offline = offline } };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_SLOT_CHANGE, .detail = detail },
        .stage = stage_slot,
        .context = &adding,
        .asked = asked,
    };
    struct named_slot named = { name, out };
    struct hf_status status;

    HF_TRY(hf_call_allow(&control.call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "opening a slot takes a while");
    }
    status = hf_protector_open(hf_seal_crypto(service->seal), op, protector, &opened);
    if (status.code != HF_OK) {
        return hf_call_end(&control.call, op, status);
    }
    adding.plan.protector = opened;
    hf_put_text(asked, name);
    hf_put_text(asked, protector->kind);
    HF_TRY(hf_control_run(&control, op));
    /* As it is recorded: a repeat staged another that came to nothing. */
    return hf_seal_slots(service->seal, op, match_slot, &named);
}
