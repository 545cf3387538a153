/* Memory of libevent carries plaintext, so none of it may go back to the heap as it is. */
#include "test.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <event2/buffer.h>

#include "net/net.h"

#define MARKER "plaintext that must not stay"

static atomic_size_t freed_with_marker;
static atomic_size_t freed;

void __real_free(void *memory);
void __wrap_free(void *memory);

/* The linker puts this in the place of free() in all of our own code. */
void __wrap_free(void *memory)
{
    if (memory != NULL) {
        atomic_fetch_add(&freed, 1);
        if (memmem(memory, malloc_usable_size(memory), MARKER, sizeof MARKER - 1) != NULL) {
            atomic_fetch_add(&freed_with_marker, 1);
        }
    }
    __real_free(memory);
}

static void the_wrapped_free_sees_what_is_not_wiped(void **unused)
{
    char *memory = malloc(100);
    size_t before = atomic_load(&freed_with_marker);

    (void)unused;
    assert_non_null(memory);
    memcpy(memory, MARKER, sizeof MARKER);
    /* The compiler must not see that nobody reads it. */
    __asm__ volatile("" : : "r"(memory) : "memory");
    free(memory);
    assert_int_equal(atomic_load(&freed_with_marker), before + 1);
}

static void buffers_are_wiped_when_they_are_drained_moved_and_freed(void **unused)
{
    const struct hf_net_settings settings = { .loops = 1, .workers = 1 };
    struct evbuffer *buffer = NULL;
    struct hf_net *net = NULL;
    struct hf_env env;
    struct hf_op op;
    size_t freed_before;
    size_t before;

    (void)unused;
    hf_env_system(&env);
    hf_op_init(&op, &env);
    assert_ok(&op, hf_net_new(&op, &env, &settings, &net));
    buffer = evbuffer_new();
    assert_non_null(buffer);
    before = atomic_load(&freed_with_marker);
    freed_before = atomic_load(&freed);
    for (unsigned n = 0; n < 1000; n++) {
        assert_int_equal(evbuffer_add(buffer, MARKER, sizeof MARKER), 0);
    }
    assert_non_null(evbuffer_pullup(buffer, -1));
    assert_int_equal(evbuffer_drain(buffer, 20000), 0);
    assert_int_equal(evbuffer_expand(buffer, 100000), 0);
    evbuffer_free(buffer);
    assert_true(atomic_load(&freed) > freed_before);
    assert_int_equal(atomic_load(&freed_with_marker), before);
    hf_net_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wrapped_free_sees_what_is_not_wiped),
        cmocka_unit_test(buffers_are_wiped_when_they_are_drained_moved_and_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
