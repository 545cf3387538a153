/* The shared wrapped form against a forger, who can make the digest fit again. */
#include "protect_world.h"

#include "protect/envelope.h"

#define CONTEXT hf_bytes_of_text("here")

static const struct hf_envelope_kind kind = {
    .name = "test",
    .version = 1,
    .header_len = 1 + HF_ENVELOPE_SALT_LEN,
    .denied = "the secret of this test is another one",
};

static const uint8_t nonce[HF_GCM_NONCE_LEN] = { 7 };

static struct hf_buf *seal(const struct hf_envelope_kind *as, const struct hf_secret *secret)
{
    struct hf_buf *buf = hf_buf_new();
    uint8_t header[1 + HF_ENVELOPE_SALT_LEN] = { as->version };

    hf_buf_add(buf, header, sizeof header);
    assert_ok(&world.op, hf_envelope_seal(world.crypto, &world.op, as, secret, nonce,
                                          hf_bytes_of_text("a slot's private half"), CONTEXT, buf));
    return buf;
}

static struct hf_status open_sealed(const struct hf_envelope_kind *as,
                                    const struct hf_secret *secret, const struct hf_buf *sealed,
                                    struct hf_secret **out)
{
    struct hf_bytes header;

    HF_TRY(hf_envelope_inspect(world.crypto, &world.op, as, hf_buf_bytes(sealed), &header));
    return hf_envelope_open(world.crypto, &world.op, as, secret, hf_buf_bytes(sealed), CONTEXT,
                            out);
}

static void make_digest_fit(struct hf_buf *sealed)
{
    uint8_t digest[HF_SHA256_LEN];
    size_t len = sealed->len - HF_ENVELOPE_DIGEST_LEN;

    assert_ok(&world.op,
              hf_sha256(world.crypto, &world.op, hf_bytes_of(sealed->data, len), digest));
    memcpy(sealed->data + len, digest, HF_ENVELOPE_DIGEST_LEN);
}

/* What a forged byte at this place is answered with. */
static enum hf_code wanted_at(size_t at)
{
    if (at == 0) {
        return HF_UNSUPPORTED; /* the version */
    }
    /* Another salt gives another check; after the check, the tag decides. */
    return at < kind.header_len + HF_ENVELOPE_CHECK_LEN ? HF_DENIED : HF_CORRUPT;
}

static void no_forged_byte_opens(void **unused)
{
    HF_AUTO(secret) secret = secret_text("secret");
    HF_AUTO(buf) sealed = seal(&kind, secret);

    (void)unused;
    for (size_t at = 0; at < sealed->len - HF_ENVELOPE_DIGEST_LEN; at++) {
        HF_AUTO(secret) out = NULL;
        struct hf_status status;

        sealed->data[at] ^= 0x80;
        make_digest_fit(sealed);
        status = open_sealed(&kind, secret, sealed, &out);
        if (status.code != wanted_at(at) || out != NULL) {
            fail_msg("byte %zu: got %s", at, hf_code_name(status.code));
        }
        sealed->data[at] ^= 0x80;
    }
}

static void a_shorter_form_with_a_digest_that_fits_is_corrupt(void **unused)
{
    HF_AUTO(secret) secret = secret_text("secret");

    (void)unused;
    /* Up to and with a form that has room for everything but a plaintext. */
    for (size_t len = 1; len <= kind.header_len + 16 + 12 + 16; len++) {
        HF_AUTO(buf) sealed = seal(&kind, secret);
        HF_AUTO(secret) out = NULL;

        sealed->len = len + HF_ENVELOPE_DIGEST_LEN;
        make_digest_fit(sealed);
        assert_altered("shorter", open_sealed(&kind, secret, sealed, &out));
    }
}

static void one_kind_does_not_open_anothers(void **unused)
{
    struct hf_envelope_kind other = kind;
    HF_AUTO(secret) secret = secret_text("secret");
    HF_AUTO(buf) sealed = seal(&kind, secret);
    HF_AUTO(secret) out = NULL;

    (void)unused;
    other.name = "rest";
    assert_fails(&world.op, open_sealed(&other, secret, sealed, &out), HF_DENIED);
    assert_string_equal(world.op.text, kind.denied);
}

static void a_later_version_is_told_apart_from_damage(void **unused)
{
    struct hf_envelope_kind later = kind;
    HF_AUTO(secret) secret = secret_text("secret");
    HF_AUTO(buf) sealed = NULL;
    HF_AUTO(secret) out = NULL;

    (void)unused;
    later.version = 2;
    sealed = seal(&later, secret);
    assert_fails(&world.op, open_sealed(&kind, secret, sealed, &out), HF_UNSUPPORTED);
    assert_ok(&world.op, open_sealed(&later, secret, sealed, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_forged_byte_opens),
        cmocka_unit_test(a_shorter_form_with_a_digest_that_fits_is_corrupt),
        cmocka_unit_test(one_kind_does_not_open_anothers),
        cmocka_unit_test(a_later_version_is_told_apart_from_damage),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
