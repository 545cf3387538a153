/* Says in words which rules speak of a question, and what follows from them. */
#include "policy/internal.h"

#define SHOWN_MAX 8

static void add_list(struct hf_buf *out, const char *word, const struct hf_patterns *list)
{
    if (list->count == 0) {
        return;
    }
    hf_buf_add_format(out, ", %s", word);
    for (size_t i = 0; i < list->count && i < SHOWN_MAX; i++) {
        hf_buf_add_format(out, "%s '%s'", i > 0 ? "," : "", list->items[i]);
    }
    if (list->count > SHOWN_MAX) {
        hf_buf_add_format(out, " and %zu more", list->count - SHOWN_MAX);
    }
}

static void add_rule(struct hf_buf *out, const struct hf_document *document,
                     const struct hf_rule *rule)
{
    hf_buf_add_format(out, "rule %u of policy '%s' %s it: callers", rule->number, document->name,
                      rule->deny ? "denies" : "allows");
    for (size_t i = 0; i < rule->who.count && i < SHOWN_MAX; i++) {
        hf_buf_add_format(out, "%s '%s'", i > 0 ? "," : "", rule->who.items[i]);
    }
    if (rule->who.count > SHOWN_MAX) {
        hf_buf_add_format(out, " and %zu more", rule->who.count - SHOWN_MAX);
    }
    add_list(out, "keyrings", &rule->keyrings);
    add_list(out, "keys", &rule->keys);
    hf_buf_add_text(out, "\n");
}

struct verdict {
    size_t allows, denies;
};

static void add_rules(const struct hf_policy *policy, const struct hf_question *question,
                      struct hf_buf *out, struct verdict *verdict)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct hf_document *document = policy->documents[i];

        for (size_t j = 0; document->in_force && j < document->rules->count; j++) {
            const struct hf_rule *rule = &document->rules->items[j];

            if (hf_rule_applies(rule, question)) {
                add_rule(out, document, rule);
                verdict->denies += rule->deny;
                verdict->allows += !rule->deny;
            }
        }
    }
}

struct hf_status hf_policy_explain(struct hf_policy *policy, struct hf_op *op, const char *caller,
                                   enum hf_action action, const char *keyring, const char *key,
                                   struct hf_buf *out)
{
    struct hf_question question = { caller, action, keyring, key };
    struct verdict verdict = { 0, 0 };

    HF_TRY(hf_op_check_deadline(op));
    if (!hf_policy_is_whole(policy) && hf_action_scope(action) != HF_SCOPE_NODE) {
        hf_buf_add_text(out,
                        "a policy is damaged: until it is put again, nothing is allowed on keys\n");
    }
    pthread_rwlock_rdlock(&policy->lock);
    add_rules(policy, &question, out, &verdict);
    pthread_rwlock_unlock(&policy->lock);

    if (verdict.denies > 0) {
        hf_buf_add_format(out, "so '%s' is refused: a rule that denies wins\n",
                          hf_action_name(action));
    } else if (verdict.allows > 0) {
        hf_buf_add_format(out, "so '%s' is allowed\n", hf_action_name(action));
    } else {
        hf_buf_add_format(out, "no rule speaks of it, so '%s' is refused\n",
                          hf_action_name(action));
    }
    return HF_SUCCESS;
}
