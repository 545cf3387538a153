/*
 * The PostgreSQL engine when libpq fails it, when somebody alters its tables, and when what its
 * policy builds on changes in the middle of a call. There is a standby beside the server.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "base/text.h"
#include "store_database.h"
#include "store_world.h"

/* How long a test waits for what must come. */
#define PATIENCE_MS 60000
/* The engine's: between two looks at a host, at least. */
#define ALARM_MS 100

/* --- what libpq is made to do --- */

static struct {
    const char *_Atomic unsendable; /* the name of the statement that is not sent, once */
    atomic_bool torn;               /* an answer to a pipeline cannot be taken, once */
    atomic_bool cut;                /* connections lead nowhere */
    atomic_uint connects;           /* begun since it was cut */
    const char *watched;            /* the name of a statement, */
    struct hf_op *op;               /* an operation, */
    uint64_t deadline_ms;           /* and its deadline when the statement was sent */
} libpq;

int __real_PQsendQueryPrepared(PGconn *db, const char *name, int count, const char *const *values,
                               const int *lengths, const int *formats, int format);
int __wrap_PQsendQueryPrepared(PGconn *db, const char *name, int count, const char *const *values,
                               const int *lengths, const int *formats, int format);
PGresult *__real_PQgetResult(PGconn *db);
PGresult *__wrap_PQgetResult(PGconn *db);
PGconn *__real_PQconnectStartParams(const char *const *keywords, const char *const *values,
                                    int expand);
PGconn *__wrap_PQconnectStartParams(const char *const *keywords, const char *const *values,
                                    int expand);

int __wrap_PQsendQueryPrepared(PGconn *db, const char *name, int count, const char *const *values,
                               const int *lengths, const int *formats, int format)
{
    const char *unsendable = atomic_load(&libpq.unsendable);

    if (libpq.watched != NULL && strcmp(name, libpq.watched) == 0) {
        libpq.deadline_ms = libpq.op->deadline_ms;
    }
    /* As when there is no memory for its parameters. */
    if (unsendable != NULL && strcmp(name, unsendable) == 0 &&
        atomic_compare_exchange_strong(&libpq.unsendable, &unsendable, NULL)) {
        return 0;
    }
    return __real_PQsendQueryPrepared(db, name, count, values, lengths, formats, format);
}

PGresult *__wrap_PQgetResult(PGconn *db)
{
    PGresult *result = __real_PQgetResult(db);
    bool torn = true;

    /* As when there is no memory for the rows of an answer. */
    if (PQpipelineStatus(db) == PQ_PIPELINE_ON && PQresultStatus(result) == PGRES_TUPLES_OK &&
        atomic_compare_exchange_strong(&libpq.torn, &torn, false)) {
        PQclear(result);
        return PQmakeEmptyPGresult(db, PGRES_FATAL_ERROR);
    }
    return result;
}

PGconn *__wrap_PQconnectStartParams(const char *const *keywords, const char *const *values,
                                    int expand)
{
    static const char *const nowhere[] = { "host", "port", NULL };
    static const char *const closed[] = { "127.0.0.1", "1", NULL };

    if (atomic_load(&libpq.cut)) {
        atomic_fetch_add(&libpq.connects, 1);
        return __real_PQconnectStartParams(nowhere, closed, expand);
    }
    return __real_PQconnectStartParams(keywords, values, expand);
}

/* --- a node --- */

struct node {
    struct hf_env env;
    struct hf_metrics *metrics;
    struct hf_op op;
    struct hf_engine *engine;
};

static uint64_t now_ms(void)
{
    struct hf_env env;

    hf_env_system(&env);
    return hf_env_boottime_ms(&env);
}

static void nap(void)
{
    const struct timespec time = { .tv_nsec = 5000000 };

    (void)nanosleep(&time, NULL);
}

static char *standby_of(const char *store)
{
    HF_AUTO_STRING primary = store_database_of(store);

    return hf_format("%s %s", getenv("HOLDFAST_TEST_STANDBY"), strstr(primary, "options="));
}

static void node_open_with(struct node *node, struct hf_store_settings settings)
{
    memset(node, 0, sizeof *node);
    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    settings.engine = "postgres";
    hf_env_system(&node->env);
    node->metrics = hf_metrics_new();
    node->env.metrics = node->metrics;
    hf_op_init(&node->op, &node->env);
    assert_ok(&node->op, hf_engine_open(&node->op, &settings, &node->engine));
    node->op.deadline_ms = hf_env_boottime_ms(&node->env) + PATIENCE_MS;
}

static void node_open(struct node *node, const char *store, bool create)
{
    HF_AUTO_STRING host = store_database_of(store);
    const char *const hosts[] = { host, NULL };

    node_open_with(node, (struct hf_store_settings){ .create = create, .hosts = hosts });
}

static void node_close(struct node *node)
{
    hf_engine_free(node->engine);
    hf_metrics_free(node->metrics);
}

static bool node_counts(struct node *node, const char *line)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_metrics_write(node->metrics, text);
    return strstr(hf_buf_text(text), line) != NULL;
}

static struct hf_status put(struct node *node, uint32_t request, const char *path,
                            uint64_t expected, const char *body)
{
    struct hf_change change = store_change(path, expected, body);
    struct hf_batch batch = store_batch(request, &change, 1);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = hf_engine_apply(node->engine, &node->op, &batch, &commit);
    hf_commit_done(&commit);
    return status;
}

static void shows(struct node *node, const char *path, uint64_t revision, const char *body)
{
    HF_AUTO(record) record = NULL;

    assert_ok(&node->op, hf_engine_get(node->engine, &node->op, path, &record));
    assert_int_equal(record->revision, revision);
    assert_string_equal(hf_buf_text(&record->body), body);
}

/* --- libpq fails --- */

static void a_statement_that_cannot_be_sent_takes_the_commit_with_it(void **state)
{
    static const char *const statements[] = { "begin",         "lock_state",     "find_request",
                                              "find_record",   "insert_request", "insert_batch",
                                              "update_record", "insert_change",  "update_state",
                                              "commit",        "names" };
    static const char store[] = "unsent";
    struct node node;

    (void)state;
    node_open(&node, store, true);
    assert_ok(&node.op, put(&node, 1, "a", 0, "a1"));
    for (uint32_t i = 0; i < HF_COUNT(statements); i++) {
        HF_AUTO_STRING body = hf_format("without %s", statements[i]);

        print_message("%s\n", statements[i]);
        atomic_store(&libpq.unsendable, statements[i]);
        assert_ok(&node.op, put(&node, 2 + i, "a", 1 + i, body));
        assert_null(atomic_load(&libpq.unsendable));
        shows(&node, "a", 2 + i, body);
        assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 2 + i);
    }
    atomic_store(&libpq.unsendable, "insert_record");
    assert_ok(&node.op, put(&node, 100, "b", 0, "b1"));
    shows(&node, "b", 1, "b1");
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM batch"),
                     HF_COUNT(statements) + 2);
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM change"),
                     HF_COUNT(statements) + 2);
    /* Only where COMMIT may have been on its way is anything in doubt. */
    assert_true(node_counts(&node, "holdfast_store_ambiguous_commits_total 2\n"));
    node_close(&node);
    store_database_drop(store);
}

static void an_answer_that_libpq_cannot_take_ends_the_connection_only(void **state)
{
    static const char store[] = "torn";
    struct node node;

    (void)state;
    node_open(&node, store, true);
    assert_ok(&node.op, put(&node, 1, "a", 0, "a1"));
    atomic_store(&libpq.torn, true);
    assert_ok(&node.op, put(&node, 2, "a", 1, "a2"));
    assert_false(atomic_load(&libpq.torn));
    atomic_store(&libpq.torn, true);
    shows(&node, "a", 2, "a2");
    assert_false(atomic_load(&libpq.torn));
    node_close(&node);
    store_database_drop(store);
}

static void a_doubtful_write_that_is_refused_afterwards_stays_in_doubt(void **state)
{
    static const char store[] = "doubtful";
    HF_AUTO(buf) hex = hf_buf_new();
    HF_AUTO_STRING refused = NULL;
    struct hf_request_id id;
    struct node node;

    (void)state;
    node_open(&node, store, true);
    store_database_run(store, "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS"
                              " 'BEGIN RAISE SQLSTATE ''53100''; END'");
    store_database_run(store, "CREATE TRIGGER fill BEFORE INSERT ON request"
                              " FOR EACH ROW EXECUTE FUNCTION fill()");
    assert_fails(&node.op, put(&node, 1, "a", 0, "a1"), HF_NO_SPACE);
    refused = hf_strdup(node.op.text);
    atomic_store(&libpq.unsendable, "commit");
    assert_fails(&node.op, put(&node, 2, "a", 0, "a1"), HF_IN_DOUBT);
    assert_null(atomic_load(&libpq.unsendable));
    id = store_request_id(2);
    hf_hex_add(hex, hf_bytes_of(id.bytes, sizeof id.bytes));
    assert_non_null(strstr(node.op.text, hf_buf_text(hex)));
    assert_non_null(strstr(node.op.text, "may have happened before it was refused; repeat it"));
    assert_non_null(strstr(node.op.text, refused));
    store_database_run(store, "DROP TRIGGER fill ON request");
    assert_ok(&node.op, put(&node, 2, "a", 0, "a1"));
    node_close(&node);
    store_database_drop(store);
}

static void a_host_that_is_away_is_not_tried_without_a_pause(void **state)
{
    static const char store[] = "away";
    HF_AUTO(record) record = NULL;
    unsigned connects;
    uint64_t took_ms;
    struct node node;

    (void)state;
    node_open(&node, store, true);
    assert_ok(&node.op, put(&node, 1, "a", 0, "a1"));
    atomic_store(&libpq.connects, 0);
    atomic_store(&libpq.cut, true);
    PQclear(store_database_ask(store, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                      " WHERE application_name = 'holdfast'"));
    took_ms = now_ms();
    node.op.deadline_ms = took_ms + 2000;
    assert_fails(&node.op, hf_engine_get(node.engine, &node.op, "a", &record), HF_UNAVAILABLE);
    assert_true(put(&node, 2, "a", 1, "a2").code != HF_OK);
    connects = atomic_load(&libpq.connects);
    took_ms = now_ms() - took_ms;
    print_message("%u connections begun in %llu ms\n", connects, (unsigned long long)took_ms);
    /* The first ones of the reader and the writer, who have to learn it, come on top. */
    if (connects > took_ms / ALARM_MS + 8) {
        fail_msg("%u connections begun", connects);
    }
    atomic_store(&libpq.cut, false);
    node.op.deadline_ms = now_ms() + PATIENCE_MS;
    assert_ok(&node.op, put(&node, 3, "a", 1, "a2"));
    node_close(&node);
    store_database_drop(store);
}

static void a_snapshot_may_take_long_once_a_host_gives_it(void **state)
{
    static const char store[] = "snapshot";
    char directory[] = "/tmp/holdfast-faults-XXXXXX";
    HF_AUTO_STRING remove_all = NULL;
    HF_AUTO_STRING file = NULL;
    uint64_t deadline_ms;
    uint64_t seq = 0;
    struct node node;

    (void)state;
    assert_non_null(mkdtemp(directory));
    remove_all = hf_format("rm -r '%s'", directory);
    node_open(&node, store, true);
    assert_ok(&node.op, put(&node, 1, "a", 0, "a1"));
    deadline_ms = now_ms() + 1000 * (uint64_t)PATIENCE_MS;
    libpq.op = &node.op;
    for (int i = 0; i < 2; i++) {
        free(file);
        file = hf_format("%s/%d.db", directory, i);
        node.op.deadline_ms = deadline_ms;
        libpq.watched = i == 0 ? "read_begin" : "copy_records";
        assert_ok(&node.op, hf_engine_snapshot(node.engine, &node.op, file, &seq));
        assert_int_equal(node.op.deadline_ms, deadline_ms);
        if (i == 0) {
            assert_true(libpq.deadline_ms < now_ms() + PATIENCE_MS);
        } else {
            assert_int_equal(libpq.deadline_ms, deadline_ms);
        }
    }
    libpq.watched = NULL;
    node_close(&node);
    store_database_drop(store);
    assert_int_equal(system(remove_all), 0);
}

/* --- whoever may write to the database --- */

static void a_change_is_not_stored_without_its_record(void **state)
{
    static const char store[] = "skipped";
    struct node node;

    (void)state;
    node_open(&node, store, true);
    assert_ok(&node.op, put(&node, 1, "a", 0, "a1"));
    store_database_run(store, "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS"
                              " 'BEGIN RETURN NULL; END'");
    store_database_run(store, "CREATE TRIGGER skip BEFORE INSERT OR UPDATE ON record"
                              " FOR EACH ROW EXECUTE FUNCTION skip()");
    assert_fails(&node.op, put(&node, 2, "a", 1, "a2"), HF_CORRUPT);
    assert_fails(&node.op, put(&node, 3, "b", 0, "b1"), HF_CORRUPT);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 1);
    store_database_run(store, "DROP TRIGGER skip ON record");
    assert_ok(&node.op, put(&node, 2, "a", 1, "a2"));
    node_close(&node);
    store_database_drop(store);
}

enum call { CALL_PUT, CALL_GET, CALL_STATE, CALL_LEASE, CALL_SNAPSHOT };

static struct hf_status do_call(struct node *node, enum call call)
{
    static uint32_t requests = 1000;
    HF_AUTO_STRING file = hf_format("/tmp/holdfast-faults-%d.db", (int)getpid());
    HF_AUTO(record) record = NULL;
    struct hf_store_state found;
    uint64_t number = 0;

    switch (call) {
    case CALL_PUT:
        return put(node, requests++, "a", 1, "a2");
    case CALL_GET:
        return hf_engine_get(node->engine, &node->op, "a", &record);
    case CALL_STATE:
        return hf_engine_state(node->engine, &node->op, &found, NULL);
    case CALL_LEASE:
        return hf_engine_lease(node->engine, &node->op, "job", "n1", 1000, &number);
    case CALL_SNAPSHOT:
        return hf_engine_snapshot(node->engine, &node->op, file, &number);
    }
    return HF_SUCCESS;
}

static void what_cannot_be_in_the_tables_is_damage_and_ends_no_program(void **state)
{
    static const struct {
        const char *does;
        enum call call;
    } cases[] = {
        { "UPDATE state SET epoch = 9223372036854775807, timeline = 0", CALL_PUT },
        { "UPDATE state SET epoch = 9223372036854775807", CALL_STATE },
        { "UPDATE state SET epoch = -1", CALL_PUT },
        { "UPDATE state SET seq = 9223372036854775807", CALL_PUT },
        { "UPDATE state SET seq = 9223372036854775807", CALL_GET },
        { "UPDATE batch SET seq = 9223372036854775807", CALL_SNAPSHOT },
        { "UPDATE lease SET renewals = 9223372036854775807", CALL_LEASE },
        { "UPDATE lease SET fence = 9223372036854775807, opening = 0", CALL_LEASE },
        { "UPDATE record SET revision = 9223372036854775807", CALL_PUT },
        { "ALTER TABLE state ALTER COLUMN epoch TYPE INTEGER", CALL_PUT },
        { "ALTER TABLE state ALTER COLUMN seq TYPE INTEGER", CALL_STATE },
        { "ALTER TABLE state ALTER COLUMN seq TYPE DOUBLE PRECISION", CALL_STATE },
        { "ALTER TABLE record ALTER COLUMN revision TYPE SMALLINT", CALL_GET },
        { "ALTER TABLE lease ALTER COLUMN renewals TYPE TEXT", CALL_LEASE },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING store = hf_format("damage-%zu", i);
        struct hf_status status;
        struct node node;
        uint64_t fence;

        node_open(&node, store, true);
        assert_ok(&node.op, put(&node, 1, "a", 0, "a1"));
        assert_ok(&node.op, hf_engine_lease(node.engine, &node.op, "job", "n1", 1000, &fence));
        node_close(&node);
        store_database_run(store, cases[i].does);
        node_open(&node, store, false);
        status = do_call(&node, cases[i].call);
        if (status.code != HF_CORRUPT) {
            fail_msg("%s: %s: %s", cases[i].does, hf_code_name(status.code), node.op.text);
        }
        node_close(&node);
        store_database_drop(store);
    }
}

/* --- standbys --- */

static PGresult *ask_standby(const char *store, const char *sql)
{
    HF_AUTO_STRING conninfo = standby_of(store);
    PGconn *db = PQconnectdb(conninfo);
    PGresult *result = PQexec(db, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    }
    PQfinish(db);
    return result;
}

static long standby_number(const char *store, const char *sql)
{
    PGresult *result = ask_standby(store, sql);
    long number = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : -1;

    PQclear(result);
    return number;
}

static void await(const char *store, const char *sql,
                  long (*ask)(const char *store, const char *sql))
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;

    while (ask(store, sql) <= 0) {
        if (now_ms() > until_ms) {
            fail_msg("this never came: %s", sql);
        }
        nap();
    }
}

static void set_names(const char *store, const char *names)
{
    HF_AUTO_STRING set = hf_format("ALTER SYSTEM SET synchronous_standby_names = '%s'", names);

    store_database_run(store, set);
    store_database_run(store, "SELECT pg_reload_conf()");
}

struct putting {
    struct node *node;
    pthread_t thread;
    struct hf_status status;
    atomic_bool ended;
};

static void *retire_main(void *context)
{
    struct putting *putting = context;

    putting->status = hf_engine_retire(putting->node->engine, &putting->node->op, 1, "elsewhere");
    atomic_store(&putting->ended, true);
    return NULL;
}

static void *put_main(void *context)
{
    struct putting *putting = context;

    putting->status = put(putting->node, 2, "a", 1, "a2");
    atomic_store(&putting->ended, true);
    return NULL;
}

/* A node whose first change the standby has, and that requires it; gives its receiver, stopped. */
static long node_open_behind_standby(struct node *node, const char *store)
{
    HF_AUTO_STRING host = store_database_of(store);
    const char *const hosts[] = { host, NULL };
    struct hf_status status;
    long receiver;

    node_open(node, store, true);
    node_close(node);
    set_names(store, "ANY 1 (*)");
    await(store, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'",
          store_database_number);
    store_database_run(store, "CHECKPOINT");
    node_open_with(node, (struct hf_store_settings){ .hosts = hosts, .synchronous = 1 });
    do {
        status = put(node, 1, "a", 0, "a1");
    } while (status.code != HF_OK && hf_op_check_deadline(&node->op).code == HF_OK);
    assert_ok(&node->op, status);
    receiver = standby_number(
        store, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'");
    assert_true(receiver > 0);
    assert_int_equal(kill((pid_t)receiver, SIGSTOP), 0);
    node->op.deadline_ms = now_ms() + PATIENCE_MS;
    return receiver;
}

/* Begins what ends with a commit, and lets that go as Patroni does when the standby is gone. */
static void let_go(const char *store, struct putting *putting, struct node *node,
                   void *(*write)(void *context))
{
    *putting = (struct putting){ .node = node };
    assert_int_equal(pthread_create(&putting->thread, NULL, write, putting), 0);
    await(store, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
          store_database_number);
    set_names(store, "");
}

static void a_commit_that_a_lowered_setting_lets_go_is_not_confirmed(void **state)
{
    static const char store[] = "lowered";
    struct putting putting;
    struct node node;
    long receiver;

    (void)state;
    receiver = node_open_behind_standby(&node, store);
    let_go(store, &putting, &node, put_main);
    while (!atomic_load(&putting.ended) &&
           node_counts(&node, "holdfast_store_ambiguous_commits_total 0\n")) {
        nap();
    }
    assert_int_equal(kill((pid_t)receiver, SIGCONT), 0);
    assert_false(atomic_load(&putting.ended));
    set_names(store, "ANY 1 (*)");
    assert_int_equal(pthread_join(putting.thread, NULL), 0);
    assert_ok(&node.op, putting.status);
    assert_int_equal(standby_number(store, "SELECT pg_is_in_recovery()::int"), 1);
    await(store, "SELECT count(*) FROM record WHERE revision = 2", standby_number);
    set_names(store, "");
    node_close(&node);
    store_database_drop(store);
}

static void a_store_whose_end_a_lowered_setting_lets_go_may_come_back(void **state)
{
    static const char store[] = "retired";
    struct putting putting;
    struct node node;
    long receiver;

    (void)state;
    receiver = node_open_behind_standby(&node, store);
    let_go(store, &putting, &node, retire_main);
    assert_int_equal(pthread_join(putting.thread, NULL), 0);
    assert_int_equal(kill((pid_t)receiver, SIGCONT), 0);
    assert_fails(&node.op, putting.status, HF_IN_DOUBT);
    assert_non_null(strstr(node.op.text, "the settings require 1"));
    node_close(&node);
    store_database_drop(store);
}

static enum hf_mirror_problem problem_of(struct node *node)
{
    struct hf_mirror_info info;

    assert_true(hf_mirror_info(node->engine, &info));
    return info.problem;
}

static void a_standby_that_lags_is_not_a_store_that_went_back(void **state)
{
    static const char store[] = "lags";
    char directory[] = "/tmp/holdfast-faults-XXXXXX";
    HF_AUTO_STRING primary = store_database_of(store);
    HF_AUTO_STRING standby = standby_of(store);
    HF_AUTO_STRING mirror = NULL;
    HF_AUTO_STRING remove_all = NULL;
    const char *const primaries[] = { primary, NULL };
    const char *const standbys[] = { standby, NULL };
    uint64_t seq = 0;
    struct node writer;
    struct node node;

    (void)state;
    assert_non_null(mkdtemp(directory));
    mirror = hf_format("%s/mirror", directory);
    remove_all = hf_format("rm -r '%s'", directory);
    node_open(&writer, store, true);
    assert_ok(&writer.op, put(&writer, 1, "a", 0, "a1"));
    store_database_run(store, "INSERT INTO hb (node, n, confirmed_seq, applied_seq)"
                              " VALUES ('n1'::bytea, 1, 1, 1)");
    await(store,
          "SELECT count(*) FROM pg_tables WHERE tablename = 'hb' AND"
          " schemaname = current_schema()",
          standby_number);
    await(store, "SELECT count(*) FROM hb", standby_number);
    PQclear(ask_standby(store, "SELECT pg_wal_replay_pause()"));
    await(store, "SELECT (pg_get_wal_replay_pause_state() = 'paused')::int", standby_number);
    assert_ok(&writer.op, put(&writer, 2, "a", 1, "a2"));
    node_open_with(&node, (struct hf_store_settings){ .hosts = primaries, .mirror = mirror });
    assert_ok(&node.op, hf_mirror_follow(node.engine, &node.op, &seq));
    assert_int_equal(seq, 2);
    node_close(&node);

    node_open_with(&node, (struct hf_store_settings){ .hosts = standbys, .mirror = mirror });
    assert_fails(&node.op, hf_mirror_follow(node.engine, &node.op, &seq), HF_UNAVAILABLE);
    assert_non_null(strstr(node.op.text, "is behind"));
    assert_int_equal(problem_of(&node), HF_MIRROR_AWAY);
    PQclear(ask_standby(store, "SELECT pg_wal_replay_resume()"));
    store_database_run(store, "UPDATE hb SET confirmed_seq = 2");
    while (hf_mirror_follow(node.engine, &node.op, &seq).code != HF_OK) {
        assert_ok(&node.op, hf_op_check_deadline(&node.op));
        nap();
    }
    assert_int_equal(problem_of(&node), HF_MIRROR_FINE);
    node_close(&node);
    node_close(&writer);
    store_database_drop(store);
    assert_int_equal(system(remove_all), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_that_cannot_be_sent_takes_the_commit_with_it),
        cmocka_unit_test(an_answer_that_libpq_cannot_take_ends_the_connection_only),
        cmocka_unit_test(a_doubtful_write_that_is_refused_afterwards_stays_in_doubt),
        cmocka_unit_test(a_host_that_is_away_is_not_tried_without_a_pause),
        cmocka_unit_test(a_snapshot_may_take_long_once_a_host_gives_it),
        cmocka_unit_test(a_change_is_not_stored_without_its_record),
        cmocka_unit_test(what_cannot_be_in_the_tables_is_damage_and_ends_no_program),
        cmocka_unit_test(a_commit_that_a_lowered_setting_lets_go_is_not_confirmed),
        cmocka_unit_test(a_store_whose_end_a_lowered_setting_lets_go_may_come_back),
        cmocka_unit_test(a_standby_that_lags_is_not_a_store_that_went_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
