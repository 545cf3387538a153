/* Replies: filled by handlers, written as one piece. */
#include "http/internal.h"

#include <stdio.h>

#include "base/assert.h"

#define MS_PER_DAY 86400000ULL
/* More than status line, date, type, length and connection take. */
#define OWN_LINES_MAX 256

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    { 100, "Continue" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 423, "Locked" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 507, "Insufficient Storage" },
};

void hf_reply_init(struct hf_reply *reply)
{
    reply->status = 200;
    reply->reason = NULL;
    hf_buf_init(&reply->headers);
    hf_buf_init(&reply->body);
    reply->content_type = NULL;
    reply->close = false;
    reply->keep_alive_s = 0;
    reply->reason_text[0] = '\0';
}

void hf_reply_done(struct hf_reply *reply)
{
    hf_buf_done(&reply->headers);
    hf_buf_done(&reply->body);
}

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7f;
}

void hf_reply_header(struct hf_reply *reply, const char *name, const char *value)
{
    size_t len = strlen(value);
    uint8_t *out = NULL;
    size_t kept = 0;

    hf_assert(name[0] != '\0');
    for (const char *at = name; *at != '\0'; at++) {
        hf_assert(hf_head_is_token((uint8_t)*at));
    }
    hf_buf_add_text(&reply->headers, name);
    hf_buf_add(&reply->headers, ": ", 2);
    out = hf_buf_reserve(&reply->headers, len + 2);
    for (size_t i = 0; i < len; i++) {
        if (!is_control((uint8_t)value[i])) {
            out[kept++] = (uint8_t)value[i];
        }
    }
    hf_buf_grew(&reply->headers, kept);
    hf_buf_add(&reply->headers, "\r\n", 2);
}

void hf_reply_reason(struct hf_reply *reply, const char *text)
{
    char *out = reply->reason_text;
    size_t kept = 0;
    bool is_visible = false;

    for (; *text != '\0' && kept < sizeof reply->reason_text - 1; text++) {
        if (!is_control((uint8_t)*text)) {
            out[kept++] = *text;
            is_visible = is_visible || *text != ' ';
        }
    }
    /* A character of UTF-8 that the limit has cut in two goes altogether. */
    if (((uint8_t)*text & 0xc0) == 0x80) {
        while (kept > 0 && ((uint8_t)out[kept - 1] & 0xc0) == 0x80) {
            kept--;
        }
        kept -= kept > 0 ? 1 : 0;
    }
    out[kept] = '\0';
    reply->reason = is_visible ? out : NULL;
}

static const char *standard_reason(int status)
{
    for (size_t i = 0; i < HF_COUNT(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return status < 400 ? "OK" : "Error";
}

/* ---- Writing ---- */

static void add_two_digits(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

/* Year, month and day of a count of days since 1970, in the proleptic Gregorian calendar. */
static void civil_date(uint64_t days, unsigned *out_year, unsigned *out_month, unsigned *out_day)
{
    /* Count from 1 March of the year 0, so that the leap day is a year's last. */
    uint64_t since = days + 719468;
    uint64_t era = since / 146097;
    unsigned in_era = (unsigned)(since % 146097);
    unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153;

    *out_day = in_year - (153 * month + 2) / 5 + 1;
    *out_month = month < 10 ? month + 3 : month - 9;
    *out_year = (unsigned)(era * 400) + year + (*out_month <= 2 ? 1 : 0);
}

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" without going through the C library's locks. */
static void add_date(struct hf_buf *out, uint64_t realtime_ms)
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[] = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    uint64_t days = realtime_ms / MS_PER_DAY;
    unsigned second = (unsigned)(realtime_ms % MS_PER_DAY / 1000);
    unsigned year;
    unsigned month;
    unsigned day;

    civil_date(days, &year, &month, &day);
    memcpy(text + 6, weekdays + days % 7 * 3, 3);
    add_two_digits(text + 11, day);
    memcpy(text + 14, months + (size_t)(month - 1) * 3, 3);
    add_two_digits(text + 18, year / 100);
    add_two_digits(text + 20, year);
    add_two_digits(text + 23, second / 3600);
    add_two_digits(text + 26, second / 60 % 60);
    add_two_digits(text + 29, second % 60);
    hf_buf_add(out, text, sizeof text - 1);
}

static void add_number(struct hf_buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    hf_buf_add(out, digits + at, sizeof digits - at);
}

static void add_text_header(struct hf_buf *out, const char *name, const char *value)
{
    hf_buf_add_text(out, name);
    hf_buf_add_text(out, value);
    hf_buf_add(out, "\r\n", 2);
}

static void add_connection(const struct hf_reply *reply, const struct hf_request *request,
                           struct hf_buf *out)
{
    if (reply->close || request == NULL || !request->keeps_alive) {
        add_text_header(out, "Connection: ", "close");
    } else if (request->is_http_10 || reply->keep_alive_s > 0) {
        add_text_header(out, "Connection: ", "keep-alive");
        if (reply->keep_alive_s > 0) {
            hf_buf_add_text(out, "Keep-Alive: timeout=");
            add_number(out, reply->keep_alive_s);
            hf_buf_add(out, "\r\n", 2);
        }
    }
}

/* Some clients fail on a reply without a reason phrase. */
static const char *reason_of(const struct hf_reply *reply)
{
    return reply->reason != NULL && reply->reason[0] != '\0' ? reply->reason
                                                             : standard_reason(reply->status);
}

size_t hf_reply_max(const struct hf_reply *reply)
{
    return OWN_LINES_MAX + strlen(reason_of(reply)) + reply->headers.len + reply->body.len;
}

void hf_reply_write(const struct hf_reply *reply, const struct hf_request *request,
                    uint64_t realtime_ms, struct hf_buf *out)
{
    /* RFC 9110, 8.6: these have no body and do not speak of its length. */
    bool has_length = reply->status >= 200 && reply->status != 204 && reply->status != 304;
    bool has_body = has_length && (request == NULL || request->method != HF_HEAD);

    hf_assert(reply->status >= 100 && reply->status <= 999);
    (void)hf_buf_reserve(out, hf_reply_max(reply));
    hf_buf_add(out, "HTTP/1.1 ", 9);
    add_number(out, (uint64_t)reply->status);
    hf_buf_add(out, " ", 1);
    add_text_header(out, reason_of(reply), "");
    add_date(out, realtime_ms);
    if (reply->content_type != NULL && has_length) {
        add_text_header(out, "Content-Type: ", reply->content_type);
    }
    if (has_length) {
        hf_buf_add_text(out, "Content-Length: ");
        add_number(out, reply->body.len);
        hf_buf_add(out, "\r\n", 2);
    }
    add_connection(reply, request, out);
    hf_buf_add_bytes(out, hf_buf_bytes(&reply->headers));
    hf_buf_add(out, "\r\n", 2);
    if (has_body) {
        hf_buf_add_bytes(out, hf_buf_bytes(&reply->body));
    }
}
