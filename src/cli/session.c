/* session end. */
#include "cli/command.h"

static struct hf_status end(struct cli *cli)
{
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO(json) answer = NULL;
    struct hf_json_writer writer;
    bool all = cli_flag(cli, "all");

    if (all == (cli->word_count > 0)) {
        return hf_fail(&cli->op, HF_INVALID,
                       "say whose sessions end: the name of a Hadoop user, or --all");
    }
    hf_json_writer_init(&writer, body);
    hf_json_open_object(&writer, NULL);
    if (all) {
        hf_json_put_bool(&writer, "all", true);
    } else {
        hf_json_put_text(&writer, "user", cli->words[0]);
    }
    hf_json_close_object(&writer);
    HF_TRY(cli_call(cli, "POST", "/api/v1/sessions/end", hf_buf_bytes(body), &answer));
    if (answer != NULL && all) {
        cli_print("No cookie that was made before is good on any node.\n");
    } else if (answer != NULL) {
        cli_print("No cookie that %s had is good on any node.\n", cli->words[0]);
    }
    return HF_SUCCESS;
}

const struct command cli_session_commands[] = {
    { "session", "end", "[USER]", "all",
      "Takes back the cookies that a Hadoop user has now, or with --all those of all users.",
      "holdfast --dir /srv/holdfast session end alice", end },
    { 0 },
};
