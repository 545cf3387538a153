/* Log lines, for people or for programs. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/utf8.h"

/* A line of this much text stays within what a pipe takes in one piece (PIPE_BUF). */
#define TEXT_MAX 3500

struct hf_log {
    int fd;
    enum hf_log_form form;
    enum hf_log_level level;
    pthread_mutex_t lock; /* keeps a line whole when the kernel takes only a part of it at once */
};

static const char *const level_names[] = {
    [HF_LOG_ERROR] = "error",
    [HF_LOG_WARNING] = "warning",
    [HF_LOG_INFO] = "info",
    [HF_LOG_DEBUG] = "debug",
};

struct hf_log *hf_log_new(int fd, enum hf_log_form form, enum hf_log_level level)
{
    struct hf_log *log = hf_alloc(sizeof *log);

    log->fd = fd;
    log->form = form;
    log->level = level;
    hf_assert(pthread_mutex_init(&log->lock, NULL) == 0);
    return log;
}

void hf_log_free(struct hf_log *log)
{
    if (log != NULL) {
        (void)pthread_mutex_destroy(&log->lock);
        free(log);
    }
}

/* The control characters C1 have two bytes in UTF-8; terminals obey them as they do escapes. */
static bool is_control(struct hf_bytes text, size_t at, size_t len)
{
    uint8_t c = text.data[at];

    return c < 0x20 || c == 0x7f || (len == 2 && c == 0xc2 && text.data[at + 1] < 0xa0);
}

/* One character as people read it: nothing in a text can break the line or drive the terminal. */
static void add_escaped(struct hf_buf *out, struct hf_bytes text, size_t at, size_t len)
{
    uint8_t c = text.data[at];

    if (len == 0) {
        hf_buf_add_format(out, "\\x%02x", c);
    } else if (c == '\n') {
        hf_buf_add_text(out, "\\n");
    } else if (c == '\\') {
        hf_buf_add_text(out, "\\\\");
    } else if (is_control(text, at, len)) {
        hf_buf_add_format(out, "\\x%02x", len == 1 ? c : text.data[at + 1]);
    } else {
        hf_buf_add(out, text.data + at, len);
    }
}

static void add_text_line(struct hf_buf *out, uint64_t now, enum hf_log_level level,
                          struct hf_bytes text)
{
    size_t at = 0;

    hf_date_add(out, now);
    hf_buf_add_format(out, " %s ", level_names[level]);
    while (at < text.len) {
        size_t len = hf_utf8_len(text, at);

        add_escaped(out, text, at, len);
        at += len > 0 ? len : 1;
    }
    hf_buf_add_text(out, "\n");
}

static void add_json_line(struct hf_buf *out, uint64_t now, enum hf_log_level level,
                          struct hf_bytes text)
{
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_date(&writer, "time", now);
    hf_json_put_text(&writer, "level", level_names[level]);
    hf_json_put_bytes_text(&writer, "text", text);
    hf_json_close_object(&writer);
    hf_buf_add_text(out, "\n");
}

static bool write_whole(int fd, struct hf_bytes line)
{
    size_t done = 0;

    while (done < line.len) {
        ssize_t wrote = write(fd, line.data + done, line.len - done);

        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

/* Cuts a text that is too long, between two characters. */
static struct hf_bytes cut(struct hf_bytes text)
{
    if (text.len > TEXT_MAX) {
        text.len = TEXT_MAX;
        while (text.len > 0 && (text.data[text.len] & 0xc0U) == 0x80U) {
            text.len--;
        }
    }
    return text;
}

void hf_log_write(struct hf_log *log, struct hf_env *env, enum hf_log_level level,
                  const char *format, ...)
{
    HF_AUTO_STRING message = NULL;
    HF_AUTO(buf) line = NULL;
    struct hf_bytes text;
    va_list arguments;
    bool written;
    int saved_errno = errno;

    if (log == NULL || level > log->level) {
        return;
    }
    va_start(arguments, format);
    message = hf_vformat(format, arguments);
    va_end(arguments);
    text = cut(hf_bytes_of_text(message));
    line = hf_buf_new();
    if (log->form == HF_LOG_JSON) {
        add_json_line(line, hf_env_realtime_ms(env), level, text);
    } else {
        add_text_line(line, hf_env_realtime_ms(env), level, text);
    }
    hf_assert(pthread_mutex_lock(&log->lock) == 0);
    written = write_whole(log->fd, hf_buf_bytes(line));
    hf_assert(pthread_mutex_unlock(&log->lock) == 0);
    if (!written) {
        /* There is nowhere else to say it. */
        hf_metric_add(hf_metrics_series(env->metrics, HF_METRIC_COUNTER,
                                        "holdfast_log_lines_lost_total", NULL,
                                        "Log lines that could not be written."),
                      1);
    }
    errno = saved_errno;
}
