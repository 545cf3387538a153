/* What a record of a root key holds: it stays within its bytes and has one form. */
#include "fuzz.h"

#include "seal/seal_internal.h"
#include "test_secrets.h"

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    test_start_secrets();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes input = hf_bytes_of(data, len);
    HF_AUTO(secret) again = NULL;
    struct hf_root_record record;
    struct hf_status status = hf_root_record_parse(fuzz_op(), input, &record);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        fuzz_require(record.generation != 0);
        fuzz_require(record.root.len == 0 || record.root.len == HF_ROOT_LEN);
        fuzz_require(hf_root_record_encode(fuzz_op(), &record, &again).code == HF_OK);
        fuzz_require(hf_bytes_equal(hf_secret_bytes(again), input));
    }
    return 0;
}
