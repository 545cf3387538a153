/*
 * The mirror: a copy that follows a store which others change too, and what it does when the store
 * is away, went back in time, or is another; and when the copy itself is damaged or gone.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store_database.h"
#include "store_files.h"

/* --- a store, the nodes that share it, and the way of each to it, which can be cut --- */

struct node {
    struct store_world world; /* its engine is the mirror; kind and clock are the store's */
    atomic_bool cut;
    struct hf_engine *behind; /* of its own, on a database server; NULL: the store's engine */
};

struct shared {
    struct store_world store;
    struct node nodes[2];
    struct hf_engine *instead; /* borrowed: what all ways lead to; NULL: the engine of each */
};

struct way {
    struct hf_engine base;
    struct shared *shared;
    struct node *node;
};

/* From now on all nodes find this in the place of the store, which is the caller's. */
static struct hf_engine *put_in_place(struct shared *shared, struct hf_engine *engine)
{
    struct hf_engine *before = shared->store.engine;

    shared->store.engine = engine;
    shared->instead = engine;
    return before;
}

static struct hf_status pass(struct hf_engine *engine, struct hf_op *op, struct hf_engine **out)
{
    const struct way *way = (struct way *)engine;
    struct hf_engine *own = way->node->behind;

    if (atomic_load(&way->node->cut)) {
        return hf_fail(op, HF_UNAVAILABLE, "the way to the store is cut");
    }
    *out = own != NULL ? own : way->shared->store.engine;
    if (way->shared->instead != NULL) {
        *out = way->shared->instead;
    }
    return HF_SUCCESS;
}

static struct hf_status way_state(struct hf_engine *engine, struct hf_op *op,
                                  struct hf_store_state *out, struct hf_buf *out_head)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_state(store, op, out, out_head);
}

static struct hf_status way_get(struct hf_engine *engine, struct hf_op *op, const char *path,
                                struct hf_record **out)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_get(store, op, path, out);
}

static struct hf_status way_list(struct hf_engine *engine, struct hf_op *op, const char *prefix,
                                 const char *after, hf_record_visitor visit, void *context)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_list(store, op, prefix, after, visit, context);
}

static struct hf_status way_apply(struct hf_engine *engine, struct hf_op *op,
                                  const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_apply(store, op, batch, out);
}

static struct hf_status way_changes(struct hf_engine *engine, struct hf_op *op, uint64_t from,
                                    size_t max_batches, hf_log_visitor visit, void *context)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_changes(store, op, from, max_batches, visit, context);
}

static struct hf_status way_snapshot(struct hf_engine *engine, struct hf_op *op, const char *file,
                                     uint64_t *out_seq)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_snapshot(store, op, file, out_seq);
}

static struct hf_status way_barrier(struct hf_engine *engine, struct hf_op *op, uint64_t *out_seq)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_barrier(store, op, out_seq);
}

static struct hf_status way_lease(struct hf_engine *engine, struct hf_op *op, const char *name,
                                  const char *holder, uint64_t duration_ms, uint64_t *out_fence)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_lease(store, op, name, holder, duration_ms, out_fence);
}

static struct hf_status way_forget(struct hf_engine *engine, struct hf_op *op, uint64_t below_seq)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_forget(store, op, below_seq);
}

static struct hf_status way_recall(struct hf_engine *engine, struct hf_op *op,
                                   const struct hf_batch *batch, struct hf_commit *out)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_recall(store, op, batch, out);
}

static struct hf_status way_find(struct hf_engine *engine, struct hf_op *op,
                                 const uint8_t digest[HF_DIGEST_LEN], uint64_t since_ms,
                                 uint64_t up_to_seq, struct hf_request_id *out)
{
    struct hf_engine *store = NULL;

    HF_TRY(pass(engine, op, &store));
    return hf_engine_find(store, op, digest, since_ms, up_to_seq, out);
}

static void way_close(struct hf_engine *engine)
{
    free(engine);
}

static struct hf_status way_open(struct hf_op *op, const struct hf_store_settings *settings,
                                 struct hf_engine **out)
{
    (void)settings;
    (void)out;
    return hf_fail(op, HF_UNSUPPORTED, "a way is made by a test");
}

static const struct hf_engine_ops way_ops = {
    .name = "way",
    .open = way_open,
    .state = way_state,
    .get = way_get,
    .list = way_list,
    .apply = way_apply,
    .changes = way_changes,
    .snapshot = way_snapshot,
    .barrier = way_barrier,
    .lease = way_lease,
    .forget = way_forget,
    .recall = way_recall,
    .find = way_find,
    .close = way_close,
};

static struct hf_engine *way_new(struct shared *shared, struct node *node)
{
    struct way *way = hf_alloc(sizeof *way);

    way->base.ops = &way_ops;
    way->shared = shared;
    way->node = node;
    return &way->base;
}

static struct hf_status open_node(struct shared *shared, size_t at)
{
    struct node *node = &shared->nodes[at];

    return hf_mirror_new(&node->world.op, way_new(shared, node), node->world.directory,
                         &node->world.engine);
}

/* Nodes have no engine in common, as processes have none; files take one process only. */
static void open_behind(struct shared *shared, struct node *node)
{
    HF_AUTO_STRING host = store_database_of(shared->store.directory);
    const char *const hosts[] = { host, NULL };
    struct hf_store_settings settings = { .engine = shared->store.kind->engine, .hosts = hosts };

    assert_ok(&node->world.op, hf_engine_open(&node->world.op, &settings, &node->behind));
}

static int setup(void **state)
{
    struct shared *shared = hf_alloc(sizeof *shared);
    const struct store_kind *kind = *state;

    store_world_init_fast(&shared->store, kind);
    assert_ok(&shared->store.op, store_world_open(&shared->store, true));
    for (size_t i = 0; i < HF_COUNT(shared->nodes); i++) {
        struct store_world *world = &shared->nodes[i].world;

        store_world_init_fast(world, kind);
        /* Request ids of their own. */
        world->requests = (uint32_t)(i + 1) << 20;
        if (kind->is_remote) {
            open_behind(shared, &shared->nodes[i]);
        }
        assert_ok(&world->op, open_node(shared, i));
    }
    *state = shared;
    return 0;
}

static int teardown(void **state)
{
    struct shared *shared = *state;

    for (size_t i = 0; i < HF_COUNT(shared->nodes); i++) {
        store_world_done(&shared->nodes[i].world);
        hf_engine_free(shared->nodes[i].behind);
    }
    store_world_done(&shared->store);
    free(shared);
    return 0;
}

static struct hf_status follow(struct store_world *world)
{
    uint64_t seq = 0;

    return hf_mirror_follow(world->engine, &world->op, &seq);
}

static void assert_same(struct store_world *copy, struct store_world *store)
{
    HF_AUTO_STRING copied = store_dump(copy->engine, &copy->op);
    HF_AUTO_STRING wanted = store_dump(store->engine, &store->op);

    assert_string_equal(copied, wanted);
}

static struct hf_mirror_info info_of(struct store_world *world)
{
    struct hf_mirror_info info;

    assert_true(hf_mirror_info(world->engine, &info));
    return info;
}

/* --- following --- */

static void what_one_node_writes_the_other_reads_after_a_look(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct store_world *two = &shared->nodes[1].world;
    HF_AUTO(record) record = NULL;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_record(one, "a", 1, "a1");
    assert_same(one, &shared->store);
    assert_fails(&two->op, hf_engine_get(two->engine, &two->op, "a", &record), HF_NOT_FOUND);
    assert_ok(&two->op, follow(two));
    assert_record(two, "a", 1, "a1");
    assert_same(two, &shared->store);
    assert_int_equal(info_of(two).seq, 1);
    assert_int_equal(info_of(two).problem, HF_MIRROR_FINE);

    /* And many at once, of which some were overtaken. */
    for (uint64_t i = 1; i < 100; i++) {
        assert_ok(&two->op, store_put(two, "a", i, "again"));
        assert_ok(&one->op, store_put(one, "b", i - 1, "other"));
    }
    assert_ok(&two->op, follow(two));
    assert_same(one, &shared->store);
    assert_same(two, &shared->store);
}

/* The revision is another node's: after the conflict it is here, so that a repeat can build on it.
 */
static void a_conflict_brings_what_the_other_did(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct store_world *two = &shared->nodes[1].world;

    assert_ok(&one->op, store_put(one, "a", 0, "one"));
    assert_fails(&two->op, store_put(two, "a", 0, "two"), HF_CONFLICT);
    assert_record(two, "a", 1, "one");
    assert_ok(&two->op, store_put(two, "a", 1, "two"));
}

static void a_repeat_of_what_the_other_did_brings_it(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct store_world *two = &shared->nodes[1].world;
    struct hf_change change = store_change("a", 0, "a1");
    struct hf_batch batch = store_batch(7, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    assert_ok(&one->op, hf_engine_apply(one->engine, &one->op, &batch, &commit));
    assert_ok(&two->op, hf_engine_recall(two->engine, &two->op, &batch, &commit));
    assert_true(commit.repeated);
    assert_record(two, "a", 1, "a1");
    assert_ok(&two->op, hf_engine_apply(two->engine, &two->op, &batch, &commit));
    assert_true(commit.repeated && commit.seq == 1);
    hf_commit_done(&commit);
}

static void a_node_that_comes_back_finds_where_it_was_and_goes_on(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct store_world *two = &shared->nodes[1].world;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_ok(&two->op, follow(two));
    store_world_close(two);
    assert_ok(&one->op, store_put(one, "a", 1, "a2"));
    assert_ok(&two->op, open_node(shared, 1));
    assert_int_equal(info_of(two).copies, 0);
    assert_record(two, "a", 2, "a2");
    assert_same(two, &shared->store);
}

static void a_log_that_was_cut_leads_to_another_copy(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct store_world *two = &shared->nodes[1].world;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_ok(&two->op, follow(two));
    for (uint64_t i = 1; i < 6; i++) {
        assert_ok(&one->op, store_put(one, "a", i, "more"));
    }
    assert_ok(&one->op, hf_engine_forget(one->engine, &one->op, 5));
    assert_same(one, &shared->store);
    assert_ok(&two->op, follow(two));
    assert_int_equal(info_of(two).copies, 2); /* the first was made when it was opened */
    assert_same(two, &shared->store);

    /* What was forgotten there is forgotten here, also when nothing of it was missed. */
    assert_ok(&one->op, hf_engine_forget(one->engine, &one->op, 100));
    assert_ok(&two->op, follow(two));
    assert_int_equal(info_of(two).copies, 2);
    assert_same(two, &shared->store);
    assert_ok(&one->op, store_put(one, "a", 6, "after"));
    assert_ok(&two->op, follow(two));
    assert_same(two, &shared->store);
}

/* --- the store is away --- */

static void while_the_store_is_away_the_copy_is_read_and_nothing_is_written(void **state)
{
    struct shared *shared = *state;
    struct node *node = &shared->nodes[0];
    struct store_world *one = &node->world;
    struct store_world *two = &shared->nodes[1].world;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_same(one, &shared->store);
    atomic_store(&node->cut, true);
    one->clock.realtime_ms = 1234;
    assert_fails(&one->op, follow(one), HF_UNAVAILABLE);
    assert_int_equal(info_of(one).problem, HF_MIRROR_AWAY);
    assert_int_equal(info_of(one).since_ms, 1234);
    assert_string_equal(info_of(one).text, "the way to the store is cut");
    assert_fails(&one->op, store_put(one, "a", 1, "a2"), HF_UNAVAILABLE);
    assert_non_null(strstr(one->op.text, "nothing can be changed while the store does not answer"));
    assert_non_null(strstr(one->op.text, "the way to the store is cut"));
    assert_same(one, &shared->store);

    /* After a restart too. */
    store_world_close(one);
    assert_ok(&one->op, open_node(shared, 0));
    assert_record(one, "a", 1, "a1");
    assert_fails(&one->op, store_put(one, "a", 1, "a2"), HF_UNAVAILABLE);

    assert_ok(&two->op, follow(two));
    assert_ok(&two->op, store_put(two, "a", 1, "by two"));
    atomic_store(&node->cut, false);
    assert_ok(&one->op, follow(one));
    assert_int_equal(info_of(one).problem, HF_MIRROR_FINE);
    assert_ok(&one->op, store_put(one, "a", 2, "a3"));
    assert_same(one, &shared->store);
}

static void without_a_copy_the_store_must_answer(void **state)
{
    struct shared *shared = *state;
    struct node *node = &shared->nodes[0];
    HF_AUTO_STRING remove_all = hf_format("rm -r '%s'", node->world.directory);

    store_world_close(&node->world);
    assert_int_equal(system(remove_all), 0);
    atomic_store(&node->cut, true);
    assert_fails(&node->world.op, open_node(shared, 0), HF_UNAVAILABLE);
    assert_non_null(strstr(node->world.op.text, "the way to the store is cut"));
    atomic_store(&node->cut, false);
    assert_ok(&node->world.op, open_node(shared, 0));
    assert_same(&node->world, &shared->store);
}

/* --- the copy is damaged or gone --- */

static void write_over(const char *directory, off_t at, const char *bytes, size_t len)
{
    HF_AUTO_STRING file = hf_format("%s/store.db", directory);
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    (void)close(fd);
}

static void a_damaged_copy_is_made_anew_or_refused(void **state)
{
    static const char junk[64] = "this is no database at all";
    struct shared *shared = *state;
    struct node *node = &shared->nodes[0];
    struct store_world *one = &node->world;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    store_world_close(one);
    write_over(one->directory, 0, junk, sizeof junk);
    atomic_store(&node->cut, true);
    assert_fails(&one->op, open_node(shared, 0), HF_UNAVAILABLE);
    assert_non_null(strstr(one->op.text, "is not a store"));
    atomic_store(&node->cut, false);
    assert_ok(&one->op, open_node(shared, 0));
    assert_int_equal(info_of(one).copies, 1);
    assert_same(one, &shared->store);
    assert_ok(&one->op, store_put(one, "a", 1, "a2"));
    assert_same(one, &shared->store);
}

/* Damage that shows only when a page is read. */
static void damage_that_is_met_while_it_runs_is_mended(void **state)
{
    static char junk[64 << 10];
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    HF_AUTO(record) record = NULL;
    struct stat about;
    HF_AUTO_STRING file = hf_format("%s/store.db", one->directory);

    for (int i = 0; i < 300; i++) {
        char path[16];

        (void)snprintf(path, sizeof path, "k%03d", i);
        assert_ok(&one->op, store_put(one, path, 0, "0123456789012345678901234567890123456789"));
    }
    store_world_close(one);
    memset(junk, 0xa5, sizeof junk);
    assert_int_equal(stat(file, &about), 0);
    for (off_t at = 8192; at + (off_t)sizeof junk < about.st_size; at += (off_t)sizeof junk) {
        write_over(one->directory, at, junk, sizeof junk);
    }
    assert_ok(&one->op, open_node(shared, 0));
    assert_ok(&one->op, hf_engine_get(one->engine, &one->op, "k150", &record));
    assert_string_equal(hf_buf_text(&record->body), "0123456789012345678901234567890123456789");
    assert_int_equal(info_of(one).copies, 1);
    assert_same(one, &shared->store);
}

/* The node has seen the second, so the first is no answer. */
static void a_copy_that_goes_back_is_made_anew(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    HF_AUTO_STRING file = hf_format("%s/store.db", one->directory);
    uint64_t copies = info_of(one).copies;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_ok(&one->op, store_put(one, "a", 1, "a2"));
    lose_the_last_commit(file);
    assert_record(one, "a", 2, "a2");
    assert_int_equal(info_of(one).copies, copies + 1);
    assert_ok(&one->op, store_put(one, "a", 2, "a3"));
    lose_the_last_commit(file);
    assert_ok(&one->op, store_put(&shared->store, "a", 3, "a4"));
    assert_same(one, &shared->store);
    assert_int_equal(info_of(one).copies, copies + 2);
}

static void a_copy_that_was_deleted_while_it_was_used_is_made_anew(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    HF_AUTO_STRING remove_all = hf_format("rm '%s'/store.db*", one->directory);
    uint64_t copies = info_of(one).copies;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_int_equal(system(remove_all), 0);
    assert_record(one, "a", 1, "a1");
    assert_ok(&one->op, store_put(one, "a", 1, "a2"));
    assert_int_equal(info_of(one).copies, copies + 1);
    assert_same(one, &shared->store);
    store_world_close(one);
    assert_ok(&one->op, open_node(shared, 0));
    assert_same(one, &shared->store);
}

static void a_copy_is_made_anew_when_it_is_asked_for(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    uint64_t copies = info_of(one).copies;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_ok(&one->op, hf_mirror_renew(one->engine, &one->op, copies));
    assert_int_equal(info_of(one).copies, copies + 1);
    assert_same(one, &shared->store);
    /* Who saw the one before has no new reason. */
    assert_ok(&one->op, hf_mirror_renew(one->engine, &one->op, copies));
    assert_int_equal(info_of(one).copies, copies + 1);
    assert_fails(&shared->store.op, hf_mirror_renew(shared->store.engine, &shared->store.op, 0),
                 HF_UNSUPPORTED);
}

static void two_processes_do_not_share_a_copy(void **state)
{
    struct shared *shared = *state;
    struct node *node = &shared->nodes[0];
    struct hf_engine *second = NULL;

    assert_fails(
        &node->world.op,
        hf_mirror_new(&node->world.op, way_new(shared, node), node->world.directory, &second),
        HF_WRONG_STATE);
    assert_non_null(strstr(node->world.op.text, "is open in process"));
}

/* --- the store is not the one that was copied --- */

/* Another store in the place of the one there is: what its files were at some moment. */
static void put_back(struct shared *shared, struct store_world *old)
{
    store_world_close(&shared->store);
    assert_ok(&old->op, store_world_open(old, false));
    (void)put_in_place(shared, old->engine);
    old->engine = NULL;
}

static void refused(struct store_world *one, const char *text)
{
    assert_fails(&one->op, follow(one), HF_WRONG_STATE);
    assert_non_null(strstr(one->op.text, text));
    assert_non_null(strstr(one->op.text, "bring the right store back"));
    assert_int_equal(info_of(one).problem, HF_MIRROR_REFUSED);
    /* What was copied is read all the same; nothing is written to such a store. */
    assert_record(one, "a", 4, "a4");
    assert_fails(&one->op, store_put(one, "a", 4, "never"), HF_WRONG_STATE);
    assert_non_null(strstr(one->op.text, text));
    assert_int_equal(info_of(one).seq, 4);
}

static void a_store_that_went_back_or_has_another_history_is_not_followed(void **state)
{
    static const struct {
        const char *says;
        uint64_t more; /* commits of the old store after it was put back */
        const char *text;
    } cases[] = {
        { "it is behind", 0, "the store went back in time: it stands at commit 2" },
        { "it is as far", 2, "the store has another history: its commit 4" },
        { "it is further", 5, "the store has another history: its commit 4" },
    };
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct store_world old[HF_COUNT(cases)];

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    assert_ok(&one->op, store_put(one, "a", 1, "a2"));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        store_world_init_killed(&old[i], &shared->store);
        old[i].requests = (uint32_t)(i + 7) << 20;
    }
    assert_ok(&one->op, store_put(one, "a", 2, "a3"));
    assert_ok(&one->op, store_put(one, "a", 3, "a4"));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        put_back(shared, &old[i]);
        shared->store.requests = old[i].requests;
        for (uint64_t j = 0; j < cases[i].more; j++) {
            assert_ok(&shared->store.op, store_put(&shared->store, "a", 2 + j, "other"));
        }
        print_message("%s\n", cases[i].says);
        refused(one, cases[i].text);
        /* Nor is it copied anew, whatever happens to the copy. */
        if (cases[i].more == 0) {
            assert_fails(&one->op, hf_mirror_renew(one->engine, &one->op, info_of(one).copies),
                         HF_WRONG_STATE);
        }
        store_world_close(one);
        assert_ok(&one->op, open_node(shared, 0));
        refused(one, cases[i].text);
        store_world_done(&old[i]);
    }
}

/* By hand, as a failover leaves it. */
static void raise_epoch(struct store_world *store)
{
    static const char sql[] = "UPDATE state SET epoch = 9";
    HF_AUTO_STRING file = file_in(store, "store.db");

    if (store->kind->is_remote) {
        store_database_run(store->directory, sql);
        return;
    }
    store_world_close(store);
    run_sql(file, sql);
    assert_ok(&store->op, store_world_open(store, false));
}

/* A failover raises the epoch; what is confirmed is the same after it. */
static void a_new_epoch_is_followed(void **state)
{
    struct shared *shared = *state;
    struct store_world *store = &shared->store;
    struct store_world *one = &shared->nodes[0].world;
    struct hf_store_state copied;

    assert_ok(&one->op, store_put(one, "a", 0, "a1"));
    raise_epoch(store);
    assert_ok(&one->op, follow(one));
    assert_ok(&one->op, hf_engine_state(one->engine, &one->op, &copied, NULL));
    assert_int_equal(copied.epoch, 9);
    assert_ok(&one->op, store_put(one, "a", 1, "a2"));
    assert_same(one, store);
    store_world_close(one);
    assert_ok(&one->op, open_node(shared, 0));
    assert_same(one, store);
}

static void another_store_is_not_followed(void **state)
{
    struct shared *shared = *state;
    struct store_world *one = &shared->nodes[0].world;
    struct hf_store_settings settings = { .engine = "memory", .create = true };
    struct hf_engine *other = NULL;
    struct hf_engine *own;

    assert_ok(&one->op, hf_engine_open(&one->op, &settings, &other));
    own = put_in_place(shared, other);
    assert_fails(&one->op, follow(one), HF_WRONG_STATE);
    assert_non_null(strstr(one->op.text, "another store"));
    assert_non_null(strstr(one->op.text, "section store in holdfast.conf"));
    assert_null(strstr(one->op.text, "accept-history"));
    hf_engine_free(put_in_place(shared, own));
    assert_ok(&one->op, follow(one));
}

/* --- each call to the store fails once --- */

static const struct {
    const char *says;
    enum hf_fault fault;
    enum hf_code code;
} faults[] = {
    { "unavailable", HF_FAULT_BEFORE, HF_UNAVAILABLE },
    { "no space", HF_FAULT_BEFORE, HF_NO_SPACE },
    { "its answer was lost", HF_FAULT_IN_DOUBT, HF_IN_DOUBT },
};

/* A write, a look, a write of the other node, a look. Under ids of the round, so that it can be
 * repeated until it works. */
static struct hf_status work(struct shared *shared, uint32_t round, const char *path)
{
    struct store_world *worlds[] = { &shared->nodes[0].world, &shared->nodes[1].world };

    for (uint32_t i = 0; i < 4; i++) {
        struct store_world *world = worlds[i % 2];
        struct hf_change change = store_change(path, i, "body");
        struct hf_batch batch = store_batch(round * 4 + i + 1, &change, 1);
        struct hf_commit commit;
        struct hf_status status;

        hf_commit_init(&commit);
        status = hf_engine_apply(world->engine, &world->op, &batch, &commit);
        hf_commit_done(&commit);
        HF_TRY(status);
        HF_TRY(follow(worlds[(i + 1) % 2]));
    }
    return HF_SUCCESS;
}

static void a_call_that_fails_loses_and_doubles_nothing(void **state)
{
    struct shared *shared = *state;
    struct hf_engine *failing = hf_failing_new(shared->store.engine);
    uint32_t round = 0;

    (void)put_in_place(shared, failing);
    for (size_t i = 0; i < HF_COUNT(faults); i++) {
        bool failed = true;

        for (uint64_t at = 1; failed; at++) {
            char path[16];
            struct hf_status status;

            (void)snprintf(path, sizeof path, "r%u", ++round);
            hf_failing_set(failing, faults[i].fault, faults[i].code, at);
            status = work(shared, round, path);
            failed = hf_failing_faults(failing) > 0;
            hf_failing_set(failing, HF_FAULT_NONE, HF_OK, 0);
            if (status.code != HF_OK) {
                assert_true(failed);
                assert_ok(&shared->store.op, work(shared, round, path));
            }
            assert_record(&shared->nodes[0].world, path, 4, "body");
            assert_same(&shared->nodes[0].world, &shared->store);
            assert_same(&shared->nodes[1].world, &shared->store);
        }
        assert_true(round > 4);
    }
}

/* --- threads --- */

#define WRITES 150

struct hand {
    pthread_t thread;
    struct store_world *world;
    const char *path;
    uint32_t first_request;
    atomic_bool *stop; /* a reader's */
    unsigned conflicts;
    unsigned failures;
};

static uint64_t revision_of(struct store_world *world, struct hf_op *op, const char *path)
{
    HF_AUTO(record) record = NULL;

    return hf_engine_get(world->engine, op, path, &record).code == HF_OK ? record->revision : 0;
}

/* Adds one revision after another to a record that others change as well. */
static void *write_many(void *context)
{
    struct hand *hand = context;
    struct hf_op op;

    hf_op_init(&op, hand->world->op.env);
    for (uint32_t done = 0; done < WRITES;) {
        uint64_t revision = revision_of(hand->world, &op, hand->path);
        struct hf_change change = store_change(hand->path, revision, "body");
        struct hf_batch batch = store_batch(hand->first_request + done, &change, 1);
        struct hf_commit commit;
        struct hf_status status;

        hf_commit_init(&commit);
        status = hf_engine_apply(hand->world->engine, &op, &batch, &commit);
        /* What was answered is read from then on. */
        if (status.code == HF_OK) {
            hand->failures += revision_of(hand->world, &op, hand->path) <= revision;
            done++;
        } else {
            hand->failures += status.code != HF_CONFLICT;
            hand->conflicts++;
        }
        hf_commit_done(&commit);
    }
    return NULL;
}

/* The copy is a state of the store at any moment: its last commit is that of one of its records. */
static void *read_many(void *context)
{
    struct hand *hand = context;
    uint64_t last = 0;
    struct hf_op op;

    hf_op_init(&op, hand->world->op.env);
    while (!atomic_load(hand->stop)) {
        struct hf_store_state state = { 0 };
        uint64_t seq = 0;

        hand->failures += hf_mirror_follow(hand->world->engine, &op, &seq).code != HF_OK;
        hand->failures += hf_engine_state(hand->world->engine, &op, &state, NULL).code != HF_OK;
        hand->failures += state.seq < seq || seq < last;
        last = seq;
    }
    return NULL;
}

static void nodes_and_threads_see_every_change_once(void **state)
{
    static const char *const paths[] = { "a", "b", "a", "b" };
    struct shared *shared = *state;
    struct hand writers[HF_COUNT(paths)];
    struct hand readers[HF_COUNT(shared->nodes)];
    atomic_bool stop;

    atomic_init(&stop, false);
    for (size_t i = 0; i < HF_COUNT(writers); i++) {
        writers[i] = (struct hand){ .world = &shared->nodes[i / 2].world,
                                    .path = paths[i],
                                    .first_request = (uint32_t)(i + 1) * 1000 };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < HF_COUNT(readers); i++) {
        readers[i] = (struct hand){ .world = &shared->nodes[i].world, .stop = &stop };
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_many, &readers[i]), 0);
    }
    for (size_t i = 0; i < HF_COUNT(writers); i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].failures, 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < HF_COUNT(readers); i++) {
        struct store_world *world = &shared->nodes[i].world;

        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].failures, 0);
        assert_ok(&world->op, follow(world));
        assert_record(world, "a", 2 * (uint64_t)WRITES, "body");
        assert_record(world, "b", 2 * (uint64_t)WRITES, "body");
        assert_same(world, &shared->store);
    }
}

#define SHARED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
    SHARED(what_one_node_writes_the_other_reads_after_a_look),
    SHARED(a_conflict_brings_what_the_other_did),
    SHARED(a_repeat_of_what_the_other_did_brings_it),
    SHARED(a_node_that_comes_back_finds_where_it_was_and_goes_on),
    SHARED(while_the_store_is_away_the_copy_is_read_and_nothing_is_written),
    SHARED(without_a_copy_the_store_must_answer),
    SHARED(a_damaged_copy_is_made_anew_or_refused),
    SHARED(damage_that_is_met_while_it_runs_is_mended),
    SHARED(a_copy_that_goes_back_is_made_anew),
    SHARED(a_copy_that_was_deleted_while_it_was_used_is_made_anew),
    SHARED(a_copy_is_made_anew_when_it_is_asked_for),
    SHARED(two_processes_do_not_share_a_copy),
    SHARED(another_store_is_not_followed),
    SHARED(a_call_that_fails_loses_and_doubles_nothing),
    SHARED(nodes_and_threads_see_every_change_once),
};

/* For these the store outlives its engine, or has snapshots. */
static const struct CMUnitTest tests_of_lasting[] = {
    SHARED(a_log_that_was_cut_leads_to_another_copy),
    SHARED(a_store_that_went_back_or_has_another_history_is_not_followed),
    SHARED(a_new_epoch_is_followed),
};

static int run_on(const char *engine, const struct CMUnitTest *some, size_t count)
{
    struct CMUnitTest *own = hf_alloc_array(count, sizeof *own);
    int failed;

    for (size_t i = 0; i < count; i++) {
        own[i] = some[i];
        /* cmocka hands it on without a const, and the setup only reads it. */
        own[i].initial_state = (void *)(uintptr_t)store_kind_named(engine);
    }
    failed = _cmocka_run_group_tests(engine, own, count, NULL, NULL);
    free(own);
    return failed;
}

/* On a database server nothing is left out: the copies are files there, too. */
int main(void)
{
    if (store_database() != NULL) {
        return run_on("postgres", tests, HF_COUNT(tests)) +
               run_on("postgres", tests_of_lasting, HF_COUNT(tests_of_lasting));
    }
    return run_on("sqlite", tests, HF_COUNT(tests)) +
           run_on("sqlite", tests_of_lasting, HF_COUNT(tests_of_lasting)) +
           run_on("memory", tests, HF_COUNT(tests));
}
