/* Verifying a receipt offline: every byte of it is under a signature, and they fit together. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "service/receipt.h"

#define START "{\"drill\":"
#define PARTS ",\"parts\":["

struct verifying {
    struct hf_crypto *crypto;
    struct hf_op *op;
    const struct hf_bytes *trusted;
    size_t trusted_count;
    const struct hf_json *drill; /* the end, as it is signed */
    const struct hf_json *parts;
    struct hf_receipt_signers *signers;
    bool has_failed; /* a part says that something did not open */
};

void hf_receipt_signers_free(struct hf_receipt_signers *signers)
{
    if (signers != NULL) {
        free(signers->items);
        free(signers);
    }
}

static struct hf_status refuse(struct hf_op *op, const char *what)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "the receipt is not good: %s", what);
}

/* --- what is in it --- */

/* A text that must be there. */
static struct hf_status text_of(struct hf_op *op, const struct hf_json *object, const char *name,
                                const char **out)
{
    return hf_json_is_object(object) && hf_json_text(op, object, name, out).code == HF_OK
               ? HF_SUCCESS
               : refuse(op, "something is missing in it");
}

static struct hf_status array_of(struct hf_op *op, const struct hf_json *object, const char *name,
                                 const struct hf_json **out)
{
    *out = NULL;
    if (hf_json_array_or(op, object, name, out).code != HF_OK || *out == NULL) {
        return refuse(op, "something is missing in it");
    }
    return HF_SUCCESS;
}

static struct hf_status hex_of(struct hf_op *op, const struct hf_json *object, const char *name,
                               struct hf_buf *out)
{
    const char *text = "";

    HF_TRY(text_of(op, object, name, &text));
    return hf_hex_decode(op, hf_bytes_of_text(text), out).code == HF_OK
               ? HF_SUCCESS
               : refuse(op, "a key, digest or signature is no hex");
}

/*
 * The end as it was signed: from the first mark to the next. That it is JSON by itself makes it the
 * same as the member "drill" of the whole, whatever stands behind it.
 */
static struct hf_status find_end(struct hf_op *op, struct hf_bytes receipt, struct hf_bytes *out)
{
    if (receipt.len < strlen(START) || memcmp(receipt.data, START, strlen(START)) != 0) {
        return refuse(op, "it does not begin as one");
    }
    for (size_t at = strlen(START); at + strlen(PARTS) <= receipt.len; at++) {
        if (memcmp(receipt.data + at, PARTS, strlen(PARTS)) == 0) {
            *out = hf_bytes_of(receipt.data + strlen(START), at - strlen(START));
            return HF_SUCCESS;
        }
    }
    return refuse(op, "it has no parts");
}

static struct hf_status parse(struct hf_op *op, struct hf_bytes text, struct hf_json **out)
{
    struct hf_json *json = NULL;

    if (hf_json_parse(op, text, &json).code != HF_OK || !hf_json_is_object(json)) {
        hf_json_free(json);
        return refuse(op, "it is not JSON");
    }
    *out = json;
    return HF_SUCCESS;
}

/* --- signatures --- */

static bool is_trusted(const struct verifying *verifying, struct hf_bytes public_key)
{
    for (size_t i = 0; i < verifying->trusted_count; i++) {
        if (hf_bytes_equal(verifying->trusted[i], public_key)) {
            return true;
        }
    }
    return false;
}

static struct hf_status add_signer(struct verifying *verifying, const char *node,
                                   struct hf_bytes public_key, bool ended)
{
    struct hf_receipt_signers *signers = verifying->signers;
    struct hf_receipt_signer signer = { .trusted = is_trusted(verifying, public_key),
                                        .ended = ended };
    uint8_t hash[HF_SHA256_LEN];
    HF_AUTO(buf) hex = hf_buf_new();

    HF_TRY(hf_sha256(verifying->crypto, verifying->op, public_key, hash));
    hf_hex_add(hex, hf_bytes_of(hash, sizeof hash));
    memcpy(signer.key, hf_buf_text(hex), sizeof signer.key);
    memcpy(signer.node, node, strnlen(node, sizeof signer.node - 1));
    signers->items = hf_realloc_array(signers->items, signers->count + 1, sizeof *signers->items);
    signers->items[signers->count++] = signer;
    return HF_SUCCESS;
}

/* The key that stands beside the signature has made it; who owns the key is asked elsewhere. */
static struct hf_status check_signature(const struct verifying *verifying,
                                        enum hf_receipt_what what, struct hf_bytes document,
                                        const struct hf_json *entry, struct hf_buf *out_key)
{
    struct hf_op *op = verifying->op;
    HF_AUTO(buf) signature = hf_buf_new();
    bool is_valid = false;

    HF_TRY(hex_of(op, entry, "key", out_key));
    HF_TRY(hex_of(op, entry, "signature", signature));
    if (hf_receipt_check(verifying->crypto, op, what, document, hf_buf_bytes(out_key),
                         hf_buf_bytes(signature), &is_valid)
                .code != HF_OK ||
        !is_valid) {
        return refuse(op, "it was changed after it was signed");
    }
    return HF_SUCCESS;
}

static struct hf_status check_end(struct verifying *verifying, const struct hf_json *whole,
                                  struct hf_bytes document)
{
    struct hf_op *op = verifying->op;
    const struct hf_json *signatures = NULL;
    const struct hf_json *entry;
    HF_AUTO(buf) key = hf_buf_new();
    const char *node = "";
    const char *ended_on = "";

    HF_TRY(array_of(op, whole, "signatures", &signatures));
    if (hf_json_count(signatures) != 1) {
        return refuse(op, "it has not one signature for all of it");
    }
    entry = hf_json_at(signatures, 0);
    HF_TRY(text_of(op, entry, "node", &node));
    HF_TRY(text_of(op, verifying->drill, "ended_on", &ended_on));
    HF_TRY(check_signature(verifying, HF_RECEIPT_END, document, entry, key));
    if (strcmp(node, ended_on) != 0) {
        return refuse(op, "another node has signed it than it says");
    }
    if (!is_trusted(verifying, hf_buf_bytes(key))) {
        return refuse(op, "it is not signed with this key");
    }
    return add_signer(verifying, node, hf_buf_bytes(key), true);
}

/* --- parts --- */

/* NULL unless there is exactly one of that node. */
static const struct hf_json *part_of(const struct verifying *verifying, const char *node)
{
    const struct hf_json *found = NULL;
    size_t count = 0;

    for (size_t i = 0; i < hf_json_count(verifying->parts); i++) {
        const struct hf_json *entry = hf_json_at(verifying->parts, i);
        const char *name = "";

        if (text_of(verifying->op, entry, "node", &name).code == HF_OK && strcmp(name, node) == 0) {
            found = entry;
            count++;
        }
    }
    hf_op_clear(verifying->op);
    return count == 1 ? found : NULL;
}

static struct hf_status same_text(struct hf_op *op, const struct hf_json *a, const char *a_name,
                                  const struct hf_json *b, const char *b_name)
{
    const char *a_text = "";
    const char *b_text = "";

    HF_TRY(text_of(op, a, a_name, &a_text));
    HF_TRY(text_of(op, b, b_name, &b_text));
    return strcmp(a_text, b_text) == 0 ? HF_SUCCESS
                                       : refuse(op, "a part is of another drill or node");
}

/* What the node has signed is about this drill and from this node, and it says what opened. */
static struct hf_status check_document(struct verifying *verifying, struct hf_bytes document,
                                       const struct hf_json *entry)
{
    struct hf_op *op = verifying->op;
    HF_AUTO(json) part = NULL;
    const struct hf_json *cells = NULL;

    HF_TRY(parse(op, document, &part));
    HF_TRY(same_text(op, part, "drill", verifying->drill, "id"));
    HF_TRY(same_text(op, part, "store", verifying->drill, "store"));
    HF_TRY(same_text(op, part, "node", entry, "node"));
    HF_TRY(array_of(op, part, "cells", &cells));
    for (size_t i = 0; i < hf_json_count(cells); i++) {
        const char *result = "";

        HF_TRY(text_of(op, hf_json_at(cells, i), "result", &result));
        verifying->has_failed = verifying->has_failed ||
                                (strcmp(result, "opened") != 0 && strcmp(result, "not asked") != 0);
    }
    return HF_SUCCESS;
}

/* The end names the part by its digest, and the node's key as its sealed records have it. */
static struct hf_status check_part(struct verifying *verifying, const struct hf_json *node,
                                   const char *name)
{
    struct hf_op *op = verifying->op;
    const struct hf_json *entry = part_of(verifying, name);
    HF_AUTO(buf) digest = hf_buf_new();
    HF_AUTO(buf) named_key = hf_buf_new();
    HF_AUTO(buf) key = hf_buf_new();
    uint8_t found[HF_SHA256_LEN];
    const char *document = "";

    if (entry == NULL) {
        return refuse(op, "the part of a node that answered is missing");
    }
    HF_TRY(text_of(op, entry, "part", &document));
    HF_TRY(hex_of(op, node, "digest", digest));
    HF_TRY(hex_of(op, node, "key", named_key));
    HF_TRY(hf_sha256(verifying->crypto, op, hf_bytes_of_text(document), found));
    if (!hf_bytes_equal(hf_buf_bytes(digest), hf_bytes_of(found, sizeof found))) {
        return refuse(op, "a part is not the one that the drill ended with");
    }
    HF_TRY(check_signature(verifying, HF_RECEIPT_PART, hf_bytes_of_text(document), entry, key));
    if (!hf_bytes_equal(hf_buf_bytes(key), hf_buf_bytes(named_key))) {
        return refuse(op, "a part is signed with another key than the node's");
    }
    HF_TRY(check_document(verifying, hf_bytes_of_text(document), entry));
    return add_signer(verifying, name, hf_buf_bytes(key), false);
}

static struct hf_status check_parts(struct verifying *verifying, bool *out_silent)
{
    struct hf_op *op = verifying->op;
    const struct hf_json *nodes = NULL;
    size_t answered = 0;

    HF_TRY(array_of(op, verifying->drill, "nodes", &nodes));
    for (size_t i = 0; i < hf_json_count(nodes); i++) {
        const struct hf_json *node = hf_json_at(nodes, i);
        const char *name = "";
        const char *result = "";

        HF_TRY(text_of(op, node, "node", &name));
        HF_TRY(text_of(op, node, "result", &result));
        if (strcmp(result, "answered") != 0) {
            *out_silent = true;
            continue;
        }
        HF_TRY(check_part(verifying, node, name));
        answered++;
    }
    return answered == hf_json_count(verifying->parts)
               ? HF_SUCCESS
               : refuse(op, "it has a part that the drill did not end with");
}

/* No brighter than what the nodes themselves have signed. */
static struct hf_status check_light(const struct verifying *verifying, bool silent)
{
    const char *light = "";
    bool is_red;

    HF_TRY(text_of(verifying->op, verifying->drill, "light", &light));
    is_red = strcmp(light, "red") == 0;
    if ((verifying->has_failed && !is_red) || (silent && strcmp(light, "green") == 0)) {
        return refuse(verifying->op, "its light is brighter than its parts are");
    }
    return HF_SUCCESS;
}

static struct hf_status check_all(struct verifying *verifying, const struct hf_json *whole,
                                  struct hf_bytes document)
{
    static const char *const members[] = { "drill", "parts", "signatures", NULL };
    bool silent = false;

    if (hf_json_only(verifying->op, whole, members).code != HF_OK) {
        return refuse(verifying->op, "it holds more than a receipt does");
    }
    HF_TRY(array_of(verifying->op, whole, "parts", &verifying->parts));
    HF_TRY(check_end(verifying, whole, document));
    HF_TRY(check_parts(verifying, &silent));
    return check_light(verifying, silent);
}

struct hf_status hf_receipt_verify(struct hf_crypto *crypto, struct hf_op *op,
                                   struct hf_bytes receipt, const struct hf_bytes *trusted,
                                   size_t count, struct hf_receipt_signers **out)
{
    HF_AUTO(receipt_signers) signers = hf_alloc(sizeof *signers);
    HF_AUTO(json) whole = NULL;
    HF_AUTO(json) drill = NULL;
    struct hf_bytes document = HF_BYTES_NONE;
    struct verifying verifying = {
        .crypto = crypto, .op = op, .trusted = trusted, .trusted_count = count, .signers = signers
    };

    HF_TRY(find_end(op, receipt, &document));
    HF_TRY(parse(op, document, &drill));
    HF_TRY(parse(op, receipt, &whole));
    verifying.drill = drill;
    HF_TRY(check_all(&verifying, whole, document));
    *out = HF_TAKE(signers);
    return HF_SUCCESS;
}
