/*
 * Members that go away and come back. A change is answered at once where every member reports it,
 * so one that is silent makes each wait for as long as a lease may last; once a commit says that it
 * is away, nobody waits for it (docs/decisions/0012-members-away.md).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "service/internal.h"

/*
 * Three leases. This node has to have had a lease for so long itself: after a failover of the
 * database all were silent, and whoever has the first lease would send the others away.
 */
#define SILENT_MS 6000
/* Longer than a commit and its acknowledgement take; what fails is tried again. */
#define LIMIT_MS 10000

struct silent {
    char name[HF_NODE_NAME_MAX + 1];
    uint64_t quiet_ms;
};

struct silence {
    struct silent *nodes;
    size_t count;
};

static void silence_done(struct silence *silence)
{
    free(silence->nodes);
}

static void notice(void *context, const struct hf_cluster_member *member)
{
    struct silence *silence = context;
    struct silent *silent;

    if (member->self || member->quiet_ms < SILENT_MS) {
        return;
    }
    silence->nodes = hf_realloc_array(silence->nodes, silence->count + 1, sizeof *silence->nodes);
    silent = &silence->nodes[silence->count++];
    *silent = (struct silent){ .quiet_ms = member->quiet_ms };
    memcpy(silent->name, member->node, strlen(member->node) + 1);
}

static struct hf_status nothing_to_do(struct hf_op *op)
{
    return hf_fail(op, HF_WRONG_STATE, "another node was first");
}

/* --- sending away --- */

static struct hf_status stage_away(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    const struct silence *silence = control->context;
    bool changes = false;

    for (size_t i = 0; i < silence->count; i++) {
        HF_AUTO(member) member = NULL;

        HF_TRY(hf_member_get(control->call.service->seal, op, silence->nodes[i].name, &member));
        if (member->state == HF_MEMBER_REMOVED || hf_member_is_away(member)) {
            continue;
        }
        HF_TRY(hf_member_change_stage(
            op, txn, hf_member_state_of(true, hf_member_is_draining(member)), member));
        changes = true;
    }
    return changes ? HF_SUCCESS : nothing_to_do(op);
}

static struct hf_status send_away(struct hf_service *service, struct hf_op *op,
                                  struct silence *silence)
{
    HF_AUTO(buf) detail = hf_buf_new();
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_CHANGE },
        .stage = stage_away,
        .context = silence,
    };

    for (size_t i = 0; i < silence->count; i++) {
        hf_buf_add_format(detail, "%snode '%s' is away: no news for %" PRIu64 " s",
                          i > 0 ? ", " : "", silence->nodes[i].name,
                          silence->nodes[i].quiet_ms / 1000);
    }
    control.call.detail = hf_buf_text(detail);
    HF_TRY(hf_control_run(&control, op));
    HF_WARNING(op->env, "%s; changes do not wait for it until it comes back", hf_buf_text(detail));
    return HF_SUCCESS;
}

/* --- coming back --- */

/* The key decides, as everywhere: a machine that only has the name does not come back for it. */
static struct hf_status read_own(struct hf_service *service, struct hf_op *op,
                                 struct hf_member **out, bool *out_away)
{
    HF_AUTO(member) member = NULL;
    enum hf_membership standing = HF_STANDS_ALONE;
    size_t members = 0;

    HF_TRY(hf_node_membership(service, op, &standing, &members));
    *out_away = false;
    if (standing != HF_STANDS_MEMBER) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_member_get(service->seal, op, service->node, &member));
    *out_away = hf_member_is_away(member);
    *out = HF_TAKE(member);
    return HF_SUCCESS;
}

static struct hf_status stage_return(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    HF_AUTO(member) member = NULL;
    bool away = false;

    HF_TRY(read_own(control->call.service, op, &member, &away));
    return away ? hf_member_change_stage(
                      op, txn, hf_member_state_of(false, hf_member_is_draining(member)), member)
                : nothing_to_do(op);
}

/*
 * The one change that is made without a lease: it gives this node nothing, since a lease is not
 * taken before the commit is applied here, and from the commit on the others wait for this node.
 */
static struct hf_status come_back(struct hf_service *service, struct hf_op *op)
{
    HF_AUTO_STRING detail = hf_format("node '%s' is back", service->node);
    HF_AUTO(member) member = NULL;
    bool away = false;
    struct hf_control control = {
        .call = { .service = service, .action = HF_ACT_NODE_CHANGE, .detail = detail },
        .stage = stage_return,
    };

    HF_TRY(read_own(service, op, &member, &away));
    if (!away) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_control_run(&control, op));
    HF_INFO(op->env, "this node was away, and is waited for again");
    return HF_SUCCESS;
}

/* --- both --- */

static struct hf_status tell_metric(struct hf_service *service, struct hf_op *op)
{
    HF_AUTO(members) members = NULL;
    size_t away = 0;

    HF_TRY(hf_members_read(service->seal, op, &members));
    for (size_t i = 0; i < members->count; i++) {
        away += hf_member_is_away(members->items[i]);
    }
    hf_metric_set(hf_metrics_series(op->env->metrics, HF_METRIC_GAUGE, "holdfast_members_away",
                                    NULL, "Members that changes do not wait for."),
                  (int64_t)away);
    return HF_SUCCESS;
}

static struct hf_status keep(struct hf_service *service, struct hf_op *op, struct silence *silence)
{
    struct hf_cluster_view view;
    struct hf_status status = HF_SUCCESS;

    hf_cluster_look(service->cluster, &view, notice, silence);
    if (!view.listed && view.able) {
        status = come_back(service, op);
    } else if (view.leased_ms >= SILENT_MS && silence->count > 0) {
        status = send_away(service, op, silence);
    }
    if (status.code == HF_WRONG_STATE) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    return status;
}

struct hf_status hf_service_node_presence(struct hf_service *service, struct hf_op *op)
{
    __attribute__((cleanup(silence_done))) struct silence silence = { 0 };
    uint64_t deadline_ms = op->deadline_ms;
    struct hf_status status;

    if (service->cluster == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_call_unlocked(service, op));
    op->deadline_ms = hf_env_boottime_ms(op->env) + LIMIT_MS;
    status = keep(service, op, &silence);
    op->deadline_ms = deadline_ms;
    if (status.code == HF_OK) {
        status = tell_metric(service, op);
    }
    return status;
}
