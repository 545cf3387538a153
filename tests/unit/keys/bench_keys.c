/*
 * Figures of the folder: nanoseconds per hot use, bytes per key and version in the index,
 * microseconds per loaded record. Prints one line each; run by "meson test --benchmark".
 */
#include "world.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOADED 1000000
#define USES   2000000
#define BLOB   81

/* Of the processor, since the machine has other things to do as well. */
static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void print(const char *name, double value, const char *unit)
{
    (void)printf("%-44s %10.2f %s\n", name, value, unit);
}

/* --- uses --- */

static const uint8_t zeros[32];

static void unwrap(struct hf_op *op, unsigned i)
{
    uint8_t out[32];
    char name[16];

    (void)snprintf(name, sizeof name, "b-%u", i % 1000);
    assert_ok(op, hf_use_hadoop_unwrap(world.keys, op, RING, name, 1, zeros, hf_bytes_of(zeros, 32),
                                       out));
}

/* What OpenSSL alone takes. */
static void bench_bare(void)
{
    HF_AUTO(ctr) ctr = NULL;
    uint8_t out[32];
    uint64_t start = 0;

    assert_ok(&world.op, hf_ctr_new(world.crypto, &world.op, hf_bytes_of(zeros, 32), &ctr));
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        assert_ok(&world.op, hf_ctr_crypt(ctr, &world.op, zeros, hf_bytes_of(zeros, 32), out));
    }
    print("AES-256-CTR of 32 bytes, bare", (double)(now_ns() - start) / USES, "ns");
}

static void bench_hadoop(void)
{
    struct hf_op op = world_op(1);
    uint8_t out[32];
    uint32_t version = 0;
    uint64_t start = 0;
    uint64_t names = 0;

    for (unsigned i = 0; i < 1000; i++) {
        HF_AUTO_STRING name = hf_format("b-%u", i);

        new_key(name, HF_ALG_AES_256);
        unwrap(&op, i);
    }
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        assert_ok(&op, hf_use_hadoop_unwrap(world.keys, &op, RING, "b-7", 1, zeros,
                                            hf_bytes_of(zeros, 32), out));
    }
    print("hadoop unwrap, hot, one version", (double)(now_ns() - start) / USES, "ns");
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        assert_ok(&op, hf_use_hadoop_wrap(world.keys, &op, RING, "b-7", HF_LATEST, zeros,
                                          hf_bytes_of(zeros, 32), out, &version));
    }
    print("hadoop wrap, hot, one version", (double)(now_ns() - start) / USES, "ns");
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "b-%u", i % 1000);
    }
    names = now_ns() - start;
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        unwrap(&op, i);
    }
    print("hadoop unwrap, hot, 1000 versions in turn", (double)(now_ns() - start - names) / USES,
          "ns");
}

static void *unwrap_many(void *context)
{
    struct hf_op op = world_op((unsigned)(uintptr_t)context);
    uint8_t out[32];

    for (unsigned i = 0; i < USES; i++) {
        assert_ok(&op, hf_use_hadoop_unwrap(world.keys, &op, RING, "b-7", 1, zeros,
                                            hf_bytes_of(zeros, 32), out));
    }
    return NULL;
}

static void bench_threads(void)
{
    pthread_t threads[2];
    uint64_t start = now_ns();

    for (uintptr_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, unwrap_many, (void *)i), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    print("the same by two threads", (double)(now_ns() - start) / USES / 2, "ns");
}

static void bench_cold(void)
{
    struct hf_op op = world_op(2);
    uint64_t start = 0;

    hf_keys_set_hot_limit(world.keys, 2, 0);
    unwrap(&op, 0);
    start = now_ns();
    for (unsigned i = 0; i < USES / 100; i++) {
        unwrap(&op, i);
    }
    print("hadoop unwrap, cold", (double)(now_ns() - start) / (USES / 100.0), "ns");
}

static void bench_ciphertext(void)
{
    struct hf_op op = world_op(1);
    HF_AUTO(buf) out = hf_buf_new();
    uint64_t start = now_ns();
    uint32_t version = 0;

    for (unsigned i = 0; i < USES / 10; i++) {
        hf_buf_clear(out);
        assert_ok(&op, hf_use_encrypt(world.keys, &op, RING, "b-7", HF_LATEST, HF_BYTES_NONE,
                                      hf_bytes_of(zeros, 32), out));
    }
    print("encrypt 32 bytes, hot", (double)(now_ns() - start) / (USES / 10.0), "ns");
    start = now_ns();
    for (unsigned i = 0; i < USES / 10; i++) {
        HF_AUTO(secret) plain = NULL;

        assert_ok(&op, hf_use_decrypt(world.keys, &op, RING, "b-7", HF_BYTES_NONE,
                                      hf_buf_bytes(out), &plain, &version));
    }
    print("decrypt 32 bytes, hot", (double)(now_ns() - start) / (USES / 10.0), "ns");
}

static void bench_usage(void)
{
    struct hf_env system;
    struct hf_op op = world_op(1);
    uint64_t start = 0;
    static char names[1000][16];

    hf_env_system(&system);
    op.env = &system;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(names[i], sizeof names[i], "b-%u", i);
    }
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        hf_usage_count(world.keys, &op, RING, "b-7", 1, "cert:CN=nn1", 0, 1);
    }
    print("count a use, one version", (double)(now_ns() - start) / USES, "ns");
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        hf_usage_count(world.keys, &op, RING, names[i % 1000], 1, "cert:CN=nn1", 0, 1);
    }
    print("count a use, 1000 versions in turn", (double)(now_ns() - start) / USES, "ns");
    start = now_ns();
    for (unsigned i = 0; i < USES; i++) {
        (void)hf_env_realtime_ms(&system);
    }
    print("of which the clock", (double)(now_ns() - start) / USES, "ns");
}

/* --- loading --- */

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void feed(struct hf_keys *keys, enum hf_kind kind, const char *path, struct hf_bytes plain)
{
    struct hf_opened_view view = { .kind = kind, .path = path, .revision = 1, .plain = plain };

    for (size_t i = 0; i < HF_COUNT(keys->consumers); i++) {
        if (keys->consumers[i].kind == kind) {
            assert_ok(&world.op, keys->consumers[i].apply(keys, &world.op, &view));
        }
    }
}

/* Names as an administrator gives them: 20 bytes. */
static void feed_keys(struct hf_keys *keys, unsigned count)
{
    HF_AUTO(buf) content = hf_buf_new();
    struct hf_key_record record = {
        .algorithm = HF_ALG_AES_256, .first_version = 1, .next_version = 2, .primary = 1
    };

    hf_key_record_encode(&record, content);
    for (unsigned i = 0; i < count; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "key/ring/warehouse-zone%06u", i);
        feed(keys, HF_KIND_KEY, path, hf_buf_bytes(content));
    }
}

static void feed_versions(struct hf_keys *keys, unsigned count, unsigned per_key)
{
    HF_AUTO(buf) content = hf_buf_new();
    uint8_t blob[BLOB] = { 1 };
    struct hf_version_record record = { .state = HF_KEY_ACTIVE,
                                        .wrapped = hf_bytes_of(blob, sizeof blob) };

    hf_version_record_encode(&record, content);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 1; j <= per_key; j++) {
            char path[64];

            (void)snprintf(path, sizeof path, "version/ring/warehouse-zone%06u/%010u", i, j);
            feed(keys, HF_KIND_VERSION, path, hf_buf_bytes(content));
        }
    }
}

/* What making the paths takes, which is no part of loading. */
static uint64_t paths_ns(unsigned count)
{
    uint64_t start = now_ns();
    size_t len = 0;

    for (unsigned i = 0; i < count; i++) {
        char path[64];

        len += (size_t)snprintf(path, sizeof path, "version/ring/warehouse-zone%06u/%010u", i, 1u);
    }
    assert_true(len > 0);
    return now_ns() - start;
}

static void bench_load(unsigned count, unsigned per_key)
{
    HF_AUTO(keys) keys = hf_keys_new(world.seal, 10);
    size_t before = heap_bytes();
    size_t middle = 0;
    uint64_t start = now_ns();
    uint64_t keys_ns = 0;
    uint64_t versions_ns = 0;

    feed_keys(keys, count);
    keys_ns = now_ns() - start;
    middle = heap_bytes();
    start = now_ns();
    feed_versions(keys, count, per_key);
    versions_ns = now_ns() - start;
    (void)printf("%u keys of %u version(s):\n", count, per_key);
    print("bytes per key", (double)(middle - before) / count, "B");
    print("bytes per version", (double)(heap_bytes() - middle) / count / per_key, "B");
    assert_true(middle - before <= (size_t)count * 150);
    assert_true(heap_bytes() - middle <= (size_t)count * per_key * 250);
    print("load a key, 10 lanes", (double)(keys_ns - paths_ns(count)) / count / 1000, "us");
    print("load a version, 10 lanes",
          (double)(versions_ns - paths_ns(count * per_key)) / count / per_key / 1000, "us");
}

static void no_name(void *context, const char *name)
{
    (void)name;
    (*(size_t *)context)++;
}

static void bench_names(void)
{
    struct hf_op op = world_op(1);
    size_t count = 0;
    uint64_t start = 0;

    feed_keys(world.keys, LOADED);
    start = now_ns();
    for (unsigned i = 0; i < 1000; i++) {
        char after[32];

        (void)snprintf(after, sizeof after, "warehouse-zone%06u", i * 997);
        assert_ok(&op, hf_key_names(world.keys, &op, RING, false, after, 100, no_name, &count));
    }
    assert_int_equal(count, 100000);
    print("a page of 100 of a million names", (double)(now_ns() - start) / 1000 / 1000, "us");
    start = now_ns();
    assert_ok(&op, hf_key_names(world.keys, &op, RING, false, NULL, SIZE_MAX, no_name, &count));
    print("a million names", (double)(now_ns() - start) / 1000 / 1000, "ms");
}

static void figures(void **unused)
{
    (void)unused;
    bench_bare();
    bench_hadoop();
    bench_threads();
    bench_cold();
    bench_ciphertext();
    bench_usage();
    bench_names();
    hf_seal_lock(world.seal);
    malloc_trim(0);
    bench_load(100000, 1);
    bench_load(LOADED, 1);
    bench_load(10000, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(figures) };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
