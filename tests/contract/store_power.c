/*
 * The SQLite engine when the power fails: at every write, truncation and sync of a run, what was
 * not made durable is dropped, kept or torn, and the store that is left is opened.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "store_ledger.h"
#include "store_shadow.h"
#include "store_vfs.h"

static const char *const loss_names[] = {
    [SHADOW_LOSES_ALL] = "all unsynced writes lost",
    [SHADOW_LOSES_NONE] = "no write lost",
    [SHADOW_TEARS] = "some sectors lost",
};

/*
 * The ledger as it stood when the power failed. The image is taken on a thread of the engine while
 * the one that keeps the ledger waits for that thread, or on that one itself.
 */
struct outage {
    struct ledger *ledger;
    struct ledger then;
};

static void note_ledger(void *context)
{
    struct outage *outage = context;

    outage->then = *outage->ledger;
}

/* A batch that was under way may have happened or not. */
static void doubt_what_was_under_way(struct ledger *then)
{
    for (size_t i = 0; i < LEDGER_BATCHES; i++) {
        if (then->under_way[i]) {
            then->codes[i] = HF_IN_DOUBT;
        }
    }
}

static void check_image(const struct outage *outage, enum shadow_loss loss, uint64_t at)
{
    struct ledger then = outage->then;
    struct store_world world;

    store_world_init_fast(&world, store_kind_named("sqlite"));
    assert_int_equal(mkdir(world.directory, 0700), 0);
    shadow_write_image(loss, world.directory);
    doubt_what_was_under_way(&then);
    if (store_world_open(&world, false).code != HF_OK) {
        fail_msg("power fails before event %u, %s: %s", (unsigned)at, loss_names[loss],
                 world.op.text);
    }
    store_world_close(&world);
    ledger_check(&then, &world);
    store_world_done(&world);
}

/* An empty store, closed. */
static void prepare(struct store_world *world)
{
    store_world_init_fast(world, store_kind_named("sqlite"));
    assert_ok(&world->op, store_world_open(world, true));
    store_world_close(world);
}

/* True while the run is long enough for that event. */
static bool fail_at(uint64_t at)
{
    struct store_world world;
    struct ledger ledger;
    struct outage outage = { .ledger = &ledger };
    bool taken;

    prepare(&world);
    memset(&ledger, 0, sizeof ledger);
    shadow_start(world.directory);
    shadow_arm(at, note_ledger, &outage);
    ledger_run(&ledger, &world);
    taken = shadow_has_image();
    if (taken) {
        for (enum shadow_loss loss = 0; loss < SHADOW_LOSSES; loss++) {
            check_image(&outage, loss, at);
        }
    }
    shadow_stop();
    store_world_done(&world);
    return taken;
}

static void a_power_loss_takes_nothing_that_was_acknowledged(void **state)
{
    uint64_t at = 1;

    (void)state;
    while (fail_at(at)) {
        at++;
    }
    print_message("%u moments\n", (unsigned)(at - 1));
    assert_true(at > 50);
}

/* What a process leaves that is killed after five batches: they are in the log only. */
static void leave_in_log(struct store_world *left)
{
    struct store_world killed;

    prepare(&killed);
    assert_ok(&killed.op, store_world_open(&killed, false));
    for (uint64_t i = 0; i < 5; i++) {
        assert_ok(&killed.op, store_put(&killed, "found", i, "body"));
    }
    store_world_init_killed(left, &killed);
    store_world_done(&killed);
}

static void check_found(enum shadow_loss loss)
{
    struct store_world world;

    store_world_init_fast(&world, store_kind_named("sqlite"));
    assert_int_equal(mkdir(world.directory, 0700), 0);
    shadow_write_image(loss, world.directory);
    assert_ok(&world.op, store_world_open(&world, false));
    assert_record(&world, "found", 5, "body");
    store_world_done(&world);
}

static void nothing_to_note(void *context)
{
    (void)context;
}

static void what_is_found_in_the_log_is_made_durable_before_it_is_shown(void **state)
{
    struct store_world left;

    (void)state;
    leave_in_log(&left);
    shadow_start(left.directory);
    /* The killed process wrote the log, and nobody made it durable. */
    shadow_make_pending("store.db-wal");
    assert_ok(&left.op, store_world_open(&left, false));
    assert_record(&left, "found", 5, "body");
    shadow_arm(shadow_events() + 1, nothing_to_note, NULL);
    store_world_close(&left);
    assert_true(shadow_has_image());
    check_found(SHADOW_LOSES_ALL);
    shadow_stop();
    store_world_done(&left);
}

static bool recover_and_fail_at(uint64_t at)
{
    struct store_world left;
    bool taken;

    leave_in_log(&left);
    shadow_start(left.directory);
    shadow_arm(at, nothing_to_note, NULL);
    assert_ok(&left.op, store_world_open(&left, false));
    store_world_close(&left);
    taken = shadow_has_image();
    for (enum shadow_loss loss = 0; taken && loss < SHADOW_LOSSES; loss++) {
        check_found(loss);
    }
    shadow_stop();
    store_world_done(&left);
    return taken;
}

static void power_may_fail_again_while_a_store_recovers(void **state)
{
    uint64_t at = 1;

    (void)state;
    while (recover_and_fail_at(at)) {
        at++;
    }
    print_message("%u moments\n", (unsigned)(at - 1));
    assert_true(at > 3);
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
        cmocka_unit_test(a_power_loss_takes_nothing_that_was_acknowledged),
        cmocka_unit_test(what_is_found_in_the_log_is_made_durable_before_it_is_shown),
        cmocka_unit_test(power_may_fail_again_while_a_store_recovers),
    };

    return cmocka_run_group_tests(tests, install, uninstall);
}
