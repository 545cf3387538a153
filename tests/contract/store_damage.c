/* What can happen to the file of the SQLite engine, and that it is seen. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store_files.h"

static void a_foreign_file_is_refused_and_left_alone(void **state)
{
    static const char text[] =
        "This is a letter to my bank, and longer than the hundred bytes that "
        "the header of a database has; it is not to be changed.";
    static const struct {
        const char *says;
        const char *bytes; /* NULL: a database made by sql */
        size_t len;
        const char *sql;
        enum hf_code code;
    } cases[] = {
        { "an empty file", "", 0, NULL, HF_CORRUPT },
        { "a few bytes", "SQLite format 3", 16, NULL, HF_CORRUPT },
        { "a letter", text, sizeof text, NULL, HF_CORRUPT },
        { "another program's database", NULL, 0,
          "PRAGMA journal_mode = WAL; CREATE TABLE state (seq)", HF_CORRUPT },
        { "a newer store", NULL, 0,
          "PRAGMA application_id = 0x48464b53; PRAGMA user_version = 2; CREATE TABLE state (seq)",
          HF_UNSUPPORTED },
        { "a store without a version", NULL, 0,
          "PRAGMA application_id = 0x48464b53; CREATE TABLE state (seq)", HF_CORRUPT },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct store_world world;
        HF_AUTO(buf) before = hf_buf_new();
        HF_AUTO(buf) after = hf_buf_new();
        HF_AUTO_STRING file = NULL;
        struct hf_status status;

        store_world_init(&world, store_kind_named("sqlite"));
        assert_int_equal(mkdir(world.directory, 0700), 0);
        file = file_in(&world, "store.db");
        if (cases[i].sql != NULL) {
            run_sql(file, cases[i].sql);
        } else {
            write_file(file, cases[i].bytes, cases[i].len);
        }
        read_whole(file, before);
        status = store_world_open(&world, false);
        if (status.code != cases[i].code) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
        read_whole(file, after);
        assert_true(hf_bytes_equal(hf_buf_bytes(before), hf_buf_bytes(after)));
        assert_int_equal(entries_in(world.directory), 2); /* with the lock */
        assert_fails(&world.op, store_world_open(&world, true), HF_EXISTS);
        store_world_done(&world);
    }
}

/* A closed store with two commits of "a", after that SQL. */
static void make_damaged(struct store_world *world, const char *sql)
{
    HF_AUTO_STRING file = NULL;

    store_world_init(world, store_kind_named("sqlite"));
    file = file_in(world, "store.db");
    assert_ok(&world->op, store_world_open(world, true));
    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    assert_ok(&world->op, store_put(world, "a", 1, "2"));
    store_world_close(world);
    run_sql(file, sql);
}

static void a_store_that_contradicts_itself_is_refused(void **state)
{
    static const char *const damages[] = {
        "DROP TABLE change",
        "DELETE FROM state",
        "UPDATE state SET seq = 1",
        "DELETE FROM batch WHERE seq = 2",
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(damages); i++) {
        struct store_world world;

        make_damaged(&world, damages[i]);
        if (store_world_open(&world, false).code != HF_CORRUPT) {
            fail_msg("\"%s\" goes unseen", damages[i]);
        }
        store_world_done(&world);
    }
}

static struct hf_status pass_record(void *context, const struct hf_record_view *record)
{
    *(size_t *)context += record->body.len;
    return HF_SUCCESS;
}

static struct hf_status pass_batch(void *context, const struct hf_logged_batch *batch)
{
    *(size_t *)context += batch->count;
    return HF_SUCCESS;
}

static void a_hole_in_the_log_is_seen(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING file = file_in(world, "store.db");
    size_t count = 0;

    for (uint64_t i = 0; i < 5; i++) {
        assert_ok(&world->op, store_put(world, "a", i, "1"));
    }
    store_world_close(world);
    run_sql(file, "DELETE FROM batch WHERE seq = 3; UPDATE change SET link = x'00' WHERE seq = 4");
    assert_ok(&world->op, store_world_open(world, false));
    assert_fails(&world->op,
                 hf_engine_changes(world->engine, &world->op, 0, SIZE_MAX, pass_batch, &count),
                 HF_CORRUPT);
    assert_int_equal(count, 2);
    assert_fails(&world->op,
                 hf_engine_changes(world->engine, &world->op, 3, SIZE_MAX, pass_batch, &count),
                 HF_CORRUPT);
    assert_ok(&world->op,
              hf_engine_changes(world->engine, &world->op, 4, SIZE_MAX, pass_batch, &count));
}

static void a_record_that_is_not_as_it_was_committed_is_missed(void **state)
{
    static const char *const damages[] = {
        "DELETE FROM record WHERE path = 'a'",
        "UPDATE record SET revision = 1 WHERE path = 'a'",
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(damages); i++) {
        struct store_world world;
        size_t count = 0;

        make_damaged(&world, damages[i]);
        assert_ok(&world.op, store_world_open(&world, false));
        assert_fails(&world.op,
                     hf_engine_changes(world.engine, &world.op, 1, SIZE_MAX, pass_batch, &count),
                     HF_CORRUPT);
        assert_non_null(strstr(world.op.text, "lost a as it was committed"));
        store_world_done(&world);
    }
}

/* Fills some pages, closes the store and spoils all pages of a table but the first. */
static void spoil_records(struct store_world *world)
{
    static const uint8_t rubbish[4096] = { 0xff, 0xfe, 0xfd };
    HF_AUTO_STRING file = file_in(world, "store.db");
    HF_AUTO(buf) whole = hf_buf_new();
    char body[2000];

    memset(body, 'b', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    for (uint32_t i = 0; i < 40; i++) {
        HF_AUTO_STRING path = hf_format("r/%02u", i);

        assert_ok(&world->op, store_put(world, path, 0, body));
    }
    store_world_close(world);
    read_whole(file, whole);
    for (size_t at = sizeof rubbish; at < whole->len; at += sizeof rubbish) {
        /* A leaf with record bodies on it. */
        if (whole->data[at] == 0x0d && memmem(whole->data + at, sizeof rubbish, body, 1000)) {
            overwrite_at(file, at, rubbish, sizeof rubbish);
        }
    }
}

static void a_spoiled_page_is_corruption_not_an_answer(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING file = hf_format("%s/snapshot", world->root);
    HF_AUTO(record) record = NULL;
    struct hf_store_state found;
    size_t len = 0;
    uint64_t seq;

    spoil_records(world);
    assert_ok(&world->op, store_world_open(world, false));
    assert_fails(&world->op,
                 hf_engine_list(world->engine, &world->op, "r/", NULL, pass_record, &len),
                 HF_CORRUPT);
    assert_fails(&world->op, hf_engine_get(world->engine, &world->op, "r/00", &record), HF_CORRUPT);
    assert_fails(&world->op, store_put(world, "r/00", 1, "new"), HF_CORRUPT);
    assert_non_null(strstr(world->op.text, "damaged"));
    assert_fails(&world->op, hf_engine_snapshot(world->engine, &world->op, file, &seq), HF_CORRUPT);
    assert_int_equal(access(file, F_OK), -1);
    /* What is on other pages is still answered. */
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    assert_int_equal(found.seq, 40);
}

static void what_was_committed_is_missed_and_not_built_upon(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING store = file_in(world, "store.db");
    HF_AUTO_STRING file = hf_format("%s/snapshot", world->root);
    HF_AUTO(record) record = NULL;
    struct hf_store_state found;
    size_t len = 0;
    uint64_t seq;

    assert_ok(&world->op, store_put(world, "r/a", 0, "first"));
    assert_ok(&world->op, store_put(world, "r/a", 1, "second"));
    lose_the_last_commit(store);
    assert_fails(&world->op, hf_engine_get(world->engine, &world->op, "r/a", &record), HF_CORRUPT);
    assert_non_null(strstr(world->op.text, "stands at 1, and stood at 2"));
    assert_fails(&world->op,
                 hf_engine_list(world->engine, &world->op, "r/", NULL, pass_record, &len),
                 HF_CORRUPT);
    assert_fails(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL), HF_CORRUPT);
    assert_fails(&world->op, hf_engine_snapshot(world->engine, &world->op, file, &seq), HF_CORRUPT);
    assert_int_equal(access(file, F_OK), -1);
    assert_fails(&world->op, store_put(world, "r/b", 0, "third"), HF_CORRUPT);
    assert_int_equal(len, 0);
}

static void a_snapshot_does_not_meet_the_log_of_another_store(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING snapshot = hf_format("%s/snapshot", world->root);
    HF_AUTO_STRING store = NULL;
    HF_AUTO_STRING log = NULL;
    struct store_world killed;
    uint64_t seq;

    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    assert_ok(&world->op, hf_engine_snapshot(world->engine, &world->op, snapshot, &seq));
    assert_ok(&world->op, store_put(world, "a", 1, "2"));
    store_world_init_killed(&killed, world);
    store = file_in(&killed, "store.db");
    log = file_in(&killed, "store.db-wal");
    assert_true(size_of(log) > 0);
    assert_int_equal(unlink(store), 0);
    copy_over(snapshot, store);
    assert_fails(&killed.op, store_world_open(&killed, false), HF_WRONG_STATE);
    assert_int_equal(unlink(log), 0);
    assert_ok(&killed.op, store_world_open(&killed, false));
    assert_record(&killed, "a", 1, "1");
    store_world_done(&killed);
}

/* What an operator's mistake does to a file in use. */
static void remove_it(const char *file)
{
    assert_int_equal(unlink(file), 0);
}

static void replace_it(const char *file)
{
    remove_it(file);
    write_file(file, "other", 5);
}

static void move_it(const char *file)
{
    HF_AUTO_STRING other = hf_format("%s.away", file);

    assert_int_equal(rename(file, other), 0);
}

static void nothing_is_acknowledged_into_a_file_that_is_gone(void **state)
{
    static const struct {
        const char *name;
        void (*mistake)(const char *file);
    } cases[] = {
        { "store.db", remove_it },     { "store.db", replace_it },     { "store.db", move_it },
        { "store.db-wal", remove_it }, { "store.db-wal", replace_it }, { "store.db-wal", move_it },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct store_world world;
        struct store_world copy;
        HF_AUTO_STRING file = NULL;
        HF_AUTO_STRING snapshot = NULL;
        uint64_t seq = 0;

        store_world_init(&world, store_kind_named("sqlite"));
        store_world_init(&copy, store_kind_named("sqlite"));
        assert_int_equal(mkdir(copy.directory, 0700), 0);
        file = file_in(&world, cases[i].name);
        snapshot = file_in(&copy, "store.db");
        assert_ok(&world.op, store_world_open(&world, true));
        assert_ok(&world.op, store_put(&world, "a", 0, "1"));
        cases[i].mistake(file);
        assert_fails(&world.op, store_put(&world, "a", 1, "2"), HF_UNAVAILABLE);
        assert_non_null(strstr(world.op.text, "removed or replaced"));

        /* What was acknowledged before can still be saved. */
        assert_record(&world, "a", 1, "1");
        assert_ok(&world.op, hf_engine_snapshot(world.engine, &world.op, snapshot, &seq));
        store_world_close(&world);
        assert_ok(&copy.op, store_world_open(&copy, false));
        assert_record(&copy, "a", 1, "1");
        store_world_done(&copy);
        store_world_done(&world);
    }
}

/* The file is taken away while a commit is under way: between looking and acknowledging. */
static struct hf_status take_away(void *context, struct hf_op *op, uint64_t seq,
                                  struct hf_bytes head, struct hf_bytes note,
                                  struct hf_linked *changes, size_t count, struct hf_buf *out_head)
{
    remove_it(context);
    return store_linker.link(NULL, op, seq, head, note, changes, count, out_head);
}

static void a_file_that_goes_during_a_commit_leaves_it_in_doubt(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING file = file_in(world, "store.db-wal");
    struct hf_linker linker = { take_away, file };
    struct hf_change change = store_change("a", 0, "1");
    struct hf_batch batch = store_batch(5, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    batch.linker = &linker;
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_IN_DOUBT);
    hf_commit_done(&commit);
}

#define SQLITE(test) cmocka_unit_test_setup_teardown(test, store_world_setup, store_world_teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        SQLITE(a_foreign_file_is_refused_and_left_alone),
        SQLITE(a_store_that_contradicts_itself_is_refused),
        SQLITE(a_hole_in_the_log_is_seen),
        SQLITE(a_record_that_is_not_as_it_was_committed_is_missed),
        SQLITE(a_spoiled_page_is_corruption_not_an_answer),
        SQLITE(what_was_committed_is_missed_and_not_built_upon),
        SQLITE(a_snapshot_does_not_meet_the_log_of_another_store),
        SQLITE(nothing_is_acknowledged_into_a_file_that_is_gone),
        SQLITE(a_file_that_goes_during_a_commit_leaves_it_in_doubt),
    };

    for (size_t i = 0; i < HF_COUNT(tests); i++) {
        tests[i].initial_state = (void *)(uintptr_t)store_kind_named("sqlite");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
