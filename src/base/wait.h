/*
 * Waiting on conditions: all of the project's limits are on the monotonic clock.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* The moment on CLOCK_MONOTONIC so many milliseconds from now. */
struct timespec hf_monotonic_in(uint64_t ms);
