/* This node's part of a drill: every key version through every slot that it has by itself. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "keys/apart.h"
#include "service/receipt.h"

/* How often the others are told how far it is; nothing is told of what takes less. */
#define TELL_MS ((uint64_t)1000)
/* Names of failures in a part, of all its slots: a record has room for a megabyte. */
#define FAILURE_BYTES ((size_t)128 << 10)

/* --- which slots --- */

/* A slot of the store, and how this node opens it. */
struct target {
    struct hf_slot_info slot;
    const struct hf_drill_slot *configured;
};

struct targets {
    const struct hf_service *service;
    char own_slot[33];          /* of this node as a member; "": it is none */
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

/* Every member's slot is of that kind, and the key of one machine opens no other's. */
static bool is_another_nodes(const struct targets *targets, const struct hf_slot_info *slot)
{
    return strcmp(slot->protector, "node") == 0 && strcmp(slot->id, targets->own_slot) != 0 &&
           strcmp(slot->name, targets->service->node) != 0;
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
    bool is_by_name = is_another_nodes(targets, slot);

    for (size_t i = 0; i < service->slot_count; i++) {
        const struct hf_drill_slot *configured = &service->slots[i];

        if (strcmp(configured->protector.kind, slot->protector) != 0) {
            continue;
        }
        if (strcmp(configured->name, slot->name) == 0) {
            return configured;
        }
        if (!is_by_name && !names_a_slot(targets, configured->name)) {
            by_kind = configured;
        }
    }
    return by_kind;
}

static struct hf_status find_own_slot(struct hf_service *service, struct hf_op *op,
                                      struct targets *targets)
{
    HF_AUTO(member) member = NULL;
    struct hf_status status = hf_member_get(service->seal, op, service->node, &member);

    /* A record that is altered says nothing; the slot of the node's name is its own then. */
    if (status.code == HF_NOT_FOUND || status.code == HF_CORRUPT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    memcpy(targets->own_slot, member->slot, sizeof targets->own_slot);
    return HF_SUCCESS;
}

static struct hf_status find_targets(struct hf_service *service, struct hf_op *op,
                                     struct targets *targets)
{
    targets->service = service;
    HF_TRY(find_own_slot(service, op, targets));
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
    const struct hf_op *op;
    const struct hf_drill_run *run;
    struct hf_slot_proof *proof;
    uint64_t tell_ms; /* boottime: when the others are told next how far it is */
    bool is_ended;    /* by us, in the middle of a slot */
};

/* Of the keyrings that the drill is about, those that are left to others. */
static void note_not_asked(void *context, const struct hf_keyring_info *info)
{
    struct opening *opening = context;
    const char *only = opening->run->keyring;

    if ((only[0] == '\0' || strcmp(only, info->name) == 0) &&
        !hf_serve_on_is_ours(opening->service, opening->op, info->name) &&
        opening->proof->not_asked_count < HF_SLOT_PROOF_KEYRINGS) {
        hf_slot_proof_add_not_asked(opening->proof, info->name);
    }
}

static bool is_asked(void *context, const char *keyring)
{
    return hf_slot_proof_was_asked(((struct opening *)context)->proof, keyring);
}

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

/* A locked node keeps no root, the drill's neither. */
static struct hf_status check_may_go_on(struct hf_service *service, struct hf_op *op)
{
    if (atomic_load(&service->drill.stop)) {
        return hf_fail(op, HF_WRONG_STATE, "the node stops, and the drill with it");
    }
    return hf_call_unlocked(service, op);
}

bool hf_drill_part_runs(struct hf_service *service, const char *id, struct hf_drill_part *out)
{
    bool runs;

    pthread_mutex_lock(&service->drill.lock);
    runs = service->drill.running && strcmp(service->drill.id, id) == 0;
    pthread_mutex_unlock(&service->drill.lock);
    if (runs) {
        out->state = HF_PART_RUNS;
        out->slots = atomic_load(&service->drill.slots);
        out->slots_done = atomic_load(&service->drill.slots_done);
        out->versions = atomic_load(&service->drill.versions);
        out->versions_done = atomic_load(&service->drill.versions_done);
    }
    return runs;
}

/* A commit of the part alone, without a line in the trail: it says only how far it is. */
static struct hf_status tell_others(const struct opening *opening, struct hf_op *op)
{
    struct hf_service *service = opening->service;
    HF_AUTO(drill_part) part = hf_alloc(sizeof *part);
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(txn) txn = NULL;
    struct hf_status status;

    memcpy(part->id, opening->run->id, sizeof part->id);
    part->node = hf_strdup(service->node);
    part->text = hf_strdup("");
    (void)hf_drill_part_runs(service, part->id, part);
    HF_TRY(hf_txn_new(service->seal, op, &txn));
    HF_TRY(hf_drill_part_stage(service, op, txn, opening->run, part));
    status = hf_txn_commit(txn, op, &commit);
    hf_secret_free(commit.result);
    return status;
}

static struct hf_status go_on(void *context, struct hf_op *op, uint64_t done, uint64_t total)
{
    struct opening *opening = context;
    struct hf_service *service = opening->service;
    struct hf_status status;

    atomic_store(&service->drill.versions, total);
    atomic_store(&service->drill.versions_done, done);
    status = check_may_go_on(service, op);
    /* Not from inside of the store's walk, which total tells. That it is not told ends nothing. */
    if (status.code == HF_OK && total > 0 && hf_env_boottime_ms(op->env) >= opening->tell_ms) {
        opening->tell_ms = hf_env_boottime_ms(op->env) + TELL_MS;
        if (tell_others(opening, op).code != HF_OK) {
            hf_op_clear(op);
        }
    }
    opening->is_ended = status.code != HF_OK;
    return status;
}

static struct hf_status open_slot(struct opening *opening, struct hf_op *op,
                                  const struct target *target, struct hf_apart *out_found)
{
    struct hf_service *service = opening->service;
    HF_AUTO(protector) protector = NULL;
    struct hf_apart_plan plan = {
        .crypto = hf_seal_crypto(service->seal),
        .engine = hf_seal_engine(service->seal),
        .slot_id = target->slot.id,
        .keyring = opening->run->keyring[0] != '\0' ? opening->run->keyring : NULL,
        .is_asked = is_asked,
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
                                   const struct target *target, struct hf_slot_proof **out)
{
    struct hf_service *service = opening->service;
    HF_AUTO(slot_proof) proof = new_proof(service, op, &target->slot);
    struct hf_apart found = { 0 };
    struct hf_store_state state;
    struct hf_status status;

    opening->proof = proof;
    hf_keyring_each(service->keys, note_not_asked, opening);
    status = open_slot(opening, op, target, &found);
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

static struct hf_status prove_all(struct opening *opening, struct hf_op *op,
                                  struct hf_slot_proofs *out)
{
    __attribute__((cleanup(targets_done))) struct targets targets = { 0 };
    struct hf_service *service = opening->service;

    HF_TRY(find_targets(service, op, &targets));
    if (targets.count > HF_DRILL_PROOFS) {
        return hf_fail(
            op, HF_LIMITED,
            "this node opens %zu slots by itself, and a part of a drill has room for %d; "
            "remove some, or have fewer in holdfast.conf",
            targets.count, HF_DRILL_PROOFS);
    }
    atomic_store(&service->drill.slots, targets.count);
    for (size_t i = 0; i < targets.count; i++) {
        struct hf_slot_proof *proof = NULL;

        atomic_store(&service->drill.slots_done, i);
        HF_TRY(prove_slot(opening, op, &targets.items[i], &proof));
        hf_slot_proofs_add(out, proof);
    }
    return HF_SUCCESS;
}

/* --- the store that is shared --- */

struct look {
    struct hf_service *service;
    struct hf_slot_proofs *proofs;
};

/* It opens from the copy, but nobody can copy it any more. */
static void take_differing(void *context, const char *path)
{
    const struct look *look = context;

    for (size_t i = 0; i < look->proofs->count; i++) {
        struct hf_slot_proof *proof = look->proofs->items[i];

        proof->damaged++;
        if (!hf_slot_proof_names(proof, path)) {
            hf_slot_proof_add_failure(proof, path, HF_CAUSE_ALTERED, path);
        }
    }
}

static struct hf_status look_on(void *context, struct hf_op *op)
{
    return check_may_go_on(((struct look *)context)->service, op);
}

/* The records were read from this node's copy: so it looks at what was copied, too. */
static struct hf_status look_behind(struct hf_service *service, struct hf_op *op,
                                    struct hf_slot_proofs *proofs)
{
    struct look look = { service, proofs };
    const struct hf_shared_plan plan = { take_differing, look_on, &look };
    struct hf_shared found;

    HF_TRY(hf_seal_check_shared(service->seal, op, &plan, &found));
    for (size_t i = 0; i < proofs->count && !found.whole; i++) {
        struct hf_slot_proof *proof = proofs->items[i];

        proof->whole = false;
        if (proof->text[0] == '\0') {
            free(proof->text);
            proof->text = hf_strdup(found.text);
        }
    }
    return HF_SUCCESS;
}

/* --- what comes of it --- */

struct result {
    const struct hf_drill_run *run;
    struct hf_drill_part *part;
    struct hf_slot_proofs *proofs; /* of this node, in full; NULL: it failed */
};

/* Of one keyring only: no proof of the whole, and nothing that replaces one. */
static struct hf_status stage_part(struct hf_control *control, struct hf_op *op, struct hf_txn *txn)
{
    const struct result *result = control->context;
    struct hf_service *service = control->call.service;

    if (result->proofs != NULL && result->run->keyring[0] == '\0') {
        HF_TRY(hf_slot_proofs_stage(service, op, txn, result->proofs));
    }
    return hf_drill_part_stage(service, op, txn, result->run, result->part);
}

static char *describe(const struct hf_drill_run *run, const struct hf_slot_proofs *proofs)
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
    return hf_format("drill %s%s%.64s: %zu of %zu slots opened, %" PRIu64
                     " key versions, of which %" PRIu64 " do not open",
                     run->id, run->keyring[0] != '\0' ? " of keyring " : "", run->keyring, opened,
                     proofs->count, versions, failed);
}

static struct hf_status store(struct hf_service *service, struct hf_op *op, struct result *result,
                              const char *detail)
{
    const char *keyring = result->run->keyring;
    struct hf_control control = {
        .call = { .service = service,
                  .action = HF_ACT_DRILL_RUN,
                  .keyring = keyring[0] != '\0' ? keyring : NULL,
                  .detail = detail },
        .stage = stage_part,
        .context = result,
    };

    HF_TRY(hf_control_run(&control, op));
    if (result->part->state == HF_PART_DONE) {
        HF_INFO(op->env, "%s", detail);
    }
    return HF_SUCCESS;
}

/* As much as a record has room for goes into the part. */
static struct hf_status copy_proofs(struct hf_op *op, const struct hf_slot_proofs *proofs,
                                    struct hf_slot_proofs *out)
{
    for (size_t i = 0; i < proofs->count; i++) {
        HF_AUTO(buf) content = hf_buf_new();
        struct hf_slot_proof *copy = NULL;

        hf_slot_proof_encode(proofs->items[i], content);
        HF_TRY(hf_slot_proof_decode(op, hf_buf_bytes(content), &copy));
        hf_slot_proof_trim(copy, FAILURE_BYTES / proofs->count);
        hf_slot_proofs_add(out, copy);
    }
    return HF_SUCCESS;
}

static struct hf_drill_part *new_part(const struct opening *opening)
{
    struct hf_drill_part *part = hf_alloc(sizeof *part);

    memcpy(part->id, opening->run->id, sizeof part->id);
    part->node = hf_strdup(opening->service->node);
    return part;
}

static struct hf_status finish(const struct opening *opening, struct hf_op *op, uint64_t begun_ms,
                               struct hf_slot_proofs *proofs)
{
    HF_AUTO(drill_part) part = new_part(opening);
    HF_AUTO_STRING detail = describe(opening->run, proofs);
    struct result result = { opening->run, part, proofs };

    part->state = HF_PART_DONE;
    part->text = hf_strdup("");
    part->slots = part->slots_done = proofs->count;
    part->versions = part->versions_done = atomic_load(&opening->service->drill.versions);
    HF_TRY(copy_proofs(op, proofs, &part->proofs));
    hf_receipt_write_part(opening->service, op, opening->run, begun_ms, part);
    HF_TRY(hf_receipt_sign(opening->service, op, HF_RECEIPT_PART, hf_buf_bytes(&part->document),
                           &part->public_key, &part->signature));
    return store(opening->service, op, &result, detail);
}

/* A part that could not be done is told too, so that nobody waits for it. */
static struct hf_status give_up(const struct opening *opening, struct hf_op *op,
                                struct hf_status status)
{
    HF_AUTO(drill_part) part = new_part(opening);
    HF_AUTO_STRING detail = NULL;
    struct result result = { opening->run, part, NULL };
    struct hf_op failed = *op;

    part->state = HF_PART_FAILED;
    part->text = hf_strdup(op->text);
    detail =
        hf_format("drill %s: this node could not do its part: %.200s", opening->run->id, op->text);
    hf_op_clear(op);
    if (check_may_go_on(opening->service, op).code == HF_OK &&
        store(opening->service, op, &result, detail).code != HF_OK) {
        HF_WARNING(op->env, "%s", op->text);
    }
    *op = failed;
    return status;
}

static struct hf_status run_part(struct hf_service *service, struct hf_op *op,
                                 const struct hf_drill_run *run)
{
    struct opening opening = {
        .service = service, .op = op, .run = run, .tell_ms = hf_env_boottime_ms(op->env) + TELL_MS
    };
    uint64_t begun_ms = hf_env_realtime_ms(op->env);
    HF_AUTO(slot_proofs) proofs = hf_alloc(sizeof *proofs);
    struct hf_status status = prove_all(&opening, op, proofs);

    if (status.code == HF_OK) {
        status = look_behind(service, op, proofs);
    }
    if (status.code == HF_OK) {
        status = finish(&opening, op, begun_ms, proofs);
    }
    return status.code == HF_OK ? status : give_up(&opening, op, status);
}

/* --- which part is this node's to do --- */

/* *out is NULL when there is none. */
static struct hf_status find_part(struct hf_service *service, struct hf_op *op,
                                  struct hf_drill_run **out)
{
    HF_AUTO(drill_run) run = NULL;
    HF_AUTO(drill_part) part = NULL;

    HF_TRY(hf_drill_last(service, op, &run));
    if (run == NULL || run->ended_ms != 0 || !hf_drill_asks(run, service->node)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_drill_part_read(service, op, run, service->node, &part));
    /* One that says that it runs was a process of before. */
    if (part == NULL || part->state == HF_PART_RUNS) {
        *out = HF_TAKE(run);
    }
    return HF_SUCCESS;
}

struct hf_status hf_service_drill_is_asked(struct hf_service *service, struct hf_op *op, bool *out)
{
    uint64_t seq = hf_seal_seq(service->seal);
    HF_AUTO(drill_run) run = NULL;

    *out = false;
    if (seq == atomic_load(&service->drill.looked_seq)) {
        return HF_SUCCESS;
    }
    HF_TRY(find_part(service, op, &run));
    *out = run != NULL;
    if (run == NULL) {
        atomic_store(&service->drill.looked_seq, seq);
    }
    return HF_SUCCESS;
}

static bool begin(struct hf_service *service, const struct hf_drill_run *run)
{
    bool free_to_run;

    pthread_mutex_lock(&service->drill.lock);
    free_to_run = !service->drill.running;
    if (free_to_run) {
        service->drill.running = true;
        memcpy(service->drill.id, run->id, sizeof service->drill.id);
        atomic_store(&service->drill.slots, 0);
        atomic_store(&service->drill.slots_done, 0);
        atomic_store(&service->drill.versions, 0);
        atomic_store(&service->drill.versions_done, 0);
    }
    pthread_mutex_unlock(&service->drill.lock);
    return free_to_run;
}

struct hf_status hf_service_drill_part(struct hf_service *service, struct hf_op *op)
{
    HF_AUTO(drill_run) run = NULL;
    struct hf_status status;

    HF_TRY(check_may_go_on(service, op));
    HF_TRY(find_part(service, op, &run));
    if (run == NULL || !begin(service, run)) {
        return HF_SUCCESS;
    }
    status = run_part(service, op, run);
    pthread_mutex_lock(&service->drill.lock);
    service->drill.running = false;
    pthread_mutex_unlock(&service->drill.lock);
    return status;
}

void hf_service_drill_stop(struct hf_service *service)
{
    atomic_store(&service->drill.stop, true);
}
