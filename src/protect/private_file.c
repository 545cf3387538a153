/* Reading and making files that hold a secret. */
#include "protect/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static void close_file(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

#define OPEN_FILE __attribute__((cleanup(close_file))) int

static struct hf_status cannot(struct hf_op *op, const char *doing, const char *path)
{
    int error = errno;
    enum hf_code code = error == ENOSPC || error == EDQUOT ? HF_NO_SPACE
                        : error == EEXIST                  ? HF_EXISTS
                                                           : HF_UNAVAILABLE;

    return hf_fail(op, code, "cannot %s %s: %s", doing, path, strerrordesc_np(error));
}

/* --- reading --- */

static struct hf_status check_private(struct hf_op *op, int fd, const char *path)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return cannot(op, "look at", path);
    }
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        return hf_fail(op, HF_INVALID, "%s is neither a file nor a pipe", path);
    }
    if (info.st_uid != geteuid() && info.st_uid != 0) {
        return hf_fail(op, HF_INVALID, "%s belongs to user %u; it must be ours or root's", path,
                       info.st_uid);
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return hf_fail(op, HF_INVALID, "%s is open to others (mode %04o); chmod it to 0600", path,
                       info.st_mode & 07777);
    }
    return HF_SUCCESS;
}

/* Until the end or until the secret is full; *out_len says how far it came. */
static struct hf_status fill(struct hf_op *op, int fd, const char *path, struct hf_secret *secret,
                             size_t *out_len)
{
    size_t len = 0;

    while (len < hf_secret_len(secret)) {
        ssize_t got = read(fd, hf_secret_data(secret) + len, hf_secret_len(secret) - len);

        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return cannot(op, "read", path);
        }
        len += got > 0 ? (size_t)got : 0;
    }
    *out_len = len;
    return HF_SUCCESS;
}

struct hf_status hf_private_file_read(struct hf_op *op, const char *path, size_t max_len,
                                      struct hf_secret **out)
{
    OPEN_FILE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    HF_AUTO(secret) secret = NULL;
    size_t len = 0;

    if (fd < 0) {
        return cannot(op, "open", path);
    }
    HF_TRY(check_private(op, fd, path));
    HF_TRY(hf_secret_new(op, max_len + 1, &secret));
    HF_TRY(fill(op, fd, path, secret, &len));
    if (len > max_len) {
        return hf_fail(op, HF_TOO_LARGE, "%s has more than %zu bytes", path, max_len);
    }
    hf_secret_truncate(secret, len);
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}

/* --- making --- */

static struct hf_status write_all(struct hf_op *op, int fd, const char *path,
                                  struct hf_bytes content)
{
    while (content.len > 0) {
        ssize_t put = write(fd, content.data, content.len);

        if (put < 0 && errno != EINTR) {
            return cannot(op, "write", path);
        }
        if (put > 0) {
            content = hf_bytes_of(content.data + put, content.len - (size_t)put);
        }
    }
    if (fsync(fd) != 0) {
        return cannot(op, "sync", path);
    }
    return HF_SUCCESS;
}

/* A new name is durable once its directory is. */
static struct hf_status sync_directory(struct hf_op *op, const char *path)
{
    HF_AUTO_STRING copy = hf_strdup(path);
    const char *directory = dirname(copy);
    OPEN_FILE fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0) {
        return cannot(op, "sync", directory);
    }
    return HF_SUCCESS;
}

/* link(2) never replaces what is there, and what it names is whole. */
static struct hf_status publish(struct hf_op *op, const char *temporary, const char *path)
{
    if (link(temporary, path) != 0) {
        return cannot(op, "make", path);
    }
    return sync_directory(op, path);
}

static struct hf_status publish_over(struct hf_op *op, const char *temporary, const char *path)
{
    if (rename(temporary, path) != 0) {
        return cannot(op, "replace", path);
    }
    return sync_directory(op, path);
}

typedef struct hf_status (*publisher)(struct hf_op *op, const char *temporary, const char *path);

/* The temporary file is complete on the disk before it is seen under the path. */
static struct hf_status put_aside(struct hf_op *op, const char *temporary, int opened,
                                  const char *path, mode_t mode, struct hf_bytes content,
                                  publisher publish_as)
{
    OPEN_FILE fd = opened;
    struct hf_status status;

    if (fd < 0) {
        return cannot(op, "make", path);
    }
    /* Whatever the umask takes away. */
    status = fchmod(fd, mode) == 0 ? write_all(op, fd, path, content) : cannot(op, "make", path);
    if (status.code == HF_OK) {
        status = publish_as(op, temporary, path);
    }
    (void)unlink(temporary);
    return status;
}

static struct hf_status create(struct hf_op *op, const char *path, mode_t mode,
                               struct hf_bytes content)
{
    HF_AUTO_STRING temporary = hf_format("%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);

    return put_aside(op, temporary, fd, path, mode, content, publish);
}

struct hf_status hf_private_file_create(struct hf_op *op, const char *path, struct hf_bytes content)
{
    return create(op, path, 0600, content);
}

static struct hf_status replace(struct hf_op *op, const char *path, mode_t mode,
                                struct hf_bytes content)
{
    /* What a crash has left under this name is written over. */
    HF_AUTO_STRING temporary = hf_format("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    return put_aside(op, temporary, fd, path, mode, content, publish_over);
}

struct hf_status hf_private_file_replace(struct hf_op *op, const char *path,
                                         struct hf_bytes content)
{
    return replace(op, path, 0600, content);
}

struct hf_status hf_public_file_replace(struct hf_op *op, const char *path, struct hf_bytes content)
{
    return replace(op, path, 0644, content);
}

struct hf_status hf_public_file_create(struct hf_op *op, const char *path, struct hf_bytes content)
{
    return create(op, path, 0644, content);
}
