/* The SQLite engine on a disk that fails: each call of each kind once, and from then on. */
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store_ledger.h"
#include "store_vfs.h"

static const struct {
    const char *says;
    struct vfs_fault fault;
} faults[] = {
    { "a write finds the disk full", { VFS_WRITE, SQLITE_FULL, false, false, NULL } },
    { "the disk is full from some write on", { VFS_WRITE, SQLITE_FULL, false, true, NULL } },
    { "a write fails", { VFS_WRITE, SQLITE_IOERR_WRITE, false, false, NULL } },
    { "a write fails half way", { VFS_WRITE, SQLITE_IOERR_WRITE, true, false, NULL } },
    { "a sync fails", { VFS_SYNC, SQLITE_IOERR_FSYNC, false, false, NULL } },
    { "every sync fails", { VFS_SYNC, SQLITE_IOERR_FSYNC, false, true, NULL } },
    { "a truncation fails", { VFS_TRUNCATE, SQLITE_IOERR_TRUNCATE, false, false, NULL } },
    { "a file cannot be opened", { VFS_OPEN, SQLITE_CANTOPEN, false, false, NULL } },
    { "a read fails", { VFS_READ, SQLITE_IOERR_READ, false, false, NULL } },
    { "every read fails", { VFS_READ, SQLITE_IOERR_READ, false, true, NULL } },
    { "the size of a file cannot be found", { VFS_SIZE, SQLITE_IOERR_FSTAT, false, false, NULL } },
    { "a file cannot be removed", { VFS_DELETE, SQLITE_IOERR_DELETE, false, false, NULL } },
    { "a file cannot be looked for", { VFS_ACCESS, SQLITE_IOERR_ACCESS, false, false, NULL } },
    { "a lock fails", { VFS_LOCK, SQLITE_IOERR_LOCK, false, false, NULL } },
    { "a lock is held by somebody", { VFS_LOCK, SQLITE_BUSY, false, false, NULL } },
    { "shared memory fails", { VFS_SHM_MAP, SQLITE_IOERR_SHMMAP, false, false, NULL } },
    { "shared memory fails for good", { VFS_SHM_MAP, SQLITE_IOERR_SHMMAP, false, true, NULL } },
    { "a lock in shared memory fails", { VFS_SHM_LOCK, SQLITE_IOERR_SHMLOCK, false, false, NULL } },
};

static void open_empty(struct store_world *world)
{
    store_world_init_fast(world, store_kind_named("sqlite"));
    assert_ok(&world->op, store_world_open(world, true));
    store_world_close(world);
}

/* Whether any of the calls failed; the codes have been checked one by one. */
static bool anything_failed(const struct ledger *ledger)
{
    bool failed = ledger->open_code != HF_OK;

    for (size_t i = 0; i < LEDGER_BATCHES; i++) {
        failed = failed || !ledger->tried[i] || ledger->codes[i] != HF_OK;
    }
    for (size_t i = 0; i < HF_COUNT(ledger->other_codes); i++) {
        failed = failed || ledger->other_codes[i] != HF_OK;
    }
    return failed;
}

static void check_other_codes(const struct ledger *ledger)
{
    for (size_t i = 0; i < HF_COUNT(ledger->other_codes); i++) {
        enum hf_code code = ledger->other_codes[i];

        /* A snapshot that cannot be read back is not told from a damaged one. */
        if (code != HF_OK && code != HF_NO_SPACE && code != HF_UNAVAILABLE && code != HF_IN_DOUBT &&
            !(code == HF_CORRUPT && i == LEDGER_SNAPSHOT)) {
            fail_msg("call %zu between the batches ended with %s", i, hf_code_name(code));
        }
    }
}

/* True while the fault happens. */
static bool run_with_fault(const struct vfs_fault *fault, uint64_t at, bool *out_shown)
{
    struct store_world world;
    struct ledger ledger;
    uint64_t happened;

    open_empty(&world);
    vfs_arm(fault, at);
    ledger_run(&ledger, &world);
    vfs_disarm();
    happened = vfs_faults();
    check_other_codes(&ledger);
    ledger_check(&ledger, &world);
    if (happened == 0) {
        assert_false(anything_failed(&ledger));
    }
    *out_shown = anything_failed(&ledger);
    store_world_done(&world);
    return happened > 0;
}

static void no_fault_loses_or_halves_what_was_acknowledged(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(faults); i++) {
        uint64_t at = 1;
        size_t shown = 0;
        bool shows;

        while (run_with_fault(&faults[i].fault, at, &shows)) {
            shown += shows;
            at++;
        }
        print_message("%s: %u times, %zu seen by a caller\n", faults[i].says, (unsigned)(at - 1),
                      shown);
        if (at == 1) {
            fail_msg("%s: it never happened", faults[i].says);
        }
    }
}

/* A store is made whole or not at all; what is left of a failed try is no obstacle. */
static bool make_with_fault(const struct vfs_fault *fault, uint64_t at)
{
    struct store_world world;
    struct hf_store_state found;
    struct hf_status status;

    store_world_init_fast(&world, store_kind_named("sqlite"));
    vfs_arm(fault, at);
    status = store_world_open(&world, true);
    store_world_close(&world);
    vfs_disarm();
    if (status.code != HF_OK) {
        assert_true(vfs_faults() > 0);
        status = store_world_open(&world, false);
        if (status.code == HF_NOT_FOUND) {
            status = store_world_open(&world, true);
        }
    } else {
        status = store_world_open(&world, false);
    }
    assert_ok(&world.op, status);
    assert_ok(&world.op, hf_engine_state(world.engine, &world.op, &found, NULL));
    assert_int_equal(found.seq, 0);
    assert_ok(&world.op, store_put(&world, "a", 0, "1"));
    store_world_done(&world);
    return vfs_faults() > 0;
}

static void a_store_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(faults); i++) {
        uint64_t at = 1;

        while (make_with_fault(&faults[i].fault, at)) {
            at++;
        }
        if (at == 1) {
            fail_msg("%s: it never happened", faults[i].says);
        }
    }
}

static struct hf_status put_numbered(struct store_world *world, uint32_t request, const char *path)
{
    struct hf_change change = store_change(path, 0, "1");
    struct hf_batch batch = store_batch(request, &change, 1);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = hf_engine_apply(world->engine, &world->op, &batch, &commit);
    hf_commit_done(&commit);
    return status;
}

static void after_a_failed_sync_nothing_is_written_until_the_next_opening(void **state)
{
    static const struct vfs_fault fault = { VFS_SYNC, SQLITE_IOERR_FSYNC, false, false, NULL };
    struct store_world world;
    HF_AUTO(record) record = NULL;
    uint64_t out;

    (void)state;
    open_empty(&world);
    assert_ok(&world.op, store_world_open(&world, false));
    assert_ok(&world.op, put_numbered(&world, 1, "before"));
    vfs_arm(&fault, 1);
    assert_fails(&world.op, put_numbered(&world, 2, "doubtful"), HF_IN_DOUBT);
    assert_int_equal(vfs_faults(), 1);

    /* The disk works again, but nobody knows what it has dropped. */
    assert_fails(&world.op, put_numbered(&world, 3, "after"), HF_UNAVAILABLE);
    assert_non_null(strstr(world.op.text, "fsync"));
    assert_fails(&world.op, put_numbered(&world, 2, "doubtful"), HF_IN_DOUBT);
    assert_fails(&world.op, put_numbered(&world, 1, "before"), HF_UNAVAILABLE);
    assert_fails(&world.op, hf_engine_barrier(world.engine, &world.op, &out), HF_UNAVAILABLE);
    assert_fails(&world.op, hf_engine_forget(world.engine, &world.op, 2), HF_UNAVAILABLE);
    assert_record(&world, "before", 1, "1");
    assert_fails(&world.op, hf_engine_get(world.engine, &world.op, "doubtful", &record),
                 HF_NOT_FOUND);

    store_world_close(&world);
    assert_ok(&world.op, store_world_open(&world, false));
    assert_ok(&world.op, put_numbered(&world, 3, "after"));
    assert_ok(&world.op, put_numbered(&world, 2, "doubtful"));
    assert_record(&world, "doubtful", 1, "1");
    vfs_disarm();
    store_world_done(&world);
}

static void a_full_disk_says_so_and_takes_writes_again_when_there_is_room(void **state)
{
    static const struct vfs_fault fault = { VFS_WRITE, SQLITE_FULL, false, true, NULL };
    struct store_world world;

    (void)state;
    open_empty(&world);
    assert_ok(&world.op, store_world_open(&world, false));
    vfs_arm(&fault, 1);
    assert_fails(&world.op, put_numbered(&world, 1, "a"), HF_NO_SPACE);
    assert_fails(&world.op, put_numbered(&world, 1, "a"), HF_NO_SPACE);
    assert_int_equal(vfs_faults(), 2);
    vfs_disarm();
    assert_ok(&world.op, put_numbered(&world, 1, "a"));
    assert_record(&world, "a", 1, "1");
    store_world_done(&world);
}

/* Put a body so large that the index of the log, in shared memory, has to grow. */
static struct hf_status put_large(struct store_world *world)
{
    uint8_t *bytes = hf_alloc(HF_BODY_MAX);
    struct hf_change change = store_change("large", 0, "");
    struct hf_batch batch = store_batch(9, &change, 1);
    struct hf_commit commit;
    struct hf_status status;

    change.body = hf_bytes_of(bytes, HF_BODY_MAX);
    hf_commit_init(&commit);
    status = hf_engine_apply(world->engine, &world->op, &batch, &commit);
    hf_commit_done(&commit);
    free(bytes);
    return status;
}

/* The commit fails when all of it is in the log already; told that it did not happen, it must not.
 */
static void a_commit_that_was_denied_does_not_come_back(void **state)
{
    static const struct vfs_fault fault = { VFS_SHM_MAP, SQLITE_IOERR_SHMMAP, false, false, NULL };
    struct store_world world;
    struct store_world killed;
    HF_AUTO(record) record = NULL;

    (void)state;
    open_empty(&world);
    assert_ok(&world.op, store_world_open(&world, false));
    vfs_arm(&fault, 1);
    assert_fails(&world.op, put_large(&world), HF_UNAVAILABLE);
    assert_int_equal(vfs_faults(), 1);
    vfs_disarm();
    store_world_init_killed(&killed, &world);
    assert_ok(&killed.op, store_world_open(&killed, false));
    assert_fails(&killed.op, hf_engine_get(killed.engine, &killed.op, "large", &record),
                 HF_NOT_FOUND);
    assert_ok(&world.op, put_large(&world));
    store_world_done(&killed);
    store_world_done(&world);
}

static void a_checkpoint_that_is_not_durable_stops_the_writes(void **state)
{
    static const struct vfs_fault fault = { VFS_SYNC, SQLITE_IOERR_FSYNC, false, false,
                                            "/store.db" };
    enum { BODY = 1 << 20, ENOUGH = 400 };

    char *body = hf_alloc(BODY + 1);
    struct hf_status status = HF_SUCCESS;
    struct store_world world;
    uint32_t count = 0;

    (void)state;
    memset(body, 'x', BODY);
    open_empty(&world);
    assert_ok(&world.op, store_world_open(&world, false));
    vfs_arm(&fault, 1);
    for (count = 0; count < ENOUGH && status.code == HF_OK; count++) {
        HF_AUTO_STRING path = hf_format("r/%u", count);

        status = store_put(&world, path, 0, body);
    }
    assert_int_equal(vfs_faults(), 1);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    assert_non_null(strstr(world.op.text, "fsync"));
    vfs_disarm();
    store_world_close(&world);
    assert_ok(&world.op, store_world_open(&world, false));
    for (uint32_t i = 0; i + 1 < count; i++) {
        HF_AUTO_STRING path = hf_format("r/%u", i);

        assert_record(&world, path, 1, body);
    }
    assert_ok(&world.op, store_put(&world, "again", 0, "1"));
    store_world_done(&world);
    free(body);
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fault_loses_or_halves_what_was_acknowledged),
        cmocka_unit_test(a_store_is_made_whole_or_not_at_all),
        cmocka_unit_test(after_a_failed_sync_nothing_is_written_until_the_next_opening),
        cmocka_unit_test(a_commit_that_was_denied_does_not_come_back),
        cmocka_unit_test(a_checkpoint_that_is_not_durable_stops_the_writes),
        cmocka_unit_test(a_full_disk_says_so_and_takes_writes_again_when_there_is_room),
    };

    return cmocka_run_group_tests(tests, install, uninstall);
}
