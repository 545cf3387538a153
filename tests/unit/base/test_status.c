/* Codes, operations, the environment, assertions and small allocations. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/op.h"
#include "test.h"
#include "test_child.h"
#include "test_env.h"

static void every_code_has_a_name_and_a_sentence(void **unused)
{
    (void)unused;
    for (unsigned code = HF_OK; code <= HF_INTERNAL; code++) {
        const char *name = hf_code_name((enum hf_code)code);
        const char *sentence = hf_code_sentence((enum hf_code)code);

        assert_non_null(name);
        assert_non_null(sentence);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        assert_int_equal(sentence[strlen(sentence) - 1], '.');
        for (unsigned other = HF_OK; other < code; other++) {
            assert_string_not_equal(name, hf_code_name((enum hf_code)other));
        }
    }
    assert_string_equal(hf_code_name(HF_NOT_FOUND), "not_found");
}

static void every_cause_has_a_name_of_its_own(void **unused)
{
    (void)unused;
    for (unsigned cause = HF_CAUSE_NONE; cause <= HF_CAUSE_ALTERED; cause++) {
        assert_non_null(hf_cause_name((enum hf_cause)cause));
        for (unsigned other = HF_CAUSE_NONE; other < cause; other++) {
            assert_string_not_equal(hf_cause_name((enum hf_cause)cause),
                                    hf_cause_name((enum hf_cause)other));
        }
    }
    assert_string_equal(hf_cause_name(HF_CAUSE_OTHER_STORE), "other_store");
}

static struct hf_status fail_or_not(struct hf_op *op, enum hf_code code)
{
    return code == HF_OK ? HF_SUCCESS : hf_fail(op, code, "asked to fail with %d", (int)code);
}

static struct hf_status pass_up(struct hf_op *op, enum hf_code code, unsigned *reached)
{
    HF_TRY(fail_or_not(op, code));
    (*reached)++;
    return HF_SUCCESS;
}

static void try_passes_failures_up(void **unused)
{
    struct test_env test;
    struct hf_op op;
    unsigned reached = 0;

    (void)unused;
    test_env_init(&test);
    hf_op_init(&op, &test.env);
    assert_ok(&op, pass_up(&op, HF_OK, &reached));
    assert_int_equal(reached, 1);
    assert_fails(&op, pass_up(&op, HF_DENIED, &reached), HF_DENIED);
    assert_int_equal(reached, 1);
    assert_int_equal(op.code, HF_DENIED);
    assert_non_null(strstr(op.text, "asked to fail"));
}

static void a_failure_keeps_code_cause_and_text(void **unused)
{
    struct test_env test;
    struct hf_op op;

    (void)unused;
    test_env_init(&test);
    hf_op_init(&op, &test.env);
    assert_true(op.may_wait);
    assert_ptr_equal(op.env, &test.env);
    assert_fails(&op, hf_fail_cause(&op, HF_CORRUPT, HF_CAUSE_ALTERED, "record %d", 7), HF_CORRUPT);
    assert_int_equal(op.code, HF_CORRUPT);
    assert_int_equal(op.cause, HF_CAUSE_ALTERED);
    assert_string_equal(op.text, "record 7");
    /* A failure may tell more about the one before it. */
    assert_fails(&op, hf_fail(&op, HF_UNAVAILABLE, "key: %s", op.text), HF_UNAVAILABLE);
    assert_string_equal(op.text, "key: record 7");
    assert_int_equal(op.cause, HF_CAUSE_NONE);
    hf_op_clear(&op);
    assert_int_equal(op.code, HF_OK);
    assert_string_equal(op.text, "");
}

static void a_long_failure_text_is_cut(void **unused)
{
    struct test_env test;
    struct hf_op op;
    char longer[2 * HF_OP_TEXT_MAX];

    (void)unused;
    test_env_init(&test);
    hf_op_init(&op, &test.env);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_fails(&op, hf_fail(&op, HF_INVALID, "%s", longer), HF_INVALID);
    assert_int_equal(strlen(op.text), HF_OP_TEXT_MAX - 1);
}

static void a_deadline_is_over_once_its_time_has_come_or_its_thread_stops(void **unused)
{
    atomic_bool stop = false;
    struct test_env test;
    struct hf_op op;

    (void)unused;
    test_env_init(&test);
    hf_op_init(&op, &test.env);
    assert_ok(&op, hf_op_check_deadline(&op)); /* there is none */
    op.deadline_ms = test.boottime_ms + 5;
    assert_ok(&op, hf_op_check_deadline(&op));
    test.boottime_ms += 4;
    assert_ok(&op, hf_op_check_deadline(&op));
    test.boottime_ms += 1;
    assert_fails(&op, hf_op_check_deadline(&op), HF_UNAVAILABLE);
    op.deadline_ms = 0;
    op.stop = &stop;
    assert_ok(&op, hf_op_check_deadline(&op));
    atomic_store(&stop, true);
    assert_true(hf_op_is_stopped(&op));
    assert_fails(&op, hf_op_check_deadline(&op), HF_UNAVAILABLE);
}

static void a_request_id_is_set_by_any_byte(void **unused)
{
    struct hf_request_id id = { { 0 } };

    (void)unused;
    assert_false(hf_request_id_is_set(&id));
    for (size_t i = 0; i < HF_REQUEST_ID_LEN; i++) {
        memset(&id, 0, sizeof id);
        id.bytes[i] = 1;
        assert_true(hf_request_id_is_set(&id));
    }
}

static void the_system_environment_tells_the_kernels_time(void **unused)
{
    struct hf_env env;
    time_t before = time(NULL);
    uint64_t now;
    uint64_t boot;

    (void)unused;
    hf_env_system(&env);
    assert_null(env.log);
    assert_null(env.metrics);
    now = hf_env_realtime_ms(&env);
    assert_in_range(now / 1000, (uint64_t)before, (uint64_t)time(NULL));
    boot = hf_env_boottime_ms(&env);
    assert_true(hf_env_boottime_ms(&env) >= boot);
    assert_true(boot < now);
}

static void the_system_environment_fills_with_random_bytes(void **unused)
{
    uint8_t sum[300] = { 0 };
    struct hf_env env;

    (void)unused;
    hf_env_system(&env);
    /* Each byte is zero sixteen times in a row once in 2^128. */
    for (size_t round = 0; round < 16; round++) {
        uint8_t bytes[300] = { 0 };

        hf_env_random(&env, bytes, sizeof bytes - 1);
        assert_int_equal(bytes[sizeof bytes - 1], 0);
        for (size_t i = 0; i < sizeof bytes; i++) {
            sum[i] |= bytes[i];
        }
    }
    for (size_t i = 0; i < sizeof sum - 1; i++) {
        assert_int_not_equal(sum[i], 0);
    }
}

static void assert_that(void *context)
{
    hf_assert(*(const bool *)context);
}

static void a_failed_assertion_ends_the_process(void **unused)
{
    bool yes = true;
    bool no = false;

    (void)unused;
    assert_child_succeeds(assert_that, &yes);
    assert_child_dies(assert_that, &no, SIGABRT);
}

static void allocate_too_much(void *context)
{
    free(hf_realloc_array(NULL, *(const size_t *)context, 16));
}

static void memory_that_is_not_there_ends_the_process(void **unused)
{
    size_t overflow = SIZE_MAX / 8;
    size_t some = 10;

    (void)unused;
    assert_child_succeeds(allocate_too_much, &some);
    /* By abort(), or by a sanitizer that refuses before the C library can. */
    assert_int_not_equal(test_child(allocate_too_much, &overflow, true), 0);
}

static void small_memory_is_zero_and_texts_are_copies(void **unused)
{
    HF_AUTO_STRING copy = hf_strdup("orders");
    HF_AUTO_STRING part = hf_strndup("orders", 3);
    HF_AUTO_STRING made = hf_format("%s@%u", "orders", 3U);
    HF_AUTO_STRING none = hf_strdup("");
    uint8_t *memory = hf_alloc(100);
    uint8_t wiped[] = "secret";

    (void)unused;
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(memory[i], 0);
    }
    free(memory);
    assert_string_equal(copy, "orders");
    assert_string_equal(part, "ord");
    assert_string_equal(made, "orders@3");
    assert_string_equal(none, "");
    hf_wipe(wiped, 3);
    assert_memory_equal(wiped, "\0\0\0ret", 7);
    hf_wipe(NULL, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_and_a_sentence),
        cmocka_unit_test(every_cause_has_a_name_of_its_own),
        cmocka_unit_test(try_passes_failures_up),
        cmocka_unit_test(a_failure_keeps_code_cause_and_text),
        cmocka_unit_test(a_long_failure_text_is_cut),
        cmocka_unit_test(a_deadline_is_over_once_its_time_has_come_or_its_thread_stops),
        cmocka_unit_test(a_request_id_is_set_by_any_byte),
        cmocka_unit_test(the_system_environment_tells_the_kernels_time),
        cmocka_unit_test(the_system_environment_fills_with_random_bytes),
        cmocka_unit_test(a_failed_assertion_ends_the_process),
        cmocka_unit_test(memory_that_is_not_there_ends_the_process),
        cmocka_unit_test(small_memory_is_zero_and_texts_are_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
