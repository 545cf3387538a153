/* Secrets: key bytes in the arenas, behind a handle of ordinary memory. */
#include "base/secret.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"

struct hf_secret {
    uint8_t *data; /* in the arenas */
    size_t len;
};

/* The start of /proc/swaps is enough to see whether it names an area; none means no swap. */
static size_t read_swaps(char *out, size_t capacity)
{
    int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    if (fd >= 0) {
        got = read(fd, out, capacity);
        (void)close(fd);
    }
    return got > 0 ? (size_t)got : 0;
}

struct hf_status hf_secret_start(struct hf_op *op, const struct hf_secret_settings *settings)
{
    char swaps[512];
    size_t len = read_swaps(swaps, sizeof swaps);

    HF_TRY(hf_pages_forbid_dumps(op));
    HF_TRY(hf_pages_check_swap(op, hf_bytes_of(swaps, len), settings->allow_unlocked));
    return hf_arena_start(op, settings);
}

struct hf_status hf_secret_new(struct hf_op *op, size_t len, struct hf_secret **out)
{
    struct hf_secret *secret;
    void *data;

    if (!hf_arena_is_started()) {
        return hf_fail(op, HF_INTERNAL, "secret memory is used before it is set up");
    }
    data = hf_arena_alloc(len);
    if (data == NULL) {
        return hf_fail(op, HF_NO_SPACE, "no secret memory is left for %zu bytes; raise its limit",
                       len);
    }
    secret = hf_alloc(sizeof *secret);
    secret->data = data;
    secret->len = len;
    *out = secret;
    return HF_SUCCESS;
}

struct hf_status hf_secret_copy(struct hf_op *op, struct hf_bytes bytes, struct hf_secret **out)
{
    HF_TRY(hf_secret_new(op, bytes.len, out));
    if (bytes.len > 0) {
        memcpy((*out)->data, bytes.data, bytes.len);
    }
    return HF_SUCCESS;
}

void hf_secret_free(struct hf_secret *secret)
{
    if (secret != NULL) {
        hf_arena_free(secret->data);
        free(secret);
    }
}

struct hf_bytes hf_secret_bytes(const struct hf_secret *secret)
{
    return hf_bytes_of(secret->data, secret->len);
}

uint8_t *hf_secret_data(struct hf_secret *secret)
{
    return secret->data;
}

size_t hf_secret_len(const struct hf_secret *secret)
{
    return secret->len;
}

void hf_secret_truncate(struct hf_secret *secret, size_t len)
{
    hf_assert(len <= secret->len);
    hf_wipe(secret->data + len, secret->len - len);
    secret->len = len;
}

bool hf_secret_equal(const struct hf_secret *a, const struct hf_secret *b)
{
    return hf_bytes_equal_constant_time(hf_secret_bytes(a), hf_secret_bytes(b));
}
