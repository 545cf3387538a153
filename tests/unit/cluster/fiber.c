/* Fibers over ucontext, told to the sanitizers. */
#include "fiber.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#include "base/alloc.h"
#include "base/assert.h"

#define STACK_LEN ((size_t)256 << 10)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#elif __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

struct fiber {
    ucontext_t own;
    ucontext_t resumer;
    void *stack;
    void (*run)(void *argument);
    void *argument;
    bool running;
#ifdef WITH_ASAN
    void *own_fake;
    void *resumer_fake;
    const void *resumer_stack;
    size_t resumer_len;
#endif
#ifdef WITH_TSAN
    void *own_tsan;
    void *resumer_tsan;
#endif
};

struct fiber *fiber_new(void)
{
    struct fiber *fiber = hf_alloc(sizeof *fiber);

    fiber->stack = hf_alloc(STACK_LEN);
#ifdef WITH_TSAN
    fiber->own_tsan = __tsan_create_fiber(0);
#endif
    return fiber;
}

void fiber_free(struct fiber *fiber)
{
    hf_assert(!fiber->running);
#ifdef WITH_TSAN
    __tsan_destroy_fiber(fiber->own_tsan);
#endif
    free(fiber->stack);
    free(fiber);
}

bool fiber_is_running(const struct fiber *fiber)
{
    return fiber->running;
}

static void leave(struct fiber *fiber, bool for_good)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &fiber->own_fake, fiber->resumer_stack,
                                   fiber->resumer_len);
#endif
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(fiber->resumer_tsan, 0);
#endif
    (void)for_good;
    hf_assert(swapcontext(&fiber->own, &fiber->resumer) == 0);
}

static void arrive(struct fiber *fiber)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fiber->own_fake, &fiber->resumer_stack, &fiber->resumer_len);
#endif
    (void)fiber;
}

/* makecontext() hands over ints only. */
static void enter(unsigned high, unsigned low)
{
    struct fiber *fiber = (struct fiber *)((uintptr_t)high << 32 | low);

    arrive(fiber);
    fiber->run(fiber->argument);
    fiber->running = false;
    leave(fiber, true);
}

void fiber_start(struct fiber *fiber, void (*run)(void *argument), void *argument)
{
    uintptr_t self = (uintptr_t)fiber;

    hf_assert(!fiber->running);
    fiber->run = run;
    fiber->argument = argument;
    fiber->running = true;
#ifdef WITH_ASAN
    fiber->own_fake = NULL;
#endif
    hf_assert(getcontext(&fiber->own) == 0);
    fiber->own.uc_stack.ss_sp = fiber->stack;
    fiber->own.uc_stack.ss_size = STACK_LEN;
    fiber->own.uc_link = NULL;
    makecontext(&fiber->own, (void (*)(void))enter, 2, (unsigned)(self >> 32), (unsigned)self);
}

void fiber_resume(struct fiber *fiber)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&fiber->resumer_fake, fiber->stack, STACK_LEN);
#endif
#ifdef WITH_TSAN
    fiber->resumer_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->own_tsan, 0);
#endif
    hf_assert(swapcontext(&fiber->resumer, &fiber->own) == 0);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fiber->resumer_fake, NULL, NULL);
#endif
}

void fiber_pause(struct fiber *fiber)
{
    leave(fiber, false);
    arrive(fiber);
}
