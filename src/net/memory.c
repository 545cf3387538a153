/* Memory for libevent, wiped when freed: its buffers carry plaintext. */
#include "net/internal.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/alloc.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void wipe_and_free(void *memory)
{
    if (memory != NULL) {
        hf_wipe(memory, malloc_usable_size(memory));
        free(memory);
    }
}

/* Not realloc: it may leave a copy behind. */
static void *move(void *old, size_t len)
{
    size_t old_len = old != NULL ? malloc_usable_size(old) : 0;
    void *memory = NULL;

    if (old != NULL && len <= old_len && len > old_len / 2) {
        return old;
    }
    memory = malloc(len);
    if (memory != NULL && old != NULL) {
        memcpy(memory, old, old_len < len ? old_len : len);
        wipe_and_free(old);
    }
    return memory;
}

static void take_over(void)
{
    event_set_mem_functions(malloc, move, wipe_and_free);
}

void hf_net_own_memory(void)
{
    (void)pthread_once(&once, take_over);
}
