/* The JSON reader and writer: what was read can be written, and reads back the same. */
#include "fuzz.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "test_secrets.h"

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    test_start_secrets();
    return 0;
}

static void write_value(struct hf_json_writer *writer, const char *name,
                        const struct hf_json *value);

static void write_member(void *context, const char *name, const struct hf_json *value)
{
    write_value(context, name, value);
}

/* Texts, arrays and objects; what else there is becomes null. */
static void write_value(struct hf_json_writer *writer, const char *name,
                        const struct hf_json *value)
{
    if (hf_json_is_object(value)) {
        hf_json_open_object(writer, name);
        hf_json_each(value, write_member, writer);
        hf_json_close_object(writer);
    } else if (hf_json_is_array(value)) {
        hf_json_open_array(writer, name);
        for (size_t i = 0; i < hf_json_count(value); i++) {
            write_value(writer, NULL, hf_json_at(value, i));
        }
        hf_json_close_array(writer);
    } else if (hf_json_string(value) != NULL) {
        hf_json_put_text(writer, name, hf_json_string(value));
    } else {
        hf_json_put_null(writer, name);
    }
}

static void write_again(const struct hf_json *json, struct hf_buf *out)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    write_value(&writer, NULL, json);
}

static void check_round_trip(const struct hf_json *json)
{
    HF_AUTO(buf) once = hf_buf_new();
    HF_AUTO(buf) twice = hf_buf_new();
    HF_AUTO(json) again = NULL;

    write_again(json, once);
    fuzz_require(hf_json_parse(fuzz_op(), hf_buf_bytes(once), &again).code == HF_OK);
    write_again(again, twice);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(once), hf_buf_bytes(twice)));
}

/* Each getter either succeeds or says HF_INVALID, and an absent member gives the default. */
static void check_getters(const struct hf_json *json, const char *name)
{
    HF_AUTO(secret) secret = NULL;
    struct hf_op *op = fuzz_op();
    const struct hf_json *child = NULL;
    const char *text = NULL;
    uint64_t number = 0;
    bool truth = false;
    bool present = hf_json_has(json, name);
    enum hf_code code = hf_json_text_or(op, json, name, "absent", &text).code;

    fuzz_require(code == HF_OK || (code == HF_INVALID && present));
    fuzz_require(present || strcmp(text, "absent") == 0);
    code = hf_json_u64_or(op, json, name, 4711, &number).code;
    fuzz_require(code == HF_OK || (code == HF_INVALID && present));
    fuzz_require(present || number == 4711);
    code = hf_json_bool_or(op, json, name, true, &truth).code;
    fuzz_require(code == HF_OK || (code == HF_INVALID && present));
    fuzz_require(present || truth);
    code = hf_json_array_or(op, json, name, &child).code;
    fuzz_require(code == HF_OK || (code == HF_INVALID && present));
    code = hf_json_object_or(op, json, name, &child).code;
    fuzz_require(code == HF_OK || (code == HF_INVALID && present));
    code = hf_json_secret(op, json, name, &secret).code;
    fuzz_require(code == (hf_json_text(op, json, name, &text).code));
    fuzz_require(code != HF_OK || hf_secret_len(secret) <= hf_base64_max(strlen(text)));
}

/* Whatever the bytes are, quoted they are a JSON string; valid text comes back unchanged. */
static void check_quoting(struct hf_bytes text)
{
    HF_AUTO(buf) quoted = hf_buf_new();
    HF_AUTO(json) json = NULL;
    bool has_zero = text.len > 0 && memchr(text.data, '\0', text.len) != NULL;

    hf_buf_add_text(quoted, "[");
    hf_json_add_quoted(quoted, text);
    hf_buf_add_text(quoted, "]");
    fuzz_require((hf_json_parse(fuzz_op(), hf_buf_bytes(quoted), &json).code == HF_OK) ==
                 !has_zero);
    if (hf_text_is_utf8(text)) {
        fuzz_require(hf_bytes_equal_text(text, hf_json_string(hf_json_at(json, 0))));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const names[] = { "name", "a", "plaintext", "" };
    HF_AUTO(json) json = NULL;
    struct hf_bytes text = hf_bytes_of(data, len);

    check_quoting(text);
    if (hf_json_parse(fuzz_op(), text, &json).code == HF_OK) {
        fuzz_require(hf_json_is_object(json) != hf_json_is_array(json));
        check_round_trip(json);
        for (size_t i = 0; i < HF_COUNT(names); i++) {
            check_getters(json, names[i]);
        }
    }
    return 0;
}
