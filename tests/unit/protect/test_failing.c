/* The failing protector fails when and how it is told, and works before and after. */
#include "protect_world.h"

static struct hf_status open_plan(const char *plan, struct hf_protector **out)
{
    const struct hf_protector_settings settings = { .kind = "failing", .file = plan };

    return hf_protector_open(world.crypto, &world.op, &settings, out);
}

static void the_call_that_was_named_fails_as_told(void **unused)
{
    HF_AUTO_STRING path = new_keyfile("failing.key");
    HF_AUTO(secret) plain = secret_text("plain");

    (void)unused;
    for (unsigned n = 1; n <= 4; n++) {
        HF_AUTO_STRING plan = hf_format("%u:in_doubt:%s", n, path);
        HF_AUTO(protector) protector = NULL;
        HF_AUTO(buf) wrapped = hf_buf_new();

        assert_ok(&world.op, open_plan(plan, &protector));
        for (unsigned call = 1; call <= 4; call++) {
            HF_AUTO(secret) back = NULL;
            enum hf_code wanted = call == n ? HF_IN_DOUBT : HF_OK;

            /* Odd calls wrap, even ones open the last thing that was wrapped. */
            if (call % 2 == 1) {
                hf_buf_clear(wrapped);
                assert_fails(&world.op,
                             hf_protector_wrap(protector, &world.op, plain, HF_BYTES_NONE, wrapped),
                             wanted);
            } else if (wrapped->len > 0) {
                assert_fails(&world.op,
                             hf_protector_unwrap(protector, &world.op, hf_buf_bytes(wrapped),
                                                 HF_BYTES_NONE, &back),
                             wanted);
            }
        }
    }
}

static void a_plan_that_makes_no_sense_is_refused(void **unused)
{
    static const char *const plans[] = {
        NULL, "", "1", "1:unavailable", "one:unavailable:/x", "1:broken:/x", ":unavailable:/x",
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(plans); i++) {
        HF_AUTO(protector) protector = NULL;
        struct hf_status status = open_plan(plans[i], &protector);

        if (status.code != HF_INVALID || protector != NULL) {
            fail_msg("%s: got %s", plans[i], hf_code_name(status.code));
        }
    }
}

static void its_key_file_must_be_there(void **unused)
{
    HF_AUTO_STRING plan = hf_format("1:unavailable:%s/missing", directory);
    HF_AUTO(protector) protector = NULL;

    (void)unused;
    assert_fails(&world.op, open_plan(plan, &protector), HF_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_call_that_was_named_fails_as_told),
        cmocka_unit_test(a_plan_that_makes_no_sense_is_refused),
        cmocka_unit_test(its_key_file_must_be_there),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
