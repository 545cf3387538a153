/* The names and public sentences of the codes. */
#include "base/status.h"

#include <stddef.h>

static const struct {
    const char *name;
    const char *sentence;
} codes[] = {
    [HF_OK] = { "ok", "Done." },
    [HF_INVALID] = { "invalid", "The request is not valid." },
    [HF_UNAUTHENTICATED] = { "unauthenticated", "Authentication required." },
    [HF_DENIED] = { "denied", "Not allowed." },
    [HF_NOT_FOUND] = { "not_found", "There is no such thing." },
    [HF_EXISTS] = { "exists", "It exists already." },
    [HF_CONFLICT] = { "conflict", "Somebody else changed it first; read it again and repeat." },
    [HF_WRONG_STATE] = { "wrong_state", "Its state does not allow this." },
    [HF_TOO_LARGE] = { "too_large", "The request is too large." },
    [HF_LIMITED] = { "limited", "A limit is reached; try again later." },
    [HF_NO_SPACE] = { "no_space", "The server has no space left for this." },
    [HF_UNAVAILABLE] = { "unavailable", "The service is not available now; try again." },
    [HF_IN_DOUBT] = { "in_doubt",
                      "The end of the write was not seen; repeat it under the same request id." },
    [HF_UNSUPPORTED] = { "unsupported", "This is not supported." },
    [HF_CORRUPT] = { "corrupt", "Stored data is damaged; an operator must look." },
    [HF_LATER] = { "later", "Not now." },
    [HF_INTERNAL] = { "internal", "The server made a mistake." },
};

const char *hf_code_name(enum hf_code code)
{
    return codes[code].name;
}

const char *hf_code_sentence(enum hf_code code)
{
    return codes[code].sentence;
}
