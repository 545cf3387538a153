/* The key file protector: its vector, the file it makes, and the files it refuses. */
#include "protect_world.h"

#include "protect/wrap_internal.h"

#define HEX_KEY "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"

/* docs/formats/protector.md; computed there by hashlib and the Python package cryptography. */
static const char vector[] = "01101112131415161718191a1b1c1d1e1fd58405e7061e6cc61efd2a8b5c6d4647202"
                             "122232425262728292a2b8ce5c3"
                             "9e6f6f43e4fc6419eaef3a2d13e7d303b82701fdc6be3f607bce56fdf18b72424d1d6"
                             "fce56b5af90ef8110d8ca80b470"
                             "a0c606ca86";

static struct hf_status open_file(const char *path, struct hf_protector **out)
{
    const struct hf_protector_settings settings = { .kind = "keyfile", .file = path };

    return hf_protector_open(world.crypto, &world.op, &settings, out);
}

static void the_documented_vector_is_made_and_opened(void **unused)
{
    HF_AUTO_STRING path = in_directory("vector");
    struct hf_wrap_random random;
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(secret) plain =
        unhex_secret("404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    const struct hf_bytes context = hf_bytes_of_text("store 1, slot 1");

    (void)unused;
    write_file(path, hf_bytes_of_text("holdfast-keyfile 1\n" HEX_KEY "\n"), 0600);
    assert_ok(&world.op, open_file(path, &protector));
    for (size_t i = 0; i < sizeof random.salt; i++) {
        random.salt[i] = (uint8_t)(0x10 + i);
    }
    for (size_t i = 0; i < sizeof random.nonce; i++) {
        random.nonce[i] = (uint8_t)(0x20 + i);
    }
    assert_ok(&world.op, hf_keyfile_wrap_with(protector, &world.op, &random, hf_secret_bytes(plain),
                                              context, wrapped));
    assert_hex("made", hf_buf_bytes(wrapped), vector);
    assert_ok(&world.op,
              hf_protector_unwrap(protector, &world.op, hf_buf_bytes(wrapped), context, &back));
    assert_true(hf_secret_equal(plain, back));
}

static void a_new_file_is_ours_alone_and_opens(void **unused)
{
    HF_AUTO_STRING path = new_keyfile("new.key");
    HF_AUTO(protector) protector = NULL;
    struct stat info;

    (void)unused;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_size, 19 + 64 + 1);
    assert_ok(&world.op, open_file(path, &protector));
}

static void two_new_files_differ(void **unused)
{
    HF_AUTO_STRING one = new_keyfile("a.key");
    HF_AUTO_STRING other = new_keyfile("b.key");
    HF_AUTO(protector) first = NULL;
    HF_AUTO(protector) second = NULL;
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();

    (void)unused;
    assert_ok(&world.op, open_file(one, &first));
    assert_ok(&world.op, open_file(other, &second));
    assert_ok(&world.op, hf_protector_wrap(first, &world.op, plain, HF_BYTES_NONE, wrapped));
    assert_fails(
        &world.op,
        hf_protector_unwrap(second, &world.op, hf_buf_bytes(wrapped), HF_BYTES_NONE, &back),
        HF_DENIED);
}

static void a_file_that_is_there_is_never_replaced(void **unused)
{
    HF_AUTO_STRING path = new_keyfile("kept.key");
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(protector) before = NULL;
    HF_AUTO(protector) after = NULL;

    (void)unused;
    assert_ok(&world.op, open_file(path, &before));
    assert_ok(&world.op, hf_protector_wrap(before, &world.op, plain, HF_BYTES_NONE, wrapped));
    assert_fails(&world.op, hf_keyfile_create(world.crypto, &world.op, path), HF_EXISTS);
    assert_ok(&world.op, open_file(path, &after));
    assert_ok(&world.op,
              hf_protector_unwrap(after, &world.op, hf_buf_bytes(wrapped), HF_BYTES_NONE, &back));
}

static void files_of_another_shape_are_refused_without_quoting_them(void **unused)
{
    static const struct {
        const char *says;
        const char *content;
        enum hf_code code;
    } cases[] = {
        { "as it is written", "holdfast-keyfile 1\n" HEX_KEY "\n", HF_OK },
        { "the last line end may be missing", "holdfast-keyfile 1\n" HEX_KEY, HF_OK },
        { "empty", "", HF_INVALID },
        { "no heading", HEX_KEY "\n", HF_INVALID },
        { "a later heading", "holdfast-keyfile 2\n" HEX_KEY "\n", HF_INVALID },
        { "only the heading", "holdfast-keyfile 1\n", HF_INVALID },
        { "half a key", "holdfast-keyfile 1\n8081828384858687\n", HF_INVALID },
        { "not hex",
          "holdfast-keyfile 1\n"
          "z08182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\n",
          HF_INVALID },
        { "more behind it", "holdfast-keyfile 1\n" HEX_KEY "\n\n", HF_INVALID },
        { "two keys", "holdfast-keyfile 1\n" HEX_KEY "\n" HEX_KEY "\n", HF_INVALID },
    };
    HF_AUTO_STRING path = in_directory("shape");

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(protector) protector = NULL;
        struct hf_status status;

        write_file(path, hf_bytes_of_text(cases[i].content), 0600);
        status = open_file(path, &protector);
        if (status.code != cases[i].code) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
        assert_null(strstr(world.op.text, "0818"));
    }
}

static void a_missing_file_and_a_missing_path_are_told_apart(void **unused)
{
    HF_AUTO_STRING path = in_directory("missing");
    HF_AUTO(protector) protector = NULL;

    (void)unused;
    assert_fails(&world.op, open_file(path, &protector), HF_UNAVAILABLE);
    assert_fails(&world.op, open_file(NULL, &protector), HF_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_vector_is_made_and_opened),
        cmocka_unit_test(a_new_file_is_ours_alone_and_opens),
        cmocka_unit_test(two_new_files_differ),
        cmocka_unit_test(a_file_that_is_there_is_never_replaced),
        cmocka_unit_test(files_of_another_shape_are_refused_without_quoting_them),
        cmocka_unit_test(a_missing_file_and_a_missing_path_are_told_apart),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
