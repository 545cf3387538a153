/* How the admin door reads bodies and writes answers and errors. */
#include <string.h>

#include "admin/admin_internal.h"
#include "base/text.h"

void start_object(struct hf_reply *reply, struct hf_json_writer *writer)
{
    reply->status = 200;
    reply->content_type = "application/json";
    hf_json_writer_init(writer, &reply->body);
    hf_json_open_object(writer, NULL);
}

/* Byte for byte: it may be signed. */
struct hf_status answer_json(struct hf_reply *reply, const struct hf_buf *json)
{
    reply->status = 200;
    reply->content_type = "application/json";
    hf_buf_add_bytes(&reply->body, hf_buf_bytes(json));
    return HF_SUCCESS;
}

struct hf_status put_done(struct hf_reply *reply)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

struct hf_status take_body(struct hf_op *op, const struct hf_request *request,
                           const char *const *members, struct hf_json **out)
{
    struct hf_bytes body = hf_request_body(request);
    HF_AUTO(json) json = NULL;

    HF_TRY(hf_json_parse(op, body.len > 0 ? body : hf_bytes_of_text("{}"), &json));
    if (!hf_json_is_object(json)) {
        return hf_fail(op, HF_INVALID, "the body must be a JSON object");
    }
    HF_TRY(hf_json_only(op, json, members));
    *out = HF_TAKE(json);
    return HF_SUCCESS;
}

struct hf_status take_version(struct hf_op *op, const struct hf_json *body, uint32_t *out)
{
    uint64_t version = UINT64_MAX;

    HF_TRY(hf_json_u64_or(op, body, "version", UINT64_MAX, &version));
    if (version >= HF_LATEST && version != UINT64_MAX) {
        return hf_fail(op, HF_INVALID, "\"version\" is too large");
    }
    *out = version == UINT64_MAX ? HF_LATEST : (uint32_t)version;
    return HF_SUCCESS;
}

struct hf_status take_one_version(struct hf_op *op, const struct hf_json *body, uint32_t *out)
{
    HF_TRY(take_version(op, body, out));
    if (*out == HF_LATEST) {
        return hf_fail(op, HF_INVALID, "\"version\" is missing: say which version");
    }
    return HF_SUCCESS;
}

/* Hadoop's leniency ends at its own door: what is skipped here would be another key tomorrow. */
struct hf_status take_needed_bytes(struct hf_op *op, const struct hf_json *body, const char *name,
                                   struct hf_secret **out)
{
    HF_AUTO(secret) secret = NULL;
    struct hf_bytes text;
    const char *base64 = NULL;
    size_t len = 0;

    HF_TRY(hf_json_text(op, body, name, &base64));
    text = hf_bytes_of_text(base64);
    HF_TRY(hf_secret_new(op, hf_base64_max(text.len), &secret));
    if (!hf_base64_decode_strict(text, hf_secret_data(secret), &len)) {
        return hf_fail(op, HF_INVALID, "the member \"%s\" is not base64", name);
    }
    hf_secret_truncate(secret, len);
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}

struct hf_status take_bytes(struct hf_op *op, const struct hf_json *body, const char *name,
                            struct hf_secret **out)
{
    return hf_json_has(body, name) ? take_needed_bytes(op, body, name, out) : HF_SUCCESS;
}

struct hf_bytes bytes_or_none(const struct hf_secret *secret)
{
    return secret != NULL ? hf_secret_bytes(secret) : HF_BYTES_NONE;
}

struct hf_status take_query(struct hf_op *op, const struct hf_request *request, const char *name,
                            struct hf_buf *out, bool *out_given)
{
    struct hf_status status = hf_request_parameter(op, request, name, false, 0, out);

    *out_given = status.code == HF_OK;
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

const char *ring_of(const struct hf_request *request)
{
    return hf_request_segment(request, "keyring");
}

const char *key_of(const struct hf_request *request)
{
    return hf_request_segment(request, "key");
}

void put_secret(struct hf_json_writer *writer, const char *name, const struct hf_secret *secret)
{
    hf_json_put_base64(writer, name, hf_secret_bytes(secret));
}

static int status_of(enum hf_code code)
{
    switch (code) {
    case HF_OK:
        return 200;
    case HF_INVALID:
        return 400;
    case HF_UNAUTHENTICATED:
        return 401;
    case HF_DENIED:
        return 403;
    case HF_NOT_FOUND:
        return 404;
    case HF_EXISTS:
    case HF_CONFLICT:
    case HF_WRONG_STATE:
        return 409;
    case HF_TOO_LARGE:
        return 413;
    case HF_LIMITED:
        return 429;
    case HF_UNSUPPORTED:
        return 501;
    case HF_NO_SPACE:
        return 507;
    case HF_UNAVAILABLE:
    case HF_IN_DOUBT:
    case HF_LATER:
        return 503;
    case HF_CORRUPT:
    case HF_INTERNAL:
        return 500;
    }
    return 500;
}

/* {"error":{"code","message","cause"?}}; the message says what was wrong and what to do. */
void put_error(struct hf_reply *reply, int status, const char *code, const char *message,
               enum hf_cause cause)
{
    struct hf_json_writer writer;

    reply->status = status;
    reply->content_type = "application/json";
    hf_buf_clear(&reply->body);
    hf_json_writer_init(&writer, &reply->body);
    hf_json_open_object(&writer, NULL);
    hf_json_open_object(&writer, "error");
    hf_json_put_text(&writer, "code", code);
    hf_json_put_text(&writer, "message", message);
    if (cause != HF_CAUSE_NONE) {
        hf_json_put_text(&writer, "cause", hf_cause_name(cause));
    }
    hf_json_close_object(&writer);
    hf_json_close_object(&writer);
}

void hf_admin_fail(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                   const struct hf_request *request, struct hf_reply *reply)
{
    const struct hf_admin *admin = hf_exchange_context(exchange);
    bool own_words = op->text[0] != '\0' && status.code != HF_INTERNAL;
    HF_AUTO(buf) allowed = hf_buf_new();
    int number = status_of(status.code);

    if (status.code == HF_UNSUPPORTED &&
        hf_route_has_other_methods(admin->door.routes, request, allowed)) {
        number = 405;
        hf_reply_header(reply, "Allow", hf_buf_text(allowed));
    }
    put_error(reply, number, hf_code_name(status.code),
              own_words ? op->text : hf_code_sentence(status.code), op->cause);
}
