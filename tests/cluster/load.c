/*
 * Writers on a store of the PostgreSQL engine, for tests that break its hosts under them. The
 * arguments are seconds, threads and connection strings, one per host. Each acknowledged write is
 * a line, "ack <milliseconds> <thread> <number> <seq>", written before the next one begins; the
 * test compares them with what the survivor holds. A line on standard input ends the load early.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/store.h"

#define MOST_THREADS 64
#define DEADLINE_MS  60000

struct load {
    struct hf_env env;
    struct hf_engine *engine;
    uint64_t until_ms;
    uint64_t begin_ms;
    atomic_bool stop;
};

struct writer {
    struct load *load;
    pthread_t thread;
    uint32_t number;
    size_t failures;
};

/* One record of its own path, under an id made of thread and number. */
static struct hf_status write_one(struct writer *writer, uint32_t number, struct hf_commit *commit)
{
    HF_AUTO_STRING path = hf_format("load/%u/%u", writer->number, number);
    HF_AUTO_STRING body = hf_format("%u %u", writer->number, number);
    struct hf_change change = { .path = path, .body = hf_bytes_of_text(body) };
    struct hf_batch batch = { .principal = "load", .changes = &change, .count = 1 };
    struct hf_op op;
    struct hf_status status;

    hf_op_init(&op, &writer->load->env);
    op.deadline_ms = hf_env_boottime_ms(op.env) + DEADLINE_MS;
    memcpy(batch.request_id.bytes, &writer->number, sizeof writer->number);
    memcpy(batch.request_id.bytes + 4, &number, sizeof number);
    memcpy(batch.digest, batch.request_id.bytes, sizeof batch.request_id.bytes);
    batch.result = hf_bytes_of_text(body);
    status = hf_engine_apply(writer->load->engine, &op, &batch, commit);
    if (status.code != HF_OK) {
        printf("fail %u %u %s: %s\n", writer->number, number, hf_code_name(status.code), op.text);
    }
    return status;
}

static void *write_on(void *context)
{
    struct writer *writer = context;
    struct load *load = writer->load;

    for (uint32_t number = 1; !atomic_load(&load->stop); number++) {
        struct hf_commit commit;
        uint64_t now_ms;

        hf_commit_init(&commit);
        if (write_one(writer, number, &commit).code == HF_OK) {
            now_ms = hf_env_boottime_ms(&load->env) - load->begin_ms;
            printf("ack %" PRIu64 " %u %u %" PRIu64 "%s\n", now_ms, writer->number, number,
                   commit.seq, commit.repeated ? " repeated" : "");
        } else {
            writer->failures++;
        }
        hf_commit_done(&commit);
    }
    return NULL;
}

static void await_end(struct load *load)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    uint64_t now_ms = hf_env_boottime_ms(&load->env);

    if (now_ms < load->until_ms) {
        (void)poll(&input, 1, (int)(load->until_ms - now_ms));
    }
    atomic_store(&load->stop, true);
}

static size_t run(struct load *load, uint32_t threads)
{
    struct writer writers[MOST_THREADS];
    size_t failures = 0;

    for (uint32_t i = 0; i < threads; i++) {
        writers[i] = (struct writer){ .load = load, .number = i + 1 };
        if (pthread_create(&writers[i].thread, NULL, write_on, &writers[i]) != 0) {
            abort();
        }
    }
    await_end(load);
    for (uint32_t i = 0; i < threads; i++) {
        (void)pthread_join(writers[i].thread, NULL);
        failures += writers[i].failures;
    }
    return failures;
}

static int open_engine(struct load *load, char **hosts)
{
    struct hf_store_settings settings = {
        .engine = "postgres", .hosts = (const char *const *)hosts, .synchronous = 1, .create = true
    };
    struct hf_op op;
    struct hf_status status;

    hf_op_init(&op, &load->env);
    status = hf_engine_open(&op, &settings, &load->engine);
    if (status.code == HF_EXISTS) {
        settings.create = false;
        status = hf_engine_open(&op, &settings, &load->engine);
    }
    if (status.code != HF_OK) {
        printf("open: %s: %s\n", hf_code_name(status.code), op.text);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    HF_AUTO(buf) text = hf_buf_new();
    struct load load = { 0 };
    uint32_t threads;
    size_t failures;

    if (argc < 4) {
        (void)fprintf(stderr, "usage: load SECONDS THREADS CONNINFO...\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    threads = (uint32_t)strtoul(argv[2], NULL, 10);
    hf_env_system(&load.env);
    load.env.log = hf_log_new(STDERR_FILENO, HF_LOG_TEXT, HF_LOG_INFO);
    load.env.metrics = hf_metrics_new();
    if (threads == 0 || threads > MOST_THREADS || open_engine(&load, argv + 3) != 0) {
        return 2;
    }
    printf("ready\n");
    load.begin_ms = hf_env_boottime_ms(&load.env);
    load.until_ms = load.begin_ms + strtoull(argv[1], NULL, 10) * 1000;
    failures = run(&load, threads);
    hf_engine_free(load.engine);
    hf_metrics_write(load.env.metrics, text);
    printf("%s", hf_buf_text(text));
    hf_metrics_free(load.env.metrics);
    hf_log_free(load.env.log);
    return failures == 0 ? 0 : 1;
}
