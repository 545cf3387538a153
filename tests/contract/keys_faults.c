/* Keys on a disk that fails: calls of each kind, once and from then on, in a run of all changes. */
#include <sqlite3.h>

#include "base/alloc.h"
#include "keys_ledger.h"
#include "store_vfs.h"

/* One call in so many fails in a run of its own. */
#define STRIDE_WRITE 11
#define STRIDE_SYNC  3
#define STRIDE_READ  17
#define STRIDE_OPEN  2

static const struct {
    const char *says;
    struct vfs_fault fault;
    uint64_t stride;
} faults[] = {
    { "a write finds the disk full", { VFS_WRITE, SQLITE_FULL, false, false, NULL }, STRIDE_WRITE },
    { "the disk is full from some write on",
      { VFS_WRITE, SQLITE_FULL, false, true, NULL },
      STRIDE_WRITE },
    { "a write fails", { VFS_WRITE, SQLITE_IOERR_WRITE, false, false, NULL }, STRIDE_WRITE },
    { "a write fails half way",
      { VFS_WRITE, SQLITE_IOERR_WRITE, true, false, NULL },
      STRIDE_WRITE },
    { "a sync fails", { VFS_SYNC, SQLITE_IOERR_FSYNC, false, false, NULL }, STRIDE_SYNC },
    { "every sync fails", { VFS_SYNC, SQLITE_IOERR_FSYNC, false, true, NULL }, STRIDE_SYNC },
    { "a read fails", { VFS_READ, SQLITE_IOERR_READ, false, false, NULL }, STRIDE_READ },
    { "every read fails", { VFS_READ, SQLITE_IOERR_READ, false, true, NULL }, STRIDE_READ },
    { "a file cannot be opened", { VFS_OPEN, SQLITE_CANTOPEN, false, false, NULL }, STRIDE_OPEN },
};

static bool anything_failed(const struct keys_ledger *ledger)
{
    bool failed = ledger->open_code != HF_OK;

    for (size_t i = 0; i < LEDGER_STEPS; i++) {
        failed = failed || !ledger->tried[i] || ledger->codes[i] != HF_OK;
    }
    return failed;
}

/* True while the fault happens. */
static bool run_with_fault(size_t row, uint64_t at, bool *out_shown)
{
    HF_AUTO_STRING what = hf_format("%s at call %u", faults[row].says, (unsigned)at);
    struct store_world store;
    struct keys_ledger ledger;
    uint64_t happened;

    keys_ledger_prepare(&store);
    vfs_arm(&faults[row].fault, at);
    keys_ledger_run(&ledger, &store);
    vfs_disarm();
    happened = vfs_faults();
    *out_shown = anything_failed(&ledger);
    if (happened == 0) {
        assert_false(*out_shown);
    }
    keys_ledger_check(&ledger, &store, what);
    store_world_done(&store);
    return happened > 0;
}

static void no_fault_loses_a_key_or_halves_a_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(faults); i++) {
        unsigned times = 0;
        unsigned seen = 0;
        bool shown;

        for (uint64_t at = 1; run_with_fault(i, at, &shown); at += faults[i].stride) {
            times++;
            seen += shown;
        }
        print_message("%s: %u times, %u seen by a caller\n", faults[i].says, times, seen);
        if (seen == 0) {
            fail_msg("%s: nobody ever saw it", faults[i].says);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fault_loses_a_key_or_halves_a_change),
    };

    return cmocka_run_group_tests(tests, keys_ledger_start, keys_ledger_stop);
}
