/* Drills, and what follows from them: what-if, the smallest cut. */
#include <stdlib.h>

#include "admin/admin_internal.h"
#include "base/alloc.h"

#define DEADLINE_MS ((uint64_t)4 * 3600 * 1000)

HANDLER(drill)
{
    static const char *const members[] = { "keyring", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) receipt = hf_buf_new();
    const char *keyring = NULL;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text_or(op, body, "keyring", NULL, &keyring));
    /* As long as there are versions: whoever waits for it knows. */
    op->deadline_ms = hf_env_boottime_ms(op->env) + DEADLINE_MS;
    HF_TRY(hf_service_drill(service_of(exchange), op, keyring, receipt));
    return answer_json(reply, receipt);
}

HANDLER(drill_progress)
{
    struct hf_drill_progress progress = { 0 };
    struct hf_json_writer writer;

    (void)request;
    HF_TRY(hf_service_drill_progress(service_of(exchange), op, &progress));
    start_object(reply, &writer);
    hf_json_put_bool(&writer, "running", progress.running);
    hf_json_put_u64(&writer, "slots", progress.slots);
    hf_json_put_u64(&writer, "slots_done", progress.slots_done);
    hf_json_put_u64(&writer, "versions", progress.versions);
    hf_json_put_u64(&writer, "versions_done", progress.versions_done);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
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
