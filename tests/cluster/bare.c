/*
 * What libpq alone sees of a failover: one connection, one synchronous insert after the other, each
 * with the deadlines that the engine has (connect 2 s, write 5 s), and a new connection to the next
 * host that says it is the primary after each failure. Each success is a line, "ack
 * <milliseconds>".
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 2000
#define WRITE_MS   5000

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool await_socket(PGconn *db, short events, uint64_t until_ms)
{
    struct pollfd ready = { .fd = PQsocket(db), .events = events };
    uint64_t now = now_ms();

    return now < until_ms && poll(&ready, 1, (int)(until_ms - now)) > 0;
}

static PGconn *connect_to(const char *conninfo)
{
    PGconn *db = PQconnectStart(conninfo);
    uint64_t until_ms = now_ms() + CONNECT_MS;
    PostgresPollingStatusType polling = PGRES_POLLING_WRITING;

    while (polling != PGRES_POLLING_OK && polling != PGRES_POLLING_FAILED &&
           await_socket(db, polling == PGRES_POLLING_READING ? POLLIN : POLLOUT, until_ms)) {
        polling = PQconnectPoll(db);
    }
    if (polling != PGRES_POLLING_OK) {
        PQfinish(db);
        return NULL;
    }
    return db;
}

static bool run(PGconn *db, const char *sql)
{
    uint64_t until_ms = now_ms() + WRITE_MS;
    bool good = PQsendQuery(db, sql) == 1;
    PGresult *result;

    while (good && PQisBusy(db) == 1) {
        good = await_socket(db, POLLIN, until_ms) && PQconsumeInput(db) == 1;
    }
    if (!good) {
        return false;
    }
    while ((result = PQgetResult(db)) != NULL) {
        ExecStatusType kind = PQresultStatus(result);

        good = good && (kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK);
        PQclear(result);
    }
    return good;
}

int main(int argc, char **argv)
{
    uint64_t begin_ms = now_ms();
    uint64_t until_ms;
    PGconn *db = NULL;
    int host = 2;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: bare SECONDS CONNINFO...\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    until_ms = begin_ms + strtoull(argv[1], NULL, 10) * 1000;
    while (now_ms() < until_ms) {
        const struct timespec pause = { .tv_nsec = 20000000 };

        if (db == NULL) {
            host = host + 1 < argc ? host + 1 : 2;
            db = connect_to(argv[host]);
            (void)nanosleep(&pause, NULL);
        }
        if (db != NULL && run(db, "INSERT INTO bare VALUES (1)")) {
            printf("ack %llu\n", (unsigned long long)(now_ms() - begin_ms));
        } else {
            PQfinish(db);
            db = NULL;
        }
    }
    PQfinish(db);
    return 0;
}
