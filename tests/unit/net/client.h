/*
 * A blocking client for tests: plain, TLS or a unix socket. It waits at most 20 seconds for
 * anything; a failure it was not told to expect ends the running test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct test_client;

/* What a client offers; zeroes mean plain TCP. */
struct test_offer {
    bool is_tls;
    int version;             /* TLS1_2_VERSION or TLS1_3_VERSION; 0: any */
    const char *certificate; /* files of the client's certificate; NULL: none */
    const char *key;
    const char *unix_path; /* instead of a port */
    int receive_bytes;     /* the socket's buffer; 0: as the kernel likes */
};

/* Connects, and shakes hands where TLS is offered. */
struct test_client *test_client_open(uint16_t port, const struct test_offer *offer);
/*
 * Shakes hands and says the text in the same packet as the last of the handshake, so that the
 * server finds both at once.
 */
struct test_client *test_client_open_saying(uint16_t port, const struct test_offer *offer,
                                            const char *text);
/* The same, but after each answer of the server it rests until rested() returns. */
struct test_client *test_client_open_resting(uint16_t port, const struct test_offer *offer,
                                             const char *text, void (*rested)(void *context),
                                             void *context);
/* The same as test_client_open(); NULL when the server does not want it. */
struct test_client *test_client_try(uint16_t port, const struct test_offer *offer);
/* Closes as a client does that goes away: TLS says nothing, TCP sends FIN. */
void test_client_close(struct test_client *client);
/* Closes with a reset. */
void test_client_reset(struct test_client *client);

void test_client_send(struct test_client *client, struct hf_bytes bytes);
void test_client_say(struct test_client *client, const char *text);
/* False when the connection breaks. */
bool test_client_try_say(struct test_client *client, const char *text);
/* Adds what comes next to out; false at the end of the connection, however it came. */
bool test_client_read(struct test_client *client, struct hf_buf *out);
/* Reads exactly this text, or the test fails. */
void test_client_expect(struct test_client *client, const char *text);
/* Reads until the connection ends; what came is in out. */
void test_client_read_all(struct test_client *client, struct hf_buf *out);
/* Whether the connection has ended as it should: by FIN, and by close_notify where there is TLS. */
bool test_client_ended_well(const struct test_client *client);
/* The connection must end now, without another byte. */
void test_client_expect_end(struct test_client *client);
/* Whether bytes or the end are there to read now, without waiting. */
bool test_client_is_readable(const struct test_client *client);
/* Half of a conversation: sends FIN, still reads. */
void test_client_finish_sending(struct test_client *client);
