/*
 * How fast batches of two records commit, next to bare SQLite at one row a commit, in one run.
 *
 * Usage: store_bench [directory] [rounds] [milliseconds a round]. Prints one line per figure: name,
 * value, unit, ratio to bare SQLite (median of the ratios inside each round), goal.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/store.h"

#define BODY_LEN    500
#define ROUNDS_MAX  99
#define CALLERS_MAX 128

struct bench {
    const char *directory;
    uint64_t round_ms;
    struct hf_env env;
    struct hf_engine *engine;
    sqlite3 *bare;
    sqlite3_stmt *insert;
    atomic_bool stop;
    atomic_uint_fast64_t commits;
};

struct caller {
    struct bench *bench;
    pthread_t thread;
};

static double seconds(void)
{
    struct timespec now;

    hf_assert(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Random, so that the pages written are as scattered as for keys of many names. */
static void random_path(struct bench *bench, const char *prefix, char out[64])
{
    uint64_t number[2];

    hf_env_random(&bench->env, number, sizeof number);
    (void)snprintf(out, 64, "%s%016" PRIx64 "%04x", prefix, number[0],
                   (unsigned)(number[1] & 0xffff));
}

static struct hf_status link_nothing(void *context, struct hf_op *op, uint64_t seq,
                                     struct hf_bytes head, struct hf_bytes note,
                                     struct hf_linked *changes, size_t count,
                                     struct hf_buf *out_head)
{
    static const uint8_t next[160];

    (void)context;
    (void)op;
    (void)seq;
    (void)head;
    (void)note;
    (void)changes;
    (void)count;
    hf_buf_add(out_head, next, sizeof next);
    return HF_SUCCESS;
}

static void apply_two(struct bench *bench, struct hf_op *op)
{
    static const struct hf_linker linker = { link_nothing, NULL };
    static const uint8_t body[BODY_LEN] = { 1 };
    char paths[2][64];
    struct hf_change changes[2] = { { .path = paths[0], .body = hf_bytes_of(body, sizeof body) },
                                    { .path = paths[1], .body = hf_bytes_of(body, sizeof body) } };
    struct hf_batch batch = { .principal = "cert:bench",
                              .changes = changes,
                              .count = 2,
                              .note = hf_bytes_of(body, 200),
                              .result = hf_bytes_of(body, 100),
                              .linker = &linker };
    struct hf_commit commit;

    random_path(bench, "key/", paths[0]);
    (void)snprintf(paths[1], sizeof paths[1], "%.50s/1", paths[0]);
    hf_env_random(&bench->env, &batch.request_id, sizeof batch.request_id);
    hf_commit_init(&commit);
    if (hf_engine_apply(bench->engine, op, &batch, &commit).code != HF_OK) {
        (void)fprintf(stderr, "%s\n", op->text);
        exit(1);
    }
    hf_commit_done(&commit);
}

static void *call(void *context)
{
    struct bench *bench = ((struct caller *)context)->bench;
    struct hf_op op;

    hf_op_init(&op, &bench->env);
    while (!atomic_load(&bench->stop)) {
        apply_two(bench, &op);
        atomic_fetch_add(&bench->commits, 1);
    }
    return NULL;
}

/* Batches a second of that many callers. */
static double run_callers(struct bench *bench, size_t count)
{
    struct caller callers[CALLERS_MAX];
    struct timespec pause = { (time_t)(bench->round_ms / 1000),
                              (long)(bench->round_ms % 1000) * 1000000 };
    double began = seconds();

    atomic_store(&bench->stop, false);
    atomic_store(&bench->commits, 0);
    for (size_t i = 0; i < count; i++) {
        callers[i].bench = bench;
        hf_assert(pthread_create(&callers[i].thread, NULL, call, &callers[i]) == 0);
    }
    (void)nanosleep(&pause, NULL);
    atomic_store(&bench->stop, true);
    for (size_t i = 0; i < count; i++) {
        hf_assert(pthread_join(callers[i].thread, NULL) == 0);
    }
    return (double)atomic_load(&bench->commits) / (seconds() - began);
}

/* Rows a second of one connection in WAL mode with FULL, as a program would do it without thought.
 */
static double run_bare(struct bench *bench)
{
    static const uint8_t body[BODY_LEN] = { 1 };
    double began = seconds();
    uint64_t rows = 0;

    while (seconds() - began < (double)bench->round_ms / 1000) {
        char path[64];

        random_path(bench, "", path);
        hf_assert(sqlite3_bind_text(bench->insert, 1, path, -1, SQLITE_STATIC) == SQLITE_OK);
        hf_assert(sqlite3_bind_blob(bench->insert, 2, body, BODY_LEN, SQLITE_STATIC) == SQLITE_OK);
        hf_assert(sqlite3_step(bench->insert) == SQLITE_DONE);
        hf_assert(sqlite3_reset(bench->insert) == SQLITE_OK);
        rows++;
    }
    return (double)rows / (seconds() - began);
}

static void open_all(struct bench *bench)
{
    HF_AUTO_STRING bare = hf_format("%s/bare.db", bench->directory);
    HF_AUTO_STRING store = hf_format("%s/store", bench->directory);
    struct hf_store_settings settings = { .engine = "sqlite", .directory = store, .create = true };
    struct hf_op op;

    hf_env_system(&bench->env);
    hf_op_init(&op, &bench->env);
    if (hf_engine_open(&op, &settings, &bench->engine).code != HF_OK) {
        (void)fprintf(stderr, "%s\n", op.text);
        exit(1);
    }
    hf_assert(sqlite3_open(bare, &bench->bare) == SQLITE_OK);
    hf_assert(sqlite3_exec(bench->bare,
                           "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                           "CREATE TABLE row (path TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID",
                           NULL, NULL, NULL) == SQLITE_OK);
    hf_assert(sqlite3_prepare_v2(bench->bare, "INSERT INTO row VALUES (?, ?)", -1, &bench->insert,
                                 NULL) == SQLITE_OK);
}

static void close_all(struct bench *bench)
{
    hf_assert(sqlite3_finalize(bench->insert) == SQLITE_OK);
    hf_assert(sqlite3_close(bench->bare) == SQLITE_OK);
    hf_engine_free(bench->engine);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static const struct {
    const char *name;
    size_t callers;
    const char *goal;
} figures[] = {
    { "store apply, 1 caller", 1, "0.45" },
    { "store apply, 8 callers", 8, "-" },
    { "store apply, 32 callers", 32, "1.80" },
    { "store apply, 128 callers", 128, "-" },
};

int main(int argc, char **argv)
{
    static double rates[HF_COUNT(figures)][ROUNDS_MAX];
    static double ratios[HF_COUNT(figures)][ROUNDS_MAX];
    static double bare[ROUNDS_MAX];
    char temporary[] = "/tmp/holdfast-bench-XXXXXX";
    struct bench bench = { .directory = argc > 1 ? argv[1] : mkdtemp(temporary) };
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 5;
    size_t count = rounds > 0 && rounds <= ROUNDS_MAX ? (size_t)rounds : 5;

    bench.round_ms = argc > 3 ? (uint64_t)strtol(argv[3], NULL, 10) : 1000;
    open_all(&bench);
    for (size_t round = 0; round < count; round++) {
        bare[round] = run_bare(&bench);
        for (size_t i = 0; i < HF_COUNT(figures); i++) {
            rates[i][round] = run_callers(&bench, figures[i].callers);
            ratios[i][round] = rates[i][round] / bare[round];
        }
    }
    close_all(&bench);
    (void)printf("bare SQLite, 1 row a commit\t%.0f\trows/s\t1.00\t-\n", median(bare, count));
    for (size_t i = 0; i < HF_COUNT(figures); i++) {
        (void)printf("%s\t%.0f\tbatches/s\t%.2f\t%s\n", figures[i].name, median(rates[i], count),
                     median(ratios[i], count), figures[i].goal);
    }
    return 0;
}
