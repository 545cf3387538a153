/* The list of protectors, and what the wrappers do for all of them. */
#include "protect_world.h"

#include "base/metrics.h"

static void each_kind_is_found_and_says_whether_it_needs_a_human(void **unused)
{
    static const struct {
        const char *kind;
        const struct hf_protector_ops *ops;
        bool needs_human;
    } cases[] = {
        { "passphrase", &hf_passphrase_protector, true },
        { "keyfile", &hf_keyfile_protector, false },
        { "failing", &hf_failing_protector, false },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const struct hf_protector_ops *ops = hf_protector_find(cases[i].kind);

        assert_ptr_equal(ops, cases[i].ops);
        assert_string_equal(ops->kind, cases[i].kind);
        assert_int_equal(ops->needs_human, cases[i].needs_human);
    }
}

static void an_unknown_kind_is_not_found_and_does_not_open(void **unused)
{
    const struct hf_protector_settings settings = { .kind = "Passphrase" };
    HF_AUTO(protector) protector = NULL;

    (void)unused;
    assert_null(hf_protector_find("Passphrase"));
    assert_null(hf_protector_find(""));
    assert_fails(&world.op, hf_protector_open(world.crypto, &world.op, &settings, &protector),
                 HF_INVALID);
    assert_non_null(strstr(world.op.text, "Passphrase"));
}

static void calls_are_counted_by_kind_and_result(void **unused)
{
    HF_AUTO_STRING path = new_keyfile("counted.key");
    const struct hf_protector_settings settings = { .kind = "keyfile", .file = path };
    HF_AUTO(protector) protector = open_protector(&settings);
    HF_AUTO(metrics) metrics = hf_metrics_new();
    HF_AUTO(secret) plain = secret_text("plain");
    HF_AUTO(secret) back = NULL;
    HF_AUTO(buf) wrapped = hf_buf_new();
    HF_AUTO(buf) text = hf_buf_new();

    (void)unused;
    world.env.metrics = metrics;
    assert_ok(&world.op, hf_protector_wrap(protector, &world.op, plain, HF_BYTES_NONE, wrapped));
    wrapped->data[20] ^= 1;
    for (int i = 0; i < 2; i++) {
        assert_fails(
            &world.op,
            hf_protector_unwrap(protector, &world.op, hf_buf_bytes(wrapped), HF_BYTES_NONE, &back),
            HF_CORRUPT);
    }
    world.env.metrics = NULL;
    hf_metrics_write(metrics, text);
    assert_non_null(strstr(hf_buf_text(text), "holdfast_protector_calls_total{kind=\"keyfile\","
                                              "call=\"wrap\",result=\"ok\"} 1\n"));
    assert_non_null(strstr(hf_buf_text(text), "holdfast_protector_calls_total{kind=\"keyfile\","
                                              "call=\"unwrap\",result=\"corrupt\"} 2\n"));
}

static void nothing_to_free_is_fine(void **unused)
{
    (void)unused;
    hf_protector_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_found_and_says_whether_it_needs_a_human),
        cmocka_unit_test(an_unknown_kind_is_not_found_and_does_not_open),
        cmocka_unit_test(calls_are_counted_by_kind_and_result),
        cmocka_unit_test(nothing_to_free_is_fine),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
