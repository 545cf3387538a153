/* Records of drills: encoded, and in the store. See drill.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/text.h"
#include "service/drill.h"

#define FORMAT 1
#define ID_LEN 8
#define LAST   "drill/last"
#define RUN    "drill/run/"
#define PART   "drill/part/"
#define END    "drill/end/"

void hf_drill_run_free(struct hf_drill_run *run)
{
    if (run == NULL) {
        return;
    }
    for (size_t i = 0; i < run->node_count; i++) {
        free(run->nodes[i].name);
        free(run->nodes[i].site);
    }
    free(run->nodes);
    free(run->node);
    free(run->caller);
    free(run->keyring);
    free(run);
}

void hf_drill_part_free(struct hf_drill_part *part)
{
    if (part == NULL) {
        return;
    }
    for (size_t i = 0; i < part->proofs.count; i++) {
        hf_slot_proof_free(part->proofs.items[i]);
    }
    free(part->proofs.items);
    hf_buf_done(&part->document);
    hf_buf_done(&part->public_key);
    hf_buf_done(&part->signature);
    free(part->node);
    free(part->text);
    free(part);
}

void hf_drill_end_free(struct hf_drill_end *end)
{
    if (end == NULL) {
        return;
    }
    hf_buf_done(&end->document);
    hf_buf_done(&end->public_key);
    hf_buf_done(&end->signature);
    free(end->node);
    free(end);
}

/* --- encoding --- */

static void put_id(struct hf_buf *out, const char id[HF_DRILL_ID])
{
    HF_AUTO(buf) bytes = hf_buf_new();
    struct hf_op scratch;

    hf_op_init(&scratch, NULL);
    hf_assert(hf_hex_decode(&scratch, hf_bytes_of_text(id), bytes).code == HF_OK &&
              bytes->len == ID_LEN);
    hf_buf_add_bytes(out, hf_buf_bytes(bytes));
}

static void take_id(struct hf_reader *reader, char out[HF_DRILL_ID])
{
    HF_AUTO(buf) hex = hf_buf_new();

    hf_hex_add(hex, hf_take_raw(reader, ID_LEN));
    memcpy(out, hf_buf_text(hex), reader->failed ? 1 : HF_DRILL_ID);
}

/* Text that is there even when the reader has failed. */
static char *take_text(struct hf_reader *reader)
{
    char *text = hf_take_text(reader);

    return text != NULL ? text : hf_strdup("");
}

static struct hf_status take_format(struct hf_reader *reader, struct hf_op *op)
{
    uint8_t format = hf_take_u8(reader);

    if (!reader->failed && format != FORMAT) {
        return hf_fail(op, HF_UNSUPPORTED, "a drill has format %u; this server reads format %d",
                       format, FORMAT);
    }
    return HF_SUCCESS;
}

void hf_drill_run_encode(const struct hf_drill_run *run, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    put_id(out, run->id);
    hf_put_u8(out, run->place);
    hf_put_u64(out, run->begun_ms);
    hf_put_u64(out, run->wait_ms);
    hf_put_text(out, run->node);
    hf_put_text(out, run->caller);
    hf_put_text(out, run->keyring);
    hf_put_u32(out, (uint32_t)run->node_count);
    for (size_t i = 0; i < run->node_count; i++) {
        hf_put_text(out, run->nodes[i].name);
        hf_put_text(out, run->nodes[i].site);
    }
    hf_put_u64(out, run->ended_ms);
    hf_put_u8(out, (uint8_t)run->light);
    hf_put_u32(out, run->silent);
}

static void take_nodes(struct hf_reader *reader, struct hf_drill_run *run)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count > HF_DRILL_NODES;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        run->nodes = hf_realloc_array(run->nodes, i + 1, sizeof *run->nodes);
        run->nodes[i].name = take_text(reader);
        run->nodes[i].site = take_text(reader);
        run->node_count++;
    }
}

struct hf_status hf_drill_run_decode(struct hf_op *op, struct hf_bytes content,
                                     struct hf_drill_run **out)
{
    HF_AUTO(drill_run) run = hf_alloc(sizeof *run);
    struct hf_reader reader;
    uint8_t light;

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op));
    take_id(&reader, run->id);
    run->place = hf_take_u8(&reader);
    run->begun_ms = hf_take_u64(&reader);
    run->wait_ms = hf_take_u64(&reader);
    run->node = take_text(&reader);
    run->caller = take_text(&reader);
    run->keyring = take_text(&reader);
    take_nodes(&reader, run);
    run->ended_ms = hf_take_u64(&reader);
    light = hf_take_u8(&reader);
    run->silent = hf_take_u32(&reader);
    reader.failed = reader.failed || light > HF_RED || run->place >= HF_DRILL_PLACES;
    HF_TRY(hf_reader_end(&reader, op, "a drill"));
    run->light = (enum hf_light)light;
    *out = HF_TAKE(run);
    return HF_SUCCESS;
}

void hf_drill_part_encode(const struct hf_drill_part *part, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    put_id(out, part->id);
    hf_put_text(out, part->node);
    hf_put_u8(out, (uint8_t)part->state);
    hf_put_u64(out, part->slots);
    hf_put_u64(out, part->slots_done);
    hf_put_u64(out, part->versions);
    hf_put_u64(out, part->versions_done);
    hf_put_text(out, part->text);
    hf_put_bytes(out, hf_buf_bytes(&part->document));
    hf_put_bytes(out, hf_buf_bytes(&part->public_key));
    hf_put_bytes(out, hf_buf_bytes(&part->signature));
    hf_put_u32(out, (uint32_t)part->proofs.count);
    for (size_t i = 0; i < part->proofs.count; i++) {
        HF_AUTO(buf) proof = hf_buf_new();

        hf_slot_proof_encode(part->proofs.items[i], proof);
        hf_put_bytes(out, hf_buf_bytes(proof));
    }
}

typedef struct hf_status (*decode_proof)(struct hf_op *op, struct hf_bytes content,
                                         struct hf_slot_proof **out);

static struct hf_status take_proofs(struct hf_reader *reader, struct hf_op *op, decode_proof decode,
                                    struct hf_drill_part *part)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count > HF_DRILL_PROOFS;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct hf_slot_proof *proof = NULL;

        HF_TRY(decode(op, hf_take_bytes(reader), &proof));
        hf_slot_proofs_add(&part->proofs, proof);
    }
    return HF_SUCCESS;
}

static struct hf_status decode_part(struct hf_op *op, struct hf_bytes content, decode_proof decode,
                                    struct hf_drill_part **out)
{
    HF_AUTO(drill_part) part = hf_alloc(sizeof *part);
    struct hf_reader reader;
    uint8_t state;

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op));
    take_id(&reader, part->id);
    part->node = take_text(&reader);
    state = hf_take_u8(&reader);
    part->slots = hf_take_u64(&reader);
    part->slots_done = hf_take_u64(&reader);
    part->versions = hf_take_u64(&reader);
    part->versions_done = hf_take_u64(&reader);
    part->text = take_text(&reader);
    hf_buf_add_bytes(&part->document, hf_take_bytes(&reader));
    hf_buf_add_bytes(&part->public_key, hf_take_bytes(&reader));
    hf_buf_add_bytes(&part->signature, hf_take_bytes(&reader));
    HF_TRY(take_proofs(&reader, op, decode, part));
    reader.failed = reader.failed || state < HF_PART_RUNS || state > HF_PART_FAILED;
    HF_TRY(hf_reader_end(&reader, op, "a part of a drill"));
    part->state = (enum hf_part_state)state;
    *out = HF_TAKE(part);
    return HF_SUCCESS;
}

struct hf_status hf_drill_part_decode(struct hf_op *op, struct hf_bytes content,
                                      struct hf_drill_part **out)
{
    return decode_part(op, content, hf_slot_proof_decode, out);
}

void hf_drill_end_encode(const struct hf_drill_end *end, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    put_id(out, end->id);
    hf_put_text(out, end->node);
    hf_put_bytes(out, hf_buf_bytes(&end->document));
    hf_put_bytes(out, hf_buf_bytes(&end->public_key));
    hf_put_bytes(out, hf_buf_bytes(&end->signature));
}

struct hf_status hf_drill_end_decode(struct hf_op *op, struct hf_bytes content,
                                     struct hf_drill_end **out)
{
    HF_AUTO(drill_end) end = hf_alloc(sizeof *end);
    struct hf_reader reader;

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op));
    take_id(&reader, end->id);
    end->node = take_text(&reader);
    hf_buf_add_bytes(&end->document, hf_take_bytes(&reader));
    hf_buf_add_bytes(&end->public_key, hf_take_bytes(&reader));
    hf_buf_add_bytes(&end->signature, hf_take_bytes(&reader));
    HF_TRY(hf_reader_end(&reader, op, "the end of a drill"));
    *out = HF_TAKE(end);
    return HF_SUCCESS;
}

/* --- reading --- */

static char *path_of(const char *prefix, uint8_t place)
{
    return hf_format("%s%02u", prefix, place);
}

static char *part_path(const struct hf_drill_run *run, const char *node)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_format(path, PART "%02u/", run->place);
    hf_percent_add(path, hf_bytes_of_text(node));
    return hf_strdup(hf_buf_text(path));
}

/* One that is altered, or that a later release wrote, is as good as none: it is written anew. */
static struct hf_status none_if_unreadable(struct hf_op *op, const char *path,
                                           struct hf_status status)
{
    if (status.code == HF_CORRUPT || status.code == HF_UNSUPPORTED) {
        HF_WARNING(op->env, "%.200s is not used: %s", path, op->text);
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

/* The record, or NULL where there is none. */
static struct hf_status read_record(struct hf_service *service, struct hf_op *op, const char *path,
                                    struct hf_opened **out)
{
    struct hf_status status = hf_seal_get(service->seal, op, HF_KIND_DRILL, path, out);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return none_if_unreadable(op, path, status);
}

/* 0: there is none. The store's own word, whatever the record holds. */
static struct hf_status read_revision(struct hf_service *service, struct hf_op *op,
                                      const char *path, uint64_t *out)
{
    HF_AUTO(record) record = NULL;
    struct hf_status status = hf_engine_get(hf_seal_engine(service->seal), op, path, &record);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        *out = 0;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out = record->revision;
    return HF_SUCCESS;
}

static struct hf_bytes content_of(const struct hf_opened *opened)
{
    return opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE;
}

struct hf_status hf_drill_run_read(struct hf_service *service, struct hf_op *op, uint8_t place,
                                   struct hf_drill_run **out)
{
    HF_AUTO_STRING path = path_of(RUN, place);
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(drill_run) run = NULL;

    HF_TRY(read_record(service, op, path, &opened));
    if (opened == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(none_if_unreadable(op, path, hf_drill_run_decode(op, content_of(opened), &run)));
    if (run != NULL) {
        run->revision = opened->revision;
        *out = HF_TAKE(run);
    }
    return HF_SUCCESS;
}

static struct hf_status decode_last(struct hf_op *op, struct hf_bytes content, uint8_t *out)
{
    struct hf_reader reader;
    uint8_t place;

    hf_reader_init(&reader, content);
    HF_TRY(take_format(&reader, op));
    place = hf_take_u8(&reader);
    reader.failed = reader.failed || place >= HF_DRILL_PLACES;
    HF_TRY(hf_reader_end(&reader, op, "the place of a drill"));
    *out = place;
    return HF_SUCCESS;
}

/* The place of the newest; HF_DRILL_PLACES: none. */
static struct hf_status read_last(struct hf_service *service, struct hf_op *op, uint8_t *out)
{
    HF_AUTO(opened) opened = NULL;

    *out = HF_DRILL_PLACES;
    HF_TRY(read_record(service, op, LAST, &opened));
    return opened != NULL ? none_if_unreadable(op, LAST, decode_last(op, content_of(opened), out))
                          : HF_SUCCESS;
}

struct hf_status hf_drill_last(struct hf_service *service, struct hf_op *op,
                               struct hf_drill_run **out)
{
    uint8_t place = 0;

    HF_TRY(read_last(service, op, &place));
    return place < HF_DRILL_PLACES ? hf_drill_run_read(service, op, place, out) : HF_SUCCESS;
}

struct hf_status hf_drill_find(struct hf_service *service, struct hf_op *op, const char *id,
                               struct hf_drill_run **out)
{
    HF_AUTO(drill_run) run = NULL;

    if (strcmp(id, "last") == 0) {
        HF_TRY(hf_drill_last(service, op, &run));
    }
    for (uint8_t place = 0; place < HF_DRILL_PLACES && run == NULL; place++) {
        HF_TRY(hf_drill_run_read(service, op, place, &run));
        if (run != NULL && strcmp(run->id, id) != 0) {
            hf_drill_run_free(run);
            run = NULL;
        }
    }
    if (run == NULL) {
        return hf_fail(op, HF_NOT_FOUND,
                       "there is no drill %.32s; the last %d are kept, 'holdfast drill list' shows "
                       "them",
                       id, HF_DRILL_PLACES);
    }
    *out = HF_TAKE(run);
    return HF_SUCCESS;
}

static struct hf_status read_part(struct hf_service *service, struct hf_op *op,
                                  const struct hf_drill_run *run, const char *node,
                                  decode_proof decode, struct hf_drill_part **out)
{
    HF_AUTO_STRING path = part_path(run, node);
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(drill_part) part = NULL;

    HF_TRY(read_record(service, op, path, &opened));
    if (opened == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(none_if_unreadable(op, path, decode_part(op, content_of(opened), decode, &part)));
    if (part != NULL && strcmp(part->id, run->id) == 0 && strcmp(part->node, node) == 0) {
        part->revision = opened->revision;
        *out = HF_TAKE(part);
    }
    return HF_SUCCESS;
}

struct hf_status hf_drill_part_read(struct hf_service *service, struct hf_op *op,
                                    const struct hf_drill_run *run, const char *node,
                                    struct hf_drill_part **out)
{
    return read_part(service, op, run, node, hf_slot_proof_decode, out);
}

void hf_drill_parts_done(struct hf_drill_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        hf_drill_part_free(parts->items[i]);
    }
    free(parts->items);
}

static struct hf_status read_parts(struct hf_service *service, struct hf_op *op,
                                   const struct hf_drill_run *run, decode_proof decode,
                                   struct hf_drill_parts *out)
{
    out->items = hf_alloc_array(run->node_count + 1, sizeof(struct hf_drill_part *));
    out->count = run->node_count;
    for (size_t i = 0; i < run->node_count; i++) {
        HF_TRY(read_part(service, op, run, run->nodes[i].name, decode, &out->items[i]));
    }
    return HF_SUCCESS;
}

struct hf_status hf_drill_parts_read(struct hf_service *service, struct hf_op *op,
                                     const struct hf_drill_run *run, struct hf_drill_parts *out)
{
    return read_parts(service, op, run, hf_slot_proof_decode, out);
}

uint64_t hf_drill_parts_since(const struct hf_drill_parts *parts)
{
    uint64_t since = UINT64_MAX;

    for (size_t i = 0; i < parts->count; i++) {
        const struct hf_drill_part *part = parts->items[i];
        size_t count = part != NULL && part->state == HF_PART_DONE ? part->proofs.count : 0;

        for (size_t j = 0; j < count; j++) {
            const struct hf_slot_proof *proof = part->proofs.items[j];

            since = proof->opened && proof->seq < since ? proof->seq : since;
        }
    }
    return since;
}

/* Asked for every minute, of all nodes: so without the lists of their proofs. */
static struct hf_status since_of(struct hf_service *service, struct hf_op *op,
                                 const struct hf_drill_run *run, uint64_t *out)
{
    __attribute__((cleanup(hf_drill_parts_done))) struct hf_drill_parts parts = { 0 };

    HF_TRY(read_parts(service, op, run, hf_slot_proof_decode_head, &parts));
    *out = hf_drill_parts_since(&parts);
    return HF_SUCCESS;
}

struct hf_status hf_drill_since(struct hf_service *service, struct hf_op *op, uint64_t *out)
{
    uint8_t last = HF_DRILL_PLACES;

    HF_TRY(read_last(service, op, &last));
    for (uint8_t back = 0; back < HF_DRILL_PLACES && last < HF_DRILL_PLACES; back++) {
        uint8_t place = (uint8_t)((last + HF_DRILL_PLACES - back) % HF_DRILL_PLACES);
        HF_AUTO(drill_run) run = NULL;

        HF_TRY(hf_drill_run_read(service, op, place, &run));
        if (run != NULL && run->ended_ms != 0 && run->keyring[0] == '\0') {
            return since_of(service, op, run, out);
        }
    }
    *out = last < HF_DRILL_PLACES ? UINT64_MAX : 0;
    return HF_SUCCESS;
}

bool hf_drill_part_is_over(const struct hf_drill_part *part)
{
    return part != NULL && part->state != HF_PART_RUNS;
}

struct hf_status hf_drill_end_read(struct hf_service *service, struct hf_op *op,
                                   const struct hf_drill_run *run, struct hf_drill_end **out)
{
    HF_AUTO_STRING path = path_of(END, run->place);
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(drill_end) end = NULL;

    HF_TRY(read_record(service, op, path, &opened));
    if (opened != NULL) {
        HF_TRY(hf_drill_end_decode(op, content_of(opened), &end));
    }
    if (run->ended_ms != 0 && (end == NULL || strcmp(end->id, run->id) != 0)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the drill %s has ended, but its receipt (%s) is altered or gone",
                             run->id, path);
    }
    if (end == NULL || strcmp(end->id, run->id) != 0) {
        return hf_fail(op, HF_WRONG_STATE, "the drill %s has no receipt: it has not ended",
                       run->id);
    }
    *out = HF_TAKE(end);
    return HF_SUCCESS;
}

/* --- staging --- */

/* Whatever was there before. */
static struct hf_status put_over(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                                 const char *path, const struct hf_buf *content)
{
    uint64_t revision = 0;

    HF_TRY(read_revision(service, op, path, &revision));
    return hf_txn_put(txn, op, HF_KIND_DRILL, path, revision, hf_buf_bytes(content));
}

struct hf_status hf_drill_run_stage(struct hf_service *service, struct hf_op *op,
                                    struct hf_txn *txn, const struct hf_drill_run *run)
{
    HF_AUTO_STRING path = path_of(RUN, run->place);
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(buf) last = hf_buf_new();

    hf_drill_run_encode(run, content);
    HF_TRY(put_over(service, op, txn, path, content));
    hf_put_u8(last, FORMAT);
    hf_put_u8(last, run->place);
    return put_over(service, op, txn, LAST, last);
}

struct hf_status hf_drill_part_stage(struct hf_service *service, struct hf_op *op,
                                     struct hf_txn *txn, const struct hf_drill_run *run,
                                     const struct hf_drill_part *part)
{
    HF_AUTO_STRING path = part_path(run, part->node);
    HF_AUTO(buf) content = hf_buf_new();

    hf_drill_part_encode(part, content);
    return put_over(service, op, txn, path, content);
}

struct hf_status hf_drill_end_stage(struct hf_service *service, struct hf_op *op,
                                    struct hf_txn *txn, const struct hf_drill_run *run,
                                    const struct hf_drill_end *end)
{
    HF_AUTO_STRING path = path_of(END, run->place);
    HF_AUTO(buf) content = hf_buf_new();

    hf_drill_end_encode(end, content);
    return put_over(service, op, txn, path, content);
}

bool hf_drill_asks(const struct hf_drill_run *run, const char *node)
{
    for (size_t i = 0; i < run->node_count; i++) {
        if (strcmp(run->nodes[i].name, node) == 0) {
            return true;
        }
    }
    return false;
}
