/* Opening the root through a slot, and all the checks between that and serving anybody. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "seal/seal_internal.h"

/* Another node may commit while we read; more often than this it is something else. */
#define SCANS 5

/* --- the root --- */

static struct hf_status try_slot(struct hf_seal *seal, struct hf_op *op,
                                 const struct hf_slot_record *record,
                                 struct hf_protector *protector, struct hf_unlocked **out)
{
    const struct hf_slot *slot = record->slot;
    HF_AUTO(secret) root = NULL;
    HF_AUTO(unlocked) unlocked = NULL;
    struct hf_status verified;

    HF_TRY(hf_slot_open_root(seal->crypto, op, seal->store_id, slot, protector, &root));
    HF_TRY(
        hf_unlocked_new(seal->crypto, op, seal->store_id, slot->root_generation, &root, &unlocked));
    /* The slot may be of a moment before the rotation, and the rotation may not have ended. */
    HF_TRY(hf_roots_follow(unlocked, seal->engine, op));
    HF_TRY(hf_roots_load_old(unlocked, seal->engine, op));
    HF_TRY(hf_pin_check_root(seal, unlocked, op));
    verified = hf_slot_verify(unlocked, op, record->record);
    if (verified.code == HF_CORRUPT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "slot \"%s\" opens the root key, but its record is altered; open "
                             "another slot",
                             slot->name);
    }
    HF_TRY(verified);
    *out = HF_TAKE(unlocked);
    return HF_SUCCESS;
}

/* A wrong passphrase for one slot says nothing about the next; any other failure says more. */
struct failure {
    enum hf_code code;
    enum hf_cause cause;
    char text[HF_OP_TEXT_MAX];
};

static void remember(struct failure *failure, struct hf_op *op, struct hf_status status)
{
    if (failure->code == HF_OK || failure->code == HF_DENIED) {
        failure->code = status.code;
        failure->cause = op->cause;
        memcpy(failure->text, op->text, sizeof failure->text);
    }
    hf_op_clear(op);
}

static struct hf_status open_any_slot(struct hf_seal *seal, struct hf_op *op,
                                      struct hf_protector *protector, const char *slot_id,
                                      struct hf_slot_info *out_slot, struct hf_unlocked **out)
{
    const char *kind = protector->ops->kind;
    HF_AUTO(slot_records) records = NULL;
    struct failure failure = { .code = HF_OK };

    HF_TRY(hf_slot_records_read(seal, op, &records));
    for (size_t i = 0; i < records->count; i++) {
        struct hf_slot_info slot;
        struct hf_status status;

        hf_slot_describe(records->items[i].slot, true, &slot);
        if (strcmp(slot.protector, kind) != 0 ||
            (slot_id != NULL && strcmp(slot.id, slot_id) != 0)) {
            continue;
        }
        status = try_slot(seal, op, &records->items[i], protector, out);
        if (status.code == HF_OK) {
            *out_slot = slot;
            return HF_SUCCESS;
        }
        remember(&failure, op, status);
    }
    if (failure.code == HF_OK) {
        return hf_fail(op, HF_NOT_FOUND, "the store has no slot for a %s", kind);
    }
    return hf_fail_cause(op, failure.code, failure.cause, "%s", failure.text);
}

/* --- the store --- */

static struct hf_status open_store_secrets(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                           struct hf_op *op)
{
    HF_AUTO(record) record = NULL;
    HF_AUTO(secret) content = NULL;
    struct hf_record_place place = { .path = HF_STORE_SECRETS_PATH };
    struct hf_record_parts parts;
    struct hf_status status = hf_engine_get(seal->engine, op, HF_STORE_SECRETS_PATH, &record);

    if (status.code == HF_NOT_FOUND) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "%s is gone, and nothing can be checked without it; restore the store",
                             HF_STORE_SECRETS_PATH);
    }
    HF_TRY(status);
    place.revision = record->revision;
    HF_TRY(hf_record_open(unlocked, op, &place, hf_buf_bytes(&record->body), &parts, &content));
    if (parts.kind != HF_KIND_STORE_SECRETS || content == NULL) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED, "%s is not what it should be",
                             HF_STORE_SECRETS_PATH);
    }
    return hf_secrets_use(unlocked, op, hf_secret_bytes(content));
}

static bool history_is_accepted(struct hf_seal *seal)
{
    bool accepted;

    pthread_mutex_lock(&seal->pin_lock);
    accepted = seal->has_pin && seal->pin.accept_history;
    pthread_mutex_unlock(&seal->pin_lock);
    return accepted;
}

/* A head with what the store really holds: the way past for records that are gone. */
static struct hf_status rebase(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                               struct hf_head *head)
{
    struct hf_link_job job = { .unlocked = unlocked, .rebase = head };
    struct hf_linker linker = { .link = hf_link_batch, .context = &job };
    struct hf_batch batch = { .principal = "", .linker = &linker };
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_store_state state;
    struct hf_commit commit;
    struct hf_status status;

    HF_TRY(hf_random_public(unlocked->crypto, op, batch.request_id.bytes, HF_REQUEST_ID_LEN));
    hf_commit_init(&commit);
    status = hf_engine_apply(seal->engine, op, &batch, &commit);
    hf_commit_done(&commit);
    HF_TRY(status);
    HF_TRY(hf_engine_state(seal->engine, op, &state, sealed));
    return hf_head_open(unlocked, op, state.seq, hf_buf_bytes(sealed), head);
}

static struct hf_status judge(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                              const struct hf_load_report *report, struct hf_head *head)
{
    bool same_count = report->count == head->count;
    bool same = same_count && hf_sum_equal(&report->digest, &head->digest);

    if (same) {
        return HF_SUCCESS;
    }
    if (history_is_accepted(seal)) {
        HF_WARNING(seal->env,
                   "the operator accepts the store as it is: %" PRIu64 " records, %" PRIu64
                   " of them altered, where the head says %" PRIu64,
                   report->count, report->damaged, head->count);
        head->digest = report->digest;
        head->count = report->count;
        return rebase(seal, unlocked, op, head);
    }
    /* Altered records explain another digest, but not another number of records. */
    if (report->damaged > 0 && same_count) {
        return HF_SUCCESS;
    }
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the head says %" PRIu64 " records, and the store has %" PRIu64
                         ", %" PRIu64 " of them altered: records were removed, added or put back; "
                         "restore the store, or take it as it is with 'holdfast store "
                         "accept-history'",
                         head->count, report->count, report->damaged);
}

/* What is missing or too much does not keep a proof from telling what is there. */
static struct hf_status note_apart(struct hf_apart *found, struct hf_op *op,
                                   struct hf_status judged, const struct hf_load_report *report)
{
    if (judged.code != HF_OK && judged.code != HF_CORRUPT) {
        return judged;
    }
    found->records = report->count;
    found->damaged = report->damaged;
    found->whole = judged.code == HF_OK && report->damaged == 0;
    if (judged.code == HF_CORRUPT) {
        memcpy(found->text, op->text, sizeof found->text);
        hf_op_clear(op);
    }
    return HF_SUCCESS;
}

/*
 * Whether what was read is not what the head speaks of. Whoever goes on from here must know that
 * nothing was committed since; a proof speaks of the moment of its head, and no record that it saw
 * may be younger.
 */
static struct hf_status has_moved(struct hf_seal *seal, struct hf_op *op,
                                  const struct hf_head *head, const struct hf_load_report *report,
                                  bool *out)
{
    struct hf_store_state state;

    if (seal->apart != NULL) {
        *out = report->last_seq > head->seq;
        return HF_SUCCESS;
    }
    HF_TRY(hf_engine_state(seal->engine, op, &state, NULL));
    *out = state.seq != head->seq;
    return HF_SUCCESS;
}

/* One look at the whole store. *out_moved when somebody committed meanwhile. */
static struct hf_status scan(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                             struct hf_head *out_head, bool *out_moved)
{
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_load_report report = { 0 };
    struct hf_store_state state;
    struct hf_head head;
    struct hf_status status;

    HF_TRY(hf_engine_state(seal->engine, op, &state, sealed));
    HF_TRY(hf_head_open(unlocked, op, state.seq, hf_buf_bytes(sealed), &head));
    HF_TRY(hf_pin_check_head(seal, unlocked, op, &head));
    HF_TRY(hf_load(seal, unlocked, op, &report));
    HF_TRY(has_moved(seal, op, &head, &report, out_moved));
    if (*out_moved) {
        return HF_SUCCESS;
    }
    status = judge(seal, unlocked, op, &report, &head);
    if (seal->apart != NULL) {
        status = note_apart(seal->apart, op, status, &report);
    }
    *out_head = head;
    return status;
}

static void forget(struct hf_seal *seal)
{
    hf_feed_clear(&seal->feed);
    hf_damage_clear(&seal->damage);
}

static struct hf_status scan_until_still(struct hf_seal *seal, struct hf_unlocked *unlocked,
                                         struct hf_op *op, struct hf_head *out_head)
{
    bool moved = true;

    for (int i = 0; i < SCANS && moved; i++) {
        struct hf_status status = hf_roots_follow(unlocked, seal->engine, op);

        if (status.code == HF_OK) {
            status = scan(seal, unlocked, op, out_head, &moved);
        }

        if (status.code != HF_OK || moved) {
            forget(seal);
        }
        HF_TRY(status);
    }
    return moved
               ? hf_fail(op, HF_UNAVAILABLE, "the store changes too fast to be checked; try again")
               : HF_SUCCESS;
}

static void report_opened(struct hf_seal *seal, struct hf_op *op, struct hf_status pinned)
{
    uint64_t damaged = hf_seal_damage(seal, NULL, NULL);

    if (damaged > 0) {
        HF_ERROR(seal->env,
                 "%" PRIu64 " records are altered, so whether others were removed is not known; "
                 "restore them from a backup",
                 damaged);
    }
    /* Keys must open on a full disk too; the pin is tried again every second. */
    if (pinned.code != HF_OK) {
        HF_ERROR(seal->env, "the pin could not be kept: %s", op->text);
        hf_op_clear(op);
    }
}

struct hf_status hf_unlock(struct hf_seal *seal, struct hf_op *op, struct hf_protector *protector,
                           const char *slot_id, struct hf_slot_info *out_slot)
{
    HF_AUTO(unlocked) unlocked = NULL;
    struct hf_slot_info slot;
    struct hf_head head;

    if (atomic_load(&seal->is_open)) {
        return hf_fail(op, HF_WRONG_STATE, "the store is unlocked already");
    }
    HF_TRY(open_any_slot(seal, op, protector, slot_id, &slot, &unlocked));
    hf_assert(unlocked != NULL);
    HF_TRY(open_store_secrets(seal, unlocked, op));
    HF_TRY(scan_until_still(seal, unlocked, op, &head));
    if (seal->apart == NULL) {
        report_opened(seal, op, hf_pin_keep(seal, unlocked, op, &head));
    }
    hf_seal_start(seal, HF_TAKE(unlocked), &head);
    *out_slot = slot;
    return HF_SUCCESS;
}

struct hf_status hf_seal_unlock(struct hf_seal *seal, struct hf_op *op,
                                struct hf_protector *protector, struct hf_slot_info *out_slot)
{
    struct hf_status status;

    pthread_mutex_lock(&seal->change_lock);
    status = hf_unlock(seal, op, protector, NULL, out_slot);
    pthread_mutex_unlock(&seal->change_lock);
    return status;
}
