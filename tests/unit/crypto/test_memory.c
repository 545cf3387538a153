/* OpenSSL's memory: arenas inside our calls, ordinary memory outside, and it moves between neither.
 */
#include "crypto_world.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "crypto/crypto_internal.h"

static void assert_deeper_is_inside_too(void)
{
    HF_SECRET_SCOPE;
    void *deeper = OPENSSL_malloc(100);

    assert_true(hf_arena_owns(deeper));
    OPENSSL_free(deeper);
}

static void a_scope_decides_where_memory_comes_from(void **unused)
{
    void *before = OPENSSL_malloc(100);
    void *after;

    (void)unused;
    assert_false(hf_arena_owns(before));
    {
        HF_SECRET_SCOPE;
        void *inside = OPENSSL_malloc(100);

        assert_true(hf_arena_owns(inside));
        assert_deeper_is_inside_too();
        /* The inner scope's end is not the outer one's. */
        OPENSSL_free(inside);
        inside = OPENSSL_malloc(100);
        assert_true(hf_arena_owns(inside));
        OPENSSL_free(inside);
        OPENSSL_free(before);
    }
    after = OPENSSL_malloc(100);
    assert_false(hf_arena_owns(after));
    OPENSSL_free(after);
}

static void memory_made_inside_is_freed_outside(void **unused)
{
    size_t before = 0;
    size_t after = 0;
    size_t max = 0;
    void *block;

    (void)unused;
    hf_secret_usage(&before, &max);
    {
        HF_SECRET_SCOPE;
        block = OPENSSL_malloc(1000);
    }
    OPENSSL_free(block);
    hf_secret_usage(&after, &max);
    assert_int_equal(before, after);
}

static void a_block_that_grows_or_shrinks_keeps_its_content_and_its_kind(void **unused)
{
    (void)unused;
    for (int in_arena = 0; in_arena <= 1; in_arena++) {
        uint8_t *block;

        if (in_arena == 1) {
            HF_SECRET_SCOPE;
            block = OPENSSL_malloc(24);
        } else {
            block = OPENSSL_malloc(24);
        }
        memset(block, 0x5a, 24);
        for (size_t len = 25; len < 5000; len = len * 3 / 2) {
            block = OPENSSL_realloc(block, len);
            assert_int_equal(hf_arena_owns(block), in_arena);
            for (size_t i = 0; i < 24; i++) {
                assert_int_equal(block[i], 0x5a);
            }
        }
        block = OPENSSL_realloc(block, 7);
        assert_int_equal(hf_arena_owns(block), in_arena);
        assert_int_equal(block[6], 0x5a);
        OPENSSL_free(block);
    }
}

static void nothing_is_allocated_resized_and_freed_as_malloc_does_it(void **unused)
{
    (void)unused;
    assert_null(hf_crypto_malloc(0, "", 0));
    hf_crypto_free_block(NULL, "", 0);
    assert_null(hf_crypto_realloc(hf_crypto_realloc(NULL, 8, "", 0), 0, "", 0));
}

/* Whether a context of OpenSSL's lies in the arenas tells of all it holds. */
static void keys_and_contexts_live_in_the_arenas(void **unused)
{
    static const uint8_t key[32];
    size_t before = 0;
    size_t after = 0;
    size_t max = 0;
    HF_AUTO(aead) aead = NULL;
    HF_AUTO(pkey) pkey = NULL;

    (void)unused;
    hf_secret_usage(&before, &max);
    assert_ok(&world.op, hf_aead_new(world.crypto, &world.op, hf_bytes_of(key, 32), &aead));
    hf_secret_usage(&after, &max);
    /* Two key schedules of 15 round keys. */
    assert_true(after >= before + (size_t)2 * 15 * 16);
    before = after;
    assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, HF_PKEY_RSA_2048, &pkey));
    hf_secret_usage(&after, &max);
    /* n, d, p, q, dp, dq, qinv. */
    assert_true(after >= before + (size_t)2 * 256 + (size_t)5 * 128);
}

static void *allocate_outside(void *unused)
{
    void *block = OPENSSL_malloc(64);

    (void)unused;
    assert_false(hf_arena_owns(block));
    return block;
}

static void a_scope_is_one_threads_own(void **unused)
{
    HF_SECRET_SCOPE;
    pthread_t thread;
    void *block = NULL;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, allocate_outside, NULL), 0);
    assert_int_equal(pthread_join(thread, &block), 0);
    OPENSSL_free(block);
}

static void starting_again_is_harmless(void **unused)
{
    (void)unused;
    assert_ok(&world.op, hf_crypto_start(&world.op));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_decides_where_memory_comes_from),
        cmocka_unit_test(memory_made_inside_is_freed_outside),
        cmocka_unit_test(a_block_that_grows_or_shrinks_keeps_its_content_and_its_kind),
        cmocka_unit_test(nothing_is_allocated_resized_and_freed_as_malloc_does_it),
        cmocka_unit_test(keys_and_contexts_live_in_the_arenas),
        cmocka_unit_test(a_scope_is_one_threads_own),
        cmocka_unit_test(starting_again_is_harmless),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
