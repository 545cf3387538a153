/* How secret memory starts and what backs it: limits, locking, forks, dumps, swap. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/arena_pages.h"
#include "base/secret.h"
#include "test.h"
#include "test_child.h"

#define SMALL_LIMIT ((size_t)1 << 20)

static struct hf_env env;

static struct hf_op *new_op(struct hf_op *op)
{
    hf_op_init(op, &env);
    return op;
}

__attribute__((no_sanitize("address"))) static uint8_t look(const uint8_t *at)
{
    return *(const volatile uint8_t *)at;
}

static void start_with(size_t max_bytes, bool allow_unlocked)
{
    struct hf_secret_settings settings = { .max_bytes = max_bytes,
                                           .allow_unlocked = allow_unlocked };
    struct hf_op op;

    child_require(hf_secret_start(new_op(&op), &settings).code == HF_OK);
}

/* Makes system calls of these numbers fail from now on, as kernels and limits do. */
static void forbid(const int *calls, size_t count, int error)
{
    struct sock_filter program[8];
    struct sock_fprog filter = { .filter = program };
    unsigned short at = 0;

    program[at++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        program[at++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        program[at++] =
            (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
    }
    program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter.len = at;
    child_require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    child_require(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void forbid_memfd(void)
{
    static const int calls[] = { SYS_memfd_secret };

    forbid(calls, HF_COUNT(calls), ENOSYS);
}

static void forbid_locking(void)
{
    static const int calls[] = { SYS_memfd_secret, SYS_mlock, SYS_mlock2 };

    forbid(calls, HF_COUNT(calls), EPERM);
}

static void before_start_everything_is_refused(void *unused)
{
    struct hf_op op;
    struct hf_secret *secret = NULL;
    size_t used = 1;
    size_t max = 1;

    (void)unused;
    child_require(hf_arena_alloc(16) == NULL);
    child_require(hf_secret_new(new_op(&op), 16, &secret).code == HF_INTERNAL);
    child_require(secret == NULL);
    child_require(!hf_arena_owns(&op) && !hf_arena_owns(NULL));
    hf_secret_usage(&used, &max);
    child_require(used == 0 && max == 0);
    hf_arena_free(NULL);
}

static void second_start_is_refused(void *unused)
{
    static const struct hf_secret_settings settings = { .allow_unlocked = true };
    struct hf_op op;

    (void)unused;
    start_with(0, true);
    child_require(hf_secret_start(new_op(&op), &settings).code == HF_INTERNAL);
}

static void start_makes_the_process_undumpable(void *unused)
{
    struct rlimit limit;

    (void)unused;
    start_with(0, true);
    child_require(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    child_require(getrlimit(RLIMIT_CORE, &limit) == 0);
    child_require(limit.rlim_cur == 0 && limit.rlim_max == 0);
}

static void fill_up_and_recover(void *context)
{
    size_t len = *(size_t *)context;
    struct hf_secret *secrets[SMALL_LIMIT / 16];
    struct hf_op op;
    struct hf_status status;
    size_t count = 0;
    size_t again = 0;
    size_t used;
    size_t max;

    start_with(SMALL_LIMIT, true);
    do {
        status = hf_secret_new(new_op(&op), len, &secrets[count]);
        count += status.code == HF_OK;
    } while (status.code == HF_OK);
    child_require(status.code == HF_NO_SPACE && strstr(op.text, "secret memory") != NULL);
    hf_secret_usage(&used, &max);
    child_require(count > 0 && max == SMALL_LIMIT && used >= count * len && used <= max);
    /* The ends of slabs, and pages that large blocks fill in part, are all that is lost. */
    child_require(used >= max / 10 * 8);
    while (again < count) {
        hf_secret_free(secrets[again++]);
    }
    hf_secret_usage(&used, &max);
    child_require(used == 0);
    for (again = 0; again < count; again++) {
        child_require(hf_secret_new(&op, len, &secrets[again]).code == HF_OK);
    }
}

static void bytes_of_one_size_serve_another_once_free(void *unused)
{
    static const size_t lens[] = { 16, 4000, 100000, 500000, 32, 20000 };
    void *blocks[SMALL_LIMIT / 16];

    (void)unused;
    start_with(SMALL_LIMIT, true);
    for (size_t i = 0; i < HF_COUNT(lens); i++) {
        size_t count = 0;

        do {
            blocks[count] = hf_arena_alloc(lens[i]);
        } while (blocks[count] != NULL && ++count < HF_COUNT(blocks));
        child_require(count * (lens[i] + 8) >= SMALL_LIMIT / 2);
        while (count > 0) {
            hf_arena_free(blocks[--count]);
        }
    }
}

static void absurd_lengths_are_refused(void *unused)
{
    static const size_t lens[] = { SMALL_LIMIT + 1, SIZE_MAX / 2, SIZE_MAX - 7, SIZE_MAX };
    struct hf_secret *secret;
    struct hf_op op;

    (void)unused;
    start_with(SMALL_LIMIT, true);
    for (size_t i = 0; i < HF_COUNT(lens); i++) {
        child_require(hf_arena_alloc(lens[i]) == NULL);
        child_require(hf_secret_new(new_op(&op), lens[i], &secret).code == HF_NO_SPACE);
    }
}

/* What a forked child finds where its parent keeps a secret. */
static void read_inherited(void *context)
{
    const uint8_t *block = context;

    child_require(look(block) == 0);
}

static void a_fork_inherits_nothing(void *context)
{
    static const uint8_t marker[] = "inherited marker";
    enum hf_secret_backing expected = *(enum hf_secret_backing *)context;
    uint8_t *block;
    int status;

    if (expected != HF_SECRET_MEMFD) {
        forbid_memfd();
    }
    start_with(0, false);
    child_require(hf_secret_backing() == expected);
    block = hf_arena_alloc(sizeof marker);
    child_require(block != NULL);
    memcpy(block, marker, sizeof marker);
    status = test_child(read_inherited, block, true);
    if (expected == HF_SECRET_MEMFD) {
        child_require(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    } else {
        child_require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    child_require(memcmp(block, marker, sizeof marker) == 0);
}

static void use_in_fork(void *context)
{
    struct hf_secret *secret = context;
    struct hf_secret *another;
    struct hf_op op;

    child_require(hf_arena_alloc(8) == NULL);
    child_require(hf_secret_new(new_op(&op), 8, &another).code == HF_NO_SPACE);
    hf_secret_free(secret);
}

static void a_fork_can_free_and_not_allocate(void *unused)
{
    struct hf_secret *secret;
    struct hf_op op;
    int status;

    (void)unused;
    start_with(0, true);
    child_require(hf_secret_new(new_op(&op), 8, &secret).code == HF_OK);
    status = test_child(use_in_fork, secret, false);
    child_require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    hf_secret_free(secret);
}

/* The "VmFlags" line that /proc/self/smaps has for an address. */
static void find_flags(const void *address, char *out, size_t capacity)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false;

    child_require(smaps != NULL);
    while (fgets(line, sizeof line, smaps) != NULL) {
        unsigned long start;
        unsigned long end;

        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(out, capacity, "%s", line);
        }
    }
    (void)fclose(smaps);
}

static void pages_carry_the_flags(void *context)
{
    enum hf_secret_backing expected = *(enum hf_secret_backing *)context;
    char flags[512] = "";
    void *block;

    if (expected == HF_SECRET_MLOCK) {
        forbid_memfd();
    } else if (expected == HF_SECRET_UNLOCKED) {
        forbid_locking();
    }
    start_with(0, true);
    child_require(hf_secret_backing() == expected);
    block = hf_arena_alloc(100);
    find_flags(block, flags, sizeof flags);
    child_require(strstr(flags, " dd") != NULL); /* dontdump */
    child_require((strstr(flags, " lo") != NULL) == (expected != HF_SECRET_UNLOCKED)); /* locked */
    child_require(strstr(flags, expected == HF_SECRET_MEMFD ? " dc" : " wf") != NULL);
}

static void without_locking_start_is_refused(void *unused)
{
    static const struct hf_secret_settings settings = { .max_bytes = SMALL_LIMIT };
    struct hf_op op;

    (void)unused;
    forbid_locking();
    child_require(hf_secret_start(new_op(&op), &settings).code == HF_NO_SPACE);
    child_require(strstr(op.text, "cannot lock") != NULL);
    child_require(hf_arena_alloc(8) == NULL);
}

/* Without the right to lock more than the limit says, as a service account has it. */
static void become_ordinary_user(rlim_t lockable)
{
    struct rlimit limit = { lockable / 2, lockable };

    child_require(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    child_require(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
}

static void the_lock_limit_is_respected(void *unused)
{
    size_t used;
    size_t max;
    size_t count = 0;

    (void)unused;
    become_ordinary_user((rlim_t)2 << 20);
    start_with((size_t)8 << 20, false);
    hf_secret_usage(&used, &max);
    child_require(max == (size_t)2 << 20); /* the hard limit, not the soft one */
    while (hf_arena_alloc(10000) != NULL) {
        count++;
    }
    child_require(count * 10000 > (size_t)3 << 19);
}

static void a_tiny_lock_limit_is_refused(void *unused)
{
    static const struct hf_secret_settings settings = { .max_bytes = (size_t)8 << 20 };
    struct hf_op op;

    (void)unused;
    become_ordinary_user((rlim_t)64 << 10);
    child_require(hf_secret_start(new_op(&op), &settings).code == HF_NO_SPACE);
    child_require(strstr(op.text, "64 KiB may be locked") != NULL);
}

static void unlocked_memory_has_no_lock_limit(void *unused)
{
    size_t used;
    size_t max;

    (void)unused;
    become_ordinary_user((rlim_t)2 << 20);
    forbid_locking();
    start_with((size_t)8 << 20, true);
    hf_secret_usage(&used, &max);
    child_require(hf_secret_backing() == HF_SECRET_UNLOCKED && max == (size_t)8 << 20);
}

/* A number of /proc/self/status, by the name before it. */
static unsigned long long status_number(const char *name, int base)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long number = 0;

    child_require(status != NULL);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            number = strtoull(line + strlen(name), NULL, base);
        }
    }
    (void)fclose(status);
    return number;
}

/* Kilobytes that the kernel counts as locked in this process. */
static unsigned long long locked_kilobytes(void)
{
    return status_number("VmLck:", 10);
}

static void empty_slabs_go_back_to_the_kernel(void *context)
{
    size_t len = *(size_t *)context;
    void *blocks[2000];
    unsigned long long full;

    forbid_memfd();
    start_with((size_t)4 << 20, false);
    for (size_t i = 0; i < HF_COUNT(blocks); i++) {
        blocks[i] = hf_arena_alloc(len);
    }
    full = locked_kilobytes();
    child_require(full >= 1024);
    for (size_t i = 0; i < HF_COUNT(blocks); i++) {
        hf_arena_free(blocks[i]);
    }
    child_require(locked_kilobytes() <= 64); /* one slab is kept */
}

static const char swap_is_on[] =
    "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n";
static const char swap_is_off[] = "Filename\tType\tSize\tUsed\tPriority\n";

static struct hf_status check_swap(struct hf_op *op, const char *swaps, bool allow_unlocked)
{
    return hf_pages_check_swap(new_op(op), hf_bytes_of_text(swaps), allow_unlocked);
}

static void swap_is_refused_without_the_right_to_lock(void *unused)
{
    struct hf_op op;

    (void)unused;
    become_ordinary_user((rlim_t)1 << 20);
    child_require(check_swap(&op, swap_is_on, false).code == HF_NO_SPACE);
    child_require(strstr(op.text, "swap is on") != NULL);
    child_require(check_swap(&op, swap_is_on, true).code == HF_OK);
    child_require(check_swap(&op, swap_is_off, false).code == HF_OK);
    child_require(check_swap(&op, "", false).code == HF_OK);
}

static void swap_is_fine_where_all_memory_can_be_locked(void *unused)
{
    const unsigned long long ipc_lock = 1ULL << 14; /* CAP_IPC_LOCK */
    bool can_lock = (status_number("CapEff:", 16) & ipc_lock) != 0;
    struct rlimit limit;
    struct hf_op op;

    (void)unused;
    child_require(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    can_lock = can_lock || limit.rlim_max == RLIM_INFINITY;
    child_require((check_swap(&op, swap_is_on, false).code == HF_OK) == can_lock);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
    /* Sanitizers make mlockall() do nothing. */
    child_require(!can_lock || locked_kilobytes() > 0);
#endif
}

static const enum hf_secret_backing memfd = HF_SECRET_MEMFD;
static const enum hf_secret_backing locked = HF_SECRET_MLOCK;
static const enum hf_secret_backing unlocked = HF_SECRET_UNLOCKED;
static const size_t tiny = 1;
static const size_t middling = 1000;
static const size_t large = 100000;

static bool kernel_has_memfd_secret(void)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static const struct test_lone lone[] = {
    { "before the start everything is refused", before_start_everything_is_refused, NULL, 0, NULL },
    { "a second start is refused", second_start_is_refused, NULL, 0, NULL },
    { "the start makes the process undumpable", start_makes_the_process_undumpable, NULL, 0, NULL },
    { "tiny secrets fill the arenas and free them", fill_up_and_recover, &tiny, 0, NULL },
    { "middling secrets fill the arenas and free them", fill_up_and_recover, &middling, 0, NULL },
    { "large secrets fill the arenas and free them", fill_up_and_recover, &large, 0, NULL },
    { "bytes of one size serve another once free", bytes_of_one_size_serve_another_once_free, NULL,
      0, NULL },
    { "absurd lengths are refused", absurd_lengths_are_refused, NULL, 0, NULL },
    { "a fork inherits no memfd secret", a_fork_inherits_nothing, &memfd, 0,
      kernel_has_memfd_secret },
    { "a fork inherits no locked secret", a_fork_inherits_nothing, &locked, 0, NULL },
    { "a fork can free and not allocate", a_fork_can_free_and_not_allocate, NULL, 0, NULL },
    { "memfd pages are locked, not dumped, not forked", pages_carry_the_flags, &memfd, 0,
      kernel_has_memfd_secret },
    { "locked pages are not dumped, wiped on fork", pages_carry_the_flags, &locked, 0, NULL },
    { "unlocked pages are not dumped either", pages_carry_the_flags, &unlocked, 0, NULL },
    { "without locking the start is refused", without_locking_start_is_refused, NULL, 0, NULL },
    { "the lock limit is respected", the_lock_limit_is_respected, NULL, 0, NULL },
    { "a tiny lock limit is refused", a_tiny_lock_limit_is_refused, NULL, 0, NULL },
    { "unlocked memory has no lock limit", unlocked_memory_has_no_lock_limit, NULL, 0, NULL },
    { "empty slabs go back to the kernel", empty_slabs_go_back_to_the_kernel, &middling, 0, NULL },
    { "large blocks go back to the kernel", empty_slabs_go_back_to_the_kernel, &large, 0, NULL },
    { "swap is fine where all memory can be locked", swap_is_fine_where_all_memory_can_be_locked,
      NULL, 0, NULL },
    { "swap is refused without the right to lock", swap_is_refused_without_the_right_to_lock, NULL,
      0, NULL },
};

int main(void)
{
    struct CMUnitTest tests[HF_COUNT(lone)];

    hf_env_system(&env);
    test_lone_fill(tests, lone, HF_COUNT(lone));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
