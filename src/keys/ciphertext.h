/*
 * The form of our own ciphertext (docs/formats/ciphertext.md). For the files of this folder, their
 * tests and fuzz targets.
 */
#pragma once

#include "crypto/crypto.h"
#include "keys/hot.h"

#define HF_CIPHERTEXT_FORMAT   1
#define HF_CIPHERTEXT_HEAD     (1 + 4 + HF_SALT_LEN + HF_GCM_NONCE_LEN)
#define HF_CIPHERTEXT_OVERHEAD (HF_CIPHERTEXT_HEAD + HF_GCM_TAG_LEN)

/* Views into the ciphertext. */
struct hf_ciphertext {
    uint32_t version;
    const uint8_t *salt;
    const uint8_t *nonce;
    struct hf_bytes body;
    const uint8_t *tag;
};
/* HF_INVALID unless it has the form. */
HF_STATUS hf_ciphertext_parse(struct hf_op *op, struct hf_bytes bytes, struct hf_ciphertext *out);
