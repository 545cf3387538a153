/* Files beside SQLite: the lock, who is who, and making new files durable. */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

enum hf_code hf_sqlite_errno_code(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return HF_NO_SPACE;
    case EEXIST:
        return HF_EXISTS;
    case ENOENT:
    case ENOTDIR:
        return HF_NOT_FOUND;
    default:
        return HF_UNAVAILABLE;
    }
}

static struct hf_status fail_errno(struct hf_op *op, const char *what, const char *file)
{
    int number = errno;

    return hf_fail(op, hf_sqlite_errno_code(number), "cannot %s %.200s: %s", what, file,
                   strerror(number));
}

/* The lock file holds the number of the process that has the lock; it may be about to change. */
static struct hf_status fail_locked(struct hf_op *op, const char *directory, int fd)
{
    char text[32] = { 0 };
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    long pid = len > 0 ? strtol(text, NULL, 10) : 0;

    if (pid > 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store in %.200s is open in process %ld; stop it first", directory, pid);
    }
    return hf_fail(op, HF_WRONG_STATE, "the store in %.200s is open in another process", directory);
}

struct hf_status hf_sqlite_lock(struct hf_op *op, const char *directory, int *out_fd)
{
    HF_AUTO_STRING file = hf_format("%s/lock", directory);
    char text[32];
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int len;

    if (fd < 0) {
        return fail_errno(op, "open", file);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        struct hf_status status =
            errno == EWOULDBLOCK ? fail_locked(op, directory, fd) : fail_errno(op, "lock", file);

        (void)close(fd);
        return status;
    }
    /* The number is for people; the lock itself is what counts, so a full disk does not matter. */
    len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        HF_WARNING(op->env, "cannot write the process number into %s", file);
    }
    *out_fd = fd;
    return HF_SUCCESS;
}

/*
 * Asks for no times: one who reads them has the kernel note the time of the very next write, which
 * makes each commit write the file's inode too.
 */
static bool look_at(const char *file, struct hf_file_identity *out)
{
    struct statx about;

    if (statx(AT_FDCWD, file, 0, STATX_INO, &about) != 0) {
        return false;
    }
    out->device = makedev(about.stx_dev_major, about.stx_dev_minor);
    out->inode = about.stx_ino;
    return true;
}

struct hf_status hf_sqlite_identify(struct hf_op *op, const char *file,
                                    struct hf_file_identity *out)
{
    return look_at(file, out) ? HF_SUCCESS : fail_errno(op, "look at", file);
}

bool hf_sqlite_is_same_file(const char *file, const struct hf_file_identity *identity)
{
    struct hf_file_identity found;

    return look_at(file, &found) && found.device == identity->device &&
           found.inode == identity->inode;
}

struct hf_status hf_sqlite_make_file(struct hf_op *op, const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return fail_errno(op, "make", file);
    }
    (void)close(fd);
    return HF_SUCCESS;
}

static struct hf_status sync_at(struct hf_op *op, const char *file, int flags)
{
    struct hf_status status = HF_SUCCESS;
    int fd = open(file, flags | O_CLOEXEC);

    if (fd < 0) {
        return fail_errno(op, "open", file);
    }
    if (fsync(fd) != 0) {
        status = fail_errno(op, "make durable", file);
    }
    (void)close(fd);
    return status;
}

struct hf_status hf_sqlite_sync_file(struct hf_op *op, const char *file)
{
    return sync_at(op, file, O_RDWR);
}

struct hf_status hf_sqlite_sync_directory_of(struct hf_op *op, const char *file)
{
    HF_AUTO_STRING copy = hf_strdup(file);

    return sync_at(op, dirname(copy), O_RDONLY | O_DIRECTORY);
}
