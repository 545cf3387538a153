/*
 * The part that the wrapped forms of passphrase and key file share (docs/formats/protector.md):
 *
 *   header | key check 16 | nonce 12 | ciphertext | tag 16 | digest 8
 *
 * The header is the kind's own: version byte first, salt last. The key check tells a wrong secret
 * from altered bytes; the digest needs no secret, so accidental damage is seen before anybody is
 * asked for one, and before a damaged cost is paid.
 */
#pragma once

#include "crypto/crypto.h"

#define HF_ENVELOPE_SALT_LEN   16
#define HF_ENVELOPE_CHECK_LEN  16
#define HF_ENVELOPE_DIGEST_LEN 8
/* What is wrapped are private halves of slots; anything near this is a mistake. */
#define HF_ENVELOPE_PLAIN_MAX 65536

struct hf_envelope_kind {
    const char *name; /* goes into the derivation, so that no kind opens another's */
    uint8_t version;
    size_t header_len;
    const char *denied; /* what to say when the secret is the wrong one */
};

/*
 * Seals plain under the secret: buf holds the header and gets the rest. The nonce is the caller's,
 * fresh for each wrapping.
 */
HF_STATUS hf_envelope_seal(struct hf_crypto *crypto, struct hf_op *op,
                           const struct hf_envelope_kind *kind, const struct hf_secret *secret,
                           const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_bytes plain,
                           struct hf_bytes context, struct hf_buf *buf);

/*
 * The end that all wrapped forms share: add_digest() closes one, and check() says of one, before
 * anybody is asked for a secret, whether it is whole (else HF_CORRUPT, altered), of that version
 * (else HF_UNSUPPORTED: a later release made it) and has between least and most bytes.
 */
HF_STATUS hf_envelope_add_digest(struct hf_crypto *crypto, struct hf_op *op, struct hf_buf *buf);
HF_STATUS hf_envelope_check(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes wrapped,
                            uint8_t version, size_t least, size_t most);

/*
 * Looks at everything that needs no secret; *out_header is a view into wrapped.
 * HF_CORRUPT (altered) when it is cut or damaged, HF_UNSUPPORTED when a later version made it.
 */
HF_STATUS hf_envelope_inspect(struct hf_crypto *crypto, struct hf_op *op,
                              const struct hf_envelope_kind *kind, struct hf_bytes wrapped,
                              struct hf_bytes *out_header);

/*
 * Opens what hf_envelope_inspect() has found whole. HF_DENIED when the secret is another one,
 * HF_CORRUPT (altered) when bytes or context are.
 */
HF_STATUS hf_envelope_open(struct hf_crypto *crypto, struct hf_op *op,
                           const struct hf_envelope_kind *kind, const struct hf_secret *secret,
                           struct hf_bytes wrapped, struct hf_bytes context,
                           struct hf_secret **out);
