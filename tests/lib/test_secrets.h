/*
 * Secret memory for test programs: call it once, first thing in main().
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

/* Starts 16 MiB of secret memory, unlocked where this machine allows no better. */
static inline void test_start_secrets(void)
{
    static const struct hf_secret_settings settings = {
        .max_bytes = (size_t)16 << 20,
        .allow_unlocked = true,
    };
    struct hf_env env;
    struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    if (hf_secret_start(&op, &settings).code != HF_OK) {
        (void)fprintf(stderr, "no secret memory for the tests: %s\n", op.text);
        exit(1);
    }
}
