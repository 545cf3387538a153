/* Main keys, keyring keys, and what is wrapped under them. */
#include "main_key_vector.h"
#include "plain_world.h"

#include <stdlib.h>
#include <string.h>

#define PATH "version/sales/orders/0000000003"

/* docs/formats/wrapped.md */
static const char wrapped_vector[] =
    "0100000005404142434445464748494a4b4c4d4e4f606162636465666768696a6b"
    "60f2fab5c72ac1a52b2e4e0eacbd7a9eab42752f687933bd8adca0ff5aba81d4";
static const char check_vector[] = "f65ce5ce207ceb7f62581b548ccb4b02";
static const char subkey_vector[] =
    "4510a44ef39f2200a93cca794fe70b0418ad90c1cf93830b806885373ea2bd4b";

static const struct hf_wrap_place orders = { "sales", PATH, 3 };

static struct hf_secret *counted(struct hf_op *op, uint8_t first, size_t len)
{
    struct hf_secret *secret = NULL;

    assert_ok(op, hf_secret_new(op, len, &secret));
    for (size_t i = 0; i < len; i++) {
        hf_secret_data(secret)[i] = (uint8_t)(first + i);
    }
    return secret;
}

static void wrapped_bytes_check_value_and_subkey_are_as_documented(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(secret) key = counted(&world->op, 0x20, 32);
    HF_AUTO(secret) material = counted(&world->op, 0xe0, 16);
    HF_AUTO(secret) subkey = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_keyring_key parent = { .keyring = (char *)"sales", .version = 5, .number = 99 };
    uint8_t check[HF_CHECK_VALUE_LEN];
    uint32_t version = 0;
    struct hf_op *op = &world->op;

    parent.key = key;
    assert_ok(op, hf_wrap_with(world->unlocked, op, &orders, &parent, hf_secret_bytes(material),
                               plain_salt, plain_nonce, wrapped));
    expect_hex("wrapped", hf_buf_bytes(wrapped), wrapped_vector);
    assert_ok(op, hf_seal_wrapped_parent(op, hf_buf_bytes(wrapped), &version));
    assert_int_equal(version, 5);
    assert_ok(op, hf_seal_check_value(world->seal, op, hf_secret_bytes(material), check));
    expect_hex("check value", hf_bytes_of(check, sizeof check), check_vector);
    assert_ok(op, hf_seal_subkey(world->seal, op, material, "encrypt v1", &orders,
                                 hf_bytes_of(plain_salt, HF_SALT_LEN), 32, &subkey));
    expect_hex("subkey", hf_secret_bytes(subkey), subkey_vector);
}

static void stage_hex(struct plain_world *world, struct hf_txn *txn, enum hf_kind kind,
                      const char *path, const char *hex)
{
    HF_AUTO(buf) content = bytes_of_hex(hex);

    assert_ok(&world->op, hf_txn_put(txn, &world->op, kind, path, 0, hf_buf_bytes(content)));
}

/* Records that another program wrote by the documents: the chain opens down to the material. */
static void the_documented_main_key_opens_the_documented_keyring_key(void **state)
{
    struct plain_world *plain = *state;
    struct world world = { .env = plain->env, .op = plain->op, .crypto = plain->crypto };
    HF_AUTO(secret) material = counted(&plain->op, 0xe0, 16);
    HF_AUTO(buf) wrapped = bytes_of_hex(wrapped_vector);
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_keyring_key_info info;
    struct hf_txn_commit commit;
    struct hf_op *op = &plain->op;

    world_new_engine(&world, 0xa0);
    plain->seal->engine = world.engine;
    hf_feed_start(&plain->seal->feed, &(struct hf_head){ 0 });
    assert_ok(op, hf_txn_new(plain->seal, op, &txn));
    stage_hex(plain, txn, HF_KIND_MAIN_KEY, "main/main", main_vector);
    stage_hex(plain, txn, HF_KIND_MAIN_VERSION, "main/main/0000000001", main_version_vector);
    stage_hex(plain, txn, HF_KIND_KEYRING_KEY, "keyring-key/sales/0000000005", keyring_key_vector);
    assert_ok(op, hf_txn_commit(txn, op, &commit));

    assert_ok(op, hf_seal_keyring_key_info(plain->seal, op, "sales", 5, &info));
    assert_true(!info.is_open && info.main_version == 1 && info.created_ms == 1795303860456);
    assert_ok(op, hf_seal_unwrap(plain->seal, op, &orders, hf_buf_bytes(wrapped), &opened));
    assert_true(hf_secret_equal(material, opened));
    hf_seal_lock(plain->seal);
    hf_engine_free(world.engine);
}

static const struct {
    const char *says;
    const char *use;
    struct hf_wrap_place place;
    uint8_t salt;
    uint8_t material;
    bool same;
} subkeys[] = {
    { "all the same", "encrypt v1", { "sales", PATH, 3 }, 0x40, 0xe0, true },
    { "another use", "mac v1", { "sales", PATH, 3 }, 0x40, 0xe0, false },
    { "another keyring", "encrypt v1", { "sale", PATH, 3 }, 0x40, 0xe0, false },
    { "another path", "encrypt v1", { "sales", PATH "x", 3 }, 0x40, 0xe0, false },
    { "another version", "encrypt v1", { "sales", PATH, 4 }, 0x40, 0xe0, false },
    { "another salt", "encrypt v1", { "sales", PATH, 3 }, 0x41, 0xe0, false },
    { "another material", "encrypt v1", { "sales", PATH, 3 }, 0x40, 0xe1, false },
    { "a border moved",
      "encrypt v1",
      { "salesv", "ersion/sales/orders/0000000003", 3 },
      0x40,
      0xe0,
      false },
};

static void subkeys_differ_by_everything_that_makes_them(void **state)
{
    struct plain_world *world = *state;

    for (size_t i = 0; i < HF_COUNT(subkeys); i++) {
        HF_AUTO(secret) material = counted(&world->op, subkeys[i].material, 16);
        HF_AUTO(secret) subkey = NULL;
        HF_AUTO(buf) wanted = bytes_of_hex(subkey_vector);
        uint8_t salt[HF_SALT_LEN];

        memcpy(salt, plain_salt, sizeof salt);
        salt[0] = subkeys[i].salt;
        assert_ok(&world->op,
                  hf_seal_subkey(world->seal, &world->op, material, subkeys[i].use,
                                 &subkeys[i].place, hf_bytes_of(salt, sizeof salt), 32, &subkey));
        if (hf_bytes_equal(hf_secret_bytes(subkey), hf_buf_bytes(wanted)) != subkeys[i].same) {
            fail_msg("%s: the subkey is %s", subkeys[i].says,
                     subkeys[i].same ? "another" : "the same");
        }
    }
}

static void a_subkey_is_not_made_for_what_is_too_long(void **state)
{
    struct plain_world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(secret) subkey = NULL;
    char use[80];
    char keyring[300];
    struct hf_wrap_place place = { keyring, PATH, 1 };

    memset(use, 'u', sizeof use);
    use[65] = '\0';
    memset(keyring, 'k', sizeof keyring);
    keyring[256] = '\0';
    assert_fails(
        &world->op,
        hf_seal_subkey(world->seal, &world->op, material, use, &orders, HF_BYTES_NONE, 32, &subkey),
        HF_INVALID);
    assert_fails(
        &world->op,
        hf_seal_subkey(world->seal, &world->op, material, "x", &place, HF_BYTES_NONE, 32, &subkey),
        HF_INVALID);
    keyring[255] = '\0';
    use[64] = '\0';
    assert_ok(&world->op, hf_seal_subkey(world->seal, &world->op, material, use, &place,
                                         HF_BYTES_NONE, 32, &subkey));
}

/* --- on a store --- */

static void create_key(struct world *world, const char *keyring, uint32_t version)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, keyring, version, "main"));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
}

static struct hf_buf *wrap(struct world *world, const struct hf_wrap_place *place, uint32_t version,
                           const struct hf_secret *material)
{
    struct hf_buf *wrapped = hf_buf_new();

    assert_ok(&world->op, hf_seal_wrap(world->seal, &world->op, place, version, material, wrapped));
    return wrapped;
}

static void what_is_wrapped_opens_now_and_after_a_restart(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 32);
    HF_AUTO(buf) wrapped = NULL;
    struct hf_op *op = &world->op;

    create_key(world, "sales", 1);
    wrapped = wrap(world, &orders, 1, material);
    assert_int_equal(wrapped->len, 1 + 4 + 16 + 12 + 32 + 16);
    for (int i = 0; i < 2; i++) {
        HF_AUTO(secret) opened = NULL;
        struct hf_keyring_key_info info;

        assert_ok(op, hf_seal_keyring_key_info(world->seal, op, "sales", 1, &info));
        assert_int_equal(info.is_open, i == 0);
        assert_ok(op, hf_seal_unwrap(world->seal, op, &orders, hf_buf_bytes(wrapped), &opened));
        assert_true(hf_secret_equal(material, opened));
        world_reopen(world);
        assert_ok(op, world_unlock(world));
    }
}

static void a_loop_thread_opens_no_keyring_key_and_uses_an_open_one(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 32);
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(buf) wrapped = NULL;
    struct hf_keyring_key_info info;
    struct hf_op *op = &world->op;

    create_key(world, "sales", 1);
    wrapped = wrap(world, &orders, 1, material);
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    op->may_wait = false;
    assert_fails(op, hf_seal_unwrap(world->seal, op, &orders, hf_buf_bytes(wrapped), &opened),
                 HF_LATER);
    op->may_wait = true;
    assert_ok(op, hf_seal_keyring_key_open(world->seal, op, "sales", 1));
    op->may_wait = false;
    assert_ok(op, hf_seal_unwrap(world->seal, op, &orders, hf_buf_bytes(wrapped), &opened));
    assert_true(hf_secret_equal(material, opened));
    assert_ok(op, hf_seal_keyring_key_info(world->seal, op, "sales", 1, &info));
    assert_true(info.is_open && info.created_ms > 0 && info.main_version == 1);
    assert_string_equal(info.main_key, "main");
    op->may_wait = true;
}

static const struct {
    const char *says;
    struct hf_wrap_place place;
    enum hf_code code;
} moves[] = {
    { "its own place", { "sales", PATH, 3 }, HF_OK },
    { "another key", { "sales", "version/sales/returns/0000000003", 3 }, HF_CORRUPT },
    { "another version", { "sales", PATH, 2 }, HF_CORRUPT },
    { "another keyring", { "stock", PATH, 3 }, HF_CORRUPT },
    { "a keyring without keys", { "none", PATH, 3 }, HF_NOT_FOUND },
};

static void a_blob_opens_at_its_own_place_only(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 32);
    HF_AUTO(buf) wrapped = NULL;

    create_key(world, "sales", 1);
    create_key(world, "stock", 1);
    wrapped = wrap(world, &orders, 1, material);
    for (size_t i = 0; i < HF_COUNT(moves); i++) {
        HF_AUTO(secret) opened = NULL;
        struct hf_status status = hf_seal_unwrap(world->seal, &world->op, &moves[i].place,
                                                 hf_buf_bytes(wrapped), &opened);

        if (status.code != moves[i].code) {
            fail_msg("%s: %s", moves[i].says, hf_code_name(status.code));
        }
    }
}

static void every_flipped_bit_and_every_cut_of_a_blob_is_found(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(buf) wrapped = NULL;

    create_key(world, "sales", 1);
    create_key(world, "sales", 2);
    wrapped = wrap(world, &orders, 1, material);
    for (size_t bit = 0; bit < 8 * wrapped->len; bit++) {
        HF_AUTO(secret) opened = NULL;
        struct hf_status status;
        /* The parent's number may name one that is not there, or (3) the other that is. */
        bool of_parent = bit >= 8 && bit < 40;

        wrapped->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        status = hf_seal_unwrap(world->seal, &world->op, &orders, hf_buf_bytes(wrapped), &opened);
        wrapped->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (status.code != (of_parent ? HF_NOT_FOUND : HF_CORRUPT)) {
            fail_msg("bit %zu: %s", bit, hf_code_name(status.code));
        }
    }
    wrapped->data[4] = 2;
    for (size_t len = 0; len <= wrapped->len; len++) {
        HF_AUTO(secret) opened = NULL;

        assert_fails(&world->op,
                     hf_seal_unwrap(world->seal, &world->op, &orders,
                                    hf_bytes_of(wrapped->data, len), &opened),
                     HF_CORRUPT);
    }
}

static void material_has_a_length(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) empty = NULL;
    HF_AUTO(secret) big = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_op *op = &world->op;

    create_key(world, "sales", 1);
    assert_ok(op, hf_secret_new(op, 1, &empty));
    hf_secret_truncate(empty, 0);
    assert_fails(op, hf_seal_wrap(world->seal, op, &orders, 1, empty, wrapped), HF_INVALID);
    assert_ok(op, hf_secret_new(op, HF_CONTENT_MAX + 1, &big));
    assert_fails(op, hf_seal_wrap(world->seal, op, &orders, 1, big, wrapped), HF_INVALID);
    assert_int_equal(wrapped->len, 0);
}

static void salts_of_wrapping_renew(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(buf) first = NULL;
    HF_AUTO(buf) second = NULL;
    HF_AUTO(buf) third = NULL;

    create_key(world, "sales", 1);
    world->seal->unlocked->wrap_salt.max_uses = 2;
    first = wrap(world, &orders, 1, material);
    second = wrap(world, &orders, 1, material);
    third = wrap(world, &orders, 1, material);
    assert_memory_equal(first->data + 5, second->data + 5, HF_SALT_LEN);
    assert_memory_not_equal(second->data + 5, third->data + 5, HF_SALT_LEN);
    assert_memory_not_equal(first->data + 21, second->data + 21, HF_GCM_NONCE_LEN);
}

/* --- staged keys --- */

static void a_staged_key_is_usable_before_its_commit(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(buf) wrapped = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    wrapped = wrap(world, &orders, 1, material);
    assert_fails(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"),
                 HF_CONFLICT);
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_fails(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"),
                 HF_CONFLICT);
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_ok(op, hf_seal_unwrap(world->seal, op, &orders, hf_buf_bytes(wrapped), &opened));
    assert_true(hf_secret_equal(material, opened));
}

static void a_staged_key_goes_with_its_transaction(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_txn *txn = NULL;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    hf_txn_free(txn);
    assert_fails(op, hf_seal_wrap(world->seal, op, &orders, 1, material, wrapped), HF_NOT_FOUND);

    /* Locked in between: there is nothing left to drop. */
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    hf_seal_lock(world->seal);
    assert_ok(op, world_unlock(world));
    assert_fails(op, hf_seal_wrap(world->seal, op, &orders, 1, material, wrapped), HF_NOT_FOUND);
    hf_txn_free(txn);
    create_key(world, "sales", 1);
    assert_ok(op, hf_seal_wrap(world->seal, op, &orders, 1, material, wrapped));
}

static void *wrap_elsewhere(void *context)
{
    struct world *world = context;
    struct hf_op op;
    HF_AUTO(secret) material = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();

    hf_op_init(&op, &world->env);
    assert_ok(&op, hf_secret_new(&op, 16, &material));
    assert_fails(&op, hf_seal_wrap(world->seal, &op, &orders, 1, material, wrapped), HF_NOT_FOUND);
    return NULL;
}

static void a_staged_key_is_no_other_threads(void **state)
{
    struct world *world = *state;
    HF_AUTO(txn) txn = NULL;
    pthread_t thread;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    assert_int_equal(pthread_create(&thread, NULL, wrap_elsewhere, world), 0);
    pthread_join(thread, NULL);
}

/* The key of a repeated request is the first one's, not the one staged now. */
static void a_repeated_creation_gives_the_first_key(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(buf) wrapped = NULL;
    struct hf_op *op = &world->op;

    op->request_id = request(3);
    create_key(world, "sales", 1);
    wrapped = wrap(world, &orders, 1, material);
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    create_key(world, "sales", 1);
    assert_int_equal(hf_seal_seq(world->seal), 2);
    assert_ok(op, hf_seal_unwrap(world->seal, op, &orders, hf_buf_bytes(wrapped), &opened));
    assert_true(hf_secret_equal(material, opened));
}

static void a_creation_whose_answer_was_lost_keeps_its_key(void **state)
{
    struct world *world = *state;
    HF_AUTO(secret) material = counted(&world->op, 1, 16);
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(buf) wrapped = NULL;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "main"));
    wrapped = wrap(world, &orders, 1, material);
    hf_failing_set(world->engine, HF_FAULT_IN_DOUBT, HF_IN_DOUBT, 1);
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    world_reopen(world);
    assert_ok(op, world_unlock(world));
    assert_ok(op, hf_seal_unwrap(world->seal, op, &orders, hf_buf_bytes(wrapped), &opened));
    assert_true(hf_secret_equal(material, opened));
}

static void a_keyring_key_needs_a_name_and_a_main_key(void **state)
{
    struct world *world = *state;
    HF_AUTO(txn) txn = NULL;
    char name[300];
    struct hf_op *op = &world->op;

    memset(name, 'k', sizeof name);
    name[256] = '\0';
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_fails(op, hf_seal_keyring_key_create(world->seal, op, txn, "", 1, "main"), HF_INVALID);
    assert_fails(op, hf_seal_keyring_key_create(world->seal, op, txn, name, 1, "main"), HF_INVALID);
    assert_fails(op, hf_seal_keyring_key_create(world->seal, op, txn, "sales", 1, "other"),
                 HF_NOT_FOUND);
    assert_fails(op, hf_seal_keyring_key_open(world->seal, op, "sales", 1), HF_NOT_FOUND);
}

/* --- main keys --- */

static void note_main_key(void *context, const struct hf_main_key_info *info)
{
    hf_buf_add_format(context, "%s/%u %s kind %d;", info->name, info->version,
                      info->customer_managed ? "customer" : "system", (int)info->kind);
}

static void main_keys_are_listed(void **state)
{
    struct world *world = *state;
    HF_AUTO(buf) text = hf_buf_new();
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_main_key_stage(world->seal, op, txn, "a/b c", HF_PKEY_RSA_2048));
    assert_fails(op, hf_main_key_stage(world->seal, op, txn, "", HF_PKEY_RSA_2048), HF_INVALID);
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_ok(op, hf_seal_main_keys(world->seal, op, note_main_key, text));
    assert_string_equal(hf_buf_text(text), "a/b c/1 system kind 0;main/1 system kind 0;");
    hf_seal_lock(world->seal);
    assert_fails(op, hf_seal_main_keys(world->seal, op, note_main_key, text), HF_WRONG_STATE);
}

/* Each byte of what a main key and a keyring key hold, altered by somebody with the root. */
static void records_of_unknown_form_are_refused(void **state)
{
    static const struct {
        const char *path;
        enum hf_kind kind;
        size_t at;
    } rows[] = {
        { "main/main", HF_KIND_MAIN_KEY, 0 },
        { "main/main/0000000001", HF_KIND_MAIN_VERSION, 0 },
        { "main/main/0000000001", HF_KIND_MAIN_VERSION, 1 },
        { "main/main/0000000001", HF_KIND_MAIN_VERSION, 2 },
        { "main/main/0000000001", HF_KIND_MAIN_VERSION, 3 },
        { "main/main/0000000001", HF_KIND_MAIN_VERSION, 4 },
        { "keyring-key/sales/0000000001", HF_KIND_KEYRING_KEY, 0 },
        { "keyring-key/sales/0000000001", HF_KIND_KEYRING_KEY, 4 },
    };
    struct world *world = *state;
    struct hf_op *op = &world->op;

    create_key(world, "sales", 1);
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        HF_AUTO(opened) opened = NULL;
        HF_AUTO(buf) content = hf_buf_new();
        HF_AUTO(buf) body = hf_buf_new();
        HF_AUTO(txn) txn = NULL;
        struct hf_record_place place = { rows[i].path, 1 };
        struct hf_status status;

        world_reopen(world);
        assert_ok(op, world_unlock(world));
        assert_ok(op, hf_seal_get(world->seal, op, rows[i].kind, rows[i].path, &opened));
        hf_buf_add_bytes(content, hf_secret_bytes(opened->plain));
        content->data[rows[i].at] = 77;
        assert_ok(op, hf_record_seal(world->seal->unlocked, op, (uint8_t)rows[i].kind, 0, &place,
                                     hf_buf_bytes(content), body));
        tamper_show(world->tamper, rows[i].path, 1, hf_buf_bytes(body));
        status = hf_seal_keyring_key_open(world->seal, op, "sales", 1);
        if (status.code == HF_OK) {
            assert_ok(op, hf_txn_new(world->seal, op, &txn));
            status = hf_seal_keyring_key_create(world->seal, op, txn, "stock", 1, "main");
        }
        if (status.code != HF_CORRUPT) {
            fail_msg("%s at %zu: %s", rows[i].path, rows[i].at, hf_code_name(status.code));
        }
        tamper_reset(world->tamper);
    }
}

/* A main key in an HSM: without its provider its keyrings do not open, and say why. */
static void a_customer_managed_main_key_is_unavailable_without_its_provider(void **state)
{
    struct world *world = *state;
    HF_AUTO(opened) opened = NULL;
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(txn) create = NULL;
    struct hf_txn_commit commit;
    struct hf_op *op = &world->op;

    assert_ok(op,
              hf_seal_get(world->seal, op, HF_KIND_MAIN_VERSION, "main/main/0000000001", &opened));
    hf_buf_add_bytes(content, hf_secret_bytes(opened->plain));
    content->data[2] = 2;
    assert_ok(op, hf_txn_new(world->seal, op, &txn));
    assert_ok(op, hf_txn_put(txn, op, HF_KIND_MAIN_VERSION, "main/main/0000000001", 1,
                             hf_buf_bytes(content)));
    assert_ok(op, hf_txn_commit(txn, op, &commit));
    assert_ok(op, hf_txn_new(world->seal, op, &create));
    assert_fails(op, hf_seal_keyring_key_create(world->seal, op, create, "sales", 1, "main"),
                 HF_UNAVAILABLE);
    assert_int_equal(op->cause, HF_CAUSE_PROTECTOR_UNAVAILABLE);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, plain_setup, plain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(wrapped_bytes_check_value_and_subkey_are_as_documented),
        PLAIN(the_documented_main_key_opens_the_documented_keyring_key),
        PLAIN(subkeys_differ_by_everything_that_makes_them),
        PLAIN(a_subkey_is_not_made_for_what_is_too_long),
        WORLD(what_is_wrapped_opens_now_and_after_a_restart),
        WORLD(a_loop_thread_opens_no_keyring_key_and_uses_an_open_one),
        WORLD(a_blob_opens_at_its_own_place_only),
        WORLD(every_flipped_bit_and_every_cut_of_a_blob_is_found),
        WORLD(material_has_a_length),
        WORLD(salts_of_wrapping_renew),
        WORLD(a_staged_key_is_usable_before_its_commit),
        WORLD(a_staged_key_goes_with_its_transaction),
        WORLD(a_staged_key_is_no_other_threads),
        WORLD(a_repeated_creation_gives_the_first_key),
        WORLD(a_creation_whose_answer_was_lost_keeps_its_key),
        WORLD(a_keyring_key_needs_a_name_and_a_main_key),
        WORLD(main_keys_are_listed),
        WORLD(records_of_unknown_form_are_refused),
        WORLD(a_customer_managed_main_key_is_unavailable_without_its_provider),
    };

    world_start_process((size_t)16 << 20);
    return cmocka_run_group_tests_name("keyring keys", tests, NULL, NULL);
}
