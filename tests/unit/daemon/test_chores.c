/* What the daemon does by the clock: signatures of the trail, pin and feed, locked and unlocked. */
#include <unistd.h>

#include "seal/member.h"
#include "world.h"

#include "daemon/node_internal.h"

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)

/* The world's parts as a node; the clock of both is the world's. */
static struct hf_node node_of_world(void)
{
    /* Without slots: none is proven by itself. */
    static const struct hf_config config;

    return (struct hf_node){
        .config = &config,
        .env = &small_world.env,
        .seal = small_world.seal,
        .keys = world.keys,
        .policy = world.policy,
        .audit = world.audit,
        .service = world.service,
        .cookies = hf_cookies_new(small_world.seal, DAY),
    };
}

struct schedule {
    struct hf_node node;
    struct hf_chores chores;
};

static void start(struct schedule *schedule)
{
    *schedule = (struct schedule){ .node = node_of_world() };
}

static void stop(struct schedule *schedule)
{
    hf_cookies_free(schedule->node.cookies);
}

/* Second by second, as the background thread does. */
static void pass(struct schedule *schedule, uint64_t ms)
{
    struct hf_op op = small_world_op(7);

    for (uint64_t passed = 0; passed < ms; passed += SECOND) {
        small_world_pass(SECOND);
        hf_node_do_chores(&schedule->node, &op, &schedule->chores);
    }
    /* The trail's own thread does this within a second of real time. */
    (void)hf_audit_write(world.audit, &op).code;
}

static unsigned signatures(void)
{
    return world_lines_on_disk("\"operation\":\"audit.checkpoint\"", NULL, NULL);
}

static void the_trail_is_signed_every_ten_minutes(void **unused)
{
    struct schedule schedule;
    unsigned before;

    (void)unused;
    start(&schedule);
    before = signatures();
    pass(&schedule, SECOND);
    assert_int_equal(signatures(), before + 1); /* the first at once */
    pass(&schedule, 10 * MINUTE - SECOND);
    assert_int_equal(signatures(), before + 1);
    pass(&schedule, SECOND);
    assert_int_equal(signatures(), before + 2);
    pass(&schedule, 60 * MINUTE);
    assert_int_equal(signatures(), before + 8);
    stop(&schedule);
}

static void what_was_recorded_is_under_a_signature_ten_minutes_later(void **unused)
{
    struct schedule schedule;
    struct hf_audit_report report;
    HF_AUTO_STRING directory = small_world_path("audit");
    HF_AUTO(buf) public_key = hf_buf_new();
    struct hf_op op = world_as(ROOT);

    (void)unused;
    start(&schedule);
    pass(&schedule, SECOND);
    world_key("signed", HF_ALG_AES_256);
    pass(&schedule, MINUTE);
    assert_ok(&op, hf_pkey_public(world.signer, &op, public_key));
    assert_ok(&op, hf_audit_verify(small_world.crypto, &op, directory, hf_buf_bytes(public_key),
                                   HF_BYTES_NONE, &report));
    assert_true(report.lines_after_checkpoint > 0);
    pass(&schedule, 10 * MINUTE);
    assert_ok(&op, hf_audit_verify(small_world.crypto, &op, directory, hf_buf_bytes(public_key),
                                   HF_BYTES_NONE, &report));
    assert_int_equal(report.lines_after_checkpoint, 0);
    stop(&schedule);
}

static void a_locked_node_signs_too_and_locking_does_not_hurry_it(void **unused)
{
    struct schedule schedule;
    unsigned before;

    (void)unused;
    start(&schedule);
    pass(&schedule, SECOND);
    before = signatures();
    hf_seal_lock(small_world.seal);
    pass(&schedule, 5 * MINUTE);
    small_world_unlock();
    pass(&schedule, 4 * MINUTE);
    assert_int_equal(signatures(), before);
    hf_seal_lock(small_world.seal);
    pass(&schedule, 2 * MINUTE);
    assert_int_equal(signatures(), before + 1);
    stop(&schedule);
}

static void a_signature_that_found_no_room_is_made_when_there_is_room(void **unused)
{
    struct schedule schedule;
    unsigned before;

    (void)unused;
    start(&schedule);
    pass(&schedule, SECOND);
    before = signatures();
    world.disk_is_full = true;
    pass(&schedule, 11 * MINUTE);
    assert_int_equal(signatures(), before);
    world.disk_is_full = false;
    pass(&schedule, 2 * SECOND);
    assert_int_equal(signatures(), before + 1);
    stop(&schedule);
}

static void the_feed_brings_records_within_a_second(void **unused)
{
    struct schedule schedule;

    (void)unused;
    start(&schedule);
    world_key("fed", HF_ALG_AES_256);
    assert_int_equal(world_lines_on_disk(EVENT("key.create", "ok", ROOT), "\"key\":\"fed\"", NULL),
                     0);
    pass(&schedule, SECOND);
    assert_int_equal(world_lines_on_disk(EVENT("key.create", "ok", ROOT), "\"key\":\"fed\"", NULL),
                     1);
    stop(&schedule);
}

#define test_of(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

/* --- removed --- */

/* The node of the world as the first member, by a key of its own in the slot. */
static void enlist(struct hf_drill_slot *slot)
{
    struct hf_op op = small_world_op(0);

    if (access(slot->protector.file, F_OK) == 0) {
        assert_int_equal(unlink(slot->protector.file), 0);
    }
    world.service->shared_store = true;
    world.service->slots = slot;
    world.service->slot_count = 1;
    assert_ok(&op, hf_service_node_enroll(world.service, &op));
}

static void put_removed(void)
{
    struct hf_op op = small_world_op(0);
    struct hf_txn_commit commit = { 0 };
    HF_AUTO(member) member = NULL;
    HF_AUTO(txn) txn = NULL;

    assert_ok(&op, hf_member_get(small_world.seal, &op, world.service->node, &member));
    assert_ok(&op, hf_txn_new(small_world.seal, &op, &txn));
    assert_ok(&op, hf_member_change_stage(&op, txn, HF_MEMBER_REMOVED, member));
    assert_ok(&op, hf_txn_commit(txn, &op, &commit));
    hf_secret_free(commit.result);
}

/* As soon as the list says so; and within a minute though nobody told it. */
static void a_removed_node_locks_itself(void **unused)
{
    static const bool is_told[] = { true, false };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(is_told); i++) {
        HF_AUTO_STRING file = small_world_path("own.key");
        struct hf_drill_slot slot = { "own", { .kind = "node", .file = file } };
        struct schedule schedule;

        start(&schedule);
        enlist(&slot);
        schedule.node.may_be_out = is_told[i];
        pass(&schedule, 2 * MINUTE);
        assert_true(hf_seal_is_unlocked(small_world.seal));
        put_removed();
        pass(&schedule, is_told[i] ? SECOND : MINUTE);
        assert_false(hf_seal_is_unlocked(small_world.seal));
        stop(&schedule);
        world.service->slot_count = 0;
        assert_int_equal(world_close(NULL), 0);
        assert_int_equal(world_open(NULL), 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        test_of(the_trail_is_signed_every_ten_minutes),
        test_of(what_was_recorded_is_under_a_signature_ten_minutes_later),
        test_of(a_locked_node_signs_too_and_locking_does_not_hurry_it),
        test_of(a_removed_node_locks_itself),
        test_of(a_signature_that_found_no_room_is_made_when_there_is_room),
        test_of(the_feed_brings_records_within_a_second),
    };

    return cmocka_run_group_tests_name("daemon chores", tests, world_start, world_stop);
}
