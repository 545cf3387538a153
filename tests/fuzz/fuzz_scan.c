/* The flat scanner against Jansson: both must take the same texts and read the same out of them. */
#include "fuzz.h"

#include <string.h>

#include "base/json.h"
#include "base/scan.h"

static const char *const names[] = { "name", "versionName", "iv", "material", "a", "" };

/* What only one of the two refuses. */
static bool is_limit_of_scanner(const struct hf_op *op)
{
    return strstr(op->text, "nests too deeply") != NULL ||
           strstr(op->text, "more than 64 members") != NULL;
}

static bool is_limit_of_jansson(const struct hf_op *op)
{
    return strstr(op->text, "a number is too large") != NULL;
}

static void compare_member(const struct hf_json *json, const struct hf_scan_member *member)
{
    HF_AUTO(buf) resolved = hf_buf_new();
    const char *text = NULL;
    bool is_string = hf_json_text(fuzz_op(), json, member->name, &text).code == HF_OK;
    bool scanned_string = hf_scan_text(fuzz_op(), &member->value, resolved).code == HF_OK;

    fuzz_require(member->value.present == hf_json_has(json, member->name));
    fuzz_require(scanned_string == is_string);
    if (is_string) {
        fuzz_require(hf_bytes_equal_text(hf_buf_bytes(resolved), text));
    }
}

static void compare_object(struct hf_bytes text, const struct hf_json *json, bool jansson_limit)
{
    struct hf_scan_member members[HF_COUNT(names)] = { 0 };
    struct hf_op *op = fuzz_op();
    bool scanned;

    for (size_t i = 0; i < HF_COUNT(names); i++) {
        members[i].name = names[i];
    }
    scanned = hf_scan_object(op, text, members, HF_COUNT(names)).code == HF_OK;
    if (json != NULL && hf_json_is_object(json)) {
        fuzz_require(scanned || is_limit_of_scanner(op));
    }
    if (!scanned) {
        return;
    }
    fuzz_require(jansson_limit || (json != NULL && hf_json_is_object(json)));
    for (size_t i = 0; json != NULL && i < HF_COUNT(names); i++) {
        compare_member(json, &members[i]);
    }
}

static void compare_array(struct hf_bytes text, const struct hf_json *json, bool jansson_limit)
{
    struct hf_scan_array array;
    struct hf_scan_value value = { .present = true };
    struct hf_status status = HF_SUCCESS;
    struct hf_op *op = fuzz_op();
    size_t count = 0;

    hf_scan_array_init(&array, text);
    while (status.code == HF_OK && value.present) {
        status = hf_scan_array_next(op, &array, &value);
        count += status.code == HF_OK && value.present;
    }
    if (json != NULL && hf_json_is_array(json)) {
        fuzz_require(status.code == HF_OK || is_limit_of_scanner(op));
        fuzz_require(status.code != HF_OK || count == hf_json_count(json));
    }
    if (status.code == HF_OK) {
        fuzz_require(jansson_limit || (json != NULL && hf_json_is_array(json)));
    }
}

/* Whatever is stepped over as alike is what the scanner would have taken, to the byte. */
static void compare_alike(struct hf_bytes text)
{
    struct hf_scan_member members[] = { { .name = "iv" }, { .name = "material" } };
    struct hf_bytes values[HF_SCAN_VALUES_MAX];
    struct hf_scan_likeness likeness;
    struct hf_scan_array array;
    struct hf_scan_value value = { .present = true };
    struct hf_op *op = fuzz_op();

    hf_scan_array_init(&array, text);
    while (hf_scan_array_next_object(op, &array, members, 2, &value).code == HF_OK &&
           value.present) {
        struct hf_scan_array alike = array;
        struct hf_scan_array scanned = array;

        hf_scan_likeness_init(&likeness, value.raw);
        hf_scan_likeness_add(&likeness, &members[0].value);
        hf_scan_likeness_add(&likeness, &members[1].value);
        if (value.kind != HF_SCAN_OBJECT || !hf_scan_array_next_alike(&alike, &likeness, values)) {
            continue;
        }
        fuzz_require(hf_scan_array_next_object(op, &scanned, members, 2, &value).code == HF_OK &&
                     value.present && value.kind == HF_SCAN_OBJECT && scanned.at == alike.at);
        for (size_t i = 0; i < 2; i++) {
            fuzz_require(members[i].value.kind == HF_SCAN_STRING &&
                         members[i].value.raw.data == values[i].data &&
                         members[i].value.raw.len == values[i].len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    HF_AUTO(json) json = NULL;
    struct hf_bytes text = hf_bytes_of(data, len);
    struct hf_op *op = fuzz_op();
    bool jansson_limit = false;

    if (hf_json_parse(op, text, &json).code != HF_OK) {
        jansson_limit = is_limit_of_jansson(op);
    }
    compare_object(text, json, jansson_limit);
    compare_array(text, json, jansson_limit);
    compare_alike(text);
    return 0;
}
