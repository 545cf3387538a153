/*
 * Wrapping with the random bytes given, for the test vectors of docs/formats/protector.md. Nobody
 * else calls these: a salt and nonce used twice give the key away.
 */
#pragma once

#include "protect/envelope.h"
#include "protect/protector.h"

struct hf_wrap_random {
    uint8_t salt[HF_ENVELOPE_SALT_LEN];
    uint8_t nonce[HF_GCM_NONCE_LEN];
};

HF_STATUS hf_passphrase_wrap_with(struct hf_protector *protector, struct hf_op *op,
                                  const struct hf_wrap_random *random, struct hf_bytes plain,
                                  struct hf_bytes context, struct hf_buf *out);
HF_STATUS hf_keyfile_wrap_with(struct hf_protector *protector, struct hf_op *op,
                               const struct hf_wrap_random *random, struct hf_bytes plain,
                               struct hf_bytes context, struct hf_buf *out);

/* Fresh ones. */
static inline struct hf_status hf_wrap_random_draw(struct hf_crypto *crypto, struct hf_op *op,
                                                   struct hf_wrap_random *out)
{
    HF_TRY(hf_random_public(crypto, op, out->salt, sizeof out->salt));
    return hf_random_public(crypto, op, out->nonce, sizeof out->nonce);
}
