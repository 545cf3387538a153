/* Opening the store apart from whoever serves it, to prove that it opens. */
#include "seal/seal_internal.h"

struct hf_status hf_seal_open_apart(struct hf_crypto *crypto, struct hf_op *op,
                                    struct hf_engine *engine, const char *slot_id,
                                    struct hf_protector *protector,
                                    const struct hf_consumer *consumers, size_t count,
                                    struct hf_apart *out_found, struct hf_seal **out)
{
    HF_AUTO(seal) seal = NULL;
    struct hf_apart found = { 0 };
    struct hf_slot_info slot;

    HF_TRY(hf_seal_open(crypto, op, engine, NULL, &seal));
    for (size_t i = 0; i < count; i++) {
        hf_seal_add_consumer(seal, &consumers[i]);
    }
    seal->apart = &found;
    HF_TRY(hf_unlock(seal, op, protector, slot_id, &slot));
    seal->apart = NULL;
    found.seq = hf_seal_seq(seal);
    found.root_generation = hf_seal_root_generation(seal);
    *out_found = found;
    *out = HF_TAKE(seal);
    return HF_SUCCESS;
}
