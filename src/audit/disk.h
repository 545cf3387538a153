/*
 * The few calls that change files of the trail, behind a table, so that tests can make each of them
 * fail.
 *
 * Threads: as the system's calls.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"

struct hf_audit_disk;

/* Each works as the system call of its name: -1 and errno on failure. */
struct hf_audit_disk_ops {
    ssize_t (*write)(struct hf_audit_disk *disk, int fd, struct hf_bytes bytes, uint64_t at);
    int (*truncate)(struct hf_audit_disk *disk, int fd, uint64_t len);
    int (*sync)(struct hf_audit_disk *disk, int fd);
    int (*sync_directory)(struct hf_audit_disk *disk, int fd);
    int (*create)(struct hf_audit_disk *disk, int directory, const char *name);
    int (*rename)(struct hf_audit_disk *disk, int directory, const char *from, const char *to);
};

struct hf_audit_disk {
    const struct hf_audit_disk_ops *ops;
    void *context; /* for the ops of tests */
};

/* The real one. */
void hf_audit_disk_system(struct hf_audit_disk *disk);

/* All of these give 0, or the errno of what went wrong. */

/* Writes all of it, however many calls that takes. */
int hf_audit_disk_write(struct hf_audit_disk *disk, int fd, struct hf_bytes bytes, uint64_t at);
int hf_audit_disk_truncate(struct hf_audit_disk *disk, int fd, uint64_t len);
int hf_audit_disk_sync(struct hf_audit_disk *disk, int fd);
int hf_audit_disk_sync_directory(struct hf_audit_disk *disk, int fd);
/* An empty file for reading and writing by its owner, also over an older one. */
int hf_audit_disk_create(struct hf_audit_disk *disk, int directory, const char *name, int *out_fd);
/* Never over a file that exists: EEXIST. */
int hf_audit_disk_rename(struct hf_audit_disk *disk, int directory, const char *from,
                         const char *to);
/*
 * Writes the bytes of a range of the file over themselves: after a failed fsync the kernel takes
 * pages for clean that never reached the disk.
 */
int hf_audit_disk_rewrite(struct hf_audit_disk *disk, int fd, uint64_t from, uint64_t to);
