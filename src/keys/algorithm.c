/* The algorithms a key can have, and the material of each. */
#include "keys/algorithm.h"

/* By number; the gaps have no name. */
static const struct hf_algorithm_row rows[] = {
    [HF_ALG_AES_128] = { HF_ALG_AES_128, "aes-128", HF_FAMILY_AES, 16, 16, 16, 0 },
    [HF_ALG_AES_192] = { HF_ALG_AES_192, "aes-192", HF_FAMILY_AES, 24, 24, 24, 0 },
    [HF_ALG_AES_256] = { HF_ALG_AES_256, "aes-256", HF_FAMILY_AES, 32, 32, 32, 0 },
    [HF_ALG_RSA_2048] = { HF_ALG_RSA_2048, "rsa-2048", HF_FAMILY_RSA, 0, 0, 0, HF_PKEY_RSA_2048 },
    [HF_ALG_RSA_3072] = { HF_ALG_RSA_3072, "rsa-3072", HF_FAMILY_RSA, 0, 0, 0, HF_PKEY_RSA_3072 },
    [HF_ALG_RSA_4096] = { HF_ALG_RSA_4096, "rsa-4096", HF_FAMILY_RSA, 0, 0, 0, HF_PKEY_RSA_4096 },
    [HF_ALG_P256] = { HF_ALG_P256, "ec-p256", HF_FAMILY_EC, 0, 0, 0, HF_PKEY_P256 },
    [HF_ALG_P384] = { HF_ALG_P384, "ec-p384", HF_FAMILY_EC, 0, 0, 0, HF_PKEY_P384 },
    [HF_ALG_P521] = { HF_ALG_P521, "ec-p521", HF_FAMILY_EC, 0, 0, 0, HF_PKEY_P521 },
    [HF_ALG_ED25519] = { HF_ALG_ED25519, "ed25519", HF_FAMILY_ED25519, 0, 0, 0, HF_PKEY_ED25519 },
    [HF_ALG_HMAC] = { HF_ALG_HMAC, "hmac", HF_FAMILY_HMAC, 16, 64, 32, 0 },
    [HF_ALG_OPAQUE] = { HF_ALG_OPAQUE, "opaque", HF_FAMILY_OPAQUE, 1, HF_MATERIAL_MAX, 32, 0 },
};

const struct hf_algorithm_row *hf_algorithm_row(enum hf_algorithm algorithm)
{
    size_t number = (size_t)algorithm;

    return number < HF_COUNT(rows) && rows[number].name != NULL ? &rows[number] : NULL;
}

bool hf_algorithm_is_pair(const struct hf_algorithm_row *row)
{
    return row->max_len == 0;
}

const char *hf_algorithm_name(enum hf_algorithm algorithm)
{
    const struct hf_algorithm_row *row = hf_algorithm_row(algorithm);

    return row != NULL ? row->name : NULL;
}

struct hf_status hf_algorithm_parse(struct hf_op *op, const char *name, enum hf_algorithm *out)
{
    HF_AUTO(buf) names = NULL;

    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (rows[i].name != NULL && strcmp(rows[i].name, name) == 0) {
            *out = rows[i].algorithm;
            return HF_SUCCESS;
        }
    }
    names = hf_buf_new();
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (rows[i].name != NULL) {
            hf_buf_add_text(names, names->len > 0 ? ", " : "");
            hf_buf_add_text(names, rows[i].name);
        }
    }
    return hf_fail(op, HF_INVALID, "unknown algorithm \"%.40s\"; use one of %s", name,
                   hf_buf_text(names));
}

static struct hf_status check_length(struct hf_op *op, const struct hf_algorithm_row *row,
                                     size_t len)
{
    if (len >= row->min_len && len <= row->max_len) {
        return HF_SUCCESS;
    }
    if (row->family == HF_FAMILY_AES) {
        /* In bits and in these words, since Hadoop's administrators know them. */
        return hf_fail(op, HF_INVALID, "Wrong key length. Required %u, but got %zu",
                       row->min_len * 8, len * 8);
    }
    return hf_fail(op, HF_INVALID, "Wrong key length. Required %u to %u bytes for %s, but got %zu",
                   row->min_len, row->max_len, row->name, len);
}

static struct hf_status pair_get(struct hf_crypto *crypto, struct hf_op *op,
                                 const struct hf_algorithm_row *row, const struct hf_secret *given,
                                 struct hf_secret **out, struct hf_buf *out_public)
{
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(secret) material = NULL;

    if (given == NULL) {
        HF_TRY(hf_pkey_generate(crypto, op, row->kind, &pkey));
    } else {
        HF_TRY(hf_pkey_from_private(crypto, op, hf_secret_bytes(given), &pkey));
    }
    if (hf_pkey_kind(pkey) != row->kind) {
        return hf_fail(op, HF_INVALID, "the given private key is not of the kind %s", row->name);
    }
    HF_TRY(hf_pkey_private(pkey, op, &material));
    HF_TRY(hf_pkey_public(pkey, op, out_public));
    *out = HF_TAKE(material);
    return HF_SUCCESS;
}

struct hf_status hf_material_get(struct hf_crypto *crypto, struct hf_op *op,
                                 const struct hf_algorithm_row *row, const struct hf_secret *given,
                                 uint32_t len, struct hf_secret **out, struct hf_buf *out_public)
{
    if (hf_algorithm_is_pair(row)) {
        return pair_get(crypto, op, row, given, out, out_public);
    }
    if (given != NULL) {
        HF_TRY(check_length(op, row, hf_secret_len(given)));
        return hf_secret_copy(op, hf_secret_bytes(given), out);
    }
    len = len != 0 ? len : row->default_len;
    HF_TRY(check_length(op, row, len));
    return hf_random_secret(crypto, op, len, out);
}
