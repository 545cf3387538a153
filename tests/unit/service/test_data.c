/* Uses of keys: denied ones do nothing, each is one line with version and count, none without it.
 */
#include <stdio.h>
#include <string.h>

#include "neighbour.h"

#include "base/text.h"

#define AAD hf_bytes_of_text("context")

/* What the uses below are made on. */
static struct {
    struct hf_edek edek;      /* of "aes", version 1 */
    struct hf_buf ciphertext; /* likewise */
    struct hf_buf signature;  /* of "rsa" over "message" */
    struct hf_buf mac;        /* of "hmac" */
    struct hf_secret *message;
} given;

typedef struct hf_status (*use_call)(struct hf_op *op);

static struct hf_status hadoop_generate(struct hf_op *op)
{
    struct hf_edek edeks[3];

    return hf_service_hadoop_generate(world.service, op, RING, "aes", HF_COUNT(edeks), edeks);
}

static struct hf_status hadoop_decrypt(struct hf_op *op)
{
    HF_AUTO(secret) plain = NULL;

    return hf_service_hadoop_decrypt(world.service, op, RING, "aes", &given.edek, &plain);
}

static struct hf_status hadoop_reencrypt(struct hf_op *op)
{
    struct hf_edek edeks[2] = { given.edek, given.edek };

    return hf_service_hadoop_reencrypt(world.service, op, RING, "aes", edeks, HF_COUNT(edeks));
}

static struct hf_status data_key(struct hf_op *op)
{
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();

    return hf_service_data_key_generate(world.service, op, RING, "aes", 32, AAD, &plain, wrapped);
}

static struct hf_status encrypt(struct hf_op *op)
{
    HF_AUTO(buf) out = hf_buf_new();

    return hf_service_encrypt(world.service, op, RING, "aes", HF_LATEST, AAD, given.message, out);
}

static struct hf_status decrypt(struct hf_op *op)
{
    HF_AUTO(secret) plain = NULL;

    return hf_service_decrypt(world.service, op, RING, "aes", AAD, hf_buf_bytes(&given.ciphertext),
                              &plain);
}

static struct hf_status reencrypt(struct hf_op *op)
{
    HF_AUTO(buf) out = hf_buf_new();
    uint32_t version;

    return hf_service_reencrypt(world.service, op, RING, "aes", AAD,
                                hf_buf_bytes(&given.ciphertext), out, &version);
}

static struct hf_status sign(struct hf_op *op)
{
    HF_AUTO(buf) out = hf_buf_new();
    uint32_t version;

    return hf_service_sign(world.service, op, RING, "rsa", HF_LATEST, HF_SIGN_RSA_PSS,
                           HF_HASH_SHA256, hf_secret_bytes(given.message), out, &version);
}

static struct hf_status verify(struct hf_op *op)
{
    bool valid;

    return hf_service_verify(world.service, op, RING, "rsa", HF_LATEST, HF_SIGN_RSA_PSS,
                             HF_HASH_SHA256, hf_secret_bytes(given.message),
                             hf_buf_bytes(&given.signature), &valid);
}

static struct hf_status mac(struct hf_op *op)
{
    HF_AUTO(buf) out = hf_buf_new();
    uint32_t version;

    return hf_service_mac(world.service, op, RING, "hmac", HF_LATEST, HF_HASH_SHA256,
                          hf_secret_bytes(given.message), out, &version);
}

static struct hf_status mac_verify(struct hf_op *op)
{
    bool valid;

    return hf_service_mac_verify(world.service, op, RING, "hmac", HF_LATEST, HF_HASH_SHA256,
                                 hf_secret_bytes(given.message), hf_buf_bytes(&given.mac), &valid);
}

static struct hf_status random_bytes(struct hf_op *op)
{
    HF_AUTO(secret) bytes = NULL;

    return hf_service_random(world.service, op, 32, &bytes);
}

static const struct {
    const char *says;
    use_call call;
    const char *action;
    const char *where; /* key and version, as the line has them */
    const char *count;
} uses[] = {
    { "generate for Hadoop", hadoop_generate, "key.generate", "\"key\":\"aes\",\"version\":2",
      "\"count\":3" },
    { "decrypt for Hadoop", hadoop_decrypt, "key.unwrap", "\"key\":\"aes\",\"version\":1", NULL },
    { "re-encrypt for Hadoop", hadoop_reencrypt, "key.reencrypt", "\"key\":\"aes\",\"version\":2",
      "\"count\":2" },
    { "a data key", data_key, "key.generate", "\"key\":\"aes\",\"version\":2", "with plaintext" },
    { "encrypt", encrypt, "key.encrypt", "\"key\":\"aes\",\"version\":2", NULL },
    { "decrypt", decrypt, "key.decrypt", "\"key\":\"aes\",\"version\":1", NULL },
    { "re-encrypt", reencrypt, "key.reencrypt", "\"key\":\"aes\",\"version\":2", NULL },
    { "sign", sign, "key.sign", "\"key\":\"rsa\",\"version\":1", NULL },
    { "verify", verify, "key.verify", "\"key\":\"rsa\",\"version\":1", NULL },
    { "mac", mac, "key.mac", "\"key\":\"hmac\",\"version\":1", NULL },
    { "check a mac", mac_verify, "key.verify", "\"key\":\"hmac\",\"version\":1", NULL },
    { "random bytes", random_bytes, "random", NULL, NULL },
};

static int setup(void **unused)
{
    struct hf_op alice, root;
    uint32_t version;

    assert_int_equal(world_open(unused), 0);
    alice = world_as(ALICE);
    root = world_as(ROOT);
    (void)world_key("aes", HF_ALG_AES_256);
    (void)world_key("rsa", HF_ALG_RSA_2048);
    (void)world_key("hmac", HF_ALG_HMAC);
    given.message = world_secret("message", 7);
    hf_buf_init(&given.ciphertext);
    hf_buf_init(&given.signature);
    hf_buf_init(&given.mac);
    assert_ok(&alice,
              hf_service_hadoop_generate(world.service, &alice, RING, "aes", 1, &given.edek));
    assert_ok(&alice, hf_service_encrypt(world.service, &alice, RING, "aes", HF_LATEST, AAD,
                                         given.message, &given.ciphertext));
    assert_ok(&alice, hf_service_sign(world.service, &alice, RING, "rsa", 1, HF_SIGN_RSA_PSS,
                                      HF_HASH_SHA256, hf_secret_bytes(given.message),
                                      &given.signature, &version));
    assert_ok(&alice, hf_service_mac(world.service, &alice, RING, "hmac", 1, HF_HASH_SHA256,
                                     hf_secret_bytes(given.message), &given.mac, &version));
    assert_ok(&root,
              hf_service_key_rotate(world.service, &root, RING, "aes", NULL, &version, NULL));
    return 0;
}

static int teardown(void **unused)
{
    hf_secret_free(given.message);
    hf_buf_done(&given.ciphertext);
    hf_buf_done(&given.signature);
    hf_buf_done(&given.mac);
    return world_close(unused);
}

static char *line_of(size_t i, const char *outcome, const char *who)
{
    return hf_format("\"operation\":\"%s\",\"outcome\":\"%s\",\"caller\":\"%s\"", uses[i].action,
                     outcome, who);
}

static void a_denied_use_is_recorded_and_gives_nothing(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(uses); i++) {
        HF_AUTO_STRING line = line_of(i, "denied", MALLORY);
        struct hf_op op = world_as(MALLORY);
        unsigned lines = world_lines(line, NULL, NULL);
        struct hf_status status = uses[i].call(&op);

        if (status.code != HF_DENIED || strcmp(op.text, hf_code_sentence(HF_DENIED)) != 0 ||
            world_lines(line, "no rule allows", "\"door\":\"test\"") != lines + 1) {
            fail_msg("%s: got %s: %s", uses[i].says, hf_code_name(status.code), op.text);
        }
    }
}

static void an_allowed_use_is_one_line_with_version_and_count(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(uses); i++) {
        HF_AUTO_STRING line = line_of(i, "ok", ALICE);
        struct hf_op op = world_as(ALICE);
        unsigned lines = world_lines(line, uses[i].where, uses[i].count);
        unsigned all = world_lines(NULL, NULL, NULL);
        struct hf_status status = uses[i].call(&op);

        if (status.code != HF_OK) {
            fail_msg("%s: got %s: %s", uses[i].says, hf_code_name(status.code), op.text);
        }
        if (world_lines(line, uses[i].where, uses[i].count) != lines + 1 ||
            world_lines(NULL, NULL, NULL) != all + 1) {
            fail_msg("%s: not one line of its own", uses[i].says);
        }
    }
}

static void where_other_nodes_serve_the_keyring_no_use_is_answered(void **unused)
{
    static const char *const nodes[] = { "node-2" };

    (void)unused;
    neighbour_enlist("node-2", "", HF_MEMBER_APPROVED);
    world.service->shared_store = true;
    world_serve_on(RING, nodes, HF_COUNT(nodes));
    for (size_t i = 0; i < HF_COUNT(uses); i++) {
        bool of_keyring = uses[i].where != NULL;
        HF_AUTO_STRING line = line_of(i, of_keyring ? "unavailable" : "ok", ALICE);
        struct hf_op op = world_as(ALICE);
        unsigned lines = world_lines(line, of_keyring ? "node-2" : NULL, NULL);
        struct hf_status status = uses[i].call(&op);
        bool refused = status.code == HF_UNAVAILABLE && op.standing.elsewhere &&
                       strstr(op.text, "does not serve the keyring hdfs") != NULL;

        if (refused != of_keyring ||
            world_lines(line, of_keyring ? "node-2" : NULL, NULL) != lines + 1) {
            fail_msg("%s: got %s: %s", uses[i].says, hf_code_name(status.code), op.text);
        }
    }
    /* Who may not is told nothing of it. */
    a_denied_use_is_recorded_and_gives_nothing(NULL);
    /* A store that is this node's alone has nobody else to ask. */
    world.service->shared_store = false;
    an_allowed_use_is_one_line_with_version_and_count(NULL);
}

static void with_a_full_audit_disk_no_use_gives_anything(void **unused)
{
    (void)unused;
    world.disk_is_full = true;
    for (size_t i = 0; i < HF_COUNT(uses); i++) {
        struct hf_op op = world_as(ALICE);
        struct hf_status status = uses[i].call(&op);

        if (status.code != HF_NO_SPACE) {
            fail_msg("%s: got %s", uses[i].says, hf_code_name(status.code));
        }
    }
    world_make_room();
    for (size_t i = 0; i < HF_COUNT(uses); i++) {
        struct hf_op op = world_as(ALICE);

        assert_ok(&op, uses[i].call(&op));
    }
}

static void results_stay_here_when_their_line_is_refused(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_edek edeks[2] = { given.edek, given.edek };
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) out = hf_buf_new();
    uint32_t version = 77;

    (void)unused;
    world.disk_is_full = true;
    assert_fails(&op,
                 hf_service_hadoop_decrypt(world.service, &op, RING, "aes", &given.edek, &plain),
                 HF_NO_SPACE);
    assert_null(plain);
    assert_fails(&op, hf_service_hadoop_reencrypt(world.service, &op, RING, "aes", edeks, 2),
                 HF_NO_SPACE);
    assert_int_equal(edeks[1].version, 1);
    assert_fails(
        &op,
        hf_service_encrypt(world.service, &op, RING, "aes", HF_LATEST, AAD, given.message, out),
        HF_NO_SPACE);
    assert_fails(&op,
                 hf_service_mac(world.service, &op, RING, "hmac", HF_LATEST, HF_HASH_SHA256, AAD,
                                out, &version),
                 HF_NO_SPACE);
    assert_int_equal(out->len, 0);
    assert_int_equal(version, 77);
}

static void a_use_that_must_wait_leaves_no_trace_and_comes_again(void **unused)
{
    HF_AUTO_STRING line = line_of(1, "ok", ALICE);
    struct hf_op op;
    unsigned lines, all;

    (void)unused;
    /* After a restart nothing is hot, and opening a keyring key takes RSA. */
    world_restart();
    op = world_as(ALICE);
    lines = world_lines(line, NULL, NULL);
    all = world_lines(NULL, NULL, NULL);
    op.may_wait = false;
    assert_fails(&op, hadoop_decrypt(&op), HF_LATER);
    assert_int_equal(world_lines(NULL, NULL, NULL), all);
    op = world_as(ALICE);
    assert_ok(&op, hadoop_decrypt(&op));
    op.may_wait = false;
    assert_ok(&op, hadoop_decrypt(&op));
    assert_int_equal(world_lines(line, NULL, NULL), lines + 2);
}

static void a_failure_to_open_tells_its_cause_to_who_may_know(void **unused)
{
    struct hf_edek edek = given.edek;
    struct hf_op op = world_as(ALICE);
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) changed = hf_buf_new();

    (void)unused;
    edek.version = 9;
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "aes", &edek, &plain),
                 HF_NOT_FOUND);
    assert_int_equal(op.cause, HF_CAUSE_UNKNOWN_KEY);
    assert_int_equal(world_lines(EVENT("key.unwrap", "not_found", ALICE), "\"version\":9",
                                 "\"cause\":\"unknown_key\""),
                     1);

    hf_buf_add_bytes(changed, hf_buf_bytes(&given.ciphertext));
    changed->data[changed->len - 1] ^= 1;
    assert_fails(
        &op,
        hf_service_decrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(changed), &plain),
        HF_INVALID);
    assert_int_equal(op.cause, HF_CAUSE_ALTERED);
    assert_int_equal(
        world_lines(EVENT("key.decrypt", "invalid", ALICE), "\"cause\":\"altered\"", NULL), 1);

    op = world_as(MALLORY);
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "aes", &edek, &plain),
                 HF_DENIED);
    assert_int_equal(op.cause, HF_CAUSE_NONE);
}

/* --- what comes out --- */

static void hadoops_vectors_come_out(void **unused)
{
    static const uint8_t iv[16] = { 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
                                    0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f };
    HF_AUTO(secret) first = world_secret_hex("000102030405060708090a0b0c0d0e0f");
    HF_AUTO(secret) second = world_secret_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    HF_AUTO(secret) dek = world_secret_hex("202122232425262728292a2b2c2d2e2f");
    HF_AUTO(secret) edek_1 = world_secret_hex("1bb233f33fdda7eb4355da74b404fd91");
    HF_AUTO(secret) edek_2 = world_secret_hex("5e7bc676214da099a4ff813a8cfd57ad");
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128, .material = first };
    struct hf_edek edek = { .version = 0, .len = 16 };
    struct hf_op alice = world_as(ALICE), root = world_as(ROOT);
    HF_AUTO(secret) plain = NULL;
    uint32_t version = 9;

    (void)unused;
    memcpy(edek.iv, iv, sizeof iv);
    memcpy(edek.wrapped, hf_secret_bytes(edek_1).data, 16);
    assert_int_equal(world_key_planned("k1", &plan), 0);
    assert_ok(&alice, hf_service_hadoop_decrypt(world.service, &alice, RING, "k1", &edek, &plain));
    assert_true(hf_secret_equal(plain, dek));
    assert_ok(&root,
              hf_service_key_rotate(world.service, &root, RING, "k1", second, &version, NULL));
    assert_int_equal(version, 1);
    assert_ok(&alice, hf_service_hadoop_reencrypt(world.service, &alice, RING, "k1", &edek, 1));
    assert_int_equal(edek.version, 1);
    assert_memory_equal(edek.iv, iv, sizeof iv);
    assert_memory_equal(edek.wrapped, hf_secret_bytes(edek_2).data, 16);
}

static void data_keys_are_as_long_as_the_key_and_all_differ(void **unused)
{
    static const struct {
        enum hf_algorithm algorithm;
        const char *name;
        size_t len;
    } cases[] = {
        { HF_ALG_AES_128, "a128", 16 },
        { HF_ALG_AES_192, "a192", 24 },
        { HF_ALG_AES_256, "a256", 32 },
    };
    struct hf_op op = world_as(ALICE);

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_edek edeks[2];
        HF_AUTO(secret) one = NULL;
        HF_AUTO(secret) two = NULL;

        (void)world_key(cases[i].name, cases[i].algorithm);
        assert_ok(&op,
                  hf_service_hadoop_generate(world.service, &op, RING, cases[i].name, 2, edeks));
        assert_ok(&op, hf_service_hadoop_decrypt(world.service, &op, RING, cases[i].name, &edeks[0],
                                                 &one));
        assert_ok(&op, hf_service_hadoop_decrypt(world.service, &op, RING, cases[i].name, &edeks[1],
                                                 &two));
        assert_int_equal(hf_secret_len(one), cases[i].len);
        assert_int_equal(edeks[0].len, cases[i].len);
        assert_memory_not_equal(edeks[0].iv, edeks[1].iv, 16);
        assert_false(hf_secret_equal(one, two));
    }
}

static void a_batch_moves_whole_or_not_at_all(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_edek now, edeks[4];
    struct hf_edek before[4];

    (void)unused;
    assert_ok(&op, hf_service_hadoop_generate(world.service, &op, RING, "aes", 1, &now));
    edeks[0] = given.edek;
    edeks[1] = now;
    edeks[2] = given.edek;
    edeks[3] = given.edek;
    edeks[3].version = 9;
    memcpy(before, edeks, sizeof edeks);
    assert_fails(&op, hf_service_hadoop_reencrypt(world.service, &op, RING, "aes", edeks, 4),
                 HF_NOT_FOUND);
    assert_memory_equal(edeks, before, sizeof edeks);

    assert_ok(&op, hf_service_hadoop_reencrypt(world.service, &op, RING, "aes", edeks, 3));
    for (size_t i = 0; i < 3; i++) {
        HF_AUTO(secret) old = NULL;
        HF_AUTO(secret) moved = NULL;

        assert_int_equal(edeks[i].version, 2);
        assert_memory_equal(edeks[i].iv, before[i].iv, 16);
        assert_ok(&op,
                  hf_service_hadoop_decrypt(world.service, &op, RING, "aes", &before[i], &old));
        assert_ok(&op,
                  hf_service_hadoop_decrypt(world.service, &op, RING, "aes", &edeks[i], &moved));
        assert_true(hf_secret_equal(old, moved));
    }
    /* What was there already comes back as it was. */
    assert_memory_equal(&edeks[1], &now, sizeof now);
}

static void what_was_encrypted_comes_back_also_after_moving(void **unused)
{
    struct hf_op op = world_as(ALICE);
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(secret) again = NULL;
    HF_AUTO(buf) moved = hf_buf_new();
    HF_AUTO(buf) same = hf_buf_new();
    uint32_t version = 0;

    (void)unused;
    assert_ok(&op, hf_service_decrypt(world.service, &op, RING, "aes", AAD,
                                      hf_buf_bytes(&given.ciphertext), &plain));
    assert_true(hf_secret_equal(plain, given.message));
    assert_ok(&op, hf_service_reencrypt(world.service, &op, RING, "aes", AAD,
                                        hf_buf_bytes(&given.ciphertext), moved, &version));
    assert_int_equal(version, 2);
    assert_ok(
        &op, hf_service_decrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(moved), &again));
    assert_true(hf_secret_equal(again, given.message));
    assert_ok(&op, hf_service_reencrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(moved),
                                        same, &version));
    assert_true(hf_bytes_equal(hf_buf_bytes(same), hf_buf_bytes(moved)));
}

static void a_data_keys_plaintext_needs_the_right_that_opens_it(void **unused)
{
    struct hf_op op = world_as("cert:writer");
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(secret) opened = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(buf) other = hf_buf_new();

    (void)unused;
    /* key.unwrap is the Hadoop door's: a wrapped data key of this form opens by key.decrypt. */
    world_policy("writer", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"cert:writer\"],"
                           "\"actions\":[\"key.generate\",\"key.unwrap\"]},"
                           "{\"effect\":\"allow\",\"who\":[\"cert:both\"],"
                           "\"actions\":[\"key.generate\",\"key.decrypt\"]}]}");
    assert_ok(&op, hf_service_data_key_generate(world.service, &op, RING, "aes", 24, AAD, &plain,
                                                wrapped));
    assert_null(plain);
    assert_fails(
        &op,
        hf_service_decrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(wrapped), &opened),
        HF_DENIED);
    op = world_as("cert:both");
    assert_ok(
        &op, hf_service_data_key_generate(world.service, &op, RING, "aes", 24, AAD, &plain, other));
    assert_ok(&op, hf_service_decrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(other),
                                      &opened));
    assert_true(hf_secret_equal(plain, opened));
    hf_secret_free(plain);
    hf_secret_free(opened);
    plain = NULL;
    opened = NULL;
    hf_buf_clear(other);
    assert_int_equal(
        world_lines(EVENT("key.generate", "ok", "cert:writer"), "with plaintext", NULL), 0);
    op = world_as(ALICE);
    assert_ok(&op, hf_service_decrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(wrapped),
                                      &opened));
    assert_int_equal(hf_secret_len(opened), 24);
    hf_secret_free(opened);
    opened = NULL;
    assert_ok(
        &op, hf_service_data_key_generate(world.service, &op, RING, "aes", 24, AAD, &plain, other));
    assert_ok(&op, hf_service_decrypt(world.service, &op, RING, "aes", AAD, hf_buf_bytes(other),
                                      &opened));
    assert_true(hf_secret_equal(plain, opened));
}

static void signatures_and_macs_are_checked(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_bytes message = hf_secret_bytes(given.message);
    struct hf_bytes other = hf_bytes_of_text("massage");
    bool valid = false;

    (void)unused;
    assert_ok(&op,
              hf_service_verify(world.service, &op, RING, "rsa", HF_LATEST, HF_SIGN_RSA_PSS,
                                HF_HASH_SHA256, message, hf_buf_bytes(&given.signature), &valid));
    assert_true(valid);
    assert_ok(&op,
              hf_service_verify(world.service, &op, RING, "rsa", 1, HF_SIGN_RSA_PSS, HF_HASH_SHA256,
                                other, hf_buf_bytes(&given.signature), &valid));
    assert_false(valid);
    assert_ok(&op,
              hf_service_mac_verify(world.service, &op, RING, "hmac", HF_LATEST, HF_HASH_SHA256,
                                    message, hf_buf_bytes(&given.mac), &valid));
    assert_true(valid);
    assert_ok(&op, hf_service_mac_verify(world.service, &op, RING, "hmac", 1, HF_HASH_SHA256, other,
                                         hf_buf_bytes(&given.mac), &valid));
    assert_false(valid);
    assert_int_equal(world_lines(EVENT("key.verify", "ok", ALICE), "not valid", NULL), 2);
}

static void sizes_beyond_reason_are_refused(void **unused)
{
    struct hf_op op = world_as(ALICE);
    struct hf_edek edek = given.edek;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    assert_fails(&op, hf_service_hadoop_generate(world.service, &op, RING, "aes", 0, &edek),
                 HF_INVALID);
    assert_fails(&op, hf_service_hadoop_generate(world.service, &op, RING, "aes", 10001, &edek),
                 HF_INVALID);
    assert_fails(&op, hf_service_hadoop_reencrypt(world.service, &op, RING, "aes", &edek, 0),
                 HF_INVALID);
    assert_fails(&op, hf_service_hadoop_reencrypt(world.service, &op, RING, "aes", &edek, 100001),
                 HF_INVALID);
    edek.len = 17;
    assert_fails(&op, hf_service_hadoop_decrypt(world.service, &op, RING, "aes", &edek, &plain),
                 HF_INVALID);
    edek.len = 33;
    assert_fails(&op, hf_service_hadoop_reencrypt(world.service, &op, RING, "aes", &edek, 1),
                 HF_INVALID);
    assert_fails(&op,
                 hf_service_data_key_generate(world.service, &op, RING, "aes", 15, AAD, NULL, out),
                 HF_INVALID);
    assert_fails(&op,
                 hf_service_data_key_generate(world.service, &op, RING, "aes", 513, AAD, NULL, out),
                 HF_INVALID);
    assert_fails(&op, hf_service_random(world.service, &op, 0, &plain), HF_INVALID);
    assert_fails(&op, hf_service_random(world.service, &op, 65537, &plain), HF_INVALID);
    assert_fails(&op, hf_service_hadoop_generate(world.service, &op, RING, "rsa", 1, &edek),
                 HF_UNSUPPORTED);
}

static void uses_are_counted_for_version_and_caller(void **unused)
{
    struct hf_op alice = world_as(ALICE), carol = world_as(CAROL);
    struct hf_edek edeks[3] = { given.edek, given.edek, given.edek };
    struct hf_usage old, now;

    (void)unused;
    edeks[1] = given.edek;
    assert_ok(&alice, hf_service_hadoop_reencrypt(world.service, &alice, RING, "aes", edeks, 3));
    assert_ok(&alice, hadoop_generate(&alice));
    assert_ok(&carol, hf_service_key_usage(world.service, &carol, RING, "aes", 1, &old));
    assert_ok(&carol, hf_service_key_usage(world.service, &carol, RING, "aes", 2, &now));
    assert_int_equal(old.wraps, 2); /* an EDEK and a ciphertext, in setup */
    assert_int_equal(old.unwraps, 3);
    assert_int_equal(now.wraps, 6);
    assert_int_equal(now.unwraps, 0);
    assert_int_equal(now.caller_count, 1);
    assert_string_equal(now.callers[0].caller, ALICE);
}

static void invalidating_caches_needs_a_right_but_no_key(void **unused)
{
    static const struct {
        const char *who;
        const char *key;
        enum hf_code code;
    } cases[] = {
        { ROOT, "aes", HF_OK },      { ROOT, "gone", HF_OK },
        { EVE, "aes", HF_OK },       { "cert:cleaner", "aes", HF_OK },
        { ALICE, "aes", HF_DENIED }, { MALLORY, "gone", HF_DENIED },
    };

    (void)unused;
    world_policy("cleaner", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"cert:cleaner\"],"
                            "\"actions\":[\"key.delete\"]}]}");
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_op op = world_as(cases[i].who);
        struct hf_status status =
            hf_service_hadoop_invalidate(world.service, &op, RING, cases[i].key);

        if (status.code != cases[i].code) {
            fail_msg("%s on %s: got %s", cases[i].who, cases[i].key, hf_code_name(status.code));
        }
    }
    assert_int_equal(world_lines("caches invalidated", NULL, NULL), 4);
    assert_int_equal(world_lines(EVENT("key.delete", "ok", "cert:cleaner"), NULL, NULL), 1);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(a_denied_use_is_recorded_and_gives_nothing),
        test_of(an_allowed_use_is_one_line_with_version_and_count),
        test_of(where_other_nodes_serve_the_keyring_no_use_is_answered),
        test_of(with_a_full_audit_disk_no_use_gives_anything),
        test_of(results_stay_here_when_their_line_is_refused),
        test_of(a_use_that_must_wait_leaves_no_trace_and_comes_again),
        test_of(a_failure_to_open_tells_its_cause_to_who_may_know),
        test_of(hadoops_vectors_come_out),
        test_of(data_keys_are_as_long_as_the_key_and_all_differ),
        test_of(a_batch_moves_whole_or_not_at_all),
        test_of(what_was_encrypted_comes_back_also_after_moving),
        test_of(a_data_keys_plaintext_needs_the_right_that_opens_it),
        test_of(signatures_and_macs_are_checked),
        test_of(sizes_beyond_reason_are_refused),
        test_of(uses_are_counted_for_version_and_caller),
        test_of(invalidating_caches_needs_a_right_but_no_key),
    };

    return cmocka_run_group_tests_name("service data", tests, world_start, world_stop);
}
