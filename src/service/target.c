/* Reads what "why" is asked about. */
#include "service/target.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#define IV_LEN 16

static struct hf_status set_keyring(struct hf_op *op, struct hf_bytes keyring,
                                    struct hf_target *out)
{
    if (keyring.len == 0 || keyring.len >= sizeof out->keyring) {
        return hf_fail(op, HF_INVALID, "name the keyring, as in 'keyring/key@3'");
    }
    memcpy(out->keyring, keyring.data, keyring.len);
    out->keyring[keyring.len] = '\0';
    return HF_SUCCESS;
}

static struct hf_status set_name(struct hf_op *op, const char *name, size_t len,
                                 struct hf_target *out)
{
    if (len == 0 || len >= sizeof out->name) {
        return hf_fail(op, HF_INVALID, "a key's name has 1 to %d bytes", HF_NAME_MAX);
    }
    memcpy(out->name, name, len);
    out->name[len] = '\0';
    return HF_SUCCESS;
}

/* "name@3": false when there is no number behind the last '@'. */
static bool split_version(const char *text, size_t *out_name_len, uint32_t *out_version)
{
    const char *at = strrchr(text, '@');
    struct hf_op op;
    uint64_t number;

    hf_op_init(&op, NULL);
    if (at == NULL || at == text ||
        hf_parse_u64(&op, at + 1, (uint64_t)HF_LATEST - 1, &number).code != HF_OK) {
        return false;
    }
    *out_name_len = (size_t)(at - text);
    *out_version = (uint32_t)number;
    return true;
}

/* A key may have a name that looks like another key's version; the version is meant then. */
static struct hf_status read_name(struct hf_service *service, struct hf_op *op, const char *text,
                                  struct hf_target *out)
{
    size_t len = 0;
    uint32_t version = 0;

    out->version = HF_LATEST;
    if (!split_version(text, &len, &version)) {
        return set_name(op, text, strlen(text), out);
    }
    if (hf_service_key_exists(service, out->keyring, text)) {
        HF_TRY(set_name(op, text, len, out));
        if (!hf_service_key_exists(service, out->keyring, out->name)) {
            return set_name(op, text, strlen(text), out);
        }
    }
    out->version = version;
    return set_name(op, text, len, out);
}

static struct hf_status check_base64(struct hf_op *op, const char *member, const char *text,
                                     const size_t *lengths, size_t count)
{
    HF_AUTO(buf) bytes = hf_buf_new();
    size_t len = hf_base64_decode_lenient(hf_bytes_of_text(text),
                                          hf_buf_reserve(bytes, hf_base64_max(strlen(text)) + 1));

    for (size_t i = 0; i < count; i++) {
        if (lengths[i] == len) {
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID, "the EDEK's \"%s\" has a length that none has: %zu bytes",
                   member, len);
}

/* {"versionName": "sales@3", "iv": "..", "encryptedKeyVersion": {"material": ".."}} */
static struct hf_status read_edek(struct hf_op *op, const char *text, struct hf_target *out)
{
    static const size_t iv_lengths[] = { IV_LEN }, material_lengths[] = { 16, 24, 32 };
    HF_AUTO(json) json = NULL;
    const struct hf_json *wrapped = NULL;
    const char *version_name = NULL, *iv = NULL, *material = NULL;
    size_t len = 0;

    HF_TRY(hf_json_parse(op, hf_bytes_of_text(text), &json));
    HF_TRY(hf_json_text(op, json, "versionName", &version_name));
    HF_TRY(hf_json_text(op, json, "iv", &iv));
    HF_TRY(hf_json_object_or(op, json, "encryptedKeyVersion", &wrapped));
    if (wrapped == NULL) {
        return hf_fail(op, HF_INVALID, "the EDEK has no \"encryptedKeyVersion\"");
    }
    HF_TRY(hf_json_text(op, wrapped, "material", &material));
    HF_TRY(check_base64(op, "iv", iv, iv_lengths, HF_COUNT(iv_lengths)));
    HF_TRY(check_base64(op, "material", material, material_lengths, HF_COUNT(material_lengths)));
    if (!split_version(version_name, &len, &out->version)) {
        return hf_fail(op, HF_INVALID, "the EDEK's \"versionName\" is not like 'key@3'");
    }
    out->is_edek = true;
    return set_name(op, version_name, len, out);
}

struct hf_status hf_target_read(struct hf_service *service, struct hf_op *op, const char *keyring,
                                const char *what, struct hf_target *out)
{
    const char *slash = strchr(what, '/');

    memset(out, 0, sizeof *out);
    if (keyring != NULL) {
        HF_TRY(set_keyring(op, hf_bytes_of_text(keyring), out));
        return what[strspn(what, " \t\r\n")] == '{' ? read_edek(op, what, out)
                                                    : read_name(service, op, what, out);
    }
    if (slash == NULL || what[0] == '{') {
        return hf_fail(op, HF_INVALID, "name the keyring, as in 'keyring/key@3'");
    }
    HF_TRY(set_keyring(op, hf_bytes_of(what, (size_t)(slash - what)), out));
    return read_name(service, op, slash + 1, out);
}
