/*
 * Protectors wrap the private half of a slot's key pair: each kind is one file and one vtable.
 *
 * Calls take and give plain bytes, so that a protector can also run in a helper process.
 * The wrapped form is the protector's own, version byte first, and carries what it needs to open
 * again (salt, cost, key check), never a secret. docs/formats/protector.md describes each.
 *
 * Threads: one protector is used by one thread at a time.
 */
#pragma once

#include "crypto/crypto.h"

struct hf_protector;

struct hf_protector_settings {
    const char *kind; /* "passphrase", "keyfile", "node" */
    const char *file; /* keyfile, node: its path; passphrase: a file whose first line it is */
    /* node: another node's public key instead of a file; HF_X25519_LEN bytes, or none */
    struct hf_bytes public_key;
    const struct hf_secret *passphrase; /* passphrase: the text itself, when there is no file */
    uint32_t argon2_memory_kib;         /* passphrase, for wrap; 0: 262144 (256 MiB) */
    uint32_t argon2_passes;             /* 0: 3 */
};

struct hf_protector_ops {
    const char *kind; /* as written in slot records and holdfast.conf */
    bool needs_human; /* cannot open at an unattended start */
    struct hf_status (*open)(struct hf_crypto *crypto, struct hf_op *op,
                             const struct hf_protector_settings *settings,
                             struct hf_protector **out);
    struct hf_status (*wrap)(struct hf_protector *protector, struct hf_op *op,
                             struct hf_bytes plain, struct hf_bytes context, struct hf_buf *out);
    struct hf_status (*unwrap)(struct hf_protector *protector, struct hf_op *op,
                               struct hf_bytes wrapped, struct hf_bytes context,
                               struct hf_secret **out);
    void (*close)(struct hf_protector *protector);
};

struct hf_protector {
    const struct hf_protector_ops *ops;
    bool only_wraps; /* it has a public half alone: what it wraps opens elsewhere */
};

/* HF_INVALID for an unknown kind or bad settings; HF_UNAVAILABLE when its file cannot be read. */
HF_STATUS hf_protector_open(struct hf_crypto *crypto, struct hf_op *op,
                            const struct hf_protector_settings *settings,
                            struct hf_protector **out);
void hf_protector_free(struct hf_protector *protector);
HF_DEFINE_CLEANUP(protector)

/* The context (store id and slot id) is bound into the wrapping. */
HF_STATUS hf_protector_wrap(struct hf_protector *protector, struct hf_op *op,
                            const struct hf_secret *plain, struct hf_bytes context,
                            struct hf_buf *out);
/*
 * HF_UNSUPPORTED by one that only wraps;
 * HF_DENIED when the protector's secret is not the one that wrapped this (a wrong passphrase),
 * HF_CORRUPT (altered) when it is, but the bytes are changed, HF_UNAVAILABLE otherwise.
 */
HF_STATUS hf_protector_unwrap(struct hf_protector *protector, struct hf_op *op,
                              struct hf_bytes wrapped, struct hf_bytes context,
                              struct hf_secret **out);

/* Whether a kind is known, and whether it needs a human. */
const struct hf_protector_ops *hf_protector_find(const char *kind);

/* Makes a new key file (0600, 32 random bytes in hex with a header line); HF_EXISTS if it is there.
 */
HF_STATUS hf_keyfile_create(struct hf_crypto *crypto, struct hf_op *op, const char *file);

/* The same for the key pair by which a node joins, whose private half never leaves its machine. */
HF_STATUS hf_node_key_create(struct hf_crypto *crypto, struct hf_op *op, const char *file);
/* The public half of the pair in that file. */
HF_STATUS hf_node_key_public(struct hf_crypto *crypto, struct hf_op *op, const char *file,
                             uint8_t out[HF_X25519_LEN]);

extern const struct hf_protector_ops hf_passphrase_protector;
extern const struct hf_protector_ops hf_keyfile_protector;
extern const struct hf_protector_ops hf_node_protector;
/* For tests: fails its n-th call as told. */
extern const struct hf_protector_ops hf_failing_protector;
