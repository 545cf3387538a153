/* Delegation-token calls: refused in Hadoop's words, until tokens are served. */
#include "hadoop/hadoop_internal.h"

struct hf_status hf_hadoop_token(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) operation = hf_buf_new();
    struct call call = { "DELEGATION_TOKEN", NULL };
    struct hf_status status = hf_request_parameter(op, request, "op", true, 0, operation);

    (void)exchange;
    if (status.code == HF_NOT_FOUND) {
        status = illegal_argument(op, "Parameter 'op' cannot be null");
    } else if (status.code == HF_OK) {
        status = hf_fail(op, HF_UNSUPPORTED, "Delegation tokens are not served: '%s'",
                         hf_buf_text(operation));
    }
    return finish(op, &call, reply, status);
}
