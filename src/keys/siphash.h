/*
 * SipHash-1-3 with a secret seed, for tables whose keys clients choose. For the files of this
 * folder.
 */
#pragma once

#include "base/bytes.h"

struct hf_siphash_seed {
    uint64_t words[2];
};

uint64_t hf_siphash(const struct hf_siphash_seed *seed, struct hf_bytes bytes);
/* Of a keyring and a key in it; neither may be longer than its maximum. */
uint64_t hf_siphash_name(const struct hf_siphash_seed *seed, const char *keyring,
                         struct hf_bytes name);
