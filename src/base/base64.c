/*
 * Base64, RFC 4648.
 *
 * It is on the hot path and sees keys, so characters are translated 16 at a time by comparing and
 * adding, never by a table lookup whose place in the cache would tell of the value.
 */
#include "base/text.h"

#include <endian.h>

#include "base/alloc.h"

#define LANES      16 /* characters at a time */
#define LANE_BYTES 12 /* the bytes they stand for */

typedef uint8_t lanes __attribute__((vector_size(LANES)));
typedef uint64_t words __attribute__((vector_size(LANES)));

/* All bits of those lanes that lie from `low` on and below `low + count`. */
static lanes within(lanes values, uint8_t low, uint8_t count)
{
    return (lanes)(values - low < count);
}

static lanes is(lanes values, uint8_t value)
{
    return (lanes)(values == value);
}

/* What the last two characters of an alphabet are away from where '9' left off. */
struct alphabet {
    uint8_t for_62;
    uint8_t for_63;
};

static const struct alphabet standard = { '+', '/' };
static const struct alphabet url_safe = { '-', '_' };

/* Characters for values below 64. */
static lanes to_characters(lanes values, struct alphabet alphabet)
{
    lanes above_25 = (lanes)(values > 25);
    lanes above_51 = (lanes)(values > 51);
    lanes is_62 = is(values, 62);
    lanes is_63 = is(values, 63);

    return values + 'A' + (above_25 & ('a' - 26 - 'A')) + (above_51 & (uint8_t)('0' - 26 - 'a')) +
           (is_62 & (uint8_t)(alphabet.for_62 - 10 - '0')) +
           (is_63 & (uint8_t)(alphabet.for_63 - 11 - '0'));
}

/* The same for one. */
static uint8_t to_character(unsigned value, struct alphabet alphabet)
{
    unsigned above_25 = (25U - value) >> 8;
    unsigned above_51 = (51U - value) >> 8;
    unsigned is_62 = ((value ^ 62U) - 1) >> 8;
    unsigned is_63 = ((value ^ 63U) - 1) >> 8;

    return (uint8_t)(value + 'A' + (above_25 & (unsigned)('a' - 26 - 'A')) +
                     (above_51 & (unsigned)('0' - 26 - 'a')) +
                     (is_62 & (unsigned)(alphabet.for_62 - 10 - '0')) +
                     (is_63 & (unsigned)(alphabet.for_63 - 11 - '0')));
}

/* Values of characters of both alphabets; *out_valid has all bits of a lane set where it is one. */
static lanes to_values(lanes characters, lanes *out_valid)
{
    lanes letter = within(characters | 0x20, 'a', 26);
    lanes digit = within(characters, '0', 10);
    lanes is_62 = is(characters, '+') | is(characters, '-');
    lanes is_63 = is(characters, '/') | is(characters, '_');
    lanes lower = is(characters & 0x20, 0x20);
    lanes from_a = (characters & 0x1f) - 1 + (lower & 26);

    *out_valid = letter | digit | is_62 | is_63;
    return (letter & from_a) | (digit & (characters + (52 - '0'))) | (is_62 & 62) | (is_63 & 63);
}

/* Spreads the low 48 bits, six at a time, over eight bytes. */
static uint64_t spread(uint64_t bits)
{
    bits = (bits & 0xffffff000000U) << 8 | (bits & 0xffffffU);
    bits = (bits & 0x00fff00000fff000U) << 4 | (bits & 0x00000fff00000fffU);
    return (bits & 0x0fc00fc00fc00fc0U) << 2 | (bits & 0x003f003f003f003fU);
}

/* The other way round. */
static uint64_t gather(uint64_t bytes)
{
    bytes = (bytes & 0x3f003f003f003f00U) >> 2 | (bytes & 0x003f003f003f003fU);
    bytes = (bytes & 0x0fff00000fff0000U) >> 4 | (bytes & 0x00000fff00000fffU);
    return (bytes & 0x00ffffff00000000U) >> 8 | (bytes & 0x0000000000ffffffU);
}

static uint64_t load(const uint8_t *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof word);
    return be64toh(word);
}

/* Twelve bytes as sixteen characters. Reads and writes exactly that. */
static void encode_block(const uint8_t *in, uint8_t *out, struct alphabet alphabet)
{
    /* Both loads are of eight bytes, six of which count: the front, and the end. */
    uint64_t front = load(in) >> 16;
    uint64_t end = load(in + 4) & 0xffffffffffffU;
    words values = { htobe64(spread(front)), htobe64(spread(end)) };
    lanes characters = to_characters((lanes)values, alphabet);

    memcpy(out, &characters, sizeof characters);
}

/* Sixteen values as twelve bytes. */
static void pack_block(lanes values, uint8_t *out)
{
    uint64_t front = gather(be64toh(((words)values)[0]));
    uint64_t end = gather(be64toh(((words)values)[1]));
    uint64_t first_eight = htobe64(front << 16 | end >> 32);
    uint32_t last_four = htobe32((uint32_t)end);

    memcpy(out, &first_eight, sizeof first_eight);
    memcpy(out + sizeof first_eight, &last_four, sizeof last_four);
}

/* How many characters stand for len bytes, without padding. */
static size_t characters_for(size_t len)
{
    return len / 3 * 4 + (len % 3 * 4 + 2) / 3;
}

/* Up to three bytes as so many characters and one, or four. */
static void encode_triple(const uint8_t *in, size_t len, uint8_t *out, struct alphabet alphabet)
{
    unsigned bits = (unsigned)in[0] << 16 | (len > 1 ? (unsigned)in[1] << 8 : 0) |
                    (len > 2 ? (unsigned)in[2] : 0);

    out[0] = to_character(bits >> 18, alphabet);
    out[1] = to_character(bits >> 12 & 0x3fU, alphabet);
    if (len > 1) {
        out[2] = to_character(bits >> 6 & 0x3fU, alphabet);
    }
    if (len > 2) {
        out[3] = to_character(bits & 0x3fU, alphabet);
    }
}

static size_t encode(struct hf_buf *buf, struct hf_bytes bytes, struct alphabet alphabet)
{
    size_t characters = characters_for(bytes.len);
    size_t whole = bytes.len / 3 * 3; /* bytes that fill groups of four characters */
    uint8_t *out = hf_buf_reserve(buf, characters);
    size_t at = 0;

    for (; whole - at >= LANE_BYTES; at += LANE_BYTES) {
        encode_block(bytes.data + at, out + at / 3 * 4, alphabet);
    }
    if (whole > LANE_BYTES && at < whole) {
        /* Once more over some that are done already is quicker than three at a time. */
        encode_block(bytes.data + whole - LANE_BYTES, out + whole / 3 * 4 - LANES, alphabet);
        at = whole;
    }
    for (; at < bytes.len; at += 3) {
        encode_triple(bytes.data + at, bytes.len - at, out + at / 3 * 4, alphabet);
    }
    hf_buf_grew(buf, characters);
    return characters;
}

void hf_base64_add(struct hf_buf *buf, struct hf_bytes bytes)
{
    size_t characters = encode(buf, bytes, standard);

    hf_buf_add(buf, "===", (4 - characters % 4) % 4);
}

void hf_base64url_add(struct hf_buf *buf, struct hf_bytes bytes)
{
    (void)encode(buf, bytes, url_safe);
}

size_t hf_base64_max(size_t len)
{
    return len / 4 * 3 + len % 4 * 3 / 4;
}

/* Nonzero when any lane is. */
static uint64_t any(lanes mask)
{
    return ((words)mask)[0] | ((words)mask)[1];
}

/* Decodes one block, unless a foreign character is in it. */
static bool decode_block(const uint8_t *in, uint8_t *out)
{
    lanes characters;
    lanes valid;
    lanes values;

    memcpy(&characters, in, sizeof characters);
    values = to_values(characters, &valid);
    if (any(~valid) != 0) {
        return false;
    }
    pack_block(values, out);
    return true;
}

/*
 * Decodes groups of four characters up to the end, or whole blocks up to one with a foreign
 * character in it; returns how many characters that were.
 */
static size_t decode_blocks(struct hf_bytes text, uint8_t *out)
{
    size_t whole = text.len / 4 * 4;
    size_t at = 0;

    while (text.len - at >= LANES && decode_block(text.data + at, out + at / 4 * 3)) {
        at += LANES;
    }
    if (whole > LANES && at < whole && whole - at < LANES &&
        decode_block(text.data + whole - LANES, out + (whole - LANES) / 4 * 3)) {
        /* That went once more over some that were done already. */
        at = whole;
    }
    return at;
}

/* Values waiting to become bytes. */
struct pending {
    uint8_t *out;
    uint32_t bits;
    unsigned count; /* of values in bits */
};

static void push_value(struct pending *pending, uint8_t value)
{
    pending->bits = pending->bits << 6 | value;
    if (++pending->count == 4) {
        *pending->out++ = (uint8_t)(pending->bits >> 16);
        *pending->out++ = (uint8_t)(pending->bits >> 8);
        *pending->out++ = (uint8_t)pending->bits;
        pending->bits = 0;
        pending->count = 0;
    }
}

/* The last two or three values; a single one is six bits of nothing and is dropped. */
static void push_end(struct pending *pending)
{
    if (pending->count == 2) {
        *pending->out++ = (uint8_t)(pending->bits >> 4);
    } else if (pending->count == 3) {
        *pending->out++ = (uint8_t)(pending->bits >> 10);
        *pending->out++ = (uint8_t)(pending->bits >> 2);
    }
}

/* All ones when low <= c <= high, else zero. */
static unsigned in_range(unsigned c, unsigned low, unsigned high)
{
    return ((low - 1 - c) & (c - high - 1)) >> 8;
}

/* The value of one character of both alphabets, or something above 63. */
static unsigned value_of(unsigned c)
{
    unsigned upper = in_range(c, 'A', 'Z');
    unsigned lower = in_range(c, 'a', 'z');
    unsigned digit = in_range(c, '0', '9');
    unsigned is_62 = in_range(c, '+', '+') | in_range(c, '-', '-');
    unsigned is_63 = in_range(c, '/', '/') | in_range(c, '_', '_');

    return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) |
           (is_62 & 62U) | (is_63 & 63U) | (~(upper | lower | digit | is_62 | is_63) & 64U);
}

/* A piece with foreign characters in it, or a short one; false once padding has ended the text. */
static bool decode_mixed(struct hf_bytes piece, struct pending *pending)
{
    for (size_t i = 0; i < piece.len; i++) {
        unsigned value = value_of(piece.data[i]);

        if (piece.data[i] == '=') {
            return false;
        }
        if (value < 64) {
            push_value(pending, (uint8_t)value);
        }
    }
    return true;
}

/* The text without the padding at its end. */
static struct hf_bytes without_padding(struct hf_bytes text)
{
    for (unsigned i = 0; i < 2 && text.len > 0 && text.data[text.len - 1] == '='; i++) {
        text.len--;
    }
    return text;
}

size_t hf_base64_decode_lenient(struct hf_bytes text, uint8_t *out)
{
    struct hf_bytes rest = without_padding(text);
    struct pending pending = { .out = out };
    bool more = true;

    while (more && rest.len > 0) {
        size_t taken = pending.count == 0 ? decode_blocks(rest, pending.out) : 0;
        size_t mixed = rest.len - taken < LANES ? rest.len - taken : LANES;

        pending.out += taken / 4 * 3;
        more = decode_mixed(hf_bytes_of(rest.data + taken, mixed), &pending);
        rest = hf_bytes_of(rest.data + taken + mixed, rest.len - taken - mixed);
    }
    push_end(&pending);
    return (size_t)(pending.out - out);
}

/* The last, perhaps padded, characters of a strict text: a multiple of four, at most one block. */
static bool decode_strict_end(struct hf_bytes block, uint8_t *out, size_t *out_len)
{
    size_t padding = 0;
    lanes characters;
    lanes valid;
    lanes values;
    uint8_t bytes[LANE_BYTES];
    size_t len;
    bool canonical;

    while (padding < 2 && padding < block.len && block.data[block.len - 1 - padding] == '=') {
        padding++;
    }
    /* 'A' stands for zero bits, also in place of the padding. */
    memset(&characters, 'A', sizeof characters);
    memcpy(&characters, block.data, block.len - padding);
    values = to_values(characters, &valid);
    pack_block(values, bytes);
    len = block.len / 4 * 3 - padding;
    /* The bits under the padding must be zero. */
    canonical = any(~valid) == 0 && (padding == 0 || bytes[len] == 0);
    if (canonical) {
        memcpy(out, bytes, len);
        *out_len = len;
    }
    hf_wipe(bytes, sizeof bytes);
    return canonical;
}

bool hf_base64_decode_strict(struct hf_bytes text, uint8_t *out, size_t *out_len)
{
    size_t taken;
    size_t end_len = 0;
    struct hf_bytes rest;

    if (text.len == 0) {
        *out_len = 0;
        return true;
    }
    if (text.len % 4 != 0 || memchr(text.data, '-', text.len) != NULL ||
        memchr(text.data, '_', text.len) != NULL) {
        return false;
    }
    taken = decode_blocks(text, out);
    rest = hf_bytes_of(text.data + taken, text.len - taken);
    if (rest.len > LANES ||
        (rest.len > 0 && !decode_strict_end(rest, out + taken / 4 * 3, &end_len))) {
        return false;
    }
    *out_len = taken / 4 * 3 + end_len;
    return true;
}
