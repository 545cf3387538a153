/* One line: how events are written, what a line must look like, and the test vector. */
#include <stdlib.h>

#include "base/alloc.h"
#include "fixture.h"

static const struct hf_request_id request_id = { { 0xde, 0xad, 0xbe, 0xef } };

static const struct {
    const char *says;
    struct hf_audit_event event;
    const char *written;
} events[] = {
    { "an event without members is an empty object", { 0 }, "{}" },
    { "members that are not set are left out",
      { .operation = "key.rotate", .outcome = "ok" },
      "{\"operation\":\"key.rotate\",\"outcome\":\"ok\"}" },
    { "the first member that is set comes without a comma",
      { .detail = "only this" },
      "{\"detail\":\"only this\"}" },
    { "version 0 is written when there is a version",
      { .operation = "x", .has_version = true },
      "{\"operation\":\"x\",\"version\":0}" },
    { "all members stand in their order",
      { .operation = "a",
        .outcome = "b",
        .caller = "c",
        .on_behalf_of = "d",
        .address = "e",
        .door = "f",
        .keyring = "g",
        .key = "h",
        .has_version = true,
        .version = 4294967295U,
        .count = 18446744073709551615U,
        .cause = "i",
        .detail = "j",
        .request_id = &request_id,
        .realtime_ms = 5 },
      "{\"operation\":\"a\",\"outcome\":\"b\",\"caller\":\"c\",\"on_behalf_of\":\"d\","
      "\"address\":\"e\",\"door\":\"f\",\"keyring\":\"g\",\"key\":\"h\",\"version\":4294967295,"
      "\"count\":18446744073709551615,\"cause\":\"i\",\"detail\":\"j\","
      "\"request_id\":\"deadbeef000000000000000000000000\"}" },
    { "texts are escaped",
      { .operation = "a\"b\\c\nd\x01", .caller = "caf\xc3\xa9 \xff" },
      "{\"operation\":\"a\\\"b\\\\c\\nd\\u0001\",\"caller\":\"caf\xc3\xa9 \xef\xbf\xbd\"}" },
};

static void an_event_is_written_as_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(events); i++) {
        HF_AUTO(buf) out = hf_buf_new();

        hf_buf_add_text(out, "before");
        hf_audit_event_write(&events[i].event, out);
        if (strncmp(hf_buf_text(out), "before", 6) != 0 ||
            strcmp(hf_buf_text(out) + 6, events[i].written) != 0) {
            fail_msg("%s: got %s", events[i].says, hf_buf_text(out));
        }
    }
}

static void numbers_are_written_in_decimal(void **unused)
{
    static const uint64_t numbers[] = { 0, 1, 9, 10, 99, 100, 1234567890, UINT64_MAX };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(numbers); i++) {
        HF_AUTO(buf) out = hf_buf_new();
        HF_AUTO_STRING wanted = hf_format("%llu", (unsigned long long)numbers[i]);

        hf_audit_add_number(out, numbers[i]);
        assert_string_equal(hf_buf_text(out), wanted);
    }
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define START "{\"n\":12,\"t\":\"2026-11-21T23:31:00.123Z\",\"node\":\"a\""
#define END   ",\"h\":\"" ZEROS "\"}"

static const struct {
    const char *says;
    const char *text;
    enum hf_code code;
    uint64_t seq;
} lines[] = {
    { "the least that is a line", START END, HF_OK, 0 },
    { "a note's seq is its last member", START ",\"seq\":77" END, HF_OK, 77 },
    { "the largest seq", START ",\"seq\":18446744073709551615" END, HF_OK, UINT64_MAX },
    { "a number beyond 64 bits is no seq", START ",\"seq\":18446744073709551616" END, HF_OK, 0 },
    { "a zero-filled number is no seq", START ",\"seq\":077" END, HF_OK, 0 },
    { "last_seq is not seq", START ",\"last_seq\":77" END, HF_OK, 0 },
    { "a text that ends like a seq is none", START ",\"x\":\",\\\"seq\\\":77\"" END, HF_OK, 0 },
    { "a seq within an object is none", START ",\"x\":{\"a\":1,\"seq\":77}" END, HF_OK, 0 },
    { "nothing", "", HF_CORRUPT, 0 },
    { "only an end", END, HF_CORRUPT, 0 },
    { "no hash", START "}", HF_CORRUPT, 0 },
    { "a hash in capitals", START ",\"h\":\"A" ZEROS "\"}", HF_CORRUPT, 0 },
    { "a hash that is too long", START ",\"h\":\"0" ZEROS "\"}", HF_CORRUPT, 0 },
    { "something behind the hash", START END " ", HF_CORRUPT, 0 },
    { "space at the start", " " START END, HF_CORRUPT, 0 },
    { "a number that is zero-filled",
      "{\"n\":012,\"t\":\"2026-11-21T23:31:00.123Z\",\"node\":\"a\"" END, HF_CORRUPT, 0 },
    { "a number beyond 64 bits",
      "{\"n\":18446744073709551616,\"t\":\"2026-11-21T23:31:00.123Z\",\"node\":\"a\"" END,
      HF_CORRUPT, 0 },
    { "a number with a sign", "{\"n\":-1,\"t\":\"2026-11-21T23:31:00.123Z\",\"node\":\"a\"" END,
      HF_CORRUPT, 0 },
    { "no number", "{\"n\":,\"t\":\"2026-11-21T23:31:00.123Z\",\"node\":\"a\"" END, HF_CORRUPT, 0 },
    { "no date", "{\"n\":1,\"node\":\"a\"" END, HF_CORRUPT, 0 },
    { "a short date", "{\"n\":1,\"t\":\"2026-11-21T23:31:00Z\",\"node\":\"a\"" END, HF_CORRUPT, 0 },
    { "no node", "{\"n\":1,\"t\":\"2026-11-21T23:31:00.123Z\",\"operation\":\"a\"" END, HF_CORRUPT,
      0 },
};

static void a_frame_is_accepted_or_refused_as_the_table_says(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < HF_COUNT(lines); i++) {
        struct hf_audit_line line = { 0 };
        struct hf_status status =
            hf_audit_line_parse(&fixture->op, hf_bytes_of_text(lines[i].text), &line);

        if (status.code != lines[i].code || line.seq != lines[i].seq) {
            fail_msg("%s: got %s and seq %llu", lines[i].says, hf_code_name(status.code),
                     (unsigned long long)line.seq);
        }
    }
}

#define TRAIL "0102030405060708090a0b0c0d0e0f10"
#define FILE_START                                                                                 \
    START ",\"operation\":\"audit.continue\",\"format\":1,\"trail\":\"" TRAIL                      \
          "\",\"file\":2,\"previous\":\"" ZEROS "\",\"last_seq\":7"
#define CHECKPOINT                                                                                 \
    START ",\"operation\":\"audit.checkpoint\",\"trail\":\"" TRAIL "\",\"previous\":\"" ZEROS      \
          "\",\"next\":20,\"key\":\"" ZEROS "\",\"signature\":\"" ZEROS ZEROS "\""

static const struct {
    const char *says;
    const char *text;
    enum hf_code code;
    enum hf_audit_kind kind;
} own_lines[] = {
    { "an event", START ",\"operation\":\"key.create\"" END, HF_OK, HF_AUDIT_EVENT },
    { "a line without operation", START END, HF_OK, HF_AUDIT_EVENT },
    { "the start of a file", FILE_START END, HF_OK, HF_AUDIT_FILE_START },
    { "a checkpoint", CHECKPOINT END, HF_OK, HF_AUDIT_CHECKPOINT },
    { "going on", START ",\"operation\":\"audit.resumed\",\"lost\":3" END, HF_OK,
      HF_AUDIT_RESUMED },
    { "a repair", START ",\"operation\":\"audit.repaired\"" END, HF_OK, HF_AUDIT_REPAIRED },
    { "what is written elsewhere in a text is not the trail's own",
      START ",\"caller\":\",\\\"operation\\\":\\\"audit.start\\\"\"" END, HF_OK, HF_AUDIT_EVENT },
    { "going on without a number", START ",\"operation\":\"audit.resumed\"" END, HF_CORRUPT,
      HF_AUDIT_EVENT },
    { "going on with a text", START ",\"operation\":\"audit.resumed\",\"lost\":\"3\"" END,
      HF_CORRUPT, HF_AUDIT_EVENT },
    { "not JSON", START ",\"operation\":key.create" END, HF_CORRUPT, HF_AUDIT_EVENT },
    { "a member twice", START ",\"operation\":\"a\",\"operation\":\"audit.start\"" END, HF_CORRUPT,
      HF_AUDIT_EVENT },
    { "a start of the first file that says continue",
      START ",\"operation\":\"audit.continue\",\"format\":1,\"trail\":\"" TRAIL
            "\",\"file\":1,\"previous\":\"" ZEROS "\",\"last_seq\":7" END,
      HF_CORRUPT, HF_AUDIT_EVENT },
    { "another format",
      START ",\"operation\":\"audit.continue\",\"format\":2,\"trail\":\"" TRAIL
            "\",\"file\":2,\"previous\":\"" ZEROS "\",\"last_seq\":7" END,
      HF_CORRUPT, HF_AUDIT_EVENT },
    { "a checkpoint with something behind the signature", CHECKPOINT ",\"x\":1" END, HF_CORRUPT,
      HF_AUDIT_EVENT },
    { "a checkpoint without signature",
      START ",\"operation\":\"audit.checkpoint\",\"trail\":\"" TRAIL "\",\"previous\":\"" ZEROS
            "\",\"next\":20,\"key\":\"" ZEROS "\"" END,
      HF_CORRUPT, HF_AUDIT_EVENT },
};

static void the_trails_own_lines_are_known_by_their_members(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < HF_COUNT(own_lines); i++) {
        struct hf_audit_line line;
        struct hf_audit_members members;
        struct hf_status status;

        assert_ok(&fixture->op,
                  hf_audit_line_parse(&fixture->op, hf_bytes_of_text(own_lines[i].text), &line));
        status = hf_audit_members_parse(&fixture->op, &line, &members);
        if (status.code != own_lines[i].code ||
            (status.code == HF_OK && members.kind != own_lines[i].kind)) {
            fail_msg("%s: got %s, kind %d", own_lines[i].says, hf_code_name(status.code),
                     (int)members.kind);
        }
    }
}

static const struct {
    const char *date;
    uint64_t realtime_ms;
} dates[] = {
    { "1970-01-01T00:00:00.000Z", 0 },
    { "1970-01-01T00:00:00.001Z", 1 },
    { "2000-02-29T23:59:59.999Z", 951868799999 },
    { "2000-03-01T00:00:00.000Z", 951868800000 },
    { "2026-11-21T23:31:00.123Z", 1795303860123 },
    { "2100-03-01T00:00:00.000Z", 4107542400000 },
    { "9999-12-31T23:59:59.999Z", 253402300799999 },
    { "2026-13-21T23:31:00.123Z", 0 }, /* what is no date is nothing */
    { "2026-00-21T23:31:00.123Z", 0 },
    { "1969-11-21T23:31:00.123Z", 0 },
    { "2026-11-21 23:31:00.123Z", 0 },
    { "2026-11-21T23:31:00.123+", 0 },
    { "20x6-11-21T23:31:00.123Z", 0 },
};

static void dates_are_read_back(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(dates); i++) {
        const struct hf_audit_line line = { .date = hf_bytes_of_text(dates[i].date) };
        uint64_t got = hf_audit_line_realtime_ms(&line);

        if (got != dates[i].realtime_ms) {
            fail_msg("%s: got %llu", dates[i].date, (unsigned long long)got);
        }
    }
}

/* The trail that docs/formats/audit.md shows. */
static void make_vector(struct fixture *fixture)
{
    const struct hf_audit_event event = {
        .operation = "hadoop.decrypt",
        .outcome = "ok",
        .caller = "pseudo:alice",
        .address = "192.0.2.7",
        .door = "hadoop",
        .keyring = "default",
        .key = "orders",
        .has_version = true,
        .version = 3,
        .request_id = &request_id,
    };
    static const char note[] = "{\"operation\":\"key.rotate\",\"outcome\":\"ok\","
                               "\"caller\":\"cert:admin\",\"key\":\"orders\",\"version\":4}";

    fixture->settings.checkpoint_every = 10000;
    fixture_open(fixture);
    assert_ok(&fixture->op, hf_audit_append(fixture->audit, &fixture->op, &event));
    assert_ok(&fixture->op, hf_audit_append_note(fixture->audit, &fixture->op, 42, 1795303860456,
                                                 hf_bytes_of_text(note)));
    fixture->env.realtime_ms += 877;
    fixture_close(fixture);
}

static struct hf_buf *read_document(void)
{
    HF_AUTO_STRING path = hf_format("%s/docs/formats/audit.md", getenv("HOLDFAST_SOURCE"));
    HF_AUTO(buf) text = hf_buf_new();
    FILE *file = fopen(path, "re");
    size_t got;

    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    do {
        got = fread(hf_buf_reserve(text, 65536), 1, 65536, file);
        hf_buf_grew(text, got);
    } while (got > 0);
    (void)fclose(file);
    return HF_TAKE(text);
}

static void the_trail_of_the_document_is_written_byte_by_byte(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(buf) document = read_document();
    HF_AUTO(buf) written = NULL;
    static const char fence[] = "```json\n";
    const uint8_t *shown;

    make_vector(fixture);
    written = fixture_read(fixture, "audit.log");
    shown = memmem(document->data, document->len, fence, sizeof fence - 1);
    assert_non_null(shown);
    shown += sizeof fence - 1;
    if ((size_t)(document->data + document->len - shown) < written->len ||
        memcmp(shown, written->data, written->len) != 0) {
        fail_msg("the document shows another trail than this:\n%s", hf_buf_text(written));
    }
    assert_memory_equal(shown + written->len, "```", 3);
}

static void the_trail_of_the_document_verifies(void **state)
{
    struct fixture *fixture = *state;
    HF_AUTO(buf) document = read_document();
    static const char fence[] = "```json\n";
    struct hf_audit_report report;
    const uint8_t *shown = memmem(document->data, document->len, fence, sizeof fence - 1);
    const uint8_t *end;

    assert_non_null(shown);
    shown += sizeof fence - 1;
    end = memmem(shown, (size_t)(document->data + document->len - shown), "```", 3);
    assert_non_null(end);
    fixture_replace(fixture, "audit.log", hf_bytes_of(shown, (size_t)(end - shown)));
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lines, 5);
    assert_int_equal(report.notes, 1);
    assert_int_equal(report.checkpoints, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_written_as_the_table_says),
        cmocka_unit_test(numbers_are_written_in_decimal),
        TEST(a_frame_is_accepted_or_refused_as_the_table_says),
        TEST(the_trails_own_lines_are_known_by_their_members),
        cmocka_unit_test(dates_are_read_back),
        TEST(the_trail_of_the_document_is_written_byte_by_byte),
        TEST(the_trail_of_the_document_verifies),
    };

    return cmocka_run_group_tests_name("audit lines", tests, fixture_start, fixture_stop);
}
