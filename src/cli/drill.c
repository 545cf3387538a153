/* holdfast drill, drill verify, what-if. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "service/receipt.h"

#define TIMEOUT_MS ((uint64_t)4 * 3600 * 1000)
#define POLL_MS    200
#define BAR_WIDTH  40

/* --- progress --- */

struct watch {
    struct cli cli; /* of its own: an operation belongs to one thread */
    pthread_t thread;
    pthread_mutex_t lock; /* guards done */
    pthread_cond_t end;
    bool done;
    bool runs;
};

static void draw(const struct hf_json *progress, struct hf_op *op)
{
    static const char full[] = "########################################";
    uint64_t slots = 0;
    uint64_t slots_done = 0;
    uint64_t versions = 0;
    uint64_t done = 0;
    int width = 0;

    if (hf_json_u64_or(op, progress, "slots", 0, &slots).code != HF_OK ||
        hf_json_u64_or(op, progress, "slots_done", 0, &slots_done).code != HF_OK ||
        hf_json_u64_or(op, progress, "versions", 0, &versions).code != HF_OK ||
        hf_json_u64_or(op, progress, "versions_done", 0, &done).code != HF_OK || slots == 0) {
        hf_op_clear(op);
        return;
    }
    width = versions > 0 ? (int)(done * BAR_WIDTH / versions) : 0;
    (void)fprintf(stderr, "\rslot %llu of %llu  [%-*.*s]  %llu of %llu key versions  ",
                  (unsigned long long)slots_done + 1, (unsigned long long)slots, BAR_WIDTH, width,
                  full, (unsigned long long)done, (unsigned long long)versions);
}

static void look(struct cli *cli)
{
    HF_AUTO(buf) answer = hf_buf_new();
    HF_AUTO(json) progress = NULL;

    if (cli_fetch(cli, "GET", "/api/v1/drill/progress", HF_BYTES_NONE, answer).code == HF_OK &&
        hf_json_parse(&cli->op, hf_buf_bytes(answer), &progress).code == HF_OK) {
        draw(progress, &cli->op);
    }
    hf_op_clear(&cli->op);
}

static bool wait_for_end(struct watch *watch)
{
    struct timespec until;
    bool done;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&watch->lock);
    while (!watch->done &&
           pthread_cond_clockwait(&watch->end, &watch->lock, CLOCK_MONOTONIC, &until) == 0) {
    }
    done = watch->done;
    pthread_mutex_unlock(&watch->lock);
    return done;
}

static void *watch_drill(void *context)
{
    struct watch *watch = context;

    while (!wait_for_end(watch)) {
        look(&watch->cli);
    }
    (void)fprintf(stderr, "\r%*s\r", BAR_WIDTH + 60, "");
    return NULL;
}

/* For people only: it says nothing that the result does not. */
static void begin_watch(struct watch *watch, const struct cli *cli)
{
    if (cli->json || !isatty(STDERR_FILENO)) {
        return;
    }
    watch->cli = *cli;
    watch->cli.timeout_ms = 0;
    (void)pthread_mutex_init(&watch->lock, NULL);
    (void)pthread_cond_init(&watch->end, NULL);
    watch->runs = pthread_create(&watch->thread, NULL, watch_drill, watch) == 0;
}

static void end_watch(struct watch *watch)
{
    if (!watch->runs) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    watch->done = true;
    pthread_cond_signal(&watch->end);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
}

/* --- the result --- */

static struct hf_status print_failures(struct cli *cli, const struct hf_json *drill)
{
    static const struct cli_column columns[] = { { "DOES NOT OPEN", "what" },
                                                 { "NODE", "node" },
                                                 { "SLOT", "slot" },
                                                 { "CAUSE", "cause" },
                                                 { "RECORD", "record" } };
    const struct hf_json *failed = NULL;

    HF_TRY(hf_json_array_or(&cli->op, drill, "failed", &failed));
    if (failed != NULL && hf_json_count(failed) > 0) {
        cli_print("\n");
        cli_print_table(failed, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

/* Why a slot does not open, or what is wrong with the store, in the node's words. */
static struct hf_status print_texts(struct cli *cli, const struct hf_json *cells)
{
    for (size_t i = 0; i < hf_json_count(cells); i++) {
        const struct hf_json *cell = hf_json_at(cells, i);
        const char *text = NULL;
        const char *slot = NULL;
        const char *node = NULL;

        HF_TRY(hf_json_text_or(&cli->op, cell, "text", "", &text));
        HF_TRY(hf_json_text(&cli->op, cell, "slot", &slot));
        HF_TRY(hf_json_text(&cli->op, cell, "node", &node));
        if (text[0] != '\0') {
            cli_print("\nnode %s, slot %s: %s\n", node, slot, text);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status print_drill(struct cli *cli, const struct hf_json *drill)
{
    static const struct cli_column columns[] = {
        { "NODE", "node" },     { "SITE", "site" },       { "SLOT", "slot" },
        { "RESULT", "result" }, { "PROVEN", "proven" },   { "VERSIONS", "versions" },
        { "FAILED", "failed" }, { "RECORDS", "records" }, { "DAMAGED", "damaged" },
    };
    static const struct cli_column keyrings[] = { { "KEYRING", "keyring" },
                                                  { "VERSIONS", "versions" },
                                                  { "FAILED", "failed" },
                                                  { "WAYS", "ways" },
                                                  { "WANTED", "wanted" } };
    const struct hf_json *cells = NULL;
    const struct hf_json *rings = NULL;
    const char *light = NULL;

    HF_TRY(hf_json_array_or(&cli->op, drill, "cells", &cells));
    HF_TRY(hf_json_array_or(&cli->op, drill, "keyrings", &rings));
    HF_TRY(hf_json_text(&cli->op, drill, "light", &light));
    cli_print_table(cells, columns, HF_COUNT(columns));
    cli_print("\n");
    cli_print_table(rings, keyrings, HF_COUNT(keyrings));
    HF_TRY(print_failures(cli, drill));
    HF_TRY(print_texts(cli, cells));
    cli_print("\n%s\n", strcmp(light, "green") == 0 ? "green: everything opens"
                        : strcmp(light, "amber") == 0
                            ? "amber: everything opens, in fewer independent ways than wanted"
                            : "red: something does not open");
    return HF_SUCCESS;
}

static struct hf_status take_result(struct cli *cli, const struct hf_json *drill)
{
    const char *light = NULL;

    HF_TRY(hf_json_text(&cli->op, drill, "light", &light));
    if (strcmp(light, "green") != 0) {
        cli->result = strcmp(light, "amber") == 0 ? CLI_AMBER : CLI_BAD;
    }
    return HF_SUCCESS;
}

static struct hf_status write_receipt(struct cli *cli, const struct hf_buf *receipt)
{
    const char *file = cli_option(cli, "receipt");
    FILE *stream;
    bool written;

    if (file == NULL) {
        return HF_SUCCESS;
    }
    stream = fopen(file, "we");
    if (stream == NULL) {
        return hf_fail(&cli->op, HF_UNAVAILABLE, "cannot write %s", file);
    }
    written = fwrite(receipt->data, 1, receipt->len, stream) == receipt->len &&
              fputc('\n', stream) == '\n';
    if (fclose(stream) != 0 || !written) {
        return hf_fail(&cli->op, HF_NO_SPACE, "%s could not be written in full", file);
    }
    return HF_SUCCESS;
}

static struct hf_status ask(struct cli *cli, struct hf_buf *out)
{
    struct watch watch = { .runs = false };
    HF_AUTO(buf) body = hf_buf_new();
    struct hf_json_writer writer;
    struct hf_status status;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    if (cli_option(cli, "keyring") != NULL) {
        hf_json_put_text(&writer, "keyring", cli_option(cli, "keyring"));
    }
    hf_json_close_object(&writer);
    cli->timeout_ms = TIMEOUT_MS;
    begin_watch(&watch, cli);
    status = cli_fetch(cli, "POST", "/api/v1/drill", hf_buf_bytes(body), out);
    end_watch(&watch);
    return status;
}

static struct hf_status drill(struct cli *cli)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(json) json = NULL;
    const struct hf_json *found = NULL;

    HF_TRY(ask(cli, receipt));
    HF_TRY(write_receipt(cli, receipt));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(receipt), &json));
    HF_TRY(hf_json_object_or(&cli->op, json, "drill", &found));
    if (found == NULL) {
        return hf_fail(&cli->op, HF_INTERNAL, "the node's answer is no receipt");
    }
    HF_TRY(take_result(cli, found));
    if (cli->json) {
        cli_print("%s\n", hf_buf_text(receipt));
        return HF_SUCCESS;
    }
    return print_drill(cli, found);
}

static struct hf_status drill_verify(struct cli *cli)
{
    const char *given_key = cli_option(cli, "public-key");
    HF_AUTO_STRING key_file =
        given_key != NULL ? hf_strdup(given_key) : hf_format("%s/audit.pub", cli_directory(cli));
    HF_AUTO(crypto) crypto = NULL;
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(buf) key = hf_buf_new();
    HF_AUTO(json) json = NULL;
    const struct hf_json *found = NULL;

    HF_TRY(hf_crypto_start(&cli->op));
    HF_TRY(hf_crypto_new(&cli->op, &crypto));
    HF_TRY(cli_read_file(cli, cli->words[0], receipt));
    HF_TRY(cli_read_file(cli, key_file, key));
    HF_TRY(hf_receipt_verify(crypto, &cli->op, hf_buf_bytes(receipt), hf_buf_bytes(key)));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(receipt), &json));
    HF_TRY(hf_json_object_or(&cli->op, json, "drill", &found));
    if (cli->json) {
        cli_print("{\"signed\":true}\n");
        return HF_SUCCESS;
    }
    HF_TRY(print_drill(cli, found));
    cli_print("The receipt is as it was signed, by the key of %s.\n", key_file);
    return HF_SUCCESS;
}

/* --- what-if --- */

static void put_losses(const struct cli *cli, struct hf_buf *body)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    hf_json_open_array(&writer, "lose");
    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, "lose") == 0) {
            hf_json_put_text(&writer, NULL, cli->options[i].value);
        }
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
}

static struct hf_status print_what_if(struct cli *cli, const struct hf_json *answer)
{
    static const struct cli_column columns[] = { { "KEYRING", "keyring" },
                                                 { "VERSIONS", "versions" },
                                                 { "UNREADABLE", "unreadable" },
                                                 { "ONLY BY PEOPLE", "people_only" } };
    const struct hf_json *keyrings = NULL;
    bool opens = false;

    HF_TRY(hf_json_array_or(&cli->op, answer, "keyrings", &keyrings));
    HF_TRY(hf_json_bool_or(&cli->op, answer, "opens", false, &opens));
    cli_print_table(keyrings, columns, HF_COUNT(columns));
    for (size_t i = 0; i < hf_json_count(keyrings); i++) {
        const struct hf_json *named = NULL;

        HF_TRY(hf_json_array_or(&cli->op, hf_json_at(keyrings, i), "named", &named));
        for (size_t j = 0; opens && j < hf_json_count(named); j++) {
            cli_print("unreadable: ");
            cli_print_name(hf_json_string(hf_json_at(named, j)));
        }
    }
    cli_print("\n%s\n", opens ? "The store still opens." : "Nothing opens the store any more.");
    return HF_SUCCESS;
}

static struct hf_status print_things(struct cli *cli, const struct hf_json *answer,
                                     const char *name, const char *says, const char *otherwise)
{
    const struct hf_json *things = NULL;

    HF_TRY(hf_json_array_or(&cli->op, answer, name, &things));
    if (hf_json_count(things) == 0) {
        cli_print("%s\n", otherwise);
        return HF_SUCCESS;
    }
    cli_print("%s:\n", says);
    for (size_t i = 0; i < hf_json_count(things); i++) {
        cli_print("    ");
        cli_print_name(hf_json_string(hf_json_at(things, i)));
    }
    return HF_SUCCESS;
}

static struct hf_status min_cut(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    if (cli->word_count > 0) {
        hf_json_put_text(&writer, "what", cli->words[0]);
    }
    hf_json_close_object(&writer);
    HF_TRY(cli_call(cli, "POST", "/api/v1/min-cut", hf_buf_bytes(body), &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(print_things(cli, answer, "ends", "The fewest losses that end it",
                        "Nothing has been proven to open it, so no loss is needed."));
    return print_things(cli, answer, "needs_people_after",
                        "The fewest losses after which it needs a person",
                        "It needs a person already.");
}

static struct hf_status what_if(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(buf) answer = hf_buf_new();
    HF_AUTO(json) json = NULL;
    uint64_t unreadable = 0;
    uint64_t people_only = 0;

    if (cli_flag(cli, "min-cut") == (cli_option(cli, "lose") != NULL)) {
        return hf_fail(&cli->op, HF_INVALID, "say what is lost, with --lose, or ask for --min-cut");
    }
    if (cli_flag(cli, "min-cut")) {
        return min_cut(cli);
    }
    if (cli->word_count > 0) {
        return hf_fail(&cli->op, HF_INVALID, "a key goes with --min-cut only");
    }
    put_losses(cli, body);
    HF_TRY(cli_fetch(cli, "POST", "/api/v1/what-if", hf_buf_bytes(body), answer));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(answer), &json));
    HF_TRY(hf_json_u64_or(&cli->op, json, "unreadable", 0, &unreadable));
    HF_TRY(hf_json_u64_or(&cli->op, json, "people_only", 0, &people_only));
    if (unreadable > 0 || people_only > 0) {
        cli->result = unreadable > 0 ? CLI_BAD : CLI_AMBER;
    }
    if (cli->json) {
        cli_print("%s\n", hf_buf_text(answer));
        return HF_SUCCESS;
    }
    return print_what_if(cli, json);
}

const struct command cli_drill_commands[] = {
    { "drill", "verify", "FILE",
      "public-key=", "Checks, without a node, that a receipt is as the node signed it.",
      "holdfast --dir /srv/holdfast drill verify receipt.json", drill_verify },
    { "drill", NULL, "", "keyring=|receipt=",
      "Opens every key version through every slot that needs no person, and says what opened.",
      "holdfast --dir /srv/holdfast drill --receipt receipt.json", drill },
    { "what-if", NULL, "[KEYRING/KEY[@VERSION]]", "lose=|min-cut",
      "Lists what losses of nodes, slots or sites would make unreadable, or the fewest that end a "
      "key.",
      "holdfast --dir /srv/holdfast what-if --lose node:node-1 --lose slot:offline", what_if },
    { 0 },
};
