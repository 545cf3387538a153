/* holdfast bench. */
#include "cli/bench.h"

#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"

#define SAMPLES_MAX 1000000

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

struct result {
    const char *what;
    double per_second;
    uint64_t median_ns, high_ns; /* of half and of 99 % of the calls */
    size_t calls;
};

static void print_json(const struct result *result)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "what", result->what);
    hf_json_put_u64(&writer, "per_second", (uint64_t)result->per_second);
    hf_json_put_u64(&writer, "p50_ns", result->median_ns);
    hf_json_put_u64(&writer, "p99_ns", result->high_ns);
    hf_json_put_u64(&writer, "calls", result->calls);
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(out));
}

static void report(const struct cli *cli, const char *what, uint64_t *samples, size_t count,
                   uint64_t spent_ns)
{
    size_t median = count / 2;
    size_t high = count * 99 / 100;
    struct result result = { .what = what, .calls = count };

    qsort(samples, count, sizeof *samples, compare);
    result.per_second = (double)count * 1e9 / (double)spent_ns;
    result.median_ns = samples[median];
    result.high_ns = samples[high];
    if (cli->json) {
        print_json(&result);
        return;
    }
    cli_print("%-10s %8.0f /s   p50 %6.0f us   p99 %6.0f us   (%zu calls)\n", what,
              result.per_second, (double)result.median_ns / 1e3, (double)result.high_ns / 1e3,
              count);
}

/* One connection, as libcurl keeps it; the node's own cost is a part of what is seen. */
static struct hf_status repeat(struct cli *cli, struct hf_client *client, const char *what,
                               const char *path, struct hf_bytes body, uint64_t seconds,
                               struct hf_buf *last)
{
    uint64_t *samples = hf_alloc_array(SAMPLES_MAX, sizeof *samples);
    uint64_t start_ns = now_ns();
    struct hf_status status = HF_SUCCESS;
    size_t count = 0;

    while (status.code == HF_OK && count < SAMPLES_MAX &&
           now_ns() - start_ns < seconds * 1000000000) {
        uint64_t call_ns = now_ns();

        hf_buf_clear(last);
        status = hf_client_call(client, &cli->op, "POST", path, body, last);
        samples[count++] = now_ns() - call_ns;
    }
    if (status.code == HF_OK && count > 0) {
        report(cli, what, samples, count, now_ns() - start_ns);
    }
    free(samples);
    return status;
}

struct hf_status cli_bench(struct cli *cli)
{
    HF_AUTO(client) client = NULL;
    HF_AUTO(buf) answer = hf_buf_new();
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) made = NULL;
    HF_AUTO_STRING generate = NULL;
    HF_AUTO_STRING decrypt = NULL;
    const char *wrapped = NULL;
    uint64_t seconds = 0;

    HF_TRY(cli_number(cli, "seconds", 3, &seconds));
    if (seconds < 1 || seconds > 600) {
        return hf_fail(&cli->op, HF_INVALID, "--seconds must be from 1 to 600");
    }
    HF_TRY(cli_key_path(cli, cli->words[0], "/data-key", &generate));
    HF_TRY(cli_key_path(cli, cli->words[0], "/decrypt", &decrypt));
    HF_TRY(cli_connect(cli, &client));
    HF_TRY(repeat(cli, client, "generate", generate, hf_bytes_of_text("{}"), seconds, answer));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(answer), &made));
    HF_TRY(hf_json_text(&cli->op, made, "wrapped", &wrapped));
    hf_buf_add_format(body, "{\"ciphertext\":\"%s\"}", wrapped);
    return repeat(cli, client, "unwrap", decrypt, hf_buf_bytes(body), seconds, answer);
}
