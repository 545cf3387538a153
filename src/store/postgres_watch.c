/*
 * The watcher: one connection to each database host, asked once a second what the host is. Hosts
 * are driven side by side, so that one that is frozen holds up nobody.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/postgres_engine.h"

/* Between two looks at a host: usually, and while there is no primary. */
#define CALM_MS  1000
#define ALARM_MS 100

enum phase { PHASE_RESTING, PHASE_CONNECTING, PHASE_SETTING, PHASE_PROBING };

/* One host, as the watcher thread drives it. */
struct watched {
    PGconn *db;
    enum phase phase;
    PostgresPollingStatusType polling;
    uint64_t at_ms;   /* resting: when to look again; else: until when it has to answer */
    uint64_t soon_ms; /* resting: the earliest time to look again, whoever calls */
    PGresult *answer; /* the first result of what was asked, until there is no more */
};

static bool is_calm(struct hf_pg_engine *engine)
{
    bool calm;

    pthread_mutex_lock(&engine->view.lock);
    calm = engine->view.primary >= 0;
    pthread_mutex_unlock(&engine->view.lock);
    return calm;
}

static void rest(struct hf_pg_engine *engine, struct watched *host)
{
    uint64_t now_ms = hf_pg_now_ms();

    host->phase = PHASE_RESTING;
    host->at_ms = now_ms + (is_calm(engine) ? CALM_MS : ALARM_MS);
    host->soon_ms = now_ms + ALARM_MS;
}

static void give_up(struct hf_pg_engine *engine, size_t at, struct watched *host, const char *why)
{
    hf_pg_publish(engine, at, NULL, why);
    PQfinish(host->db);
    host->db = NULL;
    PQclear(host->answer);
    host->answer = NULL;
    rest(engine, host);
}

static void send_query(struct hf_pg_engine *engine, size_t at, struct watched *host,
                       const char *sql, enum phase phase)
{
    host->phase = phase;
    host->at_ms = hf_pg_now_ms() + HF_PG_PROBE_MS;
    if (PQsendQueryParams(host->db, sql, 0, NULL, NULL, NULL, NULL, 0) != 1) {
        give_up(engine, at, host, PQerrorMessage(host->db));
    }
}

static void begin(struct hf_pg_engine *engine, size_t at, struct watched *host)
{
    if (host->db != NULL) {
        send_query(engine, at, host, hf_pg_sql_probe, PHASE_PROBING);
        return;
    }
    host->db = hf_pg_start_connect(&engine->hosts[at]);
    host->phase = PHASE_CONNECTING;
    host->polling = PGRES_POLLING_WRITING;
    host->at_ms = hf_pg_now_ms() + HF_PG_CONNECT_MS;
    if (host->db == NULL || PQstatus(host->db) == CONNECTION_BAD) {
        give_up(engine, at, host, PQerrorMessage(host->db));
    }
}

static void go_on_connecting(struct hf_pg_engine *engine, size_t at, struct watched *host)
{
    host->polling = PQconnectPoll(host->db);
    if (host->polling == PGRES_POLLING_FAILED) {
        give_up(engine, at, host, PQerrorMessage(host->db));
    } else if (host->polling == PGRES_POLLING_OK) {
        (void)PQsetnonblocking(host->db, 1);
        send_query(engine, at, host, hf_pg_sql_session, PHASE_SETTING);
    }
}

static void use_answer(struct hf_pg_engine *engine, size_t at, struct watched *host,
                       const PGresult *answer)
{
    struct hf_pg_role role;
    struct hf_op op;

    if (PQresultStatus(answer) != PGRES_TUPLES_OK) {
        give_up(engine, at, host, PQresultErrorMessage(answer));
        return;
    }
    if (host->phase == PHASE_SETTING) {
        send_query(engine, at, host, hf_pg_sql_probe, PHASE_PROBING);
        return;
    }
    hf_op_init(&op, engine->env);
    if (hf_pg_role_read(&op, answer, &role).code != HF_OK) {
        give_up(engine, at, host, op.text);
        return;
    }
    hf_pg_publish(engine, at, &role, NULL);
    rest(engine, host);
}

static void end_asking(struct hf_pg_engine *engine, size_t at, struct watched *host)
{
    PGresult *answer = host->answer;

    host->answer = NULL;
    use_answer(engine, at, host, answer);
    PQclear(answer);
}

static void go_on_asking(struct hf_pg_engine *engine, size_t at, struct watched *host)
{
    PGresult *result;

    if (PQflush(host->db) < 0 || PQconsumeInput(host->db) != 1) {
        give_up(engine, at, host, PQerrorMessage(host->db));
        return;
    }
    /* The end may come later than the answer, and before it nothing else can be asked. */
    while (PQisBusy(host->db) == 0) {
        result = PQgetResult(host->db);
        if (result == NULL) {
            end_asking(engine, at, host);
            return;
        }
        if (host->answer == NULL) {
            host->answer = result;
        } else {
            PQclear(result);
        }
    }
}

/* Something came, or the connection broke while nothing was asked. */
static void go_on(struct hf_pg_engine *engine, size_t at, struct watched *host)
{
    switch (host->phase) {
    case PHASE_CONNECTING:
        go_on_connecting(engine, at, host);
        break;
    case PHASE_SETTING:
    case PHASE_PROBING:
        go_on_asking(engine, at, host);
        break;
    case PHASE_RESTING:
        if (PQconsumeInput(host->db) != 1) {
            give_up(engine, at, host, PQerrorMessage(host->db));
        }
        break;
    }
}

static void on_time(struct hf_pg_engine *engine, size_t at, struct watched *host)
{
    if (host->phase == PHASE_RESTING) {
        begin(engine, at, host);
    } else {
        give_up(engine, at, host,
                host->phase == PHASE_CONNECTING ? "it does not accept connections in time"
                                                : "it does not answer in time");
    }
}

static short events_of(const struct watched *host)
{
    bool writing = host->phase == PHASE_CONNECTING && host->polling == PGRES_POLLING_WRITING;

    return (short)(writing ? POLLOUT : POLLIN);
}

static int wait_ms(const struct watched *hosts, size_t count)
{
    uint64_t now_ms = hf_pg_now_ms();
    uint64_t wait = CALM_MS;

    for (size_t i = 0; i < count; i++) {
        uint64_t left = hosts[i].at_ms > now_ms ? hosts[i].at_ms - now_ms : 0;

        wait = left < wait ? left : wait;
    }
    return (int)wait;
}

/* While something is wrong, nobody rests for longer than the alarm, nor looks more often. */
static void hurry(struct watched *hosts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (hosts[i].phase == PHASE_RESTING && hosts[i].at_ms > hosts[i].soon_ms) {
            hosts[i].at_ms = hosts[i].soon_ms;
        }
    }
}

static void turn(struct hf_pg_engine *engine, struct watched *hosts)
{
    struct pollfd fds[HF_PG_HOSTS + 1];
    size_t count = engine->host_count;
    uint64_t woken;

    for (size_t i = 0; i < count; i++) {
        /* A negative descriptor is skipped. */
        fds[i] = (struct pollfd){ .fd = hosts[i].db != NULL ? PQsocket(hosts[i].db) : -1,
                                  .events = events_of(&hosts[i]) };
    }
    fds[count] = (struct pollfd){ .fd = engine->watcher.wake_fd, .events = POLLIN };
    (void)poll(fds, count + 1, wait_ms(hosts, count));
    if (fds[count].revents != 0 &&
        read(engine->watcher.wake_fd, &woken, sizeof woken) == (ssize_t)sizeof woken) {
        hurry(hosts, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents != 0) {
            go_on(engine, i, &hosts[i]);
        }
        if (hf_pg_now_ms() >= hosts[i].at_ms) {
            on_time(engine, i, &hosts[i]);
        }
    }
}

static void *watcher_main(void *context)
{
    struct hf_pg_engine *engine = context;
    struct watched hosts[HF_PG_HOSTS] = { 0 };

    while (!atomic_load(&engine->stop)) {
        turn(engine, hosts);
    }
    for (size_t i = 0; i < engine->host_count; i++) {
        PQfinish(hosts[i].db);
        PQclear(hosts[i].answer);
    }
    return NULL;
}

struct hf_status hf_pg_watcher_start(struct hf_pg_engine *engine, struct hf_op *op)
{
    engine->watcher.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->watcher.wake_fd < 0) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make an eventfd: %s", strerror(errno));
    }
    HF_TRY(hf_wait_thread_start(op, &engine->watcher.thread, watcher_main, engine));
    engine->watcher.started = true;
    return HF_SUCCESS;
}

void hf_pg_watcher_wake(struct hf_pg_engine *engine)
{
    uint64_t one = 1;

    /* It fails only when it is already due to wake. */
    (void)!write(engine->watcher.wake_fd, &one, sizeof one);
}

void hf_pg_watcher_stop(struct hf_pg_engine *engine)
{
    if (engine->watcher.started) {
        hf_pg_watcher_wake(engine);
        hf_assert(pthread_join(engine->watcher.thread, NULL) == 0);
        engine->watcher.started = false;
    }
    if (engine->watcher.wake_fd >= 0) {
        (void)close(engine->watcher.wake_fd);
        engine->watcher.wake_fd = -1;
    }
}
