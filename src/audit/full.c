/* When the disk is full or fails: what is dropped, what is counted, and how the trail goes on. */
#include <errno.h>
#include <inttypes.h>

#include "audit/trail.h"
#include "base/json.h"
#include "base/log.h"

static const char *error_words(int error)
{
    const char *words = strerrordesc_np(error);

    return words != NULL ? words : "an error without a name";
}

struct hf_status hf_audit_fail_full(struct hf_op *op, int error)
{
    return hf_fail(op, HF_NO_SPACE,
                   "the audit trail cannot be written (%s): make space where it is kept",
                   error_words(error));
}

void hf_audit_count_lost_locked(struct hf_audit *audit, uint64_t lines)
{
    audit->lost += lines;
    audit->lost_now += lines;
    hf_metric_add(audit->lost_metric, (int64_t)lines);
}

void hf_audit_set_full_locked(struct hf_audit *audit, int error)
{
    audit->full_errno = error;
    audit->retry_ms = hf_env_boottime_ms(audit->env) + HF_AUDIT_RETRY_MS;
    if (!audit->full) {
        audit->full = true;
        audit->full_since_ms = hf_env_realtime_ms(audit->env);
        hf_metric_set(audit->full_metric, 1);
        HF_ERROR(audit->env, "the audit trail cannot be written (%s); %s", error_words(error),
                 audit->when_full == HF_AUDIT_FULL_STOP
                     ? "what would have to be recorded is refused until there is space"
                     : "operations go on unrecorded until there is space, and are counted");
    }
}

/* Cuts off what a failed write left behind the whole lines. */
static int clean_tail(struct hf_audit *audit)
{
    int error = 0;

    if (audit->tail_is_dirty) {
        error = hf_audit_disk_truncate(&audit->disk, audit->fd, audit->size);
        audit->tail_is_dirty = error != 0;
    }
    return error;
}

void hf_audit_drop_locked(struct hf_audit *audit, int error)
{
    hf_audit_mark_dropped_locked(audit);
    for (size_t i = 0; i < HF_COUNT(audit->batches); i++) {
        hf_audit_count_lost_locked(audit, audit->batches[i].counted);
        audit->batches[i].counted = 0;
        hf_buf_clear(&audit->batches[i].lines);
    }
    audit->chain = audit->written;
    audit->settled = audit->tickets;
    hf_audit_set_full_locked(audit, error);
    audit->tail_is_dirty = true;
    /* If it cannot be cut now, it is cut before the next write, or by the next open. */
    (void)clean_tail(audit);
}

/* After a failed fsync nobody knows which pages are on the disk, so all of them go there again. */
static int repair_sync(struct hf_audit *audit)
{
    int error = 0;

    if (audit->sync_is_broken) {
        error = hf_audit_disk_rewrite(&audit->disk, audit->fd, audit->synced_size, audit->size);
        error = error != 0 ? error : hf_audit_sync_file_locked(audit);
        audit->sync_is_broken = error != 0;
    }
    return error;
}

/* The line that says what is missing. */
static struct hf_status resumed_line(struct hf_audit *audit, struct hf_op *op,
                                     struct hf_audit_chain *chain, struct hf_buf *out)
{
    HF_AUTO(buf) members = hf_buf_new();
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, members);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "operation", "audit.resumed");
    hf_json_put_u64(&writer, "lost", audit->lost_now);
    hf_json_put_date(&writer, "since", audit->full_since_ms);
    hf_json_put_text(&writer, "reason", error_words(audit->full_errno));
    hf_json_put_text(&writer, "detail",
                     audit->when_full == HF_AUDIT_FULL_STOP
                         ? "operations that could not be recorded were refused"
                         : "operations went on without being recorded");
    hf_json_close_object(&writer);
    return hf_audit_scribe_line(&audit->scribe, op, chain, hf_env_realtime_ms(audit->env),
                                hf_buf_bytes(members), 0, out);
}

/* 0, or what is still wrong. */
static int try_resume(struct hf_audit *audit, struct hf_op *op)
{
    HF_AUTO(buf) line = hf_buf_new();
    struct hf_audit_chain chain = audit->chain;
    int error = clean_tail(audit);

    error = error != 0 ? error : repair_sync(audit);
    if (error != 0) {
        return error;
    }
    if (resumed_line(audit, op, &chain, line).code != HF_OK) {
        hf_op_clear(op);
        return ENOMEM;
    }
    return hf_audit_put_locked(audit, hf_buf_bytes(line), &chain);
}

void hf_audit_try_resume_locked(struct hf_audit *audit, struct hf_op *op)
{
    int error;

    if (!audit->full || audit->writing || audit->syncing || audit->tickets != audit->settled ||
        hf_env_boottime_ms(audit->env) < audit->retry_ms) {
        return;
    }
    error = try_resume(audit, op);
    if (error != 0) {
        hf_audit_set_full_locked(audit, error);
        return;
    }
    HF_WARNING(audit->env, "the audit trail goes on; %" PRIu64 " lines are missing",
               audit->lost_now);
    audit->full = false;
    audit->lost_now = 0;
    hf_metric_set(audit->full_metric, 0);
}
