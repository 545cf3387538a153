/*
 * What holdfast node join and node accept do on the machine that joins; no store is needed.
 */
#pragma once

#include "crypto/crypto.h"
#include "seal/join.h"

/*
 * Makes D, D/secrets and the key pair of the machine where they are not there yet, and gives the
 * request for it. HF_INVALID for a name or site that cannot be, before anything is made.
 */
HF_STATUS hf_join_prepare(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                          struct hf_join_request *request);

struct hf_accept_settings {
    const char *directory;
    const char *owner; /* the unix user who may unlock besides root; NULL: root alone */
    bool allow_unlocked_memory;
};
/*
 * Writes what the bundle gives this machine: pin, authority, audit key, configuration; each only
 * where it is not there yet, so that it can be done again. HF_INVALID when the bundle is for
 * another key, HF_EXISTS when the machine belongs to another store already.
 */
HF_STATUS hf_join_accept(struct hf_crypto *crypto, struct hf_op *op,
                         const struct hf_accept_settings *settings,
                         const struct hf_join_bundle *bundle);
