/* Names, metadata, versions with material, and the status page. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "hadoop/hadoop_internal.h"

/* Missing things are not 404 here: {} and [] (reference, 1.1). */
static struct hf_status absent(struct hf_op *op, struct hf_status status, const char *json,
                               struct hf_reply *reply)
{
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        hf_buf_clear(&reply->body);
        put_text(reply, json);
        return HF_SUCCESS;
    }
    return status;
}

struct name_list {
    struct hf_buf *out;
    bool comma;
};

static void add_name(void *context, const char *name)
{
    struct name_list *list = context;

    if (list->comma) {
        hf_buf_add_text(list->out, ",");
    }
    list->comma = true;
    hf_json_add_quoted(list->out, hf_bytes_of_text(name));
}

struct hf_status hf_hadoop_names(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    struct call call = { "GET_KEYS", NULL };
    struct name_list list = { &reply->body, false };
    struct hf_status status;

    (void)request;
    hf_buf_add_text(&reply->body, "[");
    status =
        hf_service_hadoop_names(hadoop->settings.service, op, hadoop->keyring, add_name, &list);
    if (status.code == HF_OK) {
        put_text(reply, "]");
    }
    return finish(op, &call, reply, status);
}

static struct hf_status one_metadata(struct hf_op *op, struct hf_hadoop *hadoop, const char *name,
                                     struct hf_buf *out)
{
    HF_AUTO(key_info) info = NULL;
    struct hf_status status =
        hf_service_hadoop_key(hadoop->settings.service, op, hadoop->keyring, name, &info);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        hf_buf_add_text(out, "{}");
        return HF_SUCCESS;
    }
    HF_TRY(status);
    add_metadata(out, info);
    return HF_SUCCESS;
}

static struct hf_status keys_metadata(struct hf_op *op, struct hf_hadoop *hadoop,
                                      const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();

    hf_buf_add_text(&reply->body, "[");
    for (size_t i = 0;; i++) {
        struct hf_status status;

        hf_buf_clear(name);
        status = hf_request_parameter(op, request, "key", false, i, name);
        if (status.code == HF_NOT_FOUND) {
            hf_op_clear(op);
            break;
        }
        HF_TRY(status);
        if (i > 0) {
            hf_buf_add_text(&reply->body, ",");
        }
        HF_TRY(one_metadata(op, hadoop, hf_buf_text(name), &reply->body));
    }
    put_text(reply, "]");
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_keys_metadata(struct hf_op *op, struct hf_exchange *exchange,
                                         const struct hf_request *request, struct hf_reply *reply)
{
    struct call call = { "GET_KEYS_METADATA", NULL };

    return finish(op, &call, reply, keys_metadata(op, hadoop_of(exchange), request, reply));
}

struct hf_status hf_hadoop_metadata(struct hf_op *op, struct hf_exchange *exchange,
                                    const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = take_name(op, exchange, request, "name", name);
    struct call call = { "GET_METADATA", hf_buf_text(name) };

    if (status.code == HF_OK) {
        status = one_metadata(op, hadoop_of(exchange), call.key, &reply->body);
    }
    if (status.code == HF_OK) {
        start_json(reply, 200);
    }
    return finish(op, &call, reply, status);
}

/* Every answer with material is an export. */
static struct hf_status put_version(struct hf_op *op, struct hf_hadoop *hadoop, const char *name,
                                    uint32_t version, struct hf_reply *reply)
{
    HF_AUTO(secret) material = NULL;
    uint32_t number = 0;

    HF_TRY(hf_service_key_export(hadoop->settings.service, op, hadoop->keyring, name, version,
                                 &material, &number));
    start_json(reply, 200);
    add_key_version(&reply->body, name, number, material);
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_current(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = take_name(op, exchange, request, "name", name);
    struct call call = { "GET_CURRENT_KEY", hf_buf_text(name) };

    if (status.code == HF_OK) {
        status = put_version(op, hadoop_of(exchange), call.key, HF_LATEST, reply);
        status = absent(op, status, "{}", reply);
    }
    return finish(op, &call, reply, status);
}

struct hf_status hf_hadoop_version(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) version_name = hf_buf_new();
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = take_name(op, exchange, request, "version", version_name);
    struct call call = { "GET_KEY_VERSION", NULL };
    uint32_t version = 0;

    if (status.code == HF_OK) {
        if (split_version_name(hf_buf_text(version_name), name, &version)) {
            status = put_version(op, hadoop_of(exchange), hf_buf_text(name), version, reply);
            status = absent(op, status, "{}", reply);
        } else {
            put_text(reply, "{}");
        }
    }
    return finish(op, &call, reply, status);
}

struct version_list {
    struct hf_buf numbers; /* uint32_t each */
    size_t count;
};

static void note_version(void *context, const struct hf_version_info *info)
{
    struct version_list *list = context;

    if (info->state != HF_KEY_DESTROYED && info->state != HF_KEY_DESTROYED_COMPROMISED &&
        !info->candidate) {
        hf_buf_add(&list->numbers, &info->version, sizeof info->version);
        list->count++;
    }
}

static struct hf_status put_versions(struct hf_op *op, struct hf_hadoop *hadoop, const char *name,
                                     const struct version_list *list, struct hf_reply *reply)
{
    const uint32_t *numbers = (const uint32_t *)list->numbers.data;

    hf_buf_add_text(&reply->body, "[");
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            hf_buf_add_text(&reply->body, ",");
        }
        HF_TRY(put_version(op, hadoop, name, numbers[i], reply));
    }
    hf_buf_add_text(&reply->body, "]");
    start_json(reply, 200);
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_versions(struct hf_op *op, struct hf_exchange *exchange,
                                    const struct hf_request *request, struct hf_reply *reply)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(buf) name = hf_buf_new();
    struct version_list list = { 0 };
    struct hf_status status = take_name(op, exchange, request, "name", name);
    struct call call = { "GET_KEY_VERSIONS", hf_buf_text(name) };

    if (status.code == HF_OK) {
        status = hf_service_key_versions(hadoop->settings.service, op, hadoop->keyring, call.key,
                                         note_version, &list);
    }
    if (status.code == HF_OK) {
        status = put_versions(op, hadoop, call.key, &list, reply);
    }
    hf_buf_done(&list.numbers);
    return finish(op, &call, reply, absent(op, status, "[]", reply));
}

/* Enough of /jmx for what asks: monitoring scripts and TestKMS look for these two beans. */
static void add_bean(struct hf_json_writer *writer, const char *name, const char *member)
{
    struct rusage usage;
    uint64_t used = 0;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        used = (uint64_t)usage.ru_maxrss * 1024;
    }
    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "name", name);
    hf_json_put_text(writer, "modelerType", "holdfast");
    hf_json_put_u64(writer, member, used);
    hf_json_close_object(writer);
}

struct hf_status hf_hadoop_jmx(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) query = hf_buf_new();
    struct hf_status status = hf_request_parameter(op, request, "qry", false, 0, query);
    bool everything = status.code == HF_NOT_FOUND;
    struct hf_json_writer writer;

    (void)exchange;
    hf_op_clear(op);
    start_json(reply, 200);
    hf_json_writer_init(&writer, &reply->body);
    hf_json_open_object(&writer, NULL);
    hf_json_open_array(&writer, "beans");
    if (everything || strstr(hf_buf_text(query), "Memory") != NULL) {
        add_bean(&writer, "java.lang:type=Memory", "MaxResidentBytes");
    }
    if (everything || strstr(hf_buf_text(query), "JvmMetrics") != NULL) {
        add_bean(&writer, everything ? "Hadoop:service=KMS,name=JvmMetrics" : hf_buf_text(query),
                 "MaxResidentBytes");
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
