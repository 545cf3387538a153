/* What callers were issued, given back. */
#include "admin/admin_internal.h"

HANDLER(session_end)
{
    static const char *const members[] = { "user", "all", NULL };
    HF_AUTO(json) body = NULL;
    const char *user = NULL;
    bool all = false;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text_or(op, body, "user", NULL, &user));
    HF_TRY(hf_json_bool_or(op, body, "all", false, &all));
    if (all == (user != NULL)) {
        return hf_fail(op, HF_INVALID,
                       "say whose sessions end: \"user\" with a name, or \"all\" with true");
    }
    HF_TRY(hf_service_session_end(service_of(exchange), op, user));
    return put_done(reply);
}
