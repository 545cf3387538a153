/* See receipt.h. */
#include "service/receipt.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#define FORMAT 2

/* Names of failures in the end of a drill: a record has room for a megabyte. */
#define FAILURE_BYTES ((size_t)256 << 10)
/* Of a part as a record: a megabyte, with its key and signature. */
#define PART_BYTES ((size_t)1000 << 10)
/* Keyrings in the proofs of a part, where there is too much to tell. */
#define KEYRING_BYTES ((size_t)128 << 10)

static bool is_of(const struct hf_slot_proofs *proofs, const struct hf_slot_proof *proof)
{
    for (size_t i = 0; i < proofs->count; i++) {
        if (proofs->items[i] == proof) {
            return true;
        }
    }
    return false;
}

enum hf_light hf_drill_light(const struct hf_drill *drill)
{
    const struct hf_ways *ways = drill->ways;
    enum hf_light light = HF_GREEN;

    for (size_t i = 0; i < drill->proofs.count; i++) {
        if (!hf_slot_proof_is_good(drill->proofs.items[i])) {
            return HF_RED;
        }
        /* Of these keyrings it cannot be told in how many ways they open. */
        if (hf_slot_proof_unlisted(drill->proofs.items[i]) > 0) {
            light = HF_AMBER;
        }
    }
    /* Who is silent has proven nothing; and a node without slots opens nothing without a person. */
    if (hf_ways_newest(ways) == NULL || drill->proofs.count == 0 || drill->silent > 0) {
        return HF_AMBER;
    }
    for (size_t i = 0; i < ways->keyring_count && light == HF_GREEN; i++) {
        const char *keyring = ways->keyrings[i]->name;

        if (hf_ways_least(ways, keyring) < hf_ways_wanted(ways, keyring)) {
            light = HF_AMBER;
        }
    }
    return light;
}

const char *hf_light_name(enum hf_light light)
{
    static const char *const names[] = {
        [HF_GREEN] = "green", [HF_AMBER] = "amber", [HF_RED] = "red"
    };

    return names[light];
}

/* --- the matrix --- */

struct cells {
    struct hf_json_writer *writer;
    const struct hf_drill *drill;
};

static void put_date(struct hf_json_writer *writer, const char *name, uint64_t date_ms)
{
    if (date_ms != 0) {
        hf_json_put_date(writer, name, date_ms);
    } else {
        hf_json_put_null(writer, name);
    }
}

/* Opened, but of all keyrings that the drill is about none is served there: that proves nothing. */
static const char *result_of(const struct hf_slot_proof *proof)
{
    if (!hf_slot_proof_is_good(proof)) {
        return "failed";
    }
    return proof->versions == 0 && proof->not_asked_count > 0 ? "not asked" : "opened";
}

static void put_not_asked(struct hf_json_writer *writer, const struct hf_slot_proof *proof,
                          enum hf_drill_trim trim)
{
    if (proof->not_asked_count > 0 && trim == HF_DRILL_WHOLE) {
        hf_json_open_array(writer, "not_asked");
        for (size_t i = 0; i < proof->not_asked_count; i++) {
            hf_json_put_text(writer, NULL, proof->not_asked[i]);
        }
        hf_json_close_array(writer);
    }
}

static void put_cell(struct hf_json_writer *writer, const struct hf_slot_proof *proof, bool is_now,
                     enum hf_drill_trim trim)
{
    uint64_t unlisted = hf_slot_proof_unlisted(proof);

    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "node", proof->node);
    hf_json_put_text(writer, "site", proof->site);
    hf_json_put_text(writer, "slot", proof->slot_name);
    hf_json_put_text(writer, "slot_id", proof->slot);
    hf_json_put_text(writer, "result", result_of(proof));
    hf_json_put_bool(writer, "now", is_now);
    hf_json_put_date(writer, "proven", proof->when_ms);
    hf_json_put_u64(writer, "seq", proof->seq);
    hf_json_put_u64(writer, "root_generation", proof->root_generation);
    hf_json_put_u64(writer, "records", proof->records);
    hf_json_put_u64(writer, "damaged", proof->damaged);
    hf_json_put_bool(writer, "whole", proof->whole);
    hf_json_put_u64(writer, "versions", proof->versions);
    hf_json_put_u64(writer, "failed", proof->failed);
    if (unlisted > 0) {
        hf_json_put_u64(writer, "unlisted", unlisted);
    }
    put_not_asked(writer, proof, trim);
    if (proof->cause != HF_CAUSE_NONE) {
        hf_json_put_text(writer, "cause", hf_cause_name(proof->cause));
    }
    hf_json_put_text(writer, "text", proof->text);
    hf_json_close_object(writer);
}

static bool has_proof(const struct hf_slot_proofs *proofs, const char *slot)
{
    for (size_t i = 0; i < proofs->count; i++) {
        if (strcmp(proofs->items[i]->slot, slot) == 0) {
            return true;
        }
    }
    return false;
}

/* A slot that no drill opens: it is never green, and its age says how much of a hope it is. */
static void put_other_slot(void *context, const struct hf_slot_info *slot)
{
    const struct cells *cells = context;
    struct hf_json_writer *writer = cells->writer;

    if (has_proof(cells->drill->ways->proofs, slot->id)) {
        return;
    }
    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "node", "");
    hf_json_put_text(writer, "site", "");
    hf_json_put_text(writer, "slot", slot->name);
    hf_json_put_text(writer, "slot_id", slot->id);
    hf_json_put_text(writer, "result", slot->needs_human ? "people" : "elsewhere");
    hf_json_put_bool(writer, "now", false);
    put_date(writer, "proven", slot->proven_ms);
    hf_json_put_u64(writer, "root_generation", slot->proven_generation);
    hf_json_close_object(writer);
}

static struct hf_status put_cells(struct hf_json_writer *writer, const struct hf_drill *drill,
                                  struct hf_op *op)
{
    const struct hf_slot_proofs *proofs = drill->ways->proofs;
    struct cells cells = { writer, drill };

    hf_json_open_array(writer, "cells");
    if (drill->trim != HF_DRILL_WITHOUT_CELLS) {
        for (size_t i = 0; i < proofs->count; i++) {
            put_cell(writer, proofs->items[i], is_of(&drill->proofs, proofs->items[i]),
                     drill->trim);
        }
        HF_TRY(hf_seal_slots(drill->service->seal, op, put_other_slot, &cells));
    }
    hf_json_close_array(writer);
    return HF_SUCCESS;
}

static void put_keyrings(struct hf_json_writer *writer, const struct hf_drill *drill)
{
    size_t count = drill->trim == HF_DRILL_WITHOUT_CELLS ? 0 : drill->ways->keyring_count;

    hf_json_open_array(writer, "keyrings");
    for (size_t i = 0; i < count; i++) {
        const struct hf_slot_proof_keyring *keyring = drill->ways->keyrings[i];

        hf_json_open_object(writer, NULL);
        hf_json_put_text(writer, "keyring", keyring->name);
        hf_json_put_u64(writer, "versions", keyring->versions);
        hf_json_put_u64(writer, "failed", keyring->failed);
        hf_json_put_u64(writer, "ways", hf_ways_least(drill->ways, keyring->name));
        hf_json_put_u64(writer, "wanted", hf_ways_wanted(drill->ways, keyring->name));
        hf_json_close_object(writer);
    }
    hf_json_close_array(writer);
}

/* As many as there is room for; cells say how many there are. */
static void put_failures_of(struct hf_json_writer *writer, const struct hf_slot_proof *proof,
                            size_t limit)
{
    for (size_t i = 0; i < proof->failure_count && writer->out->len < limit; i++) {
        const struct hf_failed_version *failure = &proof->failures[i];
        HF_AUTO(buf) label = hf_buf_new();

        hf_record_label(failure->path, label);
        hf_json_open_object(writer, NULL);
        hf_json_put_text(writer, "what", hf_buf_text(label));
        hf_json_put_text(writer, "node", proof->node);
        hf_json_put_text(writer, "slot", proof->slot_name);
        hf_json_put_text(writer, "cause", hf_cause_name(failure->cause));
        hf_json_put_text(writer, "record", failure->failed_at);
        hf_json_close_object(writer);
    }
}

static void put_failures(struct hf_json_writer *writer, const struct hf_slot_proofs *proofs,
                         enum hf_drill_trim trim)
{
    size_t limit = writer->out->len + (trim == HF_DRILL_WHOLE ? FAILURE_BYTES : 0);

    hf_json_open_array(writer, "failed");
    for (size_t i = 0; i < proofs->count; i++) {
        put_failures_of(writer, proofs->items[i], limit);
    }
    hf_json_close_array(writer);
}

static void put_keyring(struct hf_json_writer *writer, const struct hf_drill_run *run)
{
    if (run->keyring[0] != '\0') {
        hf_json_put_text(writer, "keyring", run->keyring);
    } else {
        hf_json_put_null(writer, "keyring");
    }
}

/* --- the documents --- */

struct part_writer {
    struct hf_service *service;
    struct hf_op *op;
    const struct hf_drill_run *run;
    uint64_t begun_ms;
    struct hf_drill_part *part;
};

static void write_part(const struct part_writer *from, enum hf_drill_trim trim)
{
    const struct hf_slot_proofs *proofs = &from->part->proofs;
    struct hf_service *service = from->service;
    struct hf_json_writer writer;

    hf_buf_clear(&from->part->document);
    hf_json_writer_init(&writer, &from->part->document);
    hf_json_open_object(&writer, NULL);
    hf_json_put_u64(&writer, "format", FORMAT);
    hf_json_put_text(&writer, "drill", from->run->id);
    hf_json_put_hex(&writer, "store", hf_seal_store_id(service->seal));
    hf_json_put_text(&writer, "node", service->node);
    hf_json_put_text(&writer, "site", service->site);
    hf_json_put_date(&writer, "begun", from->begun_ms);
    hf_json_put_date(&writer, "ended", hf_env_realtime_ms(from->op->env));
    put_keyring(&writer, from->run);
    hf_json_open_array(&writer, "cells");
    for (size_t i = 0; i < proofs->count; i++) {
        put_cell(&writer, proofs->items[i], true, trim);
    }
    hf_json_close_array(&writer);
    put_failures(&writer, proofs, trim);
    if (trim != HF_DRILL_WHOLE) {
        hf_json_put_bool(&writer, "trimmed", true);
    }
    hf_json_close_object(&writer);
}

static bool fits(const struct hf_drill_part *part)
{
    HF_AUTO(buf) content = hf_buf_new();

    hf_drill_part_encode(part, content);
    return content->len <= PART_BYTES;
}

/* Whatever there is to tell: a part that could not be written would be one that failed. */
void hf_receipt_write_part(struct hf_service *service, struct hf_op *op,
                           const struct hf_drill_run *run, uint64_t begun_ms,
                           struct hf_drill_part *part)
{
    const struct part_writer writer = { service, op, run, begun_ms, part };

    write_part(&writer, HF_DRILL_WHOLE);
    if (!fits(part)) {
        write_part(&writer, HF_DRILL_WITHOUT_LISTS);
    }
    if (!fits(part)) {
        for (size_t i = 0; i < part->proofs.count; i++) {
            hf_slot_proof_trim_keyrings(part->proofs.items[i], KEYRING_BYTES / part->proofs.count);
        }
        write_part(&writer, HF_DRILL_WITHOUT_LISTS); /* the cells count what went */
    }
}

static struct hf_status add_digest(struct hf_crypto *crypto, struct hf_op *op,
                                   struct hf_bytes document, struct hf_buf *out)
{
    uint8_t digest[HF_SHA256_LEN];

    HF_TRY(hf_sha256(crypto, op, document, digest));
    hf_buf_add(out, digest, sizeof digest);
    return HF_SUCCESS;
}

static struct hf_status put_answer(struct hf_json_writer *writer, const struct hf_drill *drill,
                                   struct hf_op *op, const struct hf_drill_part *part)
{
    HF_AUTO(buf) digest = hf_buf_new();

    if (part == NULL || part->state == HF_PART_RUNS) {
        hf_json_put_text(writer, "result", "silent");
        return HF_SUCCESS;
    }
    if (part->state == HF_PART_FAILED) {
        hf_json_put_text(writer, "result", "failed");
        hf_json_put_text(writer, "text", part->text);
        return HF_SUCCESS;
    }
    HF_TRY(add_digest(hf_seal_crypto(drill->service->seal), op, hf_buf_bytes(&part->document),
                      digest));
    hf_json_put_text(writer, "result", "answered");
    hf_json_put_hex(writer, "digest", hf_buf_bytes(digest));
    hf_json_put_hex(writer, "key", hf_buf_bytes(&part->public_key));
    return HF_SUCCESS;
}

static struct hf_status put_nodes(struct hf_json_writer *writer, const struct hf_drill *drill,
                                  struct hf_op *op)
{
    const struct hf_drill_run *run = drill->run;

    hf_json_open_array(writer, "nodes");
    for (size_t i = 0; i < run->node_count; i++) {
        hf_json_open_object(writer, NULL);
        hf_json_put_text(writer, "node", run->nodes[i].name);
        hf_json_put_text(writer, "site", run->nodes[i].site);
        HF_TRY(put_answer(writer, drill, op, drill->parts[i]));
        hf_json_close_object(writer);
    }
    hf_json_close_array(writer);
    return HF_SUCCESS;
}

struct hf_status hf_receipt_write_end(const struct hf_drill *drill, struct hf_op *op,
                                      struct hf_buf *out)
{
    struct hf_service *service = drill->service;
    const struct hf_drill_run *run = drill->run;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_u64(&writer, "format", FORMAT);
    hf_json_put_text(&writer, "id", run->id);
    hf_json_put_hex(&writer, "store", hf_seal_store_id(service->seal));
    hf_json_put_text(&writer, "asked_on", run->node);
    hf_json_put_text(&writer, "ended_on", service->node);
    hf_json_put_date(&writer, "begun", run->begun_ms);
    hf_json_put_date(&writer, "ended", hf_env_realtime_ms(op->env));
    put_keyring(&writer, run);
    hf_json_put_text(&writer, "light", hf_light_name(hf_drill_light(drill)));
    HF_TRY(put_nodes(&writer, drill, op));
    HF_TRY(put_cells(&writer, drill, op));
    put_keyrings(&writer, drill);
    put_failures(&writer, &drill->proofs, drill->trim);
    if (drill->trim != HF_DRILL_WHOLE) {
        hf_json_put_bool(&writer, "trimmed", true);
    }
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- signatures --- */

/* The label, and the digest of the document. */
static struct hf_status make_message(struct hf_crypto *crypto, struct hf_op *op,
                                     enum hf_receipt_what what, struct hf_bytes document,
                                     struct hf_buf *out)
{
    static const char *const labels[] = { [HF_RECEIPT_PART] = "holdfast-drill-part-2\n",
                                          [HF_RECEIPT_END] = "holdfast-drill-receipt-2\n" };

    hf_buf_add_text(out, labels[what]);
    return add_digest(crypto, op, document, out);
}

struct hf_status hf_receipt_sign(struct hf_service *service, struct hf_op *op,
                                 enum hf_receipt_what what, struct hf_bytes document,
                                 struct hf_buf *out_public_key, struct hf_buf *out_signature)
{
    HF_AUTO(buf) message = hf_buf_new();

    if (service->signer == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(make_message(hf_seal_crypto(service->seal), op, what, document, message));
    HF_TRY(hf_pkey_sign(service->signer, op, HF_SIGN_ED25519, HF_HASH_SHA512, hf_buf_bytes(message),
                        out_signature));
    return hf_pkey_public(service->signer, op, out_public_key);
}

struct hf_status hf_receipt_check(struct hf_crypto *crypto, struct hf_op *op,
                                  enum hf_receipt_what what, struct hf_bytes document,
                                  struct hf_bytes public_key, struct hf_bytes signature,
                                  bool *out_valid)
{
    HF_AUTO(buf) message = hf_buf_new();
    HF_AUTO(pkey) pkey = NULL;

    HF_TRY(make_message(crypto, op, what, document, message));
    HF_TRY(hf_pkey_from_public(crypto, op, public_key, &pkey));
    return hf_pkey_verify(pkey, op, HF_SIGN_ED25519, HF_HASH_SHA512, hf_buf_bytes(message),
                          signature, out_valid);
}

/* --- all together --- */

static void put_signature(struct hf_json_writer *writer, const char *node,
                          const struct hf_buf *public_key, const struct hf_buf *signature)
{
    hf_json_put_text(writer, "node", node);
    hf_json_put_hex(writer, "key", hf_buf_bytes(public_key));
    hf_json_put_hex(writer, "signature", hf_buf_bytes(signature));
}

/* The documents as they were signed: the end stands as it is, parts are texts in it. */
void hf_receipt_join(const struct hf_drill_end *end, struct hf_drill_part *const *parts,
                     size_t count, struct hf_buf *out)
{
    struct hf_json_writer writer;

    hf_buf_add_text(out, "{\"drill\":");
    hf_buf_add_bytes(out, hf_buf_bytes(&end->document));
    hf_json_writer_init(&writer, out);
    writer.comma = true;
    hf_json_open_array(&writer, "parts");
    for (size_t i = 0; i < count; i++) {
        if (parts[i] != NULL && parts[i]->state == HF_PART_DONE) {
            hf_json_open_object(&writer, NULL);
            put_signature(&writer, parts[i]->node, &parts[i]->public_key, &parts[i]->signature);
            hf_json_put_bytes_text(&writer, "part", hf_buf_bytes(&parts[i]->document));
            hf_json_close_object(&writer);
        }
    }
    hf_json_close_array(&writer);
    hf_json_open_array(&writer, "signatures");
    hf_json_open_object(&writer, NULL);
    put_signature(&writer, end->node, &end->public_key, &end->signature);
    hf_json_close_object(&writer);
    hf_json_close_array(&writer);
    hf_buf_add_text(out, "}");
}
