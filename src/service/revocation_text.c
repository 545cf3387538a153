/* The statement of a revocation as text, and its MAC. */
#include <string.h>

#include "base/codec.h"
#include "base/json.h"
#include "base/text.h"
#include "service/revocation.h"
#include "service/service.h"

/* The format is in the labels, so that a later one shares neither key nor MAC with this one. */
#define SUBKEY_USE "revocation v1"
#define MAC_LABEL  "holdfast revocation 1"

void hf_revocation_write(const struct hf_revocation *revocation, struct hf_buf *out)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_u64(&writer, "revocation", HF_REVOCATION_FORMAT);
    hf_json_put_hex(&writer, "store", hf_bytes_of(revocation->store, sizeof revocation->store));
    hf_json_put_text(&writer, "keyring", revocation->keyring);
    hf_json_put_text(&writer, "key", revocation->key);
    if (revocation->version == HF_LATEST) {
        hf_json_put_null(&writer, "version");
    } else {
        hf_json_put_u64(&writer, "version", revocation->version);
    }
    hf_json_put_text(&writer, "state", hf_revoked_as_name(revocation->as));
    hf_json_put_u64(&writer, "commit", revocation->seq);
    hf_json_put_text(&writer, "node", revocation->node);
    hf_json_put_hex(&writer, "mac", hf_bytes_of(revocation->mac, sizeof revocation->mac));
    hf_json_close_object(&writer);
}

/* --- reading --- */

static struct hf_status fail_member(struct hf_op *op, const char *name)
{
    return hf_fail(op, HF_INVALID, "the member \"%s\" is not what a revocation has there", name);
}

static struct hf_status read_text(struct hf_op *op, const struct hf_json *json, const char *name,
                                  char *out, size_t size)
{
    const char *text = NULL;
    size_t len;

    HF_TRY(hf_json_text(op, json, name, &text));
    len = strlen(text);
    if (len == 0 || len >= size) {
        return fail_member(op, name);
    }
    memcpy(out, text, len + 1);
    return HF_SUCCESS;
}

static struct hf_status read_hex(struct hf_op *op, const struct hf_json *json, const char *name,
                                 uint8_t *out, size_t len)
{
    HF_AUTO(buf) bytes = hf_buf_new();
    const char *text = NULL;

    HF_TRY(hf_json_text(op, json, name, &text));
    if (hf_hex_decode(op, hf_bytes_of_text(text), bytes).code != HF_OK || bytes->len != len) {
        return fail_member(op, name);
    }
    memcpy(out, bytes->data, len);
    return HF_SUCCESS;
}

static struct hf_status read_number(struct hf_op *op, const struct hf_json *json, const char *name,
                                    uint64_t *out)
{
    HF_TRY(hf_json_u64_or(op, json, name, 0, out));
    return *out > 0 ? HF_SUCCESS : fail_member(op, name);
}

/* null is the key as a whole. */
static struct hf_status read_version(struct hf_op *op, const struct hf_json *json, uint32_t *out)
{
    uint64_t version = UINT64_MAX;

    HF_TRY(hf_json_u64_or(op, json, "version", UINT64_MAX, &version));
    if (!hf_json_has(json, "version") || (version >= HF_LATEST && version != UINT64_MAX)) {
        return fail_member(op, "version");
    }
    *out = version == UINT64_MAX ? HF_LATEST : (uint32_t)version;
    return HF_SUCCESS;
}

static struct hf_status check_format(struct hf_op *op, const struct hf_json *json)
{
    static const char *const members[] = { "revocation", "store",  "keyring", "key", "version",
                                           "state",      "commit", "node",    "mac", NULL };
    uint64_t format = 0;

    if (!hf_json_is_object(json) || !hf_json_has(json, "revocation")) {
        return hf_fail(op, HF_INVALID,
                       "this is no revocation; 'holdfast key revocation' writes them");
    }
    HF_TRY(read_number(op, json, "revocation", &format));
    if (format != HF_REVOCATION_FORMAT) {
        return hf_fail(op, HF_INVALID, "this revocation is of another release's form");
    }
    return hf_json_only(op, json, members);
}

struct hf_status hf_revocation_read(struct hf_op *op, struct hf_bytes text,
                                    struct hf_revocation *out)
{
    struct hf_revocation revocation = { 0 };
    HF_AUTO(json) json = NULL;
    const char *state = NULL;

    HF_TRY(hf_json_parse(op, text, &json));
    HF_TRY(check_format(op, json));
    HF_TRY(read_hex(op, json, "store", revocation.store, sizeof revocation.store));
    HF_TRY(read_text(op, json, "keyring", revocation.keyring, sizeof revocation.keyring));
    HF_TRY(read_text(op, json, "key", revocation.key, sizeof revocation.key));
    HF_TRY(read_version(op, json, &revocation.version));
    HF_TRY(hf_json_text(op, json, "state", &state));
    HF_TRY(hf_revoked_as_parse(op, state, revocation.version == HF_LATEST, &revocation.as));
    HF_TRY(read_number(op, json, "commit", &revocation.seq));
    HF_TRY(read_text(op, json, "node", revocation.node, sizeof revocation.node));
    HF_TRY(read_hex(op, json, "mac", revocation.mac, sizeof revocation.mac));
    *out = revocation;
    return HF_SUCCESS;
}

/* --- the MAC --- */

/*
 * From the secret that heartbeats are authenticated with: every member has it, also one that is cut
 * off before the first revocation is ever made.
 */
static struct hf_status derive_key(struct hf_seal *seal, struct hf_op *op, struct hf_secret **out)
{
    const struct hf_wrap_place place = { .keyring = "", .path = "", .version = 0 };
    HF_AUTO(secret) secret = NULL;

    HF_TRY(hf_seal_secret(seal, op, HF_CLUSTER_SECRET, 0, &secret));
    return hf_seal_subkey(seal, op, secret, SUBKEY_USE, &place, HF_BYTES_NONE, HF_SHA256_LEN, out);
}

static void add_message(const struct hf_revocation *revocation, struct hf_buf *out)
{
    hf_put_text(out, MAC_LABEL);
    hf_put_bytes(out, hf_bytes_of(revocation->store, sizeof revocation->store));
    hf_put_text(out, revocation->keyring);
    hf_put_text(out, revocation->key);
    hf_put_u32(out, revocation->version);
    hf_put_text(out, hf_revoked_as_name(revocation->as));
    hf_put_u64(out, revocation->seq);
    hf_put_text(out, revocation->node);
}

struct hf_status hf_revocation_mac(struct hf_seal *seal, struct hf_op *op,
                                   const struct hf_revocation *revocation,
                                   uint8_t out[HF_SHA256_LEN])
{
    HF_AUTO(buf) message = hf_buf_new();
    HF_AUTO(secret) key = NULL;
    struct hf_mac *mac = NULL;
    struct hf_bytes part;
    struct hf_status status;

    HF_TRY(derive_key(seal, op, &key));
    HF_TRY(hf_mac_new(hf_seal_crypto(seal), op, hf_secret_bytes(key), &mac));
    add_message(revocation, message);
    part = hf_buf_bytes(message);
    status = hf_mac_compute(mac, op, &part, 1, out);
    hf_mac_free(mac);
    return status;
}
