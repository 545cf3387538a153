/* Slots added, proven and removed, and the root that rotates: who may, who is asked, what is kept.
 */
#include <stdio.h>
#include <string.h>

#include "world.h"

static struct hf_protector_settings people(const struct hf_secret *passphrase)
{
    return (struct hf_protector_settings){ .kind = "passphrase",
                                           .passphrase = passphrase,
                                           .argon2_memory_kib = 8192,
                                           .argon2_passes = 1 };
}

static struct hf_status add(const char *who, const char *name, const char *passphrase,
                            struct hf_slot_info *out)
{
    HF_AUTO(secret) secret = world_secret(passphrase, strlen(passphrase));
    struct hf_protector_settings settings = people(secret);
    struct hf_op op = world_as(who);

    return hf_service_slot_add(world.service, &op, name, true, &settings, out);
}

static struct hf_status test_slot(const char *who, const char *name, const char *passphrase,
                                  struct hf_slot_info *out)
{
    HF_AUTO(secret) secret = world_secret(passphrase, strlen(passphrase));
    struct hf_protector_settings settings = people(secret);
    struct hf_op op = world_as(who);

    return hf_service_slot_test(world.service, &op, name, &settings, out);
}

static struct hf_root_info root_now(void)
{
    struct hf_op carol = world_as(CAROL);
    struct hf_root_info info = { 0 };

    assert_ok(&carol, hf_service_root_status(world.service, &carol, &info));
    return info;
}

/* The daemon's job, to its end. */
static void finish_rotation(void)
{
    world_jobs();
    assert_false(root_now().moving);
}

struct named {
    const char *name;
    bool found;
    struct hf_slot_info info;
};

static void match(void *context, const struct hf_slot_info *slot)
{
    struct named *named = context;

    if (strcmp(slot->name, named->name) == 0) {
        named->found = true;
        named->info = *slot;
    }
}

static struct named find(const char *name)
{
    struct hf_op carol = world_as(CAROL);
    struct named named = { .name = name };

    assert_ok(&carol, hf_service_slots(world.service, &carol, match, &named));
    return named;
}

static void a_slot_is_proven_by_its_secret_only(void **unused)
{
    struct hf_slot_info slot = { .name = "" };
    struct hf_slot_info tested = { .name = "" };

    (void)unused;
    assert_int_equal(add(ROOT, "people", "right", &slot).code, HF_OK);
    assert_int_equal(add(ROOT, "people", "other", &tested).code, HF_EXISTS);
    assert_int_equal(test_slot(ROOT, "people", "right", &tested).code, HF_OK);
    assert_string_equal(tested.id, slot.id);
    assert_int_equal(test_slot(ROOT, slot.id, "right", &tested).code, HF_OK);
    assert_int_equal(test_slot(ROOT, "people", "wrong", &tested).code, HF_DENIED);
    assert_int_equal(test_slot(ROOT, "nobody", "right", &tested).code, HF_NOT_FOUND);
    assert_int_equal(test_slot(ROOT, "node", "right", &tested).code, HF_INVALID);
    assert_true(world_lines(EVENT("slot.test", "ok", ROOT), "slot 'people'", NULL) == 2);
    assert_true(world_lines(EVENT("slot.test", "denied", ROOT), NULL, NULL) == 1);
}

static void only_operators_change_slots_and_root(void **unused)
{
    static const char *const others[] = { MALLORY, ALICE, CAROL };
    struct hf_slot_info slot;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        struct hf_op op = world_as(others[i]);
        uint32_t generation = 0;

        assert_int_equal(add(others[i], "mine", "secret", &slot).code, HF_DENIED);
        assert_int_equal(test_slot(others[i], "node", "secret", &slot).code, HF_DENIED);
        assert_fails(&op, hf_service_slot_remove(world.service, &op, "node", true, &generation),
                     HF_DENIED);
        assert_fails(&op, hf_service_root_rotate(world.service, &op, &generation), HF_DENIED);
    }
    assert_int_equal(root_now().generation, 1);
}

static void a_rotation_is_recorded_at_both_ends_and_keys_stay_open(void **unused)
{
    struct hf_op root = world_as(ROOT), alice = world_as(ALICE), later = world_as(ROOT);
    struct hf_edek edek;
    HF_AUTO(secret) data_key = NULL;
    uint32_t generation = 0;

    (void)unused;
    (void)world_key("k", HF_ALG_AES_256);
    assert_ok(&alice, hf_service_hadoop_generate(world.service, &alice, RING, "k", 1, &edek));
    assert_ok(&root, hf_service_root_rotate(world.service, &root, &generation));
    assert_int_equal(generation, 2);
    assert_true(root_now().moving);
    assert_fails(&later, hf_service_root_rotate(world.service, &later, &generation),
                 HF_WRONG_STATE);
    (void)world_key("meanwhile", HF_ALG_AES_128);
    finish_rotation();
    assert_int_equal(world_notes(EVENT("root.rotate", "ok", ROOT), "a new root key"), 1);
    assert_int_equal(world_lines("root.rotate", "every record is under root generation 2", NULL),
                     1);
    assert_ok(&alice,
              hf_service_hadoop_decrypt(world.service, &alice, RING, "k", &edek, &data_key));
    /* A key is changed on top of the revision that the job has written. */
    assert_ok(&root,
              hf_service_key_rotate(world.service, &root, RING, "k", NULL, &generation, NULL));
    assert_int_equal(generation, 2);
    world_restart();
    assert_int_equal(root_now().generation, 2);
    hf_secret_free(data_key);
    data_key = NULL;
    assert_ok(&alice,
              hf_service_hadoop_decrypt(world.service, &alice, RING, "k", &edek, &data_key));
}

static void a_repeated_request_rotates_once(void **unused)
{
    struct hf_op root = world_as(ROOT);
    uint32_t generation = 0;

    (void)unused;
    root.request_id = world_request(1);
    assert_ok(&root, hf_service_root_rotate(world.service, &root, &generation));
    finish_rotation();
    generation = 0;
    assert_ok(&root, hf_service_root_rotate(world.service, &root, &generation));
    assert_int_equal(generation, 2);
    assert_int_equal(root_now().generation, 2);
}

static void what_opens_alone_is_not_removed(void **unused)
{
    static const struct {
        const char *says;
        const char *slot;
        enum hf_code code;
    } cases[] = {
        { "the only proven one", "node", HF_WRONG_STATE },
        { "one that is not there", "nobody", HF_NOT_FOUND },
        { "one that is not proven, while another is", "people", HF_OK },
        { "the last", "node", HF_WRONG_STATE },
    };
    HF_AUTO_STRING file = small_world_path("node.key");
    struct hf_protector_settings key = { .kind = "keyfile", .file = file };
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;
    uint32_t generation = 0;

    (void)unused;
    assert_int_equal(add(ROOT, "people", "right", &slot).code, HF_OK);
    if (find("offline").found) {
        assert_ok(&root,
                  hf_service_slot_remove(world.service, &root, "offline", true, &generation));
    }
    assert_ok(&root, hf_service_root_rotate(world.service, &root, &generation));
    finish_rotation();
    assert_int_equal(find("people").info.proven_generation, 1);
    assert_ok(&root, hf_service_slot_test(world.service, &root, "node", &key, &slot));
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(ROOT);
        struct hf_status status =
            hf_service_slot_remove(world.service, &op, cases[i].slot, true, &generation);

        if (status.code != cases[i].code) {
            fail_msg("%s: code %d: %s", cases[i].says, status.code, op.text);
        }
    }
    assert_int_equal(world_notes(EVENT("slot.change", "ok", ROOT), "people"), 1);
    assert_int_equal(world_notes(EVENT("slot.remove", "ok", ROOT), "removed slot 'people'"), 1);
}

static void a_removal_rotates_the_root_in_the_same_commit(void **unused)
{
    HF_AUTO(secret) right = world_secret("right", 5);
    struct hf_protector_settings settings = people(right);
    struct hf_op root = world_as(ROOT);
    struct hf_slot_info slot;
    uint32_t generation = 0;
    uint64_t before;

    (void)unused;
    assert_int_equal(add(ROOT, "people", "right", &slot).code, HF_OK);
    before = world_seq();
    root.request_id = world_request(2);
    assert_ok(&root, hf_service_slot_remove(world.service, &root, "people", false, &generation));
    assert_int_equal(generation, 2);
    assert_true(world_seq() == before + 1);
    assert_int_equal(world_notes(EVENT("slot.remove", "ok", ROOT), "with a new root"), 1);
    finish_rotation();
    /* Asked again, it is the first answer. */
    generation = 0;
    assert_ok(&root, hf_service_slot_remove(world.service, &root, "people", false, &generation));
    assert_int_equal(generation, 2);
    memset(&root.request_id, 0, sizeof root.request_id);
    assert_fails(&root, hf_service_slot_remove(world.service, &root, "people", false, &generation),
                 HF_NOT_FOUND);
    assert_ok(&root, hf_service_lock(world.service, &root));
    assert_fails(&root, hf_service_unlock(world.service, &root, &settings, &slot), HF_NOT_FOUND);
}

struct waiting {
    size_t count;
    char id[33];
    char operation[64];
};

static void note_waiting(void *context, const struct hf_approval_info *info)
{
    struct waiting *waiting = context;

    waiting->count++;
    memcpy(waiting->id, info->id, sizeof waiting->id);
    memcpy(waiting->operation, info->operation, sizeof waiting->operation);
}

static struct waiting waiting_now(void)
{
    struct hf_op admin = world_as(ADMIN);
    struct waiting waiting = { .count = 0 };

    assert_ok(&admin, hf_service_approval_list(world.service, &admin, note_waiting, &waiting));
    return waiting;
}

static void a_keyring_can_ask_for_two_people(void **unused)
{
    struct hf_op root = world_as(ROOT), admin = world_as(ADMIN);
    struct hf_keyring_settings settings;
    struct hf_slot_info slot;
    struct waiting waiting;
    uint32_t generation = 0;

    (void)unused;
    assert_int_equal(add(ROOT, "people", "right", &slot).code, HF_OK);
    hf_keyring_settings_default(&settings);
    settings.approve_slot_removal = true;
    world_ring("careful", &settings);

    /* Nobody is asked for what cannot be. */
    assert_fails(&root, hf_service_slot_remove(world.service, &root, "nobody", false, &generation),
                 HF_NOT_FOUND);
    assert_int_equal(waiting_now().count, 0);
    assert_fails(&root, hf_service_slot_remove(world.service, &root, "people", false, &generation),
                 HF_WRONG_STATE);
    waiting = waiting_now();
    assert_int_equal(waiting.count, 1);
    assert_string_equal(waiting.operation, "slot.remove");
    assert_non_null(strstr(root.text, waiting.id));
    assert_true(find("people").found);
    assert_fails(&root, hf_service_approve(world.service, &root, waiting.id), HF_DENIED);
    assert_ok(&admin, hf_service_approve(world.service, &admin, waiting.id));
    /* It was for a removal with a new root. */
    assert_fails(&root, hf_service_slot_remove(world.service, &root, "people", true, &generation),
                 HF_WRONG_STATE);
    assert_ok(&root, hf_service_slot_remove(world.service, &root, "people", false, &generation));
    assert_int_equal(generation, 2);
    assert_false(find("people").found);
    assert_fails(&admin, hf_service_approve(world.service, &admin, waiting.id), HF_WRONG_STATE);
}

static void nothing_happens_where_it_may_not_wait(void **unused)
{
    struct hf_op root = world_as(ROOT);
    HF_AUTO(secret) right = world_secret("right", 5);
    struct hf_protector_settings settings = people(right);
    uint64_t before = world_seq();
    struct hf_slot_info slot;
    uint32_t generation = 0;

    (void)unused;
    root.may_wait = false;
    assert_fails(&root, hf_service_slot_add(world.service, &root, "people", true, &settings, &slot),
                 HF_LATER);
    assert_fails(&root, hf_service_slot_test(world.service, &root, "node", &settings, &slot),
                 HF_LATER);
    assert_fails(&root, hf_service_slot_remove(world.service, &root, "node", true, &generation),
                 HF_LATER);
    assert_fails(&root, hf_service_root_rotate(world.service, &root, &generation), HF_LATER);
    assert_true(world_seq() == before);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_slot_is_proven_by_its_secret_only),
        CASE(only_operators_change_slots_and_root),
        CASE(a_rotation_is_recorded_at_both_ends_and_keys_stay_open),
        CASE(a_repeated_request_rotates_once),
        CASE(what_opens_alone_is_not_removed),
        CASE(a_removal_rotates_the_root_in_the_same_commit),
        CASE(a_keyring_can_ask_for_two_people),
        CASE(nothing_happens_where_it_may_not_wait),
    };

    return cmocka_run_group_tests_name("slot", tests, world_start, world_stop);
}
