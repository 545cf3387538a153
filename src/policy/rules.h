/*
 * Rules as they are kept in memory, compiled from documents.
 *
 * Threads: a compiled document does not change once made.
 */
#pragma once

#include "policy/policy.h"

#define HF_POLICY_NAME_MAX     64
#define HF_POLICY_DOCUMENT_MAX (256U << 10)
#define HF_POLICY_RULES_MAX    1000
#define HF_POLICY_LIST_MAX     256

_Static_assert(HF_ACTION_COUNT <= 64, "a set of actions is one word");

/* A set of actions, one bit each. */
typedef uint64_t hf_action_set;

static inline hf_action_set hf_action_bit(enum hf_action action)
{
    return (hf_action_set)1 << action;
}

/* What an action is about. */
enum hf_scope {
    HF_SCOPE_NODE,    /* no keyring, no key */
    HF_SCOPE_KEYRING, /* a keyring as a whole */
    HF_SCOPE_KEY,
};
enum hf_scope hf_action_scope(enum hf_action action);
/* key.list and keyring.read may be asked for "some": then a rule that allows any of them counts. */
bool hf_action_lists(enum hf_action action);
/* HF_INVALID for an unknown role; lists them. */
HF_STATUS hf_role_actions(struct hf_op *op, const char *role, hf_action_set *out);
/* Every action whose name matches the pattern; 0 if there is none. */
hf_action_set hf_actions_matching(const char *pattern);
/* Uses of keys and export: what nobody gives himself. */
hf_action_set hf_use_actions(void);

struct hf_patterns {
    char **items; /* count 0 and items NULL: all, the list was left out */
    size_t count;
};
bool hf_patterns_match(const struct hf_patterns *patterns, const char *text);

/* Whether everything that inner matches is matched by outer; and whether some text matches both. */
bool hf_pattern_covers(const char *outer, const char *inner);
bool hf_patterns_meet(const char *a, const char *b);

struct hf_rule {
    bool deny;
    hf_action_set actions;
    struct hf_patterns who; /* "pseudo:alice", "cert:etl-*" */
    struct hf_patterns keyrings;
    struct hf_patterns keys;
    unsigned number; /* in its document, from 1 */
};

/* Identities that stand for one human being. */
struct hf_person {
    char *name;
    struct hf_patterns identities; /* spelled out, never patterns */
};

struct hf_rules {
    struct hf_rule *items;
    size_t count;
    struct hf_person *persons;
    size_t person_count;
};

/* HF_INVALID names rule and member. */
HF_STATUS hf_rules_parse(struct hf_op *op, struct hf_bytes document, struct hf_rules **out);
void hf_rules_free(struct hf_rules *rules);
HF_DEFINE_CLEANUP(rules)

/* What is asked of the rules. keyring and key may be NULL. */
struct hf_question {
    const char *caller;
    enum hf_action action;
    const char *keyring;
    const char *key;
};
/* Whether the rule speaks of what is asked. */
bool hf_rule_applies(const struct hf_rule *rule, const struct hf_question *question);

/* A named document in force, or the place of a removed one. */
struct hf_document {
    char *name;
    uint64_t revision;
    struct hf_buf text;
    struct hf_rules *rules; /* NULL: removed */
    bool in_force;          /* the list of documents names it */
};
void hf_document_free(struct hf_document *document);
HF_DEFINE_CLEANUP(document)

/* All documents of one moment. Views: documents belong to somebody else. */
struct hf_rule_sets {
    const struct hf_rules **sets;
    size_t count;
};

/*
 * HF_DENIED with words when author could use or export something under after that he could not
 * under before. Never misses a gain; may see one where patterns overlap in many pieces.
 */
HF_STATUS hf_policy_gain(struct hf_op *op, const char *author, const struct hf_rule_sets *before,
                         const struct hf_rule_sets *after);

/*
 * Everybody who is one person with the identity, which comes first: who stands with one of them, or
 * under the same name, in any document. Views of the sets and of identity; free items.
 */
struct hf_identities {
    const char **items;
    size_t count;
};
void hf_person_identities(const struct hf_rule_sets *sets, const char *identity,
                          struct hf_identities *out);
bool hf_identities_have(const struct hf_identities *identities, const char *identity);
