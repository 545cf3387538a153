/*
 * Moving a whole store from one engine to another, offline: records, log, requests, fences,
 * counter, epoch and head. At no moment can both be opened, and a crash at any moment is made good
 * by calling again with the same settings.
 *
 * Nothing is unsealed, so a locked node's store moves as well.
 */
#pragma once

#include "store/store.h"

struct hf_migration {
    const struct hf_store_settings *from, *to;
    const char *from_words, *to_words; /* where they are, for people */
    const char
        *scratch; /* a directory for snapshots, made and removed; same disk space as a store */
    /* For tests: stands between us and each engine that is opened. NULL: nothing does. */
    struct hf_engine *(*wrap)(void *context, struct hf_engine *engine);
    void *context;
};

struct hf_migration_report {
    struct hf_store_state state;
    struct hf_store_counts counts; /* none when resumed */
    bool resumed;                  /* an earlier call had retired the source */
};

/* Changes nothing: can the store be read, and is there room for it? HF_EXISTS. */
HF_STATUS hf_migrate_check(struct hf_op *op, const struct hf_migration *migration,
                           struct hf_migration_report *out);
/*
 * HF_WRONG_STATE while a process has an embedded store open, or nodes send heartbeats to a shared
 * one (those that have sent some before are listened to for some seconds), HF_EXISTS when there is
 * a store at the destination, HF_CONFLICT when somebody writes to the source, HF_CORRUPT when the
 * copy read back is not what was copied, HF_IN_DOUBT when the end of a step was not seen: call
 * again.
 */
HF_STATUS hf_migrate(struct hf_op *op, const struct hf_migration *migration,
                     struct hf_migration_report *out);
