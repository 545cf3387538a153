/* A start that comes after OpenSSL's first allocation is told, and algorithms that are missing too.
 */
#include "crypto_world.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

static void a_late_start_is_our_own_mistake_and_said_so(void **unused)
{
    (void)unused;
    hf_env_system(&world.env);
    hf_op_init(&world.op, &world.env);
    OPENSSL_free(OPENSSL_malloc(1));
    assert_fails(&world.op, hf_crypto_start(&world.op), HF_INTERNAL);
    assert_non_null(strstr(world.op.text, "before hf_crypto_start()"));
}

static void an_algorithm_that_no_provider_has_is_named(void **unused)
{
    struct hf_crypto *crypto = NULL;

    (void)unused;
    assert_int_equal(EVP_set_default_properties(NULL, "provider=nobody"), 1);
    assert_fails(&world.op, hf_crypto_new(&world.op, &crypto), HF_UNSUPPORTED);
    assert_non_null(strstr(world.op.text, "AES-128-GCM"));
    assert_null(crypto);
    assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
    assert_ok(&world.op, hf_crypto_new(&world.op, &crypto));
    hf_crypto_free(crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_start_is_our_own_mistake_and_said_so),
        cmocka_unit_test(an_algorithm_that_no_provider_has_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
