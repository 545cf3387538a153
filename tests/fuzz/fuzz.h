/*
 * What every fuzz target includes.
 *
 * A target is one file, fuzz_<name>.c, with one function, LLVMFuzzerTestOneInput(). It feeds the
 * bytes to a parser and checks with fuzz_require() what must hold whatever they are. Its corpus is
 * in corpus/<name>/: small files, made by hand or found by the fuzzer and kept as regression tests.
 * To add a target, write the file, a corpus and a row in meson.build.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/op.h"

/* Called with ever new bytes, or by replay.c with each file of the corpus. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Optional: runs once before the first input, for what a process sets up once. Returns 0. */
int LLVMFuzzerInitialize(int *count, char ***arguments);

/* An invariant. The abort makes the fuzzer keep the input. */
#define fuzz_require(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* An operation in the real environment. */
static inline struct hf_op *fuzz_op(void)
{
    static struct hf_env env;
    static struct hf_op op;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    return &op;
}

/* Takes one byte off the front, to choose by; 0 when there is none. */
static inline uint8_t fuzz_take_byte(struct hf_bytes *input)
{
    uint8_t first = 0;

    if (input->len > 0) {
        first = input->data[0];
        input->data++;
        input->len--;
    }
    return first;
}
