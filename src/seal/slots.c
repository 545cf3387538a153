/* What callers do with slots: list, try, prove, add, remove. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define PREFIX        "slot/"
#define TRIES         8
#define BURIED_FORMAT 1

static struct hf_status visit_slots(struct hf_unlocked *unlocked, struct hf_op *op,
                                    const struct hf_slot_records *records,
                                    void (*visit)(void *context, const struct hf_slot_info *slot),
                                    void *context)
{
    for (size_t i = 0; i < records->count; i++) {
        struct hf_slot_info info;
        bool verified = false;

        if (unlocked != NULL) {
            struct hf_status status = hf_slot_verify(unlocked, op, records->items[i].record);

            verified = status.code == HF_OK;
            if (!verified && status.code != HF_CORRUPT) {
                return status;
            }
        }
        hf_slot_describe(records->items[i].slot, verified, &info);
        visit(context, &info);
    }
    hf_op_clear(op);
    return HF_SUCCESS;
}

struct hf_status hf_seal_slots(struct hf_seal *seal, struct hf_op *op,
                               void (*visit)(void *context, const struct hf_slot_info *slot),
                               void *context)
{
    HF_AUTO(slot_records) records = NULL;
    struct hf_unlocked *unlocked;
    struct hf_status status;

    HF_TRY(hf_slot_records_read(seal, op, &records));
    unlocked = hf_seal_try_enter(seal);
    status = visit_slots(unlocked, op, records, visit, context);
    if (unlocked != NULL) {
        hf_seal_leave(seal);
    }
    return status;
}

/* The slot of that id, its record checked under the root. */
static struct hf_status read_verified(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                      struct hf_op *op, const char *slot_id, uint64_t *out_revision,
                                      struct hf_slot **out)
{
    HF_AUTO_STRING path = hf_format(PREFIX "%s", slot_id);
    HF_AUTO(record) record = NULL;
    struct hf_record_parts parts;
    struct hf_status status;

    if (strlen(slot_id) != 2 * (size_t)HF_SLOT_ID_LEN) {
        return hf_fail(op, HF_NOT_FOUND, "there is no slot %.64s", slot_id);
    }
    status = hf_engine_get(seal->engine, op, path, &record);
    if (status.code == HF_NOT_FOUND) {
        return hf_fail(op, HF_NOT_FOUND, "there is no slot %.64s", slot_id);
    }
    HF_TRY(status);
    HF_TRY(hf_slot_verify(unlocked, op, record));
    HF_TRY(hf_record_parse(op, hf_buf_bytes(&record->body), &parts));
    *out_revision = record->revision;
    return hf_slot_parse(op, parts.clear, out);
}

struct hf_status hf_seal_try_slot(struct hf_seal *seal, struct hf_op *op, const char *slot_id,
                                  struct hf_protector *protector)
{
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(secret) root = NULL;
    HF_AUTO(secret) in_force = NULL;
    uint32_t generation;
    uint64_t revision;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(read_verified(seal, unlocked, op, slot_id, &revision, &slot));
    if (strcmp(slot->protector, protector->ops->kind) != 0) {
        return hf_fail(op, HF_INVALID, "slot \"%s\" opens with a %s, not a %s", slot->name,
                       slot->protector, protector->ops->kind);
    }
    HF_TRY(hf_slot_open_root(seal->crypto, op, seal->store_id, slot, protector, &root));
    HF_TRY(hf_root_copy(unlocked, op, &generation, &in_force));
    if (slot->root_generation != generation || !hf_secret_equal(root, in_force)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "slot \"%s\" opens another root key than the one in force",
                             slot->name);
    }
    return HF_SUCCESS;
}

static struct hf_status record_proof(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                     struct hf_op *op, const char *slot_id)
{
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(buf) clear = hf_buf_new();
    HF_AUTO(txn) txn = NULL;
    HF_AUTO_STRING path = NULL;
    uint64_t revision;

    HF_TRY(read_verified(seal, unlocked, op, slot_id, &revision, &slot));
    slot->proven_ms = hf_env_realtime_ms(op->env);
    slot->proven_generation = slot->root_generation;
    hf_slot_encode(slot, clear);
    path = hf_slot_path(slot->id);
    HF_TRY(hf_txn_new(seal, op, &txn));
    hf_txn_bind(txn, slot->root_generation);
    HF_TRY(hf_txn_put(txn, op, HF_KIND_SLOT, path, revision, hf_buf_bytes(clear)));
    return hf_txn_commit_own(txn, op);
}

struct hf_status hf_seal_slot_proven(struct hf_seal *seal, struct hf_op *op, const char *slot_id)
{
    struct hf_status status = { HF_CONFLICT };

    HF_ENTER(seal, op, unlocked);
    for (int i = 0; i < TRIES && status.code == HF_CONFLICT; i++) {
        status = record_proof(seal, unlocked, op, slot_id);
    }
    return status;
}

struct hf_status hf_seal_prove_slots(struct hf_seal *seal, struct hf_op *op,
                                     struct hf_protector *protector)
{
    HF_AUTO(slot_records) records = NULL;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_slot_records_read(seal, op, &records));
    for (size_t i = 0; i < records->count; i++) {
        struct hf_slot_info info;
        struct hf_status status;

        hf_slot_describe(records->items[i].slot, true, &info);
        if (strcmp(info.protector, protector->ops->kind) != 0 ||
            hf_slot_is_proven(&info, hf_root_generation(unlocked))) {
            continue;
        }
        status = hf_seal_try_slot(seal, op, info.id, protector);
        if (status.code == HF_OK) {
            status = hf_seal_slot_proven(seal, op, info.id);
        }
        if (status.code != HF_OK && status.code != HF_DENIED) {
            return status;
        }
        hf_op_clear(op);
    }
    return HF_SUCCESS;
}

/* What a repeat of the same request gets: the slot that was made the first time. */
static struct hf_status describe_repeated(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                          struct hf_op *op, const struct hf_secret *result,
                                          struct hf_slot_info *out)
{
    HF_AUTO(buf) id = hf_buf_new();
    HF_AUTO(slot) slot = NULL;
    uint64_t revision;

    if (result != NULL) {
        hf_hex_add(id, hf_secret_bytes(result));
    }
    HF_TRY(read_verified(seal, unlocked, op, hf_buf_text(id), &revision, &slot));
    hf_slot_describe(slot, true, out);
    return HF_SUCCESS;
}

static struct hf_status stage(struct hf_op *op, struct hf_txn *txn, const struct hf_slot *slot)
{
    HF_AUTO(buf) clear = hf_buf_new();
    HF_AUTO_STRING path = hf_slot_path(slot->id);

    hf_slot_encode(slot, clear);
    hf_txn_bind(txn, slot->root_generation);
    return hf_txn_put(txn, op, HF_KIND_SLOT, path, 0, hf_buf_bytes(clear));
}

struct hf_status hf_seal_slot_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                    const struct hf_slot_plan *plan, struct hf_slot_info *out)
{
    HF_AUTO(slot) slot = NULL;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_slot_make(unlocked, op, plan, &slot));
    HF_TRY(stage(op, txn, slot));
    hf_slot_describe(slot, true, out);
    return HF_SUCCESS;
}

static struct hf_status commit_slot(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                    struct hf_op *op, const struct hf_slot *slot,
                                    struct hf_slot_info *out)
{
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(buf) asked = hf_buf_new();
    HF_AUTO(secret) result = NULL;
    struct hf_txn_commit commit;

    hf_put_text(asked, slot->name);
    hf_put_text(asked, slot->protector);
    HF_TRY(hf_txn_new(seal, op, &txn));
    hf_txn_asked(txn, NULL, hf_buf_bytes(asked));
    hf_txn_result(txn, hf_bytes_of(slot->id, HF_SLOT_ID_LEN));
    HF_TRY(stage(op, txn, slot));
    HF_TRY(hf_txn_commit(txn, op, &commit));
    result = commit.result;
    if (commit.repeated) {
        return describe_repeated(seal, unlocked, op, result, out);
    }
    hf_slot_describe(slot, true, out);
    return HF_SUCCESS;
}

struct hf_status hf_seal_slot_add(struct hf_seal *seal, struct hf_op *op,
                                  const struct hf_slot_plan *plan, struct hf_slot_info *out)
{
    struct hf_status status = { HF_CONFLICT };

    HF_ENTER(seal, op, unlocked);
    /* A conflict is a rotation: the slot was made for the root before it. */
    for (int i = 0; i < TRIES && status.code == HF_CONFLICT; i++) {
        HF_AUTO(slot) slot = NULL;

        HF_TRY(hf_slot_make(unlocked, op, plan, &slot));
        status = commit_slot(seal, unlocked, op, slot, out);
    }
    return status;
}

/* --- removing --- */

struct remaining {
    const char *id;
    uint32_t generation;
    size_t others;
    size_t proven; /* of them, for the root in force */
};

static void count_others(void *context, const struct hf_slot_info *slot)
{
    struct remaining *remaining = context;

    if (strcmp(slot->id, remaining->id) != 0) {
        remaining->others++;
        remaining->proven += hf_slot_is_proven(slot, remaining->generation);
    }
}

bool hf_slot_is_proven(const struct hf_slot_info *slot, uint32_t generation)
{
    return slot->verified && slot->proven_ms != 0 && slot->root_generation == generation &&
           slot->proven_generation == generation;
}

static struct hf_status check_remaining(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                        struct hf_op *op, const char *slot_id, const char *name)
{
    struct remaining remaining = { .id = slot_id, .generation = hf_root_generation(unlocked) };

    HF_TRY(hf_seal_slots(seal, op, count_others, &remaining));
    if (remaining.others == 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "\"%s\" is the last slot: without it nothing opens the store; add another "
                       "one first",
                       name);
    }
    if (remaining.proven == 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "no slot but \"%s\" has been seen to open root generation %" PRIu32
                       "; prove another one first with 'holdfast slot test'",
                       name, remaining.generation);
    }
    return HF_SUCCESS;
}

/* What is remembered of a slot: enough to say whose it was, nothing that opens. */
static struct hf_status bury(struct hf_op *op, struct hf_txn *txn, const struct hf_slot *slot,
                             uint64_t revision)
{
    HF_AUTO(buf) rest = hf_buf_new();
    HF_AUTO_STRING path = hf_slot_path(slot->id);

    hf_put_u8(rest, BURIED_FORMAT);
    hf_put_text(rest, slot->name);
    hf_put_text(rest, slot->protector);
    hf_put_u64(rest, hf_env_realtime_ms(op->env));
    return hf_txn_bury(txn, op, HF_KIND_SLOT, path, revision, hf_buf_bytes(rest));
}

/* The slot as the store shows it: one whose record is altered must be removable too. */
static struct hf_status read_any(struct hf_seal *seal, struct hf_op *op, const char *slot_id,
                                 uint64_t *out_revision, struct hf_slot **out)
{
    HF_AUTO(slot_records) records = NULL;

    HF_TRY(hf_slot_records_read(seal, op, &records));
    for (size_t i = 0; i < records->count; i++) {
        struct hf_slot_record *item = &records->items[i];

        if (strcmp(item->record->path + strlen(PREFIX), slot_id) == 0) {
            *out_revision = item->record->revision;
            *out = HF_TAKE(item->slot);
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_NOT_FOUND, "there is no slot %.64s", slot_id);
}

struct hf_status hf_seal_slot_remove_stage(struct hf_seal *seal, struct hf_op *op,
                                           struct hf_txn *txn, const char *slot_id, bool keep_root)
{
    HF_AUTO(slot) slot = NULL;
    uint64_t revision;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(read_any(seal, op, slot_id, &revision, &slot));
    HF_TRY(check_remaining(seal, unlocked, op, slot_id, slot->name));
    hf_txn_bind(txn, hf_root_generation(unlocked));
    if (!keep_root) {
        HF_TRY(hf_seal_root_stage(seal, op, txn, slot_id));
    }
    return bury(op, txn, slot, revision);
}
