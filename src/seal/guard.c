/* The guard of a mirror: what is copied while the seal is open goes on from what was copied before.
 */
#include <inttypes.h>
#include <string.h>

#include "seal/seal_internal.h"

/*
 * A head under a root that is not open here cannot be read before the root's record is copied; then
 * the copy is checked when it is followed.
 */
static struct hf_status open_head(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                                  struct hf_bytes sealed, struct hf_head *out, bool *out_open)
{
    *out_open = seq > 0 && hf_root_is_open(unlocked, hf_record_generation(sealed));
    return *out_open ? hf_head_open(unlocked, op, seq, sealed, out) : HF_SUCCESS;
}

static struct hf_status begin(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head)
{
    struct hf_seal *seal = context;
    struct hf_unlocked *unlocked = hf_seal_try_enter(seal);
    struct hf_status status = HF_SUCCESS;

    seal->is_guarded = false;
    if (unlocked != NULL) {
        status = open_head(unlocked, op, seq, head, &seal->guarded, &seal->is_guarded);
        hf_seal_leave(seal);
    }
    return status;
}

static struct hf_status fail_altered(struct hf_op *op, uint64_t seq)
{
    return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                         "the change log is altered at commit %" PRIu64, seq);
}

static struct hf_status check_head(struct hf_unlocked *unlocked, struct hf_op *op,
                                   const struct hf_logged_batch *batch, const struct hf_head *known)
{
    struct hf_head head;
    bool is_open = false;

    if (batch->end == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(open_head(unlocked, op, batch->seq, batch->head, &head, &is_open));
    return !is_open || memcmp(head.link, known->link, HF_DIGEST_LEN) == 0
               ? HF_SUCCESS
               : fail_altered(op, batch->seq);
}

static struct hf_status check(void *context, struct hf_op *op, const struct hf_logged_batch *batch)
{
    struct hf_seal *seal = context;
    struct hf_unlocked *unlocked = seal->is_guarded ? hf_seal_try_enter(seal) : NULL;
    struct hf_head *known = &seal->guarded;
    struct hf_status status;

    if (unlocked == NULL) {
        seal->is_guarded = false;
        return HF_SUCCESS;
    }
    status = batch->seq == known->seq + 1 ? hf_history_step(unlocked, op, batch, known->link)
                                          : fail_altered(op, known->seq + 1);
    if (status.code == HF_OK) {
        status = check_head(unlocked, op, batch, known);
    }
    known->seq = batch->seq;
    hf_seal_leave(seal);
    return status;
}

struct hf_mirror_guard hf_seal_guard(struct hf_seal *seal)
{
    return (struct hf_mirror_guard){ .begin = begin, .check = check, .context = seal };
}
