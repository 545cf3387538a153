/*
 * One line of the trail: how it is chained and written, and how it is taken apart
 * (docs/formats/audit.md).
 *
 * Threads: a scribe is used by one thread at a time; the caller's lock guards it.
 */
#pragma once

#include "audit/audit.h"

#define HF_AUDIT_FORMAT    1
#define HF_AUDIT_TRAIL_LEN 16
/* No line is longer, so that a reader needs no more memory than this. */
#define HF_AUDIT_LINE_MAX ((size_t)256 * 1024)
/* Of a note's text, so that the line around it stays within the limit. */
#define HF_AUDIT_NOTE_MAX ((size_t)192 * 1024)
/* Of one text of an event; what is longer is cut. */
#define HF_AUDIT_TEXT_MAX ((size_t)2048)
/* Of the node's name. */
#define HF_AUDIT_NODE_MAX ((size_t)256)

/* Where a chain stands after a line. */
struct hf_audit_chain {
    uint64_t line; /* number of that line; 0: before the first */
    uint8_t hash[HF_SHA256_LEN];
    uint64_t last_seq;        /* of the last control note; 0: none */
    uint64_t next_checkpoint; /* the number that only a checkpoint may have, if none came before */
};

/* Writes lines. */
struct hf_audit_scribe {
    struct hf_crypto *crypto;
    const struct hf_pkey *signer;
    char *node;                      /* ,"node":"..." as it stands in every line */
    char key[2 * HF_SHA256_LEN + 1]; /* fingerprint of the signer's public key, in hex */
    uint8_t trail[HF_AUDIT_TRAIL_LEN];
    uint64_t checkpoint_every;
    struct hf_buf scratch; /* the hash before a line, and the line */
    uint64_t date_second;  /* of what date holds */
    char date[20];         /* up to the seconds; made once a second */
};

/* Nothing but the trail's id is missing afterwards. The signer stays the caller's. */
HF_STATUS hf_audit_scribe_init(struct hf_audit_scribe *scribe, struct hf_crypto *crypto,
                               struct hf_op *op, const struct hf_audit_settings *settings);
void hf_audit_scribe_done(struct hf_audit_scribe *scribe);

/*
 * Each of these adds whole lines to out and moves the chain on; on failure both are unchanged.
 *
 * A line with these members (a JSON object), and the seq of a control note or 0. A checkpoint that
 * has become due goes before it.
 */
HF_STATUS hf_audit_scribe_line(struct hf_audit_scribe *scribe, struct hf_op *op,
                               struct hf_audit_chain *chain, uint64_t realtime_ms,
                               struct hf_bytes members, uint64_t seq, struct hf_buf *out);
HF_STATUS hf_audit_scribe_checkpoint(struct hf_audit_scribe *scribe, struct hf_op *op,
                                     struct hf_audit_chain *chain, uint64_t realtime_ms,
                                     struct hf_buf *out);
/* The first line of file number file, and the checkpoint that follows it. */
HF_STATUS hf_audit_scribe_file(struct hf_audit_scribe *scribe, struct hf_op *op,
                               struct hf_audit_chain *chain, uint64_t realtime_ms, uint64_t file,
                               struct hf_buf *out);

/* In decimal; what printf would give, but for the hot path. */
void hf_audit_add_number(struct hf_buf *out, uint64_t number);

/* --- reading --- */

/* The frame of a line; views into its text. */
struct hf_audit_line {
    uint64_t number;
    struct hf_bytes text;    /* without the newline */
    struct hf_bytes chained; /* what the hash covers: all before ,"h" */
    struct hf_bytes date;    /* 24 characters */
    struct hf_bytes members; /* from ,"node" on, to the end of what is chained */
    uint64_t seq;            /* of a control note; 0: the line is none */
    uint8_t hash[HF_SHA256_LEN];
};

/* HF_CORRUPT when the frame is not exactly that of a line. The members are not looked at. */
HF_STATUS hf_audit_line_parse(struct hf_op *op, struct hf_bytes text, struct hf_audit_line *out);
/* Milliseconds of the date of a line that was parsed; 0 when it is no date. */
uint64_t hf_audit_line_realtime_ms(const struct hf_audit_line *line);

enum hf_audit_kind {
    HF_AUDIT_EVENT, /* or a control note */
    HF_AUDIT_FILE_START,
    HF_AUDIT_CHECKPOINT,
    HF_AUDIT_RESUMED,
    HF_AUDIT_REPAIRED,
};

/* Whether an operation of that name is one of the trail's own lines: no event may have it. */
bool hf_audit_is_own_operation(struct hf_bytes name);

/* What stands in the members, as far as the trail itself is concerned. */
struct hf_audit_members {
    enum hf_audit_kind kind;
    uint8_t trail[HF_AUDIT_TRAIL_LEN]; /* file start, checkpoint */
    uint8_t previous[HF_SHA256_LEN];   /* file start, checkpoint: the hash before this line */
    uint64_t file;                     /* file start */
    uint64_t last_seq;                 /* file start */
    uint64_t next;                     /* checkpoint */
    uint64_t lost;                     /* resumed: lines lost or refused */
    char key[2 * HF_SHA256_LEN + 1];   /* checkpoint */
    uint8_t signature[64];             /* checkpoint */
    struct hf_bytes signed_part;       /* checkpoint: all before ,"signature" */
};

/* HF_CORRUPT when the line is no JSON object, or a line of the trail's own lacks a member. */
HF_STATUS hf_audit_members_parse(struct hf_op *op, const struct hf_audit_line *line,
                                 struct hf_audit_members *out);

/* SHA-256 over the hash before a line, then these bytes of the line. */
HF_STATUS hf_audit_link(struct hf_crypto *crypto, struct hf_op *op,
                        const uint8_t previous[HF_SHA256_LEN], struct hf_bytes part,
                        uint8_t out[HF_SHA256_LEN]);
/* What is signed: a label, the trail, the line's number, and the hash up to the signature. */
#define HF_AUDIT_SIGNED_LEN (27 + HF_AUDIT_TRAIL_LEN + 8 + HF_SHA256_LEN)
void hf_audit_signed_message(const uint8_t trail[HF_AUDIT_TRAIL_LEN], uint64_t line,
                             const uint8_t hash[HF_SHA256_LEN], uint8_t out[HF_AUDIT_SIGNED_LEN]);
/* The fingerprint of a public key: SHA-256 of its SubjectPublicKeyInfo, in hex. */
HF_STATUS hf_audit_fingerprint(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes spki,
                               char out[2 * HF_SHA256_LEN + 1]);
