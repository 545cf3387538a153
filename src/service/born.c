/*
 * Born proven: on a store of several nodes a version is committed as a candidate, opened by every
 * node alive, and only then promoted by a second commit. The second request's id follows from the
 * first one's, so whoever repeats the first, on any node, goes on where it stopped.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "service/job.h"

/* A maker that is alive has settled its candidate by then: its operation has ended. */
#define ORPHAN_MS 60000

enum { ABANDONED = 0, PROMOTED = 1 };

/* The second step. */
struct verdict {
    uint32_t version;
    struct hf_cluster_proof proof;
};

static void describe(const struct verdict *verdict, char *out, size_t room)
{
    const struct hf_cluster_proof *proof = &verdict->proof;

    if (proof->promote) {
        (void)snprintf(out, room, "proven on %zu of %zu nodes", proof->proven_on, proof->of);
    } else {
        (void)snprintf(out, room, "node %s could not open it: %s",
                       proof->failed[0] != '\0' ? proof->failed : "(none)", proof->reason);
    }
}

static struct hf_status stage_verdict(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    const struct verdict *verdict = control->context;
    const struct hf_call *call = &control->call;
    char text[160];

    if (verdict->proof.promote) {
        HF_TRY(hf_key_promote(call->service->keys, op, txn, call->keyring, call->key,
                              verdict->version));
    } else {
        describe(verdict, text, sizeof text);
        HF_TRY(hf_key_abandon(call->service->keys, op, txn, call->keyring, call->key,
                              verdict->version, text));
    }
    hf_control_answer(control, verdict->proof.promote ? PROMOTED : ABANDONED);
    return HF_SUCCESS;
}

/* The id of the second step: another one, and the same one whenever the first is repeated. */
static struct hf_status second_id(struct hf_service *service, struct hf_op *op,
                                  const struct hf_request_id *first, struct hf_request_id *out)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_buf_add_text(text, "born");
    hf_buf_add(text, first->bytes, sizeof first->bytes);
    return hf_seal_check_value(service->seal, op, hf_buf_bytes(text), out->bytes);
}

static struct hf_status prove(struct hf_control *second, struct hf_op *op, uint64_t seq)
{
    struct verdict *verdict = second->context;
    struct hf_status status =
        hf_cluster_prove(second->call.service->cluster, op, seq, NULL, 0, &verdict->proof);

    if (status.code != HF_OK && status.code != HF_LATER) {
        return hf_fail(
            op, HF_IN_DOUBT,
            "the new version is durable, but the other nodes did not say in time whether "
            "they can open it; repeat it under the same request id");
    }
    return status;
}

static struct hf_status decide(struct hf_control *second, struct hf_op *op, uint64_t seq)
{
    struct hf_service *service = second->call.service;
    struct verdict *verdict = second->context;
    struct hf_status status;
    char text[160];

    HF_TRY(prove(second, op, seq));
    describe(verdict, text, sizeof text);
    second->call.detail = text;
    status = hf_control_commit(second, op);
    second->call.detail = NULL;
    /* Somebody took it for an orphan and has promoted it: then that is the answer. */
    if (status.code == HF_EXISTS) {
        hf_op_clear(op);
        second->number = PROMOTED;
        second->seq = hf_seal_seq(service->seal);
        return HF_SUCCESS;
    }
    return status;
}

/* From the candidate to the version that is in force, or to none. */
static struct hf_status settle(const struct hf_control *first, struct hf_op *op,
                               const struct hf_request_id *id)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct verdict verdict = { .version = first->number };
    struct hf_control second = {
        .call = first->call,
        .stage = stage_verdict,
        .context = &verdict,
        .asked = asked,
    };
    char text[160];

    second.call.has_version = true;
    second.call.version = first->number;
    hf_put_u32(asked, first->number);
    HF_TRY(second_id(first->call.service, op, id, &op->request_id));
    if (!hf_control_has_happened(&second, op)) {
        HF_TRY(decide(&second, op, first->seq));
    }
    HF_TRY(hf_standing_in_force(first->call.service, op, second.seq));
    if (second.number != PROMOTED) {
        describe(&verdict, text, sizeof text);
        return hf_fail(op, HF_UNAVAILABLE,
                       "version %u is not used, since not every node can open it: %s",
                       first->number, text);
    }
    return HF_SUCCESS;
}

static struct hf_status make(struct hf_control *control, struct hf_op *op)
{
    const char *detail = control->call.detail;
    struct hf_request_id id;
    struct hf_status status;

    if (!hf_request_id_is_set(&op->request_id)) {
        hf_env_random(op->env, op->request_id.bytes, sizeof op->request_id.bytes);
    }
    id = op->request_id;
    control->call.detail = detail != NULL ? "candidate, imported" : "candidate";
    status = hf_control_commit(control, op);
    control->call.detail = detail;
    if (status.code == HF_OK) {
        status = settle(control, op, &id);
        op->request_id = id;
    }
    return status;
}

struct hf_status hf_born_run(struct hf_control *control, struct hf_op *op)
{
    struct hf_status status;

    if (control->call.service->cluster == NULL) {
        return hf_control_run(control, op);
    }
    status = make(control, op);
    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    hf_op_clear(op);
    if (control->repeated) {
        return hf_control_end_repeated(control, op);
    }
    hf_call_count(&control->call, op, HF_OK);
    return status;
}

/* --- those whose maker has died --- */

struct orphans {
    struct hf_service *service;
    struct hf_job *job;
    struct hf_op *op;
    bool is_left; /* to another node, or to the next slice */
};

/* On a store of this node's own, which may have been another's, this node is all there is. */
static struct hf_status prove_orphan(struct orphans *orphans, const struct hf_candidate *candidate,
                                     struct hf_cluster_proof *out)
{
    struct hf_service *service = orphans->service;
    struct hf_status status;

    if (service->cluster != NULL) {
        return hf_cluster_prove(service->cluster, orphans->op, candidate->seq, NULL, 0, out);
    }
    status = hf_key_prove(service->keys, orphans->op, candidate->keyring, candidate->key,
                          candidate->version);
    *out = (struct hf_cluster_proof){ .promote = status.code == HF_OK, .of = 1 };
    out->proven_on = out->promote ? 1 : 0;
    (void)snprintf(out->failed, sizeof out->failed, "%s", service->node);
    (void)snprintf(out->reason, sizeof out->reason, "%s", hf_code_name(status.code));
    hf_op_clear(orphans->op);
    return HF_SUCCESS;
}

static struct hf_status settle_orphan(void *context, const struct hf_candidate *candidate)
{
    struct orphans *orphans = context;
    struct verdict verdict = { .version = candidate->version };
    char text[160];
    struct hf_control control = {
        .call = { .service = orphans->service,
                  .action = HF_ACT_KEY_ROTATE,
                  .keyring = candidate->keyring,
                  .key = candidate->key,
                  .has_version = true,
                  .version = candidate->version,
                  .detail = text },
        .stage = stage_verdict,
        .context = &verdict,
    };
    struct hf_status status;
    bool ours = false;

    HF_TRY(hf_job_claim(orphans->job, orphans->op, &ours));
    if (!ours || hf_job_must_rest(orphans->job, orphans->op)) {
        orphans->is_left = true;
        return (struct hf_status){ HF_LATER }; /* the walk ends */
    }
    HF_TRY(prove_orphan(orphans, candidate, &verdict.proof));
    describe(&verdict, text, sizeof text);
    hf_job_tell(orphans->job, orphans->op, orphans->job->record.done + 1, 0);
    status = hf_control_commit(&control, orphans->op);
    memset(&orphans->op->request_id, 0, sizeof orphans->op->request_id);
    /* Its maker may be slow, and be first. */
    if (status.code == HF_EXISTS || status.code == HF_WRONG_STATE || status.code == HF_NOT_FOUND) {
        hf_op_clear(orphans->op);
        return HF_SUCCESS;
    }
    return status;
}

/* Promotes or abandons versions whose maker has died before it did. */
struct hf_status hf_job_settle(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct hf_service *service = job->service;
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    struct orphans orphans = { service, job, op, false };
    struct hf_status status;

    status = hf_key_candidates_older(service->keys, op, now_ms > ORPHAN_MS ? now_ms - ORPHAN_MS : 0,
                                     settle_orphan, &orphans);
    *out_more = orphans.is_left;
    return orphans.is_left ? HF_SUCCESS : status;
}
