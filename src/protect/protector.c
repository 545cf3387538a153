/* The list of protectors, and one wrapper per entry of their vtable. */
#include "protect/protector.h"

#include "base/metrics.h"

static const struct hf_protector_ops *const protectors[] = {
    &hf_passphrase_protector,
    &hf_keyfile_protector,
    &hf_node_protector,
    &hf_failing_protector,
};

const struct hf_protector_ops *hf_protector_find(const char *kind)
{
    for (size_t i = 0; i < HF_COUNT(protectors); i++) {
        if (strcmp(protectors[i]->kind, kind) == 0) {
            return protectors[i];
        }
    }
    return NULL;
}

/* Stretching a passphrase takes a second, a token or a helper as long as it likes. */
static struct hf_status may_start(struct hf_op *op)
{
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a protector may take long");
    }
    return hf_op_check_deadline(op);
}

/* Counts the call under its kind and how it went, and passes the status on. */
static struct hf_status counted(const struct hf_protector *protector, struct hf_op *op,
                                const char *call, struct hf_status status)
{
    HF_AUTO(buf) labels = hf_buf_new();

    if (op->env->metrics != NULL) {
        hf_buf_add_format(labels, "kind=\"%s\",call=\"%s\",result=\"%s\"", protector->ops->kind,
                          call, hf_code_name(status.code));
        hf_metric_add(hf_metrics_series(op->env->metrics, HF_METRIC_COUNTER,
                                        "holdfast_protector_calls_total", hf_buf_text(labels),
                                        "Calls of protectors, by kind, call and result."),
                      1);
    }
    return status;
}

struct hf_status hf_protector_open(struct hf_crypto *crypto, struct hf_op *op,
                                   const struct hf_protector_settings *settings,
                                   struct hf_protector **out)
{
    const struct hf_protector_ops *ops = hf_protector_find(settings->kind);

    if (ops == NULL) {
        return hf_fail(op, HF_INVALID, "there is no protector of the kind \"%.40s\"",
                       settings->kind);
    }
    HF_TRY(may_start(op));
    return ops->open(crypto, op, settings, out);
}

void hf_protector_free(struct hf_protector *protector)
{
    if (protector != NULL) {
        protector->ops->close(protector);
    }
}

struct hf_status hf_protector_wrap(struct hf_protector *protector, struct hf_op *op,
                                   const struct hf_secret *plain, struct hf_bytes context,
                                   struct hf_buf *out)
{
    /* Aside, so that a failure half way leaves out as it was. */
    HF_AUTO(buf) wrapped = hf_buf_new();

    HF_TRY(may_start(op));
    HF_TRY(counted(protector, op, "wrap",
                   protector->ops->wrap(protector, op, hf_secret_bytes(plain), context, wrapped)));
    hf_buf_add_bytes(out, hf_buf_bytes(wrapped));
    return HF_SUCCESS;
}

struct hf_status hf_protector_unwrap(struct hf_protector *protector, struct hf_op *op,
                                     struct hf_bytes wrapped, struct hf_bytes context,
                                     struct hf_secret **out)
{
    HF_TRY(may_start(op));
    if (protector->only_wraps) {
        return hf_fail(op, HF_UNSUPPORTED, "only the machine that has the private half opens this");
    }
    return counted(protector, op, "unwrap",
                   protector->ops->unwrap(protector, op, wrapped, context, out));
}
