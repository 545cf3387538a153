/* Destruction: waits, is refused while a version is in use, and takes two people where asked. */
#include <inttypes.h>

#include "base/codec.h"
#include "base/log.h"
#include "service/job.h"

struct destruction {
    bool force;
    const char *reason;
    char approval[HF_APPROVAL_ID]; /* "": none is needed, or this is only a trial */
};

static struct hf_status stage_destroy(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    const struct destruction *destruction = control->context;
    struct hf_service *service = control->call.service;

    if (destruction->approval[0] != '\0') {
        HF_TRY(hf_approval_use(service, op, txn, destruction->approval));
    }
    return hf_key_destroy(service->keys, op, txn, control->call.keyring, control->call.key,
                          control->call.has_version ? control->call.version : HF_LATEST,
                          destruction->force, destruction->reason);
}

/* Whether it could happen now at all; nobody is asked to approve what cannot. */
static struct hf_status try_destroy(struct hf_control *control, struct hf_op *op)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(control->call.service->seal, op, &txn));
    return stage_destroy(control, op, txn);
}

/* The approval is for this key, and not for a later one that gets its name. */
static struct hf_status describe(struct hf_control *control, struct hf_op *op,
                                 const struct destruction *destruction, struct hf_ask *out)
{
    const struct hf_call *call = &control->call;
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(buf) parts = hf_buf_new();

    HF_TRY(hf_key_get(call->service->keys, op, call->keyring, call->key, true, &info));
    hf_put_u64(parts, info->created_ms);
    hf_put_u8(parts, destruction->force);
    *out = (struct hf_ask){ .operation = hf_action_name(call->action),
                            .keyring = call->keyring,
                            .key = call->key,
                            .version = call->has_version ? call->version : HF_LATEST };
    return hf_ask_digest(call->service, op, out, hf_buf_bytes(parts));
}

struct scheduled {
    uint32_t version;
    bool found;
};

static void match_scheduled(void *context, const struct hf_version_info *info)
{
    struct scheduled *scheduled = context;

    if (info->version == scheduled->version && info->destroy_at_ms != 0) {
        scheduled->found = true;
    }
}

/* Whether two people are needed now; they were when the destruction of a version was scheduled. */
static struct hf_status needs_approval(const struct hf_call *call, struct hf_op *op, bool force,
                                       bool *out)
{
    struct scheduled scheduled = { .version = call->version };
    struct hf_keyring_info keyring;

    HF_TRY(hf_keyring_get(call->service->keys, op, call->keyring, &keyring));
    *out = force || keyring.settings.approve_destroy;
    if (*out && !force && call->has_version) {
        HF_TRY(hf_key_versions(call->service->keys, op, call->keyring, call->key, match_scheduled,
                               &scheduled));
        *out = !scheduled.found;
    }
    return HF_SUCCESS;
}

/* Finds the approval, or sees whether it is worth asking for: *out_ask is filled in then. */
static struct hf_status look_for_approval(struct hf_control *control, struct hf_op *op,
                                          struct destruction *destruction, struct hf_ask *out_ask)
{
    if (op->caller == NULL) {
        return hf_fail(op, HF_WRONG_STATE, "the keyring asks for two people to destroy a key");
    }
    HF_TRY(describe(control, op, destruction, out_ask));
    HF_TRY(hf_approval_find(control->call.service, op, out_ask, destruction->approval));
    return destruction->approval[0] != '\0' ? HF_SUCCESS : try_destroy(control, op);
}

/* Gets the approval ready; fails when it still has to be given, or when it would be for nothing. */
static struct hf_status pass_approval(struct hf_control *control, struct hf_op *op,
                                      struct destruction *destruction)
{
    struct hf_ask ask;
    bool is_needed = false;
    struct hf_status status = needs_approval(&control->call, op, destruction->force, &is_needed);

    if (status.code == HF_OK && is_needed) {
        status = look_for_approval(control, op, destruction, &ask);
    }
    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    return is_needed && destruction->approval[0] == '\0'
               ? hf_approval_wait(&control->call, op, &ask, HF_WRONG_STATE)
               : HF_SUCCESS;
}

struct hf_status hf_service_key_destroy(struct hf_service *service, struct hf_op *op,
                                        const char *keyring, const char *name, uint32_t version,
                                        bool force, const char *reason)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct destruction destruction = { .force = force, .reason = reason != NULL ? reason : "" };
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_KEY_DESTROY,
                  .keyring = keyring,
                  .key = name,
                  .has_version = version != HF_LATEST,
                  .version = version,
                  .detail = destruction.reason },
        .stage = stage_destroy,
        .context = &destruction,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for the store");
    }
    hf_put_u32(asked, version);
    hf_put_u8(asked, force);
    if (hf_control_has_happened(&control, op)) {
        return hf_control_end_repeated(&control, op);
    }
    HF_TRY(pass_approval(&control, op, &destruction));
    return hf_control_run(&control, op);
}

/* --- what is due --- */

struct purge {
    struct hf_job *job;
    struct hf_op *op;
    uint64_t destroyed;
    bool is_left; /* to another node, or to the next slice */
};

static struct hf_status destroy_one(struct purge *purge, struct hf_control *control)
{
    struct hf_job *job = purge->job;
    bool ours = false;

    HF_TRY(hf_job_claim(job, purge->op, &ours));
    if (!ours || hf_job_must_rest(job, purge->op)) {
        purge->is_left = true;
        return (struct hf_status){ HF_LATER }; /* the walk ends */
    }
    hf_job_tell(job, purge->op, job->record.done + 1, 0);
    HF_TRY(hf_control_run(control, purge->op));
    purge->destroyed++;
    return HF_SUCCESS;
}

/*
 * What is destroyed when its time has come, without a caller: whole keys of keyrings that ask for
 * two people wait for them; a version was approved when its destruction was scheduled. What cannot
 * go yet is tried again the next time, without a line in the trail each time.
 */
static struct hf_status destroy_due(void *context, const char *keyring, const char *name,
                                    uint32_t version)
{
    struct purge *purge = context;
    struct destruction destruction = { .reason = "its waiting time has ended" };
    struct hf_control control = {
        .call = { .service = purge->job->service,
                  .action = HF_ACT_KEY_DESTROY,
                  .keyring = keyring,
                  .key = name,
                  .has_version = version != HF_LATEST,
                  .version = version,
                  .detail = destruction.reason },
        .stage = stage_destroy,
        .context = &destruction,
    };
    bool needs_people = false;
    struct hf_status status = needs_approval(&control.call, purge->op, false, &needs_people);

    if (status.code == HF_OK && !needs_people) {
        status = try_destroy(&control, purge->op);
    }
    if (status.code == HF_OK && !needs_people) {
        return destroy_one(purge, &control);
    }
    if (status.code == HF_UNAVAILABLE) {
        return status;
    }
    hf_op_clear(purge->op);
    return HF_SUCCESS;
}

struct hf_status hf_job_purge(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct purge purge = { .job = job, .op = op };

    struct hf_status status = hf_key_purge_due(job->service->keys, op, destroy_due, &purge);

    *out_more = purge.is_left;
    if (purge.destroyed > 0) {
        HF_INFO(op->env,
                "%" PRIu64 " keys or versions were destroyed: their waiting time has ended",
                purge.destroyed);
    }
    return purge.is_left ? HF_SUCCESS : status;
}
