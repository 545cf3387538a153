/* Walking along the chain: reading whole lines, and judging each by what came before it. */
#include "audit/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

/*
 * The hash of a line covers the hash before it, which is put in front of the line where it stands
 * in the buffer, over bytes that are done with; the first line finds a margin there.
 */
#define MARGIN     HF_SHA256_LEN
#define READ_CHUNK ((size_t)256 * 1024)
#define ROOM       (HF_AUDIT_LINE_MAX + 1 + READ_CHUNK)

void hf_audit_walker_init(struct hf_audit_walker *walker, struct hf_crypto *crypto,
                          struct hf_audit_report *report)
{
    memset(walker, 0, sizeof *walker);
    memset(report, 0, sizeof *report);
    walker->crypto = crypto;
    walker->report = report;
    walker->buffer = hf_alloc(MARGIN + ROOM);
}

void hf_audit_walker_done(struct hf_audit_walker *walker)
{
    free(walker->buffer);
    walker->buffer = NULL;
}

struct hf_status hf_audit_problem(struct hf_audit_report *report, struct hf_op *op,
                                  const char *file, uint64_t line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(report->problem, sizeof report->problem, format, arguments);
    va_end(arguments);
    (void)snprintf(report->problem_file, sizeof report->problem_file, "%s", file);
    report->problem_line = line;
    if (line == 0) {
        return hf_fail(op, HF_CORRUPT, "audit trail, %s: %s", file, report->problem);
    }
    return hf_fail(op, HF_CORRUPT, "audit trail, %s, line %" PRIu64 ": %s", file, line,
                   report->problem);
}

#define PROBLEM(walker, op, line, ...)                                                             \
    hf_audit_problem((walker)->report, (op), (walker)->name, (line), __VA_ARGS__)

/* --- one line --- */

static bool is_zero(const uint8_t *data, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++) {
        any |= data[i];
    }
    return any == 0;
}

/* The first line of the first file that is there: what it says of earlier files is all we have. */
static struct hf_status begin(struct hf_audit_walker *walker, struct hf_op *op,
                              const struct hf_audit_line *line,
                              const struct hf_audit_members *members)
{
    if (members->file == 1 && (line->number != 1 || members->last_seq != 0 ||
                               !is_zero(members->previous, sizeof members->previous))) {
        return PROBLEM(walker, op, 1, "the first file does not start at the beginning");
    }
    if (members->file == 0 || (members->file > 1 && line->number < 2)) {
        return PROBLEM(walker, op, line->number, "the number of the file or the line cannot be");
    }
    if (members->file > 1 && !walker->part) {
        return PROBLEM(walker, op, line->number,
                       "this is file %" PRIu64 " of the trail; the files before it are missing"
                       " (--part checks what is here)",
                       members->file);
    }
    walker->started = true;
    walker->file = members->file - 1;
    memcpy(walker->trail, members->trail, sizeof walker->trail);
    walker->chain.line = line->number - 1;
    walker->chain.last_seq = members->last_seq;
    memcpy(walker->chain.hash, members->previous, sizeof walker->chain.hash);
    walker->report->first_file = members->file;
    walker->report->first_line = line->number;
    walker->report->first_ms = hf_audit_line_realtime_ms(line);
    if (walker->anchor != NULL &&
        memcmp(walker->anchor->trail, walker->trail, sizeof walker->trail) != 0) {
        return PROBLEM(walker, op, line->number, "the anchor was taken from another trail");
    }
    return HF_SUCCESS;
}

static struct hf_status check_file_start(struct hf_audit_walker *walker, struct hf_op *op,
                                         const struct hf_audit_line *line,
                                         const struct hf_audit_members *members)
{
    if (memcmp(members->trail, walker->trail, sizeof walker->trail) != 0) {
        return PROBLEM(walker, op, line->number, "the file belongs to another trail");
    }
    if (members->file != walker->file + 1) {
        return PROBLEM(walker, op, line->number,
                       "this is file %" PRIu64 " of the trail where file %" PRIu64 " is due",
                       members->file, walker->file + 1);
    }
    if (memcmp(members->previous, walker->chain.hash, sizeof walker->chain.hash) != 0 ||
        members->last_seq != walker->chain.last_seq) {
        return PROBLEM(walker, op, line->number,
                       "the file does not go on where the one before it ends");
    }
    walker->file = members->file;
    /* The next line has to be a checkpoint. */
    walker->chain.next_checkpoint = line->number + 1;
    return HF_SUCCESS;
}

static struct hf_status check_signature(struct hf_audit_walker *walker, struct hf_op *op,
                                        const struct hf_audit_line *line,
                                        const struct hf_audit_members *members)
{
    uint8_t message[HF_AUDIT_SIGNED_LEN];
    uint8_t hash[HF_SHA256_LEN];
    bool valid;

    if (strcmp(members->key, walker->key) != 0) {
        return PROBLEM(walker, op, line->number,
                       "the checkpoint is signed by another key than the one to check with");
    }
    HF_TRY(hf_audit_link(walker->crypto, op, walker->chain.hash, members->signed_part, hash));
    hf_audit_signed_message(walker->trail, line->number, hash, message);
    HF_TRY(hf_pkey_verify(walker->public_key, op, HF_SIGN_ED25519, HF_HASH_SHA512,
                          hf_bytes_of(message, sizeof message),
                          hf_bytes_of(members->signature, sizeof members->signature), &valid));
    if (!valid) {
        return PROBLEM(walker, op, line->number,
                       "the signature is wrong: lines up to here were written by somebody who "
                       "does not have the key");
    }
    return HF_SUCCESS;
}

static struct hf_status check_checkpoint(struct hf_audit_walker *walker, struct hf_op *op,
                                         const struct hf_audit_line *line,
                                         const struct hf_audit_members *members)
{
    if (memcmp(members->trail, walker->trail, sizeof walker->trail) != 0 ||
        memcmp(members->previous, walker->chain.hash, sizeof walker->chain.hash) != 0 ||
        members->next <= line->number) {
        return PROBLEM(walker, op, line->number, "the checkpoint does not belong here");
    }
    if (walker->public_key != NULL) {
        HF_TRY(check_signature(walker, op, line, members));
    }
    walker->chain.next_checkpoint = members->next;
    walker->report->checkpoints++;
    walker->report->signed_line = line->number;
    return HF_SUCCESS;
}

static struct hf_status check_kind(struct hf_audit_walker *walker, struct hf_op *op,
                                   const struct hf_audit_line *line,
                                   const struct hf_audit_members *members, bool first_of_file)
{
    if (first_of_file != (members->kind == HF_AUDIT_FILE_START)) {
        return PROBLEM(walker, op, line->number,
                       first_of_file ? "the file does not start with its first line"
                                     : "this line can only be the first of a file");
    }
    if (!first_of_file && line->number >= walker->chain.next_checkpoint &&
        members->kind != HF_AUDIT_CHECKPOINT) {
        return PROBLEM(walker, op, line->number, "a checkpoint is missing here");
    }
    switch (members->kind) {
    case HF_AUDIT_FILE_START:
        return check_file_start(walker, op, line, members);
    case HF_AUDIT_CHECKPOINT:
        return check_checkpoint(walker, op, line, members);
    case HF_AUDIT_RESUMED:
        walker->report->lost += members->lost;
        return HF_SUCCESS;
    case HF_AUDIT_REPAIRED:
        walker->report->repairs++;
        return HF_SUCCESS;
    case HF_AUDIT_EVENT:
        return HF_SUCCESS;
    }
    return HF_SUCCESS;
}

static struct hf_status check_note(struct hf_audit_walker *walker, struct hf_op *op,
                                   const struct hf_audit_line *line)
{
    if (line->seq == 0) {
        return HF_SUCCESS;
    }
    if (line->seq <= walker->chain.last_seq) {
        return PROBLEM(walker, op, line->number,
                       "control note %" PRIu64 " comes after note %" PRIu64, line->seq,
                       walker->chain.last_seq);
    }
    walker->chain.last_seq = line->seq;
    walker->report->notes++;
    return HF_SUCCESS;
}

static struct hf_status check_anchor(struct hf_audit_walker *walker, struct hf_op *op,
                                     const struct hf_audit_line *line)
{
    if (walker->anchor == NULL || walker->anchor->line != line->number) {
        return HF_SUCCESS;
    }
    if (memcmp(walker->anchor->hash, line->hash, sizeof line->hash) != 0) {
        return PROBLEM(walker, op, line->number,
                       "the anchor says that another line stood here: the trail was replaced up "
                       "to here");
    }
    walker->report->anchored = true;
    return HF_SUCCESS;
}

/* A gap in the lines is told as what it is. */
static struct hf_status missing_file(struct hf_audit_walker *walker, struct hf_op *op)
{
    char name[HF_AUDIT_NAME_MAX];

    hf_audit_file_name(walker->file + 1, name);
    return hf_audit_problem(walker->report, op, name, 0, "the file is missing, with all its lines");
}

/* Whether the line is one of the trail's own: these have their operation right behind the node. */
static bool may_be_own(const struct hf_audit_line *line)
{
    static const char own[] = ",\"operation\":\"audit.";
    const uint8_t *end = line->members.data + line->members.len;
    const uint8_t *at = line->members.data + strlen(",\"node\":\"");

    while (at < end && *at != '"') {
        at += *at == '\\' ? 2 : 1;
    }
    return end - at > (ptrdiff_t)sizeof own && memcmp(at + 1, own, sizeof own - 1) == 0;
}

/* A whole look at the members costs more than the hash; opening a trail goes without it. */
static struct hf_status read_members(struct hf_audit_walker *walker, struct hf_op *op,
                                     const struct hf_audit_line *line, struct hf_audit_members *out)
{
    if (walker->public_key == NULL && !may_be_own(line)) {
        out->kind = HF_AUDIT_EVENT;
        return HF_SUCCESS;
    }
    return hf_audit_members_parse(op, line, out);
}

/* start has room for a hash in front of it. */
static struct hf_status check_line(struct hf_audit_walker *walker, struct hf_op *op, uint8_t *start,
                                   size_t len, bool first_of_file)
{
    struct hf_audit_report *report = walker->report;
    uint64_t due = walker->chain.line + 1;
    struct hf_audit_members members;
    struct hf_audit_line line;
    uint8_t hash[HF_SHA256_LEN];

    if (hf_audit_line_parse(op, hf_bytes_of(start, len), &line).code != HF_OK ||
        read_members(walker, op, &line, &members).code != HF_OK) {
        return PROBLEM(walker, op, due, "%.200s", op->text);
    }
    if (!walker->started && members.kind == HF_AUDIT_FILE_START) {
        HF_TRY(begin(walker, op, &line, &members));
        due = line.number;
    }
    if (members.kind == HF_AUDIT_FILE_START && members.file > walker->file + 1) {
        return missing_file(walker, op);
    }
    if (line.number != due) {
        return PROBLEM(walker, op, due,
                       "line %" PRIu64 " stands here: lines were removed, added or moved",
                       line.number);
    }
    memcpy(start - MARGIN, walker->chain.hash, HF_SHA256_LEN);
    HF_TRY(hf_sha256(walker->crypto, op, hf_bytes_of(start - MARGIN, MARGIN + line.chained.len),
                     hash));
    if (memcmp(hash, line.hash, sizeof hash) != 0) {
        return PROBLEM(walker, op, due, "its hash is wrong: it is not what was written here");
    }
    HF_TRY(check_kind(walker, op, &line, &members, first_of_file));
    HF_TRY(check_note(walker, op, &line));
    HF_TRY(check_anchor(walker, op, &line));
    walker->ended_with_checkpoint = members.kind == HF_AUDIT_CHECKPOINT;
    walker->chain.line = line.number;
    memcpy(walker->chain.hash, hash, sizeof hash);
    report->lines++;
    report->last_line = line.number;
    report->last_ms = hf_audit_line_realtime_ms(&line);
    report->lines_after_checkpoint = line.number - report->signed_line;
    return HF_SUCCESS;
}

/* --- one file --- */

/* What is read and not yet done with. */
struct window {
    uint8_t *at;
    uint8_t *end;
    uint8_t *searched; /* no newline before it */
    uint64_t unread;   /* bytes of the file */
};

/* Moves the beginning of a line to the front and reads on. */
static struct hf_status fill(struct hf_audit_walker *walker, struct hf_op *op, int fd,
                             struct window *window)
{
    uint8_t *front = walker->buffer + MARGIN;
    size_t kept = (size_t)(window->end - window->at);
    size_t room = ROOM - kept;
    size_t wanted = window->unread < room ? (size_t)window->unread : room;
    ssize_t got;

    memmove(front, window->at, kept);
    window->at = front;
    window->end = front + kept;
    window->searched = window->end;
    do {
        got = read(fd, window->end, wanted);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return hf_fail(op, HF_UNAVAILABLE, "%s cannot be read: %s", walker->name,
                       strerrordesc_np(errno));
    }
    window->end += got;
    window->unread = got == 0 ? 0 : window->unread - (uint64_t)got;
    return HF_SUCCESS;
}

/* All whole lines of the window. */
static struct hf_status check_window(struct hf_audit_walker *walker, struct hf_op *op,
                                     struct window *window)
{
    uint8_t *newline;

    while ((newline = memchr(window->searched, '\n', (size_t)(window->end - window->searched)))) {
        size_t len = (size_t)(newline - window->at);

        HF_TRY(check_line(walker, op, window->at, len, walker->whole_bytes == 0));
        walker->whole_bytes += len + 1;
        window->at = newline + 1;
        window->searched = window->at;
    }
    window->searched = window->end;
    return HF_SUCCESS;
}

/* Longer than any line: either a torn end, or somebody took newlines away. */
static struct hf_status pass_overlong(struct hf_audit_walker *walker, struct hf_op *op, int fd,
                                      struct window *window)
{
    while (window->end > window->at) {
        if (memchr(window->at, '\n', (size_t)(window->end - window->at)) != NULL) {
            return PROBLEM(walker, op, walker->chain.line + 1, "it is longer than any line can be");
        }
        window->at = window->end;
        if (window->unread > 0) {
            HF_TRY(fill(walker, op, fd, window));
        }
    }
    return HF_SUCCESS;
}

struct hf_status hf_audit_walk_file(struct hf_audit_walker *walker, struct hf_op *op, int fd,
                                    const char *name)
{
    uint8_t *front = walker->buffer + MARGIN;
    struct window window = { front, front, front, 0 };
    struct stat about;

    (void)snprintf(walker->name, sizeof walker->name, "%s", name);
    walker->whole_bytes = 0;
    walker->ended_with_checkpoint = false;
    /* Not beyond the size it has now: a server may write faster than we read. */
    if (fstat(fd, &about) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "%s cannot be read: %s", name, strerrordesc_np(errno));
    }
    window.unread = (uint64_t)about.st_size;
    while (window.unread > 0) {
        HF_TRY(fill(walker, op, fd, &window));
        HF_TRY(check_window(walker, op, &window));
        if ((size_t)(window.end - window.at) > HF_AUDIT_LINE_MAX) {
            HF_TRY(pass_overlong(walker, op, fd, &window));
        }
    }
    walker->torn_bytes = (uint64_t)about.st_size - walker->whole_bytes;
    if (walker->whole_bytes == 0) {
        return PROBLEM(walker, op, 0, "the file has no whole line");
    }
    walker->report->files++;
    return HF_SUCCESS;
}
