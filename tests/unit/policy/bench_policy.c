/* How long a question takes that was asked before: the target is 150 ns. Not part of the test run.
 */
#include <stdio.h>
#include <time.h>

#include "small_world.h"

#include "policy/policy.h"

#define ROUNDS 5000000

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void ask_often(void **unused)
{
    static const char document[] =
        "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"pseudo:hdfs\"],\"roles\":[\"key-user\"]}]}";
    struct hf_op *op = &small_world.op;
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(policy) policy = NULL;
    HF_AUTO(txn) txn = NULL;
    uint64_t began;

    (void)unused;
    small_world_new_store();
    policy = hf_policy_new(small_world.seal);
    small_world_unlock();
    assert_ok(op, hf_txn_new(small_world.seal, op, &txn));
    assert_ok(op, hf_policy_put(policy, op, txn, "users", hf_bytes_of_text(document), NULL));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    began = now_ns();
    for (size_t i = 0; i < ROUNDS; i++) {
        assert_ok(op, hf_policy_check(policy, op, "pseudo:hdfs", HF_ACT_KEY_UNWRAP, "hdfs",
                                      "sales-2026"));
    }
    print_message("policy check, hot: %.1f ns\n", (double)(now_ns() - began) / ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ask_often) };

    return cmocka_run_group_tests_name("bench policy", tests, small_world_start, small_world_stop);
}
