/* The log: one line, one write, nothing in a text can break out of it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "test.h"
#include "test_env.h"

/* A socket that keeps the borders between writes. */
struct wire {
    int log_end;
    int test_end;
};

static void open_wire(struct wire *wire)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                     0);
    wire->log_end = ends[0];
    wire->test_end = ends[1];
}

static void close_wire(struct wire *wire)
{
    assert_int_equal(close(wire->log_end), 0);
    assert_int_equal(close(wire->test_end), 0);
}

/* What one write held, "" when there was none. */
static const char *next_write(struct wire *wire)
{
    static char line[1 << 16];
    ssize_t got = recv(wire->test_end, line, sizeof line - 1, 0);

    line[got > 0 ? got : 0] = '\0';
    return line;
}

static void a_line_has_date_level_and_text(void **unused)
{
    static const struct {
        enum hf_log_level level;
        const char *text;
        const char *json;
    } cases[] = {
        { HF_LOG_ERROR, "2026-11-21T23:31:00.123Z error disk 3 is full\n",
          "{\"time\":\"2026-11-21T23:31:00.123Z\",\"level\":\"error\",\"text\":\"disk 3 is "
          "full\"}\n" },
        { HF_LOG_WARNING, "2026-11-21T23:31:00.123Z warning disk 3 is full\n",
          "{\"time\":\"2026-11-21T23:31:00.123Z\",\"level\":\"warning\",\"text\":\"disk 3 is "
          "full\"}\n" },
        { HF_LOG_INFO, "2026-11-21T23:31:00.123Z info disk 3 is full\n",
          "{\"time\":\"2026-11-21T23:31:00.123Z\",\"level\":\"info\",\"text\":\"disk 3 is "
          "full\"}\n" },
        { HF_LOG_DEBUG, "2026-11-21T23:31:00.123Z debug disk 3 is full\n",
          "{\"time\":\"2026-11-21T23:31:00.123Z\",\"level\":\"debug\",\"text\":\"disk 3 is "
          "full\"}\n" },
    };
    struct test_env test;
    struct wire wire;

    (void)unused;
    test_env_init(&test);
    open_wire(&wire);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(log) text = hf_log_new(wire.log_end, HF_LOG_TEXT, HF_LOG_DEBUG);
        HF_AUTO(log) json = hf_log_new(wire.log_end, HF_LOG_JSON, HF_LOG_DEBUG);

        hf_log_write(text, &test.env, cases[i].level, "disk %d is %s", 3, "full");
        hf_log_write(json, &test.env, cases[i].level, "disk %d is %s", 3, "full");
        assert_string_equal(next_write(&wire), cases[i].text);
        assert_string_equal(next_write(&wire), cases[i].json);
    }
    close_wire(&wire);
}

static void lower_levels_are_left_out(void **unused)
{
    struct test_env test;
    struct wire wire;

    (void)unused;
    test_env_init(&test);
    open_wire(&wire);
    for (unsigned own = HF_LOG_ERROR; own <= HF_LOG_DEBUG; own++) {
        HF_AUTO(log) log = hf_log_new(wire.log_end, HF_LOG_TEXT, (enum hf_log_level)own);

        test.env.log = log;
        HF_ERROR(&test.env, "%d", HF_LOG_ERROR);
        HF_WARNING(&test.env, "%d", HF_LOG_WARNING);
        HF_INFO(&test.env, "%d", HF_LOG_INFO);
        HF_DEBUG(&test.env, "%d", HF_LOG_DEBUG);
        for (unsigned level = HF_LOG_ERROR; level <= own; level++) {
            HF_AUTO_STRING end = hf_format(" %u\n", level);

            assert_non_null(strstr(next_write(&wire), end));
        }
        assert_string_equal(next_write(&wire), "");
    }
    test.env.log = NULL;
    HF_ERROR(&test.env, "%s", "nobody listens");
    assert_string_equal(next_write(&wire), "");
    close_wire(&wire);
}

static void control_characters_are_escaped(void **unused)
{
    static const struct {
        const char *says;
        const char *given;
        const char *text;
        const char *json;
    } cases[] = {
        { "a forged line", "a\n2026 error b", "a\\n2026 error b", "a\\n2026 error b" },
        { "carriage return", "a\rb", "a\\x0db", "a\\rb" },
        { "an escape sequence", "\x1b[2J", "\\x1b[2J", "\\u001b[2J" },
        { "delete", "a\x7f", "a\\x7f", "a\\u007f" },
        { "tab", "a\tb", "a\\x09b", "a\\tb" },
        { "C1 in UTF-8", "a\xc2\x9b", "a\\x9b", "a\\u009b" },
        { "a letter in UTF-8", "\xc3\xbc", "\xc3\xbc", "\xc3\xbc" },
        { "bytes that are not UTF-8", "a\xff\xc3", "a\\xff\\xc3", "a\xef\xbf\xbd\xef\xbf\xbd" },
        { "a backslash", "a\\n", "a\\\\n", "a\\\\n" },
        { "quotes", "\"a\"", "\"a\"", "\\\"a\\\"" },
    };
    struct test_env test;
    struct wire wire;

    (void)unused;
    test_env_init(&test);
    open_wire(&wire);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(log) text = hf_log_new(wire.log_end, HF_LOG_TEXT, HF_LOG_INFO);
        HF_AUTO(log) json = hf_log_new(wire.log_end, HF_LOG_JSON, HF_LOG_INFO);
        HF_AUTO_STRING text_end = hf_format("Z info %s\n", cases[i].text);
        HF_AUTO_STRING json_end = hf_format("\"text\":\"%s\"}\n", cases[i].json);

        hf_log_write(text, &test.env, HF_LOG_INFO, "%s", cases[i].given);
        hf_log_write(json, &test.env, HF_LOG_INFO, "%s", cases[i].given);
        if (strstr(next_write(&wire), text_end) == NULL) {
            fail_msg("%s as text", cases[i].says);
        }
        if (strstr(next_write(&wire), json_end) == NULL) {
            fail_msg("%s as JSON", cases[i].says);
        }
    }
    close_wire(&wire);
}

static void a_long_text_is_cut_between_characters(void **unused)
{
    HF_AUTO(buf) long_text = hf_buf_new();
    struct test_env test;
    struct wire wire;

    (void)unused;
    test_env_init(&test);
    open_wire(&wire);
    hf_buf_add_text(long_text, "x");
    for (size_t i = 0; i < 5000; i++) {
        hf_buf_add_text(long_text, "\xe2\x82\xac");
    }
    for (unsigned form = HF_LOG_TEXT; form <= HF_LOG_JSON; form++) {
        HF_AUTO(log) log = hf_log_new(wire.log_end, (enum hf_log_form)form, HF_LOG_INFO);
        const char *line;

        hf_log_write(log, &test.env, HF_LOG_INFO, "%s", hf_buf_text(long_text));
        line = next_write(&wire);
        assert_in_range(strlen(line), 3000, 4096);
        assert_null(strstr(line, "\\x")); /* no half character */
        assert_null(strstr(line, "\xef\xbf\xbd"));
        assert_int_equal(line[strlen(line) - 1], '\n');
    }
    close_wire(&wire);
}

static void a_line_that_is_lost_is_counted(void **unused)
{
    HF_AUTO(metrics) metrics = hf_metrics_new();
    HF_AUTO(log) log = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    struct test_env test;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)unused;
    test_env_init(&test);
    test.env.metrics = metrics;
    log = hf_log_new(full, HF_LOG_TEXT, HF_LOG_INFO);
    errno = EAGAIN;
    hf_log_write(log, &test.env, HF_LOG_INFO, "one");
    hf_log_write(log, &test.env, HF_LOG_INFO, "two");
    assert_int_equal(errno, EAGAIN);
    hf_metrics_write(metrics, out);
    assert_non_null(strstr(hf_buf_text(out), "\nholdfast_log_lines_lost_total 2\n"));
    assert_int_equal(close(full), 0);
}

#define THREADS 4
#define LINES   500

struct writer {
    pthread_t thread;
    struct hf_log *log;
    struct test_env *test;
};

static void *write_lines(void *context)
{
    struct writer *writer = context;

    for (size_t i = 0; i < LINES; i++) {
        hf_log_write(writer->log, &writer->test->env, HF_LOG_INFO,
                     "0123456789 0123456789 0123456789");
    }
    return NULL;
}

static void threads_do_not_mix_their_lines(void **unused)
{
    static const char whole[] = "2026-11-21T23:31:00.123Z info 0123456789 0123456789 0123456789\n";
    struct writer writers[THREADS];
    struct test_env test;
    FILE *file = tmpfile();
    char line[256];
    size_t count = 0;
    HF_AUTO(log) log = NULL;

    (void)unused;
    test_env_init(&test);
    assert_non_null(file);
    log = hf_log_new(fileno(file), HF_LOG_TEXT, HF_LOG_INFO);
    for (size_t i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){ .log = log, .test = &test };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    }
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        assert_string_equal(line, whole);
        count++;
    }
    assert_int_equal(count, THREADS * LINES);
    assert_int_equal(fclose(file), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_date_level_and_text),
        cmocka_unit_test(lower_levels_are_left_out),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(a_line_that_is_lost_is_counted),
        cmocka_unit_test(threads_do_not_mix_their_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
