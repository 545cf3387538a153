/* The feeder: control notes go from the store's log into the audit trail, in order, each once. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/json.h"
#include "service/internal.h"

#define NOTES_AT_ONCE 256

struct feeding {
    struct hf_service *service;
    struct hf_op *op;
    uint64_t seq; /* of the last note seen */
};

static struct hf_status take_text(struct hf_op *op, const struct hf_json *note, const char *name,
                                  const char **out)
{
    return hf_json_text_or(op, note, name, NULL, out);
}

/*
 * Of a history that was accepted: the trail has a note of that number already, of the history that
 * was given up. So this one comes as a line without a number.
 */
static struct hf_status append_anew(struct feeding *feeding, uint64_t seq, uint64_t realtime_ms,
                                    struct hf_bytes bytes)
{
    struct hf_op *op = feeding->op;
    struct hf_audit_event event = { .realtime_ms = realtime_ms };
    HF_AUTO(json) note = NULL;
    HF_AUTO_STRING detail = NULL;
    const char *words = NULL;

    HF_TRY(hf_json_parse(op, bytes, &note));
    HF_TRY(take_text(op, note, "operation", &event.operation));
    HF_TRY(take_text(op, note, "outcome", &event.outcome));
    HF_TRY(take_text(op, note, "caller", &event.caller));
    HF_TRY(take_text(op, note, "keyring", &event.keyring));
    HF_TRY(take_text(op, note, "key", &event.key));
    HF_TRY(take_text(op, note, "detail", &words));
    detail = hf_format("commit %" PRIu64 " of the history that was accepted%s%s", seq,
                       words != NULL ? ": " : "", words != NULL ? words : "");
    event.detail = detail;
    return hf_audit_append(feeding->service->audit, op, &event);
}

static struct hf_status append(void *context, uint64_t seq, uint64_t realtime_ms,
                               struct hf_bytes note)
{
    struct feeding *feeding = context;

    feeding->seq = seq;
    if (note.len == 0) {
        return HF_SUCCESS;
    }
    if (seq <= hf_audit_last_note(feeding->service->audit)) {
        return append_anew(feeding, seq, realtime_ms, note);
    }
    return hf_audit_append_note(feeding->service->audit, feeding->op, seq, realtime_ms, note);
}

/* Brings over everything behind *from; *from ends where the log does. */
static struct hf_status feed(struct feeding *feeding, uint64_t *from)
{
    do {
        feeding->seq = *from;
        HF_TRY(hf_seal_notes(feeding->service->seal, feeding->op, *from, NOTES_AT_ONCE, append,
                             feeding));
        if (feeding->seq == *from) {
            return HF_SUCCESS;
        }
        *from = feeding->seq;
    } while (true);
}

/* The log was cut above the trail's end: the trail says that notes are missing, and goes on. */
static struct hf_status step_over(struct hf_service *service, struct hf_op *op, uint64_t *from)
{
    HF_AUTO_STRING detail = NULL;
    struct hf_store_state state;
    struct hf_audit_event event = { .operation = "audit.feed",
                                    .outcome = hf_code_name(HF_NOT_FOUND),
                                    .caller = "system" };

    HF_TRY(hf_engine_state(hf_seal_engine(service->seal), op, &state, NULL));
    if (state.oldest_seq <= *from + 1) {
        return hf_fail(op, HF_CORRUPT, "the store's log has no entry after %" PRIu64, *from);
    }
    detail = hf_format("the records of commits %" PRIu64 " to %" PRIu64
                       " are gone from the store's log and were never in this trail",
                       *from + 1, state.oldest_seq - 1);
    event.detail = detail;
    *from = state.oldest_seq - 1;
    return hf_audit_append(service->audit, op, &event);
}

static struct hf_status feed_all(struct hf_service *service, struct hf_op *op)
{
    struct feeding feeding = { service, op, 0 };
    uint64_t reached = hf_seal_seq(service->seal);
    uint64_t from = hf_audit_last_note(service->audit);
    struct hf_status status;

    /* A trail whose disk was full has gone back to an earlier note, and so do we. */
    if (from == service->fed_note) {
        from = service->fed;
    } else if (from > reached) {
        /* After a start: the store stands before the trail, since its history was accepted. */
        from = reached;
    }
    status = feed(&feeding, &from);
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        HF_TRY(step_over(service, op, &from));
        status = feed(&feeding, &from);
    }
    /* Commits without notes need no second look. */
    service->fed = status.code == HF_OK && reached > from ? reached : from;
    service->fed_note = hf_audit_last_note(service->audit);
    return status;
}

struct hf_status hf_service_feed_audit(struct hf_service *service, struct hf_op *op)
{
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "the audit feeder waits for the store");
    }
    pthread_mutex_lock(&service->feeder);
    status = feed_all(service, op);
    pthread_mutex_unlock(&service->feeder);
    return status;
}

void hf_service_feed_from(struct hf_service *service, uint64_t seq)
{
    pthread_mutex_lock(&service->feeder);
    service->fed = seq;
    service->fed_note = hf_audit_last_note(service->audit);
    pthread_mutex_unlock(&service->feeder);
}
