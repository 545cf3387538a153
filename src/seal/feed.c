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

#include "base/alloc.h"
#include "base/log.h"
#include "base/wait.h"
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
    hf_by_path_clear(&feed->gaps);
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
    hf_by_path_clear(&feed->gaps);
    pthread_mutex_unlock(&feed->lock);
}

void hf_feed_move(struct hf_feed *feed, uint64_t seq, const uint8_t link[HF_DIGEST_LEN])
{
    memcpy(feed->link, link, HF_DIGEST_LEN);
    atomic_store(&feed->delivered, seq);
    pthread_cond_broadcast(&feed->moved);
}

void hf_feed_start(struct hf_feed *feed, const struct hf_head *head)
{
    pthread_mutex_lock(&feed->lock);
    hf_feed_move(feed, head->seq, head->link);
    pthread_mutex_unlock(&feed->lock);
}

uint64_t hf_feed_wait(struct hf_feed *feed, uint64_t seq, uint64_t timeout_ms)
{
    struct timespec until = hf_monotonic_in(timeout_ms);
    uint64_t now;
    int waited = 0;

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
struct hf_status hf_feed_tell(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                              const struct hf_opened_view *views, size_t count)
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

/* Its own changes are at hand, unless the linker did not see the transaction that counted. */
static struct hf_status hand_over(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, const struct hf_flight *flight, uint64_t seq,
                                  const struct hf_opened_view *views, size_t count)
{
    struct hf_feed *feed = &seal->feed;
    struct hf_status status;

    if (feed->delivered + 1 < seq) {
        HF_TRY(hf_follow_log(seal, unlocked, op, seq - 1));
    }
    if (feed->delivered >= seq) {
        return HF_SUCCESS;
    }
    if (flight->job->linked_seq != seq) {
        return hf_follow_log(seal, unlocked, op, seq);
    }
    status = hf_feed_tell(seal, unlocked, op, views, count);
    hf_feed_move(feed, seq, flight->job->link);
    return status;
}

struct hf_status hf_feed_deliver(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, struct hf_flight *flight, uint64_t seq,
                                 const struct hf_opened_view *views, size_t count)
{
    struct hf_feed *feed = &seal->feed;
    struct hf_status status;

    pthread_mutex_lock(&feed->lock);
    while (feed->delivered + 1 < seq && earlier_is_coming(feed, seq)) {
        pthread_cond_wait(&feed->moved, &feed->lock);
    }
    status = hand_over(seal, unlocked, op, flight, seq, views, count);
    remove_flight(feed, flight);
    pthread_mutex_unlock(&feed->lock);
    return status;
}
