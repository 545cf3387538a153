/*
 * Argon2id, by libargon2: the one algorithm here that OpenSSL 3.0 does not have.
 */
#include <argon2.h>
#include <sys/mman.h>

#include "crypto/crypto.h"

/* Too large for the arenas, so it is kept out of core dumps and of children instead. */
static int allocate(uint8_t **out, size_t len)
{
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        return ARGON2_MEMORY_ALLOCATION_ERROR;
    }
    if (madvise(memory, len, MADV_DONTDUMP) != 0 || madvise(memory, len, MADV_WIPEONFORK) != 0) {
        (void)munmap(memory, len);
        return ARGON2_MEMORY_ALLOCATION_ERROR;
    }
    *out = memory;
    return ARGON2_OK;
}

/* libargon2 has wiped it by now, and the kernel gives no page on unwiped. */
static void release(uint8_t *memory, size_t len)
{
    (void)munmap(memory, len);
}

static struct hf_status failed(struct hf_op *op, int code)
{
    switch (code) {
    case ARGON2_MEMORY_ALLOCATION_ERROR:
        return hf_fail(op, HF_NO_SPACE, "there is not enough memory for Argon2id at this cost");
    case ARGON2_THREAD_FAIL:
        return hf_fail(op, HF_UNAVAILABLE, "Argon2id could not start its threads");
    default:
        return hf_fail(op, HF_INVALID, "Argon2id refuses its input: %s",
                       argon2_error_message(code));
    }
}

struct hf_status hf_argon2id(struct hf_op *op, struct hf_bytes password, struct hf_bytes salt,
                             uint32_t memory_kib, uint32_t passes, uint32_t lanes, size_t len,
                             struct hf_secret **out)
{
    HF_AUTO(secret) secret = NULL;
    argon2_context context = {
        .pwd = (uint8_t *)password.data,
        .pwdlen = (uint32_t)password.len,
        .salt = (uint8_t *)salt.data,
        .saltlen = (uint32_t)salt.len,
        .t_cost = passes,
        .m_cost = memory_kib,
        .lanes = lanes,
        .threads = lanes,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = allocate,
        .free_cbk = release,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    int code;

    if (password.len > UINT32_MAX || salt.len > UINT32_MAX || len > UINT32_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "Argon2id counts its input in 32 bits");
    }
    HF_TRY(hf_secret_new(op, len, &secret));
    context.out = hf_secret_data(secret);
    context.outlen = (uint32_t)len;
    code = argon2id_ctx(&context);
    if (code != ARGON2_OK) {
        return failed(op, code);
    }
    *out = HF_TAKE(secret);
    return HF_SUCCESS;
}
