/* Where a listener listens: addresses, ports, socket files and who is in the way. */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "line_server.h"
#include "net/internal.h"

static struct hf_env env;
static char dir[] = "/tmp/holdfast-net-XXXXXX";

static int set_up(void **unused)
{
    (void)unused;
    hf_env_system(&env);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    return rmdir(dir);
}

static void *open_nothing(void *context, struct hf_conn *conn)
{
    (void)context;
    (void)conn;
    return NULL;
}

static struct hf_status listen_on(struct hf_op *op, const char *address, struct hf_net **out)
{
    const struct hf_net_settings net_settings = { .loops = 2, .workers = 1 };
    const struct hf_listener_settings settings = {
        .name = "one",
        .address = address,
        .unix_mode = 0660,
    };
    const struct hf_protocol protocol = { .open = open_nothing };
    HF_AUTO(net) net = NULL;

    HF_TRY(hf_net_new(op, &env, &net_settings, &net));
    HF_TRY(hf_net_listen(net, op, &settings, &protocol));
    *out = HF_TAKE(net);
    return HF_SUCCESS;
}

static const struct {
    const char *says;
    const char *address;
    enum hf_code code;
    bool has_port;
} addresses[] = {
    { "IPv4", "127.0.0.1:0", HF_OK, true },
    { "IPv6", "[::1]:0", HF_OK, true },
    { "all of IPv4", "0.0.0.0:0", HF_OK, true },
    { "no port", "127.0.0.1", HF_INVALID, false },
    { "an empty port", "127.0.0.1:", HF_INVALID, false },
    { "a port that is no number", "127.0.0.1:http", HF_INVALID, false },
    { "IPv6 without brackets", "::1:9600", HF_INVALID, false },
    { "an open bracket", "[::1:9600", HF_INVALID, false },
    { "a name, which would need DNS", "localhost:0", HF_INVALID, false },
    { "an address of another machine", "192.0.2.1:9600", HF_UNAVAILABLE, false },
    { "nothing", "", HF_INVALID, false },
    { "a socket file nowhere", "unix:/nonexistent/socket", HF_UNAVAILABLE, false },
    { "a socket file with too long a name",
      "unix:/tmp/0123456789012345678901234567890123456789012345678901234567890123456789"
      "012345678901234567890123456789012345678901234567890",
      HF_INVALID, false },
};

static void each_address_is_taken_or_refused_as_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(addresses); i++) {
        HF_AUTO(net) net = NULL;
        struct hf_status status;
        struct hf_op op;

        hf_op_init(&op, &env);
        status = listen_on(&op, addresses[i].address, &net);
        if (status.code != addresses[i].code) {
            fail_msg("%s: got %s: %s", addresses[i].says, hf_code_name(status.code), op.text);
        }
        if (status.code != HF_OK && strstr(op.text, addresses[i].address) == NULL) {
            fail_msg("%s: '%s' does not name the address", addresses[i].says, op.text);
        }
        if (net != NULL && (hf_net_port(net, "one") != 0) != addresses[i].has_port) {
            fail_msg("%s: the port is %u", addresses[i].says, hf_net_port(net, "one"));
        }
    }
}

static void a_port_that_is_in_use_is_not_shared(void **unused)
{
    HF_AUTO(net) first = NULL;
    HF_AUTO(net) second = NULL;
    HF_AUTO_STRING address = NULL;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, listen_on(&op, "127.0.0.1:0", &first));
    address = hf_format("127.0.0.1:%u", hf_net_port(first, "one"));
    assert_fails(&op, listen_on(&op, address, &second), HF_UNAVAILABLE);
    hf_net_free(HF_TAKE(first));
    assert_ok(&op, listen_on(&op, address, &second));
    assert_int_equal(hf_net_port(second, "other"), 0);
}

static const struct {
    int family;
    const char *address;
    const char *text;
    bool is_loopback;
} peers[] = {
    { AF_INET, "127.0.0.1", "127.0.0.1:40000", true },
    { AF_INET, "127.200.0.1", "127.200.0.1:40000", true },
    { AF_INET, "192.0.2.1", "192.0.2.1:40000", false },
    { AF_INET6, "::1", "[::1]:40000", true },
    { AF_INET6, "2001:db8::1", "[2001:db8::1]:40000", false },
    { AF_INET6, "::ffff:127.0.0.1", "127.0.0.1:40000", true },
    { AF_INET6, "::ffff:192.0.2.1", "192.0.2.1:40000", false },
    { AF_UNIX, "", "unix", true },
};

static void peers_are_written_as_the_table_says(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < HF_COUNT(peers); i++) {
        struct sockaddr_storage address = { .ss_family = (sa_family_t)peers[i].family };
        struct sockaddr_in *in = (struct sockaddr_in *)&address;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
        char text[HF_PEER_ADDRESS_MAX] = "";
        bool is_loopback = false;

        if (peers[i].family == AF_INET) {
            in->sin_port = htons(40000);
            assert_int_equal(inet_pton(AF_INET, peers[i].address, &in->sin_addr), 1);
        } else if (peers[i].family == AF_INET6) {
            in6->sin6_port = htons(40000);
            assert_int_equal(inet_pton(AF_INET6, peers[i].address, &in6->sin6_addr), 1);
        }
        hf_address_write(&address, text, &is_loopback);
        if (strcmp(text, peers[i].text) != 0 || is_loopback != peers[i].is_loopback) {
            fail_msg("%s is written as %s", peers[i].address, text);
        }
    }
}

static mode_t mode_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void a_socket_file_has_its_mode_and_goes_at_the_end(void **unused)
{
    HF_AUTO_STRING path = hf_format("%s/a.sock", dir);
    HF_AUTO_STRING address = hf_format("unix:%s", path);
    HF_AUTO_STRING who = hf_format("lines plain nobody 0 %u:%u near\n", getuid(), getgid());
    const struct line_settings settings = {
        .net = { .loops = 2, .workers = 1 },
        .listener = { .address = address, .unix_mode = 0660 },
    };
    const struct test_offer offer = { .unix_path = path };
    struct line_server server = { 0 };
    struct test_client *client = NULL;
    mode_t before = umask(0077);

    (void)unused;
    line_server_start(&server, &settings);
    (void)umask(before);
    assert_int_equal(mode_of(path), 0660);
    assert_int_equal(server.port, 0);
    client = test_client_open(0, &offer);
    test_client_say(client, "who\nwork a\n");
    test_client_expect(client, who);
    test_client_expect(client, "a\n");
    test_client_close(client);
    line_server_stop(&server, 10000);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void beyond_the_limit_a_socket_file_still_takes_an_administrator(void **unused)
{
    enum { LIMIT = 2, ALL = 10 };
    HF_AUTO_STRING path = hf_format("%s/more.sock", dir);
    HF_AUTO_STRING address = hf_format("unix:%s", path);
    const struct line_settings settings = {
        .net = { .loops = 2, .workers = 1, .max_connections = LIMIT },
        .listener = { .address = address, .unix_mode = 0600 },
    };
    const struct test_offer offer = { .unix_path = path };
    struct line_server server = { 0 };
    struct test_client *clients[ALL];

    (void)unused;
    line_server_start(&server, &settings);
    for (size_t i = 0; i < ALL; i++) {
        clients[i] = test_client_open(0, &offer);
        test_client_say(clients[i], "echo a\n");
        test_client_expect(clients[i], "a\n");
    }
    assert_int_equal(hf_net_connections(server.net), ALL);
    for (size_t i = 0; i < ALL; i++) {
        test_client_close(clients[i]);
    }
    line_server_stop(&server, 10000);
}

static void leave_stale_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(close(fd), 0);
}

static void a_socket_file_that_a_dead_process_left_is_replaced(void **unused)
{
    HF_AUTO_STRING path = hf_format("%s/stale.sock", dir);
    HF_AUTO_STRING address = hf_format("unix:%s", path);
    HF_AUTO(net) net = NULL;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    leave_stale_socket(path);
    assert_ok(&op, listen_on(&op, address, &net));
    assert_int_equal(mode_of(path), 0660);
}

static void a_socket_file_in_use_or_a_file_of_another_kind_stays(void **unused)
{
    HF_AUTO_STRING path = hf_format("%s/used.sock", dir);
    HF_AUTO_STRING address = hf_format("unix:%s", path);
    HF_AUTO(net) first = NULL;
    HF_AUTO(net) second = NULL;
    FILE *file = NULL;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, listen_on(&op, address, &first));
    assert_fails(&op, listen_on(&op, address, &second), HF_UNAVAILABLE);
    assert_int_equal(access(path, F_OK), 0);
    hf_net_free(HF_TAKE(first));

    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_fails(&op, listen_on(&op, address, &second), HF_UNAVAILABLE);
    assert_int_equal(unlink(path), 0);
}

static void a_socket_file_that_another_process_made_since_is_not_removed(void **unused)
{
    HF_AUTO_STRING path = hf_format("%s/taken.sock", dir);
    HF_AUTO_STRING address = hf_format("unix:%s", path);
    HF_AUTO(net) net = NULL;
    struct hf_op op;

    (void)unused;
    hf_op_init(&op, &env);
    assert_ok(&op, listen_on(&op, address, &net));
    assert_int_equal(unlink(path), 0);
    leave_stale_socket(path);
    hf_net_free(HF_TAKE(net));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_taken_or_refused_as_the_table_says),
        cmocka_unit_test(peers_are_written_as_the_table_says),
        cmocka_unit_test(a_port_that_is_in_use_is_not_shared),
        cmocka_unit_test(a_socket_file_has_its_mode_and_goes_at_the_end),
        cmocka_unit_test(beyond_the_limit_a_socket_file_still_takes_an_administrator),
        cmocka_unit_test(a_socket_file_that_a_dead_process_left_is_replaced),
        cmocka_unit_test(a_socket_file_in_use_or_a_file_of_another_kind_stays),
        cmocka_unit_test(a_socket_file_that_another_process_made_since_is_not_removed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
