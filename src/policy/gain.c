/*
 * Whether a change of policy gives its author use or export of keys (promise P10).
 *
 * What he may do under a set of rules is "allowed and not denied". He gains nothing if (1) each
 * place the new rules allow him was allowed by one old rule, or is denied by one new rule; and (2)
 * each place the old rules denied him is still denied by one new rule, or meets nothing the new
 * rules allow him. Places are pairs of patterns, compared as patterns, so no choice of examples can
 * miss a gain. A gain that is none may be seen where several old rules cover a new one only
 * together; then a second person is asked for nothing.
 */
#include "policy/rules.h"

/* The rules of one moment that speak of the author and the action. */
struct side {
    const struct hf_rule_sets *sets;
    const char *author;
    hf_action_set action;
};

struct place {
    const char *keyring;
    const char *key;
};

static bool speaks(const struct side *side, const struct hf_rule *rule, bool deny)
{
    return rule->deny == deny && (rule->actions & side->action) != 0 &&
           hf_patterns_match(&rule->who, side->author);
}

static bool list_covers(const struct hf_patterns *patterns, const char *inner)
{
    if (patterns->count == 0) {
        return true;
    }
    for (size_t i = 0; i < patterns->count; i++) {
        if (hf_pattern_covers(patterns->items[i], inner)) {
            return true;
        }
    }
    return false;
}

static bool list_meets(const struct hf_patterns *patterns, const char *other)
{
    if (patterns->count == 0) {
        return true;
    }
    for (size_t i = 0; i < patterns->count; i++) {
        if (hf_patterns_meet(patterns->items[i], other)) {
            return true;
        }
    }
    return false;
}

typedef bool (*place_test)(const struct hf_rule *rule, const struct place *place);

static bool rule_covers(const struct hf_rule *rule, const struct place *place)
{
    return list_covers(&rule->keyrings, place->keyring) && list_covers(&rule->keys, place->key);
}

static bool rule_meets(const struct hf_rule *rule, const struct place *place)
{
    return list_meets(&rule->keyrings, place->keyring) && list_meets(&rule->keys, place->key);
}

/* Whether some rule of that effect on that side passes the test. */
static bool some_rule(const struct side *side, bool deny, place_test test,
                      const struct place *place)
{
    for (size_t i = 0; i < side->sets->count; i++) {
        const struct hf_rules *rules = side->sets->sets[i];

        for (size_t j = 0; j < rules->count; j++) {
            if (speaks(side, &rules->items[j], deny) && test(&rules->items[j], place)) {
                return true;
            }
        }
    }
    return false;
}

static bool new_allow_is_harmless(const struct side *before, const struct side *after,
                                  const struct place *place)
{
    return some_rule(before, false, rule_covers, place) ||
           some_rule(after, true, rule_covers, place);
}

static bool old_deny_is_kept(const struct side *before, const struct side *after,
                             const struct place *place)
{
    (void)before;
    return some_rule(after, true, rule_covers, place) ||
           !some_rule(after, false, rule_meets, place);
}

typedef bool (*harmless_test)(const struct side *before, const struct side *after,
                              const struct place *place);

/* The first place of the rule that fails the test; false when all are harmless. */
static struct hf_status check_rule(struct hf_op *op, const struct side *before,
                                   const struct side *after, const struct hf_rule *rule,
                                   harmless_test is_harmless, struct place *out, bool *out_found)
{
    size_t keyrings = rule->keyrings.count > 0 ? rule->keyrings.count : 1;
    size_t keys = rule->keys.count > 0 ? rule->keys.count : 1;

    for (size_t i = 0; i < keyrings; i++) {
        /* Long lists against long lists take a while; the deadline is the limit. */
        HF_TRY(hf_op_check_deadline(op));
        for (size_t j = 0; j < keys; j++) {
            struct place place = {
                .keyring = rule->keyrings.count > 0 ? rule->keyrings.items[i] : "*",
                .key = rule->keys.count > 0 ? rule->keys.items[j] : "*",
            };

            if (!is_harmless(before, after, &place)) {
                *out = place;
                *out_found = true;
                return HF_SUCCESS;
            }
        }
    }
    return HF_SUCCESS;
}

/* Puts every rule of one side and effect to the test. */
static struct hf_status check_rules(struct hf_op *op, const struct side *before,
                                    const struct side *after, bool of_after, struct place *out,
                                    bool *out_found)
{
    const struct side *side = of_after ? after : before;
    harmless_test test = of_after ? new_allow_is_harmless : old_deny_is_kept;

    for (size_t i = 0; i < side->sets->count && !*out_found; i++) {
        const struct hf_rules *rules = side->sets->sets[i];

        for (size_t j = 0; j < rules->count && !*out_found; j++) {
            if (speaks(side, &rules->items[j], !of_after)) {
                HF_TRY(check_rule(op, before, after, &rules->items[j], test, out, out_found));
            }
        }
    }
    return HF_SUCCESS;
}

struct hf_status hf_policy_gain(struct hf_op *op, const char *author,
                                const struct hf_rule_sets *before, const struct hf_rule_sets *after)
{
    hf_action_set all = hf_use_actions();

    for (size_t i = 0; i < HF_ACTION_COUNT; i++) {
        hf_action_set action = hf_action_bit((enum hf_action)i) & all;
        struct side old_side = { before, author, action };
        struct side new_side = { after, author, action };
        struct place place = { NULL, NULL };
        bool found = false;

        if (action == 0) {
            continue;
        }
        HF_TRY(check_rules(op, &old_side, &new_side, true, &place, &found));
        if (!found) {
            HF_TRY(check_rules(op, &old_side, &new_side, false, &place, &found));
        }
        if (found) {
            return hf_fail(op, HF_DENIED,
                           "this would give %.60s, who asks for it, '%s' on keyring '%.50s', keys "
                           "'%.60s'; a second person must approve it",
                           author, hf_action_name((enum hf_action)i), place.keyring, place.key);
        }
    }
    return HF_SUCCESS;
}
