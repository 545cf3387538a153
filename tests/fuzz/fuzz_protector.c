/*
 * The wrapped forms of protectors and the key file: forged bytes never open, unless they are what
 * the protector made. The first byte chooses; the digest is made to fit for every other choice, so
 * that the fuzzer gets past it.
 */
#include "fuzz_crypto.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "protect/envelope.h"
#include "protect/protector.h"

#define KEY_FILE                                                                                   \
    "holdfast-keyfile 1\n"                                                                         \
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\n"

#define NODE_KEY                                                                                   \
    "holdfast-node-key 1\n"                                                                        \
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\n"

static struct hf_protector *keyfile;
static struct hf_protector *node;
static char path[] = "/tmp/holdfast-fuzz-XXXXXX";

static void remove_file(void)
{
    hf_protector_free(keyfile);
    hf_protector_free(node);
    (void)unlink(path);
}

static void write_file(struct hf_bytes content)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    fuzz_require(fd >= 0);
    fuzz_require(write(fd, content.data, content.len) == (ssize_t)content.len);
    (void)close(fd);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    const struct hf_protector_settings settings = { .kind = "keyfile", .file = path };
    const struct hf_protector_settings node_settings = { .kind = "node", .file = path };
    int fd = mkstemp(path);

    (void)count;
    (void)arguments;
    fuzz_require(fd >= 0);
    (void)close(fd);
    write_file(hf_bytes_of_text(KEY_FILE));
    fuzz_require(hf_protector_open(fuzz_crypto(), fuzz_op(), &settings, &keyfile).code == HF_OK);
    write_file(hf_bytes_of_text(NODE_KEY));
    fuzz_require(hf_protector_open(fuzz_crypto(), fuzz_op(), &node_settings, &node).code == HF_OK);
    fuzz_require(atexit(remove_file) == 0);
    return 0;
}

/* What opened must be this protector's own: wrapped again, it has the same length. */
static void unwrap(struct hf_protector *protector, struct hf_bytes wrapped)
{
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) again = hf_buf_new();
    struct hf_status status =
        hf_protector_unwrap(protector, fuzz_op(), wrapped, hf_bytes_of_text("fuzz"), &plain);

    if (status.code == HF_OK) {
        fuzz_require(
            hf_protector_wrap(protector, fuzz_op(), plain, hf_bytes_of_text("fuzz"), again).code ==
            HF_OK);
        fuzz_require(again->len == wrapped.len);
    } else {
        fuzz_require(plain == NULL);
        fuzz_require(status.code == HF_CORRUPT || status.code == HF_DENIED ||
                     status.code == HF_UNSUPPORTED);
    }
}

static void unwrap_with_fitting_digest(struct hf_protector *protector, struct hf_bytes body)
{
    HF_AUTO(buf) wrapped = hf_buf_new();
    uint8_t digest[HF_SHA256_LEN];

    fuzz_require(hf_sha256(fuzz_crypto(), fuzz_op(), body, digest).code == HF_OK);
    hf_buf_add_bytes(wrapped, body);
    hf_buf_add(wrapped, digest, HF_ENVELOPE_DIGEST_LEN);
    unwrap(protector, hf_buf_bytes(wrapped));
}

static void open_key_file(struct hf_bytes content)
{
    const struct hf_protector_settings settings = { .kind = "keyfile", .file = path };
    HF_AUTO(protector) protector = NULL;
    struct hf_status status;

    write_file(content);
    status = hf_protector_open(fuzz_crypto(), fuzz_op(), &settings, &protector);
    fuzz_require(status.code == HF_OK || status.code == HF_INVALID || status.code == HF_TOO_LARGE);
}

/* Cost bounds come before the cost, so only forms with a cost out of bounds are tried. */
static void unwrap_passphrase(struct hf_bytes body)
{
    HF_AUTO(secret) text = NULL;
    HF_AUTO(protector) protector = NULL;
    HF_AUTO(secret) plain = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    uint8_t digest[HF_SHA256_LEN];
    struct hf_protector_settings settings = { .kind = "passphrase" };

    fuzz_require(hf_secret_copy(fuzz_op(), hf_bytes_of_text("fuzz"), &text).code == HF_OK);
    settings.passphrase = text;
    fuzz_require(hf_protector_open(fuzz_crypto(), fuzz_op(), &settings, &protector).code == HF_OK);
    hf_buf_add_bytes(wrapped, body);
    if (wrapped->len > 9) {
        wrapped->data[9] = 0; /* no lane */
    }
    fuzz_require(hf_sha256(fuzz_crypto(), fuzz_op(), hf_buf_bytes(wrapped), digest).code == HF_OK);
    hf_buf_add(wrapped, digest, HF_ENVELOPE_DIGEST_LEN);
    fuzz_require(
        hf_protector_unwrap(protector, fuzz_op(), hf_buf_bytes(wrapped), HF_BYTES_NONE, &plain)
            .code != HF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hf_bytes input = hf_bytes_of(data, len);

    switch (fuzz_take_byte(&input) % 6) {
    case 0:
        unwrap(keyfile, input);
        break;
    case 1:
        unwrap_with_fitting_digest(keyfile, input);
        break;
    case 2:
        unwrap_passphrase(input);
        break;
    case 4:
        unwrap(node, input);
        break;
    case 5:
        unwrap_with_fitting_digest(node, input);
        break;
    default:
        open_key_file(input);
        break;
    }
    return 0;
}
