/* Random bytes for callers. */
#include "service/internal.h"

#define RANDOM_MAX 65536

static struct hf_status make(struct hf_service *service, struct hf_op *op, size_t len,
                             struct hf_secret **out)
{
    if (len == 0 || len > RANDOM_MAX) {
        return hf_fail(op, HF_INVALID, "1 to %d random bytes at once are allowed, not %zu",
                       RANDOM_MAX, len);
    }
    return hf_random_secret(hf_seal_crypto(service->seal), op, len, out);
}

struct hf_status hf_service_random(struct hf_service *service, struct hf_op *op, size_t len,
                                   struct hf_secret **out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_RANDOM };
    HF_AUTO(secret) bytes = NULL;

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end(&call, op, make(service, op, len, &bytes)));
    *out = HF_TAKE(bytes);
    return HF_SUCCESS;
}
