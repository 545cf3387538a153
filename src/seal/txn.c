/*
 * Transactions: staged changes, sealed and committed as one batch that happens once.
 *
 * A remembered result is always sealed, even an empty one: its bytes are unlike any others, so a
 * commit whose end was not seen can be told from an earlier one under the same request id.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "seal/seal_internal.h"

#define REQUEST_LABEL  "holdfast request v1"
#define PAUSE_FIRST_MS 5
#define PAUSE_MAX_MS   500
/* How long the server itself, which has no deadline, asks for the end of a commit. */
#define IN_DOUBT_MS 60000
/* Rotations in a row that may overtake one commit. */
#define ROOTS 4

struct staged_change {
    enum hf_kind kind;
    bool tombstone;
    bool under_next; /* sealed under the root that the commit puts in force */
    char *path;
    uint64_t expected;
    struct hf_secret *plain; /* NULL when empty */
    struct hf_buf body;
};

struct hf_txn {
    struct hf_seal *seal;
    struct staged_change *changes;
    size_t count;
    struct hf_buf note;
    struct hf_buf result;
    struct hf_buf request;
    char *principal;
    uint64_t *keyring_keys; /* staged ones, by number */
    size_t keyring_key_count;
    uint32_t bound;      /* the root it was made for; 0: any */
    struct hf_root next; /* the root it puts in force, if any */
};

struct hf_status hf_txn_new(struct hf_seal *seal, struct hf_op *op, struct hf_txn **out)
{
    HF_ENTER(seal, op, unlocked);
    (void)unlocked;
    *out = hf_alloc(sizeof **out);
    (*out)->seal = seal;
    (*out)->principal = hf_strdup("");
    return HF_SUCCESS;
}

/* From now on the staged keyring keys are everybody's, or gone. */
static void settle(struct hf_txn *txn, struct hf_unlocked *unlocked, bool committed)
{
    for (size_t i = 0; i < txn->keyring_key_count; i++) {
        hf_keyring_key_settle(unlocked, txn->keyring_keys[i], committed);
    }
    txn->keyring_key_count = 0;
}

void hf_txn_free(struct hf_txn *txn)
{
    struct hf_unlocked *unlocked;

    if (txn == NULL) {
        return;
    }
    /* While locked there is nothing to settle: the keys are gone. */
    unlocked = txn->keyring_key_count > 0 ? hf_seal_try_enter(txn->seal) : NULL;
    if (unlocked != NULL) {
        settle(txn, unlocked, false);
        hf_seal_leave(txn->seal);
    }
    for (size_t i = 0; i < txn->count; i++) {
        free(txn->changes[i].path);
        hf_secret_free(txn->changes[i].plain);
        hf_buf_done(&txn->changes[i].body);
    }
    free(txn->changes);
    hf_buf_done(&txn->note);
    hf_buf_done(&txn->result);
    hf_buf_done(&txn->request);
    hf_secret_free(txn->next.secret);
    free(txn->principal);
    free(txn->keyring_keys);
    free(txn);
}

static struct hf_status stage(struct hf_txn *txn, struct hf_op *op,
                              const struct staged_change *change, struct hf_bytes plain)
{
    HF_AUTO(secret) copy = NULL;
    struct staged_change *added;

    if (plain.len > HF_CONTENT_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a record may hold %zu bytes, not %zu", HF_CONTENT_MAX,
                       plain.len);
    }
    if (plain.len > 0) {
        HF_TRY(hf_secret_copy(op, plain, &copy));
    }
    txn->changes = hf_realloc_array(txn->changes, txn->count + 1, sizeof *txn->changes);
    added = &txn->changes[txn->count++];
    *added = *change;
    added->path = hf_strdup(change->path);
    added->plain = HF_TAKE(copy);
    return HF_SUCCESS;
}

struct hf_status hf_txn_put(struct hf_txn *txn, struct hf_op *op, enum hf_kind kind,
                            const char *path, uint64_t expected, struct hf_bytes plain)
{
    struct staged_change change = {
        .kind = kind,
        .path = (char *)path,
        .expected = expected,
    };

    return stage(txn, op, &change, plain);
}

struct hf_status hf_txn_put_next(struct hf_txn *txn, struct hf_op *op, enum hf_kind kind,
                                 const char *path, uint64_t expected, struct hf_bytes plain)
{
    struct staged_change change = {
        .kind = kind,
        .under_next = true,
        .path = (char *)path,
        .expected = expected,
    };

    return stage(txn, op, &change, plain);
}

void hf_txn_bind(struct hf_txn *txn, uint32_t generation)
{
    txn->bound = generation;
}

void hf_txn_next_root(struct hf_txn *txn, const struct hf_root *root, struct hf_secret *secret)
{
    hf_secret_free(txn->next.secret);
    txn->next = (struct hf_root){ root->generation, root->owner, secret };
}

struct hf_status hf_txn_bury(struct hf_txn *txn, struct hf_op *op, enum hf_kind kind,
                             const char *path, uint64_t expected, struct hf_bytes plain)
{
    struct staged_change change = {
        .kind = kind,
        .tombstone = true,
        .path = (char *)path,
        .expected = expected,
    };

    return stage(txn, op, &change, plain);
}

void hf_txn_note(struct hf_txn *txn, struct hf_bytes note)
{
    hf_buf_clear(&txn->note);
    hf_buf_add_bytes(&txn->note, note);
}

void hf_txn_result(struct hf_txn *txn, struct hf_bytes result)
{
    hf_buf_clear(&txn->result);
    hf_buf_add_bytes(&txn->result, result);
}

void hf_txn_asked(struct hf_txn *txn, const char *principal, struct hf_bytes request)
{
    free(txn->principal);
    txn->principal = hf_strdup(principal != NULL ? principal : "");
    hf_buf_clear(&txn->request);
    hf_buf_add_bytes(&txn->request, request);
}

/*
 * The fence's record goes with the others, at the revision that its holder knows: also when the
 * transaction has read it anew, as a rotation of the root does with every record.
 */
static struct hf_status add_fence(struct hf_txn *txn, struct hf_op *op,
                                  const struct hf_fence *fence)
{
    struct hf_bytes content = hf_buf_bytes(fence->content);

    for (size_t i = 0; i < txn->count; i++) {
        struct staged_change *change = &txn->changes[i];

        if (strcmp(change->path, fence->path) == 0) {
            hf_secret_free(change->plain);
            change->plain = NULL;
            change->expected = fence->revision;
            return hf_secret_copy(op, content, &change->plain);
        }
    }
    return hf_txn_put(txn, op, fence->kind, fence->path, fence->revision, content);
}

void hf_txn_adopt(struct hf_txn *txn, uint64_t number)
{
    txn->keyring_keys =
        hf_realloc_array(txn->keyring_keys, txn->keyring_key_count + 1, sizeof *txn->keyring_keys);
    txn->keyring_keys[txn->keyring_key_count++] = number;
}

void hf_request_text(const struct hf_request_id *id, char out[HF_REQUEST_TEXT])
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_hex_add(text, hf_bytes_of(id->bytes, HF_REQUEST_ID_LEN));
    memcpy(out, hf_buf_text(text), HF_REQUEST_TEXT);
}

/* --- committing --- */

/* One attempt to make a transaction real; lives on the stack of the call. */
struct attempt {
    struct hf_txn *txn;
    struct hf_unlocked *unlocked;
    struct hf_batch batch;
    struct hf_change *changes;
    struct hf_buf note;   /* request id, sealed note; empty without one */
    struct hf_buf result; /* sealed */
    char request[HF_REQUEST_TEXT];
    struct hf_link_job job;
    struct hf_linker linker;
    struct hf_flight flight;
};

static void attempt_done(struct attempt *attempt)
{
    free(attempt->changes);
    hf_buf_done(&attempt->note);
    hf_buf_done(&attempt->result);
}

static struct hf_status seal_change(struct attempt *attempt, struct hf_op *op, size_t index)
{
    struct staged_change *staged = &attempt->txn->changes[index];
    struct hf_change *change = &attempt->changes[index];
    struct hf_record_place place = { .path = staged->path, .revision = staged->expected + 1 };
    uint8_t flags = staged->tombstone ? HF_RECORD_TOMBSTONE : 0;

    flags |= staged->kind == HF_KIND_SLOT ? HF_RECORD_CLEAR : 0;
    hf_buf_clear(&staged->body);
    HF_TRY(staged->under_next
               ? hf_record_seal_under(attempt->unlocked, op, &attempt->txn->next,
                                      (uint8_t)staged->kind, flags, &place,
                                      hf_secret_or_none(staged->plain), &staged->body)
               : hf_record_seal(attempt->unlocked, op, (uint8_t)staged->kind, flags, &place,
                                hf_secret_or_none(staged->plain), &staged->body));
    change->path = staged->path;
    change->expected = staged->expected;
    change->body = hf_buf_bytes(&staged->body);
    return hf_sha256(attempt->unlocked->crypto, op, change->body, change->digest);
}

static struct hf_status seal_changes(struct attempt *attempt, struct hf_op *op)
{
    attempt->changes = hf_alloc_array(attempt->txn->count, sizeof *attempt->changes);
    for (size_t i = 0; i < attempt->txn->count; i++) {
        HF_TRY(seal_change(attempt, op, i));
    }
    attempt->batch.changes = attempt->changes;
    attempt->batch.count = attempt->txn->count;
    return HF_SUCCESS;
}

static struct hf_status seal_note_and_result(struct attempt *attempt, struct hf_op *op)
{
    struct hf_record_place place = { .path = attempt->request, .revision = 0 };
    struct hf_txn *txn = attempt->txn;

    if (txn->note.len > 0) {
        hf_buf_add(&attempt->note, attempt->batch.request_id.bytes, HF_REQUEST_ID_LEN);
        HF_TRY(hf_record_seal(attempt->unlocked, op, HF_KIND_NOTE, 0, &place,
                              hf_buf_bytes(&txn->note), &attempt->note));
    }
    HF_TRY(hf_record_seal(attempt->unlocked, op, HF_KIND_RESULT, 0, &place,
                          hf_buf_bytes(&txn->result), &attempt->result));
    attempt->batch.note = hf_buf_bytes(&attempt->note);
    attempt->batch.result = hf_buf_bytes(&attempt->result);
    return HF_SUCCESS;
}

/* Keyed, because the store keeps it in the clear and a request may hold what can be guessed. */
struct hf_status hf_request_digest(struct hf_unlocked *unlocked, struct hf_op *op,
                                   const char *principal, struct hf_bytes request,
                                   uint8_t out[HF_DIGEST_LEN])
{
    HF_AUTO(buf) asked = hf_buf_new();
    struct hf_bytes parts[1];
    struct hf_status status;

    hf_buf_add_text(asked, REQUEST_LABEL);
    hf_put_text(asked, principal != NULL ? principal : "");
    hf_put_bytes(asked, request);
    parts[0] = hf_buf_bytes(asked);
    pthread_mutex_lock(&unlocked->mac_lock);
    status = hf_mac_compute(unlocked->digest, op, parts, 1, out);
    pthread_mutex_unlock(&unlocked->mac_lock);
    return status;
}

static struct hf_status digest_request(struct attempt *attempt, struct hf_op *op)
{
    struct hf_txn *txn = attempt->txn;

    attempt->batch.principal = txn->principal;
    return hf_request_digest(attempt->unlocked, op, txn->principal, hf_buf_bytes(&txn->request),
                             attempt->batch.digest);
}

static struct hf_status prepare(struct attempt *attempt, struct hf_op *op,
                                const struct hf_request_id *id)
{
    struct hf_txn *txn = attempt->txn;

    attempt->batch.request_id = *id;
    hf_request_text(id, attempt->request);
    /* Before anything is sealed: what a rotation overtakes is sealed under a later root at worst.
     */
    attempt->job.generation = txn->bound != 0 ? txn->bound : hf_root_generation(attempt->unlocked);
    attempt->job.next = txn->next.secret != NULL ? &txn->next : NULL;
    HF_TRY(seal_changes(attempt, op));
    HF_TRY(seal_note_and_result(attempt, op));
    HF_TRY(digest_request(attempt, op));
    attempt->job.unlocked = attempt->unlocked;
    attempt->linker.link = hf_link_batch;
    attempt->linker.context = &attempt->job;
    attempt->batch.linker = &attempt->linker;
    return HF_SUCCESS;
}

static void pause_ms(uint64_t ms)
{
    struct timespec time = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

    nanosleep(&time, NULL);
}

/* Asks again until the store says how it ended. What a repeat refuses has not happened before. */
static struct hf_status resolve(struct attempt *attempt, struct hf_op *op, struct hf_commit *commit)
{
    struct hf_seal *seal = attempt->txn->seal;
    uint64_t until =
        op->deadline_ms != 0 ? op->deadline_ms : hf_env_boottime_ms(op->env) + IN_DOUBT_MS;
    uint64_t pause = PAUSE_FIRST_MS;
    struct hf_status status = { HF_IN_DOUBT };

    while (status.code != HF_OK && status.code != HF_CONFLICT) {
        if (hf_env_boottime_ms(op->env) >= until || !atomic_load(&seal->is_open)) {
            return hf_fail(op, HF_IN_DOUBT,
                           "whether request %s was committed is not known; repeat it under the "
                           "same id",
                           attempt->request);
        }
        hf_feed_hold(&seal->feed, &attempt->flight);
        status = hf_engine_apply(seal->engine, op, &attempt->batch, commit);
        if (status.code != HF_OK && status.code != HF_CONFLICT) {
            pause_ms(pause);
            pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
        }
    }
    return status;
}

static struct hf_status apply(struct attempt *attempt, struct hf_op *op, struct hf_commit *commit)
{
    struct hf_status status =
        hf_engine_apply(attempt->txn->seal->engine, op, &attempt->batch, commit);

    if (status.code == HF_IN_DOUBT) {
        HF_WARNING(op->env, "the end of request %s was not seen; asking again: %s",
                   attempt->request, op->text);
        status = resolve(attempt, op, commit);
    }
    if (status.code == HF_OK) {
        hf_op_clear(op);
    }
    return status;
}

/* To the consumers, as they would read it from the store. */
static struct hf_status deliver(struct attempt *attempt, struct hf_op *op, uint64_t seq)
{
    struct hf_txn *txn = attempt->txn;
    struct hf_opened_view *views = hf_alloc_array(txn->count, sizeof *views);
    struct hf_status status;

    for (size_t i = 0; i < txn->count; i++) {
        const struct staged_change *staged = &txn->changes[i];

        views[i] = (struct hf_opened_view){
            .kind = staged->kind,
            .path = staged->path,
            .revision = staged->expected + 1,
            .seq = seq,
            .tombstone = staged->tombstone,
            .plain = hf_secret_or_none(staged->plain),
        };
    }
    status =
        hf_feed_deliver(txn->seal, attempt->unlocked, op, &attempt->flight, seq, views, txn->count);
    /* Not before: until the consumers know the new state, they must refuse by the old one. */
    for (size_t i = 0; i < txn->count && status.code == HF_OK; i++) {
        hf_damage_heal(txn->seal, views[i].path, views[i].revision);
    }
    free(views);
    return status;
}

struct hf_status hf_result_open(struct hf_unlocked *unlocked, struct hf_op *op, const char *request,
                                struct hf_bytes sealed, struct hf_secret **out)
{
    struct hf_record_place place = { .path = request, .revision = 0 };
    struct hf_record_parts parts;
    HF_AUTO(secret) result = NULL;

    HF_TRY(hf_record_open(unlocked, op, &place, sealed, &parts, &result));
    if (parts.kind != HF_KIND_RESULT) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "what the store remembers of request %s is not its result", request);
    }
    *out = HF_TAKE(result);
    return HF_SUCCESS;
}

/* Somebody was first under this id: what they were told, and what they changed. */
static struct hf_status finish_repeated(struct attempt *attempt, struct hf_op *op,
                                        const struct hf_commit *commit, struct hf_txn_commit *out)
{
    HF_AUTO(secret) result = NULL;

    hf_feed_abandon(&attempt->txn->seal->feed, &attempt->flight);
    HF_TRY(hf_result_open(attempt->unlocked, op, attempt->request, hf_buf_bytes(&commit->result),
                          &result));
    HF_TRY(hf_feed_catch_up(attempt->txn->seal, attempt->unlocked, op, commit->seq));
    out->seq = commit->seq;
    out->repeated = true;
    out->result = HF_TAKE(result);
    return HF_SUCCESS;
}

static struct hf_status finish(struct attempt *attempt, struct hf_op *op,
                               const struct hf_commit *commit, struct hf_txn_commit *out)
{
    bool ours = !commit->repeated ||
                hf_bytes_equal(hf_buf_bytes(&commit->result), hf_buf_bytes(&attempt->result));

    settle(attempt->txn, attempt->unlocked, ours);
    if (!ours) {
        return finish_repeated(attempt, op, commit, out);
    }
    HF_TRY(deliver(attempt, op, commit->seq));
    *out = (struct hf_txn_commit){ .seq = commit->seq };
    return HF_SUCCESS;
}

static struct hf_status run(struct attempt *attempt, struct hf_op *op,
                            const struct hf_request_id *id, struct hf_txn_commit *out)
{
    struct hf_feed *feed = &attempt->txn->seal->feed;
    struct hf_commit commit;
    struct hf_status status;

    HF_TRY(prepare(attempt, op, id));
    hf_commit_init(&commit);
    hf_feed_depart(feed, &attempt->flight, &attempt->job);
    status = apply(attempt, op, &commit);
    if (status.code == HF_OK) {
        status = finish(attempt, op, &commit, out);
    } else {
        hf_feed_abandon(feed, &attempt->flight);
    }
    hf_commit_done(&commit);
    return status;
}

/* *out_again: a rotation was quicker, and nothing of the transaction depends on the root. */
static struct hf_status run_once(struct hf_txn *txn, struct hf_unlocked *unlocked, struct hf_op *op,
                                 const struct hf_request_id *id, struct hf_txn_commit *out,
                                 bool *out_again)
{
    struct attempt attempt = { .txn = txn, .unlocked = unlocked };
    struct hf_status status = run(&attempt, op, id, out);

    *out_again =
        status.code == HF_CONFLICT && atomic_load(&attempt.job.outdated) && txn->bound == 0;
    attempt_done(&attempt);
    return status;
}

struct hf_status hf_txn_commit_as(struct hf_txn *txn, struct hf_op *op,
                                  const struct hf_request_id *id, struct hf_txn_commit *out)
{
    struct hf_status status = { HF_CONFLICT };
    bool again = true;

    HF_ENTER(txn->seal, op, unlocked);
    if (op->fence != NULL) {
        HF_TRY(add_fence(txn, op, op->fence));
    }
    for (int i = 0; i < ROOTS && again; i++) {
        status = run_once(txn, unlocked, op, id, out, &again);
        if (again) {
            hf_op_clear(op);
            HF_TRY(hf_roots_follow(unlocked, txn->seal->engine, op));
        }
    }
    if (op->fence != NULL && status.code == HF_OK && !out->repeated) {
        op->fence->revision++;
    }
    return again ? hf_fail(op, HF_CONFLICT, "the root key was rotated meanwhile; ask again")
                 : status;
}

struct hf_status hf_txn_commit(struct hf_txn *txn, struct hf_op *op, struct hf_txn_commit *out)
{
    struct hf_request_id id = op->request_id;

    if (!hf_request_id_is_set(&id)) {
        HF_TRY(hf_random_public(txn->seal->crypto, op, id.bytes, sizeof id.bytes));
    }
    return hf_txn_commit_as(txn, op, &id, out);
}

struct hf_status hf_txn_commit_own(struct hf_txn *txn, struct hf_op *op)
{
    struct hf_request_id id;
    struct hf_txn_commit commit;

    HF_TRY(hf_random_public(txn->seal->crypto, op, id.bytes, sizeof id.bytes));
    HF_TRY(hf_txn_commit_as(txn, op, &id, &commit));
    hf_secret_free(commit.result);
    return HF_SUCCESS;
}
