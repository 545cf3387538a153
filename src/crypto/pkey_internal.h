/*
 * A key pair, for the files of this folder that use one.
 */
#pragma once

#include "crypto/crypto_internal.h"

struct hf_pkey {
    EVP_PKEY *key;
    enum hf_pkey_kind kind;
    bool has_private;
};

bool hf_pkey_is_rsa(const struct hf_pkey *pkey);
/* Fails with HF_INVALID when only the public half is here. */
HF_STATUS hf_pkey_need_private(const struct hf_pkey *pkey, struct hf_op *op);
