/* The calls that change files of the trail, by the system. */
#include "audit/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define REWRITE_CHUNK 65536

static ssize_t system_write(struct hf_audit_disk *disk, int fd, struct hf_bytes bytes, uint64_t at)
{
    (void)disk;
    return pwrite(fd, bytes.data, bytes.len, (off_t)at);
}

static int system_truncate(struct hf_audit_disk *disk, int fd, uint64_t len)
{
    (void)disk;
    return ftruncate(fd, (off_t)len);
}

static int system_sync(struct hf_audit_disk *disk, int fd)
{
    (void)disk;
    return fdatasync(fd);
}

static int system_sync_directory(struct hf_audit_disk *disk, int fd)
{
    (void)disk;
    return fsync(fd);
}

static int system_create(struct hf_audit_disk *disk, int directory, const char *name)
{
    (void)disk;
    return openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int system_rename(struct hf_audit_disk *disk, int directory, const char *from,
                         const char *to)
{
    (void)disk;
    return renameat2(directory, from, directory, to, RENAME_NOREPLACE);
}

void hf_audit_disk_system(struct hf_audit_disk *disk)
{
    static const struct hf_audit_disk_ops ops = {
        .write = system_write,
        .truncate = system_truncate,
        .sync = system_sync,
        .sync_directory = system_sync_directory,
        .create = system_create,
        .rename = system_rename,
    };

    disk->ops = &ops;
    disk->context = NULL;
}

int hf_audit_disk_write(struct hf_audit_disk *disk, int fd, struct hf_bytes bytes, uint64_t at)
{
    const struct hf_audit_disk_ops *ops = disk->ops;

    while (bytes.len > 0) {
        ssize_t written = ops->write(disk, fd, bytes, at);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return errno;
        }
        if (written == 0) {
            return ENOSPC;
        }
        bytes = hf_bytes_of(bytes.data + written, bytes.len - (size_t)written);
        at += (uint64_t)written;
    }
    return 0;
}

int hf_audit_disk_truncate(struct hf_audit_disk *disk, int fd, uint64_t len)
{
    const struct hf_audit_disk_ops *ops = disk->ops;

    return ops->truncate(disk, fd, len) == 0 ? 0 : errno;
}

int hf_audit_disk_sync(struct hf_audit_disk *disk, int fd)
{
    const struct hf_audit_disk_ops *ops = disk->ops;

    return ops->sync(disk, fd) == 0 ? 0 : errno;
}

int hf_audit_disk_sync_directory(struct hf_audit_disk *disk, int fd)
{
    const struct hf_audit_disk_ops *ops = disk->ops;

    return ops->sync_directory(disk, fd) == 0 ? 0 : errno;
}

int hf_audit_disk_create(struct hf_audit_disk *disk, int directory, const char *name, int *out_fd)
{
    const struct hf_audit_disk_ops *ops = disk->ops;
    int fd = ops->create(disk, directory, name);

    if (fd < 0) {
        return errno;
    }
    *out_fd = fd;
    return 0;
}

int hf_audit_disk_rename(struct hf_audit_disk *disk, int directory, const char *from,
                         const char *to)
{
    const struct hf_audit_disk_ops *ops = disk->ops;

    return ops->rename(disk, directory, from, to) == 0 ? 0 : errno;
}

int hf_audit_disk_rewrite(struct hf_audit_disk *disk, int fd, uint64_t from, uint64_t to)
{
    uint8_t chunk[REWRITE_CHUNK];

    while (from < to) {
        size_t len = to - from < sizeof chunk ? (size_t)(to - from) : sizeof chunk;
        ssize_t got = pread(fd, chunk, len, (off_t)from);
        int error;

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? errno : EIO;
        }
        error = hf_audit_disk_write(disk, fd, hf_bytes_of(chunk, (size_t)got), from);
        if (error != 0) {
            return error;
        }
        from += (uint64_t)got;
    }
    return 0;
}
