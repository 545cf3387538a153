/* What would become unreadable, and how little it takes. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/text.h"
#include "service/drill.h"
#include "service/target.h"
#include "service/ways.h"

#define NAMED_MAX 1000 /* versions named by one answer and keyring */

static struct hf_status read_ways(struct hf_service *service, struct hf_op *op,
                                  struct hf_ways **out)
{
    HF_AUTO(slot_proofs) proofs = NULL;

    HF_TRY(hf_slot_proofs_read(service, op, &proofs));
    if (proofs->count == 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "no drill has run yet, so nothing is known; 'holdfast drill' runs one");
    }
    return hf_ways_new(service, op, &proofs, out);
}

static void start(struct hf_json_writer *writer, struct hf_buf *out, const struct hf_ways *ways)
{
    const struct hf_slot_proof *newest = hf_ways_newest(ways);

    hf_json_writer_init(writer, out);
    hf_json_open_object(writer, NULL);
    if (newest != NULL) {
        hf_json_put_date(writer, "as_of", newest->when_ms);
        hf_json_put_u64(writer, "seq", newest->seq);
    } else {
        hf_json_put_null(writer, "as_of");
    }
}

static void put_thing(struct hf_json_writer *writer, const struct hf_thing *thing)
{
    HF_AUTO_STRING text = hf_format("%s:%s", hf_thing_kind_name(thing->kind), thing->name);

    hf_json_put_text(writer, NULL, text);
}

/* --- what if --- */

enum left { LEFT_NONE, LEFT_PEOPLE, LEFT_UNATTENDED };

static enum left what_is_left(const struct hf_ways *ways, const bool *lost, const char *keyring,
                              const char *path)
{
    enum left left = LEFT_NONE;

    for (size_t i = 0; i < ways->count && left != LEFT_UNATTENDED; i++) {
        const struct hf_way *way = &ways->items[i];

        if (hf_way_survives(way, lost) && hf_way_opens(ways, way, keyring, path)) {
            left = way->needs_people ? LEFT_PEOPLE : LEFT_UNATTENDED;
        }
    }
    return left;
}

/* The versions that some proof names as failed, each once, in order. */
struct exceptions {
    const char **paths;
    size_t count;
};

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void take_failures(const struct hf_slot_proof *proof, const char *keyring,
                          struct exceptions *out)
{
    for (size_t i = 0; i < proof->failure_count; i++) {
        const char *path = proof->failures[i].path;

        if (hf_version_is_of(path, keyring)) {
            out->paths = hf_realloc_array(out->paths, out->count + 1, sizeof *out->paths);
            out->paths[out->count++] = path;
        }
    }
}

static void find_exceptions(const struct hf_ways *ways, const char *keyring, struct exceptions *out)
{
    size_t kept = 0;

    for (size_t i = 0; i < ways->proofs->count; i++) {
        take_failures(ways->proofs->items[i], keyring, out);
    }
    if (out->count > 0) {
        qsort(out->paths, out->count, sizeof *out->paths, compare_paths);
    }
    for (size_t i = 0; i < out->count; i++) {
        if (kept == 0 || strcmp(out->paths[kept - 1], out->paths[i]) != 0) {
            out->paths[kept++] = out->paths[i];
        }
    }
    out->count = kept;
}

struct loss {
    const struct hf_ways *ways;
    const bool *lost;
    struct hf_json_writer *writer;
    uint64_t unreadable;
    uint64_t people_only;
};

static void put_versions(const struct loss *loss, const char *name,
                         const struct exceptions *exceptions, enum left left)
{
    size_t named = 0;

    hf_json_open_array(loss->writer, name);
    for (size_t i = 0; i < exceptions->count && named < NAMED_MAX; i++) {
        HF_AUTO(buf) label = hf_buf_new();

        if (what_is_left(loss->ways, loss->lost, NULL, exceptions->paths[i]) == left) {
            hf_record_label(exceptions->paths[i], label);
            hf_json_put_text(loss->writer, NULL, hf_buf_text(label));
            named++;
        }
    }
    hf_json_close_array(loss->writer);
}

static bool is_proven(const struct hf_ways *ways, const char *keyring)
{
    for (size_t i = 0; i < ways->proofs->count; i++) {
        if (ways->proofs->items[i]->opened &&
            hf_slot_proof_row(ways->proofs->items[i], keyring) != NULL) {
            return true;
        }
    }
    return false;
}

/* As the keyring is now; what nobody has proven is not taken to be readable. */
static void put_keyring(struct loss *loss, const struct hf_ways_ring *ring)
{
    uint64_t versions = ring->content.versions;
    struct exceptions exceptions = { 0 };
    enum left rest = what_is_left(loss->ways, loss->lost, ring->name, NULL);
    uint64_t counts[3] = { 0 };

    find_exceptions(loss->ways, ring->name, &exceptions);
    for (size_t i = 0; i < exceptions.count; i++) {
        counts[what_is_left(loss->ways, loss->lost, NULL, exceptions.paths[i])]++;
    }
    counts[rest] += versions - (versions < exceptions.count ? versions : exceptions.count);
    hf_json_open_object(loss->writer, NULL);
    hf_json_put_text(loss->writer, "keyring", ring->name);
    hf_json_put_u64(loss->writer, "versions", versions);
    hf_json_put_u64(loss->writer, "unreadable", counts[LEFT_NONE]);
    hf_json_put_u64(loss->writer, "people_only", counts[LEFT_PEOPLE]);
    hf_json_put_bool(loss->writer, "all", rest == LEFT_NONE);
    hf_json_put_bool(loss->writer, "proven", is_proven(loss->ways, ring->name));
    put_versions(loss, "named", &exceptions, LEFT_NONE);
    hf_json_close_object(loss->writer);
    loss->unreadable += counts[LEFT_NONE];
    loss->people_only += counts[LEFT_PEOPLE];
    free(exceptions.paths);
}

static struct hf_status answer_what_if(struct hf_service *service, struct hf_op *op,
                                       const char *const *words, size_t count, struct hf_buf *out)
{
    HF_AUTO(ways) ways = NULL;
    bool *lost = NULL;
    struct hf_json_writer writer;
    struct loss loss = { .writer = &writer };
    struct hf_status status = read_ways(service, op, &ways);

    if (status.code != HF_OK || ways == NULL) {
        return status;
    }
    hf_ways_survey(ways, service, op);
    lost = hf_alloc_array(ways->thing_count + 1, sizeof *lost);
    for (size_t i = 0; i < count && status.code == HF_OK; i++) {
        size_t thing = 0;

        status = hf_ways_find(ways, op, words[i], &thing);
        lost[thing] = true;
    }
    if (status.code == HF_OK) {
        loss.ways = ways;
        loss.lost = lost;
        start(&writer, out, ways);
        hf_json_open_array(&writer, "keyrings");
        for (size_t i = 0; i < ways->ring_count; i++) {
            if (ways->rings[i].content.versions > 0) {
                put_keyring(&loss, &ways->rings[i]);
            }
        }
        hf_json_close_array(&writer);
        hf_json_put_u64(&writer, "unreadable", loss.unreadable);
        hf_json_put_u64(&writer, "people_only", loss.people_only);
        hf_json_put_bool(&writer, "opens", what_is_left(ways, lost, NULL, NULL) != LEFT_NONE);
        hf_json_close_object(&writer);
    }
    free(lost);
    return status;
}

struct hf_status hf_service_what_if(struct hf_service *service, struct hf_op *op,
                                    const char *const *lost, size_t count, struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_READ };

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "proofs are read from the store");
    }
    return hf_call_end(&call, op, answer_what_if(service, op, lost, count, out));
}

/* --- the smallest cut --- */

static void put_cut(struct hf_json_writer *writer, const struct hf_ways *ways, const char *name,
                    struct hf_cut_question question, bool with_people)
{
    size_t *things = hf_alloc_array(ways->thing_count + 1, sizeof *things);
    size_t count;

    question.with_people = with_people;
    count = hf_ways_cut(ways, &question, things);

    hf_json_open_array(writer, name);
    for (size_t i = 0; i < count; i++) {
        put_thing(writer, &ways->things[things[i]]);
    }
    hf_json_close_array(writer);
    free(things);
}

/* Of all keyrings, one that fewer nodes serve if that makes a difference; of one, that. */
static struct hf_cut_question weakest_keyring(const struct hf_ways *ways, const char *keyring,
                                              size_t *out_least)
{
    struct hf_cut_question found = { NULL, true, true, keyring };

    *out_least = hf_ways_cut(ways, &found, NULL);
    for (size_t i = 0; keyring == NULL && i < ways->keyring_count; i++) {
        const struct hf_cut_question one = { NULL, true, true, ways->keyrings[i]->name };
        size_t size = hf_ways_cut(ways, &one, NULL);

        if (size < *out_least) {
            *out_least = size;
            found = one;
        }
    }
    return found;
}

/* The version that the fewest losses end: one that failed somewhere, or any. */
static struct hf_cut_question weakest(const struct hf_ways *ways, const char *keyring,
                                      const char *prefix)
{
    size_t least = 0;
    struct hf_cut_question found = weakest_keyring(ways, keyring, &least);

    for (size_t i = 0; i < ways->proofs->count; i++) {
        const struct hf_slot_proof *proof = ways->proofs->items[i];

        for (size_t j = 0; j < proof->failure_count; j++) {
            const struct hf_cut_question one = { proof->failures[j].path, true, true, NULL };
            size_t size;

            if (strncmp(one.path, prefix, strlen(prefix)) != 0) {
                continue;
            }
            size = hf_ways_cut(ways, &one, NULL);
            if (size < least) {
                least = size;
                found = one;
            }
        }
    }
    return found;
}

/* The prefix of paths that are meant, and the keyring; of all keyrings its name stays empty. */
static struct hf_status find_prefix(struct hf_service *service, struct hf_op *op, const char *what,
                                    char **out, char out_keyring[64])
{
    struct hf_target target;

    out_keyring[0] = '\0';
    if (what == NULL) {
        *out = hf_strdup("version/");
        return HF_SUCCESS;
    }
    HF_TRY(hf_target_read(service, op, NULL, what, &target));
    if (!hf_service_key_exists(service, target.keyring, target.name)) {
        return hf_fail_cause(op, HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY, "there is no key '%.200s'",
                             what);
    }
    memcpy(out_keyring, target.keyring, sizeof target.keyring);
    *out = hf_version_record_path(target.keyring, target.name, target.version);
    return HF_SUCCESS;
}

static struct hf_status answer_min_cut(struct hf_service *service, struct hf_op *op,
                                       const char *what, struct hf_buf *out)
{
    HF_AUTO(ways) ways = NULL;
    HF_AUTO_STRING prefix = NULL;
    HF_AUTO(buf) label = hf_buf_new();
    struct hf_json_writer writer;
    struct hf_cut_question found;
    struct hf_status status;
    char keyring[64];

    HF_TRY(find_prefix(service, op, what, &prefix, keyring));
    hf_assert(prefix != NULL);
    status = read_ways(service, op, &ways);
    if (status.code != HF_OK || ways == NULL) {
        return status;
    }
    found = weakest(ways, keyring[0] != '\0' ? keyring : NULL, prefix);
    start(&writer, out, ways);
    if (found.path != NULL) {
        hf_record_label(found.path, label);
        hf_json_put_text(&writer, "weakest", hf_buf_text(label));
    } else if (found.keyring != NULL && what == NULL) {
        hf_json_put_text(&writer, "weakest", found.keyring);
    } else {
        hf_json_put_null(&writer, "weakest");
    }
    put_cut(&writer, ways, "ends", found, true);
    put_cut(&writer, ways, "needs_people_after", found, false);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

struct hf_status hf_service_min_cut(struct hf_service *service, struct hf_op *op, const char *what,
                                    struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_READ };

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "proofs are read from the store");
    }
    return hf_call_end(&call, op, answer_min_cut(service, op, what, out));
}
