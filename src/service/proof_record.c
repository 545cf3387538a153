/* Proofs as bytes (docs/formats/proof.md), and what of one finds room. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "service/proof.h"

#define FORMAT         1
#define FORMAT_PARTIAL 2                   /* where keyrings were left to other nodes */
#define FAILURE_BYTES  ((size_t)384 << 10) /* a megabyte, with as many keyrings as there may be */
#define ROW_BYTES      20                  /* of a keyring, without its name */
#define NAME_BYTES     4
#define CAUSE_LAST     HF_CAUSE_ALTERED

/* As many as fit: the count of all stands beside them. */
static size_t fitting(const struct hf_slot_proof *proof, size_t room)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < proof->failure_count && bytes < room) {
        const struct hf_failed_version *failure = &proof->failures[count++];

        bytes += strlen(failure->path) + strlen(failure->failed_at) + 9;
    }
    return count;
}

void hf_slot_proof_trim(struct hf_slot_proof *proof, size_t bytes)
{
    size_t kept = fitting(proof, bytes);

    for (size_t i = kept; i < proof->failure_count; i++) {
        free(proof->failures[i].path);
        free(proof->failures[i].failed_at);
        proof->unnamed++;
    }
    proof->failure_count = kept;
}

static size_t fitting_keyrings(const struct hf_slot_proof *proof, size_t room)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < proof->keyring_count && bytes < room) {
        bytes += strlen(proof->keyrings[count++].name) + ROW_BYTES;
    }
    return count;
}

/* One at least: that there are any is told. */
static size_t fitting_not_asked(const struct hf_slot_proof *proof, size_t room)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < proof->not_asked_count && count < HF_SLOT_PROOF_KEYRINGS &&
           (count == 0 || bytes < room)) {
        bytes += strlen(proof->not_asked[count++]) + NAME_BYTES;
    }
    return count;
}

void hf_slot_proof_trim_keyrings(struct hf_slot_proof *proof, size_t bytes)
{
    size_t rows = fitting_keyrings(proof, bytes);
    size_t not_asked = fitting_not_asked(proof, bytes);

    for (size_t i = rows; i < proof->keyring_count; i++) {
        free(proof->keyrings[i].name);
    }
    for (size_t i = not_asked; i < proof->not_asked_count; i++) {
        free(proof->not_asked[i]);
    }
    proof->keyring_count = rows;
    proof->not_asked_count = not_asked;
}

void hf_slot_proof_encode(const struct hf_slot_proof *proof, struct hf_buf *out)
{
    size_t failures = fitting(proof, FAILURE_BYTES);
    size_t not_asked = fitting_not_asked(proof, SIZE_MAX);

    hf_put_u8(out, proof->not_asked_count > 0 ? FORMAT_PARTIAL : FORMAT);
    hf_put_text(out, proof->node);
    hf_put_text(out, proof->site);
    hf_put_text(out, proof->slot);
    hf_put_text(out, proof->slot_name);
    hf_put_u64(out, proof->when_ms);
    hf_put_u64(out, proof->seq);
    hf_put_u32(out, proof->root_generation);
    hf_put_u8(out, proof->opened);
    hf_put_u8(out, (uint8_t)proof->cause);
    hf_put_text(out, proof->text);
    hf_put_u64(out, proof->records);
    hf_put_u64(out, proof->damaged);
    hf_put_u8(out, proof->whole);
    hf_put_u64(out, proof->versions);
    hf_put_u64(out, proof->failed);
    hf_put_u32(out, (uint32_t)proof->keyring_count);
    for (size_t i = 0; i < proof->keyring_count; i++) {
        hf_put_text(out, proof->keyrings[i].name);
        hf_put_u64(out, proof->keyrings[i].versions);
        hf_put_u64(out, proof->keyrings[i].failed);
    }
    hf_put_u32(out, (uint32_t)failures);
    for (size_t i = 0; i < failures; i++) {
        hf_put_text(out, proof->failures[i].path);
        hf_put_u8(out, (uint8_t)proof->failures[i].cause);
        hf_put_text(out, proof->failures[i].failed_at);
    }
    hf_put_u64(out, proof->unnamed + proof->failure_count - failures);
    if (proof->not_asked_count > 0) {
        hf_put_u32(out, (uint32_t)not_asked);
        for (size_t i = 0; i < not_asked; i++) {
            hf_put_text(out, proof->not_asked[i]);
        }
    }
}

static bool take_bool(struct hf_reader *reader)
{
    uint8_t value = hf_take_u8(reader);

    reader->failed = reader->failed || value > 1;
    return value == 1;
}

static enum hf_cause take_cause(struct hf_reader *reader)
{
    uint8_t value = hf_take_u8(reader);

    reader->failed = reader->failed || value > CAUSE_LAST;
    return reader->failed ? HF_CAUSE_NONE : (enum hf_cause)value;
}

static void take_keyrings(struct hf_reader *reader, struct hf_slot_proof *proof)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count > HF_SLOT_PROOF_KEYRINGS;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct hf_slot_proof_keyring *keyring;

        proof->keyrings = hf_realloc_array(proof->keyrings, i + 1, sizeof *proof->keyrings);
        keyring = &proof->keyrings[proof->keyring_count++];
        keyring->name = hf_take_text(reader);
        keyring->versions = hf_take_u64(reader);
        keyring->failed = hf_take_u64(reader);
    }
}

static void take_failures(struct hf_reader *reader, struct hf_slot_proof *proof)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count > HF_SLOT_PROOF_FAILURES;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct hf_failed_version *failure;

        proof->failures = hf_realloc_array(proof->failures, i + 1, sizeof *proof->failures);
        failure = &proof->failures[proof->failure_count++];
        failure->path = hf_take_text(reader);
        failure->cause = take_cause(reader);
        failure->failed_at = hf_take_text(reader);
    }
}

/* Some at least: without any it is of format 1. */
static void take_not_asked(struct hf_reader *reader, struct hf_slot_proof *proof)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count == 0 || count > HF_SLOT_PROOF_KEYRINGS;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        char *keyring = hf_take_text(reader);

        hf_slot_proof_add_not_asked(proof, keyring);
        free(keyring);
    }
}

static struct hf_status take_head(struct hf_reader *reader, struct hf_op *op,
                                  struct hf_slot_proof *proof, uint8_t *out_format)
{
    uint8_t format = hf_take_u8(reader);

    if (!reader->failed && format != FORMAT && format != FORMAT_PARTIAL) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "a proof has format %u; this server reads formats %d and %d", format, FORMAT,
                       FORMAT_PARTIAL);
    }
    proof->node = hf_take_text(reader);
    proof->site = hf_take_text(reader);
    proof->slot = hf_take_text(reader);
    proof->slot_name = hf_take_text(reader);
    proof->when_ms = hf_take_u64(reader);
    proof->seq = hf_take_u64(reader);
    proof->root_generation = hf_take_u32(reader);
    proof->opened = take_bool(reader);
    proof->cause = take_cause(reader);
    proof->text = hf_take_text(reader);
    proof->records = hf_take_u64(reader);
    proof->damaged = hf_take_u64(reader);
    proof->whole = take_bool(reader);
    proof->versions = hf_take_u64(reader);
    proof->failed = hf_take_u64(reader);
    *out_format = format;
    return HF_SUCCESS;
}

struct hf_status hf_slot_proof_decode_head(struct hf_op *op, struct hf_bytes content,
                                           struct hf_slot_proof **out)
{
    HF_AUTO(slot_proof) proof = hf_alloc(sizeof *proof);
    struct hf_reader reader;
    uint8_t format = 0;

    hf_reader_init(&reader, content);
    HF_TRY(take_head(&reader, op, proof, &format));
    reader.at = reader.end; /* of a head the end of the text is no matter */
    HF_TRY(hf_reader_end(&reader, op, "the head of a proof"));
    *out = HF_TAKE(proof);
    return HF_SUCCESS;
}

struct hf_status hf_slot_proof_decode(struct hf_op *op, struct hf_bytes content,
                                      struct hf_slot_proof **out)
{
    HF_AUTO(slot_proof) proof = hf_alloc(sizeof *proof);
    struct hf_reader reader;
    uint8_t format = 0;

    hf_reader_init(&reader, content);
    HF_TRY(take_head(&reader, op, proof, &format));
    take_keyrings(&reader, proof);
    take_failures(&reader, proof);
    proof->unnamed = hf_take_u64(&reader);
    if (format == FORMAT_PARTIAL) {
        take_not_asked(&reader, proof);
    }
    HF_TRY(hf_reader_end(&reader, op, "a proof"));
    *out = HF_TAKE(proof);
    return HF_SUCCESS;
}
