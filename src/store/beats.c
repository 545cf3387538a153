/* Heartbeats in memory: one row for each node, in order of name. */
#include "store/beats.h"

#include <stdlib.h>

#include "base/alloc.h"

struct hf_kept_beat {
    struct hf_beat beat;
    struct hf_buf body; /* of beat */
    char *node;
};

/* The row of the node; a new one if there is none. */
static struct hf_kept_beat *row_of(struct hf_kept_beats *beats, const char *node)
{
    size_t at = 0;

    while (at < beats->count && strcmp(beats->rows[at].node, node) < 0) {
        at++;
    }
    if (at == beats->count || strcmp(beats->rows[at].node, node) != 0) {
        beats->rows = hf_realloc_array(beats->rows, beats->count + 1, sizeof *beats->rows);
        memmove(beats->rows + at + 1, beats->rows + at, (beats->count - at) * sizeof *beats->rows);
        beats->rows[at] = (struct hf_kept_beat){ .node = hf_strdup(node) };
        beats->count++;
    }
    return &beats->rows[at];
}

void hf_beats_put(struct hf_kept_beats *beats, const struct hf_beat *beat)
{
    struct hf_kept_beat *row = row_of(beats, beat->node);

    hf_buf_clear(&row->body);
    hf_buf_add_bytes(&row->body, beat->body);
    row->beat = *beat;
    row->beat.node = row->node;
    row->beat.body = hf_buf_bytes(&row->body);
}

struct hf_status hf_beats_visit(const struct hf_kept_beats *beats, hf_beat_visitor visit,
                                void *context)
{
    for (size_t i = 0; i < beats->count; i++) {
        HF_TRY(visit(context, &beats->rows[i].beat));
    }
    return HF_SUCCESS;
}

void hf_beats_done(struct hf_kept_beats *beats)
{
    for (size_t i = 0; i < beats->count; i++) {
        free(beats->rows[i].node);
        hf_buf_done(&beats->rows[i].body);
    }
    free(beats->rows);
    *beats = (struct hf_kept_beats){ 0 };
}
