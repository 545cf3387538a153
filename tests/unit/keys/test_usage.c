/* Counts of uses: exact over threads, merges, failures and restarts. */
#include "world.h"

#include <pthread.h>
#include <stdlib.h>

static void count(unsigned lane, const char *name, const char *caller, uint64_t wraps,
                  uint64_t unwraps)
{
    struct hf_op op = world_op(lane);

    hf_usage_count(world.keys, &op, RING, name, 1, caller, wraps, unwraps);
}

static struct hf_usage usage_of(const char *name)
{
    struct hf_usage usage;

    assert_ok(&world.op, hf_usage_get(world.keys, &world.op, RING, name, 1, &usage));
    return usage;
}

static void expect_sums(const char *says, const char *name, uint64_t wraps, uint64_t unwraps)
{
    struct hf_usage usage = usage_of(name);

    if (usage.wraps != wraps || usage.unwraps != unwraps) {
        fail_msg("%s: %s has %llu wraps, %llu unwraps", says, name, (unsigned long long)usage.wraps,
                 (unsigned long long)usage.unwraps);
    }
}

static void merge(void)
{
    assert_ok(&world.op, hf_usage_merge(world.keys, &world.op));
}

static void a_version_that_was_never_used_says_so(void **unused)
{
    struct hf_usage usage = usage_of("never");

    (void)unused;
    assert_int_equal(usage.wraps + usage.unwraps + usage.first_ms + usage.last_ms, 0);
    assert_int_equal(usage.caller_count, 0);
}

static void sums_are_the_same_before_and_after_merge_and_restart(void **unused)
{
    uint64_t first = world.now_ms;
    struct hf_usage usage;

    (void)unused;
    for (int round = 0; round < 3; round++) {
        uint64_t sum = (uint64_t)round + 1;

        count(0, "sums", "alice", 2, 0);
        count(1, "sums", "alice", 0, 3);
        count(2, "sums", "bob", 1, 1);
        world.now_ms += 1000;
        expect_sums("in the lanes", "sums", 3 * sum, 4 * sum);
        merge();
        expect_sums("merged", "sums", 3 * sum, 4 * sum);
        merge();
        expect_sums("merged again", "sums", 3 * sum, 4 * sum);
        world_restart();
        expect_sums("restarted", "sums", 3 * sum, 4 * sum);
    }
    usage = usage_of("sums");
    assert_int_equal(usage.first_ms, first);
    assert_int_equal(usage.last_ms, first + 2000);
    assert_int_equal(usage.caller_count, 2);
    for (size_t i = 0; i < usage.caller_count; i++) {
        bool alice = strcmp(usage.callers[i].caller, "alice") == 0;

        assert_int_equal(usage.callers[i].count, alice ? 15 : 6);
        assert_int_equal(usage.callers[i].last_ms, first + 2000);
    }
}

static bool has_caller(const struct hf_usage *usage, const char *caller)
{
    for (size_t i = 0; i < usage->caller_count; i++) {
        if (strcmp(usage->callers[i].caller, caller) == 0) {
            return usage->callers[i].count > 0;
        }
    }
    return false;
}

static void the_last_eight_callers_are_kept_and_the_sums_count_all(void **unused)
{
    struct hf_usage usage;

    (void)unused;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) {
            HF_AUTO_STRING caller = hf_format("caller-%d", i);

            count((unsigned)i % LANES, "callers", caller, 1, 0);
            world.now_ms++;
        }
        for (int merged = 0; merged < 2; merged++) {
            usage = usage_of("callers");
            assert_int_equal(usage.wraps, 20 * (round + 1));
            assert_int_equal(usage.caller_count, 8);
            for (int i = 12; i < 20; i++) {
                HF_AUTO_STRING caller = hf_format("caller-%d", i);

                assert_true(has_caller(&usage, caller));
            }
            merge();
        }
    }
}

static void long_names_of_callers_are_cut_and_counted_together(void **unused)
{
    char caller[300];
    struct hf_usage usage;

    (void)unused;
    memset(caller, 'c', sizeof caller);
    caller[299] = '\0';
    count(0, "long", caller, 1, 0);
    count(1, "long", caller, 1, 0);
    merge();
    count(0, "long", caller, 1, 0);
    usage = usage_of("long");
    assert_int_equal(usage.caller_count, 1);
    assert_int_equal(strlen(usage.callers[0].caller), sizeof usage.callers[0].caller - 1);
    assert_int_equal(usage.callers[0].count, 3);
}

static void keys_with_unlike_names_are_counted_apart(void **unused)
{
    (void)unused;
    count(0, "apart", "a", 1, 0);
    count(0, "apart2", "a", 10, 0);
    count(0, "a/part", "a", 100, 0);
    merge();
    expect_sums("apart", "apart", 1, 0);
    expect_sums("apart2", "apart2", 10, 0);
    expect_sums("a/part", "a/part", 100, 0);
}

/* --- failures --- */

static void merges_that_fail_lose_and_double_nothing(void **unused)
{
    static const struct {
        enum hf_fault fault;
        enum hf_code code;
    } faults[] = {
        { HF_FAULT_BEFORE, HF_UNAVAILABLE },
        { HF_FAULT_BEFORE, HF_NO_SPACE },
        { HF_FAULT_BEFORE, HF_CONFLICT },
        { HF_FAULT_IN_DOUBT, HF_IN_DOUBT },
    };
    uint64_t sum = 0;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(faults); i++) {
        bool failed = true;

        for (uint64_t at = 1; failed; at++) {
            struct hf_op op = world_op(1);
            struct hf_status status;

            count(0, "failing", "a", 1, 0);
            count(1, "failing", "a", 1, 0);
            sum += 2;
            hf_failing_set(world.engine, faults[i].fault, faults[i].code, at);
            status = hf_usage_merge(world.keys, &op);
            failed = hf_failing_faults(world.engine) > 0;
            hf_failing_set(world.engine, HF_FAULT_NONE, HF_OK, 0);
            assert_true(failed || status.code == HF_OK);
            expect_sums("after a failure", "failing", sum, 0);
            merge();
            expect_sums("after the next merge", "failing", sum, 0);
        }
    }
    world_restart();
    expect_sums("restarted", "failing", sum, 0);
}

/*
 * The end of the commit is not seen, and the time is over before the seal can ask again: at any
 * look at the clock, so that every place where a merge may give up has its turn.
 */
static void a_merge_in_doubt_is_asked_for_again_under_its_id(void **unused)
{
    unsigned doubts = 0;
    uint64_t sum = 0;

    (void)unused;
    for (uint64_t looks = 1; looks < 40; looks++) {
        struct hf_op op = world_op(1);
        struct hf_status status;

        op.deadline_ms = hf_env_boottime_ms(&world.env) + 1800 * 1000;
        count(0, "doubt", "a", 7, 0);
        sum += 7;
        /* The record is read by the first call, and the second commits. */
        hf_failing_set(world.engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 2);
        world.looks = 0;
        world.looks_before_the_hour = looks;
        status = hf_usage_merge(world.keys, &op);
        world.looks_before_the_hour = 0;
        hf_failing_set(world.engine, HF_FAULT_NONE, HF_OK, 0);
        doubts += status.code == HF_IN_DOUBT;
        count(0, "doubt", "a", 1, 0);
        sum += 1;
        /* Whichever comes first, a reader or the next merge, settles it. */
        if (looks % 2 == 0) {
            expect_sums("after a doubt", "doubt", sum, 0);
        }
        merge();
        expect_sums("after the next merge", "doubt", sum, 0);
    }
    assert_true(doubts > 0);
}

static void more_versions_than_fit_into_a_batch_are_all_written(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2345; i++) {
        HF_AUTO_STRING name = hf_format("batch-%d", i);

        count((unsigned)i % LANES, name, "a", 1, 0);
        count((unsigned)(i + 1) % LANES, name, "b", 0, 1);
    }
    merge();
    world_restart();
    for (int i = 0; i < 2345; i++) {
        HF_AUTO_STRING name = hf_format("batch-%d", i);

        expect_sums("batch", name, 1, 1);
    }
}

/* --- threads --- */

#define THREADS 6
#define COUNTS  20000

static _Atomic unsigned running;

static void *count_many(void *context)
{
    unsigned lane = (unsigned)(uintptr_t)context;

    for (int i = 0; i < COUNTS; i++) {
        count(lane, i % 2 == 0 ? "threads-a" : "threads-b", i % 3 == 0 ? "x" : "y", 1, 2);
    }
    running--;
    return NULL;
}

static void sums_over_threads_are_exact_while_others_merge(void **unused)
{
    pthread_t threads[THREADS];
    uint64_t last = 0;

    (void)unused;
    running = THREADS;
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, (void *)i), 0);
    }
    while (running > 0) {
        struct hf_usage usage;

        merge();
        usage = usage_of("threads-a");
        assert_true(usage.wraps >= last);
        last = usage.wraps;
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    expect_sums("counted", "threads-a", THREADS * COUNTS / 2, THREADS * COUNTS);
    merge();
    world_restart();
    expect_sums("restarted", "threads-a", THREADS * COUNTS / 2, THREADS * COUNTS);
    expect_sums("restarted", "threads-b", THREADS * COUNTS / 2, THREADS * COUNTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_that_was_never_used_says_so),
        cmocka_unit_test(sums_are_the_same_before_and_after_merge_and_restart),
        cmocka_unit_test(the_last_eight_callers_are_kept_and_the_sums_count_all),
        cmocka_unit_test(long_names_of_callers_are_cut_and_counted_together),
        cmocka_unit_test(keys_with_unlike_names_are_counted_apart),
        cmocka_unit_test(merges_that_fail_lose_and_double_nothing),
        cmocka_unit_test(a_merge_in_doubt_is_asked_for_again_under_its_id),
        cmocka_unit_test(more_versions_than_fit_into_a_batch_are_all_written),
        cmocka_unit_test(sums_over_threads_are_exact_while_others_merge),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
