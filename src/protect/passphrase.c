/*
 * The passphrase protector: Argon2id over a text that a human keeps.
 *
 * The cost is recorded with what it protects, so that raising the default leaves old slots usable;
 * what is read back is bounded, so that a forged record cannot exhaust the machine.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "protect/private_file.h"
#include "protect/wrap_internal.h"

#define PASSPHRASE_MAX 1024

#define DEFAULT_MEMORY_KIB (256 * 1024)
#define DEFAULT_PASSES     3
#define DEFAULT_LANES      4

#define MIN_MEMORY_KIB (8 * 1024)
#define MAX_MEMORY_KIB (4 * 1024 * 1024)
#define MAX_PASSES     64
#define MAX_LANES      16

#define ARGON2_KEY_LEN 32

static const struct hf_envelope_kind envelope = {
    .name = "passphrase",
    .version = 1,
    .header_len = 1 + 4 + 4 + 1 + HF_ENVELOPE_SALT_LEN,
    .denied = "the passphrase is not the one of this slot",
};

struct cost {
    uint32_t memory_kib;
    uint32_t passes;
    uint8_t lanes;
};

struct passphrase_protector {
    struct hf_protector base;
    struct hf_crypto *crypto;
    struct hf_secret *passphrase;
    struct cost cost; /* of new wrappings */
};

static bool is_bounded(const struct cost *cost)
{
    return cost->memory_kib >= MIN_MEMORY_KIB && cost->memory_kib <= MAX_MEMORY_KIB &&
           cost->passes >= 1 && cost->passes <= MAX_PASSES && cost->lanes >= 1 &&
           cost->lanes <= MAX_LANES;
}

/* --- open and close --- */

/* The first line without its end; a carriage return belongs to the end. */
static void keep_first_line(struct hf_secret *text)
{
    struct hf_bytes bytes = hf_secret_bytes(text);
    const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
    size_t len = end != NULL ? (size_t)(end - bytes.data) : bytes.len;

    if (end != NULL && len > 0 && bytes.data[len - 1] == '\r') {
        len--;
    }
    hf_secret_truncate(text, len);
}

static struct hf_status read_passphrase(struct hf_op *op,
                                        const struct hf_protector_settings *settings,
                                        struct hf_secret **out)
{
    HF_AUTO(secret) text = NULL;

    if (settings->file != NULL) {
        HF_TRY(hf_private_file_read(op, settings->file, PASSPHRASE_MAX + 2, &text));
        keep_first_line(text);
    } else if (settings->passphrase != NULL) {
        HF_TRY(hf_secret_copy(op, hf_secret_bytes(settings->passphrase), &text));
    } else {
        return hf_fail(op, HF_INVALID, "a passphrase slot needs its passphrase, or a file with it");
    }
    if (hf_secret_len(text) == 0) {
        return hf_fail(op, HF_INVALID, "the passphrase is empty");
    }
    if (hf_secret_len(text) > PASSPHRASE_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "the passphrase has more than %d bytes", PASSPHRASE_MAX);
    }
    *out = HF_TAKE(text);
    return HF_SUCCESS;
}

static void passphrase_close(struct hf_protector *protector)
{
    struct passphrase_protector *mine = (struct passphrase_protector *)protector;

    hf_secret_free(mine->passphrase);
    free(mine);
}

static struct hf_status passphrase_open(struct hf_crypto *crypto, struct hf_op *op,
                                        const struct hf_protector_settings *settings,
                                        struct hf_protector **out)
{
    const struct cost cost = {
        settings->argon2_memory_kib != 0 ? settings->argon2_memory_kib : DEFAULT_MEMORY_KIB,
        settings->argon2_passes != 0 ? settings->argon2_passes : DEFAULT_PASSES,
        DEFAULT_LANES,
    };
    HF_AUTO(secret) text = NULL;
    struct passphrase_protector *mine;

    if (!is_bounded(&cost)) {
        return hf_fail(op, HF_INVALID,
                       "Argon2id takes %d to %d KiB of memory and 1 to %d passes here",
                       MIN_MEMORY_KIB, MAX_MEMORY_KIB, MAX_PASSES);
    }
    HF_TRY(read_passphrase(op, settings, &text));
    mine = hf_alloc(sizeof *mine);
    mine->base.ops = &hf_passphrase_protector;
    mine->crypto = crypto;
    mine->passphrase = HF_TAKE(text);
    mine->cost = cost;
    *out = &mine->base;
    return HF_SUCCESS;
}

/* --- wrap and unwrap --- */

static struct hf_status stretch(const struct passphrase_protector *mine, struct hf_op *op,
                                const struct cost *cost, struct hf_bytes salt,
                                struct hf_secret **out)
{
    return hf_argon2id(op, hf_secret_bytes(mine->passphrase), salt, cost->memory_kib, cost->passes,
                       cost->lanes, ARGON2_KEY_LEN, out);
}

struct hf_status hf_passphrase_wrap_with(struct hf_protector *protector, struct hf_op *op,
                                         const struct hf_wrap_random *random, struct hf_bytes plain,
                                         struct hf_bytes context, struct hf_buf *out)
{
    const struct passphrase_protector *mine = (struct passphrase_protector *)protector;
    HF_AUTO(secret) stretched = NULL;

    HF_TRY(
        stretch(mine, op, &mine->cost, hf_bytes_of(random->salt, sizeof random->salt), &stretched));
    hf_put_u8(out, envelope.version);
    hf_put_u32(out, mine->cost.memory_kib);
    hf_put_u32(out, mine->cost.passes);
    hf_put_u8(out, mine->cost.lanes);
    hf_buf_add(out, random->salt, sizeof random->salt);
    return hf_envelope_seal(mine->crypto, op, &envelope, stretched, random->nonce, plain, context,
                            out);
}

static struct hf_status passphrase_wrap(struct hf_protector *protector, struct hf_op *op,
                                        struct hf_bytes plain, struct hf_bytes context,
                                        struct hf_buf *out)
{
    const struct passphrase_protector *mine = (struct passphrase_protector *)protector;
    struct hf_wrap_random random;

    HF_TRY(hf_wrap_random_draw(mine->crypto, op, &random));
    return hf_passphrase_wrap_with(protector, op, &random, plain, context, out);
}

static struct hf_status read_cost(struct hf_op *op, struct hf_reader *reader, struct cost *out)
{
    struct cost cost;

    cost.memory_kib = hf_take_u32(reader);
    cost.passes = hf_take_u32(reader);
    cost.lanes = hf_take_u8(reader);
    if (!is_bounded(&cost)) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "this slot asks for an Argon2id cost that Holdfast never writes");
    }
    *out = cost;
    return HF_SUCCESS;
}

static struct hf_status passphrase_unwrap(struct hf_protector *protector, struct hf_op *op,
                                          struct hf_bytes wrapped, struct hf_bytes context,
                                          struct hf_secret **out)
{
    const struct passphrase_protector *mine = (struct passphrase_protector *)protector;
    HF_AUTO(secret) stretched = NULL;
    struct hf_bytes header;
    struct hf_reader reader;
    struct cost cost = { 0 };

    HF_TRY(hf_envelope_inspect(mine->crypto, op, &envelope, wrapped, &header));
    hf_reader_init(&reader, header);
    (void)hf_take_u8(&reader);
    HF_TRY(read_cost(op, &reader, &cost));
    HF_TRY(stretch(mine, op, &cost, hf_take_raw(&reader, HF_ENVELOPE_SALT_LEN), &stretched));
    HF_TRY(hf_reader_end(&reader, op, "the header of a passphrase slot"));
    return hf_envelope_open(mine->crypto, op, &envelope, stretched, wrapped, context, out);
}

const struct hf_protector_ops hf_passphrase_protector = {
    .kind = "passphrase",
    .needs_human = true,
    .open = passphrase_open,
    .wrap = passphrase_wrap,
    .unwrap = passphrase_unwrap,
    .close = passphrase_close,
};
