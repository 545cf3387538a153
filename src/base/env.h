/*
 * The environment: the outside world as a set of calls, so that tests can put a virtual clock,
 * seeded randomness and faults in its place, and several nodes can live in one process.
 *
 * Threads: the calls of one environment may be made from any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hf_env;
struct hf_log;
struct hf_metrics;

struct hf_env_ops {
    /* Milliseconds since 1970 UTC: for dates that people and protocols see. */
    uint64_t (*realtime_ms)(struct hf_env *env);
    /* Milliseconds on CLOCK_BOOTTIME: for deadlines and leases; also runs while suspended. */
    uint64_t (*boottime_ms)(struct hf_env *env);
    /* Fills with bytes from the kernel's generator (or a seed); never fails. */
    void (*random)(struct hf_env *env, void *out, size_t len);
};

struct hf_env {
    const struct hf_env_ops *ops;
    struct hf_log *log;         /* may be NULL: nothing is logged */
    struct hf_metrics *metrics; /* may be NULL: nothing is counted */
    void *context;              /* for the ops of tests */
};

/* The real world: clocks of the kernel and getrandom(2). Log and metrics are NULL. */
void hf_env_system(struct hf_env *env);

static inline uint64_t hf_env_realtime_ms(struct hf_env *env)
{
    return env->ops->realtime_ms(env);
}

static inline uint64_t hf_env_boottime_ms(struct hf_env *env)
{
    return env->ops->boottime_ms(env);
}

static inline void hf_env_random(struct hf_env *env, void *out, size_t len)
{
    env->ops->random(env, out, len);
}
