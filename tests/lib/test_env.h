/*
 * An environment whose clocks stand still until the test moves them, and whose random bytes come
 * from a counter: 1, 2, 3, ... It may be used by one thread at a time.
 */
#pragma once

#include "base/env.h"

struct test_env {
    struct hf_env env; /* hand &env on */
    uint64_t realtime_ms;
    uint64_t boottime_ms;
    uint8_t next_random;
};

static inline uint64_t test_env_realtime(struct hf_env *env)
{
    return ((struct test_env *)env->context)->realtime_ms;
}

static inline uint64_t test_env_boottime(struct hf_env *env)
{
    return ((struct test_env *)env->context)->boottime_ms;
}

static inline void test_env_random(struct hf_env *env, void *out, size_t len)
{
    struct test_env *test = env->context;

    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)out)[i] = ++test->next_random;
    }
}

/* 2026-11-21T23:31:00.123Z, and ten seconds after boot. */
static inline void test_env_init(struct test_env *test)
{
    static const struct hf_env_ops ops = {
        .realtime_ms = test_env_realtime,
        .boottime_ms = test_env_boottime,
        .random = test_env_random,
    };

    *test = (struct test_env){
        .env = { .ops = &ops, .context = test },
        .realtime_ms = 1795303860123U,
        .boottime_ms = 10000,
    };
}
