/* Readiness: for every keyring, one key version opens through the whole chain, and the node stays.
 */
#include <stdio.h>

#include "service/canary.h"

struct verdict {
    enum hf_code code;
    char text[HF_OP_TEXT_MAX];
};

static void look(void *context, const char *keyring, struct hf_status status, const char *text)
{
    struct verdict *verdict = context;

    if (status.code != HF_OK && verdict->code == HF_OK) {
        verdict->code = status.code;
        (void)snprintf(verdict->text, sizeof verdict->text, "keyring '%s': %.240s", keyring, text);
    }
}

struct hf_status hf_service_check_unlocked(struct hf_service *service, struct hf_op *op)
{
    return hf_call_unlocked(service, op);
}

struct hf_status hf_service_ready(struct hf_service *service, struct hf_op *op)
{
    struct verdict verdict = { HF_OK, "" };

    HF_TRY(hf_call_unlocked(service, op));
    HF_TRY(hf_canary_each(service, op, look, &verdict));
    if (verdict.code != HF_OK) {
        return hf_fail(op, verdict.code, "%s", verdict.text);
    }
    return hf_node_check_serving(service, op);
}
