/* Hex, percent encoding, patterns, UTF-8, dates and numbers. Base64 is in base64.c. */
#include "base/text.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"

/* Arithmetic instead of a table, because key material goes through here. */
static uint8_t hex_digit(unsigned value)
{
    return (uint8_t)('0' + value + (((9U - value) >> 8) & ('a' - '0' - 10)));
}

void hf_hex_add(struct hf_buf *buf, struct hf_bytes bytes)
{
    uint8_t *at = hf_buf_reserve(buf, bytes.len * 2);

    for (size_t i = 0; i < bytes.len; i++) {
        at[2 * i] = hex_digit(bytes.data[i] >> 4);
        at[2 * i + 1] = hex_digit(bytes.data[i] & 15U);
    }
    hf_buf_grew(buf, bytes.len * 2);
}

/* All ones when low <= c <= high, else zero. */
static unsigned in_range(unsigned c, unsigned low, unsigned high)
{
    return (((low - 1 - c) & (c - high - 1)) >> 8) & 0xffU;
}

/* The value of a hex digit in the low bits; bit 8 is set when it is none. */
static unsigned hex_value(uint8_t c)
{
    unsigned digit = in_range(c, '0', '9');
    unsigned letter = in_range(c | 0x20U, 'a', 'f');

    return (digit & (c - '0')) | (letter & ((c | 0x20U) - 'a' + 10)) |
           ((~(digit | letter) & 0xffU) << 1 & 0x100U);
}

struct hf_status hf_hex_decode(struct hf_op *op, struct hf_bytes text, struct hf_buf *out)
{
    uint8_t *at;
    unsigned seen = 0;

    if (text.len % 2 != 0) {
        return hf_fail(op, HF_INVALID, "a hex text has an odd number of digits");
    }
    at = hf_buf_reserve(out, text.len / 2);
    for (size_t i = 0; i < text.len / 2; i++) {
        unsigned high = hex_value(text.data[2 * i]);
        unsigned low = hex_value(text.data[2 * i + 1]);

        seen |= high | low;
        at[i] = (uint8_t)((high << 4 | low) & 0xffU);
    }
    if ((seen & 0x100U) != 0) {
        hf_wipe(at, text.len / 2);
        return hf_fail(op, HF_INVALID, "a hex text has a character that is no hex digit");
    }
    hf_buf_grew(out, text.len / 2);
    return HF_SUCCESS;
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void hf_percent_add(struct hf_buf *buf, struct hf_bytes bytes)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];

        if (is_unreserved(c)) {
            hf_buf_add(buf, &c, 1);
        } else {
            const char escape[3] = { '%', digits[c >> 4], digits[c & 15] };

            hf_buf_add(buf, escape, sizeof escape);
        }
    }
}

struct hf_status hf_percent_decode(struct hf_op *op, struct hf_bytes text, bool plus_is_space,
                                   struct hf_buf *out)
{
    uint8_t *at = hf_buf_reserve(out, text.len);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c == '%') {
            unsigned high = i + 2 < text.len ? hex_value(text.data[i + 1]) : 0x100U;
            unsigned low = i + 2 < text.len ? hex_value(text.data[i + 2]) : 0x100U;

            if (((high | low) & 0x100U) != 0) {
                hf_wipe(at, len);
                return hf_fail(op, HF_INVALID,
                               "a percent sign at byte %zu is not followed by two "
                               "hex digits",
                               i);
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        at[len++] = c;
    }
    hf_buf_grew(out, len);
    return HF_SUCCESS;
}

bool hf_pattern_matches(const char *pattern, const char *text)
{
    const char *star = NULL;  /* behind the last '*' seen */
    const char *retry = NULL; /* where the text of that '*' ends for now */

    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

/* How many bytes from here on are ASCII and not NUL, counted in whole words. */
static size_t plain_words(struct hf_bytes text, size_t from)
{
    const uint64_t high = 0x8080808080808080U;
    const uint64_t ones = 0x0101010101010101U;
    size_t at = from;

    while (text.len - at >= sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, text.data + at, sizeof word);
        /* Subtracting one borrows into the high bit of a zero byte. */
        if (((word | (word - ones)) & high) != 0) {
            break;
        }
        at += sizeof word;
    }
    return at - from;
}

bool hf_text_is_utf8(struct hf_bytes text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t len;

        at += plain_words(text, at);
        if (at == text.len) {
            break;
        }
        len = hf_utf8_len(text, at);
        if (len == 0 || text.data[at] == '\0') {
            return false;
        }
        at += len;
    }
    return true;
}

/* Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. */
static void civil_date(uint64_t day, uint64_t *year, unsigned *month, unsigned *day_of_month)
{
    /* Counted from 0000-03-01, so that the leap day comes last in a year; eras of 400 years. */
    uint64_t shifted = day + 719468;
    uint64_t era = shifted / 146097;
    unsigned of_era = (unsigned)(shifted % 146097);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * of_year + 2) / 153;

    *day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = era * 400 + year_of_era + (*month <= 2);
}

/* Writes the last `width` decimal digits of a value. */
static void put_digits(uint8_t *at, size_t width, uint64_t value)
{
    while (width > 0) {
        at[--width] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

void hf_date_add(struct hf_buf *buf, uint64_t realtime_ms)
{
    static const char form[] = "-mm-ddThh:mm:ss.mmmZ";
    uint64_t seconds = realtime_ms / 1000;
    unsigned of_day = (unsigned)(seconds % 86400);
    uint64_t year;
    unsigned month;
    unsigned day;
    uint8_t *at;

    civil_date(seconds / 86400, &year, &month, &day);
    hf_decimal_add(buf, year);
    at = hf_buf_reserve(buf, sizeof form - 1);
    memcpy(at, form, sizeof form - 1);
    put_digits(at + 1, 2, month);
    put_digits(at + 4, 2, day);
    put_digits(at + 7, 2, of_day / 3600);
    put_digits(at + 10, 2, of_day / 60 % 60);
    put_digits(at + 13, 2, of_day % 60);
    put_digits(at + 16, 3, realtime_ms % 1000);
    hf_buf_grew(buf, sizeof form - 1);
}

void hf_decimal_add(struct hf_buf *buf, uint64_t value)
{
    size_t width = 1;

    for (uint64_t rest = value; rest >= 10; rest /= 10) {
        width++;
    }
    put_digits(hf_buf_reserve(buf, width), width, value);
    hf_buf_grew(buf, width);
}

struct hf_status hf_parse_u64(struct hf_op *op, const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    /* A leading zero would give one number two spellings. */
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0')) {
        return hf_fail(op, HF_INVALID, "\"%.32s\" is not a whole number", text);
    }
    for (const char *at = text; *at != '\0'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (*at < '0' || *at > '9') {
            return hf_fail(op, HF_INVALID, "\"%.32s\" is not a whole number", text);
        }
        if (digit > max || value > (max - digit) / 10) {
            return hf_fail(op, HF_INVALID, "\"%.32s\" is more than %llu", text,
                           (unsigned long long)max);
        }
        value = value * 10 + digit;
    }
    *out = value;
    return HF_SUCCESS;
}
