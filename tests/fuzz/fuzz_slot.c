/* Slots are read before anything can be checked: they stay within their bytes and have one form. */
#include "fuzz.h"

#include <string.h>

#include "seal/seal_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_slot_info info;
    struct hf_status status = hf_slot_parse(fuzz_op(), hf_bytes_of(data, len), &slot);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        hf_slot_encode(slot, again);
        fuzz_require(hf_bytes_equal(hf_buf_bytes(again), hf_bytes_of(data, len)));
        hf_slot_describe(slot, false, &info);
        fuzz_require(strlen(info.id) == 32 && strcmp(info.name, slot->name) == 0);
        fuzz_require(strcmp(info.protector, slot->protector) == 0 && !info.verified);
    }
    return 0;
}
