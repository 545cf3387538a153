/*
 * What the files of this folder share: the open trail, and the steps that need its lock.
 *
 * The life of a line: appended to the batch that fills (its number and hash are fixed then), handed
 * to the kernel with its batch by one thread while others fill the second batch, synced once a
 * second or on demand. A failing write takes back the chain to the last line that was handed over.
 *
 * Functions that end in _locked are called with the lock held; those that do I/O meanwhile say so.
 */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "audit/disk.h"
#include "audit/line.h"
#include "audit/names.h"
#include "audit/unauthenticated.h"
#include "base/assert.h"
#include "base/metrics.h"

/* How often a full trail tries whether there is space again. */
#define HF_AUDIT_RETRY_MS 100

/* Lines that are chained and not yet handed to the kernel. */
struct hf_audit_batch {
    struct hf_buf lines;
    uint64_t counted; /* how many of them count as lost when dropped */
};

/* What one thread has appended: a dropped line must be told to the thread it belongs to. */
struct hf_audit_mark {
    struct hf_audit *audit;
    struct hf_audit_mark *next;
    struct hf_audit_mark **self; /* what points to this mark */
    uint64_t last_ticket;
    uint64_t last_note_ticket;
    bool line_dropped;
    bool note_dropped;
};

struct hf_audit {
    struct hf_env *env;
    struct hf_audit_disk disk;
    int directory;
    int lock_file; /* holds the lock that keeps a second writer away */
    enum hf_audit_full when_full;
    uint64_t max_file_bytes;

    pthread_mutex_t lock;   /* guards everything below */
    pthread_cond_t changed; /* a write or a sync has ended, or the state has changed */
    pthread_cond_t wake;    /* for the background thread: rotate, or stop */
    pthread_t background;
    bool stopping;
    bool rotate_now;

    struct hf_audit_scribe scribe;
    struct hf_audit_chain chain;   /* after the last line appended */
    struct hf_audit_chain written; /* after the last line handed to the kernel */
    struct hf_audit_batch batches[2];
    unsigned filling; /* the batch that lines are appended to */
    bool writing;     /* a thread hands the other batch over, without the lock */
    uint64_t tickets; /* lines ever appended, also those that were dropped */
    uint64_t settled; /* of those, handed over or dropped */

    int fd;
    uint64_t file_number;
    uint64_t size;        /* of the file's whole lines */
    uint64_t synced_size; /* how much of that is on the disk for certain */
    uint64_t rotate_at;
    bool has_number;     /* the file we write has its number already, and there is no audit.log */
    bool tail_is_dirty;  /* bytes of a failed write may stand behind the whole lines */
    bool sync_is_broken; /* an fsync has failed and must be repaired first */
    bool directory_is_dirty; /* a rename is not yet on the disk */
    bool syncing;            /* a thread syncs, without the lock */
    uint64_t synced;         /* tickets on the disk */
    uint64_t sync_failures;

    bool full;
    int full_errno;
    uint64_t full_since_ms; /* on the wall clock */
    uint64_t retry_ms;      /* on the boottime clock: not before */
    uint64_t lost;          /* since the trail was opened */
    uint64_t lost_now;      /* of those, what no line tells yet */

    struct hf_audit_strangers strangers;

    pthread_key_t mark_key;
    struct hf_audit_mark *marks;

    struct hf_metric *lines_metric;
    struct hf_metric *lost_metric;
    struct hf_metric *full_metric;
};

/* Opens a trail on another disk than the system's. */
HF_STATUS hf_audit_open_on(struct hf_crypto *crypto, struct hf_op *op,
                           const struct hf_audit_settings *settings,
                           const struct hf_audit_disk *disk, struct hf_audit **out);

static inline void hf_audit_lock(struct hf_audit *audit)
{
    hf_assert(pthread_mutex_lock(&audit->lock) == 0);
}

static inline void hf_audit_unlock(struct hf_audit *audit)
{
    hf_assert(pthread_mutex_unlock(&audit->lock) == 0);
}

/* --- marks.c --- */

HF_STATUS hf_audit_marks_init(struct hf_audit *audit, struct hf_op *op);
void hf_audit_marks_done(struct hf_audit *audit);
/* The calling thread's own; made by its first call. Without the lock. */
struct hf_audit_mark *hf_audit_mark(struct hf_audit *audit);
/* Notes for every thread whose lines are not handed over that they are dropped. */
void hf_audit_mark_dropped_locked(struct hf_audit *audit);

/* --- write.c --- */

/* Appends a line to the batch that fills. counts: it is lost when it is dropped. */
HF_STATUS hf_audit_append_locked(struct hf_audit *audit, struct hf_op *op, uint64_t realtime_ms,
                                 struct hf_bytes members, uint64_t seq, bool counts);
/* The same for a checkpoint. */
HF_STATUS hf_audit_append_checkpoint_locked(struct hf_audit *audit, struct hf_op *op);
/*
 * Hands over or drops everything that is appended now; gives up the lock for it. The marks tell
 * what was dropped.
 */
void hf_audit_write_locked(struct hf_audit *audit);
/* Brings what was handed over up to this ticket onto the disk; gives up the lock for it. */
HF_STATUS hf_audit_sync_locked(struct hf_audit *audit, struct hf_op *op, uint64_t ticket);
/* Waits until no other thread does I/O without the lock. */
void hf_audit_wait_quiet_locked(struct hf_audit *audit);
/* When it is quiet: the batch that fills, and then these lines; I/O under the lock. 0 or errno. */
int hf_audit_flush_locked(struct hf_audit *audit);
int hf_audit_put_locked(struct hf_audit *audit, struct hf_bytes lines,
                        const struct hf_audit_chain *chain);
/* Syncs the file, or a rename, I/O under the lock when it is quiet. 0 or errno. */
int hf_audit_sync_file_locked(struct hf_audit *audit);

/* --- full.c --- */

/* A write failed: drops every line that is not handed over, and goes back to where the file is. */
void hf_audit_drop_locked(struct hf_audit *audit, int error);
/* The trail cannot be written from now on. */
void hf_audit_set_full_locked(struct hf_audit *audit, int error);
/* Tries to go on, if it is time to try; I/O under the lock. */
void hf_audit_try_resume_locked(struct hf_audit *audit, struct hf_op *op);
/* Counts lines that found no place. */
void hf_audit_count_lost_locked(struct hf_audit *audit, uint64_t lines);
HF_STATUS hf_audit_fail_full(struct hf_op *op, int error);

/* --- files.c --- */

/* Makes the first file of a trail. */
HF_STATUS hf_audit_first_file_locked(struct hf_audit *audit, struct hf_op *op);
/* Ends the current file with a checkpoint and starts the next; I/O under the lock. */
HF_STATUS hf_audit_rotate_locked(struct hf_audit *audit, struct hf_op *op);
