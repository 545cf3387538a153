/* Slots and the root key they open. */
#include <string.h>

#include "admin/admin_internal.h"

/*
 * While the node is locked there is no policy to ask, and a file that the server reads or makes is
 * the owner's affair: so only the owner and root, over the unix socket.
 */
struct hf_status check_owner(struct hf_op *op, const struct hf_admin *admin, const char *what)
{
    HF_AUTO(caller) owner = NULL;
    HF_AUTO(caller) root = NULL;

    HF_TRY(hf_caller_from_uid(op, admin->settings.owner_uid, &owner));
    HF_TRY(hf_caller_from_uid(op, 0, &root));
    if (strcmp(op->caller->id, owner->id) != 0 && strcmp(op->caller->id, root->id) != 0) {
        return hf_fail(op, HF_DENIED, "%s by its owner over the unix socket only", what);
    }
    return HF_SUCCESS;
}

struct hf_status take_protector(struct hf_op *op, const struct hf_admin *admin,
                                const struct hf_json *body, struct hf_protector_settings *out,
                                struct hf_secret **out_passphrase)
{
    const char *text = NULL;

    HF_TRY(hf_json_text_or(op, body, "protector", "passphrase", &out->kind));
    HF_TRY(hf_json_text_or(op, body, "file", NULL, &out->file));
    HF_TRY(hf_json_text_or(op, body, "passphrase", NULL, &text));
    if (out->file != NULL) {
        HF_TRY(check_owner(op, admin, "a file is given to the node"));
    }
    if (text != NULL) {
        HF_TRY(hf_secret_copy(op, hf_bytes_of_text(text), out_passphrase));
        out->passphrase = *out_passphrase;
    }
    return HF_SUCCESS;
}

static void put_slot(struct hf_json_writer *writer, const struct hf_slot_info *slot)
{
    hf_json_put_text(writer, "id", slot->id);
    hf_json_put_text(writer, "name", slot->name);
    hf_json_put_text(writer, "protector", slot->protector);
    hf_json_put_bool(writer, "offline", slot->offline);
    hf_json_put_bool(writer, "needs_human", slot->needs_human);
    hf_json_put_bool(writer, "verified", slot->verified);
    hf_json_put_u64(writer, "root_generation", slot->root_generation);
    hf_json_put_date(writer, "created", slot->created_ms);
    if (slot->proven_ms != 0) {
        hf_json_put_date(writer, "proven", slot->proven_ms);
    } else {
        hf_json_put_null(writer, "proven");
    }
    hf_json_put_u64(writer, "proven_generation", slot->proven_generation);
}

static void add_slot(void *context, const struct hf_slot_info *slot)
{
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    put_slot(writer, slot);
    hf_json_close_object(writer);
}

HANDLER(slots)
{
    struct hf_json_writer writer;

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "slots");
    HF_TRY(hf_service_slots(service_of(exchange), op, add_slot, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

static struct hf_status answer_slot(struct hf_reply *reply, const struct hf_slot_info *slot)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    put_slot(&writer, slot);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(slot_add)
{
    static const char *const members[] = { "name",       "offline", "protector",
                                           "passphrase", "file",    NULL };
    const struct hf_admin *admin = hf_exchange_context(exchange);
    struct hf_protector_settings protector = { 0 };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) passphrase = NULL;
    struct hf_slot_info slot = { 0 };
    const char *name = NULL;
    bool offline = false;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text(op, body, "name", &name));
    HF_TRY(hf_json_bool_or(op, body, "offline", false, &offline));
    HF_TRY(take_protector(op, admin, body, &protector, &passphrase));
    HF_TRY(hf_service_slot_add(service_of(exchange), op, name, offline, &protector, &slot));
    return answer_slot(reply, &slot);
}

HANDLER(slot_test)
{
    static const char *const members[] = { "protector", "passphrase", "file", NULL };
    const struct hf_admin *admin = hf_exchange_context(exchange);
    struct hf_protector_settings protector = { 0 };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) passphrase = NULL;
    struct hf_slot_info slot = { 0 };

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_protector(op, admin, body, &protector, &passphrase));
    HF_TRY(hf_service_slot_test(service_of(exchange), op, hf_request_segment(request, "slot"),
                                &protector, &slot));
    return answer_slot(reply, &slot);
}

/* What whoever had the slot can still do, said where it is decided. */
static const char *what_remains(bool keep_root)
{
    return keep_root ? "whoever has the slot's secret and a copy of the store from before the "
                       "removal has the root key, which stays in force: with it this store and "
                       "every later copy open; rotate the root to end that"
                     : "whoever has the slot's secret and a copy of the store from before the "
                       "rotation opens that copy for ever, and knows the keys it holds; rotate "
                       "keys that must be kept from him; if he also gets a copy from before the "
                       "records are all moved, he has the new root, too";
}

struct hf_status take_keep_root(struct hf_op *op, const struct hf_request *request, bool *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    bool given = false;

    HF_TRY(take_query(op, request, "keep_root", text, &given));
    *out = given && strcmp(hf_buf_text(text), "true") == 0;
    if (given && !*out && strcmp(hf_buf_text(text), "false") != 0) {
        return hf_fail(op, HF_INVALID, "\"keep_root\" is true or false");
    }
    return HF_SUCCESS;
}

void put_removal(struct hf_json_writer *writer, bool keep_root, uint32_t generation)
{
    hf_json_put_u64(writer, "root_generation", generation);
    hf_json_put_bool(writer, "root_kept", keep_root);
    hf_json_put_text(writer, "remains", what_remains(keep_root));
}

HANDLER(slot_remove)
{
    struct hf_json_writer writer;
    uint32_t generation = 0;
    bool keep_root = false;

    HF_TRY(take_keep_root(op, request, &keep_root));
    HF_TRY(hf_service_slot_remove(service_of(exchange), op, hf_request_segment(request, "slot"),
                                  keep_root, &generation));
    start_object(reply, &writer);
    put_removal(&writer, keep_root, generation);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- the root --- */

void put_date_or_null(struct hf_json_writer *writer, const char *name, uint64_t date_ms)
{
    if (date_ms != 0) {
        hf_json_put_date(writer, name, date_ms);
    } else {
        hf_json_put_null(writer, name);
    }
}

HANDLER(root)
{
    struct hf_root_info info = { 0 };
    struct hf_json_writer writer;

    (void)request;
    HF_TRY(hf_service_root_status(service_of(exchange), op, &info));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "generation", info.generation);
    hf_json_put_bool(&writer, "moving", info.moving);
    put_date_or_null(&writer, "begun", info.begun_ms);
    put_date_or_null(&writer, "ended", info.ended_ms);
    hf_json_put_u64(&writer, "records", info.records);
    hf_json_put_u64(&writer, "checked", info.checked);
    hf_json_put_u64(&writer, "moved", info.moved);
    hf_json_put_u64(&writer, "stuck", info.stuck);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(root_rotate)
{
    struct hf_json_writer writer;
    uint32_t generation = 0;

    (void)request;
    HF_TRY(hf_service_root_rotate(service_of(exchange), op, &generation));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "generation", generation);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
