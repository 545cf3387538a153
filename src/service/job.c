/* See job.h. */
#include "service/job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "cluster/cluster.h"

#define FORMAT    1
#define PREFIX    "job/"
#define LIFE_MS   ((uint64_t)10 * 1000)
#define RENEW_MS  (LIFE_MS / 4)
#define SLICE_MS  ((uint64_t)1000)
#define MINUTE_MS ((uint64_t)60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)
/* While another node does it. */
#define LOOK_AGAIN_MS ((uint64_t)2000)

/* In the order in which a turn looks at them. */
const struct hf_job_row hf_job_rows[HF_JOBS] = {
    { "drill", 0, hf_job_drill },
    { "purge", MINUTE_MS, hf_job_purge },
    { "rewrap", 0, hf_job_rewrap },
    { "root", 0, hf_job_move_root },
    { "rotate", 10 * MINUTE_MS, hf_job_rotate },
    { "settle", MINUTE_MS, hf_job_settle },
};

/* --- the record --- */

void hf_job_record_done(struct hf_job_record *record)
{
    free(record->node);
    free(record->text);
    *record = (struct hf_job_record){ 0 };
}

void hf_job_record_encode(const struct hf_job_record *record, struct hf_buf *out)
{
    hf_put_u8(out, FORMAT);
    hf_put_text(out, record->node);
    hf_put_u64(out, record->fence);
    hf_put_u64(out, record->begun_ms);
    hf_put_u64(out, record->active_ms);
    hf_put_u64(out, record->ended_ms);
    hf_put_u64(out, record->done);
    hf_put_u64(out, record->total);
    hf_put_text(out, record->text);
}

struct hf_status hf_job_record_decode(struct hf_op *op, struct hf_bytes content,
                                      struct hf_job_record *out)
{
    struct hf_reader reader;
    uint8_t format;

    hf_reader_init(&reader, content);
    format = hf_take_u8(&reader);
    out->node = hf_take_text(&reader);
    out->fence = hf_take_u64(&reader);
    out->begun_ms = hf_take_u64(&reader);
    out->active_ms = hf_take_u64(&reader);
    out->ended_ms = hf_take_u64(&reader);
    out->done = hf_take_u64(&reader);
    out->total = hf_take_u64(&reader);
    out->text = hf_take_text(&reader);
    if (content.len > 0 && format != FORMAT) {
        return hf_fail(op, HF_UNSUPPORTED, "a job has format %u; this server reads format %d",
                       format, FORMAT);
    }
    return hf_reader_end(&reader, op, "a job");
}

/*
 * *out_revision 0: nobody has done it yet. A record that is altered tells nothing, and is written
 * anew: it must not keep the job from being done. The caller ends the record, also on failure.
 */
static struct hf_status read_record(struct hf_service *service, struct hf_op *op, const char *path,
                                    struct hf_job_record *out, uint64_t *out_revision)
{
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(record) altered = NULL;
    struct hf_status status = hf_seal_get(service->seal, op, HF_KIND_JOB, path, &opened);

    *out_revision = 0;
    if (status.code == HF_OK) {
        *out_revision = opened->revision;
        return hf_job_record_decode(
            op, opened->plain != NULL ? hf_secret_bytes(opened->plain) : HF_BYTES_NONE, out);
    }
    *out = (struct hf_job_record){ .node = hf_strdup(""), .text = hf_strdup("") };
    if (status.code == HF_CORRUPT) {
        HF_WARNING(op->env, "%.200s is not used: %s", path, op->text);
        hf_op_clear(op);
        HF_TRY(hf_engine_get(hf_seal_engine(service->seal), op, path, &altered));
        *out_revision = altered->revision;
        return HF_SUCCESS;
    }
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

/* --- claiming --- */

static void put_content(struct hf_job *job, const struct hf_op *op)
{
    job->record.active_ms = hf_env_realtime_ms(op->env);
    hf_buf_clear(job->fence.content);
    hf_job_record_encode(&job->record, job->fence.content);
}

/* One commit of the record alone, past the fence; with what happened, for the trail, or without. */
static struct hf_status commit_record(struct hf_job *job, struct hf_op *op)
{
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;
    struct hf_status status;

    put_content(job, op);
    op->fence = &job->fence;
    HF_TRY(hf_txn_new(job->service->seal, op, &txn));
    status = hf_txn_commit(txn, op, &commit);
    hf_secret_free(commit.result);
    return status;
}

static struct hf_status lease(struct hf_job *job, struct hf_op *op, uint64_t life_ms,
                              uint64_t *out_fence)
{
    struct hf_service *service = job->service;

    /* From before the request: then it is over here no later than in the store. */
    job->renewed_ms = hf_env_boottime_ms(op->env);
    return hf_engine_lease(hf_seal_engine(service->seal), op, job->lease, service->node, life_ms,
                           out_fence);
}

/* The lease is ours; the record says whether this run is too. */
static struct hf_status take_over(struct hf_job *job, struct hf_op *op, uint64_t fence)
{
    struct hf_job_record *record = &job->record;
    struct hf_service *service = job->service;
    bool under_way;

    hf_job_record_done(record);
    HF_TRY(read_record(service, op, job->path, record, &job->fence.revision));
    under_way = job->fence.revision > 0 && record->ended_ms == 0;
    if (under_way && strcmp(record->node, service->node) != 0) {
        HF_WARNING(op->env, "the job %s goes on here: it was under way on %.64s", job->row->name,
                   record->node);
    }
    free(record->node);
    record->node = hf_strdup(service->node);
    record->fence = fence;
    if (!under_way) {
        record->begun_ms = hf_env_realtime_ms(op->env);
        record->done = 0;
        record->total = 0;
    }
    record->ended_ms = 0;
    return commit_record(job, op);
}

/* Somebody was quicker, or cannot be asked: nothing of the job is done here now. */
static void let_go(struct hf_job *job, struct hf_op *op)
{
    job->is_ours = false;
    op->fence = NULL;
}

static struct hf_status claim(struct hf_job *job, struct hf_op *op)
{
    uint64_t fence = 0;

    HF_TRY(lease(job, op, LIFE_MS, &fence));
    if (job->is_ours && fence == job->record.fence) {
        op->fence = &job->fence;
        put_content(job, op);
        return HF_SUCCESS;
    }
    return take_over(job, op, fence);
}

static void look_later(struct hf_job *job, uint64_t ms)
{
    job->retry_ms = ms > job->retry_ms ? ms : job->retry_ms;
}

struct hf_status hf_job_claim(struct hf_job *job, struct hf_op *op, bool *out_ours)
{
    struct hf_status status = HF_SUCCESS;

    /* From the first thing to do on: however long it took to find, it is done. */
    if (!job->is_wanted) {
        job->slice_until_ms = hf_env_boottime_ms(op->env) + SLICE_MS;
    }
    job->is_wanted = true;
    *out_ours = false;
    /* Without a lease among the nodes it changes nothing: what it knows may be old. */
    if (job->service->cluster != NULL && hf_cluster_lease(job->service->cluster) == 0) {
        let_go(job, op);
        look_later(job, LOOK_AGAIN_MS);
        return HF_SUCCESS;
    }
    if (!job->is_ours || op->fence == NULL ||
        hf_env_boottime_ms(op->env) > job->renewed_ms + RENEW_MS) {
        status = claim(job, op);
        job->is_ours = status.code == HF_OK;
    }
    *out_ours = job->is_ours;
    if (status.code == HF_OK) {
        return status;
    }
    let_go(job, op);
    if (status.code == HF_CONFLICT) {
        look_later(job, LOOK_AGAIN_MS);
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

void hf_job_tell(struct hf_job *job, const struct hf_op *op, uint64_t done, uint64_t total)
{
    job->record.done = done;
    job->record.total = total;
    put_content(job, op);
}

struct hf_status hf_job_pass(struct hf_job *job, struct hf_op *op, struct hf_status status,
                             const char *keyring, const char *name)
{
    bool is_its_own = status.code != HF_OK && status.code != HF_UNAVAILABLE &&
                      status.code != HF_CONFLICT && status.code != HF_IN_DOUBT &&
                      status.code != HF_NO_SPACE && hf_seal_is_unlocked(job->service->seal);

    if (!is_its_own) {
        return status;
    }
    HF_WARNING(op->env, "the job %s cannot do the key %.64s/%.255s now: %s", job->row->name,
               keyring, name, op->text);
    hf_op_clear(op);
    job->has_left = true;
    look_later(job, HOUR_MS);
    return HF_SUCCESS;
}

bool hf_job_must_rest(const struct hf_job *job, const struct hf_op *op)
{
    return atomic_load(&job->service->drill.stop) ||
           hf_env_boottime_ms(op->env) >= job->slice_until_ms;
}

/* --- a turn --- */

/* The run is over, well or not: the record says so, and the lease is anybody's. */
static struct hf_status end(struct hf_job *job, struct hf_op *op, const char *text)
{
    struct hf_status status;
    uint64_t fence;

    free(job->record.text);
    job->record.text = hf_strdup(text);
    job->record.ended_ms = hf_env_realtime_ms(op->env);
    status = commit_record(job, op);
    let_go(job, op);
    HF_TRY(status);
    return lease(job, op, 0, &fence);
}

/* For the metric: since when there is something to do that nobody has done. */
static void note_due(struct hf_job *job, const struct hf_op *op, bool is_due)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    uint64_t since_ms = atomic_load(&job->due_since_ms);
    HF_AUTO_STRING labels = hf_format("job=\"%s\"", job->row->name);

    if (!is_due) {
        since_ms = 0;
    } else if (since_ms == 0) {
        since_ms = now_ms;
    }
    atomic_store(&job->due_since_ms, since_ms);
    hf_metric_set(hf_metrics_series(op->env->metrics, HF_METRIC_GAUGE,
                                    "holdfast_job_overdue_seconds", labels,
                                    "Since when a job has been due that no node has ended."),
                  since_ms != 0 && now_ms > since_ms ? (int64_t)((now_ms - since_ms) / 1000) : 0);
}

static void plan_next_look(struct hf_job *job, const struct hf_op *op, bool more)
{
    uint64_t wait_ms = more ? 0 : job->row->every_ms;

    wait_ms = job->retry_ms > wait_ms ? job->retry_ms : wait_ms;
    job->look_ms = hf_env_boottime_ms(op->env) + wait_ms;
    atomic_store(&job->next_look_ms, wait_ms > 0 ? hf_env_realtime_ms(op->env) + wait_ms : 0);
}

/* Tried again in a minute: by then another node may be able to. */
static void note_failure(struct hf_job *job, struct hf_op *op, struct hf_status status)
{
    HF_AUTO_STRING text = hf_strdup(op->text);

    look_later(job, MINUTE_MS);
    job->is_wanted = true;
    if (hf_seal_is_unlocked(job->service->seal)) {
        HF_WARNING(op->env, "the job %s: %s", job->row->name, text);
    }
    hf_op_clear(op);
    /* Whoever lost the fence has nothing to say about the job any more. */
    if (job->is_ours && status.code != HF_CONFLICT && end(job, op, text).code != HF_OK) {
        hf_op_clear(op);
    }
    let_go(job, op);
}

static void run(struct hf_job *job, struct hf_op *op, bool *out_more)
{
    bool more = false;
    struct hf_status status;

    job->is_wanted = false;
    job->retry_ms = 0;
    job->has_left = false;
    op->fence = job->is_ours ? &job->fence : NULL;
    status = job->row->work(job, op, &more);
    if (status.code == HF_OK && job->is_ours && !more) {
        status = end(job, op, "");
        job->is_wanted = status.code != HF_OK || job->has_left;
    }
    if (status.code != HF_OK) {
        note_failure(job, op, status);
        more = false;
    }
    op->fence = NULL;
    note_due(job, op, job->is_wanted);
    more = more && job->is_ours;
    plan_next_look(job, op, more);
    *out_more = *out_more || more;
}

void hf_service_run_jobs(struct hf_service *service, struct hf_op *op, bool *out_more)
{
    *out_more = false;
    for (size_t i = 0; i < HF_JOBS; i++) {
        struct hf_job *job = &service->jobs[i];

        if (!hf_seal_is_unlocked(service->seal) || atomic_load(&service->drill.stop)) {
            return;
        }
        if (hf_env_boottime_ms(op->env) >= job->look_ms) {
            run(job, op, out_more);
        }
    }
}

/* --- what there is --- */

static enum hf_job_state state_of(const struct hf_job *job, const struct hf_job_record *record,
                                  uint64_t revision)
{
    if (revision > 0 && record->ended_ms == 0) {
        return HF_JOB_RUNS;
    }
    if (record->text[0] != '\0') {
        return HF_JOB_FAILED;
    }
    return atomic_load(&job->due_since_ms) != 0 ? HF_JOB_DUE : HF_JOB_RESTS;
}

static struct hf_status show(struct hf_job *job, struct hf_op *op,
                             void (*visit)(void *context, const struct hf_job_info *info),
                             void *context)
{
    struct hf_job_record record = { 0 };
    uint64_t revision = 0;
    struct hf_status status = read_record(job->service, op, job->path, &record, &revision);

    if (status.code == HF_OK) {
        const struct hf_job_info info = {
            .name = job->row->name,
            .state = state_of(job, &record, revision),
            .node = record.node,
            .begun_ms = record.begun_ms,
            .active_ms = record.active_ms,
            .ended_ms = record.ended_ms,
            .done = record.done,
            .total = record.total,
            .text = record.text,
            .due_since_ms = atomic_load(&job->due_since_ms),
            .next_look_ms = atomic_load(&job->next_look_ms),
        };

        visit(context, &info);
    }
    hf_job_record_done(&record);
    return status;
}

struct hf_status hf_service_job_list(struct hf_service *service, struct hf_op *op,
                                     void (*visit)(void *context, const struct hf_job_info *info),
                                     void *context)
{
    struct hf_call call = { .service = service, .action = HF_ACT_JOB_LIST };
    struct hf_status status = HF_SUCCESS;

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "jobs are read from the store");
    }
    for (size_t i = 0; i < HF_JOBS && status.code == HF_OK; i++) {
        status = show(&service->jobs[i], op, visit, context);
    }
    return hf_call_end(&call, op, status);
}

const char *hf_job_state_name(enum hf_job_state state)
{
    static const char *const names[] = { [HF_JOB_RESTS] = "rests",
                                         [HF_JOB_DUE] = "due",
                                         [HF_JOB_RUNS] = "runs",
                                         [HF_JOB_FAILED] = "failed" };

    return names[state];
}

/* --- as long as the service lives --- */

void hf_jobs_start(struct hf_service *service)
{
    service->jobs = hf_alloc_array(HF_JOBS, sizeof *service->jobs);
    for (size_t i = 0; i < HF_JOBS; i++) {
        struct hf_job *job = &service->jobs[i];

        job->row = &hf_job_rows[i];
        job->service = service;
        job->path = hf_format(PREFIX "%s", job->row->name);
        job->lease = hf_format("job-%s", job->row->name);
        job->fence = (struct hf_fence){ HF_KIND_JOB, job->path, 0, hf_buf_new() };
        job->seen = hf_buf_new();
    }
}

void hf_jobs_stop(struct hf_service *service)
{
    for (size_t i = 0; i < HF_JOBS; i++) {
        struct hf_job *job = &service->jobs[i];

        hf_job_record_done(&job->record);
        hf_buf_free(job->fence.content);
        hf_buf_free(job->seen);
        free(job->path);
        free(job->lease);
    }
    free(service->jobs);
}
