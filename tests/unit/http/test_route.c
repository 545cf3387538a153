/* Routes: raw paths against patterns, and the segments that handlers get. */
#include "test.h"

#include "http/http.h"

static struct hf_env env;

static struct hf_status handle(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply)
{
    (void)exchange;
    (void)request;
    (void)reply;
    return hf_fail(op, HF_INTERNAL, "not called");
}

#define ROW(method, pattern)                                                                       \
    {                                                                                              \
        HF_##method, pattern, 0, HF_INLINE, handle                                                 \
    }

static const struct hf_route routes[] = {
    ROW(GET, "/"),
    ROW(GET, "/v1/keys/names"),
    ROW(GET, "/v1/keys/:name"),
    ROW(POST, "/v1/keys"),
    ROW(GET, "/v1/key/:name/_metadata"),
    ROW(GET, "/v1/key/*name"),
    ROW(DELETE, "/v1/key/:name"),
    ROW(LIST, "/v1/list/"),
    ROW(HEAD, "/v1/head"),
    ROW(GET, "/v1/head"),
    ROW(GET, "/v1/a/:one/b/:two"),
    ROW(GET, NULL),
};

static const struct {
    const char *says;
    const char *method;
    const char *path;
    const char *pattern; /* NULL: none */
    bool other_method;
    const char *name; /* the segment "name"; NULL: none */
    const char *raw;
} cases[] = {
    { "the root", "GET", "/", "/", false, NULL, NULL },
    { "a literal row before a row with a name", "GET", "/v1/keys/names", "/v1/keys/names", false,
      NULL, NULL },
    { "a name", "GET", "/v1/keys/k1", "/v1/keys/:name", false, "k1", "k1" },
    { "the query does not count", "GET", "/v1/keys/k1?a=/b", "/v1/keys/:name", false, "k1", "k1" },
    { "an escaped slash belongs to the name", "GET", "/v1/keys/a%2fb", "/v1/keys/:name", false,
      "a/b", "a%2fb" },
    { "escapes are decoded once", "GET", "/v1/keys/a%2541", "/v1/keys/:name", false, "a%41",
      "a%2541" },
    { "a plus stays a plus", "GET", "/v1/keys/a+b", "/v1/keys/:name", false, "a+b", "a+b" },
    { "bytes above 127", "GET", "/v1/keys/%C3%a4", "/v1/keys/:name", false, "\xc3\xa4", "%C3%a4" },
    { "an empty name matches no row", "GET", "/v1/keys/", NULL, false, NULL, NULL },
    { "an empty segment is not skipped", "GET", "/v1//keys/names", NULL, false, NULL, NULL },
    { "a slash too many", "GET", "/v1/keys/names/", NULL, false, NULL, NULL },
    { "a literal does not match its escaped form", "GET", "/v1/key%73/names", NULL, false, NULL,
      NULL },
    { "a literal matches whole segments", "GET", "/v1/keysx/names", NULL, false, NULL, NULL },
    { "dots are names like others", "GET", "/v1/keys/..", "/v1/keys/:name", false, "..", ".." },
    { "a method the path does not have", "PUT", "/v1/keys/k1", NULL, true, NULL, NULL },
    { "a method of another row of the same path", "DELETE", "/v1/key/a", "/v1/key/:name", false,
      "a", "a" },
    { "the rest of a path", "GET", "/v1/key/a/_nosuch/b", "/v1/key/*name", false, "a/_nosuch/b",
      "a/_nosuch/b" },
    { "the rest of a path, decoded", "GET", "/v1/key/a%2Fb/c", "/v1/key/*name", false, "a/b/c",
      "a%2Fb/c" },
    { "an empty rest", "GET", "/v1/key/", "/v1/key/*name", false, "", "" },
    { "no rest at all", "GET", "/v1/key", NULL, false, NULL, NULL },
    { "an earlier row before the rest", "GET", "/v1/key/a/_metadata", "/v1/key/:name/_metadata",
      false, "a", "a" },
    { "a pattern that ends with a slash", "LIST", "/v1/list/", "/v1/list/", false, NULL, NULL },
    { "a path without that slash", "LIST", "/v1/list", NULL, false, NULL, NULL },
    { "HEAD is served by GET", "HEAD", "/v1/keys/k1", "/v1/keys/:name", false, "k1", "k1" },
    { "HEAD is not served by POST", "HEAD", "/v1/keys", NULL, true, NULL, NULL },
    { "a path of nothing known", "GET", "/v2", NULL, false, NULL, NULL },
    { "the asterisk", "OPTIONS", "*", NULL, false, NULL, NULL },
};

/* The parser owns the request; it is freed by the caller. */
static struct hf_http *parse(const char *method, const char *path, struct hf_request **out)
{
    HF_AUTO(buf) text = hf_buf_new();
    struct hf_http_limits limits;
    struct hf_http *http = NULL;
    struct hf_op op;

    hf_op_init(&op, &env);
    hf_http_limits_default(&limits);
    http = hf_http_new(&limits);
    hf_buf_add_format(text, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, path);
    assert_ok(&op, hf_http_feed(http, &op, hf_buf_bytes(text)));
    *out = hf_http_next(http);
    assert_non_null(*out);
    return http;
}

static bool is_text(const char *found, const char *wanted)
{
    return wanted == NULL ? found == NULL : found != NULL && strcmp(found, wanted) == 0;
}

static void each_path_finds_the_row_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct hf_request *request = NULL;
        HF_AUTO(http) http = parse(cases[i].method, cases[i].path, &request);
        bool other_method = false;
        const struct hf_route *route = hf_route_find(routes, request, &other_method);
        struct hf_bytes raw = hf_request_raw_segment(request, "name");

        if (!is_text(route != NULL ? route->pattern : NULL, cases[i].pattern) ||
            other_method != cases[i].other_method) {
            fail_msg("%s: found %s", cases[i].says, route != NULL ? route->pattern : "nothing");
        }
        if (!is_text(hf_request_segment(request, "name"), cases[i].name) ||
            (cases[i].raw == NULL ? raw.data != NULL : !hf_bytes_equal_text(raw, cases[i].raw))) {
            fail_msg("%s: the name is '%s'", cases[i].says, hf_request_segment(request, "name"));
        }
        (void)http;
    }
}

static void a_request_remembers_several_segments(void **unused)
{
    struct hf_request *request = NULL;
    HF_AUTO(http) http = parse("GET", "/v1/a/%31/b/2%20", &request);
    bool other_method = false;

    (void)unused;
    assert_non_null(hf_route_find(routes, request, &other_method));
    assert_string_equal(hf_request_segment(request, "one"), "1");
    assert_string_equal(hf_request_segment(request, "two"), "2 ");
    assert_null(hf_request_segment(request, "three"));
    /* Asked again, the same. */
    assert_non_null(hf_route_find(routes, request, &other_method));
    assert_string_equal(hf_request_segment(request, "two"), "2 ");
    (void)http;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_finds_the_row_the_table_says),
        cmocka_unit_test(a_request_remembers_several_segments),
    };

    hf_env_system(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
