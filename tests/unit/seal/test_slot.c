/* Slots as bytes: their form, and every way of altering them. */
#include "plain_world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH "slot/101112131415161718191a1b1c1d1e1f"

/* docs/formats/wrapped.md */
static const char clear_vector[] =
    "01101112131415161718191a1b1c1d1e1f000000066e6f64652d31000000076b657966696c6501"
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
    "000000147772617070656420707269766174652068616c66000000010000001e"
    "726f6f74207365616c656420746f20746865207075626c69632068616c66"
    "000001a20072e79b000001a20072e8e8";
static const char tag_vector[] = "58505783a87186c276a64df972e3e6b1";

static struct hf_slot *documented_slot(void)
{
    struct hf_slot *slot = hf_alloc(sizeof *slot);

    for (size_t i = 0; i < HF_SLOT_ID_LEN; i++) {
        slot->id[i] = (uint8_t)(0x10 + i);
    }
    for (size_t i = 0; i < HF_X25519_LEN; i++) {
        slot->public_key[i] = (uint8_t)(0x80 + i);
    }
    slot->name = hf_strdup("node-1");
    slot->protector = hf_strdup("keyfile");
    slot->offline = true;
    hf_buf_add_text(&slot->wrapped_private, "wrapped private half");
    slot->root_generation = 1;
    hf_buf_add_text(&slot->sealed_root, "root sealed to the public half");
    slot->created_ms = 1795303860123;
    slot->proven_ms = 1795303860456;
    slot->proven_generation = 1;
    return slot;
}

static void a_slot_has_the_documented_bytes(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(slot) slot = documented_slot();
    HF_AUTO(buf) clear = hf_buf_new();
    HF_AUTO(buf) body = hf_buf_new();
    HF_AUTO_STRING path = hf_slot_path(slot->id);
    struct hf_record_place place = { path, 1 };

    assert_string_equal(path, PATH);
    hf_slot_encode(slot, clear);
    expect_hex("clear part", hf_buf_bytes(clear), clear_vector);
    assert_ok(&world->op,
              hf_record_seal_with(world->unlocked, &world->op, HF_KIND_SLOT, HF_RECORD_CLEAR,
                                  &place, hf_buf_bytes(clear), plain_salt, plain_nonce, body));
    expect_hex("tag", hf_bytes_of(body->data + body->len - HF_GCM_TAG_LEN, HF_GCM_TAG_LEN),
               tag_vector);
}

static void the_documented_bytes_are_a_slot(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) clear = bytes_of_hex(clear_vector);
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_slot_info info;

    assert_ok(&world->op, hf_slot_parse(&world->op, hf_buf_bytes(clear), &slot));
    hf_slot_encode(slot, again);
    assert_true(hf_bytes_equal(hf_buf_bytes(clear), hf_buf_bytes(again)));
    hf_slot_describe(slot, false, &info);
    assert_string_equal(info.id, &PATH[5]);
    assert_string_equal(info.name, "node-1");
    assert_string_equal(info.protector, "keyfile");
    assert_true(info.offline && !info.needs_human && !info.verified);
    assert_int_equal(info.root_generation, 1);
    assert_true(info.created_ms == 1795303860123 && info.proven_ms == 1795303860456);
}

/* Format 2: it holds root 2, and was proven for root 1. */
static void a_slot_after_a_rotation_has_the_documented_bytes(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(slot) slot = documented_slot();
    HF_AUTO(slot) parsed = NULL;
    HF_AUTO(buf) wanted = bytes_of_hex(clear_vector);
    HF_AUTO(buf) clear = hf_buf_new();
    size_t generation_at = wanted->len - 16 - 30 - 4 - 1;

    slot->root_generation = 2;
    wanted->data[0] = 2;
    wanted->data[generation_at] = 2;
    hf_put_u32(wanted, 1);
    hf_slot_encode(slot, clear);
    assert_true(hf_bytes_equal(hf_buf_bytes(clear), hf_buf_bytes(wanted)));
    assert_ok(&world->op, hf_slot_parse(&world->op, hf_buf_bytes(clear), &parsed));
    assert_true(parsed->root_generation == 2 && parsed->proven_generation == 1);
}

/* Format 2 of a slot that format 1 can hold: it would have two forms. */
static void a_longer_form_without_need_is_none(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) clear = bytes_of_hex(clear_vector);
    HF_AUTO(slot) slot = NULL;

    clear->data[0] = 2;
    hf_put_u32(clear, 1);
    assert_fails(&world->op, hf_slot_parse(&world->op, hf_buf_bytes(clear), &slot), HF_CORRUPT);
}

static void a_slot_cut_short_or_continued_is_none(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) clear = bytes_of_hex(clear_vector);

    for (size_t len = 0; len < clear->len; len++) {
        HF_AUTO(slot) slot = NULL;

        assert_fails(&world->op, hf_slot_parse(&world->op, hf_bytes_of(clear->data, len), &slot),
                     HF_CORRUPT);
    }
    hf_put_u8(clear, 0);
    HF_AUTO(slot) slot = NULL;
    assert_fails(&world->op, hf_slot_parse(&world->op, hf_buf_bytes(clear), &slot), HF_CORRUPT);
}

static const struct {
    const char *says;
    size_t at;
    uint8_t value;
    enum hf_code code;
} changes[] = {
    { "nothing changed", 0, 1, HF_OK },
    { "another format", 0, 2, HF_CORRUPT },
    { "a name with a line feed", 21, '\n', HF_CORRUPT },
    { "a name with a zero byte", 21, 0, HF_CORRUPT },
    { "a name that is not UTF-8", 21, 0xff, HF_CORRUPT },
    { "a protector's name with an escape", 31, 0x1b, HF_CORRUPT },
    { "an unknown flag", 38, 3, HF_CORRUPT },
    { "not offline", 38, 0, HF_OK },
};

static void a_slot_of_an_unknown_form_is_none(void **state)
{
    struct plain_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(changes); i++) {
        HF_AUTO(buf) clear = bytes_of_hex(clear_vector);
        HF_AUTO(slot) slot = NULL;
        struct hf_status status;

        clear->data[changes[i].at] = changes[i].value;
        status = hf_slot_parse(&world->op, hf_buf_bytes(clear), &slot);
        if (status.code != changes[i].code) {
            fail_msg("%s: %s", changes[i].says, hf_code_name(status.code));
        }
    }
}

static void names_have_limits(void **state)
{
    struct plain_world *world = *state;

    for (size_t len = 63; len <= 65; len++) {
        HF_AUTO(slot) slot = documented_slot();
        HF_AUTO(slot) parsed = NULL;
        HF_AUTO(buf) clear = hf_buf_new();
        struct hf_slot_info info;

        free(slot->name);
        slot->name = hf_alloc(len + 1);
        memset(slot->name, 'n', len);
        hf_slot_encode(slot, clear);
        if (len > 64) {
            assert_fails(&world->op, hf_slot_parse(&world->op, hf_buf_bytes(clear), &parsed),
                         HF_CORRUPT);
            continue;
        }
        assert_ok(&world->op, hf_slot_parse(&world->op, hf_buf_bytes(clear), &parsed));
        hf_slot_describe(parsed, true, &info);
        assert_int_equal(strlen(info.name), len);
    }
}

/* A slot whose wrapping, sealed root, id or generation is another's does not give the root. */
static void a_real_slot_gives_the_root_only_as_it_was_made(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO_STRING file = hf_format("/tmp/holdfast-slot-%d.key", (int)getpid());
    struct hf_protector_settings settings = { .kind = "keyfile", .file = file };
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(slot) slot = NULL;
    HF_AUTO(secret) root = NULL;
    struct hf_slot_plan plan = { "real", NULL, false };
    struct hf_op *op = &world->op;
    const uint8_t *id = world->unlocked->store_id;
    uint8_t other_id[HF_STORE_ID_LEN] = { 0 };

    assert_ok(op, hf_keyfile_create(world->crypto, op, file));
    assert_ok(op, hf_protector_open(world->crypto, op, &settings, &protector));
    (void)unlink(file);
    plan.protector = protector;
    assert_ok(op, hf_slot_make(world->unlocked, op, &plan, &slot));
    assert_ok(op, hf_slot_open_root(world->crypto, op, id, slot, protector, &root));
    assert_true(hf_secret_equal(root, world->unlocked->roots.current.secret));

    for (size_t i = 0; i < slot->sealed_root.len; i++) {
        HF_AUTO(secret) none = NULL;

        slot->sealed_root.data[i] ^= 0x10;
        assert_fails(op, hf_slot_open_root(world->crypto, op, id, slot, protector, &none),
                     HF_CORRUPT);
        slot->sealed_root.data[i] ^= 0x10;
    }
    for (size_t i = 0; i < slot->wrapped_private.len; i++) {
        HF_AUTO(secret) none = NULL;
        struct hf_status status;

        slot->wrapped_private.data[i] ^= 0x10;
        status = hf_slot_open_root(world->crypto, op, id, slot, protector, &none);
        assert_int_not_equal(status.code, HF_OK);
        slot->wrapped_private.data[i] ^= 0x10;
    }
    HF_AUTO(secret) none = NULL;
    slot->root_generation++;
    assert_fails(op, hf_slot_open_root(world->crypto, op, id, slot, protector, &none), HF_CORRUPT);
    slot->root_generation--;
    assert_true(hf_slot_open_root(world->crypto, op, other_id, slot, protector, &none).code !=
                HF_OK);
    slot->id[0] ^= 1;
    assert_true(hf_slot_open_root(world->crypto, op, id, slot, protector, &none).code != HF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slot_has_the_documented_bytes, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(the_documented_bytes_are_a_slot, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(a_slot_after_a_rotation_has_the_documented_bytes,
                                        plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(a_longer_form_without_need_is_none, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(a_slot_cut_short_or_continued_is_none, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(a_slot_of_an_unknown_form_is_none, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(names_have_limits, plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(a_real_slot_gives_the_root_only_as_it_was_made, plain_setup,
                                        plain_teardown),
    };

    world_start_process((size_t)8 << 20);
    return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
