/*
 * Lanes: what each thread has for itself, so that threads hardly ever wait for one another.
 *
 * A reader of the index locks its own lane only; a writer locks all of them. So whoever changes
 * the index knows that no use is between its check and its crypto under the old state, and can
 * wipe what other threads have cached. Nothing of the seal that may block is called under the lock
 * of a lane, since the seal calls us with its own locks held.
 *
 * For the files of this folder.
 */
#pragma once

#include <pthread.h>

#include "keys/hot.h"
#include "keys/index.h"
#include "keys/revoked.h"
#include "keys/usage.h"

struct hf_lane {
    pthread_mutex_t lock; /* guards the rest but usage, and lets its holder read the index */
    struct hf_hot hot;
    uint8_t salt[HF_SALT_LEN];  /* under which this lane encrypts */
    uint64_t salt_left;         /* uses until the next one is drawn; 0: none was drawn yet */
    struct hf_usage_lane usage; /* has a lock of its own */
} __attribute__((aligned(128)));

/* What was revoked on this node by hand. */
struct hf_revoked_list {
    struct hf_revoked *items;
    size_t count;
};

struct hf_keys {
    struct hf_seal *seal;
    struct hf_crypto *crypto;
    struct hf_index *index;
    pthread_mutex_t change_lock;    /* held by whoever locks all lanes */
    bool is_loading;                /* the feed's: its thread holds them for many changes */
    struct hf_revoked_list revoked; /* read and changed as the index is */
    struct hf_lane *lanes;
    unsigned lane_count; /* the last is for threads that have no number of their own */
    struct hf_usage_book *usage;
    struct hf_consumer consumers[3];
    /* Told of candidates; set before there are any. */
    void (*on_candidate)(void *context, const struct hf_candidate *candidate);
    void *on_candidate_context;
};

/* The lane of the operation's thread, locked. */
struct hf_lane *hf_lane_lock(struct hf_keys *keys, const struct hf_op *op);
void hf_lane_unlock(struct hf_lane *lane);
struct hf_lane *hf_lane_of(struct hf_keys *keys, const struct hf_op *op);
