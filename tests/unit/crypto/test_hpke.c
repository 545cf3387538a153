/* HPKE against the vectors of RFC 9180 and of BoringSSL, and against tampering. */
#include "crypto_world.h"

#include "crypto/hpke_internal.h"

#define INFO  "4f6465206f6e2061204772656369616e2055726e"
#define PLAIN "4265617574792069732074727574682c20747275746820626561757479"
#define AAD   "436f756e742d30"

/* RFC 9180, A.1.1: the same KEM and KDF with AES-128-GCM. */
#define A1_EPHEMERAL "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"
#define A1_ENC       "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
#define A1_PRIVATE   "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
#define A1_PUBLIC    "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
#define A1_SHARED    "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc"
#define A1_KEY       "4531685d41d65f03dc48f6b8302c05b0"
#define A1_NONCE     "56d890e5accaaf011cff4b7d"
#define A1_CIPHER                                                                                  \
    "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"

static void a_private_key_gives_its_public_key(void **unused)
{
    static const struct {
        const char *says;
        const char *private_key;
        const char *public_key;
    } cases[] = {
        { "RFC 9180 A.1.1, recipient", A1_PRIVATE, A1_PUBLIC },
        { "RFC 9180 A.1.1, ephemeral", A1_EPHEMERAL, A1_ENC },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(secret) private_key = unhex_secret(cases[i].private_key);
        uint8_t public_key[HF_X25519_LEN];

        assert_ok(&world.op, hf_x25519_public(world.crypto, &world.op, private_key, public_key));
        assert_hex(cases[i].says, hf_bytes_of(public_key, sizeof public_key), cases[i].public_key);
    }
}

static void both_ends_come_to_the_published_shared_secret(void **unused)
{
    HF_AUTO(secret) ephemeral = unhex_secret(A1_EPHEMERAL);
    HF_AUTO(secret) private_key = unhex_secret(A1_PRIVATE);
    HF_AUTO(buf) public_key = unhex(A1_PUBLIC);
    HF_AUTO(secret) sent = NULL;
    HF_AUTO(secret) received = NULL;
    uint8_t enc[HF_X25519_LEN];

    (void)unused;
    assert_ok(&world.op,
              hf_hpke_encap(world.crypto, &world.op, ephemeral, public_key->data, enc, &sent));
    assert_hex("enc", hf_bytes_of(enc, sizeof enc), A1_ENC);
    assert_hex("the sender's", hf_secret_bytes(sent), A1_SHARED);
    assert_ok(&world.op, hf_hpke_decap(world.crypto, &world.op, private_key, enc, &received));
    assert_hex("the recipient's", hf_secret_bytes(received), A1_SHARED);
}

static void the_key_schedule_gives_the_published_key_and_nonce(void **unused)
{
    HF_AUTO(secret) shared = unhex_secret(A1_SHARED);
    HF_AUTO(buf) info = unhex(INFO);
    HF_AUTO(secret) key = NULL;
    uint8_t nonce[HF_GCM_NONCE_LEN];

    (void)unused;
    assert_ok(&world.op, hf_hpke_schedule(world.crypto, &world.op, HF_HPKE_AES_128_GCM, shared,
                                          hf_buf_bytes(info), &key, nonce));
    assert_hex("key", hf_secret_bytes(key), A1_KEY);
    assert_hex("base_nonce", hf_bytes_of(nonce, sizeof nonce), A1_NONCE);
}

static const struct {
    const char *says;
    uint16_t aead;
    const char *ephemeral;
    const char *enc;
    const char *public_key;
    const char *cipher;
} seal_cases[] = {
    { "RFC 9180 A.1.1, sequence number 0", HF_HPKE_AES_128_GCM, A1_EPHEMERAL, A1_ENC, A1_PUBLIC,
      A1_CIPHER },
    /* hpke_test_vectors.txt of BoringSSL, from the test vectors of the CFRG draft. */
    { "AES-256-GCM, as in BoringSSL and Tink", HF_HPKE_AES_256_GCM,
      "28e212563a8b6f068af7ff17400ff1baf23612b7a738bbaf5dfb321b2b5b431a", NULL,
      "ac66bae9ffa270cf4a89ed9f274e30c0456babae2572aaaf002ff0d8884ab018",
      "23ded2d5d90ea89d975dac4792b297240f194952d7421aacbff0474100052b6bb8aa58d18ef6c42b6960e2e28"
      "f" },
};

static void sealing_gives_the_published_bytes(void **unused)
{
    HF_AUTO(buf) info = unhex(INFO);
    HF_AUTO(buf) aad = unhex(AAD);
    HF_AUTO(buf) plain = unhex(PLAIN);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(seal_cases); i++) {
        HF_AUTO(secret) ephemeral = unhex_secret(seal_cases[i].ephemeral);
        HF_AUTO(buf) public_key = unhex(seal_cases[i].public_key);
        HF_AUTO(buf) out = hf_buf_new();

        assert_ok(&world.op, hf_hpke_seal_with(world.crypto, &world.op, seal_cases[i].aead,
                                               ephemeral, public_key->data, hf_buf_bytes(info),
                                               hf_buf_bytes(aad), hf_buf_bytes(plain), out));
        if (seal_cases[i].enc != NULL) {
            assert_hex(seal_cases[i].says, hf_bytes_of(out->data, 32), seal_cases[i].enc);
        }
        assert_hex(seal_cases[i].says, hf_bytes_of(out->data + 32, out->len - 32),
                   seal_cases[i].cipher);
    }
}

/* Made by the HPKE of the Python package cryptography 48.0.0 for the recipient of A.1.1. */
#define PYTHON_SEALED                                                                              \
    "f1bae9dc8478766b09bdcddb5dbd824460ca872f636b88e595a9d41cd4ebc10e5ffe636d0bd58ba0cd98f43d1e64" \
    "f8647b3d793f4ad49d22f8209c0ba0236b1dfcb4db49ca8bd07a795c17649c"

static const struct {
    const char *says;
    uint16_t aead;
    const char *aad;
    const char *sealed;
} open_cases[] = {
    { "RFC 9180 A.1.1, sequence number 0", HF_HPKE_AES_128_GCM, AAD, A1_ENC A1_CIPHER },
    { "AES-256-GCM, by another implementation", HF_HPKE_AES_256_GCM, "", PYTHON_SEALED },
};

static void opening_gives_what_others_sealed(void **unused)
{
    HF_AUTO(secret) private_key = unhex_secret(A1_PRIVATE);
    HF_AUTO(buf) info = unhex(INFO);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(open_cases); i++) {
        HF_AUTO(buf) sealed = unhex(open_cases[i].sealed);
        HF_AUTO(buf) aad = unhex(open_cases[i].aad);
        HF_AUTO(secret) plain = NULL;

        assert_ok(&world.op, hf_hpke_open_with(world.crypto, &world.op, open_cases[i].aead,
                                               private_key, hf_buf_bytes(info), hf_buf_bytes(aad),
                                               hf_buf_bytes(sealed), &plain));
        assert_hex(open_cases[i].says, hf_secret_bytes(plain), PLAIN);
    }
}

/* --- a key pair of our own --- */

struct mail {
    struct hf_secret *private_key;
    uint8_t public_key[HF_X25519_LEN];
    struct hf_buf *sealed;
};

#define MAIL_INFO  hf_bytes_of_text("slot 7")
#define MAIL_AAD   hf_bytes_of_text("store 9")
#define MAIL_PLAIN hf_bytes_of_text("the root key of a test is this text")

static void write_mail(struct mail *mail)
{
    mail->sealed = hf_buf_new();
    assert_ok(&world.op,
              hf_x25519_generate(world.crypto, &world.op, &mail->private_key, mail->public_key));
    assert_ok(&world.op, hf_hpke_seal(world.crypto, &world.op, mail->public_key, MAIL_INFO,
                                      MAIL_AAD, MAIL_PLAIN, mail->sealed));
}

static void burn_mail(struct mail *mail)
{
    hf_secret_free(mail->private_key);
    hf_buf_free(mail->sealed);
}

static struct hf_status open_mail(const struct mail *mail, struct hf_bytes sealed,
                                  struct hf_secret **out)
{
    return hf_hpke_open(world.crypto, &world.op, mail->private_key, MAIL_INFO, MAIL_AAD, sealed,
                        out);
}

static void what_is_sealed_opens_and_is_never_the_same_twice(void **unused)
{
    struct mail mail;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) again = hf_buf_new();

    (void)unused;
    write_mail(&mail);
    assert_int_equal(mail.sealed->len, 32 + MAIL_PLAIN.len + 16);
    assert_ok(&world.op, open_mail(&mail, hf_buf_bytes(mail.sealed), &plain));
    assert_true(hf_bytes_equal(hf_secret_bytes(plain), MAIL_PLAIN));
    assert_ok(&world.op, hf_hpke_seal(world.crypto, &world.op, mail.public_key, MAIL_INFO, MAIL_AAD,
                                      MAIL_PLAIN, again));
    assert_false(hf_bytes_equal(hf_buf_bytes(again), hf_buf_bytes(mail.sealed)));
    burn_mail(&mail);
}

static void a_change_of_any_bit_is_refused(void **unused)
{
    struct mail mail;

    (void)unused;
    write_mail(&mail);
    for (size_t bit = 0; bit < 8 * mail.sealed->len; bit++) {
        HF_AUTO(secret) plain = NULL;
        uint8_t mask = (uint8_t)(1U << bit % 8);

        /* RFC 7748, 5: X25519 ignores the top bit of a public key; the context still binds it. */
        mail.sealed->data[bit / 8] ^= mask;
        assert_altered("a flipped bit", open_mail(&mail, hf_buf_bytes(mail.sealed), &plain));
        mail.sealed->data[bit / 8] ^= mask;
    }
    burn_mail(&mail);
}

static void a_message_cut_at_any_length_is_refused(void **unused)
{
    struct mail mail;

    (void)unused;
    write_mail(&mail);
    for (size_t len = 0; len < mail.sealed->len; len++) {
        HF_AUTO(buf) cut = hf_buf_new();
        HF_AUTO(secret) plain = NULL;

        /* A copy of that very length, so that a read behind its end is seen. */
        hf_buf_add(cut, mail.sealed->data, len);
        assert_altered("cut", open_mail(&mail, hf_buf_bytes(cut), &plain));
    }
    burn_mail(&mail);
}

static void another_key_info_or_associated_data_does_not_open(void **unused)
{
    struct mail mail;
    HF_AUTO(secret) other = NULL;
    HF_AUTO(secret) plain = NULL;
    uint8_t other_public[HF_X25519_LEN];
    struct hf_bytes sealed;

    (void)unused;
    write_mail(&mail);
    sealed = hf_buf_bytes(mail.sealed);
    assert_ok(&world.op, hf_x25519_generate(world.crypto, &world.op, &other, other_public));
    assert_altered("another key", hf_hpke_open(world.crypto, &world.op, other, MAIL_INFO, MAIL_AAD,
                                               sealed, &plain));
    assert_altered("another info", hf_hpke_open(world.crypto, &world.op, mail.private_key,
                                                HF_BYTES_NONE, MAIL_AAD, sealed, &plain));
    assert_altered("other associated data", hf_hpke_open(world.crypto, &world.op, mail.private_key,
                                                         MAIL_INFO, HF_BYTES_NONE, sealed, &plain));
    burn_mail(&mail);
}

static void points_of_small_order_are_refused(void **unused)
{
    /* The public keys that multiply to zero; RFC 7748, 6.1 and 7. */
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct mail mail;

    (void)unused;
    write_mail(&mail);
    for (size_t i = 0; i < HF_COUNT(points); i++) {
        HF_AUTO(buf) point = unhex(points[i]);
        HF_AUTO(buf) out = hf_buf_new();
        HF_AUTO(secret) plain = NULL;

        assert_fails(&world.op,
                     hf_hpke_seal(world.crypto, &world.op, point->data, MAIL_INFO, MAIL_AAD,
                                  MAIL_PLAIN, out),
                     HF_INVALID);
        assert_int_equal(out->len, 0);
        memcpy(mail.sealed->data, point->data, HF_X25519_LEN);
        assert_altered(points[i], open_mail(&mail, hf_buf_bytes(mail.sealed), &plain));
    }
    burn_mail(&mail);
}

static void a_private_key_of_another_length_is_refused(void **unused)
{
    HF_AUTO(secret) shorter = unhex_secret("00112233");
    HF_AUTO(secret) plain = NULL;
    const uint8_t sealed[64] = { 9 };
    uint8_t public_key[HF_X25519_LEN];

    (void)unused;
    assert_fails(&world.op, hf_x25519_public(world.crypto, &world.op, shorter, public_key),
                 HF_INVALID);
    assert_fails(&world.op,
                 hf_hpke_open(world.crypto, &world.op, shorter, HF_BYTES_NONE, HF_BYTES_NONE,
                              hf_bytes_of(sealed, sizeof sealed), &plain),
                 HF_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_key_gives_its_public_key),
        cmocka_unit_test(both_ends_come_to_the_published_shared_secret),
        cmocka_unit_test(the_key_schedule_gives_the_published_key_and_nonce),
        cmocka_unit_test(sealing_gives_the_published_bytes),
        cmocka_unit_test(opening_gives_what_others_sealed),
        cmocka_unit_test(what_is_sealed_opens_and_is_never_the_same_twice),
        cmocka_unit_test(a_change_of_any_bit_is_refused),
        cmocka_unit_test(a_message_cut_at_any_length_is_refused),
        cmocka_unit_test(another_key_info_or_associated_data_does_not_open),
        cmocka_unit_test(points_of_small_order_are_refused),
        cmocka_unit_test(a_private_key_of_another_length_is_refused),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
