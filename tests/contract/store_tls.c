/*
 * TLS on the way to a database host: the engine talks to nobody who does not prove that he is the
 * host of the settings, and says what was wrong with the one who answered.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store_database.h"
#include "store_node.h"
#include "store_world.h"

#define STORE "tls"

/* with_postgres has made it: authorities ca and other, and certificates that they signed. */
static char *tls_file(const char *name)
{
    const char *directory = getenv("HOLDFAST_TEST_TLS");

    assert_non_null(directory);
    return hf_format("%s/%s", directory, name);
}

/* What the server shows from now on; NULL: it has no TLS at all. */
static void server_shows(const char *name)
{
    HF_AUTO_STRING certificate = hf_format("%s.crt", name != NULL ? name : "db1");
    HF_AUTO_STRING key = hf_format("%s.key", name != NULL ? name : "db1");
    HF_AUTO_STRING certificate_file = tls_file(certificate);
    HF_AUTO_STRING key_file = tls_file(key);
    HF_AUTO_STRING set_certificate =
        hf_format("ALTER SYSTEM SET ssl_cert_file = '%s'", certificate_file);
    HF_AUTO_STRING set_key = hf_format("ALTER SYSTEM SET ssl_key_file = '%s'", key_file);
    const char *set = name != NULL ? "ALTER SYSTEM SET ssl = on" : "ALTER SYSTEM SET ssl = off";
    HF_AUTO_STRING is_set = hf_format(
        "SELECT (current_setting('ssl')::boolean = %s AND current_setting('ssl_cert_file') = '%s')"
        "::int",
        name != NULL ? "true" : "false", certificate_file);

    store_database_run(STORE, set_certificate);
    store_database_run(STORE, set_key);
    store_database_run(STORE, set);
    store_database_run(STORE, "SELECT pg_reload_conf()");
    /* A session that sees it was made by a server that shows it. */
    (void)await_number(STORE, is_set);
}

/* The store's host under a name; a later word of a setting takes the place of an earlier one. */
static char *host_named(const char *name, const char *more, const char *authority)
{
    HF_AUTO_STRING own = store_database_of(STORE);
    HF_AUTO_STRING ca = tls_file(authority);

    return hf_format("%s host=%s %s sslrootcert='%s'", own, name, more, ca);
}

static int make_store(void **state)
{
    struct node node;

    (void)state;
    assert_ok(&node.op, node_open(&node, STORE, (struct options){ .create = true }));
    node_close(&node);
    return 0;
}

static int drop_store(void **state)
{
    (void)state;
    store_database_drop(STORE);
    return 0;
}

#define ADDRESS "hostaddr=127.0.0.1 sslmode=verify-full"

static void only_a_host_that_proves_its_name_is_talked_to(void **state)
{
    static const struct {
        const char *says;
        const char *shows; /* the server */
        const char *name, *more, *authority;
        const char *text; /* of the refusal; NULL: it is taken */
    } cases[] = {
        { "the certificate is right", "db1", "db1.test", ADDRESS, "ca.crt", NULL },
        { "it is of another authority", "stranger", "db1.test", ADDRESS, "ca.crt",
          "certificate verify failed" },
        { "our authority is another one", "db1", "db1.test", ADDRESS, "other.crt",
          "certificate verify failed" },
        { "it is of another host", "db2", "db1.test", ADDRESS, "ca.crt",
          "server certificate for \"db2.test\" does not match host name \"db1.test\"" },
        { "the server has no TLS", NULL, "db1.test", ADDRESS, "ca.crt",
          "server does not support SSL, but SSL was required" },
        { "a name is verified without a word about it", "db1", "localhost", "", "ca.crt",
          "server certificate for \"db1.test\" does not match host name \"localhost\"" },
        { "nor may a name be without TLS", NULL, "localhost", "", "ca.crt",
          "server does not support SSL, but SSL was required" },
        { "a name that is right needs no word", "localhost", "localhost", "", "ca.crt", NULL },
        { "there is no file of an authority", "db1", "db1.test", ADDRESS, "none.crt",
          "none.crt\" does not exist" },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING host = host_named(cases[i].name, cases[i].more, cases[i].authority);
        struct hf_status status;
        struct node node;

        server_shows(cases[i].shows);
        status = node_open(&node, STORE, (struct options){ .host = host });
        if (status.code != (cases[i].text != NULL ? HF_UNAVAILABLE : HF_OK) ||
            (cases[i].text != NULL && strstr(node.op.text, cases[i].text) == NULL)) {
            fail_msg("%s: %s: %s", cases[i].says, hf_code_name(status.code), node.op.text);
        }
        if (status.code == HF_OK) {
            assert_ok(&node.op, node_put(&node, (uint32_t)i + 1));
            /* The watcher's and the writer's: none of them is in the clear. */
            (void)await_number(STORE, "SELECT (bool_and(ssl) AND count(*) >= 2)::int"
                                      " FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                                      " WHERE application_name = 'holdfast'");
        }
        node_close(&node);
    }
}

static void keep_host(void *context, const struct hf_host *host)
{
    *(struct hf_host *)context = *host;
}

/* The problem counts for a host that is away only. */
static void await_host(struct node *node, enum hf_host_state state, const char *problem)
{
    struct hf_host seen = { 0 };

    node_has(node, PATIENCE_MS);
    hf_engine_hosts(node->engine, keep_host, &seen);
    while (seen.state != state || strcmp(seen.problem, problem) != 0) {
        if (hf_op_check_deadline(&node->op).code != HF_OK) {
            fail_msg("not \"%s\", but state %d: %s", problem, (int)seen.state, seen.problem);
        }
        nap();
        hf_engine_hosts(node->engine, keep_host, &seen);
    }
}

static void one_who_takes_the_place_of_a_host_is_given_nothing(void **state)
{
    HF_AUTO_STRING host = host_named("db1.test", ADDRESS, "ca.crt");
    HF_AUTO(record) record = NULL;
    struct hf_beat beat = { .node = "n1", .number = 1 };
    struct node node;
    uint64_t seq = 0;
    long stood;

    (void)state;
    server_shows("db1");
    assert_ok(&node.op, node_open(&node, STORE, (struct options){ .host = host }));
    assert_ok(&node.op, node_put(&node, 100));
    assert_ok(&node.op, hf_engine_get(node.engine, &node.op, "path/100", &record));
    stood = store_database_number(STORE, "SELECT seq FROM state");

    server_shows("stranger");
    store_database_run(STORE, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                              " WHERE application_name = 'holdfast'");
    await_host(&node, HF_HOST_AWAY, "SSL error: certificate verify failed");
    node_has(&node, 300);
    assert_fails(&node.op, node_put(&node, 101), HF_UNAVAILABLE);
    assert_non_null(strstr(node.op.text, "certificate verify failed"));
    node_has(&node, 300);
    assert_fails(&node.op, hf_engine_beat(node.engine, &node.op, &beat, false, &seq),
                 HF_UNAVAILABLE);
    hf_record_free(record);
    record = NULL;
    node_has(&node, 300);
    assert_fails(&node.op, hf_engine_get(node.engine, &node.op, "path/100", &record),
                 HF_UNAVAILABLE);
    assert_int_equal(store_database_number(STORE, "SELECT seq FROM state"), stood);

    server_shows("db1");
    await_host(&node, HF_HOST_PRIMARY, "");
    assert_ok(&node.op, node_put(&node, 101));
    assert_ok(&node.op, hf_engine_get(node.engine, &node.op, "path/100", &record));
    node_close(&node);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_host_that_proves_its_name_is_talked_to),
        cmocka_unit_test(one_who_takes_the_place_of_a_host_is_given_nothing),
    };

    return cmocka_run_group_tests(tests, make_store, drop_store);
}
