/* Handing lines to the kernel and onto the disk: one thread does it, the others append or wait. */
#include "audit/trail.h"

static void wait_for_change(struct hf_audit *audit)
{
    hf_assert(pthread_cond_wait(&audit->changed, &audit->lock) == 0);
}

static void tell_change(struct hf_audit *audit)
{
    hf_assert(pthread_cond_broadcast(&audit->changed) == 0);
}

struct hf_status hf_audit_append_locked(struct hf_audit *audit, struct hf_op *op,
                                        uint64_t realtime_ms, struct hf_bytes members, uint64_t seq,
                                        bool counts)
{
    struct hf_audit_batch *batch = &audit->batches[audit->filling];

    if (realtime_ms == 0) {
        realtime_ms = hf_env_realtime_ms(audit->env);
    }
    HF_TRY(hf_audit_scribe_line(&audit->scribe, op, &audit->chain, realtime_ms, members, seq,
                                &batch->lines));
    audit->tickets++;
    batch->counted += counts ? 1 : 0;
    hf_metric_add(audit->lines_metric, 1);
    return HF_SUCCESS;
}

struct hf_status hf_audit_append_checkpoint_locked(struct hf_audit *audit, struct hf_op *op)
{
    HF_TRY(hf_audit_scribe_checkpoint(&audit->scribe, op, &audit->chain,
                                      hf_env_realtime_ms(audit->env),
                                      &audit->batches[audit->filling].lines));
    audit->tickets++;
    return HF_SUCCESS;
}

static void grew(struct hf_audit *audit, size_t len, const struct hf_audit_chain *chain)
{
    audit->size += len;
    audit->written = *chain;
    if (audit->size >= audit->rotate_at && !audit->rotate_now) {
        audit->rotate_now = true;
        hf_assert(pthread_cond_signal(&audit->wake) == 0);
    }
}

/* Takes the batch that fills, and lets the other one fill while it is written. */
static void hand_over(struct hf_audit *audit)
{
    struct hf_audit_batch *batch = &audit->batches[audit->filling];
    struct hf_audit_chain chain = audit->chain;
    uint64_t tickets = audit->tickets;
    uint64_t at = audit->size;
    int fd = audit->fd;
    int error;

    audit->writing = true;
    audit->filling ^= 1;
    hf_audit_unlock(audit);
    error = hf_audit_disk_write(&audit->disk, fd, hf_buf_bytes(&batch->lines), at);
    hf_audit_lock(audit);
    audit->writing = false;
    if (error != 0) {
        hf_audit_drop_locked(audit, error);
    } else {
        grew(audit, batch->lines.len, &chain);
        audit->settled = tickets;
        batch->counted = 0;
        hf_buf_clear(&batch->lines);
    }
    tell_change(audit);
}

void hf_audit_write_locked(struct hf_audit *audit)
{
    uint64_t tickets = audit->tickets;

    while (audit->settled < tickets) {
        if (audit->writing) {
            wait_for_change(audit);
        } else {
            hand_over(audit);
        }
    }
}

void hf_audit_wait_quiet_locked(struct hf_audit *audit)
{
    while (audit->writing || audit->syncing) {
        wait_for_change(audit);
    }
}

int hf_audit_flush_locked(struct hf_audit *audit)
{
    struct hf_audit_batch *batch = &audit->batches[audit->filling];
    int error =
        hf_audit_disk_write(&audit->disk, audit->fd, hf_buf_bytes(&batch->lines), audit->size);

    hf_assert(!audit->writing);
    if (error != 0) {
        hf_audit_drop_locked(audit, error);
    } else {
        grew(audit, batch->lines.len, &audit->chain);
        audit->settled = audit->tickets;
        batch->counted = 0;
        hf_buf_clear(&batch->lines);
    }
    tell_change(audit);
    return error;
}

int hf_audit_put_locked(struct hf_audit *audit, struct hf_bytes lines,
                        const struct hf_audit_chain *chain)
{
    int error = hf_audit_disk_write(&audit->disk, audit->fd, lines, audit->size);

    hf_assert(!audit->writing && audit->tickets == audit->settled);
    if (error != 0) {
        hf_audit_drop_locked(audit, error);
        return error;
    }
    grew(audit, lines.len, chain);
    audit->chain = *chain;
    audit->settled = ++audit->tickets;
    return 0;
}

/* A rename first: a file that the directory does not know is not on the disk. */
static int sync_fd(struct hf_audit *audit, int fd, bool directory_is_dirty)
{
    int error = 0;

    if (directory_is_dirty) {
        error = hf_audit_disk_sync_directory(&audit->disk, audit->directory);
    }
    return error != 0 ? error : hf_audit_disk_sync(&audit->disk, fd);
}

static int synced(struct hf_audit *audit, int error, uint64_t tickets, uint64_t size)
{
    if (error != 0) {
        audit->sync_is_broken = true;
        audit->sync_failures++;
        hf_audit_set_full_locked(audit, error);
    } else {
        audit->directory_is_dirty = false;
        audit->synced = tickets;
        audit->synced_size = size;
    }
    tell_change(audit);
    return error;
}

int hf_audit_sync_file_locked(struct hf_audit *audit)
{
    int error = sync_fd(audit, audit->fd, audit->directory_is_dirty);

    return synced(audit, error, audit->settled, audit->size);
}

/* One thread syncs for all that wait by then. */
static int sync_once(struct hf_audit *audit)
{
    uint64_t tickets = audit->settled;
    uint64_t size = audit->size;
    bool directory_is_dirty = audit->directory_is_dirty;
    int fd = audit->fd;
    int error;

    audit->syncing = true;
    hf_audit_unlock(audit);
    error = sync_fd(audit, fd, directory_is_dirty);
    hf_audit_lock(audit);
    audit->syncing = false;
    return synced(audit, error, tickets, size);
}

struct hf_status hf_audit_sync_locked(struct hf_audit *audit, struct hf_op *op, uint64_t ticket)
{
    uint64_t failures = audit->sync_failures;

    while (audit->synced < ticket) {
        if (audit->sync_is_broken || audit->sync_failures != failures) {
            return hf_audit_fail_full(op, audit->full_errno);
        }
        if (audit->syncing) {
            wait_for_change(audit);
        } else {
            (void)sync_once(audit);
        }
    }
    return HF_SUCCESS;
}
