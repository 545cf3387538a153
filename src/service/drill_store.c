/* Where the records of drills are kept: the last ones, each in its place. See drill.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "service/drill.h"

#define LAST "drill/last"
#define RUN  "drill/run/"
#define PART "drill/part/"
#define END  "drill/end/"

static char *path_of(const char *prefix, uint8_t place)
{
    return hf_format("%s%02u", prefix, place);
}

static char *part_path(const struct hf_drill_run *run, const char *node)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_format(path, PART "%02u/", run->place);
    hf_percent_add(path, hf_bytes_of_text(node));
    return hf_strdup(hf_buf_text(path));
}

/* One that is altered, or that a later release wrote, is as good as none: it is written anew. */
static struct hf_status none_if_unreadable(struct hf_op *op, const char *path,
                                           struct hf_status status)
{
    if (status.code == HF_CORRUPT || status.code == HF_UNSUPPORTED) {
        HF_WARNING(op->env, "%.200s is not used: %s", path, op->text);
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

/* The record, or NULL where there is none. */
static struct hf_status read_record(struct hf_service *service, struct hf_op *op, const char *path,
                                    struct hf_opened **out)
{
    struct hf_status status = hf_seal_get(service->seal, op, HF_KIND_DRILL, path, out);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return none_if_unreadable(op, path, status);
}

/* 0: there is none. The store's own word, whatever the record holds. */
static struct hf_status read_revision(struct hf_service *service, struct hf_op *op,
                                      const char *path, uint64_t *out)
{
    HF_AUTO(record) record = NULL;
    struct hf_status status = hf_engine_get(hf_seal_engine(service->seal), op, path, &record);

    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        *out = 0;
        return HF_SUCCESS;
    }
    HF_TRY(status);
    *out = record->revision;
    return HF_SUCCESS;
}

static struct hf_bytes content_of(const struct hf_opened *opened)
{
    return opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE;
}

struct hf_status hf_drill_run_read(struct hf_service *service, struct hf_op *op, uint8_t place,
                                   struct hf_drill_run **out)
{
    HF_AUTO_STRING path = path_of(RUN, place);
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(drill_run) run = NULL;

    HF_TRY(read_record(service, op, path, &opened));
    if (opened == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(none_if_unreadable(op, path, hf_drill_run_decode(op, content_of(opened), &run)));
    if (run != NULL) {
        run->revision = opened->revision;
        *out = HF_TAKE(run);
    }
    return HF_SUCCESS;
}

/* The place of the newest; HF_DRILL_PLACES: none. */
static struct hf_status read_last(struct hf_service *service, struct hf_op *op, uint8_t *out)
{
    HF_AUTO(opened) opened = NULL;

    *out = HF_DRILL_PLACES;
    HF_TRY(read_record(service, op, LAST, &opened));
    return opened != NULL
               ? none_if_unreadable(op, LAST, hf_drill_last_decode(op, content_of(opened), out))
               : HF_SUCCESS;
}

struct hf_status hf_drill_last(struct hf_service *service, struct hf_op *op,
                               struct hf_drill_run **out)
{
    uint8_t place = 0;

    HF_TRY(read_last(service, op, &place));
    return place < HF_DRILL_PLACES ? hf_drill_run_read(service, op, place, out) : HF_SUCCESS;
}

struct hf_status hf_drill_find(struct hf_service *service, struct hf_op *op, const char *id,
                               struct hf_drill_run **out)
{
    HF_AUTO(drill_run) run = NULL;

    if (strcmp(id, "last") == 0) {
        HF_TRY(hf_drill_last(service, op, &run));
    }
    for (uint8_t place = 0; place < HF_DRILL_PLACES && run == NULL; place++) {
        HF_TRY(hf_drill_run_read(service, op, place, &run));
        if (run != NULL && strcmp(run->id, id) != 0) {
            hf_drill_run_free(run);
            run = NULL;
        }
    }
    if (run == NULL) {
        return hf_fail(op, HF_NOT_FOUND,
                       "there is no drill %.32s; the last %d are kept, 'holdfast drill list' shows "
                       "them",
                       id, HF_DRILL_PLACES);
    }
    *out = HF_TAKE(run);
    return HF_SUCCESS;
}

typedef struct hf_status decode_part(struct hf_op *op, struct hf_bytes content,
                                     struct hf_drill_part **out);

static struct hf_status read_part(struct hf_service *service, struct hf_op *op,
                                  const struct hf_drill_run *run, const char *node,
                                  decode_part *decode, struct hf_drill_part **out)
{
    HF_AUTO_STRING path = part_path(run, node);
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(drill_part) part = NULL;

    HF_TRY(read_record(service, op, path, &opened));
    if (opened == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(none_if_unreadable(op, path, decode(op, content_of(opened), &part)));
    if (part != NULL && strcmp(part->id, run->id) == 0 && strcmp(part->node, node) == 0) {
        part->revision = opened->revision;
        *out = HF_TAKE(part);
    }
    return HF_SUCCESS;
}

struct hf_status hf_drill_part_read(struct hf_service *service, struct hf_op *op,
                                    const struct hf_drill_run *run, const char *node,
                                    struct hf_drill_part **out)
{
    return read_part(service, op, run, node, hf_drill_part_decode, out);
}

static struct hf_status read_parts(struct hf_service *service, struct hf_op *op,
                                   const struct hf_drill_run *run, decode_part *decode,
                                   struct hf_drill_parts *out)
{
    out->items = hf_alloc_array(run->node_count + 1, sizeof(struct hf_drill_part *));
    out->count = run->node_count;
    for (size_t i = 0; i < run->node_count; i++) {
        HF_TRY(read_part(service, op, run, run->nodes[i].name, decode, &out->items[i]));
    }
    return HF_SUCCESS;
}

struct hf_status hf_drill_parts_read(struct hf_service *service, struct hf_op *op,
                                     const struct hf_drill_run *run, struct hf_drill_parts *out)
{
    return read_parts(service, op, run, hf_drill_part_decode, out);
}

/* Asked for every minute, of all nodes: so without the lists of their proofs. */
static struct hf_status since_of(struct hf_service *service, struct hf_op *op,
                                 const struct hf_drill_run *run, uint64_t *out)
{
    __attribute__((cleanup(hf_drill_parts_done))) struct hf_drill_parts parts = { 0 };

    HF_TRY(read_parts(service, op, run, hf_drill_part_decode_heads, &parts));
    *out = hf_drill_parts_since(&parts);
    return HF_SUCCESS;
}

struct hf_status hf_drill_since(struct hf_service *service, struct hf_op *op, uint64_t *out)
{
    uint8_t last = HF_DRILL_PLACES;

    HF_TRY(read_last(service, op, &last));
    for (uint8_t back = 0; back < HF_DRILL_PLACES && last < HF_DRILL_PLACES; back++) {
        uint8_t place = (uint8_t)((last + HF_DRILL_PLACES - back) % HF_DRILL_PLACES);
        HF_AUTO(drill_run) run = NULL;

        HF_TRY(hf_drill_run_read(service, op, place, &run));
        if (run != NULL && run->ended_ms != 0 && run->keyring[0] == '\0') {
            return since_of(service, op, run, out);
        }
    }
    *out = last < HF_DRILL_PLACES ? UINT64_MAX : 0;
    return HF_SUCCESS;
}

struct hf_status hf_drill_end_read(struct hf_service *service, struct hf_op *op,
                                   const struct hf_drill_run *run, struct hf_drill_end **out)
{
    HF_AUTO_STRING path = path_of(END, run->place);
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(drill_end) end = NULL;

    HF_TRY(read_record(service, op, path, &opened));
    if (opened != NULL) {
        HF_TRY(hf_drill_end_decode(op, content_of(opened), &end));
    }
    if (run->ended_ms != 0 && (end == NULL || strcmp(end->id, run->id) != 0)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the drill %s has ended, but its receipt (%s) is altered or gone",
                             run->id, path);
    }
    if (end == NULL || strcmp(end->id, run->id) != 0) {
        return hf_fail(op, HF_WRONG_STATE, "the drill %s has no receipt: it has not ended",
                       run->id);
    }
    *out = HF_TAKE(end);
    return HF_SUCCESS;
}

/* --- staging --- */

/* Whatever was there before. */
static struct hf_status put_over(struct hf_service *service, struct hf_op *op, struct hf_txn *txn,
                                 const char *path, const struct hf_buf *content)
{
    uint64_t revision = 0;

    HF_TRY(read_revision(service, op, path, &revision));
    return hf_txn_put(txn, op, HF_KIND_DRILL, path, revision, hf_buf_bytes(content));
}

struct hf_status hf_drill_run_stage(struct hf_service *service, struct hf_op *op,
                                    struct hf_txn *txn, const struct hf_drill_run *run)
{
    HF_AUTO_STRING path = path_of(RUN, run->place);
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(buf) last = hf_buf_new();

    hf_drill_run_encode(run, content);
    HF_TRY(put_over(service, op, txn, path, content));
    hf_drill_last_encode(run->place, last);
    return put_over(service, op, txn, LAST, last);
}

struct hf_status hf_drill_part_stage(struct hf_service *service, struct hf_op *op,
                                     struct hf_txn *txn, const struct hf_drill_run *run,
                                     const struct hf_drill_part *part)
{
    HF_AUTO_STRING path = part_path(run, part->node);
    HF_AUTO(buf) content = hf_buf_new();

    hf_drill_part_encode(part, content);
    return put_over(service, op, txn, path, content);
}

struct hf_status hf_drill_end_stage(struct hf_service *service, struct hf_op *op,
                                    struct hf_txn *txn, const struct hf_drill_run *run,
                                    const struct hf_drill_end *end)
{
    HF_AUTO_STRING path = path_of(END, run->place);
    HF_AUTO(buf) content = hf_buf_new();

    hf_drill_end_encode(end, content);
    return put_over(service, op, txn, path, content);
}
