/* What a protocol may ask about a connection and its peer. */
#include "net/internal.h"

#include <poll.h>

unsigned hf_conn_lane(const struct hf_conn *conn)
{
    return conn->loop->lane;
}

struct hf_env *hf_conn_env(const struct hf_conn *conn)
{
    return conn->loop->net->env;
}

const char *hf_conn_listener(const struct hf_conn *conn)
{
    return conn->listener->name;
}

const char *hf_conn_peer_address(const struct hf_conn *conn)
{
    return conn->peer;
}

bool hf_conn_is_loopback(const struct hf_conn *conn)
{
    return conn->is_loopback;
}

bool hf_conn_is_tls(const struct hf_conn *conn)
{
    return conn->listener->tls != NULL;
}

bool hf_conn_is_draining(const struct hf_conn *conn)
{
    return atomic_load(&conn->loop->net->is_draining);
}

bool hf_conn_is_alive(const struct hf_conn *conn)
{
    struct pollfd poll_fd = { .fd = conn->fd, .events = POLLRDHUP };

    return poll(&poll_fd, 1, 0) == 0;
}

struct hf_status hf_conn_peer_certificate(struct hf_conn *conn, struct hf_op *op,
                                          const char **out_name, const char **out_fingerprint)
{
    if (conn->ssl == NULL) {
        return hf_fail(op, HF_UNAUTHENTICATED, "the connection has no TLS");
    }
    if (!conn->has_certificate) {
        HF_TRY(hf_tls_peer(op, conn->ssl, &conn->peer_name, &conn->peer_fingerprint));
        conn->has_certificate = true;
    }
    *out_name = hf_buf_text(&conn->peer_name);
    *out_fingerprint = hf_buf_text(&conn->peer_fingerprint);
    return HF_SUCCESS;
}

struct hf_status hf_conn_peer_user(struct hf_conn *conn, struct hf_op *op, uint32_t *out_uid,
                                   uint32_t *out_gid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (conn->listener->unix_path == NULL) {
        return hf_fail(op, HF_UNAUTHENTICATED, "the connection is not on a unix socket");
    }
    if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return hf_fail(op, HF_UNAUTHENTICATED, "the kernel does not say who the peer is");
    }
    *out_uid = peer.uid;
    *out_gid = peer.gid;
    return HF_SUCCESS;
}
