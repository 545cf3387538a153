/* Patterns about patterns, compared with what all short texts say. */
#include "test.h"

#include "base/text.h"
#include "policy/rules.h"

static void one_pattern_covers_another_as_the_table_says(void **unused)
{
    static const struct {
        const char *outer;
        const char *inner;
        bool covers;
    } cases[] = {
        { "*", "*", true },        { "*", "", true },          { "", "", true },
        { "", "*", false },        { "a*", "a*", true },       { "a*", "ab*", true },
        { "ab*", "a*", false },    { "a*", "*", false },       { "*a", "*ba", true },
        { "a*c", "abc", true },    { "a*c", "a*bc", true },    { "a*c", "a*", false },
        { "*a*", "*a*a*", true },  { "*a*a*", "*a*", false },  { "a**b", "a*b", true },
        { "a*b*c", "a*c", false }, { "a*b*c", "axbyc", true }, { "abc", "abc", true },
        { "abc", "ab*", false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_pattern_covers(cases[i].outer, cases[i].inner) != cases[i].covers) {
            fail_msg("'%s' over '%s'", cases[i].outer, cases[i].inner);
        }
    }
}

static void two_patterns_meet_as_the_table_says(void **unused)
{
    static const struct {
        const char *a;
        const char *b;
        bool meet;
    } cases[] = {
        { "*", "", true },      { "", "", true },        { "a", "", false },
        { "a*", "*b", true },   { "a*", "b*", false },   { "*a", "*b", false },
        { "a*b", "ab", true },  { "a*b", "a", false },   { "a*b*c", "*b*", true },
        { "ab*", "a*b", true }, { "abc*", "ab", false }, { "*x*", "*y*", true },
        { "a*a", "a", false },  { "a*a", "aa", true },   { "**", "*", true },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_patterns_meet(cases[i].a, cases[i].b) != cases[i].meet ||
            hf_patterns_meet(cases[i].b, cases[i].a) != cases[i].meet) {
            fail_msg("'%s' and '%s'", cases[i].a, cases[i].b);
        }
    }
}

/* The text number n over an alphabet; every text up to a length has a number. */
static void text_of(size_t n, const char *alphabet, size_t letters, char *out)
{
    size_t len = 0;

    while (n > 0) {
        n--;
        out[len++] = alphabet[n % letters];
        n /= letters;
    }
    out[len] = '\0';
}

#define PATTERNS 121  /* all over "ab*" up to four letters */
#define TEXTS    1093 /* all over "abz" up to six letters */

/* z stands in no pattern, as most letters do: it tells a '*' from a letter. */
static void covering_and_meeting_are_what_texts_say(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < PATTERNS; i++) {
        for (size_t j = 0; j < PATTERNS; j++) {
            char a[8], b[8];
            bool covers = true, meet = false;

            text_of(i, "ab*", 3, a);
            text_of(j, "ab*", 3, b);
            for (size_t k = 0; k < TEXTS; k++) {
                char text[8];

                text_of(k, "abz", 3, text);
                covers = covers && (hf_pattern_matches(a, text) || !hf_pattern_matches(b, text));
                meet = meet || (hf_pattern_matches(a, text) && hf_pattern_matches(b, text));
            }
            if (hf_pattern_covers(a, b) != covers || hf_patterns_meet(a, b) != meet) {
                fail_msg("'%s' and '%s': covers %d, meet %d", a, b, covers, meet);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pattern_covers_another_as_the_table_says),
        cmocka_unit_test(two_patterns_meet_as_the_table_says),
        cmocka_unit_test(covering_and_meeting_are_what_texts_say),
    };

    return cmocka_run_group_tests_name("policy pattern", tests, NULL, NULL);
}
