/*
 * Heartbeats in memory, for engines that one process has to itself.
 *
 * Threads: the engine sees to it that one thread at a time is in here.
 */
#pragma once

#include "store/store.h"

struct hf_kept_beat;

struct hf_kept_beats {
    struct hf_kept_beat *rows; /* by name */
    size_t count;
};

void hf_beats_put(struct hf_kept_beats *beats, const struct hf_beat *beat);
HF_STATUS hf_beats_visit(const struct hf_kept_beats *beats, hf_beat_visitor visit, void *context);
void hf_beats_done(struct hf_kept_beats *beats);
