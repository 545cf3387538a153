/* The root keys while they are open: which is in force, its commitment, and all that hangs on it.
 */
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
    pthread_rwlock_init(&unlocked->roots.lock, NULL);
    unlocked->roots.current = (struct hf_root){ generation, generation, HF_TAKE(*root) };
    pthread_mutex_init(&unlocked->move.running, NULL);
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
    hf_secret_free(unlocked->roots.current.secret);
    hf_secret_free(unlocked->roots.old.secret);
    pthread_rwlock_destroy(&unlocked->roots.lock);
    pthread_mutex_destroy(&unlocked->move.running);
    free(unlocked->move.after);
    pthread_mutex_destroy(&unlocked->mac_lock);
    free(unlocked);
}

/* --- which root is in force --- */

uint32_t hf_root_generation(struct hf_unlocked *unlocked)
{
    uint32_t generation;

    pthread_rwlock_rdlock(&unlocked->roots.lock);
    generation = unlocked->roots.current.generation;
    pthread_rwlock_unlock(&unlocked->roots.lock);
    return generation;
}

bool hf_root_is_open(struct hf_unlocked *unlocked, uint32_t generation)
{
    struct hf_roots *roots = &unlocked->roots;
    bool is_open;

    pthread_rwlock_rdlock(&roots->lock);
    is_open = roots->current.generation == generation ||
              (roots->old.secret != NULL && roots->old.generation == generation);
    pthread_rwlock_unlock(&roots->lock);
    return is_open;
}

bool hf_root_is_moving(struct hf_unlocked *unlocked)
{
    bool is_moving;

    pthread_rwlock_rdlock(&unlocked->roots.lock);
    is_moving = unlocked->roots.old.secret != NULL;
    pthread_rwlock_unlock(&unlocked->roots.lock);
    return is_moving;
}

struct hf_status hf_root_copy(struct hf_unlocked *unlocked, struct hf_op *op,
                              uint32_t *out_generation, struct hf_secret **out)
{
    const struct hf_root *current = &unlocked->roots.current;
    struct hf_status status;

    pthread_rwlock_rdlock(&unlocked->roots.lock);
    *out_generation = current->generation;
    status = hf_secret_copy(op, hf_secret_bytes(current->secret), out);
    pthread_rwlock_unlock(&unlocked->roots.lock);
    return status;
}

struct hf_status hf_root_commit(struct hf_unlocked *unlocked, struct hf_op *op,
                                uint32_t *out_generation, uint8_t out[HF_SHA256_LEN])
{
    const struct hf_root *current = &unlocked->roots.current;
    struct hf_status status;

    pthread_rwlock_rdlock(&unlocked->roots.lock);
    *out_generation = current->generation;
    status = hf_root_commitment(unlocked->crypto, op, current->secret, unlocked->store_id,
                                current->generation, out);
    pthread_rwlock_unlock(&unlocked->roots.lock);
    return status;
}

void hf_root_advance(struct hf_unlocked *unlocked, uint32_t generation, struct hf_secret **secret)
{
    struct hf_roots *roots = &unlocked->roots;

    pthread_rwlock_wrlock(&roots->lock);
    if (roots->current.generation + 1 == generation) {
        hf_secret_free(roots->old.secret);
        roots->old = roots->current;
        roots->current = (struct hf_root){ generation, generation, HF_TAKE(*secret) };
    }
    pthread_rwlock_unlock(&roots->lock);
}

void hf_root_keep_old(struct hf_unlocked *unlocked, uint32_t generation, struct hf_secret **secret)
{
    struct hf_roots *roots = &unlocked->roots;

    pthread_rwlock_wrlock(&roots->lock);
    if (roots->old.secret == NULL && generation + 1 == roots->current.generation) {
        roots->old = (struct hf_root){ generation, generation, HF_TAKE(*secret) };
    }
    pthread_rwlock_unlock(&roots->lock);
}

void hf_root_take(struct hf_unlocked *unlocked, struct hf_unlocked *from)
{
    struct hf_roots *roots = &unlocked->roots;

    pthread_rwlock_wrlock(&roots->lock);
    if (from->roots.current.generation > roots->current.generation) {
        hf_secret_free(roots->current.secret);
        hf_secret_free(roots->old.secret);
        roots->current = from->roots.current;
        roots->old = from->roots.old;
        from->roots.current.secret = NULL;
        from->roots.old.secret = NULL;
    }
    pthread_rwlock_unlock(&roots->lock);
    hf_contexts_shed(unlocked->contexts);
}

void hf_root_drop_old(struct hf_unlocked *unlocked, uint32_t generation)
{
    struct hf_roots *roots = &unlocked->roots;

    pthread_rwlock_wrlock(&roots->lock);
    if (roots->current.generation == generation) {
        hf_secret_free(roots->old.secret);
        roots->old = (struct hf_root){ 0 };
    }
    pthread_rwlock_unlock(&roots->lock);
    hf_contexts_shed(unlocked->contexts);
}
