/* Writing lines: frame, members, hash; and the lines of the trail's own. */
#include <stdlib.h>

#include "audit/line.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/text.h"

#define SECONDS_LEN 19 /* of "2026-11-21T23:31:00" */

struct hf_status hf_audit_scribe_init(struct hf_audit_scribe *scribe, struct hf_crypto *crypto,
                                      struct hf_op *op, const struct hf_audit_settings *settings)
{
    HF_AUTO(buf) spki = hf_buf_new();
    HF_AUTO(buf) node = hf_buf_new();

    if (hf_pkey_kind(settings->signer) != HF_PKEY_ED25519) {
        return hf_fail(op, HF_INVALID, "checkpoints are signed by an Ed25519 key, not by another");
    }
    HF_TRY(hf_pkey_public(settings->signer, op, spki));
    memset(scribe, 0, sizeof *scribe);
    HF_TRY(hf_audit_fingerprint(crypto, op, hf_buf_bytes(spki), scribe->key));
    hf_buf_add_text(node, ",\"node\":");
    hf_json_add_quoted(node,
                       hf_bytes_of(settings->node, strnlen(settings->node, HF_AUDIT_NODE_MAX)));
    scribe->node = hf_strdup(hf_buf_text(node));
    scribe->crypto = crypto;
    scribe->signer = settings->signer;
    scribe->checkpoint_every = settings->checkpoint_every;
    scribe->date_second = UINT64_MAX;
    return HF_SUCCESS;
}

void hf_audit_scribe_done(struct hf_audit_scribe *scribe)
{
    free(scribe->node);
    hf_buf_done(&scribe->scratch);
    memset(scribe, 0, sizeof *scribe);
}

void hf_audit_add_number(struct hf_buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    hf_buf_add(out, digits + at, sizeof digits - at);
}

static void add_number_member(struct hf_buf *out, const char *name, uint64_t number)
{
    hf_buf_add_text(out, name);
    hf_audit_add_number(out, number);
}

static void add_hex_member(struct hf_buf *out, const char *name, const uint8_t *data, size_t len)
{
    hf_buf_add_text(out, name);
    hf_hex_add(out, hf_bytes_of(data, len));
    hf_buf_add(out, "\"", 1);
}

/* A date costs as much as the hash of a line, so all but the milliseconds is kept. */
static void add_date(struct hf_audit_scribe *scribe, uint64_t realtime_ms)
{
    uint64_t second = realtime_ms / 1000;
    unsigned ms = (unsigned)(realtime_ms % 1000);
    char rest[5] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
                     'Z' };

    if (second != scribe->date_second) {
        HF_AUTO(buf) date = hf_buf_new();

        hf_date_add(date, realtime_ms);
        hf_assert(date->len == SECONDS_LEN + sizeof rest);
        memcpy(scribe->date, date->data, SECONDS_LEN);
        scribe->date_second = second;
    }
    hf_buf_add(&scribe->scratch, scribe->date, SECONDS_LEN);
    hf_buf_add(&scribe->scratch, rest, sizeof rest);
}

static void begin_line(struct hf_audit_scribe *scribe, const struct hf_audit_chain *chain,
                       uint64_t realtime_ms)
{
    struct hf_buf *line = &scribe->scratch;

    line->len = 0; /* nothing in a line is secret, so nothing is wiped */
    hf_buf_add(line, chain->hash, HF_SHA256_LEN);
    add_number_member(line, "{\"n\":", chain->line + 1);
    hf_buf_add_text(line, ",\"t\":\"");
    add_date(scribe, realtime_ms);
    hf_buf_add(line, "\"", 1);
    hf_buf_add_text(line, scribe->node);
}

static struct hf_status end_line(struct hf_audit_scribe *scribe, struct hf_op *op,
                                 struct hf_audit_chain *chain, struct hf_buf *out)
{
    struct hf_buf *line = &scribe->scratch;
    uint8_t hash[HF_SHA256_LEN];

    HF_TRY(hf_sha256(scribe->crypto, op, hf_buf_bytes(line), hash));
    add_hex_member(line, ",\"h\":\"", hash, sizeof hash);
    hf_buf_add(line, "}\n", 2);
    hf_assert(line->len - HF_SHA256_LEN <= HF_AUDIT_LINE_MAX);
    hf_buf_add(out, line->data + HF_SHA256_LEN, line->len - HF_SHA256_LEN);
    chain->line++;
    memcpy(chain->hash, hash, sizeof hash);
    return HF_SUCCESS;
}

struct hf_status hf_audit_scribe_checkpoint(struct hf_audit_scribe *scribe, struct hf_op *op,
                                            struct hf_audit_chain *chain, uint64_t realtime_ms,
                                            struct hf_buf *out)
{
    HF_AUTO(buf) signature = hf_buf_new();
    struct hf_buf *line = &scribe->scratch;
    uint64_t next = chain->line + 1 + scribe->checkpoint_every;
    uint8_t message[HF_AUDIT_SIGNED_LEN];
    uint8_t hash[HF_SHA256_LEN];

    begin_line(scribe, chain, realtime_ms);
    hf_buf_add_text(line, ",\"operation\":\"audit.checkpoint\"");
    add_hex_member(line, ",\"trail\":\"", scribe->trail, sizeof scribe->trail);
    add_hex_member(line, ",\"previous\":\"", chain->hash, sizeof chain->hash);
    add_number_member(line, ",\"next\":", next);
    hf_buf_add_text(line, ",\"key\":\"");
    hf_buf_add_text(line, scribe->key);
    hf_buf_add(line, "\"", 1);

    HF_TRY(hf_sha256(scribe->crypto, op, hf_buf_bytes(line), hash));
    hf_audit_signed_message(scribe->trail, chain->line + 1, hash, message);
    HF_TRY(hf_pkey_sign(scribe->signer, op, HF_SIGN_ED25519, HF_HASH_SHA512,
                        hf_bytes_of(message, sizeof message), signature));
    add_hex_member(line, ",\"signature\":\"", signature->data, signature->len);
    HF_TRY(end_line(scribe, op, chain, out));
    chain->next_checkpoint = next;
    return HF_SUCCESS;
}

static struct hf_status add_line(struct hf_audit_scribe *scribe, struct hf_op *op,
                                 struct hf_audit_chain *chain, uint64_t realtime_ms,
                                 struct hf_bytes members, uint64_t seq, struct hf_buf *out)
{
    if (chain->line + 1 >= chain->next_checkpoint) {
        HF_TRY(hf_audit_scribe_checkpoint(scribe, op, chain, realtime_ms, out));
    }
    begin_line(scribe, chain, realtime_ms);
    if (members.len > 2) {
        hf_buf_add(&scribe->scratch, ",", 1);
        hf_buf_add(&scribe->scratch, members.data + 1, members.len - 2);
    }
    if (seq != 0) {
        add_number_member(&scribe->scratch, ",\"seq\":", seq);
    }
    HF_TRY(end_line(scribe, op, chain, out));
    chain->last_seq = seq != 0 ? seq : chain->last_seq;
    return HF_SUCCESS;
}

struct hf_status hf_audit_scribe_line(struct hf_audit_scribe *scribe, struct hf_op *op,
                                      struct hf_audit_chain *chain, uint64_t realtime_ms,
                                      struct hf_bytes members, uint64_t seq, struct hf_buf *out)
{
    struct hf_audit_chain moved = *chain;
    size_t len = out->len;
    struct hf_status status = add_line(scribe, op, &moved, realtime_ms, members, seq, out);

    if (status.code != HF_OK) {
        out->len = len;
        return status;
    }
    *chain = moved;
    return HF_SUCCESS;
}

static struct hf_status add_file_start(struct hf_audit_scribe *scribe, struct hf_op *op,
                                       struct hf_audit_chain *chain, uint64_t realtime_ms,
                                       uint64_t file, struct hf_buf *out)
{
    struct hf_buf *line = &scribe->scratch;

    begin_line(scribe, chain, realtime_ms);
    hf_buf_add_text(line, file == 1 ? ",\"operation\":\"audit.start\""
                                    : ",\"operation\":\"audit.continue\"");
    add_number_member(line, ",\"format\":", HF_AUDIT_FORMAT);
    add_hex_member(line, ",\"trail\":\"", scribe->trail, sizeof scribe->trail);
    add_number_member(line, ",\"file\":", file);
    add_hex_member(line, ",\"previous\":\"", chain->hash, sizeof chain->hash);
    add_number_member(line, ",\"last_seq\":", chain->last_seq);
    HF_TRY(end_line(scribe, op, chain, out));
    return hf_audit_scribe_checkpoint(scribe, op, chain, realtime_ms, out);
}

struct hf_status hf_audit_scribe_file(struct hf_audit_scribe *scribe, struct hf_op *op,
                                      struct hf_audit_chain *chain, uint64_t realtime_ms,
                                      uint64_t file, struct hf_buf *out)
{
    struct hf_audit_chain moved = *chain;
    size_t len = out->len;
    struct hf_status status = add_file_start(scribe, op, &moved, realtime_ms, file, out);

    if (status.code != HF_OK) {
        out->len = len;
        return status;
    }
    *chain = moved;
    return HF_SUCCESS;
}
