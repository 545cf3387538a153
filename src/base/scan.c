/* The scanner for hot bodies. */
#include "base/scan.h"

#include "base/json_plain.h"
#include "base/utf8.h"

#define DEPTH_MAX   4        /* an array of objects of objects, and one more */
#define MEMBERS_MAX 64       /* of one object, so that looking for duplicates stays cheap */
#define BEHIND_END  SIZE_MAX /* where a walk stands once it has seen the end of its array */

/* Where the walk is, and what stopped it. */
struct walk {
    struct hf_bytes text;
    size_t at;
    const char *wrong; /* NULL while nothing is */
};

/*
 * The list of names seen is written before it is read; a compiler that zeroes locals for safety
 * would spend more time on it than on the scan.
 */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define WRITTEN_FIRST __attribute__((uninitialized))
#endif
#endif
#ifndef WRITTEN_FIRST
#define WRITTEN_FIRST
#endif

static bool stop(struct walk *walk, const char *wrong)
{
    walk->wrong = wrong;
    return false;
}

static struct hf_status fail(struct hf_op *op, const struct walk *walk)
{
    return hf_fail(op, HF_INVALID, "the JSON text is not valid at byte %zu: %s", walk->at,
                   walk->wrong);
}

/* The next byte, or zero at the end: no byte that may stand between values is zero. */
static uint8_t peek(const struct walk *walk)
{
    return walk->at < walk->text.len ? walk->text.data[walk->at] : 0;
}

static uint8_t peek_past_space(struct walk *walk)
{
    uint8_t c = peek(walk);

    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        walk->at++;
        c = peek(walk);
    }
    return c;
}

static bool take(struct walk *walk, uint8_t wanted, const char *wrong)
{
    if (peek_past_space(walk) != wanted) {
        return stop(walk, wrong);
    }
    walk->at++;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The 16 bits of \uXXXX at an offset, or -1. */
static int32_t hex_unit(struct hf_bytes text, size_t at)
{
    int32_t unit = 0;

    if (text.len - at < 6 || text.data[at] != '\\' || text.data[at + 1] != 'u') {
        return -1;
    }
    for (size_t i = 2; i < 6; i++) {
        int digit = hex_digit(text.data[at + i]);

        if (digit < 0) {
            return -1;
        }
        unit = unit << 4 | digit;
    }
    return unit;
}

/* The code point of one or two \uXXXX, with the length of the escape; 0 when it is broken. */
static uint32_t unicode_escape(struct hf_bytes text, size_t at, size_t *out_len)
{
    int32_t first = hex_unit(text, at);
    int32_t second;

    *out_len = 6;
    if (first < 0xd800 || first > 0xdfff) {
        return first > 0 ? (uint32_t)first : 0;
    }
    second = first < 0xdc00 ? hex_unit(text, at + 6) : -1;
    if (second < 0xdc00 || second > 0xdfff) {
        return 0;
    }
    *out_len = 12;
    return 0x10000U + ((uint32_t)(first - 0xd800) << 10 | (uint32_t)(second - 0xdc00));
}

/* What an escape stands for, with its length; 0 when it is broken or stands for NUL. */
static uint32_t escape_value(struct hf_bytes text, size_t at, size_t *out_len)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (text.len - at < 2 || text.data[at + 1] == '\0') {
        return 0;
    }
    if (text.data[at + 1] == 'u') {
        return unicode_escape(text, at, out_len);
    }
    *out_len = 2;
    letter = strchr(letters, text.data[at + 1]);
    return letter != NULL ? (uint32_t)values[letter - letters] : 0;
}

static bool pass_special(struct walk *walk, bool *escaped)
{
    uint8_t c = peek(walk);
    size_t len = 0;

    if (walk->at == walk->text.len) {
        return stop(walk, "a string has no end");
    }
    if (c == '\\') {
        if (escape_value(walk->text, walk->at, &len) == 0) {
            return stop(walk, "an escape is broken");
        }
        *escaped = true;
    } else if (c < 0x20) {
        return stop(walk, "a string has a control character");
    } else {
        len = hf_utf8_len(walk->text, walk->at);
        if (len == 0) {
            return stop(walk, "it is not UTF-8");
        }
    }
    walk->at += len;
    return true;
}

/* A string, from its opening quote on. */
static bool take_string(struct walk *walk, struct hf_scan_value *out)
{
    size_t start = ++walk->at;
    bool escaped = false;

    walk->at = hf_json_plain_end(walk->text, walk->at);
    while (peek(walk) != '"') {
        if (!pass_special(walk, &escaped)) {
            return false;
        }
        walk->at = hf_json_plain_end(walk->text, walk->at);
    }
    out->kind = HF_SCAN_STRING;
    out->raw = hf_bytes_of(walk->text.data + start, walk->at - start);
    out->escaped = escaped;
    walk->at++;
    return true;
}

static size_t pass_digits(struct walk *walk)
{
    size_t start = walk->at;

    while (peek(walk) >= '0' && peek(walk) <= '9') {
        walk->at++;
    }
    return walk->at - start;
}

/* RFC 8259, 6: no leading zeros, digits on both sides of the point. */
static bool pass_number(struct walk *walk)
{
    bool good;

    walk->at += peek(walk) == '-';
    if (peek(walk) == '0') {
        walk->at++;
        good = true;
    } else {
        good = pass_digits(walk) > 0;
    }
    if (good && peek(walk) == '.') {
        walk->at++;
        good = pass_digits(walk) > 0;
    }
    if (good && (peek(walk) == 'e' || peek(walk) == 'E')) {
        walk->at++;
        walk->at += peek(walk) == '-' || peek(walk) == '+';
        good = pass_digits(walk) > 0;
    }
    return good || stop(walk, "a number is broken");
}

static bool take_word(struct walk *walk, const char *word, enum hf_scan_kind kind,
                      struct hf_scan_value *out)
{
    size_t len = strlen(word);

    if (walk->text.len - walk->at < len || memcmp(walk->text.data + walk->at, word, len) != 0) {
        return stop(walk, "a value is expected");
    }
    out->kind = kind;
    walk->at += len;
    return true;
}

static bool take_object(struct walk *walk, unsigned depth, struct hf_scan_member *members,
                        size_t count);
static bool take_array(struct walk *walk, unsigned depth);

static bool take_unquoted(struct walk *walk, unsigned depth, struct hf_scan_value *out)
{
    size_t start = walk->at;
    bool good;

    switch (peek(walk)) {
    case '{':
        out->kind = HF_SCAN_OBJECT;
        good = take_object(walk, depth + 1, NULL, 0);
        break;
    case '[':
        out->kind = HF_SCAN_ARRAY;
        good = take_array(walk, depth + 1);
        break;
    case 't':
        good = take_word(walk, "true", HF_SCAN_TRUE, out);
        break;
    case 'f':
        good = take_word(walk, "false", HF_SCAN_FALSE, out);
        break;
    case 'n':
        good = take_word(walk, "null", HF_SCAN_NULL, out);
        break;
    default:
        out->kind = HF_SCAN_NUMBER;
        good = pass_number(walk);
    }
    out->raw = hf_bytes_of(walk->text.data + start, walk->at - start);
    return good;
}

/* Any value, with the depth of what it stands in. */
static bool take_value(struct walk *walk, unsigned depth, struct hf_scan_value *out)
{
    uint8_t c = peek_past_space(walk);

    *out = (struct hf_scan_value){ .present = true };
    return c == '"' ? take_string(walk, out) : take_unquoted(walk, depth, out);
}

/* The next character of a valid raw string as a code point. */
static uint32_t next_character(struct hf_bytes *raw)
{
    uint32_t value = raw->data[0];
    size_t len = 1;

    if (value == '\\') {
        value = escape_value(*raw, 0, &len);
    } else if (value >= 0x80) {
        len = hf_utf8_len(*raw, 0);
        value &= 0xffU >> (len + 1);
        for (size_t i = 1; i < len; i++) {
            value = value << 6 | (raw->data[i] & 0x3fU);
        }
    }
    raw->data += len;
    raw->len -= len;
    return value;
}

/* Whether two names are the same once their escapes are resolved. */
static bool same_name(const struct hf_scan_value *a, const struct hf_scan_value *b)
{
    struct hf_bytes left = a->raw;
    struct hf_bytes right = b->raw;

    if (!a->escaped && !b->escaped) {
        return hf_bytes_equal(left, right);
    }
    while (left.len > 0 && right.len > 0) {
        if (next_character(&left) != next_character(&right)) {
            return false;
        }
    }
    return left.len == right.len;
}

static bool take_name(struct walk *walk, struct hf_scan_value *names, size_t seen)
{
    if (peek_past_space(walk) != '"') {
        return stop(walk, "a member's name is expected");
    }
    if (seen == MEMBERS_MAX) {
        return stop(walk, "an object has more than 64 members");
    }
    if (!take_string(walk, &names[seen])) {
        return false;
    }
    for (size_t i = 0; i < seen; i++) {
        if (same_name(&names[i], &names[seen])) {
            return stop(walk, "an object has two members of one name");
        }
    }
    return take(walk, ':', "a colon is expected");
}

/* Whether a name as it stands in the text is this one. */
static bool is_named(const struct hf_scan_value *name, const char *wanted)
{
    struct hf_scan_value plain;

    if (!name->escaped) {
        /* No raw name has a zero byte, so the end of wanted never matches early. */
        return strncmp((const char *)name->raw.data, wanted, name->raw.len) == 0 &&
               wanted[name->raw.len] == '\0';
    }
    plain = (struct hf_scan_value){ .raw = hf_bytes_of_text(wanted) };
    return same_name(&plain, name);
}

static struct hf_scan_member *find_member(struct hf_scan_member *members, size_t count,
                                          const struct hf_scan_value *name)
{
    for (size_t i = 0; i < count; i++) {
        if (is_named(name, members[i].name)) {
            return &members[i];
        }
    }
    return NULL;
}

/* Any value; the members of an object are looked for on the way. */
static bool take_with_members(struct walk *walk, unsigned depth, struct hf_scan_value *out,
                              struct hf_scan_member *members, size_t count)
{
    size_t start;
    bool good;

    if (peek_past_space(walk) != '{') {
        return take_value(walk, depth, out);
    }
    start = walk->at;
    good = take_object(walk, depth + 1, members, count);
    *out = (struct hf_scan_value){ .kind = HF_SCAN_OBJECT,
                                   .raw = hf_bytes_of(walk->text.data + start, walk->at - start),
                                   .present = true };
    return good;
}

static bool take_member(struct walk *walk, unsigned depth, struct hf_scan_member *members,
                        size_t count, const struct hf_scan_value *name)
{
    struct hf_scan_member *member = find_member(members, count, name);
    struct hf_scan_value unwanted;

    if (member == NULL) {
        return take_value(walk, depth, &unwanted);
    }
    return take_with_members(walk, depth, &member->value, member->inner, member->inner_count);
}

/* An object at a depth, the outermost being at 1; fills the members that are wanted. */
static bool take_object(struct walk *walk, unsigned depth, struct hf_scan_member *members,
                        size_t count)
{
    struct hf_scan_value names[MEMBERS_MAX] WRITTEN_FIRST;
    size_t seen = 0;

    if (depth > DEPTH_MAX) {
        return stop(walk, "it nests too deeply");
    }
    if (!take(walk, '{', "an object is expected")) {
        return false;
    }
    if (peek_past_space(walk) == '}') {
        walk->at++;
        return true;
    }
    do {
        if (!take_name(walk, names, seen) ||
            !take_member(walk, depth, members, count, &names[seen])) {
            return false;
        }
        seen++;
    } while (peek_past_space(walk) == ',' && walk->at++ < walk->text.len);
    return take(walk, '}', "a comma or the end of an object is expected");
}

static bool take_array(struct walk *walk, unsigned depth)
{
    struct hf_scan_value unwanted;

    if (depth > DEPTH_MAX) {
        return stop(walk, "it nests too deeply");
    }
    if (!take(walk, '[', "an array is expected")) {
        return false;
    }
    if (peek_past_space(walk) == ']') {
        walk->at++;
        return true;
    }
    do {
        if (!take_value(walk, depth, &unwanted)) {
            return false;
        }
    } while (peek_past_space(walk) == ',' && walk->at++ < walk->text.len);
    return take(walk, ']', "a comma or the end of an array is expected");
}

static bool take_end(struct walk *walk)
{
    (void)peek_past_space(walk);
    return walk->at == walk->text.len || stop(walk, "something follows after its end");
}

static void clear_members(struct hf_scan_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        members[i].value = (struct hf_scan_value){ .present = false };
        for (size_t j = 0; j < members[i].inner_count; j++) {
            members[i].inner[j].value = (struct hf_scan_value){ .present = false };
        }
    }
}

struct hf_status hf_scan_object(struct hf_op *op, struct hf_bytes text,
                                struct hf_scan_member *members, size_t count)
{
    struct walk walk = { .text = text };

    clear_members(members, count);
    if (!take_object(&walk, 1, members, count) || !take_end(&walk)) {
        return fail(op, &walk);
    }
    return HF_SUCCESS;
}

void hf_scan_array_init(struct hf_scan_array *array, struct hf_bytes text)
{
    *array = (struct hf_scan_array){ .text = text };
}

/* To the next element; *more is false behind the last one. */
static bool take_separator(struct walk *walk, bool started, bool *more)
{
    uint8_t c;

    if (!started) {
        if (!take(walk, '[', "an array is expected")) {
            return false;
        }
        c = peek_past_space(walk);
        *more = c != ']';
        walk->at += c == ']';
        return *more || take_end(walk);
    }
    c = peek_past_space(walk);
    *more = c == ',';
    if (*more) {
        walk->at++;
        return true;
    }
    return take(walk, ']', "a comma or the end of an array is expected") && take_end(walk);
}

struct hf_status hf_scan_array_next(struct hf_op *op, struct hf_scan_array *array,
                                    struct hf_scan_value *out)
{
    return hf_scan_array_next_object(op, array, NULL, 0, out);
}

struct hf_status hf_scan_array_next_object(struct hf_op *op, struct hf_scan_array *array,
                                           struct hf_scan_member *members, size_t count,
                                           struct hf_scan_value *out)
{
    struct walk walk = { .text = array->text, .at = array->at };
    struct hf_scan_value value = { .present = false };
    bool more = false;

    if (array->at == BEHIND_END) {
        *out = value;
        return HF_SUCCESS;
    }
    clear_members(members, count);
    if (!take_separator(&walk, array->started, &more) ||
        (more && !take_with_members(&walk, 1, &value, members, count))) {
        return fail(op, &walk);
    }
    array->started = true;
    array->at = more ? walk.at : BEHIND_END;
    *out = value;
    return HF_SUCCESS;
}

struct hf_status hf_scan_text(struct hf_op *op, const struct hf_scan_value *value,
                              struct hf_buf *out)
{
    struct hf_bytes raw = value->raw;

    if (!value->present || value->kind != HF_SCAN_STRING) {
        return hf_fail(op, HF_INVALID, "a JSON string is expected");
    }
    if (!value->escaped) {
        hf_buf_add_bytes(out, raw);
        return HF_SUCCESS;
    }
    while (raw.len > 0) {
        uint8_t *at = hf_buf_reserve(out, HF_UTF8_MAX);

        hf_buf_grew(out, hf_utf8_put(next_character(&raw), at));
    }
    return HF_SUCCESS;
}
