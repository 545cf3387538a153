/* Moving a store: make the new one aside, compare, retire the old one, settle the new one. */
#include "cli/migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "cli/init_files.h"

static struct hf_status open_engine(struct hf_op *op, const struct hf_migration *migration,
                                    const struct hf_store_settings *settings,
                                    struct hf_engine **out)
{
    struct hf_engine *engine = NULL;

    HF_TRY(hf_engine_open(op, settings, &engine));
    *out = migration->wrap != NULL ? migration->wrap(migration->context, engine) : engine;
    return HF_SUCCESS;
}

static void id_text(const struct hf_store_state *state, char out[2 * HF_STORE_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < HF_STORE_ID_LEN; i++) {
        out[2 * i] = digits[state->store_id[i] >> 4];
        out[2 * i + 1] = digits[state->store_id[i] & 15];
    }
    out[2 * HF_STORE_ID_LEN] = '\0';
}

/* The destination as a retired store tells it, for people. */
static char *destination_of(const struct hf_migration *migration,
                            const struct hf_store_state *state)
{
    char id[2 * HF_STORE_ID_LEN + 1];

    id_text(state, id);
    return hf_format("%s (store %s, seq %" PRIu64 ")", migration->to_words, id, state->seq);
}

/* --- the destination --- */

/* A place whose store has gone elsewhere is free for its return. */
static struct hf_status check_free(struct hf_op *op, const struct hf_migration *migration)
{
    HF_AUTO(engine) there = NULL;
    struct hf_status status = open_engine(op, migration, migration->to, &there);

    if (status.code == HF_NOT_FOUND || status.code == HF_CONFLICT) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    return hf_fail(op, HF_EXISTS, "there is a store at %s already", migration->to_words);
}

static struct hf_status read_state(struct hf_op *op, const struct hf_migration *migration,
                                   const struct hf_store_settings *settings,
                                   struct hf_store_state *out, struct hf_buf *out_head)
{
    HF_AUTO(engine) engine = NULL;

    HF_TRY(open_engine(op, migration, settings, &engine));
    return hf_engine_state(engine, op, out, out_head);
}

/* The destination, opened as a node opens it, must be what was moved. */
static struct hf_status check_end(struct hf_op *op, const struct hf_migration *migration,
                                  const struct hf_store_state *state, struct hf_bytes head)
{
    HF_AUTO(buf) found_head = hf_buf_new();
    struct hf_store_state found;

    HF_TRY(read_state(op, migration, migration->to, &found, found_head));
    if (memcmp(found.store_id, state->store_id, sizeof found.store_id) != 0 ||
        found.seq != state->seq || found.oldest_seq != state->oldest_seq ||
        !hf_bytes_equal(hf_buf_bytes(found_head), head)) {
        return hf_fail(op, HF_CORRUPT, "the store at %s is not the one that was moved there",
                       migration->to_words);
    }
    return HF_SUCCESS;
}

/* --- nodes that run --- */

/* Nodes beat once a second, also when nothing is written; and what is read may lag. */
#define LOOKS   20
#define LOOK_MS 250

struct pulse {
    char node[HF_NODE_NAME_MAX + 1];
    uint64_t number;
};

/* The heartbeats as they were at the beginning, and who has sent one since. */
struct pulses {
    struct pulse *items;
    size_t count;
    bool is_later;
    struct hf_buf running; /* names */
};

static void pulses_done(struct pulses *pulses)
{
    free(pulses->items);
    hf_buf_done(&pulses->running);
}

static bool has_beaten(const struct pulses *pulses, const struct hf_beat *beat)
{
    for (size_t i = 0; i < pulses->count; i++) {
        if (strcmp(pulses->items[i].node, beat->node) == 0) {
            return pulses->items[i].number != beat->number;
        }
    }
    return true;
}

static struct hf_status feel(void *context, const struct hf_beat *beat)
{
    struct pulses *pulses = context;
    struct pulse *pulse;

    if (pulses->is_later) {
        if (has_beaten(pulses, beat)) {
            hf_buf_add_format(&pulses->running, "%s%s", pulses->running.len > 0 ? ", " : "",
                              beat->node);
        }
        return HF_SUCCESS;
    }
    pulses->items = hf_realloc_array(pulses->items, pulses->count + 1, sizeof *pulses->items);
    pulse = &pulses->items[pulses->count++];
    *pulse = (struct pulse){ .number = beat->number };
    memcpy(pulse->node, beat->node, strnlen(beat->node, HF_NODE_NAME_MAX));
    return HF_SUCCESS;
}

static struct hf_status feel_pulses(struct hf_op *op, struct hf_engine *source,
                                    struct pulses *pulses)
{
    uint64_t seq = 0;

    hf_buf_clear(&pulses->running);
    HF_TRY(hf_engine_beats(source, op, feel, pulses, &seq));
    pulses->is_later = true;
    return HF_SUCCESS;
}

/* A node that runs would be shut out of its store; one that is idle writes nothing but this. */
static struct hf_status await_silence(struct hf_op *op, struct hf_engine *source,
                                      struct pulses *pulses)
{
    const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

    HF_TRY(feel_pulses(op, source, pulses));
    for (int i = 0; i < LOOKS && pulses->count > 0 && pulses->running.len == 0; i++) {
        (void)nanosleep(&pause, NULL);
        HF_TRY(feel_pulses(op, source, pulses));
    }
    return pulses->running.len == 0
               ? HF_SUCCESS
               : hf_fail(op, HF_WRONG_STATE,
                         "these nodes run on the store: %s; stop all nodes first",
                         hf_buf_text(&pulses->running));
}

/* --- a move from its beginning --- */

struct copies {
    char *source; /* a snapshot of it */
    char *target; /* a snapshot of what was made out of it */
};

static struct hf_status make_target(struct hf_op *op, const struct hf_migration *migration,
                                    const struct copies *copies, struct hf_engine **out,
                                    struct hf_store_counts *out_counts)
{
    struct hf_store_settings settings = *migration->to;
    uint64_t seq = 0;

    settings.create = true;
    settings.arriving = true;
    settings.snapshot = copies->source;
    HF_TRY(open_engine(op, migration, &settings, out));
    HF_TRY(hf_engine_snapshot(*out, op, copies->target, &seq));
    return hf_store_compare(op, copies->source, copies->target, out_counts);
}

static struct hf_status move_with(struct hf_op *op, const struct hf_migration *migration,
                                  struct hf_engine *source, const struct copies *copies,
                                  struct hf_migration_report *out)
{
    __attribute__((cleanup(pulses_done))) struct pulses pulses = { 0 };
    HF_AUTO(engine) target = NULL;
    HF_AUTO(buf) head = hf_buf_new();
    HF_AUTO_STRING destination = NULL;
    struct hf_store_state *state = &out->state;
    uint64_t seq = 0;

    hf_buf_init(&pulses.running);
    HF_TRY(feel_pulses(op, source, &pulses));
    HF_TRY(hf_engine_state(source, op, state, head));
    HF_TRY(hf_engine_snapshot(source, op, copies->source, &seq));
    if (seq != state->seq) {
        return hf_fail(op, HF_CONFLICT, "somebody writes to the store: stop all nodes first");
    }
    HF_TRY(make_target(op, migration, copies, &target, &out->counts));
    HF_TRY(await_silence(op, source, &pulses));
    destination = destination_of(migration, state);
    HF_TRY(hf_engine_retire(source, op, seq, destination));
    HF_TRY(hf_engine_settle(target, op));
    hf_engine_free(target);
    target = NULL;
    return check_end(op, migration, state, hf_buf_bytes(head));
}

static struct hf_status move(struct hf_op *op, const struct hf_migration *migration,
                             struct hf_engine *source, struct hf_migration_report *out)
{
    HF_AUTO_STRING from = hf_format("%s/from.db", migration->scratch);
    HF_AUTO_STRING to = hf_format("%s/to.db", migration->scratch);
    const struct copies copies = { from, to };
    struct hf_status status;

    HF_TRY(check_free(op, migration));
    /* Of a call that was killed. */
    hf_init_remove_tree(migration->scratch);
    if (mkdir(migration->scratch, 0700) != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make %s: %s", migration->scratch,
                       strerror(errno));
    }
    status = move_with(op, migration, source, &copies, out);
    hf_init_remove_tree(migration->scratch);
    return status;
}

/* --- a move whose source was retired already --- */

struct retired {
    uint8_t store_id[HF_STORE_ID_LEN];
    char why[HF_OP_TEXT_MAX]; /* what is told to whoever opens it */
};

static bool is_it(const struct retired *retired, const struct hf_store_state *state)
{
    return memcmp(retired->store_id, state->store_id, sizeof retired->store_id) == 0;
}

static struct hf_status settle_arrived(struct hf_op *op, const struct hf_migration *migration,
                                       const struct retired *retired,
                                       struct hf_migration_report *out)
{
    HF_AUTO(engine) target = NULL;
    struct hf_store_settings settings = *migration->to;

    settings.arriving = true;
    HF_TRY(open_engine(op, migration, &settings, &target));
    HF_TRY(hf_engine_state(target, op, &out->state, NULL));
    if (!is_it(retired, &out->state)) {
        return hf_fail(op, HF_EXISTS, "another store is on its way to %s", migration->to_words);
    }
    return hf_engine_settle(target, op);
}

static struct hf_status resume(struct hf_op *op, const struct hf_migration *migration,
                               struct hf_migration_report *out)
{
    struct retired retired;
    struct hf_status status;

    memcpy(retired.why, op->text, sizeof retired.why);
    hf_op_clear(op);
    HF_TRY(hf_engine_retired(op, migration->from, retired.store_id));
    out->resumed = true;
    hf_init_remove_tree(migration->scratch);
    status = settle_arrived(op, migration, &retired, out);
    if (status.code != HF_OK && status.code != HF_NOT_FOUND) {
        return status;
    }
    hf_op_clear(op);
    HF_TRY(read_state(op, migration, migration->to, &out->state, NULL));
    if (!is_it(&retired, &out->state)) {
        return hf_fail(op, HF_CONFLICT, "%s", retired.why);
    }
    return HF_SUCCESS;
}

struct hf_status hf_migrate(struct hf_op *op, const struct hf_migration *migration,
                            struct hf_migration_report *out)
{
    HF_AUTO(engine) source = NULL;
    struct hf_status status = open_engine(op, migration, migration->from, &source);

    memset(out, 0, sizeof *out);
    if (status.code == HF_CONFLICT) {
        return resume(op, migration, out);
    }
    HF_TRY(status);
    return move(op, migration, source, out);
}

struct hf_status hf_migrate_check(struct hf_op *op, const struct hf_migration *migration,
                                  struct hf_migration_report *out)
{
    memset(out, 0, sizeof *out);
    HF_TRY(read_state(op, migration, migration->from, &out->state, NULL));
    return check_free(op, migration);
}
