/* What Hadoop clients are told of keys: of those that nobody can use yet, nothing. */
#include "world.h"

#include <string.h>

#include "base/text.h"
#include "hadoop/hadoop.h"

/* The linker puts ours in place of the exchange's: here the door is the exchange. */
void *__wrap_hf_exchange_context(const struct hf_exchange *exchange);

void *__wrap_hf_exchange_context(const struct hf_exchange *exchange)
{
    return (void *)exchange;
}

static struct hf_hadoop *hadoop;

static int setup(void **unused)
{
    struct hf_hadoop_settings settings = { .keyring = RING, .allow_pseudo = true };

    assert_int_equal(world_open(unused), 0);
    world_policy("list", "{\"rules\":[{\"effect\":\"allow\",\"who\":[\"" EVE
                         "\"],\"actions\":[\"key.list\"]}]}");
    settings.service = world.service;
    hadoop = hf_hadoop_new(&settings);
    return 0;
}

static int teardown(void **unused)
{
    hf_hadoop_free(hadoop);
    return world_close(unused);
}

/* The body of the answer that EVE gets, who may read, list and export; its status must be 200. */
static struct hf_buf *get(const char *path)
{
    struct hf_op op = world_as(EVE);
    struct hf_http_limits limits;
    HF_AUTO(http) http = NULL;
    HF_AUTO_STRING text = hf_format("GET %s HTTP/1.1\r\nHost: kms\r\n\r\n", path);
    struct hf_request *request = NULL;
    const struct hf_route *route = NULL;
    struct hf_buf *body = hf_buf_new();
    struct hf_reply reply;
    bool other_method = false;

    hf_http_limits_default(&limits);
    http = hf_http_new(&limits);
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of_text(text)));
    request = hf_http_next(http);
    assert_non_null(request);
    route = hf_route_find(hf_hadoop_door(hadoop)->routes, request, &other_method);
    assert_non_null(route);
    hf_reply_init(&reply);
    assert_ok(&op, route->handle(&op, (struct hf_exchange *)hadoop, request, &reply));
    assert_int_equal(reply.status, 200);
    hf_buf_add_bytes(body, hf_buf_bytes(&reply.body));
    hf_reply_done(&reply);
    return body;
}

static void expect_body(const char *path, const char *wanted)
{
    HF_AUTO(buf) body = get(path);

    if (strcmp(hf_buf_text(body), wanted) != 0) {
        fail_msg("%s: got %s", path, hf_buf_text(body));
    }
}

static void expect_in_body(const char *path, const char *part, bool is_there)
{
    HF_AUTO(buf) body = get(path);

    if ((strstr(hf_buf_text(body), part) != NULL) != is_there) {
        fail_msg("%s: got %s", path, hf_buf_text(body));
    }
}

static void commit(struct hf_status (*stage)(struct hf_op *op, struct hf_txn *txn))
{
    struct hf_op op = small_world_op(0);
    HF_AUTO(txn) txn = NULL;
    struct hf_txn_commit done = { 0 };

    assert_ok(&op, hf_txn_new(world.service->seal, &op, &txn));
    assert_ok(&op, stage(&op, txn));
    assert_ok(&op, hf_txn_commit(txn, &op, &done));
}

static struct hf_status promote_first(struct hf_op *op, struct hf_txn *txn)
{
    return hf_key_promote(world.keys, op, txn, RING, "orders", 0, "");
}

static struct hf_status rotate(struct hf_op *op, struct hf_txn *txn)
{
    uint32_t version = 0;

    return hf_key_rotate_candidate(world.keys, op, txn, RING, "orders", NULL, &version);
}

static struct hf_status promote_second(struct hf_op *op, struct hf_txn *txn)
{
    return hf_key_promote(world.keys, op, txn, RING, "orders", 1, "");
}

static void a_key_is_not_there_until_its_first_version_is_promoted(void **unused)
{
    static const struct {
        const char *path;
        const char *before;
    } cases[] = {
        { "/kms/v1/keys/names", "[]" },
        { "/kms/v1/keys/metadata?key=orders", "[{}]" },
        { "/kms/v1/key/orders/_metadata", "{}" },
        { "/kms/v1/key/orders", "{}" },
        { "/kms/v1/key/orders/_currentversion", "{}" },
        { "/kms/v1/key/orders/_versions", "[]" },
        { "/kms/v1/keyversion/orders%400", "{}" },
    };
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128,
                                .exportable = true,
                                .candidate = true };

    (void)unused;
    (void)world_key_planned("orders", &plan);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        expect_body(cases[i].path, cases[i].before);
    }
    commit(promote_first);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        expect_in_body(cases[i].path, "orders", true);
    }
}

static void a_candidate_is_no_version_of_its_key_yet(void **unused)
{
    struct hf_key_plan plan = { .algorithm = HF_ALG_AES_128, .exportable = true };

    (void)unused;
    (void)world_key_planned("orders", &plan);
    commit(rotate);
    expect_in_body("/kms/v1/key/orders/_currentversion", "orders@0", true);
    expect_in_body("/kms/v1/key/orders/_versions", "orders@0", true);
    expect_in_body("/kms/v1/key/orders/_versions", "orders@1", false);
    commit(promote_second);
    expect_in_body("/kms/v1/key/orders/_currentversion", "orders@1", true);
    expect_in_body("/kms/v1/key/orders/_versions", "orders@1", true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_not_there_until_its_first_version_is_promoted),
        TEST(a_candidate_is_no_version_of_its_key_yet),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
