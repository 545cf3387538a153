/*
 * Many data keys at once: _reencryptbatch, which moves a whole encryption zone. Its cost is reading
 * and writing JSON, so entries that look like the one before are not scanned again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/scan.h"
#include "base/text.h"
#include "hadoop/hadoop_internal.h"

/* Hadoop warns above 10,000; the body limit ends it before this does. */
#define MAX_BATCH 50000
/* About what an entry takes in a body, to have room for all of them from the start. */
#define USUAL_ENTRY_LEN 128

enum { ITEM_VERSION, ITEM_IV, ITEM_INNER, ITEM_COUNT };
enum { INNER_VERSION, INNER_MATERIAL, INNER_COUNT };

/* What is looked for in one entry, on one walk over it. */
struct item {
    struct hf_scan_member members[ITEM_COUNT];
    struct hf_scan_member inner[INNER_COUNT];
};

static void init_item(struct item *item)
{
    *item = (struct item){
        .members = { { .name = "versionName" },
                     { .name = "iv" },
                     { .name = "encryptedKeyVersion",
                       .inner = item->inner,
                       .inner_count = INNER_COUNT } },
        .inner = { { .name = "versionName" }, { .name = "material" } },
    };
}

static struct hf_status take_inner(struct hf_op *op, const struct item *item, struct hf_edek *edek)
{
    const struct hf_scan_value *outer = &item->members[ITEM_INNER].value;
    const struct hf_scan_value *version = &item->inner[INNER_VERSION].value;

    if (!outer->present || outer->kind != HF_SCAN_OBJECT) {
        return illegal_argument(op, "Parameter 'encryptedKeyVersion' cannot be null");
    }
    if (!version->present || !hf_bytes_equal_text(version->raw, "EEK")) {
        return illegal_argument(op, "encryptedKey version name must be 'EEK'");
    }
    return take_base64(op, &item->inner[INNER_MATERIAL].value, "material", edek->wrapped,
                       sizeof edek->wrapped, &edek->len);
}

/* "k1@3" must be a version of this key. */
static struct hf_status take_item_version(struct hf_op *op, const char *version_name,
                                          const char *name, size_t name_len, struct hf_edek *edek)
{
    uint64_t version = 0;

    if (strncmp(version_name, name, name_len) != 0 || version_name[name_len] != '@' ||
        strchr(version_name + name_len + 1, '@') != NULL) {
        return illegal_argument(op, "KeyVersion '%s' does not belong to the key '%s'", version_name,
                                name);
    }
    if (hf_parse_u64(op, version_name + name_len + 1, 999999999, &version).code != HF_OK) {
        return illegal_argument(op, "'%s' not found", version_name);
    }
    edek->version = (uint32_t)version;
    return HF_SUCCESS;
}

/* A walk over the entries of a body. */
struct reader {
    const char *name; /* of the key */
    size_t name_len;
    struct hf_buf *scratch;
    struct hf_scan_array array;
    struct item item;
    struct hf_scan_likeness likeness; /* the last entry that was scanned */
    uint32_t version;                 /* and its version */
};

static struct hf_status take_item(struct hf_op *op, const struct reader *reader,
                                  struct hf_edek *edek)
{
    hf_buf_clear(reader->scratch);
    HF_TRY(
        take_text(op, &reader->item.members[ITEM_VERSION].value, "versionName", reader->scratch));
    HF_TRY(take_iv(op, &reader->item.members[ITEM_IV].value, edek));
    HF_TRY(take_inner(op, &reader->item, edek));
    return take_item_version(op, hf_buf_text(reader->scratch), reader->name, reader->name_len,
                             edek);
}

/* The values in which entries alike may differ. */
enum { ALIKE_IV, ALIKE_MATERIAL };

static void learn(struct reader *reader, struct hf_bytes entry, uint32_t version)
{
    hf_scan_likeness_init(&reader->likeness, entry);
    hf_scan_likeness_add(&reader->likeness, &reader->item.members[ITEM_IV].value);
    hf_scan_likeness_add(&reader->likeness, &reader->item.inner[INNER_MATERIAL].value);
    reader->version = version;
}

static struct hf_scan_value plain_string(struct hf_bytes raw)
{
    return (struct hf_scan_value){ .kind = HF_SCAN_STRING, .raw = raw, .present = true };
}

static struct hf_status take_alike(struct hf_op *op, const struct reader *reader,
                                   const struct hf_bytes *values, struct hf_edek *edek)
{
    struct hf_scan_value iv = plain_string(values[ALIKE_IV]);
    struct hf_scan_value material = plain_string(values[ALIKE_MATERIAL]);

    HF_TRY(take_iv(op, &iv, edek));
    HF_TRY(take_base64(op, &material, "material", edek->wrapped, sizeof edek->wrapped, &edek->len));
    edek->version = reader->version;
    return HF_SUCCESS;
}

/* Entry number count into edek; *out_more is false behind the last one. */
static struct hf_status next_entry(struct hf_op *op, struct reader *reader, size_t count,
                                   struct hf_edek *edek, bool *out_more)
{
    struct hf_bytes values[HF_SCAN_VALUES_MAX];
    struct hf_scan_value found;

    *out_more = true;
    if (hf_scan_array_next_alike(&reader->array, &reader->likeness, values)) {
        return take_alike(op, reader, values, edek);
    }
    HF_TRY(hf_scan_array_next_object(op, &reader->array, reader->item.members, ITEM_COUNT, &found));
    if (!found.present) {
        *out_more = false;
        return HF_SUCCESS;
    }
    if (found.kind != HF_SCAN_OBJECT) {
        return illegal_argument(op, "Entry %zu of the batch is not an encrypted key", count);
    }
    HF_TRY(take_item(op, reader, edek));
    learn(reader, found.raw, edek->version);
    return HF_SUCCESS;
}

struct hf_status read_batch(struct hf_op *op, struct hf_bytes body, const char *name,
                            struct hf_buf *edeks, size_t *out_count)
{
    HF_AUTO(buf) scratch = hf_buf_new();
    struct reader reader = { .name = name, .name_len = strlen(name), .scratch = scratch };
    size_t count = 0;
    bool more = true;

    hf_scan_array_init(&reader.array, body);
    init_item(&reader.item);
    (void)hf_buf_reserve(edeks, (body.len / USUAL_ENTRY_LEN + 1) * sizeof(struct hf_edek));
    while (more) {
        struct hf_edek *edek = (struct hf_edek *)hf_buf_reserve(edeks, sizeof *edek);

        HF_TRY(next_entry(op, &reader, count, edek, &more));
        if (more && count == MAX_BATCH) {
            return illegal_argument(op, "A batch has at most %d entries", MAX_BATCH);
        }
        if (more) {
            hf_buf_grew(edeks, sizeof *edek);
            count++;
        }
    }
    *out_count = count;
    return HF_SUCCESS;
}

static struct hf_status batch(struct hf_op *op, struct hf_exchange *exchange,
                              const struct hf_request *request, struct hf_reply *reply,
                              struct hf_buf *name)
{
    struct hf_hadoop *hadoop = hadoop_of(exchange);
    HF_AUTO(buf) edeks = hf_buf_new();
    struct hf_edek *edek;
    size_t count = 0;

    HF_TRY(take_name(op, exchange, request, "name", name));
    HF_TRY(read_batch(op, hf_request_body(request), hf_buf_text(name), edeks, &count));
    if (count == 0) {
        put_text(reply, "[]");
        return HF_SUCCESS;
    }
    edek = (struct hf_edek *)edeks->data;
    HF_TRY(hf_service_hadoop_reencrypt(hadoop->settings.service, op, hadoop->keyring,
                                       hf_buf_text(name), edek, count));
    start_json(reply, 200);
    /* About as long as it came. */
    (void)hf_buf_reserve(&reply->body, hf_request_body(request).len + count * 8);
    hf_buf_add_text(&reply->body, "[");
    add_edeks(&reply->body, hf_buf_text(name), edek, count);
    hf_buf_add_text(&reply->body, "]");
    return HF_SUCCESS;
}

struct hf_status hf_hadoop_batch(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply)
{
    HF_AUTO(buf) name = hf_buf_new();
    struct hf_status status = batch(op, exchange, request, reply, name);
    struct call call = { "REENCRYPT_EEK_BATCH", hf_buf_text(name) };

    if (status.code == HF_NOT_FOUND) {
        status = illegal_argument(op, "%s", op->text);
    }
    return finish(op, &call, reply, status);
}
