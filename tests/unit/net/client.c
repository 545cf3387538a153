/* A blocking client for tests. */
#include "client.h"

#include "test.h"

#include <errno.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/alloc.h"

struct test_client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    bool ended_well;
};

static void set_patience(int fd)
{
    const struct timeval patience = { .tv_sec = 20 };

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
}

static int connect_tcp(uint16_t port, int receive_bytes)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) },
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    set_patience(fd);
    if (receive_bytes > 0) {
        assert_int_equal(
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    set_patience(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void offer_tls(struct test_client *client, const struct test_offer *offer)
{
    client->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(client->context);
    if (offer->version != 0) {
        assert_int_equal(SSL_CTX_set_min_proto_version(client->context, offer->version), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(client->context, offer->version), 1);
    }
    if (offer->certificate != NULL) {
        assert_int_equal(
            SSL_CTX_use_certificate_file(client->context, offer->certificate, SSL_FILETYPE_PEM), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(client->context, offer->key, SSL_FILETYPE_PEM),
                         1);
    }
    client->ssl = SSL_new(client->context);
}

static bool shake_hands(struct test_client *client, const struct test_offer *offer)
{
    offer_tls(client, offer);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    return SSL_connect(client->ssl) == 1;
}

/* What OpenSSL wants to send, in one piece. */
static void send_flight(struct test_client *client, BIO *out)
{
    char *data = NULL;
    long len = BIO_get_mem_data(out, &data);

    assert_int_equal(send(client->fd, data, (size_t)len, MSG_NOSIGNAL), len);
    assert_int_equal(BIO_reset(out), 1);
}

struct test_client *test_client_open_resting(uint16_t port, const struct test_offer *offer,
                                             const char *text, void (*rested)(void *context),
                                             void *context)
{
    struct test_client *client = hf_alloc(sizeof *client);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());

    client->fd = connect_tcp(port, 0);
    assert_true(client->fd >= 0);
    offer_tls(client, offer);
    SSL_set_bio(client->ssl, in, out);
    while (SSL_connect(client->ssl) != 1) {
        char bytes[4096];
        ssize_t got;

        send_flight(client, out);
        got = recv(client->fd, bytes, sizeof bytes, 0);
        assert_true(got > 0);
        assert_int_equal(BIO_write(in, bytes, (int)got), got);
        if (rested != NULL) {
            rested(context);
        }
    }
    assert_int_equal(SSL_write(client->ssl, text, (int)strlen(text)), strlen(text));
    send_flight(client, out);
    assert_int_equal(BIO_pending(in), 0);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    return client;
}

struct test_client *test_client_open_saying(uint16_t port, const struct test_offer *offer,
                                            const char *text)
{
    return test_client_open_resting(port, offer, text, NULL, NULL);
}

struct test_client *test_client_try(uint16_t port, const struct test_offer *offer)
{
    struct test_client *client = NULL;
    int fd = offer->unix_path != NULL ? connect_unix(offer->unix_path)
                                      : connect_tcp(port, offer->receive_bytes);

    if (fd < 0) {
        return NULL;
    }
    client = hf_alloc(sizeof *client);
    client->fd = fd;
    if (offer->is_tls && !shake_hands(client, offer)) {
        test_client_close(client);
        return NULL;
    }
    return client;
}

struct test_client *test_client_open(uint16_t port, const struct test_offer *offer)
{
    struct test_client *client = test_client_try(port, offer);

    assert_non_null(client);
    return client;
}

void test_client_close(struct test_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    (void)close(client->fd);
    free(client);
}

void test_client_reset(struct test_client *client)
{
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    test_client_close(client);
}

static bool send_all(struct test_client *client, struct hf_bytes bytes)
{
    size_t sent = 0;

    while (sent < bytes.len) {
        size_t taken = 0;

        if (client->ssl != NULL) {
            if (SSL_write_ex(client->ssl, bytes.data + sent, bytes.len - sent, &taken) != 1) {
                return false;
            }
        } else {
            ssize_t now = send(client->fd, bytes.data + sent, bytes.len - sent, MSG_NOSIGNAL);

            if (now < 0) {
                return false;
            }
            taken = (size_t)now;
        }
        sent += taken;
    }
    return true;
}

void test_client_send(struct test_client *client, struct hf_bytes bytes)
{
    assert_true(send_all(client, bytes));
}

void test_client_say(struct test_client *client, const char *text)
{
    assert_true(send_all(client, hf_bytes_of_text(text)));
}

bool test_client_try_say(struct test_client *client, const char *text)
{
    return send_all(client, hf_bytes_of_text(text));
}

/* At most max bytes. */
static bool read_some(struct test_client *client, struct hf_buf *out, size_t max)
{
    uint8_t *room = hf_buf_reserve(out, max);
    size_t got = 0;

    if (client->ssl != NULL) {
        if (SSL_read_ex(client->ssl, room, max, &got) != 1) {
            int error = SSL_get_error(client->ssl, 0);

            /* SO_RCVTIMEO shows as a wish to read again. */
            assert_int_not_equal(error, SSL_ERROR_WANT_READ);
            client->ended_well = error == SSL_ERROR_ZERO_RETURN;
            return false;
        }
    } else {
        ssize_t now = recv(client->fd, room, max, 0);

        assert_false(now < 0 && errno == EAGAIN);
        if (now <= 0) {
            client->ended_well = now == 0;
            return false;
        }
        got = (size_t)now;
    }
    hf_buf_grew(out, got);
    return true;
}

bool test_client_read(struct test_client *client, struct hf_buf *out)
{
    return read_some(client, out, 16384);
}

void test_client_expect(struct test_client *client, const char *text)
{
    HF_AUTO(buf) got = hf_buf_new();
    size_t len = strlen(text);

    while (got->len < len && read_some(client, got, len - got->len)) {
    }
    assert_string_equal(hf_buf_text(got), text);
}

void test_client_read_all(struct test_client *client, struct hf_buf *out)
{
    while (test_client_read(client, out)) {
    }
}

bool test_client_ended_well(const struct test_client *client)
{
    return client->ended_well;
}

void test_client_expect_end(struct test_client *client)
{
    HF_AUTO(buf) got = hf_buf_new();

    test_client_read_all(client, got);
    assert_string_equal(hf_buf_text(got), "");
}

bool test_client_is_readable(const struct test_client *client)
{
    struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };

    return poll(&poll_fd, 1, 0) == 1;
}

void test_client_finish_sending(struct test_client *client)
{
    assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
}
