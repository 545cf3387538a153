/*
 * The memory of requests that a client may repeat without an id: what repeat.c keeps, and what
 * repeat_id.c decides by.
 */
#pragma once

#include "service/internal.h"

#define HF_REPEAT_BUCKETS 65536 /* a power of two */

enum hf_repeat_fate { HF_REPEAT_IN_FLIGHT, HF_REPEAT_UNWRITTEN, HF_REPEAT_WRITTEN };

/* How the change ended, as far as what is asked next depends on it. */
enum hf_repeat_ending { HF_REPEAT_OPEN, HF_REPEAT_HAPPENED, HF_REPEAT_IN_DOUBT };

/* What tells a first time that another node may have brought about, or may be about to. */
struct hf_first_time {
    struct hf_request_id written; /* no first time: its answer went out here */
    uint64_t since_ms;            /* realtime: earlier ones are none either */
    uint64_t revision;            /* of the key's record, when the store was asked */
    bool is_derived;              /* the id follows from that revision */
};

struct hf_repeat_entry {
    struct hf_repeat_entry *next;                          /* in its bucket */
    struct hf_repeat_entry *next_flight, *previous_flight; /* among those in flight */
    uint8_t digest[HF_CHECK_VALUE_LEN];
    struct hf_request_id request_id;
    enum hf_repeat_ending ending;
    struct hf_request_id answered; /* the last that happened, and its answer went out in full */
    enum hf_repeat_fate fate;
    uint64_t until_ms; /* boottime: after it a finished entry means nothing */
    uint64_t window_ms;
    unsigned waiting;
    struct hf_first_time first; /* of the one in flight, who alone touches it */
};

struct hf_repeats {
    pthread_mutex_t lock; /* guards everything here */
    pthread_cond_t ended;
    struct hf_repeat_entry *buckets[HF_REPEAT_BUCKETS];
    struct hf_repeat_entry *flights;
    size_t count, max;
    /* Since when, and behind which commit, this process remembers for itself. */
    bool has_begun;
    uint64_t began_ms;
    uint64_t began_seq;
};

/* The one in flight under that id; NULL: none. The caller holds the lock. */
struct hf_repeat_entry *hf_repeats_flight(const struct hf_repeats *repeats,
                                          const struct hf_request_id *id);
void hf_repeats_set_id(struct hf_repeats *repeats, struct hf_repeat_entry *entry,
                       const struct hf_request_id *id);
bool hf_repeats_is_same_id(const struct hf_request_id *a, const struct hf_request_id *b);

/* --- repeat_id.c --- */

/* For an entry in flight, without the lock. */
HF_STATUS hf_repeats_choose_id(struct hf_service *service, struct hf_op *op,
                               struct hf_repeat_entry *entry, const char *keyring, const char *key,
                               struct hf_request_id *out);
