/*
 * What the seal costs: microseconds per record at unlock beside a bare walk over the same store,
 * and per wrap, unwrap and commit. Run it from a release build:
 *
 *     bench-seal [records] [sqlite|memory]
 */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH       2000
#define CONTENT_LEN 200
#define LOOPS       200000

struct clock {
    double wall_us;
    double cpu_us;
};

static double us_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct clock now(void)
{
    return (struct clock){ us_of(CLOCK_MONOTONIC), us_of(CLOCK_PROCESS_CPUTIME_ID) };
}

static void report(const char *what, struct clock start, size_t count)
{
    struct clock end = now();

    printf("%-36s %9.3f us wall %9.3f us cpu   (%zu in %.2f s)\n", what,
           (end.wall_us - start.wall_us) / (double)count,
           (end.cpu_us - start.cpu_us) / (double)count, count, (end.wall_us - start.wall_us) / 1e6);
    (void)fflush(stdout);
}

static void require(struct hf_op *op, struct hf_status status)
{
    if (status.code != HF_OK) {
        (void)fprintf(stderr, "%s: %s\n", hf_code_name(status.code), op->text);
        exit(1);
    }
}

static struct hf_status touch(void *context, const struct hf_record_view *record)
{
    *(size_t *)context += record->body.len + strlen(record->path);
    return HF_SUCCESS;
}

static struct hf_status take(void *context, struct hf_op *op, const struct hf_opened_view *record)
{
    (void)op;
    *(size_t *)context += record->plain.len;
    return HF_SUCCESS;
}

static void fill(struct world *world, size_t records)
{
    uint8_t content[CONTENT_LEN];
    struct clock start = now();

    memset(content, 'c', sizeof content);
    for (size_t i = 0; i < records;) {
        HF_AUTO(txn) txn = NULL;
        struct hf_txn_commit commit;

        require(&world->op, hf_txn_new(world->seal, &world->op, &txn));
        for (size_t n = 0; n < BATCH && i < records; n++, i++) {
            HF_AUTO_STRING path = hf_format("version/sales/key-%07zu/0000000001", i);

            require(&world->op, hf_txn_put(txn, &world->op, HF_KIND_VERSION, path, 0,
                                           hf_bytes_of(content, sizeof content)));
        }
        require(&world->op, hf_txn_commit(txn, &world->op, &commit));
    }
    report("write, per record in batches of 2000", start, records);
}

static void unlock(struct world *world, size_t records)
{
    size_t bytes = 0;
    struct hf_consumer consumer = { .kind = HF_KIND_VERSION, .apply = take, .context = &bytes };
    struct clock start;

    /* As a daemon does every second; else the first unlock walks the whole log from the old pin. */
    require(&world->op, hf_seal_pin(world->seal, &world->op));
    world_reopen(world);
    hf_seal_add_consumer(world->seal, &consumer);
    for (int i = 0; i < 3; i++) {
        start = now();
        require(&world->op, hf_engine_list(world->engine, &world->op, "", NULL, touch, &bytes));
        report("bare walk, per record", start, records);
        start = now();
        require(&world->op, world_unlock(world));
        report("unlock, per record", start, records);
        hf_seal_lock(world->seal);
    }
    require(&world->op, world_unlock(world));
}

static void wrap(struct world *world)
{
    static const struct hf_wrap_place place = { "sales", "version/sales/orders/0000000001", 1 };
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(secret) material = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_txn_commit commit;
    struct clock start;
    struct hf_op *op = &world->op;

    require(op, hf_txn_new(world->seal, op, &txn));
    require(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    require(op, hf_txn_commit(txn, op, &commit));
    require(op, hf_random_secret(world->crypto, op, 32, &material));
    start = now();
    for (size_t i = 0; i < LOOPS; i++) {
        hf_buf_clear(wrapped);
        require(op, hf_seal_wrap(world->seal, op, &place, 1, material, wrapped));
    }
    report("wrap 32 bytes", start, LOOPS);
    start = now();
    for (size_t i = 0; i < LOOPS; i++) {
        HF_AUTO(secret) opened = NULL;

        require(op, hf_seal_unwrap(world->seal, op, &place, hf_buf_bytes(wrapped), &opened));
    }
    report("unwrap 32 bytes", start, LOOPS);
    start = now();
    for (size_t i = 0; i < LOOPS / 10; i++) {
        HF_AUTO(secret) subkey = NULL;

        require(op, hf_seal_subkey(world->seal, op, material, "use", &place, HF_BYTES_NONE, 32,
                                   &subkey));
    }
    report("subkey", start, LOOPS / 10);
    start = now();
    for (size_t i = 0; i < LOOPS; i++) {
        uint8_t check[HF_CHECK_VALUE_LEN];

        require(op, hf_seal_check_value(world->seal, op, hf_secret_bytes(material), check));
    }
    report("check value", start, LOOPS);
}

static void commit_one_by_one(struct world *world, size_t count)
{
    struct clock start = now();

    for (size_t i = 0; i < count; i++) {
        HF_AUTO_STRING path = hf_format("key/one/%zu", i);

        require(&world->op, world_put(world, HF_KIND_KEY, path, 0, "one record with some content"));
    }
    report("commit of one record", start, count);
}

static void use_sqlite(struct world *world)
{
    struct hf_store_settings settings = { .engine = "sqlite", .create = true };

    hf_engine_free(world->engine);
    settings.directory = world->directory;
    memset(settings.store_id, 0x11, sizeof settings.store_id);
    require(&world->op, hf_engine_open(&world->op, &settings, &world->engine));
}

int main(int argc, char **argv)
{
    size_t records = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 100000;
    struct rusage usage;
    void *state = NULL;
    struct world *world;

    world_start_process((size_t)64 << 20);
    world_setup_empty(&state);
    world = state;
    if (argc > 2 && strcmp(argv[2], "sqlite") == 0) {
        use_sqlite(world);
    }
    require(&world->op, world_create(world));
    fill(world, records);
    unlock(world, records);
    wrap(world);
    commit_one_by_one(world, 2000);
    getrusage(RUSAGE_SELF, &usage);
    printf("largest size in memory %ld MiB\n", usage.ru_maxrss / 1024);
    return world_teardown(&state);
}
