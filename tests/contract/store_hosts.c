/*
 * The PostgreSQL engine on two hosts, a primary and a standby that is promoted while the primary
 * still runs. The tests follow each other: what one does to the hosts the next one finds.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "store_database.h"
#include "store_world.h"

#define STORE       "hosts"
#define PATIENCE_MS 20000

struct node {
    struct hf_env env;
    struct hf_op op;
    struct hf_engine *engine;
};

static uint64_t now_ms(void)
{
    struct hf_env env;

    hf_env_system(&env);
    return hf_env_boottime_ms(&env);
}

/* The standby's, in the schema of the store, which came over from the primary. */
static char *standby_conninfo(void)
{
    HF_AUTO_STRING primary = store_database_of(STORE);

    return hf_format("%s %s", getenv("HOLDFAST_TEST_STANDBY"), strstr(primary, "options="));
}

static struct hf_status node_open(struct node *node, const char *first, const char *second,
                                  unsigned synchronous, bool create)
{
    const char *const hosts[] = { first, second, NULL };
    struct hf_store_settings settings = {
        .engine = "postgres", .create = create, .hosts = hosts, .synchronous = synchronous
    };

    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    memset(node, 0, sizeof *node);
    hf_env_system(&node->env);
    hf_op_init(&node->op, &node->env);
    return hf_engine_open(&node->op, &settings, &node->engine);
}

static void node_has(struct node *node, uint64_t ms)
{
    node->op.deadline_ms = hf_env_boottime_ms(&node->env) + ms;
}

static struct hf_status put_new(struct node *node, uint32_t request)
{
    HF_AUTO_STRING path = hf_format("path/%u", request);
    struct hf_change change = store_change(path, 0, "body");
    struct hf_batch batch = store_batch(request, &change, 1);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = hf_engine_apply(node->engine, &node->op, &batch, &commit);
    hf_commit_done(&commit);
    return status;
}

static struct hf_status look(struct node *node, const char *path)
{
    HF_AUTO(record) record = NULL;

    return hf_engine_get(node->engine, &node->op, path, &record);
}

static void nap(void)
{
    const struct timespec time = { .tv_nsec = 5000000 };

    (void)nanosleep(&time, NULL);
}

/* From the standby alone, since the engine prefers the primary. */
static PGresult *ask_standby(const char *sql)
{
    HF_AUTO_STRING conninfo = standby_conninfo();
    PGconn *db = PQconnectdb(conninfo);
    PGresult *result = PQexec(db, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    }
    PQfinish(db);
    return result;
}

static long standby_number(const char *sql)
{
    PGresult *result = ask_standby(sql);
    long number = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : -1;

    PQclear(result);
    return number;
}

static void await_standby(const char *sql)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;

    while (standby_number(sql) <= 0) {
        assert_true(now_ms() < until_ms);
        nap();
    }
}

static int make_store(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, primary, NULL, 0, true));
    assert_ok(&node.op, put_new(&node, 1));
    hf_engine_free(node.engine);
    await_standby("SELECT count(*) FROM pg_tables WHERE tablename = 'hb'");
    await_standby("SELECT seq FROM state");
    return 0;
}

static void reload(const char *names)
{
    HF_AUTO_STRING set = hf_format("ALTER SYSTEM SET synchronous_standby_names = '%s'", names);

    store_database_run(STORE, set);
    store_database_run(STORE, "SELECT pg_reload_conf()");
    store_database_run(STORE, "CHECKPOINT");
}

static void a_required_standby_that_is_there_and_named_is_enough(void **state)
{
    static const struct {
        const char *names;
        unsigned required;
        enum hf_code code;
    } cases[] = {
        { "", 1, HF_UNAVAILABLE },          { "ANY 1 (*)", 1, HF_OK },
        { "FIRST 1 (standby)", 1, HF_OK },  { "standby", 1, HF_OK },
        { "ANY 1 (*)", 2, HF_UNAVAILABLE },
    };
    HF_AUTO_STRING primary = store_database_of(STORE);

    (void)state;
    for (uint32_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;
        struct node node;

        reload(cases[i].names);
        assert_ok(&node.op, node_open(&node, primary, NULL, cases[i].required, false));
        /* The walsender learns its part a moment later, and the watcher a second after that. */
        node_has(&node, PATIENCE_MS);
        do {
            status = put_new(&node, 10 + i);
            nap();
        } while (status.code != cases[i].code && hf_op_check_deadline(&node.op).code == HF_OK);
        if (status.code != cases[i].code) {
            fail_msg("\"%s\": %s", cases[i].names, node.op.text);
        }
        hf_engine_free(node.engine);
    }
}

static void a_write_waits_for_standbys_that_were_there_a_moment_ago(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    struct hf_status status = HF_SUCCESS;
    uint64_t began_ms = now_ms();
    struct node node;
    long seq;

    (void)state;
    reload("ANY 1 (*)");
    assert_ok(&node.op, node_open(&node, primary, NULL, 1, false));
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, put_new(&node, 15));
    reload("");
    /* What it writes until the watcher sees it is on no standby, and so in doubt. */
    for (uint32_t i = 100; status.code != HF_UNAVAILABLE; i++) {
        began_ms = now_ms();
        node_has(&node, 300);
        status = put_new(&node, i);
        assert_true(status.code == HF_IN_DOUBT || status.code == HF_UNAVAILABLE);
    }
    assert_non_null(strstr(node.op.text, "require 1"));
    assert_true(now_ms() - began_ms >= 300);
    seq = store_database_number(STORE, "SELECT seq FROM state");
    reload("ANY 1 (*)");
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, put_new(&node, 16));
    assert_int_equal(store_database_number(STORE, "SELECT seq FROM state"), seq + 1);
    hf_engine_free(node.engine);
}

static void a_standby_alone_is_read_and_not_written(void **state)
{
    HF_AUTO_STRING standby = standby_conninfo();
    struct hf_store_state found;
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, standby, NULL, 0, false));
    node_has(&node, 300);
    assert_fails(&node.op, put_new(&node, 20), HF_UNAVAILABLE);
    assert_non_null(strstr(node.op.text, "a standby"));
    /* What it shows has been confirmed by nobody this node knows of. */
    node_has(&node, 300);
    assert_fails(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL), HF_UNAVAILABLE);
    assert_non_null(strstr(node.op.text, "not confirmed"));
    hf_engine_free(node.engine);
}

static void what_nodes_have_confirmed_is_read_from_a_standby(void **state)
{
    HF_AUTO_STRING standby = standby_conninfo();
    struct node node;

    (void)state;
    store_database_run(STORE, "INSERT INTO hb (node, n, confirmed_seq, applied_seq)"
                              " SELECT 'n1'::bytea, 1, seq, 0 FROM state");
    await_standby("SELECT count(*) FROM hb");
    assert_ok(&node.op, node_open(&node, standby, NULL, 0, false));
    node_has(&node, 2000);
    assert_ok(&node.op, look(&node, "path/1"));
    assert_fails(&node.op, look(&node, "path/none"), HF_NOT_FOUND);
    hf_engine_free(node.engine);
}

/* All processes of the primary that this program can know of. */
static size_t primary_processes(long *out, size_t room)
{
    PGresult *rows = store_database_ask(STORE, "SELECT pid FROM pg_stat_activity"
                                               " WHERE application_name = 'holdfast'");
    size_t count = 0;

    out[count++] = store_database_pid();
    for (int i = 0; i < PQntuples(rows) && count < room; i++) {
        out[count++] = strtol(PQgetvalue(rows, i, 0), NULL, 10);
    }
    PQclear(rows);
    return count;
}

static void a_read_goes_on_at_the_standby_when_the_primary_is_frozen(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    HF_AUTO_STRING standby = standby_conninfo();
    struct hf_status status;
    struct node node;
    uint64_t took_ms;
    long pids[32];
    size_t count;

    (void)state;
    assert_ok(&node.op, node_open(&node, primary, standby, 0, false));
    assert_ok(&node.op, look(&node, "path/1"));
    await_standby("SELECT count(*) FROM record WHERE path = 'path/11'");
    count = primary_processes(pids, HF_COUNT(pids));
    for (size_t i = 0; i < count; i++) {
        (void)kill((pid_t)pids[i], SIGSTOP);
    }
    took_ms = now_ms();
    node_has(&node, 5000);
    status = look(&node, "path/11");
    took_ms = now_ms() - took_ms;
    for (size_t i = 0; i < count; i++) {
        (void)kill((pid_t)pids[i], SIGCONT);
    }
    assert_ok(&node.op, status);
    assert_in_range(took_ms, 0, 2500);
    hf_engine_free(node.engine);
}

struct seen {
    unsigned primaries, standbys, near, lagging;
};

static void count_host(void *context, const struct hf_host *host)
{
    struct seen *seen = context;

    seen->primaries += host->state == HF_HOST_PRIMARY && strcmp(host->site, "west") == 0;
    seen->standbys += host->state == HF_HOST_STANDBY && strcmp(host->site, "east") == 0;
    seen->near += host->is_near && host->timeline == 1;
    seen->lagging += host->lags && host->is_near;
}

static struct seen see(struct node *node)
{
    struct seen seen = { 0 };

    hf_engine_hosts(node->engine, count_host, &seen);
    return seen;
}

static uint64_t seq_seen(struct node *node)
{
    struct hf_store_state found;

    node_has(node, PATIENCE_MS);
    assert_ok(&node->op, hf_engine_state(node->engine, &node->op, &found, NULL));
    return found.seq;
}

static struct hf_status node_open_in(struct node *node, const char *site)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    HF_AUTO_STRING standby = standby_conninfo();
    HF_AUTO_STRING west = hf_format("site='west' %s", primary);
    HF_AUTO_STRING east = hf_format("site='east' %s", standby);
    const char *const hosts[] = { west, east, NULL };
    const struct hf_store_settings settings = { .engine = "postgres",
                                                .hosts = hosts,
                                                .site = site };

    memset(node, 0, sizeof *node);
    hf_env_system(&node->env);
    hf_op_init(&node->op, &node->env);
    return hf_engine_open(&node->op, &settings, &node->engine);
}

struct told {
    unsigned count;
    struct hf_host host[2];
};

static void keep_host(void *context, const struct hf_host *host)
{
    struct told *told = context;

    assert_true(told->count < 2);
    told->host[told->count++] = *host;
}

static void a_primary_that_is_named_twice_is_one_and_the_other_line_says_so(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    struct told told = { 0 };
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, primary, primary, 0, false));
    node_has(&node, PATIENCE_MS);
    while (told.count < 2 || told.host[1].state == HF_HOST_AWAY) {
        assert_ok(&node.op, hf_op_check_deadline(&node.op));
        nap();
        told.count = 0;
        hf_engine_hosts(node.engine, keep_host, &told);
    }
    assert_int_equal(told.host[0].state, HF_HOST_PRIMARY);
    assert_int_equal(told.host[1].state, HF_HOST_LEFT);
    assert_non_null(strstr(told.host[1].problem, "it is the same server as"));
    hf_engine_free(node.engine);
}

static struct hf_status open_with_copy(struct node *node, const char *host, const char *directory)
{
    const char *const hosts[] = { host, NULL };
    const struct hf_store_settings settings = {
        .engine = "postgres", .hosts = hosts, .site = "east", .mirror = directory
    };

    memset(node, 0, sizeof *node);
    hf_env_system(&node->env);
    hf_op_init(&node->op, &node->env);
    return hf_engine_open(&node->op, &settings, &node->engine);
}

static void hosts_of_a_store_that_was_never_reached_are_told_all_the_same(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    char directory[] = "/tmp/store_hosts.XXXXXX";
    HF_AUTO_STRING remove_all = NULL;
    struct told told = { 0 };
    struct node node;

    (void)state;
    assert_non_null(mkdtemp(directory));
    remove_all = hf_format("rm -r '%s'", directory);
    assert_ok(&node.op, open_with_copy(&node, primary, directory));
    hf_engine_free(node.engine);
    assert_ok(&node.op, open_with_copy(&node, "site='east' host=127.0.0.1 port=1", directory));
    hf_engine_hosts(node.engine, keep_host, &told);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.host[0].state, HF_HOST_UNKNOWN);
    assert_string_equal(told.host[0].name, "127.0.0.1:1");
    assert_true(told.host[0].is_near && strcmp(told.host[0].site, "east") == 0);
    hf_engine_free(node.engine);
    assert_int_equal(system(remove_all), 0);
}

/* A standby that does not go on shows who reads from it, and is left when it lags. */
static void hosts_of_the_own_site_are_read_first_unless_they_lag(void **state)
{
    struct node east, west;
    uint64_t before;

    (void)state;
    assert_ok(&east.op, node_open_in(&east, "east"));
    assert_ok(&west.op, node_open_in(&west, "west"));
    assert_ok(&west.op, put_new(&west, 40));
    await_standby("SELECT count(*) FROM record WHERE path = 'path/40'");
    before = seq_seen(&east);
    assert_int_equal(seq_seen(&west), before);
    assert_true(see(&east).primaries == 1 && see(&east).standbys == 1 && see(&east).near == 1);
    PQclear(ask_standby("SELECT pg_wal_replay_pause()"));
    assert_ok(&west.op, put_new(&west, 41));
    assert_int_equal(seq_seen(&west), before + 1);
    assert_int_equal(seq_seen(&east), before);
    node_has(&east, PATIENCE_MS);
    while (see(&east).lagging == 0) {
        assert_ok(&east.op, hf_op_check_deadline(&east.op));
        nap();
    }
    assert_int_equal(seq_seen(&east), before + 1);
    PQclear(ask_standby("SELECT pg_wal_replay_resume()"));
    while (see(&east).lagging > 0) {
        assert_ok(&east.op, hf_op_check_deadline(&east.op));
        nap();
    }
    hf_engine_free(west.engine);
    hf_engine_free(east.engine);
}

static void what_a_node_wrote_itself_it_reads_though_its_site_lags(void **state)
{
    struct hf_change change = store_change("path/50", 0, "body");
    struct hf_batch batch = store_batch(50, &change, 1);
    struct hf_commit first;
    struct node east, west;

    (void)state;
    assert_ok(&east.op, node_open_in(&east, "east"));
    assert_ok(&west.op, node_open_in(&west, "west"));
    PQclear(ask_standby("SELECT pg_wal_replay_pause()"));
    node_has(&east, PATIENCE_MS);
    assert_ok(&east.op, put_new(&east, 49));
    assert_ok(&east.op, look(&east, "path/49"));
    /* And what another has asked is known, though no read of this node shows it. */
    assert_ok(&west.op, put_new(&west, 50));
    hf_commit_init(&first);
    assert_ok(&east.op, hf_engine_recall(east.engine, &east.op, &batch, &first));
    hf_commit_done(&first);
    PQclear(ask_standby("SELECT pg_wal_replay_resume()"));
    hf_engine_free(west.engine);
    hf_engine_free(east.engine);
}

static void of_two_that_claim_to_be_primary_the_higher_timeline_wins(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    HF_AUTO_STRING standby = standby_conninfo();
    struct hf_store_state found;
    struct node node;
    long old_seq;

    (void)state;
    reload("");
    assert_ok(&node.op, node_open(&node, primary, standby, 0, false));
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, put_new(&node, 30));
    await_standby("SELECT count(*) FROM record WHERE path = 'path/30'");
    assert_int_equal(standby_number("SELECT pg_promote()::int"), 1);
    await_standby("SELECT (NOT pg_is_in_recovery())::int");
    await_standby("SELECT (substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1) = '2')::int");

    /* The old one shows what never was; within a probe or two the new one is in sight. */
    store_database_run(STORE, "INSERT INTO record VALUES ('phantom', 1, 1, '', '')");
    node_has(&node, PATIENCE_MS);
    do {
        assert_ok(&node.op, hf_op_check_deadline(&node.op));
    } while (look(&node, "phantom").code != HF_NOT_FOUND);

    old_seq = store_database_number(STORE, "SELECT seq FROM state");
    assert_ok(&node.op, put_new(&node, 9000));
    assert_ok(&node.op, look(&node, "path/9000"));
    assert_ok(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL));
    assert_int_equal(found.epoch, 2);
    assert_int_equal(found.seq, old_seq + 1);
    assert_int_equal(store_database_number(STORE, "SELECT seq FROM state"), old_seq);
    assert_int_equal(
        store_database_number(STORE, "SELECT count(*) FROM record WHERE path = 'path/9000'"), 0);
    hf_engine_free(node.engine);
}

/* Without synchronous standbys the old one may have answered what the new one has never seen. */
static void a_promotion_that_lost_confirmed_commits_is_noticed(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    HF_AUTO_STRING standby = standby_conninfo();
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, primary, standby, 0, false));
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, put_new(&node, 9001));
    PQclear(ask_standby("UPDATE state SET seq = seq - 1"));
    assert_fails(&node.op, put_new(&node, 9002), HF_WRONG_STATE);
    assert_fails(&node.op, look(&node, "path/1"), HF_WRONG_STATE);
    PQclear(ask_standby("UPDATE state SET seq = seq + 1"));
    assert_ok(&node.op, put_new(&node, 9003));
    hf_engine_free(node.engine);
}

static void the_past_is_not_used_by_a_node_that_starts_either(void **state)
{
    HF_AUTO_STRING primary = store_database_of(STORE);
    HF_AUTO_STRING standby = standby_conninfo();
    struct hf_store_state found;
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, primary, standby, 0, false));
    assert_ok(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL));
    assert_int_equal(found.epoch, 2);
    assert_fails(&node.op, look(&node, "phantom"), HF_NOT_FOUND);
    hf_engine_free(node.engine);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_required_standby_that_is_there_and_named_is_enough),
        cmocka_unit_test(a_write_waits_for_standbys_that_were_there_a_moment_ago),
        cmocka_unit_test(a_standby_alone_is_read_and_not_written),
        cmocka_unit_test(what_nodes_have_confirmed_is_read_from_a_standby),
        cmocka_unit_test(a_read_goes_on_at_the_standby_when_the_primary_is_frozen),
        cmocka_unit_test(a_primary_that_is_named_twice_is_one_and_the_other_line_says_so),
        cmocka_unit_test(hosts_of_a_store_that_was_never_reached_are_told_all_the_same),
        cmocka_unit_test(hosts_of_the_own_site_are_read_first_unless_they_lag),
        cmocka_unit_test(what_a_node_wrote_itself_it_reads_though_its_site_lags),
        cmocka_unit_test(of_two_that_claim_to_be_primary_the_higher_timeline_wins),
        cmocka_unit_test(a_promotion_that_lost_confirmed_commits_is_noticed),
        cmocka_unit_test(the_past_is_not_used_by_a_node_that_starts_either),
    };

    return cmocka_run_group_tests(tests, make_store, NULL);
}
