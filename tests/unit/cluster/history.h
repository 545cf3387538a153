/*
 * What clients did to one object and saw of it, and whether one order of all that explains it.
 *
 * The object's state is a number, 0 at first. Whoever changes it makes it a higher number, each
 * number once; whoever looks is told the number. Each act has a moment at which it began and one at
 * which its answer left: HISTORY_NEVER for a change that happened and was not answered for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_NEVER UINT64_MAX

struct history_act {
    bool changes; /* else it looks */
    uint64_t number;
    uint64_t begin;
    uint64_t end;
};

struct history {
    struct history_act *acts;
    size_t count;
    size_t room;
};

void history_add(struct history *history, const struct history_act *act);
void history_done(struct history *history);

/*
 * Is there an order of the acts, each at a moment between its begin and its end, in which every
 * number is right? NULL, or what is wrong, of which *out are the acts (twice the same, if one).
 */
const char *history_find_fault(const struct history *history, struct history_act out[2]);
