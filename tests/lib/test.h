/*
 * What every test program includes: cmocka, and short words for statuses and operations.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/op.h"

/* The call must succeed; otherwise the test fails with the operation's own words. */
#define assert_ok(op, call)                                                                        \
    do {                                                                                           \
        struct hf_status test_status = (call);                                                     \
        if (test_status.code != HF_OK) {                                                           \
            fail_msg("%s: %s: %s", #call, hf_code_name(test_status.code), (op)->text);             \
        }                                                                                          \
    } while (0)

/* The call must fail with that code. */
#define assert_fails(op, call, expected)                                                           \
    do {                                                                                           \
        struct hf_status test_status = (call);                                                     \
        if (test_status.code != (expected)) {                                                      \
            fail_msg("%s: got %s, wanted %s: %s", #call, hf_code_name(test_status.code),           \
                     hf_code_name(expected), (op)->text);                                          \
        }                                                                                          \
    } while (0)
