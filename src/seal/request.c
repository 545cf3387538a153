/* Requests that have happened: recalled by id, found by what was asked. */
#include "seal/seal_internal.h"

static struct hf_status recall(struct hf_seal *seal, struct hf_unlocked *unlocked, struct hf_op *op,
                               const struct hf_batch *batch, struct hf_commit *commit,
                               struct hf_txn_commit *out)
{
    char request[HF_REQUEST_TEXT];
    HF_AUTO(secret) result = NULL;

    HF_TRY(hf_engine_recall(seal->engine, op, batch, commit));
    hf_request_text(&batch->request_id, request);
    HF_TRY(hf_result_open(unlocked, op, request, hf_buf_bytes(&commit->result), &result));
    HF_TRY(hf_feed_catch_up(seal, unlocked, op, commit->seq));
    *out =
        (struct hf_txn_commit){ .seq = commit->seq, .repeated = true, .result = HF_TAKE(result) };
    return HF_SUCCESS;
}

struct hf_status hf_seal_recall(struct hf_seal *seal, struct hf_op *op, const char *principal,
                                struct hf_bytes request, struct hf_txn_commit *out)
{
    struct hf_batch batch = { .request_id = op->request_id,
                              .principal = principal != NULL ? principal : "" };
    struct hf_commit commit;
    struct hf_status status;

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_request_digest(unlocked, op, principal, request, batch.digest));
    hf_commit_init(&commit);
    status = recall(seal, unlocked, op, &batch, &commit, out);
    hf_commit_done(&commit);
    return status;
}

struct hf_status hf_seal_find_request(struct hf_seal *seal, struct hf_op *op, const char *principal,
                                      struct hf_bytes request, uint64_t since_ms,
                                      uint64_t up_to_seq, struct hf_request_id *out)
{
    uint8_t digest[HF_DIGEST_LEN];

    HF_ENTER(seal, op, unlocked);
    HF_TRY(hf_request_digest(unlocked, op, principal, request, digest));
    return hf_engine_find(seal->engine, op, digest, since_ms, up_to_seq, out);
}
