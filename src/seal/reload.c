/*
 * Catching up without the change log, when what is needed of it was dropped: all records are read
 * and summed against the store's head, and those that are new are told to the consumers. Records
 * never go away, so nothing has to be forgotten for that.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "seal/seal_internal.h"

/* Another node may commit while we read; more often than this it is something else. */
#define SCANS 5

struct scan {
    struct hf_unlocked *unlocked;
    struct hf_op *op;
    uint64_t known; /* what came up to this commit is known */
    struct hf_sum digest;
    uint64_t count;
    struct hf_stored *items;
    size_t item_count;
    size_t room;
};

static struct hf_status scan_record(void *context, const struct hf_record_view *record)
{
    struct scan *scan = context;
    struct hf_record_place place = { .path = record->path, .revision = record->revision };
    struct hf_stored *item;

    HF_TRY(hf_sum_record(scan->unlocked, scan->op, &place, record->body, &scan->digest));
    scan->count++;
    if (record->seq <= scan->known) {
        return HF_SUCCESS;
    }
    if (scan->item_count == scan->room) {
        scan->room = scan->room < 16 ? 16 : scan->room * 2;
        scan->items = hf_realloc_array(scan->items, scan->room, sizeof *scan->items);
    }
    item = &scan->items[scan->item_count++];
    *item = (struct hf_stored){ .path = hf_strdup(record->path),
                                .revision = record->revision,
                                .seq = record->seq };
    hf_buf_add_bytes(&item->body, record->body);
    return HF_SUCCESS;
}

/* One look at everything. *out_moved when somebody committed meanwhile. */
static struct hf_status scan_once(struct hf_seal *seal, struct scan *scan, struct hf_head *out_head,
                                  bool *out_moved)
{
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_store_state state;
    uint64_t stood;

    HF_TRY(hf_engine_state(seal->engine, scan->op, &state, sealed));
    HF_TRY(
        hf_follow_head(seal, scan->unlocked, scan->op, state.seq, hf_buf_bytes(sealed), out_head));
    stood = state.seq;
    HF_TRY(hf_engine_list(seal->engine, scan->op, "", NULL, scan_record, scan));
    HF_TRY(hf_engine_state(seal->engine, scan->op, &state, NULL));
    *out_moved = state.seq != stood;
    return HF_SUCCESS;
}

/* Altered records explain another digest, but not another number of records. */
static struct hf_status judge(struct hf_seal *seal, const struct scan *scan,
                              const struct hf_head *head)
{
    bool same_count = scan->count == head->count;

    if (same_count &&
        (hf_sum_equal(&scan->digest, &head->digest) || hf_seal_damage(seal, NULL, NULL) > 0)) {
        return HF_SUCCESS;
    }
    return hf_fail_cause(scan->op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the head says %" PRIu64 " records, and the store has %" PRIu64
                         ": records were removed, added, put back or altered; restore the store",
                         head->count, scan->count);
}

static int by_seq(const void *a, const void *b)
{
    uint64_t first = ((const struct hf_stored *)a)->seq;
    uint64_t second = ((const struct hf_stored *)b)->seq;

    return (first > second) - (first < second);
}

static struct hf_status tell(struct hf_seal *seal, struct scan *scan, const struct hf_head *head)
{
    if (scan->item_count > 0) {
        qsort(scan->items, scan->item_count, sizeof *scan->items, by_seq);
    }
    for (size_t i = 0; i < scan->item_count; i++) {
        HF_TRY(hf_follow_stored(seal, scan->unlocked, scan->op, &scan->items[i]));
    }
    hf_feed_move(&seal->feed, head->seq, head->link);
    return HF_SUCCESS;
}

static struct hf_status try_once(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, bool *out_moved)
{
    struct scan scan = { .unlocked = unlocked, .op = op, .known = seal->feed.delivered };
    struct hf_head head;
    struct hf_status status = scan_once(seal, &scan, &head, out_moved);

    if (status.code == HF_OK && !*out_moved) {
        status = judge(seal, &scan, &head);
        if (status.code == HF_OK) {
            status = tell(seal, &scan, &head);
        }
    }
    hf_stored_done(scan.items, scan.item_count);
    return status;
}

struct hf_status hf_follow_anew(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                struct hf_op *op)
{
    bool moved = true;

    HF_WARNING(seal->env,
               "the change log begins after commit %" PRIu64
               ", so all records are read to find what changed",
               atomic_load(&seal->feed.delivered));
    for (int i = 0; i < SCANS && moved; i++) {
        HF_TRY(try_once(seal, unlocked, op, &moved));
    }
    return moved ? hf_fail(op, HF_UNAVAILABLE, "the store changes too fast to be read; try again")
                 : HF_SUCCESS;
}
