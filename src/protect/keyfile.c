/*
 * The key file protector: 32 random bytes in a file, for starts without a human.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "protect/key_text.h"
#include "protect/wrap_internal.h"

static const struct hf_key_text form = { "holdfast-keyfile 1\n", "a key file" };

static const struct hf_envelope_kind envelope = {
    .name = "keyfile",
    .version = 1,
    .header_len = 1 + HF_ENVELOPE_SALT_LEN,
    .denied = "the key file is not the one of this slot",
};

struct keyfile_protector {
    struct hf_protector base;
    struct hf_crypto *crypto;
    struct hf_secret *key;
};

struct hf_status hf_keyfile_create(struct hf_crypto *crypto, struct hf_op *op, const char *file)
{
    return hf_key_text_create(crypto, op, &form, file);
}

/* --- open and close --- */

static void keyfile_close(struct hf_protector *protector)
{
    struct keyfile_protector *mine = (struct keyfile_protector *)protector;

    hf_secret_free(mine->key);
    free(mine);
}

static struct hf_status keyfile_open(struct hf_crypto *crypto, struct hf_op *op,
                                     const struct hf_protector_settings *settings,
                                     struct hf_protector **out)
{
    HF_AUTO(secret) key = NULL;
    struct keyfile_protector *mine;

    if (settings->file == NULL) {
        return hf_fail(op, HF_INVALID, "a key file slot needs the path of its file");
    }
    HF_TRY(hf_key_text_read(op, &form, settings->file, &key));
    mine = hf_alloc(sizeof *mine);
    mine->base.ops = &hf_keyfile_protector;
    mine->crypto = crypto;
    mine->key = HF_TAKE(key);
    *out = &mine->base;
    return HF_SUCCESS;
}

/* --- wrap and unwrap --- */

struct hf_status hf_keyfile_wrap_with(struct hf_protector *protector, struct hf_op *op,
                                      const struct hf_wrap_random *random, struct hf_bytes plain,
                                      struct hf_bytes context, struct hf_buf *out)
{
    const struct keyfile_protector *mine = (struct keyfile_protector *)protector;

    hf_put_u8(out, envelope.version);
    hf_buf_add(out, random->salt, sizeof random->salt);
    return hf_envelope_seal(mine->crypto, op, &envelope, mine->key, random->nonce, plain, context,
                            out);
}

static struct hf_status keyfile_wrap(struct hf_protector *protector, struct hf_op *op,
                                     struct hf_bytes plain, struct hf_bytes context,
                                     struct hf_buf *out)
{
    const struct keyfile_protector *mine = (struct keyfile_protector *)protector;
    struct hf_wrap_random random;

    HF_TRY(hf_wrap_random_draw(mine->crypto, op, &random));
    return hf_keyfile_wrap_with(protector, op, &random, plain, context, out);
}

static struct hf_status keyfile_unwrap(struct hf_protector *protector, struct hf_op *op,
                                       struct hf_bytes wrapped, struct hf_bytes context,
                                       struct hf_secret **out)
{
    const struct keyfile_protector *mine = (struct keyfile_protector *)protector;
    struct hf_bytes header;

    HF_TRY(hf_envelope_inspect(mine->crypto, op, &envelope, wrapped, &header));
    return hf_envelope_open(mine->crypto, op, &envelope, mine->key, wrapped, context, out);
}

const struct hf_protector_ops hf_keyfile_protector = {
    .kind = "keyfile",
    .needs_human = false,
    .open = keyfile_open,
    .wrap = keyfile_wrap,
    .unwrap = keyfile_unwrap,
    .close = keyfile_close,
};
