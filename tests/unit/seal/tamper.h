/*
 * The tampering engine: passes calls on to another engine and lies about what it reads, as one
 * who can write the store's files would.
 */
#pragma once

#include "store/store.h"

/* Takes over inner. */
struct hf_engine *tamper_new(struct hf_engine *inner);
/* Tells the truth again. */
void tamper_reset(struct hf_engine *engine);

/* The record at path is shown with this revision and body; it need not exist. */
void tamper_show(struct hf_engine *engine, const char *path, uint64_t revision,
                 struct hf_bytes body);
/* There is no record at path. */
void tamper_hide(struct hf_engine *engine, const char *path);
/* The store stands at seq and shows this head. */
void tamper_head(struct hf_engine *engine, uint64_t seq, struct hf_bytes head);

enum tamper_log {
    TAMPER_LOG_DIGEST,
    TAMPER_LOG_LINK,
    TAMPER_LOG_NOTE,
    TAMPER_LOG_PATH,
    TAMPER_LOG_BODY,
    TAMPER_LOG_NO_BODY, /* as if the record had moved on */
    TAMPER_LOG_DROP
};
/* The log shows that batch changed in this way. */
void tamper_log(struct hf_engine *engine, uint64_t seq, enum tamper_log how);
/* The log shows no batch before seq. */
void tamper_log_start(struct hf_engine *engine, uint64_t seq);

/* Called before each apply is passed on: somebody else is faster. NULL: nobody. */
/* Called once, between a search for a request and its result. */
void tamper_after_find(struct hf_engine *engine, void (*call)(void *context), void *context);
void tamper_before_apply(struct hf_engine *engine, void (*call)(void *context), void *context);
/*
 * Called when a list comes to its record number at (from 1; 0: before it begins); the list goes on
 * with what it says. NULL: never.
 */
void tamper_during_list(struct hf_engine *engine, uint64_t at,
                        struct hf_status (*call)(void *context), void *context);
/* Every list begins with the first record, whatever it is told. */
void tamper_ignore_after(struct hf_engine *engine);

/* The digest of what was asked with the last batch that was passed on. */
const uint8_t *tamper_last_digest(struct hf_engine *engine);
