/* Rotation of the root key: begun by who may, moved on and ended by the daemon's job. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "service/internal.h"

#define BATCH         128
#define LEASE         "root-rotation"
#define LEASE_LIFE_MS 30000

/* --- beginning --- */

static struct hf_status stage_rotation(struct hf_control *control, struct hf_op *op,
                                       struct hf_txn *txn)
{
    struct hf_seal *seal = control->call.service->seal;

    HF_TRY(hf_seal_root_stage(seal, op, txn, NULL));
    hf_control_answer(control, hf_seal_root_generation(seal) + 1);
    return HF_SUCCESS;
}

struct hf_status hf_service_root_rotate(struct hf_service *service, struct hf_op *op,
                                        uint32_t *out_generation)
{
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_ROOT_ROTATE, .detail = "a new root key" },
        .stage = stage_rotation,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(hf_control_run(&control, op));
    *out_generation = control.number;
    return HF_SUCCESS;
}

/* --- how far it is --- */

struct hf_status hf_service_root_status(struct hf_service *service, struct hf_op *op,
                                        struct hf_root_info *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_SLOT_LIST };

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "the state of the root is read from the store");
    }
    return hf_call_end(&call, op, hf_seal_root_info(service->seal, op, out));
}

/* --- the job --- */

/* One node at a time, where there are several; the others would only get in its way. */
static struct hf_status is_ours(struct hf_service *service, struct hf_op *op, bool *out)
{
    uint64_t fence;
    struct hf_status status;

    *out = true;
    if (!service->shared_store) {
        return HF_SUCCESS;
    }
    status = hf_engine_lease(hf_seal_engine(service->seal), op, LEASE, service->node, LEASE_LIFE_MS,
                             &fence);
    if (status.code == HF_CONFLICT) {
        *out = false;
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

static struct hf_status stage_end(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    return hf_seal_root_end_stage(control->call.service->seal, op, txn);
}

static struct hf_status end(struct hf_service *service, struct hf_op *op)
{
    uint32_t generation = hf_seal_root_generation(service->seal);
    HF_AUTO_STRING detail = hf_format(
        "every record is under root generation %" PRIu32 "; the one before is gone", generation);
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_ROOT_ROTATE, .detail = detail },
        .stage = stage_end,
    };

    HF_TRY(hf_control_run(&control, op));
    HF_INFO(op->env, "the rotation to root generation %" PRIu32 " has ended", generation);
    return HF_SUCCESS;
}

static struct hf_status move(struct hf_service *service, struct hf_op *op, uint64_t slice_ms,
                             bool *out_done)
{
    uint64_t until = hf_env_boottime_ms(op->env) + slice_ms;
    struct hf_root_info info;

    *out_done = false;
    do {
        HF_TRY(hf_seal_root_move(service->seal, op, BATCH, out_done));
    } while (!*out_done && hf_env_boottime_ms(op->env) < until);
    HF_TRY(hf_seal_root_info(service->seal, op, &info));
    if (info.stuck > 0) {
        return hf_fail(op, HF_CORRUPT,
                       "%" PRIu64 " records do not open and cannot be moved, so the root before "
                       "stays; the log names them: restore them from a backup, or remove them",
                       info.stuck);
    }
    return HF_SUCCESS;
}

struct hf_status hf_service_root_job(struct hf_service *service, struct hf_op *op,
                                     uint64_t slice_ms, bool *out_more)
{
    bool ours = false;
    bool done = false;

    *out_more = false;
    if (!hf_seal_root_is_moving(service->seal)) {
        return HF_SUCCESS;
    }
    HF_TRY(is_ours(service, op, &ours));
    if (!ours) {
        return HF_SUCCESS;
    }
    HF_TRY(move(service, op, slice_ms, &done));
    *out_more = !done;
    return done ? end(service, op) : HF_SUCCESS;
}
