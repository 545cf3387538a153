/* What is particular to the PostgreSQL engine: faults of the database, and policies about them. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "base/text.h"
#include "store_database.h"
#include "store_world.h"

/* How long a test waits for what must come. */
#define PATIENCE_MS 20000
/* How much longer than its deadline a call may take on a busy machine. */
#define SLACK_MS 700

/* One node on real clocks; several may share a store. */
struct node {
    const char *store;
    struct hf_env env;
    struct hf_metrics *metrics;
    struct hf_op op;
    struct hf_engine *engine;
};

struct options {
    bool create;
    unsigned synchronous;
    bool allow_fewer;
};

static struct hf_status node_open(struct node *node, const char *store, struct options options)
{
    HF_AUTO_STRING host = store_database_of(store);
    const char *const hosts[] = { host, NULL };
    struct hf_store_settings settings = { .engine = "postgres",
                                          .create = options.create,
                                          .hosts = hosts,
                                          .synchronous = options.synchronous,
                                          .allow_fewer = options.allow_fewer };

    memset(node, 0, sizeof *node);
    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    node->store = store;
    hf_env_system(&node->env);
    node->metrics = hf_metrics_new();
    node->env.metrics = node->metrics;
    hf_op_init(&node->op, &node->env);
    return hf_engine_open(&node->op, &settings, &node->engine);
}

static void node_close(struct node *node)
{
    hf_engine_free(node->engine);
    hf_metrics_free(node->metrics);
}

static void node_has(struct node *node, uint64_t ms)
{
    node->op.deadline_ms = hf_env_boottime_ms(&node->env) + ms;
}

static bool node_counts(struct node *node, const char *line)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_metrics_write(node->metrics, text);
    return strstr(hf_buf_text(text), line) != NULL;
}

/* One record under a request id that is its number. */
static struct hf_status put(struct node *node, uint32_t request, const char *path,
                            struct hf_commit *out)
{
    struct hf_change change = store_change(path, 0, "body");
    struct hf_batch batch = store_batch(request, &change, 1);

    return hf_engine_apply(node->engine, &node->op, &batch, out);
}

static struct hf_status put_new(struct node *node, uint32_t request)
{
    HF_AUTO_STRING path = hf_format("path/%u", request);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = put(node, request, path, &commit);
    hf_commit_done(&commit);
    return status;
}

static void nap(void)
{
    const struct timespec time = { .tv_nsec = 5000000 };

    (void)nanosleep(&time, NULL);
}

static uint64_t now_ms(void)
{
    struct hf_env env;

    hf_env_system(&env);
    return hf_env_boottime_ms(&env);
}

/* Waits until the query gives a number that is not 0, and gives it. */
static long await_number(const char *store, const char *sql)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    long number;

    while ((number = store_database_number(store, sql)) <= 0) {
        if (now_ms() > until_ms) {
            fail_msg("this never came: %s", sql);
        }
        nap();
    }
    return number;
}

/* The checkpointer tells commits whether to wait, so it has to have read the setting. */
static void set_standby_names(const char *store, const char *names)
{
    HF_AUTO_STRING set = hf_format("ALTER SYSTEM SET synchronous_standby_names = '%s'", names);
    HF_AUTO_STRING is_set =
        hf_format("SELECT (current_setting('synchronous_standby_names') = '%s')::int", names);

    store_database_run(store, set);
    store_database_run(store, "SELECT pg_reload_conf()");
    (void)await_number(store, is_set);
    store_database_run(store, "CHECKPOINT");
}

static const char waiting_commit[] =
    "SELECT coalesce(max(pid), 0) FROM pg_stat_activity"
    " WHERE application_name = 'holdfast' AND wait_event = 'SyncRep'";

/* A put on a thread of its own. */
struct putting {
    struct node *node;
    pthread_t thread;
    uint32_t request;
    struct hf_status status;
    struct hf_commit commit;
};

static void *put_main(void *context)
{
    struct putting *putting = context;

    putting->status = put(putting->node, putting->request, "path", &putting->commit);
    return NULL;
}

static void put_start(struct putting *putting, struct node *node, uint32_t request)
{
    *putting = (struct putting){ .node = node, .request = request };
    hf_commit_init(&putting->commit);
    assert_int_equal(pthread_create(&putting->thread, NULL, put_main, putting), 0);
}

static void put_join(struct putting *putting)
{
    assert_int_equal(pthread_join(putting->thread, NULL), 0);
}

enum fault { FAULT_CANCEL, FAULT_TERMINATE, FAULT_KILL };

static void do_fault(const char *store, enum fault fault, long pid)
{
    HF_AUTO_STRING cancel = hf_format("SELECT pg_cancel_backend(%ld)::int", pid);
    HF_AUTO_STRING terminate = hf_format("SELECT pg_terminate_backend(%ld)::int", pid);

    switch (fault) {
    case FAULT_CANCEL:
        assert_int_equal(store_database_number(store, cancel), 1);
        break;
    case FAULT_TERMINATE:
        assert_int_equal(store_database_number(store, terminate), 1);
        break;
    case FAULT_KILL:
        assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
        break;
    }
}

static void a_commit_whose_end_is_not_seen_is_repeated_and_happens_once(void **state)
{
    static const struct {
        const char *says;
        enum fault fault;
    } cases[] = {
        { "the wait for the standby is cancelled: success with a warning", FAULT_CANCEL },
        { "the session is ended during the wait", FAULT_TERMINATE },
        { "the process is killed during the wait", FAULT_KILL },
    };

    (void)state;
    for (uint32_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING store = hf_format("ambiguous-%u", i);
        HF_AUTO_STRING repeated = NULL;
        struct putting putting;
        struct node node;
        long pid;

        assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
        set_standby_names(store, "ANY 1 (nobody)");
        node_has(&node, PATIENCE_MS);
        put_start(&putting, &node, 7);
        pid = await_number(store, waiting_commit);
        do_fault(store, cases[i].fault, pid);
        /* The repeat waits for the same standby, so that it cannot be answered yet. */
        repeated = hf_format("%s AND pid <> %ld", waiting_commit, pid);
        (void)await_number(store, repeated);
        set_standby_names(store, "");
        put_join(&putting);
        if (putting.status.code != HF_OK || putting.commit.seq != 1) {
            fail_msg("%s: %s", cases[i].says, node.op.text);
        }
        assert_true(putting.commit.repeated);
        assert_true(hf_bytes_equal_text(hf_buf_bytes(&putting.commit.result), "result"));
        assert_true(node_counts(&node, "holdfast_store_ambiguous_commits_total 1\n"));
        assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 1);
        assert_int_equal(store_database_number(store, "SELECT count(*) FROM batch"), 1);
        hf_commit_done(&putting.commit);
        node_close(&node);
        store_database_drop(store);
    }
}

static void a_commit_that_hangs_is_in_doubt_at_the_deadline_and_found_later(void **state)
{
    static const char store[] = "hanging";
    struct putting putting;
    struct hf_commit commit;
    struct node node;
    uint64_t began_ms;
    long pid;

    (void)state;
    hf_commit_init(&commit);
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    set_standby_names(store, "ANY 1 (nobody)");
    began_ms = now_ms();
    node_has(&node, 600);
    put_start(&putting, &node, 7);
    pid = await_number(store, waiting_commit);
    put_join(&putting);
    assert_int_equal(putting.status.code, HF_IN_DOUBT);
    assert_non_null(strstr(node.op.text, "00000007"));
    assert_in_range(now_ms() - began_ms, 600, 600 + SLACK_MS);
    /* It was not cancelled: the server still waits. */
    assert_int_equal(store_database_number(store, waiting_commit), pid);

    set_standby_names(store, "");
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, put(&node, 7, "path", &commit));
    assert_true(commit.repeated);
    assert_int_equal(commit.seq, 1);
    hf_commit_done(&commit);
    node_close(&node);
    store_database_drop(store);
}

static void only_a_synchronous_heartbeat_waits_for_standbys(void **state)
{
    static const char store[] = "beats";
    struct hf_beat beat = { .node = "n1", .number = 1 };
    struct node node;
    uint64_t seq = 0;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, hf_engine_beat(node.engine, &node.op, &beat, true, &seq));
    set_standby_names(store, "ANY 1 (nobody)");
    node_has(&node, PATIENCE_MS);
    beat.number = 2;
    assert_ok(&node.op, hf_engine_beat(node.engine, &node.op, &beat, false, &seq));
    assert_int_equal(store_database_number(store, "SELECT n FROM hb"), 2);
    node_has(&node, 600);
    beat.number = 3;
    assert_fails(&node.op, hf_engine_beat(node.engine, &node.op, &beat, true, &seq), HF_IN_DOUBT);
    set_standby_names(store, "");
    node_close(&node);
    store_database_drop(store);
}

static void a_warned_commit_is_no_success(void **state)
{
    static const char store[] = "warned";
    struct putting putting;
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    set_standby_names(store, "ANY 1 (nobody)");
    node_has(&node, 1500);
    put_start(&putting, &node, 7);
    do_fault(store, FAULT_CANCEL, await_number(store, waiting_commit));
    put_join(&putting);
    assert_int_equal(putting.status.code, HF_IN_DOUBT);
    assert_true(node_counts(&node, "holdfast_store_ambiguous_commits_total 1\n"));
    /* The server had called it a success: it is there for all to see. */
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM batch"), 1);

    /* Nobody has confirmed it, so it is not shown before a barrier, which hangs. */
    {
        HF_AUTO(record) record = NULL;

        node_has(&node, 300);
        assert_fails(&node.op, hf_engine_get(node.engine, &node.op, "path", &record),
                     HF_UNAVAILABLE);
        set_standby_names(store, "");
        node_has(&node, PATIENCE_MS);
        assert_ok(&node.op, hf_engine_get(node.engine, &node.op, "path", &record));
    }
    node_close(&node);
    store_database_drop(store);
}

/* All processes of the server that this engine talks to, and the one that makes new ones. */
static size_t server_processes(const char *store, long *out, size_t room)
{
    PGresult *rows = store_database_ask(store, "SELECT pid FROM pg_stat_activity"
                                               " WHERE application_name = 'holdfast'");
    size_t count = 0;

    out[count++] = store_database_pid();
    for (int i = 0; i < PQntuples(rows) && count < room; i++) {
        out[count++] = strtol(PQgetvalue(rows, i, 0), NULL, 10);
    }
    PQclear(rows);
    return count;
}

static void signal_all(const long *pids, size_t count, int how)
{
    for (size_t i = 0; i < count; i++) {
        (void)kill((pid_t)pids[i], how);
    }
}

static void a_frozen_host_holds_no_call_beyond_its_deadline(void **state)
{
    static const char store[] = "frozen";
    HF_AUTO(record) record = NULL;
    struct node node;
    struct hf_status read;
    struct hf_status written;
    uint64_t began_ms;
    uint64_t took_ms[2];
    long pids[32];
    size_t count;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    assert_ok(&node.op, put_new(&node, 1));
    assert_ok(&node.op, hf_engine_get(node.engine, &node.op, "path/1", &record));
    count = server_processes(store, pids, HF_COUNT(pids));
    assert_true(count >= 4);
    signal_all(pids, count, SIGSTOP);
    began_ms = now_ms();
    node_has(&node, 1500);
    written = put_new(&node, 2);
    took_ms[0] = now_ms() - began_ms;
    began_ms = now_ms();
    node_has(&node, 1500);
    hf_record_free(record);
    record = NULL;
    read = hf_engine_get(node.engine, &node.op, "path/1", &record);
    took_ms[1] = now_ms() - began_ms;
    signal_all(pids, count, SIGCONT);
    /* The lock on the counter was never given, so for certain nothing has happened. */
    assert_int_equal(written.code, HF_UNAVAILABLE);
    assert_int_equal(read.code, HF_UNAVAILABLE);
    assert_in_range(took_ms[0], 1500, 1500 + SLACK_MS);
    assert_in_range(took_ms[1], 1500, 1500 + SLACK_MS);

    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, put_new(&node, 2));
    assert_ok(&node.op, hf_engine_get(node.engine, &node.op, "path/2", &record));
    assert_int_equal(record->seq, 2);
    node_close(&node);
    store_database_drop(store);
}

static void with_fewer_standbys_than_required_policy_decides(void **state)
{
    static const struct {
        const char *says;
        const char *names; /* what the server itself waits for */
        struct options options;
        enum hf_code code;
    } cases[] = {
        { "none is required", "", { true, 0, false }, HF_OK },
        { "one is required and there is none", "", { true, 1, false }, HF_UNAVAILABLE },
        { "one is required, is named, and is not there",
          "ANY 1 (nobody)",
          { true, 1, false },
          HF_UNAVAILABLE },
        { "the settings allow fewer", "", { true, 1, true }, HF_OK },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING store = hf_format("fewer-%zu", i);
        struct options open = { .create = false };
        struct hf_store_state found;
        struct hf_status status;
        struct node node;

        assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
        node_close(&node);
        set_standby_names(store, cases[i].names);
        open = cases[i].options;
        open.create = false;
        assert_ok(&node.op, node_open(&node, store, open));
        node_has(&node, PATIENCE_MS);
        status = put_new(&node, 1);
        if (status.code != cases[i].code) {
            fail_msg("%s: %s: %s", cases[i].says, hf_code_name(status.code), node.op.text);
        }
        assert_ok(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL));
        assert_int_equal(found.seq, status.code == HF_OK ? 1 : 0);
        if (status.code != HF_OK) {
            assert_non_null(strstr(node.op.text, "require 1"));
        }
        assert_int_equal(node_counts(&node, "holdfast_store_weak_commits_total 1\n"),
                         cases[i].options.allow_fewer);
        node_close(&node);
        set_standby_names(store, "");
        store_database_drop(store);
    }
}

static void a_database_that_went_back_in_time_is_refused(void **state)
{
    static const char store[] = "back";
    HF_AUTO(record) record = NULL;
    struct hf_store_state found;
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    for (uint32_t i = 1; i <= 3; i++) {
        assert_ok(&node.op, put_new(&node, i));
    }
    store_database_run(store, "DELETE FROM batch WHERE seq > 1; DELETE FROM change WHERE seq > 1;"
                              "DELETE FROM request WHERE seq > 1; UPDATE state SET seq = 1");
    assert_fails(&node.op, put_new(&node, 4), HF_WRONG_STATE);
    assert_non_null(strstr(node.op.text, "went back in time"));
    assert_fails(&node.op, hf_engine_get(node.engine, &node.op, "path/1", &record), HF_WRONG_STATE);
    assert_fails(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL), HF_WRONG_STATE);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 1);
    node_close(&node);
    store_database_drop(store);
}

static void another_store_in_its_place_is_refused(void **state)
{
    static const char store[] = "other";
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    store_database_run(store, "UPDATE state SET store_id = '\\x01'::bytea || substr(store_id, 2)");
    assert_fails(&node.op, put_new(&node, 1), HF_WRONG_STATE);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 0);
    node_close(&node);
    store_database_drop(store);
}

static void a_store_is_made_once_and_found_again(void **state)
{
    static const char store[] = "once";
    struct node node;
    struct node other;

    (void)state;
    assert_fails(&node.op, node_open(&node, store, (struct options){ 0 }), HF_NOT_FOUND);
    node_close(&node);
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    assert_fails(&other.op, node_open(&other, store, (struct options){ .create = true }),
                 HF_EXISTS);
    node_close(&other);
    assert_ok(&node.op, put_new(&node, 1));
    node_close(&node);
    assert_ok(&node.op, node_open(&node, store, (struct options){ 0 }));
    assert_fails(&node.op, put_new(&node, 2), HF_OK);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 2);
    node_close(&node);
    store_database_drop(store);
}

static void tables_of_an_older_format_are_brought_up_to_date(void **state)
{
    static const char store[] = "older";
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    assert_ok(&node.op, put_new(&node, 1));
    node_close(&node);
    store_database_run(store, "DROP TABLE hb; UPDATE schema SET version = 1");
    assert_ok(&node.op, node_open(&node, store, (struct options){ 0 }));
    assert_ok(&node.op, put_new(&node, 2));
    node_close(&node);
    assert_int_equal(store_database_number(store, "SELECT version FROM schema"), 3);
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM hb"), 0);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 2);
    store_database_drop(store);
}

static void tables_of_a_newer_format_are_used_if_they_allow_it(void **state)
{
    static const struct {
        const char *set;
        enum hf_code code;
    } cases[] = {
        { "UPDATE schema SET version = 9, min_reader = 1, min_writer = 2", HF_OK },
        { "UPDATE schema SET version = 9, min_reader = 1, min_writer = 4", HF_UNSUPPORTED },
        { "UPDATE schema SET version = 9, min_reader = 4, min_writer = 1", HF_UNSUPPORTED },
    };
    static const char store[] = "newer";
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    node_close(&node);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        store_database_run(store, cases[i].set);
        assert_fails(&node.op, node_open(&node, store, (struct options){ 0 }), cases[i].code);
        node_close(&node);
        assert_int_equal(store_database_number(store, "SELECT version FROM schema"), 9);
    }
    store_database_drop(store);
}

/* --- two nodes on one store --- */

#define WRITERS 8
#define ROUNDS  25

struct writer {
    struct node *node;
    pthread_t thread;
    uint32_t number;
    size_t failed;
};

static void *write_many(void *context)
{
    struct writer *writer = context;
    struct hf_op op;

    hf_op_init(&op, &writer->node->env);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        HF_AUTO_STRING path = hf_format("w/%u/%u", writer->number, i);
        struct hf_change change = store_change(path, 0, "body");
        struct hf_batch batch = store_batch(writer->number * 1000 + i + 1, &change, 1);
        struct hf_commit commit;

        hf_commit_init(&commit);
        writer->failed += hf_engine_apply(writer->node->engine, &op, &batch, &commit).code != HF_OK;
        hf_commit_done(&commit);
    }
    return NULL;
}

static void nodes_share_a_store_without_a_gap_and_writers_share_commits(void **state)
{
    static const char store[] = "shared";
    struct writer writers[WRITERS];
    struct node nodes[2];
    long transactions;

    (void)state;
    assert_ok(&nodes[0].op, node_open(&nodes[0], store, (struct options){ .create = true }));
    assert_ok(&nodes[1].op, node_open(&nodes[1], store, (struct options){ 0 }));
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .node = &nodes[i % 2], .number = i + 1 };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].failed, 0);
    }
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), WRITERS * ROUNDS);
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM batch"), WRITERS * ROUNDS);
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM record"), WRITERS * ROUNDS);
    transactions = store_database_number(store, "SELECT barriers FROM state");
    assert_in_range(transactions, 2, WRITERS * ROUNDS - 1);
    node_close(&nodes[0]);
    node_close(&nodes[1]);
    store_database_drop(store);
}

static void one_that_cannot_be_written_takes_no_others_with_it(void **state)
{
    static const char store[] = "bad";
    struct writer writers[WRITERS];
    struct hf_status status;
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    store_database_run(store, "ALTER TABLE record ADD CHECK (path <> 'path/77')");
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .node = &node, .number = i + 1 };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        status = put_new(&node, 77);
        assert_int_equal(status.code, HF_CORRUPT);
        assert_non_null(strstr(node.op.text, "23514"));
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].failed, 0);
    }
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), WRITERS * ROUNDS);
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM batch"), WRITERS * ROUNDS);
    node_close(&node);
    store_database_drop(store);
}

static void one_node_reads_what_another_has_written(void **state)
{
    static const char store[] = "both";
    HF_AUTO(record) record = NULL;
    struct node nodes[2];

    (void)state;
    assert_ok(&nodes[0].op, node_open(&nodes[0], store, (struct options){ .create = true }));
    assert_ok(&nodes[1].op, node_open(&nodes[1], store, (struct options){ 0 }));
    assert_ok(&nodes[0].op, put_new(&nodes[0], 1));
    assert_ok(&nodes[1].op, hf_engine_get(nodes[1].engine, &nodes[1].op, "path/1", &record));
    /* It did not know that this was durable, so it made sure. */
    assert_int_equal(store_database_number(store, "SELECT barriers FROM state"), 2);
    node_close(&nodes[0]);
    node_close(&nodes[1]);
    store_database_drop(store);
}

static void a_lease_of_another_node_has_to_be_seen_unrenewed(void **state)
{
    static const char store[] = "leases";
    struct node nodes[2];
    struct hf_status status;
    uint64_t fence = 0;
    uint64_t began_ms;

    (void)state;
    assert_ok(&nodes[0].op, node_open(&nodes[0], store, (struct options){ .create = true }));
    assert_ok(&nodes[1].op, node_open(&nodes[1], store, (struct options){ 0 }));
    assert_ok(&nodes[0].op,
              hf_engine_lease(nodes[0].engine, &nodes[0].op, "rotate", "n0", 300, &fence));
    assert_int_equal(fence, 1);
    began_ms = now_ms();
    do {
        nap();
        status = hf_engine_lease(nodes[1].engine, &nodes[1].op, "rotate", "n1", 300, &fence);
    } while (status.code == HF_CONFLICT);
    assert_ok(&nodes[1].op, status);
    assert_int_equal(fence, 2);
    assert_true(now_ms() - began_ms >= 300);
    /* The first is fenced off, and one who starts anew under the same name is another holder. */
    assert_fails(&nodes[0].op,
                 hf_engine_lease(nodes[0].engine, &nodes[0].op, "rotate", "n0", 300, &fence),
                 HF_CONFLICT);
    node_close(&nodes[1]);
    assert_ok(&nodes[1].op, node_open(&nodes[1], store, (struct options){ 0 }));
    assert_ok(&nodes[1].op,
              hf_engine_lease(nodes[1].engine, &nodes[1].op, "rotate", "n1", 300, &fence));
    assert_int_equal(fence, 3);
    node_close(&nodes[0]);
    node_close(&nodes[1]);
    store_database_drop(store);
}

static void an_epoch_ends_when_the_server_is_another(void **state)
{
    static const char store[] = "epoch";
    struct hf_store_state found;
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    assert_ok(&node.op, put_new(&node, 1));
    /* As the server would find it that was promoted after that commit. */
    store_database_run(store, "UPDATE state SET timeline = timeline - 1");
    assert_ok(&node.op, put_new(&node, 2));
    assert_ok(&node.op, put_new(&node, 3));
    assert_ok(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL));
    assert_int_equal(found.epoch, 2);
    assert_int_equal(found.seq, 3);
    node_close(&node);
    store_database_drop(store);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_whose_end_is_not_seen_is_repeated_and_happens_once),
        cmocka_unit_test(a_commit_that_hangs_is_in_doubt_at_the_deadline_and_found_later),
        cmocka_unit_test(only_a_synchronous_heartbeat_waits_for_standbys),
        cmocka_unit_test(a_warned_commit_is_no_success),
        cmocka_unit_test(a_frozen_host_holds_no_call_beyond_its_deadline),
        cmocka_unit_test(with_fewer_standbys_than_required_policy_decides),
        cmocka_unit_test(a_database_that_went_back_in_time_is_refused),
        cmocka_unit_test(another_store_in_its_place_is_refused),
        cmocka_unit_test(a_store_is_made_once_and_found_again),
        cmocka_unit_test(tables_of_an_older_format_are_brought_up_to_date),
        cmocka_unit_test(tables_of_a_newer_format_are_used_if_they_allow_it),
        cmocka_unit_test(nodes_share_a_store_without_a_gap_and_writers_share_commits),
        cmocka_unit_test(one_that_cannot_be_written_takes_no_others_with_it),
        cmocka_unit_test(one_node_reads_what_another_has_written),
        cmocka_unit_test(a_lease_of_another_node_has_to_be_seen_unrenewed),
        cmocka_unit_test(an_epoch_ends_when_the_server_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
