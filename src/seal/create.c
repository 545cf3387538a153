/* A new store: root key, slots, store secrets and main key in one batch, proven before it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define FIRST_GENERATION 1
#define DEFAULT_MAIN_KEY "main"

static struct hf_status check_plan(struct hf_op *op, const struct hf_init_plan *plan)
{
    size_t least = plan->allow_single_slot ? 1 : 2;

    if (plan->slot_count < least) {
        return hf_fail(op, HF_INVALID,
                       "a store needs %zu slots, one of them for offline keeping, not %zu", least,
                       plan->slot_count);
    }
    return HF_SUCCESS;
}

static struct hf_status new_root(struct hf_seal *seal, struct hf_op *op,
                                 struct hf_secret *store_secrets, struct hf_unlocked **out)
{
    HF_AUTO(secret) root = NULL;
    HF_AUTO(unlocked) unlocked = NULL;

    HF_TRY(hf_random_secret(seal->crypto, op, HF_ROOT_LEN, &root));
    HF_TRY(hf_unlocked_new(seal->crypto, op, seal->store_id, FIRST_GENERATION, &root, &unlocked));
    HF_TRY(hf_secrets_use(unlocked, op, hf_secret_bytes(store_secrets)));
    *out = HF_TAKE(unlocked);
    return HF_SUCCESS;
}

static struct hf_status stage_slot(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                   const struct hf_slot_plan *plan)
{
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(buf) clear = hf_buf_new();
    HF_AUTO_STRING path = NULL;

    HF_TRY(hf_slot_make(seal->unlocked, op, plan, &slot));
    hf_slot_encode(slot, clear);
    path = hf_slot_path(slot->id);
    return hf_txn_put(txn, op, HF_KIND_SLOT, path, 0, hf_buf_bytes(clear));
}

static struct hf_status fill(struct hf_seal *seal, struct hf_op *op,
                             const struct hf_init_plan *plan, const struct hf_secret *store_secrets)
{
    HF_AUTO(txn) txn = NULL;

    HF_TRY(hf_txn_new(seal, op, &txn));
    HF_TRY(hf_txn_put(txn, op, HF_KIND_STORE_SECRETS, HF_STORE_SECRETS_PATH, 0,
                      hf_secret_bytes(store_secrets)));
    for (size_t i = 0; i < plan->slot_count; i++) {
        HF_TRY(stage_slot(seal, op, txn, &plan->slots[i]));
    }
    HF_TRY(hf_main_key_stage(seal, op, txn,
                             plan->main_key != NULL ? plan->main_key : DEFAULT_MAIN_KEY,
                             plan->main_key_kind));
    return hf_txn_commit_own(txn, op);
}

static struct hf_status make(struct hf_seal *seal, struct hf_op *op,
                             const struct hf_init_plan *plan)
{
    HF_AUTO(secret) store_secrets = NULL;
    const struct hf_head nothing = { 0 };
    struct hf_unlocked *unlocked = NULL;

    HF_TRY(hf_secrets_make(seal->crypto, op, &store_secrets));
    HF_TRY(new_root(seal, op, store_secrets, &unlocked));
    /* Nobody else has the seal yet, so it may be open before there is anything in the store. */
    hf_seal_start(seal, unlocked, &nothing);
    HF_TRY(hf_pin_keep_store(seal, op));
    HF_TRY(fill(seal, op, plan, store_secrets));
    return hf_seal_pin(seal, op);
}

struct hf_status hf_seal_create(struct hf_crypto *crypto, struct hf_op *op,
                                struct hf_engine *engine, const char *pin_file,
                                const struct hf_init_plan *plan, struct hf_seal **out)
{
    HF_AUTO(buf) head = hf_buf_new();
    HF_AUTO(seal) seal = NULL;
    struct hf_store_state state;

    HF_TRY(check_plan(op, plan));
    HF_TRY(hf_engine_state(engine, op, &state, head));
    if (state.seq != 0) {
        return hf_fail(op, HF_EXISTS, "the store is in use already; nothing was changed");
    }
    HF_TRY(hf_seal_new(crypto, op, engine, pin_file, &state, &seal));
    if (seal->has_pin && seal->pin.has_head) {
        return hf_fail(op, HF_EXISTS,
                       "%.150s knows this store as one that is in use; move the file away if the "
                       "store was emptied on purpose",
                       pin_file);
    }
    HF_TRY(make(seal, op, plan));
    *out = HF_TAKE(seal);
    return HF_SUCCESS;
}
