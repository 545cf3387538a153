/* Calls of the admin door, and options as commands read them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"

const char *cli_option(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, name) == 0) {
            return cli->options[i].value;
        }
    }
    return NULL;
}

bool cli_flag(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

struct hf_status cli_number(struct cli *cli, const char *name, uint64_t absent, uint64_t *out)
{
    const char *text = cli_option(cli, name);

    if (text == NULL) {
        *out = absent;
        return HF_SUCCESS;
    }
    if (hf_parse_u64(&cli->op, text, UINT32_MAX, out).code != HF_OK) {
        return hf_fail(&cli->op, HF_INVALID, "--%s needs a number, got \"%s\"", name, text);
    }
    return HF_SUCCESS;
}

struct hf_status cli_duration(struct cli *cli, const char *name, uint64_t absent_ms,
                              uint64_t *out_ms)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
    const char *text = cli_option(cli, name);
    HF_AUTO_STRING digits = NULL;
    uint64_t number = 0;

    if (text == NULL) {
        *out_ms = absent_ms;
        return HF_SUCCESS;
    }
    for (size_t i = 0; i < HF_COUNT(units) && text[0] != '\0'; i++) {
        if (text[strlen(text) - 1] == units[i].unit) {
            digits = hf_strndup(text, strlen(text) - 1);
            if (hf_parse_u64(&cli->op, digits, 1000000, &number).code == HF_OK) {
                *out_ms = number * units[i].ms;
                return HF_SUCCESS;
            }
            break;
        }
    }
    return hf_fail(&cli->op, HF_INVALID,
                   "--%s needs a time such as 30d, 12h, 5m or 10s, got \"%s\"", name, text);
}

struct hf_status cli_yes_no(struct cli *cli, const char *name, bool absent, bool *out)
{
    const char *text = cli_option(cli, name);

    if (text != NULL && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        return hf_fail(&cli->op, HF_INVALID, "--%s needs yes or no, got \"%s\"", name, text);
    }
    *out = text != NULL ? strcmp(text, "yes") == 0 : absent;
    return HF_SUCCESS;
}

struct hf_status cli_read_file(struct cli *cli, const char *path, struct hf_buf *out)
{
    FILE *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool whole;
    size_t got;

    if (stream == NULL) {
        return hf_fail(&cli->op, HF_INVALID, "cannot read %s: %s", path, strerror(errno));
    }
    while ((got = fread(hf_buf_reserve(out, 4096), 1, 4096, stream)) > 0) {
        hf_buf_grew(out, got);
    }
    whole = ferror(stream) == 0;
    if (stream != stdin) {
        (void)fclose(stream);
    }
    return whole ? HF_SUCCESS
                 : hf_fail(&cli->op, HF_INVALID, "cannot read %s: is it a file?", path);
}

const char *cli_directory(const struct cli *cli)
{
    return cli->directory != NULL ? cli->directory : "/var/lib/holdfast";
}

struct hf_status cli_connect(struct cli *cli, struct hf_client **out)
{
    static const char unix_prefix[] = "unix:";
    const char *directory = cli_directory(cli);
    HF_AUTO_STRING socket = cli->directory != NULL ? hf_format("%s/admin.sock", directory)
                                                   : hf_strdup("/run/holdfast/admin.sock");
    HF_AUTO_STRING ca = hf_format("%s/ca.crt", directory);
    HF_AUTO_STRING certificate = hf_format("%s/secrets/admin.crt", directory);
    HF_AUTO_STRING key = hf_format("%s/secrets/admin.key", directory);
    struct hf_client_settings settings = {
        .socket = socket,
        .url = cli->server,
        .ca_file = ca,
        .certificate_file = certificate,
        .key_file = key,
        .timeout_ms = cli->timeout_ms,
    };

    if (cli->server != NULL && strncmp(cli->server, unix_prefix, strlen(unix_prefix)) == 0) {
        settings.socket = cli->server + strlen(unix_prefix);
        settings.url = NULL;
    } else if (cli->server != NULL && strncmp(cli->server, "https://", 8) != 0) {
        return hf_fail(&cli->op, HF_INVALID,
                       "--server must be https://HOST:PORT or unix:PATH, got \"%s\"", cli->server);
    }
    return hf_client_new(&cli->op, &settings, out);
}

struct hf_status cli_fetch(struct cli *cli, const char *method, const char *path,
                           struct hf_bytes body, struct hf_buf *out)
{
    HF_AUTO(client) client = NULL;

    HF_TRY(cli_connect(cli, &client));
    return hf_client_call(client, &cli->op, method, path, body, out);
}

struct hf_status cli_call(struct cli *cli, const char *method, const char *path,
                          struct hf_bytes body, struct hf_json **out)
{
    HF_AUTO(buf) answer = hf_buf_new();

    HF_TRY(cli_fetch(cli, method, path, body, answer));
    if (cli->json) {
        (void)fwrite(answer->data, 1, answer->len, stdout);
        (void)putchar('\n');
        return HF_SUCCESS;
    }
    return out != NULL ? hf_json_parse(&cli->op, hf_buf_bytes(answer), out) : HF_SUCCESS;
}

struct hf_status cli_ring_path(struct cli *cli, const char *keyring, const char *tail, char **out)
{
    HF_AUTO(buf) path = hf_buf_new();

    if (keyring[0] == '\0') {
        return hf_fail(&cli->op, HF_INVALID, "the keyring's name is empty");
    }
    hf_buf_add_text(path, "/api/v1/keyrings/");
    hf_percent_add(path, hf_bytes_of_text(keyring));
    hf_buf_add_text(path, tail);
    *out = hf_strdup(hf_buf_text(path));
    return HF_SUCCESS;
}

struct hf_status cli_key_path(struct cli *cli, const char *word, const char *tail, char **out)
{
    const char *slash = strchr(word, '/');
    HF_AUTO_STRING keyring = NULL;
    HF_AUTO(buf) keys = hf_buf_new();

    if (slash == NULL || slash[1] == '\0') {
        return hf_fail(&cli->op, HF_INVALID, "\"%s\" must be KEYRING/KEY", word);
    }
    keyring = hf_strndup(word, (size_t)(slash - word));
    hf_buf_add_text(keys, "/keys/");
    hf_percent_add(keys, hf_bytes_of_text(slash + 1));
    hf_buf_add_text(keys, tail);
    return cli_ring_path(cli, keyring, hf_buf_text(keys), out);
}
