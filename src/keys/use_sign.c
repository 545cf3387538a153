/* Key pairs: sign, verify, unwrap with the private half, and the public half itself. */
#include "keys/algorithm.h"
#include "keys/lane.h"
#include "keys/name.h"

static enum hf_family family_of(enum hf_signature scheme)
{
    switch (scheme) {
    case HF_SIGN_RSA_PKCS1:
    case HF_SIGN_RSA_PSS:
        return HF_FAMILY_RSA;
    case HF_SIGN_ECDSA:
        return HF_FAMILY_EC;
    case HF_SIGN_ED25519:
        return HF_FAMILY_ED25519;
    }
    return HF_FAMILY_OPAQUE;
}

static struct hf_status check_family(struct hf_op *op, const struct hf_hot_entry *entry,
                                     enum hf_family family)
{
    const struct hf_algorithm_row *row = hf_algorithm_row(entry->algorithm);

    if (row->family != family) {
        return hf_fail(op, HF_INVALID, "a key of the kind %s has no such use", row->name);
    }
    return HF_SUCCESS;
}

/* One private operation of RSA holds a loop thread up as long as a hundred others. */
static struct hf_status need_worker(struct hf_op *op)
{
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "private keys are used where one may wait");
    }
    return HF_SUCCESS;
}

struct hf_status hf_use_sign(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                             const char *name, uint32_t version, enum hf_signature scheme,
                             enum hf_hash hash, struct hf_bytes message, struct hf_buf *out,
                             uint32_t *out_version)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROTECT,
        .kind = HF_HOT_PRIVATE,
    };
    struct hf_hot_entry *entry = NULL;
    struct hf_status status;

    HF_TRY(need_worker(op));
    HF_TRY(hf_hot_borrow(keys, op, &ask, &entry));
    status = check_family(op, entry, family_of(scheme));
    if (status.code == HF_OK) {
        status = hf_pkey_sign(entry->what.pkey, op, scheme, hash, message, out);
    }
    *out_version = entry->number;
    hf_hot_return(keys, op, entry, true);
    return status;
}

struct hf_status hf_use_verify(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                               const char *name, uint32_t version, enum hf_signature scheme,
                               enum hf_hash hash, struct hf_bytes message,
                               struct hf_bytes signature, bool *out_valid)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_PUBLIC,
    };
    struct hf_hot_entry *entry = NULL;
    struct hf_status status;

    HF_TRY(hf_hot_borrow(keys, op, &ask, &entry));
    status = check_family(op, entry, family_of(scheme));
    if (status.code == HF_OK) {
        status = hf_pkey_verify(entry->what.pkey, op, scheme, hash, message, signature, out_valid);
    }
    hf_hot_return(keys, op, entry, true);
    return status;
}

struct hf_status hf_use_rsa_unwrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                   const char *name, uint32_t version, enum hf_hash hash,
                                   struct hf_bytes wrapped, struct hf_secret **out)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_PRIVATE,
    };
    struct hf_hot_entry *entry = NULL;
    struct hf_status status;

    HF_TRY(need_worker(op));
    HF_TRY(hf_hot_borrow(keys, op, &ask, &entry));
    status = check_family(op, entry, HF_FAMILY_RSA);
    if (status.code == HF_OK) {
        status = hf_rsa_unwrap(entry->what.pkey, op, hash, wrapped, out);
    }
    hf_hot_return(keys, op, entry, true);
    return status;
}

struct hf_status hf_key_public(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                               const char *name, uint32_t version, struct hf_buf *out_spki)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_EXISTS,
        .kind = HF_HOT_PUBLIC,
    };
    struct hf_hot_entry *entry = NULL;
    struct hf_status status;

    HF_TRY(hf_hot_borrow(keys, op, &ask, &entry));
    status = hf_pkey_public(entry->what.pkey, op, out_spki);
    hf_hot_return(keys, op, entry, true);
    return status;
}
