/* What keys are used for: data keys, encryption, signatures, MACs, random bytes. */
#include <string.h>

#include "admin/admin_internal.h"

#define RANDOM_MAX   4096
#define DATA_KEY_MAX 64

HANDLER(data_key)
{
    static const char *const members[] = { "bytes", "aad", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) aad = NULL;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    struct hf_json_writer writer;
    uint64_t len = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_u64_or(op, body, "bytes", 32, &len));
    if (len < 16 || len > DATA_KEY_MAX) {
        return hf_fail(op, HF_INVALID, "\"bytes\" must be from 16 to %d", DATA_KEY_MAX);
    }
    HF_TRY(take_bytes(op, body, "aad", &aad));
    HF_TRY(hf_service_data_key_generate(service_of(exchange), op, ring_of(request), key_of(request),
                                        (size_t)len, bytes_or_none(aad), &plain, wrapped));
    start_object(reply, &writer);
    hf_json_put_base64(&writer, "wrapped", hf_buf_bytes(wrapped));
    if (plain != NULL) {
        put_secret(&writer, "plaintext", plain);
    }
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(encrypt)
{
    static const char *const members[] = { "plaintext", "aad", "version", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(secret) aad = NULL;
    HF_AUTO(buf) sealed = hf_buf_new();
    struct hf_json_writer writer;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "plaintext", &plain));
    HF_TRY(take_bytes(op, body, "aad", &aad));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_service_encrypt(service_of(exchange), op, ring_of(request), key_of(request), version,
                              bytes_or_none(aad), plain, sealed));
    start_object(reply, &writer);
    hf_json_put_base64(&writer, "ciphertext", hf_buf_bytes(sealed));
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(decrypt)
{
    static const char *const members[] = { "ciphertext", "aad", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) sealed = NULL;
    HF_AUTO(secret) aad = NULL;
    HF_AUTO(secret) plain = NULL;
    struct hf_json_writer writer;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "ciphertext", &sealed));
    HF_TRY(take_bytes(op, body, "aad", &aad));
    HF_TRY(hf_service_decrypt(service_of(exchange), op, ring_of(request), key_of(request),
                              bytes_or_none(aad), hf_secret_bytes(sealed), &plain));
    start_object(reply, &writer);
    put_secret(&writer, "plaintext", plain);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

HANDLER(reencrypt)
{
    static const char *const members[] = { "ciphertext", "aad", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) sealed = NULL;
    HF_AUTO(secret) aad = NULL;
    HF_AUTO(buf) moved = hf_buf_new();
    struct hf_json_writer writer;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "ciphertext", &sealed));
    HF_TRY(take_bytes(op, body, "aad", &aad));
    HF_TRY(hf_service_reencrypt(service_of(exchange), op, ring_of(request), key_of(request),
                                bytes_or_none(aad), hf_secret_bytes(sealed), moved, &version));
    start_object(reply, &writer);
    hf_json_put_base64(&writer, "ciphertext", hf_buf_bytes(moved));
    hf_json_put_u64(&writer, "version", version);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}

/* --- signatures and MACs --- */

struct named {
    const char *name;
    int value;
};

static const struct named schemes[] = {
    { "rsa-pkcs1", HF_SIGN_RSA_PKCS1 },
    { "rsa-pss", HF_SIGN_RSA_PSS },
    { "ecdsa", HF_SIGN_ECDSA },
    { "ed25519", HF_SIGN_ED25519 },
};

static const struct named hashes[] = {
    { "sha256", HF_HASH_SHA256 },
    { "sha384", HF_HASH_SHA384 },
    { "sha512", HF_HASH_SHA512 },
};

static struct hf_status find(struct hf_op *op, const struct named *table, size_t count,
                             const char *name, int *out)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *out = table[i].value;
            return HF_SUCCESS;
        }
    }
    return hf_fail(op, HF_INVALID, "\"%s\" is not known; see docs/openapi.yaml", name);
}

static struct hf_status take_hash(struct hf_op *op, const struct hf_json *body, enum hf_hash *out)
{
    const char *name = NULL;
    int value = 0;

    HF_TRY(hf_json_text_or(op, body, "hash", "sha256", &name));
    HF_TRY(find(op, hashes, HF_COUNT(hashes), name, &value));
    *out = (enum hf_hash)value;
    return HF_SUCCESS;
}

static struct hf_status take_scheme(struct hf_op *op, const struct hf_json *body,
                                    enum hf_signature *out)
{
    const char *name = NULL;
    int value = 0;

    HF_TRY(hf_json_text(op, body, "scheme", &name));
    HF_TRY(find(op, schemes, HF_COUNT(schemes), name, &value));
    *out = (enum hf_signature)value;
    return HF_SUCCESS;
}

static void put_made(struct hf_reply *reply, const char *name, const struct hf_buf *bytes,
                     uint32_t version)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    hf_json_put_base64(&writer, name, hf_buf_bytes(bytes));
    hf_json_put_u64(&writer, "version", version);
    hf_json_close_object(&writer);
}

static void put_valid(struct hf_reply *reply, bool valid)
{
    struct hf_json_writer writer;

    start_object(reply, &writer);
    hf_json_put_bool(&writer, "valid", valid);
    hf_json_close_object(&writer);
}

HANDLER(sign)
{
    static const char *const members[] = { "message", "scheme", "hash", "version", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) message = NULL;
    HF_AUTO(buf) signature = hf_buf_new();
    enum hf_signature scheme;
    enum hf_hash hash;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "message", &message));
    HF_TRY(take_scheme(op, body, &scheme));
    HF_TRY(take_hash(op, body, &hash));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_service_sign(service_of(exchange), op, ring_of(request), key_of(request), version,
                           scheme, hash, hf_secret_bytes(message), signature, &version));
    put_made(reply, "signature", signature, version);
    return HF_SUCCESS;
}

HANDLER(verify)
{
    static const char *const members[] = {
        "message", "signature", "scheme", "hash", "version", NULL
    };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) message = NULL;
    HF_AUTO(secret) signature = NULL;
    enum hf_signature scheme;
    enum hf_hash hash;
    uint32_t version = 0;
    bool valid = false;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "message", &message));
    HF_TRY(take_needed_bytes(op, body, "signature", &signature));
    HF_TRY(take_scheme(op, body, &scheme));
    HF_TRY(take_hash(op, body, &hash));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_service_verify(service_of(exchange), op, ring_of(request), key_of(request), version,
                             scheme, hash, hf_secret_bytes(message), hf_secret_bytes(signature),
                             &valid));
    put_valid(reply, valid);
    return HF_SUCCESS;
}

HANDLER(mac)
{
    static const char *const members[] = { "message", "hash", "version", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) message = NULL;
    HF_AUTO(buf) made = hf_buf_new();
    enum hf_hash hash;
    uint32_t version = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "message", &message));
    HF_TRY(take_hash(op, body, &hash));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_service_mac(service_of(exchange), op, ring_of(request), key_of(request), version,
                          hash, hf_secret_bytes(message), made, &version));
    put_made(reply, "mac", made, version);
    return HF_SUCCESS;
}

HANDLER(mac_verify)
{
    static const char *const members[] = { "message", "mac", "hash", "version", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) message = NULL;
    HF_AUTO(secret) given = NULL;
    enum hf_hash hash;
    uint32_t version = 0;
    bool valid = false;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(take_needed_bytes(op, body, "message", &message));
    HF_TRY(take_needed_bytes(op, body, "mac", &given));
    HF_TRY(take_hash(op, body, &hash));
    HF_TRY(take_version(op, body, &version));
    HF_TRY(hf_service_mac_verify(service_of(exchange), op, ring_of(request), key_of(request),
                                 version, hash, hf_secret_bytes(message), hf_secret_bytes(given),
                                 &valid));
    put_valid(reply, valid);
    return HF_SUCCESS;
}

HANDLER(random)
{
    static const char *const members[] = { "bytes", NULL };
    HF_AUTO(json) body = NULL;
    HF_AUTO(secret) bytes = NULL;
    struct hf_json_writer writer;
    uint64_t len = 0;

    HF_TRY(take_body(op, request, members, &body));
    HF_TRY(hf_json_u64_or(op, body, "bytes", 32, &len));
    if (len == 0 || len > RANDOM_MAX) {
        return hf_fail(op, HF_INVALID, "\"bytes\" must be from 1 to %d", RANDOM_MAX);
    }
    HF_TRY(hf_service_random(service_of(exchange), op, (size_t)len, &bytes));
    start_object(reply, &writer);
    put_secret(&writer, "random", bytes);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
