/* Sealed records: their bytes, what their tags bind, and salts. */
#include "plain_world.h"

#include <stdlib.h>
#include <string.h>

#define PATH "key/sales/orders"

/* docs/formats/record.md */
static const char record_vector[] =
    "01070000000001404142434445464748494a4b4c4d4e4f606162636465666768696a6b00000000"
    "632388ac782cc6fd751866abfd981cc2da628c7d7554fbf9f5bb6f5570b20a021368a4d22dcab0";
static const char tombstone_vector[] =
    "01070200000001404142434445464748494a4b4c4d4e4f606162636465666768696a6b00000000"
    "f785225e31f45f9fc4f9c9fb2ddc084a";
static const char commitment_vector[] =
    "03809d9cb837f30708b79112a72abed18486bef782c210b9d636e3923cc859c5";

static struct hf_buf *seal_text(struct plain_world *world, uint8_t kind, uint8_t flags,
                                const char *path, uint64_t revision, const char *text)
{
    struct hf_buf *body = hf_buf_new();
    struct hf_record_place place = { path, revision };

    assert_ok(&world->op, hf_record_seal(world->unlocked, &world->op, kind, flags, &place,
                                         hf_bytes_of_text(text), body));
    return body;
}

static struct hf_status open_at(struct hf_unlocked *unlocked, struct hf_op *op, const char *path,
                                uint64_t revision, struct hf_bytes body)
{
    struct hf_record_place place = { path, revision };
    struct hf_record_parts parts;
    HF_AUTO(secret) plain = NULL;

    return hf_record_open(unlocked, op, &place, body, &parts, &plain);
}

static void a_record_has_the_documented_bytes(void **state)
{
    struct plain_world *world = *state;
    struct hf_record_place place = { PATH, 3 };
    struct hf_record_place next = { PATH, 4 };
    HF_AUTO(buf) record = hf_buf_new();
    HF_AUTO(buf) tombstone = hf_buf_new();
    uint8_t commitment[HF_SHA256_LEN];

    assert_ok(&world->op, hf_record_seal_with(world->unlocked, &world->op, HF_KIND_KEY, 0, &place,
                                              hf_bytes_of_text("content of a key record"),
                                              plain_salt, plain_nonce, record));
    expect_hex("record", hf_buf_bytes(record), record_vector);
    assert_ok(&world->op,
              hf_record_seal_with(world->unlocked, &world->op, HF_KIND_KEY, HF_RECORD_TOMBSTONE,
                                  &next, HF_BYTES_NONE, plain_salt, plain_nonce, tombstone));
    expect_hex("tombstone", hf_buf_bytes(tombstone), tombstone_vector);
    assert_ok(&world->op,
              hf_root_commitment(world->crypto, &world->op, world->unlocked->roots.current.secret,
                                 world->unlocked->store_id, 1, commitment));
    expect_hex("commitment", hf_bytes_of(commitment, sizeof commitment), commitment_vector);
}

static void the_documented_bytes_open(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) body = bytes_of_hex(record_vector);
    struct hf_record_place place = { PATH, 3 };
    struct hf_record_parts parts;
    HF_AUTO(secret) plain = NULL;

    assert_ok(&world->op, hf_record_open(world->unlocked, &world->op, &place, hf_buf_bytes(body),
                                         &parts, &plain));
    assert_int_equal(parts.kind, HF_KIND_KEY);
    assert_true(hf_bytes_equal_text(hf_secret_bytes(plain), "content of a key record"));
}

static void every_flipped_bit_is_found(void **state)
{
    struct plain_world *world = *state;
    struct hf_buf *bodies[] = {
        seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content"),
        seal_text(world, HF_KIND_KEY, HF_RECORD_TOMBSTONE, PATH, 3, ""),
        seal_text(world, HF_KIND_SLOT, HF_RECORD_CLEAR, PATH, 3, "readable"),
    };

    for (size_t i = 0; i < HF_COUNT(bodies); i++) {
        struct hf_buf *body = bodies[i];

        assert_ok(&world->op, open_at(world->unlocked, &world->op, PATH, 3, hf_buf_bytes(body)));
        for (size_t bit = 0; bit < 8 * body->len; bit++) {
            struct hf_status status;

            body->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
            status = open_at(world->unlocked, &world->op, PATH, 3, hf_buf_bytes(body));
            body->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
            if (status.code != HF_CORRUPT || world->op.cause != HF_CAUSE_ALTERED) {
                fail_msg("body %zu with bit %zu flipped: %s", i, bit, hf_code_name(status.code));
            }
        }
        hf_buf_free(body);
    }
}

static void every_cut_and_every_added_byte_is_found(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) body = seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content");

    for (size_t len = 0; len < body->len; len++) {
        assert_fails(&world->op,
                     open_at(world->unlocked, &world->op, PATH, 3, hf_bytes_of(body->data, len)),
                     HF_CORRUPT);
    }
    hf_put_u8(body, 0);
    assert_fails(&world->op, open_at(world->unlocked, &world->op, PATH, 3, hf_buf_bytes(body)),
                 HF_CORRUPT);
}

static const struct {
    const char *says;
    const char *path;
    uint64_t revision;
    uint8_t root;
    uint8_t store;
    enum hf_code code;
} places[] = {
    { "its own place", PATH, 3, 0, 0xa0, HF_OK },
    { "another path", "key/sales/order", 3, 0, 0xa0, HF_CORRUPT },
    { "a longer path", PATH "s", 3, 0, 0xa0, HF_CORRUPT },
    { "an empty path", "", 3, 0, 0xa0, HF_CORRUPT },
    { "an older revision", PATH, 2, 0, 0xa0, HF_CORRUPT },
    { "a newer revision", PATH, 4, 0, 0xa0, HF_CORRUPT },
    { "another root", PATH, 3, 1, 0xa0, HF_CORRUPT },
    { "another store under the same root", PATH, 3, 0, 0xa1, HF_CORRUPT },
};

static void a_record_opens_at_its_own_place_only(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) body = seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content");

    for (size_t i = 0; i < HF_COUNT(places); i++) {
        HF_AUTO(unlocked) unlocked = plain_other(world, places[i].root, places[i].store);
        struct hf_status status =
            open_at(unlocked, &world->op, places[i].path, places[i].revision, hf_buf_bytes(body));

        if (status.code != places[i].code) {
            fail_msg("%s: %s", places[i].says, hf_code_name(status.code));
        }
    }
}

static void content_and_paths_have_limits(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) big = hf_buf_new();
    HF_AUTO(buf) body = hf_buf_new();
    char path[HF_PATH_MAX + 2];
    struct hf_record_place place = { PATH, 1 };
    struct hf_op *op = &world->op;

    memset(hf_buf_reserve(big, HF_CONTENT_MAX + 1), 'x', HF_CONTENT_MAX + 1);
    hf_buf_grew(big, HF_CONTENT_MAX + 1);
    assert_fails(
        op, hf_record_seal(world->unlocked, op, HF_KIND_KEY, 0, &place, hf_buf_bytes(big), body),
        HF_TOO_LARGE);
    assert_int_equal(body->len, 0);
    assert_ok(op, hf_record_seal(world->unlocked, op, HF_KIND_KEY, 0, &place,
                                 hf_bytes_of(big->data, HF_CONTENT_MAX), body));
    assert_ok(op, open_at(world->unlocked, op, PATH, 1, hf_buf_bytes(body)));

    memset(path, 'p', sizeof path);
    path[HF_PATH_MAX + 1] = '\0';
    place.path = path;
    assert_fails(op,
                 hf_record_seal(world->unlocked, op, HF_KIND_KEY, 0, &place, HF_BYTES_NONE, body),
                 HF_TOO_LARGE);
    path[HF_PATH_MAX] = '\0';
    hf_buf_clear(body);
    assert_ok(op, hf_record_seal(world->unlocked, op, HF_KIND_KEY, 0, &place, HF_BYTES_NONE, body));
    assert_ok(op, open_at(world->unlocked, op, path, 1, hf_buf_bytes(body)));
}

static bool same_salt(const struct hf_buf *a, const struct hf_buf *b)
{
    return memcmp(a->data + 7, b->data + 7, HF_SALT_LEN) == 0;
}

static void a_salt_is_renewed_after_its_uses(void **state)
{
    struct plain_world *world = *state;
    struct hf_buf *bodies[7];

    assert_true(world->unlocked->record_salt.max_uses == (uint64_t)1 << 30);
    world->unlocked->record_salt.max_uses = 3;
    for (size_t i = 0; i < HF_COUNT(bodies); i++) {
        bodies[i] = seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content");
    }
    for (size_t i = 1; i < HF_COUNT(bodies); i++) {
        assert_int_equal(same_salt(bodies[i - 1], bodies[i]), i % 3 != 0);
        assert_memory_not_equal(bodies[i - 1]->data + 23, bodies[i]->data + 23, HF_GCM_NONCE_LEN);
    }
    for (size_t i = 0; i < HF_COUNT(bodies); i++) {
        assert_ok(&world->op,
                  open_at(world->unlocked, &world->op, PATH, 3, hf_buf_bytes(bodies[i])));
        hf_buf_free(bodies[i]);
    }
}

/* More salts than contexts are kept: the oldest go, and come back when they are needed. */
static void more_salts_than_contexts_still_open(void **state)
{
    struct plain_world *world = *state;
    struct hf_buf *bodies[300];

    world->unlocked->record_salt.max_uses = 1;
    for (size_t i = 0; i < HF_COUNT(bodies); i++) {
        bodies[i] = seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content");
    }
    for (size_t i = 0; i < HF_COUNT(bodies); i++) {
        assert_ok(&world->op,
                  open_at(world->unlocked, &world->op, PATH, 3, hf_buf_bytes(bodies[i])));
        hf_buf_free(bodies[i]);
    }
}

/* Fills locked memory to the last block of that size. */
static size_t fill_arena(struct hf_op *op, struct hf_secret **out, size_t max, size_t len)
{
    size_t count = 0;

    while (count < max && hf_secret_new(op, len, &out[count]).code == HF_OK) {
        count++;
    }
    hf_op_clear(op);
    return count;
}

/* Contexts are kept for speed only, so their memory is there for whoever needs it. */
static void idle_contexts_make_room_when_locked_memory_is_full(void **state)
{
    struct plain_world *world = *state;
    struct hf_op *op = &world->op;
    size_t max = 1 << 20;
    struct hf_secret **all = hf_alloc_array(max, sizeof *all);
    size_t count;

    world->unlocked->record_salt.max_uses = 1;
    for (size_t i = 0; i < 200; i++) {
        hf_buf_free(seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content"));
    }
    /* Small secrets, as keys are, take the rest. */
    count = fill_arena(op, all, max, 48);
    /* New salts, so new contexts: without those that go there is no room for them. */
    for (size_t i = 0; i < 100; i++) {
        hf_buf_free(seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content"));
    }
    for (size_t i = 0; i < count; i++) {
        hf_secret_free(all[i]);
    }
    free(all);
}

static void full_locked_memory_is_a_clear_refusal(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(buf) body = seal_text(world, HF_KIND_KEY, 0, PATH, 3, "content");
    struct hf_op *op = &world->op;
    size_t max = 1 << 20;
    struct hf_secret **all = hf_alloc_array(max, sizeof *all);
    size_t count = 0;

    for (size_t len = 65536; len >= 16; len /= 2) {
        count += fill_arena(op, all + count, max - count, len);
    }
    assert_true(count < max);
    assert_fails(op, open_at(world->unlocked, op, PATH, 3, hf_buf_bytes(body)), HF_NO_SPACE);
    for (size_t i = 0; i < count; i++) {
        hf_secret_free(all[i]);
    }
    free(all);
    assert_ok(op, open_at(world->unlocked, op, PATH, 3, hf_buf_bytes(body)));
}

/* docs/formats/root.md */
static const char root_content[] =
    "0100000002000001a20072e79b000000000000000000000020"
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
static const char root_record[] =
    "010f0000000001404142434445464748494a4b4c4d4e4f606162636465666768696a6b00000000"
    "014ce6d81f42b2dcb87e342d46f379bbfa10e91e1a269f1095e1783435978f12b8e8563569c06fbf8d19bff8"
    "1815390193ce8d9b5168ec398f07d186f02aaa2f01be5a563544fef951";

static void a_root_in_a_record_has_the_documented_bytes(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO_STRING path = hf_root_path(2);
    struct hf_record_place place = { path, 1 };
    struct hf_root_record root = { .generation = 2, .begun_ms = 1795303860123 };
    struct hf_root_record again;
    HF_AUTO(secret) content = NULL;
    HF_AUTO(buf) body = hf_buf_new();
    uint8_t bytes[HF_ROOT_LEN];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(0x20 + i);
    }
    root.root = hf_bytes_of(bytes, sizeof bytes);
    assert_string_equal(path, "root/0000000002");
    assert_ok(&world->op, hf_root_record_encode(&world->op, &root, &content));
    expect_hex("content", hf_secret_bytes(content), root_content);
    assert_ok(&world->op,
              hf_record_seal_with(world->unlocked, &world->op, HF_KIND_ROOT, 0, &place,
                                  hf_secret_bytes(content), plain_salt, plain_nonce, body));
    expect_hex("record", hf_buf_bytes(body), root_record);
    assert_ok(&world->op, hf_root_record_parse(&world->op, hf_secret_bytes(content), &again));
    assert_true(again.generation == 2 && again.begun_ms == root.begun_ms && again.ended_ms == 0);
    assert_true(hf_bytes_equal(again.root, root.root));
}

static const struct {
    const char *says;
    size_t at;
    uint8_t value;
    size_t cut;
} bad_roots[] = {
    { "another format", 0, 2, 0 },
    { "no generation", 4, 0, 0 },
    { "half a root", 24, 16, 16 },
    { "cut short", 0, 1, 1 },
};

static void what_is_no_root_is_refused(void **state)
{
    struct plain_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(bad_roots); i++) {
        HF_AUTO(buf) content = bytes_of_hex(root_content);
        struct hf_root_record root;
        struct hf_status status;

        content->data[bad_roots[i].at] = bad_roots[i].value;
        content->len -= bad_roots[i].cut;
        status = hf_root_record_parse(&world->op, hf_buf_bytes(content), &root);
        if (status.code != HF_CORRUPT) {
            fail_msg("%s: code %d", bad_roots[i].says, status.code);
        }
        hf_op_clear(&world->op);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_record_has_the_documented_bytes, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(the_documented_bytes_open, plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_found, plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(every_cut_and_every_added_byte_is_found, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(a_record_opens_at_its_own_place_only, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(content_and_paths_have_limits, plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(a_salt_is_renewed_after_its_uses, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(more_salts_than_contexts_still_open, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(idle_contexts_make_room_when_locked_memory_is_full,
                                        plain_setup, plain_teardown),
        cmocka_unit_test_setup_teardown(full_locked_memory_is_a_clear_refusal, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(a_root_in_a_record_has_the_documented_bytes, plain_setup,
                                        plain_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_root_is_refused, plain_setup, plain_teardown),
    };

    world_start_process((size_t)8 << 20);
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
