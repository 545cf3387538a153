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
#include "service/internal.h"

#define BUCKETS      65536 /* a power of two */
#define LABEL        "holdfast request v1"
#define ID_LABEL     "holdfast repeat id v1"
#define UNWRITTEN_MS 300000U /* a client gives up after a minute or two and some retries */
#define WAIT_MAX_MS  60000U

enum fate { IN_FLIGHT, UNWRITTEN, WRITTEN };

/* What tells a first time that another node may have brought about, or may be about to. */
struct first_time {
    struct hf_request_id written;   /* no first time: its answer went out here */
    struct hf_request_id abandoned; /* nor that */
    uint64_t since_ms;              /* realtime: earlier ones are none either */
    uint64_t revision;              /* of the key's record, when the store was asked */
    bool is_derived;                /* the id follows from that revision */
};

struct entry {
    struct entry *next;                          /* in its bucket */
    struct entry *next_flight, *previous_flight; /* among those in flight */
    uint8_t digest[HF_CHECK_VALUE_LEN];
    struct hf_request_id request_id;
    enum hf_code code;              /* how the change ended; HF_LATER: it has not */
    struct hf_request_id answered;  /* the last that happened, and its answer went out in full */
    bool is_abandoned;              /* its version is, and the client is told */
    struct hf_request_id abandoned; /* the last of those */
    enum fate fate;
    uint64_t until_ms; /* boottime: after it a finished entry means nothing */
    uint64_t window_ms;
    unsigned waiting;
    struct first_time first; /* of the one in flight, who alone touches it */
};

struct hf_repeats {
    pthread_mutex_t lock; /* guards everything here */
    pthread_cond_t ended;
    struct entry *buckets[BUCKETS];
    struct entry *flights;
    size_t count, max;
    /* Since when, and behind which commit, this process remembers for itself. */
    bool has_begun;
    uint64_t began_ms;
    uint64_t began_seq;
};

struct hf_repeat {
    const struct hf_service *service;
    struct hf_repeats *repeats;
    struct entry *entry;
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
    for (size_t i = 0; i < BUCKETS; i++) {
        while (repeats->buckets[i] != NULL) {
            struct entry *entry = repeats->buckets[i];

            repeats->buckets[i] = entry->next;
            free(entry);
        }
    }
    pthread_cond_destroy(&repeats->ended);
    pthread_mutex_destroy(&repeats->lock);
    free(repeats);
}

/* --- the table; its callers hold the lock --- */

static struct entry **bucket_of(struct hf_repeats *repeats, const uint8_t *digest)
{
    return &repeats->buckets[(digest[0] | (size_t)digest[1] << 8) & (BUCKETS - 1)];
}

static struct entry *find(struct hf_repeats *repeats, const uint8_t *digest)
{
    struct entry *entry = *bucket_of(repeats, digest);

    while (entry != NULL && memcmp(entry->digest, digest, sizeof entry->digest) != 0) {
        entry = entry->next;
    }
    return entry;
}

static bool is_over(const struct entry *entry, uint64_t now)
{
    return entry->fate != IN_FLIGHT && entry->waiting == 0 && now >= entry->until_ms;
}

/* Drops what is over from every bucket. */
static void sweep(struct hf_repeats *repeats, uint64_t now)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct entry **at = &repeats->buckets[i];

        while (*at != NULL) {
            struct entry *entry = *at;

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

static void take_off(struct hf_repeats *repeats, struct entry *entry)
{
    entry->fate = IN_FLIGHT;
    entry->previous_flight = NULL;
    entry->next_flight = repeats->flights;
    if (repeats->flights != NULL) {
        repeats->flights->previous_flight = entry;
    }
    repeats->flights = entry;
}

static void land(struct hf_repeats *repeats, struct entry *entry, enum fate fate, uint64_t until_ms)
{
    struct entry **link =
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
                            struct entry **out)
{
    struct entry **bucket = bucket_of(repeats, digest);
    struct entry *entry;

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

static struct entry *find_flight(const struct hf_repeats *repeats, const struct hf_request_id *id)
{
    struct entry *entry = repeats->flights;

    while (entry != NULL && memcmp(&entry->request_id, id, sizeof *id) != 0) {
        entry = entry->next_flight;
    }
    return entry;
}

bool hf_repeats_asked(struct hf_repeats *repeats, const struct hf_request_id *id,
                      uint8_t out[HF_CHECK_VALUE_LEN])
{
    const struct entry *entry;

    pthread_mutex_lock(&repeats->lock);
    entry = find_flight(repeats, id);
    if (entry != NULL) {
        memcpy(out, entry->digest, sizeof entry->digest);
    }
    pthread_mutex_unlock(&repeats->lock);
    return entry != NULL;
}

void hf_repeats_conclude(struct hf_repeats *repeats, const struct hf_request_id *id,
                         struct hf_status status)
{
    struct entry *entry = NULL;

    if (!hf_request_id_is_set(id)) {
        return;
    }
    pthread_mutex_lock(&repeats->lock);
    entry = find_flight(repeats, id);
    if (entry != NULL) {
        entry->code = status.code;
    }
    pthread_mutex_unlock(&repeats->lock);
}

void hf_repeats_abandon(struct hf_repeats *repeats, const struct hf_request_id *id)
{
    struct entry *entry;

    pthread_mutex_lock(&repeats->lock);
    entry = find_flight(repeats, id);
    if (entry != NULL) {
        entry->is_abandoned = true;
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
static struct hf_status wait_for(struct hf_service *service, struct hf_op *op, struct entry *entry)
{
    struct hf_repeats *repeats = service->repeats;
    struct timespec until = hf_monotonic_in(patience_ms(op));
    int error = 0;

    HF_TRY(hf_waiting_enter(service, op));
    entry->waiting++;
    while (entry->fate == IN_FLIGHT && error == 0) {
        error = pthread_cond_timedwait(&repeats->ended, &repeats->lock, &until);
    }
    entry->waiting--;
    hf_waiting_leave(service);
    if (entry->fate == IN_FLIGHT) {
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

static bool is_same_id(const struct hf_request_id *a, const struct hf_request_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/*
 * Whether the store may know of a first time that the table does not: that of another node, or of
 * this one before its restart, unless it was answered here since. *out_up_to: the last commit to
 * look at.
 */
static bool store_may_know(struct hf_service *service, struct hf_op *op, const struct entry *entry,
                           uint64_t *out_up_to)
{
    struct hf_repeats *repeats = service->repeats;
    uint64_t now = hf_env_boottime_ms(op->env);
    bool may_know;

    pthread_mutex_lock(&repeats->lock);
    if (!repeats->has_begun) {
        repeats->has_begun = true;
        repeats->began_ms = now;
        repeats->began_seq = hf_seal_seq(service->seal);
    }
    may_know = service->shared_store || (!hf_request_id_is_set(&entry->first.written) &&
                                         now - repeats->began_ms < entry->window_ms);
    *out_up_to = service->shared_store ? 0 : repeats->began_seq;
    pthread_mutex_unlock(&repeats->lock);
    return may_know && entry->window_ms > 0;
}

/* The id of a first time as the store knows it; else HF_NOT_FOUND. */
static struct hf_status find_first(struct hf_service *service, struct hf_op *op,
                                   const struct entry *entry, uint64_t up_to,
                                   struct hf_request_id *out)
{
    HF_TRY(hf_seal_find_request(service->seal, op, hf_op_caller_id(op),
                                hf_bytes_of(entry->digest, sizeof entry->digest),
                                entry->first.since_ms, up_to, out));
    if (is_same_id(out, &entry->first.written) || is_same_id(out, &entry->first.abandoned)) {
        return (struct hf_status){ HF_NOT_FOUND };
    }
    return HF_SUCCESS;
}

static bool derives_ids(const struct hf_service *service, const struct entry *entry)
{
    return service->shared_store && entry->window_ms > 0;
}

/*
 * A new id. Where nodes share the store and repeats are looked for, all of them derive the same one
 * until a commit changes the key; then the commit is found by what was asked.
 */
static struct hf_status make_id(struct hf_service *service, struct hf_op *op, struct entry *entry,
                                struct hf_request_id *out)
{
    HF_AUTO(buf) text = hf_buf_new();

    if (!derives_ids(service, entry)) {
        hf_env_random(op->env, out->bytes, sizeof out->bytes);
        return HF_SUCCESS;
    }
    entry->first.is_derived = true;
    hf_buf_add_text(text, ID_LABEL);
    hf_buf_add(text, entry->digest, sizeof entry->digest);
    hf_put_u64(text, entry->first.revision);
    return hf_seal_check_value(service->seal, op, hf_buf_bytes(text), out->bytes);
}

/* Of an altered key 0: the change itself is refused, to those whom policy allows to know. */
static struct hf_status look_at_key(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, const char *key, uint64_t *out_revision)
{
    struct hf_status status = hf_key_revision(service->keys, op, keyring, key, out_revision);

    if (status.code == HF_CORRUPT) {
        hf_op_clear(op);
        *out_revision = 0;
        return HF_SUCCESS;
    }
    return status;
}

/*
 * Which id a request gets that this node has not left open: that of a commit the store knows of,
 * within the window before the request came, unless its answer went out here: asking again after
 * that is a new request. Else a new one.
 *
 * The key's revision is looked at before the store is asked: a commit of the same request on
 * another node is then either found or, if it builds on that revision, has the id that this one
 * gets. hf_repeats_check() sees to those that build on a later one.
 */
static struct hf_status choose_id(struct hf_service *service, struct hf_op *op, struct entry *entry,
                                  const char *keyring, const char *key, struct hf_request_id *out)
{
    struct hf_status status = { HF_NOT_FOUND };
    uint64_t up_to;

    if (derives_ids(service, entry)) {
        HF_TRY(look_at_key(service, op, keyring, key, &entry->first.revision));
    }
    if (store_may_know(service, op, entry, &up_to)) {
        status = find_first(service, op, entry, up_to, out);
    }
    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    return make_id(service, op, entry, out);
}

/*
 * Gets the entry in flight for this request. *out_fresh: its id has still to be chosen. by_store:
 * where other nodes are asked, too, it is not what became of the answer here that tells a repeat,
 * but the age of the commit: the client may have its answer from another node. The caller holds the
 * lock.
 */
static struct hf_status claim(struct hf_service *service, struct hf_op *op, const uint8_t *digest,
                              bool by_store, struct entry **out, bool *out_fresh)
{
    struct hf_repeats *repeats = service->repeats;
    struct entry *entry = find(repeats, digest);
    struct first_time first = { 0 };
    bool has_waited = false;

    if (entry != NULL && entry->fate == IN_FLIGHT) {
        HF_TRY(wait_for(service, op, entry));
        has_waited = true;
        /* What is no first time of that one is none of its repeat. */
        first.written = entry->first.written;
        first.abandoned = entry->first.abandoned;
    }
    if (entry == NULL) {
        HF_TRY(add(repeats, op, digest, &entry));
        *out_fresh = true;
    } else {
        bool is_good = has_waited || hf_env_boottime_ms(op->env) < entry->until_ms;
        bool repeats_it = is_good && !by_store && (has_waited || entry->fate == UNWRITTEN);

        *out_fresh = !repeats_it || !hf_request_id_is_set(&entry->request_id);
        if ((is_good || by_store) && !has_waited) {
            first.written = entry->answered;
            first.abandoned = entry->abandoned;
        }
    }
    hf_assert(entry != NULL);
    if (*out_fresh) {
        memset(&entry->request_id, 0, sizeof entry->request_id);
    }
    entry->first = first;
    entry->code = HF_LATER;
    entry->is_abandoned = false;
    take_off(repeats, entry);
    *out = entry;
    return HF_SUCCESS;
}

static void set_id(struct hf_repeats *repeats, struct entry *entry, const struct hf_request_id *id)
{
    pthread_mutex_lock(&repeats->lock);
    entry->request_id = *id;
    pthread_mutex_unlock(&repeats->lock);
}

/* Chooses the id outside the lock; the entry is in flight, so nobody else touches it. */
static struct hf_status settle_id(struct hf_service *service, struct hf_op *op, struct entry *entry,
                                  const char *keyring, const char *key)
{
    struct hf_repeats *repeats = service->repeats;
    struct hf_request_id id;
    struct hf_status status = choose_id(service, op, entry, keyring, key, &id);

    if (status.code == HF_OK) {
        set_id(repeats, entry, &id);
        return HF_SUCCESS;
    }
    pthread_mutex_lock(&repeats->lock);
    land(repeats, entry, WRITTEN, 0);
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
    struct entry *entry = NULL;
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

/* --- once more, when it is known what the change builds on --- */

struct hf_status hf_repeats_check(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  const char *key)
{
    struct hf_request_id found;
    struct entry *entry = NULL;
    uint64_t revision = 0;
    struct hf_status status;

    if (hf_request_id_is_set(&op->request_id)) {
        pthread_mutex_lock(&service->repeats->lock);
        entry = find_flight(service->repeats, &op->request_id);
        pthread_mutex_unlock(&service->repeats->lock);
    }
    if (entry == NULL || !entry->first.is_derived) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_key_revision(service->keys, op, keyring, key, &revision));
    if (revision == entry->first.revision) {
        return HF_SUCCESS;
    }
    status = find_first(service, op, entry, 0, &found);
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        entry->first.revision = revision;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    entry->first.is_derived = false;
    set_id(service->repeats, entry, &found);
    op->request_id = found;
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

/* Takes an entry that means nothing any more out of its bucket. The caller holds the lock. */
static void drop_if_over(struct hf_repeats *repeats, struct entry *entry, uint64_t now)
{
    struct entry **at = bucket_of(repeats, entry->digest);

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

/* What the client has heard the end of is no first time of what it asks next. */
static void note_end(struct entry *entry, bool written)
{
    static const struct hf_request_id none;

    if (written && entry->code == HF_OK) {
        entry->answered = entry->request_id;
    } else if (written && entry->is_abandoned) {
        entry->abandoned = entry->request_id;
    } else if (!written && is_same_id(&entry->answered, &entry->request_id)) {
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
    hf_assert(repeat->entry->fate == IN_FLIGHT);
    /* Who is told that it is in doubt asks again to have it ended. */
    written = written && repeat->entry->code != HF_IN_DOUBT;
    note_end(repeat->entry, written);
    land(repeats, repeat->entry, written ? WRITTEN : UNWRITTEN,
         now + keep_ms(repeat, written, now));
    drop_if_over(repeats, repeat->entry, now);
    pthread_mutex_unlock(&repeats->lock);
    free(repeat);
}
