/*
 * For targets that need cryptography, or secret memory: both are there before the first input, and
 * freed when the process ends. Included by one source of a program.
 */
#pragma once

#include "fuzz.h"

#include "crypto/crypto.h"
#include "test_secrets.h"

static struct hf_crypto *fuzz_crypto_started;

static inline struct hf_crypto *fuzz_crypto(void)
{
    return fuzz_crypto_started;
}

static void fuzz_crypto_stop(void)
{
    hf_crypto_free(fuzz_crypto_started);
}

__attribute__((constructor)) static void fuzz_crypto_start(void)
{
    test_start_secrets();
    fuzz_require(hf_crypto_start(fuzz_op()).code == HF_OK);
    fuzz_require(hf_crypto_new(fuzz_op(), &fuzz_crypto_started).code == HF_OK);
    fuzz_require(atexit(fuzz_crypto_stop) == 0);
}
