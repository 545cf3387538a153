/* RSA-OAEP: against an independent computation, at every length, and one answer to every change. */
#include "crypto_world.h"

#include "rsa_vectors.h"

static struct hf_pkey *fixed; /* the key of the vectors */

static int open_fixed(void **state)
{
    HF_AUTO(buf) der = NULL;

    (void)open_world(state);
    der = unhex(rsa_vector_key);
    assert_ok(&world.op, hf_pkey_from_private(world.crypto, &world.op, hf_buf_bytes(der), &fixed));
    return 0;
}

static int close_fixed(void **state)
{
    hf_pkey_free(fixed);
    return close_world(state);
}

static void what_another_program_wrapped_opens_with_each_hash(void **unused)
{
    (void)unused;
    for (enum hf_hash hash = HF_HASH_SHA256; hash <= HF_HASH_SHA512; hash++) {
        HF_AUTO(buf) wrapped = unhex(rsa_vector_oaep[hash]);
        HF_AUTO(secret) plain = NULL;

        assert_ok(&world.op, hf_rsa_unwrap(fixed, &world.op, hash, hf_buf_bytes(wrapped), &plain));
        assert_true(hf_bytes_equal_text(hf_secret_bytes(plain), "wrapped by RFC 8017"));
    }
}

static const struct {
    enum hf_hash hash;
    size_t max_len; /* RFC 8017, 7.1.1: 256 - 2 hash lengths - 2 */
} limits[] = {
    { HF_HASH_SHA256, 190 },
    { HF_HASH_SHA384, 158 },
    { HF_HASH_SHA512, 126 },
};

static void each_length_up_to_the_limit_comes_back(void **unused)
{
    uint8_t bytes[191];

    (void)unused;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < HF_COUNT(limits); i++) {
        for (size_t len = 0; len <= limits[i].max_len; len++) {
            HF_AUTO(buf) wrapped = hf_buf_new();
            HF_AUTO(secret) plain = NULL;

            assert_ok(&world.op, hf_rsa_wrap(fixed, &world.op, limits[i].hash,
                                             hf_bytes_of(bytes, len), wrapped));
            assert_int_equal(wrapped->len, 256);
            assert_ok(&world.op, hf_rsa_unwrap(fixed, &world.op, limits[i].hash,
                                               hf_buf_bytes(wrapped), &plain));
            assert_true(hf_bytes_equal(hf_secret_bytes(plain), hf_bytes_of(bytes, len)));
        }
    }
}

static void more_than_the_limit_is_too_large_and_adds_nothing(void **unused)
{
    const uint8_t bytes[191] = { 0 };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(limits); i++) {
        HF_AUTO(buf) wrapped = hf_buf_new();

        assert_fails(&world.op,
                     hf_rsa_wrap(fixed, &world.op, limits[i].hash,
                                 hf_bytes_of(bytes, limits[i].max_len + 1), wrapped),
                     HF_TOO_LARGE);
        assert_int_equal(wrapped->len, 0);
    }
}

/* Wraps a short text; the caller frees it. */
static struct hf_buf *wrap_text(void)
{
    struct hf_buf *wrapped = hf_buf_new();

    assert_ok(&world.op, hf_rsa_wrap(fixed, &world.op, HF_HASH_SHA256,
                                     hf_bytes_of_text("a key of a test"), wrapped));
    return wrapped;
}

/* Every refusal must be told in the same words, or the words would be an oracle. */
static void assert_refused(const char *says, const struct hf_pkey *pkey, enum hf_hash hash,
                           struct hf_bytes wrapped)
{
    HF_AUTO(secret) plain = NULL;

    assert_altered(says, hf_rsa_unwrap(pkey, &world.op, hash, wrapped, &plain));
    assert_null(plain);
    assert_string_equal(world.op.text,
                        "the RSA-wrapped bytes are altered, or for another key or hash");
}

static void every_change_gets_the_same_answer(void **unused)
{
    HF_AUTO(buf) wrapped = wrap_text();
    HF_AUTO(buf) longer = hf_buf_new();
    HF_AUTO(pkey) other = NULL;
    uint8_t filled[256];

    (void)unused;
    for (size_t at = 0; at < wrapped->len; at++) {
        wrapped->data[at] ^= 0x01;
        assert_refused("a changed byte", fixed, HF_HASH_SHA256, hf_buf_bytes(wrapped));
        wrapped->data[at] ^= 0x01;
    }
    for (size_t len = 0; len < wrapped->len; len++) {
        assert_refused("cut", fixed, HF_HASH_SHA256, hf_bytes_of(wrapped->data, len));
    }
    hf_buf_add_bytes(longer, hf_buf_bytes(wrapped));
    hf_buf_add(longer, "", 1);
    assert_refused("one byte more", fixed, HF_HASH_SHA256, hf_buf_bytes(longer));
    assert_refused("another hash", fixed, HF_HASH_SHA384, hf_buf_bytes(wrapped));
    memset(filled, 0, sizeof filled);
    assert_refused("zero", fixed, HF_HASH_SHA256, hf_bytes_of(filled, sizeof filled));
    memset(filled, 0xff, sizeof filled);
    assert_refused("more than the modulus", fixed, HF_HASH_SHA256,
                   hf_bytes_of(filled, sizeof filled));
    assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, HF_PKEY_RSA_2048, &other));
    assert_refused("another key", other, HF_HASH_SHA256, hf_buf_bytes(wrapped));
}

static void only_rsa_keys_wrap_and_only_private_ones_unwrap(void **unused)
{
    static const enum hf_pkey_kind others[] = { HF_PKEY_P256, HF_PKEY_ED25519 };
    HF_AUTO(buf) wrapped = wrap_text();
    HF_AUTO(buf) spki = hf_buf_new();
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO(pkey) public_half = NULL;
    HF_AUTO(secret) plain = NULL;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        HF_AUTO(pkey) other = NULL;

        assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, others[i], &other));
        assert_fails(&world.op,
                     hf_rsa_wrap(other, &world.op, HF_HASH_SHA256, hf_bytes_of_text("x"), out),
                     HF_UNSUPPORTED);
        assert_fails(&world.op,
                     hf_rsa_unwrap(other, &world.op, HF_HASH_SHA256, hf_buf_bytes(wrapped), &plain),
                     HF_UNSUPPORTED);
    }
    assert_ok(&world.op, hf_pkey_public(fixed, &world.op, spki));
    assert_ok(&world.op,
              hf_pkey_from_public(world.crypto, &world.op, hf_buf_bytes(spki), &public_half));
    assert_ok(&world.op,
              hf_rsa_wrap(public_half, &world.op, HF_HASH_SHA256, hf_bytes_of_text("x"), out));
    assert_fails(&world.op,
                 hf_rsa_unwrap(public_half, &world.op, HF_HASH_SHA256, hf_buf_bytes(out), &plain),
                 HF_INVALID);
    assert_ok(&world.op,
              hf_rsa_unwrap(fixed, &world.op, HF_HASH_SHA256, hf_buf_bytes(out), &plain));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(plain), "x"));
}

static void larger_keys_wrap_too(void **unused)
{
    static const struct {
        enum hf_pkey_kind kind;
        size_t len;
    } cases[] = { { HF_PKEY_RSA_3072, 384 }, { HF_PKEY_RSA_4096, 512 } };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(pkey) pkey = NULL;
        HF_AUTO(buf) wrapped = hf_buf_new();
        HF_AUTO(secret) plain = NULL;

        assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, cases[i].kind, &pkey));
        assert_ok(&world.op, hf_rsa_wrap(pkey, &world.op, HF_HASH_SHA512,
                                         hf_bytes_of_text("larger"), wrapped));
        assert_int_equal(wrapped->len, cases[i].len);
        assert_ok(&world.op,
                  hf_rsa_unwrap(pkey, &world.op, HF_HASH_SHA512, hf_buf_bytes(wrapped), &plain));
        assert_true(hf_bytes_equal_text(hf_secret_bytes(plain), "larger"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_another_program_wrapped_opens_with_each_hash),
        cmocka_unit_test(each_length_up_to_the_limit_comes_back),
        cmocka_unit_test(more_than_the_limit_is_too_large_and_adds_nothing),
        cmocka_unit_test(every_change_gets_the_same_answer),
        cmocka_unit_test(only_rsa_keys_wrap_and_only_private_ones_unwrap),
        cmocka_unit_test(larger_keys_wrap_too),
    };

    return cmocka_run_group_tests(tests, open_fixed, close_fixed);
}
