/*
 * Consumers get every commit, in the order of commits.
 *
 * Several threads commit at once and come back in any order. The linker has told each flight its
 * seq, so a thread that comes back early waits for those before it; what was committed by others,
 * or in doubt and then given up, is read from the change log.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "seal/seal_internal.h"

#define BATCHES_AT_ONCE 64

void hf_feed_init(struct hf_feed *feed)
{
    pthread_condattr_t attributes;

    memset(feed, 0, sizeof *feed);
    feed->flights.next = &feed->flights;
    feed->flights.previous = &feed->flights;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->moved, &attributes);
    pthread_condattr_destroy(&attributes);
}

void hf_feed_done(struct hf_feed *feed)
{
    pthread_cond_destroy(&feed->moved);
    pthread_mutex_destroy(&feed->lock);
    free(feed->consumers);
}

void hf_seal_add_consumer(struct hf_seal *seal, const struct hf_consumer *consumer)
{
    struct hf_feed *feed = &seal->feed;

    pthread_mutex_lock(&feed->lock);
    feed->consumers = hf_realloc_array(feed->consumers, feed->count + 1, sizeof *feed->consumers);
    feed->consumers[feed->count++] = *consumer;
    pthread_mutex_unlock(&feed->lock);
}

struct hf_status hf_feed_apply(struct hf_feed *feed, struct hf_op *op,
                               const struct hf_opened_view *view)
{
    struct hf_status status = HF_SUCCESS;

    for (size_t i = 0; i < feed->count; i++) {
        const struct hf_consumer *consumer = &feed->consumers[i];

        if (consumer->kind == view->kind) {
            struct hf_status applied = consumer->apply(consumer->context, op, view);

            status = status.code == HF_OK ? applied : status;
        }
    }
    return status;
}

void hf_feed_begin(struct hf_feed *feed)
{
    for (size_t i = 0; i < feed->count; i++) {
        if (feed->consumers[i].begin != NULL) {
            feed->consumers[i].begin(feed->consumers[i].context);
        }
    }
}

void hf_feed_end(struct hf_feed *feed)
{
    for (size_t i = feed->count; i-- > 0;) {
        if (feed->consumers[i].end != NULL) {
            feed->consumers[i].end(feed->consumers[i].context);
        }
    }
}

void hf_feed_clear(struct hf_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->count; i++) {
        if (feed->consumers[i].clear != NULL) {
            feed->consumers[i].clear(feed->consumers[i].context);
        }
    }
    pthread_mutex_unlock(&feed->lock);
}

static void set_delivered(struct hf_feed *feed, uint64_t seq)
{
    atomic_store(&feed->delivered, seq);
    pthread_cond_broadcast(&feed->moved);
}

void hf_feed_start(struct hf_feed *feed, uint64_t seq)
{
    pthread_mutex_lock(&feed->lock);
    set_delivered(feed, seq);
    pthread_mutex_unlock(&feed->lock);
}

uint64_t hf_feed_wait(struct hf_feed *feed, uint64_t seq, uint64_t timeout_ms)
{
    struct timespec until;
    uint64_t now;
    int waited = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&feed->lock);
    while (feed->delivered <= seq && waited == 0) {
        waited = pthread_cond_timedwait(&feed->moved, &feed->lock, &until);
    }
    now = feed->delivered;
    pthread_mutex_unlock(&feed->lock);
    return now;
}

void hf_feed_depart(struct hf_feed *feed, struct hf_flight *flight, struct hf_link_job *job)
{
    flight->job = job;
    pthread_mutex_lock(&feed->lock);
    flight->next = &feed->flights;
    flight->previous = feed->flights.previous;
    flight->previous->next = flight;
    feed->flights.previous = flight;
    pthread_mutex_unlock(&feed->lock);
}

static void remove_flight(struct hf_feed *feed, struct hf_flight *flight)
{
    flight->previous->next = flight->next;
    flight->next->previous = flight->previous;
    pthread_cond_broadcast(&feed->moved);
}

void hf_feed_hold(struct hf_feed *feed, struct hf_flight *flight)
{
    pthread_mutex_lock(&feed->lock);
    atomic_store(&flight->job->seq, 0);
    pthread_cond_broadcast(&feed->moved);
    pthread_mutex_unlock(&feed->lock);
}

void hf_feed_abandon(struct hf_feed *feed, struct hf_flight *flight)
{
    pthread_mutex_lock(&feed->lock);
    remove_flight(feed, flight);
    pthread_mutex_unlock(&feed->lock);
}

/* Whether a flight before this seq is still to come back with its own changes. */
static bool earlier_is_coming(const struct hf_feed *feed, uint64_t seq)
{
    for (const struct hf_flight *flight = feed->flights.next; flight != &feed->flights;
         flight = flight->next) {
        uint64_t its = atomic_load(&flight->job->seq);

        if (its > feed->delivered && its < seq) {
            return true;
        }
    }
    return false;
}

/* A consumer that fails must not hold up those behind it, so the commit counts as handed over. */
static struct hf_status apply_all(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, const struct hf_opened_view *views,
                                  size_t count)
{
    struct hf_status status = HF_SUCCESS;

    for (size_t i = 0; i < count; i++) {
        struct hf_status applied = hf_roots_learn(unlocked, op, &views[i]);

        if (applied.code == HF_OK) {
            applied = hf_feed_apply(&seal->feed, op, &views[i]);
        }

        if (applied.code != HF_OK) {
            HF_ERROR(seal->env, "%.300s (revision %" PRIu64 ") is stored but not in use: %s",
                     views[i].path, views[i].revision, op->text);
            status = applied;
        }
    }
    return status;
}

/* --- reading the log: copies first, because consumers may not run inside the engine --- */

struct logged {
    uint64_t seq;
    char *path;
    uint64_t revision;
    struct hf_buf body;
};

struct reading {
    struct logged *items;
    size_t count;
    uint64_t seq; /* of the last batch read */
};

static struct hf_status copy_batch(void *context, const struct hf_logged_batch *batch)
{
    struct reading *reading = context;

    reading->seq = batch->seq;
    for (size_t i = 0; i < batch->count; i++) {
        const struct hf_logged_change *change = &batch->changes[i];

        /* Without a body the record has moved on, and a later batch brings it. */
        if (change->body.len > 0) {
            struct logged *item;

            reading->items =
                hf_realloc_array(reading->items, reading->count + 1, sizeof *reading->items);
            item = &reading->items[reading->count++];
            *item = (struct logged){ batch->seq, hf_strdup(change->path), change->revision, { 0 } };
            hf_buf_add_bytes(&item->body, change->body);
        }
    }
    return HF_SUCCESS;
}

static void reading_done(struct reading *reading)
{
    for (size_t i = 0; i < reading->count; i++) {
        free(reading->items[i].path);
        hf_buf_done(&reading->items[i].body);
    }
    free(reading->items);
}

/*
 * A record that was moved to a later root after it was read here is not damaged: what moved it
 * comes later in the log.
 */
static struct hf_status apply_damaged(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                      struct hf_op *op, const struct logged *item)
{
    HF_AUTO(record) record = NULL;

    if (hf_root_is_open(unlocked, hf_record_generation(hf_buf_bytes(&item->body))) ||
        hf_engine_get(seal->engine, op, item->path, &record).code != HF_OK ||
        record->revision == item->revision) {
        hf_damage_add(seal, item->path, item->revision, op->text);
    }
    hf_op_clear(op);
    return HF_SUCCESS;
}

static struct hf_status apply_logged(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                     struct hf_op *op, const struct logged *item)
{
    struct hf_record_place place = { .path = item->path, .revision = item->revision };
    struct hf_record_parts parts;
    HF_AUTO(secret) plain = NULL;
    struct hf_opened_view view;
    struct hf_status status =
        hf_record_open(unlocked, op, &place, hf_buf_bytes(&item->body), &parts, &plain);

    if (status.code == HF_CORRUPT) {
        return apply_damaged(seal, unlocked, op, item);
    }
    HF_TRY(status);
    view = (struct hf_opened_view){
        .kind = (enum hf_kind)parts.kind,
        .path = item->path,
        .revision = item->revision,
        .seq = item->seq,
        .tombstone = (parts.flags & HF_RECORD_TOMBSTONE) != 0,
        .plain = hf_secret_or_none(plain),
    };
    /* The failure is in the log; here is nobody who could do more about it. */
    if (apply_all(seal, unlocked, op, &view, 1).code != HF_OK) {
        hf_op_clear(op);
    }
    hf_damage_heal(seal, item->path, item->revision);
    return HF_SUCCESS;
}

/* The next stretch of the log; *out_seq is where it ends. lock is held. */
static struct hf_status catch_up_once(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                      struct hf_op *op, uint64_t *out_seq)
{
    struct reading reading = { .seq = seal->feed.delivered };
    struct hf_status status = hf_engine_changes(seal->engine, op, seal->feed.delivered,
                                                BATCHES_AT_ONCE, copy_batch, &reading);

    for (size_t i = 0; i < reading.count && status.code == HF_OK; i++) {
        status = apply_logged(seal, unlocked, op, &reading.items[i]);
    }
    reading_done(&reading);
    HF_TRY(status);
    *out_seq = reading.seq;
    return HF_SUCCESS;
}

static struct hf_status catch_up(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, uint64_t seq)
{
    while (seal->feed.delivered < seq) {
        uint64_t reached = 0;

        HF_TRY(catch_up_once(seal, unlocked, op, &reached));
        if (reached <= seal->feed.delivered) {
            return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                                 "the change log ends at %" PRIu64 ", before commit %" PRIu64,
                                 reached, seq);
        }
        set_delivered(&seal->feed, reached);
    }
    return HF_SUCCESS;
}

/* The commit stands, but memory is behind: only a repeat under the same id can say that it is done.
 */
static struct hf_status behind(struct hf_op *op, uint64_t seq)
{
    return hf_fail(op, HF_IN_DOUBT,
                   "stored as commit %" PRIu64 ", but what was committed before could not be read; "
                   "repeat the request: %s",
                   seq, op->text);
}

struct hf_status hf_feed_catch_up(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, uint64_t seq)
{
    struct hf_status status;

    pthread_mutex_lock(&seal->feed.lock);
    status = catch_up(seal, unlocked, op, seq);
    pthread_mutex_unlock(&seal->feed.lock);
    return status.code == HF_OK ? status : behind(op, seq);
}

struct hf_status hf_feed_deliver(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, struct hf_flight *flight, uint64_t seq,
                                 const struct hf_opened_view *views, size_t count)
{
    struct hf_feed *feed = &seal->feed;
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&feed->lock);
    while (feed->delivered + 1 < seq && earlier_is_coming(feed, seq)) {
        pthread_cond_wait(&feed->moved, &feed->lock);
    }
    if (feed->delivered + 1 < seq) {
        status = catch_up(seal, unlocked, op, seq - 1);
        status = status.code == HF_OK ? status : behind(op, seq);
    }
    if (status.code == HF_OK && feed->delivered + 1 == seq) {
        status = apply_all(seal, unlocked, op, views, count);
        set_delivered(feed, seq);
    }
    remove_flight(feed, flight);
    pthread_mutex_unlock(&feed->lock);
    return status;
}
