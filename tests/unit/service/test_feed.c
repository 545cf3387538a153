/* The feeder: the trail has every note once and in order, whatever happened to its file. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "world.h"

static void some_changes(unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        HF_AUTO_STRING name = hf_format("key-%u", i);

        (void)world_key(name, HF_ALG_AES_128);
    }
}

/* The trail must be whole, signed, and hold this many creations. */
static void expect_creations(unsigned count)
{
    HF_AUTO_STRING directory = small_world_path("audit");
    HF_AUTO(buf) public_key = hf_buf_new();
    struct hf_audit_report report;
    struct hf_op *op = &small_world.op;

    assert_int_equal(world_lines(EVENT("key.create", "ok", ROOT), NULL, NULL), count);
    assert_ok(op, hf_pkey_public(world.signer, op, public_key));
    assert_ok(op, hf_audit_verify(small_world.crypto, op, directory, hf_buf_bytes(public_key),
                                  HF_BYTES_NONE, &report));
    assert_int_equal(report.notes, world_notes(NULL, NULL));
}

static void every_note_comes_once_and_in_order(void **unused)
{
    struct hf_op *op = &small_world.op;

    (void)unused;
    some_changes(0, 5);
    expect_creations(5);
    assert_int_equal(hf_audit_last_note(world.audit), world_seq());
    assert_ok(op, hf_service_feed_audit(world.service, op));
    expect_creations(5);
    some_changes(5, 3);
    expect_creations(8);
}

static void more_notes_than_come_at_once_all_come(void **unused)
{
    (void)unused;
    some_changes(0, 600);
    expect_creations(600);
}

static void commits_without_notes_are_stepped_over(void **unused)
{
    static const uint8_t bytes[4] = { 0 };
    struct hf_op *op = &small_world.op;

    (void)unused;
    some_changes(0, 1);
    for (unsigned i = 0; i < 300; i++) {
        HF_AUTO_STRING path = hf_format("usage/x/y/%u", i);

        assert_ok(op, small_world_put(HF_KIND_USAGE, path, 0, hf_bytes_of(bytes, sizeof bytes)));
    }
    some_changes(1, 1);
    expect_creations(2);
}

static long size_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return (long)info.st_size;
}

/* What a crash leaves: the file ends anywhere, the store has everything. */
static void a_trail_that_lost_its_tail_gets_the_notes_again(void **unused)
{
    HF_AUTO_STRING path = small_world_path("audit/audit.log");

    (void)unused;
    some_changes(0, 4);
    expect_creations(4);
    for (unsigned step = 1; step <= 3; step++) {
        long size;

        world_stop_node();
        size = size_of(path);
        assert_int_equal(truncate(path, size - size / 5 - (long)step), 0);
        world_start_node();
        expect_creations(4);
    }
}

static void a_trail_whose_file_is_gone_is_written_anew(void **unused)
{
    HF_AUTO_STRING path = small_world_path("audit/audit.log");

    (void)unused;
    some_changes(0, 3);
    expect_creations(3);
    world_stop_node();
    assert_int_equal(unlink(path), 0);
    world_start_node();
    expect_creations(3);
}

static void notes_that_left_the_log_are_missed_out_loud(void **unused)
{
    struct hf_op *op = &small_world.op;
    uint64_t seq;

    (void)unused;
    some_changes(0, 3);
    seq = world_seq();
    some_changes(3, 2);
    assert_ok(op, hf_engine_forget(small_world.engine, op, seq + 1));
    assert_int_equal(world_lines(EVENT("key.create", "ok", ROOT), NULL, NULL), 2);
    assert_int_equal(world_lines("\"operation\":\"audit.feed\"", "never in this trail", NULL), 1);
    some_changes(5, 1);
    assert_int_equal(world_lines(EVENT("key.create", "ok", ROOT), NULL, NULL), 3);
    assert_int_equal(world_lines("\"operation\":\"audit.feed\"", NULL, NULL), 1);
}

static void a_full_disk_delays_notes_and_loses_none(void **unused)
{
    struct hf_op *op = &small_world.op;

    (void)unused;
    expect_creations(0);
    world.disk_is_full = true;
    some_changes(0, 3);
    (void)hf_service_feed_audit(world.service, op).code;
    (void)hf_audit_write(world.audit, op).code;
    some_changes(3, 3);
    (void)hf_service_feed_audit(world.service, op).code;
    hf_op_clear(op);
    world_make_room();
    expect_creations(6);
}

static void a_store_that_fails_is_asked_again(void **unused)
{
    struct hf_op *op = &small_world.op;

    (void)unused;
    some_changes(0, 2);
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 1);
    assert_fails(op, hf_service_feed_audit(world.service, op), HF_UNAVAILABLE);
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
    expect_creations(2);
}

static void *feed_often(void *context)
{
    struct hf_op op = small_world_op(*(unsigned *)context);

    for (unsigned i = 0; i < 50; i++) {
        if (hf_service_feed_audit(world.service, &op).code != HF_OK) {
            return context;
        }
    }
    return NULL;
}

static void several_feeders_at_once_write_no_note_twice(void **unused)
{
    pthread_t threads[4];
    unsigned lanes[HF_COUNT(threads)];

    (void)unused;
    for (unsigned i = 0; i < HF_COUNT(threads); i++) {
        lanes[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, feed_often, &lanes[i]), 0);
    }
    some_changes(0, 30);
    for (unsigned i = 0; i < HF_COUNT(threads); i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    expect_creations(30);
}

static void the_feeder_never_runs_where_it_may_not_wait(void **unused)
{
    struct hf_op op = small_world_op(0);

    (void)unused;
    op.may_wait = false;
    assert_fails(&op, hf_service_feed_audit(world.service, &op), HF_LATER);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(every_note_comes_once_and_in_order),
        test_of(more_notes_than_come_at_once_all_come),
        test_of(commits_without_notes_are_stepped_over),
        test_of(a_trail_that_lost_its_tail_gets_the_notes_again),
        test_of(a_trail_whose_file_is_gone_is_written_anew),
        test_of(notes_that_left_the_log_are_missed_out_loud),
        test_of(a_full_disk_delays_notes_and_loses_none),
        test_of(a_store_that_fails_is_asked_again),
        test_of(several_feeders_at_once_write_no_note_twice),
        test_of(the_feeder_never_runs_where_it_may_not_wait),
    };

    return cmocka_run_group_tests_name("service feed", tests, world_start, world_stop);
}
