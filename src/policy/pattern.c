/* Questions about patterns themselves: does one cover another, do two of them meet. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "policy/rules.h"

bool hf_patterns_match(const struct hf_patterns *patterns, const char *text)
{
    if (patterns->count == 0) {
        return true;
    }
    for (size_t i = 0; i < patterns->count; i++) {
        if (hf_pattern_matches(patterns->items[i], text)) {
            return true;
        }
    }
    return false;
}

/*
 * Every text that inner matches is matched by outer exactly if outer matches inner read as a text
 * in which '*' is a letter that only a '*' of outer can take: that letter stands for a run which
 * occurs nowhere else. hf_pattern_matches() compares '*' of the text like any other byte, and a '*'
 * of the pattern is always read as a run, never as itself, so it answers just this.
 */
bool hf_pattern_covers(const char *outer, const char *inner)
{
    return hf_pattern_matches(outer, inner);
}

/* One row of the table below: meets[j] says whether a[i..] and b[j..] have a common text. */
static void meet_row(char letter, const char *b, size_t b_len, const bool *below, bool *meets)
{
    for (size_t j = b_len + 1; j-- > 0;) {
        char other = j < b_len ? b[j] : '\0';

        if (letter == '*') {
            /* The run is empty, or it takes what stands next in b. */
            meets[j] = below[j] || (j < b_len && meets[j + 1]);
        } else if (other == '*') {
            meets[j] = meets[j + 1] || below[j];
        } else {
            meets[j] = j < b_len && letter == other && below[j + 1];
        }
    }
}

bool hf_patterns_meet(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    bool *rows = hf_alloc_array(2 * (b_len + 1), sizeof *rows);
    bool *below = rows, *row = rows + b_len + 1;
    bool meets;

    /* With nothing left of a, b must be able to end: only runs are left. */
    for (size_t j = b_len + 1; j-- > 0;) {
        below[j] = j == b_len || (b[j] == '*' && below[j + 1]);
    }
    for (size_t i = a_len; i-- > 0;) {
        bool *done = row;

        meet_row(a[i], b, b_len, below, row);
        row = below;
        below = done;
    }
    meets = below[0];
    free(rows);
    return meets;
}
