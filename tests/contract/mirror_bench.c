/*
 * How fast a mirror makes its copy from nothing, follows, and starts again, over a store of SQLite
 * or, run by tests/cluster/with_postgres, of PostgreSQL.
 *
 * Usage: mirror_bench [records [directory]]. Prints one line per figure: name, value, unit, goal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/store.h"
#include "store_database.h"

#define BODY_LEN  300
#define PER_BATCH 500
#define SINGLE    2000

struct bench {
    struct hf_env env;
    struct hf_op op;
    struct hf_store_settings settings;
    uint64_t records;
};

static void must(struct bench *bench, struct hf_status status)
{
    if (status.code != HF_OK) {
        (void)fprintf(stderr, "mirror_bench: %s\n", bench->op.text);
        exit(1);
    }
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void show(const char *name, double value, const char *unit, const char *goal)
{
    (void)printf("%-34s %12.2f %-10s %s\n", name, value, unit, goal);
    (void)fflush(stdout);
}

/* Random paths, so that the pages written are as scattered as for keys of many names. */
static void apply(struct bench *bench, struct hf_engine *engine, size_t count)
{
    static const uint8_t body[BODY_LEN] = { 1 };
    static char paths[PER_BATCH][40];
    static struct hf_change changes[PER_BATCH];
    struct hf_batch batch = { .principal = "cert:bench",
                              .changes = changes,
                              .count = count,
                              .note = hf_bytes_of(body, 200),
                              .result = hf_bytes_of(body, 100) };
    struct hf_commit commit;

    for (size_t i = 0; i < count; i++) {
        uint64_t number[2];

        hf_env_random(&bench->env, number, sizeof number);
        (void)snprintf(paths[i], sizeof paths[i], "%016" PRIx64 "%016" PRIx64, number[0],
                       number[1]);
        changes[i] = (struct hf_change){ .path = paths[i], .body = hf_bytes_of(body, BODY_LEN) };
    }
    hf_env_random(&bench->env, &batch.request_id, sizeof batch.request_id);
    hf_commit_init(&commit);
    must(bench, hf_engine_apply(engine, &bench->op, &batch, &commit));
    hf_commit_done(&commit);
}

static void fill(struct bench *bench, struct hf_engine *engine, uint64_t records)
{
    for (uint64_t done = 0; done < records; done += PER_BATCH) {
        apply(bench, engine, PER_BATCH);
    }
}

static struct hf_engine *open_store(struct bench *bench, const char *mirror, bool create)
{
    struct hf_store_settings settings = bench->settings;
    struct hf_engine *engine = NULL;

    settings.mirror = mirror;
    settings.create = create;
    must(bench, hf_engine_open(&bench->op, &settings, &engine));
    return engine;
}

static double follow(struct bench *bench, struct hf_engine *mirror)
{
    double began = seconds();
    uint64_t seq = 0;

    must(bench, hf_mirror_follow(mirror, &bench->op, &seq));
    return seconds() - began;
}

/* A store that is embedded is open once, so others follow it through one engine; see the tests. */
static void measure_following(struct bench *bench, struct hf_engine *mirror,
                              struct hf_engine *other)
{
    double took;

    fill(bench, other, bench->records);
    took = follow(bench, mirror);
    show("follow as many again", took, "s", "");
    show("follow, records", (double)bench->records / took, "/s", "");
    for (int i = 0; i < SINGLE; i++) {
        apply(bench, other, 1);
    }
    took = follow(bench, mirror);
    show("follow, commits of one record", SINGLE / took, "/s", "");
    show("look without news", follow(bench, mirror) * 1000, "ms", "");
}

static void measure_writes(struct bench *bench, struct hf_engine *engine, const char *name)
{
    double began = seconds();

    for (int i = 0; i < 500; i++) {
        apply(bench, engine, 1);
    }
    show(name, (seconds() - began) * 1000 / 500, "ms", "");
}

static void measure(struct bench *bench, const char *mirror)
{
    struct hf_engine *store = open_store(bench, NULL, true);
    struct hf_engine *copy;
    struct rusage usage;
    double began;

    fill(bench, store, bench->records);
    if (store_database() == NULL) {
        hf_engine_free(store);
        store = NULL;
    }
    began = seconds();
    copy = open_store(bench, mirror, false);
    show("copy from nothing", seconds() - began, "s", "goal < 60 for 1,000,000");
    if (store != NULL) {
        measure_following(bench, copy, store);
        measure_writes(bench, store, "commit, one caller, no mirror");
    }
    measure_writes(bench, copy, "commit, one caller, mirror");
    hf_engine_free(copy);
    began = seconds();
    copy = open_store(bench, mirror, false);
    show("open again", seconds() - began, "s", "goal < 3");
    hf_engine_free(copy);
    hf_engine_free(store);
    (void)getrusage(RUSAGE_SELF, &usage);
    show("memory of the process at most", (double)usage.ru_maxrss / 1024, "MiB", "");
}

int main(int argc, char **argv)
{
    const char *parent = argc > 2 ? argv[2] : "/tmp";
    HF_AUTO_STRING root = hf_format("%s/holdfast-mirror-XXXXXX", parent);
    HF_AUTO_STRING remove_all = NULL;
    HF_AUTO_STRING directory = NULL;
    HF_AUTO_STRING mirror = NULL;
    HF_AUTO_STRING host = NULL;
    struct bench bench = { .records = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000 };

    if (mkdtemp(root) == NULL) {
        perror(root);
        return 1;
    }
    remove_all = hf_format("rm -rf '%s'", root);
    directory = hf_format("%s/store", root);
    mirror = hf_format("%s/mirror", root);
    host = store_database() != NULL ? store_database_of(directory) : NULL;
    hf_env_system(&bench.env);
    hf_op_init(&bench.op, &bench.env);
    bench.settings = (struct hf_store_settings){
        .engine = host != NULL ? "postgres" : "sqlite",
        .directory = directory,
        .hosts = (const char *const[]){ host, NULL },
    };
    measure(&bench, mirror);
    return system(remove_all) == 0 ? 0 : 1;
}
