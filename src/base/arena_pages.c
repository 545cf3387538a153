/* Reserves, maps and locks the pages of secret memory. */
#include "base/arena_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* Less than this is not worth starting with, unless less was asked for. */
#define LEAST_BYTES ((size_t)1 << 20)

static bool has_ipc_lock(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) != 0;
}

/* Raises the soft limit as far as it goes and returns how many bytes this process may lock. */
static size_t lockable_bytes(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur != limit.rlim_max) {
        rlim_t before = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
            limit.rlim_cur = before;
        }
    }
    return has_ipc_lock() || limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur;
}

/* A mapping of secret pages of its own file, so that unmapping it frees them. */
static void *map_memfd(void *at, size_t len, int fixed)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    void *memory = MAP_FAILED;

    if (fd < 0) {
        return MAP_FAILED;
    }
    if (ftruncate(fd, (off_t)len) == 0) {
        memory = mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, fd, 0);
    }
    (void)close(fd);
    return memory;
}

static bool can_memfd(size_t len)
{
    void *memory = map_memfd(NULL, len, 0);

    if (memory == MAP_FAILED) {
        return false;
    }
    (void)munmap(memory, len);
    return true;
}

static bool can_mlock(size_t len)
{
    void *memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool locked;

    if (memory == MAP_FAILED) {
        return false;
    }
    /* ONFAULT: asks for the right to lock without taking the pages. */
    locked = mlock2(memory, len, MLOCK_ONFAULT) == 0;
    (void)munmap(memory, len);
    return locked;
}

static struct hf_status choose_backing(struct hf_op *op, const struct hf_secret_settings *settings,
                                       struct hf_pages *pages)
{
    size_t lockable = lockable_bytes();
    size_t wanted = pages->max_bytes;
    size_t bytes = lockable < wanted ? lockable / pages->page * pages->page : wanted;

    if (bytes >= (wanted < LEAST_BYTES ? wanted : LEAST_BYTES)) {
        pages->max_bytes = bytes;
        if (can_memfd(bytes)) {
            pages->backing = HF_SECRET_MEMFD;
            return HF_SUCCESS;
        }
        if (can_mlock(bytes)) {
            pages->backing = HF_SECRET_MLOCK;
            return HF_SUCCESS;
        }
    }
    if (!settings->allow_unlocked) {
        return hf_fail(op, HF_NO_SPACE,
                       "cannot lock %zu KiB of memory for keys (%zu KiB may be locked); raise the "
                       "limit (LimitMEMLOCK= in the unit, ulimit -l)",
                       wanted / 1024, bytes / 1024);
    }
    pages->max_bytes = wanted;
    pages->backing = HF_SECRET_UNLOCKED;
    return HF_SUCCESS;
}

static struct hf_status reserve_range(struct hf_op *op, size_t reserve, size_t align,
                                      struct hf_pages *pages)
{
    uint8_t *memory =
        mmap(NULL, reserve + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return hf_fail(op, HF_NO_SPACE, "cannot reserve %zu MiB of addresses for keys",
                       reserve >> 20);
    }
    /* What lies before the aligned start stays reserved, as a guard. */
    pages->base = memory + (align - ((uintptr_t)memory & (align - 1)));
    pages->reserved = reserve;
    return HF_SUCCESS;
}

struct hf_status hf_pages_start(struct hf_op *op, const struct hf_secret_settings *settings,
                                size_t reserve, size_t align, struct hf_pages *out)
{
    struct hf_pages pages = { .page = (size_t)sysconf(_SC_PAGESIZE) };

    pages.max_bytes = settings->max_bytes / pages.page * pages.page;
    HF_TRY(choose_backing(op, settings, &pages));
    HF_TRY(reserve_range(op, reserve, align, &pages));
    *out = pages;
    return HF_SUCCESS;
}

static bool map_private(enum hf_secret_backing backing, void *at, size_t len)
{
    void *memory =
        mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    return memory != MAP_FAILED && madvise(at, len, MADV_DONTDUMP) == 0 &&
           madvise(at, len, MADV_WIPEONFORK) == 0 &&
           (backing == HF_SECRET_UNLOCKED || mlock2(at, len, 0) == 0);
}

static bool map_secret(void *at, size_t len)
{
    if (map_memfd(at, len, MAP_FIXED) == MAP_FAILED || madvise(at, len, MADV_DONTFORK) != 0) {
        return false;
    }
    /* The kernel cannot fault these in for us; touch them now, not in the middle of a request. */
    memset(at, 0, len);
    return true;
}

bool hf_pages_map(const struct hf_pages *pages, size_t offset, size_t len)
{
    uint8_t *at = pages->base + offset;
    bool mapped = pages->backing == HF_SECRET_MEMFD ? map_secret(at, len)
                                                    : map_private(pages->backing, at, len);

    if (!mapped) {
        hf_pages_unmap(pages, offset, len);
    }
    return mapped;
}

void hf_pages_unmap(const struct hf_pages *pages, size_t offset, size_t len)
{
    void *memory = mmap(pages->base + offset, len, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    hf_assert(memory != MAP_FAILED);
}

struct hf_status hf_pages_forbid_dumps(struct hf_op *op)
{
    static const struct rlimit none = { 0, 0 };

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
        return hf_fail(op, HF_INTERNAL, "cannot forbid core dumps: %m");
    }
    return HF_SUCCESS;
}

struct hf_status hf_pages_check_swap(struct hf_op *op, struct hf_bytes swaps, bool allow_unlocked)
{
    const uint8_t *newline = swaps.len > 0 ? memchr(swaps.data, '\n', swaps.len) : NULL;
    bool swap_is_on = newline != NULL && newline + 1 < swaps.data + swaps.len;

    if (!swap_is_on) {
        return HF_SUCCESS;
    }
    /* Under a limit, MCL_FUTURE would make some later allocation fail instead. */
    if (lockable_bytes() == SIZE_MAX && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) {
        return HF_SUCCESS;
    }
    if (!allow_unlocked) {
        return hf_fail(op, HF_NO_SPACE,
                       "swap is on and the memory of this process cannot be locked; turn swap off "
                       "or allow locking without limit (LimitMEMLOCK=infinity)");
    }
    return HF_SUCCESS;
}
