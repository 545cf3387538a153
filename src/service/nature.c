/* What each action is: the one place where a new one has to be thought of. */
#include "service/internal.h"

enum hf_nature hf_nature_of(enum hf_action action)
{
    switch (action) {
    case HF_ACT_KEYRING_READ:
    case HF_ACT_KEY_LIST:
    case HF_ACT_KEY_READ:
        return HF_NATURE_LOOK;
    case HF_ACT_KEY_UNWRAP:
    case HF_ACT_KEY_DECRYPT:
    case HF_ACT_KEY_VERIFY:
        return HF_NATURE_OPEN;
    case HF_ACT_KEY_GENERATE:
    case HF_ACT_KEY_REENCRYPT:
    case HF_ACT_KEY_ENCRYPT:
    case HF_ACT_KEY_SIGN:
    case HF_ACT_KEY_MAC:
        return HF_NATURE_WRAP;
    case HF_ACT_KEYRING_ROTATE:
    case HF_ACT_KEY_CREATE:
    case HF_ACT_KEY_IMPORT:
    case HF_ACT_KEY_ROTATE:
    case HF_ACT_KEY_REWRAP:
    case HF_ACT_KEY_EXPORT:
        return HF_NATURE_MAKE;
    case HF_ACT_SLOT_CHANGE:
    case HF_ACT_SLOT_REMOVE:
    case HF_ACT_ROOT_ROTATE:
    case HF_ACT_KEYRING_CREATE:
    case HF_ACT_KEYRING_CHANGE:
    case HF_ACT_KEY_STATE:
    case HF_ACT_KEY_DELETE:
    case HF_ACT_KEY_RECOVER:
    case HF_ACT_KEY_DESTROY:
    case HF_ACT_POLICY_CHANGE:
    case HF_ACT_APPROVE:
    case HF_ACT_SESSION_END:
    case HF_ACT_NODE_APPROVE:
    case HF_ACT_NODE_CHANGE:
    case HF_ACT_NODE_REMOVE:
    case HF_ACT_KEY_REVOCATION: /* changes nothing, but tells what no lease may contradict */
        return HF_NATURE_CHANGE;
    case HF_ACT_STATUS:
    case HF_ACT_UNLOCK:
    case HF_ACT_LOCK:
    case HF_ACT_SLOT_LIST:
    case HF_ACT_SLOT_TEST:
    case HF_ACT_RANDOM:
    case HF_ACT_POLICY_READ:
    case HF_ACT_AUDIT_READ:
    case HF_ACT_WHY:
    case HF_ACT_DRILL_RUN:
    case HF_ACT_DRILL_READ:
    case HF_ACT_JOB_LIST:
    case HF_ACT_SITE_PROMOTE:
    case HF_ACT_STORE_ACCEPT:
    case HF_ACT_NODE_LIST:
    case HF_ACT_SERVE_STALE: /* asked for where there is no lease */
    case HF_ACT_NODE_REVOKE: /* likewise */
    case HF_ACTION_COUNT:
        break;
    }
    return HF_NATURE_OWN;
}

bool hf_nature_changes(enum hf_nature nature)
{
    return nature == HF_NATURE_CHANGE || nature == HF_NATURE_MAKE;
}
