/* What a verification found, in plain sentences. */
#include <inttypes.h>

#include "audit/audit.h"
#include "base/text.h"

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void write_problem(const struct hf_audit_report *report, struct hf_buf *out)
{
    hf_buf_add_format(out, "The trail is damaged. %s", report->problem_file);
    if (report->problem_line != 0) {
        hf_buf_add_format(out, ", line %" PRIu64, report->problem_line);
    }
    hf_buf_add_format(out, ": %s.\n", report->problem);
    if (report->lines > 0) {
        hf_buf_add_format(out, "Up to line %" PRIu64 " everything is in order.\n",
                          report->last_line);
    }
}

static void write_extent(const struct hf_audit_report *report, struct hf_buf *out)
{
    hf_buf_add_format(out,
                      "The chain is whole: %" PRIu64 " line%s (%" PRIu64 " to %" PRIu64
                      ") in %" PRIu64 " file%s, from ",
                      report->lines, plural(report->lines), report->first_line, report->last_line,
                      report->files, plural(report->files));
    hf_date_add(out, report->first_ms);
    hf_buf_add_text(out, " to ");
    hf_date_add(out, report->last_ms);
    hf_buf_add_format(out,
                      ".\nIt has %" PRIu64 " control note%s and %" PRIu64
                      " checkpoint%s; every signature is right.\n",
                      report->notes, plural(report->notes), report->checkpoints,
                      plural(report->checkpoints));
    if (report->first_file > 1) {
        hf_buf_add_format(out,
                          "It begins with file %" PRIu64 ": lines 1 to %" PRIu64
                          " are not here and were not checked.\n",
                          report->first_file, report->first_line - 1);
    }
}

static void write_events(const struct hf_audit_report *report, struct hf_buf *out)
{
    if (report->lost > 0) {
        hf_buf_add_format(out,
                          "The trail itself says that %" PRIu64
                          " line%s found no space on the disk; look for audit.resumed.\n",
                          report->lost, plural(report->lost));
    }
    if (report->repairs > 0) {
        hf_buf_add_format(out,
                          "A torn end was cut off %" PRIu64
                          " time%s after a crash; look for audit.repaired.\n",
                          report->repairs, plural(report->repairs));
    }
    if (report->live) {
        hf_buf_add_text(out, "A server is writing the trail; what it writes meanwhile was not "
                             "checked.\n");
    }
}

static void write_exclusions(const struct hf_audit_report *report, struct hf_buf *out)
{
    if (report->lines_after_checkpoint > 0) {
        hf_buf_add_format(out,
                          "Not excluded: that the last %" PRIu64
                          " line%s, after the last checkpoint, were written anew by somebody who "
                          "can write the file. No signature covers them yet.\n",
                          report->lines_after_checkpoint, plural(report->lines_after_checkpoint));
    }
    if (report->anchored) {
        hf_buf_add_text(out, "The anchor stands in the chain: nothing up to it was cut or "
                             "replaced.\nNot excluded: that lines after the anchor were cut from "
                             "the end. A newer anchor would tell.\n");
    } else {
        hf_buf_add_text(out,
                        "Not excluded, because no anchor was given: that lines were cut from the "
                        "end, or that the whole trail was replaced by somebody who has the signing "
                        "key. Compare with a checkpoint line that was kept elsewhere.\n");
    }
}

void hf_audit_report_write(const struct hf_audit_report *report, struct hf_buf *out)
{
    if (report->problem[0] != '\0') {
        write_problem(report, out);
    } else {
        write_extent(report, out);
        write_events(report, out);
        write_exclusions(report, out);
    }
}
