/* What is particular to the PostgreSQL engine: faults of the database, and policies about them. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"
#include "store_database.h"
#include "store_node.h"
#include "store_world.h"

/* How much longer than its deadline a call may take on a busy machine. */
#define SLACK_MS 700

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
    assert_ok(&node.op, node_put_at(&node, 7, "path", &commit));
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
    assert_ok(&node.op, node_put(&node, 1));
    assert_ok(&node.op, hf_engine_get(node.engine, &node.op, "path/1", &record));
    count = server_processes(store, pids, HF_COUNT(pids));
    assert_true(count >= 4);
    signal_all(pids, count, SIGSTOP);
    began_ms = now_ms();
    node_has(&node, 1500);
    written = node_put(&node, 2);
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
    assert_ok(&node.op, node_put(&node, 2));
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
        { "none is required", "", { .create = true }, HF_OK },
        { "one is required and there is none",
          "",
          { .create = true, .synchronous = 1 },
          HF_UNAVAILABLE },
        { "one is required, is named, and is not there",
          "ANY 1 (nobody)",
          { .create = true, .synchronous = 1 },
          HF_UNAVAILABLE },
        { "the settings allow fewer",
          "",
          { .create = true, .synchronous = 1, .allow_fewer = true },
          HF_OK },
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
        status = node_put(&node, 1);
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
        assert_ok(&node.op, node_put(&node, i));
    }
    store_database_run(store, "DELETE FROM batch WHERE seq > 1; DELETE FROM change WHERE seq > 1;"
                              "DELETE FROM request WHERE seq > 1; UPDATE state SET seq = 1");
    assert_fails(&node.op, node_put(&node, 4), HF_WRONG_STATE);
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
    assert_fails(&node.op, node_put(&node, 1), HF_WRONG_STATE);
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
    assert_ok(&node.op, node_put(&node, 1));
    node_close(&node);
    assert_ok(&node.op, node_open(&node, store, (struct options){ 0 }));
    assert_fails(&node.op, node_put(&node, 2), HF_OK);
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
    assert_ok(&node.op, node_put(&node, 1));
    node_close(&node);
    store_database_run(store, "DROP TABLE hb; UPDATE schema SET version = 1");
    assert_ok(&node.op, node_open(&node, store, (struct options){ 0 }));
    assert_ok(&node.op, node_put(&node, 2));
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

/* Writes and reads on one node until it is told to stop. */
struct worker {
    struct node node; /* the same as another's, with an operation of its own */
    pthread_t thread;
    atomic_bool stop;
    _Atomic uint32_t done;
    size_t failed;
};

static void *work(void *context)
{
    struct worker *worker = context;
    struct node *node = &worker->node;

    hf_op_init(&node->op, &node->env);
    for (uint32_t i = 1; !atomic_load(&worker->stop); i++) {
        HF_AUTO_STRING path = hf_format("path/%u", 1000 + i);
        HF_AUTO(record) record = NULL;

        worker->failed += node_put(node, 1000 + i).code != HF_OK;
        worker->failed += hf_engine_get(node->engine, &node->op, path, &record).code != HF_OK;
        atomic_store(&worker->done, i);
    }
    return NULL;
}

static void await_work(struct worker *worker, struct node *node, uint32_t more)
{
    uint32_t until = atomic_load(&worker->done) + more;

    node_has(node, PATIENCE_MS);
    while (atomic_load(&worker->done) < until) {
        assert_ok(&node->op, hf_op_check_deadline(&node->op));
        nap();
    }
}

/* A heartbeat as programs of format 2 write it. */
static const char older_beat[] = "INSERT INTO hb (node, n, confirmed_seq, applied_seq)"
                                 " SELECT 'n1'::bytea, 1, seq, 0 FROM state ON CONFLICT (node) DO"
                                 " UPDATE SET n = hb.n + excluded.n";

static struct hf_status look_at_beat(void *context, const struct hf_beat *beat)
{
    uint64_t *number = context;

    assert_string_equal(beat->node, "n1");
    assert_int_equal(beat->body.len, 0);
    *number = beat->number;
    return HF_SUCCESS;
}

/*
 * The older one has sessions of before, on tables of format 2: all that this program says and that
 * one could not are heartbeats with a body.
 */
static void an_older_node_works_on_while_a_newer_one_changes_the_tables(void **state)
{
    static const char store[] = "upgraded";
    struct worker worker = { 0 };
    struct node older, newer;
    uint64_t number = 0;
    uint64_t seq = 0;

    (void)state;
    assert_ok(&older.op, node_open(&older, store, (struct options){ .create = true }));
    assert_ok(&older.op, node_put(&older, 1));
    assert_ok(&older.op,
              hf_engine_state(older.engine, &older.op, &(struct hf_store_state){ 0 }, NULL));
    store_database_run(store, "ALTER TABLE hb DROP COLUMN body; UPDATE schema SET version = 2");
    store_database_run(store, older_beat);
    worker.node = older;
    assert_int_equal(pthread_create(&worker.thread, NULL, work, &worker), 0);
    await_work(&worker, &older, 5);
    assert_int_equal(store_database_number(store, "SELECT version FROM schema"), 2);
    assert_ok(&newer.op, node_open(&newer, store, (struct options){ 0 }));
    assert_int_equal(store_database_number(store, "SELECT version FROM schema"), 3);
    await_work(&worker, &older, 5);
    store_database_run(store, older_beat);
    assert_ok(&newer.op, node_put(&newer, 2));
    await_work(&worker, &older, 5);
    atomic_store(&worker.stop, true);
    assert_int_equal(pthread_join(worker.thread, NULL), 0);
    assert_int_equal(worker.failed, 0);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), worker.done + 2);
    assert_int_equal(store_database_number(store, "SELECT count(*) FROM batch"), worker.done + 2);
    assert_ok(&newer.op, hf_engine_beats(newer.engine, &newer.op, look_at_beat, &number, &seq));
    assert_int_equal(number, 2);
    assert_int_equal(seq, worker.done + 2);
    node_close(&newer);
    node_close(&older);
    store_database_drop(store);
}

struct starter {
    struct node node;
    struct options options;
    pthread_t thread;
    struct hf_status status;
};

static void *start_node(void *context)
{
    struct starter *starter = context;

    starter->status = node_open(&starter->node, "at-once", starter->options);
    return NULL;
}

static void start_at_once(struct starter *starters, size_t count, struct options options)
{
    for (size_t i = 0; i < count; i++) {
        starters[i].options = options;
        assert_int_equal(pthread_create(&starters[i].thread, NULL, start_node, &starters[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(starters[i].thread, NULL), 0);
    }
}

static void of_those_who_make_a_store_at_once_one_does(void **state)
{
    static const char store[] = "at-once";
    struct starter starters[4];

    (void)state;
    for (uint32_t round = 0; round < 10; round++) {
        HF_AUTO_STRING host = store_database_of(store); /* the schema is there before */
        unsigned made = 0;

        start_at_once(starters, HF_COUNT(starters), (struct options){ .create = true });
        for (size_t i = 0; i < HF_COUNT(starters); i++) {
            made += starters[i].status.code == HF_OK;
            if (starters[i].status.code != HF_OK) {
                assert_fails(&starters[i].node.op, starters[i].status, HF_EXISTS);
            }
            node_close(&starters[i].node);
        }
        assert_int_equal(made, 1);
        store_database_drop(store);
    }
}

static void nodes_that_start_at_once_change_the_tables_once(void **state)
{
    static const char store[] = "at-once";
    struct starter starters[4];
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    node_close(&node);
    for (uint32_t round = 0; round < 5; round++) {
        store_database_run(store, "DROP TABLE hb; UPDATE schema SET version = 1");
        start_at_once(starters, HF_COUNT(starters), (struct options){ 0 });
        for (size_t i = 0; i < HF_COUNT(starters); i++) {
            assert_ok(&starters[i].node.op, starters[i].status);
            assert_ok(&starters[i].node.op,
                      node_put(&starters[i].node, round * 10 + (uint32_t)i + 1));
        }
        assert_int_equal(store_database_number(store, "SELECT version FROM schema"), 3);
        for (size_t i = 0; i < HF_COUNT(starters); i++) {
            node_close(&starters[i].node);
        }
    }
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
        status = node_put(&node, 77);
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
    assert_ok(&nodes[0].op, node_put(&nodes[0], 1));
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
    assert_ok(&node.op, node_put(&node, 1));
    /* As the server would find it that was promoted after that commit. */
    store_database_run(store, "UPDATE state SET timeline = timeline - 1");
    assert_ok(&node.op, node_put(&node, 2));
    assert_ok(&node.op, node_put(&node, 3));
    assert_ok(&node.op, hf_engine_state(node.engine, &node.op, &found, NULL));
    assert_int_equal(found.epoch, 2);
    assert_int_equal(found.seq, 3);
    node_close(&node);
    store_database_drop(store);
}

/* --- which standby is further --- */

static void the_timeline_counts_before_the_length_of_the_log(void **unused)
{
    static const struct {
        const char *says;
        struct hf_pg_role role, than;
        bool is_further;
    } cases[] = {
        { "more of the same",
          { .timeline = 3, .received = 9 },
          { .timeline = 3, .received = 8 },
          true },
        { "less of the same",
          { .timeline = 3, .received = 8 },
          { .timeline = 3, .received = 9 },
          false },
        { "the same", { .timeline = 3, .received = 9 }, { .timeline = 3, .received = 9 }, false },
        { "less of a later one",
          { .timeline = 4, .received = 5 },
          { .timeline = 3, .received = 9 },
          true },
        { "more of one that was left",
          { .timeline = 3, .received = 9 },
          { .timeline = 4, .received = 5 },
          false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_pg_is_further(&cases[i].role, &cases[i].than) != cases[i].is_further) {
            fail_msg("%s", cases[i].says);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_timeline_counts_before_the_length_of_the_log),
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
        cmocka_unit_test(an_older_node_works_on_while_a_newer_one_changes_the_tables),
        cmocka_unit_test(of_those_who_make_a_store_at_once_one_does),
        cmocka_unit_test(nodes_that_start_at_once_change_the_tables_once),
        cmocka_unit_test(one_that_cannot_be_written_takes_no_others_with_it),
        cmocka_unit_test(one_node_reads_what_another_has_written),
        cmocka_unit_test(a_lease_of_another_node_has_to_be_seen_unrenewed),
        cmocka_unit_test(an_epoch_ends_when_the_server_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
