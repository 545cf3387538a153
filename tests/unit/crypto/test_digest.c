/* SHA-256, HMAC and HKDF against published vectors. */
#include "crypto_world.h"

static void sha256_gives_the_published_digests(void **unused)
{
    /* FIPS 180-4 examples. */
    static const struct {
        const char *text;
        const char *digest;
    } cases[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        uint8_t digest[HF_SHA256_LEN];

        assert_ok(&world.op,
                  hf_sha256(world.crypto, &world.op, hf_bytes_of_text(cases[i].text), digest));
        assert_hex(cases[i].text, hf_bytes_of(digest, sizeof digest), cases[i].digest);
    }
}

#define KEY_131                                                                                    \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaa"                                                                                         \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaa"                                                                                         \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* RFC 4231, 4.2, 4.3 and 4.7. */
static const struct {
    const char *says;
    const char *key;
    const char *message;
    const char *sha256;
    const char *sha384;
    const char *sha512;
} hmac_cases[] = {
    { "test case 1", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
      "faea9ea9076ede7f4af152e8b2fa9cb6",
      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
      "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" },
    { "test case 2", "4a656665", "what do ya want for nothing?",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
      "8e2240ca5e69e2c78b3239ecfab21649",
      "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
      "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" },
    { "test case 6: a key longer than a block", KEY_131,
      "Test Using Larger Than Block-Size Key - Hash Key First",
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
      "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
      "0c2ef6ab4030fe8296248df163f44952",
      "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
      "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598" },
    /* Computed with the hmac module of Python 3.11. */
    { "an empty key", "", "Hi There",
      "e48411262715c8370cd5e7bf8e82bef53bd53712d007f3429351843b77c7bb9b",
      "da5393cef424a670d6db42c6ed6e7920779dfa4cbb98bf1c2e9c12ae10d10905"
      "d0c9e9d576c2a613be54b8daea246d4b",
      "f7688a104326d36c1940f6d28d746c0661d383e0d14fe8a04649444777610f5d"
      "d9565a36846ab9e9e734cf380d3a070d8ef021b5f3a50c481710a464968e3419" },
};

static void assert_hmac(size_t i, enum hf_hash hash, const char *wanted)
{
    HF_AUTO(buf) key = unhex(hmac_cases[i].key);
    HF_AUTO(buf) out = hf_buf_new();

    assert_ok(&world.op, hf_hmac(world.crypto, &world.op, hash, hf_buf_bytes(key),
                                 hf_bytes_of_text(hmac_cases[i].message), out));
    assert_hex(hmac_cases[i].says, hf_buf_bytes(out), wanted);
}

static void hmac_gives_the_published_bytes_with_each_hash(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(hmac_cases); i++) {
        assert_hmac(i, HF_HASH_SHA256, hmac_cases[i].sha256);
        assert_hmac(i, HF_HASH_SHA384, hmac_cases[i].sha384);
        assert_hmac(i, HF_HASH_SHA512, hmac_cases[i].sha512);
    }
}

static void a_mac_context_starts_anew_for_each_message(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(hmac_cases); i++) {
        HF_AUTO(buf) key = unhex(hmac_cases[i].key);
        HF_AUTO(mac) mac = NULL;
        struct hf_bytes message = hf_bytes_of_text(hmac_cases[i].message);
        uint8_t out[HF_SHA256_LEN];

        assert_ok(&world.op, hf_mac_new(world.crypto, &world.op, hf_buf_bytes(key), &mac));
        for (size_t cut = 0; cut <= message.len; cut++) {
            const struct hf_bytes parts[] = {
                hf_bytes_of(message.data, cut),
                HF_BYTES_NONE,
                hf_bytes_of(message.data + cut, message.len - cut),
            };

            assert_ok(&world.op, hf_mac_compute(mac, &world.op, parts, HF_COUNT(parts), out));
            assert_hex(hmac_cases[i].says, hf_bytes_of(out, sizeof out), hmac_cases[i].sha256);
        }
    }
}

/* RFC 5869, appendix A. */
static const struct {
    const char *says;
    const char *key;
    const char *salt;
    const char *info;
    const char *out;
} hkdf_cases[] = {
    { "A.1", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
      "f0f1f2f3f4f5f6f7f8f9",
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" },
    { "A.2: longer inputs and output",
      "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
      "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
      "404142434445464748494a4b4c4d4e4f",
      "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
      "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
      "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
      "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
      "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
      "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
      "cc30c58179ec3e87c14c01d5c1f3434f1d87" },
    { "A.3: neither salt nor info", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" },
};

static void hkdf_gives_the_published_bytes(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(hkdf_cases); i++) {
        HF_AUTO(buf) key = unhex(hkdf_cases[i].key);
        HF_AUTO(buf) salt = unhex(hkdf_cases[i].salt);
        HF_AUTO(buf) info = unhex(hkdf_cases[i].info);
        HF_AUTO(secret) out = NULL;

        assert_ok(&world.op, hf_hkdf(world.crypto, &world.op, hf_buf_bytes(key), hf_buf_bytes(salt),
                                     hf_buf_bytes(info), strlen(hkdf_cases[i].out) / 2, &out));
        assert_hex(hkdf_cases[i].says, hf_secret_bytes(out), hkdf_cases[i].out);
    }
}

static void hkdf_binds_every_byte_of_a_long_info(void **unused)
{
    HF_AUTO(buf) info = hf_buf_new();
    HF_AUTO(secret) one = NULL;
    HF_AUTO(secret) other = NULL;
    const struct hf_bytes key = hf_bytes_of_text("key");

    (void)unused;
    memset(hf_buf_reserve(info, 1500), 'a', 1500);
    hf_buf_grew(info, 1500);
    assert_ok(&world.op,
              hf_hkdf(world.crypto, &world.op, key, HF_BYTES_NONE, hf_buf_bytes(info), 32, &one));
    info->data[1499] = 'b';
    assert_ok(&world.op,
              hf_hkdf(world.crypto, &world.op, key, HF_BYTES_NONE, hf_buf_bytes(info), 32, &other));
    assert_false(hf_secret_equal(one, other));
}

static void hkdf_refuses_what_the_rfc_does_not_allow(void **unused)
{
    const struct hf_bytes key = hf_bytes_of_text("key");
    HF_AUTO(secret) out = NULL;
    HF_AUTO(secret) most = NULL;

    (void)unused;
    assert_fails(&world.op, hf_hkdf(world.crypto, &world.op, HF_BYTES_NONE, key, key, 32, &out),
                 HF_INVALID);
    assert_fails(&world.op, hf_hkdf(world.crypto, &world.op, key, key, key, 0, &out), HF_INVALID);
    assert_fails(&world.op, hf_hkdf(world.crypto, &world.op, key, key, key, 8161, &out),
                 HF_INVALID);
    assert_ok(&world.op, hf_hkdf(world.crypto, &world.op, key, key, key, 8160, &most));
    assert_null(out);
}

/* A failure of OpenSSL that is neither a missing algorithm nor missing memory. */
static void what_openssl_cannot_do_is_our_own_mistake_and_said_so(void **unused)
{
    HF_AUTO(buf) info = hf_buf_new();
    HF_AUTO(secret) out = NULL;
    const size_t len = (size_t)1 << 20;

    (void)unused;
    hf_buf_reserve(info, len);
    hf_buf_grew(info, len);
    assert_fails(&world.op,
                 hf_hkdf(world.crypto, &world.op, hf_bytes_of_text("key"), HF_BYTES_NONE,
                         hf_buf_bytes(info), 32, &out),
                 HF_INTERNAL);
    assert_non_null(strstr(world.op.text, "HKDF failed in OpenSSL"));
    assert_null(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_openssl_cannot_do_is_our_own_mistake_and_said_so),
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(hmac_gives_the_published_bytes_with_each_hash),
        cmocka_unit_test(a_mac_context_starts_anew_for_each_message),
        cmocka_unit_test(hkdf_gives_the_published_bytes),
        cmocka_unit_test(hkdf_binds_every_byte_of_a_long_info),
        cmocka_unit_test(hkdf_refuses_what_the_rfc_does_not_allow),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
