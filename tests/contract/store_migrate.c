/* Moving a store between engines: everything arrives, and no fault leaves two stores or none. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/migrate.h"
#include "store_database.h"
#include "store_files.h"
#include "store_world.h"

/* From one place to another; with a database to test with, it is one of them. */
static const struct way {
    const char *from, *to;
} ways[] = {
    { "sqlite", "sqlite" },
    { "sqlite", "postgres" },
    { "postgres", "sqlite" },
};

/* Rows enough for several pages and windows. */
#define MANY 600

struct place {
    struct store_world world;
    char *host;
    const char *hosts[2];
    struct hf_store_settings settings;
};

struct move {
    struct place from, to;
    char *scratch;
    struct hf_migration migration;
    /* of faults: which call of which engine, in the order they are opened */
    unsigned opened, engine;
    uint64_t call;
    enum hf_fault fault;
    struct hf_engine *broken;
    uint64_t faults;
};

static void place_init(struct place *place, const char *engine)
{
    store_world_init_fast(&place->world, store_kind_named(engine));
    if (place->world.kind->is_remote) {
        place->host = store_database_of(place->world.directory);
    }
    place->hosts[0] = place->host;
    place->settings = (struct hf_store_settings){ .engine = engine,
                                                  .directory = place->world.directory,
                                                  .hosts = place->hosts };
}

/* The schemas beside the store's too. */
static void drop_beside(const struct place *place)
{
    PGresult *name = store_database_ask(place->world.directory, "SELECT current_schema()");
    HF_AUTO_STRING drop = hf_format("SET client_min_messages = error;"
                                    "DROP SCHEMA IF EXISTS %s_arriving CASCADE;"
                                    "DROP SCHEMA IF EXISTS %s_moved CASCADE",
                                    PQgetvalue(name, 0, 0), PQgetvalue(name, 0, 0));

    PQclear(name);
    store_database_run(place->world.directory, drop);
}

static void place_done(struct place *place)
{
    store_world_close(&place->world);
    if (place->world.kind->is_remote) {
        drop_beside(place);
    }
    free(place->host);
    if (!place->world.kind->is_remote) {
        /* A test may have made nothing there. */
        (void)remove(place->world.directory);
    }
    store_world_done(&place->world);
}

static struct hf_status place_open(struct place *place)
{
    return hf_engine_open(&place->world.op, &place->settings, &place->world.engine);
}

static void fill(struct place *place, unsigned count)
{
    struct store_world *world = &place->world;
    uint64_t fence = 0;

    assert_ok(&world->op, store_world_open(world, true));
    for (unsigned i = 0; i < count; i++) {
        HF_AUTO_STRING path = hf_format("key/%u", i / 2);
        HF_AUTO_STRING body = hf_format("body %u", i);

        assert_ok(&world->op, store_put(world, path, i % 2, body));
    }
    assert_ok(&world->op, hf_engine_lease(world->engine, &world->op, "job", "n1", 1, &fence));
    assert_ok(&world->op, hf_engine_lease(world->engine, &world->op, "job", "n1", 0, &fence));
    assert_ok(&world->op, hf_engine_forget(world->engine, &world->op, count / 4));
    store_world_close(world);
}

static void move_init(struct move *move, const struct way *way, unsigned count)
{
    memset(move, 0, sizeof *move);
    place_init(&move->from, way->from);
    place_init(&move->to, way->to);
    fill(&move->from, count);
    move->scratch = hf_format("%s/moving", move->from.world.root);
    move->migration = (struct hf_migration){ .from = &move->from.settings,
                                             .to = &move->to.settings,
                                             .from_words = "the old place",
                                             .to_words = "the new place",
                                             .scratch = move->scratch,
                                             .context = move };
}

static void move_done(struct move *move)
{
    assert_int_equal(access(move->scratch, F_OK), -1);
    place_done(&move->from);
    place_done(&move->to);
    free(move->scratch);
}

static struct hf_op *op_of(struct move *move)
{
    hf_op_clear(&move->from.world.op);
    return &move->from.world.op;
}

/* All that the store there shows. */
static char *dump_of(struct place *place)
{
    char *text;

    assert_ok(&place->world.op, place_open(place));
    text = store_dump(place->world.engine, &place->world.op);
    store_world_close(&place->world);
    return text;
}

static bool is_open_at(struct place *place)
{
    bool opens = place_open(place).code == HF_OK;

    store_world_close(&place->world);
    hf_op_clear(&place->world.op);
    return opens;
}

/* With each way that can be tried here. */
static void each_way(void (*test)(const struct way *way))
{
    for (size_t i = 0; i < HF_COUNT(ways); i++) {
        bool remote = strcmp(ways[i].from, "postgres") == 0 || strcmp(ways[i].to, "postgres") == 0;

        if (remote == (store_database() != NULL)) {
            test(&ways[i]);
        }
    }
}

/* --- everything arrives --- */

static void assert_repeats(struct place *place, uint32_t request)
{
    struct hf_change change = store_change("key/1", 1, "body 3");
    struct hf_batch batch = store_batch(request, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    assert_ok(&place->world.op,
              hf_engine_recall(place->world.engine, &place->world.op, &batch, &commit));
    assert_true(commit.repeated);
    assert_int_equal(commit.seq, request);
    assert_true(hf_bytes_equal_text(hf_buf_bytes(&commit.result), "result"));
    hf_commit_done(&commit);
}

static void goes_on(struct place *place)
{
    struct store_world *world = &place->world;
    struct hf_store_state state;
    uint64_t fence = 0;

    assert_ok(&world->op, place_open(place));
    assert_repeats(place, MANY);
    assert_repeats(place, MANY / 2);
    assert_ok(&world->op, hf_engine_lease(world->engine, &world->op, "job", "n2", 1, &fence));
    assert_int_equal(fence, 2);
    world->requests = MANY;
    assert_ok(&world->op, store_put(world, "key/1", 2, "after"));
    assert_ok(&world->op, hf_engine_state(world->engine, &world->op, &state, NULL));
    assert_int_equal(state.seq, MANY + 1);
    store_world_close(world);
}

static void moves_all(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    move_init(&move, way, MANY);
    before = dump_of(&move.from);
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    after = dump_of(&move.to);
    assert_string_equal(before, after);
    assert_false(report.resumed);
    assert_int_equal(report.state.seq, MANY);
    assert_int_equal(report.counts.records, MANY / 2);
    assert_int_equal(report.counts.batches, MANY - MANY / 4 + 1);
    assert_int_equal(report.counts.requests, MANY - MANY / 4 + 1);
    assert_int_equal(report.counts.leases, 1);
    assert_fails(op_of(&move), place_open(&move.from), HF_CONFLICT);
    assert_non_null(strstr(move.from.world.op.text, "the new place"));
    goes_on(&move.to);
    move_done(&move);
}

static void a_store_arrives_with_all_it_had(void **unused)
{
    (void)unused;
    each_way(moves_all);
}

static void comes_back(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;
    struct hf_migration back;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    move_init(&move, way, MANY);
    back = move.migration;
    back.from = move.migration.to;
    back.to = move.migration.from;
    for (int i = 0; i < 2; i++) {
        assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
        move.to.world.requests = MANY + (uint32_t)i;
        assert_ok(&move.to.world.op, place_open(&move.to));
        assert_ok(&move.to.world.op, store_put(&move.to.world, "there", (uint64_t)i, "1"));
        store_world_close(&move.to.world);
        free(before);
        before = dump_of(&move.to);
        assert_ok(op_of(&move), hf_migrate(op_of(&move), &back, &report));
        free(after);
        after = dump_of(&move.from);
        assert_string_equal(before, after);
        assert_false(is_open_at(&move.to));
    }
    move_done(&move);
}

static void a_store_comes_back_and_goes_again(void **unused)
{
    (void)unused;
    each_way(comes_back);
}

/* --- faults --- */

static struct hf_engine *break_one(void *context, struct hf_engine *engine)
{
    struct move *move = context;

    if (++move->opened != move->engine) {
        return engine;
    }
    move->broken = hf_failing_new(engine);
    hf_failing_set(move->broken, move->fault, HF_UNAVAILABLE, move->call);
    return move->broken;
}

/* One migration with a fault, then one without; false: that call is not made. */
static bool survives(const struct way *way, unsigned engine, uint64_t call, enum hf_fault fault)
{
    struct move move;
    struct hf_migration_report report;
    struct hf_status status;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    move_init(&move, way, 6);
    before = dump_of(&move.from);
    move.migration.wrap = break_one;
    move.engine = engine;
    move.call = call;
    move.fault = fault;
    status = hf_migrate(op_of(&move), &move.migration, &report);
    if (is_open_at(&move.from) && is_open_at(&move.to)) {
        fail_msg("%s to %s, engine %u, call %u: two stores", way->from, way->to, engine,
                 (unsigned)call);
    }
    move.migration.wrap = NULL;
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    after = dump_of(&move.to);
    assert_string_equal(before, after);
    assert_false(is_open_at(&move.from));
    move_done(&move);
    return status.code != HF_OK;
}

static void each_call_fails_once(const struct way *way)
{
    static const enum hf_fault faults[] = { HF_FAULT_BEFORE, HF_FAULT_IN_DOUBT };
    unsigned happened = 0;

    for (size_t i = 0; i < HF_COUNT(faults); i++) {
        for (unsigned engine = 1; engine <= 3; engine++) {
            for (uint64_t call = 1; survives(way, engine, call, faults[i]); call++) {
                happened++;
            }
        }
    }
    /* Two to five steps of each side, and the last look, each in two ways. */
    assert_int_equal(happened, 16);
}

static void no_fault_leaves_two_stores_or_none(void **unused)
{
    (void)unused;
    each_way(each_call_fails_once);
}

static struct hf_engine *write_meanwhile(void *context, struct hf_engine *engine)
{
    struct move *move = context;

    if (++move->opened == 1) {
        move->broken = engine;
    } else if (move->opened == 2) {
        move->from.world.engine = move->broken;
        move->from.world.requests = 100;
        assert_ok(&move->from.world.op, store_put(&move->from.world, "late", 0, "1"));
        move->from.world.engine = NULL;
    }
    return engine;
}

static void refuses_writers(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;

    move_init(&move, way, 6);
    move.migration.wrap = write_meanwhile;
    assert_fails(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report), HF_CONFLICT);
    assert_true(is_open_at(&move.from));
    assert_false(is_open_at(&move.to));
    move_done(&move);
}

static void a_source_that_is_written_to_stays_where_it_is(void **unused)
{
    (void)unused;
    each_way(refuses_writers);
}

static void put_beat(struct store_world *world, struct hf_engine *engine, const char *node,
                     uint64_t number)
{
    struct hf_beat beat = { .node = node, .number = number };
    uint64_t seq = 0;

    assert_ok(&world->op, hf_engine_beat(engine, &world->op, &beat, false, &seq));
}

/* While the copy is made one node beats, and another begins to. */
static struct hf_engine *beat_meanwhile(void *context, struct hf_engine *engine)
{
    struct move *move = context;

    if (++move->opened == 1) {
        put_beat(&move->from.world, engine, "idle", 1);
        put_beat(&move->from.world, engine, "silent", 7);
        move->broken = engine;
    } else if (move->opened == 2 && move->call > 0) {
        put_beat(&move->from.world, move->broken, "idle", 2);
        put_beat(&move->from.world, move->broken, "new", 1);
    }
    return engine;
}

static void refuses_nodes_that_beat(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;

    if (strcmp(way->from, "postgres") != 0) {
        return;
    }
    move_init(&move, way, 6);
    move.migration.wrap = beat_meanwhile;
    move.call = 1;
    assert_fails(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report), HF_WRONG_STATE);
    assert_non_null(strstr(move.from.world.op.text, "run on the store: idle, new;"));
    assert_true(is_open_at(&move.from));
    assert_false(is_open_at(&move.to));
    /* All have stopped. */
    move.opened = 0;
    move.call = 0;
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    assert_false(is_open_at(&move.from));
    move_done(&move);
}

static void a_source_that_idle_nodes_serve_stays_where_it_is(void **unused)
{
    (void)unused;
    each_way(refuses_nodes_that_beat);
}

/* A node that goes on serving the store in a database finds it closed, for reading too. */
static void shuts_out(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;
    struct store_world *there = &move.from.world;
    struct hf_store_state state;
    HF_AUTO(record) record = NULL;

    if (strcmp(way->from, "postgres") != 0) {
        return;
    }
    move_init(&move, way, 6);
    assert_ok(&there->op, place_open(&move.from));
    there->requests = 100;
    assert_ok(&there->op, store_put(there, "a", 0, "1"));
    assert_record(there, "a", 1, "1");
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    assert_int_equal(report.state.seq, 7);
    assert_fails(&there->op, store_put(there, "a", 1, "2"), HF_CORRUPT);
    assert_fails(&there->op, hf_engine_get(there->engine, &there->op, "a", &record), HF_CORRUPT);
    assert_fails(&there->op, hf_engine_state(there->engine, &there->op, &state, NULL), HF_CORRUPT);
    store_world_close(there);
    move_done(&move);
}

static void a_node_that_still_runs_neither_reads_nor_writes_the_old_store(void **unused)
{
    (void)unused;
    each_way(shuts_out);
}

/* As many hosts as a configuration may name, with names as long as those of clouds. */
static char *words_of_many_hosts(void)
{
    HF_AUTO(buf) words = hf_buf_new();

    hf_buf_add_text(words, "postgres");
    for (unsigned i = 0; i < 16; i++) {
        hf_buf_add_format(words,
                          "%s host='holdfast-database-%u.internal.some-region.compute.of-a-cloud"
                          ".example.net' port='5432'",
                          i > 0 ? "," : "", i);
    }
    return hf_strdup(hf_buf_text(words));
}

/* The words that a retired store tells are cut where they are long; what it is must not hang on
 * them. */
static void resumes_with_many_hosts(const struct way *way)
{
    HF_AUTO_STRING words = words_of_many_hosts();
    struct move move;
    struct hf_migration_report report;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    move_init(&move, way, 6);
    before = dump_of(&move.from);
    move.migration.to_words = words;
    move.migration.wrap = break_one;
    /* The destination settles. */
    move.engine = 2;
    move.call = 2;
    move.fault = HF_FAULT_BEFORE;
    assert_fails(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report), HF_UNAVAILABLE);
    assert_false(is_open_at(&move.from));
    assert_false(is_open_at(&move.to));
    move.migration.wrap = NULL;
    for (int i = 0; i < 2; i++) {
        assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
        assert_true(report.resumed);
        assert_int_equal(report.state.seq, 6);
    }
    after = dump_of(&move.to);
    assert_string_equal(before, after);
    move_done(&move);
}

static void a_migration_goes_on_however_long_the_words_for_its_destination(void **unused)
{
    (void)unused;
    each_way(resumes_with_many_hosts);
}

/* What went to one place is not found at another, whatever is there. */
static void takes_no_other(const struct way *way)
{
    struct move move;
    struct place other = { 0 };
    struct hf_migration_report report;
    struct hf_migration elsewhere;
    struct hf_store_settings settings;

    move_init(&move, way, 6);
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    place_init(&other, "sqlite");
    settings = other.settings;
    settings.create = true;
    memset(settings.store_id, 0x77, sizeof settings.store_id);
    assert_ok(&other.world.op, hf_engine_open(&other.world.op, &settings, &other.world.engine));
    store_world_close(&other.world);
    elsewhere = move.migration;
    elsewhere.to = &other.settings;
    assert_fails(op_of(&move), hf_migrate(op_of(&move), &elsewhere, &report), HF_CONFLICT);
    assert_non_null(strstr(move.from.world.op.text, "the new place"));
    place_done(&other);
    move_done(&move);
}

static void a_store_is_not_taken_for_another_that_was_retired(void **unused)
{
    (void)unused;
    each_way(takes_no_other);
}

static void knows_what_was_retired(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;
    uint8_t id[HF_STORE_ID_LEN] = { 0 };

    move_init(&move, way, 6);
    assert_fails(op_of(&move), hf_engine_retired(op_of(&move), &move.from.settings, id),
                 HF_NOT_FOUND);
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    assert_ok(op_of(&move), hf_engine_retired(op_of(&move), &move.from.settings, id));
    assert_memory_equal(id, report.state.store_id, sizeof id);
    move_done(&move);
}

static void a_place_tells_which_store_was_retired_there(void **unused)
{
    (void)unused;
    each_way(knows_what_was_retired);
}

/* --- what is there already --- */

static void keeps_what_is_there(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;

    move_init(&move, way, 6);
    fill(&move.to, 2);
    before = dump_of(&move.to);
    assert_fails(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report), HF_EXISTS);
    assert_fails(op_of(&move), hf_migrate_check(op_of(&move), &move.migration, &report), HF_EXISTS);
    after = dump_of(&move.to);
    assert_string_equal(before, after);
    assert_true(is_open_at(&move.from));
    move_done(&move);
}

static void a_store_at_the_destination_is_not_touched(void **unused)
{
    (void)unused;
    each_way(keeps_what_is_there);
}

/* Another store that arrives may be all there is of it. */
static void keeps_another_arrival(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;
    struct hf_store_settings settings;
    struct store_world *there = &move.to.world;

    move_init(&move, way, 6);
    settings = move.to.settings;
    settings.create = true;
    settings.arriving = true;
    memset(settings.store_id, 0x77, sizeof settings.store_id);
    assert_ok(&there->op, hf_engine_open(&there->op, &settings, &there->engine));
    store_world_close(there);
    assert_fails(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report), HF_EXISTS);
    assert_non_null(strstr(move.from.world.op.text, "on its way"));
    settings.create = false;
    assert_ok(&there->op, hf_engine_open(&there->op, &settings, &there->engine));
    store_world_close(there);
    assert_true(is_open_at(&move.from));
    move_done(&move);
}

static void another_store_on_its_way_there_is_not_touched(void **unused)
{
    (void)unused;
    each_way(keeps_another_arrival);
}

static void only_looks(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;

    move_init(&move, way, 6);
    assert_ok(op_of(&move), hf_migrate_check(op_of(&move), &move.migration, &report));
    assert_int_equal(report.state.seq, 6);
    assert_true(is_open_at(&move.from));
    assert_false(is_open_at(&move.to));
    move_done(&move);
}

static void a_check_changes_nothing(void **unused)
{
    (void)unused;
    each_way(only_looks);
}

static void makes_none_where_one_went(const struct way *way)
{
    struct move move;
    struct hf_migration_report report;

    move_init(&move, way, 6);
    assert_ok(op_of(&move), hf_migrate(op_of(&move), &move.migration, &report));
    assert_fails(&move.from.world.op, store_world_open(&move.from.world, true), HF_EXISTS);
    assert_non_null(strstr(move.from.world.op.text, "the new place"));
    move_done(&move);
}

static void no_new_store_is_made_where_one_was_retired(void **unused)
{
    (void)unused;
    each_way(makes_none_where_one_went);
}

/* --- comparing --- */

static const struct {
    const char *says;
    const char *sql;
} differences[] = {
    { "another body", "UPDATE record SET body = x'00' WHERE path = 'key/1'" },
    { "another revision", "UPDATE record SET revision = 7 WHERE path = 'key/1'" },
    { "a record less", "DELETE FROM record WHERE path = 'key/1'" },
    { "a record more", "INSERT INTO record (path, revision, seq, digest, body)"
                       " VALUES ('x', 1, 1, x'00', x'00')" },
    { "another head", "UPDATE state SET head = x'00'" },
    { "another counter", "UPDATE state SET seq = seq + 1" },
    { "another epoch", "UPDATE state SET epoch = epoch + 1" },
    { "another link", "UPDATE change SET link = x'00'" },
    { "another answer", "UPDATE batch SET result = x'00' WHERE seq = 5" },
    { "a request less", "DELETE FROM request WHERE seq = 5" },
    { "a fence that fell", "UPDATE lease SET fence = 0" },
};

static void a_copy_that_differs_is_told(void **unused)
{
    struct move move;
    HF_AUTO_STRING first = NULL;
    HF_AUTO_STRING second = NULL;
    struct store_world *world = &move.from.world;
    struct hf_store_counts counts;
    uint64_t seq;

    (void)unused;
    move_init(&move, &ways[0], 6);
    first = hf_format("%s/first.db", world->root);
    second = hf_format("%s/second.db", world->root);
    assert_ok(&world->op, place_open(&move.from));
    assert_ok(&world->op, hf_engine_snapshot(world->engine, &world->op, first, &seq));
    copy_over(first, second);
    assert_ok(&world->op, hf_store_compare(&world->op, first, second, &counts));
    assert_int_equal(counts.records, 3);
    run_sql(second, "UPDATE lease SET opening = 1, expires_ms = 1");
    assert_ok(&world->op, hf_store_compare(&world->op, first, second, &counts));
    for (size_t i = 0; i < HF_COUNT(differences); i++) {
        copy_over(first, second);
        run_sql(second, differences[i].sql);
        if (hf_store_compare(&world->op, first, second, &counts).code != HF_CORRUPT) {
            fail_msg("%s is not seen", differences[i].says);
        }
    }
    move_done(&move);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_arrives_with_all_it_had),
        cmocka_unit_test(a_store_comes_back_and_goes_again),
        cmocka_unit_test(no_fault_leaves_two_stores_or_none),
        cmocka_unit_test(a_source_that_is_written_to_stays_where_it_is),
        cmocka_unit_test(a_source_that_idle_nodes_serve_stays_where_it_is),
        cmocka_unit_test(a_node_that_still_runs_neither_reads_nor_writes_the_old_store),
        cmocka_unit_test(a_migration_goes_on_however_long_the_words_for_its_destination),
        cmocka_unit_test(a_store_is_not_taken_for_another_that_was_retired),
        cmocka_unit_test(a_place_tells_which_store_was_retired_there),
        cmocka_unit_test(a_store_at_the_destination_is_not_touched),
        cmocka_unit_test(another_store_on_its_way_there_is_not_touched),
        cmocka_unit_test(a_check_changes_nothing),
        cmocka_unit_test(no_new_store_is_made_where_one_was_retired),
        cmocka_unit_test(a_copy_that_differs_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
