/* The passphrase protector: its vector, where the passphrase comes from, and what it may cost. */
#include "protect_world.h"

#include "base/codec.h"
#include "protect/wrap_internal.h"

#define PASSPHRASE "correct horse battery staple"

static struct hf_protector *open_text(const char *text)
{
    HF_AUTO(secret) secret = secret_text(text);
    const struct hf_protector_settings settings = {
        .kind = "passphrase",
        .passphrase = secret,
        .argon2_memory_kib = 8192,
        .argon2_passes = 1,
    };

    return open_protector(&settings);
}

/* docs/formats/protector.md; computed there by hashlib and the Python package cryptography. */
static const char vector[] = "01000020000000000104101112131415161718191a1b1c1d1e1f0a260ef5501895c18"
                             "33790e7e8631708202122232425"
                             "262728292a2b53803e9b06de9cbbf0e8628ae3c057c5689f381945d419ab0f4ba51bd"
                             "4d55ce5d378a05e2789c6df46d1"
                             "8c57435252968c36ed03fd86bfb4";

static void the_documented_vector_is_made_and_opened(void **unused)
{
    struct hf_wrap_random random;
    HF_AUTO(protector) protector = open_text(PASSPHRASE);
    HF_AUTO(secret) plain =
        unhex_secret("404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    const struct hf_bytes context = hf_bytes_of_text("store 1, slot 1");

    (void)unused;
    for (size_t i = 0; i < sizeof random.salt; i++) {
        random.salt[i] = (uint8_t)(0x10 + i);
    }
    for (size_t i = 0; i < sizeof random.nonce; i++) {
        random.nonce[i] = (uint8_t)(0x20 + i);
    }
    assert_ok(&world.op, hf_passphrase_wrap_with(protector, &world.op, &random,
                                                 hf_secret_bytes(plain), context, wrapped));
    assert_hex("made", hf_buf_bytes(wrapped), vector);
    assert_ok(&world.op,
              hf_protector_unwrap(protector, &world.op, hf_buf_bytes(wrapped), context, &back));
    assert_true(hf_secret_equal(plain, back));
}

/* --- where it comes from --- */

/* Whether a file with that content gives that passphrase. */
static void assert_file_gives(const char *says, const char *content, const char *text)
{
    HF_AUTO_STRING path = in_directory("passphrase");
    const struct hf_protector_settings settings = {
        .kind = "passphrase",
        .file = path,
        .argon2_memory_kib = 8192,
        .argon2_passes = 1,
    };
    HF_AUTO(protector) from_file = NULL;
    HF_AUTO(protector) from_text = open_text(text);
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();

    write_file(path, hf_bytes_of_text(content), 0600);
    from_file = open_protector(&settings);
    assert_ok(&world.op, hf_protector_wrap(from_file, &world.op, plain, HF_BYTES_NONE, wrapped));
    if (hf_protector_unwrap(from_text, &world.op, hf_buf_bytes(wrapped), HF_BYTES_NONE, &back)
            .code != HF_OK) {
        fail_msg("%s: %s", says, world.op.text);
    }
}

static void a_file_gives_its_first_line(void **unused)
{
    (void)unused;
    assert_file_gives("a line", "a b c\n", "a b c");
    assert_file_gives("no end of line", "a b c", "a b c");
    assert_file_gives("an end of line of other systems", "a b c\r\n", "a b c");
    assert_file_gives("two lines", "first\nsecond\n", "first");
    assert_file_gives("spaces belong to it", "  a \n", "  a ");
    assert_file_gives("a lone carriage return belongs to it", "a\r", "a\r");
}

static void a_passphrase_that_is_no_use_is_refused(void **unused)
{
    HF_AUTO_STRING long_text = hf_alloc(1100);
    HF_AUTO_STRING path = in_directory("bad");
    static const struct {
        const char *says;
        const char *content; /* NULL: a long one */
        enum hf_code code;
    } cases[] = {
        { "an empty file", "", HF_INVALID },
        { "an empty line", "\nsecond\n", HF_INVALID },
        { "an empty line of other systems", "\r\n", HF_INVALID },
        { "a long line", NULL, HF_TOO_LARGE },
    };
    const struct hf_protector_settings settings = { .kind = "passphrase", .file = path };

    (void)unused;
    memset(long_text, 'a', 1025);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(protector) protector = NULL;
        const char *content = cases[i].content != NULL ? cases[i].content : long_text;
        struct hf_status status;

        write_file(path, hf_bytes_of_text(content), 0600);
        status = hf_protector_open(world.crypto, &world.op, &settings, &protector);
        if (status.code != cases[i].code) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
}

static void neither_passphrase_nor_file_is_refused(void **unused)
{
    const struct hf_protector_settings settings = { .kind = "passphrase" };
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(secret) empty = secret_text("");
    const struct hf_protector_settings empty_settings = { .kind = "passphrase",
                                                          .passphrase = empty };

    (void)unused;
    assert_fails(&world.op, hf_protector_open(world.crypto, &world.op, &settings, &protector),
                 HF_INVALID);
    assert_fails(&world.op, hf_protector_open(world.crypto, &world.op, &empty_settings, &protector),
                 HF_INVALID);
}

static void the_callers_passphrase_may_go_once_the_protector_is_open(void **unused)
{
    /* open_text() frees it before it returns. */
    HF_AUTO(protector) protector = open_text(PASSPHRASE);
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(buf) wrapped = hf_buf_new();

    (void)unused;
    assert_ok(&world.op, hf_protector_wrap(protector, &world.op, plain, HF_BYTES_NONE, wrapped));
}

/* --- what it costs --- */

static void costs_out_of_bounds_are_refused_at_the_start(void **unused)
{
    static const struct {
        const char *says;
        uint32_t memory_kib;
        uint32_t passes;
    } cases[] = {
        { "less than 8 MiB", 8191, 1 },
        { "more than 4 GiB", 4194305, 1 },
        { "more than 64 passes", 8192, 65 },
    };
    HF_AUTO(secret) secret = secret_text(PASSPHRASE);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const struct hf_protector_settings settings = {
            .kind = "passphrase",
            .passphrase = secret,
            .argon2_memory_kib = cases[i].memory_kib,
            .argon2_passes = cases[i].passes,
        };
        HF_AUTO(protector) protector = NULL;
        struct hf_status status = hf_protector_open(world.crypto, &world.op, &settings, &protector);

        if (status.code != HF_INVALID) {
            fail_msg("%s: got %s", cases[i].says, hf_code_name(status.code));
        }
    }
}

static void the_cost_is_recorded_and_the_default_is_what_the_documents_say(void **unused)
{
    HF_AUTO(secret) secret = secret_text(PASSPHRASE);
    const struct hf_protector_settings settings = { .kind = "passphrase", .passphrase = secret };
    HF_AUTO(protector) protector = open_protector(&settings);
    HF_AUTO(protector) cheap = open_text(PASSPHRASE);
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_reader reader;

    (void)unused;
    assert_ok(&world.op, hf_protector_wrap(protector, &world.op, plain, HF_BYTES_NONE, wrapped));
    hf_reader_init(&reader, hf_buf_bytes(wrapped));
    assert_int_equal(hf_take_u8(&reader), 1);
    assert_int_equal(hf_take_u32(&reader), 262144);
    assert_int_equal(hf_take_u32(&reader), 3);
    assert_int_equal(hf_take_u8(&reader), 4);
    /* A protector set to another cost pays the recorded one. */
    assert_ok(&world.op,
              hf_protector_unwrap(cheap, &world.op, hf_buf_bytes(wrapped), HF_BYTES_NONE, &back));
}

/* The vector with another cost, and a digest that fits. */
static struct hf_buf *forge_cost(uint32_t memory_kib, uint32_t passes, uint8_t lanes)
{
    HF_AUTO(buf) honest = unhex(vector);
    struct hf_buf *forged = hf_buf_new();
    uint8_t digest[HF_SHA256_LEN];
    const size_t cost_end = 1 + 4 + 4 + 1;

    hf_put_u8(forged, 1);
    hf_put_u32(forged, memory_kib);
    hf_put_u32(forged, passes);
    hf_put_u8(forged, lanes);
    hf_buf_add(forged, honest->data + cost_end, honest->len - cost_end - HF_ENVELOPE_DIGEST_LEN);
    assert_ok(&world.op, hf_sha256(world.crypto, &world.op, hf_buf_bytes(forged), digest));
    hf_buf_add(forged, digest, HF_ENVELOPE_DIGEST_LEN);
    return forged;
}

static void a_forged_cost_out_of_bounds_is_refused_unpaid(void **unused)
{
    static const struct {
        const char *says;
        uint32_t memory_kib;
        uint32_t passes;
        uint8_t lanes;
        enum hf_code code;
    } cases[] = {
        { "the honest cost, but another context", 8192, 1, 4, HF_CORRUPT },
        { "within bounds", 8193, 2, 3, HF_DENIED },
        { "less memory than 8 MiB", 8191, 1, 4, HF_CORRUPT },
        { "more memory than 4 GiB", 4194305, 1, 4, HF_CORRUPT },
        { "all memory", UINT32_MAX, 1, 4, HF_CORRUPT },
        { "no pass", 8192, 0, 4, HF_CORRUPT },
        { "more than 64 passes", 8192, 65, 4, HF_CORRUPT },
        { "endless passes", 8192, UINT32_MAX, 4, HF_CORRUPT },
        { "no lane", 8192, 1, 0, HF_CORRUPT },
        { "more than 16 lanes", 8192, 1, 17, HF_CORRUPT },
    };
    HF_AUTO(protector) protector = open_text(PASSPHRASE);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) forged = forge_cost(cases[i].memory_kib, cases[i].passes, cases[i].lanes);
        HF_AUTO(secret) out = NULL;
        struct hf_status status =
            hf_protector_unwrap(protector, &world.op, hf_buf_bytes(forged), HF_BYTES_NONE, &out);

        if (status.code != cases[i].code) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code), world.op.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_vector_is_made_and_opened),
        cmocka_unit_test(a_file_gives_its_first_line),
        cmocka_unit_test(a_passphrase_that_is_no_use_is_refused),
        cmocka_unit_test(neither_passphrase_nor_file_is_refused),
        cmocka_unit_test(the_callers_passphrase_may_go_once_the_protector_is_open),
        cmocka_unit_test(costs_out_of_bounds_are_refused_at_the_start),
        cmocka_unit_test(the_cost_is_recorded_and_the_default_is_what_the_documents_say),
        cmocka_unit_test(a_forged_cost_out_of_bounds_is_refused_unpaid),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
