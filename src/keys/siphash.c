/* SipHash (Aumasson and Bernstein) with one round per word and three at the end. */
#include "keys/siphash.h"

#include "base/assert.h"
#include "keys/name.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void mix(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void take_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

uint64_t hf_siphash(const struct hf_siphash_seed *seed, struct hf_bytes bytes)
{
    struct state s = {
        seed->words[0] ^ 0x736f6d6570736575,
        seed->words[1] ^ 0x646f72616e646f6d,
        seed->words[0] ^ 0x6c7967656e657261,
        seed->words[1] ^ 0x7465646279746573,
    };
    size_t at = 0;
    uint64_t last = (uint64_t)bytes.len << 56;

    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t word = 0;

        memcpy(&word, bytes.data + at, 8);
        take_word(&s, word);
    }
    for (unsigned shift = 0; at < bytes.len; at++, shift += 8) {
        last |= (uint64_t)bytes.data[at] << shift;
    }
    take_word(&s, last);
    s.v2 ^= 0xff;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hf_siphash_name(const struct hf_siphash_seed *seed, const char *keyring,
                         struct hf_bytes name)
{
    uint8_t text[HF_KEYRING_NAME_MAX + 1 + HF_NAME_MAX];
    struct hf_bytes ring = hf_bytes_of_text(keyring);

    hf_assert(ring.len <= HF_KEYRING_NAME_MAX && name.len <= HF_NAME_MAX);
    memcpy(text, ring.data, ring.len);
    text[ring.len] = '/'; /* in no keyring's name, so the two cannot run together */
    memcpy(text + ring.len + 1, name.data, name.len);
    return hf_siphash(seed, hf_bytes_of(text, ring.len + 1 + name.len));
}
