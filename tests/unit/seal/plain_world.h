/* A seal with fixed keys and no store, for tests of formats. */
#pragma once

#include "world.h"

struct plain_world {
    struct hf_env env;
    struct hf_op op;
    struct hf_crypto *crypto;
    struct hf_seal *seal;
    struct hf_unlocked *unlocked; /* the seal's */
};

/* Root 00 01 .. 1f, store id a0 a1 .. af, check key c1.., link key c2.., digest key c3... */
int plain_setup(void **state);
int plain_teardown(void **state);
/* Another unlocked state with one thing different: the first byte of its root or of its store id.
 */
struct hf_unlocked *plain_other(struct plain_world *world, uint8_t root, uint8_t store);

extern const uint8_t plain_salt[HF_SALT_LEN];       /* 40 41 .. 4f */
extern const uint8_t plain_nonce[HF_GCM_NONCE_LEN]; /* 60 61 .. 6b */
