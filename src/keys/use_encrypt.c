/* Our own ciphertext: encrypt, decrypt, and moving it under the primary version. */
#include "base/codec.h"
#include "keys/ciphertext.h"
#include "keys/lane.h"

struct hf_status hf_ciphertext_parse(struct hf_op *op, struct hf_bytes bytes,
                                     struct hf_ciphertext *out)
{
    struct hf_reader reader;
    uint8_t format = 0;

    if (bytes.len < HF_CIPHERTEXT_OVERHEAD) {
        return hf_fail(op, HF_INVALID, "a ciphertext has at least %d bytes, but got %zu",
                       HF_CIPHERTEXT_OVERHEAD, bytes.len);
    }
    hf_reader_init(&reader, bytes);
    format = hf_take_u8(&reader);
    if (format != HF_CIPHERTEXT_FORMAT) {
        return hf_fail(op, HF_INVALID, "a ciphertext begins with %d, but got %u",
                       HF_CIPHERTEXT_FORMAT, format);
    }
    out->version = hf_take_u32(&reader);
    out->salt = hf_take_raw(&reader, HF_SALT_LEN).data;
    out->nonce = hf_take_raw(&reader, HF_GCM_NONCE_LEN).data;
    out->body = hf_take_raw(&reader, bytes.len - HF_CIPHERTEXT_OVERHEAD);
    out->tag = hf_take_raw(&reader, HF_GCM_TAG_LEN).data;
    /* HF_LATEST is not a number a version can have; here it would mean the primary one. */
    if (out->version == HF_LATEST) {
        return hf_fail(op, HF_INVALID, "a ciphertext cannot be of version %u", out->version);
    }
    return HF_SUCCESS;
}

static struct hf_status seal_into(struct hf_keys *keys, struct hf_op *op,
                                  struct hf_hot_entry *entry, struct hf_bytes aad,
                                  struct hf_bytes plain, struct hf_buf *out)
{
    uint8_t nonce[HF_GCM_NONCE_LEN];
    uint8_t *body = NULL;

    HF_TRY(hf_random_public(keys->crypto, op, nonce, sizeof nonce));
    hf_put_u8(out, HF_CIPHERTEXT_FORMAT);
    hf_put_u32(out, entry->number);
    hf_buf_add(out, entry->salt, HF_SALT_LEN);
    hf_buf_add(out, nonce, sizeof nonce);
    body = hf_buf_reserve(out, plain.len + HF_GCM_TAG_LEN);
    HF_TRY(hf_aead_seal(entry->what.aead, op, nonce, aad, plain, body, body + plain.len));
    hf_buf_grew(out, plain.len + HF_GCM_TAG_LEN);
    return HF_SUCCESS;
}

struct hf_status hf_use_encrypt(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                const char *name, uint32_t version, struct hf_bytes aad,
                                struct hf_bytes plain, struct hf_buf *out)
{
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .version = version,
        .need = HF_NEED_PROTECT,
        .kind = HF_HOT_ENCRYPT,
    };
    struct hf_hot_entry *entry = NULL;
    size_t before = out->len;
    struct hf_status status;

    HF_TRY(hf_hot_borrow(keys, op, &ask, &entry));
    (void)hf_buf_reserve(out, HF_CIPHERTEXT_OVERHEAD + plain.len);
    status = seal_into(keys, op, entry, aad, plain, out);
    hf_hot_return(keys, op, entry, true);
    if (status.code != HF_OK) {
        out->len = before;
    }
    return status;
}

struct hf_status hf_use_decrypt(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                                const char *name, struct hf_bytes aad, struct hf_bytes ciphertext,
                                struct hf_secret **out, uint32_t *out_version)
{
    struct hf_ciphertext parts = { 0 };
    struct hf_hot_ask ask = {
        .name = { keyring, name },
        .need = HF_NEED_PROCESS,
        .kind = HF_HOT_ENCRYPT,
    };
    struct hf_hot_entry *entry = NULL;
    HF_AUTO(secret) plain = NULL;
    struct hf_status status;

    HF_TRY(hf_ciphertext_parse(op, ciphertext, &parts));
    ask.version = parts.version;
    ask.salt = parts.salt;
    HF_TRY(hf_secret_new(op, parts.body.len, &plain));
    HF_TRY(hf_hot_borrow(keys, op, &ask, &entry));
    status = hf_aead_open(entry->what.aead, op, parts.nonce, aad, parts.body, parts.tag,
                          hf_secret_data(plain));
    /* A salt that opened nothing is anybody's invention and must not push real ones out. */
    hf_hot_return(keys, op, entry, status.code == HF_OK);
    if (status.code == HF_CORRUPT) {
        /* What the caller brought is wrong, not what we keep. */
        return hf_fail_cause(op, HF_INVALID, HF_CAUSE_ALTERED,
                             "the ciphertext does not open: it was changed, or its associated data "
                             "is another, or another key made it");
    }
    HF_TRY(status);
    *out = HF_TAKE(plain);
    *out_version = parts.version;
    return HF_SUCCESS;
}

struct hf_status hf_use_rewrap(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                               const char *name, struct hf_bytes aad, struct hf_bytes ciphertext,
                               struct hf_buf *out, uint32_t *out_version)
{
    HF_AUTO(secret) plain = NULL;
    uint32_t from = 0;
    uint32_t to = 0;

    HF_TRY(hf_key_primary(keys, op, keyring, name, &to));
    HF_TRY(hf_use_decrypt(keys, op, keyring, name, aad, ciphertext, &plain, &from));
    if (from == to) {
        hf_buf_add_bytes(out, ciphertext);
    } else {
        HF_TRY(hf_use_encrypt(keys, op, keyring, name, to, aad, hf_secret_bytes(plain), out));
    }
    *out_version = to;
    return HF_SUCCESS;
}
