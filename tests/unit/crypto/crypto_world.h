/*
 * What the tests of cryptography start from: secret memory, OpenSSL on top of it, one operation.
 */
#pragma once

#include "test.h"

#include "base/text.h"
#include "crypto/crypto.h"

struct world {
    struct hf_env env;
    struct hf_op op;
    struct hf_crypto *crypto;
};

/* One per program: the arenas are the process's too. */
static struct world world;

static inline int open_world(void **unused)
{
    const struct hf_secret_settings settings = { .allow_unlocked = true };

    (void)unused;
    hf_env_system(&world.env);
    hf_op_init(&world.op, &world.env);
    assert_ok(&world.op, hf_secret_start(&world.op, &settings));
    assert_ok(&world.op, hf_crypto_start(&world.op));
    assert_ok(&world.op, hf_crypto_new(&world.op, &world.crypto));
    return 0;
}

static inline int close_world(void **unused)
{
    (void)unused;
    hf_crypto_free(world.crypto);
    return 0;
}

/* The bytes of a hex text, for the caller to free. */
static inline struct hf_buf *unhex(const char *text)
{
    struct hf_buf *buf = hf_buf_new();

    assert_ok(&world.op, hf_hex_decode(&world.op, hf_bytes_of_text(text), buf));
    return buf;
}

static inline struct hf_secret *unhex_secret(const char *text)
{
    HF_AUTO(buf) buf = unhex(text);
    struct hf_secret *secret = NULL;

    assert_ok(&world.op, hf_secret_copy(&world.op, hf_buf_bytes(buf), &secret));
    return secret;
}

/* The bytes must be those of the hex text; says names the case. */
static inline void assert_hex(const char *says, struct hf_bytes got, const char *wanted)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_hex_add(text, got);
    if (strcmp(hf_buf_text(text), wanted) != 0) {
        fail_msg("%s: got %s, wanted %s", says, hf_buf_text(text), wanted);
    }
}

/* The failure must have that code and say that the bytes are altered. */
static inline void assert_altered(const char *says, struct hf_status status)
{
    if (status.code != HF_CORRUPT || world.op.cause != HF_CAUSE_ALTERED) {
        fail_msg("%s: got %s (%s), wanted corrupt (altered)", says, hf_code_name(status.code),
                 hf_cause_name(world.op.cause));
    }
}
