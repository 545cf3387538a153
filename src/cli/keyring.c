/* holdfast keyring. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/command.h"

static struct hf_status list(struct cli *cli)
{
    static const struct cli_column columns[] = { { "NAME", "name" },
                                                 { "KEYS", "keys" },
                                                 { "MAIN KEY", "main_key" },
                                                 { "KEYRING KEY", "keyring_key_version" },
                                                 { "TWO TO DESTROY", "approve_destroy" },
                                                 { "TWO TO EXPORT", "approve_export" },
                                                 { "SERVED BY", "serve_on" } };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *keyrings = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/keyrings", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "keyrings", &keyrings));
        cli_print_table(keyrings, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

static void print_keyring(const struct hf_json *keyring)
{
    HF_AUTO(buf) nodes = hf_buf_new();

    cli_print_object(keyring);
    cli_add_value(nodes, keyring, "serve_on");
    cli_print("serve_on: %s\n", hf_buf_text(nodes));
}

/* "a,b"; "" is the empty list: all members. */
static void add_serve_on(struct hf_json_writer *writer, const char *names)
{
    hf_json_open_array(writer, "serve_on");
    while (names[0] != '\0') {
        size_t len = strcspn(names, ",");

        hf_json_put_bytes_text(writer, NULL, hf_bytes_of(names, len));
        names += len + (names[len] == ',');
    }
    hf_json_close_array(writer);
}

/* Only what was said: the rest keeps its default, or stays as it is. */
static struct hf_status add_settings(struct cli *cli, struct hf_json_writer *writer)
{
    static const struct {
        const char *option, *member;
    } flags[] = { { "approve-destroy", "approve_destroy" },
                  { "approve-export", "approve_export" },
                  { "approve-slot-removal", "approve_slot_removal" } },
      times[] = { { "destroy-wait", "destroy_wait_ms" },
                  { "dark-window", "dark_window_ms" },
                  { "max-stale", "max_stale_ms" },
                  { "max-stale-wrap", "max_stale_wrap_ms" },
                  { "rotate-every", "rotate_every_ms" } };
    uint64_t min_ways = 0;
    uint64_t ms = 0;
    bool yes = false;

    for (size_t i = 0; i < HF_COUNT(flags); i++) {
        if (cli_option(cli, flags[i].option) != NULL) {
            HF_TRY(cli_yes_no(cli, flags[i].option, false, &yes));
            hf_json_put_bool(writer, flags[i].member, yes);
        }
    }
    for (size_t i = 0; i < HF_COUNT(times); i++) {
        if (cli_option(cli, times[i].option) != NULL) {
            HF_TRY(cli_duration(cli, times[i].option, 0, &ms));
            hf_json_put_u64(writer, times[i].member, ms);
        }
    }
    if (cli_option(cli, "serve-on") != NULL) {
        add_serve_on(writer, cli_option(cli, "serve-on"));
    }
    if (cli_option(cli, "min-ways") != NULL) {
        HF_TRY(cli_number(cli, "min-ways", 0, &min_ways));
        hf_json_put_u64(writer, "min_ways", min_ways);
    }
    HF_TRY(cli_duration(cli, "max-stale", 1, &ms));
    if (ms == 0) {
        (void)fputs("Note: with --max-stale 0s the keyring stops during every failover.\n", stderr);
    }
    return HF_SUCCESS;
}

static struct hf_status send_settings(struct cli *cli, const char *method, const char *path,
                                      const char *name)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    if (name != NULL) {
        hf_json_put_text(&writer, "name", name);
    }
    HF_TRY(add_settings(cli, &writer));
    hf_json_close_object(&writer);
    HF_TRY(cli_call(cli, method, path, hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        print_keyring(answer);
    }
    return HF_SUCCESS;
}

static struct hf_status create(struct cli *cli)
{
    return send_settings(cli, "POST", "/api/v1/keyrings", cli->words[0]);
}

static struct hf_status change(struct cli *cli)
{
    HF_AUTO_STRING path = NULL;

    HF_TRY(cli_ring_path(cli, cli->words[0], "", &path));
    return send_settings(cli, "PATCH", path, NULL);
}

static struct hf_status show(struct cli *cli)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;

    HF_TRY(cli_ring_path(cli, cli->words[0], "", &path));
    HF_TRY(cli_call(cli, "GET", path, HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        print_keyring(answer);
    }
    return HF_SUCCESS;
}

static struct hf_status rotate(struct cli *cli)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;

    HF_TRY(cli_ring_path(cli, cli->words[0], "/rotate", &path));
    HF_TRY(cli_call(cli, "POST", path, hf_bytes_of_text("{}"), &answer));
    if (answer != NULL) {
        cli_print_object(answer);
        cli_print("Its keys are moved under it; 'holdfast job list' shows how far that is.\n");
    }
    return HF_SUCCESS;
}

#define SETTINGS                                                                                   \
    "approve-destroy=|approve-export=|approve-slot-removal=|destroy-wait=|dark-window=|max-stale=" \
    "|"                                                                                            \
    "max-stale-wrap=|rotate-every=|serve-on=|min-ways="

const struct command cli_keyring_commands[] = {
    { "keyring", "list", "", "", "Lists keyrings.", "holdfast keyring list", list },
    { "keyring", "create", "KEYRING", SETTINGS, "Makes a keyring with its own keyring key.",
      "holdfast keyring create payroll --approve-destroy yes --destroy-wait 30d", create },
    { "keyring", "show", "KEYRING", "", "Shows one keyring.", "holdfast keyring show hadoop",
      show },
    { "keyring", "change", "KEYRING", SETTINGS, "Changes a keyring's settings.",
      "holdfast keyring change payroll --approve-export yes --rotate-every 90d", change },
    { "keyring", "rotate", "KEYRING", "", "Makes a new keyring key version.",
      "holdfast keyring rotate payroll", rotate },
    { 0 },
};
