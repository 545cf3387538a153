/* Drills, and what follows from them: what-if, the smallest cut. */
#include <stdlib.h>

#include "admin/admin_internal.h"
#include "base/alloc.h"

/* The service has written the whole document: it is signed, byte for byte. */
static struct hf_status answer(struct hf_reply *reply, const struct hf_buf *json)
{
    reply->status = 200;
    reply->content_type = "application/json";
    hf_buf_add_bytes(&reply->body, hf_buf_bytes(json));
    return HF_SUCCESS;
}

HANDLER(drill)
{
    static const char *const members[] = { "keyring", "wait_ms", NULL };
    HF_AUTO(json) body = NULL;
    const char *keyring = NULL;
    uint64_t wait_ms = 0;
    char id[HF_DRILL_ID];
    struct hf_json_writer writer;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text_or(op, body, "keyring", NULL, &keyring));
    HF_TRY(hf_json_u64_or(op, body, "wait_ms", 0, &wait_ms));
    /* Nothing said is the usual time; to the service, too, that is 0. */
    if (wait_ms == 0 && hf_json_has(body, "wait_ms")) {
        return hf_fail(op, HF_INVALID, "a drill waits a second at least");
    }
    HF_TRY(hf_service_drill(service_of(exchange), op, keyring, wait_ms, id));
    start_object(reply, &writer);
    hf_json_put_text(&writer, "id", id);
    hf_json_close_object(&writer);
    reply->status = 202;
    return HF_SUCCESS;
}

static const char *drill_of(const struct hf_request *request)
{
    return hf_request_segment(request, "drill");
}

HANDLER(drill_list)
{
    HF_AUTO(buf) out = hf_buf_new();

    (void)request;
    HF_TRY(hf_service_drill_list(service_of(exchange), op, out));
    return answer(reply, out);
}

HANDLER(drill_show)
{
    HF_AUTO(buf) out = hf_buf_new();

    HF_TRY(hf_service_drill_show(service_of(exchange), op, drill_of(request), out));
    return answer(reply, out);
}

HANDLER(drill_receipt)
{
    HF_AUTO(buf) out = hf_buf_new();

    HF_TRY(hf_service_drill_receipt(service_of(exchange), op, drill_of(request), out));
    return answer(reply, out);
}

HANDLER(what_if)
{
    static const char *const members[] = { "lose", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    const struct hf_json *lose = NULL;
    const char **words = NULL;
    size_t count;
    struct hf_status status = HF_SUCCESS;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_array_or(op, body, "lose", &lose));
    count = lose != NULL ? hf_json_count(lose) : 0;
    words = hf_alloc_array(count + 1, sizeof *words);
    for (size_t i = 0; i < count && status.code == HF_OK; i++) {
        words[i] = hf_json_string(hf_json_at(lose, i));
        if (words[i] == NULL) {
            status = hf_fail(op, HF_INVALID, "\"lose\" must be an array of texts");
        }
    }
    if (status.code == HF_OK) {
        status = hf_service_what_if(service_of(exchange), op, words, count, out);
    }
    free(words);
    HF_TRY(status);
    return answer_json(reply, out);
}

HANDLER(min_cut)
{
    static const char *const members[] = { "what", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    const char *what = NULL;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text_or(op, body, "what", NULL, &what));
    HF_TRY(hf_service_min_cut(service_of(exchange), op, what, out));
    return answer_json(reply, out);
}
