/* Keyrings: create, change, rotate, show, list. */
#include <string.h>

#include "base/codec.h"
#include "service/internal.h"

static void ask_settings(struct hf_buf *asked, const struct hf_keyring_settings *settings)
{
    hf_put_text(asked, settings->main_key != NULL ? settings->main_key : "");
    hf_put_u8(asked, settings->approve_destroy);
    hf_put_u8(asked, settings->approve_export);
    hf_put_u8(asked, settings->approve_slot_removal);
    hf_put_u64(asked, settings->destroy_wait_ms);
    hf_put_u64(asked, settings->dark_window_ms);
    hf_put_u64(asked, settings->max_stale_ms);
    hf_put_u64(asked, settings->max_stale_wrap_ms);
    hf_put_u64(asked, settings->rotate_every_ms);
    for (size_t i = 0; i < settings->serve_on.count; i++) {
        hf_put_text(asked, settings->serve_on.names[i]);
    }
    /* Only where it is said: what a node of an older release was asked is the same here. */
    if (settings->min_ways > 0) {
        hf_put_u64(asked, settings->min_ways);
    }
}

/* --- create --- */

static struct hf_status stage_create(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    const struct hf_call *call = &control->call;

    HF_TRY(hf_serve_on_check_settings(call->service, op, call->keyring, control->context));
    return hf_keyring_create(call->service->keys, op, txn, call->keyring, control->context);
}

struct hf_status hf_service_keyring_create(struct hf_service *service, struct hf_op *op,
                                           const char *name,
                                           const struct hf_keyring_settings *settings,
                                           struct hf_keyring_info *out)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct hf_keyring_settings copy = *settings;
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_KEYRING_CREATE, .keyring = name },
        .stage = stage_create,
        .context = &copy,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    ask_settings(asked, settings);
    HF_TRY(hf_control_run(&control, op));
    return out != NULL ? hf_keyring_get(service->keys, op, name, out) : HF_SUCCESS;
}

/* --- change --- */

struct change {
    const struct hf_keyring_settings *settings;
    char approval[HF_APPROVAL_ID]; /* "": none is needed */
};

static struct hf_status stage_change(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    struct change *change = control->context;

    HF_TRY(hf_serve_on_check_settings(control->call.service, op, control->call.keyring,
                                      change->settings));
    if (change->approval[0] != '\0') {
        HF_TRY(hf_approval_use(control->call.service, op, txn, change->approval));
    }
    return hf_keyring_change(control->call.service->keys, op, txn, control->call.keyring,
                             change->settings);
}

/* Who could switch off the second person alone would not need him. */
static bool loosens(const struct hf_keyring_settings *now, const struct hf_keyring_settings *then)
{
    bool drops = (now->approve_destroy && !then->approve_destroy) ||
                 (now->approve_export && !then->approve_export) ||
                 (now->approve_slot_removal && !then->approve_slot_removal);
    bool shortens =
        then->destroy_wait_ms < now->destroy_wait_ms || then->dark_window_ms < now->dark_window_ms;

    return drops || (now->approve_destroy && shortens);
}

/* Fills in the approval if one is needed; fails when it still has to be given. */
static struct hf_status find_approval(struct hf_control *control, struct hf_op *op,
                                      struct change *change)
{
    struct hf_service *service = control->call.service;
    struct hf_ask ask = {
        hf_action_name(HF_ACT_KEYRING_CHANGE), control->call.keyring, "", 0, { 0 }
    };
    struct hf_keyring_info info;
    struct hf_status status = hf_keyring_get(service->keys, op, control->call.keyring, &info);

    if (status.code == HF_OK && !loosens(&info.settings, change->settings)) {
        return status;
    }
    if (status.code == HF_OK) {
        status = hf_ask_digest(service, op, &ask, hf_buf_bytes(control->asked));
    }
    if (status.code == HF_OK) {
        status = hf_approval_find(service, op, &ask, change->approval);
    }
    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    return change->approval[0] != '\0' ? HF_SUCCESS
                                       : hf_approval_wait(&control->call, op, &ask, HF_WRONG_STATE);
}

struct hf_status hf_service_keyring_change(struct hf_service *service, struct hf_op *op,
                                           const char *name,
                                           const struct hf_keyring_settings *settings)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct change change = { .settings = settings };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_KEYRING_CHANGE, .keyring = name },
        .stage = stage_change,
        .context = &change,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for the store");
    }
    ask_settings(asked, settings);
    if (hf_control_has_happened(&control, op)) {
        return hf_control_end_repeated(&control, op);
    }
    HF_TRY(find_approval(&control, op, &change));
    return hf_control_run(&control, op);
}

/* --- rotate --- */

static struct hf_status stage_rotate(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    uint32_t version = 0;

    HF_TRY(
        hf_keyring_rotate(control->call.service->keys, op, txn, control->call.keyring, &version));
    hf_control_answer(control, version);
    return HF_SUCCESS;
}

struct hf_status hf_service_keyring_rotate(struct hf_service *service, struct hf_op *op,
                                           const char *name, uint32_t *out_version)
{
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_KEYRING_ROTATE, .keyring = name },
        .stage = stage_rotate,
        .gives_version = true,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    HF_TRY(hf_control_run(&control, op));
    *out_version = control.number;
    return HF_SUCCESS;
}

/* --- show and list --- */

struct hf_status hf_service_keyring_get(struct hf_service *service, struct hf_op *op,
                                        const char *name, struct hf_keyring_info *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_KEYRING_READ, .keyring = name };

    HF_TRY(hf_call_allow(&call, op));
    return hf_call_end(&call, op, hf_keyring_get(service->keys, op, name, out));
}

struct listing {
    struct hf_call call;
    struct hf_op *op;
    void (*visit)(void *context, const struct hf_keyring_info *info);
    void *context;
};

/* Only what the caller may read: other keyrings are not even named. */
static void show(void *context, const struct hf_keyring_info *info)
{
    struct listing *listing = context;
    struct hf_call one = listing->call;

    one.keyring = info->name;
    if (hf_call_may(&one, listing->op, HF_ACT_KEYRING_READ)) {
        listing->visit(listing->context, info);
    }
}

struct hf_status hf_service_keyring_list(struct hf_service *service, struct hf_op *op,
                                         void (*visit)(void *context,
                                                       const struct hf_keyring_info *info),
                                         void *context)
{
    struct listing listing = {
        .call = { .service = service, .action = HF_ACT_KEYRING_READ, .detail = "list" },
        .op = op,
        .visit = visit,
        .context = context,
    };

    HF_TRY(hf_call_allow(&listing.call, op));
    hf_keyring_each(service->keys, show, &listing);
    return hf_call_end(&listing.call, op, HF_SUCCESS);
}
