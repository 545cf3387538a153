/* Signatures: published vectors, every scheme with every kind of key, and changes. */
#include "crypto_world.h"

#include "rsa_vectors.h"

#define KINDS   7
#define SCHEMES 4

static struct hf_pkey *pairs[KINDS];

static int open_pairs(void **state)
{
    (void)open_world(state);
    for (int kind = 0; kind < KINDS; kind++) {
        assert_ok(&world.op,
                  hf_pkey_generate(world.crypto, &world.op, (enum hf_pkey_kind)kind, &pairs[kind]));
    }
    return 0;
}

static int close_pairs(void **state)
{
    for (int kind = 0; kind < KINDS; kind++) {
        hf_pkey_free(pairs[kind]);
    }
    return close_world(state);
}

static struct hf_pkey *from_private(const char *pkcs8_hex)
{
    HF_AUTO(buf) der = unhex(pkcs8_hex);
    struct hf_pkey *pkey = NULL;

    assert_ok(&world.op, hf_pkey_from_private(world.crypto, &world.op, hf_buf_bytes(der), &pkey));
    return pkey;
}

static bool verify(const struct hf_pkey *pkey, enum hf_signature scheme, enum hf_hash hash,
                   struct hf_bytes message, struct hf_bytes signature)
{
    bool valid = false;

    assert_ok(&world.op, hf_pkey_verify(pkey, &world.op, scheme, hash, message, signature, &valid));
    return valid;
}

/* PKCS#8 around the 32 bytes of a private key (RFC 8410, 7). */
#define ED25519_PKCS8 "302e020100300506032b657004220420"

static void ed25519_gives_the_published_signatures(void **unused)
{
    /* RFC 8032, 7.1. */
    static const struct {
        const char *says;
        const char *private_key;
        const char *message;
        const char *signature;
    } cases[] = {
        { "test 1",
          ED25519_PKCS8 "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
          "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
        { "test 2",
          ED25519_PKCS8 "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
        { "test 3",
          ED25519_PKCS8 "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
          "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
          "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(pkey) pkey = from_private(cases[i].private_key);
        HF_AUTO(buf) message = unhex(cases[i].message);
        HF_AUTO(buf) signature = hf_buf_new();

        assert_ok(&world.op, hf_pkey_sign(pkey, &world.op, HF_SIGN_ED25519, HF_HASH_SHA256,
                                          hf_buf_bytes(message), signature));
        assert_hex(cases[i].says, hf_buf_bytes(signature), cases[i].signature);
    }
}

static void ecdsa_takes_the_published_signature(void **unused)
{
    /* RFC 6979, A.2.5: P-256, SHA-256, message "sample". */
    HF_AUTO(buf) spki = unhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"
                              "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                              "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    HF_AUTO(buf) signature =
        unhex("3046022100"
              "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100"
              "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    HF_AUTO(pkey) pkey = NULL;

    (void)unused;
    assert_ok(&world.op, hf_pkey_from_public(world.crypto, &world.op, hf_buf_bytes(spki), &pkey));
    assert_true(verify(pkey, HF_SIGN_ECDSA, HF_HASH_SHA256, hf_bytes_of_text("sample"),
                       hf_buf_bytes(signature)));
    assert_false(verify(pkey, HF_SIGN_ECDSA, HF_HASH_SHA384, hf_bytes_of_text("sample"),
                        hf_buf_bytes(signature)));
}

static void rsa_signatures_are_those_of_another_program(void **unused)
{
    HF_AUTO(pkey) pkey = from_private(rsa_vector_key);
    const struct hf_bytes message = hf_bytes_of_text("signed by RFC 8017");

    (void)unused;
    for (enum hf_hash hash = HF_HASH_SHA256; hash <= HF_HASH_SHA512; hash++) {
        HF_AUTO(buf) pss = unhex(rsa_vector_pss[hash]);
        HF_AUTO(buf) made = hf_buf_new();

        assert_ok(&world.op, hf_pkey_sign(pkey, &world.op, HF_SIGN_RSA_PKCS1, hash, message, made));
        assert_hex("PKCS#1 v1.5", hf_buf_bytes(made), rsa_vector_pkcs1[hash]);
        assert_true(verify(pkey, HF_SIGN_RSA_PSS, hash, message, hf_buf_bytes(pss)));
        assert_false(verify(pkey, HF_SIGN_RSA_PKCS1, hash, message, hf_buf_bytes(pss)));
    }
}

/* The schemes of each kind, as bits by number. */
static const unsigned fitting[KINDS] = {
    [HF_PKEY_RSA_2048] = 1U << HF_SIGN_RSA_PKCS1 | 1U << HF_SIGN_RSA_PSS,
    [HF_PKEY_RSA_3072] = 1U << HF_SIGN_RSA_PKCS1 | 1U << HF_SIGN_RSA_PSS,
    [HF_PKEY_RSA_4096] = 1U << HF_SIGN_RSA_PKCS1 | 1U << HF_SIGN_RSA_PSS,
    [HF_PKEY_P256] = 1U << HF_SIGN_ECDSA,
    [HF_PKEY_P384] = 1U << HF_SIGN_ECDSA,
    [HF_PKEY_P521] = 1U << HF_SIGN_ECDSA,
    [HF_PKEY_ED25519] = 1U << HF_SIGN_ED25519,
};

static void assert_scheme_works(const struct hf_pkey *pkey, enum hf_signature scheme,
                                enum hf_hash hash)
{
    const struct hf_bytes message = hf_bytes_of_text("what is signed");
    HF_AUTO(buf) spki = hf_buf_new();
    HF_AUTO(buf) signature = hf_buf_new();
    HF_AUTO(pkey) public_half = NULL;

    assert_ok(&world.op, hf_pkey_public(pkey, &world.op, spki));
    assert_ok(&world.op,
              hf_pkey_from_public(world.crypto, &world.op, hf_buf_bytes(spki), &public_half));
    assert_ok(&world.op, hf_pkey_sign(pkey, &world.op, scheme, hash, message, signature));
    assert_true(verify(public_half, scheme, hash, message, hf_buf_bytes(signature)));
    assert_false(verify(public_half, scheme, hash, hf_bytes_of_text("what is sighed"),
                        hf_buf_bytes(signature)));
    assert_false(verify(public_half, scheme, hash, message, HF_BYTES_NONE));
    assert_fails(&world.op, hf_pkey_sign(public_half, &world.op, scheme, hash, message, signature),
                 HF_INVALID);
}

static void assert_scheme_is_unsupported(const struct hf_pkey *pkey, enum hf_signature scheme)
{
    HF_AUTO(buf) out = hf_buf_new();
    bool valid = true;

    assert_fails(&world.op,
                 hf_pkey_sign(pkey, &world.op, scheme, HF_HASH_SHA256, HF_BYTES_NONE, out),
                 HF_UNSUPPORTED);
    assert_fails(&world.op,
                 hf_pkey_verify(pkey, &world.op, scheme, HF_HASH_SHA256, HF_BYTES_NONE,
                                HF_BYTES_NONE, &valid),
                 HF_UNSUPPORTED);
}

static void each_kind_signs_in_its_schemes_and_in_no_other(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < (size_t)KINDS * SCHEMES; i++) {
        enum hf_signature scheme = (enum hf_signature)(i % SCHEMES);
        const struct hf_pkey *pkey = pairs[i / SCHEMES];

        if ((fitting[i / SCHEMES] & 1U << scheme) == 0) {
            assert_scheme_is_unsupported(pkey, scheme);
            continue;
        }
        for (enum hf_hash hash = HF_HASH_SHA256; hash <= HF_HASH_SHA512; hash++) {
            assert_scheme_works(pkey, scheme, hash);
        }
    }
}

static void a_changed_signature_is_wrong_and_not_an_error(void **unused)
{
    static const struct {
        enum hf_pkey_kind kind;
        enum hf_signature scheme;
    } cases[] = {
        { HF_PKEY_RSA_2048, HF_SIGN_RSA_PKCS1 },
        { HF_PKEY_RSA_2048, HF_SIGN_RSA_PSS },
        { HF_PKEY_P256, HF_SIGN_ECDSA },
        { HF_PKEY_ED25519, HF_SIGN_ED25519 },
    };
    const struct hf_bytes message = hf_bytes_of_text("what is signed");

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const struct hf_pkey *pkey = pairs[cases[i].kind];
        HF_AUTO(buf) signature = hf_buf_new();

        assert_ok(&world.op, hf_pkey_sign(pkey, &world.op, cases[i].scheme, HF_HASH_SHA256, message,
                                          signature));
        for (size_t at = 0; at < signature->len; at++) {
            signature->data[at] ^= 0x01;
            assert_false(
                verify(pkey, cases[i].scheme, HF_HASH_SHA256, message, hf_buf_bytes(signature)));
            signature->data[at] ^= 0x01;
            assert_false(verify(pkey, cases[i].scheme, HF_HASH_SHA256, message,
                                hf_bytes_of(signature->data, at)));
        }
        assert_true(
            verify(pkey, cases[i].scheme, HF_HASH_SHA256, message, hf_buf_bytes(signature)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519_gives_the_published_signatures),
        cmocka_unit_test(ecdsa_takes_the_published_signature),
        cmocka_unit_test(rsa_signatures_are_those_of_another_program),
        cmocka_unit_test(each_kind_signs_in_its_schemes_and_in_no_other),
        cmocka_unit_test(a_changed_signature_is_wrong_and_not_an_error),
    };

    return cmocka_run_group_tests(tests, open_pairs, close_pairs);
}
