/* Drills shown: which there were, how far one is, and its receipt. See drill.h. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "service/receipt.h"

/* --- progress --- */

static const char *part_name(const struct hf_drill_run *run, const struct hf_drill_part *part)
{
    static const char *const names[] = {
        [HF_PART_RUNS] = "runs", [HF_PART_DONE] = "done", [HF_PART_FAILED] = "failed"
    };

    if (!hf_drill_part_is_over(part) && run->ended_ms != 0) {
        return "silent";
    }
    return part != NULL ? names[part->state] : "waiting";
}

static void put_part(struct hf_json_writer *writer, struct hf_service *service,
                     const struct hf_drill_run *run, size_t at, const struct hf_drill_part *part)
{
    struct hf_drill_part own = { .text = (char *)"" };

    /* Of this node it is known to the moment. */
    if (!hf_drill_part_is_over(part) && strcmp(run->nodes[at].name, service->node) == 0 &&
        hf_drill_part_runs(service, run->id, &own)) {
        part = &own;
    }
    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "node", run->nodes[at].name);
    hf_json_put_text(writer, "site", run->nodes[at].site);
    hf_json_put_text(writer, "state", part_name(run, part));
    hf_json_put_u64(writer, "slots", part != NULL ? part->slots : 0);
    hf_json_put_u64(writer, "slots_done", part != NULL ? part->slots_done : 0);
    hf_json_put_u64(writer, "versions", part != NULL ? part->versions : 0);
    hf_json_put_u64(writer, "versions_done", part != NULL ? part->versions_done : 0);
    hf_json_put_text(writer, "text", part != NULL ? part->text : "");
    hf_json_close_object(writer);
}

static void put_run(struct hf_json_writer *writer, const struct hf_drill_run *run)
{
    hf_json_put_text(writer, "id", run->id);
    hf_json_put_text(writer, "state", run->ended_ms != 0 ? "ended" : "runs");
    hf_json_put_text(writer, "asked_on", run->node);
    hf_json_put_text(writer, "asked_by", run->caller);
    hf_json_put_date(writer, "begun", run->begun_ms);
    hf_json_put_u64(writer, "wait_ms", run->wait_ms);
    if (run->keyring[0] != '\0') {
        hf_json_put_text(writer, "keyring", run->keyring);
    } else {
        hf_json_put_null(writer, "keyring");
    }
    if (run->ended_ms != 0) {
        hf_json_put_date(writer, "ended", run->ended_ms);
        hf_json_put_text(writer, "light", hf_light_name(run->light));
        hf_json_put_u64(writer, "silent", run->silent);
    } else {
        hf_json_put_null(writer, "ended");
    }
}

static struct hf_status show(struct hf_service *service, struct hf_op *op, const char *id,
                             struct hf_buf *out)
{
    __attribute__((cleanup(hf_drill_parts_done))) struct hf_drill_parts parts = { 0 };
    HF_AUTO(drill_run) run = NULL;
    struct hf_json_writer writer;

    HF_TRY(hf_drill_find(service, op, id, &run));
    HF_TRY(hf_drill_parts_read(service, op, run, &parts));
    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    put_run(&writer, run);
    hf_json_open_array(&writer, "nodes");
    for (size_t i = 0; i < run->node_count; i++) {
        put_part(&writer, service, run, i, parts.items[i]);
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

static struct hf_status allow_reading(const struct hf_call *call, struct hf_op *op)
{
    HF_TRY(hf_call_allow(call, op));
    return op->may_wait ? HF_SUCCESS : hf_fail(op, HF_LATER, "drills are read from the store");
}

struct hf_status hf_service_drill_show(struct hf_service *service, struct hf_op *op, const char *id,
                                       struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_READ };
    struct hf_status status;

    HF_TRY(allow_reading(&call, op));
    status = show(service, op, id, out);
    if (status.code != HF_OK) {
        return hf_call_end(&call, op, status);
    }
    /* Asked some times a second, so it is counted and not recorded. */
    hf_call_count(&call, op, HF_OK);
    return HF_SUCCESS;
}

static struct hf_status list(struct hf_service *service, struct hf_op *op, struct hf_buf *out)
{
    HF_AUTO(drill_run) last = NULL;
    struct hf_json_writer writer;

    HF_TRY(hf_drill_last(service, op, &last));
    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_open_array(&writer, "drills");
    for (unsigned back = 0; last != NULL && back < HF_DRILL_PLACES; back++) {
        HF_AUTO(drill_run) run = NULL;
        unsigned place = (last->place + HF_DRILL_PLACES - back) % HF_DRILL_PLACES;

        HF_TRY(hf_drill_run_read(service, op, (uint8_t)place, &run));
        if (run != NULL) {
            hf_json_open_object(&writer, NULL);
            put_run(&writer, run);
            hf_json_close_object(&writer);
        }
    }
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

struct hf_status hf_service_drill_list(struct hf_service *service, struct hf_op *op,
                                       struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_READ };

    HF_TRY(allow_reading(&call, op));
    return hf_call_end(&call, op, list(service, op, out));
}

static struct hf_status answered(struct hf_op *op, const struct hf_json *nodes, const char *name,
                                 bool *out)
{
    *out = false;
    for (size_t i = 0; i < hf_json_count(nodes); i++) {
        const char *node = NULL;
        const char *result = NULL;

        HF_TRY(hf_json_text(op, hf_json_at(nodes, i), "node", &node));
        HF_TRY(hf_json_text(op, hf_json_at(nodes, i), "result", &result));
        *out = *out || (strcmp(node, name) == 0 && strcmp(result, "answered") == 0);
    }
    return HF_SUCCESS;
}

/* One that came when the drill had ended without it. */
static struct hf_status drop_late_parts(struct hf_op *op, const struct hf_drill_end *end,
                                        struct hf_drill_parts *parts)
{
    HF_AUTO(json) document = NULL;
    const struct hf_json *nodes = NULL;

    HF_TRY(hf_json_parse(op, hf_buf_bytes(&end->document), &document));
    HF_TRY(hf_json_array_or(op, document, "nodes", &nodes));
    for (size_t i = 0; i < parts->count; i++) {
        bool counts = false;

        if (parts->items[i] != NULL) {
            HF_TRY(answered(op, nodes, parts->items[i]->node, &counts));
        }
        if (!counts) {
            hf_drill_part_free(parts->items[i]);
            parts->items[i] = NULL;
        }
    }
    return HF_SUCCESS;
}

static struct hf_status join(struct hf_service *service, struct hf_op *op, const char *id,
                             struct hf_buf *out)
{
    __attribute__((cleanup(hf_drill_parts_done))) struct hf_drill_parts parts = { 0 };
    HF_AUTO(drill_run) run = NULL;
    HF_AUTO(drill_end) end = NULL;

    HF_TRY(hf_drill_find(service, op, id, &run));
    HF_TRY(hf_drill_end_read(service, op, run, &end));
    HF_TRY(hf_drill_parts_read(service, op, run, &parts));
    HF_TRY(drop_late_parts(op, end, &parts));
    hf_receipt_join(end, parts.items, parts.count, out);
    return HF_SUCCESS;
}

struct hf_status hf_service_drill_receipt(struct hf_service *service, struct hf_op *op,
                                          const char *id, struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_READ };

    HF_TRY(allow_reading(&call, op));
    return hf_call_end(&call, op, join(service, op, id, out));
}
