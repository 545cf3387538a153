/*
 * The log: what operators read. Text for people or JSON lines for programs, to a file descriptor.
 * One call is one line and one write(2); control characters are escaped; no key material, ever.
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/op.h"

enum hf_log_level { HF_LOG_ERROR, HF_LOG_WARNING, HF_LOG_INFO, HF_LOG_DEBUG };
enum hf_log_form { HF_LOG_TEXT, HF_LOG_JSON };

struct hf_log;

/* Writes to fd, which stays the caller's. */
struct hf_log *hf_log_new(int fd, enum hf_log_form form, enum hf_log_level level);
void hf_log_free(struct hf_log *log);
HF_DEFINE_CLEANUP(log)

/* Does nothing when log is NULL or the level is below the log's. */
void hf_log_write(struct hf_log *log, struct hf_env *env, enum hf_log_level level,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

#define HF_ERROR(env, ...)   hf_log_write((env)->log, (env), HF_LOG_ERROR, __VA_ARGS__)
#define HF_WARNING(env, ...) hf_log_write((env)->log, (env), HF_LOG_WARNING, __VA_ARGS__)
#define HF_INFO(env, ...)    hf_log_write((env)->log, (env), HF_LOG_INFO, __VA_ARGS__)
#define HF_DEBUG(env, ...)   hf_log_write((env)->log, (env), HF_LOG_DEBUG, __VA_ARGS__)
