/* Failures before authentication: at most one line per door and prefix in ten seconds. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "fixture.h"

static const struct {
    const char *address;
    const char *prefix;
} prefixes[] = {
    { "192.0.2.7", "192.0.2.0/24" },
    { "192.0.2.255", "192.0.2.0/24" },
    { "192.0.2.7:8443", "192.0.2.0/24" },
    { "::ffff:192.0.2.7", "192.0.2.0/24" },
    { "[::ffff:192.0.2.7]:8443", "192.0.2.0/24" },
    { "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64" },
    { "2001:db8:1:2:ffff::", "2001:db8:1:2::/64" },
    { "[2001:db8:1:2::9]:443", "2001:db8:1:2::/64" },
    { "fe80::1%eth0", "fe80::/64" },
    { "::1", "::/64" },
    { "unix", "unix" },
    { "", "" },
    { "300.1.2.3", "300.1.2.3" },
    { "a-name-that-is-much-longer-than-any-address-can-be-and-so-is-cut-somewhere-here",
      "a-name-that-is-much-longer-than-any-address-can-be-and-so-is-cu" },
};

static void an_address_belongs_to_a_prefix(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(prefixes); i++) {
        char got[HF_AUDIT_PREFIX_MAX];

        hf_audit_prefix(prefixes[i].address, got);
        if (strcmp(got, prefixes[i].prefix) != 0) {
            fail_msg("%s: got %s", prefixes[i].address, got);
        }
    }
}

static void fail_as(struct fixture *fixture, const char *door, const char *address)
{
    struct hf_op op;

    hf_op_init(&op, &fixture->env.env);
    assert_int_equal(hf_fail(&op, HF_UNAUTHENTICATED, "the cookie has expired").code,
                     HF_UNAUTHENTICATED);
    hf_audit_unauthenticated(fixture->audit, &op, door, address);
    assert_string_equal(op.text, "the cookie has expired");
    assert_int_equal(op.code, HF_UNAUTHENTICATED);
}

/* What the background does once a second. */
static void flush(struct fixture *fixture)
{
    hf_audit_lock(fixture->audit);
    hf_audit_flush_strangers_locked(fixture->audit, &fixture->op, false);
    hf_audit_unlock(fixture->audit);
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
}

static void the_first_failure_is_told_at_once_with_its_reason(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fail_as(fixture, "hadoop", "192.0.2.7");
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_int_equal(fixture_count(fixture,
                                   "\"operation\":\"authenticate\",\"outcome\":\"unauthenticated\","
                                   "\"address\":\"192.0.2.7\",\"door\":\"hadoop\",\"count\":1,"
                                   "\"detail\":\"the cookie has expired\""),
                     1);
}

static void further_failures_are_counted_and_told_after_ten_seconds(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    for (unsigned i = 0; i < 1000; i++) {
        HF_AUTO_STRING address = hf_format("192.0.2.%u", i % 256);

        fail_as(fixture, "hadoop", address);
    }
    flush(fixture);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 1);
    fixture->env.boottime_ms += HF_AUDIT_STRANGER_WINDOW_MS - 1;
    flush(fixture);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 1);
    fixture->env.boottime_ms++;
    flush(fixture);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 2);
    assert_int_equal(
        fixture_count(fixture, "\"address\":\"192.0.2.0/24\",\"door\":\"hadoop\",\"count\":999"),
        1);
    /* The count opened a window of its own. */
    fail_as(fixture, "hadoop", "192.0.2.9");
    flush(fixture);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 2);
    /* After a quiet window the next failure is a first one again. */
    for (unsigned i = 0; i < 3; i++) {
        fixture->env.boottime_ms += HF_AUDIT_STRANGER_WINDOW_MS;
        flush(fixture);
    }
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 3);
    fail_as(fixture, "hadoop", "192.0.2.9");
    flush(fixture);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 4);
}

static void a_failure_after_the_window_tells_what_was_counted(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fail_as(fixture, "hadoop", "192.0.2.1");
    fail_as(fixture, "hadoop", "192.0.2.2");
    fixture->env.boottime_ms += HF_AUDIT_STRANGER_WINDOW_MS;
    fail_as(fixture, "hadoop", "192.0.2.3");
    assert_ok(&fixture->op, hf_audit_write(fixture->audit, &fixture->op));
    assert_int_equal(fixture_count(fixture, "\"192.0.2.0/24\",\"door\":\"hadoop\",\"count\":2"), 1);
}

static void doors_and_prefixes_are_told_apart(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    for (unsigned i = 0; i < 3; i++) {
        fail_as(fixture, "hadoop", "192.0.2.7");
        fail_as(fixture, "admin", "192.0.2.7");
        fail_as(fixture, "hadoop", "192.0.3.7");
        fail_as(fixture, "hadoop", "2001:db8::7");
        fail_as(fixture, "hadoop", "2001:db8:0:1::7");
    }
    flush(fixture);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 5);
}

static uint64_t sum_of_counts(struct fixture *fixture)
{
    HF_AUTO(buf) content = fixture_read(fixture, "audit.log");
    const char *at = hf_buf_text(content);
    uint64_t sum = 0;

    while ((at = strstr(at, "\"count\":")) != NULL) {
        at += strlen("\"count\":");
        sum += strtoull(at, NULL, 10);
    }
    return sum;
}

static void a_flood_from_everywhere_is_bounded_and_counted_in_full(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;
    unsigned flood = 20000;
    unsigned lines;

    fixture->settings.checkpoint_every = 100000;
    fixture_open(fixture);
    for (unsigned i = 0; i < flood; i++) {
        HF_AUTO_STRING address = hf_format("10.%u.%u.1", i / 256, i % 256);

        fail_as(fixture, "hadoop", address);
    }
    flush(fixture);
    lines = fixture_count(fixture, "\"authenticate\"");
    assert_true(lines <= HF_AUDIT_STRANGERS + 1);
    assert_int_equal(fixture_count(fixture, "from further addresses"), 1);
    assert_int_equal(sum_of_counts(fixture), flood);
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
}

static void counts_wait_while_the_disk_is_full_and_are_told_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct hf_audit_report report;

    fixture_open(fixture);
    fixture->disk.fail_kind[DISK_WRITE] = ENOSPC;
    assert_ok(&fixture->op, fixture_append(fixture, &fixture->op, 1));
    assert_fails(&fixture->op, hf_audit_write(fixture->audit, &fixture->op), HF_NO_SPACE);
    for (unsigned i = 0; i < 7; i++) {
        fail_as(fixture, "hadoop", "192.0.2.7");
    }
    fixture->disk.fail_kind[DISK_WRITE] = 0;
    fixture_close(fixture);
    fixture_assert_whole(fixture, &report);
    assert_int_equal(report.lost, 1);
    assert_int_equal(fixture_count(fixture, "\"authenticate\""), 1);
    assert_int_equal(sum_of_counts(fixture), 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_belongs_to_a_prefix),
        TEST(the_first_failure_is_told_at_once_with_its_reason),
        TEST(further_failures_are_counted_and_told_after_ten_seconds),
        TEST(a_failure_after_the_window_tells_what_was_counted),
        TEST(doors_and_prefixes_are_told_apart),
        TEST(a_flood_from_everywhere_is_bounded_and_counted_in_full),
        TEST(counts_wait_while_the_disk_is_full_and_are_told_at_the_end),
    };

    return cmocka_run_group_tests_name("audit strangers", tests, fixture_start, fixture_stop);
}
