/*
 * The node protector: HPKE (RFC 9180) to the public half of a node's own key pair. Wrapping needs
 * the public half alone, so that any node makes a slot for another; opening needs the private file.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "protect/envelope.h"
#include "protect/key_text.h"
#include "protect/protector.h"

#define VERSION    1
#define INFO       "holdfast protector node v1"
#define HEADER_LEN (1 + HF_X25519_LEN)
/* version, whose it is, HPKE's own share, tag, digest */
#define OVERHEAD (HEADER_LEN + HF_X25519_LEN + HF_GCM_TAG_LEN + HF_ENVELOPE_DIGEST_LEN)

static const struct hf_key_text form = { "holdfast-node-key 1\n", "a node's key" };

struct node_protector {
    struct hf_protector base;
    struct hf_crypto *crypto;
    struct hf_secret *private_key; /* NULL when it only wraps */
    uint8_t public_key[HF_X25519_LEN];
};

/* --- the file --- */

struct hf_status hf_node_key_create(struct hf_crypto *crypto, struct hf_op *op, const char *file)
{
    /* RFC 7748, 5: any 32 bytes are a private key. */
    return hf_key_text_create(crypto, op, &form, file);
}

struct hf_status hf_node_key_public(struct hf_crypto *crypto, struct hf_op *op, const char *file,
                                    uint8_t out[HF_X25519_LEN])
{
    HF_AUTO(secret) key = NULL;

    HF_TRY(hf_key_text_read(op, &form, file, &key));
    return hf_x25519_public(crypto, op, key, out);
}

/* --- open and close --- */

static void node_close(struct hf_protector *protector)
{
    struct node_protector *mine = (struct node_protector *)protector;

    hf_secret_free(mine->private_key);
    free(mine);
}

static struct hf_status take_keys(struct hf_op *op, const struct hf_protector_settings *settings,
                                  struct node_protector *mine)
{
    if (settings->file != NULL) {
        HF_TRY(hf_key_text_read(op, &form, settings->file, &mine->private_key));
        return hf_x25519_public(mine->crypto, op, mine->private_key, mine->public_key);
    }
    if (settings->public_key.len != HF_X25519_LEN) {
        return hf_fail(op, HF_INVALID,
                       "a node's slot needs the file of its key, or its public key of %d bytes",
                       HF_X25519_LEN);
    }
    memcpy(mine->public_key, settings->public_key.data, HF_X25519_LEN);
    mine->base.only_wraps = true;
    return HF_SUCCESS;
}

static struct hf_status node_open(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct hf_protector_settings *settings,
                                  struct hf_protector **out)
{
    struct node_protector *mine = hf_alloc(sizeof *mine);
    HF_AUTO(protector) opened = &mine->base;

    mine->base.ops = &hf_node_protector;
    mine->crypto = crypto;
    HF_TRY(take_keys(op, settings, mine));
    *out = HF_TAKE(opened);
    return HF_SUCCESS;
}

/* --- wrap and unwrap --- */

/* The header has a fixed length, so header and context together are unambiguous. */
static void bind(struct hf_bytes header, struct hf_bytes context, struct hf_buf *out)
{
    hf_buf_add_bytes(out, header);
    hf_buf_add_bytes(out, context);
}

static struct hf_status node_wrap(struct hf_protector *protector, struct hf_op *op,
                                  struct hf_bytes plain, struct hf_bytes context,
                                  struct hf_buf *out)
{
    const struct node_protector *mine = (struct node_protector *)protector;
    HF_AUTO(buf) aad = hf_buf_new();

    if (plain.len == 0 || plain.len > HF_ENVELOPE_PLAIN_MAX) {
        return hf_fail(op, HF_INVALID, "a protector wraps 1 to %d bytes, not %zu",
                       HF_ENVELOPE_PLAIN_MAX, plain.len);
    }
    hf_put_u8(out, VERSION);
    hf_buf_add(out, mine->public_key, HF_X25519_LEN);
    bind(hf_buf_bytes(out), context, aad);
    HF_TRY(hf_hpke_seal(mine->crypto, op, mine->public_key, hf_bytes_of_text(INFO),
                        hf_buf_bytes(aad), plain, out));
    return hf_envelope_add_digest(mine->crypto, op, out);
}

static struct hf_status node_unwrap(struct hf_protector *protector, struct hf_op *op,
                                    struct hf_bytes wrapped, struct hf_bytes context,
                                    struct hf_secret **out)
{
    const struct node_protector *mine = (struct node_protector *)protector;
    HF_AUTO(buf) aad = hf_buf_new();
    struct hf_bytes sealed;

    HF_TRY(hf_envelope_check(mine->crypto, op, wrapped, VERSION, OVERHEAD + 1,
                             OVERHEAD + HF_ENVELOPE_PLAIN_MAX));
    if (memcmp(wrapped.data + 1, mine->public_key, HF_X25519_LEN) != 0) {
        return hf_fail(op, HF_DENIED, "the slot is another node's, not that of this node's key");
    }
    bind(hf_bytes_of(wrapped.data, HEADER_LEN), context, aad);
    sealed =
        hf_bytes_of(wrapped.data + HEADER_LEN, wrapped.len - HEADER_LEN - HF_ENVELOPE_DIGEST_LEN);
    return hf_hpke_open(mine->crypto, op, mine->private_key, hf_bytes_of_text(INFO),
                        hf_buf_bytes(aad), sealed, out);
}

const struct hf_protector_ops hf_node_protector = {
    .kind = "node",
    .needs_human = false,
    .open = node_open,
    .wrap = node_wrap,
    .unwrap = node_unwrap,
    .close = node_close,
};
