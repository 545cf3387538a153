/* HMAC under an HMAC key, or under a subkey of an AES key. */
#include "keys/lane.h"

static struct hf_status compute(struct hf_keys *keys, struct hf_op *op,
                                const struct hf_hot_ask *ask, enum hf_hash hash,
                                struct hf_bytes message, struct hf_buf *out, uint32_t *out_version)
{
    struct hf_hot_entry *entry = NULL;
    struct hf_status status;

    HF_TRY(hf_hot_borrow(keys, op, ask, &entry));
    status = hf_hmac(keys->crypto, op, hash, hf_secret_bytes(entry->what.secret), message, out);
    *out_version = entry->number;
    hf_hot_return(keys, op, entry, true);
    return status;
}

struct hf_status hf_use_mac(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                            const char *name, uint32_t version, enum hf_hash hash,
                            struct hf_bytes message, struct hf_buf *out, uint32_t *out_version)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROTECT,
        .kind = HF_HOT_MAC,
    };

    return compute(keys, op, &ask, hash, message, out, out_version);
}

struct hf_status hf_use_mac_verify(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                   const char *name, uint32_t version, enum hf_hash hash,
                                   struct hf_bytes message, struct hf_bytes mac, bool *out_valid)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_MAC,
    };
    HF_AUTO(buf) right = hf_buf_new();
    uint32_t used = 0;

    HF_TRY(compute(keys, op, &ask, hash, message, right, &used));
    *out_valid = hf_bytes_equal_constant_time(hf_buf_bytes(right), mac);
    return HF_SUCCESS;
}
