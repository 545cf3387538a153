/*
 * What the tests of protectors start from: the world of cryptography, and a directory of their own.
 */
#pragma once

#include "crypto_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "protect/protector.h"

static char directory[64];

static inline int open_directory(void **state)
{
    (void)open_world(state);
    strcpy(directory, "/tmp/holdfast-protect-XXXXXX");
    assert_non_null(mkdtemp(directory));
    return 0;
}

/* The path of a file in the directory; the caller frees it. */
static inline char *in_directory(const char *name)
{
    return hf_format("%s/%s", directory, name);
}

/* Writes a file with that content and mode. */
static inline void write_file(const char *path, struct hf_bytes content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.data, content.len), content.len);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static inline int close_directory(void **state)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    assert_int_equal(system(command), 0);
    return close_world(state);
}

/* Opens a protector that must open; the caller frees it. */
static inline struct hf_protector *open_protector(const struct hf_protector_settings *settings)
{
    struct hf_protector *protector = NULL;

    assert_ok(&world.op, hf_protector_open(world.crypto, &world.op, settings, &protector));
    return protector;
}

/* A new key file of that name; the caller frees the path. */
static inline char *new_keyfile(const char *name)
{
    char *path = in_directory(name);

    assert_ok(&world.op, hf_keyfile_create(world.crypto, &world.op, path));
    return path;
}

static inline struct hf_secret *secret_text(const char *text)
{
    struct hf_secret *secret = NULL;

    assert_ok(&world.op, hf_secret_copy(&world.op, hf_bytes_of_text(text), &secret));
    return secret;
}
