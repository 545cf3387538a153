/*
 * The files that holdfast init writes.
 */
#pragma once

#include "cli/init.h"
#include "crypto/crypto.h"

/* HF_EXISTS unless the directory is absent or empty. */
HF_STATUS hf_init_check_directory(struct hf_op *op, const char *directory);
/* A passphrase of 160 random bits, in groups that can be read out and typed. */
HF_STATUS hf_init_write_passphrase(struct hf_crypto *crypto, struct hf_op *op, const char *path);
/* holdfast.conf, which must be one that holdfastd takes. */
HF_STATUS hf_init_write_config(struct hf_op *op, const char *directory,
                               const struct hf_init_settings *settings);
HF_STATUS hf_init_sync_parent(struct hf_op *op, const char *path);
/* Takes away what a failed init has made. */
void hf_init_remove_tree(const char *directory);
