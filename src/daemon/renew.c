/*
 * Server certificates that the store's own authority has signed go on by themselves: an unlocked
 * node signs them again for the same key and names, a month before they end.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/node_internal.h"
#include "protect/private_file.h"

#define CERTIFICATE_MAX 65536

static struct hf_status cannot_read(struct hf_op *op, const char *path)
{
    return hf_fail(op, HF_UNAVAILABLE, "cannot read %s: %s", path, strerror(errno));
}

/* Anybody may read a certificate. */
static struct hf_status read_certificate(struct hf_op *op, const char *path, struct hf_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0) {
        return cannot_read(op, path);
    }
    do {
        got = read(fd, hf_buf_reserve(out, CERTIFICATE_MAX), CERTIFICATE_MAX);
        hf_buf_grew(out, got > 0 ? (size_t)got : 0);
    } while (got > 0 && out->len <= CERTIFICATE_MAX);
    (void)close(fd);
    return got < 0 ? cannot_read(op, path) : HF_SUCCESS;
}

/* What a listener shows now, or will show; NULL without TLS. */
static const char *certificate_of(const struct hf_node *node, size_t index)
{
    const struct hf_config_listener *config = &node->config->listeners[index];
    const struct served *served =
        node->listeners != NULL ? atomic_load(&node->listeners[index].served) : NULL;

    config = served != NULL ? served->config : config;
    return config->tls ? config->certificate : NULL;
}

static bool shows(const struct hf_node *node, size_t index, const char *path)
{
    const char *certificate = certificate_of(node, index);

    return certificate != NULL && strcmp(certificate, path) == 0;
}

/* New connections get it; those that live go on. */
static struct hf_status take_over(struct listener *listener, struct hf_op *op)
{
    struct hf_tls *fresh = NULL;

    HF_TRY(hf_listener_open_tls(op, atomic_load(&listener->served)->config, &fresh));
    hf_tls_take(listener->tls, fresh);
    return HF_SUCCESS;
}

/*
 * Wherever one is shown that ends before the file's: what could not be loaded once is tried again
 * with the next look. Before the node listens there is nothing to do.
 */
static void take_over_all(struct hf_node *node, struct hf_op *op, const char *path,
                          uint64_t expires_ms)
{
    for (size_t i = 0; node->listeners != NULL && i < node->config->listener_count; i++) {
        struct listener *listener = &node->listeners[i];

        if (listener->tls != NULL && shows(node, i, path) &&
            hf_tls_expires_ms(listener->tls) < expires_ms) {
            hf_node_report(node, op, take_over(listener, op), "loading a server certificate");
        }
    }
}

/* The file, if it is to end soon. */
static struct hf_status renew_file(struct hf_node *node, struct hf_op *op, const char *path,
                                   struct hf_bytes pem, uint64_t *expires_ms)
{
    HF_AUTO(buf) renewed = hf_buf_new();
    struct hf_status status;

    if (*expires_ms >= hf_env_realtime_ms(node->env) + HF_RENEW_BEFORE_MS) {
        return HF_SUCCESS;
    }
    status = hf_service_node_certificate(node->service, op, pem, renewed);
    /* Whoever signed it renews it; until then status says how long it is good. */
    if (status.code == HF_DENIED || status.code == HF_NOT_FOUND) {
        hf_op_clear(op);
        return HF_SUCCESS;
    }
    HF_TRY(status);
    HF_TRY(hf_public_file_replace(op, path, hf_buf_bytes(renewed)));
    HF_INFO(node->env, "%s was to end within a month and is renewed", path);
    return hf_certificate_expires(op, hf_buf_bytes(renewed), expires_ms);
}

static struct hf_status renew(struct hf_node *node, struct hf_op *op, const char *path)
{
    HF_AUTO(buf) pem = hf_buf_new();
    uint64_t expires_ms = 0;
    struct hf_status status;

    HF_TRY(read_certificate(op, path, pem));
    HF_TRY(hf_certificate_expires(op, hf_buf_bytes(pem), &expires_ms));
    status = renew_file(node, op, path, hf_buf_bytes(pem), &expires_ms);
    if (status.code == HF_OK) {
        take_over_all(node, op, path, expires_ms);
    }
    return status;
}

/* Several listeners may show the same one. */
static bool is_first(const struct hf_node *node, size_t index, const char *path)
{
    for (size_t i = 0; i < index; i++) {
        if (shows(node, i, path)) {
            return false;
        }
    }
    return true;
}

void hf_node_renew_certificates(struct hf_node *node, struct hf_op *op)
{
    for (size_t i = 0; i < node->config->listener_count; i++) {
        const char *path = certificate_of(node, i);

        if (path != NULL && is_first(node, i, path)) {
            hf_node_report(node, op, renew(node, op, path), "renewal of a server certificate");
        }
    }
}
