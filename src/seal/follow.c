/*
 * Following the store: what others have committed is read from the change log, checked, and told to
 * the consumers.
 *
 * Each entry of the log is checked before anything of it is used: its links go on from the last
 * commit that is known, and where the store's head stands they are the head's.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "seal/seal_internal.h"

#define BATCHES_AT_ONCE 64

/* A stretch of the log: copies first, because consumers may not run inside the engine. */
struct reading {
    struct hf_unlocked *unlocked;
    struct hf_op *op;
    struct hf_feed *feed;
    const struct hf_head *head; /* of the store, where the log passes it; NULL: not known */
    uint64_t seq;               /* of the last batch read */
    uint8_t link[HF_DIGEST_LEN];
    struct hf_stored *items;
    size_t count;
};

void hf_stored_done(struct hf_stored *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(items[i].path);
        hf_buf_done(&items[i].body);
    }
    free(items);
}

static struct hf_status copy_change(struct reading *reading, uint64_t seq,
                                    const struct hf_logged_change *change)
{
    uint8_t digest[HF_SHA256_LEN];
    struct hf_stored *item;

    HF_TRY(hf_sha256(reading->unlocked->crypto, reading->op, change->body, digest));
    reading->items = hf_realloc_array(reading->items, reading->count + 1, sizeof *reading->items);
    item = &reading->items[reading->count++];
    *item = (struct hf_stored){ .path = hf_strdup(change->path),
                                .revision = change->revision,
                                .seq = seq,
                                .altered = memcmp(digest, change->digest, sizeof digest) != 0 };
    hf_buf_add_bytes(&item->body, change->body);
    return HF_SUCCESS;
}

static struct hf_status fail_altered(struct hf_op *op, uint64_t seq)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the change log does not lead to the store's head at commit %" PRIu64,
                         seq);
}

/* --- gaps: records that were overtaken, so that a later batch brings what they are now --- */

/* By path: a node that was away for long may meet one for each key. */
static void note_gap(struct hf_feed *feed, uint64_t seq, const struct hf_logged_change *change)
{
    struct hf_damaged *known = hf_by_path_find(&feed->gaps, change->path);

    if (known != NULL) {
        known->revision = change->revision;
        known->seq = seq;
    } else {
        hf_by_path_add(&feed->gaps, &(struct hf_damaged){ change->path, change->revision, seq });
    }
}

static void close_gap(struct hf_feed *feed, const struct hf_logged_change *change)
{
    struct hf_damaged *known = hf_by_path_find(&feed->gaps, change->path);

    if (known != NULL) {
        hf_by_path_remove(&feed->gaps, known);
    }
}

static void report_gap(void *context, const struct hf_damaged *record)
{
    hf_damage_add(context, record, "the store does not show it as it was committed");
}

/* The log is read to its end and nothing overtook them: somebody took them away. */
static void report_gaps(struct hf_seal *seal)
{
    hf_by_path_each(seal->feed.gaps, report_gap, seal);
    hf_by_path_clear(&seal->feed.gaps);
}

/* --- reading --- */

static struct hf_status copy_batch(void *context, const struct hf_logged_batch *batch)
{
    struct reading *reading = context;

    if (batch->seq != reading->seq + 1) {
        return fail_altered(reading->op, batch->seq);
    }
    HF_TRY(hf_history_step(reading->unlocked, reading->op, batch, reading->link));
    if (reading->head != NULL && reading->head->seq == batch->seq &&
        memcmp(reading->head->link, reading->link, HF_DIGEST_LEN) != 0) {
        return fail_altered(reading->op, batch->seq);
    }
    reading->seq = batch->seq;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->changes[i].body.len > 0) {
            close_gap(reading->feed, &batch->changes[i]);
            HF_TRY(copy_change(reading, batch->seq, &batch->changes[i]));
        } else {
            note_gap(reading->feed, batch->seq, &batch->changes[i]);
        }
    }
    return HF_SUCCESS;
}

/*
 * A record that was moved to a later root after it was read here is not damaged: what moved it
 * comes later in the log.
 */
static struct hf_status apply_damaged(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                      struct hf_op *op, const struct hf_stored *item)
{
    HF_AUTO(record) record = NULL;

    if (item->altered ||
        hf_root_is_open(unlocked, hf_record_generation(hf_buf_bytes(&item->body))) ||
        hf_engine_get(seal->engine, op, item->path, &record).code != HF_OK ||
        record->revision == item->revision) {
        const struct hf_damaged damaged = { item->path, item->revision, item->seq };

        hf_damage_add(seal, &damaged, op->text);
    }
    hf_op_clear(op);
    return HF_SUCCESS;
}

static struct hf_status open_stored(struct hf_unlocked *unlocked, struct hf_op *op,
                                    const struct hf_stored *item, struct hf_record_parts *out_parts,
                                    struct hf_secret **out)
{
    struct hf_record_place place = { .path = item->path, .revision = item->revision };

    if (item->altered) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "it is not what was committed");
    }
    return hf_record_open(unlocked, op, &place, hf_buf_bytes(&item->body), out_parts, out);
}

struct hf_status hf_follow_stored(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, const struct hf_stored *item)
{
    struct hf_record_parts parts;
    HF_AUTO(secret) plain = NULL;
    struct hf_opened_view view;
    struct hf_status status = open_stored(unlocked, op, item, &parts, &plain);

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
    if (hf_feed_tell(seal, unlocked, op, &view, 1).code != HF_OK) {
        hf_op_clear(op);
    }
    hf_damage_heal(seal, item->path, item->revision);
    return HF_SUCCESS;
}

/* The next stretch of the log. */
static struct hf_status read_stretch(struct hf_seal *seal, struct hf_op *op,
                                     struct reading *reading)
{
    struct hf_feed *feed = &seal->feed;
    struct hf_status status;

    reading->seq = feed->delivered;
    memcpy(reading->link, feed->link, HF_DIGEST_LEN);
    status =
        hf_engine_changes(seal->engine, op, feed->delivered, BATCHES_AT_ONCE, copy_batch, reading);
    for (size_t i = 0; i < reading->count && status.code == HF_OK; i++) {
        status = hf_follow_stored(seal, reading->unlocked, op, &reading->items[i]);
    }
    hf_stored_done(reading->items, reading->count);
    reading->items = NULL;
    reading->count = 0;
    return status;
}

static struct hf_status read_log(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, uint64_t seq, const struct hf_head *head)
{
    struct hf_feed *feed = &seal->feed;
    struct reading reading = { .unlocked = unlocked, .op = op, .feed = feed, .head = head };

    /* The batch that closes a gap may have been committed since seq was looked up. */
    while (feed->delivered < seq || feed->gaps != NULL) {
        struct hf_status status = read_stretch(seal, op, &reading);

        if (status.code == HF_NOT_FOUND) {
            hf_op_clear(op);
            hf_by_path_clear(&feed->gaps);
            return hf_follow_anew(seal, unlocked, op);
        }
        HF_TRY(status);
        if (reading.seq <= feed->delivered && feed->delivered >= seq) {
            report_gaps(seal);
            break;
        }
        if (reading.seq <= feed->delivered) {
            return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                                 "the change log ends at %" PRIu64 ", before commit %" PRIu64,
                                 reading.seq, seq);
        }
        hf_feed_move(feed, reading.seq, reading.link);
    }
    return HF_SUCCESS;
}

/* The commit stands, but memory is behind: only a repeat under the same id can say that it is done.
 */
static struct hf_status behind(struct hf_op *op, uint64_t seq)
{
    HF_AUTO_STRING reason = hf_strdup(op->text);

    return hf_fail(op, HF_IN_DOUBT,
                   "stored as commit %" PRIu64 ", but what was committed before could not be read; "
                   "repeat the request: %s",
                   seq, reason);
}

struct hf_status hf_follow_log(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                               uint64_t seq)
{
    struct hf_status status = read_log(seal, unlocked, op, seq, NULL);

    return status.code == HF_OK ? status : behind(op, seq);
}

struct hf_status hf_feed_catch_up(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, uint64_t seq)
{
    struct hf_status status;

    pthread_mutex_lock(&seal->feed.lock);
    status = hf_follow_log(seal, unlocked, op, seq);
    pthread_mutex_unlock(&seal->feed.lock);
    return status;
}

/* --- looking where the store stands --- */

struct hf_status hf_follow_head(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                struct hf_op *op, uint64_t seq, struct hf_bytes sealed,
                                struct hf_head *out)
{
    uint32_t generation = hf_record_generation(sealed);

    /* What no record can be sealed under any more is left to the opening to refuse. */
    if (generation > hf_root_generation(unlocked)) {
        HF_TRY(hf_roots_follow(unlocked, seal->engine, op));
    }
    return hf_head_open(unlocked, op, seq, sealed, out);
}

/* feed.lock is held. seen is what the consumers knew before the store was asked. */
static struct hf_status follow(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                               const struct hf_store_state *state, struct hf_bytes sealed,
                               uint64_t seen)
{
    struct hf_feed *feed = &seal->feed;
    struct hf_head head;

    if (state->seq < seen) {
        return hf_pin_fail_went_back(op, state->seq, seen);
    }
    /* It has moved on while we looked: what we saw is old. */
    if (state->seq < feed->delivered) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_follow_head(seal, unlocked, op, state->seq, sealed, &head));
    if (head.seq == feed->delivered) {
        return memcmp(head.link, feed->link, HF_DIGEST_LEN) == 0 ? HF_SUCCESS
                                                                 : fail_altered(op, head.seq);
    }
    return read_log(seal, unlocked, op, head.seq, &head);
}

struct hf_status hf_seal_follow(struct hf_seal *seal, struct hf_op *op, uint64_t *out_seq)
{
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_store_state state;
    struct hf_status status;
    uint64_t seen;

    HF_ENTER(seal, op, unlocked);
    seen = atomic_load(&seal->feed.delivered);
    HF_TRY(hf_engine_state(seal->engine, op, &state, sealed));
    pthread_mutex_lock(&seal->feed.lock);
    status = follow(seal, unlocked, op, &state, hf_buf_bytes(sealed), seen);
    *out_seq = seal->feed.delivered;
    pthread_mutex_unlock(&seal->feed.lock);
    return status;
}
