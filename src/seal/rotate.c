/*
 * Rotation of the root: one commit puts a new root in force and seals it to every slot; then
 * records are moved to it, some at a time; then the old root goes.
 *
 * The linker refuses whatever is sealed under an earlier root than the head (head.c), so after the
 * first commit nothing is added under the old root, and one walk over the store finds the rest.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "seal/seal_internal.h"

#define PAGE_ITEMS 256
#define PAGE_BYTES ((size_t)256 << 10)
/* Others may change what is being moved; more often than this the next call goes on. */
#define TRIES 8

/* --- the beginning --- */

/* The revision a change of that path builds on. */
static struct hf_status revision_of(struct hf_seal *seal, struct hf_op *op, const char *path,
                                    uint64_t *out)
{
    HF_AUTO(record) record = NULL;
    struct hf_status status = hf_engine_get(seal->engine, op, path, &record);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        *out = 0;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out = record->revision;
    return HF_SUCCESS;
}

/* A root in its record, under the root in force or under the next. */
static struct hf_status stage_root(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                   const struct hf_root *root, bool under_next)
{
    HF_AUTO_STRING path = hf_root_path(root->generation);
    HF_AUTO(secret) content = NULL;
    struct hf_root_record record = {
        .generation = root->generation,
        .begun_ms = hf_env_realtime_ms(op->env),
        .root = hf_secret_bytes(root->secret),
    };
    uint64_t revision;

    HF_TRY(hf_root_record_encode(op, &record, &content));
    HF_TRY(revision_of(seal, op, path, &revision));
    return (under_next ? hf_txn_put_next : hf_txn_put)(txn, op, HF_KIND_ROOT, path, revision,
                                                       hf_secret_bytes(content));
}

static struct hf_status stage_slot(struct hf_unlocked *unlocked, struct hf_op *op,
                                   struct hf_txn *txn, const struct hf_slot_record *item,
                                   const struct hf_root *next)
{
    HF_AUTO(buf) clear = hf_buf_new();
    struct hf_status status = hf_slot_verify(unlocked, op, item->record);

    /* Its public half could be anybody's. */
    if (status.code == HF_CORRUPT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the record of slot \"%s\" is altered, and the new root would go to "
                             "whoever did it; remove that slot first, with the root kept",
                             item->slot->name);
    }
    HF_TRY(status);
    HF_TRY(hf_slot_reseal(unlocked, op, item->slot, next));
    hf_slot_encode(item->slot, clear);
    return hf_txn_put_next(txn, op, HF_KIND_SLOT, item->record->path, item->record->revision,
                           hf_buf_bytes(clear));
}

static struct hf_status stage_slots(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                    struct hf_op *op, struct hf_txn *txn,
                                    const struct hf_root *next, const char *without_slot)
{
    HF_AUTO(slot_records) records = NULL;
    size_t count = 0;

    HF_TRY(hf_slot_records_read(seal, op, &records));
    for (size_t i = 0; i < records->count; i++) {
        const char *id = strchr(records->items[i].record->path, '/') + 1;

        if (without_slot == NULL || strcmp(id, without_slot) != 0) {
            HF_TRY(stage_slot(unlocked, op, txn, &records->items[i], next));
            count++;
        }
    }
    return count > 0 ? HF_SUCCESS
                     : hf_fail(op, HF_WRONG_STATE, "no slot is left that would open a new root");
}

/* next before the others: who reads the log needs it to open what follows. */
static struct hf_status stage_all(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, struct hf_txn *txn,
                                  const struct hf_root *current, const struct hf_root *next,
                                  const char *without_slot)
{
    HF_TRY(stage_root(seal, op, txn, next, false));
    HF_TRY(stage_root(seal, op, txn, current, true));
    return stage_slots(seal, unlocked, op, txn, next, without_slot);
}

struct hf_status hf_seal_root_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn,
                                    const char *without_slot)
{
    struct hf_root current = { 0 };
    struct hf_root next = { 0 };
    HF_AUTO(secret) old_secret = NULL;
    HF_AUTO(secret) new_secret = NULL;

    HF_ENTER(seal, op, unlocked);
    if (hf_root_is_moving(unlocked)) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the records are still being moved to root generation %" PRIu32
                       "; 'holdfast root status' says how far they are",
                       hf_root_generation(unlocked));
    }
    HF_TRY(hf_root_copy(unlocked, op, &current.generation, &old_secret));
    current.secret = old_secret;
    HF_TRY(hf_random_secret(seal->crypto, op, HF_ROOT_LEN, &new_secret));
    next.generation = current.generation + 1;
    next.owner = atomic_fetch_add(&seal->next_number, 1);
    next.secret = new_secret;
    HF_TRY(stage_all(seal, unlocked, op, txn, &current, &next, without_slot));
    hf_txn_bind(txn, current.generation);
    hf_txn_next_root(txn, &next, HF_TAKE(new_secret));
    return HF_SUCCESS;
}

/* --- moving --- */

/* A stretch of the store: what it has to move, copied. */
struct page {
    uint32_t generation;   /* the root in force */
    const char *next_path; /* the record that stays under the old root until the end */
    size_t max;
    struct hf_record *items[PAGE_ITEMS];
    size_t count;
    size_t bytes;
    uint64_t checked;
    char *last; /* the path up to which it looked */
    bool is_full;
};

static void page_done(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        hf_record_free(page->items[i]);
    }
    free(page->last);
}

/* A slot made for the old root just before the new one came, whose record was written since. */
static bool holds_old_root(const struct page *page, const struct hf_record_parts *parts)
{
    struct hf_op scratch = { 0 };
    HF_AUTO(slot) slot = NULL;

    return parts->kind == HF_KIND_SLOT && (parts->flags & HF_RECORD_TOMBSTONE) == 0 &&
           hf_slot_parse(&scratch, parts->clear, &slot).code == HF_OK &&
           slot->root_generation != page->generation;
}

static bool is_to_be_moved(const struct page *page, const struct hf_record_view *view)
{
    struct hf_op scratch = { 0 };
    struct hf_record_parts parts;

    if (strcmp(view->path, page->next_path) == 0) {
        return false;
    }
    return hf_record_parse(&scratch, view->body, &parts).code != HF_OK ||
           parts.generation != page->generation || holds_old_root(page, &parts);
}

static struct hf_status look_at(void *context, const struct hf_record_view *view)
{
    struct page *page = context;
    struct hf_record *record;

    if (page->count == page->max || page->bytes >= PAGE_BYTES) {
        page->is_full = true;
        return (struct hf_status){ HF_LIMITED };
    }
    page->checked++;
    free(page->last);
    page->last = hf_strdup(view->path);
    if (!is_to_be_moved(page, view)) {
        return HF_SUCCESS;
    }
    record = hf_alloc(sizeof *record);
    record->path = hf_strdup(view->path);
    record->revision = view->revision;
    record->seq = view->seq;
    hf_buf_add_bytes(&record->body, view->body);
    page->items[page->count++] = record;
    page->bytes += view->body.len;
    return HF_SUCCESS;
}

static struct hf_status put_moved(struct hf_unlocked *unlocked, struct hf_op *op,
                                  struct hf_txn *txn, const struct hf_record *record,
                                  const struct hf_record_parts *parts, struct hf_bytes plain)
{
    enum hf_kind kind = (enum hf_kind)parts->kind;
    struct hf_root root = { 0 };
    HF_AUTO(secret) secret = NULL;
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(buf) clear = hf_buf_new();

    if ((parts->flags & HF_RECORD_TOMBSTONE) != 0) {
        return hf_txn_bury(txn, op, kind, record->path, record->revision, plain);
    }
    if (kind != HF_KIND_SLOT) {
        return hf_txn_put(txn, op, kind, record->path, record->revision, plain);
    }
    HF_TRY(hf_slot_parse(op, plain, &slot));
    HF_TRY(hf_root_copy(unlocked, op, &root.generation, &secret));
    root.secret = secret;
    HF_TRY(hf_slot_reseal(unlocked, op, slot, &root));
    hf_slot_encode(slot, clear);
    return hf_txn_put(txn, op, kind, record->path, record->revision, hf_buf_bytes(clear));
}

static struct hf_status stage_moved(struct hf_unlocked *unlocked, struct hf_op *op,
                                    struct hf_txn *txn, const struct hf_record *record)
{
    struct hf_record_place place = { .path = record->path, .revision = record->revision };
    struct hf_record_parts parts;
    HF_AUTO(secret) plain = NULL;

    HF_TRY(hf_record_open(unlocked, op, &place, hf_buf_bytes(&record->body), &parts, &plain));
    return put_moved(unlocked, op, txn, record, &parts, hf_secret_or_none(plain));
}

/* One page in one commit; what does not open is left out. */
static struct hf_status commit_page(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                    struct hf_op *op, const struct page *page, uint64_t *out_stuck)
{
    HF_AUTO(txn) txn = NULL;
    size_t moved = 0;

    HF_TRY(hf_txn_new(seal, op, &txn));
    hf_txn_bind(txn, page->generation);
    for (size_t i = 0; i < page->count; i++) {
        const struct hf_record *record = page->items[i];
        struct hf_status status = stage_moved(unlocked, op, txn, record);

        if (status.code == HF_CORRUPT) {
            hf_damage_add(seal, &(struct hf_damaged){ record->path, record->revision, record->seq },
                          op->text);
            hf_op_clear(op);
            *out_stuck += 1;
            continue;
        }
        HF_TRY(status);
        moved++;
    }
    HF_TRY(moved > 0 ? hf_txn_commit_own(txn, op) : HF_SUCCESS);
    atomic_fetch_add(&unlocked->move.moved, moved);
    return HF_SUCCESS;
}

/* Counts are of one rotation, positions of one walk. */
static void begin_walk(struct hf_move *move, uint32_t generation)
{
    if (atomic_load(&move->generation) != generation) {
        atomic_store(&move->moved, 0);
        atomic_store(&move->generation, generation);
    }
    atomic_store(&move->checked, 0);
    atomic_store(&move->stuck, 0);
    free(move->after);
    move->after = NULL;
    move->complete = false;
}

static void end_page(struct hf_move *move, struct page *page, uint64_t stuck)
{
    atomic_fetch_add(&move->checked, page->checked);
    atomic_fetch_add(&move->stuck, stuck);
    if (page->last != NULL) {
        free(move->after);
        move->after = HF_TAKE(page->last);
    }
    move->complete = !page->is_full && atomic_load(&move->stuck) == 0;
    if (!page->is_full && !move->complete) {
        /* Whoever restores what was altered finds it tried again. */
        free(move->after);
        move->after = NULL;
    }
}

static struct hf_status move_page(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, uint32_t generation, size_t max)
{
    HF_AUTO_STRING next_path = hf_root_path(generation);
    struct page page = { .generation = generation, .next_path = next_path };
    struct hf_move *move = &unlocked->move;
    uint64_t stuck = 0;
    struct hf_status status;

    page.max = max < PAGE_ITEMS ? max : PAGE_ITEMS;
    if (move->after == NULL) {
        begin_walk(move, generation);
    }
    status = hf_engine_list(seal->engine, op, "", move->after, look_at, &page);
    if (page.is_full) {
        hf_op_clear(op);
        status = HF_SUCCESS;
    }
    if (status.code == HF_OK) {
        status = commit_page(seal, unlocked, op, &page, &stuck);
    }
    if (status.code == HF_OK) {
        end_page(move, &page, stuck);
    }
    page_done(&page);
    return status;
}

static struct hf_status move_some(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                  struct hf_op *op, size_t max)
{
    uint32_t generation = hf_root_generation(unlocked);
    struct hf_move *move = &unlocked->move;
    struct hf_status status = { HF_CONFLICT };

    if (atomic_load(&move->generation) != generation) {
        begin_walk(move, generation);
    }
    for (int i = 0; i < TRIES && status.code == HF_CONFLICT && !move->complete; i++) {
        hf_op_clear(op);
        status = move_page(seal, unlocked, op, generation, max);
    }
    if (move->complete || status.code == HF_CONFLICT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

struct hf_status hf_seal_root_move(struct hf_seal *seal, struct hf_op *op, size_t max,
                                   bool *out_done)
{
    struct hf_status status;
    bool done;

    HF_ENTER(seal, op, unlocked);
    if (!hf_root_is_moving(unlocked)) {
        *out_done = true;
        return HF_SUCCESS;
    }
    pthread_mutex_lock(&unlocked->move.running);
    status = move_some(seal, unlocked, op, max);
    done = unlocked->move.complete;
    pthread_mutex_unlock(&unlocked->move.running);
    HF_TRY(status);
    *out_done = done;
    return HF_SUCCESS;
}

/* --- the end --- */

static bool is_complete(struct hf_unlocked *unlocked)
{
    struct hf_move *move = &unlocked->move;
    bool is_complete;

    pthread_mutex_lock(&move->running);
    is_complete = move->complete && atomic_load(&move->generation) == hf_root_generation(unlocked);
    pthread_mutex_unlock(&move->running);
    return is_complete;
}

/* The record of the root in force; *out_revision is 0 when there is none: it is the first. */
static struct hf_status read_own(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                 struct hf_op *op, uint64_t *out_revision,
                                 struct hf_root_record *out)
{
    HF_AUTO_STRING path = hf_root_path(hf_root_generation(unlocked));
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(seal, op, HF_KIND_ROOT, path, &opened);

    *out = (struct hf_root_record){ 0 };
    *out_revision = 0;
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    HF_TRY(hf_root_record_parse(op, hf_opened_content(opened), out));
    *out_revision = opened->revision;
    out->root = HF_BYTES_NONE;
    return HF_SUCCESS;
}

struct hf_status hf_seal_root_end_stage(struct hf_seal *seal, struct hf_op *op, struct hf_txn *txn)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(secret) content = NULL;
    struct hf_root_record record;
    uint64_t revision;
    uint32_t generation;

    HF_ENTER(seal, op, unlocked);
    generation = hf_root_generation(unlocked);
    if (!hf_root_is_moving(unlocked) || !is_complete(unlocked)) {
        return hf_fail(op, HF_WRONG_STATE, "no rotation is ready to end");
    }
    HF_TRY(read_own(seal, unlocked, op, &revision, &record));
    if (revision == 0 || record.generation != generation) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the record of root generation %" PRIu32 " is not there", generation);
    }
    record.ended_ms = hf_env_realtime_ms(op->env);
    HF_TRY(hf_root_record_encode(op, &record, &content));
    hf_txn_bind(txn, generation);
    path = hf_root_path(generation);
    return hf_txn_bury(txn, op, HF_KIND_ROOT, path, revision, hf_secret_bytes(content));
}

/* --- how far it is --- */

bool hf_seal_root_is_moving(struct hf_seal *seal)
{
    struct hf_unlocked *unlocked = hf_seal_try_enter(seal);
    bool is_moving = false;

    if (unlocked != NULL) {
        is_moving = hf_root_is_moving(unlocked);
        hf_seal_leave(seal);
    }
    return is_moving;
}

struct hf_status hf_seal_root_info(struct hf_seal *seal, struct hf_op *op, struct hf_root_info *out)
{
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_store_state state;
    struct hf_root_record record;
    struct hf_head head;
    uint64_t revision;
    bool is_counted;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_engine_state(seal->engine, op, &state, sealed));
    HF_TRY(hf_head_open(unlocked, op, state.seq, hf_buf_bytes(sealed), &head));
    HF_TRY(read_own(seal, unlocked, op, &revision, &record));
    *out = (struct hf_root_info){
        .generation = hf_root_generation(unlocked),
        .moving = hf_root_is_moving(unlocked),
        .begun_ms = record.begun_ms,
        .ended_ms = record.ended_ms,
        .records = head.count,
    };
    is_counted = atomic_load(&unlocked->move.generation) == out->generation;
    if (is_counted) {
        out->checked = atomic_load(&unlocked->move.checked);
        out->moved = atomic_load(&unlocked->move.moved);
        out->stuck = atomic_load(&unlocked->move.stuck);
    }
    return HF_SUCCESS;
}
