/* holdfast key. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"

#define MATERIAL_MAX 65536 /* the server takes no more */
#define PEM_LINE     64

/* --- shared shapes --- */

/* POST with a body of the options given: texts as they are, "version" as a number, flags as true.
 */
static struct hf_status body_of_options(struct cli *cli, struct hf_json_writer *writer)
{
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct cli_option *option = &cli->options[i];
        HF_AUTO_STRING member = hf_strdup(option->name);
        uint64_t number = 0;

        for (char *c = member; *c != '\0'; c++) {
            *c = *c == '-' ? '_' : *c;
        }
        if (option->value == NULL) {
            hf_json_put_bool(writer, member, true);
        } else if (strcmp(member, "version") == 0 || strcmp(member, "bytes") == 0 ||
                   strcmp(member, "first_version") == 0) {
            HF_TRY(cli_number(cli, option->name, 0, &number));
            hf_json_put_u64(writer, member, number);
        } else {
            hf_json_put_text(writer, member, option->value);
        }
    }
    return HF_SUCCESS;
}

static struct hf_status post(struct cli *cli, const char *tail, struct hf_json **out)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(buf) body = hf_buf_new();
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    HF_TRY(body_of_options(cli, &writer));
    hf_json_close_object(&writer);
    HF_TRY(cli_key_path(cli, cli->words[0], tail, &path));
    return cli_call(cli, "POST", path, hf_buf_bytes(body), out);
}

static struct hf_status post_and_print(struct cli *cli, const char *tail)
{
    HF_AUTO(json) answer = NULL;

    HF_TRY(post(cli, tail, &answer));
    if (answer != NULL) {
        cli_print_object(answer);
    }
    return HF_SUCCESS;
}

static struct hf_status need_version(struct cli *cli)
{
    if (cli_option(cli, "version") == NULL) {
        return hf_fail(&cli->op, HF_INVALID,
                       "say which version with --version N; holdfast key show %s lists them",
                       cli->words[0]);
    }
    return HF_SUCCESS;
}

/* --- commands --- */

/* A name; for a deleted key also when it is destroyed. */
static void print_listed(const char *name, const struct hf_json *dates, struct hf_op *op)
{
    const char *date = NULL;

    if (dates != NULL && hf_json_text_or(op, dates, name, NULL, &date).code != HF_OK) {
        hf_op_clear(op);
    }
    if (date == NULL) {
        cli_print_name(name);
    } else {
        cli_print("%-32s destroyed from %s on\n", name, date);
    }
}

static struct hf_status list_page(struct cli *cli, const char *after, char **out_next)
{
    HF_AUTO(buf) query = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    const struct hf_json *names = NULL;
    const struct hf_json *dates = NULL;
    const char *next = NULL;

    hf_buf_add_format(query, "/keys?limit=1000%s", cli_flag(cli, "deleted") ? "&deleted=true" : "");
    if (after != NULL) {
        hf_buf_add_text(query, "&after=");
        hf_percent_add(query, hf_bytes_of_text(after));
    }
    HF_TRY(cli_ring_path(cli, cli->words[0], hf_buf_text(query), &path));
    HF_TRY(cli_call(cli, "GET", path, HF_BYTES_NONE, &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_array_or(&cli->op, answer, "keys", &names));
    HF_TRY(hf_json_object_or(&cli->op, answer, "destroy_at", &dates));
    for (size_t i = 0; i < hf_json_count(names); i++) {
        print_listed(hf_json_string(hf_json_at(names, i)), dates, &cli->op);
    }
    HF_TRY(hf_json_text_or(&cli->op, answer, "next", NULL, &next));
    *out_next = next != NULL ? hf_strdup(next) : NULL;
    return HF_SUCCESS;
}

static struct hf_status list(struct cli *cli)
{
    const char *first = cli_option(cli, "after");
    char *after = first != NULL ? hf_strdup(first) : NULL;
    struct hf_status status;

    do {
        char *next = NULL;

        status = list_page(cli, after, &next);
        free(after);
        after = next;
    } while (status.code == HF_OK && after != NULL);
    free(after);
    return status;
}

/* The material of an import: standard input or a file, base64 in the request. */
static struct hf_status read_material(struct cli *cli, const char *file, struct hf_secret **out)
{
    HF_AUTO(secret) content = NULL;
    FILE *stream = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    size_t len;
    bool whole;

    if (stream == NULL) {
        return hf_fail(&cli->op, HF_INVALID, "cannot read %s: %s", file, strerror(errno));
    }
    HF_TRY(hf_secret_new(&cli->op, MATERIAL_MAX + 1, &content));
    /* No stdio buffer may keep a copy. */
    (void)setvbuf(stream, NULL, _IONBF, 0);
    len = fread(hf_secret_data(content), 1, hf_secret_len(content), stream);
    whole = ferror(stream) == 0;
    if (stream != stdin) {
        (void)fclose(stream);
    }
    if (!whole || len == 0) {
        return hf_fail(&cli->op, HF_INVALID, "there is no material in %s", file);
    }
    if (len > MATERIAL_MAX) {
        return hf_fail(&cli->op, HF_TOO_LARGE, "%s has more than %d bytes", file, MATERIAL_MAX);
    }
    hf_secret_truncate(content, len);
    *out = HF_TAKE(content);
    return HF_SUCCESS;
}

static struct hf_status add_material(struct cli *cli, struct hf_json_writer *writer)
{
    const char *file = cli_option(cli, "material-file");
    HF_AUTO(secret) material = NULL;

    if (file != NULL) {
        HF_TRY(read_material(cli, file, &material));
        hf_json_put_base64(writer, "material", hf_secret_bytes(material));
    }
    return HF_SUCCESS;
}

/* --attribute NAME=VALUE, as often as wanted. */
static struct hf_status add_attributes(struct cli *cli, struct hf_json_writer *writer)
{
    if (cli_option(cli, "attribute") == NULL) {
        return HF_SUCCESS;
    }
    hf_json_open_object(writer, "attributes");
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct cli_option *option = &cli->options[i];
        const char *equals;
        HF_AUTO_STRING name = NULL;

        if (strcmp(option->name, "attribute") != 0) {
            continue;
        }
        equals = strchr(option->value, '=');
        if (equals == NULL || equals == option->value) {
            return hf_fail(&cli->op, HF_INVALID, "--attribute needs NAME=VALUE, got \"%s\"",
                           option->value);
        }
        name = hf_strndup(option->value, (size_t)(equals - option->value));
        hf_json_put_text(writer, name, equals + 1);
    }
    hf_json_close_object(writer);
    return HF_SUCCESS;
}

/* The options of "key create" as members of the body; what was not said is left to the server. */
static struct hf_status add_plan(struct cli *cli, struct hf_json_writer *writer)
{
    static const char *const texts[] = { "algorithm", "description" };
    static const struct {
        const char *option, *member;
    } numbers[] = { { "bytes", "bytes" }, { "first-version", "first_version" } };
    uint64_t number = 0;

    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        if (cli_option(cli, texts[i]) != NULL) {
            hf_json_put_text(writer, texts[i], cli_option(cli, texts[i]));
        }
    }
    for (size_t i = 0; i < HF_COUNT(numbers); i++) {
        if (cli_option(cli, numbers[i].option) != NULL) {
            HF_TRY(cli_number(cli, numbers[i].option, 0, &number));
            hf_json_put_u64(writer, numbers[i].member, number);
        }
    }
    hf_json_put_bool(writer, "exportable", cli_flag(cli, "exportable"));
    hf_json_put_bool(writer, "pre_active", cli_flag(cli, "pre-active"));
    HF_TRY(add_attributes(cli, writer));
    return add_material(cli, writer);
}

static struct hf_status create(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    HF_AUTO_STRING keyring = NULL;
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;
    const char *slash = strchr(cli->words[0], '/');

    if (slash == NULL || slash[1] == '\0') {
        return hf_fail(&cli->op, HF_INVALID, "\"%s\" must be KEYRING/KEY", cli->words[0]);
    }
    keyring = hf_strndup(cli->words[0], (size_t)(slash - cli->words[0]));
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "name", slash + 1);
    HF_TRY(add_plan(cli, &writer));
    hf_json_close_object(&writer);
    HF_TRY(cli_ring_path(cli, keyring, "/keys", &path));
    HF_TRY(cli_call(cli, "POST", path, hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        HF_AUTO(buf) version = hf_buf_new();

        cli_add_value(version, answer, "version");
        cli_print("%s@%s is made.\n", cli->words[0], hf_buf_text(version));
    }
    return HF_SUCCESS;
}

static struct hf_status show(struct cli *cli)
{
    static const struct cli_column columns[] = {
        { "VERSION", "version" },   { "STATE", "state" },     { "PRIMARY", "primary" },
        { "IMPORTED", "imported" }, { "CREATED", "created" }, { "CHECK VALUE", "check_value" }
    };
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    const struct hf_json *versions = NULL;

    HF_TRY(
        cli_key_path(cli, cli->words[0], cli_flag(cli, "deleted") ? "?deleted=true" : "", &path));
    HF_TRY(cli_call(cli, "GET", path, HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        cli_print_object(answer);
        HF_TRY(hf_json_array_or(&cli->op, answer, "versions", &versions));
        cli_print("\n");
        cli_print_table(versions, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

/* Nodes that were away when the version was made open it before they serve again. */
static void print_proof(struct cli *cli, const struct hf_json *answer)
{
    uint64_t on = 0, of = 0;

    if (hf_json_u64_or(&cli->op, answer, "proven_on", 0, &on).code == HF_OK &&
        hf_json_u64_or(&cli->op, answer, "proven_of", 0, &of).code == HF_OK && on < of) {
        cli_print("It is proven on %" PRIu64 " of %" PRIu64
                  " nodes; the others open it before they serve again.\n",
                  on, of);
    }
}

static struct hf_status rotate(struct cli *cli)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(buf) version = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    HF_TRY(add_material(cli, &writer));
    hf_json_close_object(&writer);
    HF_TRY(cli_key_path(cli, cli->words[0], "/rotate", &path));
    HF_TRY(cli_call(cli, "POST", path, hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        cli_add_value(version, answer, "version");
        cli_print("%s@%s encrypts from now on.\n", cli->words[0], hf_buf_text(version));
        print_proof(cli, answer);
    }
    return HF_SUCCESS;
}

static struct hf_status primary(struct cli *cli)
{
    HF_TRY(need_version(cli));
    return post_and_print(cli, "/primary");
}

static struct hf_status rewrap(struct cli *cli)
{
    return post_and_print(cli, "/rewrap");
}

static struct hf_status state(struct cli *cli)
{
    HF_TRY(need_version(cli));
    if (cli->option_count == CLI_OPTIONS_MAX) {
        return hf_fail(&cli->op, HF_INVALID, "more than %d options", CLI_OPTIONS_MAX - 1);
    }
    cli->options[cli->option_count++] = (struct cli_option){ "event", cli->words[1] };
    HF_TRY(post(cli, "/state", NULL));
    if (!cli->json) {
        cli_print("%s@%s: %s is done.\n", cli->words[0], cli_option(cli, "version"), cli->words[1]);
    }
    return HF_SUCCESS;
}

static struct hf_status delete_key(struct cli *cli)
{
    HF_AUTO(buf) query = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    const char *reason = cli_option(cli, "reason");

    if (reason != NULL) {
        hf_buf_add_text(query, "?reason=");
        hf_percent_add(query, hf_bytes_of_text(reason));
    }
    HF_TRY(cli_key_path(cli, cli->words[0], hf_buf_text(query), &path));
    HF_TRY(cli_call(cli, "DELETE", path, HF_BYTES_NONE, NULL));
    if (!cli->json) {
        cli_print("%s is deleted; until its waiting time ends: holdfast key recover %s\n",
                  cli->words[0], cli->words[0]);
    }
    return HF_SUCCESS;
}

static struct hf_status recover(struct cli *cli)
{
    const char *version = cli_option(cli, "version");

    HF_TRY(post(cli, "/recover", NULL));
    if (!cli->json && version != NULL) {
        cli_print("%s@%s is kept: its destruction is taken back.\n", cli->words[0], version);
    } else if (!cli->json) {
        cli_print("%s is in use again.\n", cli->words[0]);
    }
    return HF_SUCCESS;
}

/* The destruction of a version begins with a waiting time: say which of the two has happened. */
static struct hf_status tell_version(struct cli *cli, uint64_t wanted)
{
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    const struct hf_json *versions = NULL;

    HF_TRY(cli_key_path(cli, cli->words[0], "", &path));
    if (cli_call(cli, "GET", path, HF_BYTES_NONE, &answer).code != HF_OK) {
        /* Done it is; only reading needs another right. */
        hf_op_clear(&cli->op);
        cli_print("It is done, at once or after the keyring's waiting time.\n");
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_array_or(&cli->op, answer, "versions", &versions));
    for (size_t i = 0; i < hf_json_count(versions); i++) {
        const struct hf_json *version = hf_json_at(versions, i);
        const char *due = NULL;
        uint64_t number = 0;

        HF_TRY(hf_json_u64_or(&cli->op, version, "version", 0, &number));
        HF_TRY(hf_json_text_or(&cli->op, version, "destroy_at", NULL, &due));
        if (number == wanted && due != NULL) {
            cli_print("%s@%llu waits and can be destroyed from %s on; to keep it:\n"
                      "    holdfast key recover %s --version %llu\n",
                      cli->words[0], (unsigned long long)number, due, cli->words[0],
                      (unsigned long long)number);
            return HF_SUCCESS;
        }
    }
    cli_print("%s@%llu is destroyed.\n", cli->words[0], (unsigned long long)wanted);
    return HF_SUCCESS;
}

static struct hf_status destroy(struct cli *cli)
{
    uint64_t version = 0;

    HF_TRY(cli_number(cli, "version", 0, &version));
    HF_TRY(post(cli, "/destroy", NULL));
    if (cli->json) {
        return HF_SUCCESS;
    }
    if (cli_option(cli, "version") != NULL) {
        return tell_version(cli, version);
    }
    cli_print("%s is destroyed.\n", cli->words[0]);
    return HF_SUCCESS;
}

static struct hf_status export_key(struct cli *cli)
{
    return post_and_print(cli, "/export");
}

static struct hf_status usage(struct cli *cli)
{
    static const struct cli_column columns[] = { { "CALLER", "caller" },
                                                 { "USES", "count" },
                                                 { "LAST", "last_use" } };
    HF_AUTO_STRING tail = hf_format("/versions/%s/usage", cli->words[1]);
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    const struct hf_json *callers = NULL;

    HF_TRY(cli_key_path(cli, cli->words[0], tail, &path));
    HF_TRY(cli_call(cli, "GET", path, HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        cli_print_object(answer);
        HF_TRY(hf_json_array_or(&cli->op, answer, "callers", &callers));
        cli_print_table(callers, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

/* PEM, as openssl and every other tool reads it. */
static void print_pem(const char *base64)
{
    cli_print("-----BEGIN PUBLIC KEY-----\n");
    for (size_t at = 0, len = strlen(base64); at < len; at += PEM_LINE) {
        cli_print("%.*s\n", PEM_LINE, base64 + at);
    }
    cli_print("-----END PUBLIC KEY-----\n");
}

/* --version as a query. */
static struct hf_status add_version(struct cli *cli, struct hf_buf *tail)
{
    uint64_t version = 0;

    if (cli_option(cli, "version") != NULL) {
        HF_TRY(cli_number(cli, "version", 0, &version));
        hf_buf_add_format(tail, "?version=%llu", (unsigned long long)version);
    }
    return HF_SUCCESS;
}

static struct hf_status public_half(struct cli *cli)
{
    HF_AUTO(buf) tail = hf_buf_new();
    HF_AUTO_STRING path = NULL;
    HF_AUTO(json) answer = NULL;
    const char *base64 = NULL;

    hf_buf_add_text(tail, "/public");
    HF_TRY(add_version(cli, tail));
    HF_TRY(cli_key_path(cli, cli->words[0], hf_buf_text(tail), &path));
    HF_TRY(cli_call(cli, "GET", path, HF_BYTES_NONE, &answer));
    if (answer == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_text(&cli->op, answer, "public", &base64));
    print_pem(base64);
    return HF_SUCCESS;
}

/* As it came, with --json or without: it goes to another node, and a MAC is over it. */
static struct hf_status revocation(struct cli *cli)
{
    HF_AUTO(buf) tail = hf_buf_new();
    HF_AUTO(buf) answer = hf_buf_new();
    HF_AUTO_STRING path = NULL;

    hf_buf_add_text(tail, "/revocation");
    HF_TRY(add_version(cli, tail));
    HF_TRY(cli_key_path(cli, cli->words[0], hf_buf_text(tail), &path));
    HF_TRY(cli_fetch(cli, "GET", path, HF_BYTES_NONE, answer));
    cli_print("%s\n", hf_buf_text(answer));
    return HF_SUCCESS;
}

const struct command cli_key_commands[] = {
    { "key", "list", "KEYRING", "deleted|after=", "Lists the names of keys.",
      "holdfast key list hadoop", list },
    { "key", "create", "KEYRING/KEY",
      "algorithm=|exportable|pre-active|description=|attribute=|bytes=|first-version=|"
      "material-file=",
      "Makes a key, or imports one with --material-file (- is standard input).",
      "holdfast key create hadoop/sales --algorithm aes-256", create },
    { "key", "show", "KEYRING/KEY", "deleted",
      "Shows a key and its versions; with --deleted also a deleted key, and its end.",
      "holdfast key show hadoop/sales", show },
    { "key", "public", "KEYRING/KEY",
      "version=", "Prints the public half of an asymmetric key as PEM.",
      "holdfast key public payroll/signer --version 1", public_half },
    { "key", "rotate", "KEYRING/KEY", "material-file=",
      "Makes a new version that encrypts from now on, or imports it with --material-file.",
      "holdfast key rotate hadoop/sales", rotate },
    { "key", "primary", "KEYRING/KEY", "version=", "Makes an active version the one that encrypts.",
      "holdfast key primary hadoop/sales --version 2", primary },
    { "key", "rewrap", "KEYRING/KEY", "", "Moves all versions under the keyring key in force.",
      "holdfast key rewrap hadoop/sales", rewrap },
    { "key", "state", "KEYRING/KEY EVENT", "version=|reason=",
      "Changes a version's state: activate, suspend, resume, deactivate or compromise.",
      "holdfast key state hadoop/sales suspend --version 2 --reason \"INC-4711\"", state },
    { "key", "delete", "KEYRING/KEY", "reason=", "Deletes a key; it can be recovered for a time.",
      "holdfast key delete hadoop/sales --reason \"project ended\"", delete_key },
    { "key", "recover", "KEYRING/KEY", "version=",
      "Takes a deletion back, or with --version the destruction that a version waits for.",
      "holdfast key recover hadoop/sales", recover },
    { "key", "destroy", "KEYRING/KEY",
      "version=|force|reason=", "Destroys a deleted key, or one deactivated version, for ever.",
      "holdfast key destroy hadoop/sales --reason \"retention ended\"", destroy },
    { "key", "export", "KEYRING/KEY", "version=", "Prints the material of an exportable key.",
      "holdfast key export payroll/partner --version 1", export_key },
    { "key", "revocation", "KEYRING/KEY", "version=",
      "Prints that a key, or a version, is out of use, for a node that cannot hear of it.",
      "holdfast key revocation hadoop/sales --version 2 > sales.revocation", revocation },
    { "key", "usage", "KEYRING/KEY VERSION", "", "Shows how often a version was used, and by whom.",
      "holdfast key usage hadoop/sales 0", usage },
    { 0 },
};
