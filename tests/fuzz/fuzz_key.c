/*
 * Records of keyrings, keys, versions and usage, and the paths of versions: what is taken is
 * written back byte for byte, so there is one form of everything.
 */
#include "fuzz.h"

#include <string.h>

#include "base/alloc.h"
#include "keys/name.h"
#include "keys/record.h"

static bool keyring_again(struct hf_bytes input, struct hf_buf *out)
{
    struct hf_keyring_record record;

    if (hf_keyring_record_decode(fuzz_op(), input, &record).code != HF_OK) {
        return false;
    }
    hf_keyring_record_encode(&record, out);
    return true;
}

static bool key_again(struct hf_bytes input, struct hf_buf *out)
{
    struct hf_key_record record;
    struct hf_bytes rest;
    struct hf_bytes name;
    struct hf_bytes value;
    uint32_t count = 0;

    if (hf_key_record_decode(fuzz_op(), input, &record).code != HF_OK) {
        return false;
    }
    rest = record.attributes;
    while (hf_key_record_attribute(&rest, &name, &value)) {
        count++;
    }
    fuzz_require(count == record.attribute_count && rest.len == 0);
    hf_key_record_encode(&record, out);
    return true;
}

static bool version_again(struct hf_bytes input, struct hf_buf *out)
{
    struct hf_version_record record;

    if (hf_version_record_decode(fuzz_op(), input, &record).code != HF_OK) {
        return false;
    }
    hf_version_record_encode(&record, out);
    return true;
}

static bool usage_again(struct hf_bytes input, struct hf_buf *out)
{
    struct hf_usage usage;

    if (hf_usage_decode(fuzz_op(), input, &usage).code != HF_OK) {
        return false;
    }
    hf_usage_encode(&usage, out);
    return true;
}

static bool check(struct hf_bytes input, bool (*again)(struct hf_bytes input, struct hf_buf *out))
{
    HF_AUTO(buf) out = hf_buf_new();

    if (!again(input, out)) {
        return false;
    }
    fuzz_require(hf_bytes_equal(input, hf_buf_bytes(out)));
    return true;
}

/* A path can be written in several ways; the name in it is the same however it is written. */
static void check_path(struct hf_bytes input)
{
    HF_AUTO_STRING path = hf_strndup((const char *)input.data, input.len);
    struct hf_path_parts parts;
    struct hf_path_parts again;
    HF_AUTO_STRING name = NULL;
    HF_AUTO_STRING made = NULL;

    if (hf_version_path_parse(fuzz_op(), path, &parts).code != HF_OK) {
        return;
    }
    fuzz_require(parts.name.len > 0 && parts.name.len <= HF_NAME_MAX);
    fuzz_require(hf_keyring_name_check(fuzz_op(), parts.keyring).code == HF_OK);
    name = hf_strndup((const char *)parts.name.data, parts.name.len);
    fuzz_require(strlen(name) == parts.name.len);
    made = hf_version_path(parts.keyring, name, parts.version);
    fuzz_require(strlen(made) <= HF_PATH_MAX);
    fuzz_require(hf_version_path_parse(fuzz_op(), made, &again).code == HF_OK);
    fuzz_require(hf_bytes_equal(parts.name, again.name) && parts.version == again.version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool (*const kinds[])(struct hf_bytes, struct hf_buf *) = { keyring_again, key_again,
                                                                       version_again, usage_again };
    struct hf_bytes input = hf_bytes_of(data, len);
    unsigned choice = fuzz_take_byte(&input) % (HF_COUNT(kinds) + 1);

    if (choice == HF_COUNT(kinds)) {
        check_path(input);
    } else {
        (void)check(input, kinds[choice]);
    }
    return 0;
}
