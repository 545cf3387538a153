/*
 * Commands of the holdfast program: rows of tables, one per noun and verb.
 */
#pragma once

#include "base/json.h"
#include "base/op.h"
#include "client/client.h"

#define CLI_OPTIONS_MAX 32

struct cli_option {
    const char *name;
    const char *value; /* NULL for a flag */
};

/* What a command that went through has found. */
enum cli_result {
    CLI_GOOD,
    CLI_BAD,   /* something does not open, or would not */
    CLI_AMBER, /* everything opens, but less well than it should */
};

/* One call of the program. */
struct cli {
    struct hf_op op;
    const char *directory; /* --dir; NULL: the system's */
    const char *server;    /* --server https://host:port or unix:path; NULL: D's unix socket */
    bool json;
    uint64_t timeout_ms;      /* of calls; 0: a minute */
    enum cli_result result;   /* of the work, once it is done */
    const char *const *words; /* what stands after noun and verb */
    size_t word_count;
    struct cli_option options[CLI_OPTIONS_MAX];
    size_t option_count;
};

struct command {
    const char *noun;
    const char *verb;    /* NULL: the noun stands alone */
    const char *words;   /* "KEYRING/KEY", for usage and for counting */
    const char *options; /* "reason=|force": '=' takes a value */
    const char *does;    /* one sentence */
    const char *example;
    struct hf_status (*run)(struct cli *cli);
};

/* Tables end with a NULL noun. */
extern const struct command cli_node_commands[];
extern const struct command cli_slot_commands[];
extern const struct command cli_member_commands[];
extern const struct command cli_session_commands[];
extern const struct command cli_store_commands[];
extern const struct command cli_site_commands[];
extern const struct command cli_keyring_commands[];
extern const struct command cli_key_commands[];
extern const struct command cli_policy_commands[];
extern const struct command cli_audit_commands[];
extern const struct command cli_drill_commands[];
extern const struct command cli_job_commands[];
extern const struct command *const cli_tables[];

/* --- options and words --- */

/* The value of an option, or NULL. */
const char *cli_option(const struct cli *cli, const char *name);
bool cli_flag(const struct cli *cli, const char *name);
struct hf_status cli_number(struct cli *cli, const char *name, uint64_t absent, uint64_t *out);
/* "30d", "12h", "5m", "10s" in milliseconds; absent when the option is not there. */
struct hf_status cli_duration(struct cli *cli, const char *name, uint64_t absent_ms,
                              uint64_t *out_ms);
/* Yes or no; absent when the option is not there. */
struct hf_status cli_yes_no(struct cli *cli, const char *name, bool absent, bool *out);
/* The node's directory as given, or the system's. */
const char *cli_directory(const struct cli *cli);

#define CLI_HOSTS_MAX 8
/* What --host named, as often as it was given. */
struct hf_status cli_hosts(struct cli *cli, const char *hosts[CLI_HOSTS_MAX], size_t *out_count);

/* A file as it is; "-" is standard input. */
struct hf_status cli_read_file(struct cli *cli, const char *path, struct hf_buf *out);

/* --- calls --- */

/* The client of the admin door that --dir and --server name. */
struct hf_status cli_connect(struct cli *cli, struct hf_client **out);
/* Calls the admin door; the answer as it came. */
struct hf_status cli_fetch(struct cli *cli, const char *method, const char *path,
                           struct hf_bytes body, struct hf_buf *out);
/* Calls the admin door; with --json the answer is printed and *out stays NULL. out may be NULL. */
struct hf_status cli_call(struct cli *cli, const char *method, const char *path,
                          struct hf_bytes body, struct hf_json **out);
/* "/api/v1/keyrings/R" or "/api/v1/keyrings/R/keys/K" from "R/K", with a tail; freed by the caller.
 */
struct hf_status cli_ring_path(struct cli *cli, const char *keyring, const char *tail, char **out);
struct hf_status cli_key_path(struct cli *cli, const char *word, const char *tail, char **out);

/*
 * The body that names a slot's secret, as --passphrase-file, --key-file or standard input have it;
 * with a name, that of a new slot.
 */
struct hf_status cli_protector_body(struct cli *cli, const char *name, struct hf_buf *out);

/* What the answer to a removal says of the root and of what the removed one keeps. */
struct hf_status cli_print_removal(struct cli *cli, const struct hf_json *answer, bool root_kept);

/* --- printing --- */

/* A table: columns named, rows from an array of objects by member name. */
struct cli_column {
    const char *title;
    const char *member;
};
void cli_print_table(const struct hf_json *rows, const struct cli_column *columns, size_t count);
/* "member: value" lines of an object's plain members. */
void cli_print_object(const struct hf_json *object);
/* One name on its line, with what a terminal would obey made visible. */
void cli_print_name(const char *name);
/* A value as people read it: text, number, yes or no, "-". */
void cli_add_value(struct hf_buf *out, const struct hf_json *object, const char *member);
void cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
