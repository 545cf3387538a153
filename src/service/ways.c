/* See ways.h. */
#include "service/ways.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/text.h"
#include "service/drill.h"

static const char *const kind_names[] = {
    [HF_THING_NODE] = "node",
    [HF_THING_SLOT] = "slot",
    [HF_THING_SITE] = "site",
};

const char *hf_thing_kind_name(enum hf_thing_kind kind)
{
    return kind_names[kind];
}

void hf_ways_free(struct hf_ways *ways)
{
    if (ways == NULL) {
        return;
    }
    for (size_t i = 0; i < ways->thing_count; i++) {
        free(ways->things[i].name);
    }
    free(ways->things);
    free(ways->items);
    free(ways->served);
    free(ways->rings);
    free(ways->keyrings);
    hf_slot_proofs_free(ways->proofs);
    free(ways);
}

/* --- the map --- */

static size_t add_thing(struct hf_ways *ways, enum hf_thing_kind kind, const char *name)
{
    for (size_t i = 0; i < ways->thing_count; i++) {
        if (ways->things[i].kind == kind && strcmp(ways->things[i].name, name) == 0) {
            return i;
        }
    }
    ways->things = hf_realloc_array(ways->things, ways->thing_count + 1, sizeof *ways->things);
    ways->things[ways->thing_count] = (struct hf_thing){ kind, hf_strdup(name) };
    return ways->thing_count++;
}

static struct hf_way *add_way(struct hf_ways *ways, const char *node, const char *site,
                              const char *slot)
{
    struct hf_way *way;

    ways->items = hf_realloc_array(ways->items, ways->count + 1, sizeof *ways->items);
    way = &ways->items[ways->count++];
    *way = (struct hf_way){ .node = node };
    way->things[way->count++] = add_thing(ways, HF_THING_NODE, node);
    way->things[way->count++] = add_thing(ways, HF_THING_SLOT, slot);
    if (site[0] != '\0') {
        way->things[way->count++] = add_thing(ways, HF_THING_SITE, site);
    }
    return way;
}

struct mapping {
    struct hf_ways *ways;
    uint32_t generation;
};

/* The root was rotated since the drill; what counts is that the slot has opened the new one. */
static void map_unattended(const struct mapping *mapping, const struct hf_slot_info *slot)
{
    struct hf_ways *ways = mapping->ways;

    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        if (proof->opened && strcmp(proof->slot, slot->id) == 0 &&
            proof->root_generation != mapping->generation &&
            hf_slot_is_proven(slot, mapping->generation)) {
            add_way(ways, proof->node, proof->site, proof->slot_name)->proof = proof;
        }
    }
}

static bool is_first_of_node(const struct hf_slot_proofs *proofs, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(proofs->items[i]->node, proofs->items[at]->node) == 0) {
            return false;
        }
    }
    return true;
}

static bool is_drilled(const struct hf_slot_proofs *proofs, const char *node, const char *slot)
{
    for (size_t i = 0; i < proofs->count; i++) {
        if (strcmp(proofs->items[i]->node, node) == 0 &&
            strcmp(proofs->items[i]->slot, slot) == 0) {
            return true;
        }
    }
    return false;
}

/* People take a slot's secret to any node; where the node has it itself, the drill knows better. */
static void map_people(const struct mapping *mapping, const struct hf_slot_info *slot)
{
    const struct hf_slot_proofs *proofs = mapping->ways->proofs;

    if (!slot->needs_human || !hf_slot_is_proven(slot, mapping->generation)) {
        return;
    }
    for (size_t i = 0; i < proofs->count; i++) {
        const struct hf_slot_proof *proof = proofs->items[i];

        if (is_first_of_node(proofs, i) && !is_drilled(proofs, proof->node, slot->id)) {
            add_way(mapping->ways, proof->node, proof->site, slot->name)->needs_people = true;
        }
    }
}

static void map_slot(void *context, const struct hf_slot_info *slot)
{
    const struct mapping *mapping = context;

    (void)add_thing(mapping->ways, HF_THING_SLOT, slot->name);
    map_unattended(mapping, slot);
    map_people(mapping, slot);
}

static void note_ring(void *context, const struct hf_keyring_info *info)
{
    struct hf_ways *ways = context;
    struct hf_ways_ring *ring;

    ways->rings = hf_realloc_array(ways->rings, ways->ring_count + 1, sizeof *ways->rings);
    ring = &ways->rings[ways->ring_count++];
    *ring = (struct hf_ways_ring){ .min_ways = (uint32_t)info->settings.min_ways };
    memcpy(ring->name, info->name, sizeof ring->name);
}

static void note_served(void *context, const struct hf_keyring_info *info)
{
    struct hf_ways *ways = context;
    struct hf_ways_served *served;

    if (info->settings.serve_on.count > 0) {
        ways->served = hf_realloc_array(ways->served, ways->served_count + 1, sizeof *ways->served);
        served = &ways->served[ways->served_count++];
        *served = (struct hf_ways_served){ .name = "" };
        memcpy(served->name, info->name, sizeof served->name);
        served->serve_on = info->settings.serve_on;
        served->has_keys = info->keys > 0;
    }
}

/* --- keyrings --- */

static void add_keyring(struct hf_ways *ways, const struct hf_slot_proof_keyring *keyring)
{
    ways->keyrings = hf_realloc_array(ways->keyrings, ways->keyring_count + 1,
                                      sizeof(const struct hf_slot_proof_keyring *));
    ways->keyrings[ways->keyring_count++] = keyring;
}

/* Nobody has opened any of it: it must not be forgotten, unless there is nothing to open. */
static const struct hf_slot_proof_keyring *unproven(struct hf_ways *ways, const char *name)
{
    for (size_t i = 0; i < ways->served_count; i++) {
        struct hf_ways_served *served = &ways->served[i];

        if (strcmp(served->name, name) == 0 && served->has_keys) {
            served->unproven.name = served->name;
            return &served->unproven;
        }
    }
    return NULL;
}

/* Of a keyring that the newest proof says nothing about, since that node does not serve it. */
static void add_from_others(struct hf_ways *ways, const char *name)
{
    const struct hf_slot_proof *newest = NULL;
    const struct hf_slot_proof_keyring *keyring;

    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        if (proof->opened && hf_slot_proof_was_asked(proof, name) &&
            (newest == NULL || hf_slot_proof_is_later(proof, newest))) {
            newest = proof;
        }
    }
    keyring = newest != NULL ? hf_slot_proof_row(newest, name) : NULL;
    keyring = keyring != NULL ? keyring : unproven(ways, name);
    if (keyring != NULL) {
        add_keyring(ways, keyring);
    }
}

static int compare_keyrings(const void *a, const void *b)
{
    const struct hf_slot_proof_keyring *const *one = a;
    const struct hf_slot_proof_keyring *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

static void find_keyrings(struct hf_ways *ways)
{
    const struct hf_slot_proof *newest = hf_ways_newest(ways);

    for (size_t i = 0; newest != NULL && i < newest->keyring_count; i++) {
        add_keyring(ways, &newest->keyrings[i]);
    }
    for (size_t i = 0; newest != NULL && i < newest->not_asked_count; i++) {
        add_from_others(ways, newest->not_asked[i]);
    }
    if (ways->keyring_count > 0) {
        qsort(ways->keyrings, ways->keyring_count, sizeof *ways->keyrings, compare_keyrings);
    }
}

/* Whether a proof is not of the last drill: what was changed since, it says nothing of. */
static bool has_older(const struct hf_ways *ways)
{
    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        if (proof->opened && proof->seq < ways->since) {
            return true;
        }
    }
    return false;
}

void hf_ways_survey(struct hf_ways *ways, struct hf_service *service, const struct hf_op *op)
{
    for (size_t i = 0; i < ways->ring_count && !ways->is_surveyed; i++) {
        hf_keyring_survey(service->keys, op, ways->rings[i].name, &ways->rings[i].content);
    }
    ways->is_surveyed = true;
}

struct hf_status hf_ways_new(struct hf_service *service, struct hf_op *op,
                             struct hf_slot_proofs **proofs, struct hf_ways **out)
{
    uint64_t since = 0;

    HF_TRY(hf_drill_since(service, op, &since));
    return hf_ways_new_since(service, op, proofs, since, out);
}

struct hf_status hf_ways_new_since(struct hf_service *service, struct hf_op *op,
                                   struct hf_slot_proofs **proofs, uint64_t since,
                                   struct hf_ways **out)
{
    HF_AUTO(ways) ways = hf_alloc(sizeof *ways);
    struct mapping mapping = { ways, hf_seal_root_generation(service->seal) };

    ways->min_ways = service->min_ways;
    ways->proofs = HF_TAKE(*proofs);
    ways->since = since;
    (void)add_thing(ways, HF_THING_NODE, service->node);
    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        (void)add_thing(ways, HF_THING_NODE, proof->node);
        if (proof->opened && proof->root_generation == mapping.generation) {
            add_way(ways, proof->node, proof->site, proof->slot_name)->proof = proof;
        }
    }
    HF_TRY(hf_seal_slots(service->seal, op, map_slot, &mapping));
    if (service->shared_store) {
        hf_keyring_each(service->keys, note_served, ways);
    }
    hf_keyring_each(service->keys, note_ring, ways);
    if (has_older(ways)) {
        hf_ways_survey(ways, service, op);
    }
    find_keyrings(ways);
    *out = HF_TAKE(ways);
    return HF_SUCCESS;
}

struct hf_status hf_ways_find(const struct hf_ways *ways, struct hf_op *op, const char *word,
                              size_t *out_thing)
{
    const char *colon = strchr(word, ':');

    if (colon == NULL) {
        return hf_fail(op, HF_INVALID, "\"%.64s\" must be node:NAME, slot:NAME or site:NAME", word);
    }
    for (size_t i = 0; i < ways->thing_count; i++) {
        const char *kind = hf_thing_kind_name(ways->things[i].kind);

        if (strlen(kind) == (size_t)(colon - word) &&
            strncmp(kind, word, (size_t)(colon - word)) == 0 &&
            strcmp(ways->things[i].name, colon + 1) == 0) {
            *out_thing = i;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_NOT_FOUND,
                   "no drill has seen a %.100s; 'holdfast drill' shows what is there", word);
}

/* --- what opens --- */

static bool is_served(const struct hf_ways *ways, const char *node, const char *keyring,
                      const char *path)
{
    for (size_t i = 0; i < ways->served_count; i++) {
        const struct hf_ways_served *served = &ways->served[i];
        bool is_meant = path != NULL ? hf_version_is_of(path, served->name)
                                     : keyring != NULL && strcmp(keyring, served->name) == 0;

        if (is_meant) {
            return hf_serve_on_serves(&served->serve_on, node);
        }
    }
    return true;
}

/*
 * Whether the keyring in question is another one than when the proof was made. Where none is in
 * question it is about the root alone, which opens whatever keyring was changed.
 */
static bool is_outdated(const struct hf_ways *ways, const struct hf_slot_proof *proof,
                        const char *keyring, const char *path)
{
    for (size_t i = 0; i < ways->ring_count && proof->seq < ways->since; i++) {
        const struct hf_ways_ring *ring = &ways->rings[i];
        bool is_meant = path != NULL ? hf_version_is_of(path, ring->name)
                                     : keyring != NULL && strcmp(keyring, ring->name) == 0;

        if (is_meant && ring->content.changed > proof->seq) {
            return true;
        }
    }
    return false;
}

/* Whether the proof says that the version opened, or any of the keyring that did not fail. */
static bool speaks_of(const struct hf_ways *ways, const struct hf_slot_proof *proof,
                      const char *keyring, const char *path)
{
    if (is_outdated(ways, proof, keyring, path)) {
        return false;
    }
    if (path != NULL) {
        return hf_slot_proof_covers(proof, path);
    }
    return keyring == NULL || hf_slot_proof_vouches(proof, keyring);
}

/*
 * Records are a node's, whatever slot opens the root: what opened there by itself tells. Where
 * nothing did, a person opens it unless the records are known to be altered.
 */
static bool opens_by_itself(const struct hf_ways *ways, const char *node, const char *keyring,
                            const char *path)
{
    bool is_known = false;

    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        if (strcmp(proof->node, node) != 0) {
            continue;
        }
        if (proof->opened && speaks_of(ways, proof, keyring, path)) {
            return true;
        }
        is_known = is_known || proof->opened || proof->cause == HF_CAUSE_ALTERED;
    }
    return !is_known;
}

bool hf_way_opens(const struct hf_ways *ways, const struct hf_way *way, const char *keyring,
                  const char *path)
{
    if (!is_served(ways, way->node, keyring, path)) {
        return false;
    }
    return way->proof != NULL ? speaks_of(ways, way->proof, keyring, path)
                              : opens_by_itself(ways, way->node, keyring, path);
}

bool hf_way_survives(const struct hf_way *way, const bool *lost)
{
    for (size_t i = 0; i < way->count; i++) {
        if (lost[way->things[i]]) {
            return false;
        }
    }
    return true;
}

/* --- by keyring --- */

static size_t least_of_failures(const struct hf_ways *ways, const struct hf_slot_proof *proof,
                                const char *keyring, size_t least)
{
    for (size_t i = 0; i < proof->failure_count && least > 0; i++) {
        const struct hf_cut_question question = { .path = proof->failures[i].path };

        if (hf_version_is_of(question.path, keyring)) {
            size_t found = hf_ways_cut(ways, &question, NULL);

            least = found < least ? found : least;
        }
    }
    return least;
}

size_t hf_ways_least(const struct hf_ways *ways, const char *keyring)
{
    const struct hf_cut_question any = { .keyring = keyring };
    size_t least = hf_ways_cut(ways, &any, NULL);

    for (size_t i = 0; i < ways->proofs->count; i++) {
        least = least_of_failures(ways, ways->proofs->items[i], keyring, least);
    }
    return least;
}

uint32_t hf_ways_wanted(const struct hf_ways *ways, const char *keyring)
{
    for (size_t i = 0; i < ways->ring_count; i++) {
        if (strcmp(ways->rings[i].name, keyring) == 0 && ways->rings[i].min_ways > 0) {
            return ways->rings[i].min_ways;
        }
    }
    return ways->min_ways;
}

const struct hf_slot_proof *hf_ways_newest(const struct hf_ways *ways)
{
    const struct hf_slot_proof *newest = NULL;

    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        if (proof->opened && (newest == NULL || hf_slot_proof_is_later(proof, newest))) {
            newest = proof;
        }
    }
    return newest;
}
