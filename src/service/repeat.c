/*
 * Requests that a client may repeat without an id: the same request gets the same id until its
 * answer was written in full.
 *
 * What was asked is kept as a digest only. An entry is in flight from the door's beginning to the
 * fate of the answer; whoever asks the same meanwhile waits and goes on under the same id.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/codec.h"
#include "base/wait.h"
#include "service/repeat.h"

#define LABEL        "holdfast request v1"
#define UNWRITTEN_MS 300000U /* a client gives up after a minute or two and some retries */
#define WAIT_MAX_MS  60000U

struct hf_repeat {
    const struct hf_service *service;
    struct hf_repeats *repeats;
    struct hf_repeat_entry *entry;
    struct hf_env *env;
};

struct hf_repeats *hf_repeats_new(size_t max)
{
    struct hf_repeats *repeats = hf_alloc(sizeof *repeats);
    pthread_condattr_t attributes;

    repeats->max = max;
    pthread_mutex_init(&repeats->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&repeats->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    return repeats;
}

void hf_repeats_free(struct hf_repeats *repeats)
{
    for (size_t i = 0; i < HF_REPEAT_BUCKETS; i++) {
        while (repeats->buckets[i] != NULL) {
            struct hf_repeat_entry *entry = repeats->buckets[i];

            repeats->buckets[i] = entry->next;
            free(entry);
        }
    }
    pthread_cond_destroy(&repeats->ended);
    pthread_mutex_destroy(&repeats->lock);
    free(repeats);
}

/* --- the table; its callers hold the lock --- */

static struct hf_repeat_entry **bucket_of(struct hf_repeats *repeats, const uint8_t *digest)
{
    return &repeats->buckets[(digest[0] | (size_t)digest[1] << 8) & (HF_REPEAT_BUCKETS - 1)];
}

static struct hf_repeat_entry *find(struct hf_repeats *repeats, const uint8_t *digest)
{
    struct hf_repeat_entry *entry = *bucket_of(repeats, digest);

    while (entry != NULL && memcmp(entry->digest, digest, sizeof entry->digest) != 0) {
        entry = entry->next;
    }
    return entry;
}

static bool is_over(const struct hf_repeat_entry *entry, uint64_t now)
{
    return entry->fate != HF_REPEAT_IN_FLIGHT && entry->waiting == 0 && now >= entry->until_ms;
}

/* Drops what is over from every bucket. */
static void sweep(struct hf_repeats *repeats, uint64_t now)
{
    for (size_t i = 0; i < HF_REPEAT_BUCKETS; i++) {
        struct hf_repeat_entry **at = &repeats->buckets[i];

        while (*at != NULL) {
            struct hf_repeat_entry *entry = *at;

            if (is_over(entry, now)) {
                *at = entry->next;
                free(entry);
                repeats->count--;
            } else {
                at = &entry->next;
            }
        }
    }
}

static void take_off(struct hf_repeats *repeats, struct hf_repeat_entry *entry)
{
    entry->fate = HF_REPEAT_IN_FLIGHT;
    entry->previous_flight = NULL;
    entry->next_flight = repeats->flights;
    if (repeats->flights != NULL) {
        repeats->flights->previous_flight = entry;
    }
    repeats->flights = entry;
}

static void land(struct hf_repeats *repeats, struct hf_repeat_entry *entry,
                 enum hf_repeat_fate fate, uint64_t until_ms)
{
    struct hf_repeat_entry **link =
        entry->previous_flight != NULL ? &entry->previous_flight->next_flight : &repeats->flights;

    *link = entry->next_flight;
    if (entry->next_flight != NULL) {
        entry->next_flight->previous_flight = entry->previous_flight;
    }
    entry->fate = fate;
    entry->until_ms = until_ms;
    pthread_cond_broadcast(&repeats->ended);
}

static struct hf_status add(struct hf_repeats *repeats, struct hf_op *op, const uint8_t *digest,
                            struct hf_repeat_entry **out)
{
    struct hf_repeat_entry **bucket = bucket_of(repeats, digest);
    struct hf_repeat_entry *entry;

    if (repeats->count >= repeats->max) {
        sweep(repeats, hf_env_boottime_ms(op->env));
    }
    if (repeats->count >= repeats->max) {
        return hf_fail(op, HF_LIMITED, "%zu changes are remembered already; ask again soon",
                       repeats->max);
    }
    entry = hf_alloc(sizeof *entry);
    memcpy(entry->digest, digest, sizeof entry->digest);
    entry->next = *bucket;
    *bucket = entry;
    repeats->count++;
    *out = entry;
    return HF_SUCCESS;
}

/* Takes an entry that means nothing any more out of its bucket. The caller holds the lock. */
static void drop_if_over(struct hf_repeats *repeats, struct hf_repeat_entry *entry, uint64_t now)
{
    struct hf_repeat_entry **at = bucket_of(repeats, entry->digest);

    if (!is_over(entry, now)) {
        return;
    }
    while (*at != entry) {
        hf_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = entry->next;
    free(entry);
    repeats->count--;
}

struct hf_repeat_entry *hf_repeats_flight(const struct hf_repeats *repeats,
                                          const struct hf_request_id *id)
{
    struct hf_repeat_entry *entry = repeats->flights;

    while (entry != NULL && memcmp(&entry->request_id, id, sizeof *id) != 0) {
        entry = entry->next_flight;
    }
    return entry;
}

void hf_repeats_set_id(struct hf_repeats *repeats, struct hf_repeat_entry *entry,
                       const struct hf_request_id *id)
{
    pthread_mutex_lock(&repeats->lock);
    entry->request_id = *id;
    pthread_mutex_unlock(&repeats->lock);
}

bool hf_repeats_is_same_id(const struct hf_request_id *a, const struct hf_request_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool hf_repeats_asked(struct hf_repeats *repeats, const struct hf_request_id *id,
                      uint8_t out[HF_CHECK_VALUE_LEN])
{
    const struct hf_repeat_entry *entry;

    pthread_mutex_lock(&repeats->lock);
    entry = hf_repeats_flight(repeats, id);
    if (entry != NULL) {
        memcpy(out, entry->digest, sizeof entry->digest);
    }
    pthread_mutex_unlock(&repeats->lock);
    return entry != NULL;
}

static enum hf_repeat_ending ending_of(struct hf_status status)
{
    if (status.code == HF_OK) {
        return HF_REPEAT_HAPPENED;
    }
    return status.code == HF_IN_DOUBT ? HF_REPEAT_IN_DOUBT : HF_REPEAT_OPEN;
}

void hf_repeats_conclude(struct hf_repeats *repeats, const struct hf_request_id *id,
                         struct hf_status status)
{
    struct hf_repeat_entry *entry = NULL;

    if (!hf_request_id_is_set(id)) {
        return;
    }
    pthread_mutex_lock(&repeats->lock);
    entry = hf_repeats_flight(repeats, id);
    if (entry != NULL) {
        entry->ending = ending_of(status);
    }
    pthread_mutex_unlock(&repeats->lock);
}

/* --- waiting for the same request --- */

static uint64_t patience_ms(struct hf_op *op)
{
    uint64_t now = hf_env_boottime_ms(op->env);

    if (op->deadline_ms == 0 || op->deadline_ms > now + WAIT_MAX_MS) {
        return WAIT_MAX_MS;
    }
    return op->deadline_ms > now ? op->deadline_ms - now : 0;
}

/* Until the one in flight has landed. The caller holds the lock. */
static struct hf_status wait_for(struct hf_service *service, struct hf_op *op,
                                 struct hf_repeat_entry *entry)
{
    struct hf_repeats *repeats = service->repeats;
    struct timespec until = hf_monotonic_in(patience_ms(op));
    int error = 0;

    HF_TRY(hf_waiting_enter(service, op));
    entry->waiting++;
    while (entry->fate == HF_REPEAT_IN_FLIGHT && error == 0) {
        error = pthread_cond_timedwait(&repeats->ended, &repeats->lock, &until);
    }
    entry->waiting--;
    hf_waiting_leave(service);
    if (entry->fate == HF_REPEAT_IN_FLIGHT) {
        return hf_fail(op, HF_UNAVAILABLE, "the same request is still at work");
    }
    return HF_SUCCESS;
}

/* --- beginning --- */

/* A keyed digest: a body may hold key material, and the store sees what is made of this. */
static struct hf_status digest_asked(struct hf_service *service, struct hf_op *op,
                                     const struct hf_bytes *asked, size_t count,
                                     uint8_t out[HF_CHECK_VALUE_LEN])
{
    HF_AUTO(buf) all = hf_buf_new();

    hf_buf_add_text(all, LABEL);
    hf_put_text(all, hf_op_caller_id(op));
    hf_put_u32(all, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        hf_put_bytes(all, asked[i]);
    }
    return hf_seal_check_value(service->seal, op, hf_buf_bytes(all), out);
}

/*
 * Gets the entry in flight for this request. *out_fresh: its id has still to be chosen. by_store:
 * where other nodes are asked, too, it is not what became of the answer here that tells a repeat,
 * but the age of the commit: the client may have its answer from another node. The caller holds the
 * lock.
 */
static struct hf_status claim(struct hf_service *service, struct hf_op *op, const uint8_t *digest,
                              bool by_store, struct hf_repeat_entry **out, bool *out_fresh)
{
    struct hf_repeats *repeats = service->repeats;
    struct hf_repeat_entry *entry = find(repeats, digest);
    struct hf_first_time first = { 0 };
    bool has_waited = false;

    if (entry != NULL && entry->fate == HF_REPEAT_IN_FLIGHT) {
        HF_TRY(wait_for(service, op, entry));
        has_waited = true;
        /* What is no first time of that one is none of its repeat. */
        first.written = entry->first.written;
    }
    if (entry == NULL) {
        HF_TRY(add(repeats, op, digest, &entry));
        *out_fresh = true;
    } else {
        bool is_good = has_waited || hf_env_boottime_ms(op->env) < entry->until_ms;
        bool repeats_it =
            is_good && !by_store && (has_waited || entry->fate == HF_REPEAT_UNWRITTEN);

        *out_fresh = !repeats_it || !hf_request_id_is_set(&entry->request_id);
        if ((is_good || by_store) && !has_waited) {
            first.written = entry->answered;
        }
    }
    hf_assert(entry != NULL);
    if (*out_fresh) {
        memset(&entry->request_id, 0, sizeof entry->request_id);
    }
    entry->first = first;
    entry->ending = HF_REPEAT_OPEN;
    take_off(repeats, entry);
    *out = entry;
    return HF_SUCCESS;
}

/* Chooses the id outside the lock; the entry is in flight, so nobody else touches it. */
static struct hf_status settle_id(struct hf_service *service, struct hf_op *op,
                                  struct hf_repeat_entry *entry, const char *keyring,
                                  const char *key)
{
    struct hf_repeats *repeats = service->repeats;
    struct hf_request_id id;
    struct hf_status status = hf_repeats_choose_id(service, op, entry, keyring, key, &id);

    if (status.code == HF_OK) {
        hf_repeats_set_id(repeats, entry, &id);
        return HF_SUCCESS;
    }
    pthread_mutex_lock(&repeats->lock);
    land(repeats, entry, HF_REPEAT_WRITTEN, entry->until_ms);
    drop_if_over(repeats, entry, hf_env_boottime_ms(op->env));
    pthread_mutex_unlock(&repeats->lock);
    return status;
}

struct hf_status hf_service_repeat_begin(struct hf_service *service, struct hf_op *op,
                                         const char *keyring, const char *key,
                                         const struct hf_bytes *asked, size_t count,
                                         uint64_t window_ms, struct hf_repeat **out)
{
    struct hf_repeats *repeats = service->repeats;
    uint64_t arrived_ms = op->arrived_ms != 0 ? op->arrived_ms : hf_env_realtime_ms(op->env);
    uint8_t digest[HF_CHECK_VALUE_LEN];
    struct hf_repeat_entry *entry = NULL;
    bool is_fresh = false;
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "whether this is a repeat stands in the store");
    }
    HF_TRY(hf_call_unlocked(service, op));
    HF_TRY(digest_asked(service, op, asked, count, digest));
    pthread_mutex_lock(&repeats->lock);
    status = claim(service, op, digest, service->shared_store && window_ms > 0, &entry, &is_fresh);
    if (status.code == HF_OK) {
        entry->window_ms = window_ms;
        entry->first.since_ms = arrived_ms > window_ms ? arrived_ms - window_ms : 0;
    }
    pthread_mutex_unlock(&repeats->lock);
    HF_TRY(status);
    if (is_fresh) {
        HF_TRY(settle_id(service, op, entry, keyring, key));
    }
    op->request_id = entry->request_id;
    *out = hf_alloc(sizeof **out);
    **out = (struct hf_repeat){ service, repeats, entry, op->env };
    return HF_SUCCESS;
}

/*
 * How long an entry still means something. A written one is kept as long as the store could bring
 * its id back: while the store is asked at all (store_may_know). One that was not is kept until the
 * client has given up; where it could go on to another node and be answered there, for the window,
 * or its next request of the kind would be taken for the old one.
 */
static uint64_t keep_ms(const struct hf_repeat *repeat, bool written, uint64_t now)
{
    uint64_t window_ms = repeat->entry->window_ms;

    if (repeat->service->shared_store) {
        return window_ms;
    }
    if (!written) {
        return UNWRITTEN_MS;
    }
    return now - repeat->repeats->began_ms < window_ms ? window_ms : 0;
}

/* What the client has heard the end of is no first time of what it asks next. */
static void note_end(struct hf_repeat_entry *entry, bool written)
{
    static const struct hf_request_id none;

    if (written && entry->ending == HF_REPEAT_HAPPENED) {
        entry->answered = entry->request_id;
    } else if (!written && hf_repeats_is_same_id(&entry->answered, &entry->request_id)) {
        entry->answered = none;
    }
}

void hf_service_repeat_end(struct hf_repeat *repeat, bool written)
{
    struct hf_repeats *repeats;
    uint64_t now;

    if (repeat == NULL) {
        return;
    }
    repeats = repeat->repeats;
    now = hf_env_boottime_ms(repeat->env);
    pthread_mutex_lock(&repeats->lock);
    hf_assert(repeat->entry->fate == HF_REPEAT_IN_FLIGHT);
    /* Who is told that it is in doubt asks again to have it ended. */
    written = written && repeat->entry->ending != HF_REPEAT_IN_DOUBT;
    note_end(repeat->entry, written);
    land(repeats, repeat->entry, written ? HF_REPEAT_WRITTEN : HF_REPEAT_UNWRITTEN,
         now + keep_ms(repeat, written, now));
    drop_if_over(repeats, repeat->entry, now);
    pthread_mutex_unlock(&repeats->lock);
    free(repeat);
}
