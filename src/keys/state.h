/*
 * States of a key version (NIST SP 800-57 part 1, section 7; KMIP's words) and what each allows.
 */
#pragma once

#include "base/op.h"

enum hf_key_state {
    HF_KEY_PRE_ACTIVE = 1,
    HF_KEY_ACTIVE = 2,
    HF_KEY_SUSPENDED = 3,
    HF_KEY_DEACTIVATED = 4,
    HF_KEY_COMPROMISED = 5,
    HF_KEY_DESTROYED = 6,
    HF_KEY_DESTROYED_COMPROMISED = 7,
};

enum hf_key_event {
    HF_KEY_ACTIVATE,
    HF_KEY_SUSPEND,
    HF_KEY_RESUME,
    HF_KEY_DEACTIVATE,
    HF_KEY_COMPROMISE,
    HF_KEY_DESTROY,
};

enum hf_use {
    HF_USE_PROTECT, /* encrypt, wrap, sign, MAC: Active only */
    HF_USE_PROCESS, /* decrypt, unwrap, verify: also Deactivated and Compromised */
};

/* The state that event leads to; HF_WRONG_STATE leaves *state alone. */
HF_STATUS hf_key_step(struct hf_op *op, enum hf_key_state *state, enum hf_key_event event);
bool hf_key_state_allows(enum hf_key_state state, enum hf_use use);
/* "pre-active", "active", ... */
const char *hf_key_state_name(enum hf_key_state state);
HF_STATUS hf_key_event_parse(struct hf_op *op, const char *name, enum hf_key_event *out);
