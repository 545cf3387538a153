/* holdfast.conf: what is read, and what each mistake is told. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static struct hf_env env;
static char directory[] = "/tmp/hf-config-XXXXXX";

static void write_file(const char *path, const char *text)
{
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static struct hf_status load(struct hf_op *op, const char *text, struct hf_config **out)
{
    char path[64];

    (void)snprintf(path, sizeof path, "%s/c", directory);
    write_file(path, text);
    hf_op_init(op, &env);
    return hf_config_load(op, directory, path, out);
}

static void an_empty_file_has_the_defaults(void **unused)
{
    HF_AUTO(config) config = NULL;
    struct hf_op op;
    char path[64];

    (void)unused;
    assert_ok(&op, load(&op, "", &config));
    assert_string_equal(config->node, "node-1");
    assert_string_equal(config->store_engine, "sqlite");
    (void)snprintf(path, sizeof path, "%s/store", directory);
    assert_string_equal(config->store_directory, path);
    assert_false(config->audit_go_on_when_full);
    assert_int_equal(config->secret_bytes, 64 << 20);
    assert_int_equal(config->listener_count, 0);
}

static void everything_said_is_read(void **unused)
{
    HF_AUTO(config) config = NULL;
    struct hf_op op;

    (void)unused;
    assert_ok(
        &op,
        load(&op,
             "node = \"n7\"\n"
             "audit { when_full = \"go-on\" }\n"
             "log { form = \"json\" level = \"debug\" }\n"
             "slot \"a\" { protector = \"keyfile\" file = \"/k\" }\n"
             "slot \"b\" { protector = \"passphrase\" file = \"p\" }\n"
             "slot \"c\" { protector = \"node\" file = \"secrets/node-join.key\" }\n"
             "listener \"h\" { address = \"127.0.0.1:9600\" doors = { \"hadoop\", \"health\" }\n"
             "  pseudo = yes hadoop_export = \"acl\" hadoop_default_length = 256 }\n"
             "listener \"u\" { address = \"unix:admin.sock\" doors = { \"admin\" } }\n",
             &config));
    assert_string_equal(config->node, "n7");
    assert_true(config->audit_go_on_when_full);
    assert_int_equal(config->log_form, HF_LOG_JSON);
    assert_int_equal(config->log_level, HF_LOG_DEBUG);
    assert_int_equal(config->slot_count, 3);
    assert_string_equal(config->slots[0].file, "/k");
    assert_string_equal(config->slots[1].protector, "passphrase");
    assert_string_equal(config->slots[2].protector, "node");
    assert_int_equal(config->listener_count, 2);
    assert_string_equal(config->listeners[0].doors[1], "health");
    assert_null(config->listeners[0].doors[2]);
    assert_true(config->listeners[0].pseudo);
    assert_true(config->listeners[0].tls);
    assert_true(config->listeners[0].hadoop_export_by_policy);
    assert_int_equal(config->listeners[0].hadoop_default_bits, 256);
    assert_false(config->listeners[1].tls);
    assert_non_null(strstr(config->listeners[1].address, "unix:/tmp/"));
}

static void database_hosts_become_connection_strings(void **unused)
{
    static const char *const ends[] = {
        "host='db1' port='5433' ",
        "host='10.0.0.1' dbname=",
        "host='::1' port='1' ",
        "host='/run/it\\'s' ",
        "site='east' host='db2' port='5432' ",
        "site='b.1' patroni='https://db3:8008' host='db3' dbname=",
    };
    HF_AUTO(config) config = NULL;
    struct hf_op op;

    (void)unused;
    assert_ok(&op, load(&op,
                        "store { engine = \"postgres\" user = \"hf\" passfile = \"/p\"\n"
                        "  hosts = { \"db1:5433\", \"10.0.0.1\", \"[::1]:1\", \"/run/it's\",\n"
                        "    \"db2:5432 site=east\",\n"
                        "    \"db3  patroni=https://db3:8008 site=b.1\" }\n"
                        "  sslmode = \"verify-full\" ca = \"/ca\" synchronous = 2\n"
                        "  when_fewer = \"allow\" }\n",
                        &config));
    for (size_t i = 0; i < HF_COUNT(ends); i++) {
        const char *host = config->store_hosts[i];

        if (strncmp(host, ends[i], strlen(ends[i])) != 0 ||
            strstr(host, "dbname='holdfast' user='hf' passfile='/p' sslmode='verify-full' "
                         "sslrootcert='/ca'") == NULL) {
            fail_msg("host %zu: %s", i, host);
        }
    }
    assert_null(config->store_hosts[HF_COUNT(ends)]);
    assert_int_equal(config->store_synchronous, 2);
    assert_true(config->store_allow_fewer);
}

static const struct {
    const char *says;
    const char *text;
    const char *line; /* must stand in the complaint */
    const char *word;
} mistakes[] = {
    { "an unknown name", "node = \"a\"\nnoode = \"b\"\n", ":2:", "noode" },
    { "an unknown section", "\nstor { }\n", ":2:", "stor" },
    { "an unknown name in a section", "store {\n engin = \"x\"\n}\n", ":2:", "engin" },
    { "a value that is none of the choices", "store {\n\n engine = \"mysql\"\n}\n",
      ":3:", "mysql" },
    { "a site that is no name",
      "store { engine = \"postgres\"\n hosts = { \"db1\",\n \"db2 site=a/b\" } }\n", ":3:", "a/b" },
    { "a site without a name", "store { hosts = { \"db1 site=\" } }\n", ":1:", "site=" },
    { "a site twice", "store {\n hosts = { \"db1 site=a site=b\" } }\n", ":2:", "site=b" },
    { "another word after a host", "store {\n hosts = { \"db1 rack=4\" } }\n", ":2:", "rack=4" },
    { "a Patroni without TLS elsewhere",
      "store {\n hosts = { \"db1 patroni=http://db1:8008\" } }\n", ":2:", "loopback" },
    { "a Patroni that is no address", "store {\n hosts = { \"db1 patroni=db1:8008\" } }\n",
      ":2:", "https://" },
    { "a database without hosts", "store { engine = \"postgres\" }\n", ":1:", "hosts" },
    { "a database host without a port after the colon",
      "store { engine = \"postgres\"\n hosts = { \"db1:\" } }\n", ":2:", "db1:" },
    { "a database host with a port that is none",
      "store { engine = \"postgres\"\n hosts = { \"db1:70000\" } }\n", ":2:", "db1:70000" },
    { "an address that is not closed", "store { engine = \"postgres\"\n hosts = { \"[::1\" } }\n",
      ":2:", "[::1" },
    { "a policy that is none", "store { when_fewer = \"hope\" }\n", ":1:", "hope" },
    { "a number out of range", "threads { workers = 0 }\n", ":1:", "workers" },
    { "a number that is none", "threads { workers = many }\n", ":1:", "workers" },
    { "a boolean that is none", "memory { allow_unlocked = perhaps }\n", ":1:", "allow_unlocked" },
    { "a listener without an address", "listener \"x\" { doors = { \"admin\" } }\n",
      ":1:", "address" },
    { "a listener without doors", "listener \"x\" { address = \"127.0.0.1:1\" }\n",
      ":1:", "doors" },
    { "a door there is not",
      "listener \"x\" {\n address = \"127.0.0.1:1\"\n doors = { \"kmip\" }\n}\n", ":3:", "kmip" },
    { "pseudo on a foreign address",
      "listener \"x\" { address = \"0.0.0.0:1\" doors = { \"hadoop\" } pseudo = yes }\n",
      ":1:", "pseudo_insecure" },
    { "client certificates without an authority",
      "listener \"x\" { address = \"127.0.0.1:1\" doors = { \"admin\" }\n"
      "  require_client_certificate = yes }\n",
      ":2:", "client_ca" },
    { "a key length that is none",
      "listener \"x\" { address = \"127.0.0.1:1\" doors = { \"hadoop\" }\n"
      "  hadoop_default_length = 130 }\n",
      ":2:", "hadoop_default_length" },
    { "a slot without a file", "slot \"x\" { }\n", ":1:", "file" },
    { "the word that ends what we read", "node = \"a\"\n\001end = yes\nslot \"x\" {\n",
      ":2:", "0x01" },
    { "two listeners of one name",
      "listener \"x\" { address = \"127.0.0.1:1\" doors = { \"admin\" } }\n"
      "listener \"x\" { address = \"127.0.0.1:2\" doors = { \"admin\" } }\n",
      ":2:", "x" },
};

static void every_mistake_is_told_with_file_and_line(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(mistakes); i++) {
        HF_AUTO(config) config = NULL;
        struct hf_op op;
        struct hf_status status = load(&op, mistakes[i].text, &config);

        if (status.code != HF_INVALID || strstr(op.text, mistakes[i].line) == NULL ||
            strstr(op.text, mistakes[i].word) == NULL || strstr(op.text, directory) == NULL) {
            fail_msg("%s: got %s: %s", mistakes[i].says, hf_code_name(status.code), op.text);
        }
    }
}

static void pseudo_on_a_foreign_address_needs_a_second_word(void **unused)
{
    HF_AUTO(config) config = NULL;
    struct hf_op op;

    (void)unused;
    assert_ok(&op, load(&op,
                        "listener \"x\" { address = \"0.0.0.0:1\" doors = { \"hadoop\" }\n"
                        " pseudo = yes pseudo_insecure = yes }\n",
                        &config));
    assert_true(config->listeners[0].pseudo_insecure);
}

static void a_missing_file_is_named(void **unused)
{
    HF_AUTO(config) config = NULL;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_fails(&op, hf_config_load(&op, directory, "/nowhere/holdfast.conf", &config),
                 HF_UNAVAILABLE);
    assert_non_null(strstr(op.text, "/nowhere/holdfast.conf"));
}

static void the_description_has_every_row(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    hf_config_describe(out);
    assert_non_null(strstr(hf_buf_text(out), "hadoop_retry_window"));
    assert_non_null(strstr(hf_buf_text(out), "allow_unlocked"));
}

struct told {
    char text[512];
};

static void take_change(void *context, const struct hf_config_change *change)
{
    struct told *told = context;
    size_t len = strlen(told->text);

    (void)snprintf(told->text + len, sizeof told->text - len, "%s/%s/%s%s;", change->section,
                   change->title, change->name != NULL ? change->name : "-",
                   change->is_live ? " live" : "");
}

#define FILE_BEFORE                                                                                \
    "listener \"a\" { address = \"127.0.0.1:1\" doors = { \"hadoop\", \"health\" } }\n"            \
    "listener \"b\" { address = \"127.0.0.1:2\" doors = { \"health\" } }\n"

static void what_differs_is_told_with_whether_it_needs_a_restart(void **unused)
{
    static const struct {
        const char *says;
        const char *now;
        const char *told;
    } cases[] = {
        { "nothing", "node = \"node-1\"\n" FILE_BEFORE, "" },
        { "top level", "node = \"other\"\n" FILE_BEFORE, "//node;" },
        { "a section without a title", "threads { max_connections = 5 loops = 1 }\n" FILE_BEFORE,
          "threads//loops;threads//max_connections live;" },
        { "a listener is gone",
          "listener \"a\" { address = \"127.0.0.1:1\" doors = { \"hadoop\", \"health\" } }\n",
          "listener/b/-;" },
        { "a listener is new",
          FILE_BEFORE "listener \"c\" { address = \"127.0.0.1:3\" doors = { \"health\" } }\n",
          "listener/c/-;" },
        { "limits and a list",
          "listener \"a\" { address = \"127.0.0.1:1\" doors = { \"hadoop\" } pseudo = yes }\n"
          "listener \"b\" { address = \"127.0.0.1:2\" doors = { \"health\" } idle_timeout = 9 }\n",
          "listener/a/doors;listener/a/pseudo live;listener/b/idle_timeout live;" },
    };
    HF_AUTO(config) before = NULL;
    struct hf_op op;

    (void)unused;
    assert_ok(&op, load(&op, FILE_BEFORE, &before));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(config) now = NULL;
        struct told told = { "" };

        assert_ok(&op, load(&op, cases[i].now, &now));
        hf_config_compare(before, now, take_change, &told);
        if (strcmp(told.text, cases[i].told) != 0) {
            fail_msg("%s: %s", cases[i].says, told.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_told_with_whether_it_needs_a_restart),
        cmocka_unit_test(an_empty_file_has_the_defaults),
        cmocka_unit_test(everything_said_is_read),
        cmocka_unit_test(database_hosts_become_connection_strings),
        cmocka_unit_test(every_mistake_is_told_with_file_and_line),
        cmocka_unit_test(pseudo_on_a_foreign_address_needs_a_second_word),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(the_description_has_every_row),
    };

    hf_env_system(&env);
    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
