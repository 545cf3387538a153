/* Data keys one at a time: generate, decrypt, re-encrypt. The hot path of HDFS. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/scan.h"
#include "base/text.h"
#include "hadoop/hadoop_internal.h"

#define MAX_GENERATE 10000
/* More are made on a worker: others of the loop would wait for milliseconds. */
#define MAX_INLINE_GENERATE 1000

static struct hf_status eek_operation(struct hf_op *op, const struct hf_request *request,
                                      struct hf_buf *out)
{
    struct hf_status status = hf_request_parameter(op, request, "eek_op", false, 0, out);

    if (status.code == HF_NOT_FOUND) {
        return illegal_argument(op, "Parameter 'eek_op' cannot be null");
    }
    return status;
}

static struct hf_status wrong_operation(struct hf_op *op, const char *got, const char *wanted)
{
    return illegal_argument(op, "Wrong eek_op value '%s', it must be %s", got, wanted);
}

static struct hf_status take_count(struct hf_op *op, const struct hf_request *request, size_t *out)
{
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_status status = hf_request_parameter(op, request, "num_keys", false, 0, text);
    uint64_t count = 1;

    if (status.code == HF_OK) {
        status = hf_parse_u64(op, hf_buf_text(text), MAX_GENERATE, &count);
        if (status.code != HF_OK || count == 0) {
            return illegal_argument(op, "Parameter 'num_keys' must be a number from 1 to %d",
                                    MAX_GENERATE);
        }
    } else if (status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    *out = (size_t)count;
    return HF_SUCCESS;
}

static struct hf_status generate(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply,
                                 struct hf_buf *name)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(buf) operation = hf_buf_new();
    HF_AUTO(buf) edeks = hf_buf_new();
    struct hf_edek *edek;
    size_t count = 0;

    HF_TRY(take_name(op, exchange, request, "name", name));
    HF_TRY(eek_operation(op, request, operation));
    if (!hf_bytes_equal_text(hf_buf_bytes(operation), "generate")) {
        return wrong_operation(op, hf_buf_text(operation), "generate");
    }
    HF_TRY(take_count(op, request, &count));
    if (count > MAX_INLINE_GENERATE && !op->may_wait) {
        return hf_fail(op, HF_LATER, "this is too much work for a loop");
    }
    edek = (struct hf_edek *)hf_buf_reserve(edeks, count * sizeof *edek);
    HF_TRY(hf_service_hadoop_generate(hadoop->settings.service, op, hadoop->keyring,
                                      hf_buf_text(name), count, edek));
    start_json(reply, 200);
    hf_buf_add_text(&reply->body, "[");
    add_edeks(&reply->body, hf_buf_text(name), edek, count);
    hf_buf_add_text(&reply->body, "]");
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_generate(struct hf_op *op, struct hf_exchange *exchange,
                                    const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = generate(op, exchange, request, reply, name);
    struct call call = { "GENERATE_EEK", hf_buf_text(name) };

    if (status.code == HF_NOT_FOUND) {
        HF_AUTO(buf) text = hf_buf_new();

        /* Any failure inside generate is a 500 in the real server (reference, 1.4). */
        hf_buf_add_format(text, "No KeyVersion exists for key '%s'", hf_buf_text(name));
        put_exception(reply, 500, CLASS_IO, hf_buf_text(text));
        return HF_SUCCESS;
    }
    return finish(op, &call, reply, status);
}

/* --- one EDEK in a body --- */

struct hf_status take_base64(struct hf_op *op, const struct hf_scan_value *value, const char *what,
                             uint8_t *out, size_t max, size_t *out_len)
{
    uint8_t decoded[96];

    if (!value->present || value->kind == HF_SCAN_NULL) {
        return illegal_argument(op, "Parameter '%s' cannot be null", what);
    }
    if (value->kind != HF_SCAN_STRING) {
        return illegal_argument(op, "Parameter '%s' must be a string", what);
    }
    if (value->escaped || hf_base64_max(value->raw.len) > sizeof decoded) {
        return illegal_argument(op, "Parameter '%s' is not base64 of at most %zu bytes", what, max);
    }
    *out_len = hf_base64_decode_lenient(value->raw, decoded);
    if (*out_len > max) {
        return illegal_argument(op, "Parameter '%s' has %zu bytes, at most %zu are possible", what,
                                *out_len, max);
    }
    memcpy(out, decoded, *out_len);
    return HF_SUCCESS;
}

struct hf_status take_iv(struct hf_op *op, const struct hf_scan_value *value, struct hf_edek *edek)
{
    size_t len = 0;

    HF_TRY(take_base64(op, value, "iv", edek->iv, sizeof edek->iv, &len));
    if (len != sizeof edek->iv) {
        return illegal_argument(op, "Parameter 'iv' has %zu bytes, it must have %zu", len,
                                sizeof edek->iv);
    }
    return HF_SUCCESS;
}

struct hf_status take_text(struct hf_op *op, const struct hf_scan_value *value, const char *what,
                           struct hf_buf *out)
{
    if (!value->present || value->kind == HF_SCAN_NULL) {
        return illegal_argument(op, "Parameter '%s' cannot be null", what);
    }
    if (value->kind != HF_SCAN_STRING) {
        return illegal_argument(op, "Parameter '%s' must be a string", what);
    }
    return hf_scan_text(op, value, out);
}

enum { BODY_NAME, BODY_IV, BODY_MATERIAL, BODY_COUNT };

struct eek_call {
    struct hf_buf *version_name;
    struct hf_buf *name; /* the key the body claims */
    struct hf_edek edek;
};

static struct hf_status not_found(struct hf_op *op, const struct eek_call *eek)
{
    return illegal_argument(op, "'%s' not found", hf_buf_text(eek->version_name));
}

/* Checks in the order of the real server: iv and material, then whose version it is. */
static struct hf_status read_eek(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct eek_call *eek)
{
    struct hf_scan_member members[BODY_COUNT] = { { .name = "name" },
                                                  { .name = "iv" },
                                                  { .name = "material" } };
    HF_AUTO(buf) key = hf_buf_new();

    HF_TRY(take_name(op, exchange, request, "version", eek->version_name));
    HF_TRY(hf_scan_object(op, hf_request_body(request), members, BODY_COUNT));
    HF_TRY(take_text(op, &members[BODY_NAME].value, "name", eek->name));
    HF_TRY(take_iv(op, &members[BODY_IV].value, &eek->edek));
    HF_TRY(take_base64(op, &members[BODY_MATERIAL].value, "material", eek->edek.wrapped,
                       sizeof eek->edek.wrapped, &eek->edek.len));
    if (!split_version_name(hf_buf_text(eek->version_name), key, &eek->edek.version)) {
        return not_found(op, eek);
    }
    if (!hf_bytes_equal(hf_buf_bytes(key), hf_buf_bytes(eek->name))) {
        return illegal_argument(op, "KeyVersion '%s' does not belong to the key '%s'",
                                hf_buf_text(eek->version_name), hf_buf_text(eek->name));
    }
    return HF_SUCCESS;
}

static struct hf_status decrypt(struct hf_op *op, struct hf_exchange *exchange,
                                struct hf_reply *reply, struct eek_call *eek)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(secret) dek = NULL;

    HF_TRY(hf_service_hadoop_decrypt(hadoop->settings.service, op, hadoop->keyring,
                                     hf_buf_text(eek->name), &eek->edek, &dek));
    start_json(reply, 200);
    hf_buf_add_text(&reply->body, "{\"name\":");
    hf_json_add_quoted(&reply->body, hf_buf_bytes(eek->name));
    hf_buf_add_text(&reply->body, ",\"versionName\":\"EK\",\"material\":\"");
    hf_base64url_add(&reply->body, hf_secret_bytes(dek));
    hf_buf_add_text(&reply->body, "\"}");
    return HF_SUCCESS;
}

static struct hf_status reencrypt(struct hf_op *op, struct hf_exchange *exchange,
                                  struct hf_reply *reply, struct eek_call *eek)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);

    HF_TRY(hf_service_hadoop_reencrypt(hadoop->settings.service, op, hadoop->keyring,
                                       hf_buf_text(eek->name), &eek->edek, 1));
    start_json(reply, 200);
    add_edeks(&reply->body, hf_buf_text(eek->name), &eek->edek, 1);
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_eek(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) operation = hf_buf_new();
    HF_AUTO(buf) version_name = hf_buf_new();
    HF_AUTO(buf) name = hf_buf_new();
    struct eek_call eek = { .version_name = version_name, .name = name };
    struct call call = { "DECRYPT_EEK", NULL };
    struct hf_status status = eek_operation(op, request, operation);
    bool is_decrypt = hf_bytes_equal_text(hf_buf_bytes(operation), "decrypt");

    if (status.code == HF_OK && !is_decrypt) {
        call.operation = "REENCRYPT_EEK";
        if (!hf_bytes_equal_text(hf_buf_bytes(operation), "reencrypt")) {
            status = wrong_operation(op, hf_buf_text(operation), "decrypt or reencrypt");
        }
    }
    if (status.code == HF_OK) {
        status = read_eek(op, exchange, request, &eek);
    }
    if (status.code == HF_OK) {
        status =
            is_decrypt ? decrypt(op, exchange, reply, &eek) : reencrypt(op, exchange, reply, &eek);
        if (status.code == HF_NOT_FOUND) {
            status = not_found(op, &eek);
        }
    }
    call.key = hf_buf_text(name);
    return finish(op, &call, reply, status);
}
