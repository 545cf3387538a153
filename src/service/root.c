/* Rotation of the root key: begun by who may, moved on and ended by the daemon's job. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "service/job.h"

#define BATCH 128

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

static struct hf_status move(struct hf_job *job, struct hf_op *op, bool *out_done)
{
    struct hf_service *service = job->service;
    struct hf_root_info info;

    *out_done = false;
    do {
        HF_TRY(hf_seal_root_move(service->seal, op, BATCH, out_done));
    } while (!*out_done && !hf_job_must_rest(job, op));
    HF_TRY(hf_seal_root_info(service->seal, op, &info));
    hf_job_tell(job, op, info.checked, info.records);
    if (info.stuck > 0) {
        return hf_fail(op, HF_CORRUPT,
                       "%" PRIu64 " records do not open and cannot be moved, so the root before "
                       "stays; the log names them: restore them from a backup, or remove them",
                       info.stuck);
    }
    return HF_SUCCESS;
}

/* Several nodes at once would do no harm, but get in each other's way. */
struct hf_status hf_job_move_root(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct hf_service *service = job->service;
    bool ours = false;
    bool done = false;

    if (!hf_seal_root_is_moving(service->seal)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_job_claim(job, op, &ours));
    if (!ours) {
        return HF_SUCCESS;
    }
    HF_TRY(move(job, op, &done));
    *out_more = !done;
    return done ? end(service, op) : HF_SUCCESS;
}
