/* Following what another node commits: two seals over one store. */
#include "world.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The other node, straight on the store: nobody lies to it. */
static void open_other(struct world *world, struct world *other)
{
    *other = *world;
    hf_op_init(&other->op, &other->env);
    other->pin_file = NULL;
    other->engine = world->memory;
    assert_ok(&other->op,
              hf_seal_open(other->crypto, &other->op, other->engine, NULL, &other->seal));
    assert_ok(&other->op, world_unlock(other));
}

struct pair {
    struct world *world;
    struct world other;
    struct diary diary;
};

static void pair_open(struct pair *pair, void **state)
{
    pair->world = *state;
    diary_init(&pair->diary);
    diary_attach(&pair->diary, pair->world->seal, HF_KIND_KEY);
    open_other(pair->world, &pair->other);
}

static void pair_close(struct pair *pair)
{
    hf_seal_free(pair->other.seal);
    hf_seal_free(pair->world->seal);
    pair->world->seal = NULL;
    diary_done(&pair->diary);
}

static struct hf_status follow(struct world *world)
{
    uint64_t seq = 0;

    HF_TRY(hf_seal_follow(world->seal, &world->op, &seq));
    assert_int_equal(seq, hf_seal_seq(world->seal));
    return HF_SUCCESS;
}

static void put(struct world *world, const char *path, uint64_t expected, const char *text)
{
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, path, expected, text));
}

static void what_another_node_commits_is_told_at_the_next_look(void **state)
{
    struct pair pair;
    struct world *world = *state;

    pair_open(&pair, state);
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "");
    put(&pair.other, "key/a", 0, "a1");
    put(&pair.other, "key/b", 0, "b1");
    put(&pair.other, "key/a", 1, "a2");
    diary_expect(&pair.diary, "");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/b@1=b1 key/a@2=a2");
    assert_int_equal(hf_seal_seq(world->seal), 4);
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "");

    /* Both in turn, each building on the other's. */
    put(world, "key/a", 2, "a3");
    assert_ok(&pair.other.op, follow(&pair.other));
    put(&pair.other, "key/a", 3, "a4");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@3=a3 key/a@4=a4");
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    world_reopen(world);
    assert_ok(&world->op, world_unlock(world));
    pair_close(&pair);
}

static void a_rotation_of_the_root_is_followed(void **state)
{
    struct pair pair;
    struct world *world = *state;
    HF_AUTO(txn) begin = NULL;
    HF_AUTO(txn) end = NULL;
    struct hf_op *op;
    struct hf_txn_commit commit;
    bool done = false;

    pair_open(&pair, state);
    op = &pair.other.op;
    put(&pair.other, "key/m", 0, "m1");
    assert_ok(op, hf_txn_new(pair.other.seal, op, &begin));
    assert_ok(op, hf_seal_root_stage(pair.other.seal, op, begin, NULL));
    assert_ok(op, hf_txn_commit(begin, op, &commit));
    put(&pair.other, "key/a", 0, "a1");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/m@1=m1 key/a@1=a1");
    assert_int_equal(hf_seal_root_generation(world->seal), 2);
    while (!done) {
        assert_ok(op, hf_seal_root_move(pair.other.seal, op, 100, &done));
    }
    assert_ok(op, hf_txn_new(pair.other.seal, op, &end));
    assert_ok(op, hf_seal_root_end_stage(pair.other.seal, op, end));
    assert_ok(op, hf_txn_commit(end, op, &commit));
    put(&pair.other, "key/b", 0, "b1");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/m@2=m1 key/b@1=b1");
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    pair_close(&pair);
}

/* --- what is not followed --- */

static void put_with_note(struct world *world, const char *path)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
    assert_ok(&world->op, hf_txn_put(txn, &world->op, HF_KIND_KEY, path, 0, hf_bytes_of_text("x")));
    hf_txn_note(txn, hf_bytes_of_text("who and why"));
    assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
}

static void put_note_alone(struct world *world)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
    hf_txn_note(txn, hf_bytes_of_text("who and why"));
    assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
}

static void a_log_that_was_altered_is_not_followed(void **state)
{
    static const struct {
        const char *says;
        enum tamper_log how;
        uint64_t seq;
    } cases[] = {
        { "a digest", TAMPER_LOG_DIGEST, 2 },
        { "a link", TAMPER_LOG_LINK, 2 },
        { "a note", TAMPER_LOG_NOTE, 2 },
        { "a path", TAMPER_LOG_PATH, 2 },
        { "a commit left out", TAMPER_LOG_DROP, 2 },
        { "the last note", TAMPER_LOG_NOTE, 3 },
        { "the last commit left out", TAMPER_LOG_DROP, 3 },
    };
    struct pair pair;
    struct world *world = *state;

    pair_open(&pair, state);
    put_with_note(&pair.other, "key/a");
    put_note_alone(&pair.other);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;

        tamper_log(world->tamper, cases[i].seq, cases[i].how);
        status = follow(world);
        if (status.code != HF_CORRUPT || world->op.cause != HF_CAUSE_ALTERED) {
            fail_msg("%s: %s: %s", cases[i].says, hf_code_name(status.code), world->op.text);
        }
        diary_expect(&pair.diary,
                     cases[i].how == TAMPER_LOG_DROP && cases[i].seq == 3 ? "key/a@1=x" : "");
        tamper_reset(world->tamper);
    }
    assert_ok(&world->op, follow(world));
    assert_int_equal(hf_seal_seq(world->seal), 3);
    pair_close(&pair);
}

static struct hf_status get_known(struct world *world, const char *path)
{
    HF_AUTO(opened) opened = NULL;

    return hf_seal_get_known(world->seal, &world->op, HF_KIND_KEY, path, &opened);
}

static void expect_damaged(void *context, const struct hf_damaged *record)
{
    (void)context;
    assert_string_equal(record->path, "key/a");
    assert_int_equal(record->revision, 2);
    assert_int_equal(record->seq, 3);
}

/* What a later commit brings is not missed; what none brings is. */
static void a_record_that_was_taken_away_counts_as_damaged(void **state)
{
    struct pair pair;
    struct world *world = *state;

    pair_open(&pair, state);
    put(&pair.other, "key/a", 0, "a1");
    assert_ok(&world->op, follow(world));
    put(&pair.other, "key/a", 1, "a2");
    put(&pair.other, "key/b", 0, "b1");
    tamper_log(world->tamper, 3, TAMPER_LOG_NO_BODY);
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@1=a1 key/b@1=b1");
    assert_int_equal(hf_seal_damage(world->seal, expect_damaged, NULL), 1);
    /* That it opens is no news to the consumers. */
    assert_ok(&world->op, get_known(world, "key/a"));
    assert_int_equal(hf_seal_harm(world->seal, "key/a"), HF_HARM_UNTOLD);
    put(&pair.other, "key/a", 2, "a3");
    put(&pair.other, "key/a", 3, "a4");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@4=a4");
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    pair_close(&pair);
}

static void a_store_that_went_back_in_time_is_not_followed(void **state)
{
    struct pair pair;
    struct world *world = *state;
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state store;

    pair_open(&pair, state);
    put(&pair.other, "key/a", 0, "a1");
    assert_ok(&world->op, follow(world));
    assert_ok(&world->op, hf_engine_state(world->memory, &world->op, &store, head));
    put(&pair.other, "key/a", 1, "a2");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@1=a1 key/a@2=a2");
    tamper_head(world->tamper, store.seq, hf_buf_bytes(head));
    assert_fails(&world->op, follow(world), HF_WRONG_STATE);
    assert_non_null(strstr(world->op.text, "went back in time: it stands at commit 2"));
    /* Nor is an old head believed in the place of a newer one. */
    tamper_head(world->tamper, 3, hf_buf_bytes(head));
    assert_fails(&world->op, follow(world), HF_CORRUPT);
    put(&pair.other, "key/a", 2, "a3");
    tamper_head(world->tamper, 4, hf_buf_bytes(head));
    assert_fails(&world->op, follow(world), HF_CORRUPT);
    diary_expect(&pair.diary, "");
    tamper_reset(world->tamper);
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@3=a3");
    pair_close(&pair);
}

/* --- a log that was cut --- */

static void without_the_log_all_records_are_read_and_the_new_ones_told(void **state)
{
    struct pair pair;
    struct world *world = *state;

    pair_open(&pair, state);
    put(world, "key/old", 0, "o1");
    diary_expect(&pair.diary, "key/old@1=o1");
    assert_ok(&pair.other.op, follow(&pair.other));
    put(&pair.other, "key/z", 0, "z1");
    put(&pair.other, "key/a", 0, "a1");
    put(&pair.other, "key/z", 1, "z2");
    assert_ok(&world->op, hf_engine_forget(world->memory, &world->op, 5));

    /* A record that is gone, or an old one in the place of a new one, is seen. */
    tamper_hide(world->tamper, "key/old");
    assert_fails(&world->op, follow(world), HF_CORRUPT);
    tamper_reset(world->tamper);
    diary_expect(&pair.diary, "");
    assert_int_equal(hf_seal_seq(world->seal), 2);

    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@1=a1 key/z@2=z2");
    assert_int_equal(hf_seal_seq(world->seal), 5);
    put(&pair.other, "key/a", 1, "a2");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@2=a2");
    pair_close(&pair);
}

static struct hf_status commit_one_more(void *context)
{
    struct pair *pair = context;

    tamper_during_list(pair->world->tamper, 0, NULL, NULL);
    put(&pair->other, "key/during", 0, "d1");
    return HF_SUCCESS;
}

static void what_is_committed_while_all_records_are_read_is_told_too(void **state)
{
    struct pair pair;
    struct world *world = *state;

    pair_open(&pair, state);
    put(&pair.other, "key/a", 0, "a1");
    put(&pair.other, "key/b", 0, "b1");
    assert_ok(&world->op, hf_engine_forget(world->memory, &world->op, 3));
    tamper_during_list(world->tamper, 0, commit_one_more, &pair);
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@1=a1 key/b@1=b1 key/during@1=d1");
    assert_int_equal(hf_seal_seq(world->seal), 4);
    pair_close(&pair);
}

/* --- calls that fail --- */

static void a_look_that_fails_tells_nothing_twice(void **state)
{
    struct pair pair;
    struct world *world = *state;
    bool failed = true;

    pair_open(&pair, state);
    put(&pair.other, "key/a", 0, "a1");
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@1=a1");
    for (uint64_t at = 1; failed; at++) {
        char wanted[64];
        struct hf_status status;

        put(&pair.other, "key/a", at, "next");
        /* Every second time the log is gone. */
        if (at % 2 == 0) {
            assert_ok(&world->op, hf_engine_forget(world->memory, &world->op, at + 3));
        }
        hf_failing_set(world->engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, (at + 1) / 2);
        status = follow(world);
        failed = hf_failing_faults(world->engine) > 0 || at % 2 == 1;
        hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
        assert_true(status.code == HF_OK || hf_failing_calls(world->engine) == 0);
        assert_ok(&world->op, follow(world));
        (void)snprintf(wanted, sizeof wanted, "key/a@%" PRIu64 "=next", at + 1);
        diary_expect(&pair.diary, wanted);
    }
    pair_close(&pair);
}

/* --- with a mirror under the seal --- */

/* The world's store is behind a mirror from now on; the tampering engine lies to the mirror. */
static void put_mirror_under(struct world *world)
{
    HF_AUTO_STRING directory = hf_format("%s/mirror", world->directory);
    struct hf_mirror_guard guard;

    hf_seal_free(world->seal);
    world->seal = NULL;
    assert_ok(&world->op, hf_mirror_new(&world->op, world->engine, directory, &world->engine));
    world_reopen(world);
    guard = hf_seal_guard(world->seal);
    hf_mirror_set_guard(world->engine, &guard);
    assert_ok(&world->op, world_unlock(world));
}

static void a_mirror_copies_nothing_that_is_not_chained(void **state)
{
    static const enum tamper_log lies[] = { TAMPER_LOG_DIGEST, TAMPER_LOG_LINK, TAMPER_LOG_NOTE,
                                            TAMPER_LOG_PATH };
    struct world *world = *state;
    struct pair pair;
    struct hf_mirror_info info;
    uint64_t seq = 0;

    put_mirror_under(world);
    pair_open(&pair, state);
    put_with_note(&pair.other, "key/a");
    put_note_alone(&pair.other);
    for (size_t i = 0; i < HF_COUNT(lies); i++) {
        tamper_log(world->tamper, 2, lies[i]);
        assert_fails(&world->op, hf_mirror_follow(world->engine, &world->op, &seq), HF_WRONG_STATE);
        assert_non_null(strstr(world->op.text, "the change log is altered at commit 2"));
        assert_true(hf_mirror_info(world->engine, &info));
        assert_int_equal(info.seq, 1);
        assert_int_equal(info.problem, HF_MIRROR_REFUSED);
        assert_ok(&world->op, follow(world));
        diary_expect(&pair.diary, "");
    }
    tamper_log(world->tamper, 3, TAMPER_LOG_NOTE);
    assert_fails(&world->op, hf_mirror_follow(world->engine, &world->op, &seq), HF_WRONG_STATE);
    tamper_reset(world->tamper);
    assert_ok(&world->op, hf_mirror_follow(world->engine, &world->op, &seq));
    assert_int_equal(seq, 3);
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@1=x");
    put(world, "key/a", 1, "a2");
    diary_expect(&pair.diary, "key/a@2=a2");
    hf_mirror_set_guard(world->engine, NULL);
    pair_close(&pair);
}

static void a_rotation_of_the_root_passes_the_guard(void **state)
{
    struct world *world = *state;
    struct pair pair;
    HF_AUTO(txn) begin = NULL;
    struct hf_txn_commit commit;
    uint64_t seq = 0;

    put_mirror_under(world);
    pair_open(&pair, state);
    assert_ok(&pair.other.op, hf_txn_new(pair.other.seal, &pair.other.op, &begin));
    assert_ok(&pair.other.op, hf_seal_root_stage(pair.other.seal, &pair.other.op, begin, NULL));
    assert_ok(&pair.other.op, hf_txn_commit(begin, &pair.other.op, &commit));
    put(&pair.other, "key/a", 0, "a1");
    put(world, "key/b", 0, "b1");
    diary_expect(&pair.diary, "key/a@1=a1 key/b@1=b1");
    put(&pair.other, "key/a", 1, "a2");
    assert_ok(&world->op, hf_mirror_follow(world->engine, &world->op, &seq));
    assert_ok(&world->op, follow(world));
    diary_expect(&pair.diary, "key/a@2=a2");
    hf_mirror_set_guard(world->engine, NULL);
    pair_close(&pair);
}

static uint64_t copies_of(struct world *world)
{
    struct hf_mirror_info info;

    assert_true(hf_mirror_info(world->engine, &info));
    return info.copies;
}

/* Somebody else, or a disk, takes a record out of the mirror's copy while it serves. */
static void lose(struct world *world, const char *path)
{
    HF_AUTO_STRING file = hf_format("%s/mirror/store.db", world->directory);
    HF_AUTO_STRING sql = hf_format("DELETE FROM record WHERE path = '%s'", path);
    sqlite3 *connection = NULL;

    assert_int_equal(sqlite3_open_v2(file, &connection, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(connection), 1);
    assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

/* What the copy has lost is there again; what the store has lost is told, and not sought again. */
static void a_copy_that_has_lost_a_record_is_made_anew(void **state)
{
    struct world *world = *state;
    HF_AUTO(opened) opened = NULL;
    uint64_t copies;

    put_mirror_under(world);
    put(world, "key/a", 0, "a1");
    put(world, "key/b", 0, "b1");
    copies = copies_of(world);
    lose(world, "key/a");
    assert_fails(&world->op, hf_seal_get(world->seal, &world->op, HF_KIND_KEY, "key/a", &opened),
                 HF_NOT_FOUND);
    assert_ok(&world->op, get_known(world, "key/a"));
    assert_int_equal(copies_of(world), copies + 1);
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);

    for (int i = 0; i < 2; i++) {
        assert_fails(&world->op, get_known(world, "key/never"), HF_CORRUPT);
        assert_int_equal(world->op.cause, HF_CAUSE_ALTERED);
        assert_int_equal(copies_of(world), copies + 2);
    }
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 1);
    assert_int_equal(hf_seal_harm(world->seal, "key/never"), HF_HARM_MISSED);
    assert_int_equal(hf_seal_harm(world->seal, "key/a"), HF_HARM_NONE);
    assert_ok(&world->op, get_known(world, "key/a"));
    hf_mirror_set_guard(world->engine, NULL);
}

/* Another node may have it, and this one too, later: nothing is called damaged. */
static void what_no_copy_can_be_made_of_is_unavailable(void **state)
{
    struct world *world = *state;
    struct hf_engine *behind = world->engine;

    put_mirror_under(world);
    put(world, "key/a", 0, "a1");
    lose(world, "key/a");
    hf_failing_set(behind, HF_FAULT_BEFORE, HF_UNAVAILABLE, 1);
    assert_fails(&world->op, get_known(world, "key/a"), HF_UNAVAILABLE);
    assert_non_null(strstr(world->op.text, "has lost key/a"));
    assert_non_null(strstr(world->op.text, "could not be made anew"));
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 0);
    hf_failing_set(behind, HF_FAULT_NONE, HF_OK, 0);
    assert_ok(&world->op, get_known(world, "key/a"));
    hf_mirror_set_guard(world->engine, NULL);
}

static void a_store_of_its_own_that_has_lost_a_record_says_so(void **state)
{
    struct world *world = *state;

    put(world, "key/a", 0, "a1");
    tamper_hide(world->tamper, "key/a");
    assert_fails(&world->op, get_known(world, "key/a"), HF_CORRUPT);
    assert_int_equal(world->op.cause, HF_CAUSE_ALTERED);
    assert_int_equal(hf_seal_harm(world->seal, "key/a"), HF_HARM_MISSED);
    tamper_reset(world->tamper);
    assert_ok(&world->op, get_known(world, "key/a"));
    assert_int_equal(hf_seal_harm(world->seal, "key/a"), HF_HARM_NONE);
}

/* --- many threads on two nodes --- */

#define ROUNDS 80
#define PATHS  4

/* What one node was told of each path, and whether it was told in order. */
struct told {
    _Atomic uint64_t revision[PATHS];
    _Atomic uint64_t last_seq;
    atomic_uint faults;
};

static struct hf_status told_apply(void *context, struct hf_op *op,
                                   const struct hf_opened_view *record)
{
    struct told *told = context;
    size_t at = (size_t)(record->path[strlen("key/")] - '0');

    (void)op;
    if (record->revision <= atomic_load(&told->revision[at]) ||
        record->seq < atomic_load(&told->last_seq)) {
        atomic_fetch_add(&told->faults, 1);
    }
    atomic_store(&told->revision[at], record->revision);
    atomic_store(&told->last_seq, record->seq);
    return HF_SUCCESS;
}

struct hand {
    pthread_t thread;
    struct world *world;
    struct told *told;
    size_t path;
    atomic_bool *stop; /* of one who follows */
    unsigned failures;
};

/* One revision after another, repeated when the other node was first. */
static void *write_rounds(void *context)
{
    struct hand *hand = context;
    struct world own = *hand->world;
    char path[16];

    hf_op_init(&own.op, &own.env);
    (void)snprintf(path, sizeof path, "key/%zu", hand->path);
    for (unsigned done = 0; done < ROUNDS;) {
        uint64_t revision = atomic_load(&hand->told->revision[hand->path]);
        struct hf_status status = world_put(&own, HF_KIND_KEY, path, revision, "text");

        if (status.code == HF_CONFLICT) {
            uint64_t seq = 0;

            status = hf_seal_follow(own.seal, &own.op, &seq);
        } else {
            done++;
        }
        hand->failures += status.code != HF_OK;
    }
    return NULL;
}

static void *follow_always(void *context)
{
    struct hand *hand = context;
    struct hf_op op;

    hf_op_init(&op, &hand->world->env);
    while (!atomic_load(hand->stop)) {
        uint64_t seq = 0;

        hand->failures += hf_seal_follow(hand->world->seal, &op, &seq).code != HF_OK;
    }
    return NULL;
}

static void two_nodes_are_told_the_same_in_the_same_order(void **state)
{
    static struct told told[2];
    struct world *worlds[2] = { *state, NULL };
    struct hand writers[2 * PATHS];
    struct hand followers[2];
    struct world other;
    atomic_bool stop;

    atomic_init(&stop, false);
    open_other(worlds[0], &other);
    worlds[1] = &other;
    for (size_t i = 0; i < 2; i++) {
        hf_seal_add_consumer(
            worlds[i]->seal,
            &(struct hf_consumer){ .kind = HF_KIND_KEY, .apply = told_apply, .context = &told[i] });
        followers[i] = (struct hand){ .world = worlds[i], .stop = &stop };
        assert_int_equal(pthread_create(&followers[i].thread, NULL, follow_always, &followers[i]),
                         0);
    }
    for (size_t i = 0; i < HF_COUNT(writers); i++) {
        writers[i] = (struct hand){ .world = worlds[i % 2], .told = &told[i % 2], .path = i / 2 };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_rounds, &writers[i]), 0);
    }
    for (size_t i = 0; i < HF_COUNT(writers); i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].failures, 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(followers[i].thread, NULL), 0);
        assert_int_equal(followers[i].failures, 0);
        assert_ok(&worlds[i]->op, follow(worlds[i]));
        assert_int_equal(atomic_load(&told[i].faults), 0);
        for (size_t path = 0; path < PATHS; path++) {
            assert_int_equal(atomic_load(&told[i].revision[path]), 2 * ROUNDS);
        }
    }
    hf_seal_free(other.seal);
    hf_seal_free(worlds[0]->seal);
    worlds[0]->seal = NULL;
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(what_another_node_commits_is_told_at_the_next_look),
        WORLD(a_rotation_of_the_root_is_followed),
        WORLD(a_log_that_was_altered_is_not_followed),
        WORLD(a_record_that_was_taken_away_counts_as_damaged),
        WORLD(a_store_that_went_back_in_time_is_not_followed),
        WORLD(without_the_log_all_records_are_read_and_the_new_ones_told),
        WORLD(what_is_committed_while_all_records_are_read_is_told_too),
        WORLD(a_look_that_fails_tells_nothing_twice),
        WORLD(a_mirror_copies_nothing_that_is_not_chained),
        WORLD(a_rotation_of_the_root_passes_the_guard),
        WORLD(a_copy_that_has_lost_a_record_is_made_anew),
        WORLD(what_no_copy_can_be_made_of_is_unavailable),
        WORLD(a_store_of_its_own_that_has_lost_a_record_says_so),
        WORLD(two_nodes_are_told_the_same_in_the_same_order),
    };

    world_start_process((size_t)8 << 20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
