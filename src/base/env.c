/* The real environment: the kernel's clocks and its random generator. */
#include "base/env.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    hf_assert(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t system_realtime_ms(struct hf_env *env)
{
    (void)env;
    return clock_ms(CLOCK_REALTIME);
}

static uint64_t system_boottime_ms(struct hf_env *env)
{
    (void)env;
    return clock_ms(CLOCK_BOOTTIME);
}

static void system_random(struct hf_env *env, void *out, size_t len)
{
    uint8_t *at = out;

    (void)env;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        hf_assert(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

static const struct hf_env_ops system_ops = {
    .realtime_ms = system_realtime_ms,
    .boottime_ms = system_boottime_ms,
    .random = system_random,
};

void hf_env_system(struct hf_env *env)
{
    memset(env, 0, sizeof *env);
    env->ops = &system_ops;
}
