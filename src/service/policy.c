/* Policies: put, removed, read, explained; and the first one. */
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/json.h"
#include "service/internal.h"

struct policy_change {
    const char *name;
    struct hf_bytes document;
    bool removes;
    char approval[HF_APPROVAL_ID]; /* "": none; else the author asks for nothing on his own */
};

static struct hf_status stage_change(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    const struct policy_change *change = control->context;
    struct hf_service *service = control->call.service;
    const char *author = hf_op_caller_id(op);

    if (change->approval[0] != '\0') {
        HF_TRY(hf_approval_use(service, op, txn, change->approval));
        author = NULL;
    }
    if (change->removes) {
        return hf_policy_remove(service->policy, op, txn, change->name, author);
    }
    return hf_policy_put(service->policy, op, txn, change->name, change->document, author);
}

/* Whether the change is good on its own: HF_DENIED when it gives its author something. */
static struct hf_status try_change(struct hf_control *control, struct hf_op *op)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(control->call.service->seal, op, &txn));
    return stage_change(control, op, txn);
}

/* Finds the approval for what its author may not do alone; fails when it still has to be given. */
static struct hf_status find_approval(struct hf_control *control, struct hf_op *op,
                                      struct policy_change *change)
{
    struct hf_service *service = control->call.service;
    struct hf_ask ask = { hf_action_name(control->call.action), "", change->name, 0, { 0 } };
    struct hf_status status = hf_ask_digest(service, op, &ask, hf_buf_bytes(control->asked));

    if (status.code == HF_OK) {
        status = hf_approval_find(service, op, &ask, change->approval);
    }
    if (status.code != HF_OK) {
        return hf_call_end(&control->call, op, status);
    }
    return change->approval[0] != '\0' ? HF_SUCCESS
                                       : hf_approval_wait(&control->call, op, &ask, HF_DENIED);
}

static struct hf_status change_policy(struct hf_service *service, struct hf_op *op,
                                      struct policy_change *change)
{
    HF_AUTO(buf) asked = hf_buf_new();
    HF_AUTO_STRING detail =
        hf_format("%s policy '%.64s'", change->removes ? "removed" : "put", change->name);
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_POLICY_CHANGE, .detail = detail },
        .stage = stage_change,
        .context = change,
        .asked = asked,
    };
    struct hf_status status;

    HF_TRY(hf_call_allow(&control.call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a change waits for the store");
    }
    hf_put_text(asked, change->name);
    hf_put_u8(asked, change->removes);
    hf_put_bytes(asked, change->document);
    if (hf_control_has_happened(&control, op)) {
        return hf_control_end_repeated(&control, op);
    }
    status = try_change(&control, op);
    if (status.code == HF_DENIED) {
        HF_TRY(find_approval(&control, op, change));
    } else if (status.code != HF_OK) {
        return hf_call_end(&control.call, op, status);
    }
    return hf_control_run(&control, op);
}

struct hf_status hf_service_policy_put(struct hf_service *service, struct hf_op *op,
                                       const char *name, struct hf_bytes document)
{
    struct policy_change change = { .name = name, .document = document };

    return change_policy(service, op, &change);
}

struct hf_status hf_service_policy_remove(struct hf_service *service, struct hf_op *op,
                                          const char *name)
{
    struct policy_change change = { .name = name, .removes = true };

    return change_policy(service, op, &change);
}

/* --- the first policy --- */

static void put_texts(struct hf_json_writer *writer, const char *name, const char *const *texts,
                      size_t count)
{
    hf_json_open_array(writer, name);
    for (size_t i = 0; i < count; i++) {
        hf_json_put_text(writer, NULL, texts[i]);
    }
    hf_json_close_array(writer);
}

static void write_first(const char *const *identities, size_t count, size_t administrators,
                        struct hf_buf *out)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "description", "Made with the store: who may administer it.");
    if (count > 1) {
        hf_json_open_array(&writer, "persons");
        hf_json_open_object(&writer, NULL);
        hf_json_put_text(&writer, "name", "who made the store");
        put_texts(&writer, "identities", identities, count);
        hf_json_close_object(&writer);
        hf_json_close_array(&writer);
    }
    hf_json_open_array(&writer, "rules");
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "effect", "allow");
    put_texts(&writer, "who", identities, administrators);
    hf_json_open_array(&writer, "roles");
    hf_json_put_text(&writer, NULL, "operator");
    hf_json_put_text(&writer, NULL, "key-admin");
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
}

struct hf_status hf_service_bootstrap_policy(struct hf_service *service, struct hf_op *op,
                                             const char *const *identities, size_t count,
                                             size_t administrators)
{
    HF_AUTO(buf) document = hf_buf_new();
    struct policy_change change = { .name = "first" };
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_POLICY_CHANGE,
                  .detail = "the first policy, made with the store" },
        .stage = stage_change,
        .context = &change,
    };

    HF_TRY(hf_call_unlocked(service, op));
    if (!hf_policy_is_empty(service->policy)) {
        return hf_call_end(&control.call, op,
                           hf_fail(op, HF_WRONG_STATE,
                                   "the store has had a policy; only the first can be made so"));
    }
    write_first(identities, count, administrators, document);
    change.document = hf_buf_bytes(document);
    return hf_control_run(&control, op);
}

/* --- reading --- */

struct hf_status hf_service_policy_get(struct hf_service *service, struct hf_op *op,
                                       const char *name, struct hf_buf *out)
{
    HF_AUTO_STRING detail = hf_format("policy '%.64s'", name);
    struct hf_call call = { .service = service, .action = HF_ACT_POLICY_READ, .detail = detail };
    HF_AUTO(buf) text = hf_buf_new();

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end(&call, op, hf_policy_get(service->policy, op, name, text)));
    hf_buf_add_bytes(out, hf_buf_bytes(text));
    return HF_SUCCESS;
}

struct hf_status hf_service_policy_list(struct hf_service *service, struct hf_op *op,
                                        void (*visit)(void *context, const char *name),
                                        void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_POLICY_READ, .detail = "list" };

    HF_TRY(hf_call_allow(&call, op));
    HF_TRY(hf_call_end(&call, op, HF_SUCCESS));
    hf_policy_each(service->policy, visit, context);
    return HF_SUCCESS;
}

struct hf_status hf_service_policy_explain(struct hf_service *service, struct hf_op *op,
                                           const char *caller, const char *action,
                                           const char *keyring, const char *key, struct hf_buf *out)
{
    HF_AUTO_STRING detail = hf_format("explains '%.64s' for %.200s", action, caller);
    struct hf_call call = { .service = service, .action = HF_ACT_POLICY_READ, .detail = detail };
    HF_AUTO(buf) text = hf_buf_new();
    enum hf_action which;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    status = hf_action_parse(op, action, &which);
    if (status.code == HF_OK) {
        status = hf_policy_explain(service->policy, op, caller, which, keyring, key, text);
    }
    HF_TRY(hf_call_end(&call, op, status));
    hf_buf_add_bytes(out, hf_buf_bytes(text));
    return HF_SUCCESS;
}
