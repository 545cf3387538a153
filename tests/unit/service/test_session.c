/* Cookies given back through the service: who may, what the trail says, and asked again. */
#include <string.h>

#include "world.h"

#include "identity/cookie.h"

static struct hf_cookies *cookies;

static int setup(void **unused)
{
    int failed = world_open(unused);
    struct hf_op op = small_world_op(0);

    cookies = hf_cookies_new(small_world.seal, 0);
    assert_ok(&op, hf_cookies_refresh(cookies, &op));
    world.service->cookies = cookies;
    return failed;
}

static int teardown(void **unused)
{
    hf_cookies_free(cookies);
    return world_close(unused);
}

static struct hf_buf *cookie_of(const char *user)
{
    struct hf_buf *value = hf_buf_new();
    struct hf_op op = small_world_op(0);

    assert_ok(&op, hf_cookies_make(cookies, &op, user, HF_COOKIE_PSEUDO, value));
    return value;
}

static enum hf_code verify(const struct hf_buf *value)
{
    struct hf_op op = small_world_op(0);
    struct hf_cookie cookie;

    assert_ok(&op, hf_cookies_refresh(cookies, &op));
    return hf_cookies_verify(cookies, &op, hf_buf_bytes(value), &cookie).code;
}

static void the_cookies_of_one_user_end_and_the_trail_names_him(void **unused)
{
    HF_AUTO(buf) alice = cookie_of("alice");
    HF_AUTO(buf) bob = cookie_of("bob");
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_ok(&op, hf_service_session_end(world.service, &op, "alice"));
    assert_int_equal(verify(alice), HF_UNAUTHENTICATED);
    assert_int_equal(verify(bob), HF_OK);
    assert_int_equal(world_lines("\"operation\":\"session.end\"", "'alice'", "\"outcome\":\"ok\""),
                     1);
}

static void all_cookies_end(void **unused)
{
    HF_AUTO(buf) alice = cookie_of("alice");
    HF_AUTO(buf) fresh = NULL;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_ok(&op, hf_service_session_end(world.service, &op, NULL));
    assert_int_equal(verify(alice), HF_UNAUTHENTICATED);
    fresh = cookie_of("alice");
    assert_int_equal(verify(fresh), HF_OK);
    assert_int_equal(
        world_lines("\"operation\":\"session.end\"", "all users", "\"outcome\":\"ok\""), 1);
}

static void whoever_has_no_right_ends_nothing(void **unused)
{
    static const char *const callers[] = { ALICE, CAROL, EVE, MALLORY };
    HF_AUTO(buf) alice = cookie_of("alice");

    (void)unused;
    for (size_t i = 0; i < HF_COUNT(callers); i++) {
        struct hf_op op = world_as(callers[i]);

        assert_fails(&op, hf_service_session_end(world.service, &op, "alice"), HF_DENIED);
        assert_fails(&op, hf_service_session_end(world.service, &op, NULL), HF_DENIED);
    }
    assert_int_equal(verify(alice), HF_OK);
    assert_int_equal(world_lines("\"operation\":\"session.end\"", "\"outcome\":\"denied\"", NULL),
                     2 * HF_COUNT(callers));
}

static void asked_again_under_the_same_id_it_ends_nothing_new(void **unused)
{
    const struct hf_request_id id = { .bytes = { 9 } };
    HF_AUTO(buf) bob = cookie_of("bob");
    HF_AUTO(buf) since = NULL;
    struct hf_op op = world_as(ROOT);

    (void)unused;
    op.request_id = id;
    assert_ok(&op, hf_service_session_end(world.service, &op, "alice"));
    assert_int_equal(verify(bob), HF_OK);
    since = cookie_of("alice");
    op = world_as(ROOT);
    op.request_id = id;
    assert_ok(&op, hf_service_session_end(world.service, &op, "alice"));
    assert_int_equal(verify(since), HF_OK);
    /* For somebody else it is another request. */
    op = world_as(ROOT);
    op.request_id = id;
    assert_fails(&op, hf_service_session_end(world.service, &op, "bob"), HF_CONFLICT);
}

static void what_cannot_be_is_refused_and_recorded(void **unused)
{
    struct hf_op op = world_as(ROOT);

    (void)unused;
    assert_fails(&op, hf_service_session_end(world.service, &op, "a&b"), HF_INVALID);
    assert_int_equal(world_lines("\"operation\":\"session.end\"", "\"outcome\":\"invalid\"", NULL),
                     1);
    world.service->cookies = NULL;
    op = world_as(ROOT);
    assert_fails(&op, hf_service_session_end(world.service, &op, "alice"), HF_UNSUPPORTED);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(the_cookies_of_one_user_end_and_the_trail_names_him),
        test_of(all_cookies_end),
        test_of(whoever_has_no_right_ends_nothing),
        test_of(asked_again_under_the_same_id_it_ends_nothing_new),
        test_of(what_cannot_be_is_refused_and_recorded),
    };

    return cmocka_run_group_tests_name("service session", tests, world_start, world_stop);
}
