/* Giving the writes to another site, and taking a history that this node's copy is not part of. */
#include "admin/admin_internal.h"

/*
 * Database hosts take their time to be reached, compared, and promoted. A copy that is made anew
 * takes longer, and its time is not counted.
 */
#define DEADLINE_MS 180000U

HANDLER(site_promote)
{
    static const char *const members[] = { "dry_run", "force", "lose", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_site_order order = { .dry_run = false };

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_bool_or(op, body, "dry_run", false, &order.dry_run));
    HF_TRY(hf_json_bool_or(op, body, "force", false, &order.force));
    HF_TRY(hf_json_u64_or(op, body, "lose", 0, &order.may_lose));
    op->deadline_ms = hf_env_boottime_ms(op->env) + DEADLINE_MS;
    HF_TRY(hf_service_site_promote(service_of(exchange), op, hf_request_segment(request, "site"),
                                   &order, out));
    return answer_json(reply, out);
}

HANDLER(accept_history)
{
    static const char *const members[] = { "dry_run", "force", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_accept_order order = { .dry_run = false };

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_bool_or(op, body, "dry_run", false, &order.dry_run));
    HF_TRY(hf_json_bool_or(op, body, "force", false, &order.force));
    op->deadline_ms = hf_env_boottime_ms(op->env) + DEADLINE_MS;
    HF_TRY(hf_service_accept_history(service_of(exchange), op, &order, out));
    return answer_json(reply, out);
}
