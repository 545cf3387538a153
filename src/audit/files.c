/* The files of a trail: the first one, and the change from one to the next. */
#include <unistd.h>

#include "audit/trail.h"
#include "base/log.h"

/* Writes the beginning of a file under a name that is not looked at. *out_fd or errno. */
static int prepare(struct hf_audit *audit, struct hf_bytes lines, int *out_fd)
{
    int fd = -1;
    int error = hf_audit_disk_create(&audit->disk, audit->directory, HF_AUDIT_NEW, &fd);

    if (error != 0) {
        return error;
    }
    error = hf_audit_disk_write(&audit->disk, fd, lines, 0);
    error = error != 0 ? error : hf_audit_disk_sync(&audit->disk, fd);
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    *out_fd = fd;
    return 0;
}

static int rename_file(struct hf_audit *audit, const char *from, const char *to)
{
    return hf_audit_disk_rename(&audit->disk, audit->directory, from, to);
}

/* The file is in its place; lines go there from now on. */
static void take_file(struct hf_audit *audit, int fd, size_t len,
                      const struct hf_audit_chain *chain)
{
    if (audit->fd >= 0) {
        (void)close(audit->fd);
    }
    audit->fd = fd;
    audit->file_number++;
    audit->size = len;
    audit->synced_size = len;
    audit->rotate_at = audit->max_file_bytes;
    audit->chain = *chain;
    audit->written = *chain;
    audit->directory_is_dirty = true;
    (void)hf_audit_sync_file_locked(audit);
}

static struct hf_status write_beginning(struct hf_audit *audit, struct hf_op *op,
                                        struct hf_audit_chain *chain, struct hf_buf *out)
{
    return hf_audit_scribe_file(&audit->scribe, op, chain, hf_env_realtime_ms(audit->env),
                                audit->file_number + 1, out);
}

struct hf_status hf_audit_first_file_locked(struct hf_audit *audit, struct hf_op *op)
{
    HF_AUTO(buf) beginning = hf_buf_new();
    struct hf_audit_chain chain = audit->chain;
    int fd = -1;
    int error;

    hf_env_random(audit->env, audit->scribe.trail, sizeof audit->scribe.trail);
    HF_TRY(write_beginning(audit, op, &chain, beginning));
    error = prepare(audit, hf_buf_bytes(beginning), &fd);
    if (error == 0) {
        error = rename_file(audit, HF_AUDIT_NEW, HF_AUDIT_CURRENT);
    }
    if (error != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return hf_fail(op, HF_NO_SPACE, "the audit trail cannot be started: %s",
                       strerrordesc_np(error));
    }
    take_file(audit, fd, beginning->len, &chain);
    return HF_SUCCESS;
}

/* Everything so far and a checkpoint onto the disk: 0 or errno. */
static int end_file(struct hf_audit *audit, struct hf_bytes checkpoint,
                    const struct hf_audit_chain *chain)
{
    int error = hf_audit_put_locked(audit, checkpoint, chain);

    return error != 0 ? error : hf_audit_sync_file_locked(audit);
}

/*
 * The old file gets its number and the new one its place. Between the two there is no audit.log;
 * whoever finds it so gives the old one its name back.
 */
static int exchange(struct hf_audit *audit)
{
    char older[HF_AUDIT_NAME_MAX];
    int error;

    hf_audit_file_name(audit->file_number, older);
    error = audit->has_number ? 0 : rename_file(audit, HF_AUDIT_CURRENT, older);
    if (error != 0) {
        return error;
    }
    error = rename_file(audit, HF_AUDIT_NEW, HF_AUDIT_CURRENT);
    /* Where even the way back fails, the old file is written on under its number. */
    audit->has_number = error != 0 && rename_file(audit, older, HF_AUDIT_CURRENT) != 0;
    return error;
}

static int next_file(struct hf_audit *audit, struct hf_bytes beginning,
                     const struct hf_audit_chain *chain)
{
    int fd = -1;
    int error = prepare(audit, beginning, &fd);

    if (error == 0) {
        error = exchange(audit);
    }
    if (error == 0) {
        take_file(audit, fd, beginning.len, chain);
    } else if (fd >= 0) {
        (void)close(fd);
    }
    return error;
}

static struct hf_status rotate(struct hf_audit *audit, struct hf_op *op)
{
    HF_AUTO(buf) checkpoint = hf_buf_new();
    HF_AUTO(buf) beginning = hf_buf_new();
    struct hf_audit_chain chain = audit->chain;
    int error;

    HF_TRY(hf_audit_scribe_checkpoint(&audit->scribe, op, &chain, hf_env_realtime_ms(audit->env),
                                      checkpoint));
    error = end_file(audit, hf_buf_bytes(checkpoint), &chain);
    if (error != 0) {
        return hf_audit_fail_full(op, error);
    }
    HF_TRY(write_beginning(audit, op, &chain, beginning));
    error = next_file(audit, hf_buf_bytes(beginning), &chain);
    if (error != 0) {
        return hf_fail(op, HF_NO_SPACE, "the next file of the audit trail cannot be made: %s",
                       strerrordesc_np(error));
    }
    return HF_SUCCESS;
}

struct hf_status hf_audit_rotate_locked(struct hf_audit *audit, struct hf_op *op)
{
    struct hf_status status;
    int error;

    hf_audit_wait_quiet_locked(audit);
    if (audit->full) {
        return hf_audit_fail_full(op, audit->full_errno);
    }
    error = hf_audit_flush_locked(audit);
    if (error != 0) {
        return hf_audit_fail_full(op, error);
    }
    status = rotate(audit, op);
    if (status.code != HF_OK) {
        /* The file just grows for now. */
        audit->rotate_at = audit->size + audit->max_file_bytes / 16 + 1;
        HF_WARNING(audit->env, "the audit trail goes on in its old file: %s", op->text);
    }
    audit->rotate_now = false;
    return status;
}
