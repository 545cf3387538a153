/* Keys: life and listing. */
#include <stdlib.h>

#include "admin/admin_internal.h"
#include "base/alloc.h"
#include "base/text.h"
#include "service/revocation.h"

#define PAGE_DEFAULT 1000
#define PAGE_MAX     10000

/* --- listing --- */

struct page {
    struct hf_json_writer *writer;
    struct hf_buf *last;
    struct hf_json_writer dates_writer; /* of deleted keys: the members of an object */
    size_t count;
    size_t limit;
};

static void add_name(void *context, const char *name)
{
    struct page *page = context;

    /* One more than the page is asked for, to know whether there is a next one. */
    if (page->count++ < page->limit) {
        hf_json_put_text(page->writer, NULL, name);
        hf_buf_clear(page->last);
        hf_buf_add_text(page->last, name);
    }
}

static void add_deleted(void *context, const char *name, uint64_t destroy_at_ms)
{
    struct page *page = context;

    if (page->count < page->limit && destroy_at_ms != 0) {
        hf_json_put_date(&page->dates_writer, name, destroy_at_ms);
    }
    add_name(page, name);
}

static struct hf_status take_limit(struct hf_op *op, const struct hf_request *request, size_t *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    uint64_t limit = PAGE_DEFAULT;
    bool given = false;

    HF_TRY(take_query(op, request, "limit", text, &given));
    if (given) {
        HF_TRY(hf_parse_u64(op, hf_buf_text(text), PAGE_MAX, &limit));
    }
    if (limit == 0) {
        return hf_fail(op, HF_INVALID, "\"limit\" must be from 1 to %d", PAGE_MAX);
    }
    *out = (size_t)limit;
    return HF_SUCCESS;
}

static struct hf_status take_deleted(struct hf_op *op, const struct hf_request *request, bool *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    bool given = false;

    HF_TRY(take_query(op, request, "deleted", text, &given));
    *out = given && hf_bytes_equal_text(hf_buf_bytes(text), "true");
    return HF_SUCCESS;
}

/* {"keys":[..],"destroy_at":{"name":date,..},"next":".."}; dates of deleted keys only. */
static struct hf_status list_deleted(struct hf_op *op, struct hf_exchange *exchange,
                                     const struct hf_request *request, const char *after,
                                     struct page *page)
{
    HF_AUTO(buf) dates = hf_buf_new();

    hf_json_writer_init(&page->dates_writer, dates);
    hf_json_open_array(page->writer, "keys");
    HF_TRY(hf_service_key_deleted(service_of(exchange), op, ring_of(request), after,
                                  page->limit + 1, add_deleted, page));
    hf_json_close_array(page->writer);
    hf_json_open_object(page->writer, "destroy_at");
    hf_buf_add_bytes(page->writer->out, hf_buf_bytes(dates));
    hf_json_close_object(page->writer);
    return HF_SUCCESS;
}

static struct hf_status list_live(struct hf_op *op, struct hf_exchange *exchange,
                                  const struct hf_request *request, const char *after,
                                  struct page *page)
{
    hf_json_open_array(page->writer, "keys");
    HF_TRY(hf_service_key_names(service_of(exchange), op, ring_of(request), false, after,
                                page->limit + 1, add_name, page));
    hf_json_close_array(page->writer);
    return HF_SUCCESS;
}

HANDLER(key_list)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) last = hf_buf_new();
    struct hf_json_writer writer;
    struct page page = { .writer = &writer, .last = last };
    const char *after = NULL;
    bool has_after = false;
    bool deleted = false;

    HF_TRY(take_query(op, request, "after", text, &has_after));
    HF_TRY(take_deleted(op, request, &deleted));
    HF_TRY(take_limit(op, request, &page.limit));
    after = has_after ? hf_buf_text(text) : NULL;
    start_object(reply, &writer);
    HF_TRY(deleted ? list_deleted(op, exchange, request, after, &page)
                   : list_live(op, exchange, request, after, &page));
    if (page.count > page.limit) {
        hf_json_put_text(&writer, "next", hf_buf_text(last));
    }
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- one key --- */

static void put_date_if(struct hf_json_writer *writer, const char *name, uint64_t realtime_ms)
{
    if (realtime_ms != 0) {
        hf_json_put_date(writer, name, realtime_ms);
    }
}

static void add_key(struct hf_json_writer *writer, const struct hf_key_info *info)
{
    hf_json_put_text(writer, "keyring", info->keyring);
    hf_json_put_text(writer, "name", info->name);
    hf_json_put_text(writer, "algorithm", hf_algorithm_name(info->algorithm));
    hf_json_put_bool(writer, "exportable", info->exportable);
    hf_json_put_bool(writer, "deleted", info->deleted);
    put_date_if(writer, "destroy_at", info->destroy_at_ms);
    if (info->primary != HF_LATEST) {
        hf_json_put_u64(writer, "primary", info->primary);
    } else {
        hf_json_put_null(writer, "primary");
    }
    hf_json_put_date(writer, "created", info->created_ms);
    if (info->description != NULL) {
        hf_json_put_text(writer, "description", info->description);
    }
    hf_json_open_object(writer, "attributes");
    for (size_t i = 0; i < info->attribute_count; i++) {
        hf_json_put_text(writer, info->attributes[i].name, info->attributes[i].value);
    }
    hf_json_close_object(writer);
}

static void add_version(void *context, const struct hf_version_info *info)
{
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    hf_json_put_u64(writer, "version", info->version);
    hf_json_put_text(writer, "state", hf_key_state_name(info->state));
    if (info->candidate) {
        hf_json_put_bool(writer, "candidate", true);
    }
    hf_json_put_bool(writer, "primary", info->primary);
    hf_json_put_bool(writer, "imported", info->imported);
    put_date_if(writer, "created", info->created_ms);
    put_date_if(writer, "activated", info->activated_ms);
    put_date_if(writer, "deactivated", info->deactivated_ms);
    put_date_if(writer, "compromised", info->compromised_ms);
    put_date_if(writer, "destroyed", info->destroyed_ms);
    put_date_if(writer, "destroy_at", info->destroy_at_ms);
    hf_json_put_u64(writer, "keyring_key_version", info->keyring_key);
    hf_json_put_hex(writer, "check_value",
                    hf_bytes_of(info->check_value, sizeof info->check_value));
    if (info->reason[0] != '\0') {
        hf_json_put_text(writer, "reason", info->reason);
    }
    hf_json_close_object(writer);
}

HANDLER(key_get)
{
    HF_AUTO(key_info) info = NULL;
    struct hf_json_writer writer;
    bool or_deleted = false;

    HF_TRY(take_deleted(op, request, &or_deleted));
    HF_TRY(hf_service_key_get(service_of(exchange), op, ring_of(request), key_of(request),
                              or_deleted, &info));
    start_object(reply, &writer);
    add_key(&writer, info);
    hf_json_open_array(&writer, "versions");
    if (!info->deleted) {
        HF_TRY(hf_service_key_versions(service_of(exchange), op, ring_of(request), key_of(request),
                                       add_version, &writer));
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- create --- */

struct attribute_list {
    struct hf_attribute *items;
    size_t count;
    bool bad;
};

static void take_attribute(void *context, const char *name, const struct hf_json *value)
{
    struct attribute_list *list = context;
    const char *text = hf_json_string(value);

    if (text == NULL) {
        list->bad = true;
        return;
    }
    list->items[list->count++] = (struct hf_attribute){ name, text };
}

static struct hf_status take_attributes(struct hf_op *op, const struct hf_json *body,
                                        struct attribute_list *list)
{
    const struct hf_json *attributes = NULL;

    HF_TRY(hf_json_object_or(op, body, "attributes", &attributes));
    if (attributes == NULL) {
        return HF_SUCCESS;
    }
    list->items = hf_alloc_array(hf_json_count(attributes), sizeof *list->items);
    hf_json_each(attributes, take_attribute, list);
    if (list->bad) {
        return hf_fail(op, HF_INVALID, "the values of \"attributes\" must be strings");
    }
    return HF_SUCCESS;
}

static struct hf_status take_plan(struct hf_op *op, const struct hf_json *body,
                                  struct hf_key_plan *plan)
{
    const char *algorithm = NULL;
    uint64_t len = 0;
    uint64_t first = 1;

    HF_TRY(hf_json_text_or(op, body, "algorithm", "aes-256", &algorithm));
    HF_TRY(hf_algorithm_parse(op, algorithm, &plan->algorithm));
    HF_TRY(hf_json_bool_or(op, body, "exportable", false, &plan->exportable));
    HF_TRY(hf_json_bool_or(op, body, "pre_active", false, &plan->pre_active));
    HF_TRY(hf_json_text_or(op, body, "description", NULL, &plan->description));
    HF_TRY(hf_json_u64_or(op, body, "bytes", 0, &len));
    HF_TRY(hf_json_u64_or(op, body, "first_version", 1, &first));
    if (len > HF_MATERIAL_MAX || first > 1) {
        return hf_fail(op, HF_INVALID, "\"bytes\" is at most %d, \"first_version\" 0 or 1",
                       HF_MATERIAL_MAX);
    }
    plan->material_len = (uint32_t)len;
    plan->first_version = (uint32_t)first;
    return HF_SUCCESS;
}

static void put_version(struct hf_reply *reply, int status, uint32_t version)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    reply->status = status;
    hf_json_put_u64(&writer, "version", version);
    hf_json_close_object(&writer);
}

/* In a cluster also how many nodes have opened it, of those that serve it. */
static void put_new_version(struct hf_reply *reply, int status, uint32_t version,
                            const struct hf_op *op)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    reply->status = status;
    hf_json_put_u64(&writer, "version", version);
    if (op->proven_of > 0) {
        hf_json_put_u64(&writer, "proven_on", op->proven_on);
        hf_json_put_u64(&writer, "proven_of", op->proven_of);
    }
    hf_json_close_object(&writer);
}

HANDLER(key_create)
{
    static const char *const members[] = { "name",       "algorithm",   "exportable",
                                           "pre_active", "description", "attributes",
                                           "bytes",      "material",    "first_version",
                                           NULL };
    struct attribute_list attributes = { 0 };
    struct hf_key_plan plan = { 0 };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) material = NULL;
    const char *name = NULL;
    uint32_t version = 0;
    struct hf_status status;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_text(op, body, "name", &name));
    HF_TRY(take_plan(op, body, &plan));
    HF_TRY(take_bytes(op, body, "material", &material));
    plan.material = material;
    status = take_attributes(op, body, &attributes);
    plan.attributes = attributes.items;
    plan.attribute_count = attributes.count;
    if (status.code == HF_OK) {
        status = hf_service_key_create(service_of(exchange), op, ring_of(request), name, &plan,
                                       &version, NULL);
    }
    free(attributes.items);
    HF_TRY(status);
    put_new_version(reply, 201, version, op);
    return HF_SUCCESS;
}

/* --- changes --- */

HANDLER(key_rotate)
{
    static const char *const members[] = { "material", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) material = NULL;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_bytes(op, body, "material", &material));
    HF_TRY(hf_service_key_rotate(service_of(exchange), op, ring_of(request), key_of(request),
                                 material, &version, NULL));
    put_new_version(reply, 200, version, op);
    return HF_SUCCESS;
}

HANDLER(key_primary)
{
    static const char *const members[] = { "version", NULL };
    HF_AUTO(json) body = NULL;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_one_version(op, body, &version));
    HF_TRY(hf_service_key_set_primary(service_of(exchange), op, ring_of(request), key_of(request),
                                      version));
    put_version(reply, 200, version);
    return HF_SUCCESS;
}

HANDLER(key_rewrap)
{
    struct hf_json_writer writer;
    uint32_t moved = 0;

    HF_TRY(
        hf_service_key_rewrap(service_of(exchange), op, ring_of(request), key_of(request), &moved));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "moved", moved);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(key_state)
{
    static const char *const members[] = { "version", "event", "reason", NULL };
    HF_AUTO(json) body = NULL;
    enum hf_key_event event;
    const char *event_name = NULL;
    const char *reason = NULL;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_one_version(op, body, &version));
    HF_TRY(hf_json_text(op, body, "event", &event_name));
    HF_TRY(hf_json_text_or(op, body, "reason", "", &reason));
    HF_TRY(hf_key_event_parse(op, event_name, &event));
    HF_TRY(hf_service_key_state(service_of(exchange), op, ring_of(request), key_of(request),
                                version, event, reason));
    return put_done(reply);
}

HANDLER(key_delete)
{
    HF_AUTO(buf) reason = hf_buf_new();
    bool given = false;

    HF_TRY(take_query(op, request, "reason", reason, &given));
    HF_TRY(hf_service_key_delete(service_of(exchange), op, ring_of(request), key_of(request),
                                 hf_buf_text(reason)));
    return put_done(reply);
}

/* A whole key, or with "version" the destruction that one version waits for. */
HANDLER(key_recover)
{
    static const char *const members[] = { "version", NULL };
    struct hf_service *service = service_of(exchange);
    HF_AUTO(json) body = NULL;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_version(op, body, &version));
    if (version == HF_LATEST) {
        HF_TRY(hf_service_key_recover(service, op, ring_of(request), key_of(request)));
    } else {
        HF_TRY(hf_service_key_keep(service, op, ring_of(request), key_of(request), version));
    }
    return put_done(reply);
}

HANDLER(key_destroy)
{
    static const char *const members[] = { "version", "force", "reason", NULL };
    HF_AUTO(json) body = NULL;
    const char *reason = NULL;
    uint32_t version = 0;
    bool force = false;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_json_bool_or(op, body, "force", false, &force));
    HF_TRY(hf_json_text_or(op, body, "reason", "", &reason));
    HF_TRY(hf_service_key_destroy(service_of(exchange), op, ring_of(request), key_of(request),
                                  version, force, reason));
    return put_done(reply);
}

HANDLER(key_export)
{
    static const char *const members[] = { "version", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) material = NULL;
    struct hf_json_writer writer;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_service_key_export(service_of(exchange), op, ring_of(request), key_of(request),
                                 version, &material, &version));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "version", version);
    put_secret(&writer, "material", material);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(key_usage)
{
    struct hf_json_writer writer;
    struct hf_usage usage = { 0 };
    uint64_t version = 0;

    HF_TRY(hf_parse_u64(op, hf_request_segment(request, "version"), HF_LATEST - 1, &version));
    HF_TRY(hf_service_key_usage(service_of(exchange), op, ring_of(request), key_of(request),
                                (uint32_t)version, &usage));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "wraps", usage.wraps);
    hf_json_put_u64(&writer, "unwraps", usage.unwraps);
    put_date_if(&writer, "first_use", usage.first_ms);
    put_date_if(&writer, "last_use", usage.last_ms);
    hf_json_open_array(&writer, "callers");
    for (size_t i = 0; i < usage.caller_count; i++) {
        hf_json_open_object(&writer, NULL);
        hf_json_put_text(&writer, "caller", usage.callers[i].caller);
        hf_json_put_u64(&writer, "count", usage.callers[i].count);
        put_date_if(&writer, "last_use", usage.callers[i].last_ms);
        hf_json_close_object(&writer);
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* The query "version", HF_LATEST when absent. */
static struct hf_status take_version_query(struct hf_op *op, const struct hf_request *request,
                                           uint32_t *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    uint64_t number = HF_LATEST;
    bool given = false;

    HF_TRY(take_query(op, request, "version", text, &given));
    if (given) {
        HF_TRY(hf_parse_u64(op, hf_buf_text(text), HF_LATEST - 1, &number));
    }
    *out = (uint32_t)number;
    return HF_SUCCESS;
}

HANDLER(key_public)
{
    HF_AUTO(buf) spki = hf_buf_new();
    struct hf_json_writer writer;
    uint32_t version = HF_LATEST;

    HF_TRY(take_version_query(op, request, &version));
    HF_TRY(hf_service_key_public(service_of(exchange), op, ring_of(request), key_of(request),
                                 version, spki, &version));
    start_object(reply, &writer);
    hf_json_put_u64(&writer, "version", version);
    hf_json_put_base64(&writer, "public", hf_buf_bytes(spki));
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(key_revocation)
{
    HF_AUTO(buf) json = hf_buf_new();
    struct hf_revocation revocation;
    uint32_t version = HF_LATEST;

    HF_TRY(take_version_query(op, request, &version));
    HF_TRY(hf_service_key_revocation(service_of(exchange), op, ring_of(request), key_of(request),
                                     version, &revocation));
    hf_revocation_write(&revocation, json);
    return answer_json(reply, json);
}
