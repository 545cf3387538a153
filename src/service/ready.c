/*
 * Readiness: for every keyring, one key version opens through the whole chain, the node may open
 * those of one keyring at least, and it stays.
 */
#include <stdio.h>

#include "cluster/cluster.h"
#include "service/canary.h"

struct verdict {
    struct hf_service *service;
    struct hf_op *op;
    size_t keyrings, entitled;  /* how many there are, and may be opened now */
    char stale[HF_OP_TEXT_MAX]; /* why not */
    enum hf_code code;
    char text[HF_OP_TEXT_MAX];
};

/* Without a lease each keyring says for how long; where none may be opened others are to be asked.
 */
static void ask_lease(struct verdict *verdict, const char *keyring)
{
    struct hf_keyring_info info;
    struct hf_standing standing;
    struct hf_status status;

    /* One that has just gone says nothing. */
    if (hf_keyring_get(verdict->service->keys, verdict->op, keyring, &info).code != HF_OK) {
        return;
    }
    status = hf_cluster_may(verdict->service->cluster, verdict->op, HF_CLUSTER_OPEN,
                            info.settings.max_stale_ms, info.settings.max_stale_wrap_ms, &standing);
    verdict->keyrings++;
    verdict->entitled += status.code == HF_OK;
    if (status.code != HF_OK) {
        (void)snprintf(verdict->stale, sizeof verdict->stale, "keyring '%s': %.240s", keyring,
                       verdict->op->text);
    }
}

static void look(void *context, const char *keyring, struct hf_status status, const char *text)
{
    struct verdict *verdict = context;

    if (status.code != HF_OK && verdict->code == HF_OK) {
        verdict->code = status.code;
        (void)snprintf(verdict->text, sizeof verdict->text, "keyring '%s': %.240s", keyring, text);
    }
    if (verdict->service->cluster != NULL) {
        ask_lease(verdict, keyring);
    }
}

struct hf_status hf_service_check_unlocked(struct hf_service *service, struct hf_op *op)
{
    return hf_call_unlocked(service, op);
}

struct hf_status hf_service_ready(struct hf_service *service, struct hf_op *op)
{
    struct verdict verdict = { .service = service, .op = op };

    HF_TRY(hf_call_unlocked(service, op));
    HF_TRY(hf_canary_each(service, op, look, &verdict));
    if (verdict.code != HF_OK) {
        return hf_fail(op, verdict.code, "%s", verdict.text);
    }
    if (verdict.keyrings > 0 && verdict.entitled == 0) {
        return hf_fail(op, HF_UNAVAILABLE, "%s", verdict.stale);
    }
    return hf_node_check_serving(service, op);
}
