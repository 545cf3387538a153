/*
 * Names of keyrings and keys, and the paths of their records. For the files of this folder.
 */
#pragma once

#include "keys/keys.h"

#define HF_KEYRING_NAME_MAX 63

/* HF_INVALID says what a name may be. */
HF_STATUS hf_keyring_name_check(struct hf_op *op, const char *name);
HF_STATUS hf_key_name_check(struct hf_op *op, const char *name);

/* Paths of records; free them. */
char *hf_keyring_path(const char *keyring);
char *hf_key_path(const char *keyring, const char *name);
char *hf_version_path(const char *keyring, const char *name, uint32_t version);
char *hf_usage_path(const char *keyring, const char *name, uint32_t version);

/* A path taken apart; name points into the path or into decoded, and is not terminated. */
struct hf_path_parts {
    char keyring[HF_KEYRING_NAME_MAX + 1];
    struct hf_bytes name;
    uint32_t version;
    uint8_t decoded[HF_NAME_MAX];
};
/* HF_CORRUPT unless it is such a path. */
HF_STATUS hf_keyring_path_parse(struct hf_op *op, const char *path, struct hf_path_parts *out);
HF_STATUS hf_key_path_parse(struct hf_op *op, const char *path, struct hf_path_parts *out);
HF_STATUS hf_version_path_parse(struct hf_op *op, const char *path, struct hf_path_parts *out);
