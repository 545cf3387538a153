/* The node protector: its vector, the key a machine makes, and slots made by the public half. */
#include "protect_world.h"

#define HEX_KEY    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
#define HEX_PUBLIC "493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d"
#define CONTEXT    hf_bytes_of_text("store 1, slot 1")

/* docs/formats/protector.md; computed there from RFC 9180, without Holdfast. */
static const char vector[] =
    "01" HEX_PUBLIC "605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c"
    "6b1df030fcaa4a1bb28134b7909eb6a5559c742c871de4252cba9f1f49531c35"
    "3d187af5658e23d28f952e8f667ccd2be5d3ed80c5109995";

static struct hf_status open_file(const char *path, struct hf_protector **out)
{
    const struct hf_protector_settings settings = { .kind = "node", .file = path };

    return hf_protector_open(world.crypto, &world.op, &settings, out);
}

static struct hf_status open_public(struct hf_bytes public_key, struct hf_protector **out)
{
    const struct hf_protector_settings settings = { .kind = "node", .public_key = public_key };

    return hf_protector_open(world.crypto, &world.op, &settings, out);
}

static char *new_key(const char *name)
{
    char *path = in_directory(name);

    assert_ok(&world.op, hf_node_key_create(world.crypto, &world.op, path));
    return path;
}

static void the_documented_vector_is_opened(void **unused)
{
    HF_AUTO_STRING path = in_directory("vector");
    HF_AUTO(buf) wrapped = unhex(vector);
    HF_AUTO(secret) plain =
        unhex_secret("404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f");
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(secret) back = NULL;
    uint8_t public_key[HF_X25519_LEN];

    (void)unused;
    write_file(path, hf_bytes_of_text("holdfast-node-key 1\n" HEX_KEY "\n"), 0600);
    assert_ok(&world.op, hf_node_key_public(world.crypto, &world.op, path, public_key));
    assert_hex("public half", hf_bytes_of(public_key, sizeof public_key), HEX_PUBLIC);
    assert_ok(&world.op, open_file(path, &protector));
    assert_ok(&world.op,
              hf_protector_unwrap(protector, &world.op, hf_buf_bytes(wrapped), CONTEXT, &back));
    assert_true(hf_secret_equal(plain, back));
}

static void a_new_key_is_ours_alone_and_never_replaced(void **unused)
{
    HF_AUTO_STRING path = new_key("own");
    uint8_t before[HF_X25519_LEN];
    uint8_t after[HF_X25519_LEN];
    struct stat info;

    (void)unused;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_ok(&world.op, hf_node_key_public(world.crypto, &world.op, path, before));
    assert_fails(&world.op, hf_node_key_create(world.crypto, &world.op, path), HF_EXISTS);
    assert_ok(&world.op, hf_node_key_public(world.crypto, &world.op, path, after));
    assert_memory_equal(before, after, sizeof before);
}

static void what_the_public_half_wraps_only_the_private_half_opens(void **unused)
{
    HF_AUTO_STRING path = new_key("target");
    HF_AUTO_STRING other_path = new_key("bystander");
    HF_AUTO(protector) maker = NULL;
    HF_AUTO(protector) owner = NULL;
    HF_AUTO(protector) other = NULL;
    HF_AUTO(secret) plain = secret_text("a private half of a slot");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    uint8_t public_key[HF_X25519_LEN];

    (void)unused;
    assert_ok(&world.op, hf_node_key_public(world.crypto, &world.op, path, public_key));
    assert_ok(&world.op, open_public(hf_bytes_of(public_key, sizeof public_key), &maker));
    assert_ok(&world.op, open_file(path, &owner));
    assert_ok(&world.op, open_file(other_path, &other));
    assert_true(maker->only_wraps && !owner->only_wraps);
    assert_ok(&world.op, hf_protector_wrap(maker, &world.op, plain, CONTEXT, wrapped));
    assert_fails(&world.op,
                 hf_protector_unwrap(maker, &world.op, hf_buf_bytes(wrapped), CONTEXT, &back),
                 HF_UNSUPPORTED);
    assert_fails(&world.op,
                 hf_protector_unwrap(other, &world.op, hf_buf_bytes(wrapped), CONTEXT, &back),
                 HF_DENIED);
    assert_ok(&world.op,
              hf_protector_unwrap(owner, &world.op, hf_buf_bytes(wrapped), CONTEXT, &back));
    assert_true(hf_secret_equal(plain, back));
}

static void public_keys_that_are_none_are_refused(void **unused)
{
    static const uint8_t zeroes[HF_X25519_LEN + 1];
    HF_AUTO(protector) none = NULL;
    HF_AUTO(protector) weak = NULL;
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(buf) wrapped = hf_buf_new();

    (void)unused;
    assert_fails(&world.op, open_public(HF_BYTES_NONE, &none), HF_INVALID);
    assert_fails(&world.op, open_public(hf_bytes_of(zeroes, HF_X25519_LEN - 1), &none), HF_INVALID);
    assert_fails(&world.op, open_public(hf_bytes_of(zeroes, HF_X25519_LEN + 1), &none), HF_INVALID);
    /* A point of small order: whoever knows that could open what is wrapped to it. */
    assert_ok(&world.op, open_public(hf_bytes_of(zeroes, HF_X25519_LEN), &weak));
    assert_fails(&world.op, hf_protector_wrap(weak, &world.op, plain, CONTEXT, wrapped),
                 HF_INVALID);
    assert_int_equal(wrapped->len, 0);
}

static void files_that_are_no_node_key_are_refused(void **unused)
{
    static const struct {
        const char *says;
        const char *content;
        mode_t mode;
    } cases[] = {
        { "a key file", "holdfast-keyfile 1\n" HEX_KEY "\n", 0600 },
        { "a later version", "holdfast-node-key 2\n" HEX_KEY "\n", 0600 },
        { "half a key", "holdfast-node-key 1\n80818283\n", 0600 },
        { "open to others", "holdfast-node-key 1\n" HEX_KEY "\n", 0640 },
    };
    HF_AUTO_STRING path = in_directory("shape");

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(protector) protector = NULL;
        struct hf_status status;

        write_file(path, hf_bytes_of_text(cases[i].content), cases[i].mode);
        status = open_file(path, &protector);
        if (status.code != HF_INVALID || strstr(world.op.text, "8182") != NULL) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code), world.op.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_vector_is_opened),
        cmocka_unit_test(a_new_key_is_ours_alone_and_never_replaced),
        cmocka_unit_test(what_the_public_half_wraps_only_the_private_half_opens),
        cmocka_unit_test(public_keys_that_are_none_are_refused),
        cmocka_unit_test(files_that_are_no_node_key_are_refused),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
