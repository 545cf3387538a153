/* holdfast drill, drill list, drill show, drill verify, what-if. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "protect/private_file.h"
#include "service/receipt.h"

#define POLL_MS   200
#define BAR_WIDTH 30

/* --- progress --- */

static uint64_t number_of(struct cli *cli, const struct hf_json *object, const char *name)
{
    uint64_t number = 0;

    if (hf_json_u64_or(&cli->op, object, name, 0, &number).code != HF_OK) {
        hf_op_clear(&cli->op);
    }
    return number;
}

static void draw_node(struct cli *cli, const struct hf_json *node)
{
    static const char full[] = "##############################";
    uint64_t versions = number_of(cli, node, "versions");
    uint64_t done = number_of(cli, node, "versions_done");
    uint64_t slots = number_of(cli, node, "slots");
    uint64_t slots_done = number_of(cli, node, "slots_done");
    HF_AUTO(buf) name = hf_buf_new();
    HF_AUTO(buf) state = hf_buf_new();
    bool is_done;
    int width;

    cli_add_value(name, node, "node");
    cli_add_value(state, node, "state");
    is_done = strcmp(hf_buf_text(state), "done") == 0;
    width = is_done ? BAR_WIDTH : versions > 0 ? (int)(done * BAR_WIDTH / versions) : 0;
    (void)fprintf(stderr,
                  "\033[K%-16.64s %-8.16s [%-*.*s]  slot %llu of %llu, %llu of %llu key "
                  "versions\n",
                  hf_buf_text(name), hf_buf_text(state), BAR_WIDTH, width, full,
                  (unsigned long long)(is_done || slots_done == slots ? slots : slots_done + 1),
                  (unsigned long long)slots, (unsigned long long)done,
                  (unsigned long long)versions);
}

/* For people only: it says nothing that the result does not. Gives the lines that it took. */
static size_t draw(struct cli *cli, const struct hf_json *progress, size_t lines)
{
    const struct hf_json *nodes = NULL;

    if (cli->json || !isatty(STDERR_FILENO) ||
        hf_json_array_or(&cli->op, progress, "nodes", &nodes).code != HF_OK) {
        hf_op_clear(&cli->op);
        return lines;
    }
    if (lines > 0) {
        (void)fprintf(stderr, "\033[%zuA", lines);
    }
    for (size_t i = 0; i < hf_json_count(nodes); i++) {
        draw_node(cli, hf_json_at(nodes, i));
    }
    return hf_json_count(nodes);
}

static void wipe(size_t lines)
{
    if (lines > 0) {
        (void)fprintf(stderr, "\033[%zuA\033[J", lines);
    }
}

static struct hf_status look(struct cli *cli, const char *id, size_t *lines, bool *out_ended)
{
    HF_AUTO_STRING path = hf_format("/api/v1/drill/%s", id);
    HF_AUTO(buf) answer = hf_buf_new();
    HF_AUTO(json) progress = NULL;
    const char *state = NULL;

    HF_TRY(cli_fetch(cli, "GET", path, HF_BYTES_NONE, answer));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(answer), &progress));
    HF_TRY(hf_json_text(&cli->op, progress, "state", &state));
    *lines = draw(cli, progress, *lines);
    *out_ended = strcmp(state, "ended") == 0;
    return HF_SUCCESS;
}

static struct hf_status watch(struct cli *cli, const char *id)
{
    const struct timespec pause = { 0, POLL_MS * 1000000L };
    size_t lines = 0;
    bool ended = false;
    struct hf_status status = look(cli, id, &lines, &ended);

    while (status.code == HF_OK && !ended) {
        (void)nanosleep(&pause, NULL);
        status = look(cli, id, &lines, &ended);
    }
    wipe(lines);
    return status;
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

/* Why a slot does not open, or what is wrong with the store, in the node's words; and what is
 * neither green nor red. */
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
        if (hf_json_has(cell, "unlisted")) {
            cli_print("\nnode %s, slot %s: %" PRIu64 " key versions are of keyrings that found no "
                      "room, so in how many ways they open is not known\n",
                      node, slot, number_of(cli, cell, "unlisted"));
        }
        if (hf_json_has(cell, "not_asked")) {
            HF_AUTO(buf) keyrings = hf_buf_new();

            cli_add_value(keyrings, cell, "not_asked");
            cli_print("\nnode %s, slot %s: not asked for what other nodes serve: %s\n", node, slot,
                      hf_buf_text(keyrings));
        }
    }
    return HF_SUCCESS;
}

/* Who did not answer has proven nothing. */
static struct hf_status print_nodes(struct cli *cli, const struct hf_json *drill, bool *out_silent)
{
    static const struct cli_column columns[] = {
        { "NODE", "node" }, { "SITE", "site" }, { "ANSWER", "result" }, { "TEXT", "text" }
    };
    const struct hf_json *nodes = NULL;

    HF_TRY(hf_json_array_or(&cli->op, drill, "nodes", &nodes));
    for (size_t i = 0; i < hf_json_count(nodes); i++) {
        const char *result = NULL;

        HF_TRY(hf_json_text(&cli->op, hf_json_at(nodes, i), "result", &result));
        *out_silent = *out_silent || strcmp(result, "answered") != 0;
    }
    if (nodes != NULL && (hf_json_count(nodes) > 1 || *out_silent)) {
        cli_print_table(nodes, columns, HF_COUNT(columns));
        cli_print("\n");
    }
    return HF_SUCCESS;
}

static const char *verdict(const char *light, bool silent)
{
    if (strcmp(light, "green") == 0) {
        return "green: everything opens";
    }
    if (strcmp(light, "amber") != 0) {
        return "red: something does not open";
    }
    return silent ? "amber: a node did not answer, and what it opens is not known"
                  : "amber: everything opens, in fewer independent ways than wanted";
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
    bool silent = false;

    HF_TRY(print_nodes(cli, drill, &silent));
    HF_TRY(hf_json_array_or(&cli->op, drill, "cells", &cells));
    HF_TRY(hf_json_array_or(&cli->op, drill, "keyrings", &rings));
    HF_TRY(hf_json_text(&cli->op, drill, "light", &light));
    cli_print_table(cells, columns, HF_COUNT(columns));
    cli_print("\n");
    cli_print_table(rings, keyrings, HF_COUNT(keyrings));
    HF_TRY(print_failures(cli, drill));
    HF_TRY(print_texts(cli, cells));
    if (hf_json_has(drill, "trimmed")) {
        cli_print(
            "\nThere was too much to tell: the lists above are not whole; the nodes' parts in "
            "the receipt have more.\n");
    }
    cli_print("\n%s\n", verdict(light, silent));
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
    HF_AUTO(buf) line = hf_buf_new();
    struct stat there;

    if (file == NULL) {
        return HF_SUCCESS;
    }
    /* What is put in its place would be no device or pipe any more. */
    if (lstat(file, &there) == 0 && !S_ISREG(there.st_mode)) {
        return hf_fail(&cli->op, HF_INVALID, "%s is not an ordinary file", file);
    }
    hf_buf_add_bytes(line, hf_buf_bytes(receipt));
    hf_buf_add_text(line, "\n");
    return hf_public_file_replace(&cli->op, file, hf_buf_bytes(line));
}

static struct hf_status fetch_receipt(struct cli *cli, const char *id, struct hf_buf *out)
{
    HF_AUTO_STRING path = hf_format("/api/v1/drill/%s/receipt", id);

    HF_TRY(watch(cli, id));
    return cli_fetch(cli, "GET", path, HF_BYTES_NONE, out);
}

/* Waits for the end of the drill, and tells what came of it. */
static struct hf_status tell(struct cli *cli, const char *id)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(json) json = NULL;
    const struct hf_json *found = NULL;

    HF_TRY(fetch_receipt(cli, id, receipt));
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

static struct hf_status drill(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(buf) answer = hf_buf_new();
    HF_AUTO(json) json = NULL;
    struct hf_json_writer writer;
    uint64_t wait_ms = 0;
    const char *id = NULL;

    HF_TRY(cli_duration(cli, "wait", 0, &wait_ms));
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    if (cli_option(cli, "keyring") != NULL) {
        hf_json_put_text(&writer, "keyring", cli_option(cli, "keyring"));
    }
    if (cli_option(cli, "wait") != NULL) {
        hf_json_put_u64(&writer, "wait_ms", wait_ms);
    }
    hf_json_close_object(&writer);
    HF_TRY(cli_fetch(cli, "POST", "/api/v1/drill", hf_buf_bytes(body), answer));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(answer), &json));
    HF_TRY(hf_json_text(&cli->op, json, "id", &id));
    return tell(cli, id);
}

static struct hf_status drill_list(struct cli *cli)
{
    static const struct cli_column columns[] = {
        { "DRILL", "id" },    { "STATE", "state" }, { "LIGHT", "light" }, { "SILENT", "silent" },
        { "BEGUN", "begun" }, { "ENDED", "ended" }, { "ON", "asked_on" }, { "KEYRING", "keyring" },
    };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *drills = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/drill", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "drills", &drills));
        cli_print_table(drills, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

static struct hf_status drill_show(struct cli *cli)
{
    const char *id = cli->word_count > 0 ? cli->words[0] : "last";

    /* It becomes part of a path. */
    if (strspn(id, "0123456789abcdef") != strlen(id) && strcmp(id, "last") != 0) {
        return hf_fail(&cli->op, HF_INVALID, "a drill's name is 16 hex digits, or \"last\"");
    }
    return tell(cli, id);
}

/* --- verifying --- */

#define TRUSTED_MAX CLI_OPTIONS_MAX

/* Keys from files: those given, or the node's own. */
struct trusted {
    struct hf_buf *keys[TRUSTED_MAX];
    struct hf_bytes views[TRUSTED_MAX];
    size_t count;
};

static void trusted_done(struct trusted *trusted)
{
    for (size_t i = 0; i < trusted->count; i++) {
        hf_buf_free(trusted->keys[i]);
    }
}

static struct hf_status trust(struct cli *cli, const char *file, struct trusted *out)
{
    struct hf_buf *key = hf_buf_new();

    out->keys[out->count++] = key;
    HF_TRY(cli_read_file(cli, file, key));
    out->views[out->count - 1] = hf_buf_bytes(key);
    return HF_SUCCESS;
}

static struct hf_status take_trusted(struct cli *cli, struct trusted *out)
{
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct cli_option *option = &cli->options[i];

        if (strcmp(option->name, "trust") == 0 || strcmp(option->name, "public-key") == 0) {
            HF_TRY(trust(cli, option->value, out));
        }
    }
    if (out->count == 0) {
        HF_AUTO_STRING own = hf_format("%s/audit.pub", cli_directory(cli));

        return trust(cli, own, out);
    }
    return HF_SUCCESS;
}

static const char *owner_of(const struct hf_receipt_signer *signer)
{
    return signer->trusted ? "trusted" : "vouched for";
}

static void put_signers(const struct hf_receipt_signers *signers)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_bool(&writer, "signed", true);
    hf_json_open_array(&writer, "signers");
    for (size_t i = 0; i < signers->count; i++) {
        hf_json_open_object(&writer, NULL);
        hf_json_put_text(&writer, "node", signers->items[i].node);
        hf_json_put_text(&writer, "signed", signers->items[i].ended ? "all" : "its part");
        hf_json_put_text(&writer, "key", signers->items[i].key);
        hf_json_put_bool(&writer, "trusted", signers->items[i].trusted);
        hf_json_close_object(&writer);
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(out));
}

static void print_signers(const struct hf_receipt_signers *signers)
{
    const char *ended = "";

    cli_print("\n");
    for (size_t i = 0; i < signers->count; i++) {
        const struct hf_receipt_signer *signer = &signers->items[i];

        ended = signer->ended ? signer->node : ended;
        cli_print("%s signed by %s: key %.16s..., %s\n", signer->ended ? "all of it" : "its part",
                  signer->node, signer->key, owner_of(signer));
    }
    cli_print("The receipt is as it was signed. Keys that are not trusted are those that %s has "
              "found in its sealed records.\n",
              ended);
}

static struct hf_status drill_verify(struct cli *cli)
{
    __attribute__((cleanup(trusted_done))) struct trusted trusted = { .count = 0 };
    HF_AUTO(receipt_signers) signers = NULL;
    HF_AUTO(crypto) crypto = NULL;
    HF_AUTO(buf) receipt = hf_buf_new();
    HF_AUTO(json) json = NULL;
    const struct hf_json *found = NULL;

    HF_TRY(hf_crypto_start(&cli->op));
    HF_TRY(hf_crypto_new(&cli->op, &crypto));
    HF_TRY(cli_read_file(cli, cli->words[0], receipt));
    HF_TRY(take_trusted(cli, &trusted));
    HF_TRY(hf_receipt_verify(crypto, &cli->op, hf_buf_bytes(receipt), trusted.views, trusted.count,
                             &signers));
    HF_TRY(hf_json_parse(&cli->op, hf_buf_bytes(receipt), &json));
    HF_TRY(hf_json_object_or(&cli->op, json, "drill", &found));
    if (cli->json) {
        put_signers(signers);
        return HF_SUCCESS;
    }
    HF_TRY(print_drill(cli, found));
    print_signers(signers);
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

static struct hf_status print_unproven(struct cli *cli, const struct hf_json *keyring)
{
    const char *name = NULL;
    bool proven = false;

    HF_TRY(hf_json_text(&cli->op, keyring, "keyring", &name));
    HF_TRY(hf_json_bool_or(&cli->op, keyring, "proven", false, &proven));
    if (!proven) {
        cli_print("no drill has opened anything of keyring ");
        cli_print_name(name);
    }
    return HF_SUCCESS;
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
        HF_TRY(print_unproven(cli, hf_json_at(keyrings, i)));
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
    const struct hf_json *keyrings = NULL;
    bool opens = false;

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
    HF_TRY(hf_json_bool_or(&cli->op, json, "opens", false, &opens));
    HF_TRY(hf_json_array_or(&cli->op, json, "keyrings", &keyrings));
    if (unreadable > 0 || (!opens && hf_json_count(keyrings) > 0)) {
        cli->result = CLI_BAD;
    } else if (people_only > 0) {
        cli->result = CLI_AMBER;
    }
    if (cli->json) {
        cli_print("%s\n", hf_buf_text(answer));
        return HF_SUCCESS;
    }
    return print_what_if(cli, json);
}

const struct command cli_drill_commands[] = {
    { "drill", "verify", "FILE",
      "trust=|public-key=", "Checks, without a node, that a receipt is as the nodes signed it.",
      "holdfast drill verify receipt.json --trust a/audit.pub --trust b/audit.pub", drill_verify },
    { "drill", "list", "", "", "Lists the last drills.", "holdfast drill list", drill_list },
    { "drill", "show", "[DRILL]", "receipt=",
      "Shows what came of a drill, or of the last one; waits for the end of one that runs.",
      "holdfast drill show 1f2e3d4c5b6a7988", drill_show },
    { "drill", NULL, "", "keyring=|receipt=|wait=",
      "Has every node open every key version through every slot that needs no person, and says "
      "what "
      "opened.",
      "holdfast --dir /srv/holdfast drill --receipt receipt.json", drill },
    { "what-if", NULL, "[KEYRING/KEY[@VERSION]]", "lose=|min-cut",
      "Lists what losses of nodes, slots or sites would make unreadable, or the fewest that end a "
      "key.",
      "holdfast --dir /srv/holdfast what-if --lose node:node-1 --lose slot:offline", what_if },
    { 0 },
};
