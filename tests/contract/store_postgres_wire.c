/* The PostgreSQL engine when what the server sends comes in other pieces than it was sent in, or
 * takes long. */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"
#include "store_database.h"
#include "store_world.h"

#define STORE       "wire"
#define PATIENCE_MS 60000
#define WIRES       16
#define LARGE_COUNT 32
#define LARGE_BYTES ((size_t)32 << 10)
/* More records than one page has. */
#define PAGES_COUNT 100
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
    atomic_long room; /* for about so many bytes more of the server; then nothing of it passes */
};

/* So much later is it for this thread than for all others. */
static _Thread_local time_t late_s;

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = __real_clock_gettime(clock, out);

    out->tv_sec += late_s;
    return result;
}

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

    if (from == wire->server) {
        (void)atomic_fetch_sub(&splitter->room, (long)len);
    }
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
        bool is_full = atomic_load(&splitter->room) <= 0;

        for (size_t i = 0; i < count; i++) {
            fds[2 * i] = (struct pollfd){ .fd = splitter->wires[i].client, .events = POLLIN };
            fds[2 * i + 1] =
                (struct pollfd){ .fd = is_full ? -1 : splitter->wires[i].server, .events = POLLIN };
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

    *splitter = (struct splitter){ .directory = "/tmp/holdfast-wire-XXXXXX", .room = LONG_MAX };
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

/* An engine whose connections all go through the splitter. */
struct wired {
    struct splitter splitter;
    struct hf_engine *engine;
    struct hf_env env;
    struct hf_op op;
};

static int setup(void **state)
{
    struct wired *wired = hf_alloc(sizeof *wired);
    HF_AUTO_STRING straight = store_database_of(STORE);
    HF_AUTO_STRING host = NULL;
    struct hf_store_settings settings = { .engine = "postgres", .create = true };

    splitter_start(&wired->splitter);
    host = hf_format("host=%s port=5432 user=holdfast dbname=holdfast %s",
                     wired->splitter.directory, strstr(straight, "options="));
    settings.hosts = (const char *const[]){ host, NULL };
    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    hf_env_system(&wired->env);
    hf_op_init(&wired->op, &wired->env);
    assert_ok(&wired->op, hf_engine_open(&wired->op, &settings, &wired->engine));
    wired->op.deadline_ms = hf_env_boottime_ms(&wired->env) + PATIENCE_MS;
    *state = wired;
    return 0;
}

static int teardown(void **state)
{
    struct wired *wired = *state;

    late_s = 0;
    hf_engine_free(wired->engine);
    splitter_stop(&wired->splitter);
    store_database_drop(STORE);
    free(wired);
    return 0;
}

/* In a batch of its own, with so many bytes. */
static void wired_put(struct wired *wired, uint32_t number, size_t bytes)
{
    HF_AUTO_STRING path = hf_format("record-%04u", number);
    HF_AUTO_STRING body = hf_alloc(bytes + 1);
    struct hf_change change;
    struct hf_batch batch;
    struct hf_commit commit;

    memset(body, 'x', bytes);
    change = store_change(path, 0, body);
    batch = store_batch(number, &change, 1);
    hf_commit_init(&commit);
    assert_ok(&wired->op, hf_engine_apply(wired->engine, &wired->op, &batch, &commit));
    hf_commit_done(&commit);
}

static void a_host_that_says_later_that_it_is_ready_is_asked_again(void **state)
{
    HF_AUTO(record) record = NULL;
    struct wired *wired = *state;

    wired_put(wired, 1, 2);
    assert_ok(&wired->op, hf_engine_get(wired->engine, &wired->op, "record-0001", &record));
    /* How it connects, the session, and two looks that follow each other. */
    while (atomic_load(&wired->splitter.first_queries) < 4 &&
           !atomic_load(&wired->splitter.first_ended)) {
        assert_ok(&wired->op, hf_op_check_deadline(&wired->op));
        (void)poll(NULL, 0, 5);
    }
    assert_false(atomic_load(&wired->splitter.first_ended));
}

struct shown {
    struct splitter *splitter;
    size_t count;
};

static struct hf_status widen_link(void *context, const struct hf_logged_batch *batch)
{
    struct shown *shown = context;

    (void)batch;
    atomic_store(&shown->splitter->room, LONG_MAX);
    shown->count++;
    return HF_SUCCESS;
}

static void large_batches_are_shown_before_all_of_them_are_there(void **state)
{
    struct wired *wired = *state;
    struct shown shown = { .splitter = &wired->splitter };

    for (uint32_t i = 1; i <= LARGE_COUNT; i++) {
        wired_put(wired, i, LARGE_BYTES);
    }
    /* Room for a few of them, with the rest of what is said, until the first is shown. */
    atomic_store(&wired->splitter.room, (long)(LARGE_COUNT * LARGE_BYTES / 2));
    assert_ok(&wired->op,
              hf_engine_changes(wired->engine, &wired->op, 0, SIZE_MAX, widen_link, &shown));
    assert_int_equal(shown.count, LARGE_COUNT);
}

static struct hf_status take_long(void *context, const struct hf_record_view *record)
{
    size_t *count = context;

    (void)record;
    late_s += *count == 0 ? HF_PG_PATIENCE_MS / 1000 + 1 : 0;
    *count += 1;
    return HF_SUCCESS;
}

static void a_walk_that_shows_what_it_finds_takes_its_time(void **state)
{
    struct wired *wired = *state;
    size_t count = 0;

    for (uint32_t i = 1; i <= PAGES_COUNT; i++) {
        wired_put(wired, i, 1);
    }
    wired->op.deadline_ms = 0;
    assert_ok(&wired->op,
              hf_engine_list(wired->engine, &wired->op, "record-", NULL, take_long, &count));
    assert_int_equal(count, PAGES_COUNT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_host_that_says_later_that_it_is_ready_is_asked_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(large_batches_are_shown_before_all_of_them_are_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_walk_that_shows_what_it_finds_takes_its_time, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
