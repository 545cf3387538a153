/* Policy documents come from operators: whatever they say, kinds stay apart and gains are seen. */
#include "fuzz.h"

#include <string.h>

#include "policy/rules.h"
#include "test_secrets.h"

#define AUTHOR "unix:root"

static const char *const callers[] = { AUTHOR, "cert:root", "pseudo:alice", "krb5:a" };
static const char *const keyrings[] = { "hdfs", "a", "" };
static const char *const keys[] = { "sales-1", "a", "" };

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    test_start_secrets();
    return 0;
}

static bool allows(const struct hf_rules *rules, const struct hf_question *question)
{
    bool allowed = false;

    for (size_t i = 0; i < rules->count; i++) {
        if (hf_rule_applies(&rules->items[i], question)) {
            if (rules->items[i].deny) {
                return false;
            }
            allowed = true;
        }
    }
    return allowed;
}

/* No rule speaks of the server itself, or of a name without a proof. */
static void check_kinds(const struct hf_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct hf_rule *rule = &rules->items[i];

        fuzz_require(rule->actions != 0 && rule->who.count > 0);
        fuzz_require(!hf_patterns_match(&rule->who, "system"));
        fuzz_require(!hf_patterns_match(&rule->who, "system:x"));
        fuzz_require(!hf_patterns_match(&rule->who, "root"));
        fuzz_require(!hf_patterns_match(&rule->who, ""));
    }
}

/* The same rules again are no gain; and where no gain is seen, nothing new is allowed. */
static void check_gain(const struct hf_rules *rules)
{
    struct hf_rule_sets none = { NULL, 0 }, all = { &rules, 1 };
    bool seen = hf_policy_gain(fuzz_op(), AUTHOR, &none, &all).code == HF_DENIED;

    fuzz_require(hf_policy_gain(fuzz_op(), AUTHOR, &all, &all).code == HF_OK);
    fuzz_require(hf_policy_gain(fuzz_op(), AUTHOR, &all, &none).code == HF_OK);
    for (size_t action = 0; action < HF_ACTION_COUNT; action++) {
        for (size_t i = 0; i < HF_COUNT(keyrings) * HF_COUNT(keys); i++) {
            struct hf_question question = { AUTHOR, (enum hf_action)action,
                                            keyrings[i % HF_COUNT(keyrings)],
                                            keys[i / HF_COUNT(keyrings)] };
            bool is_use = (hf_use_actions() & hf_action_bit(question.action)) != 0;

            fuzz_require(seen || !is_use || !allows(rules, &question));
        }
    }
}

static void check_questions(const struct hf_rules *rules)
{
    for (size_t i = 0; i < HF_COUNT(callers); i++) {
        for (size_t action = 0; action < HF_ACTION_COUNT; action++) {
            struct hf_question question = { callers[i], (enum hf_action)action, NULL, NULL };

            /* Any answer will do, as long as there is one. */
            (void)allows(rules, &question);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    HF_AUTO(rules) rules = NULL;
    struct hf_op *op = fuzz_op();
    struct hf_status status = hf_rules_parse(op, hf_bytes_of(data, len), &rules);

    fuzz_require(status.code == HF_OK || status.code == HF_INVALID || status.code == HF_TOO_LARGE);
    if (status.code != HF_OK) {
        fuzz_require(op->text[0] != '\0');
        return 0;
    }
    check_kinds(rules);
    check_questions(rules);
    check_gain(rules);
    return 0;
}
