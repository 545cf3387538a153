/*
 * What comes by mail and from the store when a node joins: requests, bundles and members stay
 * within their bytes and have one form. The first byte chooses; for every other choice the checksum
 * is made to fit, so that the fuzzer gets past it.
 */
#include "fuzz_crypto.h"

#include <string.h>

#include "base/text.h"
#include "seal/member.h"

static void require_refusal(struct hf_status status)
{
    fuzz_require(status.code == HF_INVALID || status.code == HF_UNSUPPORTED ||
                 status.code == HF_TOO_LARGE);
}

/* Printed again and read again, it is the same. */
static void read_request(struct hf_bytes text)
{
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_join_request request;
    struct hf_join_request back;
    struct hf_status status = hf_join_request_parse(fuzz_crypto(), fuzz_op(), text, &request);

    if (status.code != HF_OK) {
        require_refusal(status);
        return;
    }
    fuzz_require(hf_node_name_is_valid(request.name));
    fuzz_require(hf_join_request_print(fuzz_crypto(), fuzz_op(), &request, again).code == HF_OK);
    fuzz_require(hf_join_request_parse(fuzz_crypto(), fuzz_op(), hf_buf_bytes(again), &back).code ==
                 HF_OK);
    fuzz_require(memcmp(&request, &back, sizeof back) == 0);
}

static void read_bundle(struct hf_bytes text)
{
    HF_AUTO(join_bundle) bundle = NULL;
    HF_AUTO(join_bundle) back = NULL;
    HF_AUTO(buf) once = hf_buf_new();
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_status status = hf_join_bundle_parse(fuzz_crypto(), fuzz_op(), text, &bundle);

    if (status.code != HF_OK) {
        require_refusal(status);
        return;
    }
    fuzz_require(strlen(bundle->slot) == 32 && bundle->authority.len <= HF_AUTHORITY_MAX);
    fuzz_require(hf_join_bundle_print(fuzz_crypto(), fuzz_op(), bundle, once).code == HF_OK);
    fuzz_require(hf_join_bundle_parse(fuzz_crypto(), fuzz_op(), hf_buf_bytes(once), &back).code ==
                 HF_OK);
    fuzz_require(hf_join_bundle_print(fuzz_crypto(), fuzz_op(), back, again).code == HF_OK);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(once), hf_buf_bytes(again)));
}

static void with_fitting_checksum(const char *head, struct hf_bytes payload,
                                  void (*read)(struct hf_bytes text))
{
    HF_AUTO(buf) whole = hf_buf_new();
    HF_AUTO(buf) text = hf_buf_new();
    uint8_t digest[HF_SHA256_LEN];

    hf_buf_add_text(whole, head);
    hf_buf_add_bytes(whole, payload);
    fuzz_require(hf_sha256(fuzz_crypto(), fuzz_op(), hf_buf_bytes(whole), digest).code == HF_OK);
    hf_buf_add(whole, digest, 8);
    hf_buf_add_text(text, head);
    hf_base64_add(text, hf_bytes_of(whole->data + strlen(head), whole->len - strlen(head)));
    read(hf_buf_bytes(text));
}

static void read_member(struct hf_bytes content)
{
    HF_AUTO(member) member = NULL;
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_status status = hf_member_parse(fuzz_op(), content, &member);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        fuzz_require(hf_member_encode(fuzz_op(), member, again).code == HF_OK);
        fuzz_require(hf_bytes_equal(hf_buf_bytes(again), content));
    }
}

/* As people type it: whatever it is, it ends. */
static void compare_fingerprint(struct hf_bytes typed)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_buf_add_bytes(text, typed);
    fuzz_require(!hf_fingerprint_matches("5FTD-Q7JR-G2BF-CT7T-VKRD", hf_buf_text(text)) ||
                 typed.len >= 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes input = hf_bytes_of(data, len);

    switch (fuzz_take_byte(&input) % 6) {
    case 0:
        read_request(input);
        break;
    case 1:
        with_fitting_checksum("holdfast-join-2:", input, read_request);
        break;
    case 2:
        read_bundle(input);
        break;
    case 3:
        with_fitting_checksum("holdfast-bundle-2:", input, read_bundle);
        break;
    case 4:
        read_member(input);
        break;
    default:
        compare_fingerprint(input);
        break;
    }
    return 0;
}
