/*
 * Leases of the PostgreSQL engine, without comparing clocks: whoever wants a lease that another
 * holds has to see it unrenewed for its whole duration on a clock of its own.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"

/* What this engine last saw of a lease, and since when it has not changed. */
struct hf_pg_seen_lease {
    char *name;
    uint64_t fence;
    uint64_t renewals;
    uint64_t since_ms;
};

struct lease_job {
    struct hf_pg_job job;
    char *name;
    char *holder;
    uint64_t duration_ms;
    uint64_t fence;
    uint64_t renewals;
};

/* The row of a lease. */
struct held {
    struct hf_bytes holder;
    uint64_t fence;
    uint64_t opening;
    uint64_t renewals;
    uint64_t duration_ms;
};

void hf_pg_leases_done(struct hf_pg_engine *engine)
{
    for (size_t i = 0; i < engine->lease_count; i++) {
        free(engine->leases[i].name);
    }
    free(engine->leases);
}

static struct hf_pg_seen_lease *seen_lease(struct hf_pg_engine *engine, const char *name)
{
    for (size_t i = 0; i < engine->lease_count; i++) {
        if (strcmp(engine->leases[i].name, name) == 0) {
            return &engine->leases[i];
        }
    }
    engine->leases =
        hf_realloc_array(engine->leases, engine->lease_count + 1, sizeof *engine->leases);
    engine->leases[engine->lease_count] = (struct hf_pg_seen_lease){ .name = hf_strdup(name) };
    return &engine->leases[engine->lease_count++];
}

/* Notes what the lease is like now, and gives since when it has been so. */
static uint64_t note_lease(struct hf_pg_engine *engine, const char *name, uint64_t fence,
                           uint64_t renewals, uint64_t now_ms)
{
    struct hf_pg_seen_lease *seen;
    uint64_t since_ms;

    pthread_mutex_lock(&engine->leases_lock);
    seen = seen_lease(engine, name);
    if (seen->fence != fence || seen->renewals != renewals) {
        seen->fence = fence;
        seen->renewals = renewals;
        seen->since_ms = now_ms;
    }
    since_ms = seen->since_ms;
    pthread_mutex_unlock(&engine->leases_lock);
    return since_ms;
}

static size_t ask_lease(struct hf_pg_job *base, struct hf_pg_link *link)
{
    struct hf_pg_params params = { 0 };

    hf_pg_param_bytes(&params, hf_bytes_of_text(((struct lease_job *)base)->name));
    hf_pg_send(link, HF_PG_FIND_LEASE, &params);
    return 1;
}

/* The fence the lease gets now; a holder who was started anew gets another one. */
static struct hf_status decide(struct hf_pg_engine *engine, struct lease_job *job,
                               const struct held *held)
{
    struct hf_op *op = job->job.op;
    bool same_holder = hf_bytes_equal_text(held->holder, job->holder);
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    uint64_t since_ms = note_lease(engine, job->name, held->fence, held->renewals, now_ms);

    job->fence = held->fence;
    job->renewals = held->renewals + 1;
    if (same_holder && held->opening == engine->opening) {
        return HF_SUCCESS;
    }
    if (!same_holder && now_ms < since_ms + held->duration_ms) {
        return hf_fail(op, HF_CONFLICT, "%.*s has the lease %.100s",
                       (int)(held->holder.len < 100 ? held->holder.len : 100),
                       (const char *)held->holder.data, job->name);
    }
    job->fence++;
    return HF_SUCCESS;
}

static struct hf_status write_lease(struct hf_pg_engine *engine, struct hf_pg_job *base,
                                    PGresult *const *answers, size_t *out_sent)
{
    struct lease_job *job = (struct lease_job *)base;
    struct hf_pg_params params = { 0 };
    struct held held = { 0 };

    if (PQntuples(answers[0]) > 0) {
        held = (struct held){ .holder = hf_pg_bytes(answers[0], 0, 0),
                              .opening = hf_pg_u64(answers[0], 0, 2),
                              .duration_ms = hf_pg_u64(answers[0], 0, 4) };
        HF_TRY(hf_pg_counter(base->op, answers[0], 0, 1, &held.fence));
        HF_TRY(hf_pg_counter(base->op, answers[0], 0, 3, &held.renewals));
    }
    HF_TRY(decide(engine, job, &held));
    hf_pg_param_bytes(&params, hf_bytes_of_text(job->name));
    hf_pg_param_bytes(&params, hf_bytes_of_text(job->holder));
    hf_pg_param_u64(&params, job->fence);
    hf_pg_param_u64(&params, engine->opening);
    hf_pg_param_u64(&params, job->renewals);
    hf_pg_param_u64(&params, job->duration_ms);
    hf_pg_send(&engine->writer.link, HF_PG_PUT_LEASE, &params);
    *out_sent += 1;
    base->writes = true;
    return HF_SUCCESS;
}

static void free_lease(struct hf_pg_job *base)
{
    struct lease_job *job = (struct lease_job *)base;

    free(job->name);
    free(job->holder);
    free(job);
}

struct hf_status hf_pg_lease(struct hf_engine *base, struct hf_op *op, const char *name,
                             const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    struct hf_pg_engine *engine = hf_pg_of(base);
    struct lease_job *job = hf_alloc(sizeof *job);
    struct hf_status status;
    bool gone;

    job->job =
        (struct hf_pg_job){ .ask = ask_lease, .write = write_lease, .free = free_lease, .op = op };
    job->name = hf_strdup(name);
    job->holder = hf_strdup(holder);
    job->job.lease = job->name;
    job->duration_ms = duration_ms;
    status = hf_pg_submit(engine, &job->job, &gone);
    if (gone) {
        return status;
    }
    if (status.code == HF_OK) {
        /* Others in this process measure from now: later than the holder, who began before. */
        (void)note_lease(engine, name, job->fence, job->renewals, hf_env_boottime_ms(op->env));
        *out_fence = job->fence;
    }
    hf_pg_job_free(&job->job);
    return status;
}
