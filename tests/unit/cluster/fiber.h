/*
 * Fibers: many flows of control in one thread, each with a stack of its own, that hand over only
 * where they say so. What they do together is the same in every run.
 */
#pragma once

#include <stdbool.h>

struct fiber;

struct fiber *fiber_new(void);
void fiber_free(struct fiber *fiber);

/* Begins run(argument) in it, as soon as it is resumed; it must not be running. */
void fiber_start(struct fiber *fiber, void (*run)(void *argument), void *argument);
bool fiber_is_running(const struct fiber *fiber);

/* From outside of all fibers: goes on in this one until it pauses or ends. */
void fiber_resume(struct fiber *fiber);
/* From inside: back to whoever resumed it. */
void fiber_pause(struct fiber *fiber);
