/* AES-GCM and AES-CTR against published vectors, and against tampering. */
#include "crypto_world.h"

#include "base/alloc.h"

#define KEY_256 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NIST_TEXT                                                                                  \
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"                             \
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
#define NIST_COUNTER "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define HADOOP_DEK   "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

/* --- CTR --- */

static const struct {
    const char *says;
    const char *key;
    const char *counter;
    const char *in;
    const char *out;
} ctr_cases[] = {
    { "SP 800-38A F.5.1, 128 bits", "2b7e151628aed2a6abf7158809cf4f3c", NIST_COUNTER, NIST_TEXT,
      "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
      "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee" },
    { "SP 800-38A F.5.3, 192 bits", "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      NIST_COUNTER, NIST_TEXT,
      "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94"
      "1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050" },
    { "SP 800-38A F.5.5, 256 bits",
      "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", NIST_COUNTER, NIST_TEXT,
      "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
      "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6" },
    { "Hadoop V1: 128 bits", "000102030405060708090a0b0c0d0e0f", "efeeedecebeae9e8e7e6e5e4e3e2e1e0",
      "202122232425262728292a2b2c2d2e2f", "1bb233f33fdda7eb4355da74b404fd91" },
    { "Hadoop V2: the next version of the key", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
      "efeeedecebeae9e8e7e6e5e4e3e2e1e0", "202122232425262728292a2b2c2d2e2f",
      "5e7bc676214da099a4ff813a8cfd57ad" },
    { "Hadoop V3: 192 bits", "000102030405060708090a0b0c0d0e0f1011121314151617",
      "5f5e5d5c5b5a59585756555453525150", "202122232425262728292a2b2c2d2e2f3031323334353637",
      "4056cfbaf6b04d82a4ef6bf813455ba9945f84497e6bd289" },
    { "Hadoop V4: 256 bits", KEY_256, "000102030405060708090a0b0c0d0e0f", HADOOP_DEK,
      "7a4f26742cde57b1d8077f162eee88bd50c222e6f7b06e6a6d2fc16a4ed81ef0" },
    { "Hadoop V5: the counter carries out of 128 bits", KEY_256, "ffffffffffffffffffffffffffffffff",
      HADOOP_DEK, "c9b8c63e688256fd7bae3b5071a279c1c2a132851e7ca9e791caa051e11349bf" },
    { "Hadoop V6: the counter carries over bit 32", KEY_256, "000000000000000000000000ffffffff",
      HADOOP_DEK, "99e351bb34ee877081d7403ba04378b1542c2809b48bf9c1c8cab5ac58c0f1a9" },
    { "Hadoop V7: the counter carries over bit 64", KEY_256, "0000000000000000ffffffffffffffff",
      HADOOP_DEK, "86daf97fd9c55b3c70d41c0a5b91d1f0612ce7dcae5d1d4a9ca6abf3507244fc" },
};

static struct hf_ctr *ctr_under(const char *key_hex)
{
    HF_AUTO(buf) key = unhex(key_hex);
    struct hf_ctr *ctr = NULL;

    assert_ok(&world.op, hf_ctr_new(world.crypto, &world.op, hf_buf_bytes(key), &ctr));
    return ctr;
}

static void ctr_gives_the_published_bytes(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(ctr_cases); i++) {
        HF_AUTO(ctr) ctr = ctr_under(ctr_cases[i].key);
        HF_AUTO(buf) counter = unhex(ctr_cases[i].counter);
        HF_AUTO(buf) in = unhex(ctr_cases[i].in);

        /* In place, and twice: the second call begins at the counter again. */
        assert_ok(&world.op,
                  hf_ctr_crypt(ctr, &world.op, counter->data, hf_buf_bytes(in), in->data));
        assert_hex(ctr_cases[i].says, hf_buf_bytes(in), ctr_cases[i].out);
        assert_ok(&world.op,
                  hf_ctr_crypt(ctr, &world.op, counter->data, hf_buf_bytes(in), in->data));
        assert_hex(ctr_cases[i].says, hf_buf_bytes(in), ctr_cases[i].in);
    }
}

static void ctr_takes_any_length_apart_from_its_input(void **unused)
{
    HF_AUTO(ctr) ctr = ctr_under(KEY_256);
    const uint8_t counter[HF_AES_BLOCK_LEN] = { 0xff, 0xff };
    uint8_t in[67];
    uint8_t whole[sizeof in];

    (void)unused;
    memset(in, 0x5a, sizeof in);
    assert_ok(&world.op, hf_ctr_crypt(ctr, &world.op, counter, hf_bytes_of(in, sizeof in), whole));
    for (size_t len = 0; len < sizeof in; len++) {
        uint8_t out[sizeof in];

        memset(out, 0xee, sizeof out);
        assert_ok(&world.op, hf_ctr_crypt(ctr, &world.op, counter, hf_bytes_of(in, len), out));
        assert_memory_equal(out, whole, len);
        assert_int_equal(out[len], 0xee);
    }
}

/* --- GCM --- */

#define GCM_TEXT                                                                                   \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                             \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_AAD   "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define GCM_NONCE "cafebabefacedbaddecaf888"

/* McGrew and Viega, The Galois/Counter Mode of Operation (2005), appendix B. */
static const struct {
    const char *says;
    const char *key;
    const char *nonce;
    const char *aad;
    const char *plain;
    const char *cipher;
    const char *tag;
} gcm_cases[] = {
    { "case 1: nothing at all", "00000000000000000000000000000000", "000000000000000000000000", "",
      "", "", "58e2fccefa7e3061367f1d57a4e7455a" },
    { "case 2: one block", "00000000000000000000000000000000", "000000000000000000000000", "",
      "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
      "ab6e47d42cec13bdf53a67b21257bddf" },
    { "case 4: 128 bits, with associated data", "feffe9928665731c6d6a8f9467308308", GCM_NONCE,
      GCM_AAD, GCM_TEXT,
      "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
      "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
      "5bc94fbc3221a5db94fae95ae7121a47" },
    { "case 10: 192 bits, with associated data", "feffe9928665731c6d6a8f9467308308feffe9928665731c",
      GCM_NONCE, GCM_AAD, GCM_TEXT,
      "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c"
      "7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
      "2519498e80f1478f37ba55bd6d27618c" },
    { "case 13: 256 bits, nothing at all",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
    { "case 14: 256 bits, one block",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "000000000000000000000000", "", "00000000000000000000000000000000",
      "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
    { "case 16: 256 bits, with associated data",
      "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", GCM_NONCE, GCM_AAD,
      GCM_TEXT,
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
      "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
      "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static struct hf_aead *aead_under(const char *key_hex)
{
    HF_AUTO(buf) key = unhex(key_hex);
    struct hf_aead *aead = NULL;

    assert_ok(&world.op, hf_aead_new(world.crypto, &world.op, hf_buf_bytes(key), &aead));
    return aead;
}

static void gcm_gives_the_published_bytes(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(gcm_cases); i++) {
        HF_AUTO(aead) aead = aead_under(gcm_cases[i].key);
        HF_AUTO(buf) nonce = unhex(gcm_cases[i].nonce);
        HF_AUTO(buf) aad = unhex(gcm_cases[i].aad);
        HF_AUTO(buf) text = unhex(gcm_cases[i].plain);
        uint8_t tag[HF_GCM_TAG_LEN];

        /* In place, there and back. */
        assert_ok(&world.op, hf_aead_seal(aead, &world.op, nonce->data, hf_buf_bytes(aad),
                                          hf_buf_bytes(text), text->data, tag));
        assert_hex(gcm_cases[i].says, hf_buf_bytes(text), gcm_cases[i].cipher);
        assert_hex(gcm_cases[i].says, hf_bytes_of(tag, sizeof tag), gcm_cases[i].tag);
        assert_ok(&world.op, hf_aead_open(aead, &world.op, nonce->data, hf_buf_bytes(aad),
                                          hf_buf_bytes(text), tag, text->data));
        assert_hex(gcm_cases[i].says, hf_buf_bytes(text), gcm_cases[i].plain);
    }
}

/* One sealed message, laid out so that every byte of it can be changed by its number. */
struct message {
    uint8_t nonce[HF_GCM_NONCE_LEN];
    uint8_t aad[20];
    uint8_t cipher[33];
    uint8_t tag[HF_GCM_TAG_LEN];
};

static struct hf_status open_message(struct hf_aead *aead, const struct message *message,
                                     uint8_t *out)
{
    return hf_aead_open(aead, &world.op, message->nonce,
                        hf_bytes_of(message->aad, sizeof message->aad),
                        hf_bytes_of(message->cipher, sizeof message->cipher), message->tag, out);
}

static void gcm_refuses_a_change_of_any_bit_and_wipes_what_it_wrote(void **unused)
{
    HF_AUTO(aead) aead = aead_under(KEY_256);
    static const uint8_t zeroes[33];
    struct message message;
    uint8_t plain[33];
    uint8_t out[33];

    (void)unused;
    memset(&message, 0x11, sizeof message);
    memset(plain, 0x77, sizeof plain);
    assert_ok(&world.op,
              hf_aead_seal(aead, &world.op, message.nonce,
                           hf_bytes_of(message.aad, sizeof message.aad),
                           hf_bytes_of(plain, sizeof plain), message.cipher, message.tag));
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        struct message altered = message;

        ((uint8_t *)&altered)[bit / 8] ^= (uint8_t)(1U << bit % 8);
        memset(out, 0xee, sizeof out);
        assert_altered("a flipped bit", open_message(aead, &altered, out));
        assert_memory_equal(out, zeroes, sizeof out);
    }
    /* The context goes on after refusals. */
    assert_ok(&world.op, open_message(aead, &message, out));
    assert_memory_equal(out, plain, sizeof out);
}

static void gcm_refuses_another_key(void **unused)
{
    HF_AUTO(aead) aead = aead_under(KEY_256);
    HF_AUTO(aead) other =
        aead_under("ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    struct message message = { 0 };
    uint8_t out[sizeof message.cipher];

    (void)unused;
    assert_ok(&world.op, hf_aead_seal(aead, &world.op, message.nonce,
                                      hf_bytes_of(message.aad, sizeof message.aad),
                                      hf_bytes_of(message.cipher, sizeof message.cipher),
                                      message.cipher, message.tag));
    assert_altered("another key", open_message(other, &message, out));
}

static void keys_of_other_lengths_are_refused(void **unused)
{
    const uint8_t key[64] = { 0 };

    (void)unused;
    for (size_t len = 0; len <= sizeof key; len++) {
        HF_AUTO(aead) aead = NULL;
        HF_AUTO(ctr) ctr = NULL;
        enum hf_code wanted = len == 16 || len == 24 || len == 32 ? HF_OK : HF_INVALID;

        assert_fails(&world.op, hf_aead_new(world.crypto, &world.op, hf_bytes_of(key, len), &aead),
                     wanted);
        assert_fails(&world.op, hf_ctr_new(world.crypto, &world.op, hf_bytes_of(key, len), &ctr),
                     wanted);
    }
}

static void more_than_one_nonce_covers_is_refused_before_it_is_touched(void **unused)
{
    HF_AUTO(aead) aead = aead_under(KEY_256);
    uint8_t block[HF_GCM_TAG_LEN] = { 0 };
    const struct hf_bytes endless = hf_bytes_of(block, (size_t)1 << 37);

    (void)unused;
    assert_fails(&world.op,
                 hf_aead_seal(aead, &world.op, block, HF_BYTES_NONE, endless, block, block),
                 HF_TOO_LARGE);
    assert_fails(&world.op,
                 hf_aead_open(aead, &world.op, block, HF_BYTES_NONE, endless, block, block),
                 HF_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ctr_gives_the_published_bytes),
        cmocka_unit_test(ctr_takes_any_length_apart_from_its_input),
        cmocka_unit_test(gcm_gives_the_published_bytes),
        cmocka_unit_test(gcm_refuses_a_change_of_any_bit_and_wipes_what_it_wrote),
        cmocka_unit_test(gcm_refuses_another_key),
        cmocka_unit_test(keys_of_other_lengths_are_refused),
        cmocka_unit_test(more_than_one_nonce_covers_is_refused_before_it_is_touched),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
