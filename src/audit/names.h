/*
 * The names of the files of a trail.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "base/op.h"

#define HF_AUDIT_CURRENT "audit.log"     /* the newest */
#define HF_AUDIT_NEW     "audit.log.new" /* in the making */
#define HF_AUDIT_LOCK    "audit.lock"    /* locked by who writes */

/* The name of an older file: "audit.log.7". */
#define HF_AUDIT_NAME_MAX 32
void hf_audit_file_name(uint64_t number, char out[HF_AUDIT_NAME_MAX]);
/* The lowest and the highest number of the older files, both 0 if there is none. HF_UNAVAILABLE. */
HF_STATUS hf_audit_older_files(struct hf_op *op, int directory, uint64_t *out_lowest,
                               uint64_t *out_highest);
