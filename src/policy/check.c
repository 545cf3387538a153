/* The question itself: may this caller do that? */
#include <string.h>

#include "policy/internal.h"

/*
 * Whether a rule's list fits a name. Without a name, a question for "some" is met by whatever
 * allows any; otherwise only a denial fits, so that a missing name never opens anything.
 */
static bool list_fits(const struct hf_rule *rule, const struct hf_patterns *list, const char *name,
                      bool asks_for_some)
{
    if (list->count == 0) {
        return true;
    }
    if (name == NULL) {
        return asks_for_some ? !rule->deny : rule->deny;
    }
    return hf_patterns_match(list, name);
}

bool hf_rule_applies(const struct hf_rule *rule, const struct hf_question *question)
{
    bool some = hf_action_lists(question->action);

    if ((rule->actions & hf_action_bit(question->action)) == 0 ||
        !hf_patterns_match(&rule->who, question->caller)) {
        return false;
    }
    switch (hf_action_scope(question->action)) {
    case HF_SCOPE_NODE:
        return rule->keyrings.count == 0 && rule->keys.count == 0;
    case HF_SCOPE_KEYRING:
        return rule->keys.count == 0 && list_fits(rule, &rule->keyrings, question->keyring, some);
    case HF_SCOPE_KEY:
        break;
    }
    return list_fits(rule, &rule->keyrings, question->keyring, some) &&
           list_fits(rule, &rule->keys, question->key, some);
}

struct found {
    const struct hf_document *document;
    const struct hf_rule *rule;
};

/* The first denying rule, or else the first allowing one. The caller holds the lock. */
static struct found find_rule(const struct hf_policy *policy, const struct hf_question *question)
{
    struct found allowing = { NULL, NULL };

    for (size_t i = 0; i < policy->count; i++) {
        const struct hf_document *document = policy->documents[i];

        for (size_t j = 0; document->in_force && j < document->rules->count; j++) {
            const struct hf_rule *rule = &document->rules->items[j];

            if ((!rule->deny && allowing.rule != NULL) || !hf_rule_applies(rule, question)) {
                continue;
            }
            if (rule->deny) {
                return (struct found){ document, rule };
            }
            allowing = (struct found){ document, rule };
        }
    }
    return allowing;
}

/* Reads the rules; the decision may be remembered for the generation it was made under. */
static struct hf_status decide(struct hf_policy *policy, struct hf_op *op,
                               const struct hf_question *question, uint64_t *out_generation)
{
    struct hf_status status = HF_SUCCESS;
    struct found found;

    pthread_rwlock_rdlock(&policy->lock);
    found = find_rule(policy, question);
    if (!hf_policy_is_sound(policy) && hf_action_scope(question->action) != HF_SCOPE_NODE) {
        status =
            hf_fail(op, HF_DENIED,
                    "a policy is damaged and its denials are unknown, so nothing is allowed on "
                    "keys until it is put again");
    } else if (found.rule == NULL) {
        status = hf_fail(op, HF_DENIED, "no rule allows %.100s '%s'", question->caller,
                         hf_action_name(question->action));
    } else if (found.rule->deny) {
        status =
            hf_fail(op, HF_DENIED, "rule %u of policy '%s' denies %.100s '%s'", found.rule->number,
                    found.document->name, question->caller, hf_action_name(question->action));
    }
    *out_generation = atomic_load(&policy->generation);
    pthread_rwlock_unlock(&policy->lock);
    return status;
}

struct hf_status hf_policy_check(struct hf_policy *policy, struct hf_op *op, const char *caller,
                                 enum hf_action action, const char *keyring, const char *key)
{
    struct hf_question question = { caller, action, keyring, key };
    uint64_t generation = atomic_load(&policy->generation);

    /* The server itself. No caller from outside has an id without its kind before a ':'. */
    if (strcmp(caller, "system") == 0) {
        return HF_SUCCESS;
    }
    /* Damage does not come through the rules, so it is in no generation of them. */
    if (hf_seal_damage(policy->seal, NULL, NULL) == 0 &&
        hf_decisions_has(policy->decisions, op->lane, generation, &question)) {
        return HF_SUCCESS;
    }
    HF_TRY(decide(policy, op, &question, &generation));
    hf_decisions_put(policy->decisions, op->lane, generation, &question);
    return HF_SUCCESS;
}
