/* Secrets in use: zeroed, wiped, guarded against neighbours, shared by threads. */
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "test.h"
#include "test_child.h"
#include "test_secrets.h"

static struct hf_env env;

static struct hf_op *new_op(struct hf_op *op)
{
    hf_op_init(op, &env);
    return op;
}

/* Looks at memory that the sanitizer holds to be out of bounds. */
__attribute__((no_sanitize("address"))) static bool is_zero(const uint8_t *memory, size_t len)
{
    const volatile uint8_t *at = memory;

    for (size_t i = 0; i < len; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

__attribute__((no_sanitize("address"))) static void poke(uint8_t *at, uint8_t value)
{
    *(volatile uint8_t *)at = value;
}

__attribute__((no_sanitize("address"))) static uint8_t look(const uint8_t *at)
{
    return *(const volatile uint8_t *)at;
}

/* --- in children: what ends a process --- */

static void start(void)
{
    static const struct hf_secret_settings settings = { .allow_unlocked = true };
    struct hf_op op;

    child_require(hf_secret_start(new_op(&op), &settings).code == HF_OK);
}

/* The end of the slab or large block that this block is the first of. */
static void run_over_the_end(void *context)
{
    uint8_t *block;

    start();
    block = hf_arena_alloc(*(size_t *)context);
    child_require(block != NULL);
    for (size_t i = 0; i < (size_t)128 << 10; i++) {
        poke(block + i, look(block + i));
    }
}

static void run_over_the_start(void *context)
{
    uint8_t *block;

    start();
    block = hf_arena_alloc(*(size_t *)context);
    child_require(block != NULL);
    for (size_t i = 0; i < (size_t)128 << 10; i++) {
        poke(block - i, look(block - i));
    }
}

static void damage_behind_and_free(void *context)
{
    size_t len = *(size_t *)context;
    uint8_t *block;

    start();
    block = hf_arena_alloc(len);
    child_require(block != NULL);
    poke(block + len, (uint8_t)(look(block + len) ^ 1U));
    hf_arena_free(block);
}

static void damage_behind_and_realloc(void *context)
{
    size_t len = *(size_t *)context;
    uint8_t *block;

    start();
    block = hf_arena_alloc(len);
    child_require(block != NULL);
    poke(block + len + 7, (uint8_t)(look(block + len + 7) ^ 0x80U));
    (void)hf_arena_realloc(block, len + 1);
}

static void free_twice(void *context)
{
    uint8_t *block;

    start();
    block = hf_arena_alloc(*(size_t *)context);
    child_require(block != NULL);
    hf_arena_free(block);
    hf_arena_free(block);
}

static void free_the_middle(void *context)
{
    uint8_t *block;

    start();
    block = hf_arena_alloc(*(size_t *)context);
    child_require(block != NULL);
    hf_arena_free(block + 16);
}

static void free_a_foreign_pointer(void *unused)
{
    int local = 0;

    (void)unused;
    start();
    hf_arena_free(&local);
}

static const size_t tiny = 1;
static const size_t middling = 1000;
static const size_t large = 100000;

static const struct test_lone lone[] = {
    { "running over the end of a small slab faults", run_over_the_end, &tiny, SIGSEGV, NULL },
    { "running over the end of a slab faults", run_over_the_end, &middling, SIGSEGV, NULL },
    { "running over the end of a large block faults", run_over_the_end, &large, SIGSEGV, NULL },
    { "running over the start of a small slab faults", run_over_the_start, &tiny, SIGSEGV, NULL },
    { "running over the start of a slab faults", run_over_the_start, &middling, SIGSEGV, NULL },
    { "running over the start of a large block faults", run_over_the_start, &large, SIGSEGV, NULL },
    { "damage behind a tiny block aborts", damage_behind_and_free, &tiny, SIGABRT, NULL },
    { "damage behind a block aborts", damage_behind_and_free, &middling, SIGABRT, NULL },
    { "damage behind a large block aborts", damage_behind_and_free, &large, SIGABRT, NULL },
    { "growing a damaged tiny block aborts", damage_behind_and_realloc, &tiny, SIGABRT, NULL },
    { "growing a damaged block aborts", damage_behind_and_realloc, &middling, SIGABRT, NULL },
    { "growing a damaged large block aborts", damage_behind_and_realloc, &large, SIGABRT, NULL },
    { "freeing a tiny block twice aborts", free_twice, &tiny, SIGABRT, NULL },
    { "freeing a block twice aborts", free_twice, &middling, SIGABRT, NULL },
    { "freeing a large block twice aborts", free_twice, &large, SIGABRT, NULL },
    { "freeing the middle of a block aborts", free_the_middle, &middling, SIGABRT, NULL },
    { "freeing the middle of a large block aborts", free_the_middle, &large, SIGABRT, NULL },
    { "freeing a foreign pointer aborts", free_a_foreign_pointer, NULL, SIGABRT, NULL },
};

/* --- in this process --- */

static void a_new_secret_is_zero_and_in_the_arena(void **unused)
{
    struct hf_op op;

    (void)unused;
    for (size_t len = 0; len < 70000; len = len * 3 + 1) {
        HF_AUTO(secret) secret = NULL;

        assert_ok(&op, hf_secret_new(new_op(&op), len, &secret));
        assert_int_equal(hf_secret_len(secret), len);
        assert_true(hf_arena_owns(hf_secret_data(secret)));
        assert_true(is_zero(hf_secret_data(secret), len));
        assert_int_equal((uintptr_t)hf_secret_data(secret) % 16, 0);
        memset(hf_secret_data(secret), 0xa5, len);
    }
}

static void freeing_wipes(void **unused)
{
    struct hf_op op;

    (void)unused;
    for (size_t len = 1; len < 20000; len = len * 3 + 1) {
        struct hf_secret *secret;
        struct hf_secret *neighbour; /* keeps the slab */
        const uint8_t *data;

        assert_ok(&op, hf_secret_new(new_op(&op), len, &neighbour));
        assert_ok(&op, hf_secret_new(&op, len, &secret));
        data = hf_secret_data(secret);
        memset(hf_secret_data(secret), 0xa5, len);
        assert_false(is_zero(data, len));
        hf_secret_free(secret);
        assert_true(is_zero(data, len + 8));
        hf_secret_free(neighbour);
    }
}

static void truncating_wipes_the_rest(void **unused)
{
    HF_AUTO(secret) secret = NULL;
    struct hf_op op;
    uint8_t *data;

    (void)unused;
    assert_ok(&op, hf_secret_copy(new_op(&op), hf_bytes_of_text("front and back"), &secret));
    data = hf_secret_data(secret);
    hf_secret_truncate(secret, 5);
    assert_true(hf_bytes_equal_text(hf_secret_bytes(secret), "front"));
    assert_true(is_zero(data + 5, 9));
    hf_secret_truncate(secret, 0);
    assert_int_equal(hf_secret_len(secret), 0);
}

static void secrets_compare_by_content(void **unused)
{
    static const struct {
        const char *says;
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        { "the same", "sixteen byte key", "sixteen byte key", true },
        { "both empty", "", "", true },
        { "the first byte differs", "Sixteen byte key", "sixteen byte key", false },
        { "the last byte differs", "sixteen byte kez", "sixteen byte key", false },
        { "one is shorter", "sixteen byte ke", "sixteen byte key", false },
    };
    struct hf_op op;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(secret) a = NULL;
        HF_AUTO(secret) b = NULL;

        assert_ok(&op, hf_secret_copy(new_op(&op), hf_bytes_of_text(cases[i].a), &a));
        assert_ok(&op, hf_secret_copy(&op, hf_bytes_of_text(cases[i].b), &b));
        if (hf_secret_equal(a, b) != cases[i].equal) {
            fail_msg("%s", cases[i].says);
        }
    }
}

static void reallocating_keeps_content_and_leaves_no_copy(void **unused)
{
    static const size_t lens[] = { 1, 20, 25, 3000, 100000, 200000, 4000, 24, 10 };
    uint8_t *block = hf_arena_realloc(NULL, 1);
    uint8_t *keeper = hf_arena_alloc(3000);
    size_t len = 1;

    (void)unused;
    assert_non_null(block);
    block[0] = 1;
    for (size_t i = 0; i < HF_COUNT(lens); i++) {
        uint8_t *before = block;
        size_t kept = lens[i] < len ? lens[i] : len;

        block = hf_arena_realloc(block, lens[i]);
        assert_non_null(block);
        for (size_t k = 0; k < kept; k++) {
            assert_int_equal(block[k], (uint8_t)(k + 1));
        }
        assert_true(is_zero(block + kept, lens[i] - kept));
        if (before == block && lens[i] < len) {
            assert_true(is_zero(block + lens[i] + 8, len - lens[i]));
        }
        for (size_t k = 0; k < lens[i]; k++) {
            block[k] = (uint8_t)(k + 1);
        }
        len = lens[i];
    }
    hf_arena_free(block);
    hf_arena_free(keeper);
}

static void usage_counts_what_is_handed_out(void **unused)
{
    size_t before;
    size_t during;
    size_t after;
    size_t max;
    void *small;
    void *big;

    (void)unused;
    hf_secret_usage(&before, &max);
    small = hf_arena_alloc(100);
    big = hf_arena_alloc(100000);
    hf_secret_usage(&during, &max);
    assert_in_range(during - before, 100100, 100400);
    hf_arena_free(small);
    hf_arena_free(big);
    hf_secret_usage(&after, &max);
    assert_int_equal(before, after);
}

static void the_arena_knows_its_own(void **unused)
{
    void *block = hf_arena_alloc(10);
    void *ordinary = hf_alloc(10);

    (void)unused;
    assert_true(hf_arena_owns(block));
    assert_false(hf_arena_owns(ordinary));
    assert_false(hf_arena_owns(NULL));
    assert_false(hf_arena_owns((const void *)UINTPTR_MAX));
    hf_arena_free(block);
    free(ordinary);
}

#define THREADS 4
#define HELD    64
#define ROUNDS  20000

/* Blocks change hands between threads, as OpenSSL's do. */
static struct {
    pthread_mutex_t lock; /* guards blocks */
    uint8_t *blocks[HELD];
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

/* A block that says how long it is and is filled with one value, so that mix-ups show. */
static uint8_t *make_filled(uint32_t *seed)
{
    uint32_t len = 5 + next_random(seed) % (next_random(seed) % 16 == 0 ? 30000 : 600);
    uint8_t *block = hf_arena_alloc(len);

    if (block != NULL) {
        assert_true(is_zero(block, len));
        memcpy(block, &len, sizeof len);
        memset(block + 4, (int)(len & 0xff), len - 4);
    }
    return block;
}

static bool is_intact(const uint8_t *block)
{
    uint32_t len;

    memcpy(&len, block, sizeof len);
    for (uint32_t i = 4; i < len; i++) {
        if (block[i] != (len & 0xff)) {
            return false;
        }
    }
    return true;
}

static void *churn(void *context)
{
    uint32_t seed = *(const uint32_t *)context;
    uintptr_t damaged = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t *mine = make_filled(&seed);
        size_t place = next_random(&seed) % HELD;
        uint8_t *theirs;

        pthread_mutex_lock(&shared.lock);
        theirs = shared.blocks[place];
        shared.blocks[place] = mine;
        pthread_mutex_unlock(&shared.lock);
        if (theirs != NULL) {
            damaged += !is_intact(theirs);
            hf_arena_free(theirs);
        }
    }
    return (void *)damaged;
}

static void threads_share_the_arenas(void **unused)
{
    static uint32_t seeds[THREADS] = { 1, 2, 3, 4 };
    pthread_t threads[THREADS];
    size_t before;
    size_t after;
    size_t max;

    (void)unused;
    hf_secret_usage(&before, &max);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &seeds[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *damaged;

        assert_int_equal(pthread_join(threads[i], &damaged), 0);
        assert_null(damaged);
    }
    for (size_t i = 0; i < HELD; i++) {
        hf_arena_free(shared.blocks[i]);
    }
    hf_secret_usage(&after, &max);
    assert_int_equal(before, after);
}

/* The tests above need a process that has not started, so those below start as they begin. */
static int start_once(void **unused)
{
    static bool started;

    (void)unused;
    if (!started) {
        test_start_secrets();
        started = true;
    }
    return 0;
}

#define STARTED(test) cmocka_unit_test_setup(test, start_once)

int main(void)
{
    static const struct CMUnitTest started[] = {
        STARTED(a_new_secret_is_zero_and_in_the_arena),
        STARTED(freeing_wipes),
        STARTED(truncating_wipes_the_rest),
        STARTED(secrets_compare_by_content),
        STARTED(reallocating_keeps_content_and_leaves_no_copy),
        STARTED(usage_counts_what_is_handed_out),
        STARTED(the_arena_knows_its_own),
        STARTED(threads_share_the_arenas),
    };
    struct CMUnitTest tests[HF_COUNT(lone) + HF_COUNT(started)];

    hf_env_system(&env);
    test_lone_fill(tests, lone, HF_COUNT(lone));
    memcpy(&tests[HF_COUNT(lone)], started, sizeof started);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
