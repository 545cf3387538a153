/* Keyrings. */
#include "admin/admin_internal.h"

static void add_keyring(struct hf_json_writer *writer, const struct hf_keyring_info *info)
{
    hf_json_put_text(writer, "name", info->name);
    hf_json_put_text(writer, "main_key", info->main_key_name);
    hf_json_put_u64(writer, "keyring_key_version", info->key_version);
    hf_json_put_u64(writer, "keys", info->keys);
    hf_json_put_bool(writer, "approve_destroy", info->settings.approve_destroy);
    hf_json_put_bool(writer, "approve_export", info->settings.approve_export);
    hf_json_put_bool(writer, "approve_slot_removal", info->settings.approve_slot_removal);
    hf_json_put_u64(writer, "destroy_wait_ms", info->settings.destroy_wait_ms);
    hf_json_put_u64(writer, "dark_window_ms", info->settings.dark_window_ms);
    hf_json_put_u64(writer, "max_stale_ms", info->settings.max_stale_ms);
    hf_json_put_u64(writer, "max_stale_wrap_ms", info->settings.max_stale_wrap_ms);
    hf_json_put_u64(writer, "rotate_every_ms", info->settings.rotate_every_ms);
    hf_json_open_array(writer, "serve_on");
    for (size_t i = 0; i < info->settings.serve_on.count; i++) {
        hf_json_put_text(writer, NULL, info->settings.serve_on.names[i]);
    }
    hf_json_close_array(writer);
    hf_json_put_u64(writer, "min_ways", info->settings.min_ways);
    hf_json_put_date(writer, "created", info->created_ms);
}

static void list_keyring(void *context, const struct hf_keyring_info *info)
{
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    add_keyring(writer, info);
    hf_json_close_object(writer);
}

HANDLER(keyring_list)
{
    struct hf_json_writer writer;

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "keyrings");
    HF_TRY(hf_service_keyring_list(service_of(exchange), op, list_keyring, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

static struct hf_status take_serve_on(struct hf_op *op, const struct hf_json *body,
                                      struct hf_serve_on *out)
{
    const struct hf_json *names = NULL;
    struct hf_serve_on list = { 0 };

    HF_TRY(hf_json_array_or(op, body, "serve_on", &names));
    if (names == NULL) {
        return HF_SUCCESS;
    }
    for (size_t i = 0; i < hf_json_count(names); i++) {
        const char *name = hf_json_string(hf_json_at(names, i));

        if (name == NULL) {
            return hf_fail(op, HF_INVALID, "\"serve_on\" holds names of nodes, as texts");
        }
        HF_TRY(hf_serve_on_add(op, &list, name));
    }
    *out = list;
    return HF_SUCCESS;
}

/* What the body leaves out stays as it is in settings. */
static struct hf_status take_settings(struct hf_op *op, const struct hf_json *body,
                                      struct hf_keyring_settings *settings)
{
    HF_TRY(hf_json_text_or(op, body, "main_key", settings->main_key, &settings->main_key));
    HF_TRY(hf_json_bool_or(op, body, "approve_destroy", settings->approve_destroy,
                           &settings->approve_destroy));
    HF_TRY(hf_json_bool_or(op, body, "approve_export", settings->approve_export,
                           &settings->approve_export));
    HF_TRY(hf_json_bool_or(op, body, "approve_slot_removal", settings->approve_slot_removal,
                           &settings->approve_slot_removal));
    HF_TRY(hf_json_u64_or(op, body, "destroy_wait_ms", settings->destroy_wait_ms,
                          &settings->destroy_wait_ms));
    HF_TRY(hf_json_u64_or(op, body, "dark_window_ms", settings->dark_window_ms,
                          &settings->dark_window_ms));
    HF_TRY(
        hf_json_u64_or(op, body, "max_stale_ms", settings->max_stale_ms, &settings->max_stale_ms));
    HF_TRY(hf_json_u64_or(op, body, "max_stale_wrap_ms", settings->max_stale_wrap_ms,
                          &settings->max_stale_wrap_ms));
    HF_TRY(hf_json_u64_or(op, body, "rotate_every_ms", settings->rotate_every_ms,
                          &settings->rotate_every_ms));
    HF_TRY(hf_json_u64_or(op, body, "min_ways", settings->min_ways, &settings->min_ways));
    return take_serve_on(op, body, &settings->serve_on);
}

static const char *const keyring_members[] = { "name",
                                               "main_key",
                                               "approve_destroy",
                                               "approve_export",
                                               "approve_slot_removal",
                                               "destroy_wait_ms",
                                               "dark_window_ms",
                                               "max_stale_ms",
                                               "max_stale_wrap_ms",
                                               "rotate_every_ms",
                                               "serve_on",
                                               "min_ways",
                                               NULL };

static struct hf_status put_keyring(struct hf_reply *reply, int status,
                                    const struct hf_keyring_info *info)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    add_keyring(&writer, info);
    hf_json_close_object(&writer);
    reply->status = status;
    return HF_SUCCESS;
}

HANDLER(keyring_create)
{
    struct hf_keyring_info info = { 0 };
    struct hf_keyring_settings settings;
    HF_AUTO(json) body = NULL;
    const char *name = NULL;

    hf_keyring_settings_default(&settings);
    HF_TRY(take_body(op, request, keyring_members, &body));
    HF_TRY(hf_json_text(op, body, "name", &name));
    HF_TRY(take_settings(op, body, &settings));
    HF_TRY(hf_service_keyring_create(service_of(exchange), op, name, &settings, &info));
    return put_keyring(reply, 201, &info);
}

HANDLER(keyring_get)
{
    struct hf_keyring_info info = { 0 };

    HF_TRY(hf_service_keyring_get(service_of(exchange), op, ring_of(request), &info));
    return put_keyring(reply, 200, &info);
}

HANDLER(keyring_change)
{
    struct hf_keyring_info info = { 0 };
    HF_AUTO(json) body = NULL;

    HF_TRY(take_body(op, request, keyring_members + 1, &body));
    HF_TRY(hf_service_keyring_get(service_of(exchange), op, ring_of(request), &info));
    HF_TRY(take_settings(op, body, &info.settings));
    HF_TRY(hf_service_keyring_change(service_of(exchange), op, ring_of(request), &info.settings));
    HF_TRY(hf_service_keyring_get(service_of(exchange), op, ring_of(request), &info));
    return put_keyring(reply, 200, &info);
}

HANDLER(keyring_rotate)
{
    struct hf_json_writer writer;
    uint32_t version = 0;

    HF_TRY(hf_service_keyring_rotate(service_of(exchange), op, ring_of(request), &version));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "keyring_key_version", version);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
