/* The drill: every key version opened through every slot that this node has by itself. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "keys/apart.h"
#include "service/receipt.h"

#define LEASE         "drill"
#define LEASE_LIFE_MS ((uint64_t)10 * 60 * 1000)
#define RETRY_MS      ((uint64_t)3600 * 1000)
#define RENEW_MS      ((uint64_t)60 * 1000)

/* --- which slots --- */

/* A slot of the store, and how this node opens it. */
struct target {
    struct hf_slot_info slot;
    const struct hf_drill_slot *configured;
};

struct targets {
    const struct hf_service *service;
    struct hf_slot_info *slots; /* all of the store */
    size_t slot_count;
    struct target *items;
    size_t count;
};

static void targets_done(struct targets *targets)
{
    free(targets->slots);
    free(targets->items);
}

static void take_slot(void *context, const struct hf_slot_info *slot)
{
    struct targets *targets = context;

    targets->slots =
        hf_realloc_array(targets->slots, targets->slot_count + 1, sizeof *targets->slots);
    targets->slots[targets->slot_count++] = *slot;
}

static bool names_a_slot(const struct targets *targets, const char *name)
{
    for (size_t i = 0; i < targets->slot_count; i++) {
        if (strcmp(targets->slots[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * By name; else one of the kind whose name is no slot's, since names in the configuration are the
 * operator's affair.
 */
static const struct hf_drill_slot *configured_for(const struct targets *targets,
                                                  const struct hf_slot_info *slot)
{
    const struct hf_service *service = targets->service;
    const struct hf_drill_slot *by_kind = NULL;

    for (size_t i = 0; i < service->slot_count; i++) {
        const struct hf_drill_slot *configured = &service->slots[i];

        if (strcmp(configured->protector.kind, slot->protector) != 0) {
            continue;
        }
        if (strcmp(configured->name, slot->name) == 0) {
            return configured;
        }
        if (!names_a_slot(targets, configured->name)) {
            by_kind = configured;
        }
    }
    return by_kind;
}

static struct hf_status find_targets(struct hf_service *service, struct hf_op *op,
                                     struct targets *targets)
{
    targets->service = service;
    HF_TRY(hf_seal_slots(service->seal, op, take_slot, targets));
    targets->items = hf_alloc_array(targets->slot_count + 1, sizeof *targets->items);
    for (size_t i = 0; i < targets->slot_count; i++) {
        const struct hf_drill_slot *configured = configured_for(targets, &targets->slots[i]);

        if (configured != NULL) {
            targets->items[targets->count++] = (struct target){ targets->slots[i], configured };
        }
    }
    return HF_SUCCESS;
}

/* --- one slot --- */

struct opening {
    struct hf_service *service;
    struct hf_slot_proof *proof;
    uint64_t renew_ms; /* when the lease is due again; 0: none is held */
    bool is_ended;     /* by us, in the middle of a slot */
};

static void take_version(void *context, const struct hf_version_proof *version)
{
    struct hf_slot_proof *proof = ((struct opening *)context)->proof;
    bool failed = version->cause != HF_CAUSE_NONE;

    proof->versions++;
    proof->failed += failed;
    hf_slot_proof_add_keyring(proof, version->keyring, failed);
    if (failed) {
        hf_slot_proof_add_failure(proof, version->path, version->cause, version->failed_at);
    }
}

static void take_damage(void *context, const char *path)
{
    hf_slot_proof_add_failure(((struct opening *)context)->proof, path, HF_CAUSE_ALTERED, path);
}

static struct hf_status lease(struct hf_service *service, struct hf_op *op, uint64_t life_ms)
{
    uint64_t fence;

    return hf_engine_lease(hf_seal_engine(service->seal), op, LEASE, service->node, life_ms,
                           &fence);
}

/* A locked node keeps no root, the drill's neither. */
static struct hf_status check_may_go_on(struct hf_service *service, struct hf_op *op)
{
    if (atomic_load(&service->drill.stop)) {
        return hf_fail(op, HF_WRONG_STATE, "the node stops, and the drill with it");
    }
    return hf_call_unlocked(service, op);
}

static struct hf_status go_on(void *context, struct hf_op *op, uint64_t done, uint64_t total)
{
    struct opening *opening = context;
    struct hf_service *service = opening->service;
    struct hf_status status;

    atomic_store(&service->drill.versions, total);
    atomic_store(&service->drill.versions_done, done);
    status = check_may_go_on(service, op);
    /* Not from inside of the store's walk, which total tells. */
    if (status.code == HF_OK && total > 0 && opening->renew_ms != 0 &&
        hf_env_boottime_ms(op->env) > opening->renew_ms) {
        opening->renew_ms = hf_env_boottime_ms(op->env) + RENEW_MS;
        status = lease(service, op, LEASE_LIFE_MS);
    }
    opening->is_ended = status.code != HF_OK;
    return status;
}

static struct hf_status open_slot(struct opening *opening, struct hf_op *op,
                                  const struct target *target, const char *keyring,
                                  struct hf_apart *out_found)
{
    struct hf_service *service = opening->service;
    HF_AUTO(protector) protector = NULL;
    struct hf_apart_plan plan = {
        .crypto = hf_seal_crypto(service->seal),
        .engine = hf_seal_engine(service->seal),
        .slot_id = target->slot.id,
        .keyring = keyring,
        .visit = take_version,
        .damaged = take_damage,
        .go_on = go_on,
        .context = opening,
    };

    HF_TRY(hf_protector_open(plan.crypto, op, &target->configured->protector, &protector));
    plan.protector = protector;
    return hf_keys_open_apart(&plan, op, out_found);
}

static enum hf_cause cause_of(const struct hf_op *op, struct hf_status status)
{
    if (op->cause != HF_CAUSE_NONE) {
        return op->cause;
    }
    return status.code == HF_CORRUPT || status.code == HF_NOT_FOUND
               ? HF_CAUSE_ALTERED
               : HF_CAUSE_PROTECTOR_UNAVAILABLE;
}

static struct hf_slot_proof *new_proof(struct hf_service *service, struct hf_op *op,
                                       const struct hf_slot_info *slot)
{
    struct hf_slot_proof *proof = hf_alloc(sizeof *proof);

    proof->node = hf_strdup(service->node);
    proof->site = hf_strdup(service->site);
    proof->slot = hf_strdup(slot->id);
    proof->slot_name = hf_strdup(slot->name);
    proof->when_ms = hf_env_realtime_ms(op->env);
    return proof;
}

/* A slot that does not open is a result; a node that cannot work is a failure. */
static struct hf_status prove_slot(struct opening *opening, struct hf_op *op,
                                   const struct target *target, const char *keyring,
                                   struct hf_slot_proof **out)
{
    struct hf_service *service = opening->service;
    HF_AUTO(slot_proof) proof = new_proof(service, op, &target->slot);
    struct hf_apart found = { 0 };
    struct hf_store_state state;
    struct hf_status status;

    opening->proof = proof;
    status = open_slot(opening, op, target, keyring, &found);
    if (opening->is_ended || status.code == HF_NO_SPACE || status.code == HF_INTERNAL) {
        return status;
    }
    if (status.code == HF_OK) {
        proof->opened = true;
        proof->seq = found.seq;
        proof->root_generation = found.root_generation;
        proof->records = found.records;
        proof->damaged = found.damaged;
        proof->whole = found.whole;
        proof->text = hf_strdup(found.text);
    } else {
        proof->cause = cause_of(op, status);
        proof->text = hf_strdup(op->text);
        hf_op_clear(op);
        /* A store that does not answer, or a call that is out of time, says nothing of the slot. */
        HF_TRY(hf_engine_state(hf_seal_engine(service->seal), op, &state, NULL));
        HF_TRY(check_may_go_on(service, op));
    }
    *out = HF_TAKE(proof);
    return HF_SUCCESS;
}

static struct hf_status prove_all(struct opening *opening, struct hf_op *op, const char *keyring,
                                  struct hf_slot_proofs *out)
{
    __attribute__((cleanup(targets_done))) struct targets targets = { 0 };
    struct hf_service *service = opening->service;

    HF_TRY(find_targets(service, op, &targets));
    atomic_store(&service->drill.slots, targets.count);
    for (size_t i = 0; i < targets.count; i++) {
        struct hf_slot_proof *proof = NULL;

        atomic_store(&service->drill.slots_done, i);
        HF_TRY(prove_slot(opening, op, &targets.items[i], keyring, &proof));
        hf_slot_proofs_add(out, proof);
    }
    return HF_SUCCESS;
}

/* --- what comes of it --- */

static bool is_renewed(const struct hf_slot_proofs *fresh, const struct hf_slot_proof *old)
{
    for (size_t i = 0; i < fresh->count; i++) {
        if (strcmp(fresh->items[i]->node, old->node) == 0 &&
            strcmp(fresh->items[i]->slot, old->slot) == 0) {
            return true;
        }
    }
    return false;
}

/* The fresh proofs, and what other nodes have proven before. Takes the fresh ones over. */
static struct hf_status merge(struct hf_service *service, struct hf_op *op,
                              struct hf_slot_proofs *fresh, struct hf_slot_proofs **out)
{
    HF_AUTO(slot_proofs) before = NULL;
    struct hf_slot_proofs *merged;

    HF_TRY(hf_slot_proofs_read(service, op, &before));
    merged = hf_alloc(sizeof *merged);
    for (size_t i = 0; i < before->count; i++) {
        if (!is_renewed(fresh, before->items[i])) {
            hf_slot_proofs_add(merged, HF_TAKE(before->items[i]));
        }
    }
    for (size_t i = 0; i < fresh->count; i++) {
        hf_slot_proofs_add(merged, HF_TAKE(fresh->items[i]));
    }
    *out = merged;
    return HF_SUCCESS;
}

static struct hf_status stage_proofs(struct hf_control *control, struct hf_op *op,
                                     struct hf_txn *txn)
{
    return hf_slot_proofs_stage(control->call.service, op, txn, control->context);
}

static char *describe(const struct hf_slot_proofs *proofs, const char *keyring)
{
    uint64_t versions = 0;
    uint64_t failed = 0;
    size_t opened = 0;

    for (size_t i = 0; i < proofs->count; i++) {
        const struct hf_slot_proof *proof = proofs->items[i];

        opened += proof->opened;
        versions = proof->versions > versions ? proof->versions : versions;
        failed = proof->failed > failed ? proof->failed : failed;
    }
    return hf_format("drill%s%.64s: %zu of %zu slots opened, %" PRIu64
                     " key versions, of which %" PRIu64 " do not open",
                     keyring != NULL ? " of keyring " : "", keyring != NULL ? keyring : "", opened,
                     proofs->count, versions, failed);
}

static struct hf_status store_proofs(struct hf_service *service, struct hf_op *op,
                                     struct hf_slot_proofs *proofs, const char *keyring)
{
    HF_AUTO_STRING detail = describe(proofs, keyring);
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_DRILL_RUN,
                  .keyring = keyring,
                  .detail = detail },
        .stage = stage_proofs,
        .context = proofs,
    };

    /* Of one keyring only: no proof of the whole, and nothing that replaces one. */
    return keyring != NULL ? hf_call_end(&control.call, op, HF_SUCCESS)
                           : hf_control_run(&control, op);
}

static void tell(struct hf_op *op, const struct hf_drill *drill)
{
    HF_AUTO_STRING summary = describe(&drill->proofs, drill->keyring);

    if (hf_drill_light(drill) == HF_RED) {
        HF_ERROR(op->env, "%s; 'holdfast drill' shows which", summary);
    } else {
        HF_INFO(op->env, "%s", summary);
    }
}

/* The last ones of the map are of this run. */
static void view_fresh(struct hf_drill *drill, size_t count)
{
    const struct hf_slot_proofs *all = drill->ways->proofs;

    drill->proofs = (struct hf_slot_proofs){ all->items + (all->count - count), count };
}

static struct hf_status report(struct hf_drill *drill, struct hf_op *op,
                               struct hf_slot_proofs *fresh, struct hf_buf *out_receipt)
{
    HF_AUTO(slot_proofs) merged = NULL;
    HF_AUTO(ways) ways = NULL;
    size_t count = fresh->count;

    HF_TRY(store_proofs(drill->service, op, fresh, drill->keyring));
    HF_TRY(merge(drill->service, op, fresh, &merged));
    HF_TRY(hf_ways_new(drill->service, op, &merged, &ways));
    drill->ways = ways;
    view_fresh(drill, count);
    tell(op, drill);
    return hf_receipt_write(drill, op, out_receipt);
}

/* The caller has been let in, and no other drill runs here. */
static struct hf_status run(struct hf_service *service, struct hf_op *op, const char *keyring,
                            uint64_t renew_ms, struct hf_buf *out_receipt)
{
    struct hf_drill drill = {
        .service = service,
        .keyring = keyring,
        .begun_ms = hf_env_realtime_ms(op->env),
    };
    struct opening opening = { .service = service, .renew_ms = renew_ms };
    HF_AUTO(slot_proofs) fresh = hf_alloc(sizeof *fresh);
    struct hf_status status = prove_all(&opening, op, keyring, fresh);

    if (status.code != HF_OK) {
        const struct hf_call call = { .service = service,
                                      .action = HF_ACT_DRILL_RUN,
                                      .keyring = keyring };

        return hf_call_end(&call, op, status);
    }
    return report(&drill, op, fresh, out_receipt);
}

static struct hf_status run_alone(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  uint64_t renew_ms, struct hf_buf *out_receipt)
{
    struct hf_status status;

    if (atomic_exchange(&service->drill.running, true)) {
        return hf_fail(op, HF_WRONG_STATE, "a drill runs on this node already");
    }
    atomic_store(&service->drill.slots, 0);
    atomic_store(&service->drill.slots_done, 0);
    status = run(service, op, keyring, renew_ms, out_receipt);
    atomic_store(&service->drill.running, false);
    return status;
}

static void look_for_keyring(void *context, const struct hf_keyring_info *info)
{
    const char **wanted = context;

    if (*wanted != NULL && strcmp(*wanted, info->name) == 0) {
        *wanted = NULL;
    }
}

struct hf_status hf_service_drill(struct hf_service *service, struct hf_op *op, const char *keyring,
                                  struct hf_buf *out_receipt)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_RUN };
    const char *missing = keyring;

    HF_TRY(hf_call_allow(&call, op));
    if (!op->may_wait) {
        return hf_fail(op, HF_LATER, "a drill takes a while");
    }
    hf_keyring_each(service->keys, look_for_keyring, &missing);
    if (missing != NULL) {
        return hf_call_end(&call, op,
                           hf_fail(op, HF_NOT_FOUND, "there is no keyring \"%.64s\"", missing));
    }
    HF_TRY(run_alone(service, op, keyring, 0, out_receipt));
    return hf_service_proof_metrics(service, op);
}

/* --- the job --- */

struct hf_status hf_service_drill_is_due(struct hf_service *service, struct hf_op *op, bool *out)
{
    uint64_t now_ms = hf_env_realtime_ms(op->env);
    HF_AUTO(slot_proofs) proofs = NULL;

    *out = false;
    if (service->drill_every_ms == 0 || service->slot_count == 0 ||
        now_ms < atomic_load(&service->drill.retry_ms)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_slot_proofs_read(service, op, &proofs));
    *out = true;
    for (size_t i = 0; i < proofs->count; i++) {
        const struct hf_slot_proof *proof = proofs->items[i];

        if (strcmp(proof->node, service->node) == 0 &&
            proof->when_ms + service->drill_every_ms > now_ms) {
            *out = false;
        }
    }
    return HF_SUCCESS;
}

struct hf_status hf_service_drill_job(struct hf_service *service, struct hf_op *op, bool *out_ran)
{
    HF_AUTO(buf) receipt = hf_buf_new();
    bool due = false;
    struct hf_status status;

    *out_ran = false;
    HF_TRY(hf_service_drill_is_due(service, op, &due));
    if (!due) {
        return HF_SUCCESS;
    }
    /* One node after the other, so that a day's drill is never a burden on all of them at once. */
    status = lease(service, op, LEASE_LIFE_MS);
    if (status.code == HF_CONFLICT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    atomic_store(&service->drill.retry_ms, hf_env_realtime_ms(op->env) + RETRY_MS);
    *out_ran = true;
    status = run_alone(service, op, NULL, hf_env_boottime_ms(op->env) + RENEW_MS, receipt);
    HF_TRY(status);
    return lease(service, op, 0);
}

void hf_service_drill_stop(struct hf_service *service)
{
    atomic_store(&service->drill.stop, true);
}

struct hf_status hf_service_drill_progress(struct hf_service *service, struct hf_op *op,
                                           struct hf_drill_progress *out)
{
    struct hf_call call = { .service = service, .action = HF_ACT_DRILL_READ };

    HF_TRY(hf_call_allow(&call, op));
    *out = (struct hf_drill_progress){
        .running = atomic_load(&service->drill.running),
        .slots = atomic_load(&service->drill.slots),
        .slots_done = atomic_load(&service->drill.slots_done),
        .versions = atomic_load(&service->drill.versions),
        .versions_done = atomic_load(&service->drill.versions_done),
    };
    /* Asked some times a second, so it is counted and not recorded. */
    hf_call_count(&call, op, HF_OK);
    return HF_SUCCESS;
}
