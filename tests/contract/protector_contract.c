/*
 * The contract of protectors, run on each kind: what is wrapped opens again under the same secret
 * and context, and under nothing else, and what went wrong is told apart.
 */
#include "../unit/protect/protect_world.h"

#define CONTEXT hf_bytes_of_text("store 1, slot 1")

/* One kind, opened with its secret and with another one. */
struct kind {
    const char *says;
    struct hf_protector *(*open)(void);
    struct hf_protector *(*open_other)(void);
};

static struct hf_protector *open_passphrase(const char *text)
{
    HF_AUTO(secret) secret = secret_text(text);
    const struct hf_protector_settings settings = {
        .kind = "passphrase",
        .passphrase = secret,
        .argon2_memory_kib = 8192,
        .argon2_passes = 1,
    };

    return open_protector(&settings);
}

static struct hf_protector *passphrase(void)
{
    return open_passphrase("correct horse battery staple");
}

static struct hf_protector *other_passphrase(void)
{
    return open_passphrase("correct horse battery stable");
}

/* A key file of that name, made at its first use. */
static struct hf_protector *open_keyfile(const char *name)
{
    HF_AUTO_STRING path = in_directory(name);
    const struct hf_protector_settings settings = { .kind = "keyfile", .file = path };

    if (access(path, F_OK) != 0) {
        assert_ok(&world.op, hf_keyfile_create(world.crypto, &world.op, path));
    }
    return open_protector(&settings);
}

static struct hf_protector *keyfile(void)
{
    return open_keyfile("one.key");
}

static struct hf_protector *other_keyfile(void)
{
    return open_keyfile("other.key");
}

static struct hf_protector *open_failing(const char *name)
{
    HF_AUTO_STRING plan = hf_format("0:unavailable:%s/%s", directory, name);
    const struct hf_protector_settings settings = { .kind = "failing", .file = plan };

    hf_protector_free(open_keyfile(name));
    return open_protector(&settings);
}

static struct hf_protector *failing(void)
{
    return open_failing("one.key");
}

static struct hf_protector *other_failing(void)
{
    return open_failing("other.key");
}

/* A node's own key of that name, made at its first use. */
static struct hf_protector *open_node(const char *name)
{
    HF_AUTO_STRING path = in_directory(name);
    const struct hf_protector_settings settings = { .kind = "node", .file = path };

    if (access(path, F_OK) != 0) {
        assert_ok(&world.op, hf_node_key_create(world.crypto, &world.op, path));
    }
    return open_protector(&settings);
}

static struct hf_protector *node(void)
{
    return open_node("one.node");
}

static struct hf_protector *other_node(void)
{
    return open_node("other.node");
}

static const struct kind kinds[] = {
    { "passphrase", passphrase, other_passphrase },
    { "keyfile", keyfile, other_keyfile },
    { "node", node, other_node },
    { "failing, told never to fail", failing, other_failing },
};

/* --- the suite --- */

/* A secret of len bytes that counts up. */
static struct hf_secret *new_plain(size_t len)
{
    struct hf_secret *plain = NULL;

    assert_ok(&world.op, hf_secret_new(&world.op, len, &plain));
    for (size_t i = 0; i < len; i++) {
        hf_secret_data(plain)[i] = (uint8_t)i;
    }
    return plain;
}

static struct hf_buf *wrap(struct hf_protector *protector, const struct hf_secret *plain)
{
    struct hf_buf *wrapped = hf_buf_new();

    assert_ok(&world.op, hf_protector_wrap(protector, &world.op, plain, CONTEXT, wrapped));
    return wrapped;
}

static void assert_unwraps(struct hf_protector *protector, const struct hf_buf *wrapped,
                           const struct hf_secret *plain)
{
    HF_AUTO(secret) back = NULL;

    assert_ok(&world.op,
              hf_protector_unwrap(protector, &world.op, hf_buf_bytes(wrapped), CONTEXT, &back));
    assert_true(hf_secret_equal(plain, back));
}

static void assert_refused(const struct kind *kind, struct hf_protector *protector,
                           struct hf_bytes wrapped, struct hf_bytes context, enum hf_code code)
{
    HF_AUTO(secret) back = NULL;
    struct hf_status status = hf_protector_unwrap(protector, &world.op, wrapped, context, &back);

    if (status.code != code || back != NULL ||
        (code == HF_CORRUPT && world.op.cause != HF_CAUSE_ALTERED)) {
        fail_msg("%s: got %s (%s), wanted %s", kind->says, hf_code_name(status.code),
                 hf_cause_name(world.op.cause), hf_code_name(code));
    }
}

static void what_is_wrapped_unwraps_at_any_length(const struct kind *kind)
{
    static const size_t lengths[] = { 1, 32, 33, 4096, 65536 };
    HF_AUTO(protector) protector = kind->open();

    for (size_t i = 0; i < HF_COUNT(lengths); i++) {
        HF_AUTO(secret) plain = new_plain(lengths[i]);
        HF_AUTO(buf) wrapped = wrap(protector, plain);

        assert_unwraps(protector, wrapped, plain);
    }
}

static void another_instance_with_the_same_secret_unwraps(const struct kind *kind)
{
    HF_AUTO(protector) one = kind->open();
    HF_AUTO(protector) again = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(one, plain);

    assert_unwraps(again, wrapped, plain);
}

static void two_wrappings_of_the_same_differ(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) one = wrap(protector, plain);
    HF_AUTO(buf) other = wrap(protector, plain);

    assert_false(hf_bytes_equal(hf_buf_bytes(one), hf_buf_bytes(other)));
}

static void the_wrapped_form_begins_with_its_version_and_hides_the_plain(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(protector, plain);
    struct hf_bytes eight = hf_bytes_of(hf_secret_bytes(plain).data, 8);

    assert_int_equal(wrapped->data[0], 1);
    assert_null(memmem(wrapped->data, wrapped->len, eight.data, eight.len));
}

static void wrapping_appends(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) out = hf_buf_new();
    HF_AUTO(secret) back = NULL;

    hf_buf_add_text(out, "before");
    assert_ok(&world.op, hf_protector_wrap(protector, &world.op, plain, CONTEXT, out));
    assert_memory_equal(out->data, "before", 6);
    assert_ok(&world.op,
              hf_protector_unwrap(protector, &world.op, hf_bytes_of(out->data + 6, out->len - 6),
                                  CONTEXT, &back));
}

static void nothing_and_too_much_are_refused_and_add_nothing(const struct kind *kind)
{
    static const size_t lengths[] = { 0, 65537 };
    HF_AUTO(protector) protector = kind->open();

    for (size_t i = 0; i < HF_COUNT(lengths); i++) {
        HF_AUTO(secret) plain = new_plain(lengths[i]);
        HF_AUTO(buf) out = hf_buf_new();

        assert_fails(&world.op, hf_protector_wrap(protector, &world.op, plain, CONTEXT, out),
                     HF_INVALID);
        assert_int_equal(out->len, 0);
    }
}

static void another_context_does_not_unwrap(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(protector, plain);
    static const char *const contexts[] = { "", "store 1, slot 2", "store 1, slot 1 " };

    for (size_t i = 0; i < HF_COUNT(contexts); i++) {
        assert_refused(kind, protector, hf_buf_bytes(wrapped), hf_bytes_of_text(contexts[i]),
                       HF_CORRUPT);
    }
}

static void another_secret_is_denied(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(protector) other = kind->open_other();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(protector, plain);

    assert_refused(kind, other, hf_buf_bytes(wrapped), CONTEXT, HF_DENIED);
    assert_unwraps(protector, wrapped, plain);
}

static void cut_bytes_are_corrupt_at_every_length(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(protector, plain);

    for (size_t len = 0; len < wrapped->len; len++) {
        HF_AUTO(buf) cut = hf_buf_new();

        /* A copy of that very length, so that a read behind its end is seen. */
        hf_buf_add(cut, wrapped->data, len);
        assert_refused(kind, protector, hf_buf_bytes(cut), CONTEXT, HF_CORRUPT);
    }
    hf_buf_add(wrapped, "", 1);
    assert_refused(kind, protector, hf_buf_bytes(wrapped), CONTEXT, HF_CORRUPT);
}

static void a_flipped_bit_is_corrupt_wherever_it_is(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(protector, plain);

    for (size_t bit = 0; bit < 8 * wrapped->len; bit++) {
        wrapped->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_refused(kind, protector, hf_buf_bytes(wrapped), CONTEXT, HF_CORRUPT);
        wrapped->data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_unwraps(protector, wrapped, plain);
}

static void a_thread_that_may_not_wait_is_sent_away(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) wrapped = wrap(protector, plain);

    world.op.may_wait = false;
    assert_refused(kind, protector, hf_buf_bytes(wrapped), CONTEXT, HF_LATER);
    world.op.may_wait = true;
}

static void a_deadline_that_is_over_is_honoured(const struct kind *kind)
{
    HF_AUTO(protector) protector = kind->open();
    HF_AUTO(secret) plain = new_plain(32);
    HF_AUTO(buf) out = hf_buf_new();

    world.op.deadline_ms = 1;
    assert_fails(&world.op, hf_protector_wrap(protector, &world.op, plain, CONTEXT, out),
                 HF_UNAVAILABLE);
    world.op.deadline_ms = 0;
}

/* Each line is one test over all kinds. */
#define FOR_EACH_KIND(clause)                                                                      \
    static void all_##clause(void **unused)                                                        \
    {                                                                                              \
        (void)unused;                                                                              \
        for (size_t i = 0; i < HF_COUNT(kinds); i++) {                                             \
            clause(&kinds[i]);                                                                     \
        }                                                                                          \
    }

FOR_EACH_KIND(what_is_wrapped_unwraps_at_any_length)
FOR_EACH_KIND(another_instance_with_the_same_secret_unwraps)
FOR_EACH_KIND(two_wrappings_of_the_same_differ)
FOR_EACH_KIND(the_wrapped_form_begins_with_its_version_and_hides_the_plain)
FOR_EACH_KIND(wrapping_appends)
FOR_EACH_KIND(nothing_and_too_much_are_refused_and_add_nothing)
FOR_EACH_KIND(another_context_does_not_unwrap)
FOR_EACH_KIND(another_secret_is_denied)
FOR_EACH_KIND(cut_bytes_are_corrupt_at_every_length)
FOR_EACH_KIND(a_flipped_bit_is_corrupt_wherever_it_is)
FOR_EACH_KIND(a_thread_that_may_not_wait_is_sent_away)
FOR_EACH_KIND(a_deadline_that_is_over_is_honoured)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_what_is_wrapped_unwraps_at_any_length),
        cmocka_unit_test(all_another_instance_with_the_same_secret_unwraps),
        cmocka_unit_test(all_two_wrappings_of_the_same_differ),
        cmocka_unit_test(all_the_wrapped_form_begins_with_its_version_and_hides_the_plain),
        cmocka_unit_test(all_wrapping_appends),
        cmocka_unit_test(all_nothing_and_too_much_are_refused_and_add_nothing),
        cmocka_unit_test(all_another_context_does_not_unwrap),
        cmocka_unit_test(all_another_secret_is_denied),
        cmocka_unit_test(all_cut_bytes_are_corrupt_at_every_length),
        cmocka_unit_test(all_a_flipped_bit_is_corrupt_wherever_it_is),
        cmocka_unit_test(all_a_thread_that_may_not_wait_is_sent_away),
        cmocka_unit_test(all_a_deadline_that_is_over_is_honoured),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
