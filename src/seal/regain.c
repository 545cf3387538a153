/*
 * A node that was away during a whole rotation of the root: the root that it holds opens nothing of
 * the store any more, and a slot gives it the one in force, without closing what is open.
 */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "seal/seal_internal.h"

bool hf_seal_root_is_lost(struct hf_seal *seal)
{
    struct hf_unlocked *unlocked = hf_seal_try_enter(seal);
    struct hf_op op;
    bool is_lost = false;

    if (unlocked != NULL) {
        hf_op_init(&op, seal->env);
        is_lost = hf_roots_follow(unlocked, seal->engine, &op).code == HF_WRONG_STATE;
        hf_seal_leave(seal);
    }
    return is_lost;
}

/* Whoever made a slot record with a root of his own does not know ours. */
static struct hf_status check_successor(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                        struct hf_op *op, struct hf_unlocked *next)
{
    HF_AUTO(secret) ours = NULL;
    HF_AUTO(secret) retired = NULL;
    uint32_t generation;
    struct hf_status status;

    HF_TRY(hf_root_copy(unlocked, op, &generation, &ours));
    if (hf_root_generation(next) <= generation) {
        return hf_fail(op, HF_WRONG_STATE, "the slot holds root generation %" PRIu32 ", as we do",
                       hf_root_generation(next));
    }
    status = hf_root_retired(next, seal->engine, op, generation, &retired);
    if (status.code == HF_OK && hf_secret_equal(ours, retired)) {
        return HF_SUCCESS;
    }
    if (status.code != HF_OK && status.code != HF_NOT_FOUND && status.code != HF_CORRUPT) {
        return status;
    }
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "root generation %" PRIu32 " is not the successor of generation %" PRIu32
                         ", which is open here",
                         hf_root_generation(next), generation);
}

static struct hf_status try_slot(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, const struct hf_slot_record *item,
                                 struct hf_protector *protector)
{
    HF_AUTO(secret) root = NULL;
    HF_AUTO(unlocked) next = NULL;

    HF_TRY(hf_slot_open_root(seal->crypto, op, seal->store_id, item->slot, protector, &root));
    HF_TRY(hf_unlocked_new(seal->crypto, op, seal->store_id, item->slot->root_generation, &root,
                           &next));
    HF_TRY(hf_roots_follow(next, seal->engine, op));
    HF_TRY(hf_roots_load_old(next, seal->engine, op));
    HF_TRY(check_successor(seal, unlocked, op, next));
    HF_TRY(hf_slot_verify(next, op, item->record));
    hf_root_take(unlocked, next);
    HF_INFO(seal->env,
            "the root was rotated while this node was away; slot %s has opened root generation "
            "%" PRIu32,
            item->slot->name, hf_root_generation(unlocked));
    return HF_SUCCESS;
}

static struct hf_status regain(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                               struct hf_protector *protector)
{
    HF_AUTO(slot_records) records = NULL;
    struct hf_status status = { HF_NOT_FOUND };

    HF_TRY(hf_slot_records_read(seal, op, &records));
    for (size_t i = 0; i < records->count; i++) {
        if (strcmp(records->items[i].slot->protector, protector->ops->kind) != 0) {
            continue;
        }
        hf_op_clear(op);
        status = try_slot(seal, unlocked, op, &records->items[i], protector);
        /* Another's slot of the same kind says nothing about the next. */
        if (status.code != HF_DENIED) {
            return status;
        }
    }
    return status.code == HF_NOT_FOUND
               ? hf_fail(op, HF_NOT_FOUND, "the store has no slot for a %s", protector->ops->kind)
               : status;
}

struct hf_status hf_seal_root_regain(struct hf_seal *seal, struct hf_op *op,
                                     struct hf_protector *protector)
{
    struct hf_status status;

    HF_ENTER(seal, op, unlocked);
    status = hf_roots_follow(unlocked, seal->engine, op);
    return status.code == HF_WRONG_STATE ? regain(seal, unlocked, op, protector) : status;
}
