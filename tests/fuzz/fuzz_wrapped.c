/* Our own ciphertext: taken apart, it is covered by its parts without a gap. */
#include "fuzz.h"

#include "base/codec.h"
#include "keys/ciphertext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_ciphertext parts;

    if (hf_ciphertext_parse(fuzz_op(), hf_bytes_of(data, len), &parts).code != HF_OK) {
        fuzz_require(fuzz_op()->cause == HF_CAUSE_NONE);
        return 0;
    }
    fuzz_require(parts.version != HF_LATEST);
    hf_put_u8(again, HF_CIPHERTEXT_FORMAT);
    hf_put_u32(again, parts.version);
    hf_buf_add(again, parts.salt, HF_SALT_LEN);
    hf_buf_add(again, parts.nonce, HF_GCM_NONCE_LEN);
    hf_buf_add_bytes(again, parts.body);
    hf_buf_add(again, parts.tag, HF_GCM_TAG_LEN);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(again), hf_bytes_of(data, len)));
    return 0;
}
