/*
 * Memory for small things: these calls end the process when memory is gone, so callers need not
 * check. Sizes that a client chooses go through limits first.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Zeroed memory; free() gives it back. */
void *hf_alloc(size_t len) __attribute__((malloc, returns_nonnull));
void *hf_alloc_array(size_t count, size_t len) __attribute__((malloc, returns_nonnull));
void *hf_realloc_array(void *old, size_t count, size_t len) __attribute__((returns_nonnull));
char *hf_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *hf_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
char *hf_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
char *hf_vformat(const char *format, va_list arguments)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 0)));

/* Overwrites memory in a way the compiler keeps. */
void hf_wipe(void *memory, size_t len);

/* For locals: __attribute__((cleanup(hf_free_string))) char *text. */
void hf_free_string(char **text);
#define HF_AUTO_STRING __attribute__((cleanup(hf_free_string))) char *
