/* Verification, offline: every file of a directory in order, and an anchor kept elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/walk.h"

/* How many changes of files one may miss between two looks at a running server's directory. */
#define FILES_MISSED 16

struct verification {
    struct hf_audit_walker walker;
    int directory;
    int current; /* the newest file */
    char name[HF_AUDIT_NAME_MAX];
    uint64_t lowest; /* number of the first file before it; 0: there is none */
    uint64_t older;  /* and of the last one */
    struct hf_audit_report *report;
};

static void close_file(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

#define CLOSED_FILE __attribute__((cleanup(close_file))) int

/* The anchor must be a checkpoint line that the key has signed, whole in itself. */
static struct hf_status read_anchor(struct hf_crypto *crypto, struct hf_op *op,
                                    const struct hf_pkey *public_key, struct hf_bytes text,
                                    struct hf_audit_anchor *out)
{
    uint8_t message[HF_AUDIT_SIGNED_LEN];
    uint8_t hash[HF_SHA256_LEN];
    struct hf_audit_members members;
    struct hf_audit_line line;
    bool valid;

    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r')) {
        text.len--;
    }
    if (hf_audit_line_parse(op, text, &line).code != HF_OK ||
        hf_audit_members_parse(op, &line, &members).code != HF_OK ||
        members.kind != HF_AUDIT_CHECKPOINT) {
        return hf_fail(op, HF_INVALID, "the anchor is not a checkpoint line of an audit trail");
    }
    HF_TRY(hf_audit_link(crypto, op, members.previous, members.signed_part, hash));
    hf_audit_signed_message(members.trail, line.number, hash, message);
    HF_TRY(hf_pkey_verify(public_key, op, HF_SIGN_ED25519, HF_HASH_SHA512,
                          hf_bytes_of(message, sizeof message),
                          hf_bytes_of(members.signature, sizeof members.signature), &valid));
    HF_TRY(hf_audit_link(crypto, op, members.previous, line.chained, hash));
    if (!valid || memcmp(hash, line.hash, sizeof hash) != 0) {
        return hf_fail(op, HF_INVALID,
                       "the anchor is not signed by the key to check with, or was changed");
    }
    memcpy(out->trail, members.trail, sizeof out->trail);
    out->line = line.number;
    memcpy(out->hash, line.hash, sizeof out->hash);
    return HF_SUCCESS;
}

/* Whether a server has the trail open. */
static bool is_live(int directory)
{
    CLOSED_FILE fd = openat(directory, HF_AUDIT_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    /* Asking takes no lock, so it cannot keep a server from starting. */
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

/* A server may have given the file that we opened as audit.log its number since. */
static uint64_t number_since(const struct verification *verification)
{
    uint64_t number = verification->older;
    struct stat current;
    struct stat other;

    if (fstat(verification->current, &current) != 0) {
        return 0;
    }
    for (unsigned i = 0; i < FILES_MISSED && number > 0; i++, number--) {
        char name[HF_AUDIT_NAME_MAX];

        hf_audit_file_name(number, name);
        if (fstatat(verification->directory, name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
            other.st_dev == current.st_dev && other.st_ino == current.st_ino) {
            return number;
        }
    }
    return 0;
}

static struct hf_status open_newest(struct verification *verification, struct hf_op *op,
                                    const char *name)
{
    verification->current =
        openat(verification->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    (void)snprintf(verification->name, sizeof verification->name, "%s", name);
    if (verification->current < 0 && errno != ENOENT) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot open %s: %s", name, strerrordesc_np(errno));
    }
    return HF_SUCCESS;
}

static struct hf_status find_files(struct verification *verification, struct hf_op *op,
                                   const char *path)
{
    char name[HF_AUDIT_NAME_MAX];
    uint64_t number;

    HF_TRY(open_newest(verification, op, HF_AUDIT_CURRENT));
    HF_TRY(hf_audit_older_files(op, verification->directory, &verification->lowest,
                                &verification->older));
    if (verification->current < 0 && verification->older > 0) {
        /* A change of files that is under way, or was cut short: the newest has its number. */
        hf_audit_file_name(verification->older--, name);
        HF_TRY(open_newest(verification, op, name));
    }
    if (verification->current < 0) {
        return hf_fail(op, HF_NOT_FOUND, "there is no audit trail in %s", path);
    }
    number = number_since(verification);
    if (number > 0) {
        verification->older = number - 1;
    }
    return HF_SUCCESS;
}

static struct hf_status missing(struct verification *verification, struct hf_op *op,
                                const char *name)
{
    return hf_audit_problem(verification->report, op, name, 0,
                            "the file is missing, with all its lines");
}

static struct hf_status walk_older(struct verification *verification, struct hf_op *op,
                                   uint64_t number)
{
    struct hf_audit_walker *walker = &verification->walker;
    char name[HF_AUDIT_NAME_MAX];
    CLOSED_FILE fd = -1;

    hf_audit_file_name(number, name);
    fd = openat(verification->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        return missing(verification, op, name);
    }
    if (fd < 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot open %s: %s", name, strerrordesc_np(errno));
    }
    HF_TRY(hf_audit_walk_file(walker, op, fd, name));
    if (walker->file != number) {
        return hf_audit_problem(verification->report, op, name, 0,
                                "the file says it is number %" PRIu64, walker->file);
    }
    if (walker->torn_bytes > 0 || !walker->ended_with_checkpoint) {
        return hf_audit_problem(verification->report, op, name, walker->chain.line + 1,
                                "the file does not end with a whole checkpoint: its end was cut");
    }
    return HF_SUCCESS;
}

static struct hf_status walk_current(struct verification *verification, struct hf_op *op)
{
    struct hf_audit_walker *walker = &verification->walker;
    struct hf_audit_report *report = verification->report;

    HF_TRY(hf_audit_walk_file(walker, op, verification->current, verification->name));
    if (walker->torn_bytes == 0) {
        return HF_SUCCESS;
    }
    if (report->live) {
        report->unfinished_bytes = walker->torn_bytes;
        return HF_SUCCESS;
    }
    return hf_audit_problem(report, op, verification->name, walker->chain.line + 1,
                            "the line is not whole: a crash left it so, or it was cut. A server "
                            "cuts it off when it starts, and records that");
}

static struct hf_status walk_all(struct verification *verification, struct hf_op *op)
{
    const struct hf_audit_walker *walker = &verification->walker;
    const struct hf_audit_anchor *anchor = walker->anchor;

    uint64_t first = walker->part && verification->lowest > 0 ? verification->lowest : 1;

    for (uint64_t number = first; number <= verification->older; number++) {
        HF_TRY(walk_older(verification, op, number));
    }
    HF_TRY(walk_current(verification, op));
    if (anchor == NULL || verification->report->anchored) {
        return HF_SUCCESS;
    }
    if (anchor->line > walker->chain.line) {
        return hf_audit_problem(verification->report, op, walker->name, walker->chain.line + 1,
                                "the trail ends before line %" PRIu64
                                ", which the anchor has seen: its end was cut",
                                anchor->line);
    }
    return hf_audit_problem(verification->report, op, walker->name, anchor->line,
                            "the line of the anchor is in none of the files that are here");
}

static struct hf_status verify_directory(struct verification *verification, struct hf_op *op,
                                         const char *path)
{
    struct hf_status status;
    CLOSED_FILE directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0) {
        return hf_fail(op, errno == ENOENT ? HF_NOT_FOUND : HF_UNAVAILABLE, "cannot open %s: %s",
                       path, strerrordesc_np(errno));
    }
    verification->directory = directory;
    verification->current = -1;
    verification->report->live = is_live(directory);
    status = find_files(verification, op, path);
    if (status.code == HF_OK) {
        status = walk_all(verification, op);
    }
    close_file(&verification->current);
    return status;
}

static struct hf_status verify(struct hf_crypto *crypto, struct hf_op *op, const char *path,
                               struct hf_bytes public_key, struct hf_bytes anchor_line, bool part,
                               struct hf_audit_report *out)
{
    struct verification verification = { .report = out };
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(buf) spki = hf_buf_new();
    struct hf_audit_anchor anchor;
    char key[2 * HF_SHA256_LEN + 1];
    struct hf_status status;

    memset(out, 0, sizeof *out);
    HF_TRY(hf_pkey_from_public(crypto, op, public_key, &pkey));
    if (hf_pkey_kind(pkey) != HF_PKEY_ED25519) {
        return hf_fail(op, HF_INVALID, "checkpoints are signed by Ed25519 keys, not by this one");
    }
    HF_TRY(hf_pkey_public(pkey, op, spki));
    HF_TRY(hf_audit_fingerprint(crypto, op, hf_buf_bytes(spki), key));
    if (anchor_line.len > 0) {
        HF_TRY(read_anchor(crypto, op, pkey, anchor_line, &anchor));
    }
    hf_audit_walker_init(&verification.walker, crypto, out);
    verification.walker.part = part;
    verification.walker.public_key = pkey;
    verification.walker.key = key;
    verification.walker.anchor = anchor_line.len > 0 ? &anchor : NULL;
    status = verify_directory(&verification, op, path);
    hf_audit_walker_done(&verification.walker);
    return status;
}

struct hf_status hf_audit_verify(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                                 struct hf_bytes public_key, struct hf_bytes anchor,
                                 struct hf_audit_report *out)
{
    return verify(crypto, op, directory, public_key, anchor, false, out);
}

struct hf_status hf_audit_verify_part(struct hf_crypto *crypto, struct hf_op *op,
                                      const char *directory, struct hf_bytes public_key,
                                      struct hf_bytes anchor, struct hf_audit_report *out)
{
    return verify(crypto, op, directory, public_key, anchor, true, out);
}
