/*
 * What holdfast node join and node accept do on the machine that joins; no store is needed.
 */
#pragma once

#include "cli/init.h"
#include "crypto/crypto.h"
#include "seal/join.h"

/*
 * Makes D, D/secrets and the key pairs of the machine where they are not there yet, and completes
 * the request for it: name and site are given, and the hosts that a certificate is wished for,
 * unless the machine has one (secrets/server.crt) and no host is named. HF_INVALID for a name, site
 * or host that cannot be, before anything is made.
 */
HF_STATUS hf_join_prepare(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                          const char *const *hosts, size_t host_count,
                          struct hf_join_request *request);

/*
 * Writes what the bundle gives this machine: pin, authority, audit key, configuration; each only
 * where it is not there yet, so that it can be done again, and the certificate, over the one that
 * is there. Of the settings count directory, owner, listeners, keyring and store. HF_INVALID when
 * the bundle is for another key, HF_EXISTS when the machine belongs to another store already.
 * out_is_kept: there was a configuration, which says what it said.
 */
HF_STATUS hf_join_accept(struct hf_crypto *crypto, struct hf_op *op,
                         const struct hf_init_settings *settings,
                         const struct hf_join_bundle *bundle, bool *out_is_kept);
