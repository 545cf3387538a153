/* The keyed chain over all changes and the sealed head: docs/formats/head.md. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "seal/seal_internal.h"

#define FORMAT   1
#define HEAD     "head"
#define HEAD_LEN (1 + 8 + HF_DIGEST_LEN + HF_DIGEST_LEN + 8)

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static void set_number(uint8_t *at, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        at[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
}

void hf_sum_from(struct hf_sum *sum, const uint8_t bytes[HF_DIGEST_LEN])
{
    for (size_t i = 0; i < 4; i++) {
        sum->limbs[i] = get_u64(bytes + 8 * (3 - i));
    }
}

void hf_sum_bytes(const struct hf_sum *sum, uint8_t out[HF_DIGEST_LEN])
{
    for (size_t i = 0; i < 4; i++) {
        set_number(out + 8 * (3 - i), sum->limbs[i], 8);
    }
}

void hf_sum_add(struct hf_sum *sum, const uint8_t term[HF_DIGEST_LEN])
{
    struct hf_sum other;
    bool carry = false;

    hf_sum_from(&other, term);
    for (size_t i = 0; i < 4; i++) {
        bool first = __builtin_add_overflow(sum->limbs[i], other.limbs[i], &sum->limbs[i]);
        bool second = __builtin_add_overflow(sum->limbs[i], (uint64_t)carry, &sum->limbs[i]);

        carry = first || second;
    }
}

void hf_sum_subtract(struct hf_sum *sum, const uint8_t term[HF_DIGEST_LEN])
{
    struct hf_sum other;
    bool borrow = false;

    hf_sum_from(&other, term);
    for (size_t i = 0; i < 4; i++) {
        bool first = __builtin_sub_overflow(sum->limbs[i], other.limbs[i], &sum->limbs[i]);
        bool second = __builtin_sub_overflow(sum->limbs[i], (uint64_t)borrow, &sum->limbs[i]);

        borrow = first || second;
    }
}

bool hf_sum_equal(const struct hf_sum *a, const struct hf_sum *b)
{
    return memcmp(a->limbs, b->limbs, sizeof a->limbs) == 0;
}

void hf_head_encode(const struct hf_head *head, struct hf_buf *out)
{
    uint8_t digest[HF_DIGEST_LEN];

    hf_sum_bytes(&head->digest, digest);
    hf_put_u8(out, FORMAT);
    hf_put_u64(out, head->seq);
    hf_buf_add(out, head->link, HF_DIGEST_LEN);
    hf_buf_add(out, digest, HF_DIGEST_LEN);
    hf_put_u64(out, head->count);
}

struct hf_status hf_head_parse(struct hf_op *op, struct hf_bytes content, struct hf_head *out)
{
    if (content.len != HEAD_LEN || content.data[0] != FORMAT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the store's head is not in a form that this release knows");
    }
    out->seq = get_u64(content.data + 1);
    memcpy(out->link, content.data + 9, HF_DIGEST_LEN);
    hf_sum_from(&out->digest, content.data + 9 + HF_DIGEST_LEN);
    out->count = get_u64(content.data + 9 + 2 * HF_DIGEST_LEN);
    return HF_SUCCESS;
}

struct hf_status hf_head_seal(struct hf_unlocked *unlocked, struct hf_op *op,
                              const struct hf_root *next, const struct hf_head *head,
                              struct hf_buf *out)
{
    struct hf_record_place place = { .path = HEAD, .revision = head->seq };
    HF_AUTO(buf) content = hf_buf_new();

    hf_head_encode(head, content);
    return next != NULL
               ? hf_record_seal_under(unlocked, op, next, HF_KIND_HEAD, 0, &place,
                                      hf_buf_bytes(content), out)
               : hf_record_seal(unlocked, op, HF_KIND_HEAD, 0, &place, hf_buf_bytes(content), out);
}

struct hf_status hf_head_open(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                              struct hf_bytes sealed, struct hf_head *out)
{
    struct hf_record_place place = { .path = HEAD, .revision = seq };
    struct hf_record_parts parts = { 0 };
    HF_AUTO(secret) content = NULL;
    struct hf_head head;
    struct hf_status status = hf_record_open(unlocked, op, &place, sealed, &parts, &content);

    if (status.code == HF_CORRUPT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the store's head is altered or is not that of commit %" PRIu64
                             "; restore the store from a backup",
                             seq);
    }
    HF_TRY(status);
    if (parts.kind != HF_KIND_HEAD || content == NULL) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "what stands in the place of the store's head is not one");
    }
    HF_TRY(hf_head_parse(op, hf_secret_bytes(content), &head));
    if (head.seq != seq) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "the store says commit %" PRIu64 ", and its head %" PRIu64, seq,
                             head.seq);
    }
    *out = head;
    return HF_SUCCESS;
}

/* text path || revision || digest, as chain and sum take it: three parts */
struct place_parts {
    uint8_t path_len[4];
    uint8_t tail[8 + HF_DIGEST_LEN];
};

static void fill_parts(const struct hf_record_place *place, const uint8_t digest[HF_DIGEST_LEN],
                       struct place_parts *parts, struct hf_bytes out[3])
{
    size_t path_len = strlen(place->path);

    set_number(parts->path_len, path_len, 4);
    set_number(parts->tail, place->revision, 8);
    memcpy(parts->tail + 8, digest, HF_DIGEST_LEN);
    out[0] = hf_bytes_of(parts->path_len, sizeof parts->path_len);
    out[1] = hf_bytes_of(place->path, path_len);
    out[2] = hf_bytes_of(parts->tail, sizeof parts->tail);
}

static struct hf_status mac(struct hf_unlocked *unlocked, struct hf_op *op, struct hf_mac *under,
                            const struct hf_bytes *parts, size_t count, uint8_t out[HF_SHA256_LEN])
{
    struct hf_status status;

    pthread_mutex_lock(&unlocked->mac_lock);
    status = hf_mac_compute(under, op, parts, count, out);
    pthread_mutex_unlock(&unlocked->mac_lock);
    return status;
}

struct hf_status hf_chain_step(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                               const struct hf_record_place *place,
                               const uint8_t digest[HF_DIGEST_LEN], uint8_t link[HF_DIGEST_LEN])
{
    struct place_parts place_parts;
    struct hf_bytes parts[4];
    uint8_t start[HF_DIGEST_LEN + 8];

    memcpy(start, link, HF_DIGEST_LEN);
    set_number(start + HF_DIGEST_LEN, seq, 8);
    parts[0] = hf_bytes_of(start, sizeof start);
    fill_parts(place, digest, &place_parts, parts + 1);
    return mac(unlocked, op, unlocked->link, parts, HF_COUNT(parts), link);
}

struct hf_status hf_chain_note(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                               struct hf_bytes note, uint8_t link[HF_DIGEST_LEN])
{
    static const struct hf_record_place no_place = { .path = "", .revision = 0 };
    uint8_t digest[HF_SHA256_LEN];

    HF_TRY(hf_sha256(unlocked->crypto, op, note, digest));
    return hf_chain_step(unlocked, op, seq, &no_place, digest, link);
}

struct hf_status hf_digest_term(struct hf_unlocked *unlocked, struct hf_op *op,
                                const struct hf_record_place *place,
                                const uint8_t digest[HF_DIGEST_LEN], uint8_t out[HF_DIGEST_LEN])
{
    struct place_parts place_parts;
    struct hf_bytes parts[3];

    fill_parts(place, digest, &place_parts, parts);
    return mac(unlocked, op, unlocked->digest, parts, HF_COUNT(parts), out);
}

struct hf_status hf_sum_record(struct hf_unlocked *unlocked, struct hf_op *op,
                               const struct hf_record_place *place, struct hf_bytes body,
                               struct hf_sum *sum)
{
    uint8_t digest[HF_SHA256_LEN];
    uint8_t term[HF_DIGEST_LEN];

    HF_TRY(hf_sha256(unlocked->crypto, op, body, digest));
    HF_TRY(hf_digest_term(unlocked, op, place, digest, term));
    hf_sum_add(sum, term);
    return HF_SUCCESS;
}

/* The head before the batch: in a new store there is none. */
static struct hf_status previous_head(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                                      struct hf_bytes sealed, struct hf_head *out)
{
    if (seq == 1 && sealed.len == 0) {
        memset(out, 0, sizeof *out);
        return HF_SUCCESS;
    }
    return hf_head_open(unlocked, op, seq - 1, sealed, out);
}

static struct hf_status add_change(struct hf_unlocked *unlocked, struct hf_op *op, uint64_t seq,
                                   struct hf_linked *change, struct hf_head *head)
{
    struct hf_record_place place = { .path = change->path, .revision = change->revision };
    uint8_t term[HF_DIGEST_LEN];

    HF_TRY(hf_chain_step(unlocked, op, seq, &place, change->digest, head->link));
    memcpy(change->link, head->link, HF_DIGEST_LEN);
    HF_TRY(hf_digest_term(unlocked, op, &place, change->digest, term));
    hf_sum_add(&head->digest, term);
    if (change->replaces) {
        place.revision = change->old_revision;
        HF_TRY(hf_digest_term(unlocked, op, &place, change->old_digest, term));
        hf_sum_subtract(&head->digest, term);
    } else {
        head->count++;
    }
    return HF_SUCCESS;
}

/*
 * Once the head is under a later root, nothing under an earlier one is committed any more: so one
 * walk over the store finds all that is left to move. A root that is not open here is fetched by
 * whoever commits, since the linker must not call the engine.
 */
static struct hf_status check_root(struct hf_link_job *job, struct hf_op *op, struct hf_bytes head)
{
    uint32_t stands = hf_record_generation(head);
    bool is_late = job->generation != 0 && stands > job->generation;

    if (stands == 0 || (!is_late && hf_root_is_open(job->unlocked, stands))) {
        return HF_SUCCESS;
    }
    atomic_store(&job->outdated, true);
    return hf_fail(op, HF_CONFLICT, "root generation %" PRIu32 " is in force by now", stands);
}

struct hf_status hf_link_batch(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head,
                               struct hf_bytes note, struct hf_linked *changes, size_t count,
                               struct hf_buf *out_head)
{
    struct hf_link_job *job = context;
    struct hf_head now;

    HF_TRY(check_root(job, op, head));
    HF_TRY(previous_head(job->unlocked, op, seq, head, &now));
    if (job->rebase != NULL) {
        now.digest = job->rebase->digest;
        now.count = job->rebase->count;
    }
    HF_TRY(hf_chain_note(job->unlocked, op, seq, note, now.link));
    for (size_t i = 0; i < count; i++) {
        HF_TRY(add_change(job->unlocked, op, seq, &changes[i], &now));
    }
    now.seq = seq;
    HF_TRY(hf_head_seal(job->unlocked, op, job->next, &now, out_head));
    memcpy(job->link, now.link, HF_DIGEST_LEN);
    job->linked_seq = seq;
    atomic_store(&job->seq, seq);
    return HF_SUCCESS;
}
