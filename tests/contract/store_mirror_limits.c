/*
 * How long a mirror waits for the store: one that is gone in the middle of a call must hold up
 * neither who follows nor the end of the program, and one that answers may take its time.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store_world.h"

#define PROBE_MS 2000
#define READ_MS  600000
#define MAKE_MS  1800000

/* The store, behind an engine that notes until when it was asked. */
struct noting {
    struct hf_engine base;
    struct hf_engine *store; /* borrowed */
    uint64_t state_ms;
    uint64_t begin_ms; /* when the log was asked for, and */
    uint64_t shown_ms; /* after its first batch was shown */
    uint64_t snapshot_ms;
    uint64_t before_ms; /* the last time it was asked where it stands, before a snapshot */
    hf_log_visitor visit;
    void *visitor;
    struct hf_op *op;
};

struct two {
    struct store_world store;
    struct store_world node; /* its engine is the mirror */
    struct noting *noting;
    atomic_bool stop;
    uint64_t shown; /* batches, to the guard */
};

static struct noting *noting_of(struct hf_engine *engine)
{
    return (struct noting *)engine;
}

static struct hf_status noting_open(struct hf_op *op, const struct hf_store_settings *settings,
                                    struct hf_engine **out)
{
    (void)settings;
    (void)out;
    return hf_fail(op, HF_UNSUPPORTED, "it is made by a test");
}

static struct hf_status noting_state(struct hf_engine *engine, struct hf_op *op,
                                     struct hf_store_state *out, struct hf_buf *out_head)
{
    noting_of(engine)->state_ms = op->deadline_ms;
    return hf_engine_state(noting_of(engine)->store, op, out, out_head);
}

static struct hf_status note_shown(void *context, const struct hf_logged_batch *batch)
{
    struct noting *noting = context;
    struct hf_status status = noting->visit(noting->visitor, batch);

    noting->shown_ms = noting->op->deadline_ms;
    return status;
}

static struct hf_status noting_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                       size_t max_batches, hf_log_visitor visit, void *context)
{
    struct noting *noting = noting_of(engine);

    noting->begin_ms = op->deadline_ms;
    noting->visit = visit;
    noting->visitor = context;
    noting->op = op;
    return hf_engine_changes(noting->store, op, from, max_batches, note_shown, noting);
}

static struct hf_status noting_snapshot(struct hf_engine *engine, struct hf_op *op,
                                        const char *file, uint64_t *out_seq)
{
    noting_of(engine)->snapshot_ms = op->deadline_ms;
    noting_of(engine)->before_ms = noting_of(engine)->state_ms;
    return hf_engine_snapshot(noting_of(engine)->store, op, file, out_seq);
}

static void noting_close(struct hf_engine *engine)
{
    free(engine);
}

static const struct hf_engine_ops noting_ops = {
    .name = "noting",
    .open = noting_open,
    .state = noting_state,
    .changes = noting_changes,
    .snapshot = noting_snapshot,
    .close = noting_close,
};

static int setup(void **state)
{
    const struct store_kind *kind = store_kind_named("sqlite");
    struct two *two = hf_alloc(sizeof *two);

    store_world_init_fast(&two->store, kind);
    assert_ok(&two->store.op, store_world_open(&two->store, true));
    assert_ok(&two->store.op, store_put(&two->store, "a", 0, "a1"));
    store_world_init_fast(&two->node, kind);
    two->noting = hf_alloc(sizeof *two->noting);
    two->noting->base.ops = &noting_ops;
    two->noting->store = two->store.engine;
    assert_ok(&two->node.op, hf_mirror_new(&two->node.op, &two->noting->base, two->node.directory,
                                           &two->node.engine));
    *state = two;
    return 0;
}

static int teardown(void **state)
{
    struct two *two = *state;

    store_world_done(&two->node);
    store_world_done(&two->store);
    free(two);
    return 0;
}

static struct hf_status follow(struct two *two)
{
    uint64_t seq = 0;

    return hf_mirror_follow(two->node.engine, &two->node.op, &seq);
}

static struct hf_mirror_info info_of(struct two *two)
{
    struct hf_mirror_info info;

    assert_true(hf_mirror_info(two->node.engine, &info));
    return info;
}

static void the_log_has_to_begin_soon_and_may_then_take_long(void **state)
{
    static const struct {
        const char *says;
        uint64_t caller, begin, shown; /* all from now on; 0: none */
    } cases[] = {
        { "who has all the time", 0, PROBE_MS, READ_MS },
        { "who has some", 5000, PROBE_MS, 5000 },
        { "who has little", 1000, 1000, 1000 },
    };
    struct two *two = *state;

    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        uint64_t now_ms = two->node.clock.boottime_ms;
        uint64_t deadline_ms = cases[i].caller != 0 ? now_ms + cases[i].caller : 0;

        assert_ok(&two->store.op, store_put(&two->store, "a", i + 1, "more"));
        two->node.op.deadline_ms = deadline_ms;
        assert_ok(&two->node.op, follow(two));
        assert_int_equal(two->node.op.deadline_ms, deadline_ms);
        if (two->noting->begin_ms != now_ms + cases[i].begin ||
            two->noting->shown_ms != now_ms + cases[i].shown) {
            fail_msg("%s: begun within %lld ms, and ended within %lld ms", cases[i].says,
                     (long long)(two->noting->begin_ms - now_ms),
                     (long long)(two->noting->shown_ms - now_ms));
        }
    }
}

static void a_copy_has_to_begin_soon_and_may_then_take_long(void **state)
{
    struct two *two = *state;
    uint64_t now_ms = two->node.clock.boottime_ms;

    assert_ok(&two->node.op, hf_mirror_renew(two->node.engine, &two->node.op, info_of(two).copies));
    assert_int_equal(two->noting->before_ms, now_ms + PROBE_MS);
    assert_int_equal(two->noting->snapshot_ms, now_ms + MAKE_MS);
    assert_int_equal(two->node.op.deadline_ms, 0);
}

static struct hf_status begin_late(void *context, struct hf_op *op, uint64_t seq,
                                   struct hf_bytes head)
{
    struct two *two = context;

    (void)seq;
    (void)head;
    two->node.clock.boottime_ms += 1000;
    return hf_op_check_deadline(op);
}

static struct hf_status begin(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head)
{
    (void)context;
    (void)op;
    (void)seq;
    (void)head;
    return HF_SUCCESS;
}

static struct hf_status take_all(void *context, struct hf_op *op,
                                 const struct hf_logged_batch *batch)
{
    (void)context;
    (void)op;
    (void)batch;
    return HF_SUCCESS;
}

static struct hf_status stop_at_first(void *context, struct hf_op *op,
                                      const struct hf_logged_batch *batch)
{
    struct two *two = context;

    (void)op;
    (void)batch;
    two->shown++;
    atomic_store(&two->stop, true);
    return HF_SUCCESS;
}

static void a_caller_whose_time_ends_finds_nothing_wrong_with_the_copy(void **state)
{
    struct two *two = *state;
    const struct hf_mirror_guard guard = { .context = two, .begin = begin_late, .check = take_all };

    assert_ok(&two->store.op, store_put(&two->store, "a", 1, "a2"));
    hf_mirror_set_guard(two->node.engine, &guard);
    two->node.op.deadline_ms = two->node.clock.boottime_ms + 500;
    assert_fails(&two->node.op, follow(two), HF_UNAVAILABLE);
    assert_int_equal(info_of(two).problem, HF_MIRROR_FINE);
    two->node.op.deadline_ms = 0;
    assert_ok(&two->node.op, follow(two));
}

static void who_is_to_stop_leaves_the_log_where_it_is(void **state)
{
    struct two *two = *state;
    const struct hf_mirror_guard guard = { .context = two, .begin = begin, .check = stop_at_first };

    for (uint64_t i = 1; i < 10; i++) {
        assert_ok(&two->store.op, store_put(&two->store, "a", i, "more"));
    }
    hf_mirror_set_guard(two->node.engine, &guard);
    two->node.op.stop = &two->stop;
    assert_fails(&two->node.op, follow(two), HF_UNAVAILABLE);
    assert_int_equal(two->shown, 1);
    assert_int_equal(info_of(two).problem, HF_MIRROR_FINE);
    assert_int_equal(info_of(two).seq, 1);
    two->node.op.stop = NULL;
    assert_ok(&two->node.op, follow(two));
    assert_int_equal(info_of(two).seq, 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_log_has_to_begin_soon_and_may_then_take_long, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_copy_has_to_begin_soon_and_may_then_take_long, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_caller_whose_time_ends_finds_nothing_wrong_with_the_copy,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_to_stop_leaves_the_log_where_it_is, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
