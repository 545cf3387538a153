/* init, status, unlock, lock, why, bench. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/init.h"
#include "cli/section.h"
#include "crypto/crypto.h"
#include "identity/caller.h"

struct hf_status cli_hosts(struct cli *cli, const char *hosts[CLI_HOSTS_MAX], size_t *out_count)
{
    size_t count = 0;

    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, "host") == 0) {
            if (count == CLI_HOSTS_MAX) {
                return hf_fail(&cli->op, HF_INVALID, "at most %d times --host", CLI_HOSTS_MAX);
            }
            hosts[count++] = cli->options[i].value;
        }
    }
    *out_count = count;
    return HF_SUCCESS;
}

static struct hf_status take_init(struct cli *cli, struct hf_init_settings *settings,
                                  struct hf_buf *section)
{
    uint64_t bits = 0;

    settings->directory = cli->directory;
    settings->node = cli_option(cli, "node");
    settings->site = cli_option(cli, "site");
    settings->passphrase_file = cli_option(cli, "passphrase-file");
    settings->listen_hadoop = cli_option(cli, "listen-hadoop");
    settings->listen_admin = cli_option(cli, "listen-admin");
    settings->keyring = cli_option(cli, "keyring");
    settings->pseudo = cli_flag(cli, "hadoop-pseudo");
    settings->allow_unlocked_memory = cli_flag(cli, "allow-unlocked-memory");
    if (cli_option(cli, "store") != NULL) {
        HF_TRY(cli_store_section(cli, cli_option(cli, "store"), section));
        settings->store = hf_buf_text(section);
        settings->is_shared = strcmp(cli_option(cli, "store"), "postgres") == 0;
    }
    HF_TRY(cli_number(cli, "main-key-bits", 3072, &bits));
    if (bits != 2048 && bits != 3072 && bits != 4096) {
        return hf_fail(&cli->op, HF_INVALID, "--main-key-bits must be 2048, 3072 or 4096");
    }
    settings->main_key_bits = (unsigned)bits;
    return HF_SUCCESS;
}

static void print_made(const struct hf_init_settings *settings)
{
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO_STRING whole = realpath(settings->directory, NULL);
    const char *directory = whole != NULL ? whole : settings->directory;
    HF_AUTO_STRING made = hf_format("%s/offline/passphrase", directory);
    HF_AUTO_STRING ca = hf_format("%s/ca.crt", directory);
    const char *given = settings->passphrase_file;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "directory", directory);
    hf_json_put_text(&writer, "offline_passphrase_file", given != NULL ? given : made);
    hf_json_put_text(&writer, "ca_file", ca);
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(out));
}

static struct hf_status init(struct cli *cli)
{
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO(buf) section = hf_buf_new();
    HF_AUTO(caller) me = NULL;
    const char *hosts[CLI_HOSTS_MAX];
    struct hf_init_settings settings = { .hosts = hosts };

    if (cli->directory == NULL) {
        return hf_fail(&cli->op, HF_INVALID, "init needs --dir D: the directory to make");
    }
    HF_TRY(take_init(cli, &settings, section));
    HF_TRY(cli_hosts(cli, hosts, &settings.host_count));
    HF_TRY(hf_caller_from_uid(&cli->op, (uint32_t)getuid(), &me));
    settings.owner = getuid() != 0 ? me->name : NULL;
    HF_TRY(hf_crypto_start(&cli->op));
    HF_TRY(hf_init_node(&cli->op, &settings, out));
    if (cli->json) {
        print_made(&settings);
    } else {
        cli_print("%s", hf_buf_text(out));
    }
    return HF_SUCCESS;
}

static struct hf_status status(struct cli *cli)
{
    static const struct cli_column columns[] = { { "LIGHT", "light" },
                                                 { "ITEM", "item" },
                                                 { "", "text" } };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *items = NULL;
    const char *light = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/status", HF_BYTES_NONE, &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_array_or(&cli->op, answer, "items", &items));
    HF_TRY(hf_json_text(&cli->op, answer, "light", &light));
    cli_print_table(items, columns, HF_COUNT(columns));
    cli_print("\nThe node is %s.\n", light);
    return HF_SUCCESS;
}

static struct hf_status unlock(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    const char *slot = NULL;

    HF_TRY(cli_protector_body(cli, NULL, body));
    HF_TRY(cli_call(cli, "POST", "/api/v1/unlock", hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_text(&cli->op, answer, "slot", &slot));
        cli_print("Slot %s has opened the root key.\n", slot);
    }
    return HF_SUCCESS;
}

static struct hf_status lock(struct cli *cli)
{
    HF_TRY(cli_call(cli, "POST", "/api/v1/lock", hf_bytes_of_text("{}"), NULL));
    if (!cli->json) {
        cli_print("The node is locked; open it again with holdfast unlock.\n");
    }
    return HF_SUCCESS;
}

static struct hf_status why(struct cli *cli)
{
    static const struct cli_column columns[] = { { "LEVEL", "level" },         { "NAME", "name" },
                                                 { "OPENS", "health" },        { "STATE", "state" },
                                                 { "PROVEN BY", "proven_by" }, { "WHEN", "proven" },
                                                 { "DETAIL", "detail" } };
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    const struct hf_json *chain = NULL;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "what", cli->words[0]);
    if (cli_option(cli, "keyring") != NULL) {
        hf_json_put_text(&writer, "keyring", cli_option(cli, "keyring"));
    }
    hf_json_close_object(&writer);
    HF_TRY(cli_call(cli, "POST", "/api/v1/why", hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "chain", &chain));
        cli_print_table(chain, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

const struct command cli_node_commands[] = {
    { "init", NULL, "",
      "node=|site=|passphrase-file=|listen-hadoop=|listen-admin=|keyring=|host=|hadoop-pseudo|"
      "main-key-bits=|allow-unlocked-memory|store=|" CLI_STORE_OPTIONS,
      "Makes a node's directory: store, two slots, certificates, first keyring, configuration.",
      "holdfast --dir /srv/holdfast init --host kms1.example.com --listen-hadoop 0.0.0.0:9600",
      init },
    { "status", NULL, "", "", "Says what is well, what is not, and what to do about it.",
      "holdfast --dir /srv/holdfast status", status },
    { "unlock", NULL, "", "passphrase-file=|key-file=|node-key=",
      "Opens the root key through a slot; the passphrase comes from standard input.",
      "holdfast --dir /srv/holdfast unlock < /mnt/safe/passphrase", unlock },
    { "lock", NULL, "", "", "Wipes the root key and all keys from memory.",
      "holdfast --dir /srv/holdfast lock", lock },
    { "why", NULL, "KEYRING/KEY[@VERSION]|EDEK", "keyring=",
      "Shows the chain that opens a key, a version or a Hadoop EDEK (JSON, with --keyring).",
      "holdfast --dir /srv/holdfast why hadoop/sales@3", why },
    { "bench", NULL, "KEYRING/KEY",
      "seconds=", "Times data keys made and opened over the admin door, one caller.",
      "holdfast --dir /srv/holdfast bench hadoop/sales --seconds 5", cli_bench },
    { 0 },
};
