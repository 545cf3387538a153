/* holdfast site promote, holdfast store accept-history. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/accept.h"

/* The daemon gives up before that. */
#define CALL_MS 240000
/* And here, where a copy of the whole store is made. */
#define COPY_MS 2700000

static void put_flag(const struct cli *cli, struct hf_json_writer *writer, const char *option,
                     const char *member)
{
    if (cli_flag(cli, option)) {
        hf_json_put_bool(writer, member, true);
    }
}

static struct hf_status print_hosts(struct cli *cli, const struct hf_json *answer)
{
    static const struct cli_column columns[] = { { "HOST", "name" },
                                                 { "SITE", "site" },
                                                 { "STATE", "state" },
                                                 { "TIMELINE", "timeline" },
                                                 { "", "problem" } };
    const struct hf_json *hosts = NULL;

    HF_TRY(hf_json_array_or(&cli->op, answer, "hosts", &hosts));
    cli_print_table(hosts, columns, HF_COUNT(columns));
    return HF_SUCCESS;
}

static void print_member(const struct hf_json *object, const char *before, const char *member,
                         const char *after)
{
    HF_AUTO(buf) text = hf_buf_new();

    cli_add_value(text, object, member);
    cli_print("%s%s%s", before, hf_buf_text(text), after);
}

/* What vanishes, commit by commit. */
static struct hf_status print_lost(struct cli *cli, const struct hf_json *answer)
{
    static const struct cli_column columns[] = { { "COMMIT", "seq" },
                                                 { "TIME", "time" },
                                                 { "OPERATION", "operation" },
                                                 { "WHAT", "what" },
                                                 { "TAKES AWAY", "takes_away" } };
    const struct hf_json *lost = NULL;
    const struct hf_json *commits = NULL;
    uint64_t count = 0;
    uint64_t unlisted = 0;
    bool or_more = false;

    HF_TRY(hf_json_object_or(&cli->op, answer, "lost", &lost));
    if (lost == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_json_u64_or(&cli->op, lost, "count", 0, &count));
    HF_TRY(hf_json_u64_or(&cli->op, lost, "unlisted", 0, &unlisted));
    HF_TRY(hf_json_bool_or(&cli->op, lost, "or_more", false, &or_more));
    HF_TRY(hf_json_array_or(&cli->op, lost, "commits", &commits));
    if (count == 0 && !or_more) {
        cli_print("This node's copy has nothing that would be lost.\n");
        return HF_SUCCESS;
    }
    print_member(lost, or_more ? "At least " : "", "count",
                 " commits of this node's copy would be lost");
    print_member(lost, ", the newest of ", "newest", ":\n");
    cli_print_table(commits, columns, HF_COUNT(columns));
    if (unlisted > 0) {
        print_member(lost, "and ", "unlisted", " more, which took nothing away.\n");
    }
    return HF_SUCCESS;
}

static struct hf_status print_line(struct cli *cli, const struct hf_json *answer,
                                   const char *member, const char *before)
{
    const char *text = NULL;

    HF_TRY(hf_json_text_or(&cli->op, answer, member, NULL, &text));
    if (text != NULL) {
        cli_print("%s%s.\n", before, text);
    }
    return HF_SUCCESS;
}

static struct hf_status print_standby(struct cli *cli, const struct hf_json *answer)
{
    const struct hf_json *standby = NULL;
    uint64_t waiting = 0;

    HF_TRY(hf_json_object_or(&cli->op, answer, "standby", &standby));
    if (standby == NULL) {
        return HF_SUCCESS;
    }
    print_member(standby, "\n", "name", " would take over");
    print_member(standby, " by ", "by", "");
    print_member(standby, ", at commit ", "seq", "");
    print_member(standby, " of ", "committed", "");
    print_member(answer, "; known here is commit ", "known_seq", ".\n");
    HF_TRY(hf_json_u64_or(&cli->op, standby, "waiting_bytes", 0, &waiting));
    if (waiting > 0) {
        print_member(standby, "It has received ", "waiting_bytes",
                     " bytes more, which a promotion puts in force: fewer may be lost.\n");
    }
    return HF_SUCCESS;
}

static struct hf_status print_promotion(struct cli *cli, const struct hf_json *answer)
{
    bool promoted = false;

    HF_TRY(print_hosts(cli, answer));
    HF_TRY(hf_json_bool_or(&cli->op, answer, "promoted", false, &promoted));
    HF_TRY(print_standby(cli, answer));
    HF_TRY(print_lost(cli, answer));
    HF_TRY(print_line(cli, answer, "old_primary", "Still says that it is the primary: "));
    if (promoted) {
        print_member(answer, "\nSite ", "site", " has the primary");
        print_member(answer, ", on timeline ", "timeline", ".\n");
    } else {
        HF_TRY(print_line(cli, answer, "refused", "\nAs it stands this would be refused: "));
    }
    cli_print("When hosts of the other site come back, they are on a timeline that was left: no "
              "node reads or writes there. Make them standbys of this site again (pg_rewind, or "
              "anew).\n");
    return print_line(cli, answer, "after", "Still to be done: ");
}

static struct hf_status site_promote(struct cli *cli)
{
    HF_AUTO(buf) path = hf_buf_new();
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;
    uint64_t lose = 0;

    HF_TRY(cli_number(cli, "lose", 0, &lose));
    hf_buf_add_text(path, "/api/v1/sites/");
    hf_percent_add(path, hf_bytes_of_text(cli->words[0]));
    hf_buf_add_text(path, "/promote");
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    put_flag(cli, &writer, "dry-run", "dry_run");
    put_flag(cli, &writer, "force", "force");
    hf_json_put_u64(&writer, "lose", lose);
    hf_json_close_object(&writer);
    cli->timeout_ms = CALL_MS;
    HF_TRY(cli_call(cli, "POST", hf_buf_text(path), hf_buf_bytes(body), &answer));
    return answer != NULL ? print_promotion(cli, answer) : HF_SUCCESS;
}

static struct hf_status print_acceptance(struct cli *cli, const struct hf_json *answer)
{
    bool accepted = false;

    HF_TRY(hf_json_bool_or(&cli->op, answer, "accepted", false, &accepted));
    print_member(answer, "This node's copy stands at commit ", "copy_seq", "");
    print_member(answer, ", the store at ", "store_seq", "");
    print_member(answer, "; they have in common what is up to ", "common_seq", ".\n");
    HF_TRY(print_lost(cli, answer));
    HF_TRY(print_line(cli, answer, "refused", "\nAs it stands this would be refused: "));
    if (accepted) {
        cli_print(
            "\nThe node follows the store as it stands. What it gave up is in its audit trail, "
            "and its copy of it lies in the mirror's directory.\n");
    }
    return print_line(cli, answer, "after", "Still to be done: ");
}

static struct hf_status accept_history(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;
    struct hf_status status;

    if (cli_flag(cli, "offline")) {
        return cli_accept_offline(cli);
    }
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    put_flag(cli, &writer, "dry-run", "dry_run");
    put_flag(cli, &writer, "force", "force");
    hf_json_close_object(&writer);
    cli->timeout_ms = COPY_MS;
    status = cli_call(cli, "POST", "/api/v1/store/accept-history", hf_buf_bytes(body), &answer);
    if (status.code == HF_UNAVAILABLE && cli->server == NULL) {
        HF_AUTO_STRING reason = hf_strdup(cli->op.text);

        return hf_fail(&cli->op, HF_UNAVAILABLE,
                       "%.200s; where it does not start because of this, --offline", reason);
    }
    HF_TRY(status);
    return answer != NULL ? print_acceptance(cli, answer) : HF_SUCCESS;
}

const struct command cli_site_commands[] = {
    { "site", "promote", "SITE", "dry-run|force|lose=",
      "Makes the standby of a site the primary, or, with --dry-run, says what would be lost.",
      "holdfast --dir /srv/holdfast site promote west --dry-run", site_promote },
    { "store", "accept-history", "", "dry-run|force|offline",
      "Follows the store as it stands, and gives up what only this node's copy has; --dry-run "
      "lists that; --offline is for a daemon that does not start.",
      "holdfast --dir /srv/holdfast store accept-history --dry-run", accept_history },
    { 0 },
};
