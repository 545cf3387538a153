/* Files in tests: read, written and spoiled by hand. */
#include "store_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

char *file_in(const struct store_world *world, const char *name)
{
    return hf_format("%s/%s", world->directory, name);
}

void write_file(const char *file, const void *data, size_t len)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

void overwrite_at(const char *file, size_t at, const void *data, size_t len)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, (off_t)at), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

void read_whole(const char *file, struct hf_buf *out)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    assert_true(fd >= 0);
    while ((got = read(fd, hf_buf_reserve(out, 65536), 65536)) > 0) {
        hf_buf_grew(out, (size_t)got);
    }
    assert_int_equal(close(fd), 0);
}

size_t size_of(const char *file)
{
    struct stat about;

    return stat(file, &about) == 0 ? (size_t)about.st_size : 0;
}

void copy_over(const char *from, const char *to)
{
    HF_AUTO(buf) whole = hf_buf_new();

    read_whole(from, whole);
    write_file(to, whole->data, whole->len);
}

size_t entries_in(const char *directory)
{
    DIR *listing = opendir(directory);
    size_t count = 0;

    assert_non_null(listing);
    while (readdir(listing) != NULL) {
        count++;
    }
    assert_int_equal(closedir(listing), 0);
    return count - 2; /* itself and its parent */
}

void run_sql(const char *file, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void lose_the_last_commit(const char *file)
{
    /* By another process: SQLite's locks end with any descriptor that this one closes. */
    HF_AUTO_STRING spoil =
        hf_format("printf x | dd of='%s-wal' bs=1 conv=notrunc status=none"
                  " seek=$(($(stat -c %%s '%s-wal') - 100)) &&"
                  " dd if=/dev/zero of='%s-shm' bs=136 count=1 conv=notrunc status=none",
                  file, file, file);

    assert_int_equal(system(spoil), 0);
}
