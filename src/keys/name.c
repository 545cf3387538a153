/* Names and paths: "key/<keyring>/<key>", percent-encoded, numbers with ten digits. */
#include "keys/name.h"

#include "base/alloc.h"
#include "base/text.h"

static bool is_keyring_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* The length of a keyring's name at text that ends with end, or 0. */
static size_t keyring_name_len(const char *text, char end)
{
    size_t len = 0;

    while (is_keyring_char(text[len])) {
        len++;
    }
    if (len > HF_KEYRING_NAME_MAX || text[len] != end || text[0] == '-' || text[0] == '_' ||
        text[0] == '.') {
        return 0;
    }
    return len;
}

struct hf_status hf_keyring_name_check(struct hf_op *op, const char *name)
{
    if (keyring_name_len(name, '\0') == 0) {
        return hf_fail(op, HF_INVALID,
                       "a keyring's name has 1 to %d of a-z, 0-9, '-', '_' and '.', and begins "
                       "with a letter or a digit",
                       HF_KEYRING_NAME_MAX);
    }
    return HF_SUCCESS;
}

struct hf_status hf_key_name_check(struct hf_op *op, const char *name)
{
    size_t len = strnlen(name, HF_NAME_MAX + 1);

    if (len == 0 || len > HF_NAME_MAX) {
        return hf_fail(op, HF_INVALID, "a key's name has 1 to %d bytes", HF_NAME_MAX);
    }
    if (!hf_text_is_utf8(hf_bytes_of(name, len))) {
        return hf_fail(op, HF_INVALID, "a key's name must be UTF-8");
    }
    return HF_SUCCESS;
}

char *hf_keyring_path(const char *keyring)
{
    return hf_format("keyring/%s", keyring);
}

static char *named_path(const char *kind, const char *keyring, const char *name)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_format(path, "%s/%s/", kind, keyring);
    hf_percent_add(path, hf_bytes_of_text(name));
    return hf_strdup(hf_buf_text(path));
}

char *hf_key_path(const char *keyring, const char *name)
{
    return named_path("key", keyring, name);
}

static char *numbered_path(const char *kind, const char *keyring, const char *name,
                           uint32_t version)
{
    HF_AUTO_STRING base = named_path(kind, keyring, name);

    return hf_format("%s/%010u", base, version);
}

char *hf_version_path(const char *keyring, const char *name, uint32_t version)
{
    return numbered_path("version", keyring, name, version);
}

char *hf_usage_path(const char *keyring, const char *name, uint32_t version)
{
    return numbered_path("usage", keyring, name, version);
}

/* Steps *at past prefix and "<keyring><end>"; false if they are not there. */
static bool take_keyring(const char **at, const char *prefix, char end, struct hf_path_parts *out)
{
    size_t prefix_len = strlen(prefix);
    size_t len = 0;

    if (strncmp(*at, prefix, prefix_len) != 0) {
        return false;
    }
    *at += prefix_len;
    len = keyring_name_len(*at, end);
    if (len == 0) {
        return false;
    }
    memcpy(out->keyring, *at, len);
    out->keyring[len] = '\0';
    *at += len + (end != '\0' ? 1 : 0);
    return true;
}

/* Decodes the name of len characters at text. */
static bool take_name(struct hf_op *op, const char *text, size_t len, struct hf_path_parts *out)
{
    HF_AUTO(buf) decoded = NULL;

    if (len == 0) {
        return false;
    }
    if (memchr(text, '%', len) == NULL) {
        out->name = hf_bytes_of(text, len);
        return len <= HF_NAME_MAX;
    }
    decoded = hf_buf_new();
    if (hf_percent_decode(op, hf_bytes_of(text, len), false, decoded).code != HF_OK ||
        decoded->len > HF_NAME_MAX || memchr(decoded->data, '\0', decoded->len) != NULL) {
        return false;
    }
    memcpy(out->decoded, decoded->data, decoded->len);
    out->name = hf_bytes_of(out->decoded, decoded->len);
    return true;
}

static bool take_number(const char *text, uint32_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 10; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = (uint32_t)value;
    return text[10] == '\0' && value < HF_LATEST;
}

static struct hf_status refuse(struct hf_op *op, const char *what, const char *path)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "\"%.200s\" is not the path of a %s",
                         path, what);
}

struct hf_status hf_keyring_path_parse(struct hf_op *op, const char *path,
                                       struct hf_path_parts *out)
{
    const char *at = path;

    return take_keyring(&at, "keyring/", '\0', out) ? HF_SUCCESS : refuse(op, "keyring", path);
}

struct hf_status hf_key_path_parse(struct hf_op *op, const char *path, struct hf_path_parts *out)
{
    const char *at = path;

    if (!take_keyring(&at, "key/", '/', out) || strchr(at, '/') != NULL ||
        !take_name(op, at, strlen(at), out)) {
        return refuse(op, "key", path);
    }
    return HF_SUCCESS;
}

struct hf_status hf_version_path_parse(struct hf_op *op, const char *path,
                                       struct hf_path_parts *out)
{
    const char *at = path;
    const char *slash = NULL;

    if (!take_keyring(&at, "version/", '/', out)) {
        return refuse(op, "version", path);
    }
    slash = strchr(at, '/');
    if (slash == NULL || !take_number(slash + 1, &out->version) ||
        !take_name(op, at, (size_t)(slash - at), out)) {
        return refuse(op, "version", path);
    }
    return HF_SUCCESS;
}
