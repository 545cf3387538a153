/* Create, roll, delete, invalidate, and Key Trustee's undelete and purge. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "hadoop/hadoop_internal.h"

#define ACL_NAME "key.acl.name"

static void repeat_ended(void *context, bool written)
{
    hf_service_repeat_end(context, written);
}

/*
 * Hadoop's client repeats POST without saying so; what was asked decides whether this is the same
 * request again (reference, 5.1).
 */
static struct hf_status begin_repeatable(struct hf_op *op, struct hf_exchange *exchange,
                                         const struct hf_request *request, const char *name)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    struct hf_bytes asked[] = {
        hf_bytes_of_text(hf_method_name(hf_request_method(request))),
        hf_request_path(request),
        hf_request_body(request),
    };
    struct hf_repeat *repeat = NULL;

    HF_TRY(hf_service_repeat_begin(hadoop->settings.service, op, hadoop->keyring, name, asked,
                                   HF_COUNT(asked), hadoop->settings.retry_window_ms, &repeat));
    hf_exchange_on_end(exchange, repeat_ended, repeat);
    return HF_SUCCESS;
}

static bool algorithm_of(uint64_t bits, enum hf_algorithm *out)
{
    switch (bits) {
    case 128:
        *out = HF_ALG_AES_128;
        return true;
    case 192:
        *out = HF_ALG_AES_192;
        return true;
    case 256:
        *out = HF_ALG_AES_256;
        return true;
    default:
        return false;
    }
}

struct create_call {
    const char *name;
    uint64_t bits;
    struct hf_key_plan plan;
    struct hf_attribute *attributes; /* plan.attributes, ours */
    size_t attribute_room;
    bool has_acl_name;
    bool bad_attribute;
};

static void take_attribute(void *context, const char *name, const struct hf_json *value)
{
    struct create_call *create = context;
    const char *text = hf_json_string(value);

    if (text == NULL) {
        create->bad_attribute = true;
        return;
    }
    create->attributes[create->plan.attribute_count++] = (struct hf_attribute){ name, text };
    create->has_acl_name = create->has_acl_name || strcmp(name, ACL_NAME) == 0;
}

/* The real server adds key.acl.name, and clients see it in the metadata (reference, 1.3). */
static struct hf_status take_attributes(struct hf_op *op, const struct hf_json *body,
                                        struct create_call *create)
{
    const struct hf_json *attributes = NULL;
    size_t count = 0;

    HF_TRY(hf_json_object_or(op, body, "attributes", &attributes));
    if (attributes != NULL) {
        count = hf_json_count(attributes);
    }
    create->attributes = hf_alloc_array(count + 1, sizeof *create->attributes);
    if (attributes != NULL) {
        hf_json_each(attributes, take_attribute, create);
    }
    if (create->bad_attribute) {
        return illegal_argument(op, "The values of 'attributes' must be strings");
    }
    if (!create->has_acl_name) {
        create->attributes[create->plan.attribute_count++] =
            (struct hf_attribute){ ACL_NAME, create->name };
    }
    create->plan.attributes = create->attributes;
    return HF_SUCCESS;
}

/* The body as the real server takes it: an object, or nothing is done. */
static struct hf_status take_object(struct hf_op *op, const struct hf_request *request,
                                    struct hf_json **out)
{
    HF_AUTO(json) body = NULL;

    HF_TRY(hf_json_parse(op, hf_request_body(request), &body));
    if (!hf_json_is_object(body)) {
        return illegal_argument(op, "The body must be a JSON object");
    }
    *out = HF_TAKE(body);
    return HF_SUCCESS;
}

static struct hf_status take_material(struct hf_op *op, const struct hf_json *body,
                                      struct hf_secret **out)
{
    const char *text = NULL;

    HF_TRY(hf_json_text_or(op, body, "material", NULL, &text));
    if (text == NULL) {
        return HF_SUCCESS;
    }
    return hf_json_secret(op, body, "material", out);
}

static struct hf_status read_create(struct hf_op *op, struct hf_hadoop *hadoop,
                                    const struct hf_json *body, struct create_call *create,
                                    struct hf_secret **out_material)
{
    HF_TRY(hf_json_text_or(op, body, "name", NULL, &create->name));
    if (create->name == NULL) {
        return illegal_argument(op, "Parameter 'name' cannot be null");
    }
    if (create->name[0] == '\0') {
        return illegal_argument(op, "Parameter 'name' cannot be empty");
    }
    HF_TRY(hf_json_text_or(op, body, "cipher", NULL, &create->plan.cipher));
    if (create->plan.cipher != NULL && strncmp(create->plan.cipher, "AES", 3) != 0) {
        return hf_fail(op, HF_UNSUPPORTED, "Cipher '%s' is not served: use AES/CTR/NoPadding",
                       create->plan.cipher);
    }
    HF_TRY(hf_json_u64_or(op, body, "length", 0, &create->bits));
    create->bits = create->bits == 0 ? hadoop->settings.default_bits : create->bits;
    HF_TRY(hf_json_text_or(op, body, "description", NULL, &create->plan.description));
    HF_TRY(take_attributes(op, body, create));
    HF_TRY(take_material(op, body, out_material));
    create->plan.material = *out_material;
    create->plan.first_version = 0;
    create->plan.exportable = hadoop->settings.export_by_policy;
    return HF_SUCCESS;
}

static void add_location(struct hf_hadoop *hadoop, const struct hf_request *request,
                         const char *name, struct hf_reply *reply)
{
    HF_AUTO(buf) location = hf_buf_new();

    hf_buf_add_text(location, hadoop->settings.secure ? "https://" : "http://");
    hf_buf_add_bytes(location, hf_request_header(request, "Host"));
    hf_buf_add_text(location, "/kms/v1/key/");
    hf_percent_add(location, hf_bytes_of_text(name));
    hf_reply_header(reply, "Location", hf_buf_text(location));
}

/* Sizes have rows of their own among Hadoop's errors; true when one of them is the answer. */
static bool refuse_sizes(struct create_call *create, const struct hf_secret *material,
                         struct hf_reply *reply)
{
    HF_AUTO(buf) text = hf_buf_new();

    if (!algorithm_of(create->bits, &create->plan.algorithm)) {
        put_exception(reply, 400, CLASS_PARAMETER,
                      "Wrong keysize: must be equal to 128, 192 or 256");
        return true;
    }
    if (material != NULL && hf_secret_len(material) * 8 != create->bits) {
        hf_buf_add_format(text, "Wrong key length. Required %u, but got %zu",
                          (unsigned)create->bits, hf_secret_len(material) * 8);
        put_exception(reply, 500, CLASS_IO, hf_buf_text(text));
        return true;
    }
    return false;
}

static struct hf_status create_key(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply,
                                   const struct hf_json *body, struct create_call *create)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(secret) given = NULL;
    HF_AUTO(secret) material = NULL;
    uint32_t version = 0;

    HF_TRY(read_create(op, hadoop, body, create, &given));
    if (refuse_sizes(create, given, reply)) {
        return HF_SUCCESS;
    }
    HF_TRY(begin_repeatable(op, exchange, request, create->name));
    HF_TRY(hf_service_key_create(hadoop->settings.service, op, hadoop->keyring, create->name,
                                 &create->plan, &version, &material));
    start_json(reply, 201);
    add_location(hadoop, request, create->name, reply);
    add_key_version(&reply->body, create->name, version, material);
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_create(struct hf_op *op, struct hf_exchange *exchange,
                                  const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(json) body = NULL;
    struct create_call create = { 0 };
    struct call call = { "CREATE_KEY", NULL };
    struct hf_status status = take_object(op, request, &body);

    if (status.code == HF_OK) {
        status = create_key(op, exchange, request, reply, body, &create);
        call.key = create.name;
    }
    free(create.attributes);
    if (status.code == HF_EXISTS) {
        status = hf_fail(op, HF_EXISTS, "Key %s already exists in holdfast://%s", call.key,
                         hadoop_of(exchange)->keyring);
    }
    return finish(op, &call, reply, status);
}

static struct hf_status roll(struct hf_op *op, struct hf_exchange *exchange,
                             const struct hf_request *request, struct hf_reply *reply,
                             struct hf_buf *name)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) given = NULL;
    HF_AUTO(secret) material = NULL;
    struct hf_status status;
    uint32_t version = 0;

    HF_TRY(take_name(op, exchange, request, "name", name));
    HF_TRY(take_object(op, request, &body));
    HF_TRY(take_material(op, body, &given));
    HF_TRY(begin_repeatable(op, exchange, request, hf_buf_text(name)));
    status = hf_service_key_rotate(hadoop->settings.service, op, hadoop->keyring, hf_buf_text(name),
                                   given, &version, &material);
    if (status.code == HF_INVALID && given != NULL) {
        /* The name was good, so it is the material: which length it must have is the key's. */
        put_exception(reply, 500, CLASS_IO, op->text);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    start_json(reply, 200);
    add_key_version(&reply->body, hf_buf_text(name), version, material);
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_roll(struct hf_op *op, struct hf_exchange *exchange,
                                const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = roll(op, exchange, request, reply, name);
    struct call call = { "ROLL_NEW_VERSION", hf_buf_text(name) };

    if (status.code == HF_NOT_FOUND) {
        status = hf_fail(op, HF_NOT_FOUND, "Key %s not found", call.key);
    }
    return finish(op, &call, reply, status);
}

static struct hf_status delete_key(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_buf *name)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);

    HF_TRY(take_name(op, exchange, request, "name", name));
    return hf_service_key_delete(hadoop->settings.service, op, hadoop->keyring, hf_buf_text(name),
                                 "deleted by a Hadoop client");
}

struct hf_status hf_hadoop_delete(struct hf_op *op, struct hf_exchange *exchange,
                                  const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = delete_key(op, exchange, request, name);
    struct call call = { "DELETE_KEY", hf_buf_text(name) };

    if (status.code == HF_OK) {
        put_empty(reply);
    } else if (status.code == HF_NOT_FOUND) {
        status = hf_fail(op, HF_NOT_FOUND, "Key %s does not exist in holdfast://%s", call.key,
                         hadoop_of(exchange)->keyring);
    }
    return finish(op, &call, reply, status);
}

/* Our caches never lag behind the store, so there is nothing to drop: only the right is checked. */
struct hf_status hf_hadoop_invalidate(struct hf_op *op, struct hf_exchange *exchange,
                                      const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = take_name(op, exchange, request, "name", name);
    struct call call = { "INVALIDATE_CACHE", hf_buf_text(name) };

    if (status.code == HF_OK) {
        status =
            hf_service_hadoop_invalidate(hadoop->settings.service, op, hadoop->keyring, call.key);
    }
    if (status.code == HF_OK) {
        put_empty(reply);
    }
    return finish(op, &call, reply, status);
}

/* trusteeOp comes in the query, or as a form body from the Java client. */
static struct hf_status trustee_operation(struct hf_op *op, const struct hf_request *request,
                                          struct hf_buf *out)
{
    static const char prefix[] = "trusteeOp=";
    struct hf_bytes body = hf_request_body(request);
    struct hf_status status = hf_request_parameter(op, request, "trusteeOp", false, 0, out);

    if (status.code == HF_NOT_FOUND && body.len > sizeof prefix - 1 &&
        memcmp(body.data, prefix, sizeof prefix - 1) == 0) {
        hf_op_clear(op);
        return hf_percent_decode(
            op, hf_bytes_of(body.data + sizeof prefix - 1, body.len - (sizeof prefix - 1)), true,
            out);
    }
    if (status.code == HF_NOT_FOUND) {
        return illegal_argument(op, "Parameter 'trusteeOp' cannot be null");
    }
    return status;
}

struct hf_status hf_hadoop_trustee(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(buf) name = hf_buf_new();
    HF_AUTO(buf) operation = hf_buf_new();
    struct hf_status status = take_name(op, exchange, request, "name", name);
    struct call call = { "UNDELETE_KEY", hf_buf_text(name) };

    if (status.code == HF_OK) {
        status = trustee_operation(op, request, operation);
    }
    if (status.code == HF_OK) {
        if (hf_bytes_equal_text(hf_buf_bytes(operation), "undelete")) {
            status =
                hf_service_key_recover(hadoop->settings.service, op, hadoop->keyring, call.key);
        } else if (hf_bytes_equal_text(hf_buf_bytes(operation), "purge")) {
            call.operation = "PURGE_KEY";
            status = hf_service_key_destroy(hadoop->settings.service, op, hadoop->keyring, call.key,
                                            HF_LATEST, false, "purged by a Hadoop client");
        } else {
            status =
                illegal_argument(op, "Wrong trusteeOp value '%s', it must be undelete or purge",
                                 hf_buf_text(operation));
        }
    }
    if (status.code == HF_OK) {
        put_empty(reply);
    } else if (status.code == HF_NOT_FOUND) {
        status = hf_fail(op, HF_NOT_FOUND, "Key %s does not exist in holdfast://%s", call.key,
                         hadoop->keyring);
    }
    return finish(op, &call, reply, status);
}
