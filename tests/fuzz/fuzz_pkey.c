/* Foreign key pairs: what is taken in can be written out, and comes back as the same key. */
#include "fuzz_crypto.h"

static void check_same_public(const struct hf_pkey *one, const struct hf_pkey *other)
{
    HF_AUTO(buf) first = hf_buf_new();
    HF_AUTO(buf) second = hf_buf_new();

    fuzz_require(hf_pkey_kind(one) == hf_pkey_kind(other));
    fuzz_require(hf_pkey_public(one, fuzz_op(), first).code == HF_OK);
    fuzz_require(hf_pkey_public(other, fuzz_op(), second).code == HF_OK);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(first), hf_buf_bytes(second)));
}

static void read_public(struct hf_bytes der)
{
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(pkey) back = NULL;
    HF_AUTO(buf) written = hf_buf_new();
    struct hf_status status = hf_pkey_from_public(fuzz_crypto(), fuzz_op(), der, &pkey);

    fuzz_require(status.code == HF_OK || status.code == HF_INVALID);
    if (status.code == HF_OK) {
        fuzz_require(hf_pkey_public(pkey, fuzz_op(), written).code == HF_OK);
        /* Loaded, not proven again: OpenSSL's proof of an RSA modulus goes by random bases. */
        fuzz_require(
            hf_pkey_load_public(fuzz_crypto(), fuzz_op(), hf_buf_bytes(written), &back).code ==
            HF_OK);
        check_same_public(pkey, back);
    }
}

/* Without the proof of soundness: it costs RSA so much that the fuzzer would stand still. */
static void read_private(struct hf_bytes der)
{
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(pkey) back = NULL;
    HF_AUTO(secret) written = NULL;
    struct hf_status status = hf_pkey_load_private(fuzz_crypto(), fuzz_op(), der, &pkey);

    fuzz_require(status.code == HF_OK || status.code == HF_INVALID);
    if (status.code == HF_OK) {
        fuzz_require(hf_pkey_private(pkey, fuzz_op(), &written).code == HF_OK);
        fuzz_require(
            hf_pkey_load_private(fuzz_crypto(), fuzz_op(), hf_secret_bytes(written), &back).code ==
            HF_OK);
        check_same_public(pkey, back);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes input = hf_bytes_of(data, len);

    if (fuzz_take_byte(&input) % 2 == 0) {
        read_public(input);
    } else {
        read_private(input);
    }
    return 0;
}
