/* The table of states and events, and what each state allows. */
#include "keys/state.h"

#include <string.h>

#define STATES (HF_KEY_DESTROYED_COMPROMISED + 1)
#define EVENTS (HF_KEY_DESTROY + 1)

static const char *const state_names[STATES] = {
    [HF_KEY_PRE_ACTIVE] = "pre-active",
    [HF_KEY_ACTIVE] = "active",
    [HF_KEY_SUSPENDED] = "suspended",
    [HF_KEY_DEACTIVATED] = "deactivated",
    [HF_KEY_COMPROMISED] = "compromised",
    [HF_KEY_DESTROYED] = "destroyed",
    [HF_KEY_DESTROYED_COMPROMISED] = "destroyed-compromised",
};

static const char *const event_names[EVENTS] = {
    [HF_KEY_ACTIVATE] = "activate",     [HF_KEY_SUSPEND] = "suspend",
    [HF_KEY_RESUME] = "resume",         [HF_KEY_DEACTIVATE] = "deactivate",
    [HF_KEY_COMPROMISE] = "compromise", [HF_KEY_DESTROY] = "destroy",
};

/* NIST SP 800-57 part 1, 7.3; 0 where the event is refused. */
static const enum hf_key_state next[STATES][EVENTS] = {
    [HF_KEY_PRE_ACTIVE] = {
        [HF_KEY_ACTIVATE] = HF_KEY_ACTIVE,
        [HF_KEY_COMPROMISE] = HF_KEY_COMPROMISED,
        [HF_KEY_DESTROY] = HF_KEY_DESTROYED,
    },
    [HF_KEY_ACTIVE] = {
        [HF_KEY_SUSPEND] = HF_KEY_SUSPENDED,
        [HF_KEY_DEACTIVATE] = HF_KEY_DEACTIVATED,
        [HF_KEY_COMPROMISE] = HF_KEY_COMPROMISED,
    },
    [HF_KEY_SUSPENDED] = {
        [HF_KEY_RESUME] = HF_KEY_ACTIVE,
        [HF_KEY_DEACTIVATE] = HF_KEY_DEACTIVATED,
        [HF_KEY_COMPROMISE] = HF_KEY_COMPROMISED,
    },
    [HF_KEY_DEACTIVATED] = {
        [HF_KEY_COMPROMISE] = HF_KEY_COMPROMISED,
        [HF_KEY_DESTROY] = HF_KEY_DESTROYED,
    },
    [HF_KEY_COMPROMISED] = {
        [HF_KEY_DESTROY] = HF_KEY_DESTROYED_COMPROMISED,
    },
    [HF_KEY_DESTROYED] = {
        [HF_KEY_COMPROMISE] = HF_KEY_DESTROYED_COMPROMISED,
    },
};

struct hf_status hf_key_step(struct hf_op *op, enum hf_key_state *state, enum hf_key_event event)
{
    enum hf_key_state to = next[*state][event];

    if (to == 0) {
        return hf_fail(op, HF_WRONG_STATE, "a version that is %s cannot take the step \"%s\"",
                       hf_key_state_name(*state), event_names[event]);
    }
    *state = to;
    return HF_SUCCESS;
}

bool hf_key_state_allows(enum hf_key_state state, enum hf_use use)
{
    return state == HF_KEY_ACTIVE ||
           (use == HF_USE_PROCESS && (state == HF_KEY_DEACTIVATED || state == HF_KEY_COMPROMISED));
}

const char *hf_key_state_name(enum hf_key_state state)
{
    return state_names[state];
}

struct hf_status hf_key_event_parse(struct hf_op *op, const char *name, enum hf_key_event *out)
{
    for (size_t i = 0; i < HF_COUNT(event_names); i++) {
        if (strcmp(event_names[i], name) == 0) {
            *out = (enum hf_key_event)i;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID,
                   "unknown step \"%.40s\"; use activate, suspend, resume, deactivate, compromise "
                   "or destroy",
                   name);
}
