/* What callers do with an open trail: append, write, sync, take checkpoints. */
#include "audit/audit.h"

#include "audit/trail.h"
#include "base/scan.h"

uint64_t hf_audit_last_note(struct hf_audit *audit)
{
    uint64_t seq;

    hf_audit_lock(audit);
    seq = audit->chain.last_seq;
    hf_audit_unlock(audit);
    return seq;
}

static struct hf_status append(struct hf_audit *audit, struct hf_op *op, uint64_t realtime_ms,
                               struct hf_bytes members, struct hf_audit_mark *mark)
{
    if (audit->full) {
        hf_audit_count_lost_locked(audit, 1);
        if (audit->when_full == HF_AUDIT_FULL_STOP) {
            return hf_audit_fail_full(op, audit->full_errno);
        }
        mark->line_dropped = true; /* a later sync must not say that all is on the disk */
        return HF_SUCCESS;
    }
    HF_TRY(hf_audit_append_locked(audit, op, realtime_ms, members, 0, true));
    mark->last_ticket = audit->tickets;
    return HF_SUCCESS;
}

struct hf_status hf_audit_append(struct hf_audit *audit, struct hf_op *op,
                                 const struct hf_audit_event *event)
{
    struct hf_audit_mark *mark = hf_audit_mark(audit);
    struct hf_buf members;
    struct hf_status status;

    hf_assert(event->operation == NULL ||
              !hf_audit_is_own_operation(hf_bytes_of_text(event->operation)));
    /* Outside of the lock: under it only number and hash are added. */
    hf_buf_init(&members);
    hf_audit_event_write(event, &members);
    hf_audit_lock(audit);
    status = append(audit, op, event->realtime_ms, hf_buf_bytes(&members), mark);
    hf_audit_unlock(audit);
    hf_buf_done(&members);
    return status;
}

/* A note comes out of the store: it must not be able to break the line it stands in. */
static struct hf_status check_note(struct hf_op *op, struct hf_bytes note)
{
    struct hf_scan_member members[] = {
        { .name = "n" }, { .name = "t" },   { .name = "node" },
        { .name = "h" }, { .name = "seq" }, { .name = "operation" },
    };
    const struct hf_scan_member *operation = &members[5];

    if (note.len > HF_AUDIT_NOTE_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a control note of %zu bytes is too large", note.len);
    }
    HF_TRY(hf_scan_object(op, note, members, HF_COUNT(members)));
    for (size_t i = 0; i < note.len; i++) {
        if (note.data[i] < 0x20) {
            return hf_fail(op, HF_INVALID, "a control note must be one line");
        }
    }
    if (note.data[0] != '{' || note.data[note.len - 1] != '}') {
        return hf_fail(op, HF_INVALID, "a control note must be an object without space around it");
    }
    for (size_t i = 0; i < 5; i++) {
        if (members[i].value.present) {
            return hf_fail(op, HF_INVALID, "a control note must not have a member \"%s\"",
                           members[i].name);
        }
    }
    if (operation->value.present && hf_audit_is_own_operation(operation->value.raw)) {
        return hf_fail(op, HF_INVALID, "an operation of this name belongs to the trail itself");
    }
    return HF_SUCCESS;
}

static struct hf_status append_note(struct hf_audit *audit, struct hf_op *op, uint64_t seq,
                                    uint64_t realtime_ms, struct hf_bytes note,
                                    struct hf_audit_mark *mark)
{
    if (seq <= audit->chain.last_seq) {
        return HF_SUCCESS;
    }
    if (audit->full) {
        return hf_audit_fail_full(op, audit->full_errno);
    }
    /* It is fed again when it is dropped, so it is not lost. */
    HF_TRY(hf_audit_append_locked(audit, op, realtime_ms, note, seq, false));
    mark->last_ticket = audit->tickets;
    mark->last_note_ticket = audit->tickets;
    return HF_SUCCESS;
}

struct hf_status hf_audit_append_note(struct hf_audit *audit, struct hf_op *op, uint64_t seq,
                                      uint64_t realtime_ms, struct hf_bytes note)
{
    struct hf_audit_mark *mark = hf_audit_mark(audit);
    struct hf_status status;

    HF_TRY(check_note(op, note));
    hf_audit_lock(audit);
    status = append_note(audit, op, seq, realtime_ms, note, mark);
    hf_audit_unlock(audit);
    return status;
}

/* --- writing and syncing --- */

/* Whether all that this thread has appended is where it should be; asked once. */
static struct hf_status judge(struct hf_audit *audit, struct hf_op *op, struct hf_audit_mark *mark,
                              bool every_line)
{
    bool refused = mark->note_dropped || (mark->line_dropped && every_line);

    mark->note_dropped = false;
    mark->line_dropped = false;
    return refused ? hf_audit_fail_full(op, audit->full_errno) : HF_SUCCESS;
}

struct hf_status hf_audit_write(struct hf_audit *audit, struct hf_op *op)
{
    struct hf_audit_mark *mark = hf_audit_mark(audit);
    struct hf_status status;

    hf_audit_lock(audit);
    hf_audit_try_resume_locked(audit, op);
    hf_audit_write_locked(audit);
    status = judge(audit, op, mark, audit->when_full == HF_AUDIT_FULL_STOP);
    hf_audit_unlock(audit);
    return status;
}

/* What must be on the disk is refused when it is not, whatever the setting says. */
static struct hf_status sync_all(struct hf_audit *audit, struct hf_op *op,
                                 struct hf_audit_mark *mark)
{
    uint64_t ticket = audit->tickets;

    hf_audit_write_locked(audit);
    HF_TRY(judge(audit, op, mark, true));
    return hf_audit_sync_locked(audit, op, ticket);
}

struct hf_status hf_audit_sync(struct hf_audit *audit, struct hf_op *op)
{
    struct hf_audit_mark *mark = hf_audit_mark(audit);
    struct hf_status status;

    hf_audit_lock(audit);
    hf_audit_try_resume_locked(audit, op);
    status = sync_all(audit, op, mark);
    hf_audit_unlock(audit);
    return status;
}

static struct hf_status checkpoint(struct hf_audit *audit, struct hf_op *op,
                                   struct hf_audit_mark *mark, struct hf_buf *line)
{
    const struct hf_buf *lines = &audit->batches[audit->filling].lines;
    size_t start_of_line = lines->len;

    if (audit->full) {
        return hf_audit_fail_full(op, audit->full_errno);
    }
    HF_TRY(hf_audit_append_checkpoint_locked(audit, op));
    mark->last_ticket = audit->tickets;
    hf_buf_add(line, lines->data + start_of_line, lines->len - start_of_line - 1);
    return sync_all(audit, op, mark);
}

struct hf_status hf_audit_checkpoint(struct hf_audit *audit, struct hf_op *op,
                                     struct hf_buf *out_line)
{
    struct hf_audit_mark *mark = hf_audit_mark(audit);
    HF_AUTO(buf) line = hf_buf_new();
    struct hf_status status;

    hf_audit_lock(audit);
    hf_audit_try_resume_locked(audit, op);
    status = checkpoint(audit, op, mark, line);
    hf_audit_unlock(audit);
    HF_TRY(status);
    hf_buf_add_bytes(out_line, hf_buf_bytes(line));
    return HF_SUCCESS;
}

void hf_audit_health(struct hf_audit *audit, uint64_t *out_lost, bool *out_full)
{
    hf_audit_lock(audit);
    *out_lost = audit->lost;
    *out_full = audit->full;
    hf_audit_unlock(audit);
}
