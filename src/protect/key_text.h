/*
 * Private files that hold one key of 32 bytes: a heading line, then 64 hexadecimal digits
 * (docs/formats/protector.md).
 */
#pragma once

#include "crypto/crypto.h"

#define HF_KEY_TEXT_LEN 32

struct hf_key_text {
    const char *heading; /* "holdfast-keyfile 1\n" */
    const char *what;    /* "a key file", for messages */
};

/* Makes the file with a fresh key, mode 0600; HF_EXISTS if it is there. */
HF_STATUS hf_key_text_create(struct hf_crypto *crypto, struct hf_op *op,
                             const struct hf_key_text *form, const char *file);
/* HF_INVALID when it has another form or is open to others; HF_UNAVAILABLE without it. */
HF_STATUS hf_key_text_read(struct hf_op *op, const struct hf_key_text *form, const char *file,
                           struct hf_secret **out);
