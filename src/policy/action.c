/* Actions and the fixed roles, as tables. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "policy/rules.h"

struct action_row {
    const char *name;
    bool concerns_key;
};

#define ACTION_ROW(id, row_name, row_concerns_key) [id] = { row_name, row_concerns_key },
static const struct action_row actions[HF_ACTION_COUNT] = { HF_ACTIONS(ACTION_ROW) };
#undef ACTION_ROW

/* Export is in no role: it is always spelled out. */
static const struct {
    const char *role;
    const char *patterns[16]; /* ends with NULL */
} roles[] = {
    { "key-admin",
      { "keyring.*", "key.create", "key.import", "key.list", "key.read", "key.rotate", "key.rewrap",
        "key.state", "key.delete", "key.recover", "key.destroy", "key.revocation", "why", NULL } },
    { "key-user",
      { "key.list", "key.read", "key.generate", "key.unwrap", "key.reencrypt", "key.encrypt",
        "key.decrypt", "key.sign", "key.verify", "key.mac", "random", NULL } },
    { "auditor",
      { "audit.read", "policy.read", "node.status", "node.list", "slot.list", "key.list",
        "key.read", "keyring.read", "drill.read", "job.list", "why", NULL } },
    { "operator",
      { "node.*", "slot.*", "root.*", "site.*", "store.*", "drill.*", "job.*", "session.*",
        "policy.read", "policy.change", "approve", "keyring.read", "key.list", "why", NULL } },
};

static const enum hf_action uses[] = {
    HF_ACT_KEY_EXPORT,  HF_ACT_KEY_GENERATE, HF_ACT_KEY_UNWRAP,
    HF_ACT_KEY_ENCRYPT, HF_ACT_KEY_DECRYPT,  HF_ACT_KEY_REENCRYPT,
    HF_ACT_KEY_SIGN,    HF_ACT_KEY_VERIFY,   HF_ACT_KEY_MAC,
};

const char *hf_action_name(enum hf_action action)
{
    return actions[action].name;
}

struct hf_status hf_action_parse(struct hf_op *op, const char *name, enum hf_action *out)
{
    for (size_t i = 0; i < HF_ACTION_COUNT; i++) {
        if (strcmp(actions[i].name, name) == 0) {
            *out = (enum hf_action)i;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID, "'%.64s' is no action; docs/policy.md lists them", name);
}

enum hf_scope hf_action_scope(enum hf_action action)
{
    if (!actions[action].concerns_key) {
        return HF_SCOPE_NODE;
    }
    return strncmp(actions[action].name, "keyring.", strlen("keyring.")) == 0 ? HF_SCOPE_KEYRING
                                                                              : HF_SCOPE_KEY;
}

bool hf_action_lists(enum hf_action action)
{
    return action == HF_ACT_KEY_LIST || action == HF_ACT_KEYRING_READ;
}

hf_action_set hf_actions_matching(const char *pattern)
{
    hf_action_set set = 0;

    for (size_t i = 0; i < HF_ACTION_COUNT; i++) {
        if (hf_pattern_matches(pattern, actions[i].name)) {
            set |= hf_action_bit((enum hf_action)i);
        }
    }
    return set;
}

hf_action_set hf_use_actions(void)
{
    hf_action_set set = 0;

    for (size_t i = 0; i < HF_COUNT(uses); i++) {
        set |= hf_action_bit(uses[i]);
    }
    return set;
}

struct hf_status hf_role_actions(struct hf_op *op, const char *role, hf_action_set *out)
{
    hf_action_set set = 0;

    for (size_t i = 0; i < HF_COUNT(roles); i++) {
        if (strcmp(roles[i].role, role) == 0) {
            for (const char *const *pattern = roles[i].patterns; *pattern != NULL; pattern++) {
                set |= hf_actions_matching(*pattern);
            }
            *out = set;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID,
                   "'%.64s' is no role; there are key-admin, key-user, auditor and operator", role);
}

bool hf_role_has(const char *role, enum hf_action action, bool *out_known)
{
    struct hf_op op;
    hf_action_set set = 0;

    hf_op_init(&op, NULL);
    *out_known = hf_role_actions(&op, role, &set).code == HF_OK;
    return (set & hf_action_bit(action)) != 0;
}
