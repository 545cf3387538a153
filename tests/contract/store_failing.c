/* The failing engine: it fails the call it was told to, and no other. */
#include <stdlib.h>

#include "base/alloc.h"
#include "store_world.h"

static void the_nth_call_fails_with_the_code_and_nothing_has_happened(void **state)
{
    struct store_world *world = *state;
    HF_AUTO(record) record = NULL;
    struct hf_store_state found;

    hf_failing_set(world->engine, HF_FAULT_BEFORE, HF_NO_SPACE, 2);
    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    assert_int_equal(hf_failing_faults(world->engine), 0);
    assert_fails(&world->op, store_put(world, "b", 0, "1"), HF_NO_SPACE);
    assert_int_equal(hf_failing_faults(world->engine), 1);
    assert_fails(&world->op, hf_engine_get(world->engine, &world->op, "b", &record), HF_NOT_FOUND);
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    assert_int_equal(found.seq, 1);
    assert_int_equal(hf_failing_calls(world->engine), 4);
    assert_int_equal(hf_failing_faults(world->engine), 1);
}

static void a_lost_answer_is_found_by_repeating_the_request(void **state)
{
    struct store_world *world = *state;
    struct hf_change change = store_change("a", 0, "1");
    struct hf_batch batch = store_batch(5, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_OK, 1);
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_IN_DOUBT);
    assert_int_equal(commit.seq, 0);
    assert_int_equal(hf_failing_faults(world->engine), 1);
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_true(commit.repeated);
    assert_int_equal(commit.seq, 1);
    assert_true(hf_bytes_equal_text(hf_buf_bytes(&commit.result), "result"));
    hf_commit_done(&commit);
}

static void a_call_that_fails_by_itself_keeps_its_own_code(void **state)
{
    struct store_world *world = *state;

    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_OK, 1);
    assert_fails(&world->op, store_put(world, "a", 7, "1"), HF_CONFLICT);
    assert_int_equal(hf_failing_faults(world->engine), 1);
}

static void zero_is_never(void **state)
{
    struct store_world *world = *state;

    hf_failing_set(world->engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 0);
    for (uint64_t i = 0; i < 20; i++) {
        assert_ok(&world->op, store_put(world, "a", i, "1"));
    }
    assert_int_equal(hf_failing_calls(world->engine), 20);
    assert_int_equal(hf_failing_faults(world->engine), 0);
}

/* Every call of the engine, so that each can be made to fail. */
static struct hf_status pass_record(void *context, const struct hf_record_view *record)
{
    *(size_t *)context += record->body.len;
    return HF_SUCCESS;
}

static struct hf_status pass_batch(void *context, const struct hf_logged_batch *batch)
{
    *(size_t *)context += batch->count;
    return HF_SUCCESS;
}

static struct hf_status call_state(struct store_world *world)
{
    struct hf_store_state found;

    return hf_engine_state(world->engine, &world->op, &found, NULL);
}

static struct hf_status call_get(struct store_world *world)
{
    HF_AUTO(record) record = NULL;

    return hf_engine_get(world->engine, &world->op, "there", &record);
}

static struct hf_status call_list(struct store_world *world)
{
    size_t len = 0;

    return hf_engine_list(world->engine, &world->op, "", NULL, pass_record, &len);
}

static struct hf_status call_apply(struct store_world *world)
{
    HF_AUTO_STRING path = hf_format("new/%u", world->requests);

    return store_put(world, path, 0, "1");
}

static struct hf_status call_changes(struct store_world *world)
{
    size_t count = 0;

    return hf_engine_changes(world->engine, &world->op, 0, 1, pass_batch, &count);
}

static struct hf_status call_barrier(struct store_world *world)
{
    uint64_t seq;

    return hf_engine_barrier(world->engine, &world->op, &seq);
}

static struct hf_status call_lease(struct store_world *world)
{
    uint64_t fence;

    return hf_engine_lease(world->engine, &world->op, "l", "h", 1, &fence);
}

static struct hf_status call_forget(struct store_world *world)
{
    return hf_engine_forget(world->engine, &world->op, 1);
}

static struct hf_status call_snapshot(struct store_world *world)
{
    HF_AUTO_STRING file = hf_format("%s/snapshot", world->root);
    uint64_t seq;

    return hf_engine_snapshot(world->engine, &world->op, file, &seq);
}

static struct hf_status call_recall(struct store_world *world)
{
    struct hf_batch batch = store_batch(1, NULL, 0);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = hf_engine_recall(world->engine, &world->op, &batch, &commit);
    hf_commit_done(&commit);
    return status;
}

static struct hf_status call_find(struct store_world *world)
{
    struct hf_batch first = store_batch(1, NULL, 0);
    struct hf_request_id found;

    return hf_engine_find(world->engine, &world->op, first.digest, 0, 0, &found);
}

static struct hf_status call_beat(struct store_world *world)
{
    struct hf_beat beat = { .node = "n1", .number = 1 };
    uint64_t seq;

    return hf_engine_beat(world->engine, &world->op, &beat, true, &seq);
}

static struct hf_status pass_beat(void *context, const struct hf_beat *beat)
{
    *(uint64_t *)context += beat->number;
    return HF_SUCCESS;
}

static struct hf_status call_beats(struct store_world *world)
{
    uint64_t numbers = 0;
    uint64_t seq;

    return hf_engine_beats(world->engine, &world->op, pass_beat, &numbers, &seq);
}

static void every_call_can_be_made_to_fail(void **state)
{
    static const struct {
        const char *says;
        struct hf_status (*call)(struct store_world *world);
        enum hf_code code; /* when it is left alone */
    } calls[] = {
        { "state", call_state, HF_OK },
        { "get", call_get, HF_OK },
        { "list", call_list, HF_OK },
        { "apply", call_apply, HF_OK },
        { "changes", call_changes, HF_OK },
        { "barrier", call_barrier, HF_OK },
        { "lease", call_lease, HF_OK },
        { "forget", call_forget, HF_OK },
        { "recall", call_recall, HF_OK },
        { "find", call_find, HF_OK },
        { "beat", call_beat, HF_OK },
        { "beats", call_beats, HF_OK },
        { "snapshot", call_snapshot, HF_UNSUPPORTED },
    };
    struct store_world *world = *state;

    assert_ok(&world->op, store_put(world, "there", 0, "1"));
    for (size_t i = 0; i < HF_COUNT(calls); i++) {
        enum hf_code doubtful = calls[i].code == HF_OK ? HF_IN_DOUBT : calls[i].code;

        hf_failing_set(world->engine, HF_FAULT_BEFORE, HF_LIMITED, 1);
        assert_fails(&world->op, calls[i].call(world), HF_LIMITED);
        assert_non_null(strstr(world->op.text, calls[i].says));
        hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_OK, 1);
        assert_fails(&world->op, calls[i].call(world), doubtful);
        assert_fails(&world->op, calls[i].call(world), calls[i].code);
        assert_int_equal(hf_failing_faults(world->engine), 1);
    }
}

#define FAILING(test) cmocka_unit_test_setup_teardown(test, store_world_setup, store_world_teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        FAILING(the_nth_call_fails_with_the_code_and_nothing_has_happened),
        FAILING(a_lost_answer_is_found_by_repeating_the_request),
        FAILING(a_call_that_fails_by_itself_keeps_its_own_code),
        FAILING(zero_is_never),
        FAILING(every_call_can_be_made_to_fail),
    };

    for (size_t i = 0; i < HF_COUNT(tests); i++) {
        tests[i].initial_state = (void *)(uintptr_t)store_kind_named("failing");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
