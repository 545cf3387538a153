/*
 * What was allowed a moment ago, per lane: a bounded table that is right for one generation of the
 * rules only.
 *
 * Threads: every function may be called from any thread; callers of different lanes never wait for
 * each other.
 */
#pragma once

#include "policy/rules.h"

struct hf_decisions;

struct hf_decisions *hf_decisions_new(void);
void hf_decisions_free(struct hf_decisions *decisions);

/* Whether this was remembered as allowed under exactly this generation. */
bool hf_decisions_has(struct hf_decisions *decisions, unsigned lane, uint64_t generation,
                      const struct hf_question *question);
/* Remembers it, in the place of what was there. Very long names are not kept. */
void hf_decisions_put(struct hf_decisions *decisions, unsigned lane, uint64_t generation,
                      const struct hf_question *question);
