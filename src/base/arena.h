/*
 * The allocator inside secret memory; its public calls (hf_arena_*) are in secret.h.
 */
#pragma once

#include "base/arena_pages.h"

/* Sets the arenas up; HF_INTERNAL when they are already. Called by hf_secret_start() only. */
HF_STATUS hf_arena_start(struct hf_op *op, const struct hf_secret_settings *settings);
bool hf_arena_is_started(void);
