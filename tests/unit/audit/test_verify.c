/* Verification: every byte counts, what is given to it, and what it reports. */
#include <inttypes.h>
#include <unistd.h>

#include "attack.h"
#include "base/alloc.h"

/* --- every byte --- */

/* The number of the line in which the byte stands. */
static uint64_t line_of(const struct hf_buf *content, size_t at, uint64_t first)
{
    for (size_t i = 0; i < at; i++) {
        first += content->data[i] == '\n' ? 1 : 0;
    }
    return first;
}

static void change_each_byte(struct fixture *fixture, const char *name, uint64_t first_line,
                             uint8_t flip)
{
    HF_AUTO(buf) content = fixture_read(fixture, name);
    struct hf_audit_report report;

    for (size_t at = 0; at < content->len; at++) {
        uint8_t was = content->data[at];
        uint64_t line = line_of(content, at, first_line);

        content->data[at] = flip != 0 ? was ^ flip : (was == '\n' ? 'x' : '\n');
        fixture_replace(fixture, name, hf_buf_bytes(content));
        if (fixture_verify(fixture, NULL, &report).code != HF_CORRUPT ||
            strcmp(report.problem_file, name) != 0 || report.problem_line != line) {
            fail_msg("byte %zu of %s, line %" PRIu64 ": found %s, line %" PRIu64 ": %s", at, name,
                     line, report.problem_file, report.problem_line, report.problem);
        }
        content->data[at] = was;
    }
    fixture_replace(fixture, name, hf_buf_bytes(content));
}

static void every_change_of_one_byte_is_found_in_its_line(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    fixture_fill(fixture, 1);
    assert_ok(&fixture->op, fixture_note(fixture, 1));
    hf_audit_lock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_rotate_locked(fixture->audit, &fixture->op));
    hf_audit_unlock(fixture->audit);
    fixture_fill(fixture, 1);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    change_each_byte(fixture, "audit.log.1", 1, 0x01);
    change_each_byte(fixture, "audit.log", 6, 0x20);
    change_each_byte(fixture, "audit.log", 6, 0);
    fixture_assert_whole(fixture, &report);
}

static void every_removal_of_one_byte_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) content = NULL;

    fixture_open(fixture);
    fixture_fill(fixture, 1);
    fixture_close(fixture);
    content = fixture_read(fixture, "audit.log");
    for (size_t at = 0; at < content->len; at++) {
        HF_AUTO(buf) shorter = hf_buf_new();

        hf_buf_add(shorter, content->data, at);
        hf_buf_add(shorter, content->data + at + 1, content->len - at - 1);
        fixture_replace(fixture, "audit.log", hf_buf_bytes(shorter));
        if (fixture_verify(fixture, NULL, &report).code != HF_CORRUPT ||
            report.problem_line != line_of(content, at, 1)) {
            fail_msg("removing byte %zu: found line %" PRIu64 ": %s", at, report.problem_line,
                     report.problem);
        }
    }
}

/* --- what is given to verify --- */

static void an_anchor_must_be_a_checkpoint_that_the_key_has_signed(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();
    HF_AUTO(buf) content = NULL;
    struct hf_bytes event;

    attack_make_trail(fixture, anchor);
    content = fixture_read(fixture, "audit.log");
    event = fixture_line(hf_buf_bytes(content), 3);
    ((uint8_t *)content->data)[(size_t)(event.data - content->data) + event.len - 1] = '\0';
    assert_fails(&fixture->op, fixture_verify(fixture, (const char *)event.data, &report),
                 HF_INVALID);
    assert_fails(&fixture->op, fixture_verify(fixture, "no line at all", &report), HF_INVALID);
    for (size_t at = 0; at < anchor->len; at++) {
        uint8_t was = anchor->data[at];

        anchor->data[at] = was ^ 1;
        if (fixture_verify(fixture, hf_buf_text(anchor), &report).code != HF_INVALID) {
            fail_msg("an anchor with byte %zu changed is taken", at);
        }
        anchor->data[at] = was;
    }
    hf_buf_add_text(anchor, "\r\n");
    assert_ok(&fixture->op, fixture_verify(fixture, hf_buf_text(anchor), &report));
}

static void an_anchor_that_somebody_made_without_the_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    struct hf_audit_line line;
    struct hf_audit_members members;
    HF_AUTO(buf) anchor = hf_buf_new();
    uint8_t hash[HF_SHA256_LEN];

    /* Its date is another one, and its hash is right. */
    attack_make_trail(fixture, anchor);
    attack_replace_in(anchor, "2026-11-21", "2025-11-21");
    assert_ok(&fixture->op, hf_audit_line_parse(&fixture->op, hf_buf_bytes(anchor), &line));
    assert_ok(&fixture->op, hf_audit_members_parse(&fixture->op, &line, &members));
    assert_ok(&fixture->op,
              hf_audit_link(fixture_crypto, &fixture->op, members.previous, line.chained, hash));
    attack_put_hash(anchor, ",\"h\":\"", hash);
    assert_fails(&fixture->op, fixture_verify(fixture, hf_buf_text(anchor), &report), HF_INVALID);
    assert_non_null(strstr(fixture->op.text, "not signed by the key"));
}

static void another_key_or_no_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(pkey) other = fixture_other_key();
    HF_AUTO(pkey) p256 = NULL;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();

    attack_make_trail(fixture, anchor);
    hf_buf_clear(&fixture->public_key);
    assert_ok(&fixture->op, hf_pkey_public(other, &fixture->op, &fixture->public_key));
    assert_fails(&fixture->op, fixture_verify(fixture, NULL, &report), HF_CORRUPT);
    assert_non_null(strstr(report.problem, "another key"));
    assert_int_equal(report.problem_line, 2);

    hf_buf_clear(&fixture->public_key);
    assert_ok(&fixture->op, hf_pkey_generate(fixture_crypto, &fixture->op, HF_PKEY_P256, &p256));
    assert_ok(&fixture->op, hf_pkey_public(p256, &fixture->op, &fixture->public_key));
    assert_fails(&fixture->op, fixture_verify(fixture, NULL, &report), HF_INVALID);
}

static void a_directory_without_trail_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    assert_fails(&fixture->op, fixture_verify(fixture, NULL, &report), HF_NOT_FOUND);
    assert_fails(&fixture->op,
                 hf_audit_verify(fixture_crypto, &fixture->op, "/no/such/directory",
                                 hf_buf_bytes(&fixture->public_key), HF_BYTES_NONE, &report),
                 HF_NOT_FOUND);
}

static struct hf_status verify_part(struct fixture *fixture, struct hf_audit_report *report)
{
    return hf_audit_verify_part(fixture_crypto, &fixture->op, fixture->directory,
                                hf_buf_bytes(&fixture->public_key), HF_BYTES_NONE, report);
}

static void a_part_of_a_trail_is_checked_alone_when_that_is_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();
    HF_AUTO(buf) text = hf_buf_new();

    attack_make_trail(fixture, anchor);
    fixture_remove(fixture, "audit.log.1");
    assert_ok(&fixture->op, verify_part(fixture, &report));
    assert_int_equal(report.first_file, 2);
    assert_int_equal(report.first_line, 8);
    assert_int_equal(report.lines, 16);
    hf_audit_report_write(&report, text);
    assert_non_null(strstr(hf_buf_text(text), "lines 1 to 7 are not here"));

    attack_remove_line(fixture, "audit.log.2", 4);
    assert_fails(&fixture->op, verify_part(fixture, &report), HF_CORRUPT);
    fixture_remove(fixture, "audit.log.2");
    assert_ok(&fixture->op, verify_part(fixture, &report));
    assert_int_equal(report.first_file, 3);
}

static void a_file_under_another_number_is_found_in_a_part_too(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();

    attack_make_trail(fixture, anchor);
    fixture_remove(fixture, "audit.log.1");
    attack_copy_file(fixture, "audit.log.2", "audit.log.3");
    fixture_remove(fixture, "audit.log.2");
    assert_fails(&fixture->op, verify_part(fixture, &report), HF_CORRUPT);
    assert_string_equal(report.problem_file, "audit.log.3");
    assert_non_null(strstr(report.problem, "says it is number 2"));
}

static void a_hole_in_the_files_is_found_in_a_part_too(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();

    attack_make_trail(fixture, anchor);
    fixture_remove(fixture, "audit.log.2");
    assert_fails(&fixture->op, verify_part(fixture, &report), HF_CORRUPT);
    assert_string_equal(report.problem_file, "audit.log.2");
}

static void a_line_that_a_running_server_is_writing_is_no_problem(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) content = NULL;
    HF_AUTO(buf) text = hf_buf_new();

    fixture_open(fixture);
    fixture_fill(fixture, 3);
    content = fixture_read(fixture, "audit.log");
    fixture_replace(fixture, "audit.log", hf_bytes_of(content->data, content->len - 10));
    assert_ok(&fixture->op, fixture_verify(fixture, NULL, &report));
    assert_true(report.live);
    assert_int_equal(report.lines, 4);
    assert_true(report.unfinished_bytes > 0);
    hf_audit_report_write(&report, text);
    assert_non_null(strstr(hf_buf_text(text), "A server is writing the trail"));
    fixture_replace(fixture, "audit.log", hf_buf_bytes(content));
}

static void the_newest_file_may_have_got_its_number_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();
    HF_AUTO_STRING current = hf_format("%s/audit.log", fixture->directory);
    HF_AUTO_STRING older = hf_format("%s/audit.log.3", fixture->directory);

    /* What a reader sees that opened audit.log before a change of files and lists names after. */
    attack_make_trail(fixture, anchor);
    assert_int_equal(link(current, older), 0);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.files, 3);
    assert_int_equal(report.lines, 23);
}

/* --- the report --- */

static void the_report_says_what_is_there_and_what_cannot_be_excluded(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();
    HF_AUTO(buf) text = hf_buf_new();

    attack_make_trail(fixture, anchor);
    fixture_assert_whole(fixture, &report);
    hf_audit_report_write(&report, text);
    assert_string_equal(
        hf_buf_text(text),
        "The chain is whole: 23 lines (1 to 23) in 3 files, from 2026-11-21T23:31:00.123Z to "
        "2026-11-21T23:31:00.123Z.\n"
        "It has 3 control notes and 6 checkpoints; every signature is right.\n"
        "Not excluded: that the last 2 lines, after the last checkpoint, were written anew by "
        "somebody who can write the file. No signature covers them yet.\n"
        "Not excluded, because no anchor was given: that lines were cut from the end, or that the "
        "whole trail was replaced by somebody who has the signing key. Compare with a checkpoint "
        "line that was kept elsewhere.\n");

    assert_ok(&fixture->op, fixture_verify(fixture, hf_buf_text(anchor), &report));
    hf_buf_clear(text);
    hf_audit_report_write(&report, text);
    assert_non_null(strstr(hf_buf_text(text), "The anchor stands in the chain"));
    assert_null(strstr(hf_buf_text(text), "no anchor was given"));
}

static const struct {
    const char *says;
    struct hf_audit_report report;
    const char *sentence;
} reports[] = {
    { "one line lost", { .lines = 9, .lost = 1 }, "1 line found no space on the disk" },
    { "lines lost", { .lines = 9, .lost = 12 }, "12 lines found no space on the disk" },
    { "a repair", { .lines = 9, .repairs = 1 }, "A torn end was cut off 1 time after a crash" },
    { "a server is running", { .lines = 9, .live = true }, "A server is writing the trail" },
    { "no line after the checkpoint",
      { .lines = 9, .anchored = true },
      "nothing up to it was cut" },
    { "a problem in no line in particular",
      { .problem = "the file is missing", .problem_file = "audit.log.2" },
      "The trail is damaged. audit.log.2: the file is missing.\n" },
};

static void the_report_tells_of_what_the_trail_itself_tells(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(reports); i++) {
        HF_AUTO(buf) text = hf_buf_new();

        hf_audit_report_write(&reports[i].report, text);
        if (strstr(hf_buf_text(text), reports[i].sentence) == NULL) {
            fail_msg("%s: got %s", reports[i].says, hf_buf_text(text));
        }
    }
}

static void edit_a_caller(struct fixture *fixture)
{
    HF_AUTO(buf) content = fixture_read(fixture, "audit.log.2");

    attack_replace_in(content, "user-1-", "user-9-");
    fixture_replace(fixture, "audit.log.2", hf_buf_bytes(content));
}

static void the_report_says_where_the_problem_is(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    HF_AUTO(buf) anchor = hf_buf_new();
    HF_AUTO(buf) text = hf_buf_new();

    attack_make_trail(fixture, anchor);
    edit_a_caller(fixture);
    assert_fails(&fixture->op, fixture_verify(fixture, NULL, &report), HF_CORRUPT);
    hf_audit_report_write(&report, text);
    assert_string_equal(hf_buf_text(text),
                        "The trail is damaged. audit.log.2, line 11: its hash is wrong: it is not "
                        "what was written here.\nUp to line 10 everything is in order.\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)
    const struct CMUnitTest tests[] = {
        TEST(every_change_of_one_byte_is_found_in_its_line),
        TEST(every_removal_of_one_byte_is_found),
        TEST(an_anchor_must_be_a_checkpoint_that_the_key_has_signed),
        TEST(an_anchor_that_somebody_made_without_the_key_is_refused),
        TEST(another_key_or_no_key_is_refused),
        TEST(a_directory_without_trail_is_not_found),
        TEST(a_part_of_a_trail_is_checked_alone_when_that_is_asked_for),
        TEST(a_file_under_another_number_is_found_in_a_part_too),
        TEST(a_hole_in_the_files_is_found_in_a_part_too),
        TEST(a_line_that_a_running_server_is_writing_is_no_problem),
        TEST(the_newest_file_may_have_got_its_number_meanwhile),
        TEST(the_report_says_what_is_there_and_what_cannot_be_excluded),
        cmocka_unit_test(the_report_tells_of_what_the_trail_itself_tells),
        TEST(the_report_says_where_the_problem_is),
    };

    return cmocka_run_group_tests_name("audit verification", tests, fixture_start, fixture_stop);
}
