/* The machine that joins: its key pair, its request, and what it takes from a bundle. */
#include "cli/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/init_files.h"
#include "protect/private_file.h"
#include "protect/protector.h"

#define TLS_KEY_MAX 32768

static struct hf_status make_directory(struct hf_op *op, const char *directory, const char *name)
{
    HF_AUTO_STRING path = hf_format("%s/%s", directory, name);

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot make %s: %s", path, strerror(errno));
    }
    return HF_SUCCESS;
}

/* Whether there is nothing at the path, so that it can be made. */
static bool is_missing(const char *path)
{
    return access(path, F_OK) != 0 && errno == ENOENT;
}

static char *key_path(const char *directory)
{
    return hf_format("%s/" HF_NODE_KEY_FILE, directory);
}

static char *tls_path(const char *directory, const char *kind)
{
    return hf_format("%s/secrets/server.%s", directory, kind);
}

/* What the certificate is to be for; nothing where the machine has one. */
static struct hf_status take_hosts(struct hf_op *op, const char *directory,
                                   const char *const *hosts, size_t count,
                                   struct hf_join_wish *wish)
{
    HF_AUTO_STRING certificate = tls_path(directory, "crt");
    HF_AUTO(buf) text = hf_buf_new();

    if (count == 0 && !is_missing(certificate)) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_init_join_hosts(op, hosts, count, text));
    if (!hf_join_hosts_are_valid(hf_buf_text(text))) {
        return hf_fail(op, HF_INVALID,
                       "a certificate is for DNS names and IP addresses without ports, and fewer "
                       "than %d bytes of them",
                       HF_JOIN_HOSTS_MAX);
    }
    memcpy(wish->hosts, hf_buf_text(text), text->len + 1);
    return HF_SUCCESS;
}

/* The key pair of TLS, made where there is none. */
static struct hf_status open_tls_key(struct hf_crypto *crypto, struct hf_op *op,
                                     const char *directory, struct hf_pkey **out)
{
    HF_AUTO_STRING path = tls_path(directory, "key");
    HF_AUTO(secret) pem = NULL;

    if (is_missing(path)) {
        return hf_init_make_tls_key(crypto, op, path, out);
    }
    HF_TRY(hf_private_file_read(op, path, TLS_KEY_MAX, &pem));
    return hf_pkey_from_private_pem(op, hf_secret_bytes(pem), out);
}

static struct hf_status take_tls_key(struct hf_crypto *crypto, struct hf_op *op,
                                     const char *directory, struct hf_join_wish *wish)
{
    HF_AUTO(pkey) key = NULL;
    HF_AUTO(buf) public_key = hf_buf_new();

    HF_TRY(open_tls_key(crypto, op, directory, &key));
    HF_TRY(hf_pkey_public(key, op, public_key));
    if (public_key->len > HF_JOIN_KEY_MAX) {
        return hf_fail(op, HF_INVALID, "the key in %s/secrets/server.key is too long", directory);
    }
    memcpy(wish->key, public_key->data, public_key->len);
    wish->key_len = public_key->len;
    return HF_SUCCESS;
}

struct hf_status hf_join_prepare(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                                 const char *const *hosts, size_t host_count,
                                 struct hf_join_request *request)
{
    HF_AUTO_STRING path = key_path(directory);
    HF_AUTO(buf) trial = hf_buf_new();

    HF_TRY(hf_join_request_print(crypto, op, request, trial));
    HF_TRY(take_hosts(op, directory, hosts, host_count, &request->wish));
    HF_TRY(make_directory(op, directory, ""));
    HF_TRY(make_directory(op, directory, "secrets"));
    if (is_missing(path)) {
        HF_TRY(hf_node_key_create(crypto, op, path));
    }
    if (request->wish.hosts[0] != '\0') {
        HF_TRY(take_tls_key(crypto, op, directory, &request->wish));
    }
    return hf_node_key_public(crypto, op, path, request->public_key);
}

/* --- accepting --- */

static struct hf_status check_key(struct hf_crypto *crypto, struct hf_op *op, const char *directory,
                                  const struct hf_join_bundle *bundle)
{
    HF_AUTO_STRING path = key_path(directory);
    uint8_t public_key[HF_X25519_LEN];

    if (is_missing(path)) {
        return hf_fail(op, HF_WRONG_STATE,
                       "there is no %s: begin with 'holdfast node join' on this machine", path);
    }
    HF_TRY(hf_node_key_public(crypto, op, path, public_key));
    if (memcmp(public_key, bundle->node.public_key, sizeof public_key) != 0) {
        return hf_fail(op, HF_INVALID,
                       "the bundle is for another machine: node %s was approved with another key "
                       "than the one in %s",
                       bundle->node.name, path);
    }
    return HF_SUCCESS;
}

static struct hf_status write_authority(struct hf_op *op, const char *directory,
                                        const struct hf_join_bundle *bundle)
{
    HF_AUTO_STRING path = hf_format("%s/ca.crt", directory);

    return bundle->authority.len > 0 && is_missing(path)
               ? hf_public_file_create(op, path, hf_buf_bytes(&bundle->authority))
               : HF_SUCCESS;
}

/* Whoever put another certificate in its place has not the key, and gets none of ours out. */
static struct hf_status write_certificate(struct hf_crypto *crypto, struct hf_op *op,
                                          const char *directory,
                                          const struct hf_join_bundle *bundle)
{
    HF_AUTO_STRING path = tls_path(directory, "crt");
    HF_AUTO(pkey) key = NULL;

    if (bundle->certificate.len == 0) {
        return HF_SUCCESS;
    }
    HF_TRY(open_tls_key(crypto, op, directory, &key));
    if (hf_certificate_check(op, hf_buf_bytes(&bundle->certificate), key,
                             hf_buf_bytes(&bundle->authority))
            .code != HF_OK) {
        return hf_fail(op, HF_INVALID,
                       "the certificate in the bundle is not for the key in %s/secrets/server.key; "
                       "begin again with 'holdfast node join'",
                       directory);
    }
    return hf_public_file_replace(op, path, hf_buf_bytes(&bundle->certificate));
}

static struct hf_status write_audit_key(struct hf_crypto *crypto, struct hf_op *op,
                                        const char *directory)
{
    HF_AUTO_STRING path = hf_format("%s/secrets/audit.key", directory);
    HF_AUTO_STRING public_path = hf_format("%s/audit.pub", directory);
    HF_AUTO(pkey) signer = NULL;

    if (!is_missing(path)) {
        return HF_SUCCESS;
    }
    /* The public half of a pair that was never finished would be in the way. */
    (void)unlink(public_path);
    return hf_init_make_audit_key(crypto, op, directory, &signer);
}

struct hf_status hf_join_accept(struct hf_crypto *crypto, struct hf_op *op,
                                const struct hf_init_settings *settings,
                                const struct hf_join_bundle *bundle, bool *out_is_kept)
{
    static const char *const names[] = { "store", "state", "audit" };
    const char *directory = settings->directory;
    struct hf_init_settings config = *settings;
    HF_AUTO_STRING pin = hf_format("%s/state/pin", directory);
    HF_AUTO_STRING path = hf_format("%s/holdfast.conf", directory);
    HF_AUTO_STRING certificate = tls_path(directory, "crt");

    config.node = bundle->node.name;
    config.site = bundle->node.site[0] != '\0' ? bundle->node.site : NULL;
    hf_init_default_listener(&config);
    HF_TRY(check_key(crypto, op, directory, bundle));
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        HF_TRY(make_directory(op, directory, names[i]));
    }
    /* First of all, so that this machine never meets a store without it. */
    HF_TRY(hf_join_bundle_pin(op, bundle, pin));
    HF_TRY(write_authority(op, directory, bundle));
    HF_TRY(write_certificate(crypto, op, directory, bundle));
    HF_TRY(write_audit_key(crypto, op, directory));
    *out_is_kept = !is_missing(path);
    return !*out_is_kept
               ? hf_init_write_joined_config(op, directory, &config, !is_missing(certificate))
               : HF_SUCCESS;
}
