/* See proof.h. */
#include "service/proof.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/text.h"
#include "seal/member.h"

#define FORMAT         1
#define FORMAT_PARTIAL 2 /* where keyrings were left to other nodes */
#define PREFIX         "proof/"
#define VERSION_PREFIX "version/"
#define KEYRINGS_MAX   HF_SLOT_PROOF_KEYRINGS
#define FAILURES_MAX   2000
#define FAILURE_BYTES  ((size_t)384 << 10) /* a megabyte, with as many keyrings as there may be */
#define ROW_BYTES      20                  /* of a keyring, without its name */
#define NAME_BYTES     4
#define CAUSE_LAST     HF_CAUSE_ALTERED

void hf_slot_proof_free(struct hf_slot_proof *proof)
{
    if (proof == NULL) {
        return;
    }
    for (size_t i = 0; i < proof->keyring_count; i++) {
        free(proof->keyrings[i].name);
    }
    for (size_t i = 0; i < proof->failure_count; i++) {
        free(proof->failures[i].path);
        free(proof->failures[i].failed_at);
    }
    for (size_t i = 0; i < proof->not_asked_count; i++) {
        free(proof->not_asked[i]);
    }
    free(proof->not_asked);
    free(proof->keyrings);
    free(proof->failures);
    free(proof->node);
    free(proof->site);
    free(proof->slot);
    free(proof->slot_name);
    free(proof->text);
    free(proof);
}

bool hf_slot_proof_is_good(const struct hf_slot_proof *proof)
{
    return proof->opened && proof->whole && proof->damaged == 0 && proof->failed == 0;
}

const struct hf_slot_proof_keyring *hf_slot_proof_row(const struct hf_slot_proof *proof,
                                                      const char *keyring)
{
    for (size_t i = 0; i < proof->keyring_count; i++) {
        if (strcmp(proof->keyrings[i].name, keyring) == 0) {
            return &proof->keyrings[i];
        }
    }
    return NULL;
}

static uint64_t named_of(const struct hf_slot_proof *proof, const char *keyring)
{
    uint64_t named = 0;

    for (size_t i = 0; i < proof->failure_count; i++) {
        named += hf_version_is_of(proof->failures[i].path, keyring);
    }
    return named;
}

bool hf_slot_proof_vouches(const struct hf_slot_proof *proof, const char *keyring)
{
    const struct hf_slot_proof_keyring *row = hf_slot_proof_row(proof, keyring);

    return proof->opened && row != NULL && hf_slot_proof_was_asked(proof, keyring) &&
           (row->failed == 0 || named_of(proof, keyring) >= row->failed);
}

uint64_t hf_slot_proof_unlisted(const struct hf_slot_proof *proof)
{
    uint64_t listed = 0;

    for (size_t i = 0; i < proof->keyring_count; i++) {
        listed += proof->keyrings[i].versions;
    }
    return proof->versions > listed ? proof->versions - listed : 0;
}

bool hf_slot_proof_is_later(const struct hf_slot_proof *proof, const struct hf_slot_proof *than)
{
    return proof->seq != than->seq ? proof->seq > than->seq : proof->when_ms > than->when_ms;
}

bool hf_slot_proof_names(const struct hf_slot_proof *proof, const char *path)
{
    for (size_t i = 0; i < proof->failure_count; i++) {
        if (strcmp(proof->failures[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_row_of(const struct hf_slot_proof *proof, const char *path)
{
    for (size_t i = 0; i < proof->keyring_count; i++) {
        if (hf_version_is_of(path, proof->keyrings[i].name)) {
            return true;
        }
    }
    return false;
}

bool hf_slot_proof_covers(const struct hf_slot_proof *proof, const char *path)
{
    /* More failed than are named: then it vouches for none. */
    if (!proof->opened || proof->unnamed > 0 || !has_row_of(proof, path)) {
        return false;
    }
    if (hf_slot_proof_names(proof, path)) {
        return false;
    }
    for (size_t i = 0; i < proof->not_asked_count; i++) {
        if (hf_version_is_of(path, proof->not_asked[i])) {
            return false;
        }
    }
    return true;
}

bool hf_slot_proof_was_asked(const struct hf_slot_proof *proof, const char *keyring)
{
    for (size_t i = 0; i < proof->not_asked_count; i++) {
        if (strcmp(proof->not_asked[i], keyring) == 0) {
            return false;
        }
    }
    return true;
}

void hf_slot_proof_add_not_asked(struct hf_slot_proof *proof, const char *keyring)
{
    proof->not_asked =
        hf_realloc_array(proof->not_asked, proof->not_asked_count + 1, sizeof(char *));
    proof->not_asked[proof->not_asked_count++] = hf_strdup(keyring);
}

/* Versions come in order of path, so those of a keyring stand together. */
void hf_slot_proof_add_keyring(struct hf_slot_proof *proof, const char *keyring, bool failed)
{
    struct hf_slot_proof_keyring *last =
        proof->keyring_count > 0 ? &proof->keyrings[proof->keyring_count - 1] : NULL;

    if (last == NULL || strcmp(last->name, keyring) != 0) {
        if (proof->keyring_count == KEYRINGS_MAX) {
            return;
        }
        proof->keyrings =
            hf_realloc_array(proof->keyrings, proof->keyring_count + 1, sizeof *proof->keyrings);
        last = &proof->keyrings[proof->keyring_count++];
        *last = (struct hf_slot_proof_keyring){ .name = hf_strdup(keyring) };
    }
    last->versions++;
    last->failed += failed;
}

void hf_slot_proof_add_failure(struct hf_slot_proof *proof, const char *path, enum hf_cause cause,
                               const char *failed_at)
{
    if (proof->failure_count == FAILURES_MAX) {
        proof->unnamed++;
        return;
    }
    proof->failures =
        hf_realloc_array(proof->failures, proof->failure_count + 1, sizeof *proof->failures);
    proof->failures[proof->failure_count++] =
        (struct hf_failed_version){ hf_strdup(path), cause, hf_strdup(failed_at) };
}

/* --- the record --- */

/* As many as fit: the count of all stands beside them. */
static size_t fitting(const struct hf_slot_proof *proof, size_t room)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < proof->failure_count && bytes < room) {
        const struct hf_failed_version *failure = &proof->failures[count++];

        bytes += strlen(failure->path) + strlen(failure->failed_at) + 9;
    }
    return count;
}

void hf_slot_proof_trim(struct hf_slot_proof *proof, size_t bytes)
{
    size_t kept = fitting(proof, bytes);

    for (size_t i = kept; i < proof->failure_count; i++) {
        free(proof->failures[i].path);
        free(proof->failures[i].failed_at);
        proof->unnamed++;
    }
    proof->failure_count = kept;
}

static size_t fitting_keyrings(const struct hf_slot_proof *proof, size_t room)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < proof->keyring_count && bytes < room) {
        bytes += strlen(proof->keyrings[count++].name) + ROW_BYTES;
    }
    return count;
}

/* One at least: that there are any is told. */
static size_t fitting_not_asked(const struct hf_slot_proof *proof, size_t room)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < proof->not_asked_count && count < KEYRINGS_MAX && (count == 0 || bytes < room)) {
        bytes += strlen(proof->not_asked[count++]) + NAME_BYTES;
    }
    return count;
}

void hf_slot_proof_trim_keyrings(struct hf_slot_proof *proof, size_t bytes)
{
    size_t rows = fitting_keyrings(proof, bytes);
    size_t not_asked = fitting_not_asked(proof, bytes);

    for (size_t i = rows; i < proof->keyring_count; i++) {
        free(proof->keyrings[i].name);
    }
    for (size_t i = not_asked; i < proof->not_asked_count; i++) {
        free(proof->not_asked[i]);
    }
    proof->keyring_count = rows;
    proof->not_asked_count = not_asked;
}

void hf_slot_proof_encode(const struct hf_slot_proof *proof, struct hf_buf *out)
{
    size_t failures = fitting(proof, FAILURE_BYTES);
    size_t not_asked = fitting_not_asked(proof, SIZE_MAX);

    hf_put_u8(out, proof->not_asked_count > 0 ? FORMAT_PARTIAL : FORMAT);
    hf_put_text(out, proof->node);
    hf_put_text(out, proof->site);
    hf_put_text(out, proof->slot);
    hf_put_text(out, proof->slot_name);
    hf_put_u64(out, proof->when_ms);
    hf_put_u64(out, proof->seq);
    hf_put_u32(out, proof->root_generation);
    hf_put_u8(out, proof->opened);
    hf_put_u8(out, (uint8_t)proof->cause);
    hf_put_text(out, proof->text);
    hf_put_u64(out, proof->records);
    hf_put_u64(out, proof->damaged);
    hf_put_u8(out, proof->whole);
    hf_put_u64(out, proof->versions);
    hf_put_u64(out, proof->failed);
    hf_put_u32(out, (uint32_t)proof->keyring_count);
    for (size_t i = 0; i < proof->keyring_count; i++) {
        hf_put_text(out, proof->keyrings[i].name);
        hf_put_u64(out, proof->keyrings[i].versions);
        hf_put_u64(out, proof->keyrings[i].failed);
    }
    hf_put_u32(out, (uint32_t)failures);
    for (size_t i = 0; i < failures; i++) {
        hf_put_text(out, proof->failures[i].path);
        hf_put_u8(out, (uint8_t)proof->failures[i].cause);
        hf_put_text(out, proof->failures[i].failed_at);
    }
    hf_put_u64(out, proof->unnamed + proof->failure_count - failures);
    if (proof->not_asked_count > 0) {
        hf_put_u32(out, (uint32_t)not_asked);
        for (size_t i = 0; i < not_asked; i++) {
            hf_put_text(out, proof->not_asked[i]);
        }
    }
}

static bool take_bool(struct hf_reader *reader)
{
    uint8_t value = hf_take_u8(reader);

    reader->failed = reader->failed || value > 1;
    return value == 1;
}

static enum hf_cause take_cause(struct hf_reader *reader)
{
    uint8_t value = hf_take_u8(reader);

    reader->failed = reader->failed || value > CAUSE_LAST;
    return reader->failed ? HF_CAUSE_NONE : (enum hf_cause)value;
}

/* Text that is there even when the reader has failed. */
static char *take_text(struct hf_reader *reader)
{
    char *text = hf_take_text(reader);

    return text != NULL ? text : hf_strdup("");
}

static void take_keyrings(struct hf_reader *reader, struct hf_slot_proof *proof)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count > KEYRINGS_MAX;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct hf_slot_proof_keyring *keyring;

        proof->keyrings = hf_realloc_array(proof->keyrings, i + 1, sizeof *proof->keyrings);
        keyring = &proof->keyrings[proof->keyring_count++];
        keyring->name = take_text(reader);
        keyring->versions = hf_take_u64(reader);
        keyring->failed = hf_take_u64(reader);
    }
}

static void take_failures(struct hf_reader *reader, struct hf_slot_proof *proof)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count > FAILURES_MAX;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct hf_failed_version *failure;

        proof->failures = hf_realloc_array(proof->failures, i + 1, sizeof *proof->failures);
        failure = &proof->failures[proof->failure_count++];
        failure->path = take_text(reader);
        failure->cause = take_cause(reader);
        failure->failed_at = take_text(reader);
    }
}

/* Some at least: without any it is of format 1. */
static void take_not_asked(struct hf_reader *reader, struct hf_slot_proof *proof)
{
    uint32_t count = hf_take_u32(reader);

    reader->failed = reader->failed || count == 0 || count > KEYRINGS_MAX;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        char *keyring = take_text(reader);

        hf_slot_proof_add_not_asked(proof, keyring);
        free(keyring);
    }
}

static struct hf_status take_head(struct hf_reader *reader, struct hf_op *op,
                                  struct hf_slot_proof *proof, uint8_t *out_format)
{
    uint8_t format = hf_take_u8(reader);

    if (!reader->failed && format != FORMAT && format != FORMAT_PARTIAL) {
        return hf_fail(op, HF_UNSUPPORTED,
                       "a proof has format %u; this server reads formats %d and %d", format, FORMAT,
                       FORMAT_PARTIAL);
    }
    proof->node = take_text(reader);
    proof->site = take_text(reader);
    proof->slot = take_text(reader);
    proof->slot_name = take_text(reader);
    proof->when_ms = hf_take_u64(reader);
    proof->seq = hf_take_u64(reader);
    proof->root_generation = hf_take_u32(reader);
    proof->opened = take_bool(reader);
    proof->cause = take_cause(reader);
    proof->text = take_text(reader);
    proof->records = hf_take_u64(reader);
    proof->damaged = hf_take_u64(reader);
    proof->whole = take_bool(reader);
    proof->versions = hf_take_u64(reader);
    proof->failed = hf_take_u64(reader);
    *out_format = format;
    return HF_SUCCESS;
}

struct hf_status hf_slot_proof_decode_head(struct hf_op *op, struct hf_bytes content,
                                           struct hf_slot_proof **out)
{
    HF_AUTO(slot_proof) proof = hf_alloc(sizeof *proof);
    struct hf_reader reader;
    uint8_t format = 0;

    hf_reader_init(&reader, content);
    HF_TRY(take_head(&reader, op, proof, &format));
    reader.at = reader.end; /* of a head the end of the text is no matter */
    HF_TRY(hf_reader_end(&reader, op, "the head of a proof"));
    *out = HF_TAKE(proof);
    return HF_SUCCESS;
}

struct hf_status hf_slot_proof_decode(struct hf_op *op, struct hf_bytes content,
                                      struct hf_slot_proof **out)
{
    HF_AUTO(slot_proof) proof = hf_alloc(sizeof *proof);
    struct hf_reader reader;
    uint8_t format = 0;

    hf_reader_init(&reader, content);
    HF_TRY(take_head(&reader, op, proof, &format));
    take_keyrings(&reader, proof);
    take_failures(&reader, proof);
    proof->unnamed = hf_take_u64(&reader);
    if (format == FORMAT_PARTIAL) {
        take_not_asked(&reader, proof);
    }
    HF_TRY(hf_reader_end(&reader, op, "a proof"));
    *out = HF_TAKE(proof);
    return HF_SUCCESS;
}

char *hf_version_record_path(const char *keyring, const char *name, uint32_t version)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, VERSION_PREFIX);
    hf_percent_add(path, hf_bytes_of_text(keyring));
    hf_buf_add_text(path, "/");
    hf_percent_add(path, hf_bytes_of_text(name));
    hf_buf_add_text(path, "/");
    if (version != HF_LATEST) {
        hf_buf_add_format(path, "%010" PRIu32, version);
    }
    return hf_strdup(hf_buf_text(path));
}

bool hf_version_is_of(const char *path, const char *keyring)
{
    HF_AUTO(buf) prefix = hf_buf_new();

    hf_buf_add_text(prefix, VERSION_PREFIX);
    hf_percent_add(prefix, hf_bytes_of_text(keyring));
    hf_buf_add_text(prefix, "/");
    return strncmp(path, hf_buf_text(prefix), prefix->len) == 0;
}

static struct hf_status add_label(struct hf_op *op, const char *path, struct hf_buf *out)
{
    const char *keyring = path + strlen(VERSION_PREFIX);
    const char *name = strchr(keyring, '/');
    const char *slash = strrchr(path, '/');
    const char *number = slash;
    uint64_t version = 0;

    if (strncmp(path, VERSION_PREFIX, strlen(VERSION_PREFIX)) != 0 || name == NULL ||
        slash <= name) {
        return hf_fail(op, HF_INVALID, "not a version");
    }
    while (number[1] == '0' && number[2] != '\0') {
        number++;
    }
    HF_TRY(hf_parse_u64(op, number + 1, UINT32_MAX, &version));
    HF_TRY(hf_percent_decode(op, hf_bytes_of(keyring, (size_t)(name - keyring)), false, out));
    hf_buf_add_text(out, "/");
    HF_TRY(hf_percent_decode(op, hf_bytes_of(name + 1, (size_t)(slash - name - 1)), false, out));
    hf_buf_add_format(out, "@%" PRIu64, version);
    return HF_SUCCESS;
}

void hf_record_label(const char *path, struct hf_buf *out)
{
    HF_AUTO(buf) label = hf_buf_new();
    struct hf_op scratch;

    hf_op_init(&scratch, NULL);
    if (add_label(&scratch, path, label).code == HF_OK) {
        hf_buf_add_bytes(out, hf_buf_bytes(label));
    } else {
        hf_buf_add_text(out, path);
    }
}

char *hf_slot_proof_path(const char *node, const char *slot)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, PREFIX);
    hf_percent_add(path, hf_bytes_of_text(node));
    hf_buf_add_text(path, "/");
    hf_buf_add_text(path, slot);
    return hf_strdup(hf_buf_text(path));
}

/* --- all of them --- */

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
