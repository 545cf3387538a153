/* Random bytes: never the same twice, over buffers, threads and forks. */
#include "crypto_world.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Without hf_crypto_start(): a child of fork(2) has no arenas, so OpenSSL's own generator could not
 * run there. What a child may share with its parent is the buffer, and that is asked here.
 */
static int open_without_arenas(void **unused)
{
    (void)unused;
    hf_env_system(&world.env);
    hf_op_init(&world.op, &world.env);
    assert_ok(&world.op,
              hf_secret_start(&world.op, &(struct hf_secret_settings){ .allow_unlocked = true }));
    assert_ok(&world.op, hf_crypto_new(&world.op, &world.crypto));
    return 0;
}

static void draw(uint8_t *out, size_t len)
{
    assert_ok(&world.op, hf_random_public(world.crypto, &world.op, out, len));
}

static int compare_words(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void assert_all_differ(uint8_t (*words)[16], size_t count)
{
    qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 1; i < count; i++) {
        assert_memory_not_equal(words[i - 1], words[i], sizeof *words);
    }
}

static void sixteen_bytes_never_come_twice(void **unused)
{
    /* Over several fillings of the buffer. */
    static uint8_t words[4096][16];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(words); i++) {
        draw(words[i], sizeof words[i]);
    }
    assert_all_differ(words, HF_COUNT(words));
}

static void any_length_is_filled_and_no_more(void **unused)
{
    static const size_t lengths[] = { 0, 1, 15, 4095, 4096, 4097, 8192, 10000 };
    static uint8_t out[10001 + 64];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(lengths); i++) {
        size_t zeroes = 0;

        memset(out, 0, sizeof out);
        draw(out, lengths[i]);
        for (size_t at = 0; at < lengths[i]; at++) {
            zeroes += out[at] == 0 ? 1 : 0;
        }
        /* One in 256; a hole of even 200 bytes shows. */
        assert_true(zeroes <= lengths[i] / 256 + 150);
        for (size_t at = lengths[i]; at < sizeof out; at++) {
            assert_int_equal(out[at], 0);
        }
    }
}

static void a_parent_and_its_child_draw_different_bytes(void **unused)
{
    uint8_t first[16];
    uint8_t words[2][16];
    int ends[2];
    int status = 0;
    pid_t child;

    (void)unused;
    draw(first, sizeof first); /* the buffer is full of what comes next */
    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct hf_status drawn = hf_random_public(world.crypto, &world.op, words[0], 16);

        _exit(drawn.code == HF_OK && write(ends[1], words[0], 16) == 16 ? 0 : 1);
    }
    draw(words[1], sizeof words[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], words[0], 16), 16);
    assert_memory_not_equal(words[0], words[1], 16);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

#define THREADS          4
#define WORDS_PER_THREAD 1000

static uint8_t thread_words[THREADS * WORDS_PER_THREAD][16];

static void *draw_many(void *first_word)
{
    uint8_t(*words)[16] = first_word;
    struct hf_op op;

    hf_op_init(&op, &world.env);
    for (size_t i = 0; i < WORDS_PER_THREAD; i++) {
        if (hf_random_public(world.crypto, &op, words[i], 16).code != HF_OK) {
            return words;
        }
    }
    return NULL;
}

static void threads_draw_different_bytes(void **unused)
{
    pthread_t threads[THREADS];

    (void)unused;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, draw_many, thread_words[i * WORDS_PER_THREAD]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_all_differ(thread_words, HF_COUNT(thread_words));
}

static void a_secret_has_the_length_asked_for_and_is_never_the_same(void **unused)
{
    static const size_t lengths[] = { 16, 32, 64, 4096 };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(lengths); i++) {
        HF_AUTO(secret) one = NULL;
        HF_AUTO(secret) other = NULL;

        assert_ok(&world.op, hf_random_secret(world.crypto, &world.op, lengths[i], &one));
        assert_ok(&world.op, hf_random_secret(world.crypto, &world.op, lengths[i], &other));
        assert_int_equal(hf_secret_len(one), lengths[i]);
        assert_false(hf_secret_equal(one, other));
    }
}

static void an_endless_secret_is_refused(void **unused)
{
    HF_AUTO(secret) secret = NULL;

    (void)unused;
    assert_fails(&world.op,
                 hf_random_secret(world.crypto, &world.op, (size_t)INT32_MAX + 1, &secret),
                 HF_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_bytes_never_come_twice),
        cmocka_unit_test(any_length_is_filled_and_no_more),
        cmocka_unit_test(a_parent_and_its_child_draw_different_bytes),
        cmocka_unit_test(threads_draw_different_bytes),
        cmocka_unit_test(a_secret_has_the_length_asked_for_and_is_never_the_same),
        cmocka_unit_test(an_endless_secret_is_refused),
    };

    return cmocka_run_group_tests(tests, open_without_arenas, close_world);
}
