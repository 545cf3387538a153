/*
 * A machine without what its main keys are opened by: preloaded into a program, nothing that was
 * wrapped by RSA opens there any more.
 */
#include <openssl/evp.h>

int EVP_PKEY_decrypt(EVP_PKEY_CTX *context, unsigned char *out, size_t *out_len,
                     const unsigned char *in, size_t in_len)
{
    (void)context;
    (void)out;
    (void)out_len;
    (void)in;
    (void)in_len;
    return 0;
}
