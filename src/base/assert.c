/* The end of a process that found a mistake of ours. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void hf_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "holdfast: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
