/*
 * Taking a history of the store that this node's copy is not part of: what vanishes with that is
 * told first, recorded, and kept aside.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "service/history.h"

struct acceptance {
    struct hf_service *service;
    const struct hf_accept_order *order;
    struct hf_lost *lost;
    uint64_t copy_seq;  /* of this node's copy */
    uint64_t store_seq; /* of the store as it stands */
    uint64_t common;    /* the last commit that both have */
    bool is_known;      /* there is one */
    char refused[HF_OP_TEXT_MAX];
    bool accepted;
    char after[HF_OP_TEXT_MAX]; /* what is still to be done, once it is accepted */
};

static struct hf_status compare(struct acceptance *acceptance, struct hf_op *op)
{
    struct hf_service *service = acceptance->service;
    struct hf_engine *copy = hf_seal_engine(service->seal);
    struct hf_store_settings settings = *service->store;
    HF_AUTO(engine) store = NULL;
    struct hf_store_state state;

    /* Another opening of it, which has not seen what this node has. */
    settings.mirror = NULL;
    settings.create = false;
    HF_TRY(hf_engine_open(op, &settings, &store));
    HF_TRY(hf_engine_state(store, op, &state, NULL));
    if (memcmp(state.store_id, hf_seal_store_id(service->seal).data, HF_STORE_ID_LEN) != 0) {
        return hf_fail(op, HF_CORRUPT, "the database holds another store, and not this one");
    }
    acceptance->store_seq = state.seq;
    HF_TRY(hf_engine_state(copy, op, &state, NULL));
    acceptance->copy_seq = state.seq;
    return hf_history_meet(op, copy, store, &acceptance->common, &acceptance->is_known);
}

static void judge(struct acceptance *acceptance)
{
    const struct hf_lost *lost = acceptance->lost;
    size_t room = sizeof acceptance->refused;

    if (acceptance->order->force) {
        return;
    }
    if (!acceptance->is_known || lost->is_cut) {
        (void)snprintf(
            acceptance->refused, room,
            "the logs do not reach back to where the histories part, so what vanishes is "
            "not known; look at both, then --force");
    } else if (lost->taking > 0) {
        (void)snprintf(acceptance->refused, room,
                       "%zu of %zu commits that vanish took something away (a key, a state, a "
                       "right), and vanishing gives it back; note them, do them again afterwards, "
                       "and accept with --force",
                       lost->taking, lost->count);
    }
}

static struct hf_status look(struct acceptance *acceptance, struct hf_op *op)
{
    struct hf_mirror_info info;

    HF_TRY(compare(acceptance, op));
    HF_TRY(hf_lost_read(acceptance->service, op, acceptance->common, &acceptance->lost));
    if (acceptance->is_known && acceptance->lost->count == 0 &&
        hf_mirror_info(hf_seal_engine(acceptance->service->seal), &info) &&
        info.problem != HF_MIRROR_REFUSED) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store goes on from what this node has, so there is nothing to accept");
    }
    judge(acceptance);
    return HF_SUCCESS;
}

static void write_acceptance(const struct acceptance *acceptance, struct hf_buf *out)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_bool(&writer, "dry_run", acceptance->order->dry_run);
    hf_json_put_u64(&writer, "copy_seq", acceptance->copy_seq);
    hf_json_put_u64(&writer, "store_seq", acceptance->store_seq);
    if (acceptance->is_known) {
        hf_json_put_u64(&writer, "common_seq", acceptance->common);
    } else {
        hf_json_put_null(&writer, "common_seq");
    }
    hf_lost_put(acceptance->lost, &writer, "lost");
    hf_json_put_text_or_null(&writer, "refused", acceptance->refused);
    hf_json_put_bool(&writer, "accepted", acceptance->accepted);
    hf_json_put_bool(&writer, "unlocked", hf_seal_is_unlocked(acceptance->service->seal));
    hf_json_put_text_or_null(&writer, "after", acceptance->after);
    hf_json_close_object(&writer);
}

/* A line for each commit that is listed, on disk before anything is given up. */
static struct hf_status record(const struct acceptance *acceptance, struct hf_op *op,
                               struct hf_call *call)
{
    const struct hf_lost *lost = acceptance->lost;
    HF_AUTO_STRING detail = hf_format(
        "commits %" PRIu64 " to %" PRIu64 " of this node's copy are given up, %zu of them "
        "took something away, and %zu that did not are not listed; the store stands at commit "
        "%" PRIu64,
        acceptance->common + 1, acceptance->copy_seq, lost->taking, lost->unlisted,
        acceptance->store_seq);

    for (size_t i = 0; i < lost->count; i++) {
        const struct hf_lost_commit *commit = &lost->items[i];

        if (!commit->is_listed) {
            continue;
        }
        HF_AUTO_STRING one =
            hf_format("given up: commit %" PRIu64 ", %s %s%s", commit->seq, commit->operation,
                      commit->what, commit->takes_away ? ", which took something away" : "");

        call->detail = one;
        HF_TRY(hf_call_end(call, op, HF_SUCCESS));
    }
    call->detail = detail;
    HF_WARNING(op->env, "%s", detail);
    return hf_call_end_on_disk(call, op, HF_SUCCESS);
}

/* While it is locked nobody serves what vanishes, and nobody relies on what he has seen. */
static struct hf_status give_up(struct acceptance *acceptance, struct hf_op *op)
{
    struct hf_service *service = acceptance->service;
    const struct hf_service_outside *outside = &service->outside;

    hf_seal_lock(service->seal);
    outside->locked(outside->context);
    HF_TRY(hf_seal_accept_history(service->seal, op));
    /* However large the store is; the making of a copy has a limit of its own. */
    op->deadline_ms = 0;
    HF_TRY(hf_engine_accept(hf_seal_engine(service->seal), op));
    acceptance->accepted = true;
    hf_revocations_warn(service->revocations, op);
    hf_service_feed_from(service, acceptance->common);
    return HF_SUCCESS;
}

/* Adds what is still to be done. */
static void add_after(struct acceptance *acceptance, const char *what, const char *why)
{
    size_t used = strlen(acceptance->after);

    (void)snprintf(acceptance->after + used, sizeof acceptance->after - used, "%s%s: %.200s",
                   used > 0 ? "; " : "", what, why);
}

/* The node is opened again whether or not the history was accepted, by an operation of its own. */
static struct hf_status reopen(struct acceptance *acceptance, struct hf_op *op,
                               struct hf_status given_up)
{
    const struct hf_service_outside *outside = &acceptance->service->outside;
    HF_AUTO_STRING reason = hf_strdup(op->text);
    struct hf_status opened;
    struct hf_op opening;

    hf_op_init(&opening, op->env);
    opening.lane = op->lane;
    opened = outside->reopen(outside->context, &opening);
    if (given_up.code != HF_OK) {
        return hf_fail(op, given_up.code, "the history is not accepted: %.200s; %s%.200s", reason,
                       opened.code == HF_OK ? "the node is open again" : "the node stays locked: ",
                       opened.code == HF_OK ? "" : opening.text);
    }
    if (opened.code != HF_OK) {
        add_after(acceptance, "the node stays locked", opening.text);
    }
    return HF_SUCCESS;
}

/* It is recorded in a commit of the store that was accepted, or else in the trail alone. */
static void mark(struct acceptance *acceptance, struct hf_op *op, const struct hf_call *call)
{
    struct hf_seal *seal = acceptance->service->seal;
    struct hf_mirror_info info;

    if (hf_mirror_info(hf_seal_engine(seal), &info) && info.problem != HF_MIRROR_FINE) {
        add_after(acceptance, "the new copy does not follow the store yet", info.text);
    }
    if (hf_seal_is_unlocked(seal)) {
        if (hf_history_mark(call, op).code == HF_OK) {
            return;
        }
        add_after(acceptance, "no commit of the store tells of it", op->text);
        hf_op_clear(op);
    }
    if (hf_call_end(call, op, HF_SUCCESS).code != HF_OK) {
        add_after(acceptance, "it is not in the audit trail", op->text);
        hf_op_clear(op);
    }
}

/* Once the copy is given up, nothing that fails takes that back: it is told beside the success. */
static struct hf_status accept(struct acceptance *acceptance, struct hf_op *op,
                               struct hf_call *call)
{
    HF_AUTO_STRING detail = NULL;
    uint64_t deadline_ms = op->deadline_ms;
    uint64_t began_ms = hf_env_boottime_ms(op->env);
    struct hf_status status;

    HF_TRY(record(acceptance, op, call));
    status = give_up(acceptance, op);
    /* What comes after the copy has the time that was left before it. */
    op->deadline_ms = deadline_ms != 0 ? deadline_ms + hf_env_boottime_ms(op->env) - began_ms : 0;
    HF_TRY(reopen(acceptance, op, status));
    detail = hf_format("node %s has given up commits %" PRIu64 " to %" PRIu64 " of its copy",
                       acceptance->service->node, acceptance->common + 1, acceptance->copy_seq);
    call->detail = detail;
    mark(acceptance, op, call);
    call->detail = NULL;
    return HF_SUCCESS;
}

static struct hf_status decide(struct acceptance *acceptance, struct hf_op *op,
                               struct hf_call *call, struct hf_buf *out)
{
    HF_TRY(look(acceptance, op));
    if (!acceptance->order->dry_run) {
        if (acceptance->refused[0] != '\0') {
            return hf_fail(op, HF_WRONG_STATE, "%s", acceptance->refused);
        }
        HF_TRY(accept(acceptance, op, call));
    }
    write_acceptance(acceptance, out);
    return HF_SUCCESS;
}

struct hf_status hf_service_accept_history(struct hf_service *service, struct hf_op *op,
                                           const struct hf_accept_order *order, struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_STORE_ACCEPT };
    struct acceptance acceptance = { .service = service, .order = order };
    struct hf_mirror_info info;
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "accepting a history waits for the store");
    }
    HF_TRY(hf_call_allow(&call, op));
    if (service->store == NULL || service->outside.reopen == NULL ||
        !hf_mirror_info(hf_seal_engine(service->seal), &info)) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "this node keeps no copy of a shared store, so there is nothing to give up");
    }
    status = decide(&acceptance, op, &call, out);
    hf_lost_free(acceptance.lost);
    call.detail = order->dry_run ? "a dry run" : NULL;
    return status.code == HF_OK && !order->dry_run ? status : hf_call_end(&call, op, status);
}
