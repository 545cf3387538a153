/* holdfast slot, holdfast root. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "base/text.h"
#include "cli/command.h"
#include "crypto/crypto.h"
#include "protect/protector.h"

/* --- the secret of a slot --- */

/* One line from standard input; without echo when it is a terminal. */
static struct hf_status read_passphrase(struct cli *cli, struct hf_secret **out)
{
    HF_AUTO(secret) line = NULL;
    struct termios old;
    struct termios quiet;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
    size_t len = 0;
    char c = '\0';

    HF_TRY(hf_secret_new(&cli->op, 1024, &line));
    if (terminal) {
        quiet = old;
        quiet.c_lflag &= (tcflag_t)~ECHO;
        (void)fputs("Passphrase: ", stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    /* By single bytes, so that no stdio buffer keeps a copy. */
    while (len < hf_secret_len(line) && read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
        hf_secret_data(line)[len++] = (uint8_t)c;
    }
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        (void)fputc('\n', stderr);
    }
    if (len == 0) {
        return hf_fail(&cli->op, HF_INVALID, "no passphrase came on standard input");
    }
    hf_secret_truncate(line, len);
    *out = HF_TAKE(line);
    return HF_SUCCESS;
}

struct hf_status cli_protector_body(struct cli *cli, const char *name, struct hf_buf *out)
{
    const char *file = cli_option(cli, "passphrase-file");
    const char *key_file = cli_option(cli, "key-file");
    const char *node_key = cli_option(cli, "node-key");
    const char *kind = file != NULL ? "passphrase" : key_file != NULL ? "keyfile" : "node";
    const char *given = file != NULL ? file : key_file != NULL ? key_file : node_key;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    if (name != NULL) {
        hf_json_put_text(&writer, "name", name);
        hf_json_put_bool(&writer, "offline", cli_flag(cli, "offline"));
    }
    if (given != NULL) {
        /* The server reads the file itself: the secret does not travel. */
        HF_AUTO_STRING path = realpath(given, NULL);

        if (path == NULL) {
            return hf_fail(&cli->op, HF_INVALID, "there is no file %s", given);
        }
        hf_json_put_text(&writer, "protector", kind);
        hf_json_put_text(&writer, "file", path);
    } else {
        HF_AUTO(secret) passphrase = NULL;

        HF_TRY(read_passphrase(cli, &passphrase));
        hf_json_put_text(&writer, "protector", "passphrase");
        hf_json_put_bytes_text(&writer, "passphrase", hf_secret_bytes(passphrase));
    }
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- slot --- */

static struct hf_status slot_list(struct cli *cli)
{
    static const struct cli_column columns[] = { { "NAME", "name" },
                                                 { "PROTECTOR", "protector" },
                                                 { "OFFLINE", "offline" },
                                                 { "NEEDS A HUMAN", "needs_human" },
                                                 { "VERIFIED", "verified" },
                                                 { "ROOT", "root_generation" },
                                                 { "PROVEN FOR ROOT", "proven_generation" },
                                                 { "LAST PROVEN", "proven" },
                                                 { "ID", "id" } };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *slots = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/slots", HF_BYTES_NONE, &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_array_or(&cli->op, answer, "slots", &slots));
    cli_print_table(slots, columns, HF_COUNT(columns));
    for (size_t i = 0; i < hf_json_count(slots); i++) {
        const struct hf_json *slot = hf_json_at(slots, i);
        const char *name = NULL;
        const char *protector = NULL;
        uint64_t holds = 0;
        uint64_t proven = 0;

        HF_TRY(hf_json_text(&cli->op, slot, "name", &name));
        HF_TRY(hf_json_text(&cli->op, slot, "protector", &protector));
        HF_TRY(hf_json_u64_or(&cli->op, slot, "root_generation", 0, &holds));
        HF_TRY(hf_json_u64_or(&cli->op, slot, "proven_generation", 0, &proven));
        if (proven != holds && strcmp(protector, "node") == 0) {
            cli_print("\n%s is not proven since root %llu; it is when that node starts\n", name,
                      (unsigned long long)holds);
        } else if (proven != holds) {
            cli_print("\n%s is not proven since root %llu: holdfast slot test '%s'\n", name,
                      (unsigned long long)holds, name);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status slot_path(const struct cli *cli, const char *tail, char **out)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, "/api/v1/slots/");
    hf_percent_add(path, hf_bytes_of_text(cli->words[0]));
    hf_buf_add_text(path, tail);
    *out = hf_strdup(hf_buf_text(path));
    return HF_SUCCESS;
}

/* A key file that is not there yet is made: whoever adds a slot wants a new secret. */
static struct hf_status make_key_file(struct cli *cli)
{
    const char *file = cli_option(cli, "key-file");
    HF_AUTO(crypto) crypto = NULL;

    if (file == NULL || access(file, F_OK) == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_crypto_start(&cli->op));
    HF_TRY(hf_crypto_new(&cli->op, &crypto));
    return hf_keyfile_create(crypto, &cli->op, file);
}

static struct hf_status slot_add(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;

    HF_TRY(make_key_file(cli));
    HF_TRY(cli_protector_body(cli, cli->words[0], body));
    HF_TRY(cli_call(cli, "POST", "/api/v1/slots", hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        cli_print("Slot %s is made, and has opened the root key.\n", cli->words[0]);
    }
    return HF_SUCCESS;
}

static struct hf_status slot_test(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    uint64_t generation = 0;

    HF_TRY(cli_protector_body(cli, NULL, body));
    HF_TRY(slot_path(cli, "/test", &path));
    HF_TRY(cli_call(cli, "POST", path, hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_u64_or(&cli->op, answer, "root_generation", 0, &generation));
        cli_print("Slot %s opens root %llu.\n", cli->words[0], (unsigned long long)generation);
    }
    return HF_SUCCESS;
}

struct hf_status cli_print_removal(struct cli *cli, const struct hf_json *answer, bool root_kept)
{
    const char *remains = NULL;
    uint64_t generation = 0;

    HF_TRY(hf_json_text(&cli->op, answer, "remains", &remains));
    HF_TRY(hf_json_u64_or(&cli->op, answer, "root_generation", 0, &generation));
    if (!root_kept) {
        cli_print(
            "Root %llu is in force; the records are being moved to it: holdfast root status\n",
            (unsigned long long)generation);
    }
    cli_print("What remains: %s.\n", remains);
    return HF_SUCCESS;
}

static struct hf_status slot_remove(struct cli *cli)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    bool kept = cli_flag(cli, "keep-root");

    HF_TRY(slot_path(cli, kept ? "?keep_root=true" : "", &path));
    HF_TRY(cli_call(cli, "DELETE", path, HF_BYTES_NONE, &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    cli_print("Slot %s is removed.\n", cli->words[0]);
    return cli_print_removal(cli, answer, kept);
}

/* --- root --- */

static struct hf_status root_rotate(struct cli *cli)
{
    HF_AUTO(json) answer = NULL;
    uint64_t generation = 0;

    HF_TRY(cli_call(cli, "POST", "/api/v1/root/rotate", hf_bytes_of_text("{}"), &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_u64_or(&cli->op, answer, "generation", 0, &generation));
        cli_print("Root %llu is in force and sealed to every slot; the records are being moved to "
                  "it:\n    holdfast root status\n"
                  "Slots that need a person are not proven until they open once:\n"
                  "    holdfast slot list\n",
                  (unsigned long long)generation);
    }
    return HF_SUCCESS;
}

static struct hf_status root_status(struct cli *cli)
{
    HF_AUTO(json) answer = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/root", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        cli_print_object(answer);
    }
    return HF_SUCCESS;
}

const struct command cli_slot_commands[] = {
    { "slot", "list", "", "", "Shows every slot that opens the root key, and when it was proven.",
      "holdfast --dir /srv/holdfast slot list", slot_list },
    { "slot", "add", "NAME", "offline|passphrase-file=|key-file=",
      "Makes a slot for a passphrase (from standard input or a file) or a key file, made if new.",
      "holdfast --dir /srv/holdfast slot add safe-2 --offline < /mnt/safe-2/passphrase", slot_add },
    { "slot", "test", "NAME|ID",
      "passphrase-file=|key-file=", "Proves that a slot opens the root key now, and records it.",
      "holdfast --dir /srv/holdfast slot test offline < /mnt/safe/passphrase", slot_test },
    { "slot", "remove", "NAME|ID", "keep-root",
      "Removes a slot and puts a new root key in force, which it never held.",
      "holdfast --dir /srv/holdfast slot remove safe-2", slot_remove },
    { "root", "rotate", "", "", "Puts a new root key in force, sealed to every slot.",
      "holdfast --dir /srv/holdfast root rotate", root_rotate },
    { "root", "status", "", "", "Shows which root key is in force, and how far a rotation is.",
      "holdfast --dir /srv/holdfast root status", root_status },
    { 0 },
};
