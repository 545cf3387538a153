/*
 * The key file protector: 32 random bytes in a file, for starts without a human.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/text.h"
#include "protect/private_file.h"
#include "protect/wrap_internal.h"

#define KEY_LEN  32
#define FILE_MAX 256

/* The first line of the file; the second is the key in hex. */
static const char heading[] = "holdfast-keyfile 1\n";

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

/* --- the file --- */

struct hf_status hf_keyfile_create(struct hf_crypto *crypto, struct hf_op *op, const char *file)
{
    HF_AUTO(secret) key = NULL;
    HF_AUTO(buf) text = hf_buf_new();

    HF_TRY(hf_random_secret(crypto, op, KEY_LEN, &key));
    hf_buf_add_text(text, heading);
    hf_hex_add(text, hf_secret_bytes(key));
    hf_buf_add_text(text, "\n");
    return hf_private_file_create(op, file, hf_buf_bytes(text));
}

/* The second line; false when the file has another shape. */
static bool find_hex(struct hf_bytes text, struct hf_bytes *out)
{
    size_t heading_len = strlen(heading);

    if (text.len < heading_len || memcmp(text.data, heading, heading_len) != 0) {
        return false;
    }
    text = hf_bytes_of(text.data + heading_len, text.len - heading_len);
    if (text.len > 0 && text.data[text.len - 1] == '\n') {
        text.len--;
    }
    *out = text;
    return text.len == 2 * (size_t)KEY_LEN;
}

static struct hf_status read_key(struct hf_op *op, const char *file, struct hf_secret **out)
{
    HF_AUTO(secret) text = NULL;
    HF_AUTO(buf) key = hf_buf_new();
    struct hf_bytes hex;

    HF_TRY(hf_private_file_read(op, file, FILE_MAX, &text));
    /* The text of a failed decoding may quote the key, so it is replaced. */
    if (!find_hex(hf_secret_bytes(text), &hex) || hf_hex_decode(op, hex, key).code != HF_OK) {
        return hf_fail(op, HF_INVALID, "%s is not a key file of Holdfast, or is damaged", file);
    }
    return hf_secret_copy(op, hf_buf_bytes(key), out);
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
    HF_TRY(read_key(op, settings->file, &key));
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
