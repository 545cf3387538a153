/* Addresses as operators write them, and the sockets bound to them. */
#include "net/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"

#define BACKLOG 4096

/* Of IPv4 or IPv6, whichever the family says. */
union inet_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static struct hf_status refuse(struct hf_op *op, const struct hf_listener *listener,
                               const char *what)
{
    return hf_fail(op, HF_UNAVAILABLE, "cannot listen on %s: %s: %s", listener->address, what,
                   strerror(errno));
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Splits "1.2.3.4:80" or "[::1]:80" in place. */
static bool split(char *text, char **out_host, char **out_port)
{
    char *colon = strrchr(text, ':');

    if (colon == NULL || colon[1] == '\0') {
        return false;
    }
    *colon = '\0';
    *out_port = colon + 1;
    *out_host = text;
    if (text[0] == '[') {
        size_t len = strlen(text);

        *out_host = text + 1;
        if (text[len - 1] != ']') {
            return false;
        }
        text[len - 1] = '\0';
        return true;
    }
    /* An IPv6 address without brackets could hide its last group in the port. */
    return strchr(text, ':') == NULL;
}

static struct hf_status parse(struct hf_op *op, const struct hf_listener *listener,
                              union inet_address *out, socklen_t *out_len)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };
    HF_AUTO_STRING text = hf_strdup(listener->address);
    struct addrinfo *found = NULL;
    char *host = NULL;
    char *port = NULL;

    if (!split(text, &host, &port) || getaddrinfo(host, port, &hints, &found) != 0) {
        return hf_fail(op, HF_INVALID,
                       "%s is no address to listen on: write 127.0.0.1:9600, [::1]:9600 or "
                       "unix:/path",
                       listener->address);
    }
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *out_len = found->ai_addrlen;
    freeaddrinfo(found);
    return HF_SUCCESS;
}

static void set_port(union inet_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET) {
        address->v4.sin_port = htons(port);
    } else {
        address->v6.sin6_port = htons(port);
    }
}

static uint16_t get_port(const union inet_address *address)
{
    return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

/* Accepted sockets inherit TCP_NODELAY. */
static bool set_options(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

static bool share_port(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

/*
 * The first socket is bound alone, so that another process on this port is an error and not a
 * silent sharing of its clients; only then may the sockets of our other loops join.
 */
static struct hf_status bind_tcp(struct hf_op *op, struct hf_listener *listener, unsigned loops)
{
    union inet_address address = { 0 };
    socklen_t len = 0;

    HF_TRY(parse(op, listener, &address, &len));
    for (unsigned i = 0; i < loops; i++) {
        int fd = new_socket(address.any.sa_family);

        listener->fds[i] = fd;
        if (fd < 0 || !set_options(fd) || (i > 0 && !share_port(fd))) {
            return refuse(op, listener, "socket");
        }
        if (bind(fd, &address.any, len) != 0) {
            return refuse(op, listener, "bind");
        }
        if (!share_port(fd) || listen(fd, BACKLOG) != 0) {
            return refuse(op, listener, "listen");
        }
        if (i == 0) {
            socklen_t room = sizeof address;

            if (getsockname(fd, &address.any, &room) != 0) {
                return refuse(op, listener, "getsockname");
            }
            listener->port = get_port(&address);
            set_port(&address, listener->port);
        }
    }
    return HF_SUCCESS;
}

/* A socket file that nobody listens on is a leftover of a process that was killed. */
static struct hf_status remove_stale(struct hf_op *op, const struct hf_listener *listener,
                                     const struct sockaddr_un *address)
{
    struct stat info;
    int fd;
    int error;

    if (lstat(address->sun_path, &info) != 0) {
        return errno == ENOENT ? HF_SUCCESS : refuse(op, listener, "stat");
    }
    if (!S_ISSOCK(info.st_mode)) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot listen on %s: there is a file of another kind",
                       listener->address);
    }
    fd = new_socket(AF_UNIX);
    if (fd < 0) {
        return refuse(op, listener, "socket");
    }
    error = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    (void)close(fd);
    if (error != ECONNREFUSED) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot listen on %s: another process does",
                       listener->address);
    }
    return unlink(address->sun_path) == 0 ? HF_SUCCESS : refuse(op, listener, "unlink");
}

static struct hf_status bind_unix(struct hf_op *op, struct hf_listener *listener,
                                  unsigned unix_mode)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat info;
    int fd;

    if (strlen(listener->unix_path) >= sizeof address.sun_path) {
        return hf_fail(op, HF_INVALID, "cannot listen on %s: the path is longer than %zu bytes",
                       listener->address, sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, listener->unix_path, strlen(listener->unix_path));
    HF_TRY(remove_stale(op, listener, &address));
    fd = new_socket(AF_UNIX);
    listener->fds[0] = fd;
    /* Linux makes the file with the socket's mode less the umask, so it is never too open. */
    if (fd < 0 || fchmod(fd, unix_mode) != 0) {
        return refuse(op, listener, "socket");
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        return refuse(op, listener, "bind");
    }
    /* The umask may have taken the group's bits, which were asked for. */
    if (chmod(listener->unix_path, unix_mode) != 0 || stat(listener->unix_path, &info) != 0) {
        return refuse(op, listener, "chmod");
    }
    listener->unix_device = info.st_dev;
    listener->unix_inode = info.st_ino;
    return listen(fd, BACKLOG) == 0 ? HF_SUCCESS : refuse(op, listener, "listen");
}

struct hf_status hf_address_bind(struct hf_op *op, struct hf_listener *listener, unsigned unix_mode,
                                 unsigned loops)
{
    listener->fds = hf_alloc_array(loops, sizeof *listener->fds);
    for (unsigned i = 0; i < loops; i++) {
        listener->fds[i] = -1;
    }
    if (strncmp(listener->address, "unix:", 5) == 0) {
        listener->unix_path = hf_strdup(listener->address + 5);
        return bind_unix(op, listener, unix_mode);
    }
    return bind_tcp(op, listener, loops);
}

static void remove_socket_file(const struct hf_listener *listener)
{
    struct stat info;

    if (listener->unix_path != NULL && listener->unix_inode != 0 &&
        lstat(listener->unix_path, &info) == 0 && info.st_dev == listener->unix_device &&
        info.st_ino == listener->unix_inode) {
        (void)unlink(listener->unix_path);
    }
}

void hf_address_unbind(struct hf_listener *listener, unsigned loops)
{
    for (unsigned i = 0; listener->fds != NULL && i < loops; i++) {
        if (listener->fds[i] >= 0) {
            (void)close(listener->fds[i]);
            listener->fds[i] = -1;
        }
    }
    remove_socket_file(listener);
    listener->unix_inode = 0;
}

static void write_v4(const struct in_addr *ip, uint16_t port, char out[HF_PEER_ADDRESS_MAX],
                     bool *out_is_loopback)
{
    char text[INET_ADDRSTRLEN] = "";

    (void)inet_ntop(AF_INET, ip, text, sizeof text);
    (void)snprintf(out, HF_PEER_ADDRESS_MAX, "%s:%u", text, port);
    *out_is_loopback = (ntohl(ip->s_addr) >> 24) == 127;
}

void hf_address_write(const struct sockaddr_storage *address, char out[HF_PEER_ADDRESS_MAX],
                      bool *out_is_loopback)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;

        write_v4(&in->sin_addr, ntohs(in->sin_port), out, out_is_loopback);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        char text[INET6_ADDRSTRLEN] = "";

        /* A client of IPv4 on a socket of both kinds. */
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
            struct in_addr ip;

            memcpy(&ip, &in->sin6_addr.s6_addr[12], sizeof ip);
            write_v4(&ip, ntohs(in->sin6_port), out, out_is_loopback);
            return;
        }
        (void)inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
        (void)snprintf(out, HF_PEER_ADDRESS_MAX, "[%s]:%u", text, ntohs(in->sin6_port));
        *out_is_loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
    } else {
        (void)snprintf(out, HF_PEER_ADDRESS_MAX, "unix");
        *out_is_loopback = true;
    }
}
