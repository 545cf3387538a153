/* Cookies come from anybody: what is taken apart goes together again, what is read is well formed.
 */
#include "fuzz.h"

#include <string.h>

#include "base/text.h"
#include "identity/cookie_text.h"

/* A cookie that was read can be written, and reads back the same. */
static void check_round_trip(const struct hf_cookie *cookie)
{
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_cookie again;

    fuzz_require(hf_cookie_write(fuzz_op(), cookie, text).code == HF_OK);
    fuzz_require(hf_cookie_read(fuzz_op(), hf_buf_bytes(text), &again).code == HF_OK);
    fuzz_require(strcmp(cookie->user, again.user) == 0 && strcmp(cookie->type, again.type) == 0);
    fuzz_require(cookie->expires_ms == again.expires_ms);
}

static void check_read(struct hf_bytes text)
{
    struct hf_op *op = fuzz_op();
    struct hf_cookie cookie;
    struct hf_status status = hf_cookie_read(op, text, &cookie);

    fuzz_require(status.code == HF_OK || status.code == HF_UNAUTHENTICATED);
    if (status.code == HF_OK) {
        fuzz_require(cookie.user[0] != '\0' && strpbrk(cookie.user, "&=") == NULL);
        fuzz_require(strcmp(cookie.type, HF_COOKIE_PSEUDO) == 0 ||
                     strcmp(cookie.type, HF_COOKIE_KERBEROS) == 0);
        fuzz_require(cookie.expires_ms >= hf_env_realtime_ms(op->env) - 60000);
        check_round_trip(&cookie);
    }
}

/* The parts, put together, are the value to the byte: no two values have one meaning. */
static void check_split(struct hf_bytes value)
{
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_cookie_parts parts;
    struct hf_status status = hf_cookie_split(fuzz_op(), value, &parts);

    fuzz_require(status.code == HF_OK || status.code == HF_UNAUTHENTICATED);
    if (status.code == HF_OK) {
        hf_buf_add_bytes(again, parts.text);
        hf_buf_add_text(again, "&s=");
        hf_base64_add(again, hf_bytes_of(parts.signature, sizeof parts.signature));
        fuzz_require(hf_bytes_equal(hf_buf_bytes(again), value));
        check_read(parts.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes value = hf_bytes_of(data, len);

    check_split(value);
    check_read(value);
    return 0;
}
