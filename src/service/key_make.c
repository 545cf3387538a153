/* New material: a key with its first version, and the next version of a key. */
#include <string.h>

#include "base/codec.h"
#include "service/job.h"

struct making {
    struct hf_key_plan plan;          /* create */
    const struct hf_secret *material; /* rotate */
};

/* Caller-given material needs a right of its own. */
static struct hf_status allow_import(const struct hf_control *control, struct hf_op *op,
                                     const struct hf_secret *material)
{
    struct hf_call import = control->call;

    import.action = HF_ACT_KEY_IMPORT;
    return material != NULL ? hf_call_allow(&import, op) : HF_SUCCESS;
}

/*
 * The new material for its maker, where key and policy let him have it. The version exists whatever
 * comes of this, so a refusal only means that the answer has no material.
 */
static void give_material(const struct hf_control *control, struct hf_op *op,
                          struct hf_secret **out)
{
    const struct hf_call *call = &control->call;

    if (out == NULL) {
        return;
    }
    *out = NULL;
    if (hf_call_may(call, op, HF_ACT_KEY_EXPORT) &&
        hf_export_made(call, op, control->number, out).code != HF_OK) {
        hf_op_clear(op);
        *out = NULL;
    }
}

/* --- create --- */

static struct hf_status ask_plan(struct hf_control *control, struct hf_op *op,
                                 const struct hf_key_plan *plan)
{
    struct hf_buf *asked = control->asked;

    hf_put_u32(asked, (uint32_t)plan->algorithm);
    hf_put_u32(asked, plan->first_version);
    hf_put_u8(asked, plan->exportable);
    hf_put_u8(asked, plan->pre_active);
    hf_put_u32(asked, plan->material_len);
    hf_put_text(asked, plan->description != NULL ? plan->description : "");
    hf_put_text(asked, plan->cipher != NULL ? plan->cipher : "");
    hf_put_u32(asked, (uint32_t)plan->attribute_count);
    for (size_t i = 0; i < plan->attribute_count; i++) {
        hf_put_text(asked, plan->attributes[i].name);
        hf_put_text(asked, plan->attributes[i].value);
    }
    return hf_control_ask_secret(control, op, plan->material);
}

static struct hf_status stage_create(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    const struct making *making = control->context;
    uint32_t version = 0;

    HF_TRY(hf_key_create(control->call.service->keys, op, txn, control->call.keyring,
                         control->call.key, &making->plan, &version));
    hf_control_answer(control, version);
    return HF_SUCCESS;
}

struct hf_status hf_service_key_create(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name,
                                       const struct hf_key_plan *plan, uint32_t *out_version,
                                       struct hf_secret **out_material)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct making making = { .plan = *plan };
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_CREATE,
                  .keyring = keyring,
                  .key = name,
                  .detail = plan->material != NULL ? "imported" : NULL },
        .stage = stage_create,
        .gives_version = true,
        .context = &making,
        .asked = asked,
    };

    making.plan.candidate = plan->candidate || service->cluster != NULL;
    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(allow_import(&control, op, plan->material));
    HF_TRY(ask_plan(&control, op, plan));
    HF_TRY(hf_born_run(&control, op));
    *out_version = control.number;
    give_material(&control, op, out_material);
    return HF_SUCCESS;
}

/* --- rotate --- */

static struct hf_status stage_rotate(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    const struct making *making = control->context;
    const struct hf_call *call = &control->call;
    uint32_t version = 0;

    HF_TRY((call->service->cluster != NULL ? hf_key_rotate_candidate : hf_key_rotate)(
        call->service->keys, op, txn, call->keyring, call->key, making->material, &version));
    hf_control_answer(control, version);
    return HF_SUCCESS;
}

struct hf_status hf_service_key_rotate(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name,
                                       const struct hf_secret *material, uint32_t *out_version,
                                       struct hf_secret **out_material)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct making making = { .material = material };
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_ROTATE,
                  .keyring = keyring,
                  .key = name,
                  .detail = material != NULL ? "imported" : NULL },
        .stage = stage_rotate,
        .gives_version = true,
        .context = &making,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(allow_import(&control, op, material));
    HF_TRY(hf_control_ask_secret(&control, op, material));
    HF_TRY(hf_born_run(&control, op));
    *out_version = control.number;
    give_material(&control, op, out_material);
    return HF_SUCCESS;
}

/* --- rotation by the clock --- */

struct rotating {
    struct hf_job *job;
    struct hf_op *op;
    bool is_left; /* to another node, or to the next slice */
};

/* Asked again here: another node may have rotated it since it was found. */
static struct hf_status stage_due_rotation(struct hf_control *control, struct hf_op *op,
                                           struct hf_txn *txn)
{
    bool due = false;

    HF_TRY(hf_key_rotation_is_due(control->call.service->keys, op, control->call.keyring,
                                  control->call.key, &due));
    if (!due) {
        return hf_fail(op, HF_WRONG_STATE, "the key was rotated just now");
    }
    return stage_rotate(control, op, txn);
}

static struct hf_status rotate_due(void *context, const char *keyring, const char *name)
{
    struct rotating *rotating = context;
    struct hf_job *job = rotating->job;
    struct hf_op *op = rotating->op;
    struct making making = { .material = NULL };
    struct hf_control control = {
        .call = { .service = job->service,
                  .action = HF_ACT_KEY_ROTATE,
                  .keyring = keyring,
                  .key = name,
                  .detail = "it was due, as the keyring says" },
        .stage = stage_due_rotation,
        .gives_version = true,
        .context = &making,
    };
    bool ours = false;

    HF_TRY(hf_job_claim(job, op, &ours));
    if (!ours || hf_job_must_rest(job, op)) {
        rotating->is_left = true;
        return (struct hf_status){ HF_LATER }; /* the walk ends */
    }
    hf_job_tell(job, op, job->record.done + 1, 0);
    return hf_job_pass(job, op, hf_born_run(&control, op), keyring, name);
}

struct keyrings {
    struct rotating rotating;
    struct hf_status status;
};

static void rotate_in_keyring(void *context, const struct hf_keyring_info *info)
{
    struct keyrings *keyrings = context;

    if (keyrings->status.code == HF_OK &&
        hf_serve_on_is_ours(keyrings->rotating.job->service, keyrings->rotating.op, info->name)) {
        keyrings->status =
            hf_key_rotations_due(keyrings->rotating.job->service->keys, keyrings->rotating.op, info,
                                 rotate_due, &keyrings->rotating);
    }
}

struct hf_status hf_job_rotate(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct keyrings keyrings = { .rotating = { .job = job, .op = op } };

    hf_keyring_each(job->service->keys, rotate_in_keyring, &keyrings);
    *out_more = keyrings.rotating.is_left;
    return keyrings.rotating.is_left ? HF_SUCCESS : keyrings.status;
}
