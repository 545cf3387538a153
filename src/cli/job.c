/* holdfast job. */
#include "cli/command.h"

static struct hf_status list(struct cli *cli)
{
    static const struct cli_column columns[] = {
        { "JOB", "name" },    { "STATE", "state" },         { "NODE", "node" },
        { "BEGUN", "begun" }, { "ENDED", "ended" },         { "DONE", "done" },
        { "OF", "total" },    { "DUE SINCE", "due_since" }, { "NEXT LOOK", "next_look" },
        { "FAILED", "text" },
    };
    HF_AUTO(json) answer = NULL;
    const struct hf_json *jobs = NULL;

    HF_TRY(cli_call(cli, "GET", "/api/v1/jobs", HF_BYTES_NONE, &answer));
    if (answer != NULL) {
        HF_TRY(hf_json_array_or(&cli->op, answer, "jobs", &jobs));
        cli_print_table(jobs, columns, HF_COUNT(columns));
    }
    return HF_SUCCESS;
}

const struct command cli_job_commands[] = {
    { "job", "list", "", "",
      "Lists what the server does by itself: which node did it last, when, and what is due.",
      "holdfast job list", list },
    { 0 },
};
