/* The check of a history against trying every order. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "history.h"
#include "test.h"

#define MAX_ACTS  6
#define HISTORIES 40000

static const struct {
    const char *says;
    struct history_act acts[MAX_ACTS];
    size_t count;
    const char *fault; /* NULL: none */
} cases[] = {
    { "nothing at all", { { 0 } }, 0, NULL },
    { "what is there at first may be seen", { { false, 0, 1, 2 } }, 1, NULL },
    { "a change is seen after its answer", { { true, 1, 1, 2 }, { false, 1, 3, 4 } }, 2, NULL },
    { "what was before is not seen after the answer",
      { { true, 1, 1, 2 }, { false, 0, 3, 4 } },
      2,
      "the later one is older" },
    { "while a change is under way both may be seen, the old one first",
      { { true, 1, 1, 9 }, { false, 0, 2, 3 }, { false, 1, 4, 5 } },
      3,
      NULL },
    { "while a change is under way nobody goes back",
      { { true, 1, 1, 9 }, { false, 1, 2, 3 }, { false, 0, 4, 5 } },
      3,
      "the later one is older" },
    { "looks at one time may differ",
      { { true, 1, 1, 9 }, { false, 1, 2, 5 }, { false, 0, 4, 6 } },
      3,
      NULL },
    { "an end at the moment of a begin is not before it",
      { { true, 1, 1, 2 }, { false, 0, 2, 4 } },
      2,
      NULL },
    { "a change that nobody answered for may be seen late",
      { { true, 1, 1, HISTORY_NEVER }, { false, 0, 5, 6 }, { false, 1, 7, 8 } },
      3,
      NULL },
    { "and has happened once it was seen",
      { { true, 1, 1, HISTORY_NEVER }, { false, 1, 5, 6 }, { false, 0, 7, 8 } },
      3,
      "the later one is older" },
    { "nothing is seen before somebody began to make it",
      { { false, 1, 1, 2 }, { true, 1, 3, 4 } },
      2,
      "it was seen before it was made" },
    { "nothing is seen that nobody made", { { false, 7, 1, 2 } }, 1, "nobody made what was seen" },
    { "no number is made twice",
      { { true, 1, 1, 2 }, { true, 1, 1, 2 } },
      2,
      "one number was made twice" },
    { "changes one after the other have growing numbers",
      { { true, 2, 1, 2 }, { true, 1, 3, 4 } },
      2,
      "the later one is older" },
    { "changes at one time go by their numbers",
      { { true, 2, 1, 4 }, { true, 1, 3, 5 } },
      2,
      NULL },
    { "no change makes what was there at first",
      { { true, 0, 1, 2 } },
      1,
      "a change made what was there at first" },
};

static void fill(struct history *history, const struct history_act *acts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        history_add(history, &acts[i]);
    }
}

static void a_history_is_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct history history = { 0 };
        struct history_act pair[2];
        const char *fault;

        fill(&history, cases[i].acts, cases[i].count);
        fault = history_find_fault(&history, pair);
        if ((fault == NULL) != (cases[i].fault == NULL) ||
            (fault != NULL && strcmp(fault, cases[i].fault) != 0)) {
            fail_msg("%s: got %s", cases[i].says, fault != NULL ? fault : "no fault");
        }
        history_done(&history);
    }
}

/* May the act be the next one, when those that are taken come before it? */
static bool may_be_next(const struct history *history, unsigned taken, size_t at, uint64_t number)
{
    const struct history_act *act = &history->acts[at];

    for (size_t i = 0; i < history->count; i++) {
        if ((taken & 1U << i) == 0 && history->acts[i].end < act->begin) {
            return false;
        }
    }
    return act->changes ? act->number > number : act->number == number;
}

/* The definition: every order is tried. */
static bool has_order(const struct history *history, unsigned taken, uint64_t number)
{
    if (taken == (1U << history->count) - 1) {
        return true;
    }
    for (size_t i = 0; i < history->count; i++) {
        if ((taken & 1U << i) == 0 && may_be_next(history, taken, i, number) &&
            has_order(history, taken | 1U << i, history->acts[i].number)) {
            return true;
        }
    }
    return false;
}

static uint64_t next_random(uint64_t *random, uint64_t below)
{
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return (*random >> 33) % below;
}

static void make_up(struct history *history, uint64_t *random)
{
    size_t count = 1 + next_random(random, MAX_ACTS);

    for (size_t i = 0; i < count; i++) {
        struct history_act act = { .changes = next_random(random, 2) == 0,
                                   .number = next_random(random, 4),
                                   .begin = next_random(random, 12) };

        act.end = act.changes && next_random(random, 4) == 0
                      ? HISTORY_NEVER
                      : act.begin + 1 + next_random(random, 6);
        history_add(history, &act);
    }
}

static void the_check_says_what_trying_every_order_says(void **state)
{
    uint64_t random = 1;
    size_t with_order = 0;

    (void)state;
    for (size_t i = 0; i < HISTORIES; i++) {
        struct history history = { 0 };
        struct history_act pair[2];
        const char *fault;
        bool ordered;

        make_up(&history, &random);
        fault = history_find_fault(&history, pair);
        ordered = has_order(&history, 0, 0);
        if (ordered != (fault == NULL)) {
            fail_msg("history %zu of %zu acts: %s, but there is %s order", i, history.count,
                     fault != NULL ? fault : "no fault", ordered ? "an" : "no");
        }
        with_order += ordered && history.count >= 3;
        history_done(&history);
    }
    printf("%d histories, %zu of three acts and more have an order\n", HISTORIES, with_order);
    assert_true(with_order > HISTORIES / 100 && with_order < HISTORIES / 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_is_what_the_table_says),
        cmocka_unit_test(the_check_says_what_trying_every_order_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
