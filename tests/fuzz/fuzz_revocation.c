/* Revocations come by hand from anywhere: what is read is well formed, and is written back so. */
#include "fuzz_crypto.h"

#include <string.h>

#include "service/revocation.h"

static void check_fields(const struct hf_revocation *revocation)
{
    enum hf_revoked_as as = HF_REVOKED_DELETED;

    fuzz_require(revocation->keyring[0] != '\0' && revocation->key[0] != '\0' &&
                 revocation->node[0] != '\0');
    fuzz_require(strlen(revocation->keyring) < sizeof revocation->keyring);
    fuzz_require(strlen(revocation->key) < sizeof revocation->key);
    fuzz_require(revocation->seq > 0);
    fuzz_require(hf_revoked_as_parse(fuzz_op(), hf_revoked_as_name(revocation->as),
                                     revocation->version == HF_LATEST, &as)
                     .code == HF_OK);
    fuzz_require(as == revocation->as);
}

/* The file has a line for each, so one must have no end of line in it. */
static void check_round_trip(const struct hf_revocation *revocation)
{
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_revocation other;

    hf_revocation_write(revocation, text);
    fuzz_require(memchr(text->data, '\n', text->len) == NULL);
    fuzz_require(hf_revocation_read(fuzz_op(), hf_buf_bytes(text), &other).code == HF_OK);
    hf_revocation_write(&other, again);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(text), hf_buf_bytes(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_revocation revocation;
    struct hf_status status = hf_revocation_read(fuzz_op(), hf_bytes_of(data, len), &revocation);

    fuzz_require(status.code == HF_OK || status.code == HF_INVALID);
    if (status.code == HF_OK) {
        check_fields(&revocation);
        check_round_trip(&revocation);
    }
    return 0;
}
