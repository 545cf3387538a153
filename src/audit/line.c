/* Reading lines: the frame, and the members of the trail's own lines. */
#include "audit/line.h"

#include "base/codec.h"
#include "base/scan.h"
#include "base/text.h"

#define DATE_LEN 24
#define HASH_HEX (2 * HF_SHA256_LEN)

static const char line_start[] = "{\"n\":";
static const char date_start[] = ",\"t\":\"";
static const char node_start[] = "\",\"node\":\"";
static const char seq_start[] = ",\"seq\":";
static const char hash_start[] = ",\"h\":\"";
static const char line_end[] = "\"}";

static struct hf_status not_a_line(struct hf_op *op, const char *wrong)
{
    return hf_fail(op, HF_CORRUPT, "it is not a line of an audit trail: %s", wrong);
}

/* Steps over a text that must stand here. */
static bool take_text(struct hf_bytes *rest, const char *text)
{
    size_t len = strlen(text);

    if (rest->len < len || memcmp(rest->data, text, len) != 0) {
        return false;
    }
    *rest = hf_bytes_of(rest->data + len, rest->len - len);
    return true;
}

/* Steps over a number: decimal, not zero-filled, at most 2^64 - 1. */
static bool take_number(struct hf_bytes *rest, uint64_t *out)
{
    uint64_t value = 0;
    size_t len = 0;

    while (len < rest->len && rest->data[len] >= '0' && rest->data[len] <= '9') {
        unsigned digit = (unsigned)(rest->data[len] - '0');

        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        len++;
    }
    if (len == 0 || (rest->data[0] == '0' && len > 1)) {
        return false;
    }
    *rest = hf_bytes_of(rest->data + len, rest->len - len);
    *out = value;
    return true;
}

/*
 * One digit. Without branches, which nobody could predict here and which made reading a hash dearer
 * than computing it. What is no digit makes *foreign other than zero.
 */
static unsigned hex_digit(unsigned c, unsigned *foreign)
{
    unsigned is_decimal = c - '0' < 10U;
    unsigned is_letter = c - 'a' < 6U;

    *foreign |= (is_decimal | is_letter) ^ 1U;
    return (c & 0xfU) + 9 * is_letter;
}

/* Lower-case hex of exactly this many bytes: one spelling only. */
static bool read_hex(struct hf_bytes text, uint8_t *out, size_t len)
{
    unsigned foreign = 0;

    if (text.len != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(hex_digit(text.data[2 * i], &foreign) << 4 |
                           hex_digit(text.data[2 * i + 1], &foreign));
    }
    return foreign == 0;
}

/*
 * The seq of a control note is the last member, so that it is found from the end: what is before
 * ,"h" ends in a digit only when the last member is a number.
 */
static uint64_t find_seq(struct hf_bytes members)
{
    size_t name_len = sizeof seq_start - 1;
    size_t at = members.len;
    struct hf_bytes rest;
    uint64_t seq;

    while (at > 0 && members.data[at - 1] >= '0' && members.data[at - 1] <= '9') {
        at--;
    }
    if (at < name_len || memcmp(members.data + at - name_len, seq_start, name_len) != 0) {
        return 0;
    }
    rest = hf_bytes_of(members.data + at, members.len - at);
    return take_number(&rest, &seq) ? seq : 0;
}

/* Number and date; *rest is what follows the date. */
static bool parse_start(struct hf_bytes *rest, struct hf_audit_line *out)
{
    if (!take_text(rest, line_start) || !take_number(rest, &out->number) ||
        !take_text(rest, date_start) || rest->len < DATE_LEN) {
        return false;
    }
    out->date = hf_bytes_of(rest->data, DATE_LEN);
    *rest = hf_bytes_of(rest->data + DATE_LEN, rest->len - DATE_LEN);
    return memchr(out->date.data, '"', DATE_LEN) == NULL && rest->len > 0 && rest->data[0] == '"';
}

struct hf_status hf_audit_line_parse(struct hf_op *op, struct hf_bytes text,
                                     struct hf_audit_line *out)
{
    size_t tail_len = sizeof hash_start - 1 + HASH_HEX + sizeof line_end - 1;
    struct hf_audit_line line = { .text = text };
    struct hf_bytes rest;
    struct hf_bytes tail;
    struct hf_bytes node;

    if (text.len < tail_len || text.len > HF_AUDIT_LINE_MAX) {
        return not_a_line(op, "its length cannot be");
    }
    line.chained = hf_bytes_of(text.data, text.len - tail_len);
    tail = hf_bytes_of(text.data + line.chained.len, tail_len);
    if (!take_text(&tail, hash_start) ||
        !read_hex(hf_bytes_of(tail.data, HASH_HEX), line.hash, sizeof line.hash) ||
        memcmp(tail.data + HASH_HEX, line_end, sizeof line_end - 1) != 0) {
        return not_a_line(op, "it does not end with its hash");
    }
    rest = line.chained;
    if (!parse_start(&rest, &line)) {
        return not_a_line(op, "it does not start with its number and date");
    }
    node = rest;
    if (!take_text(&node, node_start)) {
        return not_a_line(op, "the name of the node is missing");
    }
    line.members = hf_bytes_of(rest.data + 1, rest.len - 1);
    line.seq = find_seq(line.members);
    *out = line;
    return HF_SUCCESS;
}

/* Days from 1970-01-01 to the first of a month of the Gregorian calendar. */
static uint64_t days_before_month(uint64_t year, uint64_t month)
{
    static const unsigned before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    uint64_t past = year - 1;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    /* 719162 days lie between 0001-01-01 and 1970-01-01. */
    uint64_t days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;

    return days + before[month - 1] + (leap && month > 2 ? 1 : 0);
}

uint64_t hf_audit_line_realtime_ms(const struct hf_audit_line *line)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    uint64_t part[7] = { 0 }; /* year, month, day, hour, minute, second, millisecond */
    size_t at = 0;

    for (size_t i = 0; i < DATE_LEN; i++) {
        uint8_t c = line->date.data[i];

        if (form[i] != '0') {
            if (c != (uint8_t)form[i]) {
                return 0;
            }
            at++;
        } else if (c < '0' || c > '9') {
            return 0;
        } else {
            part[at] = part[at] * 10 + (uint64_t)(c - '0');
        }
    }
    if (part[0] < 1970 || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31) {
        return 0;
    }
    return (((days_before_month(part[0], part[1]) + part[2] - 1) * 24 + part[3]) * 60 + part[4]) *
               60000 +
           part[5] * 1000 + part[6];
}

/* --- the trail's own lines --- */

enum member {
    OPERATION,
    FORMAT,
    TRAIL,
    FILE_NUMBER,
    PREVIOUS,
    LAST_SEQ,
    NEXT,
    KEY,
    SIGNATURE,
    LOST,
    MEMBERS,
};

static bool member_number(const struct hf_scan_member *member, uint64_t *out)
{
    struct hf_bytes raw = member->value.raw;

    return member->value.present && member->value.kind == HF_SCAN_NUMBER &&
           take_number(&raw, out) && raw.len == 0;
}

static bool member_hex(const struct hf_scan_member *member, uint8_t *out, size_t len)
{
    return member->value.present && member->value.kind == HF_SCAN_STRING &&
           read_hex(member->value.raw, out, len);
}

static bool member_is(const struct hf_scan_member *member, const char *text)
{
    return member->value.present && member->value.kind == HF_SCAN_STRING &&
           hf_bytes_equal_text(member->value.raw, text);
}

static const char start_operation[] = "audit.start";
static const char continue_operation[] = "audit.continue";
static const char checkpoint_operation[] = "audit.checkpoint";
static const char resumed_operation[] = "audit.resumed";
static const char repaired_operation[] = "audit.repaired";

bool hf_audit_is_own_operation(struct hf_bytes name)
{
    /* Asked for each event, of which hardly any begins so. */
    if (name.len < 6 || memcmp(name.data, "audit.", 6) != 0) {
        return false;
    }
    return hf_bytes_equal_text(name, start_operation) ||
           hf_bytes_equal_text(name, continue_operation) ||
           hf_bytes_equal_text(name, checkpoint_operation) ||
           hf_bytes_equal_text(name, resumed_operation) ||
           hf_bytes_equal_text(name, repaired_operation);
}

/* Escapes are not resolved: the trail writes its own names without. */
static bool is_own(const struct hf_scan_member *operation)
{
    return operation->value.present && operation->value.kind == HF_SCAN_STRING &&
           hf_audit_is_own_operation(operation->value.raw);
}

static bool parse_file_start(const struct hf_scan_member *members, struct hf_audit_members *out)
{
    uint64_t format;

    return member_number(&members[FORMAT], &format) && format == HF_AUDIT_FORMAT &&
           member_hex(&members[TRAIL], out->trail, sizeof out->trail) &&
           member_number(&members[FILE_NUMBER], &out->file) &&
           member_hex(&members[PREVIOUS], out->previous, sizeof out->previous) &&
           member_number(&members[LAST_SEQ], &out->last_seq);
}

static bool parse_checkpoint(const struct hf_audit_line *line, const struct hf_scan_member *members,
                             struct hf_audit_members *out)
{
    /* ,"signature":"<128 hex>" is what the checkpoint ends with, before its hash. */
    const size_t signature_len = strlen(",\"signature\":\"\"") + 2 * sizeof out->signature;
    struct hf_bytes key = members[KEY].value.raw;
    uint8_t fingerprint[HF_SHA256_LEN];

    if (!member_hex(&members[TRAIL], out->trail, sizeof out->trail) ||
        !member_hex(&members[PREVIOUS], out->previous, sizeof out->previous) ||
        !member_number(&members[NEXT], &out->next) ||
        !member_hex(&members[KEY], fingerprint, sizeof fingerprint) ||
        !member_hex(&members[SIGNATURE], out->signature, sizeof out->signature) ||
        line->members.len < signature_len) {
        return false;
    }
    memcpy(out->key, key.data, key.len);
    out->key[key.len] = '\0';
    out->signed_part = hf_bytes_of(line->chained.data, line->chained.len - signature_len);
    return members[SIGNATURE].value.raw.data ==
           out->signed_part.data + out->signed_part.len + strlen(",\"signature\":\"");
}

struct hf_status hf_audit_members_parse(struct hf_op *op, const struct hf_audit_line *line,
                                        struct hf_audit_members *out)
{
    struct hf_scan_member members[MEMBERS] = {
        [OPERATION] = { .name = "operation" }, [FORMAT] = { .name = "format" },
        [TRAIL] = { .name = "trail" },         [FILE_NUMBER] = { .name = "file" },
        [PREVIOUS] = { .name = "previous" },   [LAST_SEQ] = { .name = "last_seq" },
        [NEXT] = { .name = "next" },           [KEY] = { .name = "key" },
        [SIGNATURE] = { .name = "signature" }, [LOST] = { .name = "lost" },
    };
    const struct hf_scan_member *operation = &members[OPERATION];
    bool whole = true;

    memset(out, 0, sizeof *out);
    /* Most lines are events, of which nothing but the operation is looked at. */
    if (hf_scan_object(op, line->text, members, 1).code != HF_OK ||
        (is_own(operation) && hf_scan_object(op, line->text, members, MEMBERS).code != HF_OK)) {
        return hf_fail(op, HF_CORRUPT, "it is not a line of an audit trail: %.200s", op->text);
    }
    if (member_is(operation, start_operation) || member_is(operation, continue_operation)) {
        out->kind = HF_AUDIT_FILE_START;
        whole = parse_file_start(members, out) &&
                (out->file == 1) == member_is(operation, start_operation);
    } else if (member_is(operation, checkpoint_operation)) {
        out->kind = HF_AUDIT_CHECKPOINT;
        whole = parse_checkpoint(line, members, out);
    } else if (member_is(operation, resumed_operation)) {
        out->kind = HF_AUDIT_RESUMED;
        whole = member_number(&members[LOST], &out->lost);
    } else if (member_is(operation, repaired_operation)) {
        out->kind = HF_AUDIT_REPAIRED;
    }
    if (!whole) {
        return not_a_line(op, "a member of a line of the trail's own is missing or wrong");
    }
    return HF_SUCCESS;
}

/* --- what is hashed and signed --- */

struct hf_status hf_audit_link(struct hf_crypto *crypto, struct hf_op *op,
                               const uint8_t previous[HF_SHA256_LEN], struct hf_bytes part,
                               uint8_t out[HF_SHA256_LEN])
{
    HF_AUTO(buf) chained = hf_buf_new();

    hf_buf_add(chained, previous, HF_SHA256_LEN);
    hf_buf_add_bytes(chained, part);
    return hf_sha256(crypto, op, hf_buf_bytes(chained), out);
}

void hf_audit_signed_message(const uint8_t trail[HF_AUDIT_TRAIL_LEN], uint64_t line,
                             const uint8_t hash[HF_SHA256_LEN], uint8_t out[HF_AUDIT_SIGNED_LEN])
{
    static const char label[] = "holdfast-audit-checkpoint-1";
    uint8_t *at = out;

    _Static_assert(sizeof label - 1 + HF_AUDIT_TRAIL_LEN + 8 + HF_SHA256_LEN == HF_AUDIT_SIGNED_LEN,
                   "the length of the label is part of the format");
    memcpy(at, label, sizeof label - 1);
    at += sizeof label - 1;
    memcpy(at, trail, HF_AUDIT_TRAIL_LEN);
    at += HF_AUDIT_TRAIL_LEN;
    for (unsigned shift = 64; shift > 0; shift -= 8) {
        *at++ = (uint8_t)(line >> (shift - 8));
    }
    memcpy(at, hash, HF_SHA256_LEN);
}

struct hf_status hf_audit_fingerprint(struct hf_crypto *crypto, struct hf_op *op,
                                      struct hf_bytes spki, char out[2 * HF_SHA256_LEN + 1])
{
    HF_AUTO(buf) hex = hf_buf_new();
    uint8_t hash[HF_SHA256_LEN];

    HF_TRY(hf_sha256(crypto, op, spki, hash));
    hf_hex_add(hex, hf_bytes_of(hash, sizeof hash));
    memcpy(out, hf_buf_text(hex), hex->len + 1);
    return HF_SUCCESS;
}
