/* Two people: who may approve what, for how long, and how often. */
#include <stdio.h>
#include <string.h>

#include "world.h"

#define TWO "two"

struct approvals {
    size_t count;
    struct hf_approval_info last;
    char key[64], requester[64], approver[64];
};

static void take(void *context, const struct hf_approval_info *info)
{
    struct approvals *approvals = context;

    approvals->count++;
    approvals->last = *info;
    (void)snprintf(approvals->key, sizeof approvals->key, "%s", info->key);
    (void)snprintf(approvals->requester, sizeof approvals->requester, "%s", info->requester);
    (void)snprintf(approvals->approver, sizeof approvals->approver, "%s",
                   info->approver != NULL ? info->approver : "");
}

static struct approvals approvals_now(void)
{
    struct approvals approvals = { 0 };
    struct hf_op op = world_as(ADMIN);

    assert_ok(&op, hf_service_approval_list(world.service, &op, take, &approvals));
    return approvals;
}

static int setup(void **unused)
{
    struct hf_keyring_settings settings;

    assert_int_equal(world_open(unused), 0);
    hf_keyring_settings_default(&settings);
    settings.approve_destroy = true;
    world_ring(TWO, &settings);
    world_policy("others",
                 "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"pseudo:dave\",\"cert:root\"],"
                 "\"actions\":[\"approve\"]}]}");
    return 0;
}

static void new_key(const char *ring, const char *name)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    struct hf_op op = world_as(ROOT);
    uint32_t version;

    assert_ok(&op, hf_service_key_create(world.service, &op, ring, name, &plan, &version, NULL));
}

/* A key whose waiting time has ended, so that only people stand in the way. */
static void overdue_key(const char *name)
{
    struct hf_op op = world_as(ROOT);

    new_key(TWO, name);
    assert_ok(&op, hf_service_key_delete(world.service, &op, TWO, name, "old"));
    small_world_pass(31 * DAY);
}

static struct hf_status destroy_by(struct hf_op *op, const char *name)
{
    return hf_service_key_destroy(world.service, op, TWO, name, HF_LATEST, false, "its time");
}

static bool is_there(const char *name)
{
    struct hf_key_info *info = NULL;
    struct hf_op op = small_world_op(0);
    bool there = hf_key_get(world.keys, &op, TWO, name, true, &info).code == HF_OK;

    hf_key_info_free(info);
    return there;
}

static void a_destruction_waits_for_a_second_person_and_happens_once(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct approvals approvals;

    (void)unused;
    overdue_key("k");
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    approvals = approvals_now();
    assert_int_equal(approvals.count, 1);
    assert_non_null(strstr(root.text, approvals.last.id));
    assert_string_equal(approvals.last.operation, "key.destroy");
    assert_string_equal(approvals.last.keyring, TWO);
    assert_string_equal(approvals.key, "k");
    assert_string_equal(approvals.requester, ROOT);
    assert_string_equal(approvals.approver, "");
    assert_int_equal(approvals.last.expires_ms - approvals.last.created_ms, DAY);
    assert_int_equal(world_notes(EVENT("key.destroy", "wrong_state", ROOT), approvals.last.id), 1);

    /* Asking again asks for nothing new. */
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    assert_non_null(strstr(root.text, approvals.last.id));
    assert_int_equal(approvals_now().count, 1);

    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals.last.id));
    approvals = approvals_now();
    assert_string_equal(approvals.approver, ADMIN);
    assert_int_equal(world_notes(EVENT("approve", "ok", ADMIN), approvals.last.id), 1);
    assert_true(is_there("k"));
    assert_ok(&root, destroy_by(&root, "k"));
    assert_false(is_there("k"));
    assert_int_equal(approvals_now().count, 0);
    assert_fails(&admin, hf_service_approve(world.service, &admin, approvals.last.id),
                 HF_WRONG_STATE);
}

static void nobody_approves_alone(void **unused)
{
    static const struct {
        const char *says;
        const char *who;
        enum hf_code code;
    } cases[] = {
        { "who asked", ROOT, HF_DENIED },
        { "his name with another proof", "cert:root", HF_DENIED },
        { "his other identity", CERT, HF_DENIED },
        { "a name without proof", "pseudo:dave", HF_DENIED },
        { "who has no right to", ALICE, HF_DENIED },
        { "who has nothing", MALLORY, HF_DENIED },
        { "a second person", ADMIN, HF_OK },
    };
    struct hf_op root = world_as(ROOT);
    struct approvals approvals;

    (void)unused;
    overdue_key("k");
    world_policy("right", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"" CERT
                          "\"],\"actions\":[\"approve\"]}]}");
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    approvals = approvals_now();
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(cases[i].who);
        struct hf_status status = hf_service_approve(world.service, &op, approvals.last.id);

        if (status.code != cases[i].code) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code), op.text);
        }
    }
    {
        struct hf_op system = small_world_op(0);

        assert_fails(&system, hf_service_approve(world.service, &system, approvals.last.id),
                     HF_DENIED);
    }
}

static void an_approval_is_for_just_what_was_asked(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct approvals approvals;

    (void)unused;
    overdue_key("k");
    overdue_key("other");
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    approvals = approvals_now();
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals.last.id));

    /* Another key, by force, or by the other one: each is a request of its own. */
    assert_fails(&root, destroy_by(&root, "other"), HF_WRONG_STATE);
    assert_fails(&root,
                 hf_service_key_destroy(world.service, &root, TWO, "k", HF_LATEST, true, "now"),
                 HF_WRONG_STATE);
    assert_fails(&admin, destroy_by(&admin, "k"), HF_WRONG_STATE);
    assert_int_equal(approvals_now().count, 4);
    assert_true(is_there("k") && is_there("other"));
    assert_ok(&root, destroy_by(&root, "k"));
}

static void an_approval_is_not_for_a_later_key_of_the_name(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct approvals approvals;
    char second[33];

    (void)unused;
    /* Two approvals for one key: the one that is left over must not reach the next key. */
    overdue_key("k");
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    approvals = approvals_now();
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals.last.id));
    assert_fails(&root,
                 hf_service_key_destroy(world.service, &root, TWO, "k", HF_LATEST, true, "now"),
                 HF_WRONG_STATE);
    approvals = approvals_now();
    assert_int_equal(approvals.count, 2);
    {
        struct hf_op lister = world_as(ADMIN);
        struct approvals all = { 0 };

        assert_ok(&lister, hf_service_approval_list(world.service, &lister, take, &all));
        memcpy(second, all.approver[0] == '\0' ? all.last.id : approvals.last.id, sizeof second);
    }
    (void)hf_service_approve(world.service, &admin, second).code;
    assert_ok(&root, destroy_by(&root, "k"));

    new_key(TWO, "k");
    assert_fails(&root,
                 hf_service_key_destroy(world.service, &root, TWO, "k", HF_LATEST, true, "now"),
                 HF_WRONG_STATE);
    assert_true(is_there("k"));
}

static void an_approval_ends_after_a_day(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct approvals first;

    (void)unused;
    overdue_key("k");
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    first = approvals_now();
    small_world_pass(DAY);
    assert_int_equal(approvals_now().count, 0);
    assert_fails(&admin, hf_service_approve(world.service, &admin, first.last.id), HF_WRONG_STATE);

    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    assert_string_not_equal(approvals_now().last.id, first.last.id);
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals_now().last.id));
    small_world_pass(DAY);
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    assert_true(is_there("k"));
}

static void what_could_not_happen_anyway_asks_nobody(void **unused)
{
    struct hf_op root = world_as(ROOT);

    (void)unused;
    new_key(TWO, "used");
    assert_fails(&root, destroy_by(&root, "used"), HF_WRONG_STATE);
    assert_non_null(strstr(root.text, "delete it first"));
    assert_fails(&root, destroy_by(&root, "none"), HF_NOT_FOUND);
    assert_int_equal(approvals_now().count, 0);
}

static void force_takes_two_people_in_every_keyring(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct hf_key_info *info = NULL;

    (void)unused;
    new_key(RING, "k");
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "k", ""));
    assert_fails(&root,
                 hf_service_key_destroy(world.service, &root, RING, "k", HF_LATEST, true, "now"),
                 HF_WRONG_STATE);
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals_now().last.id));
    assert_ok(&root,
              hf_service_key_destroy(world.service, &root, RING, "k", HF_LATEST, true, "now"));
    assert_fails(&root, hf_key_get(world.keys, &root, RING, "k", true, &info), HF_NOT_FOUND);
}

static void the_second_person_cannot_be_switched_off_alone(void **unused)
{
    static const struct {
        const char *says;
        bool approve;
        uint64_t wait_ms;
        uint64_t dark_ms;
        enum hf_code code;
    } cases[] = {
        { "longer waiting", true, 40 * DAY, DAY, HF_OK },
        { "shorter waiting", true, DAY, DAY, HF_WRONG_STATE },
        { "a shorter dark window", true, 40 * DAY, DAY / 2, HF_WRONG_STATE },
        { "no second person", false, 40 * DAY, DAY, HF_WRONG_STATE },
    };
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct hf_keyring_settings settings;
    struct hf_keyring_info info;

    (void)unused;
    hf_keyring_settings_default(&settings);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status;

        settings.approve_destroy = cases[i].approve;
        settings.destroy_wait_ms = cases[i].wait_ms;
        settings.dark_window_ms = cases[i].dark_ms;
        status = hf_service_keyring_change(world.service, &root, TWO, &settings);
        if (status.code != cases[i].code) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code), root.text);
        }
    }
    assert_ok(&root, hf_keyring_get(world.keys, &root, TWO, &info));
    assert_true(info.settings.approve_destroy);
    assert_int_equal(info.settings.destroy_wait_ms, 40 * DAY);

    /* The last one asked, approved. */
    {
        struct approvals approvals = { 0 };

        assert_fails(&root, hf_service_keyring_change(world.service, &root, TWO, &settings),
                     HF_WRONG_STATE);
        assert_ok(&admin, hf_service_approval_list(world.service, &admin, take, &approvals));
        assert_int_equal(approvals.count, 3);
    }
    {
        char *id = strstr(root.text, "approval ") + strlen("approval ");

        id[32] = '\0';
        assert_ok(&admin, hf_service_approve(world.service, &admin, id));
    }
    assert_ok(&root, hf_service_keyring_change(world.service, &root, TWO, &settings));
    assert_ok(&root, hf_keyring_get(world.keys, &root, TWO, &info));
    assert_false(info.settings.approve_destroy);
}

static void an_approved_request_can_be_repeated_under_its_id(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    uint64_t seq;

    (void)unused;
    overdue_key("k");
    root.request_id = world_request(1);
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals_now().last.id));
    assert_ok(&root, destroy_by(&root, "k"));
    seq = world_seq();
    assert_ok(&root, destroy_by(&root, "k"));
    assert_int_equal(world_seq(), seq);
}

static void an_approval_used_and_the_effect_come_together(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    bool done = false;

    (void)unused;
    overdue_key("k");
    assert_fails(&root, destroy_by(&root, "k"), HF_WRONG_STATE);
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals_now().last.id));
    for (uint64_t call = 1; !done; call++) {
        struct hf_status status;

        hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, call);
        status = destroy_by(&root, "k");
        done = hf_failing_faults(small_world.engine) == 0;
        hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
        assert_int_equal(status.code, done ? HF_OK : HF_UNAVAILABLE);
        assert_int_equal(approvals_now().count, done ? 0 : 1);
        assert_int_equal(is_there("k"), !done);
    }
}

static void wrong_ids_are_refused(void **unused)
{
    static const struct {
        const char *id;
        enum hf_code code;
    } cases[] = {
        { "", HF_INVALID },
        { "0011", HF_INVALID },
        { "../../../../../../../../etc/pass", HF_INVALID },
        { "00112233445566778899AABBCCDDEEFF", HF_INVALID },
        { "00112233445566778899aabbccddeeff", HF_NOT_FOUND },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(ADMIN);

        assert_fails(&op, hf_service_approve(world.service, &op, cases[i].id), cases[i].code);
    }
}

/* --- the job that destroys what is due --- */

static void the_job_destroys_what_is_due_and_leaves_the_rest_to_people(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN), system = small_world_op(0);
    struct hf_key_info *info = NULL;
    unsigned lines;

    (void)unused;
    new_key(RING, "gone");
    new_key(RING, "stays");
    new_key(TWO, "version");
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "gone", "old"));
    assert_ok(&root,
              hf_service_key_state(world.service, &root, TWO, "version", 1, HF_KEY_DEACTIVATE, ""));
    assert_fails(&root,
                 hf_service_key_destroy(world.service, &root, TWO, "version", 1, false, "old"),
                 HF_WRONG_STATE);
    assert_ok(&admin, hf_service_approve(world.service, &admin, approvals_now().last.id));
    assert_ok(&root, hf_service_key_destroy(world.service, &root, TWO, "version", 1, false, "old"));
    world_jobs();
    assert_int_equal(world_notes(EVENT("key.destroy", "ok", "system"), NULL), 0);
    overdue_key("two-people");

    world_jobs();
    assert_int_equal(world_notes(EVENT("key.destroy", "ok", "system"), NULL), 2);
    assert_int_equal(world_notes(EVENT("key.destroy", "ok", "system"), "\"key\":\"gone\""), 1);
    assert_int_equal(world_notes(EVENT("key.destroy", "ok", "system"), "\"key\":\"version\""), 1);
    assert_fails(&root, hf_key_get(world.keys, &root, RING, "gone", true, &info), HF_NOT_FOUND);
    assert_int_equal(root.cause, HF_CAUSE_VERSION_DESTROYED);
    assert_true(is_there("two-people"));

    /* What cannot go fills no trail. */
    lines = world_lines(NULL, NULL, NULL);
    world_jobs();
    assert_int_equal(world_lines(NULL, NULL, NULL), lines);
    assert_fails(&system, destroy_by(&system, "two-people"), HF_WRONG_STATE);
}

/* --- the form in the store --- */

static void the_record_is_that_of_the_document(void **unused)
{
    /* docs/formats/approval.md */
    HF_AUTO(secret) vector = world_secret_hex(
        "010000000b6b65792e64657374726f7900000004686466730000000573616c6573ffffffff000000"
        "20436816ea97d0d20858129564c4c9ec5c5fae1fec4a742f08752cad6b0f99923100000009756e69"
        "783a726f6f74000001a3185c5000000001a31d82ac0000000000000000000000000000");
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    HF_AUTO(opened) record = NULL;
    HF_AUTO_STRING path = NULL;
    struct hf_key_info *info = NULL;

    (void)unused;
    new_key(RING, "sales");
    assert_ok(&root, hf_service_key_delete(world.service, &root, RING, "sales", ""));
    assert_fails(
        &root, hf_service_key_destroy(world.service, &root, RING, "sales", HF_LATEST, true, "now"),
        HF_WRONG_STATE);
    path = hf_format("approval/%s", approvals_now().last.id);
    assert_ok(&root, hf_seal_get(small_world.seal, &root, HF_KIND_APPROVAL, path, &record));
    assert_true(hf_secret_equal(record->plain, vector));

    /* And it is read: one that another program wrote works like ours. */
    assert_ok(&root, small_world_put(HF_KIND_APPROVAL, "approval/00000000000000000000000000000001",
                                     0, hf_secret_bytes(vector)));
    assert_ok(&admin,
              hf_service_approve(world.service, &admin, "00000000000000000000000000000001"));
    assert_ok(&root,
              hf_service_key_destroy(world.service, &root, RING, "sales", HF_LATEST, true, "now"));
    assert_fails(&root, hf_key_get(world.keys, &root, RING, "sales", true, &info), HF_NOT_FOUND);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(a_destruction_waits_for_a_second_person_and_happens_once),
        test_of(nobody_approves_alone),
        test_of(an_approval_is_for_just_what_was_asked),
        test_of(an_approval_is_not_for_a_later_key_of_the_name),
        test_of(an_approval_ends_after_a_day),
        test_of(what_could_not_happen_anyway_asks_nobody),
        test_of(force_takes_two_people_in_every_keyring),
        test_of(the_second_person_cannot_be_switched_off_alone),
        test_of(an_approved_request_can_be_repeated_under_its_id),
        test_of(an_approval_used_and_the_effect_come_together),
        test_of(wrong_ids_are_refused),
        test_of(the_record_is_that_of_the_document),
        test_of(the_job_destroys_what_is_due_and_leaves_the_rest_to_people),
    };

    return cmocka_run_group_tests_name("service approval", tests, world_start, world_stop);
}
