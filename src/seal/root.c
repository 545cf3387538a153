/* The root key while it is open: its commitment, and everything that hangs on it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define COMMITMENT_LABEL "holdfast root v1"

struct hf_status hf_root_commitment(struct hf_crypto *crypto, struct hf_op *op,
                                    const struct hf_secret *root,
                                    const uint8_t store_id[HF_STORE_ID_LEN], uint32_t generation,
                                    uint8_t out[HF_SHA256_LEN])
{
    HF_AUTO(mac) mac = NULL;
    HF_AUTO(buf) number = hf_buf_new();
    struct hf_bytes parts[3];

    hf_put_u32(number, generation);
    parts[0] = hf_bytes_of_text(COMMITMENT_LABEL);
    parts[1] = hf_bytes_of(store_id, HF_STORE_ID_LEN);
    parts[2] = hf_buf_bytes(number);
    HF_TRY(hf_mac_new(crypto, op, hf_secret_bytes(root), &mac));
    return hf_mac_compute(mac, op, parts, HF_COUNT(parts), out);
}

struct hf_status hf_unlocked_new(struct hf_crypto *crypto, struct hf_op *op,
                                 const uint8_t store_id[HF_STORE_ID_LEN], uint32_t generation,
                                 struct hf_secret **root, struct hf_unlocked **out)
{
    struct hf_unlocked *unlocked;
    struct hf_salt record_salt;
    struct hf_salt wrap_salt;

    HF_TRY(hf_salt_init(&record_salt, crypto, op));
    HF_TRY(hf_salt_init(&wrap_salt, crypto, op));
    unlocked = hf_alloc(sizeof *unlocked);
    unlocked->crypto = crypto;
    memcpy(unlocked->store_id, store_id, HF_STORE_ID_LEN);
    unlocked->generation = generation;
    unlocked->root = HF_TAKE(*root);
    unlocked->contexts = hf_contexts_new();
    unlocked->record_salt = record_salt;
    unlocked->wrap_salt = wrap_salt;
    pthread_mutex_init(&unlocked->mac_lock, NULL);
    unlocked->keyring_keys = hf_keyring_keys_new();
    unlocked->main_keys = hf_main_keys_new();
    *out = unlocked;
    return HF_SUCCESS;
}

void hf_unlocked_free(struct hf_unlocked *unlocked)
{
    if (unlocked == NULL) {
        return;
    }
    hf_keyring_keys_free(unlocked->keyring_keys);
    hf_main_keys_free(unlocked->main_keys);
    hf_mac_free(unlocked->check);
    hf_mac_free(unlocked->link);
    hf_mac_free(unlocked->digest);
    hf_contexts_free(unlocked->contexts);
    hf_salt_done(&unlocked->record_salt);
    hf_salt_done(&unlocked->wrap_salt);
    hf_secret_free(unlocked->root);
    pthread_mutex_destroy(&unlocked->mac_lock);
    free(unlocked);
}
