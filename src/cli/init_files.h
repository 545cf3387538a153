/*
 * The files that holdfast init and holdfast node accept write.
 */
#pragma once

#include "cli/init.h"
#include "config/config.h"
#include "crypto/crypto.h"

/* What a node opens by itself: a key file, or its own key pair; below its directory. */
#define HF_KEY_FILE      "secrets/node.key"
#define HF_NODE_KEY_FILE "secrets/node-join.key"

/* HF_EXISTS unless the directory is absent or empty. */
HF_STATUS hf_init_check_directory(struct hf_op *op, const char *directory);
/* A passphrase of 160 random bits, in groups that can be read out and typed. */
HF_STATUS hf_init_write_passphrase(struct hf_crypto *crypto, struct hf_op *op, const char *path);
/* The section of holdfast.conf for a node's own key pair. */
void hf_init_own_slot(const char *name, struct hf_buf *out);
/* holdfast.conf, which must be one that holdfastd takes; gives it as read back. */
HF_STATUS hf_init_write_config(struct hf_op *op, const char *directory,
                               const struct hf_init_settings *settings, struct hf_config **out);
/* The same for a node that has joined; without a certificate its listeners are left for later. */
HF_STATUS hf_init_write_joined_config(struct hf_op *op, const char *directory,
                                      const struct hf_init_settings *settings,
                                      bool has_certificate);
/* Where the Hadoop door listens and what it shows, where nothing else is said. */
void hf_init_default_listener(struct hf_init_settings *settings);
/* What a server certificate is for: this machine itself, and these, with commas between them. */
HF_STATUS hf_init_join_hosts(struct hf_op *op, const char *const *hosts, size_t count,
                             struct hf_buf *out);
/* A new P-256 key pair, its private half in that file as TLS reads it. */
HF_STATUS hf_init_make_tls_key(struct hf_crypto *crypto, struct hf_op *op, const char *path,
                               struct hf_pkey **out);
/*
 * secrets/audit.key and audit.pub. The trail must be signed while the node is locked too, so its
 * key is a file like the TLS keys, not a sealed record.
 */
HF_STATUS hf_init_make_audit_key(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                                 struct hf_pkey **out);
HF_STATUS hf_init_sync_parent(struct hf_op *op, const char *path);
/* Takes away what a failed init has made. */
void hf_init_remove_tree(const char *directory);
