/* Heartbeats: the same promises on every engine. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store_world.h"

static struct hf_beat beat_of(const char *node, uint64_t number, uint64_t confirmed,
                              uint64_t applied, const char *body)
{
    return (struct hf_beat){ node, number, confirmed, applied, hf_bytes_of_text(body) };
}

static struct hf_status write_row(void *context, const struct hf_beat *beat)
{
    hf_buf_add_format(context, "%s %llu %llu %llu %.*s;", beat->node,
                      (unsigned long long)beat->number, (unsigned long long)beat->confirmed_seq,
                      (unsigned long long)beat->applied_seq, (int)beat->body.len,
                      (const char *)beat->body.data);
    return HF_SUCCESS;
}

static void assert_rows(struct store_world *world, const char *expected, uint64_t expected_seq)
{
    HF_AUTO(buf) rows = hf_buf_new();
    uint64_t seq = 99;

    assert_ok(&world->op, hf_engine_beats(world->engine, &world->op, write_row, rows, &seq));
    assert_string_equal(hf_buf_text(rows), expected);
    assert_int_equal(seq, expected_seq);
}

static void put_beat(struct store_world *world, struct hf_beat beat, bool synchronous)
{
    uint64_t seq = 99;
    struct hf_store_state now;

    assert_ok(&world->op, hf_engine_beat(world->engine, &world->op, &beat, synchronous, &seq));
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &now, NULL));
    assert_int_equal(seq, synchronous ? now.seq : 99);
}

static void a_heartbeat_takes_the_place_of_the_last_one_of_its_node(void **state)
{
    struct store_world *world = *state;

    assert_rows(world, "", 0);
    put_beat(world, beat_of("n2", 1, 0, 0, "two"), true);
    put_beat(world, beat_of("n1", 1, 0, 0, ""), false);
    assert_rows(world, "n1 1 0 0 ;n2 1 0 0 two;", 0);
    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    put_beat(world, beat_of("n2", 2, 1, 1, "and more"), false);
    assert_rows(world, "n1 1 0 0 ;n2 2 1 1 and more;", 1);
    put_beat(world, beat_of("n1", 2, 0, 1, "one"), true);
    assert_rows(world, "n1 2 0 1 one;n2 2 1 1 and more;", 1);
}

static void a_heartbeat_leaves_records_and_log_alone(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    before = store_dump(world->engine, &world->op);
    put_beat(world, beat_of("n1", 1, 1, 1, "x"), true);
    put_beat(world, beat_of("n1", 2, 1, 1, "x"), false);
    after = store_dump(world->engine, &world->op);
    assert_string_equal(before, after);
}

static void a_heartbeat_must_be_well_formed(void **state)
{
    struct store_world *world = *state;
    char *name = hf_alloc(HF_NODE_NAME_MAX + 2);
    uint8_t *body = hf_alloc(HF_BEAT_MAX + 1);
    struct hf_beat beats[] = {
        beat_of("", 1, 0, 0, ""),
        beat_of(name, 1, 0, 0, ""),
        beat_of("n1", UINT64_MAX, 0, 0, ""),
        beat_of("n1", 1, UINT64_MAX, 0, ""),
        beat_of("n1", 1, 0, UINT64_MAX, ""),
        { .node = "n1", .number = 1, .body = hf_bytes_of(body, HF_BEAT_MAX + 1) },
    };
    static const enum hf_code codes[] = { HF_INVALID, HF_INVALID, HF_INVALID,
                                          HF_INVALID, HF_INVALID, HF_TOO_LARGE };
    uint64_t seq;

    memset(name, 'n', HF_NODE_NAME_MAX + 1);
    for (size_t i = 0; i < HF_COUNT(beats); i++) {
        assert_fails(&world->op, hf_engine_beat(world->engine, &world->op, &beats[i], true, &seq),
                     codes[i]);
    }
    assert_rows(world, "", 0);
    free(name);
    free(body);
}

static struct hf_status refuse_row(void *context, const struct hf_beat *beat)
{
    (void)beat;
    ++*(size_t *)context;
    return (struct hf_status){ HF_LIMITED };
}

static void a_visitor_that_fails_ends_the_visit(void **state)
{
    struct store_world *world = *state;
    uint64_t seq = 99;
    size_t seen = 0;

    put_beat(world, beat_of("n1", 1, 0, 0, ""), false);
    put_beat(world, beat_of("n2", 1, 0, 0, ""), false);
    assert_fails(&world->op, hf_engine_beats(world->engine, &world->op, refuse_row, &seen, &seq),
                 HF_LIMITED);
    assert_int_equal(seen, 1);
    assert_int_equal(seq, 99);
}

static void no_heartbeat_begins_after_its_deadline(void **state)
{
    struct store_world *world = *state;
    struct hf_beat beat = beat_of("n1", 1, 0, 0, "");
    HF_AUTO(buf) rows = hf_buf_new();
    uint64_t seq;

    world->op.deadline_ms = world->clock.boottime_ms;
    assert_fails(&world->op, hf_engine_beat(world->engine, &world->op, &beat, false, &seq),
                 HF_UNAVAILABLE);
    assert_fails(&world->op, hf_engine_beats(world->engine, &world->op, write_row, rows, &seq),
                 HF_UNAVAILABLE);
    world->op.deadline_ms = 0;
    assert_rows(world, "", 0);
}

#define CONTRACT(test)                                                                             \
    {                                                                                              \
#test, test, store_world_setup, store_world_teardown, NULL                                 \
    }

static const struct CMUnitTest contract[] = {
    CONTRACT(a_heartbeat_takes_the_place_of_the_last_one_of_its_node),
    CONTRACT(a_heartbeat_leaves_records_and_log_alone),
    CONTRACT(a_heartbeat_must_be_well_formed),
    CONTRACT(a_visitor_that_fails_ends_the_visit),
    CONTRACT(no_heartbeat_begins_after_its_deadline),
};

int main(void)
{
    return store_run_contract(contract, HF_COUNT(contract));
}
