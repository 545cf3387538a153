/* The contract of store.h for one thread, on every engine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "store_world.h"

static void a_new_store_is_empty(void **state)
{
    struct store_world *world = *state;
    HF_AUTO(buf) head = hf_buf_new();
    HF_AUTO(record) record = NULL;
    struct hf_store_state found;
    uint8_t store_id[HF_STORE_ID_LEN];

    memset(store_id, 0x5a, sizeof store_id);
    hf_buf_add_text(head, "left over");
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, head));
    assert_memory_equal(found.store_id, store_id, sizeof store_id);
    assert_int_equal(found.seq, 0);
    assert_int_equal(found.epoch, 1);
    assert_int_equal(found.oldest_seq, 0);
    assert_int_equal(head->len, 0);
    assert_fails(&world->op, hf_engine_get(world->engine, &world->op, "a", &record), HF_NOT_FOUND);
    assert_null(record);
}

static void a_revision_moves_only_from_the_one_expected(void **state)
{
    static const struct {
        const char *says;
        const char *path;
        uint64_t expected;
        enum hf_code code;
        uint64_t revision; /* afterwards; 0: not there */
    } steps[] = {
        { "no revision 1 of what is not there", "a", 1, HF_CONFLICT, 0 },
        { "it is made", "a", 0, HF_OK, 1 },
        { "it is made once", "a", 0, HF_CONFLICT, 1 },
        { "not from a later one", "a", 2, HF_CONFLICT, 1 },
        { "from the one that is there", "a", 1, HF_OK, 2 },
        { "not twice from the same", "a", 1, HF_CONFLICT, 2 },
        { "and on", "a", 2, HF_OK, 3 },
        { "another path has revisions of its own", "a/b", 0, HF_OK, 1 },
    };
    struct store_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        struct hf_status status = store_put(world, steps[i].path, steps[i].expected, steps[i].says);
        HF_AUTO(record) record = NULL;
        struct hf_status got = hf_engine_get(world->engine, &world->op, steps[i].path, &record);

        if (status.code != steps[i].code) {
            fail_msg("%s: got %s", steps[i].says, hf_code_name(status.code));
        }
        if (got.code == HF_OK ? record->revision != steps[i].revision : steps[i].revision != 0) {
            fail_msg("%s: it is at another revision", steps[i].says);
        }
        if (steps[i].code == HF_OK) {
            assert_record(world, steps[i].path, steps[i].revision, steps[i].says);
        }
    }
}

static void a_batch_happens_whole_or_not_at_all(void **state)
{
    struct store_world *world = *state;
    struct hf_change changes[] = { store_change("new", 0, "n"), store_change("old", 7, "o") };
    struct hf_batch batch = store_batch(77, changes, 2);
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;
    struct hf_commit commit;

    hf_commit_init(&commit);
    assert_ok(&world->op, store_put(world, "old", 0, "first"));
    before = store_dump(world->engine, &world->op);
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_CONFLICT);
    after = store_dump(world->engine, &world->op);
    assert_string_equal(before, after);

    /* The id of a batch that did not happen is free. */
    changes[1].expected = 1;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_false(commit.repeated);
    assert_int_equal(commit.seq, 2);
    assert_int_equal(commit.epoch, 1);
    assert_record(world, "new", 1, "n");
    assert_record(world, "old", 2, "o");
    hf_commit_done(&commit);
}

static void a_batch_of_another_epoch_conflicts(void **state)
{
    static const struct {
        uint64_t epoch;
        enum hf_code code;
    } cases[] = { { 2, HF_CONFLICT }, { 1, HF_OK }, { UINT64_MAX, HF_CONFLICT }, { 0, HF_OK } };
    struct store_world *world = *state;
    struct hf_commit commit;

    hf_commit_init(&commit);
    for (uint32_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_batch batch = store_batch(i + 1, NULL, 0);

        batch.epoch = cases[i].epoch;
        assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                     cases[i].code);
    }
    hf_commit_done(&commit);
}

static void a_repeat_gives_the_first_commit_and_its_result(void **state)
{
    struct store_world *world = *state;
    struct hf_change change = store_change("a", 0, "first");
    struct hf_batch batch = store_batch(500, &change, 1);
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;
    struct hf_commit commit;

    hf_commit_init(&commit);
    batch.result = hf_bytes_of("\0r", 2);
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_false(commit.repeated);
    assert_int_equal(commit.result.len, 0);
    assert_ok(&world->op, store_put(world, "a", 1, "second"));
    before = store_dump(world->engine, &world->op);

    /* The repeat brings other bytes, as one does that was sealed anew, and an epoch gone by. */
    change.body = hf_bytes_of_text("other");
    batch.result = hf_bytes_of_text("other");
    batch.epoch = 9;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_true(commit.repeated);
    assert_int_equal(commit.seq, 1);
    assert_int_equal(commit.epoch, 1);
    assert_true(hf_bytes_equal(hf_buf_bytes(&commit.result), hf_bytes_of("\0r", 2)));
    assert_record(world, "a", 2, "second");

    batch.principal = "cert:somebody-else";
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_CONFLICT);
    batch.principal = "cert:tester";
    batch.digest[31] ^= 1;
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_CONFLICT);
    after = store_dump(world->engine, &world->op);
    assert_string_equal(before, after);
    hf_commit_done(&commit);
}

/* What a linker was told, for the test to look at. */
struct told {
    size_t calls;
    uint64_t seq;
    char head[64];
    char note[64];
    struct hf_linked changes[4];
    char paths[4][16];
    size_t count;
    enum hf_code code; /* to answer with */
};

static struct hf_status record_told(void *context, struct hf_op *op, uint64_t seq,
                                    struct hf_bytes head, struct hf_bytes note,
                                    struct hf_linked *changes, size_t count,
                                    struct hf_buf *out_head)
{
    struct told *told = context;

    told->calls++;
    told->seq = seq;
    (void)snprintf(told->head, sizeof told->head, "%.*s", (int)head.len, (const char *)head.data);
    (void)snprintf(told->note, sizeof told->note, "%.*s", (int)note.len, (const char *)note.data);
    told->count = count;
    for (size_t i = 0; i < count && i < HF_COUNT(told->changes); i++) {
        told->changes[i] = changes[i];
        (void)snprintf(told->paths[i], sizeof told->paths[i], "%s", changes[i].path);
        memset(changes[i].link, (int)(seq * 16 + i), HF_DIGEST_LEN);
    }
    hf_buf_add_format(out_head, "head %" PRIu64, seq);
    return told->code == HF_OK ? HF_SUCCESS : hf_fail(op, told->code, "the linker says no");
}

static void the_linker_is_told_what_changes(void **state)
{
    struct store_world *world = *state;
    struct told told = { 0 };
    struct hf_linker linker = { record_told, &told };
    struct hf_change changes[] = { store_change("z", 0, "z1"), store_change("a", 1, "a2"),
                                   store_change("m", 0, "") };
    struct hf_batch batch = store_batch(9, changes, 3);
    struct hf_change old = store_change("a", 0, "a1");
    HF_AUTO(buf) head = hf_buf_new();
    struct hf_store_state found;
    struct hf_commit commit;

    hf_commit_init(&commit);
    assert_ok(&world->op, store_put(world, "a", 0, "a1"));
    batch.linker = &linker;
    batch.note = hf_bytes_of_text("who did it");
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.seq, 2);
    assert_string_equal(told.note, "who did it");
    assert_int_equal(told.count, 3);
    for (size_t i = 0; i < HF_COUNT(changes); i++) {
        assert_string_equal(told.paths[i], changes[i].path);
        assert_int_equal(told.changes[i].revision, changes[i].expected + 1);
        assert_memory_equal(told.changes[i].digest, changes[i].digest, HF_DIGEST_LEN);
        assert_int_equal(told.changes[i].replaces, i == 1);
        assert_int_equal(told.changes[i].old_revision, changes[i].expected);
    }
    assert_memory_equal(told.changes[1].old_digest, old.digest, HF_DIGEST_LEN);

    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, head));
    assert_string_equal(hf_buf_text(head), "head 2");
    batch = store_batch(10, NULL, 0);
    batch.linker = &linker;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_string_equal(told.head, "head 2");
    assert_int_equal(told.count, 0);
    hf_commit_done(&commit);
}

static void a_linker_that_fails_abandons_the_batch(void **state)
{
    struct store_world *world = *state;
    struct told told = { .code = HF_WRONG_STATE };
    struct hf_linker linker = { record_told, &told };
    struct hf_change change = store_change("a", 0, "1");
    struct hf_batch batch = store_batch(9, &change, 1);
    HF_AUTO_STRING before = store_dump(world->engine, &world->op);
    HF_AUTO_STRING after = NULL;
    struct hf_commit commit;

    hf_commit_init(&commit);
    batch.linker = &linker;
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_WRONG_STATE);
    assert_string_equal(world->op.text, "the linker says no");
    after = store_dump(world->engine, &world->op);
    assert_string_equal(before, after);

    told.code = HF_OK;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_int_equal(told.calls, 2);
    assert_int_equal(told.seq, 1);
    hf_commit_done(&commit);
}

static void the_linker_is_not_asked_about_batches_that_do_not_apply(void **state)
{
    struct store_world *world = *state;
    struct told told = { 0 };
    struct hf_linker linker = { record_told, &told };
    struct hf_change change = store_change("a", 3, "1");
    struct hf_batch batch = store_batch(9, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    batch.linker = &linker;
    assert_fails(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit),
                 HF_CONFLICT);
    assert_int_equal(told.calls, 0);
    change.expected = 0;
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_true(commit.repeated);
    assert_int_equal(told.calls, 1);
    hf_commit_done(&commit);
}

/* Collects paths, one after the other, and fails with code at the given one. */
struct collected {
    struct hf_buf paths;
    const char *stop_at;
    enum hf_code code;
    struct hf_op *op;
};

static struct hf_status collect(void *context, const struct hf_record_view *record)
{
    struct collected *collected = context;

    hf_buf_add_format(&collected->paths, "%s ", record->path);
    if (collected->stop_at != NULL && strcmp(record->path, collected->stop_at) == 0) {
        return hf_fail(collected->op, collected->code, "stop");
    }
    return HF_SUCCESS;
}

static void put_all(struct store_world *world, const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_ok(&world->op, store_put(world, paths[i], 0, paths[i]));
    }
}

static const char *const some_paths[] = { "k/b", "k/a", "k",  "k/a/1", "k0",         "j",
                                          "l",   "K/a", "k/", "k/a!",  "k/\xc3\xa4", "k/\xff" };

static void a_list_gives_what_begins_with_the_prefix_in_order(void **state)
{
    static const struct {
        const char *prefix;
        const char *after;
        const char *paths;
    } cases[] = {
        { "", NULL, "K/a j k k/ k/a k/a! k/a/1 k/b k/\xc3\xa4 k/\xff k0 l " },
        { "k/", NULL, "k/ k/a k/a! k/a/1 k/b k/\xc3\xa4 k/\xff " },
        { "k", NULL, "k k/ k/a k/a! k/a/1 k/b k/\xc3\xa4 k/\xff k0 " },
        { "k/", "k/a", "k/a! k/a/1 k/b k/\xc3\xa4 k/\xff " },
        { "k/", "k/a0", "k/b k/\xc3\xa4 k/\xff " },
        { "k/", "a", "k/ k/a k/a! k/a/1 k/b k/\xc3\xa4 k/\xff " },
        { "k/", "k/", "k/a k/a! k/a/1 k/b k/\xc3\xa4 k/\xff " },
        { "k/", "k/\xff", "" },
        { "k/", "l", "" },
        { "k/\xff", NULL, "k/\xff " },
        { "m", NULL, "" },
        { "", "k0", "l " },
        { "k/a/1", NULL, "k/a/1 " },
    };
    struct store_world *world = *state;

    put_all(world, some_paths, HF_COUNT(some_paths));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct collected collected = { 0 };

        assert_ok(&world->op, hf_engine_list(world->engine, &world->op, cases[i].prefix,
                                             cases[i].after, collect, &collected));
        if (strcmp(hf_buf_text(&collected.paths), cases[i].paths) != 0) {
            fail_msg("prefix \"%s\" after \"%s\": got %s", cases[i].prefix,
                     cases[i].after != NULL ? cases[i].after : "-", hf_buf_text(&collected.paths));
        }
        hf_buf_done(&collected.paths);
    }
}

static void a_visitor_that_fails_ends_the_walk(void **state)
{
    struct store_world *world = *state;
    struct collected collected = { .stop_at = "k", .code = HF_LIMITED, .op = &world->op };

    put_all(world, some_paths, HF_COUNT(some_paths));
    assert_fails(&world->op,
                 hf_engine_list(world->engine, &world->op, "", NULL, collect, &collected),
                 HF_LIMITED);
    assert_string_equal(hf_buf_text(&collected.paths), "K/a j k ");
    hf_buf_done(&collected.paths);
    /* The engine is not left inside the walk. */
    assert_ok(&world->op, store_put(world, "k", 1, "again"));
    assert_record(world, "k", 2, "again");
}

static void a_body_is_any_bytes(void **state)
{
    static const size_t sizes[] = { 0, 1, 999, 4096, 70000, 1U << 20 };
    struct store_world *world = *state;

    for (uint32_t i = 0; i < HF_COUNT(sizes); i++) {
        uint8_t *bytes = hf_alloc(sizes[i]);
        HF_AUTO_STRING path = hf_format("body/%u", i);
        HF_AUTO(record) record = NULL;
        struct hf_change change = store_change(path, 0, "");
        struct hf_batch batch = store_batch(i + 1, &change, 1);
        struct hf_commit commit;

        hf_commit_init(&commit);
        for (size_t at = 0; at < sizes[i]; at++) {
            bytes[at] = (uint8_t)(at * 7 / 3);
        }
        change.body = hf_bytes_of(bytes, sizes[i]);
        batch.note = change.body;
        assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
        assert_ok(&world->op, hf_engine_get(world->engine, &world->op, path, &record));
        assert_true(hf_bytes_equal(hf_buf_bytes(&record->body), change.body));
        assert_int_equal(record->seq, i + 1);
        hf_commit_done(&commit);
        free(bytes);
    }
}

static void a_batch_must_be_well_formed(void **state)
{
    static char long_path[HF_PATH_MAX + 2];
    static uint8_t large[HF_BODY_MAX + 1];
    struct store_world *world = *state;
    const struct {
        const char *says;
        struct hf_change changes[3];
        size_t count;
        uint32_t request;
        size_t note_len;
        size_t result_len;
        enum hf_code code;
    } cases[] = {
        { "no request id", { store_change("a", 0, "") }, 1, 0, 0, 0, HF_INVALID },
        { "no path", { store_change("", 0, "") }, 1, 1, 0, 0, HF_INVALID },
        { "a path too long", { store_change(long_path, 0, "") }, 1, 1, 0, 0, HF_INVALID },
        { "the longest path", { store_change(long_path + 1, 0, "") }, 1, 1, 0, 0, HF_OK },
        { "a newline", { store_change("a\nb", 0, "") }, 1, 2, 0, 0, HF_INVALID },
        { "a delete character", { store_change("a\x7f", 0, "") }, 1, 2, 0, 0, HF_INVALID },
        { "the first control character", { store_change("\x01", 0, "") }, 1, 2, 0, 0, HF_INVALID },
        { "a path twice",
          { store_change("a", 0, ""), store_change("b", 0, ""), store_change("a", 1, "") },
          3,
          2,
          0,
          0,
          HF_INVALID },
        { "a revision beyond all", { store_change("a", UINT64_MAX, "") }, 1, 2, 0, 0, HF_INVALID },
        { "a body too large",
          { { .path = "a", .body = { large, sizeof large } } },
          1,
          2,
          0,
          0,
          HF_TOO_LARGE },
        { "a note too large", { store_change("a", 0, "") }, 1, 2, sizeof large, 0, HF_TOO_LARGE },
        { "a result too large", { store_change("a", 0, "") }, 1, 2, 0, sizeof large, HF_TOO_LARGE },
        { "no changes at all", { store_change("a", 0, "") }, 0, 2, 0, 0, HF_OK },
    };
    struct hf_store_state found;

    memset(long_path, 'p', HF_PATH_MAX + 1);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_batch batch = store_batch(cases[i].request, cases[i].changes, cases[i].count);
        struct hf_commit commit;
        struct hf_status status;

        hf_commit_init(&commit);
        batch.note = hf_bytes_of(large, cases[i].note_len);
        batch.result = hf_bytes_of(large, cases[i].result_len);
        status = hf_engine_apply(world->engine, &world->op, &batch, &commit);
        if (status.code != cases[i].code) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
        hf_commit_done(&commit);
    }
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    assert_int_equal(found.seq, 2);
}

static struct hf_status take_lease(struct store_world *world, const char *name, const char *holder,
                                   uint64_t duration_ms, uint64_t *out_fence)
{
    return hf_engine_lease(world->engine, &world->op, name, holder, duration_ms, out_fence);
}

static void a_lease_is_held_by_one_and_fenced(void **state)
{
    static const struct {
        const char *says;
        uint64_t later_ms;
        const char *name;
        const char *holder;
        uint64_t duration_ms;
        enum hf_code code;
        uint64_t fence;
    } steps[] = {
        { "the first gets it", 0, "rotate", "n1", 1000, HF_OK, 1 },
        { "nobody else does", 0, "rotate", "n2", 1000, HF_CONFLICT, 0 },
        { "another lease is another", 0, "backup", "n2", 1000, HF_OK, 1 },
        { "the holder renews under the same fence", 900, "rotate", "n1", 1000, HF_OK, 1 },
        { "from the renewal on", 999, "rotate", "n2", 1000, HF_CONFLICT, 0 },
        { "a lease that is over changes hands", 1, "rotate", "n2", 1000, HF_OK, 2 },
        { "and is lost to the first", 0, "rotate", "n1", 1000, HF_CONFLICT, 0 },
        { "it is given up", 0, "rotate", "n2", 0, HF_OK, 2 },
        { "and taken back", 0, "rotate", "n1", 5, HF_OK, 3 },
        { "a late holder whom nobody replaced goes on", 100, "rotate", "n1", 5, HF_OK, 3 },
        { "a lease has a holder", 0, "rotate", "", 5, HF_INVALID, 0 },
        { "a lease has a name", 0, "", "n1", 5, HF_INVALID, 0 },
        { "a lease is not for ever", 0, "x", "n1", UINT64_MAX, HF_INVALID, 0 },
    };
    struct store_world *world = *state;
    struct hf_store_state found;

    for (size_t i = 0; i < HF_COUNT(steps); i++) {
        uint64_t fence = 0;
        struct hf_status status;

        world->clock.boottime_ms += steps[i].later_ms;
        status = take_lease(world, steps[i].name, steps[i].holder, steps[i].duration_ms, &fence);
        if (status.code != steps[i].code || fence != steps[i].fence) {
            fail_msg("%s: got %s, fence %" PRIu64, steps[i].says, hf_code_name(status.code), fence);
        }
    }
    /* Leases are no changes of the store. */
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &found, NULL));
    assert_int_equal(found.seq, 0);
}

static void a_barrier_gives_the_seq(void **state)
{
    struct store_world *world = *state;
    uint64_t seq = 99;

    assert_ok(&world->op, hf_engine_barrier(world->engine, &world->op, &seq));
    assert_int_equal(seq, 0);
    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    assert_ok(&world->op, hf_engine_barrier(world->engine, &world->op, &seq));
    assert_int_equal(seq, 1);
}

static struct hf_status pass_by(void *context, const struct hf_logged_batch *batch)
{
    *(uint64_t *)context = batch->seq;
    return HF_SUCCESS;
}

/* Each call of an engine once, with outputs that a failed call must leave alone. */
enum { CALLS = 9 };

static struct hf_status make_call(struct store_world *world, size_t which)
{
    struct hf_change change = store_change("call", 0, "1");
    struct hf_batch batch = store_batch(4711, &change, 1);
    HF_AUTO(record) record = NULL;
    HF_AUTO_STRING file = hf_format("%s/snapshot", world->root);
    struct collected collected = { 0 };
    struct hf_commit commit;
    struct hf_store_state found;
    struct hf_status status = HF_SUCCESS;
    uint64_t number;

    hf_commit_init(&commit);
    switch (which) {
    case 0:
        status = hf_engine_state(world->engine, &world->op, &found, NULL);
        break;
    case 1:
        status = hf_engine_get(world->engine, &world->op, "there", &record);
        break;
    case 2:
        status = hf_engine_list(world->engine, &world->op, "", NULL, collect, &collected);
        break;
    case 3:
        status = hf_engine_apply(world->engine, &world->op, &batch, &commit);
        break;
    case 4:
        status = hf_engine_changes(world->engine, &world->op, 1, 1, pass_by, &number);
        break;
    case 5:
        status = hf_engine_snapshot(world->engine, &world->op, file, &number);
        break;
    case 6:
        status = hf_engine_barrier(world->engine, &world->op, &number);
        break;
    case 7:
        status = hf_engine_lease(world->engine, &world->op, "l", "h", 1, &number);
        break;
    default:
        status = hf_engine_forget(world->engine, &world->op, 1);
        break;
    }
    hf_buf_done(&collected.paths);
    hf_commit_done(&commit);
    return status;
}

static void no_call_begins_after_its_deadline(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    assert_ok(&world->op, store_put(world, "there", 0, "1"));
    before = store_dump(world->engine, &world->op);
    for (size_t i = 0; i < CALLS; i++) {
        world->op.deadline_ms = world->clock.boottime_ms;
        assert_fails(&world->op, make_call(world, i), HF_UNAVAILABLE);
        world->op.deadline_ms = 0;
        world->op.may_wait = false;
        assert_fails(&world->op, make_call(world, i), HF_LATER);
        world->op.may_wait = true;
    }
    after = store_dump(world->engine, &world->op);
    assert_string_equal(before, after);

    for (size_t i = 0; i < CALLS; i++) {
        struct hf_status status;

        world->op.deadline_ms = world->clock.boottime_ms + 1;
        status = make_call(world, i);
        if (status.code != HF_OK && status.code != HF_UNSUPPORTED) {
            fail_msg("call %zu: %s", i, world->op.text);
        }
    }
}

static void calls_are_counted_by_how_they_end(void **state)
{
    struct store_world *world = *state;
    struct hf_metrics *metrics = hf_metrics_new();
    HF_AUTO(buf) text = hf_buf_new();

    store_world_close(world);
    if (world->kind->lasts) {
        world->directory[strlen(world->directory) - 1] ^= 1; /* a new store beside the first */
    }
    if (world->kind->is_mirrored) {
        world->mirror[strlen(world->mirror) - 1] ^= 1;
    }
    world->clock.env.metrics = metrics;
    assert_ok(&world->op, store_world_open(world, true));
    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    assert_ok(&world->op, store_put(world, "a", 1, "1"));
    assert_fails(&world->op, store_put(world, "a", 0, "1"), HF_CONFLICT);
    hf_metrics_write(metrics, text);
    assert_non_null(
        strstr(hf_buf_text(text), "holdfast_store_calls_total{call=\"apply\",outcome=\"ok\"} 2\n"));
    assert_non_null(strstr(hf_buf_text(text),
                           "holdfast_store_calls_total{call=\"apply\",outcome=\"refused\"} 1\n"));
    assert_non_null(strstr(hf_buf_text(text),
                           "holdfast_store_calls_total{call=\"get\",outcome=\"failed\"} 0\n"));
    store_world_close(world);
    world->clock.env.metrics = NULL;
    hf_metrics_free(metrics);
}

static void a_snapshot_is_a_store_that_equals(void **state)
{
    struct store_world *world = *state;
    struct store_world copy;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;
    HF_AUTO_STRING file = NULL;
    struct stat about;
    uint64_t seq = 0;

    put_all(world, some_paths, HF_COUNT(some_paths));
    assert_ok(&world->op, store_put(world, "k", 1, "again"));
    store_world_init(&copy, world->kind->snapshot != NULL ? store_kind_named(world->kind->snapshot)
                                                          : world->kind);
    assert_int_equal(mkdir(copy.directory, 0700), 0);
    file = hf_format("%s/store.db", copy.directory);
    if (world->kind->snapshot == NULL) {
        assert_fails(&world->op, hf_engine_snapshot(world->engine, &world->op, file, &seq),
                     HF_UNSUPPORTED);
        store_world_done(&copy);
        return;
    }
    before = store_dump(world->engine, &world->op);
    assert_ok(&world->op, hf_engine_snapshot(world->engine, &world->op, file, &seq));
    assert_int_equal(seq, HF_COUNT(some_paths) + 1);
    assert_int_equal(stat(file, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_fails(&world->op, hf_engine_snapshot(world->engine, &world->op, file, &seq), HF_EXISTS);

    /* What comes later is not in it. */
    assert_ok(&world->op, store_put(world, "later", 0, "1"));
    assert_ok(&copy.op, store_world_open(&copy, false));
    after = store_dump(copy.engine, &copy.op);
    assert_string_equal(before, after);
    assert_ok(&copy.op, store_put(&copy, "own", 0, "way"));
    store_world_done(&copy);
}

static void there_is_no_engine_of_another_name(void **state)
{
    struct store_world *world = *state;
    struct hf_store_settings settings = { .engine = "paper", .directory = world->directory };
    struct hf_engine *engine = NULL;

    assert_fails(&world->op, hf_engine_open(&world->op, &settings, &engine), HF_INVALID);
    assert_null(engine);
}

#define CONTRACT(test)                                                                             \
    {                                                                                              \
#test, test, store_world_setup, store_world_teardown, NULL                                 \
    }

static const struct CMUnitTest contract[] = {
    CONTRACT(a_new_store_is_empty),
    CONTRACT(a_revision_moves_only_from_the_one_expected),
    CONTRACT(a_batch_happens_whole_or_not_at_all),
    CONTRACT(a_batch_of_another_epoch_conflicts),
    CONTRACT(a_repeat_gives_the_first_commit_and_its_result),
    CONTRACT(the_linker_is_told_what_changes),
    CONTRACT(a_linker_that_fails_abandons_the_batch),
    CONTRACT(the_linker_is_not_asked_about_batches_that_do_not_apply),
    CONTRACT(a_list_gives_what_begins_with_the_prefix_in_order),
    CONTRACT(a_visitor_that_fails_ends_the_walk),
    CONTRACT(a_body_is_any_bytes),
    CONTRACT(a_batch_must_be_well_formed),
    CONTRACT(a_lease_is_held_by_one_and_fenced),
    CONTRACT(a_barrier_gives_the_seq),
    CONTRACT(no_call_begins_after_its_deadline),
    CONTRACT(calls_are_counted_by_how_they_end),
    CONTRACT(a_snapshot_is_a_store_that_equals),
    CONTRACT(there_is_no_engine_of_another_name),
};

int main(void)
{
    return store_run_contract(contract, HF_COUNT(contract));
}
