/* The seal as an object: who is inside, locking, and what callers can ask without opening anything.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "seal/seal_internal.h"

/* Beyond every root generation, which have 32 bits. */
#define FIRST_NUMBER ((uint64_t)1 << 32)

/* The store's id as people see it. */
static void add_id(struct hf_buf *out, const uint8_t id[HF_STORE_ID_LEN])
{
    hf_hex_add(out, hf_bytes_of(id, HF_STORE_ID_LEN));
}

static struct hf_status other_store(struct hf_op *op, const char *file, const uint8_t *pinned,
                                    const uint8_t *found)
{
    HF_AUTO(buf) text = hf_buf_new();

    add_id(text, pinned);
    hf_buf_add_text(text, ", and this is store ");
    add_id(text, found);
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_OTHER_STORE,
                         "%.100s belongs to store %s; use the right store, or move the file away",
                         file, hf_buf_text(text));
}

/* Nothing pinned yet is no failure; the pin is made at the first unlock. */
static struct hf_status read_pin(struct hf_seal *seal, struct hf_op *op)
{
    struct hf_status status;

    if (seal->pin_file == NULL) {
        return HF_SUCCESS;
    }
    status = hf_pin_read(op, seal->pin_file, &seal->pin);
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    seal->has_pin = true;
    if (memcmp(seal->pin.store_id, seal->store_id, HF_STORE_ID_LEN) != 0) {
        return other_store(op, seal->pin_file, seal->pin.store_id, seal->store_id);
    }
    return HF_SUCCESS;
}

static void init_locks(struct hf_seal *seal)
{
    pthread_mutex_init(&seal->change_lock, NULL);
    pthread_mutex_init(&seal->use_lock, NULL);
    pthread_cond_init(&seal->idle, NULL);
    pthread_mutex_init(&seal->pin_lock, NULL);
}

struct hf_status hf_seal_new(struct hf_crypto *crypto, struct hf_op *op, struct hf_engine *engine,
                             const char *pin_file, const struct hf_store_state *state,
                             struct hf_seal **out)
{
    HF_AUTO(seal) seal = hf_alloc(sizeof *seal);

    seal->crypto = crypto;
    seal->env = op->env;
    seal->engine = engine;
    seal->pin_file = pin_file != NULL ? hf_strdup(pin_file) : NULL;
    memcpy(seal->store_id, state->store_id, HF_STORE_ID_LEN);
    init_locks(seal);
    atomic_store(&seal->next_number, FIRST_NUMBER);
    hf_feed_init(&seal->feed);
    hf_damage_init(&seal->damage);
    HF_TRY(read_pin(seal, op));
    *out = HF_TAKE(seal);
    return HF_SUCCESS;
}

struct hf_status hf_seal_open(struct hf_crypto *crypto, struct hf_op *op, struct hf_engine *engine,
                              const char *pin_file, struct hf_seal **out)
{
    struct hf_store_state state;
    HF_AUTO(buf) head = hf_buf_new();

    HF_TRY(hf_engine_state(engine, op, &state, head));
    if (state.seq == 0) {
        return hf_fail(op, HF_NOT_FOUND, "the store is empty; make one with 'holdfast init'");
    }
    return hf_seal_new(crypto, op, engine, pin_file, &state, out);
}

void hf_seal_free(struct hf_seal *seal)
{
    if (seal == NULL) {
        return;
    }
    hf_seal_lock(seal);
    hf_feed_done(&seal->feed);
    hf_damage_done(&seal->damage);
    pthread_mutex_destroy(&seal->change_lock);
    pthread_mutex_destroy(&seal->use_lock);
    pthread_cond_destroy(&seal->idle);
    pthread_mutex_destroy(&seal->pin_lock);
    free(seal->pin_file);
    free(seal);
}

/*
 * users is raised before is_open is read, and lock clears is_open before it reads users, so one of
 * the two always sees the other.
 */
struct hf_unlocked *hf_seal_try_enter(struct hf_seal *seal)
{
    atomic_fetch_add(&seal->users, 1);
    if (!atomic_load(&seal->is_open)) {
        hf_seal_leave(seal);
        return NULL;
    }
    return seal->unlocked;
}

struct hf_status hf_seal_enter(struct hf_seal *seal, struct hf_op *op, struct hf_unlocked **out)
{
    struct hf_unlocked *unlocked = hf_seal_try_enter(seal);

    if (unlocked == NULL) {
        return hf_fail(op, HF_WRONG_STATE, "the store is locked; open it with 'holdfast unlock'");
    }
    *out = unlocked;
    return HF_SUCCESS;
}

void hf_seal_leave(struct hf_seal *seal)
{
    if (atomic_fetch_sub(&seal->users, 1) == 1 && !atomic_load(&seal->is_open)) {
        pthread_mutex_lock(&seal->use_lock);
        pthread_cond_broadcast(&seal->idle);
        pthread_mutex_unlock(&seal->use_lock);
    }
}

void hf_seal_start(struct hf_seal *seal, struct hf_unlocked *unlocked, const struct hf_head *head)
{
    unlocked->engine = seal->engine;
    seal->unlocked = unlocked;
    hf_feed_start(&seal->feed, head);
    atomic_store(&seal->is_open, true);
}

void hf_seal_lock(struct hf_seal *seal)
{
    pthread_mutex_lock(&seal->change_lock);
    if (atomic_exchange(&seal->is_open, false)) {
        pthread_mutex_lock(&seal->use_lock);
        while (atomic_load(&seal->users) > 0) {
            pthread_cond_wait(&seal->idle, &seal->use_lock);
        }
        pthread_mutex_unlock(&seal->use_lock);
        hf_feed_clear(&seal->feed);
        hf_damage_clear(&seal->damage);
        hf_unlocked_free(seal->unlocked);
        seal->unlocked = NULL;
    }
    pthread_mutex_unlock(&seal->change_lock);
}

bool hf_seal_is_unlocked(const struct hf_seal *seal)
{
    return atomic_load(&seal->is_open);
}

struct hf_bytes hf_seal_store_id(const struct hf_seal *seal)
{
    return hf_bytes_of(seal->store_id, HF_STORE_ID_LEN);
}

uint64_t hf_seal_seq(const struct hf_seal *seal)
{
    return atomic_load(&seal->feed.delivered);
}

uint32_t hf_seal_root_generation(const struct hf_seal *seal)
{
    struct hf_seal *entered = (struct hf_seal *)seal;
    struct hf_unlocked *unlocked = hf_seal_try_enter(entered);
    uint32_t generation = 0;

    if (unlocked != NULL) {
        generation = hf_root_generation(unlocked);
        hf_seal_leave(entered);
    }
    return generation;
}

struct hf_engine *hf_seal_engine(struct hf_seal *seal)
{
    return seal->engine;
}

struct hf_crypto *hf_seal_crypto(struct hf_seal *seal)
{
    return seal->crypto;
}

void hf_seal_require_seq(struct hf_seal *seal, uint64_t min_seq)
{
    atomic_store(&seal->min_seq, min_seq);
}

uint64_t hf_seal_wait(struct hf_seal *seal, uint64_t seq, uint64_t timeout_ms)
{
    return hf_feed_wait(&seal->feed, seq, timeout_ms);
}
