/* What the PostgreSQL engine makes of words: settings, error codes, names of standbys. */
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"
#include "test.h"

static void the_standbys_a_setting_waits_for_are_counted(void **state)
{
    static const struct {
        const char *names;
        unsigned count;
    } cases[] = {
        { "", 0 },
        { "  ", 0 },
        { "*", 1 },
        { "n1", 1 },
        { "n1, n2", 1 },
        { "\"n1\"", 1 },
        { "FIRST 2 (n1, n2, n3)", 2 },
        { "first 1 (n1)", 1 },
        { "ANY 2 (n1, n2, n3)", 2 },
        { "any 1(*)", 1 },
        { "2 (n1, n2)", 2 },
        { "3(a,b,c)", 3 },
        { "anyhow", 1 },
        { "first", 1 },
        { "2nd", 1 },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (hf_pg_names_demand(cases[i].names) != cases[i].count) {
            fail_msg("\"%s\": %u", cases[i].names, hf_pg_names_demand(cases[i].names));
        }
    }
}

static void each_error_has_its_class_and_code(void **state)
{
    static const struct {
        const char *sqlstate;
        enum hf_pg_class class;
        enum hf_code code;
        bool ambiguous; /* as the answer to a commit */
    } cases[] = {
        { "40001", HF_PG_CLASS_RETRY, HF_UNAVAILABLE, false },
        { "40P01", HF_PG_CLASS_RETRY, HF_UNAVAILABLE, false },
        { "40003", HF_PG_CLASS_LOST, HF_UNAVAILABLE, true },
        { "55P03", HF_PG_CLASS_RETRY, HF_UNAVAILABLE, true },
        { "57014", HF_PG_CLASS_RETRY, HF_UNAVAILABLE, true },
        { "57P01", HF_PG_CLASS_LOST, HF_UNAVAILABLE, true },
        { "57P03", HF_PG_CLASS_LOST, HF_UNAVAILABLE, true },
        { "08006", HF_PG_CLASS_LOST, HF_UNAVAILABLE, true },
        { "25006", HF_PG_CLASS_WRONG_HOST, HF_UNAVAILABLE, true },
        { "53100", HF_PG_CLASS_DEFINITE, HF_NO_SPACE, true },
        { "53300", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE, true },
        { "58030", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE, true },
        { "54000", HF_PG_CLASS_DEFINITE, HF_TOO_LARGE, true },
        { "23505", HF_PG_CLASS_DEFINITE, HF_CORRUPT, false },
        { "XX001", HF_PG_CLASS_DEFINITE, HF_CORRUPT, true },
        { "42P01", HF_PG_CLASS_DEFINITE, HF_CORRUPT, true },
        { "42501", HF_PG_CLASS_DEFINITE, HF_UNAVAILABLE, true },
        { "42601", HF_PG_CLASS_DEFINITE, HF_INTERNAL, true },
        { "", HF_PG_CLASS_DEFINITE, HF_INTERNAL, true },
    };

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const char *sqlstate = cases[i].sqlstate;

        if (hf_pg_class_of(sqlstate) != cases[i].class ||
            hf_pg_code_of(sqlstate) != cases[i].code ||
            hf_pg_is_ambiguous(sqlstate) != cases[i].ambiguous) {
            fail_msg("%s: class %d, code %s", sqlstate, hf_pg_class_of(sqlstate),
                     hf_code_name(hf_pg_code_of(sqlstate)));
        }
    }
}

static const char *value_of(const struct hf_pg_host *host, const char *keyword)
{
    for (size_t i = 0; host->keywords[i] != NULL; i++) {
        if (strcmp(host->keywords[i], keyword) == 0) {
            return host->values[i];
        }
    }
    return "";
}

static void a_host_is_reached_safely_or_not_at_all(void **state)
{
    static const struct {
        const char *conninfo;
        enum hf_code code;
        const char *says; /* the mode of TLS, or a word of the refusal */
    } cases[] = {
        { "host=db1", HF_OK, "verify-full" },
        { "host=db1 sslmode=verify-full", HF_OK, "verify-full" },
        { "host=db1 sslmode=verify-ca", HF_INVALID, "verify-full" },
        { "host=db1 sslmode=disable", HF_INVALID, "verify-full" },
        { "host=localhost sslmode=disable", HF_INVALID, "verify-full" },
        { "host=10.0.0.1 sslmode=prefer", HF_INVALID, "verify-full" },
        { "host=127.0.0.2", HF_OK, "prefer" },
        { "host=127.0.0.1 sslmode=disable", HF_OK, "disable" },
        { "host=::1 sslmode=disable", HF_OK, "disable" },
        { "host=/run/postgresql", HF_OK, "prefer" },
        { "host=db1 hostaddr=127.0.0.1 sslmode=disable", HF_OK, "disable" },
        { "host=127.0.0.1 hostaddr=10.0.0.1 sslmode=disable", HF_INVALID, "verify-full" },
        { "host=db1 password=x", HF_INVALID, "passfile" },
        { "host=db1,db2", HF_INVALID, "entry of its own" },
        { "dbname=x", HF_INVALID, "host" },
        { "host=db1 colour=red", HF_INVALID, "colour" },
        { "nonsense", HF_INVALID, "cannot be read" },
        { "site='east' host=127.0.0.1", HF_OK, "prefer" },
        { "site='east' patroni='http://[::1]:1' host=db1", HF_OK, "verify-full" },
        { "host=db1 site='east'", HF_INVALID, "site" },
    };
    struct hf_env env;

    (void)state;
    hf_env_system(&env);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const char *const hosts[] = { cases[i].conninfo, NULL };
        const struct hf_store_settings settings = { .hosts = hosts };
        struct hf_pg_engine *engine = hf_alloc(sizeof *engine);
        struct hf_status status;
        struct hf_op op;

        hf_op_init(&op, &env);
        status = hf_pg_settings_take(engine, &op, &settings);
        if (status.code != cases[i].code ||
            (status.code == HF_OK
                 ? strcmp(value_of(&engine->hosts[0], "sslmode"), cases[i].says) != 0
                 : strstr(op.text, cases[i].says) == NULL)) {
            fail_msg("%s: %s: %s", cases[i].conninfo, hf_code_name(status.code), op.text);
        }
        if (status.code == HF_OK) {
            assert_string_equal(value_of(&engine->hosts[0], "tcp_user_timeout"), "3000");
        }
        hf_pg_settings_done(engine);
        free(engine);
    }
}

static void a_store_needs_at_least_one_host(void **state)
{
    static const char *const none[] = { NULL };
    const struct hf_store_settings settings[] = { { .hosts = none }, { .hosts = NULL } };
    struct hf_env env;

    (void)state;
    hf_env_system(&env);
    for (size_t i = 0; i < HF_COUNT(settings); i++) {
        struct hf_pg_engine engine = { 0 };
        struct hf_op op;

        hf_op_init(&op, &env);
        assert_fails(&op, hf_pg_settings_take(&engine, &op, &settings[i]), HF_INVALID);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standbys_a_setting_waits_for_are_counted),
        cmocka_unit_test(each_error_has_its_class_and_code),
        cmocka_unit_test(a_host_is_reached_safely_or_not_at_all),
        cmocka_unit_test(a_store_needs_at_least_one_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
