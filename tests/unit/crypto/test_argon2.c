/* Argon2id against the vectors of its reference implementation. */
#include "crypto_world.h"

#include <sys/mman.h>

/* From src/test.c of the reference implementation (phc-winner-argon2), version 0x13. */
static const struct {
    const char *says;
    const char *password;
    const char *salt;
    uint32_t memory_kib;
    uint32_t passes;
    uint32_t lanes;
    const char *out;
} cases[] = {
    { "64 MiB, two passes", "password", "somesalt", 65536, 2, 1,
      "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7" },
    { "256 KiB", "password", "somesalt", 256, 2, 1,
      "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe" },
    { "256 KiB, two lanes", "password", "somesalt", 256, 2, 2,
      "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037" },
    { "one pass", "password", "somesalt", 65536, 1, 1,
      "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98" },
    { "four passes", "password", "somesalt", 65536, 4, 1,
      "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c" },
    { "another password", "differentpassword", "somesalt", 65536, 2, 1,
      "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde" },
    { "another salt", "password", "diffsalt", 65536, 2, 1,
      "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c" },
};

static void the_published_bytes_come_out(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(secret) out = NULL;

        assert_ok(&world.op,
                  hf_argon2id(&world.op, hf_bytes_of_text(cases[i].password),
                              hf_bytes_of_text(cases[i].salt), cases[i].memory_kib, cases[i].passes,
                              cases[i].lanes, strlen(cases[i].out) / 2, &out));
        assert_hex(cases[i].says, hf_secret_bytes(out), cases[i].out);
    }
}

static void costs_outside_of_the_rfc_are_refused(void **unused)
{
    static const struct {
        const char *says;
        const char *salt;
        uint32_t memory_kib;
        uint32_t passes;
        uint32_t lanes;
        size_t len;
    } refused[] = {
        { "a salt shorter than 8 bytes", "short", 256, 1, 1, 32 },
        { "less than 8 KiB for each lane", "somesalt", 15, 1, 2, 32 },
        { "no pass", "somesalt", 256, 0, 1, 32 },
        { "no lane", "somesalt", 256, 1, 0, 32 },
        { "less than 4 bytes of output", "somesalt", 256, 1, 1, 3 },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(refused); i++) {
        HF_AUTO(secret) out = NULL;
        struct hf_status status = hf_argon2id(
            &world.op, hf_bytes_of_text("password"), hf_bytes_of_text(refused[i].salt),
            refused[i].memory_kib, refused[i].passes, refused[i].lanes, refused[i].len, &out);

        if (status.code != HF_INVALID || out != NULL) {
            fail_msg("%s: got %s", refused[i].says, hf_code_name(status.code));
        }
    }
}

/*
 * The program is linked with --wrap, so that the kernel can be made to refuse (meson asks for
 * 64-bit offsets, and then it is this name).
 */
void *__real_mmap64(void *address, size_t len, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t len, int protection, int flags, int fd, off_t offset);

static bool memory_is_gone;

void *__wrap_mmap64(void *address, size_t len, int protection, int flags, int fd, off_t offset)
{
    return memory_is_gone ? MAP_FAILED : __real_mmap64(address, len, protection, flags, fd, offset);
}

static void memory_that_is_not_to_be_had_is_told(void **unused)
{
    HF_AUTO(secret) out = NULL;
    struct hf_status status;

    (void)unused;
    memory_is_gone = true;
    status = hf_argon2id(&world.op, hf_bytes_of_text("password"), hf_bytes_of_text("somesalt"), 256,
                         1, 1, 32, &out);
    memory_is_gone = false;
    assert_int_equal(status.code, HF_NO_SPACE);
    assert_null(out);
}

static void inputs_that_no_counter_of_argon2_holds_are_refused_unread(void **unused)
{
    const uint8_t byte = 0;
    const struct hf_bytes endless = hf_bytes_of(&byte, (size_t)UINT32_MAX + 1);
    const struct hf_bytes text = hf_bytes_of_text("somesalt");
    HF_AUTO(secret) out = NULL;

    (void)unused;
    assert_fails(&world.op, hf_argon2id(&world.op, endless, text, 256, 1, 1, 32, &out),
                 HF_TOO_LARGE);
    assert_fails(&world.op, hf_argon2id(&world.op, text, endless, 256, 1, 1, 32, &out),
                 HF_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_bytes_come_out),
        cmocka_unit_test(costs_outside_of_the_rfc_are_refused),
        cmocka_unit_test(memory_that_is_not_to_be_had_is_told),
        cmocka_unit_test(inputs_that_no_counter_of_argon2_holds_are_refused_unread),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
