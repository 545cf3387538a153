/*
 * The client of the admin door, over libcurl: a unix socket, or mutual TLS.
 *
 * Threads: one client is used by one thread at a time.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

struct hf_client;

struct hf_client_settings {
    const char *socket; /* path of the unix socket; or: */
    const char *url;    /* "https://host:port" with the three files below */
    const char *ca_file, *certificate_file, *key_file;
    uint64_t timeout_ms; /* of one call; 0: 60 s */
};

HF_STATUS hf_client_new(struct hf_op *op, const struct hf_client_settings *settings,
                        struct hf_client **out);
void hf_client_free(struct hf_client *client);
HF_DEFINE_CLEANUP(client)

/*
 * One call; path begins with "/api/v1/". body may be empty. On an answer of 2xx its body is in out.
 * Any other answer becomes the status and text that the server gave; HF_UNAVAILABLE when there is
 * no server, with words on how to start it.
 */
HF_STATUS hf_client_call(struct hf_client *client, struct hf_op *op, const char *method,
                         const char *path, struct hf_bytes body, struct hf_buf *out);
/* Whether the last call was sent, and no answer was seen: it may have been done all the same. */
bool hf_client_is_in_doubt(const struct hf_client *client);
