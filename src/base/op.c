/* Operations: how failures are told, and deadlines. */
#include "base/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void hf_op_init(struct hf_op *op, struct hf_env *env)
{
    memset(op, 0, sizeof *op);
    op->env = env;
    op->may_wait = true;
}

static struct hf_status keep(struct hf_op *op, enum hf_code code, enum hf_cause cause,
                             const char text[HF_OP_TEXT_MAX])
{
    memcpy(op->text, text, HF_OP_TEXT_MAX);
    op->code = code;
    op->cause = cause;
    return (struct hf_status){ code };
}

struct hf_status hf_fail(struct hf_op *op, enum hf_code code, const char *format, ...)
{
    /* The new text may quote op->text itself, so it is made aside. */
    char text[HF_OP_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return keep(op, code, HF_CAUSE_NONE, text);
}

struct hf_status hf_fail_cause(struct hf_op *op, enum hf_code code, enum hf_cause cause,
                               const char *format, ...)
{
    char text[HF_OP_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return keep(op, code, cause, text);
}

void hf_op_clear(struct hf_op *op)
{
    op->code = HF_OK;
    op->cause = HF_CAUSE_NONE;
    op->text[0] = '\0';
}

bool hf_op_is_stopped(const struct hf_op *op)
{
    return op->stop != NULL && atomic_load(op->stop);
}

struct hf_status hf_op_check_deadline(struct hf_op *op)
{
    if (hf_op_is_stopped(op)) {
        return hf_fail(op, HF_UNAVAILABLE, "the program ends");
    }
    if (op->deadline_ms != 0 && hf_env_boottime_ms(op->env) >= op->deadline_ms) {
        return hf_fail(op, HF_UNAVAILABLE, "the time for this operation is over");
    }
    return HF_SUCCESS;
}

bool hf_request_id_is_set(const struct hf_request_id *id)
{
    static const struct hf_request_id none;

    return memcmp(id, &none, sizeof none) != 0;
}

const char *hf_cause_name(enum hf_cause cause)
{
    static const char *const names[] = {
        [HF_CAUSE_NONE] = "none",
        [HF_CAUSE_UNKNOWN_KEY] = "unknown_key",
        [HF_CAUSE_VERSION_DESTROYED] = "version_destroyed",
        [HF_CAUSE_PROTECTOR_UNAVAILABLE] = "protector_unavailable",
        [HF_CAUSE_OTHER_STORE] = "other_store",
        [HF_CAUSE_ALTERED] = "altered",
        [HF_CAUSE_NOT_PROVEN] = "not_proven",
    };

    return names[cause];
}
