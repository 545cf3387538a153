/* Names, version names and JSON as Hadoop writes them (reference/hadoop-kms.md, 1.1 and 1.3). */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "hadoop/hadoop_internal.h"

/* Java drops an idle connection after 5 s unless the server names a longer time (reference, 5.1).
 */
#define KEEP_ALIVE_S 60

void start_json(struct hf_reply *reply, int status)
{
    reply->status = status;
    reply->keep_alive_s = KEEP_ALIVE_S;
    reply->content_type = "application/json;charset=utf-8";
}

void put_empty(struct hf_reply *reply)
{
    reply->status = 200;
    reply->keep_alive_s = KEEP_ALIVE_S;
}

void put_text(struct hf_reply *reply, const char *text)
{
    start_json(reply, 200);
    hf_buf_add_text(&reply->body, text);
}

/*
 * Java form-encodes names, so its '+' is a space; others send '+' for itself. The literal reading
 * wins when such a key exists (reference, 1.1).
 */
struct hf_status take_name(struct hf_op *op, struct hf_exchange *exchange,
                           const struct hf_request *request, const char *segment,
                           struct hf_buf *out)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    struct hf_bytes raw = hf_request_raw_segment(request, segment);

    if (raw.len == 0) {
        return illegal_argument(op, "Parameter '%s' cannot be empty", segment);
    }
    HF_TRY(hf_percent_decode(op, raw, false, out));
    if (memchr(raw.data, '+', raw.len) != NULL &&
        !hf_service_key_exists(hadoop->settings.service, hadoop->keyring, hf_buf_text(out))) {
        hf_buf_clear(out);
        HF_TRY(hf_percent_decode(op, raw, true, out));
    }
    if (!hf_text_is_utf8(hf_buf_bytes(out))) {
        return illegal_argument(op, "Parameter '%s' is not valid UTF-8", segment);
    }
    return HF_SUCCESS;
}

bool split_version_name(const char *version_name, struct hf_buf *out_key, uint32_t *out_version)
{
    const char *at = strrchr(version_name, '@');
    unsigned long number;
    char *end = NULL;

    if (at == NULL || at == version_name || at[1] < '0' || at[1] > '9' || strlen(at + 1) > 9 ||
        (at[1] == '0' && at[2] != '\0')) {
        return false;
    }
    number = strtoul(at + 1, &end, 10);
    if (*end != '\0') {
        return false;
    }
    hf_buf_add(out_key, version_name, (size_t)(at - version_name));
    *out_version = (uint32_t)number;
    return true;
}

static void add_version_name(struct hf_buf *out, const char *name, uint32_t version)
{
    /* The quoted name, opened again before its last quote. */
    hf_json_add_quoted(out, hf_bytes_of_text(name));
    out->len--;
    hf_buf_add(out, "@", 1);
    hf_decimal_add(out, version);
    hf_buf_add(out, "\"", 1);
}

void add_key_version(struct hf_buf *out, const char *name, uint32_t version,
                     const struct hf_secret *material)
{
    hf_buf_add_text(out, "{\"name\":");
    hf_json_add_quoted(out, hf_bytes_of_text(name));
    hf_buf_add_text(out, ",\"versionName\":");
    add_version_name(out, name, version);
    hf_buf_add_text(out, ",\"material\":");
    if (material != NULL) {
        hf_buf_add_text(out, "\"");
        hf_base64url_add(out, hf_secret_bytes(material));
        hf_buf_add_text(out, "\"}");
    } else {
        hf_buf_add_text(out, "null}");
    }
}

static void add_before_iv(struct hf_buf *out, const char *name, uint32_t version)
{
    hf_buf_add_text(out, "{\"versionName\":");
    add_version_name(out, name, version);
    hf_buf_add_text(out, ",\"iv\":\"");
}

static void add_before_material(struct hf_buf *out, const char *name)
{
    hf_buf_add_text(out, "\",\"encryptedKeyVersion\":{\"name\":");
    hf_json_add_quoted(out, hf_bytes_of_text(name));
    hf_buf_add_text(out, ",\"versionName\":\"EEK\",\"material\":\"");
}

static void add_edek(struct hf_buf *out, const char *name, const struct hf_edek *edek)
{
    add_before_iv(out, name, edek->version);
    hf_base64url_add(out, hf_bytes_of(edek->iv, sizeof edek->iv));
    add_before_material(out, name);
    hf_base64url_add(out, hf_bytes_of(edek->wrapped, edek->len));
    hf_buf_add(out, "\"}}", 3);
}

/* What is the same in all of them is written once and copied. */
static void add_many(struct hf_buf *out, const char *name, const struct hf_edek *edeks,
                     size_t count)
{
    HF_AUTO(buf) start = hf_buf_new();
    HF_AUTO(buf) middle = hf_buf_new();

    add_before_material(middle, name);
    for (size_t i = 0; i < count; i++) {
        const struct hf_edek *edek = &edeks[i];

        if (i == 0 || edek->version != edeks[i - 1].version) {
            hf_buf_clear(start);
            add_before_iv(start, name, edek->version);
        }
        hf_buf_add(out, ",", i > 0);
        hf_buf_add_bytes(out, hf_buf_bytes(start));
        hf_base64url_add(out, hf_bytes_of(edek->iv, sizeof edek->iv));
        hf_buf_add_bytes(out, hf_buf_bytes(middle));
        hf_base64url_add(out, hf_bytes_of(edek->wrapped, edek->len));
        hf_buf_add(out, "\"}}", 3);
    }
}

void add_edeks(struct hf_buf *out, const char *name, const struct hf_edek *edeks, size_t count)
{
    if (count == 1) {
        add_edek(out, name, edeks);
    } else {
        add_many(out, name, edeks, count);
    }
}

static unsigned bits_of(enum hf_algorithm algorithm)
{
    if (algorithm == HF_ALG_AES_128) {
        return 128;
    }
    return algorithm == HF_ALG_AES_192 ? 192 : 256;
}

void add_metadata(struct hf_buf *out, const struct hf_key_info *info)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "name", info->name);
    hf_json_put_text(&writer, "cipher", info->cipher != NULL ? info->cipher : "AES/CTR/NoPadding");
    hf_json_put_u64(&writer, "length", bits_of(info->algorithm));
    if (info->description != NULL) {
        hf_json_put_text(&writer, "description", info->description);
    } else {
        hf_json_put_null(&writer, "description");
    }
    hf_json_open_object(&writer, "attributes");
    for (size_t i = 0; i < info->attribute_count; i++) {
        hf_json_put_text(&writer, info->attributes[i].name, info->attributes[i].value);
    }
    hf_json_close_object(&writer);
    hf_json_put_u64(&writer, "created", info->created_ms);
    hf_json_put_u64(&writer, "versions", info->version_count);
    hf_json_close_object(&writer);
}
