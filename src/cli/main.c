/* holdfast: finds the command, reads its options, runs it, turns its status into an exit code. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "cli/command.h"

const struct command *const cli_tables[] = { cli_node_commands,
                                             cli_slot_commands,
                                             cli_member_commands,
                                             cli_session_commands,
                                             cli_store_commands,
                                             cli_site_commands,
                                             cli_keyring_commands,
                                             cli_key_commands,
                                             cli_policy_commands,
                                             cli_audit_commands,
                                             cli_drill_commands,
                                             cli_job_commands,
                                             NULL };

/* Exit codes, as the manual lists them. */
static int exit_code(enum hf_code code)
{
    switch (code) {
    case HF_OK:
        return 0;
    case HF_INVALID:
    case HF_UNSUPPORTED:
    case HF_TOO_LARGE:
        return 2;
    case HF_DENIED:
    case HF_UNAUTHENTICATED:
        return 3;
    case HF_NOT_FOUND:
        return 4;
    case HF_EXISTS:
    case HF_CONFLICT:
    case HF_WRONG_STATE:
        return 5;
    case HF_UNAVAILABLE:
    case HF_LIMITED:
    case HF_IN_DOUBT:
    case HF_LATER:
    case HF_NO_SPACE:
        return 6;
    case HF_CORRUPT:
        return 7;
    case HF_INTERNAL:
        return 1;
    }
    return 1;
}

static int result_code(enum cli_result result)
{
    switch (result) {
    case CLI_GOOD:
        return 0;
    case CLI_BAD:
        return 8;
    case CLI_AMBER:
        return 9;
    }
    return 1;
}

static void print_command(const struct command *command, FILE *stream)
{
    (void)fprintf(stream, "  holdfast %s%s%s %s\n      %s\n", command->noun,
                  command->verb != NULL ? " " : "", command->verb != NULL ? command->verb : "",
                  command->words, command->does);
}

static void print_usage(FILE *stream)
{
    (void)fputs("Usage: holdfast [--dir D] [--server ADDRESS] [--json] NOUN [VERB] ...\n\n"
                "Administers the node whose directory is D (default /var/lib/holdfast), over its\n"
                "unix socket. ADDRESS is https://HOST:PORT, a remote node reached over mutual TLS\n"
                "with D/secrets/admin.{crt,key}, or unix:PATH, another socket.\n\n",
                stream);
    for (const struct command *const *table = cli_tables; *table != NULL; table++) {
        for (const struct command *command = *table; command->noun != NULL; command++) {
            print_command(command, stream);
        }
    }
    (void)fputs("\nEach command has --help with its options and an example.\n"
                "Example: holdfast --dir /tmp/hf status\n",
                stream);
}

static void print_help(const struct command *command)
{
    const char *option = command->options;

    print_command(command, stdout);
    while (*option != '\0') {
        size_t width = strcspn(option, "|");
        bool value = option[width - 1] == '=';

        (void)printf("      --%.*s%s\n", (int)(width - value), option, value ? " VALUE" : "");
        option += width + (option[width] == '|');
    }
    (void)printf("\nExample: %s\n", command->example);
}

/* What a noun can do; whether there is such a noun. */
static bool print_noun(const char *noun, FILE *stream)
{
    bool known = false;

    for (const struct command *const *table = cli_tables; *table != NULL; table++) {
        for (const struct command *command = *table; command->noun != NULL; command++) {
            if (strcmp(command->noun, noun) == 0) {
                print_command(command, stream);
                known = true;
            }
        }
    }
    return known;
}

/* How many words "A [B]" wants at least and at most. */
static void count_words(const char *words, size_t *least, size_t *most)
{
    *least = *most = 0;
    for (const char *c = words; *c != '\0';) {
        size_t len = strcspn(c, " ");

        *most += 1;
        *least += *c != '[';
        c += len + (c[len] == ' ');
    }
}

static bool takes_value(const char *options, const char *name, size_t len, bool *out_known)
{
    while (*options != '\0') {
        size_t width = strcspn(options, "|");
        bool value = width > 0 && options[width - 1] == '=';

        if (width - value == len && memcmp(options, name, len) == 0) {
            *out_known = true;
            return value;
        }
        options += width + (options[width] == '|');
    }
    *out_known = false;
    return false;
}

static struct hf_status take_option(struct cli *cli, const struct command *command, char **argv,
                                    int argc, int *at)
{
    char *name = argv[*at] + 2;
    char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    bool known = false;
    bool value = takes_value(command->options, name, len, &known);
    struct cli_option *option = &cli->options[cli->option_count];

    if (!known) {
        return hf_fail(&cli->op, HF_INVALID, "unknown option --%.*s; see holdfast %s%s%s --help",
                       (int)len, name, command->noun, command->verb != NULL ? " " : "",
                       command->verb != NULL ? command->verb : "");
    }
    if (cli->option_count == CLI_OPTIONS_MAX) {
        return hf_fail(&cli->op, HF_INVALID, "more than %d options", CLI_OPTIONS_MAX);
    }
    if (value && equals == NULL) {
        if (*at + 1 >= argc) {
            return hf_fail(&cli->op, HF_INVALID, "--%s needs a value", name);
        }
        *at += 1;
        *option = (struct cli_option){ name, argv[*at] };
    } else if (value) {
        *equals = '\0';
        *option = (struct cli_option){ name, equals + 1 };
    } else if (equals != NULL) {
        return hf_fail(&cli->op, HF_INVALID, "--%.*s takes no value", (int)len, name);
    } else {
        *option = (struct cli_option){ name, NULL };
    }
    cli->option_count++;
    return HF_SUCCESS;
}

/* The options of every command; they may stand before the noun or after it. */
static bool take_global(struct cli *cli, int argc, char **argv, int *at)
{
    const char **value = NULL;

    if (strcmp(argv[*at], "--json") == 0) {
        cli->json = true;
        return true;
    }
    if (strcmp(argv[*at], "--dir") == 0) {
        value = &cli->directory;
    } else if (strcmp(argv[*at], "--server") == 0) {
        value = &cli->server;
    }
    if (value == NULL || *at + 1 >= argc) {
        return false;
    }
    *at += 1;
    *value = argv[*at];
    return true;
}

static struct hf_status take_arguments(struct cli *cli, const struct command *command, int argc,
                                       char **argv, int at, bool *out_help)
{
    static const char *words[16];
    size_t least;
    size_t most;

    for (; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0) {
            *out_help = true;
            return HF_SUCCESS;
        }
        if (take_global(cli, argc, argv, &at)) {
            continue;
        }
        if (strncmp(argv[at], "--", 2) == 0 && argv[at][2] != '\0') {
            HF_TRY(take_option(cli, command, argv, argc, &at));
        } else if (cli->word_count < HF_COUNT(words)) {
            words[cli->word_count++] = argv[at];
        }
    }
    cli->words = words;
    count_words(command->words, &least, &most);
    if (cli->word_count < least || cli->word_count > most) {
        return hf_fail(&cli->op, HF_INVALID, "usage: holdfast %s %s %s", command->noun,
                       command->verb != NULL ? command->verb : "", command->words);
    }
    return HF_SUCCESS;
}

static const struct command *find_command(const char *noun, const char *verb, int *out_words)
{
    for (const struct command *const *table = cli_tables; *table != NULL; table++) {
        for (const struct command *command = *table; command->noun != NULL; command++) {
            if (strcmp(command->noun, noun) != 0) {
                continue;
            }
            if (command->verb == NULL) {
                *out_words = 1;
                return command;
            }
            if (verb != NULL && strcmp(command->verb, verb) == 0) {
                *out_words = 2;
                return command;
            }
        }
    }
    return NULL;
}

static struct hf_status start_memory(struct cli *cli)
{
    /* Passphrases and exported material pass through here; a person's session may run unlocked. */
    const struct hf_secret_settings settings = { .max_bytes = (size_t)32 << 20,
                                                 .allow_unlocked = true };

    return hf_secret_start(&cli->op, &settings);
}

static int run(struct cli *cli, const struct command *command, int argc, char **argv, int at)
{
    bool help = false;
    struct hf_status status = take_arguments(cli, command, argc, argv, at, &help);

    if (help) {
        print_help(command);
        return 0;
    }
    if (status.code == HF_OK) {
        status = start_memory(cli);
    }
    if (status.code == HF_OK) {
        status = command->run(cli);
    }
    if (status.code != HF_OK) {
        (void)fprintf(stderr, "holdfast: %s\n",
                      cli->op.text[0] != '\0' ? cli->op.text : hf_code_sentence(status.code));
    }
    if (status.code == HF_DENIED && strcmp(cli->op.text, hf_code_sentence(HF_DENIED)) == 0) {
        (void)fputs("Which rule decides: holdfast policy explain CALLER ACTION; the audit trail "
                    "has both.\n",
                    stderr);
    }
    if (fflush(stdout) != 0) {
        return 1;
    }
    return status.code == HF_OK ? result_code(cli->result) : exit_code(status.code);
}

/* Help for a noun that came without a verb, or with one it does not have. */
static int no_command(const char *noun, const char *verb)
{
    bool help = verb != NULL && strcmp(verb, "--help") == 0;

    if (help && print_noun(noun, stdout)) {
        return 0;
    }
    (void)fprintf(stderr, "holdfast: there is no command \"%s%s%s\"; see holdfast --help\n", noun,
                  verb != NULL && !help ? " " : "", verb != NULL && !help ? verb : "");
    (void)print_noun(noun, stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct cli cli = { 0 };
    struct hf_env env;
    const struct command *command;
    const char *verb;
    int words = 0;
    int at = 1;

    hf_env_system(&env);
    hf_op_init(&cli.op, &env);
    while (at < argc && take_global(&cli, argc, argv, &at)) {
        at++;
    }
    if (at < argc && strcmp(argv[at], "--version") == 0) {
        (void)puts("holdfast " HF_VERSION);
        return 0;
    }
    if (at >= argc || strcmp(argv[at], "--help") == 0) {
        print_usage(at >= argc ? stderr : stdout);
        return at >= argc ? 2 : 0;
    }
    verb = at + 1 < argc ? argv[at + 1] : NULL;
    command = find_command(argv[at], verb, &words);
    if (command == NULL) {
        return no_command(argv[at], verb);
    }
    return run(&cli, command, argc, argv, at + words);
}
