/* The scan at unlock: many records, two threads, and what can go wrong in the middle of it. */
#include "world.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 3000 /* several batches, so that there is a second thread where it may be */

/* A consumer that counts; it may refuse one record, and must never be called twice at once. */
struct count {
    atomic_uint inside;
    atomic_uint overlaps;
    unsigned records;
    unsigned cleared;
    size_t largest;
    uint64_t sum; /* of the numbers in the records */
    unsigned refuse_at;
    enum hf_code refusal;
};

static struct hf_status count_record(void *context, struct hf_op *op,
                                     const struct hf_opened_view *record)
{
    struct count *count = context;
    char number[8] = { 0 };

    if (atomic_fetch_add(&count->inside, 1) != 0) {
        atomic_fetch_add(&count->overlaps, 1);
    }
    memcpy(number, record->plain.data, record->plain.len < 7 ? record->plain.len : 7);
    count->sum += strtoul(number, NULL, 10);
    count->records++;
    count->largest = record->plain.len > count->largest ? record->plain.len : count->largest;
    atomic_fetch_sub(&count->inside, 1);
    if (count->records == count->refuse_at) {
        return hf_fail(op, count->refusal, "the consumer refuses %s", record->path);
    }
    return HF_SUCCESS;
}

static void forget(void *context)
{
    struct count *count = context;

    count->cleared++;
    count->records = 0;
    count->largest = 0;
    count->sum = 0;
}

static int setup(void **state)
{
    struct world *world;

    world_setup(state);
    world = *state;
    for (unsigned i = 0; i < RECORDS;) {
        HF_AUTO(txn) txn = NULL;
        struct hf_txn_commit commit;

        assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
        for (unsigned n = 0; n < 500; n++, i++) {
            char path[32];
            char text[16];

            (void)snprintf(path, sizeof path, "key/%06u", i);
            (void)snprintf(text, sizeof text, "%u", i);
            assert_ok(&world->op,
                      hf_txn_put(txn, &world->op, HF_KIND_KEY, path, 0, hf_bytes_of_text(text)));
        }
        assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
    }
    return 0;
}

static void attach(struct world *world, struct count *count)
{
    struct hf_consumer consumer = {
        .kind = HF_KIND_KEY, .apply = count_record, .clear = forget, .context = count
    };

    memset(count, 0, sizeof *count);
    world_reopen(world);
    hf_seal_add_consumer(world->seal, &consumer);
}

static void expect_all(const struct count *count)
{
    assert_int_equal(count->records, RECORDS);
    assert_int_equal(count->sum, (uint64_t)RECORDS * (RECORDS - 1) / 2);
    assert_int_equal(atomic_load(&count->overlaps), 0);
}

static void every_record_is_told_once(void **state)
{
    static struct count count; /* outlives a failed test: the seal points to it */
    struct world *world = *state;

    attach(world, &count);
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
    hf_seal_lock(world->seal);
    assert_int_equal(count.records, 0);
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
}

static void one_processor_does_it_alone(void **state)
{
    static struct count count;
    struct world *world = *state;
    cpu_set_t all;
    cpu_set_t one;

    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    attach(world, &count);
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
    count.refuse_at = RECORDS / 2;
    count.refusal = HF_NO_SPACE;
    hf_seal_lock(world->seal);
    assert_fails(&world->op, world_unlock(world), HF_NO_SPACE);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void altered_records_are_told_and_the_others_open(void **state)
{
    static struct count count;
    struct world *world = *state;
    static const char *const paths[] = { "key/000003", "key/001500", "key/002999" };

    for (size_t i = 0; i < HF_COUNT(paths); i++) {
        struct hf_record *record = world_record(world, paths[i]);

        record->body.data[record->body.len - 1] ^= 1;
        tamper_show(world->tamper, paths[i], 1, hf_buf_bytes(&record->body));
        hf_record_free(record);
    }
    attach(world, &count);
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(count.records, RECORDS - 3);
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 3);
}

static void note_path(void *context, const struct hf_damaged *record)
{
    assert_int_equal(record->revision, 1);
    ++*(unsigned *)context;
    assert_true(strncmp(record->path, "key/", 4) == 0);
}

/* One that nobody knew of would pass for whole. */
static void many_altered_records_are_all_known(void **state)
{
    static struct count count;
    struct world *world = *state;
    unsigned listed = 0;

    for (unsigned i = 0; i < 1200; i++) {
        char path[32];

        (void)snprintf(path, sizeof path, "key/%06u", i);
        tamper_show(world->tamper, path, 1, hf_bytes_of_text("junk"));
    }
    attach(world, &count);
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(count.records, RECORDS - 1200);
    assert_int_equal(hf_seal_damage(world->seal, note_path, &listed), 1200);
    assert_int_equal(listed, 1200);
    assert_int_equal(hf_seal_harm(world->seal, "key/000000"), HF_HARM_UNTOLD);
    assert_int_equal(hf_seal_harm(world->seal, "key/001199"), HF_HARM_UNTOLD);
    assert_int_equal(hf_seal_harm(world->seal, "key/001200"), HF_HARM_NONE);
    hf_seal_lock(world->seal);
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
}

static void a_consumer_that_fails_ends_the_unlock(void **state)
{
    static struct count count;
    struct world *world = *state;

    attach(world, &count);
    for (unsigned at = 1; at < RECORDS; at += RECORDS / 4) {
        count.refuse_at = at;
        count.refusal = HF_NO_SPACE;
        assert_fails(&world->op, world_unlock(world), HF_NO_SPACE);
        assert_non_null(strstr(world->op.text, "the consumer refuses key/"));
        assert_int_equal(count.records, 0);
        assert_false(hf_seal_is_unlocked(world->seal));
    }
    count.refuse_at = 0;
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
}

static void a_record_its_consumer_cannot_read_is_damaged(void **state)
{
    static struct count count;
    struct world *world = *state;

    attach(world, &count);
    count.refuse_at = 700;
    count.refusal = HF_CORRUPT;
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 1);
    assert_int_equal(count.records, RECORDS);
}

static struct hf_status fail_list(void *context)
{
    struct world *world = context;

    return hf_fail(&world->op, HF_UNAVAILABLE, "the disk is gone");
}

static void a_store_that_stops_in_the_middle_ends_the_unlock(void **state)
{
    static struct count count;
    struct world *world = *state;

    attach(world, &count);
    for (uint64_t at = 0; at < RECORDS; at += 600) {
        /* The list of slots is a list too, but has no more than two records. */
        tamper_during_list(world->tamper, at == 0 ? 3 : at, fail_list, world);
        assert_fails(&world->op, world_unlock(world), HF_UNAVAILABLE);
        assert_string_equal(world->op.text, "the disk is gone");
        assert_int_equal(count.records, 0);
    }
    tamper_reset(world->tamper);
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
}

/* Another node commits while we read. */
struct busy {
    struct world node;
    unsigned left; /* commits to make */
    unsigned made;
};

static struct hf_status commit_meanwhile(void *context)
{
    struct busy *busy = context;
    HF_AUTO_STRING path = hf_format("policy/%u", busy->made);

    if (busy->left == 0) {
        return HF_SUCCESS;
    }
    busy->left--;
    busy->made++;
    return world_put(&busy->node, HF_KIND_POLICY, path, 0, "x");
}

static void open_node(struct world *world, struct busy *busy, unsigned commits)
{
    busy->node = *world;
    busy->node.engine = world->memory;
    busy->node.pin_file = NULL;
    hf_op_init(&busy->node.op, &busy->node.env);
    assert_ok(&busy->node.op,
              hf_seal_open(world->crypto, &busy->node.op, world->memory, NULL, &busy->node.seal));
    assert_ok(&busy->node.op, world_unlock(&busy->node));
    busy->left = commits;
    busy->made = 0;
}

/* The hook runs before the list of slots and before each scan. */
static void a_store_that_changes_is_read_again(void **state)
{
    static struct count count;
    struct world *world = *state;
    struct busy busy;

    attach(world, &count);
    open_node(world, &busy, 3);
    tamper_during_list(world->tamper, 0, commit_meanwhile, &busy);
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
    assert_int_equal(busy.left, 0);
    assert_int_equal(count.cleared, 2);
    assert_int_equal(hf_seal_seq(world->seal), hf_seal_seq(busy.node.seal));
    hf_seal_free(busy.node.seal);
}

static void a_store_that_never_stands_still_is_given_up(void **state)
{
    static struct count count;
    struct world *world = *state;
    struct busy busy;

    attach(world, &count);
    open_node(world, &busy, 1000);
    tamper_during_list(world->tamper, 0, commit_meanwhile, &busy);
    assert_fails(&world->op, world_unlock(world), HF_UNAVAILABLE);
    assert_int_equal(count.records, 0);
    tamper_reset(world->tamper);
    assert_ok(&world->op, world_unlock(world));
    expect_all(&count);
    hf_seal_free(busy.node.seal);
}

static void large_records_pass_between_small_ones(void **state)
{
    static struct count count;
    struct world *world = *state;
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(buf) big = hf_buf_new();
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    memset(hf_buf_reserve(big, HF_CONTENT_MAX), '0', HF_CONTENT_MAX);
    hf_buf_grew(big, HF_CONTENT_MAX);
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_KEY, "key/000500-big", 0, hf_buf_bytes(big)));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_KEY, "key/001900-big", 0, hf_buf_bytes(big)));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    attach(world, &count);
    assert_ok(op, world_unlock(world));
    assert_int_equal(count.records, RECORDS + 2);
    assert_int_equal(count.largest, HF_CONTENT_MAX);
}

/* A body larger than anything that was ever sealed is altered, not a reason to take memory. */
static void a_body_that_is_too_large_is_damaged(void **state)
{
    static struct count count;
    struct world *world = *state;
    struct hf_record *record = world_record(world, "key/000007");

    memset(hf_buf_reserve(&record->body, HF_CONTENT_MAX + 1), 0, HF_CONTENT_MAX + 1);
    hf_buf_grew(&record->body, HF_CONTENT_MAX + 1);
    tamper_show(world->tamper, "key/000007", 1, hf_buf_bytes(&record->body));
    hf_record_free(record);
    attach(world, &count);
    assert_ok(&world->op, world_unlock(world));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 1);
    assert_int_equal(count.records, RECORDS - 1);
}

/* In a list that goes in circles one would never come to an end. */
static struct hf_status nothing(void *context, const struct hf_opened_view *view)
{
    (void)view;
    ++*(unsigned *)context;
    return HF_SUCCESS;
}

static void a_list_that_goes_in_circles_ends(void **state)
{
    struct world *world = *state;
    unsigned seen = 0;

    tamper_ignore_after(world->tamper);
    assert_fails(&world->op,
                 hf_seal_list(world->seal, &world->op, HF_KIND_KEY, "key/", NULL, nothing, &seen),
                 HF_CORRUPT);
    assert_true(seen > 0 && seen < RECORDS);
}

#define LOADED(test) cmocka_unit_test_setup_teardown(test, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOADED(every_record_is_told_once),
        LOADED(one_processor_does_it_alone),
        LOADED(altered_records_are_told_and_the_others_open),
        LOADED(many_altered_records_are_all_known),
        LOADED(a_consumer_that_fails_ends_the_unlock),
        LOADED(a_record_its_consumer_cannot_read_is_damaged),
        LOADED(a_store_that_stops_in_the_middle_ends_the_unlock),
        LOADED(a_store_that_changes_is_read_again),
        LOADED(a_store_that_never_stands_still_is_given_up),
        LOADED(large_records_pass_between_small_ones),
        LOADED(a_body_that_is_too_large_is_damaged),
        LOADED(a_list_that_goes_in_circles_ends),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
