/* Lines of an audit trail, one by one and as a file whose hashes are right. */
#include "fuzz_crypto.h"

#include <sys/mman.h>
#include <unistd.h>

#include "audit/walk.h"
#include "base/text.h"

static bool is_within(struct hf_bytes part, struct hf_bytes whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

/* What the parser found must be what stands there, in the one way it can be written. */
static void check_line(struct hf_bytes text)
{
    HF_AUTO(buf) expected = hf_buf_new();
    struct hf_audit_line line;
    struct hf_audit_members members;
    struct hf_status status = hf_audit_line_parse(fuzz_op(), text, &line);

    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code != HF_OK) {
        return;
    }
    hf_buf_add_text(expected, "{\"n\":");
    hf_audit_add_number(expected, line.number);
    hf_buf_add_text(expected, ",\"t\":\"");
    hf_buf_add_bytes(expected, line.date);
    hf_buf_add_text(expected, "\"");
    hf_buf_add_bytes(expected, line.members);
    fuzz_require(hf_bytes_equal(hf_buf_bytes(expected), line.chained));
    hf_buf_add_text(expected, ",\"h\":\"");
    hf_hex_add(expected, hf_bytes_of(line.hash, sizeof line.hash));
    hf_buf_add_text(expected, "\"}");
    fuzz_require(hf_bytes_equal(hf_buf_bytes(expected), text));
    (void)hf_audit_line_realtime_ms(&line);

    status = hf_audit_members_parse(fuzz_op(), &line, &members);
    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK && members.kind == HF_AUDIT_CHECKPOINT) {
        fuzz_require(is_within(members.signed_part, line.chained));
        fuzz_require(strlen(members.key) == 64);
    }
}

/* The input's lines are chained, so that the walk gets beyond the first hash. */
static void chain(struct hf_bytes input, struct hf_buf *out)
{
    uint8_t hash[HF_SHA256_LEN] = { 0 };

    while (input.len > 0) {
        const uint8_t *newline = memchr(input.data, '\n', input.len);
        size_t len = newline != NULL ? (size_t)(newline - input.data) : input.len;

        fuzz_require(
            hf_audit_link(fuzz_crypto(), fuzz_op(), hash, hf_bytes_of(input.data, len), hash)
                .code == HF_OK);
        hf_buf_add(out, input.data, len);
        hf_buf_add_text(out, ",\"h\":\"");
        hf_hex_add(out, hf_bytes_of(hash, sizeof hash));
        hf_buf_add_text(out, newline != NULL ? "\"}\n" : "\"}");
        len += newline != NULL ? 1 : 0;
        input = hf_bytes_of(input.data + len, input.len - len);
    }
}

static void walk(struct hf_bytes content)
{
    int fd = memfd_create("audit.log", MFD_CLOEXEC);
    struct hf_audit_walker walker;
    struct hf_audit_report report;
    struct hf_status status;

    fuzz_require(fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len);
    hf_audit_walker_init(&walker, fuzz_crypto(), &report);
    walker.part = true;
    status = hf_audit_walk_file(&walker, fuzz_op(), fd, "audit.log");
    fuzz_require(status.code == HF_OK || status.code == HF_CORRUPT);
    if (status.code == HF_OK) {
        fuzz_require(walker.whole_bytes + walker.torn_bytes == content.len);
        fuzz_require(report.lines > 0 && report.problem[0] == '\0');
        fuzz_require(report.last_line - report.first_line + 1 == report.lines);
    } else {
        fuzz_require(report.problem[0] != '\0');
    }
    hf_audit_walker_done(&walker);
    fuzz_require(close(fd) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes input = hf_bytes_of(data, len);
    HF_AUTO(buf) content = hf_buf_new();

    switch (fuzz_take_byte(&input) % 3) {
    case 0:
        check_line(input);
        break;
    case 1:
        walk(input);
        break;
    default:
        chain(input, content);
        walk(hf_buf_bytes(content));
        break;
    }
    return 0;
}
