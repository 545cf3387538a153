/* Slots: key pairs whose private half a protector wraps, with the root sealed to the public half.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define FORMAT       1
#define FORMAT_MOVED 2 /* with the root it was proven for, where that is not the one it holds */
#define LABEL        "holdfast slot v1"
#define PREFIX       "slot/"
#define FLAG_OFFLINE 0x01

void hf_slot_free(struct hf_slot *slot)
{
    if (slot != NULL) {
        free(slot->name);
        free(slot->protector);
        hf_buf_done(&slot->wrapped_private);
        hf_buf_done(&slot->sealed_root);
        free(slot);
    }
}

/* Format 1 says nothing of the root it was proven for: it is the one it holds. */
static uint32_t implied_proof(const struct hf_slot *slot)
{
    return slot->proven_ms != 0 ? slot->root_generation : 0;
}

/* Each slot has one form: the longer one only where it says what the shorter one cannot. */
static uint8_t format_of(const struct hf_slot *slot)
{
    return slot->proven_generation != implied_proof(slot) ? FORMAT_MOVED : FORMAT;
}

void hf_slot_encode(const struct hf_slot *slot, struct hf_buf *out)
{
    uint8_t format = format_of(slot);

    hf_put_u8(out, format);
    hf_buf_add(out, slot->id, HF_SLOT_ID_LEN);
    hf_put_text(out, slot->name);
    hf_put_text(out, slot->protector);
    hf_put_u8(out, slot->offline ? FLAG_OFFLINE : 0);
    hf_buf_add(out, slot->public_key, HF_X25519_LEN);
    hf_put_bytes(out, hf_buf_bytes(&slot->wrapped_private));
    hf_put_u32(out, slot->root_generation);
    hf_put_bytes(out, hf_buf_bytes(&slot->sealed_root));
    hf_put_u64(out, slot->created_ms);
    hf_put_u64(out, slot->proven_ms);
    if (format == FORMAT_MOVED) {
        hf_put_u32(out, slot->proven_generation);
    }
}

static void take_into(struct hf_reader *reader, uint8_t *out, size_t len)
{
    struct hf_bytes raw = hf_take_raw(reader, len);

    if (raw.len == len) {
        memcpy(out, raw.data, len);
    }
}

/* A name as long as the infos can show, in characters that a terminal can take. */
static bool is_name(const char *text, size_t max)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= max && hf_text_is_utf8(hf_bytes_of(text, len));
}

static bool names_fit(const struct hf_slot *slot)
{
    return is_name(slot->name, sizeof((struct hf_slot_info *)0)->name - 1) &&
           is_name(slot->protector, sizeof((struct hf_slot_info *)0)->protector - 1);
}

struct hf_status hf_slot_parse(struct hf_op *op, struct hf_bytes clear, struct hf_slot **out)
{
    HF_AUTO(slot) slot = hf_alloc(sizeof *slot);
    struct hf_reader reader;
    uint8_t format;
    uint8_t flags;

    hf_reader_init(&reader, clear);
    format = hf_take_u8(&reader);
    take_into(&reader, slot->id, HF_SLOT_ID_LEN);
    slot->name = hf_take_text(&reader);
    slot->protector = hf_take_text(&reader);
    flags = hf_take_u8(&reader);
    take_into(&reader, slot->public_key, HF_X25519_LEN);
    hf_buf_add_bytes(&slot->wrapped_private, hf_take_bytes(&reader));
    slot->root_generation = hf_take_u32(&reader);
    hf_buf_add_bytes(&slot->sealed_root, hf_take_bytes(&reader));
    slot->created_ms = hf_take_u64(&reader);
    slot->proven_ms = hf_take_u64(&reader);
    slot->proven_generation = format == FORMAT_MOVED ? hf_take_u32(&reader) : implied_proof(slot);
    HF_TRY(hf_reader_end(&reader, op, "a slot"));
    if (format != format_of(slot) || (flags & ~FLAG_OFFLINE) != 0 || !names_fit(slot)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "a slot is not in a form that this release knows");
    }
    slot->offline = (flags & FLAG_OFFLINE) != 0;
    *out = HF_TAKE(slot);
    return HF_SUCCESS;
}

/* What the protector binds its wrapping to. */
static void put_context(struct hf_buf *out, const uint8_t *store_id, const uint8_t *slot_id)
{
    hf_buf_add_text(out, LABEL);
    hf_buf_add(out, store_id, HF_STORE_ID_LEN);
    hf_buf_add(out, slot_id, HF_SLOT_ID_LEN);
}

/* What the sealed root is bound to. */
static void put_aad(struct hf_buf *out, const uint8_t *store_id, const struct hf_slot *slot)
{
    hf_buf_add(out, store_id, HF_STORE_ID_LEN);
    hf_buf_add(out, slot->id, HF_SLOT_ID_LEN);
    hf_put_u32(out, slot->root_generation);
}

static struct hf_status make_key_pair(struct hf_unlocked *unlocked, struct hf_op *op,
                                      struct hf_protector *protector, struct hf_slot *slot,
                                      struct hf_secret **out_private)
{
    HF_AUTO(secret) private_key = NULL;
    HF_AUTO(buf) context = hf_buf_new();

    put_context(context, unlocked->store_id, slot->id);
    HF_TRY(hf_x25519_generate(unlocked->crypto, op, &private_key, slot->public_key));
    HF_TRY(hf_protector_wrap(protector, op, private_key, hf_buf_bytes(context),
                             &slot->wrapped_private));
    *out_private = HF_TAKE(private_key);
    return HF_SUCCESS;
}

struct hf_status hf_slot_reseal(struct hf_unlocked *unlocked, struct hf_op *op,
                                struct hf_slot *slot, const struct hf_root *root)
{
    HF_AUTO(buf) aad = hf_buf_new();

    slot->root_generation = root->generation;
    put_aad(aad, unlocked->store_id, slot);
    hf_buf_clear(&slot->sealed_root);
    return hf_hpke_seal(unlocked->crypto, op, slot->public_key, hf_bytes_of_text(LABEL),
                        hf_buf_bytes(aad), hf_secret_bytes(root->secret), &slot->sealed_root);
}

/* The root by the slot's private half, once that is open. */
static struct hf_status open_sealed_root(struct hf_crypto *crypto, struct hf_op *op,
                                         const uint8_t store_id[HF_STORE_ID_LEN],
                                         const struct hf_slot *slot,
                                         const struct hf_secret *private_key,
                                         struct hf_secret **out)
{
    HF_AUTO(buf) aad = hf_buf_new();
    HF_AUTO(secret) root = NULL;

    put_aad(aad, store_id, slot);
    HF_TRY(hf_hpke_open(crypto, op, private_key, hf_bytes_of_text(LABEL), hf_buf_bytes(aad),
                        hf_buf_bytes(&slot->sealed_root), &root));
    if (hf_secret_len(root) != HF_ROOT_LEN) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "slot \"%s\" holds something that is not a root key", slot->name);
    }
    *out = HF_TAKE(root);
    return HF_SUCCESS;
}

/*
 * A slot that does not open is worse than none: people would rely on it. What only another machine
 * opens is tried as far as it goes here, and is not proven until that machine opens it.
 */
static struct hf_status seal_and_prove(struct hf_unlocked *unlocked, struct hf_op *op,
                                       struct hf_protector *protector, struct hf_slot *slot,
                                       const struct hf_secret *private_key)
{
    struct hf_root root = { 0 };
    HF_AUTO(secret) secret = NULL;
    HF_AUTO(secret) proof = NULL;

    HF_TRY(hf_root_copy(unlocked, op, &root.generation, &secret));
    root.secret = secret;
    HF_TRY(hf_slot_reseal(unlocked, op, slot, &root));
    HF_TRY(
        protector->only_wraps
            ? open_sealed_root(unlocked->crypto, op, unlocked->store_id, slot, private_key, &proof)
            : hf_slot_open_root(unlocked->crypto, op, unlocked->store_id, slot, protector, &proof));
    if (!hf_secret_equal(proof, secret)) {
        return hf_fail(op, HF_CORRUPT, "the new slot \"%s\" did not give back the root key",
                       slot->name);
    }
    if (!protector->only_wraps) {
        slot->proven_ms = hf_env_realtime_ms(op->env);
        slot->proven_generation = root.generation;
    }
    return HF_SUCCESS;
}

struct hf_status hf_slot_make(struct hf_unlocked *unlocked, struct hf_op *op,
                              const struct hf_slot_plan *plan, struct hf_slot **out)
{
    HF_AUTO(slot) slot = hf_alloc(sizeof *slot);
    HF_AUTO(secret) private_key = NULL;

    HF_TRY(hf_random_public(unlocked->crypto, op, slot->id, HF_SLOT_ID_LEN));
    slot->name = hf_strdup(plan->name);
    slot->protector = hf_strdup(plan->protector->ops->kind);
    slot->offline = plan->offline;
    slot->created_ms = hf_env_realtime_ms(op->env);
    if (!names_fit(slot)) {
        return hf_fail(op, HF_INVALID, "a slot's name has 1 to 64 bytes of text");
    }
    HF_TRY(make_key_pair(unlocked, op, plan->protector, slot, &private_key));
    HF_TRY(seal_and_prove(unlocked, op, plan->protector, slot, private_key));
    *out = HF_TAKE(slot);
    return HF_SUCCESS;
}

struct hf_status hf_slot_open_root(struct hf_crypto *crypto, struct hf_op *op,
                                   const uint8_t store_id[HF_STORE_ID_LEN],
                                   const struct hf_slot *slot, struct hf_protector *protector,
                                   struct hf_secret **out)
{
    HF_AUTO(buf) context = hf_buf_new();
    HF_AUTO(secret) private_key = NULL;

    put_context(context, store_id, slot->id);
    HF_TRY(hf_protector_unwrap(protector, op, hf_buf_bytes(&slot->wrapped_private),
                               hf_buf_bytes(context), &private_key));
    return open_sealed_root(crypto, op, store_id, slot, private_key, out);
}

char *hf_slot_path(const uint8_t id[HF_SLOT_ID_LEN])
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, PREFIX);
    hf_hex_add(path, hf_bytes_of(id, HF_SLOT_ID_LEN));
    return hf_strdup(hf_buf_text(path));
}

void hf_slot_describe(const struct hf_slot *slot, bool verified, struct hf_slot_info *out)
{
    const struct hf_protector_ops *ops = hf_protector_find(slot->protector);
    HF_AUTO_STRING path = hf_slot_path(slot->id);

    memset(out, 0, sizeof *out);
    memcpy(out->id, path + strlen(PREFIX), strlen(path + strlen(PREFIX)));
    memcpy(out->name, slot->name, strlen(slot->name));
    memcpy(out->protector, slot->protector, strlen(slot->protector));
    out->offline = slot->offline;
    out->needs_human = ops != NULL && ops->needs_human;
    out->root_generation = slot->root_generation;
    out->created_ms = slot->created_ms;
    out->proven_ms = slot->proven_ms;
    out->proven_generation = slot->proven_generation;
    out->verified = verified;
}

struct hf_status hf_slot_verify(struct hf_unlocked *unlocked, struct hf_op *op,
                                const struct hf_record *record)
{
    struct hf_record_place place = { .path = record->path, .revision = record->revision };
    struct hf_record_parts parts;
    HF_AUTO(secret) clear = NULL;

    HF_TRY(hf_record_open(unlocked, op, &place, hf_buf_bytes(&record->body), &parts, &clear));
    if (parts.kind != HF_KIND_SLOT || parts.flags != HF_RECORD_CLEAR) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%s is not a slot", record->path);
    }
    return HF_SUCCESS;
}

void hf_slot_records_free(struct hf_slot_records *records)
{
    if (records != NULL) {
        for (size_t i = 0; i < records->count; i++) {
            hf_record_free(records->items[i].record);
            hf_slot_free(records->items[i].slot);
        }
        free(records->items);
        free(records);
    }
}

struct reading {
    struct hf_op *op;
    struct hf_slot_records *records;
};

static struct hf_record *copy_record(const struct hf_record_view *view)
{
    struct hf_record *record = hf_alloc(sizeof *record);

    record->path = hf_strdup(view->path);
    record->revision = view->revision;
    record->seq = view->seq;
    hf_buf_add_bytes(&record->body, view->body);
    return record;
}

/* A slot whose path is not that of its id is not where it was put. */
static struct hf_status parse_slot(struct hf_op *op, const struct hf_record_view *view,
                                   const struct hf_record_parts *parts, struct hf_slot **out)
{
    HF_AUTO(slot) slot = NULL;
    HF_AUTO_STRING path = NULL;

    HF_TRY(hf_slot_parse(op, parts->clear, &slot));
    path = hf_slot_path(slot->id);
    if (strcmp(path, view->path) != 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%.200s holds another slot",
                             view->path);
    }
    *out = HF_TAKE(slot);
    return HF_SUCCESS;
}

static struct hf_status read_slot(void *context, const struct hf_record_view *view)
{
    struct reading *reading = context;
    struct hf_slot_records *records = reading->records;
    struct hf_record_parts parts = { 0 };
    struct hf_slot *slot = NULL;
    struct hf_status status = hf_record_parse(reading->op, view->body, &parts);

    if (status.code == HF_OK && (parts.flags & HF_RECORD_TOMBSTONE) != 0) {
        return HF_SUCCESS;
    }
    if (status.code == HF_OK) {
        status = parse_slot(reading->op, view, &parts, &slot);
    }
    if (status.code != HF_OK) {
        HF_WARNING(reading->op->env, "%.200s is not used: %s", view->path, reading->op->text);
        hf_op_clear(reading->op);
        return HF_SUCCESS;
    }
    records->items = hf_realloc_array(records->items, records->count + 1, sizeof *records->items);
    records->items[records->count++] = (struct hf_slot_record){ copy_record(view), slot };
    return HF_SUCCESS;
}

struct hf_status hf_slot_records_read(struct hf_seal *seal, struct hf_op *op,
                                      struct hf_slot_records **out)
{
    HF_AUTO(slot_records) records = hf_alloc(sizeof *records);
    struct reading reading = { op, records };

    HF_TRY(hf_engine_list(seal->engine, op, PREFIX, NULL, read_slot, &reading));
    *out = HF_TAKE(records);
    return HF_SUCCESS;
}
