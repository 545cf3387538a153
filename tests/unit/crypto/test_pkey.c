/* Key pairs: made, written, read back; foreign ones that are not sound are refused. */
#include "crypto_world.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define KINDS 7

/* One of each, made once: RSA takes its time. */
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

static struct hf_secret *private_of(const struct hf_pkey *pkey)
{
    struct hf_secret *secret = NULL;

    assert_ok(&world.op, hf_pkey_private(pkey, &world.op, &secret));
    return secret;
}

static struct hf_buf *public_of(const struct hf_pkey *pkey)
{
    struct hf_buf *buf = hf_buf_new();

    assert_ok(&world.op, hf_pkey_public(pkey, &world.op, buf));
    return buf;
}

typedef struct hf_status reader(struct hf_crypto *crypto, struct hf_op *op, struct hf_bytes der,
                                struct hf_pkey **out);

static void each_kind_comes_back_from_its_private_form(void **unused)
{
    static reader *const readers[] = { hf_pkey_from_private, hf_pkey_load_private };

    (void)unused;
    for (size_t i = 0; i < KINDS * HF_COUNT(readers); i++) {
        const struct hf_pkey *pair = pairs[i % KINDS];
        HF_AUTO(secret) first = private_of(pair);
        HF_AUTO(secret) second = NULL;
        HF_AUTO(buf) first_public = public_of(pair);
        HF_AUTO(buf) second_public = NULL;
        HF_AUTO(pkey) back = NULL;

        assert_ok(&world.op,
                  readers[i / KINDS](world.crypto, &world.op, hf_secret_bytes(first), &back));
        assert_int_equal(hf_pkey_kind(back), i % KINDS);
        second = private_of(back);
        second_public = public_of(back);
        assert_true(hf_secret_equal(first, second));
        assert_true(hf_bytes_equal(hf_buf_bytes(first_public), hf_buf_bytes(second_public)));
    }
}

static void each_kind_comes_back_from_its_public_form_without_the_private(void **unused)
{
    static reader *const readers[] = { hf_pkey_from_public, hf_pkey_load_public };

    (void)unused;
    for (size_t i = 0; i < KINDS * HF_COUNT(readers); i++) {
        HF_AUTO(buf) first = public_of(pairs[i % KINDS]);
        HF_AUTO(buf) second = NULL;
        HF_AUTO(pkey) back = NULL;
        HF_AUTO(secret) none = NULL;

        assert_ok(&world.op,
                  readers[i / KINDS](world.crypto, &world.op, hf_buf_bytes(first), &back));
        assert_int_equal(hf_pkey_kind(back), i % KINDS);
        second = public_of(back);
        assert_true(hf_bytes_equal(hf_buf_bytes(first), hf_buf_bytes(second)));
        assert_fails(&world.op, hf_pkey_private(back, &world.op, &none), HF_INVALID);
        assert_fails(&world.op, hf_pkey_private_pem(back, &world.op, &none), HF_INVALID);
    }
}

static void pem_is_what_others_read(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < KINDS; i++) {
        HF_AUTO(secret) pem = NULL;
        BIO *bio;
        EVP_PKEY *key;
        uint8_t *der = NULL;
        int len;
        HF_AUTO(buf) wanted = public_of(pairs[i]);

        assert_ok(&world.op, hf_pkey_private_pem(pairs[i], &world.op, &pem));
        bio = BIO_new_mem_buf(hf_secret_bytes(pem).data, (int)hf_secret_len(pem));
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        assert_non_null(key);
        len = i2d_PUBKEY(key, &der);
        assert_true(hf_bytes_equal(hf_bytes_of(der, (size_t)len), hf_buf_bytes(wanted)));
        OPENSSL_free(der);
        EVP_PKEY_free(key);
        BIO_free(bio);
    }
}

static void a_form_cut_or_with_more_behind_it_is_refused(void **unused)
{
    HF_AUTO(secret) private_form = private_of(pairs[HF_PKEY_P256]);
    HF_AUTO(buf) public_form = public_of(pairs[HF_PKEY_P256]);
    const struct {
        reader *read;
        struct hf_bytes der;
    } cases[] = {
        { hf_pkey_from_private, hf_secret_bytes(private_form) },
        { hf_pkey_load_private, hf_secret_bytes(private_form) },
        { hf_pkey_from_public, hf_buf_bytes(public_form) },
        { hf_pkey_load_public, hf_buf_bytes(public_form) },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        for (size_t len = 0; len <= cases[i].der.len + 1; len++) {
            HF_AUTO(buf) der = hf_buf_new();
            HF_AUTO(pkey) pkey = NULL;

            hf_buf_add(der, cases[i].der.data, len < cases[i].der.len ? len : cases[i].der.len);
            if (len > cases[i].der.len) {
                hf_buf_add(der, "", 1);
            }
            assert_fails(&world.op,
                         cases[i].read(world.crypto, &world.op, hf_buf_bytes(der), &pkey),
                         len == cases[i].der.len ? HF_OK : HF_INVALID);
        }
    }
}

static void an_endless_form_is_refused_unread(void **unused)
{
    const uint8_t one = 0x30;
    HF_AUTO(pkey) pkey = NULL;

    (void)unused;
    assert_fails(&world.op,
                 hf_pkey_from_private(world.crypto, &world.op, hf_bytes_of(&one, SIZE_MAX), &pkey),
                 HF_INVALID);
}

/* --- keys that others make and we refuse --- */

static EVP_PKEY *generate(const char *type, const OSSL_PARAM *parameters)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(context, parameters), 1);
    assert_int_equal(EVP_PKEY_generate(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static EVP_PKEY *generate_rsa(const char *type, size_t bits, uint32_t exponent)
{
    uint8_t number[sizeof exponent];
    BIGNUM *e = BN_new();
    OSSL_PARAM parameters[3];

    assert_int_equal(BN_set_word(e, exponent), 1);
    assert_true(BN_bn2nativepad(e, number, sizeof number) > 0);
    parameters[0] = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits);
    parameters[1] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, number, sizeof number);
    parameters[2] = OSSL_PARAM_construct_end();
    BN_free(e);
    return generate(type, parameters);
}

static EVP_PKEY *generate_multi_prime_rsa(void)
{
    size_t bits = 2048;
    size_t primes = 3;
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits),
        OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, &primes),
        OSSL_PARAM_construct_end(),
    };

    return generate("RSA", parameters);
}

static EVP_PKEY *generate_ec(const char *curve, const char *encoding)
{
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, (char *)encoding, 0),
        OSSL_PARAM_construct_end(),
    };

    return generate("EC", parameters);
}

static EVP_PKEY *generate_plain(const char *type)
{
    const OSSL_PARAM none[] = { OSSL_PARAM_construct_end() };

    return generate(type, none);
}

static struct hf_buf *spki_of(EVP_PKEY *key)
{
    struct hf_buf *buf = hf_buf_new();
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    assert_true(len > 0);
    hf_buf_add(buf, der, (size_t)len);
    OPENSSL_free(der);
    return buf;
}

static struct hf_buf *pkcs8_of(EVP_PKEY *key)
{
    struct hf_buf *buf = hf_buf_new();
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    uint8_t *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    assert_true(len > 0);
    hf_buf_add(buf, der, (size_t)len);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    return buf;
}

static void assert_refused(const char *says, reader *read, struct hf_buf *der)
{
    HF_AUTO(pkey) pkey = NULL;
    struct hf_status status = read(world.crypto, &world.op, hf_buf_bytes(der), &pkey);

    if (status.code != HF_INVALID || pkey != NULL) {
        fail_msg("%s: got %s", says, hf_code_name(status.code));
    }
}

static void kinds_that_we_do_not_know_are_refused(void **unused)
{
    struct {
        const char *says;
        EVP_PKEY *key;
        bool only_private; /* the public half does not show it */
    } cases[] = {
        { "RSA-1024", generate_rsa("RSA", 1024, 65537), false },
        { "RSA-2056", generate_rsa("RSA", 2056, 65537), false },
        { "RSA with exponent 3", generate_rsa("RSA", 2048, 3), false },
        { "RSA with exponent 65535", generate_rsa("RSA", 2048, 65535), false },
        { "RSA with three primes", generate_multi_prime_rsa(), true },
        { "an RSA key bound to PSS", generate_rsa("RSA-PSS", 2048, 65537), false },
        { "secp256k1", generate_ec("secp256k1", "named_curve"), false },
        { "P-224", generate_ec("P-224", "named_curve"), false },
        { "P-256 with its parameters spelled out", generate_ec("P-256", "explicit"), false },
        { "X25519", generate_plain("X25519"), false },
        { "Ed448", generate_plain("ED448"), false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) pkcs8 = pkcs8_of(cases[i].key);
        HF_AUTO(buf) spki = spki_of(cases[i].key);

        EVP_PKEY_free(cases[i].key);
        assert_refused(cases[i].says, hf_pkey_from_private, pkcs8);
        assert_refused(cases[i].says, hf_pkey_load_private, pkcs8);
        if (!cases[i].only_private) {
            assert_refused(cases[i].says, hf_pkey_from_public, spki);
            assert_refused(cases[i].says, hf_pkey_load_public, spki);
        }
    }
}

/* The place of a number's bytes inside a DER. */
static size_t find_bytes(struct hf_bytes der, struct hf_bytes part)
{
    const uint8_t *at = memmem(der.data, der.len, part.data, part.len);

    assert_non_null(at);
    return (size_t)(at - der.data);
}

/* Changes the last byte of one number of an RSA key. */
static void spoil_rsa_number(struct hf_buf *der, const char *parameter)
{
    const unsigned char *at = der->data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der->len);
    EVP_PKEY *key = EVP_PKCS82PKEY(info);
    BIGNUM *number = NULL;
    uint8_t bytes[512];
    size_t len;

    assert_int_equal(EVP_PKEY_get_bn_param(key, parameter, &number), 1);
    len = (size_t)BN_bn2bin(number, bytes);
    der->data[find_bytes(hf_buf_bytes(der), hf_bytes_of(bytes, len)) + len - 1] ^= 0x04;
    BN_clear_free(number);
    EVP_PKEY_free(key);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void rsa_numbers_that_do_not_belong_together_are_refused(void **unused)
{
    static const char *const numbers[] = {
        OSSL_PKEY_PARAM_RSA_N,
        OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,
        OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2,
        OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    HF_AUTO(secret) good = private_of(pairs[HF_PKEY_RSA_2048]);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(numbers); i++) {
        HF_AUTO(buf) der = hf_buf_new();

        hf_buf_add_bytes(der, hf_secret_bytes(good));
        spoil_rsa_number(der, numbers[i]);
        assert_refused(numbers[i], hf_pkey_from_private, der);
    }
}

static void an_ec_point_off_its_curve_is_refused(void **unused)
{
    (void)unused;
    for (int kind = HF_PKEY_P256; kind <= HF_PKEY_P521; kind++) {
        HF_AUTO(buf) spki = public_of(pairs[kind]);

        /* The last byte of y. */
        spki->data[spki->len - 1] ^= 0x01;
        assert_refused("off the curve", hf_pkey_from_public, spki);
    }
}

static void an_ec_private_key_with_the_public_half_of_another_is_refused(void **unused)
{
    EVP_PKEY *one = generate_ec("P-256", "named_curve");
    EVP_PKEY *other = generate_ec("P-256", "named_curve");
    HF_AUTO(buf) der = pkcs8_of(one);
    HF_AUTO(buf) spki = spki_of(one);
    HF_AUTO(buf) other_spki = spki_of(other);
    const size_t point_len = 65;
    struct hf_bytes point = hf_bytes_of(spki->data + spki->len - point_len, point_len);

    (void)unused;
    memcpy(der->data + find_bytes(hf_buf_bytes(der), point),
           other_spki->data + other_spki->len - point_len, point_len);
    assert_refused("mixed halves", hf_pkey_from_private, der);
    EVP_PKEY_free(one);
    EVP_PKEY_free(other);
}

static void foreign_bytes_of_any_shape_are_refused_and_leave_no_error_behind(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < KINDS; i++) {
        HF_AUTO(secret) good = private_of(pairs[i]);

        /* Every tag, length and object id sits in the first bytes. */
        for (size_t bit = 0; bit < 8 * (size_t)40; bit++) {
            HF_AUTO(buf) der = hf_buf_new();
            HF_AUTO(pkey) pkey = NULL;
            struct hf_status status;

            hf_buf_add_bytes(der, hf_secret_bytes(good));
            der->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
            status = hf_pkey_load_private(world.crypto, &world.op, hf_buf_bytes(der), &pkey);
            assert_true(status.code == HF_OK || status.code == HF_INVALID);
            assert_int_equal(ERR_peek_error(), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_comes_back_from_its_private_form),
        cmocka_unit_test(each_kind_comes_back_from_its_public_form_without_the_private),
        cmocka_unit_test(pem_is_what_others_read),
        cmocka_unit_test(a_form_cut_or_with_more_behind_it_is_refused),
        cmocka_unit_test(an_endless_form_is_refused_unread),
        cmocka_unit_test(kinds_that_we_do_not_know_are_refused),
        cmocka_unit_test(rsa_numbers_that_do_not_belong_together_are_refused),
        cmocka_unit_test(an_ec_point_off_its_curve_is_refused),
        cmocka_unit_test(an_ec_private_key_with_the_public_half_of_another_is_refused),
        cmocka_unit_test(foreign_bytes_of_any_shape_are_refused_and_leave_no_error_behind),
    };

    return cmocka_run_group_tests(tests, open_pairs, close_pairs);
}
