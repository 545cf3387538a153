/* holdfast audit: verification without a server. */
#include "audit/audit.h"
#include "base/alloc.h"
#include "cli/command.h"

static void print_json(const struct hf_audit_report *report, bool good)
{
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_bool(&writer, "intact", good);
    hf_json_put_u64(&writer, "files", report->files);
    hf_json_put_u64(&writer, "first_file", report->first_file);
    hf_json_put_u64(&writer, "first_line", report->first_line);
    hf_json_put_u64(&writer, "lines", report->lines);
    hf_json_put_u64(&writer, "checkpoints", report->checkpoints);
    hf_json_put_u64(&writer, "lines_after_checkpoint", report->lines_after_checkpoint);
    hf_json_put_bool(&writer, "anchored", report->anchored);
    if (!good) {
        hf_json_put_text(&writer, "problem_file", report->problem_file);
        hf_json_put_u64(&writer, "problem_line", report->problem_line);
    }
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(out));
}

static struct hf_status verify(struct cli *cli)
{
    const char *given = cli_option(cli, "trail");
    const char *given_key = cli_option(cli, "public-key");
    HF_AUTO_STRING trail =
        given != NULL ? hf_strdup(given) : hf_format("%s/audit", cli_directory(cli));
    HF_AUTO_STRING key_file =
        given_key != NULL ? hf_strdup(given_key) : hf_format("%s/audit.pub", cli_directory(cli));
    HF_AUTO(crypto) crypto = NULL;
    HF_AUTO(buf) key = hf_buf_new();
    HF_AUTO(buf) anchor = hf_buf_new();
    HF_AUTO(buf) words = hf_buf_new();
    struct hf_audit_report report = { 0 };
    struct hf_status status;

    HF_TRY(hf_crypto_start(&cli->op));
    HF_TRY(hf_crypto_new(&cli->op, &crypto));
    HF_TRY(cli_read_file(cli, key_file, key));
    if (cli_option(cli, "anchor") != NULL) {
        HF_TRY(cli_read_file(cli, cli_option(cli, "anchor"), anchor));
    }
    status = (cli_flag(cli, "part") ? hf_audit_verify_part : hf_audit_verify)(
        crypto, &cli->op, trail, hf_buf_bytes(key), hf_buf_bytes(anchor), &report);
    if (cli->json) {
        print_json(&report, status.code == HF_OK);
    } else if (status.code == HF_OK) {
        hf_audit_report_write(&report, words);
        cli_print("%s", hf_buf_text(words));
    }
    return status;
}

const struct command cli_audit_commands[] = {
    { "audit", "verify", "", "trail=|public-key=|anchor=|part",
      "Checks the audit trail's chain and signatures, and says what it cannot exclude.",
      "holdfast --dir /srv/holdfast audit verify --anchor /mnt/elsewhere/checkpoint.json", verify },
    { 0 },
};
