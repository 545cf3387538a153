/* What versions are used for, what each state and kind of key allows, and what opens nothing. */
#include "world.h"

#include <stdlib.h>

#include "keys/ciphertext.h"

static struct hf_bytes text(const char *words)
{
    return hf_bytes_of_text(words);
}

static void import(const char *name, enum hf_algorithm algorithm, struct hf_bytes bytes)
{
    HF_AUTO(secret) material = secret_of(bytes);
    struct hf_key_plan plan = {
        .algorithm = algorithm, .first_version = 1, .exportable = true, .material = material
    };

    must(&(struct change){ .kind = CHANGE_CREATE, .name = name, .plan = &plan });
}

/* --- Hadoop's data keys --- */

/* reference/hadoop-kms.md, section 2: V1 to V7. */
static const struct {
    const char *key;
    const char *iv;
    const char *dek;
    const char *wrapped;
} vectors[] = {
    { "000102030405060708090a0b0c0d0e0f", "101112131415161718191a1b1c1d1e1f",
      "202122232425262728292a2b2c2d2e2f", "1bb233f33fdda7eb4355da74b404fd91" },
    { "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "101112131415161718191a1b1c1d1e1f",
      "202122232425262728292a2b2c2d2e2f", "5e7bc676214da099a4ff813a8cfd57ad" },
    { "000102030405060708090a0b0c0d0e0f1011121314151617", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
      "202122232425262728292a2b2c2d2e2f3031323334353637",
      "4056cfbaf6b04d82a4ef6bf813455ba9945f84497e6bd289" },
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0",
      "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
      "7a4f26742cde57b1d8077f162eee88bd50c222e6f7b06e6a6d2fc16a4ed81ef0" },
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "00000000000000000000000000000000",
      "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
      "c9b8c63e688256fd7bae3b5071a279c1c2a132851e7ca9e791caa051e11349bf" },
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "ffffffffffffffffffffffff00000000",
      "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
      "99e351bb34ee877081d7403ba04378b1542c2809b48bf9c1c8cab5ac58c0f1a9" },
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "ffffffffffffffff0000000000000000",
      "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
      "86daf97fd9c55b3c70d41c0a5b91d1f0612ce7dcae5d1d4a9ca6abf3507244fc" },
};

static void hadoop_data_keys_match_the_vectors(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(vectors); i++) {
        HF_AUTO_STRING name = hf_format("vector-%zu", i);
        HF_AUTO(buf) key = unhex(vectors[i].key);
        HF_AUTO(buf) iv = unhex(vectors[i].iv);
        HF_AUTO(buf) dek = unhex(vectors[i].dek);
        HF_AUTO(buf) wrapped = unhex(vectors[i].wrapped);
        uint8_t out[32];
        uint32_t version = 0;

        import(name,
               key->len == 16   ? HF_ALG_AES_128
               : key->len == 24 ? HF_ALG_AES_192
                                : HF_ALG_AES_256,
               hf_buf_bytes(key));
        /* Cold, then hot. */
        for (int round = 0; round < 2; round++) {
            assert_ok(&world.op, hf_use_hadoop_wrap(world.keys, &world.op, RING, name, HF_LATEST,
                                                    iv->data, hf_buf_bytes(dek), out, &version));
            assert_memory_equal(out, wrapped->data, wrapped->len);
            assert_int_equal(version, 1);
            assert_ok(&world.op, hf_use_hadoop_unwrap(world.keys, &world.op, RING, name, 1,
                                                      iv->data, hf_buf_bytes(wrapped), out));
            assert_memory_equal(out, dek->data, dek->len);
        }
    }
}

static void data_keys_are_as_long_as_their_key(void **unused)
{
    static const uint8_t bytes[64];
    uint8_t out[64];
    uint32_t version = 0;

    (void)unused;
    new_key("lengths", HF_ALG_AES_128);
    for (size_t len = 0; len <= 33; len++) {
        enum hf_code wanted = len == 16 ? HF_OK : HF_INVALID;

        assert_int_equal(hf_use_hadoop_wrap(world.keys, &world.op, RING, "lengths", 1, bytes,
                                            hf_bytes_of(bytes, len), out, &version)
                             .code,
                         wanted);
        assert_int_equal(hf_use_hadoop_unwrap(world.keys, &world.op, RING, "lengths", 1, bytes,
                                              hf_bytes_of(bytes, len), out)
                             .code,
                         wanted);
    }
}

/* More than fit into one run, in short runs and long ones, some of them moved already. */
#define MANY 211

static void a_batch_moves_in_runs_of_any_length(void **unused)
{
    static const struct {
        const char *name;
        enum hf_algorithm algorithm;
        size_t len;
    } kinds[] = { { "runs-128", HF_ALG_AES_128, 16 },
                  { "runs-192", HF_ALG_AES_192, 24 },
                  { "runs-256", HF_ALG_AES_256, 32 } };
    static const uint32_t pattern[] = { 1, 1, 2, 3, 3, 1, 2 };

    (void)unused;
    for (size_t k = 0; k < HF_COUNT(kinds); k++) {
        const char *name = kinds[k].name;
        struct hf_edek edeks[MANY];

        new_key(name, kinds[k].algorithm);
        must(&(struct change){ .kind = CHANGE_ROTATE, .name = name });
        must(&(struct change){ .kind = CHANGE_ROTATE, .name = name });
        for (size_t i = 0; i < MANY; i++) {
            uint32_t version = i < 140 ? 1 : pattern[i % HF_COUNT(pattern)];
            uint8_t dek[32];

            memset(dek, (int)i, sizeof dek);
            /* So that some counters carry from byte to byte. */
            memset(edeks[i].iv, (int)(i % 3), sizeof edeks[i].iv);
            edeks[i].len = kinds[k].len;
            assert_ok(&world.op, hf_use_hadoop_wrap(world.keys, &world.op, RING, name, version,
                                                    edeks[i].iv, hf_bytes_of(dek, kinds[k].len),
                                                    edeks[i].wrapped, &edeks[i].version));
        }
        assert_ok(&world.op, hf_use_hadoop_move(world.keys, &world.op, RING, name, 3, edeks, MANY));
        for (size_t i = 0; i < MANY; i++) {
            uint8_t dek[32];
            uint8_t out[32];

            memset(dek, (int)i, sizeof dek);
            assert_int_equal(edeks[i].version, 3);
            assert_ok(&world.op,
                      hf_use_hadoop_unwrap(world.keys, &world.op, RING, name, 3, edeks[i].iv,
                                           hf_bytes_of(edeks[i].wrapped, edeks[i].len), out));
            assert_memory_equal(out, dek, kinds[k].len);
        }
    }
}

/* --- states --- */

enum use { USE_WRAP, USE_UNWRAP, USE_ENCRYPT, USE_DECRYPT, USE_EXPORT, USE_PROVE, USES };
static const char *const use_names[USES] = { "wrap",    "unwrap", "encrypt",
                                             "decrypt", "export", "prove" };

static struct hf_status try_use(const char *name, uint32_t version, enum use use,
                                struct hf_bytes ciphertext)
{
    static const uint8_t bytes[32];
    uint8_t out[32];
    uint32_t used = 0;
    HF_AUTO(buf) sealed = hf_buf_new();
    HF_AUTO(secret) plain = NULL;

    switch (use) {
    case USE_WRAP:
        return hf_use_hadoop_wrap(world.keys, &world.op, RING, name, version, bytes,
                                  hf_bytes_of(bytes, 32), out, &used);
    case USE_UNWRAP:
        return hf_use_hadoop_unwrap(world.keys, &world.op, RING, name, version, bytes,
                                    hf_bytes_of(bytes, 32), out);
    case USE_ENCRYPT:
        return hf_use_encrypt(world.keys, &world.op, RING, name, version, text("aad"),
                              text("plain"), sealed);
    case USE_DECRYPT:
        return hf_use_decrypt(world.keys, &world.op, RING, name, text("aad"), ciphertext, &plain,
                              &used);
    case USE_EXPORT:
        return hf_key_export(world.keys, &world.op, RING, name, version, &plain);
    case USE_PROVE:
        return hf_key_prove(world.keys, &world.op, RING, name, version);
    case USES:
        break;
    }
    return hf_fail(&world.op, HF_INTERNAL, "no such use");
}

#define OK_                                                                                        \
    {                                                                                              \
        HF_OK, HF_CAUSE_NONE                                                                       \
    }
#define STATE_                                                                                     \
    {                                                                                              \
        HF_WRONG_STATE, HF_CAUSE_NONE                                                              \
    }
#define GONE_                                                                                      \
    {                                                                                              \
        HF_NOT_FOUND, HF_CAUSE_VERSION_DESTROYED                                                   \
    }
#define NONE_                                                                                      \
    {                                                                                              \
        HF_NOT_FOUND, HF_CAUSE_UNKNOWN_KEY                                                         \
    }

static const struct {
    const char *says;
    int events[4]; /* from active; -1 ends, -2 destroys the version, -3 deletes the key */
    struct {
        enum hf_code code;
        enum hf_cause cause;
    } wanted[USES];
} state_cases[] = {
    { "active", { -1 }, { OK_, OK_, OK_, OK_, OK_, OK_ } },
    { "suspended", { HF_KEY_SUSPEND, -1 }, { STATE_, STATE_, STATE_, STATE_, STATE_, OK_ } },
    { "resumed", { HF_KEY_SUSPEND, HF_KEY_RESUME, -1 }, { OK_, OK_, OK_, OK_, OK_, OK_ } },
    { "deactivated", { HF_KEY_DEACTIVATE, -1 }, { STATE_, OK_, STATE_, OK_, OK_, OK_ } },
    { "compromised", { HF_KEY_COMPROMISE, -1 }, { STATE_, OK_, STATE_, OK_, OK_, OK_ } },
    { "destroyed", { HF_KEY_DEACTIVATE, -2, -1 }, { GONE_, GONE_, GONE_, GONE_, GONE_, GONE_ } },
    { "deleted", { -3, -1 }, { NONE_, NONE_, NONE_, NONE_, NONE_, NONE_ } },
};

static void go_to_state(const char *name, const int *events)
{
    for (size_t i = 0; events[i] != -1; i++) {
        if (events[i] == -2) {
            must(&(struct change){
                .kind = CHANGE_DESTROY, .name = name, .version = 1, .force = true });
        } else if (events[i] == -3) {
            must(&(struct change){ .kind = CHANGE_DELETE, .name = name });
        } else {
            set_state(name, 1, (enum hf_key_event)events[i]);
        }
    }
}

static void each_state_allows_its_uses_cold_hot_and_after_a_restart(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(state_cases); i++) {
        HF_AUTO_STRING name = hf_format("state-%s", state_cases[i].says);
        HF_AUTO(buf) ciphertext = hf_buf_new();
        struct hf_key_plan plan = { .algorithm = HF_ALG_AES_256,
                                    .first_version = 1,
                                    .exportable = true };

        must(&(struct change){ .kind = CHANGE_CREATE, .name = name, .plan = &plan });
        assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, name, 1, text("aad"),
                                            text("plain"), ciphertext));
        for (enum use use = 0; use < USES; use++) {
            assert_ok(&world.op, try_use(name, 1, use, hf_buf_bytes(ciphertext)));
        }
        go_to_state(name, state_cases[i].events);
        for (int round = 0; round < 3; round++) {
            for (enum use use = 0; use < USES; use++) {
                HF_AUTO_STRING says =
                    hf_format("%s, %s, round %d", state_cases[i].says, use_names[use], round);

                expect(says, try_use(name, 1, use, hf_buf_bytes(ciphertext)),
                       state_cases[i].wanted[use].code, state_cases[i].wanted[use].cause);
            }
            if (round == 1) {
                world_restart();
            }
        }
    }
}

static void what_is_not_there_is_told_by_its_cause(void **unused)
{
    HF_AUTO(buf) ciphertext = hf_buf_new();

    (void)unused;
    new_key("there", HF_ALG_AES_256);
    assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, "there", HF_LATEST,
                                        text("aad"), text("plain"), ciphertext));
    for (enum use use = 0; use < USES; use++) {
        HF_AUTO_STRING says = hf_format("%s of a key that is not there", use_names[use]);
        HF_AUTO_STRING version_says =
            hf_format("%s of a version that is not there", use_names[use]);

        expect(says, try_use("not-there", 1, use, hf_buf_bytes(ciphertext)), HF_NOT_FOUND,
               HF_CAUSE_UNKNOWN_KEY);
        ciphertext->data[4] = 9;
        expect(version_says, try_use("there", 9, use, hf_buf_bytes(ciphertext)), HF_NOT_FOUND,
               HF_CAUSE_UNKNOWN_KEY);
        ciphertext->data[4] = 1;
    }
}

static void an_older_active_version_protects_when_asked_for(void **unused)
{
    static const uint8_t bytes[32];
    uint8_t out[32];
    uint32_t version = 0;

    (void)unused;
    new_key("older", HF_ALG_AES_256);
    rotate("older");
    assert_ok(&world.op, hf_use_hadoop_wrap(world.keys, &world.op, RING, "older", HF_LATEST, bytes,
                                            hf_bytes_of(bytes, 32), out, &version));
    assert_int_equal(version, 2);
    assert_ok(&world.op, hf_use_hadoop_wrap(world.keys, &world.op, RING, "older", 1, bytes,
                                            hf_bytes_of(bytes, 32), out, &version));
    assert_int_equal(version, 1);
}

static void only_exportable_keys_and_opaque_secrets_are_exported(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_OPAQUE, .first_version = 1 };
    HF_AUTO(secret) out = NULL;
    HF_AUTO(secret) given = secret_of(text("s3cr3t"));

    (void)unused;
    new_key("stays", HF_ALG_AES_256);
    assert_fails(&world.op, hf_key_export(world.keys, &world.op, RING, "stays", 1, &out),
                 HF_DENIED);
    plan.material = given;
    must(&(struct change){ .kind = CHANGE_CREATE, .name = "opaque", .plan = &plan });
    assert_ok(&world.op, hf_key_export(world.keys, &world.op, RING, "opaque", HF_LATEST, &out));
    assert_true(hf_secret_equal(out, given));
}

/* --- our own ciphertext --- */

static void ciphertexts_of_all_lengths_come_back(void **unused)
{
    static const size_t lengths[] = { 0, 1, 15, 16, 17, 1000, 1 << 20 };
    uint8_t *bytes = hf_alloc(1 << 20);

    (void)unused;
    new_key("round", HF_ALG_AES_128);
    for (size_t i = 0; i < HF_COUNT(lengths); i++) {
        HF_AUTO(buf) ciphertext = hf_buf_new();
        HF_AUTO(secret) plain = NULL;
        uint32_t version = 0;

        memset(bytes, (int)i, lengths[i]);
        hf_buf_add_text(ciphertext, "before");
        assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, "round", HF_LATEST,
                                            hf_bytes_of(bytes, lengths[i] / 2),
                                            hf_bytes_of(bytes, lengths[i]), ciphertext));
        assert_int_equal(ciphertext->len, 6 + HF_CIPHERTEXT_OVERHEAD + lengths[i]);
        assert_ok(&world.op, hf_use_decrypt(world.keys, &world.op, RING, "round",
                                            hf_bytes_of(bytes, lengths[i] / 2),
                                            hf_bytes_of(ciphertext->data + 6, ciphertext->len - 6),
                                            &plain, &version));
        assert_int_equal(version, 1);
        assert_int_equal(hf_secret_len(plain), lengths[i]);
        assert_memory_equal(hf_secret_bytes(plain).data, bytes, lengths[i]);
    }
    free(bytes);
}

static enum hf_code decrypt_code(const char *name, struct hf_bytes aad, struct hf_bytes ciphertext)
{
    HF_AUTO(secret) plain = NULL;
    uint32_t version = 0;

    return hf_use_decrypt(world.keys, &world.op, RING, name, aad, ciphertext, &plain, &version)
        .code;
}

/* Of versions 1 to 3; another number in the head is another version, which cannot open it. */
static enum hf_code wanted_after_flip(const struct hf_buf *flipped, size_t at)
{
    bool exists = at == 4 && (flipped->data[at] == 1 || flipped->data[at] == 3);

    if (at == 0) {
        return HF_INVALID;
    }
    return at <= 4 && !exists ? HF_NOT_FOUND : HF_INVALID;
}

static void flip_and_try(struct hf_buf *good, size_t at, unsigned bit)
{
    enum hf_code code;

    good->data[at] ^= (uint8_t)(1u << bit);
    code = decrypt_code("tamper", text("aad"), hf_buf_bytes(good));
    if (code != wanted_after_flip(good, at)) {
        fail_msg("byte %zu bit %u: got %s", at, bit, hf_code_name(code));
    }
    if (at > 4 && code == HF_INVALID) {
        assert_int_equal(world.op.cause, HF_CAUSE_ALTERED);
    }
    good->data[at] ^= (uint8_t)(1u << bit);
}

static void nothing_in_a_ciphertext_can_be_changed(void **unused)
{
    HF_AUTO(buf) good = hf_buf_new();

    (void)unused;
    new_key("tamper", HF_ALG_AES_256);
    rotate("tamper");
    rotate("tamper");
    new_key("tamper-other", HF_ALG_AES_256);
    assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, "tamper", 2, text("aad"),
                                        text("some plain words"), good));
    for (size_t i = 0; i < 8 * good->len; i++) {
        flip_and_try(good, i / 8, (unsigned)(i % 8));
    }
    for (size_t len = 0; len < good->len; len++) {
        enum hf_code code = decrypt_code("tamper", text("aad"), hf_bytes_of(good->data, len));

        assert_int_equal(code, HF_INVALID);
    }
    assert_int_equal(decrypt_code("tamper", text("aae"), hf_buf_bytes(good)), HF_INVALID);
    assert_int_equal(decrypt_code("tamper", text(""), hf_buf_bytes(good)), HF_INVALID);
    good->data[4] = 1;
    assert_int_equal(decrypt_code("tamper-other", text("aad"), hf_buf_bytes(good)), HF_INVALID);
    memset(good->data + 1, 0xff, 4);
    assert_int_equal(decrypt_code("tamper", text("aad"), hf_buf_bytes(good)), HF_INVALID);
}

static void rewrap_keeps_what_is_bound_and_moves_to_the_primary(void **unused)
{
    HF_AUTO(buf) first = hf_buf_new();
    HF_AUTO(buf) same = hf_buf_new();
    HF_AUTO(buf) moved = hf_buf_new();
    HF_AUTO(secret) plain = NULL;
    uint32_t version = 0;

    (void)unused;
    new_key("rewrap", HF_ALG_AES_256);
    assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, "rewrap", HF_LATEST,
                                        text("aad"), text("plain"), first));
    assert_ok(&world.op, hf_use_rewrap(world.keys, &world.op, RING, "rewrap", text("aad"),
                                       hf_buf_bytes(first), same, &version));
    assert_int_equal(version, 1);
    assert_true(hf_bytes_equal(hf_buf_bytes(first), hf_buf_bytes(same)));
    rotate("rewrap");
    assert_fails(&world.op,
                 hf_use_rewrap(world.keys, &world.op, RING, "rewrap", text("other"),
                               hf_buf_bytes(first), moved, &version),
                 HF_INVALID);
    assert_int_equal(moved->len, 0);
    assert_ok(&world.op, hf_use_rewrap(world.keys, &world.op, RING, "rewrap", text("aad"),
                                       hf_buf_bytes(first), moved, &version));
    assert_int_equal(version, 2);
    assert_int_equal(decrypt_code("rewrap", text("other"), hf_buf_bytes(moved)), HF_INVALID);
    assert_ok(&world.op, hf_use_decrypt(world.keys, &world.op, RING, "rewrap", text("aad"),
                                        hf_buf_bytes(moved), &plain, &version));
    assert_int_equal(version, 2);
    assert_true(hf_bytes_equal_text(hf_secret_bytes(plain), "plain"));
}

static void ciphertexts_outlive_restarts_and_rewrapping_of_the_version(void **unused)
{
    HF_AUTO(buf) ciphertext = hf_buf_new();
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit commit;
    uint32_t ring_key = 0;

    (void)unused;
    new_key("outlive", HF_ALG_AES_192);
    assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, "outlive", 1, text("aad"),
                                        text("plain"), ciphertext));
    world_restart();
    assert_int_equal(decrypt_code("outlive", text("aad"), hf_buf_bytes(ciphertext)), HF_OK);
    assert_ok(&world.op, hf_txn_new(world.seal, &world.op, &txn));
    assert_ok(&world.op, hf_keyring_rotate(world.keys, &world.op, txn, RING, &ring_key));
    assert_ok(&world.op, hf_txn_commit(txn, &world.op, &commit));
    assert_int_equal(must(&(struct change){ .kind = CHANGE_REWRAP, .name = "outlive" }), 1);
    assert_int_equal(decrypt_code("outlive", text("aad"), hf_buf_bytes(ciphertext)), HF_OK);
    world_restart();
    assert_int_equal(decrypt_code("outlive", text("aad"), hf_buf_bytes(ciphertext)), HF_OK);
}

/* docs/formats/ciphertext.md, made there by other means. */
static void the_vectors_of_the_format_open(void **unused)
{
    HF_AUTO(buf) material =
        unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    HF_AUTO(buf) ciphertext =
        unhex("0100000001a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babb"
              "d18b0c4e25c0c372e9410149e8faa12d0d7a86a3482aee9013edb9875e20");
    HF_AUTO(buf) wanted = unhex("2a84cb75f0462f06b90b09206b599c3cfa12c769304799a1bc99272441c46cab");
    HF_AUTO(buf) mac = hf_buf_new();
    HF_AUTO(secret) plain = NULL;
    uint32_t version = 0;

    (void)unused;
    import("vector", HF_ALG_AES_256, hf_buf_bytes(material));
    assert_ok(&world.op, hf_use_decrypt(world.keys, &world.op, RING, "vector", text("table orders"),
                                        hf_buf_bytes(ciphertext), &plain, &version));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(plain), "attack at dawn"));
    assert_ok(&world.op, hf_use_mac(world.keys, &world.op, RING, "vector", 1, HF_HASH_SHA256,
                                    text("attack at dawn"), mac, &version));
    assert_true(hf_bytes_equal(hf_buf_bytes(mac), hf_buf_bytes(wanted)));
}

/* --- use separation --- */

/* E_K(block), as anybody may ask who may unwrap in Hadoop's way. */
static void ask_for_block(const char *name, const uint8_t block[16], uint8_t out[16])
{
    static const uint8_t zeros[16];
    uint8_t iv[16];

    for (size_t i = 0; i < sizeof iv; i++) {
        iv[i] = (uint8_t)~block[i];
    }
    assert_ok(&world.op, hf_use_hadoop_unwrap(world.keys, &world.op, RING, name, 1, iv,
                                              hf_bytes_of(zeros, 16), out));
}

/* GCM's first counter block for the data, when the nonce is that of the ciphertext. */
static void counter_block(const struct hf_ciphertext *parts, uint8_t out[16])
{
    memcpy(out, parts->nonce, HF_GCM_NONCE_LEN);
    memset(out + HF_GCM_NONCE_LEN, 0, 3);
    out[15] = 2;
}

static void blocks_of_the_raw_key_open_and_forge_nothing_elsewhere(void **unused)
{
    static const uint8_t zeros[16];
    HF_AUTO(buf) raw = unhex("000102030405060708090a0b0c0d0e0f");
    HF_AUTO(buf) ciphertext = hf_buf_new();
    HF_AUTO(aead) raw_gcm = NULL;
    HF_AUTO(buf) mac = hf_buf_new();
    HF_AUTO(buf) raw_mac = hf_buf_new();
    HF_AUTO(ctr) raw_ctr = NULL;
    struct hf_ciphertext parts;
    uint8_t block[16];
    uint8_t stream[16];
    uint8_t hash_key[16];
    uint8_t opened[16];
    uint32_t version = 0;

    (void)unused;
    import("separate", HF_ALG_AES_128, hf_buf_bytes(raw));
    assert_ok(&world.op, hf_use_encrypt(world.keys, &world.op, RING, "separate", 1, text("aad"),
                                        text("sixteen bytes ok"), ciphertext));
    assert_ok(&world.op, hf_ciphertext_parse(&world.op, hf_buf_bytes(ciphertext), &parts));
    /* The door does hand out blocks of the raw key: this is GCM's hash key, were it GCM's key. */
    ask_for_block("separate", zeros, hash_key);
    assert_ok(&world.op, hf_ctr_new(world.crypto, &world.op, hf_buf_bytes(raw), &raw_ctr));
    assert_ok(&world.op, hf_ctr_crypt(raw_ctr, &world.op, zeros, hf_bytes_of(zeros, 16), stream));
    assert_memory_equal(hash_key, stream, 16);
    /* Its key stream does not uncover the plaintext. */
    counter_block(&parts, block);
    ask_for_block("separate", block, stream);
    for (size_t i = 0; i < 16; i++) {
        opened[i] = parts.body.data[i] ^ stream[i];
    }
    assert_memory_not_equal(opened, "sixteen bytes ok", 16);
    /* The raw key does not open it, and what the raw key seals is not accepted. */
    assert_ok(&world.op, hf_aead_new(world.crypto, &world.op, hf_buf_bytes(raw), &raw_gcm));
    assert_fails(
        &world.op,
        hf_aead_open(raw_gcm, &world.op, parts.nonce, text("aad"), parts.body, parts.tag, opened),
        HF_CORRUPT);
    assert_ok(&world.op,
              hf_aead_seal(raw_gcm, &world.op, parts.nonce, text("aad"), text("sixteen bytes ok"),
                           (uint8_t *)parts.body.data, (uint8_t *)parts.tag));
    assert_int_equal(decrypt_code("separate", text("aad"), hf_buf_bytes(ciphertext)), HF_INVALID);
    /* Nor is the MAC one of the raw key. */
    assert_ok(&world.op, hf_use_mac(world.keys, &world.op, RING, "separate", 1, HF_HASH_SHA256,
                                    text("m"), mac, &version));
    assert_ok(&world.op, hf_hmac(world.crypto, &world.op, HF_HASH_SHA256, hf_buf_bytes(raw),
                                 text("m"), raw_mac));
    assert_false(hf_bytes_equal(hf_buf_bytes(mac), hf_buf_bytes(raw_mac)));
}

static void equal_material_in_two_versions_gives_unlike_subkeys(void **unused)
{
    HF_AUTO(buf) raw = unhex("000102030405060708090a0b0c0d0e0f");
    HF_AUTO(secret) material = secret_of(hf_buf_bytes(raw));
    HF_AUTO(buf) one = hf_buf_new();
    HF_AUTO(buf) two = hf_buf_new();
    HF_AUTO(buf) sealed = hf_buf_new();
    uint32_t version = 0;

    (void)unused;
    import("twin", HF_ALG_AES_128, hf_buf_bytes(raw));
    must(&(struct change){ .kind = CHANGE_ROTATE, .name = "twin", .material = material });
    assert_ok(&world.op, hf_use_mac(world.keys, &world.op, RING, "twin", 1, HF_HASH_SHA256,
                                    text("m"), one, &version));
    assert_ok(&world.op, hf_use_mac(world.keys, &world.op, RING, "twin", 2, HF_HASH_SHA256,
                                    text("m"), two, &version));
    assert_false(hf_bytes_equal(hf_buf_bytes(one), hf_buf_bytes(two)));
    assert_ok(&world.op,
              hf_use_encrypt(world.keys, &world.op, RING, "twin", 1, text(""), text("x"), sealed));
    sealed->data[4] = 2;
    assert_int_equal(decrypt_code("twin", text(""), hf_buf_bytes(sealed)), HF_INVALID);
}

/* --- MAC --- */

static void hmac_keys_give_the_standard_hmac(void **unused)
{
    /* RFC 4231, test case 1. */
    HF_AUTO(buf) key = unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");
    HF_AUTO(buf) wanted = unhex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    HF_AUTO(buf) mac = hf_buf_new();
    uint32_t version = 0;
    bool valid = false;

    (void)unused;
    import("rfc4231", HF_ALG_HMAC, hf_buf_bytes(key));
    assert_ok(&world.op, hf_use_mac(world.keys, &world.op, RING, "rfc4231", HF_LATEST,
                                    HF_HASH_SHA256, text("Hi There"), mac, &version));
    assert_true(hf_bytes_equal(hf_buf_bytes(mac), hf_buf_bytes(wanted)));
    assert_int_equal(version, 1);
    set_state("rfc4231", 1, HF_KEY_DEACTIVATE);
    assert_fails(&world.op,
                 hf_use_mac(world.keys, &world.op, RING, "rfc4231", 1, HF_HASH_SHA256,
                            text("Hi There"), mac, &version),
                 HF_WRONG_STATE);
    assert_ok(&world.op,
              hf_use_mac_verify(world.keys, &world.op, RING, "rfc4231", 1, HF_HASH_SHA256,
                                text("Hi There"), hf_buf_bytes(wanted), &valid));
    assert_true(valid);
    wanted->data[31] ^= 1;
    assert_ok(&world.op,
              hf_use_mac_verify(world.keys, &world.op, RING, "rfc4231", 1, HF_HASH_SHA256,
                                text("Hi There"), hf_buf_bytes(wanted), &valid));
    assert_false(valid);
}

/* --- key pairs --- */

static const struct {
    enum hf_algorithm algorithm;
    enum hf_signature scheme;
    enum hf_hash hash;
} signers[] = {
    { HF_ALG_RSA_2048, HF_SIGN_RSA_PKCS1, HF_HASH_SHA256 },
    { HF_ALG_RSA_2048, HF_SIGN_RSA_PSS, HF_HASH_SHA512 },
    { HF_ALG_P256, HF_SIGN_ECDSA, HF_HASH_SHA256 },
    { HF_ALG_P384, HF_SIGN_ECDSA, HF_HASH_SHA384 },
    { HF_ALG_P521, HF_SIGN_ECDSA, HF_HASH_SHA512 },
    { HF_ALG_ED25519, HF_SIGN_ED25519, HF_HASH_SHA256 },
};

static bool is_valid(const char *name, size_t row, struct hf_bytes message,
                     struct hf_bytes signature)
{
    bool valid = false;

    assert_ok(&world.op, hf_use_verify(world.keys, &world.op, RING, name, 1, signers[row].scheme,
                                       signers[row].hash, message, signature, &valid));
    return valid;
}

static void key_pairs_sign_and_verify(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(signers); i++) {
        HF_AUTO_STRING name = hf_format("signer-%zu", i);
        HF_AUTO(buf) signature = hf_buf_new();
        HF_AUTO(pkey) pkey = NULL;
        HF_AUTO(buf) spki = hf_buf_new();
        uint32_t version = 0;
        bool valid = false;

        new_key(name, signers[i].algorithm);
        assert_ok(&world.op,
                  hf_use_sign(world.keys, &world.op, RING, name, HF_LATEST, signers[i].scheme,
                              signers[i].hash, text("message"), signature, &version));
        assert_int_equal(version, 1);
        assert_true(is_valid(name, i, text("message"), hf_buf_bytes(signature)));
        assert_false(is_valid(name, i, text("massage"), hf_buf_bytes(signature)));
        assert_ok(&world.op, hf_key_public(world.keys, &world.op, RING, name, 1, spki));
        assert_ok(&world.op,
                  hf_pkey_from_public(world.crypto, &world.op, hf_buf_bytes(spki), &pkey));
        assert_ok(&world.op, hf_pkey_verify(pkey, &world.op, signers[i].scheme, signers[i].hash,
                                            text("message"), hf_buf_bytes(signature), &valid));
        assert_true(valid);
        set_state(name, 1, HF_KEY_COMPROMISE);
        assert_fails(&world.op,
                     hf_use_sign(world.keys, &world.op, RING, name, 1, signers[i].scheme,
                                 signers[i].hash, text("message"), signature, &version),
                     HF_WRONG_STATE);
        assert_true(is_valid(name, i, text("message"), hf_buf_bytes(signature)));
    }
}

static void schemes_of_another_kind_of_key_are_refused(void **unused)
{
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO(secret) plain = NULL;
    uint32_t version = 0;
    bool valid = false;

    (void)unused;
    new_key("kind-ec", HF_ALG_P256);
    assert_fails(&world.op,
                 hf_use_sign(world.keys, &world.op, RING, "kind-ec", 1, HF_SIGN_RSA_PSS,
                             HF_HASH_SHA256, text("m"), out, &version),
                 HF_INVALID);
    assert_fails(&world.op,
                 hf_use_verify(world.keys, &world.op, RING, "kind-ec", 1, HF_SIGN_ED25519,
                               HF_HASH_SHA256, text("m"), text("s"), &valid),
                 HF_INVALID);
    assert_fails(&world.op,
                 hf_use_rsa_unwrap(world.keys, &world.op, RING, "kind-ec", 1, HF_HASH_SHA256,
                                   text("w"), &plain),
                 HF_INVALID);
}

static void keys_have_the_uses_of_their_kind_only(void **unused)
{
    static const enum hf_algorithm algorithms[] = { HF_ALG_AES_256, HF_ALG_P256, HF_ALG_HMAC,
                                                    HF_ALG_OPAQUE };
    static const bool allowed[][4] = { /* wrap, encrypt, sign, mac */
                                       { true, true, false, true },
                                       { false, false, true, false },
                                       { false, false, false, true },
                                       { false, false, false, false }
    };
    static const uint8_t bytes[32];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(algorithms); i++) {
        HF_AUTO_STRING name = hf_format("uses-%zu", i);
        HF_AUTO(buf) out = hf_buf_new();
        uint8_t dek[32];
        uint32_t version = 0;
        enum hf_code codes[4];

        new_key(name, algorithms[i]);
        codes[0] = hf_use_hadoop_wrap(world.keys, &world.op, RING, name, 1, bytes,
                                      hf_bytes_of(bytes, 32), dek, &version)
                       .code;
        codes[1] =
            hf_use_encrypt(world.keys, &world.op, RING, name, 1, text(""), text("p"), out).code;
        codes[2] = hf_use_sign(world.keys, &world.op, RING, name, 1, HF_SIGN_ECDSA, HF_HASH_SHA256,
                               text("m"), out, &version)
                       .code;
        codes[3] = hf_use_mac(world.keys, &world.op, RING, name, 1, HF_HASH_SHA256, text("m"), out,
                              &version)
                       .code;
        for (size_t use = 0; use < 4; use++) {
            if (codes[use] != (allowed[i][use] ? HF_OK : HF_INVALID)) {
                fail_msg("%s, use %zu: got %s", hf_algorithm_name(algorithms[i]), use,
                         hf_code_name(codes[use]));
            }
        }
    }
}

static void rsa_opens_what_was_wrapped_to_its_public_half(void **unused)
{
    HF_AUTO(buf) spki = hf_buf_new();
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(pkey) pkey = NULL;
    HF_AUTO(secret) opened = NULL;

    (void)unused;
    new_key("oaep", HF_ALG_RSA_2048);
    assert_ok(&world.op, hf_key_public(world.keys, &world.op, RING, "oaep", 1, spki));
    assert_ok(&world.op, hf_pkey_from_public(world.crypto, &world.op, hf_buf_bytes(spki), &pkey));
    assert_ok(&world.op, hf_rsa_wrap(pkey, &world.op, HF_HASH_SHA256, text("data key"), wrapped));
    assert_ok(&world.op, hf_use_rsa_unwrap(world.keys, &world.op, RING, "oaep", 1, HF_HASH_SHA256,
                                           hf_buf_bytes(wrapped), &opened));
    assert_true(hf_bytes_equal_text(hf_secret_bytes(opened), "data key"));
}

/* --- threads that may not wait --- */

static void whoever_may_not_wait_is_served_from_memory_or_told_later(void **unused)
{
    static const uint8_t bytes[32];
    struct hf_op op = world_op(3);
    uint8_t out[32];
    HF_AUTO(buf) buf = hf_buf_new();
    HF_AUTO(buf) signature = hf_buf_new();
    uint32_t version = 0;
    bool valid = false;

    (void)unused;
    new_key("inline", HF_ALG_AES_256);
    new_key("inline-rsa", HF_ALG_RSA_2048);
    world_restart();
    op.may_wait = false;
    /* Nobody has opened the keyring key yet. */
    assert_fails(&op,
                 hf_use_hadoop_unwrap(world.keys, &op, RING, "inline", 1, bytes,
                                      hf_bytes_of(bytes, 32), out),
                 HF_LATER);
    assert_fails(&op, hf_use_encrypt(world.keys, &op, RING, "inline", 1, text(""), text("p"), buf),
                 HF_LATER);
    assert_int_equal(buf->len, 0);
    assert_ok(&world.op, hf_key_prove(world.keys, &world.op, RING, "inline", 1));
    assert_ok(&op, hf_use_hadoop_unwrap(world.keys, &op, RING, "inline", 1, bytes,
                                        hf_bytes_of(bytes, 32), out));
    assert_ok(&op, hf_use_encrypt(world.keys, &op, RING, "inline", 1, text(""), text("p"), buf));
    assert_fails(&op,
                 hf_use_sign(world.keys, &op, RING, "inline-rsa", 1, HF_SIGN_RSA_PSS,
                             HF_HASH_SHA256, text("m"), signature, &version),
                 HF_LATER);
    assert_ok(&world.op, hf_use_sign(world.keys, &world.op, RING, "inline-rsa", 1, HF_SIGN_RSA_PSS,
                                     HF_HASH_SHA256, text("m"), signature, &version));
    assert_fails(&op,
                 hf_use_verify(world.keys, &op, RING, "inline-rsa", 1, HF_SIGN_RSA_PSS,
                               HF_HASH_SHA256, text("m"), hf_buf_bytes(signature), &valid),
                 HF_LATER);
    op.may_wait = true;
    assert_ok(&op, hf_use_verify(world.keys, &op, RING, "inline-rsa", 1, HF_SIGN_RSA_PSS,
                                 HF_HASH_SHA256, text("m"), hf_buf_bytes(signature), &valid));
    op.may_wait = false;
    assert_ok(&op, hf_use_verify(world.keys, &op, RING, "inline-rsa", 1, HF_SIGN_RSA_PSS,
                                 HF_HASH_SHA256, text("m"), hf_buf_bytes(signature), &valid));
    assert_true(valid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hadoop_data_keys_match_the_vectors),
        cmocka_unit_test(data_keys_are_as_long_as_their_key),
        cmocka_unit_test(a_batch_moves_in_runs_of_any_length),
        cmocka_unit_test(each_state_allows_its_uses_cold_hot_and_after_a_restart),
        cmocka_unit_test(what_is_not_there_is_told_by_its_cause),
        cmocka_unit_test(an_older_active_version_protects_when_asked_for),
        cmocka_unit_test(only_exportable_keys_and_opaque_secrets_are_exported),
        cmocka_unit_test(ciphertexts_of_all_lengths_come_back),
        cmocka_unit_test(nothing_in_a_ciphertext_can_be_changed),
        cmocka_unit_test(rewrap_keeps_what_is_bound_and_moves_to_the_primary),
        cmocka_unit_test(ciphertexts_outlive_restarts_and_rewrapping_of_the_version),
        cmocka_unit_test(the_vectors_of_the_format_open),
        cmocka_unit_test(blocks_of_the_raw_key_open_and_forge_nothing_elsewhere),
        cmocka_unit_test(equal_material_in_two_versions_gives_unlike_subkeys),
        cmocka_unit_test(hmac_keys_give_the_standard_hmac),
        cmocka_unit_test(key_pairs_sign_and_verify),
        cmocka_unit_test(schemes_of_another_kind_of_key_are_refused),
        cmocka_unit_test(keys_have_the_uses_of_their_kind_only),
        cmocka_unit_test(rsa_opens_what_was_wrapped_to_its_public_half),
        cmocka_unit_test(whoever_may_not_wait_is_served_from_memory_or_told_later),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
