/* Giving the writes to another site: what would be lost, what speaks against it, and doing it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "service/history.h"

/* One promotion: what is known of it before it is decided. */
struct plan {
    struct hf_service *service;
    const char *site;
    const struct hf_site_order *order;
    struct hf_sites *sites;
    struct hf_site_stand stand;
    struct hf_lost *lost;
    bool is_other;         /* the standby has a commit that this node's copy does not have */
    bool is_stranger;      /* or holds another store altogether */
    bool is_verified;      /* a commit of the standby was found in this node's copy */
    uint64_t copy_seq;     /* of this node's copy */
    uint64_t known_seq;    /* the highest that is known here to have been confirmed */
    char old_primary[128]; /* that still answers; "": none */
    char old_site[HF_NODE_NAME_MAX + 1];
    char refused[HF_OP_TEXT_MAX]; /* why nothing is done as it was ordered; "": nothing is in the
                                     way */
    uint64_t timeline;            /* once it is promoted */
    char after[HF_OP_TEXT_MAX];   /* what is still to be done */
};

static void plan_done(struct plan *plan)
{
    hf_lost_free(plan->lost);
    hf_sites_free(plan->sites);
}

/* --- looking --- */

static void note_primary(void *context, const struct hf_host *host)
{
    struct plan *plan = context;

    if (host->says_primary && strcmp(host->site, plan->site) != 0) {
        memcpy(plan->old_primary, host->name, sizeof plan->old_primary);
        memcpy(plan->old_site, host->site, sizeof plan->old_site);
    }
}

/* The newest commit that both should have is the same one. */
static struct hf_status verify(struct plan *plan, struct hf_op *op)
{
    const struct hf_site_stand *stand = &plan->stand;
    struct hf_status status;
    bool has = false;

    plan->is_stranger =
        memcmp(stand->store_id, hf_seal_store_id(plan->service->seal).data, HF_STORE_ID_LEN) != 0;
    if (plan->is_stranger || !stand->has_shared || stand->shared_seq == 0) {
        return HF_SUCCESS;
    }
    status = hf_history_has(op, hf_seal_engine(plan->service->seal), stand->shared_seq,
                            &stand->shared_id, &has);
    if (status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    plan->is_verified = has;
    plan->is_other = !has;
    return HF_SUCCESS;
}

/* The copy of a node of the lost site may know commits that the standby never got. */
static struct hf_status compare(struct plan *plan, struct hf_op *op)
{
    const struct hf_site_stand *stand = &plan->stand;
    struct hf_mirror_info mirror = { 0 };

    (void)hf_mirror_info(hf_seal_engine(plan->service->seal), &mirror);
    plan->known_seq = plan->copy_seq > mirror.behind_seq ? plan->copy_seq : mirror.behind_seq;
    if (stand->confirmed_seq > plan->known_seq) {
        plan->known_seq = stand->confirmed_seq;
    }
    HF_TRY(verify(plan, op));
    return hf_lost_read(plan->service, op,
                        stand->seq < plan->copy_seq ? stand->seq : plan->copy_seq, &plan->lost);
}

static uint64_t losses(const struct plan *plan)
{
    return plan->known_seq > plan->stand.seq ? plan->known_seq - plan->stand.seq : 0;
}

/* What speaks against it, as it was ordered. */
static void judge(struct plan *plan)
{
    size_t room = sizeof plan->refused;

    if (plan->is_stranger) {
        (void)snprintf(plan->refused, room,
                       "the database of %s holds another store, and not this one",
                       plan->stand.name);
    } else if (plan->is_other) {
        (void)snprintf(plan->refused, room,
                       "commit %" PRIu64 " of %s is not the one that this node has copied: it is "
                       "another history, and not a standby of this store",
                       plan->stand.shared_seq, plan->stand.name);
    } else if (!plan->is_verified && !plan->order->force) {
        (void)snprintf(plan->refused, room,
                       "the logs of %s and of this node's copy have no commit in common any more, "
                       "so that it is a standby of this store is not certain; look at both, then "
                       "--force",
                       plan->stand.name);
    } else if (plan->old_primary[0] != '\0' && !plan->order->force) {
        (void)snprintf(plan->refused, room,
                       "%s (site %s) still answers as the primary; stop it first, or --force: then "
                       "what it takes until it is stopped is lost",
                       plan->old_primary, plan->old_site[0] != '\0' ? plan->old_site : "not told");
    } else if (losses(plan) > plan->order->may_lose) {
        (void)snprintf(plan->refused, room,
                       "%" PRIu64 " commits that were answered are not on %s; bring the other site "
                       "back, or give them up with --lose %" PRIu64,
                       losses(plan), plan->stand.name, losses(plan));
    }
}

static struct hf_status look(struct plan *plan, struct hf_op *op)
{
    struct hf_store_state copy;

    HF_TRY(hf_engine_state(hf_seal_engine(plan->service->seal), op, &copy, NULL));
    plan->copy_seq = copy.seq;
    HF_TRY(hf_sites_open(op, plan->service->store, &plan->sites));
    HF_TRY(hf_sites_stand(plan->sites, op, plan->site, plan->copy_seq, &plan->stand));
    hf_sites_each(plan->sites, note_primary, plan);
    HF_TRY(compare(plan, op));
    judge(plan);
    return HF_SUCCESS;
}

/* --- telling --- */

static void put_host(void *context, const struct hf_host *host)
{
    static const char *const states[] = { [HF_HOST_PRIMARY] = "primary",
                                          [HF_HOST_STANDBY] = "standby",
                                          [HF_HOST_LEFT] = "not used",
                                          [HF_HOST_AWAY] = "no answer",
                                          [HF_HOST_UNKNOWN] = "not known" };
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "name", host->name);
    hf_json_put_text(writer, "site", host->site);
    hf_json_put_text(writer, "state", states[host->state]);
    hf_json_put_u64(writer, "timeline", host->timeline);
    hf_json_put_text(writer, "problem", host->problem);
    hf_json_close_object(writer);
}

static void write_plan(const struct plan *plan, struct hf_buf *out)
{
    const struct hf_site_stand *stand = &plan->stand;
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "site", plan->site);
    hf_json_put_bool(&writer, "dry_run", plan->order->dry_run);
    hf_json_open_array(&writer, "hosts");
    hf_sites_each(plan->sites, put_host, &writer);
    hf_json_close_array(&writer);
    hf_json_open_object(&writer, "standby");
    hf_json_put_text(&writer, "name", stand->name);
    hf_json_put_text(&writer, "by", stand->patroni != NULL ? "patroni" : "pg_promote");
    hf_json_put_u64(&writer, "timeline", stand->timeline);
    hf_json_put_u64(&writer, "seq", stand->seq);
    if (stand->committed_ms != 0) {
        hf_json_put_date(&writer, "committed", stand->committed_ms);
    }
    hf_json_put_u64(&writer, "confirmed_seq", stand->confirmed_seq);
    hf_json_put_u64(&writer, "waiting_bytes", stand->waiting_bytes);
    hf_json_close_object(&writer);
    hf_json_put_u64(&writer, "copy_seq", plan->copy_seq);
    hf_json_put_u64(&writer, "known_seq", plan->known_seq);
    hf_json_put_u64(&writer, "losses", losses(plan));
    hf_lost_put(plan->lost, &writer, "lost");
    hf_json_put_text_or_null(&writer, "old_primary", plan->old_primary);
    hf_json_put_text_or_null(&writer, "refused", plan->refused);
    hf_json_put_bool(&writer, "promoted", plan->timeline != 0);
    if (plan->timeline != 0) {
        hf_json_put_u64(&writer, "timeline", plan->timeline);
    }
    hf_json_put_text_or_null(&writer, "after", plan->after);
    hf_json_close_object(&writer);
}

/* --- doing --- */

static struct hf_status give(struct plan *plan, struct hf_op *op)
{
    const struct hf_service_outside *outside = &plan->service->outside;

    if (plan->stand.patroni == NULL) {
        return hf_sites_promote(plan->sites, op, &plan->stand);
    }
    if (outside->end_standby_cluster == NULL) {
        return hf_fail(op, HF_UNSUPPORTED, "nothing here speaks with Patroni");
    }
    return outside->end_standby_cluster(outside->context, op, &plan->stand);
}

static struct hf_status stage_nothing(struct hf_control *control, struct hf_op *op,
                                      struct hf_txn *txn)
{
    (void)control;
    (void)op;
    (void)txn;
    return HF_SUCCESS;
}

struct hf_status hf_history_mark(const struct hf_call *call, struct hf_op *op)
{
    struct hf_control control = { .call = *call, .stage = stage_nothing };

    return hf_control_run(&control, op);
}

static bool is_refused(const struct hf_service *service)
{
    struct hf_mirror_info info;

    return hf_mirror_info(hf_seal_engine(service->seal), &info) &&
           info.problem == HF_MIRROR_REFUSED;
}

/*
 * The first commit on the new timeline raises the epoch, and records what was done. A node that
 * knows of commits that are lost does not follow, so it cannot make it.
 */
static void mark(struct plan *plan, const struct hf_call *call, struct hf_op *op)
{
    bool is_ahead = plan->copy_seq > plan->stand.seq;

    if (!is_ahead && hf_history_mark(call, op).code == HF_OK) {
        return;
    }
    if (is_ahead || is_refused(plan->service)) {
        (void)snprintf(plan->after, sizeof plan->after,
                       "this node knows of commits that site %s does not have, so it does not "
                       "follow it: look at 'holdfast store accept-history --dry-run' and say "
                       "'holdfast store accept-history' here and on each node that is ahead",
                       plan->site);
    } else {
        (void)snprintf(plan->after, sizeof plan->after,
                       "the site has the primary, and nothing can be written yet: %.200s",
                       op->text);
    }
    hf_op_clear(op);
}

static void tell_unrecorded(struct plan *plan, const char *why)
{
    HF_AUTO_STRING before = hf_strdup(plan->after);

    if (why != NULL) {
        (void)snprintf(plan->after, sizeof plan->after,
                       "the end of the promotion is not in the trail: %.120s%s%s", why,
                       before[0] != '\0' ? "; and " : "", before);
    }
}

static struct hf_status promote(struct plan *plan, struct hf_op *op, struct hf_call *call)
{
    HF_AUTO_STRING begun =
        hf_format("begun: %s at commit %" PRIu64 ", %" PRIu64 " commits known here are lost%s%s",
                  plan->stand.name, plan->stand.seq, losses(plan),
                  plan->old_primary[0] != '\0' ? ", forced while the primary answers: " : "",
                  plan->old_primary);
    HF_AUTO_STRING ended = NULL;
    HF_AUTO_STRING unrecorded = NULL;

    call->detail = begun;
    HF_TRY(hf_call_end_on_disk(call, op, HF_SUCCESS));
    HF_WARNING(op->env, "the writes go to site %s: %s", plan->site, begun);
    HF_TRY(give(plan, op));
    HF_TRY(hf_sites_await(plan->sites, op, plan->site, &plan->timeline));
    ended = hf_format("site %s has the primary: %s, timeline %" PRIu64 ", from commit %" PRIu64
                      " on; %" PRIu64 " commits known here are lost",
                      plan->site, plan->stand.name, plan->timeline, plan->stand.seq, losses(plan));
    call->detail = ended;
    /* What has happened is told, whether the trail takes it or not. */
    if (hf_call_end_on_disk(call, op, HF_SUCCESS).code != HF_OK) {
        unrecorded = hf_strdup(op->text);
        hf_op_clear(op);
    }
    mark(plan, call, op);
    tell_unrecorded(plan, unrecorded);
    call->detail = NULL;
    return HF_SUCCESS;
}

static struct hf_status decide(struct plan *plan, struct hf_op *op, struct hf_call *call,
                               struct hf_buf *out)
{
    HF_TRY(look(plan, op));
    if (!plan->order->dry_run) {
        if (plan->refused[0] != '\0') {
            return hf_fail(op, HF_WRONG_STATE, "%s", plan->refused);
        }
        HF_TRY(promote(plan, op, call));
    }
    write_plan(plan, out);
    return HF_SUCCESS;
}

struct hf_status hf_service_site_promote(struct hf_service *service, struct hf_op *op,
                                         const char *site, const struct hf_site_order *order,
                                         struct hf_buf *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_SITE_PROMOTE };
    struct plan plan = { .service = service, .site = site, .order = order };
    struct hf_status status;

    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a promotion waits for database hosts");
    }
    HF_TRY(hf_call_allow(&call, op));
    if (service->store == NULL) {
        return hf_fail(op, HF_UNSUPPORTED, "this node knows no database hosts");
    }
    status = decide(&plan, op, &call, out);
    call.detail = order->dry_run ? "a dry run" : NULL;
    plan_done(&plan);
    /* A promotion that went through has its records already. */
    return status.code == HF_OK && !order->dry_run ? status : hf_call_end(&call, op, status);
}
