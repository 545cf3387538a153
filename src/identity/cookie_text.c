/* The text of a "hadoop.auth" cookie (reference/hadoop-kms.md, 3.3). */
#include "identity/cookie_text.h"

#include <string.h>

#include "base/text.h"

#define SIGNER "org.apache.hadoop.security.authentication.util.SignerException: "

/* What a text may hold; all but the inactivity limit must be there. */
enum attribute { USER, PRINCIPAL, TYPE, EXPIRES, INACTIVE, ATTRIBUTE_COUNT };
static const char letters[ATTRIBUTE_COUNT] = { 'u', 'p', 't', 'e', 'i' };

struct hf_status hf_cookie_bad_signature(struct hf_op *op)
{
    return hf_fail(op, HF_UNAUTHENTICATED, SIGNER "Invalid signature");
}

struct hf_status hf_cookie_expired(struct hf_op *op)
{
    return hf_fail(op, HF_UNAUTHENTICATED, "AuthenticationToken expired");
}

static struct hf_status bad_text(struct hf_op *op)
{
    return hf_fail(op, HF_UNAUTHENTICATED, "Invalid token string, missing attributes");
}

struct hf_status hf_cookie_split(struct hf_op *op, struct hf_bytes value,
                                 struct hf_cookie_parts *out)
{
    static const struct hf_bytes mark = { (const uint8_t *)"&s=", 3 };
    uint8_t decoded[HF_SHA256_LEN + 3];
    const uint8_t *at =
        value.len < mark.len ? NULL : value.data + (value.len - mark.len); /* the last one counts */
    struct hf_bytes signature;
    size_t len;

    while (at != NULL && memcmp(at, mark.data, mark.len) != 0) {
        at = at == value.data ? NULL : at - 1;
    }
    if (at == NULL) {
        return hf_fail(op, HF_UNAUTHENTICATED, SIGNER "Invalid signed text");
    }
    signature.data = at + mark.len;
    signature.len = (size_t)(value.data + value.len - signature.data);
    if (hf_base64_max(signature.len) > sizeof decoded ||
        !hf_base64_decode_strict(signature, decoded, &len) || len != HF_SHA256_LEN) {
        return hf_cookie_bad_signature(op);
    }
    out->text = hf_bytes_of(value.data, (size_t)(at - value.data));
    memcpy(out->signature, decoded, HF_SHA256_LEN);
    return HF_SUCCESS;
}

/* One "x=value" into its place; false for anything else. */
static bool take_attribute(struct hf_bytes part, struct hf_bytes values[ATTRIBUTE_COUNT])
{
    if (part.len < 3 || part.data[1] != '=' || memchr(part.data + 2, '=', part.len - 2) != NULL) {
        return false;
    }
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (part.data[0] == (uint8_t)letters[i] && values[i].data == NULL) {
            values[i] = hf_bytes_of(part.data + 2, part.len - 2);
            return true;
        }
    }
    return false;
}

static bool take_attributes(struct hf_bytes text, struct hf_bytes values[ATTRIBUTE_COUNT])
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.len;

    while (at < end) {
        const uint8_t *stop = memchr(at, '&', (size_t)(end - at));

        stop = stop != NULL ? stop : end;
        if (!take_attribute(hf_bytes_of(at, (size_t)(stop - at)), values)) {
            return false;
        }
        at = stop + 1;
    }
    for (size_t i = 0; i < INACTIVE; i++) {
        if (values[i].data == NULL) {
            return false;
        }
    }
    return true;
}

static bool copy_text(struct hf_bytes from, char *to, size_t size)
{
    if (from.len >= size || memchr(from.data, '\0', from.len) != NULL) {
        return false;
    }
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

static bool read_ms(struct hf_op *op, struct hf_bytes from, uint64_t *out)
{
    char digits[24];

    return copy_text(from, digits, sizeof digits) &&
           hf_parse_u64(op, digits, INT64_MAX, out).code == HF_OK;
}

static bool type_is_known(const char *type)
{
    return strcmp(type, HF_COOKIE_PSEUDO) == 0 || strcmp(type, HF_COOKIE_KERBEROS) == 0;
}

struct hf_status hf_cookie_read(struct hf_op *op, struct hf_bytes text, struct hf_cookie *out)
{
    struct hf_bytes values[ATTRIBUTE_COUNT] = { 0 };
    struct hf_cookie cookie;
    uint64_t now = hf_env_realtime_ms(op->env);
    uint64_t inactive = UINT64_MAX;

    if (!take_attributes(text, values) ||
        !copy_text(values[USER], cookie.user, sizeof cookie.user)) {
        return bad_text(op);
    }
    if (!copy_text(values[TYPE], cookie.type, sizeof cookie.type) || !type_is_known(cookie.type)) {
        return hf_fail(op, HF_UNAUTHENTICATED, "Invalid AuthenticationToken type");
    }
    if (!read_ms(op, values[EXPIRES], &cookie.expires_ms) ||
        (values[INACTIVE].data != NULL && !read_ms(op, values[INACTIVE], &inactive))) {
        return bad_text(op);
    }
    if (now > cookie.expires_ms || now > inactive) {
        return hf_cookie_expired(op);
    }
    *out = cookie;
    return HF_SUCCESS;
}

struct hf_status hf_cookie_write(struct hf_op *op, const struct hf_cookie *cookie,
                                 struct hf_buf *out)
{
    if (cookie->user[0] == '\0' || strpbrk(cookie->user, "&=") != NULL) {
        return hf_fail(op, HF_INVALID, "a user in a cookie has a name without '&' and '='");
    }
    if (!type_is_known(cookie->type)) {
        return hf_fail(op, HF_INVALID, "'%s' is no type of cookie", cookie->type);
    }
    hf_buf_add_format(out, "u=%s&p=%s&t=%s&e=%llu", cookie->user, cookie->user, cookie->type,
                      (unsigned long long)cookie->expires_ms);
    return HF_SUCCESS;
}
