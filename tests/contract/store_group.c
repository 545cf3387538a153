/*
 * Writers of the SQLite engine who share a commit: that they do, and that one's failure is not
 * another's. A first writer holds the engine inside its linker until all others wait in line.
 */
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/sqlite_engine.h"
#include "store_vfs.h"
#include "store_world.h"

#define WAITERS_MAX 32
#define HOLDER      99 /* its request */

struct line {
    struct store_world *world;
    struct hf_env env;
    pthread_mutex_t lock; /* guards inside, open */
    pthread_cond_t moved;
    bool inside;
    bool open;
};

/* One writer in line: what it asks for and what it is told. */
struct waiter {
    struct line *line;
    pthread_t thread;
    uint32_t request;
    char path[32];
    uint64_t expected;
    struct hf_status status;
    uint64_t seq;
    bool repeated;
};

static struct hf_status hold(void *context, struct hf_op *op, uint64_t seq, struct hf_bytes head,
                             struct hf_bytes note, struct hf_linked *changes, size_t count,
                             struct hf_buf *out_head)
{
    struct line *line = context;

    pthread_mutex_lock(&line->lock);
    line->inside = true;
    pthread_cond_broadcast(&line->moved);
    while (!line->open) {
        pthread_cond_wait(&line->moved, &line->lock);
    }
    pthread_mutex_unlock(&line->lock);
    return store_linker.link(NULL, op, seq, head, note, changes, count, out_head);
}

static void apply_one(struct waiter *waiter, const struct hf_linker *linker)
{
    struct hf_change change = store_change(waiter->path, waiter->expected, "body");
    struct hf_batch batch = store_batch(waiter->request, &change, 1);
    struct hf_commit commit;
    struct hf_op op;

    hf_op_init(&op, &waiter->line->env);
    hf_commit_init(&commit);
    batch.linker = linker;
    waiter->status = hf_engine_apply(waiter->line->world->engine, &op, &batch, &commit);
    waiter->seq = commit.seq;
    waiter->repeated = commit.repeated;
    hf_commit_done(&commit);
}

static void *hold_the_engine(void *context)
{
    struct waiter *waiter = context;
    struct hf_linker linker = { hold, waiter->line };

    apply_one(waiter, &linker);
    return NULL;
}

static void *stand_in_line(void *context)
{
    apply_one(context, &store_linker);
    return NULL;
}

static size_t waiting(struct store_world *world)
{
    struct hf_sqlite_writer *writer = &hf_sqlite_of(world->engine)->writer;
    size_t count = 0;

    pthread_mutex_lock(&writer->lock);
    for (struct hf_sqlite_job *job = writer->first; job != NULL; job = job->next) {
        count++;
    }
    pthread_mutex_unlock(&writer->lock);
    return count;
}

static void line_init(struct line *line, struct store_world *world)
{
    memset(line, 0, sizeof *line);
    line->world = world;
    hf_env_system(&line->env);
    assert_int_equal(pthread_mutex_init(&line->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&line->moved, NULL), 0);
}

static void line_done(struct line *line)
{
    assert_int_equal(pthread_cond_destroy(&line->moved), 0);
    assert_int_equal(pthread_mutex_destroy(&line->lock), 0);
}

/*
 * Lets all waiters commit as one group, in the order of the array; before_open, if there is one, is
 * called when all stand in line and the holder is about to commit.
 */
static void run_line(struct line *line, struct waiter *waiters, size_t count,
                     void (*before_open)(struct line *line))
{
    struct waiter holder = { .line = line, .request = HOLDER, .path = "holder" };

    /* The first commit of all makes the head of the log durable, too. */
    assert_ok(&line->world->op, store_put(line->world, "earlier", 0, "body"));
    assert_int_equal(pthread_create(&holder.thread, NULL, hold_the_engine, &holder), 0);
    pthread_mutex_lock(&line->lock);
    while (!line->inside) {
        pthread_cond_wait(&line->moved, &line->lock);
    }
    pthread_mutex_unlock(&line->lock);
    for (size_t i = 0; i < count; i++) {
        waiters[i].line = line;
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, stand_in_line, &waiters[i]), 0);
        while (waiting(line->world) < i + 1) {
            (void)sched_yield();
        }
    }
    if (before_open != NULL) {
        before_open(line);
    }
    pthread_mutex_lock(&line->lock);
    line->open = true;
    pthread_cond_broadcast(&line->moved);
    pthread_mutex_unlock(&line->lock);
    assert_int_equal(pthread_join(holder.thread, NULL), 0);
    assert_int_equal(holder.status.code, HF_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
    }
}

static struct hf_status note_thread(void *context, struct hf_op *op, uint64_t seq,
                                    struct hf_bytes head, struct hf_bytes note,
                                    struct hf_linked *changes, size_t count,
                                    struct hf_buf *out_head)
{
    *(pthread_t *)context = pthread_self();
    return store_linker.link(NULL, op, seq, head, note, changes, count, out_head);
}

/* Nothing is handed over to another thread, before others came and after. */
static void a_writer_alone_writes_by_itself(void **state)
{
    struct waiter others[2] = { { .request = 10, .path = "x" }, { .request = 11, .path = "y" } };
    struct line line;

    line_init(&line, *state);
    for (uint32_t i = 0; i < 2; i++) {
        struct waiter alone = { .line = &line, .request = 20 + i, .expected = i, .path = "alone" };
        pthread_t writer = { 0 };
        struct hf_linker linker = { note_thread, &writer };

        apply_one(&alone, &linker);
        assert_int_equal(alone.status.code, HF_OK);
        assert_true(pthread_equal(writer, pthread_self()));
        if (i == 0) {
            run_line(&line, others, HF_COUNT(others), NULL);
            assert_int_equal(others[0].status.code, HF_OK);
            assert_int_equal(others[1].status.code, HF_OK);
        }
    }
    line_done(&line);
}

static const struct vfs_fault never = { VFS_SYNC, SQLITE_OK, false, false, NULL };

static void start_counting(struct line *line)
{
    (void)line;
    vfs_arm(&never, 0);
}

static void writers_in_line_share_one_sync(void **state)
{
    struct waiter waiters[WAITERS_MAX] = { 0 };
    struct line line;

    line_init(&line, *state);
    for (uint32_t i = 0; i < WAITERS_MAX; i++) {
        waiters[i].request = 1000 + i;
        (void)snprintf(waiters[i].path, sizeof waiters[i].path, "r/%u", i);
    }
    run_line(&line, waiters, WAITERS_MAX, start_counting);
    for (size_t i = 0; i < WAITERS_MAX; i++) {
        assert_int_equal(waiters[i].status.code, HF_OK);
        assert_int_equal(waiters[i].seq, i + 3);
    }
    /* One for the holder, one for all the others. */
    assert_int_equal(vfs_calls(VFS_SYNC), 2);
    line_done(&line);
}

static void later_ones_see_the_earlier_ones_of_their_group(void **state)
{
    static const struct {
        const char *says;
        uint32_t request;
        const char *path;
        uint64_t expected;
        enum hf_code code;
        uint64_t seq;
        bool repeated;
    } cases[] = {
        { "the first makes it", 10, "a", 0, HF_OK, 3, false },
        { "the second finds it there", 11, "a", 0, HF_CONFLICT, 0, false },
        { "the third goes on from there", 12, "a", 1, HF_OK, 4, false },
        { "the fourth repeats the first", 10, "a", 0, HF_OK, 3, true },
        { "the fifth does something else", 13, "b", 0, HF_OK, 5, false },
    };
    struct waiter waiters[HF_COUNT(cases)] = { 0 };
    struct line line;

    line_init(&line, *state);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        waiters[i].request = cases[i].request;
        waiters[i].expected = cases[i].expected;
        (void)snprintf(waiters[i].path, sizeof waiters[i].path, "%s", cases[i].path);
    }
    run_line(&line, waiters, HF_COUNT(cases), start_counting);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (waiters[i].status.code != cases[i].code || waiters[i].seq != cases[i].seq ||
            waiters[i].repeated != cases[i].repeated) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(waiters[i].status.code));
        }
    }
    assert_int_equal(vfs_calls(VFS_SYNC), 2);
    line_done(&line);
}

/* The holder's sync works, that of the group does not. */
static void fail_the_second_sync(struct line *line)
{
    static const struct vfs_fault fault = { VFS_SYNC, SQLITE_IOERR_FSYNC, false, false, NULL };

    (void)line;
    vfs_arm(&fault, 2);
}

static void doubt_is_for_those_who_wrote(void **state)
{
    static const struct {
        const char *says;
        uint32_t request;
        const char *path;
        uint64_t expected;
        enum hf_code code;
    } cases[] = {
        { "it wrote", 10, "a", 0, HF_IN_DOUBT },
        { "it would conflict with what is in doubt", 11, "a", 0, HF_UNAVAILABLE },
        { "it repeats what is in doubt", 10, "a", 0, HF_IN_DOUBT },
        { "it wrote, too", 12, "b", 0, HF_IN_DOUBT },
    };
    struct store_world *world = *state;
    struct waiter waiters[HF_COUNT(cases)] = { 0 };
    struct line line;

    line_init(&line, world);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        waiters[i].request = cases[i].request;
        waiters[i].expected = cases[i].expected;
        (void)snprintf(waiters[i].path, sizeof waiters[i].path, "%s", cases[i].path);
    }
    run_line(&line, waiters, HF_COUNT(cases), fail_the_second_sync);
    assert_int_equal(vfs_faults(), 1);
    vfs_disarm();
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        if (waiters[i].status.code != cases[i].code) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(waiters[i].status.code));
        }
    }
    assert_record(world, "holder", 1, "body");
    line_done(&line);
}

static void one_that_cannot_be_written_takes_no_other_with_it(void **state)
{
    struct store_world *world = *state;
    struct waiter waiters[3] = { 0 };
    struct line line;
    HF_AUTO_STRING file = hf_format("%s/store.db", world->directory);
    sqlite3 *db = NULL;

    /* An entry of the log that should not be there: the batch that comes to it cannot be written.
     */
    assert_ok(&world->op, store_put(world, "a", 0, "body"));
    store_world_close(world);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "INSERT INTO change VALUES (5, 0, 'x', 1, x'', x'')", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_ok(&world->op, store_world_open(world, false));

    line_init(&line, world);
    for (uint32_t i = 0; i < HF_COUNT(waiters); i++) {
        waiters[i].request = 1000 + i;
        (void)snprintf(waiters[i].path, sizeof waiters[i].path, "r/%u", i);
    }
    run_line(&line, waiters, HF_COUNT(waiters), NULL);
    /* Seq 3 is the holder's and 4 the first's; 5 cannot be written by anybody. */
    assert_int_equal(waiters[0].status.code, HF_OK);
    assert_int_equal(waiters[0].seq, 4);
    assert_int_equal(waiters[1].status.code, HF_CORRUPT);
    assert_int_equal(waiters[2].status.code, HF_CORRUPT);
    assert_record(world, "r/0", 1, "body");
    line_done(&line);
}

static void a_barrier_reaches_the_disk(void **state)
{
    struct store_world *world = *state;
    uint64_t seq;

    assert_ok(&world->op, store_put(world, "a", 0, "body"));
    for (size_t i = 0; i < 3; i++) {
        vfs_arm(&never, 0);
        assert_ok(&world->op, hf_engine_barrier(world->engine, &world->op, &seq));
        assert_int_equal(seq, 1);
        assert_int_equal(vfs_calls(VFS_SYNC), 1);
    }
}

static int install(void **state)
{
    (void)state;
    vfs_install();
    return 0;
}

static int uninstall(void **state)
{
    (void)state;
    vfs_remove();
    return 0;
}

#define GROUP(test) cmocka_unit_test_setup_teardown(test, store_world_setup, store_world_teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        GROUP(a_writer_alone_writes_by_itself),
        GROUP(writers_in_line_share_one_sync),
        GROUP(later_ones_see_the_earlier_ones_of_their_group),
        GROUP(doubt_is_for_those_who_wrote),
        GROUP(a_barrier_reaches_the_disk),
        GROUP(one_that_cannot_be_written_takes_no_other_with_it),
    };

    for (size_t i = 0; i < HF_COUNT(tests); i++) {
        tests[i].initial_state = (void *)(uintptr_t)store_kind_named("sqlite");
    }
    return cmocka_run_group_tests(tests, install, uninstall);
}
