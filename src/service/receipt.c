/* See receipt.h. */
#include "service/receipt.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#define LABEL "holdfast-drill-receipt-1\n"
#define START "{\"drill\":"
#define END   ",\"signatures\":["

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
    const struct hf_slot_proof *newest = hf_ways_newest(drill->ways);
    enum hf_light light = HF_GREEN;

    for (size_t i = 0; i < drill->proofs.count; i++) {
        if (!hf_slot_proof_is_good(drill->proofs.items[i])) {
            return HF_RED;
        }
    }
    if (newest == NULL || drill->proofs.count == 0) {
        return HF_AMBER; /* nothing here opens without a person */
    }
    for (size_t i = 0; i < newest->keyring_count && light == HF_GREEN; i++) {
        if (hf_ways_least(drill->ways, newest->keyrings[i].name) < drill->service->min_ways) {
            light = HF_AMBER;
        }
    }
    return light;
}

static const char *light_name(enum hf_light light)
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

static void put_cell(struct hf_json_writer *writer, const struct hf_slot_proof *proof, bool is_now)
{
    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "node", proof->node);
    hf_json_put_text(writer, "site", proof->site);
    hf_json_put_text(writer, "slot", proof->slot_name);
    hf_json_put_text(writer, "slot_id", proof->slot);
    hf_json_put_text(writer, "result", hf_slot_proof_is_good(proof) ? "opened" : "failed");
    hf_json_put_bool(writer, "now", is_now);
    hf_json_put_date(writer, "proven", proof->when_ms);
    hf_json_put_u64(writer, "seq", proof->seq);
    hf_json_put_u64(writer, "root_generation", proof->root_generation);
    hf_json_put_u64(writer, "records", proof->records);
    hf_json_put_u64(writer, "damaged", proof->damaged);
    hf_json_put_bool(writer, "whole", proof->whole);
    hf_json_put_u64(writer, "versions", proof->versions);
    hf_json_put_u64(writer, "failed", proof->failed);
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
    for (size_t i = 0; i < proofs->count; i++) {
        put_cell(writer, proofs->items[i], is_of(&drill->proofs, proofs->items[i]));
    }
    HF_TRY(hf_seal_slots(drill->service->seal, op, put_other_slot, &cells));
    hf_json_close_array(writer);
    return HF_SUCCESS;
}

static void put_keyrings(struct hf_json_writer *writer, const struct hf_drill *drill)
{
    const struct hf_slot_proof *newest = hf_ways_newest(drill->ways);

    hf_json_open_array(writer, "keyrings");
    for (size_t i = 0; newest != NULL && i < newest->keyring_count; i++) {
        const struct hf_slot_proof_keyring *keyring = &newest->keyrings[i];

        hf_json_open_object(writer, NULL);
        hf_json_put_text(writer, "keyring", keyring->name);
        hf_json_put_u64(writer, "versions", keyring->versions);
        hf_json_put_u64(writer, "failed", keyring->failed);
        hf_json_put_u64(writer, "ways", hf_ways_least(drill->ways, keyring->name));
        hf_json_put_u64(writer, "wanted", drill->service->min_ways);
        hf_json_close_object(writer);
    }
    hf_json_close_array(writer);
}

static void put_failures_of(struct hf_json_writer *writer, const struct hf_slot_proof *proof)
{
    for (size_t i = 0; i < proof->failure_count; i++) {
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

static struct hf_status write_drill(const struct hf_drill *drill, struct hf_op *op,
                                    struct hf_buf *out)
{
    struct hf_service *service = drill->service;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_hex(&writer, "store", hf_seal_store_id(service->seal));
    hf_json_put_text(&writer, "node", service->node);
    hf_json_put_text(&writer, "site", service->site);
    hf_json_put_date(&writer, "begun", drill->begun_ms);
    hf_json_put_date(&writer, "ended", hf_env_realtime_ms(op->env));
    if (drill->keyring != NULL) {
        hf_json_put_text(&writer, "keyring", drill->keyring);
    } else {
        hf_json_put_null(&writer, "keyring");
    }
    hf_json_put_text(&writer, "light", light_name(hf_drill_light(drill)));
    HF_TRY(put_cells(&writer, drill, op));
    put_keyrings(&writer, drill);
    hf_json_open_array(&writer, "failed");
    for (size_t i = 0; i < drill->proofs.count; i++) {
        put_failures_of(&writer, drill->proofs.items[i]);
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- the signature --- */

static struct hf_status fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                    struct hf_bytes public_key, struct hf_buf *out)
{
    uint8_t hash[HF_SHA256_LEN];

    HF_TRY(hf_sha256(crypto, op, public_key, hash));
    hf_hex_add(out, hf_bytes_of(hash, sizeof hash));
    return HF_SUCCESS;
}

static void add_message(struct hf_buf *out, struct hf_bytes drill)
{
    hf_buf_add_text(out, LABEL);
    hf_buf_add_bytes(out, drill);
}

static struct hf_status sign(struct hf_service *service, struct hf_op *op, struct hf_bytes drill,
                             struct hf_buf *out)
{
    HF_AUTO(buf) message = hf_buf_new();
    HF_AUTO(buf) signature = hf_buf_new();
    HF_AUTO(buf) public_key = hf_buf_new();
    HF_AUTO(buf) key = hf_buf_new();

    add_message(message, drill);
    HF_TRY(hf_pkey_sign(service->signer, op, HF_SIGN_ED25519, HF_HASH_SHA512, hf_buf_bytes(message),
                        signature));
    HF_TRY(hf_pkey_public(service->signer, op, public_key));
    HF_TRY(fingerprint(hf_seal_crypto(service->seal), op, hf_buf_bytes(public_key), key));
    hf_buf_add_text(out, "{\"node\":");
    hf_json_add_quoted(out, hf_bytes_of_text(service->node));
    hf_buf_add_format(out, ",\"key\":\"%s\",\"signature\":\"", hf_buf_text(key));
    hf_hex_add(out, hf_buf_bytes(signature));
    hf_buf_add_text(out, "\"}");
    return HF_SUCCESS;
}

struct hf_status hf_receipt_write(const struct hf_drill *drill, struct hf_op *op,
                                  struct hf_buf *out)
{
    HF_AUTO(buf) text = hf_buf_new();

    HF_TRY(write_drill(drill, op, text));
    hf_buf_add_text(out, START);
    hf_buf_add_bytes(out, hf_buf_bytes(text));
    hf_buf_add_text(out, END);
    if (drill->service->signer != NULL) {
        HF_TRY(sign(drill->service, op, hf_buf_bytes(text), out));
    }
    hf_buf_add_text(out, "]}");
    return HF_SUCCESS;
}

/* --- verifying --- */

static struct hf_status refuse(struct hf_op *op, const char *what)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "the receipt is not good: %s", what);
}

/* What was signed are the bytes between the two marks; nothing is written anew for the check. */
static struct hf_status find_drill(struct hf_op *op, struct hf_bytes receipt, struct hf_bytes *out)
{
    const uint8_t *begin = receipt.data;
    const uint8_t *end = NULL;

    while (receipt.len > 0 && strchr(" \t\r\n", receipt.data[receipt.len - 1]) != NULL) {
        receipt.len--;
    }
    if (receipt.len < strlen(START) || memcmp(begin, START, strlen(START)) != 0) {
        return refuse(op, "it does not begin as one");
    }
    for (size_t at = strlen(START); at + strlen(END) <= receipt.len; at++) {
        end = memcmp(begin + at, END, strlen(END)) == 0 ? begin + at : end;
    }
    if (end == NULL) {
        return refuse(op, "it has no signatures");
    }
    *out = hf_bytes_of(begin + strlen(START), (size_t)(end - begin) - strlen(START));
    return HF_SUCCESS;
}

static struct hf_status check_one(const struct hf_pkey *pkey, struct hf_op *op,
                                  const struct hf_json *entry, struct hf_bytes message,
                                  bool *out_valid)
{
    HF_AUTO(buf) signature = hf_buf_new();
    const char *text = NULL;

    if (hf_json_text(op, entry, "signature", &text).code != HF_OK ||
        hf_hex_decode(op, hf_bytes_of_text(text), signature).code != HF_OK) {
        return refuse(op, "a signature is no hex");
    }
    return hf_pkey_verify(pkey, op, HF_SIGN_ED25519, HF_HASH_SHA512, message,
                          hf_buf_bytes(signature), out_valid);
}

/* The entry that says it is this key's must be good; others are for other keys to check. */
static struct hf_status check_signatures(const struct hf_pkey *pkey, struct hf_op *op,
                                         const struct hf_json *signatures, const char *key,
                                         struct hf_bytes message)
{
    bool is_there = false;

    for (size_t i = 0; i < hf_json_count(signatures); i++) {
        const struct hf_json *entry = hf_json_at(signatures, i);
        const char *entry_key = NULL;
        bool is_valid = false;

        if (hf_json_text(op, entry, "key", &entry_key).code != HF_OK) {
            return refuse(op, "a signature names no key");
        }
        if (strcmp(entry_key, key) != 0) {
            continue;
        }
        is_there = true;
        HF_TRY(check_one(pkey, op, entry, message, &is_valid));
        if (!is_valid) {
            return refuse(op, "it was changed after it was signed");
        }
    }
    return is_there ? HF_SUCCESS : refuse(op, "it is not signed with this key");
}

struct hf_status hf_receipt_verify(struct hf_crypto *crypto, struct hf_op *op,
                                   struct hf_bytes receipt, struct hf_bytes public_key)
{
    HF_AUTO(json) json = NULL;
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(buf) message = hf_buf_new();
    HF_AUTO(buf) key = hf_buf_new();
    const struct hf_json *signatures = NULL;
    struct hf_bytes drill = HF_BYTES_NONE;

    HF_TRY(find_drill(op, receipt, &drill));
    if (hf_json_parse(op, receipt, &json).code != HF_OK) {
        return refuse(op, "it is not JSON");
    }
    if (hf_json_array_or(op, json, "signatures", &signatures).code != HF_OK) {
        return refuse(op, "it has no signatures");
    }
    HF_TRY(hf_pkey_from_public(crypto, op, public_key, &pkey));
    HF_TRY(fingerprint(crypto, op, public_key, key));
    add_message(message, drill);
    return check_signatures(pkey, op, signatures, hf_buf_text(key), hf_buf_bytes(message));
}
