/* Disks that are full or fail: what is refused, what is counted, and that the trail stays whole. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fixture.h"

static void assert_health(struct fixture *fixture, uint64_t lost, bool full)
{
    uint64_t got_lost;
    bool got_full;

    hf_audit_health(fixture->audit, &got_lost, &got_full);
    if (got_lost != lost || got_full != full) {
        fail_msg("lost %" PRIu64 ", full %d; wanted %" PRIu64 ", %d", got_lost, got_full, lost,
                 full);
    }
}

/* Space has returned, and it is time to try. */
static void mend(struct fixture *fixture)
{
    for (size_t i = 0; i < DISK_CALLS; i++) {
        fixture->disk.fail_kind[i] = 0;
    }
    fixture->disk.fail_from = 0;
    fixture->disk.space = UINT64_MAX;
    fixture->env.boottime_ms += HF_AUDIT_RETRY_MS;
    fixture->env.realtime_ms += 60000;
}

static const struct {
    const char *says;
    int error;        /* 0: space for half of the lines */
    bool no_truncate; /* and the torn end cannot be cut off at once */
    const char *reason;
} failures[] = {
    { "the disk is full", ENOSPC, false, "No space left on device" },
    { "the quota is used up", EDQUOT, false, "Disk quota exceeded" },
    { "the file is as large as it may be", EFBIG, false, "File too large" },
    { "the disk fails", EIO, false, "Input/output error" },
    { "the disk is full after half of a line", 0, false, "No space left on device" },
    { "the disk fails and nothing can be cut off", EIO, true, "Input/output error" },
    { "half a line stays there", 0, true, "No space left on device" },
};

static void break_disk(struct fixture *fixture, size_t i)
{
    fixture->disk.fail_kind[DISK_TRUNCATE] = failures[i].no_truncate ? EIO : 0;
    if (failures[i].error != 0) {
        fixture->disk.fail_kind[DISK_WRITE] = failures[i].error;
    } else {
        fixture->disk.space = 400;
    }
}

static void each_failure_stops_what_would_have_to_be_recorded(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(failures); i++) {
        struct fixture *fixture;
        struct hf_audit_report report;
        HF_AUTO(buf) before = NULL;
        HF_AUTO(buf) after = NULL;
        HF_AUTO_STRING resumed = NULL;

        assert_int_equal(fixture_new((void **)&fixture), 0);
        fixture_open(fixture);
        fixture_fill(fixture, 2);
        before = fixture_read(fixture, "audit.log");
        break_disk(fixture, i);

        assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 90));
        assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 91));
        assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
        assert_health(fixture, 2, true);
        assert_fails(&fixture->op, fixture_append(fixture, &fixture->op, 92), HF_NO_SPACE);
        assert_non_null(strstr(fixture->op.text, failures[i].reason));
        assert_fails(&fixture->op, fixture_note(fixture, 5), HF_NO_SPACE);
        assert_health(fixture, 3, true);
        /* What was refused has been told; there is nothing more to refuse. */
        assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
        after = fixture_read(fixture, "audit.log");
        if (!failures[i].no_truncate &&
            !hf_bytes_equal(hf_buf_bytes(before), hf_buf_bytes(after))) {
            fail_msg("%s: the file has changed", failures[i].says);
        }

        mend(fixture);
        assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
        assert_health(fixture, 3, false);
        fixture_fill(fixture, 1);
        assert_ok(&fixture->op, fixture_note(fixture, 5));
        fixture_close(fixture);
        fixture_assert_whole(fixture, &report);
        if (report.lost != 3 || report.notes != 1 || report.repairs != 0) {
            fail_msg("%s: lost %" PRIu64 ", notes %" PRIu64 ", repairs %" PRIu64, failures[i].says,
                     report.lost, report.notes, report.repairs);
        }
        resumed = hf_format("\"operation\":\"audit.resumed\",\"lost\":3,"
                            "\"since\":\"2026-11-21T23:31:00.123Z\",\"reason\":\"%s\","
                            "\"detail\":\"operations that could not be recorded were refused\"",
                            failures[i].reason);
        assert_int_equal(fixture_count(fixture, resumed), 1);
        assert_int_equal(fixture_count(fixture, "user-9"), 0);
        assert_int_equal(fixture_free((void **)&fixture), 0);
    }
}

static void where_it_is_to_go_on_lines_are_lost_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture->settings.when_full = HF_AUDIT_FULL_GO_ON;
    fixture_open(fixture);
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, i));
        assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    }
    assert_health(fixture, 3, true);
    mend(fixture);
    fixture_fill(fixture, 1); /* still without a place: the write that follows finds the space */
    assert_health(fixture, 4, false);
    fixture_fill(fixture, 1);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 4);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), 1);
    assert_int_equal(fixture_count(fixture, "operations went on without being recorded"), 1);
}

static void what_must_be_on_the_disk_is_refused_also_where_the_rest_goes_on(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(buf) line = hf_buf_new();

    fixture->settings.when_full = HF_AUDIT_FULL_GO_ON;
    fixture_open(fixture);
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 1));
    assert_fails(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op), HF_NO_SPACE);
    /* Full already: the append finds no place, and the sync must know that. */
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 2));
    assert_fails(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op), HF_NO_SPACE);
    assert_fails(&fixture->op, hf_audit_checkpoint(fixture->audit, &fixture->op, line),
                 HF_NO_SPACE);
    assert_int_equal(line->len, 0);
    mend(fixture);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 3));
    assert_ok(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op));
}

static void a_control_note_is_never_lost(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture->settings.when_full = HF_AUDIT_FULL_GO_ON;
    fixture_open(fixture);
    assert_ok(&fixture->op, fixture_note(fixture, 1));
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    assert_ok(&fixture->op, fixture_note(fixture, 2));
    assert_ok(&fixture->op, fixture_note(fixture, 3));
    assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
    assert_int_equal(hf_audit_last_note(fixture->audit), 1);
    assert_health(fixture, 0, true);
    assert_fails(&fixture->op, fixture_note(fixture, 2), HF_NO_SPACE);
    mend(fixture);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_ok(&fixture->op, fixture_note(fixture, 2));
    assert_ok(&fixture->op, fixture_note(fixture, 3));
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.notes, 3);
    assert_int_equal(report.lost, 0);
}

static void a_full_disk_is_tried_again_only_now_and_then(void **state)
{
    struct fixture *fixture = *state;
    unsigned calls;

    fixture_open(fixture);
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 1));
    assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
    calls = fixture->disk.counts[DISK_WRITE];
    for (unsigned i = 0; i < 100; i++) {
        assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    }
    assert_int_equal(fixture->disk.counts[DISK_WRITE], calls);
    fixture->env.boottime_ms += HF_AUDIT_RETRY_MS;
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_int_equal(fixture->disk.counts[DISK_WRITE], calls + 1);
}

static bool is_not_full(struct fixture *fixture)
{
    uint64_t lost;
    bool full;

    hf_audit_health(fixture->audit, &lost, &full);
    return !full;
}

static void what_is_lost_at_one_time_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    for (unsigned times = 1; times <= 3; times++) {
        fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
        for (unsigned i = 0; i < times; i++) {
            assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, i));
        }
        assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
        mend(fixture);
        assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    }
    assert_health(fixture, 6, false);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 6);
    assert_int_equal(fixture_count(fixture, "\"lost\":2,\"since\":\"2026-11-21T23:32:00.123Z\""),
                     1);
}

static void the_trail_goes_on_by_itself_when_there_is_space(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 1));
    assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
    mend(fixture);
    fixture_wait_until(is_not_full, fixture);
    fixture_fill(fixture, 1);
}

static void after_a_failed_sync_everything_goes_to_the_disk_again(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    unsigned writes;

    fixture_open(fixture);
    fixture_fill(fixture, 3);
    fixture->disk.fail_kind[DISK_SYNC] = EIO;
    assert_fails(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op), HF_NO_SPACE);
    assert_health(fixture, 0, true);
    assert_fails(&fixture->op, fixture_append(fixture, &fixture->op, 1), HF_NO_SPACE);
    /* Although a second fsync would succeed, the lines before may not be there. */
    fixture->disk.fail_kind[DISK_SYNC] = 0;
    assert_fails(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op), HF_NO_SPACE);
    writes = fixture->disk.counts[DISK_WRITE];
    mend(fixture);
    assert_ok(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op));
    assert_int_equal(fixture->disk.counts[DISK_WRITE], writes + 2); /* three lines, and resumed */
    assert_health(fixture, 1, false);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), 3);
}

static void a_trail_is_opened_on_a_full_disk_and_refuses(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    fixture_fill(fixture, 2);
    fixture_close(fixture);
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    fixture_open(fixture);
    assert_health(fixture, 0, true);
    assert_fails(&fixture->op, fixture_append(fixture, &fixture->op, 1), HF_NO_SPACE);
    mend(fixture);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    fixture_fill(fixture, 1);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 1);
}

static void a_new_trail_is_not_started_on_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit *audit;

    fixture->disk.space = 500;
    assert_fails(&fixture->op,
                 hf_audit_open_on(fixture_crypto, &fixture->op, &fixture->settings,
                                  &fixture->disk.disk, &audit),
                 HF_NO_SPACE);
    assert_false(fixture_has(fixture, "audit.log"));
    fixture->disk.space = UINT64_MAX;
    fixture_open(fixture);
}

static void short_writes_are_continued(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture->disk.short_writes = true;
    fixture_open(fixture);
    fixture_fill(fixture, 20);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), 20);
}

static const struct {
    const char *says;
    enum disk_call call;
    enum hf_code code;
    bool full; /* afterwards */
} rotations[] = {
    { "the next file cannot be made", DISK_CREATE, HF_NO_SPACE, false },
    { "the files cannot be renamed", DISK_RENAME, HF_NO_SPACE, false },
    { "the old file cannot be synced", DISK_SYNC, HF_NO_SPACE, true },
    { "the old file cannot be ended", DISK_WRITE, HF_NO_SPACE, true },
    { "the directory cannot be synced", DISK_SYNC_DIRECTORY, HF_OK, true },
};

static void a_change_of_files_that_fails_leaves_a_whole_trail(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(rotations); i++) {
        struct fixture *fixture;
        struct hf_audit_report report;
        enum hf_code code;

        assert_int_equal(fixture_new((void **)&fixture), 0);
        fixture_open(fixture);
        fixture_fill(fixture, 2);
        fixture->disk.fail_kind[rotations[i].call] = ENOSPC;
        hf_audit_lock(fixture->audit);
        code = hf_audit_rotate_locked(fixture->audit, &fixture->op).code;
        hf_audit_unlock(fixture->audit);
        if (code != rotations[i].code || fixture->audit->full != rotations[i].full) {
            fail_msg("%s: got %s, full %d", rotations[i].says, hf_code_name(code),
                     fixture->audit->full);
        }
        mend(fixture);
        assert_ok(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op));
        fixture_fill(fixture, 2);
        hf_audit_lock(fixture->audit);
        assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
        hf_audit_unlock(fixture->audit);
        fixture_close(fixture);
        fixture_assert_whole(fixture, &report);
        assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), 4);
        assert_int_equal(fixture_free((void **)&fixture), 0);
    }
}

static void a_file_that_cannot_get_its_name_back_is_written_under_its_number(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    hf_audit_lock(fixture->audit);
    fixture->disk.calls = 0;
    fixture->disk.fail_from = 7; /* after write, sync, create, write, sync, and one rename */
    fixture->disk.fail_to = 8;
    assert_fails(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op), HF_NO_SPACE);
    hf_audit_unlock(fixture->audit);
    assert_false(fixture_has(fixture, "audit.log"));
    mend(fixture);
    fixture_fill(fixture, 2);
    fixture_assert_whole(fixture, &report);
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    hf_audit_unlock(fixture->audit);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.files, 3);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), 2);
}

/* --- the n-th call fails, for every n --- */

#define STEPS 40U

/* What the caller was told of each event. */
struct told {
    bool written[STEPS];
    bool synced[STEPS];
};

/* Single events, batches, notes, syncs, checkpoints and changes of files; all may fail. */
static void use_trail(struct fixture *fixture, struct told *told)
{
    struct hf_op *op = &fixture->op;
    unsigned first = 0;

    for (unsigned i = 0; i < STEPS; i++) {
        bool appended = fixture_append(fixture, op, i).code == HF_OK;

        told->written[i] = appended;
        if (i % 3 == 2) {
            bool sync = i % 2 == 0;
            bool ok =
                (sync ? hf_audit_sync(fixture->audit, op) : hf_audit_write(fixture->audit, op))
                    .code == HF_OK;

            for (; first <= i; first++) {
                told->written[first] = told->written[first] && ok;
                told->synced[first] = told->written[first] && sync;
            }
        }
        if (i % 7 == 3) {
            (void)fixture_note(fixture, hf_audit_last_note(fixture->audit) + 1).code;
        }
        if (i == 15 || i == 16 || i == 30) {
            hf_audit_lock(fixture->audit);
            (void)hf_audit_rotate_locked(fixture->audit, op).code;
            hf_audit_unlock(fixture->audit);
        }
        fixture->env.boottime_ms += HF_AUDIT_RETRY_MS;
    }
    for (; first < STEPS; first++) {
        told->written[first] = false; /* never asked */
    }
}

static unsigned times_recorded(struct fixture *fixture, unsigned number)
{
    HF_AUTO_STRING caller = hf_format("pseudo:user-%u-\"", number);

    return fixture_count(fixture, caller);
}

/* Runs the scenario with calls n to m failing; false when there are not that many calls. */
static bool run_with_failures(unsigned from, unsigned to, int error, bool killed)
{
    struct fixture *fixture;
    struct hf_audit_report report;
    struct told told = { 0 };
    bool reached;

    assert_int_equal(fixture_new((void **)&fixture), 0);
    fixture_open(fixture);
    fixture->disk.calls = 0;
    fixture->disk.fail_errno = error;
    fixture->disk.fail_to = to;
    fixture->disk.fail_from = from;
    fixture->disk.short_writes = from % 2 == 0;
    use_trail(fixture, &told);
    reached = fixture->disk.calls >= from;
    if (killed) {
        fixture_kill(fixture);
        fixture_open(fixture);
    }
    mend(fixture);
    fixture_close(fixture);
    if (fixture_verify(fixture, NULL, &report).code != HF_OK) {
        fail_msg("calls %u to %u, %s: %s", from, to, killed ? "killed" : "mended",
                 fixture->op.text);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned times = times_recorded(fixture, i);

        if (times > 1 || (told.written[i] && times != 1)) {
            fail_msg("calls %u to %u: event %u is told as %s and stands there %u times", from, to,
                     i, told.written[i] ? "written" : "refused", times);
        }
    }
    assert_int_equal(fixture_free((void **)&fixture), 0);
    return reached;
}

static void whichever_call_fails_the_trail_is_whole_and_has_what_was_promised(void **unused)
{
    unsigned n = 1;

    (void)unused;
    while (run_with_failures(n, n, EIO, false)) {
        assert_true(run_with_failures(n, n + 2, ENOSPC, false));
        n++;
    }
    assert_true(n > 50);
}

static void whenever_the_process_dies_the_trail_is_whole_and_has_what_was_promised(void **unused)
{
    unsigned n = 1;

    (void)unused;
    while (run_with_failures(n, UINT32_MAX, EIO, true)) {
        n++;
    }
    assert_true(n > 50);
}

/* --- real limits --- */

/* Appends until it is refused; the number of events that were taken. */
static unsigned append_until_full(struct fixture *fixture)
{
    for (unsigned i = 0; i < 100000; i++) {
        if (fixture_append(fixture, &fixture->op, i).code != HF_OK ||
            hf_audit_write(fixture->audit, &fixture->op).code != HF_OK) {
            return i;
        }
    }
    fail_msg("nothing was refused");
    return 0;
}

static void a_limit_on_the_size_of_files_is_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    struct rlimit before;
    struct rlimit limit;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    unsigned taken;

    fixture->settings.max_file_bytes = 1 << 30;
    fixture_open(fixture);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){ .rlim_cur = 20000, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    taken = append_until_full(fixture);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_health(fixture, 1, true);
    assert_true(taken > 10);
    mend(fixture);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    fixture_fill(fixture, 1);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 1);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), taken + 1);
    (void)signal(SIGXFSZ, handler);
}

/* A file system of 64 KiB over the fixture's directory, seen by this process alone. */
static bool mount_small(struct fixture *fixture)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", fixture->directory, "tmpfs", 0, "size=64k") == 0;
}

static void a_file_system_that_is_full_stops_the_trail_until_there_is_space(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO_STRING ballast = hf_format("%s/ballast", fixture->directory);
    uint8_t zeros[8192] = { 0 };
    unsigned taken;

    if (!mount_small(fixture)) {
        print_message("not run: a file system cannot be mounted here: %s\n",
                      strerrordesc_np(errno));
        skip();
    }
    fixture_replace(fixture, "ballast", hf_bytes_of(zeros, sizeof zeros));
    fixture_open(fixture);
    taken = append_until_full(fixture);
    assert_non_null(strstr(fixture->op.text, "No space left on device"));
    assert_health(fixture, 1, true);
    assert_int_equal(unlink(ballast), 0);
    mend(fixture);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_health(fixture, 1, false);
    fixture_fill(fixture, 3);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 1);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), taken + 3);
    assert_int_equal(umount(fixture->directory), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_stops_what_would_have_to_be_recorded),
        TEST(where_it_is_to_go_on_lines_are_lost_and_counted),
        TEST(what_must_be_on_the_disk_is_refused_also_where_the_rest_goes_on),
        TEST(a_control_note_is_never_lost),
        TEST(a_full_disk_is_tried_again_only_now_and_then),
        TEST(what_is_lost_at_one_time_is_told_once),
        TEST(the_trail_goes_on_by_itself_when_there_is_space),
        TEST(after_a_failed_sync_everything_goes_to_the_disk_again),
        TEST(a_trail_is_opened_on_a_full_disk_and_refuses),
        TEST(a_new_trail_is_not_started_on_a_full_disk),
        TEST(short_writes_are_continued),
        cmocka_unit_test(a_change_of_files_that_fails_leaves_a_whole_trail),
        cmocka_unit_test(whichever_call_fails_the_trail_is_whole_and_has_what_was_promised),
        cmocka_unit_test(whenever_the_process_dies_the_trail_is_whole_and_has_what_was_promised),
        TEST(a_file_that_cannot_get_its_name_back_is_written_under_its_number),
        TEST(a_limit_on_the_size_of_files_is_a_full_disk),
        TEST(a_file_system_that_is_full_stops_the_trail_until_there_is_space),
    };

    return cmocka_run_group_tests_name("audit on bad disks", tests, fixture_start, fixture_stop);
}
