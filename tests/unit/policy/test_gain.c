/* Whether a change gives its author use or export: no gain is missed, few are seen where none is.
 */
#include <stdio.h>
#include <string.h>

#include "test.h"

#include "policy/rules.h"

#define ME "unix:me"

static struct hf_op new_op(void)
{
    static struct hf_env env;
    struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    return op;
}

/* A rule in short: effect, who, what, keyring pattern, key pattern; NULL ends a side. */
struct short_rule {
    const char *effect;
    const char *who;
    const char *action;
    const char *keyring;
    const char *key;
};

static void add_rule(struct hf_buf *out, const struct short_rule *rule)
{
    hf_buf_add_format(out, "{\"effect\":\"%s\",\"who\":[\"%s\"],\"actions\":[\"%s\"]", rule->effect,
                      rule->who, rule->action);
    if (rule->keyring != NULL) {
        hf_buf_add_format(out, ",\"keyrings\":[\"%s\"]", rule->keyring);
    }
    if (rule->key != NULL) {
        hf_buf_add_format(out, ",\"keys\":[\"%s\"]", rule->key);
    }
    hf_buf_add_text(out, "}");
}

/* The rules up to the one without an effect. NULL for none. */
static struct hf_rules *rules_of(struct hf_op *op, const struct short_rule *list)
{
    HF_AUTO(buf) document = hf_buf_new();
    struct hf_rules *rules = NULL;

    if (list->effect == NULL) {
        return NULL;
    }
    hf_buf_add_text(document, "{\"rules\":[");
    for (const struct short_rule *rule = list; rule->effect != NULL; rule++) {
        hf_buf_add_text(document, rule == list ? "" : ",");
        add_rule(document, rule);
    }
    hf_buf_add_text(document, "]}");
    assert_ok(op, hf_rules_parse(op, hf_buf_bytes(document), &rules));
    return rules;
}

static struct hf_status gain(struct hf_op *op, const struct hf_rules *before,
                             const struct hf_rules *after)
{
    struct hf_rule_sets old = { &before, before != NULL }, new = { &after, after != NULL };

    return hf_policy_gain(op, ME, &old, &new);
}

static const struct {
    const char *says;
    struct short_rule before[4];
    struct short_rule after[4];
    bool gains;
} cases[] = {
    { "nothing from nothing", { { 0 } }, { { 0 } }, false },
    { "use of everything", { { 0 } }, { { "allow", ME, "key.unwrap", NULL, NULL } }, true },
    { "export", { { 0 } }, { { "allow", ME, "key.export", "r", "k" } }, true },
    { "through a pattern of callers",
      { { 0 } },
      { { "allow", "unix:*", "key.decrypt", NULL, NULL } },
      true },
    { "something for another",
      { { 0 } },
      { { "allow", "unix:you", "key.unwrap", NULL, NULL } },
      false },
    { "the same name with another proof",
      { { 0 } },
      { { "allow", "cert:me", "key.mac", NULL, NULL } },
      false },
    { "administration", { { 0 } }, { { "allow", ME, "key.destroy", NULL, NULL } }, false },
    { "the same again",
      { { "allow", ME, "key.sign", "r*", "k*" } },
      { { "allow", ME, "key.sign", "r*", "k*" } },
      false },
    { "less than before",
      { { "allow", ME, "key.sign", "r*", "k*" } },
      { { "allow", ME, "key.sign", "ring", "key" } },
      false },
    { "more keys",
      { { "allow", ME, "key.sign", "r", "k*" } },
      { { "allow", ME, "key.sign", "r", "*k" } },
      true },
    { "more keyrings",
      { { "allow", ME, "key.sign", "r", NULL } },
      { { "allow", ME, "key.sign", NULL, NULL } },
      true },
    { "another use of the same keys",
      { { "allow", ME, "key.encrypt", NULL, NULL } },
      { { "allow", ME, "key.encrypt", NULL, NULL }, { "allow", ME, "key.decrypt", NULL, NULL } },
      true },
    { "keyring and key from two rules are not one rule",
      { { "allow", ME, "key.mac", "a", "x" }, { "allow", ME, "key.mac", "b", "y" } },
      { { "allow", ME, "key.mac", "a", "y" } },
      true },
    { "a denial taken away",
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", ME, "key.mac", "r", "secret*" } },
      { { "allow", ME, "key.mac", NULL, NULL } },
      true },
    { "a denial made smaller",
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", ME, "key.mac", "r", "secret*" } },
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", ME, "key.mac", "r", "secret-1" } },
      true },
    { "a denial made larger",
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", ME, "key.mac", "r", "secret*" } },
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", ME, "key.*", "*", "s*" } },
      false },
    { "a denial of something not allowed taken away",
      { { "allow", ME, "key.mac", "r", "a*" }, { "deny", ME, "key.mac", "r", "b*" } },
      { { "allow", ME, "key.mac", "r", "a*" } },
      false },
    { "a denial that crosses what is allowed taken away",
      { { "allow", ME, "key.mac", "r", "a*" }, { "deny", ME, "key.mac", "r", "*b" } },
      { { "allow", ME, "key.mac", "r", "a*" } },
      true },
    { "allowed, but denied in the same change",
      { { 0 } },
      { { "allow", ME, "key.mac", "r", "a*" }, { "deny", ME, "key.mac", "r", NULL } },
      false },
    { "everything taken away",
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", ME, "key.mac", "r", "b" } },
      { { 0 } },
      false },
    { "a denial for another taken away",
      { { "allow", ME, "key.mac", NULL, NULL }, { "deny", "unix:you", "key.mac", NULL, NULL } },
      { { "allow", ME, "key.mac", NULL, NULL } },
      false },
};

static void a_gain_is_seen_as_the_table_says(void **unused)
{
    struct hf_op op = new_op();

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(rules) before = rules_of(&op, cases[i].before);
        HF_AUTO(rules) after = rules_of(&op, cases[i].after);
        struct hf_status status = gain(&op, before, after);

        if (status.code != (cases[i].gains ? HF_DENIED : HF_OK)) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
}

static void the_words_name_author_action_and_place(void **unused)
{
    static const struct short_rule none[] = { { 0 } };
    static const struct short_rule some[] = { { "allow", ME, "key.export", "hd*", "sales-*" },
                                              { 0 } };
    struct hf_op op = new_op();
    HF_AUTO(rules) before = rules_of(&op, none);
    HF_AUTO(rules) after = rules_of(&op, some);

    (void)unused;
    assert_fails(&op, gain(&op, before, after), HF_DENIED);
    assert_non_null(strstr(op.text, ME));
    assert_non_null(strstr(op.text, "'key.export'"));
    assert_non_null(strstr(op.text, "'hd*'"));
    assert_non_null(strstr(op.text, "'sales-*'"));
}

/* --- the same judged by examples, over many random changes --- */

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

static const char *const patterns[] = { "a", "b", "ab", "a*", "*b", "*" };
static const char *const texts[] = { "a", "b", "ab", "az", "zb", "azb", "z", "" };

static void random_rules(uint32_t *seed, struct short_rule *out)
{
    size_t count = next(seed) % 4;

    for (size_t i = 0; i < count; i++) {
        out[i] = (struct short_rule){ next(seed) % 2 ? "allow" : "deny", ME, "key.mac",
                                      patterns[next(seed) % HF_COUNT(patterns)],
                                      patterns[next(seed) % HF_COUNT(patterns)] };
    }
    out[count] = (struct short_rule){ 0 };
}

static bool allows(const struct hf_rules *rules, const char *keyring, const char *key)
{
    struct hf_question question = { ME, HF_ACT_KEY_MAC, keyring, key };
    bool allowed = false;

    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        if (hf_rule_applies(&rules->items[i], &question)) {
            if (rules->items[i].deny) {
                return false;
            }
            allowed = true;
        }
    }
    return allowed;
}

static bool gains_by_example(const struct hf_rules *before, const struct hf_rules *after)
{
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        for (size_t j = 0; j < HF_COUNT(texts); j++) {
            if (allows(after, texts[i], texts[j]) && !allows(before, texts[i], texts[j])) {
                return true;
            }
        }
    }
    return false;
}

static void no_gain_is_missed_in_random_changes(void **unused)
{
    struct hf_op op = new_op();
    uint32_t seed = 4711;
    size_t gains = 0, needless = 0;

    (void)unused;
    for (size_t i = 0; i < 20000; i++) {
        struct short_rule old[4], new[4];
        HF_AUTO(rules) before = NULL;
        HF_AUTO(rules) after = NULL;
        bool seen, real;

        random_rules(&seed, old);
        random_rules(&seed, new);
        before = rules_of(&op, old);
        after = rules_of(&op, new);
        seen = gain(&op, before, after).code == HF_DENIED;
        real = gains_by_example(before, after);
        if (real && !seen) {
            fail_msg("change %zu: a gain was missed", i);
        }
        gains += real;
        needless += seen && !real;
    }
    /* The test is worth something only if both kinds came, and asking in vain is rare. */
    assert_true(gains > 2000);
    assert_true(needless < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gain_is_seen_as_the_table_says),
        cmocka_unit_test(the_words_name_author_action_and_place),
        cmocka_unit_test(no_gain_is_missed_in_random_changes),
    };

    return cmocka_run_group_tests_name("policy gain", tests, NULL, NULL);
}
