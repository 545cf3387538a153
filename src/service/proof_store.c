/* Where proofs are kept: one sealed record for each node and slot. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "seal/member.h"
#include "service/proof.h"

#define PREFIX "proof/"

char *hf_slot_proof_path(const char *node, const char *slot)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, PREFIX);
    hf_percent_add(path, hf_bytes_of_text(node));
    hf_buf_add_text(path, "/");
    hf_buf_add_text(path, slot);
    return hf_strdup(hf_buf_text(path));
}

void hf_slot_proofs_free(struct hf_slot_proofs *proofs)
{
    if (proofs != NULL) {
        for (size_t i = 0; i < proofs->count; i++) {
            hf_slot_proof_free(proofs->items[i]);
        }
        free(proofs->items);
        free(proofs);
    }
}

void hf_slot_proofs_add(struct hf_slot_proofs *proofs, struct hf_slot_proof *proof)
{
    proofs->items =
        hf_realloc_array(proofs->items, proofs->count + 1, sizeof(struct hf_slot_proof *));
    proofs->items[proofs->count++] = proof;
}

struct slot_search {
    const char *id;
    bool found;
};

static void match_slot(void *context, const struct hf_slot_info *slot)
{
    struct slot_search *search = context;

    search->found = search->found || strcmp(slot->id, search->id) == 0;
}

static struct hf_status slot_is_there(struct hf_service *service, struct hf_op *op, const char *id,
                                      bool *out)
{
    struct slot_search search = { .id = id };

    HF_TRY(hf_seal_slots(service->seal, op, match_slot, &search));
    *out = search.found;
    return HF_SUCCESS;
}

/* Where proofs stand, whether they open or not. */
struct places {
    char **paths;
    uint64_t *revisions;
    size_t count;
};

static void places_done(struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        free(places->paths[i]);
    }
    free(places->paths);
    free(places->revisions);
}

static struct hf_status take_place(void *context, const struct hf_record_view *record)
{
    struct places *places = context;

    places->paths = hf_realloc_array(places->paths, places->count + 1, sizeof(char *));
    places->revisions =
        hf_realloc_array(places->revisions, places->count + 1, sizeof *places->revisions);
    places->paths[places->count] = hf_strdup(record->path);
    places->revisions[places->count++] = record->revision;
    return HF_SUCCESS;
}

static struct hf_status find_places(struct hf_service *service, struct hf_op *op,
                                    struct places *out)
{
    return hf_engine_list(hf_seal_engine(service->seal), op, PREFIX, NULL, take_place, out);
}

/* An altered proof proves nothing; the next drill writes it anew. *out stays NULL. */
static struct hf_status read_proof(struct hf_service *service, struct hf_op *op, const char *path,
                                   struct hf_slot_proof **out)
{
    HF_AUTO(opened) opened = NULL;
    struct hf_status status = hf_seal_get(service->seal, op, HF_KIND_PROOF, path, &opened);

    if (status.code == HF_OK && !opened->tombstone) {
        status = hf_slot_proof_decode(
            op, opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE, out);
    }
    if (status.code == HF_CORRUPT || status.code == HF_UNSUPPORTED) {
        HF_WARNING(op->env, "%.200s is not used: %s", path, op->text);
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

/* One that is no member has made the store; an altered record says nothing, and is told of. */
static struct hf_status is_removed(struct hf_service *service, struct hf_op *op, const char *node,
                                   bool *out)
{
    HF_AUTO(member) member = NULL;
    struct hf_status status = hf_member_get(service->seal, op, node, &member);

    if (status.code == HF_NOT_FOUND || status.code == HF_CORRUPT) {
        hf_op_clear(op);
        *out = false;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out = member->state == HF_MEMBER_REMOVED;
    return HF_SUCCESS;
}

static struct hf_status still_counts(struct hf_service *service, struct hf_op *op,
                                     const struct hf_slot_proof *proof, bool *out)
{
    bool removed = false;

    *out = false;
    HF_TRY(is_removed(service, op, proof->node, &removed));
    return removed ? HF_SUCCESS : slot_is_there(service, op, proof->slot, out);
}

static struct hf_status read_all(struct hf_service *service, struct hf_op *op,
                                 const struct places *places, struct hf_slot_proofs *out)
{
    for (size_t i = 0; i < places->count; i++) {
        HF_AUTO(slot_proof) proof = NULL;
        bool counts = false;

        HF_TRY(read_proof(service, op, places->paths[i], &proof));
        if (proof != NULL) {
            HF_TRY(still_counts(service, op, proof, &counts));
        }
        if (counts) {
            hf_slot_proofs_add(out, HF_TAKE(proof));
        }
    }
    return HF_SUCCESS;
}

struct hf_status hf_slot_proofs_read(struct hf_service *service, struct hf_op *op,
                                     struct hf_slot_proofs **out)
{
    __attribute__((cleanup(places_done))) struct places places = { 0 };
    HF_AUTO(slot_proofs) proofs = hf_alloc(sizeof *proofs);

    HF_TRY(find_places(service, op, &places));
    HF_TRY(read_all(service, op, &places, proofs));
    *out = HF_TAKE(proofs);
    return HF_SUCCESS;
}

/* --- storing --- */

static uint64_t revision_at(const struct places *places, const char *path)
{
    for (size_t i = 0; i < places->count; i++) {
        if (strcmp(places->paths[i], path) == 0) {
            return places->revisions[i];
        }
    }
    return 0;
}

static struct hf_status stage_one(struct hf_op *op, struct hf_txn *txn, const struct places *places,
                                  const struct hf_slot_proof *proof)
{
    HF_AUTO_STRING path = hf_slot_proof_path(proof->node, proof->slot);
    HF_AUTO(buf) content = hf_buf_new();

    hf_slot_proof_encode(proof, content);
    return hf_txn_put(txn, op, HF_KIND_PROOF, path, revision_at(places, path),
                      hf_buf_bytes(content));
}

static bool is_renewed(const struct hf_slot_proofs *proofs, const struct hf_slot_proof *old)
{
    for (size_t i = 0; i < proofs->count; i++) {
        if (strcmp(proofs->items[i]->slot, old->slot) == 0) {
            return true;
        }
    }
    return false;
}

/* What this node has proven no more is no proof of it. */
static struct hf_status drop_if_gone(struct hf_service *service, struct hf_op *op,
                                     struct hf_txn *txn, const struct hf_slot_proofs *proofs,
                                     const char *path, uint64_t revision)
{
    HF_AUTO(slot_proof) proof = NULL;
    bool counts = true;

    HF_TRY(read_proof(service, op, path, &proof));
    if (proof != NULL) {
        HF_TRY(still_counts(service, op, proof, &counts));
        counts = counts && (strcmp(proof->node, service->node) != 0 || is_renewed(proofs, proof));
    }
    return counts ? HF_SUCCESS : hf_txn_bury(txn, op, HF_KIND_PROOF, path, revision, HF_BYTES_NONE);
}

struct hf_status hf_slot_proofs_stage(struct hf_service *service, struct hf_op *op,
                                      struct hf_txn *txn, const struct hf_slot_proofs *proofs)
{
    __attribute__((cleanup(places_done))) struct places places = { 0 };

    HF_TRY(find_places(service, op, &places));
    for (size_t i = 0; i < proofs->count; i++) {
        HF_TRY(stage_one(op, txn, &places, proofs->items[i]));
    }
    for (size_t i = 0; i < places.count; i++) {
        HF_TRY(drop_if_gone(service, op, txn, proofs, places.paths[i], places.revisions[i]));
    }
    return HF_SUCCESS;
}

struct hf_status hf_slot_proofs_drop(struct hf_service *service, struct hf_op *op,
                                     struct hf_txn *txn, const char *node)
{
    __attribute__((cleanup(places_done))) struct places places = { 0 };

    HF_TRY(find_places(service, op, &places));
    for (size_t i = 0; i < places.count; i++) {
        HF_AUTO(slot_proof) proof = NULL;

        HF_TRY(read_proof(service, op, places.paths[i], &proof));
        if (proof != NULL && strcmp(proof->node, node) == 0) {
            HF_TRY(hf_txn_bury(txn, op, HF_KIND_PROOF, places.paths[i], places.revisions[i],
                               HF_BYTES_NONE));
        }
    }
    return HF_SUCCESS;
}
