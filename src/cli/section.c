/* The store section of holdfast.conf: from options, and in place of another. */
#include "cli/section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum kind { TEXT, TEXTS, FILE_NAME, NUMBER };

static const struct row {
    const char *option;
    const char *setting;
    const char *engine;
    enum kind kind;
} rows[] = {
    { "store-directory", "directory", "sqlite", TEXT },
    { "store-host", "hosts", "postgres", TEXTS },
    { "store-database", "database", "postgres", TEXT },
    { "store-user", "user", "postgres", TEXT },
    { "store-passfile", "passfile", "postgres", FILE_NAME },
    { "store-sslmode", "sslmode", "postgres", TEXT },
    { "store-ca", "ca", "postgres", FILE_NAME },
    { "store-certificate", "certificate", "postgres", FILE_NAME },
    { "store-key", "key", "postgres", FILE_NAME },
    { "store-synchronous", "synchronous", "postgres", NUMBER },
    { "store-when-fewer", "when_fewer", "postgres", TEXT },
};

/* --- making one --- */

/* Inside quotes of the configuration these would not stand for themselves. */
static struct hf_status add_quoted(struct hf_op *op, const char *option, const char *text,
                                   struct hf_buf *out)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr("\"\\$", *c) != NULL) {
            return hf_fail(op, HF_INVALID, "--%s has a sign that a configuration cannot hold: %s",
                           option, text);
        }
    }
    hf_buf_add_format(out, "\"%s\"", text);
    return HF_SUCCESS;
}

static struct hf_status add_list(struct cli *cli, const struct row *row, struct hf_buf *out)
{
    const char *before = "{ ";

    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, row->option) == 0) {
            hf_buf_add_text(out, before);
            HF_TRY(add_quoted(&cli->op, row->option, cli->options[i].value, out));
            before = ", ";
        }
    }
    hf_buf_add_text(out, " }");
    return HF_SUCCESS;
}

static struct hf_status add_file(struct cli *cli, const struct row *row, struct hf_buf *out)
{
    const char *given = cli_option(cli, row->option);
    HF_AUTO_STRING whole = realpath(given, NULL);

    if (whole == NULL) {
        return hf_fail(&cli->op, HF_INVALID, "--%s %s: %s", row->option, given, strerror(errno));
    }
    return add_quoted(&cli->op, row->option, whole, out);
}

static struct hf_status add_value(struct cli *cli, const struct row *row, struct hf_buf *out)
{
    uint64_t number = 0;

    switch (row->kind) {
    case TEXT:
        return add_quoted(&cli->op, row->option, cli_option(cli, row->option), out);
    case TEXTS:
        return add_list(cli, row, out);
    case FILE_NAME:
        return add_file(cli, row, out);
    case NUMBER:
        HF_TRY(cli_number(cli, row->option, 0, &number));
        hf_buf_add_format(out, "%u", (unsigned)number);
        break;
    }
    return HF_SUCCESS;
}

struct hf_status cli_store_section(struct cli *cli, const char *engine, struct hf_buf *out)
{
    if (strcmp(engine, "sqlite") != 0 && strcmp(engine, "postgres") != 0) {
        return hf_fail(&cli->op, HF_INVALID,
                       "there is no store engine \"%s\"; use sqlite or postgres", engine);
    }
    hf_buf_add_format(out, "store {\n    engine = \"%s\"\n", engine);
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (cli_option(cli, rows[i].option) == NULL) {
            continue;
        }
        if (strcmp(rows[i].engine, engine) != 0) {
            return hf_fail(&cli->op, HF_INVALID, "--%s is for a store on %s", rows[i].option,
                           rows[i].engine);
        }
        hf_buf_add_format(out, "    %s = ", rows[i].setting);
        HF_TRY(add_value(cli, &rows[i], out));
        hf_buf_add_text(out, "\n");
    }
    hf_buf_add_text(out, "}\n");
    return HF_SUCCESS;
}

void cli_section_keep_pin(const struct hf_config *config, struct hf_buf *section)
{
    HF_AUTO_STRING usual = hf_format("%s/state/pin", config->directory);

    if (strcmp(config->pin_file, usual) == 0) {
        return;
    }
    section->len -= strlen("}\n");
    hf_buf_add_format(section, "    pin = \"%s\"\n}\n", config->pin_file);
}

/* --- putting it in place of another --- */

/* Where the parts of a configuration end; all look at the byte at *at and what follows. */
struct scan {
    struct hf_bytes text;
    size_t at;
    unsigned depth;
};

static bool stands_at(const struct scan *scan, const char *word)
{
    size_t len = strlen(word);

    return scan->text.len - scan->at >= len && memcmp(scan->text.data + scan->at, word, len) == 0;
}

static void skip_to(struct scan *scan, const char *end)
{
    while (scan->at < scan->text.len && !stands_at(scan, end)) {
        scan->at++;
    }
    scan->at += scan->at < scan->text.len ? strlen(end) : 0;
}

static void skip_quoted(struct scan *scan)
{
    uint8_t quote = scan->text.data[scan->at++];

    while (scan->at < scan->text.len && scan->text.data[scan->at] != quote) {
        scan->at += scan->text.data[scan->at] == '\\' ? 2 : 1;
    }
    scan->at++;
}

/* Over a comment or a quoted text; false: neither stands here. */
static bool skip_opaque(struct scan *scan)
{
    uint8_t byte = scan->text.data[scan->at];

    if (byte == '#' || stands_at(scan, "//")) {
        skip_to(scan, "\n");
    } else if (stands_at(scan, "/*")) {
        skip_to(scan, "*/");
    } else if (byte == '"' || byte == '\'') {
        skip_quoted(scan);
    } else {
        return false;
    }
    return true;
}

static bool is_word(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' ||
           (byte >= '0' && byte <= '9') || byte == '-';
}

/* Over a word; true if it is the name of our section. */
static bool skip_word(struct scan *scan)
{
    size_t from = scan->at;

    while (scan->at < scan->text.len && is_word(scan->text.data[scan->at])) {
        scan->at++;
    }
    return scan->depth == 0 && scan->at - from == strlen("store") &&
           memcmp(scan->text.data + from, "store", strlen("store")) == 0;
}

static void skip_sign(struct scan *scan)
{
    uint8_t byte = scan->text.data[scan->at++];

    if (byte == '{') {
        scan->depth++;
    } else if (byte == '}' && scan->depth > 0) {
        scan->depth--;
    }
}

/* Over the braces of a section and all between them. */
static void skip_section(struct scan *scan)
{
    bool begun = false;

    while (scan->at < scan->text.len && (!begun || scan->depth > 0)) {
        if (!skip_opaque(scan)) {
            begun = begun || scan->text.data[scan->at] == '{';
            skip_sign(scan);
        }
    }
    if (scan->at < scan->text.len && scan->text.data[scan->at] == '\n') {
        scan->at++;
    }
}

static void add_part(struct hf_buf *out, struct hf_bytes text, size_t from, size_t to)
{
    to = to < text.len ? to : text.len;
    hf_buf_add(out, text.data + from, to - from);
}

struct hf_status cli_section_replace(struct hf_op *op, struct hf_bytes text,
                                     struct hf_bytes section, struct hf_buf *out)
{
    struct scan scan = { .text = text };
    size_t copied = 0;
    unsigned found = 0;

    while (scan.at < text.len) {
        size_t from = scan.at;

        if (skip_opaque(&scan)) {
            continue;
        }
        if (!is_word(text.data[scan.at])) {
            skip_sign(&scan);
        } else if (skip_word(&scan)) {
            skip_section(&scan);
            add_part(out, text, copied, from);
            hf_buf_add_bytes(out, section);
            copied = scan.at;
            found++;
        }
    }
    if (found > 1) {
        return hf_fail(op, HF_INVALID, "the configuration has more than one section \"store\"");
    }
    add_part(out, text, copied < text.len ? copied : text.len, text.len);
    if (found == 0) {
        hf_buf_add_text(out, "\n");
        hf_buf_add_bytes(out, section);
    }
    return HF_SUCCESS;
}

void cli_store_words(const struct hf_config *config, struct hf_buf *out)
{
    if (strcmp(config->store_engine, "postgres") != 0) {
        hf_buf_add_format(out, "%s/store.db", config->store_directory);
        return;
    }
    hf_buf_add_text(out, "postgres");
    for (size_t i = 0; config->store_hosts[i] != NULL; i++) {
        const char *host = strstr(config->store_hosts[i], "host=");
        const char *end = strstr(host, " user=");

        hf_buf_add_format(out, "%s %.*s", i > 0 ? "," : "",
                          (int)(end != NULL ? (size_t)(end - host) : strlen(host)), host);
    }
}
