/* Opening and closing a trail, and its background thread. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/trail.h"
#include "audit/walk.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/wait.h"

#define MS_PER_S                 1000
#define DEFAULT_FILE_BYTES       ((uint64_t)256 * 1024 * 1024)
#define DEFAULT_CHECKPOINT_EVERY 10000
/* The first lines of a file need that much. */
#define LEAST_CHECKPOINT_EVERY 4

/* --- the background thread --- */

/* Until the next second, or until there is something to do before. */
static void wait_a_second(struct hf_audit *audit)
{
    struct timespec until = hf_monotonic_in(MS_PER_S);
    int error = 0;

    while (!audit->stopping && !audit->rotate_now && error != ETIMEDOUT) {
        error = pthread_cond_timedwait(&audit->wake, &audit->lock, &until);
        hf_assert(error == 0 || error == ETIMEDOUT);
    }
}

static void do_background(struct hf_audit *audit)
{
    struct hf_op op;

    hf_op_init(&op, audit->env);
    hf_audit_try_resume_locked(audit, &op);
    hf_audit_flush_strangers_locked(audit, &op, false);
    hf_audit_write_locked(audit);
    if (audit->synced < audit->settled &&
        hf_audit_sync_locked(audit, &op, audit->settled).code != HF_OK) {
        /* Told when it began, and by every append from now on. */
        hf_op_clear(&op);
    }
    if (audit->rotate_now && hf_audit_rotate_locked(audit, &op).code != HF_OK) {
        hf_op_clear(&op);
    }
}

static void *background(void *argument)
{
    struct hf_audit *audit = argument;

    hf_audit_lock(audit);
    while (!audit->stopping) {
        wait_a_second(audit);
        do_background(audit);
    }
    hf_audit_unlock(audit);
    return NULL;
}

/* --- opening --- */

static void init_locks(struct hf_audit *audit)
{
    pthread_condattr_t attributes;

    hf_assert(pthread_condattr_init(&attributes) == 0);
    hf_assert(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    hf_assert(pthread_mutex_init(&audit->lock, NULL) == 0);
    hf_assert(pthread_cond_init(&audit->changed, NULL) == 0);
    hf_assert(pthread_cond_init(&audit->wake, &attributes) == 0);
    hf_assert(pthread_condattr_destroy(&attributes) == 0);
}

static void discard(struct hf_audit *audit)
{
    int files[] = { audit->fd, audit->lock_file, audit->directory };

    for (size_t i = 0; i < HF_COUNT(files); i++) {
        if (files[i] >= 0) {
            (void)close(files[i]);
        }
    }
    for (size_t i = 0; i < HF_COUNT(audit->batches); i++) {
        hf_buf_done(&audit->batches[i].lines);
    }
    hf_audit_scribe_done(&audit->scribe);
    hf_assert(pthread_cond_destroy(&audit->wake) == 0);
    hf_assert(pthread_cond_destroy(&audit->changed) == 0);
    hf_assert(pthread_mutex_destroy(&audit->lock) == 0);
    free(audit);
}

static struct hf_audit *make(struct hf_op *op, const struct hf_audit_settings *settings,
                             const struct hf_audit_disk *disk)
{
    struct hf_audit *audit = hf_alloc(sizeof *audit);

    audit->env = op->env;
    audit->disk = *disk;
    audit->directory = -1;
    audit->lock_file = -1;
    audit->fd = -1;
    audit->when_full = settings->when_full;
    audit->max_file_bytes =
        settings->max_file_bytes != 0 ? settings->max_file_bytes : DEFAULT_FILE_BYTES;
    audit->rotate_at = audit->max_file_bytes;
    audit->lines_metric =
        hf_metrics_series(op->env->metrics, HF_METRIC_COUNTER, "holdfast_audit_lines_total", NULL,
                          "Lines appended to the audit trail");
    audit->lost_metric =
        hf_metrics_series(op->env->metrics, HF_METRIC_COUNTER, "holdfast_audit_lost_total", NULL,
                          "Lines that found no space, their operations refused or unrecorded");
    audit->full_metric = hf_metrics_series(op->env->metrics, HF_METRIC_GAUGE, "holdfast_audit_full",
                                           NULL, "1 while the audit trail cannot be written");
    init_locks(audit);
    return audit;
}

/* The directory is ours alone as long as the lock file stays open. */
static struct hf_status open_directory(struct hf_audit *audit, struct hf_op *op, const char *path)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make %s for the audit trail: %s", path,
                       strerrordesc_np(errno));
    }
    audit->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (audit->directory < 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot open %s for the audit trail: %s", path,
                       strerrordesc_np(errno));
    }
    audit->lock_file =
        openat(audit->directory, HF_AUDIT_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (audit->lock_file < 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot open %s/%s: %s", path, HF_AUDIT_LOCK,
                       strerrordesc_np(errno));
    }
    if (fcntl(audit->lock_file, F_OFD_SETLK, &whole) != 0) {
        return hf_fail(op, HF_WRONG_STATE, "another process writes the audit trail in %s", path);
    }
    return HF_SUCCESS;
}

/* -1 and HF_OK when there is none. A change of files that was cut short is taken back. */
static struct hf_status open_current(struct hf_audit *audit, struct hf_op *op, uint64_t *highest)
{
    char older[HF_AUDIT_NAME_MAX];
    uint64_t lowest;
    int error;

    HF_TRY(hf_audit_older_files(op, audit->directory, &lowest, highest));
    if (*highest > 0 && faccessat(audit->directory, HF_AUDIT_CURRENT, F_OK, 0) != 0 &&
        errno == ENOENT) {
        hf_audit_file_name(*highest, older);
        error = hf_audit_disk_rename(&audit->disk, audit->directory, older, HF_AUDIT_CURRENT);
        if (error != 0) {
            return hf_fail(op, HF_UNAVAILABLE, "cannot rename %s to %s: %s", older,
                           HF_AUDIT_CURRENT, strerrordesc_np(error));
        }
        --*highest;
    }
    audit->fd = openat(audit->directory, HF_AUDIT_CURRENT, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (audit->fd < 0 && errno != ENOENT) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot open %s: %s", HF_AUDIT_CURRENT,
                       strerrordesc_np(errno));
    }
    return HF_SUCCESS;
}

/* Goes to the end of the file, and cuts off what a crash left there. */
static struct hf_status read_current(struct hf_audit *audit, struct hf_op *op, uint64_t highest,
                                     uint64_t *out_torn)
{
    struct hf_audit_report report;
    struct hf_audit_walker walker;
    struct hf_status status;
    int error = 0;

    hf_audit_walker_init(&walker, audit->scribe.crypto, &report);
    walker.part = true;
    status = hf_audit_walk_file(&walker, op, audit->fd, HF_AUDIT_CURRENT);
    hf_audit_walker_done(&walker);
    HF_TRY(status);
    if (walker.file != highest + 1) {
        return hf_fail(op, HF_CORRUPT,
                       "%s says it is file %" PRIu64 " of the audit trail, but the files beside it "
                       "go up to %" PRIu64,
                       HF_AUDIT_CURRENT, walker.file, highest);
    }
    if (walker.torn_bytes > 0) {
        error = hf_audit_disk_truncate(&audit->disk, audit->fd, walker.whole_bytes);
    }
    if (error != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot cut the torn end off %s: %s", HF_AUDIT_CURRENT,
                       strerrordesc_np(error));
    }
    audit->file_number = walker.file;
    audit->size = walker.whole_bytes;
    audit->chain = walker.chain;
    audit->written = walker.chain;
    memcpy(audit->scribe.trail, walker.trail, sizeof audit->scribe.trail);
    *out_torn = walker.torn_bytes;
    return HF_SUCCESS;
}

static struct hf_status append_repaired(struct hf_audit *audit, struct hf_op *op, uint64_t torn)
{
    HF_AUTO(buf) members = hf_buf_new();

    HF_WARNING(op->env, "%" PRIu64 " bytes of a torn line were cut off the audit trail", torn);
    hf_buf_add_format(members,
                      "{\"operation\":\"audit.repaired\",\"bytes_cut\":%" PRIu64
                      ",\"detail\":\"a torn line was cut off the end, as a crash leaves it\"}",
                      torn);
    return hf_audit_append_locked(audit, op, 0, hf_buf_bytes(members), 0, true);
}

/* Finds the end of the trail, or its beginning, and says that we are here. */
static struct hf_status start(struct hf_audit *audit, struct hf_op *op)
{
    uint64_t highest = 0;
    uint64_t torn = 0;

    HF_TRY(open_current(audit, op, &highest));
    if (audit->fd < 0) {
        return hf_audit_first_file_locked(audit, op);
    }
    HF_TRY(read_current(audit, op, highest, &torn));
    if (torn > 0) {
        HF_TRY(append_repaired(audit, op, torn));
    }
    HF_TRY(hf_audit_append_checkpoint_locked(audit, op));
    /* A full disk is no reason not to start: what must be recorded is refused then. */
    hf_audit_write_locked(audit);
    return HF_SUCCESS;
}

static struct hf_status prepare(struct hf_audit *audit, struct hf_crypto *crypto, struct hf_op *op,
                                const struct hf_audit_settings *settings)
{
    struct hf_audit_settings whole = *settings;
    struct hf_status status;

    if (whole.checkpoint_every == 0) {
        whole.checkpoint_every = DEFAULT_CHECKPOINT_EVERY;
    } else if (whole.checkpoint_every < LEAST_CHECKPOINT_EVERY) {
        whole.checkpoint_every = LEAST_CHECKPOINT_EVERY;
    }
    HF_TRY(hf_audit_scribe_init(&audit->scribe, crypto, op, &whole));
    HF_TRY(open_directory(audit, op, settings->directory));
    hf_audit_lock(audit);
    status = start(audit, op);
    hf_audit_unlock(audit);
    HF_TRY(status);
    return hf_audit_marks_init(audit, op);
}

struct hf_status hf_audit_open_on(struct hf_crypto *crypto, struct hf_op *op,
                                  const struct hf_audit_settings *settings,
                                  const struct hf_audit_disk *disk, struct hf_audit **out)
{
    struct hf_audit *audit = make(op, settings, disk);
    struct hf_status status = prepare(audit, crypto, op, settings);

    if (status.code != HF_OK) {
        discard(audit);
        return status;
    }
    if (pthread_create(&audit->background, NULL, background, audit) != 0) {
        hf_audit_marks_done(audit);
        discard(audit);
        return hf_fail(op, HF_LIMITED, "no thread for the audit trail");
    }
    *out = audit;
    return HF_SUCCESS;
}

struct hf_status hf_audit_open(struct hf_crypto *crypto, struct hf_op *op,
                               const struct hf_audit_settings *settings, struct hf_audit **out)
{
    struct hf_audit_disk disk;

    hf_audit_disk_system(&disk);
    return hf_audit_open_on(crypto, op, settings, &disk, out);
}

/* The last lines. What fails here has been told by the log, or is found by the next open. */
static void finish(struct hf_audit *audit)
{
    struct hf_op op;

    hf_op_init(&op, audit->env);
    hf_audit_lock(audit);
    audit->retry_ms = 0;
    hf_audit_try_resume_locked(audit, &op);
    hf_audit_flush_strangers_locked(audit, &op, true);
    if (!audit->full && hf_audit_append_checkpoint_locked(audit, &op).code != HF_OK) {
        HF_ERROR(audit->env, "the last checkpoint of the audit trail: %s", op.text);
    }
    hf_audit_write_locked(audit);
    if (hf_audit_sync_locked(audit, &op, audit->settled).code != HF_OK) {
        HF_ERROR(audit->env, "closing the audit trail: %s", op.text);
    }
    hf_audit_unlock(audit);
}

void hf_audit_free(struct hf_audit *audit)
{
    if (audit == NULL) {
        return;
    }
    hf_audit_lock(audit);
    audit->stopping = true;
    hf_assert(pthread_cond_signal(&audit->wake) == 0);
    hf_audit_unlock(audit);
    hf_assert(pthread_join(audit->background, NULL) == 0);
    finish(audit);
    hf_audit_marks_done(audit);
    discard(audit);
}
