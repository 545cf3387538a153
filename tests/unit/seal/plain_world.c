/* A seal with fixed keys and no store. */
#include "plain_world.h"

#include <stdlib.h>
#include <string.h>

const uint8_t plain_salt[HF_SALT_LEN] = { 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
                                          0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f };
const uint8_t plain_nonce[HF_GCM_NONCE_LEN] = { 0x60, 0x61, 0x62, 0x63, 0x64, 0x65,
                                                0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b };

struct hf_unlocked *plain_other(struct plain_world *world, uint8_t root_start, uint8_t store_start)
{
    struct hf_unlocked *unlocked = NULL;
    HF_AUTO(secret) root = NULL;
    uint8_t secrets[HF_STORE_SECRETS_LEN] = { 1 };
    uint8_t store_id[HF_STORE_ID_LEN];

    assert_ok(&world->op, hf_secret_new(&world->op, HF_ROOT_LEN, &root));
    for (size_t i = 0; i < HF_ROOT_LEN; i++) {
        hf_secret_data(root)[i] = (uint8_t)(i == 0 ? root_start : i);
    }
    for (size_t i = 0; i < HF_STORE_ID_LEN; i++) {
        store_id[i] = (uint8_t)(i == 0 ? store_start : 0xa0 + i);
    }
    memset(secrets + 1, 0xc1, 32);
    memset(secrets + 33, 0xc2, 32);
    memset(secrets + 65, 0xc3, 32);
    assert_ok(&world->op,
              hf_unlocked_new(world->crypto, &world->op, store_id, 1, &root, &unlocked));
    assert_ok(&world->op,
              hf_secrets_use(unlocked, &world->op, hf_bytes_of(secrets, sizeof secrets)));
    return unlocked;
}

int plain_setup(void **state)
{
    struct plain_world *world = hf_alloc(sizeof *world);
    struct hf_store_state store = { .seq = 1 };
    const struct hf_head head = { .seq = 1 };

    *state = world;
    hf_env_system(&world->env);
    hf_op_init(&world->op, &world->env);
    assert_ok(&world->op, hf_crypto_new(&world->op, &world->crypto));
    world->unlocked = plain_other(world, 0, 0xa0);
    memcpy(store.store_id, world->unlocked->store_id, HF_STORE_ID_LEN);
    assert_ok(&world->op, hf_seal_new(world->crypto, &world->op, NULL, NULL, &store, &world->seal));
    hf_seal_start(world->seal, world->unlocked, &head);
    return 0;
}

int plain_teardown(void **state)
{
    struct plain_world *world = *state;

    hf_seal_free(world->seal);
    hf_crypto_free(world->crypto);
    free(world);
    return 0;
}
