/* Several threads on one trail: order, who writes for whom, shared syncs, who is told of a loss. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "fixture.h"

#define THREADS 8U
#define LINES   600U

struct worker {
    pthread_t thread;
    struct fixture *fixture;
    struct hf_op op;
    unsigned number;
    enum hf_code code;
    _Atomic bool done;
};

static void start(struct fixture *fixture, struct worker *worker, unsigned number,
                  void *(*run)(void *argument))
{
    worker->fixture = fixture;
    worker->number = number;
    worker->done = false;
    hf_op_init(&worker->op, &fixture->env.env);
    assert_int_equal(pthread_create(&worker->thread, NULL, run, worker), 0);
}

static enum hf_code join(struct worker *worker)
{
    assert_int_equal(pthread_join(worker->thread, NULL), 0);
    return worker->code;
}

/* --- order --- */

static struct hf_status append_numbered(struct worker *worker, unsigned i)
{
    char caller[32];
    const struct hf_audit_event event = { .operation = "hadoop.decrypt", .caller = caller };

    (void)snprintf(caller, sizeof caller, "thread-%u:%06u", worker->number, i);
    return hf_audit_append(worker->fixture->audit, &worker->op, &event);
}

static enum hf_code append_many(struct worker *worker)
{
    struct hf_audit *audit = worker->fixture->audit;
    struct hf_op *op = &worker->op;

    for (unsigned i = 0; i < LINES; i++) {
        struct hf_status status = append_numbered(worker, i);

        if (status.code == HF_OK && i % 10 == worker->number) {
            status = i % 200 == 7 ? hf_audit_sync(audit, op) : hf_audit_write(audit, op);
        }
        if (status.code != HF_OK) {
            return status.code;
        }
        if (i % 100 == 50) {
            hf_audit_unauthenticated(audit, op, "hadoop", "192.0.2.1");
        }
    }
    return hf_audit_write(audit, op).code;
}

static void *run_append_many(void *argument)
{
    struct worker *worker = argument;

    worker->code = append_many(worker);
    return NULL;
}

/* Each thread's lines must follow each other in all files as they were appended. */
static void assert_order(struct fixture *fixture)
{
    unsigned next[THREADS] = { 0 };
    char name[HF_AUDIT_NAME_MAX];
    bool is_last = false;

    for (uint64_t number = 1; !is_last; number++) {
        HF_AUTO(buf) content = NULL;
        const char *at;

        hf_audit_file_name(number, name);
        content = fixture_read(fixture, name);
        is_last = content == NULL;
        if (is_last) {
            content = fixture_read(fixture, "audit.log");
        }
        assert_non_null(content);
        at = hf_buf_text(content);
        while ((at = strstr(at, "\"thread-")) != NULL) {
            unsigned thread = (unsigned)(at[8] - '0');

            assert_true(thread < THREADS);
            assert_int_equal(strtoul(at + 10, NULL, 10), next[thread]++);
            at++;
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(next[i], LINES);
    }
}

static void lines_of_eight_threads_stand_whole_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[THREADS];
    struct hf_audit_report report;

    fixture->settings.max_file_bytes = 65536;
    fixture->settings.checkpoint_every = 100;
    fixture_open(fixture);
    for (unsigned i = 0; i < THREADS; i++) {
        start(fixture, &workers[i], i, run_append_many);
    }
    for (uint64_t seq = 1; seq <= 200; seq++) {
        assert_ok(&fixture->op, fixture_note(fixture, seq));
        assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(join(&workers[i]), HF_OK);
    }
    fixture_close(fixture);
    assert_order(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.notes, 200);
}

/* --- one writes for the others --- */

static void *run_append_and_write(void *argument)
{
    struct worker *worker = argument;

    worker->code = append_numbered(worker, 0).code;
    if (worker->code == HF_OK) {
        worker->code = hf_audit_write(worker->fixture->audit, &worker->op).code;
    }
    worker->done = true;
    return NULL;
}

static void *run_append_and_sync(void *argument)
{
    struct worker *worker = argument;

    worker->code = append_numbered(worker, 0).code;
    if (worker->code == HF_OK) {
        worker->code = hf_audit_sync(worker->fixture->audit, &worker->op).code;
    }
    worker->done = true;
    return NULL;
}

static bool somebody_is_at_the_gate(struct fixture *fixture)
{
    return fixture->disk.waiting > 0;
}

static uint64_t tickets(struct fixture *fixture, bool settled)
{
    uint64_t count;

    hf_audit_lock(fixture->audit);
    count = settled ? fixture->audit->settled : fixture->audit->tickets;
    hf_audit_unlock(fixture->audit);
    return count;
}

static bool both_have_appended(struct fixture *fixture)
{
    return tickets(fixture, false) == 2;
}

static void write_returns_only_when_the_thread_that_writes_is_done(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[2];

    fixture_open(fixture);
    assert_int_equal(pthread_mutex_lock(&fixture->disk.gate), 0);
    fixture->disk.gate_kind = DISK_WRITE;
    start(fixture, &workers[0], 0, run_append_and_write);
    fixture_wait_until(somebody_is_at_the_gate, fixture);
    /* The second thread appends while the first writes, and waits for its turn. */
    start(fixture, &workers[1], 1, run_append_and_write);
    fixture_wait_until(both_have_appended, fixture);
    assert_false(workers[0].done);
    assert_false(workers[1].done);
    assert_int_equal(fixture_count(fixture, "thread-"), 0);
    fixture->disk.gate_kind = DISK_CALLS;
    assert_int_equal(pthread_mutex_unlock(&fixture->disk.gate), 0);
    assert_int_equal(join(&workers[0]), HF_OK);
    assert_int_equal(join(&workers[1]), HF_OK);
    assert_int_equal(fixture_count(fixture, "thread-0"), 1);
    assert_int_equal(fixture_count(fixture, "thread-1"), 1);
}

static bool all_are_written(struct fixture *fixture)
{
    return tickets(fixture, true) == THREADS;
}

static void threads_that_wait_for_the_disk_share_one_sync(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[THREADS];
    unsigned before;

    fixture_open(fixture);
    before = fixture->disk.counts[DISK_SYNC];
    assert_int_equal(pthread_mutex_lock(&fixture->disk.gate), 0);
    fixture->disk.gate_kind = DISK_SYNC;
    start(fixture, &workers[0], 0, run_append_and_sync);
    fixture_wait_until(somebody_is_at_the_gate, fixture);
    for (unsigned i = 1; i < THREADS; i++) {
        start(fixture, &workers[i], i, run_append_and_sync);
    }
    fixture_wait_until(all_are_written, fixture);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_false(workers[i].done);
    }
    fixture->disk.gate_kind = DISK_CALLS;
    assert_int_equal(pthread_mutex_unlock(&fixture->disk.gate), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(join(&workers[i]), HF_OK);
    }
    assert_int_equal(fixture->disk.counts[DISK_SYNC], before + 2);
}

static void a_sync_that_fails_is_told_to_all_who_wait_for_it(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[THREADS];

    fixture_open(fixture);
    assert_int_equal(pthread_mutex_lock(&fixture->disk.gate), 0);
    fixture->disk.gate_kind = DISK_SYNC;
    start(fixture, &workers[0], 0, run_append_and_sync);
    fixture_wait_until(somebody_is_at_the_gate, fixture);
    for (unsigned i = 1; i < THREADS; i++) {
        start(fixture, &workers[i], i, run_append_and_sync);
    }
    fixture_wait_until(all_are_written, fixture);
    fixture->disk.fail_kind[DISK_SYNC] = EIO;
    fixture->disk.gate_kind = DISK_CALLS;
    assert_int_equal(pthread_mutex_unlock(&fixture->disk.gate), 0);
    for (unsigned i = 1; i < THREADS; i++) {
        assert_int_equal(join(&workers[i]), HF_NO_SPACE);
    }
    /* The first one's fsync was under way, and ended well or not: it is told the truth. */
    (void)join(&workers[0]);
    fixture->disk.fail_kind[DISK_SYNC] = 0;
}

/* --- losses --- */

static void a_line_dropped_by_another_threads_write_is_told_to_its_own_thread(void **state)
{
    struct fixture *fixture = *state;
    struct worker other;

    fixture_open(fixture);
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 1));
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    start(fixture, &other, 0, run_append_and_write);
    assert_int_equal(join(&other), HF_NO_SPACE);

    /* There is space again, and others go on, before this thread asks. */
    fixture->disk.fail_kind[DISK_WRITE] = 0;
    fixture->env.boottime_ms += HF_AUDIT_RETRY_MS;
    hf_audit_lock(fixture->audit);
    hf_audit_try_resume_locked(fixture->audit, &fixture->op);
    hf_audit_unlock(fixture->audit);
    start(fixture, &other, 0, run_append_and_write);
    assert_int_equal(join(&other), HF_OK);
    assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_int_equal(fixture_count(fixture, "user-1-"), 0);
    assert_int_equal(fixture_count(fixture, "thread-0"), 1);
}

static void lines_that_were_appended_behind_a_failing_write_are_dropped_with_it(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[2];
    struct hf_audit_report report;
    uint64_t lost;
    bool full;

    fixture_open(fixture);
    assert_int_equal(pthread_mutex_lock(&fixture->disk.gate), 0);
    fixture->disk.gate_kind = DISK_WRITE;
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    start(fixture, &workers[0], 0, run_append_and_write);
    fixture_wait_until(somebody_is_at_the_gate, fixture);
    start(fixture, &workers[1], 1, run_append_and_write);
    fixture_wait_until(both_have_appended, fixture);
    fixture->disk.gate_kind = DISK_CALLS;
    assert_int_equal(pthread_mutex_unlock(&fixture->disk.gate), 0);
    assert_int_equal(join(&workers[0]), HF_NO_SPACE);
    assert_int_equal(join(&workers[1]), HF_NO_SPACE);
    hf_audit_health(fixture->audit, &lost, &full);
    assert_int_equal(lost, 2);
    fixture->disk.fail_kind[DISK_WRITE] = 0;
    fixture->env.boottime_ms += HF_AUDIT_RETRY_MS;
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 2);
    assert_int_equal(fixture_count(fixture, "thread-"), 0);
}

static void threads_that_end_leave_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    struct worker worker;

    fixture_open(fixture);
    for (unsigned i = 0; i < 50; i++) {
        start(fixture, &worker, 0, run_append_and_write);
        assert_int_equal(join(&worker), HF_OK);
        assert_null(fixture->audit->marks);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)
    const struct CMUnitTest tests[] = {
        TEST(lines_of_eight_threads_stand_whole_and_in_order),
        TEST(write_returns_only_when_the_thread_that_writes_is_done),
        TEST(threads_that_wait_for_the_disk_share_one_sync),
        TEST(a_sync_that_fails_is_told_to_all_who_wait_for_it),
        TEST(a_line_dropped_by_another_threads_write_is_told_to_its_own_thread),
        TEST(lines_that_were_appended_behind_a_failing_write_are_dropped_with_it),
        TEST(threads_that_end_leave_nothing_behind),
    };

    return cmocka_run_group_tests_name("audit threads", tests, fixture_start, fixture_stop);
}
