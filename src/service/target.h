/* What "why" is asked about: a key, one of its versions, or a wrapped data key of Hadoop's. */
#pragma once

#include "service/internal.h"

struct hf_target {
    char keyring[64];
    char name[HF_NAME_MAX + 1];
    uint32_t version; /* HF_LATEST: the primary one */
    bool is_edek;
};

/*
 * Reads "keyring/name", "keyring/name@3" (the keyring left out when it is given apart), or the
 * JSON of an EDEK. HF_INVALID says what is wrong with it.
 */
HF_STATUS hf_target_read(struct hf_service *service, struct hf_op *op, const char *keyring,
                         const char *what, struct hf_target *out);
