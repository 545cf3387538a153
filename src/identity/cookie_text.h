/*
 * The text of a "hadoop.auth" cookie: taken apart and put together, without any secret.
 *
 * Threads: no state.
 */
#pragma once

#include "identity/cookie.h"

struct hf_cookie_parts {
    struct hf_bytes text; /* what is signed */
    uint8_t signature[HF_SHA256_LEN];
};

/*
 * Splits at the last "&s=" and decodes the signature. HF_UNAUTHENTICATED when there is none, or it
 * is not the Base64 of a signature.
 */
HF_STATUS hf_cookie_split(struct hf_op *op, struct hf_bytes value, struct hf_cookie_parts *out);

/*
 * Reads a text whose signature was found right: type, then expiry, against the clock of op.
 * HF_UNAUTHENTICATED with Hadoop's words.
 */
HF_STATUS hf_cookie_read(struct hf_op *op, struct hf_bytes text, struct hf_cookie *out);

/* Appends the text to be signed. HF_INVALID when a value has '&' or '=' or is empty or too long. */
HF_STATUS hf_cookie_write(struct hf_op *op, const struct hf_cookie *cookie, struct hf_buf *out);

/* HF_UNAUTHENTICATED: the signature is not ours. */
HF_STATUS hf_cookie_bad_signature(struct hf_op *op);
/* HF_UNAUTHENTICATED: its time is over; a client authenticates again. */
HF_STATUS hf_cookie_expired(struct hf_op *op);
