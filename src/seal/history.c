/* What the change log tells: the chain from a known point to the head, and the notes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define BATCHES_AT_ONCE 256

struct walk {
    struct hf_unlocked *unlocked;
    struct hf_op *op;
    uint64_t seq;
    uint64_t last; /* stop here: later commits are not the head's */
    uint8_t link[HF_DIGEST_LEN];
};

static struct hf_status broken(struct hf_op *op, uint64_t seq)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the change log is altered at commit %" PRIu64, seq);
}

struct hf_status hf_history_step(struct hf_unlocked *unlocked, struct hf_op *op,
                                 const struct hf_logged_batch *batch, uint8_t link[HF_DIGEST_LEN])
{
    HF_TRY(hf_chain_note(unlocked, op, batch->seq, batch->note, link));
    for (size_t i = 0; i < batch->count; i++) {
        const struct hf_logged_change *change = &batch->changes[i];
        struct hf_record_place place = { .path = change->path, .revision = change->revision };

        HF_TRY(hf_chain_step(unlocked, op, batch->seq, &place, change->digest, link));
        if (memcmp(link, change->link, HF_DIGEST_LEN) != 0) {
            return broken(op, batch->seq);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status walk_batch(void *context, const struct hf_logged_batch *batch)
{
    struct walk *walk = context;

    if (walk->seq == walk->last) {
        return HF_SUCCESS;
    }
    if (batch->seq != walk->seq + 1) {
        return broken(walk->op, walk->seq + 1);
    }
    HF_TRY(hf_history_step(walk->unlocked, walk->op, batch, walk->link));
    walk->seq = batch->seq;
    return HF_SUCCESS;
}

struct hf_status hf_history_verify(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                   struct hf_op *op, uint64_t seq,
                                   const uint8_t link[HF_DIGEST_LEN], const struct hf_head *head)
{
    struct walk walk = { .unlocked = unlocked, .op = op, .seq = seq, .last = head->seq };

    memcpy(walk.link, link, HF_DIGEST_LEN);
    while (walk.seq < head->seq) {
        uint64_t before = walk.seq;

        HF_TRY(hf_engine_changes(seal->engine, op, walk.seq, BATCHES_AT_ONCE, walk_batch, &walk));
        if (walk.seq == before) {
            return broken(op, before + 1);
        }
    }
    return memcmp(walk.link, head->link, HF_DIGEST_LEN) == 0 ? HF_SUCCESS : broken(op, head->seq);
}

struct hf_status hf_seal_verify_log(struct hf_seal *seal, struct hf_op *op, uint64_t *out_batches)
{
    static const uint8_t start[HF_DIGEST_LEN];
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_store_state state;
    struct hf_head head;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_engine_state(seal->engine, op, &state, sealed));
    HF_TRY(hf_head_open(unlocked, op, state.seq, hf_buf_bytes(sealed), &head));
    if (state.oldest_seq > 1) {
        return hf_fail(op, HF_NOT_FOUND,
                       "the change log begins at commit %" PRIu64
                       " only, so its start is not known",
                       state.oldest_seq);
    }
    HF_TRY(hf_history_verify(seal, unlocked, op, 0, start, &head));
    *out_batches = head.seq;
    return HF_SUCCESS;
}

/* --- notes --- */

struct note {
    uint64_t seq;
    uint64_t realtime_ms;
    struct hf_buf sealed;
};

struct notes {
    struct note *items;
    size_t count;
};

static void notes_done(struct notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        hf_buf_done(&notes->items[i].sealed);
    }
    free(notes->items);
}

static struct hf_status copy_note(void *context, const struct hf_logged_batch *batch)
{
    struct notes *notes = context;

    struct note *note;

    notes->items = hf_realloc_array(notes->items, notes->count + 1, sizeof *notes->items);
    note = &notes->items[notes->count++];
    *note = (struct note){ .seq = batch->seq, .realtime_ms = batch->realtime_ms };
    hf_buf_add_bytes(&note->sealed, batch->note);
    return HF_SUCCESS;
}

/* A note stands behind the id of its request, which its tag binds. */
static struct hf_status open_note(struct hf_unlocked *unlocked, struct hf_op *op,
                                  const struct note *note, struct hf_secret **out)
{
    struct hf_bytes bytes = hf_buf_bytes(&note->sealed);
    char path[HF_REQUEST_TEXT];
    struct hf_record_place place = { .path = path, .revision = 0 };
    struct hf_request_id id;
    struct hf_record_parts parts;

    if (bytes.len == 0) {
        return HF_SUCCESS;
    }
    if (bytes.len < HF_REQUEST_ID_LEN) {
        return broken(op, note->seq);
    }
    memcpy(id.bytes, bytes.data, HF_REQUEST_ID_LEN);
    hf_request_text(&id, path);
    bytes = hf_bytes_of(bytes.data + HF_REQUEST_ID_LEN, bytes.len - HF_REQUEST_ID_LEN);
    HF_TRY(hf_record_open(unlocked, op, &place, bytes, &parts, out));
    return parts.kind == HF_KIND_NOTE ? HF_SUCCESS : broken(op, note->seq);
}

typedef struct hf_status (*note_visitor)(void *context, uint64_t seq, uint64_t realtime_ms,
                                         struct hf_bytes note);

static struct hf_status visit_notes(struct hf_unlocked *unlocked, struct hf_op *op,
                                    const struct notes *notes, note_visitor visit, void *context)
{
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        HF_AUTO(secret) plain = NULL;

        HF_TRY(open_note(unlocked, op, note, &plain));
        HF_TRY(visit(context, note->seq, note->realtime_ms, hf_secret_or_none(plain)));
    }
    return HF_SUCCESS;
}

/* A stretch of at most max; *from moves on. The visitor is called outside of the store. */
static struct hf_status next_notes(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                   struct hf_op *op, uint64_t *from, size_t max, note_visitor visit,
                                   void *context, size_t *out_count)
{
    struct notes notes = { .count = 0 };
    struct hf_status status = hf_engine_changes(seal->engine, op, *from, max, copy_note, &notes);

    if (status.code == HF_OK) {
        status = visit_notes(unlocked, op, &notes, visit, context);
    }
    *out_count = notes.count;
    *from = notes.count > 0 ? notes.items[notes.count - 1].seq : *from;
    notes_done(&notes);
    return status;
}

struct hf_status hf_seal_notes(struct hf_seal *seal, struct hf_op *op, uint64_t from, size_t max,
                               note_visitor visit, void *context)
{
    size_t count = 1;

    HF_ENTER(seal, op, unlocked);
    while (max > 0 && count > 0) {
        size_t most = max < BATCHES_AT_ONCE ? max : BATCHES_AT_ONCE;

        HF_TRY(next_notes(seal, unlocked, op, &from, most, visit, context, &count));
        max -= count;
    }
    return HF_SUCCESS;
}
