/*
 * One running node: everything wired together, from the store's file to the listeners.
 *
 * Threads: new, start, reload and free are called from the main thread only.
 */
#pragma once

#include "config/config.h"
#include "service/service.h"

struct hf_node;

/*
 * Opens store, seal, audit and listeners as configured; the seal stays locked and no thread runs
 * yet. hf_secret_start() and hf_crypto_start() have been called. config is borrowed.
 */
HF_STATUS hf_node_new(struct hf_op *op, struct hf_env *env, const struct hf_config *config,
                      struct hf_node **out);

/* Before hf_node_start(): a store that stands below that commit is refused; 0: none is. */
void hf_node_require_seq(struct hf_node *node, uint64_t min_seq);

/*
 * Tries the configured slots in order; without success the node stays locked, which is not a
 * failure. Then binds the listeners and serves. Fails when the store is refused (another store,
 * went back in time), or an address cannot be bound.
 */
HF_STATUS hf_node_start(struct hf_node *node, struct hf_op *op);

/*
 * Takes over what fresh says of certificates, limits and listeners, as far as it can change without
 * binding anew; the log names the rest. Everything is tried before anything is swapped in: on
 * failure all is as it was. fresh is taken over either way.
 */
HF_STATUS hf_node_reload(struct hf_node *node, struct hf_op *op, struct hf_config *fresh);

/* Stops serving within limit_ms, writes what is due, locks and frees. NULL is fine. */
void hf_node_stop(struct hf_node *node, uint64_t limit_ms);
