/* Bodies of _reencryptbatch: what is accepted has whole entries, and says the same when written. */
#include "fuzz.h"
#include "hadoop/hadoop_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_AUTO(buf) edeks = hf_buf_new();
    HF_AUTO(buf) again = hf_buf_new();
    HF_AUTO(buf) text = hf_buf_new();
    size_t count = 0;
    size_t repeated = 0;

    if (read_batch(fuzz_op(), hf_bytes_of(data, size), "k", edeks, &count).code != HF_OK) {
        return 0;
    }
    fuzz_require(edeks->len == count * sizeof(struct hf_edek));
    hf_buf_add_text(text, "[");
    for (size_t i = 0; i < count; i++) {
        fuzz_require(((const struct hf_edek *)edeks->data)[i].len <=
                     sizeof((struct hf_edek *)0)->wrapped);
    }
    add_edeks(text, "k", (const struct hf_edek *)edeks->data, count);
    hf_buf_add_text(text, "]");
    fuzz_require(read_batch(fuzz_op(), hf_buf_bytes(text), "k", again, &repeated).code == HF_OK);
    fuzz_require(repeated == count);
    for (size_t i = 0; i < count; i++) {
        const struct hf_edek *a = (const struct hf_edek *)edeks->data + i;
        const struct hf_edek *b = (const struct hf_edek *)again->data + i;

        fuzz_require(a->version == b->version && a->len == b->len);
        fuzz_require(memcmp(a->iv, b->iv, sizeof a->iv) == 0);
        fuzz_require(memcmp(a->wrapped, b->wrapped, a->len) == 0);
    }
    return 0;
}
