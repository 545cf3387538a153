/* The PostgreSQL engine when what the server sends comes in other pieces than it was sent in. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/alloc.h"
#include "store_database.h"
#include "store_world.h"

#define STORE       "wire"
#define PATIENCE_MS 60000
#define WIRES       16
/* "Z", its length, and the state of the transaction: the server is ready for the next query. */
#define READY_LEN 6

/* One connection that goes through us. */
struct wire {
    int client, server;
    unsigned queries;
};

/* Passes everything on, but what tells that the server is ready only after all before is read. */
struct splitter {
    char directory[32];
    char *file;
    int listener;
    pthread_t thread;
    atomic_bool stop;
    struct wire wires[WIRES];
    size_t count;
    atomic_uint first_queries; /* of the first connection, which is the watcher's */
    atomic_bool first_ended;
};

static void send_all(int to, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(to, bytes, len, MSG_NOSIGNAL);

        if (sent <= 0) {
            return;
        }
        bytes += sent;
        len -= (size_t)sent;
    }
}

/* Until the other side has read everything, or is gone. */
static void await_read(int to)
{
    struct pollfd gone = { .fd = to };
    int unread = 1;

    while (ioctl(to, SIOCOUTQ, &unread) == 0 && unread > 0 && (gone.revents & POLLHUP) == 0) {
        (void)poll(&gone, 1, 1);
    }
}

static bool ends_ready(const char *bytes, size_t len)
{
    return len > READY_LEN && memcmp(bytes + len - READY_LEN, "Z\0\0\0\5", 5) == 0;
}

/* False when one side is gone. */
static bool pass_on(struct splitter *splitter, struct wire *wire, int from)
{
    char bytes[65536];
    ssize_t got = recv(from, bytes, sizeof bytes, 0);
    size_t len = got > 0 ? (size_t)got : 0;

    if (from == wire->client) {
        wire->queries += len > 0;
        send_all(wire->server, bytes, len);
        if (wire == &splitter->wires[0]) {
            atomic_store(&splitter->first_queries, wire->queries);
        }
    } else if (ends_ready(bytes, len)) {
        send_all(wire->client, bytes, len - READY_LEN);
        await_read(wire->client);
        send_all(wire->client, bytes + len - READY_LEN, READY_LEN);
    } else {
        send_all(wire->client, bytes, len);
    }
    return len > 0;
}

static void end_wire(struct splitter *splitter, struct wire *wire)
{
    (void)close(wire->client);
    (void)close(wire->server);
    wire->client = -1;
    wire->server = -1;
    if (wire == &splitter->wires[0]) {
        atomic_store(&splitter->first_ended, true);
    }
}

/* A connection to the server, whose socket is taken over from libpq before it says anything. */
static int reach_server(void)
{
    PGconn *db = PQconnectStart(store_database());
    struct pollfd ready = { .fd = PQsocket(db), .events = POLLOUT };
    int fd;

    (void)poll(&ready, 1, PATIENCE_MS);
    fd = dup(PQsocket(db));
    /* Nothing was sent yet: libpq was not asked to go on. */
    PQfinish(db);
    return fd;
}

static void take_wire(struct splitter *splitter)
{
    int client = accept(splitter->listener, NULL, NULL);

    if (client < 0 || splitter->count == WIRES) {
        (void)close(client);
        return;
    }
    splitter->wires[splitter->count++] =
        (struct wire){ .client = client, .server = reach_server() };
}

static void *split(void *context)
{
    struct splitter *splitter = context;

    while (!atomic_load(&splitter->stop)) {
        struct pollfd fds[2 * WIRES + 1];
        size_t count = splitter->count;

        for (size_t i = 0; i < count; i++) {
            fds[2 * i] = (struct pollfd){ .fd = splitter->wires[i].client, .events = POLLIN };
            fds[2 * i + 1] = (struct pollfd){ .fd = splitter->wires[i].server, .events = POLLIN };
        }
        fds[2 * count] = (struct pollfd){ .fd = splitter->listener, .events = POLLIN };
        (void)poll(fds, 2 * count + 1, 20);
        for (size_t i = 0; i < 2 * count; i++) {
            struct wire *wire = &splitter->wires[i / 2];

            if (fds[i].revents != 0 && wire->client >= 0 && !pass_on(splitter, wire, fds[i].fd)) {
                end_wire(splitter, wire);
            }
        }
        if (fds[2 * count].revents != 0) {
            take_wire(splitter);
        }
    }
    for (size_t i = 0; i < splitter->count; i++) {
        if (splitter->wires[i].client >= 0) {
            end_wire(splitter, &splitter->wires[i]);
        }
    }
    return NULL;
}

static void splitter_start(struct splitter *splitter)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    *splitter = (struct splitter){ .directory = "/tmp/holdfast-wire-XXXXXX" };
    assert_non_null(mkdtemp(splitter->directory));
    splitter->file = hf_format("%s/.s.PGSQL.5432", splitter->directory);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", splitter->file);
    splitter->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(splitter->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(splitter->listener, WIRES), 0);
    assert_int_equal(pthread_create(&splitter->thread, NULL, split, splitter), 0);
}

static void splitter_stop(struct splitter *splitter)
{
    atomic_store(&splitter->stop, true);
    assert_int_equal(pthread_join(splitter->thread, NULL), 0);
    (void)close(splitter->listener);
    (void)unlink(splitter->file);
    (void)rmdir(splitter->directory);
    free(splitter->file);
}

static void a_host_that_says_later_that_it_is_ready_is_asked_again(void **state)
{
    HF_AUTO_STRING straight = store_database_of(STORE);
    HF_AUTO_STRING host = NULL;
    struct hf_store_settings settings = { .engine = "postgres", .create = true };
    HF_AUTO(record) record = NULL;
    struct splitter splitter;
    struct hf_change change = store_change("a", 0, "a1");
    struct hf_batch batch = store_batch(1, &change, 1);
    struct hf_engine *engine = NULL;
    struct hf_commit commit;
    struct hf_env env;
    struct hf_op op;

    (void)state;
    splitter_start(&splitter);
    host = hf_format("host=%s port=5432 user=holdfast dbname=holdfast %s", splitter.directory,
                     strstr(straight, "options="));
    settings.hosts = (const char *const[]){ host, NULL };
    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    hf_env_system(&env);
    hf_op_init(&op, &env);
    hf_commit_init(&commit);
    assert_ok(&op, hf_engine_open(&op, &settings, &engine));
    op.deadline_ms = hf_env_boottime_ms(&env) + PATIENCE_MS;
    assert_ok(&op, hf_engine_apply(engine, &op, &batch, &commit));
    assert_ok(&op, hf_engine_get(engine, &op, "a", &record));
    /* How it connects, the session, and two looks that follow each other. */
    while (atomic_load(&splitter.first_queries) < 4 && !atomic_load(&splitter.first_ended)) {
        assert_ok(&op, hf_op_check_deadline(&op));
        (void)poll(NULL, 0, 5);
    }
    assert_false(atomic_load(&splitter.first_ended));
    hf_commit_done(&commit);
    hf_engine_free(engine);
    splitter_stop(&splitter);
    store_database_drop(STORE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_says_later_that_it_is_ready_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
