/*
 * The database that tests of the PostgreSQL engine run on: tests/cluster/with_postgres starts one
 * and names it in HOLDFAST_TEST_POSTGRES. Each store of a test is in a schema of its own.
 */
#pragma once

#include <libpq-fe.h>

/* How to connect as its owner, in libpq's words; NULL: there is none. */
const char *store_database(void);

/* The server's first process, which makes all others. */
long store_database_pid(void);

/* How to connect to the store that stands for this directory; its schema is made if need be. */
char *store_database_of(const char *directory);
void store_database_drop(const char *directory);
/* A second store that is what the first is now, as a restored backup would be. */
void store_database_copy(const char *from, const char *to);

/* A statement, as the owner, from the side; fails the test. The caller clears the result. */
PGresult *store_database_ask(const char *directory, const char *sql);
/* The same for its first value as a number; -1 for none, or when the server does not answer. */
long store_database_number(const char *directory, const char *sql);
void store_database_run(const char *directory, const char *sql);
