/*
 * Sessions of the PostgreSQL engine: whatever the server, the database or the role is set to, a
 * commit of ours waits for its standbys; and what has not waited is shown to nobody.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store_database.h"
#include "store_node.h"
#include "store_world.h"

/* --- never weaker than on --- */

/* Puts down what synchronous_commit is in each session of ours that writes these tables. */
static void note_sessions(const char *store)
{
    static const char *const tables[] = { "schema", "state", "hb" };

    store_database_run(store, "CREATE TABLE noted (about TEXT, level TEXT);"
                              "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
                              " 'BEGIN INSERT INTO noted VALUES"
                              " (tg_table_name, current_setting(''synchronous_commit''));"
                              " RETURN NULL; END'");
    for (size_t i = 0; i < HF_COUNT(tables); i++) {
        HF_AUTO_STRING make = hf_format("CREATE TRIGGER note AFTER INSERT OR UPDATE ON %s"
                                        " FOR EACH STATEMENT EXECUTE FUNCTION note()",
                                        tables[i]);

        store_database_run(store, make);
    }
}

/* All that was put down about a table is this; and something was. */
static void assert_noted(const char *says, const char *store, const char *table, const char *level)
{
    HF_AUTO_STRING count = hf_format("SELECT count(*) FROM noted WHERE about = '%s'", table);
    HF_AUTO_STRING others = hf_format("%s AND level <> '%s'", count, level);

    if (store_database_number(store, count) <= 0 || store_database_number(store, others) != 0) {
        fail_msg("%s: %s was not written with synchronous_commit = %s alone", says, table, level);
    }
}

/* The server has read the setting when a new session finds it so; %s is a level, or DEFAULT. */
static void set_level(const char *store, const char *how, const char *level)
{
    HF_AUTO_STRING set = hf_format("%s synchronous_commit = %s", how, level);
    HF_AUTO_STRING is_set = hf_format("SELECT (current_setting('synchronous_commit') = '%s')::int",
                                      strcmp(level, "DEFAULT") == 0 ? "on" : level);

    store_database_run(store, set);
    store_database_run(store, "SELECT pg_reload_conf()");
    (void)await_number(store, is_set);
}

static const char of_server[] = "ALTER SYSTEM SET";
static const char of_database[] = "ALTER DATABASE holdfast SET";
static const char of_role[] = "ALTER ROLE holdfast SET";
static const char of_role_here[] = "ALTER ROLE holdfast IN DATABASE holdfast SET";

static void no_session_is_weaker_than_on_whatever_the_server_is_set_to(void **state)
{
    static const struct {
        const char *says;
        const char *how;
        const char *level;
        const char *ours;
    } cases[] = {
        { "the server's files say off", of_server, "off", "on" },
        { "the database says off", of_database, "off", "on" },
        { "the database says local", of_database, "local", "on" },
        { "the role says off", of_role, "off", "on" },
        { "the role says local", of_role, "local", "on" },
        { "the role says remote_write", of_role, "remote_write", "on" },
        { "the role says off in this database", of_role_here, "off", "on" },
        { "the role says on", of_role, "on", "on" },
        { "more than on is left so", of_role, "remote_apply", "remote_apply" },
    };
    static const char store[] = "levels";

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_beat beat = { .node = "n1", .number = 1 };
        struct node node;
        uint64_t number = 0;

        assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
        node_close(&node);
        store_database_run(store, "ALTER TABLE hb DROP COLUMN body; UPDATE schema SET version = 2");
        note_sessions(store);
        set_level(store, cases[i].how, cases[i].level);
        assert_ok(&node.op, node_open(&node, store, (struct options){ 0 }));
        node_has(&node, PATIENCE_MS);
        assert_ok(&node.op, node_put(&node, 1));
        assert_ok(&node.op, hf_engine_barrier(node.engine, &node.op, &number));
        assert_ok(&node.op, hf_engine_lease(node.engine, &node.op, "job", "n1", 1000, &number));
        assert_ok(&node.op, hf_engine_beat(node.engine, &node.op, &beat, true, &number));
        assert_ok(&node.op, hf_engine_forget(node.engine, &node.op, 1));
        assert_noted(cases[i].says, store, "schema", cases[i].ours);
        assert_noted(cases[i].says, store, "state", cases[i].ours);
        assert_noted(cases[i].says, store, "hb", cases[i].ours);
        /* The one that waits for no standby waits for its own disk, which off would not. */
        store_database_run(store, "DELETE FROM noted");
        beat.number = 2;
        assert_ok(&node.op, hf_engine_beat(node.engine, &node.op, &beat, false, &number));
        assert_noted(cases[i].says, store, "hb", "local");
        node_close(&node);
        set_level(store, cases[i].how, "DEFAULT");
        store_database_drop(store);
    }
}

struct opening {
    struct node node;
    pthread_t thread;
    struct hf_status status;
};

static void *open_main(void *context)
{
    struct opening *opening = context;

    opening->status = node_open(&opening->node, "unforced", (struct options){ .create = true });
    return NULL;
}

/* What is seen from outside: the server's process waits for the standby. */
static void of_a_role_that_does_not_wait_each_commit_waits_all_the_same(void **state)
{
    static const char store[] = "unforced";
    struct opening opening;
    struct putting putting;

    (void)state;
    set_level(store, of_role, "off");
    set_standby_names(store, "ANY 1 (nobody)");
    /* The store that is made here is in one commit, of a session that is no writer's. */
    assert_int_equal(pthread_create(&opening.thread, NULL, open_main, &opening), 0);
    (void)await_number(store, waiting_commit);
    set_standby_names(store, "");
    assert_int_equal(pthread_join(opening.thread, NULL), 0);
    assert_ok(&opening.node.op, opening.status);

    set_standby_names(store, "ANY 1 (nobody)");
    node_has(&opening.node, PATIENCE_MS);
    put_start(&putting, &opening.node, 1);
    (void)await_number(store, waiting_commit);
    set_standby_names(store, "");
    put_join(&putting);
    assert_ok(&opening.node.op, putting.status);
    hf_commit_done(&putting.commit);
    node_close(&opening.node);
    set_level(store, of_role, "DEFAULT");
    store_database_drop(store);
}

/*
 * Every role may set this for itself, so a server that does not let us is made here: a function of
 * the name that we call comes before the server's own, and does nothing while table deaf has a row.
 */
static char *deaf_host(const char *store)
{
    HF_AUTO_STRING host = store_database_of(store);
    HF_AUTO_STRING before = hf_strndup(host, strlen(host) - 1);

    store_database_run(
        store, "CREATE TABLE deaf (one BIGINT);"
               "CREATE FUNCTION set_config(TEXT, TEXT, BOOLEAN) RETURNS TEXT LANGUAGE plpgsql AS"
               " 'BEGIN IF $1 = ''synchronous_commit'' AND EXISTS (SELECT FROM deaf) THEN"
               " RETURN $2; END IF; RETURN pg_catalog.set_config($1, $2, $3); END'");
    return hf_format("%s,pg_catalog'", before);
}

static void keep_host(void *context, const struct hf_host *host)
{
    *(struct hf_host *)context = *host;
}

static void a_host_whose_sessions_cannot_be_forced_is_not_used(void **state)
{
    static const char store[] = "deaf";
    HF_AUTO_STRING host = NULL;
    struct hf_host seen = { 0 };
    struct node node;
    struct node other;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    node_close(&node);
    host = deaf_host(store);
    set_level(store, of_role, "off");
    assert_ok(&node.op, node_open(&node, store, (struct options){ .host = host }));
    hf_engine_hosts(node.engine, keep_host, &seen);
    assert_int_equal(seen.state, HF_HOST_PRIMARY);

    /* From here on a session that begins is as weak as the role: the writer's is the first. */
    store_database_run(store, "INSERT INTO deaf VALUES (1)");
    node_has(&node, 600);
    assert_fails(&node.op, node_put(&node, 1), HF_UNAVAILABLE);
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 0);
    /* Nor is anything done to the tables in such a session. */
    node_has(&node, PATIENCE_MS);
    assert_fails(&node.op, hf_engine_retire(node.engine, &node.op, 0, "elsewhere"), HF_UNAVAILABLE);
    assert_string_equal(node.op.text, "synchronous_commit cannot be set to on");
    assert_fails(&other.op, node_open(&other, store, (struct options){ .host = host }),
                 HF_UNAVAILABLE);
    assert_non_null(strstr(other.op.text, "synchronous_commit cannot be set to on"));
    node_close(&other);

    /* The session that watches ends: the next one shows that the host is of no use. */
    store_database_run(store, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                              " WHERE application_name = 'holdfast'");
    node_has(&node, PATIENCE_MS);
    do {
        assert_ok(&node.op, hf_op_check_deadline(&node.op));
        nap();
        hf_engine_hosts(node.engine, keep_host, &seen);
    } while (seen.state != HF_HOST_LEFT);
    assert_string_equal(seen.problem, "synchronous_commit cannot be set to on");
    node_has(&node, 300);
    assert_fails(&node.op, node_put(&node, 1), HF_UNAVAILABLE);

    store_database_run(store, "DELETE FROM deaf");
    store_database_run(store, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                              " WHERE application_name = 'holdfast'");
    node_has(&node, PATIENCE_MS);
    assert_ok(&node.op, node_put(&node, 1));
    node_close(&node);
    set_level(store, of_role, "DEFAULT");
    store_database_drop(store);
}

/* --- what has not waited is shown to nobody --- */

static struct hf_status count_batch(void *context, const struct hf_logged_batch *batch)
{
    uint64_t *last = context;

    assert_int_equal(batch->seq, *last + 1);
    *last = batch->seq;
    return HF_SUCCESS;
}

/* A commit whose wait for the standby was cancelled: the server calls it a success, for all to see,
 * and it is on one disk. */
static void commit_without_waiting(struct node *node, uint32_t request)
{
    struct putting putting;
    HF_AUTO_STRING cancel = NULL;

    set_standby_names(node->store, "ANY 1 (nobody)");
    node_has(node, 1500);
    put_start(&putting, node, request);
    cancel =
        hf_format("SELECT pg_cancel_backend(%ld)::int", await_number(node->store, waiting_commit));
    assert_int_equal(store_database_number(node->store, cancel), 1);
    put_join(&putting);
    assert_int_equal(putting.status.code, HF_IN_DOUBT);
    hf_commit_done(&putting.commit);
    assert_int_equal(store_database_number(node->store, "SELECT seq FROM state"), 2);
}

static void assert_feed_ends(struct node *node, enum hf_code code, uint64_t at)
{
    uint64_t last = 1;

    assert_fails(&node->op,
                 hf_engine_changes(node->engine, &node->op, 1, SIZE_MAX, count_batch, &last), code);
    assert_int_equal(last, at);
}

static uint64_t seq_of_copy(struct node *node)
{
    struct hf_mirror_info info;

    assert_true(hf_mirror_info(node->engine, &info));
    return info.seq;
}

/* By hand, since the commit of a heartbeat that speaks of it is one that cannot be had. */
static const char say_confirmed[] =
    "SET synchronous_commit = local;"
    "INSERT INTO hb (node, n, confirmed_seq, applied_seq) VALUES ('n9'::bytea, 1, 2, 0)";

static void a_commit_that_is_not_confirmed_is_followed_by_nobody(void **state)
{
    static const struct {
        const char *says;
        const char *standbys; /* that commits wait for at the end */
        const char *sql;
    } cases[] = {
        { "a barrier proves it", "", "SELECT 1" },
        { "a node has told that it is confirmed", "ANY 1 (nobody)", say_confirmed },
    };
    struct hf_change change = store_change("path", 0, "body");
    struct hf_batch batch = store_batch(7, &change, 1);

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        static const char store[] = "feed";
        char directory[] = "/tmp/holdfast-feed-XXXXXX";
        HF_AUTO_STRING remove_all = NULL;
        HF_AUTO_STRING snapshot = NULL;
        HF_AUTO_STRING mirror = NULL;
        HF_AUTO(record) record = NULL;
        struct node writer, follower, copier;
        struct hf_request_id found;
        struct hf_commit commit;
        uint64_t seq = 0;

        print_message("%s\n", cases[i].says);
        hf_commit_init(&commit);
        assert_non_null(mkdtemp(directory));
        mirror = hf_format("%s/mirror", directory);
        snapshot = hf_format("%s/snapshot", directory);
        remove_all = hf_format("rm -r '%s'", directory);
        assert_ok(&writer.op, node_open(&writer, store, (struct options){ .create = true }));
        assert_ok(&writer.op, node_put(&writer, 1));
        assert_ok(&follower.op, node_open(&follower, store, (struct options){ 0 }));
        assert_ok(&copier.op, node_open(&copier, store, (struct options){ .mirror = mirror }));
        node_has(&copier, PATIENCE_MS);
        assert_ok(&copier.op, hf_mirror_follow(copier.engine, &copier.op, &seq));
        assert_int_equal(seq_of_copy(&copier), 1);
        commit_without_waiting(&writer, 7);

        node_has(&follower, 400);
        assert_feed_ends(&follower, HF_UNAVAILABLE, 1);
        assert_non_null(strstr(follower.op.text, "not confirmed to be durable yet"));
        node_has(&follower, 400);
        assert_fails(&follower.op,
                     hf_engine_snapshot(follower.engine, &follower.op, snapshot, &seq),
                     HF_UNAVAILABLE);
        node_has(&follower, 400);
        assert_fails(&follower.op, hf_engine_recall(follower.engine, &follower.op, &batch, &commit),
                     HF_UNAVAILABLE);
        node_has(&follower, 400);
        assert_fails(&follower.op,
                     hf_engine_find(follower.engine, &follower.op, batch.digest, 0, 0, &found),
                     HF_UNAVAILABLE);
        node_has(&copier, 400);
        assert_fails(&copier.op, hf_mirror_follow(copier.engine, &copier.op, &seq), HF_UNAVAILABLE);
        assert_int_equal(seq_of_copy(&copier), 1);
        node_has(&copier, PATIENCE_MS);
        assert_fails(&copier.op, hf_engine_get(copier.engine, &copier.op, "path", &record),
                     HF_NOT_FOUND);

        set_standby_names(store, cases[i].standbys);
        store_database_run(store, cases[i].sql);
        node_has(&follower, PATIENCE_MS);
        assert_feed_ends(&follower, HF_OK, 2);
        assert_ok(&follower.op, hf_engine_recall(follower.engine, &follower.op, &batch, &commit));
        assert_ok(&follower.op, hf_engine_snapshot(follower.engine, &follower.op, snapshot, &seq));
        assert_int_equal(seq, 2);
        node_has(&copier, PATIENCE_MS);
        assert_ok(&copier.op, hf_mirror_follow(copier.engine, &copier.op, &seq));
        assert_int_equal(seq_of_copy(&copier), 2);
        assert_ok(&copier.op, hf_engine_get(copier.engine, &copier.op, "path", &record));

        set_standby_names(store, "");
        hf_commit_done(&commit);
        node_close(&copier);
        node_close(&follower);
        node_close(&writer);
        store_database_drop(store);
        assert_int_equal(system(remove_all), 0);
    }
}

/* --- sessions end --- */

static struct hf_status get_path(struct node *node)
{
    HF_AUTO(record) record = NULL;

    return hf_engine_get(node->engine, &node->op, "path/1", &record);
}

static struct hf_status skip_record(void *context, const struct hf_record_view *record)
{
    (void)record;
    *(unsigned *)context += 1;
    return HF_SUCCESS;
}

/* Each record once, though the walk began in a session that had ended. */
static struct hf_status list_all(struct node *node)
{
    unsigned count = 0;
    struct hf_status status =
        hf_engine_list(node->engine, &node->op, "", NULL, skip_record, &count);

    assert_int_equal(count, 1);
    return status;
}

static struct hf_status follow_log(struct node *node)
{
    uint64_t last = 0;

    return hf_engine_changes(node->engine, &node->op, 0, SIZE_MAX, count_batch, &last);
}

static struct hf_status look_at_state(struct node *node)
{
    struct hf_store_state found;

    return hf_engine_state(node->engine, &node->op, &found, NULL);
}

static struct hf_status make_barrier(struct node *node)
{
    uint64_t seq = 0;

    return hf_engine_barrier(node->engine, &node->op, &seq);
}

static struct hf_status take_lease(struct node *node)
{
    uint64_t fence = 0;

    return hf_engine_lease(node->engine, &node->op, "job", "n1", 1000, &fence);
}

static struct hf_status repeat_put(struct node *node)
{
    return node_put(node, 1);
}

static void a_session_that_the_server_ended_is_made_anew_by_the_next_call(void **state)
{
    static const struct {
        const char *says;
        struct hf_status (*call)(struct node *node);
    } cases[] = {
        { "get", get_path },        { "list", list_all },        { "changes", follow_log },
        { "state", look_at_state }, { "barrier", make_barrier }, { "lease", take_lease },
        { "apply", repeat_put },
    };
    static const char store[] = "ended";
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, store, (struct options){ .create = true }));
    assert_ok(&node.op, node_put(&node, 1));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;

        node_has(&node, PATIENCE_MS);
        assert_ok(&node.op, cases[i].call(&node)); /* its session is there, and idle */
        assert_true(store_database_number(store, "SELECT count(pg_terminate_backend(pid, 10000))"
                                                 " FROM pg_stat_activity"
                                                 " WHERE application_name = 'holdfast'") >= 2);
        node_has(&node, PATIENCE_MS);
        status = cases[i].call(&node);
        if (status.code != HF_OK) {
            fail_msg("%s: %s", cases[i].says, node.op.text);
        }
    }
    assert_int_equal(store_database_number(store, "SELECT seq FROM state"), 1);
    node_close(&node);
    store_database_drop(store);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_session_is_weaker_than_on_whatever_the_server_is_set_to),
        cmocka_unit_test(of_a_role_that_does_not_wait_each_commit_waits_all_the_same),
        cmocka_unit_test(a_host_whose_sessions_cannot_be_forced_is_not_used),
        cmocka_unit_test(a_commit_that_is_not_confirmed_is_followed_by_nobody),
        cmocka_unit_test(a_session_that_the_server_ended_is_made_anew_by_the_next_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
