/*
 * What each algorithm's material looks like: how it is made, checked and, for key pairs, which
 * public half belongs to it. For the files of this folder.
 */
#pragma once

#include "keys/keys.h"

enum hf_family {
    HF_FAMILY_AES,
    HF_FAMILY_RSA,
    HF_FAMILY_EC,
    HF_FAMILY_ED25519,
    HF_FAMILY_HMAC,
    HF_FAMILY_OPAQUE,
};

struct hf_algorithm_row {
    enum hf_algorithm algorithm;
    const char *name;
    enum hf_family family;
    uint32_t min_len; /* of the material; symmetric ones only */
    uint32_t max_len;
    uint32_t default_len;
    enum hf_pkey_kind kind; /* key pairs only */
};

/* NULL for an unknown number. */
const struct hf_algorithm_row *hf_algorithm_row(enum hf_algorithm algorithm);
bool hf_algorithm_is_pair(const struct hf_algorithm_row *row);

/*
 * The material of a new version and, for key pairs, its public half as SPKI appended to out_public.
 * given: imported (a copy is taken; PKCS#8 is written anew, so that what is kept is what we can
 * read), or NULL to make it here with len bytes (0: the default). HF_INVALID says what was wanted.
 */
HF_STATUS hf_material_get(struct hf_crypto *crypto, struct hf_op *op,
                          const struct hf_algorithm_row *row, const struct hf_secret *given,
                          uint32_t len, struct hf_secret **out, struct hf_buf *out_public);
