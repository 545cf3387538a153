/*
 * What the seal reads from a store and from its pin file, before and after a tag has been checked:
 * records, heads, pins and wrapped keys stay within their bytes and have one form each.
 */
#include "fuzz.h"

#include <string.h>

#include "base/codec.h"
#include "seal/seal_internal.h"

/* What was taken apart fits together again to the same bytes. */
static void fuzz_body(struct hf_bytes input)
{
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_record_parts parts;
    struct hf_status status = hf_record_parse(fuzz_op(), input, &parts);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code != HF_OK) {
        return;
    }
    hf_put_u8(again, 1);
    hf_put_u8(again, parts.kind);
    hf_put_u8(again, parts.flags);
    hf_put_u32(again, parts.generation);
    hf_buf_add(again, parts.salt, HF_SALT_LEN);
    hf_buf_add(again, parts.nonce, HF_GCM_NONCE_LEN);
    hf_put_bytes(again, parts.clear);
    hf_buf_add_bytes(again, parts.cipher);
    hf_buf_add(again, parts.tag, HF_GCM_TAG_LEN);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(again), input));
    fuzz_require(parts.clear.len == 0 || parts.cipher.len == 0);
}

static void fuzz_head(struct hf_bytes input)
{
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_head head;
    struct hf_status status = hf_head_parse(fuzz_op(), input, &head);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        hf_head_encode(&head, again);
        fuzz_require(hf_bytes_equal(hf_buf_bytes(again), input));
    }
}

/* A pin may have its lines in another order, but says the same thing when written and read. */
static void fuzz_pin(struct hf_bytes input)
{
    HF_AUTO(buf) once = hf_buf_new();
    HF_AUTO(buf) twice = hf_buf_new();
    struct hf_pin pin;
    struct hf_status status = hf_pin_parse(fuzz_op(), input, &pin);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        hf_pin_print(&pin, once);
        fuzz_require(hf_pin_parse(fuzz_op(), hf_buf_bytes(once), &pin).code == HF_OK);
        hf_pin_print(&pin, twice);
        fuzz_require(hf_bytes_equal(hf_buf_bytes(once), hf_buf_bytes(twice)));
    }
}

static void fuzz_wrapped(struct hf_bytes input)
{
    uint32_t parent = 0;
    struct hf_status status = hf_seal_wrapped_parent(fuzz_op(), input, &parent);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        fuzz_require(input.len > 5 && input.data[4] == (uint8_t)parent);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes input = hf_bytes_of(data, len);

    switch (fuzz_take_byte(&input) % 4) {
    case 0:
        fuzz_body(input);
        break;
    case 1:
        fuzz_head(input);
        break;
    case 2:
        fuzz_pin(input);
        break;
    default:
        fuzz_wrapped(input);
        break;
    }
    return 0;
}
