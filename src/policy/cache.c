/* Decisions remembered per lane, in pairs of places chosen by a hash and compared in full. */
#include "policy/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define LANES    64
#define PLACES   2048 /* per lane; a power of two */
#define TEXT_MAX 768  /* of the three names together */

struct decision {
    uint64_t generation; /* 0: empty */
    uint64_t hash;
    char *text; /* caller, keyring and key, one after the other */
    uint16_t lens[3];
    bool is_given[3];
    enum hf_action action;
};

struct lane {
    _Alignas(64) pthread_mutex_t lock; /* guards places */
    struct decision *places;           /* NULL until the lane is used */
};

struct hf_decisions {
    struct lane lanes[LANES];
};

/* A question as the table looks for it; the texts stay where they are. */
struct wanted {
    uint64_t hash;
    struct hf_bytes parts[3]; /* caller, keyring, key; data NULL: none was given */
    enum hf_action action;
    size_t len; /* of the parts together */
};

struct hf_decisions *hf_decisions_new(void)
{
    struct hf_decisions *decisions = aligned_alloc(64, sizeof *decisions);

    if (decisions == NULL) {
        abort();
    }
    memset(decisions, 0, sizeof *decisions);
    for (size_t i = 0; i < LANES; i++) {
        pthread_mutex_init(&decisions->lanes[i].lock, NULL);
    }
    return decisions;
}

void hf_decisions_free(struct hf_decisions *decisions)
{
    if (decisions == NULL) {
        return;
    }
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &decisions->lanes[i];

        for (size_t j = 0; lane->places != NULL && j < PLACES; j++) {
            free(lane->places[j].text);
        }
        free(lane->places);
        pthread_mutex_destroy(&lane->lock);
    }
    free(decisions);
}

/* Mixes eight bytes at a time. Who finds collisions only makes his own requests slower. */
static uint64_t hash_bytes(struct hf_bytes bytes, uint64_t hash)
{
    const uint64_t factor = 0x9e3779b97f4a7c15U;
    size_t at = 0;
    uint64_t word;

    for (; bytes.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes.data + at, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 29;
    }
    word = bytes.len + 1;
    for (; at < bytes.len; at++) {
        word = word << 8 | bytes.data[at];
    }
    hash = (hash ^ word) * factor;
    return hash ^ hash >> 29;
}

static struct hf_bytes part_of(const char *text)
{
    return text != NULL ? hf_bytes_of_text(text) : HF_BYTES_NONE;
}

/* False for names that are too long to be kept. */
static bool want(const struct hf_question *question, struct wanted *out)
{
    out->parts[0] = part_of(question->caller);
    out->parts[1] = part_of(question->keyring);
    out->parts[2] = part_of(question->key);
    out->action = question->action;
    out->hash = (uint64_t)question->action + 1;
    out->len = 0;
    for (size_t i = 0; i < HF_COUNT(out->parts); i++) {
        out->hash = hash_bytes(out->parts[i], out->hash);
        out->len += out->parts[i].len;
    }
    return out->len <= TEXT_MAX;
}

static bool is_same(const struct decision *decision, const struct wanted *wanted)
{
    const char *at = decision->text;

    if (decision->hash != wanted->hash || decision->action != wanted->action) {
        return false;
    }
    for (size_t i = 0; i < HF_COUNT(wanted->parts); i++) {
        struct hf_bytes part = wanted->parts[i];

        if (decision->is_given[i] != (part.data != NULL) || decision->lens[i] != part.len ||
            (part.len > 0 && memcmp(at, part.data, part.len) != 0)) {
            return false;
        }
        at += part.len;
    }
    return true;
}

static struct decision *first_place(struct lane *lane, const struct wanted *wanted)
{
    return &lane->places[(wanted->hash & (PLACES - 1)) & ~(uint64_t)1];
}

bool hf_decisions_has(struct hf_decisions *decisions, unsigned lane_number, uint64_t generation,
                      const struct hf_question *question)
{
    struct lane *lane = &decisions->lanes[lane_number % LANES];
    struct wanted wanted;
    bool found = false;

    if (!want(question, &wanted)) {
        return false;
    }
    pthread_mutex_lock(&lane->lock);
    if (lane->places != NULL) {
        const struct decision *pair = first_place(lane, &wanted);

        for (size_t i = 0; i < 2 && !found; i++) {
            found = pair[i].generation == generation && is_same(&pair[i], &wanted);
        }
    }
    pthread_mutex_unlock(&lane->lock);
    return found;
}

static void fill(struct decision *decision, uint64_t generation, const struct wanted *wanted)
{
    char *at;

    free(decision->text);
    at = decision->text = hf_alloc(wanted->len + 1);
    for (size_t i = 0; i < HF_COUNT(wanted->parts); i++) {
        struct hf_bytes part = wanted->parts[i];

        decision->is_given[i] = part.data != NULL;
        decision->lens[i] = (uint16_t)part.len;
        if (part.len > 0) {
            memcpy(at, part.data, part.len);
            at += part.len;
        }
    }
    decision->hash = wanted->hash;
    decision->action = wanted->action;
    decision->generation = generation;
}

/* The caller holds the lane. */
static void remember(struct lane *lane, uint64_t generation, const struct wanted *wanted)
{
    struct decision *pair, *place;

    if (lane->places == NULL) {
        lane->places = hf_alloc_array(PLACES, sizeof *lane->places);
    }
    /* An outdated one of the pair goes first; else the one that a bit of the hash picks. */
    pair = first_place(lane, wanted);
    place = &pair[(wanted->hash >> 32) & 1];
    for (size_t i = 0; i < 2; i++) {
        if (pair[i].generation != generation) {
            place = &pair[i];
        }
    }
    fill(place, generation, wanted);
}

void hf_decisions_put(struct hf_decisions *decisions, unsigned lane_number, uint64_t generation,
                      const struct hf_question *question)
{
    struct lane *lane = &decisions->lanes[lane_number % LANES];
    struct wanted wanted;

    if (want(question, &wanted)) {
        pthread_mutex_lock(&lane->lock);
        remember(lane, generation, &wanted);
        pthread_mutex_unlock(&lane->lock);
    }
}
