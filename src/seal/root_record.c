/*
 * Records of root keys: the next one under the one before it, so that a node which holds that one
 * can follow, and each earlier one under a later, so that what it sealed opens
 * (docs/formats/root.md).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define FORMAT 1
#define PREFIX "root/"

char *hf_root_path(uint32_t generation)
{
    return hf_format(PREFIX "%010" PRIu32, generation);
}

struct hf_status hf_root_record_encode(struct hf_op *op, const struct hf_root_record *record,
                                       struct hf_secret **out)
{
    HF_AUTO(buf) start = hf_buf_new();
    HF_AUTO(secret) content = NULL;

    hf_put_u8(start, FORMAT);
    hf_put_u32(start, record->generation);
    hf_put_u64(start, record->begun_ms);
    hf_put_u64(start, record->ended_ms);
    hf_put_u32(start, (uint32_t)record->root.len);

    /* The root goes from locked memory to locked memory. */
    HF_TRY(hf_secret_new(op, start->len + record->root.len, &content));
    memcpy(hf_secret_data(content), start->data, start->len);
    if (record->root.len > 0) {
        memcpy(hf_secret_data(content) + start->len, record->root.data, record->root.len);
    }
    *out = HF_TAKE(content);
    return HF_SUCCESS;
}

struct hf_status hf_root_record_parse(struct hf_op *op, struct hf_bytes content,
                                      struct hf_root_record *out)
{
    struct hf_root_record record;
    struct hf_reader reader;
    uint8_t format;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    record.generation = hf_take_u32(&reader);
    record.begun_ms = hf_take_u64(&reader);
    record.ended_ms = hf_take_u64(&reader);
    record.root = hf_take_bytes(&reader);
    HF_TRY(hf_reader_end(&reader, op, "a root key"));
    if (format != FORMAT || record.generation == 0 ||
        (record.root.len != 0 && record.root.len != HF_ROOT_LEN)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a root key is not in a form that this release knows");
    }
    *out = record;
    return HF_SUCCESS;
}

/* --- reading --- */

/* The live root of that generation out of its record. */
static struct hf_status open_root(struct hf_unlocked *unlocked, struct hf_op *op,
                                  const struct hf_record *record, uint32_t generation,
                                  struct hf_secret **out)
{
    struct hf_record_place place = { .path = record->path, .revision = record->revision };
    struct hf_record_parts parts;
    struct hf_root_record root;
    HF_AUTO(secret) content = NULL;

    HF_TRY(hf_record_open(unlocked, op, &place, hf_buf_bytes(&record->body), &parts, &content));
    HF_TRY(hf_root_record_parse(op, hf_secret_or_none(content), &root));
    if (parts.kind != HF_KIND_ROOT || root.generation != generation || root.root.len == 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%s holds no root key of that place",
                             record->path);
    }
    return hf_secret_copy(op, root.root, out);
}

struct hf_status hf_root_retired(struct hf_unlocked *unlocked, struct hf_engine *engine,
                                 struct hf_op *op, uint32_t generation, struct hf_secret **out)
{
    HF_AUTO_STRING path = hf_root_path(generation);
    HF_AUTO(record) record = NULL;

    HF_TRY(hf_engine_get(engine, op, path, &record));
    return open_root(unlocked, op, record, generation, out);
}

/* Whether the record holds the next root for those who have the one before it. */
static bool is_for_followers(const struct hf_record *record, uint32_t generation)
{
    struct hf_op scratch = { 0 };
    struct hf_record_parts parts;

    return hf_record_parse(&scratch, hf_buf_bytes(&record->body), &parts).code == HF_OK &&
           (parts.flags & HF_RECORD_TOMBSTONE) == 0 && parts.generation + 1 == generation;
}

static struct hf_status follow_once(struct hf_unlocked *unlocked, struct hf_engine *engine,
                                    struct hf_op *op, uint32_t stands)
{
    uint32_t generation = hf_root_generation(unlocked);
    HF_AUTO_STRING path = hf_root_path(generation + 1);
    HF_AUTO(record) record = NULL;
    HF_AUTO(secret) root = NULL;
    struct hf_status status = hf_engine_get(engine, op, path, &record);

    if (status.code == HF_NOT_FOUND ||
        (status.code == HF_OK && !is_for_followers(record, generation + 1))) {
        return hf_fail(op, HF_WRONG_STATE,
                       "root generation %" PRIu32 " is open, and the store is under generation "
                       "%" PRIu32 "; a slot that is in force opens it, this node's own by itself",
                       generation, stands);
    }
    HF_TRY(status);
    HF_TRY(open_root(unlocked, op, record, generation + 1, &root));
    hf_root_advance(unlocked, generation + 1, &root);
    return HF_SUCCESS;
}

struct hf_status hf_roots_follow(struct hf_unlocked *unlocked, struct hf_engine *engine,
                                 struct hf_op *op)
{
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state state;
    uint32_t stands;

    HF_TRY(hf_engine_state(engine, op, &state, head));
    stands = hf_record_generation(hf_buf_bytes(head));
    while (hf_root_generation(unlocked) < stands) {
        HF_TRY(follow_once(unlocked, engine, op, stands));
    }
    return HF_SUCCESS;
}

struct hf_status hf_roots_load_old(struct hf_unlocked *unlocked, struct hf_engine *engine,
                                   struct hf_op *op)
{
    uint32_t generation = hf_root_generation(unlocked);
    HF_AUTO_STRING path = hf_root_path(generation);
    HF_AUTO(record) record = NULL;
    HF_AUTO(secret) root = NULL;
    struct hf_status status = hf_engine_get(engine, op, path, &record);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    if (!is_for_followers(record, generation)) {
        return HF_SUCCESS;
    }
    status = hf_root_retired(unlocked, engine, op, generation - 1, &root);
    if (status.code == HF_NOT_FOUND) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "root generation %" PRIu32
                             " is gone, and what it sealed was not moved yet; restore the store",
                             generation - 1);
    }
    HF_TRY(status);
    hf_root_keep_old(unlocked, generation - 1, &root);
    return HF_SUCCESS;
}

/* --- what commits say --- */

struct hf_status hf_roots_learn(struct hf_unlocked *unlocked, struct hf_op *op,
                                const struct hf_opened_view *view)
{
    struct hf_root_record record;
    HF_AUTO(secret) root = NULL;

    if (view->kind != HF_KIND_ROOT) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_root_record_parse(op, view->plain, &record));
    if (view->tombstone) {
        hf_root_drop_old(unlocked, record.generation);
        return HF_SUCCESS;
    }
    if (record.generation == hf_root_generation(unlocked) + 1) {
        HF_TRY(hf_secret_copy(op, record.root, &root));
        hf_root_advance(unlocked, record.generation, &root);
    }
    return HF_SUCCESS;
}
