/*
 * Born proven: on a store of several nodes a version is committed as a candidate, opened by every
 * node alive that serves it, and only then promoted by a second commit. The second request's id
 * follows from the first one's, so whoever repeats the first, on any node, goes on where it
 * stopped.
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
/* Versions that one request may have tried to make: each that was abandoned leaves its record. */
#define ATTEMPTS_MAX 16

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
    bool is_on_all = verdict->proof.proven_on == verdict->proof.of;
    char text[160];

    describe(verdict, text, sizeof text);
    if (verdict->proof.promote) {
        HF_TRY(hf_key_promote(call->service->keys, op, txn, call->keyring, call->key,
                              verdict->version, is_on_all ? "" : text));
    } else {
        HF_TRY(hf_key_abandon(call->service->keys, op, txn, call->keyring, call->key,
                              verdict->version, text));
    }
    hf_control_answer(control, verdict->proof.promote ? PROMOTED : ABANDONED);
    return HF_SUCCESS;
}

/* The id of what follows from a request: another one, and the same one whenever it is repeated. */
static struct hf_status derive_id(struct hf_service *service, struct hf_op *op, const char *what,
                                  const struct hf_request_id *from, struct hf_request_id *out)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_buf_add_text(text, what);
    hf_buf_add(text, from->bytes, sizeof from->bytes);
    return hf_seal_check_value(service->seal, op, hf_buf_bytes(text), out->bytes);
}

/* By all who serve the keyring, as it says now: the others are not asked. */
static struct hf_status ask_nodes(struct hf_service *service, struct hf_op *op, uint64_t seq,
                                  const struct hf_serve_on *serve_on, struct hf_cluster_proof *out)
{
    const char *names[HF_SERVE_ON_MAX];

    for (size_t i = 0; i < serve_on->count; i++) {
        names[i] = serve_on->names[i];
    }
    return hf_cluster_prove(service->cluster, op, seq, serve_on->count > 0 ? names : NULL,
                            serve_on->count, out);
}

/* Members that are away are not asked, and have not opened it either: they do before their lease
 * (hf_keys_each_newer). */
static struct hf_status prove_on_all(struct hf_service *service, struct hf_op *op,
                                     const char *keyring, uint64_t seq,
                                     struct hf_cluster_proof *out)
{
    struct hf_cluster_proof proof;
    struct hf_keyring_info info;
    HF_AUTO(members) members = NULL;

    HF_TRY(hf_keyring_get(service->keys, op, keyring, &info));
    HF_TRY(ask_nodes(service, op, seq, &info.settings.serve_on, &proof));
    /* Only for the count that people are told: a list that cannot be read stops no version. */
    if (hf_members_read(service->seal, op, &members).code != HF_OK) {
        hf_op_clear(op);
    }
    for (size_t i = 0; members != NULL && i < members->count; i++) {
        proof.of += hf_member_is_away(members->items[i]) &&
                    hf_serve_on_serves(&info.settings.serve_on, members->items[i]->node.name);
    }
    *out = proof;
    return HF_SUCCESS;
}

/* Only the same request again, or the job that settles what is left, can end it. */
static struct hf_status leave_in_doubt(struct hf_op *op)
{
    HF_AUTO_STRING reason = hf_strdup(op->text);

    return hf_fail(op, HF_IN_DOUBT,
                   "the new version is durable, but it is not decided yet whether it is used; "
                   "repeat it under the same request id: %.120s",
                   reason);
}

static struct hf_status prove(struct hf_control *second, struct hf_op *op, uint64_t seq)
{
    struct verdict *verdict = second->context;
    struct hf_status status =
        prove_on_all(second->call.service, op, second->call.keyring, seq, &verdict->proof);

    return status.code == HF_OK || status.code == HF_LATER ? status : leave_in_doubt(op);
}

/* Somebody else has abandoned it. */
static bool is_ended(const struct hf_op *op, struct hf_status status)
{
    return status.code == HF_WRONG_STATE && op->cause == HF_CAUSE_VERSION_DESTROYED;
}

/* A failure of any other kind says nothing of the version, only that its fate was not written. */
static bool is_decided(const struct hf_op *op, struct hf_status status)
{
    return status.code == HF_OK || status.code == HF_LATER || status.code == HF_NOT_FOUND ||
           is_ended(op, status);
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
    return is_decided(op, status) ? status : leave_in_doubt(op);
}

/* From the candidate to the version that is in force, or to none. */
static struct hf_status settle(struct hf_control *first, struct hf_op *op,
                               const struct hf_request_id *id)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct verdict verdict = { .version = first->number };
    uint64_t announced_ms = hf_env_boottime_ms(op->env);
    struct hf_control second = {
        .call = first->call,
        .stage = stage_verdict,
        .context = &verdict,
        .asked = asked,
    };
    struct hf_status status = HF_SUCCESS;
    char text[160];

    second.call.has_version = true;
    second.call.version = first->number;
    hf_put_u32(asked, first->number);
    if (derive_id(first->call.service, op, "born", id, &op->request_id).code != HF_OK) {
        return leave_in_doubt(op);
    }
    if (!hf_control_has_happened(&second, op)) {
        status = decide(&second, op, first->seq);
    }
    first->is_abandoned = is_ended(op, status);
    HF_TRY(status);
    HF_TRY(hf_standing_in_force(first->call.service, op, second.seq, announced_ms));
    if (second.number == PROMOTED) {
        op->proven_on = (unsigned)verdict.proof.proven_on;
        op->proven_of = (unsigned)verdict.proof.of;
        return HF_SUCCESS;
    }
    first->is_abandoned = true;
    /* The verdict of the first time is not kept, only what came of it. */
    if (second.repeated) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "version %u was abandoned, since a node could not open it; its record and "
                       "the audit trail have the node and its reason. After %d of them, ask under "
                       "a new request id",
                       first->number, ATTEMPTS_MAX);
    }
    describe(&verdict, text, sizeof text);
    return hf_fail(op, HF_UNAVAILABLE,
                   "version %u is not used, since not every node can open it: %s", first->number,
                   text);
}

/* A candidate, and what becomes of it, under op's id. */
static struct hf_status attempt(struct hf_control *control, struct hf_op *op)
{
    const char *detail = control->call.detail;
    HF_AUTO_STRING as_candidate =
        hf_format("candidate%s%s", detail != NULL ? ", " : "", detail != NULL ? detail : "");
    struct hf_request_id id;
    struct hf_status status;

    control->repeated = false;
    control->is_abandoned = false;
    control->call.detail = as_candidate;
    status = hf_control_commit(control, op);
    control->call.detail = detail;
    /* Not before: it may have been found under another. */
    id = op->request_id;
    if (status.code == HF_OK) {
        status = settle(control, op, &id);
    }
    op->request_id = id;
    return status;
}

/*
 * Who repeats a request whose version was abandoned wants a version still: the next attempt has an
 * id that follows from the last one's, so that all repeats, on all nodes, find the same ones.
 */
static struct hf_status attempt_anew(struct hf_control *control, struct hf_op *op,
                                     struct hf_status status)
{
    for (int i = 1; i < ATTEMPTS_MAX && control->is_abandoned && control->repeated; i++) {
        struct hf_request_id next;

        hf_op_clear(op);
        HF_TRY(derive_id(control->call.service, op, "anew", &op->request_id, &next));
        op->request_id = next;
        status = attempt(control, op);
    }
    return status;
}

static struct hf_status make(struct hf_control *control, struct hf_op *op)
{
    struct hf_request_id asked = op->request_id;
    struct hf_request_id id;
    struct hf_status status;

    if (!hf_request_id_is_set(&asked)) {
        hf_env_random(op->env, op->request_id.bytes, sizeof op->request_id.bytes);
    }
    status = attempt(control, op);
    id = op->request_id;
    status = attempt_anew(control, op, status);
    /* One that was not asked for is forgotten. */
    op->request_id = hf_request_id_is_set(&asked) ? id : asked;
    return status;
}

struct hf_status hf_born_run(struct hf_control *control, struct hf_op *op)
{
    if (control->call.service->cluster == NULL) {
        return hf_control_run(control, op);
    }
    return hf_control_end(control, op, make(control, op));
}

/* --- those whose maker has died --- */

struct orphans {
    struct hf_job *job;
    struct hf_op *op;
    bool is_left; /* to another node, or to the next slice */
};

/* On a store of this node's own, which may have been another's, this node is all there is. */
static struct hf_status prove_orphan(struct orphans *orphans, const struct hf_candidate *candidate,
                                     struct hf_cluster_proof *out)
{
    struct hf_service *service = orphans->job->service;
    struct hf_status status;

    if (service->cluster != NULL) {
        return prove_on_all(service, orphans->op, candidate->keyring, candidate->seq, out);
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

static struct hf_status settle_orphan(struct orphans *orphans, const struct hf_candidate *candidate)
{
    struct verdict verdict = { .version = candidate->version };
    char text[160];
    struct hf_control control = {
        .call = { .service = orphans->job->service,
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

    HF_TRY(prove_orphan(orphans, candidate, &verdict.proof));
    describe(&verdict, text, sizeof text);
    status = hf_control_run(&control, orphans->op);
    /* Its maker may only have been slow. */
    if (status.code == HF_EXISTS || status.code == HF_WRONG_STATE) {
        hf_op_clear(orphans->op);
        return HF_SUCCESS;
    }
    return status;
}

static struct hf_status take_orphan(void *context, const struct hf_candidate *candidate)
{
    struct orphans *orphans = context;
    struct hf_job *job = orphans->job;
    bool ours = false;

    HF_TRY(hf_job_claim(job, orphans->op, &ours));
    if (!ours || hf_job_must_rest(job, orphans->op)) {
        orphans->is_left = true;
        return (struct hf_status){ HF_LATER }; /* the walk ends */
    }
    hf_job_tell(job, orphans->op, job->record.done + 1, 0);
    return hf_job_pass(job, orphans->op, settle_orphan(orphans, candidate), candidate->keyring,
                       candidate->key);
}

struct hf_status hf_job_settle(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct hf_service *service = job->service;
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    struct orphans orphans = { .job = job, .op = op };
    struct hf_status status;

    status = hf_key_candidates_older(service->keys, op, now_ms > ORPHAN_MS ? now_ms - ORPHAN_MS : 0,
                                     take_orphan, &orphans);
    *out_more = orphans.is_left;
    return orphans.is_left ? HF_SUCCESS : status;
}
