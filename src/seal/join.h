/*
 * What travels when a node joins, all of it public (docs/formats/join.md): the request that the new
 * machine prints, the bundle that it gets back, and the fingerprints by which people compare them.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "seal/seal.h"

#define HF_FINGERPRINT_LEN 25 /* "K7M2-9QXD-R4TB-0H6N-VE8C" and terminator */
#define HF_AUTHORITY_MAX   16384
#define HF_JOIN_KEY_MAX    640 /* an RSA key of 4096 bits has 550 */
#define HF_JOIN_HOSTS_MAX  1024

/* What a certificate is asked for. */
struct hf_join_wish {
    uint8_t key[HF_JOIN_KEY_MAX];  /* SubjectPublicKeyInfo */
    size_t key_len;                /* 0: none is asked for */
    char hosts[HF_JOIN_HOSTS_MAX]; /* names and addresses, "kms2.example.net,192.0.2.2" */
};

struct hf_join_request {
    char name[HF_NODE_NAME_MAX + 1];
    char site[HF_NODE_NAME_MAX + 1]; /* "": none */
    uint8_t public_key[HF_X25519_LEN];
    struct hf_join_wish wish; /* travels with the request only */
};

/* What a node must know of the store that took it in. */
struct hf_join_bundle {
    struct hf_join_request node;
    char slot[33]; /* hex */
    uint8_t store_id[HF_STORE_ID_LEN];
    uint32_t root_generation;
    uint8_t root_commitment[HF_SHA256_LEN];
    struct hf_buf authority;   /* the store's own authority, PEM; may be empty */
    struct hf_buf certificate; /* of the node, as it was asked for, PEM; may be empty */
};
void hf_join_bundle_free(struct hf_join_bundle *bundle);
HF_DEFINE_CLEANUP(join_bundle)

/* Letters, digits, '.', '-' and '_', 1 to 64 of them: what can be read aloud and stand anywhere. */
bool hf_node_name_is_valid(const char *name);

/* DNS names and IP addresses between commas, fewer than HF_JOIN_HOSTS_MAX bytes; no ports. */
bool hf_join_hosts_are_valid(const char *hosts);

/* 100 bits of a digest of the public key, in groups that can be read aloud. */
HF_STATUS hf_node_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                              const uint8_t public_key[HF_X25519_LEN],
                              char out[HF_FINGERPRINT_LEN]);
/* As a person types it: in either case, groups joined or not, O for 0 and I or L for 1. */
bool hf_fingerprint_matches(const char *fingerprint, const char *typed);

/* The same of everything in a request: what the approver compares. */
HF_STATUS hf_join_request_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                      const struct hf_join_request *request,
                                      char out[HF_FINGERPRINT_LEN]);

/* One line without its end. HF_INVALID for a name, site or host that cannot be. */
HF_STATUS hf_join_request_print(struct hf_crypto *crypto, struct hf_op *op,
                                const struct hf_join_request *request, struct hf_buf *out);
/*
 * White space around and inside is passed over. HF_INVALID when it is something else, cut or
 * edited, HF_UNSUPPORTED when a later release made it, HF_TOO_LARGE.
 */
HF_STATUS hf_join_request_parse(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes text,
                                struct hf_join_request *out);

/* The same for a bundle. */
HF_STATUS hf_join_bundle_print(struct hf_crypto *crypto, struct hf_op *op,
                               const struct hf_join_bundle *bundle, struct hf_buf *out);
HF_STATUS hf_join_bundle_parse(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes text,
                               struct hf_join_bundle **out);
/* Of everything in it. */
HF_STATUS hf_join_bundle_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                     const struct hf_join_bundle *bundle,
                                     char out[HF_FINGERPRINT_LEN]);

/*
 * The bundle for a node whose slot that is, as the unlocked store stands now, with the certificate
 * that it wishes. HF_INVALID when the wish is none that can be granted.
 */
HF_STATUS hf_join_bundle_make(struct hf_seal *seal, struct hf_op *op,
                              const struct hf_join_request *node, const char *slot,
                              struct hf_join_bundle **out);
/*
 * Writes the pin (docs/formats/pin.md), so that the node opens no other store. HF_SUCCESS when the
 * file pins that store already, HF_EXISTS when it pins another.
 */
HF_STATUS hf_join_bundle_pin(struct hf_op *op, const struct hf_join_bundle *bundle,
                             const char *pin_file);
