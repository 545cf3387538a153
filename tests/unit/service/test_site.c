/* Sites: who may promote, where histories part, and which commits take something away. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "service/history.h"
#include "world.h"

/* --- where two logs part --- */

static struct hf_engine *memory_store(struct hf_op *op)
{
    struct hf_store_settings settings = { .engine = "memory", .create = true };
    struct hf_engine *engine = NULL;

    memset(settings.store_id, 7, sizeof settings.store_id);
    assert_ok(op, hf_engine_open(op, &settings, &engine));
    return engine;
}

/* Commits under these request ids, one letter each. */
static void commit_all(struct hf_op *op, struct hf_engine *engine, const char *ids)
{
    for (; *ids != '\0'; ids++) {
        HF_AUTO_STRING path = hf_format("usage/hdfs/%c/1", *ids);
        struct hf_change change = { .path = path, .body = hf_bytes_of_text("body") };
        struct hf_batch batch = { .request_id = world_request((uint8_t)*ids),
                                  .principal = "",
                                  .changes = &change,
                                  .count = 1 };
        struct hf_commit commit;

        hf_commit_init(&commit);
        assert_ok(op, hf_engine_apply(engine, op, &batch, &commit));
        hf_commit_done(&commit);
    }
}

static const struct {
    const char *says, *one, *other;
    uint64_t forgotten; /* of the other's log, below */
    uint64_t seq;
    bool found;
} meetings[] = {
    { "the same", "abcd", "abcd", 0, 4, true },
    { "one is behind", "abcdef", "abc", 0, 3, true },
    { "the other is behind", "ab", "abcdefg", 0, 2, true },
    { "they part in the middle", "abcxyz", "abcde", 0, 3, true },
    { "as long as each other, and parted", "abcdx", "abcdy", 0, 4, true },
    { "nothing in common", "xyz", "abc", 0, 0, true },
    { "one is empty", "", "abc", 0, 0, true },
    { "the log was cut before they part", "abcdxy", "abcdz", 3, 4, true },
    { "the log was cut after they part", "axyz", "abcd", 3, 2, false },
};

static void the_last_commit_that_two_logs_share_is_found(void **unused)
{
    struct hf_op op = world_as(ROOT);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(meetings); i++) {
        struct hf_engine *one = memory_store(&op);
        struct hf_engine *other = memory_store(&op);
        uint64_t seq = 99;
        bool found = false;

        commit_all(&op, one, meetings[i].one);
        commit_all(&op, other, meetings[i].other);
        if (meetings[i].forgotten != 0) {
            assert_ok(&op, hf_engine_forget(other, &op, meetings[i].forgotten));
        }
        assert_ok(&op, hf_history_meet(&op, one, other, &seq, &found));
        if (seq != meetings[i].seq || found != meetings[i].found) {
            fail_msg("%s: commit %u, %d", meetings[i].says, (unsigned)seq, found);
        }
        assert_ok(&op, hf_history_meet(&op, other, one, &seq, &found));
        if (seq != meetings[i].seq || found != meetings[i].found) {
            fail_msg("%s, the other way: commit %u, %d", meetings[i].says, (unsigned)seq, found);
        }
        hf_engine_free(one);
        hf_engine_free(other);
    }
}

/* --- what would be lost --- */

/* As the server writes for itself: without a note. The number ends the paths. */
static void commit_paths(struct hf_op *op, uint16_t number, const char *const *paths, size_t count)
{
    struct hf_request_id id = world_request((uint8_t)number);
    struct hf_change changes[2];
    char *named[2];
    struct hf_batch batch = { .principal = "", .changes = changes, .count = count };
    struct hf_engine *engine = hf_seal_engine(small_world.seal);
    struct hf_commit commit;

    id.bytes[0] = (uint8_t)(number >> 8);
    id.bytes[1] = 0xee;
    batch.request_id = id;
    for (size_t i = 0; i < count; i++) {
        named[i] = hf_format("%s%u", paths[i], number);
        changes[i] = (struct hf_change){ .path = named[i], .body = hf_bytes_of_text("body") };
    }
    hf_commit_init(&commit);
    assert_ok(op, hf_engine_apply(engine, op, &batch, &commit));
    hf_commit_done(&commit);
    for (size_t i = 0; i < count; i++) {
        free(named[i]);
    }
}

static const struct hf_lost_commit *find(const struct hf_lost *lost, const char *operation,
                                         const char *what)
{
    for (size_t i = 0; i < lost->count; i++) {
        if (strcmp(lost->items[i].operation, operation) == 0 &&
            strcmp(lost->items[i].what, what) == 0) {
            return &lost->items[i];
        }
    }
    fail_msg("%s %s is not among what is lost", operation, what);
    return NULL;
}

static void each_lost_commit_says_what_it_did_and_whether_it_took_away(void **unused)
{
    static const char policy[] =
        "{\"rules\":[{\"effect\":\"deny\",\"who\":[\"pseudo:bob\"],\"actions\":[\"key.read\"]}]}";
    struct hf_op op = world_as(ROOT);
    HF_AUTO(lost) lost = NULL;
    uint64_t before;
    uint32_t version = 0;

    (void)unused;
    (void)world_key("orders", HF_ALG_AES_256);
    before = world_seq();
    (void)world_key("later", HF_ALG_AES_256);
    assert_ok(&op, hf_service_key_rotate(world.service, &op, RING, "orders", NULL, &version, NULL));
    assert_ok(&op,
              hf_service_key_state(world.service, &op, RING, "orders", 1, HF_KEY_SUSPEND, "x"));
    assert_ok(&op, hf_service_key_delete(world.service, &op, RING, "later", "x"));
    world_policy("denial", policy);
    assert_ok(&op, hf_lost_read(world.service, &op, before, &lost));
    assert_int_equal(lost->count, world_seq() - before);
    assert_false(lost->is_cut);
    assert_false(find(lost, "key.create", "hdfs/later")->takes_away);
    assert_false(find(lost, "key.rotate", "hdfs/orders")->takes_away);
    assert_true(find(lost, "key.state", "hdfs/orders")->takes_away);
    assert_true(find(lost, "key.delete", "hdfs/later")->takes_away);
    assert_true(find(lost, "policy.change", "policy/denial")->takes_away);
    assert_int_equal(lost->taking, 3);
    assert_true(lost->newest_ms >= lost->first_ms && lost->first_ms > 0);
}

/* What the server keeps for itself takes nothing away; a record of a key without a note may. */
static void commits_without_a_note_are_judged_by_all_that_they_wrote(void **unused)
{
    static const struct {
        const char *paths[2];
        bool takes_away;
    } cases[] = {
        { { "usage/hdfs/a/1" }, false },
        { { "job/purge" }, false },
        { { "drill/0102", "proof/slot/x" }, false },
        { { "key/hdfs/a" }, true },
        { { "job/purge", "key/hdfs/a" }, true },
    };
    struct hf_op op = world_as(ROOT);
    HF_AUTO(lost) lost = NULL;
    uint64_t before = world_seq();

    (void)unused;
    for (uint8_t i = 0; i < HF_COUNT(cases); i++) {
        commit_paths(&op, i, cases[i].paths, cases[i].paths[1] != NULL ? 2 : 1);
    }
    assert_ok(&op, hf_lost_read(world.service, &op, before, &lost));
    assert_int_equal(lost->count, HF_COUNT(cases));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (lost->items[i].takes_away != cases[i].takes_away) {
            fail_msg("%s: %d", cases[i].paths[0], lost->items[i].takes_away);
        }
    }
    assert_int_equal(lost->taking, 2);
}

static void what_takes_away_is_listed_however_much_else_there_is(void **unused)
{
    static const char *const usage[] = { "usage/hdfs/a/1" };
    static const char *const key[] = { "key/hdfs/last" };
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_op op = world_as(ROOT);
    HF_AUTO(lost) lost = NULL;
    uint64_t before = world_seq();
    struct hf_json_writer writer;

    (void)unused;
    for (uint16_t i = 0; i < 1003; i++) {
        commit_paths(&op, i, usage, 1);
    }
    commit_paths(&op, 2000, key, 1);
    assert_ok(&op, hf_lost_read(world.service, &op, before, &lost));
    assert_int_equal(lost->count, 1004);
    assert_int_equal(lost->unlisted, 3);
    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_lost_put(lost, &writer, "lost");
    hf_json_close_object(&writer);
    assert_non_null(strstr(hf_buf_text(out), "\"unlisted\":3"));
    assert_non_null(strstr(hf_buf_text(out), "\"what\":\"hdfs/last2000\""));
}

static void a_log_that_begins_later_says_that_there_was_more(void **unused)
{
    struct hf_op op = world_as(ROOT);
    HF_AUTO(lost) lost = NULL;
    uint64_t before = world_seq();

    (void)unused;
    (void)world_key("one", HF_ALG_AES_256);
    (void)world_key("two", HF_ALG_AES_256);
    assert_ok(&op, hf_engine_forget(hf_seal_engine(small_world.seal), &op, world_seq()));
    assert_ok(&op, hf_lost_read(world.service, &op, before, &lost));
    assert_true(lost->is_cut);
    assert_int_equal(lost->count, 1);
    (void)find(lost, "key.create", "hdfs/two");
}

/* --- who may --- */

static void a_node_without_database_hosts_promotes_nothing(void **unused)
{
    const struct hf_site_order order = { .dry_run = true };
    const struct hf_accept_order accept = { .dry_run = true };
    struct hf_op op = world_as(ROOT);
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    assert_fails(&op, hf_service_site_promote(world.service, &op, "b", &order, out),
                 HF_UNSUPPORTED);
    assert_fails(&op, hf_service_accept_history(world.service, &op, &accept, out), HF_UNSUPPORTED);
    assert_int_equal(out->len, 0);
}

static void only_who_has_the_right_may_even_look(void **unused)
{
    const struct hf_site_order order = { .dry_run = true };
    const struct hf_accept_order accept = { .dry_run = true };
    static const char *const others[] = { ALICE, CAROL, MALLORY };
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        struct hf_op op = world_as(others[i]);

        assert_fails(&op, hf_service_site_promote(world.service, &op, "b", &order, out), HF_DENIED);
        assert_fails(&op, hf_service_accept_history(world.service, &op, &accept, out), HF_DENIED);
    }
    assert_int_equal(world_lines(EVENT("site.promote", "denied", ALICE), NULL, NULL), 1);
    assert_int_equal(world_lines(EVENT("store.accept", "denied", MALLORY), NULL, NULL), 1);
}

/* --- the trail goes on where the history went back --- */

static void notes_of_an_accepted_history_come_into_the_trail_without_their_numbers(void **unused)
{
    struct hf_op op = world_as(ROOT);
    uint64_t common = world_seq();

    (void)unused;
    (void)world_key("first", HF_ALG_AES_256);
    assert_int_equal(world_lines("\"key\":\"first\"", NULL, NULL), 1);
    /* As if these commits were others than those that the trail has. */
    hf_service_feed_from(world.service, common);
    assert_ok(&op, hf_service_feed_audit(world.service, &op));
    assert_int_equal(world_lines("\"key\":\"first\"", "of the history that was accepted", NULL), 1);
    (void)world_key("second", HF_ALG_AES_256);
    assert_int_equal(world_lines("\"key\":\"second\"", NULL, NULL), 1);
    assert_int_equal(world_lines("\"key\":\"first\"", NULL, NULL), 2);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(the_last_commit_that_two_logs_share_is_found),
        test_of(each_lost_commit_says_what_it_did_and_whether_it_took_away),
        test_of(commits_without_a_note_are_judged_by_all_that_they_wrote),
        test_of(what_takes_away_is_listed_however_much_else_there_is),
        test_of(a_log_that_begins_later_says_that_there_was_more),
        test_of(a_node_without_database_hosts_promotes_nothing),
        test_of(only_who_has_the_right_may_even_look),
        test_of(notes_of_an_accepted_history_come_into_the_trail_without_their_numbers),
    };

    return cmocka_run_group_tests_name("service site", tests, world_start, world_stop);
}
