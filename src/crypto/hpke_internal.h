/*
 * The parts of HPKE, open to the tests: the vectors of RFC 9180 fix the ephemeral key, and those of
 * its appendix A.1 use AES-128-GCM with the same KEM and KDF.
 */
#pragma once

#include "crypto/crypto.h"

/* RFC 9180, 7.3 */
#define HF_HPKE_AES_128_GCM 0x0001
#define HF_HPKE_AES_256_GCM 0x0002

/*
 * Encap: out_enc is the public half of the ephemeral key.
 * HF_INVALID when public_key is of small order: the shared secret would be known to all.
 */
HF_STATUS hf_hpke_encap(struct hf_crypto *crypto, struct hf_op *op,
                        const struct hf_secret *ephemeral, const uint8_t public_key[HF_X25519_LEN],
                        uint8_t out_enc[HF_X25519_LEN], struct hf_secret **out_shared);
HF_STATUS hf_hpke_decap(struct hf_crypto *crypto, struct hf_op *op,
                        const struct hf_secret *private_key, const uint8_t enc[HF_X25519_LEN],
                        struct hf_secret **out_shared);

/* KeySchedule in base mode: the AEAD's key and base nonce. */
HF_STATUS hf_hpke_schedule(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                           const struct hf_secret *shared, struct hf_bytes info,
                           struct hf_secret **out_key, uint8_t out_nonce[HF_GCM_NONCE_LEN]);

/* hf_hpke_seal() under a given ephemeral key and AEAD. */
HF_STATUS hf_hpke_seal_with(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                            const struct hf_secret *ephemeral,
                            const uint8_t public_key[HF_X25519_LEN], struct hf_bytes info,
                            struct hf_bytes aad, struct hf_bytes plain, struct hf_buf *out);
HF_STATUS hf_hpke_open_with(struct hf_crypto *crypto, struct hf_op *op, uint16_t aead,
                            const struct hf_secret *private_key, struct hf_bytes info,
                            struct hf_bytes aad, struct hf_bytes sealed, struct hf_secret **out);
