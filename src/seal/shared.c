/*
 * The store that several nodes share, read past this node's copy of it and compared with its sealed
 * head: the log brings commits into the copy, but nobody would see there what was altered or
 * removed in the store after it was copied.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

/* Another node may commit while we read; more often than this it is something else. */
#define SCANS 5

struct item {
    size_t path; /* offset into bytes */
    uint64_t revision;
    uint8_t digest[HF_SHA256_LEN];
};

struct look {
    struct hf_unlocked *unlocked;
    struct hf_op *op;
    const struct hf_shared_plan *plan;
    struct hf_head head;
    struct hf_sum sum;
    uint64_t last_seq;
    struct hf_buf paths;
    struct item *items; /* in order of path */
    size_t count;
    size_t room;
    size_t at; /* while it is compared with the copy */
    uint64_t differing;
};

static void look_done(struct look *look)
{
    hf_buf_done(&look->paths);
    free(look->items);
}

static const char *path_of(const struct look *look, size_t at)
{
    return (const char *)look->paths.data + look->items[at].path;
}

static struct hf_status take_record(void *context, const struct hf_record_view *record)
{
    struct look *look = context;
    const struct hf_record_place place = { .path = record->path, .revision = record->revision };
    struct item *item;

    HF_TRY(look->plan->go_on(look->plan->context, look->op));
    HF_TRY(hf_sum_record(look->unlocked, look->op, &place, record->body, &look->sum));
    if (look->count == look->room) {
        look->room = look->room < 64 ? 64 : 2 * look->room;
        look->items = hf_realloc_array(look->items, look->room, sizeof *look->items);
    }
    item = &look->items[look->count++];
    *item = (struct item){ .path = look->paths.len, .revision = record->revision };
    hf_buf_add(&look->paths, record->path, strlen(record->path) + 1);
    look->last_seq = record->seq > look->last_seq ? record->seq : look->last_seq;
    return hf_sha256(look->unlocked->crypto, look->op, record->body, item->digest);
}

/* One look at everything. *out_moved when somebody committed between head and records. */
static struct hf_status look_once(struct hf_seal *seal, struct hf_engine *shared, struct look *look,
                                  bool *out_moved)
{
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_store_state state;

    HF_TRY(hf_engine_state(shared, look->op, &state, sealed));
    HF_TRY(hf_follow_head(seal, look->unlocked, look->op, state.seq, hf_buf_bytes(sealed),
                          &look->head));
    HF_TRY(hf_engine_list(shared, look->op, "", NULL, take_record, look));
    HF_TRY(hf_engine_state(shared, look->op, &state, NULL));
    /* A record that is younger than the store itself is one that somebody has edited. */
    *out_moved = look->last_seq > look->head.seq && look->last_seq <= state.seq;
    return HF_SUCCESS;
}

/* --- which they are --- */

static void differs(struct look *look, const char *path)
{
    look->differing++;
    look->plan->differs(look->plan->context, path);
}

/* What the copy has got since the look is none of it. */
static struct hf_status compare_record(void *context, const struct hf_record_view *record)
{
    struct look *look = context;
    bool is_known = record->seq <= look->head.seq;
    uint8_t digest[HF_SHA256_LEN];
    const struct item *item;

    while (look->at < look->count && strcmp(path_of(look, look->at), record->path) < 0) {
        differs(look, path_of(look, look->at++));
    }
    if (look->at == look->count || strcmp(path_of(look, look->at), record->path) != 0) {
        if (is_known) {
            differs(look, record->path);
        }
        return HF_SUCCESS;
    }
    item = &look->items[look->at++];
    HF_TRY(hf_sha256(look->unlocked->crypto, look->op, record->body, digest));
    if (is_known &&
        (item->revision != record->revision || memcmp(item->digest, digest, sizeof digest) != 0)) {
        differs(look, record->path);
    }
    return HF_SUCCESS;
}

static struct hf_status name_them(struct hf_seal *seal, struct look *look)
{
    uint64_t seq = 0;

    HF_TRY(hf_mirror_follow(seal->engine, look->op, &seq));
    HF_TRY(hf_engine_list(seal->engine, look->op, "", NULL, compare_record, look));
    while (look->at < look->count) {
        differs(look, path_of(look, look->at++));
    }
    return HF_SUCCESS;
}

static struct hf_status judge(struct hf_seal *seal, struct look *look, struct hf_shared *out)
{
    out->records = look->count;
    out->whole = look->count == look->head.count && hf_sum_equal(&look->sum, &look->head.digest);
    if (out->whole) {
        return HF_SUCCESS;
    }
    HF_TRY(name_them(seal, look));
    out->differing = look->differing;
    (void)snprintf(out->text, sizeof out->text,
                   "the shared store is not what its head says: it has %zu records where that says "
                   "%" PRIu64 ", and %" PRIu64 " are not as this node has copied them; restore "
                   "them there, before a copy is made anew",
                   look->count, look->head.count, look->differing);
    return HF_SUCCESS;
}

static struct hf_status look_at(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                struct hf_op *op, struct hf_engine *shared,
                                const struct hf_shared_plan *plan, struct hf_shared *out,
                                bool *out_moved)
{
    __attribute__((
        cleanup(look_done))) struct look look = { .unlocked = unlocked, .op = op, .plan = plan };

    HF_TRY(look_once(seal, shared, &look, out_moved));
    return *out_moved ? HF_SUCCESS : judge(seal, &look, out);
}

struct hf_status hf_seal_check_shared(struct hf_seal *seal, struct hf_op *op,
                                      const struct hf_shared_plan *plan, struct hf_shared *out)
{
    struct hf_engine *shared = NULL;
    bool moved = true;

    HF_ENTER(seal, op, unlocked);
    *out = (struct hf_shared){ .whole = true };
    HF_TRY(hf_mirror_behind(seal->engine, op, &shared));
    for (int i = 0; i < SCANS && moved && shared != NULL; i++) {
        struct hf_status status = look_at(seal, unlocked, op, shared, plan, out, &moved);

        if (status.code == HF_CORRUPT) {
            out->whole = false;
            memcpy(out->text, op->text, sizeof out->text);
            hf_op_clear(op);
            return HF_SUCCESS;
        }
        HF_TRY(status);
    }
    return shared != NULL && moved
               ? hf_fail(op, HF_UNAVAILABLE, "the store changes too fast to be checked; try again")
               : HF_SUCCESS;
}
