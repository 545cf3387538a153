/* What is particular to the SQLite engine: its files, its lock, and what can happen to them. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store_files.h"
#include "test_child.h"

static struct hf_status reopen(struct store_world *world)
{
    store_world_close(world);
    return store_world_open(world, false);
}

static void a_store_is_there_again_after_it_was_closed(void **state)
{
    struct store_world *world = *state;
    HF_AUTO_STRING before = NULL;
    HF_AUTO_STRING after = NULL;
    struct hf_change change = store_change("a", 0, "1");
    struct hf_batch batch = store_batch(77, &change, 1);
    struct hf_commit commit;

    hf_commit_init(&commit);
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_ok(&world->op, store_put(world, "a", 1, "2"));
    assert_ok(&world->op, store_put(world, "b", 0, "3"));
    before = store_dump(world->engine, &world->op);
    assert_ok(&world->op, reopen(world));
    after = store_dump(world->engine, &world->op);
    assert_string_equal(before, after);
    assert_ok(&world->op, hf_engine_apply(world->engine, &world->op, &batch, &commit));
    assert_true(commit.repeated);
    assert_int_equal(commit.seq, 1);
    assert_ok(&world->op, store_put(world, "b", 1, "4"));
    hf_commit_done(&commit);
}

static void a_lease_ends_with_the_process_that_took_it(void **state)
{
    struct store_world *world = *state;
    uint64_t fence = 0;

    assert_ok(&world->op, hf_engine_lease(world->engine, &world->op, "l", "n1", 1000000, &fence));
    assert_int_equal(fence, 1);
    assert_ok(&world->op, reopen(world));
    assert_ok(&world->op, hf_engine_lease(world->engine, &world->op, "l", "n2", 1000, &fence));
    assert_int_equal(fence, 2);
    assert_ok(&world->op, reopen(world));
    assert_ok(&world->op, hf_engine_lease(world->engine, &world->op, "l", "n2", 1000, &fence));
    assert_int_equal(fence, 3);
}

static void files_are_for_the_owner_alone(void **state)
{
    static const char *const names[] = { "store.db", "store.db-wal", "store.db-shm", "lock" };
    mode_t old = umask(0);
    struct store_world world;
    struct stat about;

    (void)state;
    store_world_init(&world, store_kind_named("sqlite"));
    assert_ok(&world.op, store_world_open(&world, true));
    assert_ok(&world.op, store_put(&world, "a", 0, "1"));
    assert_int_equal(stat(world.directory, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        HF_AUTO_STRING file = file_in(&world, names[i]);

        assert_int_equal(stat(file, &about), 0);
        if ((about.st_mode & 07777) != 0600) {
            fail_msg("%s has mode %o", names[i], about.st_mode & 07777);
        }
    }
    store_world_done(&world);
    (void)umask(old);
}

static void a_store_is_made_once(void **state)
{
    struct store_world *world = *state;

    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    store_world_close(world);
    assert_fails(&world->op, store_world_open(world, true), HF_EXISTS);
    assert_ok(&world->op, store_world_open(world, false));
    assert_record(world, "a", 1, "1");
}

static void where_there_is_no_store_nothing_is_left(void **state)
{
    struct store_world world;

    (void)state;
    store_world_init(&world, store_kind_named("sqlite"));
    assert_fails(&world.op, store_world_open(&world, false), HF_NOT_FOUND);
    assert_int_equal(entries_in(world.root), 0);
    assert_int_equal(mkdir(world.directory, 0700), 0);
    assert_fails(&world.op, store_world_open(&world, false), HF_NOT_FOUND);
    assert_int_equal(entries_in(world.directory), 0);
    store_world_done(&world);
}

static void what_a_failed_making_left_is_no_obstacle(void **state)
{
    struct store_world world;
    HF_AUTO_STRING aside = NULL;
    HF_AUTO_STRING journal = NULL;

    (void)state;
    store_world_init(&world, store_kind_named("sqlite"));
    assert_int_equal(mkdir(world.directory, 0700), 0);
    aside = file_in(&world, "store.db.new");
    journal = file_in(&world, "store.db.new-journal");
    write_file(aside, "half", 4);
    write_file(journal, "half", 4);
    assert_ok(&world.op, store_world_open(&world, true));
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(access(journal, F_OK), -1);
    store_world_done(&world);
}

static void try_to_open(void *context)
{
    struct store_world *world = context;
    HF_AUTO_STRING holder = hf_format("process %ld", (long)getppid());

    world->engine = NULL; /* the parent's */
    child_require(store_world_open(world, false).code == HF_WRONG_STATE);
    child_require(strstr(world->op.text, holder) != NULL);
}

static void a_second_process_is_told_who_has_the_store(void **state)
{
    struct store_world *world = *state;
    struct hf_engine *first = world->engine;

    assert_child_succeeds(try_to_open, world);
    /* Nor twice in one process. */
    assert_fails(&world->op, store_world_open(world, false), HF_WRONG_STATE);
    world->engine = first;
    assert_ok(&world->op, store_put(world, "a", 0, "1"));
    assert_ok(&world->op, reopen(world));
}

#define NOBODY 65534

/* What a process meets that may not do everything with the files of a store. */
static const struct rights {
    const char *says;
    mode_t directory;
    mode_t lock;
    mode_t store;
} rights[] = {
    { "the directory is closed", 0700, 0666, 0666 },
    { "the lock is another's", 0777, 0644, 0666 },
    { "the store file may only be read", 0777, 0666, 0644 },
    { "the store file may not be read", 0777, 0666, 0600 },
    { "nothing new may be made in the directory", 0755, 0666, 0666 },
};

/* The superuser may write everywhere, so it becomes nobody first. */
static void open_as_nobody(void *context)
{
    struct store_world *world = context;

    if (geteuid() == 0) {
        child_require(setresgid(NOBODY, NOBODY, NOBODY) == 0);
        child_require(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    }
    child_require(store_world_open(world, false).code == HF_UNAVAILABLE);
    child_require(strlen(world->op.text) > 0);
}

static void a_store_without_the_rights_to_it_is_unavailable(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root, to make files of another's\n");
        skip();
    }
    for (size_t i = 0; i < HF_COUNT(rights); i++) {
        struct store_world world;
        HF_AUTO_STRING lock = NULL;
        HF_AUTO_STRING store = NULL;

        store_world_init(&world, store_kind_named("sqlite"));
        assert_ok(&world.op, store_world_open(&world, true));
        store_world_close(&world);
        lock = file_in(&world, "lock");
        store = file_in(&world, "store.db");
        assert_int_equal(chmod(world.root, 0755), 0);
        assert_int_equal(chmod(world.directory, rights[i].directory), 0);
        assert_int_equal(chmod(lock, rights[i].lock), 0);
        assert_int_equal(chmod(store, rights[i].store), 0);
        print_message("%s\n", rights[i].says);
        assert_child_succeeds(open_as_nobody, &world);
        assert_ok(&world.op, store_world_open(&world, false));
        store_world_done(&world);
    }
}

#define CANNOT_MOUNT 77

static void open_read_only(void *context)
{
    struct store_world *world = context;

    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(world->directory, world->directory, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, world->directory, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0) {
        _exit(CANNOT_MOUNT);
    }
    child_require(store_world_open(world, false).code == HF_UNAVAILABLE);
    child_require(strstr(world->op.text, "Read-only file system") != NULL);
}

static void a_read_only_file_system_is_named(void **state)
{
    struct store_world *world = *state;
    int status;

    store_world_close(world);
    status = test_child(open_read_only, world, false);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT_MOUNT) {
        print_message("needs the right to mount\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define KILLS 10

struct writer {
    struct store_world *world;
    int acknowledgements; /* the pipe to write to */
};

/* Two records a batch, for ever; says each that is acknowledged. */
static void write_until_killed(void *context)
{
    struct writer *writer = context;
    struct store_world *world = writer->world;

    child_require(store_world_open(world, false).code == HF_OK);
    for (uint32_t i = 0;; i++) {
        HF_AUTO_STRING left = hf_format("left/%08u/%ld", i, (long)getpid());
        HF_AUTO_STRING right = hf_format("right/%08u/%ld", i, (long)getpid());
        struct hf_change changes[] = { store_change(left, 0, "1"), store_change(right, 0, "1") };
        struct hf_batch batch = store_batch(i + 1, changes, 2);
        long pid = (long)getpid();
        struct hf_commit commit;

        hf_commit_init(&commit);
        memcpy(batch.request_id.bytes, &pid, sizeof pid);
        child_require(hf_engine_apply(world->engine, &world->op, &batch, &commit).code == HF_OK);
        child_require(write(writer->acknowledgements, &i, sizeof i) == sizeof i);
        hf_commit_done(&commit);
    }
}

static uint32_t run_and_kill(struct store_world *world, uint32_t wanted, pid_t *out_pid)
{
    struct writer writer = { .world = world };
    uint32_t acknowledged = 0;
    int ends[2];
    int status;
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    writer.acknowledgements = ends[1];
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_until_killed(&writer);
    }
    assert_int_equal(close(ends[1]), 0);
    while (acknowledged < wanted) {
        assert_int_equal(read(ends[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    while (read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    assert_int_equal(close(ends[0]), 0);
    *out_pid = child;
    return acknowledged;
}

static bool is_there(struct store_world *world, const char *side, uint32_t number, pid_t pid)
{
    HF_AUTO_STRING path = hf_format("%s/%08u/%ld", side, number, (long)pid);
    HF_AUTO(record) record = NULL;

    return hf_engine_get(world->engine, &world->op, path, &record).code == HF_OK;
}

static void a_killed_process_leaves_all_it_acknowledged_and_nothing_half(void **state)
{
    struct store_world *world = *state;

    store_world_close(world);
    for (uint32_t round = 0; round < KILLS; round++) {
        pid_t pid;
        uint32_t last = run_and_kill(world, 1 + round * 7, &pid);

        assert_ok(&world->op, store_world_open(world, false));
        for (uint32_t i = 0; i <= last; i++) {
            assert_true(is_there(world, "left", i, pid));
            assert_true(is_there(world, "right", i, pid));
        }
        /* The one under way is whole or absent, and none came after it. */
        assert_int_equal(is_there(world, "left", last + 1, pid),
                         is_there(world, "right", last + 1, pid));
        assert_false(is_there(world, "left", last + 2, pid));
        store_world_close(world);
    }
}

static void a_long_log_is_copied_while_writers_go_on(void **state)
{
    enum { BODY = 1 << 20, FILES_GROW = 40 << 20 };

    struct store_world *world = *state;
    HF_AUTO_STRING file = file_in(world, "store.db");
    HF_AUTO_STRING log = file_in(world, "store.db-wal");
    char *body = hf_alloc(BODY + 1);
    size_t longest = 0;
    uint32_t count = 0;

    memset(body, 'x', BODY);
    while (size_of(file) < FILES_GROW) {
        HF_AUTO_STRING path = hf_format("r/%u", count++);

        assert_true(count < 400);
        assert_ok(&world->op, store_put(world, path, 0, body));
        longest = size_of(log) > longest ? size_of(log) : longest;
    }
    /* The log begins anew again and again, so it is shorter than what went through it. */
    assert_true(longest < (size_t)count * BODY);
    assert_record(world, "r/0", 1, body);
    free(body);
}

#define SQLITE(test) cmocka_unit_test_setup_teardown(test, store_world_setup, store_world_teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        SQLITE(a_store_is_there_again_after_it_was_closed),
        SQLITE(a_lease_ends_with_the_process_that_took_it),
        SQLITE(files_are_for_the_owner_alone),
        SQLITE(a_store_is_made_once),
        SQLITE(where_there_is_no_store_nothing_is_left),
        SQLITE(what_a_failed_making_left_is_no_obstacle),
        SQLITE(a_second_process_is_told_who_has_the_store),
        SQLITE(a_store_without_the_rights_to_it_is_unavailable),
        SQLITE(a_read_only_file_system_is_named),
        SQLITE(a_killed_process_leaves_all_it_acknowledged_and_nothing_half),
        SQLITE(a_long_log_is_copied_while_writers_go_on),
    };

    for (size_t i = 0; i < HF_COUNT(tests); i++) {
        tests[i].initial_state = (void *)(uintptr_t)store_kind_named("sqlite");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
