/* Status, unlock, lock, why. */
#include <string.h>
#include <unistd.h>

#include "admin/admin_internal.h"

struct status_list {
    struct hf_json_writer *writer;
    enum hf_light worst;
};

static void add_item(void *context, const struct hf_status_item *item)
{
    struct status_list *list = context;

    list->worst = item->light > list->worst ? item->light : list->worst;
    hf_json_open_object(list->writer, NULL);
    hf_json_put_text(list->writer, "item", item->name);
    hf_json_put_text(list->writer, "light", hf_light_name(item->light));
    hf_json_put_text(list->writer, "text", item->text);
    hf_json_close_object(list->writer);
}

HANDLER(status)
{
    const struct hf_admin *admin = hf_exchange_context(exchange);
    struct hf_json_writer writer;
    struct status_list list = { &writer, HF_GREEN };

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "items");
    HF_TRY(hf_service_status(admin->settings.service, op, add_item, &list));
    admin->settings.status(admin->settings.context, add_item, &list);
    hf_json_close_array(&writer);
    hf_json_put_text(&writer, "light", hf_light_name(list.worst));
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(unlock)
{
    static const char *const members[] = { "protector", "passphrase", "file", NULL };
    const struct hf_admin *admin = hf_exchange_context(exchange);
    struct hf_protector_settings protector = { 0 };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) passphrase = NULL;
    struct hf_slot_info slot = { 0 };
    struct hf_json_writer writer;

    HF_TRY(check_owner(op, admin, "a locked node is opened"));
    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_protector(op, admin, body, &protector, &passphrase));
    HF_TRY(hf_service_unlock(admin->settings.service, op, &protector, &slot));
    admin->settings.unlocked(admin->settings.context);
    start_object(reply, &writer);
    hf_json_put_text(&writer, "slot", slot.name);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(lock)
{
    const struct hf_admin *admin = hf_exchange_context(exchange);

    (void)request;
    HF_TRY(hf_service_lock(admin->settings.service, op));
    admin->settings.locked(admin->settings.context);
    return put_done(reply);
}

static void add_link(void *context, const struct hf_why_link *link)
{
    static const char *const health[] = {
        [HF_LINK_OPEN] = "open", [HF_LINK_CLOSED] = "closed", [HF_LINK_BROKEN] = "broken"
    };
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "level", link->level);
    hf_json_put_text(writer, "name", link->name);
    hf_json_put_text(writer, "state", link->state);
    hf_json_put_text(writer, "health", health[link->health]);
    hf_json_put_text(writer, "detail", link->detail);
    if (link->proven_ms != 0) {
        hf_json_put_text(writer, "proven_by", link->proven_by);
        hf_json_put_date(writer, "proven", link->proven_ms);
    }
    hf_json_close_object(writer);
}

HANDLER(why)
{
    static const char *const members[] = { "keyring", "what", NULL };
    HF_AUTO(json) body = NULL;
    struct hf_json_writer writer;
    const char *keyring = NULL;
    const char *what = NULL;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text_or(op, body, "keyring", NULL, &keyring));
    HF_TRY(hf_json_text(op, body, "what", &what));
    start_object(reply, &writer);
    hf_json_open_array(&writer, "chain");
    HF_TRY(hf_service_why(service_of(exchange), op, keyring, what, add_link, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
