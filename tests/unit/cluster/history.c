/*
 * Linearizability of one object whose states are numbers that grow.
 *
 * In general one has to search for an order. Here the numbers leave one only: acts go by their
 * number, the change that made it first, then those who saw it by when they began. If the pairs
 * below are in order, that is an order which explains all. Every number that was seen was made, and
 * only once, so the answers are right in it. And where one act ended before another began, it comes
 * first: it has no higher number; of the same number it is not a look before the change, two
 * changes have different ones, and looks go by their begin. Such an order can be spread over
 * moments within each act's own. The other way round, each of the pairs by itself rules out every
 * order. So nothing is missed and nothing is found that is not there.
 */
#include "history.h"

#include <stdlib.h>

#include "base/alloc.h"

void history_add(struct history *history, const struct history_act *act)
{
    if (history->count == history->room) {
        history->room = history->room == 0 ? 64 : history->room * 2;
        history->acts = hf_realloc_array(history->acts, history->room, sizeof *history->acts);
    }
    history->acts[history->count++] = *act;
}

void history_done(struct history *history)
{
    free(history->acts);
    *history = (struct history){ 0 };
}

static bool is_made(const struct history *history, uint64_t number)
{
    for (size_t i = 0; i < history->count; i++) {
        if (history->acts[i].changes && history->acts[i].number == number) {
            return true;
        }
    }
    return number == 0;
}

static const char *fault_of(const struct history *history, const struct history_act *act)
{
    if (act->changes && act->number == 0) {
        return "a change made what was there at first";
    }
    return is_made(history, act->number) ? NULL : "nobody made what was seen";
}

static const char *fault_between(const struct history_act *first, const struct history_act *second)
{
    if (first->changes && second->changes && first->number == second->number) {
        return "one number was made twice";
    }
    if (first->end >= second->begin) {
        return NULL;
    }
    if (first->number > second->number) {
        return "the later one is older";
    }
    return second->changes && first->number == second->number ? "it was seen before it was made"
                                                              : NULL;
}

const char *history_find_fault(const struct history *history, struct history_act out[2])
{
    for (size_t i = 0; i < history->count; i++) {
        const char *fault = fault_of(history, &history->acts[i]);

        out[0] = history->acts[i];
        out[1] = history->acts[i];
        for (size_t j = 0; fault == NULL && j < history->count; j++) {
            if (j != i) {
                out[1] = history->acts[j];
                fault = fault_between(&out[0], &out[1]);
            }
        }
        if (fault != NULL) {
            return fault;
        }
    }
    return NULL;
}
