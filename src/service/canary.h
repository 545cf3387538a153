/*
 * Canaries: one key version of each keyring, opened through the whole chain.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "service/internal.h"

/*
 * Opens the canary of every keyring and tells how each went; text is empty when it opened. Waits.
 */
HF_STATUS hf_canary_each(struct hf_service *service, struct hf_op *op,
                         void (*visit)(void *context, const char *keyring, struct hf_status status,
                                       const char *text),
                         void *context);
