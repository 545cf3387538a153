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
        { "host=db1 gssencmode=disable", HF_OK, "verify-full" },
        { "host=db1 gssencmode=prefer", HF_INVALID, "gssencmode" },
        { "host=db1 gssencmode=require sslmode=verify-full", HF_INVALID, "gssencmode" },
        { "host=127.0.0.1 gssencmode=prefer", HF_OK, "prefer" },
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
            assert_string_equal(value_of(&engine->hosts[0], "gssencmode"),
                                strstr(cases[i].conninfo, "gssencmode=prefer") != NULL ? "prefer"
                                                                                       : "disable");
        }
        hf_pg_settings_done(engine);
        free(engine);
    }
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);

static unsigned broadcasts;

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    (void)condition;
    broadcasts++;
    return 0;
}

/* Otherwise those who wait for it would look again at once, and have the hosts looked at again. */
static void only_what_has_changed_is_news_of_a_host(void **state)
{
    static const char *const hosts[] = { "host=127.0.0.1", NULL };
    static const struct {
        const char *says;
        struct hf_pg_role role;
        bool answers, news;
    } cases[] = {
        { "it is away", { 0 }, false, true }, /* it was not tried before */
        { "it is still away", { 0 }, false, false },
        { "it answers", { .primary = true, .timeline = 1, .started = "1" }, true, true },
        { "it has written",
          { .primary = true, .timeline = 1, .started = "1", .replayed = 9 },
          true,
          false },
        { "it was started anew", { .primary = true, .timeline = 1, .started = "2" }, true, true },
        { "it was promoted", { .primary = true, .timeline = 2, .started = "2" }, true, true },
        { "it is a standby now", { .timeline = 2, .started = "2" }, true, true },
        { "it went away", { 0 }, false, true },
    };
    const struct hf_store_settings settings = { .hosts = hosts };
    struct hf_pg_engine *engine = hf_alloc(sizeof *engine);
    struct hf_env env;
    struct hf_op op;

    (void)state;
    hf_env_system(&env);
    hf_op_init(&op, &env);
    engine->env = &env;
    hf_pg_view_init(&engine->view);
    assert_ok(&op, hf_pg_settings_take(engine, &op, &settings));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_pg_role role = cases[i].role;

        role.system = 7;
        role.commits_synchronously = true;
        role.syncs_disk = true;
        broadcasts = 0;
        hf_pg_publish(engine, 0, cases[i].answers ? &role : NULL, "it is away");
        if (broadcasts != (cases[i].news ? 1 : 0)) {
            fail_msg("%s: %u", cases[i].says, broadcasts);
        }
    }
    hf_pg_settings_done(engine);
    hf_pg_view_done(&engine->view);
    free(engine);
}

static void standbys_that_disagree_about_who_is_further_are_not_chosen_from(void **state)
{
    static const char *const hosts[] = { "site='west' host=/nowhere/w1",
                                         "site='west' host=/nowhere/w2",
                                         "site='east' host=/nowhere/e1", NULL };
    static const struct {
        const char *says;
        struct hf_pg_role roles[3];
        enum hf_code code; /* HF_UNAVAILABLE: one was chosen, and nobody is there */
        const char *words[5];
    } cases[] = {
        { "one has more of the same",
          { { .timeline = 3, .received = 8 }, { .timeline = 3, .received = 9 } },
          HF_UNAVAILABLE,
          { "w2" } },
        { "one has more of a later timeline",
          { { .timeline = 4, .received = 9 }, { .timeline = 3, .received = 8 } },
          HF_UNAVAILABLE,
          { "w1" } },
        { "one is on a later timeline and has less",
          { { .timeline = 4, .received = 0x200000005 },
            { .timeline = 3, .received = 0x2000000ff } },
          HF_WRONG_STATE,
          { "w1:5432 is on timeline 4 ", "2/5,", "w2:5432 on timeline 3 ", "2/FF;",
            "stop the one" } },
        { "the same in the other order",
          { { .timeline = 3, .received = 9 }, { .timeline = 4, .received = 5 } },
          HF_WRONG_STATE,
          { "w2:5432 is on timeline 4 ", "w1:5432 on timeline 3 " } },
        { "the primary of the later one answers",
          { { .timeline = 4, .received = 5 },
            { .timeline = 3, .received = 9 },
            { .primary = true, .timeline = 4 } },
          HF_UNAVAILABLE,
          { "w1" } },
    };
    const struct hf_store_settings settings = { .hosts = hosts };
    struct hf_env env;

    (void)state;
    hf_env_system(&env);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_pg_engine *engine = hf_alloc(sizeof *engine);
        struct hf_sites sites = { engine };
        struct hf_site_stand stand;
        struct hf_status status;
        struct hf_op op;

        hf_op_init(&op, &env);
        engine->env = &env;
        hf_pg_view_init(&engine->view);
        assert_ok(&op, hf_pg_settings_take(engine, &op, &settings));
        for (size_t at = HF_COUNT(cases[i].roles); at-- > 0;) {
            struct hf_pg_role role = cases[i].roles[at];

            role.system = 7;
            role.replayed = role.received;
            role.commits_synchronously = true;
            role.syncs_disk = true;
            hf_pg_publish(engine, at, role.timeline != 0 ? &role : NULL, "it is away");
        }
        status = hf_sites_stand(&sites, &op, "west", 0, &stand);
        if (status.code != cases[i].code) {
            fail_msg("%s: %s: %s", cases[i].says, hf_code_name(status.code), op.text);
        }
        for (size_t w = 0; w < HF_COUNT(cases[i].words) && cases[i].words[w] != NULL; w++) {
            if (strstr(op.text, cases[i].words[w]) == NULL) {
                fail_msg("%s: \"%s\" is not in: %s", cases[i].says, cases[i].words[w], op.text);
            }
        }
        hf_pg_settings_done(engine);
        hf_pg_view_done(&engine->view);
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

static void a_host_is_told_with_the_reasons_of_all_its_addresses(void **state)
{
    static const struct {
        const char *text, *reasons;
    } cases[] = {
        { "it does not answer in time", "it does not answer in time" },
        { "", "" },
        { "ERROR:  permission denied\nLINE 1: SELECT\n", "ERROR:  permission denied" },
        { "connection to server at \"db1\" (10.0.0.1), port 5432 failed: Connection refused\n"
          "\tIs the server running on that host and accepting TCP/IP connections?\n",
          "Connection refused" },
        { "connection to server at \"db1\" (::1), port 5432 failed: Connection refused\n"
          "\tIs the server running on that host and accepting TCP/IP connections?\n"
          "connection to server at \"db1\" (127.0.0.1), port 5432 failed: SSL error: certificate "
          "verify failed\n",
          "Connection refused; SSL error: certificate verify failed" },
        { "connection to server at \"db1\" (::1), port 5432 failed: Connection refused\n"
          "connection to server at \"db1\" (127.0.0.1), port 5432 failed: Connection refused",
          "Connection refused" },
        { "connection to server on socket \"/run/.s.PGSQL.5432\" failed: FATAL:  role \"x\" does "
          "not exist\n",
          "FATAL:  role \"x\" does not exist" },
        { "connection to server was lost", "connection to server was lost" },
    };
    char out[160];
    char little[8];

    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        hf_pg_reasons(cases[i].text, out, sizeof out);
        assert_string_equal(out, cases[i].reasons);
    }
    hf_pg_reasons(cases[4].text, little, sizeof little);
    assert_string_equal(little, "Connect");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standbys_a_setting_waits_for_are_counted),
        cmocka_unit_test(each_error_has_its_class_and_code),
        cmocka_unit_test(a_host_is_reached_safely_or_not_at_all),
        cmocka_unit_test(a_store_needs_at_least_one_host),
        cmocka_unit_test(a_host_is_told_with_the_reasons_of_all_its_addresses),
        cmocka_unit_test(only_what_has_changed_is_news_of_a_host),
        cmocka_unit_test(standbys_that_disagree_about_who_is_further_are_not_chosen_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
