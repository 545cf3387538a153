/* Many threads on one hf_crypto and on the same keys; meant for ThreadSanitizer too. */
#include "crypto_world.h"

#include <pthread.h>

#define THREADS 6
#define ROUNDS  40

static struct hf_pkey *rsa;
static struct hf_pkey *ec;
static struct hf_buf *wrapped; /* by rsa, from before the threads */
static struct hf_secret *x25519;
static uint8_t x25519_public[HF_X25519_LEN];

static const struct hf_bytes text = { (const uint8_t *)"shared by all threads", 21 };

static struct hf_status use_rsa(struct hf_op *op)
{
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) again = hf_buf_new();

    HF_TRY(hf_rsa_unwrap(rsa, op, HF_HASH_SHA256, hf_buf_bytes(wrapped), &plain));
    if (!hf_bytes_equal(hf_secret_bytes(plain), text)) {
        return hf_fail(op, HF_CORRUPT, "unwrapped to something else");
    }
    return hf_rsa_wrap(rsa, op, HF_HASH_SHA256, text, again);
}

static struct hf_status use_ec(struct hf_op *op)
{
    HF_AUTO(buf) signature = hf_buf_new();
    HF_AUTO(secret) private_form = NULL;
    bool valid = false;

    HF_TRY(hf_pkey_sign(ec, op, HF_SIGN_ECDSA, HF_HASH_SHA256, text, signature));
    HF_TRY(hf_pkey_verify(ec, op, HF_SIGN_ECDSA, HF_HASH_SHA256, text, hf_buf_bytes(signature),
                          &valid));
    if (!valid) {
        return hf_fail(op, HF_CORRUPT, "an own signature is wrong");
    }
    return hf_pkey_private(ec, op, &private_form);
}

static struct hf_status use_hpke(struct hf_op *op)
{
    HF_AUTO(buf) sealed = hf_buf_new();
    HF_AUTO(secret) plain = NULL;

    HF_TRY(hf_hpke_seal(world.crypto, op, x25519_public, text, text, text, sealed));
    HF_TRY(hf_hpke_open(world.crypto, op, x25519, text, text, hf_buf_bytes(sealed), &plain));
    if (!hf_bytes_equal(hf_secret_bytes(plain), text)) {
        return hf_fail(op, HF_CORRUPT, "opened to something else");
    }
    return HF_SUCCESS;
}

static struct hf_status use_contexts_of_its_own(struct hf_op *op)
{
    HF_AUTO(secret) key = NULL;
    HF_AUTO(aead) aead = NULL;
    HF_AUTO(mac) mac = NULL;
    uint8_t nonce[HF_GCM_NONCE_LEN];
    uint8_t tag[HF_GCM_TAG_LEN];
    uint8_t body[32];
    uint8_t digest[HF_SHA256_LEN];

    HF_TRY(hf_hkdf(world.crypto, op, text, HF_BYTES_NONE, HF_BYTES_NONE, 32, &key));
    HF_TRY(hf_aead_new(world.crypto, op, hf_secret_bytes(key), &aead));
    HF_TRY(hf_random_public(world.crypto, op, nonce, sizeof nonce));
    HF_TRY(hf_aead_seal(aead, op, nonce, HF_BYTES_NONE, text, body, tag));
    HF_TRY(hf_aead_open(aead, op, nonce, HF_BYTES_NONE, hf_bytes_of(body, text.len), tag, body));
    HF_TRY(hf_mac_new(world.crypto, op, hf_secret_bytes(key), &mac));
    HF_TRY(hf_mac_compute(mac, op, &text, 1, digest));
    return hf_sha256(world.crypto, op, text, digest);
}

static struct hf_status make_keys(struct hf_op *op)
{
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(pkey) back = NULL;
    HF_AUTO(secret) private_form = NULL;

    HF_TRY(hf_pkey_generate(world.crypto, op, HF_PKEY_P256, &pkey));
    HF_TRY(hf_pkey_private(pkey, op, &private_form));
    return hf_pkey_from_private(world.crypto, op, hf_secret_bytes(private_form), &back);
}

static void *work(void *argument)
{
    static struct hf_status (*const tasks[])(
        struct hf_op *) = { use_rsa, use_ec, use_hpke, use_contexts_of_its_own, make_keys };
    struct hf_op *op = argument;

    for (size_t i = 0; i < ROUNDS; i++) {
        if (tasks[i % HF_COUNT(tasks)](op).code != HF_OK) {
            return op;
        }
    }
    return NULL;
}

static void threads_share_algorithms_and_keys(void **unused)
{
    pthread_t threads[THREADS];
    static struct hf_op ops[THREADS];

    (void)unused;
    for (size_t i = 0; i < THREADS; i++) {
        hf_op_init(&ops[i], &world.env);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &ops[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        if (failed != NULL) {
            fail_msg("thread %zu: %s", i, ops[i].text);
        }
    }
}

static int open_keys(void **state)
{
    (void)open_world(state);
    wrapped = hf_buf_new();
    assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, HF_PKEY_RSA_2048, &rsa));
    assert_ok(&world.op, hf_pkey_generate(world.crypto, &world.op, HF_PKEY_P256, &ec));
    assert_ok(&world.op, hf_rsa_wrap(rsa, &world.op, HF_HASH_SHA256, text, wrapped));
    assert_ok(&world.op, hf_x25519_generate(world.crypto, &world.op, &x25519, x25519_public));
    return 0;
}

static int close_keys(void **state)
{
    hf_pkey_free(rsa);
    hf_pkey_free(ec);
    hf_buf_free(wrapped);
    hf_secret_free(x25519);
    return close_world(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_algorithms_and_keys),
    };

    return cmocka_run_group_tests(tests, open_keys, close_keys);
}
