/* Keys from creation to tombstone, on a store in memory. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "keys/name.h"

/* --- algorithms --- */

static const struct {
    enum hf_algorithm algorithm;
    const char *name;
    size_t right; /* bytes of material; 0: a key pair */
    size_t wrong;
    const char *complaint;
} algorithms[] = {
    { HF_ALG_AES_128, "aes-128", 16, 8, "Wrong key length. Required 128, but got 64" },
    { HF_ALG_AES_192, "aes-192", 24, 16, "Wrong key length. Required 192, but got 128" },
    { HF_ALG_AES_256, "aes-256", 32, 33, "Wrong key length. Required 256, but got 264" },
    { HF_ALG_HMAC, "hmac", 64, 65,
      "Wrong key length. Required 16 to 64 bytes for hmac, but got 65" },
    { HF_ALG_HMAC, "hmac", 16, 15,
      "Wrong key length. Required 16 to 64 bytes for hmac, but got 15" },
    { HF_ALG_OPAQUE, "opaque", 1, 65537,
      "Wrong key length. Required 1 to 65536 bytes for opaque, but got 65537" },
    { HF_ALG_OPAQUE, "opaque", 65536, 65537,
      "Wrong key length. Required 1 to 65536 bytes for opaque, but got 65537" },
    { HF_ALG_RSA_2048, "rsa-2048", 0, 0, NULL },
    { HF_ALG_P256, "ec-p256", 0, 0, NULL },
    { HF_ALG_P384, "ec-p384", 0, 0, NULL },
    { HF_ALG_P521, "ec-p521", 0, 0, NULL },
    { HF_ALG_ED25519, "ed25519", 0, 0, NULL },
};

static void every_algorithm_has_a_name_that_is_read_back(void **unused)
{
    enum hf_algorithm algorithm;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(algorithms); i++) {
        assert_string_equal(hf_algorithm_name(algorithms[i].algorithm), algorithms[i].name);
        assert_ok(&world.op, hf_algorithm_parse(&world.op, algorithms[i].name, &algorithm));
        assert_int_equal(algorithm, algorithms[i].algorithm);
    }
    assert_null(hf_algorithm_name((enum hf_algorithm)99));
    assert_fails(&world.op, hf_algorithm_parse(&world.op, "des", &algorithm), HF_INVALID);
    assert_non_null(strstr(world.op.text, "rsa-4096, ec-p256"));
}

/* Exports what was imported, after a restart, and finds the same bytes. */
static void check_export(const char *name, uint32_t version, struct hf_bytes wanted)
{
    HF_AUTO(secret) out = NULL;

    assert_ok(&world.op, hf_key_export(world.keys, &world.op, RING, name, version, &out));
    assert_true(hf_bytes_equal(hf_secret_bytes(out), wanted));
}

static void material_is_made_or_imported_and_must_fit(void **unused)
{
    static uint8_t bytes[HF_MATERIAL_MAX + 1];

    (void)unused;
    memset(bytes, 0x5a, sizeof bytes);
    for (size_t i = 0; i < HF_COUNT(algorithms) && algorithms[i].right != 0; i++) {
        HF_AUTO_STRING name = hf_format("material-%zu", i);
        HF_AUTO(secret) right = secret_of(hf_bytes_of(bytes, algorithms[i].right));
        HF_AUTO(secret) wrong = secret_of(hf_bytes_of(bytes, algorithms[i].wrong));
        struct hf_key_plan plan = {
            .algorithm = algorithms[i].algorithm,
            .first_version = 1,
            .exportable = true,
            .material = wrong,
        };
        struct change create = { .kind = CHANGE_CREATE, .name = name, .plan = &plan };
        struct change import = { .kind = CHANGE_ROTATE, .name = name, .material = wrong };

        assert_fails(&world.op, do_change(&world.op, &create, NULL), HF_INVALID);
        assert_string_equal(world.op.text, algorithms[i].complaint);
        plan.material = right;
        assert_int_equal(must(&create), 1);
        assert_true(version_of(name, 1).imported);
        assert_fails(&world.op, do_change(&world.op, &import, NULL), HF_INVALID);
        import.material = right;
        assert_int_equal(must(&import), 2);
        assert_int_equal(rotate(name), 3);
        assert_false(version_of(name, 3).imported);
        assert_memory_equal(version_of(name, 1).check_value, version_of(name, 2).check_value,
                            HF_CHECK_VALUE_LEN);
        assert_memory_not_equal(version_of(name, 1).check_value, version_of(name, 3).check_value,
                                HF_CHECK_VALUE_LEN);
        check_export(name, 1, hf_secret_bytes(right));
    }
    world_restart();
    for (size_t i = 0; i < HF_COUNT(algorithms) && algorithms[i].right != 0; i++) {
        HF_AUTO_STRING name = hf_format("material-%zu", i);

        check_export(name, 2, hf_bytes_of(bytes, algorithms[i].right));
        assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, name, HF_LATEST));
    }
}

static void key_pairs_are_made_or_imported_as_pkcs8(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(algorithms); i++) {
        HF_AUTO_STRING name = hf_format("pair-%s", algorithms[i].name);
        HF_AUTO_STRING other = hf_format("pair-%s-other", algorithms[i].name);
        struct hf_key_plan plan = { .algorithm = algorithms[i].algorithm,
                                    .first_version = 1,
                                    .exportable = true };
        struct change create = { .kind = CHANGE_CREATE, .name = name, .plan = &plan };
        HF_AUTO(secret) private_half = NULL;
        HF_AUTO(buf) first = hf_buf_new();
        HF_AUTO(buf) second = hf_buf_new();

        if (algorithms[i].right != 0) {
            continue;
        }
        must(&create);
        assert_ok(&world.op, hf_key_export(world.keys, &world.op, RING, name, 1, &private_half));
        plan.material = private_half;
        create.name = other;
        must(&create);
        assert_ok(&world.op, hf_key_public(world.keys, &world.op, RING, name, 1, first));
        assert_ok(&world.op, hf_key_public(world.keys, &world.op, RING, other, 1, second));
        assert_true(first->len > 40);
        assert_true(hf_bytes_equal(hf_buf_bytes(first), hf_buf_bytes(second)));
        /* A private key of another kind is not taken. */
        plan.algorithm = algorithms[i].algorithm == HF_ALG_P256 ? HF_ALG_ED25519 : HF_ALG_P256;
        create.name = "pair-refused";
        assert_fails(&world.op, do_change(&world.op, &create, NULL), HF_INVALID);
    }
}

static void lengths_can_be_asked_for_where_there_is_a_choice(void **unused)
{
    static const struct {
        enum hf_algorithm algorithm;
        uint32_t asked;
        size_t len; /* 0: refused */
    } cases[] = {
        { HF_ALG_HMAC, 0, 32 },    { HF_ALG_HMAC, 64, 64 },   { HF_ALG_HMAC, 15, 0 },
        { HF_ALG_OPAQUE, 0, 32 },  { HF_ALG_OPAQUE, 99, 99 }, { HF_ALG_AES_128, 16, 16 },
        { HF_ALG_AES_128, 32, 0 },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO_STRING name = hf_format("length-%zu", i);
        HF_AUTO(secret) out = NULL;
        struct hf_key_plan plan = {
            .algorithm = cases[i].algorithm,
            .first_version = 1,
            .exportable = true,
            .material_len = cases[i].asked,
        };
        struct change create = { .kind = CHANGE_CREATE, .name = name, .plan = &plan };

        if (cases[i].len == 0) {
            assert_fails(&world.op, do_change(&world.op, &create, NULL), HF_INVALID);
            continue;
        }
        must(&create);
        assert_ok(&world.op, hf_key_export(world.keys, &world.op, RING, name, 1, &out));
        assert_int_equal(hf_secret_len(out), cases[i].len);
    }
}

/* --- names and what is kept with a key --- */

static void any_utf8_name_without_nul_is_taken_and_given_back(void **unused)
{
    static const char *const names[] = {
        "a", "A@b", "x/y",   "a b", "line\nbreak", "%^[]{}|\"<>\\", "sn\xc3\xb6 \xe2\x98\x83",
        ".", "..",  "a%2Fb", "+",   "~",
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        new_key(names[i], HF_ALG_AES_128);
    }
    world_restart();
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        HF_AUTO(key_info) info = info_of(names[i]);
        uint32_t version = 0;

        assert_string_equal(info->name, names[i]);
        assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, names[i], &version));
        assert_int_equal(version, 1);
        assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, names[i], 1));
    }
}

static void a_name_of_255_bytes_fits_and_one_more_is_refused(void **unused)
{
    char name[HF_NAME_MAX + 2];
    HF_AUTO_STRING path = NULL;
    struct change create = { .kind = CHANGE_CREATE, .name = name };

    (void)unused;
    memset(name, '%', sizeof name);
    name[HF_NAME_MAX + 1] = '\0';
    assert_fails(&world.op, do_change(&world.op, &create, NULL), HF_INVALID);
    name[HF_NAME_MAX] = '\0';
    must(&create);
    path = hf_version_path("a-keyring-with-a-name-of-exactly-sixty-three-bytes-in-its-name1", name,
                           4294967294);
    assert_true(strlen(path) <= HF_PATH_MAX);
    assert_fails(&world.op,
                 do_change(&world.op, &(struct change){ .kind = CHANGE_CREATE, .name = "" }, NULL),
                 HF_INVALID);
    assert_fails(
        &world.op,
        do_change(&world.op, &(struct change){ .kind = CHANGE_CREATE, .name = "\xff" }, NULL),
        HF_INVALID);
}

static void keyring_names_are_plain(void **unused)
{
    static const struct {
        const char *name;
        enum hf_code code;
    } cases[] = {
        { "ok-1_2.3", HF_OK },
        { "0", HF_OK },
        { "", HF_INVALID },
        { "-a", HF_INVALID },
        { ".a", HF_INVALID },
        { "_a", HF_INVALID },
        { "Upper", HF_INVALID },
        { "a/b", HF_INVALID },
        { "a b", HF_INVALID },
        { "sixty-four-bytes-are-too-many-for-the-name-of-a-keyring-of-ours-", HF_INVALID },
    };
    struct hf_keyring_settings settings = ring_settings();

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(txn) txn = NULL;
        struct hf_status status;

        assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
        status = hf_keyring_create(world.keys, &world.op, txn, cases[i].name, &settings);
        if (status.code != cases[i].code) {
            fail_msg("\"%s\": got %s: %s", cases[i].name, hf_code_name(status.code), world.op.text);
        }
    }
}

static void what_is_told_about_a_key_is_given_back(void **unused)
{
    struct hf_attribute attributes[] = { { "owner", "sales" }, { "empty", "" } };
    struct hf_key_plan plan = {
        .algorithm = HF_ALG_AES_128,
        .first_version = 0,
        .description = "",
        .cipher = "AES/CTR/NoPadding",
        .attributes = attributes,
        .attribute_count = HF_COUNT(attributes),
    };
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(key_info) bare = NULL;

    (void)unused;
    assert_int_equal(must(&(struct change){ .kind = CHANGE_CREATE, .name = "told", .plan = &plan }),
                     0);
    assert_int_equal(rotate("told"), 1);
    info = info_of("told");
    assert_string_equal(info->keyring, RING);
    assert_string_equal(info->description, "");
    assert_string_equal(info->cipher, "AES/CTR/NoPadding");
    assert_int_equal(info->attribute_count, 2);
    assert_string_equal(info->attributes[0].name, "owner");
    assert_string_equal(info->attributes[0].value, "sales");
    assert_string_equal(info->attributes[1].name, "empty");
    assert_string_equal(info->attributes[1].value, "");
    assert_int_equal(info->algorithm, HF_ALG_AES_128);
    assert_int_equal(info->primary, 1);
    assert_int_equal(info->first_version, 0);
    assert_int_equal(info->last_version, 1);
    assert_int_equal(info->version_count, 2);
    assert_int_equal(info->created_ms, world.now_ms);
    assert_false(info->exportable);
    new_key("untold", HF_ALG_AES_128);
    bare = info_of("untold");
    assert_null(bare->description);
    assert_null(bare->cipher);
    assert_int_equal(bare->attribute_count, 0);
}

static void plans_beyond_the_limits_are_refused(void **unused)
{
    char *long_text = hf_alloc(5000);
    struct hf_attribute twice[] = { { "a", "1" }, { "a", "2" } };
    struct hf_attribute unnamed[] = { { "", "1" } };
    struct hf_attribute many[65];
    const struct {
        const char *says;
        struct hf_key_plan plan;
    } cases[] = {
        { "description", { .algorithm = HF_ALG_AES_128, .description = long_text } },
        { "cipher", { .algorithm = HF_ALG_AES_128, .cipher = long_text } },
        { "bad utf-8", { .algorithm = HF_ALG_AES_128, .description = "\xc3" } },
        { "twice", { .algorithm = HF_ALG_AES_128, .attributes = twice, .attribute_count = 2 } },
        { "unnamed", { .algorithm = HF_ALG_AES_128, .attributes = unnamed, .attribute_count = 1 } },
        { "many", { .algorithm = HF_ALG_AES_128, .attributes = many, .attribute_count = 65 } },
        { "algorithm", { .algorithm = (enum hf_algorithm)77 } },
        { "first version", { .algorithm = HF_ALG_AES_128, .first_version = HF_LATEST } },
    };

    (void)unused;
    memset(long_text, 'x', 4999);
    for (size_t i = 0; i < HF_COUNT(many); i++) {
        many[i] = (struct hf_attribute){ "n", "v" };
    }
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct change create = { .kind = CHANGE_CREATE, .name = "limits", .plan = &cases[i].plan };
        struct hf_status status = do_change(&world.op, &create, NULL);

        if (status.code != HF_INVALID) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
    free(long_text);
}

static void the_acl_name_is_known_without_the_store(void **unused)
{
    struct hf_attribute other = { "key.acl.name", "shared" };
    struct hf_attribute same = { "key.acl.name", "acl-same" };
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128,
                                .attributes = &other,
                                .attribute_count = 1 };
    struct hf_op op = world_op(1);
    HF_AUTO(buf) names = hf_buf_new();

    (void)unused;
    op.may_wait = false;
    must(&(struct change){ .kind = CHANGE_CREATE, .name = "acl-other", .plan = &plan });
    plan.attributes = &same;
    must(&(struct change){ .kind = CHANGE_CREATE, .name = "acl-same", .plan = &plan });
    new_key("acl-none", HF_ALG_AES_128);
    for (int restarted = 0; restarted < 2; restarted++) {
        hf_buf_clear(names);
        assert_ok(&op, hf_key_acl_name(world.keys, &op, RING, "acl-other", names));
        assert_ok(&op, hf_key_acl_name(world.keys, &op, RING, "acl-same", names));
        assert_ok(&op, hf_key_acl_name(world.keys, &op, RING, "acl-none", names));
        assert_string_equal(hf_buf_text(names), "sharedacl-sameacl-none");
        world_restart();
    }
    assert_fails(&op, hf_key_acl_name(world.keys, &op, RING, "acl-nobody", names), HF_NOT_FOUND);
}

static void add_name(void *context, const char *name)
{
    hf_buf_add_format(context, "%s ", name);
}

static void count_name(void *context, const char *name)
{
    (void)name;
    (*(size_t *)context)++;
}

static void names_are_listed_in_pages(void **unused)
{
    struct hf_keyring_settings settings = ring_settings();
    HF_AUTO(buf) names = hf_buf_new();
    struct hf_op op = world_op(2);
    size_t count = 0;

    (void)unused;
    op.may_wait = false;
    new_ring("pages", &settings);
    for (int i = 0; i < 2500; i++) {
        HF_AUTO_STRING name = hf_format("p%d", i);
        struct hf_key_record record = { .algorithm = HF_ALG_AES_128 };

        hf_index_put_key(world.keys->index, "pages", hf_bytes_of_text(name), 1, &record);
    }
    assert_ok(&op, hf_key_names(world.keys, &op, "pages", false, "p24", 4, add_name, names));
    assert_string_equal(hf_buf_text(names), "p240 p2400 p2401 p2402 ");
    assert_ok(&op,
              hf_key_names(world.keys, &op, "pages", false, NULL, SIZE_MAX, count_name, &count));
    assert_int_equal(count, 2500);
    assert_ok(&op,
              hf_key_names(world.keys, &op, "pages", true, NULL, SIZE_MAX, count_name, &count));
    assert_int_equal(count, 2500);
    assert_fails(&op, hf_key_names(world.keys, &op, "none", false, NULL, 1, add_name, names),
                 HF_NOT_FOUND);
    world_restart();
}

/* --- rotation and the primary version --- */

static void the_newest_version_is_primary_until_another_is_chosen(void **unused)
{
    uint32_t version = 0;
    struct change choose = { .kind = CHANGE_SET_PRIMARY, .name = "primary", .version = 1 };

    (void)unused;
    new_key("primary", HF_ALG_AES_256);
    assert_int_equal(rotate("primary"), 2);
    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, "primary", &version));
    assert_int_equal(version, 2);
    assert_int_equal(version_of("primary", 1).state, HF_KEY_ACTIVE);
    must(&choose);
    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, "primary", &version));
    assert_int_equal(version, 1);
    assert_true(version_of("primary", 1).primary);
    set_state("primary", 2, HF_KEY_SUSPEND);
    choose.version = 2;
    assert_fails(&world.op, do_change(&world.op, &choose, NULL), HF_WRONG_STATE);
    choose.version = 3;
    assert_fails(&world.op, do_change(&world.op, &choose, NULL), HF_NOT_FOUND);
}

static void a_pre_active_key_serves_once_it_is_activated(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256,
                                .first_version = 1,
                                .pre_active = true };
    uint32_t version = 0;

    (void)unused;
    must(&(struct change){ .kind = CHANGE_CREATE, .name = "later", .plan = &plan });
    assert_int_equal(version_of("later", 1).state, HF_KEY_PRE_ACTIVE);
    assert_int_equal(version_of("later", 1).activated_ms, 0);
    assert_fails(&world.op, hf_key_primary(world.keys, &world.op, RING, "later", &version),
                 HF_WRONG_STATE);
    set_state("later", 1, HF_KEY_ACTIVATE);
    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, "later", &version));
    assert_int_equal(version, 1);
    assert_int_equal(version_of("later", 1).activated_ms, world.now_ms);
}

static void rewrap_moves_all_versions_and_changes_no_material(void **unused)
{
    uint32_t ring_key = 0;
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    struct hf_keyring_info info;

    (void)unused;
    new_key("moving", HF_ALG_AES_256);
    rotate("moving");
    rotate("moving");
    set_state("moving", 1, HF_KEY_DEACTIVATE);
    must(&(struct change){ .kind = CHANGE_DESTROY, .name = "moving", .version = 1, .force = true });
    assert_int_equal(must(&(struct change){ .kind = CHANGE_REWRAP, .name = "moving" }), 0);
    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_ok(&world.op, hf_keyring_rotate(world.keys, &world.op, txn, RING, &ring_key));
    assert_ok(&world.op, hf_txn_commit(txn, &world.op, &commit));
    assert_ok(&world.op, hf_keyring_get(world.keys, &world.op, RING, &info));
    assert_int_equal(info.key_version, ring_key);
    assert_int_equal(version_of("moving", 2).keyring_key, ring_key - 1);
    assert_int_equal(must(&(struct change){ .kind = CHANGE_REWRAP, .name = "moving" }), 2);
    assert_int_equal(version_of("moving", 2).keyring_key, ring_key);
    assert_int_equal(version_of("moving", 3).keyring_key, ring_key);
    assert_int_equal(version_of("moving", 1).keyring_key, 0);
    assert_int_equal(rotate("moving"), 4);
    assert_int_equal(version_of("moving", 4).keyring_key, ring_key);
    world_restart();
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "moving", 2));
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "moving", 3));
}

/* --- states --- */

static void changes_of_state_are_dated_and_explained(void **unused)
{
    struct change change = {
        .kind = CHANGE_STATE,
        .name = "states",
        .version = 1,
        .event = HF_KEY_SUSPEND,
        .reason = "found on a stick",
    };
    char long_reason[257];

    (void)unused;
    new_key("states", HF_ALG_AES_256);
    must(&change);
    assert_int_equal(version_of("states", 1).state, HF_KEY_SUSPENDED);
    assert_string_equal(version_of("states", 1).reason, "found on a stick");
    assert_fails(&world.op, do_change(&world.op, &change, NULL), HF_WRONG_STATE);
    world.now_ms += 1000;
    set_state("states", 1, HF_KEY_DEACTIVATE);
    assert_int_equal(version_of("states", 1).deactivated_ms, world.now_ms);
    assert_string_equal(version_of("states", 1).reason, "");
    world.now_ms += 1000;
    set_state("states", 1, HF_KEY_COMPROMISE);
    assert_int_equal(version_of("states", 1).compromised_ms, world.now_ms);
    assert_int_equal(version_of("states", 1).deactivated_ms, world.now_ms - 1000);
    change.event = HF_KEY_DESTROY;
    assert_fails(&world.op, do_change(&world.op, &change, NULL), HF_INVALID);
    memset(long_reason, 'r', sizeof long_reason);
    long_reason[256] = '\0';
    change.reason = long_reason;
    change.event = HF_KEY_SUSPEND;
    assert_fails(&world.op, do_change(&world.op, &change, NULL), HF_INVALID);
}

/* --- deletion, recovery, destruction --- */

static void a_deleted_key_is_hidden_and_can_be_recovered(void **unused)
{
    struct change create = { .kind = CHANGE_CREATE, .name = "deleted" };
    struct change recover = { .kind = CHANGE_RECOVER, .name = "deleted" };
    struct change delete = { .kind = CHANGE_DELETE, .name = "deleted", .reason = "not needed" };
    HF_AUTO(key_info) info = NULL;
    HF_AUTO(buf) names = hf_buf_new();
    uint32_t version = 0;

    (void)unused;
    must(&create);
    assert_fails(&world.op, do_change(&world.op, &recover, NULL), HF_WRONG_STATE);
    must(&delete);
    assert_fails(&world.op, do_change(&world.op, &delete, NULL), HF_NOT_FOUND);
    expect("a deleted key has no primary for users",
           hf_key_primary(world.keys, &world.op, RING, "deleted", &version), HF_NOT_FOUND,
           HF_CAUSE_UNKNOWN_KEY);
    assert_fails(&world.op, hf_key_get(world.keys, &world.op, RING, "deleted", false, &info),
                 HF_NOT_FOUND);
    assert_fails(&world.op, do_change(&world.op, &create, NULL), HF_EXISTS);
    assert_fails(
        &world.op,
        do_change(&world.op, &(struct change){ .kind = CHANGE_ROTATE, .name = "deleted" }, NULL),
        HF_NOT_FOUND);
    info = info_of("deleted");
    assert_true(info->deleted);
    assert_int_equal(info->destroy_at_ms, world.now_ms + 30 * DAY);
    assert_ok(&world.op,
              hf_key_names(world.keys, &world.op, RING, true, NULL, SIZE_MAX, add_name, names));
    assert_non_null(strstr(hf_buf_text(names), "deleted "));
    world_restart();
    must(&recover);
    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, "deleted", &version));
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "deleted", 1));
}

static uint32_t listed_in_tombstone(const char *name)
{
    HF_AUTO_STRING path = hf_key_path(RING, name);
    HF_AUTO(opened) opened = NULL;
    struct hf_key_record record;

    assert_ok(&world.op, hf_seal_get(world.seal, &world.op, HF_KIND_KEY, path, &opened));
    assert_ok(&world.op, hf_key_record_decode(&world.op, hf_secret_bytes(opened->plain), &record));
    return record.check_value_count;
}

static void numbers_are_never_used_again(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128, .first_version = 0 };
    struct change create = { .kind = CHANGE_CREATE, .name = "again", .plan = &plan };
    struct change delete = { .kind = CHANGE_DELETE, .name = "again" };
    struct change destroy = {
        .kind = CHANGE_DESTROY, .name = "again", .version = HF_LATEST, .reason = "the end"
    };
    uint32_t next = 0;

    (void)unused;
    for (int round = 0; round < 3; round++) {
        HF_AUTO(key_info) info = NULL;

        assert_int_equal(must(&create), next);
        assert_int_equal(rotate("again"), next + 1);
        info = info_of("again");
        assert_int_equal(info->first_version, next);
        assert_int_equal(info->version_count, 2);
        next += 2;
        assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
        must(&delete);
        assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
        assert_non_null(strstr(world.op.text, "due at 20"));
        world.now_ms += 30 * DAY;
        must(&destroy);
        assert_int_equal(listed_in_tombstone("again"), 2);
        expect("a destroyed key is unknown for good",
               hf_key_prove(world.keys, &world.op, RING, "again", next - 1), HF_NOT_FOUND,
               HF_CAUSE_VERSION_DESTROYED);
        assert_fails(
            &world.op,
            do_change(&world.op, &(struct change){ .kind = CHANGE_RECOVER, .name = "again" }, NULL),
            HF_NOT_FOUND);
        world_restart();
    }
    must(&create);
    /* The numbers of the keys before stay destroyed, and are not versions of this one. */
    expect("a version of an earlier key", hf_key_prove(world.keys, &world.op, RING, "again", 1),
           HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED);
    assert_int_equal(version_of("again", 6).state, HF_KEY_ACTIVE);
}

static void tombstones_remember_what_was_there(void **unused)
{
    HF_AUTO_STRING key_path = hf_key_path(RING, "remembered");
    HF_AUTO_STRING version_path = hf_version_path(RING, "remembered", 2);
    HF_AUTO(opened) key = NULL;
    HF_AUTO(opened) version = NULL;
    struct hf_key_record key_record;
    struct hf_version_record version_record;
    struct hf_version_info before;

    (void)unused;
    new_key("remembered", HF_ALG_AES_256);
    rotate("remembered");
    set_state("remembered", 2, HF_KEY_COMPROMISE);
    before = version_of("remembered", 2);
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "remembered", .reason = "leaked" });
    must(&(struct change){ .kind = CHANGE_DESTROY,
                           .name = "remembered",
                           .version = HF_LATEST,
                           .force = true,
                           .reason = "leaked for good" });
    assert_ok(&world.op, hf_seal_get(world.seal, &world.op, HF_KIND_KEY, key_path, &key));
    assert_true(key->tombstone);
    assert_ok(&world.op, hf_key_record_decode(&world.op, hf_secret_bytes(key->plain), &key_record));
    assert_true(key_record.destroyed);
    assert_int_equal(key_record.next_version, 3);
    assert_int_equal(key_record.destroyed_ms, world.now_ms);
    assert_int_equal(key_record.deleted_ms, world.now_ms);
    assert_true(hf_bytes_equal_text(key_record.reason, "leaked for good"));
    assert_int_equal(key_record.check_value_count, 2);
    assert_memory_equal(key_record.check_values.data + 24, before.check_value, 16);
    assert_ok(&world.op,
              hf_seal_get(world.seal, &world.op, HF_KIND_VERSION, version_path, &version));
    assert_true(version->tombstone);
    assert_ok(&world.op, hf_version_record_decode(&world.op, hf_secret_bytes(version->plain),
                                                  &version_record));
    assert_int_equal(version_record.state, HF_KEY_DESTROYED_COMPROMISED);
    assert_int_equal(version_record.wrapped.len, 0);
    assert_memory_equal(version_record.check_value, before.check_value, HF_CHECK_VALUE_LEN);
    assert_int_equal(version_record.created_ms, before.created_ms);
    assert_true(hf_bytes_equal_text(version_record.reason, "leaked for good"));
}

static void one_version_is_scheduled_kept_and_at_last_destroyed(void **unused)
{
    struct change destroy = {
        .kind = CHANGE_DESTROY, .name = "one", .version = 1, .reason = "old"
    };
    struct change keep = { .kind = CHANGE_KEEP, .name = "one", .version = 1 };

    (void)unused;
    new_key("one", HF_ALG_AES_256);
    rotate("one");
    assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
    set_state("one", 1, HF_KEY_DEACTIVATE);
    assert_fails(&world.op, do_change(&world.op, &keep, NULL), HF_WRONG_STATE);
    must(&destroy);
    assert_int_equal(version_of("one", 1).destroy_at_ms, world.now_ms + 30 * DAY);
    assert_int_equal(version_of("one", 1).state, HF_KEY_DEACTIVATED);
    assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
    assert_non_null(strstr(world.op.text, "due at 20"));
    must(&keep);
    assert_int_equal(version_of("one", 1).destroy_at_ms, 0);
    must(&destroy);
    world.now_ms += 30 * DAY;
    must(&destroy);
    assert_int_equal(version_of("one", 1).state, HF_KEY_DESTROYED);
    assert_int_equal(version_of("one", 1).destroyed_ms, world.now_ms);
    assert_string_equal(version_of("one", 1).reason, "old");
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "one", 2));
    expect("the destroyed version", hf_key_prove(world.keys, &world.op, RING, "one", 1),
           HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED);
    assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
    /* What is known to have leaked is noted even after the end. */
    set_state("one", 1, HF_KEY_COMPROMISE);
    assert_int_equal(version_of("one", 1).state, HF_KEY_DESTROYED_COMPROMISED);
    assert_int_equal(rotate("one"), 3);
}

static void destroying_the_primary_version_leaves_none(void **unused)
{
    uint32_t version = 0;

    (void)unused;
    new_key("headless", HF_ALG_AES_256);
    set_state("headless", 1, HF_KEY_DEACTIVATE);
    must(&(struct change){
        .kind = CHANGE_DESTROY, .name = "headless", .version = 1, .force = true });
    assert_fails(&world.op, hf_key_primary(world.keys, &world.op, RING, "headless", &version),
                 HF_WRONG_STATE);
    assert_int_equal(rotate("headless"), 2);
    assert_ok(&world.op, hf_key_primary(world.keys, &world.op, RING, "headless", &version));
    assert_int_equal(version, 2);
}

static void a_version_in_use_is_not_destroyed(void **unused)
{
    static const char *const names[] = { "dark-version", "dark-key" };
    static const bool merged[] = { false, true };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        struct change destroy = { .kind = CHANGE_DESTROY,
                                  .name = names[i],
                                  .version = i == 0 ? 1 : HF_LATEST };

        new_key(names[i], HF_ALG_AES_256);
        if (i == 0) {
            set_state(names[i], 1, HF_KEY_DEACTIVATE);
            must(&destroy);
        } else {
            must(&(struct change){ .kind = CHANGE_DELETE, .name = names[i] });
        }
        world.now_ms += 30 * DAY;
        hf_usage_count(world.keys, &world.op, RING, names[i], 1, "somebody", 0, 1);
        if (merged[i]) {
            assert_ok(&world.op, hf_usage_merge(world.keys, &world.op));
        }
        assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
        assert_non_null(strstr(world.op.text, "dark window"));
        world.now_ms += 7200 * 1000 - 1;
        assert_fails(&world.op, do_change(&world.op, &destroy, NULL), HF_WRONG_STATE);
        world.now_ms += 1;
        must(&destroy);
    }
}

struct due {
    struct hf_buf text;
    bool destroys;
};

static struct hf_status take_due(void *context, const char *keyring, const char *name,
                                 uint32_t version)
{
    struct due *due = context;
    struct hf_op op = world_op(3);

    hf_buf_add_format(&due->text, "%s/%s@%d ", keyring, name,
                      version == HF_LATEST ? -1 : (int)version);
    return due->destroys ? do_change(&op,
                                     &(struct change){
                                         .kind = CHANGE_DESTROY, .name = name, .version = version },
                                     NULL)
                         : HF_SUCCESS;
}

static void what_is_due_is_found_for_the_job(void **unused)
{
    struct due due = { .destroys = true };
    HF_AUTO(buf) names = hf_buf_new();

    (void)unused;
    /* What other tests have left waiting goes first. */
    world.now_ms += 60 * DAY;
    assert_ok(&world.op, hf_key_purge_due(world.keys, &world.op, take_due, &due));
    hf_buf_clear(&due.text);
    new_key("due-key", HF_ALG_AES_256);
    new_key("due-version", HF_ALG_AES_256);
    new_key("due-later", HF_ALG_AES_256);
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "due-key" });
    rotate("due-version");
    set_state("due-version", 1, HF_KEY_DEACTIVATE);
    must(&(struct change){ .kind = CHANGE_DESTROY, .name = "due-version", .version = 1 });
    world.now_ms += 29 * DAY;
    assert_ok(&world.op, hf_key_purge_due(world.keys, &world.op, take_due, &due));
    assert_int_equal(due.text.len, 0);
    must(&(struct change){ .kind = CHANGE_DELETE, .name = "due-later" });
    world.now_ms += DAY;
    world_restart();
    assert_ok(&world.op, hf_key_purge_due(world.keys, &world.op, take_due, &due));
    assert_string_equal(hf_buf_text(&due.text), "ring/due-version@1 ring/due-key@-1 ");
    hf_buf_clear(&due.text);
    assert_ok(&world.op, hf_key_purge_due(world.keys, &world.op, take_due, &due));
    assert_int_equal(due.text.len, 0);
    assert_ok(&world.op,
              hf_key_names(world.keys, &world.op, RING, true, NULL, SIZE_MAX, add_name, names));
    assert_string_equal(hf_buf_text(names), "due-later ");
    assert_int_equal(version_of("due-version", 1).state, HF_KEY_DESTROYED);
    hf_buf_done(&due.text);
}

/* --- keyrings --- */

static void find_ring(void *context, const struct hf_keyring_info *info)
{
    struct hf_keyring_info again;

    /* The visitor may ask about keyrings itself. */
    assert_ok(&world.op, hf_keyring_get(world.keys, &world.op, info->name, &again));
    if (strcmp(info->name, "settings") == 0) {
        *(bool *)context = strcmp(info->settings.main_key, "main") == 0;
    }
}

static struct hf_status change_ring(const char *name, const struct hf_keyring_settings *settings)
{
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;

    HF_TRY(hf_txn_new(world.seal, &world.op, &txn));
    HF_TRY(hf_keyring_change(world.keys, &world.op, txn, name, settings));
    return hf_txn_commit(txn, &world.op, &commit);
}

static void a_keyring_keeps_its_settings(void **unused)
{
    struct hf_keyring_settings settings = ring_settings();
    struct hf_keyring_info info;
    HF_AUTO(txn) txn = NULL;
    bool found = false;

    (void)unused;
    new_ring("settings", &settings);
    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_fails(&world.op, hf_keyring_create(world.keys, &world.op, txn, "settings", &settings),
                 HF_EXISTS);
    settings.approve_export = true;
    settings.destroy_wait_ms = 5;
    settings.max_stale_ms = 20;
    settings.max_stale_wrap_ms = 10;
    settings.dark_window_ms = 21;
    settings.min_ways = 3;
    assert_ok(&world.op, change_ring("settings", &settings));
    world_restart();
    assert_ok(&world.op, hf_keyring_get(world.keys, &world.op, "settings", &info));
    assert_true(info.settings.approve_export);
    assert_false(info.settings.approve_destroy);
    assert_false(info.settings.approve_slot_removal);
    assert_int_equal(info.settings.destroy_wait_ms, 5);
    assert_int_equal(info.settings.max_stale_ms, 20);
    assert_int_equal(info.settings.max_stale_wrap_ms, 10);
    assert_int_equal(info.settings.dark_window_ms, 21);
    assert_int_equal(info.settings.min_ways, 3);
    assert_int_equal(info.created_ms, world.now_ms);
    assert_int_equal(info.revision, 2);
    assert_string_equal(info.settings.main_key, "main");
    hf_keyring_each(world.keys, find_ring, &found);
    assert_true(found);
}

static void a_keyring_keeps_the_nodes_that_serve_it(void **unused)
{
    struct hf_keyring_settings settings = ring_settings();
    struct hf_keyring_info info;

    (void)unused;
    assert_true(hf_keyring_is_served_by(world.keys, &world.op, RING, "c"));
    assert_ok(&world.op, hf_serve_on_add(&world.op, &settings.serve_on, "node-b"));
    assert_ok(&world.op, hf_serve_on_add(&world.op, &settings.serve_on, "a"));
    new_ring("served", &settings);
    world_restart();
    assert_ok(&world.op, hf_keyring_get(world.keys, &world.op, "served", &info));
    assert_int_equal(info.settings.serve_on.count, 2);
    assert_string_equal(info.settings.serve_on.names[0], "a");
    assert_string_equal(info.settings.serve_on.names[1], "node-b");
    assert_true(hf_keyring_is_served_by(world.keys, &world.op, "served", "a"));
    assert_true(hf_keyring_is_served_by(world.keys, &world.op, "served", "node-b"));
    assert_false(hf_keyring_is_served_by(world.keys, &world.op, "served", "node"));
    /* One keyring's affair only, and gone with the list. */
    assert_true(hf_keyring_is_served_by(world.keys, &world.op, RING, "node"));
    info.settings.serve_on.count = 0;
    assert_ok(&world.op, change_ring("served", &info.settings));
    assert_true(hf_keyring_is_served_by(world.keys, &world.op, "served", "node"));
}

static void names_of_nodes_that_none_can_have_are_refused(void **unused)
{
    struct hf_serve_on list = { 0 };
    char name[HF_NODE_NAME_MAX + 2] = "";

    (void)unused;
    memset(name, 'n', sizeof name - 1);
    assert_fails(&world.op, hf_serve_on_add(&world.op, &list, ""), HF_INVALID);
    assert_fails(&world.op, hf_serve_on_add(&world.op, &list, "a b"), HF_INVALID);
    assert_fails(&world.op, hf_serve_on_add(&world.op, &list, name), HF_INVALID);
    assert_int_equal(list.count, 0);
    for (unsigned i = 0; i < HF_SERVE_ON_MAX; i++) {
        (void)snprintf(name, sizeof name, "node-%u", i);
        assert_ok(&world.op, hf_serve_on_add(&world.op, &list, name));
        assert_fails(&world.op, hf_serve_on_add(&world.op, &list, name), HF_INVALID);
        assert_non_null(strstr(world.op.text, "twice"));
    }
    assert_fails(&world.op, hf_serve_on_add(&world.op, &list, "one-more"), HF_INVALID);
    assert_non_null(strstr(world.op.text, "32 nodes"));
}

static void keyring_settings_that_cannot_hold_are_refused(void **unused)
{
    struct hf_keyring_settings settings = ring_settings();
    struct hf_keyring_info info;

    (void)unused;
    settings.max_stale_wrap_ms = settings.max_stale_ms + 1;
    assert_fails(&world.op, change_ring(RING, &settings), HF_INVALID);
    settings = ring_settings();
    settings.dark_window_ms = settings.max_stale_ms - 1;
    assert_fails(&world.op, change_ring(RING, &settings), HF_INVALID);
    settings = ring_settings();
    settings.destroy_wait_ms = UINT64_MAX;
    assert_fails(&world.op, change_ring(RING, &settings), HF_INVALID);
    settings = ring_settings();
    settings.min_ways = HF_MIN_WAYS_MAX + 1;
    assert_fails(&world.op, change_ring(RING, &settings), HF_INVALID);
    settings = ring_settings();
    settings.main_key = "";
    assert_fails(&world.op, change_ring(RING, &settings), HF_INVALID);
    assert_fails(&world.op, hf_keyring_get(world.keys, &world.op, "nowhere", &info), HF_NOT_FOUND);
}

/* --- locked --- */

static void a_locked_seal_refuses_everything_and_forgets_nothing_in_the_store(void **unused)
{
    struct hf_slot_info slot;
    uint32_t version = 0;
    enum hf_algorithm algorithm;
    struct hf_keyring_info info;
    HF_AUTO(key_info) key = NULL;

    (void)unused;
    new_key("locked", HF_ALG_AES_256);
    hf_seal_lock(world.seal);
    assert_fails(&world.op, hf_key_primary(world.keys, &world.op, RING, "locked", &version),
                 HF_WRONG_STATE);
    assert_fails(&world.op, hf_key_algorithm(world.keys, &world.op, RING, "locked", &algorithm),
                 HF_WRONG_STATE);
    assert_fails(&world.op, hf_keyring_get(world.keys, &world.op, RING, &info), HF_WRONG_STATE);
    assert_fails(&world.op, hf_key_get(world.keys, &world.op, RING, "locked", false, &key),
                 HF_WRONG_STATE);
    assert_fails(&world.op, hf_key_prove(world.keys, &world.op, RING, "locked", 1), HF_WRONG_STATE);
    assert_ok(&world.op, hf_seal_unlock(world.seal, &world.op, world.protector, &slot));
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "locked", 1));
}

static void whoever_may_not_wait_is_told_later_before_anything_happens(void **unused)
{
    struct hf_op op = world_op(1);
    HF_AUTO(txn) txn = NULL;
    HF_AUTO(key_info) info = NULL;
    struct hf_usage usage;
    uint64_t calls = 0;

    (void)unused;
    new_key("waiting", HF_ALG_AES_256);
    assert_ok(&op, hf_txn_new(world.seal, &op, &txn));
    op.may_wait = false;
    hf_failing_set(world.engine, HF_FAULT_NONE, HF_OK, 0);
    calls = hf_failing_calls(world.engine);
    for (int kind = CHANGE_CREATE; kind <= CHANGE_KEEP; kind++) {
        struct change change = {
            .kind = (enum change_kind)kind,
            .name = kind == CHANGE_CREATE ? "waiting-too" : "waiting",
            .version = 1,
            .event = HF_KEY_SUSPEND,
        };
        uint32_t out = 0;
        struct hf_status status = stage_change(&op, txn, &change, &out);

        if (status.code != HF_LATER) {
            fail_msg("change %d: got %s: %s", kind, hf_code_name(status.code), op.text);
        }
    }
    assert_fails(&op, hf_key_get(world.keys, &op, RING, "waiting", false, &info), HF_LATER);
    assert_fails(&op, hf_usage_get(world.keys, &op, RING, "waiting", 1, &usage), HF_LATER);
    assert_fails(&op, hf_usage_merge(world.keys, &op), HF_LATER);
    assert_fails(&op, hf_key_prove(world.keys, &op, RING, "waiting", 1), HF_LATER);
    assert_int_equal(hf_failing_calls(world.engine), calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_has_a_name_that_is_read_back),
        cmocka_unit_test(material_is_made_or_imported_and_must_fit),
        cmocka_unit_test(key_pairs_are_made_or_imported_as_pkcs8),
        cmocka_unit_test(lengths_can_be_asked_for_where_there_is_a_choice),
        cmocka_unit_test(any_utf8_name_without_nul_is_taken_and_given_back),
        cmocka_unit_test(a_name_of_255_bytes_fits_and_one_more_is_refused),
        cmocka_unit_test(keyring_names_are_plain),
        cmocka_unit_test(what_is_told_about_a_key_is_given_back),
        cmocka_unit_test(plans_beyond_the_limits_are_refused),
        cmocka_unit_test(the_acl_name_is_known_without_the_store),
        cmocka_unit_test(names_are_listed_in_pages),
        cmocka_unit_test(the_newest_version_is_primary_until_another_is_chosen),
        cmocka_unit_test(a_pre_active_key_serves_once_it_is_activated),
        cmocka_unit_test(rewrap_moves_all_versions_and_changes_no_material),
        cmocka_unit_test(changes_of_state_are_dated_and_explained),
        cmocka_unit_test(a_deleted_key_is_hidden_and_can_be_recovered),
        cmocka_unit_test(numbers_are_never_used_again),
        cmocka_unit_test(tombstones_remember_what_was_there),
        cmocka_unit_test(one_version_is_scheduled_kept_and_at_last_destroyed),
        cmocka_unit_test(destroying_the_primary_version_leaves_none),
        cmocka_unit_test(a_version_in_use_is_not_destroyed),
        cmocka_unit_test(what_is_due_is_found_for_the_job),
        cmocka_unit_test(a_keyring_keeps_its_settings),
        cmocka_unit_test(a_keyring_keeps_the_nodes_that_serve_it),
        cmocka_unit_test(names_of_nodes_that_none_can_have_are_refused),
        cmocka_unit_test(keyring_settings_that_cannot_hold_are_refused),
        cmocka_unit_test(a_locked_seal_refuses_everything_and_forgets_nothing_in_the_store),
        cmocka_unit_test(whoever_may_not_wait_is_told_later_before_anything_happens),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
