/*
 * Files that hold a secret: read only when nobody else can.
 */
#pragma once

#include "base/secret.h"

/*
 * The whole file, at most max_len bytes, read straight into secret memory.
 *
 * It is a regular file or a pipe, owned by us or by root, and closed to group and others; else
 * HF_INVALID. HF_UNAVAILABLE when it cannot be read, HF_TOO_LARGE when it is longer.
 */
HF_STATUS hf_private_file_read(struct hf_op *op, const char *path, size_t max_len,
                               struct hf_secret **out);

/*
 * Makes a new file with that content, mode 0600, durable and whole or not there at all.
 * HF_EXISTS when the path is taken; HF_NO_SPACE, HF_UNAVAILABLE when it cannot be written.
 */
HF_STATUS hf_private_file_create(struct hf_op *op, const char *path, struct hf_bytes content);
/* The same, in the place of what is there. */
HF_STATUS hf_private_file_replace(struct hf_op *op, const char *path, struct hf_bytes content);
/* The same as create for what anybody may read, mode 0644: certificates, public halves. */
HF_STATUS hf_public_file_create(struct hf_op *op, const char *path, struct hf_bytes content);
HF_STATUS hf_public_file_replace(struct hf_op *op, const char *path, struct hf_bytes content);
