/* Attacks on a trail, and what is found, where, with and without an anchor. */
#include <inttypes.h>

#include "attack.h"
#include "base/alloc.h"

static void nothing(struct fixture *fixture)
{
    (void)fixture;
}

static void edit_a_caller(struct fixture *fixture)
{
    HF_AUTO(buf) content = fixture_read(fixture, "audit.log.2");

    attack_replace_in(content, "user-1-", "user-9-");
    fixture_replace(fixture, "audit.log.2", hf_buf_bytes(content));
}

static void remove_one_line(struct fixture *fixture)
{
    attack_remove_line(fixture, "audit.log.2", 4);
}

static void remove_first_line_of_file(struct fixture *fixture)
{
    attack_remove_line(fixture, "audit.log.2", 1);
}

static void swap_two_lines(struct fixture *fixture)
{
    attack_swap_lines(fixture, "audit.log.1", 3, 5);
}

static void insert_a_copy(struct fixture *fixture)
{
    attack_copy_line(fixture, "audit.log.1", 3, 5);
}

static void move_a_line_to_another_file(struct fixture *fixture)
{
    struct attack_text text;
    HF_AUTO(buf) first = fixture_read(fixture, "audit.log.1");

    attack_take_apart(fixture, "audit.log.2", &text);
    text.lines[2] = fixture_line(hf_buf_bytes(first), 3);
    attack_put_together(fixture, "audit.log.2", &text);
}

static void cut_in_the_middle_of_an_older_file(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log.2", 4, 0);
}

static void cut_only_the_last_checkpoint_of_an_older_file(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log.2", 6, 0);
}

static void cut_within_a_line_of_an_older_file(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log.2", 6, 100);
}

static void cut_within_the_last_line(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log", 8, 100);
}

static void cut_the_last_newline(struct fixture *fixture)
{
    HF_AUTO(buf) content = fixture_read(fixture, "audit.log");

    fixture_replace(fixture, "audit.log", hf_bytes_of(content->data, content->len - 1));
}

static void cut_after_the_last_checkpoint(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log", 7, 0);
}

static void cut_before_the_anchor(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log", 4, 0);
}

static void remove_newest_file(struct fixture *fixture)
{
    fixture_remove(fixture, "audit.log");
}

static void remove_middle_file(struct fixture *fixture)
{
    fixture_remove(fixture, "audit.log.2");
}

static void remove_oldest_file(struct fixture *fixture)
{
    fixture_remove(fixture, "audit.log.1");
}

static void remove_all_older_files(struct fixture *fixture)
{
    fixture_remove(fixture, "audit.log.1");
    fixture_remove(fixture, "audit.log.2");
}

static void empty_a_file(struct fixture *fixture)
{
    fixture_replace(fixture, "audit.log.2", HF_BYTES_NONE);
}

static void exchange_two_files(struct fixture *fixture)
{
    attack_copy_file(fixture, "audit.log.1", "keep");
    attack_copy_file(fixture, "audit.log.2", "audit.log.1");
    attack_copy_file(fixture, "keep", "audit.log.2");
    fixture_remove(fixture, "keep");
}

static void add_a_file(struct fixture *fixture)
{
    attack_copy_file(fixture, "audit.log.2", "audit.log.3");
}

static void forge_an_event(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 3, "user-0-", "user-9-");
}

static void forge_a_date_of_a_checkpoint(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 7, "2026-11-21", "2025-11-21");
}

static void forge_the_next_of_a_checkpoint(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 7, "\"next\":29", "\"next\":99");
}

static void forge_after_the_last_checkpoint(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 8, "user-0-", "user-9-");
}

static void forge_the_order_of_notes(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 6, "\"seq\":3", "\"seq\":2");
}

static void forge_the_last_note_of_a_file_start(struct fixture *fixture)
{
    /* Line 15 can only follow line 14, so the file before it is computed anew as well. */
    attack_forge(fixture, "audit.log.2", 6, "\"seq\":2", "\"seq\":1");
}

static void forge_a_line_into_a_file_start(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 8, "\"hadoop.decrypt\",\"outcome\":\"ok\"",
                 "\"audit.continue\",\"format\"  :  1");
}

/* Puts ten lines without a checkpoint in the place of what follows the first lines of audit.log. */
static void forge_lines_after(struct fixture *fixture, unsigned kept)
{
    HF_AUTO(buf) content = fixture_read(fixture, "audit.log");
    struct hf_audit_chain chain = { .line = 14 + kept, .next_checkpoint = UINT64_MAX };
    struct hf_audit_scribe scribe;
    struct hf_bytes last = fixture_line(hf_buf_bytes(content), kept);

    attack_hash_of(fixture, last, chain.hash);
    content->len = (size_t)(last.data + last.len - content->data);
    assert_ok(&fixture->op,
              hf_audit_scribe_init(&scribe, fixture_crypto, &fixture->op, &fixture->settings));
    for (unsigned i = 0; i < 10; i++) {
        assert_ok(&fixture->op,
                  hf_audit_scribe_line(&scribe, &fixture->op, &chain, 1795303860123,
                                       hf_bytes_of_text("{\"operation\":\"x\"}"), 0, content));
    }
    hf_audit_scribe_done(&scribe);
    fixture_replace(fixture, "audit.log", hf_buf_bytes(content));
}

static void forge_many_lines_without_checkpoint(struct fixture *fixture)
{
    forge_lines_after(fixture, 9);
}

static void forge_a_file_without_its_first_checkpoint(struct fixture *fixture)
{
    forge_lines_after(fixture, 1);
}

static void forge_what_a_file_says_of_earlier_notes(struct fixture *fixture)
{
    attack_forge(fixture, "audit.log", 1, "\"last_seq\":2", "\"last_seq\":1");
}

/* An older copy is put back, and the server goes on from there. */
static void go_on_from_an_older_copy(struct fixture *fixture)
{
    attack_cut(fixture, "audit.log", 4, 0);
    fixture_open(fixture);
    fixture_fill(fixture, 9);
    fixture_close(fixture);
}

/* A whole trail of the same length by somebody who has another key, or the same one. */
static void replace_by_a_trail_of(struct fixture *fixture, const struct hf_pkey *signer)
{
    const struct hf_pkey *own = fixture->settings.signer;
    HF_AUTO(buf) anchor = hf_buf_new();

    fixture_remove(fixture, "audit.log");
    fixture_remove(fixture, "audit.log.1");
    fixture_remove(fixture, "audit.log.2");
    fixture->settings.signer = signer;
    attack_make_trail(fixture, anchor);
    fixture->settings.signer = own;
}

static void replace_with_another_key(struct fixture *fixture)
{
    HF_AUTO(pkey) other = fixture_other_key();

    replace_by_a_trail_of(fixture, other);
}

static void replace_with_the_same_key(struct fixture *fixture)
{
    replace_by_a_trail_of(fixture, fixture->settings.signer);
}

static const struct attack {
    const char *says;
    void (*attack)(struct fixture *fixture);
    enum hf_code code;          /* without an anchor */
    enum hf_code anchored_code; /* with one */
    const char *file;           /* where the problem stands, with an anchor */
    uint64_t line;
    const char *problem; /* a part of what is said */
} attacks[] = {
    { "a trail that nobody touched is whole", nothing, HF_OK, HF_OK, "", 0, "" },
    { "an edited line", edit_a_caller, HF_CORRUPT, HF_CORRUPT, "audit.log.2", 11,
      "its hash is wrong" },
    { "a removed line", remove_one_line, HF_CORRUPT, HF_CORRUPT, "audit.log.2", 11,
      "line 12 stands here" },
    { "the removed first line of a file", remove_first_line_of_file, HF_CORRUPT, HF_CORRUPT,
      "audit.log.2", 8, "line 9 stands here" },
    { "swapped lines", swap_two_lines, HF_CORRUPT, HF_CORRUPT, "audit.log.1", 3,
      "line 5 stands here" },
    { "an inserted line", insert_a_copy, HF_CORRUPT, HF_CORRUPT, "audit.log.1", 5,
      "line 3 stands here" },
    { "a line from another file", move_a_line_to_another_file, HF_CORRUPT, HF_CORRUPT,
      "audit.log.2", 10, "line 3 stands here" },
    { "an older file cut in the middle", cut_in_the_middle_of_an_older_file, HF_CORRUPT, HF_CORRUPT,
      "audit.log.2", 12, "its end was cut" },
    { "an older file without its last checkpoint", cut_only_the_last_checkpoint_of_an_older_file,
      HF_CORRUPT, HF_CORRUPT, "audit.log.2", 14, "its end was cut" },
    { "an older file cut within a line", cut_within_a_line_of_an_older_file, HF_CORRUPT, HF_CORRUPT,
      "audit.log.2", 14, "its end was cut" },
    { "the newest file cut within a line", cut_within_the_last_line, HF_CORRUPT, HF_CORRUPT,
      "audit.log", 23, "not whole" },
    { "the last newline cut off", cut_the_last_newline, HF_CORRUPT, HF_CORRUPT, "audit.log", 23,
      "not whole" },
    { "the end cut after the anchor is not found", cut_after_the_last_checkpoint, HF_OK, HF_OK, "",
      0, "" },
    { "the end cut before the anchor is found by the anchor", cut_before_the_anchor, HF_OK,
      HF_CORRUPT, "audit.log", 19, "the trail ends before line 21" },
    { "the newest file missing is found by the anchor", remove_newest_file, HF_OK, HF_CORRUPT,
      "audit.log.2", 15, "the trail ends before line 21" },
    { "the middle file missing", remove_middle_file, HF_CORRUPT, HF_CORRUPT, "audit.log.2", 0,
      "the file is missing" },
    { "the oldest file missing", remove_oldest_file, HF_CORRUPT, HF_CORRUPT, "audit.log.1", 0,
      "the file is missing" },
    { "all older files missing", remove_all_older_files, HF_CORRUPT, HF_CORRUPT, "audit.log", 15,
      "the files before it are missing" },
    { "an emptied file", empty_a_file, HF_CORRUPT, HF_CORRUPT, "audit.log.2", 0, "no whole line" },
    { "exchanged files", exchange_two_files, HF_CORRUPT, HF_CORRUPT, "audit.log.1", 8,
      "this is file 2 of the trail" },
    { "an added file", add_a_file, HF_CORRUPT, HF_CORRUPT, "audit.log.3", 15,
      "line 8 stands here" },
    { "a forged event", forge_an_event, HF_CORRUPT, HF_CORRUPT, "audit.log", 21,
      "the signature is wrong" },
    { "a forged date of a checkpoint", forge_a_date_of_a_checkpoint, HF_CORRUPT, HF_CORRUPT,
      "audit.log", 21, "the signature is wrong" },
    { "a checkpoint that allows more lines", forge_the_next_of_a_checkpoint, HF_CORRUPT, HF_CORRUPT,
      "audit.log", 21, "the signature is wrong" },
    { "a forged line after the last checkpoint is not found", forge_after_the_last_checkpoint,
      HF_OK, HF_OK, "", 0, "" },
    { "notes in another order", forge_the_order_of_notes, HF_CORRUPT, HF_CORRUPT, "audit.log", 20,
      "control note 2 comes after note 2" },
    { "a note that an earlier file has", forge_the_last_note_of_a_file_start, HF_CORRUPT,
      HF_CORRUPT, "audit.log.2", 13, "control note 1 comes after note 1" },
    { "the start of a file in the middle of one", forge_a_line_into_a_file_start, HF_CORRUPT,
      HF_CORRUPT, "audit.log", 22, "a member of a line" },
    { "too many lines without checkpoint", forge_many_lines_without_checkpoint, HF_CORRUPT,
      HF_CORRUPT, "audit.log", 29, "a checkpoint is missing" },
    { "a file without its first checkpoint", forge_a_file_without_its_first_checkpoint, HF_CORRUPT,
      HF_CORRUPT, "audit.log", 16, "a checkpoint is missing" },
    { "a file that hides earlier notes", forge_what_a_file_says_of_earlier_notes, HF_CORRUPT,
      HF_CORRUPT, "audit.log", 15, "does not go on where the one before it ends" },
    { "an older copy put back and written on is found by the anchor", go_on_from_an_older_copy,
      HF_OK, HF_CORRUPT, "audit.log", 21, "another line stood here" },
    { "another trail with another key", replace_with_another_key, HF_CORRUPT, HF_CORRUPT,
      "audit.log.1", 1, "the anchor was taken from another trail" },
    { "another trail with the same key is found by the anchor", replace_with_the_same_key, HF_OK,
      HF_CORRUPT, "audit.log.1", 1, "the anchor was taken from another trail" },
};

static void run_attack(const struct attack *attack)
{
    struct hf_audit_report report;
    struct fixture *fixture;
    HF_AUTO(buf) anchor = hf_buf_new();
    enum hf_code code;
    enum hf_code anchored_code;

    assert_int_equal(fixture_new((void **)&fixture), 0);
    attack_make_trail(fixture, anchor);
    attack->attack(fixture);
    code = fixture_verify(fixture, NULL, &report).code;
    if (code != attack->code || report.anchored) {
        fail_msg("%s: got %s: %s", attack->says, hf_code_name(code), report.problem);
    }
    anchored_code = fixture_verify(fixture, hf_buf_text(anchor), &report).code;
    if (anchored_code != attack->anchored_code || strcmp(report.problem_file, attack->file) != 0 ||
        report.problem_line != attack->line || strstr(report.problem, attack->problem) == NULL ||
        (attack->line > 21 || anchored_code == HF_OK) != report.anchored) {
        fail_msg("%s: with anchor: got %s, file %s, line %" PRIu64 ": %s", attack->says,
                 hf_code_name(anchored_code), report.problem_file, report.problem_line,
                 report.problem);
    }
    if (anchored_code != HF_OK && strstr(fixture->op.text, report.problem) == NULL) {
        fail_msg("%s: the operation says only: %s", attack->says, fixture->op.text);
    }
    assert_int_equal(fixture_free((void **)&fixture), 0);
}

static void each_attack_is_found_where_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(attacks); i++) {
        run_attack(&attacks[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_attack_is_found_where_the_table_says),
    };

    return cmocka_run_group_tests_name("audit attacks", tests, fixture_start, fixture_stop);
}
