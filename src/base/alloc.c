/* Memory for small things; the process ends when there is none. */
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* What the C library's malloc() keeps ready for each thread; its calloc() passes that store by. */
#define SMALL_LEN 1024

void *hf_alloc(size_t len)
{
    return hf_alloc_array(1, len);
}

void *hf_alloc_array(size_t count, size_t len)
{
    size_t total = 0;
    void *memory;

    hf_assert(!__builtin_mul_overflow(count, len, &total));
    total = total > 0 ? total : 1;
    memory = total > SMALL_LEN ? calloc(1, total) : malloc(total);
    hf_assert(memory != NULL);
    return total > SMALL_LEN ? memory : memset(memory, 0, total);
}

void *hf_realloc_array(void *old, size_t count, size_t len)
{
    void *memory = reallocarray(old, count > 0 ? count : 1, len > 0 ? len : 1);

    hf_assert(memory != NULL);
    return memory;
}

char *hf_strdup(const char *text)
{
    return hf_strndup(text, strlen(text));
}

char *hf_strndup(const char *text, size_t len)
{
    char *copy = hf_alloc(len + 1);

    memcpy(copy, text, len);
    return copy;
}

char *hf_vformat(const char *format, va_list arguments)
{
    char *text = NULL;

    hf_assert(vasprintf(&text, format, arguments) >= 0);
    return text;
}

char *hf_format(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = hf_vformat(format, arguments);
    va_end(arguments);
    return text;
}

void hf_wipe(void *memory, size_t len)
{
    if (len > 0) {
        explicit_bzero(memory, len);
    }
}

void hf_free_string(char **text)
{
    free(*text);
}
