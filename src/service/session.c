/* What this server has issued to callers, given back: the cookies of one user, or of all. */
#include "base/alloc.h"
#include "base/codec.h"
#include "identity/cookie.h"
#include "service/internal.h"

struct ending {
    const char *user; /* NULL: all */
};

static struct hf_status stage_end(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    const struct ending *ending = control->context;

    return hf_cookies_end_stage(control->call.service->cookies, op, txn, ending->user);
}

struct hf_status hf_service_session_end(struct hf_service *service, struct hf_op *op,
                                        const char *user)
{
    HF_AUTO_STRING detail =
        user != NULL ? hf_format("the cookies of user '%.255s' are taken back", user)
                     : hf_strdup("the cookies of all users are taken back, by new secrets");
    HF_AUTO(buf) asked = hf_buf_new();
    struct ending ending = { user };
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_SESSION_END, .detail = detail },
        .stage = stage_end,
        .context = &ending,
        .asked = asked,
    };

    HF_TRY(hf_call_allow(&control.call, op));
    if (service->cookies == NULL) {
        return hf_call_end(&control.call, op,
                           hf_fail(op, HF_UNSUPPORTED, "this server issues no cookies"));
    }
    hf_put_u8(asked, user != NULL);
    hf_put_text(asked, user != NULL ? user : "");
    return hf_control_run(&control, op);
}
