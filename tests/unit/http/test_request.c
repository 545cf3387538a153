/* What doors ask about a request: headers, cookies and query parameters. */
#include "test.h"

#include "http/http.h"

static struct hf_env env;

/* The parser owns the request; it is freed by the caller. */
static struct hf_http *parse(const char *text, struct hf_request **out)
{
    struct hf_http_limits limits;
    struct hf_http *http = NULL;
    struct hf_op op;

    hf_op_init(&op, &env);
    hf_http_limits_default(&limits);
    http = hf_http_new(&limits);
    assert_ok(&op, hf_http_feed(http, &op, hf_bytes_of_text(text)));
    *out = hf_http_next(http);
    assert_non_null(*out);
    return http;
}

static void headers_are_found_without_regard_to_case(void **unused)
{
    struct hf_request *request = NULL;
    HF_AUTO(http) http = parse("GET / HTTP/1.1\r\nHost: a\r\nX-One:  1 2 \r\nx-one: 3\r\n"
                               "Empty:\r\n\r\n",
                               &request);

    (void)unused;
    assert_true(hf_bytes_equal_text(hf_request_header(request, "x-ONE"), "1 2"));
    assert_true(hf_bytes_equal_text(hf_request_header(request, "host"), "a"));
    assert_int_equal(hf_request_header(request, "empty").len, 0);
    assert_non_null(hf_request_header(request, "empty").data);
    assert_null(hf_request_header(request, "x-on").data);
    assert_null(hf_request_header(request, "x-one1").data);
    (void)http;
}

static const struct {
    const char *says;
    const char *headers;
    const char *value; /* of the cookie hadoop.auth; NULL: there is none */
} cookies[] = {
    { "alone", "Cookie: hadoop.auth=u&p=1\r\n", "u&p=1" },
    { "quoted, with '=' inside", "Cookie: hadoop.auth=\"u=a&s=b==\"\r\n", "u=a&s=b==" },
    { "among others", "cookie: a=b; hadoop.auth=x ;c=d\r\n", "x" },
    { "without spaces", "Cookie: a=b;hadoop.auth=x;c=d\r\n", "x" },
    { "on a second line", "Cookie: a=b\r\nCookie: hadoop.auth=x\r\n", "x" },
    { "the first of two", "Cookie: hadoop.auth=1; hadoop.auth=2\r\n", "1" },
    { "empty", "Cookie: hadoop.auth=\r\n", "" },
    { "empty and quoted", "Cookie: hadoop.auth=\"\"\r\n", "" },
    { "one quote only", "Cookie: hadoop.auth=\"\r\n", "\"" },
    { "a longer name", "Cookie: hadoop.authx=1; xhadoop.auth=1\r\n", NULL },
    { "a name without a value", "Cookie: hadoop.auth\r\n", NULL },
    { "another case", "Cookie: Hadoop.Auth=1\r\n", NULL },
    { "only separators", "Cookie: ;;; ;\r\n", NULL },
    { "no cookie", "", NULL },
};

static void cookies_are_found_and_unquoted(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(cookies); i++) {
        HF_AUTO(buf) text = hf_buf_new();
        struct hf_request *request = NULL;
        struct hf_bytes value;

        hf_buf_add_format(text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cookies[i].headers);
        {
            HF_AUTO(http) http = parse(hf_buf_text(text), &request);

            value = hf_request_cookie(request, "hadoop.auth");
            if (cookies[i].value == NULL
                    ? value.data != NULL
                    : value.data == NULL || !hf_bytes_equal_text(value, cookies[i].value)) {
                fail_msg("%s: got '%.*s'", cookies[i].says, (int)value.len,
                         (const char *)value.data);
            }
            (void)http;
        }
    }
}

static const struct {
    const char *says;
    const char *query;
    const char *name;
    bool ignore_case;
    size_t nth;
    enum hf_code code;
    const char *value;
} parameters[] = {
    { "alone", "a=b", "a", false, 0, HF_OK, "b" },
    { "the last", "x=1&a=b", "a", false, 0, HF_OK, "b" },
    { "the second of that name", "a=1&b=2&a=3", "a", false, 1, HF_OK, "3" },
    { "one more than there are", "a=1&b=2&a=3", "a", false, 2, HF_NOT_FOUND, "" },
    { "an escaped value", "a=%2F+%2b", "a", false, 0, HF_OK, "/ +" },
    { "an escaped name", "user%2Ename=b", "user.name", false, 0, HF_OK, "b" },
    { "without '='", "a&b", "a", false, 0, HF_OK, "" },
    { "an '=' in the value", "a=b=c", "a", false, 0, HF_OK, "b=c" },
    { "another case", "doas=b", "doAs", false, 0, HF_NOT_FOUND, "" },
    { "another case that may be", "doas=b", "doAs", true, 0, HF_OK, "b" },
    { "a broken escape in the value", "a=%4", "a", false, 0, HF_INVALID, "" },
    { "a broken escape in a name before it", "%4=1&a=b", "a", false, 0, HF_INVALID, "" },
    { "empty pairs", "&&a=b&", "a", false, 0, HF_OK, "b" },
    { "no query", "", "a", false, 0, HF_NOT_FOUND, "" },
};

static void parameters_are_found_and_decoded(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(parameters); i++) {
        HF_AUTO(buf) text = hf_buf_new();
        HF_AUTO(buf) value = hf_buf_new();
        HF_AUTO(http) http = NULL;
        struct hf_request *request = NULL;
        struct hf_status status;
        struct hf_op op;

        hf_op_init(&op, &env);
        hf_buf_add_format(text, "GET /?%s HTTP/1.1\r\nHost: a\r\n\r\n", parameters[i].query);
        http = parse(hf_buf_text(text), &request);
        status = hf_request_parameter(&op, request, parameters[i].name, parameters[i].ignore_case,
                                      parameters[i].nth, value);
        if (status.code != parameters[i].code) {
            fail_msg("%s: got %s", parameters[i].says, hf_code_name(status.code));
        }
        if (status.code == HF_OK && strcmp(hf_buf_text(value), parameters[i].value) != 0) {
            fail_msg("%s: got '%s'", parameters[i].says, hf_buf_text(value));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_found_without_regard_to_case),
        cmocka_unit_test(cookies_are_found_and_unquoted),
        cmocka_unit_test(parameters_are_found_and_decoded),
    };

    hf_env_system(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
