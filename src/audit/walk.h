/*
 * Reading a trail from its first line on, file by file, in constant memory: the checks that the
 * opening of a trail and its verification share.
 *
 * Threads: one walker is used by one thread.
 */
#pragma once

#include "audit/line.h"
#include "audit/names.h"

/* A checkpoint line that was kept elsewhere. */
struct hf_audit_anchor {
    uint8_t trail[HF_AUDIT_TRAIL_LEN];
    uint64_t line;
    uint8_t hash[HF_SHA256_LEN];
};

struct hf_audit_walker {
    struct hf_crypto *crypto;
    const struct hf_pkey *public_key;     /* NULL: signatures and JSON are not checked */
    const char *key;                      /* its fingerprint */
    const struct hf_audit_anchor *anchor; /* NULL: none */
    struct hf_audit_report *report;       /* counts, and the first problem */
    bool part;                            /* the first file that is seen may have any number */

    bool started; /* the first line was seen; trail and chain hold */
    uint8_t trail[HF_AUDIT_TRAIL_LEN];
    struct hf_audit_chain chain;
    uint64_t file; /* number of the file that was read last */
    bool ended_with_checkpoint;
    uint64_t whole_bytes;         /* of that file's whole lines */
    uint64_t torn_bytes;          /* behind them */
    char name[HF_AUDIT_NAME_MAX]; /* of that file, for problems */
    uint8_t *buffer;
};

void hf_audit_walker_init(struct hf_audit_walker *walker, struct hf_crypto *crypto,
                          struct hf_audit_report *report);
void hf_audit_walker_done(struct hf_audit_walker *walker);

/*
 * Walks one file. Torn bytes at its end are counted, not judged. HF_CORRUPT with file, line and
 * what is wrong in the report and in the operation; HF_UNAVAILABLE when it cannot be read.
 */
HF_STATUS hf_audit_walk_file(struct hf_audit_walker *walker, struct hf_op *op, int fd,
                             const char *name);
/* The failure that stands for a problem: HF_CORRUPT. line 0: no line in particular. */
HF_STATUS hf_audit_problem(struct hf_audit_report *report, struct hf_op *op, const char *file,
                           uint64_t line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
