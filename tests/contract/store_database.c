/* The database that tests of the PostgreSQL engine run on. */
#include "store_database.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "test.h"

const char *store_database(void)
{
    const char *conninfo = getenv("HOLDFAST_TEST_POSTGRES");

    return conninfo != NULL && conninfo[0] != '\0' ? conninfo : NULL;
}

long store_database_pid(void)
{
    const char *pid = getenv("HOLDFAST_TEST_POSTGRES_PID");

    assert_non_null(pid);
    return pid != NULL ? strtol(pid, NULL, 10) : 0;
}

/* Names of schemas are short, so it is a sum of the directory's name. */
static char *schema_of(const char *directory)
{
    uint64_t sum = 0xcbf29ce484222325U;

    for (; *directory != '\0'; directory++) {
        sum = (sum ^ (uint8_t)*directory) * 0x100000001b3U;
    }
    return hf_format("t%016llx", (unsigned long long)sum);
}

static char *conninfo_of(const char *directory)
{
    HF_AUTO_STRING schema = schema_of(directory);

    assert_non_null(store_database());
    return hf_format("%s options='-csearch_path=%s'", store_database(), schema);
}

/* NULL when the server does not answer, as while it recovers from a crash. */
static PGresult *ask(const char *directory, const char *sql)
{
    HF_AUTO_STRING conninfo = conninfo_of(directory);
    PGconn *db = PQconnectdb(conninfo);
    PGresult *result = PQexec(db, sql);
    ExecStatusType kind = PQresultStatus(result);

    if (PQstatus(db) == CONNECTION_BAD) {
        PQclear(result);
        result = NULL;
    } else if (kind != PGRES_COMMAND_OK && kind != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    }
    PQfinish(db);
    return result;
}

PGresult *store_database_ask(const char *directory, const char *sql)
{
    PGresult *result = ask(directory, sql);

    if (result == NULL) {
        fail_msg("%s: the server does not answer", sql);
    }
    return result;
}

long store_database_number(const char *directory, const char *sql)
{
    PGresult *result = ask(directory, sql);
    long number = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : -1;

    PQclear(result);
    return number;
}

void store_database_run(const char *directory, const char *sql)
{
    PQclear(store_database_ask(directory, sql));
}

char *store_database_of(const char *directory)
{
    HF_AUTO_STRING schema = schema_of(directory);
    HF_AUTO_STRING make =
        hf_format("SET client_min_messages = error; CREATE SCHEMA IF NOT EXISTS %s", schema);

    store_database_run(directory, make);
    return conninfo_of(directory);
}

void store_database_drop(const char *directory)
{
    HF_AUTO_STRING schema = schema_of(directory);
    HF_AUTO_STRING drop =
        hf_format("SET client_min_messages = error; DROP SCHEMA IF EXISTS %s CASCADE", schema);

    store_database_run(directory, drop);
}

void store_database_copy(const char *from, const char *to)
{
    HF_AUTO_STRING source = schema_of(from);
    HF_AUTO_STRING target = schema_of(to);
    HF_AUTO_STRING copy =
        hf_format("CREATE SCHEMA %s; DO $$ DECLARE name TEXT; BEGIN"
                  " FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '%s' LOOP"
                  "  EXECUTE format('CREATE TABLE %s.%%I (LIKE %s.%%I INCLUDING ALL)', name, name);"
                  "  EXECUTE format('INSERT INTO %s.%%I SELECT * FROM %s.%%I', name, name);"
                  " END LOOP; END $$",
                  target, source, target, source, target, source);

    store_database_run(from, copy);
}
