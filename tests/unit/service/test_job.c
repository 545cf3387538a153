/* Jobs: one node at a time, another when it dies, and nothing twice. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "neighbour.h"
#include "service/job.h"

#define HOUR ((uint64_t)3600 * 1000)

static struct neighbour other;

static int setup(void **unused)
{
    assert_int_equal(world_open(unused), 0);
    neighbour_start(&other, "node-2");
    return 0;
}

static int teardown(void **unused)
{
    neighbour_stop(&other);
    return world_close(unused);
}

static struct hf_job *job_of(struct hf_service *service, const char *name)
{
    for (size_t i = 0; i < HF_JOBS; i++) {
        if (strcmp(service->jobs[i].row->name, name) == 0) {
            return &service->jobs[i];
        }
    }
    fail_msg("there is no job %s", name);
    return NULL;
}

/* --- what the list tells --- */

static struct hf_job_info told;
static char told_node[64];
static char told_text[HF_OP_TEXT_MAX];
static const char *wanted;

static void take_job(void *context, const struct hf_job_info *info)
{
    (void)context;
    if (strcmp(info->name, wanted) == 0) {
        told = *info;
        (void)snprintf(told_node, sizeof told_node, "%s", info->node);
        (void)snprintf(told_text, sizeof told_text, "%s", info->text);
    }
}

static const struct hf_job_info *list(const char *name)
{
    struct hf_op op = world_as(CAROL);

    wanted = name;
    told = (struct hf_job_info){ 0 };
    assert_ok(&op, hf_service_job_list(world.service, &op, take_job, NULL));
    assert_non_null(told.name);
    return &told;
}

/* --- the fence --- */

static struct hf_status put_under(struct hf_op *op, struct hf_seal *seal, const char *path)
{
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;
    struct hf_status status;

    HF_TRY(hf_txn_new(seal, op, &txn));
    HF_TRY(hf_txn_put(txn, op, HF_KIND_SECRET, path, 0, hf_bytes_of_text("x")));
    status = hf_txn_commit(txn, op, &commit);
    hf_secret_free(commit.result);
    return status;
}

static bool is_there(const char *path)
{
    struct hf_op op = small_world_op(0);
    HF_AUTO(opened) opened = NULL;

    return hf_seal_get(small_world.seal, &op, HF_KIND_SECRET, path, &opened).code == HF_OK;
}

/* The one that was stopped between its question and its commit, for longer than its lease. */
static void who_has_lost_a_job_without_knowing_commits_nothing(void **unused)
{
    struct hf_job *mine = job_of(world.service, "purge");
    struct hf_job *its = job_of(other.service, "purge");
    struct hf_op op = small_world_op(0);
    struct hf_op its_op = small_world_op(0);
    bool ours = false;

    (void)unused;
    assert_ok(&op, hf_job_claim(mine, &op, &ours));
    assert_true(ours);
    assert_ok(&op, put_under(&op, small_world.seal, "secret/before"));

    neighbour_follow(&other);
    assert_ok(&its_op, hf_job_claim(its, &its_op, &ours));
    assert_false(ours);
    assert_null(its_op.fence);
    small_world_pass(11000);
    assert_ok(&its_op, hf_job_claim(its, &its_op, &ours));
    assert_true(ours);

    assert_fails(&op, put_under(&op, small_world.seal, "secret/late"), HF_CONFLICT);
    world_follow();
    assert_fails(&op, put_under(&op, small_world.seal, "secret/late"), HF_CONFLICT);
    assert_false(is_there("secret/late"));
    assert_true(is_there("secret/before"));
    assert_ok(&its_op, put_under(&its_op, other.seal, "secret/now"));

    /* And it is told so when it asks again, as long as the other goes on. */
    op.fence = NULL;
    assert_ok(&op, hf_job_claim(mine, &op, &ours));
    assert_false(ours);
    assert_string_equal((list("purge"), told_node), "node-2");
    assert_int_equal(told.state, HF_JOB_RUNS);
}

static void two_that_take_over_at_once_are_one(void **unused)
{
    struct hf_job *mine = job_of(world.service, "purge");
    struct hf_job *its = job_of(other.service, "purge");
    struct hf_op op = small_world_op(0);
    struct hf_op its_op = small_world_op(0);
    uint64_t fence;
    bool ours = false;

    (void)unused;
    /* The other has the lease, but not yet written that the job is its. */
    assert_ok(&its_op,
              hf_engine_lease(small_world.engine, &its_op, "job-purge", "node-2", 1000, &fence));
    small_world_pass(2000);
    assert_ok(&op, hf_job_claim(mine, &op, &ours));
    assert_true(ours);
    its->fence.revision = 0;
    assert_ok(&its_op, hf_job_claim(its, &its_op, &ours));
    assert_false(ours);
}

/* A rotation of the root writes every record anew, those of jobs too. */
static void a_fence_that_was_rewritten_by_its_holder_stays_whole(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_op system = small_world_op(0);
    struct hf_job *mine = job_of(world.service, "root");
    uint32_t generation = 0;
    bool ours = false;

    (void)unused;
    /* The record is under the root before, when the job begins to move records. */
    assert_ok(&system, hf_job_claim(mine, &system, &ours));
    assert_true(ours);
    assert_ok(&op, hf_service_root_rotate(world.service, &op, &generation));
    world_jobs();
    assert_int_equal(list("root")->state, HF_JOB_RESTS);
    assert_string_equal(told_text, "");
    assert_false(hf_seal_root_is_moving(small_world.seal));
}

static void an_altered_record_keeps_no_job_from_being_done(void **unused)
{
    struct hf_job *mine = job_of(world.service, "purge");
    struct hf_op op = small_world_op(0);
    bool ours = false;

    (void)unused;
    assert_ok(&op, hf_job_claim(mine, &op, &ours));
    assert_ok(&op, put_under(&op, small_world.seal, "secret/one"));
    small_world_alter("job/purge");
    mine->is_ours = false;
    op.fence = NULL;
    assert_ok(&op, hf_job_claim(mine, &op, &ours));
    assert_true(ours);
    small_world_restore();
    assert_ok(&op, put_under(&op, small_world.seal, "secret/two"));
    assert_string_equal((list("purge"), told_node), "node-1");
}

/* --- rewrap --- */

static unsigned rewrapped(const char *key)
{
    HF_AUTO_STRING name = hf_format("\"key\":\"%s\"", key);

    return world_notes(EVENT("key.rewrap", "ok", "system"), name);
}

struct parents {
    uint32_t wanted;
    unsigned versions;
    unsigned older;
};

static void look_at_parent(void *context, const struct hf_version_info *info)
{
    struct parents *parents = context;

    parents->versions++;
    parents->older += info->keyring_key != parents->wanted;
}

static void check_parents(const char *key, uint32_t version)
{
    struct parents parents = { .wanted = version };
    struct hf_op op = small_world_op(0);

    assert_ok(&op, hf_key_versions(world.keys, &op, RING, key, look_at_parent, &parents));
    assert_int_equal(parents.versions, 1);
    assert_int_equal(parents.older, 0);
}

static const char *const rewrap_keys[] = { "a", "b", "c", "d", "pair" };

static void make_keys(void)
{
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    for (size_t i = 0; i < HF_COUNT(rewrap_keys); i++) {
        (void)world_key(rewrap_keys[i], i < 4 ? HF_ALG_AES_256 : HF_ALG_RSA_2048);
    }
    assert_ok(&op, hf_service_keyring_rotate(world.service, &op, RING, &version));
    assert_int_equal(version, 2);
}

static void keys_move_under_a_new_keyring_key_once(void **unused)
{
    (void)unused;
    make_keys();
    world_turn();
    neighbour_turn(&other);
    small_world_pass(20000);
    neighbour_turn(&other);
    world_turn();
    for (size_t i = 0; i < HF_COUNT(rewrap_keys); i++) {
        check_parents(rewrap_keys[i], 2);
        assert_int_equal(rewrapped(rewrap_keys[i]), 1);
    }
    assert_int_equal(list("rewrap")->done, HF_COUNT(rewrap_keys));
    assert_int_equal(told.state, HF_JOB_RESTS);
    assert_true(told.ended_ms > 0);
}

/* The first is killed in the middle: its process does nothing any more, and gives nothing back. */
static void another_node_goes_on_where_one_has_died(void **unused)
{
    struct hf_job *mine = job_of(world.service, "rewrap");
    struct hf_op op = small_world_op(0);
    unsigned done = 0;
    bool more = false;

    (void)unused;
    make_keys();
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_UNAVAILABLE, 0);
    /* A slice that ends after the first keys. */
    for (uint64_t at = 1; done == 0; at++) {
        hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 12 + at);
        op.fence = NULL;
        mine->slice_until_ms = small_world.boot_ms + 1000;
        (void)mine->row->work(mine, &op, &more).code;
        hf_op_clear(&op);
        hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_UNAVAILABLE, 0);
        for (size_t i = 0; i < HF_COUNT(rewrap_keys); i++) {
            done += rewrapped(rewrap_keys[i]);
        }
    }
    assert_true(done < HF_COUNT(rewrap_keys));
    assert_true(mine->is_ours);

    neighbour_turn(&other);
    assert_int_equal(list("rewrap")->state, HF_JOB_RUNS);
    assert_string_equal(told_node, "node-1");
    small_world_pass(5000);
    neighbour_turn(&other);
    assert_string_equal((list("rewrap"), told_node), "node-1");
    small_world_pass(6000);
    neighbour_turn(&other);
    assert_int_equal(list("rewrap")->state, HF_JOB_RESTS);
    assert_string_equal(told_node, "node-2");
    world_follow();
    for (size_t i = 0; i < HF_COUNT(rewrap_keys); i++) {
        check_parents(rewrap_keys[i], 2);
        assert_int_equal(rewrapped(rewrap_keys[i]), 1);
    }
}

static void a_key_that_cannot_be_moved_keeps_no_other_from_it(void **unused)
{
    (void)unused;
    make_keys();
    small_world_alter("version/hdfs/b/0000000001");
    world_turn();
    assert_int_equal(rewrapped("b"), 0);
    assert_int_equal(rewrapped("a"), 1);
    assert_int_equal(rewrapped("d"), 1);
    small_world_restore();
    small_world_pass(HOUR + 1000);
    world_turn();
    assert_int_equal(rewrapped("b"), 1);
    assert_int_equal(rewrapped("a"), 1);
}

/* --- rotation by the clock --- */

static void rotate_every(uint64_t ms)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_info info;

    assert_ok(&op, hf_service_keyring_get(world.service, &op, RING, &info));
    info.settings.rotate_every_ms = ms;
    assert_ok(&op, hf_service_keyring_change(world.service, &op, RING, &info.settings));
    neighbour_follow(&other);
}

static uint32_t primary(const char *key)
{
    struct hf_op op = small_world_op(0);
    uint32_t version = 0;

    assert_ok(&op, hf_key_primary(world.keys, &op, RING, key, &version));
    return version;
}

static void keys_rotate_by_their_age_and_only_those_that_are_made_here(void **unused)
{
    HF_AUTO(secret) material = world_secret("0123456789abcdef0123456789abcdef", 32);
    const struct hf_key_plan imported = { .algorithm = HF_ALG_AES_256,
                                          .first_version = 1,
                                          .material = material };
    const struct hf_key_plan resting = { .algorithm = HF_ALG_AES_256,
                                         .first_version = 1,
                                         .pre_active = true };
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    (void)world_key("old", HF_ALG_AES_256);
    (void)world_key("opaque", HF_ALG_OPAQUE);
    (void)world_key_planned("theirs", &imported);
    (void)world_key_planned("resting", &resting);
    rotate_every(30 * DAY);
    small_world_pass(20 * DAY);
    (void)world_key("young", HF_ALG_AES_256);
    (void)world_key("manual", HF_ALG_AES_256);
    world_jobs();
    assert_int_equal(primary("old"), 1);
    small_world_pass(10 * DAY);
    assert_ok(&op, hf_service_key_rotate(world.service, &op, RING, "manual", NULL, &version, NULL));
    world_jobs();
    neighbour_turn(&other);
    assert_int_equal(primary("old"), 2);
    assert_int_equal(primary("young"), 1);
    assert_int_equal(primary("manual"), 2);
    assert_int_equal(primary("theirs"), 1);
    assert_int_equal(primary("opaque"), 1);
    assert_fails(&op, hf_key_primary(world.keys, &op, RING, "resting", &version), HF_WRONG_STATE);
    assert_int_equal(world_lines(EVENT("key.rotate", "ok", "system"), "\"key\":\"old\"",
                                 "it was due, as the keyring says"),
                     1);
    small_world_pass(20 * DAY);
    world_jobs();
    assert_int_equal(primary("young"), 2);
    assert_int_equal(primary("old"), 2);
    rotate_every(0);
    small_world_pass(100 * DAY);
    world_jobs();
    assert_int_equal(primary("old"), 2);
}

/* Each node finds it due, from a state of before the other has rotated it. */
static void a_key_that_two_nodes_find_due_rotates_once(void **unused)
{
    struct hf_op op = small_world_op(7);
    bool more = false;

    (void)unused;
    (void)world_key("both", HF_ALG_AES_256);
    rotate_every(HOUR);
    small_world_pass(HOUR);
    world_jobs();
    /* It has not followed: what it knows is old. */
    hf_service_run_jobs(other.service, &op, &more);
    small_world_pass(30000);
    neighbour_turn(&other);
    assert_int_equal(primary("both"), 2);
    assert_int_equal(world_notes(EVENT("key.rotate", "ok", "system"), NULL), 1);
}

static void a_keyring_rotates_every_hour_at_most(void **unused)
{
    struct hf_op op = world_as(ROOT);
    struct hf_keyring_settings settings;

    (void)unused;
    hf_keyring_settings_default(&settings);
    settings.rotate_every_ms = HOUR - 1;
    assert_fails(&op, hf_service_keyring_create(world.service, &op, "quick", &settings, NULL),
                 HF_INVALID);
    settings.rotate_every_ms = HOUR;
    assert_ok(&op, hf_service_keyring_create(world.service, &op, "quick", &settings, NULL));
}

/* --- the record, and who may see it --- */

/* docs/formats/job.md */
static const char vector[] =
    "01000000066e6f64652d320000000000000007000001a3185c5000000001a3185c53e8000000000000000000"
    "00000000000005000000000000000c00000000";

static void a_job_is_written_as_the_format_says_and_nothing_else_is_read(void **unused)
{
    struct hf_job_record record = { .node = (char *)"node-2",
                                    .fence = 7,
                                    .begun_ms = 1800000000000,
                                    .active_ms = 1800000001000,
                                    .done = 5,
                                    .total = 12,
                                    .text = (char *)"" };
    struct hf_job_record later = { 0 };
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(buf) hex = hf_buf_new();
    struct hf_op op = small_world_op(0);

    (void)unused;
    hf_job_record_encode(&record, content);
    hf_hex_add(hex, hf_buf_bytes(content));
    assert_string_equal(hf_buf_text(hex), vector);
    for (size_t len = 0; len <= content->len; len++) {
        struct hf_job_record again = { 0 };
        struct hf_status status =
            hf_job_record_decode(&op, hf_bytes_of(content->data, len), &again);

        assert_int_equal(status.code == HF_OK, len == content->len);
        hf_job_record_done(&again);
    }
    content->data[0] = 2;
    assert_fails(&op, hf_job_record_decode(&op, hf_buf_bytes(content), &later), HF_UNSUPPORTED);
    hf_job_record_done(&later);
}

static void jobs_are_for_operators_and_auditors(void **unused)
{
    struct hf_op alice = world_as(ALICE);

    (void)unused;
    assert_fails(&alice, hf_service_job_list(world.service, &alice, take_job, NULL), HF_DENIED);
    assert_int_equal(list("rotate")->state, HF_JOB_RESTS);
    assert_int_equal(told.begun_ms, 0);
}

static void what_is_due_and_cannot_be_done_is_told_since_when(void **unused)
{
    (void)unused;
    make_keys();
    hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, 3);
    world_jobs();
    assert_true(hf_failing_faults(small_world.engine) > 0);
    hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_UNAVAILABLE, 0);
    assert_true(list("rewrap")->due_since_ms > 0);
    assert_true(told.next_look_ms > small_world.now_ms);
    small_world_pass(61000);
    world_jobs();
    assert_int_equal(list("rewrap")->due_since_ms, 0);
    assert_int_equal(told.done, HF_COUNT(rewrap_keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(who_has_lost_a_job_without_knowing_commits_nothing),
        TEST(two_that_take_over_at_once_are_one),
        TEST(a_fence_that_was_rewritten_by_its_holder_stays_whole),
        TEST(an_altered_record_keeps_no_job_from_being_done),
        TEST(keys_move_under_a_new_keyring_key_once),
        TEST(another_node_goes_on_where_one_has_died),
        TEST(a_key_that_cannot_be_moved_keeps_no_other_from_it),
        TEST(keys_rotate_by_their_age_and_only_those_that_are_made_here),
        TEST(a_key_that_two_nodes_find_due_rotates_once),
        TEST(a_keyring_rotates_every_hour_at_most),
        TEST(a_job_is_written_as_the_format_says_and_nothing_else_is_read),
        TEST(jobs_are_for_operators_and_auditors),
        TEST(what_is_due_and_cannot_be_done_is_told_since_when),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
