/*
 * The audit trail: JSON lines in a file, hash chained, with signed checkpoints (promise P9,
 * docs/formats/audit.md).
 *
 * Control operations are recorded by a note that commits with their effect; the feeder reads the
 * notes back in order and appends them here, so the file is repaired after a crash. Data
 * operations and denials are appended from the lanes and written once per loop turn, before their
 * answers leave; the file is synced once a second. What must be on disk first (exports) waits for
 * hf_audit_sync().
 *
 * Threads: every function may be called from any thread unless said otherwise.
 */
#pragma once

#include "crypto/crypto.h"

struct hf_audit;

enum hf_audit_full {
    HF_AUDIT_FULL_STOP,  /* refuse what would have to be recorded: the default */
    HF_AUDIT_FULL_GO_ON, /* serve, count what is lost, say so in the first line that fits again */
};

struct hf_audit_settings {
    const char *directory; /* audit.log, audit.log.1, ... */
    const char *node;      /* the node's name, in every line */
    enum hf_audit_full when_full;
    uint64_t max_file_bytes; /* rotated beyond it; the chain goes on in the next file; 0: 256 MiB */
    uint64_t checkpoint_every;    /* lines; 0: 10000. Also at start, rotation and the end */
    const struct hf_pkey *signer; /* Ed25519; signs checkpoints; borrowed */
};

/*
 * Opens or makes the trail, checks the chain of the newest file, cuts off a torn last line (a
 * crash) and says so in the trail. The directory is ours alone until it is closed.
 *
 * HF_CORRUPT when that chain is broken; HF_WRONG_STATE when another process has the trail open;
 * HF_NO_SPACE when a new trail finds no space. An existing one is opened on a full disk too, and
 * refuses. The process must ignore SIGXFSZ, so that a limit on files is a full disk and not the
 * end.
 */
HF_STATUS hf_audit_open(struct hf_crypto *crypto, struct hf_op *op,
                        const struct hf_audit_settings *settings, struct hf_audit **out);
void hf_audit_free(struct hf_audit *audit); /* writes, checkpoints and closes */
HF_DEFINE_CLEANUP(audit)

/* The seq of the last control note in the trail; 0: none. The feeder goes on after it. */
uint64_t hf_audit_last_note(struct hf_audit *audit);

/* What an event says; NULL and 0 members are left out of the line. */
struct hf_audit_event {
    const char *operation; /* "key.rotate", "hadoop.decrypt" */
    const char *outcome;   /* "ok" or a code's name */
    const char *caller;    /* with its proof: "pseudo:alice" */
    const char *on_behalf_of;
    const char *address; /* of the peer */
    const char *door;
    const char *keyring;
    const char *key;
    bool has_version;
    uint32_t version;
    uint64_t count;     /* how many items a batch had */
    bool stale;         /* done without a lease (promise P5), */
    uint64_t stale_ms;  /* so long after the last fresh moment; UINT64_MAX: not known */
    const char *cause;  /* one of the five, for failures to open */
    const char *detail; /* in words; never key material */
    const struct hf_request_id *request_id;
    uint64_t realtime_ms; /* 0: now */
};

/* The fields as a JSON object without the chain's: what a control note holds. */
void hf_audit_event_write(const struct hf_audit_event *event, struct hf_buf *out);

/*
 * Appends to the memory of the trail; nothing is on disk yet. HF_NO_SPACE when the disk is full and
 * the setting says stop: then the operation must not happen.
 */
HF_STATUS hf_audit_append(struct hf_audit *audit, struct hf_op *op,
                          const struct hf_audit_event *event);
/*
 * Records that somebody failed before it was known who he is: at most one line per door and address
 * prefix (/24, /64) in 10 s, with a count, so that strangers cannot fill the trail. The first
 * failure is told at once, with the operation's text; a full disk delays the count. Never fails.
 */
void hf_audit_unauthenticated(struct hf_audit *audit, struct hf_op *op, const char *door,
                              const char *address);
/*
 * Appends a control note that came with commit seq; a seq that is there already is passed over.
 * HF_INVALID unless it is one JSON object on one line that leaves the chain's members alone;
 * HF_NO_SPACE on a full disk under either setting: notes are not lost, they are fed again.
 */
HF_STATUS hf_audit_append_note(struct hf_audit *audit, struct hf_op *op, uint64_t seq,
                               uint64_t realtime_ms, struct hf_bytes note);
/*
 * Hands everything appended so far to the kernel: the turn hook. HF_NO_SPACE when lines that this
 * thread appended since its last call were dropped and the setting says stop, or a note was: what
 * they record must not be answered. It is told to the thread that appended, once; so a thread that
 * appends for an answer that another thread sends writes before it hands the answer over.
 */
HF_STATUS hf_audit_write(struct hf_audit *audit, struct hf_op *op);
/*
 * The same and onto the disk. Callers in several threads share one fsync. HF_NO_SPACE whenever a
 * line of this thread is not there, under either setting: exports are on disk or refused.
 */
HF_STATUS hf_audit_sync(struct hf_audit *audit, struct hf_op *op);
/* Writes, syncs and signs where the chain stands. Gives the checkpoint line for the store. */
HF_STATUS hf_audit_checkpoint(struct hf_audit *audit, struct hf_op *op, struct hf_buf *out_line);
/* Lines that found no place since the trail was opened, and whether the disk is full now. */
void hf_audit_health(struct hf_audit *audit, uint64_t *out_lost, bool *out_full);

/* --- verification, offline --- */

struct hf_audit_report {
    uint64_t files, lines, notes, checkpoints;
    uint64_t first_ms, last_ms;
    uint64_t last_line;              /* number of the last line */
    uint64_t lines_after_checkpoint; /* not covered by a signature */
    bool anchored;                   /* an anchor was given and found in the chain */
    uint64_t first_file, first_line; /* more than 1 only for a part of a trail */
    uint64_t signed_line;            /* number of the last checkpoint */
    uint64_t lost;                   /* lines that found no space, as the trail itself tells */
    uint64_t repairs;                /* torn ends that were cut off, likewise */
    bool live;                       /* a server has the trail open */
    uint64_t unfinished_bytes;       /* of a line that it was writing */
    char problem[HF_OP_TEXT_MAX];    /* what is wrong, when HF_CORRUPT; else empty */
    char problem_file[256];          /* where the first problem stands, when HF_CORRUPT */
    uint64_t problem_line;
};
/*
 * Reads every file of the directory in order and checks hashes, numbering, order of notes, and the
 * signatures against the public key (SPKI). anchor: a checkpoint line kept elsewhere, or empty.
 * HF_CORRUPT with file, line and what is wrong. What cannot be excluded is told by
 * hf_audit_report_write(): with no anchor, lines cut from the end after the last checkpoint, and a
 * whole trail replaced by one who has the signing key.
 */
HF_STATUS hf_audit_verify(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                          struct hf_bytes public_key, struct hf_bytes anchor,
                          struct hf_audit_report *out);
/* The same for some of the files: the beginning may be missing, and the report tells so. */
HF_STATUS hf_audit_verify_part(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                               struct hf_bytes public_key, struct hf_bytes anchor,
                               struct hf_audit_report *out);
/* In plain sentences. */
void hf_audit_report_write(const struct hf_audit_report *report, struct hf_buf *out);
