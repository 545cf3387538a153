/* holdfast policy and holdfast approval. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"

#define GRANTS "grants" /* the document that "policy grant" adds to */

static char *policy_path(const char *name)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, "/api/v1/policies/");
    hf_percent_add(path, hf_bytes_of_text(name));
    return hf_strdup(hf_buf_text(path));
}

static struct hf_status list(struct cli *cli)
{
    HF_AUTO(json) answer = NULL;
    const struct hf_json *names = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/policies", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "policies", &names));
        for (size_t i = 0; i < hf_json_count(names); i++) {
            cli_print_name(hf_json_string(hf_json_at(names, i)));
        }
    }
    return HF_SUCCESS;
}

static struct hf_status show(struct cli *cli)
{
    HF_AUTO_STRING path = policy_path(cli->words[0]);

    cli->json = true; /* a policy is a JSON document: it is shown as it was put */
    return cli_call(cli, "GET", path, HF_BYTES_NONE, NULL);
}

static struct hf_status put(struct cli *cli)
{
    HF_AUTO_STRING path = policy_path(cli->words[0]);
    HF_AUTO(buf) document = hf_buf_new();

    HF_TRY(cli_read_file(cli, cli->words[1], document));
    HF_TRY(cli_call(cli, "PUT", path, hf_buf_bytes(document), NULL));
    if (!cli->json) {
        cli_print("Policy %s is in force.\n", cli->words[0]);
    }
    return HF_SUCCESS;
}

static struct hf_status remove_policy(struct cli *cli)
{
    HF_AUTO_STRING path = policy_path(cli->words[0]);

    HF_TRY(cli_call(cli, "DELETE", path, HF_BYTES_NONE, NULL));
    if (!cli->json) {
        cli_print("Policy %s is removed.\n", cli->words[0]);
    }
    return HF_SUCCESS;
}

/* --- grant: one more rule at the end of a document --- */

static void add_list(struct cli *cli, struct hf_json_writer *writer, const char *option,
                     const char *member)
{
    bool open = false;

    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, option) == 0) {
            if (!open) {
                hf_json_open_array(writer, member);
                open = true;
            }
            hf_json_put_text(writer, NULL, cli->options[i].value);
        }
    }
    if (open) {
        hf_json_close_array(writer);
    }
}

static void add_rule(struct cli *cli, struct hf_buf *out)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "effect", cli_flag(cli, "deny") ? "deny" : "allow");
    add_list(cli, &writer, "who", "who");
    add_list(cli, &writer, "role", "roles");
    add_list(cli, &writer, "action", "actions");
    add_list(cli, &writer, "keyring", "keyrings");
    add_list(cli, &writer, "key", "keys");
    hf_json_close_object(&writer);
}

static struct hf_status grant(struct cli *cli)
{
    HF_AUTO_STRING path = policy_path(GRANTS);
    HF_AUTO(buf) document = hf_buf_new();
    HF_AUTO(json) old = NULL;
    bool json = cli->json;
    struct hf_status status;

    cli->json = false;
    status = cli_call(cli, "GET", path, HF_BYTES_NONE, &old);
    if (status.code != HF_NOT_FOUND) {
        HF_TRY(status);
    }
    hf_buf_add_text(document, "{\"rules\":[");
    if (old != NULL) {
        const struct hf_json *rules = NULL;

        HF_TRY(hf_json_array_or(&cli->op, old, "rules", &rules));
        for (size_t i = 0; i < hf_json_count(rules); i++) {
            hf_json_add(document, hf_json_at(rules, i));
            hf_buf_add_text(document, ",");
        }
    }
    add_rule(cli, document);
    hf_buf_add_text(document, "]}");
    cli->json = json;
    HF_TRY(cli_call(cli, "PUT", path, hf_buf_bytes(document), NULL));
    if (!json) {
        cli_print("The rule is in force (policy %s).\n", GRANTS);
    }
    return HF_SUCCESS;
}

static struct hf_status explain(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;
    const char *text = NULL;

    if (strchr(cli->words[0], ':') == NULL) {
        return hf_fail(&cli->op, HF_INVALID,
                       "\"%s\" must say how the caller proves who he is: unix:%s, cert:%s or "
                       "pseudo:%s",
                       cli->words[0], cli->words[0], cli->words[0], cli->words[0]);
    }
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "who", cli->words[0]);
    hf_json_put_text(&writer, "action", cli->words[1]);
    if (cli_option(cli, "keyring") != NULL) {
        hf_json_put_text(&writer, "keyring", cli_option(cli, "keyring"));
    }
    if (cli_option(cli, "key") != NULL) {
        hf_json_put_text(&writer, "key", cli_option(cli, "key"));
    }
    hf_json_close_object(&writer);
    HF_TRY(cli_call(cli, "POST", "/api/v1/explain", hf_buf_bytes(body), &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_text(&cli->op, answer, "explanation", &text));
        cli_print("%s", text);
    }
    return HF_SUCCESS;
}

static struct hf_status approvals(struct cli *cli)
{
    static const struct cli_column columns[] = {
        { "ID", "id" },        { "OPERATION", "operation" }, { "KEYRING", "keyring" },
        { "KEY", "key" },      { "ASKED BY", "requester" },  { "APPROVED BY", "approver" },
        { "UNTIL", "expires" }
    };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *rows = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/approvals", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "approvals", &rows));
        cli_print_table(rows, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

static struct hf_status approve(struct cli *cli)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, "/api/v1/approvals/");
    hf_percent_add(path, hf_bytes_of_text(cli->words[0]));
    hf_buf_add_text(path, "/approve");
    HF_TRY(cli_call(cli, "POST", hf_buf_text(path), hf_bytes_of_text("{}"), NULL));
    if (!cli->json) {
        cli_print("Approved; the one who asked may now repeat the command.\n");
    }
    return HF_SUCCESS;
}

const struct command cli_policy_commands[] = {
    { "policy", "list", "", "", "Lists the policy documents in force.", "holdfast policy list",
      list },
    { "policy", "show", "NAME", "", "Prints a policy document.", "holdfast policy show grants",
      show },
    { "policy", "put", "NAME FILE", "", "Puts a policy document in force (- is standard input).",
      "holdfast policy put etl etl.json", put },
    { "policy", "remove", "NAME", "", "Takes a policy document out of force.",
      "holdfast policy remove etl", remove_policy },
    { "policy", "grant", "", "who=|role=|action=|keyring=|key=|deny",
      "Adds one rule to the document \"grants\".",
      "holdfast policy grant --who pseudo:hdfs --role key-user --keyring hadoop", grant },
    { "policy", "explain", "WHO ACTION",
      "keyring=|key=", "Says whether a caller may do something, and which rule decides.",
      "holdfast policy explain pseudo:hdfs key.unwrap --keyring hadoop --key sales", explain },
    { "approval", "list", "", "", "Lists what waits for a second person.", "holdfast approval list",
      approvals },
    { "approval", "give", "ID", "", "Approves what another person asked for.",
      "holdfast approval give 6f1c0a5d9e3b42718c0d9a7b6e5f4a3c", approve },
    { 0 },
};
