/* Records of drills as bytes, and what they say. See drill.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/codec.h"
#include "base/text.h"
#include "service/drill.h"

#define FORMAT 1
#define ID_LEN 8

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

void hf_drill_parts_done(struct hf_drill_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        hf_drill_part_free(parts->items[i]);
    }
    free(parts->items);
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
        run->nodes[i].name = hf_take_text(reader);
        run->nodes[i].site = hf_take_text(reader);
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
    run->node = hf_take_text(&reader);
    run->caller = hf_take_text(&reader);
    run->keyring = hf_take_text(&reader);
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
    part->node = hf_take_text(&reader);
    state = hf_take_u8(&reader);
    part->slots = hf_take_u64(&reader);
    part->slots_done = hf_take_u64(&reader);
    part->versions = hf_take_u64(&reader);
    part->versions_done = hf_take_u64(&reader);
    part->text = hf_take_text(&reader);
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

struct hf_status hf_drill_part_decode_heads(struct hf_op *op, struct hf_bytes content,
                                            struct hf_drill_part **out)
{
    return decode_part(op, content, hf_slot_proof_decode_head, out);
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
    end->node = hf_take_text(&reader);
    hf_buf_add_bytes(&end->document, hf_take_bytes(&reader));
    hf_buf_add_bytes(&end->public_key, hf_take_bytes(&reader));
    hf_buf_add_bytes(&end->signature, hf_take_bytes(&reader));
    HF_TRY(hf_reader_end(&reader, op, "the end of a drill"));
    *out = HF_TAKE(end);
    return HF_SUCCESS;
}

void hf_drill_last_encode(uint8_t place, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    hf_put_u8(out, place);
}

struct hf_status hf_drill_last_decode(struct hf_op *op, struct hf_bytes content, uint8_t *out)
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

/* --- what they say --- */

bool hf_drill_asks(const struct hf_drill_run *run, const char *node)
{
    for (size_t i = 0; i < run->node_count; i++) {
        if (strcmp(run->nodes[i].name, node) == 0) {
            return true;
        }
    }
    return false;
}

bool hf_drill_part_is_over(const struct hf_drill_part *part)
{
    return part != NULL && part->state != HF_PART_RUNS;
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
