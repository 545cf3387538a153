/* Drills of all nodes: asked for, watched, ended. See drill.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "service/job.h"
#include "service/receipt.h"

#define WAIT_MS     ((uint64_t)120 * 1000)
#define WAIT_MIN_MS ((uint64_t)1000)
#define WAIT_MAX_MS ((uint64_t)4 * 3600 * 1000)
#define MINUTE_MS   ((uint64_t)60 * 1000)
#define RETRY_MS    (60 * MINUTE_MS)
#define LOOK_MS     ((uint64_t)1000)
/* Of the document that ends a drill: a record holds a megabyte, with names and keys around it. */
#define END_BYTES ((size_t)1000 << 10)

/* --- asking for one --- */

struct starting {
    struct hf_drill_run *run;
    const char *caller;
};

static void add_node(struct hf_drill_run *run, const char *name, const char *site)
{
    run->nodes = hf_realloc_array(run->nodes, run->node_count + 1, sizeof *run->nodes);
    run->nodes[run->node_count++] = (struct hf_drill_node){ hf_strdup(name), hf_strdup(site) };
}

/*
 * Every node that was approved and not removed, and this one, which may have made the store. Nobody
 * else looks at a store that is this node's own, whomever it has approved.
 */
static struct hf_status add_nodes(struct hf_service *service, struct hf_op *op,
                                  struct hf_drill_run *run)
{
    HF_AUTO(members) members = NULL;

    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < members->count && service->shared_store; i++) {
        const struct hf_member *member = members->items[i];

        if (member->state != HF_MEMBER_REMOVED) {
            add_node(run, member->node.name, member->node.site);
        }
    }
    if (!hf_drill_asks(run, service->node)) {
        add_node(run, service->node, service->site);
    }
    return run->node_count <= HF_DRILL_NODES
               ? HF_SUCCESS
               : hf_fail(op, HF_LIMITED,
                         "the store has %zu nodes, and a drill asks %d at most; 'holdfast node "
                         "remove' those that will not come back",
                         run->node_count, HF_DRILL_NODES);
}

/* One at a time among all nodes: the places are decided by the commit. */
static struct hf_status stage_start(struct hf_control *control, struct hf_op *op,
                                    struct hf_txn *txn)
{
    struct hf_service *service = control->call.service;
    struct starting *starting = control->context;
    HF_AUTO(drill_run) last = NULL;

    HF_TRY(hf_drill_last(service, op, &last));
    if (last != NULL && last->ended_ms == 0) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the drill %s runs already, asked for on %.64s; watch it with 'holdfast "
                       "drill show %s'",
                       last->id, last->node, last->id);
    }
    if (last != NULL) {
        starting->run->place = (uint8_t)((last->place + 1) % HF_DRILL_PLACES);
    }
    return hf_drill_run_stage(service, op, txn, starting->run);
}

/* After the request, so that a repeat tells of the same drill. */
static struct hf_status name_drill(struct hf_service *service, struct hf_op *op,
                                   struct hf_drill_run *run)
{
    uint8_t digest[HF_SHA256_LEN];
    HF_AUTO(buf) hex = hf_buf_new();

    if (!hf_request_id_is_set(&op->request_id)) {
        HF_TRY(hf_random_public(hf_seal_crypto(service->seal), op, op->request_id.bytes,
                                sizeof op->request_id.bytes));
    }
    HF_TRY(hf_sha256(hf_seal_crypto(service->seal), op,
                     hf_bytes_of(op->request_id.bytes, sizeof op->request_id.bytes), digest));
    hf_hex_add(hex, hf_bytes_of(digest, (HF_DRILL_ID - 1) / 2));
    memcpy(run->id, hf_buf_text(hex), sizeof run->id);
    return HF_SUCCESS;
}

static struct hf_status start(struct hf_service *service, struct hf_op *op, const char *keyring,
                              uint64_t wait_ms, char out_id[HF_DRILL_ID])
{
    HF_AUTO(drill_run) run = hf_alloc(sizeof *run);
    struct starting starting = { .run = run };
    HF_AUTO_STRING detail = NULL;
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_DRILL_RUN, .keyring = keyring },
        .stage = stage_start,
        .context = &starting,
    };
    struct hf_status status;

    HF_TRY(name_drill(service, op, run));
    run->begun_ms = hf_env_realtime_ms(op->env);
    run->wait_ms = wait_ms;
    run->node = hf_strdup(service->node);
    run->caller = hf_strdup(hf_op_caller_id(op));
    run->keyring = hf_strdup(keyring != NULL ? keyring : "");
    status = add_nodes(service, op, run);
    if (status.code != HF_OK) {
        return hf_call_end(&control.call, op, status);
    }
    detail = hf_format("drill %s is asked of %zu nodes", run->id, run->node_count);
    control.call.detail = detail;
    HF_TRY(hf_control_run(&control, op));
    memcpy(out_id, run->id, HF_DRILL_ID);
    return HF_SUCCESS;
}

static void look_for_keyring(void *context, const struct hf_keyring_info *info)
{
    const char **wanted = context;

    if (*wanted != NULL && strcmp(*wanted, info->name) == 0) {
        *wanted = NULL;
    }
}

static struct hf_status check_asked(struct hf_service *service, struct hf_op *op,
                                    const char *keyring, uint64_t wait_ms)
{
    const char *missing = keyring;

    hf_keyring_each(service->keys, look_for_keyring, &missing);
    if (missing != NULL) {
        return hf_fail(op, HF_NOT_FOUND, "there is no keyring \"%.64s\"", missing);
    }
    if (wait_ms < WAIT_MIN_MS || wait_ms > WAIT_MAX_MS) {
        return hf_fail(op, HF_INVALID, "a drill waits a second at least and four hours at most");
    }
    return HF_SUCCESS;
}

struct hf_status hf_service_drill(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  uint64_t wait_ms, char out_id[HF_DRILL_ID])
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_RUN };
    uint64_t wait = wait_ms != 0 ? wait_ms : WAIT_MS;
    struct hf_status status;

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a drill begins with a commit");
    }
    status = check_asked(service, op, keyring, wait);
    return status.code == HF_OK ? start(service, op, keyring, wait, out_id)
                                : hf_call_end(&call, op, status);
}

/* --- watching: by the thread that runs jobs, on every node --- */

/* What was last heard of each node, by this node's clock: no two clocks are compared. */
struct hf_drill_watch {
    char id[HF_DRILL_ID]; /* "": none */
    uint64_t *revisions;
    uint64_t *heard_ms; /* boottime */
    size_t count;
    uint64_t look_ms;     /* boottime: not before, unless something was committed */
    uint64_t seq;         /* seen at the last look */
    uint64_t schedule_ms; /* boottime: when it is asked again whether one is due */
    uint64_t retry_ms;    /* realtime: one that was begun by the clock is not begun again before */
};

void hf_drill_watch_free(struct hf_drill_watch *watch)
{
    if (watch != NULL) {
        free(watch->revisions);
        free(watch->heard_ms);
        free(watch);
    }
}

static void watch_anew(struct hf_drill_watch *watch, const struct hf_drill_run *run,
                       uint64_t now_ms)
{
    memcpy(watch->id, run->id, sizeof watch->id);
    watch->count = run->node_count;
    watch->revisions =
        hf_realloc_array(watch->revisions, run->node_count + 1, sizeof *watch->revisions);
    watch->heard_ms =
        hf_realloc_array(watch->heard_ms, run->node_count + 1, sizeof *watch->heard_ms);
    for (size_t i = 0; i < run->node_count; i++) {
        watch->revisions[i] = 0;
        watch->heard_ms[i] = now_ms;
    }
}

/* Whether nobody has to be waited for any longer. */
static bool is_complete(struct hf_drill_watch *watch, const struct hf_drill_run *run,
                        const struct hf_drill_parts *parts, uint64_t now_ms)
{
    bool complete = true;

    for (size_t i = 0; i < run->node_count; i++) {
        const struct hf_drill_part *part = parts->items[i];

        if (part != NULL && part->revision != watch->revisions[i]) {
            watch->revisions[i] = part->revision;
            watch->heard_ms[i] = now_ms;
        }
        complete = complete &&
                   (hf_drill_part_is_over(part) || now_ms >= watch->heard_ms[i] + run->wait_ms);
    }
    return complete;
}

/* --- ending it --- */

struct ending {
    struct hf_drill_run *run;
    struct hf_drill_end *end;
};

static struct hf_status stage_end(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    const struct ending *ending = control->context;
    struct hf_service *service = control->call.service;
    HF_AUTO(drill_run) now = NULL;

    HF_TRY(hf_drill_run_read(service, op, ending->run->place, &now));
    if (now == NULL || strcmp(now->id, ending->run->id) != 0 || now->ended_ms != 0) {
        return hf_fail(op, HF_WRONG_STATE, "another node has ended the drill");
    }
    HF_TRY(hf_drill_run_stage(service, op, txn, ending->run));
    return hf_drill_end_stage(service, op, txn, ending->run, ending->end);
}

/* A part that its node's key has not signed is worth nothing. */
static struct hf_status check_parts(struct hf_service *service, struct hf_op *op,
                                    const struct hf_drill_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct hf_drill_part *part = parts->items[i];
        bool is_valid = service->signer == NULL;

        if (part == NULL || part->state != HF_PART_DONE) {
            continue;
        }
        if (part->public_key.len > 0 &&
            hf_receipt_check(hf_seal_crypto(service->seal), op, HF_RECEIPT_PART,
                             hf_buf_bytes(&part->document), hf_buf_bytes(&part->public_key),
                             hf_buf_bytes(&part->signature), &is_valid)
                    .code != HF_OK) {
            is_valid = false;
            hf_op_clear(op);
        }
        if (!is_valid) {
            part->state = HF_PART_FAILED;
            free(part->text);
            part->text = hf_strdup("its part is not signed by the key it names");
        }
    }
    return HF_SUCCESS;
}

static bool is_renewed(const struct hf_drill_parts *parts, const struct hf_slot_proof *old)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct hf_drill_part *part = parts->items[i];

        if (part == NULL || part->state != HF_PART_DONE || strcmp(part->node, old->node) != 0) {
            continue;
        }
        for (size_t j = 0; j < part->proofs.count; j++) {
            if (strcmp(part->proofs.items[j]->slot, old->slot) == 0) {
                return true;
            }
        }
    }
    return false;
}

/*
 * What this drill has proven stands last; the proofs of the parts move over. What a node did not
 * renew went with its part.
 */
static struct hf_status merge(struct hf_service *service, struct hf_op *op,
                              const struct hf_drill_parts *parts, struct hf_slot_proofs **out,
                              size_t *out_fresh)
{
    HF_AUTO(slot_proofs) before = NULL;
    struct hf_slot_proofs *merged;

    HF_TRY(hf_slot_proofs_read(service, op, &before));
    merged = hf_alloc(sizeof *merged);
    for (size_t i = 0; i < before->count; i++) {
        if (!is_renewed(parts, before->items[i])) {
            hf_slot_proofs_add(merged, HF_TAKE(before->items[i]));
        }
    }
    *out_fresh = 0;
    for (size_t i = 0; i < parts->count; i++) {
        struct hf_drill_part *part = parts->items[i];
        size_t count = part != NULL && part->state == HF_PART_DONE ? part->proofs.count : 0;

        for (size_t j = 0; j < count; j++) {
            hf_slot_proofs_add(merged, HF_TAKE(part->proofs.items[j]));
        }
        *out_fresh += count;
    }
    *out = merged;
    return HF_SUCCESS;
}

static char *describe(const struct hf_drill *drill, enum hf_light light)
{
    return hf_format("drill %s: %zu of %zu nodes answered, %s", drill->run->id,
                     drill->run->node_count - drill->silent, drill->run->node_count,
                     hf_light_name(light));
}

static void tell(struct hf_op *op, const char *summary, enum hf_light light, const char *id)
{
    if (light == HF_RED) {
        HF_ERROR(op->env, "%s; 'holdfast drill show %s' says what does not open", summary, id);
    } else {
        HF_INFO(op->env, "%s", summary);
    }
}

/* Whatever there is to tell: a drill that could not be written would never end. */
static struct hf_status write_end(struct hf_drill *drill, struct hf_op *op, struct hf_buf *out)
{
    HF_TRY(hf_receipt_write_end(drill, op, out));
    while (out->len > END_BYTES && drill->trim < HF_DRILL_WITHOUT_CELLS) {
        drill->trim++;
        hf_buf_clear(out);
        HF_TRY(hf_receipt_write_end(drill, op, out));
    }
    return HF_SUCCESS;
}

static struct hf_status commit_end(struct hf_drill *drill, struct hf_op *op,
                                   struct hf_drill_run *run)
{
    struct hf_service *service = drill->service;
    HF_AUTO(drill_end) end = hf_alloc(sizeof *end);
    HF_AUTO_STRING summary = describe(drill, hf_drill_light(drill));
    struct ending ending = { run, end };
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_DRILL_RUN,
                  .keyring = run->keyring[0] != '\0' ? run->keyring : NULL,
                  .detail = summary },
        .stage = stage_end,
        .context = &ending,
    };

    memcpy(end->id, run->id, sizeof end->id);
    end->node = hf_strdup(service->node);
    HF_TRY(write_end(drill, op, &end->document));
    HF_TRY(hf_receipt_sign(service, op, HF_RECEIPT_END, hf_buf_bytes(&end->document),
                           &end->public_key, &end->signature));
    run->ended_ms = hf_env_realtime_ms(op->env);
    run->light = hf_drill_light(drill);
    run->silent = drill->silent;
    HF_TRY(hf_control_run(&control, op));
    tell(op, summary, run->light, run->id);
    return HF_SUCCESS;
}

static uint32_t count_silent(const struct hf_drill_parts *parts)
{
    uint32_t silent = 0;

    for (size_t i = 0; i < parts->count; i++) {
        silent += parts->items[i] == NULL || parts->items[i]->state != HF_PART_DONE;
    }
    return silent;
}

static struct hf_status end(struct hf_service *service, struct hf_op *op, struct hf_drill_run *run,
                            const struct hf_drill_parts *parts)
{
    struct hf_drill drill = { .service = service, .run = run, .parts = parts->items };
    HF_AUTO(slot_proofs) merged = NULL;
    HF_AUTO(ways) ways = NULL;
    size_t fresh = 0;
    uint64_t since;

    HF_TRY(check_parts(service, op, parts));
    drill.silent = count_silent(parts);
    since = hf_drill_parts_since(parts);
    HF_TRY(merge(service, op, parts, &merged, &fresh));
    HF_TRY(hf_ways_new_since(service, op, &merged, since, &ways));
    drill.ways = ways;
    drill.proofs =
        (struct hf_slot_proofs){ ways->proofs->items + (ways->proofs->count - fresh), fresh };
    HF_TRY(commit_end(&drill, op, run));
    return hf_service_proof_metrics(service, op);
}

/* --- the job --- */

/* Every record is another one since: nothing of them is proven. */
static bool is_of_old_root(struct hf_service *service, const struct hf_slot_proof *proof)
{
    return proof->opened && proof->root_generation != hf_seal_root_generation(service->seal) &&
           !hf_seal_root_is_moving(service->seal);
}

static struct hf_status is_due(struct hf_service *service, struct hf_op *op,
                               struct hf_drill_watch *watch, bool *out)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    HF_AUTO(slot_proofs) proofs = NULL;

    *out = false;
    if (service->drill_every_ms == 0 || service->slot_count == 0 || now_ms < watch->retry_ms ||
        hf_env_boottime_ms(op->env) < watch->schedule_ms) {
        return HF_SUCCESS;
    }
    watch->schedule_ms = hf_env_boottime_ms(op->env) + MINUTE_MS;
    HF_TRY(hf_slot_proofs_read(service, op, &proofs));
    *out = true;
    for (size_t i = 0; i < proofs->count; i++) {
        const struct hf_slot_proof *proof = proofs->items[i];

        if (strcmp(proof->node, service->node) == 0 &&
            proof->when_ms + service->drill_every_ms > now_ms && !is_of_old_root(service, proof)) {
            *out = false;
        }
    }
    return HF_SUCCESS;
}

/* By the clock: whichever node's proofs are too old asks all of them. */
static struct hf_status start_if_due(struct hf_job *job, struct hf_op *op,
                                     struct hf_drill_watch *watch)
{
    char id[HF_DRILL_ID];
    struct hf_status status;
    bool due = false;
    bool ours = false;

    HF_TRY(is_due(job->service, op, watch, &due));
    if (!due) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_job_claim(job, op, &ours));
    if (!ours) {
        watch->schedule_ms = 0;
        return HF_SUCCESS;
    }
    watch->retry_ms = hf_env_realtime_ms(op->env) + RETRY_MS;
    status = start(job->service, op, NULL, WAIT_MS, id);
    /* The drill took its name from it; what else the job commits is another request. */
    op->request_id = (struct hf_request_id){ 0 };
    return status;
}

static struct hf_status watch_run(struct hf_job *job, struct hf_op *op,
                                  struct hf_drill_watch *watch, struct hf_drill_run *run)
{
    __attribute__((cleanup(hf_drill_parts_done))) struct hf_drill_parts parts = { 0 };
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    bool ours = false;

    if (strcmp(watch->id, run->id) != 0) {
        watch_anew(watch, run, now_ms);
    }
    HF_TRY(hf_drill_parts_read(job->service, op, run, &parts));
    if (!is_complete(watch, run, &parts, now_ms)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_job_claim(job, op, &ours));
    if (!ours) {
        return HF_SUCCESS;
    }
    hf_job_tell(job, op, run->node_count - count_silent(&parts), run->node_count);
    return end(job->service, op, run, &parts);
}

struct hf_status hf_job_drill(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    struct hf_service *service = job->service;
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    uint64_t seq = hf_seal_seq(service->seal);
    struct hf_drill_watch *watch;
    HF_AUTO(drill_run) run = NULL;

    if (service->watch == NULL) {
        service->watch = hf_alloc(sizeof *service->watch);
    }
    watch = service->watch;
    if (seq == watch->seq && now_ms < watch->look_ms) {
        return HF_SUCCESS;
    }
    *out_more = false;
    watch->seq = seq;
    watch->look_ms = now_ms + LOOK_MS;
    HF_TRY(hf_drill_last(service, op, &run));
    return run != NULL && run->ended_ms == 0 ? watch_run(job, op, watch, run)
                                             : start_if_due(job, op, watch);
}
