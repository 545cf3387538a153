/* See wait.h. */
#include "base/wait.h"

#include "base/assert.h"

#define MS_PER_S  1000
#define NS_PER_MS 1000000L
#define NS_PER_S  1000000000L

struct timespec hf_monotonic_in(uint64_t ms)
{
    struct timespec then;

    hf_assert(clock_gettime(CLOCK_MONOTONIC, &then) == 0);
    then.tv_sec += (time_t)(ms / MS_PER_S);
    then.tv_nsec += (long)(ms % MS_PER_S) * NS_PER_MS;
    if (then.tv_nsec >= NS_PER_S) {
        then.tv_nsec -= NS_PER_S;
        then.tv_sec++;
    }
    return then;
}
