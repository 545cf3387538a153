/* Failures in Hadoop's form: a RemoteException whose class decides what the client does next. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "hadoop/hadoop_internal.h"

void put_exception(struct hf_reply *reply, int status, const char *java_class, const char *message)
{
    const char *dot = strrchr(java_class, '.');
    struct hf_json_writer writer;

    hf_buf_clear(&reply->body);
    start_json(reply, status);
    hf_json_writer_init(&writer, &reply->body);
    hf_json_open_object(&writer, NULL);
    hf_json_open_object(&writer, "RemoteException");
    if (message != NULL) {
        /* The client shows one line. */
        hf_json_put_bytes_text(&writer, "message", hf_bytes_of(message, strcspn(message, "\r\n")));
    } else {
        hf_json_put_null(&writer, "message");
    }
    hf_json_put_text(&writer, "exception", dot != NULL ? dot + 1 : java_class);
    hf_json_put_text(&writer, "javaClassName", java_class);
    hf_json_close_object(&writer);
    hf_json_close_object(&writer);
}

struct hf_status illegal_argument(struct hf_op *op, const char *format, ...)
{
    char text[HF_OP_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return hf_fail(op, HF_INVALID, "%s", text);
}

static void put_denied(struct hf_op *op, const struct call *call, struct hf_reply *reply)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_buf_add_format(text, "User:%s not allowed to do '%s'",
                      op->caller != NULL ? op->caller->name : "", call->operation);
    if (call->key != NULL) {
        hf_buf_add_format(text, " on '%s'", call->key);
    }
    put_exception(reply, 403, CLASS_AUTHORIZATION, hf_buf_text(text));
}

static void put_own_fault(struct hf_op *op, const struct call *call, struct hf_reply *reply,
                          enum hf_code code)
{
    HF_WARNING(op->env, "hadoop %s failed: %s: %s", call->operation, hf_code_name(code), op->text);
    put_exception(reply, 500, CLASS_IO, hf_code_sentence(code));
}

/* What other nodes serve is no fault of this one: every client that spreads its load comes by. */
static void put_unavailable(struct hf_op *op, const struct call *call, struct hf_reply *reply)
{
    if (op->standing.elsewhere) {
        put_exception(reply, 500, CLASS_IO, op->text);
    } else {
        put_own_fault(op, call, reply, HF_UNAVAILABLE);
    }
}

/*
 * The words an operator may need are in the log and the audit trail; clients get op->text only for
 * failures that speak of their own request.
 */
struct hf_status finish(struct hf_op *op, const struct call *call, struct hf_reply *reply,
                        struct hf_status status)
{
    switch (status.code) {
    case HF_OK:
    case HF_LATER:
        return status;
    case HF_DENIED:
        put_denied(op, call, reply);
        break;
    case HF_INVALID:
        put_exception(reply, 400, CLASS_ILLEGAL, op->text);
        break;
    case HF_UNSUPPORTED:
        put_exception(reply, 400, CLASS_UNSUPPORTED, op->text);
        break;
    case HF_UNAUTHENTICATED:
        put_exception(reply, 403, CLASS_AUTHENTICATION, op->text);
        break;
    case HF_NOT_FOUND:
    case HF_EXISTS:
    case HF_WRONG_STATE:
    case HF_TOO_LARGE:
        put_exception(reply, 500, CLASS_IO, op->text);
        break;
    case HF_UNAVAILABLE:
        put_unavailable(op, call, reply);
        break;
    case HF_CONFLICT:
    case HF_LIMITED:
    case HF_NO_SPACE:
    case HF_IN_DOUBT:
    case HF_CORRUPT:
    case HF_INTERNAL:
        put_own_fault(op, call, reply, status.code);
        break;
    }
    return HF_SUCCESS;
}

/* What happens before a handler runs, or where there is none. */
void hf_hadoop_fail(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                    const struct hf_request *request, struct hf_reply *reply)
{
    (void)exchange;
    (void)request;
    if (status.code == HF_NOT_FOUND || status.code == HF_UNSUPPORTED) {
        put_exception(reply, 500, CLASS_IO, "There is no such operation in the KMS protocol");
    } else if (status.code == HF_TOO_LARGE) {
        put_exception(reply, 413, CLASS_IO, "The request body is larger than this call allows");
    } else if (status.code == HF_INVALID) {
        put_exception(reply, 400, CLASS_ILLEGAL, op->text);
    } else if (status.code == HF_WRONG_STATE) {
        put_exception(reply, 500, CLASS_IO, op->text);
    } else {
        HF_WARNING(op->env, "hadoop request failed: %s: %s", hf_code_name(status.code), op->text);
        put_exception(reply, 500, CLASS_IO, hf_code_sentence(status.code));
    }
}
