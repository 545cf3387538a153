/* One call: asked of policy before, recorded and counted after. */
#include <stdio.h>
#include <string.h>

#include "identity/cookie.h"
#include "service/internal.h"

/* What an operation keeps of a failure while something else happens under it. */
struct failure {
    enum hf_code code;
    enum hf_cause cause;
    char text[HF_OP_TEXT_MAX];
};

static void keep_failure(const struct hf_op *op, struct failure *out)
{
    out->code = op->code;
    out->cause = op->cause;
    memcpy(out->text, op->text, sizeof out->text);
}

static void bring_back(struct hf_op *op, const struct failure *failure)
{
    op->code = failure->code;
    op->cause = failure->cause;
    memcpy(op->text, failure->text, sizeof op->text);
}

void hf_call_event(const struct hf_call *call, const struct hf_op *op, const char *outcome,
                   struct hf_audit_event *out)
{
    *out = (struct hf_audit_event){
        .operation = hf_action_name(call->action),
        .outcome = outcome,
        .caller = hf_op_caller_id(op),
        .address = op->caller != NULL ? op->caller->address : NULL,
        .door = op->door,
        .keyring = call->keyring,
        .key = call->key,
        .has_version = call->has_version,
        .version = call->version,
        .count = call->count,
        .detail = call->detail,
        .stale = op->standing.stale || op->standing.ahead,
        .stale_ms = op->standing.stale_ms,
        .request_id = &op->request_id,
    };
}

/* --- metrics --- */

enum outcome { OUTCOME_OK, OUTCOME_DENIED, OUTCOME_FAILED };

static enum outcome outcome_of(enum hf_code code)
{
    if (code == HF_OK) {
        return OUTCOME_OK;
    }
    return code == HF_DENIED ? OUTCOME_DENIED : OUTCOME_FAILED;
}

static struct hf_metric *find_metric(const struct hf_call *call, struct hf_op *op,
                                     enum outcome outcome)
{
    static const char *const names[HF_OUTCOMES] = { "ok", "denied", "failed" };
    char labels[96];

    (void)snprintf(labels, sizeof labels, "operation=\"%s\",outcome=\"%s\"",
                   hf_action_name(call->action), names[outcome]);
    return hf_metrics_series(op->env->metrics, HF_METRIC_COUNTER, "holdfast_operations_total",
                             labels, "Calls of the service by operation and outcome.");
}

void hf_call_count(const struct hf_call *call, struct hf_op *op, enum hf_code code)
{
    enum outcome outcome = outcome_of(code);
    struct hf_metric *_Atomic *place = &call->service->metrics[call->action][outcome];
    struct hf_metric *metric = atomic_load_explicit(place, memory_order_acquire);

    if (metric == NULL && op->env->metrics != NULL) {
        metric = find_metric(call, op, outcome);
        atomic_store_explicit(place, metric, memory_order_release);
    }
    hf_metric_add(metric, 1);
}

/* --- before --- */

struct hf_status hf_call_unlocked(struct hf_service *service, struct hf_op *op)
{
    if (!hf_seal_is_unlocked(service->seal)) {
        return hf_fail_cause(op, HF_WRONG_STATE, HF_CAUSE_PROTECTOR_UNAVAILABLE,
                             atomic_load(&service->removed)
                                 ? "the node is locked: it was removed from its store"
                                 : "the node is locked; 'holdfast unlock' opens it");
    }
    return HF_SUCCESS;
}

static struct hf_status ask_policy(const struct hf_call *call, struct hf_op *op,
                                   enum hf_action action)
{
    return hf_policy_check(call->service->policy, op, hf_op_caller_id(op), action, call->keyring,
                           call->key);
}

static struct hf_status deny(const struct hf_call *call, struct hf_op *op)
{
    struct hf_audit_event event;
    char rule[HF_OP_TEXT_MAX];

    memcpy(rule, op->text, sizeof rule);
    hf_call_event(call, op, hf_code_name(HF_DENIED), &event);
    event.detail = rule;
    hf_call_count(call, op, HF_DENIED);
    /* With or without its line the answer is no; the trail counts what it could not take. */
    if (hf_audit_append(call->service->audit, op, &event).code != HF_OK) {
        hf_op_clear(op);
    }
    return hf_fail(op, HF_DENIED, "%s", hf_code_sentence(HF_DENIED));
}

/*
 * A cookie was checked when the request came, maybe before this node knew all that its lease says
 * it knows: what was given back meanwhile must not pass.
 */
static struct hf_status check_issued(const struct hf_call *call, struct hf_op *op)
{
    const struct hf_cookies *cookies = call->service->cookies;

    if (op->caller == NULL || op->caller->issued == 0 || cookies == NULL ||
        op->caller->issued == hf_cookies_generation(cookies)) {
        return HF_SUCCESS;
    }
    return hf_call_end(call, op,
                       hf_fail(op, HF_UNAVAILABLE,
                               "the cookies of this server have changed since the request came; "
                               "ask again"));
}

/* Policy is asked again: what it said may be older than the lease that the call waited for. */
static struct hf_status allow_without_lease(const struct hf_call *call, struct hf_op *op)
{
    struct hf_status status = hf_standing_get(call, op);

    if (status.code != HF_OK) {
        return hf_call_end(call, op, status);
    }
    return ask_policy(call, op, call->action).code == HF_OK ? HF_SUCCESS : deny(call, op);
}

struct hf_status hf_call_allow(const struct hf_call *call, struct hf_op *op)
{
    struct hf_status status;
    bool is_leased;

    HF_TRY(hf_call_unlocked(call->service, op));
    is_leased = hf_standing_is_leased(call, op);
    if (ask_policy(call, op, call->action).code != HF_OK) {
        return deny(call, op);
    }
    if (!is_leased) {
        HF_TRY(allow_without_lease(call, op));
    }
    HF_TRY(hf_serve_on_check(call, op));
    HF_TRY(check_issued(call, op));
    status = hf_agreed_begin(call, op);
    return status.code == HF_OK ? status : hf_call_end(call, op, status);
}

bool hf_call_may(const struct hf_call *call, struct hf_op *op, enum hf_action action)
{
    struct failure before;
    bool may;

    keep_failure(op, &before);
    may = ask_policy(call, op, action).code == HF_OK;
    bring_back(op, &before);
    return may;
}

/* --- after --- */

static struct hf_status record(const struct hf_call *call, struct hf_op *op,
                               struct hf_status status)
{
    struct hf_audit_event event;
    char text[HF_OP_TEXT_MAX];

    hf_call_event(call, op, status.code == HF_OK ? "ok" : hf_code_name(status.code), &event);
    if (status.code != HF_OK) {
        memcpy(text, op->text, sizeof text);
        event.detail = text;
        event.cause = op->cause != HF_CAUSE_NONE ? hf_cause_name(op->cause) : NULL;
    }
    return hf_audit_append(call->service->audit, op, &event);
}

/* How the record of a call must stand before the call ends. */
enum record_place {
    RECORD_WRITTEN, /* handed to the kernel, by the loop's turn at the latest */
    RECORD_SYNCED,  /* and synced; a node that goes on without records goes on here too */
    RECORD_ON_DISK, /* or the call fails, whatever the setting says */
};

static struct hf_status settle(const struct hf_call *call, struct hf_op *op,
                               enum record_place place)
{
    struct hf_audit *audit = call->service->audit;

    /* The first look at the trail takes the news that a line was dropped, and the write lets it
     * pass where the node goes on without records: so here it is the sync that looks first. */
    if (place == RECORD_ON_DISK) {
        return hf_audit_sync(audit, op);
    }
    if (op->may_wait) {
        HF_TRY(hf_audit_write(audit, op));
    }
    return place == RECORD_SYNCED ? hf_audit_sync(audit, op) : HF_SUCCESS;
}

static struct hf_status end(const struct hf_call *call, struct hf_op *op, struct hf_status status,
                            enum record_place place)
{
    struct failure failure;
    struct hf_status recorded;

    status = hf_standing_doubt(op, status);
    status = hf_agreed_end(call, op, status);
    if (status.code == HF_OK) {
        status = hf_standing_check(call, op);
    }
    /* Nothing has happened yet: the call comes again where it may wait. */
    if (status.code == HF_LATER) {
        return status;
    }
    hf_call_count(call, op, status.code);
    keep_failure(op, &failure);
    recorded = record(call, op, status);
    if (recorded.code == HF_OK) {
        recorded = settle(call, op, place);
    }
    if (status.code == HF_OK) {
        /* A sync may take long enough for the lease to end. */
        return recorded.code == HF_OK && place != RECORD_WRITTEN ? hf_standing_check(call, op)
                                                                 : recorded;
    }
    bring_back(op, &failure);
    return status;
}

struct hf_status hf_call_end(const struct hf_call *call, struct hf_op *op, struct hf_status status)
{
    return end(call, op, status, RECORD_WRITTEN);
}

struct hf_status hf_call_end_synced(const struct hf_call *call, struct hf_op *op,
                                    struct hf_status status)
{
    return end(call, op, status, RECORD_SYNCED);
}

struct hf_status hf_call_end_on_disk(const struct hf_call *call, struct hf_op *op,
                                     struct hf_status status)
{
    return end(call, op, status, RECORD_ON_DISK);
}

void hf_service_unauthenticated(struct hf_service *service, struct hf_op *op, const char *door,
                                const char *address)
{
    hf_audit_unauthenticated(service->audit, op, door, address);
}
