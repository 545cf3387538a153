/* The trail in ordinary times: appending, notes, reopening, rotation, crashes. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fixture.h"

static void a_trail_starts_with_its_own_line_and_ends_with_a_checkpoint(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    struct stat about;
    HF_AUTO_STRING path = hf_format("%s/audit.log", fixture->directory);

    fixture_open(fixture);
    fixture_fill(fixture, 3);
    fixture_close(fixture);

    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.files, 1);
    assert_int_equal(report.lines, 6); /* start, checkpoint, three events, checkpoint */
    assert_int_equal(report.checkpoints, 2);
    assert_int_equal(report.last_line, 6);
    assert_int_equal(report.lines_after_checkpoint, 0);
    assert_int_equal(report.first_ms, 1795303860123U);
    assert_int_equal(report.last_ms, 1795303860123U);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void a_line_is_with_the_kernel_once_write_returns(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 7));
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_int_equal(fixture_count(fixture, "user-7-"), 1);
}

static void sync_returns_after_the_file_was_synced(void **state)
{
    struct fixture *fixture = *state;
    unsigned before;

    fixture_open(fixture);
    before = fixture->disk.counts[DISK_SYNC];
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 1));
    assert_ok(&fixture->op, hf_audit_sync(fixture->audit, &fixture->op));
    assert_true(fixture->disk.counts[DISK_SYNC] > before);
    assert_int_equal(fixture_count(fixture, "user-1-"), 1);
}

static bool background_has_synced(struct fixture *fixture)
{
    return fixture->disk.counts[DISK_SYNC] >= 3;
}

static void what_was_written_is_synced_within_a_second_or_so(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture); /* syncs the new file twice */
    assert_int_equal(fixture->disk.counts[DISK_SYNC], 2);
    fixture_fill(fixture, 1);
    fixture_wait_until(background_has_synced, fixture);
}

static void a_note_that_is_there_already_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    assert_int_equal(hf_audit_last_note(fixture->audit), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(&fixture->op, fixture_note(fixture, 4));
        assert_ok(&fixture->op, fixture_note(fixture, 9));
    }
    assert_int_equal(hf_audit_last_note(fixture->audit), 9);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.notes, 2);
    assert_int_equal(fixture_count(fixture, "\"t\":\"2026-11-21T23:31:00.456Z\""), 2);
}

static void the_last_note_is_known_after_reopening(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    assert_ok(&fixture->op, fixture_note(fixture, 17));
    fixture_fill(fixture, 20);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(hf_audit_last_note(fixture->audit), 17);
}

static void the_last_note_is_known_when_it_stands_in_an_older_file(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    assert_ok(&fixture->op, fixture_note(fixture, 17));
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    hf_audit_unlock(fixture->audit);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(hf_audit_last_note(fixture->audit), 17);
    assert_ok(&fixture->op, fixture_note(fixture, 17));
    assert_ok(&fixture->op, fixture_note(fixture, 18));
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.notes, 2);
    assert_int_equal(report.files, 3);
}

static const struct {
    const char *says;
    const char *note;
    enum hf_code code;
} notes[] = {
    { "an object is taken", "{\"operation\":\"key.create\"}", HF_OK },
    { "an empty object is taken", "{}", HF_OK },
    { "objects within are taken", "{\"operation\":\"x\",\"more\":{\"seq\":5}}", HF_OK },
    { "a newline would end the line", "{\"operation\":\n\"x\"}", HF_INVALID },
    { "space around it", " {\"operation\":\"x\"}", HF_INVALID },
    { "half an object", "{\"operation\":\"x\"", HF_INVALID },
    { "two objects", "{\"operation\":\"x\"},{}", HF_INVALID },
    { "no object", "[1]", HF_INVALID },
    { "nothing", "", HF_INVALID },
    { "a number of its own", "{\"n\":1}", HF_INVALID },
    { "a date of its own", "{\"t\":1}", HF_INVALID },
    { "a node of its own", "{\"node\":\"x\"}", HF_INVALID },
    { "a hash of its own", "{\"h\":\"x\"}", HF_INVALID },
    { "a seq of its own", "{\"seq\":1}", HF_INVALID },
    { "an operation of the trail's", "{\"operation\":\"audit.resumed\"}", HF_INVALID },
};

static void a_note_cannot_break_the_line_it_stands_in(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    uint64_t taken = 0;

    fixture_open(fixture);
    for (size_t i = 0; i < HF_COUNT(notes); i++) {
        struct hf_status status = hf_audit_append_note(fixture->audit, &fixture->op, i + 1, 0,
                                                       hf_bytes_of_text(notes[i].note));

        if (status.code != notes[i].code) {
            fail_msg("%s: got %s", notes[i].says, hf_code_name(status.code));
        }
        taken += status.code == HF_OK ? 1 : 0;
    }
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.notes, taken);
}

static void a_note_of_any_size_is_taken_or_refused_but_never_cut(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(buf) note = hf_buf_new();
    struct hf_audit_report report;

    fixture_open(fixture);
    hf_buf_add_text(note, "{\"x\":\"");
    while (note->len < HF_AUDIT_NOTE_MAX - 2) {
        hf_buf_add_text(note, "y");
    }
    hf_buf_add_text(note, "\"}");
    assert_ok(&fixture->op,
              hf_audit_append_note(fixture->audit, &fixture->op, 1, 0, hf_buf_bytes(note)));
    hf_buf_add_text(note, " ");
    assert_fails(&fixture->op,
                 hf_audit_append_note(fixture->audit, &fixture->op, 2, 0, hf_buf_bytes(note)),
                 HF_TOO_LARGE);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.notes, 1);
}

static void texts_of_any_length_and_content_leave_the_trail_whole(void **state)
{
    struct fixture *fixture = *state;
    char text[5000];
    const struct hf_audit_event event = {
        .operation = text,
        .outcome = text,
        .caller = text,
        .on_behalf_of = text,
        .address = text,
        .door = text,
        .keyring = text,
        .key = text,
        .cause = text,
        .detail = text,
    };
    struct hf_audit_report report;

    fixture_open(fixture);
    for (unsigned c = 1; c < 256; c++) {
        memset(text, (int)c, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_ok(&fixture->op, hf_audit_append(fixture->audit, &fixture->op, &event));
        text[c % 7] = '\0';
        assert_ok(&fixture->op, hf_audit_append(fixture->audit, &fixture->op, &event));
    }
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_true(report.lines > 510);
}

static void the_chain_goes_on_after_reopening(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    for (unsigned i = 0; i < 5; i++) {
        fixture_open(fixture);
        fixture_fill(fixture, 11 * i);
        fixture_close(fixture);
    }
    fixture_assert_whole(fixture, &report);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), 110);
    assert_int_equal(fixture_count(fixture, "\"audit.start\""), 1);
}

static void no_more_lines_than_agreed_lie_between_checkpoints(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) content = NULL;
    unsigned since = 0;

    fixture_open(fixture);
    fixture_fill(fixture, 100);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    content = fixture_read(fixture, "audit.log");
    for (unsigned i = 2; i <= report.lines; i++) {
        struct hf_bytes line = fixture_line(hf_buf_bytes(content), i);

        since = memmem(line.data, line.len, "audit.checkpoint", 16) != NULL ? 0 : since + 1;
        assert_true(since < fixture->settings.checkpoint_every);
    }
}

static bool has_third_file(struct fixture *fixture)
{
    return fixture_has(fixture, "audit.log.2");
}

static void a_full_file_is_followed_by_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    unsigned lines = 0;

    fixture->settings.max_file_bytes = 4096;
    fixture_open(fixture);
    while (!has_third_file(fixture)) {
        fixture_fill(fixture, 10);
        lines += 10;
        /* The background thread changes files; it gets its turn without being waited for. */
        assert_true(lines < 1000000);
    }
    fixture_fill(fixture, 1);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_true(report.files >= 3);
    assert_int_equal(fixture_count(fixture, "hadoop.decrypt"), lines + 1);
    assert_false(fixture_has(fixture, "audit.log.new"));
}

static void an_older_file_keeps_its_name(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(buf) before = NULL;
    HF_AUTO(buf) after = NULL;

    fixture_open(fixture);
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    before = fixture_read(fixture, "audit.log.1");
    assert_non_null(before);
    for (unsigned i = 0; i < 11; i++) {
        assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    }
    hf_audit_unlock(fixture->audit);
    after = fixture_read(fixture, "audit.log.1");
    assert_true(hf_bytes_equal(hf_buf_bytes(before), hf_buf_bytes(after)));
    assert_true(fixture_has(fixture, "audit.log.12"));
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture->audit->file_number, 13);
}

static void files_that_are_none_of_the_trail_do_not_matter(void **state)
{
    static const char *const names[] = { "audit.log.7~",  "audit.log.007", "audit.log.3.gz",
                                         "audit.log.-1",  "audit.log.",    "audit.log.0",
                                         "audit.log.bak", "xaudit.log.5",  "audit.log. 5" };
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    for (size_t i = 0; i < HF_COUNT(names); i++) {
        fixture_replace(fixture, names[i], hf_bytes_of_text("something else\n"));
    }
    fixture_open(fixture);
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    hf_audit_unlock(fixture->audit);
    fixture_close(fixture);
    fixture_open(fixture);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.files, 2);
}

static void a_torn_line_is_cut_off_and_that_is_recorded(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) content = NULL;
    struct hf_bytes line;

    fixture_open(fixture);
    fixture_fill(fixture, 2);
    fixture_close(fixture);
    content = fixture_read(fixture, "audit.log");
    line = fixture_line(hf_buf_bytes(content), 4);
    for (size_t torn = 1; torn < line.len; torn += 13) {
        HF_AUTO_STRING cut = hf_format("\"bytes_cut\":%zu,", torn);

        fixture_replace(fixture, "audit.log",
                        hf_bytes_of(content->data, (size_t)(line.data - content->data) + torn));
        fixture_open(fixture);
        fixture_close(fixture);
        fixture_assert_whole(fixture, &report);
        assert_int_equal(report.repairs, 1);
        assert_int_equal(fixture_count(fixture, cut), 1);
    }
}

static void a_long_end_of_zero_bytes_is_cut_off_too(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) content = NULL;
    size_t zeros = 3 * HF_AUDIT_LINE_MAX + 5;

    fixture_open(fixture);
    fixture_fill(fixture, 2);
    fixture_close(fixture);
    content = fixture_read(fixture, "audit.log");
    memset(hf_buf_reserve(content, zeros), 0, zeros);
    hf_buf_grew(content, zeros);
    fixture_replace(fixture, "audit.log", hf_buf_bytes(content));
    fixture_open(fixture);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.repairs, 1);
}

static void a_broken_chain_is_not_opened(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit *audit;
    HF_AUTO(buf) content = NULL;
    struct hf_bytes line;

    fixture_open(fixture);
    fixture_fill(fixture, 5);
    fixture_close(fixture);
    content = fixture_read(fixture, "audit.log");
    line = fixture_line(hf_buf_bytes(content), 4);
    content->data[(size_t)(line.data - content->data) + 60] ^= 1;
    fixture_replace(fixture, "audit.log", hf_buf_bytes(content));
    assert_fails(&fixture->op,
                 hf_audit_open(fixture_crypto, &fixture->op, &fixture->settings, &audit),
                 HF_CORRUPT);
    assert_non_null(strstr(fixture->op.text, "line 4"));
    fixture_replace(fixture, "audit.log", HF_BYTES_NONE);
    assert_fails(&fixture->op,
                 hf_audit_open(fixture_crypto, &fixture->op, &fixture->settings, &audit),
                 HF_CORRUPT);
}

static void an_old_file_in_the_place_of_the_newest_is_not_opened(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit *audit;
    HF_AUTO(buf) content = NULL;

    fixture_open(fixture);
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    hf_audit_unlock(fixture->audit);
    fixture_close(fixture);
    content = fixture_read(fixture, "audit.log.1");
    fixture_replace(fixture, "audit.log", hf_buf_bytes(content));
    assert_fails(&fixture->op,
                 hf_audit_open(fixture_crypto, &fixture->op, &fixture->settings, &audit),
                 HF_CORRUPT);
}

static void only_one_process_writes_a_trail(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit *second;

    fixture_open(fixture);
    assert_fails(&fixture->op,
                 hf_audit_open(fixture_crypto, &fixture->op, &fixture->settings, &second),
                 HF_WRONG_STATE);
    fixture_close(fixture);
    assert_ok(&fixture->op,
              hf_audit_open(fixture_crypto, &fixture->op, &fixture->settings, &second));
    hf_audit_free(second);
}

static void the_signer_must_be_an_ed25519_key(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(pkey) other = NULL;
    struct hf_audit *audit;

    assert_ok(&fixture->op, hf_pkey_generate(fixture_crypto, &fixture->op, HF_PKEY_P256, &other));
    fixture->settings.signer = other;
    assert_fails(&fixture->op,
                 hf_audit_open(fixture_crypto, &fixture->op, &fixture->settings, &audit),
                 HF_INVALID);
}

/* A crash between the two renames of a change of files. */
static void a_change_of_files_that_was_cut_short_is_taken_back(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO_STRING current = hf_format("%s/audit.log", fixture->directory);
    HF_AUTO_STRING older = hf_format("%s/audit.log.1", fixture->directory);

    fixture_open(fixture);
    assert_ok(&fixture->op, fixture_note(fixture, 5));
    fixture_close(fixture);
    assert_int_equal(rename(current, older), 0);
    fixture_replace(fixture, "audit.log.new", hf_bytes_of_text("half a li"));
    fixture_assert_whole(fixture, &report);
    fixture_open(fixture);
    assert_int_equal(hf_audit_last_note(fixture->audit), 5);
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    hf_audit_unlock(fixture->audit);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.files, 2);
    assert_int_equal(report.notes, 1);
}

static void a_checkpoint_gives_the_line_that_stands_in_the_file(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) line = hf_buf_new();

    fixture_open(fixture);
    fixture_fill(fixture, 2);
    assert_ok(&fixture->op, hf_audit_checkpoint(fixture->audit, &fixture->op, line));
    assert_null(memchr(line->data, '\n', line->len));
    assert_int_equal(fixture_count(fixture, hf_buf_text(line)), 1);
    fixture_fill(fixture, 2);
    fixture_close(fixture);
    assert_ok(&fixture->op, fixture_verify(fixture, hf_buf_text(line), &report));
    assert_true(report.anchored);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)
    const struct CMUnitTest tests[] = {
        TEST(a_trail_starts_with_its_own_line_and_ends_with_a_checkpoint),
        TEST(a_line_is_with_the_kernel_once_write_returns),
        TEST(sync_returns_after_the_file_was_synced),
        TEST(what_was_written_is_synced_within_a_second_or_so),
        TEST(a_note_that_is_there_already_is_passed_over),
        TEST(the_last_note_is_known_after_reopening),
        TEST(the_last_note_is_known_when_it_stands_in_an_older_file),
        TEST(a_note_cannot_break_the_line_it_stands_in),
        TEST(a_note_of_any_size_is_taken_or_refused_but_never_cut),
        TEST(texts_of_any_length_and_content_leave_the_trail_whole),
        TEST(the_chain_goes_on_after_reopening),
        TEST(no_more_lines_than_agreed_lie_between_checkpoints),
        TEST(a_full_file_is_followed_by_the_next),
        TEST(an_older_file_keeps_its_name),
        TEST(files_that_are_none_of_the_trail_do_not_matter),
        TEST(a_torn_line_is_cut_off_and_that_is_recorded),
        TEST(a_long_end_of_zero_bytes_is_cut_off_too),
        TEST(a_broken_chain_is_not_opened),
        TEST(an_old_file_in_the_place_of_the_newest_is_not_opened),
        TEST(only_one_process_writes_a_trail),
        TEST(the_signer_must_be_an_ed25519_key),
        TEST(a_change_of_files_that_was_cut_short_is_taken_back),
        TEST(a_checkpoint_gives_the_line_that_stands_in_the_file),
    };

    return cmocka_run_group_tests_name("audit trail", tests, fixture_start, fixture_stop);
}
