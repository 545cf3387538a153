/* Transactions: all or nothing, once per request, told to consumers in order. */
#include "plain_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* docs/formats/head.md */
static const char request_vector[] =
    "6339eba22df771ad99b599d0934436cfd182ed6ed0e69e20234802402782e338";

static struct hf_status put(struct hf_txn *txn, struct hf_op *op, const char *path,
                            uint64_t expected, const char *text)
{
    return hf_txn_put(txn, op, HF_KIND_KEY, path, expected, hf_bytes_of_text(text));
}

static struct hf_txn *begin(struct world *world)
{
    struct hf_txn *txn = NULL;

    assert_ok(&world->op, hf_txn_new(world->seal, &world->op, &txn));
    return txn;
}

/* Another node's seal over the same store. */
static void open_second(struct world *world, struct world *second)
{
    *second = *world;
    hf_op_init(&second->op, &second->env);
    second->pin_file = NULL;
    assert_ok(&second->op,
              hf_seal_open(second->crypto, &second->op, second->engine, NULL, &second->seal));
    assert_ok(&second->op, world_unlock(second));
}

static void all_changes_happen_or_none(void **state)
{
    struct world *world = *state;
    HF_AUTO(txn) good = begin(world);
    HF_AUTO(txn) bad = begin(world);
    struct hf_txn_commit commit;
    HF_AUTO(opened) opened = NULL;
    struct hf_op *op = &world->op;

    assert_ok(op, put(good, op, "key/a", 0, "a1"));
    assert_ok(op, put(good, op, "key/b", 0, "b1"));
    assert_ok(op, hf_txn_commit(good, op, &commit));
    assert_false(commit.repeated);
    assert_int_equal(commit.seq, 2);
    assert_null(commit.result);

    assert_ok(op, put(bad, op, "key/c", 0, "c1"));
    assert_ok(op, put(bad, op, "key/a", 0, "a again"));
    assert_fails(op, hf_txn_commit(bad, op, &commit), HF_CONFLICT);
    assert_fails(op, hf_seal_get(world->seal, op, HF_KIND_KEY, "key/c", &opened), HF_NOT_FOUND);
    world_expect(world, HF_KIND_KEY, "key/a", 1, "a1");
    world_expect(world, HF_KIND_KEY, "key/b", 1, "b1");
    assert_int_equal(hf_seal_seq(world->seal), 2);
}

static void consumers_are_told_after_the_commit_and_only_of_their_kind(void **state)
{
    struct world *world = *state;
    HF_AUTO(txn) txn = begin(world);
    HF_AUTO(txn) bury = begin(world);
    HF_AUTO(txn) conflict = begin(world);
    struct hf_txn_commit commit;
    struct diary diary;
    struct hf_op *op = &world->op;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    assert_ok(op, put(txn, op, "key/a", 0, "a1"));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_POLICY, "policy/p", 0, hf_bytes_of_text("p")));
    assert_ok(op, put(txn, op, "key/b", 0, ""));
    diary_expect(&diary, "");
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    diary_expect(&diary, "key/a@1=a1 key/b@1=");
    assert_ok(op, hf_txn_bury(bury, op, HF_KIND_KEY, "key/a", 1, hf_bytes_of_text("left")));
    assert_ok(op, hf_txn_commit(bury, op, &commit));
    diary_expect(&diary, "key/a@2-left");
    assert_ok(op, put(conflict, op, "key/a", 1, "lost"));
    assert_fails(op, hf_txn_commit(conflict, op, &commit), HF_CONFLICT);
    diary_expect(&diary, "");
    assert_ok(op, world_put(world, HF_KIND_KEY, "key/a", 2, "back"));
    diary_expect(&diary, "key/a@3=back");
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

/* One attempt at making key/a under request 1; out_result gets what a repeat is told. */
static struct hf_status make_a(struct world *world, const char *principal, const char *asked,
                               const char *result, struct hf_txn_commit *out)
{
    HF_AUTO(txn) txn = begin(world);

    world->op.request_id = request(1);
    HF_TRY(put(txn, &world->op, "key/a", 0, result));
    hf_txn_result(txn, hf_bytes_of_text(result));
    hf_txn_asked(txn, principal, hf_bytes_of_text(asked));
    return hf_txn_commit(txn, &world->op, out);
}

static void a_repeat_is_told_what_the_first_was(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit first;
    struct hf_txn_commit again;
    struct diary diary;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "version 1", &first));
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "version 2", &again));
    assert_false(first.repeated);
    assert_true(again.repeated);
    assert_int_equal(first.seq, again.seq);
    assert_true(hf_bytes_equal_text(hf_secret_bytes(again.result), "version 1"));
    world_expect(world, HF_KIND_KEY, "key/a", 1, "version 1");
    diary_expect(&diary, "key/a@1=version 1");
    hf_secret_free(again.result);
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

static void a_repeat_without_a_result_is_told_so(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit commit;

    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "", &commit));
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "", &commit));
    assert_true(commit.repeated);
    assert_null(commit.result);
}

static void another_request_under_the_same_id_is_refused(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit commit;

    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "x", &commit));
    assert_fails(&world->op, make_a(world, "cert:alice", "create b", "x", &commit), HF_CONFLICT);
    assert_fails(&world->op, make_a(world, "cert:mallory", "create a", "x", &commit), HF_CONFLICT);
}

/* The store keeps it in the clear, so it is keyed; the bytes are documented. */
static void the_digest_of_a_request_is_as_documented(void **state)
{
    struct plain_world *plain = *state;
    struct world world = { .env = plain->env, .op = plain->op, .crypto = plain->crypto };
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    world_new_engine(&world, 0xa0);
    plain->seal->engine = world.engine;
    hf_feed_start(&plain->seal->feed, &(struct hf_head){ 0 });
    assert_ok(&plain->op, hf_txn_new(plain->seal, &plain->op, &txn));
    hf_txn_asked(txn, "cert:alice", hf_bytes_of_text("rotate orders"));
    assert_ok(&plain->op, put(txn, &plain->op, "key/a", 0, "x"));
    assert_ok(&plain->op, hf_txn_commit(txn, &plain->op, &commit));
    expect_hex("request", hf_bytes_of(tamper_last_digest(world.tamper), HF_DIGEST_LEN),
               request_vector);
    hf_engine_free(world.engine);
}

/* A commit that happened though its answer was lost is the caller's own, not a repeat. */
static void a_lost_answer_is_found_by_asking_again(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit commit;
    struct diary diary;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "version 1", &commit));
    assert_int_equal(hf_failing_faults(world->engine), 1);
    assert_int_equal(hf_failing_calls(world->engine), 2);
    assert_false(commit.repeated);
    assert_int_equal(commit.seq, 2);
    diary_expect(&diary, "key/a@1=version 1");
    assert_string_equal(world->op.text, "");
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

static void a_request_that_did_not_happen_is_made_again(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit commit;

    hf_failing_set(world->engine, HF_FAULT_BEFORE, HF_IN_DOUBT, 1);
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "version 1", &commit));
    assert_false(commit.repeated);
    world_expect(world, HF_KIND_KEY, "key/a", 1, "version 1");
}

static void lose_every_answer(void *context)
{
    struct world *world = context;

    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    tamper_before_apply(world->tamper, lose_every_answer, world);
}

static void a_doubt_ends_at_the_deadline_and_memory_follows_the_store(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit commit;
    struct diary diary;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    lose_every_answer(world);
    world->op.deadline_ms = hf_env_boottime_ms(&world->env) + 50;
    assert_fails(&world->op, make_a(world, "cert:alice", "create a", "version 1", &commit),
                 HF_IN_DOUBT);
    assert_non_null(strstr(world->op.text, "ab010000"));
    world->op.deadline_ms = 0;
    tamper_before_apply(world->tamper, NULL, NULL);
    hf_failing_set(world->engine, HF_FAULT_NONE, HF_OK, 0);
    diary_expect(&diary, "");

    /* It did happen: what pins the head every second brings it to the consumers. */
    assert_ok(&world->op, hf_seal_pin(world->seal, &world->op));
    diary_expect(&diary, "key/a@1=version 1");
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "version 1", &commit));
    assert_true(commit.repeated);
    diary_expect(&diary, "");
    hf_secret_free(commit.result);
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

/* While a commit is in doubt, another one goes through and does not wait for it. */
struct other_commit {
    struct world world;
    bool done;
};

static void commit_another(void *context)
{
    struct other_commit *other = context;

    assert_ok(&other->world.op, world_put(&other->world, HF_KIND_KEY, "key/b", 0, "b1"));
    other->done = true;
}

static void lose_one_answer_then_commit_another(void *context)
{
    struct other_commit *other = context;

    tamper_before_apply(other->world.tamper, commit_another, other);
}

static void a_doubt_holds_up_nobody_else(void **state)
{
    struct world *world = *state;
    struct other_commit other = { .world = *world };
    struct hf_txn_commit commit;
    struct diary diary;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    hf_op_init(&other.world.op, &other.world.env);
    /* The first try commits and loses its answer; the other commit comes before the second try. */
    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    tamper_before_apply(world->tamper, lose_one_answer_then_commit_another, &other);
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "version 1", &commit));
    assert_true(other.done);
    assert_true(commit.seq == 2 && !commit.repeated);
    assert_int_equal(hf_seal_seq(world->seal), 3);
    diary_expect(&diary, "key/a@1=version 1 key/b@1=b1");
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

static void what_another_node_committed_comes_first(void **state)
{
    struct world *world = *state;
    struct world second;
    struct hf_txn_commit commit;
    struct diary diary;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    open_second(world, &second);
    assert_ok(&second.op, world_put(&second, HF_KIND_KEY, "key/x", 0, "x1"));
    assert_ok(&second.op, world_put(&second, HF_KIND_KEY, "key/y", 0, "y1"));
    assert_ok(&second.op, world_put(&second, HF_KIND_KEY, "key/x", 1, "x2"));
    diary_expect(&diary, "");
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/z", 0, "z1"));
    diary_expect(&diary, "key/y@1=y1 key/x@2=x2 key/z@1=z1");

    /* A repeat of what another node did brings it here, too. */
    assert_ok(&second.op, make_a(&second, "cert:alice", "create a", "by second", &commit));
    assert_ok(&world->op, make_a(world, "cert:alice", "create a", "by first", &commit));
    assert_true(commit.repeated);
    assert_true(hf_bytes_equal_text(hf_secret_bytes(commit.result), "by second"));
    diary_expect(&diary, "key/a@1=by second");
    hf_secret_free(commit.result);
    hf_seal_free(second.seal);
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

/* One record that does not open must not stop those behind it. */
static void an_altered_record_in_the_feed_is_told_and_passed_over(void **state)
{
    struct world *world = *state;
    struct world second;
    struct diary diary;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    open_second(world, &second);
    assert_ok(&second.op, world_put(&second, HF_KIND_KEY, "key/x", 0, "x1"));
    assert_ok(&second.op, world_put(&second, HF_KIND_KEY, "key/y", 0, "y1"));
    tamper_log(world->tamper, 2, TAMPER_LOG_BODY);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/z", 0, "z1"));
    diary_expect(&diary, "key/y@1=y1 key/z@1=z1");
    assert_int_equal(hf_seal_damage(world->seal, NULL, NULL), 1);
    assert_int_equal(hf_seal_seq(world->seal), 4);
    hf_seal_free(second.seal);
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

/* An engine takes anything, but nobody builds on it. */
static void a_commit_outside_of_the_chain_is_not_followed(void **state)
{
    struct world *world = *state;
    struct diary diary;
    struct hf_change junk = { .path = "key/junk", .body = hf_bytes_of_text("not sealed") };
    struct hf_batch batch = { .request_id = request(9), .changes = &junk, .count = 1 };
    struct hf_commit commit;

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    /* Without a linker the head stays that of the commit before. */
    hf_commit_init(&commit);
    assert_ok(&world->op, hf_engine_apply(world->memory, &world->op, &batch, &commit));
    hf_commit_done(&commit);
    assert_fails(&world->op, hf_feed_catch_up(world->seal, world->seal->unlocked, &world->op, 2),
                 HF_IN_DOUBT);
    assert_non_null(strstr(world->op.text, "the change log is altered at commit 2"));
    assert_int_equal(hf_seal_seq(world->seal), 1);
    diary_expect(&diary, "");
    assert_fails(&world->op, world_put(world, HF_KIND_KEY, "key/z", 0, "z1"), HF_CORRUPT);
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

static struct hf_status refuse(void *context, struct hf_op *op, const struct hf_opened_view *record)
{
    (void)context;
    if (strcmp(record->path, "key/odd") == 0) {
        return hf_fail(op, HF_UNSUPPORTED, "an odd key");
    }
    return HF_SUCCESS;
}

static void a_consumer_that_fails_is_heard_and_holds_nobody_up(void **state)
{
    struct world *world = *state;
    struct hf_consumer consumer = { .kind = HF_KIND_KEY, .apply = refuse };
    struct diary diary;

    diary_init(&diary);
    hf_seal_add_consumer(world->seal, &consumer);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    assert_fails(&world->op, world_put(world, HF_KIND_KEY, "key/odd", 0, "o"), HF_UNSUPPORTED);
    assert_ok(&world->op, world_put(world, HF_KIND_KEY, "key/even", 0, "e"));
    diary_expect(&diary, "key/odd@1=o key/even@1=e");
    world_expect(world, HF_KIND_KEY, "key/odd", 1, "o");
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

static void a_thread_that_may_not_wait_is_told_to_come_later(void **state)
{
    struct world *world = *state;
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(txn) txn = begin(world);
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    op->may_wait = false;
    assert_fails(op, hf_seal_get(world->seal, op, HF_KIND_KEY, "key/a", &opened), HF_LATER);
    assert_ok(op, put(txn, op, "key/a", 0, "x"));
    assert_fails(op, hf_txn_commit(txn, op, &commit), HF_LATER);
    op->may_wait = true;
    assert_ok(op, hf_txn_commit(txn, op, &commit));
}

static void a_record_that_is_too_large_is_refused_when_it_is_staged(void **state)
{
    struct world *world = *state;
    HF_AUTO(txn) txn = begin(world);
    HF_AUTO(buf) big = hf_buf_new();

    memset(hf_buf_reserve(big, HF_CONTENT_MAX + 1), 1, HF_CONTENT_MAX + 1);
    hf_buf_grew(big, HF_CONTENT_MAX + 1);
    assert_fails(&world->op,
                 hf_txn_put(txn, &world->op, HF_KIND_KEY, "key/a", 0, hf_buf_bytes(big)),
                 HF_TOO_LARGE);
}

/* --- asking about requests --- */

static void a_request_that_happened_is_recalled(void **state)
{
    struct world *world = *state;
    struct world second;
    struct hf_txn_commit commit;
    struct diary diary;
    struct hf_op *op = &world->op;
    struct hf_bytes asked = hf_bytes_of_text("create a");

    diary_init(&diary);
    diary_attach(&diary, world->seal, HF_KIND_KEY);
    open_second(world, &second);
    op->request_id = request(1);
    assert_fails(op, hf_seal_recall(world->seal, op, "cert:alice", asked, &commit), HF_NOT_FOUND);
    assert_ok(&second.op, make_a(&second, "cert:alice", "create a", "version 1", &commit));
    assert_fails(op, hf_seal_recall(world->seal, op, "cert:mallory", asked, &commit), HF_CONFLICT);
    assert_fails(op, hf_seal_recall(world->seal, op, "cert:alice", HF_BYTES_NONE, &commit),
                 HF_CONFLICT);
    diary_expect(&diary, "");
    assert_ok(op, hf_seal_recall(world->seal, op, "cert:alice", asked, &commit));
    assert_true(commit.repeated && commit.seq == 2);
    assert_true(hf_bytes_equal_text(hf_secret_bytes(commit.result), "version 1"));
    diary_expect(&diary, "key/a@1=version 1");
    hf_secret_free(commit.result);
    hf_seal_free(second.seal);
    hf_seal_free(world->seal);
    world->seal = NULL;
    diary_done(&diary);
}

static void the_id_of_a_request_is_found_by_what_was_asked(void **state)
{
    struct world *world = *state;
    struct hf_txn_commit commit;
    struct hf_request_id found = { { 0 } };
    struct hf_request_id wanted = request(1);
    struct hf_op *op = &world->op;
    struct hf_bytes asked = hf_bytes_of_text("create a");

    assert_ok(op, make_a(world, "cert:alice", "create a", "version 1", &commit));
    assert_ok(op, hf_seal_find_request(world->seal, op, "cert:alice", asked, 0, 0, &found));
    assert_memory_equal(&found, &wanted, sizeof found);
    assert_fails(op, hf_seal_find_request(world->seal, op, "cert:bob", asked, 0, 0, &found),
                 HF_NOT_FOUND);
    assert_fails(op, hf_seal_find_request(world->seal, op, "cert:alice", asked, 0, 1, &found),
                 HF_NOT_FOUND);
    assert_fails(op, hf_seal_find_request(world->seal, op, NULL, asked, 0, 0, &found),
                 HF_NOT_FOUND);
}

/* --- notes --- */

static void commit_with_note(struct world *world, const char *path, const char *note)
{
    HF_AUTO(txn) txn = begin(world);
    struct hf_txn_commit commit;

    assert_ok(&world->op, put(txn, &world->op, path, 0, "x"));
    if (note != NULL) {
        hf_txn_note(txn, hf_bytes_of_text(note));
    }
    assert_ok(&world->op, hf_txn_commit(txn, &world->op, &commit));
}

static struct hf_status write_note(void *context, uint64_t seq, uint64_t realtime_ms,
                                   struct hf_bytes note)
{
    assert_true(realtime_ms > 1600000000000);
    hf_buf_add_format(context, "%" PRIu64 ":%.*s ", seq, (int)note.len, (const char *)note.data);
    return HF_SUCCESS;
}

static struct hf_status notes_after(struct world *world, uint64_t from, size_t max,
                                    struct hf_buf *out)
{
    hf_buf_clear(out);
    return hf_seal_notes(world->seal, &world->op, from, max, write_note, out);
}

static void notes_come_back_in_order(void **state)
{
    struct world *world = *state;
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_op *op = &world->op;

    commit_with_note(world, "key/a", "first");
    commit_with_note(world, "key/b", NULL);
    commit_with_note(world, "key/c", "second");
    commit_with_note(world, "key/d", "third");
    assert_ok(op, notes_after(world, 0, 10, text));
    assert_string_equal(hf_buf_text(text), "1: 2:first 3: 4:second 5:third ");
    assert_ok(op, notes_after(world, 2, 2, text));
    assert_string_equal(hf_buf_text(text), "3: 4:second ");
    assert_ok(op, notes_after(world, 4, 10, text));
    assert_string_equal(hf_buf_text(text), "5:third ");
    assert_ok(op, notes_after(world, 5, 10, text));
    assert_string_equal(hf_buf_text(text), "");
    assert_ok(op, notes_after(world, 0, 0, text));
    assert_string_equal(hf_buf_text(text), "");

    tamper_log(world->tamper, 4, TAMPER_LOG_NOTE);
    assert_fails(op, notes_after(world, 1, 10, text), HF_CORRUPT);
    assert_string_equal(hf_buf_text(text), "2:first 3: ");
    tamper_reset(world->tamper);
    assert_ok(op, hf_engine_forget(world->engine, op, 4));
    assert_fails(op, notes_after(world, 0, 10, text), HF_NOT_FOUND);
    assert_ok(op, notes_after(world, 3, 10, text));
    assert_string_equal(hf_buf_text(text), "4:second 5:third ");
}

static struct hf_status count_note(void *context, uint64_t seq, uint64_t realtime_ms,
                                   struct hf_bytes note)
{
    uint64_t *last = context;

    (void)realtime_ms;
    assert_int_equal(seq, *last + 1);
    assert_int_equal(note.len, seq % 100 == 0 ? 4 : 0);
    *last = seq;
    return HF_SUCCESS;
}

static void more_notes_than_one_look_into_the_log_holds_come_back(void **state)
{
    struct world *world = *state;
    uint64_t last = 1;

    for (int i = 2; i <= 600; i++) {
        HF_AUTO_STRING path = hf_format("key/%d", i);

        commit_with_note(world, path, i % 100 == 0 ? "note" : NULL);
    }
    assert_ok(&world->op, hf_seal_notes(world->seal, &world->op, 1, 500, count_note, &last));
    assert_int_equal(last, 501);
    assert_ok(&world->op, hf_seal_notes(world->seal, &world->op, last, 500, count_note, &last));
    assert_int_equal(last, 600);
}

static void a_note_is_its_own_commits_only(void **state)
{
    struct world *world = *state;
    struct hf_change change = { .path = "key/x", .body = hf_bytes_of_text("x") };
    struct hf_batch batch = { .request_id = request(9), .changes = &change, .count = 1 };
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_commit commit;

    /* Shorter than a request's id, and as long as one with nothing behind it. */
    for (size_t len = 3; len <= 16; len += 13) {
        batch.request_id = request((uint8_t)len);
        batch.note = hf_bytes_of("0123456789abcdef", len);
        change.expected = len == 3 ? 0 : 1;
        hf_commit_init(&commit);
        assert_ok(&world->op, hf_engine_apply(world->memory, &world->op, &batch, &commit));
        hf_commit_done(&commit);
        assert_fails(&world->op, notes_after(world, len == 3 ? 1 : 2, 1, text), HF_CORRUPT);
    }
}

/* --- waiting --- */

static void *commit_later(void *context)
{
    struct world *world = context;
    struct world mine = *world;

    hf_op_init(&mine.op, &mine.env);
    assert_int_equal(world_put(&mine, HF_KIND_KEY, "key/a", 0, "x").code, HF_OK);
    return NULL;
}

static void a_feeder_waits_for_the_next_commit(void **state)
{
    struct world *world = *state;
    pthread_t thread;

    assert_int_equal(hf_seal_wait(world->seal, 0, 60000), 1);
    assert_int_equal(hf_seal_wait(world->seal, 1, 1), 1);
    assert_int_equal(pthread_create(&thread, NULL, commit_later, world), 0);
    assert_int_equal(hf_seal_wait(world->seal, 1, 60000), 2);
    pthread_join(thread, NULL);
}

/* --- listing --- */

struct listing {
    struct world *world;
    size_t count;
    size_t stop_at;
    bool in_order;
    char last[64];
};

/* Calls the seal again, as a visitor may. */
static struct hf_status visit(void *context, const struct hf_opened_view *view)
{
    struct listing *listing = context;

    listing->in_order = listing->in_order && strcmp(listing->last, view->path) < 0;
    (void)snprintf(listing->last, sizeof listing->last, "%s", view->path);
    listing->count++;
    world_expect(listing->world, HF_KIND_KEY, view->path, 1, "x");
    if (listing->count == listing->stop_at) {
        return hf_fail(&listing->world->op, HF_LIMITED, "enough");
    }
    return HF_SUCCESS;
}

static void lists_come_in_pages_that_nobody_sees(void **state)
{
    struct world *world = *state;
    struct listing all = { .world = world, .in_order = true };
    struct listing rest = all;
    struct listing some = { .world = world, .in_order = true, .stop_at = 130 };
    struct hf_op *op = &world->op;

    for (int i = 0; i < 300; i++) {
        HF_AUTO_STRING path = hf_format("key/%03d", i);

        assert_ok(op, world_put(world, HF_KIND_KEY, path, 0, "x"));
    }
    assert_ok(op, world_put(world, HF_KIND_POLICY, "key/150-not-a-key", 0, "p"));
    assert_ok(op, hf_seal_list(world->seal, op, HF_KIND_KEY, "key/", NULL, visit, &all));
    assert_true(all.count == 300 && all.in_order);
    assert_ok(op, hf_seal_list(world->seal, op, HF_KIND_KEY, "key/2", "key/249", visit, &rest));
    assert_true(rest.count == 50 && rest.in_order);
    assert_fails(op, hf_seal_list(world->seal, op, HF_KIND_KEY, "key/", NULL, visit, &some),
                 HF_LIMITED);
    assert_int_equal(some.count, 130);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(all_changes_happen_or_none),
        WORLD(consumers_are_told_after_the_commit_and_only_of_their_kind),
        WORLD(a_repeat_is_told_what_the_first_was),
        WORLD(a_repeat_without_a_result_is_told_so),
        WORLD(another_request_under_the_same_id_is_refused),
        cmocka_unit_test_setup_teardown(the_digest_of_a_request_is_as_documented, plain_setup,
                                        plain_teardown),
        WORLD(a_lost_answer_is_found_by_asking_again),
        WORLD(a_request_that_did_not_happen_is_made_again),
        WORLD(a_doubt_ends_at_the_deadline_and_memory_follows_the_store),
        WORLD(a_doubt_holds_up_nobody_else),
        WORLD(what_another_node_committed_comes_first),
        WORLD(an_altered_record_in_the_feed_is_told_and_passed_over),
        WORLD(a_commit_outside_of_the_chain_is_not_followed),
        WORLD(a_consumer_that_fails_is_heard_and_holds_nobody_up),
        WORLD(a_thread_that_may_not_wait_is_told_to_come_later),
        WORLD(a_record_that_is_too_large_is_refused_when_it_is_staged),
        WORLD(notes_come_back_in_order),
        WORLD(more_notes_than_one_look_into_the_log_holds_come_back),
        WORLD(a_note_is_its_own_commits_only),
        WORLD(a_request_that_happened_is_recalled),
        WORLD(the_id_of_a_request_is_found_by_what_was_asked),
        WORLD(a_feeder_waits_for_the_next_commit),
        WORLD(lists_come_in_pages_that_nobody_sees),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("transactions", tests, NULL, NULL);
}
