/* Changes: denied ones do nothing, allowed ones commit with their note, repeats give the first
 * result. */
#include <stdio.h>
#include <string.h>

#include "world.h"

/* Every change the service knows, in one form: op is the caller's, *out what it answers. */
typedef struct hf_status (*change_call)(struct hf_op *op, uint32_t *out);

static struct hf_keyring_settings default_settings(void)
{
    struct hf_keyring_settings settings;

    hf_keyring_settings_default(&settings);
    return settings;
}

static struct hf_status keyring_create(struct hf_op *op, uint32_t *out)
{
    struct hf_keyring_settings settings = default_settings();

    *out = 0;
    return hf_service_keyring_create(world.service, op, "new-ring", &settings, NULL);
}

static struct hf_status keyring_change(struct hf_op *op, uint32_t *out)
{
    struct hf_keyring_settings settings = default_settings();

    *out = 0;
    settings.destroy_wait_ms = 5 * DAY;
    return hf_service_keyring_change(world.service, op, RING, &settings);
}

static struct hf_status keyring_rotate(struct hf_op *op, uint32_t *out)
{
    return hf_service_keyring_rotate(world.service, op, RING, out);
}

static struct hf_status create(struct hf_op *op, uint32_t *out)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 3 };

    return hf_service_key_create(world.service, op, RING, "new", &plan, out, NULL);
}

static struct hf_status rotate(struct hf_op *op, uint32_t *out)
{
    return hf_service_key_rotate(world.service, op, RING, "old", NULL, out, NULL);
}

static struct hf_status set_primary(struct hf_op *op, uint32_t *out)
{
    *out = 1;
    return hf_service_key_set_primary(world.service, op, RING, "two", 1);
}

static struct hf_status rewrap(struct hf_op *op, uint32_t *out)
{
    return hf_service_key_rewrap(world.service, op, RING, "old", out);
}

static struct hf_status suspend(struct hf_op *op, uint32_t *out)
{
    *out = 1;
    return hf_service_key_state(world.service, op, RING, "old", 1, HF_KEY_SUSPEND, "holiday");
}

static struct hf_status soft_delete(struct hf_op *op, uint32_t *out)
{
    *out = 0;
    return hf_service_key_delete(world.service, op, RING, "old", "no longer used");
}

static struct hf_status recover(struct hf_op *op, uint32_t *out)
{
    *out = 0;
    return hf_service_key_recover(world.service, op, RING, "deleted");
}

static struct hf_status destroy(struct hf_op *op, uint32_t *out)
{
    *out = 0;
    return hf_service_key_destroy(world.service, op, RING, "overdue", HF_LATEST, false, "its time");
}

static struct hf_status keep(struct hf_op *op, uint32_t *out)
{
    *out = 1;
    return hf_service_key_keep(world.service, op, RING, "scheduled", 1);
}

static struct hf_status put_policy(struct hf_op *op, uint32_t *out)
{
    *out = 0;
    return hf_service_policy_put(
        world.service, op, "more",
        hf_bytes_of_text("{\"rules\":[{\"effect\":\"deny\",\"who\":[\"unix:x\"],"
                         "\"actions\":[\"*\"]}]}"));
}

static struct hf_status remove_policy(struct hf_op *op, uint32_t *out)
{
    *out = 0;
    return hf_service_policy_remove(world.service, op, "users");
}

static const struct {
    const char *says;
    change_call call;
    const char *action;
    const char *version; /* as the line has it; NULL: none */
    uint32_t answer;
    const char *allowed_to;
} changes[] = {
    { "create a keyring", keyring_create, "keyring.create", NULL, 0, ROOT },
    { "change a keyring", keyring_change, "keyring.change", NULL, 0, ROOT },
    { "rotate a keyring key", keyring_rotate, "keyring.rotate", "\"version\":2", 2, ROOT },
    { "create a key", create, "key.create", "\"version\":3", 3, ROOT },
    { "rotate a key", rotate, "key.rotate", "\"version\":2", 2, ROOT },
    { "make a version primary", set_primary, "key.rotate", "\"version\":1", 1, ROOT },
    { "rewrap a key", rewrap, "key.rewrap", NULL, 1, ROOT },
    { "suspend a version", suspend, "key.state", "\"version\":1", 1, ROOT },
    { "delete a key", soft_delete, "key.delete", NULL, 0, ROOT },
    { "recover a key", recover, "key.recover", NULL, 0, ROOT },
    { "destroy a key", destroy, "key.destroy", NULL, 0, ROOT },
    { "keep a version", keep, "key.recover", "\"version\":1", 1, ROOT },
    { "put a policy", put_policy, "policy.change", NULL, 0, ROOT },
    { "remove a policy", remove_policy, "policy.change", NULL, 0, ROOT },
};

static void prepare_deleted(const char *name)
{
    struct hf_op op = world_as(ROOT);

    (void)world_key(name, HF_ALG_AES_256);
    assert_ok(&op, hf_service_key_delete(world.service, &op, RING, name, ""));
}

/* Whatever the changes above work on. */
static int setup(void **unused)
{
    struct hf_op op;
    uint32_t version;

    assert_int_equal(world_open(unused), 0);
    op = world_as(ROOT);
    prepare_deleted("overdue");
    small_world_pass(31 * DAY);
    prepare_deleted("deleted");
    (void)world_key("old", HF_ALG_AES_256);
    (void)world_key("two", HF_ALG_AES_256);
    assert_ok(&op, hf_service_key_rotate(world.service, &op, RING, "two", NULL, &version, NULL));
    (void)world_key("scheduled", HF_ALG_AES_256);
    assert_ok(
        &op, hf_service_key_state(world.service, &op, RING, "scheduled", 1, HF_KEY_DEACTIVATE, ""));
    assert_ok(&op, hf_service_key_destroy(world.service, &op, RING, "scheduled", 1, false, ""));
    /* So that there is something to rewrap. */
    assert_ok(&op, hf_service_keyring_rotate(world.service, &op, RING, &version));
    return 0;
}

static void a_denied_change_is_recorded_and_does_nothing(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(changes); i++) {
        HF_AUTO_STRING line =
            hf_format("\"operation\":\"%s\",\"outcome\":\"denied\",\"caller\":\"" MALLORY "\"",
                      changes[i].action);
        struct hf_op op = world_as(MALLORY);
        uint64_t seq = world_seq();
        unsigned lines = world_lines(line, "no rule allows", "\"door\":\"test\"");
        uint32_t answer = 0;
        struct hf_status status = changes[i].call(&op, &answer);

        if (status.code != HF_DENIED || strcmp(op.text, hf_code_sentence(HF_DENIED)) != 0) {
            fail_msg("%s: got %s: %s", changes[i].says, hf_code_name(status.code), op.text);
        }
        if (world_seq() != seq) {
            fail_msg("%s: the store has changed", changes[i].says);
        }
        if (world_lines(line, "no rule allows", "\"door\":\"test\"") != lines + 1) {
            fail_msg("%s: the denial was not recorded once", changes[i].says);
        }
    }
}

/* Of version numbers in the table only the keyring's depends on what setup did. */
static const char *version_text(size_t i)
{
    return changes[i].call == keyring_rotate ? "\"version\":3" : changes[i].version;
}

static uint32_t answer_of(size_t i)
{
    return changes[i].call == keyring_rotate ? 3 : changes[i].answer;
}

static void an_allowed_change_commits_once_with_its_note(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    HF_AUTO_STRING line = hf_format("\"operation\":\"%s\",\"outcome\":\"ok\",\"caller\":\"%s\"",
                                    changes[i].action, changes[i].allowed_to);
    struct hf_op op = world_as(changes[i].allowed_to);
    uint64_t seq = world_seq();
    unsigned notes = world_notes(line, version_text(i));
    unsigned lines = world_lines(line, version_text(i), "\"address\":\"192.0.2.1\"");
    uint32_t answer = 0;

    assert_ok(&op, changes[i].call(&op, &answer));
    assert_int_equal(world_seq(), seq + 1);
    assert_int_equal(answer, answer_of(i));
    assert_int_equal(world_notes(line, version_text(i)), notes + 1);
    assert_int_equal(world_lines(line, version_text(i), "\"address\":\"192.0.2.1\""), lines + 1);
}

static void a_repeat_gives_the_first_result_and_changes_nothing(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    struct hf_op op = world_as(changes[i].allowed_to);
    uint32_t first = 0, second = 77;
    uint64_t seq;

    op.request_id = world_request(1);
    assert_ok(&op, changes[i].call(&op, &first));
    seq = world_seq();

    op = world_as(changes[i].allowed_to);
    op.request_id = world_request(1);
    assert_ok(&op, changes[i].call(&op, &second));
    assert_int_equal(second, first);
    assert_int_equal(world_seq(), seq);
    assert_int_equal(world_lines("asked again", changes[i].action, version_text(i)), 1);

    /* Also after a restart. */
    world_restart();
    op = world_as(changes[i].allowed_to);
    op.request_id = world_request(1);
    second = 77;
    assert_ok(&op, changes[i].call(&op, &second));
    assert_int_equal(second, first);
    assert_int_equal(world_seq(), seq);
}

static void an_id_that_was_used_is_refused_for_something_else(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    struct hf_op op = world_as(ROOT);
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128, .first_version = 1 };
    uint32_t answer;
    uint64_t seq;

    op.request_id = world_request(1);
    assert_ok(&op, hf_service_key_create(world.service, &op, RING, "first", &plan, &answer, NULL));
    seq = world_seq();
    op = world_as(changes[i].allowed_to);
    op.request_id = world_request(1);
    assert_fails(&op, changes[i].call(&op, &answer), HF_CONFLICT);
    assert_int_equal(world_seq(), seq);

    /* And for another person. */
    op = world_as(ADMIN);
    op.request_id = world_request(1);
    assert_fails(&op,
                 hf_service_key_create(world.service, &op, RING, "first", &plan, &answer, NULL),
                 HF_CONFLICT);
}

/* Fails every store call in turn: effect and note are there together, or neither. */
static void a_failing_store_leaves_effect_and_note_or_neither(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    HF_AUTO_STRING line = hf_format("\"operation\":\"%s\",\"outcome\":\"ok\",\"caller\":\"%s\"",
                                    changes[i].action, changes[i].allowed_to);
    uint64_t seq = world_seq();
    unsigned notes = world_notes(line, NULL);
    bool done = false;

    for (uint64_t call = 1; !done; call++) {
        struct hf_op op = world_as(changes[i].allowed_to);
        uint32_t answer = 0;
        struct hf_status status;

        hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, call);
        status = changes[i].call(&op, &answer);
        done = hf_failing_faults(small_world.engine) == 0;
        hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
        if (done) {
            assert_int_equal(status.code, HF_OK);
        } else if (status.code != HF_UNAVAILABLE || world_seq() != seq ||
                   world_notes(line, NULL) != notes) {
            fail_msg("%s, store call %u: got %s, and the store moved by %u", changes[i].says,
                     (unsigned)call, hf_code_name(status.code), (unsigned)(world_seq() - seq));
        }
    }
    assert_int_equal(world_seq(), seq + 1);
    assert_int_equal(world_notes(line, NULL), notes + 1);
}

static void a_change_on_a_thread_that_may_not_wait_comes_later(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    struct hf_op op = world_as(changes[i].allowed_to);
    uint64_t seq = world_seq();
    unsigned lines = world_lines(NULL, NULL, NULL);
    uint32_t answer = 0;

    op.may_wait = false;
    assert_fails(&op, changes[i].call(&op, &answer), HF_LATER);
    assert_int_equal(world_seq(), seq);
    assert_int_equal(world_lines(NULL, NULL, NULL), lines);
}

static void a_change_that_fails_is_recorded_with_its_reason(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256, .first_version = 1 };
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;
    uint64_t seq = world_seq();

    (void)unused;
    assert_fails(&op, hf_service_key_create(world.service, &op, RING, "old", &plan, &version, NULL),
                 HF_EXISTS);
    assert_fails(&op, hf_service_key_rotate(world.service, &op, RING, "none", NULL, &version, NULL),
                 HF_NOT_FOUND);
    assert_int_equal(op.cause, HF_CAUSE_UNKNOWN_KEY);
    assert_int_equal(world_seq(), seq);
    assert_int_equal(world_lines(EVENT("key.create", "exists", ROOT), "\"key\":\"old\"", NULL), 1);
    assert_int_equal(world_lines(EVENT("key.rotate", "not_found", ROOT), "\"key\":\"none\"",
                                 "\"cause\":\"unknown_key\""),
                     1);
}

static void who_is_denied_cannot_tell_whether_a_key_exists(void **unused)
{
    struct hf_op there = world_as(MALLORY), missing = world_as(MALLORY);
    uint32_t version = 0;

    (void)unused;
    assert_fails(&there,
                 hf_service_key_rotate(world.service, &there, RING, "old", NULL, &version, NULL),
                 HF_DENIED);
    assert_fails(
        &missing,
        hf_service_key_rotate(world.service, &missing, "no-ring", "none", NULL, &version, NULL),
        HF_DENIED);
    assert_string_equal(there.text, missing.text);
    assert_int_equal(there.cause, missing.cause);
}

static void material_of_a_caller_needs_the_right_to_import(void **unused)
{
    static const uint8_t bytes[32] = { 1 };
    HF_AUTO(secret) material = world_secret(bytes, sizeof bytes);
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256,
                                .first_version = 0,
                                .material = material };
    struct hf_op op = world_as(EVE); /* who may create and rotate, and no more */
    uint32_t version = 9;
    uint64_t seq = world_seq();

    (void)unused;
    assert_fails(&op,
                 hf_service_key_create(world.service, &op, RING, "mine", &plan, &version, NULL),
                 HF_DENIED);
    assert_fails(&op,
                 hf_service_key_rotate(world.service, &op, RING, "old", material, &version, NULL),
                 HF_DENIED);
    assert_int_equal(world_seq(), seq);
    assert_int_equal(world_lines(EVENT("key.import", "denied", EVE), NULL, NULL), 2);

    op = world_as(ROOT);
    assert_ok(&op, hf_service_key_create(world.service, &op, RING, "mine", &plan, &version, NULL));
    assert_int_equal(version, 0);
    assert_int_equal(world_lines(EVENT("key.create", "ok", ROOT), "\"key\":\"mine\"", "imported"),
                     1);
}

static void a_repeat_with_other_material_is_another_request(void **unused)
{
    static const uint8_t bytes[32] = { 1 }, others[32] = { 2 };
    HF_AUTO(secret) material = world_secret(bytes, sizeof bytes);
    HF_AUTO(secret) other = world_secret(others, sizeof others);
    struct hf_op op = world_as(ROOT);
    uint32_t version = 0;

    (void)unused;
    op.request_id = world_request(1);
    assert_ok(&op,
              hf_service_key_rotate(world.service, &op, RING, "old", material, &version, NULL));
    assert_fails(&op, hf_service_key_rotate(world.service, &op, RING, "old", other, &version, NULL),
                 HF_CONFLICT);
    assert_ok(&op,
              hf_service_key_rotate(world.service, &op, RING, "old", material, &version, NULL));
    assert_int_equal(version, 2);
}

static void changes_are_counted(void **unused)
{
    struct hf_metric *ok =
        hf_metrics_series(world.metrics, HF_METRIC_COUNTER, "holdfast_operations_total",
                          "operation=\"key.rotate\",outcome=\"ok\"", "");
    struct hf_metric *denied =
        hf_metrics_series(world.metrics, HF_METRIC_COUNTER, "holdfast_operations_total",
                          "operation=\"key.rotate\",outcome=\"denied\"", "");
    int64_t ok_before = hf_metric_get(ok), denied_before = hf_metric_get(denied);
    struct hf_op root = world_as(ROOT), mallory = world_as(MALLORY);
    uint32_t version;

    (void)unused;
    assert_ok(&root, rotate(&root, &version));
    assert_fails(&mallory, rotate(&mallory, &version), HF_DENIED);
    assert_int_equal(hf_metric_get(ok), ok_before + 1);
    assert_int_equal(hf_metric_get(denied), denied_before + 1);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, world_close)

/* cmocka hands the initial state to setup too, which leaves it alone. */
static void (*const per_change[])(void **state) = {
    an_allowed_change_commits_once_with_its_note,
    a_repeat_gives_the_first_result_and_changes_nothing,
    an_id_that_was_used_is_refused_for_something_else,
    a_failing_store_leaves_effect_and_note_or_neither,
    a_change_on_a_thread_that_may_not_wait_comes_later,
};
static const char *const per_change_names[] = {
    "an_allowed_change_commits_once_with_its_note",
    "a_repeat_gives_the_first_result_and_changes_nothing",
    "an_id_that_was_used_is_refused_for_something_else",
    "a_failing_store_leaves_effect_and_note_or_neither",
    "a_change_on_a_thread_that_may_not_wait_comes_later",
};

int main(void)
{
    static const struct CMUnitTest once[] = {
        test_of(a_denied_change_is_recorded_and_does_nothing),
        test_of(a_change_that_fails_is_recorded_with_its_reason),
        test_of(who_is_denied_cannot_tell_whether_a_key_exists),
        test_of(material_of_a_caller_needs_the_right_to_import),
        test_of(a_repeat_with_other_material_is_another_request),
        test_of(changes_are_counted),
    };
    struct CMUnitTest tests[HF_COUNT(once) + HF_COUNT(per_change) * HF_COUNT(changes)];
    char names[HF_COUNT(per_change) * HF_COUNT(changes)][160];
    size_t count = HF_COUNT(once);

    memcpy(tests, once, sizeof once);
    for (size_t i = 0; i < HF_COUNT(per_change); i++) {
        for (size_t j = 0; j < HF_COUNT(changes); j++) {
            char *name = names[count - HF_COUNT(once)];

            (void)snprintf(name, sizeof names[0], "%s: %s", per_change_names[i], changes[j].says);
            tests[count++] = (struct CMUnitTest){ name, per_change[i], setup, world_close,
                                                  (void *)(uintptr_t)j };
        }
    }
    return cmocka_run_group_tests_name("service control", tests, world_start, world_stop);
}
