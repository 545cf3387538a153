/* The contents of records, byte for byte as docs/formats/key.md has them. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "keys/name.h"
#include "keys/record.h"

static struct hf_env env;
static struct hf_op op;

static int open_op(void **unused)
{
    (void)unused;
    hf_env_system(&env);
    hf_op_init(&op, &env);
    return 0;
}

static struct hf_status keyring_again(struct hf_bytes content, struct hf_buf *out)
{
    struct hf_keyring_record record;

    HF_TRY(hf_keyring_record_decode(&op, content, &record));
    hf_keyring_record_encode(&record, out);
    return HF_SUCCESS;
}

static struct hf_status key_again(struct hf_bytes content, struct hf_buf *out)
{
    struct hf_key_record record;

    HF_TRY(hf_key_record_decode(&op, content, &record));
    hf_key_record_encode(&record, out);
    return HF_SUCCESS;
}

static struct hf_status version_again(struct hf_bytes content, struct hf_buf *out)
{
    struct hf_version_record record;

    HF_TRY(hf_version_record_decode(&op, content, &record));
    hf_version_record_encode(&record, out);
    return HF_SUCCESS;
}

static struct hf_status usage_again(struct hf_bytes content, struct hf_buf *out)
{
    struct hf_usage usage;

    HF_TRY(hf_usage_decode(&op, content, &usage));
    hf_usage_encode(&usage, out);
    return HF_SUCCESS;
}

static const struct {
    const char *says;
    struct hf_status (*again)(struct hf_bytes content, struct hf_buf *out);
    const char *hex;
} vectors[] = {
    { "keyring", keyring_again,
      "010500000003000001a3185c5000000000009a7ec80000000000006ddd00000000000036ee800000"
      "0000000927c0000000046d61696e" },
    { "key", key_again,
      "01031b000000020000000000000003000001a3185c5000000001a3185c53e8000001a3b2db1be800"
      "00000000000000000000056d6f7665640000000c6f7264657273207461626c65000000114145532f"
      "4354522f4e6f50616464696e6700000001000000056f776e65720000000573616c657300000000" },
    { "key tombstone", key_again,
      "010106ffffffff0000000100000002000001a3185c5000000001a3185c53e8000001a3b2db1be800"
      "0001a3b2db1fd0000000056d6f7665640000000000000000000000000000000100000001c0c1c2c3"
      "c4c5c6c7c8c9cacbcccdcecf" },
    { "version", version_again,
      "010401000001a3185c5000000001a3185c5001000001a3185c500200000000000000000000000000"
      "000000000001a3b2db1802c0c1c2c3c4c5c6c7c8c9cacbcccdcecf000000087265706c6163656400"
      "00000000000041010000000300000000000000000000000000000000000000000000000000000000"
      "0000000000000000000000000000000000000000000000000000000000000000" },
    { "version tombstone", version_again,
      "010700000001a3185c5000000001a3185c50010000000000000000000001a3185c5003000001a3b2"
      "db1fd00000000000000000c0c1c2c3c4c5c6c7c8c9cacbcccdcecf000000066c65616b6564000000"
      "0000000000" },
    { "usage", usage_again,
      "01000000000000000c0000000000000003000001a3185c5000000001a3185d3a60020000000b6365"
      "72743a434e3d6e6e31000000000000000a000001a3185d3a6000000009756e69783a686466730000"
      "000000000005000001a3185c5000" },
    { "key that is not born", key_again,
      "010320ffffffff0000000400000005000001a3185c50000000000000000000000000000000000000"
      "000000000000000000000000000000000000000000000000000000" },
    { "candidate", version_again,
      "010106000001a3185c50000000000000000000000000000000000000000000000000000000000000"
      "0000000000000000000000c0c1c2c3c4c5c6c7c8c9cacbcccdcecf00000000000000000000004101"
      "00000003000000000000000000000000000000000000000000000000000000000000000000000000"
      "000000000000000000000000000000000000000000000000" },
    { "keyring whose keys rotate", keyring_again,
      "020500000003000001a3185c5000000000009a7ec80000000000006ddd00000000000036ee800000"
      "0000000927c0000000046d61696e0000000100000000" },
    { "keyring that two nodes serve", keyring_again,
      "030500000003000001a3185c5000000000009a7ec80000000000006ddd00000000000036ee800000"
      "0000000927c0000000046d61696e0000000000000000020000000161000000066e6f64652d32" },
    { "keyring that wants two ways", keyring_again,
      "040500000003000001a3185c5000000000009a7ec80000000000006ddd00000000000036ee800000"
      "0000000927c0000000046d61696e00000000000000000000000002" },
    { "keyring that one node serves, rotating, and that wants a thousand ways", keyring_again,
      "040500000003000001a3185c5000000000009a7ec80000000000006ddd00000000000036ee800000"
      "0000000927c0000000046d61696e0000000100000000010000000161000003e8" },
};

static struct hf_buf *bytes_of(size_t row)
{
    struct hf_buf *bytes = hf_buf_new();

    assert_ok(&op, hf_hex_decode(&op, hf_bytes_of_text(vectors[row].hex), bytes));
    return bytes;
}

static enum hf_code again_code(size_t row, struct hf_bytes content)
{
    HF_AUTO(buf) out = hf_buf_new();

    return vectors[row].again(content, out).code;
}

static void the_vectors_are_read_and_written_back(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(vectors); i++) {
        HF_AUTO(buf) bytes = bytes_of(i);
        HF_AUTO(buf) out = hf_buf_new();

        assert_ok(&op, vectors[i].again(hf_buf_bytes(bytes), out));
        if (!hf_bytes_equal(hf_buf_bytes(bytes), hf_buf_bytes(out))) {
            HF_AUTO(buf) text = hf_buf_new();

            hf_hex_add(text, hf_buf_bytes(out));
            fail_msg("%s: got %s", vectors[i].says, hf_buf_text(text));
        }
    }
}

static void what_is_cut_or_prolonged_is_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(vectors); i++) {
        HF_AUTO(buf) bytes = bytes_of(i);

        for (size_t len = 0; len < bytes->len; len++) {
            if (again_code(i, hf_bytes_of(bytes->data, len)) != HF_CORRUPT) {
                fail_msg("%s: %zu bytes of it are taken", vectors[i].says, len);
            }
        }
        hf_buf_add(bytes, "", 1);
        assert_int_equal(again_code(i, hf_buf_bytes(bytes)), HF_CORRUPT);
        assert_int_equal(op.cause, HF_CAUSE_ALTERED);
    }
}

static void a_later_format_is_told_from_damage(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(vectors); i++) {
        HF_AUTO(buf) bytes = bytes_of(i);

        bytes->data[0] = 5;
        assert_int_equal(again_code(i, hf_buf_bytes(bytes)), HF_UNSUPPORTED);
    }
}

/* Rows of the vectors above, a byte of them, and a value it cannot have. */
static const struct {
    const char *says;
    size_t row;
    size_t at;
    uint8_t value;
} unsound[] = {
    { "an unknown flag of a keyring", 0, 1, 0x08 },
    { "an unknown algorithm", 1, 1, 4 },
    { "an unknown flag of a key", 1, 2, 0x40 },
    { "a primary beyond the versions", 1, 6, 3 },
    { "a first version beyond the next", 1, 10, 4 },
    { "more check values than there are bytes", 2, 71, 2 },
    { "no state", 3, 1, 0 },
    { "an unknown state", 3, 1, 8 },
    { "an unknown flag of a version", 3, 2, 8 },
    { "a destroyed version with material", 3, 1, HF_KEY_DESTROYED },
    { "an active version without material", 4, 1, HF_KEY_ACTIVE },
    { "nine callers", 5, 33, 9 },
    { "an unborn key that is deleted", 6, 2, 0x22 },
    { "an unborn key that is destroyed", 6, 2, 0x24 },
    { "an unborn key with two versions", 6, 14, 6 },
    { "a candidate that is active", 7, 1, HF_KEY_ACTIVE },
    { "a candidate that is to be destroyed", 7, 50, 1 },
    { "what stays pre-active and is no candidate", 7, 2, 4 },
    { "format 2 of a keyring where format 1 would do", 8, 57, 0 },
    { "names of nodes out of order", 9, 67, 'o' },
    { "a name that no node has", 9, 67, '/' },
    { "more nodes than there are bytes", 9, 62, 3 },
    { "format 4 of a keyring where format 1 would do", 10, 66, 0 },
    { "more ways than a keyring can want", 11, 71, 0xe9 },
};

static void what_no_record_can_hold_is_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(unsound); i++) {
        HF_AUTO(buf) bytes = bytes_of(unsound[i].row);

        bytes->data[unsound[i].at] = unsound[i].value;
        if (again_code(unsound[i].row, hf_buf_bytes(bytes)) != HF_CORRUPT) {
            fail_msg("%s is taken", unsound[i].says);
        }
    }
}

/* One form: in order, each once, and format 3 only where somebody is named. */
static void a_list_of_nodes_has_one_form(void **unused)
{
    HF_AUTO(buf) bytes = bytes_of(9);
    HF_AUTO(buf) twice = hf_buf_new();

    (void)unused;
    hf_buf_add(twice, bytes->data, 62);
    hf_put_u8(twice, 0);
    assert_int_equal(again_code(9, hf_buf_bytes(twice)), HF_CORRUPT);
    twice->data[62] = 2;
    hf_put_text(twice, "a");
    hf_put_text(twice, "a");
    assert_int_equal(again_code(9, hf_buf_bytes(twice)), HF_CORRUPT);
    twice->data[62] = 1;
    assert_int_equal(again_code(9, hf_bytes_of(twice->data, twice->len - 5)), HF_OK);
}

static void a_key_that_is_not_born_has_no_primary_version(void **unused)
{
    static const uint8_t four[] = { 0, 0, 0, 4 };
    HF_AUTO(buf) bytes = bytes_of(6);

    (void)unused;
    memcpy(bytes->data + 3, four, sizeof four);
    assert_int_equal(again_code(6, hf_buf_bytes(bytes)), HF_CORRUPT);
    bytes->data[2] = 0;
    assert_int_equal(again_code(6, hf_buf_bytes(bytes)), HF_OK);
}

static void the_names_of_callers_hold_no_zero_byte_and_fit(void **unused)
{
    HF_AUTO(buf) bytes = bytes_of(5);
    HF_AUTO(buf) too_long = hf_buf_new();

    (void)unused;
    bytes->data[40] = 0;
    assert_int_equal(again_code(5, hf_buf_bytes(bytes)), HF_CORRUPT);
    hf_buf_add(too_long, bytes->data, 33);
    hf_put_u8(too_long, 1);
    hf_put_u32(too_long, 128);
    memset(hf_buf_reserve(too_long, 128), 'c', 128);
    hf_buf_grew(too_long, 128);
    hf_put_u64(too_long, 1);
    hf_put_u64(too_long, 1);
    assert_int_equal(again_code(5, hf_buf_bytes(too_long)), HF_CORRUPT);
    too_long->data[37] = 127;
    assert_int_equal(again_code(5, hf_bytes_of(too_long->data, too_long->len - 1)), HF_OK);
}

/* --- paths --- */

static const struct {
    const char *path;
    const char *name; /* NULL: refused */
    uint32_t version;
} paths[] = {
    { "version/ring/key/0000000001", "key", 1 },
    { "version/ring/a%2Fb/4294967294", "a/b", 4294967294 },
    { "version/ring/%0A%25/0000000000", "\n%", 0 },
    { "version/ring/key/4294967295", NULL, 0 },
    { "version/ring/key/9999999999", NULL, 0 },
    { "version/ring/key/1", NULL, 0 },
    { "version/ring/key/00000000011", NULL, 0 },
    { "version/ring/key/000000000x", NULL, 0 },
    { "version/ring/key/", NULL, 0 },
    { "version/ring/key", NULL, 0 },
    { "version/ring//0000000001", NULL, 0 },
    { "version/ring/a/b/0000000001", NULL, 0 },
    { "version/ring/%4/0000000001", NULL, 0 },
    { "version/ring/a%00b/0000000001", NULL, 0 },
    { "version/RING/key/0000000001", NULL, 0 },
    { "version//key/0000000001", NULL, 0 },
    { "key/ring/key/0000000001", NULL, 0 },
    { "", NULL, 0 },
};

static void paths_of_versions_are_taken_apart(void **unused)
{
    struct hf_path_parts parts;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(paths); i++) {
        struct hf_status status = hf_version_path_parse(&op, paths[i].path, &parts);

        if (paths[i].name == NULL) {
            if (status.code != HF_CORRUPT) {
                fail_msg("\"%s\" is taken", paths[i].path);
            }
            continue;
        }
        assert_ok(&op, status);
        assert_string_equal(parts.keyring, "ring");
        assert_true(hf_bytes_equal_text(parts.name, paths[i].name));
        assert_int_equal(parts.version, paths[i].version);
        free(hf_version_path("ring", paths[i].name, paths[i].version));
    }
}

static void paths_are_made_and_taken_apart_alike(void **unused)
{
    struct hf_path_parts parts;
    char name[256];
    char *path = NULL;

    (void)unused;
    for (int i = 0; i < 255; i++) {
        name[i] = (char)(i + 1);
    }
    name[255] = '\0';
    path = hf_key_path("ring", name);
    assert_ok(&op, hf_key_path_parse(&op, path, &parts));
    assert_true(hf_bytes_equal_text(parts.name, name));
    free(path);
    path = hf_keyring_path("ring-2");
    assert_ok(&op, hf_keyring_path_parse(&op, path, &parts));
    assert_string_equal(parts.keyring, "ring-2");
    assert_fails(&op, hf_key_path_parse(&op, path, &parts), HF_CORRUPT);
    assert_fails(&op, hf_key_path_parse(&op, "key/ring/a/b", &parts), HF_CORRUPT);
    assert_fails(&op, hf_keyring_path_parse(&op, "keyring/ring/x", &parts), HF_CORRUPT);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_are_read_and_written_back),
        cmocka_unit_test(what_is_cut_or_prolonged_is_refused),
        cmocka_unit_test(a_later_format_is_told_from_damage),
        cmocka_unit_test(what_no_record_can_hold_is_refused),
        cmocka_unit_test(a_list_of_nodes_has_one_form),
        cmocka_unit_test(a_key_that_is_not_born_has_no_primary_version),
        cmocka_unit_test(the_names_of_callers_hold_no_zero_byte_and_fit),
        cmocka_unit_test(paths_of_versions_are_taken_apart),
        cmocka_unit_test(paths_are_made_and_taken_apart_alike),
    };

    return cmocka_run_group_tests(tests, open_op, NULL);
}
