/*
 * Assertions for our own mistakes. They stay on in releases; input from outside never reaches one.
 */
#pragma once

#define hf_assert(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            hf_assert_failed(#condition, __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)

_Noreturn void hf_assert_failed(const char *condition, const char *file, int line);
