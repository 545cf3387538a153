/* Cookies: Hadoop's form to the byte, its words for what is wrong, and secrets that roll. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "small_world.h"

#include "base/alloc.h"
#include "base/text.h"
#include "identity/cookie.h"

#define VALIDITY_MS 36000000U
#define SIGNER      "org.apache.hadoop.security.authentication.util.SignerException: "

static struct hf_cookies *cookies;

static int setup(void **unused)
{
    (void)unused;
    small_world_new_store();
    small_world_unlock();
    cookies = hf_cookies_new(small_world.seal, 0);
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    hf_cookies_free(cookies);
    small_world_drop_store();
    return 0;
}

static struct hf_buf *new_cookie(const char *user)
{
    struct hf_buf *value = hf_buf_new();

    assert_ok(&small_world.op,
              hf_cookies_make(cookies, &small_world.op, user, HF_COOKIE_PSEUDO, value));
    return value;
}

static struct hf_status verify(const struct hf_buf *value)
{
    struct hf_cookie cookie;

    return hf_cookies_verify(cookies, &small_world.op, hf_buf_bytes(value), &cookie);
}

/* The secret that signs now, as the record has it: behind format, date, validity and length. */
static struct hf_bytes current_secret(struct hf_opened **out_record)
{
    assert_ok(&small_world.op, hf_seal_get(small_world.seal, &small_world.op, HF_KIND_SECRET,
                                           "secret/hadoop-cookie", out_record));
    return hf_bytes_of(hf_secret_bytes((*out_record)->plain).data + 21, 32);
}

/* A cookie of any text, signed as a node would. */
static struct hf_buf *signed_text(const char *text)
{
    struct hf_buf *value = hf_buf_new();
    HF_AUTO(opened) record = NULL;

    hf_buf_add_format(value, "%s&s=", text);
    assert_ok(&small_world.op,
              hf_cookie_sign(small_world.crypto, &small_world.op, current_secret(&record),
                             hf_bytes_of_text(text), value));
    return value;
}

static void the_signature_is_that_of_the_reference(void **unused)
{
    HF_AUTO(buf) signature = hf_buf_new();

    (void)unused;
    assert_ok(&small_world.op,
              hf_cookie_sign(
                  small_world.crypto, &small_world.op, hf_bytes_of_text("holdfast-test-secret"),
                  hf_bytes_of_text("u=alice&p=alice&t=simple-dt&e=1700036000000"), signature));
    assert_string_equal(hf_buf_text(signature), "CaAowOqRfy/Erb8Zh+XhjXetTM1DyxKNjHZ1NUmQ8sQ=");
}

static void a_cookie_has_hadoops_form_and_comes_back_as_it_was(void **unused)
{
    HF_AUTO(buf) value = new_cookie("alice");
    HF_AUTO_STRING begins = hf_format("u=alice&p=alice&t=simple-dt&e=%llu&s=",
                                      (unsigned long long)(WORLD_START_MS + VALIDITY_MS));
    struct hf_cookie cookie;

    (void)unused;
    assert_int_equal(strncmp(hf_buf_text(value), begins, strlen(begins)), 0);
    assert_int_equal(value->len, strlen(begins) + 44);
    assert_ok(&small_world.op,
              hf_cookies_verify(cookies, &small_world.op, hf_buf_bytes(value), &cookie));
    assert_string_equal(cookie.user, "alice");
    assert_string_equal(cookie.type, "simple-dt");
    assert_int_equal(cookie.expires_ms, WORLD_START_MS + VALIDITY_MS);
}

/* docs/formats/cookie.md */
static void the_record_is_that_of_the_document(void **unused)
{
    static const char hex[] = "02000001a31a81a100000000000225510000000020000102030405060708090a0b0c"
                              "0d0e0f101112131415161718191a1b1c1d1e1f0000000000000000000000000000"
                              "000002255100000000202021222324252627"
                              "28292a2b2c2d2e2f303132333435"
                              "363738393a3b3c3d3e3f00000000";
    HF_AUTO(buf) plain = hf_buf_new();
    HF_AUTO(buf) value = NULL;
    HF_AUTO(opened) ours = NULL;

    (void)unused;
    assert_ok(&small_world.op, hf_hex_decode(&small_world.op, hf_bytes_of_text(hex), plain));
    assert_ok(&small_world.op, hf_seal_get(small_world.seal, &small_world.op, HF_KIND_SECRET,
                                           "secret/hadoop-cookie", &ours));
    /* Ours differs in the secrets only. */
    assert_int_equal(hf_secret_len(ours->plain), plain->len);
    assert_memory_equal(hf_secret_bytes(ours->plain).data, plain->data, 21);
    assert_memory_equal(hf_secret_bytes(ours->plain).data + 53, plain->data + 53, 24);
    assert_memory_equal(hf_secret_bytes(ours->plain).data + 109, plain->data + 109, 4);

    assert_ok(&small_world.op, small_world_put(HF_KIND_SECRET, "secret/hadoop-cookie",
                                               ours->revision, hf_buf_bytes(plain)));
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    value = new_cookie("alice");
    assert_string_equal(hf_buf_text(value), "u=alice&p=alice&t=simple-dt&e=1800036000000&s="
                                            "chKbKy7HAWTjk/ZxZDO61KkWwgEgijXq1+Dg7ngQrf0=");
}

static void names_that_would_break_the_form_get_no_cookie(void **unused)
{
    static const char *const names[] = { "", "a&p=root", "a=b", "&" };
    static char too_long[300];
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    memset(too_long, 'a', sizeof too_long - 1);
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        assert_fails(&small_world.op,
                     hf_cookies_make(cookies, &small_world.op, names[i], HF_COOKIE_PSEUDO, out),
                     HF_INVALID);
    }
    assert_fails(&small_world.op,
                 hf_cookies_make(cookies, &small_world.op, too_long, HF_COOKIE_PSEUDO, out),
                 HF_INVALID);
    assert_fails(&small_world.op, hf_cookies_make(cookies, &small_world.op, "alice", "basic", out),
                 HF_INVALID);
    assert_int_equal(out->len, 0);
}

static void what_is_wrong_is_said_in_hadoops_words(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
        const char *words;
    } cases[] = {
        { "good until the last millisecond", "u=a&p=a&t=simple-dt&e=1800000000000", NULL },
        { "a Kerberos cookie", "u=a&p=a@R/h&t=kerberos-dt&e=1800000000001", NULL },
        { "an inactivity limit ahead", "u=a&p=a&t=simple-dt&i=1800000000001&e=1800000000001",
          NULL },
        { "expired", "u=a&p=a&t=simple-dt&e=1799999999999", "AuthenticationToken expired" },
        { "not used for too long", "u=a&p=a&t=simple-dt&i=1799999999999&e=1800000000001",
          "AuthenticationToken expired" },
        { "another type", "u=a&p=a&t=basic&e=1800000000001", "Invalid AuthenticationToken type" },
        { "another type, and expired: the type is looked at first", "u=a&p=a&t=basic&e=1",
          "Invalid AuthenticationToken type" },
        { "no user", "p=a&t=simple-dt&e=1800000000001",
          "Invalid token string, missing attributes" },
        { "an empty user", "u=&p=a&t=simple-dt&e=1800000000001",
          "Invalid token string, missing attributes" },
        { "no type", "u=a&p=a&e=1800000000001", "Invalid token string, missing attributes" },
        { "two users", "u=a&u=b&p=a&t=simple-dt&e=1800000000001",
          "Invalid token string, missing attributes" },
        { "something unknown", "u=a&p=a&t=simple-dt&e=1800000000001&x=1",
          "Invalid token string, missing attributes" },
        { "a date that is none", "u=a&p=a&t=simple-dt&e=soon",
          "Invalid token string, missing attributes" },
        { "a date before all time", "u=a&p=a&t=simple-dt&e=-1",
          "Invalid token string, missing attributes" },
        { "no text at all", "", "Invalid token string, missing attributes" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) value = signed_text(cases[i].text);
        struct hf_status status = verify(value);

        if (status.code != (cases[i].words == NULL ? HF_OK : HF_UNAUTHENTICATED) ||
            (cases[i].words != NULL && strcmp(small_world.op.text, cases[i].words) != 0)) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code),
                     small_world.op.text);
        }
    }
}

static void a_cookie_without_a_good_signature_is_refused(void **unused)
{
    static const struct {
        const char *says;
        const char *value;
        const char *words;
    } cases[] = {
        { "no signature", "u=a&p=a&t=simple-dt&e=9999999999999", SIGNER "Invalid signed text" },
        { "nothing", "", SIGNER "Invalid signed text" },
        { "two bytes", "&s", SIGNER "Invalid signed text" },
        { "an empty signature",
          "u=a&p=a&t=simple-dt&e=9999999999999&s=", SIGNER "Invalid signature" },
        { "a short one", "u=a&p=a&t=simple-dt&e=9999999999999&s=AAAA", SIGNER "Invalid signature" },
        { "another secret's",
          "u=alice&p=alice&t=simple-dt&e=1700036000000&s="
          "CaAowOqRfy/Erb8Zh+XhjXetTM1DyxKNjHZ1NUmQ8sQ=",
          SIGNER "Invalid signature" },
        { "one that goes on", "u=a&s=CaAowOqRfy/Erb8Zh+XhjXetTM1DyxKNjHZ1NUmQ8sQ=A",
          SIGNER "Invalid signature" },
    };
    struct hf_cookie cookie;

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_status status =
            hf_cookies_verify(cookies, &small_world.op, hf_bytes_of_text(cases[i].value), &cookie);

        if (status.code != HF_UNAUTHENTICATED || strcmp(small_world.op.text, cases[i].words) != 0) {
            fail_msg("%s: got %s: %s", cases[i].says, hf_code_name(status.code),
                     small_world.op.text);
        }
    }
}

static void the_last_signature_counts(void **unused)
{
    /* Signed as a whole, with something in it that looks like a signature. */
    HF_AUTO(buf) inner = signed_text("u=a&p=a&t=simple-dt&e=9999999999999");
    HF_AUTO(buf) outer = hf_buf_new();

    (void)unused;
    hf_buf_add_bytes(outer, hf_buf_bytes(inner));
    hf_buf_add_text(outer, "&s=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_ok(&small_world.op, verify(inner));
    assert_fails(&small_world.op, verify(outer), HF_UNAUTHENTICATED);
    assert_string_equal(small_world.op.text, SIGNER "Invalid signature");
}

static void a_cookie_changed_in_any_byte_is_refused(void **unused)
{
    HF_AUTO(buf) value = new_cookie("alice");

    (void)unused;
    for (size_t i = 0; i < value->len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            value->data[i] = (uint8_t)(value->data[i] ^ (1U << bit));
            if (verify(value).code != HF_UNAUTHENTICATED) {
                fail_msg("byte %zu, bit %u: taken for good", i, bit);
            }
            value->data[i] = (uint8_t)(value->data[i] ^ (1U << bit));
        }
    }
    for (size_t len = 0; len < value->len; len++) {
        struct hf_cookie cookie;

        assert_fails(
            &small_world.op,
            hf_cookies_verify(cookies, &small_world.op, hf_bytes_of(value->data, len), &cookie),
            HF_UNAUTHENTICATED);
    }
    assert_ok(&small_world.op, verify(value));
}

/* Good cookies are remembered, so each of these is asked for again after it was found good. */
static void a_cookie_changed_after_it_was_good_is_refused(void **unused)
{
    HF_AUTO(buf) value = new_cookie("alice");

    (void)unused;
    for (size_t i = 0; i < value->len; i++) {
        assert_ok(&small_world.op, verify(value));
        value->data[i] ^= 1;
        assert_fails(&small_world.op, verify(value), HF_UNAUTHENTICATED);
        value->data[i] ^= 1;
    }
    value->len--;
    assert_fails(&small_world.op, verify(value), HF_UNAUTHENTICATED);
    value->len++;
    assert_ok(&small_world.op, verify(value));
}

static void a_cookie_that_was_good_expires(void **unused)
{
    static const struct {
        const char *says;
        const char *text;
    } cases[] = {
        { "the day it names", "u=a&p=a&t=simple-dt&e=1800000060000" },
        { "the inactivity it names", "u=a&p=a&t=simple-dt&i=1800000060000&e=9999999999999" },
    };

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        HF_AUTO(buf) value = signed_text(cases[i].text);

        small_world.now_ms = WORLD_START_MS + 60000;
        assert_ok(&small_world.op, verify(value));
        small_world.now_ms++;
        if (verify(value).code != HF_UNAUTHENTICATED ||
            strcmp(small_world.op.text, "AuthenticationToken expired") != 0) {
            fail_msg("%s: got %s", cases[i].says, small_world.op.text);
        }
    }
}

static void a_cookie_that_was_good_ends_with_its_secret(void **unused)
{
    HF_AUTO(buf) value = signed_text("u=a&p=a&t=simple-dt&e=9999999999999");

    (void)unused;
    for (int rolls = 0; rolls < 2; rolls++) {
        assert_ok(&small_world.op, verify(value));
        small_world_pass(VALIDITY_MS);
        assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    }
    assert_fails(&small_world.op, verify(value), HF_UNAUTHENTICATED);
    assert_string_equal(small_world.op.text, SIGNER "Invalid signature");
}

static void many_users_take_turns(void **unused)
{
    struct hf_buf *values[64];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(values); i++) {
        HF_AUTO_STRING user = hf_format("user%zu", i);

        values[i] = new_cookie(user);
    }
    for (size_t turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < HF_COUNT(values); i++) {
            HF_AUTO_STRING user = hf_format("user%zu", i);
            struct hf_cookie cookie;

            assert_ok(&small_world.op, hf_cookies_verify(cookies, &small_world.op,
                                                         hf_buf_bytes(values[i]), &cookie));
            assert_string_equal(cookie.user, user);
        }
    }
    for (size_t i = 0; i < HF_COUNT(values); i++) {
        hf_buf_free(values[i]);
    }
}

static void rolling_leaves_the_id_of_the_request_alone(void **unused)
{
    struct hf_op *op = &small_world.op;
    const struct hf_request_id id = { .bytes = { 7 } };

    (void)unused;
    op->request_id = id;
    for (int i = 0; i < 2; i++) {
        small_world_pass(VALIDITY_MS);
        assert_ok(op, hf_cookies_refresh(cookies, op));
        assert_memory_equal(&op->request_id, &id, sizeof id);
    }
    /* It is still there for what it was made for. */
    assert_ok(op, small_world_put(HF_KIND_SECRET, "secret/other", 0, hf_bytes_of_text("x")));
    memset(&op->request_id, 0, sizeof op->request_id);
}

static void the_secret_before_is_good_and_the_one_before_that_is_not(void **unused)
{
    HF_AUTO(buf) first = signed_text("u=a&p=a&t=simple-dt&e=9999999999999");

    (void)unused;
    small_world_pass(VALIDITY_MS - 1);
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    assert_ok(&small_world.op, verify(first));

    small_world_pass(1);
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    assert_ok(&small_world.op, verify(first));
    {
        HF_AUTO(buf) second = new_cookie("bob");

        assert_ok(&small_world.op, verify(second));
        small_world_pass(VALIDITY_MS);
        assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
        assert_fails(&small_world.op, verify(first), HF_UNAUTHENTICATED);
        assert_string_equal(small_world.op.text, SIGNER "Invalid signature");
        assert_ok(&small_world.op, verify(second));
    }
}

static void a_clock_set_back_does_not_keep_a_secret_alive(void **unused)
{
    HF_AUTO(opened) before = NULL;
    HF_AUTO(opened) after = NULL;
    struct hf_bytes old = current_secret(&before);

    (void)unused;
    small_world.now_ms -= VALIDITY_MS;
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    assert_true(hf_bytes_equal(old, current_secret(&after)));
    small_world.now_ms -= 1;
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    hf_opened_free(after);
    assert_false(hf_bytes_equal(old, current_secret(&after)));
}

static void another_node_takes_what_one_has_made(void **unused)
{
    struct hf_cookies *other = hf_cookies_new(small_world.seal, 0);
    HF_AUTO(buf) value = new_cookie("alice");
    struct hf_cookie cookie;

    (void)unused;
    assert_ok(&small_world.op, hf_cookies_refresh(other, &small_world.op));
    assert_ok(&small_world.op,
              hf_cookies_verify(other, &small_world.op, hf_buf_bytes(value), &cookie));
    hf_cookies_free(other);
}

static void a_store_that_fails_leaves_the_secrets_as_they_are(void **unused)
{
    HF_AUTO(buf) value = new_cookie("alice");

    (void)unused;
    small_world_pass(VALIDITY_MS);
    for (uint64_t call = 1; call <= 2; call++) {
        hf_failing_set(small_world.engine, HF_FAULT_BEFORE, HF_UNAVAILABLE, call);
        assert_fails(&small_world.op, hf_cookies_refresh(cookies, &small_world.op), HF_UNAVAILABLE);
        hf_failing_set(small_world.engine, HF_FAULT_NONE, HF_OK, 0);
    }
    small_world_pass((uint64_t)0 - VALIDITY_MS);
    assert_ok(&small_world.op, verify(value));
}

static void locked_cookies_say_so(void **unused)
{
    HF_AUTO(buf) value = new_cookie("alice");
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    hf_cookies_clear(cookies);
    assert_fails(&small_world.op, verify(value), HF_WRONG_STATE);
    assert_fails(&small_world.op,
                 hf_cookies_make(cookies, &small_world.op, "alice", HF_COOKIE_PSEUDO, out),
                 HF_WRONG_STATE);
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    assert_ok(&small_world.op, verify(value));
}

/* A clock that locks the seal when it is looked at: after the store was read. */
static uint64_t lock_at_a_look(struct hf_env *env)
{
    (void)env;
    hf_seal_lock(small_world.seal);
    return small_world.now_ms;
}

static void what_was_read_before_a_lock_is_not_taken_over_after_it(void **unused)
{
    struct hf_env_ops ops = *small_world.env.ops;
    struct hf_env env = small_world.env;
    HF_AUTO(buf) value = new_cookie("alice");
    struct hf_op op;

    (void)unused;
    ops.realtime_ms = lock_at_a_look;
    env.ops = &ops;
    hf_op_init(&op, &env);
    hf_cookies_clear(cookies);
    assert_ok(&op, hf_cookies_refresh(cookies, &op));
    assert_false(hf_seal_is_unlocked(small_world.seal));
    assert_fails(&small_world.op, verify(value), HF_WRONG_STATE);
    small_world_unlock();
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    assert_ok(&small_world.op, verify(value));
}

struct checker {
    unsigned lane;
    const struct hf_buf *value;
    size_t refused;
};

static void *check_many(void *context)
{
    struct checker *checker = context;
    struct hf_op op = small_world_op(checker->lane);

    for (size_t i = 0; i < 500; i++) {
        struct hf_cookie cookie;
        HF_AUTO(buf) fresh = hf_buf_new();

        if (hf_cookies_verify(cookies, &op, hf_buf_bytes(checker->value), &cookie).code != HF_OK ||
            hf_cookies_make(cookies, &op, "bob", HF_COOKIE_PSEUDO, fresh).code != HF_OK ||
            hf_cookies_verify(cookies, &op, hf_buf_bytes(fresh), &cookie).code != HF_OK) {
            checker->refused++;
        }
    }
    return NULL;
}

static void threads_check_while_the_secret_rolls(void **unused)
{
    HF_AUTO(buf) value = signed_text("u=a&p=a&t=simple-dt&e=9999999999999");
    struct checker checkers[8];
    pthread_t threads[HF_COUNT(checkers)];

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(checkers); i++) {
        /* Two threads to a lane, which is allowed, if slower. */
        checkers[i] = (struct checker){ (unsigned)i / 2, value, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, check_many, &checkers[i]), 0);
    }
    small_world_pass(VALIDITY_MS);
    assert_ok(&small_world.op, hf_cookies_refresh(cookies, &small_world.op));
    for (size_t i = 0; i < HF_COUNT(checkers); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(checkers[i].refused, 0);
    }
}

static int setup_clock(void **unused)
{
    small_world.now_ms = WORLD_START_MS;
    return setup(unused);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup_clock, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(the_signature_is_that_of_the_reference),
        test_of(a_cookie_has_hadoops_form_and_comes_back_as_it_was),
        test_of(the_record_is_that_of_the_document),
        test_of(names_that_would_break_the_form_get_no_cookie),
        test_of(what_is_wrong_is_said_in_hadoops_words),
        test_of(a_cookie_without_a_good_signature_is_refused),
        test_of(the_last_signature_counts),
        test_of(a_cookie_changed_in_any_byte_is_refused),
        test_of(a_cookie_changed_after_it_was_good_is_refused),
        test_of(a_cookie_that_was_good_expires),
        test_of(a_cookie_that_was_good_ends_with_its_secret),
        test_of(many_users_take_turns),
        test_of(rolling_leaves_the_id_of_the_request_alone),
        test_of(the_secret_before_is_good_and_the_one_before_that_is_not),
        test_of(a_clock_set_back_does_not_keep_a_secret_alive),
        test_of(another_node_takes_what_one_has_made),
        test_of(a_store_that_fails_leaves_the_secrets_as_they_are),
        test_of(locked_cookies_say_so),
        test_of(what_was_read_before_a_lock_is_not_taken_over_after_it),
        test_of(threads_check_while_the_secret_rolls),
    };

    return cmocka_run_group_tests_name("identity cookie", tests, small_world_start,
                                       small_world_stop);
}
