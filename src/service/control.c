/* The shape of every change: stage, note, commit, and again when somebody else was first. */
#include <string.h>

#include "base/codec.h"
#include "service/internal.h"

#define ATTEMPTS      16
#define RESULT_FORMAT 1

void hf_control_answer(struct hf_control *control, uint32_t number)
{
    control->number = number;
    if (control->gives_version) {
        control->call.has_version = true;
        control->call.version = number;
    }
}

/* What is remembered under the request id for whoever repeats it. */
static void write_result(const struct hf_control *control, struct hf_txn *txn)
{
    HF_AUTO(buf) result = hf_buf_new();

    hf_put_u8(result, RESULT_FORMAT);
    hf_put_u32(result, control->number);
    hf_txn_result(txn, hf_buf_bytes(result));
}

static struct hf_status read_result(struct hf_control *control, struct hf_op *op,
                                    const struct hf_secret *result)
{
    struct hf_reader reader;
    uint8_t format;
    uint32_t number;

    hf_reader_init(&reader, result != NULL ? hf_secret_bytes(result) : HF_BYTES_NONE);
    format = hf_take_u8(&reader);
    number = hf_take_u32(&reader);
    HF_TRY(hf_reader_end(&reader, op, "the remembered result of a request"));
    if (format != RESULT_FORMAT) {
        return hf_fail(op, HF_UNSUPPORTED, "the remembered result has the unknown form %u", format);
    }
    hf_control_answer(control, number);
    control->repeated = true;
    return HF_SUCCESS;
}

/*
 * What was asked, so that the same id for something else is refused. A door that began the request
 * as repeatable has said what was asked in its own words, and other nodes look for those.
 */
static void write_asked(const struct hf_control *control, const struct hf_op *op,
                        struct hf_buf *out)
{
    const struct hf_call *call = &control->call;
    uint8_t digest[HF_CHECK_VALUE_LEN];

    if (hf_request_id_is_set(&op->request_id) &&
        hf_repeats_asked(call->service->repeats, &op->request_id, digest)) {
        hf_buf_add(out, digest, sizeof digest);
        return;
    }
    hf_put_text(out, hf_action_name(call->action));
    hf_put_text(out, call->keyring != NULL ? call->keyring : "");
    hf_put_text(out, call->key != NULL ? call->key : "");
    if (control->asked != NULL) {
        hf_buf_add_bytes(out, hf_buf_bytes(control->asked));
    }
}

struct hf_status hf_control_ask_secret(struct hf_control *control, struct hf_op *op,
                                       const struct hf_secret *secret)
{
    uint8_t value[HF_CHECK_VALUE_LEN];

    if (secret == NULL) {
        hf_put_u8(control->asked, 0);
        return HF_SUCCESS;
    }
    HF_TRY(hf_seal_check_value(control->call.service->seal, op, hf_secret_bytes(secret), value));
    hf_put_u8(control->asked, 1);
    hf_buf_add(control->asked, value, sizeof value);
    return HF_SUCCESS;
}

static void write_note(const struct hf_control *control, const struct hf_op *op, struct hf_txn *txn)
{
    HF_AUTO(buf) note = hf_buf_new();
    struct hf_audit_event event;

    hf_call_event(&control->call, op, "ok", &event);
    hf_audit_event_write(&event, note);
    hf_txn_note(txn, hf_buf_bytes(note));
}

/* The key has moved on, perhaps by the same request on another node. */
static struct hf_status check_repeats(const struct hf_control *control, struct hf_op *op)
{
    const struct hf_call *call = &control->call;

    return hf_repeats_check(call->service, op, call->keyring, call->key);
}

/* One transaction from beginning to end. */
static struct hf_status attempt(struct hf_control *control, struct hf_op *op, struct hf_bytes asked)
{
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(secret) result = NULL;
    struct hf_txn_commit commit = { 0 };
    struct hf_status status;

    HF_TRY(hf_txn_new(control->call.service->seal, op, &txn));
    HF_TRY(control->stage(control, op, txn));
    HF_TRY(check_repeats(control, op));
    write_note(control, op, txn);
    write_result(control, txn);
    hf_txn_asked(txn, hf_op_caller_id(op), asked);
    status = hf_txn_commit(txn, op, &commit);
    result = commit.result;
    control->seq = commit.seq;
    HF_TRY(status);
    return commit.repeated ? read_result(control, op, result) : HF_SUCCESS;
}

/*
 * A repeat may fail where the first time went through: the key is there by now. Then the first
 * result counts. HF_NOT_FOUND when the request has not happened.
 */
static struct hf_status recall(struct hf_control *control, struct hf_op *op, struct hf_bytes asked)
{
    HF_AUTO(secret) result = NULL;
    struct hf_txn_commit commit = { 0 };

    if (!hf_request_id_is_set(&op->request_id)) {
        return (struct hf_status){ HF_NOT_FOUND };
    }
    HF_TRY(check_repeats(control, op));
    HF_TRY(hf_seal_recall(control->call.service->seal, op, hf_op_caller_id(op), asked, &commit));
    result = commit.result;
    control->seq = commit.seq;
    return read_result(control, op, result);
}

/*
 * Who was first, on this node or another, has committed, but may not have told the consumers yet;
 * until then staging again would build on the same old state and conflict again.
 */
static struct hf_status follow(struct hf_control *control, struct hf_op *op)
{
    uint64_t seq = 0;

    return hf_seal_follow(control->call.service->seal, op, &seq);
}

/* Keeps trying while others are first. */
static struct hf_status run(struct hf_control *control, struct hf_op *op, struct hf_bytes asked)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct hf_status status, recalled;
        struct hf_op failed;

        hf_op_clear(op);
        status = attempt(control, op, asked);
        /* In doubt stays in doubt: only the same request again can end it. */
        if (status.code == HF_OK || status.code == HF_IN_DOUBT) {
            return status;
        }
        failed = *op;
        recalled = recall(control, op, asked);
        if (recalled.code == HF_OK || recalled.code == HF_CONFLICT) {
            return recalled;
        }
        failed.request_id = op->request_id;
        *op = failed;
        /* Who has lost a job's fence gets it back by no trying. */
        if (status.code != HF_CONFLICT || op->fence != NULL) {
            return status;
        }
        HF_TRY(follow(control, op));
    }
    return hf_fail(op, HF_CONFLICT, "others keep changing the same thing; ask again: %.200s",
                   op->text);
}

bool hf_control_has_happened(struct hf_control *control, struct hf_op *op)
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct hf_status status;

    write_asked(control, op, asked);
    status = recall(control, op, hf_buf_bytes(asked));
    hf_op_clear(op);
    return status.code == HF_OK;
}

struct hf_status hf_control_end_repeated(const struct hf_control *control, struct hf_op *op)
{
    struct hf_call call = control->call;

    call.detail = "asked again: the result of the first time";
    return hf_call_end(&call, op, hf_standing_in_force(call.service, op, control->seq, 0));
}

struct hf_status hf_control_commit(struct hf_control *control, struct hf_op *op)
{
    HF_AUTO(buf) asked = hf_buf_new();

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for the store");
    }
    write_asked(control, op, asked);
    return run(control, op, hf_buf_bytes(asked));
}

static struct hf_status end(const struct hf_control *control, struct hf_op *op,
                            struct hf_status status)
{
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

struct hf_status hf_control_end(const struct hf_control *control, struct hf_op *op,
                                struct hf_status status)
{
    status = end(control, op, status);
    hf_repeats_conclude(control->call.service->repeats, &op->request_id, status);
    return status;
}

struct hf_status hf_control_run(struct hf_control *control, struct hf_op *op)
{
    struct hf_status status = hf_control_commit(control, op);

    if (status.code == HF_OK && !control->repeated) {
        status = hf_standing_in_force(control->call.service, op, control->seq, 0);
    }
    return hf_control_end(control, op, status);
}
