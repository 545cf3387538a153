/* Following: the copy moves to where the engine behind stands. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/mirror_engine.h"

/* Between two attempts to open it. */
#define AGAIN_MS 1000
/* How long reading its log may take once it has begun, for operations without a deadline. */
#define READ_MS 600000

static struct hf_status enter(struct hf_mirror *mirror, struct hf_op *op)
{
    struct hf_status status = HF_SUCCESS;

    pthread_mutex_lock(&mirror->lock);
    while (mirror->busy && status.code == HF_OK) {
        hf_wait_for(op, &mirror->freed, &mirror->lock);
        /* One who was woken takes it even if late, or the wake-up would be lost to the others. */
        if (mirror->busy) {
            status = hf_op_check_deadline(op);
        }
    }
    if (status.code == HF_OK) {
        mirror->busy = true;
    }
    pthread_mutex_unlock(&mirror->lock);
    return status;
}

static void leave(struct hf_mirror *mirror)
{
    pthread_mutex_lock(&mirror->lock);
    mirror->busy = false;
    pthread_cond_signal(&mirror->freed);
    pthread_mutex_unlock(&mirror->lock);
}

void hf_mirror_limit(struct hf_op *op, uint64_t ms)
{
    uint64_t until_ms = hf_env_boottime_ms(op->env) + ms;

    if (op->deadline_ms == 0 || op->deadline_ms > until_ms) {
        op->deadline_ms = until_ms;
    }
}

/* --- what is wrong --- */

/* Tells the log when it changes what is wrong, not each time. */
static void set_problem(struct hf_mirror *mirror, enum hf_mirror_problem problem, const char *text)
{
    bool changed;

    pthread_mutex_lock(&mirror->lock);
    changed = mirror->info.problem != problem;
    if (changed) {
        mirror->info.problem = problem;
        mirror->info.since_ms = hf_env_realtime_ms(mirror->env);
    }
    (void)snprintf(mirror->info.text, sizeof mirror->info.text, "%s", text);
    pthread_mutex_unlock(&mirror->lock);
    if (!changed) {
        return;
    }
    switch (problem) {
    case HF_MIRROR_FINE:
        HF_INFO(mirror->env, "the copy of the store follows again, and stands at commit %" PRIu64,
                atomic_load(&mirror->seq));
        break;
    case HF_MIRROR_AWAY:
        HF_WARNING(mirror->env, "the store does not answer, keys are opened from its copy: %s",
                   text);
        break;
    case HF_MIRROR_REFUSED:
        HF_ERROR(mirror->env, "the store is not followed: %s", text);
        break;
    case HF_MIRROR_LOCAL:
        HF_ERROR(mirror->env, "the copy of the store cannot be written: %s", text);
        break;
    }
}

static enum hf_mirror_problem problem_of(struct hf_mirror *mirror)
{
    enum hf_mirror_problem problem;

    pthread_mutex_lock(&mirror->lock);
    problem = mirror->info.problem;
    pthread_mutex_unlock(&mirror->lock);
    return problem;
}

/* Keeps the code and the text. */
static struct hf_status wrong(struct hf_mirror *mirror, struct hf_op *op,
                              enum hf_mirror_problem problem, struct hf_status status)
{
    set_problem(mirror, problem, op->text);
    return status;
}

static struct hf_status away(struct hf_mirror *mirror, struct hf_op *op)
{
    if (!hf_op_is_stopped(op)) {
        set_problem(mirror, HF_MIRROR_AWAY, op->text);
    }
    op->code = HF_UNAVAILABLE;
    return (struct hf_status){ HF_UNAVAILABLE };
}

/* Another state of this store: an operator may take it. */
#define OTHER_HISTORY                                                                              \
    "bring the right store back, or take it as it is with 'holdfast store accept-history', which " \
    "says first what is given up"
/* There is nothing of this node's to be taken from it. */
#define OTHER_STORE "look at hosts and database of the section store in holdfast.conf"

static struct hf_status refuse(struct hf_mirror *mirror, struct hf_op *op, const char *advice)
{
    HF_AUTO_STRING reason = hf_strdup(op->text);

    (void)hf_fail(op, HF_WRONG_STATE, "%.150s; %s", reason, advice).code;
    return wrong(mirror, op, HF_MIRROR_REFUSED, (struct hf_status){ HF_WRONG_STATE });
}

/* --- the engine behind --- */

/* A short while after a failure nothing has changed. */
static bool failed_just_now(struct hf_mirror *mirror, struct hf_op *op)
{
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    bool just_now;

    pthread_mutex_lock(&mirror->lock);
    just_now = mirror->tried_ms != 0 && now_ms - mirror->tried_ms < AGAIN_MS;
    if (just_now) {
        (void)hf_fail(op, HF_UNAVAILABLE, "%s", mirror->info.text).code;
    }
    pthread_mutex_unlock(&mirror->lock);
    return just_now;
}

static void remember_try(struct hf_mirror *mirror, uint64_t tried_ms)
{
    pthread_mutex_lock(&mirror->lock);
    mirror->tried_ms = tried_ms;
    pthread_mutex_unlock(&mirror->lock);
}

struct hf_status hf_mirror_reach(struct hf_mirror *mirror, struct hf_op *op, struct hf_engine **out)
{
    uint64_t deadline_ms = op->deadline_ms;
    struct hf_engine *behind = atomic_load(&mirror->behind);
    struct hf_status status;

    if (behind != NULL) {
        *out = behind;
        return HF_SUCCESS;
    }
    if (failed_just_now(mirror, op)) {
        return (struct hf_status){ HF_UNAVAILABLE };
    }
    /* With a copy there is something to go on with meanwhile. */
    if (mirror->copy != NULL) {
        hf_mirror_limit(op, HF_MIRROR_PROBE_MS);
    }
    mirror->settings.confirmed_seq = atomic_load(&mirror->seq);
    status = hf_engine_open_uncounted(op, &mirror->settings, &behind);
    op->deadline_ms = deadline_ms;
    if (status.code != HF_OK) {
        remember_try(mirror, hf_env_boottime_ms(op->env));
        return status;
    }
    remember_try(mirror, 0);
    atomic_store(&mirror->behind, behind);
    *out = behind;
    return HF_SUCCESS;
}

/* --- following --- */

/* What the copy asks for the log. */
struct reading {
    struct hf_engine *behind;
    const struct hf_mirror_guard *guard; /* NULL: there is none */
    uint64_t seq;                        /* of the copy */
    struct hf_op *op;
    hf_log_visitor visit;
    void *visitor;
    uint64_t deadline_ms; /* of op, while it has another */
    bool begun;           /* something of the log was shown */
    bool refused;         /* by the copy or the guard, of what it was shown */
    bool altered;         /* by the guard */
    bool failed;          /* the engine did not show it */
};

static struct hf_status ask_guard(struct reading *reading, const struct hf_logged_batch *batch)
{
    struct hf_status status = HF_SUCCESS;

    /* The last batch of the copy is shown as well, to be compared. */
    if (reading->guard != NULL && batch->seq > reading->seq) {
        status = reading->guard->check(reading->guard->context, reading->op, batch);
    }
    reading->altered = status.code != HF_OK;
    return status;
}

static struct hf_status pass_on(void *context, const struct hf_logged_batch *batch)
{
    struct reading *reading = context;
    struct hf_status status;

    if (!reading->begun) {
        reading->begun = true;
        reading->op->deadline_ms = reading->deadline_ms;
        hf_mirror_limit(reading->op, READ_MS);
    }
    status = ask_guard(reading, batch);
    if (status.code == HF_OK) {
        status = reading->visit(reading->visitor, batch);
    }
    reading->refused = status.code != HF_OK;
    return status;
}

static struct hf_status read_log(void *context, struct hf_op *op, uint64_t from,
                                 hf_log_visitor visit, void *visitor)
{
    struct reading *reading = context;
    struct hf_status status;

    reading->op = op;
    reading->deadline_ms = op->deadline_ms;
    reading->begun = false;
    reading->visit = visit;
    reading->visitor = visitor;
    /* A way to the store that is cut just now must not hold up who follows. */
    hf_mirror_limit(op, HF_MIRROR_PROBE_MS);
    status = hf_engine_changes(reading->behind, op, from, SIZE_MAX, pass_on, reading);
    op->deadline_ms = reading->deadline_ms;
    reading->failed = status.code != HF_OK && !reading->refused;
    return status;
}

static struct hf_status begin_guard(struct hf_mirror *mirror, struct hf_op *op,
                                    struct reading *reading)
{
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state state;

    if (mirror->guard.check == NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_engine_state(mirror->copy, op, &state, head));
    reading->guard = &mirror->guard;
    reading->seq = state.seq;
    return mirror->guard.begin(mirror->guard.context, op, state.seq, hf_buf_bytes(head));
}

static struct hf_status take_log(struct hf_mirror *mirror, struct hf_op *op,
                                 struct reading *reading)
{
    const struct hf_sqlite_source source = { read_log, reading };
    uint64_t seq = 0;

    HF_TRY(begin_guard(mirror, op, reading));
    HF_TRY(hf_sqlite_follow(mirror->copy, op, &source, &seq));
    atomic_store(&mirror->seq, seq);
    return HF_SUCCESS;
}

/* Nothing is wrong with the copy when whoever asked has no time left. */
static bool is_over(const struct hf_op *op)
{
    struct hf_op asked = *op;

    return hf_op_check_deadline(&asked).code != HF_OK;
}

/* A copy that takes no writes any more, or contradicts itself, is replaced. */
static struct hf_status mend(struct hf_mirror *mirror, struct hf_op *op, struct hf_status failed)
{
    bool is_lost =
        failed.code == HF_CORRUPT || hf_sqlite_refuses_writes(hf_sqlite_of(mirror->copy));
    HF_AUTO_STRING reason = hf_strdup(op->text);
    HF_AUTO_STRING why = hf_format("the copy of the store cannot be used: %s", reason);
    struct hf_status status;

    if (!is_lost && failed.code == HF_UNAVAILABLE && is_over(op)) {
        return failed;
    }
    if (!is_lost) {
        return wrong(mirror, op, HF_MIRROR_LOCAL, failed);
    }
    hf_op_clear(op);
    status = hf_mirror_make_copy(mirror, op, why);
    return status.code == HF_OK ? status : wrong(mirror, op, HF_MIRROR_LOCAL, status);
}

static struct hf_status make_from_snapshot(struct hf_mirror *mirror, struct hf_op *op,
                                           const char *why)
{
    struct hf_status status = hf_mirror_make_copy(mirror, op, why);

    if (status.code == HF_WRONG_STATE) {
        return refuse(mirror, op, OTHER_HISTORY);
    }
    if (status.code == HF_NO_SPACE) {
        return wrong(mirror, op, HF_MIRROR_LOCAL, status);
    }
    return status.code == HF_OK ? status : away(mirror, op);
}

/* One step from where the copy stands to where the engine does. */
static struct hf_status take_news(struct hf_mirror *mirror, struct hf_op *op,
                                  struct hf_engine *behind)
{
    struct reading reading = { .behind = behind };
    struct hf_status status;

    if (mirror->copy == NULL) {
        return make_from_snapshot(mirror, op, "there is no copy of the store that can be used");
    }
    status = take_log(mirror, op, &reading);
    if (status.code == HF_OK) {
        return status;
    }
    if (reading.failed && status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return make_from_snapshot(mirror, op,
                                  "the store's change log begins after what the copy has");
    }
    if (status.code == HF_WRONG_STATE || reading.altered) {
        return refuse(mirror, op, OTHER_HISTORY);
    }
    return reading.failed ? away(mirror, op) : mend(mirror, op, status);
}

static void note_stand(struct hf_mirror *mirror, uint64_t seq)
{
    pthread_mutex_lock(&mirror->lock);
    mirror->info.behind_seq = seq;
    pthread_mutex_unlock(&mirror->lock);
}

struct hf_status hf_mirror_ask_stand(struct hf_engine *behind, struct hf_op *op, uint64_t ms,
                                     struct hf_store_state *out, struct hf_buf *out_head)
{
    uint64_t deadline_ms = op->deadline_ms;
    struct hf_status status;

    hf_mirror_limit(op, ms);
    status = hf_engine_state(behind, op, out, out_head);
    op->deadline_ms = deadline_ms;
    return status;
}

/* The first commit that the log has, or would have. */
static uint64_t log_begin(const struct hf_store_state *state)
{
    return state->oldest_seq != 0 ? state->oldest_seq : state->seq + 1;
}

/* Is there news? Fails for a store that must not be followed. */
static struct hf_status compare(struct hf_mirror *mirror, struct hf_op *op,
                                const struct hf_store_state *stand, const struct hf_buf *head,
                                bool *out_news)
{
    HF_AUTO(buf) copied_head = hf_buf_new();
    struct hf_store_state copied;

    HF_TRY(hf_engine_state(mirror->copy, op, &copied, copied_head));
    if (stand->seq < copied.seq) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store went back in time: it stands at commit %" PRIu64
                       ", and this node has copied commit %" PRIu64,
                       stand->seq, copied.seq);
    }
    if (stand->seq == copied.seq &&
        !hf_bytes_equal(hf_buf_bytes(head), hf_buf_bytes(copied_head))) {
        return hf_fail(op, HF_WRONG_STATE,
                       "the store has another history: its commit %" PRIu64
                       " is not the one that this node has copied",
                       stand->seq);
    }
    *out_news = stand->seq != copied.seq || stand->epoch != copied.epoch;
    if (!*out_news && log_begin(stand) > log_begin(&copied)) {
        return hf_engine_forget(mirror->copy, op, log_begin(stand));
    }
    return HF_SUCCESS;
}

static struct hf_status look(struct hf_mirror *mirror, struct hf_op *op, struct hf_engine *behind,
                             bool *out_news)
{
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state stand;
    struct hf_status status = hf_mirror_ask_stand(behind, op, HF_MIRROR_PROBE_MS, &stand, head);

    if (status.code != HF_OK) {
        return status.code == HF_WRONG_STATE ? refuse(mirror, op, OTHER_HISTORY) : away(mirror, op);
    }
    note_stand(mirror, stand.seq);
    if (mirror->copy == NULL) {
        *out_news = true;
        return HF_SUCCESS;
    }
    if (memcmp(mirror->store_id, stand.store_id, HF_STORE_ID_LEN) != 0) {
        (void)hf_fail(op, HF_WRONG_STATE, "it is another store than the one that was copied").code;
        return refuse(mirror, op, OTHER_STORE);
    }
    status = compare(mirror, op, &stand, head, out_news);
    if (status.code == HF_WRONG_STATE) {
        return refuse(mirror, op, OTHER_HISTORY);
    }
    return status.code == HF_OK ? status : mend(mirror, op, status);
}

static struct hf_status step(struct hf_mirror *mirror, struct hf_op *op, uint64_t wanted)
{
    struct hf_engine *behind = NULL;
    bool news = true;

    if (hf_mirror_reach(mirror, op, &behind).code != HF_OK) {
        return away(mirror, op);
    }
    /* Who has just written knows that there is news. */
    if (wanted == 0) {
        HF_TRY(look(mirror, op, behind, &news));
    }
    if (news) {
        HF_TRY(take_news(mirror, op, behind));
    }
    if (wanted > atomic_load(&mirror->seq)) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "the store shows commit %" PRIu64 " only, and not commit %" PRIu64 " yet",
                       atomic_load(&mirror->seq), wanted);
    }
    set_problem(mirror, HF_MIRROR_FINE, "");
    return HF_SUCCESS;
}

/* A copy made from a snapshot, or from nothing, is behind by what came meanwhile. */
static struct hf_status catch_up(struct hf_mirror *mirror, struct hf_op *op, uint64_t wanted)
{
    uint64_t copies = mirror->info.copies;
    struct hf_status status = step(mirror, op, wanted);

    if (mirror->copy != NULL && mirror->info.copies != copies) {
        hf_op_clear(op);
        status = step(mirror, op, wanted);
    }
    return status;
}

struct hf_status hf_mirror_catch_up(struct hf_mirror *mirror, struct hf_op *op, uint64_t seq)
{
    struct hf_status status = HF_SUCCESS;

    HF_TRY(enter(mirror, op));
    if (seq == 0 || atomic_load(&mirror->seq) < seq) {
        status = catch_up(mirror, op, seq);
    }
    leave(mirror);
    return status;
}

struct hf_status hf_mirror_replace(struct hf_mirror *mirror, struct hf_op *op, uint64_t copies,
                                   const char *why)
{
    struct hf_status status = HF_SUCCESS;

    HF_TRY(enter(mirror, op));
    if (mirror->info.copies == copies) {
        status = hf_mirror_make_copy(mirror, op, why);
    }
    if (status.code == HF_OK) {
        status = catch_up(mirror, op, 0);
    }
    leave(mirror);
    return status;
}

struct hf_status hf_mirror_check_writes(struct hf_mirror *mirror, struct hf_op *op)
{
    enum hf_mirror_problem problem = problem_of(mirror);

    /* While it is away it says so itself, as soon as it is asked. */
    if (problem == HF_MIRROR_FINE || problem == HF_MIRROR_AWAY) {
        return HF_SUCCESS;
    }
    return hf_mirror_catch_up(mirror, op, 0);
}

/* --- another history --- */

/* What only this copy has must not be lost with it: it stays beside the new one. */
static struct hf_status keep_copy(struct hf_mirror *mirror, struct hf_op *op, const char *file)
{
    uint64_t seq = 0;

    HF_TRY(hf_engine_snapshot(mirror->copy, op, file, &seq));
    HF_WARNING(mirror->env, "the copy of what is given up, up to commit %" PRIu64 ", is kept as %s",
               seq, file);
    return HF_SUCCESS;
}

static struct hf_status accept(struct hf_mirror *mirror, struct hf_op *op)
{
    uint64_t seq = atomic_load(&mirror->seq);
    HF_AUTO_STRING kept = hf_format("%s/given-up-%" PRIu64 "-%" PRIu64 ".db", mirror->directory,
                                    seq, hf_env_realtime_ms(op->env));
    struct hf_engine *behind = NULL;
    struct hf_status status;

    HF_TRY(hf_mirror_reach(mirror, op, &behind));
    HF_TRY(hf_engine_accept(behind, op));
    if (mirror->copy != NULL) {
        HF_TRY(keep_copy(mirror, op, kept));
    }
    atomic_store(&mirror->seq, 0);
    status = hf_mirror_make_copy(mirror, op, "the history of the store is accepted as it is");
    if (status.code != HF_OK) {
        atomic_store(&mirror->seq, seq);
        /* While the copy itself is still there, another of it only takes room. */
        if (mirror->copy != NULL) {
            hf_sqlite_remove_copy(kept);
        }
        return status;
    }
    /* It is done: what hinders the new copy from following is told by its state. */
    (void)catch_up(mirror, op, 0).code;
    hf_op_clear(op);
    return HF_SUCCESS;
}

struct hf_status hf_mirror_accept(struct hf_engine *engine, struct hf_op *op)
{
    struct hf_mirror *mirror = hf_mirror_of(engine);
    struct hf_status status;

    HF_TRY(enter(mirror, op));
    status = accept(mirror, op);
    leave(mirror);
    return status;
}
