/* Policies and approvals. */
#include "admin/admin_internal.h"

static const char *policy_of(const struct hf_request *request)
{
    return hf_request_segment(request, "policy");
}

static void add_policy(void *context, const char *name)
{
    hf_json_put_text(context, NULL, name);
}

HANDLER(policy_list)
{
    struct hf_json_writer writer;

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "policies");
    HF_TRY(hf_service_policy_list(service_of(exchange), op, add_policy, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(policy_get)
{
    reply->content_type = "application/json";
    reply->status = 200;
    return hf_service_policy_get(service_of(exchange), op, policy_of(request), &reply->body);
}

HANDLER(policy_put)
{
    HF_TRY(hf_service_policy_put(service_of(exchange), op, policy_of(request),
                                 hf_request_body(request)));
    return put_done(reply);
}

HANDLER(policy_remove)
{
    HF_TRY(hf_service_policy_remove(service_of(exchange), op, policy_of(request)));
    return put_done(reply);
}

HANDLER(policy_explain)
{
    static const char *const members[] = { "who", "action", "keyring", "key", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_json_writer writer;
    const char *who = NULL;
    const char *action = NULL;
    const char *keyring = NULL;
    const char *key = NULL;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text(op, body, "who", &who));
    HF_TRY(hf_json_text(op, body, "action", &action));
    HF_TRY(hf_json_text_or(op, body, "keyring", NULL, &keyring));
    HF_TRY(hf_json_text_or(op, body, "key", NULL, &key));
    HF_TRY(hf_service_policy_explain(service_of(exchange), op, who, action, keyring, key, text));
    start_object(reply, &writer);
    hf_json_put_text(&writer, "explanation", hf_buf_text(text));
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

static void add_approval(void *context, const struct hf_approval_info *info)
{
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "id", info->id);
    hf_json_put_text(writer, "operation", info->operation);
    hf_json_put_text(writer, "keyring", info->keyring);
    if (info->key != NULL) {
        hf_json_put_text(writer, "key", info->key);
    }
    hf_json_put_text(writer, "requester", info->requester);
    if (info->approver != NULL) {
        hf_json_put_text(writer, "approver", info->approver);
    }
    hf_json_put_date(writer, "created", info->created_ms);
    hf_json_put_date(writer, "expires", info->expires_ms);
    hf_json_close_object(writer);
}

HANDLER(approval_list)
{
    struct hf_json_writer writer;

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "approvals");
    HF_TRY(hf_service_approval_list(service_of(exchange), op, add_approval, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(approve)
{
    HF_TRY(hf_service_approve(service_of(exchange), op, hf_request_segment(request, "approval")));
    return put_done(reply);
}
