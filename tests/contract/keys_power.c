/*
 * Keys when the power fails: at writes and syncs all over a run of all changes, what was not made
 * durable is dropped, kept or torn, and the keys that are left are opened.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "keys_ledger.h"
#include "store_files.h"
#include "store_shadow.h"
#include "store_vfs.h"

/* One event in so many is tried; odd, so that it falls on all kinds of events of a commit. */
#define STRIDE 5

static const char *const loss_names[] = {
    [SHADOW_LOSES_ALL] = "all unsynced writes lost",
    [SHADOW_LOSES_NONE] = "no write lost",
    [SHADOW_TEARS] = "some sectors lost",
};

/* What was acknowledged, and pinned outside the store, when the power failed. */
struct outage {
    struct keys_ledger *ledger;
    struct keys_ledger then;
    char *pin;
    struct hf_buf pin_then;
};

static void note_ledger(void *context)
{
    struct outage *outage = context;

    outage->then = *outage->ledger;
    read_whole(outage->pin, &outage->pin_then);
}

static void check_image(const struct outage *outage, enum shadow_loss loss, uint64_t at)
{
    HF_AUTO_STRING what =
        hf_format("power fails before event %u, %s", (unsigned)at, loss_names[loss]);
    HF_AUTO_STRING pin = NULL;
    struct store_world store;

    store_world_init_fast(&store, store_kind_named("sqlite"));
    assert_int_equal(mkdir(store.directory, 0700), 0);
    shadow_write_image(loss, store.directory);
    pin = keys_ledger_pin(&store);
    write_file(pin, outage->pin_then.data, outage->pin_then.len);
    keys_ledger_check(&outage->then, &store, what);
    store_world_done(&store);
}

/* True while the run is long enough for that event. */
static bool fail_at(uint64_t at)
{
    struct store_world store;
    struct keys_ledger ledger;
    struct outage outage = { .ledger = &ledger };
    bool taken;

    keys_ledger_prepare(&store);
    outage.pin = keys_ledger_pin(&store);
    memset(&ledger, 0, sizeof ledger);
    shadow_start(store.directory);
    shadow_arm(at, note_ledger, &outage);
    keys_ledger_run(&ledger, &store);
    taken = shadow_has_image();
    for (enum shadow_loss loss = 0; taken && loss < SHADOW_LOSSES; loss++) {
        check_image(&outage, loss, at);
    }
    shadow_stop();
    hf_buf_done(&outage.pin_then);
    free(outage.pin);
    store_world_done(&store);
    return taken;
}

static void a_power_loss_takes_no_key_and_halves_no_change(void **state)
{
    uint64_t at = 1;
    unsigned moments = 0;

    (void)state;
    while (fail_at(at)) {
        at += STRIDE;
        moments++;
    }
    print_message("%u moments\n", moments);
    assert_true(moments > LEDGER_STEPS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_loss_takes_no_key_and_halves_no_change),
    };

    return cmocka_run_group_tests(tests, keys_ledger_start, keys_ledger_stop);
}
