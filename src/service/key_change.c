/* Changes to keys that make no material: primary, rewrap, states, soft delete and recovery. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "service/job.h"

/* --- primary --- */

static struct hf_status stage_primary(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    return hf_key_set_primary(control->call.service->keys, op, txn, control->call.keyring,
                              control->call.key, control->call.version);
}

struct hf_status hf_service_key_set_primary(struct hf_service *service, struct hf_op *op,
                                            const char *keyring, const char *name, uint32_t version)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct hf_control control = {
        /* It decides what encrypts from now on, as a rotation does. */
        .call = { .service = service,
                  .action = HF_ACT_KEY_ROTATE,
                  .keyring = keyring,
                  .key = name,
                  .has_version = true,
                  .version = version,
                  .detail = "made primary" },
        .stage = stage_primary,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    hf_put_text(asked, "primary");
    hf_put_u32(asked, version);
    return hf_control_run(&control, op);
}

/* --- rewrap --- */

static struct hf_status stage_rewrap(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    uint32_t moved = 0;

    HF_TRY(hf_key_rewrap(control->call.service->keys, op, txn, control->call.keyring,
                         control->call.key, &moved));
    hf_control_answer(control, moved);
    control->call.count = moved;
    return HF_SUCCESS;
}

struct hf_status hf_service_key_rewrap(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name, uint32_t *out_moved)
{
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_REWRAP,
                  .keyring = keyring,
                  .key = name },
        .stage = stage_rewrap,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(hf_control_run(&control, op));
    *out_moved = control.number;
    return HF_SUCCESS;
}

/* --- rewrap after a rotation of the keyring key --- */

struct rewrapping {
    struct hf_job *job;
    struct hf_op *op;
    struct hf_status status;
    bool is_left; /* to another node, or to the next slice */
};

static struct hf_status rewrap_due(void *context, const char *keyring, const char *name)
{
    struct rewrapping *rewrapping = context;
    struct hf_job *job = rewrapping->job;
    struct hf_op *op = rewrapping->op;
    struct hf_control control = {
        .call = { .service = job->service,
                  .action = HF_ACT_KEY_REWRAP,
                  .keyring = keyring,
                  .key = name,
                  .detail = "the keyring key was rotated" },
        .stage = stage_rewrap,
    };
    bool ours = false;

    HF_TRY(hf_job_claim(job, op, &ours));
    if (!ours || hf_job_must_rest(job, op)) {
        rewrapping->is_left = true;
        return (struct hf_status){ HF_LATER }; /* the walk ends */
    }
    hf_job_tell(job, op, job->record.done + 1, 0);
    return hf_job_pass(job, op, hf_control_run(&control, op), keyring, name);
}

/* The keyring key under which this node has seen all versions of the keyring; 0: none. */
static uint32_t seen_version(const struct hf_job *job, const char *keyring)
{
    struct hf_reader reader;

    hf_reader_init(&reader, hf_buf_bytes(job->seen));
    while (reader.at != reader.end) {
        HF_AUTO_STRING name = hf_take_text(&reader);
        uint32_t version = hf_take_u32(&reader);

        if (strcmp(name, keyring) == 0) {
            return version;
        }
    }
    return 0;
}

/* Forgets the versions before by writing the list anew. */
static void note_seen(struct hf_job *job, const struct hf_keyring_info *info)
{
    HF_AUTO(buf) before = hf_buf_new();
    struct hf_reader reader;

    hf_buf_add_bytes(before, hf_buf_bytes(job->seen));
    hf_buf_clear(job->seen);
    hf_put_text(job->seen, info->name);
    hf_put_u32(job->seen, info->key_version);
    hf_reader_init(&reader, hf_buf_bytes(before));
    while (reader.at != reader.end) {
        HF_AUTO_STRING name = hf_take_text(&reader);
        uint32_t version = hf_take_u32(&reader);

        if (strcmp(name, info->name) != 0) {
            hf_put_text(job->seen, name);
            hf_put_u32(job->seen, version);
        }
    }
}

static void rewrap_in_keyring(void *context, const struct hf_keyring_info *info)
{
    struct rewrapping *rewrapping = context;
    struct hf_job *job = rewrapping->job;

    if (rewrapping->status.code != HF_OK || info->key_version == 1 ||
        seen_version(job, info->name) == info->key_version ||
        !hf_serve_on_is_ours(job->service, rewrapping->op, info->name)) {
        return;
    }
    rewrapping->status =
        hf_key_rewraps_due(job->service->keys, rewrapping->op, info, rewrap_due, rewrapping);
    if (rewrapping->status.code == HF_OK && !job->has_left) {
        note_seen(job, info);
    }
}

struct hf_status hf_job_rewrap(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct rewrapping rewrapping = { .job = job, .op = op };

    hf_keyring_each(job->service->keys, rewrap_in_keyring, &rewrapping);
    *out_more = rewrapping.is_left;
    return rewrapping.is_left ? HF_SUCCESS : rewrapping.status;
}

/* --- states --- */

struct state_change {
    enum hf_key_event event;
    const char *reason;
};

static struct hf_status stage_state(struct hf_control *control, struct hf_op *op,
                                    struct hf_txn *txn)
{
    const struct state_change *change = control->context;

    return hf_key_change_state(control->call.service->keys, op, txn, control->call.keyring,
                               control->call.key, control->call.version, change->event,
                               change->reason);
}

static const char *event_name(enum hf_key_event event)
{
    static const char *const names[] = {
        [HF_KEY_ACTIVATE] = "activate",     [HF_KEY_SUSPEND] = "suspend",
        [HF_KEY_RESUME] = "resume",         [HF_KEY_DEACTIVATE] = "deactivate",
        [HF_KEY_COMPROMISE] = "compromise", [HF_KEY_DESTROY] = "destroy",
    };

    return names[event];
}

struct hf_status hf_service_key_state(struct hf_service *service, struct hf_op *op,
                                      const char *keyring, const char *name, uint32_t version,
                                      enum hf_key_event event, const char *reason)
{
    HF_AUTO(buf) asked = hf_buf_new();
    char detail[HF_OP_TEXT_MAX];
    struct state_change change = { event, reason != NULL ? reason : "" };
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_STATE,
                  .keyring = keyring,
                  .key = name,
                  .has_version = true,
                  .version = version,
                  .detail = detail },
        .stage = stage_state,
        .context = &change,
        .asked = asked,
    };

    (void)snprintf(detail, sizeof detail, "%s: %s", event_name(event), change.reason);
    HF_TRY(hf_call_allow(&control.call, op));
    if (event == HF_KEY_DESTROY) {
        return hf_call_end(&control.call, op,
                           hf_fail(op, HF_INVALID, "destruction has an operation of its own"));
    }
    hf_put_u32(asked, version);
    hf_put_u32(asked, (uint32_t)event);
    hf_put_text(asked, change.reason);
    return hf_control_run(&control, op);
}

/* --- soft delete and recovery --- */

static struct hf_status stage_delete(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    return hf_key_delete(control->call.service->keys, op, txn, control->call.keyring,
                         control->call.key, control->call.detail);
}

struct hf_status hf_service_key_delete(struct hf_service *service, struct hf_op *op,
                                       const char *keyring, const char *name, const char *reason)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_DELETE,
                  .keyring = keyring,
                  .key = name,
                  .detail = reason != NULL ? reason : "" },
        .stage = stage_delete,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    hf_put_text(asked, control.call.detail);
    return hf_control_run(&control, op);
}

/* --- taking destruction back --- */

static struct hf_status stage_keep(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    return hf_key_keep(control->call.service->keys, op, txn, control->call.keyring,
                       control->call.key, control->call.version);
}

struct hf_status hf_service_key_keep(struct hf_service *service, struct hf_op *op,
                                     const char *keyring, const char *name, uint32_t version)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_RECOVER,
                  .keyring = keyring,
                  .key = name,
                  .has_version = true,
                  .version = version,
                  .detail = "kept: its destruction is taken back" },
        .stage = stage_keep,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    hf_put_text(asked, "keep");
    hf_put_u32(asked, version);
    return hf_control_run(&control, op);
}

static struct hf_status stage_recover(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    return hf_key_recover(control->call.service->keys, op, txn, control->call.keyring,
                          control->call.key);
}

struct hf_status hf_service_key_recover(struct hf_service *service, struct hf_op *op,
                                        const char *keyring, const char *name)
{
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_RECOVER,
                  .keyring = keyring,
                  .key = name },
        .stage = stage_recover,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    return hf_control_run(&control, op);
}
