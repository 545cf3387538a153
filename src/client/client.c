/* The client of the admin door. */
#include "client/client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

struct hf_client {
    CURL *curl;
    char *base; /* "https://host:port", or a name that stands for the socket */
    char *socket;
    char error[CURL_ERROR_SIZE];
    bool in_doubt;
};

#define MAX_ANSWER ((size_t)64 << 20)

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    struct hf_buf *out = context;

    if (out->len + size * count > MAX_ANSWER) {
        return 0;
    }
    hf_buf_add(out, data, size * count);
    return size * count;
}

struct hf_status hf_client_new(struct hf_op *op, const struct hf_client_settings *settings,
                               struct hf_client **out)
{
    HF_AUTO(client) client = hf_alloc(sizeof *client);
    long timeout_ms = settings->timeout_ms != 0 ? (long)settings->timeout_ms : 60000;

    client->curl = curl_easy_init();
    if (client->curl == NULL) {
        return hf_fail(op, HF_UNAVAILABLE, "libcurl does not start");
    }
    client->base = hf_strdup(settings->url != NULL ? settings->url : "http://holdfast");
    (void)curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, client->error);
    (void)curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    (void)curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, take_answer);
    if (settings->url == NULL) {
        client->socket = hf_strdup(settings->socket);
        (void)curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    } else {
        (void)curl_easy_setopt(client->curl, CURLOPT_CAINFO, settings->ca_file);
        (void)curl_easy_setopt(client->curl, CURLOPT_SSLCERT, settings->certificate_file);
        (void)curl_easy_setopt(client->curl, CURLOPT_SSLKEY, settings->key_file);
    }
    *out = HF_TAKE(client);
    return HF_SUCCESS;
}

void hf_client_free(struct hf_client *client)
{
    if (client != NULL) {
        curl_easy_cleanup(client->curl);
        free(client->base);
        free(client->socket);
        free(client);
    }
}

static enum hf_code code_named(const char *name)
{
    for (int code = HF_OK + 1; code <= HF_INTERNAL; code++) {
        if (strcmp(hf_code_name((enum hf_code)code), name) == 0) {
            return (enum hf_code)code;
        }
    }
    return HF_INTERNAL;
}

/* {"error":{"code","message"}} back into a status and its text. */
static struct hf_status fail_as_told(struct hf_op *op, long http_status, struct hf_bytes body)
{
    HF_AUTO(json) json = NULL;
    const struct hf_json *error = NULL;
    const char *code = NULL;
    const char *message = NULL;

    if (hf_json_parse(op, body, &json).code != HF_OK ||
        hf_json_object_or(op, json, "error", &error).code != HF_OK || error == NULL ||
        hf_json_text(op, error, "code", &code).code != HF_OK ||
        hf_json_text(op, error, "message", &message).code != HF_OK) {
        return hf_fail(op, HF_UNAVAILABLE, "the server answered %ld without saying why",
                       http_status);
    }
    return hf_fail(op, code_named(code), "%s", message);
}

static struct hf_status no_answer(struct hf_client *client, struct hf_op *op, CURLcode code)
{
    const char *why = client->error[0] != '\0' ? client->error : curl_easy_strerror(code);

    if (client->socket != NULL && (code == CURLE_COULDNT_CONNECT)) {
        return hf_fail(op, HF_UNAVAILABLE,
                       "nobody serves %s: is holdfastd running for this directory? (%s)",
                       client->socket, why);
    }
    return hf_fail(op, HF_UNAVAILABLE, "%s: %s", client->base, why);
}

struct hf_status hf_client_call(struct hf_client *client, struct hf_op *op, const char *method,
                                const char *path, struct hf_bytes body, struct hf_buf *out)
{
    HF_AUTO_STRING url = hf_format("%s%s", client->base, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    HF_AUTO(buf) answer = hf_buf_new();
    CURLcode code;
    long status = 0;
    long sent = 0;

    client->error[0] = '\0';
    (void)curl_easy_setopt(client->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body.len > 0 ? body.data : NULL);
    (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
    (void)curl_easy_setopt(client->curl, CURLOPT_HTTPGET, body.len > 0 ? 0L : 1L);
    if (body.len > 0) {
        (void)curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
    }
    (void)curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, answer);
    code = curl_easy_perform(client->curl);
    curl_slist_free_all(headers);
    (void)curl_easy_getinfo(client->curl, CURLINFO_REQUEST_SIZE, &sent);
    client->in_doubt = code != CURLE_OK && sent > 0;
    if (code != CURLE_OK) {
        return no_answer(client, op, code);
    }
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        return fail_as_told(op, status, hf_buf_bytes(answer));
    }
    hf_buf_add_bytes(out, hf_buf_bytes(answer));
    return HF_SUCCESS;
}

bool hf_client_is_in_doubt(const struct hf_client *client)
{
    return client->in_doubt;
}
